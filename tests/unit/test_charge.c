/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_charge.c - charged bytes, and the quotas that count them
 */
#include <errno.h>
#include <sched.h>

#include "store/extent_map.h"
#include "store/pool_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

#define RECORD 16384u
#define MIB    (UINT64_C(1) << 20)

static struct file_pool fp;
static uint64_t ino;
static uint64_t seed;

static int setup(void **state)
{
	(void)state;
	seed = 0;
	file_pool_init(&fp, 256, NULL);
	ino = make_file(fp.ds, INO_ROOT, "f");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	/* with its walk over all trees this compares the counters too */
	file_pool_release(&fp);
	return 0;
}

/* @nr records that take all their blocks. */
static int try_fill(struct dataset *ds, uint64_t first, uint64_t nr)
{
	struct rnd r = {++seed};
	uint8_t buf[RECORD];
	int rc = 0;

	for (uint64_t i = first; i < first + nr && rc == 0; i++) {
		rnd_fill(&r, buf, sizeof(buf));
		rc = file_write(ds, ino, i * RECORD, buf, sizeof(buf), 0);
	}
	return rc;
}

static void fill(struct dataset *ds, uint64_t first, uint64_t nr)
{
	CHECK_OK(try_fill(ds, first, nr));
}

/* Charged records of a dataset or snapshot. */
static uint64_t charged(const char *name)
{
	struct dataset_info info;
	struct dataset *ds;

	CHECK_OK(dataset_open(fp.pool, name, &ds));
	dataset_info(ds, &info);
	dataset_put(ds);
	CHECK_UINT(info.charged % RECORD, 0);
	return info.charged / RECORD;
}

static void destroy(const char *name)
{
	struct dataset *ds;

	CHECK_OK(dataset_open(fp.pool, name, &ds));
	CHECK_OK(dataset_destroy(ds, DESTROY_SNAPSHOTS));
	dataset_put(ds);
}

static void snapshot(const char *name)
{
	CHECK_OK(dataset_snapshot(fp.ds, name, false, NULL));
}

static void restore(const char *name, const char *keep)
{
	struct dataset *snap;

	CHECK_OK(dataset_open(fp.pool, name, &snap));
	CHECK_OK(dataset_restore(fp.ds, snap, keep, 0));
	dataset_put(snap);
}

static void quota(struct dataset *ds, uint64_t bytes)
{
	struct dataset_info info;

	dataset_info(ds, &info);
	info.properties.quota = bytes;
	CHECK_OK(dataset_set_properties(ds, &info.properties));
}

/* -- what is charged ------------------------------------------------------------------ */

static void charge__overwriting_charges_nothing_more(void **state)
{
	(void)state;
	fill(fp.ds, 0, 100);
	CHECK_UINT(charged("ds"), 100);
	fill(fp.ds, 20, 50);
	CHECK_UINT(charged("ds"), 100);
	set_size(fp.ds, ino, 30 * RECORD);
	CHECK_UINT(charged("ds"), 30);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, NULL));
	CHECK_UINT(charged("ds"), 0);
}

static void charge__a_snapshot_charges_nothing_itself(void **state)
{
	(void)state;
	fill(fp.ds, 0, 100);
	snapshot("a");
	snapshot("b");
	CHECK_UINT(charged("ds"), 100);
	CHECK_UINT(charged("ds@a"), 100);
	CHECK_UINT(charged("ds@b"), 0);
}

static void charge__overwriting_what_a_snapshot_has_is_charged(void **state)
{
	(void)state;
	fill(fp.ds, 0, 100);
	snapshot("a");
	fill(fp.ds, 0, 30);
	CHECK_UINT(charged("ds"), 130);
	/* again: these are its own now */
	fill(fp.ds, 0, 30);
	CHECK_UINT(charged("ds"), 130);
	/* a snapshot keeps what the head deletes */
	set_size(fp.ds, ino, 0);
	CHECK_UINT(charged("ds"), 100);
	file_pool_reopen(&fp, true);
	file_pool_reopen(&fp, false);
	CHECK_UINT(charged("ds"), 100);
}

