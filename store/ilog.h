/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ilog.h - the intent log: what makes an operation durable before its txg is
 *
 * Below: blkdev, superblock, txg's groups.  Above: op, btree, dirty, datasets.
 *
 * Every op that changes something makes one log record: the items that it
 * put and deleted, the runs that it claimed, the bytes that it merged into
 * partial records, or what it did to datasets.  It takes its place in the one
 * order at op_ready(), under all of its locks, and is complete at op_leave().
 * Log records gather in memory; whoever has to wait for one to be durable
 * writes all that have gathered as a batch and flushes the device, for
 * everybody who waits (group commit).  A commit makes them superfluous.
 *
 * Owns the ring's contents, the list of gathered log records, and the order.
 *
 * Invariants:
 *  L1  log records lie in the ring in the order in which ops were applied to
 *      each dataset, and snapshots, clones ... to all that they touch.
 *  L2  a batch holds whole log records of one group; batch n + 1 is written
 *      after batch n was flushed.
 *  L3  what the last superblock's first batch and those behind it occupy in
 *      the ring is not overwritten.
 *  L4  a log record decides everything: ids, times, blocks, births.  Replay
 *      decides nothing but where nodes go.
 *  L5  a group's log records that were not written when its superblock was
 *      put together are never written; until that superblock is flushed no
 *      batch is.
 *  L6  nobody is told that a log record is durable before it is flushed or in
 *      a superblock that is.
 *
 * Source: ZFS's intent log; that log records are items instead of calls is
 * ours (docs/decisions/0050-log-records-are-items.md).
 */
#ifndef DBS_STORE_ILOG_H
#define DBS_STORE_ILOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/op.h"

struct btree;
struct dataset;
struct dataset_properties;
struct ilog;
struct ilog_record;
struct key;
struct pool;
struct superblock;

/* -- life ----------------------------------------------------------------- */

/** Set up from the superblock, which was verified.  Errors: -ENOMEM */
int ilog_new(struct pool *pool);
void ilog_free(struct pool *pool);

/* -- an op's log record (op.c, txg.c) ------------------------------------- */

/** Prepare; op->record stays NULL where nothing is logged.  Errors: -ENOMEM */
int ilog_record_new(struct op *op);
/** Apply half begins: the log record gets its place in the order. */
void ilog_record_begin(struct op *op);
/** Apply half ends.  Frees nothing that ilog_record_free() would. */
void ilog_record_end(struct op *op);
/** The op ends, applied or not. */
void ilog_record_free(struct op *op);

/* -- parts: in the apply half, after what they say was done ---------------- */

/* A part that finds no memory marks its log record as lost: then only the
 * commit of its group makes it, and what follows, durable. */
void ilog_put(struct op *op, const struct btree *bt, const struct key *key,
	      const void *value, size_t len);
void ilog_del(struct op *op, const struct btree *bt, const struct key *key);
void ilog_trim(struct op *op, const struct btree *bt, const struct key *first,
	       const struct key *last);
/** [@offset, @offset + @len) of a file, within one record; @src NULL: zeros. */
void ilog_bytes(struct op *op, const struct dataset *ds, uint64_t ino,
		uint64_t offset, const void *src, uint32_t len);
void ilog_create(struct op *op, const struct dataset *ds);
void ilog_snapshot(struct op *op, const struct dataset *ds,
		   const struct dataset *snap);
void ilog_clone(struct op *op, const struct dataset *source,
		const struct dataset *clone);
/** @keep: NULL, or the snapshot made of what was there */
void ilog_restore(struct op *op, const struct dataset *ds,
		  const struct dataset *snap, const struct dataset *keep,
		  uint64_t sealed);
void ilog_destroy(struct op *op, const struct dataset *ds, bool snapshots);
void ilog_rename(struct op *op, const struct dataset *ds);
void ilog_set(struct op *op, const struct dataset *ds);
/** @value NULL: unset */
void ilog_user(struct op *op, const struct dataset *ds, const char *key,
	       const char *value);

/* -- durability ----------------------------------------------------------- */

/**
 * Wait until log record @lsn and all before it are durable.
 * Context: no locks held.
 * Errors:  -EIO, -EROFS the pool failed
 * Cost:    nothing if they are; else one write and one flush, shared by all
 *          that wait; a commit where the log has no room or lost something
 */
int ilog_sync(struct pool *pool, uint64_t lsn);
/** All that was applied before. */
int ilog_sync_all(struct pool *pool);

/** Does the open group's log ask for a commit, or have to wait for one? */
bool ilog_wants_commit(struct pool *pool);
bool ilog_needs_commit(struct pool *pool);

/* -- commit (txg.c) ------------------------------------------------------- */

/** A group was sealed: what gathers from now on is the next one's. */
void ilog_sealed(struct pool *pool);
/** Say in @sb where replay starts once @sb is there (L5). */
void ilog_commit_begin(struct pool *pool, uint64_t seq, struct superblock *sb);
/** The superblock is flushed, or (@ok false) the pool failed, maybe before
 * ilog_commit_begin(). */
void ilog_commit_end(struct pool *pool, bool ok);

/**
 * No batch until the next commit; who waits for a log record makes that
 * commit.  For what a batch could name and no superblock knows yet.
 */
void ilog_suspend(struct pool *pool);

struct ilog_stat {
	uint64_t ring;	     /* bytes */
	uint64_t used;	     /* of it, needed by replay */
	uint64_t gathered;   /* bytes of log records in memory */
	uint64_t nr_records; /* since open */
	uint64_t nr_batches;
	uint64_t nr_bytes;   /* written */
	uint64_t nr_commits; /* that a waiter had to make instead */
};
void ilog_stat(struct pool *pool, struct ilog_stat *st);

#endif
