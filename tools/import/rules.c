/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rules.c - reads the file of rules
 *
 * From the tree and not by a schema: its mappings have tables and columns for
 * keys, which libcyaml cannot describe (docs/decisions/0093-yaml.md).
 */
#include "tools/import/rules_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "tools/lib_crypto.h"

struct reader {
	struct rules *rules;
	struct yaml_error *error;
};

#define refuse(r, at, ...)                                                     \
	yaml_refuse((r)->rules->file, at, (r)->error, __VA_ARGS__)

/* ---- patterns ----------------------------------------------------------------------- */

static int pattern_read(struct reader *r, const struct yaml_item *item,
			struct pattern *p, int flags)
{
	const char *key = item->key;
	const size_t len = strlen(key);
	char why[160], *text;
	int err;

	p->item = item;
	if (!len)
		return refuse(r, item, "an empty name (a name, or /regex/)");
	if (*key != '/')
		return 0;
	if (len < 3 || key[len - 1] != '/')
		return refuse(r, item, "'%s' has no end (/regex/)", key);
	text = strndup(key + 1, len - 2);
	if (!text)
		return -ENOMEM;
	err = regcomp(&p->regex, text, REG_EXTENDED | REG_NOSUB | flags);
	free(text);
	if (err) {
		regerror(err, &p->regex, why, sizeof(why));
		return refuse(r, item,
			      "'%s' is not a regular expression: %s (POSIX "
			      "extended, see regex(7))",
			      key, why);
	}
	p->is_regex = true;
	return 0;
}

static void pattern_release(struct pattern *p)
{
	if (p->is_regex)
		regfree(&p->regex);
}

/* ---- masks ----------------------------------------------------------------------------- */

static int read_mask(struct reader *r, const struct yaml_item *item,
		     struct mask **mask);

static int read_paths(struct reader *r, const struct yaml_item *item,
		      struct mask *mask)
{
	char why[256];
	int err = 0;

	if (item->kind != YAML_MAP || !item->nr)
		return refuse(r, item,
			      "'paths' is not a mapping (path: mask, as "
			      "$.user.email: email)");
	for (size_t i = 0; i < item->nr && !err; i++) {
		const struct yaml_item *member = &item->items[i];
		struct mask *inner = NULL;

		err = read_mask(r, member, &inner);
		if (err)
			return err;
		err = mask_add_path(mask, member->key, inner, why, sizeof(why));
		if (err == -EINVAL)
			refuse(r, member, "%s", why);
	}
	return err;
}

static int read_parameters(struct reader *r, const struct yaml_item *item,
			   struct mask *mask)
{
	char why[256];
	int err = 0;

	for (size_t i = 0; i < item->nr && !err; i++) {
		const struct yaml_item *member = &item->items[i];

		if (!strcmp(member->key, "mask"))
			continue;
		if (!strcmp(member->key, "paths") &&
		    mask_kind(mask) == MASK_JSON) {
			err = read_paths(r, member, mask);
			continue;
		}
		if (member->kind != YAML_TEXT)
			return refuse(
				r, member, "'%s' is %s (a text or number)",
				member->key, yaml_kind_name(member->kind));
		err = mask_set(mask, member->key, member->text, why,
			       sizeof(why));
		if (err == -EINVAL)
			refuse(r, member, "%s", why);
	}
	return err;
}

/* "email", or a mapping with 'mask' and what that mask takes. */
static int read_mask(struct reader *r, const struct yaml_item *item,
		     struct mask **mask)
{
	const struct yaml_item *name =
		item->kind == YAML_MAP ? yaml_get(item, "mask") : item;
	enum mask_kind kind;
	char why[256];
	int err;

	if (!name || name->kind != YAML_TEXT)
		return refuse(r, item, "'%s' has no mask (%s)", item->key,
			      mask_kind_names());
	if (mask_kind_of(name->text, &kind))
		return refuse(r, name, "'%s' is not a mask (%s)", name->text,
			      mask_kind_names());
	*mask = mask_new(kind);
	if (!*mask)
		return -ENOMEM;
	err = read_parameters(r, item, *mask);
	if (!err) {
		err = mask_complete(*mask, why, sizeof(why));
		if (err)
			refuse(r, item, "%s", why);
	}
	if (err) {
		mask_free(*mask);
		*mask = NULL;
	}
	return err;
}

/* ---- tables ------------------------------------------------------------------------------ */

static int read_columns(struct reader *r, const struct yaml_item *item,
			struct table_rule *t)
{
	int err = 0;

