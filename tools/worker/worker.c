/* SPDX-License-Identifier: Apache-2.0 */
/* worker.c - folders, record and state */
#include "tools/worker/worker.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/ctl_ops.h"
#include "tools/cmd.h"
#include "tools/instance/internal.h"
#include "tools/out.h"
#include "tools/worker/worker_internal.h"

/* ---- folders --------------------------------------------------------------------- */

/* Beside that of the instances; the caller frees. */
static char *workers_dir(void)
{
	char *all = instances_dir(), *path = NULL;

	if (all)
		*strrchr(all, '/') = '\0';
	if (!all || asprintf(&path, "%s/workers", all) < 0)
		path = NULL;
	free(all);
	return path;
}

static bool is_name(const char *name)
{
	return *name && *name != '.' && *name != '-' && strlen(name) <= 48 &&
	       !strchr(name, '/');
}

/* The folder with those above it; only root looks into it. */
static int make_dirs(const char *dir)
{
	char *copy = strdup(dir);
	int err = copy ? 0 : -ENOMEM;

	for (char *slash = copy; !err && slash;) {
		slash = strchr(slash + 1, '/');
		if (slash)
			*slash = '\0';
		if (mkdir(copy, 0755) && errno != EEXIST)
			err = -errno;
		if (slash)
			*slash = '/';
	}
	free(copy);
	return err ? fail((int)ctl_code_of_errno(err), "'%s': %s", dir,
			  strerror(-err))
		   : CTL_OK;
}

int worker_open(const char *name, bool make, struct worker *w)
{
	char *all = workers_dir(), path[PATH_MAX];
	int code = CTL_OK;

	*w = (struct worker){.files = {.lock = -1}};
	if (!is_name(name))
		code = fail(CTL_USAGE, "'%.100s' is not a worker's name", name);
	else if (!all || asprintf(&w->files.dir, "%s/%s", all, name) < 0)
		code = fail(CTL_FAILED, "out of memory");
	free(all);
	if (code != CTL_OK)
		return code;
	snprintf(w->files.name, sizeof(w->files.name), "%s", name);
	w->files.run = strdup(w->files.dir);
	if (make)
		return make_dirs(w->files.dir);
	if (access(w->files.dir, F_OK))
		return fail(CTL_NOT_FOUND, "there is no worker '%s'", name);
	w->record =
		json_load_file(worker_file(w, "worker.json", path), 0, NULL);
	return CTL_OK;
}

void worker_close(struct worker *w)
{
	json_decref(w->record);
	w->record = NULL;
	instance_close(&w->files);
}

json_t *worker_names(void)
{
	json_t *names = json_array();
	char *all = workers_dir();
	struct dirent **list;
	int nr = all ? scandir(all, &list, NULL, alphasort) : -1;

	for (int i = 0; i < nr; i++) {
		if (is_name(list[i]->d_name))
			json_array_append_new(names,
					      json_string(list[i]->d_name));
		free(list[i]);
	}
	if (nr >= 0)
		free(list);
	free(all);
	return names;
}

bool worker_is_there(const char *name)
{
	char *all = workers_dir(), *path = NULL;
	bool there = all && is_name(name) &&
		     asprintf(&path, "%s/%s", all, name) >= 0 &&
		     !access(path, F_OK);

	free(path);
	free(all);
	return there;
}

bool worker_is_held(const struct worker *w)
{
	char path[PATH_MAX];

	return !access(worker_file(w, "held", path), F_OK);
}

/* ---- state ----------------------------------------------------------------------- */

static json_t *load_state(const struct worker *w)
{
	char path[PATH_MAX];
	json_t *state =
		json_load_file(worker_file(w, "state.json", path), 0, NULL);

	if (json_is_object(state))
		return state;
	json_decref(state);
	return json_pack("{s:s, s:s, s:[]}", "name", w->files.name, "instance",
			 "", "processes");
}

const char *worker_instance(const struct worker *w)
{
	return out_get_text(w->record, "instance");
}

/* What is so, whatever the monitor wrote before it was killed. */
static const char *true_state(const struct worker *w, const char *written,
			      size_t nr_running)
{
	char path[PATH_MAX];

	if (instance_file_locked(worker_file(w, "monitor.lock", path)))
		return *written ? written : "starting";
	if (nr_running)
		return "unmonitored";
	if (worker_is_held(w))
		return "held";
	if (!*written || !strcmp(written, "stopped") ||
	    !strcmp(written, "failed") || !strcmp(written, "ended"))
		return *written ? written : "stopped";
	return "dead";
}

json_t *worker_state(const struct worker *w)
{
	json_t *state = load_state(w), *p;
	size_t i, nr = 0;

	json_array_foreach(json_object_get(state, "processes"), i, p)
	{
		pid_t pid = (pid_t)out_get_int(p, "pid");

		if (procs_is(state, pid, out_get_int(p, "start")))
			nr++;
		else
			json_object_set_new(p, "pid", json_integer(0));
	}
	json_object_set_new(state, "running", json_integer((json_int_t)nr));
	json_object_set_new(
		state, "state",
		json_string(true_state(w, out_get_text(state, "state"), nr)));
	return state;
}
