/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>

#include "store/store.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"
#include "tools/import/rules.h"

static struct rules *take(const char *text)
{
	struct yaml_error error = {""};
	struct rules *rules = NULL;

	if (rules_parse("r.yaml", text, strlen(text), &rules, &error))
		print_error("%s\n", error.text);
	CHECK(rules);
	return rules;
}

static void bad(const char *text, const char *want)
{
	struct yaml_error error = {""};
	struct rules *rules = NULL;

	CHECK_INT(rules_parse("r.yaml", text, strlen(text), &rules, &error),
		  -EINVAL);
	CHECK(!rules);
	CHECK_STR(error.text, want);
}

#define MASKS                                                                  \
	"(keep, null, fixed, email, phone, name, address, text, number, "      \
	"date, iban, card, ip, hash, json)"

static void rules__what_is_wrong_is_said_with_its_line(void **state)
{
	(void)state;
	bad("- a\n", "r.yaml:1: this is a list (a mapping: tables, strict, "
		     "key_file)");
	bad("strict: true\ntable: {}\n",
	    "r.yaml:2: 'table' is not known here (tables, strict, key_file)");
	bad("strict: maybe\n", "r.yaml:1: 'strict' is 'maybe' (true, false)");
	bad("key_file: mask.key\n",
	    "r.yaml:1: 'key_file' is 'mask.key' (an absolute path)");
	bad("tables: [a]\n", "r.yaml:1: 'tables' is a list (a mapping, "
			     "db.table: { ... })");
	bad("tables:\n  a: skip\n",
	    "r.yaml:2: 'a' is a text (a mapping: columns, data, sample, by)");
	bad("tables:\n  a: { date: skip }\n",
	    "r.yaml:2: 'date' is not known here (columns, data, sample, by)");
	bad("tables:\n  a: { data: none }\n",
	    "r.yaml:2: 'data' is 'none' (all, structure, skip)");
	bad("tables:\n  a.b.c: { data: skip }\n",
	    "r.yaml:2: 'a.b.c' is not a table (db.table, table, or /regex/)");
	bad("tables:\n  .b: { data: skip }\n",
	    "r.yaml:2: '.b' is not a table (db.table, table, or /regex/)");
	bad("tables:\n  /a: { data: skip }\n",
	    "r.yaml:2: '/a' has no end (/regex/)");
	bad("tables:\n  /a(/: { data: skip }\n",
	    "r.yaml:2: '/a(/' is not a regular expression: Unmatched ( or \\( "
	    "(POSIX extended, see regex(7))");
	bad("tables:\n  a: { sample: some }\n",
	    "r.yaml:2: 'sample' is 'some' (a number of rows, or a share from "
	    "0.0001 % to 100 %)");
	bad("tables:\n  a: { sample: 101 % }\n",
	    "r.yaml:2: 'sample' is '101 %' (a number of rows, or a share from "
	    "0.0001 % to 100 %)");
	bad("tables:\n  a:\n    data: skip\n    sample: 5\n",
	    "r.yaml:4: 'sample' of a table whose data is skip");
	bad("tables:\n  a:\n    sample: 5\n    by: id\n",
	    "r.yaml:4: 'by' names the column that decides which share is taken "
	    "(with sample: 1 %)");
	bad("tables:\n  a:\n    columns: [x]\n",
	    "r.yaml:3: 'columns' is a list (a mapping, column: { mask: MASK "
	    "})");
	bad("tables:\n  a:\n    columns:\n      x: mail\n",
	    "r.yaml:4: 'mail' is not a mask " MASKS);
	bad("tables:\n  a:\n    columns:\n      x: { domain: y }\n",
	    "r.yaml:4: 'x' has no mask " MASKS);
	bad("tables:\n  a:\n    columns:\n      x:\n        mask: email\n"
	    "        part: first\n",
	    "r.yaml:6: mask email does not take 'part' (domain)");
	bad("tables:\n  a:\n    columns:\n      x: { mask: fixed }\n",
	    "r.yaml:4: mask fixed needs 'value'");
	bad("tables:\n  a:\n    columns:\n      x: json\n",
	    "r.yaml:4: mask json needs 'paths'");
	bad("tables:\n  a:\n    columns:\n      x:\n        mask: json\n"
	    "        paths:\n          a.b: email\n",
	    "r.yaml:7: 'a.b' is not a path in JSON (such as "
	    "$.user.emails[*])");
	bad("tables:\n  a:\n    columns:\n      x:\n        mask: json\n"
	    "        paths: { $.a: { mask: name, part: x } }\n",
	    "r.yaml:6: 'x' is not a part of a name (full, first, last)");
	bad("tables:\n  a:\n    columns:\n      x: { mask: json, paths: y }\n",
	    "r.yaml:4: 'paths' is not a mapping (path: mask, as $.user.email: "
	    "email)");
	bad("tables:\n  a:\n    columns:\n      x: { mask: hash, format: uuid, "
	    "length: 8 }\n",
	    "r.yaml:4: a uuid has no 'length' to choose");
	bad("tables:\n  a: { data: skip }\n  b: { data: skip }\n"
	    "  a: { data: all }\n",
	    "r.yaml:4: 'a' stands there twice (first in line 2)");
}

