/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_review_limits.c - what must not stop a pool: its own trees larger than
 * the cache, free space in single blocks, more changed datasets than free
 * blocks, zeros written ahead after it grew, a tree made to be split too often
 */
#include <errno.h>
#include <sys/stat.h>

#include "store/dataset_internal.h"
#include "store/inode.h"
#include "store/node.h"
#include "store/pool_internal.h"
#include "store/space_map_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

#define REGION_BYTES ((uint64_t)REGION_BLOCKS * BLOCK_SIZE)

static struct blkdev *mem;
static struct pool *pool;

static void open_pool(bool is_file, size_t cache_bytes)
{
	const struct pool_options options = {.no_background = true,
					     .cache_bytes = cache_bytes};
	struct store_error error = {""};
	struct blkdev *view = blkdev_borrow(mem);

	view->is_file = is_file;
	CHECK_OK(pool_open_on(view, &options, &pool, &error));
}

static void make_pool(uint64_t size, bool is_file, size_t cache_bytes)
{
	const struct pool_create_options options = {.size = size};
	struct store_error error = {""};

	CHECK_OK(blkdev_mem_open(size, &mem));
	mem->is_file = is_file;
	CHECK_OK(pool_create_on(mem, &options, &error));
	open_pool(is_file, cache_bytes);
}

static void check_and_free(void)
{
	const struct check_options options = {.data = true};
	struct store_error error = {""};
	struct check_result result;
	struct blkdev *view;

	CHECK_OK(pool_close(pool));
	view = blkdev_borrow(mem);
	CHECK_OK(check_run(view, &options, &result, &error));
	CHECK_UINT(result.nr_errors, 0);
	CHECK_UINT(result.blocks_leaked, 0);
	blkdev_close(view);
	blkdev_close(mem);
}

static struct dataset *make_dataset(const char *name,
				    const struct dataset_properties *p)
{
	struct dataset *ds;

	CHECK_OK(dataset_create(pool, name, p, NULL));
	CHECK_OK(dataset_open(pool, name, &ds));
	return ds;
}

static void fill_random(struct rnd *rnd, uint8_t *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf[i] = (uint8_t)rnd_below(rnd, 256);
}

/* As the worker does it, to the end. */
static void write_zeros_ahead(void)
{
	uint8_t *zeros = blkdev_buffer_new(REGION_BYTES);
	uint64_t first;
	uint32_t nr;

	CHECK(zeros);
	while (space_map_zero_begin(pool->sm, UINT64_MAX, &first, &nr)) {
		CHECK_OK(blkdev_write(pool->dev, zeros, nr * BLOCK_SIZE,
				      first * BLOCK_SIZE));
		space_map_zero_end(pool->sm);
	}
	free(zeros);
}

static void space_map__zeros_ahead_spare_slots_that_grow_wrote(void **state)
{
	struct store_error error = {""};
	struct space_map_stat st;

	(void)state;
	make_pool(20 * REGION_BYTES, true, 0);
	CHECK_OK(pool_grow(pool, 200 * REGION_BYTES, &error));
	write_zeros_ahead();
	pool_abandon(pool);
	open_pool(true, 0);
	space_map_stat(pool->sm, &st);
	CHECK_UINT(st.nr_damaged, 0);
	check_and_free();
}

static void node_cache__a_root_tree_larger_than_the_cache_works(void **state)
{
	char name[32], value[1001];
	struct dataset *ds;

	(void)state;
	make_pool(UINT64_C(256) << 20, false, 1);
	ds = make_dataset("a", NULL);
	memset(value, 'x', 1000);
	value[1000] = '\0';
	for (unsigned i = 0; i < 14000; i++) {
		snprintf(name, sizeof(name), "user:%u", i);
		CHECK_OK(dataset_set_user(ds, name, value));
	}
	make_file(ds, INO_ROOT, "f");
	dataset_put(ds);
	check_and_free();
}

