/* SPDX-License-Identifier: Apache-2.0 */
/* exec_name.c - operations on names and attributes, and what they must do */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/fs/exerciser/ex.h"

/* The operation's path: for the model and for a system call. */
struct where {
	struct ex_place p;
	const struct model_inode *in; /* what is there, or NULL */
	char full[EX_PATH_MAX];
};

static bool look(struct ex_worker *w, const char *path, struct where *at)
{
	ex_resolve(w, path, &at->p);
	ex_full_path(w->run, path, at->full);
	at->in = ex_place_inode(&at->p);
	return !at->p.odd;
}

/* In a plain folder they are in one file system. */
static bool is_across(const struct ex_worker *w, const struct model_root *a,
		      const struct model_root *b)
{
	return w->run->s.plain && a && b && a != b;
}

static int result(int rc)
{
	return rc < 0 ? -errno : rc;
}

/* For what makes a name: 0 or why it cannot. */
static int want_new(const struct where *at)
{
	return at->p.err ? at->p.err : at->in ? -EEXIST : 0;
}

/* For what needs one. */
static int want_old(const struct where *at)
{
	return at->p.err ? at->p.err : at->in ? 0 : -ENOENT;
}

/* -- making ---------------------------------------------------------------- */

static void add_name(struct where *at, uint64_t ino)
{
	model_name_set(model_edit(at->p.root, at->p.dir), at->p.name, ino);
}

static bool make(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	const bool dir = op->kind == EX_MKDIR, link = op->kind == EX_SYMLINK;
	uint32_t mode = (uint32_t)op->b;
	struct model_inode *in;
	struct where at;
	int rc;

	if (!look(w, op->path, &at))
		return false;
	if (dir) {
		mode = S_IFDIR | (mode & 01777);
		rc = result(mkdir(at.full, mode & 07777));
	} else if (link) {
		mode = S_IFLNK | 0777;
		rc = result(symlink(op->path2, at.full));
	} else {
		rc = result(mknod(at.full, mode, 0));
	}
	if (!ex_expect_in(w, at.p.root, rc, want_new(&at)))
		return true;
	in = ex_settle_new(w, at.p.root, AT_FDCWD, at.full, at.p.dir, mode,
			   dir ? 2 : 1, link ? op->path2 : NULL);
	add_name(&at, in->attr.ino);
	model_edit(at.p.root, at.p.dir)->attr.nlink += dir ? 1 : 0;
	ex_settle(w, at.p.root, at.p.dir, EX_TIMES);
	return true;
}

static bool do_link(struct ex_worker *w)
{
	struct where from, to;
	int want, rc;

	if (!look(w, w->op->path, &from) || !look(w, w->op->path2, &to))
		return false;
	if (is_across(w, from.p.root, to.p.root))
		return false;
	want = want_old(&from);
	if (want == 0)
		want = want_new(&to);
	if (want == 0 && S_ISDIR(from.in->attr.mode))
		want = -EPERM;
	if (want == 0 && from.p.root != to.p.root)
		want = -EXDEV;
	rc = result(link(from.full, to.full));
	if (!ex_expect_in(w, to.p.root, rc, want))
		return true;
	add_name(&to, from.p.ino);
	model_edit(to.p.root, from.p.ino)->attr.nlink++;
	ex_settle(w, to.p.root, to.p.dir, EX_TIMES);
	ex_settle(w, to.p.root, from.p.ino, EX_CTIME);
	return true;
}

