/* SPDX-License-Identifier: Apache-2.0 */
/*
 * datadir.h - what a data directory is: where, whose, which server's
 *
 * Below: libc, server.h.  Above: life.c.
 *
 * The files belong to whoever ran the server, who is not trusted: links are
 * not followed, and what is read is bounded and verified.
 */
#ifndef DBS_TOOLS_INSTANCE_DATADIR_H
#define DBS_TOOLS_INSTANCE_DATADIR_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "tools/instance/server.h"

struct datadir {
	char path[PATH_MAX];
	uid_t uid;
	gid_t gid;	     /* of that user, whatever the files' is */
	bool mariadb, mysql; /* neither: cannot be told */
	unsigned version;    /* SERVER_VERSION() that used it last, or 0 */
	uint32_t page_size;  /* InnoDB's; 0: cannot be told */
	uint64_t log_size;   /* of ib_logfile0; 0: there is none */
};

/**
 * Find the data directory in @top, a dataset's directory: itself, or the only
 * folder in it that is one.
 *
 * @name: of the dataset, for what is said
 * Errors: CTL_NOT_FOUND; CTL_CONFLICT several; CTL_NOT_PERMITTED it belongs
 *         to root, or to another than the caller who is not root;
 *         CTL_CONFIG to nobody that the host knows
 */
int datadir_find(const char *top, const char *name, struct datadir *dir);

/**
 * Can @bin open it?
 * Errors: CTL_CONFIG it is another kind of server's, or a newer one's
 */
int datadir_check_server(const struct datadir *dir,
			 const struct server_binary *bin);

/**
 * Refuse one with anything in it that leads out of it: a link, an '.isl' file
 * (a table's DATA DIRECTORY); or that is a named pipe or a device.
 *
 * Errors: CTL_CONFIG
 * Cost:   readdir(3) of each folder, nothing for each file
 */
int datadir_check_inside(const struct datadir *dir);

/** Names of the databases in it, those of the server itself left out. */
json_t *datadir_databases(const char *path);

/**
 * Refuse a directory that a server has open: all kinds lock their files while
 * they run (fcntl), and one that is none of ours must keep them.
 */
int datadir_check_unused(const struct datadir *dir);

/**
 * Remove what a server takes for its identity and its replication: auto.cnf,
 * master.info, relay logs and the like.  The server must not run.
 */
int datadir_forget(const struct datadir *dir);

#endif
