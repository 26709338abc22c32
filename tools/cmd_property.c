/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_property.c - dbs set, get
 */
#include "tools/cmd.h"

#include <unistd.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/out.h"

/* One "key=value"; "user:key=" unsets.  @answers gets what was set. */
static int set_one(struct invocation *inv, struct client *client,
		   const char *assignment, json_t *answers)
{
	const char *equals = strchr(assignment, '=');
	char *key = strndup(assignment, (size_t)(equals - assignment));
	bool unset = key && !strncmp(key, "user:", 5) && !equals[1];
	json_t *result;
	int code;

	if (!key)
		return fail(CTL_FAILED, "out of memory");
	code = client_call(
		client, "set",
		json_pack("{s:o, s:o, s:o}", "name",
			  out_text(inv_operand(inv, 0)), "key", out_text(key),
			  "value", unset ? json_null() : out_text(equals + 1)),
		&result);
	if (code == CTL_OK) {
		json_object_set(answers, key, json_object_get(result, "value"));
		json_decref(result);
	}
	free(key);
	return code;
}

int run_set(struct invocation *inv)
{
	json_t *answers;
	struct client *client;
	int code;

	for (int i = 1; i < inv->nr_operands; i++) {
		const char *equals = strchr(inv->operands[i], '=');

		if (!equals || equals == inv->operands[i])
			return fail_usage(inv->cmd,
					  "'%s' is not PROPERTY=VALUE",
					  inv->operands[i]);
	}
	code = client_open(inv, NULL, &client);
	if (code != CTL_OK)
		return code;
	answers = json_object();
	for (int i = 1; i < inv->nr_operands && code == CTL_OK; i++)
		code = set_one(inv, client, inv->operands[i], answers);
	code = client_close(client, code);
	if (code == CTL_OK && inv->json)
		out_json(json_pack("{s:o, s:o}", "name",
				   out_text(inv_operand(inv, 0)), "properties",
				   answers));
	else
		json_decref(answers);
	return code;
}

/* ---- get --------------------------------------------------------------------- */

static bool is_size(const char *key)
{
	static const char *const sizes[] = {"recordsize", "quota",
					    "referenced", "logical",
					    "charged",	  "unique"};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		if (!strcmp(key, sizes[i]))
			return true;
	return false;
}

/* @value as people write it; the caller frees. */
static char *value_text(const char *key, const json_t *value)
{
	char number[OUT_TEXT_MAX];

	if (json_is_string(value))
		return strdup(json_string_value(value));
	if (json_is_true(value) || json_is_false(value))
		return strdup(json_is_true(value) ? "on" : "off");
	if (json_is_null(value))
		return strdup("-");
	if (!strcmp(key, "quota") && !json_integer_value(value))
		return strdup("none");
	if (is_size(key))
		return strdup(
			out_size(number, (uint64_t)json_integer_value(value)));
	if (json_is_real(value))
		return strdup(out_ratio(number, json_real_value(value)));
	return json_dumps(value, JSON_ENCODE_ANY);
}

static void get_print(json_t *properties)
{
	static const struct out_column columns[] = {{"PROPERTY", 0},
						    {"VALUE", 0}};
	struct out_table *table = out_table_new(columns, ARRAY_SIZE(columns));
	const char *key;
	json_t *value;

	json_object_foreach(properties, key, value)
	{
		char *text = value_text(key, value);
		const char *cells[] = {key, text};

		out_table_row(table, cells);
		free(text);
	}
	out_table_print(table);
}

int run_get(struct invocation *inv)
{
	const char *key = inv_operand(inv, 1);
	json_t *arguments =
		json_pack("{s:o}", "name", out_text(inv_operand(inv, 0)));
	json_t *result, *properties;
	char *text;
	int code;

	if (key)
		json_object_set_new(arguments, "key", out_text(key));
	code = client_call_once(inv, NULL, "get", arguments, &result);
	if (code != CTL_OK)
		return code;
	if (inv->json) {
		out_json(result);
		return CTL_OK;
	}
	properties = json_object_get(result, "properties");
	if (key) {
		text = value_text(key, json_object_get(properties, key));
		/* a script gets the bytes, a terminal nothing that drives it */
		if (isatty(STDOUT_FILENO))
			out_line("%s", text ? text : "");
		else
			puts(text ? text : "");
		free(text);
	} else {
		get_print(properties);
	}
	json_decref(result);
	return CTL_OK;
}
