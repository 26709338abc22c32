/* SPDX-License-Identifier: Apache-2.0 */
/* settle.c - after an operation: does the kernel say what the model says? */
#include <errno.h>
#include <fcntl.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "tests/fs/exerciser/ex.h"

#define DRIFT_NS INT64_C(10000000)

static int64_t ns_of(const struct timespec *t)
{
	return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

void ex_attr_of(const struct ex_run *run, const struct stat *st,
		struct file_attr *a)
{
	*a = (struct file_attr){
		.ino = ex_ino(run, st),
		.mode = st->st_mode,
		.uid = st->st_uid,
		.gid = st->st_gid,
		.nlink = (uint32_t)st->st_nlink,
		.rdev_major = major(st->st_rdev),
		.rdev_minor = minor(st->st_rdev),
		.size = (uint64_t)st->st_size,
		.blocks = (uint64_t)st->st_blocks,
		.recordsize = (uint32_t)st->st_blksize,
		.atime = st->st_atim,
		.mtime = st->st_mtim,
		.ctime = st->st_ctim,
	};
}

/* By a handle or a path, whichever the inode has; false: neither. */
static bool get_stat(struct ex_worker *w, const struct model_root *r,
		     uint64_t ino, struct stat *st)
{
	char path[EX_PATH_MAX], full[EX_PATH_MAX];

	if (ex_find_path(w, r, ino, path)) {
		ex_full_path(w->run, path, full);
		if (lstat(full, st))
			ex_fail(w, "lstat of '%s': %s", path, strerror(errno));
		return true;
	}
	for (unsigned i = 0; i < EX_HANDLES; i++) {
		const struct ex_handle *h = &w->handles[i];

		if (h->fd < 0 || h->stale || h->root != r->id || h->ino != ino)
			continue;
		if (fstat(h->fd, st))
			ex_fail(w, "fstat of handle %u: %s", i,
				strerror(errno));
		return true;
	}
	return false;
}

/* The directory that all share has others' times and links. */
static bool is_shared_dir(const struct model_root *r, uint64_t ino)
{
	const struct model_inode *top = model_inode(r->tree, MODEL_ROOT_INO);

	return model_name_find(top, "shared") == ino;
}

static void check_attr(struct ex_worker *w, const struct file_attr *want,
		       const struct file_attr *got, bool shared)
{
	const bool dir = S_ISDIR(want->mode), reg = S_ISREG(want->mode);

	if (got->ino != want->ino || got->mode != want->mode ||
	    got->uid != want->uid || got->gid != want->gid ||
	    (!shared && got->nlink != want->nlink) ||
	    (!dir && got->size != want->size) ||
	    (reg && got->recordsize != want->recordsize) ||
	    got->rdev_major != want->rdev_major ||
	    got->rdev_minor != want->rdev_minor)
		ex_fail(w,
			"ino %ju mode %o owner %u:%u nlink %u size %ju "
			"recordsize %u, want ino %ju mode %o owner %u:%u nlink "
			"%u size %ju recordsize %u",
			(uintmax_t)got->ino, got->mode, got->uid, got->gid,
			got->nlink, (uintmax_t)got->size, got->recordsize,
			(uintmax_t)want->ino, want->mode, want->uid, want->gid,
			want->nlink, (uintmax_t)want->size, want->recordsize);
}

/* @t must be from between the operation's begin and now. */
static void check_new_time(struct ex_worker *w, uint64_t ino, const char *what,
			   const struct timespec *t)
{
	struct timespec now, mono;
	int64_t drift;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	drift = (ns_of(&now) - ns_of(&w->start)) -
		(ns_of(&mono) - ns_of(&w->start_mono));
	/* somebody set the clock */
	if (drift > DRIFT_NS || drift < -DRIFT_NS || w->run->s.plain)
		return;
	if (ns_of(t) < ns_of(&w->start) || ns_of(t) > ns_of(&now))
		ex_fail(w,
			"ino %ju: its %s, %jd, is not of this operation, "
			"from %jd to %jd",
			(uintmax_t)ino, what, (intmax_t)ns_of(t),
			(intmax_t)ns_of(&w->start), (intmax_t)ns_of(&now));
}

static void check_time(struct ex_worker *w, uint64_t ino, const char *what,
		       const struct timespec *want, const struct timespec *got,
		       bool changed, bool any)
{
	if (changed && !any)
		check_new_time(w, ino, what, got);
	else if (!any && !w->run->s.plain && !same_time(want, got))
		ex_fail(w, "ino %ju: its %s, %jd, should be %jd still",
			(uintmax_t)ino, what, (intmax_t)ns_of(got),
			(intmax_t)ns_of(want));
}

static void check_times(struct ex_worker *w, const struct file_attr *want,
			const struct file_attr *got, unsigned which, bool any)
{
	any = any || (which & EX_ANY_TIME);
	check_time(w, want->ino, "mtime", &want->mtime, &got->mtime,
		   which & EX_MTIME, any);
	check_time(w, want->ino, "ctime", &want->ctime, &got->ctime,
		   which & EX_CTIME, any);
	check_time(w, want->ino, "atime", &want->atime, &got->atime,
		   which & EX_ATIME, false);
}

static void touch(struct ex_worker *w, const struct model_root *r)
{
	const unsigned slot = ex_dataset_slot(r->name);

	if (!r->parent && slot != EX_DATASET_NONE)
		w->touched |= 1u << slot;
}

void ex_settle(struct ex_worker *w, struct model_root *r, uint64_t ino,
	       unsigned which)
{
	const bool shared = is_shared_dir(r, ino);
	struct model_inode *in = model_edit(r, ino);
	struct file_attr got;
	struct stat st;

	if (which)
		touch(w, r);
	if (!get_stat(w, r, ino, &st)) {
		if (in->attr.nlink)
			ex_fail(w, "ino %ju has links, but no name",
				(uintmax_t)ino);
		ex_clear_loose(w, r->id, ino);
		model_inode_remove(r, ino);
		return;
	}
	ex_attr_of(w->run, &st, &got);
	got.btime = in->attr.btime;
	if (w->run->s.plain && ino == MODEL_ROOT_INO)
		got.ino = ino;
	if (w->run->s.plain && S_ISDIR(got.mode))
		in->attr.nlink = got.nlink;
	check_attr(w, &in->attr, &got, shared);
	check_times(w, &in->attr, &got, which,
		    shared || ex_is_loose(w, r->id, ino));
	/* tar takes a file without blocks for one without data */
	if (S_ISREG(got.mode) && got.blocks == 0 && !w->run->s.plain &&
	    !ex_is_loose(w, r->id, ino) && model_data_next(in, 0) != UINT64_MAX)
		ex_fail(w, "ino %ju has data, but no blocks", (uintmax_t)ino);
	in->attr = got;
}

struct model_inode *ex_settle_new(struct ex_worker *w, struct model_root *r,
				  int dirfd, const char *path, uint64_t parent,
				  uint32_t mode, uint32_t nlink,
				  const char *target)
{
	const struct model_inode *dir = model_inode(r->tree, parent);
	const bool setgid = dir->attr.mode & S_ISGID;
	const uint32_t gid = setgid ? dir->attr.gid : 0;
	struct file_attr a, want;
	struct model_inode *in;
	struct statx stx;
	struct stat st;

	touch(w, r);
	if (setgid && S_ISDIR(mode))
		mode |= S_ISGID;
	if (fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) ||
	    statx(dirfd, path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH,
		  STATX_BASIC_STATS | STATX_BTIME, &stx))
		ex_fail(w, "stat of what is new: %s", strerror(errno));
	ex_attr_of(w->run, &st, &a);
	a.btime =
		(struct timespec){stx.stx_btime.tv_sec, stx.stx_btime.tv_nsec};
	want = a;
	want.mode = mode;
	want.uid = 0;
	want.gid = gid;
	want.nlink = nlink;
	want.size = target ? strlen(target) : 0;
	if (S_ISREG(mode) && !w->run->s.plain)
		want.recordsize = r->properties.recordsize;
	check_attr(w, &want, &a, w->run->s.plain && S_ISDIR(mode));
	check_new_time(w, a.ino, "btime", &a.btime);
	if (model_inode(r->tree, a.ino))
		ex_fail(w, "ino %ju is in use", (uintmax_t)a.ino);
	in = model_inode_add(r, &a);
	in->parent = parent;
	if (target)
		in->target = strdup(target);
	return in;
}
