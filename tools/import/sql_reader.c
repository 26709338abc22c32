/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/sql_reader_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BUFFER_MIN   16u
#define SHRINK_AFTER 64u

int sql_reader_new(const struct sql_reader_options *options,
		   struct sql_reader **out)
{
	struct sql_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	r->options = *options;
	if (r->options.buffer == 0)
		r->options.buffer = SQL_BUFFER;
	if (r->options.buffer < BUFFER_MIN)
		r->options.buffer = BUFFER_MIN;
	if (r->options.limit == 0 || r->options.limit > SQL_LIMIT)
		r->options.limit = SQL_LIMIT;
	sql_session_init(&r->session);
	r->session.dialect.ends_at_line = options->ends_at_line;
	if (options->db)
		sql_session_set_db(&r->session, options->db);
	r->cap = r->options.buffer;
	r->buf = calloc(1, r->cap + SQL_SLACK);
	if (!r->buf) {
		free(r);
		return -ENOMEM;
	}
	*out = r;
	return 0;
}

void sql_reader_free(struct sql_reader *r)
{
	if (!r)
		return;
	free(r->buf);
	free(r->utf8);
	sql_buf_release(&r->head);
	sql_arena_free(r->names);
	sql_arena_free(r->insert_names);
	sql_row_release(&r->row);
	sql_table_put(r->table);
	free(r);
}

/* ---- errors -------------------------------------------------------------- */

static void name_table(struct sql_reader *r)
{
	const struct sql_name *name = &r->insert.name;
	struct sql_error *e = &r->error;

	if (!name->table || r->nr_rows == 0)
		return;
	e->row = r->nr_rows;
	snprintf(e->table, sizeof(e->table), "%s%s%s", name->db ? name->db : "",
		 name->db ? "." : "", name->table);
}

int reader_fail(struct sql_reader *r, int code, const char *at, const char *fmt,
		...)
{
	struct sql_error *e = &r->error;
	char what[256];
	va_list args;
	int n;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	e->code = code;
	e->offset = r->base + (uint64_t)(at - r->buf);
	e->line = r->newlines + sql_scan_lines(r->buf, at) + 1;
	name_table(r);
	n = snprintf(e->text, sizeof(e->text),
		     "%s, at byte %" PRIu64 ", line %" PRIu64, what, e->offset,
		     e->line);
	if (e->table[0] && n > 0 && (size_t)n < sizeof(e->text))
		snprintf(e->text + n, sizeof(e->text) - (size_t)n,
			 "; the last whole row is %" PRIu64 " of '%s'", e->row,
			 e->table);
	return code;
}

const struct sql_error *sql_reader_error(const struct sql_reader *r)
{
	return r->error.code ? &r->error : NULL;
}

/* ---- the buffer ---------------------------------------------------------- */

static int resize(struct sql_reader *r, size_t cap)
{
	char *buf = realloc(r->buf, cap + SQL_SLACK);

	if (!buf)
		return reader_fail(r, -ENOMEM, r->buf + r->pos,
				   "no memory for a statement or row");
	r->buf = buf;
	r->cap = cap;
	return 0;
}

/* A buffer that grew for a large row is given back when none came since. */
static int shrink(struct sql_reader *r, size_t left)
{
	const size_t want = r->options.buffer;

	if (r->cap <= want || left > want / 2) {
		r->small = 0;
		return 0;
	}
	if (++r->small < SHRINK_AFTER)
		return 0;
	r->small = 0;
	return resize(r, want);
}

static int grow(struct sql_reader *r, uint64_t limit)
{
	const uint64_t max = limit + r->options.buffer;

	if (r->cap >= max)
		return reader_fail(r, -EFBIG, r->buf + r->pos,
				   "a statement or row is longer than %" PRIu64
				   " bytes; is a string unterminated?",
				   limit);
	return resize(r, 2 * r->cap < max ? 2 * r->cap : (size_t)max);
}

/*
 * The whole buffer is filled, whatever a read gives: so an unfinished row is
 * scanned again only when it is twice as long.
 */
int reader_fill(struct sql_reader *r, uint64_t limit)
{
	const size_t left = r->end - r->pos;
	int err;

	if (r->pos > 0) {
		r->newlines += sql_scan_lines(r->buf, r->buf + r->pos);
		r->base += r->pos;
		memmove(r->buf, r->buf + r->pos, left);
		r->pos = 0;
		r->end = left;
		err = shrink(r, left);
		if (err)
			return err;
	}
	if (r->end == r->cap) {
		err = grow(r, limit);
		if (err)
			return err;
	}
	while (r->end < r->cap && !r->whole) {
		const ssize_t n = r->options.read(
			r->options.arg, r->buf + r->end, r->cap - r->end);

		if (n < 0) {
			memset(r->buf + r->end, 0, SQL_SLACK);
			return reader_fail(r, (int)n, r->buf + r->end,
					   "cannot read the dump: %s",
					   strerror((int)-n));
		}
		r->whole = n == 0;
		r->end += (size_t)n;
	}
	memset(r->buf + r->end, 0, SQL_SLACK);
	return 0;
}

void reader_give(struct sql_reader *r, struct sql_event *ev,
		 enum sql_event_kind kind, const char *past)
{
	ev->kind = kind;
	ev->bytes = reader_pos(r);
	ev->offset = r->base + r->pos;
	ev->len = r->given = (size_t)(past - ev->bytes);
}

/* ---- events -------------------------------------------------------------- */

static int delimiter(struct sql_reader *r, struct sql_event *ev)
{
	reader_give(r, ev, SQL_DELIMITER,
		    reader_pos(r) + r->session.dialect.delimiter_len);
	r->state = BETWEEN;
	return 0;
}

static int step(struct sql_reader *r, struct sql_event *ev)
{
	switch (r->state) {
	case BETWEEN:
		return reader_between(r, ev);
	case COMMENT:
		return reader_comment(r, ev);
	case STATEMENT:
		return reader_statement(r, ev);
	case ROWS:
		return reader_rows(r, ev);
	case DELIMITER:
		return delimiter(r, ev);
	default:
		reader_give(r, ev, SQL_END, reader_pos(r));
		return 0;
	}
}

int sql_reader_next(struct sql_reader *r, struct sql_event *ev)
{
	int err;

	memset(ev, 0, sizeof(*ev));
	if (r->error.code)
		return r->error.code;
	r->pos += r->given;
	r->given = 0;
	for (;;) {
		err = step(r, ev);
		if (err != -EAGAIN)
			break;
		if (r->whole)
			return reader_fail(r, -EBADMSG, reader_end(r),
					   "the dump is cut");
		err = reader_fill(r, r->options.limit);
		if (err)
			return err;
	}
	if (err && !r->error.code)
		reader_fail(r, err, reader_pos(r), "%s", strerror(-err));
	return err;
}

/* ---- what is known ------------------------------------------------------- */

enum sql_ending sql_reader_ending(const struct sql_reader *r)
{
	if (r->completed)
		return SQL_ENDING_COMPLETE;
	return r->marked ? SQL_ENDING_TRUNCATED : SQL_ENDING_UNKNOWN;
}

uint64_t sql_reader_line(const struct sql_reader *r)
{
	return r->newlines + sql_scan_lines(r->buf, reader_pos(r)) + 1;
}

uint64_t sql_reader_offset(const struct sql_reader *r)
{
	return r->base + r->pos + r->given;
}

const char *sql_reader_db(const struct sql_reader *r)
{
	return reader_db(r);
}

const struct sql_dialect *sql_reader_dialect(const struct sql_reader *r)
{
	return &r->session.dialect;
}
