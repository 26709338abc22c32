/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_check.c - the offline check: clean pools, blocks and their counts, and
 * devices that lie
 */
#include "tests/unit/check_image.h"

/* ---- a clean pool -------------------------------------------------------- */

static void check__pool_without_damage_has_no_findings(void **state)
{
	(void)state;
	check_clean();
	CHECK(result.nr_records > 500);
	CHECK(result.nr_inodes > 100);
	CHECK(result.nr_trees >= 7);
	CHECK(result.shared_blocks > 0);
	CHECK_UINT(result.blocks_leaked, 0);
	CHECK_UINT(result.blocks_used + le64_get(superblock()->nr_free),
		   POOL_SIZE / BLOCK_SIZE);
}

static void check__changes_nothing_on_the_device(void **state)
{
	(void)state;
	run_check(true);
	CHECK_MEM(image, pristine, POOL_SIZE);
}

static void check__empty_pool_has_no_findings(void **state)
{
	struct blkdev *kept = dev;
	uint8_t *kept_image = image;

	(void)state;
	new_device(POOL_SIZE);
	check_clean();
	CHECK_OK(pool_close(pool_of(dev)));
	check_clean();
	blkdev_close(dev);
	dev = kept;
	image = kept_image;
}

static void check__crashed_pool_has_no_findings(void **state)
{
	struct pool *pool = pool_of(dev);
	struct dataset *ds = open_ds(pool, "prod"), *snap;
	uint64_t ino;

	(void)state;
	ino = make(ds, INO_ROOT, "open", S_IFREG | 0644, NULL);
	CHECK_OK(file_open(ds, ino, true));
	fill(ds, ino, 100, 40 * RECORD, 5);
	CHECK_OK(file_unlink(ds, INO_ROOT, "open", 4, NULL));
	snap = open_ds(pool, "prod@monday");
	CHECK_OK(dataset_destroy(snap, DESTROY_FORCE));
	dataset_put(snap);
	CHECK_OK(pool_sync(pool));
	fill(ds, ino, 0, RECORD, 6);
	file_close(ds, ino, true);
	dataset_put(ds);
	pool_abandon(pool);
	check_clean();
}

static void check__half_reaped_tree_has_no_findings(void **state)
{
	struct pool *pool = pool_of(dev);
	struct dead_item *d;
	uint8_t *leaf;
	unsigned commits = 0;

	(void)state;
	destroy_big_tree(pool);
	d = find_dead(&leaf);
	CHECK(d && d->depth >= 2);
	for (; find_dead(&leaf); commits++) {
		struct dataset *ds = open_ds(pool, "idle");
		char name[16];

		CHECK(commits < 500);
		check_clean();
		/* something to commit */
		snprintf(name, sizeof(name), "g%u", commits);
		make(ds, INO_ROOT, name, S_IFREG, NULL);
		dataset_put(ds);
		CHECK_OK(pool_sync(pool));
	}
	pool_abandon(pool);
	check_clean();
}

static void check__survives_any_cursor_of_the_reaper(void **state)
{
	struct pool *pool = pool_of(dev);
	struct rnd r = {11};
	uint8_t *leaf, good[BLOCK_SIZE];
	struct dead_item *d;

	(void)state;
	destroy_big_tree(pool);
	pool_abandon(pool);
	d = find_dead(&leaf);
	CHECK(d);
	memcpy(good, leaf, BLOCK_SIZE);
	d->stack[0].next = le16_of((uint16_t)(le16_get(d->stack[0].next) - 1));
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("the reaper's cursor leaves its way");
	for (unsigned i = 0; i < 300; i++) {
		memcpy(leaf, good, BLOCK_SIZE);
		for (unsigned j = 0; j < 2; j++)
			((uint8_t *)d)[rnd_below(&r, sizeof(*d))] =
				(uint8_t)rnd_next(&r);
		node_seal(leaf);
		run_check(false);
	}
	memcpy(leaf, good, BLOCK_SIZE);
	check_clean();
}