static bool linkfd(struct ex_worker *w)
{
	struct ex_handle *h = ex_handle(w, w->op->h);
	struct model_root *r = h ? ex_handle_root(w, h) : NULL;
	const struct model_inode *in;
	char fd_path[64];
	struct where to;
	int want, rc;

	if (!r || !look(w, w->op->path, &to) || is_across(w, r, to.p.root))
		return false;
	in = model_inode(r->tree, h->ino);
	want = want_new(&to);
	/* only one of O_TMPFILE may get its first name so */
	if (in->attr.nlink == 0 && (h->flags & O_TMPFILE) != O_TMPFILE)
		return false;
	if (want == 0 && r != to.p.root)
		want = -EXDEV;
	snprintf(fd_path, sizeof(fd_path), "/proc/self/fd/%d", h->fd);
	rc = result(linkat(AT_FDCWD, fd_path, AT_FDCWD, to.full,
			   AT_SYMLINK_FOLLOW));
	if (!ex_expect_in(w, to.p.root, rc, want))
		return true;
	h->flags &= ~O_TMPFILE | O_ACCMODE | O_APPEND | O_DIRECT;
	add_name(&to, h->ino);
	model_edit(r, h->ino)->attr.nlink++;
	ex_settle(w, r, to.p.dir, EX_TIMES);
	ex_settle(w, r, h->ino, EX_CTIME);
	return true;
}

/* -- removing -------------------------------------------------------------- */

static bool take_away(struct ex_worker *w)
{
	const bool rmdir_it = w->op->kind == EX_RMDIR;
	struct where at;
	uint64_t ino;
	int want, rc;
	bool dir;

	if (!look(w, w->op->path, &at))
		return false;
	want = want_old(&at);
	dir = at.in && S_ISDIR(at.in->attr.mode);
	if (want == 0 && dir != rmdir_it)
		want = dir ? -EISDIR : -ENOTDIR;
	if (want == 0 && dir && at.in->nr_names)
		want = -ENOTEMPTY;
	rc = result(rmdir_it ? rmdir(at.full) : unlink(at.full));
	if (!ex_expect_in(w, at.p.root, rc, want))
		return true;
	ino = at.p.ino;
	model_name_remove(model_edit(at.p.root, at.p.dir), at.p.name);
	if (dir)
		model_edit(at.p.root, at.p.dir)->attr.nlink--;
	model_edit(at.p.root, ino)->attr.nlink -= dir ? 2 : 1;
	ex_settle(w, at.p.root, at.p.dir, EX_TIMES);
	ex_settle(w, at.p.root, ino, EX_CTIME);
	return true;
}

/* -- renaming -------------------------------------------------------------- */

/* Is directory @ino @above or somewhere below it? */
static bool is_below(const struct model_tree *t, uint64_t ino, uint64_t above)
{
	while (ino != above) {
		if (ino == MODEL_ROOT_INO)
			return false;
		ino = model_inode(t, ino)->parent;
	}
	return true;
}

static bool is_dir(const struct model_inode *in)
{
	return in && S_ISDIR(in->attr.mode);
}

/* What is found on the way there; the name itself is looked at later. */
static int err_on_way(const struct ex_place *p)
{
	return strchr(p->name, '/') || !p->root ? p->err : 0;
}

/* In the order in which Linux finds out. */
static int rename_wants(const struct where *a, const struct where *b,
			unsigned flags)
{
	const bool same_root = a->p.root == b->p.root;
	int want = err_on_way(&a->p);

	if (want == 0)
		want = err_on_way(&b->p);
	if (want == 0)
		want = want_old(a);
	if (want == 0)
		want = b->p.err;
	if (want)
		return want;
	if (flags & RENAME_NOREPLACE && b->in)
		return -EEXIST;
	if (flags & RENAME_EXCHANGE && !b->in)
		return -ENOENT;
	if (same_root && is_dir(a->in) &&
	    is_below(a->p.root->tree, b->p.dir, a->p.ino))
		return -EINVAL;
	if (same_root && is_dir(b->in) &&
	    is_below(a->p.root->tree, a->p.dir, b->p.ino))
		return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (same_root && a->in == b->in)
		return 0;
	if (b->in && !(flags & RENAME_EXCHANGE) &&
	    is_dir(a->in) != is_dir(b->in))
		return is_dir(a->in) ? -ENOTDIR : -EISDIR;
	if (!same_root)
		return -EXDEV;
	if (is_dir(b->in) && !(flags & RENAME_EXCHANGE) && b->in->nr_names)
		return -ENOTEMPTY;
	return 0;
}

static void move_links(struct model_root *r, uint64_t from, uint64_t to,
		       uint64_t ino)
{
	if (!is_dir(model_inode(r->tree, ino)))
		return;
	model_edit(r, from)->attr.nlink--;
	model_edit(r, to)->attr.nlink++;
	model_edit(r, ino)->parent = to;
}

