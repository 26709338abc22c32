/* SPDX-License-Identifier: Apache-2.0 */
/*
 * diff.h - what differs between two roots
 *
 * Below: btree (diff skips nodes that both share).  Above: tools/.
 */
#ifndef DBS_STORE_DIFF_H
#define DBS_STORE_DIFF_H

#include <stdint.h>

#include "store/dataset.h"

enum diff_kind {
	DIFF_ADDED,
	DIFF_REMOVED,
	DIFF_MODIFIED, /* content or attributes; same inode */
	DIFF_RENAMED,  /* @old_path is set; may be modified too */
};

struct diff_entry {
	enum diff_kind kind;
	uint64_t ino;
	uint32_t mode; /* in the new root, or in the old if removed */
	/* from the dataset's root, which is "." itself; no leading '/' */
	const char *path;
	const char *old_path; /* DIFF_RENAMED */
	uint64_t size;
	uint64_t bytes; /* of records that differ, uncompressed */
};

/**
 * Call @fn for each inode that differs, in order of inode number; a nonzero
 * return stops and is returned.  No locks are held then.  A file is the same
 * in both if inode number and time of birth are; one that was only read is not
 * reported.
 * Cost: reads the nodes that the two do not share, and all directories of
 *       @new_ds once; memory in proportion to the inodes that differ.
 * Errors: -EXDEV not in one pool; -ESTALE destroyed; a damaged node's
 */
int dataset_diff(struct dataset *old_ds, struct dataset *new_ds,
		 int (*fn)(void *arg, const struct diff_entry *e), void *arg);

#endif
