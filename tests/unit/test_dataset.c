/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_dataset.c - names, snapshots, clones, restore: N1 to N3
 */
#include <errno.h>

#include "store/node.h"
#include "store/pool_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

static struct file_pool fp;

static int setup(void **state)
{
	(void)state;
	log_set_sink(NULL);
	file_pool_init(&fp, 64, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file_pool_release(&fp);
	return 0;
}

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static struct dataset *must_open(const char *name)
{
	struct dataset *ds;

	CHECK_OK(dataset_open(fp.pool, name, &ds));
	return ds;
}

static bool exists(const char *name)
{
	struct dataset *ds;
	int rc = dataset_open(fp.pool, name, &ds);

	if (rc == 0)
		dataset_put(ds);
	else
		CHECK_INT(rc, -ENOENT);
	return rc == 0;
}

static void destroy(const char *name)
{
	struct dataset *ds = must_open(name);

	CHECK_OK(dataset_destroy(ds, DESTROY_SNAPSHOTS));
	dataset_put(ds);
}

static uint32_t id_of(const char *name)
{
	struct dataset *ds = must_open(name);
	uint32_t id = dataset_id(ds);

	dataset_put(ds);
	return id;
}

/* -- names ------------------------------------------------------------------------------ */

static void dataset__bad_names_are_refused_everywhere(void **state)
{
	static const char *const bad[] = {"",	 ".",	     "..",  ".dbs",
					  "-x",	 "a/b",	     "a b", "a\n",
					  "a@b", "\xc3\xa4", "a%n", "a\\b"};
	char longest[DATASET_NAME_MAX + 2];
	struct dataset *ds;

	(void)state;
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct dataset *s = must_open("ds@s");

		CHECK_INT(dataset_create(fp.pool, bad[i], NULL, NULL), -EINVAL);
		CHECK_INT(dataset_snapshot(fp.ds, bad[i], false, NULL),
			  -EINVAL);
		CHECK_INT(dataset_clone(fp.ds, bad[i], NULL), -EINVAL);
		CHECK_INT(dataset_rename(fp.ds, bad[i]), -EINVAL);
		CHECK_INT(dataset_restore(fp.ds, s, bad[i], 0), -EINVAL);
		if (strcmp(bad[i], "a@b"))
			CHECK_INT(dataset_open(fp.pool, bad[i], &ds), -EINVAL);
		dataset_put(s);
	}
	CHECK_INT(dataset_open(fp.pool, "ds@", &ds), -EINVAL);
	CHECK_INT(dataset_open(fp.pool, "@s", &ds), -EINVAL);
	CHECK_INT(dataset_open(fp.pool, "ds@s@s", &ds), -EINVAL);
	memset(longest, 'x', sizeof(longest));
	longest[DATASET_NAME_MAX + 1] = '\0';
	CHECK_INT(dataset_create(fp.pool, longest, NULL, NULL), -EINVAL);
	longest[DATASET_NAME_MAX] = '\0';
	CHECK_OK(dataset_create(fp.pool, longest, NULL, NULL));
	ds = must_open(longest);
	CHECK_OK(dataset_snapshot(ds, longest, false, NULL));
	dataset_put(ds);
	file_pool_reopen(&fp, true);
	{
		char full[2 * sizeof(longest)];
		struct dataset_info info;

		snprintf(full, sizeof(full), "%s@%s", longest, longest);
		ds = must_open(full);
		dataset_info(ds, &info);
		CHECK_STR(info.name, full);
		/* the origin's name is cut to a byte's length, on disk only */
		CHECK_OK(dataset_clone(ds, "c", NULL));
		dataset_put(ds);
	}
	file_pool_reopen(&fp, false);
	CHECK(exists("c"));
}

