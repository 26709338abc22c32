/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_check.c - dbs pool check, scrub: is a pool whole?
 */
#include "tools/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/out.h"

/* ---- check ------------------------------------------------------------------------- */

struct check_run {
	const struct invocation *inv;
	const char *path;
	json_t *findings, *notes;
	json_t *plan; /* what a repair changes, or NULL */
	struct progress progress;
	bool print;
	int code; /* of asking */
};

static void check_report(void *arg, const char *text)
{
	struct check_run *run = arg;

	progress_end(&run->progress);
	if (run->print)
		puts(text);
	json_array_append_new(run->findings, out_text(text));
}

static void check_note(void *arg, const char *text)
{
	struct check_run *run = arg;

	progress_end(&run->progress);
	if (run->print)
		printf("note: %s\n", text);
	json_array_append_new(run->notes, out_text(text));
}

static void check_progress(void *arg, uint64_t done, uint64_t total)
{
	struct check_run *run = arg;

	progress_show(&run->progress, done * BLKDEV_ALIGN,
		      total * BLKDEV_ALIGN);
}

static json_t *log_json(const struct check_log_plan *p)
{
	char time[OUT_TEXT_MAX];

	return json_pack("{s:I, s:s, s:I, s:I, s:I, s:I}", "txg",
			 (json_int_t)p->txg, "time",
			 out_time(time, (time_t)p->time), "lost_txg",
			 (json_int_t)p->lost_txg, "nr_replayed",
			 (json_int_t)p->nr_replayed, "nr_batches",
			 (json_int_t)p->nr_batches, "nr_records",
			 (json_int_t)p->nr_records);
}

static json_t *plan_json(const struct check_repair *p)
{
	json_t *json = json_pack(
		"{s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I}", "nr_regions",
		(json_int_t)p->nr_regions, "nr_claimed",
		(json_int_t)p->nr_claimed, "nr_freed", (json_int_t)p->nr_freed,
		"nr_changed", (json_int_t)p->nr_changed, "nr_unknown",
		(json_int_t)p->nr_unknown, "space_tree", p->space_tree,
		"nr_large", (json_int_t)p->nr_large, "nr_dead",
		(json_int_t)p->nr_dead);

	json_object_set_new(json, "log",
			    p->log.discard ? log_json(&p->log) : json_null());
	return json;
}

struct text {
	char buf[1024];
	size_t used;
};

__attribute__((format(printf, 2, 3))) static void text_add(struct text *t,
							   const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(t->buf + t->used, sizeof(t->buf) - t->used, fmt, ap);
	va_end(ap);
	t->used = strlen(t->buf);
}

static void map_text(struct text *t, const char *path,
		     const struct check_repair *p)
{
	text_add(t,
		 "rebuilds the space map of '%s' from its trees: writes "
		 "%" PRIu64 " regions, claims %" PRIu64
		 " blocks that count as free, frees %" PRIu64
		 " that nothing uses, changes %" PRIu64 " other counts",
		 path, p->nr_regions, p->nr_claimed, p->nr_freed,
		 p->nr_changed);
	if (p->nr_unknown)
		text_add(t, ", replaces %" PRIu64 " that cannot be read",
			 p->nr_unknown);
	if (p->space_tree)
		text_add(t,
			 ", builds the space tree anew (%" PRIu64
			 " large counts)",
			 p->nr_large);
	if (p->nr_dead)
		text_add(t, ", gives %" PRIu64 " destroyed trees back at once",
			 p->nr_dead);
}

static void log_text(struct text *t, const char *path,
		     const struct check_log_plan *p)
{
	char time[OUT_TEXT_MAX];

	text_add(t,
		 "goes back to the last commit of '%s' (txg %" PRIu64 ", %s), ",
		 path, p->txg, out_time(time, (time_t)p->time));
	if (p->lost_txg)
		text_add(t,
			 "gives up the commits after it, up to txg %" PRIu64
			 " at least, whose superblocks are lost, and ",
			 p->lost_txg);
	else
		text_add(t,
			 "replays %" PRIu64 " log records after it, and gives "
			 "up ",
			 p->nr_replayed);
	text_add(t,
		 "all that was acknowledged later: %" PRIu64
		 " log records in %" PRIu64
		 " batches can be seen, there may be more",
		 p->nr_records, p->nr_batches);
}

