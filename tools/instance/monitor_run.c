/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_run.c - starts the server, ends it, and decides what then */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/cmd.h"
#include "tools/instance/internal.h"
#include "tools/instance/keeper.h"
#include "tools/instance/monitor.h"
#include "tools/instance/monitor_internal.h"
#include "tools/out.h"

#define STOP_MS	       120000 /* a clean end writes all that is dirty */
#define WAIT_MOUNT_MS  500
#define NS_PER_MS      UINT64_C(1000000)
#define IS_STATE(m, s) ((m)->state && !strcmp((m)->state, s))

/* ---- state.json ---------------------------------------------------------------- */

json_t *monitor_state(const struct monitor *m)
{
	char since[OUT_TEXT_MAX];

	return json_pack("{s:s, s:i, s:i, s:o, s:i, s:b, s:O?}", "state",
			 m->state ? m->state : "starting", "monitor_pid",
			 (int)getpid(), "server_pid", (int)m->pid, "since",
			 m->pid ? json_string(out_time(since, m->start_time))
				: json_null(),
			 "restarts", (int)m->restarts, "shut_down",
			 m->shut_down, "last_exit", m->last_exit);
}

static void set_state(struct monitor *m, const char *state)
{
	m->state = state;
	keeper_write_state(&m->inst, monitor_state(m));
}

void monitor_reload(struct monitor *m)
{
	char path[PATH_MAX];
	json_t *record;
	struct stat st;

	instance_file(&m->inst, "instance.json", path);
	if (stat(path, &st))
		return;
	m->record_time = st.st_mtim;
	m->record_ino = st.st_ino;
	record = json_load_file(path, 0, NULL);
	if (!json_is_object(record)) {
		json_decref(record);
		return;
	}
	json_decref(m->inst.record);
	m->inst.record = record;
}

/* ---- the mount ----------------------------------------------------------------- */

/* Opening asks the daemon; what stat(2) says may come from a cache. */
static bool mount_works(const struct monitor *m, dev_t *dev)
{
	const char *dir = out_get_text(m->inst.record, "datadir");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	bool works = fd >= 0 && !fstat(fd, &st);

	if (works)
		*dev = st.st_dev;
	if (fd >= 0)
		close(fd);
	return works;
}

static void wait_for_mount(struct monitor *m)
{
	if (!IS_STATE(m, "waiting")) {
		keeper_say("'%s' is not there; waiting for its mount",
			   out_get_text(m->inst.record, "datadir"));
		set_state(m, "waiting");
	}
	m->retry_ns = now_ns() + WAIT_MOUNT_MS * NS_PER_MS;
}

/* By its descriptor: the number of one that ended may be another's by now. */
static int send_signal(const struct monitor *m, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, m->pid_fd, signal, NULL, 0);
}

/* A server on a mount that died, or was replaced, works with what is gone. */
static void check_mount(struct monitor *m)
{
	dev_t dev;

	errno = 0;
	if (mount_works(m, &dev)) {
		if (dev == m->dev)
			return;
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM) {
		/* that says nothing about the mount */
		return;
	}
	keeper_say("the mount under the server has died; killing it");
	send_signal(m, SIGKILL);
}

/* ---- start ----------------------------------------------------------------------- */

/* False: it has ended, or nobody would see its end. */
static bool watch(struct monitor *m, pid_t pid, bool is_child)
{
	m->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (m->pid_fd < 0) {
		keeper_say("process %d cannot be watched: %m", (int)pid);
		return false;
	}
	m->pid = pid;
	m->is_child = is_child;
	m->start_ns = now_ns();
	m->start_time = time(NULL);
	m->retry_ns = m->kill_ns = 0;
	if (!mount_works(m, &m->dev))
		m->dev = 0;
	return true;
}

