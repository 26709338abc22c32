/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules_internal.h - what rules.c and rules_plan.c share
 */
#ifndef DBS_TOOLS_IMPORT_RULES_INTERNAL_H
#define DBS_TOOLS_IMPORT_RULES_INTERNAL_H

#include <regex.h>

#include "tools/import/rules.h"

/* A name, or "/regular expression/". */
struct pattern {
	const struct yaml_item *item; /* whose key it is */
	bool is_regex;
	regex_t regex;
};

struct column_rule {
	struct pattern pattern;
	struct mask *mask;
	unsigned nr_used;
};

struct table_rule {
	struct pattern pattern;
	const char *db, *table; /* of a name; db NULL: any */
	char *name;		/* what they point into */
	bool says_data;
	enum rules_data data;
	uint64_t nr_rows;
	uint32_t per_million;
	const char *by; /* sampling column, or NULL */
	const struct yaml_item *by_item;
	struct column_rule *columns;
	size_t nr_columns;
	unsigned nr_used;
};

struct rules {
	struct yaml_file *file; /* owns all texts */
	bool strict;
	const char *key_file;
	struct table_rule *tables;
	size_t nr_tables;
	char hash[65];
};

#endif
