/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gen.c - makes operations up
 *
 * Most are on what is there, by the model, so that most succeed; what is said
 * of them is complete (op.h), so that they can be run again without this.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/fs/exerciser/ex.h"

#define INODES_MAX 30u /* that a worker has in a dataset */
#define PICKS_MAX  200u
#define FILE_USUAL ((uint64_t)400 << 10)
#define FILE_LARGE ((uint64_t)2 << 20)

/* -- what there is --------------------------------------------------------- */

struct pick {
	char path[EX_PATH_MAX];
	uint64_t ino;
	uint32_t mode;
	unsigned depth; /* 1: the worker's own directory, or the shared one */
};

/* A worker's names in one dataset or snapshot. */
struct picks {
	const struct model_root *root;
	struct pick *all; /* PICKS_MAX */
	size_t nr;
};

static void collect(struct picks *p, uint64_t dir, const char *path,
		    unsigned depth)
{
	const struct model_inode *in = model_inode(p->root->tree, dir);

	for (size_t i = 0; i < in->nr_names && p->nr < PICKS_MAX; i++) {
		const struct model_name *n = &in->names[i];
		struct pick *to = &p->all[p->nr];

		if (snprintf(to->path, EX_PATH_MAX, "%s/%s", path, n->name) >=
		    (int)EX_PATH_MAX - 300)
			continue;
		to->ino = n->ino;
		to->mode = model_inode(p->root->tree, n->ino)->attr.mode;
		to->depth = depth;
		p->nr++;
		if (S_ISDIR(to->mode))
			collect(p, n->ino, to->path, depth + 1);
	}
}

/* By kind, S_IFREG, S_IFDIR or 0, and depth; NULL: there is none. */
static const struct pick *pick_one(struct ex_worker *w, const struct picks *p,
				   uint32_t type, unsigned depth_min,
				   unsigned depth_max)
{
	const size_t start = (size_t)rnd_below(&w->rnd, p->nr);

	for (size_t i = 0; i < p->nr; i++) {
		const struct pick *k = &p->all[(start + i) % p->nr];

		if (k->depth >= depth_min && k->depth <= depth_max &&
		    (type == 0 || (k->mode & S_IFMT) == type))
			return k;
	}
	return NULL;
}

static bool pick_root(struct ex_worker *w, bool snapshot, struct picks *p)
{
	const size_t start = (size_t)rnd_below(&w->rnd, w->now.nr);
	char path[EX_PATH_MAX];

	p->root = NULL;
	p->nr = 0;
	if (!snapshot && rnd_one_in(&w->rnd, 2))
		p->root = model_find_name(&w->now, 0, "d0");
	for (size_t i = 0; !p->root && i < w->now.nr; i++) {
		const struct model_root *r =
			&w->now.roots[(start + i) % w->now.nr];

		if (snapshot == (r->parent != 0))
			p->root = r;
	}
	if (!p->root || !ex_find_path(w, p->root, MODEL_ROOT_INO, path))
		return false;
	collect(p, MODEL_ROOT_INO, path, 1);
	return p->nr > 0;
}

/* Paths are far shorter than there is room for. */
__attribute__((format(printf, 2, 3))) static void set_path(char *path,
							   const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	MUST(vsnprintf(path, EX_PATH_MAX, fmt, ap) < (int)EX_PATH_MAX);
	va_end(ap);
}

/* -- names ----------------------------------------------------------------- */

/* A path in one of the directories, of what may or may not be there. */
static void new_path(struct ex_worker *w, const struct picks *p, char *path)
{
	const struct pick *dir = pick_one(w, p, S_IFDIR, 1, 3);
	const bool shared = strcmp(strrchr(dir->path, '/') + 1, "shared") == 0;
	const unsigned n = (unsigned)rnd_below(&w->rnd, 12);
	char name[300];

	snprintf(name, sizeof(name), "n%u", n);
	if (rnd_one_in(&w->rnd, 40)) {
		memset(name, 'l', 255);
		name[255] = '\0';
		name[1] = (char)('a' + n);
	}
	if (rnd_one_in(&w->rnd, 400)) {
		memset(name, 'm', 256);
		name[256] = '\0';
	}
	if (shared)
		set_path(path, "%s/w%u%.250s", dir->path, w->n, name);
	else
		set_path(path, "%s/%s", dir->path, name);
}

