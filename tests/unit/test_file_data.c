/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "store/format.h"
#include "tests/lib/file_pool.h"
#include "tests/lib/rnd.h"

#define RS  16384u
#define MAX (4u << 20)

static struct file_pool fp;
static struct rnd rnd = {.state = 42};
static uint8_t bytes[MAX], zeros[MAX], expect[MAX];

/* Bytes that compress to about a half. */
static void fill(uint8_t *buf, size_t len)
{
	rnd_fill(&rnd, buf, len);
	for (size_t i = 0; i < len; i++)
		if (i & 64)
			buf[i] = 'x';
}

static int setup(void **state)
{
	(void)state;
	file_pool_init(&fp, 128, NULL);
	fill(bytes, sizeof(bytes));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file_pool_release(&fp);
	return 0;
}

static void write__whole_records_read_back_now_and_after_reopen(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");

	(void)state;
	write_at(fp.ds, ino, 0, bytes, 1u << 20);
	write_at(fp.ds, ino, 1u << 20, bytes + (1u << 20), RS);
	read_is(fp.ds, ino, 0, bytes, (1u << 20) + RS);
	CHECK_UINT(attr_of(fp.ds, ino).size, (1u << 20) + RS);
	file_pool_reopen(&fp, false);
	read_is(fp.ds, ino, 0, bytes, (1u << 20) + RS);
	read_is(fp.ds, ino, 5000, bytes + 5000, 100000);
}

static void write__compressed_records_take_fewer_blocks(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct dataset_info info;

	(void)state;
	write_at(fp.ds, ino, 0, bytes, 1u << 20);
	info = info_of(fp.ds);
	CHECK(info.referenced < (1u << 20) * 7 / 8);
	CHECK(info.referenced > (1u << 20) / 8);
	CHECK_UINT(info.logical, 1u << 20);
	CHECK_UINT(attr_of(fp.ds, ino).blocks * 512, info.referenced);
}

/*
 * Raw records go straight into a buffer that is aligned, and by way of another
 * into one that is not; between them holes, compressed ones, short ones.
 */
static void read__is_the_same_into_any_buffer(void **state)
{
	enum { NR = 16, LEN = NR * RS };
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	uint8_t *in = blkdev_buffer_new(LEN + 2 * BLOCK_SIZE);

	(void)state;
	CHECK(in);
	memset(expect, 0, LEN);
	for (uint64_t i = 0; i < NR; i++) {
		uint8_t *r = expect + i * RS;

		if (i % 5 == 4)
			continue; /* a hole */
		if (i % 3 == 2)
			memcpy(r, bytes + i * RS, RS);
		else /* some end in a block of zeros, which is not stored */
			rnd_fill(&rnd, r, i % 2 ? RS : RS - BLOCK_SIZE);
		write_at(fp.ds, ino, i * RS, r, RS);
	}
	CHECK_OK(pool_sync(fp.pool));
	for (unsigned round = 0; round < 200; round++) {
		uint64_t unit = round % 2 ? RS : 1;
		uint64_t at = rnd_below(&rnd, LEN / unit) * unit;
		uint64_t len = (1 + rnd_below(&rnd, (LEN - at) / unit)) * unit;
		uint8_t *to = in + (round % 3 ? 0 : rnd_below(&rnd, 5000));
		size_t nr = 0;

		len = MIN_OF(len, LEN - at);
		memset(in, 0xa5, LEN + 2 * BLOCK_SIZE);
		CHECK_OK(file_read(fp.ds, ino, at, to, len, &nr));
		CHECK_UINT(nr, len);
		CHECK(memcmp(to, expect + at, len) == 0);
		CHECK_UINT(to[len], 0xa5);
	}
	free(in);
}

#define RS_SECTORS (RS / 512u)

/*
 * What was stored raw is compressed only now and then when it is written
 * again, but some time it is.
 */
