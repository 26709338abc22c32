/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay of one segment of a log record: the op.
 */
#include <errno.h>
#include <string.h>

#include "store/csum.h"
#include "store/ilog_replay_segment.h"
#include "store/orphan.h"

/* ---- inodes ---------------------------------------------------------------- */

static struct seg_inode *inode_find(struct segment *s, uint64_t ino)
{
	for (size_t i = s->nr_inodes; i-- > 0;)
		if (s->inode[i].inode.ino == ino)
			return &s->inode[i];
	return NULL;
}

/* The inode of a part; there is room for one a part. */
struct seg_inode *segment_add_inode(struct segment *s, uint64_t ino)
{
	struct seg_inode *i = inode_find(s, ino);

	if (i)
		return i;
	i = &s->inode[s->nr_inodes++];
	*i = (struct seg_inode){.inode.ino = ino};
	return i;
}

/* What the tree says of it, and whether the log fits that. */
static int inode_look(struct op *op, struct segment *s, struct seg_inode *i)
{
	struct inode now;
	int rc = inode_get(op, s->ds, i->inode.ino, &now);

	i->put = i->deleted = false;
	i->in_tree = rc == 0;
	i->nr_blocks = 0;
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return rc;
	i->nr_blocks = now.nr_blocks;
	if (!i->named)
		i->inode = now;
	else if (now.record_shift != i->inode.record_shift ||
		 (now.mode & S_IFMT) != (i->inode.mode & S_IFMT))
		return segment_mismatch(s, "an inode becomes another", now.ino);
	return 0;
}

int segment_look(struct op *op, struct dataset *ds, void *arg)
{
	struct segment *s = arg;
	int rc = 0;

	(void)ds;
	for (size_t i = 0; i < s->nr_inodes && rc == 0; i++)
		rc = inode_look(op, s, &s->inode[i]);
	return rc;
}

/* Its records: it is, or will be, a file with this recordsize. */
int segment_file(struct segment *s, uint64_t ino, const struct seg_inode **out)
{
	const struct seg_inode *i = inode_find(s, ino);

	if (!i || (!i->in_tree && !i->named) || !S_ISREG(i->inode.mode))
		return segment_mismatch(s, "no such file", ino);
	*out = i;
	return 0;
}

static void inode_finish(struct op *op, struct segment *s, struct seg_inode *i)
{
	struct dataset *ds = s->ds;

	i->inode.nr_blocks = i->nr_blocks;
	if (i->put) {
		inode_put(op, ds, &i->inode);
		if (i->in_tree)
			return;
		ds->nr_inodes++;
		ds->next_ino = MAX_OF(ds->next_ino, i->inode.ino + 1);
	} else if (i->deleted && i->in_tree) {
		inode_del(op, ds, i->inode.ino);
		if (ds->nr_inodes > 0)
			ds->nr_inodes--;
	}
}

/* ---- extents --------------------------------------------------------------- */

static int extent_of(const struct ilog_extent *x, const struct inode *inode,
		     struct extent *e)
{
	return extent_load((const uint8_t *)&x->item, sizeof(x->item),
			   inode->record_shift, e);
}

/* Number of the record whose extent has @key. */
static int recno_of(struct segment *s, const struct inode *inode,
		    const struct key *key, uint64_t *recno)
{
	unsigned shift = inode->record_shift - BLOCK_SHIFT;

	*recno = key->offset >> shift;
	return *recno << shift == key->offset
		       ? 0
		       : segment_mismatch(s, "an extent between two records",
					  key->ino);
}

/*
 * extent_set() with the birth that @to has: the caller puts the inode.
 */
static void extent_restore(struct op *op, struct dataset *ds,
			   struct seg_inode *i, uint64_t recno,
			   const struct extent *from, const struct extent *to)
{
	struct key key = extent_key(&i->inode, recno);
	struct extent_item item;

	i->inode.nr_blocks = i->nr_blocks;
	extent_forget(ds, &i->inode, from);
	i->nr_blocks = i->inode.nr_blocks;
	if (to->nr_blocks == 0) {
		if (from->present)
			btree_del(op, &ds->tree, &key);
		return;
	}
	i->nr_blocks += to->nr_blocks;
	ds->referenced += to->nr_blocks;
	ds->logical += inode_recordsize(&i->inode);
	if (to->birth > ds->previous_txg)
		ds->fresh += to->nr_blocks;
	item = extent_store(to);
	btree_put(op, &ds->tree, &key, &item, sizeof(item));
}