/* Something that is there, or seldom something that may not be. */
static void old_path(struct ex_worker *w, const struct picks *p, uint32_t type,
		     char *path)
{
	const struct pick *k = pick_one(w, p, type, 2, 9);

	if (!k || rnd_one_in(&w->rnd, 15))
		new_path(w, p, path);
	else
		set_path(path, "%s", k->path);
}

static uint32_t some_mode(struct ex_worker *w)
{
	static const uint32_t more[] = {0, 0, 0, 0, S_ISVTX, S_ISGID};

	return (uint32_t)rnd_below(&w->rnd, 01000) |
	       more[rnd_below(&w->rnd, 6)];
}

static int64_t some_time(struct ex_worker *w)
{
	switch (rnd_below(&w->rnd, 3)) {
	case 0:
		return (int64_t)rnd_below(&w->rnd, (uint64_t)1 << 31);
	case 1:
		return (int64_t)rnd_below(&w->rnd, (uint64_t)1 << 34);
	default:
		return -(int64_t)rnd_below(&w->rnd, (uint64_t)1 << 31);
	}
}

static int64_t some_nsec(struct ex_worker *w)
{
	const uint64_t dice = rnd_below(&w->rnd, 6);

	return dice == 0   ? UTIME_NOW
	       : dice == 1 ? UTIME_OMIT
			   : (int64_t)rnd_below(&w->rnd, 1000000000);
}

static void gen_xattr(struct ex_worker *w, struct ex_op *op, char *name)
{
	set_path(name, "%s.x%u", rnd_one_in(&w->rnd, 5) ? "trusted" : "user",
		 (unsigned)rnd_below(&w->rnd, 5));
	op->a = (int64_t)rnd_below(&w->rnd, 200);
	if (rnd_one_in(&w->rnd, 12))
		op->a = (int64_t)rnd_below(&w->rnd, 5000);
	if (rnd_one_in(&w->rnd, 60))
		op->a = (int64_t)rnd_below(&w->rnd, 65537);
	op->c = (int64_t)(rnd_next(&w->rnd) >> 8);
	op->d = rnd_one_in(&w->rnd, 4)	 ? XATTR_CREATE
		: rnd_one_in(&w->rnd, 4) ? XATTR_REPLACE
					 : 0;
}

static void gen_rename(struct ex_worker *w, const struct picks *p,
		       struct ex_op *op)
{
	static const unsigned flags[] = {0, 0, 0, RENAME_NOREPLACE,
					 RENAME_EXCHANGE};
	struct picks *other = NULL;
	struct picks q = {.all = NULL};

	op->a = flags[rnd_below(&w->rnd, 5)];
	old_path(w, p, 0, op->path);
	if (rnd_one_in(&w->rnd, 30)) {
		/* to another dataset */
		q.all = malloc(PICKS_MAX * sizeof(*q.all));
		MUST(q.all);
		if (pick_root(w, false, &q))
			other = &q;
	}
	if (rnd_one_in(&w->rnd, 2))
		new_path(w, other ? other : p, op->path2);
	else
		old_path(w, other ? other : p, 0, op->path2);
	free(q.all);
}

/* What an operation on names is about; its kind is set. */
static void gen_names(struct ex_worker *w, const struct picks *p,
		      struct ex_op *op)
{
	static const uint32_t types[] = {S_IFIFO, S_IFSOCK, S_IFREG};

	op->b = some_mode(w);
	switch (op->kind) {
	case EX_MKDIR:
		new_path(w, p, op->path);
		op->b |= 0700;
		return;
	case EX_MKNOD:
		new_path(w, p, op->path);
		op->b = (op->b & 0777) | types[rnd_below(&w->rnd, 3)];
		return;
	case EX_SYMLINK:
		new_path(w, p, op->path);
		memset(op->path2, 't', 600);
		op->path2[rnd_between(
			&w->rnd, 1, rnd_one_in(&w->rnd, 10) ? 600 : 60)] = '\0';
		return;
	case EX_LINK:
		old_path(w, p, rnd_one_in(&w->rnd, 8) ? 0 : S_IFREG, op->path);
		new_path(w, p, op->path2);
		return;
	case EX_LINKFD:
		new_path(w, p, op->path);
		return;
	case EX_RMDIR:
		old_path(w, p, rnd_one_in(&w->rnd, 8) ? 0 : S_IFDIR, op->path);
		return;
	case EX_RENAME:
		gen_rename(w, p, op);
		return;
	case EX_CHOWN:
		op->a = rnd_one_in(&w->rnd, 3)
				? -1
				: (int64_t)rnd_below(&w->rnd, 70000);
		op->b = rnd_one_in(&w->rnd, 3)
				? -1
				: (int64_t)rnd_below(&w->rnd, 70000);
		break;
	case EX_UTIMENS:
		op->a = some_time(w);
		op->b = some_nsec(w);
		op->c = some_time(w);
		op->d = some_nsec(w);
		break;
	case EX_SETXATTR:
	case EX_GETXATTR:
	case EX_REMOVEXATTR:
		gen_xattr(w, op, op->path2);
		break;
	case EX_READDIR:
	case EX_FSYNCDIR:
		set_path(op->path, "%s", pick_one(w, p, S_IFDIR, 1, 9)->path);
		return;
	default:
		break;
	}
	old_path(w, p, 0, op->path);
}

