/* SPDX-License-Identifier: Apache-2.0 */
/*
 * space_map.h - a refcount per block, and the allocator
 *
 * Below: blkdev, csum.  Above: op (reservations), txg (counts, commit).
 *
 * Owns two views of the device.  The free map, one bit a block, says what may
 * be handed out now; it lives in memory, is built region by region on first
 * use, and knows of blocks that were handed out but are in no count yet.  The
 * counts are what the disk says as of the last sealed txg; only the committer
 * changes them, so the foreground never waits for a region to be read when it
 * frees or shares something.
 *
 * Invariants:
 *  S1  a bit of the free map is set only if the block's count on disk is 0.
 *  S2  a block freed in a txg gets its bit back when that txg has committed.
 *  S3  a run's reference count is its first block's; the others have 1.
 *  S4  which of a region's two slots is current is said by the index above
 *      it, up to the superblock; a slot that the last superblock reaches is
 *      never written.
 *  S5  a region whose counts are damaged, or cannot be read when the
 *      committer needs them, is left alone for ever: nothing in it is handed
 *      out, shared counts there are not lowered.
 *  S6  a count in the space tree (ITEM_OVERFLOW) exists exactly for blocks
 *      whose byte is SPACE_COUNT_OVERFLOW.
 */
#ifndef DBS_STORE_SPACE_MAP_H
#define DBS_STORE_SPACE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "store/blkdev.h"
#include "store/format.h"

struct space_map;

/* Runs of data handed out at once. */
#define SPACE_MAP_MAX_RUN 256u

/**
 * Reserve and hand out up to @nr adjacent blocks for data.
 *
 * @nr:    wanted, 1..SPACE_MAP_MAX_RUN
 * @first: out
 * @got:   out, 1..@nr; less than @nr when free space is in pieces: ask again
 *
 * Owner:   the caller's, until op_claim() names them or space_map_unalloc()
 * Context: any thread, no txg needed; takes sm->lock; may read a region
 * Errors:  -ENOSPC (the reserve is not touched); -EIO, -EBADMSG only when no
 *          readable region has space
 */
int space_map_alloc(struct space_map *sm, uint32_t nr, uint64_t *first,
		    uint32_t *got);
/** The same for what gives space back in its turn: most of the reserve too. */
int space_map_alloc_reserve(struct space_map *sm, uint32_t nr, uint64_t *first,
			    uint32_t *got);
/** Give back blocks that were handed out and never claimed. */
void space_map_unalloc(struct space_map *sm, uint64_t first, uint32_t nr);

/** Take just these blocks, which are free (pool creation).  -ENOSPC: not */
int space_map_take(struct space_map *sm, uint64_t first, uint32_t nr);

/*
 * Replay of the intent log (ilog_replay.c), before anything else allocates.
 */
/**
 * Take a run that a log record claims, so that nothing else gets it, and let
 * its region count as written.  In a region whose counts are unreadable there
 * is nothing to take (S5).
 * Errors: -EUCLEAN no run of data can be there, or it is in use; -EIO; -ENOMEM
 */
int space_map_take_logged(struct space_map *sm, uint64_t first, uint32_t nr);
/** Is nothing of the run free?  Errors: -EUCLEAN it is, or see above */
int space_map_verify_used(struct space_map *sm, uint64_t first, uint32_t nr);
/** Change the reserve; returns what it was.  What is replayed had its space
 * once, but needs some of it twice for a while. */
uint64_t space_map_set_reserve(struct space_map *sm, uint64_t nr_blocks);

/* -- reservations of single blocks for nodes (op.c) ----------------------- */

#define SPACE_USE_RESERVE 1u /* most of the reserve too */
#define SPACE_COMMITTER	  2u /* all of it */

/**
 * Set @nr blocks aside for space_map_take_node().  May read a region.
 * Errors: -ENOSPC; -EIO
 */
int space_map_reserve_nodes(struct space_map *sm, uint32_t nr, unsigned flags);
void space_map_unreserve_nodes(struct space_map *sm, uint32_t nr);
/** One of the reserved blocks; memory only, cannot fail. */
uint64_t space_map_take_node(struct space_map *sm);

/* -- counts: the committer only, but for space_map_get() ------------------ */

struct op;
struct btree;

/**
 * The reference count of the run or node at @blkno as of the last sealed txg.
 * Errors: -EIO, -EUCLEAN its region is damaged
 */
int space_map_get(struct space_map *sm, uint64_t blkno, uint32_t *count);

/** First reference to a run. */
void space_map_claim(struct space_map *sm, uint64_t first, uint32_t nr);
/** One more; @op is the committer's, @tree the space tree (S6). */
void space_map_inc(struct space_map *sm, struct op *op, struct btree *tree,
		   uint64_t blkno);
/**
 * One less.  Returns true when that was the last: the run's counts are 0 then
 * and its blocks wait in @sm for the commit (S2).
 */
bool space_map_dec(struct space_map *sm, struct op *op, struct btree *tree,
		   uint64_t first, uint32_t nr);
/** Is it the only reference?  Damaged regions say no. */
bool space_map_is_last(struct space_map *sm, struct op *op, struct btree *tree,
		       uint64_t blkno);

/* -- life and commit ------------------------------------------------------ */

struct superblock;
struct io_batch;

/** From a superblock whose entries were verified; reads the index blocks. */
int space_map_open(struct blkdev *dev, uint64_t pool_id,
		   const struct superblock *sb, struct space_map **sm);
void space_map_free(struct space_map *sm);
/**
 * Called without locks when an allocation finds nothing: @wait commits what is
 * open and returns 0, or 1 when a later commit brings back more; -errno: no
 * commit could bring blocks back.
 */
void space_map_on_full(struct space_map *sm, int (*wait)(void *arg), void *arg);

/** How many slots space_map_write() will queue, at most. */
size_t space_map_nr_writes(struct space_map *sm);
/** Queue all changed slots and say in @sb where they will be. */
int space_map_write(struct space_map *sm, uint64_t txg, struct io_batch *io,
		    struct superblock *sb);
/** The superblock is on disk: blocks freed before it can be handed out, unless
 * someone holds the map. */
void space_map_committed(struct space_map *sm);
/** While held, no freed block is handed out: who reads trees without locks
 * finds everything where it was. */
void space_map_hold(struct space_map *sm);
void space_map_unhold(struct space_map *sm);
bool space_map_held(struct space_map *sm);
/** Wait until nobody holds it, no locks held, for ten seconds at most. */
void space_map_wait_unheld(struct space_map *sm);
/** Make the map cover @nr_blocks.  @written: the new blocks need no zeros
 * ahead.  Errors: -EINVAL not more than now; -EFBIG; -ENOMEM */
int space_map_grow(struct space_map *sm, uint64_t nr_blocks, bool written);

/**
 * The next region to be filled with zeros, when less than @ahead blocks are
 * free below the high-water mark; space_map_zero_end() raises the mark.
 */
bool space_map_zero_begin(struct space_map *sm, uint64_t ahead, uint64_t *first,
			  uint32_t *nr);
void space_map_zero_end(struct space_map *sm);

struct space_map_stat {
	uint64_t nr_blocks;
	uint64_t nr_free;     /* can be handed out, reserve included */
	uint64_t nr_deferred; /* freed, waiting for a commit */
	uint64_t nr_reserve;
	uint64_t nr_damaged; /* regions */
	uint64_t high_water; /* block: from here on nothing was ever written */
	uint64_t memory;     /* bytes */
};
void space_map_stat(struct space_map *sm, struct space_map_stat *st);

#endif
