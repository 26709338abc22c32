/* SPDX-License-Identifier: Apache-2.0 */
#include "store/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/compress.h"
#include "store/csum.h"
#include "store/pool_internal.h"
#include "store/util.h"

#define META_BLOCKS_MASK    0x1fu
#define META_ENCODING_SHIFT 5u
#define ZSTD_HEADER	    sizeof(struct le32)
/* pieces too short for a record that are kept out of the way meanwhile */
#define REJECTS_MAX 32u

int extent_load(const uint8_t *value, size_t len, unsigned record_shift,
		struct extent *e)
{
	struct extent_item item;

	if (len != sizeof(item))
		return -EUCLEAN;
	memcpy(&item, value, sizeof(item));
	*e = (struct extent){
		.present = true,
		.blkno = le40_get(item.blkno),
		.csum = le64_get(item.csum),
		.birth = le40_get(item.birth),
		.nr_blocks = (item.meta & META_BLOCKS_MASK) + 1u,
		.encoding = (uint8_t)(item.meta >> META_ENCODING_SHIFT),
	};
	if (e->blkno == 0) {
		e->nr_blocks = 0;
		return 0;
	}
	if (e->nr_blocks > UINT32_C(1) << (record_shift - BLOCK_SHIFT))
		return -EUCLEAN;
	if (e->encoding != EXTENT_RAW && e->encoding != EXTENT_ZSTD)
		return -EUCLEAN;
	return 0;
}

struct extent_item extent_store(const struct extent *e)
{
	struct extent_item item = {
		.blkno = le40_of(e->blkno),
		.csum = le64_of(e->csum),
		.birth = le40_of(e->birth),
	};

	dbs_assert(e->nr_blocks <= RECORD_BLOCKS_MAX);
	dbs_assert((e->nr_blocks == 0) == (e->blkno == 0));
	if (e->nr_blocks)
		item.meta =
			(uint8_t)((e->nr_blocks - 1) |
				  (unsigned)e->encoding << META_ENCODING_SHIFT);
	return item;
}

bool extent_same(const struct extent *a, const struct extent *b)
{
	return a->blkno == b->blkno && a->csum == b->csum &&
	       a->nr_blocks == b->nr_blocks && a->encoding == b->encoding;
}

bool record_is_zero(const void *buf, size_t len)
{
	const uint8_t *b = buf;

	if (len == 0)
		return true;
	/* each byte equals the one before it, and the first is 0 */
	return b[0] == 0 && memcmp(b, b + 1, len - 1) == 0;
}

uint32_t record_raw_blocks(const void *buf, size_t len)
{
	const uint8_t *b = buf;
	size_t nr = len / BLOCK_SIZE;

	while (nr > 0 && record_is_zero(b + (nr - 1) * BLOCK_SIZE, BLOCK_SIZE))
		nr--;
	return (uint32_t)nr;
}

/* Compress to at most all blocks but one; false: it does not pay. */
static bool encode_zstd(const void *src, size_t len, int level, uint8_t *out,
			struct extent *e)
{
	size_t cap, clen, stored;
	struct le32 header;

	if (len < 2 * BLOCK_SIZE)
		return false;
	cap = len - BLOCK_SIZE - ZSTD_HEADER;
	if (compress_record(src, len, out + ZSTD_HEADER, cap, level, &clen))
		return false;
	header = le32_of((uint32_t)clen);
	memcpy(out, &header, sizeof(header));
	stored = round_up(ZSTD_HEADER + clen, BLOCK_SIZE);
	memset(out + ZSTD_HEADER + clen, 0, stored - ZSTD_HEADER - clen);
	e->nr_blocks = (uint32_t)(stored / BLOCK_SIZE);
	e->encoding = EXTENT_ZSTD;
	return true;
}

void record_encode(const void *src, unsigned record_shift, int level, void *out,
		   struct extent *e)
{
	size_t len = (size_t)1 << record_shift;
	uint32_t nr_raw;

	*e = (struct extent){.encoding = EXTENT_RAW};
	nr_raw = record_raw_blocks(src, len);
	if (nr_raw == 0)
		return;
	if (nr_raw == 1 || !encode_zstd(src, len, level, out, e) ||
	    e->nr_blocks >= nr_raw) {
		e->nr_blocks = nr_raw;
		e->encoding = EXTENT_RAW;
		memcpy(out, src, (size_t)nr_raw * BLOCK_SIZE);
	}
	e->csum = csum_of(out, (size_t)e->nr_blocks * BLOCK_SIZE, META_RECORD);
}

