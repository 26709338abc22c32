/* SPDX-License-Identifier: Apache-2.0 */
/* import_statement.c - what of a dump goes to the server, and what does not */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "tools/import/import_internal.h"

/* Rows that nobody can look at. */
static int on_opaque(void *arg, const struct sql_event *text)
{
	struct import *im = arg;
	size_t len = 0;

	if (!im->rules || (!rules_strict(im->rules) && !im->proof))
		return 0;
	/* what it is, but no value of it: IM3 */
	while (len < text->len && len < 40 &&
	       !strchr("'\"(=", text->bytes[len]))
		len++;
	return REFUSE(im, CTL_CHECK_FAILED,
		      "the statement at byte %" PRIu64 " of the dump may carry "
		      "rows that no rule can be used on: '%.*s...'",
		      text->offset, (int)len, text->bytes);
}

/* SET of what is the server's, not the session's. */
static bool is_of_server(struct sql_lexer *lex)
{
	static const char *const words[] = {"GLOBAL", "PERSIST", "PERSIST_ONLY",
					    "PASSWORD", "ROLE"};

	for (;;) {
		const struct sql_token t = sql_lexer_next(lex);

		if (t.kind == SQL_TOK_END || t.kind == SQL_TOK_MORE)
			return false;
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (sql_token_is(&t, words[i]))
				return true;
	}
}

/* CREATE or DROP DATABASE, of the server's own ones. */
static bool is_of_system(struct sql_lexer *lex)
{
	static const char *const words[] = {"CREATE", "DROP", "DATABASE",
					    "SCHEMA", "IF",   "NOT",
					    "EXISTS", "OR",   "REPLACE"};
	struct sql_token t;
	char name[4 * SQL_NAME_MAX + 1];
	bool word;

	do {
		t = sql_lexer_next(lex);
		word = false;
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			word |= sql_token_is(&t, words[i]);
	} while (word);
	if (!sql_token_is_name(&t) || t.len >= sizeof(name))
		return false;
	sql_token_name(&t, name);
	return import_is_system(name);
}

static int on_leave_out(void *arg, const struct sql_event *text)
{
	struct import *im = arg;
	struct sql_lexer lex = {
		.p = text->bytes,
		.end = text->bytes + text->len,
		.dialect = sql_reader_dialect(im->reader),
		.whole = true,
	};

	switch (text->what.verb) {
	case SQL_VERB_LEFT_OUT:
		return 1;
	case SQL_VERB_HARMLESS: {
		const struct sql_token t = sql_lexer_next(&lex);

		return sql_token_is(&t, "DO");
	}
	case SQL_VERB_SET:
		return is_of_server(&lex);
	case SQL_VERB_CREATE_DATABASE:
	case SQL_VERB_DROP_OTHER:
		return is_of_system(&lex);
	default:
		return 0;
	}
}

/* ---- statements to the server ---------------------------------------------- */

/* A dump that names no database gets one. */
static int need_database(struct import *im, uint64_t offset)
{
	const char *db = im->options->database;
	struct sql_buf b = {0};
	int err;

	if (im->made_db || (im->says_db && !im->part->db))
		return 0;
	if (im->part->db)
		return 0; /* mydumper: -schema-create made it */
	im->made_db = true;
	err = sql_buf_text(&b, "CREATE DATABASE IF NOT EXISTS ");
	if (!err)
		err = import_quote(&b, NULL, db);
	if (!err)
		err = load_alone(im->load, b.p, b.len, offset);
	b.len = 0;
	if (!err)
		err = sql_buf_text(&b, "USE ");
	if (!err)
		err = import_quote(&b, NULL, db);
	if (!err)
		err = load_session(im->load, b.p, b.len, offset);
	sql_buf_release(&b);
	return err;
}

static bool memmem_case(const char *text, size_t len, const char *word)
{
	const size_t n = strlen(word);

	for (size_t i = 0; i + n <= len; i++)
		if (!strncasecmp(text + i, word, n))
			return true;
	return false;
}

static int on_table_statement(struct import *im, const struct sql_statement *st)
{
	struct import_table *t = import_table_find(im, st->name);
	char full[2 * SQL_NAME_MAX + 2];

	snprintf(full, sizeof(full), "%s%s%s", st->name->db ? st->name->db : "",
		 st->name->db ? "." : "", st->name->table);
	if (t && st->verb == SQL_VERB_INSERT) {
		if (!t->is_row_wise) {
			t->nr_rows += st->nr_rows;
			t->nr_seen += st->nr_rows;
		}
		im->nr_rows += st->nr_rows;
	}
	if (t && st->verb == SQL_VERB_CREATE_TABLE && st->table)
		return import_create(im, t, st);
	/* as mysqldump does with what stood for a view until it is made */
	if (t && st->verb == SQL_VERB_DROP_TABLE)
		import_table_forget(im, t);
	if (t && st->verb == SQL_VERB_ALTER_TABLE &&
	    !memmem_case(st->sql, st->len, "ABLE KEYS"))
		t->is_altered = true;
	return load_table(im->load, full, st->sql, st->len, st->offset);
}

/*
 * Where each line may end a statement, as in mydumper's triggers, a client
 * would take a body's first one for the end: see publish_begin() in import.c.
 */
static int publish_statement(struct import *im, const struct sql_statement *st)
{
	int err;

	if (!im->dump || !im->part->ends_at_line)
		return 0;
	err = import_dump_write(im->dump, st->sql, st->len);
	return err ? err : import_dump_write(im->dump, "\n;;\n", 4);
}

static int on_statement(void *arg, const struct sql_statement *st)
{
	struct import *im = arg;
	int err = import_tick(im);

	if (!err)
		err = publish_statement(im, st);
	if (err)
		return err;
	switch (st->verb) {
	case SQL_VERB_LOCK:
	case SQL_VERB_UNLOCK:
	case SQL_VERB_HARMLESS:
	case SQL_VERB_LEFT_OUT:
		/* of one connection, and there are several */
		return 0;
	case SQL_VERB_SET:
		/* nor do its transactions matter: they would only lock */
		if (memmem_case(st->sql, st->len, "autocommit"))
			return 0;
		return load_session(im->load, st->sql, st->len, st->offset);
	case SQL_VERB_USE:
		im->says_db = true;
		return load_session(im->load, st->sql, st->len, st->offset);
	case SQL_VERB_CREATE_DATABASE:
		im->says_db = true;
		return load_alone(im->load, st->sql, st->len, st->offset);
	case SQL_VERB_DROP_OTHER:
		return load_alone(im->load, st->sql, st->len, st->offset);
	default:
		break;
	}
	err = need_database(im, st->offset);
	if (err)
		return err;
	switch (st->verb) {
	case SQL_VERB_CREATE_TABLE:
	case SQL_VERB_DROP_TABLE:
	case SQL_VERB_ALTER_TABLE:
	case SQL_VERB_INSERT:
		if (st->name && st->name->table)
			return on_table_statement(im, st);
		break;
	default:
		break;
	}
	return load_alone(im->load, st->sql, st->len, st->offset);
}

static int on_write(void *arg, const char *bytes, size_t len)
{
	struct import *im = arg;

	return im->dump && !im->part->ends_at_line
		       ? import_dump_write(im->dump, bytes, len)
		       : 0;
}

const struct sql_rewriter_ops import_ops = {
	.verdict = import_on_verdict,
	.create = import_on_create,
	.insert = import_on_insert,
	.row = import_on_row,
	.opaque = on_opaque,
	.leave_out = on_leave_out,
	.no_comments = true,
	.write = on_write,
	.statement = on_statement,
};