static void rename_apply(struct ex_worker *w, const struct where *a,
			 const struct where *b, bool exchange)
{
	struct model_root *r = a->p.root;
	const uint64_t ino = a->p.ino, other = b->in ? b->p.ino : 0;
	const bool other_dir = is_dir(b->in);

	model_name_set(model_edit(r, b->p.dir), b->p.name, ino);
	move_links(r, a->p.dir, b->p.dir, ino);
	if (exchange) {
		model_name_set(model_edit(r, a->p.dir), a->p.name, other);
		move_links(r, b->p.dir, a->p.dir, other);
	} else {
		model_name_remove(model_edit(r, a->p.dir), a->p.name);
		if (other_dir)
			model_edit(r, b->p.dir)->attr.nlink--;
		if (other)
			model_edit(r, other)->attr.nlink -= other_dir ? 2 : 1;
	}
	ex_settle(w, r, a->p.dir, EX_TIMES);
	if (b->p.dir != a->p.dir)
		ex_settle(w, r, b->p.dir, EX_TIMES);
	ex_settle(w, r, ino, EX_CTIME);
	if (other)
		ex_settle(w, r, other, EX_CTIME);
}

static bool do_rename(struct ex_worker *w)
{
	const unsigned flags = (unsigned)w->op->a;
	struct where a, b;
	int rc;

	if (!look(w, w->op->path, &a) || !look(w, w->op->path2, &b))
		return false;
	/* Linux does not ask the file system */
	if (a.in && a.in == b.in && a.p.root->parent)
		return false;
	if (is_across(w, a.p.root, b.p.root))
		return false;
	rc = result(renameat2(AT_FDCWD, a.full, AT_FDCWD, b.full, flags));
	if (!ex_expect_in(w, a.p.root, rc, rename_wants(&a, &b, flags)))
		return true;
	/* two names of one inode: nothing happens */
	if (a.in != b.in)
		rename_apply(w, &a, &b, flags & RENAME_EXCHANGE);
	return true;
}

/* -- attributes ------------------------------------------------------------ */

static bool do_chmod(struct ex_worker *w)
{
	struct where at;
	uint32_t mode = (uint32_t)w->op->b & 07777;
	int rc;

	if (!look(w, w->op->path, &at) || (at.in && S_ISLNK(at.in->attr.mode)))
		return false;
	rc = result(chmod(at.full, mode));
	if (!ex_expect_in(w, at.p.root, rc, want_old(&at)))
		return true;
	model_edit(at.p.root, at.p.ino)->attr.mode =
		(at.in->attr.mode & S_IFMT) | mode;
	ex_settle(w, at.p.root, at.p.ino, EX_CTIME);
	return true;
}

/* Linux takes setuid away even when root gives a file to somebody. */
static uint32_t without_privs(uint32_t mode)
{
	if (S_ISDIR(mode))
		return mode;
	if (mode & S_IXGRP)
		mode &= ~(uint32_t)S_ISGID;
	return mode & ~(uint32_t)S_ISUID;
}

static bool do_chown(struct ex_worker *w)
{
	const uint32_t uid = (uint32_t)w->op->a, gid = (uint32_t)w->op->b;
	struct file_attr *a;
	struct where at;
	int rc;

	if (!look(w, w->op->path, &at))
		return false;
	rc = result(lchown(at.full, uid, gid));
	if (!ex_expect_in(w, at.p.root, rc, want_old(&at)))
		return true;
	a = &model_edit(at.p.root, at.p.ino)->attr;
	a->uid = uid == UINT32_MAX ? a->uid : uid;
	a->gid = gid == UINT32_MAX ? a->gid : gid;
	a->mode = without_privs(a->mode);
	ex_settle(w, at.p.root, at.p.ino, EX_CTIME);
	return true;
}

static bool set_time(struct timespec *to, const struct timespec *t)
{
	if (t->tv_nsec == UTIME_OMIT || t->tv_nsec == UTIME_NOW)
		return t->tv_nsec == UTIME_NOW;
	*to = *t;
	return false;
}

