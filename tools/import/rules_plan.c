/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_plan.c - what the rules say of one table
 */
#include "tools/import/rules_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/store.h"

/* R2: how specific a rule for a table is; 0: it is not for this one. */
enum rank {
	RANK_NONE,
	RANK_REGEX,
	RANK_TABLE,
	RANK_DB_TABLE,
};

struct planner {
	struct rules *rules;
	struct yaml_error *error;
	struct rules_plan *plan;
	const char *full; /* "db.table", or "table" */
	const char *db, *table;
	uint8_t *ranks; /* per rule */
};

static enum rank rank_of(const struct table_rule *t, const char *db,
			 const char *table, const char *full)
{
	if (t->pattern.is_regex)
		return regexec(&t->pattern.regex, full, 0, NULL, 0)
			       ? RANK_NONE
			       : RANK_REGEX;
	if (strcmp(t->table, table))
		return RANK_NONE;
	if (!t->db)
		return RANK_TABLE;
	return db && !strcmp(t->db, db) ? RANK_DB_TABLE : RANK_NONE;
}

/* ---- data ---------------------------------------------------------------------------- */

static int find_data(struct planner *p, const struct table_rule **found)
{
	enum rank best = RANK_NONE;
	struct table_rule *t, *winner = NULL, *other = NULL;

	for (size_t i = 0; i < p->rules->nr_tables; i++) {
		t = &p->rules->tables[i];
		if (!t->says_data || p->ranks[i] < best || !p->ranks[i])
			continue;
		other = p->ranks[i] == best ? winner : NULL;
		winner = t;
		best = p->ranks[i];
	}
	*found = winner;
	if (!other)
		return 0;
	return yaml_refuse(p->rules->file, winner->pattern.item, p->error,
			   "'%s' and '%s' in line %u both say what of table "
			   "%s is taken (name the table in a rule of its own)",
			   winner->pattern.item->key, other->pattern.item->key,
			   other->pattern.item->line, p->full);
}

static int plan_data(struct planner *p)
{
	struct rules_plan *plan = p->plan;
	const struct table_rule *t;
	int err = find_data(p, &t);

	if (err || !t)
		return err;
	plan->data = t->data;
	plan->nr_rows = t->nr_rows;
	plan->per_million = t->per_million;
	if (!t->by)
		return 0;
	for (unsigned i = 0; i < plan->nr_columns; i++) {
		if (!strcasecmp(plan->columns[i].name, t->by)) {
			plan->sample_column = i;
			return 0;
		}
	}
	return yaml_refuse(p->rules->file, t->by_item, p->error,
			   "table %s has no column '%s' to sample by", p->full,
			   t->by);
}

/* ---- columns ----------------------------------------------------------------------------- */

static bool matches(const struct column_rule *c, const char *name)
{
	if (c->pattern.is_regex)
		return !regexec(&c->pattern.regex, name, 0, NULL, 0);
	return !strcasecmp(c->pattern.item->key, name);
}

static int plan_column(struct planner *p, unsigned i)
{
	const struct mask_column *column = &p->plan->columns[i];
	struct column_rule *winner = NULL, *other = NULL;
	unsigned best = 0;
	char why[256];

	for (size_t k = 0; k < p->rules->nr_tables; k++) {
		struct table_rule *t = &p->rules->tables[k];

		for (size_t n = 0; p->ranks[k] && n < t->nr_columns; n++) {
			struct column_rule *c = &t->columns[n];
			const unsigned rank =
				2u * p->ranks[k] + !c->pattern.is_regex;

			if (!matches(c, column->name))
				continue;
			c->nr_used++;
			if (rank < best)
				continue;
			other = rank == best ? winner : NULL;
			winner = c;
			best = rank;
		}
	}
	if (!winner)
		return 0;
	if (other)
		return yaml_refuse(
			p->rules->file, winner->pattern.item, p->error,
			"'%s' and '%s' in line %u are both for "
			"column %s.%s (name the column in a rule of "
			"its own)",
			winner->pattern.item->key, other->pattern.item->key,
			other->pattern.item->line, p->full, column->name);
	if (p->plan->data != DATA_SKIP &&
	    mask_check_column(winner->mask, column, why, sizeof(why)))
		return yaml_refuse(p->rules->file, winner->pattern.item,
				   p->error, "column %s.%s: %s", p->full,
				   column->name, why);
	p->plan->masks[i] = winner->mask;
	p->plan->nr_masked += mask_kind(winner->mask) != MASK_KEEP;
	return 0;
}

