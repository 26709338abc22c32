/* SPDX-License-Identifier: Apache-2.0 */
/* import_rows.c - what happens to the tables and rows of a dump */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/import/import_internal.h"

/* Says @fmt, and that it was said. */
#define REFUSE(im, exit_code, ...)                                             \
	((im)->code = fail((exit_code), __VA_ARGS__), -ECANCELED)

/* ---- tables -------------------------------------------------------------- */

static bool is_name(const struct import_table *t, const struct sql_name *name)
{
	return !strcmp(t->name, name->table) &&
	       !strcmp(t->db, name->db ? name->db : "");
}

static struct import_table *find(const struct import *im,
				 const struct sql_name *name)
{
	/* mostly one of the last */
	if (im->current && is_name(im->current, name))
		return im->current;
	for (struct import_table *t = im->tables; t; t = t->next)
		if (is_name(t, name))
			return t;
	return NULL;
}

const struct sql_table *import_find_table(void *import,
					  const struct sql_name *name)
{
	const struct import_table *t = find(import, name);

	return t ? t->table : NULL;
}

static struct import_table *add_table(struct import *im,
				      const struct sql_name *name)
{
	const char *db = name->db ? name->db : "";
	struct import_table *t = calloc(1, sizeof(*t));

	if (!t ||
	    asprintf(&t->full, "%s%s%s", db, *db ? "." : "", name->table) < 0) {
		free(t);
		return NULL;
	}
	t->name = strdup(name->table);
	t->db = strdup(db);
	*im->last_table = t;
	im->last_table = &t->next;
	return t->name && t->db ? t : NULL;
}

static void table_clear(struct import_table *t)
{
	sql_table_put(t->table);
	rules_plan_free(t->plan);
	free(t->proof);
	free(t->keys);
	free(t->foreign);
	for (unsigned i = 0; i < t->nr_alone; i++)
		free(t->alone[i]);
	free(t->alone);
	t->table = NULL;
	t->is_altered = false;
	t->plan = NULL;
	t->proof = NULL;
	t->keys = t->foreign = NULL;
	t->alone = NULL;
	t->nr_alone = 0;
}

/* It was dropped again: there is nothing to look at, and no index to add. */
static void table_forget(struct import *im, struct import_table *t)
{
	gate_forget(im->gate, t->gate);
	t->gate = NULL;
	t->is_row_wise = false;
	t->nr_seen = t->nr_rows = 0;
	table_clear(t);
}

void import_tables_free(struct import *im)
{
	struct import_table *t, *next;

	for (t = im->tables; t; t = next) {
		next = t->next;
		table_clear(t);
		free(t->full);
		free((char *)t->db);
		free((char *)t->name);
		free(t);
	}
	im->tables = NULL;
	sql_plan_row_release(&im->decoded);
	for (unsigned i = 0; i < im->nr_bufs; i++)
		mask_buf_release(&im->bufs[i]);
	free(im->bufs);
	free(im->map);
	sql_buf_release(&im->scratch);
}

/* ---- verdicts ------------------------------------------------------------ */

/* The server's own: accounts and their passwords are not imported. */
static bool is_system(const char *db)
{
	static const char *const names[] = {
		"mysql", "sys", "information_schema", "performance_schema"};

	for (size_t i = 0; db && i < ARRAY_SIZE(names); i++)
		if (!strcasecmp(db, names[i]))
			return true;
	return false;
}

static int on_verdict(void *arg, const struct sql_name *name)
{
	struct import *im = arg;
	struct import_table *t = find(im, name);
	struct rules_plan *plan;
	struct yaml_error error;
	int verdict = SQL_TABLE_KEEP;

	if (is_system(name->db))
		return SQL_TABLE_SKIP;
	if (!im->rules)
		return SQL_TABLE_KEEP;
	if (t && t->plan) {
		return t->plan->data == DATA_SKIP	 ? SQL_TABLE_SKIP
		       : t->plan->data == DATA_STRUCTURE ? SQL_TABLE_STRUCTURE
							 : SQL_TABLE_KEEP;
	}
	/* its columns are not known yet: what they are is said then */
	if (rules_plan(im->rules, name->db, name->table, NULL, 0, &plan,
		       &error))
		return SQL_TABLE_KEEP;
	if (plan->data == DATA_SKIP)
		verdict = SQL_TABLE_SKIP;
	else if (plan->data == DATA_STRUCTURE)
		verdict = SQL_TABLE_STRUCTURE;
	rules_plan_free(plan);
	return verdict;
}

/* ---- CREATE TABLE -------------------------------------------------------- */

static bool is_dense(const struct mask *mask)
{
	return mask_is_dense(mask);
}

