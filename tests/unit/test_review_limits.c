/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_review_limits.c - what must not stop a pool: its own trees larger than
 * the cache, free space in single blocks, more changed datasets than free
 * blocks, zeros written ahead after it grew
 */
#include <errno.h>

#include "store/dataset_internal.h"
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
