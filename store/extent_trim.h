/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extent_trim.h - removing many of an inode's items, a leaf at a time
 *
 * Below: extent_map, dirty.  Above: file_truncate.c, orphan.c.
 */
#ifndef DBS_STORE_EXTENT_TRIM_H
#define DBS_STORE_EXTENT_TRIM_H

#include "store/inode.h"

/**
 * Where do the items with keys in [@from, @last] lie?
 * @any: out, there are some; @one: out, all in one leaf
 */
int extent_in_one_leaf(struct op *op, const struct dataset *ds,
		       const struct key *from, const struct key *last,
		       bool *any, bool *one);
/**
 * Remove what of [@from, @last] lies in one leaf, the first that has any; all
 * of it is @inode's own.  Keeps the counters and C2, but does not put @inode.
 * Like btree_trim() this is prepare and apply: when it returns 0, op_ready()
 * did.
 */
int extent_trim(struct op *op, struct dataset *ds, struct inode *inode,
		const struct key *from, const struct key *last);

#endif
