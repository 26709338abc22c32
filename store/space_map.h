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
 *  S5  a region whose counts cannot be read is left alone for ever: nothing
 *      in it is handed out, shared counts there are not lowered.
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
/** Give back blocks that were handed out and never claimed. */
void space_map_unalloc(struct space_map *sm, uint64_t first, uint32_t nr);

#endif
