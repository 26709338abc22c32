/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies at fixed places: the copies of the superblock, and the slots of
 * the space map that are current.
 *
 * Commits write there all the time, so they are kept away for the few blocks
 * that are read at once.
 */
#include <errno.h>
#include <string.h>

#include "store/csum.h"
#include "store/pool_internal.h"
#include "store/scrub_internal.h"
#include "store/space_map_internal.h"
#include "store/util.h"

#define AT_ONCE 8u

/* Keep commits away (@on), or let them go on. */
static void hold_commits(struct pool *pool, bool on)
{
	struct txg_state *t = &pool->txg;

	os_mutex_lock(&t->lock);
	while (on && t->committing)
		os_cond_wait(&t->done, &t->lock);
	t->committing = on;
	os_cond_broadcast(&t->done);
	os_mutex_unlock(&t->lock);
}

/* ---- superblocks ------------------------------------------------------------ */

static bool superblock_good(struct scrub *s, uint64_t blkno)
{
	const struct superblock *sb = (const void *)s->page[0];

	return blkdev_read(s->pool->dev, s->page[0], BLOCK_SIZE,
			   blkno * BLOCK_SIZE) == 0 &&
	       le32_get(sb->h.type) == META_SUPERBLOCK &&
	       le64_get(sb->h.blkno) == blkno &&
	       memcmp(sb->magic, SUPERBLOCK_MAGIC, sizeof(sb->magic)) == 0 &&
	       memcmp(sb->uuid, s->pool->uuid, sizeof(sb->uuid)) == 0 &&
	       le64_get(sb->h.csum) ==
		       csum_of(s->page[0] + 8, BLOCK_SIZE - 8, META_SUPERBLOCK);
}

/*
 * One of a pool that has made @seq commits: slot @i of a ring that starts at
 * @ring.  The slot that the next commit writes is nobody's: a crash may have
 * torn what was written there.
 */
static int scrub_superblock(struct scrub *s, uint64_t seq, uint64_t ring,
			    uint64_t i)
{
	struct scrub_finding f = {.kind = SCRUB_FOUND_SUPERBLOCK,
				  .blkno = ring + i,
				  .nr_blocks = 1};

	if (i == (seq + 1) % SUPERBLOCK_RING ||
	    (seq < SUPERBLOCK_RING && (i > seq || i == 0)))
		return 0;
	scrub_count(s, 1);
	return superblock_good(s, f.blkno) ? 0 : scrub_found(s, NULL, &f);
}

int scrub_superblocks(struct scrub *s)
{
	uint64_t i = 0;
	int rc = 0;

	while (i < SUPERBLOCK_RING && rc == 0) {
		uint64_t end = i + AT_ONCE / 2, seq;

		hold_commits(s->pool, true);
		seq = le64_get(s->pool->sb->commit_seq);
		for (; i < end && rc == 0; i++) {
			rc = scrub_superblock(s, seq, 0, i);
			if (rc == 0)
				rc = scrub_superblock(s, seq,
						      SUPERBLOCK_COPY_BLKNO, i);
		}
		hold_commits(s->pool, false);
	}
	return rc;
}

/* ---- slots -------------------------------------------------------------------- */

/* Slot number @nr of all: level-2 blocks, level-1 blocks, regions. */
static bool slot_of(const struct space_map *sm, uint64_t nr, uint8_t *level,
		    uint64_t *i)
{
	*level = 2;
	*i = nr;
	if (*i < sm->nr_index2)
		return true;
	*level = 1;
	*i -= sm->nr_index2;
	if (*i < sm->nr_index1)
		return true;
	*level = 0;
	*i -= sm->nr_index1;
	return *i < sm->nr_regions;
}

/* The entry that names it.  False: there is no such slot. */
static bool entry_of(struct space_map *sm, uint64_t nr, struct entry *e,
		     uint8_t *level, uint64_t *i)
{
	bool found;

	os_mutex_lock(&sm->lock);
	os_mutex_lock(&sm->count_lock);
	found = slot_of(sm, nr, level, i);
	if (found)
		*e = *level == 2   ? sm->index2[*i]
		     : *level == 1 ? sm->index1[*i]
				   : sm->leaf[*i];
	os_mutex_unlock(&sm->count_lock);
	os_mutex_unlock(&sm->lock);
	return found;
}

static bool slot_good(struct scrub *s, const struct entry *e, uint8_t level,
		      uint64_t i, uint64_t *blkno)
{
	const struct meta_header *h = (const void *)s->page[0];
	uint32_t type = level ? META_SPACE_INDEX : META_SPACE_REGION;

	*blkno = level ? space_index_blkno(level, i, e->slot)
		       : region_counts_blkno(i, e->slot);
	return blkdev_read(s->pool->dev, s->page[0], BLOCK_SIZE,
			   *blkno * BLOCK_SIZE) == 0 &&
	       le32_get(h->type) == type && le64_get(h->blkno) == *blkno &&
	       le64_get(h->pool_id) == s->pool->id &&
	       le64_get(h->txg) == e->txg && le64_get(h->csum) == e->csum &&
	       csum_of(s->page[0] + 8, BLOCK_SIZE - 8, type) == e->csum;
}

/* Never written, or good. */
static bool slot_fine(struct scrub *s, uint64_t nr, struct scrub_finding *f)
{
	uint64_t i = 0;
	struct entry e;

	if (!entry_of(s->pool->sm, nr, &e, &f->level, &i) ||
	    (e.txg == 0 && !(e.flags & SPACE_ENTRY_DAMAGED)))
		return true;
	f->ino = i;
	if (slot_good(s, &e, f->level, i, &f->blkno))
		return !(e.flags & SPACE_ENTRY_DAMAGED);
	return false;
}

static int scrub_slot(struct scrub *s, uint64_t nr)
{
	struct scrub_finding f = {.kind = SCRUB_FOUND_SPACE_MAP,
				  .nr_blocks = 1};

	scrub_count(s, 1);
	return slot_fine(s, nr, &f) ? 0 : scrub_found(s, NULL, &f);
}

int scrub_slots(struct scrub *s, bool *done)
{
	struct space_map *sm = s->pool->sm;
	struct entry e;
	uint64_t i;
	uint8_t level;
	int rc = 0;

	*done = false;
	while (rc == 0 && !*done && !scrub_slice_over(s)) {
		hold_commits(s->pool, true);
		for (unsigned n = 0; n < AT_ONCE && rc == 0 && !*done; n++) {
			*done = !entry_of(sm, s->next_slot, &e, &level, &i);
			if (!*done)
				rc = scrub_slot(s, s->next_slot++);
		}
		hold_commits(s->pool, false);
	}
	return rc;
}
