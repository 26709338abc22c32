/* SPDX-License-Identifier: Apache-2.0 */
/* sql_reader_internal.h - shared by sql_reader*.c */
#ifndef DBS_TOOLS_IMPORT_SQL_READER_INTERNAL_H
#define DBS_TOOLS_IMPORT_SQL_READER_INTERNAL_H

#include "tools/import/sql_reader.h"
#include "tools/import/sql_row.h"
#include "tools/import/sql_session.h"

/* An INSERT's head is no longer, nor a CREATE TABLE. */
#define HEAD_MAX SQL_TABLE_TEXT_MAX

enum state {
	BETWEEN,   /* statements */
	COMMENT,   /* inside of one that is given in pieces */
	STATEMENT, /* at its first byte */
	ROWS,
	DELIMITER, /* at it */
	ENDED,
};

struct sql_reader {
	struct sql_reader_options options;
	/* the buffer: [pos, end) is there and no event has been given for it,
	 * but for the current one, [pos, pos + given) */
	char *buf;
	size_t cap, pos, end, given;
	bool whole;	   /* nothing follows end */
	unsigned small;	   /* fills that a small buffer would have done for */
	uint64_t base;	   /* offset of buf[0] in the dump */
	uint64_t newlines; /* before it */

	enum state state;
	enum sql_comment comment; /* COMMENT: which kind */
	struct sql_session session;
	struct sql_arena *names; /* of the current statement */

	/* the current INSERT, or the last one: the next often begins alike */
	struct sql_buf head;
	struct sql_insert insert;
	struct sql_arena *insert_names;
	bool *utf8; /* per value: it has to be */
	unsigned nr_utf8;
	bool first; /* no row of it was given */
	struct sql_row row;
	uint64_t nr_rows; /* of its table, over INSERTs */

	struct sql_table *table; /* the last one created */
	bool marked, completed;	 /* a dump that says when it is complete */
	struct sql_error error;
};

/** Record what is wrong at @at, in the buffer; returns @code. */
int reader_fail(struct sql_reader *r, int code, const char *at, const char *fmt,
		...) __attribute__((format(printf, 4, 5)));
/** Get more bytes; what is at pos stays, elsewhere.  -EFBIG over @limit. */
int reader_fill(struct sql_reader *r, uint64_t limit);

/** [pos, past) is the event. */
void reader_give(struct sql_reader *r, struct sql_event *ev,
		 enum sql_event_kind kind, const char *past);

/* One event in each state, or -EAGAIN: more bytes are needed. */
int reader_between(struct sql_reader *r, struct sql_event *ev);
int reader_comment(struct sql_reader *r, struct sql_event *ev);
int reader_statement(struct sql_reader *r, struct sql_event *ev);
int reader_rows(struct sql_reader *r, struct sql_event *ev);

static inline const char *reader_pos(const struct sql_reader *r)
{
	return r->buf + r->pos;
}
static inline const char *reader_end(const struct sql_reader *r)
{
	return r->buf + r->end;
}
static inline const char *reader_db(const struct sql_reader *r)
{
	return r->session.db[0] ? r->session.db : NULL;
}

#endif
