/* SPDX-License-Identifier: Apache-2.0 */
/*
 * golden.c - make the golden images, and tell what is in a pool
 *
 *	golden make plain|log IMAGE >MANIFEST
 *	golden list POOL [ro]		opens the pool, for writing unless 'ro'
 *	golden write POOL		changes it, in all ways
 *	golden check POOL
 *
 * The clock and the random numbers are this program's own (linked with
 * --wrap), so an image is the same bytes each time for the same store.  See
 * README.md here for what the images hold.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#include "store/format.h"
#include "store/os.h"
#include "store/store.h"

#define MUST(rc) must(rc, #rc, __LINE__)
#define ROOT	 1u

/* -- the clock and the dice ----------------------------------------------- */

uint64_t __wrap_os_monotonic_ns(void);
struct timespec __wrap_os_time_now(void);
void __wrap_os_random(void *buf, size_t len);

/* Each look takes 30 ms: the reaper ends its step after a few nodes. */
uint64_t __wrap_os_monotonic_ns(void)
{
	static uint64_t now;

	return now += UINT64_C(30) * 1000 * 1000;
}

struct timespec __wrap_os_time_now(void)
{
	static long n;

	n++;
	return (struct timespec){.tv_sec = 1795000000 + n,
				 .tv_nsec = n * 1001 % 1000000000};
}

static uint64_t dice(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

void __wrap_os_random(void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(dice() >> 24);
}

static int must(int rc, const char *what, int line)
{
	if (rc < 0) {
		fprintf(stderr, "golden: line %d: %s: %s\n", line, what,
			strerror(-rc));
		exit(2);
	}
	return rc;
}

/* -- short forms ---------------------------------------------------------- */

static uint64_t make(struct dataset *ds, uint64_t dir, const char *name,
		     uint32_t mode)
{
	struct file_new n = {.mode = mode, .uid = 1001, .gid = 1002};
	struct file_attr a;

	if (S_ISCHR(mode) || S_ISBLK(mode)) {
		n.rdev_major = 4095;
		n.rdev_minor = 1048575;
	}
	MUST(file_create(ds, dir, name, strlen(name), &n, &a));
	return a.ino;
}

static void make_link(struct dataset *ds, uint64_t dir, const char *name,
		      const char *target)
{
	struct file_new n = {.mode = S_IFLNK | 0777, .target = target};
	struct file_attr a;

	MUST(file_create(ds, dir, name, strlen(name), &n, &a));
}

static uint64_t find(struct dataset *ds, uint64_t dir, const char *name)
{
	struct file_attr a;

	MUST(file_lookup(ds, dir, name, strlen(name), &a));
	return a.ino;
}

/* @len bytes at @offset, that zstd makes small, or (@raw) cannot. */
static void put(struct dataset *ds, uint64_t ino, uint64_t offset, size_t len,
		bool raw)
{
	uint8_t *buf = malloc(len + 64);
	size_t n = 0;

	while (n < len)
		if (raw)
			buf[n++] = (uint8_t)(dice() >> 30);
		else
			n += (size_t)sprintf((char *)buf + n,
					     "%" PRIu64 ":%zu;", ino, n / 512);
	MUST(file_write(ds, ino, offset, buf, len, 0));
	free(buf);
}

static struct dataset *open_dataset(struct pool *pool, const char *name)
{
	struct dataset *ds;

	MUST(dataset_open(pool, name, &ds));
	return ds;
}

static struct dataset *create(struct pool *pool, const char *name,
			      uint32_t recordsize, int compression)
{
	struct dataset_properties p;
	uint32_t id;

	dataset_properties_default(&p);
	p.recordsize = recordsize;
	p.compression = compression;
	MUST(dataset_create(pool, name, &p, &id));
	return open_dataset(pool, name);
}

static struct dataset *clone_of(struct pool *pool, const char *source,
				const char *name)
{
	struct dataset *from = open_dataset(pool, source);
	uint32_t id;

	MUST(dataset_clone(from, name, &id));
	dataset_put(from);
	return open_dataset(pool, name);
}

static void snapshot(struct dataset *ds, const char *name)
{
	uint32_t id;

	MUST(dataset_snapshot(ds, name, false, &id));
}

static void destroy(struct dataset *ds)
{
	MUST(dataset_destroy(ds, DESTROY_SNAPSHOTS | DESTROY_FORCE));
	dataset_put(ds);
}

/* -- what there is -------------------------------------------------------- */

static void all_sizes(struct dataset *ds, uint64_t dir, bool raw)
{
	static const size_t sizes[] = {0,     1,      100,    4095,  4096,
				       4097,  16383,  16384,  16385, 40000,
				       65536, 131072, 131073, 300000};
	char name[32];

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		snprintf(name, sizeof(name), "size-%zu", sizes[i]);
		if (sizes[i])
			put(ds, make(ds, dir, name, S_IFREG | 0644), 0,
			    sizes[i], raw && sizes[i] < 5000);
		else
			make(ds, dir, name, S_IFREG | 0600);
	}
}

