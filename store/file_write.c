/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_write.c - writing content
 *
 * Whole records are packed and written to new blocks before any lock is
 * taken; the first and last, where only a part of them is written, become
 * dirty (file_edge.c).  Then one op makes it all so.
 */
#include "store/file_internal.h"

#include <string.h>

#include "store/compress.h"
#include "store/txg.h"

#define WRITE_RECORDS_MAX (FILE_REQUEST_MAX / BLOCK_SIZE)
/*
 * Writes up to here go through the page cache: that costs a fraction of a
 * transfer of their own, and a server that wrote a page is likely to read it.
 */
#define WRITE_CACHED_MAX ((size_t)64 << 10)

/*
 * A page that could not be compressed can hardly be when it is written again,
 * and trying costs more than all else.  So after a record that was stored raw
 * it is tried once in so many writes; imports, which write more at once, try
 * always.
 */
#define HINT_RECORDS_MAX 8u
#define TRY_AGAIN_EVERY	 8u

struct write_op {
	struct file_look look;
	uint64_t offset;
	const uint8_t *buf;
	size_t len;
	unsigned flags;
	/* records [first, first + nr) are written whole */
	uint64_t first;
	uint32_t nr;
	bool written;
	bool wants_flush; /* out */
	struct file_edge edge[2];
	unsigned nr_edges;
	struct extent full[WRITE_RECORDS_MAX];
	struct extent old[WRITE_RECORDS_MAX];
};

static void add_edge(struct write_op *w, uint64_t recno, uint64_t from,
		     uint64_t to)
{
	uint64_t start = recno << w->look.inode.record_shift;

	w->edge[w->nr_edges++] = (struct file_edge){
		.recno = recno,
		.from = (uint32_t)(from - start),
		.len = (uint32_t)(to - from),
		.src = w->buf + (from - w->offset),
	};
}

/* Cut the request into whole records and edges. */
static void write_split(struct write_op *w)
{
	unsigned shift = w->look.inode.record_shift;
	uint64_t end = w->offset + w->len;
	uint64_t last = end >> shift; /* the record that end lies in */

	w->nr_edges = 0;
	w->first = div_round_up(w->offset, UINT64_C(1) << shift);
	w->nr = last > w->first ? (uint32_t)(last - w->first) : 0;
	if (w->offset < w->first << shift)
		add_edge(w, w->first - 1, w->offset,
			 MIN_OF(end, w->first << shift));
	if (end > last << shift && last >= w->first)
		add_edge(w, last, last << shift, end);
}

/* Write the packed records; those next to each other with one call. */
static int write_blocks(struct pool *pool, const struct extent *e, uint32_t nr,
			const uint8_t *packed)
{
	uint32_t i, j;

	for (i = 0; i < nr; i = j) {
		uint32_t nr_blocks = e[i].nr_blocks;
		int (*write)(struct blkdev * dev, const void *buf, size_t len,
			     uint64_t offset);
		size_t len;
		int rc;

		for (j = i + 1; j < nr && nr_blocks; j++) {
			if (e[j].nr_blocks &&
			    e[j].blkno != e[i].blkno + nr_blocks)
				break;
			nr_blocks += e[j].nr_blocks;
		}
		if (nr_blocks == 0)
			continue;
		len = (size_t)nr_blocks * BLOCK_SIZE;
		write = len <= WRITE_CACHED_MAX ? blkdev_write_cached
						: blkdev_write;
		rc = write(pool_dev(pool), packed, len,
			   e[i].blkno << BLOCK_SHIFT);
		if (rc) {
			pool_fail(pool, rc, "write of a record");
			return rc;
		}
		packed += len;
	}
	return 0;
}

static int hint_body(struct op *op, struct dataset *ds, void *arg)
{
	struct write_op *w = arg;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < w->nr; i++)
		rc = extent_get(op, ds, &w->look.inode, w->first + i,
				&w->old[i]);
	return rc;
}

/* By what is there now, old[i]: is it worthwhile to compress record @i? */
static bool worth_compressing(const struct write_op *w, uint32_t i)
{
	const struct extent *old = &w->old[i];
	uint32_t nr_raw = inode_recordsize(&w->look.inode) / BLOCK_SIZE;

	if (w->nr > HINT_RECORDS_MAX || w->look.level == COMPRESS_LEVEL_OFF)
		return true; /* the hint was not looked for */
	return !old->present || old->encoding != EXTENT_RAW ||
	       old->nr_blocks < nr_raw || old->csum % TRY_AGAIN_EVERY == 0;
}

