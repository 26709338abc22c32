/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.h - the small process beside each server, and how to talk to it
 *
 * Below: instance.h, keeper.h, server.h.  Above: life.c; 'dbs __monitor NAME'.
 *
 * The monitor starts the server, starts it again when it crashed, keeps its
 * log from growing, and writes state.json whenever something changes.  It
 * knows nothing of SQL or of the store.
 *
 * What a kill -9 does:
 *   the server    the monitor starts it again, after a while that grows; what
 *                 crashes too often is given up: "failed" (keeper.h)
 *   the monitor   the server works on; the next command that changes the
 *                 instance, or 'dbs up --all', starts a monitor that adopts it
 *   dbsfs         the server is killed when it has not died by itself, and
 *                 the monitor waits for the mount: "waiting"
 *
 * Invariants:
 *  M1  one monitor an instance: it holds monitor.lock from its first act to
 *      its last.
 *  M2  a server is started only by a monitor, and only when none runs.
 *  M3  only who held the instance's lock sends requests that change anything,
 *      so there is never a second one under way.
 *
 * A request is one line of JSON, {"command", ...}, and so is its answer, as
 * that of a daemon (ctl_ops.h).  Commands: status; start; stop {kill,
 * timeout_ms}, answered when the server has ended; exit {failed}, after a stop.
 */
#ifndef DBS_TOOLS_INSTANCE_MONITOR_H
#define DBS_TOOLS_INSTANCE_MONITOR_H

#include "tools/instance/instance.h"

#define MONITOR_LOG_MAX	  (8u << 20)
#define MONITOR_LOGS_KEPT 3

/** 'dbs __monitor NAME': returns an exit code when it is done. */
int monitor_main(const char *name);

/**
 * Start the monitor of @inst unless there is one, and wait until it listens.
 * A server that runs is adopted; none is started.
 */
int monitor_ensure(const struct instance *inst);

/**
 * Is there a monitor to send requests to?  Waits for one that is ending, or
 * only beginning.
 */
bool monitor_answers(const struct instance *inst);

/**
 * Ask for @command.  @arguments: the reference is taken, may be NULL;
 * @result: out, the state, or NULL if not wanted
 */
int monitor_call(const struct instance *inst, const char *command,
		 json_t *arguments, json_t **result);

#endif
