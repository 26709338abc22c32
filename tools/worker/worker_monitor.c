/* SPDX-License-Identifier: Apache-2.0 */
/* worker_monitor.c - 'dbs __worker': keeps the processes of a worker going */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs/ctl_ops.h"
#include "tools/cmd.h"
#include "tools/config.h"
#include "tools/instance/internal.h"
#include "tools/instance/keeper.h"
#include "tools/out.h"
#include "tools/worker/worker_internal.h"

#define TICK_MS	  500
#define NS_PER_MS UINT64_C(1000000)

/* One of its processes. */
struct slot {
	pid_t pid; /* 0: it does not run */
	uint64_t start_ns, retry_ns, ticks;
	time_t since;
	unsigned restarts, ends; /* of late, one after the other */
	const char *state;
	json_t *last_exit;
};

struct supervisor {
	struct worker w;
	struct instance inst;
	struct slot slots[CONFIG_PROCESSES_MAX];
	size_t nr;
	pid_t leads[CONFIG_PROCESSES_MAX];
	int lock, signal_fd;
	const char *state;
	bool ends;
};

/* ---- state.json ---------------------------------------------------------------------- */

static json_t *slot_json(const struct slot *slot)
{
	char since[OUT_TEXT_MAX];

	return json_pack(
		"{s:i, s:s, s:I, s:o, s:i, s:O?}", "pid", (int)slot->pid,
		"state", slot->state, "start", (json_int_t)slot->ticks, "since",
		slot->pid ? json_string(out_time(since, slot->since))
			  : json_null(),
		"restarts", (int)slot->restarts, "last_exit", slot->last_exit);
}

static const char *common_state(const struct supervisor *s)
{
	static const char *const order[] = {"failed", "waiting", "restarting",
					    "running", "ended"};

	if (s->state)
		return s->state;
	for (size_t k = 0; k < ARRAY_SIZE(order); k++)
		for (size_t i = 0; i < s->nr; i++)
			if (!strcmp(s->slots[i].state, order[k]))
				return order[k];
	return "starting";
}

static void write_state(struct supervisor *s)
{
	json_t *slots = json_array();

	for (size_t i = 0; i < s->nr; i++)
		json_array_append_new(slots, slot_json(&s->slots[i]));
	keeper_write_state(
		&s->w.files,
		json_pack("{s:s, s:s, s:s, s:s, s:i, s:I, s:o}", "name",
			  s->w.files.name, "instance", worker_instance(&s->w),
			  "state", common_state(s), "boot", procs_boot(),
			  "monitor_pid", (int)getpid(), "monitor_start",
			  (json_int_t)procs_start(getpid()), "processes",
			  slots));
}

/* ---- start ------------------------------------------------------------------------------ */

/* The instance is asked each time: its password and port are what they are. */
static bool instance_runs(struct supervisor *s, bool *over)
{
	json_t *state = instance_state(&s->inst);
	const char *text = out_get_text(state, "state");
	bool runs = !strcmp(text, "running") || !strcmp(text, "unmonitored");

	*over = !strcmp(text, "stopped") || !strcmp(text, "expired") ||
		!strcmp(text, "idle") || !strcmp(text, "failed") ||
		access(s->inst.dir, F_OK);
	json_decref(state);
	return runs;
}

static void slot_later(struct slot *slot, const char *state, uint64_t ms)
{
	slot->state = state;
	slot->retry_ns = now_ns() + ms * NS_PER_MS;
}

static void slot_give_up(struct slot *slot, size_t number, const char *why)
{
	keeper_say(
		"process %zu: %s; giving up, 'dbs workers start' tries again",
		number, why);
	slot->state = "failed";
	slot->retry_ns = 0;
}

static void slot_start(struct supervisor *s, size_t i)
{
	struct slot *slot = &s->slots[i];
	char why[256] = "";
	bool over;

	slot->retry_ns = 0;
	if (!instance_runs(s, &over)) {
		slot_later(slot, "waiting", TICK_MS);
		return;
	}
	if (worker_spawn(&s->w, &s->inst, (unsigned)i + 1, &slot->pid, why,
			 sizeof(why))) {
		slot->pid = 0;
		slot_give_up(slot, i + 1, why);
		return;
	}
	slot->ticks = procs_start(slot->pid);
	slot->start_ns = now_ns();
	slot->since = time(NULL);
	slot->state = "running";
	s->leads[i] = slot->pid;
	keeper_say("started process %zu, pid %d", i + 1, (int)slot->pid);
}

/* ---- the end ---------------------------------------------------------------------------- */

/* Returns whether it counts as a crash. */
static bool slot_note_exit(struct slot *slot, size_t number, int status)
{
	json_decref(slot->last_exit);
	slot->last_exit = keeper_exit(&status);
	keeper_say("process %zu, pid %d, %s", number, (int)slot->pid,
		   out_get_text(slot->last_exit, "text"));
	slot->pid = 0;
	slot->ticks = 0;
	return status;
}

/* A crash while its instance is away is no fault of its own. */
static void slot_again(struct supervisor *s, size_t i, bool crashed)
{
	struct slot *slot = &s->slots[i];
	uint64_t ran_s = (now_ns() - slot->start_ns) / NS_PER_MS / 1000;
	bool over;

	if (ran_s >= KEEPER_RUN_WELL_S)
		slot->ends = 0;
	if (!instance_runs(s, &over)) {
		slot_later(slot, "waiting", TICK_MS);
		return;
	}
	slot->ends++;
	if (crashed && slot->ends >= KEEPER_CRASHES_MAX) {
		slot_give_up(slot, i + 1, "it crashed too often");
		return;
	}
	slot_later(slot, "restarting", keeper_wait_ms(slot->ends));
}

