/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_node_cache.c - nodes in memory: C1 to C3
 */
#include "store/node_cache.h"

#include <errno.h>

#include "store/format.h"
#include "store/node.h"
#include "store/os.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"

#define POOL	  UINT64_C(0x77)
#define NR_BLOCKS UINT64_C(16384)
/* what the cache makes of a request for less */
#define NR_FRAMES 4096u

static struct blkdev *mem, *dev;
static struct node_cache *nc;

static int setup(void **state)
{
	struct node_cache_stat st;

	(void)state;
	CHECK_OK(blkdev_mem_open(NR_BLOCKS * BLOCK_SIZE, &mem));
	CHECK_OK(blkdev_faulty_open(mem, &dev));
	CHECK_OK(node_cache_new(dev, POOL, 1, &nc));
	node_cache_stat(nc, &st);
	CHECK_UINT(st.nr_frames, NR_FRAMES);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	node_cache_free(nc);
	blkdev_close(dev);
	return 0;
}

static void make_page(uint8_t *page, uint64_t blkno, uint64_t txg,
		      uint8_t level)
{
	const struct key key = key_of(blkno, ITEM_XATTR, 0);
	const struct node_ptr ptr = {.blkno = le40_of(1), .txg = le40_of(1)};

	node_init(page, POOL, blkno, txg, level, 1);
	node_insert(page, 0, &key, &ptr, sizeof(ptr));
	node_seal(page);
}

static void write_node(uint64_t blkno, uint64_t txg, uint8_t level)
{
	make_page(blkdev_mem_data(mem) + blkno * BLOCK_SIZE, blkno, txg, level);
}

static struct node *must_load(uint64_t blkno, uint64_t txg)
{
	struct node *n;

	CHECK_OK(node_cache_load(nc, blkno, txg, 0, &n));
	CHECK_UINT(n->blkno, blkno);
	CHECK_UINT(n->txg, txg);
	return n;
}

/* Take every frame once for something else. */
static void flood(uint64_t first)
{
	for (uint64_t b = first; b < first + 2 * NR_FRAMES; b++) {
		write_node(b, 1, 0);
		node_cache_put(nc, must_load(b, 1));
	}
}

static bool is_in(uint64_t blkno, uint64_t txg)
{
	struct node *n = node_cache_peek(nc, blkno, txg);

	if (n)
		node_cache_put(nc, n);
	return n != NULL;
}

static struct node *add_dirty(uint64_t blkno, uint64_t txg)
{
	struct node *n;

	CHECK(node_cache_reserve(nc, 1, false));
	n = node_cache_add(nc, blkno, txg, false);
	make_page(n->page, blkno, txg, 0);
	return n;
}

static void node_cache__reads_a_node_once(void **state)
{
	uint64_t reads;

	(void)state;
	write_node(5, 1, 0);
	node_cache_put(nc, must_load(5, 1));
	reads = blkdev_faulty_calls(dev, BLKDEV_CALL_READ);
	node_cache_put(nc, must_load(5, 1));
	CHECK_UINT(blkdev_faulty_calls(dev, BLKDEV_CALL_READ), reads);
}

/* Only the open group has such nodes, and those are not read (C4). */
static void node_cache__a_node_from_the_future_is_damage(void **state)
{
	struct node *n;

	(void)state;
	node_cache_set_newest(nc, 7);
	write_node(5, 7, 0);
	write_node(6, 8, 0);
	node_cache_put(nc, must_load(5, 7));
	CHECK_INT(node_cache_load(nc, 6, 8, 0, &n), -EUCLEAN);
	/* once one was written there may be others */
	n = add_dirty(9, 8);
	CHECK_INT(node_cache_load(nc, 6, 8, 0, &n), -EUCLEAN);
	n = node_cache_peek(nc, 9, 8);
	CHECK(n);
	node_cache_clean(nc, n);
	node_cache_put(nc, n);
	node_cache_put(nc, must_load(6, 8));
}