static void rules__the_example_of_the_man_page_is_taken(void **state)
{
	struct rules *rules = take(
		"key_file: /etc/dbs/mask.key\n"
		"strict: true\n"
		"tables:\n"
		"  shop.customer:\n"
		"    columns:\n"
		"      email: { mask: email }\n"
		"      phone: phone\n"
		"      /_name$/: { mask: name, part: last }\n"
		"      profile: { mask: json, paths: { $.contact.email: email "
		"} }\n"
		"  shop.audit_log: { data: skip }\n"
		"  shop.page_view: { sample: 1 %, by: customer_id }\n"
		"  /^shop\\.tmp_/: { data: structure }\n"
		"  /./:\n"
		"    columns:\n"
		"      /^ip(_address)?$/: ip\n");

	(void)state;
	CHECK(rules_strict(rules) && rules_need_key(rules));
	CHECK_UINT(rules_nr_tables(rules), 5);
	CHECK_UINT(rules_nr_columns(rules), 5);
	unsetenv(RULES_KEY_ENV);
	CHECK_STR(rules_key_path(rules), "/etc/dbs/mask.key");
	setenv(RULES_KEY_ENV, "/run/key", 1);
	CHECK_STR(rules_key_path(rules), "/run/key");
	unsetenv(RULES_KEY_ENV);
	rules_free(rules);
}

static void rules__hash_sees_what_matters_and_nothing_else(void **state)
{
	static const char *const same[] = {
		"tables: { a: { columns: { x: email, y: null } } }",
		"key_file: /k\n# c\ntables:\n  a:\n    columns:\n"
		"      y: { mask: null }\n      x: { mask: 'email' }\n",
	};
	static const char *const others[] = {
		"strict: no\ntables: { a: { columns: { x: email, y: null } } }",
		"tables: { b: { columns: { x: email, y: null } } }",
		"tables: { a: { columns: { x: email, y: keep } } }",
		"tables: { a: { data: all, columns: { x: email, y: null } } }",
		"tables: { a: { sample: 9, columns: { x: email, y: null } } }",
		"tables: {a: {columns: {x: {mask: email, domain: d.e}}}}",
		"tables: { a: { columns: { x: email } } }",
	};
	struct rules *rules = take(same[0]), *other;

	(void)state;
	CHECK_UINT(strlen(rules_hash(rules)), 64);
	other = take(same[1]);
	CHECK_STR(rules_hash(rules), rules_hash(other));
	rules_free(other);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		other = take(others[i]);
		CHECK(strcmp(rules_hash(rules), rules_hash(other)));
		rules_free(other);
	}
	rules_free(rules);
}