static bool do_utimens(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	const struct timespec t[2] = {{(time_t)op->a, (long)op->b},
				      {(time_t)op->c, (long)op->d}};
	const bool nothing = op->b == UTIME_OMIT && op->d == UTIME_OMIT;
	struct file_attr *a;
	unsigned which = EX_CTIME;
	struct where at;
	int rc;

	/* nothing to be done is done anywhere */
	if (!look(w, op->path, &at) || nothing)
		return false;
	rc = result(utimensat(AT_FDCWD, at.full, t, AT_SYMLINK_NOFOLLOW));
	if (!ex_expect_in(w, at.p.root, rc, want_old(&at)))
		return true;
	a = &model_edit(at.p.root, at.p.ino)->attr;
	which |= set_time(&a->atime, &t[0]) ? EX_ATIME : 0;
	which |= set_time(&a->mtime, &t[1]) ? EX_MTIME : 0;
	ex_settle(w, at.p.root, at.p.ino, which);
	return true;
}

/* -- extended attributes --------------------------------------------------- */

/* user.* is for files and directories only. */
static int xattr_kind(const struct where *at, const char *name)
{
	const uint32_t mode = at->in->attr.mode;

	if (strncmp(name, "user.", 5) || S_ISREG(mode) || S_ISDIR(mode))
		return 0;
	return -EPERM;
}

static bool do_setxattr(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	const size_t len = (size_t)op->a;
	struct where at;
	int want, rc;
	bool has;

	if (!look(w, op->path, &at) || len > 65536 ||
	    (w->run->s.plain && len > 200)) /* ext4 has room for no more */
		return false;
	ex_fill(w->buf, len, op->c);
	want = want_old(&at);
	if (want == 0)
		want = xattr_kind(&at, op->path2);
	if (want == 0) {
		has = model_xattr_find(at.in, op->path2);
		want = op->d == XATTR_CREATE && has	? -EEXIST
		       : op->d == XATTR_REPLACE && !has ? -ENODATA
							: 0;
	}
	rc = result(lsetxattr(at.full, op->path2, w->buf, len, (int)op->d));
	if (!ex_expect_in(w, at.p.root, rc, want))
		return true;
	model_xattr_set(model_edit(at.p.root, at.p.ino), op->path2, w->buf,
			len);
	ex_settle(w, at.p.root, at.p.ino, EX_CTIME);
	return true;
}

static bool do_removexattr(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	struct where at;
	int want, rc;

	if (!look(w, op->path, &at))
		return false;
	want = want_old(&at);
	if (want == 0)
		want = xattr_kind(&at, op->path2);
	if (want == 0 && !model_xattr_find(at.in, op->path2))
		want = -ENODATA;
	rc = result(lremovexattr(at.full, op->path2));
	if (!ex_expect_in(w, at.p.root, rc, want))
		return true;
	model_xattr_remove(model_edit(at.p.root, at.p.ino), op->path2);
	ex_settle(w, at.p.root, at.p.ino, EX_CTIME);
	return true;
}

static bool do_getxattr(struct ex_worker *w)
{
	const struct ex_op *op = w->op;
	const struct model_xattr *x = NULL;
	struct where at;
	ssize_t rc;
	int want;

	if (!look(w, op->path, &at))
		return false;
	want = want_old(&at);
	/* Linux: reading from what cannot have it says that it is not there */
	if (want == 0 && xattr_kind(&at, op->path2))
		want = -ENODATA;
	if (want == 0) {
		x = model_xattr_find(at.in, op->path2);
		want = x ? 0 : -ENODATA;
	}
	rc = lgetxattr(at.full, op->path2, w->buf, EX_IO_MAX);
	rc = rc < 0 ? -errno : rc;
	if (!ex_expect(w, rc, want))
		return true;
	if ((size_t)rc != x->len || memcmp(w->buf, x->value, x->len))
		ex_fail(w, "its %zd bytes are not the %zu that were set", rc,
			x->len);
	return true;
}

/* -- looking --------------------------------------------------------------- */

