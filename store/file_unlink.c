/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_unlink.c - removing names
 */
#include "store/file_internal.h"

#include "store/orphan.h"

struct unlink {
	uint64_t dir;
	struct dir_name name;
	bool rmdir;
	uint64_t ino; /* out */
	bool last;    /* out: it has no name any more */
};

static int unlink_check(const struct unlink *u, const struct inode *inode)
{
	if (!u->rmdir)
		return S_ISDIR(inode->mode) ? -EISDIR : 0;
	if (!S_ISDIR(inode->mode))
		return -ENOTDIR;
	return inode->size ? -ENOTEMPTY : 0;
}

static int unlink_find(struct op *op, const struct dataset *ds,
		       struct unlink *u, struct inode *dir, struct inode *inode,
		       struct dir_entry *e)
{
	int rc = inode_get_dir(op, ds, u->dir, dir);

	if (rc == 0)
		rc = dir_lookup(op, ds, u->dir, &u->name, e);
	if (rc)
		return rc;
	u->ino = e->ino;
	rc = inode_get(op, ds, e->ino, inode);
	if (rc == -ENOENT)
		return inode_damaged(ds, e->ino, "inode missing");
	return rc ? rc : unlink_check(u, inode);
}

int file_drop_name_touch(struct op *op, const struct dataset *ds,
			 const struct inode *inode)
{
	int rc = inode_touch(op, ds, inode->ino);

	if (rc)
		return rc;
	if (!S_ISDIR(inode->mode) && inode->nlink > 1)
		return 0;
	if (inode->flags & INODE_TRUNCATING)
		return FILE_AGAIN;
	return orphan_touch(op, ds, inode->ino);
}

bool file_drop_name_apply(struct op *op, struct dataset *ds,
			  struct inode *inode, struct timespec now)
{
	inode->ctime = now;
	if (!S_ISDIR(inode->mode) && inode->nlink > 1) {
		inode->nlink--;
		return false;
	}
	inode->nlink = 0;
	orphan_put_unlinked(op, ds, inode);
	return true;
}

static int unlink_body(struct op *op, struct dataset *ds, void *arg)
{
	struct unlink *u = arg;
	struct inode dir, inode;
	struct timespec now;
	struct dir_entry e;
	int rc;

	rc = unlink_find(op, ds, u, &dir, &inode, &e);
	if (rc == 0)
		rc = file_drop_name_touch(op, ds, &inode);
	if (rc == 0)
		rc = inode_touch(op, ds, u->dir);
	if (rc == 0)
		rc = dir_touch(op, ds, u->dir, e.offset);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	now = os_time_now();
	dir_del(op, ds, u->dir, e.offset);
	dir_count(&dir, -1, inode.mode, now);
	inode_put(op, ds, &dir);
	u->last = file_drop_name_apply(op, ds, &inode, now);
	inode_put(op, ds, &inode);
	return 0;
}

static int unlink_name(struct dataset *ds, struct unlink *u, uint64_t *ino)
{
	int rc = dir_name_verify(&u->name);

	if (rc)
		return rc;
	for (;;) {
		rc = op_change(ds, 4, OP_USE_RESERVE, unlink_body, u);
		if (rc != FILE_AGAIN)
			break;
		rc = orphan_finish_truncate(ds, u->ino);
		if (rc)
			return rc;
	}
	if (rc)
		return rc;
	if (u->last)
		orphan_purge_soon(ds, u->ino);
	if (ino)
		*ino = u->ino;
	return 0;
}

int file_unlink(struct dataset *ds, uint64_t dir, const char *name, size_t len,
		uint64_t *ino)
{
	struct unlink u = {.dir = dir, .name = {name, len}};

	if (dir_name_is_dots(&u.name))
		return -EISDIR;
	return unlink_name(ds, &u, ino);
}

int file_rmdir(struct dataset *ds, uint64_t dir, const char *name, size_t len,
	       uint64_t *ino)
{
	struct unlink u = {.dir = dir, .name = {name, len}, .rmdir = true};

	if (dir_name_is_dots(&u.name))
		return len == 1 ? -EINVAL : -ENOTEMPTY;
	return unlink_name(ds, &u, ino);
}
