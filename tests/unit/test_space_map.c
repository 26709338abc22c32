/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_space_map.c - counts and the allocator: S1 to S5, the module alone
 *
 * S6 needs a tree: see test_destroy.c.
 */
#include <errno.h>
#include <time.h>

#include "store/csum.h"
#include "store/io_batch.h"
#include "store/pool_internal.h"
#include "store/space_map_internal.h"
#include "tests/lib/check.h"
#include "tests/lib/rnd.h"

#define NR_BLOCKS (4 * REGION_BLOCKS + 100)

static struct blkdev *mem, *dev;
static struct space_map *sm;
static struct superblock *sb;

/* Damage that a test makes needs no report. */
static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static int setup(void **state)
{
	(void)state;
	log_set_sink(NULL);
	CHECK_OK(blkdev_mem_open((uint64_t)NR_BLOCKS * BLOCK_SIZE, &mem));
	CHECK_OK(blkdev_faulty_open(mem, &dev));
	sb = calloc(1, sizeof(*sb));
	CHECK(sb);
	sb->nr_blocks = le64_of(NR_BLOCKS);
	sb->high_water = le64_of(NR_BLOCKS);
	CHECK_OK(space_map_open(dev, 1, sb, &sm));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	space_map_free(sm);
	free(sb);
	blkdev_close(dev);
	return 0;
}

/* As a commit does it; the superblock stays in memory. */
static void write_slots(uint64_t txg)
{
	struct io_batch *io;

	CHECK_OK(io_batch_new(&io));
	CHECK_OK(space_map_write(sm, txg, io, sb));
	CHECK_OK(io_batch_write(io, dev));
	io_batch_free(io);
}

static void commit(uint64_t txg)
{
	write_slots(txg);
	space_map_committed(sm);
}

static void reopen(void)
{
	space_map_free(sm);
	CHECK_OK(space_map_open(dev, 1, sb, &sm));
}

static struct space_map_stat stat_now(void)
{
	struct space_map_stat st;

	space_map_stat(sm, &st);
	return st;
}

static uint32_t count_at(uint64_t blkno)
{
	uint32_t count;

	CHECK_OK(space_map_get(sm, blkno, &count));
	return count;
}

/* Allocate until there is nothing; returns how many blocks, marks them. */
static uint64_t alloc_all(uint8_t *seen)
{
	uint64_t total = 0, first;
	uint32_t got;

	while (space_map_alloc(sm, SPACE_MAP_MAX_RUN, &first, &got) == 0 ||
	       space_map_alloc(sm, 1, &first, &got) == 0) {
		for (uint64_t b = first; b < first + got; b++) {
			MUST(b < NR_BLOCKS);
			CHECK_UINT(b % REGION_BLOCKS >=
					   region_reserved(b / REGION_BLOCKS),
				   1);
			CHECK_UINT(seen[b], 0);
			seen[b] = 1;
		}
		total += got;
	}
	return total;
}

static void space_map__hands_out_each_block_once_and_none_reserved(void **state)
{
	uint8_t *seen = calloc(1, NR_BLOCKS);
	struct space_map_stat before = stat_now();
	uint64_t reserved = 0, nr;

	(void)state;
	CHECK(seen);
	for (uint64_t r = 0; r < 5; r++)
		reserved += region_reserved(r);
	CHECK_UINT(before.nr_free, NR_BLOCKS - reserved);
	nr = alloc_all(seen);
	CHECK_UINT(nr, before.nr_free - before.nr_reserve);
	free(seen);
}

/* S1, S2 */
static void space_map__freed_block_is_not_reused_before_commit(void **state)
{
	uint64_t first;
	uint32_t got;

	(void)state;
	CHECK_OK(space_map_alloc(sm, 8, &first, &got));
	CHECK_UINT(got, 8);
	space_map_claim(sm, first, 8);
	CHECK(space_map_dec(sm, NULL, NULL, first, 8));
	CHECK_UINT(stat_now().nr_deferred, 8);
	for (uint64_t b = first; b < first + 8; b++)
		CHECK_INT(space_map_take(sm, b, 1), -ENOSPC);
	write_slots(1);
	for (uint64_t b = first; b < first + 8; b++)
		CHECK_INT(space_map_take(sm, b, 1), -ENOSPC);
	space_map_committed(sm);
	CHECK_UINT(stat_now().nr_deferred, 0);
	CHECK_OK(space_map_take(sm, first, 8));
}

