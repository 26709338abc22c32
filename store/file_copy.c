/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_copy.c - copy_file_range(2): share whole records, copy the rest
 *
 * A record is shared by an item in the target that names the same run, and
 * one more reference to it.  That must be noted while the source's item is
 * known to exist, so the op holds both datasets' locks.
 */
#include "store/file_internal.h"

#include <string.h>

#include "store/txg.h"

#define COPY_BATCH 128u
/* copied byte by byte in one call; the caller asks again */
#define COPY_BYTES_MAX (UINT64_C(16) << 20)

struct copy {
	struct dataset *src, *dst;
	uint64_t src_ino, src_offset;
	uint64_t dst_offset;
	uint64_t left;
	unsigned flags;
	struct file_look look; /* the target */
	/* out */
	uint64_t bytes; /* shared by the last op */
	uint64_t flush; /* FILE_AGAIN: source record that is dirty */
	bool flush_wanted;
	/* the body's */
	uint32_t nr;
	struct extent from[COPY_BATCH];
	struct extent old[COPY_BATCH];
};

/* How many records can be shared now, and bytes with them? */
static void share_extent(struct copy *c, const struct inode *from,
			 const struct inode *to)
{
	unsigned shift = to->record_shift;
	uint64_t rs = UINT64_C(1) << shift;
	uint64_t n = 0, nr;

	c->nr = 0;
	c->bytes = 0;
	if (from->record_shift != shift || c->src_offset >= from->size ||
	    c->src_offset & (rs - 1) || c->dst_offset & (rs - 1))
		return;
	n = MIN_OF(c->left, from->size - c->src_offset);
	nr = n >> shift;
	/* a record that ends with the source's end has only zeros after it
	 * (I2); it fits where the target has no more bytes either */
	if (n & (rs - 1) && c->src_offset + n == from->size &&
	    c->dst_offset + n >= to->size)
		nr++;
	c->nr = (uint32_t)MIN_OF(nr, COPY_BATCH);
	c->bytes = MIN_OF(n, (uint64_t)c->nr << shift);
}

static int share_touch(struct op *op, struct copy *c, const struct inode *from,
		       const struct inode *to)
{
	uint64_t src = c->src_offset >> from->record_shift;
	uint64_t dst = c->dst_offset >> to->record_shift;
	int64_t growth = 0;
	int rc = inode_touch(op, c->dst, to->ino);

	for (uint32_t i = 0; rc == 0 && i < c->nr; i++) {
		if (dirty_find(c->src, from->ino, src + i)) {
			c->flush_wanted = true;
			c->flush = src + i;
			return FILE_AGAIN;
		}
		rc = extent_get(op, c->src, from, src + i, &c->from[i]);
		if (rc == 0)
			rc = extent_get(op, c->dst, to, dst + i, &c->old[i]);
		if (rc)
			return rc;
		if (c->from[i].present && c->from[i].nr_blocks == 0)
			return inode_damaged(c->src, from->ino, "placeholder");
		growth += extent_growth(c->dst, &c->old[i], &c->from[i]);
		if (c->from[i].present || c->old[i].present)
			rc = extent_touch(op, c->dst, to, dst + i);
	}
	return rc ? rc : extent_check_quota(c->dst, growth);
}

static void share_apply(struct op *op, struct copy *c, struct inode *to)
{
	uint64_t dst = c->dst_offset >> to->record_shift;

	for (uint32_t i = 0; i < c->nr; i++) {
		const struct extent *e = &c->from[i];
		const struct extent *old = &c->old[i];

		dirty_drop(c->dst, to->ino, dst + i);
		/* the same run again keeps the reference that it has */
		if (e->nr_blocks && !(old->present && old->blkno == e->blkno))
			op_ref(op, e->blkno, e->nr_blocks);
		extent_set(op, c->dst, to, dst + i, old, e);
	}
}

static int share_body(struct op *op, struct copy *c)
{
	struct inode from, to;
	struct file_priv priv;
	int rc;

	c->nr = 0;
	c->bytes = 0;
	rc = inode_get_file(op, c->src, c->src_ino, &from);
	if (rc == 0)
		rc = file_look_again(op, c->dst, &c->look, &to);
	if (rc)
		return rc;
	share_extent(c, &from, &to);
	if (c->nr == 0)
		return 0;
	rc = share_touch(op, c, &from, &to);
	if (rc == 0)
		rc = file_priv_prepare(op, c->dst, &to, c->flags, &priv);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, c->dst);
	share_apply(op, c, &to);
	to.size = MAX_OF(to.size, c->dst_offset + c->bytes);
	to.mtime = to.ctime = os_time_now();
	file_priv_apply(op, c->dst, &to, &priv);
	inode_put(op, c->dst, &to);
	return 0;
}