static void
charge__destroying_the_oldest_snapshot_passes_on_what_is_kept(void **state)
{
	(void)state;
	fill(fp.ds, 0, 100);
	snapshot("a");
	fill(fp.ds, 0, 30);
	snapshot("b");
	fill(fp.ds, 0, 10);
	CHECK_UINT(charged("ds"), 140);
	destroy("ds@a");
	/* 70 of its 100 live on in b, and b's own 30 */
	CHECK_UINT(charged("ds@b"), 100);
	CHECK_UINT(charged("ds"), 110);
	destroy("ds@b");
	CHECK_UINT(charged("ds"), 100);
	file_pool_reopen(&fp, false);
	CHECK_UINT(charged("ds"), 100);
}

static void charge__destroying_in_any_order_ends_at_the_same(void **state)
{
	static const char *const orders[] = {"012", "021", "102",
					     "120", "201", "210"};

	(void)state;
	for (unsigned o = 0; o < ARRAY_SIZE(orders); o++) {
		char name[] = "ds@0";

		for (unsigned i = 0; i < 3; i++) {
			fill(fp.ds, 0, 60 - 20 * i);
			name[3] = (char)('0' + i);
			snapshot(name + 3);
		}
		for (unsigned i = 0; i < 3; i++) {
			name[3] = orders[o][i];
			destroy(name);
			if (i == o % 3)
				file_pool_reopen(&fp, o % 2);
		}
		CHECK_UINT(charged("ds"), 60);
		set_size(fp.ds, ino, 0);
		CHECK_UINT(charged("ds"), 0);
	}
}

static void charge__a_clone_starts_at_nothing(void **state)
{
	struct dataset *clone;

	(void)state;
	fill(fp.ds, 0, 100);
	CHECK_OK(dataset_clone(fp.ds, "clone", NULL));
	CHECK_UINT(charged("clone"), 0);
	CHECK_OK(dataset_open(fp.pool, "clone", &clone));
	fill(clone, 0, 10);
	CHECK_UINT(charged("clone"), 10);
	CHECK_UINT(charged("ds"), 100);
	/* what it deletes was never charged to it */
	set_size(clone, ino, 0);
	CHECK_UINT(charged("clone"), 0);
	dataset_put(clone);
	/* the origin keeps its charge when the clone alone has the blocks */
	destroy("clone");
	CHECK_UINT(charged("ds"), 100);
}

static void charge__restore_takes_back_what_was_written_since(void **state)
{
	(void)state;
	fill(fp.ds, 0, 100);
	snapshot("a");
	fill(fp.ds, 0, 50);
	CHECK_UINT(charged("ds"), 150);
	restore("ds@a", NULL);
	CHECK_UINT(charged("ds"), 100);
	fill(fp.ds, 0, 20);
	CHECK_UINT(charged("ds"), 120);
	restore("ds@a", "kept");
	CHECK_UINT(charged("ds@kept"), 20);
	CHECK_UINT(charged("ds"), 120);
	destroy("ds@kept");
	CHECK_UINT(charged("ds"), 100);
	destroy("ds@a");
	CHECK_UINT(charged("ds"), 100);
}

static void charge__a_restore_from_elsewhere_charges_nothing(void **state)
{
	struct dataset *other;

	(void)state;
	CHECK_OK(dataset_clone(fp.ds, "other", NULL));
	CHECK_OK(dataset_open(fp.pool, "other", &other));
	fill(other, 0, 70);
	CHECK_OK(dataset_snapshot(other, "s", false, NULL));
	dataset_put(other);
	fill(fp.ds, 0, 10);
	restore("other@s", NULL);
	CHECK_UINT(charged("ds"), 0);
	CHECK_UINT(charged("other"), 70);
	destroy("other");
	read_is(fp.ds, ino, 70 * RECORD, "", 0);
}

