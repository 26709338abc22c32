/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_dataset.c - create, list, rm and mv */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/ctl_internal.h"

/* -- create --------------------------------------------------------------- */

int ctl_cmd_create(struct ctl_call *call)
{
	static const char *const keys[] = {"recordsize", "compression", "quota",
					   "readonly"};
	const char *name = ctl_arg_string(call, "name");
	uint64_t start = ctl_now_ns();
	struct ctl_context *ctx = call->ctx;
	struct dataset_properties p;
	const json_t *value;
	uint32_t id;
	int rc;

	if (ctl_check_new_name(call, name, false))
		return -1;
	dataset_properties_default(&p);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		value = json_object_get(call->args, keys[i]);
		if (value && ctl_property_set(call, &p, keys[i], value))
			return -1;
	}
	rc = dataset_create(ctx->pool, name, &p, &id);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot create dataset '%s'",
				      name);
	if (ctx->hooks && ctx->hooks->created)
		ctx->hooks->created(ctx->hook_arg, name);
	ctl_put(call, "name", json_string(name));
	ctl_put(call, "id", json_integer(id));
	ctl_put(call, "path", ctl_json_path(ctx, name));
	ctl_put(call, "duration_ms", ctl_json_ms_since(start));
	return 0;
}

/* -- list ----------------------------------------------------------------- */

json_t *ctl_json_ratio(const struct dataset_info *info)
{
	if (info->referenced == 0)
		return json_real(1.0);
	return json_real((double)info->logical / (double)info->referenced);
}

static void item_put_sizes(json_t *item, const struct dataset_info *info)
{
	const struct dataset_properties *p = &info->properties;

	json_object_set_new(item, "referenced", ctl_json_u64(info->referenced));
	json_object_set_new(item, "logical", ctl_json_u64(info->logical));
	json_object_set_new(item, "charged", ctl_json_u64(info->charged));
	json_object_set_new(item, "ratio", ctl_json_ratio(info));
	json_object_set_new(item, "nr_inodes", ctl_json_u64(info->nr_inodes));
	json_object_set_new(item, "nr_snapshots",
			    json_integer(info->nr_snapshots));
	json_object_set_new(item, "recordsize", json_integer(p->recordsize));
	json_object_set_new(item, "compression",
			    ctl_json_compression(p->compression));
	json_object_set_new(item, "quota", ctl_json_u64(p->quota));
	json_object_set_new(item, "readonly", json_boolean(p->readonly));
}

static json_t *item_json(const struct ctl_context *ctx, struct dataset *ds)
{
	uint32_t nr_open, nr_write;
	struct dataset_info info;
	const char *at;
	json_t *item;

	dataset_info(ds, &info);
	dataset_open_files(ds, &nr_open, &nr_write);
	at = strchr(info.name, '@');
	item = json_pack(
		"{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "name", info.name,
		"type", info.snapshot ? "snapshot" : "dataset", "id",
		(json_int_t)info.id, "dataset",
		at ? json_stringn(info.name, (size_t)(at - info.name))
		   : json_null(),
		"origin",
		*info.origin_name ? json_string(info.origin_name) : json_null(),
		"created", ctl_json_time(&info.created), "created_txg",
		ctl_json_u64(info.created_txg), "generation",
		ctl_json_u64(info.generation));
	item_put_sizes(item, &info);
	json_object_set_new(item, "automatic", json_boolean(info.automatic));
	json_object_set_new(item, "open_files", json_integer(nr_open));
	json_object_set_new(item, "open_files_write", json_integer(nr_write));
	json_object_set_new(item, "path", ctl_json_path(ctx, info.name));
	return item;
}

static int list_types(struct ctl_call *call, const char *pattern,
		      unsigned *want)
{
	const json_t *types = json_object_get(call->args, "types");
	const char *type;
	json_t *v;
	size_t i;

	*want = 0;
	json_array_foreach(types, i, v)
	{
		type = json_string_value(v);
		if (strcmp(type, "dataset") == 0)
			*want |= CTL_WANT_DATASETS;
		else if (strcmp(type, "snapshot") == 0)
			*want |= CTL_WANT_SNAPSHOTS;
		else
			return ctl_fail(call, CTL_USAGE,
					"type '%s' is neither 'dataset' nor "
					"'snapshot'",
					type);
	}
	if (!*want)
		*want = pattern && strchr(pattern, '@') ? CTL_WANT_SNAPSHOTS
							: CTL_WANT_DATASETS;
	return 0;
}