/* What it will do, in words. */
static void plan_text(const struct check_run *run, const struct check_repair *p,
		      struct text *t)
{
	if (p->map)
		map_text(t, run->path, p);
	if (p->map && p->log.discard)
		text_add(t, "; ");
	if (p->log.discard)
		log_text(t, run->path, &p->log);
}

static bool check_ask(void *arg, const struct check_repair *plan)
{
	struct check_run *run = arg;
	struct text text = {.used = 0};

	progress_end(&run->progress);
	run->plan = plan_json(plan);
	plan_text(run, plan, &text);
	if (inv_has(run->inv, "dry-run")) {
		if (run->print)
			puts(text.buf);
		return false;
	}
	run->code = confirm(run->inv, text.buf);
	if (run->code == CTL_OK && run->print)
		puts(text.buf);
	return run->code == CTL_OK;
}

static const char *const repaired_names[] = {
	[CHECK_REPAIR_NONE] = "none",
	[CHECK_REPAIR_REFUSED] = "refused",
	[CHECK_REPAIR_DECLINED] = "declined",
	[CHECK_REPAIR_DONE] = "done",
};

static json_t *check_json(const struct check_run *run,
			  const struct check_result *r, uint64_t ns)
{
	json_t *json = json_pack(
		"{s:o, s:b, s:I, s:O, s:O, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
		"s:I, "
		"s:f}",
		"path", out_text(run->path), "clean", r->nr_errors == 0,
		"nr_errors", (json_int_t)r->nr_errors, "findings",
		run->findings, "notes", run->notes, "nr_batches",
		(json_int_t)r->nr_batches, "nr_trees", (json_int_t)r->nr_trees,
		"nr_nodes", (json_int_t)r->nr_nodes, "nr_records",
		(json_int_t)r->nr_records, "nr_inodes",
		(json_int_t)r->nr_inodes, "used",
		(json_int_t)(r->blocks_used * BLKDEV_ALIGN), "leaked",
		(json_int_t)(r->blocks_leaked * BLKDEV_ALIGN), "shared",
		(json_int_t)(r->shared_blocks * BLKDEV_ALIGN), "duration_ms",
		(double)ns / 1e6);

	if (!inv_has(run->inv, "repair"))
		return json;
	json_object_set_new(json, "repair",
			    json_string(repaired_names[r->repaired]));
	json_object_set_new(json, "why",
			    *r->why ? json_string(r->why) : json_null());
	json_object_set_new(json, "changes",
			    run->plan ? json_incref(run->plan) : json_null());
	json_object_set_new(json, "nr_left",
			    r->repaired == CHECK_REPAIR_DONE
				    ? json_integer((json_int_t)r->nr_left)
				    : json_null());
	return json;
}

static void check_print(const struct check_result *r, uint64_t ns)
{
	char used[OUT_TEXT_MAX], time[OUT_TEXT_MAX];

	if (r->repaired == CHECK_REPAIR_DONE)
		puts("repaired");
	printf("%s: %" PRIu64 " trees, %" PRIu64 " nodes, %" PRIu64
	       " inodes, %" PRIu64 " records, %s used (%s)\n",
	       (r->repaired == CHECK_REPAIR_DONE ? r->nr_left : r->nr_errors)
		       ? "damaged"
		       : "clean",
	       r->nr_trees, r->nr_nodes, r->nr_inodes, r->nr_records,
	       out_size(used, r->blocks_used * BLKDEV_ALIGN),
	       out_duration(time, ns));
}

static const char *findings(uint64_t nr)
{
	return nr == 1 ? "finding" : "findings";
}

/* The exit code, and the sentence that goes with it. */
static int check_code(const struct check_run *run, const struct check_result *r)
{
	switch (r->repaired) {
	case CHECK_REPAIR_DONE:
		if (r->nr_left == 0)
			return CTL_OK;
		return fail(CTL_CHECK_FAILED,
			    "pool '%s' is still damaged: what can be is "
			    "repaired, %" PRIu64 " %s left",
			    run->path, r->nr_left,
			    r->nr_left == 1 ? "finding is" : "findings are");
	case CHECK_REPAIR_REFUSED:
		return fail(CTL_CHECK_FAILED,
			    "pool '%s' is damaged (%" PRIu64 " %s) and was not "
			    "repaired: %s",
			    run->path, r->nr_errors, findings(r->nr_errors),
			    r->why);
	case CHECK_REPAIR_DECLINED:
		if (run->code != CTL_OK)
			return run->code;
		break;
	case CHECK_REPAIR_NONE:
		if (r->nr_errors == 0)
			return CTL_OK;
		break;
	}
	return fail(CTL_CHECK_FAILED, "pool '%s' is damaged: %" PRIu64 " %s",
		    run->path, r->nr_errors, findings(r->nr_errors));
}