static void space_map__held_blocks_wait_beyond_the_commit(void **state)
{
	uint64_t first;
	uint32_t got;

	(void)state;
	CHECK_OK(space_map_alloc(sm, 8, &first, &got));
	space_map_claim(sm, first, 8);
	commit(1);
	space_map_hold(sm);
	space_map_hold(sm);
	CHECK(space_map_dec(sm, NULL, NULL, first, 8));
	commit(2);
	space_map_unhold(sm);
	commit(3);
	CHECK_UINT(stat_now().nr_deferred, 8);
	space_map_unhold(sm);
	commit(4);
	CHECK_UINT(stat_now().nr_deferred, 0);
	/* a crash while they were held leaves nothing behind */
	reopen();
	CHECK_UINT(count_at(first), 0);
}

static void space_map__unclaimed_blocks_are_free_after_a_crash(void **state)
{
	struct space_map_stat before = stat_now();
	uint64_t first, a;
	uint32_t got;

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		CHECK_OK(space_map_alloc(sm, 100, &first, &got));
	CHECK_OK(space_map_alloc(sm, 1, &a, &got));
	space_map_claim(sm, a, 1);
	commit(1);
	reopen();
	CHECK_UINT(stat_now().nr_free, before.nr_free - 1);
	CHECK_UINT(count_at(a), 1);
	CHECK_UINT(count_at(first), 0);
}

static void space_map__unalloc_gives_back_at_once(void **state)
{
	struct space_map_stat before = stat_now();
	uint64_t first;
	uint32_t got;

	(void)state;
	CHECK_OK(space_map_alloc(sm, 100, &first, &got));
	CHECK_UINT(stat_now().nr_free, before.nr_free - 100);
	space_map_unalloc(sm, first, got);
	CHECK_UINT(stat_now().nr_free, before.nr_free);
}

/* S3 */
static void space_map__a_runs_count_is_its_first_blocks(void **state)
{
	uint64_t first;
	uint32_t got;

	(void)state;
	CHECK_OK(space_map_alloc(sm, 4, &first, &got));
	space_map_claim(sm, first, 4);
	space_map_inc(sm, NULL, NULL, first);
	space_map_inc(sm, NULL, NULL, first);
	CHECK_UINT(count_at(first), 3);
	CHECK_UINT(count_at(first + 1), 1);
	CHECK_UINT(count_at(first + 3), 1);
	CHECK(!space_map_is_last(sm, NULL, NULL, first));
	CHECK(!space_map_dec(sm, NULL, NULL, first, 4));
	CHECK(!space_map_dec(sm, NULL, NULL, first, 4));
	CHECK(space_map_is_last(sm, NULL, NULL, first));
	CHECK(space_map_dec(sm, NULL, NULL, first, 4));
	for (uint64_t b = first; b < first + 4; b++)
		CHECK_UINT(count_at(b), 0);
	commit(1);
}

static bool no_memory;

void *__real_reallocarray(void *p, size_t nr, size_t size);
void *__wrap_reallocarray(void *p, size_t nr, size_t size);
void *__wrap_reallocarray(void *p, size_t nr, size_t size)
{
	return no_memory ? NULL : __real_reallocarray(p, nr, size);
}

/* S1, S2: what cannot be remembered is free after the next open. */
static void space_map__freed_blocks_need_no_memory(void **state)
{
	const uint64_t base = REGION_BLOCKS + region_reserved(1);
	const uint32_t joined = 1024, apart = 1100;
	const uint64_t nr = joined + 2 * apart;
	uint64_t before;

	(void)state;
	CHECK_UINT(sm->cap_freed, 1024);
	CHECK_OK(space_map_take(sm, base, (uint32_t)nr));
	space_map_claim(sm, base, (uint32_t)nr);
	commit(1);
	before = stat_now().nr_free;
	no_memory = true;
	/* every other one, then those between */
	for (uint32_t odd = 0; odd < 2; odd++)
		for (uint32_t i = odd; i < joined; i += 2)
			CHECK(space_map_dec(sm, NULL, NULL, base + i, 1));
	CHECK_UINT(sm->nr_freed, joined);
	log_set_sink(no_log);
	for (uint32_t i = 0; i < apart; i++)
		CHECK(space_map_dec(sm, NULL, NULL, base + joined + 1 + 2 * i,
				    1));
	CHECK_UINT(sm->nr_freed, sm->cap_freed);
	no_memory = false;
	commit(2);
	CHECK_UINT(stat_now().nr_free, before + joined + sm->cap_freed - 1);
	CHECK_OK(space_map_take(sm, base, joined));
	reopen();
	CHECK_UINT(stat_now().nr_free, before + joined + apart);
	for (uint64_t b = base; b < base + nr; b++)
		CHECK_UINT(count_at(b),
			   b >= base + joined && (b - base - joined) % 2 == 0);
}

