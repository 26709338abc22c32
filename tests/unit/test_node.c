/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_node.c - one page of a B+tree: M1 to M3, and what verify refuses
 */
#include "store/node.h"

#include <errno.h>

#include "store/util.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"

#define POOL  UINT64_C(0x1122334455667788)
#define BLKNO UINT64_C(4711)
#define TXG   UINT64_C(99)

static uint8_t page[BLOCK_SIZE] __attribute__((aligned(8)));

static struct node_header *header(void)
{
	return (struct node_header *)page;
}

static int fresh_page(void **state)
{
	(void)state;
	node_init(page, POOL, BLKNO, TXG, 0, 7);
	return 0;
}

static int verify(void)
{
	node_seal(page);
	return node_verify(page, POOL, BLKNO, TXG, node_level(page));
}

static struct key key(uint64_t offset)
{
	return key_of(3, ITEM_XATTR, offset);
}

/* At the place where it belongs. */
static bool insert(struct key k, const void *value, uint32_t len)
{
	bool exact;
	uint32_t i = node_search(page, &k, &exact);

	CHECK(!exact);
	return node_insert(page, i, &k, value, len);
}

/* -- keys --------------------------------------------------------------------- */

static void key__encoded_order_is_the_order_of_keys(void **state)
{
	struct rnd r = {1};
	struct key a, b;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint8_t x[KEY_SIZE], y[KEY_SIZE];
		int c, d;

		a = key_of(rnd_below(&r, 3) << 38 | rnd_below(&r, 3),
			   (uint8_t)rnd_below(&r, 3),
			   rnd_below(&r, 3) << 54 | rnd_below(&r, 300));
		b = key_of(rnd_below(&r, 3) << 38 | rnd_below(&r, 3),
			   (uint8_t)rnd_below(&r, 3),
			   rnd_below(&r, 3) << 54 | rnd_below(&r, 300));
		key_encode(&a, x);
		key_encode(&b, y);
		c = memcmp(x, y, KEY_SIZE);
		d = key_compare(&a, &b);
		CHECK((c < 0) == (d < 0) && (c > 0) == (d > 0));
		b = key_decode(x);
		CHECK_INT(key_compare(&a, &b), 0);
	}
}

static void key__next_is_the_least_key_above(void **state)
{
	struct key k = key_of(5, 1, OFFSET_MAX), n;

	(void)state;
	n = key_next(&k);
	CHECK(n.ino == 5 && n.type == 2 && n.offset == 0);
	k = key_of(5, UINT8_MAX, OFFSET_MAX);
	n = key_next(&k);
	CHECK(n.ino == 6 && n.type == 0 && n.offset == 0);
	k = key_of(INO_MAX, UINT8_MAX, OFFSET_MAX);
	n = key_next(&k);
	CHECK_INT(key_compare(&k, &n), 0);
}

/* -- contents ----------------------------------------------------------------- */

static void node__insert_keeps_items_in_order_whatever_the_order(void **state)
{
	struct node_item item;

	(void)state;
	for (uint64_t i = 0; i < 100; i++) {
		uint64_t o = i * 37 % 101;

		/* from the second on one may have to make the prefix shorter */
		if (!insert(key(o), &o, sizeof(o))) {
			struct node_item all[2] = {
				{key(0), (const uint8_t *)&o, sizeof(o)},
				{key(o), (const uint8_t *)&o, sizeof(o)}};

			CHECK_UINT(i, 1);
			node_fill(page, all, 2);
		}
	}
	CHECK_OK(verify());
	CHECK_UINT(node_nr_items(page), 100);
	for (uint32_t i = 1; i < 100; i++) {
		struct node_item before;

		node_item(page, i - 1, &before);
		node_item(page, i, &item);
		CHECK(key_compare(&before.key, &item.key) < 0);
	}
}

static void
node__insert_beyond_the_prefix_is_refused_until_refilled(void **state)
{
	const uint8_t value[40] = {1};
	uint8_t copy[BLOCK_SIZE];
	struct node_item items[3];

	(void)state;
	CHECK(insert(key(0x100), value, 40));
	CHECK(insert(key(0x101), value, 40));
	CHECK_UINT(header()->prefix_len, NODE_PREFIX_MAX);
	memcpy(copy, page, BLOCK_SIZE);
	CHECK(!insert(key(0x20000), value, 40));
	CHECK_MEM(copy, page, BLOCK_SIZE);
	for (uint32_t i = 0; i < 2; i++)
		node_item(copy, i, &items[i]);
	items[2] = (struct node_item){key(0x20000), value, 40};
	node_fill(page, items, 3);
	CHECK(header()->prefix_len < NODE_PREFIX_MAX);
	CHECK_OK(verify());
	CHECK_UINT(node_used(page), node_size_of(items, 3, 0));
}

