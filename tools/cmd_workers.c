/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_workers.c - dbs workers stop, start; workers in dbs ps and dbs logs
 */
#include "tools/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"
#include "tools/cmd_instance.h"
#include "tools/config.h"
#include "tools/out.h"
#include "tools/worker/worker.h"

int run_worker(struct invocation *inv)
{
	if (inv->nr_operands != 1)
		return fail(CTL_USAGE, "__worker is for dbs itself");
	return worker_main(inv->operands[0]);
}

/* ---- ps -------------------------------------------------------------------------- */

/* What runs or has run, then what is only configured. */
json_t *workers_json(const json_t *configured)
{
	json_t *names = worker_names(), *items = json_array(), *name, *record;
	json_t *seen = json_object();
	const char *key;
	size_t i;

	json_array_foreach(names, i, name)
	{
		struct worker w;

		if (worker_open(json_string_value(name), false, &w) == CTL_OK) {
			json_object_set_new(seen, w.files.name, json_true());
			json_array_append_new(items, worker_state(&w));
		}
		worker_close(&w);
	}
	json_object_foreach((json_t *)(uintptr_t)configured, key, record)
	{
		if (!json_object_get(seen, key))
			json_array_append_new(
				items,
				json_pack("{s:s, s:O, s:s, s:[], s:i}", "name",
					  key, "instance",
					  json_object_get(record, "instance"),
					  "state", "stopped", "processes",
					  "running", 0));
	}
	json_decref(names);
	json_decref(seen);
	return items;
}

/* The sum of restarts, and when the youngest began. */
static void row_of(struct out_table *table, const json_t *item)
{
	char name[64], running[32], restarts[24];
	const char *instance = out_get_text(item, "instance");
	json_t *processes = json_object_get(item, "processes"), *p;
	const char *since = "-";
	uint64_t nr = 0;
	size_t i;

	json_array_foreach(processes, i, p)
	{
		const char *text = out_get_text(p, "since");

		nr += out_get_int(p, "restarts");
		if (*text && (*since == '-' || strcmp(text, since) > 0))
			since = text;
	}
	snprintf(name, sizeof(name), "worker/%s", out_get_text(item, "name"));
	snprintf(running, sizeof(running), "%" PRIu64 "/%zu",
		 out_get_int(item, "running"), json_array_size(processes));
	snprintf(restarts, sizeof(restarts), "%" PRIu64, nr);
	out_table_row(table,
		      (const char *const[]){name, out_get_text(item, "state"),
					    *instance ? instance : "-", running,
					    since, restarts});
}

void workers_print(const json_t *items)
{
	static const struct out_column columns[] = {
		{"WORKER", 0},	 {"STATE", 0},
		{"INSTANCE", 0}, {"PROCESSES", OUT_RIGHT},
		{"SINCE", 0},	 {"RESTARTS", OUT_RIGHT}};
	struct out_table *table;
	json_t *item;
	size_t i;

	if (!json_array_size(items))
		return;
	putchar('\n');
	fflush(stdout);
	table = out_table_new(columns, ARRAY_SIZE(columns));
	json_array_foreach(items, i, item) row_of(table, item);
	out_table_print(table);
}

int workers_log(const char *name, bool is_error, char path[PATH_MAX])
{
	struct worker w;
	int code = worker_open(name, false, &w);

	if (code == CTL_OK)
		worker_file(&w, is_error ? "stderr.log" : "stdout.log", path);
	worker_close(&w);
	return code;
}

/* ---- stop, start -------------------------------------------------------------------- */

/* K2; one whose instance is gone has no lock to take. */
static int lock_instance(const char *name, struct instance *inst)
{
	*inst = (struct instance){.lock = -1};
	if (!instance_exists(name))
		return CTL_OK;
	return instance_open(name, INSTANCE_LOCK, inst);
}

static int stop_name(const char *name, const json_t *record)
{
	const char *instance = out_get_text(record, "instance");
	char before[DATASET_NAME_MAX + 1] = "";
	struct instance inst;
	struct worker w;
	int code;

	/* it belongs to whom it was started for */
	if (!record || worker_is_there(name)) {
		code = worker_open(name, false, &w);
		if (code == CTL_OK)
			snprintf(before, sizeof(before), "%s",
				 worker_instance(&w));
		worker_close(&w);
		if (code != CTL_OK)
			return code;
	}
	code = lock_instance(*before ? before : instance, &inst);
	if (code == CTL_OK)
		code = worker_stop(name, true);
	instance_close(&inst);
	return code;
}

static int start_name(const char *name, const json_t *record)
{
	const char *instance = out_get_text(record, "instance");
	struct instance inst;
	int code;

	if (!record)
		return fail(CTL_NOT_FOUND, "'%s' has no worker '%s'",
			    config_path(), name);
	code = lock_instance(instance, &inst);
	if (code == CTL_OK && inst.record && instance_server(&inst)) {
		code = worker_start(name, record);
	} else if (code == CTL_OK) {
		code = worker_release(name);
		note("worker '%s' starts with its instance '%s', which does "
		     "not run",
		     name, instance);
	}
	instance_close(&inst);
	return code;
}

static int run_each(const struct invocation *inv, bool starts)
{
	const char *operand = inv_operand(inv, 0), *name;
	json_t *done = json_array(), *record, *all;
	struct config config;
	int worst = config_open(&config), code;

	if (worst != CTL_OK) {
		json_decref(done);
		return worst;
	}
	all = operand ? json_object() : json_incref(config.workers);
	record = operand ? json_object_get(config.workers, operand) : NULL;
	if (operand)
		json_object_set_new(all, operand,
				    record ? json_incref(record) : json_null());
	json_object_foreach(all, name, record)
	{
		const json_t *known = json_is_object(record) ? record : NULL;

		code = starts ? start_name(name, known)
			      : stop_name(name, known);
		worst = code == CTL_OK ? worst : code;
		if (code == CTL_OK)
			json_array_append_new(done, out_text(name));
	}
	json_decref(all);
	config_release(&config);
	if (worst == CTL_OK && inv->json)
		out_json(json_pack("{s:O}", "names", done));
	json_decref(done);
	return worst;
}

int run_workers_stop(struct invocation *inv)
{
	return run_each(inv, false);
}

int run_workers_start(struct invocation *inv)
{
	return run_each(inv, true);
}