static void space_map__counts_survive_a_reopen(void **state)
{
	struct rnd r = {1};
	uint64_t first[200];
	uint32_t want[200], got;

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		CHECK_OK(space_map_alloc(sm, 32, &first[i], &got));
		space_map_claim(sm, first[i], got);
		want[i] = 1 + (uint32_t)rnd_below(&r, 100);
		for (uint32_t k = 1; k < want[i]; k++)
			space_map_inc(sm, NULL, NULL, first[i]);
		if (i % 20 == 0)
			commit(i + 1);
	}
	commit(300);
	reopen();
	for (unsigned i = 0; i < 200; i++)
		CHECK_UINT(count_at(first[i]), want[i]);
}

/* @count: of each block but the reserved ones. */
static void counts_are(const uint8_t *count)
{
	for (uint64_t b = 0; b < NR_BLOCKS; b++)
		if (b % REGION_BLOCKS >= region_reserved(b / REGION_BLOCKS))
			CHECK_UINT(count_at(b), count[b]);
}

/* S1, S2: they are read again, and what is handed out does not depend on it. */
static void space_map__counts_that_left_memory_come_back(void **state)
{
	uint8_t *count = calloc(1, NR_BLOCKS);
	struct rnd r = {2};
	uint64_t txg = 1, memory;

	(void)state;
	CHECK(count);
	sm->counts_kept = 0;
	for (unsigned i = 0; i < 4000; i++) {
		uint64_t b = rnd_below(&r, NR_BLOCKS);
		uint32_t got;

		if (count[b] > 0 && rnd_one_in(&r, 2)) {
			const bool last = space_map_dec(sm, NULL, NULL, b, 1);

			CHECK_INT(last, --count[b] == 0);
		} else if (count[b] > 0) {
			space_map_inc(sm, NULL, NULL, b);
			count[b]++;
		} else if (space_map_alloc(sm, 1, &b, &got) == 0) {
			CHECK_UINT(count[b], 0);
			space_map_claim(sm, b, 1);
			count[b] = 1;
		}
		if (i % 50 == 0)
			commit(txg++);
	}
	/* one round ends what was in use, the next one takes it */
	commit(txg++);
	memory = stat_now().memory;
	commit(txg++);
	CHECK(stat_now().memory < memory);
	CHECK_UINT(sm->nr_counts, 0);
	counts_are(count);
	reopen();
	counts_are(count);
	free(count);
}

static void space_map__blocks_of_a_damaged_tree_change_no_count(void **state)
{
	struct space_map_stat before = stat_now();
	static const uint64_t bad[] = {0,
				       16,
				       NR_BLOCKS,
				       NR_BLOCKS + 5000,
				       UINT64_C(1) << 39,
				       2 * (uint64_t)REGION_BLOCKS};

	(void)state;
	log_set_sink(no_log);
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		space_map_inc(sm, NULL, NULL, bad[i]);
		CHECK(!space_map_dec(sm, NULL, NULL, bad[i], 32));
		CHECK(!space_map_is_last(sm, NULL, NULL, bad[i]));
	}
	/* free ones are not lowered below 0 */
	CHECK(!space_map_dec(sm, NULL, NULL, 100, 4));
	space_map_inc(sm, NULL, NULL, 100);
	CHECK_UINT(count_at(100), 0);
	commit(1);
	CHECK_UINT(stat_now().nr_free, before.nr_free);
}

static void space_map__a_run_over_the_end_stops_there(void **state)
{
	uint64_t last = NR_BLOCKS - 1;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(space_map_take(sm, last, 1));
	space_map_claim(sm, last, 1);
	CHECK(space_map_dec(sm, NULL, NULL, last, 32));
	commit(1);
}