static void node__garbage_is_squeezed_out_when_space_is_needed(void **state)
{
	uint8_t value[400];
	uint64_t o = 0;

	(void)state;
	memset(value, 7, sizeof(value));
	while (insert(key(o), value, sizeof(value)))
		o++;
	CHECK(o >= 9);
	/* two that don't lie together */
	node_remove(page, 2);
	node_remove(page, 4);
	CHECK_OK(verify());
	memset(value, 9, sizeof(value));
	CHECK(insert(key(2), value, sizeof(value)));
	CHECK(insert(key(5), value, sizeof(value)));
	CHECK(!insert(key(200), value, sizeof(value)));
	CHECK_OK(verify());
	for (uint32_t i = 0; i < o; i++) {
		struct node_item item;

		node_item(page, i, &item);
		CHECK_UINT(item.key.offset, i);
		CHECK_UINT(item.value[0], i == 2 || i == 5 ? 9 : 7);
	}
}

static void node__removed_bytes_do_not_stay_in_the_page(void **state)
{
	(void)state;
	CHECK(insert(key(1), "classified", 10));
	CHECK(insert(key(2), "public", 6));
	node_remove(page, 0);
	CHECK(!memmem(page, BLOCK_SIZE, "classified", 10));
	CHECK_OK(verify());
	node_remove(page, 0);
	CHECK_UINT(node_nr_items(page), 0);
	CHECK_UINT(node_used(page), 0);
	/* and any key fits again */
	CHECK(insert(key_of(INO_MAX, ITEM_XATTR, 0), "x", 1));
	CHECK_OK(verify());
}

static void
node__a_full_page_of_the_smallest_items_is_below_the_maximum(void **state)
{
	struct node_item items[NODE_ITEMS_MAX];
	uint32_t nr = 0;

	(void)state;
	/* 13 bytes of which 11 are shared: 256 * 256 keys */
	for (nr = 0; nr < NODE_ITEMS_MAX; nr++) {
		items[nr] = (struct node_item){key(nr), page, 0};
		if (node_size_of(items, nr + 1, 0) > NODE_CAPACITY)
			break;
	}
	CHECK(2 * nr < NODE_ITEMS_MAX);
	node_fill(page, items, nr);
	CHECK_OK(verify());
}

/* As the B+tree does it, against an array. */
static void node__random_changes_agree_with_an_array(void **state)
{
	static struct {
		bool there;
		uint32_t len;
		uint8_t fill;
	} want[400];
	struct rnd r = {2};
	uint8_t value[300];

	(void)state;
	for (unsigned step = 0; step < 20000; step++) {
		uint64_t o = rnd_below(&r, 400);
		/* offsets with few common bytes: prefixes come and go */
		struct key k = key(o << (o % 3 * 8));
		uint32_t len = (uint32_t)rnd_below(&r, 300), i;
		bool exact;

		i = node_search(page, &k, &exact);
		CHECK_INT(exact, want[o].there);
		if (exact && rnd_one_in(&r, 2)) {
			memset(value, (int)step, sizeof(value));
			node_replace(page, i, value);
			want[o].fill = (uint8_t)step;
		} else if (exact) {
			node_remove(page, i);
			want[o].there = false;
		} else {
			memset(value, (int)step, sizeof(value));
			if (!node_insert(page, i, &k, value, len))
				continue;
			want[o].there = true;
			want[o].len = len;
			want[o].fill = (uint8_t)step;
		}
		if (node_nr_items(page) > 0)
			CHECK_OK(verify());
		if (step % 50)
			continue;
		for (o = 0; o < 400; o++) {
			struct node_item item;

			k = key(o << (o % 3 * 8));
			i = node_search(page, &k, &exact);
			CHECK_INT(exact, want[o].there);
			if (!exact)
				continue;
			node_item(page, i, &item);
			CHECK_UINT(item.len, want[o].len);
			for (uint32_t b = 0; b < item.len; b++)
				CHECK_UINT(item.value[b], want[o].fill);
		}
	}
}

