/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/sql_row.h"

#include <errno.h>
#include <stdlib.h>

#define VALUES_MIN 64u

/* Where the scan is; locals of a function would not be shared. */
struct scan {
	const struct sql_dialect *dialect;
	const char *end;
	bool whole;
	struct sql_row *row;
};

void sql_row_release(struct sql_row *row)
{
	free(row->values);
	*row = (struct sql_row){0};
}

static int bad(struct scan *s, const char *at, const char *what)
{
	s->row->bad_at = at;
	s->row->bad_what = what;
	return -EBADMSG;
}

/* The bytes end where a row must not. */
static int cut(struct scan *s, const char *at, const char *what)
{
	return s->whole ? bad(s, at, what) : -EAGAIN;
}

static int more_values(struct sql_row *row)
{
	const unsigned cap = row->cap ? 2 * row->cap : VALUES_MIN;
	struct sql_value *values;

	values = realloc(row->values, cap * sizeof(*values));
	if (!values)
		return -ENOMEM;
	row->values = values;
	row->cap = cap;
	return 0;
}

static const char *skip_space(const char *p, const char *end)
{
	while (p < end && sql_is_space(*p))
		p++;
	return p;
}

/* To the next byte that is not white space or comment; into *p. */
static int skip_comments(struct scan *s, const char **p)
{
	for (;;) {
		enum sql_comment kind;
		const char *q;

		*p = skip_space(*p, s->end);
		kind = sql_comment_at(*p, s->end, s->whole);
		if (kind == SQL_COMMENT_NONE || kind == SQL_COMMENT_EXECUTABLE)
			return 0;
		if (kind == SQL_COMMENT_MORE)
			return -EAGAIN;
		q = sql_comment_end(kind, *p, s->end, s->whole);
		if (!q)
			return cut(s, *p, "unterminated comment");
		*p = q;
	}
}

/* ---- kinds of values ----------------------------------------------------- */

/* Each takes the value at v->text and sets *q past it; *q is v->text where it
 * is not of that kind. */

static int take_string(struct scan *s, struct sql_value *v, const char *open,
		       const char **q)
{
	const char quote = *open;
	unsigned flags = 0;
	const char *p = sql_scan_string(open + 1, s->end, quote,
					sql_escape(s->dialect, quote), s->whole,
					&flags);

	if (!p)
		return cut(s, open, "unterminated string");
	v->kind = SQL_STRING;
	v->flags = (uint8_t)(v->flags | flags);
	v->body = (uint32_t)(open + 1 - v->text);
	v->body_len = (uint32_t)(p - open - 2);
	*q = p;
	return 0;
}

static bool is_digit(char c, bool hex)
{
	if (!hex)
		return c == '0' || c == '1';
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ||
	       (c >= 'A' && c <= 'F');
}

/* 0x and 0b; x'' and b'' with @quoted. */
static int take_digits(struct scan *s, struct sql_value *v, bool hex,
		       bool quoted, const char **q)
{
	const char *p = v->text + 2;

	while (p < s->end && is_digit(*p, hex))
		p++;
	if (p == s->end)
		return cut(s, v->text, "unterminated literal");
	v->body = 2;
	v->body_len = (uint32_t)(p - v->text - 2);
	v->kind = hex ? SQL_HEX : SQL_BIT;
	if (quoted)
		*q = *p == '\'' ? p + 1 : v->text;
	else
		*q = v->body_len > 0 && !sql_is_word(*p) ? p : v->text;
	return 0;
}

static int take_number(struct scan *s, struct sql_value *v, const char **q)
{
	const char *p = v->text;

	if (*p == '0' && p + 1 < s->end && (p[1] == 'x' || p[1] == 'b'))
		return take_digits(s, v, p[1] == 'x', false, q);
	while (*p >= '0' && *p <= '9')
		p++;
	if ((*p != ',' && *p != ')') || p == v->text)
		p = sql_number_end(v->text, s->end);
	if (p == s->end)
		return cut(s, v->text, "unterminated row");
	v->kind = SQL_NUMBER;
	v->body = 0;
	v->body_len = (uint32_t)(p - v->text);
	*q = p;
	return 0;
}

static int take_word(struct scan *s, struct sql_value *v, const char **q)
{
	struct sql_token t = {SQL_TOK_WORD, v->text, 0};
	const char *p = v->text;

	while (p < s->end && sql_is_word(*p))
		p++;
	if (p == s->end)
		return cut(s, v->text, "unterminated row");
	t.len = (size_t)(p - v->text);
	*q = p;
	if (t.len == 1 && *p == '\'') {
		switch (*v->text | 0x20) {
		case 'x':
			return take_digits(s, v, true, true, q);
		case 'b':
			return take_digits(s, v, false, true, q);
		case 'n':
			v->flags |= SQL_VALUE_INTRODUCED;
			return take_string(s, v, p, q);
		default:
			break;
		}
	}
	if (sql_token_is(&t, "NULL")) {
		v->kind = SQL_NULL;
		return 0;
	}
	if (sql_token_is(&t, "DEFAULT")) {
		v->kind = SQL_DEFAULT;
		return 0;
	}
	if (*v->text == '_') {
		p = skip_space(p, s->end);
		if (p == s->end)
			return cut(s, v->text, "unterminated row");
		if (*p == '\'' || *p == '"') {
			v->flags |= SQL_VALUE_INTRODUCED;
			return take_string(s, v, p, q);
		}
	}
	*q = v->text;
	return 0;
}

