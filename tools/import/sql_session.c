/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/sql_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MODE		  "NO_BACKSLASH_ESCAPES"
#define MODE_BIT	  (UINT64_C(1) << 20) /* the same in a number */
#define DELIMITER_COMMAND "DELIMITER"

/* In these a quote or backslash can be half of a character. */
static const char *const unreadable[] = {"big5", "cp932", "gb18030", "gbk",
					 "sjis"};

void sql_session_init(struct sql_session *s)
{
	memset(s, 0, sizeof(*s));
	s->dialect.delimiter[0] = ';';
	s->dialect.delimiter_len = 1;
}

bool sql_session_is_utf8(const struct sql_session *s)
{
	const char *c = s->modes.charset;

	return !strcmp(c, "utf8mb4") || !strcmp(c, "utf8") ||
	       !strcmp(c, "utf8mb3");
}

/* ---- reading ------------------------------------------------------------- */

static struct sql_lexer lexer(const struct sql_session *s, const char *text,
			      size_t len)
{
	return (struct sql_lexer){
		.p = text,
		.end = text + len,
		.dialect = &s->dialect,
		.whole = true,
	};
}

static bool at_end(const struct sql_token *t)
{
	return t->kind == SQL_TOK_END || t->kind == SQL_TOK_MORE;
}

/* A name or string, unquoted, cut to @size - 1. */
static void unquote(const struct sql_token *t, char *out, size_t size)
{
	struct sql_token copy = *t;
	char *full;

	out[0] = '\0';
	if (copy.kind == SQL_TOK_STRING)
		copy.kind = SQL_TOK_DOUBLE;
	if (!sql_token_is_name(&copy) || copy.len > 4 * SQL_NAME_MAX)
		return;
	full = out;
	if (copy.len >= size) {
		char buf[4 * SQL_NAME_MAX + 1];

		sql_token_name(&copy, buf);
		memcpy(out, buf, size - 1);
		out[size - 1] = '\0';
		return;
	}
	sql_token_name(&copy, full);
}

static void unquote_lower(const struct sql_token *t, char *out, size_t size)
{
	unquote(t, out, size);
	for (; *out; out++)
		if (*out >= 'A' && *out <= 'Z')
			*out = (char)(*out - 'A' + 'a');
}

/* ---- SET ----------------------------------------------------------------- */

enum target {
	TARGET_OTHER,
	TARGET_USER, /* @name */
	TARGET_MODE,
	TARGET_CHARSET,
};

enum value_kind {
	VALUE_OTHER,
	VALUE_LITERAL, /* one token */
	VALUE_USER,    /* @name */
	VALUE_SYSTEM,  /* @@name */
};

struct value {
	enum value_kind kind;
	struct sql_token token; /* literal or name */
	const char *p, *end;	/* all of it */
};

/* The rest of @name or @@scope.name, whose first '@' is taken. */
static enum value_kind variable(struct sql_lexer *lex, struct sql_token *name)
{
	enum value_kind kind = VALUE_USER;
	struct sql_token next;

	*name = sql_lexer_next(lex);
	if (sql_token_is_sign(name, '@')) {
		kind = VALUE_SYSTEM;
		*name = sql_lexer_next(lex);
		next = sql_lexer_peek(lex);
		if (sql_token_is_sign(&next, '.')) {
			sql_lexer_next(lex);
			*name = sql_lexer_next(lex);
		}
	}
	return kind;
}

static struct value value(struct sql_lexer *lex)
{
	struct value v = {.p = lex->p, .end = lex->p};
	size_t depth = 0, nr = 0;

	for (;;) {
		struct sql_token t = sql_lexer_peek(lex);

		if (at_end(&t) || (depth == 0 && sql_token_is_sign(&t, ',')))
			break;
		sql_lexer_next(lex);
		v.end = lex->p;
		if (sql_token_is_sign(&t, '('))
			depth++;
		else if (sql_token_is_sign(&t, ')') && depth > 0)
			depth--;
		if (nr++ > 0) {
			v.kind = VALUE_OTHER;
		} else if (sql_token_is_sign(&t, '@')) {
			v.kind = variable(lex, &v.token);
			v.end = lex->p;
		} else {
			v.kind = VALUE_LITERAL;
			v.token = t;
		}
	}
	return v;
}

static bool has_word(const char *p, const char *end, const char *word)
{
	const size_t n = strlen(word);

	for (; (size_t)(end - p) >= n; p++)
		if (!strncasecmp(p, word, n))
			return true;
	return false;
}