static void
write__after_raw_records_compression_is_tried_sometimes(void **state)
{
	enum { NR = 64, TIMES = 200 };
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	uint64_t sectors, before;

	(void)state;
	for (uint64_t i = 0; i < NR; i++) {
		rnd_fill(&rnd, expect, RS);
		write_at(fp.ds, ino, i * RS, expect, RS);
	}
	CHECK_UINT(attr_of(fp.ds, ino).blocks, NR * RS_SECTORS);
	for (uint64_t i = 0; i < NR; i++)
		write_at(fp.ds, ino, i * RS, bytes + i * RS, RS);
	read_is(fp.ds, ino, 0, bytes, NR * RS);
	sectors = attr_of(fp.ds, ino).blocks;
	CHECK(sectors < NR * RS_SECTORS);
	CHECK(sectors > NR * RS_SECTORS * 3 / 4);
	for (uint64_t i = 0; i < NR * TIMES && sectors > 0; i++) {
		write_at(fp.ds, ino, i % NR * RS, bytes + (i + 1) % 200 * RS,
			 RS);
		before = sectors;
		sectors = attr_of(fp.ds, ino).blocks;
		CHECK(sectors <= before); /* compressed once, always */
	}
	CHECK(sectors <= NR * RS_SECTORS * 3 / 4);
}

static void write__zeros_become_a_hole(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f"), at;

	(void)state;
	write_at(fp.ds, ino, 0, bytes, 4 * RS);
	write_at(fp.ds, ino, RS, zeros, 2 * RS);
	memcpy(expect, bytes, 4 * RS);
	memset(expect + RS, 0, 2 * RS);
	read_is(fp.ds, ino, 0, expect, 4 * RS);
	CHECK_UINT(info_of(fp.ds).logical, 2 * RS);
	CHECK_OK(file_seek(fp.ds, ino, 0, SEEK_HOLE, &at));
	CHECK_UINT(at, RS);
	CHECK_OK(file_seek(fp.ds, ino, at + 10, SEEK_DATA, &at));
	CHECK_UINT(at, 3 * RS);
	CHECK_OK(file_seek(fp.ds, ino, at + 10, SEEK_HOLE, &at));
	CHECK_UINT(at, 4 * RS);
	CHECK_INT(file_seek(fp.ds, ino, 4 * RS, SEEK_DATA, &at), -ENXIO);
}

static void write__parts_of_records_are_merged(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");

	(void)state;
	memcpy(expect, bytes, 10 * RS);
	write_at(fp.ds, ino, 0, bytes, 10 * RS);
	CHECK_OK(pool_sync(fp.pool));
	for (unsigned i = 0; i < 300; i++) {
		size_t at = rnd_below(&rnd, 9 * RS);
		size_t len = rnd_between(&rnd, 1, RS + 5000);

		fill(expect + at, len);
		write_at(fp.ds, ino, at, expect + at, len);
		if (i % 50 == 20)
			CHECK_OK(pool_sync(fp.pool));
		if (i % 10 == 0)
			read_is(fp.ds, ino, 0, expect, 10 * RS);
	}
	read_is(fp.ds, ino, 0, expect, 10 * RS);
	file_pool_reopen(&fp, false);
	read_is(fp.ds, ino, 0, expect, 10 * RS);
}

static void write__appended_in_small_pieces_reads_back(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	size_t at = 0;

	(void)state;
	while (at < 600000) {
		size_t n = rnd_between(&rnd, 1, 3000);

		write_at(fp.ds, ino, at, bytes + at, n);
		at += n;
		if (rnd_one_in(&rnd, 40))
			CHECK_OK(file_fsync(fp.ds, ino));
	}
	read_is(fp.ds, ino, 0, bytes, at);
	CHECK_OK(pool_sync(fp.pool));
	read_is(fp.ds, ino, 0, bytes, at);
	file_pool_reopen(&fp, true);
	read_is(fp.ds, ino, 0, bytes, at);
}

