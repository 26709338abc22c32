/* SPDX-License-Identifier: Apache-2.0 */
/* op_write.c - write, fsync, fallocate and copy_file_range */
#include <errno.h>
#include <fcntl.h>

#include "fs/fs_ops.h"

/*
 * Nobody sends an fsync after a synchronous write past the page cache; for
 * one that went through it the kernel does.
 */
static bool wants_sync(const struct fuse_write_in *wr)
{
	return (wr->flags & O_DSYNC) &&
	       ((wr->fh & FH_DIRECT) || (wr->flags & O_DIRECT));
}

static int write_locked(struct worker *w, struct node *node,
			const struct fuse_write_in *wr, const void *data)
{
	struct dataset *ds = node->view->ds;
	int rc = 0;

	if (!fs_has_no_privs(node))
		rc = fs_clear_privs(w, node,
				    wr->write_flags & FUSE_WRITE_KILL_SUIDGID);
	if (rc == 0)
		rc = file_write(ds, node->ino, wr->offset, data, wr->size, 0);
	if (rc == 0 && wants_sync(wr))
		rc = file_fsync(ds, node->ino);
	return rc;
}

/* Write path 1 of 9; next: file_write() */
void raw_write(struct worker *w, const struct fuse_in_header *in,
	       const void *arg, size_t len)
{
	struct node *node = fs_node(w, in->nodeid);
	const struct fuse_write_in *wr = arg;
	struct fuse_write_out out = {0};
	int rc;

	if (len < sizeof(*wr) || wr->size > len - sizeof(*wr))
		rc = -EINVAL;
	else if (wr->offset > (uint64_t)INT64_MAX - wr->size)
		rc = -EFBIG;
	else
		rc = fs_enter(w, node);
	if (rc == 0) {
		rc = write_locked(w, node, wr, wr + 1);
		fs_leave(w);
		out.size = wr->size;
	}
	session_reply(w, in, rc, &out, rc ? 0 : sizeof(out));
}

void raw_fsync(struct worker *w, const struct fuse_in_header *in,
	       const void *arg, size_t len)
{
	const struct node *node = fs_node(w, in->nodeid);
	int rc;

	(void)arg;
	(void)len;
	rc = fs_enter(w, node);
	if (rc == 0) {
		rc = file_fsync(node->view->ds, node->ino);
		fs_leave(w);
	}
	session_reply(w, in, rc, NULL, 0);
}

/*
 * For these the kernel does not say whether the caller may keep setuid bits:
 * root may.
 */
static int clear_privs_for(fuse_req_t req, struct node *node)
{
	if (fs_has_no_privs(node))
		return 0;
	return fs_clear_privs(worker_self(), node, fuse_req_ctx(req)->uid != 0);
}

/* What follows is a write as much as write(2): the kernel sends no FSYNC. */
static int sync_if_asked(const struct node *node,
			 const struct fuse_file_info *fi)
{
	return fi && fi->fh & FH_SYNC ? file_fsync(node->view->ds, node->ino)
				      : 0;
}

void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
		  off_t length, struct fuse_file_info *fi)
{
	struct worker *w = worker_self();
	struct node *node = fs_node(w, ino);
	int rc;

	if (offset < 0 || length <= 0)
		rc = -EINVAL;
	else if (length > INT64_MAX - offset)
		rc = -EFBIG;
	else
		rc = fs_enter(w, node);
	if (rc == 0) {
		rc = clear_privs_for(req, node);
		if (rc == 0)
			rc = file_fallocate(node->view->ds, node->ino, mode,
					    (uint64_t)offset, (uint64_t)length,
					    0);
		if (rc == 0)
			rc = sync_if_asked(node, fi);
		fs_leave(w);
	}
	fuse_reply_err(req, -rc);
}

#define COPY_MAX (UINT64_C(1) << 30) /* the answer has 32 bits */

void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out,
			size_t len, int flags)
{
	struct worker *w = worker_self();
	const struct node *from = fs_node(w, ino_in);
	struct node *to = fs_node(w, ino_out);
	uint64_t nr = 0;
	int rc;

	(void)fi_in;
	if (flags || off_in < 0 || off_out < 0)
		rc = -EINVAL;
	else if (from->kind != NODE_FILE || to->kind != NODE_FILE)
		rc = -EPERM;
	else
		rc = view_enter_both(fs_of(w)->table, w->slot, from->view,
				     to->view);
	if (rc == 0) {
		rc = clear_privs_for(req, to);
		if (rc == 0)
			rc = file_copy(from->view->ds, from->ino,
				       (uint64_t)off_in, to->view->ds, to->ino,
				       (uint64_t)off_out,
				       MIN_OF((uint64_t)len, COPY_MAX), 0, &nr);
		if (rc == 0)
			rc = sync_if_asked(to, fi_out);
		fs_leave(w);
	}
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_write(req, nr);
}