static const struct sql_modes *saved_modes(const struct sql_session *s,
					   const struct sql_token *name)
{
	char text[SQL_NAME_MAX + 1];

	unquote(name, text, sizeof(text));
	for (unsigned i = 0; i < s->nr_saved; i++)
		if (!strcasecmp(s->saved[i].name, text))
			return &s->saved[i].modes;
	return NULL;
}

static void save(struct sql_session *s, const struct sql_token *name)
{
	struct sql_saved *to = NULL;
	char text[SQL_NAME_MAX + 1];

	unquote(name, text, sizeof(text));
	for (unsigned i = 0; i < s->nr_saved; i++)
		if (!strcasecmp(s->saved[i].name, text))
			to = &s->saved[i];
	if (!to) {
		if (s->nr_saved == SQL_SAVED_MAX) {
			memmove(s->saved, s->saved + 1,
				(SQL_SAVED_MAX - 1) * sizeof(*s->saved));
			s->nr_saved--;
		}
		to = &s->saved[s->nr_saved++];
		memcpy(to->name, text, sizeof(text));
	}
	to->modes = s->modes;
}

static const char unknown[] =
	"sql_mode or the character set is set to a variable that was not saved "
	"from one";

static int set_mode(struct sql_session *s, const struct value *v,
		    const char **what)
{
	const struct sql_modes *from;
	bool on = s->modes.no_backslash;

	switch (v->kind) {
	case VALUE_LITERAL:
		if (v->token.kind == SQL_TOK_WORD && v->token.p[0] >= '0' &&
		    v->token.p[0] <= '9')
			on = strtoull(v->token.p, NULL, 10) & MODE_BIT;
		else
			on = has_word(v->p, v->end, MODE);
		break;
	case VALUE_USER:
		from = saved_modes(s, &v->token);
		if (!from) {
			*what = unknown;
			return -ENOTSUP;
		}
		on = from->no_backslash;
		break;
	default:
		if (has_word(v->p, v->end, MODE)) {
			*what = "sql_mode is set to " MODE
				" in a way that is not understood";
			return -ENOTSUP;
		}
		break;
	}
	s->modes.no_backslash = s->dialect.no_backslash = on;
	return 0;
}

static int set_charset(struct sql_session *s, const struct value *v,
		       const char **what)
{
	char *name = s->modes.charset;

	if (v->kind == VALUE_LITERAL)
		unquote_lower(&v->token, name, sizeof(s->modes.charset));
	else if (v->kind == VALUE_USER) {
		const struct sql_modes *from = saved_modes(s, &v->token);

		if (!from) {
			*what = unknown;
			return -ENOTSUP;
		}
		memcpy(name, from->charset, sizeof(s->modes.charset));
	}
	for (size_t i = 0; i < sizeof(unreadable) / sizeof(*unreadable); i++)
		if (!strcmp(name, unreadable[i])) {
			*what = "the dump's character set cannot be read: dump "
				"it with --default-character-set=utf8mb4";
			return -ENOTSUP;
		}
	return 0;
}

static enum target target_of(const struct sql_token *t)
{
	if (sql_token_is(t, "SQL_MODE"))
		return TARGET_MODE;
	if (sql_token_is(t, "CHARACTER_SET_CLIENT"))
		return TARGET_CHARSET;
	return TARGET_OTHER;
}

/* One assignment; the lexer stops at the comma or the end. */
static int assignment(struct sql_session *s, struct sql_lexer *lex,
		      const char **what)
{
	struct sql_token t = sql_lexer_next(lex), next;
	enum target target = TARGET_OTHER;
	bool global = false;
	struct value v;

	while (sql_token_is(&t, "SESSION") || sql_token_is(&t, "LOCAL") ||
	       sql_token_is(&t, "GLOBAL") || sql_token_is(&t, "PERSIST")) {
		global = !sql_token_is(&t, "SESSION") &&
			 !sql_token_is(&t, "LOCAL");
		t = sql_lexer_next(lex);
	}
	next = sql_lexer_peek(lex);
	if (sql_token_is(&t, "NAMES") || sql_token_is(&t, "CHARSET") ||
	    (sql_token_is(&t, "CHARACTER") && sql_token_is(&next, "SET"))) {
		if (sql_token_is(&t, "CHARACTER"))
			sql_lexer_next(lex);
		/* COLLATE may follow */
		v = (struct value){VALUE_LITERAL, sql_lexer_peek(lex), NULL,
				   NULL};
		value(lex);
		return set_charset(s, &v, what);
	}
	if (sql_token_is_sign(&t, '@')) {
		target = variable(lex, &t) == VALUE_USER ? TARGET_USER
							 : target_of(&t);
	} else {
		target = target_of(&t);
	}
	next = sql_lexer_peek(lex);
	if (sql_token_is_sign(&next, ':'))
		sql_lexer_next(lex);
	next = sql_lexer_peek(lex);
	if (sql_token_is_sign(&next, '='))
		sql_lexer_next(lex);
	v = value(lex);
	if (target == TARGET_USER && v.kind == VALUE_SYSTEM)
		save(s, &t);
	if (global)
		return 0;
	if (target == TARGET_MODE)
		return set_mode(s, &v, what);
	if (target == TARGET_CHARSET)
		return set_charset(s, &v, what);
	return 0;
}