static void write__after_fsync_survives_a_crash(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");

	(void)state;
	write_at(fp.ds, ino, 100, bytes, 700);
	CHECK_OK(file_fsync(fp.ds, ino));
	file_pool_reopen(&fp, true);
	memset(expect, 0, 100);
	memcpy(expect + 100, bytes, 700);
	read_is(fp.ds, ino, 0, expect, 800);
	CHECK_UINT(attr_of(fp.ds, ino).size, 800);
}

static void write__far_beyond_the_end_leaves_a_hole(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f"), at;
	uint64_t far = UINT64_C(5) << 40;

	(void)state;
	write_at(fp.ds, ino, 10, "abc", 3);
	write_at(fp.ds, ino, far, "xyz", 3);
	CHECK_UINT(attr_of(fp.ds, ino).size, far + 3);
	read_is(fp.ds, ino, far, "xyz", 3);
	read_is(fp.ds, ino, far - 100000, zeros, 100000);
	CHECK_OK(file_seek(fp.ds, ino, RS, SEEK_DATA, &at));
	CHECK_UINT(at, far / RS * RS);
	CHECK_INT(file_write(fp.ds, ino, FILE_SIZE_MAX, "a", 1, 0), -EFBIG);
}

static void write__many_dirty_records_stay_within_the_cache(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");

	(void)state;
	memset(expect, 0, 250 * RS);
	for (unsigned i = 0; i < 250; i++) {
		write_at(fp.ds, ino, i * RS + 100, bytes + i, 1000);
		memcpy(expect + i * RS + 100, bytes + i, 1000);
	}
	read_is(fp.ds, ino, 0, expect, 249 * RS + 1100);
	CHECK_OK(pool_sync(fp.pool));
	read_is(fp.ds, ino, 0, expect, 249 * RS + 1100);
}

static void truncate__cut_bytes_read_as_zeros_when_it_grows_again(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");

	(void)state;
	memcpy(expect, bytes, 3 * RS);
	write_at(fp.ds, ino, 0, bytes, 3 * RS);
	set_size(fp.ds, ino, RS + 1000);
	memset(expect + RS + 1000, 0, 2 * RS - 1000);
	set_size(fp.ds, ino, 3 * RS);
	read_is(fp.ds, ino, 0, expect, 3 * RS);
	file_pool_reopen(&fp, false);
	read_is(fp.ds, ino, 0, expect, 3 * RS);
	CHECK_UINT(info_of(fp.ds).logical, 2 * RS);
}

static void truncate__of_a_dirty_tail_keeps_what_is_before(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");

	(void)state;
	write_at(fp.ds, ino, 0, bytes, 1000);
	set_size(fp.ds, ino, 400);
	write_at(fp.ds, ino, 2 * RS, bytes, 10);
	set_size(fp.ds, ino, 500);
	memcpy(expect, bytes, 400);
	memset(expect + 400, 0, 100);
	read_is(fp.ds, ino, 0, expect, 500);
	CHECK_OK(pool_sync(fp.pool));
	read_is(fp.ds, ino, 0, expect, 500);
}

static void truncate__of_many_leaves_gives_all_blocks_back(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	uint64_t before;

	(void)state;
	CHECK_OK(pool_sync(fp.pool));
	before = info_of(fp.ds).referenced;
	/* a record in each 64 KiB: thousands of items, many leaves */
	for (uint64_t i = 0; i < 2000; i++)
		write_at(fp.ds, ino, i * 65536, bytes + i, RS);
	CHECK_UINT(info_of(fp.ds).logical, 2000u * RS);
	set_size(fp.ds, ino, 65536 + 100);
	CHECK_UINT(info_of(fp.ds).logical, 2 * RS);
	read_is(fp.ds, ino, 65536, bytes + 1, 100);
	set_size(fp.ds, ino, 2000 * 65536);
	read_is(fp.ds, ino, 10 * 65536, zeros, RS);
	write_at(fp.ds, ino, 10 * 65536, bytes, RS);
	set_size(fp.ds, ino, 0);
	CHECK_UINT(info_of(fp.ds).logical, 0);
	CHECK_UINT(info_of(fp.ds).referenced, before);
	CHECK_UINT(attr_of(fp.ds, ino).blocks, 0);
}

