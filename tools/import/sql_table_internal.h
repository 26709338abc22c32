/* SPDX-License-Identifier: Apache-2.0 */
/* sql_table_internal.h - shared by sql_table*.c: a cursor over the tokens */
#ifndef DBS_TOOLS_IMPORT_SQL_TABLE_INTERNAL_H
#define DBS_TOOLS_IMPORT_SQL_TABLE_INTERNAL_H

#include "tools/import/sql_table.h"

struct parser {
	struct sql_table *t;
	struct sql_lexer lex;
	struct sql_token tok; /* next one, not taken */
	const char *taken;    /* past the last one taken */
	int err;	      /* the first; later calls do nothing */
};

void parser_take(struct parser *ps);
static inline bool parser_is(const struct parser *ps, const char *word)
{
	return sql_token_is(&ps->tok, word);
}
static inline bool parser_is_sign(const struct parser *ps, char c)
{
	return sql_token_is_sign(&ps->tok, c);
}
/** Take the next token if it is @word. */
bool parser_accept(struct parser *ps, const char *word);
bool parser_accept_sign(struct parser *ps, char c);
bool parser_at_end(const struct parser *ps);
/** Is the next a comma or parenthesis that ends a definition? */
static inline bool parser_at_def_end(const struct parser *ps)
{
	return parser_at_end(ps) || parser_is_sign(ps, ',') ||
	       parser_is_sign(ps, ')');
}
/** Take the next token, with all that it encloses if it is a '('. */
void parser_skip(struct parser *ps);
/** Take a name; NULL: there is none, and ps->err is set. */
const char *parser_name(struct parser *ps);
/** Take table or db.table; the db is as it was where none is named. */
void parser_qualified(struct parser *ps, struct sql_name *name);
/** Take a word or string, lower case, after an optional '='. */
const char *parser_lower(struct parser *ps);
/** Text [p, end) as a string of the table. */
const char *parser_text(struct parser *ps, const char *p, const char *end);

/** The rest of a column, whose name is next. */
void parser_column(struct parser *ps, struct sql_column *c);
/** The character set that has collation @name; memory of the table. */
const char *parser_collation(struct parser *ps, const char *name);

#endif
