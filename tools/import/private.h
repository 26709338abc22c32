/* SPDX-License-Identifier: Apache-2.0 */
/*
 * private.h - a server for one import: new data directory, socket only
 *
 * Below: tools/instance/server.h.  Above: import.h.
 *
 * Its folder is /var/lib/dbs/import/NAME, or with $DBS_STATE_DIR that/import/
 * NAME:
 *
 *   lock        held by the import for as long as it lives
 *   my.cnf, server.log
 *   server/     the server's own: mysql.sock, pid
 *
 * Beside it are new data directories as each server makes them, one for each
 * (private_new.c): .new-SERVER-VERSION.
 *
 * Files: private.c (folder, lock, the server's life), private_new.c (a new data
 * directory).
 *
 * Settings are fast and unsafe: what a crash leaves is thrown away.
 */
#ifndef DBS_TOOLS_IMPORT_PRIVATE_H
#define DBS_TOOLS_IMPORT_PRIVATE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tools/instance/server.h"

struct private_server {
	struct server_binary bin;
	char top[PATH_MAX]; /* of all imports */
	char dir[PATH_MAX], log[PATH_MAX], options[PATH_MAX];
	char socket[PATH_MAX], pid_file[PATH_MAX];
	char datadir[PATH_MAX], tmpdir[PATH_MAX];
	uid_t uid;
	gid_t gid;
	char user[64];	 /* that connects */
	uint64_t packed; /* size of the dump; 0: not known */
	int lock;
	pid_t pid; /* 0: does not run */
};

/**
 * Make the folder for imports into dataset @name, take its lock, and end what
 * a killed import left running.
 * Errors: CTL_CONFLICT another one runs; those of server_find(), @path
 */
int private_open(const char *name, const char *path, struct private_server *p);
/** Kill what runs, remove the folder if @ok, let go of the lock. */
void private_close(struct private_server *p, bool ok);

/**
 * System tables in the empty directory @datadir, which becomes the server's.
 * Cost: a copy of some 20 MB; the first time for a server, its making
 */
int private_init(struct private_server *p, const char *datadir);
int private_start(struct private_server *p);
/** Clean shutdown; the temporary directory goes too. */
int private_stop(struct private_server *p);
/** Has it ended by itself? */
bool private_ended(const struct private_server *p);
/** End it at once, from any thread; private_close() collects it. */
void private_kill(const struct private_server *p);

#endif
