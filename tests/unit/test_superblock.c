/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_superblock.c - the ring: which superblock wins, and which are refused
 */
#include <errno.h>

#include "store/csum.h"
#include "store/pool_internal.h"
#include "tests/lib/blkdev_view.h"
#include "tests/lib/check.h"

#define SIZE (UINT64_C(64) << 20)

static struct blkdev *mem;
static uint8_t *image;
static struct store_error error;

/* A pool with datasets d0 to d4, one commit each. */
static int setup(void **state)
{
	const struct pool_create_options create = {.name = "ring"};
	const struct pool_options options = {.no_background = true};
	struct pool *pool;

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	CHECK_OK(blkdev_mem_open(SIZE, &mem));
	image = blkdev_mem_data(mem);
	CHECK_OK(pool_create_on(mem, &create, &error));
	CHECK_OK(pool_open_on(blkdev_borrow(mem), &options, &pool, &error));
	for (unsigned i = 0; i < 5; i++) {
		char name[8];

		snprintf(name, sizeof(name), "d%u", i);
		CHECK_OK(dataset_create(pool, name, NULL, NULL));
		CHECK_OK(pool_sync(pool));
	}
	pool_abandon(pool);
	error.text[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	blkdev_close(mem);
	return 0;
}

static struct superblock *slot(unsigned copy, uint64_t seq)
{
	return (struct superblock *)(image +
				     ((copy ? SUPERBLOCK_COPY_BLKNO : 0) +
				      seq % SUPERBLOCK_RING) *
					     BLOCK_SIZE);
}

static void seal(struct superblock *sb)
{
	sb->h.csum = le64_of(
		csum_of((uint8_t *)sb + 8, BLOCK_SIZE - 8, META_SUPERBLOCK));
}

static int read_sb(struct superblock *sb)
{
	return superblock_read(mem, sb, false, &error);
}

static uint64_t newest(void)
{
	struct superblock sb;

	CHECK_OK(superblock_read(mem, &sb, true, &error));
	return le64_get(sb.commit_seq);
}

/* How many of d0 to d4 the pool has, opened and closed unchanged. */
static unsigned nr_datasets(void)
{
	const struct pool_options options = {.read_only = true};
	struct pool_stat st;
	struct pool *pool;

	CHECK_OK(pool_open_on(blkdev_borrow(mem), &options, &pool, &error));
	pool_stat(pool, &st);
	CHECK_OK(pool_close(pool));
	return (unsigned)st.nr_datasets;
}

static void tear(struct superblock *sb)
{
	memset((uint8_t *)sb + 512, 0xa5, 512);
}

/* -- which wins ------------------------------------------------------------------ */

static void superblock__newest_wins(void **state)
{
	(void)state;
	CHECK_UINT(newest(), 6);
	CHECK_UINT(nr_datasets(), 5);
}

static void superblock__torn_newest_is_read_from_its_copy(void **state)
{
	uint64_t seq = newest();

	(void)state;
	tear(slot(0, seq));
	CHECK_UINT(newest(), seq);
	CHECK_UINT(nr_datasets(), 5);
	*slot(0, seq) = *slot(1, seq);
	slot(0, seq)->h.blkno = le64_of(seq % SUPERBLOCK_RING);
	seal(slot(0, seq));
	tear(slot(1, seq));
	CHECK_UINT(newest(), seq);
	CHECK_UINT(nr_datasets(), 5);
}

static void superblock__torn_newest_falls_back_to_the_one_before(void **state)
{
	uint64_t seq = newest();

	(void)state;
	tear(slot(0, seq));
	tear(slot(1, seq));
	CHECK_UINT(newest(), seq - 1);
	CHECK_UINT(nr_datasets(), 4);
}

static void superblock__in_another_slot_is_not_taken(void **state)
{
	uint64_t seq = newest();

	(void)state;
	/* whole, and its number is higher; but it lies where it doesn't belong */
	*slot(0, seq + 3) = *slot(0, seq);
	*slot(1, seq + 3) = *slot(0, seq);
	tear(slot(0, seq));
	tear(slot(1, seq));
	CHECK_UINT(newest(), seq - 1);
}

static void superblock__ring_goes_round_without_losing_a_commit(void **state)
{
	const struct pool_options options = {.no_background = true};
	struct pool *pool;

	(void)state;
	for (unsigned i = 0; i < 2 * SUPERBLOCK_RING + 3; i++) {
		struct dataset *ds;
		struct dataset_properties p;
		uint64_t seq = newest();

		CHECK_OK(pool_open_on(blkdev_borrow(mem), &options, &pool,
				      &error));
		CHECK_OK(dataset_open(pool, "d0", &ds));
		dataset_properties_default(&p);
		p.quota = (i + 1) * UINT64_C(1048576);
		CHECK_OK(dataset_set_properties(ds, &p));
		dataset_put(ds);
		pool_abandon(pool);
		CHECK_UINT(newest(), seq + 1);
	}
	CHECK_UINT(nr_datasets(), 5);
}

/* -- what is refused --------------------------------------------------------------- */

static void superblock__none_valid_is_damage_and_says_so(void **state)
{
	struct superblock sb;

	(void)state;
	for (unsigned i = 0; i < SUPERBLOCK_RING; i++) {
		tear(slot(0, i));
		tear(slot(1, i));
	}
	CHECK_INT(read_sb(&sb), -EUCLEAN);
	CHECK(strstr(error.text, "damaged"));
}

static void superblock__zeros_are_no_pool(void **state)
{
	struct superblock sb;

	(void)state;
	memset(image, 0, SIZE);
	CHECK_INT(read_sb(&sb), -EINVAL);
	CHECK(strstr(error.text, "no pool"));
}

/* Never silently older: what can't be read may be the newest. */
static void superblock__unreadable_in_both_rings_is_not_ignored(void **state)
{
	struct superblock sb;
	struct blkdev *dev;
	int rc;

	(void)state;
	CHECK_OK(blkdev_faulty_open(blkdev_borrow(mem), &dev));
	blkdev_faulty_fail(dev, BLKDEV_CALL_READ, 1, -EIO, true, false);
	rc = superblock_read(dev, &sb, false, &error);
	CHECK_INT(rc, -EIO);
	/* one copy is enough */
	for (unsigned i = 1; i <= 2 * SUPERBLOCK_RING; i++) {
		blkdev_faulty_fail(dev, BLKDEV_CALL_READ, i, -EIO, false,
				   false);
		CHECK_OK(superblock_read(dev, &sb, false, &error));
		CHECK_UINT(le64_get(sb.commit_seq), 6);
	}
	blkdev_close(dev);
}

/* Change a field of the newest in both copies. */
#define CHANGE(field, value)                                                   \
	do {                                                                   \
		uint64_t seq_ = newest();                                      \
		for (unsigned c_ = 0; c_ < 2; c_++) {                          \
			slot(c_, seq_)->field = (value);                       \
			seal(slot(c_, seq_));                                  \
		}                                                              \
	} while (0)

#define REFUSED(field, value, rc)                                              \
	do {                                                                   \
		struct superblock sb_, was_ = *slot(0, newest());              \
		uint64_t n_ = newest();                                        \
		CHANGE(field, value);                                          \
		CHECK_INT(read_sb(&sb_), rc);                                  \
		CHECK(error.text[0]);                                          \
		for (unsigned c_ = 0; c_ < 2; c_++) {                          \
			slot(c_, n_)->field = was_.field;                      \
			seal(slot(c_, n_));                                    \
		}                                                              \
		CHECK_OK(read_sb(&sb_));                                       \
	} while (0)

static void superblock__unknown_versions_and_features_are_refused(void **state)
{
	struct superblock sb;

	(void)state;
	REFUSED(version, le32_of(2), -ENOTSUP);
	REFUSED(block_size, le32_of(8192), -ENOTSUP);
	REFUSED(incompat, le64_of(UINT64_C(1) << 63), -ENOTSUP);
	REFUSED(ro_compat, le64_of(1), -ENOTSUP);
	CHANGE(ro_compat, le64_of(1));
	CHECK_OK(superblock_read(mem, &sb, true, &error));
	CHANGE(ro_compat, le64_of(0));
	/* others may know what it means */
	CHANGE(compat, le64_of(UINT64_MAX));
	CHECK_OK(read_sb(&sb));
}

static void superblock__fields_out_of_bounds_are_refused(void **state)
{
	uint64_t nr = SIZE / BLOCK_SIZE;

	(void)state;
	REFUSED(nr_blocks, le64_of(nr + 1), -EUCLEAN);
	REFUSED(nr_blocks, le64_of(UINT64_MAX), -EUCLEAN);
	REFUSED(nr_blocks, le64_of(0), -EUCLEAN);
	REFUSED(nr_blocks, le64_of(3), -EUCLEAN);
	/* a last region that has nothing but its reserved blocks */
	REFUSED(nr_blocks, le64_of(3 * REGION_BLOCKS + 2), -EUCLEAN);
	REFUSED(high_water, le64_of(nr + 1), -EUCLEAN);
	REFUSED(nr_free, le64_of(nr + 1), -EUCLEAN);
	REFUSED(name[POOL_NAME_MAX], 'x', -EUCLEAN);
	REFUSED(root_tree.level, NODE_LEVEL_MAX, -EUCLEAN);
	REFUSED(space_tree.level, UINT8_MAX, -EUCLEAN);
	REFUSED(ilog[3].first, le64_of(nr + 1), -EUCLEAN);
	REFUSED(ilog[0].first, le64_of(UINT64_MAX), -EUCLEAN);
	REFUSED(ilog[0].nr, le32_of(UINT32_MAX), -EUCLEAN);
}

/* What would wrap around when it is next raised. */
static void superblock__counters_at_their_end_are_refused(void **state)
{
	(void)state;
	REFUSED(next_dataset, le32_of(UINT32_MAX), -EUCLEAN);
	REFUSED(next_dataset, le32_of((1u << 24) + 1), -EUCLEAN);
	REFUSED(next_dataset, le32_of(0), -EUCLEAN);
	/* a pointer has 40 bits for it */
	REFUSED(h.txg, le64_of(UINT64_C(1) << 40), -EUCLEAN);
	REFUSED(h.txg, le64_of(UINT64_MAX), -EUCLEAN);
}

static void superblock__last_commit_number_is_refused(void **state)
{
	struct superblock sb;
	uint64_t seq = newest();

	(void)state;
	/* the highest that belongs into the same slot */
	seq += UINT64_MAX - UINT64_MAX % SUPERBLOCK_RING - SUPERBLOCK_RING;
	CHANGE(commit_seq, le64_of(seq));
	CHECK_INT(read_sb(&sb), -EUCLEAN);
}

static void superblock__of_a_larger_device_is_truncated(void **state)
{
	struct superblock sb;
	struct blkdev *view = blkdev_view_open(image, SIZE - BLOCK_SIZE);

	(void)state;
	CHECK_INT(superblock_read(view, &sb, false, &error), -EUCLEAN);
	CHECK(strstr(error.text, "truncated"));
	blkdev_close(view);
	/* not even room for the rings */
	view = blkdev_view_open(image, 4 * BLOCK_SIZE);
	CHECK(superblock_read(view, &sb, false, &error) < 0);
	blkdev_close(view);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(superblock__newest_wins),
		TEST(superblock__torn_newest_is_read_from_its_copy),
		TEST(superblock__torn_newest_falls_back_to_the_one_before),
		TEST(superblock__in_another_slot_is_not_taken),
		TEST(superblock__ring_goes_round_without_losing_a_commit),
		TEST(superblock__none_valid_is_damage_and_says_so),
		TEST(superblock__zeros_are_no_pool),
		TEST(superblock__unreadable_in_both_rings_is_not_ignored),
		TEST(superblock__unknown_versions_and_features_are_refused),
		TEST(superblock__fields_out_of_bounds_are_refused),
		TEST(superblock__counters_at_their_end_are_refused),
		TEST(superblock__last_commit_number_is_refused),
		TEST(superblock__of_a_larger_device_is_truncated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
