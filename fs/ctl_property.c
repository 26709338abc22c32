/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_property.c - set and get */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/ctl_internal.h"

#define USER_PREFIX    "user:"
#define USER_KEY_MAX   200
#define USER_VALUE_MAX 1000

/* -- values --------------------------------------------------------------- */

json_t *ctl_json_compression(int level)
{
	if (level == COMPRESS_LEVEL_OFF)
		return json_string("off");
	return json_sprintf("zstd:%d", level);
}

static int compression_bad(struct ctl_call *call)
{
	return ctl_fail(call, CTL_USAGE,
			"compression must be 'off', 'on' or 'zstd:LEVEL' with "
			"a level from %d to %d",
			COMPRESS_LEVEL_MIN, COMPRESS_LEVEL_MAX);
}

static int compression_parse(struct ctl_call *call, const json_t *value,
			     int *level)
{
	const char *text = json_string_value(value);
	json_int_t n;
	char *end;

	if (json_is_integer(value)) {
		n = json_integer_value(value);
	} else if (!text) {
		return compression_bad(call);
	} else if (strcmp(text, "off") == 0) {
		n = COMPRESS_LEVEL_OFF;
	} else if (strcmp(text, "on") == 0 || strcmp(text, "zstd") == 0) {
		n = COMPRESS_LEVEL_DEFAULT;
	} else {
		if (strncmp(text, "zstd:", 5) == 0)
			text += 5;
		errno = 0;
		n = strtoll(text, &end, 10);
		if (errno || end == text || *end)
			return compression_bad(call);
	}
	if (n < COMPRESS_LEVEL_MIN || n > COMPRESS_LEVEL_MAX)
		return compression_bad(call);
	*level = (int)n;
	return 0;
}

static int boolean_parse(struct ctl_call *call, const char *key,
			 const json_t *value, bool *out)
{
	static const char *const yes[] = {"on", "yes", "true", "1"};
	static const char *const no[] = {"off", "no", "false", "0"};
	const char *text = json_string_value(value);

	if (json_is_boolean(value)) {
		*out = json_is_true(value);
		return 0;
	}
	for (size_t i = 0; text && i < ARRAY_SIZE(yes); i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*out = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return ctl_fail(call, CTL_USAGE, "'%s' must be 'on' or 'off'", key);
}

static int recordsize_parse(struct ctl_call *call, const json_t *value,
			    uint32_t *out)
{
	uint64_t bytes;

	if (ctl_value_size(call, "recordsize", value, &bytes))
		return -1;
	if (bytes < 1u << DATASET_RECORD_SHIFT_MIN ||
	    bytes > 1u << DATASET_RECORD_SHIFT_MAX || (bytes & (bytes - 1)))
		return ctl_fail(call, CTL_USAGE,
				"recordsize must be a power of two from 4K to "
				"128K");
	*out = (uint32_t)bytes;
	return 0;
}

int ctl_property_set(struct ctl_call *call, struct dataset_properties *p,
		     const char *key, const json_t *value)
{
	static const char *const fixed[] = {
		"type",	    "origin",  "created",   "referenced",
		"logical",  "charged", "unique",    "ratio",
		"name",	    "id",      "nr_inodes", "nr_snapshots",
		"automatic"};

	if (strcmp(key, "recordsize") == 0)
		return recordsize_parse(call, value, &p->recordsize);
	if (strcmp(key, "compression") == 0)
		return compression_parse(call, value, &p->compression);
	if (strcmp(key, "quota") == 0)
		return ctl_value_size(call, key, value, &p->quota);
	if (strcmp(key, "readonly") == 0)
		return boolean_parse(call, key, value, &p->readonly);
	for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
		if (strcmp(key, fixed[i]) == 0)
			return ctl_fail(call, CTL_USAGE,
					"property '%s' cannot be set", key);
	return ctl_fail(call, CTL_USAGE,
			"there is no property '%s'; those of your own are "
			"called 'user:NAME'",
			key);
}

/* -- user properties ------------------------------------------------------ */

static int user_check(struct ctl_call *call, const char *key,
		      const json_t *value)
{
	size_t len = strlen(key + strlen(USER_PREFIX));

	if (len == 0 || len > USER_KEY_MAX)
		return ctl_fail(call, CTL_USAGE,
				"the name after 'user:' must have 1 to %d "
				"bytes",
				USER_KEY_MAX);
	if (json_is_null(value))
		return 0;
	if (!json_is_string(value))
		return ctl_fail(call, CTL_USAGE,
				"the value of '%s' must be a string, or null "
				"to unset it",
				key);
	if (json_string_length(value) > USER_VALUE_MAX)
		return ctl_fail(call, CTL_USAGE,
				"the value of '%s' is over %d bytes", key,
				USER_VALUE_MAX);
	return 0;
}

static int user_set(struct ctl_call *call, struct dataset *ds, const char *name,
		    const char *key, const json_t *value)
{
	const char *bare = key + strlen(USER_PREFIX);
	int rc;

	if (user_check(call, key, value))
		return -1;
	if (json_is_null(value))
		rc = dataset_unset_user(ds, bare);
	else
		rc = dataset_set_user(ds, bare, json_string_value(value));
	if (rc)
		return ctl_fail_errno(call, rc, "cannot set '%s' of '%s'", key,
				      name);
	ctl_put(call, "value", json_incref((json_t *)value));
	return 0;
}

static void user_collect(void *arg, const char *key, const char *value)
{
	char full[sizeof(USER_PREFIX) + USER_KEY_MAX + 1];

	snprintf(full, sizeof(full), "%s%s", USER_PREFIX, key);
	json_object_set_new(arg, full, ctl_json_bytes(value));
}

/* -- set ------------------------------------------------------------------ */

static json_t *properties_json(const struct dataset_properties *p)
{
	return json_pack("{s:i, s:o, s:o, s:b}", "recordsize",
			 (int)p->recordsize, "compression",
			 ctl_json_compression(p->compression), "quota",
			 ctl_json_u64(p->quota), "readonly", (int)p->readonly);
}

/* What ctl_property_set() changes for @key, which is one. */
static unsigned native_bit(const char *key)
{
	if (strcmp(key, "recordsize") == 0)
		return DATASET_SET_RECORDSIZE;
	if (strcmp(key, "compression") == 0)
		return DATASET_SET_COMPRESSION;
	return strcmp(key, "quota") == 0 ? DATASET_SET_QUOTA
					 : DATASET_SET_READONLY;
}

static int native_set(struct ctl_call *call, struct dataset *ds,
		      const char *name, const char *key, const json_t *value)
{
	struct dataset_info info;
	json_t *now;
	int rc;

	dataset_info(ds, &info);
	if (ctl_property_set(call, &info.properties, key, value))
		return -1;
	rc = dataset_change_properties(ds, native_bit(key), &info.properties);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot set '%s' of '%s'", key,
				      name);
	now = properties_json(&info.properties);
	ctl_put(call, "value", json_incref(json_object_get(now, key)));
	json_decref(now);
	return 0;
}

