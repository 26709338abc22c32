/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_create.c - new inodes and new names; symlinks' targets
 */
#include "store/file_internal.h"

#include <stdlib.h>
#include <string.h>

#include "store/orphan.h"

/* ---- looking up --------------------------------------------------------- */

struct lookup {
	uint64_t dir;
	struct dir_name name;
	struct inode inode; /* out */
};

static int lookup_body(struct op *op, struct dataset *ds, void *arg)
{
	struct lookup *l = arg;
	struct dir_entry e;
	int rc = inode_get_dir(op, ds, l->dir, &l->inode);

	if (rc)
		return rc;
	if (dir_name_is_dots(&l->name)) {
		if (l->name.len == 1)
			return 0;
		return inode_get(op, ds, l->inode.parent, &l->inode);
	}
	rc = dir_lookup(op, ds, l->dir, &l->name, &e);
	if (rc)
		return rc;
	rc = inode_get(op, ds, e.ino, &l->inode);
	if (rc == 0)
		dirty_count(ds, &l->inode);
	/* an entry's inode exists */
	return rc == -ENOENT ? inode_damaged(ds, e.ino, "inode missing") : rc;
}

int file_lookup(struct dataset *ds, uint64_t dir, const char *name, size_t len,
		struct file_attr *attr)
{
	struct lookup l = {.dir = dir, .name = {name, len}};
	int rc = dir_name_verify(&l.name);

	if (rc == 0)
		rc = op_read(ds, lookup_body, &l);
	if (rc == 0)
		inode_attr(&l.inode, attr);
	return rc;
}

/* ---- making ------------------------------------------------------------- */

struct create {
	uint64_t dir;
	struct dir_name name; /* s NULL: without a name */
	const struct file_new *new;
	size_t target_len;
	struct open_entry *spare;
	struct inode inode; /* out */
};

static uint32_t target_chunks(size_t len)
{
	return (uint32_t)div_round_up(len, CHUNK_SIZE);
}

static struct inode new_inode(const struct dataset *ds, const struct create *c,
			      struct timespec now)
{
	const struct file_new *n = c->new;
	uint32_t recordsize = ds->properties.recordsize;
	uint8_t shift = DATASET_RECORD_SHIFT_MIN;

	while (UINT32_C(1) << shift < recordsize &&
	       shift < DATASET_RECORD_SHIFT_MAX)
		shift++;
	return (struct inode){
		.ino = ds->next_ino,
		.mode = n->mode & (S_IFMT | 07777),
		.uid = n->uid,
		.gid = n->gid,
		.nlink = !c->name.s	    ? 0
			 : S_ISDIR(n->mode) ? 2
					    : 1,
		.rdev_major = n->rdev_major,
		.rdev_minor = n->rdev_minor,
		.size = c->target_len,
		.atime = now,
		.mtime = now,
		.ctime = now,
		.btime = now,
		.parent = S_ISDIR(n->mode) ? c->dir : 0,
		.record_shift = shift,
	};
}

static int touch_target(struct op *op, const struct dataset *ds, uint64_t ino,
			size_t len)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < target_chunks(len); i++) {
		struct key key = key_of(ino, ITEM_SYMLINK, i);

		rc = btree_touch(op, &ds->tree, &key);
	}
	return rc;
}

static void put_target(struct op *op, struct dataset *ds, uint64_t ino,
		       const char *target, size_t len)
{
	for (uint32_t i = 0; i < target_chunks(len); i++) {
		struct key key = key_of(ino, ITEM_SYMLINK, i);
		size_t at = (size_t)i * CHUNK_SIZE;

		btree_put(op, &ds->tree, &key, target + at,
			  MIN_OF(CHUNK_SIZE, len - at));
	}
}

/* Where the name goes; @dir is the directory. */
static int create_find(struct op *op, const struct dataset *ds,
		       const struct create *c, struct inode *dir,
		       struct dir_entry *e)
{
	int rc = inode_get_dir(op, ds, c->dir, dir);

