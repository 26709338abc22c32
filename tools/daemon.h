/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.h - talks to daemons through their control sockets
 *
 * Below: the protocol of fs/ctl_ops.h.  Above: client.c, target.c,
 * cmd_mount.c, cmd_pool.c.
 *
 * A ping is what a daemon answers to 'ping', with its "socket" added.
 */
#ifndef DBS_TOOLS_DAEMON_H
#define DBS_TOOLS_DAEMON_H

#include <stdbool.h>
#include <sys/types.h>

#include <jansson.h>

#include "tools/cmd.h"

/* ---- one request ----------------------------------------------------------- */

/** Returns the connected socket, or -errno. */
int daemon_connect(const char *path);
/** @arguments: the reference is taken; may be NULL. */
json_t *daemon_request(const char *command, json_t *arguments);
/**
 * Send @request, whose reference is taken, and wait for the answer.
 * Errors: -E2BIG longer than the protocol allows; -EPROTO not an answer;
 *         those of send(2) and recv(2)
 */
int daemon_exchange(int fd, json_t *request, json_t **answer);
/**
 * Take the result out of @answer, whose reference is taken.
 * Returns CTL_OK, or says what the answer says and returns its code.
 */
int daemon_check(json_t *answer, json_t **result);
/** Does the daemon answer?  Errors: -ETIMEDOUT not within some seconds. */
int daemon_greet(int fd);
/** Say that @path cannot be used; returns the exit code. */
int fail_socket(const char *path, int err);

/* ---- the daemons of this host ------------------------------------------------ */

/** What a daemon's ping says; NULL if none answers on @socket. */
json_t *daemon_ping(const char *socket);
/** Pings of all daemons in CTL_RUN_DIR, each with "socket": a JSON array. */
json_t *daemon_list(void);
/** The ping of the daemon that has the pool in file @path, or NULL. */
json_t *daemon_of_pool(const char *path);
/** Remove the socket that a dead daemon of the pool in @pool has left. */
void daemon_forget(const char *pool);
/** The first ping whose member @key is @value, or NULL. */
json_t *daemon_by(const char *key, const char *value);
/** The ping of the daemon whose mount is on @dir, or NULL. */
json_t *daemon_of_dir(const char *dir);

/**
 * Connect to @socket and send 'shutdown'; with CTL_OK @fd (closed at the
 * daemon's end of work) and the daemon's @pid are set.  CTL_CONFLICT, which is
 * left to the caller to say: something uses the mount.
 */
int daemon_shutdown(const char *socket, bool lazy, int *fd, pid_t *pid);

#endif
