/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_hostile.c - a pool that somebody made to harm us gives errors
 *
 * Nodes and counts are changed at random, their checksums made good again, and
 * the pool is opened and used in every way.  Nothing is expected of what the
 * calls return; a crash or a call that never returns ends the program.
 */
#include <unistd.h>

#include "tests/unit/check_image.h"

#define ROUNDS	   60u
#define SECONDS	   20u /* far more than one round takes */
#define NODES_MAX  4096u
#define FILE_BYTES (1u << 20)

static uint64_t nodes[NODES_MAX];
static size_t nr_nodes;
static char buffer[FILE_BYTES];

static void silence(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static int find_nodes(void **state)
{
	make_pool(state);
	for (uint64_t b = 0; b < POOL_SIZE / BLOCK_SIZE; b++) {
		const struct meta_header *h = (const void *)block(b);

		if (le32_get(h->type) == META_NODE && le64_get(h->blkno) == b &&
		    nr_nodes < NODES_MAX)
			nodes[nr_nodes++] = b;
	}
	CHECK(nr_nodes > 20);
	log_set_sink(silence);
	return 0;
}

/* ---- using it ------------------------------------------------------------ */

static int ignore_entry(void *arg, const struct diff_entry *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static int ignore_name(void *arg, const char *name, size_t len,
		       const struct file_attr *attr, uint64_t cookie)
{
	(void)arg;
	(void)name;
	(void)len;
	(void)attr;
	(void)cookie;
	return 0;
}

static void use_file(struct dataset *ds, uint64_t ino, struct rnd *r)
{
	struct file_attr attr = {.size = rnd_below(r, FILE_BYTES)};
	size_t len;

	file_read(ds, ino, 0, buffer, sizeof(buffer), &len);
	file_listxattr(ds, ino, buffer, 4096, &len);
	file_getxattr(ds, ino, "user.big", buffer, XATTR_VALUE_MAX, &len);
	file_readlink(ds, ino, buffer, SYMLINK_MAX + 1);
	if (rnd_one_in(r, 4))
		file_write(ds, ino, rnd_below(r, FILE_BYTES), buffer,
			   1 + rnd_below(r, 60000), 0);
	if (rnd_one_in(r, 8))
		file_setattr(ds, ino, FILE_SET_SIZE, &attr, NULL);
}

static void use_snapshots(struct dataset *ds, struct rnd *r)
{
	uint32_t *ids;
	size_t nr;
	uint64_t bytes;

	if (dataset_list(dataset_pool(ds), dataset_id(ds), &ids, &nr))
		return;
	for (size_t i = 0; i < nr; i++) {
		struct dataset *s;

		if (dataset_open_id(dataset_pool(ds), ids[i], &s))
			continue;
		dataset_diff(s, ds, ignore_entry, NULL);
		dataset_unique(&s, 1, &bytes);
		if (rnd_one_in(r, 3))
			dataset_restore(ds, s, NULL, RESTORE_FORCE);
		if (rnd_one_in(r, 2))
			dataset_destroy(s, DESTROY_FORCE);
		dataset_put(s);
	}
	free(ids);
}

static void use_dataset(struct dataset *ds, struct rnd *r)
{
	uint64_t bytes;

	file_readdir(ds, INO_ROOT, 0, true, ignore_name, NULL);
	file_readdir(ds, INO_FIRST, 0, true, ignore_name, NULL);
	for (uint64_t ino = INO_FIRST; ino < INO_FIRST + 48; ino++)
		use_file(ds, ino, r);
	file_unlink(ds, INO_FIRST, "t3.ibd", 6, NULL);
	file_unlink(ds, INO_ROOT, "log", 3, NULL);
	file_rename(ds, INO_FIRST, "t4.ibd", 6, INO_ROOT, "x", 1, 0, NULL);
	use_snapshots(ds, r);
	dataset_unique(&ds, 1, &bytes);
	if (rnd_one_in(r, 3))
		dataset_destroy(ds, DESTROY_FORCE | DESTROY_SNAPSHOTS);
}

static void use_pool(struct rnd *r)
{
	struct pool_options o = {.no_background = true};
	struct blkdev *borrowed = blkdev_borrow(dev);
	struct store_error error = {""};
	struct pool *pool;
	uint32_t *ids;
	size_t nr = 0;

	alarm(SECONDS);
	if (pool_open_on(borrowed, &o, &pool, &error)) {
		CHECK(*error.text);
		blkdev_close(borrowed);
		return;
	}
	if (dataset_list(pool, 0, &ids, &nr))
		nr = 0;
	for (size_t i = 0; i < nr; i++) {
		struct dataset *ds;

		if (dataset_open_id(pool, ids[i], &ds))
			continue;
		use_dataset(ds, r);
		dataset_put(ds);
		pool_sync(pool);
	}
	free(ids);
	pool_scrub_start(pool, 0);
	pool_close(pool);
	alarm(0);
}

/* ---- harming it ---------------------------------------------------------- */

static uint64_t any_node(struct rnd *r)
{
	return nodes[rnd_below(r, nr_nodes)];
}

static void change_bytes(struct rnd *r)
{
	for (uint64_t n = rnd_between(r, 1, 5); n > 0; n--) {
		uint8_t *page = block(any_node(r));

		for (unsigned j = 0; j < 4; j++) {
			/* the header and the slots more often than the rest */
			size_t end = rnd_one_in(r, 2) ? 200 : BLOCK_SIZE;
			size_t at = rnd_between(r, 40, end);

			page[at] = rnd_one_in(r, 2) ? (uint8_t)rnd_next(r)
						    : (uint8_t)(page[at] + 1);
		}
		node_seal(page);
	}
}

static void change_pointers(struct rnd *r)
{
	for (unsigned tries = 0, done = 0; tries < 2000 && done < 2; tries++) {
		uint8_t *page = block(any_node(r));
		uint8_t *to = block(any_node(r));
		struct node_item item;
		struct node_ptr *ptr;

		if (node_level(page) == 0)
			continue;
		node_item(page, (uint32_t)rnd_below(r, node_nr_items(page)),
			  &item);
		ptr = (void *)(uintptr_t)item.value;
		ptr->blkno = le40_of(node_blkno(to));
		ptr->txg = le40_of(node_txg(to));
		node_seal(page);
		done++;
	}
}

static void change_counts(struct rnd *r)
{
	for (unsigned i = 0; i < 8; i++) {
		uint64_t b = any_node(r);

		if (*count_of(b) == 0)
			continue;
		*count_of(b) = (uint8_t)rnd_between(r, 1, 3);
		seal_space(b / REGION_BLOCKS);
	}
}

/* Nodes, and what lies behind them, whose blocks are handed out again. */
static void change_counts_to_free(struct rnd *r)
{
	uint64_t b = any_node(r), at = b / REGION_BLOCKS;
	struct space_entry *e = region_entry(at);
	uint32_t nr_free = le32_get(e->nr_free);

	for (unsigned i = 0; i < 256 && b / REGION_BLOCKS == at; i++, b++) {
		nr_free += *count_of(b) != 0;
		*count_of(b) = 0;
	}
	e->nr_free = le32_of(nr_free);
	seal_space(at);
}

static void survive(void (*harm)(struct rnd *r), uint64_t seed)
{
	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct rnd r = {seed + i};

		memcpy(image, pristine, POOL_SIZE);
		harm(&r);
		use_pool(&r);
		run_check(false);
	}
}

static void pool__survives_changed_nodes(void **state)
{
	(void)state;
	survive(change_bytes, 1000);
}

static void pool__survives_nodes_that_point_anywhere(void **state)
{
	(void)state;
	survive(change_pointers, 2000);
}

static void pool__survives_wrong_counts(void **state)
{
	(void)state;
	survive(change_counts, 3000);
}

static void pool__survives_nodes_that_count_as_free(void **state)
{
	(void)state;
	survive(change_counts_to_free, 4000);
}

/* It would be changed in place and never written (node_cache.h, C4). */
static void pool__with_a_node_from_the_future_is_refused(void **state)
{
	struct pool_options o = {.no_background = true};
	struct blkdev *borrowed = blkdev_borrow(dev);
	struct store_error error = {""};
	struct superblock *sb = superblock();
	uint64_t txg = le64_get(sb->h.txg) + 1;
	uint8_t *root = root_of(&sb->root_tree);
	struct pool *pool;

	(void)state;
	node_move(root, node_blkno(root), txg, 0);
	node_seal(root);
	sb->root_tree.node.txg = le40_of(txg);
	seal_superblock(sb);
	CHECK_INT(pool_open_on(borrowed, &o, &pool, &error), -EUCLEAN);
	blkdev_close(borrowed);
}

static void use_once(void)
{
	struct rnd r = {1};

	use_pool(&r);
}

/* Whoever looks for what is behind it must not begin anew, or stay there. */
static void pool__the_largest_key_is_the_last(void **state)
{
	struct superblock *sb = superblock();
	struct key last = key_of(INO_MAX, UINT8_MAX, OFFSET_MAX);
	const uint64_t leaf = POOL_SIZE / BLOCK_SIZE - 5, top = leaf - 1;
	const struct node_ptr ptr = {le40_of(leaf), le40_of(1)};
	const struct node_item children[] = {
		{key_of(0, 0, 0), (const uint8_t *)&sb->root_tree.node,
		 sizeof(ptr)},
		{last, (const uint8_t *)&ptr, sizeof(ptr)},
	};
	uint8_t level = sb->root_tree.level;

	(void)state;
	CHECK_UINT(level, 0);
	/* a leaf of its own, beside the one there is */
	node_init(block(leaf), le64_get(sb->h.pool_id), leaf, 1, level, 0);
	CHECK(node_insert(block(leaf), 0, &last, "x", 1));
	node_seal(block(leaf));
	node_init(block(top), le64_get(sb->h.pool_id), top, 1, level + 1, 0);
	node_fill(block(top), children, ARRAY_SIZE(children));
	node_seal(block(top));
	sb->root_tree = (struct tree_ptr){
		.node = {.blkno = le40_of(top), .txg = le40_of(1)},
		.level = (uint8_t)(level + 1)};
	seal_superblock(sb);
	use_once();
}

static void reaper__the_largest_serial_is_the_last(void **state)
{
	const struct dead_item d = {.depth = 0};
	struct superblock *sb = superblock();
	struct key key = key_of(0, ITEM_DEAD, OFFSET_MAX);
	const uint64_t blkno = POOL_SIZE / BLOCK_SIZE - 5;

	(void)state;
	/* a tree of its own, for there may be none */
	node_init(block(blkno), le64_get(sb->h.pool_id), blkno, 1, 0, 0);
	CHECK(node_insert(block(blkno), 0, &key, &d, sizeof(d)));
	node_seal(block(blkno));
	sb->space_tree = (struct tree_ptr){
		.node = {.blkno = le40_of(blkno), .txg = le40_of(1)}};
	seal_superblock(sb);
	use_once();
}

/* Removing one of two such items would change the other behind its back. */
static void node__items_that_overlap_are_malformed(void **state)
{
	uint8_t page[BLOCK_SIZE];
	struct node_header *h = (void *)page;
	struct node_item item;

	(void)state;
	node_init(page, 1, 100, 7, 0, 0);
	for (unsigned i = 0; i < 3; i++) {
		struct key key = key_of(16, ITEM_XATTR, i);

		CHECK(node_insert(page, i, &key, buffer, 40));
	}
	node_remove(page, 2);
	node_seal(page);
	CHECK_OK(node_verify(page, 1, 100, 7, 0));
	/* the second grows over the first; the sum of bytes stays right */
	node_item(page, 1, &item);
	le_store((uint8_t *)(uintptr_t)item.value - 2, 2,
		 40u + le16_get(h->garbage));
	h->garbage = le16_of(0);
	node_seal(page);
	CHECK_INT(node_verify(page, 1, 100, 7, 0), -EUCLEAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(node__items_that_overlap_are_malformed),
		TEST(pool__with_a_node_from_the_future_is_refused),
		TEST(pool__the_largest_key_is_the_last),
		TEST(reaper__the_largest_serial_is_the_last),
		TEST(pool__survives_changed_nodes),
		TEST(pool__survives_nodes_that_point_anywhere),
		TEST(pool__survives_wrong_counts),
		TEST(pool__survives_nodes_that_count_as_free),
	};

	return cmocka_run_group_tests(tests, find_nodes, free_pool);
}
