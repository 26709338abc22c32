/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "tests/lib/check.h"
#include "tests/lib/rnd.h"
#include "tools/import/sql_row.h"
#include "tools/import/sql_value.h"

#define TEXT_MAX 4096u

/* A row, with zeros behind it. */
struct scanned {
	char text[TEXT_MAX + SQL_SLACK];
	struct sql_row row;
	struct sql_dialect dialect;
};

static int scan_text(struct scanned *s, const char *text, size_t len)
{
	CHECK(len < TEXT_MAX);
	memset(s->text, 0, sizeof(s->text));
	memcpy(s->text, text, len);
	s->dialect.delimiter[0] = ';';
	s->dialect.delimiter_len = 1;
	return sql_row_scan(&s->row, &s->dialect, s->text, s->text + len, true);
}

/* The bytes of the one value of "(@literal)". */
static struct sql_value one(struct scanned *s, const char *literal)
{
	char text[TEXT_MAX];
	const int n = snprintf(text, sizeof(text), "(%s)", literal);

	CHECK_OK(scan_text(s, text, (size_t)n));
	CHECK_UINT(s->row.nr, 1);
	CHECK_UINT(s->row.values[0].len, strlen(literal));
	return s->row.values[0];
}

static void is(bool no_backslash, const char *literal, enum sql_kind kind,
	       const char *want, size_t want_len)
{
	static struct scanned s;
	struct sql_buf scratch = {0};
	struct sql_value v;
	const char *bytes;
	size_t len;

	s.dialect.no_backslash = no_backslash;
	v = one(&s, literal);
	CHECK_INT(v.kind, kind);
	CHECK_OK(sql_value_bytes(&v, &scratch, &bytes, &len));
	CHECK_UINT(len, want_len);
	if (len > 0)
		CHECK_MEM(bytes, want, len);
	sql_buf_release(&scratch);
	sql_row_release(&s.row);
}

static void value__every_escape_of_strings_is_decoded(void **state)
{
	(void)state;
	is(false, "'abc'", SQL_STRING, "abc", 3);
	is(false, "''", SQL_STRING, "", 0);
	is(false, "'\\0\\'\\\"\\b\\n\\r\\t\\Z\\\\'", SQL_STRING,
	   "\0'\"\b\n\r\t\032\\", 9);
	is(false, "'\\%\\_\\x\\A'", SQL_STRING, "\\%\\_xA", 6);
	is(false, "'it''s'", SQL_STRING, "it's", 4);
	is(false, "''''", SQL_STRING, "'", 1);
	is(false, "\"a\"\"b'c\"", SQL_STRING, "a\"b'c", 5);
	is(false, "\"a\\\"b\"", SQL_STRING, "a\"b", 3);
	is(false, "'\\\xc3\xa9'", SQL_STRING, "\xc3\xa9", 2);
	is(false, "'a\\'),(\\'b'", SQL_STRING, "a'),('b", 7);
}

static void value__a_backslash_is_one_under_no_backslash_escapes(void **state)
{
	(void)state;
	is(true, "'a\\'", SQL_STRING, "a\\", 2);
	is(true, "'a\\n'", SQL_STRING, "a\\n", 3);
	is(true, "'it''s'", SQL_STRING, "it's", 4);
}

static void value__hex_and_bit_literals_are_bytes(void **state)
{
	(void)state;
	is(false, "0x41ff", SQL_HEX, "A\xff", 2);
	is(false, "0x4", SQL_HEX, "\x04", 1);
	is(false, "x'4142'", SQL_HEX, "AB", 2);
	is(false, "X''", SQL_HEX, "", 0);
	is(false, "b'101'", SQL_BIT, "\x05", 1);
	is(false, "B'100000001'", SQL_BIT, "\x01\x01", 2);
	is(false, "0b11", SQL_BIT, "\x03", 1);
}

static void value__numbers_are_their_text(void **state)
{
	(void)state;
	is(false, "-12.50", SQL_NUMBER, "-12.50", 6);
	is(false, "1e10", SQL_NUMBER, "1e10", 4);
	is(false, "+.5E-3", SQL_NUMBER, "+.5E-3", 6);
	is(false, "0", SQL_NUMBER, "0", 1);
}