int record_check(const struct extent *e, const void *in)
{
	size_t len = (size_t)e->nr_blocks * BLOCK_SIZE;

	return csum_of(in, len, META_RECORD) == e->csum ? 0 : -EBADMSG;
}

int record_decode(const struct extent *e, const void *in, unsigned record_shift,
		  void *out)
{
	size_t len = (size_t)1 << record_shift;
	size_t stored = (size_t)e->nr_blocks * BLOCK_SIZE;
	struct le32 header;
	uint32_t clen;

	if (e->encoding == EXTENT_RAW) {
		memcpy(out, in, stored);
		memset((uint8_t *)out + stored, 0, len - stored);
		return 0;
	}
	memcpy(&header, in, sizeof(header));
	clen = le32_get(header);
	if (clen == 0 || clen > stored - ZSTD_HEADER)
		return -EBADMSG;
	return decompress_record((const uint8_t *)in + ZSTD_HEADER, clen, out,
				 len);
}

/* Pieces that were too short, held until a long enough one is found. */
struct rejects {
	uint64_t first[REJECTS_MAX];
	uint32_t nr[REJECTS_MAX];
	uint32_t count;
};

static void rejects_release(struct space_map *sm, struct rejects *r)
{
	for (uint32_t i = 0; i < r->count; i++)
		space_map_unalloc(sm, r->first[i], r->nr[i]);
	r->count = 0;
}

/*
 * A piece of at least @min, at most @want blocks.  Pieces that are too short
 * go to @r.
 */
static int alloc_piece(struct pool *pool, uint32_t min, uint32_t want,
		       unsigned flags, struct rejects *r, uint64_t *first,
		       uint32_t *got)
{
	struct space_map *sm = pool_space(pool);

	for (bool waited = false;;) {
		int rc = flags & OP_USE_RESERVE
				 ? space_map_alloc_reserve(sm, want, first, got)
				 : space_map_alloc(sm, want, first, got);

		if (rc)
			return rc;
		if (*got >= min)
			return 0;
		if (r->count < REJECTS_MAX) {
			r->first[r->count] = *first;
			r->nr[r->count++] = *got;
			continue;
		}
		space_map_unalloc(sm, *first, *got);
		rejects_release(sm, r);
		/* longer ones may come back with the commit, or be reaped */
		rc = waited ? -ENOSPC : pool_wait_space(pool);
		if (rc < 0)
			return -ENOSPC;
		waited = rc == 0;
	}
}

int record_alloc(struct pool *pool, uint32_t nr, unsigned flags,
		 uint64_t *first)
{
	struct space_map *sm = pool_space(pool);
	struct rejects r = {.count = 0};
	uint32_t got;
	int rc = alloc_piece(pool, nr, nr, flags, &r, first, &got);

	rejects_release(sm, &r);
	return rc;
}

int record_alloc_many(struct pool *pool, struct extent *e, uint32_t nr)
{
	struct space_map *sm = pool_space(pool);
	struct rejects r = {.count = 0};
	uint32_t left = 0, got = 0, i;
	uint64_t first = 0;
	int rc = 0;

	for (i = 0; i < nr; i++)
		left += e[i].nr_blocks;
	for (i = 0; i < nr; i++) {
		uint32_t want = e[i].nr_blocks;

		if (want == 0)
			continue;
		if (got < want) {
			if (got)
				space_map_unalloc(sm, first, got);
			got = 0;
			rc = alloc_piece(pool, want,
					 MIN_OF(left, SPACE_MAP_MAX_RUN), 0, &r,
					 &first, &got);
			if (rc) {
				/* what it got was a reject */
				got = 0;
				break;
			}
		}
		e[i].blkno = first;
		first += want;
		got -= want;
		left -= want;
	}
	if (got)
		space_map_unalloc(sm, first, got);
	rejects_release(sm, &r);
	if (rc)
		record_unalloc_many(pool, e, i);
	return rc;
}

void record_unalloc_many(struct pool *pool, struct extent *e, uint32_t nr)
{
	struct space_map *sm = pool_space(pool);

	for (uint32_t i = 0; i < nr; i++) {
		if (e[i].blkno)
			space_map_unalloc(sm, e[i].blkno, e[i].nr_blocks);
		e[i].blkno = 0;
	}
}

int record_read(struct pool *pool, const struct extent *e, void *in)
{
	size_t len = (size_t)e->nr_blocks * BLOCK_SIZE;
	int rc;

	if (!txg_deferred_read(pool, e->blkno, in, e->nr_blocks)) {
		rc = blkdev_read_cached(pool_dev(pool), in, len,
					e->blkno << BLOCK_SHIFT);
		if (rc)
			return rc;
	}
	return record_check(e, in);
}
