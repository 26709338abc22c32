/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_btree.c - single properties of B+trees
 *
 * test_btree_model.c compares long random runs with arrays; here is what such
 * a run may never meet: the shape of nodes, what a shared node costs, trees
 * far larger than the cache.
 *
 * The items are xattrs of an inode that doesn't exist.  Each test takes them
 * out again, so the pool is clean for the check at the end.
 */
#include <errno.h>

#include "store/btree.h"
#include "store/dataset_internal.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"

#define INO UINT64_C(1000)

static struct file_pool fp;

static int setup(void **state)
{
	(void)state;
	file_pool_init(&fp, 256, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file_pool_release(&fp);
	return 0;
}

/* -- changing ---------------------------------------------------------------- */

struct put_arg {
	uint64_t first, nr;
	size_t len;
};

static void value_of(uint64_t offset, uint8_t *value, size_t len)
{
	memset(value, (int)(offset % 251), len);
}

static int put_body(struct op *op, struct dataset *ds, void *arg)
{
	const struct put_arg *a = arg;
	uint8_t value[NODE_ITEM_MAX];
	int rc = 0;

	for (uint64_t i = a->first; i < a->first + a->nr && rc == 0; i++) {
		const struct key key = key_of(INO, ITEM_XATTR, i);

		rc = btree_touch(op, &ds->tree, &key);
	}
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	for (uint64_t i = a->first; i < a->first + a->nr; i++) {
		const struct key key = key_of(INO, ITEM_XATTR, i);

		value_of(i, value, a->len);
		btree_put(op, &ds->tree, &key, value, a->len);
	}
	return 0;
}

/* Items [@first, @first + @nr), 50 an op. */
static void put_items(struct dataset *ds, uint64_t first, uint64_t nr,
		      size_t len)
{
	while (nr > 0) {
		struct put_arg a = {first, MIN_OF(nr, UINT64_C(50)), len};

		CHECK_OK(op_change(ds, (uint32_t)a.nr, 0, put_body, &a));
		first += a.nr;
		nr -= a.nr;
	}
}

struct trim_arg {
	uint64_t first, end;
	uint32_t nr;
};

static int trim_body(struct op *op, struct dataset *ds, void *arg)
{
	struct trim_arg *a = arg;
	const struct key from = key_of(INO, ITEM_XATTR, a->first);
	const struct key to = key_of(INO, ITEM_XATTR, a->end);

	return btree_trim(op, &ds->tree, &from, &to, NULL, NULL, &a->nr);
}

/* Returns how many items went. */
static uint64_t trim_items(struct dataset *ds, uint64_t first, uint64_t end)
{
	struct trim_arg a = {.first = first, .end = end};
	uint64_t nr = 0;

	do {
		CHECK_OK(op_change(ds, 1, OP_USE_RESERVE, trim_body, &a));
		nr += a.nr;
	} while (a.nr);
	return nr;
}

struct del_arg {
	uint64_t offset;
	bool deleted;
};

static int del_body(struct op *op, struct dataset *ds, void *arg)
{
	struct del_arg *a = arg;
	const struct key key = key_of(INO, ITEM_XATTR, a->offset);
	int rc = btree_touch(op, &ds->tree, &key);

	if (rc == 0)
		rc = op_ready(op);
	if (rc == 0)
		a->deleted = btree_del(op, &ds->tree, &key);
	return rc;
}

static bool del_item(struct dataset *ds, uint64_t offset)
{
	struct del_arg a = {.offset = offset};

	CHECK_OK(op_change(ds, 1, 0, del_body, &a));
	return a.deleted;
}

static void put_item(struct dataset *ds, uint64_t offset, size_t len)
{
	put_items(ds, offset, 1, len);
}

/* -- looking ------------------------------------------------------------------ */

struct shape {
	uint32_t nodes, leaves;
	uint64_t items, used; /* in leaves */
	uint64_t born;	      /* nodes with a txg above 'since' */
	uint64_t since;
	struct key last;
	bool any;
};

static void shape_of_node(struct pool *pool, uint64_t blkno, uint64_t txg,
			  uint8_t level, struct shape *s)
{
	struct node *n;
	uint32_t nr;

	CHECK_OK(node_cache_load(pool->nc, blkno, txg, level, &n));
	nr = node_nr_items(n->page);
	CHECK(nr > 0); /* B2 */
	s->nodes++;
	s->born += txg > s->since;
	s->leaves += level == 0;
	for (uint32_t i = 0; i < nr; i++) {
		struct node_item item;
		uint64_t child, child_txg;

		node_item(n->page, i, &item);
		if (level > 0) {
			node_child(n->page, i, &child, &child_txg);
			shape_of_node(pool, child, child_txg,
				      (uint8_t)(level - 1), s);
			continue;
		}
		if (s->any)
			CHECK(key_compare(&s->last, &item.key) < 0); /* B1 */
		s->last = item.key;
		s->any = true;
		s->items++;
	}
	if (level == 0)
		s->used += node_used(n->page);
	node_cache_put(pool->nc, n);
}

/* The whole tree, after a commit. */
static struct shape shape_of(struct dataset *ds, uint64_t since)
{
	struct shape s = {.since = since};
	const struct tree_root *r = &ds->tree.root;

	CHECK_OK(pool_sync(ds->pool));
	shape_of_node(ds->pool, r->blkno, r->txg, r->level, &s);
	return s;
}

static uint64_t committed_txg(void)
{
	struct pool_stat st;

	pool_stat(fp.pool, &st);
	return st.txg;
}

struct get_arg {
	uint64_t offset;
	size_t len;
};

static int get_body(struct op *op, struct dataset *ds, void *arg)
{
	const struct get_arg *a = arg;
	const struct key key = key_of(INO, ITEM_XATTR, a->offset);
	uint8_t got[NODE_ITEM_MAX], want[NODE_ITEM_MAX];
	size_t len = 0;
	int rc = btree_get(op, &ds->tree, &key, got, sizeof(got), &len);

	if (rc)
		return rc;
	value_of(a->offset, want, a->len);
	return len == a->len && memcmp(got, want, len) == 0 ? 0 : -EUCLEAN;
}

static void has_item(struct dataset *ds, uint64_t offset, size_t len)
{
	struct get_arg a = {offset, len};

	CHECK_OK(op_read(ds, get_body, &a));
}

static void has_no_item(struct dataset *ds, uint64_t offset)
{
	struct get_arg a = {offset, 0};

	CHECK_INT(op_read(ds, get_body, &a), -ENOENT);
}

/* -- tests -------------------------------------------------------------------- */

static void btree__what_grows_at_its_end_stays_full(void **state)
{
	struct shape s;

	(void)state;
	put_items(fp.ds, 0, 20000, 20);
	s = shape_of(fp.ds, 0);
	CHECK(s.items >= 20000);
	CHECK(s.used > (uint64_t)s.leaves * NODE_CAPACITY * 9 / 10);
	CHECK_UINT(trim_items(fp.ds, 0, 20000), 20000);
}

static void btree__what_was_emptied_from_the_middle_is_merged(void **state)
{
	struct shape before, after;

	(void)state;
	put_items(fp.ds, 0, 10000, 20);
	before = shape_of(fp.ds, 0);
	for (uint64_t i = 0; i < 10000; i++)
		if (i % 8)
			CHECK(del_item(fp.ds, i));
	after = shape_of(fp.ds, 0);
	CHECK(after.leaves < before.leaves / 3);
	for (uint64_t i = 0; i < 10000; i += 8)
		has_item(fp.ds, i, 20);
	trim_items(fp.ds, 0, 10000);
}

static void btree__a_value_that_grows_moves_others_aside(void **state)
{
	(void)state;
	put_items(fp.ds, 0, 60, 60);
	for (size_t len = 0; len <= 1200; len += 100) {
		put_items(fp.ds, 30, 1, len);
		has_item(fp.ds, 30, len);
		has_item(fp.ds, 29, 60);
		has_item(fp.ds, 31, 60);
	}
	shape_of(fp.ds, 0);
	CHECK_UINT(trim_items(fp.ds, 0, 60), 60);
}

static void btree__deleting_what_is_not_there_changes_nothing(void **state)
{
	struct shape s;
	uint64_t txg;

	(void)state;
	put_items(fp.ds, 0, 1000, 20);
	CHECK_OK(pool_sync(fp.pool));
	txg = committed_txg();
	CHECK(!del_item(fp.ds, 5000));
	s = shape_of(fp.ds, txg);
	CHECK_UINT(s.born, 0);
	trim_items(fp.ds, 0, 1000);
}

static void btree__a_change_shadows_one_path_once(void **state)
{
	struct shape s;
	uint64_t txg;

	(void)state;
	put_items(fp.ds, 0, 20000, 100);
	CHECK_OK(pool_sync(fp.pool));
	txg = committed_txg();
	put_items(fp.ds, 7000, 1, 100);
	put_items(fp.ds, 7001, 1, 100);
	s = shape_of(fp.ds, txg);
	CHECK(s.nodes > 500);
	CHECK(s.born <= 2u * (fp.ds->tree.root.level + 1u));
	trim_items(fp.ds, 0, 20000);
}

static void btree__a_clone_pays_only_for_the_path_it_changes(void **state)
{
	struct dataset *clone;
	struct pool_stat before, after;
	struct shape s;
	uint64_t txg;
	uint32_t id;

	(void)state;
	put_items(fp.ds, 0, 20000, 100);
	CHECK_OK(dataset_clone(fp.ds, "clone", &id));
	CHECK_OK(dataset_open_id(fp.pool, id, &clone));
	CHECK_OK(pool_sync(fp.pool));
	pool_stat(fp.pool, &before);
	txg = committed_txg();
	put_items(clone, 9000, 1, 50);
	s = shape_of(clone, txg);
	pool_stat(fp.pool, &after);
	CHECK_UINT(s.born, clone->tree.root.level + 1u);
	/* nodes of the root and space trees are shadowed too */
	CHECK(after.allocated + after.deferred <
	      before.allocated + before.deferred + 20 * BLOCK_SIZE);
	has_item(clone, 9000, 50);
	has_item(fp.ds, 9000, 100);
	trim_items(clone, 0, 20000);
	has_item(fp.ds, 19999, 100);
	trim_items(fp.ds, 0, 20000);
	dataset_put(clone);
}

static void btree__trimming_shared_leaves_copies_none_of_them(void **state)
{
	struct dataset *clone;
	struct pool_stat before, after;
	uint32_t id;

	(void)state;
	put_items(fp.ds, 0, 6000, 1000); /* 2,000 leaves */
	CHECK_OK(dataset_clone(fp.ds, "clone", &id));
	CHECK_OK(dataset_open_id(fp.pool, id, &clone));
	pool_stat(fp.pool, &before);
	CHECK_UINT(trim_items(clone, 0, 6000), 6000);
	pool_stat(fp.pool, &after);
	CHECK(after.dirty_bytes < before.dirty_bytes + 100 * BLOCK_SIZE);
	has_item(fp.ds, 3000, 1000);
	trim_items(fp.ds, 0, 6000);
	dataset_put(clone);
}

/*
 * Each leaf dropped is noted for the committer.  Were it held in memory until
 * then, a large file deleted in a clone would fill the cache with leaves that
 * nobody can evict.
 */
static void btree__trimming_more_shared_leaves_than_frames_works(void **state)
{
	const struct pool_options options = {.cache_bytes = 1,
					     .no_background = true};
	struct store_error error = {""};
	struct dataset *clone;
	struct pool_stat st;
	uint32_t id;

	(void)state;
	put_items(fp.ds, 0, 18000, 1000);
	CHECK_OK(dataset_clone(fp.ds, "clone", &id));
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	CHECK_OK(pool_open_on(blkdev_borrow(fp.mem), &options, &fp.pool,
			      &error));
	pool_stat(fp.pool, &st);
	CHECK(st.cache_bytes / BLOCK_SIZE < 18000 / 3);
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
	CHECK_OK(dataset_open_id(fp.pool, id, &clone));
	CHECK_UINT(trim_items(clone, 0, 18000), 18000);
	CHECK_OK(pool_sync(fp.pool));
	has_item(fp.ds, 17999, 1000);
	has_no_item(clone, 17999);
	CHECK_UINT(trim_items(fp.ds, 0, 18000), 18000);
	dataset_put(clone);
}

static int own_body(struct op *op, struct dataset *ds, void *arg)
{
	const struct get_arg *a = arg;
	const struct key key = key_of(INO, ITEM_XATTR, a->offset);
	int rc = btree_touch(op, &ds->tree, &key);

	if (rc == 0)
		rc = op_ready(op);
	if (rc == 0)
		btree_own(op, &ds->tree, &key);
	return rc;
}

static void btree__owning_a_leaf_changes_no_item(void **state)
{
	struct get_arg a = {.offset = 500};
	struct shape before, after;

	(void)state;
	put_items(fp.ds, 0, 1000, 100);
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	CHECK_OK(pool_sync(fp.pool));
	before = shape_of(fp.ds, committed_txg());
	CHECK_UINT(before.born, 0);
	CHECK_OK(op_change(fp.ds, 1, 0, own_body, &a));
	after = shape_of(fp.ds, fp.ds->previous_txg);
	CHECK_UINT(after.items, before.items);
	CHECK_UINT(after.born, fp.ds->tree.root.level + 1u);
	trim_items(fp.ds, 0, 1000);
	{
		struct dataset *snap;

		CHECK_OK(dataset_open(fp.pool, "ds@s", &snap));
		has_item(snap, 500, 100);
		CHECK_OK(dataset_destroy(snap, 0));
		dataset_put(snap);
	}
}

struct order_arg {
	uint64_t nr;
};

static int backward_body(struct op *op, struct dataset *ds, void *arg)
{
	struct order_arg *a = arg;
	const struct key end = key_of(INO, ITEM_XATTR, OFFSET_MAX);
	struct btree_cursor cur;
	struct key last = {0};
	int rc = btree_seek_last(op, &ds->tree, &end, &cur);

	a->nr = 0;
	while (rc == 0 && cur.key.ino == INO) {
		if (a->nr && key_compare(&cur.key, &last) >= 0) {
			btree_release(op, &cur);
			return -EUCLEAN;
		}
		last = cur.key;
		a->nr++;
		rc = btree_prev(op, &ds->tree, &cur);
	}
	if (rc == 0)
		btree_release(op, &cur);
	return rc == -ENOENT ? 0 : rc;
}

static void btree__reads_backward_all_that_was_put_in_any_order(void **state)
{
	struct order_arg a = {0};

	(void)state;
	/* every 7919th: all residues once */
	for (uint64_t i = 0; i < 5000; i++)
		put_items(fp.ds, i * 7919 % 5000, 1, 30);
	CHECK_OK(op_read(fp.ds, backward_body, &a));
	CHECK_UINT(a.nr, 5000);
	shape_of(fp.ds, 0);
	trim_items(fp.ds, 0, 5000);
}

/* Half of the bytes is no good place to cut where they lie unevenly. */
static void btree__large_items_beside_small_ones_are_split_to_fit(void **state)
{
	(void)state;
	/* with some number of these before them, they have a leaf alone */
	for (uint64_t nr = 4; nr < 9; nr++) {
		put_items(fp.ds, 0, nr, 1000);
		for (uint64_t i = 10; i < 13; i++)
			put_item(fp.ds, i, 1010);
		put_items(fp.ds, 100, 156, 1);
		put_item(fp.ds, 13, 1010);
		for (uint64_t i = 0; i < nr; i++)
			has_item(fp.ds, i, 1000);
		for (uint64_t i = 10; i < 14; i++)
			has_item(fp.ds, i, 1010);
		for (uint64_t i = 100; i < 256; i++)
			has_item(fp.ds, i, 1);
		shape_of(fp.ds, 0);
		CHECK_UINT(trim_items(fp.ds, 0, 1000), nr + 4 + 156);
	}
}

static void btree__keys_at_the_ends_of_the_range_are_found(void **state)
{
	(void)state;
	put_items(fp.ds, 0, 1, 10);
	put_items(fp.ds, OFFSET_MAX, 1, 10);
	put_items(fp.ds, OFFSET_MAX / 2, 1, 10);
	has_item(fp.ds, 0, 10);
	has_item(fp.ds, OFFSET_MAX, 10);
	has_no_item(fp.ds, OFFSET_MAX - 1);
	CHECK(del_item(fp.ds, OFFSET_MAX));
	CHECK(del_item(fp.ds, OFFSET_MAX / 2));
	CHECK(del_item(fp.ds, 0));
	has_no_item(fp.ds, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(btree__what_grows_at_its_end_stays_full),
		TEST(btree__what_was_emptied_from_the_middle_is_merged),
		TEST(btree__a_value_that_grows_moves_others_aside),
		TEST(btree__deleting_what_is_not_there_changes_nothing),
		TEST(btree__a_change_shadows_one_path_once),
		TEST(btree__a_clone_pays_only_for_the_path_it_changes),
		TEST(btree__trimming_shared_leaves_copies_none_of_them),
		TEST(btree__trimming_more_shared_leaves_than_frames_works),
		TEST(btree__owning_a_leaf_changes_no_item),
		TEST(btree__reads_backward_all_that_was_put_in_any_order),
		TEST(btree__large_items_beside_small_ones_are_split_to_fit),
		TEST(btree__keys_at_the_ends_of_the_range_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
