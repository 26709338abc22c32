/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_reader.h - a dump as a stream of events, in one pass
 *
 * Below: sql_row, sql_session, sql_statement, sql_table.  Above: sql_rewriter,
 * the import.
 *
 * Reads dumps of mysqldump and mariadb-dump and mydumper's .sql files.  It is
 * pulled: sql_reader_next() gives one event, whose pointers are good until the
 * next call.
 *
 * Invariants:
 *  RD1  the bytes of all events, one after the other, are the input; of those
 *       before an error, what the input begins with.
 *  RD2  a statement is one TEXT (or USE, CREATE_*), or an INSERT, its ROWs and
 *       an INSERT_END; then follows a DELIMITER.  What is between statements
 *       (white space, comments, DELIMITER lines) is SPACE.
 *  RD3  memory is bounded by the largest row or statement there is, which is
 *       at most limit; a buffer that grew for one shrinks again.
 *  RD4  the events do not depend on how the input is cut into reads, nor on
 *       the buffer's size; but for how SPACE is cut.
 */
#ifndef DBS_TOOLS_IMPORT_SQL_READER_H
#define DBS_TOOLS_IMPORT_SQL_READER_H

#include <sys/types.h>

#include "tools/import/sql_statement.h"
#include "tools/import/sql_table.h"
#include "tools/import/sql_value.h"

/* max_allowed_packet is never larger: no server takes a longer statement. */
#define SQL_LIMIT  (UINT64_C(1) << 30)
#define SQL_BUFFER (256u << 10)

/** Bytes read, 0 at the end, or -errno. */
typedef ssize_t sql_read_fn(void *arg, void *buf, size_t len);

struct sql_reader_options {
	sql_read_fn *read;
	void *arg;
	const char *db;	   /* current database at the start, NULL: none */
	bool ends_at_line; /* as in sql_dialect: a mydumper file with routines
			      or triggers */
	/* Which table is that?  NULL: not known.  Default: the last one that
	 * the dump created, if it is that.  It must live as long as the
	 * reader. */
	const struct sql_table *(*find_table)(void *arg,
					      const struct sql_name *name);
	void *find_arg;
	size_t buffer;	/* to begin with; 0: SQL_BUFFER */
	uint64_t limit; /* of a row or statement; 0: SQL_LIMIT */
};

enum sql_event_kind {
	SQL_END, /* of the dump; has no bytes */
	SQL_SPACE,
	SQL_TEXT,
	SQL_USE,
	SQL_CREATE_DATABASE,
	SQL_CREATE_TABLE,
	SQL_INSERT, /* its head: all before the first row's '(' */
	SQL_ROW,
	SQL_INSERT_END, /* ON DUPLICATE KEY UPDATE ..., white space, nothing */
	SQL_DELIMITER,
};

struct sql_event {
	enum sql_event_kind kind;
	const char *bytes; /* verbatim */
	size_t len;
	uint64_t offset; /* of the first of them in the dump */
	bool comment;	 /* of SPACE: it is a piece of one comment */
	/* of TEXT, USE, CREATE_* */
	struct sql_what what;
	/* of CREATE_TABLE; sql_table_get() to keep it */
	struct sql_table *table;
	/* of INSERT, ROW, INSERT_END */
	const struct sql_insert *insert;
	/* of ROW: bytes before its '(', comma and white space; of INSERT_END:
	 * before ON DUPLICATE KEY UPDATE, len where there is none */
	size_t lead;
	/* of ROW */
	const struct sql_value *values;
	unsigned nr_values;
	uint64_t row; /* number in its table, from 1 */
};

struct sql_error {
	int code;	 /* -errno */
	uint64_t offset; /* byte in the dump */
	uint64_t line;	 /* from 1 */
	/* in which table's rows, and the last that was whole; "": none yet */
	char table[2 * SQL_NAME_MAX + 2];
	uint64_t row;
	char text[1024]; /* a sentence that says all of this */
};

/* What the dump's own last comment says. */
enum sql_ending {
	SQL_ENDING_UNKNOWN,   /* of a tool that writes no such comment */
	SQL_ENDING_COMPLETE,  /* "Dump completed" */
	SQL_ENDING_TRUNCATED, /* mysqldump's or mariadb-dump's, and not there */
};

struct sql_reader;

/** Errors: -ENOMEM */
int sql_reader_new(const struct sql_reader_options *options,
		   struct sql_reader **out);
void sql_reader_free(struct sql_reader *r);

/**
 * The next event.  After SQL_END, SQL_END again; after an error, it again.
 *
 * Errors: -EBADMSG the dump is cut or damaged; -EFBIG a row or statement is
 *         longer than the limit, a CREATE TABLE than SQL_TABLE_TEXT_MAX;
 *         -ENOTSUP its character set; -EILSEQ a text column's value is not
 *         UTF-8 though the dump says so; -ENOMEM; what read gave.
 *         sql_reader_error() says it in a sentence.
 */
int sql_reader_next(struct sql_reader *r, struct sql_event *ev);

/** The error, or NULL. */
const struct sql_error *sql_reader_error(const struct sql_reader *r);

/** After SQL_END. */
enum sql_ending sql_reader_ending(const struct sql_reader *r);

/** Line of the current event's first byte, from 1; not cheap. */
uint64_t sql_reader_line(const struct sql_reader *r);

/** Bytes of the dump that events were given for. */
uint64_t sql_reader_offset(const struct sql_reader *r);

/** The current database, NULL: none. */
const char *sql_reader_db(const struct sql_reader *r);

/** How the dump is to be read at this point. */
const struct sql_dialect *sql_reader_dialect(const struct sql_reader *r);

#endif