int ctl_cmd_list(struct ctl_call *call)
{
	const char *pattern = ctl_arg_string(call, "pattern");
	struct ctl_set set = {0};
	json_t *items, *item;
	uint64_t unique;
	unsigned want;
	int rc;

	if (list_types(call, pattern, &want))
		return -1;
	rc = ctl_match(call, pattern, want, &set);
	items = json_array();
	for (size_t i = 0; i < set.nr && rc == 0; i++) {
		item = item_json(call->ctx, set.ds[i]);
		if (ctl_arg_bool(call, "unique")) {
			rc = dataset_unique(&set.ds[i], 1, &unique);
			if (rc && rc != -ESTALE)
				rc = ctl_fail_errno(
					call, rc,
					"cannot count the unique bytes of '%s'",
					json_string_value(
						json_object_get(item, "name")));
			else
				json_object_set_new(
					item, "unique",
					ctl_json_u64(rc ? 0 : unique));
			if (rc == -ESTALE)
				rc = 0;
		}
		json_array_append_new(items, item);
	}
	ctl_put(call, "items", items);
	ctl_set_release(&set);
	return rc;
}

/* -- rm ------------------------------------------------------------------- */

static bool set_has(const struct ctl_set *set, uint32_t id)
{
	for (size_t i = 0; i < set->nr; i++)
		if (dataset_id(set->ds[i]) == id)
			return true;
	return false;
}

/* Put what one name or pattern means into @set. */
static int rm_resolve(struct ctl_call *call, const char *name,
		      struct ctl_set *set)
{
	struct ctl_set found = {0};
	struct dataset *ds;
	int rc = 0;

	if (!ctl_is_pattern(name)) {
		if (ctl_open(call, name, &ds))
			return -1;
		if (ctl_set_add(set, ds))
			return ctl_fail_errno(call, -ENOMEM,
					      "cannot remove '%s'", name);
		return 0;
	}
	if (ctl_match(call, name,
		      strchr(name, '@') ? CTL_WANT_SNAPSHOTS
					: CTL_WANT_DATASETS,
		      &found))
		rc = -1;
	else if (found.nr == 0)
		rc = ctl_fail(call, CTL_NOT_FOUND, "nothing matches '%s'",
			      name);
	for (size_t i = 0; i < found.nr && rc == 0; i++) {
		dataset_get(found.ds[i]);
		if (ctl_set_add(set, found.ds[i]))
			rc = ctl_fail_errno(call, -ENOMEM, "cannot remove '%s'",
					    name);
	}
	ctl_set_release(&found);
	return rc;
}

/* The snapshots of @ds: added when @recursive, else they must be in @set. */
static int rm_check_snapshots(struct ctl_call *call, struct dataset *ds,
			      const struct dataset_info *info, bool recursive,
			      struct ctl_set *set)
{
	struct dataset *snap;
	uint32_t *ids;
	size_t nr;
	int rc;

	if (info->snapshot || info->nr_snapshots == 0)
		return 0;
	rc = dataset_list(call->ctx->pool, dataset_id(ds), &ids, &nr);
	if (rc)
		return ctl_fail_errno(call, rc,
				      "cannot list the snapshots of '%s'",
				      info->name);
	for (size_t i = 0; i < nr && rc == 0; i++) {
		if (!recursive && !set_has(set, ids[i]))
			rc = ctl_fail(call, CTL_CONFLICT,
				      "dataset '%s' has %u snapshot%s; remove "
				      "them first, or all with --recursive",
				      info->name, info->nr_snapshots,
				      info->nr_snapshots == 1 ? "" : "s");
		else if (recursive &&
			 dataset_open_id(call->ctx->pool, ids[i], &snap) == 0 &&
			 ctl_set_add(set, snap))
			rc = ctl_fail_errno(call, -ENOMEM, "cannot remove '%s'",
					    info->name);
	}
	free(ids);
	return rc;
}