/* Leave only every other block free, as small records and deletes would. */
static uint8_t *take_every_other_block(void)
{
	uint8_t *mine = calloc(1, pool->sm->nr_blocks);
	uint64_t first, reserve = pool->sm->nr_reserve;
	uint32_t got;

	CHECK(mine);
	pool->sm->nr_reserve = 0;
	while (space_map_alloc(pool->sm, 1, &first, &got) == 0)
		mine[first] = 1;
	pool->sm->nr_reserve = reserve;
	for (uint64_t b = 0; b < pool->sm->nr_blocks; b += 2)
		if (mine[b]) {
			space_map_unalloc(pool->sm, b, 1);
			mine[b] = 0;
		}
	return mine;
}

static void space_map__single_free_blocks_do_not_starve_a_commit(void **state)
{
	struct dataset_properties p;
	struct dataset *ds[4];
	uint64_t ino[4];
	uint8_t *mine;

	(void)state;
	make_pool(UINT64_C(256) << 20, false, 0);
	dataset_properties_default(&p);
	p.recordsize = 4096;
	for (unsigned i = 0; i < 4; i++) {
		char name[] = {'d', (char)('0' + i), '\0'};

		ds[i] = make_dataset(name, &p);
		ino[i] = make_file(ds[i], INO_ROOT, "f");
	}
	CHECK_OK(pool_sync(pool));
	mine = take_every_other_block();
	/* each holds nodes until the group is sealed */
	for (unsigned k = 0; k < 120; k++)
		for (unsigned i = 0; i < 4; i++)
			write_at(ds[i], ino[i], k * 4096 + 7, "x", 1);
	CHECK_OK(pool_sync(pool));
	for (unsigned i = 0; i < 4; i++)
		dataset_put(ds[i]);
	for (uint64_t b = 0; b < pool->sm->nr_blocks; b++)
		if (mine[b])
			space_map_unalloc(pool->sm, b, 1);
	free(mine);
	check_and_free();
}

/* Write to @ino until the pool is full. */
static void fill_pool(struct dataset *ds, uint64_t ino)
{
	static uint8_t buf[1u << 16];
	struct rnd rnd = {.state = 1};
	uint64_t offset = 0;
	int rc = 0;

	for (size_t len = sizeof(buf); len >= BLOCK_SIZE; len /= 2)
		for (;;) {
			fill_random(&rnd, buf, len);
			rc = file_write(ds, ino, offset, buf, len, 0);
			if (rc)
				break;
			offset += len;
		}
	CHECK_INT(rc, -ENOSPC);
}

#define CLONES 700u

static void txg__many_changed_datasets_seal_in_a_full_pool(void **state)
{
	struct dataset *ds, **clone = calloc(CLONES, sizeof(*clone));

	(void)state;
	CHECK(clone);
	make_pool(POOL_SIZE_MIN, false, 0);
	ds = make_dataset("a", NULL);
	make_file(ds, INO_ROOT, "f");
	for (unsigned i = 0; i < CLONES; i++) {
		char name[32];

		snprintf(name, sizeof(name), "c%u", i);
		CHECK_OK(dataset_clone(ds, name, NULL));
		CHECK_OK(dataset_open(pool, name, &clone[i]));
	}
	fill_pool(ds, make_file(ds, INO_ROOT, "big"));
	CHECK_OK(pool_sync(pool));
	for (unsigned i = 0; i < CLONES; i++)
		CHECK_OK(file_unlink(clone[i], INO_ROOT, "f", 1, NULL));
	CHECK_OK(pool_sync(pool));
	for (unsigned i = 0; i < CLONES; i++)
		dataset_put(clone[i]);
	free(clone);
	dataset_put(ds);
	check_and_free();
}

