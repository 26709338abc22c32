/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_prune.c - dbs prune
 *
 * First everything is looked at and judged, then shown, confirmed, and
 * destroyed by name and id: what comes into being meanwhile is not touched,
 * even under a name that was judged.  Right before it is destroyed it is asked
 * once more whether an instance needs it by now.
 */
#include "tools/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/cmd_instance.h"
#include "tools/instance/life.h"
#include "tools/out.h"
#include "tools/retain.h"

/* A state that a restore replaced stays so long, whatever the rules. */
#define REPLACED_S 86400

/* What is decided: {name, id?, created|null, keep, reasons: [...]}. */
static json_t *verdict(const char *name, const json_t *snapshot)
{
	json_t *item = json_pack(
		"{s:s, s:O?, s:b, s:[]}", "name", name, "created",
		json_object_get(snapshot, "created"), "keep", 0, "reasons");

	if (snapshot)
		json_object_set(item, "id", json_object_get(snapshot, "id"));
	return item;
}

static void because(json_t *item, bool keeps, json_t *reason)
{
	if (keeps)
		json_object_set_new(item, "keep", json_true());
	json_array_append_new(json_object_get(item, "reasons"), reason);
}

/* ---- rules --------------------------------------------------------------------- */

static int prune_rules(const struct invocation *inv, unsigned keep[], bool *any)
{
	char option[32], *end;

	*any = false;
	for (int r = 0; r < RETAIN_RULES; r++) {
		const char *text;
		unsigned long n;

		snprintf(option, sizeof(option), "keep-%s",
			 retain_name((enum retain_rule)r));
		text = inv_value(inv, option);
		keep[r] = 0;
		if (!text)
			continue;
		n = strtoul(text, &end, 10);
		if (*end || text[0] < '0' || text[0] > '9' || n > 100000)
			return fail_usage(inv->cmd,
					  "--%s: '%s' is not a number", option,
					  text);
		keep[r] = (unsigned)n;
		*any = *any || n;
	}
	return CTL_OK;
}

/* ---- snapshots ------------------------------------------------------------------- */

/* By id, which only grows: a clock may have been wrong. */
static int newest_first(const void *a, const void *b)
{
	const json_t *const *x = a, *const *y = b;
	const uint64_t left = out_get_int(*x, "id"),
		       right = out_get_int(*y, "id");

	return left < right ? 1 : left > right ? -1 : 0;
}

/* "2026-11-22T12:00:00.123456789Z" */
static time_t created_at(const json_t *item)
{
	char text[24];

	snprintf(text, sizeof(text), "%.19sZ", out_get_text(item, "created"));
	return (time_t)instance_parse_time(text);
}

static void judge_rules(json_t *item, const struct retain_item *retained)
{
	for (int r = 0; r < RETAIN_RULES; r++)
		if (retained->rules & 1u << r)
			because(item, true,
				json_string(retain_name((enum retain_rule)r)));
}

/* What to say of one that is somebody's origin; NULL: it is not. */
static json_t *goes_back(const json_t *used, const char *name)
{
	const char *instance = json_string_value(json_object_get(used, name));

	return instance
		       ? json_sprintf("instance '%s' goes back to it", instance)
		       : NULL;
}

static void judge_snapshot(json_t *item, const json_t *snapshot,
			   const json_t *used)
{
	const char *name = out_get_text(snapshot, "name");
	json_t *origin = goes_back(used, name);
	time_t age = time(NULL) - created_at(snapshot);

	if (origin)
		because(item, true, origin);
	if (!out_get_bool(snapshot, "automatic"))
		return;
	if (age < REPLACED_S)
		because(item, true,
			json_string("a restore replaced it within a day"));
	else
		because(item, false, json_string("a restore replaced it"));
}

static bool is_held(const char *ds)
{
	struct instance inst;
	bool held;

	if (!instance_exists(ds))
		return false;
	held = instance_open(ds, 0, &inst) == CTL_OK && instance_leased(&inst);
	instance_close(&inst);
	return held;
}

