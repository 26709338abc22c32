/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool_internal.h - struct pool, for pool*.c, txg*.c, op.c and dataset*.c
 *
 * Lock order: names, txg.hold, ds->lock, leaves (txg.lock, group->lock,
 * cache shards, space map).  docs/locking.md has it in full.
 */
#ifndef DBS_STORE_POOL_INTERNAL_H
#define DBS_STORE_POOL_INTERNAL_H

#include "store/btree.h"
#include "store/dataset_internal.h"
#include "store/format.h"
#include "store/ilog.h"
#include "store/node_cache.h"
#include "store/os.h"
#include "store/pool.h"
#include "store/space_map.h"
#include "store/txg.h"

struct ilog_place;

enum note_kind {
	NOTE_CLAIM,	/* run [first, first + nr) got its first reference */
	NOTE_REF,	/* one more to the run or node at first */
	NOTE_UNREF,	/* one less to the run */
	NOTE_SHADOW,	/* node: its content lives on in a copy */
	NOTE_DROP,	/* node, a leaf: its content went with it */
	NOTE_FREE_NODE, /* first: a node of this group, emptied */
	NOTE_KILL,	/* tree (first, txg, level) lost a name */
	NOTE_DEFER,	/* write buf to the run */
};

struct note {
	uint64_t first;
	uint32_t nr;
	uint8_t kind;
	uint8_t level;
	union {
		struct node *node; /* held */
		void *buf;	   /* owned */
		uint64_t txg;
	};
	struct note *next_deferred; /* NOTE_DEFER: in the group's hash */
};

#define NOTES_PER_CHUNK 1024u
struct note_chunk {
	struct note_chunk *next;
	uint32_t nr;
	struct note note[NOTES_PER_CHUNK];
};

#define DEFER_BUCKETS 256u

/* What one commit makes durable. */
struct txg_group {
	uint64_t seq; /* immutable */
	struct os_mutex lock;
	/* under lock */
	struct note_chunk *first_chunk, *last_chunk;
	uint64_t nr_notes;
	struct list dirty_nodes;
	uint64_t nr_dirty_nodes;
	struct list dirty_datasets;
	uint32_t nr_dirty_datasets;
	struct note *deferred[DEFER_BUCKETS];
	uint32_t nr_deferred; /* atomic for the quick look */
	/* the committer only: notes [.., applied) are in the counts */
	struct note_chunk *applied_chunk;
	uint32_t applied;
};

struct txg_state {
	struct os_rwlock hold; /* ops share it, sealing has it alone */
	/* atomic; changed with hold (shared for a dataset's seal) */
	uint64_t open_txg;   /* number that births get now */
	uint64_t sealed_txg; /* last number of the group before the open one */

	struct os_mutex lock;
	struct os_cond work; /* the committer waits */
	struct os_cond done; /* others wait for it */
	/* under lock */
	struct txg_group *open, *syncing;
	uint64_t committed_seq;
	uint64_t committed_txg;
	bool committing; /* someone is at it */
	bool stop;
	int error; /* of the pool: set once (T4) */
	bool kicked;
	uint32_t reap_skipped; /* commits since the reaper's last step */

	/* a leaf: taken under a group's lock, which is taken under lock */
	struct os_mutex note_lock;
	/* under note_lock */
	struct note_chunk *spare;
	uint32_t nr_spare;
	uint64_t notes_reserved;

	struct os_thread thread;
};

/* What ops take from the log record that is replayed, not from the clock. */
struct pool_replay {
	bool on;
	struct timespec now; /* the time of what is done now */
	uint64_t sealed;     /* last txg before a snapshot, clone, restore */
	/* what a commit says of where replay is (ilog_replay.h, Y2) */
	uint64_t seq, pos, prev_csum;
	uint32_t skip; /* log records of that batch that are done */
};

/* Datasets that wait for a thread's work; under pool->work_lock. */
struct pool_queue {
	struct pool *pool;
	void (*work)(struct dataset *ds);
	struct dataset **ds; /* each with a reference */
	uint32_t nr, cap;
	bool busy;
	struct os_thread thread;
};

#define DATASET_BUCKETS 1024u
#define DATASET_ID_END	(1u << 24) /* ids are below: st_ino has 24 bits */

struct pool {
	/* immutable after open */
	struct blkdev *dev;
	struct pool_options options;
	uint8_t uuid[16];
	uint64_t id; /* the UUID's first 8 bytes */
	char name[POOL_NAME_MAX + 1];
	uint64_t hash_seed;
	int64_t created;
	struct space_map *sm;
	struct node_cache *nc;
	bool read_only;
	char why[sizeof(((struct store_error *)0)->text)]; /* pool_stat's */
	struct txg_state txg;
	struct ilog *ilog;
	struct pool_replay replay; /* while it is opened, one thread */

	/* the committer only */
	struct superblock *sb; /* as last written, or as it will be */
	struct btree space_tree;
	uint64_t commit_seq;

	/* under names, with txg.hold for what the root tree says */
	struct os_mutex names;
	struct btree root_tree;
	uint32_t next_dataset;
	struct dataset *by_id[DATASET_BUCKETS];
	struct dataset *by_name[DATASET_BUCKETS]; /* datasets only */
	uint32_t nr_datasets, nr_snapshots;

	/* atomic */
	uint64_t nr_dead;
	uint64_t nr_errors;
	uint64_t nr_commits;
	uint64_t commit_ns_last, commit_ns_max;

	/* work in the background (pool_worker.c) */
	struct os_mutex work_lock;
	struct os_cond work;
	struct pool_queue purge, flush;
	bool work_stop;
	struct os_thread zero_thread;
	struct scrub *scrub; /* atomic; NULL: nobody asked for it (scrub.h) */
};

