/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reaper: gives back trees that nothing names any more.
 *
 * It runs inside the committer, between a group's notes and its writes, when
 * the counts are exactly those of the txg being committed.  A dead tree is
 * walked depth first.  A node on the way has one reference, its parent's on
 * the way, and so belongs to the reaper alone: it cannot change, and a plain
 * index into it is a cursor that a crash does not spoil.  The cursor is an
 * item of the space tree and commits with the counts it led to.
 *
 * A child with more references only loses one: whoever else names it keeps it
 * with all that hangs below.
 */
#include <errno.h>
#include <string.h>

#include "store/node.h"
#include "store/pool_internal.h"
#include "store/util.h"

/* per commit: nodes entered, and time for reading them */
#define STEP_NODES 4096u
/* nodes of the space tree that large counts may have shadowed by then */
#define STEP_SHADOWS 512u
#define STEP_NS	     (UINT64_C(50) * 1000 * 1000)

struct walk {
	uint8_t level; /* of the root */
	uint8_t depth;
	struct {
		uint64_t blkno, txg;
		uint32_t next;
	} frame[NODE_LEVEL_MAX];
};

static struct dead_item walk_store(const struct walk *w,
				   const struct tree_root *root)
{
	struct dead_item d = {.tree = tree_root_store(root), .depth = w->depth};

	for (uint8_t i = 0; i < w->depth; i++) {
		d.stack[i].node.blkno = le40_of(w->frame[i].blkno);
		d.stack[i].node.txg = le40_of(w->frame[i].txg);
		d.stack[i].next = le16_of((uint16_t)w->frame[i].next);
	}
	return d;
}

static void walk_load(struct walk *w, const struct dead_item *d)
{
	w->level = d->tree.level;
	w->depth = (uint8_t)MIN_OF(d->depth, NODE_LEVEL_MAX);
	for (uint8_t i = 0; i < w->depth; i++) {
		w->frame[i].blkno = le40_get(d->stack[i].node.blkno);
		w->frame[i].txg = le40_get(d->stack[i].node.txg);
		w->frame[i].next = le16_get(d->stack[i].next);
	}
}

/* Put or (NULL) delete a dead item; the committer may do I/O. */
static int item_write(struct pool *pool, struct op *op, uint64_t serial,
		      const struct dead_item *d)
{
	struct key key = key_of(0, ITEM_DEAD, serial);
	int rc;

	do {
		rc = btree_touch(op, &pool->space_tree, &key);
		if (rc == 0)
			rc = op_ready(op);
		rc = op_retry(op, rc);
	} while (rc == -EAGAIN);
	if (rc)
		return rc;
	if (d)
		btree_put(op, &pool->space_tree, &key, d, sizeof(*d));
	else
		btree_del(op, &pool->space_tree, &key);
	op_again(op);
	return 0;
}

void reaper_add(struct pool *pool, struct op *op, const struct note *kill)
{
	struct tree_root root = {
		.blkno = kill->first, .txg = kill->txg, .level = kill->level};
	struct walk w = {.level = root.level, .depth = 1};
	struct dead_item d;

	w.frame[0].blkno = root.blkno;
	w.frame[0].txg = root.txg;
	d = walk_store(&w, &root);
	if (item_write(pool, op, root.blkno, &d)) {
		log_error("destroyed tree cannot be noted blkno=%llu: its "
			  "blocks leak until repaired",
			  (unsigned long long)root.blkno);
		return;
	}
	__atomic_add_fetch(&pool->nr_dead, 1, __ATOMIC_ACQ_REL);
}

/* Drop the references that a leaf holds. */
static void empty_leaf(struct pool *pool, struct op *op, const uint8_t *page)
{
	uint32_t nr = node_nr_items(page);

	for (uint32_t i = 0; i < nr; i++) {
		const struct extent_item *e;
		struct node_item item;

		node_item(page, i, &item);
		if (item.key.type != ITEM_EXTENT)
			continue;
		e = (const struct extent_item *)item.value;
		space_map_dec(pool->sm, op, &pool->space_tree,
			      le40_get(e->blkno), (e->meta & 31u) + 1);
	}
}

