/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/lib_mysql.h"

#include <pthread.h>

#include "store/store.h"
#include "tools/library.h"

/* the one whose headers these are */
#ifdef MARIADB_PACKAGE_VERSION
#define LIBRARY "libmariadb.so.3"
#elif MYSQL_VERSION_ID < 80100
#define LIBRARY "libmysqlclient.so.21"
#else
#define LIBRARY "libmysqlclient.so.24"
#endif

static struct lib_mysql table;

static void load(void)
{
#define X(f) {#f, offsetof(struct lib_mysql, f)},
	static const struct library_symbol symbols[] = {LIB_MYSQL_FUNCTIONS(X)};
#undef X

	library_need(LIBRARY, true, symbols, ARRAY_SIZE(symbols), &table);
}

const struct lib_mysql *lib_mysql(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load);
	return &table;
}