static void charge__partial_records_count_when_they_are_stored(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 10; i++)
		write_at(fp.ds, ino, i * (uint64_t)RECORD + 5000, "part", 4);
	CHECK_OK(pool_sync(fp.pool));
	/* two blocks each: up to the last that is not zero */
	CHECK(info_of(fp.ds).charged >= 10 * BLOCK_SIZE);
	CHECK(info_of(fp.ds).charged <= 20 * BLOCK_SIZE);
	set_size(fp.ds, ino, 0);
	CHECK_UINT(charged("ds"), 0);
}

/* A crash between a destroy and the recount only repeats the recount. */
static void charge__a_recount_cut_short_is_done_at_the_next_open(void **state)
{
	(void)state;
	fill(fp.ds, 0, 100);
	snapshot("a");
	fill(fp.ds, 0, 30);
	/* as the destroy leaves it when the worker has not begun */
	destroy("ds@a");
	fp.ds->flags |= DATASET_RECOUNT;
	fp.ds->fresh = 5;
	fill(fp.ds, 0, 1);
	CHECK_OK(pool_sync(fp.pool));
	dataset_put(fp.ds);
	pool_abandon(fp.pool);
	{
		const struct pool_options o = {.no_background = true};
		struct store_error e = {""};

		CHECK_OK(pool_open_on(blkdev_borrow(fp.mem), &o, &fp.pool, &e));
		CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
	}
	CHECK_UINT(charged("ds"), 100);
	CHECK(!(fp.ds->flags & DATASET_RECOUNT));
}

/* -- several that go on from one snapshot -------------------------------------------------- */

/* One extent that a dataset or snapshot holds. */
struct held {
	uint64_t recno, blkno, birth;
};

struct holds {
	struct held of[20000];
	size_t nr;
	uint64_t after;
};

static int add_held(void *arg, uint64_t recno, const struct extent *e)
{
	struct holds *h = arg;

	if (e->nr_blocks && e->birth > h->after) {
		CHECK(h->nr < ARRAY_SIZE(h->of));
		h->of[h->nr++] = (struct held){recno, e->blkno, e->birth};
	}
	return 0;
}

static int add_all_held(struct op *op, struct dataset *ds, void *arg)
{
	struct holds *h = arg;
	struct inode inode;
	size_t before = h->nr;
	int rc = inode_get(op, ds, ino, &inode);

	if (rc == 0)
		rc = extent_each(op, ds, &inode, 0, 1000, add_held, h);
	if (rc)
		h->nr = before;
	return rc;
}

/* Where the line of @ds begins: what is older was never charged. */
static uint64_t line_start(const struct dataset *ds)
{
	struct dataset *up;

	while (ds->previous) {
		CHECK_OK(dataset_open_id(fp.pool, ds->previous, &up));
		dataset_put(up);
		ds = up;
	}
	return ds->previous_txg;
}

static int compare_held(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct held));
}

/* Records that the head or a snapshot of it holds, each once. */
static uint64_t held_once(void)
{
	static struct holds h;
	uint64_t nr = 0;
	uint32_t *ids;
	size_t n;

	h = (struct holds){.after = line_start(fp.ds)};
	CHECK_OK(op_read(fp.ds, add_all_held, &h));
	CHECK_OK(dataset_list(fp.pool, dataset_id(fp.ds), &ids, &n));
	for (size_t i = 0; i < n; i++) {
		struct dataset *s;

		CHECK_OK(dataset_open_id(fp.pool, ids[i], &s));
		h.after = line_start(s);
		CHECK_OK(op_read(s, add_all_held, &h));
		dataset_put(s);
	}
	free(ids);
	qsort(h.of, h.nr, sizeof(h.of[0]), compare_held);
	for (size_t i = 0; i < h.nr; i++)
		nr += i == 0 || compare_held(&h.of[i - 1], &h.of[i]) != 0;
	return nr;
}

