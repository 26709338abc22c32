/* SPDX-License-Identifier: Apache-2.0 */
/* worker_call.c - what commands do with workers */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/config.h"
#include "tools/instance/internal.h"
#include "tools/instance/keeper.h"
#include "tools/out.h"
#include "tools/worker/worker_internal.h"

#define STOP_MORE_MS 15000 /* beyond the grace: the monitor kills, and waits */

static bool is_monitored(const struct worker *w)
{
	char path[PATH_MAX];

	return instance_file_locked(worker_file(w, "monitor.lock", path));
}

/* ---- stop ------------------------------------------------------------------------------ */

/*
 * By a descriptor, and only one who has the lock yet.  False: a new one has it,
 * and what is written is of the last.
 */
static bool ask_monitor(const struct worker *w, int signal)
{
	json_t *state = worker_state(w);
	pid_t pid = (pid_t)out_get_int(state, "monitor_pid");
	uint64_t start = out_get_int(state, "monitor_start");
	int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
	bool asked;

	/* one of an older version does not say when it started */
	asked = fd >= 0 &&
		procs_is(state, pid, start ? start : procs_start(pid)) &&
		is_monitored(w) &&
		!syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
	json_decref(state);
	if (fd >= 0)
		close(fd);
	return asked;
}

/* Ask it once, and wait until none is there. */
static bool end_monitor(const struct worker *w, int signal, uint64_t timeout_ms)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	uint64_t end = now_ns() + timeout_ms * UINT64_C(1000000);
	bool asked = false;

	while (is_monitored(w)) {
		asked = asked || ask_monitor(w, signal);
		if (now_ns() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/*
 * Sessions of those that a monitor started and that live.  Where one has ended,
 * a session of its number may be anybody's: the mark alone tells then.
 */
static size_t leads_of(const struct worker *w, pid_t *leads)
{
	char path[PATH_MAX];
	json_t *state =
		json_load_file(worker_file(w, "state.json", path), 0, NULL);
	json_t *p;
	size_t i, nr = 0;

	json_array_foreach(json_object_get(state, "processes"), i, p)
	{
		pid_t pid = (pid_t)out_get_int(p, "pid");

		if (nr < CONFIG_PROCESSES_MAX &&
		    procs_is(state, pid, out_get_int(p, "start")))
			leads[nr++] = pid;
	}
	json_decref(state);
	return nr;
}

static bool has_process(const struct worker *w, pid_t pid)
{
	pid_t leads[CONFIG_PROCESSES_MAX];
	const struct procs procs = {.mark = w->files.dir,
				    .leads = leads,
				    .nr_leads = leads_of(w, leads)};

	return procs_have(&procs, pid);
}

/* What a monitor that was killed has left. */
static bool end_leftovers(const struct worker *w)
{
	pid_t leads[CONFIG_PROCESSES_MAX];
	const struct procs procs = {.mark = w->files.dir,
				    .leads = leads,
				    .nr_leads = leads_of(w, leads)};
	int signal = (int)out_get_int(w->record, "stop_signal");

	return procs_end(&procs, signal ? signal : SIGTERM,
			 out_get_int(w->record, "grace_ms"), NULL, NULL);
}

/* Nothing of it runs, whatever a monitor wrote before it was killed. */
static int write_stopped(const struct worker *w)
{
	json_t *state = worker_state(w);
	int code = CTL_OK;

	if (strcmp(out_get_text(state, "state"), "stopped")) {
		json_object_set_new(state, "state", json_string("stopped"));
		json_object_set_new(state, "monitor_pid", json_integer(0));
		json_object_set_new(state, "processes", json_array());
		code = instance_write_json(&w->files, "state.json", 0644,
					   state);
	}
	json_decref(state);
	return code;
}

static int stop(const struct worker *w)
{
	uint64_t grace = out_get_int(w->record, "grace_ms");

	if (!end_monitor(w, SIGTERM, grace + STOP_MORE_MS))
		end_monitor(w, SIGKILL, 1000);
	if (!end_leftovers(w))
		return fail(CTL_TIMEOUT,
			    "worker '%s' was killed but does not end; see "
			    "'dbs ps'",
			    w->files.name);
	return write_stopped(w);
}

static int set_held(const struct worker *w, bool held)
{
	char path[PATH_MAX];

	if (held)
		return instance_write(&w->files, "held", 0644, geteuid(),
				      getegid(), "");
	unlink(worker_file(w, "held", path));
	return CTL_OK;
}

int worker_release(const char *name)
{
	struct worker w;
	int code = worker_open(name, true, &w);

	if (code == CTL_OK)
		code = set_held(&w, false);
	worker_close(&w);
	return code;
}

int worker_stop(const char *name, bool hold)
{
	struct worker w;
	int code = worker_open(name, hold, &w);
	char path[PATH_MAX];

	/* first, so that nobody starts it in between */
	if (code == CTL_OK && hold)
		code = set_held(&w, true);
	if (code == CTL_OK && !w.record)
		w.record = json_load_file(worker_file(&w, "worker.json", path),
					  0, NULL);
	if (code == CTL_OK)
		code = stop(&w);
	worker_close(&w);
	return code;
}

/* ---- start ------------------------------------------------------------------------------ */

static int start_monitor(const struct worker *w)
{
	char log[PATH_MAX];

	if (keeper_start("__worker", w->files.name,
			 worker_file(w, "stderr.log", log)))
		return CTL_OK;
	return fail(CTL_FAILED, "worker '%s' did not start; see '%s'",
		    w->files.name, log);
}

/* Its monitor runs, and has given nothing up. */
static bool is_well(const struct worker *w)
{
	json_t *state = worker_state(w);
	bool well = is_monitored(w) &&
		    strcmp(out_get_text(state, "state"), "failed") &&
		    strcmp(out_get_text(state, "state"), "stopping");

	json_decref(state);
	return well;
}

int worker_start(const char *name, const json_t *record)
{
	char path[PATH_MAX];
	struct worker w;
	json_t *before;
	int code = worker_open(name, true, &w);

	if (code == CTL_OK)
		code = set_held(&w, false);
	before = code == CTL_OK
			 ? json_load_file(worker_file(&w, "worker.json", path),
					  0, NULL)
			 : NULL;
	if (code == CTL_OK && is_well(&w) &&
	    !strcmp(out_get_text(before, "instance"),
		    out_get_text(record, "instance"))) {
		json_decref(before);
		worker_close(&w);
		return CTL_OK;
	}
	w.record = before;
	if (code == CTL_OK)
		code = stop(&w);
	if (code == CTL_OK)
		code = instance_write_json(&w.files, "worker.json", 0600,
					   record);
	if (code == CTL_OK)
		code = start_monitor(&w);
	worker_close(&w);
	return code;
}

/* ---- all of an instance ------------------------------------------------------------------- */

static bool is_held(const char *name)
{
	struct worker w;
	bool held = worker_open(name, true, &w) == CTL_OK && worker_is_held(&w);

	worker_close(&w);
	return held;
}

void workers_start_of(const char *instance, const json_t *workers)
{
	const char *name;
	json_t *record;

	/* the table is not changed: the cast is jansson's macro's */
	json_object_foreach((json_t *)(uintptr_t)workers, name, record)
	{
		if (strcmp(out_get_text(record, "instance"), instance))
			continue;
		if (is_held(name))
			note("worker '%s' stays stopped; 'dbs workers start "
			     "%s' starts it",
			     name, name);
		else if (worker_start(name, record) != CTL_OK)
			note("instance '%s' is up, its worker '%s' is not",
			     instance, name);
	}
}

/* Call @fn with each that has run for @instance; the worst of its codes. */
static int each_of(const char *instance, int (*fn)(struct worker *w))
{
	json_t *names = worker_names(), *name;
	int worst = CTL_OK;
	size_t i;

	json_array_foreach(names, i, name)
	{
		struct worker w;
		int code = worker_open(json_string_value(name), false, &w);

		if (code == CTL_OK && !strcmp(worker_instance(&w), instance))
			code = fn(&w);
		worst = code == CTL_OK ? worst : code;
		worker_close(&w);
	}
	json_decref(names);
	return worst;
}

static int stop_one(struct worker *w)
{
	return stop(w);
}

int workers_stop_of(const char *instance)
{
	return each_of(instance, stop_one);
}

bool workers_have(const char *instance, pid_t pid)
{
	json_t *names = worker_names(), *name;
	bool found = false;
	size_t i;

	json_array_foreach(names, i, name)
	{
		struct worker w;
		int code = worker_open(json_string_value(name), false, &w);

		found = found || (code == CTL_OK &&
				  !strcmp(worker_instance(&w), instance) &&
				  has_process(&w, pid));
		worker_close(&w);
	}
	json_decref(names);
	return found;
}

static int remove_one(struct worker *w)
{
	return instance_remove(&w->files);
}

void workers_remove_of(const char *instance)
{
	each_of(instance, remove_one);
}