/* More references than a byte counts: S6. */
static void check__compares_counts_that_are_in_the_space_tree(void **state)
{
	struct pool *pool = pool_of(dev);
	struct dataset *snap = open_ds(pool, "prod@monday"), *clone;
	struct key first = key_of(0, ITEM_OVERFLOW, 0);
	struct node_item item;
	uint8_t *leaf;
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "clone%u", i);
		CHECK_OK(dataset_clone(snap, name, NULL));
		if (i % 100 != 50)
			continue;
		/* and their own way through it */
		clone = open_ds(pool, name);
		make(clone, INO_ROOT, "new", S_IFREG | 0644, NULL);
		dataset_put(clone);
	}
	dataset_put(snap);
	CHECK_OK(pool_close(pool));
	check_clean();
	leaf = leaf_for(root_of(&superblock()->space_tree), &first);
	node_item(leaf, 0, &item);
	CHECK_UINT(item.key.type, ITEM_OVERFLOW);
	le_store((uint8_t *)(uintptr_t)item.value, 4, 4711);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("references, but its count is 4711");
	CHECK_UINT(nr_findings, 1);
	/* back below the border */
	memcpy(image, pristine, POOL_SIZE);
	pool = pool_of(dev);
	snap = open_ds(pool, "prod@monday");
	for (unsigned i = 0; i < 260; i++) {
		snprintf(name, sizeof(name), "clone%u", i);
		CHECK_OK(dataset_clone(snap, name, NULL));
	}
	dataset_put(snap);
	for (unsigned i = 0; i < 260; i++) {
		snprintf(name, sizeof(name), "clone%u", i);
		clone = open_ds(pool, name);
		CHECK_OK(dataset_destroy(clone, 0));
		dataset_put(clone);
	}
	CHECK_OK(pool_close(pool));
	check_clean();
}

/*
 * Orphans sort before all else in a tree.  Enough of them split its first
 * leaf, at a key below the lowest that the nodes above know.
 */
static void check__tree_that_grew_at_its_start_has_no_findings(void **state)
{
	struct pool *pool = pool_of(dev);
	struct dataset *ds = open_ds(pool, "prod"), *snap;
	static uint64_t inos[700];
	struct file_attr attr;
	char name[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(inos); i++) {
		snprintf(name, sizeof(name), "o%zu", i);
		inos[i] = make(ds, INO_ROOT, name, S_IFREG | 0644, NULL);
		CHECK_OK(file_open(ds, inos[i], true));
	}
	/* from the highest down, too */
	for (size_t i = ARRAY_SIZE(inos); i-- > 0;) {
		snprintf(name, sizeof(name), "o%zu", i);
		CHECK_OK(file_unlink(ds, INO_ROOT, name, strlen(name), NULL));
	}
	CHECK_OK(dataset_snapshot(ds, "orphans", false, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(inos); i++)
		file_close(ds, inos[i], true);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	check_clean();
	/* and the pool itself can read it */
	pool = pool_of(dev);
	snap = open_ds(pool, "prod@orphans");
	for (size_t i = 0; i < ARRAY_SIZE(inos); i++)
		CHECK_OK(file_getattr(snap, inos[i], &attr));
	dataset_put(snap);
	CHECK_OK(pool_close(pool));
}

static void check__pool_of_any_size_has_no_findings(void **state)
{
	/* the last region: a stump, short, whole */
	static const uint64_t blocks[] = {REGION_BLOCKS * 5 + 24,
					  REGION_BLOCKS * 5 + 25,
					  REGION_BLOCKS * 6};
	struct blkdev *kept = dev;
	uint8_t *kept_image = image;
	struct store_error error = {""};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		struct pool *pool;

		new_device(blocks[i] * BLOCK_SIZE);
		check_clean();
		pool = pool_of(dev);
		populate(pool);
		CHECK_OK(blkdev_resize(dev, blocks[i] * BLOCK_SIZE * 2, false));
		CHECK_OK(pool_close(pool));
		pool = pool_of(dev);
		CHECK_OK(pool_grow(pool, 0, &error));
		CHECK_OK(pool_close(pool));
		check_clean();
		blkdev_close(dev);
	}
	dev = kept;
	image = kept_image;
}

