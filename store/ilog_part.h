/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ilog_part.h - the bytes of log records, taken apart
 *
 * Below: format.h, node (keys).  Above: ilog_scan.c, ilog_replay*.c, check.
 *
 * A batch's checksum says that its bytes are those once written, not who wrote
 * them.  So every length, key, number and name is looked at here, and nobody
 * looks again; what depends on the pool's state (does that dataset exist, is
 * that run free) is replay's.
 */
#ifndef DBS_STORE_ILOG_PART_H
#define DBS_STORE_ILOG_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/btree.h"
#include "store/format.h"

/* No txg is above it: superblock.c says the same. */
#define ILOG_TXG_MAX (LE40_MAX / 2)

/* One log record, in the bytes of its batch. */
struct ilog_stored {
	uint64_t txg;
	const uint8_t *parts, *end;
};

/* One of its parts. */
struct ilog_part {
	uint8_t kind;
	const void *at;	     /* its struct ilog_*, not aligned */
	const uint8_t *more; /* what follows that: value, bytes, name */
	uint32_t more_len;
	struct key key, last; /* where it has any */
};

/** The log record at *@p; moves on.  Errors: -EUCLEAN */
int ilog_stored_next(const uint8_t **p, const uint8_t *end,
		     struct ilog_stored *r);
/** The part at *@p; moves on.  Errors: -EUCLEAN */
int ilog_part_next(const uint8_t **p, const uint8_t *end,
		   struct ilog_part *part);
/** Are all parts sound, and in an order that an op writes?  -EUCLEAN: no */
int ilog_stored_verify(const struct ilog_stored *r);

/** Does it change a dataset's tree, or what datasets there are? */
static inline bool ilog_part_is_file(const struct ilog_part *part)
{
	return part->kind < ILOG_CREATE;
}

static inline uint32_t ilog_extent_nr(const struct ilog_extent *e)
{
	return (e->item.meta & 31u) + 1;
}

#endif
