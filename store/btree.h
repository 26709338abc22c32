/* SPDX-License-Identifier: Apache-2.0 */
/*
 * btree.h - copy-on-write B+trees that share nodes
 *
 * Below: node (one page), node cache, op.  Above: datasets, files, space map.
 *
 * Source: Rodeh, "B-trees, Shadowing, and Clones", ACM TOS 2008.  We differ in
 * two points: refcounts are raised by the committer from notes, not while the
 * tree changes; and a leaf that becomes small is merged only with a sibling
 * that is in the cache, since an apply does no I/O.
 *
 * The caller holds the lock that protects the root: for reading for get and
 * seek, for writing for the rest.
 *
 * Invariants:
 *  B1  keys rise strictly within a node and from leaf to leaf.
 *  B2  all leaves have level 0 and the same depth; no node is empty.
 *  B3  an extent item holds one reference to the run it names: replacing it
 *      by another run, or deleting it, drops that reference.
 */
#ifndef DBS_STORE_BTREE_H
#define DBS_STORE_BTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/format.h"
#include "store/op.h"

struct key {
	uint64_t ino;	 /* up to INO_MAX */
	uint64_t offset; /* up to OFFSET_MAX */
	uint8_t type;	 /* ITEM_* */
};

static inline struct key key_of(uint64_t ino, uint8_t type, uint64_t offset)
{
	return (struct key){.ino = ino, .offset = offset, .type = type};
}
int key_compare(const struct key *a, const struct key *b);
/** The next key after @k; the largest key stays what it is. */
struct key key_next(const struct key *k);

/* Where a tree starts; blkno 0: it is empty. */
struct tree_root {
	uint64_t blkno;
	uint64_t txg;
	uint8_t level;
};
struct tree_root tree_root_load(const struct tree_ptr *p);
struct tree_ptr tree_root_store(const struct tree_root *r);

struct btree {
	struct tree_root root; /* under the tree's lock */
	uint32_t owner;	       /* dataset id, 0 for the pool's own trees */
	bool sticky;	       /* its nodes stay in the cache */
	/*
	 * When it was last shared (snapshot, clone, restore): nodes born then
	 * or before are not its own.
	 */
	uint64_t shared_txg;
};

/**
 * Copy the value of @key to @value.
 * @len: out, its length, may be NULL; more than @cap is never copied
 * Errors: -ENOENT; -EAGAIN
 */
int btree_get(struct op *op, const struct btree *bt, const struct key *key,
	      void *value, size_t cap, size_t *len);

/* An item found; valid while the tree's lock is held and nothing was put. */
struct btree_cursor {
	struct node *leaf; /* held */
	uint32_t slot;
	struct key key;
	const uint8_t *value;
	uint32_t len;
};
/** The first item with a key >= @key.  Errors: -ENOENT; -EAGAIN */
int btree_seek(struct op *op, const struct btree *bt, const struct key *key,
	       struct btree_cursor *cur);
/** The last item with a key <= @key. */
int btree_seek_last(struct op *op, const struct btree *bt,
		    const struct key *key, struct btree_cursor *cur);
/** Move on; on any error the cursor is released. */
int btree_next(struct op *op, const struct btree *bt, struct btree_cursor *cur);
int btree_prev(struct op *op, const struct btree *bt, struct btree_cursor *cur);
/** Let go of the leaf; needed after a seek that returned 0, harmless else. */
void btree_release(struct op *op, struct btree_cursor *cur);

/**
 * Prepare to put or delete @key: holds all nodes on its way in the cache and
 * counts those that will be shadowed.
 * Errors: -EAGAIN; -ENOMEM; -EUCLEAN the tree is as high as none can be
 */
int btree_touch(struct op *op, const struct btree *bt, const struct key *key);

/* The apply half: every key was touched, op_ready() returned 0. */
/** Insert or replace.  @len: within NODE_ITEM_MAX; fixed-length types exact. */
void btree_put(struct op *op, struct btree *bt, const struct key *key,
	       const void *value, size_t len);
/** Delete; returns false when there is no such item. */
bool btree_del(struct op *op, struct btree *bt, const struct key *key);

/**
 * Prepare and apply in one (op_ready() is called inside): delete the items in
 * [from, to) that lie in one leaf, the first that has any.  @fn is called with each item
 * first, in the apply half.
 * @nr: out, how many; 0: there are none left
 * Cost: O(height); a whole leaf that is shared is dropped, not copied.
 */
int btree_trim(struct op *op, struct btree *bt, const struct key *from,
	       const struct key *to,
	       void (*fn)(void *arg, const struct key *key,
			  const uint8_t *value, uint32_t len),
	       void *arg, uint32_t *nr);

/** Make sure that the leaf for @key was born in the open txg (apply half).
 * It then stays in the cache until that txg is committed. */
void btree_own(struct op *op, struct btree *bt, const struct key *key);

#endif
