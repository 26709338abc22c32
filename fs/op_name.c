/* SPDX-License-Identifier: Apache-2.0 */
/* op_name.c - lookup, forget, and all that makes, moves or removes names */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/fs_ops.h"

/* -- lookup --------------------------------------------------------------- */

/* "There is no such name", which the kernel may remember. */
static const struct fuse_entry_out no_entry = {.entry_valid = FS_VALID_S};

static int lookup_file(struct worker *w, const struct node *dir,
		       const char *name, struct fuse_entry_out *out)
{
	struct view *view = dir->view;
	struct file_attr a;
	int rc;

	rc = fs_enter(w, dir);
	if (rc)
		return rc;
	rc = file_lookup(view->ds, dir->ino, name, strlen(name), &a);
	if (rc == 0)
		rc = fs_entry_fill(w, view, &a, out);
	fs_leave(w);
	if (rc == -ENOENT) {
		*out = no_entry;
		rc = 0;
	}
	return rc;
}

/* One of the directories that only the mount has. */
static int lookup_virtual(struct worker *w, const struct node *dir,
			  uint64_t ino, struct fuse_entry_out *out)
{
	struct node *node;
	int rc;

	rc = node_lookup(fs_of(w)->table, dir->view, ino, &node);
	if (rc)
		return rc;
	*out = (struct fuse_entry_out){
		.nodeid = node_id(node),
		.generation = dir->view->generation,
		.entry_valid = FS_VALID_S,
	};
	fs_virtual_attr(fs_of(w), node, &out->attr);
	return 0;
}

/* The root of @full, whose last part must be @own and no alias for it. */
static int lookup_root(struct worker *w, const char *full, const char *own,
		       struct fuse_entry_out *out)
{
	struct fs *fs = fs_of(w);
	struct dataset_info info;
	struct dataset *ds;
	struct file_attr a;
	struct view *view;
	const char *at;
	int rc;

	rc = dataset_open(fs->pool, full, &ds);
	if (rc)
		return rc == -EINVAL ? -ENOENT : rc;
	dataset_info(ds, &info);
	at = strchr(info.name, '@');
	if (strcmp(at ? at + 1 : info.name, own)) {
		dataset_put(ds);
		return -ENOENT;
	}
	rc = view_open(fs->table, ds, &view);
	if (rc)
		return rc;
	rc = view_enter(fs->table, w->slot, view);
	if (rc == 0) {
		rc = file_getattr(view->ds, INO_DATASET_ROOT, &a);
		if (rc == 0)
			rc = fs_entry_fill(w, view, &a, out);
		fs_leave(w);
	}
	view_close(fs->table, view);
	return rc;
}

static int lookup_snapshot(struct worker *w, const struct node *dir,
			   const char *name, struct fuse_entry_out *out)
{
	char full[DATASET_FULL_NAME_MAX];
	struct dataset_info info;

	if (dataset_name_problem(name))
		return -ENOENT;
	dataset_info(dir->view->ds, &info);
	if ((size_t)snprintf(full, sizeof(full), "%s@%s", info.name, name) >=
	    sizeof(full))
		return -ENOENT;
	return lookup_root(w, full, name, out);
}

void raw_lookup(struct worker *w, const struct fuse_in_header *in,
		const void *arg, size_t len)
{
	const struct node *dir = fs_node(w, in->nodeid);
	struct fuse_entry_out out = {0};
	const char *name = arg;
	int rc = -ENOENT;

	(void)len;
	switch (dir->kind) {
	case NODE_TOP:
		if (!dataset_name_problem(name))
			rc = lookup_root(w, name, name, &out);
		break;
	case NODE_FILE:
		if (fs_name_is_reserved(dir, name))
			rc = lookup_virtual(w, dir, INO_DBS, &out);
		else
			rc = lookup_file(w, dir, name, &out);
		break;
	case NODE_DBS:
		if (strcmp(name, "snapshot") == 0)
			rc = lookup_virtual(w, dir, INO_SNAPSHOTS, &out);
		break;
	case NODE_SNAPSHOTS:
		rc = lookup_snapshot(w, dir, name, &out);
		break;
	}
	if (session_reply(w, in, rc, &out, rc ? 0 : sizeof(out)) == -ENOENT &&
	    rc == 0)
		fs_entry_undo(w, &out);
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nr)
{
	struct worker *w = worker_self();

	node_forget(fs_of(w)->table, fs_node(w, ino), nr);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *list)
{
	struct worker *w = worker_self();

	for (size_t i = 0; i < count; i++)
		node_forget(fs_of(w)->table, fs_node(w, list[i].ino),
			    list[i].nlookup);
	fuse_reply_none(req);
}

/* -- new names ------------------------------------------------------------ */

/* mknod, mkdir and symlink differ only in what is in @n. */
static void make(fuse_req_t req, fuse_ino_t parent, const char *name,
		 struct file_new *n)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);
	struct worker *w = worker_self();
	const struct node *dir = fs_node(w, parent);
	struct fuse_entry_out out = {0};
	struct file_new rule;
	struct file_attr a;
	int rc;

	if (fs_name_is_reserved(dir, name)) {
		fuse_reply_err(req, EEXIST);
		return;
	}
	rc = fs_enter(w, dir);
	if (rc) {
		fuse_reply_err(req, -rc);
		return;
	}
	rc = fs_new_fill(dir->view, dir->ino, ctx->uid, ctx->gid, n->mode,
			 &rule);
	if (rc == 0) {
		rule.target = n->target;
		rule.rdev_major = n->rdev_major;
		rule.rdev_minor = n->rdev_minor;
		rc = file_create(dir->view->ds, dir->ino, name, strlen(name),
				 &rule, &a);
	}
	if (rc == 0)
		rc = fs_entry_fill(w, dir->view, &a, &out);
	fs_leave(w);
	fs_reply_entry(req, w, rc, &out);
}

