/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance_use.c - dbs ps, env
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
#include "tools/config.h"
#include "tools/daemon.h"
#include "tools/instance/env.h"
#include "tools/out.h"

/* ---- ps ------------------------------------------------------------------------ */

/* Charged bytes of the datasets of a pool, by name; NULL: it is not mounted. */
static json_t *ps_charged(const struct invocation *inv, const char *pool)
{
	json_t *ping = *pool ? daemon_of_pool(pool) : NULL, *charged, *result;
	struct invocation only = *inv;
	struct client *client;
	json_t *item;
	size_t i;

	if (!ping)
		return NULL;
	json_decref(ping);
	only.only_daemons = true;
	if (client_open(&only, pool, &client) != CTL_OK)
		return NULL;
	charged = json_object();
	if (client_call(client, "list", NULL, &result) == CTL_OK) {
		json_array_foreach(json_object_get(result, "items"), i, item)
			json_object_set(charged, out_get_text(item, "name"),
					json_object_get(item, "charged"));
		json_decref(result);
	}
	client_close(client, CTL_OK);
	return charged;
}

/* What is not in the record: times from now, and what the store says. */
static void ps_complete(const struct invocation *inv, json_t *pools,
			json_t *json)
{
	const char *pool = out_get_text(json, "pool");
	int64_t since = instance_parse_time(out_get_text(json, "since"));
	int64_t expires = instance_parse_time(out_get_text(json, "expires"));
	int64_t now = (int64_t)time(NULL);
	bool runs = out_get_int(json, "server_pid") != 0;
	json_t *charged = json_object_get(pools, pool);

	if (!charged) {
		charged = ps_charged(inv, pool);
		if (!charged)
			charged = json_object();
		json_object_set_new(pools, pool, charged);
	}
	charged = json_object_get(charged, out_get_text(json, "name"));
	if (charged)
		json_object_set(json, "charged", charged);
	else
		json_object_set_new(json, "charged", json_null());
	json_object_set_new(json, "uptime_ms",
			    runs && since ? json_integer((now - since) * 1000)
					  : json_null());
	json_object_set_new(
		json, "ttl_left_ms",
		expires ? json_integer(MAX_OF(expires - now, INT64_C(0)) * 1000)
			: json_null());
}

/* "3d 4h", "2h 5m", "1m 20s" */
static char *ps_time(char buf[OUT_TEXT_MAX], const json_t *ms)
{
	int64_t s = json_integer_value(ms) / 1000;

	if (!json_is_integer(ms))
		snprintf(buf, OUT_TEXT_MAX, "-");
	else if (s >= 86400)
		snprintf(buf, OUT_TEXT_MAX, "%" PRId64 "d %" PRId64 "h",
			 s / 86400, s / 3600 % 24);
	else if (s >= 3600)
		snprintf(buf, OUT_TEXT_MAX, "%" PRId64 "h %" PRId64 "m",
			 s / 3600, s / 60 % 60);
	else
		snprintf(buf, OUT_TEXT_MAX, "%" PRId64 "m %" PRId64 "s", s / 60,
			 s % 60);
	return buf;
}

static void ps_row(struct out_table *table, const json_t *json)
{
	char port[16], server[80], up[OUT_TEXT_MAX], ttl[OUT_TEXT_MAX];
	char restarts[24], charged[OUT_TEXT_MAX] = "-";
	const char *from = out_get_text(json, "from");
	const char *cells[] = {out_get_text(json, "name"),
			       out_get_text(json, "state"),
			       *from ? from : "-",
			       port,
			       server,
			       up,
			       restarts,
			       ttl,
			       charged};

	snprintf(port, sizeof(port), "%" PRIu64, out_get_int(json, "port"));
	/* "10.11.19-MariaDB-0+deb12u1" is MariaDB 10.11.19 */
	snprintf(server, sizeof(server), "%s %.*s",
		 out_get_text(json, "server"),
		 (int)strcspn(out_get_text(json, "server_version"), "-"),
		 out_get_text(json, "server_version"));
	snprintf(restarts, sizeof(restarts), "%" PRIu64,
		 out_get_int(json, "restarts"));
	ps_time(up, json_object_get(json, "uptime_ms"));
	ps_time(ttl, json_object_get(json, "ttl_left_ms"));
	if (json_is_integer(json_object_get(json, "charged")))
		out_size(charged, out_get_int(json, "charged"));
	out_table_row(table, cells);
}

static void ps_print(const json_t *items)
{
	static const struct out_column columns[] = {{"NAME", 0},
						    {"STATE", 0},
						    {"FROM", 0},
						    {"PORT", OUT_RIGHT},
						    {"SERVER", 0},
						    {"UPTIME", OUT_RIGHT},
						    {"RESTARTS", OUT_RIGHT},
						    {"TTL", OUT_RIGHT},
						    {"CHARGED", OUT_RIGHT}};
	struct out_table *table = out_table_new(columns, ARRAY_SIZE(columns));
	json_t *item;
	size_t i;

	json_array_foreach(items, i, item) ps_row(table, item);
	out_table_print(table);
}

