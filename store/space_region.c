/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One region's counts: reading them, and what happens when that fails (S5).
 */
#include "store/space_map_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/csum.h"
#include "store/util.h"

/* a read that fails is tried again: what it would cost is a region */
#define READ_TRIES 3u

/* The counts of a region no txg has written yet. */
static void counts_init(uint32_t r, uint32_t len, struct space_region *c)
{
	memset(c, 0, sizeof(*c));
	memset(c->count, 1, region_reserved(r));
	memset(c->count + len, 1, REGION_BLOCKS - len);
}

static int counts_read_once(struct space_map *sm, uint32_t r, uint32_t len,
			    const struct entry *e, struct space_region *c)
{
	uint64_t blkno = region_counts_blkno(r, e->slot);
	uint32_t nr_free = 0;
	int rc;

	rc = blkdev_read(sm->dev, c, BLOCK_SIZE, blkno * BLOCK_SIZE);
	if (rc)
		return rc;
	if (le64_get(c->h.csum) != e->csum || le64_get(c->h.txg) != e->txg ||
	    le32_get(c->h.type) != META_SPACE_REGION ||
	    le64_get(c->h.pool_id) != sm->pool_id ||
	    le64_get(c->h.blkno) != blkno ||
	    csum_of((uint8_t *)c + 8, BLOCK_SIZE - 8, META_SPACE_REGION) !=
		    e->csum)
		return -EBADMSG;
	for (uint32_t i = 0; i < REGION_BLOCKS; i++)
		nr_free += c->count[i] == 0;
	for (uint32_t i = 0; i < region_reserved(r); i++)
		if (c->count[i] == 0)
			return -EUCLEAN;
	for (uint32_t i = len; i < REGION_BLOCKS; i++)
		if (c->count[i] == 0)
			return -EUCLEAN;
	return nr_free == e->nr_free ? 0 : -EUCLEAN;
}

static int counts_read(struct space_map *sm, uint32_t r, uint32_t len,
		       const struct entry *e, struct space_region *c)
{
	int rc = -EUCLEAN;

	if (e->flags & SPACE_ENTRY_DAMAGED)
		return rc;
	if (e->txg == 0) {
		counts_init(r, len, c);
		return 0;
	}
	for (unsigned try = 0; rc && try < READ_TRIES; try++)
		rc = counts_read_once(sm, r, len, e, c);
	return rc;
}

/* Both locks held: what region @r offers is no longer to be had (S5). */
static void mark_damaged(struct space_map *sm, uint32_t r, int error)
{
	struct entry *e = &sm->leaf[r];

	if (!(e->flags & SPACE_ENTRY_DAMAGED)) {
		log_error("space map region unreadable region=%u error=%d: its "
			  "free space is lost until repaired",
			  r, -error);
		e->flags |= SPACE_ENTRY_DAMAGED;
		sm->nr_damaged++;
		if (!sm->region[r]) {
			sm->nr_avail -=
				MIN_OF(sm->nr_avail, (uint64_t)e->nr_free);
		} else {
			struct region *reg = sm->region[r];

			sm->nr_avail -= reg->nr_bits;
			memset(reg->bit, 0, sizeof(reg->bit));
			reg->nr_bits = reg->max_run = 0;
		}
	}
}

void space_region_lose(struct space_map *sm, uint32_t r, int error)
{
	os_mutex_lock(&sm->lock);
	os_mutex_lock(&sm->count_lock);
	mark_damaged(sm, r, error);
	os_mutex_unlock(&sm->count_lock);
	os_mutex_unlock(&sm->lock);
}

int space_region_load(struct space_map *sm, uint32_t r)
{
	struct space_region *c;
	struct region *reg;
	struct entry e;
	uint32_t len;
	int rc;

	os_mutex_lock(&sm->lock);
	while (sm->loading[r] == REGION_LOADING)
		os_cond_wait(&sm->loaded, &sm->lock);
	reg = sm->region[r];
	len = region_length(sm, r);
	os_mutex_lock(&sm->count_lock);
	e = sm->leaf[r];
	if (reg)
		reg->used = true;
	if (reg && reg->counts) {
		os_mutex_unlock(&sm->count_lock);
		os_mutex_unlock(&sm->lock);
		return 0;
	}
	os_mutex_unlock(&sm->count_lock);
	sm->loading[r] = REGION_LOADING;
	os_mutex_unlock(&sm->lock);

	c = blkdev_buffer_new(BLOCK_SIZE);
	if (!reg)
		reg = calloc(1, sizeof(*reg));
	rc = c && reg ? counts_read(sm, r, len, &e, c) : -ENOMEM;

	os_mutex_lock(&sm->lock);
	os_mutex_lock(&sm->count_lock);
	if (rc == 0 && !sm->region[r]) {
		for (uint32_t i = 0; i < REGION_BLOCKS; i++)
			if (c->count[i] == 0) {
				reg->bit[i / 64] |= UINT64_C(1) << i % 64;
				reg->nr_bits++;
			}
		reg->max_run = reg->nr_bits;
		sm->region[r] = reg;
	} else if (rc && !sm->region[r]) {
		free(reg);
		reg = NULL;
	}
	if (rc == 0) {
		reg->counts = c;
		reg->used = true;
		sm->nr_counts++;
	} else {
		free(c);
		if (is_damage(rc))
			mark_damaged(sm, r, rc);
	}
	sm->loading[r] = 0;
	if (rc && rc != -ENOMEM && !is_damage(rc))
		sm->loading[r] = REGION_UNREADABLE;
	os_cond_broadcast(&sm->loaded);
	os_mutex_unlock(&sm->count_lock);
	os_mutex_unlock(&sm->lock);
	return rc;
}
