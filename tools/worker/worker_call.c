/* SPDX-License-Identifier: Apache-2.0 */
/* worker_call.c - what commands do with workers */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/config.h"
#include "tools/instance/internal.h"
#include "tools/out.h"
#include "tools/worker/worker_internal.h"

#define STOP_MORE_MS 15000 /* beyond the grace: the monitor kills, and waits */

static bool is_monitored(const struct worker *w)
{
	char path[PATH_MAX];

	return instance_file_locked(worker_file(w, "monitor.lock", path));
}

/* ---- stop ------------------------------------------------------------------------------ */

/* By a descriptor, and only while the lock says that it lives. */
static void ask_monitor(const struct worker *w, int signal)
{
	json_t *state = worker_state(w);
	pid_t pid = (pid_t)out_get_int(state, "monitor_pid");
	int fd = pid > 1 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;

	json_decref(state);
	if (fd < 0)
		return;
	if (is_monitored(w))
		syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
	close(fd);
}

static bool wait_monitor(const struct worker *w, uint64_t timeout_ms)
{
	const struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	uint64_t end = now_ns() + timeout_ms * UINT64_C(1000000);

	while (is_monitored(w)) {
		if (now_ns() >= end)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

/* Sessions of those that a monitor started, if their numbers are theirs yet. */
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
		uint64_t start = procs_start(pid);

		if (pid > 1 && nr < CONFIG_PROCESSES_MAX &&
		    (!start || start == out_get_int(p, "start")))
			leads[nr++] = pid;
	}
	json_decref(state);
	return nr;
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
	char *text = NULL;
	int code = CTL_OK;

	if (strcmp(out_get_text(state, "state"), "stopped")) {
		json_object_set_new(state, "state", json_string("stopped"));
		json_object_set_new(state, "monitor_pid", json_integer(0));
		json_object_set_new(state, "processes", json_array());
		text = json_dumps(state, JSON_INDENT(2));
		code = instance_write(&w->files, "state.json", 0644, geteuid(),
				      getegid(), text ? text : "{}");
	}
	free(text);
	json_decref(state);
	return code;
}

static int stop(const struct worker *w)
{
	uint64_t grace = out_get_int(w->record, "grace_ms");

	ask_monitor(w, SIGTERM);
	if (!wait_monitor(w, grace + STOP_MORE_MS)) {
		ask_monitor(w, SIGKILL);
		wait_monitor(w, 1000);
	}
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

/* In the child: 'dbs __worker NAME' with nothing of ours but @report. */
_Noreturn static void exec_monitor(const struct worker *w, int report)
{
	char log[PATH_MAX];
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int out = open(worker_file(w, "stderr.log", log),
		       O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		       0640);

	setsid();
	if (report == 3)
		report = dup(report);
	if (null < 0 || out < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 ||
	    dup2(out, 2) < 0 || dup2(report, 3) < 0)
		_exit(CTL_FAILED);
	close_range(4, ~0u, 0);
	unsetenv("NOTIFY_SOCKET");
	unsetenv(WORKER_MARK);
	if (chdir("/"))
		_exit(CTL_FAILED);
	execl("/proc/self/exe", "dbs", "__worker", w->files.name, NULL);
	_exit(CTL_FAILED);
}

static int start_monitor(const struct worker *w)
{
	char log[PATH_MAX], byte;
	int fds[2];
	ssize_t n;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return fail(CTL_FAILED, "pipe: %m");
	pid = fork();
	if (!pid)
		exec_monitor(w, fds[1]);
	close(fds[1]);
	do
		n = pid > 0 ? read(fds[0], &byte, 1) : -1;
	while (n < 0 && errno == EINTR);
	close(fds[0]);
	if (n == 1)
		return CTL_OK;
	if (pid > 0)
		waitpid(pid, NULL, 0);
	return fail(CTL_FAILED, "worker '%s' did not start; see '%s'",
		    w->files.name, worker_file(w, "stderr.log", log));
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
	char path[PATH_MAX], *text;
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
	text = json_dumps(record, JSON_INDENT(2));
	if (code == CTL_OK)
		code = instance_write(&w.files, "worker.json", 0600, geteuid(),
				      getegid(), text ? text : "");
	free(text);
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

static int remove_one(struct worker *w)
{
	return instance_remove(&w->files);
}

void workers_remove_of(const char *instance)
{
	each_of(instance, remove_one);
}
