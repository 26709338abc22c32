/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_pool.c - ping, pool.info, pool.grow, pool.wait, sync, df, shutdown */
#include <errno.h>
#include <unistd.h>

#include "fs/ctl_internal.h"

static json_t *mountpoint_json(const struct ctl_context *ctx)
{
	return ctx->mountpoint ? ctl_json_bytes(ctx->mountpoint) : json_null();
}

static void put_identity(struct ctl_call *call, const struct pool_stat *st)
{
	char uuid[40];

	ctl_uuid_format(st->uuid, uuid);
	ctl_put(call, "name", ctl_json_bytes(st->name));
	ctl_put(call, "uuid", json_string(uuid));
	ctl_put(call, "path", ctl_json_bytes(call->ctx->pool_path));
	ctl_put(call, "mountpoint", mountpoint_json(call->ctx));
}

int ctl_cmd_ping(struct ctl_call *call)
{
	struct pool_stat st;

	pool_stat(call->ctx->pool, &st);
	put_identity(call, &st);
	ctl_put(call, "version", json_string(DBS_VERSION));
	ctl_put(call, "pid", json_integer(getpid()));
	return 0;
}

static json_t *ns_to_ms(uint64_t ns)
{
	return json_real((double)(ns / 1000) / 1000.0);
}

int ctl_cmd_pool_info(struct ctl_call *call)
{
	struct timespec created = {0};
	struct pool_stat st;

	pool_stat(call->ctx->pool, &st);
	put_identity(call, &st);
	ctl_put(call, "size", ctl_json_u64(st.size));
	ctl_put(call, "free", ctl_json_u64(st.free));
	ctl_put(call, "allocated", ctl_json_u64(st.allocated));
	ctl_put(call, "reserved", ctl_json_u64(st.reserved));
	ctl_put(call, "deferred", ctl_json_u64(st.deferred));
	ctl_put(call, "dead", ctl_json_u64(st.dead));
	ctl_put(call, "txg", ctl_json_u64(st.txg));
	ctl_put(call, "nr_commits", ctl_json_u64(st.nr_commits));
	ctl_put(call, "log_bytes", ctl_json_u64(st.log_bytes));
	ctl_put(call, "log_used_bytes", ctl_json_u64(st.log_used));
	ctl_put(call, "nr_log_batches", ctl_json_u64(st.nr_batches));
	ctl_put(call, "nr_log_commits", ctl_json_u64(st.nr_log_commits));
	ctl_put(call, "nr_datasets", ctl_json_u64(st.nr_datasets));
	ctl_put(call, "nr_snapshots", ctl_json_u64(st.nr_snapshots));
	ctl_put(call, "cache_bytes", ctl_json_u64(st.cache_bytes));
	ctl_put(call, "cache_used", ctl_json_u64(st.cache_used));
	ctl_put(call, "dirty_bytes", ctl_json_u64(st.dirty_bytes));
	ctl_put(call, "nr_errors", ctl_json_u64(st.nr_errors));
	created.tv_sec = st.created;
	ctl_put(call, "created", ctl_json_time(&created));
	ctl_put(call, "version", json_integer(st.version));
	ctl_put(call, "compat", ctl_json_u64(st.compat));
	ctl_put(call, "ro_compat", ctl_json_u64(st.ro_compat));
	ctl_put(call, "incompat", ctl_json_u64(st.incompat));
	ctl_put(call, "high_water", ctl_json_u64(st.high_water));
	ctl_put(call, "commit_last_ms", ns_to_ms(st.commit_ns_last));
	ctl_put(call, "commit_max_ms", ns_to_ms(st.commit_ns_max));
	ctl_put(call, "read_only", json_boolean(st.read_only));
	ctl_put(call, "failed", json_boolean(st.failed));
	ctl_put(call, "read_only_why",
		*st.why ? ctl_json_bytes(st.why) : json_null());
	ctl_put(call, "scrub", ctl_json_scrub(call->ctx->pool));
	return 0;
}

