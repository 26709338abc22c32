/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load.h - statements to a server, over several connections at once
 *
 * Below: libmysqlclient.  Above: import.h.
 *
 * Each connection has a thread and a queue.  One thread gives statements:
 *
 *  - of a session (SET, USE): to every connection, in their order
 *  - of a table: to the connection that the table was given, in their order
 *  - of all (views, triggers, what is not known): alone, when all that was
 *    given before is done
 *  - of anyone: to whichever connection is free
 *
 * Invariants:
 *  LD1  statements of one table are executed in the order they were given in;
 *       and each statement after all of the session's given before it.
 *  LD2  queued statements take at most LOAD_QUEUE_BYTES a connection, or one
 *       statement.
 *  LD3  after the first statement that the server refuses nothing more is
 *       sent, and load_error() has it.
 */
#ifndef DBS_TOOLS_IMPORT_LOAD_H
#define DBS_TOOLS_IMPORT_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_QUEUE_BYTES (6u << 20)
#define LOAD_NR_MAX	 8u

struct load;

struct load_error {
	unsigned number; /* the server's; 0: none */
	char text[512];
	char statement[128]; /* how it begins */
	char table[520];     /* "": none */
	uint64_t offset;     /* in the dump */
};

/**
 * Connect @nr times to the server on @socket.
 * Errors: -ENOMEM; -ECONNREFUSED with load_error()
 */
int load_open(const char *socket, const char *user, unsigned nr,
	      struct load **out);
/** End; what is queued is dropped. */
void load_close(struct load *load);

/** Call @tick while waiting; where it returns an error no more is sent. */
void load_set_tick(struct load *load, int (*tick)(void *arg), void *arg);

/* All of these copy the statement; errors: -EREMOTEIO (LD3), -ENOMEM. */

int load_session(struct load *load, const char *sql, size_t len,
		 uint64_t offset);
/** @table: "db.table" */
int load_table(struct load *load, const char *table, const char *sql,
	       size_t len, uint64_t offset);
int load_alone(struct load *load, const char *sql, size_t len, uint64_t offset);
int load_anyone(struct load *load, const char *table, const char *sql);
/** Wait until all is done. */
int load_drain(struct load *load);
/** No more is sent; from any thread. */
void load_stop(struct load *load);

/**
 * Run one query on the first connection, when all is done, and give the first
 * column of its first row; "" where there is none.
 */
int load_query(struct load *load, const char *sql, char *buf, size_t cap);

const struct load_error *load_error(const struct load *load);

#endif
