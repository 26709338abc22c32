/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance.c - what the commands for instances share
 */
#include "tools/cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/store.h"
#include "tools/cmd_instance.h"
#include "tools/instance/monitor.h"
#include "tools/out.h"

int run_monitor(struct invocation *inv)
{
	if (inv->nr_operands != 1)
		return fail(CTL_USAGE, "__monitor is for dbs itself");
	return monitor_main(inv->operands[0]);
}

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

void instance_dry_run(const struct invocation *inv, const struct instance *inst,
		      const char *what)
{
	if (inv->json)
		out_json(json_pack("{s:s, s:b, s:o}", "name", inst->name,
				   "dry_run", 1, "would", out_text(what)));
	else
		out_line("%s", what);
}
