/* SPDX-License-Identifier: Apache-2.0 */
/* op_read.c - read and lseek */
#include <errno.h>

#include "fs/fs_ops.h"

/* Into the thread's own buffer: nothing is allocated, nothing looked up. */
void raw_read(struct worker *w, const struct fuse_in_header *in,
	      const void *arg, size_t len)
{
	const struct node *node = fs_node(w, in->nodeid);
	const struct fuse_read_in *r = arg;
	size_t nr = 0;
	int rc;

	if (len < sizeof(*r) || r->size > SESSION_IO_MAX)
		rc = -EINVAL;
	else
		rc = fs_enter(w, node);
	if (rc == 0) {
		rc = file_read(node->view->ds, node->ino, r->offset, w->data,
			       r->size, &nr);
		fs_leave(w);
	}
	session_reply(w, in, rc, w->data, rc ? 0 : nr);
}

void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
	      struct fuse_file_info *fi)
{
	struct worker *w = worker_self();
	const struct node *node = fs_node(w, ino);
	uint64_t found = 0;
	int rc;

	(void)fi;
	rc = offset < 0 ? -ENXIO : fs_enter(w, node);
	if (rc == 0) {
		rc = file_seek(node->view->ds, node->ino, (uint64_t)offset,
			       whence, &found);
		fs_leave(w);
	}
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_lseek(req, (off_t)found);
}