/* All snapshots of one dataset.  Automatic ones take no place of a rule. */
static int judge_dataset(struct client *client, const char *ds,
			 const unsigned keep[], const json_t *used,
			 json_t *items)
{
	json_t *result, *list, **sorted;
	json_t *pattern = json_sprintf("%s@*", ds);
	struct retain_item *retained;
	bool held = is_held(ds);
	size_t nr, nr_ruled = 0;
	int code = client_call(client, "list",
			       json_pack("{s:[s], s:o}", "types", "snapshot",
					 "pattern", pattern),
			       &result);

	if (code != CTL_OK)
		return code;
	list = json_object_get(result, "items");
	nr = json_array_size(list);
	sorted = calloc(nr + 1, sizeof(json_t *));
	retained = calloc(nr + 1, sizeof(*retained));
	for (size_t i = 0; sorted && i < nr; i++)
		sorted[i] = json_array_get(list, i);
	if (sorted && retained) {
		qsort(sorted, nr, sizeof(json_t *), newest_first);
		for (size_t i = 0; i < nr; i++)
			if (!out_get_bool(sorted[i], "automatic"))
				retained[nr_ruled++].created =
					created_at(sorted[i]);
		retain_apply(retained, nr_ruled, keep);
	}
	nr_ruled = 0;
	for (size_t i = 0; sorted && retained && i < nr; i++) {
		json_t *item =
			verdict(out_get_text(sorted[i], "name"), sorted[i]);

		if (!out_get_bool(sorted[i], "automatic"))
			judge_rules(item, &retained[nr_ruled++]);
		judge_snapshot(item, sorted[i], used);
		if (held)
			because(item, true, json_string("it is held"));
		if (!json_array_size(json_object_get(item, "reasons")))
			because(item, false, json_string("no rule keeps it"));
		json_array_append_new(items, item);
	}
	free(sorted);
	free(retained);
	json_decref(result);
	return CTL_OK;
}

static bool is_excepted(const struct invocation *inv, const char *ds)
{
	const char *name;

	for (size_t i = 0; (name = inv_value_nth(inv, "except", i)); i++)
		if (!strcmp(name, ds))
			return true;
	return false;
}

/* What is called by its name must be there. */
static int matches_none(const char *pattern)
{
	if (!strpbrk(pattern, "*?["))
		return fail(CTL_NOT_FOUND, "no dataset matches '%s'", pattern);
	note("no dataset matches '%s'", pattern);
	return CTL_OK;
}

static int judge_pattern(const struct invocation *inv, struct client *client,
			 const char *pattern, const unsigned keep[],
			 json_t *items)
{
	json_t *result, *used, *ds;
	size_t i;
	int code = client_call(client, "list",
			       json_pack("{s:[s], s:o}", "types", "dataset",
					 "pattern", out_text(pattern)),
			       &result);

	if (code != CTL_OK)
		return code;
	if (!json_array_size(json_object_get(result, "items")))
		code = matches_none(pattern);
	used = instance_origins();
	if (!used)
		code = fail(CTL_CONFIG, "nothing is destroyed while it is "
					"unknown what an instance needs");
	json_array_foreach(json_object_get(result, "items"), i, ds)
	{
		const char *name = out_get_text(ds, "name");

		if (code == CTL_OK && !is_excepted(inv, name))
			code = judge_dataset(client, name, keep, used, items);
	}
	json_decref(used);
	json_decref(result);
	return code;
}

/* ---- instances ------------------------------------------------------------------- */

static int judge_instance(const char *name, json_t *instances)
{
	char text[OUT_TEXT_MAX];
	struct instance inst;
	int64_t expires;
	json_t *item;
	int code = instance_open(name, 0, &inst);

	if (code != CTL_OK) {
		instance_close(&inst);
		/* one that was destroyed meanwhile needs no judging */
		return code == CTL_NOT_FOUND ? CTL_OK : code;
	}
	expires = (int64_t)out_get_int(inst.record, "expires");
	if (instance_is_over(&inst)) {
		item = verdict(name, NULL);
		because(item, instance_leased(&inst),
			instance_leased(&inst)
				? json_string("it is held")
				: json_sprintf(
					  "its time was over at %s",
					  out_time(text, (time_t)expires)));
		json_array_append_new(instances, item);
	}
	instance_close(&inst);
	return CTL_OK;
}

/* One that cannot be read does not keep the others. */
static int judge_instances(json_t *instances)
{
	json_t *names = instance_names(), *name;
	int worst = CTL_OK;
	size_t i;

	json_array_foreach(names, i, name)
	{
		int code = judge_instance(json_string_value(name), instances);

		worst = code == CTL_OK ? worst : code;
	}
	json_decref(names);
	return worst;
}

/* ---- show and destroy ------------------------------------------------------------ */

static char *joined(const json_t *reasons)
{
	char *text = NULL;
	json_t *reason;
	size_t len, i;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return NULL;
	json_array_foreach(reasons, i, reason)
		fprintf(f, "%s%s", i ? ", " : "", json_string_value(reason));
	fclose(f);
	return text;
}

static void prune_print(const json_t *items, const json_t *instances)
{
	static const struct out_column columns[] = {
		{"", 0}, {"NAME", 0}, {"CREATED", 0}, {"BECAUSE", 0}};
	struct out_table *table = out_table_new(columns, ARRAY_SIZE(columns));
	const json_t *lists[] = {items, instances};
	json_t *item;
	size_t i;

	for (size_t l = 0; l < ARRAY_SIZE(lists); l++)
		json_array_foreach(lists[l], i, item)
		{
			char *why = joined(json_object_get(item, "reasons"));
			char created[OUT_TEXT_MAX];
			const char *cells[] = {
				out_get_bool(item, "keep") ? "keep" : "remove",
				out_get_text(item, "name"), created, why};

			snprintf(created, sizeof(created), "%.19s",
				 out_get_text(item, "created"));
			out_table_row(table, cells);
			free(why);
		}
	out_table_print(table);
}