/* -- data ------------------------------------------------------------------ */

static uint64_t some_offset(struct ex_worker *w, uint64_t size, uint64_t rs)
{
	const uint64_t dice = rnd_below(&w->rnd, 12);
	uint64_t at = rnd_below(&w->rnd, size + 1);

	if (rnd_one_in(&w->rnd, 400))
		return rnd_below(&w->rnd, (uint64_t)1 << 43);
	switch (dice) {
	case 0:
	case 1:
		at = size;
		break;
	case 2:
		at = size + rnd_below(&w->rnd, 200000);
		break;
	case 3:
	case 4:
	case 5:
		at = round_down(at, rs);
		break;
	case 6:
		at = round_down(at, rs) + rnd_below(&w->rnd, 5);
		break;
	case 7:
		at = round_down(at, 4096);
		break;
	case 8:
		at -= MIN_OF(at, rnd_below(&w->rnd, 5));
		break;
	default:
		break;
	}
	/* files stay small, most of them */
	if (at > FILE_USUAL && size <= FILE_USUAL && !rnd_one_in(&w->rnd, 8))
		at = rnd_below(&w->rnd, FILE_USUAL);
	if (at > FILE_LARGE && size <= FILE_LARGE)
		at = rnd_below(&w->rnd, FILE_LARGE);
	return at;
}

static uint64_t some_length(struct ex_worker *w, uint64_t rs)
{
	switch (rnd_below(&w->rnd, 12)) {
	case 0:
		return rnd_below(&w->rnd, 17);
	case 1:
		return 512 * rnd_between(&w->rnd, 1, 9);
	case 2:
	case 3:
		return 4096 * rnd_between(&w->rnd, 1, 9);
	case 4:
	case 5:
		return rs * rnd_between(&w->rnd, 1, 4);
	case 6:
		return rnd_below(&w->rnd, 130000);
	case 7:
		if (rnd_one_in(&w->rnd, 6))
			return ((uint64_t)1 << 20) - rnd_below(&w->rnd, 3) +
			       rnd_below(&w->rnd, 3);
		return rnd_below(&w->rnd, 300000);
	default:
		return rnd_below(&w->rnd, 20000);
	}
}

static int some_rwf(struct ex_worker *w)
{
	if (rnd_one_in(&w->rnd, 25))
		return RWF_DSYNC;
	return rnd_one_in(&w->rnd, 25) ? RWF_APPEND : 0;
}

static int64_t some_falloc(struct ex_worker *w)
{
	static const int modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_COLLAPSE_RANGE,
		FALLOC_FL_INSERT_RANGE,
	};

	return modes[rnd_below(&w->rnd, 9)];
}

/* Where in the file, and how much, by the kind of operation. */
static void gen_io(struct ex_worker *w, const struct model_inode *in,
		   struct ex_op *op)
{
	const uint64_t size = in->attr.size;
	const uint64_t rs = in->attr.recordsize ? in->attr.recordsize : 4096;
	const uint64_t at = some_offset(w, size, rs);
	const uint64_t len = some_length(w, rs);
	uint64_t mapped;

