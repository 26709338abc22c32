/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_diff.c - what differs between two roots, and what destroying would free
 */
#include <errno.h>
#include <sys/stat.h>

#include "store/dataset_internal.h"
#include "store/diff_internal.h"
#include "store/os.h"
#include "store/pool_internal.h"
#include "store/store.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"

#define POOL_SIZE (UINT64_C(128) << 20)
#define RECORD	  16384u

static struct pool *pool;
static struct dataset *ds;

/* ---- the pool ------------------------------------------------------------ */

static int setup(void **state)
{
	struct pool_create_options c = {.name = "test"};
	struct pool_options o = {.no_background = true};
	struct dataset_properties p;
	struct store_error error = {""};
	struct blkdev *dev;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	CHECK_OK(blkdev_mem_open(POOL_SIZE, &dev));
	CHECK_OK(pool_create_on(dev, &c, &error));
	CHECK_OK(pool_open_on(dev, &o, &pool, &error));
	dataset_properties_default(&p);
	CHECK_OK(dataset_create(pool, "ds", &p, NULL));
	CHECK_OK(dataset_open(pool, "ds", &ds));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	return 0;
}

static uint64_t make(uint64_t dir, const char *name, uint32_t mode)
{
	struct file_new n = {.mode = mode};
	struct file_attr attr;

	CHECK_OK(file_create(ds, dir, name, strlen(name), &n, &attr));
	return attr.ino;
}

static uint64_t make_file(uint64_t dir, const char *name)
{
	return make(dir, name, S_IFREG | 0644);
}

/* @nr records that do not compress, from record @first on. */
static void put(struct dataset *to, uint64_t ino, uint64_t first, size_t nr,
		uint64_t seed)
{
	uint8_t *buf = malloc(nr * RECORD);
	struct rnd r = {seed};

	CHECK(buf);
	rnd_fill(&r, buf, nr * RECORD);
	for (size_t i = 0; i < nr; i += 64)
		CHECK_OK(file_write(to, ino, (first + i) * RECORD,
				    buf + i * RECORD,
				    MIN_OF(nr - i, (size_t)64) * RECORD, 0));
	free(buf);
}

static struct dataset *open_ds(const char *name)
{
	struct dataset *d;

	CHECK_OK(dataset_open(pool, name, &d));
	return d;
}

static struct dataset *snapshot(const char *name)
{
	uint32_t id;
	struct dataset *d;

	CHECK_OK(dataset_snapshot(ds, name, false, &id));
	CHECK_OK(dataset_open_id(pool, id, &d));
	return d;
}

static struct dataset *clone_of(struct dataset *source, const char *name)
{
	CHECK_OK(dataset_clone(source, name, NULL));
	return open_ds(name);
}

static uint64_t lookup(uint64_t dir, const char *name)
{
	struct file_attr attr;

	CHECK_OK(file_lookup(ds, dir, name, strlen(name), &attr));
	return attr.ino;
}

static void rename_to(uint64_t dir, const char *name, uint64_t to_dir,
		      const char *to_name)
{
	CHECK_OK(file_rename(ds, dir, name, strlen(name), to_dir, to_name,
			     strlen(to_name), 0, NULL));
}

/* ---- what diff says ------------------------------------------------------- */

static char lines[64][300];
static size_t nr_lines;
static uint64_t total_bytes;

static int keep_line(void *arg, const struct diff_entry *e)
{
	static const char kinds[] = "+-MR";

	(void)arg;
	CHECK(nr_lines < ARRAY_SIZE(lines));
	CHECK((e->kind == DIFF_RENAMED) == (e->old_path != NULL));
	snprintf(lines[nr_lines++], sizeof(lines[0]), "%c %s%s%s %ju",
		 kinds[e->kind], e->old_path ? e->old_path : "",
		 e->old_path ? " > " : "", e->path, (uintmax_t)e->bytes);
	total_bytes += e->bytes;
	return 0;
}

