/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking things up.  Nothing here changes a tree.
 */
#include "store/btree_internal.h"

#include <errno.h>
#include <string.h>

#include "store/util.h"

struct tree_root tree_root_load(const struct tree_ptr *p)
{
	return (struct tree_root){
		.blkno = le40_get(p->node.blkno),
		.txg = le40_get(p->node.txg),
		.level = p->level,
	};
}

struct tree_ptr tree_root_store(const struct tree_root *r)
{
	return (struct tree_ptr){
		.node = {.blkno = le40_of(r->blkno), .txg = le40_of(r->txg)},
		.level = r->level,
	};
}

struct node *btree_node(struct op *op, uint64_t blkno, uint64_t txg,
			uint8_t level)
{
	struct node *n = node_cache_peek(op->pool->nc, blkno, txg);

	if (n && node_level(n->page) != level) {
		/* op_resolve() will say that the tree is damaged */
		btree_put_node(op, n);
		n = NULL;
	}
	if (!n) {
		op->miss_blkno = blkno;
		op->miss_txg = txg;
		op->miss_level = level;
		op->miss_optional = false;
	}
	return n;
}

static struct node *child_of(struct op *op, const struct node *n, uint32_t i)
{
	uint64_t blkno, txg;

	node_child(n->page, i, &blkno, &txg);
	return btree_node(op, blkno, txg, (uint8_t)(node_level(n->page) - 1));
}

/* The leaf that @key belongs to, held.  -ENOENT: the tree is empty. */
static int leaf_of(struct op *op, const struct btree *bt, const struct key *key,
		   struct node **leaf)
{
	struct node *n, *child;

	if (!bt->root.blkno)
		return -ENOENT;
	n = btree_node(op, bt->root.blkno, bt->root.txg, bt->root.level);
	while (n && node_level(n->page) > 0) {
		child = child_of(op, n, node_search_child(n->page, key));
		btree_put_node(op, n);
		n = child;
	}
	*leaf = n;
	return n ? 0 : -EAGAIN;
}

int btree_get(struct op *op, const struct btree *bt, const struct key *key,
	      void *value, size_t cap, size_t *len)
{
	struct node_item item;
	struct node *leaf;
	uint32_t i;
	bool exact;
	int rc = leaf_of(op, bt, key, &leaf);

	if (rc)
		return rc;
	i = node_search(leaf->page, key, &exact);
	if (exact) {
		node_item(leaf->page, i, &item);
		memcpy(value, item.value, MIN_OF(cap, (size_t)item.len));
		if (len)
			*len = item.len;
	}
	btree_put_node(op, leaf);
	return exact ? 0 : -ENOENT;
}

/* ---- cursors ------------------------------------------------------------ */

static void cursor_at(struct btree_cursor *cur, struct node *leaf, uint32_t i)
{
	struct node_item item;

	node_item(leaf->page, i, &item);
	cur->leaf = leaf;
	cur->slot = i;
	cur->key = item.key;
	cur->value = item.value;
	cur->len = item.len;
}

static void path_put(struct op *op, struct btree_path *p, uint8_t from,
		     uint8_t to)
{
	for (uint8_t l = from; l <= to; l++)
		if (p->node[l])
			btree_put_node(op, p->node[l]);
}

/*
 * From the path to a leaf in which the wanted side of @key has nothing, the
 * nearest leaf on that side: up until there is a neighbour, then down its
 * edge.
 */
static int step_over(struct op *op, const struct btree *bt,
		     struct btree_path *p, const struct key *key, bool forward,
		     struct btree_cursor *cur)
{
	uint8_t top = bt->root.level, l;
	struct node *n;

	for (l = 1; l <= top; l++)
		if (forward ? p->slot[l] + 1 < node_nr_items(p->node[l]->page)
			    : p->slot[l] > 0)
			break;
	if (l > top) {
		path_put(op, p, 0, top);
		return -ENOENT;
	}
	n = child_of(op, p->node[l], forward ? p->slot[l] + 1 : p->slot[l] - 1);
	path_put(op, p, 0, top);
	while (n && node_level(n->page) > 0) {
		struct node *child = child_of(
			op, n, forward ? 0 : node_nr_items(n->page) - 1);

		btree_put_node(op, n);
		n = child;
	}
	if (!n)
		return -EAGAIN;
	cursor_at(cur, n, forward ? 0 : node_nr_items(n->page) - 1);
	/* or a damaged tree (B1) would send its readers round in a ring */
	if (forward ? key_compare(&cur->key, key) > 0
		    : key_compare(&cur->key, key) < 0)
		return 0;
	log_error("keys out of order blkno=%llu", (unsigned long long)n->blkno);
	pool_count_error(op->pool);
	btree_release(op, cur);
	return -EUCLEAN;
}