/* What it started must not work on beside its successor. */
static void slot_sweep(struct supervisor *s, size_t i)
{
	const struct procs procs = {.mark = s->w.files.dir,
				    .number = (unsigned)i + 1,
				    .leads = &s->leads[i],
				    .nr_leads = 1};
	size_t nr = procs_signal(&procs, 0);

	if (nr) {
		keeper_say("killing %zu processes that it left", nr);
		procs_end(&procs, SIGKILL, 0, NULL, NULL);
	}
	/* its number may be that of another's session from now on */
	s->leads[i] = 0;
}

/* As a subreaper we get children that were never ours. */
static void reap(void *arg)
{
	struct supervisor *s = arg;
	bool changed = false;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (size_t i = 0; i < s->nr; i++) {
			struct slot *slot = &s->slots[i];
			bool crashed;

			if (slot->pid != pid)
				continue;
			changed = true;
			crashed = slot_note_exit(slot, i + 1, status);
			if (s->ends) {
				slot->state = "stopped";
				continue;
			}
			slot_sweep(s, i);
			if (out_get_bool(s->w.record, "autorestart"))
				slot_again(s, i, crashed);
			else
				slot->state = "ended";
		}
	}
	if (changed)
		write_state(s);
}

/* All of it ends: by a command, or since its instance has. */
static void stop_all(struct supervisor *s, const char *why)
{
	const struct procs procs = {.mark = s->w.files.dir,
				    .leads = s->leads,
				    .nr_leads = s->nr,
				    .monitor = getpid()};

	s->ends = true;
	s->state = "stopping";
	write_state(s);
	keeper_say("stopping: %s", why);
	if (!procs_end(&procs, (int)out_get_int(s->w.record, "stop_signal"),
		       out_get_int(s->w.record, "grace_ms"), reap, s))
		keeper_say("something of it does not end");
	reap(s);
	s->state = "stopped";
	write_state(s);
}

/* ---- from time to time ------------------------------------------------------------------- */

/* Nothing runs, and nothing is going to. */
static bool is_over(const struct supervisor *s)
{
	for (size_t i = 0; i < s->nr; i++)
		if (s->slots[i].pid || s->slots[i].retry_ns)
			return false;
	return true;
}

static void tick(struct supervisor *s)
{
	bool over = false, changed = false;

	log_rotate(&s->w.files, "stdout.log");
	log_rotate(&s->w.files, "stderr.log");
	instance_runs(s, &over);
	if (over) {
		stop_all(s, "its instance has stopped");
		return;
	}
	for (size_t i = 0; i < s->nr; i++) {
		struct slot *slot = &s->slots[i];

		if (slot->pid || !slot->retry_ns || now_ns() < slot->retry_ns)
			continue;
		slot->restarts += strcmp(slot->state, "waiting") != 0;
		slot_start(s, i);
		changed = true;
	}
	if (changed)
		write_state(s);
	if (is_over(s)) {
		keeper_say("nothing of it is left to run");
		s->ends = true;
	}
}

static int timeout_ms(const struct supervisor *s)
{
	uint64_t now = now_ns(), due = now + TICK_MS * NS_PER_MS;

	for (size_t i = 0; i < s->nr; i++)
		if (s->slots[i].retry_ns)
			due = MIN_OF(due, s->slots[i].retry_ns);
	return due <= now ? 0 : (int)((due - now) / NS_PER_MS) + 1;
}

static void take_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGCHLD) {
			reap(s);
		} else if (info.ssi_signo == SIGTERM && !s->ends) {
			stop_all(s, "asked to");
			return;
		}
	}
}

static void loop(struct supervisor *s)
{
	while (!s->ends) {
		struct pollfd fd = {.fd = s->signal_fd, .events = POLLIN};

		if (poll(&fd, 1, timeout_ms(s)) < 0 && errno != EINTR)
			break;
		take_signals(s);
		if (!s->ends)
			tick(s);
	}
}

/* ---- set-up ------------------------------------------------------------------------------ */

static int open_all(struct supervisor *s, const char *name)
{
	char path[PATH_MAX];
	int code = worker_open(name, false, &s->w), err;

	if (code != CTL_OK)
		return code;
	if (!s->w.record)
		return fail(CTL_CONFIG, "worker '%s' has no record", name);
	/* before all else: who wants it to end finds us by the lock */
	s->signal_fd = keeper_signals(SIGCHLD);
	err = instance_lock_file(worker_file(&s->w, "monitor.lock", path),
				 &s->lock);
	if (err)
		return fail(err == -EAGAIN ? CTL_CONFLICT : CTL_FAILED,
			    "worker '%s' has a monitor, or '%s' cannot be "
			    "locked",
			    name, path);
	if (s->signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
		return fail(CTL_FAILED, "signals: %m");
	s->nr = MIN_OF((size_t)out_get_int(s->w.record, "processes"),
		       (size_t)CONFIG_PROCESSES_MAX);
	return instance_open(worker_instance(&s->w), 0, &s->inst);
}

int worker_main(const char *name)
{
	struct supervisor *s = calloc(1, sizeof(*s));
	int code;

	if (!s)
		return CTL_FAILED;
	s->w.files.lock = s->inst.lock = s->lock = s->signal_fd = -1;
	code = open_all(s, name);
	if (code == CTL_OK) {
		for (size_t i = 0; i < s->nr; i++)
			slot_start(s, i);
		write_state(s);
		keeper_ready();
		loop(s);
	}
	for (size_t i = 0; i < s->nr; i++)
		json_decref(s->slots[i].last_exit);
	instance_close(&s->inst);
	worker_close(&s->w);
	free(s);
	return code;
}