	if (rc)
		return rc;
	if (dir->nlink == 0)
		return -ENOENT;
	if (ds->next_ino > INO_MAX)
		return -ENOSPC;
	if (!c->name.s)
		return 0;
	rc = dir_lookup_free(op, ds, c->dir, &c->name, e);
	if (rc == 0 && S_ISDIR(c->new->mode) &&
	    dir->nr_subdirs >= DIR_SUBDIRS_MAX)
		return -EMLINK;
	return rc;
}

static int create_touch(struct op *op, const struct dataset *ds,
			const struct create *c, const struct dir_entry *e)
{
	uint64_t ino = ds->next_ino;
	int rc = inode_touch(op, ds, ino);

	if (rc == 0)
		rc = touch_target(op, ds, ino, c->target_len);
	if (rc)
		return rc;
	if (!c->name.s)
		return orphan_touch(op, ds, ino);
	rc = inode_touch(op, ds, c->dir);
	return rc ? rc : dir_touch(op, ds, c->dir, e->offset);
}

static int create_body(struct op *op, struct dataset *ds, void *arg)
{
	struct create *c = arg;
	const struct file_new *n = c->new;
	struct timespec now;
	struct dir_entry e;
	struct inode dir;
	int rc;

	rc = create_find(op, ds, c, &dir, &e);
	if (rc == 0)
		rc = create_touch(op, ds, c, &e);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	now = os_time_now();
	c->inode = new_inode(ds, c, now);
	ds->next_ino++;
	ds->nr_inodes++;
	inode_put(op, ds, &c->inode);
	put_target(op, ds, c->inode.ino, n->target, c->target_len);
	if (c->name.s) {
		dir_put(op, ds, c->dir, e.offset, &c->name, &c->inode);
		dir_count(&dir, 1, n->mode, now);
		inode_put(op, ds, &dir);
	} else {
		orphan_put_unlinked(op, ds, &c->inode);
	}
	if (n->opened)
		file_open_commit(ds, c->inode.ino, n->open_write, &c->spare);
	return 0;
}

static int create_verify(struct create *c)
{
	const struct file_new *n = c->new;

	switch (n->mode & S_IFMT) {
	case S_IFLNK:
		if (!n->target || !n->target[0])
			return -ENOENT;
		c->target_len = strnlen(n->target, SYMLINK_MAX + 1);
		return c->target_len > SYMLINK_MAX ? -ENAMETOOLONG : 0;
	case S_IFREG:
	case S_IFDIR:
	case S_IFCHR:
	case S_IFBLK:
	case S_IFIFO:
	case S_IFSOCK:
		return 0;
	default:
		return -EINVAL;
	}
}

static int create(struct dataset *ds, struct create *c, struct file_attr *attr)
{
	int rc = create_verify(c);

	if (rc)
		return rc;
	if (c->new->opened) {
		c->spare = file_open_reserve();
		if (!c->spare)
			return -ENOMEM;
	}
	rc = op_change(ds, 3 + target_chunks(c->target_len), 0, create_body, c);
	free(c->spare);
	if (rc == 0)
		inode_attr(&c->inode, attr);
	return rc;
}

int file_create(struct dataset *ds, uint64_t dir, const char *name, size_t len,
		const struct file_new *n, struct file_attr *attr)
{
	struct create c = {.dir = dir, .name = {name, len}, .new = n};
	int rc = dir_name_verify(&c.name);

	if (rc)
		return rc;
	if (dir_name_is_dots(&c.name))
		return -EEXIST;
	return create(ds, &c, attr);
}

int file_create_unnamed(struct dataset *ds, uint64_t dir,
			const struct file_new *n, struct file_attr *attr)
{
	struct file_new opened = *n;
	struct create c = {.dir = dir, .new = &opened};

	if (S_ISDIR(n->mode))
		return -EINVAL;
	/* nothing else would hold it */
	opened.opened = true;
	return create(ds, &c, attr);
}

/* ---- linking ------------------------------------------------------------ */

struct link {
	uint64_t ino, dir;
	struct dir_name name;
	struct inode inode; /* out */
};

static int link_find(struct op *op, const struct dataset *ds, struct link *l,
		     struct inode *dir, struct dir_entry *e)
{
	int rc = inode_get(op, ds, l->ino, &l->inode);