/* -- node reservations ----------------------------------------------------------- */

static void space_map__reserved_nodes_can_always_be_taken(void **state)
{
	uint8_t *seen = calloc(1, NR_BLOCKS);
	struct space_map_stat before = stat_now();

	(void)state;
	CHECK(seen);
	CHECK_OK(space_map_reserve_nodes(sm, 500, 0));
	CHECK_UINT(stat_now().nr_free, before.nr_free - 500);
	alloc_all(seen);
	for (unsigned i = 0; i < 400; i++) {
		uint64_t b = space_map_take_node(sm);

		CHECK_UINT(seen[b], 0);
		seen[b] = 1;
	}
	space_map_unreserve_nodes(sm, 100);
	free(seen);
}

/* Every second block of regions from @first on is in use. */
static void fragment(uint64_t first, uint64_t end)
{
	for (uint64_t b = first; b < end; b += 2)
		if (b % REGION_BLOCKS >= region_reserved(b / REGION_BLOCKS))
			CHECK_OK(space_map_take(sm, b, 1));
}

/* However small the pieces, the committer gets its share of the list. */
static void space_map__the_committer_finds_blocks_in_small_pieces(void **state)
{
	uint32_t nr = 0, committer = 0;

	(void)state;
	fragment(0, NR_BLOCKS);
	while (space_map_reserve_nodes(sm, 1, 0) == 0)
		nr++;
	CHECK(nr > 1000);
	while (space_map_reserve_nodes(sm, 1, SPACE_USE_RESERVE) == 0)
		nr++;
	while (committer < 200 &&
	       space_map_reserve_nodes(sm, 1, SPACE_COMMITTER) == 0)
		committer++;
	CHECK_UINT(committer, 200);
	space_map_unreserve_nodes(sm, nr + committer);
}

/* An aged pool has no long runs; asking for one must not cost a look at all
 * of it each time. */
static void
space_map__small_pieces_are_found_without_looking_everywhere(void **state)
{
	const uint64_t nr = 300 * (uint64_t)REGION_BLOCKS;
	uint64_t first, longest = 200 * (uint64_t)REGION_BLOCKS + 101;
	uint32_t got;
	clock_t start;

	(void)state;
	CHECK_OK(blkdev_resize(dev, nr * BLOCK_SIZE, false));
	CHECK_OK(space_map_grow(sm, nr, true));
	fragment(0, nr);
	/* the only run of three */
	space_map_unalloc(sm, longest + 1, 1);
	CHECK_OK(space_map_alloc(sm, 64, &first, &got));
	CHECK_UINT(got, 3);
	CHECK_UINT(first, longest);
	/* of the processor's time, whatever else runs */
	start = clock();
	for (unsigned i = 0; i < 10000; i++) {
		CHECK_OK(space_map_alloc(sm, 64, &first, &got));
		CHECK_UINT(got, 1);
	}
	CHECK(clock() - start < 3 * CLOCKS_PER_SEC);
}

/* Data stops at the reserve, changes at its half, deletes at its quarter. */
static void
space_map__the_reserve_is_left_to_those_that_free_space(void **state)
{
	uint8_t *seen = calloc(1, NR_BLOCKS);
	uint32_t ordinary = 0, frees = 0, committer = 0;
	uint64_t reserve = stat_now().nr_reserve;

	(void)state;
	CHECK(seen);
	alloc_all(seen);
	while (space_map_reserve_nodes(sm, 1, 0) == 0)
		ordinary++;
	while (space_map_reserve_nodes(sm, 1, SPACE_USE_RESERVE) == 0)
		frees++;
	while (space_map_reserve_nodes(sm, 1, SPACE_COMMITTER) == 0)
		committer++;
	CHECK(ordinary > 0 && frees >= reserve / 8);
	CHECK(committer >= reserve / 8);
	CHECK(ordinary + frees + committer <= reserve);
	space_map_unreserve_nodes(sm, ordinary + frees + committer);
	free(seen);
}

/* -- slots ------------------------------------------------------------------------ */

