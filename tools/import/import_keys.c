/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import_keys.c - indexes and foreign keys, after the rows
 *
 * An index over rows that are there is built by sorting, which is several
 * times as fast as one entry at a time.  All of a table's are added by one
 * ALTER TABLE, several tables at once; foreign keys when every index is there.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/import/import_internal.h"

static int quote_name(struct sql_buf *b, const char *name)
{
	int err = sql_buf_text(b, "`");

	for (; *name && !err; name++)
		err = *name == '`' ? sql_buf_text(b, "``")
				   : sql_buf_add(b, name, 1);
	return err ? err : sql_buf_text(b, "`");
}

int import_quote(struct sql_buf *b, const char *db, const char *name)
{
	int err = 0;

	if (db && *db) {
		err = quote_name(b, db);
		if (!err)
			err = sql_buf_text(b, ".");
	}
	return err ? err : quote_name(b, name);
}

/* Add @clause to the ALTER TABLE in *@text. */
static int add_clause(const struct import_table *t, const char *clause,
		      char **text)
{
	struct sql_buf name = {0};
	char *longer = NULL;
	int err = 0;

	if (*text) {
		if (asprintf(&longer, "%s, %s", *text, clause) < 0)
			return -ENOMEM;
		free(*text);
		*text = longer;
		return 0;
	}
	err = import_quote(&name, t->db, t->name);
	if (!err)
		err = sql_buf_add(&name, "", 1);
	if (!err && asprintf(&longer, "ALTER TABLE %s %s", name.p, clause) < 0)
		err = -ENOMEM;
	sql_buf_release(&name);
	*text = err ? NULL : longer;
	return err;
}

static int add_alone(struct import_table *t, const char *clause)
{
	char **alone = reallocarray(t->alone, t->nr_alone + 1u, sizeof(*alone));

	if (!alone)
		return -ENOMEM;
	t->alone = alone;
	alone[t->nr_alone] = NULL;
	return add_clause(t, clause, &alone[t->nr_alone++]);
}

int import_create(struct import *im, struct import_table *t,
		  const struct sql_statement *st)
{
	struct sql_split split;
	int err = sql_table_without_keys(st->table, 0, &split);

	for (unsigned i = 0; i < split.nr_clauses && !err; i++) {
		const struct sql_clause *c = &split.clauses[i];

		if (c->kind == SQL_KEY_FOREIGN)
			err = add_clause(t, c->text, &t->foreign);
		else if (c->alone)
			err = add_alone(t, c->text);
		else
			err = add_clause(t, c->text, &t->keys);
	}
	if (!err)
		err = load_table(im->load, t->full, split.create, split.len,
				 st->offset);
	sql_split_release(&split);
	return err;
}

int import_add_keys(struct import *im)
{
	static const char session[] =
		"SET SESSION sql_mode='', foreign_key_checks=0, "
		"unique_checks=1, time_zone='+00:00', alter_algorithm=DEFAULT";
	static const char mysql[] =
		"SET SESSION sql_mode='', foreign_key_checks=0, "
		"unique_checks=1, time_zone='+00:00'";
	const char *set = im->server.bin.mariadb ? session : mysql;
	struct import_table *t;
	int err = load_drain(im->load);

	if (!err)
		err = load_session(im->load, set, strlen(set), 0);
	for (t = im->tables; t && !err; t = t->next) {
		if (t->keys)
			err = load_anyone(im->load, t->full, t->keys);
		for (unsigned i = 0; i < t->nr_alone && !err; i++)
			err = load_table(im->load, t->full, t->alone[i],
					 strlen(t->alone[i]), 0);
		if (!err)
			err = import_tick(im);
	}
	if (!err)
		err = load_drain(im->load);
	for (t = im->tables; t && !err; t = t->next)
		if (t->foreign)
			err = load_alone(im->load, t->foreign,
					 strlen(t->foreign), 0);
	return err;
}