/* ---- sealed records --------------------------------------------------------- */

/* Are the bytes those that the log says, as they are stored? */
static int sealed_verify(struct segment *s, const struct seg_sealed *x,
			 const uint8_t *bytes, unsigned record_shift)
{
	size_t len = (size_t)1 << record_shift;
	uint32_t nr = record_raw_blocks(bytes, len);

	if (nr != ilog_extent_nr(x->x) ||
	    csum_of(bytes, (size_t)nr * BLOCK_SIZE, META_RECORD) !=
		    le64_get(x->x->item.csum))
		return segment_mismatch(s, "a partial record is another",
					x->key.ino);
	return 0;
}

static int sealed_look_body(struct op *op, struct dataset *ds, void *arg)
{
	struct seg_sealed *x = arg;
	int rc = extent_get(op, ds, &x->inode, x->recno, &x->old);

	x->was_dirty = dirty_find(ds, x->key.ino, x->recno) != NULL;
	x->done = rc == 0 && x->old.blkno == le40_get(x->x->item.blkno);
	return rc;
}

/* Have its bytes: from the tree when no partial record is in memory. */
int segment_prepare_sealed(struct segment *s, struct seg_sealed *x)
{
	size_t len = (size_t)RECORD_BLOCKS_MAX * BLOCK_SIZE;
	const struct seg_inode *i;
	uint8_t *in;
	int rc = segment_file(s, x->key.ino, &i);

	if (rc == 0)
		rc = recno_of(s, &i->inode, &x->key, &x->recno);
	if (rc)
		return rc;
	x->inode = i->inode;
	x->unreadable = false;
	rc = op_read(s->ds, sealed_look_body, x);
	if (rc || x->done)
		return rc;
	if (!x->bytes)
		x->bytes = blkdev_buffer_new(len);
	if (!x->bytes)
		return -ENOMEM;
	if (x->was_dirty)
		return 0;
	if (x->old.nr_blocks == 0)
		return segment_mismatch(s, "a partial record is gone",
					x->key.ino);
	in = scratch_get(len);
	if (!in)
		return -ENOMEM;
	rc = record_read(s->pool, &x->old, in);
	if (rc == 0)
		rc = record_decode(&x->old, in, x->inode.record_shift,
				   x->bytes);
	scratch_put(in, len);
	if (rc == -ENOMEM)
		return rc;
	if (rc) {
		/* it stays unreadable, in the place that the log says */
		file_record_damaged(s->ds, &x->inode, x->recno, &x->old, rc);
		x->unreadable = true;
		return 0;
	}
	return sealed_verify(s, x, x->bytes, x->inode.record_shift);
}

static int sealed_touch(struct op *op, struct segment *s, struct seg_sealed *x,
			const struct inode *inode)
{
	const struct dirty_record *d = dirty_find(s->ds, x->key.ino, x->recno);
	struct extent now;
	int rc = extent_get(op, s->ds, inode, x->recno, &now);

	if (rc)
		return rc;
	if (x->done)
		return now.blkno == x->old.blkno ? 0 : FILE_AGAIN;
	if (!d)
		return !x->was_dirty && extent_same(&now, &x->old) ? 0
								   : FILE_AGAIN;
	if (!x->was_dirty)
		return FILE_AGAIN;
	memcpy(x->bytes, d->data, (size_t)1 << d->record_shift);
	return sealed_verify(s, x, x->bytes, d->record_shift);
}

static struct seg_sealed *sealed_find(struct segment *s,
				      const struct ilog_extent *x)
{
	for (size_t i = 0; i < s->nr_sealed; i++)
		if (s->sealed[i].x == x)
			return &s->sealed[i];
	return NULL;
}

/* ---- parts: prepare --------------------------------------------------------- */

static int touch_extent(struct op *op, struct segment *s,
			const struct ilog_part *part, size_t *claim)
{
	const struct ilog_extent *x = part->at;
	struct seg_sealed *sealed = sealed_find(s, x);
	const struct seg_inode *i;
	struct extent e, now;
	uint64_t recno;
	int rc = segment_file(s, part->key.ino, &i);

	if (rc == 0)
		rc = recno_of(s, &i->inode, &part->key, &recno);
	if (rc)
		return rc;
	if (extent_of(x, &i->inode, &e))
		return segment_mismatch(s, "a run longer than a record",
					i->inode.ino);
	rc = extent_get(op, s->ds, &i->inode, recno, &now);
	if (rc == 0 && sealed)
		rc = sealed_touch(op, s, sealed, &i->inode);
	if (rc)
		return rc;
	/* applied before the crash in the middle of replay, or never */
	if (x->run != ILOG_RUN_SHARED && s->taken->first &&
	    s->taken->in_use[(*claim)++] && now.blkno != e.blkno)
		return segment_mismatch(s, "a run is in use", e.blkno);
	return btree_touch(op, &s->ds->tree, &part->key);
}

