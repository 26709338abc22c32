/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/sql_lexer.h"

#include <errno.h>
#include <string.h>

/* ---- comments ------------------------------------------------------------ */

#define SANDBOX "/*M!999999\\-"

static enum sql_comment block_comment_at(const char *p, const char *end,
					 bool whole)
{
	const size_t len = (size_t)(end - p);

	if (len < 3)
		return whole ? SQL_COMMENT_BLOCK : SQL_COMMENT_MORE;
	if (p[2] == '!')
		return SQL_COMMENT_EXECUTABLE;
	if (p[2] != 'M')
		return SQL_COMMENT_BLOCK;
	if (len < strlen(SANDBOX) && !whole)
		return SQL_COMMENT_MORE;
	if (len >= strlen(SANDBOX) && !memcmp(p, SANDBOX, strlen(SANDBOX)))
		return SQL_COMMENT_SANDBOX;
	return len > 3 && p[3] == '!' ? SQL_COMMENT_EXECUTABLE
				      : SQL_COMMENT_BLOCK;
}

enum sql_comment sql_comment_at(const char *p, const char *end, bool whole)
{
	const size_t len = (size_t)(end - p);

	if (len == 0)
		return SQL_COMMENT_NONE;
	if (*p == '#')
		return SQL_COMMENT_LINE;
	if (*p != '-' && *p != '/')
		return SQL_COMMENT_NONE;
	if (len < 2)
		return whole ? SQL_COMMENT_NONE : SQL_COMMENT_MORE;
	if (*p == '/')
		return p[1] == '*' ? block_comment_at(p, end, whole)
				   : SQL_COMMENT_NONE;
	if (p[1] != '-')
		return SQL_COMMENT_NONE;
	if (len < 3)
		return whole ? SQL_COMMENT_LINE : SQL_COMMENT_MORE;
	/* 1--1 is arithmetic */
	return (unsigned char)p[2] <= ' ' || p[2] == 127 ? SQL_COMMENT_LINE
							 : SQL_COMMENT_NONE;
}

const char *sql_comment_end(enum sql_comment kind, const char *p,
			    const char *end, bool whole)
{
	if (kind == SQL_COMMENT_LINE) {
		p = memchr(p, '\n', (size_t)(end - p));
		return p ? p + 1 : whole ? end : NULL;
	}
	for (p += 2; p < end; p++) {
		p = memchr(p, '*', (size_t)(end - p));
		if (!p)
			return NULL;
		if (p + 1 < end && p[1] == '/')
			return p + 2;
	}
	return NULL;
}

