/* SPDX-License-Identifier: Apache-2.0 */
/*
 * instance.h - what is known of an instance: its record, folders and locks
 *
 * Below: server.h, jansson.  Above: life.c, monitor.c, cmd_instance*.c.
 *
 * An instance is a server on a dataset and has its name.  Its folder is
 * /var/lib/dbs/instances/NAME, or with $DBS_STATE_DIR that/instances/NAME:
 *
 *   instance.json  the record: what it is to be (only commands write it)
 *   state.json     what it is (only the monitor writes it)
 *   lock           held by a command that changes the instance
 *   monitor.lock   held by the monitor for as long as it lives
 *   my.cnf         the server's options, written before each start
 *   init.sql       what makes its identity; gone when it has done so
 *   password       of its account, for who made the instance only
 *   client.cnf     the same as an option file for clients
 *   server.log     what server and monitor say; .1 to .3 are older
 *   tmp/           the server's temporary files
 *
 * and /run/dbs/instances/NAME, or $DBS_STATE_DIR/run/NAME:
 *
 *   control        the monitor's socket, for root
 *   server/        the server's own: mysql.sock, pid
 *
 * Record: {name, pool, dataset_from|null, dataset_id, made, making?: {from,
 * since} (the clone has been begun, and nobody knows its id yet), port,
 * port_new? (it was chosen here, and no server has listened on it yet), bind,
 * options: [...], server|null, user, account, ttl_s, expires|0, idle_s,
 * memory, server_id, datadir, identity, undo|null,
 * wanted: "up"|"down", lease: {until, reason}}
 *
 * Invariants:
 *  N1  files are replaced whole, by rename.
 *  N2  a record is changed by who holds 'lock', and no lock is waited for.
 *  N3  two instances never have one port: it is chosen and recorded under
 *      instances/.ports.
 */
#ifndef DBS_TOOLS_INSTANCE_INSTANCE_H
#define DBS_TOOLS_INSTANCE_INSTANCE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "store/store.h"

#define INSTANCE_ACCOUNT "dbs" /* the server's account that is ours */

struct instance {
	char name[DATASET_NAME_MAX + 1];
	char *dir;	/* its folder */
	char *run;	/* its folder in /run */
	json_t *record; /* NULL: there is none yet */
	int lock;	/* fd, or -1 */
	bool made_dir; /* by this command: goes again when nothing came of it */
};

#define INSTANCE_LOCK 1u /* take the lock */
#define INSTANCE_MAKE 2u /* it need not exist */

/**
 * Open instance @name; the caller calls instance_close(), also on failure.
 * Errors: CTL_NOT_FOUND; CTL_CONFLICT another command has the lock;
 *         CTL_NOT_PERMITTED; CTL_CONFIG its record cannot be read
 */
int instance_open(const char *name, unsigned flags, struct instance *inst);
void instance_close(struct instance *inst);
/** Is there one of this name?  Says nothing. */
bool instance_exists(const char *name);
/** Their names, sorted. */
json_t *instance_names(void);
/**
 * The snapshots that they go back to: {"DS@SNAP": instance}; the caller's.
 * NULL: one of them cannot be read, which has been said, and nobody knows what
 * it needs.
 */
json_t *instance_origins(void);

/** Path of @file in its folder; in that of /run.  Returns @buf. */
char *instance_file(const struct instance *inst, const char *file,
		    char buf[PATH_MAX]);
char *instance_run_file(const struct instance *inst, const char *file,
			char buf[PATH_MAX]);
#define instance_socket(inst, buf)                                             \
	instance_run_file(inst, "server/mysql.sock", buf)
#define instance_pid_file(inst, buf) instance_run_file(inst, "server/pid", buf)
#define instance_log(inst, buf)	     instance_file(inst, "server.log", buf)

/** Write the record. */
int instance_save(struct instance *inst);
/** Is there room for what a start writes?  Asked before a server is stopped. */
int instance_check_room(const struct instance *inst);
/** Replace @file in its folder by @text. */
int instance_write(const struct instance *inst, const char *file, mode_t mode,
		   uid_t uid, gid_t gid, const char *text);
/** The same with the text of @json, which stays the caller's, as ours. */
int instance_write_json(const struct instance *inst, const char *file,
			mode_t mode, const json_t *json);
/** Make the folders that the server with @uid needs. */
int instance_make_dirs(const struct instance *inst, uid_t uid, gid_t gid);
/** Remove the record, and both folders with what is in them. */
int instance_remove(struct instance *inst);

/**
 * Give it a port: @wanted, or, if that is 0, one that nobody uses, the same
 * for the same name where that is possible; and save the record.
 * Errors: CTL_CONFLICT another instance has it, or somebody listens on it
 */
int instance_choose_port(struct instance *inst, unsigned wanted);
/** Is anybody listening on the TCP port? */
bool instance_port_used(const char *bind_address, unsigned port);

/* ---- what it is now ------------------------------------------------------------ */

/**
 * state.json as it was written last, corrected by what /proc and the locks
 * say: {state, monitored, server_pid, since, restarts, ...}; never NULL.
 *
 * state: "running", "starting", "stopping", "held" (a command works on it),
 * "waiting" (for its mount), "restarting" (it crashed, and waits), "stopped",
 * "failed" (given up), "expired", "idle", "unmonitored" (it runs, its monitor was
 * killed), "dead" (both were killed)
 */
json_t *instance_state(const struct instance *inst);
/** Does a monitor hold monitor.lock? */
bool instance_monitored(const struct instance *inst);
/** The running server's process, or 0. */
pid_t instance_server(const struct instance *inst);
/** The same for a monitor, which has the lock and has yet to find it. */
pid_t instance_find_server(const struct instance *inst);

/** Is it protected by a lease? */
bool instance_leased(const struct instance *inst);
/** Is it protected by a lease?  Says so then: returns CTL_CONFLICT. */
int instance_check_lease(const struct instance *inst);

/** Seconds since 1970 of an RFC 3339 time in UTC, 0 if it is none. */
int64_t instance_parse_time(const char *text);

#endif
