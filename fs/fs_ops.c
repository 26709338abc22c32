/* SPDX-License-Identifier: Apache-2.0 */
#include "fs/fs_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define NS_PER_S INT64_C(1000000000)

/* -- entering ------------------------------------------------------------- */

int fs_enter(struct worker *w, const struct node *node)
{
	if (node->kind != NODE_FILE)
		return -EPERM;
	return view_enter(fs_of(w)->table, w->slot, node->view);
}

bool fs_name_is_reserved(const struct node *dir, const char *name)
{
	return dir->kind == NODE_FILE && dir->ino == INO_DATASET_ROOT &&
	       !dir->view->snapshot && strcmp(name, ".dbs") == 0;
}

/* -- attributes ----------------------------------------------------------- */

void fs_attr_fill(const struct view *view, const struct file_attr *a,
		  struct fuse_attr *out)
{
	*out = (struct fuse_attr){
		.ino = (uint64_t)view->id << 40 | a->ino,
		.size = a->size,
		.blocks = a->blocks,
		.atime = (uint64_t)a->atime.tv_sec,
		.mtime = (uint64_t)a->mtime.tv_sec,
		.ctime = (uint64_t)a->ctime.tv_sec,
		.atimensec = (uint32_t)a->atime.tv_nsec,
		.mtimensec = (uint32_t)a->mtime.tv_nsec,
		.ctimensec = (uint32_t)a->ctime.tv_nsec,
		.mode = a->mode,
		.nlink = a->nlink,
		.uid = a->uid,
		.gid = a->gid,
		/* the kernel's own encoding of device numbers */
		.rdev = (a->rdev_minor & 0xff) | a->rdev_major << 8 |
			(a->rdev_minor & ~0xffu) << 12,
		.blksize = S_ISREG(a->mode) && a->recordsize ? a->recordsize
							     : 4096,
	};
}

void fs_virtual_attr(struct fs *fs, const struct node *node,
		     struct fuse_attr *out)
{
	int64_t changed = atomic_load(&fs->top_changed_ns);
	bool top = node->kind == NODE_TOP;

	*out = (struct fuse_attr){
		.ino = top ? 1 : (uint64_t)node->view->id << 40 | node->ino,
		.mode = S_IFDIR | (top ? 0755 : 0555),
		.nlink = 1, /* not counted, as in btrfs */
		.blksize = 4096,
		.atime = (uint64_t)fs->created,
		.mtime = (uint64_t)(changed / NS_PER_S),
		.ctime = (uint64_t)(changed / NS_PER_S),
		.mtimensec = (uint32_t)(changed % NS_PER_S),
		.ctimensec = (uint32_t)(changed % NS_PER_S),
	};
}

/*
 * Every absolute path leads through the top, and the kernel checks the mode of
 * all it passes: without this it asked for the top's with each of them.
 */
uint64_t fs_virtual_valid_s(const struct node *node)
{
	return node->kind == NODE_TOP ? FS_VALID_S : 0;
}

int fs_getattr(struct worker *w, const struct node *node,
	       struct fuse_attr_out *out)
{
	struct file_attr a;
	int rc;

	*out = (struct fuse_attr_out){0};
	if (node->kind != NODE_FILE) {
		fs_virtual_attr(fs_of(w), node, &out->attr);
		out->attr_valid = fs_virtual_valid_s(node);
		return 0;
	}
	rc = fs_enter(w, node);
	if (rc)
		return rc;
	rc = file_getattr(node->view->ds, node->ino, &a);
	fs_leave(w);
	if (rc)
		return rc;
	out->attr_valid = FS_VALID_S;
	fs_attr_fill(node->view, &a, &out->attr);
	return 0;
}

/* -- entries -------------------------------------------------------------- */

int fs_entry_fill(struct worker *w, struct view *view,
		  const struct file_attr *a, struct fuse_entry_out *out)
{
	struct node *node;
	int rc;

	rc = node_lookup(fs_of(w)->table, view, a->ino, &node);
	if (rc)
		return rc;
	*out = (struct fuse_entry_out){
		.nodeid = node_id(node),
		.generation = view->generation,
		.entry_valid = FS_VALID_S,
		.attr_valid = FS_VALID_S,
	};
	fs_attr_fill(view, a, &out->attr);
	return 0;
}

void fs_entry_undo(struct worker *w, const struct fuse_entry_out *out)
{
	if (out->nodeid)
		node_forget(fs_of(w)->table, fs_node(w, out->nodeid), 1);
}

void fs_reply_entry(fuse_req_t req, struct worker *w, int rc,
		    const struct fuse_entry_out *out)
{
	if (rc)
		fuse_reply_err(req, -rc);
	else if (fuse_reply_buf(req, (const char *)out, sizeof(*out)) ==
		 -ENOENT)
		fs_entry_undo(w, out);
}

