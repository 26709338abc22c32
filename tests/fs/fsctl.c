/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsctl.c - what mounted.sh needs of the store, without the dbs command
 *
 *	fsctl make POOL SIZE DATASET...   a pool with datasets
 *	fsctl check POOL                  exit 1 when it is not clean
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

static int fail(const char *what, int rc, const struct store_error *error)
{
	fprintf(stderr, "fsctl: %s: %s (%s)\n", what, strerror(-rc),
		error ? error->text : "");
	return 2;
}

static int make(const char *path, const char *size, char **names)
{
	struct pool_create_options create = {
		.name = "test",
		.size = strtoull(size, NULL, 10) << 20,
		.sparse = true,
	};
	struct pool_options options = {0};
	struct store_error error = {.text = ""};
	struct dataset_properties p;
	struct pool *pool;
	uint32_t id;
	int rc;

	rc = pool_create(path, &create, &error);
	if (rc)
		return fail("create", rc, &error);
	rc = pool_open(path, &options, &pool, &error);
	if (rc)
		return fail("open", rc, &error);
	dataset_properties_default(&p);
	for (; *names; names++) {
		rc = dataset_create(pool, *names, &p, &id);
		if (rc)
			return fail(*names, rc, NULL);
	}
	rc = pool_close(pool);
	return rc ? fail("close", rc, NULL) : 0;
}

static void print(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "fsctl: check: %s\n", text);
}

static int check(const char *path)
{
	struct check_options options = {.data = true, .report = print};
	struct store_error error = {.text = ""};
	struct check_result result;
	int rc;

	rc = check_pool(path, &options, &result, &error);
	if (rc)
		return fail("check", rc, &error);
	return result.nr_errors ? 1 : 0;
}

int main(int argc, char **argv)
{
	if (argc > 3 && strcmp(argv[1], "make") == 0)
		return make(argv[2], argv[3], argv + 4);
	if (argc == 3 && strcmp(argv[1], "check") == 0)
		return check(argv[2]);
	fprintf(stderr, "usage: fsctl make POOL MIB DATASET... | check POOL\n");
	return 64;
}
