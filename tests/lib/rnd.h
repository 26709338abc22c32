/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rnd.h - the tests' random numbers: the same from a seed on every machine
 *
 * Below: nothing.  Above: every test that takes a seed.
 *
 * Source: Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", OOPSLA 2014 (splitmix64).
 */
#ifndef DBS_TESTS_RND_H
#define DBS_TESTS_RND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rnd {
	uint64_t state;
};

static inline uint64_t rnd_next(struct rnd *r)
{
	uint64_t z;

	r->state += UINT64_C(0x9e3779b97f4a7c15);
	z = r->state;
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/** A number in [0, n); 0 when @n is 0. */
static inline uint64_t rnd_below(struct rnd *r, uint64_t n)
{
	return n ? rnd_next(r) % n : 0;
}

/** A number in [from, to). */
static inline uint64_t rnd_between(struct rnd *r, uint64_t from, uint64_t to)
{
	return from + rnd_below(r, to - from);
}

static inline bool rnd_one_in(struct rnd *r, uint64_t n)
{
	return rnd_below(r, n) == 0;
}

static inline void rnd_fill(struct rnd *r, void *buf, size_t len)
{
	uint8_t *p = buf;

	while (len) {
		const uint64_t v = rnd_next(r);
		const size_t n = len < sizeof(v) ? len : sizeof(v);

		memcpy(p, &v, n);
		p += n;
		len -= n;
	}
}

#endif
