/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dirty.h - records written in part, in memory until the txg is sealed
 *
 * Below: extent_map, record, op.  Above: file*.c, orphan.c.
 *
 * A write that does not cover a whole record is merged into a copy of it
 * here.  So a redo log that grows by 512 bytes a commit does not write (and
 * read, and compress) 16 KiB each time.
 *
 * Owns, per record: its bytes, a run of recordsize blocks and nodes held for
 * the day it goes into the tree.  Protected by the dataset's lock.
 *
 *	absent --file_write()--> dirty --dirty_flush(), a full cache--> item
 *	                           |--dirty_seal()--> item, write deferred
 *	                           '--overwritten, cut off--> absent
 *
 * Invariants:
 *  C1  at a group's seal all of a dataset's dirty records become items, so a
 *      committed tree never lacks one.
 *  C2  a dirty record has an item in the tree: the old one, or a placeholder
 *      (R3).  The item's leaf and its inode's are in the open group.  So both
 *      are in the cache at the seal, and stay where they are: a leaf with an
 *      item in it is not dropped.
 *  C3  a cache holds at most DIRTY_BYTES_MAX and DIRTY_RECORDS_MAX, plus two
 *      records for each thread that is writing.
 */
#ifndef DBS_STORE_DIRTY_H
#define DBS_STORE_DIRTY_H

#include "store/inode.h"

#define DIRTY_BYTES_MAX	  (UINT64_C(1) << 20)
#define DIRTY_RECORDS_MAX 128u
/* held for each record: two puts in leaves that are already in the group */
#define DIRTY_NODES 12u

struct extent;

struct dirty_record {
	struct dirty_record *next; /* of its bucket */
	struct list lru;
	uint64_t ino, recno;
	uint64_t born;	  /* serial number of its insertion */
	uint64_t version; /* serial number of its last merge */
	uint64_t run;	  /* its blocks: recordsize of them */
	int64_t growth;	  /* blocks that storing it may add to the charge */
	uint8_t record_shift;
	bool filled;   /* written up to its end, bit by bit */
	uint8_t *data; /* recordsize bytes, aligned */
};

struct dirty_cache *dirty_cache_new(void);
/** It must be empty. */
void dirty_cache_free(struct dirty_cache *c);

/* -- prepare: no locks held ----------------------------------------------- */

/** A record of zeros with all it will need.  @flags: OP_USE_RESERVE or 0.
 * Errors: -ENOSPC; -ENOMEM */
int dirty_new(struct pool *pool, unsigned record_shift, unsigned flags,
	      struct dirty_record **d);
/** Give everything back; NULL is ignored. */
void dirty_free(struct pool *pool, struct dirty_record *d);
/** Write out the oldest records until one of @len bytes more fits (C3). */
int dirty_make_room(struct dataset *ds, size_t len);

/** Write out one record; 0 also when there is none.  Errors: op_change()'s */
int dirty_flush_record(struct dataset *ds, uint64_t ino, uint64_t recno);

/* -- ds->lock held ---------------------------------------------------------- */

struct dirty_record *dirty_find(const struct dataset *ds, uint64_t ino,
				uint64_t recno);

/**
 * Copy the bytes of a record stored as @e to @data, if a copy of it was kept
 * when it was sealed: who appends and syncs in turn does not read it again.
 */
bool dirty_recent_read(const struct dataset *ds, uint64_t ino, uint64_t recno,
		       const struct extent *e, void *data);

/** Is there something for dirty_flush_early()? */
bool dirty_wants_flush(const struct dataset *ds);

/** Set inode->nr_dirty: blocks that its dirty records may take. */
void dirty_count(const struct dataset *ds, struct inode *inode);

/* The apply half. */
/** Add @d (owner: the cache) where none is; keeps C2, @present: there is an
 * item.  The record's and the inode's key were touched. */
void dirty_insert(struct op *op, struct dataset *ds, struct dirty_record *d,
		  const struct inode *inode, uint64_t recno, bool present);
/** @src NULL: zeros. */
void dirty_merge(struct op *op, struct dataset *ds, struct dirty_record *d,
		 size_t from, const void *src, size_t len);
/** Forget the record, if there is one; its item is the caller's. */
void dirty_drop(struct dataset *ds, uint64_t ino, uint64_t recno);

/** The record is or will be stored as @e: keep a copy of its bytes, if there
 * is memory; lock held for writing. */
void dirty_recent_keep(struct dirty_cache *c, uint64_t ino, uint64_t recno,
		       unsigned record_shift, const uint8_t *data,
		       const struct extent *e);

#endif
