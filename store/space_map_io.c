/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The space map on disk: reading the index at open, writing slots at commit.
 *
 * A slot is only ever written while the other one is current (S4).  Which one
 * is current is decided by the superblock that reaches it and by nothing in
 * the slot itself.
 */
#include "store/space_map_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/io_batch.h"
#include "store/mutate.h"
#include "store/util.h"

static void entry_load(struct entry *e, const struct space_entry *s)
{
	*e = (struct entry){
		.csum = le64_get(s->csum),
		.txg = le64_get(s->txg),
		.nr_free = le32_get(s->nr_free),
		.slot = s->slot & 1,
		.flags = s->flags,
	};
}

static void entry_store(struct space_entry *s, const struct entry *e)
{
	s->csum = le64_of(e->csum);
	s->txg = le64_of(e->txg);
	s->nr_free = le32_of(e->nr_free);
	s->slot = e->slot;
	s->flags = e->flags;
	s->reserved = le16_of(0);
}

/* A region (or index block) that no txg has written: all free. */
static uint32_t fresh_free(uint64_t nr_blocks, uint64_t first_region,
			   uint64_t nr_regions)
{
	uint64_t free = 0;

	for (uint64_t r = first_region; r < first_region + nr_regions; r++) {
		uint64_t start = r * REGION_BLOCKS, len;

		if (start >= nr_blocks)
			break;
		len = MIN_OF(nr_blocks - start, (uint64_t)REGION_BLOCKS);
		if (len > region_reserved(r))
			free += len - region_reserved(r);
	}
	return (uint32_t)free;
}

/* A read that fails is tried again: a region's or more would be lost. */
static int read_again(struct blkdev *dev, void *page, uint64_t blkno)
{
	int rc = -EIO;

	for (unsigned try = 0; rc && try < 3; try++)
		rc = blkdev_read(dev, page, BLOCK_SIZE, blkno * BLOCK_SIZE);
	return rc;
}

/*
 * Read index block @i of @level into @out[0..nr).  A damaged one damages all
 * below it, which costs their free space and nothing else (S5).
 */
static void index_read(struct space_map *sm, uint32_t level, uint32_t i,
		       const struct entry *e, struct entry *out, uint32_t nr,
		       struct space_index *page)
{
	uint64_t blkno = space_index_blkno((uint8_t)level, i, e->slot);
	uint32_t sum = 0;
	int rc = 0;

	memset(page, 0, sizeof(*page));
	if (e->flags & SPACE_ENTRY_DAMAGED)
		rc = -EUCLEAN;
	else if (e->txg)
		rc = read_again(sm->dev, page, blkno);
	if (rc == 0 && e->txg &&
	    (le64_get(page->h.csum) != e->csum ||
	     le64_get(page->h.txg) != e->txg ||
	     le32_get(page->h.type) != META_SPACE_INDEX ||
	     le64_get(page->h.pool_id) != sm->pool_id ||
	     le64_get(page->h.blkno) != blkno || page->level != level ||
	     csum_of((uint8_t *)page + 8, BLOCK_SIZE - 8, META_SPACE_INDEX) !=
		     e->csum))
		rc = -EBADMSG;
	for (uint32_t k = 0; k < nr; k++) {
		entry_load(&out[k], &page->entry[k]);
		if (mutated(MUTATE_SLOT_BY_STAMP))
			mutate_entry(sm, level - 1, i * SPACE_INDEX_FANOUT + k,
				     &out[k]);
		if (rc)
			out[k] = (struct entry){.flags = SPACE_ENTRY_DAMAGED};
		else if (out[k].txg == 0)
			out[k].nr_free = fresh_free(
				sm->nr_blocks,
				level == 1
					? (uint64_t)i * SPACE_INDEX_FANOUT + k
					: ((uint64_t)i * SPACE_INDEX_FANOUT +
					   k) * SPACE_INDEX_FANOUT,
				level == 1 ? 1 : SPACE_INDEX_FANOUT);
		sum += out[k].nr_free;
	}
	if (rc == 0 && e->txg && sum != e->nr_free)
		log_warn("space map index sum differs level=%u index=%u", level,
			 i);
	if (rc)
		log_error(
			"space map index unreadable level=%u index=%u "
			"error=%d: free space below it is lost until repaired",
			level, i, -rc);
}

