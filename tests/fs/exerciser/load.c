/* SPDX-License-Identifier: Apache-2.0 */
/* load.c - all that a worker has of a dataset or snapshot, as a model's tree */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/fs/exerciser/ex.h"

#define READ_BYTES ((size_t)256 << 10)
/* longer holes are seeked over, not read */
#define GAP_MAX ((uint64_t)1 << 20)

struct load {
	struct ex_run *run;
	unsigned n;
	int direct;
	struct model_root root; /* only its tree is used */
	uint8_t *buf;
	char *why;
	size_t cap;
};

__attribute__((format(printf, 3, 4))) static bool
failed(struct load *l, const char *path, const char *fmt, ...)
{
	const int n = snprintf(l->why, l->cap, "'%s': ", path);
	va_list ap;

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < l->cap)
		vsnprintf(l->why + n, l->cap - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

/* -- attributes ------------------------------------------------------------ */

/*
 * What the kernel remembers must be what the daemon says: asking for the time
 * of birth makes it ask.
 */
static bool load_attr(struct load *l, const char *path, struct file_attr *a)
{
	struct statx stx;
	struct stat st;

	if (lstat(path, &st) ||
	    statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_STATX_FORCE_SYNC,
		  STATX_BASIC_STATS | STATX_BTIME, &stx))
		return failed(l, path, "stat: %s", strerror(errno));
	ex_attr_of(l->run, &st, a);
	a->btime =
		(struct timespec){stx.stx_btime.tv_sec, stx.stx_btime.tv_nsec};
	if (stx.stx_mode != a->mode || stx.stx_nlink != a->nlink ||
	    stx.stx_uid != a->uid || stx.stx_gid != a->gid ||
	    stx.stx_size != a->size || stx.stx_ino != st.st_ino)
		return failed(l, path,
			      "the kernel remembers mode %o nlink %u size %ju, "
			      "the daemon says mode %o nlink %u size %ju",
			      a->mode, a->nlink, (uintmax_t)a->size,
			      stx.stx_mode, stx.stx_nlink,
			      (uintmax_t)stx.stx_size);
	if (stx.stx_mtime.tv_sec != a->mtime.tv_sec ||
	    stx.stx_mtime.tv_nsec != (uint32_t)a->mtime.tv_nsec ||
	    stx.stx_ctime.tv_sec != a->ctime.tv_sec ||
	    stx.stx_ctime.tv_nsec != (uint32_t)a->ctime.tv_nsec ||
	    stx.stx_atime.tv_sec != a->atime.tv_sec ||
	    stx.stx_atime.tv_nsec != (uint32_t)a->atime.tv_nsec)
		return failed(l, path,
			      "the kernel remembers other times than "
			      "the daemon");
	return true;
}

static bool load_xattrs(struct load *l, const char *path,
			struct model_inode *in)
{
	char list[8192];
	const ssize_t len = llistxattr(path, list, sizeof(list));
	ssize_t n;

	if (len < 0)
		return failed(l, path, "listxattr: %s", strerror(errno));
	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(list + at) + 1) {
		n = lgetxattr(path, list + at, l->buf, READ_BYTES);
		if (n < 0)
			return failed(l, path, "getxattr of '%s': %s",
				      list + at, strerror(errno));
		model_xattr_set(in, list + at, l->buf, (size_t)n);
	}
	return true;
}

/* -- content --------------------------------------------------------------- */