void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev)
{
	/* rdev is what the kernel sent: see fs_attr_fill() */
	struct file_new n = {
		.mode = mode,
		.rdev_major = (uint32_t)(rdev >> 8 & 0xfff),
		.rdev_minor =
			(uint32_t)((rdev & 0xff) | (rdev >> 12 & 0xfff00)),
	};

	if (S_ISREG(mode) || S_ISFIFO(mode) || S_ISSOCK(mode))
		n.rdev_major = n.rdev_minor = 0;
	make(req, parent, name, &n);
}

void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct file_new n = {.mode = S_IFDIR | (mode & 07777)};

	make(req, parent, name, &n);
}

void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name)
{
	struct file_new n = {.mode = S_IFLNK | 0777, .target = target};

	make(req, parent, name, &n);
}

void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent,
	     const char *new_name)
{
	struct worker *w = worker_self();
	const struct node *node = fs_node(w, ino);
	const struct node *dir = fs_node(w, new_parent);
	struct fuse_entry_out out = {0};
	struct file_attr a;
	int rc;

	if (dir->kind != NODE_FILE || node->kind != NODE_FILE)
		rc = -EPERM;
	else if (node->view->id != dir->view->id)
		rc = -EXDEV;
	else if (node->view != dir->view)
		rc = -ESTALE;
	else if (fs_name_is_reserved(dir, new_name))
		rc = -EEXIST;
	else
		rc = fs_enter(w, node);
	if (rc == 0) {
		rc = file_link(node->view->ds, node->ino, dir->ino, new_name,
			       strlen(new_name), &a);
		if (rc == 0)
			rc = fs_entry_fill(w, node->view, &a, &out);
		fs_leave(w);
	}
	fs_reply_entry(req, w, rc, &out);
}

/* -- old names ------------------------------------------------------------ */

/*
 * The kernel may be about to open what @name means, and find it gone: for that
 * it would tell the caller, instead of looking the name up again.  It keeps
 * others away from the name meanwhile.
 */
static int hold_named(struct worker *w, const struct node *dir,
		      const char *name)
{
	struct file_attr a;
	int rc;

	rc = file_lookup(dir->view->ds, dir->ino, name, strlen(name), &a);
	if (rc)
		return rc == -ENOENT ? 0 : rc;
	return node_hold(fs_of(w)->table, dir->view, a.ino);
}

/* What has @name got a new ctime by a rename. */
static void forget_named(struct worker *w, const struct node *dir,
			 const char *name)
{
	struct fs *fs = fs_of(w);
	struct file_attr a;
	uint64_t id;

	if (file_lookup(dir->view->ds, dir->ino, name, strlen(name), &a))
		return;
	id = node_find_id(fs->table, dir->view->id, a.ino);
	if (id)
		fs_forget_attr(w, fs_node(w, id));
}

typedef int remove_fn(struct dataset *ds, uint64_t dir, const char *name,
		      size_t len, uint64_t *ino);

static void take_away(fuse_req_t req, fuse_ino_t parent, const char *name,
		      remove_fn *fn)
{
	struct worker *w = worker_self();
	const struct node *dir = fs_node(w, parent);
	int rc;

	rc = fs_name_is_reserved(dir, name) ? -EPERM : fs_enter(w, dir);
	if (rc == 0) {
		rc = hold_named(w, dir, name);
		if (rc == 0)
			rc = fn(dir->view->ds, dir->ino, name, strlen(name),
				NULL);
		fs_leave(w);
	}
	fuse_reply_err(req, -rc);
}

void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	take_away(req, parent, name, file_unlink);
}

void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	take_away(req, parent, name, file_rmdir);
}

static int rename_check(const struct node *from, const char *name,
			const struct node *to, const char *new_name,
			unsigned flags)
{
	if (flags & ~(unsigned)(RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL; /* RENAME_WHITEOUT too */
	if (from->kind != NODE_FILE)
		return -EPERM; /* datasets move by 'dbs mv' */
	if (to->kind != NODE_FILE || from->view->id != to->view->id)
		return -EXDEV;
	if (from->view != to->view)
		return -ESTALE;
	if (fs_name_is_reserved(from, name) ||
	    fs_name_is_reserved(to, new_name))
		return -EPERM;
	return 0;
}

void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t new_parent, const char *new_name, unsigned flags)
{
	struct worker *w = worker_self();
	const struct node *from = fs_node(w, parent);
	const struct node *to = fs_node(w, new_parent);
	int rc;

	rc = rename_check(from, name, to, new_name, flags);
	if (rc == 0)
		rc = fs_enter(w, from);
	if (rc == 0) {
		rc = hold_named(w, to, new_name);
		if (rc == 0)
			rc = file_rename(from->view->ds, from->ino, name,
					 strlen(name), to->ino, new_name,
					 strlen(new_name), flags, NULL);
		if (rc == 0)
			forget_named(w, to, new_name);
		if (rc == 0 && flags & RENAME_EXCHANGE)
			forget_named(w, from, name);
		fs_leave(w);
	}
	fuse_reply_err(req, -rc);
}

void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	struct worker *w = worker_self();
	const struct node *node = fs_node(w, ino);
	char target[PATH_MAX + 1];
	int rc;

	rc = fs_enter(w, node);
	if (rc == 0) {
		rc = file_readlink(node->view->ds, node->ino, target,
				   sizeof(target));
		fs_leave(w);
	}
	if (rc)
		fuse_reply_err(req, -rc);
	else
		fuse_reply_readlink(req, target);
}