static int tables_new(struct space_map *sm, uint64_t nr_blocks)
{
	sm->nr_blocks = nr_blocks;
	sm->nr_regions = (uint32_t)div_round_up(nr_blocks, REGION_BLOCKS);
	sm->nr_index1 =
		(uint32_t)div_round_up(sm->nr_regions, SPACE_INDEX_FANOUT);
	sm->nr_index2 =
		(uint32_t)div_round_up(sm->nr_index1, SPACE_INDEX_FANOUT);
	if (sm->nr_index2 > SPACE_INDEX2_MAX)
		return -EFBIG;
	sm->region = calloc(sm->nr_regions, sizeof(*sm->region));
	sm->loading = calloc(sm->nr_regions, 1);
	sm->leaf = calloc(sm->nr_regions, sizeof(*sm->leaf));
	sm->index1 = calloc(sm->nr_index1, sizeof(*sm->index1));
	if (!sm->region || !sm->loading || !sm->leaf || !sm->index1)
		return -ENOMEM;
	return 0;
}

/* Blocks kept for commits, deletes and destroys. */
static uint64_t reserve_of(uint64_t nr_blocks)
{
	return MIN_OF(MAX_OF(nr_blocks / 64, UINT64_C(1024)), UINT64_C(65536));
}

int space_map_open(struct blkdev *dev, uint64_t pool_id,
		   const struct superblock *sb, struct space_map **out)
{
	struct space_map *sm = calloc(1, sizeof(*sm));
	struct space_index *page = blkdev_buffer_new(BLOCK_SIZE);
	int rc = -ENOMEM;

	if (!sm || !page)
		goto out;
	sm->dev = dev;
	sm->pool_id = pool_id;
	sm->counts_kept = COUNTS_KEPT;
	os_mutex_init(&sm->lock);
	os_mutex_init(&sm->count_lock);
	os_cond_init(&sm->loaded);
	os_cond_init(&sm->unheld);
	rc = tables_new(sm, le64_get(sb->nr_blocks));
	/* so much is there even when memory is short */
	sm->cap_freed = 1024;
	sm->freed = calloc(sm->cap_freed, sizeof(*sm->freed));
	if (rc == 0 && !sm->freed)
		rc = -ENOMEM;
	if (rc)
		goto out;
	sm->nr_reserve = reserve_of(sm->nr_blocks);
	sm->nr_open = (uint32_t)MIN_OF(
		div_round_up(le64_get(sb->high_water), REGION_BLOCKS),
		(uint64_t)sm->nr_regions);
	for (uint32_t i = 0; i < sm->nr_index2; i++) {
		uint32_t first = i * SPACE_INDEX_FANOUT;

		entry_load(&sm->index2[i], &sb->space[i]);
		if (mutated(MUTATE_SLOT_BY_STAMP))
			mutate_entry(sm, 2, i, &sm->index2[i]);
		if (sm->index2[i].txg == 0)
			sm->index2[i].nr_free = fresh_free(
				sm->nr_blocks,
				(uint64_t)first * SPACE_INDEX_FANOUT,
				SPACE_INDEX_FANOUT * SPACE_INDEX_FANOUT);
		index_read(sm, 2, i, &sm->index2[i], sm->index1 + first,
			   MIN_OF(sm->nr_index1 - first, SPACE_INDEX_FANOUT),
			   page);
	}
	for (uint32_t i = 0; i < sm->nr_index1; i++) {
		uint32_t first = i * SPACE_INDEX_FANOUT;

		index_read(sm, 1, i, &sm->index1[i], sm->leaf + first,
			   MIN_OF(sm->nr_regions - first, SPACE_INDEX_FANOUT),
			   page);
	}
	for (uint32_t r = 0; r < sm->nr_regions; r++) {
		if (sm->leaf[r].flags & SPACE_ENTRY_DAMAGED)
			sm->nr_damaged++;
		else
			sm->nr_avail += sm->leaf[r].nr_free;
	}
out:
	free(page);
	if (rc)
		space_map_free(sm);
	else
		*out = sm;
	return rc;
}