/* S4: what a commit writes, the state before it does not need. */
static void space_map__the_slots_before_stay_whole(void **state)
{
	struct superblock *old = malloc(sizeof(*old));
	struct rnd r = {7};
	uint64_t first[64];
	uint32_t got;

	(void)state;
	CHECK(old);
	for (unsigned i = 0; i < 64; i++)
		first[i] = 0;
	for (uint64_t txg = 1; txg < 40; txg++) {
		uint64_t free_before;
		unsigned i = (unsigned)rnd_below(&r, 64);

		*old = *sb;
		free_before = le64_get(sb->nr_free);
		if (first[i])
			space_map_dec(sm, NULL, NULL, first[i], 1);
		CHECK_OK(space_map_alloc(sm, 1, &first[i], &got));
		space_map_claim(sm, first[i], 1);
		if (rnd_one_in(&r, 3)) {
			/* all regions */
			for (uint64_t b = 0; b < 4; b++) {
				uint64_t at = b * REGION_BLOCKS + 1000 + txg;

				CHECK_OK(space_map_take(sm, at, 1));
				space_map_claim(sm, at, 1);
			}
		}
		write_slots(txg);
		if (txg > 1) {
			struct space_map *was;
			struct space_map_stat st;
			uint32_t count;

			CHECK_OK(space_map_open(dev, 1, old, &was));
			for (uint64_t reg = 0; reg < 5; reg++)
				CHECK_OK(space_map_get(
					was, reg * REGION_BLOCKS + 50, &count));
			space_map_stat(was, &st);
			CHECK_UINT(st.nr_damaged, 0);
			CHECK_UINT(st.nr_free, free_before);
			space_map_free(was);
		}
		space_map_committed(sm);
	}
	free(old);
}

/* A slot write that the device lost is noticed, not taken for the new one. */
static void space_map__a_lost_slot_write_is_damage(void **state)
{
	uint8_t *image = blkdev_mem_data(mem), *was;
	uint64_t a, at;
	uint32_t got, count;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(space_map_alloc(sm, 1, &a, &got));
	space_map_claim(sm, a, 1);
	commit(1);
	space_map_inc(sm, NULL, NULL, a);
	commit(2);
	/* txg 3 goes to the slot of txg 1: put that back */
	at = region_counts_blkno(a / REGION_BLOCKS, 0) * BLOCK_SIZE;
	was = malloc(BLOCK_SIZE);
	CHECK(was);
	memcpy(was, image + at, BLOCK_SIZE);
	space_map_inc(sm, NULL, NULL, a);
	commit(3);
	memcpy(image + at, was, BLOCK_SIZE);
	free(was);
	reopen();
	CHECK(space_map_get(sm, a, &count) < 0);
	CHECK_UINT(stat_now().nr_damaged, 1);
}

/* S5 */
static void space_map__nothing_comes_from_a_damaged_region(void **state)
{
	uint8_t *image = blkdev_mem_data(mem);
	uint8_t *seen = calloc(1, NR_BLOCKS);
	uint64_t at = 2 * (uint64_t)REGION_BLOCKS + 100;
	uint64_t next = 3 * (uint64_t)REGION_BLOCKS + 20;
	uint32_t count;

	(void)state;
	CHECK(seen);
	log_set_sink(no_log);
	CHECK_OK(space_map_take(sm, at, 1));
	space_map_claim(sm, at, 1);
	commit(1);
	image[region_counts_blkno(2, 0) * BLOCK_SIZE + 2000] ^= 1;
	reopen();
	CHECK(space_map_get(sm, at, &count) < 0);
	CHECK_INT(space_map_take(sm, at + 1, 1), -EUCLEAN);
	alloc_all(seen);
	for (uint64_t b = 2 * (uint64_t)REGION_BLOCKS;
	     b < 3 * (uint64_t)REGION_BLOCKS; b++)
		CHECK_UINT(seen[b], 0);
	CHECK(!space_map_dec(sm, NULL, NULL, at, 1));
	/* and it stays damaged when others around it change */
	CHECK_UINT(seen[next], 1);
	space_map_claim(sm, next, 1);
	commit(2);
	reopen();
	CHECK(space_map_get(sm, at, &count) < 0);
	CHECK_UINT(count_at(next), 1);
	free(seen);
}

