/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.h - one operation of the exerciser, and lists of them as text
 *
 * Below: nothing.  Above: the rest of tests/fs/exerciser/.
 *
 * An operation says all there is to say: which file, where, how much.  What it
 * must answer depends on what the model holds then, so a list stays a good
 * test when operations are taken out of it.
 */
#ifndef DBS_TESTS_EXERCISER_OP_H
#define DBS_TESTS_EXERCISER_OP_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * name, what h, h2, a, b, c, d, path and path2 are.  Those with worker -1 have
 * the mount for themselves, but for snaprun, clonerun and scrub.
 */
enum ex_kind {
	EX_OPEN,      /* h; a: flags, b: mode; path */
	EX_TMPFILE,   /* h; a: flags, b: mode; path: directory */
	EX_LINKFD,    /* h; path */
	EX_CLOSE,     /* h */
	EX_PREAD,     /* h; a: offset, b: length, d: bytes off alignment */
	EX_PWRITE,    /* as pread; c: pattern, h2: RWF_* */
	EX_PWRITEV,   /* as pwrite; d: number of pieces */
	EX_MREAD,     /* h; a: offset, b: length */
	EX_MWRITE,    /* as mread; c: pattern, d: with msync */
	EX_MSYNC,     /* h */
	EX_FTRUNCATE, /* h; a: size */
	EX_TRUNCATE,  /* path; a: size */
	EX_FALLOCATE, /* h; a: mode, b: offset, c: length */
	EX_COPY,      /* h to h2; a: from, b: to, c: length */
	EX_SEEK,      /* h; a: offset, b: SEEK_DATA or SEEK_HOLE */
	EX_FSYNC,     /* h; a: fdatasync */
	EX_DROP,      /* h: let the kernel forget its pages */
	EX_SETFL,     /* h; a: O_DIRECT or 0 */
	EX_READBACK,  /* h; a: length of each read */
	EX_MKDIR,     /* path; b: mode */
	EX_RMDIR,     /* path */
	EX_UNLINK,    /* path */
	EX_RENAME,    /* path, path2; a: RENAME_* */
	EX_LINK,      /* path, path2 */
	EX_SYMLINK,   /* path; path2: target */
	EX_MKNOD,     /* path; b: type and mode */
	EX_CHMOD,     /* path; b: mode */
	EX_CHOWN,     /* path; a: uid or -1, b: gid or -1 */
	EX_UTIMENS,   /* path; a, b: atime, c, d: mtime; UTIME_OMIT, _NOW */
	EX_SETXATTR,  /* path; path2: name, a: length, c: pattern, d: XATTR_* */
	EX_REMOVEXATTR, /* path; path2: name */
	EX_GETXATTR,	/* path; path2: name */
	EX_READDIR,	/* path */
	EX_FSYNCDIR,	/* path */
	EX_LOOKUP,	/* path */
	/* -- worker -1 */
	EX_CREATE,   /* path: dataset; a: recordsize */
	EX_SNAPSHOT, /* path: "DS", path2: name */
	EX_SNAPRUN,  /* the same while the workers run; a: after so many ops */
	EX_CLONE,    /* path: "DS" or "DS@SNAP", path2: dataset */
	EX_CLONERUN, /* path: "DS", path2: dataset; a: after so many ops */
	EX_RESTORE, /* path: "DS@SNAP", path2: dataset; a: 1 force, 2 discard */
	EX_DESTROY, /* path: "DS" or "DS@SNAP"; a: 1 force, 2 with snapshots */
	EX_MV,	    /* path, path2: datasets */
	EX_VERIFY,  /* path: "DS", "DS@SNAP" or "-" for all; a: O_DIRECT or 0 */
	EX_SCRUB,   /* a: wait for its end */
	EX_SYNC,
	EX_REMOUNT, /* a: check the pool while it is unmounted */
	EX_KILL,    /* a: msync first */
	EX_NR_KINDS
};

struct ex_op {
	int worker;
	enum ex_kind kind;
	int h, h2;
	int64_t a, b, c, d;
	char *path, *path2; /* never NULL */
};

struct ex_list {
	struct ex_op *ops;
	size_t nr, cap;
	unsigned workers;
	unsigned commit_ms;
};

/** @op's strings are copied. */
void ex_list_add(struct ex_list *list, const struct ex_op *op);
void ex_list_copy(struct ex_list *to, const struct ex_list *from);
/** Take out [from, to). */
void ex_list_cut(struct ex_list *list, size_t from, size_t to);
void ex_list_free(struct ex_list *list);

/** One line without its end. */
void ex_op_print(const struct ex_op *op, char *buf, size_t cap);
/** Both end the program when the file cannot be had. */
void ex_list_save(const struct ex_list *list, const char *path);
void ex_list_load(struct ex_list *list, const char *path);

#endif