/* -- op.c ----------------------------------------------------------------- */

/** Append a note to the op's group. */
struct note *op_note(struct op *op, enum note_kind kind, uint64_t first,
		     uint32_t nr);
/** A new dirty node of the op's group, from its reservation. */
struct node *op_new_node(struct op *op, const struct btree *bt);
/** Keep held node @n until this run of the body ends; if not @owned it will be
 * shadowed, which is counted once.  Takes over the hold.  Errors: -ENOMEM */
int op_touch(struct op *op, struct node *n, bool owned);
/** Choose the txg number for births, once a run. */
void op_stamp(struct op *op);
/** Have room for @nr more notes (txg.lock not held). */
int txg_reserve_notes(struct pool *pool, uint64_t nr);
void txg_unreserve_notes(struct pool *pool, uint64_t nr);

/* -- txg.c ---------------------------------------------------------------- */

int txg_init(struct pool *pool);
void txg_release(struct pool *pool);
int txg_start(struct pool *pool);
/** Stop the committer after a last commit. */
int txg_stop(struct pool *pool);
/** What follows is born later than all before (snapshot ...); returns the
 * number that ended.  In an op's apply half. */
uint64_t txg_seal_births(struct op *op);
/** Wait while budgets are used up. */
int txg_throttle(struct pool *pool);
/** Frames are short: commit, or wait a moment for others' ops to end. */
int txg_wait_for_room(struct pool *pool);
/** The last txg that is on disk; the pool's error, or 0. */
uint64_t txg_committed(struct pool *pool);
int txg_error(struct pool *pool);
/** Is there anything that a commit would write? */
bool txg_anything_open(struct pool *pool);
/** Make the space map cover @nr_blocks, between two commits, and commit. */
int txg_grow(struct pool *pool, uint64_t nr_blocks);
/** Put the datasets that wait to be sealed (the pool is being freed). */
void txg_drop_datasets(struct pool *pool);
/** Commit what is open now, in the caller's thread. */
int txg_commit(struct pool *pool);

/* -- txg_apply.c ---------------------------------------------------------- */

/** Turn the group's notes into counts; the committer. */
void txg_apply_notes(struct pool *pool, struct txg_group *group, struct op *op);
/** Drop the notes' holds and buffers after the commit. */
void txg_free_notes(struct pool *pool, struct txg_group *group);

/* -- reaper.c ------------------------------------------------------------- */

/** Give back a bounded part of the dead trees; returns whether some are left. */
bool reaper_step(struct pool *pool, struct op *op);
int reaper_open(struct pool *pool);
/** A tree whose root has its last reference in a name that is gone. */
void reaper_add(struct pool *pool, struct op *op, const struct note *kill);
/** One reference less to a node whose children are dealt with. */
void reaper_free_node(struct pool *pool, struct op *op, uint64_t blkno);

/* -- superblock.c --------------------------------------------------------- */

/**
 * The newest valid superblock of both rings.
 * Errors: -EINVAL no pool here; -EUCLEAN one, but no superblock is valid;
 *         -ENOTSUP version or features; with a sentence
 */
int superblock_read(struct blkdev *dev, struct superblock *sb, bool read_only,
		    struct store_error *error);
/** Are the fields of @sb within their bounds?  0 or -EUCLEAN. */
int superblock_verify(const struct superblock *sb, uint64_t dev_size,
		      struct store_error *error);
/** Write it to its slot in both rings; no flush. */
int superblock_write(struct blkdev *dev, struct superblock *sb);

/* -- dataset.c ------------------------------------------------------------ */

int dataset_load_all(struct pool *pool, struct store_error *error);
void dataset_free_all(struct pool *pool);
/** Put @ds's item into the root tree; committer at seal, or names held. */
void dataset_store(struct op *op, struct dataset *ds);
int dataset_touch(struct op *op, struct dataset *ds);
/** Touched: will dataset_store() write over an item of the same length, so
 * that no node splits? */
bool dataset_store_fits(struct op *op, const struct dataset *ds);

/** Count fresh blocks anew where DATASET_RECOUNT says so (dataset_charge.c). */
int dataset_recount(struct dataset *ds);

/* -- pool_worker.c -------------------------------------------------------- */

void pool_worker_init(struct pool *pool);
int pool_worker_start(struct pool *pool);
void pool_worker_stop(struct pool *pool);
void pool_worker_release(struct pool *pool);
/** Wait until the worker has nothing to do. */
void pool_worker_wait(struct pool *pool);
/** A commit that may bring blocks back; 1: so may the next, as the reaper had
 * work.  -ENOSPC: none could. */
int pool_wait_space(void *pool);
/** The same for who holds the space map (space_map_hold()). */
int pool_commit_space(struct pool *pool);

/* -- pool.c --------------------------------------------------------------- */

/** The time that what is done now gets: replay's, or the clock's. */
struct timespec pool_time(const struct pool *pool);
/** The number that a log record, or else this snapshot ..., says for @sealed. */
uint64_t pool_sealed(const struct pool *pool, uint64_t sealed);
/** A pool object for @sb on @dev, nothing loaded yet. */
int pool_new(struct blkdev *dev, const struct superblock *sb,
	     const struct pool_options *options, struct pool **pool);
/**
 * Open the pool on @dev, replay its intent log up to @end, commit, and free all
 * but the device (ilog_replay_until()).
 */
int pool_replay_until(struct blkdev *dev, struct ilog_place *end,
		      struct store_error *error);
/** Free all but the device. */
void pool_free(struct pool *pool);

void store_error_set(struct store_error *error, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
