/* SPDX-License-Identifier: Apache-2.0 */
#include "store/idmap.h"

#include <stdlib.h>
#include <string.h>

#include "store/os.h"
#include "store/util.h"

#define CAP_MIN 16u

void idmap_init(struct idmap *m, size_t entry_size)
{
	*m = (struct idmap){.entry_size = entry_size};
	os_random(&m->seed, sizeof(m->seed));
}

void idmap_release(struct idmap *m)
{
	free(m->entries);
	m->entries = NULL;
	m->cap = 0;
	m->nr = 0;
}

/* The finalizer of MurmurHash3. */
static uint64_t mix(uint64_t x)
{
	x ^= x >> 33;
	x *= UINT64_C(0xff51afd7ed558ccd);
	x ^= x >> 33;
	x *= UINT64_C(0xc4ceb9fe1a85ec53);
	return x ^ x >> 33;
}

static uint8_t *entry_at(const struct idmap *m, uint64_t i)
{
	return m->entries + i * m->entry_size;
}

static uint64_t entry_key(const uint8_t *entry)
{
	uint64_t key;

	memcpy(&key, entry, sizeof(key));
	return key;
}

/* Where @key is, or the free place where it belongs. */
static uint8_t *probe(const struct idmap *m, uint64_t key)
{
	uint64_t i = mix(key ^ m->seed);

	for (;; i++) {
		uint8_t *e = entry_at(m, i & (m->cap - 1));
		uint64_t k = entry_key(e);

		if (k == key || k == 0)
			return e;
	}
}

void *idmap_find(const struct idmap *m, uint64_t key)
{
	uint8_t *e;

	if (m->nr == 0 || key == 0)
		return NULL;
	e = probe(m, key);
	return entry_key(e) == key ? e : NULL;
}

static bool grow(struct idmap *m)
{
	struct idmap bigger = *m;

	bigger.cap = m->cap ? 2 * m->cap : CAP_MIN;
	bigger.entries = calloc(bigger.cap, m->entry_size);
	if (!bigger.entries)
		return false;
	for (uint64_t i = 0; i < m->cap; i++) {
		uint8_t *e = entry_at(m, i);
		uint64_t key = entry_key(e);

		if (key != 0)
			memcpy(probe(&bigger, key), e, m->entry_size);
	}
	free(m->entries);
	*m = bigger;
	return true;
}

void *idmap_add(struct idmap *m, uint64_t key, bool *added)
{
	uint8_t *e;

	dbs_assert(key != 0);
	if (m->nr >= m->cap / 4 * 3 && !grow(m))
		return NULL;
	e = probe(m, key);
	if (added)
		*added = entry_key(e) == 0;
	if (entry_key(e) == 0) {
		memcpy(e, &key, sizeof(key));
		m->nr++;
	}
	return e;
}

void *idmap_next(const struct idmap *m, const void *entry)
{
	uint64_t i = 0;

	if (entry)
		i = (uint64_t)((const uint8_t *)entry - m->entries) /
			    m->entry_size +
		    1;
	for (; i < m->cap; i++)
		if (entry_key(entry_at(m, i)) != 0)
			return entry_at(m, i);
	return NULL;
}
