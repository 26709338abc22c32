/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replay of what was done to files.
 *
 * First what was trimmed is trimmed, leaf by leaf.  Then the other parts that
 * concern one dataset are one op, or several where they are very many.  What
 * an item replaces is found in the tree, so references and counters follow
 * from what is there (docs/decisions/0050-log-records-are-items.md).
 */
#include <errno.h>
#include <stdlib.h>

#include "store/extent_trim.h"
#include "store/ilog_replay_segment.h"

/*
 * op_change() on a dataset that may be readonly by now, for what the log says
 * was done before.
 */
static int run(struct segment *s, uint32_t nr_puts, op_body_fn *body, void *arg)
{
	struct dataset *ds = s->ds;
	struct op op;
	int rc = op_begin(&op, s->pool, nr_puts, OP_USE_RESERVE);

	if (rc)
		return rc;
	do {
		op_enter(&op);
		os_rwlock_wrlock(&ds->lock);
		rc = body(&op, ds, arg);
		if (op.ready && rc == 0)
			dataset_mark_dirty(&op, ds);
		os_rwlock_unlock(&ds->lock);
		op_leave(&op);
		rc = op_retry(&op, rc);
	} while (rc == -EAGAIN);
	op_end(&op);
	return rc;
}

/* ---- a segment --------------------------------------------------------------- */

/* An extent's or hole's inode, and what a sealed one needs. */
static void collect_extent(struct segment *s, const struct ilog_part *part)
{
	const struct ilog_extent *x = part->at;

	segment_add_inode(s, part->key.ino);
	if (part->kind == ILOG_EXTENT && x->run == ILOG_RUN_SEALED)
		s->sealed[s->nr_sealed++] =
			(struct seg_sealed){.x = x, .key = part->key};
}

/* An inode; what the last part that puts it says is what it will be. */
static void collect_inode(struct segment *s, const struct ilog_part *part)
{
	struct seg_inode *i = segment_add_inode(s, part->key.ino);

	if (part->kind != ILOG_PUT)
		return;
	/* cannot fail: ilog_part.c */
	(void)inode_decode(part->key.ino, part->more, part->more_len,
			   &i->inode);
	i->named = true;
}

static void collect_bytes(struct segment *s, const struct ilog_part *part)
{
	const struct ilog_bytes *b = part->at;

	segment_add_inode(s, le40_get(b->ino));
	s->bytes[s->nr_bytes++] = (struct seg_bytes){
		.ino = le40_get(b->ino),
		.offset = le64_get(b->offset),
		.edge = {.len = le32_get(b->len),
			 .src = b->zero ? NULL : part->more},
	};
}

static void segment_collect(struct segment *s)
{
	const uint8_t *p = s->p;
	struct ilog_part part;

	while (p < s->end && ilog_part_next(&p, s->end, &part) == 0)
		if (part.kind == ILOG_BYTES)
			collect_bytes(s, &part);
		else if (part.kind == ILOG_TRIM || part.kind == ILOG_DATASET)
			continue;
		else if (part.key.type == ITEM_EXTENT)
			collect_extent(s, &part);
		else if (part.key.type == ITEM_INODE)
			collect_inode(s, &part);
}

/* Have what the piece is merged into, should it not be in memory. */
static int bytes_prepare(struct segment *s, struct seg_bytes *b)
{
	const struct seg_inode *i;
	int rc = segment_file(s, b->ino, &i);
	uint64_t start;

	if (rc)
		return rc;
	b->edge.recno = b->offset >> i->inode.record_shift;
	start = b->edge.recno << i->inode.record_shift;
	b->edge.from = (uint32_t)(b->offset - start);
	if (b->edge.from + b->edge.len > inode_recordsize(&i->inode))
		return segment_mismatch(s, "bytes of two records", b->ino);
	rc = file_edge_prepare(s->ds, &i->inode, &b->edge);
	/* logged; who reads the record is told so */
	b->skip = rc == -EIO && !pool_failed(s->pool);
	return b->skip ? 0 : rc;
}

static int segment_try(struct segment *s)
{
	int rc = op_read(s->ds, segment_look, s);

	for (size_t i = 0; i < s->nr_sealed && rc == 0; i++)
		rc = segment_prepare_sealed(s, &s->sealed[i]);
	for (size_t i = 0; i < s->nr_bytes && rc == 0; i++)
		rc = bytes_prepare(s, &s->bytes[i]);
	if (rc == 0)
		rc = run(s, s->nr_parts + (uint32_t)s->nr_inodes, segment_body,
			 s);
	for (size_t i = 0; i < s->nr_bytes; i++)
		file_edge_release(s->ds, &s->bytes[i].edge);
	return rc;
}

/* Do the parts [s->p, s->end) of one dataset again, in one op. */
static int segment_replay(struct segment *s)
{
	int rc = -ENOMEM;

	s->inode = calloc(s->nr_parts, sizeof(*s->inode));
	s->sealed = calloc(s->nr_parts, sizeof(*s->sealed));
	if (s->inode && s->sealed) {
		segment_collect(s);
		do
			rc = segment_try(s);
		while (rc == FILE_AGAIN);
	}
	for (size_t i = 0; i < s->nr_sealed; i++)
		if (!s->sealed[i].written)
			free(s->sealed[i].bytes);
	free(s->sealed);
	free(s->inode);
	return rc;
}

