/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty_internal.h - shared by dirty*.c
 */
#ifndef DBS_STORE_DIRTY_INTERNAL_H
#define DBS_STORE_DIRTY_INTERNAL_H

#include "store/dirty.h"
#include "store/record.h"

#define DIRTY_BUCKETS 64u

/*
 * As many records that were filled bit by bit are stored together: a thread
 * is woken up for them once, and what it writes, next to each other, goes out
 * with one transfer of the next flush.
 */
#define DIRTY_FILLED_MAX 8u

#define RECENT_SLOTS	 4u
#define RECENT_BYTES_MAX (128u << 10)

/* A copy of a record that was sealed a short while ago. */
struct recent_record {
	uint64_t ino, recno;
	uint64_t used;	 /* serial number */
	struct extent e; /* what it was stored as */
	size_t len;	 /* 0: the slot is free */
	uint8_t *data;
};

struct dirty_cache {
	/* under ds->lock */
	struct dirty_record *bucket[DIRTY_BUCKETS];
	struct list lru; /* least lately merged first */
	uint64_t bytes;
	int64_t growth; /* of all records */
	uint32_t nr;
	uint32_t nr_filled;
	uint64_t serial;
	struct recent_record recent[RECENT_SLOTS];
};

/** Take @d out of the cache; the caller's again. */
void dirty_remove(struct dirty_cache *c, struct dirty_record *d);

/** Have the stored record read, if nobody has it; no locks held. */
void dirty_read_ahead(struct dataset *ds, uint64_t ino, uint64_t recno);
void dirty_recent_release(struct dirty_cache *c);

#endif