static void all_holes(struct dataset *ds, uint64_t dir)
{
	struct file_attr a = {.size = UINT64_C(3) << 40};
	uint64_t ino = make(ds, dir, "sparse", S_IFREG | 0644);

	put(ds, ino, 0, 5000, false);
	put(ds, ino, 7 << 20, 20000, false);
	put(ds, ino, (UINT64_C(5) << 30) - 100, 200, false);
	ino = make(ds, dir, "all-hole", S_IFREG | 0644);
	MUST(file_setattr(ds, ino, FILE_SET_SIZE, &a, NULL));
	ino = make(ds, dir, "punched", S_IFREG | 0644);
	put(ds, ino, 0, 200000, false);
	MUST(file_fallocate(ds, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    10000, 100000, 0));
	ino = make(ds, dir, "cut", S_IFREG | 0644);
	put(ds, ino, 0, 100000, false);
	a.size = 33333;
	MUST(file_setattr(ds, ino, FILE_SET_SIZE, &a, NULL));
	a.size = 50000;
	MUST(file_setattr(ds, ino, FILE_SET_SIZE, &a, NULL));
}

static void all_kinds(struct dataset *ds, uint64_t dir)
{
	static const char cap[20] = {1, 0, 0, 2, 2};
	char name[256], target[SYMLINK_MAX + 1], value[20000];
	struct file_attr a;
	uint64_t ino = make(ds, dir, "file", S_IFREG | 04755);
	uint64_t sub = make(ds, dir, "dir", S_IFDIR | 02775);

	put(ds, ino, 0, 10, false);
	MUST(file_link(ds, ino, dir, "link-2", 6, &a));
	MUST(file_link(ds, ino, sub, "link-3", 6, &a));
	make(ds, dir, "fifo", S_IFIFO | 0600);
	make(ds, dir, "socket", S_IFSOCK | 0777);
	make(ds, dir, "char", S_IFCHR | 0666);
	make(ds, dir, "block", S_IFBLK | 0660);
	make(ds, sub, "sticky", S_IFDIR | 01777);
	make_link(ds, dir, "symlink", "../some/where");
	memset(target, 'l', sizeof(target));
	target[SYMLINK_MAX] = '\0';
	make_link(ds, dir, "symlink-long", target);
	target[1500] = '\0';
	make_link(ds, dir, "symlink-1500", target);
	memset(name, 'n', 255);
	name[255] = '\0';
	make(ds, dir, name, S_IFREG | 0);
	make(ds, dir, "\xff\xfe not UTF-8\n", S_IFREG | 0644);
	make(ds, dir, "\xe6\x97\xa5\xe6\x9c\xac", S_IFREG | 0644);
	memset(value, 'v', sizeof(value));
	MUST(file_setxattr(ds, ino, "user.short", "x", 1, 0));
	MUST(file_setxattr(ds, ino, "user.empty", "", 0, 0));
	MUST(file_setxattr(ds, ino, "user.long", value, sizeof(value), 0));
	MUST(file_setxattr(ds, ino, "trusted.t", "t", 1, 0));
	MUST(file_setxattr(ds, ino, "security.capability", cap, 20, 0));
	/* as an importer may store them; the mount refuses them */
	MUST(file_setxattr(ds, sub, "system.posix_acl_access",
			   "\2\0\0\0\1\0\7\0\xff\xff\xff\xff", 12, 0));
	a.atime = (struct timespec){-1, 999999999};
	a.mtime = (struct timespec){INT64_C(4000000000), 1};
	MUST(file_setattr(ds, ino, FILE_SET_ATIME | FILE_SET_MTIME, &a, NULL));
}

