/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ilog_replay_segment.h - what one op of replay does to a dataset's files
 *
 * Shared by ilog_replay_file.c, which cuts log records into segments and gets
 * what they need, and ilog_replay_apply.c, the op's body.
 */
#ifndef DBS_STORE_ILOG_REPLAY_SEGMENT_H
#define DBS_STORE_ILOG_REPLAY_SEGMENT_H

#include "store/file_internal.h"
#include "store/ilog_replay_internal.h"

/* What one op takes at most; no op but the seal of many partial records wrote
 * more. */
#define PARTS_MAX 400u
#define BYTES_MAX 16u

/* An inode that the parts change. */
struct seg_inode {
	struct inode inode; /* as it will be */
	bool named;	    /* a part puts it */
	/* the body's */
	bool in_tree, put, deleted;
	uint64_t nr_blocks;
};

/* An extent whose bytes the log does not name a place for but this one. */
struct seg_sealed {
	const struct ilog_extent *x;
	struct key key;
	struct inode inode;
	uint64_t recno;
	/* prepared: the record as it is, unless it is dirty */
	bool done, was_dirty, unreadable;
	struct extent old;
	uint8_t *bytes; /* a whole record */
	bool written;	/* the bytes are the committer's now */
};

struct seg_bytes {
	uint64_t ino, offset;
	struct file_edge edge;
	bool skip; /* the record is unreadable, and stays so */
};

/* Parts of a log record that concern one dataset, done by one op. */
struct segment {
	struct pool *pool;
	struct dataset *ds;
	const uint8_t *p, *end;
	uint32_t nr_parts;
	/* of the runs claimed by the log record, those before this */
	const struct ilog_taken *taken;
	size_t claims_before;
	struct seg_inode *inode;
	size_t nr_inodes;
	struct seg_sealed *sealed;
	size_t nr_sealed;
	struct seg_bytes bytes[BYTES_MAX];
	size_t nr_bytes;
};

static inline int segment_mismatch(const struct segment *s, const char *what,
				   uint64_t number)
{
	return ilog_mismatch(s->pool, what, number);
}

/** The inode of a part; there is room for one a part. */
struct seg_inode *segment_add_inode(struct segment *s, uint64_t ino);
/** Look all inodes up, without I/O under locks: an op_body_fn. */
int segment_look(struct op *op, struct dataset *ds, void *arg);
/** The inode of a file, looked up: it is there, or will be.  -EUCLEAN: no */
int segment_file(struct segment *s, uint64_t ino, const struct seg_inode **out);
/** Have the bytes of a sealed record. */
int segment_prepare_sealed(struct segment *s, struct seg_sealed *x);
/** Prepare and apply: an op_body_fn. */
int segment_body(struct op *op, struct dataset *ds, void *arg);

#endif
