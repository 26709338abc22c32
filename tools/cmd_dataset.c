/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_dataset.c - dbs create, list, rm, mv, df
 */
#include "tools/cmd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/cmd_instance.h"
#include "tools/out.h"

/* ---- create ------------------------------------------------------------------ */

/* Add the "key=value" at @text, up to its comma, to @properties. */
static int create_option(const struct invocation *inv, const char *text,
			 size_t len, json_t *arguments)
{
	const char *equals = memchr(text, '=', len);
	char *key;

	if (!equals || equals == text)
		return fail_usage(inv->cmd, "'%.*s' is not PROPERTY=VALUE",
				  (int)len, text);
	key = strndup(text, (size_t)(equals - text));
	if (key && (!strcmp(key, "name") || json_object_get(arguments, key))) {
		fail(CTL_USAGE, "property '%s' is unknown or given twice", key);
		free(key);
		return CTL_USAGE;
	}
	equals++;
	json_object_set_new(
		arguments, key,
		json_stringn(equals, len - (size_t)(equals - text)));
	free(key);
	return CTL_OK;
}

static int create_options(const struct invocation *inv, json_t *arguments)
{
	const char *text;

	for (size_t i = 0; (text = inv_value_nth(inv, "options", i)); i++) {
		while (*text) {
			size_t len = strcspn(text, ",");
			int code = create_option(inv, text, len, arguments);

			if (code != CTL_OK)
				return code;
			text += len + (text[len] == ',');
		}
	}
	return CTL_OK;
}

int run_create(struct invocation *inv)
{
	json_t *arguments = json_object(), *result;
	int code;

	code = create_options(inv, arguments);
	if (code != CTL_OK) {
		json_decref(arguments);
		return code;
	}
	json_object_set_new(arguments, "name", out_text(inv_operand(inv, 0)));
	code = client_call_once(inv, NULL, "create", arguments, &result);
	if (code != CTL_OK)
		return code;
	if (inv->json)
		out_json(result);
	else
		json_decref(result);
	return CTL_OK;
}

/* ---- list ---------------------------------------------------------------------- */

static int list_types(const struct invocation *inv, json_t *arguments)
{
	const char *text = inv_value(inv, "type");
	json_t *types;

	if (!text)
		return CTL_OK;
	types = json_array();
	json_object_set_new(arguments, "types", types);
	while (*text) {
		size_t len = strcspn(text, ",");
		bool all = len == 3 && !strncmp(text, "all", 3);
		bool ds = len == 7 && !strncmp(text, "dataset", 7);
		bool snap = len == 8 && !strncmp(text, "snapshot", 8);

		if (!all && !ds && !snap)
			return fail_usage(inv->cmd, "unknown type '%.*s'",
					  (int)len, text);
		if (all || ds)
			json_array_append_new(types, json_string("dataset"));
		if (all || snap)
			json_array_append_new(types, json_string("snapshot"));
		text += len + (text[len] == ',');
	}
	return CTL_OK;
}

static void list_row(struct out_table *table, const json_t *item, bool unique)
{
	char refer[OUT_TEXT_MAX], logical[OUT_TEXT_MAX], charged[OUT_TEXT_MAX];
	char uniq[OUT_TEXT_MAX], ratio[OUT_TEXT_MAX], snaps[OUT_TEXT_MAX];
	char created[OUT_TEXT_MAX];
	bool snapshot = !strcmp(out_get_text(item, "type"), "snapshot");
	const char *origin = out_get_text(item, "origin");
	const char *cells[] = {out_get_text(item, "name"),
			       refer,
			       logical,
			       ratio,
			       charged,
			       snapshot ? NULL : snaps,
			       created,
			       *origin ? origin : NULL,
			       uniq};

	out_size(refer, out_get_int(item, "referenced"));
	out_size(logical, out_get_int(item, "logical"));
	out_size(charged, out_get_int(item, "charged"));
	out_ratio(ratio, out_get_real(item, "ratio"));
	snprintf(snaps, sizeof(snaps), "%" PRIu64,
		 out_get_int(item, "nr_snapshots"));
	/* the fraction of the second is for --json */
	snprintf(created, sizeof(created), "%.19sZ",
		 out_get_text(item, "created"));
	if (unique)
		out_size(uniq, out_get_int(item, "unique"));
	out_table_row(table, cells);
}