	op->a = (int64_t)at;
	op->b = (int64_t)MIN_OF(len, (uint64_t)EX_IO_MAX);
	op->c = (int64_t)(rnd_next(&w->rnd) >> 8);
	switch (op->kind) {
	case EX_PREAD:
	case EX_PWRITE:
		op->d = rnd_one_in(&w->rnd, 5)
				? (int64_t)rnd_below(&w->rnd, 4096)
				: 0;
		op->h2 = op->kind == EX_PWRITE ? some_rwf(w) : 0;
		break;
	case EX_PWRITEV:
		op->d = (int64_t)rnd_between(&w->rnd, 1, 10);
		op->h2 = some_rwf(w);
		break;
	case EX_MREAD:
	case EX_MWRITE:
		mapped = MIN_OF(size, (uint64_t)EX_MAP_BYTES);
		op->a = (int64_t)rnd_below(&w->rnd, mapped);
		op->b = (int64_t)MIN_OF(len, mapped - (uint64_t)op->a);
		op->d = w->run->aside || rnd_one_in(&w->rnd, 2);
		break;
	case EX_FALLOCATE:
		op->c = op->b + 1 +
			(int64_t)(rnd_one_in(&w->rnd, 4)
					  ? rnd_below(&w->rnd, size + 1)
					  : 0);
		op->b = (int64_t)at;
		op->a = some_falloc(w);
		break;
	case EX_SEEK:
		op->b = rnd_one_in(&w->rnd, 2) ? SEEK_DATA : SEEK_HOLE;
		break;
	case EX_READBACK:
		op->a = (int64_t)rnd_between(&w->rnd, 1000, 140000);
		break;
	case EX_FSYNC:
		op->a = (int64_t)rnd_below(&w->rnd, 2);
		break;
	case EX_SETFL:
		op->a = rnd_one_in(&w->rnd, 2) ? O_DIRECT : 0;
		break;
	default:
		break;
	}
}

static const struct model_inode *inode_of(struct ex_worker *w, int n)
{
	struct ex_handle *h = ex_handle(w, n);
	struct model_root *r = h ? ex_handle_root(w, h) : NULL;

	return r ? model_inode(r->tree, h->ino) : NULL;
}

static void gen_copy(struct ex_worker *w, const struct model_inode *from,
		     struct ex_op *op)
{
	const struct model_inode *to;
	uint64_t rs = from->attr.recordsize;

	op->h2 = (int)rnd_below(&w->rnd, EX_HANDLES);
	to = inode_of(w, op->h2);
	rs = rs ? rs : 4096;
	op->a = (int64_t)some_offset(w, from->attr.size, rs);
	op->b = (int64_t)some_offset(w, to ? to->attr.size : 0, rs);
	op->c = (int64_t)MIN_OF(some_length(w, rs), (uint64_t)EX_IO_MAX);
	/* what can be shared: whole records, or all of a file */
	if (rnd_one_in(&w->rnd, 2)) {
		op->a = (int64_t)round_down((uint64_t)op->a, rs);
		op->b = (int64_t)round_down((uint64_t)op->b, rs);
	}
	if (rnd_one_in(&w->rnd, 4)) {
		op->a = op->b = 0;
		op->c = (int64_t)MIN_OF(from->attr.size, (uint64_t)EX_IO_MAX);
	}
}

static void gen_open(struct ex_worker *w, const struct picks *p,
		     struct ex_op *op)
{
	static const int more[] = {0,	     0,
				   O_DIRECT, O_DIRECT,
				   O_APPEND, O_DSYNC,
				   O_TRUNC,  O_DIRECT | O_DSYNC,
				   O_SYNC,   O_DIRECT | O_APPEND};
	const bool many = p->nr > INODES_MAX;

	op->h = (int)rnd_below(&w->rnd, EX_HANDLES);
	op->b = some_mode(w) & 0777;
	op->a = rnd_one_in(&w->rnd, 8)	  ? O_RDONLY
		: rnd_one_in(&w->rnd, 12) ? O_WRONLY
					  : O_RDWR;
	if ((op->a & O_ACCMODE) != O_RDONLY)
		op->a |= more[rnd_below(&w->rnd, 10)];
	else if (rnd_one_in(&w->rnd, 3))
		op->a |= O_DIRECT;
	if (!many && rnd_one_in(&w->rnd, 3)) {
		op->a |= O_CREAT;
		if (rnd_one_in(&w->rnd, 6))
			op->a |= O_EXCL;
		new_path(w, p, op->path);
		return;
	}
	old_path(w, p, S_IFREG, op->path);
}

/* -- one operation --------------------------------------------------------- */

struct weight {
	enum ex_kind kind;
	unsigned weight;
};