/* N1 */
static void dataset__names_are_unique(void **state)
{
	struct dataset *other, *s;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "other", NULL, NULL));
	CHECK_INT(dataset_create(fp.pool, "other", NULL, NULL), -EEXIST);
	CHECK_INT(dataset_clone(fp.ds, "other", NULL), -EEXIST);
	CHECK_INT(dataset_clone(fp.ds, "ds", NULL), -EEXIST);
	other = must_open("other");
	CHECK_INT(dataset_rename(other, "ds"), -EEXIST);
	CHECK_OK(dataset_rename(other, "other"));
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	CHECK_INT(dataset_snapshot(fp.ds, "s", false, NULL), -EEXIST);
	CHECK_OK(dataset_snapshot(other, "s", false, NULL));
	CHECK_OK(dataset_snapshot(fp.ds, "t", false, NULL));
	s = must_open("ds@t");
	CHECK_INT(dataset_rename(s, "s"), -EEXIST);
	CHECK_INT(dataset_restore(fp.ds, s, "s", 0), -EEXIST);
	dataset_put(s);
	dataset_put(other);
}

static void dataset__a_new_name_survives_a_crash_and_frees_the_old(void **state)
{
	struct dataset *ds, *snap;
	uint32_t id;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "a", NULL, &id));
	ds = must_open("a");
	CHECK_OK(dataset_snapshot(ds, "s", false, NULL));
	CHECK_OK(dataset_rename(ds, "b"));
	snap = must_open("b@s");
	CHECK_OK(dataset_rename(snap, "t"));
	dataset_put(snap);
	dataset_put(ds);
	CHECK(!exists("a"));
	file_pool_reopen(&fp, true);
	CHECK(!exists("a") && !exists("b@s") && exists("b@t"));
	CHECK_UINT(id_of("b"), id);
	CHECK_OK(dataset_create(fp.pool, "a", NULL, NULL));
	CHECK(id_of("a") > id);
}

static void dataset__latest_is_the_newest_unless_one_is_called_so(void **state)
{
	(void)state;
	CHECK(!exists("ds@latest"));
	CHECK_OK(dataset_snapshot(fp.ds, "z", false, NULL));
	CHECK_OK(dataset_snapshot(fp.ds, "a", false, NULL));
	CHECK_UINT(id_of("ds@latest"), id_of("ds@a"));
	file_pool_reopen(&fp, true);
	CHECK_UINT(id_of("ds@latest"), id_of("ds@a"));
	destroy("ds@a");
	CHECK_UINT(id_of("ds@latest"), id_of("ds@z"));
	CHECK_OK(dataset_snapshot(fp.ds, "latest", false, NULL));
	CHECK_OK(dataset_snapshot(fp.ds, "b", false, NULL));
	CHECK(id_of("ds@latest") != id_of("ds@b"));
}

static void dataset__ids_are_never_used_again(void **state)
{
	uint32_t last = dataset_id(fp.ds), id;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		CHECK_OK(dataset_create(fp.pool, "x", NULL, &id));
		CHECK(id > last);
		last = id;
		destroy("x");
		if (i % 3 == 0)
			file_pool_reopen(&fp, i % 2);
	}
}

static void dataset__lists_are_in_order_of_name_and_of_creation(void **state)
{
	static const char *const names[] = {"b", "a", "C", "ds2"};
	static const char *const sorted[] = {"C", "a", "b", "ds", "ds2"};
	static const char *const snaps[] = {"3", "1", "2"};
	struct dataset_info info;
	uint32_t *ids;
	size_t nr;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		CHECK_OK(dataset_create(fp.pool, names[i], NULL, NULL));
	for (unsigned i = 0; i < 3; i++)
		CHECK_OK(dataset_snapshot(fp.ds, snaps[i], false, NULL));
	file_pool_reopen(&fp, true);
	CHECK_OK(dataset_list(fp.pool, 0, &ids, &nr));
	CHECK_UINT(nr, 5);
	for (size_t i = 0; i < nr; i++) {
		struct dataset *ds;

		CHECK_OK(dataset_open_id(fp.pool, ids[i], &ds));
		dataset_info(ds, &info);
		CHECK_STR(info.name, sorted[i]);
		dataset_put(ds);
	}
	free(ids);
	CHECK_OK(dataset_list(fp.pool, dataset_id(fp.ds), &ids, &nr));
	CHECK_UINT(nr, 3);
	for (size_t i = 0; i < nr; i++) {
		struct dataset *ds;

		CHECK_OK(dataset_open_id(fp.pool, ids[i], &ds));
		dataset_info(ds, &info);
		CHECK_STR(strchr(info.name, '@') + 1, snaps[i]);
		dataset_put(ds);
	}
	free(ids);
	CHECK_OK(dataset_list(fp.pool, 999999, &ids, &nr));
	CHECK_UINT(nr, 0);
	free(ids);
}

