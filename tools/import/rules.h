/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.h - which tables and columns of a dump are imported how
 *
 * Below: mask.h, tools/yaml.h, regex(3).  Above: gate.c, cmd_rules.c, the
 * import.  Files: rules.c (the file), rules_plan.c (a table's plan).
 * The file's syntax is in docs/man/dbs-rules.1.scd.
 *
 * Invariants:
 *  R1  a file is taken whole or refused with the line of what is wrong.
 *  R2  for each table and column the most specific rule holds, and where two
 *      are equally specific nothing is imported.  From the most specific on:
 *      "db.table", "table", a regular expression; in a table a column's name,
 *      then a regular expression.
 *  R3  a plan exists only if each of its masks may be used on its column.
 *  R4  rules_hash() sees all that a plan can depend on, and neither comments,
 *      order and ways of writing nor the key's file.
 */
#ifndef DBS_TOOLS_IMPORT_RULES_H
#define DBS_TOOLS_IMPORT_RULES_H

#include "tools/import/mask.h"
#include "tools/yaml.h"

#define RULES_KEY_ENV "DBS_MASK_KEY_FILE"

struct rules;

/** Errors: as yaml_open(); @error has the sentence, always */
int rules_load(const char *path, struct rules **rules,
	       struct yaml_error *error);
/** The same from memory. */
int rules_parse(const char *path, const char *bytes, size_t len,
		struct rules **rules, struct yaml_error *error);
void rules_free(struct rules *rules);

bool rules_strict(const struct rules *rules);
/** $DBS_MASK_KEY_FILE, else key_file; NULL: there is neither. */
const char *rules_key_path(const struct rules *rules);
/** SHA-256 of what the rules say, 64 hex digits (R4). */
const char *rules_hash(const struct rules *rules);
size_t rules_nr_tables(const struct rules *rules);
size_t rules_nr_columns(const struct rules *rules);
/** Does any rule need the key: to mask, or to sample? */
bool rules_need_key(const struct rules *rules);
/** Is there a mask but keep? */
bool rules_mask(const struct rules *rules);

/* ---- plans ------------------------------------------------------------------------ */

enum rules_data {
	DATA_ALL,
	DATA_STRUCTURE, /* CREATE TABLE without rows */
	DATA_SKIP,	/* nothing at all */
	DATA_ROWS,	/* the first nr_rows in the dump's order */
	DATA_SHARE,	/* per_million of a million, by mask_sample() */
};

struct rules_plan {
	enum rules_data data;
	uint64_t nr_rows;
	uint32_t per_million;
	unsigned sample_column; /* whose value decides, DATA_SHARE */
	unsigned nr_columns;
	struct mask_column *columns; /* copies, after mask_column_init() */
	/* per column; NULL: no rule names it, so it is kept or the gate's */
	const struct mask **masks;
	unsigned nr_masked; /* by other masks than keep */
};

/**
 * What the rules say of a table.
 *
 * @db:      NULL: not known; then only rules without a database hold
 * @nr:      0: only what becomes of its rows is asked, columns are not checked
 * @columns: as in CREATE TABLE; what is after "by mask_column_init()" is not
 *           read; their strings must outlive the plan, as @rules must
 *
 * Owner:   the caller, until rules_plan_free()
 * Context: not thread-safe: marks the rules that were used
 * Errors:  -EINVAL with @error: two rules are equally specific, a column that
 *          a rule names is not there, a mask is not for its column; -ENOMEM
 */
int rules_plan(struct rules *rules, const char *db, const char *table,
	       const struct mask_column *columns, unsigned nr,
	       struct rules_plan **plan, struct yaml_error *error);
void rules_plan_free(struct rules_plan *plan);

/**
 * Call @fn for each rule that no plan has used, with "FILE:LINE: what": at the
 * end of a dump a table or column of this name was not in it.
 */
void rules_unused(const struct rules *rules,
		  void (*fn)(void *arg, const char *sentence), void *arg);

#endif