int run_ps(struct invocation *inv)
{
	json_t *names = instance_names(), *items = json_array(), *name;
	json_t *pools = json_object(), *workers;
	struct config config;
	int worst = config_open(&config);
	size_t i;

	json_array_foreach(names, i, name)
	{
		struct instance inst;
		json_t *json;
		int code = instance_open(json_string_value(name), 0, &inst);

		if (code == CTL_OK) {
			json = instance_json(&inst);
			ps_complete(inv, pools, json);
			json_array_append_new(items, json);
		} else if (code != CTL_NOT_FOUND) {
			worst = code;
		}
		instance_close(&inst);
	}
	json_decref(names);
	json_decref(pools);
	/* what runs is shown even if what should run cannot be read */
	workers = workers_json(config.workers);
	if (inv->json)
		out_json(json_pack("{s:O, s:O}", "items", items, "workers",
				   workers));
	else if (inv_has(inv, "quiet"))
		json_array_foreach(items, i, name)
			out_line("%s", out_get_text(name, "name"));
	else
		ps_print(items);
	if (!inv->json && !inv_has(inv, "quiet"))
		workers_print(workers);
	json_decref(workers);
	json_decref(items);
	config_release(&config);
	return worst;
}

/* ---- env ----------------------------------------------------------------------- */

enum env_format { ENV_SHELL, ENV_DOTENV, ENV_GITHUB, ENV_JENKINS };

static int env_format(const struct invocation *inv, enum env_format *format)
{
	static const char *const names[] = {"shell", "dotenv", "github",
					    "jenkins"};
	const char *text = inv_value(inv, "format");

	*format = ENV_SHELL;
	for (size_t i = 0; text && i < ARRAY_SIZE(names); i++)
		if (!strcmp(text, names[i])) {
			*format = (enum env_format)i;
			return CTL_OK;
		}
	return text ? fail_usage(inv->cmd,
				 "'%s' is not shell, dotenv, github or jenkins",
				 text)
		    : CTL_OK;
}

/* Only a database's name may need it. */
static void env_quoted(const char *value, const char *special)
{
	for (; *value; value++) {
		if (strchr(special, *value))
			putchar('\\');
		putchar(*value);
	}
}

static void env_line(enum env_format format, const char *key, const char *value)
{
	switch (format) {
	case ENV_SHELL:
		printf("export %s='", key);
		for (; *value; value++)
			if (*value == '\'')
				fputs("'\\''", stdout);
			else
				putchar(*value);
		puts("'");
		break;
	case ENV_DOTENV:
		printf("%s=\"", key);
		env_quoted(value, "\"\\$");
		puts("\"");
		break;
	case ENV_GITHUB:
		printf("%s=%s\n", key, value);
		break;
	case ENV_JENKINS: /* a properties file */
		printf("%s=", key);
		env_quoted(value, "\\");
		putchar('\n');
		break;
	}
}

/*
 * A line more would be a variable more; and what sources a .env file runs what
 * it takes for a command, each in its own way.
 */
static int env_check(enum env_format format, const char *database)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_$-";

	if (strpbrk(database, "\r\n"))
		return fail(CTL_USAGE, "--database: a name with a line break");
	if (format == ENV_DOTENV && database[strspn(database, plain)])
		return fail(CTL_USAGE,
			    "a .env file is not given the database '%s', whose "
			    "name has more than letters, digits, '_', '$' and "
			    "'-'; --database says another, or '' none",
			    database);
	return CTL_OK;
}

int run_env(struct invocation *inv)
{
	enum env_format format;
	struct instance inst = {.lock = -1};
	json_t *values = NULL, *value;
	const char *key;
	int code = env_format(inv, &format);

	if (code != CTL_OK)
		return code;
	code = instance_open(inv_operand(inv, 0), 0, &inst);
	if (code == CTL_OK) {
		values = instance_env(&inst, inv_value(inv, "database"));
		code = values ? CTL_OK : CTL_NOT_PERMITTED;
	}
	instance_close(&inst);
	if (code != CTL_OK)
		return code;
	if (inv->json) {
		out_json(values);
		return CTL_OK;
	}
	/* the runner takes it off its output, and hides the word from then on */
	if (format == ENV_GITHUB && getenv("GITHUB_ACTIONS"))
		fprintf(stderr, "::add-mask::%s\n",
			out_get_text(values, "DB_PASSWORD"));
	code = env_check(format, out_get_text(values, "DB_DATABASE"));
	if (code != CTL_OK) {
		json_decref(values);
		return code;
	}
	json_object_foreach(values, key, value)
		env_line(format, key, json_string_value(value));
	json_decref(values);
	return CTL_OK;
}