void space_map_free(struct space_map *sm)
{
	if (!sm)
		return;
	for (uint32_t r = 0; sm->region && r < sm->nr_regions; r++)
		if (sm->region[r]) {
			free(sm->region[r]->counts);
			free(sm->region[r]);
		}
	free(sm->region);
	free(sm->loading);
	free(sm->leaf);
	free(sm->index1);
	free(sm->freed);
	os_mutex_release(&sm->lock);
	os_mutex_release(&sm->count_lock);
	os_cond_release(&sm->loaded);
	os_cond_release(&sm->unheld);
	free(sm);
}

static void header_fill(struct meta_header *h, uint32_t type, uint64_t pool_id,
			uint64_t blkno, uint64_t txg)
{
	h->type = le32_of(type);
	h->pool_id = le64_of(pool_id);
	h->blkno = le64_of(blkno);
	h->txg = le64_of(txg);
	h->csum = le64_of(csum_of((uint8_t *)h + 8, BLOCK_SIZE - 8, type));
}

/* Others may be loading the region meanwhile. */
static bool region_dirty(struct space_map *sm, uint32_t r)
{
	bool dirty;

	os_mutex_lock(&sm->count_lock);
	dirty = sm->region[r] && sm->region[r]->dirty;
	os_mutex_unlock(&sm->count_lock);
	return dirty;
}

static int write_region(struct space_map *sm, uint32_t r, uint64_t txg,
			struct io_batch *io)
{
	struct entry *e = &sm->leaf[r];
	struct space_region *page = io_batch_page(io);
	uint64_t blkno;

	if (!page)
		return -ENOMEM;
	os_mutex_lock(&sm->count_lock);
	memcpy(page, sm->region[r]->counts, BLOCK_SIZE);
	sm->region[r]->dirty = false;
	if (e->txg)
		e->slot ^= 1;
	blkno = region_counts_blkno(r, e->slot);
	page->nr_free = le16_of((uint16_t)e->nr_free);
	header_fill(&page->h, META_SPACE_REGION, sm->pool_id, blkno, txg);
	e->csum = le64_get(page->h.csum);
	e->txg = txg;
	os_mutex_unlock(&sm->count_lock);
	return io_batch_add(io, blkno, page, 1);
}

static int write_index(struct space_map *sm, uint8_t level, uint32_t i,
		       struct entry *e, const struct entry *below, uint32_t nr,
		       uint64_t txg, struct io_batch *io)
{
	struct space_index *page = io_batch_page(io);
	uint64_t blkno;

	if (!page)
		return -ENOMEM;
	page->level = level;
	e->nr_free = 0;
	for (uint32_t k = 0; k < nr; k++) {
		entry_store(&page->entry[k], &below[k]);
		e->nr_free += below[k].nr_free;
	}
	if (e->txg)
		e->slot ^= 1;
	e->flags = 0;
	e->dirty = false;
	blkno = space_index_blkno((uint8_t)level, i, e->slot);
	header_fill(&page->h, META_SPACE_INDEX, sm->pool_id, blkno, txg);
	e->csum = le64_get(page->h.csum);
	e->txg = txg;
	return io_batch_add(io, blkno, page, 1);
}

/* Regions below level-1 index block @i: [@first, the value returned). */
static uint32_t regions_of(const struct space_map *sm, uint32_t i,
			   uint32_t *first)
{
	*first = i * SPACE_INDEX_FANOUT;
	return MIN_OF(*first + SPACE_INDEX_FANOUT, sm->nr_regions);
}

size_t space_map_nr_writes(struct space_map *sm)
{
	size_t nr = sm->nr_index2;

	for (uint32_t i = 0; i < sm->nr_index1; i++) {
		uint32_t r, end;

		if (!sm->index1[i].dirty)
			continue;
		nr++;
		for (end = regions_of(sm, i, &r); r < end; r++)
			nr += region_dirty(sm, r);
	}
	return nr;
}

int space_map_write(struct space_map *sm, uint64_t txg, struct io_batch *io,
		    struct superblock *sb)
{
	uint64_t nr_free = 0;
	int rc = sm->lost;

