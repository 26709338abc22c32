/* SPDX-License-Identifier: Apache-2.0 */
/* model_run_data.c - operations on the content of files */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/model_run_internal.h"

#define WRITE_MAX (UINT64_C(1) << 20)

/* A file to work on, by name or by an open handle. */
struct target {
	struct model_root *root;
	struct dataset *ds; /* a reference */
	uint64_t ino;
};

static bool pick_target(struct model_run *run, struct target *t)
{
	const struct model_inode *in;

	if (rnd_one_in(&run->rnd, 4)) {
		struct model_handle *h =
			&run->handles[rnd_below(&run->rnd, MODEL_HANDLES)];

		t->root = h->ds ? model_find(&run->now, h->root) : NULL;
		if (t->root && h->write && !t->root->properties.readonly) {
			t->ino = h->ino;
			t->ds = run_open(run, h->root);
			return true;
		}
	}
	t->root = run_pick_writable(run);
	in = t->root ? run_pick_inode(run, t->root, RUN_FILE) : NULL;
	if (!in)
		return false;
	t->ino = in->attr.ino;
	t->ds = run_open(run, t->root->id);
	return true;
}

static const struct model_inode *target_inode(const struct target *t)
{
	return model_inode(t->root->tree, t->ino);
}

static void fill(struct model_run *run, uint8_t *buf, size_t len)
{
	switch (rnd_below(&run->rnd, run->o.fill ? 25 : 5)) {
	case 0:
		memset(buf, 0, len);
		break;
	case 1:
		memset(buf, (int)rnd_below(&run->rnd, 256), len);
		break;
	case 2: /* like a page: text, then zeros */
		memset(buf, 0, len);
		for (size_t i = 0; i < len / 2; i++)
			buf[i] = (uint8_t)('a' + rnd_below(&run->rnd, 8));
		break;
	case 3: /* one byte in a sea of zeros */
		memset(buf, 0, len);
		if (len)
			buf[rnd_below(&run->rnd, len)] = 1;
		break;
	default:
		rnd_fill(&run->rnd, buf, len);
	}
}

/* Where and how much: the ways that programs write. */
static void pick_range(struct model_run *run, const struct model_inode *in,
		       uint64_t *offset, uint64_t *len)
{
	const uint64_t size = in->attr.size, max = run->o.max_file;
	const uint64_t rs = in->attr.recordsize;
	const uint64_t kind = rnd_below(&run->rnd, 100);

	if (kind < 30) { /* a log: small appends */
		*offset = size;
		*len = rnd_between(&run->rnd, 1, 700);
	} else if (kind < 60) { /* pages */
		*offset = rnd_below(&run->rnd, max / rs + 1) * rs;
		*len = rnd_between(&run->rnd, 1, 4) * rs;
	} else if (kind < 85) { /* anything inside */
		*offset = rnd_below(&run->rnd, MIN_OF(size, max) + 1);
		*len = rnd_between(&run->rnd, 1, 20000);
	} else if (kind < 95) { /* a gap first */
		*offset = size + rnd_below(&run->rnd, max);
		*len = rnd_between(&run->rnd, 1, 5000);
	} else if (kind < 98 || run->o.plain) {
		*offset = rnd_below(&run->rnd, 16) * 4096;
		*len = run->o.plain ? 65536 : WRITE_MAX;
	} else { /* very sparse */
		*offset = (UINT64_C(1) << rnd_between(&run->rnd, 30, 50)) +
			  rnd_below(&run->rnd, 100000);
		*len = rnd_between(&run->rnd, 1, 40000);
	}
	if (run->o.fill && rnd_one_in(&run->rnd, 2)) {
		*offset = rnd_below(&run->rnd, max);
		*len = WRITE_MAX;
	}
	*len = MIN_OF(*len, WRITE_MAX);
}

static bool too_big(const struct model_run *run, const struct model_inode *in)
{
	return in->nr_pieces * MODEL_PIECE > 2 * run->o.max_file;
}

static void truncate_to(struct model_run *run, struct target *t, uint64_t size)
{
	const struct file_attr set = {.size = size};
	struct file_attr got;
	int rc;

	run_what(run, "truncate %s ino %ju from %ju to %ju", t->root->name,
		 (uintmax_t)t->ino, (uintmax_t)target_inode(t)->attr.size,
		 (uintmax_t)size);
	rc = file_setattr(t->ds, t->ino, FILE_SET_SIZE, &set, &got);
	if (run_expect(run, rc, 0)) {
		model_data_truncate(model_edit(t->root, t->ino), size);
		run_refresh(run, t->ds, t->root, t->ino);
	}
}