static const struct weight weights[] = {
	{EX_OPEN, 70},	    {EX_TMPFILE, 4},	 {EX_LINKFD, 5},
	{EX_CLOSE, 15},	    {EX_PREAD, 60},	 {EX_PWRITE, 110},
	{EX_PWRITEV, 15},   {EX_MREAD, 25},	 {EX_MWRITE, 35},
	{EX_MSYNC, 5},	    {EX_FTRUNCATE, 22},	 {EX_TRUNCATE, 8},
	{EX_FALLOCATE, 30}, {EX_COPY, 30},	 {EX_SEEK, 20},
	{EX_FSYNC, 12},	    {EX_DROP, 8},	 {EX_SETFL, 6},
	{EX_READBACK, 12},  {EX_MKDIR, 14},	 {EX_RMDIR, 10},
	{EX_UNLINK, 20},    {EX_RENAME, 24},	 {EX_LINK, 10},
	{EX_SYMLINK, 6},    {EX_MKNOD, 4},	 {EX_CHMOD, 8},
	{EX_CHOWN, 6},	    {EX_UTIMENS, 8},	 {EX_SETXATTR, 14},
	{EX_GETXATTR, 6},   {EX_REMOVEXATTR, 6}, {EX_READDIR, 8},
	{EX_FSYNCDIR, 2},   {EX_LOOKUP, 10},
};

static enum ex_kind pick_kind(struct rnd *rnd, const struct weight *list,
			      size_t nr)
{
	uint64_t sum = 0, dice;

	for (size_t i = 0; i < nr; i++)
		sum += list[i].weight;
	dice = rnd_below(rnd, sum);
	for (size_t i = 0;; i++) {
		if (dice < list[i].weight)
			return list[i].kind;
		dice -= list[i].weight;
	}
}

/* In a snapshot: looking, and what must be refused. */
static void gen_view(struct ex_worker *w, const struct picks *p,
		     struct ex_op *op)
{
	static const enum ex_kind kinds[] = {
		EX_OPEN,     EX_OPEN,	  EX_OPEN,  EX_LOOKUP, EX_LOOKUP,
		EX_READDIR,  EX_GETXATTR, EX_MKDIR, EX_UNLINK, EX_RENAME,
		EX_TRUNCATE, EX_SETXATTR, EX_CHMOD};

	op->kind = kinds[rnd_below(&w->rnd, ARRAY_SIZE(kinds))];
	if (op->kind == EX_OPEN) {
		gen_open(w, p, op);
		op->a &= O_DIRECT;
		return;
	}
	gen_names(w, p, op);
}

static void gen_any(struct ex_worker *w, const struct picks *p,
		    struct ex_op *op)
{
	const struct model_inode *in;

	op->kind = pick_kind(&w->rnd, weights, ARRAY_SIZE(weights));
	if (p->nr > INODES_MAX &&
	    (op->kind == EX_MKDIR || op->kind == EX_SYMLINK ||
	     op->kind == EX_MKNOD || op->kind == EX_LINK))
		op->kind = EX_UNLINK;
	op->h = (int)rnd_below(&w->rnd, EX_HANDLES);
	in = inode_of(w, op->h);
	if (op->kind == EX_OPEN) {
		gen_open(w, p, op);
	} else if (op->kind == EX_TMPFILE) {
		op->b = 0600;
		set_path(op->path, "%s", pick_one(w, p, S_IFDIR, 1, 9)->path);
	} else if (op->kind == EX_TRUNCATE) {
		old_path(w, p, S_IFREG, op->path);
		op->a = (int64_t)some_offset(w, FILE_USUAL, 4096);
	} else if (op->kind < EX_MKDIR && op->kind != EX_LINKFD) {
		if (in && op->kind == EX_COPY)
			gen_copy(w, in, op);
		else if (in)
			gen_io(w, in, op);
		else if (op->kind != EX_CLOSE)
			gen_open(w, p, op), op->kind = EX_OPEN;
	} else {
		gen_names(w, p, op);
	}
}

void ex_gen(struct ex_worker *w, struct ex_op *op)
{
	static _Thread_local struct pick all[PICKS_MAX];
	struct picks p = {.all = all};
	char *path = op->path, *path2 = op->path2;

	*op = (struct ex_op){.worker = (int)w->n, .path = path, .path2 = path2};
	*path = *path2 = '\0';
	if (rnd_one_in(&w->rnd, 25) && pick_root(w, true, &p)) {
		gen_view(w, &p, op);
		return;
	}
	if (pick_root(w, false, &p)) {
		gen_any(w, &p, op);
		return;
	}
	/* no dataset is left: something that cannot be there */
	op->kind = EX_LOOKUP;
	set_path(path, "d9/w%u", w->n);
}