static json_t *to_remove(const json_t *items)
{
	json_t *some = json_array(), *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		if (!out_get_bool(item, "keep"))
			json_array_append(some, item);
	}
	return some;
}

/* While it was confirmed an instance may have come to need it. */
static int check_needed(json_t *item, bool *needed)
{
	const char *name = out_get_text(item, "name");
	char *ds = strndup(name, strcspn(name, "@"));
	json_t *used = instance_origins(), *why;

	*needed = false;
	if (!ds || !used) {
		free(ds);
		json_decref(used);
		return fail(CTL_CONFIG,
			    "'%s' stays: it is unknown what an instance needs",
			    name);
	}
	why = goes_back(used, name);
	if (!why && is_held(ds))
		why = json_string("it is held");
	*needed = why != NULL;
	if (why) {
		note("'%s' stays: %s", name, json_string_value(why));
		because(item, true, why);
	}
	free(ds);
	json_decref(used);
	return CTL_OK;
}

static int remove_snapshot(struct client *client, const json_t *item)
{
	json_t *result;
	int code = client_call(client, "rm",
			       json_pack("{s:[O], s:O}", "names",
					 json_object_get(item, "name"), "id",
					 json_object_get(item, "id")),
			       &result);

	if (code == CTL_OK)
		json_decref(result);
	return code;
}

/* One at a time: a failure names what it is about, and the rest goes on. */
static int remove_snapshots(struct client *client, const json_t *items)
{
	int worst = CTL_OK;
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		bool needed;
		int code = check_needed(item, &needed);

		if (code == CTL_OK && !needed)
			code = remove_snapshot(client, item);
		worst = code == CTL_OK ? worst : code;
	}
	return worst;
}

static int remove_instances(const struct invocation *inv, const json_t *items)
{
	int worst = CTL_OK;
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		int code = instance_destroy(inv, out_get_text(item, "name"));

		worst = code == CTL_OK ? worst : code;
	}
	return worst;
}

static int prune_apply(const struct invocation *inv, struct client *client,
		       const json_t *items, const json_t *instances)
{
	json_t *snapshots = to_remove(items), *ended = to_remove(instances);
	size_t nr = json_array_size(snapshots),
	       nr_ended = json_array_size(ended);
	char what[128];
	int code = CTL_OK, worst;

	snprintf(what, sizeof(what),
		 "destroys %zu snapshots and %zu instances whose time is over",
		 nr, nr_ended);
	if (nr + nr_ended && !inv_has(inv, "yes")) {
		prune_print(items, instances);
		code = confirm(inv, what);
	}
	if (code == CTL_OK) {
		code = remove_snapshots(client, snapshots);
		worst = remove_instances(inv, ended);
		code = code == CTL_OK ? worst : code;
	}
	json_decref(snapshots);
	json_decref(ended);
	return code;
}

static int prune_run(struct invocation *inv, struct client *client,
		     const unsigned keep[], json_t *items, json_t *instances)
{
	bool dry_run = inv_has(inv, "dry-run");
	int code = CTL_OK, unread = CTL_OK;

	for (int i = 0; i < inv->nr_operands && code == CTL_OK; i++)
		code = judge_pattern(inv, client, inv->operands[i], keep,
				     items);
	if (code == CTL_OK && inv_has(inv, "expired"))
		unread = judge_instances(instances);
	if (code != CTL_OK)
		return code;
	if (!dry_run)
		code = prune_apply(inv, client, items, instances);
	else if (!inv->json)
		prune_print(items, instances);
	code = code == CTL_OK ? unread : code;
	if (code == CTL_OK && inv->json)
		out_json(json_pack("{s:O, s:O, s:b}", "items", items,
				   "instances", instances, "dry_run", dry_run));
	return code;
}

int run_prune(struct invocation *inv)
{
	json_t *items, *instances;
	unsigned keep[RETAIN_RULES];
	struct client *client;
	bool any;
	int code = prune_rules(inv, keep, &any);

	if (code != CTL_OK)
		return code;
	/* no rule at all would mean: nothing stays */
	if (inv->nr_operands && !any)
		return fail_usage(inv->cmd,
				  "prune: say what to keep, as --keep-daily 7");
	if (!inv->nr_operands && !inv_has(inv, "expired"))
		return fail_usage(inv->cmd,
				  "prune: give DATASETS or --expired");
	code = client_open(inv, NULL, &client);
	if (code != CTL_OK)
		return code;
	items = json_array();
	instances = json_array();
	code = client_close(client,
			    prune_run(inv, client, keep, items, instances));
	json_decref(items);
	json_decref(instances);
	return code;
}
