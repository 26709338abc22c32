/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_truncate.c - truncate and fallocate
 *
 * Both cut: records are removed, what is zeroed of others becomes dirty, the
 * size may change.  What lies in one leaf of the tree is removed in the same
 * op.  A truncation that is larger leaves an orphan item and goes on from
 * there (orphan.h); a hole that is larger is punched leaf by leaf, and after a
 * crash may be found punched in part.
 */
#include <linux/falloc.h>

#include "store/extent_trim.h"
#include "store/file_internal.h"
#include "store/orphan.h"

struct cut {
	struct file_look look;
	/* what is wanted */
	bool truncate;
	uint64_t size;	   /* then; the look's own: it stays */
	uint64_t from, to; /* bytes to be zeroed; a truncation: to the end */
	unsigned mask;
	unsigned op_flags;
	const struct file_attr *attr; /* truncate: what else to set */
	/* records [first, end) are removed; end UINT64_MAX: all from first */
	uint64_t first, end;
	struct file_edge edge[2];
	unsigned nr_edges;
	/* out */
	bool more;
	struct inode inode;
};

static void cut_add_edge(struct cut *c, uint64_t recno, uint64_t from,
			 uint64_t to)
{
	uint64_t start = recno << c->look.inode.record_shift;

	c->edge[c->nr_edges++] = (struct file_edge){
		.recno = recno,
		.from = (uint32_t)(from - start),
		.len = (uint32_t)(to - from),
		.op_flags = c->op_flags,
	};
}

/* Find the edges and whole records of [from, to); the size is known now. */
static void cut_split(struct cut *c)
{
	unsigned shift = c->look.inode.record_shift;
	uint64_t size = c->look.inode.size;
	uint64_t rs = UINT64_C(1) << shift;
	uint64_t to = c->to;

	c->nr_edges = 0;
	c->first = c->end = 0;
	if (c->from >= size || c->from >= to)
		return;
	/* what is beyond the size is zero already (I2) */
	if (to >= size)
		to = round_up(size, rs);
	c->first = div_round_up(c->from, rs);
	c->end = to >> shift;
	if (c->from < c->first << shift)
		cut_add_edge(c, c->first - 1, c->from,
			     MIN_OF(to, c->first << shift));
	if (to > c->end << shift && c->end >= c->first)
		cut_add_edge(c, c->end, c->end << shift, to);
	if (c->truncate)
		c->end = UINT64_MAX;
}

static void cut_keys(const struct cut *c, const struct inode *inode,
		     struct key *from, struct key *last)
{
	*from = extent_key(inode, c->first);
	*last = key_of(inode->ino, ITEM_EXTENT, OFFSET_MAX);
	if (c->end != UINT64_MAX)
		last->offset = extent_key(inode, c->end).offset - 1;
}

static int cut_touch(struct op *op, const struct dataset *ds,
		     const struct inode *inode, struct cut *c)
{
	int64_t growth = 0;
	int rc = inode_touch(op, ds, inode->ino);

	for (unsigned i = 0; rc == 0 && i < c->nr_edges; i++)
		rc = file_edge_touch(op, ds, inode, &c->edge[i], &growth);
	if (rc == 0 && c->truncate)
		rc = orphan_touch(op, ds, inode->ino);
	/* shrinking is never refused for the quota's sake */
	if (rc == 0 && !c->truncate)
		rc = extent_check_quota(ds, growth);
	return rc;
}

static void cut_apply_inode(struct cut *c, struct inode *inode)
{
	struct timespec now = os_time_now();

	inode->size = c->size;
	if (c->attr)
		file_apply_attr(inode, c->mask, c->attr, now);
	else
		inode->ctime = now;
	if (!(c->mask & (FILE_SET_MTIME | FILE_SET_MTIME_NOW)))
		inode->mtime = now;
}