static bool is_city(const struct mask *mask)
{
	char *text = mask_text(mask);
	const bool city = text && (strstr(text, "city") != NULL);

	free(text);
	return city;
}

/* Which of its columns are looked for in the end. */
static int proof_columns(struct import *im, struct import_table *t)
{
	t->proof = calloc(t->plan->nr_columns + 1u, sizeof(*t->proof));
	if (!t->proof)
		return -ENOMEM;
	for (unsigned i = 0; i < t->plan->nr_columns; i++) {
		const struct mask *mask = t->plan->masks[i];
		const struct mask_column *c = &t->plan->columns[i];
		char name[1024];

		t->proof[i] = -1;
		if (!mask || mask_kind(mask) == MASK_KEEP ||
		    mask_kind(mask) == MASK_JSON ||
		    (c->class != CLASS_TEXT && c->class != CLASS_BINARY))
			continue;
		snprintf(name, sizeof(name), "%s.%s", t->full, c->name);
		t->proof[i] = proof_column(
			im->proof, name, is_city(mask), is_dense(mask),
			c->charset && !strcasecmp(c->charset, "latin1"));
		if (t->proof[i] < 0)
			return t->proof[i];
	}
	return 0;
}

static int on_create(void *arg, struct sql_table *table)
{
	struct import *im = arg;
	struct import_table *t = find(im, &table->name);
	struct yaml_error error;
	int err = 0;

	/* a view's: nothing is known or asked of it */
	if (im->part->placeholder)
		return 0;
	if (!t)
		t = add_table(im, &table->name);
	if (!t)
		return -ENOMEM;
	/* IF NOT EXISTS: the server keeps the first */
	if (im->rules && t->table)
		return REFUSE(im, CTL_FAILED,
			      "the dump has a second CREATE TABLE of '%s'",
			      t->full);
	table_clear(t);
	t->table = sql_table_get(table);
	if (!im->rules)
		return 0;
	err = sql_plan(im->rules, table, &t->plan, &error);
	if (err == -EINVAL)
		return REFUSE(im, CTL_CONFIG, "%s", error.text);
	if (!err)
		err = gate_table(im->gate, table->name.db, table->name.table,
				 t->plan, &t->gate);
	if (!err && im->proof)
		err = proof_columns(im, t);
	t->is_row_wise = t->plan && (t->plan->nr_masked || t->gate ||
				     t->plan->data == DATA_ROWS ||
				     t->plan->data == DATA_SHARE || im->proof);
	return err;
}

/* ---- rows ---------------------------------------------------------------- */

/* Buffers for as many masked columns as a row has. */
static int need_bufs(struct import *im, unsigned nr)
{
	struct mask_buf *bufs;

	if (nr <= im->nr_bufs)
		return 0;
	bufs = reallocarray(im->bufs, nr, sizeof(*bufs));
	if (!bufs)
		return -ENOMEM;
	im->bufs = bufs;
	for (; im->nr_bufs < nr; im->nr_bufs++) {
		int err = mask_buf_init(&bufs[im->nr_bufs], im->key);

		if (err)
			return err;
	}
	return 0;
}

static int map_columns(struct import *im, const struct sql_insert *insert)
{
	const unsigned nr = insert->columns ? insert->nr_columns
					    : insert->table->nr_columns;

	if (nr > im->cap_map) {
		unsigned *map = reallocarray(im->map, nr, sizeof(*map));

		if (!map)
			return -ENOMEM;
		im->map = map;
		im->cap_map = nr;
	}
	im->nr_map = nr;
	for (unsigned i = 0; i < nr && !insert->columns; i++)
		if (insert->table->columns[i].invisible)
			return REFUSE(
				im, CTL_FAILED,
				"the dump has rows of table '%s' without "
				"names of columns, and one of its columns "
				"is invisible (dump with "
				"--complete-insert)",
				im->current->full);
	for (unsigned i = 0; i < nr; i++) {
		int at = insert->columns ? sql_table_column(insert->table,
							    insert->columns[i])
					 : (int)i;

		if (at < 0)
			return REFUSE(im, CTL_FAILED,
				      "the dump has rows for column '%s' of "
				      "table '%s', which its CREATE TABLE does "
				      "not have",
				      insert->columns[i], im->current->full);
		im->map[i] = (unsigned)at;
	}
	return 0;
}

