/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op_attr.c - getattr, setattr, statx, statfs; setuid bits and capabilities
 *
 * Times: reading changes no atime (as with the mount option noatime).
 */
#include <errno.h>
#include <linux/stat.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/stat.h>

#include "fs/fs_ops.h"

/* -- what a write has to clear -------------------------------------------- */

/*
 * node->privs: bit 0 says that the inode has neither setuid or setgid nor
 * capabilities; the other bits count the times it got some, so that a check
 * which ran meanwhile does not set bit 0.
 */
#define PRIVS_NONE 1u
#define PRIVS_STEP 2u

bool fs_has_no_privs(const struct node *node)
{
	return atomic_load_explicit(&node->privs, memory_order_relaxed) &
	       PRIVS_NONE;
}

void fs_note_privs(struct node *node)
{
	uint32_t v = atomic_load(&node->privs);

	while (!atomic_compare_exchange_weak(&node->privs, &v,
					     (v + PRIVS_STEP) & ~PRIVS_NONE))
		;
}

/*
 * The kernel does not look at the mode again after a write, whoever was told
 * to clear its setuid bits: exec would believe them for as long as FS_VALID_S.
 * After setxattr and rename it asks again, but an answer made before and read
 * after that (another process's stat, or a listing) it takes for new.  What it
 * is told here it counts, and knows then that such an answer is old.
 *
 * It looks for the inode, and waits for one that is going: only for requests
 * whose caller holds it.
 */
void fs_forget_attr(struct worker *w, const struct node *node)
{
	fuse_lowlevel_notify_inval_inode(session_fuse(fs_of(w)->session),
					 node_id(node), -1, 0);
}

int fs_clear_privs(struct worker *w, struct node *node, bool setid)
{
	struct dataset *ds = node->view->ds;
	uint32_t before = atomic_load(&node->privs);
	struct file_attr a;
	int rc;

	rc = file_getattr(ds, node->ino, &a);
	if (rc)
		return rc;
	rc = file_removexattr(ds, node->ino, XATTR_NAME_CAPS);
	if (rc && rc != -ENODATA)
		return rc;
	if (S_ISREG(a.mode) && (a.mode & (S_ISUID | S_ISGID))) {
		if (!setid)
			return 0; /* ask again at the next write */
		rc = file_setattr(ds, node->ino, FILE_KILL_PRIV, &a, &a);
		if (rc)
			return rc;
		fs_forget_attr(w, node);
	}
	atomic_compare_exchange_strong(&node->privs, &before,
				       before | PRIVS_NONE);
	return 0;
}

/* -- getattr -------------------------------------------------------------- */

void raw_getattr(struct worker *w, const struct fuse_in_header *in,
		 const void *arg, size_t len)
{
	struct fuse_attr_out out;
	int rc;

	(void)arg;
	(void)len;
	rc = fs_getattr(w, fs_node(w, in->nodeid), &out);
	session_reply(w, in, rc, &out, rc ? 0 : sizeof(out));
}

/* As in Linux 6.6; the headers of Debian 12 do not have it. */
struct fs_statx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t reserved;
};
struct fs_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	/* struct fuse_statx */
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct fs_statx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
	uint64_t spare2[14];
};
_Static_assert(sizeof(struct fs_statx_out) == 32 + 256, "fuse_statx_out");

static void statx_fill(const struct fuse_attr *f, struct fs_statx_out *out)
{
	out->mask = STATX_BASIC_STATS;
	out->blksize = f->blksize;
	out->nlink = f->nlink;
	out->uid = f->uid;
	out->gid = f->gid;
	out->mode = (uint16_t)f->mode;
	out->ino = f->ino;
	out->size = f->size;
	out->blocks = f->blocks;
	out->atime.sec = (int64_t)f->atime;
	out->atime.nsec = f->atimensec;
	out->mtime.sec = (int64_t)f->mtime;
	out->mtime.nsec = f->mtimensec;
	out->ctime.sec = (int64_t)f->ctime;
	out->ctime.nsec = f->ctimensec;
}

/*
 * It has what getattr has, and the time of birth; virtual directories have
 * none, and that is no error: the kernel would not ask by getattr then.
 */
void raw_statx(struct worker *w, const struct fuse_in_header *in,
	       const void *arg, size_t len)
{
	const struct node *node = fs_node(w, in->nodeid);
	struct fs_statx_out out = {0};
	struct fuse_attr f;
	struct file_attr a;
	int rc;

	(void)arg;
	(void)len;
	if (node->kind != NODE_FILE) {
		fs_virtual_attr(fs_of(w), node, &f);
		statx_fill(&f, &out);
		out.attr_valid = fs_virtual_valid_s(node);
		session_reply(w, in, 0, &out, sizeof(out));
		return;
	}
	rc = fs_enter(w, node);
	if (rc == 0) {
		rc = file_getattr(node->view->ds, node->ino, &a);
		fs_leave(w);
	}
	if (rc) {
		session_reply(w, in, rc, NULL, 0);
		return;
	}
	fs_attr_fill(node->view, &a, &f);
	statx_fill(&f, &out);
	out.attr_valid = FS_VALID_S;
	out.mask |= STATX_BTIME;
	out.btime = (struct fs_statx_time){
		.sec = a.btime.tv_sec,
		.nsec = (uint32_t)a.btime.tv_nsec,
	};
	out.rdev_major = a.rdev_major;
	out.rdev_minor = a.rdev_minor;
	session_reply(w, in, 0, &out, sizeof(out));
}