/* ---- damage that checksums show ------------------------------------------ */

static void check__finds_flipped_bit_in_a_node(void **state)
{
	uint8_t *page, *tree = tree_of("ci");
	struct key key =
		key_of(ino_of(tree, 16, "t7.ibd", NULL), ITEM_EXTENT, 0);

	(void)state;
	page = leaf_for(tree, &key);
	page[2000] ^= 1;
	run_check(false);
	CHECK_FOUND("does not match its checksum");
	CHECK_FOUND("'ci'");
	CHECK_FOUND("were not compared");
}

static void
check__finds_flipped_bit_in_a_record_and_names_the_file(void **state)
{
	uint8_t *leaf, *tree = tree_of("ci");
	uint64_t ino = ino_of(tree, 16, "t7.ibd", NULL);
	struct extent_item *e =
		value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 4), &leaf);

	(void)state;
	block(le40_get(e->blkno))[77] ^= 4;
	run_check(false);
	CHECK_UINT(nr_findings, 0);
	run_check(true);
	CHECK_UINT(nr_findings, 1);
	CHECK_FOUND("'ci', 'db/t7.ibd' (inode ");
	CHECK_FOUND("the record at offset 65536");
	CHECK_FOUND("does not match its checksum");
}

static void check__finds_lost_write_of_a_region(void **state)
{
	struct space_region *s = region(2);

	(void)state;
	/* whole, but from another time */
	s->h.txg = le64_of(le64_get(s->h.txg) - 1);
	seal_meta(s, META_SPACE_REGION);
	run_check(false);
	CHECK_FOUND("of region 2 does not match its checksum, or is not what");
}

static void check__says_why_it_cannot_run(void **state)
{
	struct store_error error = {""};

	(void)state;
	memset(image, 0, SUPERBLOCK_RING * BLOCK_SIZE);
	memset(block(SUPERBLOCK_COPY_BLKNO), 0, SUPERBLOCK_RING * BLOCK_SIZE);
	CHECK_INT(check_run(dev, NULL, &result, &error), -EINVAL);
	CHECK(*error.text);
}

static void check__goes_on_with_one_copy_of_the_superblock(void **state)
{
	(void)state;
	memset(image, 0, SUPERBLOCK_RING * BLOCK_SIZE);
	check_clean();
	/* which a crash may have left like that */
	CHECK_UINT(result.nr_notes, 1);
	CHECK(strstr(last_note, "the copy of the superblock in block"));
}

/* ---- counts -------------------------------------------------------------- */

static void check__finds_block_that_nothing_uses(void **state)
{
	uint64_t b = free_block();

	(void)state;
	*count_of(b) = 1;
	seal_space(b / REGION_BLOCKS);
	run_check(false);
	CHECK_FOUND("but nothing uses them");
	CHECK_FOUND("free blocks");
	CHECK_UINT(result.blocks_leaked, 1);
}

static void check__finds_used_block_that_counts_as_free(void **state)
{
	uint8_t *leaf, *tree = tree_of("ci");
	uint64_t ino = ino_of(tree, 16, "t7.ibd", NULL);
	struct extent_item *e =
		value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 4), &leaf);
	uint64_t b = le40_get(e->blkno);

	(void)state;
	*count_of(b) = 0;
	seal_space(b / REGION_BLOCKS);
	run_check(false);
	CHECK_FOUND("count as free, but are the start of a record");
}