static void dataset__ten_thousand_are_no_burden(void **state)
{
	uint64_t start = os_monotonic_ns();
	uint32_t *ids;
	size_t nr;

	(void)state;
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	for (unsigned i = 0; i < 10000; i++) {
		struct dataset *s = must_open("ds@s");
		char name[32];

		snprintf(name, sizeof(name), "ci-%u", i);
		CHECK_OK(dataset_clone(s, name, NULL));
		dataset_put(s);
	}
	file_pool_reopen(&fp, true);
	print_message("10000 clones made, checked and opened: %ju ms\n",
		      (uintmax_t)(os_monotonic_ns() - start) / 1000000);
	start = os_monotonic_ns();
	CHECK_OK(dataset_list(fp.pool, 0, &ids, &nr));
	CHECK_UINT(nr, 10001);
	for (size_t i = 0; i < nr; i++) {
		struct dataset_info info;
		struct dataset *ds;

		CHECK_OK(dataset_open_id(fp.pool, ids[i], &ds));
		dataset_info(ds, &info);
		dataset_put(ds);
	}
	free(ids);
	/* generous: sanitizers, and others on the machine */
	CHECK(os_monotonic_ns() - start < UINT64_C(2000000000));
	CHECK(exists("ci-9999"));
}

/* -- snapshots -------------------------------------------------------------------------- */

/* Cost, whatever the size. */
static void snapshot__costs_one_reference_whatever_the_size(void **state)
{
	uint8_t *buf = malloc(1 << 20);
	struct rnd r = {1};
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f"), cost[2];

	(void)state;
	CHECK(buf);
	for (unsigned round = 0; round < 2; round++) {
		struct pool_stat before, after;
		uint32_t count;
		char name[8];

		/* the second time with 1,000 times the data */
		for (unsigned i = 0; i < 20 * round; i++) {
			rnd_fill(&r, buf, 1 << 20);
			write_at(fp.ds, ino, (uint64_t)i << 20, buf, 1 << 20);
		}
		if (round == 0)
			write_at(fp.ds, ino, 0, buf, 16384);
		CHECK_OK(pool_sync(fp.pool));
		pool_stat(fp.pool, &before);
		snprintf(name, sizeof(name), "s%u", round);
		CHECK_OK(dataset_snapshot(fp.ds, name, false, NULL));
		CHECK_OK(pool_sync(fp.pool));
		CHECK_OK(space_map_get(pool_space(fp.pool),
				       fp.ds->tree.root.blkno, &count));
		CHECK_UINT(count, 2);
		pool_stat(fp.pool, &after);
		cost[round] = after.allocated + after.deferred -
			      before.allocated - before.deferred;
	}
	free(buf);
	CHECK(cost[1] <= cost[0] + BLOCK_SIZE);
}

