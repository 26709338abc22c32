/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/uio.h>

#include "store/csum.h"
#include "tests/lib/check.h"

#define LEN 40000

static uint8_t bytes[LEN];

static int fill(void **state)
{
	uint32_t x = 12345;

	(void)state;
	for (size_t i = 0; i < LEN; i++) {
		x = x * 1664525u + 1013904223u;
		bytes[i] = (uint8_t)(x >> 24);
	}
	return 0;
}

/* Lies on disk: another value would make every pool unreadable. */
static void csum_of__is_xxh3_64_for_ever(void **state)
{
	(void)state;
	CHECK_UINT(csum_of("", 0, 0), UINT64_C(0x2d06800538d394c2));
	CHECK_UINT(csum_of("abc", 3, 0), UINT64_C(0x78af5f94892f3950));
}

static void csum_of__depends_on_the_seed_and_on_every_bit(void **state)
{
	uint8_t copy[4096];
	uint64_t sum;

	(void)state;
	memcpy(copy, bytes, sizeof(copy));
	sum = csum_of(copy, sizeof(copy), 1);
	CHECK(sum != csum_of(copy, sizeof(copy), 2));
	for (size_t bit = 0; bit < 8 * sizeof(copy); bit++) {
		uint8_t mask = (uint8_t)(1u << bit % 8);

		copy[bit / 8] ^= mask;
		CHECK(csum_of(copy, sizeof(copy), 1) != sum);
		copy[bit / 8] ^= mask;
	}
	CHECK_UINT(csum_of(copy, sizeof(copy), 1), sum);
}

static void csum_of_iov__cutting_makes_no_difference(void **state)
{
	static const size_t cuts[][2] = {
		{0, 0},	      {0, LEN},	    {1, 2},	    {100, 241},
		{4096, 8192}, {239, 39999}, {16384, 16384},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		size_t a = cuts[i][0], b = cuts[i][1];
		struct iovec iov[3] = {
			{.iov_base = bytes, .iov_len = a},
			{.iov_base = bytes + a, .iov_len = b - a},
			{.iov_base = bytes + b, .iov_len = LEN - b},
		};

		for (uint64_t seed = 0; seed < 3; seed++)
			CHECK_UINT(csum_of_iov(iov, 3, seed),
				   csum_of(bytes, LEN, seed));
		CHECK_UINT(csum_of_iov(iov, 2, 9), csum_of(bytes, b, 9));
		CHECK_UINT(csum_of_iov(iov, 1, 9), csum_of(bytes, a, 9));
	}
	CHECK_UINT(csum_of_iov(NULL, 0, 9), csum_of(bytes, 0, 9));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(csum_of__is_xxh3_64_for_ever),
		cmocka_unit_test(csum_of__depends_on_the_seed_and_on_every_bit),
		cmocka_unit_test(csum_of_iov__cutting_makes_no_difference),
	};

	return cmocka_run_group_tests(tests, fill, NULL);
}
