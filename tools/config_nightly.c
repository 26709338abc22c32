/* SPDX-License-Identifier: Apache-2.0 */
/* config_nightly.c - the section 'nightly': what happens every night */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "store/store.h"
#include "tools/config_internal.h"

#define KEEP_MAX 100000

/* @to is the object of jansson's that the key belongs to. */
static int put(void *to, const char *key, json_t *value)
{
	return json_object_set_new(to, key, value) ? -ENOMEM : 0;
}

static int read_text(struct reader *r, const struct yaml_item *item, void *to)
{
	int err = config_need_text(r, item);

	return err ? err : put(to, item->key, json_string(item->text));
}

static int read_path(struct reader *r, const struct yaml_item *item, void *to)
{
	int err = config_need_path(r, item);

	return err ? err : put(to, item->key, json_string(item->text));
}

/* ---- import ------------------------------------------------------------------ */

bool config_url_has_password(const char *url)
{
	const char *p = strstr(url, "://");
	size_t len = p ? strcspn(p + 3, "?#") : 0;
	const char *at = p ? memchr(p + 3, '@', len) : NULL;
	const char *colon =
		at ? memchr(p + 3, ':', (size_t)(at - p - 3)) : NULL;

	return colon && colon[1 + strspn(colon + 1, "0123456789")] != '/';
}

static int read_from(struct reader *r, const struct yaml_item *item, void *to)
{
	int err = config_need_text(r, item);

	if (!err && *item->text != '/' && !strstr(item->text, "://"))
		err = refuse(r, item,
			     "'from' is '%s' (a path from /, or a URL)",
			     item->text);
	/* the plan and the result can be read by all */
	if (!err && config_url_has_password(item->text))
		err = refuse(r, item,
			     "'from' has a password in it (mysql:// takes "
			     "'password_file', https:// takes ~/.netrc)");
	return err ? err : put(to, item->key, json_string(item->text));
}

static int read_keep(struct reader *r, const struct yaml_item *item, void *to)
{
	int err = config_need_text(r, item);
	uint64_t n;

	if (!err && config_parse_number(item->text, 1, KEEP_MAX, &n))
		err = refuse(r, item, "'%s' is '%s' (1 to %d)", item->key,
			     item->text, KEEP_MAX);
	return err ? err : put(to, item->key, json_integer((json_int_t)n));
}

static int read_import(struct reader *r, const struct yaml_item *item, void *to)
{
	static const struct key keys[] = {
		{"from", read_from},	 {"rules", read_path},
		{"database", read_text}, {"server", read_path},
		{"ca", read_path},	 {"password_file", read_path},
		{"publish", read_path},	 {"keep_published", read_keep},
	};
	json_t *import = json_object();
	int err = put(to, item->key, import);

	if (!err)
		err = config_read_keys(r, item, item->key, keys,
				       ARRAY_SIZE(keys), import);
	if (!err && !json_object_get(import, "from"))
		err = refuse(r, item, "'import' has no 'from'");
	if (!err && json_object_get(import, "keep_published") &&
	    !json_object_get(import, "publish"))
		err = refuse(r, item, "'keep_published' needs 'publish'");
	return err;
}

/* ---- prune ------------------------------------------------------------------- */

static int read_rule(struct reader *r, const struct yaml_item *item, void *to)
{
	int err = config_need_text(r, item);
	uint64_t n;

	if (!err && config_parse_number(item->text, 0, KEEP_MAX, &n))
		err = refuse(r, item, "'%s' is '%s' (0 to %d)", item->key,
			     item->text, KEEP_MAX);
	/* without 'keep_' */
	return err || !n ? err
			 : put(to, strchr(item->key, '_') + 1,
			       json_integer((json_int_t)n));
}

static int read_prune(struct reader *r, const struct yaml_item *item, void *to)
{
	static const struct key keys[] = {
		{"keep_last", read_rule},    {"keep_hourly", read_rule},
		{"keep_daily", read_rule},   {"keep_weekly", read_rule},
		{"keep_monthly", read_rule},
	};
	json_t *prune = json_object();
	int err = put(to, item->key, prune);

	if (!err)
		err = config_read_keys(r, item, item->key, keys,
				       ARRAY_SIZE(keys), prune);
	/* nothing would stay */
	if (!err && !json_object_size(prune))
		err = refuse(r, item,
			     "'prune' keeps nothing (as { keep_daily: 7 })");
	return err;
}

/* ---- refresh ----------------------------------------------------------------- */

static bool has_text(const json_t *list, const char *text)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
	{
		if (!strcmp(json_string_value(one), text))
			return true;
	}
	return false;
}

