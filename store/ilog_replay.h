/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ilog_replay.h - the intent log after a crash
 *
 * Below: ilog's format, ops, files, datasets.  Above: pool.c.
 *
 * Scanning finds the batches that the superblock does not include: a chain of
 * sequence numbers and checksums, of the superblock's epoch.  What follows
 * its end must be old, or something that was flushed is damaged.  Replay then
 * takes the runs that the batches claimed, so that nothing else gets them,
 * and does each log record again.
 *
 * It decides nothing (L4).  What an item replaces it finds in the tree,
 * though, not in the log: references and counters follow from what is there.
 * So a commit in the middle may have stored a partial record elsewhere than
 * the crashed pool did, and a log record may be replayed onto its own result.
 *
 * Invariants:
 *  Y1  a batch is replayed whole or not at all; all before it first.
 *  Y2  a commit during replay says in the superblock what is in it:
 *      ilog_seq, ilog_pos, ilog_prev_csum and ilog_skip, in the old epoch.
 *      So a crash during replay is one more crash.
 *  Y3  the data of the last batch, which may not have been flushed, is
 *      verified before anything is replayed; if it is not there, neither is
 *      the batch, for good: a commit in the new epoch comes before any other
 *      write, or who writes the same data once more would bring it back.
 */
#ifndef DBS_STORE_ILOG_REPLAY_H
#define DBS_STORE_ILOG_REPLAY_H

#include "store/pool.h"

struct superblock;

/** What a scan found; for check and messages too. */
struct ilog_scan {
	uint64_t nr_batches;
	uint64_t nr_records; /* to be replayed */
	uint64_t nr_bytes;   /* of the ring that they take */
	uint64_t last_seq;   /* of the last good batch, or ilog_seq - 1 */
	bool damaged;	     /* the log goes on behind something unreadable */
	bool newer;	     /* a later superblock was written, and is lost */
};

/**
 * Read the ring; changes nothing.
 * @sb:    the device's newest superblock
 * @error: out, a sentence when damaged or newer
 * Errors: -EIO; -ENOMEM.  Damage is not an error but said in @scan.
 * Cost:   reads the ring once
 */
int ilog_scan_device(struct blkdev *dev, const struct superblock *sb,
		     struct ilog_scan *scan, struct store_error *error);

/**
 * Replay all that ilog_scan_device() finds and commit it.  The pool has no threads
 * yet, and its datasets are loaded.
 *
 * Errors: -EUCLEAN the log is damaged, or a newer superblock is lost: nothing
 *         was replayed, open the pool read-only (with a sentence); -EIO;
 *         -ENOMEM; -ENOSPC
 */
int ilog_replay(struct pool *pool, struct ilog_scan *scan,
		struct store_error *error);

#endif
