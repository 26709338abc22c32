/* SPDX-License-Identifier: Apache-2.0 */
#include <stdalign.h>
#include <stdlib.h>

#include "tools/import/sql_table.h"

#define CHUNK 4096u

struct sql_arena {
	struct sql_arena *next;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

void *sql_arena_alloc(struct sql_arena **arena, size_t len)
{
	struct sql_arena *a = *arena;
	void *p;

	len = (len + sizeof(max_align_t) - 1) & ~(sizeof(max_align_t) - 1);
	if (!a || a->size - a->used < len) {
		const size_t size = len > CHUNK / 4 ? len : CHUNK;

		a = calloc(1, sizeof(*a) + size);
		if (!a)
			return NULL;
		a->size = size;
		/* what is left of the newest goes on being used */
		if (*arena && size == len) {
			a->next = (*arena)->next;
			(*arena)->next = a;
		} else {
			a->next = *arena;
			*arena = a;
		}
	}
	p = a->bytes + a->used;
	a->used += len;
	return p;
}

char *sql_arena_text(struct sql_arena **arena, const char *p, size_t len)
{
	char *copy = sql_arena_alloc(arena, len + 1);

	if (copy && len > 0)
		memcpy(copy, p, len);
	return copy;
}

void sql_arena_free(struct sql_arena *arena)
{
	while (arena) {
		struct sql_arena *next = arena->next;

		free(arena);
		arena = next;
	}
}