	for (uint32_t i = 0; i < sm->nr_index1 && rc == 0; i++) {
		uint32_t first, end = regions_of(sm, i, &first);

		if (!sm->index1[i].dirty)
			continue;
		for (uint32_t r = first; r < end && rc == 0; r++)
			if (region_dirty(sm, r))
				rc = write_region(sm, r, txg, io);
		if (rc)
			break;
		sm->index2[i / SPACE_INDEX_FANOUT].dirty = true;
		rc = write_index(sm, 1, i, &sm->index1[i], sm->leaf + first,
				 end - first, txg, io);
	}
	for (uint32_t i = 0; i < sm->nr_index2 && rc == 0; i++) {
		uint32_t first = i * SPACE_INDEX_FANOUT;

		if (sm->index2[i].dirty)
			rc = write_index(sm, 2, i, &sm->index2[i],
					 sm->index1 + first,
					 MIN_OF(sm->nr_index1 - first,
						SPACE_INDEX_FANOUT),
					 txg, io);
		entry_store(&sb->space[i], &sm->index2[i]);
		nr_free += sm->index2[i].nr_free;
	}
	sb->nr_free = le64_of(nr_free);
	sb->nr_blocks = le64_of(sm->nr_blocks);
	os_mutex_lock(&sm->lock);
	sb->high_water = le64_of(
		MIN_OF((uint64_t)sm->nr_open * REGION_BLOCKS, sm->nr_blocks));
	os_mutex_unlock(&sm->lock);
	return rc;
}

int space_map_grow(struct space_map *sm, uint64_t nr_blocks, bool written)
{
	uint64_t old = sm->nr_blocks;
	uint32_t old_regions = sm->nr_regions, old_index1 = sm->nr_index1;
	uint32_t last = old_regions - 1;
	struct space_map bigger = {0};
	struct region *reg;
	uint64_t added = 0;
	int rc;

	/* who asked first may have asked for more */
	if (nr_blocks <= old)
		return -EINVAL;
	rc = space_region_load(sm, last);
	if (rc == 0)
		rc = tables_new(&bigger, nr_blocks);
	if (rc) {
		free(bigger.region);
		free(bigger.loading);
		free(bigger.leaf);
		free(bigger.index1);
		return rc;
	}
	os_mutex_lock(&sm->lock);
	os_mutex_lock(&sm->count_lock);
	memcpy(bigger.region, sm->region, old_regions * sizeof(*sm->region));
	/* reads go on beside this, and tell who waits for them */
	memcpy(bigger.loading, sm->loading, old_regions);
	memcpy(bigger.leaf, sm->leaf, old_regions * sizeof(*sm->leaf));
	memcpy(bigger.index1, sm->index1, old_index1 * sizeof(*sm->index1));
	free(sm->region);
	free(sm->loading);
	free(sm->leaf);
	free(sm->index1);
	sm->region = bigger.region;
	sm->loading = bigger.loading;
	sm->leaf = bigger.leaf;
	sm->index1 = bigger.index1;
	sm->nr_blocks = nr_blocks;
	sm->nr_regions = bigger.nr_regions;
	sm->nr_index1 = bigger.nr_index1;
	sm->nr_index2 = bigger.nr_index2;
	sm->nr_reserve = reserve_of(nr_blocks);
	/* the rest of what was the last region */
	reg = sm->region[last];
	for (uint64_t b = old;
	     b < MIN_OF(nr_blocks, (uint64_t)old_regions * REGION_BLOCKS);
	     b++) {
		uint32_t at = (uint32_t)(b % REGION_BLOCKS);

		reg->counts->count[at] = 0;
		reg->bit[at / 64] |= UINT64_C(1) << at % 64;
		reg->nr_bits++;
		sm->leaf[last].nr_free++;
		added++;
	}
	reg->max_run = REGION_BLOCKS;
	reg->dirty = true;
	sm->index1[last / SPACE_INDEX_FANOUT].dirty = true;
	for (uint32_t r = old_regions; r < sm->nr_regions; r++) {
		sm->leaf[r].nr_free = fresh_free(nr_blocks, r, 1);
		added += sm->leaf[r].nr_free;
		sm->index1[r / SPACE_INDEX_FANOUT].dirty = true;
	}
	sm->nr_avail += added;
	if (written)
		sm->nr_open = sm->nr_regions;
	os_mutex_unlock(&sm->count_lock);
	os_mutex_unlock(&sm->lock);
	return 0;
}