int ctl_cmd_set(struct ctl_call *call)
{
	const char *name = ctl_arg_string(call, "name");
	const char *key = ctl_arg_string(call, "key");
	const json_t *value = json_object_get(call->args, "value");
	struct dataset *ds;
	int rc;

	if (ctl_open(call, name, &ds))
		return -1;
	/* what is written about a snapshot is no part of it */
	if (ctl_check_id(call, ds, "change"))
		rc = -1;
	else if (strncmp(key, USER_PREFIX, strlen(USER_PREFIX)) == 0)
		rc = user_set(call, ds, name, key, value);
	else if (dataset_is_snapshot(ds))
		rc = ctl_fail(call, CTL_CONFLICT,
			      "'%s' is a snapshot; only its properties "
			      "'user:NAME' can be set",
			      name);
	else
		rc = native_set(call, ds, name, key, value);
	dataset_put(ds);
	ctl_put(call, "name", json_string(name));
	ctl_put(call, "key", json_string(key));
	return rc;
}

/* -- get ------------------------------------------------------------------ */

/* Everything but `unique`, which costs reading. */
static json_t *get_all(struct dataset *ds)
{
	struct dataset_info info;
	json_t *all;

	dataset_info(ds, &info);
	all = properties_json(&info.properties);
	json_object_set_new(
		all, "type",
		json_string(info.snapshot ? "snapshot" : "dataset"));
	json_object_set_new(all, "origin",
			    *info.origin_name ? json_string(info.origin_name)
					      : json_null());
	json_object_set_new(all, "created", ctl_json_time(&info.created));
	json_object_set_new(all, "referenced", ctl_json_u64(info.referenced));
	json_object_set_new(all, "logical", ctl_json_u64(info.logical));
	json_object_set_new(all, "charged", ctl_json_u64(info.charged));
	json_object_set_new(all, "ratio", ctl_json_ratio(&info));
	json_object_set_new(all, "nr_inodes", ctl_json_u64(info.nr_inodes));
	json_object_set_new(all, "nr_snapshots",
			    json_integer(info.nr_snapshots));
	json_object_set_new(all, "automatic", json_boolean(info.automatic));
	dataset_each_user(ds, user_collect, all);
	return all;
}

static int get_fill(struct ctl_call *call, struct dataset *ds, const char *name,
		    const char *key)
{
	json_t *all = get_all(ds), *value;
	uint64_t unique;
	int rc = 0;

	if (!key || strcmp(key, "unique") == 0) {
		rc = dataset_unique(&ds, 1, &unique);
		if (rc) {
			json_decref(all);
			return ctl_fail_errno(call, rc,
					      "cannot count the unique bytes "
					      "of '%s'",
					      name);
		}
		json_object_set_new(all, "unique", ctl_json_u64(unique));
	}
	if (!key) {
		ctl_put(call, "properties", all);
		return 0;
	}
	value = json_object_get(all, key);
	if (value)
		ctl_put(call, "properties", json_pack("{s:O}", key, value));
	else if (strncmp(key, USER_PREFIX, strlen(USER_PREFIX)) == 0)
		rc = ctl_fail(call, CTL_NOT_FOUND, "'%s' has no property '%s'",
			      name, key);
	else
		rc = ctl_fail(call, CTL_USAGE, "there is no property '%s'",
			      key);
	json_decref(all);
	return rc;
}

int ctl_cmd_get(struct ctl_call *call)
{
	const char *name = ctl_arg_string(call, "name");
	struct dataset_info info;
	struct dataset *ds;
	int rc;

	if (ctl_open(call, name, &ds))
		return -1;
	dataset_info(ds, &info);
	ctl_put(call, "name", json_string(info.name));
	rc = get_fill(call, ds, name, ctl_arg_string(call, "key"));
	dataset_put(ds);
	return rc;
}
