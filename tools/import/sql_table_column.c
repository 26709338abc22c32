/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "tools/import/sql_table_internal.h"

#define TINY   255u
#define SMALL  65535u
#define MEDIUM 16777215u
#define LONG   4294967295u

static const struct type {
	const char *base;
	enum sql_class class;
	uint64_t length; /* where none is written */
	bool bytes;	 /* the length is in bytes */
} types[] = {
	{"char", SQL_CLASS_TEXT, 1, false},
	{"varchar", SQL_CLASS_TEXT, 0, false},
	{"nchar", SQL_CLASS_TEXT, 1, false},
	{"nvarchar", SQL_CLASS_TEXT, 0, false},
	{"tinytext", SQL_CLASS_TEXT, TINY, true},
	{"text", SQL_CLASS_TEXT, SMALL, true},
	{"mediumtext", SQL_CLASS_TEXT, MEDIUM, true},
	{"longtext", SQL_CLASS_TEXT, LONG, true},
	{"long", SQL_CLASS_TEXT, MEDIUM, true},
	{"json", SQL_CLASS_TEXT, LONG, true},
	{"enum", SQL_CLASS_TEXT, 0, false},
	{"set", SQL_CLASS_TEXT, 0, false},
	{"binary", SQL_CLASS_BINARY, 1, true},
	{"varbinary", SQL_CLASS_BINARY, 0, true},
	{"tinyblob", SQL_CLASS_BINARY, TINY, true},
	{"blob", SQL_CLASS_BINARY, SMALL, true},
	{"mediumblob", SQL_CLASS_BINARY, MEDIUM, true},
	{"longblob", SQL_CLASS_BINARY, LONG, true},
	{"tinyint", SQL_CLASS_NUMBER, 0, false},
	{"smallint", SQL_CLASS_NUMBER, 0, false},
	{"mediumint", SQL_CLASS_NUMBER, 0, false},
	{"int", SQL_CLASS_NUMBER, 0, false},
	{"integer", SQL_CLASS_NUMBER, 0, false},
	{"bigint", SQL_CLASS_NUMBER, 0, false},
	{"serial", SQL_CLASS_NUMBER, 0, false},
	{"decimal", SQL_CLASS_NUMBER, 0, false},
	{"dec", SQL_CLASS_NUMBER, 0, false},
	{"numeric", SQL_CLASS_NUMBER, 0, false},
	{"fixed", SQL_CLASS_NUMBER, 0, false},
	{"float", SQL_CLASS_NUMBER, 0, false},
	{"double", SQL_CLASS_NUMBER, 0, false},
	{"real", SQL_CLASS_NUMBER, 0, false},
	{"bool", SQL_CLASS_NUMBER, 0, false},
	{"boolean", SQL_CLASS_NUMBER, 0, false},
	{"bit", SQL_CLASS_NUMBER, 0, false},
	{"date", SQL_CLASS_TIME, 0, false},
	{"time", SQL_CLASS_TIME, 0, false},
	{"datetime", SQL_CLASS_TIME, 0, false},
	{"timestamp", SQL_CLASS_TIME, 0, false},
	{"year", SQL_CLASS_TIME, 0, false},
};

static const struct type *find_type(const char *base)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (!strcmp(types[i].base, base))
			return &types[i];
	return NULL;
}

static bool has_length(const struct type *type)
{
	const char *base = type->base;

	return (type->class == SQL_CLASS_TEXT && strcmp(base, "enum") != 0 &&
		strcmp(base, "set") != 0 && strcmp(base, "json") != 0) ||
	       type->class == SQL_CLASS_BINARY;
}

/* "character varying", "national char", "double precision" */
static const char *type_words(struct parser *ps)
{
	const char *base;

	if (ps->tok.kind != SQL_TOK_WORD) {
		ps->err = ps->err ? ps->err : -EBADMSG;
		return NULL;
	}
	base = parser_lower(ps);
	if (!base)
		return NULL;
	if (!strcmp(base, "national"))
		base = parser_lower(ps);
	if (!base)
		return NULL;
	if (!strcmp(base, "character"))
		base = "char";
	if (!strcmp(base, "char") && parser_accept(ps, "VARYING"))
		base = "varchar";
	if (!strcmp(base, "double"))
		parser_accept(ps, "PRECISION");
	if (!strcmp(base, "long") && parser_accept(ps, "VARBINARY"))
		base = "mediumblob";
	else if (!strcmp(base, "long"))
		parser_accept(ps, "VARCHAR");
	return base;
}

