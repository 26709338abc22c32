/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_lexer.h - tokens of a statement, and where statements end
 *
 * Below: sql_scan.  Above: sql_row, sql_table, sql_session, sql_statement,
 * sql_reader.
 *
 * Works on bytes in memory, [p, end).  What may not be whole yet says so: the
 * caller comes back with more bytes and the same start.
 *
 * Invariants:
 *  SL1  a statement ends where the mysql and mariadb clients end it: at the
 *       delimiter outside of strings, quoted names and plain comments.  What
 *       stands in an executable comment is part of the statement.
 *  SL2  the tokens of an executable comment are tokens like others.
 */
#ifndef DBS_TOOLS_IMPORT_SQL_LEXER_H
#define DBS_TOOLS_IMPORT_SQL_LEXER_H

#include "tools/import/sql_scan.h"

#define SQL_DELIMITER_MAX 16u
#define SQL_NAME_MAX	  256u /* 64 characters of 4 bytes */

/* How a dump's text is to be read at one point of it. */
struct sql_dialect {
	bool no_backslash; /* SQL_MODE has NO_BACKSLASH_ESCAPES */
	bool ends_at_line; /* a delimiter ends a statement only before a newline,
			      as in mydumper's files */
	char delimiter[SQL_DELIMITER_MAX + 1];
	size_t delimiter_len;
};

/** '\\', or @quote where backslashes mean nothing. */
static inline char sql_escape(const struct sql_dialect *d, char quote)
{
	return d->no_backslash ? quote : '\\';
}

static inline bool sql_is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static inline bool sql_is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '_' || c == '$' ||
	       (unsigned char)c >= 0x80;
}

enum sql_token_kind {
	SQL_TOK_END,	/* nothing is left */
	SQL_TOK_MORE,	/* it may go on past the end */
	SQL_TOK_WORD,	/* keyword, bare name or number */
	SQL_TOK_NAME,	/* `quoted` */
	SQL_TOK_STRING, /* 'text' */
	SQL_TOK_DOUBLE, /* "text": a string or a name */
	SQL_TOK_SIGN,	/* any other byte */
};

struct sql_token {
	enum sql_token_kind kind;
	const char *p;
	size_t len;
};

struct sql_lexer {
	const char *p, *end;
	const struct sql_dialect *dialect;
	bool whole;	/* nothing follows @end */
	unsigned depth; /* executable comments that are open */
};

/** The next token; MORE, once returned, is returned again. */
struct sql_token sql_lexer_next(struct sql_lexer *lex);
/** The same without taking it. */
struct sql_token sql_lexer_peek(const struct sql_lexer *lex);

/** Is @t the bare word @word (upper case), whatever its case? */
bool sql_token_is(const struct sql_token *t, const char *word);
static inline bool sql_token_is_sign(const struct sql_token *t, char c)
{
	return t->kind == SQL_TOK_SIGN && *t->p == c;
}
/** Can it name something? */
static inline bool sql_token_is_name(const struct sql_token *t)
{
	return t->kind == SQL_TOK_WORD || t->kind == SQL_TOK_NAME ||
	       t->kind == SQL_TOK_DOUBLE;
}
/** The name in it, unquoted, into @out[@t->len + 1]; returns its length. */
size_t sql_token_name(const struct sql_token *t, char *out);

/* What a comment is; by its first bytes. */
enum sql_comment {
	SQL_COMMENT_NONE,
	SQL_COMMENT_MORE, /* too few bytes to say */
	SQL_COMMENT_LINE, /* # and -- */
	SQL_COMMENT_BLOCK,
	SQL_COMMENT_EXECUTABLE, /* slash, star, ! or M! */
	SQL_COMMENT_SANDBOX, /* the first line of mariadb-dump, for its client */
};
enum sql_comment sql_comment_at(const char *p, const char *end, bool whole);

/** Past the comment at @p (LINE, BLOCK, SANDBOX); NULL: not in [p, end). */
const char *sql_comment_end(enum sql_comment kind, const char *p,
			    const char *end, bool whole);

/** Is the delimiter at @p?  -EAGAIN: too few bytes to say; else 0 or 1. */
int sql_delimiter_at(const struct sql_dialect *d, const char *p,
		     const char *end, bool whole);

/**
 * Find the delimiter that ends the statement which begins at @p.
 *
 * @at: out, the delimiter, or @end where the statement isn't ended; untouched
 *      on error
 *
 * Returns 0; -EAGAIN it may go on past @end; -EBADMSG @whole, and it is cut
 * inside a string or comment, which begins at *@at.
 */
int sql_statement_end(const struct sql_dialect *d, const char *p,
		      const char *end, bool whole, const char **at);

#endif