static void diff(struct dataset *a, struct dataset *b)
{
	nr_lines = 0;
	total_bytes = 0;
	CHECK_OK(dataset_diff(a, b, keep_line, NULL));
}

static void print_lines(void)
{
	for (size_t i = 0; i < nr_lines; i++)
		print_message("line: %s\n", lines[i]);
}

/* The lines, in any order, are exactly those given (up to NULL). */
static void check_lines(const char *const *want)
{
	size_t nr = 0;

	for (; want[nr]; nr++) {
		bool found = false;

		for (size_t i = 0; i < nr_lines; i++)
			found |= strcmp(lines[i], want[nr]) == 0;
		if (!found) {
			print_lines();
			check_failed(want[nr], __FILE__, __LINE__);
		}
	}
	if (nr != nr_lines)
		print_lines();
	CHECK_UINT(nr_lines, nr);
}

#define CHECK_LINES(...) check_lines((const char *const[]){__VA_ARGS__, NULL})

/* ---- diff ------------------------------------------------------------------ */

static void diff__of_a_root_with_itself_is_empty(void **state)
{
	struct dataset *a;

	(void)state;
	put(ds, make_file(INO_ROOT, "f"), 0, 10, 1);
	a = snapshot("a");
	diff(a, a);
	CHECK_UINT(nr_lines, 0);
	diff(a, ds);
	CHECK_UINT(nr_lines, 0);
	dataset_put(a);
}

static void diff__names_what_was_added_removed_and_modified(void **state)
{
	struct dataset *a;
	uint64_t db, t;

	(void)state;
	db = make(INO_ROOT, "db", S_IFDIR | 0755);
	t = make_file(db, "t.ibd");
	put(ds, t, 0, 30, 1);
	put(ds, make_file(db, "gone"), 0, 3, 2);
	put(ds, make_file(INO_ROOT, "same"), 0, 3, 2);
	a = snapshot("a");
	put(ds, t, 7, 2, 3);
	CHECK_OK(file_unlink(ds, db, "gone", 4, NULL));
	put(ds, make_file(db, "new"), 0, 5, 4);
	diff(a, ds);
	CHECK_LINES("M db 0", "M db/t.ibd 32768", "- db/gone 49152",
		    "+ db/new 81920");
	diff(ds, a);
	CHECK_LINES("M db 0", "M db/t.ibd 32768", "+ db/gone 49152",
		    "- db/new 81920");
	dataset_put(a);
}

static void diff__comes_in_order_of_inode_number(void **state)
{
	struct dataset *a = snapshot("a");
	uint64_t last = 0;
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "%u", 49 - i);
		make_file(INO_ROOT, name);
	}
	diff(a, ds);
	CHECK_UINT(nr_lines, 51);
	CHECK_STR(lines[0], "M . 0");
	for (size_t i = 1; i < nr_lines; i++) {
		uint64_t ino;

		lines[i][strlen(lines[i]) - 2] = '\0';
		ino = lookup(INO_ROOT, lines[i] + 2);
		CHECK(ino > last);
		last = ino;
	}
	dataset_put(a);
}

static void diff__tells_a_rename_from_removing_and_adding(void **state)
{
	struct dataset *a;
	uint64_t db, t;

	(void)state;
	db = make(INO_ROOT, "db", S_IFDIR | 0755);
	t = make_file(db, "t");
	make_file(db, "u");
	put(ds, t, 0, 4, 1);
	a = snapshot("a");
	rename_to(db, "t", INO_ROOT, "T");
	put(ds, t, 0, 1, 9);
	diff(a, ds);
	CHECK_LINES("M . 0", "M db 0", "R db/t > T 16384");
	dataset_put(a);
}

static void diff__of_a_renamed_directory_does_not_list_its_files(void **state)
{
	struct dataset *a;
	uint64_t db, sub;

	(void)state;
	db = make(INO_ROOT, "db", S_IFDIR | 0755);
	sub = make(db, "sub", S_IFDIR | 0755);
	make_file(sub, "x");
	put(ds, make_file(sub, "y"), 0, 1, 1);
	a = snapshot("a");
	rename_to(INO_ROOT, "db", INO_ROOT, "DB");
	put(ds, lookup(sub, "y"), 0, 1, 2);
	diff(a, ds);
	CHECK_LINES("M . 0", "R db > DB 0", "M DB/sub/y 16384");
	dataset_put(a);
}

