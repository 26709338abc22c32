/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_destroy.c - destroying datasets and snapshots, and the reaper
 */
#include <errno.h>

#include "store/node.h"
#include "store/pool_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

static struct file_pool fp;
static struct blkdev *faulty;

static int setup(void **state)
{
	struct blkdev *mem;

	(void)state;
	log_set_sink(NULL);
	CHECK_OK(blkdev_mem_open(UINT64_C(128) << 20, &mem));
	CHECK_OK(blkdev_faulty_open(mem, &faulty));
	file_pool_init_on(&fp, faulty, NULL);
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

static void destroy(const char *name, unsigned flags)
{
	struct dataset *ds = must_open(name);

	CHECK_OK(dataset_destroy(ds, flags));
	dataset_put(ds);
}

/* What does not compress. */
static void fill(struct dataset *ds, uint64_t ino, uint64_t offset, size_t len,
		 uint64_t seed)
{
	struct rnd r = {seed};
	uint8_t *buf = malloc(len);

	CHECK(buf);
	rnd_fill(&r, buf, len);
	write_at(ds, ino, offset, buf, len);
	free(buf);
}

static uint64_t allocated(void)
{
	struct pool_stat st;

	CHECK_OK(pool_wait_reaped(fp.pool));
	pool_stat(fp.pool, &st);
	CHECK_UINT(st.deferred, 0);
	CHECK_UINT(st.dead, 0);
	return st.allocated;
}

/* -- space ------------------------------------------------------------------------ */

#define NR_RELATIVES 8u

/* Datasets, snapshots and clones of clones, all with changes of their own. */
static void make_family(struct rnd *r)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct dataset *from = fp.ds;
	char name[32];

	fill(fp.ds, ino, 0, 1 << 20, 1);
	dataset_get(from);
	for (unsigned i = 0; i < NR_RELATIVES; i++) {
		struct dataset *clone;

		snprintf(name, sizeof(name), "c%u", i);
		CHECK_OK(dataset_clone(from, name, NULL));
		clone = must_open(name);
		for (unsigned k = 0; k < 4; k++)
			fill(clone, ino, rnd_below(r, 60) * 16384, 16384,
			     10 * i + k);
		fill(clone, make_file(clone, INO_ROOT, name), 0, 100000, i);
		CHECK_OK(dataset_snapshot(clone, "s", false, NULL));
		fill(clone, ino, rnd_below(r, 60) * 16384, 16384, 1000 + i);
		dataset_put(from);
		from = clone;
	}
	dataset_put(from);
}

static void destroy__in_any_order_returns_all_space(void **state)
{
	uint64_t before = allocated();

	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		unsigned order[2 * NR_RELATIVES];
		struct rnd r = {seed};
		bool gone[NR_RELATIVES] = {0};

		make_family(&r);
		for (unsigned i = 0; i < 2 * NR_RELATIVES; i++)
			order[i] = i;
		for (unsigned i = 2 * NR_RELATIVES - 1; i > 0; i--) {
			unsigned k = (unsigned)rnd_below(&r, i + 1);
			unsigned t = order[i];

			order[i] = order[k];
			order[k] = t;
		}
		for (unsigned i = 0; i < 2 * NR_RELATIVES; i++) {
			unsigned n = order[i] / 2;
			char name[32];

			if (gone[n])
				continue;
			gone[n] = order[i] % 2;
			snprintf(name, sizeof(name), gone[n] ? "c%u" : "c%u@s",
				 n);
			if (!gone[n]) {
				struct dataset *s;

				if (dataset_open(fp.pool, name, &s))
					continue;
				dataset_put(s);
			}
			destroy(name, DESTROY_SNAPSHOTS);
			if (rnd_one_in(&r, 4))
				file_pool_reopen(&fp, rnd_one_in(&r, 2));
		}
		CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
		CHECK_UINT(allocated(), before);
	}
}

static void destroy__brings_a_full_pool_back_without_a_reopen(void **state)
{
	struct dataset *clone;
	uint64_t ino, at = 0, again = 0;
	uint8_t *buf = malloc(1 << 20);
	struct rnd r = {5};
	int rc = 0;

	(void)state;
	CHECK(buf);
	CHECK_OK(dataset_clone(fp.ds, "big", NULL));
	clone = must_open("big");
	ino = make_file(clone, INO_ROOT, "f");
	while (rc == 0) {
		rnd_fill(&r, buf, 1 << 20);
		rc = file_write(clone, ino, at, buf, 1 << 20, 0);
		at += rc == 0 ? 1 << 20 : 0;
	}
	CHECK_INT(rc, -ENOSPC);
	CHECK(at > UINT64_C(80) << 20);
	dataset_put(clone);
	destroy("big", 0);
	ino = make_file(fp.ds, INO_ROOT, "f");
	while (again < at) {
		rnd_fill(&r, buf, 1 << 20);
		CHECK_OK(file_write(fp.ds, ino, again, buf, 1 << 20, 0));
		again += 1 << 20;
	}
	free(buf);
}

