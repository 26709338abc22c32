/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot-at.c - make a snapshot while the clock is wrong
 *
 * usage: snapshot-at POOL DATASET SNAPSHOT SECONDS
 *
 * The linker gives the store this clock instead of os.h's (--wrap).  The pool
 * is not mounted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "store/store.h"

static time_t ahead;

struct timespec __wrap_os_time_now(void);
struct timespec __wrap_os_time_now(void)
{
	return (struct timespec){.tv_sec = time(NULL) + ahead};
}

int main(int argc, char **argv)
{
	const struct pool_options options = {0};
	struct store_error error;
	struct dataset *ds;
	struct pool *pool;
	int rc;

	if (argc != 5) {
		fprintf(stderr, "usage: %s POOL DATASET SNAPSHOT SECONDS\n",
			argv[0]);
		return 64;
	}
	ahead = (time_t)strtoll(argv[4], NULL, 10);
	if (pool_open(argv[1], &options, &pool, &error)) {
		fprintf(stderr, "%s: %s\n", argv[1], error.text);
		return 2;
	}
	rc = dataset_open(pool, argv[2], &ds);
	if (!rc) {
		rc = dataset_snapshot(ds, argv[3], false, NULL);
		dataset_put(ds);
	}
	return pool_close(pool) || rc ? 2 : 0;
}