static void diff__of_a_file_replaced_by_rename_names_both(void **state)
{
	struct dataset *a;

	(void)state;
	put(ds, make_file(INO_ROOT, "t"), 0, 2, 1);
	put(ds, make_file(INO_ROOT, "#sql"), 0, 3, 2);
	a = snapshot("a");
	rename_to(INO_ROOT, "#sql", INO_ROOT, "t");
	diff(a, ds);
	CHECK_LINES("M . 0", "- t 32768", "R #sql > t 0");
	dataset_put(a);
}

static void diff__of_a_second_link_is_no_rename(void **state)
{
	struct file_attr attr;
	struct dataset *a, *b;
	uint64_t t = make_file(INO_ROOT, "t");

	(void)state;
	a = snapshot("a");
	CHECK_OK(file_link(ds, t, INO_ROOT, "u", 1, &attr));
	diff(a, ds);
	CHECK_LINES("M . 0", "M u 0");
	b = snapshot("b");
	CHECK_OK(file_unlink(ds, INO_ROOT, "t", 1, NULL));
	diff(b, ds);
	CHECK_LINES("M . 0", "M u 0");
	diff(a, ds);
	CHECK_LINES("M . 0", "R t > u 0");
	dataset_put(a);
	dataset_put(b);
}

static void
diff__does_not_count_records_rewritten_with_the_same_bytes(void **state)
{
	struct dataset *a;
	uint64_t t = make_file(INO_ROOT, "t");

	(void)state;
	put(ds, t, 0, 8, 1);
	a = snapshot("a");
	put(ds, t, 0, 8, 1);
	diff(a, ds);
	CHECK_UINT(total_bytes, 0);
	dataset_put(a);
}

static void diff__sees_bytes_that_are_still_in_memory(void **state)
{
	struct dataset *a;
	uint64_t t = make_file(INO_ROOT, "t");

	(void)state;
	put(ds, t, 0, 2, 1);
	a = snapshot("a");
	CHECK_OK(file_write(ds, t, 100, "hello", 5, 0));
	diff(a, ds);
	CHECK_LINES("M t 16384");
	dataset_put(a);
}

static void diff__takes_an_unlinked_open_file_for_gone(void **state)
{
	struct dataset *a;
	uint64_t t = make_file(INO_ROOT, "t");

	(void)state;
	put(ds, t, 0, 2, 1);
	a = snapshot("a");
	CHECK_OK(file_open(ds, t, true));
	CHECK_OK(file_unlink(ds, INO_ROOT, "t", 1, NULL));
	diff(a, ds);
	CHECK_LINES("M . 0", "- t 32768");
	file_close(ds, t, true);
	dataset_put(a);
}

static void diff__of_unrelated_datasets_pairs_nothing_by_number(void **state)
{
	struct dataset_properties p;
	struct dataset *other, *mine = ds;

	(void)state;
	make_file(INO_ROOT, "mine");
	dataset_properties_default(&p);
	CHECK_OK(dataset_create(pool, "other", &p, NULL));
	other = open_ds("other");
	ds = other;
	make_file(INO_ROOT, "other");
	ds = mine;
	diff(ds, other);
	CHECK_LINES("- . 0", "+ . 0", "- mine 0", "+ other 0");
	dataset_put(other);
}

static int stop_at_once(void *arg, const struct diff_entry *e)
{
	(void)e;
	++*(int *)arg;
	return 77;
}

static void diff__stops_when_told(void **state)
{
	struct dataset *a = snapshot("a");
	int calls = 0;

	(void)state;
	make_file(INO_ROOT, "x");
	make_file(INO_ROOT, "y");
	CHECK_INT(dataset_diff(a, ds, stop_at_once, &calls), 77);
	CHECK_INT(calls, 1);
	dataset_put(a);
}

