/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance_down.c - dbs down
 */
#include "tools/cmd.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/cmd_instance.h"
#include "tools/instance/life.h"
#include "tools/out.h"
#include "tools/worker/worker.h"

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
		instance_dry_run(inv, inst, what);
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
		code = life_destroy(client, inst->name,
				    out_get_int(item, "id"));
	json_decref(item);
	code = client_close(client, code);
	if (code != CTL_OK)
		return code;
	workers_remove_of(inst->name);
	return instance_remove(inst);
}

/* Without --rm. */
static int down_check_stop(const struct invocation *inv, struct instance *inst)
{
	char what[DATASET_NAME_MAX + 64];
	int code = instance_check_lease(inst);

	if (code != CTL_OK || !inv_has(inv, "dry-run"))
		return code;
	snprintf(what, sizeof(what), "stops the server of instance '%s'",
		 inst->name);
	instance_dry_run(inv, inst, what);
	return CTL_OK;
}

static int down_one(const struct invocation *inv, struct instance *inst)
{
	bool removes = inv_has(inv, "rm"), all = inv_has(inv, "all");
	int code = CTL_OK;

	if (removes)
		code = down_check(inv, inst);
	else if (!all)
		code = down_check_stop(inv, inst);
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

static int down_name(const struct invocation *inv, const char *name,
		     json_t **item)
{
	struct instance inst;
	int code = instance_open(name, INSTANCE_LOCK, &inst);

	(void)item;
	if (code == CTL_OK)
		code = down_one(inv, &inst);
	instance_close(&inst);
	return code;
}

/* Of --all: @names. */
static void down_dry_run(const struct invocation *inv, json_t *names)
{
	json_t *name;
	size_t i;

	if (inv->json) {
		out_json(json_pack("{s:O, s:b}", "names", names, "dry_run", 1));
		return;
	}
	json_array_foreach(names, i, name) out_line(
		"stops the server of instance '%s'", json_string_value(name));
}

int run_down(struct invocation *inv)
{
	const char *operand = inv_operand(inv, 0);
	bool dry_run = inv_has(inv, "dry-run");
	json_t *names, *item = NULL;
	int code = CTL_OK;

	if (!operand == !inv_has(inv, "all"))
		return fail_usage(inv->cmd, "down: give NAME or --all");
	if (inv_has(inv, "all") && inv_has(inv, "rm"))
		return fail_usage(inv->cmd,
				  "--all only stops; --rm takes a name");
	names = operand ? json_pack("[s]", operand) : instance_names();
	if (operand)
		code = down_name(inv, operand, &item);
	else if (dry_run)
		down_dry_run(inv, names);
	else
		code = instance_each(inv, names, down_name, &item);
	if (code == CTL_OK && inv->json && !dry_run)
		out_json(json_pack("{s:O}", "names", names));
	json_decref(item);
	json_decref(names);
	return code;
}