static void charge__heirs_of_one_snapshot_share_its_charge(void **state)
{
	(void)state;
	fill(fp.ds, 0, 100);
	snapshot("a");
	fill(fp.ds, 0, 30);
	restore("ds@a", "kept");
	fill(fp.ds, 50, 10);
	CHECK_UINT(charged("ds"), 140);
	destroy("ds@a");
	/* 30 that only the head has still, 70 of both, 40 of one each */
	CHECK_UINT(charged("ds"), 140);
	CHECK_UINT(charged("ds@kept"), 100);
	/* the head gives up what the other keeps, and what nobody does */
	fill(fp.ds, 90, 10);
	CHECK_UINT(charged("ds"), 150);
	fill(fp.ds, 0, 30);
	CHECK_UINT(charged("ds"), 150);
	file_pool_check(&fp);
	set_size(fp.ds, ino, 0);
	CHECK_UINT(charged("ds"), 100);
	destroy("ds@kept");
	CHECK_UINT(charged("ds"), 0);
}

static void charge__what_one_heir_had_goes_to_the_next(void **state)
{
	(void)state;
	fill(fp.ds, 0, 100);
	snapshot("a");
	restore("ds@a", "b");
	fill(fp.ds, 0, 10);
	restore("ds@a", "c");
	destroy("ds@a");
	CHECK_UINT(charged("ds@b"), 100);
	CHECK_UINT(charged("ds@c"), 10);
	CHECK_UINT(charged("ds"), 110);
	destroy("ds@b");
	CHECK_UINT(charged("ds@c"), 100);
	CHECK_UINT(charged("ds"), 110);
	file_pool_check(&fp);
	destroy("ds@c");
	CHECK_UINT(charged("ds"), 100);
}

/* A record written in part replaces what another snapshot has, or has not. */
static void charge__partial_records_replace_what_others_hold(void **state)
{
	(void)state;
	fill(fp.ds, 0, 20);
	snapshot("a");
	fill(fp.ds, 0, 5);
	restore("ds@a", "kept");
	destroy("ds@a");
	CHECK_UINT(charged("ds"), 25);
	for (unsigned i = 0; i < 20; i++)
		write_at(fp.ds, ino, i * (uint64_t)RECORD + 500, "part", 4);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_UINT(charged("ds"), 40);
	file_pool_check(&fp);
	CHECK_UINT(charged("ds"), 40);
}

static void random_step(struct rnd *r, unsigned *names)
{
	uint64_t first = rnd_below(r, 180);
	char name[16], keep[16];
	uint32_t *ids;
	size_t n;

	CHECK_OK(dataset_list(fp.pool, dataset_id(fp.ds), &ids, &n));
	snprintf(name, sizeof(name), "s%u", ++*names);
	snprintf(keep, sizeof(keep), "k%u", *names);
	if (n > 0 && rnd_one_in(r, 3)) {
		struct dataset *s;

		CHECK_OK(dataset_open_id(fp.pool, ids[rnd_below(r, n)], &s));
		if (rnd_one_in(r, 2))
			CHECK_OK(dataset_destroy(s, 0));
		else
			CHECK_OK(dataset_restore(
				fp.ds, s, rnd_one_in(r, 3) ? NULL : keep, 0));
		dataset_put(s);
	} else if (n < 12 && rnd_one_in(r, 4)) {
		snapshot(name);
	} else if (rnd_one_in(r, 8)) {
		set_size(fp.ds, ino, first * RECORD);
	} else if (rnd_one_in(r, 8)) {
		file_pool_reopen(&fp, rnd_one_in(r, 2));
	} else {
		fill(fp.ds, first, rnd_between(r, 1, 20));
	}
	free(ids);
}

static void charge__is_what_head_and_snapshots_hold_each_once(void **state)
{
	struct rnd r = {2026};
	unsigned names = 0;

	(void)state;
	fill(fp.ds, 0, 200);
	for (unsigned i = 0; i < 400; i++) {
		random_step(&r, &names);
		CHECK_UINT(charged("ds"), held_once());
		if (i % 100 == 99)
			file_pool_check(&fp);
	}
}

