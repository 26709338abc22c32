/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_internal.h - shared by check*.c
 *
 * check.c drives, check_space.c recomputes and compares counts, check_tree.c
 * walks trees, check_pool.c knows the pool's own trees, check_fs.c a
 * dataset's files.  check_repair.c rebuilds the space map, check_discard.c
 * finds out what of a damaged intent log has to be given up.
 *
 * The check is a second opinion: it reads the device itself and uses none of
 * what a running pool keeps in memory.  Nothing from disk is trusted; what is
 * found wrong is reported, and the check goes on beside it.
 *
 * All functions return 0 or a negative errno that ends the check (-ENOMEM);
 * what is wrong with the pool is no error here, but a finding.
 */
#ifndef DBS_STORE_CHECK_INTERNAL_H
#define DBS_STORE_CHECK_INTERNAL_H

#include "store/btree.h"
#include "store/check.h"
#include "store/dataset.h"
#include "store/format.h"
#include "store/idmap.h"
#include "store/ilog_replay_internal.h"
#include "store/node.h"

/* What is known of a subtree that holds nothing but extents of one inode. */
struct extent_sum {
	uint64_t ino;	      /* 0: it is not one */
	uint64_t first, last; /* offsets of keys */
	uint64_t nr_extents, nr_blocks;
};

/* A node that was met. */
struct check_node {
	uint64_t blkno;
	uint64_t txg;
	uint32_t count; /* pointers to it, as recomputed */
	uint8_t level;
	bool bad;    /* unreadable, or something below it is */
	bool harmed; /* a record below it is damaged */
	struct extent_sum sum;
};

/* A large count: a run's as recomputed, or any block's in the space tree. */
struct check_count {
	uint64_t blkno;
	uint64_t count;
	uint64_t seen;
};

struct check_bad {
	uint64_t blkno;
	const char *why;
};

/* What a tree of files adds up to. */
struct tree_totals {
	uint64_t root; /* blkno */
	uint64_t referenced, logical, fresh, nr_inodes, nr_orphans;
	uint64_t fresh_after; /* the txg that fresh was counted from */
	uint64_t next_ino;    /* above all that were seen */
	bool bad;	      /* not all could be read */
	bool harmed;	      /* a record is damaged */
	const struct check_dataset *of; /* that was walked */
};

struct check_dataset {
	uint32_t id;
	struct dataset_item item;
	char name[DATASET_NAME_MAX + 1];
	char label[DATASET_FULL_NAME_MAX + 16]; /* as findings call it */
};

struct check_dead {
	uint64_t serial;
	struct dead_item item;
};

/* What is being walked: a repair can do without some of it. */
enum check_part {
	CHECK_TREES, /* the root tree, datasets; what lies at fixed places */
	CHECK_SPACE_TREE, /* large counts, names of dead trees */
	CHECK_DEAD_TREES,
	CHECK_PARTS,
};

struct check {
	struct blkdev *dev;
	const struct check_options *options;
	struct check_result *result;
	struct superblock sb;
	uint64_t pool_id, nr_blocks, txg, hash_seed;
	enum check_part part;
	struct ilog_scan scan;
	bool log_unclear; /* the intent log is damaged */
	bool incomplete;  /* not all could be walked: counts may be too low */
	bool damaged[CHECK_PARTS]; /* the same, where */
	uint64_t done;		   /* blocks accounted for, for progress */
	uint64_t next_progress;

	uint8_t *state;	       /* one a block, see check_space.c */
	struct idmap nodes;    /* struct check_node */
	struct idmap large;    /* struct check_count: of runs */
	struct idmap overflow; /* struct check_count: in the space tree */
	struct idmap roots;    /* struct tree_totals: of roots walked */
	struct idmap bad_runs; /* struct check_bad: damaged records */
	uint64_t *space_nodes; /* blocks of the space tree's nodes */
	size_t nr_space_nodes;

	struct check_dataset *datasets; /* by id */
	size_t nr_datasets;
	struct check_dead *dead;
	size_t nr_dead;

	uint8_t *page[NODE_LEVEL_MAX]; /* the node being walked, per level */
	uint8_t *record, *plain;       /* RECORD_BLOCKS_MAX blocks each */
};

#define ULL(x) ((unsigned long long)(x))

