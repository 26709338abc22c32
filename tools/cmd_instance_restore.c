/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance_restore.c - dbs restore of an instance, dbs refresh
 */
#include "tools/cmd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/cmd_instance.h"
#include "tools/instance/life.h"
#include "tools/out.h"

/* ---- which snapshot -------------------------------------------------------------- */

/* @source: out, "DS@SNAP" as it is called; NULL: it is not there. */
static int find_source(struct client *client, const char *name, char **source)
{
	json_t *item;
	int code = life_snapshot(client, name, &item);

	*source = code == CTL_OK && item ? strdup(name) : NULL;
	json_decref(item);
	return code;
}

/* "@SNAP": one of its own, else one of the dataset that it came from. */
static int source_by_snapshot(const struct instance *inst,
			      struct client *client, const char *at_name,
			      char **source)
{
	const char *from = out_get_text(inst->record, "dataset_from");
	const char *all[] = {inst->name, from};
	int code = CTL_OK;

	if (*at_name != '@' || !at_name[1])
		return fail(CTL_USAGE, "'%s' is not a snapshot: write '@NAME'",
			    at_name);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		char *name;

		if (code != CTL_OK || *source || !*all[i])
			continue;
		if (asprintf(&name, "%.*s%s", (int)strcspn(all[i], "@"), all[i],
			     at_name) < 0)
			return fail(CTL_FAILED, "out of memory");
		code = find_source(client, name, source);
		free(name);
	}
	if (code == CTL_OK && !*source)
		code = fail(CTL_NOT_FOUND,
			    "neither '%s' nor what it came from has a "
			    "snapshot '%s'",
			    inst->name, at_name + 1);
	return code;
}

/* "DS@SNAP", or "DS@latest": as 'dbs up --from' takes it. */
static int source_by_name(struct client *client, const char *name,
			  char **source)
{
	size_t len = strcspn(name, "@");
	int code = find_source(client, name, source);
	char *ds;

	if (code != CTL_OK || *source)
		return code;
	if (strcmp(name + len, "@latest"))
		return fail(CTL_NOT_FOUND, "there is no snapshot '%s'", name);
	ds = strndup(name, len);
	code = ds ? life_newest(client, ds, source)
		  : fail(CTL_FAILED, "out of memory");
	free(ds);
	return code;
}

/* The newest that is there yet; the record forgets those that are not. */
static int source_of_undo(const struct instance *inst, struct client *client,
			  char **source)
{
	json_t *undo = json_object_get(inst->record, "undo");
	int code = CTL_OK;
	size_t nr;

	while (code == CTL_OK && !*source && (nr = json_array_size(undo))) {
		code = find_source(
			client, json_string_value(json_array_get(undo, nr - 1)),
			source);
		if (code == CTL_OK && !*source)
			json_array_remove(undo, nr - 1);
	}
	if (code == CTL_OK && !*source)
		code = fail(CTL_NOT_FOUND,
			    "no replaced state of instance '%s' is kept",
			    inst->name);
	return code;
}

static int source_of_origin(const struct instance *inst, struct client *client,
			    char **source)
{
	const char *from = out_get_text(inst->record, "dataset_from");
	int code;

	if (!*from)
		return fail(CTL_NOT_FOUND,
			    "instance '%s' was not made from a snapshot; say "
			    "which to restore: 'dbs restore %s @SNAP'",
			    inst->name, inst->name);
	code = find_source(client, from, source);
	if (code == CTL_OK && !*source)
		code = fail(CTL_NOT_FOUND,
			    "there is no snapshot '%s' any more, which "
			    "instance '%s' was made from; say which to "
			    "restore: 'dbs restore %s @SNAP'",
			    from, inst->name, inst->name);
	return code;
}

/*
 * What the command line means, which is there: a server is not stopped for
 * nothing.  The caller frees @source.
 */
static int restore_source(const struct invocation *inv,
			  const struct instance *inst, struct client *client,
			  char **source)
{
	*source = NULL;
	if (inv_has(inv, "undo"))
		return source_of_undo(inst, client, source);
	if (strchr(inv_operand(inv, 0), '@'))
		return source_by_name(client, inv_operand(inv, 0), source);
	if (inv_operand(inv, 1))
		return source_by_snapshot(inst, client, inv_operand(inv, 1),
					  source);
	return source_of_origin(inst, client, source);
}

/* ---- restore --------------------------------------------------------------------- */

