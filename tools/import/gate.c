/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate.c - tables that are looked at, and what was found
 */
#include "tools/import/gate_internal.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "store/store.h"

struct looked_at {
	unsigned index; /* in the table */
	char *name, *type;
	struct mask_column column; /* with these texts */
	enum sign name_sign;
	bool is_new;
	struct gate_counts counts;
};

struct gate_table {
	char *name; /* "db.table" */
	struct looked_at *columns;
	unsigned nr_columns;
	uint64_t nr_rows;
	uint32_t nr_samples;
};

struct gate {
	struct gate_table **tables;
	size_t nr_tables;
	void *known; /* tsearch(3): texts */
	bool knows;
};

struct gate *gate_new(void)
{
	return calloc(1, sizeof(struct gate));
}

static void table_free(struct gate_table *table)
{
	if (!table)
		return;
	for (unsigned i = 0; table->columns && i < table->nr_columns; i++) {
		free(table->columns[i].name);
		free(table->columns[i].type);
	}
	free(table->columns);
	free(table->name);
	free(table);
}

void gate_free(struct gate *gate)
{
	if (!gate)
		return;
	for (size_t i = 0; i < gate->nr_tables; i++)
		table_free(gate->tables[i]);
	free(gate->tables);
	tdestroy(gate->known, free);
	free(gate);
}

/* ---- what was there before -------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
	return strcasecmp(a, b);
}

int gate_know(struct gate *gate, const char *column)
{
	char *copy = strdup(column), **node;

	if (!copy)
		return -ENOMEM;
	node = tsearch(copy, &gate->known, by_name);
	if (!node) {
		free(copy);
		return -ENOMEM;
	}
	if (*node != copy)
		free(copy);
	gate->knows = true;
	return 0;
}

static int look_up(const struct gate *gate, const char *table,
		   const char *column, bool *is_new)
{
	char *full;

	*is_new = false;
	if (!gate->knows)
		return 0;
	if (asprintf(&full, "%s.%s", table, column) < 0)
		return -ENOMEM;
	*is_new = !tfind(full, &gate->known, by_name);
	free(full);
	return 0;
}

/* ---- tables --------------------------------------------------------------------------- */

static int add_column(const struct gate *gate, struct gate_table *table,
		      const struct mask_column *column, unsigned index)
{
	struct looked_at *c = &table->columns[table->nr_columns++];

	c->index = index;
	c->column = *column;
	c->column.name = c->name = strdup(column->name);
	c->column.type = c->type = strdup(column->type ? column->type : "");
	c->column.charset = NULL;
	if (!c->name || !c->type)
		return -ENOMEM;
	c->name_sign = gate_name_sign(&c->column);
	return look_up(gate, table->name, c->name, &c->is_new);
}

static int add_table(struct gate *gate, struct gate_table *table)
{
	struct gate_table **tables = reallocarray(
		gate->tables, gate->nr_tables + 1, sizeof(*tables));

	if (!tables)
		return -ENOMEM;
	gate->tables = tables;
	gate->tables[gate->nr_tables++] = table;
	return 0;
}

int gate_table(struct gate *gate, const char *db, const char *name,
	       const struct rules_plan *plan, struct gate_table **out)
{
	struct gate_table *table;
	int err = 0;

	*out = NULL;
	if (plan->data == DATA_SKIP || plan->data == DATA_STRUCTURE)
		return 0;
	table = calloc(1, sizeof(*table));
	if (!table)
		return -ENOMEM;
	table->columns = calloc(plan->nr_columns + 1u, sizeof(*table->columns));
	if (!table->columns || asprintf(&table->name, "%s%s%s", db ? db : "",
					db ? "." : "", name) < 0) {
		table->name = NULL;
		err = -ENOMEM;
	}
	for (unsigned i = 0; i < plan->nr_columns && !err; i++)
		if (!plan->masks[i] && !plan->columns[i].generated)
			err = add_column(gate, table, &plan->columns[i], i);
	if (!err && table->nr_columns) {
		err = add_table(gate, table);
		if (!err)
			*out = table;
	}
	if (!*out)
		table_free(table);
	return err;
}