static void list_print(const json_t *items, bool unique)
{
	static const struct out_column columns[] = {
		{"NAME", 0},
		{"REFER", OUT_RIGHT},
		{"LOGICAL", OUT_RIGHT},
		{"RATIO", OUT_RIGHT},
		{"CHARGED", OUT_RIGHT},
		{"SNAPSHOTS", OUT_RIGHT},
		{"CREATED", 0},
		{"ORIGIN", 0},
		{"UNIQUE", OUT_RIGHT},
	};
	struct out_table *table =
		out_table_new(columns, ARRAY_SIZE(columns) - !unique);
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item) list_row(table, item, unique);
	out_table_print(table);
}

int run_list(struct invocation *inv)
{
	const char *pattern = inv_operand(inv, 0);
	bool unique = inv_has(inv, "unique");
	json_t *arguments = json_object(), *result, *items, *item;
	int code = list_types(inv, arguments);
	size_t i;

	if (code != CTL_OK) {
		json_decref(arguments);
		return code;
	}
	if (pattern)
		json_object_set_new(arguments, "pattern", out_text(pattern));
	if (unique)
		json_object_set_new(arguments, "unique", json_true());
	code = client_call_once(inv, NULL, "list", arguments, &result);
	if (code != CTL_OK)
		return code;
	if (inv->json) {
		out_json(result);
		return CTL_OK;
	}
	items = json_object_get(result, "items");
	if (inv_has(inv, "quiet")) {
		json_array_foreach(items, i, item)
			out_line("%s", out_get_text(item, "name"));
	} else {
		list_print(items, unique);
	}
	json_decref(result);
	return CTL_OK;
}

/* ---- rm ------------------------------------------------------------------------- */

static json_t *rm_arguments(const struct invocation *inv, json_t *names,
			    bool dry_run)
{
	return json_pack("{s:o, s:b, s:b, s:b}", "names", names, "recursive",
			 inv_has(inv, "recursive"), "force",
			 inv_has(inv, "force"), "dry_run", dry_run);
}

static void rm_print(const json_t *items)
{
	static const struct out_column columns[] = {
		{"NAME", 0}, {"TYPE", 0}, {"UNIQUE", OUT_RIGHT}};
	struct out_table *table = out_table_new(columns, ARRAY_SIZE(columns));
	char size[OUT_TEXT_MAX];
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item)
	{
		const char *cells[] = {out_get_text(item, "name"),
				       out_get_text(item, "type"), size};

		out_size(size, out_get_int(item, "unique"));
		out_table_row(table, cells);
	}
	out_table_print(table);
}

/* "destroys a, b@c and 3 more, and frees 12M" */
static void rm_describe(const json_t *result, char *text, size_t cap)
{
	json_t *items = json_object_get(result, "items"), *item;
	size_t nr = json_array_size(items), shown = MIN_OF(nr, (size_t)5), i;
	char size[OUT_TEXT_MAX];
	FILE *f = fmemopen(text, cap, "w");

	if (!f)
		return;
	fputs("destroys ", f);
	json_array_foreach(items, i, item)
	{
		if (i < shown)
			fprintf(f, "%s'%s'", i ? ", " : "",
				out_get_text(item, "name"));
	}
	if (nr > shown)
		fprintf(f, " and %zu more", nr - shown);
	fprintf(f, ", and frees %s",
		out_size(size, out_get_int(result, "total_unique")));
	fclose(f);
}

/*
 * The names to destroy, from the @items that were shown: patterns are not
 * matched a second time.  A snapshot goes with its dataset, by --recursive.
 */
static json_t *rm_names(const json_t *items)
{
	json_t *names = json_array(), *datasets = json_object(), *item;
	size_t i;

	json_array_foreach(items, i, item) json_object_set_new(
		datasets, out_get_text(item, "name"), json_true());
	json_array_foreach(items, i, item)
	{
		const char *name = out_get_text(item, "name");
		char *ds = strndup(name, strcspn(name, "@"));

		if (ds && (!strcmp(ds, name) || !json_object_get(datasets, ds)))
			json_array_append(names, json_object_get(item, "name"));
		free(ds);
	}
	json_decref(datasets);
	return names;
}

