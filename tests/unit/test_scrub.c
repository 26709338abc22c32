/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_scrub.c - a scrub reads everything once, names what is damaged, goes on
 * where it was, and stands in nobody's way
 */
#include "store/os.h"
#include "store/pool_internal.h"
#include "tests/unit/check_image.h"

#define MIB (UINT64_C(1) << 20)

static struct scrub_status st;
static struct scrub_finding found_by_scrub[64];
static size_t nr_found_by_scrub;

static struct pool *pool_with_threads(struct blkdev *d)
{
	struct pool_options o = {.commit_ms = 50};
	struct store_error error = {""};
	struct pool *pool = NULL;

	CHECK_OK(pool_open_on(blkdev_borrow(d), &o, &pool, &error));
	return pool;
}

static void keep(void *arg, const struct scrub_finding *f)
{
	(void)arg;
	if (nr_found_by_scrub < ARRAY_SIZE(found_by_scrub))
		found_by_scrub[nr_found_by_scrub] = *f;
	nr_found_by_scrub++;
}

static void look(struct pool *pool)
{
	CHECK_OK(pool_scrub_status(pool, &st));
	nr_found_by_scrub = 0;
	CHECK_OK(pool_scrub_findings(pool, keep, NULL));
}

/* To its end, as fast as it goes. */
static void scrub(struct pool *pool)
{
	int rc = pool_scrub_start(pool, 0);

	CHECK(rc == 0 || rc == -EALREADY);
	CHECK_OK(pool_scrub_wait(pool, 60000));
	look(pool);
	CHECK_INT(st.state, SCRUB_FINISHED);
	CHECK(!st.active);
	CHECK_UINT(st.done, st.total);
}

static void scrub_image(void)
{
	struct pool *pool;

	log_set_level((enum log_level)(LOG_LEVEL_ERROR - 1));
	pool = pool_of(dev);
	scrub(pool);
	CHECK_OK(pool_close(pool));
	log_set_level(LOG_LEVEL_ERROR);
}

/* Some finding of @kind in @name, at @path if there is one. */
static bool scrub_says(enum scrub_found kind, const char *name,
		       const char *path, uint64_t offset)
{
	for (size_t i = 0; i < nr_found_by_scrub; i++) {
		const struct scrub_finding *f = &found_by_scrub[i];

		if (f->kind == kind && strcmp(f->name, name) == 0 &&
		    (!path ||
		     (strcmp(f->path, path) == 0 && f->offset == offset)))
			return true;
	}
	return false;
}

/* ---- good pools --------------------------------------------------------------- */

static void scrub__reads_each_node_and_record_once(void **state)
{
	(void)state;
	run_check(true);
	scrub_image();
	CHECK_UINT(st.nr_errors, 0);
	CHECK_UINT(st.nr_found, 0);
	CHECK_UINT(nr_found_by_scrub, 0);
	CHECK_UINT(st.nr_records, result.nr_records);
	/* its own state is one item more in the root tree */
	CHECK_UINT(st.nr_nodes, result.nr_nodes);
	CHECK(st.done / BLOCK_SIZE + 1100 > result.blocks_used);
	CHECK(st.started > 0 && st.ended >= st.started);
	check_clean();
}

static void scrub__reads_what_clones_share_once(void **state)
{
	struct pool *pool = pool_of(dev);
	struct dataset *snap = open_ds(pool, "prod@monday");
	uint64_t nr_records;
	char name[16];

	(void)state;
	scrub(pool);
	nr_records = st.nr_records;
	for (unsigned i = 0; i < 50; i++) {
		struct dataset *clone;

		snprintf(name, sizeof(name), "clone%u", i);
		CHECK_OK(dataset_clone(snap, name, NULL));
		if (i % 10 != 5)
			continue;
		clone = open_ds(pool, name);
		make(clone, INO_ROOT, "new", S_IFREG | 0644, NULL);
		dataset_put(clone);
	}
	dataset_put(snap);
	CHECK_OK(pool_sync(pool));
	scrub(pool);
	CHECK_UINT(st.nr_records, nr_records);
	CHECK_OK(pool_close(pool));
}