static void many(struct dataset *ds, uint64_t dir, unsigned nr, bool data)
{
	char name[32];

	for (unsigned i = 0; i < nr; i++) {
		uint64_t ino;

		snprintf(name, sizeof(name), "many-%u", i);
		ino = make(ds, dir, name, S_IFREG | 0644);
		if (data && i % 10 == 0)
			put(ds, ino, 0, 3000, false);
	}
}

/* Something of a dataset changes; @seed keeps names apart. */
static void change(struct dataset *ds, unsigned seed)
{
	uint64_t sizes = find(ds, ROOT, "sizes"),
		 kinds = find(ds, ROOT, "kinds");
	struct file_attr a = {.size = 70000};
	char name[32];

	put(ds, find(ds, sizes, "size-300000"), 16384 * seed, 16384, false);
	put(ds, find(ds, sizes, "size-300000"), 200000 + seed, 77, false);
	put(ds, find(ds, sizes, "size-16385"), 16000, 5000, false);
	MUST(file_setattr(ds, find(ds, sizes, "size-131072"), FILE_SET_SIZE, &a,
			  NULL));
	snprintf(name, sizeof(name), "new-%u", seed);
	put(ds, make(ds, ROOT, name, S_IFREG | 0644), 0, 30000, false);
	MUST(file_rename(ds, ROOT, name, strlen(name), kinds, name,
			 strlen(name), 0, NULL));
	if (seed == 1) {
		MUST(file_unlink(ds, sizes, "size-100", 8, NULL));
		MUST(file_removexattr(ds, find(ds, kinds, "file"),
				      "user.empty"));
		MUST(file_unlink(ds, kinds, "link-2", 6, NULL));
		MUST(file_rmdir(ds, find(ds, kinds, "dir"), "sticky", 6, NULL));
	}
	MUST(file_setxattr(ds, find(ds, kinds, "file"), "user.short", "changed",
			   7, 0));
}

static void fill(struct dataset *ds, bool raw)
{
	all_sizes(ds, make(ds, ROOT, "sizes", S_IFDIR | 0755), raw);
	all_holes(ds, make(ds, ROOT, "holes", S_IFDIR | 0700));
	all_kinds(ds, make(ds, ROOT, "kinds", S_IFDIR | 01777));
	many(ds, make(ds, ROOT, "many", S_IFDIR | 0755), 300, true);
}

static struct pool *open_pool(const char *path, bool read_only)
{
	struct pool_options o = {.read_only = read_only, .no_background = true};
	struct store_error error = {.text = ""};
	struct pool *pool;
	int rc = pool_open(path, &o, &pool, &error);

	if (rc) {
		fprintf(stderr, "golden: %s\n", error.text);
		exit(2);
	}
	return pool;
}

