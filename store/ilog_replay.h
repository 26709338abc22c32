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
	bool cut;	     /* -EIO: what may go on cannot be read */
};

/** A place in the log: before log record @skip of batch @seq. */
struct ilog_place {
	uint64_t seq;
	uint32_t skip;
};

/** All of the ring, whether or not it belongs together. */
struct ilog_survey {
	uint64_t nr_batches,
		nr_records;	     /* from a batch on, or of later epochs */
	bool newer;		     /* as in struct ilog_scan */
	uint64_t max_epoch, max_txg; /* of batches and the superblock */
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
 * Look at every block of the ring.
 * @seq: counted are this batch and later ones
 * Errors: -EUCLEAN the superblock names no ring; -ENOMEM
 */
int ilog_survey(struct blkdev *dev, const struct superblock *sb, uint64_t seq,
		struct ilog_survey *out);

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

/**
 * The same for who gives up what comes after @end: what is damaged behind it,
 * or cannot be read, does not matter, and the commit makes all of the log old.
 * A log that is from after a lost superblock is not replayed in part: what was
 * never written to it, since that superblock had it, is missing in its middle.
 *
 * @end: in: UINT64_MAX for all that is whole; out, on an error: the log record
 *       that could not be replayed, if it is one's fault
 */
int ilog_replay_until(struct pool *pool, struct ilog_place *end,
		      struct store_error *error);

#endif
