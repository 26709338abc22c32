/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "store/compress.h"
#include "store/os.h"
#include "store/util.h"
#include "tests/lib/check.h"

#define RECORD_MAX (128u << 10)
#define GUARD	   64u

static const int levels[] = {COMPRESS_LEVEL_MIN, -5, -1, 1, 3, 5, 9, 12,
			     COMPRESS_LEVEL_MAX};

static uint8_t src[RECORD_MAX];
static uint8_t packed[RECORD_MAX];
static uint8_t back[RECORD_MAX + GUARD];

/* Something like rows: runs of a few words, and a counter between them. */
static void rows_fill(uint8_t *buf, size_t len, uint32_t seed)
{
	static const char words[8][8] = {"alpha", "beta", "gamma", "delta",
					 "eps",	  "zeta", "eta",   "theta"};
	uint32_t x = seed;

	for (size_t i = 0; i < len; i++) {
		if (i % 8 == 0)
			x = x * 1664525u + 1013904223u;
		buf[i] = (uint8_t)(i % 32 < 24 ? (uint8_t)words[x >> 29][i % 8]
					       : x >> (i % 4 * 8));
	}
}

static void noise_fill(uint8_t *buf, size_t len, uint32_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed ^= seed << 13;
		seed ^= seed >> 17;
		seed ^= seed << 5;
		buf[i] = (uint8_t)seed;
	}
}

static void compress_record__every_size_and_level_comes_back(void **state)
{
	static const size_t sizes[] = {1, 4096, 16384, RECORD_MAX};

	(void)state;
	rows_fill(src, sizeof(src), 1);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (size_t l = 0; l < ARRAY_SIZE(levels); l++) {
			size_t len = 0;

			CHECK_OK(compress_record(src, sizes[s], packed,
						 sizeof(packed), levels[l],
						 &len));
			memset(back, 0xa5, sizeof(back));
			CHECK_OK(
				decompress_record(packed, len, back, sizes[s]));
			CHECK_MEM(back, src, sizes[s]);
			for (size_t i = 0; i < GUARD; i++)
				CHECK_UINT(back[sizes[s] + i], 0xa5);
		}
	}
}

static void compress_record__what_does_not_fit_is_e2big(void **state)
{
	size_t len = 77;

	(void)state;
	noise_fill(src, 16384, 1);
	for (size_t l = 0; l < ARRAY_SIZE(levels); l++) {
		CHECK_INT(compress_record(src, 16384, packed, 12288, levels[l],
					  &len),
			  -E2BIG);
		CHECK_UINT(len, 77);
	}
	/* and the next one is none the worse for it */
	rows_fill(src, 16384, 2);
	for (size_t l = 0; l < ARRAY_SIZE(levels); l++) {
		CHECK_INT(compress_record(src, 16384, packed, 16, levels[l],
					  &len),
			  -E2BIG);
		CHECK_OK(compress_record(src, 16384, packed, 16384, levels[l],
					 &len));
		CHECK_OK(decompress_record(packed, len, back, 16384));
		CHECK_MEM(back, src, 16384);
	}
}

static void
compress_record__level_off_stores_raw_and_others_are_refused(void **state)
{
	size_t len;

	(void)state;
	CHECK_INT(compress_record(src, 4096, packed, 4096, COMPRESS_LEVEL_OFF,
				  &len),
		  -E2BIG);
	CHECK_INT(compress_record(src, 4096, packed, 4096,
				  COMPRESS_LEVEL_MAX + 1, &len),
		  -EINVAL);
	CHECK_INT(compress_record(src, 4096, packed, 4096,
				  COMPRESS_LEVEL_MIN - 1, &len),
		  -EINVAL);
}

static void decompress_record__any_other_length_is_ebadmsg(void **state)
{
	size_t len;

	(void)state;
	rows_fill(src, 16384, 3);
	CHECK_OK(compress_record(src, 16384, packed, sizeof(packed), 1, &len));
	memset(back, 0xa5, sizeof(back));
	CHECK_INT(decompress_record(packed, len, back, 16383), -EBADMSG);
	CHECK_INT(decompress_record(packed, len, back, 16385), -EBADMSG);
	CHECK_INT(decompress_record(packed, len, back, 0), -EBADMSG);
	CHECK_INT(decompress_record(packed, len + 1, back, 16384), -EBADMSG);
	for (size_t cut = 0; cut < len; cut++)
		CHECK_INT(decompress_record(packed, cut, back, 16384),
			  -EBADMSG);
	for (size_t i = 16384; i < sizeof(back); i++)
		CHECK_UINT(back[i], 0xa5);
}