static bool do_lookup(struct ex_worker *w)
{
	char target[4097];
	struct where at;
	struct stat st;
	ssize_t n;

	if (!look(w, w->op->path, &at))
		return false;
	if (!ex_expect(w, result(lstat(at.full, &st)), want_old(&at)))
		return true;
	ex_settle(w, at.p.root, at.p.ino, 0);
	if (!S_ISLNK(st.st_mode))
		return true;
	n = readlink(at.full, target, sizeof(target) - 1);
	if (n < 0)
		ex_fail(w, "readlink: %s", strerror(errno));
	target[n] = '\0';
	if (strcmp(target, at.in->target))
		ex_fail(w, "the link says '%s', not '%s'", target,
			at.in->target);
	return true;
}

/* Names of other workers in the shared directory are theirs. */
static bool is_others(const struct ex_worker *w, const struct where *at,
		      const char *name)
{
	const struct model_inode *top =
		model_inode(at->p.root->tree, MODEL_ROOT_INO);
	const uint64_t ino = at->p.ino;

	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return true;
	if (ino != MODEL_ROOT_INO && ino != model_name_find(top, "shared"))
		return false;
	return name[0] != 'w' || name[1] != (char)('0' + w->n);
}

static void compare_listing(struct ex_worker *w, const struct where *at,
			    DIR *dir)
{
	size_t nr = 0, want = at->in->nr_names;
	struct dirent *e;

	if (at->p.ino == MODEL_ROOT_INO)
		want--; /* 'shared' is nobody's */
	while ((e = readdir(dir))) {
		if (is_others(w, at, e->d_name))
			continue;
		nr++;
		if (!model_name_find(at->in, e->d_name))
			ex_fail(w, "it lists '%s'", e->d_name);
	}
	if (nr != want)
		ex_fail(w, "it lists %zu names, want %zu", nr, want);
}

static bool do_readdir(struct ex_worker *w)
{
	struct where at;
	DIR *dir;
	int want;

	if (!look(w, w->op->path, &at) || (at.in && S_ISLNK(at.in->attr.mode)))
		return false;
	want = want_old(&at);
	if (want == 0 && !is_dir(at.in))
		want = -ENOTDIR;
	dir = opendir(at.full);
	if (!ex_expect(w, dir ? 0 : -errno, want))
		return true;
	compare_listing(w, &at, dir);
	/* once more from the start, by the positions that it gave */
	rewinddir(dir);
	compare_listing(w, &at, dir);
	closedir(dir);
	return true;
}

static bool do_fsyncdir(struct ex_worker *w)
{
	uint64_t mark[EX_WORKERS_MAX];
	struct where at;
	int fd;

	if (!look(w, w->op->path, &at) || !is_dir(at.in) || at.p.root->parent)
		return false;
	ex_durable_begin(w, at.p.root, mark);
	fd = open(at.full, O_RDONLY | O_DIRECTORY);
	if (!ex_expect(w, result(fd), 0) || !ex_expect(w, result(fsync(fd)), 0))
		return true;
	close(fd);
	ex_durable_end(w, mark);
	return true;
}

bool ex_exec_name(struct ex_worker *w)
{
	switch (w->op->kind) {
	case EX_MKDIR:
	case EX_SYMLINK:
	case EX_MKNOD:
		return make(w);
	case EX_LINK:
		return do_link(w);
	case EX_LINKFD:
		return linkfd(w);
	case EX_RMDIR:
	case EX_UNLINK:
		return take_away(w);
	case EX_RENAME:
		return do_rename(w);
	case EX_CHMOD:
		return do_chmod(w);
	case EX_CHOWN:
		return do_chown(w);
	case EX_UTIMENS:
		return do_utimens(w);
	case EX_SETXATTR:
		return do_setxattr(w);
	case EX_REMOVEXATTR:
		return do_removexattr(w);
	case EX_GETXATTR:
		return do_getxattr(w);
	case EX_READDIR:
		return do_readdir(w);
	case EX_FSYNCDIR:
		return do_fsyncdir(w);
	case EX_LOOKUP:
		return do_lookup(w);
	default:
		return false;
	}
}
