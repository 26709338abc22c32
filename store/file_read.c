/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_read.c - reading content
 *
 * Under the lock: find the extents, copy what is dirty.  Then, without it:
 * read, check and unpack.  Meanwhile somebody may overwrite a record, and
 * after a commit its blocks may be used for something else; the checksum
 * tells, and the file is looked at again.
 */
#include "store/file_internal.h"

#include <string.h>

#include "store/txg.h"

#define READ_PIECES_MAX (FILE_REQUEST_MAX / BLOCK_SIZE + 2)

struct read_piece {
	struct extent e;
	uint64_t recno;
	/* where its stored blocks go: into the caller's buffer, where they are
	 * what is wanted, else into the scratch, @pos blocks from its start */
	uint8_t *at;
	uint32_t pos;
	bool have; /* they are there */
};

struct read_op {
	uint64_t ino;
	uint64_t offset;
	uint8_t *buf;
	size_t len; /* in: wanted; out: clamped to the file's end */
	size_t wanted;
	struct inode inode;
	uint64_t next; /* record not yet seen */
	const struct dataset *ds;
	uint32_t nr, nr_blocks; /* the latter in the scratch */
	struct read_piece piece[READ_PIECES_MAX];
};

/* The part of record @recno that is wanted: [*from, *from + *n) of it. */
static uint8_t *wanted_part(const struct read_op *r, uint64_t recno,
			    size_t *from, size_t *n)
{
	uint64_t start = recno << r->inode.record_shift;
	uint64_t end = start + inode_recordsize(&r->inode);
	uint64_t a = MAX_OF(start, r->offset);
	uint64_t b = MIN_OF(end, r->offset + r->len);

	*from = (size_t)(a - start);
	*n = (size_t)(b - a);
	return r->buf + (a - r->offset);
}

/* Records [r->next, @end) are holes. */
static void fill_hole(struct read_op *r, uint64_t end)
{
	uint64_t a = r->next << r->inode.record_shift;
	uint64_t b = end << r->inode.record_shift;

	a = MAX_OF(a, r->offset);
	b = MIN_OF(b, r->offset + r->len);
	if (a < b)
		memset(r->buf + (a - r->offset), 0, (size_t)(b - a));
}

static int read_extent(void *arg, uint64_t recno, const struct extent *e)
{
	struct read_op *r = arg;
	const struct dirty_record *d;
	struct read_piece *p;
	size_t from, n;

	fill_hole(r, recno);
	r->next = recno + 1;
	d = dirty_find(r->ds, r->ino, recno);
	if (d) {
		uint8_t *to = wanted_part(r, recno, &from, &n);

		memcpy(to, d->data + from, n);
		return 0;
	}
	if (e->nr_blocks == 0)
		return inode_damaged(r->ds, r->ino, "placeholder");
	p = &r->piece[r->nr++];
	p->e = *e;
	p->recno = recno;
	p->have = false;
	p->at = wanted_part(r, recno, &from, &n);
	if (e->encoding == EXTENT_RAW && n == inode_recordsize(&r->inode) &&
	    (uintptr_t)p->at % BLKDEV_ALIGN == 0)
		return 0;
	p->at = NULL;
	p->pos = r->nr_blocks;
	r->nr_blocks += e->nr_blocks;
	return 0;
}

static int read_body(struct op *op, struct dataset *ds, void *arg)
{
	struct read_op *r = arg;
	uint64_t end;
	int rc;

	r->nr = r->nr_blocks = 0;
	r->len = 0;
	rc = inode_get_file(op, ds, r->ino, &r->inode);
	if (rc || r->offset >= r->inode.size)
		return rc;
	r->len = (size_t)MIN_OF(r->wanted, r->inode.size - r->offset);
	if (r->len == 0)
		return 0;
	r->next = r->offset >> r->inode.record_shift;
	end = ((r->offset + r->len - 1) >> r->inode.record_shift) + 1;
	rc = extent_each(op, ds, &r->inode, r->next, end, read_extent, r);
	if (rc == 0)
		fill_hole(r, end);
	return rc;
}

/*
 * The end of the run of pieces that starts with @i: those whose blocks are
 * adjacent on disk, and not there yet.
 */
static uint32_t run_end(const struct read_op *r, uint32_t i, uint32_t *nr)
{
	uint32_t j = i + 1;

	*nr = r->piece[i].e.nr_blocks;
	while (j < r->nr && !r->piece[j].have &&
	       r->piece[j].e.blkno == r->piece[i].e.blkno + *nr)
		*nr += r->piece[j++].e.nr_blocks;
	return j;
}

/* Have all runs from piece @i on read at the same time. */
static void read_ahead(struct pool *pool, const struct read_op *r, uint32_t i)
{
	uint32_t nr;

	while (i < r->nr) {
		const struct read_piece *p = &r->piece[i];

		if (p->have) {
			i++;
			continue;
		}
		i = run_end(r, i, &nr);
		blkdev_prefetch(pool_dev(pool), (size_t)nr * BLOCK_SIZE,
				p->e.blkno << BLOCK_SHIFT);
	}
}

/*
 * Read pieces [i, j), whose blocks are adjacent on disk.  *@ahead: what
 * follows is under way; else it is made so if these have to be waited for.
 */
