/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_row.h - one row of an INSERT, cut into its values
 *
 * Below: sql_lexer, sql_value.  Above: sql_reader.
 *
 * Invariants:
 *  SR1  values lie in the row in order and don't overlap; what is between them
 *       is a comma, white space and comments.
 *  SR2  a row takes no memory per value but the array, which is kept.
 */
#ifndef DBS_TOOLS_IMPORT_SQL_ROW_H
#define DBS_TOOLS_IMPORT_SQL_ROW_H

#include "tools/import/sql_lexer.h"
#include "tools/import/sql_value.h"

/* Sixteen times what a server's table can have. */
#define SQL_VALUES_MAX 65536u

struct sql_row {
	struct sql_value *values; /* of the last row scanned */
	unsigned nr, cap;
	unsigned flags;	 /* of any of them */
	const char *end; /* past its ')' */
	/* after -EBADMSG */
	const char *bad_at;
	const char *bad_what;
};

void sql_row_release(struct sql_row *row);

/**
 * Scan the row whose '(' is at @p.
 *
 * @end: zeros follow it, SQL_SLACK of them
 *
 * Errors: -EAGAIN it may go on past @end; -EBADMSG; -ENOMEM
 * Cost:   one pass, a block of 32 bytes at a time in strings
 */
int sql_row_scan(struct sql_row *row, const struct sql_dialect *d,
		 const char *p, const char *end, bool whole);

#endif
