/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_rename.c - rename(2)
 *
 * Up to four inodes change: two directories, what moves, what is replaced or
 * exchanged.  Some may be the same, so each is loaded once and referred to by
 * pointer.
 */
#include "store/file_internal.h"

#include <stdio.h>

#include "store/orphan.h"

#define RENAME_INODES 4u
/* deeper than this, a chain of parents is a ring: a damaged tree */
#define RENAME_DEPTH_MAX 100000u

struct rename {
	uint64_t old_dir, new_dir;
	struct dir_name old_name, new_name;
	unsigned flags;
	/* the body's */
	struct inode inode[RENAME_INODES]; /* each once */
	unsigned nr;
	struct inode *from, *to; /* directories */
	struct inode *moved;
	struct inode *target; /* NULL: new_name was free */
	struct dir_entry old_e, new_e;
	/* out */
	bool nothing; /* both names are of one inode */
	uint64_t replaced, again;
	bool last;
};

/* Load @ino, unless it is there already. */
static int rename_load(struct op *op, const struct dataset *ds,
		       struct rename *r, uint64_t ino, struct inode **inode)
{
	int rc;

	for (unsigned i = 0; i < r->nr; i++)
		if (r->inode[i].ino == ino) {
			*inode = &r->inode[i];
			return 0;
		}
	dbs_assert(r->nr < RENAME_INODES);
	rc = inode_get(op, ds, ino, &r->inode[r->nr]);
	if (rc == 0)
		*inode = &r->inode[r->nr++];
	return rc;
}

static int rename_load_entry(struct op *op, const struct dataset *ds,
			     struct rename *r, const struct dir_entry *e,
			     struct inode **inode)
{
	int rc = rename_load(op, ds, r, e->ino, inode);

	return rc == -ENOENT ? inode_damaged(ds, e->ino, "inode missing") : rc;
}

static int rename_find(struct op *op, const struct dataset *ds,
		       struct rename *r)
{
	bool found;
	int rc;

	r->nr = 0;
	r->target = NULL;
	r->nothing = false;
	rc = rename_load(op, ds, r, r->old_dir, &r->from);
	if (rc == 0)
		rc = rename_load(op, ds, r, r->new_dir, &r->to);
	if (rc)
		return rc;
	if (!S_ISDIR(r->from->mode) || !S_ISDIR(r->to->mode))
		return -ENOTDIR;
	if (r->to->nlink == 0)
		return -ENOENT;
	rc = dir_lookup(op, ds, r->old_dir, &r->old_name, &r->old_e);
	if (rc == 0)
		rc = rename_load_entry(op, ds, r, &r->old_e, &r->moved);
	if (rc == 0)
		rc = dir_find(op, ds, r->new_dir, &r->new_name, &found,
			      &r->new_e);
	if (rc)
		return rc;
	if (found)
		return rename_load_entry(op, ds, r, &r->new_e, &r->target);
	if (r->flags & RENAME_EXCHANGE)
		return -ENOENT;
	return r->new_e.offset == 0 ? -ENOSPC : 0;
}

/* Does @dir lie in @ancestor's subtree (or is it)?  -EINVAL if so. */
static int rename_check_loop(struct op *op, const struct dataset *ds,
			     const struct inode *ancestor, uint64_t dir)
{
	struct inode inode;
	int rc;

	if (!S_ISDIR(ancestor->mode))
		return 0;
	for (unsigned i = 0; i < RENAME_DEPTH_MAX; i++) {
		if (dir == ancestor->ino)
			return -EINVAL;
		if (dir == INO_ROOT)
			return 0;
		rc = inode_get_dir(op, ds, dir, &inode);
		if (rc == -ENOENT || rc == -ENOTDIR)
			return inode_damaged(ds, dir, "parent");
		if (rc)
			return rc;
		dir = inode.parent;
	}
	return inode_damaged(ds, dir, "ring of parents");
}

/* May @moved replace @target? */
static int rename_check_target(const struct inode *moved,
			       const struct inode *target)
{
	if (S_ISDIR(moved->mode)) {
		if (!S_ISDIR(target->mode))
			return -ENOTDIR;
		return target->size ? -ENOTEMPTY : 0;
	}
	return S_ISDIR(target->mode) ? -EISDIR : 0;
}

static int rename_check(struct op *op, const struct dataset *ds,
			struct rename *r)
{
	bool across = r->from != r->to;
	int rc = 0;

