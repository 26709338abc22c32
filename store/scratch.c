/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scratch.c - big aligned buffers that are used over and over
 *
 * A fresh megabyte from malloc costs 256 page faults, more than writing it.
 * So a few buffers of two sizes are kept, whatever thread used them last.
 * A slot is taken and filled by one atomic exchange, so there is no lock.
 */
#include <stdlib.h>

#include "store/blkdev.h"
#include "store/record.h"
#include "store/util.h"

#define SCRATCH_SLOTS 16u

struct scratch_class {
	size_t len;
	unsigned nr_slots;
	void *slot[SCRATCH_SLOTS]; /* atomic */
};

static struct scratch_class classes[] = {
	{.len = 160u << 10, .nr_slots = 16},
	{.len = 1408u << 10, .nr_slots = 8},
};

static struct scratch_class *class_for(size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		if (len <= classes[i].len)
			return &classes[i];
	return NULL;
}

void *scratch_get(size_t len)
{
	struct scratch_class *c = class_for(len);

	if (!c)
		return blkdev_buffer_new(round_up(len, BLKDEV_ALIGN));
	for (unsigned i = 0; i < c->nr_slots; i++) {
		void *buf;

		if (!__atomic_load_n(&c->slot[i], __ATOMIC_RELAXED))
			continue;
		buf = __atomic_exchange_n(&c->slot[i], NULL, __ATOMIC_ACQUIRE);
		if (buf)
			return buf;
	}
	return blkdev_buffer_new(c->len);
}

void scratch_put(void *buf, size_t len)
{
	struct scratch_class *c = class_for(len);

	for (unsigned i = 0; buf && c && i < c->nr_slots; i++) {
		void *empty = NULL;

		if (__atomic_load_n(&c->slot[i], __ATOMIC_RELAXED))
			continue;
		if (__atomic_compare_exchange_n(&c->slot[i], &empty, buf, false,
						__ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return;
	}
	free(buf);
}
