/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file_internal.h - shared by file*.c, dir*.c, xattr.c and orphan.c
 */
#ifndef DBS_STORE_FILE_INTERNAL_H
#define DBS_STORE_FILE_INTERNAL_H

#include <errno.h>

#include "store/dir.h"
#include "store/dirty.h"
#include "store/extent_map.h"
#include "store/file.h"

/*
 * A body found that what was prepared does not fit any more, or that an
 * unfinished truncation stands in the way: prepare again.  Callers of the
 * store never see it.
 */
#define FILE_AGAIN (-ERESTART)

struct open_entry;

#define FILE_LINKS_MAX	 65000u
#define FILE_REQUEST_MAX (UINT64_C(1) << 20)

/* -- open table (file_open.c) --------------------------------------------- */

/** ds->lock held. */
bool file_is_open(const struct dataset *ds, uint64_t ino);
/** An entry for file_open_commit(); free() what is left of it.  NULL without
 * memory. */
struct open_entry *file_open_reserve(void);
/** ds->lock held; cannot fail; takes *@spare when it needs it. */
void file_open_commit(struct dataset *ds, uint64_t ino, bool for_writing,
		      struct open_entry **spare);

/* -- attributes (file_attr.c) ----------------------------------------------- */

/** Change @inode as FILE_SET_* says, all but the size. */
void file_apply_attr(struct inode *inode, unsigned mask,
		     const struct file_attr *attr, struct timespec now);

/* -- names (file_unlink.c) --------------------------------------------------- */

/** @inode will lose a name.  Errors: FILE_AGAIN finish its truncation first */
int file_drop_name_touch(struct op *op, const struct dataset *ds,
			 const struct inode *inode);
/** It does; the caller puts it.  Returns true when that was the last. */
bool file_drop_name_apply(struct op *op, struct dataset *ds,
			  struct inode *inode, struct timespec now);

/* -- size (file_truncate.c) ------------------------------------------------- */

/** Set the size to @attr->size and what else @mask says, in one op.
 * @out: the inode then */
int file_truncate(struct dataset *ds, uint64_t ino, unsigned mask,
		  const struct file_attr *attr, struct inode *out);

/* -- extended attributes (xattr.c) ------------------------------------------ */

/* Where an attribute's items are. */
struct xattr_place {
	uint64_t offset; /* of chunk 0; not found: where it would go, or
			  * UINT64_MAX: full */
	uint32_t value_len;
	uint32_t nr_chunks; /* 0: not found */
};

/*
 * FILE_KILL_PRIV: what has to go.  The prepare half fills it in and touches;
 * the apply half takes it away, and the caller puts the inode.
 */
struct file_priv {
	bool wanted;
	struct xattr_place capability;
};
int file_priv_prepare(struct op *op, const struct dataset *ds,
		      const struct inode *inode, unsigned flags,
		      struct file_priv *priv);
void file_priv_apply(struct op *op, struct dataset *ds, struct inode *inode,
		     const struct file_priv *priv);
/* keys that it may delete */
#define FILE_PRIV_PUTS 2u

/* -- content (file_edge.c) --------------------------------------------------- */

/*
 * A part of one record to be overwritten.  Prepared: the record as it was, in
 * a dirty record, unless there was a dirty one already or nothing needs doing.
 */
struct file_edge {
	uint64_t recno;
	uint32_t from, len; /* within the record */
	const uint8_t *src; /* NULL: zeros */
	unsigned op_flags;  /* OP_USE_RESERVE or 0 */
	/* prepared */
	bool was_dirty;
	struct extent old;
	struct dirty_record *copy;
	/* the body's */
	struct extent now;
	struct dirty_record *dirty;
	bool nothing; /* zeros onto a hole */
};

/** What an op on content must know before it starts. */
struct file_look {
	uint64_t ino;
	struct inode inode;
	int level;
	uint64_t generation; /* of the dataset; once seen it must stay */
	bool seen;
};
/** Read it again; completes a truncation first.  Errors: -ESTALE */
int file_look(struct dataset *ds, struct file_look *look);
/** The same, but leaves a truncation as it is: for reading. */
int file_look_once(struct dataset *ds, struct file_look *look);
/** In a body: the inode now.  Errors: FILE_AGAIN; -ESTALE restored */
int file_look_again(struct op *op, const struct dataset *ds,
		    const struct file_look *look, struct inode *inode);

/** Log and count that the record of @e cannot be read; returns -EIO. */
int file_record_damaged(const struct dataset *ds, const struct inode *inode,
			uint64_t recno, const struct extent *e, int error);

/** No locks held. */
int file_edge_prepare(struct dataset *ds, const struct inode *inode,
		      struct file_edge *edge);
void file_edge_release(struct dataset *ds, struct file_edge *edge);
/** Look it up and touch.  Errors: FILE_AGAIN; -EAGAIN; -EUCLEAN
 * @growth: in and out, blocks that the dataset's charge may grow */
int file_edge_touch(struct op *op, const struct dataset *ds,
		    const struct inode *inode, struct file_edge *edge,
		    int64_t *growth);
void file_edge_apply(struct op *op, struct dataset *ds,
		     const struct inode *inode, struct file_edge *edge);

#endif
