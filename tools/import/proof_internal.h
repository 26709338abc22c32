/* SPDX-License-Identifier: Apache-2.0 */
/* proof_internal.h - what proof.c and proof_scan.c share */
#ifndef DBS_TOOLS_IMPORT_PROOF_INTERNAL_H
#define DBS_TOOLS_IMPORT_PROOF_INTERNAL_H

#include <string.h>

#include "tools/import/proof.h"

#define GRAM_BYTES  6u
#define FILTER_BITS 25u /* 4 MiB, near a core: of grams of text */
#define RESULT_BITS 26u /* 8 MiB: of results */
#define RECENT	    4096u
#define PENDING	    32u

/* A value that is looked for; hash 0: a free place. */
struct proof_entry {
	uint64_t hash;
	uint64_t gram; /* how it begins, mixed */
	uint32_t word; /* where its grams are; 0: it is no word */
	uint16_t column;
	uint8_t len; /* of what was hashed */
	bool left_out;
};

/* Which lengths values with this beginning have. */
struct proof_begin {
	uint64_t gram;	  /* mixed; 0: a free place */
	uint64_t lengths; /* bit of len - 1 */
};

struct proof_column {
	char *name;
	bool city, dense, latin1;
};

struct proof {
	uint64_t key, seed; /* odd; of the hashes */
	struct proof_column *columns;
	unsigned nr_columns;
	struct proof_entry *entries;
	size_t cap, nr; /* cap: a power of two */
	unsigned level; /* only hashes with so many zeros at their top stay */
	uint64_t *filter, *results;
	/* of each word: how many, then their bits in the filter */
	uint32_t *grams;
	size_t nr_grams, cap_grams;
	uint32_t recent[RECENT];   /* places in the filter that have a bit */
	uint32_t pending[PENDING]; /* that will have one */
	unsigned nr_pending;
	char tail[GRAM_BYTES]; /* of the row's text so far */
	size_t nr_tail;
	/* of the scan; made anew by proof_prepare() */
	struct proof_begin *begins;
	size_t cap_begins;
	uint64_t *bitmap; /* of six bytes */
	unsigned bitmap_bits;
	uint64_t *first; /* of four bytes; fits into a core's own cache */
	unsigned first_bits;
	uint32_t first_key; /* odd */
	struct proof_stats stats;
};

/* Of six bytes in the upper ones of @x. */
static inline uint64_t proof_mix(uint64_t x, uint64_t key)
{
	return (x ^ (x >> 29)) * key;
}

/* Six bytes at @p of eight that can be read, mixed by the key. */
static inline uint64_t proof_gram(const struct proof *proof, const void *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return proof_mix(x << 16,
			 proof->key); /* little endian: the first six */
}

/* Of four bytes, as a place in a map of so many bits. */
static inline uint32_t proof_first(uint32_t four, uint32_t key, unsigned bits)
{
	return (four * key) >> (32 - bits);
}

static inline bool proof_bit(const uint64_t *map, uint64_t at)
{
	return map[at >> 6] >> (at & 63) & 1;
}

static inline void proof_set(uint64_t *map, uint64_t at)
{
	map[at >> 6] |= UINT64_C(1) << (at & 63);
}

uint64_t proof_hash(const struct proof *proof, const void *p, size_t len);
/** The value with this hash, or a free place. */
struct proof_entry *proof_find(const struct proof *proof, uint64_t hash);
/** What begins so, or a free place; after proof_prepare(). */
struct proof_begin *proof_begin(const struct proof *proof, uint64_t gram);
/** Make ready for a scan: leave out words and results, build the bitmap. */
int proof_prepare(struct proof *proof);

#endif