static void op_write(struct model_run *run)
{
	struct target t;
	uint64_t offset, len;
	int rc;

	if (!pick_target(run, &t))
		return;
	if (too_big(run, target_inode(&t))) {
		truncate_to(run, &t, rnd_below(&run->rnd, 10000));
		dataset_put(t.ds);
		return;
	}
	pick_range(run, target_inode(&t), &offset, &len);
	fill(run, run->buf, (size_t)len);
	run_what(run, "write %s ino %ju [%ju, +%ju) size %ju recordsize %u",
		 t.root->name, (uintmax_t)t.ino, (uintmax_t)offset,
		 (uintmax_t)len, (uintmax_t)target_inode(&t)->attr.size,
		 target_inode(&t)->attr.recordsize);
	rc = file_write(t.ds, t.ino, offset, run->buf, (size_t)len, 0);
	if (run_expect(run, rc, 0)) {
		model_data_write(model_edit(t.root, t.ino), offset, run->buf,
				 (size_t)len);
		run_refresh(run, t.ds, t.root, t.ino);
	}
	dataset_put(t.ds);
}

static void op_truncate(struct model_run *run)
{
	struct target t;
	uint64_t size;

	if (!pick_target(run, &t))
		return;
	size = target_inode(&t)->attr.size;
	switch (rnd_below(&run->rnd, 4)) {
	case 0:
		size = 0;
		break;
	case 1:
		size = rnd_below(&run->rnd, run->o.max_file);
		break;
	case 2:
		size = rnd_below(&run->rnd, size + 1);
		break;
	default:
		size = round_down(size, 4096) + 4096 * rnd_below(&run->rnd, 3);
	}
	truncate_to(run, &t, size);
	dataset_put(t.ds);
}

static void op_fallocate(struct model_run *run)
{
	static const int modes[] = {0,
				    FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				    FALLOC_FL_ZERO_RANGE,
				    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
	const int mode = modes[rnd_below(&run->rnd, 6)];
	struct target t;
	uint64_t offset, len;
	int rc;

	if (!pick_target(run, &t))
		return;
	offset = rnd_below(&run->rnd, run->o.max_file);
	len = rnd_between(&run->rnd, 1, run->o.max_file);
	if (rnd_one_in(&run->rnd, 2)) {
		offset = round_down(offset, 4096);
		len = round_up(len, 4096);
	}
	run_what(run, "fallocate %s ino %ju mode %d [%ju, +%ju) size %ju",
		 t.root->name, (uintmax_t)t.ino, mode, (uintmax_t)offset,
		 (uintmax_t)len, (uintmax_t)target_inode(&t)->attr.size);
	rc = file_fallocate(t.ds, t.ino, mode, offset, len, 0);
	if (run_expect(run, rc, 0)) {
		struct model_inode *in = model_edit(t.root, t.ino);
		const uint64_t size = in->attr.size;

		if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
			model_data_zero(in, offset, len);
		if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + len > size)
			in->attr.size = offset + len;
		run_refresh(run, t.ds, t.root, t.ino);
	}
	dataset_put(t.ds);
}

static void op_fsync(struct model_run *run)
{
	struct target t;

	if (!pick_target(run, &t))
		return;
	run_what(run, "fsync %s ino %ju", t.root->name, (uintmax_t)t.ino);
	if (run_expect(run, file_fsync(t.ds, t.ino), 0))
		run_durable_root(run, t.root->id);
	dataset_put(t.ds);
}

static void op_read(struct model_run *run)
{
	struct target t;
	uint64_t size, offset;
	size_t len, got = 0, want;
	uint8_t *buf;
	int rc;

	if (!pick_target(run, &t))
		return;
	size = target_inode(&t)->attr.size;
	offset = rnd_below(&run->rnd, size + 1000);
	len = rnd_between(&run->rnd, 1, 100000);
	want = offset >= size ? 0 : (size_t)MIN_OF(len, size - offset);
	run_what(run, "read %s ino %ju [%ju, +%zu) size %ju", t.root->name,
		 (uintmax_t)t.ino, (uintmax_t)offset, len, (uintmax_t)size);
	buf = malloc(len);
	if (!buf)
		abort();
	rc = file_read(t.ds, t.ino, offset, buf, len, &got);
	if (run_expect(run, rc, 0)) {
		if (got != want)
			run_fail(run, "read %zu bytes, want %zu", got, want);
		model_data_read(target_inode(&t), offset, run->buf, want);
		for (size_t i = 0; i < want; i++)
			if (buf[i] != run->buf[i])
				run_fail(run, "byte %ju is %02x, want %02x",
					 (uintmax_t)(offset + i), buf[i],
					 run->buf[i]);
	}
	free(buf);
	dataset_put(t.ds);
}

