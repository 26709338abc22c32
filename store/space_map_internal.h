/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space_map_internal.h - shared by space_map*.c
 */
#ifndef DBS_STORE_SPACE_MAP_INTERNAL_H
#define DBS_STORE_SPACE_MAP_INTERNAL_H

#include <errno.h>

#include "store/os.h"
#include "store/space_map.h"
#include "store/util.h"

#define REGION_WORDS (REGION_BLOCKS / 64)
_Static_assert(REGION_WORDS * 64 == REGION_BLOCKS, "whole words");

/* One region in memory. */
struct region {
	/* under lock; built once, kept (S1) */
	uint64_t bit[REGION_WORDS]; /* set: may be handed out */
	uint32_t nr_bits;
	uint32_t max_run; /* no run of set bits is longer */
	/* under count_lock */
	struct space_region *counts; /* NULL: not in memory */
	bool dirty;		     /* counts differ from the current slot */
	bool used;		     /* since counts were last thinned out */
};

/* space_entry in memory */
struct entry {
	uint64_t csum, txg;
	uint32_t nr_free;
	uint8_t slot, flags;
	bool dirty; /* index entries: what is below changed */
};

struct freed_run {
	uint64_t first;
	uint32_t nr;
};

/* what space_map.loading says of a region */
#define REGION_LOADING	  1u /* a thread is reading it */
#define REGION_UNREADABLE 2u /* the device would not; left alone for a while */

/* counts kept in memory: 32 MiB, enough for 126 GiB of pool */
#define COUNTS_KEPT  8192u
#define STASH_RUNS   4096u
#define SPARE_RUNS   4u
#define SPARE_BLOCKS RECORD_BLOCKS_MAX

struct space_map {
	/* immutable */
	struct blkdev *dev;
	uint64_t pool_id;
	int (*wait_full)(void *arg);
	void *wait_arg;
	uint32_t counts_kept; /* regions, after a commit (tests take fewer) */

	/* under lock, the allocator's */
	struct os_mutex lock;
	struct os_cond loaded;
	struct os_cond unheld;
	uint32_t nr_waiting;	/* for that */
	uint64_t nr_unheld;	/* times that the last holder let go */
	uint64_t nr_blocks;	/* changed by grow, with count_lock too */
	uint32_t nr_regions;	/* the same */
	struct region **region; /* NULL: never looked at */
	uint8_t *loading;	/* of a region: REGION_*, or 0 */
	uint64_t nr_avail; /* may be handed out: bits, or entries' nr_free */
	uint64_t nr_reserve;
	uint32_t nr_open; /* regions below the high-water mark */
	bool zeroing;	  /* region nr_open is being written */
	uint32_t cursor;  /* region data comes from */
	uint32_t cursor_block;
	uint32_t node_cursor;
	/* runs of SPARE_BLOCKS kept for who gives space back in its turn */
	uint64_t spare[SPARE_RUNS];
	uint32_t nr_spare;
	bool no_spare; /* none was found; look again after a commit */
	/* single blocks for nodes: taken from the bits, in runs */
	struct freed_run stash[STASH_RUNS];
	uint32_t nr_stash;     /* runs */
	uint64_t stash_blocks; /* blocks in them */
	uint64_t stash_reserved;

	/* under count_lock, the committer's */
	struct os_mutex count_lock;
	struct entry *leaf;   /* one a region */
	struct entry *index1; /* one a level-1 block */
	struct entry index2[SPACE_INDEX2_MAX];
	uint32_t nr_index1, nr_index2;
	uint32_t nr_counts; /* regions with counts in memory */
	uint32_t nr_damaged;

	/* the committer only */
	struct freed_run *freed; /* in the group being committed, or held */
	size_t nr_freed, cap_freed;
	int lost; /* error that made counts wrong: nothing may be written */

	/* atomic */
	uint64_t nr_deferred;
	uint32_t nr_holds;
};

static inline uint32_t region_of(uint64_t blkno)
{
	return (uint32_t)(blkno / REGION_BLOCKS);
}

/** Blocks of region @r that exist. */
static inline uint32_t region_length(const struct space_map *sm, uint32_t r)
{
	uint64_t left = sm->nr_blocks - (uint64_t)r * REGION_BLOCKS;

	return (uint32_t)MIN_OF(left, (uint64_t)REGION_BLOCKS);
}

/** Is it the bytes that are wrong, rather than the device or the memory? */
static inline bool is_damage(int rc)
{
	return rc == -EUCLEAN || rc == -EBADMSG;
}

/** Have region @r's free map and counts in memory; may do I/O, no locks held.
 * Errors: -EUCLEAN, -EBADMSG damaged for good; -ENOMEM; the device's */
int space_region_load(struct space_map *sm, uint32_t r);
/** Region @r is damaged from now on (S5). */
void space_region_lose(struct space_map *sm, uint32_t r, int error);

#endif