static int cut_body(struct op *op, struct dataset *ds, void *arg)
{
	struct cut *c = arg;
	struct inode *inode = &c->inode;
	bool any = false, one = false;
	struct file_priv priv;
	struct key from, last;
	int rc;

	rc = file_look_again(op, ds, &c->look, inode);
	if (rc == 0 && inode->size != c->look.inode.size)
		rc = FILE_AGAIN;
	if (rc)
		return rc;
	cut_keys(c, inode, &from, &last);
	if (c->first < c->end)
		rc = extent_in_one_leaf(op, ds, &from, &last, &any, &one);
	if (rc == 0)
		rc = cut_touch(op, ds, inode, c);
	if (rc == 0)
		rc = file_priv_prepare(op, ds, inode, c->mask, &priv);
	if (rc)
		return rc;
	if (any && (one || !c->truncate))
		rc = extent_trim(op, ds, inode, &from, &last);
	else
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	c->more = any && !one;
	cut_apply_inode(c, inode);
	file_priv_apply(op, ds, inode, &priv);
	if (c->more && c->truncate)
		orphan_put_truncate(op, ds, inode);
	inode_put(op, ds, inode);
	for (unsigned i = 0; i < c->nr_edges; i++)
		file_edge_apply(op, ds, inode, &c->edge[i]);
	dirty_count(ds, inode);
	return 0;
}

static int cut_try(struct dataset *ds, struct cut *c, bool keep_size)
{
	int rc = file_look(ds, &c->look);

	if (rc)
		return rc;
	if (!c->truncate)
		c->size = keep_size ? c->look.inode.size
				    : MAX_OF(c->look.inode.size, c->to);
	/* what gives space back may use the reserve for it */
	if (c->truncate ? c->size < c->look.inode.size
			: keep_size && c->from < c->to)
		c->op_flags = OP_USE_RESERVE;
	cut_split(c);
	for (unsigned i = 0; rc == 0 && i < c->nr_edges; i++)
		rc = file_edge_prepare(ds, &c->look.inode, &c->edge[i]);
	if (rc == 0)
		rc = op_change(ds, c->nr_edges + 2 + FILE_PRIV_PUTS,
			       c->op_flags, cut_body, c);
	for (unsigned i = 0; i < c->nr_edges; i++)
		file_edge_release(ds, &c->edge[i]);
	return rc;
}

int file_truncate(struct dataset *ds, uint64_t ino, unsigned mask,
		  const struct file_attr *attr, struct inode *out)
{
	struct cut c = {
		.look.ino = ino,
		.truncate = true,
		.size = attr->size,
		.from = attr->size,
		.to = UINT64_MAX,
		.mask = mask,
		.attr = attr,
	};
	int rc;

	do
		rc = cut_try(ds, &c, false);
	while (rc == FILE_AGAIN);
	if (rc)
		return rc;
	if (c.more)
		orphan_truncate_soon(ds, ino);
	*out = c.inode;
	return 0;
}

/* What is left of a hole after its first op: one leaf. */
static int punch_step_body(struct op *op, struct dataset *ds, void *arg)
{
	struct cut *c = arg;
	struct inode *inode = &c->inode;
	struct key from, last;
	bool any, one;
	int rc;

	rc = file_look_again(op, ds, &c->look, inode);
	if (rc)
		return rc;
	cut_keys(c, inode, &from, &last);
	rc = extent_in_one_leaf(op, ds, &from, &last, &any, &one);
	c->more = any && !one;
	if (rc || !any)
		return rc;
	rc = inode_touch(op, ds, inode->ino);
	if (rc == 0)
		rc = extent_trim(op, ds, inode, &from, &last);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	inode_put(op, ds, inode);
	return 0;
}

static int punch(struct dataset *ds, struct cut *c, bool keep_size)
{
	int rc;

	do
		rc = cut_try(ds, c, keep_size);
	while (rc == FILE_AGAIN);
	while (rc == 0 && c->more) {
		rc = op_change(ds, 1, OP_USE_RESERVE, punch_step_body, c);
		/* truncated meanwhile: that takes care of the rest */
		if (rc == FILE_AGAIN)
			return 0;
	}
	return rc;
}

int file_fallocate(struct dataset *ds, uint64_t ino, int mode, uint64_t offset,
		   uint64_t length, unsigned flags)
{
	struct cut c = {.look.ino = ino, .mask = flags & FILE_KILL_PRIV};
	bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;

	switch (mode) {
	case 0:
	case FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
		break;
	default:
		return -EOPNOTSUPP;
	}
	if (length == 0)
		return -EINVAL;
	if (offset > FILE_SIZE_MAX || length > FILE_SIZE_MAX - offset)
		return -EFBIG;
	c.to = offset + length;
	/* without a range to be zeroed only the size changes */
	c.from = mode & ~FALLOC_FL_KEEP_SIZE ? offset : c.to;
	return punch(ds, &c, keep_size);
}
