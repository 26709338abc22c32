/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ilog_internal.h - struct ilog, for ilog*.c
 */
#ifndef DBS_STORE_ILOG_INTERNAL_H
#define DBS_STORE_ILOG_INTERNAL_H

#include "store/format.h"
#include "store/ilog.h"
#include "store/os.h"
#include "store/util.h"

/* A batch is not much longer: what is replayed at once, and verified. */
#define ILOG_BATCH_BYTES (UINT32_C(1) << 20)
/* records' data that a batch may name, so that verifying it is quick */
#define ILOG_BATCH_DATA (UINT64_C(32) << 20)

struct ilog_record {
	struct list link; /* in ilog->gathered, by rising lsn; under lock */
	uint64_t lsn;
	uint64_t group; /* sequence number of its group */
	uint64_t txg;
	uint32_t len, cap;
	uint32_t dataset; /* that the last ILOG_DATASET named */
	uint32_t nr_data; /* blocks of data that its runs have */
	bool queued;
	bool done;	/* complete; under lock */
	bool lost;	/* a part found no memory */
	uint8_t *bytes; /* without the header */
	uint8_t inline_bytes[];
};

/** Free a log record that is in no list. */
void ilog_record_discard(struct ilog_record *r);

/* Where a batch starts and what precedes it. */
struct ilog_mark {
	uint64_t seq;
	uint64_t pos; /* in the ring, counted on and on (modulo its length) */
	uint64_t prev_csum;
};

struct ilog {
	/* immutable */
	uint64_t nr_ring; /* blocks; 0: there is none */
	struct block_run segment[ILOG_SEGMENTS_MAX];
	uint64_t epoch; /* that batches carry */

	struct os_mutex lock; /* a leaf */
	struct os_cond done;  /* durable, busy or a log record's done changed */
	/* under lock */
	struct list gathered;
	uint64_t next_lsn;	/* from 1 */
	uint64_t durable;	/* all log records up to it are */
	bool busy;		/* somebody writes a batch, or L5 */
	bool wanted;		/* the committer waits for its turn */
	bool held;		/* busy is the committer's */
	uint32_t waiting;	/* in ilog_sync() */
	bool active;		/* a superblock with epoch is on disk */
	struct ilog_mark next;	/* batch to be written */
	struct ilog_mark first; /* first batch of group first_group */
	uint64_t first_group;
	uint64_t head;	    /* position that the last superblock names */
	uint64_t head_next; /* the same of the one being written */
	uint64_t flushed_seq;
	uint64_t open_bytes, open_records; /* of the open group */
	uint64_t gathered_bytes;
	uint64_t nr_batches, nr_bytes, nr_commits;

	/* whoever is busy */
	uint8_t *buf;
	size_t buf_len;
};

/** Write @nr blocks of the ring at @pos, which do not wrap. */
int ilog_ring_write(struct pool *pool, uint64_t pos, const void *buf,
		    uint32_t nr);
/** The stamp of a batch (docs/on-disk-format.md). */
struct le64 ilog_stamp(const struct pool *pool, uint64_t epoch, uint64_t seq,
		       uint64_t pos);

#endif