static void scrub__status_of_a_pool_that_never_had_one(void **state)
{
	struct pool *pool = pool_of(dev);

	(void)state;
	look(pool);
	CHECK_INT(st.state, SCRUB_NONE);
	CHECK_INT(pool_scrub_pause(pool, false), -ESRCH);
	CHECK_OK(pool_scrub_resume(pool));
	look(pool);
	CHECK_INT(st.state, SCRUB_NONE);
	CHECK_OK(pool_close(pool));
}

static void scrub__can_read_a_pool_that_is_read_only(void **state)
{
	struct pool_options o = {.no_background = true, .read_only = true};
	struct store_error error = {""};
	struct pool *pool;

	(void)state;
	CHECK_OK(pool_open_on(blkdev_borrow(dev), &o, &pool, &error));
	scrub(pool);
	CHECK_UINT(st.nr_errors, 0);
	CHECK_OK(pool_close(pool));
	CHECK_MEM(image, pristine, POOL_SIZE);
}

static void scrub__old_state_goes_when_a_new_one_begins(void **state)
{
	uint8_t *leaf, *tree = tree_of("ci");
	uint64_t ino = ino_of(tree, 16, "t7.ibd", NULL);
	struct extent_item *e =
		value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 4), &leaf);
	uint64_t b = le40_get(e->blkno);
	struct pool *pool;

	(void)state;
	block(b)[77] ^= 4;
	scrub_image();
	CHECK_UINT(st.nr_errors, 1);
	/* kept over a close */
	pool = pool_of(dev);
	look(pool);
	CHECK_INT(st.state, SCRUB_FINISHED);
	CHECK_UINT(st.nr_errors, 1);
	CHECK(scrub_says(SCRUB_FOUND_RECORD, "ci", "db/t7.ibd", 65536));
	CHECK_OK(pool_close(pool));
	block(b)[77] ^= 4;
	scrub_image();
	CHECK_UINT(st.nr_errors, 0);
	CHECK_UINT(nr_found_by_scrub, 0);
	check_clean();
}

/* ---- damage ------------------------------------------------------------------- */

static void scrub__names_every_dataset_that_a_bad_record_is_in(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, 16, "t1.ibd", NULL);
	struct extent_item *e =
		value_of(tree, key_of(ino, ITEM_EXTENT, 0), &leaf);

	(void)state;
	block(le40_get(e->blkno))[77] ^= 4;
	scrub_image();
	CHECK_UINT(st.nr_errors, 1);
	CHECK(scrub_says(SCRUB_FOUND_RECORD, "prod", "db/t1.ibd", 0));
	CHECK(scrub_says(SCRUB_FOUND_RECORD, "prod@monday", "db/t1.ibd", 0));
	CHECK(scrub_says(SCRUB_FOUND_RECORD, "prod@tuesday", "db/t1.ibd", 0));
	CHECK(scrub_says(SCRUB_FOUND_RECORD, "idle", "db/t1.ibd", 0));
	CHECK(scrub_says(SCRUB_FOUND_RECORD, "ci", "db/t1.ibd", 0));
	CHECK_UINT(nr_found_by_scrub, 5);
	CHECK_UINT(st.nr_found, 5);
}

static void scrub__finds_bad_node(void **state)
{
	uint8_t *tree = tree_of("ci");
	struct key key =
		key_of(ino_of(tree, 16, "t7.ibd", NULL), ITEM_EXTENT, 0);

	(void)state;
	leaf_for(tree, &key)[2000] ^= 1;
	scrub_image();
	CHECK_UINT(st.nr_errors, 1);
	CHECK(scrub_says(SCRUB_FOUND_NODE, "ci", NULL, 0));
	CHECK(found_by_scrub[0].ino <= key.ino);
	CHECK(found_by_scrub[0].ino_end > key.ino);
}

static void scrub__reads_the_device_and_not_the_cache(void **state)
{
	struct pool *pool = pool_of(dev);

	(void)state;
	/* all of the root tree is in the cache, and stays there */
	root_of(&superblock()->root_tree)[3000] ^= 1;
	scrub(pool);
	CHECK(st.nr_errors >= 1);
	CHECK(scrub_says(SCRUB_FOUND_POOL_NODE, "", NULL, 0));
	pool_abandon(pool);
}