static void destroy__of_many_snapshots_at_once_returns_all_space(void **state)
{
	uint64_t before = allocated(), ino;
	struct dataset *ds;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "many", NULL, NULL));
	ds = must_open("many");
	ino = make_file(ds, INO_ROOT, "f");
	for (unsigned i = 0; i < 400; i++) {
		char name[16];

		fill(ds, ino, i % 10 * 16384, 4096, i);
		snprintf(name, sizeof(name), "s%u", i);
		CHECK_OK(dataset_snapshot(ds, name, false, NULL));
	}
	CHECK_INT(dataset_destroy(ds, 0), -ENOTEMPTY);
	CHECK_OK(dataset_destroy(ds, DESTROY_SNAPSHOTS));
	dataset_put(ds);
	CHECK_INT(dataset_open(fp.pool, "many@s7", &ds), -ENOENT);
	(void)allocated();
	file_pool_reopen(&fp, false);
	CHECK_UINT(allocated(), before);
}

/* Its items go with it, however many: more notes than an op sets aside. */
static void
destroy__of_a_dataset_with_thousands_of_properties_works(void **state)
{
	uint64_t before = allocated();
	struct dataset *ds;
	char key[32], value[1001];

	(void)state;
	memset(value, 'v', 1000);
	value[1000] = '\0';
	CHECK_OK(dataset_create(fp.pool, "props", NULL, NULL));
	ds = must_open("props");
	for (unsigned i = 0; i < 8000; i++) {
		snprintf(key, sizeof(key), "key:%u", i);
		CHECK_OK(dataset_set_user(ds, key, value));
	}
	dataset_put(ds);
	/* no chunks left over from other commits */
	file_pool_reopen(&fp, false);
	destroy("props", 0);
	/* what root and space tree took for it */
	CHECK(allocated() < before + 20 * BLOCK_SIZE);
}

/* S6 and its way back: a block with more references than a byte can count. */
static void overflow__300_references_count_past_254_and_back(void **state)
{
	struct dataset *ds;
	uint32_t count;

	(void)state;
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, NULL));
	CHECK_OK(dataset_open(fp.pool, "ds@s", &ds));
	for (unsigned i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%u", i);
		CHECK_OK(dataset_clone(ds, name, NULL));
		CHECK_OK(pool_sync(fp.pool));
		CHECK_OK(space_map_get(pool_space(fp.pool), ds->tree.root.blkno,
				       &count));
		/* the dataset, its snapshot and the clones */
		CHECK_UINT(count, MIN_OF(3 + i, SPACE_COUNT_OVERFLOW));
	}
	dataset_put(ds);
	file_pool_reopen(&fp, true);
	for (unsigned i = 0; i < 300; i++) {
		struct dataset *c;
		char name[16];

		/* in an order of their own */
		snprintf(name, sizeof(name), "c%u", i * 7 % 300);
		CHECK_OK(dataset_open(fp.pool, name, &c));
		CHECK_OK(dataset_destroy(c, 0));
		dataset_put(c);
		CHECK_OK(pool_sync(fp.pool));
		if (i % 50 == 0)
			file_pool_reopen(&fp, true);
		CHECK_OK(dataset_open(fp.pool, "ds@s", &ds));
		CHECK_OK(space_map_get(pool_space(fp.pool), ds->tree.root.blkno,
				       &count));
		CHECK_UINT(count, MIN_OF(301 - i, SPACE_COUNT_OVERFLOW));
		dataset_put(ds);
	}
}

/* -- the reaper --------------------------------------------------------------------- */

/* A tree that takes several commits: more nodes than one step enters. */
static void make_wide(const char *name, unsigned nr)
{
	struct dataset *ds;

	CHECK_OK(dataset_create(fp.pool, name, NULL, NULL));
	ds = must_open(name);
	for (unsigned i = 0; i < nr; i++) {
		char file[16];
		char value[1001] = {'v'};
		uint64_t ino;

		snprintf(file, sizeof(file), "f%u", i);
		ino = make_file(ds, INO_ROOT, file);
		for (unsigned k = 0; k < 8; k++) {
			char attr[16];

			snprintf(attr, sizeof(attr), "user.%u", k);
			CHECK_OK(file_setxattr(ds, ino, attr, value, 1000, 0));
		}
		if (i % 50 == 0)
			fill(ds, ino, 0, 20000, i);
	}
	CHECK_OK(pool_sync(fp.pool));
	dataset_put(ds);
}

