/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_check_repair.c - the space map is rebuilt from the trees, or left alone
 */
#include "tests/unit/check_image.h"

static struct check_repair plan;
static unsigned nr_asked;
static bool answer;

static bool ask(void *arg, const struct check_repair *p)
{
	(void)arg;
	plan = *p;
	nr_asked++;
	return answer;
}

static int try_repair(struct blkdev *on, bool yes, bool dry_run)
{
	struct check_options o = {
		.report = keep_finding, .repair = ask, .dry_run = dry_run};
	struct store_error error = {""};
	int rc;

	nr_findings = nr_asked = 0;
	answer = yes;
	rc = check_run(on, &o, &result, &error);
	if (rc)
		CHECK(*error.text);
	return rc;
}

/* The pool is found damaged, repaired, then clean, and can be used. */
static void check_repaired(void)
{
	struct pool *pool;
	struct dataset *ds;
	struct store_error error = {""};

	CHECK_OK(try_repair(dev, true, false));
	CHECK(nr_findings > 0);
	CHECK_UINT(nr_asked, 1);
	CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
	CHECK_UINT(result.nr_left, 0);
	check_clean();
	/* a second one has nothing to do */
	CHECK_OK(try_repair(dev, true, false));
	CHECK_UINT(nr_asked, 0);
	CHECK_INT(result.repaired, CHECK_REPAIR_NONE);
	pool = pool_of(dev);
	populate_more(pool);
	ds = open_ds(pool, "ci");
	CHECK_OK(dataset_destroy(ds, DESTROY_FORCE));
	dataset_put(ds);
	CHECK_OK(pool_wait_reaped(pool));
	CHECK_OK(pool_close(pool));
	check_clean();
	(void)error;
}

/* ---- what can be rebuilt -------------------------------------------------- */

static void repair__clean_pool_is_left_alone(void **state)
{
	(void)state;
	CHECK_OK(try_repair(dev, true, false));
	CHECK_UINT(nr_asked, 0);
	CHECK_INT(result.repaired, CHECK_REPAIR_NONE);
	CHECK_MEM(image, pristine, POOL_SIZE);
}

static void repair__frees_what_leaked(void **state)
{
	uint64_t b = free_block();

	(void)state;
	*count_of(b) = 1;
	seal_space(b / REGION_BLOCKS);
	check_repaired();
	CHECK_UINT(plan.nr_freed, 1);
	CHECK_UINT(plan.nr_claimed + plan.nr_changed, 0);
	CHECK_UINT(plan.nr_regions, 1);
}

static void repair__claims_what_counts_as_free(void **state)
{
	uint8_t *leaf, *tree = tree_of("ci");
	uint64_t ino = ino_of(tree, 16, "t7.ibd", NULL);
	struct extent_item *e =
		value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 4), &leaf);
	uint64_t b = le40_get(e->blkno);

	(void)state;
	*count_of(b) = 0;
	seal_space(b / REGION_BLOCKS);
	check_repaired();
	CHECK_UINT(plan.nr_claimed, 1);
}

static void repair__makes_counts_right(void **state)
{
	uint64_t b = node_blkno(tree_of("idle"));

	(void)state;
	*count_of(b) += 3;
	seal_space(b / REGION_BLOCKS);
	check_repaired();
	CHECK_UINT(plan.nr_changed, 1);
	CHECK_UINT(plan.nr_freed + plan.nr_claimed, 0);
	CHECK(!plan.space_tree);
}

static void repair__makes_sums_right(void **state)
{
	(void)state;
	index2_entry()->nr_free =
		le32_of(le32_get(index2_entry()->nr_free) - 1);
	superblock()->nr_free = le64_of(le64_get(superblock()->nr_free) + 7);
	seal_superblock(superblock());
	check_repaired();
	CHECK_UINT(plan.nr_regions, 0);
}