static void node__the_first_child_takes_all_that_is_lower(void **state)
{
	struct node_ptr ptr = {.blkno = le40_of(5), .txg = le40_of(6)};
	uint64_t blkno, txg;
	struct key k;

	(void)state;
	node_init(page, POOL, BLKNO, TXG, 1, 7);
	for (uint64_t o = 10; o <= 30; o += 10)
		CHECK(insert(key(o), &ptr, sizeof(ptr)));
	k = key(0);
	CHECK_UINT(node_search_child(page, &k), 0);
	k = key(10);
	CHECK_UINT(node_search_child(page, &k), 0);
	k = key(29);
	CHECK_UINT(node_search_child(page, &k), 1);
	k = key_of(INO_MAX, 0, 0);
	CHECK_UINT(node_search_child(page, &k), 2);
	node_child(page, 1, &blkno, &txg);
	CHECK_UINT(blkno, 5);
	CHECK_UINT(txg, 6);
	CHECK_OK(verify());
}

static void node__a_moved_page_is_only_itself_at_its_new_place(void **state)
{
	(void)state;
	CHECK(insert(key(1), "x", 1));
	node_move(page, BLKNO + 1, TXG + 1, 8);
	node_seal(page);
	CHECK_OK(node_verify(page, POOL, BLKNO + 1, TXG + 1, 0));
	CHECK_INT(node_verify(page, POOL, BLKNO, TXG + 1, 0), -EBADMSG);
	CHECK_INT(node_verify(page, POOL, BLKNO + 1, TXG, 0), -EBADMSG);
	CHECK_INT(node_verify(page, POOL + 1, BLKNO + 1, TXG + 1, 0), -EBADMSG);
}

/* -- what verify refuses -------------------------------------------------------- */

static void fill_some(void)
{
	uint64_t o = 0;

	while (o < 20) {
		CHECK(insert(key(o), "0123456789", 10));
		o++;
	}
	CHECK_OK(verify());
}

