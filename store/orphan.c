/* SPDX-License-Identifier: Apache-2.0 */
#include "store/orphan.h"

#include <errno.h>
#include <string.h>

#include "store/extent_map.h"
#include "store/extent_trim.h"
#include "store/file_internal.h"
#include "store/txg.h"

/* leaves that the caller itself removes before the background does the rest */
#define ORPHAN_STEPS_INLINE 16u

int orphan_touch(struct op *op, const struct dataset *ds, uint64_t ino)
{
	struct key key = orphan_key(ino);

	return btree_touch(op, &ds->tree, &key);
}

/* Under the lock; file_close() looks at it without. */
static void count_orphans(struct dataset *ds, int by)
{
	uint64_t nr = ds->nr_orphans;

	if (by > 0)
		nr++;
	else if (nr > 0)
		nr--;
	__atomic_store_n(&ds->nr_orphans, nr, __ATOMIC_RELAXED);
}

static void orphan_put(struct op *op, struct dataset *ds, uint64_t ino,
		       uint8_t kind, uint64_t from)
{
	struct key key = orphan_key(ino);
	struct orphan_item item = {.kind = kind, .from = le64_of(from)};

	btree_put(op, &ds->tree, &key, &item, sizeof(item));
	count_orphans(ds, 1);
}

void orphan_put_unlinked(struct op *op, struct dataset *ds,
			 const struct inode *inode)
{
	dbs_assert(!(inode->flags & INODE_TRUNCATING));
	orphan_put(op, ds, inode->ino, ORPHAN_UNLINKED, 0);
}

void orphan_put_truncate(struct op *op, struct dataset *ds, struct inode *inode)
{
	dbs_assert(!(inode->flags & INODE_TRUNCATING));
	inode->flags |= INODE_TRUNCATING;
	if (inode->nlink > 0)
		orphan_put(op, ds, inode->ino, ORPHAN_TRUNCATE,
			   round_up(inode->size, inode_recordsize(inode)));
}

void orphan_del(struct op *op, struct dataset *ds, uint64_t ino)
{
	struct key key = orphan_key(ino);

	if (btree_del(op, &ds->tree, &key))
		count_orphans(ds, -1);
}

/* One op of the work on an inode. */
struct orphan_step {
	uint64_t ino;
	bool done; /* out: nothing is left */
};

/*
 * Trim what of [@from, @last] lies in one leaf; @done: that was all.  The
 * inode's and the orphan's key are touched too.
 */
static int trim_step(struct op *op, struct dataset *ds, struct inode *inode,
		     const struct key *from, const struct key *last, bool *done)
{
	bool any, one;
	int rc;

	rc = extent_in_one_leaf(op, ds, from, last, &any, &one);
	if (rc == 0)
		rc = inode_touch(op, ds, inode->ino);
	if (rc == 0)
		rc = orphan_touch(op, ds, inode->ino);
	if (rc)
		return rc;
	*done = !any || one;
	return any ? extent_trim(op, ds, inode, from, last) : op_ready(op);
}

static int truncate_step_body(struct op *op, struct dataset *ds, void *arg)
{
	struct orphan_step *s = arg;
	struct inode inode;
	struct key from, last;
	uint64_t first;
	int rc;

	rc = inode_get(op, ds, s->ino, &inode);
	s->done = rc == -ENOENT || !(inode.flags & INODE_TRUNCATING);
	if (rc == -ENOENT || (rc == 0 && s->done))
		return 0;
	if (rc)
		return rc;
	first = div_round_up(inode.size, inode_recordsize(&inode));
	from = extent_key(&inode, first);
	last = key_of(s->ino, ITEM_EXTENT, OFFSET_MAX);
	rc = trim_step(op, ds, &inode, &from, &last, &s->done);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	if (s->done) {
		inode.flags &= ~INODE_TRUNCATING;
		if (inode.nlink > 0)
			orphan_del(op, ds, s->ino);
	}
	inode_put(op, ds, &inode);
	return 0;
}