static void repair__region_that_cannot_be_read(void **state)
{
	(void)state;
	region(2)->count[100] ^= 1;
	region(0)->h.txg = le64_of(1);
	check_repaired();
	CHECK_UINT(plan.nr_regions, 2);
	CHECK_UINT(plan.nr_unknown, 2 * REGION_BLOCKS);
}

static void repair__region_that_is_marked_as_damaged(void **state)
{
	(void)state;
	region_entry(0)->flags = SPACE_ENTRY_DAMAGED;
	seal_space(0);
	check_repaired();
	CHECK_UINT(plan.nr_regions, 1);
}

static void repair__index_that_cannot_be_read(void **state)
{
	struct space_index *i2 =
		index_block(index2_entry(), space_index_blkno(2, 0, 0));

	(void)state;
	index_block(&i2->entry[0], space_index_blkno(1, 0, 0))->reserved[1] ^=
		1;
	check_repaired();
	memcpy(image, pristine, POOL_SIZE);
	i2 = index_block(index2_entry(), space_index_blkno(2, 0, 0));
	i2->entry[0].slot ^= 1;
	check_repaired();
}

/* Enough for a large count. */
static void make_clones(struct pool *pool)
{
	struct dataset *snap = open_ds(pool, "prod@monday");
	char name[16];

	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "clone%u", i);
		CHECK_OK(dataset_clone(snap, name, NULL));
	}
	dataset_put(snap);
}

/* The only large count becomes a wrong one. */
static void change_large_count(void)
{
	struct key first = key_of(0, ITEM_OVERFLOW, 0);
	struct node_item item;
	uint8_t *leaf;

	leaf = leaf_for(root_of(&superblock()->space_tree), &first);
	node_item(leaf, 0, &item);
	CHECK_UINT(item.key.type, ITEM_OVERFLOW);
	le_store((uint8_t *)(uintptr_t)item.value, 4, 4711);
	node_seal(leaf);
}

/* Large counts and a half reaped tree: the space tree has items of both. */
static void make_space_tree(void)
{
	struct pool *pool = pool_of(dev);

	make_clones(pool);
	destroy_big_tree(pool);
	pool_abandon(pool);
	check_clean();
	CHECK(le40_get(superblock()->space_tree.node.blkno) != 0);
}

static void repair__large_count_that_is_wrong(void **state)
{
	(void)state;
	make_space_tree();
	change_large_count();
	check_repaired();
	CHECK(plan.space_tree);
	CHECK_UINT(plan.nr_large, 1);
	/* the tree that was being given back still is */
	CHECK_UINT(plan.nr_dead, 0);
}

/* More destroyed trees than one leaf can name, behind one that is half gone. */
static void repair__rebuilds_a_tree_of_several_leaves(void **state)
{
	const unsigned nr = 400;
	struct pool *pool = pool_of(dev);
	struct dataset_properties p;
	char name[16];

	(void)state;
	make_clones(pool);
	/* the reaper goes by the roots' block numbers */
	make_big_tree(pool);
	dataset_properties_default(&p);
	for (unsigned i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "brief%u", i);
		CHECK_OK(dataset_create(pool, name, &p, NULL));
	}
	destroy(pool, "big");
	for (unsigned i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "brief%u", i);
		destroy(pool, name);
	}
	CHECK_OK(pool_sync(pool));
	pool_abandon(pool);
	check_clean();
	CHECK(superblock()->space_tree.level > 0);
	change_large_count();
	check_repaired();
	CHECK(plan.space_tree);
	CHECK_UINT(plan.nr_dead, 0);
}

static void repair__destroyed_tree_that_is_malformed(void **state)
{
	(void)state;
	make_space_tree();
	insert_item(root_of(&superblock()->space_tree),
		    key_of(0, ITEM_DEAD, OFFSET_MAX), "short", 5);
	run_check(false);
	CHECK_FOUND("is malformed");
	check_repaired();
	CHECK(plan.space_tree);
}