/* Counts leave memory in large pools; the free map then still offers it. */
static void space_map__nothing_comes_from_a_region_damaged_later(void **state)
{
	uint8_t *image = blkdev_mem_data(mem);
	uint8_t *seen = calloc(1, NR_BLOCKS);
	uint64_t at = 2 * (uint64_t)REGION_BLOCKS + 100;
	struct space_map_stat before;
	uint32_t count;

	(void)state;
	CHECK(seen);
	log_set_sink(no_log);
	CHECK_OK(space_map_take(sm, at, 1));
	space_map_claim(sm, at, 1);
	commit(1);
	free(sm->region[2]->counts);
	sm->region[2]->counts = NULL;
	sm->nr_counts--;
	image[region_counts_blkno(2, 0) * BLOCK_SIZE + 2000] ^= 1;
	before = stat_now();
	CHECK(space_map_get(sm, at, &count) < 0);
	CHECK(stat_now().nr_free + REGION_BLOCKS / 2 < before.nr_free);
	CHECK_UINT(alloc_all(seen),
		   before.nr_free - (REGION_BLOCKS - 3) - before.nr_reserve);
	for (uint64_t b = 2 * (uint64_t)REGION_BLOCKS;
	     b < 3 * (uint64_t)REGION_BLOCKS; b++)
		CHECK_UINT(seen[b], 0);
	free(seen);
}

/*
 * What was not counted while a region could not be read must not be missing
 * when it can be read again: a count too low frees what is in use.
 */
static void space_map__a_region_once_skipped_is_damaged_for_ever(void **state)
{
	uint64_t first = 2 * (uint64_t)REGION_BLOCKS + 100;
	uint32_t count;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(space_map_take(sm, first, 4));
	space_map_claim(sm, first, 4);
	commit(1);
	reopen();
	blkdev_faulty_fail(dev, BLKDEV_CALL_READ, 1, -EIO, true, false);
	space_map_inc(sm, NULL, NULL, first);
	blkdev_faulty_fail(dev, 0, 0, 0, false, false);
	commit(2);
	reopen();
	CHECK(space_map_get(sm, first, &count) < 0);
	CHECK(!space_map_dec(sm, NULL, NULL, first, 4));
}

static void space_map__a_read_that_fails_once_costs_nothing(void **state)
{
	uint64_t first = 2 * (uint64_t)REGION_BLOCKS + 100;
	uint32_t count;

	(void)state;
	CHECK_OK(space_map_take(sm, first, 4));
	space_map_claim(sm, first, 4);
	commit(1);
	/* an index block, then a region */
	blkdev_faulty_fail(dev, BLKDEV_CALL_READ, 2, -EIO, false, false);
	reopen();
	blkdev_faulty_fail(dev, BLKDEV_CALL_READ, 1, -EIO, false, false);
	space_map_inc(sm, NULL, NULL, first);
	commit(2);
	reopen();
	CHECK_UINT(stat_now().nr_damaged, 0);
	CHECK_OK(space_map_get(sm, first, &count));
	CHECK_UINT(count, 2);
}

/* The allocator leaves a region alone that the device does not read, and
 * takes it when it does. */
static void
space_map__what_the_device_does_not_read_is_not_damaged(void **state)
{
	uint64_t first;
	uint32_t got;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(space_map_alloc(sm, 1, &first, &got));
	space_map_claim(sm, first, 1);
	for (uint64_t r = 1; r < 5; r++) {
		CHECK_OK(space_map_take(sm, r * REGION_BLOCKS + 20, 1));
		space_map_claim(sm, r * REGION_BLOCKS + 20, 1);
	}
	commit(1);
	reopen();
	blkdev_faulty_fail(dev, BLKDEV_CALL_READ, 1, -EIO, true, false);
	CHECK_INT(space_map_alloc(sm, 1, &first, &got), -EIO);
	CHECK_INT(space_map_alloc(sm, 1, &first, &got), -EIO);
	blkdev_faulty_fail(dev, 0, 0, 0, false, false);
	CHECK_UINT(stat_now().nr_damaged, 0);
	CHECK_OK(space_map_alloc(sm, 1, &first, &got));
}

static void space_map__an_index_once_skipped_is_damaged_for_ever(void **state)
{
	uint64_t first = 2 * (uint64_t)REGION_BLOCKS + 100;
	uint32_t count;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(space_map_take(sm, first, 4));
	space_map_claim(sm, first, 4);
	commit(1);
	/* the second read: the level-1 block */
	blkdev_faulty_fail(dev, BLKDEV_CALL_READ, 2, -EIO, true, false);
	reopen();
	blkdev_faulty_fail(dev, 0, 0, 0, false, false);
	space_map_inc(sm, NULL, NULL, first);
	commit(2);
	reopen();
	CHECK(space_map_get(sm, first, &count) < 0);
	CHECK(!space_map_dec(sm, NULL, NULL, first, 4));
}

