/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extent_map.h - a file's extent items in its dataset's tree
 *
 * Below: btree, inode, record.  Above: dirty*.c, file*.c, orphan.c.
 *
 * Owns the counters that follow from extents: the inode's nr_blocks, the
 * dataset's referenced, logical and fresh.
 *
 * Invariants:
 *  E1  every change of an extent item goes through extent_set() or
 *      extent_trim(), so the counters are always the sums that
 *      docs/on-disk-format.md says.
 */
#ifndef DBS_STORE_EXTENT_MAP_H
#define DBS_STORE_EXTENT_MAP_H

#include "store/inode.h"
#include "store/record.h"

/** Key of record number @recno. */
static inline struct key extent_key(const struct inode *inode, uint64_t recno)
{
	return key_of(inode->ino, ITEM_EXTENT,
		      recno << (inode->record_shift - BLOCK_SHIFT));
}

/** No item is not an error: @e->present.  Errors: -EAGAIN; -EUCLEAN */
int extent_get(struct op *op, const struct dataset *ds,
	       const struct inode *inode, uint64_t recno, struct extent *e);

/** Call @fn with each item of records [@first, @end); a nonzero return of it
 * ends that and is returned.  Errors: -EAGAIN; -EUCLEAN */
typedef int extent_fn(void *arg, uint64_t recno, const struct extent *e);
int extent_each(struct op *op, const struct dataset *ds,
		const struct inode *inode, uint64_t first, uint64_t end,
		extent_fn *fn, void *arg);

int extent_touch(struct op *op, const struct dataset *ds,
		 const struct inode *inode, uint64_t recno);

/** Blocks by which the dataset's charge grows when @to replaces @from. */
int64_t extent_growth(const struct dataset *ds, const struct extent *from,
		      const struct extent *to);
/** dataset_check_quota() for a growth that may be negative. */
int extent_check_quota(const struct dataset *ds, int64_t growth);

/*
 * The apply half.  The caller puts the inode.
 */
/** Replace @from, what is there now, by @to, born now; nr_blocks 0: a hole. */
void extent_set(struct op *op, struct dataset *ds, struct inode *inode,
		uint64_t recno, const struct extent *from,
		const struct extent *to);
/** Put a placeholder (R3) where nothing is. */
void extent_put_placeholder(struct op *op, struct dataset *ds,
			    const struct inode *inode, uint64_t recno);

/** The counters only: @e's item goes, by other means. */
void extent_forget(struct dataset *ds, struct inode *inode,
		   const struct extent *e);

#endif