/* SEEK_DATA may be early but must miss no data; SEEK_HOLE finds zeros. */
static void op_seek(struct model_run *run)
{
	const struct model_inode *in;
	struct target t;
	uint64_t offset, at = 0, next;
	uint8_t byte = 1;
	int rc;

	if (!pick_target(run, &t))
		return;
	in = target_inode(&t);
	offset = rnd_below(&run->rnd, in->attr.size + 2);
	run_what(run, "seek %s ino %ju from %ju size %ju", t.root->name,
		 (uintmax_t)t.ino, (uintmax_t)offset, (uintmax_t)in->attr.size);
	next = model_data_next(in, offset);
	rc = file_seek(t.ds, t.ino, offset, SEEK_DATA, &at);
	if (run_faulted(run, rc)) {
		dataset_put(t.ds);
		return;
	}
	if (rc && rc != -ENXIO)
		run_fail(run, "SEEK_DATA: %d", rc);
	if (rc == -ENXIO && next != UINT64_MAX)
		run_fail(run, "SEEK_DATA finds nothing, but there is at %ju",
			 (uintmax_t)next);
	if (rc == 0 && (at < offset || at > next || at >= in->attr.size))
		run_fail(run, "SEEK_DATA says %ju, data is at %ju",
			 (uintmax_t)at, (uintmax_t)next);
	rc = file_seek(t.ds, t.ino, offset, SEEK_HOLE, &at);
	if (run_expect(run, rc, offset >= in->attr.size ? -ENXIO : 0)) {
		model_data_read(in, at, &byte, 1);
		if (at < offset || at > in->attr.size || byte)
			run_fail(run, "SEEK_HOLE says %ju", (uintmax_t)at);
	}
	dataset_put(t.ds);
}

/* The model's side of a copy: through a buffer, so ranges cannot overlap. */
static void copy_apply(struct model_root *dst, uint64_t dst_ino,
		       uint64_t dst_offset, const struct model_inode *src,
		       uint64_t src_offset, uint64_t len)
{
	uint8_t *buf = malloc(len ? len : 1);

	if (!buf)
		abort();
	model_data_read(src, src_offset, buf, len);
	model_data_write(model_edit(dst, dst_ino), dst_offset, buf, len);
	free(buf);
}

/* What file_copy() does in one operation. */
static uint64_t first_piece(const struct model_inode *src,
			    const struct model_inode *dst, uint64_t so,
			    uint64_t dof, uint64_t len)
{
	const uint64_t rs = dst->attr.recordsize;
	const uint64_t size = src->attr.size, at = so % rs;

	len = MIN_OF(len, so < size ? size - so : 0);
	if (at == dof % rs && at)
		return MIN_OF(len, rs - at);
	if (at || dof % rs || src->attr.recordsize != rs || len < rs)
		return len;
	/* whole records are shared, and one that both files end with */
	return so + len == size && dof + len >= dst->attr.size
		       ? len
		       : round_down(len, rs);
}

static void op_copy(struct model_run *run)
{
	const struct model_root *from = run_pick_root(run);
	const struct model_inode *src = NULL;
	const bool whole = rnd_one_in(&run->rnd, 3);
	uint64_t so, dof, len, copied = 0;
	struct dataset *src_ds;
	struct target t;
	bool overlap;
	int rc;

	if (!pick_target(run, &t))
		return;
	src = run_pick_inode(run, from, RUN_FILE);
	if (!src || too_big(run, target_inode(&t))) {
		dataset_put(t.ds);
		return;
	}
	so = whole ? 0
		   : rnd_below(&run->rnd,
			       MIN_OF(src->attr.size, run->o.max_file) + 1);
	dof = whole ? 0 : rnd_below(&run->rnd, run->o.max_file);
	len = whole ? run->o.max_file : rnd_below(&run->rnd, run->o.max_file);
	if (rnd_one_in(&run->rnd, 2)) {
		so = round_down(so, 131072);
		dof = round_down(dof, 131072);
	}
	if (run->o.one_piece)
		len = first_piece(src, target_inode(&t), so, dof, len);
	run_what(run,
		 "copy root %u ino %ju [%ju, +%ju) size %ju recordsize %u to "
		 "%s ino %ju %ju size %ju recordsize %u",
		 from->id, (uintmax_t)src->attr.ino, (uintmax_t)so,
		 (uintmax_t)len, (uintmax_t)src->attr.size,
		 src->attr.recordsize, t.root->name, (uintmax_t)t.ino,
		 (uintmax_t)dof, (uintmax_t)target_inode(&t)->attr.size,
		 target_inode(&t)->attr.recordsize);
	overlap = from->id == t.root->id && src->attr.ino == t.ino && len &&
		  so < dof + len && dof < so + len;
	src_ds = run_open(run, from->id);
	rc = file_copy(src_ds, src->attr.ino, so, t.ds, t.ino, dof, len, 0,
		       &copied);
	dataset_put(src_ds);
	/* what is cut off at the source's end may or may not count */
	if (overlap && rc == 0)
		overlap = so < dof + copied && dof < so + copied;
	if (run_expect(run, rc, overlap ? -EINVAL : 0)) {
		const uint64_t most =
			so >= src->attr.size ? 0
					     : MIN_OF(len, src->attr.size - so);

		if (copied > most || (most && !copied))
			run_fail(run, "copied %ju of %ju", (uintmax_t)copied,
				 (uintmax_t)most);
		copy_apply(t.root, t.ino, dof, src, so, copied);
		run_refresh(run, t.ds, t.root, t.ino);
	}
	dataset_put(t.ds);
}

const struct run_op run_data_ops[] = {
	{op_write, 50}, {op_truncate, 8}, {op_fallocate, 8}, {op_fsync, 2},
	{op_read, 8},	{op_seek, 5},	  {op_copy, 8},	     {NULL, 0},
};
