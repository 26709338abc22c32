/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of an INSERT. */
#include <errno.h>

#include "tools/import/sql_reader_internal.h"

/* To what is no white space nor comment; -EAGAIN, or 0. */
static int skip(const struct sql_reader *r, const char **p)
{
	const char *end = reader_end(r);

	for (;;) {
		enum sql_comment kind;
		const char *q;

		while (*p < end && sql_is_space(**p))
			(*p)++;
		kind = sql_comment_at(*p, end, r->whole);
		if (kind == SQL_COMMENT_MORE)
			return -EAGAIN;
		if (kind == SQL_COMMENT_NONE || kind == SQL_COMMENT_EXECUTABLE)
			return 0;
		q = sql_comment_end(kind, *p, end, r->whole);
		if (!q)
			return -EAGAIN;
		*p = q;
	}
}

static int cut(struct sql_reader *r)
{
	if (!r->whole)
		return -EAGAIN;
	return reader_fail(r, -EBADMSG, reader_end(r),
			   "the dump is cut inside an INSERT");
}

/* What follows the last row, up to the delimiter at @at; @tail is in it. */
static int insert_end(struct sql_reader *r, struct sql_event *ev,
		      const char *tail, const char *at)
{
	r->state = DELIMITER;
	reader_give(r, ev, SQL_INSERT_END, at);
	ev->lead = (size_t)(tail - ev->bytes);
	ev->insert = &r->insert;
	return 0;
}

/* ON DUPLICATE KEY UPDATE and the like. */
static int tail(struct sql_reader *r, struct sql_event *ev, const char *p)
{
	struct sql_lexer lex = {
		.p = p,
		.end = reader_end(r),
		.dialect = &r->session.dialect,
		.whole = r->whole,
	};
	const struct sql_token t = sql_lexer_next(&lex);
	const char *at;
	int err;

	if (t.kind == SQL_TOK_MORE)
		return cut(r);
	if (lex.depth > 0 ||
	    (!sql_token_is(&t, "ON") && !sql_token_is(&t, "AS") &&
	     !sql_token_is(&t, "RETURNING")))
		return reader_fail(r, -EBADMSG, p,
				   "a row is followed by something else");
	err = sql_statement_end(lex.dialect, p, lex.end, lex.whole, &at);
	if (err == -EBADMSG || (!err && at == lex.end))
		return cut(r);
	return err ? err : insert_end(r, ev, p, at);
}

/* To the next row's '(', or past the last row: then the event is given and
 * 1 returned. */
static int to_row(struct sql_reader *r, struct sql_event *ev, const char **p)
{
	const char *end = reader_end(r);
	int err;

	if (*p < end && **p == ',' && (*p)[1] == '(') {
		(*p)++;
		return 0;
	}
	err = skip(r, p);
	if (err)
		return err;
	if (*p == end)
		return cut(r);
	if (**p == ',') {
		(*p)++;
		err = skip(r, p);
		if (err)
			return err;
		if (*p == end)
			return cut(r);
		if (**p == '(')
			return 0;
		return reader_fail(r, -EBADMSG, *p, "a row is missing");
	}
	err = sql_delimiter_at(&r->session.dialect, *p, end, r->whole);
	if (err < 0)
		return err;
	err = err ? insert_end(r, ev, *p, *p) : tail(r, ev, *p);
	return err ? err : 1;
}

static int check_utf8(struct sql_reader *r)
{
	const struct sql_row *row = &r->row;

	for (unsigned i = 0; i < row->nr && i < r->nr_utf8; i++) {
		const struct sql_value *v = &row->values[i];
		const char *body = v->text + v->body, *bad;

		if (!(v->flags & SQL_VALUE_HIGH) || !r->utf8[i] ||
		    (v->flags & SQL_VALUE_INTRODUCED))
			continue;
		bad = sql_scan_bad_utf8(body, body + v->body_len);
		if (bad)
			return reader_fail(r, -EILSEQ, bad,
					   "value %u of a row is not UTF-8, as "
					   "the dump says it is",
					   i + 1);
	}
	return 0;
}

int reader_rows(struct sql_reader *r, struct sql_event *ev)
{
	const char *p = reader_pos(r);
	struct sql_row *row = &r->row;
	int err = 0;

	if (!r->first) {
		err = to_row(r, ev, &p);
		if (err)
			return err < 0 ? err : 0;
	}
	err = sql_row_scan(row, &r->session.dialect, p, reader_end(r),
			   r->whole);
	if (err == -EBADMSG)
		return reader_fail(r, err, row->bad_at, "%s", row->bad_what);
	if (!err && r->nr_utf8 > 0 && (row->flags & SQL_VALUE_HIGH))
		err = check_utf8(r);
	if (err)
		return err;
	r->first = false;
	r->nr_rows++;
	reader_give(r, ev, SQL_ROW, row->end);
	ev->insert = &r->insert;
	ev->values = row->values;
	ev->nr_values = row->nr;
	ev->lead = (size_t)(p - ev->bytes);
	ev->row = r->nr_rows;
	return 0;
}
