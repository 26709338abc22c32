/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dir.h - names in a directory
 *
 * Below: btree, inode, namehash.  Above: file_create.c, file_unlink.c,
 * file_rename.c, file_readdir.c.
 *
 * An entry's place is its name's hash and a number that tells collisions
 * apart; removing an entry leaves the others where they are.  So the place is
 * a readdir cookie that stays good.
 *
 * Invariants:
 *  D1  names in a directory are unique; '.' and '..' have no items.
 *  D2  a directory's inode.size is its number of entries, nr_subdirs that of
 *      directories among them, nlink 2 + nr_subdirs.
 */
#ifndef DBS_STORE_DIR_H
#define DBS_STORE_DIR_H

#include "store/inode.h"

#define DIR_COOKIE_DOT	  UINT64_C(1)
#define DIR_COOKIE_DOTDOT UINT64_C(2)
#define DIR_SUBDIRS_MAX	  (UINT32_MAX - 16)

/* A name and its length, as the caller gave it. */
struct dir_name {
	const char *s;
	size_t len;
};

struct dir_entry {
	uint64_t offset; /* key and cookie */
	uint64_t ino;
	uint8_t type; /* mode >> 12, as DT_* */
	uint8_t name_len;
	const char *name; /* in the node; only until the lock is dropped */
};

/** 0, -ENAMETOOLONG or -EINVAL. */
int dir_name_verify(const struct dir_name *name);
/** Is it '.' or '..'? */
bool dir_name_is_dots(const struct dir_name *name);

/** Errors: -EUCLEAN (logged) */
int dir_entry_load(const struct dataset *ds, const struct btree_cursor *cur,
		   struct dir_entry *e);

/**
 * Find @name, or the place where it would go.
 * @found: out
 * @e: out; not found: only offset, where 0 means that the place is full
 * Errors: -EAGAIN; -EUCLEAN
 */
int dir_find(struct op *op, const struct dataset *ds, uint64_t dir,
	     const struct dir_name *name, bool *found, struct dir_entry *e);
/** dir_find() of a name that must exist.  Errors: -ENOENT */
int dir_lookup(struct op *op, const struct dataset *ds, uint64_t dir,
	       const struct dir_name *name, struct dir_entry *e);
/** dir_find() of a name that must not.  Errors: -EEXIST; -ENOSPC full */
int dir_lookup_free(struct op *op, const struct dataset *ds, uint64_t dir,
		    const struct dir_name *name, struct dir_entry *e);

int dir_touch(struct op *op, const struct dataset *ds, uint64_t dir,
	      uint64_t offset);
/* The apply half; the caller counts (D2) and puts the directory's inode. */
void dir_put(struct op *op, struct dataset *ds, uint64_t dir, uint64_t offset,
	     const struct dir_name *name, const struct inode *inode);
void dir_del(struct op *op, struct dataset *ds, uint64_t dir, uint64_t offset);

/** @dir gained (@by 1) or lost (-1) the entry of an inode with @mode. */
void dir_count(struct inode *dir, int by, uint32_t mode, struct timespec now);

#endif