static void print_times(json_t *json, const struct life_restore *restore,
			uint64_t begin)
{
	const struct life_times *t = &restore->times;

	json_object_set_new(json, "workers_ms", json_real(t->workers_ms));
	json_object_set_new(json, "stop_ms", json_real(t->stop_ms));
	json_object_set_new(json, "restore_ms", json_real(t->restore_ms));
	json_object_set_new(json, "start_ms", json_real(t->server.start_ms));
	json_object_set_new(json, "query_ms", json_real(t->server.query_ms));
	json_object_set_new(json, "duration_ms",
			    json_real((double)(now_ns() - begin) / 1e6));
	json_object_set_new(json, "restarted", json_boolean(restore->ran));
}

static void restore_print(const struct invocation *inv,
			  const struct life_restore *restore, uint64_t begin)
{
	const struct life_times *t = &restore->times;
	const char *kept = out_get_text(restore->result, "kept");

	if (inv->json) {
		json_t *json = json_deep_copy(restore->result);

		print_times(json, restore, begin);
		out_json(json);
		return;
	}
	if (*kept)
		out_line("kept what was replaced as '%s'", kept);
	if (restore->ran)
		printf("stopped in %.0f ms, restored in %.0f ms, started in "
		       "%.0f ms, first query in %.1f ms; %.0f ms in all\n",
		       t->stop_ms, t->restore_ms, t->server.start_ms,
		       t->server.query_ms, (double)(now_ns() - begin) / 1e6);
}

static int restore_confirm(const struct invocation *inv,
			   const struct instance *inst, const char *source)
{
	char what[DATASET_FULL_NAME_MAX + DATASET_NAME_MAX + 128];
	bool discard = inv_has(inv, "discard");

	snprintf(what, sizeof(what),
		 "puts instance '%s' into the state of '%s', and %s what it "
		 "has now",
		 inst->name, source,
		 discard ? "destroys" : "keeps as a snapshot");
	if (inv_has(inv, "dry-run")) {
		instance_dry_run(inv, inst, what);
		return CTL_OK;
	}
	return confirm(inv, what);
}

static int restore_run(const struct invocation *inv, struct instance *inst,
		       struct client *client, const char *source,
		       bool refreshes)
{
	struct life_restore restore = {
		.source = source,
		.becomes_origin = refreshes,
		.undoes = !refreshes && inv_has(inv, "undo"),
		.force = inv_has(inv, "force"),
		.discard = inv_has(inv, "discard"),
	};
	uint64_t begin;
	int code = instance_check_lease(inst);

	if (code == CTL_OK)
		code = restore_confirm(inv, inst, source);
	if (code != CTL_OK || inv_has(inv, "dry-run"))
		return code;
	begin = now_ns();
	code = life_restore(inst, client, &restore);
	if (code == CTL_OK)
		restore_print(inv, &restore, begin);
	json_decref(restore.result);
	return code;
}

int instance_run_restore(struct invocation *inv, const char *name)
{
	struct client *client;
	struct instance inst;
	char *source = NULL;
	int code = instance_open(name, INSTANCE_LOCK, &inst);

	if (code == CTL_OK)
		code = life_client(inv, &inst, &client);
	if (code == CTL_OK) {
		code = restore_source(inv, &inst, client, &source);
		if (code == CTL_OK)
			code = restore_run(inv, &inst, client, source, false);
		code = client_close(client, code);
	}
	free(source);
	instance_close(&inst);
	return code;
}

/* ---- refresh --------------------------------------------------------------------- */

static int refresh_source(const struct instance *inst, struct client *client,
			  char **source)
{
	const char *from = out_get_text(inst->record, "dataset_from");
	char *ds = strndup(from, strcspn(from, "@"));
	int code;

	*source = NULL;
	if (!ds || !*ds)
		code = fail(CTL_NOT_FOUND,
			    "instance '%s' was not made from a snapshot",
			    inst->name);
	else
		code = life_newest(client, ds, source);
	free(ds);
	return code;
}

int run_refresh(struct invocation *inv)
{
	struct client *client;
	struct instance inst;
	char *source = NULL;
	int code = instance_open(inv_operand(inv, 0), INSTANCE_LOCK, &inst);

	if (code == CTL_OK)
		code = life_client(inv, &inst, &client);
	if (code == CTL_OK) {
		code = refresh_source(&inst, client, &source);
		if (code == CTL_OK)
			code = restore_run(inv, &inst, client, source, true);
		code = client_close(client, code);
	}
	free(source);
	instance_close(&inst);
	return code;
}
