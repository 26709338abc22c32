/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "tools/import/sql_table_internal.h"

/* More parts than a key of any server can have. */
#define PARTS_MAX 64u

/* ---- a cursor over the tokens -------------------------------------------- */

void parser_take(struct parser *ps)
{
	ps->taken = ps->tok.p + ps->tok.len;
	ps->tok = sql_lexer_next(&ps->lex);
}

bool parser_at_end(const struct parser *ps)
{
	return ps->tok.kind == SQL_TOK_END || ps->tok.kind == SQL_TOK_MORE;
}

bool parser_accept(struct parser *ps, const char *word)
{
	const bool is = parser_is(ps, word);

	if (is)
		parser_take(ps);
	return is;
}

bool parser_accept_sign(struct parser *ps, char c)
{
	const bool is = parser_is_sign(ps, c);

	if (is)
		parser_take(ps);
	return is;
}

void parser_skip(struct parser *ps)
{
	size_t depth = 0;

	do {
		if (parser_is_sign(ps, '('))
			depth++;
		else if (parser_is_sign(ps, ')'))
			depth--;
		parser_take(ps);
	} while (depth > 0 && !parser_at_end(ps));
}

static int fail(struct parser *ps, int err)
{
	if (!ps->err)
		ps->err = err;
	return ps->err;
}

const char *parser_text(struct parser *ps, const char *p, const char *end)
{
	const char *text = sql_arena_text(&ps->t->arena, p, (size_t)(end - p));

	if (!text)
		fail(ps, -ENOMEM);
	return text;
}

const char *parser_name(struct parser *ps)
{
	char *name;

	if (ps->err || !sql_token_is_name(&ps->tok)) {
		fail(ps, -EBADMSG);
		return NULL;
	}
	name = sql_arena_alloc(&ps->t->arena, ps->tok.len + 1);
	if (!name) {
		fail(ps, -ENOMEM);
		return NULL;
	}
	sql_token_name(&ps->tok, name);
	parser_take(ps);
	return name;
}

void parser_qualified(struct parser *ps, struct sql_name *name)
{
	name->table = parser_name(ps);
	if (parser_accept_sign(ps, '.')) {
		name->db = name->table;
		name->table = parser_name(ps);
	}
}

