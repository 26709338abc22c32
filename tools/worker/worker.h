/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker.h - programs that work on an instance: started after it, stopped
 * before it
 *
 * Below: config.h, instance/.  Above: life.c, cmd_workers.c.
 *
 * A worker is one or more processes of one command.  Its folder is
 * /var/lib/dbs/workers/NAME, or with $DBS_STATE_DIR that/workers/NAME:
 *
 *   worker.json   what it is, as config.h makes it; root's only
 *   state.json    what it is doing (only its monitor writes it)
 *   monitor.lock  held by the monitor for as long as it lives
 *   held          there: 'dbs workers stop' stopped it, so only 'start' starts
 *   stdout.log, stderr.log   what it said, and in the latter its monitor
 *
 * Its monitor is 'dbs __worker NAME', asked to end by SIGTERM: it stops the
 * processes then, and ends.
 *
 * Invariants:
 *  K1  one monitor a worker: it holds monitor.lock from its first act to its
 *      last, and only it starts processes.
 *  K2  only who holds the lock of the worker's instance starts or stops it.
 *  K3  a process belongs to a worker if it is of the session of one that the
 *      monitor started and that lives, or has the worker's mark in its
 *      environment, or descends from the monitor, which is a subreaper; all
 *      end with it.  What is written of processes counts in its own boot only.
 *  K4  the password is in the environment of its processes, and nowhere else.
 */
#ifndef DBS_TOOLS_WORKER_WORKER_H
#define DBS_TOOLS_WORKER_WORKER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "tools/instance/instance.h"

struct worker {
	struct instance files; /* its folder only: no record, no server */
	json_t *record;	       /* worker.json; NULL: it was never started */
};

/**
 * Open worker @name; the caller calls worker_close(), also on failure.
 * @make: its folder is made
 * Errors: CTL_USAGE not a name; CTL_NOT_FOUND; CTL_FAILED
 */
int worker_open(const char *name, bool make, struct worker *w);
void worker_close(struct worker *w);
/** Names of those that have a folder, sorted. */
json_t *worker_names(void);
/** The instance that it belongs to, or "". */
const char *worker_instance(const struct worker *w);
/** Path of its output: "stdout.log" or "stderr.log".  Returns @buf. */
#define worker_file(w, file, buf) instance_file(&(w)->files, file, buf)
/** Has it a folder?  Says nothing. */
bool worker_is_there(const char *name);
/** Was it stopped by 'dbs workers stop'? */
bool worker_is_held(const struct worker *w);

/**
 * What it is now: {name, instance, state, boot, processes: [{pid, start, state,
 * since, restarts, last_exit}], monitor_pid, monitor_start}; the caller's.
 *
 * state: "running", "waiting" (for its instance), "restarting", "stopping",
 * "stopped", "held", "ended" (all of it, and autorestart is off), "failed" (one
 * crashed too often), "unmonitored" (its monitor was killed), "dead"
 */
json_t *worker_state(const struct worker *w);

/* ---- by commands: K2 ------------------------------------------------------------- */

/** Start it as @record says, unless it runs; what a dead monitor left ends. */
int worker_start(const char *name, const json_t *record);
/** From now on it starts with its instance again. */
int worker_release(const char *name);
/** Stop it: nothing of it runs then.  @hold: until 'dbs workers start' */
int worker_stop(const char *name, bool hold);

/**
 * Start those that @workers, of the configuration, has for @instance and that
 * are not held.  One that cannot be started is noted: its instance is up.
 */
void workers_start_of(const char *instance, const json_t *workers);
/** Stop those of @instance.  Errors: CTL_FAILED, CTL_TIMEOUT one still runs */
int workers_stop_of(const char *instance);
/** Is process @pid one of those of @instance? */
bool workers_have(const char *instance, pid_t pid);
/** Remove the folders of those of @instance, which do not run. */
void workers_remove_of(const char *instance);

/** 'dbs __worker NAME': returns an exit code when it is done. */
int worker_main(const char *name);

#endif