void gate_forget(struct gate *gate, struct gate_table *table)
{
	for (size_t i = 0; table && i < gate->nr_tables; i++) {
		if (gate->tables[i] != table)
			continue;
		memmove(gate->tables + i, gate->tables + i + 1,
			(--gate->nr_tables - i) * sizeof(*gate->tables));
		table_free(table);
		return;
	}
}

/* The first rows, then one in 2, 4, 8 ...: all of a table has its turn. */
bool gate_next(struct gate_table *table)
{
	uint64_t row, every;

	if (!table)
		return false;
	row = table->nr_rows++;
	every = UINT64_C(1)
		<< MIN_OF(table->nr_samples / (GATE_SAMPLES_MAX / 8), 40u);
	return row % every == 0;
}

void gate_row(struct gate_table *table, const struct mask_value *values,
	      unsigned nr)
{
	table->nr_samples++;
	for (unsigned i = 0; i < table->nr_columns; i++) {
		struct looked_at *c = &table->columns[i];

		if (c->index < nr)
			gate_value_look(&c->column, &values[c->index],
					&c->counts);
	}
}

/* ---- findings ------------------------------------------------------------------------------ */

static const struct {
	const char *named, *looks;
	const char *rules[3]; /* the first that may be used */
} signs[NR_SIGNS] = {
	[SIGN_EMAIL] = {"named like an e-mail address",
			"values have e-mail addresses in them",
			{"email", "text"}},
	[SIGN_PHONE] = {"named like a phone number",
			"values look like phone numbers",
			{"phone", "number"}},
	[SIGN_NAME] = {"named like a person's name",
		       "values look like names of persons",
		       {"name", "hash"}},
	[SIGN_STREET] = {"named like an address", "", {"address", "hash"}},
	[SIGN_CITY] = {"named like a place",
		       "",
		       {"address, part: city", "hash"}},
	[SIGN_POSTCODE] = {"named like a postcode",
			   "",
			   {"address, part: postcode", "number"}},
	[SIGN_BIRTH] = {"named like a date of birth",
			"values look like dates of birth",
			{"date", "number"}},
	[SIGN_IBAN] = {"named like a bank account",
		       "values have IBANs in them",
		       {"iban"}},
	[SIGN_CARD] = {"named like a card number",
		       "values look like card numbers",
		       {"card", "number"}},
	[SIGN_IP] = {"named like an IP address",
		     "values look like IP addresses",
		     {"ip", "hash", "number"}},
	[SIGN_IDENTITY] = {"named like a number of an identity document",
			   "",
			   {"hash", "number"}},
	[SIGN_MONEY] = {"named like somebody's income", "", {"number"}},
	[SIGN_SECRET] = {"named like a secret", "", {"hash"}},
	[SIGN_TEXT] = {"named like notes about persons", "", {"text"}},
	[SIGN_PICTURE] = {"named like a picture or signature",
			  "",
			  {"null", "hash"}},
	[SIGN_PLACE] = {"named like a place on the map", "", {"number"}},
};

/* "{ mask: address, part: city }", of a mask that may be used. */
static bool usable(const char *rule, const struct mask_column *column)
{
	char name[16], why[256];
	enum mask_kind kind;
	struct mask *mask;
	bool ok;

	snprintf(name, sizeof(name), "%.*s", (int)strcspn(rule, ","), rule);
	if (mask_kind_of(name, &kind))
		return false;
	mask = mask_new(kind);
	if (!mask)
		return false;
	ok = !strstr(rule, "part: ") ||
	     !mask_set(mask, "part", strstr(rule, "part: ") + 6, why,
		       sizeof(why));
	ok = ok && !mask_check_column(mask, column, why, sizeof(why));
	mask_free(mask);
	return ok;
}