static void node_cache__what_fails_verification_is_not_kept(void **state)
{
	struct node *n;

	(void)state;
	write_node(5, 1, 0);
	CHECK_INT(node_cache_load(nc, 5, 2, 0, &n), -EBADMSG);
	CHECK_INT(node_cache_load(nc, 5, 1, 1, &n), -EUCLEAN);
	CHECK_INT(node_cache_load(nc, 6, 1, 0, &n), -EBADMSG);
	CHECK(!is_in(5, 1) && !is_in(5, 2) && !is_in(6, 1));
	node_cache_put(nc, must_load(5, 1));
	/* and once it is there its level still counts */
	CHECK_INT(node_cache_load(nc, 5, 1, 1, &n), -EUCLEAN);
	CHECK_INT(node_cache_load(nc, 5, 2, 0, &n), -EBADMSG);
}

static void node_cache__pointers_outside_the_device_are_damage(void **state)
{
	struct node *n;

	(void)state;
	CHECK_INT(node_cache_load(nc, 0, 1, 0, &n), -EUCLEAN);
	CHECK_INT(node_cache_load(nc, NR_BLOCKS, 1, 0, &n), -EUCLEAN);
	CHECK_INT(node_cache_load(nc, LE40_MAX, 1, 0, &n), -EUCLEAN);
	CHECK_INT(node_cache_load(nc, UINT64_MAX, 1, 0, &n), -EUCLEAN);
}

static void node_cache__failed_reads_lose_no_frame(void **state)
{
	struct node_cache_stat before, after;
	struct node *n;

	(void)state;
	write_node(5, 1, 0);
	node_cache_stat(nc, &before);
	blkdev_faulty_fail(dev, BLKDEV_CALL_READ, 1, -EIO, true, false);
	for (unsigned i = 0; i < 2 * NR_FRAMES; i++)
		CHECK_INT(node_cache_load(nc, 5, 1, 0, &n), -EIO);
	blkdev_faulty_fail(dev, 0, 0, 0, false, false);
	node_cache_stat(nc, &after);
	CHECK_UINT(after.nr_used, before.nr_used);
	node_cache_put(nc, must_load(5, 1));
}

/* C3 */
static void node_cache__a_held_node_is_not_evicted(void **state)
{
	struct node *n;

	(void)state;
	write_node(5, 1, 0);
	write_node(6, 1, 0);
	n = must_load(5, 1);
	node_cache_put(nc, must_load(6, 1));
	flood(100);
	CHECK(is_in(5, 1));
	CHECK(!is_in(6, 1));
	CHECK_UINT(node_blkno(n->page), 5);
	node_cache_put(nc, n);
	flood(100);
	CHECK(!is_in(5, 1));
}

static void node_cache__a_sticky_node_is_not_evicted(void **state)
{
	struct node *n;

	(void)state;
	write_node(5, 1, 0);
	n = must_load(5, 1);
	node_cache_stick(nc, n);
	node_cache_put(nc, n);
	flood(100);
	CHECK(is_in(5, 1));
}

/* A root tree may have more leaves than there are frames. */
static void node_cache__sticky_nodes_leave_room_for_others(void **state)
{
	(void)state;
	for (uint64_t b = 100; b < 100 + 2 * NR_FRAMES; b++) {
		struct node *n;

		write_node(b, 1, 0);
		n = must_load(b, 1);
		node_cache_stick(nc, n);
		node_cache_put(nc, n);
	}
	for (uint32_t i = 0; i < NR_FRAMES / 3; i++) {
		CHECK(node_cache_reserve(nc, 1, false));
		CHECK(node_cache_add(nc, 12000 + i, 2, true));
	}
}