/** One finding: a sentence, lower case, no full stop. */
void check_report(struct check *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** No damage, but worth knowing. */
void check_note(struct check *c, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/** Something could not be counted, in the part that is being walked. */
void check_incomplete(struct check *c);
/** @nr more blocks are accounted for. */
void check_progress(struct check *c, uint64_t nr);
/** "is unreadable: ..." for an errno of a read or verify. */
const char *check_errno(int error);

/* -- check_space.c: counts ------------------------------------------------ */

int check_counts_init(struct check *c);
void check_counts_release(struct check *c);
/** Superblock rings, slots, log ring, delta log. */
void check_counts_fixed(struct check *c);
/** One more pointer to a node.  @first: out: it had none before.
 * @n: out, NULL when the block is something else already (reported). */
int check_count_node(struct check *c, const char *label, uint64_t blkno,
		     uint64_t txg, uint8_t level, struct check_node **n,
		     bool *first);
/** One more extent that names the run.  @first: out.
 * @bad: out, NULL or why it cannot be. */
int check_count_run(struct check *c, uint64_t blkno, uint32_t nr, bool *first,
		    const char **bad);
/** Compare with what the space map says. */
int check_space(struct check *c);
/** What block @b's count should be. */
uint64_t check_count_wanted(const struct check *c, uint64_t b);
/** Read the slot that @e names to @page and see that it is what it means. */
int check_read_slot(struct check *c, const struct space_entry *e,
		    uint64_t first_slot, uint32_t type, void *page);
/** A region's counts as they are before they were ever written. */
void check_region_unwritten(const struct check *c, uint64_t r,
			    struct space_region *s);
/** Take block @b, which nothing uses, for a node; or (@use false) give it up. */
int check_count_new_node(struct check *c, uint64_t b, bool use);

/* -- check_tree.c: one tree ----------------------------------------------- */

struct walk {
	struct check *c;
	const char *label;
	bool count;  /* the first pass: counts, and reports what it finds */
	bool bad;    /* out: not all could be read */
	bool harmed; /* set by item(): a record is damaged */
	/*
	 * Called with each item, in order.  @first: nobody met this leaf
	 * before.
	 */
	int (*item)(struct walk *w, const struct node_item *it, bool first);
	/*
	 * May NULL.  Called for a subtree that was met before, was born in
	 * @txg and is nothing but extents: true when that is enough.
	 */
	bool (*skip)(struct walk *w, const struct extent_sum *sum,
		     uint64_t txg);
	/* May be NULL.  What stood in [lo, hi) is lost; @hi NULL: no end. */
	int (*lost)(struct walk *w, uint64_t blkno, const struct key *lo,
		    const struct key *hi);
	void *arg;
};

int check_walk(struct walk *w, const struct tree_ptr *tree);
/** One more reference to a root whose tree was walked. */
int check_walk_again(struct walk *w, const struct tree_ptr *tree);
/** What a dead item still holds. */
int check_walk_dead(struct walk *w, const struct dead_item *d);
/** Add up what makes a struct extent_sum of single items. */
void extent_sum_add(struct extent_sum *sum, const struct key *key,
		    uint64_t nr_extents, uint64_t nr_blocks);

/* -- check_pool.c: root tree, space tree, dead trees ---------------------- */

int check_pool_trees(struct check *c);
int check_dead_trees(struct check *c);

/* -- check_repair.c ------------------------------------------------------- */

/** Rebuild the space map, if options->repair wants it; @c: all was walked. */
int check_repair(struct check *c, struct store_error *error);

/* -- check_discard.c ------------------------------------------------------ */

struct check_discard {
	struct ilog_survey survey;
	struct ilog_place end; /* up to which it is replayed */
	bool whole;	       /* that is all of it */
	bool drop;	       /* none of it: check_discard_drop() is all */
};

/**
 * What the intent log names lies in blocks that the counts know nothing of:
 * they stay free, and as they are, until it is replayed.
 * @kept: such blocks are added, as keys
 */
int check_log_keep(const struct check *c, struct idmap *kept);
/** Is the log to be looked at, on behalf of who asked to give it up? */
bool check_discard_needed(const struct check *c);
/** Raise the numbers in @sb, the next superblock, above what the ring has.
 * Errors: -EUCLEAN there is no room above them; -ENOMEM */
int check_discard_init(struct check *c, struct check_discard *d,
		       struct superblock *sb);
/**
 * What is replayed, what is given up, if anything.
 * @on: shows the pool with its map repaired, and without its log if that is
 *      from after a lost superblock; is not changed
 * Errors: of what keeps the pool from being opened without its log, too
 */
int check_discard_plan(struct check *c, struct blkdev *on,
		       struct check_discard *d, struct check_log_plan *p,
		       struct store_error *error);
/** Once all of the log is old: write what cannot be read in the ring. */
int check_discard_mend(const struct check *c);
/** Let @sb say that all of the log is old. */
void check_discard_drop(const struct check_discard *d, struct superblock *sb);

/* -- check.c: a walk ------------------------------------------------------ */

/** Set up @c for the superblock in c->sb, and walk all trees; with @live_only
 * all that is not dead. */
int check_init(struct check *c);
void check_release(struct check *c);
int check_walk_all(struct check *c, bool live_only);

/* -- check_charge.c -------------------------------------------------------- */

/** Where @d has kin, put what it is charged for into @t, of its tree, whose
 * nodes were met; fresh_after: UINT64_MAX if not all could be read. */
int check_charge(struct check *c, const struct check_dataset *d,
		 struct tree_totals *t);

/* -- check_fs.c: a dataset's files ---------------------------------------- */

int check_dataset(struct check *c, const struct check_dataset *d);
/** An extent item: counts its run, and verifies its data if asked.
 * @bad: out, NULL or what is wrong with it; @first as for struct walk */
int check_extent(struct check *c, const struct node_item *it, bool first,
		 uint32_t recordsize, const char **bad);

#endif