int fs_new_fill(struct view *view, uint64_t dir, uint32_t uid, uint32_t gid,
		uint32_t mode, struct file_new *n)
{
	struct file_attr a;
	int rc;

	rc = file_getattr(view->ds, dir, &a);
	if (rc)
		return rc;
	*n = (struct file_new){.mode = mode, .uid = uid, .gid = gid};
	if (a.mode & S_ISGID) {
		n->gid = a.gid;
		if (S_ISDIR(mode))
			n->mode |= S_ISGID;
	}
	return 0;
}

void fs_open_fill(uint32_t flags, bool held, struct fuse_open_out *out)
{
	bool direct = flags & O_DIRECT;

	*out = (struct fuse_open_out){
		.fh = (held ? FH_HELD : 0) | (direct ? FH_DIRECT : 0) |
		      ((flags & O_ACCMODE) != O_RDONLY ? FH_WRITE : 0) |
		      (flags & O_DSYNC ? FH_SYNC : 0),
		/* only the kernel changes a file: its pages stay good */
		.open_flags =
			direct ? FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES
			       : FOPEN_KEEP_CACHE,
	};
}

/* -- set up --------------------------------------------------------------- */

static void op_init(void *user, struct fuse_conn_info *conn)
{
	(void)user;
	conn->max_write = SESSION_IO_MAX;
	conn->max_background = 256;
	conn->congestion_threshold = 192;
	conn->time_gran = 1;
	/*
	 * AUTO_INVAL_DATA is not wanted: the kernel would drop all pages of a
	 * file when it sees a new mtime, though it wrote them itself, and a
	 * read between a buffered write and its WRITE request would bring the
	 * old bytes back to stay (decision 0022).
	 */
	conn->want &=
		~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_SPLICE_READ |
			    FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
			    FUSE_CAP_WRITEBACK_CACHE |
			    FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_POSIX_ACL |
			    FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS);
	conn->want |= conn->capable &
		      (FUSE_CAP_ASYNC_READ | FUSE_CAP_ASYNC_DIO |
		       FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_EXPLICIT_INVAL_DATA |
		       FUSE_CAP_PARALLEL_DIROPS | FUSE_CAP_READDIRPLUS |
		       FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_CACHE_SYMLINKS);
}

/* An answer of -ENOSYS tells the kernel not to send them again. */
static void raw_interrupt(struct worker *w, const struct fuse_in_header *in,
			  const void *arg, size_t len)
{
	(void)arg;
	(void)len;
	session_reply(w, in, -ENOSYS, NULL, 0);
}

#define OPCODE_TMPFILE 51 /* FUSE_TMPFILE, 7.37 */
#define OPCODE_STATX   52 /* FUSE_STATX, 7.39 */

session_op_fn *const fs_raw_ops[SESSION_OPCODES] = {
	[FUSE_LOOKUP] = raw_lookup,	  [FUSE_GETATTR] = raw_getattr,
	[FUSE_SETATTR] = raw_setattr,	  [FUSE_OPEN] = raw_open,
	[FUSE_READ] = raw_read,		  [FUSE_WRITE] = raw_write,
	[FUSE_FSYNC] = raw_fsync,	  [FUSE_CREATE] = raw_create,
	[OPCODE_TMPFILE] = raw_tmpfile,	  [OPCODE_STATX] = raw_statx,
	[FUSE_INTERRUPT] = raw_interrupt,
};

/*
 * Not here: flush (-ENOSYS once: close has nothing to write), access (the
 * kernel's default_permissions), getlk, setlk and flock (the kernel locks by
 * itself), bmap and poll.
 */
const struct fuse_lowlevel_ops fs_libfuse_ops = {
	.init = op_init,
	.forget = op_forget,
	.forget_multi = op_forget_multi,
	.readlink = op_readlink,
	.mknod = op_mknod,
	.mkdir = op_mkdir,
	.symlink = op_symlink,
	.unlink = op_unlink,
	.rmdir = op_rmdir,
	.rename = op_rename,
	.link = op_link,
	.release = op_release,
	.opendir = op_opendir,
	.readdir = op_readdir,
	.readdirplus = op_readdirplus,
	.releasedir = op_releasedir,
	.fsyncdir = op_fsyncdir,
	.statfs = op_statfs,
	.setxattr = op_setxattr,
	.getxattr = op_getxattr,
	.listxattr = op_listxattr,
	.removexattr = op_removexattr,
	.ioctl = op_ioctl,
	.fallocate = op_fallocate,
	.lseek = op_lseek,
	.copy_file_range = op_copy_file_range,
};

/* -- what the commands change --------------------------------------------- */

void fs_touch_top(struct fs *fs)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	atomic_store(&fs->top_changed_ns,
		     (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec);
	if (fs->session) /* else nobody has asked yet */
		fuse_lowlevel_notify_inval_inode(session_fuse(fs->session),
						 NODE_ID_TOP, -1, 0);
}

