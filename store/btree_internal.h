/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree_internal.h - shared by btree*.c
 */
#ifndef DBS_STORE_BTREE_INTERNAL_H
#define DBS_STORE_BTREE_INTERNAL_H

#include "store/btree.h"
#include "store/node.h"
#include "store/pool_internal.h"

/* The nodes on the way to a key, by level; slot: where it goes on. */
struct btree_path {
	struct node *node[NODE_LEVEL_MAX];
	uint32_t slot[NODE_LEVEL_MAX];
};

/** P3: may @n, a node of @bt, be changed in place? */
static inline bool btree_owns(const struct op *op, const struct btree *bt,
			      const struct node *n)
{
	return n->txg > bt->shared_txg && n->txg > op->sealed_txg;
}

/** The node if it is in the cache, held; else the op's miss is set. */
struct node *btree_node(struct op *op, uint64_t blkno, uint64_t txg,
			uint8_t level);

/** Let go of a held node. */
static inline void btree_put_node(struct op *op, struct node *n)
{
	node_cache_put(op->pool->nc, n);
}

#endif