void monitor_adopt(struct monitor *m)
{
	pid_t pid = instance_find_server(&m->inst);
	json_t *before = instance_state(&m->inst);
	int64_t since = instance_parse_time(out_get_text(before, "since"));

	m->restarts = (unsigned)out_get_int(before, "restarts");
	m->last_exit = json_incref(json_object_get(before, "last_exit"));
	json_decref(before);
	monitor_reload(m);
	if (pid && !watch(m, pid, false))
		pid = 0;
	/* asked again: now the descriptor is that of what was found */
	if (pid && instance_find_server(&m->inst) != pid) {
		close(m->pid_fd);
		m->pid_fd = -1;
		m->pid = pid = 0;
	}
	if (pid) {
		keeper_say("adopted the server, process %d", (int)pid);
		if (since)
			m->start_time = (time_t)since;
		m->wants_server = true;
	}
	set_state(m, pid ? "running" : "held");
}

/* The server to start, as the command that wrote my.cnf found it. */
static void binary_of(const json_t *record, struct server_binary *bin)
{
	const json_t *b = json_object_get(record, "binary");

	*bin = (struct server_binary){0};
	snprintf(bin->path, sizeof(bin->path), "%s", out_get_text(b, "path"));
	bin->script = out_get_bool(b, "script");
	bin->mariadb = out_get_bool(b, "mariadb");
	bin->version = (unsigned)out_get_int(b, "version");
}

static int spawn(struct monitor *m, pid_t *pid)
{
	char options[PATH_MAX], pid_file[PATH_MAX], log[PATH_MAX];
	const json_t *record = m->inst.record;
	const char *cgroup = out_get_text(record, "cgroup");
	struct server_binary bin;
	struct server_run run = {
		.bin = &bin,
		.options_file = instance_file(&m->inst, "my.cnf", options),
		.options = json_object_get(record, "run_options"),
		.pid_file = instance_pid_file(&m->inst, pid_file),
		.log = instance_log(&m->inst, log),
		.cgroup = *cgroup ? cgroup : NULL,
		.uid = (uid_t)out_get_int(record, "uid"),
		.gid = (gid_t)out_get_int(record, "gid"),
	};

	binary_of(record, &bin);
	return server_spawn(&run, pid);
}

static void give_up(struct monitor *m, const char *why)
{
	keeper_say("%s; giving up, 'dbs up %s' tries again", why, m->inst.name);
	m->wants_server = false;
	m->ends = true;
	m->retry_ns = 0;
	set_state(m, "failed");
}

void monitor_start(struct monitor *m)
{
	pid_t pid;
	dev_t dev;

	free(m->start_error);
	m->start_error = NULL;
	m->retry_ns = 0;
	if (m->pid)
		return;
	if (!mount_works(m, &dev)) {
		wait_for_mount(m);
		return;
	}
	if (spawn(m, &pid) != CTL_OK) {
		if (asprintf(&m->start_error, "server '%s' cannot be started",
			     out_get_text(
				     json_object_get(m->inst.record, "binary"),
				     "path")) < 0)
			m->start_error = NULL;
		give_up(m, "the server cannot be started");
		return;
	}
	if (!watch(m, pid, true)) {
		/* a child that is not waited for keeps its number */
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		give_up(m, "the server cannot be watched");
		return;
	}
	keeper_say("started the server, process %d", (int)pid);
	set_state(m, "running");
}

/* ---- stop ------------------------------------------------------------------------ */

static void stop_answer(struct monitor *m)
{
	int fd = m->waiting_fd;

	m->waiting_fd = -1;
	if (fd >= 0)
		monitor_answer_state(m, fd);
}

void monitor_stop(struct monitor *m, bool kills, uint64_t timeout_ms)
{
	m->retry_ns = 0;
	if (!m->pid) {
		set_state(m, m->ends ? "stopped" : "held");
		stop_answer(m);
		return;
	}
	m->kill_ns = now_ns() + (timeout_ms ? timeout_ms : STOP_MS) * NS_PER_MS;
	set_state(m, "stopping");
	if (send_signal(m, kills ? SIGKILL : SIGTERM) && errno != ESRCH)
		keeper_say("process %d cannot be ended: %m", (int)m->pid);
}

void monitor_exit(struct monitor *m, bool failed)
{
	if (m->pid)
		return;
	m->done = true;
	set_state(m, failed ? "failed" : "stopped");
}

