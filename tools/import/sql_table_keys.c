/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys can be added when the rows are there, and the two statements
 * that come of it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "tools/import/sql_table.h"

static bool has_primary(const struct sql_table *t)
{
	for (unsigned i = 0; i < t->nr_keys; i++)
		if (t->keys[i].kind == SQL_KEY_PRIMARY)
			return true;
	for (unsigned i = 0; i < t->nr_columns; i++)
		if (t->columns[i].inline_key && !t->columns[i].nullable)
			return true;
	return false;
}

/* Are they all columns of the table, none of them generated? */
static bool plain_columns(const struct sql_table *t, const struct sql_key *k)
{
	for (unsigned i = 0; i < k->nr_columns; i++) {
		const int c = sql_table_column(t, k->columns[i]);

		if (c < 0 || t->columns[c].generated != SQL_GENERATED_NOT)
			return false;
	}
	return !k->expression && !k->odd;
}

/* AUTO_INCREMENT asks for a key that begins with its column, MyISAM's for one
 * that has it: all that have it stay, but where the primary key begins so. */
static bool needed_to_count(const struct sql_table *t, const struct sql_key *k)
{
	const char *counter = NULL;

	for (unsigned i = 0; i < t->nr_columns; i++)
		if (t->columns[i].auto_increment && !t->columns[i].inline_key)
			counter = t->columns[i].name;
	if (!counter)
		return false;
	for (unsigned i = 0; i < t->nr_keys; i++)
		if (t->keys[i].kind == SQL_KEY_PRIMARY &&
		    t->keys[i].nr_columns > 0 &&
		    !strcasecmp(t->keys[i].columns[0], counter))
			return false;
	for (unsigned i = 0; i < k->nr_columns; i++)
		if (!strcasecmp(k->columns[i], counter))
			return true;
	return false;
}

static bool goes(const struct sql_table *t, const struct sql_key *k,
		 unsigned flags, bool primary)
{
	switch (k->kind) {
	case SQL_KEY_UNIQUE:
		return primary && !t->partitioned &&
		       !(flags & SQL_KEYS_KEEP_UNIQUE) && plain_columns(t, k) &&
		       !needed_to_count(t, k);
	case SQL_KEY_PLAIN:
	case SQL_KEY_FULLTEXT:
	case SQL_KEY_SPATIAL:
		return plain_columns(t, k) && !needed_to_count(t, k);
	case SQL_KEY_FOREIGN:
		return plain_columns(t, k);
	default:
		return false;
	}
}

/* Decide for each key; false: all stay. */
static bool choose(const struct sql_table *t, unsigned flags, bool *moves)
{
	const bool primary = has_primary(t);
	bool any = false;

	if ((t->engine && strcmp(t->engine, "innodb") != 0) || t->versioned ||
	    t->has_data)
		return false;
	for (unsigned i = 0; i < t->nr_keys; i++) {
		moves[i] = goes(t, &t->keys[i], flags, primary);
		any |= moves[i];
		if (!moves[i] && t->keys[i].kind == SQL_KEY_FOREIGN)
			return false; /* it may need any of the others */
	}
	return any;
}

/* ---- the two statements -------------------------------------------------- */

static int add_clause(struct sql_split *out, const struct sql_table *t,
		      const struct sql_key *k)
{
	struct sql_clause *c = &out->clauses[out->nr_clauses];

	c->kind = k->kind;
	c->alone = k->kind == SQL_KEY_FULLTEXT || k->kind == SQL_KEY_SPATIAL;
	if (asprintf(&c->text, "ADD %.*s", (int)(k->end - k->start),
		     t->text + k->start) < 0) {
		c->text = NULL;
		return -ENOMEM;
	}
	out->nr_clauses++;
	return 0;
}

static int add_clauses(struct sql_split *out, const struct sql_table *t,
		       const bool *moves, bool foreign)
{
	int err = 0;

	for (unsigned i = 0; i < t->nr_keys && !err; i++)
		if (moves[i] && (t->keys[i].kind == SQL_KEY_FOREIGN) == foreign)
			err = add_clause(out, t, &t->keys[i]);
	return err;
}

/* The text without what moves and the separator before it. */
static int build_create(struct sql_split *out, const struct sql_table *t,
			const bool *moves)
{
	struct sql_buf b = {0};
	size_t from = 0; /* the text up to here is done */
	bool first = true;
	int err = 0;

	for (unsigned i = 0; i < t->nr_defs && !err; i++) {
		const struct sql_def *d = &t->defs[i];

		if (d->key >= 0 && moves[d->key]) {
			/* what separates it goes too, unless it is the first */
			if (first)
				err = sql_buf_add(&b, t->text + from,
						  d->start - from);
			from = d->end;
			if (first && i + 1 < t->nr_defs)
				from = t->defs[i + 1].start;
			continue;
		}
		err = sql_buf_add(&b, t->text + from, d->end - from);
		from = d->end;
		first = false;
	}
	if (!err)
		err = sql_buf_add(&b, t->text + from, t->len - from);
	if (!err)
		err = sql_buf_add(&b, "", 1);
	if (err) {
		sql_buf_release(&b);
		return err;
	}
	out->create = b.p;
	out->len = b.len - 1;
	return 0;
}

int sql_table_without_keys(const struct sql_table *t, unsigned flags,
			   struct sql_split *out)
{
	bool *moves = calloc(t->nr_keys + 1, sizeof(*moves));
	int err = 0;

	*out = (struct sql_split){0};
	out->clauses = calloc(t->nr_keys + 1, sizeof(*out->clauses));
	if (!moves || !out->clauses) {
		err = -ENOMEM;
		goto out;
	}
	if (!choose(t, flags, moves))
		memset(moves, 0, t->nr_keys * sizeof(*moves));
	err = add_clauses(out, t, moves, false);
	if (!err)
		err = add_clauses(out, t, moves, true);
	if (!err)
		err = build_create(out, t, moves);
out:
	free(moves);
	if (err)
		sql_split_release(out);
	return err;
}

void sql_split_release(struct sql_split *split)
{
	for (unsigned i = 0; i < split->nr_clauses; i++)
		free(split->clauses[i].text);
	free(split->clauses);
	free(split->create);
	*split = (struct sql_split){0};
}