static void verify__any_flipped_bit_fails_the_checksum(void **state)
{
	struct rnd r = {3};

	(void)state;
	fill_some();
	for (unsigned i = 0; i < 2000; i++) {
		uint32_t bit = (uint32_t)rnd_below(&r, BLOCK_SIZE * 8);

		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
		CHECK_INT(node_verify(page, POOL, BLKNO, TXG, 0), -EBADMSG);
		page[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	CHECK_OK(node_verify(page, POOL, BLKNO, TXG, 0));
}

static void verify__an_empty_node_is_malformed(void **state)
{
	(void)state;
	CHECK_INT(verify(), -EUCLEAN);
}

static void verify__a_level_that_differs_is_malformed(void **state)
{
	(void)state;
	fill_some();
	CHECK_INT(node_verify(page, POOL, BLKNO, TXG, 1), -EUCLEAN);
	header()->level = NODE_LEVEL_MAX;
	CHECK_INT(verify(), -EUCLEAN);
}

static void verify__a_prefix_too_long_is_malformed(void **state)
{
	(void)state;
	fill_some();
	header()->prefix_len = NODE_PREFIX_MAX + 1;
	CHECK_INT(verify(), -EUCLEAN);
	header()->prefix_len = UINT8_MAX;
	CHECK_INT(verify(), -EUCLEAN);
}

static void verify__slots_that_reach_into_items_are_malformed(void **state)
{
	(void)state;
	fill_some();
	header()->nr_items = le16_of(2000);
	CHECK_INT(verify(), -EUCLEAN);
	header()->nr_items = le16_of(UINT16_MAX);
	CHECK_INT(verify(), -EUCLEAN);
}

static void verify__an_item_outside_the_heap_is_malformed(void **state)
{
	static const uint16_t bad[] = {0, 64, 2000, 4095, 4096, UINT16_MAX};

	(void)state;
	fill_some();
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		uint8_t *slot = page + sizeof(struct node_header);
		uint64_t was = le_load(slot, 2);

		le_store(slot, 2, bad[i]);
		CHECK_INT(verify(), -EUCLEAN);
		le_store(slot, 2, was);
	}
	CHECK_OK(verify());
}

static void verify__a_value_that_runs_over_the_end_is_malformed(void **state)
{
	struct node_item item;

	(void)state;
	fill_some();
	node_item(page, 0, &item);
	le_store((uint8_t *)(uintptr_t)item.value - 2, 2, 11);
	CHECK_INT(verify(), -EUCLEAN);
	le_store((uint8_t *)(uintptr_t)item.value - 2, 2, UINT16_MAX);
	CHECK_INT(verify(), -EUCLEAN);
}

static void verify__keys_that_do_not_rise_are_malformed(void **state)
{
	uint8_t *slots = page + sizeof(struct node_header);
	uint64_t a, b;

	(void)state;
	fill_some();
	a = le_load(slots, 2);
	b = le_load(slots + 2, 2);
	le_store(slots, 2, b);
	le_store(slots + 2, 2, a);
	CHECK_INT(verify(), -EUCLEAN);
	/* the same item twice */
	le_store(slots, 2, a);
	CHECK_INT(verify(), -EUCLEAN);
}

static void verify__garbage_that_does_not_add_up_is_malformed(void **state)
{
	(void)state;
	fill_some();
	header()->garbage = le16_of(1);
	CHECK_INT(verify(), -EUCLEAN);
	header()->garbage = le16_of(0);
	header()->heap = le16_of((uint16_t)(le16_get(header()->heap) - 1));
	CHECK_INT(verify(), -EUCLEAN);
}

/* Whatever verify accepts, the other functions survive (with sanitizers). */
/* Whoever looks for what is missing would find that nothing is, for ever. */
static void verify__a_child_at_block_0_is_malformed(void **state)
{
	struct node_ptr ptr = {le40_of(0), le40_of(TXG)};

	(void)state;
	node_init(page, POOL, BLKNO, TXG, 1, 7);
	CHECK(insert(key(1), &ptr, sizeof(ptr)));
	CHECK_INT(verify(), -EUCLEAN);
	ptr.blkno = le40_of(5);
	node_replace(page, 0, &ptr);
	CHECK_OK(verify());
}

static void verify__what_it_accepts_can_be_used(void **state)
{
	struct rnd r = {4};
	unsigned accepted = 0;

	(void)state;
	for (unsigned round = 0; round < 30000; round++) {
		unsigned nr = (unsigned)rnd_between(&r, 1, 4);

		node_init(page, POOL, BLKNO, TXG, 0, 7);
		for (uint64_t o = 0; o < 12; o++)
			insert(key(o), "0123456789", 1 + (uint32_t)(o % 10));
		if (rnd_one_in(&r, 2))
			node_remove(page, 3);
		while (nr-- > 0) {
			/* near the header, slots and heap, not just anywhere */
			uint32_t at =
				rnd_one_in(&r, 2)
					? (uint32_t)rnd_between(&r, 40, 92)
					: (uint32_t)rnd_between(&r, 3850,
								BLOCK_SIZE);

			page[at] =
				(uint8_t)(rnd_one_in(&r, 2)
						  ? page[at] + rnd_below(&r, 4)
						  : rnd_next(&r));
		}
		if (verify() != 0)
			continue;
		accepted++;
		for (uint32_t i = 0; i < node_nr_items(page); i++) {
			struct node_item item;
			volatile uint8_t sum = 0;

			node_item(page, i, &item);
			for (uint32_t b = 0; b < item.len; b++)
				sum = (uint8_t)(sum + item.value[b]);
		}
		for (uint64_t o = 50; o < 300; o++) {
			struct key k = key(o);
			bool exact;
			uint32_t i = node_search(page, &k, &exact);

			if (!exact)
				node_insert(page, i, &k, "0123456789", 10);
		}
		while (node_nr_items(page) > 0)
			node_remove(page, (uint32_t)rnd_below(
						  &r, node_nr_items(page)));
	}
	CHECK(accepted > 100);
}

#define TEST(name) cmocka_unit_test_setup(name, fresh_page)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(key__encoded_order_is_the_order_of_keys),
		TEST(key__next_is_the_least_key_above),
		TEST(node__insert_keeps_items_in_order_whatever_the_order),
		TEST(node__insert_beyond_the_prefix_is_refused_until_refilled),
		TEST(node__garbage_is_squeezed_out_when_space_is_needed),
		TEST(node__removed_bytes_do_not_stay_in_the_page),
		TEST(node__a_full_page_of_the_smallest_items_is_below_the_maximum),
		TEST(node__random_changes_agree_with_an_array),
		TEST(node__the_first_child_takes_all_that_is_lower),
		TEST(node__a_moved_page_is_only_itself_at_its_new_place),
		TEST(verify__any_flipped_bit_fails_the_checksum),
		TEST(verify__an_empty_node_is_malformed),
		TEST(verify__a_level_that_differs_is_malformed),
		TEST(verify__a_prefix_too_long_is_malformed),
		TEST(verify__slots_that_reach_into_items_are_malformed),
		TEST(verify__an_item_outside_the_heap_is_malformed),
		TEST(verify__a_value_that_runs_over_the_end_is_malformed),
		TEST(verify__keys_that_do_not_rise_are_malformed),
		TEST(verify__garbage_that_does_not_add_up_is_malformed),
		TEST(verify__a_child_at_block_0_is_malformed),
		TEST(verify__what_it_accepts_can_be_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
