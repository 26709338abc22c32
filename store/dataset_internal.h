/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dataset_internal.h - struct dataset, for dataset*.c, file*.c and txg.c
 *
 * Lock order (docs/locking.md): pool->names, txg hold (shared), ds->lock (by
 * id where two), ds->open_lock, leaves.
 */
#ifndef DBS_STORE_DATASET_INTERNAL_H
#define DBS_STORE_DATASET_INTERNAL_H

#include "store/btree.h"
#include "store/dataset.h"
#include "store/os.h"
#include "store/util.h"

struct dirty_cache;
struct extent;
struct open_table;

struct dataset {
	/* immutable */
	struct pool *pool;
	uint32_t id;
	bool snapshot;
	uint32_t parent; /* a snapshot's dataset */

	/* atomic */
	uint32_t refs;
	uint64_t generation; /* UINT64_MAX: destroyed */

	/* under lock; written in an op's apply half only */
	struct os_rwlock lock;
	struct btree tree;
	uint64_t next_ino;
	uint64_t referenced; /* blocks */
	uint64_t logical;    /* bytes */
	int64_t fresh;	     /* blocks charged here: see dataset_charge.c */
	uint64_t nr_inodes;
	uint64_t nr_orphans;
	uint64_t previous_txg;
	uint64_t lineage;     /* raised when previous_txg or fresh is set */
	uint32_t previous;    /* snapshot id */
	uint32_t flags;	      /* DATASET_* */
	struct dataset **kin; /* a head's (dataset_charge.c) */
	uint32_t nr_kin;
	uint64_t kin_txg; /* none of them holds anything younger */
	struct dataset_properties properties;
	bool dirty; /* in the open group's list */
	struct list dirty_link;
	uint64_t changed_lsn; /* its last log record: what fsync waits for */

	/* under pool->names */
	char name[DATASET_NAME_MAX + 1];
	char origin_name[DATASET_FULL_NAME_MAX];
	uint32_t origin;
	uint64_t created_txg;
	struct timespec created;
	int64_t held;	       /* atomic: blocks charged for its snapshots */
	struct list snapshots; /* of a dataset, by creation */
	struct list sibling;   /* in its dataset's list */
	uint32_t nr_snapshots;
	struct dataset *next_by_id, *next_by_name;

	/* the file layer's own; file_state_new() and file_state_free() */
	struct dirty_cache *cache; /* dirty partial records, under lock */
	struct open_table *open;   /* open inodes, own lock */
};

/** Mark @ds changed in the op's group; apply half, lock held for writing. */
void dataset_mark_dirty(struct op *op, struct dataset *ds);

/** -ESTALE, -EROFS or 0: may @ds be changed? */
int dataset_may_change(const struct dataset *ds);
/** Would @nr_blocks more exceed the quota?  -EDQUOT or 0. */
int dataset_check_quota(const struct dataset *ds, uint64_t nr_blocks);

/**
 * Is @ds charged for what it has at @key, or an older snapshot beside it?
 * @charge: out, CHARGE_*; in the apply half CHARGE_UNSURE instead of -EAGAIN
 */
int dataset_charge_of(struct op *op, const struct dataset *ds,
		      const struct key *key, const struct extent *e,
		      uint8_t *charge);
/** Something CHARGE_UNSURE goes: apply half, lock held for writing. */
void dataset_charge_unsure(struct dataset *ds);

/**
 * Hold @ds's present root so that its nodes and records stay readable while
 * they are walked without a lock; dataset_release_root() lets go.  A commit
 * precedes, so all that the root reaches is on disk and counted.  In memory
 * only: a crash leaves nothing behind.
 * Cost: blocks freed meanwhile, by anyone, wait until the last holder is done.
 */
int dataset_hold_root(struct dataset *ds, struct tree_root *root);
void dataset_release_root(struct pool *pool, const struct tree_root *root);

/* -- what the file layer gives to datasets and txg ------------------------ */

/** Set up and free cache and open table. */
int file_state_new(struct dataset *ds);
void file_state_free(struct dataset *ds);

/**
 * Write all dirty partial records into the tree, as an op of their own each
 * (compressed).  Called before snapshot, clone, restore, diff ..., no locks
 * held.
 */
int dirty_flush(struct dataset *ds);
/** Those that were filled to their end, and more if the cache is half full. */
int dirty_flush_early(struct dataset *ds);
/**
 * The same at seal time or inside a snapshot's apply half, ds->lock held for
 * writing and the txg held: no I/O, cannot fail, takes nodes from what the
 * records reserved when they became dirty.  The records are stored raw; their
 * bytes are handed to txg_defer_write().
 */
void dirty_seal(struct op *op, struct dataset *ds);
/** Forget all dirty records (restore, destroy); lock held for writing. */
void dirty_discard(struct op *op, struct dataset *ds);
bool dirty_any(const struct dataset *ds);
/** Blocks that storing all of them may add to what is charged; lock held. */
int64_t dirty_growth(const struct dataset *ds);

/** Purge unlinked inodes nobody holds and finish cut-short truncations. */
int file_purge_orphans(struct dataset *ds);

#endif
