/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_statement.h - what a statement does, and to which table
 *
 * Below: sql_lexer, sql_table (names).  Above: sql_reader.
 */
#ifndef DBS_TOOLS_IMPORT_SQL_STATEMENT_H
#define DBS_TOOLS_IMPORT_SQL_STATEMENT_H

#include "tools/import/sql_lexer.h"
#include "tools/import/sql_table.h"

enum sql_verb {
	SQL_VERB_OTHER, /* nothing that is known: it may carry data */
	SQL_VERB_SET,
	SQL_VERB_USE,
	SQL_VERB_CREATE_DATABASE,
	SQL_VERB_CREATE_TABLE,
	SQL_VERB_CREATE_VIEW,
	SQL_VERB_CREATE_TRIGGER, /* the name is that of its table */
	SQL_VERB_CREATE_OTHER,	 /* routine, event, sequence, user ... */
	SQL_VERB_DROP_TABLE,
	SQL_VERB_DROP_VIEW,
	SQL_VERB_DROP_OTHER,
	SQL_VERB_ALTER_TABLE,
	SQL_VERB_LOCK, /* TABLES */
	SQL_VERB_UNLOCK,
	SQL_VERB_INSERT,   /* and REPLACE */
	SQL_VERB_HARMLESS, /* COMMIT, DO, ANALYZE ...: carries no rows */
	SQL_VERB_LEFT_OUT, /* accounts, plugins, replication, DELETE */
};

struct sql_what {
	enum sql_verb verb;
	bool data;	      /* it may carry rows that can't be seen here */
	bool many;	      /* it names other tables too */
	struct sql_name name; /* where the verb has one; in the arena */
};

/**
 * Say what the whole statement [text, text + len) is.
 *
 * @db: current database, NULL: none
 *
 * Errors: -ENOMEM
 */
int sql_statement_classify(const struct sql_dialect *d, const char *text,
			   size_t len, const char *db, struct sql_arena **arena,
			   struct sql_what *out);

struct sql_insert {
	struct sql_name name;
	const char **columns; /* NULL: all, in the table's order */
	unsigned nr_columns;
	bool replace, ignore;
	/* as given by the dump before, or by the reader's options; NULL: not
	 * known */
	const struct sql_table *table;
};

/**
 * Read the head of an INSERT whose first word is at @p.
 *
 * @rows: out, the '(' of its first row
 *
 * Errors: -EAGAIN it may go on past @end; -EBADMSG it is none with VALUES, or
 *         none that is understood; -ENOMEM
 */
int sql_statement_insert(const struct sql_dialect *d, const char *p,
			 const char *end, bool whole, const char *db,
			 struct sql_arena **arena, struct sql_insert *out,
			 const char **rows);

#endif