	if (item->kind != YAML_MAP)
		return refuse(r, item,
			      "'columns' is %s (a mapping, column: "
			      "{ mask: MASK })",
			      yaml_kind_name(item->kind));
	t->columns = calloc(item->nr ? item->nr : 1, sizeof(*t->columns));
	if (!t->columns)
		return -ENOMEM;
	for (size_t i = 0; i < item->nr && !err; i++) {
		struct column_rule *c = &t->columns[t->nr_columns++];

		err = pattern_read(r, &item->items[i], &c->pattern, REG_ICASE);
		if (!err)
			err = read_mask(r, &item->items[i], &c->mask);
	}
	return err;
}

static int read_data(struct reader *r, const struct yaml_item *item,
		     struct table_rule *t)
{
	static const char *const words[] = {[DATA_ALL] = "all",
					    [DATA_STRUCTURE] = "structure",
					    [DATA_SKIP] = "skip"};

	for (size_t i = 0; item->kind == YAML_TEXT && i < ARRAY_SIZE(words);
	     i++) {
		if (strcmp(words[i], item->text))
			continue;
		t->data = (enum rules_data)i;
		t->says_data = true;
		return 0;
	}
	return refuse(r, item, "'data' is '%s' (all, structure, skip)",
		      item->kind == YAML_TEXT ? item->text
					      : yaml_kind_name(item->kind));
}

/* "1000", "1 %", "0.05%" */
static int read_sample(struct reader *r, const struct yaml_item *item,
		       struct table_rule *t)
{
	const char *text = item->kind == YAML_TEXT ? item->text : "";
	const size_t digits = strspn(text, "0123456789");
	const size_t number = strspn(text, "0123456789.");
	const char *unit = text + number + strspn(text + number, " ");
	double percent;
	char *end;

	t->says_data = true;
	if (digits && !text[digits] && digits < 16) {
		t->data = DATA_ROWS;
		t->nr_rows = strtoull(text, NULL, 10);
		return 0;
	}
	percent = strtod(text, &end);
	if (number && end == text + number && !strcmp(unit, "%") &&
	    percent >= 0.0001 && percent <= 100) {
		t->data = DATA_SHARE;
		t->per_million = (uint32_t)lround(percent * 10000);
		return 0;
	}
	return refuse(r, item,
		      "'sample' is '%s' (a number of rows, or a share from "
		      "0.0001 %% to 100 %%)",
		      text);
}

static int read_table(struct reader *r, const struct yaml_item *item,
		      struct table_rule *t)
{
	const struct yaml_item *data = yaml_get(item, "data");
	const struct yaml_item *sample = yaml_get(item, "sample");
	int err = 0;

	if (item->kind != YAML_MAP)
		return refuse(r, item,
			      "'%s' is %s (a mapping: columns, data, "
			      "sample, by)",
			      item->key, yaml_kind_name(item->kind));
	for (size_t i = 0; i < item->nr && !err; i++) {
		const struct yaml_item *member = &item->items[i];

		if (member == data)
			err = read_data(r, member, t);
		else if (!strcmp(member->key, "columns"))
			err = read_columns(r, member, t);
		else if (!strcmp(member->key, "by"))
			t->by_item = member;
		else if (member != sample)
			err = refuse(r, member,
				     "'%s' is not known here "
				     "(columns, data, sample, by)",
				     member->key);
	}
	if (!err && sample && data && t->data != DATA_ALL)
		err = refuse(r, sample, "'sample' of a table whose data is %s",
			     data->text);
	if (!err && sample)
		err = read_sample(r, sample, t);
	if (!err && t->by_item &&
	    (t->by_item->kind != YAML_TEXT || t->data != DATA_SHARE))
		err = refuse(r, t->by_item,
			     "'by' names the column that decides which share "
			     "is taken (with sample: 1 %%)");
	if (!err && t->by_item)
		t->by = t->by_item->text;
	return err;
}

/* "db.table" or "table" */
static int read_name(struct reader *r, struct table_rule *t)
{
	char *dot;

	if (t->pattern.is_regex)
		return 0;
	t->name = strdup(t->pattern.item->key);
	if (!t->name)
		return -ENOMEM;
	t->table = t->name;
	dot = strchr(t->name, '.');
	if (dot) {
		*dot = '\0';
		t->db = t->name;
		t->table = dot + 1;
	}
	if (!*t->table || (t->db && !*t->db) || strchr(t->table, '.'))
		return refuse(r, t->pattern.item,
			      "'%s' is not a table (db.table, table, or "
			      "/regex/)",
			      t->pattern.item->key);
	return 0;
}

