/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity.h - makes a clone of a server a server of its own
 *
 * Below: instance.h, datadir.h.  Above: life.c.
 *
 * A clone has the accounts, the replication and the UUID of what it was made
 * from.  Before it listens, and once for each state it is put into:
 *
 *  - a new server_id, and for MySQL a new server_uuid
 *  - replication is forgotten and not started; events and the binary log are
 *    off
 *  - each account is locked; a root that would have had no password may come
 *    through the socket as root of the host only; the account 'dbs' is made
 *    with a password of its own
 *
 * The password is chosen once and stays over restores.  The server reads it in
 * a file that only it can read, and that goes when it has done so: V3.
 */
#ifndef DBS_TOOLS_INSTANCE_IDENTITY_H
#define DBS_TOOLS_INSTANCE_IDENTITY_H

#include "tools/instance/datadir.h"
#include "tools/instance/instance.h"

/**
 * Choose password and server_id, where there are none yet, and write what
 * clients need: 'password' and 'client.cnf', for who called only.
 */
int identity_choose(struct instance *inst);
/** The password, or NULL, and says why; the caller frees. */
char *identity_password(const struct instance *inst);

/**
 * Make ready for a server's first start on a state: forget replication, write
 * init.sql for @bin, to be read by user @dir->uid.
 */
int identity_prepare(const struct instance *inst, const struct datadir *dir,
		     const struct server_binary *bin);
/** It has been read. */
void identity_done(const struct instance *inst);

#endif
