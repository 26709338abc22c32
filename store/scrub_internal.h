/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrub_internal.h - shared by scrub*.c
 *
 * scrub.c has the thread, its slices and what people ask; scrub_walk.c reads
 * trees and records; scrub_space.c superblocks and slots; scrub_item.c keeps
 * state and findings in the root tree.
 */
#ifndef DBS_STORE_SCRUB_INTERNAL_H
#define DBS_STORE_SCRUB_INTERNAL_H

#include "store/btree.h"
#include "store/format.h"
#include "store/idmap.h"
#include "store/os.h"
#include "store/scrub.h"

/* Values are on disk. */
enum scrub_phase {
	SCRUB_PHASE_SUPERBLOCKS = 0,
	SCRUB_PHASE_SPACE = 1,
	SCRUB_PHASE_POOL_TREES = 2,
	SCRUB_PHASE_DATASETS = 3,
};

/* What the last superblock says; nothing it reaches is reused meanwhile. */
struct scrub_committed {
	struct tree_root root_tree, space_tree;
	uint64_t commit_seq, txg, nr_blocks;
	uint32_t next_dataset;
};

/* An extent of the leaf being read. */
struct scrub_extent {
	uint64_t blkno, csum, ino, offset;
	uint32_t nr;
};

struct scrub {
	struct pool *pool;

	struct os_mutex lock; /* outermost: nothing is called with it held */
	struct os_cond cond;
	/* under lock */
	struct scrub_status st;
	bool want_pause, want_stop, closing;
	bool in_slice;
	bool want_room; /* atomic too: the slice ends */
	struct os_thread thread;
	struct scrub_finding *found; /* SCRUB_FINDINGS_MAX */
	uint32_t nr_kept;

	/* whoever does the work: the thread, or the starter without one */
	enum scrub_phase phase;
	uint64_t next_slot; /* SCRUB_PHASE_SPACE: of all, in order of level */
	uint32_t dataset;   /* SCRUB_PHASE_DATASETS: the next */
	struct key key;	    /* and where in it */
	uint32_t end_id;    /* ids from here on are looked at once more */
	bool extended;
	uint64_t start_txg;
	/* cut short: before this nothing is read again, only marked */
	uint32_t done_dataset;
	struct key done_key;
	uint32_t nr_saved; /* findings that have an item */

	uint8_t **seen; /* one bit a block, by region; NULL: none */
	uint64_t nr_seen;
	struct idmap bad; /* blocks that are damaged: uint64_t */

	/* the slice */
	struct scrub_committed now;
	uint64_t slice_end_ns, slice_bytes, slice_max;
	uint64_t bytes, nr_nodes, nr_records; /* of it, for st */

	uint8_t *page[NODE_LEVEL_MAX];
	uint8_t *buf;		      /* SCRUB_READ_BYTES */
	struct scrub_extent *extents; /* NODE_ITEMS_MAX */
};

#define SCRUB_READ_BYTES (1u << 20)

/** Is the slice's budget used up? */
bool scrub_slice_over(const struct scrub *s);
/** @nr blocks were read and verified. */
void scrub_count(struct scrub *s, uint32_t nr);
/**
 * Damage in @f->blkno.  @root: of the tree that has @f->ino, to find its path;
 * or NULL.  Errors: -ENOMEM
 */
int scrub_found(struct scrub *s, const struct tree_root *root,
		struct scrub_finding *f);
/** What the last superblock says, as of now; waits for a commit under way. */
int scrub_look(struct scrub *s);

/* -- scrub_walk.c ---------------------------------------------------------- */

/** Both pool trees.  All three: 0, or an errno that ends the scrub. */
int scrub_pool_trees(struct scrub *s);
/** Datasets from s->dataset, s->key on, until the slice is over or there are
 * no more (@done). */
int scrub_datasets(struct scrub *s, bool *done);
void scrub_seen_release(struct scrub *s);

/* -- scrub_space.c --------------------------------------------------------- */

int scrub_superblocks(struct scrub *s);
int scrub_slots(struct scrub *s, bool *done);

/* -- scrub_item.c ---------------------------------------------------------- */

/** Read what the root tree has; s->lock held, nobody at work. */
int scrub_load(struct scrub *s);
/** Write state and new findings to the root tree; read-only pools: nothing. */
int scrub_save(struct scrub *s);

/* -- for pool_worker.c ------------------------------------------------------ */

/** Somebody finds no space: end the slice, and commit, so that what is freed
 * comes back.  No locks held. */
void scrub_make_room(struct pool *pool);
/** The pool is being closed: stop, to be resumed. */
void scrub_close(struct pool *pool);
void scrub_free(struct pool *pool);

#endif