/* N2 */
static void snapshot__never_changes(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct dataset *s;
	struct file_attr attr = {.mode = 0600};
	const struct file_new n = {.mode = S_IFREG | 0644};

	(void)state;
	write_at(fp.ds, ino, 0, "before", 6);
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	write_at(fp.ds, ino, 0, "behind", 6);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	s = must_open("ds@s");
	read_is(s, ino, 0, "before", 6);
	CHECK_INT(file_write(s, ino, 0, "x", 1, 0), -EROFS);
	CHECK_INT(file_setattr(s, ino, FILE_SET_MODE, &attr, NULL), -EROFS);
	CHECK_INT(file_unlink(s, INO_ROOT, "f", 1, NULL), -EROFS);
	CHECK_INT(file_create(s, INO_ROOT, "g", 1, &n, &attr), -EROFS);
	CHECK_INT(file_open(s, ino, true), -EROFS);
	CHECK_INT(dataset_snapshot(s, "t", false, NULL), -EROFS);
	CHECK_INT(dataset_restore(s, s, NULL, 0), -EROFS);
	CHECK_OK(file_open(s, ino, false));
	file_close(s, ino, false);
	dataset_put(s);
	file_pool_reopen(&fp, true);
	s = must_open("ds@s");
	read_is(s, ino, 0, "before", 6);
	dataset_put(s);
}

static void snapshot__of_several_datasets_is_one_moment(void **state)
{
	struct dataset *ds[3] = {fp.ds};
	struct dataset *twice[2] = {fp.ds, fp.ds};
	struct pool_stat before, after;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "b", NULL, NULL));
	CHECK_OK(dataset_create(fp.pool, "a", NULL, NULL));
	/* not in order of id */
	ds[1] = must_open("a");
	ds[2] = must_open("b");
	CHECK_OK(pool_sync(fp.pool));
	pool_stat(fp.pool, &before);
	CHECK_OK(dataset_snapshot_many(ds, 3, "night"));
	pool_stat(fp.pool, &after);
	CHECK_UINT(after.nr_batches, before.nr_batches + 1);
	CHECK_UINT(after.nr_commits, before.nr_commits);
	CHECK(exists("ds@night") && exists("a@night") && exists("b@night"));
	/* all or none */
	CHECK_OK(dataset_snapshot(ds[2], "two", false, NULL));
	CHECK_INT(dataset_snapshot_many(ds, 3, "two"), -EEXIST);
	CHECK(!exists("ds@two") && !exists("a@two"));
	CHECK_INT(dataset_snapshot_many(twice, 2, "three"), -EINVAL);
	CHECK_OK(dataset_snapshot_many(ds, 0, "none"));
	dataset_put(ds[1]);
	dataset_put(ds[2]);
}

/* -- clones ------------------------------------------------------------------------------ */

static void clone__of_a_live_dataset_has_its_dirty_records(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct dataset *c;

	(void)state;
	write_at(fp.ds, ino, 100000, "partial", 7);
	CHECK(dirty_any(fp.ds));
	CHECK_OK(dataset_clone(fp.ds, "c", NULL));
	write_at(fp.ds, ino, 100000, "changed", 7);
	c = must_open("c");
	read_is(c, ino, 100000, "partial", 7);
	write_at(c, ino, 100000, "another", 7);
	read_is(fp.ds, ino, 100000, "changed", 7);
	dataset_put(c);
	file_pool_reopen(&fp, false);
	c = must_open("c");
	read_is(c, ino, 100000, "another", 7);
	read_is(fp.ds, ino, 100000, "changed", 7);
	dataset_put(c);
}