/* -- setattr -------------------------------------------------------------- */

/* The headers of libfuse's time know no name for it. */
#ifndef FATTR_KILL_SUIDGID
#define FATTR_KILL_SUIDGID (1 << 11)
#endif

static unsigned setattr_convert(const struct fuse_setattr_in *s,
				struct file_attr *a)
{
	static const struct {
		uint32_t from;
		unsigned to;
	} bits[] = {
		{FATTR_MODE, FILE_SET_MODE},
		{FATTR_UID, FILE_SET_UID},
		{FATTR_GID, FILE_SET_GID},
		{FATTR_SIZE, FILE_SET_SIZE},
		{FATTR_KILL_SUIDGID, FILE_KILL_PRIV},
	};
	unsigned mask = 0;

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++)
		if (s->valid & bits[i].from)
			mask |= bits[i].to;
	if (s->valid & FATTR_ATIME)
		mask |= s->valid & FATTR_ATIME_NOW ? FILE_SET_ATIME_NOW
						   : FILE_SET_ATIME;
	if (s->valid & FATTR_MTIME)
		mask |= s->valid & FATTR_MTIME_NOW ? FILE_SET_MTIME_NOW
						   : FILE_SET_MTIME;
	*a = (struct file_attr){
		.mode = s->mode & 07777,
		.uid = s->uid,
		.gid = s->gid,
		.size = s->size,
		.atime = {(time_t)s->atime, (long)s->atimensec},
		.mtime = {(time_t)s->mtime, (long)s->mtimensec},
	};
	return mask;
}

/*
 * chown(2) to nobody at all: it takes setuid and capabilities away as any
 * other, but the kernel sends the new mode only with an owner.  Who writes to
 * a file with capabilities sends the same request, after it took them away
 * (op_removexattr()): that is then all that is to be done.
 */
static int setattr_nothing(struct node *node, uint32_t pid, unsigned *mask)
{
	struct file_attr a;
	int rc;

	if (pid && atomic_exchange(&node->caps_taken_by, 0) == pid)
		return 0;
	rc = file_getattr(node->view->ds, node->ino, &a);
	if (rc == 0 && !S_ISDIR(a.mode))
		*mask = FILE_KILL_PRIV;
	return rc;
}

static int setattr_locked(struct node *node, uint32_t pid,
			  const struct fuse_setattr_in *s, struct file_attr *a)
{
	unsigned mask = setattr_convert(s, a);
	bool privs = (mask & FILE_SET_MODE) && (a->mode & (S_ISUID | S_ISGID));
	int rc;

	if (s->valid & FATTR_SIZE && s->size > INT64_MAX)
		return -EFBIG;
	rc = mask ? 0 : setattr_nothing(node, pid, &mask);
	if (rc)
		return rc;
	/* before, so that no write finds none; after, for a check under way */
	if (privs)
		fs_note_privs(node);
	rc = file_setattr(node->view->ds, node->ino, mask, a, a);
	if (privs)
		fs_note_privs(node);
	return rc;
}

void raw_setattr(struct worker *w, const struct fuse_in_header *in,
		 const void *arg, size_t len)
{
	struct node *node = fs_node(w, in->nodeid);
	const struct fuse_setattr_in *s = arg;
	struct fuse_attr_out out = {.attr_valid = FS_VALID_S};
	struct file_attr a;
	int rc;

	rc = len < sizeof(*s) ? -EINVAL : fs_enter(w, node);
	if (rc == 0) {
		rc = setattr_locked(node, in->pid, s, &a);
		fs_leave(w);
	}
	if (rc == 0)
		fs_attr_fill(node->view, &a, &out.attr);
	session_reply(w, in, rc, &out, rc ? 0 : sizeof(out));
}

/* -- statfs --------------------------------------------------------------- */

#define STATFS_BLOCK 4096u

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct worker *w = worker_self();
	const struct node *node = fs_node(w, ino);
	struct statvfs st = {
		.f_bsize = STATFS_BLOCK,
		.f_frsize = STATFS_BLOCK,
		.f_namemax = 255,
	};
	struct pool_stat pool;
	uint64_t size, space;

	if (node->kind == NODE_TOP) {
		pool_stat(fs_of(w)->pool, &pool);
		size = pool.size;
		space = pool.free;
	} else {
		dataset_space(node->view->ds, &size, &space);
	}
	st.f_blocks = size / STATFS_BLOCK;
	st.f_bfree = st.f_bavail = space / STATFS_BLOCK;
	fuse_reply_statfs(req, &st);
}