static int read_tables(struct reader *r, const struct yaml_item *item)
{
	struct rules *rules = r->rules;
	int err = 0;

	if (item->kind != YAML_MAP)
		return refuse(r, item,
			      "'tables' is %s (a mapping, db.table: "
			      "{ ... })",
			      yaml_kind_name(item->kind));
	rules->tables = calloc(item->nr ? item->nr : 1, sizeof(*rules->tables));
	if (!rules->tables)
		return -ENOMEM;
	for (size_t i = 0; i < item->nr && !err; i++) {
		struct table_rule *t = &rules->tables[rules->nr_tables++];

		err = pattern_read(r, &item->items[i], &t->pattern, 0);
		if (!err)
			err = read_name(r, t);
		if (!err)
			err = read_table(r, &item->items[i], t);
	}
	return err;
}

static int read_key_file(struct reader *r, const struct yaml_item *item)
{
	if (item->kind != YAML_TEXT || *item->text != '/')
		return refuse(r, item, "'key_file' is '%s' (an absolute path)",
			      item->kind == YAML_TEXT
				      ? item->text
				      : yaml_kind_name(item->kind));
	r->rules->key_file = item->text;
	return 0;
}

static int read_root(struct reader *r, const struct yaml_item *root)
{
	int err = 0;

	if (root->kind != YAML_MAP)
		return refuse(r, root,
			      "this is %s (a mapping: tables, strict, "
			      "key_file)",
			      yaml_kind_name(root->kind));
	for (size_t i = 0; i < root->nr && !err; i++) {
		const struct yaml_item *item = &root->items[i];

		if (!strcmp(item->key, "tables"))
			err = read_tables(r, item);
		else if (!strcmp(item->key, "key_file"))
			err = read_key_file(r, item);
		else if (strcmp(item->key, "strict"))
			err = refuse(r, item,
				     "'%s' is not known here (tables, "
				     "strict, key_file)",
				     item->key);
		else if (yaml_bool(item, &r->rules->strict))
			err = refuse(r, item, "'strict' is '%s' (true, false)",
				     item->kind == YAML_TEXT
					     ? item->text
					     : yaml_kind_name(item->kind));
	}
	return err;
}

/* ---- hash -------------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Each of @texts in order, with its length; frees them. */
static void put_sorted(FILE *f, char **texts, size_t nr)
{
	qsort(texts, nr, sizeof(*texts), by_text);
	for (size_t i = 0; i < nr; i++) {
		fprintf(f, "%zu:%s\n", strlen(texts[i]), texts[i]);
		free(texts[i]);
	}
	free(texts);
}

/* Canonical text of what @put writes; NULL: memory is short. */
static char *text_of_columns(const struct table_rule *t)
{
	char **texts = calloc(t->nr_columns + 1, sizeof(*texts)), *text = NULL;
	size_t size, nr = 0;
	FILE *f = texts ? open_memstream(&text, &size) : NULL;

	for (size_t i = 0; f && i < t->nr_columns; i++) {
		char *mask = mask_text(t->columns[i].mask);

		if (mask &&
		    asprintf(&texts[nr], "%s %s",
			     t->columns[i].pattern.item->key, mask) >= 0)
			nr++;
		free(mask);
	}
	if (!f || nr < t->nr_columns) {
		for (size_t i = 0; i < nr; i++)
			free(texts[i]);
		free(texts);
		texts = NULL;
	}
	if (texts)
		put_sorted(f, texts, nr);
	if ((f && fclose(f)) || !texts) {
		free(text);
		return NULL;
	}
	return text;
}

static char *text_of_table(const struct table_rule *t)
{
	char *columns = text_of_columns(t), *text = NULL;

	if (columns &&
	    asprintf(&text, "%s data=%d/%d rows=%llu share=%u by=%s\n%s",
		     t->pattern.item->key, t->says_data, t->data,
		     (unsigned long long)t->nr_rows, t->per_million,
		     t->by ? t->by : "", columns) < 0)
		text = NULL;
	free(columns);
	return text;
}