/* A node at @blkno with as many of @item as fit; its key's offset rises. */
static void write_full_node(uint64_t blkno, uint8_t level,
			    const struct node_item *first,
			    const struct node_item *item)
{
	static struct node_item items[NODE_ITEMS_MAX];
	uint8_t *page = blkdev_mem_data(mem) + blkno * BLOCK_SIZE;
	uint32_t n = 0;

	if (first)
		items[n++] = *first;
	for (;; n++) {
		items[n] = *item;
		items[n].key.offset = (uint64_t)n << 32;
		if (node_size_of(items, n + 1, level) > NODE_CAPACITY)
			break;
	}
	node_init(page, pool->id, blkno, 1, level, 1);
	node_fill(page, items, n);
	node_seal(page);
}

/* The tree of dataset @id is the one at @blkno. */
static void name_tree(uint32_t id, uint64_t blkno, uint8_t level)
{
	for (uint64_t b = 0; b < POOL_SIZE_MIN / BLOCK_SIZE; b++) {
		uint8_t *page = blkdev_mem_data(mem) + b * BLOCK_SIZE;
		const struct meta_header *h = (const void *)page;
		struct node_item it;

		if (le32_get(h->type) != META_NODE || node_level(page) > 0)
			continue;
		for (uint32_t i = 0; i < node_nr_items(page); i++) {
			struct dataset_item d;

			node_item(page, i, &it);
			if (it.key.type != ITEM_DATASET || it.key.ino != id)
				continue;
			memcpy(&d, it.value, sizeof(d));
			d.tree.level = level;
			d.tree.node.blkno = le40_of(blkno);
			d.tree.node.txg = le40_of(1);
			memcpy(page + (it.value - page), &d, sizeof(d));
		}
		node_seal(page);
	}
}

/* All nodes full, each inner one names the one below again and again. */
static void btree__a_tree_of_the_greatest_height_is_not_changed(void **state)
{
	static uint8_t value[100], data[16384] = {1};
	const uint64_t base = 3 * REGION_BLOCKS + 3000;
	struct inode inode = inode_new_root(14, os_time_now());
	struct inode_item ino_item;
	struct node_item first = {key_of(INO_FIRST, ITEM_INODE, 0),
				  (uint8_t *)&ino_item, sizeof(ino_item)};
	struct node_item item = {key_of(INO_FIRST, ITEM_DIRENT, 0), value,
				 sizeof(value)};
	struct node_ptr ptr = {.txg = le40_of(1)};
	struct dataset *ds;
	uint32_t id;

	(void)state;
	make_pool(POOL_SIZE_MIN, false, 0);
	ds = make_dataset("a", NULL);
	id = dataset_id(ds);
	dataset_put(ds);
	inode.ino = INO_FIRST;
	inode.mode = S_IFREG | 0600;
	inode.nlink = 1;
	ino_item = inode_item_of(&inode);
	write_full_node(base, 0, &first, &item);
	item.value = (const uint8_t *)&ptr;
	item.len = sizeof(ptr);
	for (uint8_t level = 1; level < NODE_LEVEL_MAX; level++) {
		ptr.blkno = le40_of(base + level - 1);
		write_full_node(base + level, level, NULL, &item);
	}
	CHECK_OK(pool_close(pool));
	name_tree(id, base + NODE_LEVEL_MAX - 1, NODE_LEVEL_MAX - 1);
	open_pool(false, 0);
	CHECK_OK(dataset_open(pool, "a", &ds));
	CHECK_INT(file_write(ds, INO_FIRST, 0, data, sizeof(data), 0),
		  -EUCLEAN);
	dataset_put(ds);
	pool_abandon(pool);
	blkdev_close(mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			space_map__zeros_ahead_spare_slots_that_grow_wrote),
		cmocka_unit_test(
			node_cache__a_root_tree_larger_than_the_cache_works),
		cmocka_unit_test(
			space_map__single_free_blocks_do_not_starve_a_commit),
		cmocka_unit_test(
			txg__many_changed_datasets_seal_in_a_full_pool),
		cmocka_unit_test(
			btree__a_tree_of_the_greatest_height_is_not_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