static void value__introducers_are_told(void **state)
{
	struct scanned s = {0};
	struct sql_value v;
	size_t len;

	(void)state;
	is(false, "_binary 'a\\0b'", SQL_STRING, "a\0b", 3);
	is(false, "_utf8mb4'x'", SQL_STRING, "x", 1);
	is(false, "N'x'", SQL_STRING, "x", 1);
	v = one(&s, "_binary 'a'");
	CHECK_MEM(sql_value_charset(&v, &len), "binary", 6);
	CHECK_UINT(len, 6);
	v = one(&s, "_latin1\"a\"");
	CHECK_MEM(sql_value_charset(&v, &len), "latin1", 6);
	CHECK_UINT(len, 6);
	v = one(&s, "n'a'");
	CHECK_STR(sql_value_charset(&v, &len), "utf8");
	v = one(&s, "'a'");
	CHECK(!sql_value_charset(&v, &len));
	sql_row_release(&s.row);
}

static void value__what_is_no_literal_is_an_expression(void **state)
{
	static const char *const texts[] = {
		"NOW()",
		"'a' 'b'",
		"TRUE",
		"1+1",
		"1-1",
		"POINT(1,2)",
		"'a' COLLATE x",
		"0x4g",
		"x'4g'",
		"_utf8 0x41",
		"NULLIF(1,')')",
		"1 /* , */ + 2",
		"DATE '2026-01-01'",
		"((1),(2))",
		"-x",
		"x'41' 'b'",
	};
	struct scanned s = {0};
	struct sql_buf scratch = {0};
	const char *bytes;
	size_t len;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct sql_value v = one(&s, texts[i]);

		CHECK_INT(v.kind, SQL_EXPRESSION);
		CHECK_INT(sql_value_bytes(&v, &scratch, &bytes, &len),
			  -ENOTSUP);
	}
	CHECK_INT(one(&s, "DEFAULT").kind, SQL_DEFAULT);
	CHECK_INT(one(&s, "null").kind, SQL_NULL);
	sql_row_release(&s.row);
}

static void row__its_errors_say_where(void **state)
{
	static const struct {
		const char *text, *what;
		size_t at;
	} bad[] = {
		{"(1,'a", "unterminated string", 3},
		{"(1,'a\\'", "unterminated string", 3},
		{"(1", "unterminated row", 1},
		{"(1,", "unterminated row", 3},
		{"(1,,2)", "a value is missing", 3},
		{"(1,)", "a value is missing", 3},
		{"(,1)", "a value is missing", 1},
		{"(1;2)", "the statement ends inside a row", 2},
		{"(1,(2;", "the statement ends inside a row", 5},
		{"(1,/* x", "unterminated comment", 3},
		{"(1 /*!40000 , 2 */)", "an executable comment in a row", 1},
		{"(1,0x41", "unterminated literal", 3},
	};
	struct scanned s = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		CHECK_INT(scan_text(&s, bad[i].text, strlen(bad[i].text)),
			  -EBADMSG);
		CHECK_STR(s.row.bad_what, bad[i].what);
		CHECK_UINT(s.row.bad_at - s.text, bad[i].at);
	}
	sql_row_release(&s.row);
}

static void row__a_row_that_is_not_all_there_asks_for_more(void **state)
{
	static const char text[] =
		"(1, 'a''b\\n' , NULL,0x41,b'1',_binary 'x',now(),-1.5e3)";
	struct scanned s = {0};
	const size_t len = strlen(text);

	(void)state;
	for (size_t n = 1; n <= len; n++) {
		memset(s.text, 0, sizeof(s.text));
		memcpy(s.text, text, n);
		s.dialect.delimiter[0] = ';';
		s.dialect.delimiter_len = 1;
		CHECK_INT(sql_row_scan(&s.row, &s.dialect, s.text, s.text + n,
				       false),
			  n < len ? -EAGAIN : 0);
	}
	CHECK_UINT(s.row.nr, 8);
	sql_row_release(&s.row);
}

/* Encode @bytes as @like is, and read what comes of it. */
static void round_trip(struct scanned *s, const char *like, const char *bytes,
		       size_t len)
{
	struct sql_buf out = {0}, scratch = {0};
	struct sql_value v = one(s, like);
	const char *got;
	size_t got_len;

	CHECK_OK(sql_buf_text(&out, "("));
	CHECK_OK(sql_value_encode(&out, &v, bytes, len));
	CHECK_OK(sql_buf_text(&out, ",1)"));
	CHECK_OK(scan_text(s, out.p, out.len));
	CHECK_UINT(s->row.nr, 2);
	CHECK_OK(sql_value_bytes(&s->row.values[0], &scratch, &got, &got_len));
	CHECK_UINT(got_len, len);
	if (len > 0)
		CHECK_MEM(got, bytes, len);
	sql_buf_release(&out);
	sql_buf_release(&scratch);
}