static void choose_rule(const struct mask_column *column, enum sign sign,
			char *rule, size_t size)
{
	const char *const fallbacks[] = {"hash", "text", "null"};

	if (column->class == CLASS_JSON) { /* all of its leaves */
		snprintf(rule, size, "{ mask: json, paths: { $: text } }");
		return;
	}
	for (size_t i = 0; i < 3 && signs[sign].rules[i]; i++) {
		if (usable(signs[sign].rules[i], column)) {
			snprintf(rule, size, "{ mask: %s }",
				 signs[sign].rules[i]);
			return;
		}
	}
	for (size_t i = 0; sign != SIGN_NONE && i < ARRAY_SIZE(fallbacks);
	     i++) {
		if (usable(fallbacks[i], column)) {
			snprintf(rule, size, "{ mask: %s }", fallbacks[i]);
			return;
		}
	}
	snprintf(rule, size, "{ mask: keep }");
}

typedef void finding_fn(void *arg, const struct gate_finding *finding);

static bool find(const struct gate_table *table, const struct looked_at *c,
		 finding_fn *fn, void *arg)
{
	const enum sign looks = gate_value_sign(&c->column, &c->counts);
	/* surer than the name, but for what is only somewhere in a text */
	const enum sign sign = looks != SIGN_NONE ? looks : c->name_sign;
	const bool is_long =
		c->column.class == CLASS_JSON || c->column.max_chars > 1000 ||
		(c->column.class == CLASS_TEXT && !c->column.max_chars);
	char rule[64];
	struct gate_finding finding = {
		.table = table->name,
		.column = c->name,
		.type = c->type,
		.rule = rule,
	};

	if (sign == SIGN_NONE && !c->is_new)
		return false;
	finding.why = looks != SIGN_NONE  ? signs[looks].looks
		      : sign != SIGN_NONE ? signs[sign].named
					  : "new, it was not there before";
	choose_rule(&c->column,
		    looks != SIGN_NONE && is_long ? SIGN_TEXT : sign, rule,
		    sizeof(rule));
	fn(arg, &finding);
	return true;
}

size_t gate_report(const struct gate *gate, finding_fn *fn, void *arg)
{
	size_t nr = 0;

	for (size_t i = 0; i < gate->nr_tables; i++)
		for (unsigned k = 0; k < gate->tables[i]->nr_columns; k++)
			nr += find(gate->tables[i],
				   &gate->tables[i]->columns[k], fn, arg);
	return nr;
}

/* ---- rules that can be pasted -------------------------------------------------------------------- */

/* As a key: a name, in quotes where YAML might take it for something else. */
static void put_key(FILE *f, const char *name)
{
	if (!strcspn(name,
		     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		     "_") &&
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			 "_.0123456789$") == strlen(name)) {
		fputs(name, f);
		return;
	}
	fputc('"', f);
	for (; *name; name++) {
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			fprintf(f, "\\x%02x", (unsigned char)*name);
		else if (*name == '"' || *name == '\\')
			fprintf(f, "\\%c", *name);
		else
			fputc(*name, f);
	}
	fputc('"', f);
}

struct writer {
	FILE *f;
	const char *table;
};

static void write_rule(void *arg, const struct gate_finding *finding)
{
	struct writer *w = arg;

	if (!w->table)
		fputs("tables:\n", w->f);
	if (w->table != finding->table) {
		fputs("  ", w->f);
		put_key(w->f, finding->table);
		fputs(":\n    columns:\n", w->f);
		w->table = finding->table;
	}
	fputs("      ", w->f);
	put_key(w->f, finding->column);
	fprintf(w->f, ": %s # %s\n", finding->rule, finding->why);
}

void gate_write_rules(const struct gate *gate, FILE *f)
{
	struct writer w = {.f = f};

	gate_report(gate, write_rule, &w);
}
