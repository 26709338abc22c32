/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance_up.c - dbs up
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
#include "tools/instance/life.h"
#include "tools/out.h"
#include "tools/worker/worker.h"

static int up_port(const struct invocation *inv, unsigned *port)
{
	const char *text = inv_value(inv, "port");
	unsigned long n;
	char *end;

	*port = 0;
	if (!text)
		return CTL_OK;
	n = strtoul(text, &end, 10);
	if (*end || text[0] < '1' || text[0] > '9' || n > 65535)
		return fail_usage(inv->cmd, "'%s' is not a port", text);
	*port = (unsigned)n;
	return CTL_OK;
}

/* -o, --memory, --server: from now on, and at its next start. */
static int up_settings(const struct invocation *inv, json_t *record)
{
	const char *memory = inv_value(inv, "memory");
	const char *server = inv_value(inv, "server"), *option;
	json_t *options = json_array();
	int code = CTL_OK;

	for (size_t i = 0;
	     code == CTL_OK && (option = inv_value_nth(inv, "option", i));
	     i++) {
		code = life_check_option(inv->cmd, option);
		json_array_append_new(options, out_text(option));
	}
	if (code == CTL_OK && json_array_size(options))
		json_object_set(record, "options", options);
	json_decref(options);
	if (code == CTL_OK && memory && !life_memory(memory))
		code = fail_usage(inv->cmd,
				  "'%s' is not small, medium, large or a size "
				  "of at least 128M",
				  memory);
	if (code == CTL_OK && memory)
		json_object_set_new(
			record, "memory",
			json_integer((json_int_t)life_memory(memory)));
	if (code == CTL_OK && server)
		json_object_set_new(record, "server", out_text(server));
	return code;
}

/* --cpus, --idle */
static int up_limits(const struct invocation *inv, json_t *record)
{
	const char *cpus = inv_value(inv, "cpus"),
		   *idle = inv_value(inv, "idle");
	int64_t idle_s = 0;
	char *end;
	int code = CTL_OK;
	double n;

	if (cpus) {
		n = strtod(cpus, &end);
		if (end == cpus || *end || !(n >= 0.01 && n <= 10000))
			return fail_usage(inv->cmd,
					  "'%s' is not a number of CPUs", cpus);
		json_object_set_new(record, "cpus", out_text(cpus));
	}
	if (idle && strcmp(idle, "none"))
		code = parse_duration(inv->cmd, idle, &idle_s);
	if (code == CTL_OK && idle)
		json_object_set_new(record, "idle_s", json_integer(idle_s));
	return code;
}

/* @ttl: out, seconds from when it is up; -1: as it was */
static int up_ttl(const struct invocation *inv, json_t *record, bool running,
		  int64_t *ttl)
{
	const char *text = inv_value(inv, "ttl");

	*ttl = running ? -1 : (int64_t)out_get_int(record, "ttl_s");
	if (text && !strcmp(text, "none"))
		*ttl = 0;
	else if (text)
		return parse_duration(inv->cmd, text, ttl);
	return CTL_OK;
}

static void up_set_ttl(json_t *record, int64_t ttl, int64_t from)
{
	if (ttl < 0)
		return;
	json_object_set_new(record, "ttl_s", json_integer(ttl));
	json_object_set_new(record, "expires",
			    json_integer(ttl ? from + ttl : 0));
}

static json_t *up_new_record(const char *name)
{
	return json_pack("{s:s, s:b, s:n, s:i, s:s, s:[], s:s, s:I, s:s}",
			 "name", name, "made", 0, "dataset_from", "port", 0,
			 "bind", "127.0.0.1", "options", "server", "", "memory",
			 (json_int_t)life_memory("small"), "wanted", "up");
}

/* What the host's configuration says of instances that are made. */
static int up_configured(json_t *record)
{
	struct config config;
	const struct config_instances *in = &config.instances;
	int code = config_open(&config);

	if (code != CTL_OK)
		return code;
	if (in->server)
		json_object_set_new(record, "server", out_text(in->server));
	if (in->user)
		json_object_set_new(record, "user", out_text(in->user));
	if (in->bind)
		json_object_set_new(record, "bind", json_string(in->bind));
	if (in->memory)
		json_object_set_new(
			record, "memory",
			json_integer((json_int_t)life_memory(in->memory)));
	if (in->port_first) {
		json_object_set_new(record, "port_first",
				    json_integer(in->port_first));
		json_object_set_new(record, "port_last",
				    json_integer(in->port_last));
	}
	config_release(&config);
	return CTL_OK;
}

