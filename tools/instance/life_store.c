/* SPDX-License-Identifier: Apache-2.0 */
/* life_store.c - what an instance asks of the store */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/cmd.h"
#include "tools/instance/life.h"
#include "tools/out.h"

int life_client(const struct invocation *inv, struct instance *inst,
		struct client **client)
{
	const char *known = out_get_text(inst->record, "pool");
	bool named = inv_has(inv, "pool") || inv_has(inv, "socket");
	json_t *info;
	int code;

	code = client_open(inv, *known && !named ? known : NULL, client);
	if (code != CTL_OK)
		return code;
	if (client_is_local(*client))
		code = fail(CTL_UNREACHABLE,
			    "an instance needs its pool mounted; run "
			    "'dbs mount'");
	if (code == CTL_OK)
		code = client_call(*client, "pool.info", NULL, &info);
	if (code != CTL_OK) {
		client_close(*client, code);
		*client = NULL;
		return code;
	}
	if (*known && strcmp(known, out_get_text(info, "path")))
		code = fail(CTL_CONFLICT,
			    "instance '%s' is on the pool '%s', not on '%s'",
			    inst->name, known, out_get_text(info, "path"));
	else if (inst->record)
		json_object_set(inst->record, "pool",
				json_object_get(info, "path"));
	json_decref(info);
	if (code != CTL_OK) {
		client_close(*client, code);
		*client = NULL;
	}
	return code;
}

/* What is called @name, and not what it would mean as a pattern. */
static int find(struct client *client, const char *type, const char *name,
		json_t **item)
{
	json_t *result, *one;
	size_t i;
	int code = client_call(client, "list",
			       json_pack("{s:[s], s:o}", "types", type,
					 "pattern", out_text(name)),
			       &result);

	*item = NULL;
	if (code != CTL_OK)
		return code;
	json_array_foreach(json_object_get(result, "items"), i, one)
	{
		if (!strcmp(out_get_text(one, "name"), name))
			*item = json_incref(one);
	}
	json_decref(result);
	return CTL_OK;
}

int life_dataset(struct client *client, const char *name, json_t **item)
{
	return find(client, "dataset", name, item);
}

int life_snapshot(struct client *client, const char *name, json_t **item)
{
	return find(client, "snapshot", name, item);
}

bool life_is_ours(const struct instance *inst, const json_t *item)
{
	const json_t *making = json_object_get(inst->record, "making");
	uint64_t id = out_get_int(inst->record, "dataset_id");

	if (!out_get_bool(inst->record, "made"))
		return false;
	if (id || !making)
		return !id || id == out_get_int(item, "id");
	/* who made it was killed before it could record the id */
	return !strcmp(out_get_text(item, "origin"),
		       out_get_text(making, "from")) &&
	       strcmp(out_get_text(item, "created"),
		      out_get_text(making, "since")) > 0;
}

void life_know_dataset(struct instance *inst, const json_t *item)
{
	if (!life_is_ours(inst, item))
		json_object_set_new(inst->record, "made", json_false());
	json_object_del(inst->record, "making");
	json_object_set(inst->record, "dataset_id",
			json_object_get(item, "id"));
}

int life_newest(struct client *client, const char *ds, char **snapshot)
{
	json_t *result, *item, *best = NULL;
	json_t *pattern = json_sprintf("%s@*", ds);
	size_t i;
	int code = client_call(client, "list",
			       json_pack("{s:[s], s:o}", "types", "snapshot",
					 "pattern", pattern),
			       &result);

	*snapshot = NULL;
	if (code != CTL_OK)
		return code;
	json_array_foreach(json_object_get(result, "items"), i, item)
	{
		if (out_get_bool(item, "automatic"))
			continue;
		/* ids only grow; a clock may have been wrong */
		if (!best || out_get_int(item, "id") > out_get_int(best, "id"))
			best = item;
	}
	if (best)
		*snapshot = strdup(out_get_text(best, "name"));
	else
		code = fail(CTL_NOT_FOUND, "dataset '%s' has no snapshots", ds);
	json_decref(result);
	return code;
}

int life_destroy(struct client *client, const char *name, uint64_t id)
{
	json_t *result;
	json_t *arguments = json_pack("{s:[s], s:b, s:b}", "names", name,
				      "recursive", 1, "force", 1);
	int code;

	if (id)
		json_object_set_new(arguments, "id",
				    json_integer((json_int_t)id));
	code = client_call(client, "rm", arguments, &result);
	if (code == CTL_OK)
		json_decref(result);
	return code;
}