static void scrub__finds_bad_slots(void **state)
{
	struct space_index *i2 =
		index_block(index2_entry(), space_index_blkno(2, 0, 0));

	(void)state;
	region(0)->count[2000] ^= 1;
	scrub_image();
	CHECK(scrub_says(SCRUB_FOUND_SPACE_MAP, "", NULL, 0));
	memcpy(image, pristine, POOL_SIZE);
	index_block(&i2->entry[0], space_index_blkno(1, 0, 0))->reserved[1] ^=
		1;
	scrub_image();
	CHECK(scrub_says(SCRUB_FOUND_SPACE_MAP, "", NULL, 0));
}

static void scrub__finds_bad_copy_of_the_superblock(void **state)
{
	uint64_t slot = le64_get(superblock()->h.blkno);

	(void)state;
	block(SUPERBLOCK_COPY_BLKNO + slot)[500] ^= 1;
	scrub_image();
	CHECK_UINT(st.nr_errors, 1);
	CHECK(scrub_says(SCRUB_FOUND_SUPERBLOCK, "", NULL, 0));
	CHECK_UINT(found_by_scrub[0].blkno, SUPERBLOCK_COPY_BLKNO + slot);
}

static void scrub__says_what_it_found_in_a_sentence(void **state)
{
	struct scrub_finding f = {.kind = SCRUB_FOUND_RECORD,
				  .name = "prod@monday",
				  .path = "db/t1.ibd",
				  .ino = 17,
				  .offset = 65536,
				  .blkno = 4711};
	char text[1024];

	(void)state;
	scrub_finding_text(&f, text, sizeof(text));
	CHECK(strstr(text, "'prod@monday', 'db/t1.ibd' (inode 17), offset "
			   "65536"));
	CHECK(strstr(text, "block 4711"));
}

/* ---- its life ------------------------------------------------------------------ */

static void scrub__goes_on_after_a_pause_and_a_close(void **state)
{
	struct pool *pool;
	uint64_t nr_records, nr_nodes;

	(void)state;
	scrub_image();
	nr_records = st.nr_records;
	nr_nodes = st.nr_nodes;
	memcpy(image, pristine, POOL_SIZE);
	pool = pool_with_threads(dev);
	/* a slice a second */
	CHECK_OK(pool_scrub_start(pool, MIB));
	do {
		look(pool);
	} while (st.nr_records == 0);
	CHECK_INT(st.state, SCRUB_RUNNING);
	CHECK(st.active);
	CHECK(st.eta_ms != UINT64_MAX);
	CHECK_INT(pool_scrub_start(pool, SCRUB_RATE_SAME), -EALREADY);
	CHECK_OK(pool_scrub_pause(pool, false));
	look(pool);
	CHECK_INT(st.state, SCRUB_PAUSED);
	CHECK(!st.active);
	CHECK(st.nr_records < nr_records);
	/* go on, and be cut short by a close */
	CHECK_OK(pool_scrub_start(pool, MIB));
	CHECK_OK(pool_close(pool));
	check_clean();
	pool = pool_with_threads(dev);
	look(pool);
	CHECK_INT(st.state, SCRUB_RUNNING);
	CHECK(!st.active);
	CHECK_UINT(st.rate, MIB);
	CHECK_OK(pool_scrub_resume(pool));
	CHECK_INT(pool_scrub_start(pool, 0), -EALREADY);
	look(pool);
	CHECK_UINT(st.rate, 0);
	scrub(pool);
	CHECK_UINT(st.nr_records, nr_records);
	/* nodes on its way are read again */
	CHECK(st.nr_nodes >= nr_nodes && st.nr_nodes < nr_nodes + 100);
	CHECK_UINT(st.nr_errors, 0);
	CHECK_OK(pool_close(pool));
}