/* ---- the end ----------------------------------------------------------------------- */

/* Returns false: it shut down cleanly. */
static bool note_end(struct monitor *m)
{
	int status = 0;
	bool known = m->is_child && waitpid(m->pid, &status, 0) == m->pid;

	json_decref(m->last_exit);
	m->last_exit = keeper_exit(known ? &status : NULL);
	return !known || status;
}

static void crashed(struct monitor *m)
{
	uint64_t ran_s = (now_ns() - m->start_ns) / NS_PER_MS / 1000;
	dev_t dev;

	if (ran_s >= KEEPER_RUN_WELL_S)
		m->crashes = 0;
	/* a mount that died is no fault of the server's */
	if (!mount_works(m, &dev)) {
		wait_for_mount(m);
		return;
	}
	if (++m->crashes >= KEEPER_CRASHES_MAX) {
		give_up(m, "the server crashed too often");
		return;
	}
	m->retry_ns = now_ns() + keeper_wait_ms(m->crashes) * NS_PER_MS;
	set_state(m, "restarting");
}

void monitor_ended(struct monitor *m)
{
	bool was_wanted = m->wants_server && !m->over;
	bool crash = note_end(m);

	keeper_say("the server, process %d, %s", (int)m->pid,
		   out_get_text(m->last_exit, "text"));
	if (m->pid_fd >= 0)
		close(m->pid_fd);
	m->pid_fd = -1;
	m->pid = 0;
	m->kill_ns = 0;
	if (was_wanted && crash) {
		crashed(m);
	} else if (m->over || m->ends || was_wanted) {
		/* who shut it down through SQL meant it */
		m->shut_down = was_wanted;
		m->ends = true;
		m->wants_server = false;
		set_state(m, m->over ? m->over : "stopped");
	} else {
		set_state(m, "held");
	}
	stop_answer(m);
}

/* ---- from time to time --------------------------------------------------------------- */

static void check_age(struct monitor *m)
{
	char path[PATH_MAX];
	struct stat st;
	int64_t expires;

	if (!stat(instance_file(&m->inst, "instance.json", path), &st) &&
	    (st.st_ino != m->record_ino ||
	     st.st_mtim.tv_sec != m->record_time.tv_sec ||
	     st.st_mtim.tv_nsec != m->record_time.tv_nsec))
		monitor_reload(m);
	if (m->over || !m->pid || !m->wants_server || instance_leased(&m->inst))
		return;
	expires = (int64_t)out_get_int(m->inst.record, "expires");
	if (expires && time(NULL) >= expires)
		m->over = "expired";
	else if (monitor_is_idle(m))
		m->over = "idle";
	if (!m->over)
		return;
	keeper_say("%s", strcmp(m->over, "idle")
				 ? "its time is over"
				 : "nobody has used it for a while");
	monitor_stop(m, false, 0);
}

static bool is_due(uint64_t ns)
{
	return ns && now_ns() >= ns;
}

void monitor_tick(struct monitor *m)
{
	/* a command has removed the instance */
	if (!m->pid && access(m->inst.dir, F_OK)) {
		m->done = true;
		return;
	}
	if (m->pid && m->wants_server)
		check_mount(m);
	check_age(m);
	log_rotate(&m->inst, "server.log");
	if (m->pid && is_due(m->kill_ns)) {
		keeper_say("the server does not end; killing it");
		m->kill_ns = 0;
		send_signal(m, SIGKILL);
	}
	if (!m->pid && m->wants_server && is_due(m->retry_ns)) {
		/* for a mount it may wait long, and that is no restart */
		m->restarts += !IS_STATE(m, "waiting");
		monitor_start(m);
	}
}

int monitor_timeout(const struct monitor *m, int most)
{
	uint64_t now = now_ns(), due = now + (uint64_t)most * NS_PER_MS;

	if (m->retry_ns)
		due = MIN_OF(due, m->retry_ns);
	if (m->kill_ns)
		due = MIN_OF(due, m->kill_ns);
	return due <= now ? 0 : (int)((due - now) / NS_PER_MS) + 1;
}