static void space_map__a_damaged_index_costs_its_free_space_only(void **state)
{
	uint8_t *image = blkdev_mem_data(mem);
	uint64_t first;
	uint32_t got, count;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(space_map_alloc(sm, 1, &first, &got));
	space_map_claim(sm, first, 1);
	commit(1);
	image[space_index_blkno(1, 0, 0) * BLOCK_SIZE + 100] ^= 1;
	reopen();
	CHECK_UINT(stat_now().nr_free, 0);
	CHECK_UINT(stat_now().nr_damaged, 5);
	CHECK_INT(space_map_alloc(sm, 1, &first, &got), -ENOSPC);
	CHECK(space_map_get(sm, first, &count) < 0);
}

/* A free count that lies about its region is damage, not a promise. */
static void
space_map__a_region_that_contradicts_its_index_is_damage(void **state)
{
	uint8_t *image = blkdev_mem_data(mem);
	struct space_region *reg;
	struct space_index *i1, *i2;
	uint64_t first;
	uint32_t got, count;

	(void)state;
	log_set_sink(no_log);
	CHECK_OK(space_map_alloc(sm, 1, &first, &got));
	CHECK_UINT(first / REGION_BLOCKS, 0);
	space_map_claim(sm, first, 1);
	commit(1);
	reg = (void *)(image + region_counts_blkno(0, 0) * BLOCK_SIZE);
	i1 = (void *)(image + space_index_blkno(1, 0, 0) * BLOCK_SIZE);
	i2 = (void *)(image + space_index_blkno(2, 0, 0) * BLOCK_SIZE);
	/* the superblock's own block, 'free' */
	reg->count[3] = 0;
	reg->h.csum = le64_of(
		csum_of((uint8_t *)reg + 8, BLOCK_SIZE - 8, META_SPACE_REGION));
	i1->entry[0].csum = reg->h.csum;
	i1->entry[0].nr_free = le32_of(le32_get(i1->entry[0].nr_free) + 1);
	i1->h.csum = le64_of(
		csum_of((uint8_t *)i1 + 8, BLOCK_SIZE - 8, META_SPACE_INDEX));
	i2->entry[0].csum = i1->h.csum;
	i2->h.csum = le64_of(
		csum_of((uint8_t *)i2 + 8, BLOCK_SIZE - 8, META_SPACE_INDEX));
	sb->space[0].csum = i2->h.csum;
	reopen();
	CHECK_INT(space_map_get(sm, first, &count), -EUCLEAN);
}

/* -- growing ----------------------------------------------------------------------- */

static void space_map__grown_space_is_handed_out_and_survives(void **state)
{
	uint64_t nr = 6 * (uint64_t)REGION_BLOCKS + 50;
	struct space_map_stat before = stat_now();
	uint64_t a = NR_BLOCKS - 1, b = NR_BLOCKS, c = nr - 1;

	(void)state;
	CHECK_OK(blkdev_resize(dev, nr * BLOCK_SIZE, true));
	CHECK_OK(space_map_take(sm, a, 1));
	space_map_claim(sm, a, 1);
	commit(1);
	CHECK_OK(space_map_grow(sm, nr, true));
	CHECK_UINT(stat_now().nr_free, before.nr_free - 1 + (nr - NR_BLOCKS) -
					       region_reserved(5) -
					       region_reserved(6));
	CHECK_OK(space_map_take(sm, b, 1));
	CHECK_OK(space_map_take(sm, c, 1));
	space_map_claim(sm, b, 1);
	space_map_claim(sm, c, 1);
	commit(2);
	before = stat_now();
	reopen();
	CHECK_UINT(count_at(a), 1);
	CHECK_UINT(count_at(b), 1);
	CHECK_UINT(count_at(c), 1);
	CHECK_UINT(stat_now().nr_free, before.nr_free);
	CHECK_UINT(stat_now().nr_blocks, nr);
}

