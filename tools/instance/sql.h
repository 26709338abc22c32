/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql.h - statements to an instance, as its account
 *
 * Below: libmysqlclient.  Above: quiesce.c, monitor_idle.c, cmd_instance_sql.c.
 */
#ifndef DBS_TOOLS_INSTANCE_SQL_H
#define DBS_TOOLS_INSTANCE_SQL_H

#include <stddef.h>

#include <jansson.h>

#include "tools/instance/instance.h"

struct sql;

/**
 * Connect to a running instance.
 * Errors: CTL_UNREACHABLE; CTL_TIMEOUT, as all here, where a lock was waited for
 */
int sql_open(const struct instance *inst, struct sql **sql);
/** The same, where no answer is waited for longer than @read_s; 0: for ever. */
int sql_open_within(const struct instance *inst, unsigned read_s,
		    struct sql **sql);
void sql_close(struct sql *sql);

/** Run one statement, whose rows are not wanted. */
int sql_run(struct sql *sql, const char *statement);
/** Columns @first and @second (-1: none) of the first row; "" where none is. */
int sql_row(struct sql *sql, const char *statement, int first, char *a,
	    size_t a_cap, int second, char *b, size_t b_cap);
/**
 * Run @statements, with ';' in between, in @database (NULL: in none).
 * @results: out, the caller's: one a statement, {columns: [...], rows:
 *           [[...]...]} or {affected}, as dbs-instance(1) describes them
 * Cost:     holds all rows in memory
 */
int sql_results(struct sql *sql, const char *database, const char *statements,
		json_t **results);

#endif
