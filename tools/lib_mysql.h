/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_mysql.h - libmysqlclient, Oracle's or MariaDB's, loaded when it is needed
 *
 * Below: library.h.  Above: whatever calls one of its functions.
 */
#ifndef DBS_TOOLS_LIB_MYSQL_H
#define DBS_TOOLS_LIB_MYSQL_H

#include <mysql.h>

#define LIB_MYSQL_FUNCTIONS(X)                                                 \
	X(mysql_affected_rows)                                                 \
	X(mysql_close)                                                         \
	X(mysql_errno)                                                         \
	X(mysql_error)                                                         \
	X(mysql_fetch_fields)                                                  \
	X(mysql_fetch_lengths)                                                 \
	X(mysql_fetch_row)                                                     \
	X(mysql_field_count)                                                   \
	X(mysql_free_result)                                                   \
	X(mysql_init)                                                          \
	X(mysql_next_result)                                                   \
	X(mysql_num_fields)                                                    \
	X(mysql_options)                                                       \
	X(mysql_query)                                                         \
	X(mysql_real_connect)                                                  \
	X(mysql_real_query)                                                    \
	X(mysql_select_db)                                                     \
	X(mysql_set_character_set)                                             \
	X(mysql_set_server_option)                                             \
	X(mysql_store_result)                                                  \
	X(mysql_thread_end)                                                    \
	X(mysql_thread_init)

#define X(f) __typeof__(f) *f;
struct lib_mysql {
	LIB_MYSQL_FUNCTIONS(X)
};
#undef X

/** Its functions, by their own names; loaded at the first call, which ends the
 * process where that fails.  From any thread. */
const struct lib_mysql *lib_mysql(void);

#endif