static uint64_t nr_dead(void)
{
	struct pool_stat st;

	pool_stat(fp.pool, &st);
	return st.dead;
}

static void reaper__continues_after_a_crash_in_the_middle(void **state)
{
	uint64_t before = allocated();
	unsigned crashes = 0;

	(void)state;
	make_wide("wide", 2500);
	destroy("wide", 0);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_UINT(nr_dead(), 1);
	/* a commit and a crash, again and again; each is checked */
	while (nr_dead() > 0) {
		file_pool_reopen(&fp, true);
		CHECK_OK(txg_commit(fp.pool));
		CHECK(++crashes < 100);
	}
	CHECK(crashes > 1);
	CHECK(allocated() < before + 20 * BLOCK_SIZE);
}

static void reaper__lets_several_dead_trees_wait_their_turn(void **state)
{
	uint64_t before = allocated();

	(void)state;
	make_wide("a", 1200);
	make_wide("b", 1200);
	make_wide("c", 1200);
	destroy("a", 0);
	destroy("b", 0);
	destroy("c", 0);
	file_pool_reopen(&fp, true);
	CHECK(allocated() < before + 20 * BLOCK_SIZE);
}

/* What hangs below a node that can't be read leaks; the rest comes back. */
static void reaper__a_damaged_node_leaks_no_more_than_hangs_below(void **state)
{
	const struct check_options check = {0};
	struct store_error error = {""};
	struct check_result result;
	struct dataset *ds;
	uint64_t blkno, txg;
	struct node *n;
	struct pool_stat st;
	uint8_t *page;

	(void)state;
	log_set_sink(no_log);
	make_wide("wide", 300);
	ds = must_open("wide");
	CHECK(ds->tree.root.level > 0);
	CHECK_OK(node_cache_load(fp.pool->nc, ds->tree.root.blkno,
				 ds->tree.root.txg, ds->tree.root.level, &n));
	node_child(n->page, 1, &blkno, &txg);
	node_cache_put(fp.pool->nc, n);
	dataset_put(ds);
	file_pool_reopen(&fp, false);
	page = blkdev_buffer_new(BLOCK_SIZE);
	CHECK(page);
	CHECK_OK(blkdev_write(fp.mem, page, BLOCK_SIZE, blkno * BLOCK_SIZE));
	free(page);
	destroy("wide", 0);
	CHECK_OK(pool_wait_reaped(fp.pool));
	pool_stat(fp.pool, &st);
	CHECK_UINT(st.dead, 0);
	CHECK_UINT(st.nr_errors, 1);
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	CHECK_OK(check_run(fp.mem, &check, &result, &error));
	CHECK(result.blocks_leaked >= 1);
	CHECK(result.blocks_leaked < 1000);
	blkdev_close(fp.mem);
}

/* -- handles and errors --------------------------------------------------------------- */

static void destroy__stale_handles_say_so(void **state)
{
	struct dataset *ds;
	struct file_attr attr;
	uint64_t ino;
	char c = 'x';

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "gone", NULL, NULL));
	ds = must_open("gone");
	ino = make_file(ds, INO_ROOT, "f");
	write_at(ds, ino, 0, &c, 1);
	destroy("gone", 0);
	CHECK_UINT(dataset_generation(ds), UINT64_MAX);
	CHECK_INT(file_getattr(ds, ino, &attr), -ESTALE);
	CHECK_INT(file_write(ds, ino, 0, &c, 1, 0), -ESTALE);
	CHECK_INT(dataset_snapshot(ds, "s", false, NULL), -ESTALE);
	CHECK_INT(dataset_clone(ds, "c", NULL), -ESTALE);
	CHECK_INT(dataset_rename(ds, "other"), -ESTALE);
	CHECK_INT(dataset_destroy(ds, 0), -ESTALE);
	CHECK_INT(dataset_set_user(ds, "k", "v"), -ESTALE);
	CHECK_OK(dataset_create(fp.pool, "gone", NULL, NULL));
	dataset_put(ds);
}