static int on_insert(void *arg, const struct sql_insert *insert)
{
	struct import *im = arg;
	struct import_table *t = find(im, &insert->name);
	int err;

	im->current = t;
	if (!im->rules)
		return SQL_ROWS_KEEP;
	if (!t || !t->table || !insert->table)
		return REFUSE(im, CTL_FAILED,
			      "the dump has rows of table '%s' before its "
			      "CREATE TABLE, so no rule can be kept",
			      insert->name.table);
	if (t->plan->data == DATA_SKIP || t->plan->data == DATA_STRUCTURE)
		return SQL_ROWS_DROP;
	if (t->is_altered)
		return REFUSE(im, CTL_FAILED,
			      "the dump has rows of table '%s' after an ALTER "
			      "TABLE, so no rule can be kept",
			      t->full);
	if (!t->is_row_wise)
		return SQL_ROWS_KEEP;
	err = map_columns(im, insert);
	if (!err && t->plan->nr_masked)
		err = need_bufs(im, t->plan->nr_columns + 1);
	if (!err && t->plan->data == DATA_SHARE)
		err = need_bufs(im, 1);
	return err ? err : SQL_ROWS_LOOK;
}

static int bad_value(struct import *im, const struct sql_event *row,
		     unsigned column, int err)
{
	const struct import_table *t = im->current;
	const char *name = t->table->columns[column].name;

	switch (err) {
	case -ENOMEM:
		return err;
	case -ENOTSUP:
		return REFUSE(im, CTL_FAILED,
			      "column '%s' of row %" PRIu64 " of table '%s' is "
			      "an expression, which no mask can be used on",
			      name, row->row, t->full);
	case -EOVERFLOW:
		return REFUSE(im, CTL_FAILED,
			      "the mask of column '%s' finds no room in row "
			      "%" PRIu64 " of table '%s'",
			      name, row->row, t->full);
	case -ENOMSG:
		return REFUSE(im, CTL_CHECK_FAILED,
			      "the mask of column '%s' leaves the original of "
			      "row %" PRIu64 " of table '%s' in its result",
			      name, row->row, t->full);
	default:
		return REFUSE(im, CTL_FAILED,
			      "column '%s' of row %" PRIu64 " of table '%s' is "
			      "not what its mask is for (no JSON document?)",
			      name, row->row, t->full);
	}
}

/* What the proof has to know of a value and its result. */
static int prove(struct import *im, const struct mask *mask, int column,
		 const struct mask_value *in, const struct mask_buf *out)
{
	const enum mask_kind kind = mask_kind(mask);
	int err;

	if (!im->proof || in->kind == VALUE_NULL || !in->len)
		return 0;
	if (column < 0) {
		proof_binary(im->proof);
		return 0;
	}
	err = proof_value(im->proof, column, in, out);
	/* a fixed text may be what somebody has */
	if (err == -EBADMSG)
		err = kind == MASK_FIXED ? 0 : -ENOMSG;
	return err;
}

static int mask_value(struct import *im, const struct sql_event *row,
		      unsigned i, struct sql_cell *cell)
{
	const struct import_table *t = im->current;
	const unsigned column = im->map[i];
	const struct mask *mask = t->plan->masks[column];
	const struct sql_value *v = &row->values[i];
	struct mask_buf *out = &im->bufs[column];
	struct mask_value in;
	int err;

	if (v->kind == SQL_DEFAULT ||
	    (v->kind == SQL_NULL && mask_kind(mask) != MASK_FIXED))
		return 0;
	err = sql_value_bytes(v, &im->scratch, &in.bytes, &in.len);
	if (err)
		return bad_value(im, row, column, err);
	in.kind = v->kind == SQL_NULL	  ? VALUE_NULL
		  : v->kind == SQL_NUMBER ? VALUE_NUMBER
		  : v->kind == SQL_STRING ? VALUE_STRING
					  : VALUE_BINARY;
	/* NULL has no bytes; an empty text may have none either */
	if (!in.bytes) {
		in.bytes = "";
		in.len = 0;
	}
	err = mask_apply(mask, &t->plan->columns[column], &in, out);
	if (!err)
		err = prove(im, mask, t->proof ? t->proof[column] : -1, &in,
			    out);
	if (err)
		return bad_value(im, row, column, err);
	im->nr_masked++;
	cell->kind = out->kind == VALUE_NULL ? SQL_CELL_NULL : SQL_CELL_BYTES;
	cell->bytes = out->bytes ? out->bytes : ""; /* NULL is no text */
	cell->len = out->len;
	return 0;
}

/* Is the row one of those that stay?  1, 0 or -errno */
static int stays(struct import *im, const struct sql_event *row)
{
	const struct import_table *t = im->current;
	struct mask_value v = {"", 0, VALUE_NULL};
	int err;

	if (t->plan->data == DATA_ROWS)
		return t->nr_rows < t->plan->nr_rows;
	if (t->plan->data != DATA_SHARE)
		return 1;
	for (unsigned i = 0; i < row->nr_values && i < im->nr_map; i++) {
		if (im->map[i] != t->plan->sample_column)
			continue;
		err = sql_value_bytes(&row->values[i], &im->scratch, &v.bytes,
				      &v.len);
		if (err)
			return bad_value(im, row, im->map[i], err);
		v.kind = v.bytes ? VALUE_STRING : VALUE_NULL;
		if (!v.bytes)
			v.bytes = "";
	}
	return mask_sample(&im->bufs[0], &v, t->plan->per_million);
}