	if (r->target && r->flags & RENAME_NOREPLACE)
		return -EEXIST;
	if (across)
		rc = rename_check_loop(op, ds, r->moved, r->new_dir);
	if (rc == 0 && across && r->flags & RENAME_EXCHANGE)
		rc = rename_check_loop(op, ds, r->target, r->old_dir);
	if (rc)
		return rc;
	r->nothing = r->target == r->moved;
	if (r->nothing)
		return 0;
	/* the target is an ancestor of what moves: it is not empty */
	if (r->target == r->from && !(r->flags & RENAME_EXCHANGE))
		return -ENOTEMPTY;
	if (across && S_ISDIR(r->moved->mode) &&
	    r->to->nr_subdirs >= DIR_SUBDIRS_MAX)
		return -EMLINK;
	if (r->target && !(r->flags & RENAME_EXCHANGE))
		return rename_check_target(r->moved, r->target);
	return 0;
}

static int rename_touch(struct op *op, const struct dataset *ds,
			struct rename *r)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < r->nr; i++)
		rc = inode_touch(op, ds, r->inode[i].ino);
	if (rc == 0)
		rc = dir_touch(op, ds, r->old_dir, r->old_e.offset);
	if (rc == 0)
		rc = dir_touch(op, ds, r->new_dir, r->new_e.offset);
	if (rc == 0 && r->target && !(r->flags & RENAME_EXCHANGE)) {
		r->again = r->target->ino;
		rc = file_drop_name_touch(op, ds, r->target);
	}
	return rc;
}

static void rename_exchange(struct op *op, struct dataset *ds, struct rename *r,
			    struct timespec now)
{
	dir_put(op, ds, r->old_dir, r->old_e.offset, &r->old_name, r->target);
	dir_put(op, ds, r->new_dir, r->new_e.offset, &r->new_name, r->moved);
	dir_count(r->from, -1, r->moved->mode, now);
	dir_count(r->from, 1, r->target->mode, now);
	dir_count(r->to, -1, r->target->mode, now);
	dir_count(r->to, 1, r->moved->mode, now);
	if (S_ISDIR(r->target->mode))
		r->target->parent = r->old_dir;
	r->target->ctime = now;
}

static void rename_move(struct op *op, struct dataset *ds, struct rename *r,
			struct timespec now)
{
	dir_del(op, ds, r->old_dir, r->old_e.offset);
	dir_put(op, ds, r->new_dir, r->new_e.offset, &r->new_name, r->moved);
	dir_count(r->from, -1, r->moved->mode, now);
	if (r->target) {
		dir_count(r->to, -1, r->target->mode, now);
		r->last = file_drop_name_apply(op, ds, r->target, now);
		r->replaced = r->target->ino;
	}
	dir_count(r->to, 1, r->moved->mode, now);
}

static int rename_body(struct op *op, struct dataset *ds, void *arg)
{
	struct rename *r = arg;
	struct timespec now;
	int rc = rename_find(op, ds, r);

	if (rc == 0)
		rc = rename_check(op, ds, r);
	if (rc || r->nothing)
		return rc;
	rc = rename_touch(op, ds, r);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	now = os_time_now();
	if (r->flags & RENAME_EXCHANGE)
		rename_exchange(op, ds, r, now);
	else
		rename_move(op, ds, r, now);
	if (S_ISDIR(r->moved->mode))
		r->moved->parent = r->new_dir;
	r->moved->ctime = now;
	for (unsigned i = 0; i < r->nr; i++)
		inode_put(op, ds, &r->inode[i]);
	return 0;
}

static int rename_verify(const struct rename *r)
{
	const unsigned known = RENAME_NOREPLACE | RENAME_EXCHANGE;
	int rc = dir_name_verify(&r->old_name);

	if (rc == 0)
		rc = dir_name_verify(&r->new_name);
	if (rc)
		return rc;
	if (r->flags & ~known || r->flags == known)
		return -EINVAL;
	if (dir_name_is_dots(&r->old_name) || dir_name_is_dots(&r->new_name))
		return r->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	return 0;
}

int file_rename(struct dataset *ds, uint64_t old_dir, const char *old_name,
		size_t old_len, uint64_t new_dir, const char *new_name,
		size_t new_len, unsigned flags, uint64_t *replaced)
{
	struct rename r = {
		.old_dir = old_dir,
		.new_dir = new_dir,
		.old_name = {old_name, old_len},
		.new_name = {new_name, new_len},
		.flags = flags,
	};
	int rc = rename_verify(&r);

	if (rc)
		return rc;
	for (;;) {
		rc = op_change(ds, 7, 0, rename_body, &r);
		if (rc != FILE_AGAIN)
			break;
		rc = orphan_finish_truncate(ds, r.again);
		if (rc)
			return rc;
	}
	if (rc)
		return rc;
	if (r.last)
		orphan_purge_soon(ds, r.replaced);
	if (replaced)
		*replaced = r.replaced;
	return 0;
}