static void clone__outlives_its_origin_and_says_where_it_came_from(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct dataset_info info;
	struct dataset *s, *c;

	(void)state;
	write_at(fp.ds, ino, 0, "content", 7);
	CHECK_OK(dataset_create(fp.pool, "tmp", NULL, NULL));
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	s = must_open("ds@s");
	CHECK_OK(dataset_clone(s, "c", NULL));
	c = must_open("c");
	dataset_info(c, &info);
	CHECK_UINT(info.origin, dataset_id(s));
	CHECK_STR(info.origin_name, "ds@s");
	CHECK_OK(dataset_destroy(s, 0));
	dataset_put(s);
	dataset_info(c, &info);
	CHECK_UINT(info.origin, 0);
	CHECK_STR(info.origin_name, "ds@s");
	dataset_put(c);
	file_pool_reopen(&fp, true);
	c = must_open("c");
	dataset_info(c, &info);
	CHECK_UINT(info.origin, 0);
	CHECK_STR(info.origin_name, "ds@s");
	read_is(c, ino, 0, "content", 7);
	dataset_put(c);
}

/* An unlinked file that is still open is in a snapshot, not in its clones. */
static void clone__is_rid_of_files_without_a_name(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct dataset *s, *c;
	struct file_attr attr;

	(void)state;
	CHECK_OK(file_open(fp.ds, ino, true));
	write_at(fp.ds, ino, 0, "content", 7);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	s = must_open("ds@s");
	CHECK_OK(dataset_clone(s, "c", NULL));
	c = must_open("c");
	CHECK_INT(file_getattr(c, ino, &attr), -ENOENT);
	CHECK_UINT(info_of(c).nr_inodes, 1);
	read_is(fp.ds, ino, 0, "content", 7);
	file_close(fp.ds, ino, true);
	CHECK_INT(file_getattr(fp.ds, ino, &attr), -ENOENT);
	dataset_put(c);
	dataset_put(s);
}

/* -- restore ----------------------------------------------------------------------------- */

static void
restore__puts_everything_back_and_raises_the_generation(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f"), g;
	struct dataset *s;

	(void)state;
	write_at(fp.ds, ino, 0, "before", 6);
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	write_at(fp.ds, ino, 0, "after!", 6);
	make_file(fp.ds, INO_ROOT, "new");
	write_at(fp.ds, ino, 50000, "dirty", 5);
	g = dataset_generation(fp.ds);
	s = must_open("ds@s");
	CHECK_OK(dataset_restore(fp.ds, s, "kept", 0));
	CHECK_UINT(dataset_generation(fp.ds), g + 1);
	CHECK(!dirty_any(fp.ds));
	read_is(fp.ds, ino, 0, "before", 6);
	CHECK_UINT(attr_of(fp.ds, ino).size, 6);
	CHECK_UINT(find_name(fp.ds, INO_ROOT, "new"), 0);
	dataset_put(s);
	s = must_open("ds@kept");
	CHECK(info_of(s).automatic);
	read_is(s, ino, 0, "after!", 6);
	read_is(s, ino, 50000, "dirty", 5);
	dataset_put(s);
	/* numbers are not used again for other files */
	CHECK(make_file(fp.ds, INO_ROOT, "newer") > ino + 1);
	file_pool_reopen(&fp, true);
	CHECK_UINT(dataset_generation(fp.ds), g + 1);
	read_is(fp.ds, ino, 0, "before", 6);
}

static void restore__is_refused_while_files_are_open_for_writing(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct dataset *s;

	(void)state;
	write_at(fp.ds, ino, 0, "before", 6);
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	s = must_open("ds@s");
	CHECK_OK(file_open(fp.ds, ino, false));
	CHECK_OK(file_open(fp.ds, ino, true));
	write_at(fp.ds, ino, 0, "after!", 6);
	CHECK_INT(dataset_restore(fp.ds, s, NULL, 0), -EBUSY);
	read_is(fp.ds, ino, 0, "after!", 6);
	CHECK_OK(dataset_restore(fp.ds, s, NULL, RESTORE_FORCE));
	read_is(fp.ds, ino, 0, "before", 6);
	file_close(fp.ds, ino, true);
	/* readers are no obstacle */
	CHECK_OK(dataset_restore(fp.ds, s, NULL, 0));
	file_close(fp.ds, ino, false);
	CHECK_INT(dataset_restore(fp.ds, fp.ds, NULL, 0), -EINVAL);
	dataset_put(s);
}

