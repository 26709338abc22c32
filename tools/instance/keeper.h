/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h - what the monitors of servers and those of workers do alike
 *
 * Below: instance.h (a folder and its files).  Above: monitor*.c, worker/.
 *
 * A monitor is a process 'dbs WORD NAME' that a command starts and that lives
 * on without it.  It has a folder, a log in it that it appends to, as what it
 * watches does, and state.json, which nobody else writes.
 */
#ifndef DBS_TOOLS_INSTANCE_KEEPER_H
#define DBS_TOOLS_INSTANCE_KEEPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "tools/instance/instance.h"

/* What ends is started again after so long, then after twice as long ... */
#define KEEPER_RETRY_MIN_MS 200
#define KEEPER_RETRY_MAX_MS 30000
/* ... and given up after so many ends, one after the other without ... */
#define KEEPER_CRASHES_MAX 6
/* ... so much work in between. */
#define KEEPER_RUN_WELL_S 60

/* A process of a worker has this variable (worker.h, K3); a monitor has not. */
#define KEEPER_MARK "DBS_WORKER"

/**
 * Start 'dbs @word @name', which appends to the file @log and inherits nothing
 * else, and wait for its keeper_ready().  False: it ended instead, or there
 * was nothing to start it with.
 */
bool keeper_start(const char *word, const char *name, const char *log);

/* ---- in the monitor -------------------------------------------------------------- */

/** Whoever started it may go on. */
void keeper_ready(void);
/**
 * Take SIGTERM, SIGINT, SIGHUP and @also (0: none) through a descriptor, which
 * does not block and is the caller's.  -1 and errno on error.
 */
int keeper_signals(int also);
/** A line of the log. */
void keeper_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/** Replace state.json; the reference is taken.  Says so where it cannot. */
void keeper_write_state(const struct instance *inst, json_t *state);

/**
 * How a process ended: {time, code|null, signal|null, text}, where text is "was
 * killed by signal 9 (Killed)".
 * @status: of waitpid(2), or NULL: nobody knows
 */
json_t *keeper_exit(const int *status);
/** Milliseconds to wait after the @nr-th end in a row, from 1. */
uint64_t keeper_wait_ms(unsigned nr);

#endif
