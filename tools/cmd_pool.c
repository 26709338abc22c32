/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_pool.c - dbs pool create, info, grow, list
 */
#include "tools/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/daemon.h"
#include "tools/out.h"

/* ---- create ------------------------------------------------------------------ */

/* What is on @path now, in words; false when nothing can be lost. */
static bool pool_target_holds(const char *path, char *text, size_t cap)
{
	struct pool_stat pool;
	struct stat st;
	char size[OUT_TEXT_MAX];

	if (stat(path, &st))
		return false;
	if (!pool_probe(path, &pool, NULL))
		snprintf(text, cap,
			 "destroys pool '%s' (%" PRIu64 " datasets) on '%s'",
			 pool.name, pool.nr_datasets, path);
	else if (S_ISREG(st.st_mode))
		snprintf(text, cap, "destroys file '%s' (%s)", path,
			 out_size(size, (uint64_t)st.st_size));
	else
		snprintf(text, cap, "destroys what device '%s' holds", path);
	return true;
}

static volatile sig_atomic_t interrupted; /* the signal */

static void on_interrupt(int number)
{
	interrupted = number;
}

static const int interrupts[] = {SIGINT, SIGTERM, SIGHUP};

/* A signal ends the work, not the process: there is a file to remove. */
static void interrupts_set(void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler}, before;

	for (size_t i = 0; i < ARRAY_SIZE(interrupts); i++) {
		sigaction(interrupts[i], NULL, &before);
		if (before.sa_handler != SIG_IGN) /* as under nohup(1) */
			sigaction(interrupts[i], &action, NULL);
	}
}

static int create_progress(void *arg, uint64_t done, uint64_t total)
{
	progress_show(arg, done, total);
	return interrupted ? -EINTR : 0;
}

/* 0 or -errno; ends the process as the signal would have, if there was one. */
static int create_watched(const char *path, struct pool_create_options *options,
			  struct store_error *error)
{
	struct progress progress;
	bool existed = !access(path, F_OK);
	int err;

	options->progress = create_progress;
	options->arg = &progress;
	progress_begin(&progress, "writing", true);
	interrupts_set(on_interrupt);
	err = pool_create(path, options, error);
	progress_end(&progress);
	interrupts_set(SIG_DFL);
	if (err != -EINTR || !interrupted)
		return err;
	if (existed)
		note("interrupted; '%s' is no pool now", path);
	else
		note("interrupted; '%s' is removed again", path);
	raise(interrupted);
	return err;
}

static int pool_create_parse(const struct invocation *inv, const char *path,
			     struct pool_create_options *o)
{
	const char *size = inv_value(inv, "size");
	struct stat st;
	bool device = !stat(path, &st) && S_ISBLK(st.st_mode);

	o->name = inv_value(inv, "name");
	o->sparse = inv_has(inv, "sparse");
	o->force = inv_has(inv, "force");
	if (size && ctl_parse_size(size, &o->size))
		return fail_usage(inv->cmd, "'%s' is not a size", size);
	if (!size && !device)
		return fail_usage(inv->cmd, "a pool in a file needs --size");
	if (size && o->size < POOL_SIZE_MIN)
		return fail(CTL_USAGE,
			    "'%s' is too small: a pool has at least %" PRIu64
			    "M",
			    size, (uint64_t)POOL_SIZE_MIN >> 20);
	if (o->name && dataset_name_problem(o->name))
		return fail(CTL_USAGE, "pool name '%s' %s", o->name,
			    dataset_name_problem(o->name));
	return CTL_OK;
}

