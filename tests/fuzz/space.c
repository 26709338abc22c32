/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The space map: entries, index blocks and counts of a valid pool are
 * changed, all checksums right.  The map is opened and asked for blocks by
 * itself, then a pool is opened on it, and used.
 */
#include <string.h>

#include "store/io_batch.h"
#include "store/pool_internal.h"
#include "store/util.h"
#include "tests/fuzz/change.h"
#include "tests/fuzz/use.h"
#include "tests/lib/check.h"

#define CHANGES_MAX 12u
#define RUNS	    32u

static const struct fuzz_base *base;

/* What the map handed out and has not got back. */
static struct {
	uint64_t first[RUNS];
	uint32_t nr[RUNS];
	uint32_t nr_runs, reserved;
} taken;

void fuzz_setup(void)
{
	base = fuzz_base();
}

static void alloc(struct space_map *sm, uint32_t want)
{
	uint64_t first = 0;
	uint32_t got = 0;

	if (taken.nr_runs == RUNS || space_map_alloc(sm, want, &first, &got))
		return;
	MUST(got > 0 && got <= want);
	for (uint32_t i = 0; i < got; i++)
		/* no fixed place, and nothing beyond the end */
		MUST((first + i) % REGION_BLOCKS >=
			     region_reserved((first + i) / REGION_BLOCKS) &&
		     first + i < base->size / BLOCK_SIZE);
	for (uint32_t i = 0; i < taken.nr_runs; i++)
		MUST(first + got <= taken.first[i] ||
		     taken.first[i] + taken.nr[i] <= first);
	taken.first[taken.nr_runs] = first;
	taken.nr[taken.nr_runs++] = got;
}

static void give(struct space_map *sm, uint32_t which, bool claim)
{
	uint32_t i;

	if (taken.nr_runs == 0)
		return;
	i = which % taken.nr_runs;
	if (claim)
		space_map_claim(sm, taken.first[i], taken.nr[i]);
	else
		space_map_unalloc(sm, taken.first[i], taken.nr[i]);
	taken.nr_runs--;
	taken.first[i] = taken.first[taken.nr_runs];
	taken.nr[i] = taken.nr[taken.nr_runs];
}

static void reserve(struct space_map *sm, uint32_t nr, unsigned flags)
{
	if (space_map_reserve_nodes(sm, nr, flags) == 0)
		taken.reserved += nr;
	if (taken.reserved > 0 && nr & 1) {
		uint64_t blkno = space_map_take_node(sm);

		taken.reserved--;
		MUST(blkno % REGION_BLOCKS >=
		     region_reserved(blkno / REGION_BLOCKS));
	}
}

/* Write what changed, as a commit does. */
static void commit(struct space_map *sm, struct superblock *sb)
{
	struct io_batch *io;
	uint64_t txg = le64_get(sb->h.txg) + 1;

	MUST(io_batch_new(&io) == 0);
	if (space_map_write(sm, txg, io, sb) == 0)
		sb->h.txg = le64_of(txg);
	io_batch_free(io);
	space_map_committed(sm);
}

static void use_map(struct blkdev *dev, struct superblock *sb,
		    struct fuzz_input *in, unsigned max)
{
	struct space_map_stat st;
	struct space_map *sm;
	uint32_t count;

	if (space_map_open(dev, le64_get(sb->h.pool_id), sb, &sm))
		return;
	memset(&taken, 0, sizeof(taken));
	for (unsigned i = 0; i < max && in->left > 0; i++) {
		uint8_t what = (uint8_t)fuzz_take(in, 1);
		uint32_t v = (uint32_t)fuzz_take(in, 2);

		switch (what % 8) {
		case 0:
		case 1:
			alloc(sm, 1 + v % SPACE_MAP_MAX_RUN);
			break;
		case 2:
			give(sm, v, v & 0x8000);
			break;
		case 3:
			reserve(sm, v & 127, v >> 8 & 3);
			break;
		case 4:
			space_map_get(sm, fuzz_odd(v), &count);
			break;
		case 5:
			space_map_get(sm, v, &count);
			break;
		case 6:
			commit(sm, sb);
			break;
		default:
			if (space_map_take(sm, v % (base->size / BLOCK_SIZE),
					   1) == 0)
				space_map_unalloc(
					sm, v % (base->size / BLOCK_SIZE), 1);
		}
	}
	space_map_unreserve_nodes(sm, taken.reserved);
	space_map_stat(sm, &st);
	space_map_free(sm);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	struct blkdev *dev = fuzz_device(base->bytes, base->size);
	unsigned nr = (unsigned)fuzz_take(&in, 1) % (CHANGES_MAX + 1);
	unsigned calls = (unsigned)fuzz_take(&in, 1) % 64;
	struct store_error error = {""};
	struct superblock sb;
	struct pool *pool;

	fuzz_change_begin(base);
	for (unsigned i = 0; i < nr; i++)
		fuzz_change_space(&in);
	fuzz_change_end();
	if (superblock_read(dev, &sb, false, &error))
		return;
	use_map(dev, &sb, &in, calls);
	if (in.left == 0)
		return;
	pool = fuzz_open(dev, false);
	if (!pool)
		return;
	fuzz_use(pool, &in, 12);
	if (pool_close(pool) == 0 && in.left > 0)
		fuzz_check(dev, false);
}
