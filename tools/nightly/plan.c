/* SPDX-License-Identifier: Apache-2.0 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "tools/nightly/nightly_internal.h"
#include "tools/out.h"
#include "tools/retain.h"

static json_t *step_new(const char *kind, const char *of, const char *dataset)
{
	return json_pack("{s:o, s:s, s:s?, s:n, s:s, s:n, s:n, s:n, s:n, s:n, "
			 "s:n, s:n, s:n}",
			 "name", json_sprintf("%s %s", kind, of), "kind", kind,
			 "dataset", dataset, "command", "result", "pending",
			 "code", "pid", "begin", "end", "duration_ms", "error",
			 "snapshot", "answer");
}

static void add(json_t *argv, const char *arg)
{
	json_array_append_new(argv, out_text(arg));
}

static void add_option(json_t *argv, const char *option, const json_t *value)
{
	if (!value)
		return;
	add(argv, option);
	if (json_is_integer(value))
		json_array_append_new(argv,
				      json_sprintf("%" JSON_INTEGER_FORMAT,
						   json_integer_value(value)));
	else
		json_array_append(argv, (json_t *)(uintptr_t)value);
}

/* May the argument be a key? */
static bool is_key(const char *text)
{
	return strstr(text, "://") && strchr(text, '?');
}

/* What follows a URL's '?' may be a key to it. */
static json_t *shown(const json_t *argv)
{
	json_t *command = json_array(), *arg;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)argv, i, arg)
	{
		const char *text = json_string_value(arg);
		size_t len = strcspn(text, "?");

		json_array_append_new(
			command,
			is_key(text) ? json_sprintf("%.*s?...", (int)len, text)
				     : json_incref(arg));
	}
	return command;
}

/* A source that may be a key is not in the arguments, which all can see. */
static void hide_from(json_t *step, json_t *argv)
{
	const char *text;

	for (size_t i = 0; i < json_array_size(argv); i++) {
		text = json_string_value(json_array_get(argv, i));
		if (!is_key(text))
			continue;
		json_object_set(step, STEP_FROM, json_array_get(argv, i));
		json_array_set_new(argv, i, json_string("env:" FROM_ENV));
	}
}

/* Takes @argv, and adds what every command gets. */
static void finish(json_t *steps, json_t *step, json_t *argv,
		   const struct nightly_options *options)
{
	if (options->pool) {
		add(argv, "--pool");
		add(argv, options->pool);
	}
	if (options->socket) {
		add(argv, "--socket");
		add(argv, options->socket);
	}
	add(argv, "--json");
	json_object_set_new(step, "command", shown(argv));
	hide_from(step, argv);
	json_object_set_new(step, STEP_ARGV, argv);
	json_array_append_new(steps, step);
}

static void plan_import(json_t *steps, const char *dataset,
			const json_t *import,
			const struct nightly_options *options)
{
	/* key of the configuration, option of 'dbs import' */
	static const char *const known[][2] = {
		{"from", "--from"},
		{"rules", "--rules"},
		{"database", "--database"},
		{"server", "--server"},
		{"ca", "--ca"},
		{"password_file", "--password-file"},
		{"publish", "--publish"},
	};
	json_t *argv = json_pack("[s, s, s]", "dbs", "import", dataset);

	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		add_option(argv, known[i][1],
			   json_object_get(import, known[i][0]));
	finish(steps, step_new("import", dataset, dataset), argv, options);
}

/* What has an entry of its own is not the pattern's: NI4 */
static void add_exceptions(json_t *argv, const char *pattern,
			   const json_t *datasets)
{
	const json_t *other;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)datasets, i, other)
	{
		const json_t *name = json_object_get(other, "name");
		const char *text = json_string_value(name);

		if (strcmp(text, pattern) && !strpbrk(text, "*?[") &&
		    !fnmatch(pattern, text, 0))
			add_option(argv, "--except", name);
	}
}

static void plan_prune(json_t *steps, const char *dataset, const json_t *prune,
		       const json_t *datasets,
		       const struct nightly_options *options)
{
	json_t *argv = json_pack("[s, s, s]", "dbs", "prune", dataset);
	char option[32];

	for (int r = 0; r < RETAIN_RULES; r++) {
		const char *rule = retain_name((enum retain_rule)r);

		snprintf(option, sizeof(option), "--keep-%s", rule);
		add_option(argv, option, json_object_get(prune, rule));
	}
	add_exceptions(argv, dataset, datasets);
	add(argv, "--yes");
	finish(steps, step_new("prune", dataset, dataset), argv, options);
}

static void plan_publish(json_t *steps, const char *dataset,
			 const json_t *import)
{
	json_t *dir = json_object_get(import, "publish");
	json_t *keep = json_object_get(import, "keep_published");
	json_t *step = step_new("publish", dataset, dataset);

	json_object_set(step, "dir", dir);
	json_object_set_new(step, "keep",
			    json_integer(json_integer_value(keep)));
	json_array_append_new(steps, step);
}

static void plan_dataset(json_t *steps, const json_t *dataset,
			 const json_t *datasets,
			 const struct nightly_options *options)
{
	const char *name = out_get_text(dataset, "name");
	const json_t *import = json_object_get(dataset, "import");
	const json_t *prune = json_object_get(dataset, "prune");
	json_t *instance, *step;
	size_t i;

	if (import)
		plan_import(steps, name, import, options);
	if (prune)
		plan_prune(steps, name, prune, datasets, options);
	if (json_object_get(import, "publish"))
		plan_publish(steps, name, import);
	json_array_foreach(json_object_get(dataset, "refresh"), i, instance)
	{
		const char *of = json_string_value(instance);

		step = step_new("refresh", of, name);
		json_object_set(step, "instance", instance);
		finish(steps, step,
		       json_pack("[s, s, s, s]", "dbs", "refresh", of, "--yes"),
		       options);
	}
}

json_t *nightly_plan(const struct config *config,
		     const struct nightly_options *options)
{
	json_t *datasets = json_object_get(config->nightly, "datasets");
	json_t *steps = json_array(), *dataset;
	size_t i;

	json_array_foreach(datasets, i, dataset)
	{
		plan_dataset(steps, dataset, datasets, options);
	}
	if (out_get_bool(config->nightly, "expired"))
		finish(steps, step_new("prune", "expired", NULL),
		       json_pack("[s, s, s, s]", "dbs", "prune", "--expired",
				 "--yes"),
		       options);
	return steps;
}
