/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>

#include "store/store.h"
#include "tests/lib/check.h"
#include "tools/import/gate.h"

/* What the gate finds of one column, "" or "why -> rule". */
struct found {
	char text[1024];
};

static void put(void *arg, const struct gate_finding *f)
{
	struct found *found = arg;
	const size_t len = strlen(found->text);

	snprintf(found->text + len, sizeof(found->text) - len,
		 "%s.%s: %s -> %s\n", f->table, f->column, f->why, f->rule);
}

static struct gate_table *open_table(struct gate *gate, struct rules *rules,
				     const struct mask_column *columns,
				     unsigned nr, struct rules_plan **plan)
{
	struct gate_table *table;
	struct yaml_error error;

	MUST(!rules_plan(rules, "db", "t", columns, nr, plan, &error));
	MUST(!gate_table(gate, "db", "t", *plan, &table));
	return table;
}

static struct rules *rules_of(const char *text)
{
	struct yaml_error error;
	struct rules *rules;

	MUST(!rules_parse("r", text, strlen(text), &rules, &error));
	return rules;
}

/* Of a column with these values, under these rules. */
static const char *gate_says(const char *rules_text, struct mask_column column,
			     const char *const *values, size_t nr,
			     struct found *found)
{
	struct gate *gate = gate_new();
	struct rules *rules = rules_of(rules_text);
	struct rules_plan *plan;
	struct gate_table *table = open_table(gate, rules, &column, 1, &plan);

	for (size_t i = 0; i < nr; i++) {
		const struct mask_value value = {values[i], strlen(values[i]),
						 VALUE_STRING};

		if (gate_next(table))
			gate_row(table, &value, 1);
	}
	found->text[0] = '\0';
	gate_report(gate, put, found);
	gate_free(gate);
	rules_plan_free(plan);
	rules_free(rules);
	return found->text;
}

static void named(const char *name, const char *type, const char *want)
{
	struct found found;
	char text[256] = "";

	if (*want)
		snprintf(text, sizeof(text), "db.t.%s: named like %s\n", name,
			 want);
	CHECK_STR(gate_says("strict: true\n",
			    (struct mask_column){.name = name, .type = type},
			    NULL, 0, &found),
		  text);
}

static void gate__names_in_three_languages(void **state)
{
	(void)state;
	named("email", "varchar(99)", "an e-mail address -> { mask: email }");
	named("customerEmail", "varchar(99)",
	      "an e-mail address -> { mask: email }");
	named("EMAIL_2", "varchar(99)", "an e-mail address -> { mask: email }");
	named("courriel", "text", "an e-mail address -> { mask: email }");
	named("telefonnummer", "varchar(30)",
	      "a phone number -> { mask: phone }");
	named("mobile", "bigint(20)", "a phone number -> { mask: phone }");
	named("mobile", "int(11)", "a phone number -> { mask: number }");
	named("first_name", "varchar(45)", "a person's name -> { mask: name }");
	named("lastName", "varchar(45)", "a person's name -> { mask: name }");
	named("Nachname", "varchar(45)", "a person's name -> { mask: name }");
	named("prenom", "varchar(45)", "a person's name -> { mask: name }");
	named("strasse", "varchar(45)", "an address -> { mask: address }");
	named("adresse_ligne_1", "varchar(45)",
	      "an address -> { mask: address }");
	named("PLZ", "char(5)",
	      "a postcode -> { mask: address, part: postcode }");
	named("ville", "char(50)", "a place -> { mask: address, part: city }");
	named("geburtsdatum", "date", "a date of birth -> { mask: date }");
	named("date_naissance", "date", "a date of birth -> { mask: date }");
	named("birth_year", "year(4)", "a date of birth -> { mask: number }");
	named("iban", "varchar(34)", "a bank account -> { mask: iban }");
	named("credit_card_number", "varchar(19)",
	      "a card number -> { mask: card }");
	named("ip_address", "varchar(45)", "an IP address -> { mask: ip }");
	named("ip", "int(10) unsigned", "an IP address -> { mask: number }");
	named("password", "varchar(60)", "a secret -> { mask: hash }");
	named("gehalt", "decimal(10,2)",
	      "somebody's income -> { mask: number }");
	named("notes", "text", "notes about persons -> { mask: text }");
	named("peer", "inet6", "an IP address -> { mask: ip }");
}

