/* SPDX-License-Identifier: Apache-2.0 */
/* start.c - the pools that seeds start from */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"
#include "tests/sim/sim.h"
#include "tests/sim/world.h"

#define LEFT_FREE (UINT64_C(3) << 20)
#define PIECE	  ((size_t)1 << 20)

/* A dataset with one file of bytes that nothing can pack. */
static void fill_pool(struct pool *pool)
{
	const struct file_new n = {.mode = S_IFREG | 0600};
	uint8_t *buf = malloc(PIECE);
	struct dataset_properties p;
	struct file_attr attr;
	struct pool_stat st;
	struct dataset *ds;
	uint64_t at = 0;
	uint32_t id;

	MUST(buf);
	dataset_properties_default(&p);
	MUST(dataset_create(pool, "filler", &p, &id) == 0);
	MUST(dataset_open_id(pool, id, &ds) == 0);
	MUST(file_create(ds, MODEL_ROOT_INO, "f", 1, &n, &attr) == 0);
	for (pool_stat(pool, &st); st.free > LEFT_FREE + PIECE;
	     pool_stat(pool, &st)) {
		os_random(buf, PIECE);
		MUST(file_write(ds, attr.ino, at, buf, PIECE, 0) == 0);
		at += PIECE;
	}
	dataset_put(ds);
	free(buf);
}

void start_make(struct start *start, uint64_t size, bool full)
{
	const struct sim_options sim = {.seed = 1, .switch_one_in = 1};
	const struct pool_create_options create = {.name = "sim"};
	const struct pool_options options = {.no_background = true};
	struct store_error error = {""};
	struct pool *pool;

	sim_start(&sim);
	*start = (struct start){.nr_blocks = size / BLKDEV_ALIGN};
	MUST(blkdev_mem_open(size, &start->dev) == 0);
	MUST(pool_create_on(start->dev, &create, &error) == 0);
	if (full) {
		MUST(pool_open_on(blkdev_borrow(start->dev), &options, &pool,
				  &error) == 0);
		fill_pool(pool);
		MUST(pool_close(pool) == 0);
		start->nr_datasets = 1;
	}
	start->base = blkdev_mem_data(start->dev);
	sim_stop();
}

void start_release(struct start *start)
{
	blkdev_close(start->dev);
}
