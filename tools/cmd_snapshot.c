/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_snapshot.c - dbs snapshot, clone, restore, diff
 */
#include "tools/cmd.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/cmd_instance.h"
#include "tools/instance/quiesce.h"
#include "tools/out.h"

/* ---- snapshot ---------------------------------------------------------------- */

/* "DS@NAME" as it is, "DS" with the time: DS@2026-11-22T12:00:00Z. */
static json_t *snapshot_name(const char *operand, const char *now)
{
	json_t *name = out_text(operand), *full;

	if (strchr(operand, '@'))
		return name;
	full = json_sprintf("%s@%s", json_string_value(name), now);
	json_decref(name);
	return full;
}

/* Where in @names the dataset of the name at @i is first: one is held once. */
static size_t first_of(const json_t *names, size_t i)
{
	const char *name = json_string_value(json_array_get(names, i));
	size_t len = strcspn(name, "@"), k;

	for (k = 0; k < i; k++) {
		const char *other = json_string_value(json_array_get(names, k));

		if (strcspn(other, "@") == len && !strncmp(other, name, len))
			break;
	}
	return k;
}

/* All servers of @names held still, in the order given. */
static int snapshot_quiesce(const json_t *names, struct quiesce **held)
{
	int code = CTL_OK;
	json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		const char *full = json_string_value(name);
		char *ds = strndup(full, strcspn(full, "@"));

		if (code == CTL_OK && ds && first_of(names, i) == i)
			code = quiesce_begin(ds, &held[i]);
		free(ds);
	}
	return code;
}

/* Write about each snapshot what is known of its moment. */
static int snapshot_describe(struct client *client, const json_t *names,
			     const json_t *items, struct quiesce *const *held)
{
	int code = CTL_OK;
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		json_t *properties =
			       quiesce_properties(held[first_of(names, i)]),
		       *value;
		const char *key;

		json_object_foreach(properties, key, value)
		{
			json_t *result;

			if (code != CTL_OK)
				break;
			code = client_call(
				client, "set",
				json_pack("{s:O, s:s, s:O}", "name",
					  json_object_get(item, "name"), "key",
					  key, "value", value),
				&result);
			if (code == CTL_OK)
				json_decref(result);
		}
		json_decref(properties);
	}
	return code;
}

/* @names: the reference is taken */
static int snapshot_run(const struct invocation *inv, struct client *client,
			json_t *names, json_t **result)
{
	bool quiesces = inv_has(inv, "quiesce");
	size_t nr = json_array_size(names);
	struct quiesce **held = calloc(nr, sizeof(*held));
	int code = held ? CTL_OK : fail(CTL_FAILED, "out of memory");

	*result = NULL;
	if (code == CTL_OK && quiesces)
		code = snapshot_quiesce(names, held);
	if (code == CTL_OK)
		code = client_call(client, "snapshot",
				   json_pack("{s:O}", "names", names), result);
	if (code == CTL_OK && quiesces)
		code = snapshot_describe(
			client, names, json_object_get(*result, "items"), held);
	for (size_t i = 0; held && i < nr; i++)
		quiesce_end(held[i]);
	free(held);
	json_decref(names);
	return code;
}

int run_snapshot(struct invocation *inv)
{
	json_t *names = json_array(), *result = NULL, *item;
	char now[OUT_TEXT_MAX];
	struct client *client;
	int code;
	size_t i;

	out_time(now, time(NULL));
	for (int k = 0; k < inv->nr_operands; k++)
		json_array_append_new(names,
				      snapshot_name(inv->operands[k], now));
	code = client_open(inv, NULL, &client);
	if (code != CTL_OK) {
		json_decref(names);
		return code;
	}
	code = client_close(client, snapshot_run(inv, client, names, &result));
	if (code != CTL_OK) {
		json_decref(result);
		return code;
	}
	if (inv->json) {
		out_json(result);
		return CTL_OK;
	}
	json_array_foreach(json_object_get(result, "items"), i, item)
		out_line("%s", out_get_text(item, "name"));
	json_decref(result);
	return CTL_OK;
}

/* ---- clone ------------------------------------------------------------------- */

int run_clone(struct invocation *inv)
{
	json_t *result;
	int code = client_call_once(
		inv, NULL, "clone",
		json_pack("{s:o, s:o}", "source", out_text(inv_operand(inv, 0)),
			  "name", out_text(inv_operand(inv, 1))),
		&result);

	if (code != CTL_OK)
		return code;
	if (inv->json)
		out_json(result);
	else
		json_decref(result);
	return CTL_OK;
}

/* ---- restore ----------------------------------------------------------------- */

/* The dataset that restore changes; the caller frees. */
static char *restore_target(const struct invocation *inv)
{
	const char *to = inv_value(inv, "to"), *source = inv_operand(inv, 0);

	return to ? strdup(to) : strndup(source, strcspn(source, "@"));
}

/* What has changed since the snapshot; @result: out, the answer of diff. */
static int restore_ask_diff(const struct invocation *inv, struct client *client,
			    const char *target, char *what, size_t cap,
			    json_t **result)
{
	bool discard = inv_has(inv, "discard");
	char size[OUT_TEXT_MAX];
	int code = client_call(client, "diff",
			       json_pack("{s:o, s:o, s:i}", "a",
					 out_text(inv_operand(inv, 0)), "b",
					 out_text(target), "limit", 1),
			       result);

	if (code != CTL_OK)
		return code;
	snprintf(what, cap,
		 "%s what '%s' has changed since '%s': %" PRIu64
		 " files, %s of data",
		 discard ? "destroys" : "replaces, and keeps as a snapshot,",
		 target, inv_operand(inv, 0),
		 out_get_int(*result, "nr_entries"),
		 out_size(size, out_get_int(*result, "bytes")));
	return CTL_OK;
}