int ctl_cmd_pool_grow(struct ctl_call *call)
{
	const json_t *arg = json_object_get(call->args, "size");
	struct store_error error = {.text = ""};
	struct pool_stat st;
	uint64_t size = 0, before;
	int rc;

	if (arg && ctl_value_size(call, "size", arg, &size))
		return -1;
	pool_stat(call->ctx->pool, &st);
	before = st.size;
	rc = pool_grow(call->ctx->pool, size, &error);
	if (rc && *error.text)
		return ctl_fail(call, ctl_code_of_errno(rc), "%s", error.text);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot grow the pool");
	pool_stat(call->ctx->pool, &st);
	ctl_put(call, "size_before", ctl_json_u64(before));
	ctl_put(call, "size", ctl_json_u64(st.size));
	return 0;
}

int ctl_cmd_pool_wait(struct ctl_call *call)
{
	uint64_t start = ctl_now_ns();
	int rc;

	rc = pool_wait_reaped(call->ctx->pool);
	if (rc)
		return ctl_fail_errno(call, rc,
				      "cannot wait for the space to come back");
	ctl_put(call, "duration_ms", ctl_json_ms_since(start));
	return 0;
}

int ctl_cmd_sync(struct ctl_call *call)
{
	uint64_t start = ctl_now_ns();
	struct pool_stat st;
	int rc;

	rc = pool_sync(call->ctx->pool);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot sync the pool");
	pool_stat(call->ctx->pool, &st);
	ctl_put(call, "duration_ms", ctl_json_ms_since(start));
	ctl_put(call, "txg", ctl_json_u64(st.txg));
	return 0;
}

/* -- df ------------------------------------------------------------------- */

static int df_item(struct ctl_call *call, struct dataset *ds, json_t *items)
{
	struct dataset_info info;
	uint64_t size, space, unique;
	json_t *item;
	int rc;

	dataset_info(ds, &info);
	dataset_space(ds, &size, &space);
	item = json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I}",
			 "name", info.name, "size", ctl_json_u64(size), "free",
			 ctl_json_u64(space), "referenced",
			 ctl_json_u64(info.referenced), "logical",
			 ctl_json_u64(info.logical), "charged",
			 ctl_json_u64(info.charged), "quota",
			 ctl_json_u64(info.properties.quota), "ratio",
			 ctl_json_ratio(&info), "nr_snapshots",
			 (json_int_t)info.nr_snapshots);
	json_array_append_new(items, item);
	if (!ctl_arg_bool(call, "unique"))
		return 0;
	rc = dataset_unique(&ds, 1, &unique);
	if (rc)
		return ctl_fail_errno(call, rc,
				      "cannot count the unique bytes of '%s'",
				      info.name);
	json_object_set_new(item, "unique", ctl_json_u64(unique));
	return 0;
}

int ctl_cmd_df(struct ctl_call *call)
{
	json_t *items = json_array();
	struct ctl_set set = {0};
	struct pool_stat st;
	int rc;

	ctl_put(call, "items", items);
	rc = ctl_match(call, ctl_arg_string(call, "pattern"), CTL_WANT_DATASETS,
		       &set);
	for (size_t i = 0; i < set.nr && rc == 0; i++)
		rc = df_item(call, set.ds[i], items);
	ctl_set_release(&set);
	pool_stat(call->ctx->pool, &st);
	ctl_put(call, "pool",
		json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "size",
			  ctl_json_u64(st.size), "allocated",
			  ctl_json_u64(st.allocated), "free",
			  ctl_json_u64(st.free), "reserved",
			  ctl_json_u64(st.reserved), "deferred",
			  ctl_json_u64(st.deferred), "dead",
			  ctl_json_u64(st.dead)));
	return rc;
}

/* -- shutdown ------------------------------------------------------------- */

int ctl_cmd_shutdown(struct ctl_call *call)
{
	struct ctl_context *ctx = call->ctx;
	int rc;

	if (!ctx->hooks || !ctx->hooks->shutdown)
		return ctl_fail(call, CTL_CONFLICT, "the pool is not mounted");
	rc = ctx->hooks->shutdown(ctx->hook_arg, ctl_arg_bool(call, "lazy"));
	if (rc == -EBUSY)
		return ctl_fail(call, CTL_CONFLICT,
				"cannot unmount '%s': it is in use; stop what "
				"uses it, or use --lazy",
				ctx->mountpoint);
	if (rc)
		return ctl_fail_errno(call, rc, "cannot unmount '%s'",
				      ctx->mountpoint);
	return 0;
}
