/* SPDX-License-Identifier: Apache-2.0 */
/*
 * le.h - little-endian integers as they lie on disk
 *
 * Below: nothing.  Above: format.h and everything that reads or writes it.
 *
 * The types are byte arrays, so they have no alignment, no padding, and
 * cannot be used unconverted by accident.
 */
#ifndef DBS_STORE_LE_H
#define DBS_STORE_LE_H

#include <stdint.h>
#include <string.h>

struct le16 {
	uint8_t b[2];
};
struct le24 {
	uint8_t b[3];
};
struct le32 {
	uint8_t b[4];
};
struct le40 {
	uint8_t b[5];
};
struct le64 {
	uint8_t b[8];
};

#define LE40_MAX ((UINT64_C(1) << 40) - 1)

static inline uint64_t le_load(const uint8_t *b, unsigned n)
{
	uint64_t v = 0;

	for (unsigned i = n; i-- > 0;)
		v = v << 8 | b[i];
	return v;
}

static inline void le_store(uint8_t *b, unsigned n, uint64_t v)
{
	for (unsigned i = 0; i < n; i++) {
		b[i] = (uint8_t)v;
		v >>= 8;
	}
}

static inline uint16_t le16_get(struct le16 v)
{
	return (uint16_t)le_load(v.b, 2);
}
static inline uint32_t le24_get(struct le24 v)
{
	return (uint32_t)le_load(v.b, 3);
}
static inline uint32_t le32_get(struct le32 v)
{
	return (uint32_t)le_load(v.b, 4);
}
static inline uint64_t le40_get(struct le40 v)
{
	return le_load(v.b, 5);
}
static inline uint64_t le64_get(struct le64 v)
{
	return le_load(v.b, 8);
}

static inline struct le16 le16_of(uint16_t v)
{
	struct le16 r;

	le_store(r.b, 2, v);
	return r;
}
static inline struct le24 le24_of(uint32_t v)
{
	struct le24 r;

	le_store(r.b, 3, v);
	return r;
}
static inline struct le32 le32_of(uint32_t v)
{
	struct le32 r;

	le_store(r.b, 4, v);
	return r;
}
static inline struct le40 le40_of(uint64_t v)
{
	struct le40 r;

	le_store(r.b, 5, v);
	return r;
}
static inline struct le64 le64_of(uint64_t v)
{
	struct le64 r;

	le_store(r.b, 8, v);
	return r;
}

#endif
