/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_rewriter.h - a dump on its way: rows changed, rows and tables left out
 *
 * Below: sql_reader.  Above: the import.
 *
 * Gives a dump's bytes again, as a dump (write) and as statements for a server
 * (statement), either or both.
 *
 * Invariants:
 *  RW1  where nothing is changed or left out, what is written is the input,
 *       byte for byte.
 *  RW2  a statement is whole, has no delimiter, and has rows of one table or
 *       none; the statements in their order make what the dump makes.
 *  RW3  a value that a callback replaces is not in the output.
 */
#ifndef DBS_TOOLS_IMPORT_SQL_REWRITER_H
#define DBS_TOOLS_IMPORT_SQL_REWRITER_H

#include "tools/import/sql_reader.h"

#define SQL_STATEMENT_BYTES (1u << 20)

/* What becomes of a table. */
enum sql_verdict {
	SQL_TABLE_KEEP,
	SQL_TABLE_STRUCTURE, /* no rows */
	SQL_TABLE_SKIP,	     /* nothing: its triggers go too */
};

/* What becomes of an INSERT's rows. */
enum sql_rows_verdict {
	SQL_ROWS_KEEP, /* as they are; row is not called */
	SQL_ROWS_LOOK, /* row is called for each */
	SQL_ROWS_DROP,
};

enum sql_row_verdict {
	SQL_ROW_KEEP,
	SQL_ROW_CHANGED, /* cells say how */
	SQL_ROW_DROP,
};

/* What a value becomes. */
enum sql_cell_kind {
	SQL_CELL_KEEP,
	SQL_CELL_NULL,
	SQL_CELL_BYTES, /* decoded: a literal is made of them */
};

struct sql_cell {
	enum sql_cell_kind kind;
	const char *bytes; /* good until the next call of row */
	size_t len;
};

struct sql_statement {
	const char *sql; /* no NUL follows */
	size_t len;
	enum sql_verb verb;
	bool data;		       /* as in struct sql_what */
	const struct sql_name *name;   /* its table; NULL: none */
	const struct sql_table *table; /* of a CREATE TABLE */
	uint64_t nr_rows;
	uint64_t offset; /* in the dump, where it begins */
};

/* Each may be NULL.  A negative errno from one ends the run with it. */
struct sql_rewriter_ops {
	/** An enum sql_verdict; called once for many statements of a table. */
	int (*verdict)(void *arg, const struct sql_name *name);
	/** A CREATE TABLE that is kept. */
	int (*create)(void *arg, struct sql_table *table);
	/** An enum sql_rows_verdict; called again when columns change. */
	int (*insert)(void *arg, const struct sql_insert *insert);
	/** An enum sql_row_verdict; @cells has a KEEP for each value. */
	int (*row)(void *arg, const struct sql_event *row,
		   struct sql_cell *cells);
	/** A text that may carry rows which no other callback sees. */
	int (*opaque)(void *arg, const struct sql_event *text);

	/** Does a statement without rows go?  1, 0 or -errno */
	int (*leave_out)(void *arg, const struct sql_event *text);
	bool no_comments; /* write only those that dump tools know one by */

	int (*write)(void *arg, const char *bytes, size_t len);
	int (*statement)(void *arg, const struct sql_statement *statement);
};

struct sql_rewriter_stats {
	uint64_t nr_rows, nr_changed, nr_dropped; /* rows */
	uint64_t nr_statements;			  /* given to statement */
	uint64_t bytes_written;
};

struct sql_rewriter;

/**
 * @statement_bytes: INSERTs are cut to about this; 0: SQL_STATEMENT_BYTES
 *
 * Errors: -ENOMEM
 */
int sql_rewriter_new(struct sql_reader *reader,
		     const struct sql_rewriter_ops *ops, void *arg,
		     size_t statement_bytes, struct sql_rewriter **out);
void sql_rewriter_free(struct sql_rewriter *rw);

/**
 * One event of the dump.  Returns 1 where there may be more; 0 at its end, all
 * being written; or -errno.
 *
 * Errors: the reader's, sql_reader_error() says it then; a callback's; -ENOTSUP
 *         an INSERT that had to be cut has an ON DUPLICATE KEY UPDATE; -ENOMEM
 */
int sql_rewriter_step(struct sql_rewriter *rw);
/** All of them. */
int sql_rewriter_run(struct sql_rewriter *rw);

const struct sql_rewriter_stats *
sql_rewriter_stats(const struct sql_rewriter *rw);

#endif