int run_pool_create(struct invocation *inv)
{
	const char *path = inv_operand(inv, 0);
	struct pool_create_options options = {0};
	struct store_error error = {0};
	struct pool_stat st = {0};
	char what[1024], size[OUT_TEXT_MAX], uuid[37];
	uint64_t start = now_ns();
	int code = pool_create_parse(inv, path, &options), err;
	bool holds;

	if (code != CTL_OK)
		return code;
	holds = options.force && pool_target_holds(path, what, sizeof(what));
	if (inv_has(inv, "dry-run")) {
		if (!inv->json)
			out_line("%s", holds ? what : "destroys nothing");
		else
			out_json(json_pack("{s:o, s:b, s:s}", "path",
					   out_text(path), "dry_run", 1,
					   "destroys", holds ? what : ""));
		return CTL_OK;
	}
	if (holds && (code = confirm(inv, what)) != CTL_OK)
		return code;
	err = create_watched(path, &options, &error);
	if (err == -EINVAL && !error.text[0])
		snprintf(error.text, sizeof(error.text), "size too small");
	if (err)
		return fail_pool(path, err, &error);
	err = pool_probe(path, &st, &error);
	if (err)
		return fail_pool(path, err, &error);
	ctl_uuid_format(st.uuid, uuid);
	if (inv->json)
		out_json(json_pack("{s:o, s:s, s:s, s:I, s:f}", "path",
				   out_text(path), "name", st.name, "uuid",
				   uuid, "size", (json_int_t)st.size,
				   "duration_ms",
				   (double)(now_ns() - start) / 1e6));
	else
		out_line("pool '%s' of %s on '%s'", st.name,
			 out_size(size, st.size), path);
	return CTL_OK;
}

/* ---- info ----------------------------------------------------------------------- */

static void info_row(struct out_table *table, const char *what,
		     const char *value)
{
	const char *cells[] = {what, value};

	out_table_row(table, cells);
}

static void info_size(struct out_table *table, const json_t *info,
		      const char *key)
{
	char text[OUT_TEXT_MAX];

	info_row(table, key, out_size(text, out_get_int(info, key)));
}

/* "finished 2026-11-22T12:00:00Z, 2 errors" */
static const char *scrub_summary(char *buf, size_t cap, const json_t *info)
{
	const json_t *scrub = json_object_get(info, "scrub");
	const char *state = out_get_text(scrub, "state");
	const char *ended = out_get_text(scrub, "ended");

	if (!strcmp(state, "none") || !*state)
		return "never";
	snprintf(buf, cap, "%s%s%.19s%s, %" PRIu64 " errors", state,
		 *ended ? " " : "", ended, *ended ? "Z" : "",
		 out_get_int(scrub, "nr_errors"));
	return buf;
}

static void info_print(const json_t *info)
{
	static const struct out_column columns[] = {{"PROPERTY", 0},
						    {"VALUE", 0}};
	static const char *const texts[] = {"name", "uuid", "path",
					    "mountpoint", "created"};
	static const char *const sizes[] = {"size",	"allocated", "free",
					    "reserved", "deferred",  "dead"};
	static const char *const counts[] = {"nr_datasets", "nr_snapshots",
					     "txg", "nr_errors", "version"};
	struct out_table *table = out_table_new(columns, 2);
	char text[2 * OUT_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const char *value = out_get_text(info, texts[i]);

		/* whole seconds do for people */
		if (!strcmp(texts[i], "created")) {
			snprintf(text, sizeof(text), "%.19sZ", value);
			value = text;
		}
		info_row(table, texts[i], *value ? value : NULL);
	}
	info_row(table, "state",
		 out_get_bool(info, "failed")	   ? "failed, read-only"
		 : out_get_bool(info, "read_only") ? "read-only"
						   : "good");
	if (*out_get_text(info, "read_only_why"))
		info_row(table, "why", out_get_text(info, "read_only_why"));
	info_row(table, "scrub", scrub_summary(text, sizeof(text), info));
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		info_size(table, info, sizes[i]);
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		snprintf(text, sizeof(text), "%" PRIu64,
			 out_get_int(info, counts[i]));
		info_row(table, counts[i], text);
	}
	snprintf(text, sizeof(text), "%" PRIx64 "/%" PRIx64 "/%" PRIx64,
		 out_get_int(info, "compat"), out_get_int(info, "ro_compat"),
		 out_get_int(info, "incompat"));
	info_row(table, "features", text);
	out_table_print(table);
}

int run_pool_info(struct invocation *inv)
{
	json_t *info;
	int code = client_call_once(inv, inv_operand(inv, 0), "pool.info", NULL,
				    &info);

	if (code != CTL_OK)
		return code;
	if (inv->json) {
		out_json(info);
		return CTL_OK;
	}
	info_print(info);
	json_decref(info);
	return CTL_OK;
}