/* In order of id: docs/locking.md. */
static void lock_both(struct dataset *src, struct dataset *dst)
{
	if (src != dst && src->id < dst->id)
		os_rwlock_rdlock(&src->lock);
	os_rwlock_wrlock(&dst->lock);
	if (src != dst && src->id > dst->id)
		os_rwlock_rdlock(&src->lock);
}

static void unlock_both(struct dataset *src, struct dataset *dst)
{
	os_rwlock_unlock(&dst->lock);
	if (src != dst)
		os_rwlock_unlock(&src->lock);
}

/* op_change() on two datasets. */
static int share_run(struct copy *c)
{
	struct op op;
	int rc =
		op_begin(&op, c->dst->pool, COPY_BATCH + 1 + FILE_PRIV_PUTS, 0);

	if (rc)
		return rc;
	do {
		op_enter(&op);
		lock_both(c->src, c->dst);
		rc = dataset_may_change(c->dst);
		if (rc == 0 && dataset_generation(c->src) == UINT64_MAX)
			rc = -ESTALE;
		if (rc == 0)
			rc = share_body(&op, c);
		unlock_both(c->src, c->dst);
		op_leave(&op);
		rc = op_retry(&op, rc);
	} while (rc == -EAGAIN);
	op_end(&op);
	return rc;
}

/* Share what can be shared from here on; c->bytes says how much that was. */
static int share(struct copy *c)
{
	for (;;) {
		int rc;

		c->flush_wanted = false;
		rc = share_run(c);
		if (rc != FILE_AGAIN)
			return rc;
		if (c->flush_wanted)
			rc = dirty_flush_record(c->src, c->src_ino, c->flush);
		else
			rc = file_look(c->dst, &c->look);
		if (rc)
			return rc;
	}
}

/* Copy bytes, up to where sharing may begin; @n: out. */
static int copy_bytes(struct copy *c, uint8_t *buf, uint64_t *n)
{
	uint64_t mask = inode_recordsize(&c->look.inode) - 1;
	uint64_t want = MIN_OF(c->left, FILE_REQUEST_MAX);
	size_t len;
	int rc;

	if ((c->src_offset & mask) == (c->dst_offset & mask) &&
	    c->src_offset & mask)
		want = MIN_OF(want, mask + 1 - (c->src_offset & mask));
	rc = file_read(c->src, c->src_ino, c->src_offset, buf, (size_t)want,
		       &len);
	if (rc == 0)
		rc = file_write(c->dst, c->look.ino, c->dst_offset, buf, len,
				c->flags);
	*n = len;
	return rc;
}

static int copy_all(struct copy *c, uint64_t *copied)
{
	uint8_t *buf = scratch_get(FILE_REQUEST_MAX);
	uint64_t slow = 0, n;
	int rc = 0;

	if (!buf)
		return -ENOMEM;
	while (c->left && slow < COPY_BYTES_MAX) {
		rc = share(c);
		n = c->bytes;
		if (rc == 0 && n == 0) {
			rc = copy_bytes(c, buf, &n);
			slow += n;
		}
		if (rc || n == 0)
			break;
		c->src_offset += n;
		c->dst_offset += n;
		c->left -= n;
		*copied += n;
	}
	scratch_put(buf, FILE_REQUEST_MAX);
	/* what was done was done */
	return *copied ? 0 : rc;
}

static bool overlaps(uint64_t a, uint64_t b, uint64_t len)
{
	return a < b ? b - a < len : a - b < len;
}

int file_copy(struct dataset *src, uint64_t src_ino, uint64_t src_offset,
	      struct dataset *dst, uint64_t dst_ino, uint64_t dst_offset,
	      uint64_t len, unsigned flags, uint64_t *copied)
{
	struct file_look from = {.ino = src_ino};
	struct copy c;
	int rc;

	*copied = 0;
	if (src->pool != dst->pool)
		return -EXDEV;
	if (src_offset > FILE_SIZE_MAX || dst_offset > FILE_SIZE_MAX)
		return -EFBIG;
	memset(&c.look, 0, sizeof(c.look));
	c.look.ino = dst_ino;
	rc = file_look(dst, &c.look);
	if (rc == 0)
		rc = file_look_once(src, &from);
	if (rc || src_offset >= from.inode.size)
		return rc;
	c.left = MIN_OF(len, from.inode.size - src_offset);
	if (src == dst && src_ino == dst_ino &&
	    overlaps(src_offset, dst_offset, c.left))
		return -EINVAL;
	if (c.left > FILE_SIZE_MAX - dst_offset)
		return -EFBIG;
	c.src = src;
	c.dst = dst;
	c.src_ino = src_ino;
	c.src_offset = src_offset;
	c.dst_offset = dst_offset;
	c.flags = flags;
	return copy_all(&c, copied);
}