static int seek(struct op *op, const struct btree *bt, const struct key *key,
		bool forward, struct btree_cursor *cur)
{
	uint8_t top = bt->root.level;
	struct btree_path p;
	struct node *n;
	uint32_t i;
	bool exact;

	memset(&p, 0, sizeof(p));
	cur->leaf = NULL;
	if (!bt->root.blkno)
		return -ENOENT;
	n = btree_node(op, bt->root.blkno, bt->root.txg, top);
	for (uint8_t l = top;; l--) {
		if (!n) {
			path_put(op, &p, 0, top);
			return -EAGAIN;
		}
		p.node[l] = n;
		if (l == 0)
			break;
		p.slot[l] = node_search_child(n->page, key);
		n = child_of(op, n, p.slot[l]);
	}
	i = node_search(n->page, key, &exact);
	if (forward && i == node_nr_items(n->page))
		return step_over(op, bt, &p, key, true, cur);
	if (!forward && !exact) {
		if (i == 0)
			return step_over(op, bt, &p, key, false, cur);
		i--;
	}
	path_put(op, &p, 1, top);
	cursor_at(cur, n, i);
	return 0;
}

int btree_seek(struct op *op, const struct btree *bt, const struct key *key,
	       struct btree_cursor *cur)
{
	return seek(op, bt, key, true, cur);
}

int btree_seek_last(struct op *op, const struct btree *bt,
		    const struct key *key, struct btree_cursor *cur)
{
	return seek(op, bt, key, false, cur);
}

int btree_next(struct op *op, const struct btree *bt, struct btree_cursor *cur)
{
	struct key after;

	if (cur->slot + 1 < node_nr_items(cur->leaf->page)) {
		cursor_at(cur, cur->leaf, cur->slot + 1);
		return 0;
	}
	after = key_next(&cur->key);
	btree_release(op, cur);
	if (key_compare(&after, &cur->key) == 0)
		return -ENOENT;
	return seek(op, bt, &after, true, cur);
}

int btree_prev(struct op *op, const struct btree *bt, struct btree_cursor *cur)
{
	struct key before = cur->key;

	if (cur->slot > 0) {
		cursor_at(cur, cur->leaf, cur->slot - 1);
		return 0;
	}
	btree_release(op, cur);
	if (before.offset > 0) {
		before.offset--;
	} else if (before.type > 0) {
		before.type--;
		before.offset = OFFSET_MAX;
	} else if (before.ino > 0) {
		before.ino--;
		before.type = UINT8_MAX;
		before.offset = OFFSET_MAX;
	} else {
		return -ENOENT;
	}
	return seek(op, bt, &before, false, cur);
}

void btree_release(struct op *op, struct btree_cursor *cur)
{
	if (cur->leaf)
		btree_put_node(op, cur->leaf);
	cur->leaf = NULL;
}

int btree_touch(struct op *op, const struct btree *bt, const struct key *key)
{
	struct node *n, *child;
	int rc;

	op_stamp(op);
	if (!bt->root.blkno)
		return 0; /* the first leaf is among the splits */
	/* no disk is large enough for that: somebody made it, to be split */
	if (bt->root.level + 1u >= NODE_LEVEL_MAX) {
		log_error("tree too high blkno=%llu owner=%u",
			  (unsigned long long)bt->root.blkno, bt->owner);
		pool_count_error(op->pool);
		return -EUCLEAN;
	}
	n = btree_node(op, bt->root.blkno, bt->root.txg, bt->root.level);
	while (n) {
		child = NULL;
		if (node_level(n->page) > 0) {
			child = child_of(op, n,
					 node_search_child(n->page, key));
			if (!child) {
				btree_put_node(op, n);
				return -EAGAIN;
			}
		}
		rc = op_touch(op, n, btree_owns(op, bt, n));
		if (rc) {
			if (child)
				btree_put_node(op, child);
			return rc;
		}
		if (!child)
			return 0;
		n = child;
	}
	return -EAGAIN;
}
