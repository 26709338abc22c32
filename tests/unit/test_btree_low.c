/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The first child of an inner node also takes what is lower than its key.
 * When it is split, or its node merged into a left one, that key has to say
 * the truth.
 */
#include <errno.h>

#include "store/dataset_internal.h"
#include "store/format.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

#define NR	  40000u
#define VALUE_LEN 300u /* a dozen to a leaf: three levels */

static struct file_pool fp;
static uint8_t there[NR];

struct change {
	struct key key;
	bool del;
};

static struct key key_nr(uint32_t i)
{
	/* lower than all that a dataset has by itself */
	return key_of(0, ITEM_XATTR, i);
}

static int change_body(struct op *op, struct dataset *ds, void *arg)
{
	static const uint8_t value[VALUE_LEN];
	const struct change *c = arg;
	int rc = btree_touch(op, &ds->tree, &c->key);

	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	if (c->del)
		MUST(btree_del(op, &ds->tree, &c->key));
	else
		btree_put(op, &ds->tree, &c->key, value, sizeof(value));
	return 0;
}

static void change(uint32_t i, bool del)
{
	struct change c = {.key = key_nr(i), .del = del};

	if (there[i] == !del)
		return;
	CHECK_OK(op_change(fp.ds, 1, 0, change_body, &c));
	there[i] = !del;
}

static int get_body(struct op *op, struct dataset *ds, void *arg)
{
	uint8_t value[VALUE_LEN];

	return btree_get(op, &ds->tree, arg, value, sizeof(value), NULL);
}

/* Each key on its own, and all of them in order. */
static void verify(void)
{
	for (uint32_t i = 0; i < NR; i++) {
		struct key key = key_nr(i);

		CHECK_INT(op_read(fp.ds, get_body, &key),
			  there[i] ? 0 : -ENOENT);
	}
}

static int setup(void **state)
{
	(void)state;
	file_pool_init(&fp, 256, NULL);
	memset(there, 0, sizeof(there));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	blkdev_close(fp.mem);
	return 0;
}

static void btree__keys_that_fall_are_all_found(void **state)
{
	(void)state;
	for (uint32_t i = NR; i-- > 0;)
		change(i, false);
	verify();
	for (uint32_t i = 0; i < NR; i++)
		change(i, true);
	verify();
}

static void btree__ranges_that_go_and_come_back_are_found(void **state)
{
	struct rnd rnd = {.state = 5};

	(void)state;
	for (uint32_t i = 0; i < NR; i += 2)
		change(i, false);
	for (unsigned round = 0; round < 40; round++) {
		uint32_t len = 100 + (uint32_t)rnd_below(&rnd, 8000);
		uint32_t from = (uint32_t)rnd_below(&rnd, NR - len);

		for (uint32_t i = from; i < from + len; i++)
			change(i, true);
		if (round % 8 == 0)
			CHECK_OK(pool_sync(fp.pool));
		len = len / 2;
		for (uint32_t i = from + len; i-- > from;)
			change(i, round % 3 == 0 && i % 5);
		verify();
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(btree__keys_that_fall_are_all_found),
		T(btree__ranges_that_go_and_come_back_are_found),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