/* Closed files are released a moment later: give them that moment. */
static bool files_stay_open(struct dataset *ds, uint32_t *nr)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	uint32_t nr_write;

	for (int i = 0; i < 40; i++) {
		dataset_open_files(ds, nr, &nr_write);
		if (*nr == 0)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static int rm_check(struct ctl_call *call, struct ctl_set *set)
{
	bool recursive = ctl_arg_bool(call, "recursive");
	bool force = ctl_arg_bool(call, "force");
	size_t nr_named = set->nr;
	struct dataset_info info;
	uint32_t nr_open;

	for (size_t i = 0; i < nr_named; i++) {
		dataset_info(set->ds[i], &info);
		if (rm_check_snapshots(call, set->ds[i], &info, recursive, set))
			return -1;
	}
	if (force || ctl_arg_bool(call, "dry_run"))
		return 0;
	for (size_t i = 0; i < set->nr; i++) {
		if (!files_stay_open(set->ds[i], &nr_open))
			continue;
		dataset_info(set->ds[i], &info);
		return ctl_fail(call, CTL_CONFLICT,
				"cannot remove '%s': %u file%s open in it; "
				"stop what uses it, or use --force",
				info.name, nr_open,
				nr_open == 1 ? " is" : "s are");
	}
	return 0;
}

static int rm_report(struct ctl_call *call, struct ctl_set *set, bool unique)
{
	json_t *items = json_array(), *item;
	struct dataset_info info;
	uint64_t bytes;
	int rc = 0;

	for (size_t i = 0; i < set->nr && rc == 0; i++) {
		dataset_info(set->ds[i], &info);
		item = json_pack("{s:s, s:s}", "name", info.name, "type",
				 info.snapshot ? "snapshot" : "dataset");
		if (unique)
			rc = dataset_unique(&set->ds[i], 1, &bytes);
		if (unique && rc == 0)
			json_object_set_new(item, "unique",
					    ctl_json_u64(bytes));
		json_array_append_new(items, item);
	}
	ctl_put(call, "items", items);
	if (unique && rc == 0) {
		rc = dataset_unique(set->ds, set->nr, &bytes);
		if (rc == 0)
			ctl_put(call, "total_unique", ctl_json_u64(bytes));
	}
	if (rc)
		return ctl_fail_errno(call, rc,
				      "cannot count the unique bytes");
	return 0;
}

/*
 * A dataset that had no snapshots when it was checked goes without any: one
 * that was made since is somebody's, and stops it.
 */
static unsigned rm_flags(struct ctl_call *call, const struct ctl_set *set,
			 const struct dataset_info *info)
{
	unsigned flags = ctl_arg_bool(call, "force") ? DESTROY_FORCE : 0;
	struct dataset_info other;

	for (size_t i = 0; !info->snapshot && i < set->nr; i++) {
		dataset_info(set->ds[i], &other);
		if (other.snapshot && other.parent == info->id)
			return flags | DESTROY_SNAPSHOTS;
	}
	return flags;
}

static int rm_destroy(struct ctl_call *call, struct ctl_set *set)
{
	struct ctl_context *ctx = call->ctx;
	struct dataset_info info;
	size_t nr_done = 0;
	int rc;

	/* all of them: a dataset takes its snapshots' names along */
	for (size_t i = 0; i < set->nr; i++)
		if (ctx->hooks && ctx->hooks->destroying)
			ctx->hooks->destroying(ctx->hook_arg,
					       dataset_id(set->ds[i]));
	for (size_t i = 0; i < set->nr; i++) {
		dataset_info(set->ds[i], &info);
		/* goes with its dataset, in one step */
		if (info.snapshot && set_has(set, info.parent))
			continue;
		if (ctx->hooks && ctx->hooks->destroy_begin)
			ctx->hooks->destroy_begin(ctx->hook_arg, info.name);
		rc = dataset_destroy(set->ds[i], rm_flags(call, set, &info));
		if (rc == -ESTALE)
			rc = 0; /* somebody else did */
		if (ctx->hooks && ctx->hooks->destroy_end)
			ctx->hooks->destroy_end(ctx->hook_arg, info.id,
						info.name, rc);
		if (rc && nr_done)
			return ctl_fail_errno(
				call, rc, "removed %zu, but cannot remove '%s'",
				nr_done, info.name);
		if (rc)
			return ctl_fail_errno(call, rc, "cannot remove '%s'",
					      info.name);
		nr_done++;
	}
	return 0;
}

int ctl_cmd_rm(struct ctl_call *call)
{
	const json_t *names = json_object_get(call->args, "names");
	bool dry_run = ctl_arg_bool(call, "dry_run");
	bool unique = dry_run || ctl_arg_bool(call, "unique");
	uint64_t start = ctl_now_ns();
	struct ctl_set set = {0};
	json_t *name;
	int rc = 0;
	size_t i;

	json_array_foreach(names, i, name) if (rc == 0) rc =
		rm_resolve(call, json_string_value(name), &set);
	if (rc == 0)
		rc = ctl_check_ids(call, &set, "remove");
	if (rc == 0)
		rc = rm_check(call, &set);
	if (rc == 0)
		rc = rm_report(call, &set, unique);
	if (rc == 0 && !dry_run)
		rc = rm_destroy(call, &set);
	ctl_set_release(&set);
	ctl_put(call, "dry_run", json_boolean(dry_run));
	ctl_put(call, "duration_ms", ctl_json_ms_since(start));
	return rc;
}

/* -- mv ------------------------------------------------------------------- */

/* The full new name of what is called @from now. */
static int mv_target(struct ctl_call *call, const struct dataset_info *info,
		     const char *to, char full[DATASET_FULL_NAME_MAX])
{
	char from_ds[DATASET_NAME_MAX + 1], from_snap[DATASET_NAME_MAX + 1];
	char ds[DATASET_NAME_MAX + 1], snap[DATASET_NAME_MAX + 1];

	if (!info->snapshot) {
		if (ctl_check_new_name(call, to, false))
			return -1;
		snprintf(full, DATASET_FULL_NAME_MAX, "%s", to);
		return 0;
	}
	if (ctl_split_name(call, info->name, from_ds, from_snap))
		return -1;
	if (*to == '@') {
		if (strlen(to) > DATASET_NAME_MAX + 1)
			return ctl_fail(call, CTL_USAGE,
					"the name '%.40s...' is too long", to);
		snprintf(full, DATASET_FULL_NAME_MAX, "%s%s", from_ds, to);
		return ctl_check_new_name(call, full, true);
	}
	if (ctl_check_new_name(call, to, true) ||
	    ctl_split_name(call, to, ds, snap))
		return -1;
	if (strcmp(ds, from_ds))
		return ctl_fail(call, CTL_USAGE,
				"snapshot '%s' cannot move to dataset '%s'; "
				"clone it instead",
				info->name, ds);
	snprintf(full, DATASET_FULL_NAME_MAX, "%s", to);
	return 0;
}

static int mv_run(struct ctl_call *call, struct dataset *ds)
{
	struct ctl_context *ctx = call->ctx;
	char full[DATASET_FULL_NAME_MAX];
	struct dataset_info info;
	const char *own;
	int rc;

	dataset_info(ds, &info);
	if (mv_target(call, &info, ctl_arg_string(call, "to"), full))
		return -1;
	own = info.snapshot ? strchr(full, '@') + 1 : full;
	rc = dataset_rename(ds, own);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot rename '%s' to '%s'",
				      info.name, full);
	if (ctx->hooks && ctx->hooks->renamed)
		ctx->hooks->renamed(ctx->hook_arg, info.id, info.name, full);
	ctl_put(call, "from", json_string(info.name));
	ctl_put(call, "to", json_string(full));
	ctl_put(call, "path", ctl_json_path(ctx, full));
	return 0;
}

int ctl_cmd_mv(struct ctl_call *call)
{
	struct dataset *ds;
	int rc;

	if (ctl_open(call, ctl_arg_string(call, "from"), &ds))
		return -1;
	rc = ctl_check_id(call, ds, "rename");
	if (rc == 0)
		rc = mv_run(call, ds);
	dataset_put(ds);
	return rc;
}
