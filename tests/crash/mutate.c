/* SPDX-License-Identifier: Apache-2.0 */
/* mutate.c - what the broken builds of the store do (store/mutate.h) */
#include "store/mutate.h"

#include <string.h>

#include "store/csum.h"
#include "store/space_map_internal.h"
#include "tests/crash/recording.h"
#include "tests/lib/check.h"

enum mutation mutation_chosen;

/* -- the slot with the newer stamp ----------------------------------------- */

static uint64_t slot_blkno(uint32_t level, uint32_t i, uint8_t slot)
{
	return level ? space_index_blkno((uint8_t)level, i, slot)
		     : region_counts_blkno(i, slot);
}

static uint32_t free_of(const uint8_t *page, uint32_t level)
{
	const struct space_index *index = (const struct space_index *)page;
	uint32_t sum = 0;

	if (level == 0)
		return le16_get(((const struct space_region *)page)->nr_free);
	for (unsigned k = 0; k < SPACE_INDEX_FANOUT; k++)
		sum += le32_get(index->entry[k].nr_free);
	return sum;
}

void mutate_entry(const struct space_map *sm, uint32_t level, uint32_t i,
		  struct entry *e)
{
	const uint32_t type = level ? META_SPACE_INDEX : META_SPACE_REGION;
	const uint8_t other = e->slot ^ 1;
	const uint64_t blkno = slot_blkno(level, i, other);
	uint8_t *page = blkdev_buffer_new(BLOCK_SIZE);
	const struct meta_header *h = (const struct meta_header *)page;

	MUST(page);
	if (blkno < sm->nr_blocks &&
	    blkdev_read(sm->dev, page, BLOCK_SIZE, blkno * BLOCK_SIZE) == 0 &&
	    le32_get(h->type) == type && le64_get(h->txg) > e->txg &&
	    le64_get(h->csum) == csum_of(page + 8, BLOCK_SIZE - 8, type)) {
		e->slot = other;
		e->txg = le64_get(h->txg);
		e->csum = le64_get(h->csum);
		e->nr_free = free_of(page, level);
	}
	free(page);
}

/* -- blocks that are freed before the commit -------------------------------- */

/* blocks that were, until the committer frees them too */
static const struct space_map *freed_of;
static bool freed_early[CRASH_DEVICE_SIZE / BLOCK_SIZE];

void mutate_free_early(struct space_map *sm, uint64_t first, uint32_t nr)
{
	uint32_t count = 0;

	/* 0: it was claimed in this txg, and is not counted yet */
	if (space_map_get(sm, first, &count) || count > 1)
		return;
	os_mutex_lock(&sm->lock);
	if (freed_of != sm)
		memset(freed_early, 0, sizeof(freed_early));
	freed_of = sm;
	for (uint64_t b = first; b < first + nr; b++) {
		struct region *reg = sm->region[region_of(b)];
		const uint32_t at = (uint32_t)(b % REGION_BLOCKS);

		if (reg->bit[at / 64] >> at % 64 & 1)
			continue;
		reg->bit[at / 64] |= UINT64_C(1) << at % 64;
		reg->nr_bits++;
		reg->max_run = REGION_BLOCKS;
		sm->nr_avail++;
		freed_early[b] = true;
	}
	os_mutex_unlock(&sm->lock);
}

bool mutate_was_freed(const struct space_map *sm, uint64_t blkno)
{
	const bool was = freed_of == sm && freed_early[blkno];

	if (was)
		freed_early[blkno] = false;
	return was;
}
