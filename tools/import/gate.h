/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate.h - finds columns that look personal and that no rule names
 *
 * Below: rules.h.  Above: the import, 'dbs rules check --against'.
 * Files: gate.c (tables, findings), gate_name.c (what a column's name says, in
 * English, German and French), gate_value.c (what its values look like).
 *
 * Invariants:
 *  G1  a column that a rule names, be it with keep, is never found; one whose
 *      rows are not imported (skip, structure) neither.
 *  G2  a finding has no value of the column in it.
 *  G3  the rule that a finding proposes may be used on its column.
 *  G4  looks at GATE_SAMPLES_MAX values of a column at most, spread over the
 *      table, and keeps none of them.
 */
#ifndef DBS_TOOLS_IMPORT_GATE_H
#define DBS_TOOLS_IMPORT_GATE_H

#include <stdio.h>

#include "tools/import/rules.h"

#define GATE_SAMPLES_MAX 4096u

struct gate;
struct gate_table;

/** NULL: memory is short. */
struct gate *gate_new(void);
void gate_free(struct gate *gate);

/**
 * From now on a column that no rule names is also found if "db.table.column"
 * is not among those given by calls of this: the schema of the last import.
 * Errors: -ENOMEM
 */
int gate_know(struct gate *gate, const char *column);

/**
 * A table of the dump, by its plan; copies what it needs.
 *
 * @db:    NULL: not known
 * @table: out, the gate's; NULL where nothing of it has to be looked at
 *
 * Errors: -ENOMEM
 */
int gate_table(struct gate *gate, const char *db, const char *name,
	       const struct rules_plan *plan, struct gate_table **table);

/** The table is not imported after all.  @table: NULL: nothing is done */
void gate_forget(struct gate *gate, struct gate_table *table);

/**
 * Will gate_row() look at the next row?  Counts it; false costs next to
 * nothing, and such a row need not be decoded.  @table: NULL: never
 */
bool gate_next(struct gate_table *table);
/** Look at a row; @values of columns in the plan's order, @nr of them. */
void gate_row(struct gate_table *table, const struct mask_value *values,
	      unsigned nr);

struct gate_finding {
	const char *table;  /* "db.table" */
	const char *column; /* its name */
	const char *type;
	const char *why;  /* "named like an e-mail address" */
	const char *rule; /* "{ mask: email }" */
};

/** Call @fn for each finding, in the dump's order; returns their number. */
size_t gate_report(const struct gate *gate,
		   void (*fn)(void *arg, const struct gate_finding *finding),
		   void *arg);
/** The findings' rules as YAML that can be pasted into the file of rules. */
void gate_write_rules(const struct gate *gate, FILE *f);

#endif