static void encode__what_is_encoded_reads_back_whatever_the_bytes(void **state)
{
	static const char *const like[] = {
		"'a'", "\"a\"", "_binary 'x'", "0x41", "b'1'",	 "x'41'",
		"12",  "NULL",	"NOW()",       "N'q'", "DEFAULT"};
	static const char nasty[] = {'\'', '"', '\\', '\0', '\n',   '\r',
				     26,   ',', ')',  ';',  '%',    '_',
				     'a',  '0', '-',  '.',  '\xff', '`'};
	struct scanned s = {0};
	struct rnd r = {7};
	char bytes[64];

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		const size_t len = rnd_below(&r, sizeof(bytes));

		for (size_t k = 0; k < len; k++)
			bytes[k] = nasty[rnd_below(&r, sizeof(nasty))];
		s.dialect.no_backslash = rnd_one_in(&r, 3);
		round_trip(&s, like[i % (sizeof(like) / sizeof(like[0]))],
			   bytes, len);
	}
	sql_row_release(&s.row);
}

static void encodes_as(const char *like, const char *bytes, const char *want)
{
	struct scanned s = {0};
	struct sql_buf out = {0};
	struct sql_value v = one(&s, like);

	CHECK_OK(sql_value_encode(&out, &v, bytes, bytes ? strlen(bytes) : 0));
	CHECK_UINT(out.len, strlen(want));
	CHECK_MEM(out.p, want, out.len);
	sql_buf_release(&out);
	sql_row_release(&s.row);
}

static void encode__a_literal_is_written_as_the_value_was(void **state)
{
	(void)state;
	encodes_as("'a'", "it's", "'it\\'s'");
	encodes_as("\"a\"", "it's", "\"it\\'s\"");
	encodes_as("_binary 'a'", "x", "_binary 'x'");
	encodes_as("N'a'", "x", "N'x'");
	encodes_as("12", "-7.5", "-7.5");
	encodes_as("12", "7 OR 1", "'7 OR 1'");
	encodes_as("12", "", "''");
	encodes_as("0x41", "AB", "0x4142");
	encodes_as("0x41", "", "x''");
	encodes_as("NULL", "x", "'x'");
	encodes_as("'a'", NULL, "NULL");
}

static void utf8__the_first_bad_byte_is_found(void **state)
{
	static const struct {
		const char *text;
		int bad; /* -1: none */
	} t[] = {
		{"", -1},
		{"abc", -1},
		{"a\xc3\xa9z", -1},
		{"\xe2\x82\xac\xf0\x9f\x98\x80", -1},
		{"a\xff", 1},
		{"a\xc3", 1},
		{"a\xc3z", 1},
		{"\xc0\x80", 0},
		{"\xe0\x80\x80", 0},
		{"\xf0\x80\x80\x80", 0},
		{"\xf4\x90\x80\x80", 0},
		{"ok\x80", 2},
		{"\xe2\x82", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		const char *p = t[i].text;
		const char *bad = sql_scan_bad_utf8(p, p + strlen(p));

		CHECK_INT(bad ? bad - p : -1, t[i].bad);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(value__every_escape_of_strings_is_decoded),
		cmocka_unit_test(
			value__a_backslash_is_one_under_no_backslash_escapes),
		cmocka_unit_test(value__hex_and_bit_literals_are_bytes),
		cmocka_unit_test(value__numbers_are_their_text),
		cmocka_unit_test(value__introducers_are_told),
		cmocka_unit_test(value__what_is_no_literal_is_an_expression),
		cmocka_unit_test(row__its_errors_say_where),
		cmocka_unit_test(
			row__a_row_that_is_not_all_there_asks_for_more),
		cmocka_unit_test(
			encode__what_is_encoded_reads_back_whatever_the_bytes),
		cmocka_unit_test(encode__a_literal_is_written_as_the_value_was),
		cmocka_unit_test(utf8__the_first_bad_byte_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