/* Take names off the end of @names, as many as one request holds. */
static json_t *rm_take_batch(json_t *names)
{
	json_t *batch = json_array();
	size_t room = CTL_REQUEST_MAX / 2;

	while (json_array_size(names)) {
		size_t last = json_array_size(names) - 1;
		json_t *name = json_array_get(names, last);
		size_t len = json_string_length(name) + 8;

		if (json_array_size(batch) && len > room)
			break;
		room -= MIN_OF(len, room);
		json_array_append(batch, name);
		json_array_remove(names, last);
	}
	return batch;
}

/* Destroy @names (the reference is taken); @result: what went, in all. */
static int rm_destroy(const struct invocation *inv, struct client *client,
		      json_t *names, json_t **result)
{
	json_t *items = json_array(), *one;
	uint64_t unique = 0, start = now_ns();
	int code = CTL_OK;

	while (code == CTL_OK && json_array_size(names)) {
		code = client_call(
			client, "rm",
			rm_arguments(inv, rm_take_batch(names), false), &one);
		if (code != CTL_OK)
			break;
		json_array_extend(items, json_object_get(one, "items"));
		unique += out_get_int(one, "total_unique");
		json_decref(one);
	}
	json_decref(names);
	*result = json_pack("{s:o, s:I, s:b, s:f}", "items", items,
			    "total_unique", (json_int_t)unique, "dry_run", 0,
			    "duration_ms", (double)(now_ns() - start) / 1e6);
	return code;
}

/* --dry-run, or ask: shows what would go.  @names: out, what that was. */
static int rm_show(const struct invocation *inv, struct client *client,
		   json_t *operands, json_t **names)
{
	bool dry_run = inv_has(inv, "dry-run");
	char what[2048] = "destroys";
	json_t *result, *items;
	int code = client_call(client, "rm", rm_arguments(inv, operands, true),
			       &result);

	*names = NULL;
	if (code != CTL_OK)
		return code;
	items = json_object_get(result, "items");
	rm_describe(result, what, sizeof(what));
	if (dry_run && inv->json) {
		out_json(result);
		return CTL_OK;
	}
	if (dry_run) {
		rm_print(items);
		out_line("%s", what);
	} else {
		code = confirm(inv, what);
		if (code == CTL_OK)
			*names = rm_names(items);
	}
	json_decref(result);
	return code;
}

static int rm_run(const struct invocation *inv, struct client *client)
{
	json_t *names, *result;
	int code = CTL_OK;

	for (int i = 0; i < inv->nr_operands && code == CTL_OK; i++)
		code = instance_guard(inv->operands[i]);
	if (code != CTL_OK)
		return code;
	names = json_array();
	for (int i = 0; i < inv->nr_operands; i++)
		json_array_append_new(names, out_text(inv->operands[i]));
	if (inv_has(inv, "dry-run") || !inv_has(inv, "yes")) {
		code = rm_show(inv, client, names, &names);
		if (code != CTL_OK || !names)
			return code;
	}
	code = rm_destroy(inv, client, names, &result);
	if (code == CTL_OK && inv->json)
		out_json(result);
	else
		json_decref(result);
	return code;
}

int run_rm(struct invocation *inv)
{
	struct client *client;
	int code = client_open(inv, NULL, &client);

	if (code == CTL_OK)
		code = client_close(client, rm_run(inv, client));
	return code;
}

/* ---- mv ------------------------------------------------------------------------- */

/*
 * An instance knows by name what it goes back to.  DS@latest may be any of the
 * dataset's snapshots.
 */
static int mv_check(const char *name)
{
	const char *latest = strstr(name, "@latest"), *origin;
	size_t len = latest && !strcmp(latest, "@latest")
			     ? (size_t)(latest - name)
			     : strlen(name);
	json_t *origins = instance_origins(), *instance;
	int code = CTL_OK;

	if (!origins)
		return fail(CTL_CONFIG,
			    "'%s' keeps its name while it is unknown what an "
			    "instance needs",
			    name);
	json_object_foreach(origins, origin, instance)
	{
		if (code == CTL_OK && !strncmp(origin, name, len) &&
		    (!origin[len] || origin[len] == '@'))
			code = fail(CTL_CONFLICT,
				    "instance '%s' goes back to '%s', so '%s' "
				    "keeps its name",
				    json_string_value(instance), origin, name);
	}
	json_decref(origins);
	return code;
}