	if (rc == 0)
		rc = inode_get_dir(op, ds, l->dir, dir);
	if (rc)
		return rc;
	if (S_ISDIR(l->inode.mode))
		return -EPERM;
	if (dir->nlink == 0)
		return -ENOENT;
	if (l->inode.nlink >= FILE_LINKS_MAX)
		return -EMLINK;
	/* its orphan item would be of the wrong kind then */
	if (l->inode.nlink == 0 && l->inode.flags & INODE_TRUNCATING)
		return FILE_AGAIN;
	return dir_lookup_free(op, ds, l->dir, &l->name, e);
}

static int link_body(struct op *op, struct dataset *ds, void *arg)
{
	struct link *l = arg;
	struct timespec now;
	struct dir_entry e;
	struct inode dir;
	int rc = link_find(op, ds, l, &dir, &e);

	if (rc == 0)
		rc = inode_touch(op, ds, l->ino);
	if (rc == 0)
		rc = inode_touch(op, ds, l->dir);
	if (rc == 0)
		rc = dir_touch(op, ds, l->dir, e.offset);
	if (rc == 0 && l->inode.nlink == 0)
		rc = orphan_touch(op, ds, l->ino);
	if (rc == 0)
		rc = op_ready(op);
	if (rc)
		return rc;
	dataset_mark_dirty(op, ds);
	now = os_time_now();
	if (l->inode.nlink++ == 0)
		orphan_del(op, ds, l->ino);
	l->inode.ctime = now;
	inode_put(op, ds, &l->inode);
	dirty_count(ds, &l->inode);
	dir_put(op, ds, l->dir, e.offset, &l->name, &l->inode);
	dir_count(&dir, 1, l->inode.mode, now);
	inode_put(op, ds, &dir);
	return 0;
}

int file_link(struct dataset *ds, uint64_t ino, uint64_t dir, const char *name,
	      size_t len, struct file_attr *attr)
{
	struct link l = {.ino = ino, .dir = dir, .name = {name, len}};
	int rc = dir_name_verify(&l.name);

	if (rc)
		return rc;
	if (dir_name_is_dots(&l.name))
		return -EEXIST;
	for (;;) {
		rc = op_change(ds, 4, 0, link_body, &l);
		if (rc != FILE_AGAIN)
			break;
		rc = orphan_finish_truncate(ds, ino);
		if (rc)
			return rc;
	}
	if (rc == 0)
		inode_attr(&l.inode, attr);
	return rc;
}

/* ---- symlinks ----------------------------------------------------------- */

struct readlink_arg {
	uint64_t ino;
	char *buf;
	size_t cap;
};

static int readlink_body(struct op *op, struct dataset *ds, void *arg)
{
	const struct readlink_arg *r = arg;
	uint8_t chunk[CHUNK_SIZE];
	struct inode inode;
	size_t done = 0;
	int rc = inode_get(op, ds, r->ino, &inode);

	if (rc)
		return rc;
	if (!S_ISLNK(inode.mode))
		return -EINVAL;
	if (inode.size > SYMLINK_MAX)
		return inode_damaged(ds, r->ino, "symlink");
	if (inode.size >= r->cap)
		return -ENAMETOOLONG;
	for (uint32_t i = 0; i < target_chunks(inode.size); i++) {
		struct key key = key_of(r->ino, ITEM_SYMLINK, i);
		size_t len;

		rc = btree_get(op, &ds->tree, &key, chunk, sizeof(chunk), &len);
		if (rc == -EAGAIN)
			return rc;
		if (rc || len != MIN_OF(CHUNK_SIZE, inode.size - done))
			return inode_damaged(ds, r->ino, "symlink");
		memcpy(r->buf + done, chunk, len);
		done += len;
	}
	r->buf[done] = 0;
	return 0;
}

int file_readlink(struct dataset *ds, uint64_t ino, char *buf, size_t cap)
{
	struct readlink_arg r = {.ino = ino, .buf = buf, .cap = cap};

	return op_read(ds, readlink_body, &r);
}