static uint64_t cache_lookups(void)
{
	struct node_cache_stat st;

	node_cache_stat(pool->nc, &st);
	return st.hits + st.misses;
}

static void diff__reads_only_what_is_not_shared(void **state)
{
	struct dataset *a;
	uint64_t before, t = make_file(INO_ROOT, "t");

	(void)state;
	/* about thirty leaves */
	put(ds, t, 0, 5000, 1);
	a = snapshot("a");
	put(ds, t, 2500, 1, 2);
	before = cache_lookups();
	diff(a, ds);
	CHECK_LINES("M t 16384");
	/* a few paths of three nodes, not thirty leaves twice */
	CHECK(cache_lookups() - before < 40);
	dataset_put(a);
}

static void diff__of_random_changes_names_every_changed_file(void **state)
{
	struct rnd r = {42};
	uint64_t ino[40];
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "f%02u", i);
		ino[i] = make_file(INO_ROOT, name);
		put(ds, ino[i], 0, 40, i);
	}
	for (unsigned round = 0; round < 30; round++) {
		struct dataset *a;
		uint64_t changed = 0, bytes = 0;

		snprintf(name, sizeof(name), "s%u", round);
		a = snapshot(name);
		for (uint64_t n = rnd_below(&r, 6); n > 0; n--) {
			uint64_t i = rnd_below(&r, 40);

			if (changed >> i & 1)
				continue;
			changed |= UINT64_C(1) << i;
			put(ds, ino[i], rnd_below(&r, 40), 1, rnd_next(&r));
			bytes += RECORD;
		}
		diff(a, ds);
		CHECK_UINT(nr_lines, __builtin_popcountll(changed));
		CHECK_UINT(total_bytes, bytes);
		for (size_t i = 0; i < nr_lines; i++)
			CHECK(changed >> atoi(lines[i] + 3) & 1);
		dataset_put(a);
	}
}

/* ---- a dataset that is written to meanwhile -------------------------------- */

struct writer {
	struct os_thread thread;
	uint64_t ino;
	uint64_t nr; /* writes done; atomic */
	bool stop;   /* atomic */
};

static void write_on(void *arg)
{
	struct writer *w = arg;
	uint8_t *buf = malloc(RECORD);
	struct rnd r = {3};

	MUST(buf);
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		rnd_fill(&r, buf, RECORD);
		MUST(file_write(ds, w->ino, rnd_below(&r, 3000) * RECORD, buf,
				RECORD, 0) == 0);
		__atomic_add_fetch(&w->nr, 1, __ATOMIC_RELEASE);
	}
	free(buf);
}

