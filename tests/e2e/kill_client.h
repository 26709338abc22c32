/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_client.h - the kill test's client of MariaDB
 *
 * Below: libmysqlclient, kill_model.h.  Above: kill.sh.
 *
 * The record of acknowledged commits is a text file outside of the mount:
 * 'w n' a line, appended after COMMIT has returned.  Its first line of each
 * writer is where that writer stood when the load began.
 */
#ifndef DBS_TESTS_KILL_CLIENT_H
#define DBS_TESTS_KILL_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <mysql.h>

#include "tests/e2e/kill_model.h"

/* A writer's first and last line in the record. */
struct kill_acked {
	bool known;
	uint32_t first, last;
};

/** NULL: says why on stderr if @loud. */
MYSQL *kill_connect(const char *socket, const char *db, bool loud);
/** Run statements, throw their rows away; -1 (after saying why) if one fails. */
int kill_run(MYSQL *my, const char *sql, const char *what);
/** A number, or @otherwise. */
uint64_t kill_number(MYSQL *my, const char *sql, uint64_t otherwise);
/** Read a record; exits if there is none. */
void kill_read_acked(const char *path,
		     struct kill_acked acked[KILL_WRITERS_MAX]);

int kill_schema(const char *socket, unsigned writers);
int kill_load(const char *socket, const char *record, unsigned writers,
	      bool binlog);
int kill_verify(const char *socket, const char *before, const char *after,
		bool binlog);

#endif
