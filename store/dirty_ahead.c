/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty_ahead.c - reading a record before a part of it is written
 *
 * Who overwrites a file bit by bit from one record into the next, as a redo
 * log is written round and round, would wait for the device to read each of
 * them.  For each that was filled, one further on is brought into the page
 * cache.  What goes wrong is left to the writer to find.
 */
#include <errno.h>

#include "store/dirty_internal.h"
#include "store/extent_map.h"
#include "store/txg.h"

struct ahead {
	uint64_t ino, recno;
	bool wanted; /* out: it has stored bytes, and nobody has them */
	struct extent e;
};

static int look_body(struct op *op, struct dataset *ds, void *arg)
{
	struct ahead *a = arg;
	struct inode inode;
	int rc;

	a->wanted = false;
	rc = inode_get(op, ds, a->ino, &inode);
	if (rc || a->recno << inode.record_shift >= inode.size ||
	    dirty_find(ds, a->ino, a->recno))
		return rc;
	rc = extent_get(op, ds, &inode, a->recno, &a->e);
	a->wanted = rc == 0 && a->e.nr_blocks > 0;
	return rc;
}

void dirty_read_ahead(struct dataset *ds, uint64_t ino, uint64_t recno)
{
	struct ahead a = {.ino = ino, .recno = recno};

	if (op_read(ds, look_body, &a) || !a.wanted)
		return;
	blkdev_prefetch(pool_dev(ds->pool), (size_t)a.e.nr_blocks * BLOCK_SIZE,
			a.e.blkno << BLOCK_SHIFT);
}