/* One step down, along or up.  Returns false when the tree is done. */
static bool walk_step(struct pool *pool, struct op *op, struct walk *w)
{
	uint8_t top = (uint8_t)(w->depth - 1);
	uint8_t level = (uint8_t)(w->level - top);
	uint64_t blkno = w->frame[top].blkno, child, txg;
	struct node *n;

	if (node_cache_load(pool->nc, blkno, w->frame[top].txg, level, &n)) {
		/* what hangs below it stays allocated: nothing is lost */
		pool_count_error(pool);
		log_error("destroyed tree is damaged blkno=%llu: blocks below "
			  "it leak until repaired",
			  (unsigned long long)blkno);
		w->depth--;
		return w->depth > 0;
	}
	if (level == 0) {
		empty_leaf(pool, op, n->page);
		w->frame[top].next = UINT16_MAX;
	} else if (w->frame[top].next < node_nr_items(n->page)) {
		node_child(n->page, w->frame[top].next++, &child, &txg);
		node_cache_put(pool->nc, n);
		if (!space_map_is_last(pool->sm, op, &pool->space_tree,
				       child)) {
			reaper_free_node(pool, op, child);
		} else {
			w->frame[w->depth].blkno = child;
			w->frame[w->depth].txg = txg;
			w->frame[w->depth].next = 0;
			w->depth++;
		}
		return true;
	}
	node_cache_put(pool->nc, n);
	reaper_free_node(pool, op, blkno);
	w->depth--;
	return w->depth > 0;
}

/* The first dead tree at or after @serial. */
static int find_dead(struct pool *pool, struct op *op, uint64_t *serial,
		     struct dead_item *d)
{
	struct key key = key_of(0, ITEM_DEAD, *serial);
	struct btree_cursor cur;
	int rc;

	do {
		rc = btree_seek(op, &pool->space_tree, &key, &cur);
		rc = op_retry(op, rc);
	} while (rc == -EAGAIN);
	if (rc)
		return rc;
	if (cur.key.type != ITEM_DEAD || cur.len != sizeof(*d)) {
		btree_release(op, &cur);
		return -ENOENT;
	}
	*serial = cur.key.offset;
	memcpy(d, cur.value, sizeof(*d));
	btree_release(op, &cur);
	return 0;
}

bool reaper_step(struct pool *pool, struct op *op)
{
	uint64_t end = os_monotonic_ns() + STEP_NS, serial = 0;
	uint32_t steps = 0, made = op->nr_used;
	struct dead_item d;
	struct walk w;

	while (__atomic_load_n(&pool->nr_dead, __ATOMIC_ACQUIRE) > 0) {
		struct tree_root root;
		bool more;
		int rc;

		if (find_dead(pool, op, &serial, &d)) {
			/* unreadable: leave it to the check */
			__atomic_store_n(&pool->nr_dead, 0, __ATOMIC_RELEASE);
			return false;
		}
		walk_load(&w, &d);
		root = tree_root_load(&d.tree);
		more = w.depth > 0 && w.level < NODE_LEVEL_MAX &&
		       w.depth <= w.level + 1;
		while (more && steps < STEP_NODES &&
		       op->nr_used - made < STEP_SHADOWS &&
		       ((++steps & 15) || os_monotonic_ns() < end))
			more = walk_step(pool, op, &w);
		if (more) {
			d = walk_store(&w, &root);
			/* counts without their cursor must not be committed */
			rc = item_write(pool, op, serial, &d);
			if (rc)
				pool_fail(pool, rc,
					  "keeping the reaper's cursor");
			return rc == 0;
		}
		rc = item_write(pool, op, serial, NULL);
		if (rc) {
			pool_fail(pool, rc, "keeping the reaper's cursor");
			return false;
		}
		__atomic_sub_fetch(&pool->nr_dead, 1, __ATOMIC_ACQ_REL);
	}
	return false;
}

int reaper_open(struct pool *pool)
{
	uint64_t serial = 0, nr = 0;
	struct dead_item d;
	struct op op;
	int rc = op_begin(&op, pool, 0, OP_READ);

	while (rc == 0) {
		rc = find_dead(pool, &op, &serial, &d);
		if (rc == 0) {
			nr++;
			/* the largest key has none behind it */
			if (serial++ == OFFSET_MAX)
				break;
		}
	}
	op_end(&op);
	__atomic_store_n(&pool->nr_dead, nr, __ATOMIC_RELEASE);
	return rc == -ENOENT ? 0 : rc;
}