int run_pool_check(struct invocation *inv)
{
	struct check_run run = {.inv = inv, .print = !inv->json};
	struct check_options options = {
		.data = inv_has(inv, "data"),
		.report = check_report,
		.note = check_note,
		.progress = check_progress,
		.repair = inv_has(inv, "repair") ? check_ask : NULL,
		.dry_run = inv_has(inv, "dry-run"),
		.discard_log = inv_has(inv, "discard-log"),
		.arg = &run,
	};
	struct check_result result = {0};
	struct store_error error = {0};
	uint64_t start = now_ns();
	char *path;
	int code, err;

	if (!options.repair &&
	    (options.dry_run || options.discard_log || inv_has(inv, "yes")))
		return fail_usage(inv->cmd, "--discard-log, --dry-run and "
					    "--yes go with --repair");
	code = client_default_path(inv, inv_operand(inv, 0), &path);
	if (code != CTL_OK)
		return code;
	run.path = path;
	run.findings = json_array();
	run.notes = json_array();
	progress_begin(&run.progress, "checking", true);
	err = check_pool(path, &options, &result, &error);
	progress_end(&run.progress);
	if (err) {
		code = fail_pool(path, err, &error);
	} else {
		if (inv->json)
			out_json(check_json(&run, &result, now_ns() - start));
		else
			check_print(&result, now_ns() - start);
		code = check_code(&run, &result);
	}
	json_decref(run.findings);
	json_decref(run.notes);
	json_decref(run.plan);
	free(path);
	return code;
}

/* ---- scrub --------------------------------------------------------------------------- */

/* how long the daemon waits for an end before it answers */
#define SCRUB_WAIT_MS 500

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupted = 1;
}

/* "50", in MB/s, "500K", "none" */
static int parse_rate(const struct invocation *inv, const char *text,
		      uint64_t *rate)
{
	if (strspn(text, "0123456789") == strlen(text) && strlen(text) < 8 &&
	    *text) {
		*rate = strtoull(text, NULL, 10) << 20;
		return CTL_OK;
	}
	if (ctl_parse_size(text, rate))
		return fail_usage(inv->cmd, "'%s' is not a rate", text);
	return CTL_OK;
}

static void scrub_print_findings(const json_t *status)
{
	const json_t *list = json_object_get(status, "findings"), *item;
	uint64_t nr = out_get_int(status, "nr_found");
	size_t i;

	json_array_foreach(list, i, item) puts(out_get_text(item, "text"));
	if (nr > json_array_size(list))
		printf("and %" PRIu64 " more\n", nr - json_array_size(list));
}

static void scrub_print(const json_t *status)
{
	char done[OUT_TEXT_MAX], total[OUT_TEXT_MAX], speed[OUT_TEXT_MAX];
	char time[OUT_TEXT_MAX], eta[OUT_TEXT_MAX];
	const char *state = out_get_text(status, "state");
	uint64_t ms = out_get_int(status, "active_ms");
	uint64_t d = out_get_int(status, "done");
	uint64_t t = out_get_int(status, "total");

	if (!strcmp(state, "none")) {
		puts("never scrubbed");
		return;
	}
	scrub_print_findings(status);
	out_size(done, d);
	out_size(total, t);
	out_size(speed, out_get_int(status, "speed"));
	out_duration(time, ms * 1000000);
	if (!strcmp(state, "finished"))
		printf("finished %.19sZ: %s read in %s, %" PRIu64
		       " nodes, %" PRIu64 " records, %" PRIu64 " damaged\n",
		       out_get_text(status, "ended"), done, time,
		       out_get_int(status, "nr_nodes"),
		       out_get_int(status, "nr_records"),
		       out_get_int(status, "nr_errors"));
	else
		printf("%s: %s of about %s (%d %%) in %s, %" PRIu64
		       " damaged\n",
		       state, done, total, t ? (int)(d * 100 / t) : 0, time,
		       out_get_int(status, "nr_errors"));
	if (!strcmp(state, "running") &&
	    json_is_integer(json_object_get(status, "eta_ms")))
		printf("%s/s, about %s left, in '%s'\n", speed,
		       out_duration(eta,
				    out_get_int(status, "eta_ms") * 1000000),
		       out_get_text(status, "at"));
}

