/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty_recent.c - copies of records that were sealed a short while ago
 *
 * A redo log is written and synced in turn, a few hundred bytes at a time.
 * Each sync seals the record under way, and the next write needs it again.
 * A copy is good as long as the file's item still says what it was stored as:
 * the checksum is in the item, so nothing ever has to be invalidated.
 */
#include <stdlib.h>
#include <string.h>

#include "store/dirty_internal.h"

static void recent_drop(struct recent_record *r)
{
	free(r->data);
	*r = (struct recent_record){.len = 0};
}

/* A slot for @len bytes: the record's own, a free one, the oldest. */
static struct recent_record *recent_slot(struct dirty_cache *c, uint64_t ino,
					 uint64_t recno, size_t len)
{
	for (;;) {
		struct recent_record *oldest = NULL, *unused = NULL;
		size_t bytes = 0;

		for (unsigned i = 0; i < RECENT_SLOTS; i++) {
			struct recent_record *r = &c->recent[i];

			bytes += r->len;
			if (r->len == len && r->ino == ino && r->recno == recno)
				return r;
			if (r->len == 0)
				unused = r;
			else if (!oldest || r->used < oldest->used)
				oldest = r;
		}
		if (unused && bytes + len <= RECENT_BYTES_MAX)
			return unused;
		/* the common case: one of the same length gives its buffer */
		if (oldest->len == len)
			return oldest;
		recent_drop(oldest);
	}
}

void dirty_recent_keep(struct dirty_cache *c, uint64_t ino, uint64_t recno,
		       unsigned record_shift, const uint8_t *data,
		       const struct extent *e)
{
	size_t len = (size_t)1 << record_shift;
	struct recent_record *r = recent_slot(c, ino, recno, len);

	if (!r->data)
		r->data = malloc(len);
	if (!r->data)
		return;
	memcpy(r->data, data, len);
	r->len = len;
	r->ino = ino;
	r->recno = recno;
	r->e = *e;
	r->used = ++c->serial;
}

bool dirty_recent_read(const struct dataset *ds, uint64_t ino, uint64_t recno,
		       const struct extent *e, void *data)
{
	for (unsigned i = 0; i < RECENT_SLOTS; i++) {
		const struct recent_record *r = &ds->cache->recent[i];

		if (r->len && r->ino == ino && r->recno == recno &&
		    extent_same(&r->e, e)) {
			memcpy(data, r->data, r->len);
			return true;
		}
	}
	return false;
}

void dirty_recent_release(struct dirty_cache *c)
{
	for (unsigned i = 0; i < RECENT_SLOTS; i++)
		recent_drop(&c->recent[i]);
}