/* Pack, allocate and write the whole records. */
/* Write path 3 of 9; next: op_begin() */
static int write_records(struct dataset *ds, struct write_op *w)
{
	unsigned shift = w->look.inode.record_shift;
	const uint8_t *src = w->buf + ((w->first << shift) - w->offset);
	size_t len = (size_t)w->nr << shift, pos = 0;
	uint8_t *packed;
	int rc;

	if (w->nr == 0)
		return 0;
	if (w->nr <= HINT_RECORDS_MAX && w->look.level != COMPRESS_LEVEL_OFF) {
		rc = op_read(ds, hint_body, w);
		if (rc)
			return rc;
	}
	packed = scratch_get(len);
	if (!packed)
		return -ENOMEM;
	for (uint32_t i = 0; i < w->nr; i++) {
		int level = worth_compressing(w, i) ? w->look.level
						    : COMPRESS_LEVEL_OFF;

		record_encode(src + ((size_t)i << shift), shift, level,
			      packed + pos, &w->full[i]);
		pos += (size_t)w->full[i].nr_blocks * BLOCK_SIZE;
	}
	rc = record_alloc_many(ds->pool, w->full, w->nr);
	if (rc == 0) {
		rc = write_blocks(ds->pool, w->full, w->nr, packed);
		if (rc)
			record_unalloc_many(ds->pool, w->full, w->nr);
	}
	scratch_put(packed, len);
	w->written = rc == 0;
	return rc;
}

/* Look up what is there, count what the charge grows, touch. */
static int write_touch(struct op *op, const struct dataset *ds,
		       const struct inode *inode, struct write_op *w)
{
	int64_t growth = 0;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < w->nr; i++) {
		rc = extent_get(op, ds, inode, w->first + i, &w->old[i]);
		if (rc)
			return rc;
		growth += extent_growth(ds, &w->old[i], &w->full[i]);
		if (w->full[i].nr_blocks || w->old[i].present)
			rc = extent_touch(op, ds, inode, w->first + i);
	}
	for (unsigned i = 0; rc == 0 && i < w->nr_edges; i++)
		rc = file_edge_touch(op, ds, inode, &w->edge[i], &growth);
	if (rc == 0)
		rc = inode_touch(op, ds, inode->ino);
	return rc ? rc : extent_check_quota(ds, growth);
}

/* Write path 5 of 9; next: btree_put(), when op_ready() let it */
static int write_body(struct op *op, struct dataset *ds, void *arg)
{
	struct write_op *w = arg;
	struct file_priv priv;
	struct inode inode;
	int rc;

	rc = file_look_again(op, ds, &w->look, &inode);
	if (rc == 0)
		rc = write_touch(op, ds, &inode, w);
	if (rc == 0)
		rc = file_priv_prepare(op, ds, &inode, w->flags, &priv);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	inode.size = MAX_OF(inode.size, w->offset + w->len);
	inode.mtime = inode.ctime = os_time_now();
	file_priv_apply(op, ds, &inode, &priv);
	for (uint32_t i = 0; i < w->nr; i++) {
		dirty_drop(ds, inode.ino, w->first + i);
		if (w->full[i].nr_blocks)
			op_claim(op, w->full[i].blkno, w->full[i].nr_blocks);
		extent_set(op, ds, &inode, w->first + i, &w->old[i],
			   &w->full[i]);
	}
	inode_put(op, ds, &inode);
	for (unsigned i = 0; i < w->nr_edges; i++)
		file_edge_apply(op, ds, &inode, &w->edge[i]);
	w->wants_flush = w->nr_edges > 0 && dirty_wants_flush(ds);
	return 0;
}

static int write_try(struct dataset *ds, struct write_op *w)
{
	int rc = file_look(ds, &w->look);

	if (rc)
		return rc;
	if (!w->written) {
		write_split(w);
		rc = write_records(ds, w);
	}
	for (unsigned i = 0; rc == 0 && i < w->nr_edges; i++)
		rc = file_edge_prepare(ds, &w->look.inode, &w->edge[i]);
	if (rc == 0)
		rc = op_change(ds, w->nr + w->nr_edges + 1 + FILE_PRIV_PUTS, 0,
			       write_body, w);
	for (unsigned i = 0; i < w->nr_edges; i++)
		file_edge_release(ds, &w->edge[i]);
	return rc;
}

/* Write path 2 of 9; next: write_records(), or file_edge_prepare() */
int file_write(struct dataset *ds, uint64_t ino, uint64_t offset,
	       const void *buf, size_t len, unsigned flags)
{
	struct write_op w;
	bool flushed = false;
	int rc;

	if (len == 0)
		return 0;
	if (len > FILE_REQUEST_MAX)
		return -EINVAL;
	if (offset > FILE_SIZE_MAX || len > FILE_SIZE_MAX - offset)
		return -EFBIG;
	w.look.ino = ino;
	w.look.seen = false;
	w.offset = offset;
	w.buf = buf;
	w.len = len;
	w.flags = flags;
	w.nr = w.nr_edges = 0;
	w.written = false;
	do {
		rc = write_try(ds, &w);
		/* stored, partial records may take less than they might */
		if (rc == -EDQUOT && !flushed) {
			flushed = true;
			rc = dirty_flush(ds);
			rc = rc ? rc : FILE_AGAIN;
		}
	} while (rc == FILE_AGAIN);
	if (rc == 0 && w.wants_flush)
		pool_want_flush(ds);
	if (rc == 0)
		return 0;
	if (w.written)
		record_unalloc_many(ds->pool, w.full, w.nr);
	return rc;
}