/* An orphan item whose inode does not exist: somebody damaged the tree. */
static int purge_stray(struct op *op, struct dataset *ds, uint64_t ino)
{
	int rc = orphan_touch(op, ds, ino);

	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	orphan_del(op, ds, ino);
	return 0;
}

static int purge_step_body(struct op *op, struct dataset *ds, void *arg)
{
	struct orphan_step *s = arg;
	struct key key = orphan_key(s->ino);
	struct orphan_item item;
	struct inode inode;
	struct key from, last;
	int rc;

	s->done = true;
	rc = btree_get(op, &ds->tree, &key, &item, sizeof(item), NULL);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	rc = inode_get(op, ds, s->ino, &inode);
	if (rc == -ENOENT)
		return purge_stray(op, ds, s->ino);
	if (rc || inode.nlink > 0 || file_is_open(ds, s->ino))
		return rc;
	from = key_of(s->ino, ITEM_XATTR, 0);
	last = key_of(s->ino, ITEM_EXTENT, OFFSET_MAX);
	rc = trim_step(op, ds, &inode, &from, &last, &s->done);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	if (!s->done) {
		inode_put(op, ds, &inode);
		return 0;
	}
	inode_del(op, ds, s->ino);
	orphan_del(op, ds, s->ino);
	if (ds->nr_inodes > 0)
		ds->nr_inodes--;
	return 0;
}

/* At most @max steps (0: all); @done: nothing is left. */
static int orphan_work(struct dataset *ds, uint64_t ino, op_body_fn *body,
		       unsigned max, bool *done)
{
	struct orphan_step s = {.ino = ino};

	for (unsigned i = 0; !s.done && (max == 0 || i < max); i++) {
		int rc = op_change(ds, 3, OP_USE_RESERVE, body, &s);

		if (rc)
			return rc;
	}
	*done = s.done;
	return 0;
}

int orphan_finish_truncate(struct dataset *ds, uint64_t ino)
{
	bool done;

	return orphan_work(ds, ino, truncate_step_body, 0, &done);
}

static void work_soon(struct dataset *ds, uint64_t ino, op_body_fn *body)
{
	bool done = false;
	int rc = orphan_work(ds, ino, body, ORPHAN_STEPS_INLINE, &done);

	/* what fails again leaves the orphan item: the next mount's */
	if (rc ? rc != -ESTALE && rc != -EROFS : !done)
		pool_want_purge(ds);
}

void orphan_truncate_soon(struct dataset *ds, uint64_t ino)
{
	work_soon(ds, ino, truncate_step_body);
}

void orphan_purge_soon(struct dataset *ds, uint64_t ino)
{
	work_soon(ds, ino, purge_step_body);
}

/* The next orphan. */
struct orphan_next {
	uint64_t ino; /* in: at least; out */
	uint8_t kind;
	bool found;
};

static int orphan_next_body(struct op *op, struct dataset *ds, void *arg)
{
	struct orphan_next *n = arg;
	struct key key = orphan_key(n->ino);
	struct orphan_item item;
	struct btree_cursor cur;
	int rc;

	n->found = false;
	rc = btree_seek(op, &ds->tree, &key, &cur);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	if (cur.key.ino == 0 && cur.key.type == ITEM_ORPHAN) {
		n->found = true;
		n->ino = cur.key.offset;
		if (cur.len == sizeof(item)) {
			memcpy(&item, cur.value, sizeof(item));
			n->kind = item.kind;
		} else {
			rc = inode_damaged(ds, n->ino, "orphan");
		}
	}
	btree_release(op, &cur);
	return rc;
}

int file_purge_orphans(struct dataset *ds)
{
	struct orphan_next n = {.ino = 0};
	bool done;
	int rc;

	if (ds->snapshot)
		return 0;
	for (;;) {
		rc = op_read(ds, orphan_next_body, &n);
		if (rc || !n.found)
			return rc;
		rc = orphan_work(ds, n.ino,
				 n.kind == ORPHAN_TRUNCATE ? truncate_step_body
							   : purge_step_body,
				 0, &done);
		if (rc)
			return rc;
		if (n.ino == OFFSET_MAX)
			return 0;
		n.ino++;
	}
}