static void truncate__sets_other_attributes_in_the_same_step(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	struct file_attr attr = {
		.size = 77,
		.mode = 0600,
		.mtime = {.tv_sec = 12, .tv_nsec = 34},
	};
	struct file_attr out;

	(void)state;
	CHECK_OK(file_setattr(fp.ds, ino,
			      FILE_SET_SIZE | FILE_SET_MODE | FILE_SET_MTIME,
			      &attr, &out));
	CHECK_UINT(out.size, 77);
	CHECK_UINT(out.mode, S_IFREG | 0600);
	CHECK_INT(out.mtime.tv_sec, 12);
	CHECK_INT(out.mtime.tv_nsec, 34);
	CHECK_INT(file_setattr(fp.ds, INO_ROOT, FILE_SET_SIZE, &attr, NULL),
		  -EISDIR);
}

static void fallocate__punched_and_zeroed_ranges_read_as_zeros(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	(void)state;
	memcpy(expect, bytes, MAX);
	for (unsigned i = 0; i < 4; i++)
		write_at(fp.ds, ino, i << 20, bytes + (i << 20), 1u << 20);
	for (unsigned i = 0; i < 60; i++) {
		size_t at = rnd_below(&rnd, MAX - 200000);
		size_t len = rnd_between(&rnd, 1, 100000);

		CHECK_OK(file_fallocate(fp.ds, ino,
					i % 2 ? punch : FALLOC_FL_ZERO_RANGE,
					at, len, 0));
		memset(expect + at, 0, len);
		at = rnd_below(&rnd, MAX - 200000);
		write_at(fp.ds, ino, at, bytes, len);
		memcpy(expect + at, bytes, len);
	}
	read_is(fp.ds, ino, 0, expect, MAX);
	CHECK_UINT(attr_of(fp.ds, ino).size, MAX);
	CHECK_OK(file_fallocate(fp.ds, ino, punch, 0, UINT64_C(1) << 40, 0));
	CHECK_UINT(attr_of(fp.ds, ino).size, MAX);
	read_is(fp.ds, ino, 0, zeros, MAX);
	CHECK_UINT(info_of(fp.ds).logical, 0);
}

static void
fallocate__mode_zero_and_keep_size_change_only_the_size(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");

	(void)state;
	write_at(fp.ds, ino, 0, "abc", 3);
	CHECK_OK(file_fallocate(fp.ds, ino, FALLOC_FL_KEEP_SIZE, 0, 5000, 0));
	CHECK_UINT(attr_of(fp.ds, ino).size, 3);
	CHECK_OK(file_fallocate(fp.ds, ino, 0, 1000, 5000, 0));
	CHECK_UINT(attr_of(fp.ds, ino).size, 6000);
	CHECK_OK(file_fallocate(fp.ds, ino, 0, 0, 10, 0));
	CHECK_UINT(attr_of(fp.ds, ino).size, 6000);
	CHECK_OK(file_fallocate(fp.ds, ino, FALLOC_FL_ZERO_RANGE, 1, 9000, 0));
	CHECK_UINT(attr_of(fp.ds, ino).size, 9001);
	read_is(fp.ds, ino, 0, "a\0\0\0", 4);
	CHECK_INT(
		file_fallocate(fp.ds, ino, FALLOC_FL_COLLAPSE_RANGE, 0, RS, 0),
		-EOPNOTSUPP);
	CHECK_INT(file_fallocate(fp.ds, ino, 0, 0, 0, 0), -EINVAL);
}