/* An unlinked file that is still open, with more data than one leaf names. */
static void orphan(struct dataset *ds)
{
	uint64_t ino = make(ds, ROOT, "orphan", S_IFREG | 0644);

	put(ds, ino, 0, 200000, false);
	MUST(file_setxattr(ds, ino, "user.orphan", "yes", 3, 0));
	MUST(file_open(ds, ino, true));
	MUST(file_unlink(ds, ROOT, "orphan", 6, NULL));
}

static void user_properties(struct dataset *ds)
{
	char value[1001];

	memset(value, 'p', sizeof(value) - 1);
	value[1000] = '\0';
	MUST(dataset_set_user(ds, "owner", "golden"));
	MUST(dataset_set_user(ds, "long", value));
	MUST(dataset_set_user(ds, "b\xc3\xb6se\n\x1b[31m", ""));
}

static void make_plain(struct pool *pool)
{
	struct dataset *main = create(pool, "main", 16384, -5), *ds, *gone;
	struct dataset_properties p;
	uint64_t copied, ino;

	gone = create(pool, "gone", 16384, -5);
	many(gone, ROOT, 2500, false);
	fill(main, true);
	snapshot(main, "one");
	change(main, 1);
	orphan(main);
	snapshot(main, "two");
	change(main, 2);
	user_properties(main);
	fill(ds = create(pool, "r4k", 4096, 0), false);
	dataset_put(ds);
	fill(ds = create(pool, "r128k", 131072, 3), false);
	dataset_properties_default(&p);
	p.quota = UINT64_C(1) << 40;
	p.readonly = true;
	p.recordsize = 131072;
	MUST(dataset_set_properties(ds, &p));
	dataset_put(ds);
	/* a clone that diverged, its clone, a reflink between the two */
	ds = clone_of(pool, "main@one", "clone-1");
	change(ds, 3);
	dataset_put(clone_of(pool, "clone-1", "clone-2"));
	ino = make(ds, ROOT, "reflink", S_IFREG | 0644);
	MUST(file_copy(main,
		       find(main, find(main, ROOT, "sizes"), "size-300000"), 0,
		       ds, ino, 0, 300000, 0, &copied));
	change(ds, 4);
	dataset_put(ds);
	MUST(pool_sync(pool));
	destroy(gone);
	MUST(pool_sync(pool)); /* the first step of the reaper */
	dataset_put(main);
}

/* All that stays in the log: only what was flushed counts. */
static void make_log(struct pool *pool)
{
	struct dataset *main = create(pool, "main", 16384, -5), *ds, *s;
	uint64_t ino;

	fill(main, true);
	dataset_put(create(pool, "doomed", 16384, 0));
	snapshot(main, "one");
	change(main, 1);
	MUST(pool_sync(pool));
	/* from here on no commit */
	change(main, 2);
	ino = make(main, ROOT, "redo-log", S_IFREG | 0640);
	for (unsigned i = 0; i < 40; i++) {
		put(main, ino, i * 700, 700, false);
		if (i % 10 == 9)
			MUST(file_fsync(main, ino));
	}
	all_kinds(main, make(main, ROOT, "kinds-2", S_IFDIR | 0755));
	all_holes(main, make(main, ROOT, "holes-2", S_IFDIR | 0755));
	snapshot(main, "logged");
	change(main, 3);
	ds = clone_of(pool, "main@logged", "clone");
	change(ds, 4);
	user_properties(ds);
	MUST(dataset_rename(ds, "renamed"));
	destroy(open_dataset(pool, "doomed"));
	s = open_dataset(pool, "main@one");
	MUST(dataset_restore(ds, s, "before", 0));
	dataset_put(s);
	change(ds, 5);
	orphan(ds);
	MUST(file_fsync(ds, ROOT));
	MUST(file_fsync(main, ROOT));
	dataset_put(ds);
	dataset_put(main);
}

/* -- telling -------------------------------------------------------------- */

static void print_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c > 0x20 && c < 0x7f && c != '\\')
			putchar(c);
		else
			printf("\\x%02x", c);
	}
}

