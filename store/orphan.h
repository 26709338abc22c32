/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orphan.h - inodes without a name, and files being cut off
 *
 * Below: extent_map, dirty, open table.  Above: file*.c.
 *
 * An orphan item (ino 0, ITEM_ORPHAN, inode number) is the note that work is
 * left: an unlinked inode to be purged when nobody has it open, or extents
 * beyond a file's end to be removed.  The work is done leaf by leaf in ops of
 * their own, each of which can be the last before a crash.
 *
 * Invariants:
 *  O1  an inode has an ORPHAN_UNLINKED item exactly while its nlink is 0.
 *  O2  while INODE_TRUNCATING is set, extents beyond the last record may
 *      exist; the size does not change then, and nobody writes
 *      (orphan_finish_truncate() comes first).  It has an ORPHAN_TRUNCATE
 *      item unless O1 gives it one already.
 */
#ifndef DBS_STORE_ORPHAN_H
#define DBS_STORE_ORPHAN_H

#include "store/inode.h"

static inline struct key orphan_key(uint64_t ino)
{
	return key_of(0, ITEM_ORPHAN, ino);
}

int orphan_touch(struct op *op, const struct dataset *ds, uint64_t ino);

/* The apply half; the caller puts @inode. */
/** @inode lost its last name; it is not being truncated. */
void orphan_put_unlinked(struct op *op, struct dataset *ds,
			 const struct inode *inode);
/** Extents beyond the last record are to be removed. */
void orphan_put_truncate(struct op *op, struct dataset *ds,
			 struct inode *inode);
/** @ino has a name again, is cut off or gone. */
void orphan_del(struct op *op, struct dataset *ds, uint64_t ino);

/* No locks held. */
/** Complete what INODE_TRUNCATING says, if it does. */
int orphan_finish_truncate(struct dataset *ds, uint64_t ino);
/** The same, but what takes long goes on in the background. */
void orphan_truncate_soon(struct dataset *ds, uint64_t ino);
/** Purge @ino if it is unlinked and not open; long ones in the background. */
void orphan_purge_soon(struct dataset *ds, uint64_t ino);

#endif