/* Anything, up to a comma or parenthesis outside of strings and the like. */
static int take_expression(struct scan *s, struct sql_value *v, const char **q,
			   const char **next)
{
	struct sql_lexer lex = {
		.p = v->text,
		.end = s->end,
		.dialect = s->dialect,
		.whole = s->whole,
	};
	unsigned depth = 0;

	*q = v->text;
	for (;;) {
		const struct sql_token t = sql_lexer_next(&lex);
		int ends;

		if (t.kind == SQL_TOK_MORE || t.kind == SQL_TOK_END)
			return cut(s, v->text, "unterminated row");
		if (lex.depth > 0)
			return bad(s, v->text,
				   "an executable comment in a row");
		if (depth == 0 && (sql_token_is_sign(&t, ',') ||
				   sql_token_is_sign(&t, ')'))) {
			*next = t.p;
			break;
		}
		ends = sql_delimiter_at(s->dialect, t.p, s->end, s->whole);
		if (ends < 0)
			return ends;
		if (ends)
			return bad(s, t.p, "the statement ends inside a row");
		if (sql_token_is_sign(&t, '('))
			depth++;
		else if (sql_token_is_sign(&t, ')'))
			depth--;
		*q = t.p + t.len;
	}
	if (*q == v->text)
		return bad(s, v->text, "a value is missing");
	v->kind = SQL_EXPRESSION;
	v->flags &= SQL_VALUE_NO_BACKSLASH;
	v->body = v->body_len = 0;
	return 0;
}

static int take_value(struct scan *s, struct sql_value *v, const char **q)
{
	const char c = *v->text;

	if (c == '\'' || c == '"')
		return take_string(s, v, v->text, q);
	if (c == 'N' && !memcmp(v->text, "NULL", 4) &&
	    (v->text[4] == ',' || v->text[4] == ')')) {
		v->kind = SQL_NULL;
		*q = v->text + 4;
		return 0;
	}
	if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.')
		return take_number(s, v, q);
	if (sql_is_word(c))
		return take_word(s, v, q);
	*q = v->text;
	return 0;
}

/* ---- the row ------------------------------------------------------------- */

/*
 * The value at v->text, with its end in *q and what follows it, a comma or the
 * closing parenthesis, at *next.
 */
static int scan_value(struct scan *s, struct sql_value *v, const char **q,
		      const char **next)
{
	int err = take_value(s, v, q);

	if (err)
		return err;
	*next = *q;
	if (**next == ',' || **next == ')') {
		if (*q > v->text)
			return 0;
	} else {
		err = skip_comments(s, next);
		if (err)
			return err;
		if (*next == s->end)
			return cut(s, v->text, "unterminated row");
		if (*q > v->text && (**next == ',' || **next == ')'))
			return 0;
	}
	return take_expression(s, v, q, next);
}

int sql_row_scan(struct sql_row *row, const struct sql_dialect *d,
		 const char *p, const char *end, bool whole)
{
	const uint8_t flags = d->no_backslash ? SQL_VALUE_NO_BACKSLASH : 0;
	struct scan s = {d, end, whole, row};
	int err;

	row->nr = row->flags = 0;
	p++;
	for (;;) {
		struct sql_value *v;
		const char *q, *next;

		if ((unsigned char)*p <= ' ' || *p == '/' || *p == '#' ||
		    *p == '-') {
			err = skip_comments(&s, &p);
			if (err)
				return err;
		}
		if (p >= end)
			return cut(&s, p, "unterminated row");
		if (row->nr == 0 && *p == ')') {
			row->end = p + 1;
			return 0;
		}
		if (row->nr == row->cap) {
			if (row->nr >= SQL_VALUES_MAX)
				return bad(&s, p, "too many values in a row");
			err = more_values(row);
			if (err)
				return err;
		}
		v = &row->values[row->nr];
		*v = (struct sql_value){.text = p, .flags = flags};
		err = scan_value(&s, v, &q, &next);
		if (err)
			return err;
		row->flags |= v->flags;
		v->len = (uint32_t)(q - p);
		row->nr++;
		p = next + 1;
		if (*next == ')') {
			row->end = p;
			return 0;
		}
	}
}
