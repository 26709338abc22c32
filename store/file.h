/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.h - the files inside a dataset, by inode number
 *
 * Below: the dataset's tree, records, txg.  Above: fs/, tests/.
 *
 * The store checks what keeps the tree sound (types, link counts, emptiness,
 * limits); permissions are the kernel's, through default_permissions.
 *
 * Invariants:
 *  F1  each call is one operation: after a crash it happened or it did not.
 *      Only file_copy() is as many as it takes; a crash may leave a first part
 *      of what it copies.
 *  F2  calls on a snapshot that would change it give -EROFS; on a destroyed
 *      or restored dataset's old handle -ESTALE.
 *  F3  an inode lives while a name, an open (file_open) or a hold (file_hold)
 *      keeps it.
 *
 * Errors common to all: see pool.h; -ENOENT the inode is gone; -EROFS;
 * -EDQUOT; -EFBIG.
 */
#ifndef DBS_STORE_FILE_H
#define DBS_STORE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

#include "store/dataset.h"

#define FILE_SIZE_MAX INT64_MAX

struct file_attr {
	uint64_t ino;
	uint32_t mode; /* type and permission bits */
	uint32_t uid, gid;
	uint32_t nlink;
	uint32_t rdev_major, rdev_minor;
	uint64_t size;
	uint64_t blocks; /* 512-byte units, as st_blocks */
	uint32_t recordsize;
	struct timespec atime, mtime, ctime, btime;
};

int file_getattr(struct dataset *ds, uint64_t ino, struct file_attr *attr);

#define FILE_SET_MODE	   0x001u
#define FILE_SET_UID	   0x002u
#define FILE_SET_GID	   0x004u
#define FILE_SET_SIZE	   0x008u
#define FILE_SET_ATIME	   0x010u
#define FILE_SET_MTIME	   0x020u
#define FILE_SET_ATIME_NOW 0x040u
#define FILE_SET_MTIME_NOW 0x080u
#define FILE_SET_CTIME	   0x100u /* to attr->ctime; else it becomes now */
#define FILE_KILL_PRIV	   0x200u /* clear setuid, setgid and capabilities */

/** Set what @mask names from @attr; @out (may be NULL) gets the result. */
int file_setattr(struct dataset *ds, uint64_t ino, unsigned mask,
		 const struct file_attr *attr, struct file_attr *out);

/* -- names ---------------------------------------------------------------- */

/** @name: @len bytes, no '/' or NUL, 1..255.  Errors: -ENAMETOOLONG */
int file_lookup(struct dataset *ds, uint64_t dir, const char *name, size_t len,
		struct file_attr *attr);

struct file_new {
	uint32_t mode; /* S_IFREG, S_IFDIR, S_IFLNK, S_IFIFO, S_IFSOCK ... */
	uint32_t uid, gid;
	uint32_t rdev_major, rdev_minor;
	const char *target; /* S_IFLNK: at most SYMLINK_MAX bytes */
	bool opened;	    /* also file_open() it, in the same step */
	bool open_write;
};

/**
 * Make an inode and its name.  The caller has applied umask and the parent's
 * setgid rule.  Errors: -EEXIST; -ENOTDIR; -ENOENT @dir is gone
 */
int file_create(struct dataset *ds, uint64_t dir, const char *name, size_t len,
		const struct file_new *n, struct file_attr *attr);
/** An inode without a name, opened; O_TMPFILE. */
int file_create_unnamed(struct dataset *ds, uint64_t dir,
			const struct file_new *n, struct file_attr *attr);
/** Errors: -EEXIST; -EPERM a directory; -EMLINK */
int file_link(struct dataset *ds, uint64_t ino, uint64_t dir, const char *name,
	      size_t len, struct file_attr *attr);
/** Errors: -EISDIR.  @ino (may be NULL): out, what the name meant */
int file_unlink(struct dataset *ds, uint64_t dir, const char *name, size_t len,
		uint64_t *ino);
/** Errors: -ENOTDIR; -ENOTEMPTY */
int file_rmdir(struct dataset *ds, uint64_t dir, const char *name, size_t len,
	       uint64_t *ino);
