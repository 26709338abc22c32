/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub.h - read everything in a pool that is in use, and verify it
 *
 * Below: blkdev, nodes, space map, committed trees.  Above: fs/, tools/.
 *
 * A scrub reads, once each, the superblocks, the space map's current slots
 * and all nodes and records that datasets and snapshots reach, from the
 * device and not from memory, and compares checksums.  It repairs nothing.
 * One thread does it beside everything else, in slices of less than a second
 * between which freed blocks can be used again.
 *
 * It sees what was there when it began.  What was written since is not looked
 * for; a record that moves (restore, reflink) from a part that was not read
 * yet to one that was, and is gone from where it was, is left to the next.
 *
 * Invariants:
 *  R1  a scrub walks committed trees whose blocks nobody reuses meanwhile:
 *      what does not match its checksum is damage.
 *  R2  a block is marked as read only when it, and all below it, is good: so
 *      every dataset and snapshot that damage touches is named.
 */
#ifndef DBS_STORE_SCRUB_H
#define DBS_STORE_SCRUB_H

#include <stdbool.h>
#include <stdint.h>

#include "store/dataset.h"
#include "store/pool.h"

/* values are on disk */
enum scrub_state {
	SCRUB_NONE = 0, /* there never was one */
	SCRUB_RUNNING = 1,
	SCRUB_PAUSED = 2,
	SCRUB_STOPPED = 3, /* given up */
	SCRUB_FINISHED = 4,
	SCRUB_FAILED = 5, /* it could not go on: the pool failed, no memory */
};

#define SCRUB_RATE_DEFAULT (UINT64_C(100) << 20)
#define SCRUB_RATE_SAME	   UINT64_MAX

struct scrub_status {
	enum scrub_state state;
	bool active;		/* a thread is at it */
	int64_t started, ended; /* seconds since 1970, 0: not yet */
	uint64_t done, total;	/* bytes; total is an estimate */
	uint64_t rate;		/* limit, bytes a second, 0: none */
	uint64_t speed;		/* bytes a second, lately */
	uint64_t active_ms;	/* it has taken so far */
	uint64_t eta_ms;	/* UINT64_MAX: not known */
	uint64_t nr_nodes, nr_records;
	uint64_t nr_errors; /* blocks and records that are damaged */
	uint64_t nr_found;  /* findings: one for each dataset they are in */
	char at[DATASET_FULL_NAME_MAX]; /* what is being read, or "" */
};

/* values are on disk */
enum scrub_found {
	SCRUB_FOUND_RECORD = 1,	    /* of a file's data */
	SCRUB_FOUND_NODE = 2,	    /* of a dataset's tree */
	SCRUB_FOUND_POOL_NODE = 3,  /* of the pool's own trees */
	SCRUB_FOUND_SUPERBLOCK = 4, /* one of its copies */
	SCRUB_FOUND_SPACE_MAP = 5,  /* a slot of a region or index block */
};

#define SCRUB_PATH_MAX	   512u
#define SCRUB_FINDINGS_MAX 200u /* that are kept; all are counted */

struct scrub_finding {
	enum scrub_found kind;
	uint8_t level;
	uint32_t dataset;		  /* id, 0: the pool's */
	char name[DATASET_FULL_NAME_MAX]; /* "DS", "DS@SNAP", or its id */
	uint64_t ino;			  /* 0: none */
	uint64_t ino_end; /* a node: what is lost is of [ino, ino_end) */
	uint64_t offset;  /* in the file: lost is what begins there */
	uint64_t blkno;
	uint32_t nr_blocks;
	char path[SCRUB_PATH_MAX]; /* from the dataset's root, or "(ino N)" */
};

/**
 * Begin a scrub, or go on with one that was paused or cut short.
 *
 * @rate: bytes a second, 0 no limit, SCRUB_RATE_SAME: as the one that goes
 *        on, else SCRUB_RATE_DEFAULT
 *
 * Context: starts a thread; in a pool without background it is done on return
 * Errors:  -EALREADY one is running (a @rate that was given is its new one);
 *          -ENOMEM; -EAGAIN no thread; -EIO, -EROFS the pool failed
 */
int pool_scrub_start(struct pool *pool, uint64_t rate);
/** Go on only if a close or a crash cut one short (the daemon, at its start).
 * 0 also when there is none. */
int pool_scrub_resume(struct pool *pool);
/** Stop for now, or (@give_up) for good.  Errors: -ESRCH none is running. */
int pool_scrub_pause(struct pool *pool, bool give_up);
/** Wait until none is running.  Errors: -ETIMEDOUT */
int pool_scrub_wait(struct pool *pool, uint32_t timeout_ms);
/** Errors: -ENOMEM; those of reading what was kept */
int pool_scrub_status(struct pool *pool, struct scrub_status *status);
/** Call @fn with each finding that was kept; it must not call the store. */
int pool_scrub_findings(struct pool *pool,
			void (*fn)(void *arg, const struct scrub_finding *f),
			void *arg);
/** "'prod@monday', 'db/t1.ibd', offset 65536: ..." */
void scrub_finding_text(const struct scrub_finding *f, char *buf, size_t cap);

#endif
