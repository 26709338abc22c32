/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/use.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/dataset_internal.h"
#include "store/pool_internal.h"
#include "store/store.h"
#include "tests/lib/check.h"

#define ROOTS_MAX 32u
#define READ_MAX  32768u

static uint8_t buffer[READ_MAX];

static const char *const names[] = {
	"db",	"t0.ibd", "t3.ibd", "t7.ibd", "t8.ibd", "t9.ibd", "log", "log2",
	"link", "long",	  "sock",   "dir",    "f",	"x",	  "y",	 ".dbs",
};

/* All that can be listed, datasets before their snapshots. */
struct roots {
	uint32_t id[ROOTS_MAX];
	size_t nr;
};

static void roots_find(struct pool *pool, struct roots *roots)
{
	uint32_t *ids, *below;
	size_t nr = 0, nr_below;

	roots->nr = 0;
	if (dataset_list(pool, 0, &ids, &nr))
		return;
	for (size_t i = 0; i < nr && roots->nr < ROOTS_MAX; i++) {
		roots->id[roots->nr++] = ids[i];
		if (dataset_list(pool, ids[i], &below, &nr_below))
			continue;
		for (size_t k = 0; k < nr_below && roots->nr < ROOTS_MAX; k++)
			roots->id[roots->nr++] = below[k];
		free(below);
	}
	free(ids);
}

/* ---- verbs --------------------------------------------------------------- */

struct verb {
	struct pool *pool;
	struct roots roots;
	struct dataset *ds, *other; /* held */
	uint64_t ino, dir;
	const char *name, *name2;
	uint64_t a; /* an offset, or what the verb takes it for */
	uint32_t b;
};

static size_t name_len(const struct verb *v)
{
	return strlen(v->name);
}

static void do_write(struct verb *v)
{
	file_write(v->ds, v->ino, v->a, buffer, 1 + v->b * 97, v->b & 2);
}

static void do_read(struct verb *v)
{
	size_t len;

	file_read(v->ds, v->ino, v->a, buffer, 1 + v->b * 97, &len);
}

static void do_setattr(struct verb *v)
{
	struct file_attr attr = {.size = v->a, .mode = 04755, .uid = v->b};
	static const unsigned masks[] = {
		FILE_SET_SIZE,
		FILE_SET_MODE | FILE_SET_UID,
		FILE_KILL_PRIV,
		FILE_SET_ATIME | FILE_SET_MTIME_NOW,
	};

	file_setattr(v->ds, v->ino, masks[v->b & 3], &attr, NULL);
}

static void do_create(struct verb *v)
{
	static const uint32_t modes[] = {S_IFREG | 0644, S_IFDIR | 0755,
					 S_IFLNK | 0777, S_IFIFO | 0600};
	struct file_new n = {.mode = modes[v->b & 3], .target = "../x"};
	struct file_attr attr;

	if (v->b & 4)
		file_create_unnamed(v->ds, v->dir, &n, &attr);
	else
		file_create(v->ds, v->dir, v->name, name_len(v), &n, &attr);
}

static void do_link(struct verb *v)
{
	struct file_attr attr;

	file_link(v->ds, v->ino, v->dir, v->name, name_len(v), &attr);
}

static void do_unlink(struct verb *v)
{
	if (v->b & 1)
		file_rmdir(v->ds, v->dir, v->name, name_len(v), NULL);
	else
		file_unlink(v->ds, v->dir, v->name, name_len(v), NULL);
}

static void do_rename(struct verb *v)
{
	uint64_t replaced;

	file_rename(v->ds, v->dir, v->name, name_len(v), v->ino, v->name2,
		    strlen(v->name2), v->b % 3, &replaced);
}

static void do_fallocate(struct verb *v)
{
	static const int modes[] = {
		0,
		FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE,
	};

	file_fallocate(v->ds, v->ino, modes[v->b & 3], v->a,
		       1 + (uint64_t)(v->b >> 2) * 1500, 0);
}

static void do_seek(struct verb *v)
{
	uint64_t out;

	file_seek(v->ds, v->ino, v->a, v->b & 1 ? SEEK_DATA : SEEK_HOLE, &out);
}

static void do_copy(struct verb *v)
{
	uint64_t copied;

	file_copy(v->other, v->ino, v->a, v->ds, v->dir, (uint64_t)v->b << 12,
		  1 + v->b * 999, 0, &copied);
}

static void do_xattr(struct verb *v)
{
	static const char *const keys[] = {"user.big", "user.small", "user.new",
					   "user.0"};
	const char *key = keys[v->a & 3];
	size_t len;

	switch (v->b & 3) {
	case 0:
		file_getxattr(v->ds, v->ino, key, buffer, sizeof(buffer), &len);
		break;
	case 1:
		file_setxattr(v->ds, v->ino, key, buffer, v->b * 40, 0);
		break;
	case 2:
		file_removexattr(v->ds, v->ino, key);
		break;
	default:
		file_listxattr(v->ds, v->ino, (char *)buffer, sizeof(buffer),
			       &len);
	}
}