static bool is_zero(const uint8_t *p, size_t len)
{
	return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static void keep(struct model_inode *in, uint64_t at, const uint8_t *p,
		 size_t len)
{
	size_t part;

	for (; len; at += part, p += part, len -= part) {
		part = MIN_OF(len, (size_t)MODEL_PIECE);
		if (!is_zero(p, part))
			model_data_write(in, at, p, part);
	}
}

/* Where to read next: behind a long hole its end. */
static uint64_t after_gap(int fd, uint64_t at, uint64_t size)
{
	off_t next;

	if (size - at <= GAP_MAX)
		return at;
	next = lseek(fd, (off_t)at, SEEK_DATA);
	if (next < 0)
		return errno == ENXIO ? size : at;
	return (uint64_t)next - at > GAP_MAX
		       ? (uint64_t)next & ~(uint64_t)(READ_BYTES - 1)
		       : at;
}

static bool load_data(struct load *l, const char *path, struct model_inode *in)
{
	const int direct = l->run->s.plain ? 0 : l->direct;
	const uint64_t size = in->attr.size;
	const int fd = open(path, O_RDONLY | direct);
	ssize_t n = 0;

	if (fd < 0)
		return failed(l, path, "open: %s", strerror(errno));
	for (uint64_t at = after_gap(fd, 0, size); at < size;
	     at = after_gap(fd, at, size)) {
		n = pread(fd, l->buf, READ_BYTES, (off_t)at);
		if (n <= 0)
			break;
		keep(in, at, l->buf, (size_t)n);
		at += (uint64_t)n;
	}
	close(fd);
	if (n < 0)
		return failed(l, path, "read: %s", strerror(errno));
	if (in->attr.size != size)
		return failed(l, path, "%ju bytes, but size %ju",
			      (uintmax_t)in->attr.size, (uintmax_t)size);
	return true;
}

/* -- the tree -------------------------------------------------------------- */

static bool load_inode(struct load *l, const char *path, uint64_t parent,
		       uint64_t *ino);

/* Of the directories that all share, only what is the worker's. */
static bool is_mine(const struct load *l, unsigned depth, bool shared,
		    const char *name)
{
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return false;
	if (depth == 0 && strcmp(name, "shared") == 0)
		return true;
	if (depth > 0 && !shared)
		return true;
	return name[0] == 'w' && name[1] == (char)('0' + l->n);
}

static bool load_dir(struct load *l, const char *path, struct model_inode *in,
		     unsigned depth, bool shared)
{
	const uint64_t self = in->attr.ino;
	char *child = malloc(EX_PATH_MAX);
	DIR *dir = opendir(path);
	bool good = dir != NULL;
	struct dirent *e;
	uint64_t ino;

	if (!dir)
		failed(l, path, "opendir: %s", strerror(errno));
	while (good && (e = readdir(dir))) {
		if (!is_mine(l, depth, shared, e->d_name))
			continue;
		snprintf(child, EX_PATH_MAX, "%s/%s", path, e->d_name);
		good = load_inode(l, child, self, &ino);
		/* adding inodes does not move this one */
		if (good)
			model_name_set(in, e->d_name, ino);
	}
	if (dir)
		closedir(dir);
	free(child);
	return good;
}

static unsigned depth_of(const struct load *l, uint64_t parent)
{
	unsigned depth = 1;

	while (parent != MODEL_ROOT_INO) {
		parent = model_inode(l->root.tree, parent)->parent;
		depth++;
	}
	return depth;
}

static bool load_content(struct load *l, const char *path,
			 struct model_inode *in)
{
	const char *base = strrchr(path, '/') + 1;
	char target[4097];
	unsigned depth;
	ssize_t n;

	if (S_ISREG(in->attr.mode)) {
		return load_data(l, path, in);
	} else if (S_ISDIR(in->attr.mode)) {
		depth = depth_of(l, in->parent);
		return load_dir(l, path, in, depth,
				depth == 1 && strcmp(base, "shared") == 0);
	} else if (S_ISLNK(in->attr.mode)) {
		n = readlink(path, target, sizeof(target) - 1);
		if (n < 0)
			return failed(l, path, "readlink: %s", strerror(errno));
		target[n] = '\0';
		in->target = strdup(target);
	}
	return true;
}

static bool load_inode(struct load *l, const char *path, uint64_t parent,
		       uint64_t *ino)
{
	struct model_inode *in;
	struct file_attr a;

	if (!load_attr(l, path, &a))
		return false;
	*ino = a.ino;
	/* another name of it was there before */
	if (model_inode(l->root.tree, a.ino))
		return true;
	in = model_inode_add(&l->root, &a);
	in->parent = parent;
	return load_xattrs(l, path, in) && load_content(l, path, in);
}

struct model_tree *ex_load(struct ex_run *run, unsigned n, const char *path,
			   int direct, char *why, size_t cap)
{
	struct load l = {
		.run = run, .n = n, .direct = direct, .why = why, .cap = cap};
	char full[EX_PATH_MAX];
	struct model_inode *top;
	struct file_attr a;
	bool good;

	ex_full_path(run, path, full);
	if (!load_attr(&l, full, &a))
		return NULL;
	if (run->s.plain)
		a.ino = MODEL_ROOT_INO;
	MUST(a.ino == MODEL_ROOT_INO);
	MUST(posix_memalign((void **)&l.buf, 4096, READ_BYTES) == 0);
	l.root.tree = model_tree_new(&a);
	top = model_edit(&l.root, MODEL_ROOT_INO);
	good = load_xattrs(&l, full, top) && load_dir(&l, full, top, 0, false);
	free(l.buf);
	if (good)
		return l.root.tree;
	model_tree_put(l.root.tree);
	return NULL;
}
