/* SPDX-License-Identifier: Apache-2.0 */
/* import_table.c - which tables a dump has, and what the rules say of them */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tools/import/import_internal.h"

/* ---- tables -------------------------------------------------------------- */

static bool is_name(const struct import_table *t, const struct sql_name *name)
{
	return !strcmp(t->name, name->table) &&
	       !strcmp(t->db, name->db ? name->db : "");
}

struct import_table *import_table_find(const struct import *im,
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

const struct sql_table *import_on_find(void *import,
				       const struct sql_name *name)
{
	const struct import_table *t = import_table_find(import, name);

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
void import_table_forget(struct import *im, struct import_table *t)
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
bool import_is_system(const char *db)
{
	static const char *const names[] = {
		"mysql", "sys", "information_schema", "performance_schema"};

	for (size_t i = 0; db && i < ARRAY_SIZE(names); i++)
		if (!strcasecmp(db, names[i]))
			return true;
	return false;
}

int import_on_verdict(void *arg, const struct sql_name *name)
{
	struct import *im = arg;
	struct import_table *t = import_table_find(im, name);
	struct rules_plan *plan;
	struct yaml_error error;
	int verdict = SQL_TABLE_KEEP;

	if (import_is_system(name->db))
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

int import_on_create(void *arg, struct sql_table *table)
{
	struct import *im = arg;
	struct import_table *t = import_table_find(im, &table->name);
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
