/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty_ahead.c - reading a record before a part of it is written
 *
 * Who overwrites a file bit by bit from one record into the next, as a redo
 * log is written round and round, would wait for each record to be read. When
 * it has come to the end of one, the next is read in the background and kept
 * with the recent copies. What goes wrong is left to the writer to find.
 */
#include <errno.h>

#include "store/dirty_internal.h"
#include "store/extent_map.h"
#include "store/util.h"

struct ahead {
	uint64_t ino, recno;
	bool wanted; /* out: it has stored bytes, and nobody has them */
	uint8_t record_shift;
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
	a->record_shift = inode.record_shift;
	a->wanted = rc == 0 && a->e.nr_blocks > 0;
	return rc;
}

void dirty_read_ahead(struct dataset *ds, uint64_t ino, uint64_t recno)
{
	struct ahead a = {.ino = ino, .recno = recno};
	size_t len = (size_t)RECORD_BLOCKS_MAX * BLOCK_SIZE;
	uint8_t *in, *out;

	if (op_read(ds, look_body, &a) || !a.wanted)
		return;
	in = scratch_get(len);
	out = scratch_get(len);
	if (in && out && record_read(ds->pool, &a.e, in) == 0 &&
	    record_decode(&a.e, in, a.record_shift, out) == 0) {
		os_rwlock_wrlock(&ds->lock);
		dirty_recent_keep(ds->cache, ino, recno, a.record_shift, out,
				  &a.e);
		os_rwlock_unlock(&ds->lock);
	}
	scratch_put(in, len);
	scratch_put(out, len);
}