/* A name in a rule for exactly this table must be there. */
static int check_named(struct planner *p, const struct table_rule *t)
{
	for (size_t n = 0; n < t->nr_columns; n++) {
		const struct column_rule *c = &t->columns[n];
		bool there = c->pattern.is_regex;

		for (unsigned i = 0; i < p->plan->nr_columns && !there; i++)
			there = matches(c, p->plan->columns[i].name);
		if (!there)
			return yaml_refuse(p->rules->file, c->pattern.item,
					   p->error,
					   "table %s has no column '%s' (take "
					   "the rule out, or mend its name)",
					   p->full, c->pattern.item->key);
	}
	return 0;
}

static int plan_columns(struct planner *p)
{
	int err = 0;

	for (size_t i = 0; i < p->rules->nr_tables && !err; i++)
		if (p->ranks[i] > RANK_REGEX)
			err = check_named(p, &p->rules->tables[i]);
	for (unsigned i = 0; i < p->plan->nr_columns && !err; i++)
		err = plan_column(p, i);
	return err;
}

/* ---- plans --------------------------------------------------------------------------------- */

static struct rules_plan *plan_new(const struct mask_column *columns,
				   unsigned nr)
{
	struct rules_plan *plan = calloc(1, sizeof(*plan));

	if (!plan)
		return NULL;
	plan->nr_columns = nr;
	plan->columns = calloc(nr + 1u, sizeof(*plan->columns));
	plan->masks = calloc(nr + 1u, sizeof(struct mask *));
	if (!plan->columns || !plan->masks) {
		rules_plan_free(plan);
		return NULL;
	}
	for (unsigned i = 0; i < nr; i++) {
		plan->columns[i] = columns[i];
		mask_column_init(&plan->columns[i]);
	}
	return plan;
}

void rules_plan_free(struct rules_plan *plan)
{
	if (!plan)
		return;
	free(plan->columns);
	free(plan->masks);
	free(plan);
}

int rules_plan(struct rules *rules, const char *db, const char *table,
	       const struct mask_column *columns, unsigned nr,
	       struct rules_plan **plan, struct yaml_error *error)
{
	struct planner p = {
		.rules = rules, .error = error, .db = db, .table = table};
	char *full = NULL;
	int err = -ENOMEM;

	error->text[0] = '\0';
	if (asprintf(&full, "%s%s%s", db ? db : "", db ? "." : "", table) < 0)
		full = NULL;
	p.full = full;
	p.ranks = calloc(rules->nr_tables + 1, 1);
	p.plan = plan_new(columns, nr);
	if (full && p.ranks && p.plan) {
		for (size_t i = 0; i < rules->nr_tables; i++) {
			p.ranks[i] = (uint8_t)rank_of(&rules->tables[i], db,
						      table, full);
			rules->tables[i].nr_used += p.ranks[i] > 0;
		}
		err = plan_data(&p);
		/* without columns: only what becomes of the table is asked */
		if (!err && nr)
			err = plan_columns(&p);
	}
	free(full);
	free(p.ranks);
	if (!err) {
		*plan = p.plan;
		return 0;
	}
	if (!*error->text)
		snprintf(error->text, sizeof(error->text), "out of memory");
	rules_plan_free(p.plan);
	return err;
}

/* ---- what was not used ------------------------------------------------------------------------ */

void rules_unused(const struct rules *rules,
		  void (*fn)(void *arg, const char *sentence), void *arg)
{
	struct yaml_error text;

	for (size_t i = 0; i < rules->nr_tables; i++) {
		const struct table_rule *t = &rules->tables[i];

		if (!t->nr_used) {
			yaml_refuse(rules->file, t->pattern.item, &text,
				    "no table is called '%s'",
				    t->pattern.item->key);
			fn(arg, text.text);
			continue;
		}
		for (size_t k = 0; k < t->nr_columns; k++) {
			const struct column_rule *c = &t->columns[k];

			if (c->nr_used)
				continue;
			yaml_refuse(rules->file, c->pattern.item, &text,
				    "no column of '%s' is called '%s'",
				    t->pattern.item->key, c->pattern.item->key);
			fn(arg, text.text);
		}
	}
}