static void destroy__open_files_are_in_the_way_unless_forced(void **state)
{
	struct dataset *ds;
	uint64_t ino;
	char c = 'x';

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "busy", NULL, NULL));
	ds = must_open("busy");
	ino = make_file(ds, INO_ROOT, "f");
	write_at(ds, ino, 0, &c, 1);
	CHECK_OK(file_open(ds, ino, false));
	CHECK_INT(dataset_destroy(ds, 0), -EBUSY);
	CHECK_OK(dataset_destroy(ds, DESTROY_FORCE));
	CHECK_INT(file_write(ds, ino, 0, &c, 1, 0), -ESTALE);
	file_close(ds, ino, false);
	dataset_put(ds);
}

static void destroy__dirty_records_go_with_their_dataset(void **state)
{
	uint64_t before = allocated(), ino;
	struct dataset *ds;

	(void)state;
	CHECK_OK(dataset_create(fp.pool, "dirty", NULL, NULL));
	ds = must_open("dirty");
	ino = make_file(ds, INO_ROOT, "f");
	for (unsigned i = 0; i < 60; i++)
		write_at(ds, ino, i * UINT64_C(16384) + 100, "dirty", 5);
	CHECK(dirty_any(ds));
	CHECK_OK(dataset_destroy(ds, 0));
	CHECK(!dirty_any(ds));
	dataset_put(ds);
	CHECK_UINT(allocated(), before);
}

/* The commit of a destroy fails: nothing is lost in memory either. */
static void destroy__failing_commit_leaks_no_handle(void **state)
{
	struct blkdev *mem = fp.mem;
	struct dataset *snap, *heir;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(dataset_snapshot(fp.ds, "a", false, NULL));
	make_file(fp.ds, INO_ROOT, "f");
	CHECK_OK(dataset_snapshot(fp.ds, "b", false, NULL));
	snap = must_open("ds@a");
	heir = must_open("ds@b");
	blkdev_faulty_fail(mem, BLKDEV_CALL_WRITE, 1, -EIO, true, false);
	CHECK_INT(dataset_destroy(snap, 0), -EIO);
	blkdev_faulty_fail(mem, 0, 0, 0, false, false);
	/* ours, and the table's */
	CHECK_UINT(heir->refs, 2u + (unsigned)heir->dirty);
	dataset_put(heir);
	dataset_put(snap);
	dataset_put(fp.ds);
	CHECK_INT(pool_close(fp.pool), -EIO);
	file_pool_check(&fp);
	blkdev_close(fp.mem);
}

static void destroy__lost_by_a_crash_is_as_if_never_asked_for(void **state)
{
	struct dataset *ds;
	unsigned nth;

	(void)state;
	log_set_sink(no_log);
	make_wide("wide", 50);
	for (nth = 1; nth < 40; nth++) {
		int rc;

		ds = must_open("wide");
		blkdev_faulty_fail(fp.mem,
				   BLKDEV_CALL_WRITE | BLKDEV_CALL_FLUSH, nth,
				   -EIO, true, nth % 2);
		rc = dataset_destroy(ds, 0);
		blkdev_faulty_fail(fp.mem, 0, 0, 0, false, false);
		dataset_put(ds);
		file_pool_reopen(&fp, true);
		if (rc == 0)
			break;
		CHECK_INT(rc, -EIO);
		if (dataset_open(fp.pool, "wide", &ds) == 0) {
			CHECK(find_name(ds, INO_ROOT, "f49") > 0);
			dataset_put(ds);
		} else {
			/* the superblock got there, its flush was not proven */
			make_wide("wide", 50);
		}
	}
	/* the write to the intent log, and its flush */
	CHECK(nth > 2);
	CHECK_INT(dataset_open(fp.pool, "wide", &ds), -ENOENT);
	CHECK_OK(pool_wait_reaped(fp.pool));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
/* closes the pool itself */
#define TEST_OWN_END(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(destroy__in_any_order_returns_all_space),
		TEST(destroy__brings_a_full_pool_back_without_a_reopen),
		TEST(destroy__of_many_snapshots_at_once_returns_all_space),
		TEST(destroy__of_a_dataset_with_thousands_of_properties_works),
		TEST(overflow__300_references_count_past_254_and_back),
		TEST(reaper__continues_after_a_crash_in_the_middle),
		TEST(reaper__lets_several_dead_trees_wait_their_turn),
		TEST_OWN_END(
			reaper__a_damaged_node_leaks_no_more_than_hangs_below),
		TEST(destroy__stale_handles_say_so),
		TEST(destroy__open_files_are_in_the_way_unless_forced),
		TEST(destroy__dirty_records_go_with_their_dataset),
		TEST_OWN_END(destroy__failing_commit_leaks_no_handle),
		TEST(destroy__lost_by_a_crash_is_as_if_never_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