/**
 * rename(2) with RENAME_NOREPLACE or RENAME_EXCHANGE in @flags.
 * @replaced (may be NULL): out, inode number that lost its name, or 0
 * Errors: as rename(2); -EINVAL into its own subtree, or unknown flags
 */
int file_rename(struct dataset *ds, uint64_t old_dir, const char *old_name,
		size_t old_len, uint64_t new_dir, const char *new_name,
		size_t new_len, unsigned flags, uint64_t *replaced);

/**
 * Call @fn for entries after @cookie (0: from the start) until it returns
 * nonzero, which is not an error.  '.' and '..' come first, with cookies 1
 * and 2.  An entry's cookie stays its own while it exists.  @fn is called
 * without locks held and may call the store.
 * With @attr the attributes are filled in too, else only ino and type.
 */
typedef int file_readdir_fn(void *arg, const char *name, size_t len,
			    const struct file_attr *attr, uint64_t cookie);
int file_readdir(struct dataset *ds, uint64_t dir, uint64_t cookie,
		 bool want_attr, file_readdir_fn *fn, void *arg);
/** @buf: at least SYMLINK_MAX + 1 bytes; NUL-terminated. */
int file_readlink(struct dataset *ds, uint64_t ino, char *buf, size_t cap);

/* -- open files ----------------------------------------------------------- */

/** Hold the inode: it survives unlink until file_close().  -ENOENT */
int file_open(struct dataset *ds, uint64_t ino, bool for_writing);
/** Never fails; what it sets free is purged in the background. */
void file_close(struct dataset *ds, uint64_t ino, bool for_writing);

/**
 * Like an open, for somebody who may come back to the inode after it was
 * unlinked; but nobody has it open, and nothing is refused because of it.
 */
int file_hold(struct dataset *ds, uint64_t ino);
void file_unhold(struct dataset *ds, uint64_t ino);

/* -- content -------------------------------------------------------------- */

/**
 * Read up to @len bytes at @offset; short only at the file's end.
 * Errors: -EISDIR; -EINVAL not a regular file; -EIO a damaged record
 */
int file_read(struct dataset *ds, uint64_t ino, uint64_t offset, void *buf,
	      size_t len, size_t *out_len);
/** Write all of @len (at most 1 MiB) bytes; FILE_KILL_PRIV in @flags. */
int file_write(struct dataset *ds, uint64_t ino, uint64_t offset,
	       const void *buf, size_t len, unsigned flags);

/** All that was written to the file, and its attributes, is durable. */
int file_fsync(struct dataset *ds, uint64_t ino);

/** fallocate(2): 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE[|KEEP_SIZE];
 * else -EOPNOTSUPP.  Reserves nothing. */
int file_fallocate(struct dataset *ds, uint64_t ino, int mode, uint64_t offset,
		   uint64_t length, unsigned flags);
/** SEEK_DATA or SEEK_HOLE.  Errors: -ENXIO */
int file_seek(struct dataset *ds, uint64_t ino, uint64_t offset, int whence,
	      uint64_t *out);
/**
 * Copy @len bytes between files of this pool, sharing whole records where
 * both offsets and recordsizes allow, copying the rest.  @copied may be less
 * than @len (also at the source's end).
 * Errors: -EINVAL overlapping ranges of one file
 */
int file_copy(struct dataset *src, uint64_t src_ino, uint64_t src_offset,
	      struct dataset *dst, uint64_t dst_ino, uint64_t dst_offset,
	      uint64_t len, unsigned flags, uint64_t *copied);

/* -- extended attributes -------------------------------------------------- */

/** @cap 0: only the size.  Errors: -ENODATA; -ERANGE */
int file_getxattr(struct dataset *ds, uint64_t ino, const char *name,
		  void *value, size_t cap, size_t *len);
/** @flags: XATTR_CREATE or XATTR_REPLACE.  Errors: -E2BIG; -EEXIST;
 * -ENODATA; -ENOSPC too many with one hash */
int file_setxattr(struct dataset *ds, uint64_t ino, const char *name,
		  const void *value, size_t len, int flags);
/** Names, each with its NUL.  @cap 0: only the size.  Errors: -ERANGE */
int file_listxattr(struct dataset *ds, uint64_t ino, char *list, size_t cap,
		   size_t *len);
int file_removexattr(struct dataset *ds, uint64_t ino, const char *name);

#endif
