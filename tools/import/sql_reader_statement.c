/* SPDX-License-Identifier: Apache-2.0 */
/* What stands between statements, and statements but for rows. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "tools/import/sql_reader_internal.h"

/* A longer comment is given in pieces. */
#define COMMENT_WHOLE 4096u
/* Some editors put it before a file of UTF-8. */
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

/* ---- between statements -------------------------------------------------- */

static bool begins(const char *p, const char *end, const char *with)
{
	const size_t n = strlen(with);

	return (size_t)(end - p) >= n && !memcmp(p, with, n);
}

/* mysqldump and mariadb-dump say in comments what they are, and when done. */
static void note_comment(struct sql_reader *r, const char *p, const char *end)
{
	if (begins(p, end, "-- MySQL dump") ||
	    begins(p, end, "-- MariaDB dump")) {
		r->marked = true;
		r->completed = false;
	} else if (begins(p, end, "-- Dump completed")) {
		r->completed = true;
	}
}

/*
 * Take what is at *p if it stands between statements.
 * Returns 1 taken; 0 a statement begins there; -EAGAIN
 */
static int take_space(struct sql_reader *r, const char **p)
{
	const char *end = reader_end(r), *q = *p;
	const enum sql_comment kind = sql_comment_at(q, end, r->whole);
	int taken;

	if (kind == SQL_COMMENT_MORE)
		return -EAGAIN;
	if (kind != SQL_COMMENT_NONE && kind != SQL_COMMENT_EXECUTABLE) {
		q = sql_comment_end(kind, q, end, r->whole);
		if (!q)
			return -EAGAIN;
		note_comment(r, *p, q);
		*p = q;
		return 1;
	}
	if ((*q | 0x20) == 'd') {
		taken = sql_session_delimiter(&r->session, q, end, r->whole,
					      &q);
		if (taken == -EBADMSG)
			return reader_fail(r, taken, *p,
					   "DELIMITER names none that can be "
					   "used");
		*p = q;
		if (taken != 0)
			return taken;
	}
	taken = sql_delimiter_at(&r->session.dialect, q, end, r->whole);
	if (taken > 0)
		*p += r->session.dialect.delimiter_len;
	return taken;
}

/* A comment at pos that does not end in the buffer: its first piece. */
static int long_comment(struct sql_reader *r, struct sql_event *ev)
{
	const char *p = reader_pos(r);
	const enum sql_comment kind =
		sql_comment_at(p, reader_end(r), r->whole);

	if (kind == SQL_COMMENT_NONE || kind == SQL_COMMENT_EXECUTABLE ||
	    kind == SQL_COMMENT_MORE)
		return -EAGAIN;
	if (r->whole)
		return reader_fail(r, -EBADMSG, p, "unterminated comment");
	if (r->end - r->pos < COMMENT_WHOLE)
		return -EAGAIN;
	note_comment(r, p, reader_end(r));
	r->comment = kind;
	r->state = COMMENT;
	ev->comment = true;
	/* the last byte may be half of what ends it */
	reader_give(r, ev, SQL_SPACE, reader_end(r) - 1);
	return 0;
}

int reader_between(struct sql_reader *r, struct sql_event *ev)
{
	const char *start = reader_pos(r), *p = start;
	int taken = 1;

	if (r->base + r->pos == 0 && begins(p, reader_end(r), BYTE_ORDER_MARK))
		p += strlen(BYTE_ORDER_MARK);
	while (taken > 0) {
		while (p < reader_end(r) && sql_is_space(*p))
			p++;
		if (p == reader_end(r))
			break;
		taken = take_space(r, &p);
	}
	if (taken < 0 && taken != -EAGAIN)
		return taken;
	if (p > start) {
		reader_give(r, ev, SQL_SPACE, p);
		return 0;
	}
	if (taken == 0) {
		r->state = STATEMENT;
		r->completed = false;
		return reader_statement(r, ev);
	}
	if (taken > 0) {
		if (!r->whole)
			return -EAGAIN;
		r->state = ENDED;
		reader_give(r, ev, SQL_END, p);
		return 0;
	}
	return long_comment(r, ev);
}

