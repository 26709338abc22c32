/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_table.h - what a CREATE TABLE says
 *
 * Below: sql_lexer, sql_value.  Above: sql_reader, rules, the loader.
 *
 * Owns a copy of the statement's text and all names; shared by reference
 * count, which is not atomic: one thread.
 *
 * Invariants:
 *  ST1  defs cover all that stands between the outer parentheses, in order,
 *       but for the commas, white space and comments between them.
 *  ST2  the text without keys plus its clauses make the same table, but for
 *       the order of keys.
 */
#ifndef DBS_TOOLS_IMPORT_SQL_TABLE_H
#define DBS_TOOLS_IMPORT_SQL_TABLE_H

#include "tools/import/sql_lexer.h"
#include "tools/import/sql_value.h"

#define SQL_TABLE_TEXT_MAX (16u << 20)

struct sql_name {
	const char *db; /* NULL: not known */
	const char *table;
};

enum sql_generated {
	SQL_GENERATED_NOT,
	SQL_GENERATED_VIRTUAL,
	SQL_GENERATED_STORED,
	SQL_GENERATED_ROW, /* start or end of a row's version */
};

/* What a column's values are. */
enum sql_class {
	SQL_CLASS_OTHER, /* spatial, vector, what is not known */
	SQL_CLASS_NUMBER,
	SQL_CLASS_TIME,
	SQL_CLASS_TEXT, /* has a character set; json, enum and set too */
	SQL_CLASS_BINARY,
};

struct sql_column {
	const char *name;
	const char *type; /* as written: "int(10) unsigned", "enum('a','b')" */
	const char *base; /* lower case: "int" */
	enum sql_class class;
	/* the most it holds: characters of char and varchar, bytes of texts and
	 * binaries; 0: does not apply */
	uint64_t length;
	bool length_is_bytes;
	const char *charset; /* of texts, lower case; NULL: not said anywhere */
	const char *def;     /* of DEFAULT, as written; NULL: none */
	bool nullable, auto_increment, invisible;
	bool inline_key; /* PRIMARY KEY or UNIQUE stands with the column */
	enum sql_generated generated;
};

enum sql_key_kind {
	SQL_KEY_PRIMARY,
	SQL_KEY_UNIQUE,
	SQL_KEY_PLAIN,
	SQL_KEY_FULLTEXT,
	SQL_KEY_SPATIAL,
	SQL_KEY_FOREIGN,
	SQL_KEY_OTHER, /* vector */
};

struct sql_key {
	enum sql_key_kind kind;
	const char *name; /* NULL: none given */
	const char **columns;
	unsigned nr_columns;
	bool expression;	 /* has parts that aren't columns */
	bool odd;		 /* not to be moved */
	struct sql_name foreign; /* db NULL: the table's */
	const char **foreign_columns;
	unsigned nr_foreign_columns;
	size_t start, end; /* its bytes in the text, without commas */
};

struct sql_def {
	size_t start, end;
	int key; /* index in keys; -1: a column, check or period */
};

struct sql_table {
	unsigned refs;
	struct sql_name name;
	char *text; /* SQL_SLACK zeros follow it */
	size_t len;
	struct sql_column *columns;
	unsigned nr_columns;
	struct sql_key *keys;
	unsigned nr_keys;
	struct sql_def *defs;
	unsigned nr_defs;
	const char *charset; /* of the table, else as given to parse */
	const char *engine;  /* NULL: none said */
	bool partitioned, versioned;
	bool has_data; /* CREATE TABLE ... SELECT */
	struct sql_arena *arena;
};

/**
 * Read a CREATE TABLE without its delimiter.
 *
 * @db:      current database, NULL: not known
 * @charset: the database's default, NULL: not known
 * @out:     out; untouched on error
 *
 * Errors: -EBADMSG it is none that can be understood (LIKE, no columns);
 *         -EFBIG longer than SQL_TABLE_TEXT_MAX; -ENOMEM
 */
int sql_table_parse(const struct sql_dialect *d, const char *text, size_t len,
		    const char *db, const char *charset,
		    struct sql_table **out);
struct sql_table *sql_table_get(struct sql_table *table);
void sql_table_put(struct sql_table *table);

/** Index of a column by name, whatever its case; -1: there is none. */
int sql_table_column(const struct sql_table *table, const char *name);

/* ---- keys after the data ------------------------------------------------- */

#define SQL_KEYS_ALL	     0u
#define SQL_KEYS_KEEP_UNIQUE 1u /* REPLACE and INSERT IGNORE need them */

struct sql_clause {
	char *text; /* "ADD KEY `a` (`a`)" */
	enum sql_key_kind kind;
	bool alone; /* in an ALTER TABLE of its own: full text, spatial */
};

struct sql_split {
	char *create; /* without the keys */
	size_t len;
	struct sql_clause *clauses; /* foreign keys last */
	unsigned nr_clauses;
};

/**
 * Take those keys out of @table that can be added when its rows are there.
 * What is in doubt stays: all keys of engines other than InnoDB, of versioned
 * tables, of tables whose foreign keys stay; a unique key without a primary
 * one; one that AUTO_INCREMENT needs; those on expressions and generated
 * columns; unique keys of partitioned tables.
 *
 * The keys of all tables are to be added before any foreign key.
 *
 * Owner:  the caller, until sql_split_release()
 * Errors: -ENOMEM
 */
int sql_table_without_keys(const struct sql_table *table, unsigned flags,
			   struct sql_split *out);
void sql_split_release(struct sql_split *split);

/* ---- memory of names ----------------------------------------------------- */

struct sql_arena;
/** Zeroed and aligned for anything; NULL: no memory. */
void *sql_arena_alloc(struct sql_arena **arena, size_t len);
char *sql_arena_text(struct sql_arena **arena, const char *p, size_t len);
void sql_arena_free(struct sql_arena *arena);

#endif