static void restore__many_times_leaks_nothing(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f"), first = 0;
	uint8_t buf[40000];
	struct rnd r = {9};
	struct dataset *s;

	(void)state;
	rnd_fill(&r, buf, sizeof(buf));
	write_at(fp.ds, ino, 0, buf, sizeof(buf));
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	s = must_open("ds@s");
	for (unsigned i = 0; i < 20; i++) {
		struct pool_stat st;

		rnd_fill(&r, buf, sizeof(buf));
		write_at(fp.ds, ino, 0, buf, sizeof(buf));
		make_file(fp.ds, INO_ROOT, "x");
		CHECK_OK(dataset_restore(fp.ds, s, NULL, 0));
		CHECK_OK(pool_wait_reaped(fp.pool));
		pool_stat(fp.pool, &st);
		if (i == 0)
			first = st.allocated;
		CHECK_UINT(st.allocated, first);
	}
	dataset_put(s);
}

/* -- N3: each is atomic, and durable when it returns ----------------------- */

enum change { CREATE, SNAPSHOT, CLONE, RESTORE, RENAME, DESTROY, NR_CHANGES };

static int change(enum change what)
{
	struct dataset *s;
	int rc;

	CHECK_OK(dataset_open(fp.pool, "ds@s", &s));
	switch (what) {
	case CREATE:
		rc = dataset_create(fp.pool, "new", NULL, NULL);
		break;
	case SNAPSHOT:
		rc = dataset_snapshot(fp.ds, "new", false, NULL);
		break;
	case CLONE:
		rc = dataset_clone(s, "new", NULL);
		break;
	case RESTORE:
		rc = dataset_restore(fp.ds, s, "new", 0);
		break;
	case RENAME:
		rc = dataset_rename(s, "new");
		break;
	default:
		rc = dataset_destroy(s, 0);
	}
	dataset_put(s);
	return rc;
}

/* Did it happen?  All of it, or nothing. */
static bool changed(enum change what, uint64_t ino)
{
	static const char *const then[NR_CHANGES] = {"new",    "ds@new", "new",
						     "ds@new", "ds@new", NULL};
	bool done = then[what] ? exists(then[what]) : !exists("ds@s");

	CHECK_INT(exists("ds@s"),
		  !(done && (what == RENAME || what == DESTROY)));
	read_is(fp.ds, ino, 0, done && what == RESTORE ? "old" : "new", 3);
	return done;
}

static void dataset__changes_are_whole_or_not_at_all(void **state)
{
	struct blkdev *mem, *dev;
	unsigned failed = 0;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(blkdev_mem_open(UINT64_C(64) << 20, &mem));
	CHECK_OK(blkdev_faulty_open(mem, &dev));
	for (unsigned what = 0; what < NR_CHANGES; what++) {
		uint64_t nth, ino;
		int rc = -EIO;

		for (nth = 1; rc; nth++) {
			memset(blkdev_mem_data(mem), 0, 10u << 20);
			file_pool_init_on(&fp, dev, NULL);
			ino = make_file(fp.ds, INO_ROOT, "f");
			write_at(fp.ds, ino, 0, "old", 3);
			CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
			write_at(fp.ds, ino, 0, "new", 3);
			CHECK_OK(pool_sync(fp.pool));
			blkdev_faulty_fail(
				dev, BLKDEV_CALL_WRITE | BLKDEV_CALL_FLUSH, nth,
				-EIO, true, nth % 2);
			rc = change(what);
			blkdev_faulty_fail(dev, 0, 0, 0, false, false);
			file_pool_reopen(&fp, true);
			failed += rc != 0;
			if (!changed(what, ino))
				CHECK_INT(rc, -EIO);
			dataset_put(fp.ds);
			CHECK_OK(pool_close(fp.pool));
		}
	}
	/* the write to the intent log, and its flush */
	CHECK(failed >= 2 * NR_CHANGES);
	blkdev_close(dev);
}

