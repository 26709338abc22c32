/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_seek.c - SEEK_DATA and SEEK_HOLE
 *
 * A record with an item is data, whatever it holds; a dirty one has an item
 * (C2), so nothing needs to be written out first.
 */
#include "store/file_internal.h"

#include <unistd.h>

/* items looked at in one go: the nodes they are in stay in memory meanwhile */
#define SEEK_ITEMS 4096u

struct seek {
	uint64_t ino;
	uint64_t offset;
	bool hole;
	/* the body's */
	uint64_t recno; /* the next to look at */
	uint32_t left;
	bool found;
	uint64_t size;
	uint8_t record_shift;
};

static int seek_item(void *arg, uint64_t recno, const struct extent *e)
{
	struct seek *s = arg;

	(void)e;
	if (s->hole ? recno != s->recno : true) {
		if (!s->hole)
			s->recno = recno;
		s->found = true;
		return 1;
	}
	s->recno = recno + 1;
	return --s->left == 0 ? 1 : 0;
}

static int seek_body(struct op *op, struct dataset *ds, void *arg)
{
	struct seek *s = arg;
	struct inode inode;
	uint64_t end;
	int rc = inode_get_file(op, ds, s->ino, &inode);

	if (rc)
		return rc;
	if (s->offset >= inode.size)
		return -ENXIO;
	s->size = inode.size;
	s->record_shift = inode.record_shift;
	s->recno = MAX_OF(s->recno, s->offset >> inode.record_shift);
	s->left = SEEK_ITEMS;
	s->found = false;
	end = ((inode.size - 1) >> inode.record_shift) + 1;
	rc = extent_each(op, ds, &inode, s->recno, end, seek_item, s);
	if (rc == 0 && s->hole)
		s->found = true; /* after the last item, or at the end */
	else if (rc == 0)
		return -ENXIO;
	return rc < 0 ? rc : 0;
}

int file_seek(struct dataset *ds, uint64_t ino, uint64_t offset, int whence,
	      uint64_t *out)
{
	struct seek s = {
		.ino = ino,
		.offset = offset,
		.hole = whence == SEEK_HOLE,
	};
	int rc;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	do
		rc = op_read(ds, seek_body, &s);
	while (rc == 0 && !s.found);
	if (rc)
		return rc;
	*out = MIN_OF(MAX_OF(s.recno << s.record_shift, offset), s.size);
	return 0;
}