static void diff__of_a_dataset_under_load_never_fails(void **state)
{
	struct writer w = {.ino = make_file(INO_ROOT, "t")};
	struct dataset *a;
	uint64_t bytes, nr = 0;

	(void)state;
	put(ds, w.ino, 0, 3000, 1);
	a = snapshot("a");
	CHECK_OK(os_thread_start(&w.thread, "writer", write_on, &w));
	while (__atomic_load_n(&w.nr, __ATOMIC_ACQUIRE) < 500) {
		diff(a, ds);
		CHECK(nr_lines <= 1);
		CHECK_OK(dataset_unique(&ds, 1, &bytes));
		nr++;
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
	os_thread_join(&w.thread);
	CHECK(nr > 0);
	diff(a, ds);
	CHECK_UINT(nr_lines, 1);
	dataset_put(a);
}

/* ---- unique ---------------------------------------------------------------- */

static uint64_t unique(struct dataset *a, struct dataset *b)
{
	struct dataset *list[] = {a, b};
	uint64_t bytes;

	CHECK_OK(dataset_unique(list, b ? 2 : 1, &bytes));
	return bytes;
}

static uint64_t free_bytes(void)
{
	struct pool_stat st;

	CHECK_OK(pool_sync(pool));
	CHECK_OK(pool_wait_reaped(pool));
	CHECK_OK(pool_sync(pool));
	CHECK_OK(pool_sync(pool));
	pool_stat(pool, &st);
	return st.size - st.allocated;
}

static void unique__is_what_destroying_gives_back(void **state)
{
	uint64_t before, want, t = make_file(INO_ROOT, "t");
	struct dataset *a, *b, *c;

	(void)state;
	put(ds, t, 0, 600, 1);
	a = snapshot("a");
	c = clone_of(a, "c");
	put(c, t, 100, 50, 2);
	put(ds, t, 0, 50, 3);
	b = snapshot("b");
	put(ds, t, 300, 60, 4);

	want = unique(c, NULL);
	CHECK(want >= 50 * RECORD);
	CHECK(want < 50 * RECORD + 20 * BLOCK_SIZE);
	before = free_bytes();
	CHECK_OK(dataset_destroy(c, 0));
	CHECK_UINT(free_bytes() - before, want);
	dataset_put(c);

	/* the first 50 records are a's alone now, others are shared */
	want = unique(a, NULL);
	CHECK(want >= 50 * RECORD);
	CHECK(want < 50 * RECORD + 20 * BLOCK_SIZE);
	before = free_bytes();
	CHECK_OK(dataset_destroy(a, 0));
	CHECK_UINT(free_bytes() - before, want);
	dataset_put(a);

	want = unique(b, NULL);
	before = free_bytes();
	CHECK_OK(dataset_destroy(b, 0));
	CHECK_UINT(free_bytes() - before, want);
	dataset_put(b);
}

static void unique__of_several_counts_what_only_they_share(void **state)
{
	uint64_t before, want, t = make_file(INO_ROOT, "t");
	struct dataset *a, *b;

	(void)state;
	put(ds, t, 0, 400, 1);
	a = snapshot("a");
	b = clone_of(a, "b");
	/* ds goes its own way, what it had is a's and b's together */
	put(ds, t, 0, 400, 2);
	CHECK(unique(a, NULL) < 20 * BLOCK_SIZE);
	CHECK(unique(b, NULL) < 20 * BLOCK_SIZE);
	want = unique(a, b);
	CHECK(want >= 400 * RECORD);
	before = free_bytes();
	CHECK_OK(dataset_destroy(a, 0));
	CHECK_OK(dataset_destroy(b, 0));
	CHECK_UINT(free_bytes() - before, want);
	dataset_put(a);
	dataset_put(b);
}

static void unique__of_an_unchanged_clone_is_nothing(void **state)
{
	struct dataset *a, *b;

	(void)state;
	put(ds, make_file(INO_ROOT, "t"), 0, 100, 1);
	a = snapshot("a");
	b = clone_of(a, "b");
	CHECK_UINT(unique(b, NULL), 0);
	CHECK_UINT(unique(a, NULL), 0);
	CHECK_UINT(unique(a, b), 0);
	dataset_put(a);
	dataset_put(b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(diff__of_a_root_with_itself_is_empty),
		TEST(diff__names_what_was_added_removed_and_modified),
		TEST(diff__comes_in_order_of_inode_number),
		TEST(diff__tells_a_rename_from_removing_and_adding),
		TEST(diff__of_a_renamed_directory_does_not_list_its_files),
		TEST(diff__of_a_file_replaced_by_rename_names_both),
		TEST(diff__of_a_second_link_is_no_rename),
		TEST(diff__does_not_count_records_rewritten_with_the_same_bytes),
		TEST(diff__sees_bytes_that_are_still_in_memory),
		TEST(diff__takes_an_unlinked_open_file_for_gone),
		TEST(diff__of_unrelated_datasets_pairs_nothing_by_number),
		TEST(diff__stops_when_told),
		TEST(diff__reads_only_what_is_not_shared),
		TEST(diff__of_random_changes_names_every_changed_file),
		TEST(diff__of_a_dataset_under_load_never_fails),
		TEST(unique__is_what_destroying_gives_back),
		TEST(unique__of_several_counts_what_only_they_share),
		TEST(unique__of_an_unchanged_clone_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
