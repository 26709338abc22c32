/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty_internal.h - shared by dirty*.c
 */
#ifndef DBS_STORE_DIRTY_INTERNAL_H
#define DBS_STORE_DIRTY_INTERNAL_H

#include "store/dirty.h"

#define DIRTY_BUCKETS 64u

struct dirty_cache {
	/* under ds->lock */
	struct dirty_record *bucket[DIRTY_BUCKETS];
	struct list lru; /* least lately merged first */
	uint64_t bytes;
	uint32_t nr;
	uint64_t serial;
};

/** Take @d out of the cache; the caller's again. */
void dirty_remove(struct dirty_cache *c, struct dirty_record *d);

#endif
