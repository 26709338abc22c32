/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - a record of file data: between bytes and blocks
 *
 * Below: csum, compress, space map, blkdev.  Above: dirty*.c, file*.c.
 *
 * Owns the layout of a record's stored blocks: raw ones are the bytes up to
 * the last block that is not all zeros; zstd ones are a le32 length, one
 * frame of recordsize bytes, and zeros to the block's end.
 *
 * Invariants:
 *  R1  an all-zero record is a hole: no item, no blocks.
 *  R2  a record is compressed only if that saves at least one block.
 *  R3  an item with blkno 0 is a placeholder: the record's bytes are in the
 *      dirty cache.  It names no run and is never on disk (dirty.h, C2).
 */
#ifndef DBS_STORE_RECORD_H
#define DBS_STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/format.h"
#include "store/pool.h"

/* -- items ---------------------------------------------------------------- */

/* An extent item; all zero: there is none. */
/* Which dataset or snapshot of one line is charged for an extent. */
#define CHARGE_HERE	 0u /* the one it was found in, if it is fresh there */
#define CHARGE_ELSEWHERE 1u /* an older one that holds it too */
#define CHARGE_UNSURE	 2u /* not to be found out now */

struct extent {
	bool present;	/* there is an item */
	uint64_t blkno; /* 0: a placeholder or a hole */
	uint64_t csum;
	uint64_t birth;
	uint32_t nr_blocks;
	uint8_t encoding; /* EXTENT_* */
	uint8_t charge;	  /* CHARGE_*; of what extent_get() found */
};

/**
 * Read an item of a file with records of 1 << @record_shift bytes.
 * Errors: -EUCLEAN (the caller logs: it knows which file)
 */
int extent_load(const uint8_t *value, size_t len, unsigned record_shift,
		struct extent *e);
struct extent_item extent_store(const struct extent *e);
/** The same stored bytes; birth does not count. */
bool extent_same(const struct extent *a, const struct extent *b);

/* -- encoding ------------------------------------------------------------- */

/** Is it all zeros? */
bool record_is_zero(const void *buf, size_t len);
/** Blocks up to the last that is not all zeros; @len in whole blocks. */
uint32_t record_raw_blocks(const void *buf, size_t len);

/**
 * Encode a whole record to @out, which has room for it raw.
 * @e: out: all but blkno and birth; nr_blocks 0: it is a hole
 * Cost: one pass of zstd at @level and one of XXH3.
 */
void record_encode(const void *src, unsigned record_shift, int level, void *out,
		   struct extent *e);
/**
 * Check the stored bytes @in against @e.  Errors: -EBADMSG
 */
int record_check(const struct extent *e, const void *in);
/**
 * Decode all of a record to @out, 1 << @record_shift bytes; @in was checked.
 * Errors: -EBADMSG a frame that is not what it must be; -ENOMEM
 */
int record_decode(const struct extent *e, const void *in, unsigned record_shift,
		  void *out);

/* -- blocks --------------------------------------------------------------- */

/**
 * Allocate exactly @nr adjacent blocks.  @flags: OP_USE_RESERVE or 0
 * Owner:  the caller's until op_claim() or space_map_unalloc()
 * Errors: -ENOSPC also when there is space, but only in pieces
 */
int record_alloc(struct pool *pool, uint32_t nr, unsigned flags,
		 uint64_t *first);
/**
 * Allocate a run for each of @e[0..nr) with nr_blocks > 0, next to each other
 * as far as free space allows; sets blkno.  All or nothing.
 */
int record_alloc_many(struct pool *pool, struct extent *e, uint32_t nr);
/** Give back the runs of @e that are not 0, and forget them. */
void record_unalloc_many(struct pool *pool, struct extent *e, uint32_t nr);

/**
 * Read the stored blocks of @e to @in (aligned): from what waits for the
 * committer, else from the device; and check them.
 * Errors: -EIO; -EBADMSG
 */
int record_read(struct pool *pool, const struct extent *e, void *in);

/* -- scratch -------------------------------------------------------------- */

/**
 * An aligned buffer of at least @len bytes, not cleared; reused ones come
 * first.  NULL without memory.
 */
void *scratch_get(size_t len);
/** @len: as it was asked for; NULL is ignored. */
void scratch_put(void *buf, size_t len);

#endif
