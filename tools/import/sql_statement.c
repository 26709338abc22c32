/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/sql_statement.h"

#include <errno.h>
#include <stdlib.h>

/* CREATE ... TABLE: so many tokens may stand between, as a DEFINER's. */
#define OBJECT_TOKENS 32u
#define COLUMNS_MAX   65536u

static bool at_end(const struct sql_token *t)
{
	return t->kind == SQL_TOK_END || t->kind == SQL_TOK_MORE;
}

static int name_of(struct sql_arena **arena, const struct sql_token *t,
		   const char **out)
{
	char *text = sql_arena_alloc(arena, t->len + 1);

	if (!text)
		return -ENOMEM;
	sql_token_name(t, text);
	*out = text;
	return 0;
}

/* Take table or db.table.  -EBADMSG: there is none; -EAGAIN. */
static int qualified(struct sql_lexer *lex, const char *db,
		     struct sql_arena **arena, struct sql_name *name)
{
	struct sql_token t = sql_lexer_next(lex), dot;
	int err;

	if (t.kind == SQL_TOK_MORE)
		return -EAGAIN;
	if (!sql_token_is_name(&t))
		return -EBADMSG;
	name->db = NULL;
	err = name_of(arena, &t, &name->table);
	if (err)
		return err;
	dot = sql_lexer_peek(lex);
	if (dot.kind == SQL_TOK_MORE)
		return -EAGAIN;
	if (sql_token_is_sign(&dot, '.')) {
		sql_lexer_next(lex);
		name->db = name->table;
		t = sql_lexer_next(lex);
		if (t.kind == SQL_TOK_MORE)
			return -EAGAIN;
		if (!sql_token_is_name(&t))
			return -EBADMSG;
		return name_of(arena, &t, &name->table);
	}
	if (db) {
		name->db = sql_arena_text(arena, db, strlen(db));
		if (!name->db)
			return -ENOMEM;
	}
	return 0;
}

/* ---- what it is ---------------------------------------------------------- */

static const struct {
	const char *word;
	enum sql_verb verb;
} verbs[] = {
	{"SET", SQL_VERB_SET},
	{"USE", SQL_VERB_USE},
	{"CREATE", SQL_VERB_CREATE_OTHER},
	{"DROP", SQL_VERB_DROP_OTHER},
	{"ALTER", SQL_VERB_HARMLESS},
	{"LOCK", SQL_VERB_LOCK},
	{"UNLOCK", SQL_VERB_UNLOCK},
	{"INSERT", SQL_VERB_INSERT},
	{"REPLACE", SQL_VERB_INSERT},
	{"COMMIT", SQL_VERB_HARMLESS},
	{"START", SQL_VERB_HARMLESS},
	{"BEGIN", SQL_VERB_HARMLESS},
	{"ROLLBACK", SQL_VERB_HARMLESS},
	{"DO", SQL_VERB_HARMLESS},
	{"ANALYZE", SQL_VERB_HARMLESS},
	{"OPTIMIZE", SQL_VERB_HARMLESS},
	{"FLUSH", SQL_VERB_LEFT_OUT},
	{"GRANT", SQL_VERB_LEFT_OUT},
	{"REVOKE", SQL_VERB_LEFT_OUT},
	{"CHANGE", SQL_VERB_LEFT_OUT},
	{"INSTALL", SQL_VERB_LEFT_OUT},
	{"DELETE", SQL_VERB_LEFT_OUT},
	{"TRUNCATE", SQL_VERB_LEFT_OUT},
	{"STOP", SQL_VERB_LEFT_OUT},
};

/* What CREATE, DROP and ALTER are of. */
static const struct {
	const char *word;
	enum sql_verb create, drop, alter;
} objects[] = {
	{"TABLE", SQL_VERB_CREATE_TABLE, SQL_VERB_DROP_TABLE,
	 SQL_VERB_ALTER_TABLE},
	{"VIEW", SQL_VERB_CREATE_VIEW, SQL_VERB_DROP_VIEW, SQL_VERB_HARMLESS},
	{"TRIGGER", SQL_VERB_CREATE_TRIGGER, SQL_VERB_DROP_OTHER,
	 SQL_VERB_HARMLESS},
	{"DATABASE", SQL_VERB_CREATE_DATABASE, SQL_VERB_DROP_OTHER,
	 SQL_VERB_HARMLESS},
	{"SCHEMA", SQL_VERB_CREATE_DATABASE, SQL_VERB_DROP_OTHER,
	 SQL_VERB_HARMLESS},
	/* accounts and passwords of production */
	{"USER", SQL_VERB_LEFT_OUT, SQL_VERB_LEFT_OUT, SQL_VERB_LEFT_OUT},
	{"ROLE", SQL_VERB_LEFT_OUT, SQL_VERB_LEFT_OUT, SQL_VERB_LEFT_OUT},
	{"SERVER", SQL_VERB_LEFT_OUT, SQL_VERB_LEFT_OUT, SQL_VERB_LEFT_OUT},
	{"TEMPORARY", SQL_VERB_OTHER, SQL_VERB_OTHER, SQL_VERB_OTHER},
};