static void node_cache__a_dirty_node_stays_until_it_is_clean(void **state)
{
	struct node *n = add_dirty(5, 9);

	(void)state;
	flood(100);
	CHECK(is_in(5, 9));
	node_cache_clean(nc, n);
	flood(100);
	CHECK(!is_in(5, 9));
}

static void node_cache__with_all_frames_held_a_load_fails(void **state)
{
	static struct node *held[NR_FRAMES];
	struct node *n;

	(void)state;
	for (uint64_t i = 0; i < NR_FRAMES; i++) {
		write_node(100 + i, 1, 0);
		held[i] = must_load(100 + i, 1);
	}
	write_node(5, 1, 0);
	CHECK_INT(node_cache_load(nc, 5, 1, 0, &n), -ENOMEM);
	node_cache_put(nc, held[17]);
	n = must_load(5, 1);
	CHECK(!is_in(117, 1));
	node_cache_put(nc, n);
	for (uint64_t i = 0; i < NR_FRAMES; i++)
		if (i != 17)
			node_cache_put(nc, held[i]);
}

/* C3 */
static void node_cache__a_forgotten_node_lives_until_it_is_put(void **state)
{
	struct node_cache_stat before, after;
	struct node *n;

	(void)state;
	node_cache_stat(nc, &before);
	write_node(5, 1, 0);
	n = must_load(5, 1);
	node_cache_forget(nc, 5);
	CHECK(!is_in(5, 1));
	CHECK_UINT(node_blkno(n->page), 5);
	/* its block is used again meanwhile */
	add_dirty(5, 2);
	CHECK(is_in(5, 2));
	CHECK_UINT(node_txg(n->page), 1);
	node_cache_put(nc, n);
	CHECK(is_in(5, 2));
	node_cache_forget(nc, 5);
	node_cache_stat(nc, &after);
	CHECK_UINT(after.nr_used, before.nr_used);
	CHECK_UINT(after.nr_dirty, 0);
	node_cache_forget(nc, 5); /* nothing there: no harm */
}

/* C2 */
static void node_cache__dirty_and_reserved_stay_below_a_third(void **state)
{
	struct node_cache_stat st;
	uint32_t nr = 0;

	(void)state;
	while (node_cache_reserve(nc, 100, false))
		nr += 100;
	CHECK(nr <= NR_FRAMES / 3 && nr > NR_FRAMES / 3 - 100);
	for (uint32_t i = 0; i < nr; i++)
		node_cache_add(nc, 100 + i, 3, false);
	CHECK(!node_cache_reserve(nc, 100, false));
	CHECK(node_cache_reserve(nc, 100, true));
	node_cache_unreserve(nc, 100);
	node_cache_stat(nc, &st);
	CHECK_UINT(st.nr_dirty, nr);
	CHECK_UINT(st.nr_reserved, 0);
	for (uint32_t i = 0; i < nr; i++)
		node_cache_forget(nc, 100 + i);
	CHECK(node_cache_reserve(nc, 100, false));
	node_cache_unreserve(nc, 100);
}

static void node_cache__frames_held_by_notes_stop_reservations(void **state)
{
	static struct node *held[NR_FRAMES];
	uint32_t nr = NR_FRAMES / 3 + 1;

	(void)state;
	for (uint32_t i = 0; i < nr; i++) {
		write_node(100 + i, 1, 0);
		held[i] = must_load(100 + i, 1);
		node_cache_hold_noted(nc, held[i]);
		node_cache_put(nc, held[i]);
	}
	CHECK(!node_cache_reserve(nc, 1, false));
	CHECK(node_cache_reserve(nc, 1, true));
	node_cache_unreserve(nc, 1);
	node_cache_put_noted(nc, held[0]);
	CHECK(node_cache_reserve(nc, 1, false));
	node_cache_unreserve(nc, 1);
	for (uint32_t i = 1; i < nr; i++)
		node_cache_put_noted(nc, held[i]);
}

