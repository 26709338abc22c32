/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_edge.c - a change of a part of a record
 *
 * The record becomes dirty (dirty.h): what is there now is read outside the
 * locks, and the op finds out whether it is still the same.
 */
#include "store/file_internal.h"

#include <inttypes.h>

#include "store/orphan.h"
#include "store/txg.h"

static int look_body(struct op *op, struct dataset *ds, void *arg)
{
	struct file_look *l = arg;

	if (l->seen && l->generation != dataset_generation(ds))
		return -ESTALE;
	l->seen = true;
	l->generation = dataset_generation(ds);
	l->level = ds->properties.compression;
	return inode_get_file(op, ds, l->ino, &l->inode);
}

int file_look_once(struct dataset *ds, struct file_look *look)
{
	return op_read(ds, look_body, look);
}

int file_look(struct dataset *ds, struct file_look *look)
{
	for (;;) {
		int rc = file_look_once(ds, look);

		if (rc || !(look->inode.flags & INODE_TRUNCATING))
			return rc;
		if (ds->snapshot)
			return -EROFS;
		rc = orphan_finish_truncate(ds, look->ino);
		if (rc)
			return rc;
	}
}

int file_look_again(struct op *op, const struct dataset *ds,
		    const struct file_look *look, struct inode *inode)
{
	int rc;

	if (dataset_generation(ds) != look->generation)
		return -ESTALE;
	rc = inode_get_file(op, ds, look->ino, inode);
	if (rc)
		return rc;
	if (inode->flags & INODE_TRUNCATING)
		return FILE_AGAIN;
	/* never changes while the inode lives, and numbers are not reused */
	return inode->record_shift == look->inode.record_shift ? 0 : -ESTALE;
}

int file_record_damaged(const struct dataset *ds, const struct inode *inode,
			uint64_t recno, const struct extent *e, int error)
{
	log_error("%s dataset=%s id=%" PRIu32 " ino=%" PRIu64 " offset=%" PRIu64
		  " blkno=%" PRIu64 " nr_blocks=%" PRIu32,
		  error == -EBADMSG ? "record checksum mismatch"
				    : "record unreadable",
		  ds->name, ds->id, inode->ino, recno << inode->record_shift,
		  e->blkno, e->nr_blocks);
	pool_count_error(ds->pool);
	return -EIO;
}

struct edge_arg {
	const struct inode *inode;
	struct file_edge *edge;
};

static int edge_look_body(struct op *op, struct dataset *ds, void *arg)
{
	struct edge_arg *a = arg;
	struct file_edge *edge = a->edge;

	edge->was_dirty = dirty_find(ds, a->inode->ino, edge->recno) != NULL;
	if (edge->was_dirty)
		return 0;
	return extent_get(op, ds, a->inode, edge->recno, &edge->old);
}

struct recent_arg {
	uint64_t ino;
	const struct file_edge *edge;
	bool found;
};

static int recent_body(struct op *op, struct dataset *ds, void *arg)
{
	struct recent_arg *a = arg;

	(void)op;
	a->found = dirty_recent_read(ds, a->ino, a->edge->recno, &a->edge->old,
				     a->edge->copy->data);
	return 0;
}

/* Read the record as it is into @edge->copy. */
static int edge_read(struct dataset *ds, uint64_t ino, struct file_edge *edge)
{
	struct recent_arg recent = {.ino = ino, .edge = edge};
	struct dirty_record *d = edge->copy;
	struct pool *pool = ds->pool;
	size_t len = (size_t)RECORD_BLOCKS_MAX * BLOCK_SIZE;
	void *in;
	int rc;

	rc = op_read(ds, recent_body, &recent);
	if (rc || recent.found)
		return rc;
	if (edge->old.encoding == EXTENT_RAW)
		return record_read(pool, &edge->old, d->data);
	in = scratch_get(len);
	if (!in)
		return -ENOMEM;
	rc = record_read(pool, &edge->old, in);
	if (rc == 0)
		rc = record_decode(&edge->old, in, d->record_shift, d->data);
	scratch_put(in, len);
	return rc;
}

int file_edge_prepare(struct dataset *ds, const struct inode *inode,
		      struct file_edge *edge)
{
	struct edge_arg a = {.inode = inode, .edge = edge};
	struct extent bad = {.present = false};
	int rc;

	for (;;) {
		rc = op_read(ds, edge_look_body, &a);
		if (rc || edge->was_dirty)
			return rc;
		if (!edge->old.present && !edge->src)
			return 0;
		if (bad.present && extent_same(&bad, &edge->old))
			return file_record_damaged(ds, inode, edge->recno, &bad,
						   -EBADMSG);
		rc = dirty_make_room(ds, inode_recordsize(inode));
		if (rc == 0)
			rc = dirty_new(ds->pool, inode->record_shift,
				       edge->op_flags, &edge->copy);
		if (rc || edge->old.nr_blocks == 0)
			return rc;
		rc = edge_read(ds, inode->ino, edge);
		if (rc == 0)
			return 0;
		file_edge_release(ds, edge);
		if (rc == -ENOMEM || rc == -ESTALE)
			return rc;
		if (rc != -EBADMSG)
			return file_record_damaged(ds, inode, edge->recno,
						   &edge->old, rc);
		/* overwritten meanwhile, and the blocks used again? */
		bad = edge->old;
	}
}

void file_edge_release(struct dataset *ds, struct file_edge *edge)
{
	dirty_free(ds->pool, edge->copy);
	edge->copy = NULL;
}

int file_edge_touch(struct op *op, const struct dataset *ds,
		    const struct inode *inode, struct file_edge *edge,
		    int64_t *growth)
{
	struct extent full = {.nr_blocks =
				      inode_recordsize(inode) / BLOCK_SIZE};
	int rc;

	edge->nothing = false;
	edge->dirty = dirty_find(ds, inode->ino, edge->recno);
	if (edge->dirty)
		return 0;
	rc = extent_get(op, ds, inode, edge->recno, &edge->now);
	if (rc)
		return rc;
	edge->nothing = !edge->now.present && !edge->src;
	if (edge->nothing)
		return 0;
	if (!edge->copy || edge->now.present != edge->old.present ||
	    !extent_same(&edge->now, &edge->old))
		return FILE_AGAIN;
	if (edge->now.present && edge->now.nr_blocks == 0)
		return inode_damaged(ds, inode->ino, "placeholder"); /* C2 */
	edge->copy->growth = extent_growth(ds, &edge->now, &full);
	*growth += edge->copy->growth;
	return extent_touch(op, ds, inode, edge->recno);
}

void file_edge_apply(struct op *op, struct dataset *ds,
		     const struct inode *inode, struct file_edge *edge)
{
	if (edge->nothing)
		return;
	if (!edge->dirty) {
		edge->dirty = edge->copy;
		edge->copy = NULL;
		dirty_insert(op, ds, edge->dirty, inode, edge->recno,
			     edge->now.present);
	}
	dirty_merge(op, ds, edge->dirty, edge->from, edge->src, edge->len);
}
