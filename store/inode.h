/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inode.h - one inode, as it is in a dataset's tree and as C sees it
 *
 * Below: btree.  Above: file*.c, dir*.c, dirty*.c, xattr.c, orphan.c.
 *
 * Nothing is cached here: an inode is read from its item, changed and put
 * back within one op, under the dataset's lock.
 *
 * Invariants:
 *  I1  what inode_get() returned has a known type and a recordsize that
 *      format.h allows; nobody checks that again.
 *  I2  the bytes of a file's records beyond its size are zeros.
 */
#ifndef DBS_STORE_INODE_H
#define DBS_STORE_INODE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "store/dataset_internal.h"
#include "store/file.h"

struct inode {
	uint64_t ino;
	uint32_t mode, uid, gid, nlink;
	uint32_t rdev_major, rdev_minor;
	uint64_t size;
	uint64_t nr_blocks;
	struct timespec atime, mtime, ctime, btime;
	uint64_t parent; /* directories */
	uint32_t flags;	 /* INODE_* */
	uint32_t nr_xattrs;
	uint32_t nr_subdirs; /* directories */
	uint8_t record_shift;
	uint64_t nr_dirty; /* in memory only: see dirty_count() */
};

/** From the bytes of its item.  Returns NULL, or what is wrong with them. */
const char *inode_decode(uint64_t ino, const void *value, size_t len,
			 struct inode *inode);
/** Errors: -ENOENT; -EAGAIN; -EUCLEAN a damaged item (logged) */
int inode_get(struct op *op, const struct dataset *ds, uint64_t ino,
	      struct inode *inode);
/** inode_get(), and it must be a directory (-ENOTDIR). */
int inode_get_dir(struct op *op, const struct dataset *ds, uint64_t ino,
		  struct inode *inode);
/** inode_get(), and it must be a regular file (-EISDIR, -EINVAL). */
int inode_get_file(struct op *op, const struct dataset *ds, uint64_t ino,
		   struct inode *inode);
int inode_touch(struct op *op, const struct dataset *ds, uint64_t ino);
/** Apply half; its key was touched. */
void inode_put(struct op *op, struct dataset *ds, const struct inode *inode);
void inode_del(struct op *op, struct dataset *ds, uint64_t ino);

/** The bytes on disk; for who makes a dataset's root directory. */
struct inode_item inode_item_of(const struct inode *inode);
/** The root directory of a new, empty dataset, made at @now. */
struct inode inode_new_root(uint8_t record_shift, struct timespec now);

/**
 * What stat(2) is told.  Dirty records count as if they were whole: a file
 * with data must not say that it has no blocks, for tar takes it for a hole.
 */
void inode_attr(const struct inode *inode, struct file_attr *attr);

static inline uint32_t inode_recordsize(const struct inode *inode)
{
	return UINT32_C(1) << inode->record_shift;
}

/** An item of @ds is not what it must be: log it once, return -EUCLEAN. */
int inode_damaged(const struct dataset *ds, uint64_t ino, const char *what);

#endif