static void do_lookup(struct verb *v)
{
	struct file_attr attr;

	file_lookup(v->ds, v->dir, v->name, name_len(v), &attr);
	file_getattr(v->ds, v->ino, &attr);
	file_readlink(v->ds, v->ino, (char *)buffer, SYMLINK_MAX + 1);
}

/* An open file without a name, or one that is opened and closed. */
static void do_open(struct verb *v)
{
	if (file_open(v->ds, v->ino, v->b & 1))
		return;
	file_unlink(v->ds, v->dir, v->name, name_len(v), NULL);
	if (v->b & 2)
		do_write(v);
	file_close(v->ds, v->ino, v->b & 1);
}

static void do_snapshot(struct verb *v)
{
	char name[16];
	uint32_t id;

	snprintf(name, sizeof(name), "s%u", v->b & 3);
	dataset_snapshot(v->ds, name, false, &id);
}

static void do_clone(struct verb *v)
{
	char name[16];
	uint32_t id;

	snprintf(name, sizeof(name), "c%u", v->b & 3);
	dataset_clone(v->ds, name, &id);
	roots_find(v->pool, &v->roots);
}

static void do_restore(struct verb *v)
{
	dataset_restore(v->ds, v->other, v->b & 1 ? "kept" : NULL,
			v->b & 2 ? RESTORE_FORCE : 0);
}

static void do_destroy(struct verb *v)
{
	dataset_destroy(v->ds,
			DESTROY_FORCE | (v->b & 1 ? DESTROY_SNAPSHOTS : 0));
}

static void do_rename_dataset(struct verb *v)
{
	dataset_rename(v->ds, v->name);
}

static void each_user(void *arg, const char *key, const char *value)
{
	*(size_t *)arg += strlen(key) + strlen(value);
}

static void do_properties(struct verb *v)
{
	struct dataset_properties p;
	size_t sum = 0;

	dataset_properties_default(&p);
	switch (v->b & 3) {
	case 0:
		p.quota = v->a;
		p.recordsize = 4096u << (v->b >> 2) % 6;
		dataset_set_properties(v->ds, &p);
		break;
	case 1:
		dataset_set_user(v->ds, v->name, v->name2);
		break;
	case 2:
		dataset_unset_user(v->ds, "owner");
		break;
	default:
		dataset_each_user(v->ds, each_user, &sum);
	}
}

static int ignore_entry(void *arg, const struct diff_entry *e)
{
	return (*(unsigned *)arg += 1 + (unsigned)strlen(e->path) % 2) > 600;
}

static void do_diff(struct verb *v)
{
	unsigned nr = 0;

	dataset_diff(v->ds, v->other, ignore_entry, &nr);
}

static void do_unique(struct verb *v)
{
	struct dataset *both[2] = {v->ds, v->other};
	uint64_t bytes, size, free;

	dataset_unique(both, v->ds == v->other || v->b & 1 ? 1 : 2, &bytes);
	dataset_space(v->ds, &size, &free);
}

static void do_sync(struct verb *v)
{
	if (v->b & 1)
		pool_sync(v->pool);
	else
		file_fsync(v->ds, v->ino);
}

/* What the worker does in the background. */
static void do_work(struct verb *v)
{
	if (v->b & 1)
		file_purge_orphans(v->ds);
	else
		dataset_recount(v->ds);
}

static int ignore_name(void *arg, const char *name, size_t len,
		       const struct file_attr *attr, uint64_t cookie)
{
	MUST(strnlen(name, len) == len);
	(void)attr;
	(void)cookie;
	return ++*(unsigned *)arg > 64;
}

static void do_readdir(struct verb *v)
{
	unsigned nr = 0;

	file_readdir(v->ds, v->ino, v->a, v->b & 1, ignore_name, &nr);
}

static void do_stat(struct verb *v)
{
	struct dataset_info info;
	struct pool_stat st;

	dataset_info(v->ds, &info);
	pool_stat(v->pool, &st);
}

static void (*const verbs[])(struct verb *v) = {
	do_write,   do_read,	   do_setattr,	 do_create,	    do_link,
	do_unlink,  do_rename,	   do_fallocate, do_seek,	    do_copy,
	do_xattr,   do_lookup,	   do_open,	 do_snapshot,	    do_clone,
	do_restore, do_destroy,	   do_sync,	 do_rename_dataset, do_diff,
	do_unique,  do_properties, do_work,	 do_readdir,	    do_stat,
};

static struct dataset *open_root(const struct verb *v, uint64_t i)
{
	struct dataset *ds;

	if (v->roots.nr == 0 ||
	    dataset_open_id(v->pool, v->roots.id[i % v->roots.nr], &ds))
		return NULL;
	return ds;
}