static int touch_del(struct op *op, struct segment *s,
		     const struct ilog_part *part)
{
	const struct seg_inode *i;
	struct inode inode;
	struct extent now;
	uint64_t recno;
	int rc = 0;

	if (part->key.type == ITEM_EXTENT) {
		rc = segment_file(s, part->key.ino, &i);
		if (rc == 0)
			rc = recno_of(s, &i->inode, &part->key, &recno);
		if (rc == 0)
			rc = extent_get(op, s->ds, &i->inode, recno, &now);
	} else if (part->key.type == ITEM_INODE) {
		inode = inode_find(s, part->key.ino)->inode;
		dirty_count(s->ds, &inode);
		/* they would have nowhere to go */
		if (inode.nr_dirty > 0)
			rc = segment_mismatch(s, "an inode with data goes",
					      inode.ino);
	}
	return rc ? rc : btree_touch(op, &s->ds->tree, &part->key);
}

/* Two changes of one record in an op: none writes that. */
static int bytes_alone(struct segment *s, const struct seg_bytes *b,
		       const struct inode *inode)
{
	struct key key = extent_key(inode, b->edge.recno);
	const uint8_t *p = s->p;
	struct ilog_part part;

	while (p < s->end && ilog_part_next(&p, s->end, &part) == 0)
		if ((part.kind == ILOG_EXTENT || part.kind == ILOG_DEL) &&
		    key_compare(&part.key, &key) == 0)
			return segment_mismatch(s, "a record changes twice",
						b->ino);
	return 0;
}

static int touch_bytes(struct op *op, struct segment *s, struct seg_bytes *b)
{
	const struct seg_inode *i;
	int64_t growth = 0;
	int rc = segment_file(s, b->ino, &i);

	if (rc == 0)
		rc = bytes_alone(s, b, &i->inode);
	if (rc || b->skip)
		return rc;
	return file_edge_touch(op, s->ds, &i->inode, &b->edge, &growth);
}

static int touch_part(struct op *op, struct segment *s,
		      const struct ilog_part *part, size_t *claim)
{
	switch (part->kind) {
	case ILOG_PUT:
		return btree_touch(op, &s->ds->tree, &part->key);
	case ILOG_DEL:
		return touch_del(op, s, part);
	case ILOG_EXTENT:
		return touch_extent(op, s, part, claim);
	default:
		return 0;
	}
}

static int segment_touch(struct op *op, struct segment *s)
{
	size_t claim = s->claims_before;
	const uint8_t *p = s->p;
	struct ilog_part part;
	int rc = 0;

	if (dataset_generation(s->ds) == UINT64_MAX || s->ds->snapshot)
		return segment_mismatch(s, "a dataset that cannot change",
					s->ds->id);
	for (size_t i = 0; i < s->nr_inodes && rc == 0; i++) {
		rc = inode_look(op, s, &s->inode[i]);
		if (rc == 0)
			rc = inode_touch(op, s->ds, s->inode[i].inode.ino);
	}
	while (rc == 0 && p < s->end) {
		rc = ilog_part_next(&p, s->end, &part);
		if (rc == 0)
			rc = touch_part(op, s, &part, &claim);
	}
	for (size_t i = 0; i < s->nr_bytes && rc == 0; i++)
		rc = touch_bytes(op, s, &s->bytes[i]);
	return rc;
}

/* ---- parts: apply ----------------------------------------------------------- */

/* The item there now, which was looked at in the prepare half. */
static void extent_now(struct op *op, struct segment *s,
		       const struct inode *inode, uint64_t recno,
		       struct extent *e)
{
	int rc = extent_get(op, s->ds, inode, recno, e);

	if (rc)
		/* a damaged tree has it in two places */
		pool_fail(s->pool, rc, "replaying the intent log");
}

