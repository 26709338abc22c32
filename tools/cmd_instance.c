/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance.c - dbs up, down
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
#include "tools/config.h"
#include "tools/instance/life.h"
#include "tools/instance/monitor.h"
#include "tools/out.h"
#include "tools/worker/worker.h"

int run_monitor(struct invocation *inv)
{
	if (inv->nr_operands != 1)
		return fail(CTL_USAGE, "__monitor is for dbs itself");
	return monitor_main(inv->operands[0]);
}

/* ---- what is shared ------------------------------------------------------------ */

int parse_duration(const struct cmd *cmd, const char *text, int64_t *seconds)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = {
		{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		if (end != text && !errno && n > 0 && n < 1000000 &&
		    end[0] == units[i].unit && !end[1]) {
			*seconds = n * units[i].seconds;
			return CTL_OK;
		}
	return fail_usage(cmd,
			  "'%s' is not a duration: write 90s, 30m, 8h, 2d or "
			  "1w",
			  text);
}

/* Everything but how it was started. */
json_t *instance_json(const struct instance *inst)
{
	const json_t *record = inst->record;
	const json_t *b = json_object_get(record, "binary");
	char socket[PATH_MAX], password[PATH_MAX], expires[OUT_TEXT_MAX];
	json_t *state = instance_state(inst), *json;

	json = json_pack(
		"{s:s, s:O, s:s, s:O?, s:s, s:I, s:s, s:s, s:s, s:s, s:O?}",
		"name", inst->name, "state", json_object_get(state, "state"),
		"dataset", inst->name, "from",
		json_object_get(record, "dataset_from"), "host",
		out_get_text(record, "bind"), "port",
		(json_int_t)out_get_int(record, "port"), "socket",
		instance_socket(inst, socket), "user", INSTANCE_ACCOUNT,
		"password_file", instance_file(inst, "password", password),
		"server", out_get_bool(b, "mariadb") ? "MariaDB" : "MySQL",
		"server_version", json_object_get(b, "text"));
	json_object_set(json, "server_path", json_object_get(b, "path"));
	json_object_set(json, "pool", json_object_get(record, "pool"));
	json_object_update_missing(json, state);
	if (out_get_int(record, "expires"))
		json_object_set_new(
			json, "expires",
			json_string(out_time(
				expires,
				(time_t)out_get_int(record, "expires"))));
	else
		json_object_set_new(json, "expires", json_null());
	json_object_set(json, "memory", json_object_get(record, "memory"));
	if (instance_leased(inst))
		json_object_set(json, "lease",
				json_object_get(record, "lease"));
	json_decref(state);
	return json;
}

/* ---- up ------------------------------------------------------------------------ */

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

/* Clone it from --from, if the dataset is not there.  @made: out */
static int up_clone(const struct invocation *inv, struct instance *inst,
		    struct client *client, bool *made)
{
	const char *from = inv_value(inv, "from");
	char *newest = NULL;
	json_t *result;
	int code;

	if (!from)
		return fail(CTL_NOT_FOUND,
			    "there is no dataset '%s'; --from DS@SNAP makes it "
			    "from a snapshot",
			    inst->name);
	/* without a snapshot: the newest */
	if (!strchr(from, '@')) {
		code = life_newest(client, from, &newest);
		if (code != CTL_OK)
			return code;
		from = newest;
	}
	code = client_call(client, "clone",
			   json_pack("{s:o, s:s}", "source", out_text(from),
				     "name", inst->name),
			   &result);
	free(newest);
	if (code != CTL_OK)
		return code;
	*made = true;
	json_object_set_new(inst->record, "made", json_true());
	json_object_set(inst->record, "dataset_from",
			json_object_get(result, "origin"));
	json_decref(result);
	return CTL_OK;
}

/* --from of a dataset that is there must be what it was made from. */
static int up_check_from(const struct invocation *inv, struct instance *inst,
			 const json_t *item)
{
	const char *from = inv_value(inv, "from");
	const char *have = out_get_text(inst->record, "dataset_from");
	size_t len = strcspn(have, "@");

	if (!*have) {
		json_object_set(inst->record, "dataset_from",
				json_object_get(item, "origin"));
		have = out_get_text(item, "origin");
		len = strcspn(have, "@");
	}
	if (!from || !strcmp(from, have) ||
	    (!strncmp(from, have, len) &&
	     (!from[len] || !strcmp(from + len, "@latest"))))
		return CTL_OK;
	return fail(CTL_CONFLICT,
		    "dataset '%s' exists and was %s%s; 'dbs restore %s --to "
		    "%s' changes that",
		    inst->name, *have ? "made from " : "not cloned", have, from,
		    inst->name);
}

static int up_dataset(const struct invocation *inv, struct instance *inst,
		      struct client *client, bool *made)
{
	json_t *item;
	int code = life_dataset(client, inst->name, &item);

	if (code == CTL_OK && item)
		code = up_check_from(inv, inst, item);
	else if (code == CTL_OK)
		code = up_clone(inv, inst, client, made);
	json_decref(item);
	return code;
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

/* With its snapshots; of its server nothing is left but what has no time yet
 * to close. */
static int destroy_dataset(struct client *client, const char *name)
{
	json_t *result;
	int code = client_call(client, "rm",
			       json_pack("{s:[s], s:b, s:b}", "names", name,
					 "recursive", 1, "force", 1),
			       &result);

	if (code == CTL_OK)
		json_decref(result);
	return code;
}

/* Leave nothing of what came to nothing. */
static void up_undo(struct instance *inst, struct client *client)
{
	workers_stop_of(inst->name);
	destroy_dataset(client, inst->name);
	instance_remove(inst);
	inst->made_dir = false;
}

static int up_run(const struct invocation *inv, struct instance *inst,
		  struct client *client, struct life_times *times)
{
	bool running = instance_server(inst) != 0, made = false;
	unsigned port, have = (unsigned)out_get_int(inst->record, "port");
	int64_t ttl = -1;
	int code = up_port(inv, &port);

	if (code == CTL_OK)
		code = up_settings(inv, inst->record);
	if (code == CTL_OK)
		code = up_limits(inv, inst->record);
	if (code == CTL_OK)
		code = up_ttl(inv, inst->record, running, &ttl);
	if (code == CTL_OK && port && port != have && running)
		code = fail(CTL_CONFLICT,
			    "instance '%s' runs on port %u; 'dbs down %s' "
			    "first",
			    inst->name, have, inst->name);
	if (code == CTL_OK)
		code = up_dataset(inv, inst, client, &made);
	if (code == CTL_OK)
		code = up_quota(inv, inst, client);
	if (code == CTL_OK && port && port != have)
		code = instance_choose_port(inst, port);
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
	if (code != CTL_OK && made)
		up_undo(inst, client);
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

/* Those that were up: after a reboot, or after what was killed. */
static int up_all(const struct invocation *inv)
{
	json_t *names = instance_names(), *name, *items = json_array();
	int worst = CTL_OK;
	size_t i;

	json_array_foreach(names, i, name)
	{
		struct life_times times = {0};
		struct instance inst;
		int code = instance_open(json_string_value(name), 0, &inst);
		bool wanted =
			code == CTL_OK &&
			!strcmp(out_get_text(inst.record, "wanted"), "up");
		int64_t expires =
			code == CTL_OK
				? (int64_t)out_get_int(inst.record, "expires")
				: 0;

		instance_close(&inst);
		if (code == CTL_OK &&
		    (!wanted || (expires && expires <= time(NULL))))
			continue;
		if (code == CTL_OK)
			code = up_one(inv, json_string_value(name), 0, &times,
				      &inst);
		if (code == CTL_OK && !inv->json)
			out_line("%s", inst.name);
		if (code == CTL_OK)
			json_array_append_new(items, instance_json(&inst));
		else
			note("instance '%s' is not up",
			     json_string_value(name));
		worst = code == CTL_OK ? worst : code;
		instance_close(&inst);
	}
	json_decref(names);
	if (inv->json && worst == CTL_OK)
		out_json(json_pack("{s:O}", "items", items));
	json_decref(items);
	return worst;
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
	if (code == CTL_OK)
		up_print(inv, &inst, &times, begin);
	instance_close(&inst);
	return code;
}

/* ---- down ---------------------------------------------------------------------- */

/* --rm: its dataset goes with it, if 'up' made it. */
static int down_check(const struct invocation *inv, struct instance *inst)
{
	char what[512];
	int code = instance_check_lease(inst);

	if (code != CTL_OK)
		return code;
	if (!out_get_bool(inst->record, "made"))
		return fail(CTL_CONFLICT,
			    "dataset '%s' was not made by 'dbs up', so --rm "
			    "does not destroy it; 'dbs down %s' and 'dbs rm' "
			    "do",
			    inst->name, inst->name);
	snprintf(what, sizeof(what),
		 "destroys instance '%s', its dataset and that one's snapshots",
		 inst->name);
	if (inv_has(inv, "dry-run")) {
		out_line("%s", what);
		return CTL_OK;
	}
	return confirm(inv, what);
}

static int down_remove(const struct invocation *inv, struct instance *inst)
{
	struct client *client;
	json_t *item;
	int code = life_client(inv, inst, &client);

	if (code != CTL_OK)
		return code;
	code = life_dataset(client, inst->name, &item);
	/* one that somebody destroyed needs no destroying */
	if (code == CTL_OK && item && !life_is_ours(inst, item))
		code = fail(CTL_CONFLICT,
			    "dataset '%s' is not the one that 'dbs up' made, "
			    "so it is not destroyed",
			    inst->name);
	else if (code == CTL_OK && item)
		code = destroy_dataset(client, inst->name);
	json_decref(item);
	code = client_close(client, code);
	if (code != CTL_OK)
		return code;
	workers_remove_of(inst->name);
	return instance_remove(inst);
}

static int down_one(const struct invocation *inv, struct instance *inst)
{
	bool removes = inv_has(inv, "rm"), all = inv_has(inv, "all");
	int code = CTL_OK;

	if (removes)
		code = down_check(inv, inst);
	if (code != CTL_OK || inv_has(inv, "dry-run"))
		return code;
	/* what is destroyed need not be written first */
	code = life_stop(inst, removes, false);
	if (code == CTL_OK && removes)
		return down_remove(inv, inst);
	/* after --all, as at the host's shutdown, 'up --all' starts them */
	if (code == CTL_OK && !all) {
		json_object_set_new(inst->record, "wanted",
				    json_string("down"));
		code = instance_save(inst);
	}
	return code;
}

bool instance_is_over(const struct instance *inst)
{
	int64_t expires = (int64_t)out_get_int(inst->record, "expires");

	return expires && expires <= (int64_t)time(NULL) &&
	       out_get_bool(inst->record, "made");
}

int instance_destroy(const struct invocation *inv, const char *name)
{
	struct instance inst;
	int code = instance_open(name, INSTANCE_LOCK, &inst);

	if (code == CTL_OK)
		code = instance_check_lease(&inst);
	/* since it was looked at somebody may have given it more time */
	if (code == CTL_OK && !instance_is_over(&inst))
		code = fail(CTL_CONFLICT,
			    "the time of instance '%s' is no longer over",
			    name);
	if (code == CTL_OK)
		code = life_stop(&inst, true, false);
	if (code == CTL_OK)
		code = down_remove(inv, &inst);
	instance_close(&inst);
	return code;
}

static int down_name(const struct invocation *inv, const char *name)
{
	struct instance inst;
	int code = instance_open(name, INSTANCE_LOCK, &inst);

	if (code == CTL_OK)
		code = down_one(inv, &inst);
	instance_close(&inst);
	return code;
}

int run_down(struct invocation *inv)
{
	const char *operand = inv_operand(inv, 0);
	json_t *names, *name;
	int worst = CTL_OK;
	size_t i;

	if (!operand == !inv_has(inv, "all"))
		return fail_usage(inv->cmd, "down: give NAME or --all");
	if (inv_has(inv, "all") && inv_has(inv, "rm"))
		return fail_usage(inv->cmd,
				  "--all only stops; --rm takes a name");
	names = operand ? json_pack("[s]", operand) : instance_names();
	json_array_foreach(names, i, name)
	{
		int code = down_name(inv, json_string_value(name));

		worst = code == CTL_OK ? worst : code;
	}
	if (worst == CTL_OK && inv->json)
		out_json(json_pack("{s:O}", "names", names));
	json_decref(names);
	return worst;
}