static int scrub_call(struct client *client, const char *action, json_t *rate,
		      int wait_ms, json_t **status)
{
	json_t *arguments =
		json_pack("{s:s, s:i}", "action", action, "wait_ms", wait_ms);

	if (rate)
		json_object_set_new(arguments, "rate", rate);
	return client_call(client, "pool.scrub", arguments, status);
}

/* Show how it goes until it ends; @pause: then an interrupt pauses it. */
static int scrub_follow(struct client *client, bool pause, json_t **status)
{
	struct sigaction sa = {.sa_handler = on_interrupt}, old;
	struct progress progress;
	int code = CTL_OK;

	if (pause)
		sigaction(SIGINT, &sa, &old);
	progress_begin(&progress, "scrubbing", true);
	while (code == CTL_OK &&
	       !strcmp(out_get_text(*status, "state"), "running")) {
		const char *action = interrupted ? "pause" : "status";

		progress_show(&progress, out_get_int(*status, "done"),
			      out_get_int(*status, "total"));
		json_decref(*status);
		*status = NULL;
		code = scrub_call(client, action, NULL, SCRUB_WAIT_MS, status);
	}
	progress_end(&progress);
	if (pause)
		sigaction(SIGINT, &old, NULL);
	return code;
}

static int scrub_code(const json_t *status, bool judges)
{
	const char *state = out_get_text(status, "state");
	uint64_t nr = out_get_int(status, "nr_errors");

	if (judges && nr > 0)
		return fail(CTL_CHECK_FAILED,
			    "the scrub found damage: %" PRIu64
			    " blocks or records",
			    nr);
	if (judges && !strcmp(state, "failed"))
		return fail(CTL_FAILED, "the scrub failed; see the log");
	if (interrupted)
		return fail(CTL_FAILED,
			    "interrupted; the next 'dbs pool scrub' goes on "
			    "from here");
	return CTL_OK;
}

/* Which of the options that exclude each other was given. */
static int scrub_action(struct invocation *inv, const char **action)
{
	static const char *const names[] = {"status", "pause", "stop", "wait"};
	int nr = 0;

	*action = "start";
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (!inv_has(inv, names[i]))
			continue;
		nr++;
		if (strcmp(names[i], "wait"))
			*action = names[i];
	}
	if (nr > 1)
		return fail_usage(inv->cmd, "--status, --pause, --stop and "
					    "--wait exclude each other");
	if (inv_has(inv, "rate") && strcmp(*action, "start"))
		return fail_usage(inv->cmd, "--rate is for a scrub that runs");
	inv->reads = !strcmp(*action, "status");
	return CTL_OK;
}

int run_pool_scrub(struct invocation *inv)
{
	const char *action, *text = inv_value(inv, "rate");
	bool wait = inv_has(inv, "wait"), foreground;
	struct client *client;
	json_t *status = NULL, *rate = NULL;
	uint64_t bytes = 0;
	int code = scrub_action(inv, &action);

	if (code == CTL_OK && text)
		code = parse_rate(inv, text, &bytes);
	if (code == CTL_OK)
		code = client_open(inv, inv_operand(inv, 0), &client);
	if (code != CTL_OK)
		return code;
	/* nobody else would go on with it */
	foreground = !strcmp(action, "start") && client_is_local(client);
	wait |= foreground;
	if (text || foreground)
		rate = json_integer((json_int_t)bytes);
	if (wait && !client_is_local(client))
		action = "follow";
	code = scrub_call(client, action, rate, 0, &status);
	if (code == CTL_OK && wait)
		code = scrub_follow(client, foreground, &status);
	if (code == CTL_OK && !inv->json)
		scrub_print(status);
	if (code == CTL_OK)
		code = scrub_code(status, wait || !strcmp(action, "status"));
	if (status && inv->json)
		out_json(json_incref(status));
	json_decref(status);
	return client_close(client, code);
}
