/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_scrub.c - pool.scrub, and what pool.info says of it */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "fs/ctl_internal.h"

/* a connection's request must end when the daemon does */
#define WAIT_MS_MAX 5000

static const char *state_name(const struct scrub_status *st)
{
	switch (st->state) {
	case SCRUB_NONE:
		return "none";
	case SCRUB_RUNNING:
		return st->active ? "running" : "interrupted";
	case SCRUB_PAUSED:
		return st->active ? "running" : "paused";
	case SCRUB_STOPPED:
		return "stopped";
	case SCRUB_FINISHED:
		return st->active ? "running" : "finished";
	case SCRUB_FAILED:
		return "failed";
	}
	return "none";
}

static json_t *seconds_json(int64_t seconds)
{
	struct timespec t = {.tv_sec = (time_t)seconds};

	return seconds ? ctl_json_time(&t) : json_null();
}

json_t *ctl_json_scrub(struct pool *pool)
{
	struct scrub_status st;

	if (pool_scrub_status(pool, &st))
		return json_null();
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "state",
			 state_name(&st), "started", seconds_json(st.started),
			 "ended", seconds_json(st.ended), "done",
			 ctl_json_u64(st.done), "total", ctl_json_u64(st.total),
			 "nr_errors", ctl_json_u64(st.nr_errors));
}

static const char *kind_name(enum scrub_found kind)
{
	switch (kind) {
	case SCRUB_FOUND_RECORD:
		return "record";
	case SCRUB_FOUND_NODE:
		return "node";
	case SCRUB_FOUND_POOL_NODE:
		return "pool_node";
	case SCRUB_FOUND_SUPERBLOCK:
		return "superblock";
	case SCRUB_FOUND_SPACE_MAP:
		return "space_map";
	}
	return "";
}

static void add_finding(void *arg, const struct scrub_finding *f)
{
	char text[SCRUB_PATH_MAX + DATASET_FULL_NAME_MAX + 256];
	bool in_file = f->dataset != 0;

	scrub_finding_text(f, text, sizeof(text));
	json_array_append_new(
		arg,
		json_pack(
			"{s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "kind",
			kind_name(f->kind), "dataset",
			in_file ? ctl_json_bytes(f->name) : json_null(), "path",
			in_file ? ctl_json_bytes(f->path) : json_null(), "ino",
			in_file ? ctl_json_u64(f->ino) : json_null(), "offset",
			in_file ? ctl_json_u64(f->offset) : json_null(),
			"block", ctl_json_u64(f->blkno), "nr_blocks",
			(json_int_t)f->nr_blocks, "text",
			ctl_json_bytes(text)));
}

static int put_status(struct ctl_call *call)
{
	struct pool *pool = call->ctx->pool;
	json_t *findings = json_array();
	struct scrub_status st;
	int rc = pool_scrub_status(pool, &st);

	ctl_put(call, "findings", findings);
	if (rc == 0)
		rc = pool_scrub_findings(pool, add_finding, findings);
	if (rc)
		return ctl_fail_errno(call, rc,
				      "the state of the scrub cannot be read");
	ctl_put(call, "state", json_string(state_name(&st)));
	ctl_put(call, "started", seconds_json(st.started));
	ctl_put(call, "ended", seconds_json(st.ended));
	ctl_put(call, "done", ctl_json_u64(st.done));
	ctl_put(call, "total", ctl_json_u64(st.total));
	ctl_put(call, "rate", ctl_json_u64(st.rate));
	ctl_put(call, "speed", ctl_json_u64(st.speed));
	ctl_put(call, "active_ms", ctl_json_u64(st.active_ms));
	ctl_put(call, "eta_ms",
		st.eta_ms == UINT64_MAX ? json_null()
					: ctl_json_u64(st.eta_ms));
	ctl_put(call, "nr_nodes", ctl_json_u64(st.nr_nodes));
	ctl_put(call, "nr_records", ctl_json_u64(st.nr_records));
	ctl_put(call, "nr_errors", ctl_json_u64(st.nr_errors));
	ctl_put(call, "nr_found", ctl_json_u64(st.nr_found));
	ctl_put(call, "at", *st.at ? ctl_json_bytes(st.at) : json_null());
	return 0;
}

static int start(struct ctl_call *call, bool join)
{
	const json_t *arg = json_object_get(call->args, "rate");
	uint64_t rate = SCRUB_RATE_SAME;
	int rc;

	if (arg && ctl_value_size(call, "rate", arg, &rate))
		return -1;
	rc = pool_scrub_start(call->ctx->pool, rate);
	if (rc == -EALREADY && (join || arg))
		return 0;
	if (rc == -EALREADY)
		return ctl_fail(call, CTL_CONFLICT,
				"a scrub is running already; see 'dbs pool "
				"scrub --status'");
	if (rc)
		return ctl_fail_errno(call, rc, "the scrub cannot start");
	return 0;
}

static int stop(struct ctl_call *call, bool give_up)
{
	int rc = pool_scrub_pause(call->ctx->pool, give_up);

	if (rc == -ESRCH)
		return ctl_fail(call, CTL_CONFLICT, "no scrub is running");
	if (rc)
		return ctl_fail_errno(call, rc, "the scrub cannot be %s",
				      give_up ? "stopped" : "paused");
	return 0;
}

static int run_action(struct ctl_call *call, const char *action)
{
	if (!strcmp(action, "status"))
		return 0;
	if (!strcmp(action, "start"))
		return start(call, false);
	if (!strcmp(action, "follow"))
		return start(call, true);
	if (!strcmp(action, "pause"))
		return stop(call, false);
	if (!strcmp(action, "stop"))
		return stop(call, true);
	return ctl_fail(call, CTL_USAGE,
			"'%s' is none of status, start, follow, pause and stop",
			action);
}

int ctl_cmd_pool_scrub(struct ctl_call *call)
{
	const char *action = ctl_arg_string(call, "action");
	json_int_t wait_ms =
		json_integer_value(json_object_get(call->args, "wait_ms"));
	int rc = run_action(call, action ? action : "status");

	if (rc)
		return rc;
	if (wait_ms > WAIT_MS_MAX)
		wait_ms = WAIT_MS_MAX;
	if (wait_ms > 0)
		(void)pool_scrub_wait(call->ctx->pool, (uint32_t)wait_ms);
	return put_status(call);
}
