/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ilog_replay_internal.h - shared by ilog_scan.c and ilog_replay*.c
 */
#ifndef DBS_STORE_ILOG_REPLAY_INTERNAL_H
#define DBS_STORE_ILOG_REPLAY_INTERNAL_H

#include "store/ilog_part.h"
#include "store/ilog_replay.h"
#include "store/pool_internal.h"

/* -- ilog_scan.c ----------------------------------------------------------- */

/* A batch that replay wants. */
struct ilog_found {
	uint64_t seq, pos; /* in the ring */
	uint64_t prev_csum, csum;
	uint64_t flushed_seq;
	uint64_t length, payload_csum;
	uint32_t nr_blocks, nr_records;
	uint8_t *payload; /* its log records; NULL: read them again */
};

/* All of them, and where the next one would be. */
struct ilog_chain {
	struct blkdev *dev;
	const struct superblock *sb;
	uint64_t nr_ring;
	struct ilog_found *batch;
	size_t nr, cap;
	uint64_t nr_blocks;	      /* of all of them */
	uint64_t kept;		      /* bytes of payloads in memory */
	uint64_t seq, pos, prev_csum; /* behind the last */
	bool cut; /* there was one more, without its data (Y3) */
	/* a piece of the ring in memory */
	uint8_t *window;
	uint64_t window_pos;
	uint32_t window_nr;
	uint64_t bad_window; /* is read block by block; UINT64_MAX: none */
};

/**
 * Read the ring and find what is to be replayed.  ilog_chain_release() must
 * follow, whatever is returned.
 */
int ilog_chain_read(struct ilog_chain *c, struct blkdev *dev,
		    const struct superblock *sb, struct ilog_scan *scan,
		    struct store_error *error);
/** The log records of batch @i; they stay until ilog_chain_drop().
 * Errors: -EUCLEAN they are not what they were */
int ilog_chain_payload(struct ilog_chain *c, size_t i, const uint8_t **payload);
/** Those of batch @i are not needed any more, or not soon. */
void ilog_chain_drop(struct ilog_chain *c, size_t i);
void ilog_chain_release(struct ilog_chain *c);

/* -- ilog_prefetch.c ------------------------------------------------------- */

struct ilog_prefetch;

/** Start to read ahead of replay; NULL: it is not worth while, or not to be
 * had.  The payloads of @chain that are in memory must stay there. */
struct ilog_prefetch *ilog_prefetch_start(struct pool *pool,
					  const struct ilog_chain *chain,
					  uint64_t nr_records);
/** @nr log records of the chain are done, those in the superblock included. */
void ilog_prefetch_done(struct ilog_prefetch *f, uint64_t nr);
void ilog_prefetch_stop(struct ilog_prefetch *f);

/* -- ilog_replay_file.c ---------------------------------------------------- */

/*
 * What was found when the runs of a log record were taken.  The first log
 * record may have been applied in part, in an op of its own that was then
 * committed; then its runs are in use already.
 */
struct ilog_taken {
	bool first;
	size_t nr, cap;
	uint8_t *in_use; /* one for each run of it that was claimed */
};

/** Do again what @r did to files. */
int ilog_replay_files(struct pool *pool, const struct ilog_stored *r,
		      const struct ilog_taken *taken);

/* -- ilog_replay_dataset.c ------------------------------------------------- */

/** Do again what @r did to datasets. */
int ilog_replay_datasets(struct pool *pool, const struct ilog_stored *r);

/** The log does not fit the pool: log it, return -EUCLEAN. */
int ilog_mismatch(const struct pool *pool, const char *what, uint64_t number);

#endif
