/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the control socket: commands on the mounted pool
 *
 * Below: ctl_ops.h, sockets.  Above: main.c.
 *
 * One thread a connection, CONTROL_CONNECTIONS_MAX at most; one request a
 * line, answered in order.  What a peer sends is hostile until parsed: lines
 * are bounded, idle and slow peers are cut off, and after a request that is no
 * JSON the connection is closed.
 *
 * Who may: root, the owner of the pool's file, members of the configured
 * group.
 *
 * Invariants:
 *  C1  whoever connects is served, unless all slots run requests: the idle
 *      connection of who has the most gives way.  Some slots are root's only.
 *  C2  a socket file of our name that refuses connections is a dead daemon's,
 *      never one of a daemon that starts.
 */
#ifndef DBS_FS_CONTROL_H
#define DBS_FS_CONTROL_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/ctl_ops.h"

#define CONTROL_CONNECTIONS_MAX	   64
#define CONTROL_CONNECTIONS_OTHERS 56  /* than root's */
#define CONTROL_IDLE_S		   600 /* between requests */
#define CONTROL_LINE_S		   10 /* from a request's first byte to its last */
#define CONTROL_ANSWER_S	   60 /* for taking an answer */

struct control;

struct control_options {
	const char *path;
	bool make_dir; /* of CTL_RUN_DIR, root's only */
	gid_t group;   /* (gid_t)-1: none */
	uid_t owner;   /* of the pool */
	struct ctl_context *ctx;
};

struct control_error {
	char text[512];
};

/**
 * Make the socket, 0600 or with a group 0660, for the pool's owner.  What a
 * dead daemon left there is replaced.  No thread is started yet, so that
 * privileges can be dropped in between.  @error: out, one sentence
 */
int control_new(const struct control_options *options, struct control **control,
		struct control_error *error);
/** Answer from now on.  @ctx: set by now, as in the options. */
int control_start(struct control *control);
/** Take no more requests and wait for those under way. */
void control_stop(struct control *control);
/** Send @answer, which it drops, to all connections that control_stop() left:
 * a second answer to whoever asked for the end and waits for it. */
void control_farewell(struct control *control, json_t *answer);
/** Close the connections that control_stop() left, remove the socket; NULL
 * and one that was never started will do too. */
void control_free(struct control *control);

#endif