int reader_comment(struct sql_reader *r, struct sql_event *ev)
{
	const char *p = reader_pos(r), *end = reader_end(r), *past;

	ev->comment = true;
	if (r->comment == SQL_COMMENT_LINE) {
		past = memchr(p, '\n', (size_t)(end - p));
		past = past ? past + 1 : NULL;
	} else {
		past = memmem(p, (size_t)(end - p), "*/", 2);
		past = past ? past + 2 : NULL;
	}
	if (past || (r->whole && r->comment == SQL_COMMENT_LINE)) {
		r->state = BETWEEN;
		reader_give(r, ev, SQL_SPACE, past ? past : end);
		return 0;
	}
	if (r->whole)
		return reader_fail(r, -EBADMSG, end, "unterminated comment");
	if (end - p < 2)
		return -EAGAIN;
	reader_give(r, ev, SQL_SPACE, end - 1);
	return 0;
}

/* ---- INSERT -------------------------------------------------------------- */

static const struct sql_table *find_table(const struct sql_reader *r)
{
	const struct sql_name *name = &r->insert.name;
	const struct sql_table *t = r->table;

	if (r->options.find_table)
		return r->options.find_table(r->options.find_arg, name);
	if (!t || strcmp(t->name.table, name->table) != 0)
		return NULL;
	if (t->name.db && name->db && strcmp(t->name.db, name->db) != 0)
		return NULL;
	return t;
}

/* Which values have to be UTF-8?  Those of columns known to be text. */
static int know_columns(struct sql_reader *r)
{
	struct sql_insert *in = &r->insert;
	const struct sql_table *t;
	unsigned nr;

	free(r->utf8);
	r->utf8 = NULL;
	r->nr_utf8 = 0;
	t = in->table = find_table(r);
	if (!t || !sql_session_is_utf8(&r->session))
		return 0;
	nr = in->columns ? in->nr_columns : t->nr_columns;
	r->utf8 = calloc(nr + 1, sizeof(*r->utf8));
	if (!r->utf8)
		return -ENOMEM;
	r->nr_utf8 = nr;
	for (unsigned i = 0; i < nr; i++) {
		const int c = in->columns ? sql_table_column(t, in->columns[i])
					  : (int)i;

		r->utf8[i] = c >= 0 && t->columns[c].class == SQL_CLASS_TEXT;
	}
	return 0;
}

/* Does what follows begin as the last INSERT did?  -EAGAIN: too short. */
static int same_head(const struct sql_reader *r)
{
	const size_t len = r->head.len;

	if (len == 0)
		return 0;
	if (r->end - r->pos < len)
		return r->whole ? 0 : -EAGAIN;
	return !memcmp(reader_pos(r), r->head.p, len);
}

static int new_head(struct sql_reader *r, const char **rows)
{
	const struct sql_name old = r->insert.name;
	struct sql_arena *names = NULL;
	struct sql_insert in;
	int err = sql_statement_insert(&r->session.dialect, reader_pos(r),
				       reader_end(r), r->whole, reader_db(r),
				       &names, &in, rows);

	if (err)
		goto out;
	if (!old.table || strcmp(old.table, in.name.table) != 0 ||
	    strcmp(old.db ? old.db : "", in.name.db ? in.name.db : "") != 0)
		r->nr_rows = 0;
	sql_arena_free(r->insert_names);
	r->insert_names = names;
	r->insert = in;
	names = NULL;
	r->head.len = 0;
	err = sql_buf_add(&r->head, reader_pos(r),
			  (size_t)(*rows - reader_pos(r)));
	if (!err)
		err = know_columns(r);
out:
	sql_arena_free(names);
	return err;
}