/* -- the run's own --------------------------------------------------------- */

static const struct weight root_weights[] = {
	{EX_CREATE, 3},	  {EX_SNAPSHOT, 20}, {EX_SNAPRUN, 16}, {EX_CLONE, 10},
	{EX_CLONERUN, 5}, {EX_RESTORE, 12},  {EX_DESTROY, 22}, {EX_MV, 3},
	{EX_VERIFY, 12},  {EX_SCRUB, 3},     {EX_SYNC, 3},     {EX_REMOUNT, 4},
	{EX_KILL, 8},
};

static const struct weight plain_weights[] = {{EX_VERIFY, 1}, {EX_CREATE, 1}};

/* A root that there is, "DS" or "DS@SNAP"; false: there is none. */
static bool some_root(struct ex_run *run, bool snapshot, char *name)
{
	const struct model_state *s = &run->w[0].now;
	const size_t start = (size_t)rnd_below(&run->rnd, s->nr);

	for (size_t i = 0; i < s->nr; i++) {
		const struct model_root *r = &s->roots[(start + i) % s->nr];

		if (snapshot != (r->parent != 0))
			continue;
		if (snapshot)
			set_path(name, "%s@%s", model_find(s, r->parent)->name,
				 r->name);
		else
			set_path(name, "%s", r->name);
		return true;
	}
	return false;
}

static void some_dataset_name(struct ex_run *run, char *name)
{
	set_path(name, "d%u", (unsigned)rnd_below(&run->rnd, EX_DATASETS));
}

static void gen_destroy(struct ex_run *run, struct ex_op *op)
{
	if (!some_root(run, !rnd_one_in(&run->rnd, 3), op->path))
		some_dataset_name(run, op->path);
	op->a = (int64_t)rnd_below(&run->rnd, 4);
	/* there has to be something to work on */
	if (strcmp(op->path, "d0") == 0)
		some_dataset_name(run, op->path);
}

void ex_gen_root(struct ex_run *run, struct ex_op *op)
{
	static const int64_t sizes[] = {4096, 16384, 65536, 131072};
	char *path = op->path, *path2 = op->path2;
	struct rnd *rnd = &run->rnd;
	bool found;

	*op = (struct ex_op){.worker = -1, .path = path, .path2 = path2};
	*path = *path2 = '\0';
	op->kind = run->s.plain ? pick_kind(rnd, plain_weights, 2)
				: pick_kind(rnd, root_weights,
					    ARRAY_SIZE(root_weights));
	found = some_root(run, false, path);
	switch (op->kind) {
	case EX_CREATE:
		some_dataset_name(run, path);
		op->a = sizes[rnd_below(rnd, 4)];
		break;
	case EX_SNAPSHOT:
	case EX_SNAPRUN:
		set_path(path2, "s%u", (unsigned)rnd_below(rnd, EX_SNAPSHOTS));
		op->a = (int64_t)rnd_below(rnd, 200);
		break;
	case EX_CLONE:
		if (rnd_one_in(rnd, 2))
			some_root(run, true, path);
		some_dataset_name(run, path2);
		break;
	case EX_CLONERUN:
		some_dataset_name(run, path2);
		op->a = (int64_t)rnd_below(rnd, 200);
		break;
	case EX_RESTORE:
		if (!some_root(run, true, path))
			op->kind = EX_SYNC;
		some_root(run, false, path2);
		/* back to its own, most of the time */
		if (!rnd_one_in(rnd, 4))
			set_path(path2, "%.*s", (int)strcspn(path, "@"), path);
		op->a = (int64_t)rnd_below(rnd, 4);
		break;
	case EX_DESTROY:
		gen_destroy(run, op);
		break;
	case EX_MV:
		some_dataset_name(run, path2);
		break;
	case EX_VERIFY:
		if (rnd_one_in(rnd, 2))
			some_root(run, true, path);
		op->a = rnd_one_in(rnd, 2) ? O_DIRECT : 0;
		break;
	case EX_SCRUB:
	case EX_REMOUNT:
	case EX_KILL:
		op->a = (int64_t)rnd_below(rnd, 2);
		break;
	default:
		break;
	}
	if (!found)
		op->kind = EX_CREATE, op->a = 16384, strcpy(path, "d0");
}
