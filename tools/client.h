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
/** Is the pool our own, and not a daemon's? */
bool client_is_local(const struct client *client);
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

/** Say that the pool on @path cannot be used; returns the exit code. */
int fail_pool(const char *path, int err, const struct store_error *error);

#endif