/* -- recount beside writers -------------------------------------------------------------- */

struct writer {
	/* atomic */
	bool stop;
	uint64_t nr;
};

static void overwrite(void *arg)
{
	struct writer *w = arg;
	struct rnd r = {4711};
	uint8_t buf[RECORD];

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		rnd_fill(&r, buf, sizeof(buf));
		MUST(file_write(fp.ds, ino, rnd_below(&r, 200) * RECORD, buf,
				sizeof(buf), 0) == 0);
		__atomic_add_fetch(&w->nr, 1, __ATOMIC_RELAXED);
	}
}

static void charge__recounts_beside_writers_lose_nothing(void **state)
{
	const struct pool_options o = {.commit_ms = 20};
	struct store_error e = {""};
	struct os_thread t = {0};
	struct writer w = {0};

	(void)state;
	fill(fp.ds, 0, 200);
	dataset_put(fp.ds);
	CHECK_OK(pool_close(fp.pool));
	/* with its threads */
	CHECK_OK(pool_open_on(blkdev_borrow(fp.mem), &o, &fp.pool, &e));
	CHECK_OK(dataset_open(fp.pool, FILE_POOL_DATASET, &fp.ds));
	CHECK_OK(os_thread_start(&t, "overwrite", overwrite, &w));
	for (unsigned i = 0; i < 30; i++) {
		char name[16];

		while (__atomic_load_n(&w.nr, __ATOMIC_RELAXED) < 20 * i)
			sched_yield();
		snprintf(name, sizeof(name), "ds@s%u", i);
		MUST(dataset_snapshot(fp.ds, name + 3, false, NULL) == 0);
		if (i >= 2) {
			struct dataset *s;

			snprintf(name, sizeof(name), "ds@s%u", i - 2);
			MUST(dataset_open(fp.pool, name, &s) == 0);
			MUST(dataset_destroy(s, 0) == 0);
			dataset_put(s);
		}
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
	os_thread_join(&t);
	destroy("ds@s28");
	destroy("ds@s29");
	CHECK_OK(pool_wait_reaped(fp.pool));
	/* nothing but the head's 200 records is left */
	CHECK_UINT(charged("ds"), 200);
	CHECK(w.nr > 0);
}

/* -- quotas -------------------------------------------------------------------------------- */

static void quota__stops_writes_and_lets_deletes_through(void **state)
{
	(void)state;
	quota(fp.ds, 2 * MIB);
	fill(fp.ds, 0, 100);
	CHECK_INT(try_fill(fp.ds, 100, 100), -EDQUOT);
	CHECK(charged("ds") <= 128);
	CHECK(charged("ds") >= 126);
	/* replacing is no growth */
	fill(fp.ds, 0, 50);
	set_size(fp.ds, ino, 50 * RECORD);
	fill(fp.ds, 50, 50);
	quota(fp.ds, 0);
	fill(fp.ds, 100, 100);
}

static void quota__counts_what_only_snapshots_hold(void **state)
{
	(void)state;
	quota(fp.ds, 2 * MIB);
	fill(fp.ds, 0, 100);
	snapshot("a");
	CHECK_INT(try_fill(fp.ds, 0, 100), -EDQUOT);
	set_size(fp.ds, ino, 0);
	CHECK_INT(try_fill(fp.ds, 0, 100), -EDQUOT);
	destroy("ds@a");
	fill(fp.ds, 0, 100);
}

static void quota__of_a_clone_does_not_count_its_origin(void **state)
{
	struct dataset *clone;

	(void)state;
	fill(fp.ds, 0, 200);
	CHECK_OK(dataset_clone(fp.ds, "clone", NULL));
	CHECK_OK(dataset_open(fp.pool, "clone", &clone));
	quota(clone, MIB);
	fill(clone, 0, 60);
	CHECK_INT(try_fill(clone, 60, 10), -EDQUOT);
	dataset_put(clone);
}

static void quota__is_what_statfs_shows(void **state)
{
	uint64_t size, left;

	(void)state;
	quota(fp.ds, 2 * MIB);
	fill(fp.ds, 0, 64);
	dataset_space(fp.ds, &size, &left);
	CHECK_UINT(size, 2 * MIB);
	CHECK_UINT(left, MIB);
	/* lowered below what is there */
	quota(fp.ds, MIB / 2);
	dataset_space(fp.ds, &size, &left);
	CHECK_UINT(left, 0);
	CHECK_UINT(size, MIB);
	CHECK_INT(try_fill(fp.ds, 64, 1), -EDQUOT);
}

/* Records written in part count before they are stored. */
static void quota__stops_partial_writes_exactly(void **state)
{
	struct dataset_properties p = info_of(fp.ds).properties;
	uint64_t nr = 0;

	(void)state;
	p.compression = 0;
	p.quota = 16 * RECORD;
	CHECK_OK(dataset_set_properties(fp.ds, &p));
	while (nr < 2000 &&
	       file_write(fp.ds, ino, (nr + 1) * RECORD - 4, "part", 4, 0) == 0)
		nr++;
	CHECK_INT(file_write(fp.ds, ino, (nr + 1) * RECORD - 4, "part", 4, 0),
		  -EDQUOT);
	CHECK_UINT(nr, 16);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_UINT(info_of(fp.ds).charged, 16 * RECORD);
}

/* What they take when they are stored may be less: then more of them fit. */
static void quota__partial_writes_may_take_less_than_a_record(void **state)
{
	uint64_t nr = 0;

	(void)state;
	quota(fp.ds, 16 * RECORD);
	while (nr < 2000 &&
	       file_write(fp.ds, ino, nr * RECORD, "part", 4, 0) == 0)
		nr++;
	/* to within one that may take a whole record */
	CHECK(nr > 15 * RECORD / 4096);
	CHECK_OK(pool_sync(fp.pool));
	CHECK_UINT(info_of(fp.ds).charged, nr * 4096);
}

static void quota__near_the_largest_number_is_no_overflow(void **state)
{
	(void)state;
	quota(fp.ds, UINT64_MAX);
	fill(fp.ds, 0, 10);
	quota(fp.ds, 1);
	CHECK_INT(try_fill(fp.ds, 10, 1), -EDQUOT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(charge__overwriting_charges_nothing_more),
		TEST(charge__a_snapshot_charges_nothing_itself),
		TEST(charge__overwriting_what_a_snapshot_has_is_charged),
		TEST(charge__destroying_the_oldest_snapshot_passes_on_what_is_kept),
		TEST(charge__destroying_in_any_order_ends_at_the_same),
		TEST(charge__a_clone_starts_at_nothing),
		TEST(charge__restore_takes_back_what_was_written_since),
		TEST(charge__a_restore_from_elsewhere_charges_nothing),
		TEST(charge__partial_records_count_when_they_are_stored),
		TEST(charge__a_recount_cut_short_is_done_at_the_next_open),
		TEST(charge__heirs_of_one_snapshot_share_its_charge),
		TEST(charge__what_one_heir_had_goes_to_the_next),
		TEST(charge__partial_records_replace_what_others_hold),
		TEST(charge__is_what_head_and_snapshots_hold_each_once),
		TEST(charge__recounts_beside_writers_lose_nothing),
		TEST(quota__stops_writes_and_lets_deletes_through),
		TEST(quota__counts_what_only_snapshots_hold),
		TEST(quota__of_a_clone_does_not_count_its_origin),
		TEST(quota__is_what_statfs_shows),
		TEST(quota__stops_partial_writes_exactly),
		TEST(quota__partial_writes_may_take_less_than_a_record),
		TEST(quota__near_the_largest_number_is_no_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