/* An INSERT's head; -EBADMSG: it is none that is understood. */
static int insert_head(struct sql_reader *r, struct sql_event *ev)
{
	const char *rows;
	int err = same_head(r);

	if (err > 0) {
		rows = reader_pos(r) + r->head.len;
		if (rows == reader_end(r) && !r->whole)
			return -EAGAIN;
		/* "VALUES" and its '(' may be parted another way */
		if (*rows != '(')
			err = 0;
	}
	if (err == 0)
		err = new_head(r, &rows);
	if (err < 0) {
		if (err == -EAGAIN && r->end - r->pos > HEAD_MAX)
			return -EBADMSG;
		return err;
	}
	r->state = ROWS;
	r->first = true;
	reader_give(r, ev, SQL_INSERT, rows);
	ev->insert = &r->insert;
	return 0;
}

/* ---- statements ---------------------------------------------------------- */

static int create_table(struct sql_reader *r, struct sql_event *ev, size_t len)
{
	const struct sql_session *s = &r->session;
	struct sql_table *t = NULL;
	int err;

	if (len > SQL_TABLE_TEXT_MAX)
		return reader_fail(r, -EFBIG, reader_pos(r),
				   "CREATE TABLE is longer than %u bytes",
				   SQL_TABLE_TEXT_MAX);
	/* one in an executable comment, or one without columns, is text */
	err = sql_table_parse(&s->dialect, reader_pos(r), len, reader_db(r),
			      s->db_charset[0] ? s->db_charset : NULL, &t);
	if (err == -EBADMSG)
		return 0;
	if (err)
		return err;
	sql_table_put(r->table);
	r->table = t;
	if (*reader_pos(r) == '/')
		return 0;
	ev->kind = SQL_CREATE_TABLE;
	ev->table = t;
	return 0;
}

/* The statement's effect on how the rest is read. */
static int heed(struct sql_reader *r, struct sql_event *ev, size_t len)
{
	const char *p = reader_pos(r), *what = NULL;
	int err = 0;

	switch (ev->what.verb) {
	case SQL_VERB_SET:
		err = sql_session_set(&r->session, p, len, &what);
		if (err)
			return reader_fail(r, err, p, "%s", what);
		break;
	case SQL_VERB_USE:
		if (sql_session_use(&r->session, p, len))
			break;
		ev->kind = SQL_USE;
		break;
	case SQL_VERB_CREATE_DATABASE:
		sql_session_create_database(&r->session, p, len);
		ev->kind = SQL_CREATE_DATABASE;
		break;
	case SQL_VERB_CREATE_TABLE:
		err = create_table(r, ev, len);
		break;
	default:
		return 0;
	}
	/* the next INSERT may mean another table, or be read another way */
	r->head.len = 0;
	return err;
}

static int text(struct sql_reader *r, struct sql_event *ev)
{
	const struct sql_dialect *d = &r->session.dialect;
	const char *p = reader_pos(r), *at;
	int err = sql_statement_end(d, p, reader_end(r), r->whole, &at);

	if (err == -EBADMSG)
		return reader_fail(r, err, at,
				   "the dump is cut: unterminated string, name "
				   "or comment");
	if (err)
		return err;
	if (at == reader_end(r))
		return reader_fail(r, -EBADMSG, at,
				   "the dump is cut inside a statement");
	sql_arena_free(r->names);
	r->names = NULL;
	ev->kind = SQL_TEXT;
	err = sql_statement_classify(d, p, (size_t)(at - p), reader_db(r),
				     &r->names, &ev->what);
	if (!err)
		err = heed(r, ev, (size_t)(at - p));
	if (err)
		return err;
	r->state = DELIMITER;
	reader_give(r, ev, ev->kind, at);
	return 0;
}

int reader_statement(struct sql_reader *r, struct sql_event *ev)
{
	const char first = *reader_pos(r) | 0x20;

	if (first == 'i' || first == 'r') {
		const int err = insert_head(r, ev);

		if (err != -EBADMSG)
			return err;
	}
	return text(r, ev);
}
