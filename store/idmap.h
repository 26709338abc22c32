/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idmap.h - a hash table from nonzero numbers to small structs
 *
 * Below: libc.  Above: check, diff, unique: those that walk whole trees.
 *
 * Numbers come from disk, so the hash is seeded: nobody outside can choose
 * ones that collide.  Not thread-safe.
 */
#ifndef DBS_STORE_IDMAP_H
#define DBS_STORE_IDMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct idmap {
	size_t entry_size;
	uint8_t *entries; /* NULL while empty; key 0: unused */
	uint64_t cap;	  /* a power of two */
	uint64_t nr;
	uint64_t seed;
};

/** @entry_size: of structs whose first member is the uint64_t key. */
void idmap_init(struct idmap *m, size_t entry_size);
void idmap_release(struct idmap *m);

/** The entry of @key, NULL if there is none; stays put until an add. */
void *idmap_find(const struct idmap *m, uint64_t key);
/**
 * The entry of @key; a new one is zero but for the key.
 * @added: out, may be NULL: it is new
 * Returns NULL without memory.
 */
void *idmap_add(struct idmap *m, uint64_t key, bool *added);
/** The entry after @entry in no order, the first for NULL; NULL at the end. */
void *idmap_next(const struct idmap *m, const void *entry);

#endif
