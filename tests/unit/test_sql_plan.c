/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <strings.h>

#include "store/store.h"
#include "tests/lib/masking.h"
#include "tools/import/sql_plan.h"

struct text {
	const char *p;
	size_t left;
};

static ssize_t read_text(void *arg, void *buf, size_t len)
{
	struct text *text = arg;

	len = MIN_OF(len, text->left);
	memcpy(buf, text->p, len);
	text->p += len;
	text->left -= len;
	return (ssize_t)len;
}

static struct rules *rules_of(const char *text)
{
	struct yaml_error error;
	struct rules *rules;

	MUST(!rules_parse("r", text, strlen(text), &rules, &error));
	return rules;
}

/* Read @sql; call @fn with each row and the plan of its table. */
static void each_row(const char *sql, struct rules *rules,
		     void (*fn)(const struct rules_plan *plan,
				const struct sql_plan_row *row, void *arg),
		     void *arg)
{
	struct text text = {sql, strlen(sql)};
	const struct sql_reader_options options = {.read = read_text,
						   .arg = &text};
	struct sql_plan_row row = {0};
	struct rules_plan *plan = NULL;
	struct sql_table *table = NULL;
	struct sql_reader *reader;
	struct yaml_error error;
	struct sql_event ev;

	MUST(!sql_reader_new(&options, &reader));
	do {
		MUST(!sql_reader_next(reader, &ev));
		if (ev.kind == SQL_CREATE_TABLE) {
			rules_plan_free(plan);
			sql_table_put(table);
			table = sql_table_get(ev.table);
			if (sql_plan(rules, table, &plan, &error)) {
				print_error("%s\n", error.text);
				must_failed("a plan", __FILE__, __LINE__);
			}
		}
		if (ev.kind == SQL_ROW) {
			MUST(!sql_plan_decode(&row, table, ev.insert, ev.values,
					      ev.nr_values));
			fn(plan, &row, arg);
		}
	} while (ev.kind != SQL_END);
	rules_plan_free(plan);
	sql_table_put(table);
	sql_plan_row_release(&row);
	sql_reader_free(reader);
}

static const char dump[] =
	"USE `shop`;\n"
	"CREATE TABLE `c` (\n"
	"  `id` int(11) NOT NULL,\n"
	"  `login` varchar(20) COLLATE utf8mb4_bin NOT NULL,\n"
	"  `mail` varchar(99) DEFAULT NULL,\n"
	"  `tag` varchar(9) CHARACTER SET latin1 COLLATE latin1_general_cs,\n"
	"  `low` varchar(99) GENERATED ALWAYS AS (lower(`mail`)) VIRTUAL,\n"
	"  `raw` binary(4) DEFAULT NULL,\n"
	"  PRIMARY KEY (`id`), UNIQUE KEY `l` (`login`),\n"
	"  UNIQUE KEY `m` (`mail`,`tag`)\n"
	") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;\n"
	"INSERT INTO `c` (`mail`,`id`,`raw`,`tag`) VALUES\n"
	"('it''s\\n',7,0x00ff,DEFAULT),(NULL,8,NULL,'x');\n";

static void check_columns(const struct rules_plan *plan,
			  const struct sql_plan_row *row, void *arg)
{
	const struct mask_column *c = plan->columns;

	(void)row, (void)arg;
	CHECK_UINT(plan->nr_columns, 6);
	CHECK(c[0].unique && !c[0].nullable && c[0].class == CLASS_INTEGER);
	CHECK(c[1].unique && c[1].case_sensitive && c[1].max_chars == 20);
	CHECK(!c[2].unique && !c[2].case_sensitive && c[2].nullable);
	CHECK(!c[3].unique && c[3].case_sensitive);
	CHECK(c[4].generated && !c[3].generated);
	CHECK(c[5].class == CLASS_BINARY && c[5].fixed_len);
}

static void plan__columns_are_those_of_the_table(void **state)
{
	struct rules *rules = rules_of("strict: true");

	(void)state;
	each_row(dump, rules, check_columns, NULL);
	rules_free(rules);
}

static void check_values(const struct rules_plan *plan,
			 const struct sql_plan_row *row, void *arg)
{
	const struct mask_value *v = row->values;
	int *nr = arg;

	(void)plan;
	CHECK_INT(v[0].kind, VALUE_NUMBER);
	CHECK_INT(v[1].kind, VALUE_NULL);
	CHECK_INT(v[4].kind, VALUE_NULL);
	if (++*nr == 1) {
		CHECK_MEM(v[0].bytes, "7", 1);
		CHECK_UINT(v[2].len, 5);
		CHECK_MEM(v[2].bytes, "it's\n", 5);
		CHECK_INT(v[3].kind, VALUE_NULL); /* DEFAULT */
		CHECK_INT(v[5].kind, VALUE_BINARY);
		CHECK_MEM(v[5].bytes, "\0\xff", 2);
	} else {
		CHECK_INT(v[2].kind, VALUE_NULL);
		CHECK_INT(v[3].kind, VALUE_STRING);
		CHECK_INT(v[5].kind, VALUE_NULL);
	}
}