static int up_quota(const struct invocation *inv, struct instance *inst,
		    struct client *client)
{
	const char *quota = inv_value(inv, "quota");
	json_t *result;
	int code;

	if (!quota)
		return CTL_OK;
	code = client_call(client, "set",
			   json_pack("{s:s, s:s, s:o}", "name", inst->name,
				     "key", "quota", "value", out_text(quota)),
			   &result);
	if (code == CTL_OK)
		json_decref(result);
	return code;
}

/*
 * Leave nothing of what came to nothing.  Of an instance that was there before,
 * as @before says, only its clone goes.
 */
static void up_undo(struct instance *inst, struct client *client,
		    json_t *before)
{
	life_stop(inst, true, false);
	life_destroy(client, inst->name,
		     out_get_int(inst->record, "dataset_id"));
	if (!before) {
		instance_remove(inst);
		inst->made_dir = false;
		return;
	}
	json_decref(inst->record);
	inst->record = json_incref(before);
	instance_save(inst);
}

/* Its dataset is there: start it. */
static int up_start(const struct invocation *inv, struct instance *inst,
		    struct client *client, int64_t ttl,
		    struct life_times *times)
{
	unsigned port, have = (unsigned)out_get_int(inst->record, "port");
	int code = up_port(inv, &port);

	if (code == CTL_OK)
		code = up_quota(inv, inst, client);
	if (code == CTL_OK && port && port != have)
		code = instance_choose_port(inst, port);
	else if (code == CTL_OK && port)
		json_object_del(inst->record, "port_new");
	/* its time begins when it is up, which may take a while */
	if (code == CTL_OK)
		up_set_ttl(inst->record, ttl,
			   (int64_t)time(NULL) + LIFE_START_MS / 1000);
	if (code == CTL_OK)
		code = life_start(inst, client, times);
	if (code == CTL_OK) {
		up_set_ttl(inst->record, ttl, (int64_t)time(NULL));
		code = instance_save(inst);
	}
	return code;
}

/* What the command line says of it. */
static int up_options(const struct invocation *inv, struct instance *inst,
		      int64_t *ttl)
{
	bool running = instance_server(inst) != 0;
	unsigned port, have = (unsigned)out_get_int(inst->record, "port");
	int code = up_port(inv, &port);

	if (code == CTL_OK)
		code = up_settings(inv, inst->record);
	if (code == CTL_OK)
		code = up_limits(inv, inst->record);
	if (code == CTL_OK)
		code = up_ttl(inv, inst->record, running, ttl);
	if (code == CTL_OK && port && port != have && running)
		code = fail(CTL_CONFLICT,
			    "instance '%s' runs on port %u; 'dbs down %s' "
			    "first",
			    inst->name, have, inst->name);
	return code;
}

static int up_run(const struct invocation *inv, struct instance *inst,
		  struct client *client, struct life_times *times)
{
	json_t *before = NULL;
	bool made = false;
	int64_t ttl = -1;
	int code;

	if (instance_exists(inst->name))
		before = json_deep_copy(inst->record);
	code = up_options(inv, inst, &ttl);
	if (code == CTL_OK)
		code = instance_dataset(inv, inst, client, &made);
	if (code == CTL_OK && !inv_has(inv, "dry-run"))
		code = up_start(inv, inst, client, ttl, times);
	if (code != CTL_OK && made && !life_is_starting(inst, code))
		up_undo(inst, client, before);
	json_decref(before);
	return code;
}

static void up_print(const struct invocation *inv, const struct instance *inst,
		     const struct life_times *times, uint64_t begin)
{
	json_t *json = instance_json(inst);
	const char *from = out_get_text(json, "from");

	if (inv->json) {
		json_object_set_new(json, "start_ms",
				    json_real(times->server.start_ms));
		json_object_set_new(json, "query_ms",
				    json_real(times->server.query_ms));
		json_object_set_new(
			json, "duration_ms",
			json_real((double)(now_ns() - begin) / 1e6));
		out_json(json);
		return;
	}
	out_line("instance  %s, %s %s%s%s", inst->name,
		 out_get_text(json, "server"),
		 out_get_text(json, "server_version"), *from ? ", from " : "",
		 from);
	out_line("host      %s", out_get_text(json, "host"));
	out_line("port      %" PRIu64, out_get_int(json, "port"));
	out_line("socket    %s", out_get_text(json, "socket"));
	out_line("user      %s", out_get_text(json, "user"));
	out_line("password  in %s", out_get_text(json, "password_file"));
	json_decref(json);
}