const char *parser_lower(struct parser *ps)
{
	struct sql_token t;
	char *text;

	parser_accept_sign(ps, '=');
	t = ps->tok;
	if (t.kind == SQL_TOK_STRING)
		t.kind = SQL_TOK_DOUBLE; /* unquoted the same way */
	if (ps->err || !sql_token_is_name(&t)) {
		fail(ps, -EBADMSG);
		return NULL;
	}
	text = sql_arena_alloc(&ps->t->arena, t.len + 1);
	if (!text) {
		fail(ps, -ENOMEM);
		return NULL;
	}
	sql_token_name(&t, text);
	for (char *c = text; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	parser_take(ps);
	return text;
}

/* Room for one more of @size bytes in an array of @nr, which doubles. */
static void *room(struct parser *ps, void *array, unsigned nr, size_t size)
{
	void *grown;

	if ((nr & (nr - 1)) != 0)
		return array;
	grown = realloc(array, (nr ? 2 * (size_t)nr : 1) * size);
	if (!grown) {
		fail(ps, -ENOMEM);
		return array;
	}
	return grown;
}

/* ---- keys ---------------------------------------------------------------- */

/* A parenthesized list of columns. */
static void key_parts(struct parser *ps, struct sql_key *k,
		      const char ***columns, unsigned *nr)
{
	const char *parts[PARTS_MAX];

	*nr = 0;
	if (!parser_accept_sign(ps, '(')) {
		fail(ps, -EBADMSG);
		return;
	}
	while (!ps->err && !parser_at_end(ps) && !parser_is_sign(ps, ')')) {
		if (parser_is_sign(ps, '(') || *nr == PARTS_MAX) {
			k->expression = true;
			parser_skip(ps);
		} else {
			parts[(*nr)++] = parser_name(ps);
			if (parser_is_sign(ps, '('))
				parser_skip(ps);
			if (!parser_accept(ps, "ASC"))
				parser_accept(ps, "DESC");
		}
		if (!parser_accept_sign(ps, ',') && !parser_is_sign(ps, ')')) {
			k->odd = true;
			parser_skip(ps);
		}
	}
	parser_accept_sign(ps, ')');
	*columns = sql_arena_alloc(&ps->t->arena, (*nr + 1) * sizeof(char *));
	if (!*columns)
		fail(ps, -ENOMEM);
	else
		memcpy(*columns, parts, *nr * sizeof(char *));
}

static void key_body(struct parser *ps, struct sql_key *k)
{
	if (parser_accept(ps, "IF")) {
		parser_accept(ps, "NOT");
		parser_accept(ps, "EXISTS");
	}
	if (!parser_is_sign(ps, '(') && !parser_is(ps, "USING"))
		k->name = parser_name(ps);
	if (parser_accept(ps, "USING"))
		parser_take(ps);
	key_parts(ps, k, &k->columns, &k->nr_columns);
	if (k->kind != SQL_KEY_FOREIGN)
		return;
	if (!parser_accept(ps, "REFERENCES"))
		fail(ps, -EBADMSG);
	parser_qualified(ps, &k->foreign);
	key_parts(ps, k, &k->foreign_columns, &k->nr_foreign_columns);
}

static const struct {
	const char *word;
	enum sql_key_kind kind;
} key_words[] = {
	{"PRIMARY", SQL_KEY_PRIMARY},	{"UNIQUE", SQL_KEY_UNIQUE},
	{"KEY", SQL_KEY_PLAIN},		{"INDEX", SQL_KEY_PLAIN},
	{"FULLTEXT", SQL_KEY_FULLTEXT}, {"SPATIAL", SQL_KEY_SPATIAL},
	{"FOREIGN", SQL_KEY_FOREIGN},	{"VECTOR", SQL_KEY_OTHER},
};

/* Take the words that say which key this is; false: it is none. */
static bool key_kind(struct parser *ps, enum sql_key_kind *kind)
{
	const struct sql_token after = sql_lexer_peek(&ps->lex);

	for (size_t i = 0; i < sizeof(key_words) / sizeof(key_words[0]); i++) {
		if (!parser_is(ps, key_words[i].word))
			continue;
		*kind = key_words[i].kind;
		/* a column may be called so */
		if (*kind == SQL_KEY_OTHER && !sql_token_is(&after, "KEY") &&
		    !sql_token_is(&after, "INDEX"))
			return false;
		parser_take(ps);
		if (*kind != SQL_KEY_PLAIN && !parser_accept(ps, "KEY"))
			parser_accept(ps, "INDEX");
		return true;
	}
	return false;
}

/* ---- definitions --------------------------------------------------------- */

/* A key; or a check or period, of which nothing is kept.  False: neither. */
static bool parse_key(struct parser *ps, struct sql_def *def)
{
	const struct sql_token after = sql_lexer_peek(&ps->lex);
	struct sql_table *t = ps->t;
	struct sql_key k = {0};

	if (parser_is(ps, "PERIOD") && sql_token_is(&after, "FOR")) {
		t->versioned = true;
		return true;
	}
	if (parser_accept(ps, "CONSTRAINT") && !parser_is(ps, "PRIMARY") &&
	    !parser_is(ps, "UNIQUE") && !parser_is(ps, "FOREIGN") &&
	    !parser_is(ps, "CHECK"))
		k.name = parser_name(ps);
	if (parser_is(ps, "CHECK"))
		return true;
	if (!key_kind(ps, &k.kind))
		return false;
	key_body(ps, &k);
	t->keys = room(ps, t->keys, t->nr_keys, sizeof(*t->keys));
	if (!ps->err) {
		def->key = (int)t->nr_keys;
		t->keys[t->nr_keys++] = k;
	}
	return true;
}

static void parse_column(struct parser *ps)
{
	struct sql_table *t = ps->t;
	struct sql_column c;

	parser_column(ps, &c);
	t->columns = room(ps, t->columns, t->nr_columns, sizeof(*t->columns));
	if (!ps->err)
		t->columns[t->nr_columns++] = c;
}

static void parse_def(struct parser *ps)
{
	struct sql_table *t = ps->t;
	const unsigned depth = ps->lex.depth;
	struct sql_def def = {.key = -1};
	const char *end;

	def.start = (size_t)(ps->tok.p - t->text);
	if (parser_is(ps, "LIKE"))
		fail(ps, -EBADMSG);
	if (ps->tok.kind != SQL_TOK_WORD || !parse_key(ps, &def))
		parse_column(ps);
	while (!ps->err && !parser_at_def_end(ps))
		parser_skip(ps);
	if (ps->err || parser_at_end(ps)) {
		fail(ps, -EBADMSG);
		return;
	}
	end = ps->tok.p;
	while (end > ps->taken && sql_is_space(end[-1]))
		end--;
	/* the newline that ends a comment is part of it */
	if (end > ps->taken)
		end = ps->tok.p;
	def.end = (size_t)(end - t->text);
	if (def.key >= 0) {
		t->keys[def.key].start = def.start;
		t->keys[def.key].end = def.end;
		/* an executable comment holds it, or part of it */
		if (depth > 0 || ps->lex.depth > 0)
			t->keys[def.key].odd = true;
	}
	t->defs = room(ps, t->defs, t->nr_defs, sizeof(*t->defs));
	if (!ps->err)
		t->defs[t->nr_defs++] = def;
}

/* ---- the statement ------------------------------------------------------- */

static void parse_head(struct parser *ps)
{
	ps->tok = sql_lexer_next(&ps->lex);
	if (!parser_accept(ps, "CREATE"))
		fail(ps, -EBADMSG);
	if (parser_accept(ps, "OR"))
		parser_accept(ps, "REPLACE");
	parser_accept(ps, "TEMPORARY");
	if (!parser_accept(ps, "TABLE"))
		fail(ps, -EBADMSG);
	if (parser_accept(ps, "IF")) {
		parser_accept(ps, "NOT");
		parser_accept(ps, "EXISTS");
	}
	parser_qualified(ps, &ps->t->name);
	if (!parser_accept_sign(ps, '('))
		fail(ps, -EBADMSG);
}

static void parse_options(struct parser *ps)
{
	struct sql_table *t = ps->t;
	const char *charset = NULL, *collation = NULL;

	while (!ps->err && !parser_at_end(ps)) {
		if (parser_accept(ps, "ENGINE"))
			t->engine = parser_lower(ps);
		else if (parser_accept(ps, "CHARSET"))
			charset = parser_lower(ps);
		else if (parser_accept(ps, "CHARACTER"))
			charset = parser_accept(ps, "SET") ? parser_lower(ps)
							   : NULL;
		else if (parser_accept(ps, "COLLATE"))
			collation = parser_lower(ps);
		else if (parser_accept(ps, "PARTITION"))
			t->partitioned = true;
		else if (parser_accept(ps, "VERSIONING"))
			t->versioned = true;
		else if (parser_accept(ps, "SELECT") ||
			 parser_accept(ps, "AS") || parser_accept(ps, "VALUES"))
			t->has_data = true;
		else
			parser_skip(ps);
	}
	if (!charset)
		charset = parser_collation(ps, collation);
	if (charset)
		t->charset = charset;
}

static void parse(struct parser *ps, const char *db, const char *charset)
{
	struct sql_table *t = ps->t;

	if (db)
		t->name.db = parser_text(ps, db, db + strlen(db));
	if (charset)
		t->charset =
			parser_text(ps, charset, charset + strlen(charset));
	parse_head(ps);
	while (!ps->err) {
		parse_def(ps);
		if (!parser_accept_sign(ps, ','))
			break;
	}
	if (!ps->err && !parser_accept_sign(ps, ')'))
		fail(ps, -EBADMSG);
	parse_options(ps);
	if (!ps->err && t->nr_columns == 0)
		fail(ps, -EBADMSG);
	if (ps->err)
		return;
	for (unsigned i = 0; i < t->nr_columns; i++) {
		struct sql_column *c = &t->columns[i];

		if (!c->charset)
			c->charset = strcmp(c->base, "json") != 0 ? t->charset
								  : "utf8mb4";
		if (c->class == SQL_CLASS_TEXT && c->charset &&
		    !strcmp(c->charset, "binary"))
			c->class = SQL_CLASS_BINARY;
		if (c->class != SQL_CLASS_TEXT)
			c->charset = NULL;
	}
}

int sql_table_parse(const struct sql_dialect *d, const char *text, size_t len,
		    const char *db, const char *charset, struct sql_table **out)
{
	struct parser ps = {0};
	struct sql_table *t;

	if (len > SQL_TABLE_TEXT_MAX)
		return -EFBIG;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->refs = 1;
	t->len = len;
	t->text = calloc(1, len + SQL_SLACK);
	if (!t->text) {
		sql_table_put(t);
		return -ENOMEM;
	}
	if (len > 0)
		memcpy(t->text, text, len);
	ps.t = t;
	ps.lex = (struct sql_lexer){
		.p = t->text,
		.end = t->text + len,
		.dialect = d,
		.whole = true,
	};
	parse(&ps, db, charset);
	if (ps.err) {
		sql_table_put(t);
		return ps.err;
	}
	*out = t;
	return 0;
}

struct sql_table *sql_table_get(struct sql_table *table)
{
	table->refs++;
	return table;
}

void sql_table_put(struct sql_table *table)
{
	if (!table || --table->refs > 0)
		return;
	free(table->text);
	free(table->columns);
	free(table->keys);
	free(table->defs);
	sql_arena_free(table->arena);
	free(table);
}

int sql_table_column(const struct sql_table *table, const char *name)
{
	for (unsigned i = 0; i < table->nr_columns; i++)
		if (!strcasecmp(table->columns[i].name, name))
			return (int)i;
	return -1;
}
