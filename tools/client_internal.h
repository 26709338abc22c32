/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client_internal.h - shared by client.c and target.c
 */
#ifndef DBS_TOOLS_CLIENT_INTERNAL_H
#define DBS_TOOLS_CLIENT_INTERNAL_H

#include "tools/cmd.h"

/* What a command line and its surroundings name: a daemon, or a path. */
struct target {
	char *socket; /* NULL: nobody has the pool mounted */
	char *path;   /* NULL: only the socket is known */
};

/** As client_open(); the caller calls target_release(), also on failure. */
int target_find(const struct invocation *inv, const char *pool,
		struct target *target);
void target_release(struct target *target);

#endif