static void apply_extent(struct op *op, struct segment *s,
			 const struct ilog_part *part)
{
	struct seg_inode *i = inode_find(s, part->key.ino);
	uint64_t recno =
		part->key.offset >> (i->inode.record_shift - BLOCK_SHIFT);
	const struct ilog_extent *x = part->at;
	struct seg_sealed *sealed = sealed_find(s, x);
	struct extent now, e;

	extent_of(x, &i->inode, &e);
	extent_now(op, s, &i->inode, recno, &now);
	dirty_drop(s->ds, i->inode.ino, recno);
	if (now.blkno != e.blkno) {
		if (x->run == ILOG_RUN_SHARED)
			op_ref(op, e.blkno, e.nr_blocks);
		else
			op_claim(op, e.blkno, e.nr_blocks);
		if (sealed && !sealed->done && !sealed->unreadable) {
			txg_defer_write(op, e.blkno, sealed->bytes,
					e.nr_blocks);
			sealed->written = true;
		}
	}
	extent_restore(op, s->ds, i, recno, &now, &e);
	i->put = true;
}

static void apply_hole(struct op *op, struct segment *s, const struct key *key)
{
	struct seg_inode *i = inode_find(s, key->ino);
	uint64_t recno = key->offset >> (i->inode.record_shift - BLOCK_SHIFT);
	struct extent now, none = {.present = false};

	extent_now(op, s, &i->inode, recno, &now);
	dirty_drop(s->ds, i->inode.ino, recno);
	extent_restore(op, s->ds, i, recno, &now, &none);
	i->put = true;
}

/* Is there an orphan item? */
static bool is_orphan(struct op *op, struct segment *s, const struct key *key)
{
	struct orphan_item item;

	return btree_get(op, &s->ds->tree, key, &item, sizeof(item), NULL) == 0;
}

static void count_orphan(struct dataset *ds, int by)
{
	uint64_t nr = ds->nr_orphans;

	if (by > 0)
		nr++;
	else if (nr > 0)
		nr--;
	__atomic_store_n(&ds->nr_orphans, nr, __ATOMIC_RELAXED);
}

static void apply_put(struct op *op, struct segment *s,
		      const struct ilog_part *part)
{
	struct dataset *ds = s->ds;
	struct seg_inode *i;

	if (part->key.type == ITEM_INODE) {
		/* as the last part that puts it says (inodes_collect()) */
		i = inode_find(s, part->key.ino);
		i->put = true;
		i->deleted = false;
		return;
	}
	if (part->key.type == ITEM_ORPHAN && !is_orphan(op, s, &part->key))
		count_orphan(ds, 1);
	btree_put(op, &ds->tree, &part->key, part->more, part->more_len);
}

static void apply_del(struct op *op, struct segment *s, const struct key *key)
{
	struct seg_inode *i;

	switch (key->type) {
	case ITEM_INODE:
		i = inode_find(s, key->ino);
		i->put = false;
		i->deleted = true;
		return;
	case ITEM_EXTENT:
		apply_hole(op, s, key);
		return;
	default:
		if (btree_del(op, &s->ds->tree, key) &&
		    key->type == ITEM_ORPHAN)
			count_orphan(s->ds, -1);
	}
}

static void apply_bytes(struct op *op, struct segment *s, struct seg_bytes *b)
{
	const struct seg_inode *i = inode_find(s, b->ino);
	struct dirty_record *d = dirty_find(s->ds, b->ino, b->edge.recno);

	if (b->skip)
		return;
	/* two parts of one record: the first has made it dirty */
	if (d)
		dirty_merge(op, s->ds, d, b->edge.from, b->edge.src,
			    b->edge.len);
	else
		file_edge_apply(op, s->ds, &i->inode, &b->edge);
}

int segment_body(struct op *op, struct dataset *ds, void *arg)
{
	struct segment *s = arg;
	const uint8_t *p = s->p;
	struct ilog_part part;
	int rc = segment_touch(op, s);

	(void)ds;
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	while (p < s->end && ilog_part_next(&p, s->end, &part) == 0)
		if (part.kind == ILOG_PUT)
			apply_put(op, s, &part);
		else if (part.kind == ILOG_DEL)
			apply_del(op, s, &part.key);
		else if (part.kind == ILOG_EXTENT)
			apply_extent(op, s, &part);
	for (size_t i = 0; i < s->nr_inodes; i++)
		inode_finish(op, s, &s->inode[i]);
	for (size_t i = 0; i < s->nr_bytes; i++)
		apply_bytes(op, s, &s->bytes[i]);
	return 0;
}
