/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_snapshot.c - snapshot, clone and restore */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/ctl_internal.h"

/* -- snapshot ------------------------------------------------------------- */

static int snapshot_put(struct ctl_call *call, json_t *items, const char *name)
{
	struct dataset_info info;
	struct dataset *ds;

	if (ctl_open(call, name, &ds))
		return -1;
	dataset_info(ds, &info);
	dataset_put(ds);
	json_array_append_new(items,
			      json_pack("{s:s, s:I, s:o, s:o}", "name", name,
					"id", (json_int_t)info.id, "created",
					ctl_json_time(&info.created), "path",
					ctl_json_path(call->ctx, name)));
	return 0;
}

/* All datasets of @names into @set; they must agree on @snap. */
static int snapshot_resolve(struct ctl_call *call, const json_t *names,
			    struct ctl_set *set,
			    char snap[DATASET_NAME_MAX + 1])
{
	char ds_name[DATASET_NAME_MAX + 1], this[DATASET_NAME_MAX + 1];
	struct dataset *ds;
	const char *name;
	size_t nr, i;
	json_t *v;

	*snap = '\0';
	json_array_foreach(names, i, v)
	{
		name = json_string_value(v);
		if (ctl_check_new_name(call, name, true) ||
		    ctl_split_name(call, name, ds_name, this))
			return -1;
		if (*snap && strcmp(snap, this))
			return ctl_fail(call, CTL_USAGE,
					"snapshots of one moment have one "
					"name, not '%s' and '%s'",
					snap, this);
		strcpy(snap, this);
		if (ctl_open(call, ds_name, &ds))
			return -1;
		nr = set->nr;
		if (ctl_set_add(set, ds))
			return ctl_fail_errno(call, -ENOMEM, "cannot make '%s'",
					      name);
		if (set->nr == nr)
			return ctl_fail(call, CTL_USAGE, "'%s' is named twice",
					name);
	}
	return 0;
}

static int snapshot_run(struct ctl_call *call, const json_t *names,
			struct ctl_set *set)
{
	char snap[DATASET_NAME_MAX + 1];
	json_t *items, *v;
	uint32_t id;
	size_t i;
	int rc;

	if (snapshot_resolve(call, names, set, snap) ||
	    ctl_check_ids(call, set, "freeze"))
		return -1;
	if (set->nr == 1)
		rc = dataset_snapshot(set->ds[0], snap,
				      ctl_arg_bool(call, "automatic"), &id);
	else
		rc = dataset_snapshot_many(set->ds, set->nr, snap);
	if (rc)
		return ctl_fail_errno(
			call, rc, "cannot make snapshot '%s'%s",
			json_string_value(json_array_get(names, 0)),
			set->nr > 1 ? " and those beside it" : "");
	items = json_array();
	ctl_put(call, "items", items);
	json_array_foreach(names, i,
			   v) if (snapshot_put(call, items,
					       json_string_value(v))) return -1;
	return 0;
}

int ctl_cmd_snapshot(struct ctl_call *call)
{
	json_t *name = json_object_get(call->args, "name");
	json_t *names = json_object_get(call->args, "names");
	uint64_t start = ctl_now_ns();
	struct ctl_set set = {0};
	int rc;

	if (!name == !names)
		return ctl_fail(call, CTL_USAGE,
				"'snapshot' needs either 'name' or 'names'");
	if (names && json_array_size(names) > 1 &&
	    ctl_arg_bool(call, "automatic"))
		return ctl_fail(call, CTL_USAGE,
				"'automatic' is for one snapshot only");
	if (names)
		json_incref(names);
	else
		names = json_pack("[O]", name);
	rc = snapshot_run(call, names, &set);
	ctl_set_release(&set);
	json_decref(names);
	ctl_put(call, "duration_ms", ctl_json_ms_since(start));
	return rc;
}

/* -- clone ---------------------------------------------------------------- */

int ctl_cmd_clone(struct ctl_call *call)
{
	const char *source = ctl_arg_string(call, "source");
	const char *name = ctl_arg_string(call, "name");
	struct ctl_context *ctx = call->ctx;
	uint64_t start = ctl_now_ns();
	struct dataset_info info;
	struct dataset *ds;
	uint32_t id;
	int rc;

	if (ctl_check_new_name(call, name, false) ||
	    ctl_open(call, source, &ds))
		return -1;
	rc = dataset_clone(ds, name, &id);
	dataset_info(ds, &info);
	dataset_put(ds);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot clone '%s' to '%s'",
				      source, name);
	if (ctx->hooks && ctx->hooks->created)
		ctx->hooks->created(ctx->hook_arg, name);
	ctl_put(call, "name", json_string(name));
	ctl_put(call, "id", json_integer(id));
	ctl_put(call, "origin",
		info.snapshot ? json_string(info.name) : json_null());
	ctl_put(call, "path", ctl_json_path(ctx, name));
	ctl_put(call, "duration_ms", ctl_json_ms_since(start));
	return 0;
}

/* -- restore -------------------------------------------------------------- */

#define KEEP_TRIES 100