static int restore_dry_run(struct invocation *inv, struct client *client,
			   const char *target)
{
	json_t *diff;
	char what[1024];
	int code = restore_ask_diff(inv, client, target, what, sizeof(what),
				    &diff);

	if (code != CTL_OK)
		return code;
	if (inv->json)
		out_json(json_pack("{s:o, s:o, s:b, s:O, s:O}", "dataset",
				   out_text(target), "source",
				   out_text(inv_operand(inv, 0)), "dry_run", 1,
				   "nr_entries",
				   json_object_get(diff, "nr_entries"), "bytes",
				   json_object_get(diff, "bytes")));
	else
		out_line("%s", what);
	json_decref(diff);
	return CTL_OK;
}

static int restore_run(struct invocation *inv, struct client *client,
		       const char *target)
{
	bool discard = inv_has(inv, "discard");
	json_t *result;
	char what[1024];
	int code;

	if (inv_has(inv, "dry-run"))
		return restore_dry_run(inv, client, target);
	if (discard && !inv_has(inv, "yes")) {
		code = restore_ask_diff(inv, client, target, what, sizeof(what),
					&result);
		if (code != CTL_OK)
			return code;
		json_decref(result);
		code = confirm(inv, what);
		if (code != CTL_OK)
			return code;
	}
	code = client_call(client, "restore",
			   json_pack("{s:o, s:o, s:b, s:b}", "source",
				     out_text(inv_operand(inv, 0)), "dataset",
				     out_text(target), "force",
				     inv_has(inv, "force"), "discard", discard),
			   &result);
	if (code != CTL_OK)
		return code;
	if (inv->json) {
		out_json(result);
		return CTL_OK;
	}
	if (*out_get_text(result, "kept"))
		printf("kept what was replaced as '%s'\n",
		       out_get_text(result, "kept"));
	json_decref(result);
	return CTL_OK;
}

int run_restore(struct invocation *inv)
{
	char *target = restore_target(inv);
	struct client *client;
	int code;

	if (!target)
		return fail(CTL_FAILED, "out of memory");
	if (instance_exists(target)) {
		code = instance_run_restore(inv, target);
		free(target);
		return code;
	}
	if (inv_operand(inv, 1) || inv_has(inv, "undo")) {
		code = fail(CTL_NOT_FOUND,
			    "there is no instance '%s'; a dataset is restored "
			    "by 'dbs restore DS@SNAP'",
			    target);
		free(target);
		return code;
	}
	code = client_open(inv, NULL, &client);
	if (code == CTL_OK)
		code = client_close(client, restore_run(inv, client, target));
	free(target);
	return code;
}

/* ---- diff -------------------------------------------------------------------- */

static void diff_row(struct out_table *table, const json_t *entry)
{
	const char *kind = out_get_text(entry, "kind");
	const char *old_path = out_get_text(entry, "old_path");
	const char *sign = !strcmp(kind, "added")     ? "+"
			   : !strcmp(kind, "removed") ? "-"
			   : !strcmp(kind, "renamed") ? "R"
						      : "M";
	char size[OUT_TEXT_MAX], bytes[OUT_TEXT_MAX];
	json_t *path;
	const char *cells[] = {sign, out_get_text(entry, "type"), size, bytes,
			       NULL};

	out_size(size, out_get_int(entry, "size"));
	out_size(bytes, out_get_int(entry, "bytes"));
	if (*old_path)
		path = json_sprintf("%s -> %s", old_path,
				    out_get_text(entry, "path"));
	else
		path = json_sprintf("%s", out_get_text(entry, "path"));
	cells[4] = json_string_value(path);
	out_table_row(table, cells);
	json_decref(path);
}

static void diff_print(const json_t *result)
{
	static const struct out_column columns[] = {
		{"", 0},
		{"TYPE", 0},
		{"SIZE", OUT_RIGHT},
		{"CHANGED", OUT_RIGHT},
		{"PATH", 0},
	};
	struct out_table *table = out_table_new(columns, ARRAY_SIZE(columns));
	uint64_t nr = out_get_int(result, "nr_entries");
	char bytes[OUT_TEXT_MAX];
	json_t *entry;
	size_t i;

	json_array_foreach(json_object_get(result, "entries"), i, entry)
		diff_row(table, entry);
	out_table_print(table);
	printf("%" PRIu64 " %s, %s changed\n", nr,
	       nr == 1 ? "difference" : "differences",
	       out_size(bytes, out_get_int(result, "bytes")));
	if (out_get_bool(result, "truncated"))
		note("not all are shown; --limit shows more");
}

int run_diff(struct invocation *inv)
{
	const char *b = inv_operand(inv, 1), *limit = inv_value(inv, "limit");
	json_t *arguments, *result;
	unsigned long n = 0;
	char *end;
	int code;

	if (limit) {
		errno = 0;
		n = strtoul(limit, &end, 10);
		if (errno || *end || limit[0] < '0' || limit[0] > '9' ||
		    n > INT32_MAX)
			return fail_usage(inv->cmd, "'%s' is not a number",
					  limit);
	}
	arguments = json_pack("{s:o}", "a", out_text(inv_operand(inv, 0)));
	if (b)
		json_object_set_new(arguments, "b", out_text(b));
	if (limit)
		json_object_set_new(arguments, "limit",
				    json_integer((json_int_t)n));
	code = client_call_once(inv, NULL, "diff", arguments, &result);
	if (code != CTL_OK)
		return code;
	if (inv->json) {
		out_json(result);
		return CTL_OK;
	}
	diff_print(result);
	json_decref(result);
	return CTL_OK;
}