static void copy__aligned_records_are_shared(void **state)
{
	uint64_t a = make_file(fp.ds, INO_ROOT, "a");
	uint64_t b = make_file(fp.ds, INO_ROOT, "b");
	struct pool_stat before, after;
	uint64_t copied;

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		write_at(fp.ds, a, i << 20, bytes + (i << 20), 1u << 20);
	set_size(fp.ds, a, MAX - 100);
	CHECK_OK(pool_sync(fp.pool));
	pool_stat(fp.pool, &before);
	CHECK_OK(file_copy(fp.ds, a, 0, fp.ds, b, 0, UINT64_MAX / 4, 0,
			   &copied));
	CHECK_UINT(copied, MAX - 100);
	CHECK_OK(pool_sync(fp.pool));
	pool_stat(fp.pool, &after);
	CHECK(after.allocated - before.allocated < 200000);
	CHECK_UINT(attr_of(fp.ds, b).size, MAX - 100);
	read_is(fp.ds, b, 0, bytes, MAX - 100);
	/* each goes its own way from here on */
	write_at(fp.ds, a, 5, "hello", 5);
	read_is(fp.ds, b, 0, bytes, 100);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "a", 1, NULL));
	CHECK_OK(pool_sync(fp.pool));
	read_is(fp.ds, b, 0, bytes, MAX - 100);
	/* once more onto itself: the same runs again */
	CHECK_OK(
		file_copy(fp.ds, b, 0, fp.ds, b, 8u << 20, RS * 4, 0, &copied));
	CHECK_OK(
		file_copy(fp.ds, b, 0, fp.ds, b, 8u << 20, RS * 4, 0, &copied));
	read_is(fp.ds, b, 8u << 20, bytes, RS * 4);
}

static void copy__unaligned_ranges_are_copied(void **state)
{
	uint64_t a = make_file(fp.ds, INO_ROOT, "a");
	uint64_t b = make_file(fp.ds, INO_ROOT, "b");
	uint64_t copied;

	(void)state;
	write_at(fp.ds, a, 0, bytes, 1u << 20);
	write_at(fp.ds, a, 700, "dirty", 5);
	memcpy(bytes + 700, "dirty", 5);
	CHECK_OK(file_copy(fp.ds, a, 100, fp.ds, b, 50, 300000, 0, &copied));
	CHECK_UINT(copied, 300000);
	read_is(fp.ds, b, 50, bytes + 100, 300000);
	CHECK_OK(file_copy(fp.ds, a, 100, fp.ds, b, 100 + 2 * RS, 300000, 0,
			   &copied));
	CHECK_UINT(copied, 300000);
	read_is(fp.ds, b, 100 + 2 * RS, bytes + 100, 300000);
	CHECK_INT(file_copy(fp.ds, a, 0, fp.ds, a, 10, 100, 0, &copied),
		  -EINVAL);
	CHECK_OK(file_copy(fp.ds, a, 2u << 20, fp.ds, b, 0, 10, 0, &copied));
	CHECK_UINT(copied, 0);
}

static void copy__from_a_snapshot_outlives_it(void **state)
{
	uint64_t a = make_file(fp.ds, INO_ROOT, "a");
	uint64_t b = make_file(fp.ds, INO_ROOT, "b");
	struct dataset *snap;
	uint64_t copied;
	uint32_t id;

	(void)state;
	write_at(fp.ds, a, 0, bytes, 20 * RS + 77);
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, &id));
	CHECK_OK(dataset_open_id(fp.pool, id, &snap));
	set_size(fp.ds, a, 0);
	CHECK_OK(file_copy(snap, a, 0, fp.ds, b, 0, 1u << 20, 0, &copied));
	CHECK_UINT(copied, 20 * RS + 77);
	CHECK_INT(file_write(snap, a, 0, "x", 1, 0), -EROFS);
	CHECK_OK(dataset_destroy(snap, 0));
	dataset_put(snap);
	CHECK_OK(pool_wait_reaped(fp.pool));
	read_is(fp.ds, b, 0, bytes, 20 * RS + 77);
}