/* ---- trimming ---------------------------------------------------------------- */

struct trim_step {
	struct segment *s;
	struct key from, last;
	bool done;
};

static int trim_body(struct op *op, struct dataset *ds, void *arg)
{
	struct trim_step *t = arg;
	struct inode inode;
	bool any, one;
	int rc;

	t->done = true;
	if (dataset_generation(ds) == UINT64_MAX || ds->snapshot)
		return segment_mismatch(t->s, "a dataset that cannot change",
					ds->id);
	rc = extent_in_one_leaf(op, ds, &t->from, &t->last, &any, &one);
	if (rc || !any)
		return rc;
	rc = inode_get(op, ds, t->from.ino, &inode);
	if (rc == -ENOENT)
		return segment_mismatch(t->s, "no such inode", t->from.ino);
	if (rc == 0)
		rc = inode_touch(op, ds, inode.ino);
	if (rc == 0)
		rc = extent_trim(op, ds, &inode, &t->from, &t->last);
	if (rc)
		return rc;
	inode_put(op, ds, &inode);
	t->done = one;
	return 0;
}

/* All that is left of the range, leaf by leaf. */
static int trim(struct segment *s, const struct ilog_part *part)
{
	struct trim_step t = {.s = s, .from = part->key, .last = part->last};
	int rc = 0;

	while (rc == 0 && !t.done)
		rc = run(s, 2, trim_body, &t);
	return rc;
}

/* ---- a log record ------------------------------------------------------------ */

static int open_dataset(struct segment *s, const struct ilog_part *part)
{
	const struct ilog_dataset *d = part->at;

	dataset_put(s->ds);
	s->ds = NULL;
	if (dataset_open_id(s->pool, le32_get(d->id), &s->ds))
		return segment_mismatch(s, "no such dataset", le32_get(d->id));
	return 0;
}

static int trim_all(struct segment *s, const struct ilog_stored *r)
{
	const uint8_t *p = r->parts;
	struct ilog_part part;
	int rc = 0;

	while (rc == 0 && p < r->end) {
		rc = ilog_part_next(&p, r->end, &part);
		if (rc == 0 && part.kind == ILOG_DATASET)
			rc = open_dataset(s, &part);
		else if (rc == 0 && part.kind == ILOG_TRIM)
			rc = trim(s, &part);
	}
	return rc;
}

/* Take @part into the segment; false: it begins the next one. */
static bool segment_add(struct segment *s, const struct ilog_part *part,
			size_t *claims)
{
	const struct ilog_extent *x = part->at;

	if (part->kind == ILOG_TRIM)
		return true;
	if (s->nr_parts == PARTS_MAX ||
	    (part->kind == ILOG_BYTES && s->nr_bytes == BYTES_MAX))
		return false;
	s->nr_parts++;
	s->nr_bytes += part->kind == ILOG_BYTES;
	*claims += part->kind == ILOG_EXTENT && x->run != ILOG_RUN_SHARED;
	return true;
}

/*
 * The next segment from *@p on: parts of one dataset, not too many for an op.
 * It has none at the end of what concerns files.
 */
static int segment_next(struct segment *s, const uint8_t **p,
			const uint8_t *end, size_t *claims)
{
	const uint8_t *q = *p;
	struct ilog_part part;
	int rc = 0;

	s->claims_before = *claims;
	s->nr_parts = 0;
	s->nr_inodes = s->nr_sealed = s->nr_bytes = 0;
	s->p = s->end = q;
	while (q < end && rc == 0) {
		rc = ilog_part_next(&q, end, &part);
		if (rc || !ilog_part_is_file(&part))
			break;
		if (part.kind == ILOG_DATASET) {
			if (s->nr_parts > 0)
				break;
			rc = open_dataset(s, &part);
			s->p = q;
		} else if (!segment_add(s, &part, claims)) {
			break;
		}
		*p = s->end = q;
	}
	s->nr_bytes = 0;
	return rc;
}

/* Does it trim, and then need several ops?  No op's log record does. */
static bool is_risky(const struct ilog_stored *r)
{
	uint32_t nr_trims = 0, nr_parts = 0, nr_others = 0;
	const uint8_t *p = r->parts;
	struct ilog_part part;

	while (p < r->end && ilog_part_next(&p, r->end, &part) == 0) {
		nr_parts++;
		nr_trims += part.kind == ILOG_TRIM;
		nr_others +=
			part.kind == ILOG_DATASET || !ilog_part_is_file(&part);
	}
	return nr_trims > 0 && (nr_others > 1 || nr_parts > BYTES_MAX);
}

int ilog_replay_files(struct pool *pool, const struct ilog_stored *r,
		      const struct ilog_taken *taken)
{
	struct segment s = {.pool = pool, .taken = taken};
	const uint8_t *p = r->parts;
	size_t claims = 0;
	int rc = is_risky(r) ? txg_commit(pool) : 0;

	if (rc == 0)
		rc = trim_all(&s, r);
	while (rc == 0) {
		rc = segment_next(&s, &p, r->end, &claims);
		if (rc || s.nr_parts == 0)
			break;
		rc = segment_replay(&s);
	}
	dataset_put(s.ds);
	return rc;
}