/* Past the head of an executable comment: its version. */
static const char *executable_body(const char *p, const char *end)
{
	p += p[2] == 'M' ? 4 : 3;
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

/* ---- tokens -------------------------------------------------------------- */

static struct sql_token token(enum sql_token_kind kind, const char *p,
			      const char *end)
{
	return (struct sql_token){kind, p, (size_t)(end - p)};
}

/* To the next token; END: it is at lex->p, or there is none. */
static enum sql_token_kind skip_space(struct sql_lexer *lex)
{
	while (lex->p < lex->end) {
		enum sql_comment comment;
		const char *p;

		if (sql_is_space(*lex->p)) {
			lex->p++;
			continue;
		}
		if (lex->depth > 0 && *lex->p == '*') {
			if (lex->p + 1 == lex->end && !lex->whole)
				return SQL_TOK_MORE;
			if (lex->p + 1 < lex->end && lex->p[1] == '/') {
				lex->p += 2;
				lex->depth--;
				continue;
			}
		}
		comment = sql_comment_at(lex->p, lex->end, lex->whole);
		if (comment == SQL_COMMENT_NONE)
			break;
		if (comment == SQL_COMMENT_MORE)
			return SQL_TOK_MORE;
		if (comment == SQL_COMMENT_EXECUTABLE) {
			p = executable_body(lex->p, lex->end);
			if (p == lex->end && !lex->whole)
				return SQL_TOK_MORE;
			lex->depth++;
		} else {
			p = sql_comment_end(comment, lex->p, lex->end,
					    lex->whole);
		}
		if (!p)
			return SQL_TOK_MORE;
		lex->p = p;
	}
	return SQL_TOK_END;
}

static struct sql_token quoted(struct sql_lexer *lex)
{
	const char *p = lex->p, quote = *p;
	const char escape =
		quote == '`' ? quote : sql_escape(lex->dialect, quote);
	unsigned flags = 0;
	const char *q = sql_scan_string(p + 1, lex->end, quote, escape,
					lex->whole, &flags);

	if (!q)
		return token(SQL_TOK_MORE, p, p);
	lex->p = q;
	return token(quote == '`'    ? SQL_TOK_NAME
		     : quote == '\'' ? SQL_TOK_STRING
				     : SQL_TOK_DOUBLE,
		     p, q);
}

struct sql_token sql_lexer_next(struct sql_lexer *lex)
{
	const struct sql_lexer before = *lex;
	struct sql_token t;
	const char *p;

	if (skip_space(lex) == SQL_TOK_MORE) {
		*lex = before;
		return token(SQL_TOK_MORE, lex->p, lex->p);
	}
	p = lex->p;
	if (p == lex->end)
		return token(lex->whole ? SQL_TOK_END : SQL_TOK_MORE, p, p);
	if (*p == '`' || *p == '\'' || *p == '"') {
		t = quoted(lex);
	} else if (sql_is_word(*p)) {
		while (p < lex->end && sql_is_word(*p))
			p++;
		if (p == lex->end && !lex->whole) {
			t = token(SQL_TOK_MORE, p, p);
		} else {
			t = token(SQL_TOK_WORD, lex->p, p);
			lex->p = p;
		}
	} else {
		t = token(SQL_TOK_SIGN, p, p + 1);
		lex->p++;
	}
	if (t.kind == SQL_TOK_MORE)
		*lex = before;
	return t;
}

struct sql_token sql_lexer_peek(const struct sql_lexer *lex)
{
	struct sql_lexer copy = *lex;

	return sql_lexer_next(&copy);
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

bool sql_token_is(const struct sql_token *t, const char *word)
{
	if (t->kind != SQL_TOK_WORD || strlen(word) != t->len)
		return false;
	for (size_t i = 0; i < t->len; i++)
		if (upper(t->p[i]) != word[i])
			return false;
	return true;
}

size_t sql_token_name(const struct sql_token *t, char *out)
{
	size_t len = 0;

	if (t->kind != SQL_TOK_NAME && t->kind != SQL_TOK_DOUBLE) {
		memcpy(out, t->p, t->len);
		len = t->len;
	} else {
		for (size_t i = 1; i + 1 < t->len; i++) {
			out[len++] = t->p[i];
			if (t->p[i] == t->p[0])
				i++;
		}
	}
	out[len] = '\0';
	return len;
}

/* ---- ends of statements -------------------------------------------------- */

int sql_delimiter_at(const struct sql_dialect *d, const char *p,
		     const char *end, bool whole)
{
	const size_t left = (size_t)(end - p);
	const size_t n = left < d->delimiter_len ? left : d->delimiter_len;

	if (n == 0 || memcmp(p, d->delimiter, n) != 0)
		return 0;
	if (n < d->delimiter_len)
		return whole ? 0 : -EAGAIN;
	if (!d->ends_at_line)
		return 1;
	p += n;
	if (p < end && *p == '\r')
		p++;
	if (p == end)
		return whole ? 1 : -EAGAIN;
	return *p == '\n';
}

/* Past the string, quoted name or comment at @p; @p where there is none. */
static int skip_opaque(const struct sql_dialect *d, const char **p,
		       const char *end, bool whole)
{
	const char c = **p, *q;
	enum sql_comment comment;
	unsigned flags = 0;

	if (c == '\'' || c == '"' || c == '`') {
		q = sql_scan_string(*p + 1, end, c,
				    c == '`' ? c : sql_escape(d, c), whole,
				    &flags);
	} else {
		comment = sql_comment_at(*p, end, whole);
		if (comment == SQL_COMMENT_NONE)
			return 0;
		if (comment == SQL_COMMENT_MORE)
			return -EAGAIN;
		if (comment == SQL_COMMENT_EXECUTABLE)
			q = *p + 3;
		else
			q = sql_comment_end(comment, *p, end, whole);
	}
	if (!q)
		return whole ? -EBADMSG : -EAGAIN;
	*p = q;
	return 0;
}

/* Bytes at which a statement's text has to be looked at. */
static const bool stops[256] = {
	['\''] = true, ['"'] = true, ['`'] = true,
	['/'] = true,  ['-'] = true, ['#'] = true,
};

int sql_statement_end(const struct sql_dialect *d, const char *p,
		      const char *end, bool whole, const char **at)
{
	const char first = d->delimiter[0];
	int err;

	while (p < end) {
		const char *before = p;

		if (*p == first) {
			err = sql_delimiter_at(d, p, end, whole);
			if (err < 0)
				return err;
			if (err) {
				*at = p;
				return 0;
			}
		}
		if (stops[(unsigned char)*p]) {
			err = skip_opaque(d, &p, end, whole);
			if (err) {
				*at = p;
				return err;
			}
		}
		if (p == before)
			p++;
	}
	if (!whole)
		return -EAGAIN;
	*at = end;
	return 0;
}