static void scrub__is_not_faster_than_it_may_be(void **state)
{
	struct pool *pool = pool_with_threads(dev);
	const uint64_t rate = 3000000;

	(void)state;
	CHECK_OK(pool_scrub_start(pool, rate));
	CHECK_OK(pool_scrub_wait(pool, 600000));
	look(pool);
	CHECK_INT(st.state, SCRUB_FINISHED);
	/* after the last slice, a second's worth and a leaf's, it is over */
	CHECK(st.done > rate + 3 * MIB);
	CHECK(st.active_ms + 1 >= (st.done - rate - 3 * MIB) * 1000 / rate);
	CHECK_OK(pool_close(pool));
}

static void scrub__given_up_begins_anew(void **state)
{
	struct pool *pool = pool_with_threads(dev);

	(void)state;
	CHECK_OK(pool_scrub_start(pool, MIB));
	CHECK_OK(pool_scrub_pause(pool, true));
	look(pool);
	CHECK_INT(st.state, SCRUB_STOPPED);
	CHECK_OK(pool_close(pool));
	pool = pool_with_threads(dev);
	CHECK_OK(pool_scrub_resume(pool));
	look(pool);
	CHECK_INT(st.state, SCRUB_STOPPED);
	scrub(pool);
	CHECK_OK(pool_close(pool));
	run_check(true);
	CHECK_UINT(st.nr_records, result.nr_records);
}

static void scrub__remembers_damage_when_it_goes_on(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, 16, "t0.ibd", NULL);
	struct extent_item *e =
		value_of(tree, key_of(ino, ITEM_EXTENT, 0), &leaf);
	struct pool *pool;

	(void)state;
	log_set_level((enum log_level)(LOG_LEVEL_ERROR - 1));
	block(le40_get(e->blkno))[77] ^= 4;
	pool = pool_with_threads(dev);
	CHECK_OK(pool_scrub_start(pool, MIB));
	do {
		look(pool);
	} while (st.nr_found == 0);
	CHECK_OK(pool_scrub_pause(pool, false));
	CHECK_OK(pool_close(pool));
	pool = pool_with_threads(dev);
	scrub(pool);
	CHECK_UINT(st.nr_errors, 1);
	CHECK(scrub_says(SCRUB_FOUND_RECORD, "prod", "db/t0.ibd", 0));
	CHECK(scrub_says(SCRUB_FOUND_RECORD, "idle", "db/t0.ibd", 0));
	CHECK(scrub_says(SCRUB_FOUND_RECORD, "prod@monday", "db/t0.ibd", 0));
	CHECK_OK(pool_close(pool));
	log_set_level(LOG_LEVEL_ERROR);
}

/* ---- beside others -------------------------------------------------------------- */

struct writer {
	struct pool *pool;
	bool stop;
	uint64_t nr;
};

static void write_on(void *arg)
{
	struct writer *w = arg;
	uint8_t *buf = malloc(20 * RECORD);
	struct rnd r = {5};
	struct dataset *ds;
	char name[32];

	MUST(buf && dataset_open(w->pool, "ci", &ds) == 0);
	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		struct file_attr attr;

		rnd_fill(&r, buf, 20 * RECORD);
		snprintf(name, sizeof(name), "t%u.ibd",
			 (unsigned)(10 + rnd_below(&r, 30)));
		MUST(file_lookup(ds, 16, name, strlen(name), &attr) == 0);
		MUST(file_write(ds, attr.ino, 0, buf, 20 * RECORD, 0) == 0);
		if (w->nr % 64 == 7) {
			snprintf(name, sizeof(name), "s%u", (unsigned)w->nr);
			MUST(dataset_snapshot(ds, name, false, NULL) == 0);
		}
		if (w->nr % 64 == 39) {
			struct dataset *snap;

			snprintf(name, sizeof(name), "ci@s%u",
				 (unsigned)w->nr - 32);
			MUST(dataset_open(w->pool, name, &snap) == 0);
			MUST(dataset_destroy(snap, 0) == 0);
			dataset_put(snap);
		}
		__atomic_add_fetch(&w->nr, 1, __ATOMIC_ACQ_REL);
	}
	dataset_put(ds);
	free(buf);
}

/*
 * More than the pool has room for is written, so freed blocks must come back all
 * the time; whatever the scrub reads meanwhile is good.
 */