static void check__finds_count_that_is_too_low(void **state)
{
	uint64_t b = node_blkno(tree_of("idle"));

	(void)state;
	CHECK(*count_of(b) >= 2);
	*count_of(b) = 1;
	seal_space(b / REGION_BLOCKS);
	run_check(false);
	CHECK_FOUND("is a node with");
	CHECK_FOUND("but its count is 1");
	CHECK_UINT(nr_findings, 1);
}

static void check__finds_count_that_is_too_high(void **state)
{
	uint8_t *leaf, *tree = tree_of("prod");
	uint64_t ino = ino_of(tree, 16, "t1.ibd", NULL), b;
	struct extent_item *e =
		value_of(tree, key_of(ino, ITEM_EXTENT, 0), &leaf);

	(void)state;
	b = le40_get(e->blkno);
	++*count_of(b);
	seal_space(b / REGION_BLOCKS);
	run_check(false);
	CHECK_FOUND("is the start of a record with");
	CHECK_UINT(nr_findings, 1);
}

static void check__finds_large_count_without_an_item(void **state)
{
	uint64_t b = node_blkno(tree_of("idle"));

	(void)state;
	*count_of(b) = SPACE_COUNT_OVERFLOW;
	seal_space(b / REGION_BLOCKS);
	run_check(false);
	CHECK_FOUND("is said to be in the space tree, but is not there");
}

static void check__finds_wrong_sum_of_free_blocks(void **state)
{
	struct superblock *sb = superblock();

	(void)state;
	sb->nr_free = le64_of(le64_get(sb->nr_free) + 5);
	seal_superblock(sb);
	run_check(false);
	CHECK_FOUND("the superblock says that");
	CHECK_UINT(nr_findings, 1);
}

static void check__finds_block_in_two_records(void **state)
{
	uint8_t *leaf, *tree = tree_of("ci");
	uint64_t ino = ino_of(tree, 16, "t7.ibd", NULL);
	struct extent_item *a, *b;

	(void)state;
	a = value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 3), &leaf);
	b = value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 5), &leaf);
	CHECK(a->meta != b->meta || (a->meta & 31u) > 0);
	b->blkno = le40_of(le40_get(a->blkno) + 1);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("names a block that is in another record too");
	CHECK_FOUND("but nothing uses them");
}

static void check__finds_record_in_a_node_or_outside_the_pool(void **state)
{
	uint8_t *leaf, *tree = tree_of("ci");
	uint64_t ino = ino_of(tree, 16, "t7.ibd", NULL);
	struct extent_item *e;

	(void)state;
	e = value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 3), &leaf);
	e->blkno = le40_of(node_blkno(leaf));
	e = value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 4), &leaf);
	e->blkno = le40_of(POOL_SIZE / BLOCK_SIZE - 1);
	e = value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 5), &leaf);
	e->blkno = le40_of(LE40_MAX);
	e = value_of(tree, key_of(ino, ITEM_EXTENT, 4 * 6), &leaf);
	e->blkno = le40_of(3);
	node_seal(leaf);
	run_check(false);
	CHECK_FOUND("names a block that is a node");
	CHECK_FOUND("names blocks that are not in the pool");
	CHECK_FOUND("names reserved blocks");
}

/* ---- hostile and failing devices ------------------------------------------ */

/* Reseal @page as what it says it is, so that the damage is looked at. */
static void reseal_as_is(uint8_t *page)
{
	struct meta_header *h = (void *)page;

	seal_meta(page, le32_get(h->type));
}