static int read_refresh(struct reader *r, const struct yaml_item *item,
			void *to)
{
	json_t *names = json_array();
	int err = put(to, item->key, names);

	if (!err && item->kind != YAML_LIST)
		err = refuse(r, item, "'refresh' is %s (a list of instances)",
			     yaml_kind_name(item->kind));
	for (size_t i = 0; !err && i < item->nr; i++) {
		const struct yaml_item *one = &item->items[i];
		const char *problem = one->kind != YAML_TEXT ? "is no text"
				      : strlen(one->text) > DATASET_NAME_MAX
					      ? "is too long"
				      : has_text(names, one->text)
					      ? "stands there twice"
					      : dataset_name_problem(one->text);

		if (problem)
			err = refuse(r, one, "the instance's name '%s' %s",
				     one->kind == YAML_TEXT ? one->text : "",
				     problem);
		else
			json_array_append_new(names, json_string(one->text));
	}
	return err;
}

/* ---- datasets ---------------------------------------------------------------- */

/* A pattern can be pruned, and nothing else. */
static int check_dataset(struct reader *r, const struct yaml_item *item,
			 const json_t *dataset)
{
	bool pattern = strpbrk(item->key, "*?[") != NULL;
	const char *problem = pattern ? NULL
			      : strlen(item->key) > DATASET_NAME_MAX
				      ? "is too long"
				      : dataset_name_problem(item->key);

	if (problem)
		return refuse(r, item, "the dataset's name '%s' %s", item->key,
			      problem);
	if (pattern && (json_object_get(dataset, "import") ||
			json_array_size(json_object_get(dataset, "refresh"))))
		return refuse(r, item,
			      "'%s' is a pattern, which takes only 'prune'",
			      item->key);
	if (!json_object_get(dataset, "import") &&
	    !json_object_get(dataset, "prune") &&
	    !json_array_size(json_object_get(dataset, "refresh")))
		return refuse(r, item,
			      "nothing is to be done with '%s' (import, prune, "
			      "refresh)",
			      item->key);
	return 0;
}

/* As text where they are not there yet: "/d//x/" is "/d/x". */
static bool is_same_dir(const char *a, const char *b)
{
	struct stat sa, sb;

	if (!stat(a, &sa) && !stat(b, &sb))
		return sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
	for (;;) {
		size_t len;

		a += strspn(a, "/");
		b += strspn(b, "/");
		len = strcspn(a, "/");
		if (len != strcspn(b, "/") || memcmp(a, b, len) != 0)
			return false;
		if (!len)
			return true;
		a += len;
		b += len;
	}
}

/* Each has a latest.sql.zst. */
static int check_publish(struct reader *r, const struct yaml_item *item,
			 const json_t *datasets, const json_t *dataset)
{
	const char *dir = json_string_value(
		json_object_get(json_object_get(dataset, "import"), "publish"));
	const json_t *other;
	size_t i;

	json_array_foreach(datasets, i, other)
	{
		const char *used = json_string_value(json_object_get(
			json_object_get(other, "import"), "publish"));

		if (other != dataset && dir && used && is_same_dir(used, dir))
			return refuse(r, item,
				      "'%s' and '%s' both publish in '%s'",
				      json_string_value(
					      json_object_get(other, "name")),
				      item->key, dir);
	}
	return 0;
}

static int read_dataset(struct reader *r, const struct yaml_item *item,
			json_t *datasets)
{
	static const struct key keys[] = {
		{"import", read_import},
		{"prune", read_prune},
		{"refresh", read_refresh},
	};
	json_t *dataset =
		json_pack("{s:s, s:[]}", "name", item->key, "refresh");
	int err = dataset && !json_array_append_new(datasets, dataset)
			  ? 0
			  : -ENOMEM;

	if (!err)
		err = config_read_keys(r, item, item->key, keys,
				       ARRAY_SIZE(keys), dataset);
	if (!err)
		err = check_dataset(r, item, dataset);
	return err ? err : check_publish(r, item, datasets, dataset);
}

static int read_datasets(struct reader *r, const struct yaml_item *item,
			 void *to)
{
	json_t *datasets = json_array();
	int err = put(to, item->key, datasets);

	if (!err && item->kind != YAML_MAP)
		err = refuse(r, item, "'datasets' is %s (a mapping)",
			     yaml_kind_name(item->kind));
	for (size_t i = 0; i < item->nr && !err; i++)
		err = read_dataset(r, &item->items[i], datasets);
	return err;
}

static int read_expired(struct reader *r, const struct yaml_item *item,
			void *to)
{
	bool value;

	if (item->kind != YAML_TEXT || yaml_bool(item, &value))
		return refuse(r, item, "'expired' is '%s' (true, false)",
			      item->kind == YAML_TEXT
				      ? item->text
				      : yaml_kind_name(item->kind));
	return put(to, item->key, json_boolean(value));
}

int config_read_nightly(struct reader *r, const struct yaml_item *item,
			void *to)
{
	static const struct key keys[] = {
		{"datasets", read_datasets},
		{"expired", read_expired},
	};

	(void)to;
	r->config->nightly = json_pack("{s:[], s:b}", "datasets", "expired", 0);
	if (!r->config->nightly)
		return -ENOMEM;
	return config_read_keys(r, item, item->key, keys, ARRAY_SIZE(keys),
				r->config->nightly);
}