/* ---- grow ------------------------------------------------------------------------ */

int run_pool_grow(struct invocation *inv)
{
	const char *text = inv_value(inv, "size");
	char before[OUT_TEXT_MAX], after[OUT_TEXT_MAX];
	json_t *arguments = json_object(), *result;
	uint64_t size;
	int code;

	if (text && (ctl_parse_size(text, &size) || !size)) {
		json_decref(arguments);
		return fail_usage(inv->cmd, "'%s' is not a size", text);
	}
	if (text)
		json_object_set_new(arguments, "size",
				    json_integer((json_int_t)size));
	code = client_call_once(inv, inv_operand(inv, 0), "pool.grow",
				arguments, &result);
	if (code != CTL_OK)
		return code;
	if (inv->json) {
		out_json(result);
		return CTL_OK;
	}
	printf("grown from %s to %s\n",
	       out_size(before, out_get_int(result, "size_before")),
	       out_size(after, out_get_int(result, "size")));
	json_decref(result);
	return CTL_OK;
}

/* ---- list ------------------------------------------------------------------------- */

/* A pool at @path as pool.info shows it; says what is wrong and returns NULL. */
static json_t *pool_probe_json(const char *path, int *code)
{
	struct store_error error = {0};
	struct pool_stat st;
	char uuid[37];
	int err = pool_probe(path, &st, &error);

	if (err) {
		*code = fail_pool(path, err, &error);
		return NULL;
	}
	ctl_uuid_format(st.uuid, uuid);
	return json_pack("{s:s, s:s, s:o, s:n, s:n, s:n, s:I}", "name", st.name,
			 "uuid", uuid, "path", out_text(path), "mountpoint",
			 "pid", "socket", "size", (json_int_t)st.size);
}

static bool list_has(const json_t *list, const char *path)
{
	struct stat a, b;
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		if (!stat(path, &a) && !stat(out_get_text(item, "path"), &b) &&
		    a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return true;
	}
	return false;
}

static void list_add(json_t *list, const char *path, int *code)
{
	json_t *item;

	if (list_has(list, path))
		return;
	item = pool_probe_json(path, code);
	if (item)
		json_array_append_new(list, item);
}

static void list_print(const json_t *list)
{
	static const struct out_column columns[] = {
		{"NAME", 0},	    {"SIZE", OUT_RIGHT}, {"MOUNTPOINT", 0},
		{"PID", OUT_RIGHT}, {"PATH", 0},
	};
	struct out_table *table = out_table_new(columns, ARRAY_SIZE(columns));
	char size[OUT_TEXT_MAX], pid[OUT_TEXT_MAX];
	json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
	{
		const char *mountpoint = out_get_text(item, "mountpoint");
		const char *cells[] = {out_get_text(item, "name"), size,
				       *mountpoint ? mountpoint : NULL, pid,
				       out_get_text(item, "path")};

		out_size(size, out_get_int(item, "size"));
		if (out_get_int(item, "pid"))
			snprintf(pid, sizeof(pid), "%" PRIu64,
				 out_get_int(item, "pid"));
		else
			strcpy(pid, "-");
		out_table_row(table, cells);
	}
	out_table_print(table);
}

int run_pool_list(struct invocation *inv)
{
	const char *env = getenv("DBS_POOL");
	json_t *list = daemon_list(), *item;
	int code = CTL_OK;
	size_t i;

	json_array_foreach(list, i, item)
	{
		struct pool_stat st;

		/* a ping does not say the size */
		if (!pool_probe(out_get_text(item, "path"), &st, NULL))
			json_object_set_new(item, "size",
					    json_integer((json_int_t)st.size));
	}
	if (env && *env)
		list_add(list, env, &code);
	for (int k = 0; k < inv->nr_operands && code == CTL_OK; k++)
		list_add(list, inv->operands[k], &code);
	if (code == CTL_OK && inv->json)
		out_json(json_pack("{s:O}", "items", list));
	else if (code == CTL_OK)
		list_print(list);
	json_decref(list);
	return code;
}