static void column_type(struct parser *ps, struct sql_column *c)
{
	const char *start = ps->tok.p;
	const struct type *type;
	uint64_t length = 0;
	bool given = false;

	c->base = type_words(ps);
	if (!c->base)
		return;
	if (parser_is_sign(ps, '(')) {
		const struct sql_token first = sql_lexer_peek(&ps->lex);

		if (first.kind == SQL_TOK_WORD) {
			/* the text has zeros behind it */
			length = strtoull(first.p, NULL, 10);
			given = true;
		}
		parser_skip(ps);
	}
	while (parser_is(ps, "UNSIGNED") || parser_is(ps, "SIGNED") ||
	       parser_is(ps, "ZEROFILL"))
		parser_take(ps);
	c->type = parser_text(ps, start, ps->taken);
	type = find_type(c->base);
	if (!type)
		return;
	c->class = type->class;
	c->length = given && has_length(type) ? length : type->length;
	c->length_is_bytes = type->bytes;
}

const char *parser_collation(struct parser *ps, const char *name)
{
	const char *end = name ? strchr(name, '_') : NULL;

	if (!end)
		return name;
	return parser_text(ps, name, end);
}

/* A literal, a call or an expression in parentheses. */
static const char *column_default(struct parser *ps)
{
	const char *start = ps->tok.p;
	bool word;

	if (parser_is_sign(ps, '-') || parser_is_sign(ps, '+'))
		parser_take(ps);
	if (parser_at_def_end(ps))
		return NULL;
	word = ps->tok.kind == SQL_TOK_WORD;
	parser_skip(ps);
	/* 1.5 is three tokens, b'1' two, now() three */
	while (word && ps->tok.p == ps->taken && !parser_at_def_end(ps))
		parser_skip(ps);
	return parser_text(ps, start, ps->taken);
}

static void generated(struct parser *ps, struct sql_column *c)
{
	if (parser_accept(ps, "ROW"))
		c->generated = SQL_GENERATED_ROW;
	else if (c->generated == SQL_GENERATED_NOT)
		c->generated = SQL_GENERATED_VIRTUAL;
}

/* Take one attribute, or a token that is of no interest. */
static void column_attribute(struct parser *ps, struct sql_column *c,
			     const char **collation)
{
	if (parser_accept(ps, "NOT")) {
		if (parser_accept(ps, "NULL"))
			c->nullable = false;
	} else if (parser_accept(ps, "DEFAULT")) {
		c->def = column_default(ps);
	} else if (parser_accept(ps, "CHARACTER")) {
		if (parser_accept(ps, "SET"))
			c->charset = parser_lower(ps);
	} else if (parser_accept(ps, "CHARSET")) {
		c->charset = parser_lower(ps);
	} else if (parser_accept(ps, "COLLATE")) {
		*collation = parser_lower(ps);
	} else if (parser_accept(ps, "AUTO_INCREMENT")) {
		c->auto_increment = true;
	} else if (parser_accept(ps, "AS")) {
		generated(ps, c);
	} else if (parser_accept(ps, "STORED") ||
		   parser_accept(ps, "PERSISTENT")) {
		c->generated = SQL_GENERATED_STORED;
	} else if (parser_accept(ps, "INVISIBLE")) {
		c->invisible = true;
	} else if (parser_accept(ps, "PRIMARY")) {
		c->inline_key = true;
		c->nullable = false;
	} else if (parser_accept(ps, "UNIQUE")) {
		c->inline_key = true;
	} else if (parser_accept(ps, "SYSTEM")) {
		ps->t->versioned |= parser_is(ps, "VERSIONING");
	} else {
		parser_skip(ps);
	}
}

void parser_column(struct parser *ps, struct sql_column *c)
{
	const char *collation = NULL;

	*c = (struct sql_column){.nullable = true};
	c->name = parser_name(ps);
	if (ps->err)
		return;
	column_type(ps, c);
	while (!ps->err && !parser_at_def_end(ps))
		column_attribute(ps, c, &collation);
	if (!c->charset)
		c->charset = parser_collation(ps, collation);
	if (c->class == SQL_CLASS_TEXT && c->charset &&
	    !strcmp(c->charset, "binary")) {
		c->class = SQL_CLASS_BINARY;
		c->length_is_bytes = true;
	}
}
