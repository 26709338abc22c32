/* SPDX-License-Identifier: Apache-2.0 */
/* life_restore.c - puts an instance into another state */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/config.h"
#include "tools/host.h"
#include "tools/instance/life.h"
#include "tools/instance/life_internal.h"
#include "tools/out.h"
#include "tools/worker/worker.h"

static double ms_since(uint64_t start)
{
	return (double)(now_ns() - start) / 1e6;
}

/* Destroy a snapshot, unless somebody has done so. */
static void drop_snapshot(struct client *client, const char *name)
{
	json_t *result;
	bool there;

	if (client_call(client, "list",
			json_pack("{s:[s], s:s}", "types", "snapshot",
				  "pattern", name),
			&result) != CTL_OK)
		return;
	there = json_array_size(json_object_get(result, "items")) > 0;
	json_decref(result);
	if (there &&
	    client_call(client, "rm", json_pack("{s:[s]}", "names", name),
			&result) == CTL_OK)
		json_decref(result);
}

/* Is it for over a day that "DS@before-restore-20261122T120000Z" is kept? */
static bool is_old(const char *name)
{
	const char *time_text = strrchr(name, '-');
	struct tm tm = {0};

	return !time_text || !strptime(time_text + 1, "%Y%m%dT%H%M%SZ", &tm) ||
	       timegm(&tm) + LIFE_UNDO_S < time(NULL);
}

static void move_item(json_t *from, size_t i, json_t *to)
{
	json_array_append(to, json_array_get(from, i));
	json_array_remove(from, i);
}

/* Take one that is live again, and those that are old and many, off @undo. */
static json_t *take_dropped(json_t *undo, const struct life_restore *restore)
{
	json_t *dropped = json_array(), *name;
	size_t i;

	json_array_foreach(undo, i, name)
	{
		if (!restore->undoes ||
		    strcmp(json_string_value(name), restore->source))
			continue;
		move_item(undo, i, dropped);
		break;
	}
	for (i = 0; json_array_size(undo) > LIFE_UNDO_MAX &&
		    i < json_array_size(undo);) {
		if (is_old(json_string_value(json_array_get(undo, i))))
			move_item(undo, i, dropped);
		else
			i++;
	}
	return dropped;
}

/* The record is written before anything that it names is destroyed. */
static int record_restore(struct instance *inst, struct client *client,
			  const struct life_restore *restore)
{
	json_t *undo = json_object_get(inst->record, "undo"), *dropped, *name;
	const char *kept = out_get_text(restore->result, "kept");
	int code;
	size_t i;

	if (!json_is_array(undo)) {
		undo = json_array();
		json_object_set_new(inst->record, "undo", undo);
	}
	if (*kept)
		json_array_append_new(undo, json_string(kept));
	dropped = take_dropped(undo, restore);
	if (restore->becomes_origin)
		json_object_set_new(inst->record, "dataset_from",
				    out_text(restore->source));
	code = instance_save(inst);
	if (code == CTL_OK)
		json_array_foreach(dropped, i, name)
			drop_snapshot(client, json_string_value(name));
	json_decref(dropped);
	return code;
}

static int restore_call(struct instance *inst, struct client *client,
			struct life_restore *restore)
{
	return client_call(client, "restore",
			   json_pack("{s:o, s:s, s:b, s:b}", "source",
				     out_text(restore->source), "dataset",
				     inst->name, "force", restore->force,
				     "discard", restore->discard),
			   &restore->result);
}

/* Those who are stopped anyway, and ourselves. */
static bool is_stopped(void *arg, pid_t pid)
{
	const struct instance *inst = arg;

	return pid == getpid() || pid == instance_server(inst) ||
	       workers_have(inst->name, pid);
}

/*
 * The store refuses to restore while files are open for writing; found only
 * then, the server has been stopped for nothing.  What the server has open is
 * compared first: to look at all processes takes time.
 */
static int check_writers(struct instance *inst, const json_t *item)
{
	pid_t server = instance_server(inst);
	const char *path = out_get_text(item, "path");
	char *who = NULL;
	int code = CTL_OK;

	if (*path && out_get_int(item, "open_files_write") >
			     (server ? host_nr_writes(server, path) : 0))
		who = host_writers_text(path, is_stopped, inst);
	if (who)
		code = fail(CTL_CONFLICT,
			    "cannot restore '%s': %s has files of it open for "
			    "writing; end that, or use --force",
			    inst->name, who);
	free(who);
	return code;
}

/* What else the store would refuse. */
static int check_dataset(struct instance *inst, struct client *client,
			 bool force)
{
	json_t *item;
	int code = life_dataset(client, inst->name, &item);

	if (code != CTL_OK)
		return code;
	if (!item)
		return fail(CTL_NOT_FOUND, "there is no dataset '%s'",
			    inst->name);
	if (out_get_bool(item, "readonly"))
		code = fail(CTL_CONFLICT,
			    "cannot restore '%s': it is readonly; set "
			    "readonly=off first",
			    inst->name);
	else if (!force)
		code = check_writers(inst, item);
	json_decref(item);
	return code;
}

/* What a server would not be started on. */
static int check_source(struct client *client, const char *source)
{
	struct datadir dir;
	json_t *item;
	int code = life_snapshot(client, source, &item);

	if (code == CTL_OK && !item)
		code = fail(CTL_NOT_FOUND, "there is no snapshot '%s'", source);
	if (code == CTL_OK)
		code = datadir_find(out_get_text(item, "path"), source, &dir);
	if (code == CTL_OK)
		code = datadir_check_inside(&dir);
	json_decref(item);
	return code;
}

/* Does it run, or would its monitor start it by and by? */
static bool is_up(const struct instance *inst)
{
	static const char *const away[] = {"restarting", "waiting", "held"};
	json_t *state;
	bool up = false;

	if (instance_server(inst))
		return true;
	if (!instance_monitored(inst) ||
	    strcmp(out_get_text(inst->record, "wanted"), "up"))
		return false;
	state = instance_state(inst);
	for (size_t i = 0; i < ARRAY_SIZE(away); i++)
		up = up || !strcmp(out_get_text(state, "state"), away[i]);
	json_decref(state);
	return up;
}

int life_restore(struct instance *inst, struct client *client,
		 struct life_restore *restore)
{
	uint64_t begin = now_ns();
	struct config config;
	int code = config_open(&config), start_code = CTL_OK;

	/* what would keep it from being started again is said before */
	if (code != CTL_OK)
		return code;
	config_release(&config);
	code = instance_check_room(inst);
	if (code == CTL_OK)
		code = check_dataset(inst, client, restore->force);
	restore->ran = is_up(inst);
	if (code == CTL_OK && restore->ran)
		code = check_source(client, restore->source);
	if (code != CTL_OK)
		return code;
	code = workers_stop_of(inst->name);
	restore->times.workers_ms = ms_since(begin);
	begin = now_ns();
	/* what it has not written is thrown away with the rest */
	if (code == CTL_OK && (restore->ran || instance_monitored(inst)))
		code = life_stop_server(inst, true, restore->ran, false);
	if (code != CTL_OK)
		return code;
	restore->times.stop_ms = ms_since(begin);
	begin = now_ns();
	code = restore_call(inst, client, restore);
	restore->times.restore_ms = ms_since(begin);
	if (code == CTL_OK)
		code = record_restore(inst, client, restore);
	if (restore->ran)
		start_code = life_start(inst, client, &restore->times);
	return code != CTL_OK ? code : start_code;
}