static void check__survives_any_damage_behind_good_checksums(void **state)
{
	uint64_t nodes[4096];
	size_t nr = 0;
	struct rnd r = {20261122};

	(void)state;
	for (uint64_t b = 0; b < POOL_SIZE / BLOCK_SIZE; b++) {
		const struct meta_header *h = (const void *)block(b);

		if (le32_get(h->type) == META_NODE && le64_get(h->blkno) == b &&
		    nr < ARRAY_SIZE(nodes))
			nodes[nr++] = b;
	}
	CHECK(nr > 20);
	for (unsigned i = 0; i < 1000; i++) {
		uint64_t hit[4];
		unsigned k, n = 1 + (unsigned)rnd_below(&r, 4);

		for (k = 0; k < n; k++) {
			uint8_t *page;

			hit[k] = nodes[rnd_below(&r, nr)];
			page = block(hit[k]);
			for (unsigned j = 0; j < 4; j++)
				page[rnd_between(&r, 40, BLOCK_SIZE)] =
					(uint8_t)rnd_next(&r);
			/* and what is most dangerous more often */
			if (rnd_one_in(&r, 2))
				page[rnd_between(&r, 40, 160)] ^=
					(uint8_t)rnd_next(&r);
			reseal_as_is(page);
		}
		run_check(i % 10 == 0);
		for (k = 0; k < n; k++)
			memcpy(block(hit[k]), pristine + hit[k] * BLOCK_SIZE,
			       BLOCK_SIZE);
	}
	check_clean();
}

static void check__survives_any_damage_of_the_superblock(void **state)
{
	struct superblock *sb = superblock();
	struct superblock good = *sb;
	struct rnd r = {7};

	(void)state;
	for (unsigned i = 0; i < 2000; i++) {
		struct check_options o = {.report = keep_finding};
		struct store_error error = {""};

		for (unsigned j = 0; j < 3; j++)
			((uint8_t *)sb)[rnd_between(&r, 52, 1200)] =
				(uint8_t)rnd_next(&r);
		seal_superblock(sb);
		nr_findings = 0;
		if (check_run(dev, &o, &result, &error))
			CHECK(*error.text);
		*sb = good;
		seal_superblock(sb);
	}
	check_clean();
}

static void check__reports_what_it_cannot_read_and_goes_on(void **state)
{
	struct blkdev *faulty, *kept = dev;

	(void)state;
	CHECK_OK(blkdev_faulty_open(blkdev_borrow(dev), &faulty));
	dev = faulty;
	run_check(true);
	CHECK_UINT(nr_findings, 0);
	for (uint64_t nth = 33; nth < 300; nth += 7) {
		blkdev_faulty_fail(faulty, BLKDEV_CALL_READ, nth, -EIO, false,
				   false);
		run_check(true);
		CHECK_FOUND("cannot be read");
	}
	blkdev_close(faulty);
	dev = kept;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(check__pool_without_damage_has_no_findings),
		TEST(check__changes_nothing_on_the_device),
		TEST(check__empty_pool_has_no_findings),
		TEST(check__crashed_pool_has_no_findings),
		TEST(check__half_reaped_tree_has_no_findings),
		TEST(check__survives_any_cursor_of_the_reaper),
		TEST(check__compares_counts_that_are_in_the_space_tree),
		TEST(check__tree_that_grew_at_its_start_has_no_findings),
		TEST(check__pool_of_any_size_has_no_findings),
		TEST(check__finds_flipped_bit_in_a_node),
		TEST(check__finds_flipped_bit_in_a_record_and_names_the_file),
		TEST(check__finds_lost_write_of_a_region),
		TEST(check__says_why_it_cannot_run),
		TEST(check__goes_on_with_one_copy_of_the_superblock),
		TEST(check__finds_block_that_nothing_uses),
		TEST(check__finds_used_block_that_counts_as_free),
		TEST(check__finds_count_that_is_too_low),
		TEST(check__finds_count_that_is_too_high),
		TEST(check__finds_large_count_without_an_item),
		TEST(check__finds_wrong_sum_of_free_blocks),
		TEST(check__finds_block_in_two_records),
		TEST(check__finds_record_in_a_node_or_outside_the_pool),
		TEST(check__survives_any_damage_behind_good_checksums),
		TEST(check__survives_any_damage_of_the_superblock),
		TEST(check__reports_what_it_cannot_read_and_goes_on),
	};

	return cmocka_run_group_tests(tests, make_pool, free_pool);
}
