/* SPDX-License-Identifier: Apache-2.0 */
/*
 * node_cache.h - nodes in memory, a bounded number
 *
 * Below: node, blkdev.  Above: op, btree, txg.
 *
 * All frames are taken at open.  A node is clean (equal to its block, can be
 * evicted when nobody holds it) or dirty (born in a txg that has not
 * committed; stays).  Eviction is a clock over the frames.
 *
 * Invariants:
 *  C1  a clean node's bytes are those of its block and were verified once.
 *  C2  dirty and reserved frames together are at most a third of all when
 *      frames are set aside, and so are those that notes hold; so a reserved
 *      frame can always be had by evicting.  What a note holds is let go when
 *      it is counted: so many may the committer make beyond that, and a few.
 *  C3  a node that someone holds is not evicted; a held node that was
 *      forgotten leaves the cache when it is put.
 *  C4  what is read was born in a txg that is on disk: of a node of the open
 *      group there is only the dirty one.  Whoever claims to be younger would
 *      be changed in place (P3) and never written.
 */
#ifndef DBS_STORE_NODE_CACHE_H
#define DBS_STORE_NODE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/blkdev.h"
#include "store/util.h"

struct node_cache;

struct node {
	/* immutable while in the cache */
	uint64_t blkno, txg;
	uint8_t *page;
	/* under the shard's lock */
	struct node *next;
	uint32_t holds;
	bool hashed, referenced, dirty, sticky, forgotten;
	/* under the group's lock (txg.c) */
	struct list dirty_link;
};

/** @bytes: memory for pages.  Errors: -ENOMEM */
int node_cache_new(struct blkdev *dev, uint64_t pool_id, size_t bytes,
		   struct node_cache **cache);
void node_cache_free(struct node_cache *nc);
/** No node on the device is younger than @txg; node_cache_clean() raises it. */
void node_cache_set_newest(struct node_cache *nc, uint64_t txg);

/** The node if it is in memory, held; else NULL.  A node of another txg is
 * not it. */
struct node *node_cache_peek(struct node_cache *nc, uint64_t blkno,
			     uint64_t txg);
/** The same whatever its txg. */
struct node *node_cache_peek_any(struct node_cache *nc, uint64_t blkno);
/**
 * The node, read and verified if it must be, held.
 * Errors: -EIO; -EBADMSG; -EUCLEAN; -ENOMEM no frame to be had
 */
int node_cache_load(struct node_cache *nc, uint64_t blkno, uint64_t txg,
		    uint8_t level, struct node **node);
void node_cache_hold(struct node_cache *nc, struct node *n);
void node_cache_put(struct node_cache *nc, struct node *n);
/** The same for a note, which holds it until its group is on disk (C2). */
void node_cache_hold_noted(struct node_cache *nc, struct node *n);
void node_cache_put_noted(struct node_cache *nc, struct node *n);

/** Set @nr frames aside for node_cache_add(); false: commit first (C2).  The
 * committer, who makes nodes clean, is never refused. */
bool node_cache_reserve(struct node_cache *nc, uint32_t nr, bool committer);
void node_cache_unreserve(struct node_cache *nc, uint32_t nr);
/** A dirty node in a reserved frame, page uninitialised, not held. */
struct node *node_cache_add(struct node_cache *nc, uint64_t blkno, uint64_t txg,
			    bool sticky);
/** The node's block was freed: drop it, now or when it is put. */
void node_cache_forget(struct node_cache *nc, uint64_t blkno);
/** The node is on disk: dirty no more. */
void node_cache_clean(struct node_cache *nc, struct node *n);
/** Evict it last (nodes of the pool's own trees). */
void node_cache_stick(struct node_cache *nc, struct node *n);

struct node_cache_stat {
	uint64_t nr_frames, nr_used, nr_dirty, nr_reserved, nr_noted;
	uint64_t hits, misses;
};
void node_cache_stat(struct node_cache *nc, struct node_cache_stat *st);

#endif
