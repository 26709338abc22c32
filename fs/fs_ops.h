/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_ops.h - a mounted pool: what all operations share
 *
 * Below: session.h, inode_table.h, store/.  Above: main.c, control.c.
 *
 * An operation converts, calls the store once, and answers once.  Those called
 * raw_*() get the kernel's own struct and answer with session_reply(); those
 * called op_*() come through libfuse.
 *
 * Permissions are the kernel's (default_permissions).  What is checked here
 * is what the kernel cannot know: the directories that exist only in the
 * mount cannot be changed, and nothing moves between datasets.
 */
#ifndef DBS_FS_FS_OPS_H
#define DBS_FS_FS_OPS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "fs/ctl_ops.h"
#include "fs/inode_table.h"
#include "fs/session.h"

/*
 * How long the kernel may believe what it was told.  The daemon is the only
 * writer, and takes back what the commands change.
 */
#define FS_VALID_S 86400u

/* Bits of a file handle; nothing is allocated for an open file. */
#define FH_HELD	  1u /* file_open() was called */
#define FH_WRITE  2u
#define FH_DIRECT 4u /* opened with FOPEN_DIRECT_IO */
#define FH_SYNC	  8u /* opened with O_DSYNC or O_SYNC */

struct fs {
	/* immutable after start */
	struct pool *pool;
	struct inode_table *table;
	struct session *session;
	int64_t created; /* the pool, seconds: times of virtual directories */
	pthread_mutex_t going_lock;
	pthread_cond_t gone;
	/* under going_lock */
	struct fs_going *going; /* names that are being removed */
	/* atomic */
	_Atomic int64_t top_changed_ns; /* when a dataset came or went */
};

extern session_op_fn *const fs_raw_ops[SESSION_OPCODES];
extern const struct fuse_lowlevel_ops fs_libfuse_ops;
extern const struct ctl_hooks fs_hooks; /* hook_arg: struct fs */

void fs_touch_top(struct fs *fs);
static inline struct fs *fs_of(const struct worker *w)
{
	return w->user;
}
static inline struct node *fs_node(const struct worker *w, uint64_t id)
{
	return node_of_id(fs_of(w)->table, id);
}

/**
 * Enter @node's view to work on one of its files.
 * Errors: -ESTALE; -EPERM @node is a virtual directory
 */
int fs_enter(struct worker *w, const struct node *node);
static inline void fs_leave(struct worker *w)
{
	view_leave(w->slot);
}
/** Is this a name in @dir that cannot be made or removed ('.dbs')? */
bool fs_name_is_reserved(const struct node *dir, const char *name);

/* -- conversions ---------------------------------------------------------- */

void fs_attr_fill(const struct view *view, const struct file_attr *a,
		  struct fuse_attr *out);
/** For any node; enters the view itself. */
int fs_getattr(struct worker *w, const struct node *node,
	       struct fuse_attr_out *out);
void fs_virtual_attr(struct fs *fs, const struct node *node,
		     struct fuse_attr *out);
/** How long these attributes are good. */
uint64_t fs_virtual_valid_s(const struct node *node);
/**
 * Count a lookup of @a's inode and describe it.
 * Owner: fs_entry_undo() when the answer does not reach the kernel
 */
int fs_entry_fill(struct worker *w, struct view *view,
		  const struct file_attr *a, struct fuse_entry_out *out);
void fs_entry_undo(struct worker *w, const struct fuse_entry_out *out);
/** Answer a request of libfuse with an entry, or with @rc. */
void fs_reply_entry(fuse_req_t req, struct worker *w, int rc,
		    const struct fuse_entry_out *out);

/** Owner, group and mode of a new inode in @dir, by the setgid rule. */
int fs_new_fill(struct view *view, uint64_t dir, uint32_t uid, uint32_t gid,
		uint32_t mode, struct file_new *n);

/**
 * Before a write: clear capabilities, and with @setid setuid and setgid, if
 * the file may have any.
 */
int fs_clear_privs(struct worker *w, struct node *node, bool setid);
/** Before the answer to who changed its attributes: make the kernel ask. */
void fs_forget_attr(struct worker *w, const struct node *node);
/** The file may have them from now on. */
void fs_note_privs(struct node *node);
/** It is known to have none. */
bool fs_has_no_privs(const struct node *node);

/** What is the file's handle in the answer to open: FOPEN_* and FH_*. */
void fs_open_fill(uint32_t flags, bool held, struct fuse_open_out *out);

/* -- operations ----------------------------------------------------------- */

session_op_fn raw_lookup, raw_getattr, raw_setattr, raw_statx;
session_op_fn raw_open, raw_create, raw_tmpfile;
session_op_fn raw_read, raw_write, raw_fsync;

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nr);
void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *list);
void op_readlink(fuse_req_t req, fuse_ino_t ino);
void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
	      dev_t rdev);
void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		const char *name);
void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
	       fuse_ino_t new_parent, const char *new_name, unsigned flags);
void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent,
	     const char *new_name);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync,
		 struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);
void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
		 const char *value, size_t size, int flags);
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned cmd, void *arg,
	      struct fuse_file_info *fi, unsigned flags, const void *in_buf,
	      size_t in_size, size_t out_size);
void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
		  off_t length, struct fuse_file_info *fi);
void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
	      struct fuse_file_info *fi);
void op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
			struct fuse_file_info *fi_in, fuse_ino_t ino_out,
			off_t off_out, struct fuse_file_info *fi_out,
			size_t len, int flags);

#endif
