/* SPDX-License-Identifier: Apache-2.0 */
/*
 * library.h - libraries that are loaded when they are needed
 *
 * To load libcrypto, libssl, libmariadb and libcurl at each start takes longer
 * than all else of a 'dbs clone', which needs none of them:
 * docs/decisions/0130-libraries-when-needed.md.
 *
 * Below: dlopen(3).  Above: lib_crypto.c, lib_mysql.c, import/curl.c.
 */
#ifndef DBS_TOOLS_LIBRARY_H
#define DBS_TOOLS_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

struct library_symbol {
	const char *name;
	size_t at; /* in the table of pointers to functions */
};

/**
 * Load @library and put the addresses of @nr @symbols into @table.
 *
 * @global: its symbols are for libraries that it loads itself, too
 *
 * False: it cannot be loaded, or lacks one; dlerror(3) says which.
 */
bool library_load(const char *library, bool global,
		  const struct library_symbol *symbols, size_t nr, void *table);

/** The same; where that fails the process says so and exits with 2, as it
 * would have at its start with 127. */
void library_need(const char *library, bool global,
		  const struct library_symbol *symbols, size_t nr, void *table);

#endif