static void gate__names_of_other_things(void **state)
{
	(void)state;
	named("id", "int(11)", "");
	named("email_verified_at", "timestamp", "");
	named("address_id", "smallint(5) unsigned", "");
	named("phone_count", "decimal(10,2)", "");
	named("title", "varchar(99)", "");
	named("name", "varchar(99)", "");
	named("hotel", "varchar(99)", "");
	named("sort_order", "varchar(9)", "");
	named("shipping", "varchar(9)", "");
	named("created_at", "datetime", "");
	named("description", "text", "");
}

#define LOOKS(type_, want_, ...)                                               \
	do {                                                                   \
		static const char *const values_[] = {__VA_ARGS__};            \
		struct found found_;                                           \
		const char *text_ = want_;                                     \
		CHECK_STR(gate_says("strict: true\n",                          \
				    (struct mask_column){.name = "c",          \
							 .type = type_},       \
				    values_, ARRAY_SIZE(values_), &found_),    \
			  text_);                                              \
	} while (0)

static void gate__values_that_look_personal(void **state)
{
	(void)state;
	LOOKS("varchar(99)",
	      "db.t.c: values have e-mail addresses in them -> { mask: email "
	      "}\n",
	      "a", "b", "anna@example.org");
	LOOKS("text",
	      "db.t.c: values have e-mail addresses in them -> { mask: text "
	      "}\n",
	      "write to anna@example.org, soon", "nothing");
	LOOKS("json",
	      "db.t.c: values have e-mail addresses in them -> { mask: json, "
	      "paths: { $: text } }\n",
	      "{\"a\":\"anna@example.org\"}");
	LOOKS("varchar(20)",
	      "db.t.c: values look like phone numbers -> { mask: phone }\n",
	      "+49 171 1234567", "030 1234567", "(212) 555-0199");
	LOOKS("varchar(20)",
	      "db.t.c: values look like names of persons -> { mask: name }\n",
	      "MARY SMITH", "X Y", "LINDA WILLIAMS");
	LOOKS("varchar(40)",
	      "db.t.c: values have IBANs in them -> { mask: iban }\n",
	      "DE89 3704 0044 0532 0130 00", "none");
	LOOKS("varchar(40)",
	      "db.t.c: values look like card numbers -> { mask: card }\n",
	      "4111 1111 1111 1111", "5500000000000004");
	LOOKS("bigint(20)",
	      "db.t.c: values look like card numbers -> { mask: card }\n",
	      "4111111111111111", "5500000000000004");
	LOOKS("varchar(45)",
	      "db.t.c: values look like IP addresses -> { mask: ip }\n",
	      "192.168.0.1", "fe80::1");
	LOOKS("date",
	      "db.t.c: values look like dates of birth -> { mask: date }\n",
	      "1953-09-02", "1964-06-02", "1959-12-03", "1985-01-01",
	      "1978-05-05");
}

static void gate__values_that_do_not(void **state)
{
	(void)state;
	LOOKS("varchar(99)", "", "a @ b", "@home", "x@y", "1.0@2");
	LOOKS("varchar(99)", "", "2026-11-22", "1.2.3", "12345678", "SKU-12");
	LOOKS("date", "", "2025-01-01", "2026-02-01", "2026-03-01",
	      "2026-04-01", "2024-01-01");
	LOOKS("date", "", "1986-06-26", "1995-02-01", "9999-01-01",
	      "2001-04-01", "1999-01-01", "1990-01-01", "1991-01-01",
	      "1992-01-01", "1993-01-01", "1994-01-01");
	LOOKS("bigint(20)", "", "1234567890123", "42");
	LOOKS("text", "",
	      "the quick brown fox jumps over the lazy dog and "
	      "then some more words");
	LOOKS("varchar(9)", "", "");
}

static void gate__a_column_with_a_rule_is_never_found(void **state)
{
	static const char *const values[] = {"anna@example.org"};
	struct mask_column column = {.name = "email", .type = "varchar(99)"};
	struct found found;

	(void)state;
	CHECK_STR(gate_says("tables: { t: { columns: { email: keep } } }",
			    column, values, 1, &found),
		  "");
	column.generated = true;
	CHECK_STR(gate_says("strict: true\n", column, values, 0, &found), "");
}

static void gate__a_table_without_rows_is_not_looked_at(void **state)
{
	static const struct mask_column column = {.name = "email",
						  .type = "varchar(99)"};
	struct gate *gate = gate_new();
	struct rules *rules = rules_of("tables: { t: { data: structure } }");
	struct rules_plan *plan;
	struct found found = {""};

	(void)state;
	CHECK(!open_table(gate, rules, &column, 1, &plan));
	CHECK(!gate_next(NULL));
	CHECK_UINT(gate_report(gate, put, &found), 0);
	gate_free(gate);
	rules_plan_free(plan);
	rules_free(rules);
}