static int read_run(struct pool *pool, const struct read_op *r, uint32_t i,
		    uint32_t j, bool *ahead)
{
	uint64_t offset = r->piece[i].e.blkno << BLOCK_SHIFT;
	struct iovec iov[READ_PIECES_MAX];
	int nr = 0;

	for (uint32_t k = i; k < j; k++) {
		const struct read_piece *p = &r->piece[k];
		size_t len = (size_t)p->e.nr_blocks * BLOCK_SIZE;

		if (nr &&
		    (uint8_t *)iov[nr - 1].iov_base + iov[nr - 1].iov_len ==
			    p->at)
			iov[nr - 1].iov_len += len;
		else
			iov[nr++] = (struct iovec){p->at, len};
	}
	if (!*ahead && j < r->nr) {
		if (blkdev_preadv_at_once(pool_dev(pool), iov, nr, offset))
			return 0;
		read_ahead(pool, r, i);
		*ahead = true;
	}
	return blkdev_preadv_cached(pool_dev(pool), iov, nr, offset);
}

/* Get the stored blocks of all pieces; adjacent runs with one call. */
static int read_blocks(struct pool *pool, struct read_op *r, uint8_t *in)
{
	bool ahead = false;
	uint32_t i, j, nr;

	for (i = 0; i < r->nr; i++) {
		struct read_piece *p = &r->piece[i];

		if (!p->at)
			p->at = in + (size_t)p->pos * BLOCK_SIZE;
		p->have = txg_deferred_read(pool, p->e.blkno, p->at,
					    p->e.nr_blocks);
	}
	for (i = 0; i < r->nr; i = j) {
		const struct read_piece *p = &r->piece[i];
		int rc;

		j = i + 1;
		if (p->have)
			continue;
		j = run_end(r, i, &nr);
		rc = read_run(pool, r, i, j, &ahead);
		if (rc)
			return file_record_damaged(r->ds, &r->inode, p->recno,
						   &p->e, rc);
	}
	return 0;
}

/* Check one piece and unpack what is wanted of it; @tmp: a record's length. */
static int unpack(const struct read_op *r, const struct read_piece *p,
		  uint8_t *tmp)
{
	size_t from, n, stored = (size_t)p->e.nr_blocks * BLOCK_SIZE;
	uint8_t *to = wanted_part(r, p->recno, &from, &n);
	int rc;

	rc = record_check(&p->e, p->at);
	if (rc)
		return rc;
	if (p->at == to) {
		memset(to + stored, 0, n - stored);
		return 0;
	}
	if (n == inode_recordsize(&r->inode))
		return record_decode(&p->e, p->at, r->inode.record_shift, to);
	rc = record_decode(&p->e, p->at, r->inode.record_shift, tmp);
	if (rc == 0)
		memcpy(to, tmp + from, n);
	return rc;
}

/* Is @bad still what the file names? */
static bool still_there(const struct read_op *r, const struct read_piece *bad)
{
	for (uint32_t i = 0; i < r->nr; i++)
		if (r->piece[i].recno == bad->recno)
			return extent_same(&r->piece[i].e, &bad->e);
	return false;
}

/* Read what the pieces say.  -EAGAIN: *@bad did not match its checksum. */
static int read_pieces(struct pool *pool, struct read_op *r,
		       struct read_piece *bad)
{
	size_t tmp_len = inode_recordsize(&r->inode);
	size_t len = (size_t)r->nr_blocks * BLOCK_SIZE + tmp_len;
	uint8_t *in = NULL;
	int rc;

	if (r->nr_blocks) {
		in = scratch_get(len);
		if (!in)
			return -ENOMEM;
	}
	rc = read_blocks(pool, r, in ? in + tmp_len : NULL);
	for (uint32_t i = 0; rc == 0 && i < r->nr; i++) {
		rc = unpack(r, &r->piece[i], in);
		if (rc == -EBADMSG) {
			*bad = r->piece[i];
			rc = -EAGAIN;
		}
	}
	scratch_put(in, len);
	return rc;
}

static int read_request(struct dataset *ds, struct read_op *r)
{
	struct read_piece bad = {.e.present = false};
	int rc;

	for (;;) {
		rc = op_read(ds, read_body, r);
		if (rc || r->nr == 0)
			return rc;
		if (bad.e.present && still_there(r, &bad))
			return file_record_damaged(ds, &r->inode, bad.recno,
						   &bad.e, -EBADMSG);
		rc = read_pieces(ds->pool, r, &bad);
		if (rc != -EAGAIN)
			return rc;
	}
}

int file_read(struct dataset *ds, uint64_t ino, uint64_t offset, void *buf,
	      size_t len, size_t *out_len)
{
	struct read_op r;
	size_t done = 0;
	int rc;

	r.ino = ino;
	r.ds = ds;
	do {
		r.offset = offset + done;
		r.buf = (uint8_t *)buf + done;
		r.wanted = MIN_OF(len - done, FILE_REQUEST_MAX);
		rc = offset > FILE_SIZE_MAX ? -EINVAL : read_request(ds, &r);
		if (rc)
			return rc;
		done += r.len;
	} while (r.len == r.wanted && done < len);
	*out_len = done;
	return 0;
}