static char *text_of_rules(const struct rules *rules)
{
	char **texts = calloc(rules->nr_tables + 1, sizeof(*texts));
	char *text = NULL;
	size_t size, nr = 0;
	FILE *f = texts ? open_memstream(&text, &size) : NULL;

	while (f && nr < rules->nr_tables &&
	       (texts[nr] = text_of_table(&rules->tables[nr])))
		nr++;
	if (!f || nr < rules->nr_tables) {
		for (size_t i = 0; i < nr; i++)
			free(texts[i]);
		free(texts);
		if (f)
			fclose(f);
		free(text);
		return NULL;
	}
	fprintf(f, "dbs rules 1 strict=%d\n", rules->strict);
	put_sorted(f, texts, nr);
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

static int make_hash(struct rules *rules)
{
	char *text = text_of_rules(rules);
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!text)
		return -ENOMEM;
	if (!lib_crypto()->EVP_Digest(text, strlen(text), digest, &len,
				      lib_crypto()->EVP_sha256(), NULL))
		len = 0;
	free(text);
	if (len != 32)
		return -ENOMEM;
	for (unsigned i = 0; i < len; i++)
		snprintf(rules->hash + 2 * i, 3, "%02x", digest[i]);
	return 0;
}

/* ---- files --------------------------------------------------------------------------------------- */

/* Takes @file. */
static int read_file(struct yaml_file *file, struct rules **rules,
		     struct yaml_error *error)
{
	struct reader r = {.error = error};
	int err = -ENOMEM;

	error->text[0] = '\0';
	r.rules = calloc(1, sizeof(*r.rules));
	if (r.rules) {
		r.rules->file = file;
		r.rules->strict = true;
		err = read_root(&r, yaml_root(file));
	} else {
		yaml_close(file);
	}
	if (!err)
		err = make_hash(r.rules);
	if (!err) {
		*rules = r.rules;
		return 0;
	}
	if (!*error->text)
		snprintf(error->text, sizeof(error->text), "out of memory");
	rules_free(r.rules);
	return err;
}

int rules_load(const char *path, struct rules **rules, struct yaml_error *error)
{
	struct yaml_file *file;
	int err = yaml_open(path, &file, error);

	/* a file of rules that has none is a mistake */
	if (err)
		return err == -ENODATA ? -EINVAL : err;
	return read_file(file, rules, error);
}

int rules_parse(const char *path, const char *bytes, size_t len,
		struct rules **rules, struct yaml_error *error)
{
	struct yaml_file *file;
	int err = yaml_parse(path, bytes, len, &file, error);

	if (err)
		return err == -ENODATA ? -EINVAL : err;
	return read_file(file, rules, error);
}

void rules_free(struct rules *rules)
{
	if (!rules)
		return;
	for (size_t i = 0; i < rules->nr_tables; i++) {
		struct table_rule *t = &rules->tables[i];

		for (size_t k = 0; k < t->nr_columns; k++) {
			pattern_release(&t->columns[k].pattern);
			mask_free(t->columns[k].mask);
		}
		pattern_release(&t->pattern);
		free(t->columns);
		free(t->name);
	}
	free(rules->tables);
	yaml_close(rules->file);
	free(rules);
}

bool rules_strict(const struct rules *rules)
{
	return rules->strict;
}

const char *rules_key_path(const struct rules *rules)
{
	const char *path = getenv(RULES_KEY_ENV);

	return path && *path ? path : rules->key_file;
}

const char *rules_hash(const struct rules *rules)
{
	return rules->hash;
}

size_t rules_nr_tables(const struct rules *rules)
{
	return rules->nr_tables;
}

size_t rules_nr_columns(const struct rules *rules)
{
	size_t nr = 0;

	for (size_t i = 0; i < rules->nr_tables; i++)
		nr += rules->tables[i].nr_columns;
	return nr;
}

bool rules_mask(const struct rules *rules)
{
	for (size_t i = 0; i < rules->nr_tables; i++) {
		const struct table_rule *t = &rules->tables[i];

		for (size_t k = 0; k < t->nr_columns; k++)
			if (mask_kind(t->columns[k].mask) != MASK_KEEP)
				return true;
	}
	return false;
}

bool rules_need_key(const struct rules *rules)
{
	for (size_t i = 0; i < rules->nr_tables; i++) {
		const struct table_rule *t = &rules->tables[i];

		if (t->data == DATA_SHARE)
			return true;
		for (size_t k = 0; k < t->nr_columns; k++) {
			const enum mask_kind kind =
				mask_kind(t->columns[k].mask);

			if (kind != MASK_KEEP && kind != MASK_NULL &&
			    kind != MASK_FIXED)
				return true;
		}
	}
	return false;
}