static const char *const other_objects[] = {
	"FUNCTION", "PROCEDURE", "EVENT",      "SEQUENCE",
	"PACKAGE",  "INDEX",	 "TABLESPACE",
};

/* To past the word that says what the object is. */
static void find_object(struct sql_lexer *lex, struct sql_what *out)
{
	const enum sql_verb verb = out->verb;

	for (unsigned n = 0; n < OBJECT_TOKENS; n++) {
		const struct sql_token t = sql_lexer_next(lex);

		if (at_end(&t))
			return;
		for (size_t i = 0; i < sizeof(objects) / sizeof(*objects); i++)
			if (sql_token_is(&t, objects[i].word)) {
				out->verb = verb == SQL_VERB_CREATE_OTHER
						    ? objects[i].create
					    : verb == SQL_VERB_DROP_OTHER
						    ? objects[i].drop
						    : objects[i].alter;
				return;
			}
		for (size_t i = 0;
		     i < sizeof(other_objects) / sizeof(*other_objects); i++)
			if (sql_token_is(&t, other_objects[i]))
				return;
	}
}

/* CREATE TRIGGER name BEFORE INSERT ON table: to past ON. */
static void find_trigger_table(struct sql_lexer *lex)
{
	for (unsigned n = 0; n < OBJECT_TOKENS; n++) {
		const struct sql_token t = sql_lexer_next(lex);

		if (at_end(&t) || sql_token_is(&t, "ON"))
			return;
	}
}

static void skip_if_exists(struct sql_lexer *lex)
{
	struct sql_token t = sql_lexer_peek(lex);

	while (sql_token_is(&t, "IF") || sql_token_is(&t, "NOT") ||
	       sql_token_is(&t, "EXISTS") || sql_token_is(&t, "TABLES")) {
		sql_lexer_next(lex);
		t = sql_lexer_peek(lex);
	}
}

/* DROP TABLE a, b; LOCK TABLES a READ, b WRITE */
static bool names_many(struct sql_lexer *lex)
{
	for (unsigned n = 0; n < OBJECT_TOKENS; n++) {
		const struct sql_token t = sql_lexer_next(lex);

		if (at_end(&t))
			return false;
		if (sql_token_is_sign(&t, ','))
			return true;
	}
	return true;
}

static bool has_rows(struct sql_lexer *lex)
{
	size_t depth = 0;

	for (;;) {
		const struct sql_token t = sql_lexer_next(lex);

		if (at_end(&t))
			return false;
		if (sql_token_is_sign(&t, '('))
			depth++;
		else if (sql_token_is_sign(&t, ')') && depth > 0)
			depth--;
		else if (sql_token_is(&t, "SELECT") ||
			 (depth == 0 && (sql_token_is(&t, "AS") ||
					 sql_token_is(&t, "VALUES"))))
			return true;
	}
}

static bool takes_name(enum sql_verb verb)
{
	switch (verb) {
	case SQL_VERB_CREATE_TABLE:
	case SQL_VERB_CREATE_VIEW:
	case SQL_VERB_CREATE_TRIGGER:
	case SQL_VERB_DROP_TABLE:
	case SQL_VERB_DROP_VIEW:
	case SQL_VERB_ALTER_TABLE:
	case SQL_VERB_LOCK:
		return true;
	default:
		return false;
	}
}

int sql_statement_classify(const struct sql_dialect *d, const char *text,
			   size_t len, const char *db, struct sql_arena **arena,
			   struct sql_what *out)
{
	struct sql_lexer lex = {
		.p = text,
		.end = text + len,
		.dialect = d,
		.whole = true,
	};
	const struct sql_token t = sql_lexer_next(&lex);
	int err;