/* XXH3-128 of what @ino holds; holes are not read. */
static void print_content(struct dataset *ds, const struct file_attr *a)
{
	XXH3_state_t *x = XXH3_createState();
	uint8_t *buf = malloc(1 << 20);
	uint64_t at = 0, end;
	XXH128_canonical_t text;
	size_t len;
	int rc;

	XXH3_128bits_reset(x);
	while ((rc = file_seek(ds, a->ino, at, SEEK_DATA, &at)) == 0) {
		MUST(file_seek(ds, a->ino, at, SEEK_HOLE, &end));
		XXH3_128bits_update(x, &at, sizeof(at));
		for (; at < end; at += len) {
			MUST(file_read(ds, a->ino, at, buf,
				       MIN_OF(end - at, (uint64_t)1 << 20),
				       &len));
			XXH3_128bits_update(x, buf, len);
		}
	}
	if (rc != -ENXIO)
		MUST(rc);
	XXH128_canonicalFromHash(&text, XXH3_128bits_digest(x));
	for (size_t i = 0; i < sizeof(text.digest); i++)
		printf("%02x", text.digest[i]);
	XXH3_freeState(x);
	free(buf);
}

static void print_xattrs(struct dataset *ds, uint64_t ino)
{
	static char list[65536], value[65536];
	size_t len, n;

	MUST(file_listxattr(ds, ino, list, sizeof(list), &len));
	for (char *name = list; name < list + len; name += strlen(name) + 1) {
		MUST(file_getxattr(ds, ino, name, value, sizeof(value), &n));
		printf(" %s=%016" PRIx64, name,
		       (uint64_t)XXH3_64bits(value, n));
	}
}

struct listing {
	struct dataset *ds;
	const char *where; /* "DS/path" */
	uint64_t dir;
};

static void list_dir(struct dataset *ds, uint64_t dir, const char *where);

static int list_one(void *arg, const char *name, size_t len,
		    const struct file_attr *entry, uint64_t cookie)
{
	const struct listing *l = arg;
	char target[SYMLINK_MAX + 1], path[8192];
	struct file_attr a;

	(void)cookie;
	if ((len == 1 && *name == '.') || (len == 2 && !memcmp(name, "..", 2)))
		return 0;
	MUST(file_getattr(l->ds, entry->ino, &a));
	snprintf(path, sizeof(path), "%s/%.*s", l->where, (int)len, name);
	print_text(path, strlen(path));
	printf(" ino %" PRIu64 " mode %o uid %u gid %u nlink %u rdev %u:%u "
	       "size %" PRIu64 " record %u mtime %" PRId64
	       ".%09ld ctime %" PRId64 ".%09ld atime %" PRId64 ".%09ld btime "
	       "%" PRId64 " ",
	       a.ino, a.mode, a.uid, a.gid, a.nlink, a.rdev_major, a.rdev_minor,
	       a.size, a.recordsize, (int64_t)a.mtime.tv_sec, a.mtime.tv_nsec,
	       (int64_t)a.ctime.tv_sec, a.ctime.tv_nsec,
	       (int64_t)a.atime.tv_sec, a.atime.tv_nsec,
	       (int64_t)a.btime.tv_sec);
	if (S_ISREG(a.mode)) {
		print_content(l->ds, &a);
	} else if (S_ISLNK(a.mode)) {
		MUST(file_readlink(l->ds, a.ino, target, sizeof(target)));
		printf("%016" PRIx64,
		       (uint64_t)XXH3_64bits(target, strlen(target)));
	}
	print_xattrs(l->ds, a.ino);
	putchar('\n');
	if (S_ISDIR(a.mode))
		list_dir(l->ds, a.ino, path);
	return 0;
}

static void list_dir(struct dataset *ds, uint64_t dir, const char *where)
{
	struct listing l = {.ds = ds, .where = where, .dir = dir};

	MUST(file_readdir(ds, dir, 0, false, list_one, &l));
}