/* -- held roots ---------------------------------------------------------------------------- */

static void read_all(const struct tree_root *r, uint64_t blkno, uint64_t txg,
		     uint8_t level)
{
	struct node *n;

	CHECK_OK(node_cache_load(fp.pool->nc, blkno, txg, level, &n));
	for (uint32_t i = 0; level > 0 && i < node_nr_items(n->page); i++) {
		uint64_t child, child_txg;

		node_child(n->page, i, &child, &child_txg);
		read_all(r, child, child_txg, (uint8_t)(level - 1));
	}
	node_cache_put(fp.pool->nc, n);
}

static void hold__keeps_what_is_destroyed_meanwhile(void **state)
{
	struct tree_root root;
	struct dataset *c;
	struct pool_stat st;
	uint8_t buf[16384];
	struct rnd r = {1};
	uint64_t ino;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "c", NULL, NULL));
	c = must_open("c");
	for (unsigned i = 0; i < 600; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		make_file(c, INO_ROOT, name);
	}
	CHECK_OK(dataset_hold_root(c, &root));
	CHECK_OK(dataset_destroy(c, 0));
	CHECK_OK(pool_wait_reaped(fp.pool));
	pool_stat(fp.pool, &st);
	CHECK(st.deferred > 0);
	/* blocks that were free before are all there is */
	ino = make_file(fp.ds, INO_ROOT, "f");
	for (unsigned i = 0; i < 500; i++) {
		rnd_fill(&r, buf, sizeof(buf));
		write_at(fp.ds, ino, i * sizeof(buf), buf, sizeof(buf));
		if (i % 100 == 0)
			CHECK_OK(pool_sync(fp.pool));
	}
	read_all(&root, root.blkno, root.txg, root.level);
	dataset_release_root(fp.pool, &root);
	dataset_put(c);
	CHECK_OK(pool_wait_reaped(fp.pool));
	pool_stat(fp.pool, &st);
	CHECK_UINT(st.deferred, 0);
}

static void hold__keeps_what_is_changed_meanwhile(void **state)
{
	struct tree_root root;

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		make_file(fp.ds, INO_ROOT, name);
	}
	CHECK_OK(dataset_hold_root(fp.ds, &root));
	for (unsigned i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "f%u", i);
		CHECK_OK(
			file_unlink(fp.ds, INO_ROOT, name, strlen(name), NULL));
		if (i % 50 == 0)
			CHECK_OK(pool_sync(fp.pool));
	}
	read_all(&root, root.blkno, root.txg, root.level);
	dataset_release_root(fp.pool, &root);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dataset__bad_names_are_refused_everywhere),
		TEST(dataset__names_are_unique),
		TEST(dataset__a_new_name_survives_a_crash_and_frees_the_old),
		TEST(dataset__latest_is_the_newest_unless_one_is_called_so),
		TEST(dataset__ids_are_never_used_again),
		TEST(dataset__lists_are_in_order_of_name_and_of_creation),
		TEST(dataset__ten_thousand_are_no_burden),
		TEST(snapshot__costs_one_reference_whatever_the_size),
		TEST(snapshot__never_changes),
		TEST(snapshot__of_several_datasets_is_one_moment),
		TEST(clone__of_a_live_dataset_has_its_dirty_records),
		TEST(clone__outlives_its_origin_and_says_where_it_came_from),
		TEST(clone__is_rid_of_files_without_a_name),
		TEST(restore__puts_everything_back_and_raises_the_generation),
		TEST(restore__is_refused_while_files_are_open_for_writing),
		TEST(restore__many_times_leaks_nothing),
		cmocka_unit_test(dataset__changes_are_whole_or_not_at_all),
		TEST(hold__keeps_what_is_destroyed_meanwhile),
		TEST(hold__keeps_what_is_changed_meanwhile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