static void repair__space_tree_that_cannot_be_read(void **state)
{
	(void)state;
	make_space_tree();
	root_of(&superblock()->space_tree)[3000] ^= 1;
	check_repaired();
	CHECK(plan.space_tree);
	CHECK_UINT(plan.nr_large, 1);
	CHECK(plan.nr_freed > 200);
}

static void repair__is_not_needed_to_read_without_the_space_tree(void **state)
{
	struct pool_options o = {.no_background = true, .read_only = true};
	struct blkdev *borrowed = blkdev_borrow(dev);
	struct store_error error = {""};
	struct pool *pool;

	(void)state;
	log_set_level((enum log_level)(LOG_LEVEL_ERROR - 1));
	make_space_tree();
	root_of(&superblock()->space_tree)[3000] ^= 1;
	CHECK_OK(pool_open_on(borrowed, &o, &pool, &error));
	dataset_put(open_ds(pool, "prod"));
	CHECK_OK(pool_close(pool));
	o.read_only = false;
	borrowed = blkdev_borrow(dev);
	CHECK(pool_open_on(borrowed, &o, &pool, &error) != 0);
	CHECK(strstr(error.text, "check --repair"));
	blkdev_close(borrowed);
	log_set_level(LOG_LEVEL_ERROR);
}

static void repair__destroyed_tree_that_cannot_be_read(void **state)
{
	uint8_t *leaf;
	struct dead_item *d;

	(void)state;
	make_space_tree();
	d = find_dead(&leaf);
	CHECK(d);
	block(le40_get(d->stack[d->depth - 1].node.blkno))[3000] ^= 1;
	check_repaired();
	CHECK(plan.space_tree);
	CHECK_UINT(plan.nr_dead, 1);
	CHECK(plan.nr_freed > 200);
}

static void repair__everything_of_the_map_is_lost(void **state)
{
	(void)state;
	make_space_tree();
	root_of(&superblock()->space_tree)[3000] ^= 1;
	memset(superblock()->space, 0x55, sizeof(struct space_entry));
	seal_superblock(superblock());
	check_repaired();
}

/* ---- what cannot ----------------------------------------------------------- */

static void repair__is_refused_where_a_tree_is_damaged(void **state)
{
	uint8_t *page, *tree = tree_of("ci"), *before;
	struct key key =
		key_of(ino_of(tree, 16, "t7.ibd", NULL), ITEM_EXTENT, 0);

	(void)state;
	page = leaf_for(tree, &key);
	page[2000] ^= 1;
	before = malloc(POOL_SIZE);
	CHECK(before);
	memcpy(before, image, POOL_SIZE);
	CHECK_OK(try_repair(dev, true, false));
	CHECK_UINT(nr_asked, 0);
	CHECK_INT(result.repaired, CHECK_REPAIR_REFUSED);
	CHECK(strstr(result.why, "trees are damaged"));
	CHECK_MEM(image, before, POOL_SIZE);
	free(before);
}

static void repair__is_refused_where_two_files_claim_a_block(void **state)
{
	uint8_t *leaf, *tree = tree_of("ci");
	uint64_t ino = ino_of(tree, 16, "t7.ibd", NULL);
	struct extent_item *a, *b;

	(void)state;
	a = value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 3), &leaf);
	b = value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 5), &leaf);
	b->blkno = le40_of(le40_get(a->blkno) + 1);
	node_seal(leaf);
	CHECK_OK(try_repair(dev, true, false));
	CHECK_UINT(nr_asked, 0);
	CHECK_INT(result.repaired, CHECK_REPAIR_REFUSED);
}

/* A pool that crashed: its log has more than its last commit. */
static void crash_with_a_log(void)
{
	struct pool *pool = pool_of(dev);
	struct dataset *ds = open_ds(pool, "prod");
	uint64_t ino;

	/* the first after an open is a commit */
	CHECK_OK(pool_sync(pool));
	for (unsigned i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "logged%u", i);
		ino = make(ds, INO_ROOT, name, S_IFREG | 0644, NULL);
		CHECK_OK(file_fsync(ds, ino));
	}
	dataset_put(ds);
	pool_abandon(pool);
}

