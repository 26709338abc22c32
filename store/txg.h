/* SPDX-License-Identifier: Apache-2.0 */
/*
 * txg.h - transaction groups: what becomes durable together
 *
 * Below: node cache, space map, superblock.  Above: op, pool.
 *
 * Every change belongs to the open txg.  Sealing ends it in memory; a commit
 * makes all sealed txgs durable:
 *
 *	open --txg_seal()--> sealed --committer--> syncing --superblock-->
 *	committed
 *
 * A snapshot, clone or restore seals too, so that what follows is born in a
 * later txg than what it froze; sealed txgs that wait for the committer form
 * a group and are committed as one.
 *
 * Invariants:
 *  T1  a node or record block is written to a block that the last committed
 *      superblock does not reach.
 *  T2  superblock n is written after a flush that follows every other write
 *      of its group, and is itself followed by a flush before anyone is told,
 *      or anything that it freed is used; also by who opens the pool after the
 *      one who wrote it was killed.
 *  T3  at most one group is open and one syncing.
 *  T4  after a failed write or flush nothing is committed any more.
 */
#ifndef DBS_STORE_TXG_H
#define DBS_STORE_TXG_H

#include <stdbool.h>
#include <stdint.h>

#include "store/op.h"
#include "store/pool.h"

struct dataset;

/**
 * Let the committer write @len bytes at block @first before the superblock
 * of @op's group.  @buf: malloc'd or blkdev_buffer_new(), aligned and a
 * multiple of the block size long; becomes the group's, which frees it.
 * Until txg_deferred_read() fails to find it, readers get it from there.
 * Apply half; uses one note.
 */
void txg_defer_write(struct op *op, uint64_t first, void *buf, uint32_t nr);
/** Copy a deferred run that is not on disk yet to @buf; false: read the disk. */
bool txg_deferred_read(struct pool *pool, uint64_t first, void *buf,
		       uint32_t nr);

/** Wait until all that was applied before is committed.  Errors: -EIO,
 * -EROFS the pool failed. */
int txg_sync(struct pool *pool);
/** Ask for a commit soon, without waiting. */
void txg_kick(struct pool *pool);

/** Run file_purge_orphans(@ds) soon, in the background (inline when the pool
 * has no threads).  Takes a reference of its own. */
void pool_want_purge(struct dataset *ds);
/** Run dirty_flush_early(@ds) soon, likewise. */
void pool_want_flush(struct dataset *ds);

/** Never again: the device failed with @error (T4).  Logs once. */
void pool_fail(struct pool *pool, int error, const char *what);
bool pool_failed(const struct pool *pool);

struct blkdev *pool_dev(struct pool *pool);
struct space_map *pool_space(struct pool *pool);
uint64_t pool_hash_seed(const struct pool *pool);
/** Count an error for pool_stat(); the caller has logged it. */
void pool_count_error(struct pool *pool);

#endif
