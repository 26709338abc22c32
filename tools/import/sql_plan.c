/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_plan.c - a table of a dump, as rules and the gate want it
 */
#include "tools/import/sql_plan.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/store.h"

/* ---- collations ----------------------------------------------------------------- */

/*
 * Does the text say "COLLATE something_bin" or "_cs"?  Words in quotes are
 * read as well: a comment that says so only makes case matter.
 */
static bool says_case(const char *text, size_t len, bool *said)
{
	static const char word[] = "collate";
	const char *end = text + len, *name;

	for (const char *p = text; (size_t)(end - p) > sizeof(word); p++) {
		if (strncasecmp(p, word, sizeof(word) - 1))
			continue;
		name = p + sizeof(word) - 1;
		while (name < end &&
		       (isspace((unsigned char)*name) || *name == '='))
			name++;
		for (p = name;
		     p < end && (isalnum((unsigned char)*p) || *p == '_'); p++)
			;
		if (p - name < 4)
			continue;
		*said = true;
		return !strncasecmp(p - 4, "_bin", 4) ||
		       !strncasecmp(p - 3, "_cs", 3);
	}
	return false;
}

/* The text of column @nr, which is the @nr-th definition that is no key. */
static const struct sql_def *def_of(const struct sql_table *table, unsigned nr)
{
	for (unsigned i = 0; i < table->nr_defs; i++) {
		if (table->defs[i].key >= 0)
			continue;
		if (!nr--)
			return &table->defs[i];
	}
	return NULL;
}

static bool is_case_sensitive(const struct sql_table *table, unsigned nr,
			      bool table_is)
{
	const struct sql_column *column = &table->columns[nr];
	const struct sql_def *def = def_of(table, nr);
	bool said = false, is;

	if (column->charset && !strcasecmp(column->charset, "binary"))
		return true;
	is = def &&
	     says_case(table->text + def->start, def->end - def->start, &said);
	if (said || !table->charset || !column->charset ||
	    strcasecmp(column->charset, table->charset))
		return is;
	return table_is;
}

/* ---- plans -------------------------------------------------------------------------- */

static bool is_unique(const struct sql_table *table,
		      const struct sql_column *column)
{
	if (column->inline_key)
		return true;
	for (unsigned i = 0; i < table->nr_keys; i++) {
		const struct sql_key *key = &table->keys[i];

		if ((key->kind == SQL_KEY_PRIMARY ||
		     key->kind == SQL_KEY_UNIQUE) &&
		    key->nr_columns == 1 && !key->expression &&
		    !strcasecmp(key->columns[0], column->name))
			return true;
	}
	return false;
}

int sql_plan(struct rules *rules, const struct sql_table *table,
	     struct rules_plan **plan, struct yaml_error *error)
{
	struct mask_column *columns =
		calloc(table->nr_columns + 1u, sizeof(*columns));
	const struct sql_def *last =
		table->nr_defs ? &table->defs[table->nr_defs - 1] : NULL;
	bool said = false, table_is;
	int err;

	if (!columns) {
		strcpy(error->text, "out of memory");
		return -ENOMEM;
	}
	table_is = last && says_case(table->text + last->end,
				     table->len - last->end, &said);
	for (unsigned i = 0; i < table->nr_columns; i++) {
		const struct sql_column *c = &table->columns[i];

		columns[i] = (struct mask_column){
			.name = c->name,
			.type = c->type,
			.max_chars = c->length,
			.charset = c->charset,
			.nullable = c->nullable,
			.unique = is_unique(table, c),
			.case_sensitive = is_case_sensitive(table, i, table_is),
			.generated = c->generated != SQL_GENERATED_NOT,
		};
	}
	err = rules_plan(rules, table->name.db, table->name.table, columns,
			 table->nr_columns, plan, error);
	free(columns);
	return err;
}

/* ---- rows ------------------------------------------------------------------------------ */

static int row_reserve(struct sql_plan_row *row, unsigned nr)
{
	struct mask_value *values;
	struct sql_buf *scratch;

	if (nr <= row->nr)
		return 0;
	values = reallocarray(row->values, nr, sizeof(*values));
	if (values)
		row->values = values;
	scratch = reallocarray(row->scratch, nr, sizeof(*scratch));
	if (scratch)
		row->scratch = scratch;
	if (!values || !scratch)
		return -ENOMEM;
	memset(scratch + row->nr, 0, (nr - row->nr) * sizeof(*scratch));
	row->nr = nr;
	return 0;
}

static enum value_kind kind_of(const struct sql_value *v)
{
	switch (v->kind) {
	case SQL_NULL:
		return VALUE_NULL;
	case SQL_NUMBER:
		return VALUE_NUMBER;
	case SQL_HEX:
	case SQL_BIT:
		return VALUE_BINARY;
	default:
		return VALUE_STRING;
	}
}

int sql_plan_decode(struct sql_plan_row *row, const struct sql_table *table,
		    const struct sql_insert *insert,
		    const struct sql_value *values, unsigned nr)
{
	int err = row_reserve(row, table->nr_columns);

	for (unsigned i = 0; i < table->nr_columns && !err; i++)
		row->values[i] = (struct mask_value){"", 0, VALUE_NULL};
	for (unsigned i = 0; i < nr && !err; i++) {
		int at = (int)i;
		struct mask_value *v;

		if (insert->columns)
			at = i < insert->nr_columns
				     ? sql_table_column(table,
							insert->columns[i])
				     : -1;
		if (at < 0 || (unsigned)at >= table->nr_columns)
			return -EBADMSG;
		v = &row->values[at];
		err = sql_value_bytes(&values[i], &row->scratch[at], &v->bytes,
				      &v->len);
		v->kind = kind_of(&values[i]);
		if (err == -ENOTSUP || !v->bytes) {
			*v = (struct mask_value){"", 0, VALUE_NULL};
			err = err == -ENOTSUP ? 0 : err;
		}
	}
	return err;
}

void sql_plan_row_release(struct sql_plan_row *row)
{
	for (unsigned i = 0; i < row->nr; i++)
		sql_buf_release(&row->scratch[i]);
	free(row->scratch);
	free(row->values);
	*row = (struct sql_plan_row){0};
}