/* Replay needs the map, so the log waits until that is right. */
static void repair__does_not_wait_for_what_the_intent_log_has(void **state)
{
	struct pool *pool;
	struct dataset *ds;
	struct file_attr attr;

	(void)state;
	crash_with_a_log();
	run_check(true);
	CHECK_UINT(nr_findings, 0);
	CHECK(result.nr_batches > 0);
	CHECK(strstr(last_note, "wait for replay"));
	region(0)->count[100] ^= 1;
	region(2)->count[100] ^= 1;
	CHECK_OK(try_repair(dev, true, false));
	CHECK_UINT(nr_asked, 1);
	CHECK(plan.map && !plan.log.discard);
	CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
	CHECK_UINT(result.nr_left, 0);
	run_check(true);
	CHECK_UINT(nr_findings, 0);
	CHECK(result.nr_batches > 0);
	pool = pool_of(dev);
	ds = open_ds(pool, "prod");
	CHECK_OK(file_lookup(ds, INO_ROOT, "logged2", 7, &attr));
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	check_clean();
}

/* What the logged files are to hold: enough for all low blocks that are free. */
#define LOGGED_BYTES (4u << 20)

static void log_data(struct pool *pool, uint8_t *bytes)
{
	struct dataset *ds = open_ds(pool, "prod");
	uint64_t ino;

	for (unsigned i = 0; i < LOGGED_BYTES; i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	ino = make(ds, INO_ROOT, "logged", S_IFREG | 0644, NULL);
	/* the first after an open is a commit */
	CHECK_OK(file_fsync(ds, ino));
	for (unsigned at = 0; at < LOGGED_BYTES; at += 1u << 20)
		CHECK_OK(file_write(ds, ino, at, bytes + at, 1u << 20, 0));
	CHECK_OK(file_fsync(ds, ino));
	dataset_put(ds);
}

/* A pool without its space tree cannot be opened. */
static void repair__rebuilds_the_map_for_a_log_that_waits(void **state)
{
	uint8_t *bytes = malloc(LOGGED_BYTES), *got = malloc(LOGGED_BYTES);
	struct pool *pool;
	struct dataset *ds;
	struct file_attr attr;
	size_t len = 0;

	(void)state;
	CHECK(bytes && got);
	make_space_tree();
	pool = pool_of(dev);
	log_data(pool, bytes);
	pool_abandon(pool);
	run_check(true);
	CHECK_UINT(nr_findings, 0);
	CHECK(result.nr_batches > 0);
	root_of(&superblock()->space_tree)[3000] ^= 1;
	CHECK_OK(try_repair(dev, true, false));
	CHECK_UINT(nr_asked, 1);
	CHECK(plan.space_tree);
	CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
	CHECK_UINT(result.nr_left, 0);
	run_check(true);
	CHECK_UINT(nr_findings, 0);
	CHECK(result.nr_batches > 0);
	pool = pool_of(dev);
	ds = open_ds(pool, "prod");
	CHECK_OK(file_lookup(ds, INO_ROOT, "logged", 6, &attr));
	CHECK_OK(file_read(ds, attr.ino, 0, got, LOGGED_BYTES, &len));
	CHECK_UINT(len, LOGGED_BYTES);
	CHECK(memcmp(got, bytes, LOGGED_BYTES) == 0);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	check_clean();
	free(bytes);
	free(got);
}

static void repair__is_not_done_when_only_asked_for(void **state)
{
	uint8_t *before = malloc(POOL_SIZE);

	(void)state;
	CHECK(before);
	region(2)->count[100] ^= 1;
	memcpy(before, image, POOL_SIZE);
	CHECK_OK(try_repair(dev, true, true));
	CHECK_UINT(nr_asked, 1);
	CHECK_INT(result.repaired, CHECK_REPAIR_DECLINED);
	CHECK_OK(try_repair(dev, false, false));
	CHECK_UINT(nr_asked, 1);
	CHECK_INT(result.repaired, CHECK_REPAIR_DECLINED);
	CHECK_MEM(image, before, POOL_SIZE);
	free(before);
}

/* ---- crashes ---------------------------------------------------------------- */

/* What a check finds in the first @nr events of a recording over @base. */
static uint64_t findings_after(const uint8_t *base, struct blkdev *rec,
			       size_t nr, size_t skip)
{
	struct blkdev *view = blkdev_view_open(base, POOL_SIZE);
	struct check_options o = {.data = true};
	struct check_result r;
	struct store_error error = {""};

	for (size_t i = 0; i < nr; i++) {
		const struct blkdev_event *e = blkdev_faulty_event(rec, i);

		if (e->kind == BLKDEV_EVENT_WRITE && i != skip)
			blkdev_view_write(view, e->data, e->length, e->offset);
	}
	CHECK_OK(check_run(view, &o, &r, &error));
	blkdev_close(view);
	return r.nr_errors;
}

/*
 * After any crash the pool has the damage that it had, or none.  Between two
 * flushes any write may be missing.
 */
static void repair__can_crash_at_any_write(void **state)
{
	uint8_t *base = malloc(POOL_SIZE);
	struct blkdev *rec, *view;
	uint64_t before;
	size_t nr, last_flush = 0, nr_flushes = 0;

	(void)state;
	CHECK(base);
	make_space_tree();
	root_of(&superblock()->space_tree)[3000] ^= 1;
	region(0)->count[100] ^= 1;
	region(2)->count[100] ^= 1;
	memcpy(base, image, POOL_SIZE);
	view = blkdev_view_open(base, POOL_SIZE);
	CHECK_OK(blkdev_faulty_open(view, &rec));
	blkdev_faulty_record(rec, true);
	CHECK_OK(try_repair(rec, true, false));
	CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
	blkdev_faulty_record(rec, false);
	before = findings_after(base, rec, 0, SIZE_MAX);
	CHECK(before > 0);
	nr = blkdev_faulty_nr_events(rec);
	for (size_t i = 0; i < nr; i++)
		if (blkdev_faulty_event(rec, i)->kind == BLKDEV_EVENT_FLUSH) {
			last_flush = i;
			nr_flushes++;
		}
	CHECK_UINT(nr_flushes, 2);
	CHECK_UINT(last_flush, nr - 1);
	/* everything, flush, two superblocks, flush */
	CHECK(nr >= 8);
	for (size_t i = 0; i <= nr - 3; i++) {
		CHECK_UINT(findings_after(base, rec, i, SIZE_MAX), before);
		CHECK_UINT(findings_after(base, rec, nr - 4, i), before);
	}
	for (size_t i = nr - 2; i <= nr; i++)
		CHECK_UINT(findings_after(base, rec, i, SIZE_MAX), 0);
	CHECK_UINT(findings_after(base, rec, nr, nr - 3), 0);
	blkdev_close(rec);
	free(base);
}

static void repair__failed_write_leaves_the_pool_as_it_was(void **state)
{
	uint8_t *base = malloc(POOL_SIZE);
	uint64_t before;

	(void)state;
	CHECK(base);
	region(0)->count[100] ^= 1;
	region(2)->count[100] ^= 1;
	memcpy(base, image, POOL_SIZE);
	run_check(true);
	before = nr_findings;
	for (uint64_t nth = 1;; nth++) {
		struct blkdev *view = blkdev_view_open(base, POOL_SIZE), *bad;
		int rc;

		CHECK_OK(blkdev_faulty_open(view, &bad));
		blkdev_faulty_fail(bad, BLKDEV_CALL_WRITE | BLKDEV_CALL_FLUSH,
				   nth, -EIO, true, true);
		rc = try_repair(bad, true, false);
		blkdev_faulty_fail(bad, 0, 0, 0, false, false);
		if (rc == 0) {
			CHECK_INT(result.repaired, CHECK_REPAIR_DONE);
			CHECK(nth > 6);
			blkdev_close(bad);
			break;
		}
		CHECK_INT(rc, -EIO);
		/* or one of its superblocks was written all the same */
		CHECK_OK(try_repair(bad, false, true));
		CHECK(nr_findings == before || (nth > 4 && nr_findings == 0));
		blkdev_close(bad);
	}
	free(base);
}

static bool is_meta(uint64_t b)
{
	const struct meta_header *h = (const void *)block(b);
	uint32_t type = le32_get(h->type);

	return le64_get(h->blkno) == b &&
	       (type == META_NODE || type == META_SPACE_REGION ||
		type == META_SPACE_INDEX || type == META_SUPERBLOCK);
}

/*
 * Whatever somebody wrote with good checksums: what was repaired once has
 * nothing left to be repaired, and nothing crashes.
 */
static void repair__of_a_forged_pool_is_done_once(void **state)
{
	static uint64_t blocks[4096];
	struct rnd r = {3};
	size_t nr = 0, nr_done = 0, nr_refused = 0;

	(void)state;
	for (uint64_t b = 0; b < POOL_SIZE / BLOCK_SIZE; b++)
		if (is_meta(b) && nr < ARRAY_SIZE(blocks))
			blocks[nr++] = b;
	for (unsigned i = 0; i < 200; i++) {
		struct blkdev *view = blkdev_view_open(pristine, POOL_SIZE);
		uint64_t b = blocks[rnd_below(&r, nr)];
		uint8_t page[BLOCK_SIZE];

		memcpy(page, pristine + b * BLOCK_SIZE, BLOCK_SIZE);
		for (unsigned k = 0; k < 3; k++)
			page[40 + rnd_below(&r, BLOCK_SIZE - 40)] =
				(uint8_t)rnd_next(&r);
		seal_meta(page, le32_get(((struct meta_header *)page)->type));
		blkdev_view_write(view, page, BLOCK_SIZE, b * BLOCK_SIZE);
		if (try_repair(view, true, false) == 0) {
			nr_refused += result.repaired == CHECK_REPAIR_REFUSED;
			if (result.repaired == CHECK_REPAIR_DONE) {
				nr_done++;
				CHECK_OK(try_repair(view, true, false));
				CHECK_UINT(nr_asked, 0);
			}
		}
		blkdev_close(view);
	}
	CHECK(nr_done > 5);
	CHECK(nr_refused > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(repair__clean_pool_is_left_alone),
		TEST(repair__frees_what_leaked),
		TEST(repair__claims_what_counts_as_free),
		TEST(repair__makes_counts_right),
		TEST(repair__makes_sums_right),
		TEST(repair__region_that_cannot_be_read),
		TEST(repair__region_that_is_marked_as_damaged),
		TEST(repair__index_that_cannot_be_read),
		TEST(repair__large_count_that_is_wrong),
		TEST(repair__rebuilds_a_tree_of_several_leaves),
		TEST(repair__destroyed_tree_that_is_malformed),
		TEST(repair__space_tree_that_cannot_be_read),
		TEST(repair__is_not_needed_to_read_without_the_space_tree),
		TEST(repair__destroyed_tree_that_cannot_be_read),
		TEST(repair__everything_of_the_map_is_lost),
		TEST(repair__is_refused_where_a_tree_is_damaged),
		TEST(repair__is_refused_where_two_files_claim_a_block),
		TEST(repair__does_not_wait_for_what_the_intent_log_has),
		TEST(repair__rebuilds_the_map_for_a_log_that_waits),
		TEST(repair__is_not_done_when_only_asked_for),
		TEST(repair__of_a_forged_pool_is_done_once),
		TEST(repair__can_crash_at_any_write),
		TEST(repair__failed_write_leaves_the_pool_as_it_was),
	};

	return cmocka_run_group_tests(tests, make_pool, free_pool);
}