void fuzz_use(struct pool *pool, struct fuzz_input *in, unsigned max)
{
	struct verb v = {.pool = pool};

	roots_find(pool, &v.roots);
	for (unsigned i = 0; i < max && in->left > 0; i++) {
		uint8_t what = (uint8_t)fuzz_take(in, 1);
		uint64_t which = fuzz_take(in, 2);

		v.a = fuzz_take(in, 2);
		v.b = (uint32_t)fuzz_take(in, 1);
		v.a = v.a & 0x8000 ? fuzz_odd(v.a) : v.a * 64;
		v.ino = (which & 31) == 31 ? fuzz_odd(v.a)
			: which & 31	   ? INO_FIRST + (which & 31) - 1
					   : INO_ROOT;
		v.dir = which & 32 ? INO_ROOT : INO_FIRST;
		v.name = names[which >> 6 & 15];
		v.name2 = names[which >> 10 & 15];
		v.ds = open_root(&v, which >> 10);
		v.other = open_root(&v, which >> 13);
		if (v.ds && v.other)
			verbs[what % ARRAY_SIZE(verbs)](&v);
		dataset_put(v.ds);
		dataset_put(v.other);
	}
}

/* ---- everything ---------------------------------------------------------- */

struct walk {
	struct dataset *ds;
	uint64_t dir[64]; /* directories that are still to be read */
	unsigned nr_dirs;
	unsigned nr_names;
};

static void read_xattrs(struct dataset *ds, uint64_t ino)
{
	static char list[4096];
	size_t len = 0, value_len;

	if (file_listxattr(ds, ino, list, sizeof(list), &len))
		return;
	MUST(len <= sizeof(list));
	for (size_t at = 0; at < len; at += strlen(list + at) + 1)
		file_getxattr(ds, ino, list + at, buffer, sizeof(buffer),
			      &value_len);
}

static void read_file(struct dataset *ds, uint64_t ino, uint64_t size)
{
	uint64_t at = 0, hole;
	size_t len;

	file_read(ds, ino, size > 100 ? size - 100 : 0, buffer, 200, &len);
	for (unsigned i = 0; i < 40; i++) {
		if (file_seek(ds, ino, at, SEEK_DATA, &at))
			break;
		file_seek(ds, ino, at, SEEK_HOLE, &hole);
		file_read(ds, ino, at, buffer, sizeof(buffer), &len);
		at += sizeof(buffer);
	}
}

static void read_inode(struct dataset *ds, uint64_t ino)
{
	struct file_attr attr;

	if (file_getattr(ds, ino, &attr))
		return;
	read_xattrs(ds, ino);
	if (S_ISLNK(attr.mode))
		file_readlink(ds, ino, (char *)buffer, SYMLINK_MAX + 1);
	else if (S_ISREG(attr.mode))
		read_file(ds, ino, attr.size);
}

static int walk_name(void *arg, const char *name, size_t len,
		     const struct file_attr *attr, uint64_t cookie)
{
	struct walk *w = arg;

	(void)cookie;
	MUST(len > 0 && strnlen(name, len) == len && !memchr(name, '/', len));
	if (cookie > 2 && S_ISDIR(attr->mode) && w->nr_dirs < 64)
		w->dir[w->nr_dirs++] = attr->ino;
	read_inode(w->ds, attr->ino);
	return ++w->nr_names > 150;
}

static void walk_root(struct dataset *ds)
{
	struct walk w = {.ds = ds, .dir = {INO_ROOT}, .nr_dirs = 1};
	struct dataset_info info;
	uint64_t bytes;
	size_t sum = 0;

	dataset_info(ds, &info);
	MUST(strlen(info.name) > 0);
	dataset_each_user(ds, each_user, &sum);
	for (unsigned i = 0; i < w.nr_dirs && w.nr_names < 150; i++)
		file_readdir(ds, w.dir[i], 0, true, walk_name, &w);
	/* those without names too */
	for (uint64_t ino = INO_FIRST; ino < INO_FIRST + 24; ino++)
		read_inode(ds, ino);
	dataset_unique(&ds, 1, &bytes);
}

void fuzz_walk(struct pool *pool)
{
	struct dataset *ds, *before = NULL;
	struct roots roots;
	struct pool_stat st;
	unsigned nr = 0;

	pool_stat(pool, &st);
	roots_find(pool, &roots);
	for (size_t i = 0; i < roots.nr; i++) {
		if (dataset_open_id(pool, roots.id[i], &ds))
			continue;
		walk_root(ds);
		if (before)
			dataset_diff(before, ds, ignore_entry, &nr);
		dataset_put(before);
		before = ds;
	}
	dataset_put(before);
}

static void ignore_finding(void *arg, const char *text)
{
	*(size_t *)arg += strlen(text);
}

static bool agree(void *arg, const struct check_repair *plan)
{
	(void)plan;
	return *(size_t *)arg > 0;
}

void fuzz_check(struct blkdev *dev, bool repair)
{
	size_t sum = 0;
	const struct check_options o = {
		.data = true,
		.report = ignore_finding,
		.repair = repair ? agree : NULL,
		.arg = &sum,
	};
	struct store_error error = {""};
	struct check_result result;
	int rc = check_run(dev, &o, &result, &error);

	MUST(rc == 0 || rc == -ENOMEM || *error.text);
	if (rc == 0)
		MUST((result.nr_errors > 0) == (sum > 0));
}