/* Make the kernel look "DS" or "DS@SNAP" up again. */
static void forget_name(struct fs *fs, const char *name)
{
	struct fuse_session *fuse = session_fuse(fs->session);
	const char *at = strchr(name, '@');
	char head[DATASET_NAME_MAX + 1];
	struct dataset *ds;
	uint64_t parent;

	if (!at) {
		fuse_lowlevel_notify_inval_entry(fuse, NODE_ID_TOP, name,
						 strlen(name));
		return;
	}
	memcpy(head, name, (size_t)(at - name));
	head[at - name] = '\0';
	if (dataset_open(fs->pool, head, &ds))
		return;
	parent = node_find_id(fs->table, dataset_id(ds), INO_SNAPSHOTS);
	dataset_put(ds);
	if (parent)
		fuse_lowlevel_notify_inval_entry(fuse, parent, at + 1,
						 strlen(at + 1));
}

struct fs_going {
	struct fs_going *next;
	char name[DATASET_FULL_NAME_MAX + 1];
};

/* Where @name stands in the list, or its end; going_lock held. */
static struct fs_going **find_going(struct fs *fs, const char *name)
{
	struct fs_going **at = &fs->going;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

/*
 * A name that was removed and made anew at once: what the kernel is told to
 * forget must not be the new one.
 */
static void wait_gone(struct fs *fs, const char *name)
{
	pthread_mutex_lock(&fs->going_lock);
	while (*find_going(fs, name))
		pthread_cond_wait(&fs->gone, &fs->going_lock);
	pthread_mutex_unlock(&fs->going_lock);
}

static void hook_destroy_begin(void *arg, const char *name)
{
	struct fs_going *g = calloc(1, sizeof(*g));
	struct fs *fs = arg;

	/* nobody waits then: the kernel may forget a new one's name too, which
	 * it looks up again */
	if (!g)
		return;
	snprintf(g->name, sizeof(g->name), "%s", name);
	pthread_mutex_lock(&fs->going_lock);
	g->next = fs->going;
	fs->going = g;
	pthread_mutex_unlock(&fs->going_lock);
}

static void hook_created(void *arg, const char *name)
{
	/* names that are missing are not cached at the top */
	wait_gone(arg, name);
	fs_touch_top(arg);
}

static void hook_restore_begin(void *arg, uint32_t id)
{
	struct fs *fs = arg;

	view_pause(fs->table, id);
}

static void hook_restore_end(void *arg, uint32_t id, const char *name, int err)
{
	struct fs *fs = arg;
	uint64_t *nodes;
	size_t nr;

	view_resume(fs->table, id, err == 0);
	if (err)
		return;
	forget_name(fs, name);
	if (node_list_stale(fs->table, id, &nodes, &nr))
		return;
	for (size_t i = 0; i < nr; i++)
		fuse_lowlevel_notify_inval_inode(session_fuse(fs->session),
						 nodes[i], 0, 0);
	free(nodes);
}

#define DROP_NICE 10

struct page_drop {
	struct fs *fs;
	uint64_t *nodes;
	size_t nr;
};

static void *drop_pages(void *arg)
{
	struct page_drop *d = arg;

	pthread_setname_np(pthread_self(), "dbsfs-drop");
	/* this thread's alone; where it may not, it is as before */
	(void)setpriority(PRIO_PROCESS, (id_t)gettid(), DROP_NICE);
	for (size_t i = 0; i < d->nr; i++)
		fuse_lowlevel_notify_inval_inode(session_fuse(d->fs->session),
						 d->nodes[i], 0, 0);
	return NULL;
}

/*
 * Let the kernel drop what its page cache has of the files.  It would when it
 * forgets their names, but all at once, as important as what others do, and
 * nobody could look up another dataset meanwhile.  What is read into it anew
 * goes then.
 */
static void hook_destroying(void *arg, uint32_t id)
{
	struct page_drop d = {.fs = arg};
	pthread_t thread;

	if (!d.fs->session || node_list_files(d.fs->table, id, &d.nodes, &d.nr))
		return;
	if (d.nr > 0 && pthread_create(&thread, NULL, drop_pages, &d) == 0)
		pthread_join(thread, NULL);
	free(d.nodes);
}

static void hook_destroy_end(void *arg, uint32_t id, const char *name, int err)
{
	struct fs *fs = arg;
	struct fs_going *g, **at;

	if (err == 0) {
		view_mark_stale(fs->table, id);
		fs_touch_top(fs);
		forget_name(fs, name);
	}
	pthread_mutex_lock(&fs->going_lock);
	at = find_going(fs, name);
	g = *at;
	if (g)
		*at = g->next;
	pthread_cond_broadcast(&fs->gone);
	pthread_mutex_unlock(&fs->going_lock);
	free(g);
}

static void hook_renamed(void *arg, uint32_t id, const char *from,
			 const char *to)
{
	struct fs *fs = arg;

	(void)id;
	wait_gone(fs, to);
	fs_touch_top(fs);
	forget_name(fs, from);
}

const struct ctl_hooks fs_hooks = {
	.created = hook_created,
	.restore_begin = hook_restore_begin,
	.restore_end = hook_restore_end,
	.destroying = hook_destroying,
	.destroy_begin = hook_destroy_begin,
	.destroy_end = hook_destroy_end,
	.renamed = hook_renamed,
};
