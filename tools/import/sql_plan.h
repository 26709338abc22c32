/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_plan.h - a table of a dump, as rules and the gate want it
 *
 * Below: sql_reader.h, rules.h, gate.h.  Above: the import, cmd_rules.c.
 */
#ifndef DBS_TOOLS_IMPORT_SQL_PLAN_H
#define DBS_TOOLS_IMPORT_SQL_PLAN_H

#include "tools/import/gate.h"
#include "tools/import/sql_reader.h"

/**
 * What the rules say of @table: rules_plan() with its columns.
 *
 * A column is unique if it is the only one of a primary or unique key, and
 * case-sensitive if its collation, its table's or its character set says so.
 *
 * Owner:  the caller, until rules_plan_free(); @table must live as long
 * Errors: as rules_plan()
 */
int sql_plan(struct rules *rules, const struct sql_table *table,
	     struct rules_plan **plan, struct yaml_error *error);

/* Values of a row, in the order of the table's columns. */
struct sql_plan_row {
	struct mask_value *values;
	struct sql_buf *scratch; /* one each */
	unsigned nr;		 /* room */
};

/**
 * Decode @values of a row of @insert.  A column that has no value or one that
 * only the server knows (DEFAULT, NOW()) is NULL.
 *
 * @row:    zeros before the first call; its values are good until the next one
 * Errors: -EBADMSG the row does not fit its table; -ENOMEM
 */
int sql_plan_decode(struct sql_plan_row *row, const struct sql_table *table,
		    const struct sql_insert *insert,
		    const struct sql_value *values, unsigned nr);
void sql_plan_row_release(struct sql_plan_row *row);

#endif