static int look_at(struct import *im, const struct sql_event *row)
{
	const struct import_table *t = im->current;
	int err = sql_plan_decode(&im->decoded, t->table, row->insert,
				  row->values, row->nr_values);

	if (err == -EBADMSG)
		return REFUSE(im, CTL_FAILED,
			      "row %" PRIu64 " of table '%s' does not fit its "
			      "CREATE TABLE",
			      row->row, t->full);
	if (!err)
		gate_row(t->gate, im->decoded.values, t->table->nr_columns);
	return err;
}

static int on_row(void *arg, const struct sql_event *row,
		  struct sql_cell *cells)
{
	struct import *im = arg;
	struct import_table *t = im->current;
	int err = stays(im, row);
	bool changed = false;

	t->nr_seen++;
	if (err <= 0)
		return err < 0 ? err : SQL_ROW_DROP;
	err = 0;
	if (row->nr_values > im->nr_map)
		return REFUSE(im, CTL_FAILED,
			      "row %" PRIu64 " of table '%s' has more values "
			      "than there are columns",
			      row->row, t->full);
	if (gate_next(t->gate))
		err = look_at(im, row);
	if (im->proof)
		proof_row(im->proof);
	for (unsigned i = 0; i < row->nr_values && !err; i++) {
		const struct mask *mask = t->plan->masks[im->map[i]];
		const struct sql_value *v = &row->values[i];

		if (mask && mask_kind(mask) != MASK_KEEP) {
			err = mask_value(im, row, i, &cells[i]);
			changed = changed || cells[i].kind != SQL_CELL_KEEP;
		} else if (im->proof && v->kind == SQL_STRING) {
			proof_text(im->proof, v->text + v->body, v->body_len);
		}
	}
	t->nr_rows++;
	return err ? err : changed ? SQL_ROW_CHANGED : SQL_ROW_KEEP;
}

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
	return is_system(name);
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
	struct import_table *t = find(im, st->name);
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
		table_forget(im, t);
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
	.verdict = on_verdict,
	.create = on_create,
	.insert = on_insert,
	.row = on_row,
	.opaque = on_opaque,
	.leave_out = on_leave_out,
	.no_comments = true,
	.write = on_write,
	.statement = on_statement,
};

/* ---- at the end --------------------------------------------------------------- */

struct unused {
	struct import *im;
	unsigned nr;
	bool strict;
};

static void on_unused(void *arg, const char *sentence)
{
	struct unused *u = arg;

	u->nr++;
	note("%s%s", u->strict ? "" : "note: ", sentence);
}

static void on_finding(void *arg, const struct gate_finding *f)
{
	json_t *findings = arg;

	json_array_append_new(findings,
			      json_pack("{s:o, s:o, s:o, s:s, s:s}", "table",
					out_text(f->table), "column",
					out_text(f->column), "type",
					out_text(f->type), "why", f->why,
					"rule", f->rule));
}

int import_check_rules(struct import *im)
{
	struct unused unused = {.im = im};
	json_t *findings, *f;
	size_t nr, i;

	if (!im->rules)
		return CTL_OK;
	unused.strict = rules_strict(im->rules);
	rules_unused(im->rules, on_unused, &unused);
	if (unused.nr && unused.strict)
		return fail(CTL_CONFIG, "the dump does not have what the rules "
					"name, and they are strict");
	findings = json_array();
	nr = gate_report(im->gate, on_finding, findings);
	json_object_set_new(im->report, "findings", findings);
	if (!nr)
		return CTL_OK;
	json_array_foreach(findings, i, f)
		note("%s.%s (%s): %s", out_get_text(f, "table"),
		     out_get_text(f, "column"), out_get_text(f, "type"),
		     out_get_text(f, "why"));
	if (!rules_strict(im->rules))
		return CTL_OK;
	fputs("# to be looked at and put into the file of rules\n", stderr);
	gate_write_rules(im->gate, stderr);
	return fail(CTL_CHECK_FAILED,
		    "%zu column%s look%s personal and no rule names %s: add "
		    "rules, 'keep' too is one; nothing was published",
		    nr, nr == 1 ? "" : "s", nr == 1 ? "s" : "",
		    nr == 1 ? "it" : "them");
}