/* Two frames, or a skippable one before, would decode to the same length. */
static void decompress_record__more_than_one_frame_is_ebadmsg(void **state)
{
	static const uint8_t skippable[8] = {0x50, 0x2a, 0x4d, 0x18};
	size_t first, second;

	(void)state;
	rows_fill(src, 8192, 4);
	CHECK_OK(compress_record(src, 4096, packed, 8192, 1, &first));
	CHECK_OK(compress_record(src + 4096, 4096, packed + first, 8192, 1,
				 &second));
	CHECK_INT(decompress_record(packed, first + second, back, 8192),
		  -EBADMSG);
	CHECK_INT(decompress_record(packed, first + second, back, 4096),
		  -EBADMSG);
	memmove(packed + 8, packed, first);
	memcpy(packed, skippable, 8);
	CHECK_INT(decompress_record(packed, first + 8, back, 4096), -EBADMSG);
	CHECK_INT(decompress_record(skippable, 8, back, 0), -EBADMSG);
}

/* libzstd may know its formats from before 1.0; we do not let them in. */
static void decompress_record__legacy_magic_is_ebadmsg(void **state)
{
	size_t len;

	(void)state;
	rows_fill(src, 4096, 5);
	CHECK_OK(compress_record(src, 4096, packed, 4096, 1, &len));
	for (unsigned magic = 0x1e; magic <= 0x27; magic++) {
		packed[0] = (uint8_t)magic;
		packed[1] = 0xb5;
		packed[2] = 0x2f;
		packed[3] = 0xfd;
		CHECK_INT(decompress_record(packed, len, back, 4096), -EBADMSG);
	}
}

static void decompress_record__garbled_input_stays_in_its_bounds(void **state)
{
	uint32_t x = 99;
	size_t len;

	(void)state;
	rows_fill(src, 16384, 6);
	CHECK_OK(compress_record(src, 16384, packed, sizeof(packed), 3, &len));
	for (int i = 0; i < 20000; i++) {
		uint8_t *copy = malloc(len);
		uint8_t *out = malloc(16384);
		int rc;

		MUST(copy && out);
		memcpy(copy, packed, len);
		for (int n = i % 4; n >= 0; n--) {
			x = x * 1664525u + 1013904223u;
			copy[(x >> 8) % len] ^= (uint8_t)(1u << (x & 7));
		}
		rc = decompress_record(copy, len, out, 16384);
		CHECK(rc == 0 || rc == -EBADMSG);
		free(copy);
		free(out);
	}
}

struct worker {
	struct os_thread thread;
	uint32_t seed;
	const uint8_t *want;
	size_t want_len;
	int level;
};

/* Other work first, so that the contexts have a past of their own. */
static void worker_run(void *arg)
{
	struct worker *w = arg;
	uint8_t *buf = malloc(RECORD_MAX);
	uint8_t *out = malloc(RECORD_MAX);
	size_t len;

	MUST(buf && out);
	for (uint32_t i = 0; i < 2 + w->seed % 5; i++) {
		int level = levels[(w->seed + i) % ARRAY_SIZE(levels)];

		rows_fill(buf, RECORD_MAX, w->seed * 31 + i);
		MUST(compress_record(buf, RECORD_MAX >> i % 6, out, RECORD_MAX,
				     i % 2 ? level : w->level, &len) == 0);
		(void)compress_record(buf, RECORD_MAX, out, 100, level, &len);
	}
	MUST(compress_record(src, RECORD_MAX, out, RECORD_MAX, w->level,
			     &len) == 0);
	MUST(len == w->want_len && memcmp(out, w->want, len) == 0);
	MUST(decompress_record(out, len, buf, RECORD_MAX) == 0);
	MUST(memcmp(buf, src, RECORD_MAX) == 0);
	free(buf);
	free(out);
}

static void
compress_record__output_does_not_depend_on_thread_or_past(void **state)
{
	struct worker workers[8];

	(void)state;
	rows_fill(src, RECORD_MAX, 7);
	for (size_t l = 0; l < ARRAY_SIZE(levels); l++) {
		size_t len;

		CHECK_OK(compress_record(src, RECORD_MAX, packed,
					 sizeof(packed), levels[l], &len));
		for (uint32_t i = 0; i < ARRAY_SIZE(workers); i++) {
			workers[i] = (struct worker){
				.seed = i,
				.want = packed,
				.want_len = len,
				.level = levels[l],
			};
			CHECK_OK(os_thread_start(&workers[i].thread, "worker",
						 worker_run, &workers[i]));
		}
		for (size_t i = 0; i < ARRAY_SIZE(workers); i++)
			os_thread_join(&workers[i].thread);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			compress_record__every_size_and_level_comes_back),
		cmocka_unit_test(compress_record__what_does_not_fit_is_e2big),
		cmocka_unit_test(
			compress_record__level_off_stores_raw_and_others_are_refused),
		cmocka_unit_test(
			decompress_record__any_other_length_is_ebadmsg),
		cmocka_unit_test(
			decompress_record__more_than_one_frame_is_ebadmsg),
		cmocka_unit_test(decompress_record__legacy_magic_is_ebadmsg),
		cmocka_unit_test(
			decompress_record__garbled_input_stays_in_its_bounds),
		cmocka_unit_test(
			compress_record__output_does_not_depend_on_thread_or_past),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