/* Reserved frames are to be had even when readers have used all the rest. */
static void node_cache__a_reserved_frame_is_got_by_evicting(void **state)
{
	uint32_t nr = NR_FRAMES / 3;

	(void)state;
	CHECK(node_cache_reserve(nc, nr, false));
	flood(5000);
	for (uint32_t i = 0; i < nr; i++)
		CHECK(node_cache_add(nc, 100 + i, 3, false));
}

/*
 * A reader that missed a node, and was stopped between reading its block and
 * putting it into the cache, finds the block freed, used again and committed
 * when it goes on.  An op may count on the new node being in the cache.
 */
static void
node_cache__what_was_read_late_does_not_displace_what_is_newer(void **state)
{
	struct node *newer, *n;

	(void)state;
	write_node(5, 1, 0); /* what the slow reader still sees */
	newer = add_dirty(5, 2);
	node_cache_hold(nc, newer);
	node_cache_clean(nc, newer);
	CHECK_INT(node_cache_load(nc, 5, 1, 0, &n), -EUCLEAN);
	CHECK(is_in(5, 2));
	node_cache_put(nc, newer);
}

static void node_cache__a_newer_node_takes_the_place_of_a_dead_one(void **state)
{
	(void)state;
	write_node(5, 1, 0);
	node_cache_put(nc, must_load(5, 1));
	add_dirty(5, 2);
	CHECK(!is_in(5, 1));
	CHECK(is_in(5, 2));
}

/* -- threads ------------------------------------------------------------------- */

#define NR_THREADS 4u

static void load_many(void *arg)
{
	struct rnd r = {(uint64_t)(uintptr_t)arg};

	for (unsigned i = 0; i < 20000; i++) {
		uint64_t b = 100 + rnd_below(&r, 6000);
		struct node *n;

		MUST(node_cache_load(nc, b, 1, 0, &n) == 0);
		MUST(node_blkno(n->page) == b);
		if (i % 16 == 0) {
			struct node *m = node_cache_peek_any(nc, b);

			MUST(m == n);
			node_cache_put(nc, m);
		}
		node_cache_put(nc, n);
	}
}

static void node_cache__threads_find_the_node_they_asked_for(void **state)
{
	struct os_thread t[NR_THREADS] = {0};
	struct node_cache_stat st;

	(void)state;
	for (uint64_t b = 100; b < 6100; b++)
		write_node(b, 1, 0);
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		CHECK_OK(os_thread_start(&t[i], "load", load_many,
					 (void *)(i + 1)));
	for (unsigned i = 0; i < NR_THREADS; i++)
		os_thread_join(&t[i]);
	node_cache_stat(nc, &st);
	CHECK(st.nr_used <= NR_FRAMES);
	CHECK(st.misses > 0 && st.hits > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(node_cache__reads_a_node_once),
		TEST(node_cache__a_node_from_the_future_is_damage),
		TEST(node_cache__what_fails_verification_is_not_kept),
		TEST(node_cache__pointers_outside_the_device_are_damage),
		TEST(node_cache__failed_reads_lose_no_frame),
		TEST(node_cache__a_held_node_is_not_evicted),
		TEST(node_cache__a_sticky_node_is_not_evicted),
		TEST(node_cache__sticky_nodes_leave_room_for_others),
		TEST(node_cache__a_dirty_node_stays_until_it_is_clean),
		TEST(node_cache__with_all_frames_held_a_load_fails),
		TEST(node_cache__a_forgotten_node_lives_until_it_is_put),
		TEST(node_cache__dirty_and_reserved_stay_below_a_third),
		TEST(node_cache__frames_held_by_notes_stop_reservations),
		TEST(node_cache__a_reserved_frame_is_got_by_evicting),
		TEST(node_cache__what_was_read_late_does_not_displace_what_is_newer),
		TEST(node_cache__a_newer_node_takes_the_place_of_a_dead_one),
		TEST(node_cache__threads_find_the_node_they_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