/* The caller calls instance_close(), also on failure. */
static int up_one(const struct invocation *inv, const char *name,
		  unsigned flags, struct life_times *times,
		  struct instance *inst)
{
	struct client *client;
	int code = instance_open(name, INSTANCE_LOCK | flags, inst);

	if (code != CTL_OK)
		return code;
	if (!inst->record) {
		inst->record = up_new_record(name);
		code = up_configured(inst->record);
	}
	if (code == CTL_OK)
		code = life_client(inv, inst, &client);
	if (code == CTL_OK)
		code = client_close(client, up_run(inv, inst, client, times));
	return code;
}

/* One of --all. */
static int up_again(const struct invocation *inv, const char *name,
		    json_t **item)
{
	struct life_times times = {0};
	struct instance inst;
	int code = up_one(inv, name, 0, &times, &inst);

	if (code == CTL_OK)
		*item = instance_json(&inst);
	else
		note("instance '%s' is not up", name);
	if (code == CTL_OK && !inv->json)
		out_line("%s", name);
	instance_close(&inst);
	return code;
}

/* Did it end on purpose, and by no command? */
static bool was_ended(const struct instance *inst)
{
	json_t *state = instance_state(inst);
	bool ended = !strcmp(out_get_text(state, "state"), "idle") ||
		     (!strcmp(out_get_text(state, "state"), "stopped") &&
		      out_get_bool(state, "shut_down"));

	json_decref(state);
	return ended;
}

static bool is_wanted(const struct instance *inst)
{
	int64_t expires = (int64_t)out_get_int(inst->record, "expires");

	return !strcmp(out_get_text(inst->record, "wanted"), "up") &&
	       (!expires || expires > (int64_t)time(NULL)) && !was_ended(inst);
}

/* Those that are to be started. */
static int wanted_names(json_t **wanted)
{
	json_t *names = instance_names(), *name;
	int worst = CTL_OK;
	size_t i;

	*wanted = json_array();
	json_array_foreach(names, i, name)
	{
		struct instance inst;
		int code = instance_open(json_string_value(name), 0, &inst);

		if (code != CTL_OK)
			note("instance '%s' is not up",
			     json_string_value(name));
		else if (is_wanted(&inst))
			json_array_append(*wanted, name);
		worst = code == CTL_OK ? worst : code;
		instance_close(&inst);
	}
	json_decref(names);
	return worst;
}

/* Those that were up: after a reboot, or after what was killed. */
static int up_all(const struct invocation *inv)
{
	json_t *names, *items = NULL, *name;
	int unread = wanted_names(&names), code = CTL_OK;
	size_t i;

	if (!inv_has(inv, "dry-run")) {
		code = instance_each(inv, names, up_again, &items);
		if (inv->json && items)
			out_json(json_pack("{s:O}", "items", items));
	} else if (inv->json) {
		out_json(json_pack("{s:O, s:b}", "names", names, "dry_run", 1));
	} else {
		json_array_foreach(names, i, name)
			out_line("starts a server on dataset '%s'",
				 json_string_value(name));
	}
	json_decref(items);
	json_decref(names);
	return code == CTL_OK ? unread : code;
}

static int up_all_checked(const struct invocation *inv)
{
	static const char *const others[] = {"from",   "port",	 "ttl",
					     "server", "option", "memory",
					     "quota",  "cpus",	 "idle"};

	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		if (inv_has(inv, others[i]))
			return fail_usage(inv->cmd,
					  "--all starts each as it was: no "
					  "--%s",
					  others[i]);
	return up_all(inv);
}

int run_up(struct invocation *inv)
{
	const char *name = inv_operand(inv, 0);
	struct life_times times = {0};
	uint64_t begin = now_ns();
	struct instance inst;
	int code;

	if (!name == !inv_has(inv, "all"))
		return fail_usage(inv->cmd, "up: give NAME or --all");
	if (!name)
		return up_all_checked(inv);
	code = up_one(inv, name, INSTANCE_MAKE, &times, &inst);
	if (code == CTL_OK && !inv_has(inv, "dry-run"))
		up_print(inv, &inst, &times, begin);
	instance_close(&inst);
	return code;
}