static void scrub__goes_on_beside_writers(void **state)
{
	struct pool *pool = pool_with_threads(dev);
	struct writer w = {.pool = pool};
	struct os_thread t = {0};
	unsigned rounds = 0;

	(void)state;
	CHECK_OK(os_thread_start(&t, "writer", write_on, &w));
	while (__atomic_load_n(&w.nr, __ATOMIC_ACQUIRE) < 300 || rounds < 3) {
		scrub(pool);
		CHECK_UINT(st.nr_errors, 0);
		rounds++;
	}
	__atomic_store_n(&w.stop, true, __ATOMIC_RELEASE);
	os_thread_join(&t);
	CHECK_OK(pool_wait_reaped(pool));
	scrub(pool);
	CHECK_UINT(st.nr_errors, 0);
	CHECK_OK(pool_close(pool));
	check_clean();
}

static void scrub__lets_freed_blocks_go_while_it_runs(void **state)
{
	struct pool *pool = pool_with_threads(dev);
	struct dataset *ds = open_ds(pool, "prod@monday");
	struct space_map_stat sm;
	uint64_t before;

	(void)state;
	space_map_stat(pool->sm, &sm);
	before = sm.nr_free;
	CHECK_OK(pool_scrub_start(pool, MIB));
	CHECK_OK(dataset_destroy(ds, 0));
	dataset_put(ds);
	ds = open_ds(pool, "idle");
	CHECK_OK(dataset_destroy(ds, 0));
	dataset_put(ds);
	do {
		CHECK_OK(pool_sync(pool));
		look(pool);
		CHECK(st.active);
		space_map_stat(pool->sm, &sm);
	} while (sm.nr_free <= before || sm.nr_deferred > 0);
	CHECK_OK(pool_scrub_pause(pool, true));
	CHECK_OK(pool_close(pool));
	check_clean();
}

static void scrub__ends_when_the_pool_fails(void **state)
{
	struct blkdev *bad;
	struct pool *pool;

	(void)state;
	log_set_level((enum log_level)(LOG_LEVEL_ERROR - 1));
	CHECK_OK(blkdev_faulty_open(blkdev_borrow(dev), &bad));
	pool = pool_with_threads(bad);
	CHECK_OK(pool_scrub_start(pool, MIB));
	blkdev_faulty_fail(bad, BLKDEV_CALL_WRITE, 1, -EIO, true, false);
	(void)dataset_create(pool, "new",
			     &(struct dataset_properties){.recordsize = RECORD,
							  .compression = 1},
			     NULL);
	(void)pool_sync(pool);
	CHECK(pool_failed(pool));
	CHECK_OK(pool_scrub_wait(pool, 60000));
	look(pool);
	CHECK_INT(st.state, SCRUB_FAILED);
	CHECK_INT(pool_scrub_start(pool, 0), -EROFS);
	blkdev_faulty_fail(bad, 0, 0, 0, false, false);
	pool_close(pool);
	blkdev_close(bad);
	log_set_level(LOG_LEVEL_ERROR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(scrub__reads_each_node_and_record_once),
		TEST(scrub__reads_what_clones_share_once),
		TEST(scrub__status_of_a_pool_that_never_had_one),
		TEST(scrub__can_read_a_pool_that_is_read_only),
		TEST(scrub__old_state_goes_when_a_new_one_begins),
		TEST(scrub__names_every_dataset_that_a_bad_record_is_in),
		TEST(scrub__finds_bad_node),
		TEST(scrub__reads_the_device_and_not_the_cache),
		TEST(scrub__finds_bad_slots),
		TEST(scrub__finds_bad_copy_of_the_superblock),
		TEST(scrub__says_what_it_found_in_a_sentence),
		TEST(scrub__goes_on_after_a_pause_and_a_close),
		TEST(scrub__is_not_faster_than_it_may_be),
		TEST(scrub__given_up_begins_anew),
		TEST(scrub__remembers_damage_when_it_goes_on),
		TEST(scrub__goes_on_beside_writers),
		TEST(scrub__lets_freed_blocks_go_while_it_runs),
		TEST(scrub__ends_when_the_pool_fails),
	};

	return cmocka_run_group_tests(tests, make_pool, free_pool);
}
