/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client.h - a pool to send requests to, mounted or not
 *
 * Below: the daemon's control socket, or fs/ctl_ops.h on a pool that this
 * process opened itself.  Above: every command that works on a pool.
 *
 * All functions that return int return CTL_OK, or say on stderr what went
 * wrong and return the exit code for it.
 */
#ifndef DBS_TOOLS_CLIENT_H
#define DBS_TOOLS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "tools/cmd.h"

struct client;

/**
 * Find the pool that a command means and connect to its daemon, or open it.
 *
 * @pool: what the command line names, or NULL for the default: --socket,
 *        --pool, $DBS_SOCKET, $DBS_POOL, the file 'pool' in /etc/dbs, the
 *        only pool that is mounted
 */
int client_open(const struct invocation *inv, const char *pool,
		struct client **client);
/** Close; returns @code, or the exit code of a last commit that failed. */
int client_close(struct client *client, int code);

/**
 * Run @command.  @arguments: the reference is taken; may be NULL.
 * @result: out, the caller's
 */
int client_call(struct client *client, const char *command, json_t *arguments,
		json_t **result);
/** client_open, one client_call, client_close. */
int client_call_once(const struct invocation *inv, const char *pool,
		     const char *command, json_t *arguments, json_t **result);
/** The path of the pool that client_open() would choose, not connected. */
int client_default_path(const struct invocation *inv, const char *pool,
			char **path);

/* ---- daemons ------------------------------------------------------------------ */

/** What a daemon's ping says; NULL if none answers on @socket. */
json_t *daemon_ping(const char *socket);
/** Pings of all daemons in CTL_RUN_DIR, each with "socket": a JSON array. */
json_t *daemon_list(void);
/** The ping of the daemon that has the pool in file @path, or NULL. */
json_t *daemon_of_pool(const char *path);
/** The ping of the daemon whose mount is on @dir, or NULL. */
json_t *daemon_of_dir(const char *dir);

/**
 * Connect to @socket and send 'shutdown'; with CTL_OK @fd (closed at the
 * daemon's end of work) and the daemon's @pid are set.
 */
int daemon_shutdown(const char *socket, bool lazy, int *fd, pid_t *pid);

/** Say that the pool on @path cannot be used; returns the exit code. */
int fail_pool(const char *path, int err, const struct store_error *error);

#endif