/* ---- plans --------------------------------------------------------------------------- */

static const struct mask_column columns[] = {
	{.name = "id", .type = "int(11)", .unique = true},
	{.name = "email", .type = "varchar(100)", .nullable = true},
	{.name = "first_name", .type = "varchar(45)"},
	{.name = "Born", .type = "date"},
};

static struct rules_plan *plan_of(struct rules *rules, const char *db,
				  const char *table)
{
	struct yaml_error error;
	struct rules_plan *plan = NULL;

	if (rules_plan(rules, db, table, columns, ARRAY_SIZE(columns), &plan,
		       &error))
		print_error("%s\n", error.text);
	CHECK(plan);
	return plan;
}

/* @want: of the column's mask, NULL: no rule */
static void column_is(const char *text, const char *db, const char *table,
		      unsigned column, const char *want)
{
	struct rules *rules = take(text);
	struct rules_plan *plan = plan_of(rules, db, table);
	const struct mask *mask = plan->masks[column];

	CHECK(!want == !mask);
	if (mask)
		CHECK_STR(mask_kind_name(mask_kind(mask)), want);
	rules_plan_free(plan);
	rules_free(rules);
}

static void plan__the_most_specific_rule_holds(void **state)
{
	static const char text[] =
		"tables:\n"
		"  /./: { columns: { /mail/: hash, born: date } }\n"
		"  t: { columns: { /mail/: text } }\n"
		"  db.t: { columns: { /mai/: keep, email: email } }\n"
		"  db.u: { columns: { /mai/: keep } }\n";

	(void)state;
	column_is(text, "db", "t", 1, "email"); /* a name before a regex */
	column_is(text, "db", "u", 1, "keep");	/* db.table before regex */
	column_is(text, "xx", "t", 1, "text");	/* table before regex */
	column_is(text, "xx", "y", 1, "hash");
	column_is(text, "db", "t", 3, "date"); /* whatever its case */
	column_is(text, "db", "t", 0, NULL);
	column_is(text, NULL, "t", 1, "text"); /* no database is known */
}

static void plan_fails(const char *text, const char *want)
{
	struct rules *rules = take(text);
	struct yaml_error error;
	struct rules_plan *plan = NULL;

	CHECK_INT(rules_plan(rules, "db", "t", columns, ARRAY_SIZE(columns),
			     &plan, &error),
		  -EINVAL);
	CHECK_STR(error.text, want);
	CHECK(!plan);
	rules_free(rules);
}

static void plan__what_cannot_be_is_said_with_its_line(void **state)
{
	(void)state;
	plan_fails("tables:\n  /t/: { data: skip }\n  /^db/: { data: all }\n",
		   "r.yaml:3: '/^db/' and '/t/' in line 2 both say what of "
		   "table db.t is taken (name the table in a rule of its own)");
	plan_fails(
		"tables:\n  /t/:\n    columns: { email: email }\n"
		"  /d/:\n    columns: { email: text }\n",
		"r.yaml:5: 'email' and 'email' in line 3 are both for column "
		"db.t.email (name the column in a rule of its own)");
	plan_fails(
		"tables:\n  t:\n    columns:\n      /mail/: text\n"
		"      /^e/: email\n",
		"r.yaml:5: '/^e/' and '/mail/' in line 4 are both for column "
		"db.t.email (name the column in a rule of its own)");
	plan_fails("tables:\n  t:\n    columns:\n      emial: email\n",
		   "r.yaml:4: table db.t has no column 'emial' (take the rule "
		   "out, or mend its name)");
	plan_fails(
		"tables:\n  t:\n    columns:\n      born: email\n",
		"r.yaml:4: column db.t.Born: mask email is not for type date "
		"(text)");
	plan_fails("tables:\n  t: { sample: 1 %, by: xx }\n",
		   "r.yaml:2: table db.t has no column 'xx' to sample by");
}

