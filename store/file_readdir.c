/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_readdir.c - listing a directory
 *
 * Entries are copied in batches under the lock and handed out without it.
 */
#include "store/file_internal.h"

#include <stdlib.h>
#include <string.h>

#define READDIR_BATCH 64u

struct readdir_slot {
	uint64_t cookie;
	uint8_t len;
	char name[NAME_LEN_MAX];
	struct file_attr attr;
};

struct readdir {
	uint64_t dir;
	uint64_t cookie;
	bool want_attr;
	/* out */
	unsigned nr;
	bool end;
	struct readdir_slot slot[READDIR_BATCH];
};

static int readdir_fill(struct op *op, const struct dataset *ds,
			struct readdir *r, uint64_t cookie, const char *name,
			size_t len, uint64_t ino, uint32_t mode)
{
	struct readdir_slot *s = &r->slot[r->nr];
	struct inode inode;

	s->cookie = cookie;
	s->len = (uint8_t)len;
	memcpy(s->name, name, len);
	if (r->want_attr) {
		int rc = inode_get(op, ds, ino, &inode);

		if (rc == -ENOENT)
			return inode_damaged(ds, ino, "inode missing");
		if (rc)
			return rc;
		dirty_count(ds, &inode);
		inode_attr(&inode, &s->attr);
	} else {
		s->attr = (struct file_attr){.ino = ino, .mode = mode};
	}
	r->nr++;
	return 0;
}

static int readdir_dots(struct op *op, const struct dataset *ds,
			struct readdir *r, const struct inode *dir)
{
	int rc = 0;

	if (r->cookie < DIR_COOKIE_DOT)
		rc = readdir_fill(op, ds, r, DIR_COOKIE_DOT, ".", 1, dir->ino,
				  S_IFDIR);
	if (rc == 0 && r->cookie < DIR_COOKIE_DOTDOT) {
		/* a removed directory's parent may be gone too */
		uint64_t up = dir->nlink ? dir->parent : dir->ino;

		rc = readdir_fill(op, ds, r, DIR_COOKIE_DOTDOT, "..", 2, up,
				  S_IFDIR);
	}
	return rc;
}

static int readdir_body(struct op *op, struct dataset *ds, void *arg)
{
	struct readdir *r = arg;
	uint64_t first = MAX_OF(r->cookie, DIR_COOKIE_DOTDOT) + 1;
	struct key key = key_of(r->dir, ITEM_DIRENT, first);
	struct btree_cursor cur;
	struct inode dir;
	int rc;

	r->nr = 0;
	r->end = first > OFFSET_MAX;
	rc = inode_get_dir(op, ds, r->dir, &dir);
	if (rc == 0)
		rc = readdir_dots(op, ds, r, &dir);
	if (rc || r->end)
		return rc;
	for (rc = btree_seek(op, &ds->tree, &key, &cur); rc == 0;
	     rc = btree_next(op, &ds->tree, &cur)) {
		struct dir_entry e;

		r->end = cur.key.ino != r->dir || cur.key.type != ITEM_DIRENT;
		if (r->end || r->nr == READDIR_BATCH) {
			btree_release(op, &cur);
			return 0;
		}
		rc = dir_entry_load(ds, &cur, &e);
		if (rc == 0)
			rc = readdir_fill(op, ds, r, e.offset, e.name,
					  e.name_len, e.ino,
					  (uint32_t)e.type << 12);
		if (rc) {
			btree_release(op, &cur);
			return rc;
		}
	}
	r->end = rc == -ENOENT;
	return r->end ? 0 : rc;
}

int file_readdir(struct dataset *ds, uint64_t dir, uint64_t cookie,
		 bool want_attr, file_readdir_fn *fn, void *arg)
{
	struct readdir *r = malloc(sizeof(*r));
	int rc = 0, stop = 0;

	if (!r)
		return -ENOMEM;
	r->dir = dir;
	r->cookie = cookie;
	r->want_attr = want_attr;
	do {
		rc = op_read(ds, readdir_body, r);
		for (unsigned i = 0; rc == 0 && !stop && i < r->nr; i++) {
			const struct readdir_slot *s = &r->slot[i];

			stop = fn(arg, s->name, s->len, &s->attr, s->cookie);
			r->cookie = s->cookie;
		}
	} while (rc == 0 && !stop && !r->end);
	free(r);
	return rc;
}