static void plan__values_stand_where_the_columns_do(void **state)
{
	struct rules *rules = rules_of("strict: true");
	int nr = 0;

	(void)state;
	each_row(dump, rules, check_values, &nr);
	CHECK_INT(nr, 2);
	rules_free(rules);
}

static void plan__a_collation_of_the_table_is_its_columns(void **state)
{
	static const char sql[] =
		"CREATE TABLE t (a varchar(9), b varchar(9) COLLATE "
		"utf8mb4_general_ci, c varchar(9) CHARACTER SET latin1) "
		"DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;\n";
	struct text text = {sql, strlen(sql)};
	const struct sql_reader_options options = {.read = read_text,
						   .arg = &text};
	struct rules *rules = rules_of("strict: true");
	struct rules_plan *plan;
	struct sql_reader *reader;
	struct yaml_error error;
	struct sql_event ev;

	(void)state;
	MUST(!sql_reader_new(&options, &reader));
	CHECK_OK(sql_reader_next(reader, &ev));
	CHECK_INT(ev.kind, SQL_CREATE_TABLE);
	CHECK_OK(sql_plan(rules, ev.table, &plan, &error));
	CHECK(plan->columns[0].case_sensitive);
	CHECK(!plan->columns[1].case_sensitive);
	CHECK(!plan->columns[2].case_sensitive);
	rules_plan_free(plan);
	sql_reader_free(reader);
	rules_free(rules);
}

/* ---- a real dump -------------------------------------------------------------------- */

struct masked {
	struct mask_buf *buf;
	uint64_t nr_rows, nr_values;
};

static void mask_row(const struct rules_plan *plan,
		     const struct sql_plan_row *row, void *arg)
{
	struct masked *m = arg;

	m->nr_rows++;
	for (unsigned i = 0; i < plan->nr_columns; i++) {
		const struct mask_value *in = &row->values[i];

		if (!plan->masks[i])
			continue;
		CHECK_OK(mask_apply(plan->masks[i], &plan->columns[i], in,
				    m->buf));
		CHECK_INT(m->buf->kind == VALUE_NULL, in->kind == VALUE_NULL);
		CHECK(!in->len == !m->buf->len);
		CHECK(!plan->columns[i].max_chars ||
		      m->buf->len <= plan->columns[i].max_chars);
		if (in->len > 2 &&
		    (in->len != 4 || memcmp(in->bytes, "0.00", 4)) &&
		    memmem(m->buf->bytes, m->buf->len, in->bytes, in->len)) {
			print_error("%s: %.*s\n", plan->columns[i].name,
				    (int)in->len, in->bytes);
			check_failed("M4: the original is in the result",
				     __FILE__, __LINE__);
		}
		m->nr_values += in->len > 0;
	}
}

/* $DBS_SHARED, or ../shared beside the source as for tests/e2e/dump.sh */
static char *sakila(void)
{
	const char *dir = getenv("DBS_SHARED");
	char *command, *text = NULL;
	size_t len = 0, n;
	FILE *f;

	MUST(asprintf(&command, "zstdcat '%s/data/sakila.sql.zst' 2>/dev/null",
		      dir ? dir : "../shared") > 0);
	f = popen(command, "r");
	MUST(f);
	do {
		text = realloc(text, len + (1u << 20) + 1);
		MUST(text);
		n = fread(text + len, 1, 1u << 20, f);
		len += n;
	} while (n);
	text[len] = '\0';
	pclose(f);
	free(command);
	return text;
}

static void plan__a_real_dump_is_masked_without_a_trace(void **state)
{
	struct rules *rules = rules_of(
		"tables:\n"
		"  /./:\n"
		"    columns:\n"
		"      /^(first|last)_name$/: { mask: name, part: first }\n"
		"      email: email\n      phone: phone\n"
		"      /^address2?$/: address\n      username: name\n"
		"      postal_code: { mask: address, part: postcode }\n"
		"      city: { mask: address, part: city }\n"
		"      amount: number\n      /^(rental|payment)_date$/: date\n"
		"      password: hash\n      description: text\n");
	char *text = sakila();
	struct mask_key *key = mask_key_new(SECRET, strlen(SECRET));
	struct mask_buf buf;
	struct masked m = {.buf = &buf};

	(void)state;
	MUST(!mask_buf_init(&buf, key));
	each_row(text, rules, mask_row, &m);
	if (*text)
		CHECK(m.nr_rows == 47273 && m.nr_values > 50000);
	else
		print_message("no sakila.sql.zst: nothing was masked\n");
	free(text);
	mask_buf_release(&buf);
	mask_key_free(key);
	rules_free(rules);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan__columns_are_those_of_the_table),
		cmocka_unit_test(plan__values_stand_where_the_columns_do),
		cmocka_unit_test(plan__a_collation_of_the_table_is_its_columns),
		cmocka_unit_test(plan__a_real_dump_is_masked_without_a_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