static void plan__says_which_rows_are_taken(void **state)
{
	static const struct {
		const char *text;
		enum rules_data data;
		uint64_t rows;
		uint32_t share;
		unsigned by;
	} plans[] = {
		{"{}", DATA_ALL, 0, 0, 0},
		{"{ data: skip }", DATA_SKIP, 0, 0, 0},
		{"{ data: structure }", DATA_STRUCTURE, 0, 0, 0},
		{"{ sample: 1000 }", DATA_ROWS, 1000, 0, 0},
		{"{ sample: 1 % }", DATA_SHARE, 0, 10000, 0},
		{"{ sample: 0.05%, by: EMAIL }", DATA_SHARE, 0, 500, 1},
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(plans); i++) {
		struct rules *rules;
		struct rules_plan *plan;

		snprintf(text, sizeof(text), "tables: { t: %s }",
			 plans[i].text);
		rules = take(text);
		plan = plan_of(rules, "db", "t");
		CHECK_INT(plan->data, plans[i].data);
		CHECK_UINT(plan->nr_rows, plans[i].rows);
		CHECK_UINT(plan->per_million, plans[i].share);
		CHECK_UINT(plan->sample_column, plans[i].by);
		rules_plan_free(plan);
		rules_free(rules);
	}
}

struct told {
	char text[512];
};

static void tell(void *arg, const char *sentence)
{
	struct told *told = arg;

	strcat(strcat(told->text, sentence), "\n");
}

static void plan__rules_that_nothing_used_are_told(void **state)
{
	struct rules *rules =
		take("tables:\n  db.t: { columns: { email: email } }\n"
		     "  db.x: { data: skip }\n  /./:\n    columns:\n"
		     "      /mail/: text\n      /zz/: text\n");
	struct told told = {""};

	(void)state;
	rules_plan_free(plan_of(rules, "db", "t"));
	rules_unused(rules, tell, &told);
	CHECK_STR(told.text, "r.yaml:3: no table is called 'db.x'\n"
			     "r.yaml:7: no column of '/./' is called '/zz/'\n");
	rules_free(rules);
}

static void rules__random_changes_do_no_harm(void **state)
{
	static const char text[] =
		"strict: yes\ntables:\n  db.t:\n    columns:\n"
		"      email: { mask: email, domain: a.b }\n"
		"      first_name: { mask: name, part: first }\n"
		"      j: { mask: json, paths: { $.a.b: hash } }\n"
		"    sample: 1 %\n    by: id\n  /x(y)/: { data: skip }\n";
	struct rnd rnd = {3};
	char changed[sizeof(text)];

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct yaml_error error;
		struct rules_plan *plan;
		struct rules *rules;

		memcpy(changed, text, sizeof(text));
		for (uint64_t n = 1 + rnd_below(&rnd, 4); n; n--)
			changed[rnd_below(&rnd, sizeof(text) - 1)] =
				text[rnd_below(&rnd, sizeof(text) - 1)];
		if (rules_parse("r", changed, sizeof(text) - 1, &rules,
				&error)) {
			CHECK(!strncmp(error.text, "r:", 2));
			continue;
		}
		if (!rules_plan(rules, "db", "t", columns, ARRAY_SIZE(columns),
				&plan, &error))
			rules_plan_free(plan);
		rules_free(rules);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules__what_is_wrong_is_said_with_its_line),
		cmocka_unit_test(rules__the_example_of_the_man_page_is_taken),
		cmocka_unit_test(
			rules__hash_sees_what_matters_and_nothing_else),
		cmocka_unit_test(plan__the_most_specific_rule_holds),
		cmocka_unit_test(plan__what_cannot_be_is_said_with_its_line),
		cmocka_unit_test(plan__says_which_rows_are_taken),
		cmocka_unit_test(plan__rules_that_nothing_used_are_told),
		cmocka_unit_test(rules__random_changes_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