static void gate__a_table_that_goes_again_is_forgotten(void **state)
{
	const struct mask_column email = {.name = "email", .type = "text"};
	struct found found = {""};
	struct gate *gate = gate_new();
	struct rules *rules = rules_of("strict: true\n");
	struct rules_plan *plan;
	struct gate_table *table = open_table(gate, rules, &email, 1, &plan);

	(void)state;
	CHECK_UINT(gate_report(gate, put, &found), 1);
	gate_forget(gate, table);
	gate_forget(gate, NULL);
	CHECK_UINT(gate_report(gate, put, &found), 0);
	gate_free(gate);
	rules_plan_free(plan);
	rules_free(rules);
}

static void gate__a_column_that_is_new_is_found_whatever_it_is(void **state)
{
	static const struct mask_column columns[] = {
		{.name = "id", .type = "int(11)"},
		{.name = "score", .type = "int(11)"},
		{.name = "known", .type = "int(11)"},
	};
	struct gate *gate = gate_new();
	struct rules *rules = rules_of("tables: { t: { columns: { id: keep } } "
				       "}");
	struct rules_plan *plan;
	struct found found = {""};

	(void)state;
	CHECK_OK(gate_know(gate, "db.t.known"));
	CHECK_OK(gate_know(gate, "db.t.known"));
	open_table(gate, rules, columns, 3, &plan);
	CHECK_UINT(gate_report(gate, put, &found), 1);
	CHECK_STR(found.text, "db.t.score: new, it was not there before -> { "
			      "mask: keep }\n");
	gate_free(gate);
	rules_plan_free(plan);
	rules_free(rules);
}

static void gate__looks_at_some_rows_all_over_the_table(void **state)
{
	static const struct mask_column column = {.name = "c", .type = "text"};
	struct gate *gate = gate_new();
	struct rules *rules = rules_of("strict: true");
	struct rules_plan *plan;
	struct gate_table *table = open_table(gate, rules, &column, 1, &plan);
	unsigned nr = 0, nr_late = 0;

	(void)state;
	for (unsigned i = 0; i < 100000; i++) {
		if (!gate_next(table))
			continue;
		gate_row(table, &(struct mask_value){"x", 1, VALUE_STRING}, 1);
		nr++;
		nr_late += i > 50000;
	}
	CHECK(nr <= GATE_SAMPLES_MAX && nr > 1000 && nr_late > 100);
	gate_free(gate);
	rules_plan_free(plan);
	rules_free(rules);
}

static void gate__its_rules_can_be_pasted(void **state)
{
	static const struct mask_column columns[] = {
		{.name = "email", .type = "varchar(99)"},
		{.name = "Last Name", .type = "varchar(99)"},
		{.name = "id", .type = "int(11)"},
		{.name = "birth\"\\day", .type = "date"},
		{.name = "city", .type = "varchar(50)"},
	};
	struct gate *gate = gate_new(), *again = gate_new();
	struct rules *rules = rules_of("strict: true"), *pasted;
	struct rules_plan *plan, *plan_again;
	struct found found = {""};
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	open_table(gate, rules, columns, 5, &plan);
	gate_write_rules(gate, f);
	MUST(!fclose(f));
	pasted = rules_of(text);
	open_table(again, pasted, columns, 5, &plan_again);
	CHECK_UINT(gate_report(gate, put, &found), 4);
	CHECK_UINT(gate_report(again, put, &found), 0);
	free(text);
	gate_free(gate);
	gate_free(again);
	rules_plan_free(plan);
	rules_plan_free(plan_again);
	rules_free(rules);
	rules_free(pasted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gate__names_in_three_languages),
		cmocka_unit_test(gate__names_of_other_things),
		cmocka_unit_test(gate__values_that_look_personal),
		cmocka_unit_test(gate__values_that_do_not),
		cmocka_unit_test(gate__a_column_with_a_rule_is_never_found),
		cmocka_unit_test(gate__a_table_without_rows_is_not_looked_at),
		cmocka_unit_test(
			gate__a_column_that_is_new_is_found_whatever_it_is),
		cmocka_unit_test(gate__looks_at_some_rows_all_over_the_table),
		cmocka_unit_test(gate__a_table_that_goes_again_is_forgotten),
		cmocka_unit_test(gate__its_rules_can_be_pasted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