static void snapshot__keeps_dirty_records_as_they_were(void **state)
{
	uint64_t a = make_file(fp.ds, INO_ROOT, "a");
	struct dataset *snap;
	uint32_t id;

	(void)state;
	write_at(fp.ds, a, 0, bytes, 5000);
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, &id));
	write_at(fp.ds, a, 100, "changed", 7);
	CHECK_OK(dataset_open_id(fp.pool, id, &snap));
	read_is(snap, a, 0, bytes, 5000);
	read_is(fp.ds, a, 100, "changed", 7);
	CHECK_OK(pool_sync(fp.pool));
	read_is(snap, a, 0, bytes, 5000);
	read_is(fp.ds, a, 100, "changed", 7);
	dataset_put(snap);
}

static void restore__forgets_dirty_records(void **state)
{
	uint64_t a = make_file(fp.ds, INO_ROOT, "a");
	struct dataset *snap;
	uint32_t id;

	(void)state;
	write_at(fp.ds, a, 0, bytes, 5000);
	CHECK_OK(dataset_snapshot(fp.ds, "s", false, &id));
	CHECK_OK(dataset_open_id(fp.pool, id, &snap));
	write_at(fp.ds, a, 100, "changed", 7);
	write_at(fp.ds, a, 10 * RS, "changed", 7);
	CHECK_OK(dataset_restore(fp.ds, snap, NULL, 0));
	read_is(fp.ds, a, 0, bytes, 5000);
	CHECK_UINT(attr_of(fp.ds, a).size, 5000);
	dataset_put(snap);
}

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static void read__a_damaged_record_is_an_error_and_counted(void **state)
{
	uint64_t ino = make_file(fp.ds, INO_ROOT, "f");
	uint8_t *image, *found;
	struct pool_stat st;
	uint8_t buf[100];
	size_t n;

	(void)state;
	/* does not compress, so that it can be found on the device */
	rnd_fill(&rnd, expect, 2 * RS);
	write_at(fp.ds, ino, 0, expect, 2 * RS);
	CHECK_OK(pool_sync(fp.pool));
	image = blkdev_mem_data(fp.mem);
	found = memmem(image, fp.mem->size, expect, 512);
	CHECK(found);
	found[100] ^= 1;
	log_set_sink(no_log);
	CHECK_INT(file_read(fp.ds, ino, 0, buf, sizeof(buf), &n), -EIO);
	CHECK_INT(file_write(fp.ds, ino, 10, buf, 10, 0), -EIO);
	log_set_sink(NULL);
	pool_stat(fp.pool, &st);
	CHECK_UINT(st.nr_errors, 2);
	read_is(fp.ds, ino, RS, expect + RS, RS);
	/* written as a whole it is good again */
	write_at(fp.ds, ino, 0, bytes, RS);
	read_is(fp.ds, ino, 0, bytes, RS);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(write__whole_records_read_back_now_and_after_reopen),
		T(write__compressed_records_take_fewer_blocks),
		T(read__is_the_same_into_any_buffer),
		T(write__after_raw_records_compression_is_tried_sometimes),
		T(write__zeros_become_a_hole),
		T(write__parts_of_records_are_merged),
		T(write__appended_in_small_pieces_reads_back),
		T(write__after_fsync_survives_a_crash),
		T(write__far_beyond_the_end_leaves_a_hole),
		T(write__many_dirty_records_stay_within_the_cache),
		T(truncate__cut_bytes_read_as_zeros_when_it_grows_again),
		T(truncate__of_a_dirty_tail_keeps_what_is_before),
		T(truncate__of_many_leaves_gives_all_blocks_back),
		T(truncate__sets_other_attributes_in_the_same_step),
		T(fallocate__punched_and_zeroed_ranges_read_as_zeros),
		T(fallocate__mode_zero_and_keep_size_change_only_the_size),
		T(copy__aligned_records_are_shared),
		T(copy__unaligned_ranges_are_copied),
		T(copy__from_a_snapshot_outlives_it),
		T(snapshot__keeps_dirty_records_as_they_were),
		T(restore__forgets_dirty_records),
		T(read__a_damaged_record_is_an_error_and_counted),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