static int restore_hooked(struct ctl_context *ctx, struct dataset *ds,
			  struct dataset *source, const char *keep,
			  unsigned flags)
{
	struct dataset_info info;
	int rc;

	if (ctx->hooks && ctx->hooks->restore_begin)
		ctx->hooks->restore_begin(ctx->hook_arg, dataset_id(ds));
	rc = dataset_restore(ds, source, keep, flags);
	dataset_info(ds, &info);
	if (ctx->hooks && ctx->hooks->restore_end)
		ctx->hooks->restore_end(ctx->hook_arg, info.id, info.name, rc);
	return rc;
}

/* Restore, under the first free name for what it replaces. */
static int restore_keep(struct ctl_context *ctx, struct dataset *ds,
			struct dataset *source, unsigned flags,
			char keep[DATASET_NAME_MAX + 1])
{
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	char base[64], suffix[16] = "";
	time_t now = time(NULL);
	int nr_same = 0, nr_busy = 0, rc;
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(base, sizeof(base), "before-restore-%Y%m%dT%H%M%SZ", &tm);
	for (;;) {
		snprintf(keep, DATASET_NAME_MAX + 1, "%s%s", base, suffix);
		rc = restore_hooked(ctx, ds, source, keep, flags);
		/* closed files are released a moment later */
		if (rc == -EBUSY && ctx->mountpoint && nr_busy++ < 40) {
			nanosleep(&pause, NULL);
			continue;
		}
		if (rc != -EEXIST || ++nr_same == KEEP_TRIES)
			return rc;
		snprintf(suffix, sizeof(suffix), ".%d", nr_same);
	}
}

static int restore_discard(struct ctl_context *ctx, struct dataset *ds,
			   struct dataset *source, unsigned flags)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	int rc;

	for (int nr_busy = 0;; nr_busy++) {
		rc = restore_hooked(ctx, ds, source, NULL, flags);
		if (rc != -EBUSY || !ctx->mountpoint || nr_busy == 40)
			return rc;
		nanosleep(&pause, NULL);
	}
}

static int restore_fail(struct ctl_call *call, int err, struct dataset *ds,
			const char *source)
{
	uint32_t nr_open, nr_write;
	struct dataset_info info;

	dataset_info(ds, &info);
	dataset_open_files(ds, &nr_open, &nr_write);
	if (err == -EBUSY && nr_write)
		return ctl_fail(call, CTL_CONFLICT,
				"cannot restore '%s': %u file%s open for "
				"writing; stop what writes, or use --force",
				info.name, nr_write,
				nr_write == 1 ? " is" : "s are");
	if (err == -EROFS && info.properties.readonly)
		return ctl_fail(call, CTL_CONFLICT,
				"cannot restore '%s': it is readonly; set "
				"readonly=off first",
				info.name);
	return ctl_fail_errno(call, err, "cannot restore '%s' to '%s'",
			      info.name, source);
}

static int restore_run(struct ctl_call *call, struct dataset *ds,
		       struct dataset *source)
{
	unsigned flags = ctl_arg_bool(call, "force") ? RESTORE_FORCE : 0;
	bool discard = ctl_arg_bool(call, "discard");
	char keep[DATASET_NAME_MAX + 1];
	struct dataset_info info, from;
	int rc;

	dataset_info(source, &from);
	if (!from.snapshot)
		return ctl_fail(call, CTL_USAGE,
				"'%s' is not a snapshot: write 'DATASET@NAME' "
				"or '%s@latest'",
				from.name, from.name);
	if (discard)
		rc = restore_discard(call->ctx, ds, source, flags);
	else
		rc = restore_keep(call->ctx, ds, source, flags, keep);
	if (rc)
		return restore_fail(call, rc, ds, from.name);
	dataset_info(ds, &info);
	ctl_put(call, "dataset", json_string(info.name));
	ctl_put(call, "source", json_string(from.name));
	ctl_put(call, "kept",
		discard ? json_null() : json_sprintf("%s@%s", info.name, keep));
	ctl_put(call, "generation", ctl_json_u64(info.generation));
	return 0;
}

int ctl_cmd_restore(struct ctl_call *call)
{
	const char *source_name = ctl_arg_string(call, "source");
	const char *name = ctl_arg_string(call, "dataset");
	char head[DATASET_NAME_MAX + 1], snap[DATASET_NAME_MAX + 1];
	uint64_t start = ctl_now_ns();
	struct dataset *source, *ds;
	int rc;

	if (ctl_open(call, source_name, &source))
		return -1;
	rc = ctl_check_id(call, source, "go back to");
	if (rc == 0)
		rc = ctl_split_name(call, source_name, head, snap);
	if (rc == 0 && !name)
		name = head;
	if (rc == 0 && strchr(name, '@'))
		rc = ctl_fail(call, CTL_USAGE,
			      "'%s' names a snapshot; restore puts a dataset "
			      "back",
			      name);
	if (rc == 0)
		rc = ctl_open(call, name, &ds);
	if (rc == 0) {
		rc = restore_run(call, ds, source);
		dataset_put(ds);
	}
	dataset_put(source);
	ctl_put(call, "duration_ms", ctl_json_ms_since(start));
	return rc;
}