int sql_session_set(struct sql_session *s, const char *text, size_t len,
		    const char **what)
{
	struct sql_lexer lex = lexer(s, text, len);
	struct sql_token t = sql_lexer_next(&lex);

	do {
		const int err = assignment(s, &lex, what);

		if (err)
			return err;
		t = sql_lexer_next(&lex);
	} while (sql_token_is_sign(&t, ','));
	return 0;
}

/* ---- databases ----------------------------------------------------------- */

void sql_session_set_db(struct sql_session *s, const char *db)
{
	const size_t len = strnlen(db, SQL_NAME_MAX);

	memmove(s->db, db, len);
	s->db[len] = '\0';
	if (!strcmp(s->db, s->created))
		memcpy(s->db_charset, s->created_charset,
		       sizeof(s->db_charset));
	else
		s->db_charset[0] = '\0';
}

int sql_session_use(struct sql_session *s, const char *text, size_t len)
{
	struct sql_lexer lex = lexer(s, text, len);
	struct sql_token t;
	char name[SQL_NAME_MAX + 1];

	sql_lexer_next(&lex);
	t = sql_lexer_next(&lex);
	unquote(&t, name, sizeof(name));
	if (!name[0])
		return -EBADMSG;
	sql_session_set_db(s, name);
	return 0;
}

void sql_session_create_database(struct sql_session *s, const char *text,
				 size_t len)
{
	struct sql_lexer lex = lexer(s, text, len);
	char collation[SQL_CHARSET_MAX + 1] = "";
	struct sql_token t;

	s->created[0] = s->created_charset[0] = '\0';
	for (t = sql_lexer_next(&lex); !at_end(&t); t = sql_lexer_next(&lex)) {
		const bool collate = sql_token_is(&t, "COLLATE");

		if (sql_token_is(&t, "SET") || sql_token_is(&t, "CHARSET") ||
		    collate) {
			t = sql_lexer_next(&lex);
			if (sql_token_is_sign(&t, '='))
				t = sql_lexer_next(&lex);
			unquote_lower(&t,
				      collate ? collation : s->created_charset,
				      SQL_CHARSET_MAX + 1);
		} else if (!s->created[0] && !sql_token_is(&t, "CREATE") &&
			   !sql_token_is(&t, "DATABASE") &&
			   !sql_token_is(&t, "SCHEMA") &&
			   !sql_token_is(&t, "OR") &&
			   !sql_token_is(&t, "REPLACE") &&
			   !sql_token_is(&t, "IF") &&
			   !sql_token_is(&t, "NOT") &&
			   !sql_token_is(&t, "EXISTS")) {
			unquote(&t, s->created, sizeof(s->created));
		}
	}
	if (!s->created_charset[0]) {
		collation[strcspn(collation, "_")] = '\0';
		memcpy(s->created_charset, collation, sizeof(collation));
	}
}

/* ---- DELIMITER ----------------------------------------------------------- */

int sql_session_delimiter(struct sql_session *s, const char *p, const char *end,
			  bool whole, const char **past)
{
	const size_t word = strlen(DELIMITER_COMMAND);
	const size_t left = (size_t)(end - p);
	const char *eol, *q;
	size_t len;

	if (left <= word) {
		if (strncasecmp(p, DELIMITER_COMMAND, left) != 0 || whole)
			return 0;
		return -EAGAIN;
	}
	if (strncasecmp(p, DELIMITER_COMMAND, word) != 0 ||
	    !sql_is_space(p[word]))
		return 0;
	eol = memchr(p, '\n', left);
	if (!eol && !whole)
		return -EAGAIN;
	*past = eol ? eol + 1 : end;
	if (!eol)
		eol = end;
	q = p + word;
	while (q < eol && sql_is_space(*q))
		q++;
	for (len = 0; q + len < eol && !sql_is_space(q[len]); len++)
		;
	if (len == 0 || len > SQL_DELIMITER_MAX || memchr(q, '\\', len) ||
	    memchr(q, '\'', len) || memchr(q, '"', len) || memchr(q, '`', len))
		return -EBADMSG;
	memcpy(s->dialect.delimiter, q, len);
	s->dialect.delimiter[len] = '\0';
	s->dialect.delimiter_len = len;
	return 1;
}
