/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_instance_dataset.c - dbs up: the dataset that the server runs on
 *
 * One that is not there is cloned.  One that is there, and that nobody cloned,
 * may be the origin of others or somebody's only copy: its accounts are not
 * locked without a question.
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
#include "tools/instance/datadir.h"
#include "tools/instance/life.h"
#include "tools/out.h"

/* What a clock that is read coarsely may be behind. */
#define CLOCK_SLACK_S 2

/* ---- one that is not there ------------------------------------------------------- */

/* "DS@SNAP" that --from means; the caller frees. */
static int source_of(struct client *client, const char *from, char **source)
{
	size_t len = strcspn(from, "@");
	json_t *item = NULL;
	char *ds;
	int code;

	*source = NULL;
	if (!from[len] || !strcmp(from + len, "@latest")) {
		ds = strndup(from, len);
		code = ds ? life_newest(client, ds, source)
			  : fail(CTL_FAILED, "out of memory");
		free(ds);
		return code;
	}
	code = life_snapshot(client, from, &item);
	if (code == CTL_OK && !item)
		code = fail(CTL_NOT_FOUND, "there is no snapshot '%s'", from);
	json_decref(item);
	if (code == CTL_OK)
		*source = strdup(from);
	return code;
}

/*
 * Said before it is done: where the command is killed in between, the next one
 * knows by this whose the clone is (life_is_ours()), and 'down --rm' ends it.
 */
static int announce(struct instance *inst, const char *source)
{
	json_t *record = inst->record;
	char since[OUT_TEXT_MAX];

	json_object_set_new(record, "made", json_true());
	json_object_set_new(record, "dataset_from", out_text(source));
	json_object_del(record, "dataset_id");
	json_object_set_new(
		record, "making",
		json_pack("{s:o, s:s}", "from", out_text(source), "since",
			  out_time(since, time(NULL) - CLOCK_SLACK_S)));
	/* until it is ready to be started */
	json_object_set_new(record, "wanted", json_string("down"));
	return instance_save(inst);
}

/* It is as it was before announce(): NULL: there was none. */
static void renounce(struct instance *inst, json_t *before)
{
	if (!before) {
		instance_remove(inst);
		return;
	}
	json_decref(inst->record);
	inst->record = json_incref(before);
	instance_save(inst);
}

static int clone(struct instance *inst, struct client *client,
		 const char *source)
{
	json_t *before = NULL, *result;
	int code;

	if (instance_exists(inst->name))
		before = json_deep_copy(inst->record);
	code = announce(inst, source);
	if (code == CTL_OK) {
		code = client_call(client, "clone",
				   json_pack("{s:o, s:s}", "source",
					     out_text(source), "name",
					     inst->name),
				   &result);
		if (code != CTL_OK)
			renounce(inst, before);
	}
	json_decref(before);
	if (code != CTL_OK)
		return code;
	json_object_set(inst->record, "dataset_from",
			json_object_get(result, "origin"));
	json_object_set(inst->record, "dataset_id",
			json_object_get(result, "id"));
	json_object_del(inst->record, "making");
	json_decref(result);
	return CTL_OK;
}

/* @made: out */
static int make(const struct invocation *inv, struct instance *inst,
		struct client *client, bool *made)
{
	char what[DATASET_FULL_NAME_MAX + DATASET_NAME_MAX + 64];
	const char *from = inv_value(inv, "from");
	char *source = NULL;
	int code;

	if (!from)
		return fail(CTL_NOT_FOUND,
			    "there is no dataset '%s'; --from DS@SNAP makes it "
			    "from a snapshot",
			    inst->name);
	code = source_of(client, from, &source);
	if (code == CTL_OK && inv_has(inv, "dry-run")) {
		snprintf(what, sizeof(what),
			 "clones '%s' to dataset '%s' and starts a server on "
			 "it",
			 source, inst->name);
		instance_dry_run(inv, inst, what);
	} else if (code == CTL_OK) {
		code = clone(inst, client, source);
		*made = code == CTL_OK;
	}
	free(source);
	return code;
}

/* ---- one that is there ----------------------------------------------------------- */

/* A command that was killed may have made it, or somebody else meanwhile. */
static void settle(struct instance *inst, const json_t *item)
{
	if (!json_object_get(inst->record, "making"))
		return;
	if (!life_is_ours(inst, item))
		json_object_set_new(inst->record, "dataset_from", json_null());
	life_know_dataset(inst, item);
}

/* --from of a dataset that is there must be what it was made from. */
static int check_from(const struct invocation *inv, struct instance *inst,
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

/* Has the instance given it its identity once? */
static bool is_taken_over(const struct instance *inst, const json_t *item)
{
	char id[32];

	snprintf(id, sizeof(id), "%" PRIu64 ":", out_get_int(item, "id"));
	return !strncmp(out_get_text(inst->record, "identity"), id, strlen(id));
}

/* What could not be served is said first. */
static int take_over(const struct invocation *inv, struct instance *inst,
		     const json_t *item)
{
	char what[2 * DATASET_NAME_MAX + 512];
	struct datadir dir;
	int code = datadir_find(out_get_text(item, "path"), inst->name, &dir);

	if (code == CTL_OK)
		code = datadir_check_unused(&dir);
	if (code == CTL_OK)
		code = datadir_check_inside(&dir);
	if (code != CTL_OK)
		return code;
	snprintf(what, sizeof(what),
		 "changes dataset '%s', which is no clone, in place: locks "
		 "every account of its server, makes the account '%s', and "
		 "removes its server's UUID and replication; 'dbs up NAME "
		 "--from %s' leaves it as it is",
		 inst->name, INSTANCE_ACCOUNT, inst->name);
	if (inv_has(inv, "dry-run")) {
		instance_dry_run(inv, inst, what);
		return CTL_OK;
	}
	return confirm(inv, what);
}

static int use(const struct invocation *inv, struct instance *inst,
	       const json_t *item)
{
	char what[DATASET_NAME_MAX + 64];
	int code;

	settle(inst, item);
	code = check_from(inv, inst, item);
	if (code != CTL_OK)
		return code;
	if (!*out_get_text(item, "origin") && !is_taken_over(inst, item))
		return take_over(inv, inst, item);
	if (!inv_has(inv, "dry-run"))
		return CTL_OK;
	if (instance_server(inst))
		snprintf(what, sizeof(what), "instance '%s' is up", inst->name);
	else
		snprintf(what, sizeof(what), "starts a server on dataset '%s'",
			 inst->name);
	instance_dry_run(inv, inst, what);
	return CTL_OK;
}

int instance_dataset(const struct invocation *inv, struct instance *inst,
		     struct client *client, bool *made)
{
	json_t *item;
	int code = life_dataset(client, inst->name, &item);

	if (code == CTL_OK && item)
		code = use(inv, inst, item);
	else if (code == CTL_OK)
		code = make(inv, inst, client, made);
	json_decref(item);
	return code;
}
