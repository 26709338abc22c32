/* SPDX-License-Identifier: Apache-2.0 */
/* op_open.c - open, create, O_TMPFILE and release */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/fs_ops.h"

static bool for_writing(uint32_t flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* The answer did not reach the kernel: no RELEASE will come. */
static void undo_open(struct node *node, uint32_t flags)
{
	atomic_fetch_sub(&node->nr_open, 1);
	file_close(node->view->ds, node->ino, for_writing(flags));
}

/* -- open ----------------------------------------------------------------- */

static bool is_read_only(const struct view *view)
{
	struct dataset_info info;

	if (view->snapshot)
		return true;
	dataset_info(view->ds, &info);
	return info.properties.readonly;
}

static int open_locked(struct worker *w, struct node *node, uint32_t flags,
		       bool kill_setid)
{
	struct file_attr a = {.size = 0};
	unsigned mask = FILE_SET_SIZE;
	int rc;

	if (for_writing(flags) && is_read_only(node->view))
		return -EROFS;
	rc = file_open(node->view->ds, node->ino, for_writing(flags));
	if (rc || !(flags & O_TRUNC))
		return rc;
	if (kill_setid)
		mask |= FILE_KILL_PRIV;
	rc = file_setattr(node->view->ds, node->ino, mask, &a, NULL);
	if (rc)
		file_close(node->view->ds, node->ino, for_writing(flags));
	else if (kill_setid && !fs_has_no_privs(node))
		fs_forget_attr(w, node);
	return rc;
}

void raw_open(struct worker *w, const struct fuse_in_header *in,
	      const void *arg, size_t len)
{
	struct node *node = fs_node(w, in->nodeid);
	const struct fuse_open_in *o = arg;
	struct fuse_open_out out;
	int rc;

	rc = len < sizeof(*o) ? -EINVAL : fs_enter(w, node);
	if (rc == 0) {
		rc = open_locked(w, node, o->flags,
				 o->open_flags & FUSE_OPEN_KILL_SUIDGID);
		fs_leave(w);
	}
	if (rc) {
		session_reply(w, in, rc, NULL, 0);
		return;
	}
	fs_open_fill(o->flags, true, &out);
	atomic_fetch_add(&node->nr_open, 1);
	if (session_reply(w, in, 0, &out, sizeof(out)))
		undo_open(node, o->flags);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct node *node = fs_node(worker_self(), ino);

	/* also on a stale view: the store counts opens by inode number */
	if (fi->fh & FH_HELD) {
		atomic_fetch_sub(&node->nr_open, 1);
		file_close(node->view->ds, node->ino, fi->fh & FH_WRITE);
	}
	fuse_reply_err(req, 0);
}

/* -- create --------------------------------------------------------------- */

struct created {
	struct fuse_entry_out entry;
	struct fuse_open_out open;
};

static int create_locked(struct worker *w, const struct node *dir,
			 const struct fuse_in_header *in,
			 const struct fuse_create_in *c, const char *name,
			 struct fuse_entry_out *entry)
{
	struct dataset *ds = dir->view->ds;
	struct file_attr a;
	struct file_new n;
	int rc;

	rc = fs_new_fill(dir->view, dir->ino, in->uid, in->gid, c->mode, &n);
	if (rc)
		return rc;
	n.mode = S_IFREG | (n.mode & 07777);
	n.opened = true;
	n.open_write = for_writing(c->flags);
	if (name)
		rc = file_create(ds, dir->ino, name, strlen(name), &n, &a);
	else
		rc = file_create_unnamed(ds, dir->ino, &n, &a);
	if (rc)
		return rc;
	rc = fs_entry_fill(w, dir->view, &a, entry);
	if (rc)
		file_close(ds, a.ino, n.open_write);
	return rc;
}

/* The name appeared between the kernel's lookup and the create. */
static int open_existing(struct worker *w, const struct node *dir,
			 const struct fuse_create_in *c, const char *name,
			 struct fuse_entry_out *entry)
{
	struct file_attr a;
	int rc;

	rc = file_lookup(dir->view->ds, dir->ino, name, strlen(name), &a);
	if (rc)
		return rc;
	if (!S_ISREG(a.mode))
		return -ESTALE; /* the kernel looks it up again */
	rc = fs_entry_fill(w, dir->view, &a, entry);
	if (rc)
		return rc;
	rc = open_locked(w, fs_node(w, entry->nodeid), c->flags,
			 c->open_flags & FUSE_OPEN_KILL_SUIDGID);
	if (rc)
		fs_entry_undo(w, entry);
	return rc;
}

/* @name NULL: a file without one. */
static void create(struct worker *w, const struct fuse_in_header *in,
		   const struct fuse_create_in *c, const char *name)
{
	const struct node *dir = fs_node(w, in->nodeid);
	struct created out = {0};
	struct node *node;
	int rc;

	if (name && fs_name_is_reserved(dir, name))
		rc = -EEXIST;
	else
		rc = fs_enter(w, dir);
	if (rc == 0) {
		rc = create_locked(w, dir, in, c, name, &out.entry);
		if (rc == -EEXIST && name && !(c->flags & O_EXCL))
			rc = open_existing(w, dir, c, name, &out.entry);
		fs_leave(w);
	}
	if (rc) {
		session_reply(w, in, rc, NULL, 0);
		return;
	}
	node = fs_node(w, out.entry.nodeid);
	fs_open_fill(c->flags, true, &out.open);
	atomic_fetch_add(&node->nr_open, 1);
	if (session_reply(w, in, 0, &out, sizeof(out))) {
		undo_open(node, c->flags);
		fs_entry_undo(w, &out.entry);
	}
}

void raw_create(struct worker *w, const struct fuse_in_header *in,
		const void *arg, size_t len)
{
	const struct fuse_create_in *c = arg;

	if (len <= sizeof(*c))
		session_reply(w, in, -EINVAL, NULL, 0);
	else
		create(w, in, c, (const char *)(c + 1));
}

void raw_tmpfile(struct worker *w, const struct fuse_in_header *in,
		 const void *arg, size_t len)
{
	const struct fuse_create_in *c = arg;

	if (len < sizeof(*c))
		session_reply(w, in, -EINVAL, NULL, 0);
	else
		create(w, in, c, NULL);
}