static void print_user(void *arg, const char *key, const char *value)
{
	printf("%s user:", (const char *)arg);
	print_text(key, strlen(key));
	printf("=%016" PRIx64 "\n",
	       (uint64_t)XXH3_64bits(value, strlen(value)));
}

static void list_ids(struct pool *pool, uint32_t parent)
{
	struct dataset_info i;
	struct dataset *ds;
	uint32_t *ids;
	size_t nr;

	MUST(dataset_list(pool, parent, &ids, &nr));
	for (size_t k = 0; k < nr; k++) {
		MUST(dataset_open_id(pool, ids[k], &ds));
		dataset_info(ds, &i);
		printf("%s id %u origin %s automatic %d record %u compression "
		       "%d quota %" PRIu64 " readonly %d created %" PRId64 "\n",
		       i.name, i.id, i.origin_name, i.automatic,
		       i.properties.recordsize, i.properties.compression,
		       i.properties.quota, i.properties.readonly,
		       (int64_t)i.created.tv_sec);
		dataset_each_user(ds, print_user, i.name);
		list_dir(ds, ROOT, i.name);
		dataset_put(ds);
		if (!parent)
			list_ids(pool, ids[k]);
	}
	free(ids);
}

/* -- commands ------------------------------------------------------------- */

static void run_make(const char *what, const char *path)
{
	struct pool_create_options o = {
		.name = "golden", .size = POOL_SIZE_MIN, .sparse = true};
	struct store_error error;
	struct pool_stat st;
	struct pool *pool;

	MUST(pool_create(path, &o, &error));
	pool = open_pool(path, false);
	if (strcmp(what, "log") == 0) {
		uint64_t txg;

		make_log(pool);
		pool_stat(pool, &st);
		txg = st.txg;
		list_ids(pool, 0);
		pool_stat(pool, &st);
		/* nothing of make_log()'s second half is in the trees */
		MUST(st.txg == txg && st.nr_commits <= 3 ? 0 : -EDOM);
	} else {
		make_plain(pool);
		pool_stat(pool, &st);
		MUST(st.dead > 0 ? 0 : -EDOM); /* half reaped */
		list_ids(pool, 0);
	}
	pool_abandon(pool);
}

static void run_write(const char *path)
{
	struct pool *pool = open_pool(path, false);
	struct dataset *ds = open_dataset(pool, "main"), *c;

	change(ds, 6);
	snapshot(ds, "written");
	c = clone_of(pool, "main@written", "written");
	change(c, 7);
	destroy(c);
	many(ds, make(ds, ROOT, "many-new", S_IFDIR | 0755), 300, true);
	dataset_put(ds);
	MUST(pool_wait_reaped(pool));
	MUST(pool_close(pool));
}

static void report(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "golden: check: %s\n", text);
}

static int run_check(const char *path)
{
	struct check_options o = {.data = true, .report = report};
	struct store_error error = {.text = ""};
	struct check_result r;

	if (check_pool(path, &o, &r, &error)) {
		fprintf(stderr, "golden: %s\n", error.text);
		return 2;
	}
	return r.nr_errors ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct pool *pool;

	if (argc == 4 && strcmp(argv[1], "make") == 0) {
		run_make(argv[2], argv[3]);
	} else if (argc >= 3 && strcmp(argv[1], "list") == 0) {
		pool = open_pool(argv[2], argc > 3);
		list_ids(pool, 0);
		MUST(pool_close(pool));
	} else if (argc == 3 && strcmp(argv[1], "write") == 0) {
		run_write(argv[2]);
	} else if (argc == 3 && strcmp(argv[1], "check") == 0) {
		return run_check(argv[2]);
	} else {
		fprintf(stderr, "usage: golden make plain|log IMAGE | list "
				"POOL [ro] | write POOL | check POOL\n");
		return 64;
	}
	return 0;
}