	*out = (struct sql_what){.verb = SQL_VERB_OTHER};
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (sql_token_is(&t, verbs[i].word))
			out->verb = verbs[i].verb;
	if (out->verb == SQL_VERB_SET) {
		const struct sql_token next = sql_lexer_peek(&lex);

		/* SET STATEMENT ... FOR any other */
		if (sql_token_is(&next, "STATEMENT"))
			out->verb = SQL_VERB_OTHER;
	}
	if (out->verb == SQL_VERB_CREATE_OTHER ||
	    out->verb == SQL_VERB_DROP_OTHER || sql_token_is(&t, "ALTER"))
		find_object(&lex, out);
	out->data = out->verb == SQL_VERB_OTHER || out->verb == SQL_VERB_INSERT;
	if (!takes_name(out->verb))
		return 0;
	if (out->verb == SQL_VERB_CREATE_TRIGGER)
		find_trigger_table(&lex);
	skip_if_exists(&lex);
	err = qualified(&lex, db, arena, &out->name);
	if (err && err != -ENOMEM) {
		out->name = (struct sql_name){0};
		err = 0;
	}
	if (out->verb == SQL_VERB_LOCK || out->verb == SQL_VERB_DROP_TABLE)
		out->many = names_many(&lex);
	if (out->verb == SQL_VERB_CREATE_TABLE)
		out->data = has_rows(&lex);
	return err;
}

/* ---- INSERT -------------------------------------------------------------- */

static int insert_columns(struct sql_lexer *lex, struct sql_arena **arena,
			  struct sql_insert *out)
{
	struct sql_token t = sql_lexer_next(lex); /* the '(' */
	const struct sql_lexer before = *lex;
	unsigned nr = 1;

	/* how many, before there is memory for them */
	for (;;) {
		t = sql_lexer_next(lex);
		if (t.kind == SQL_TOK_MORE)
			return -EAGAIN;
		if (sql_token_is_sign(&t, ')'))
			break;
		if (sql_token_is_sign(&t, ','))
			nr++;
		else if (!sql_token_is_name(&t))
			return -EBADMSG;
		if (nr > COLUMNS_MAX)
			return -EBADMSG;
	}
	out->columns = sql_arena_alloc(arena, nr * sizeof(char *));
	if (!out->columns)
		return -ENOMEM;
	*lex = before;
	for (;;) {
		int err;

		t = sql_lexer_next(lex);
		if (sql_token_is_sign(&t, ')') && out->nr_columns == 0)
			return 0;
		if (!sql_token_is_name(&t))
			return -EBADMSG;
		err = name_of(arena, &t, &out->columns[out->nr_columns]);
		if (err)
			return err;
		out->nr_columns++;
		t = sql_lexer_next(lex);
		if (sql_token_is_sign(&t, ')'))
			return 0;
		if (!sql_token_is_sign(&t, ','))
			return -EBADMSG;
	}
}

int sql_statement_insert(const struct sql_dialect *d, const char *p,
			 const char *end, bool whole, const char *db,
			 struct sql_arena **arena, struct sql_insert *out,
			 const char **rows)
{
	struct sql_lexer lex = {
		.p = p,
		.end = end,
		.dialect = d,
		.whole = whole,
	};
	struct sql_token t = sql_lexer_next(&lex);
	int err;

	*out = (struct sql_insert){0};
	if (t.kind == SQL_TOK_MORE)
		return whole ? -EBADMSG : -EAGAIN;
	out->replace = sql_token_is(&t, "REPLACE");
	if (!out->replace && !sql_token_is(&t, "INSERT"))
		return -EBADMSG;
	for (;;) {
		t = sql_lexer_peek(&lex);
		if (sql_token_is(&t, "IGNORE"))
			out->ignore = true;
		else if (!sql_token_is(&t, "LOW_PRIORITY") &&
			 !sql_token_is(&t, "DELAYED") &&
			 !sql_token_is(&t, "HIGH_PRIORITY") &&
			 !sql_token_is(&t, "INTO"))
			break;
		sql_lexer_next(&lex);
	}
	err = qualified(&lex, db, arena, &out->name);
	if (err)
		return err == -EAGAIN && whole ? -EBADMSG : err;
	t = sql_lexer_peek(&lex);
	if (sql_token_is_sign(&t, '(')) {
		err = insert_columns(&lex, arena, out);
		if (err)
			return err == -EAGAIN && whole ? -EBADMSG : err;
	}
	t = sql_lexer_next(&lex);
	if (t.kind == SQL_TOK_MORE)
		return whole ? -EBADMSG : -EAGAIN;
	if (!sql_token_is(&t, "VALUES") && !sql_token_is(&t, "VALUE"))
		return -EBADMSG;
	t = sql_lexer_next(&lex);
	if (t.kind == SQL_TOK_MORE)
		return whole ? -EBADMSG : -EAGAIN;
	if (!sql_token_is_sign(&t, '(') || lex.depth > 0)
		return -EBADMSG;
	/* which columns it has may depend on the server's version */
	if (memmem(p, (size_t)(t.p - p), "/*!", 3) ||
	    memmem(p, (size_t)(t.p - p), "/*M!", 4))
		return -EBADMSG;
	*rows = t.p;
	return 0;
}