int run_mv(struct invocation *inv)
{
	json_t *result;
	int code;

	if (instance_exists(inv_operand(inv, 0)))
		return fail(CTL_CONFLICT,
			    "dataset '%s' has an instance, which has its name",
			    inv_operand(inv, 0));
	code = mv_check(inv_operand(inv, 0));
	if (code != CTL_OK)
		return code;
	code = client_call_once(inv, NULL, "mv",
				json_pack("{s:o, s:o}", "from",
					  out_text(inv_operand(inv, 0)), "to",
					  out_text(inv_operand(inv, 1))),
				&result);

	if (code != CTL_OK)
		return code;
	if (inv->json)
		out_json(result);
	else
		json_decref(result);
	return CTL_OK;
}

/* ---- df ------------------------------------------------------------------------- */

static void df_print_pool(const json_t *pool)
{
	char size[OUT_TEXT_MAX], used[OUT_TEXT_MAX], avail[OUT_TEXT_MAX];
	char held[OUT_TEXT_MAX];
	uint64_t total = out_get_int(pool, "size");

	printf("pool: %s, %s allocated (%.0f %%), %s free, %s held back\n",
	       out_size(size, total),
	       out_size(used, out_get_int(pool, "allocated")),
	       total ? 100.0 * (double)out_get_int(pool, "allocated") /
			       (double)total
		     : 0,
	       out_size(avail, out_get_int(pool, "free")),
	       out_size(held, out_get_int(pool, "reserved") +
				      out_get_int(pool, "deferred") +
				      out_get_int(pool, "dead")));
}

static void df_row(struct out_table *table, const json_t *item, bool unique)
{
	char refer[OUT_TEXT_MAX], logical[OUT_TEXT_MAX], charged[OUT_TEXT_MAX];
	char quota[OUT_TEXT_MAX], avail[OUT_TEXT_MAX], ratio[OUT_TEXT_MAX];
	char uniq[OUT_TEXT_MAX];
	const char *cells[] = {out_get_text(item, "name"),
			       refer,
			       logical,
			       ratio,
			       charged,
			       out_get_int(item, "quota") ? quota : NULL,
			       avail,
			       uniq};

	out_size(refer, out_get_int(item, "referenced"));
	out_size(logical, out_get_int(item, "logical"));
	out_size(charged, out_get_int(item, "charged"));
	out_size(quota, out_get_int(item, "quota"));
	out_size(avail, out_get_int(item, "free"));
	out_ratio(ratio, out_get_real(item, "ratio"));
	if (unique)
		out_size(uniq, out_get_int(item, "unique"));
	out_table_row(table, cells);
}

static void df_print(const json_t *result, bool unique)
{
	static const struct out_column columns[] = {
		{"NAME", 0},
		{"REFER", OUT_RIGHT},
		{"LOGICAL", OUT_RIGHT},
		{"RATIO", OUT_RIGHT},
		{"CHARGED", OUT_RIGHT},
		{"QUOTA", OUT_RIGHT},
		{"FREE", OUT_RIGHT},
		{"UNIQUE", OUT_RIGHT},
	};
	struct out_table *table =
		out_table_new(columns, ARRAY_SIZE(columns) - !unique);
	json_t *items = json_object_get(result, "items"), *item;
	size_t i;

	df_print_pool(json_object_get(result, "pool"));
	json_array_foreach(items, i, item) df_row(table, item, unique);
	out_table_print(table);
}

int run_df(struct invocation *inv)
{
	const char *pattern = inv_operand(inv, 0);
	json_t *arguments = json_object(), *result;
	bool unique = inv_has(inv, "unique");
	int code;

	if (pattern)
		json_object_set_new(arguments, "pattern", out_text(pattern));
	if (unique)
		json_object_set_new(arguments, "unique", json_true());
	code = client_call_once(inv, NULL, "df", arguments, &result);
	if (code != CTL_OK)
		return code;
	if (inv->json) {
		out_json(result);
		return CTL_OK;
	}
	df_print(result, unique);
	json_decref(result);
	return CTL_OK;
}
