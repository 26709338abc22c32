/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker_internal.h - shared by the parts of tools/worker/
 */
#ifndef DBS_TOOLS_WORKER_WORKER_INTERNAL_H
#define DBS_TOOLS_WORKER_WORKER_INTERNAL_H

#include <time.h>

#include "tools/worker/worker.h"

/* Beside KEEPER_MARK, the mark of K3, whose value is the worker's folder. */
#define WORKER_NUMBER "DBS_WORKER_PROCESS"

/* ---- worker_procs.c ---- */

/** Which processes are meant. */
struct procs {
	const char *mark;   /* the worker's folder */
	unsigned number;    /* of one process, from 1; 0: all */
	const pid_t *leads; /* those that were started: sessions */
	size_t nr_leads;
	pid_t monitor; /* whose descendants count; 0: none */
};
/** Send @signal, 0: none, to those that live; returns how many there are. */
size_t procs_signal(const struct procs *procs, int signal);
/** Is it one of them, and alive? */
bool procs_have(const struct procs *procs, pid_t pid);
/** When @pid started, in ticks since the boot; 0: it is not there. */
uint64_t procs_start(pid_t pid);
/** Which boot this is: numbers and times of another mean nothing. */
const char *procs_boot(void);
/** Does @pid live that @state, as a monitor wrote it, says started at @start? */
bool procs_is(const json_t *state, pid_t pid, uint64_t start);
/**
 * Send @signal, wait for @grace_ms, then kill.
 * Returns false where something is left some seconds later.
 */
bool procs_end(const struct procs *procs, int signal, uint64_t grace_ms,
	       void (*tick)(void *arg), void *arg);

/* ---- worker_spawn.c ---- */

/**
 * Start process @number of @w.  @why: out, a sentence where it fails
 * Errors: -errno
 */
int worker_spawn(const struct worker *w, const struct instance *inst,
		 unsigned number, pid_t *pid, char *why, size_t cap);

#endif