/* Two 'dbs pool grow' at once: the second finds it done. */
static void space_map__never_shrinks(void **state)
{
	struct space_map_stat before = stat_now();

	(void)state;
	CHECK_OK(blkdev_resize(dev, 8 * (uint64_t)REGION_BLOCKS * BLOCK_SIZE,
			       true));
	CHECK_OK(space_map_grow(sm, 8 * (uint64_t)REGION_BLOCKS, true));
	CHECK_INT(space_map_grow(sm, 6 * (uint64_t)REGION_BLOCKS, true),
		  -EINVAL);
	CHECK_INT(space_map_grow(sm, 8 * (uint64_t)REGION_BLOCKS, true),
		  -EINVAL);
	CHECK(stat_now().nr_free > before.nr_free);
	CHECK_UINT(stat_now().nr_blocks, 8 * REGION_BLOCKS);
}

/* -- threads ------------------------------------------------------------------------ */

#define NR_THREADS 4u

static void alloc_some(void *arg)
{
	struct rnd r = {(uint64_t)(uintptr_t)arg};
	uint64_t first[50];
	uint32_t got[50];

	for (unsigned round = 0; round < 200; round++) {
		unsigned nr = 0;

		while (nr < 50 &&
		       space_map_alloc(sm, (uint32_t)rnd_between(&r, 1, 33),
				       &first[nr], &got[nr]) == 0)
			nr++;
		while (nr-- > 0)
			space_map_unalloc(sm, first[nr], got[nr]);
		if (space_map_reserve_nodes(sm, 20, 0) == 0)
			space_map_unreserve_nodes(sm, 20);
	}
}

/* The committer counts and writes meanwhile. */
static void space_map__threads_get_different_blocks(void **state)
{
	struct os_thread t[NR_THREADS] = {0};
	struct space_map_stat before = stat_now();

	(void)state;
	for (uintptr_t i = 0; i < NR_THREADS; i++)
		CHECK_OK(os_thread_start(&t[i], "alloc", alloc_some,
					 (void *)(i + 1)));
	for (uint64_t txg = 1; txg < 50; txg++) {
		uint64_t first;
		uint32_t got;

		CHECK_OK(space_map_alloc(sm, 16, &first, &got));
		space_map_claim(sm, first, got);
		commit(2 * txg);
		CHECK(space_map_dec(sm, NULL, NULL, first, got));
		commit(2 * txg + 1);
	}
	for (unsigned i = 0; i < NR_THREADS; i++)
		os_thread_join(&t[i]);
	CHECK_UINT(stat_now().nr_free, before.nr_free);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(space_map__hands_out_each_block_once_and_none_reserved),
		TEST(space_map__freed_block_is_not_reused_before_commit),
		TEST(space_map__held_blocks_wait_beyond_the_commit),
		TEST(space_map__unclaimed_blocks_are_free_after_a_crash),
		TEST(space_map__unalloc_gives_back_at_once),
		TEST(space_map__a_runs_count_is_its_first_blocks),
		TEST(space_map__counts_that_left_memory_come_back),
		TEST(space_map__freed_blocks_need_no_memory),
		TEST(space_map__counts_survive_a_reopen),
		TEST(space_map__blocks_of_a_damaged_tree_change_no_count),
		TEST(space_map__a_run_over_the_end_stops_there),
		TEST(space_map__reserved_nodes_can_always_be_taken),
		TEST(space_map__the_committer_finds_blocks_in_small_pieces),
		TEST(space_map__small_pieces_are_found_without_looking_everywhere),
		TEST(space_map__the_reserve_is_left_to_those_that_free_space),
		TEST(space_map__the_slots_before_stay_whole),
		TEST(space_map__a_lost_slot_write_is_damage),
		TEST(space_map__nothing_comes_from_a_damaged_region),
		TEST(space_map__nothing_comes_from_a_region_damaged_later),
		TEST(space_map__a_region_once_skipped_is_damaged_for_ever),
		TEST(space_map__a_read_that_fails_once_costs_nothing),
		TEST(space_map__what_the_device_does_not_read_is_not_damaged),
		TEST(space_map__an_index_once_skipped_is_damaged_for_ever),
		TEST(space_map__a_damaged_index_costs_its_free_space_only),
		TEST(space_map__a_region_that_contradicts_its_index_is_damage),
		TEST(space_map__grown_space_is_handed_out_and_survives),
		TEST(space_map__never_shrinks),
		TEST(space_map__threads_get_different_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
