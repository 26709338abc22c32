/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.h - one operation: prepare, then apply
 *
 * Below: txg, node cache, space map.  Above: btree, files, datasets.
 *
 * Whatever changes a tree runs as an op.  Its body runs under the locks,
 * looks everything up, and changes things only after op_ready() said that
 * nothing can be missing any more:
 *
 *	static int body(struct op *op, void *arg)
 *	{
 *		... btree_get(), btree_seek(): may return -EAGAIN ...
 *		... btree_touch() for every key to be put or deleted ...
 *		rc = op_ready(op);
 *		if (rc)
 *			return rc;
 *		... btree_put(), btree_del(), op_claim() ...: cannot fail ...
 *		return 0;
 *	}
 *
 * A node that is not in the cache is never read under a lock: the lookup
 * notes it and returns -EAGAIN, the body returns that, op_run() drops the
 * locks, reads and verifies the node, holds it, and runs the body again.  So
 * a body must be able to run any number of times; before op_ready() it may
 * change nothing but its own locals and *arg.
 *
 * Refcounts are not touched by an op.  It notes what happened (claimed,
 * shared, dropped, shadowed) in order; the committer turns the notes into
 * counts.  See txg.h and docs/decisions/0001-counts-at-commit.md.
 *
 * Invariants:
 *  P1  an op's apply half takes memory and blocks only from what op_begin()
 *      and op_ready() reserved; it does no I/O and cannot fail.
 *  P2  all of an op's changes are in one txg.
 *  P3  a node is changed in place only if it was born in the open group and
 *      after its tree was last shared; otherwise it is shadowed.
 */
#ifndef DBS_STORE_OP_H
#define DBS_STORE_OP_H

#include <stdbool.h>
#include <stdint.h>

struct dataset;
struct ilog_record;
struct node;
struct pool;
struct tree_root;

#define OP_READ	       1u  /* changes nothing: no reservation, no txg */
#define OP_USE_RESERVE 2u  /* gives space back: may use the reserve */
#define OP_COMMITTER   4u  /* run by the committer, on the sealed group */
#define OP_HOLDER      16u /* holds the space map: waits for no other who does */
#define OP_SETTLE      8u  /* what users see stays: on a readonly dataset too */

struct op {
	struct pool *pool;
	unsigned flags;
	uint64_t txg;		 /* births, from the first touch of a run on */
	uint64_t sealed_txg;	 /* nodes born later are in the open group */
	struct txg_group *group; /* the same */
	/* what the last -EAGAIN was about */
	uint64_t miss_blkno, miss_txg;
	uint8_t miss_level;
	uint64_t bad_blkno, bad_txg; /* could not be read once */
	bool miss_optional;	     /* the op can do without what is missing */
	bool without;		     /* it could not be read: do without */
	/* nodes that were missing, held until the op's end */
	struct node **pins;
	uint32_t nr_pins, cap_pins;
	/* nodes touched in this run of the body, held, each once */
	struct node **touched;
	uint32_t nr_touched, cap_touched;
	/* nodes that the apply half may make: blocks and frames */
	uint32_t nr_reserved; /* held now */
	uint32_t nr_used;     /* taken from it */
	uint32_t nr_shadows;  /* counted by btree_touch() in this run */
	uint32_t nr_splits;   /* bound that op_begin() was told */
	uint32_t nr_notes;    /* room for notes reserved in the group */
	unsigned nr_waits;    /* for memory */
	bool ready;	      /* op_ready() returned 0: applying */
	/* what the intent log gets (ilog.h) */
	struct ilog_record *record; /* NULL: nothing, or it is the log's now */
	uint64_t lsn;		    /* its number, once ready */
	uint64_t claimed;	    /* run that op_claim() was last told of */
	bool sealing;  /* extents' bytes are what was logged, not on disk */
	bool unlogged; /* changes of trees follow from another part */
};

/**
 * Reserve what an op with at most @nr_puts puts needs; waits while a txg's
 * budgets are used up.  op_end() must follow when it returned 0.
 * Errors: -ENOSPC; -ENOMEM; -EROFS
 */
int op_begin(struct op *op, struct pool *pool, uint32_t nr_puts,
	     unsigned flags);
/** Give back what is left of the reservations, release all held nodes. */
void op_end(struct op *op);

/** Join the open txg (a shared lock) and leave it again. */
void op_enter(struct op *op);
void op_leave(struct op *op);

/** After -EAGAIN, without locks: get what was missing.  0: run again. */
int op_resolve(struct op *op);
/** After a run of a body that returned @rc, without locks: -EAGAIN: run it
 * again; else what it came to.  The committer waits for memory here. */
int op_retry(struct op *op, int rc);

/** The border between prepare and apply: 0, or -EAGAIN run again. */
int op_ready(struct op *op);
/** The committer only: what was readied is applied; prepare the next thing. */
void op_again(struct op *op);

/*
 * Notes for the committer, in the apply half only.  A run is what one extent
 * item names; its reference count lives in its first block.
 */
/** The reserved run got its first reference (space_map_alloc() made it). */
void op_claim(struct op *op, uint64_t first, uint32_t nr);
/** One more, one less reference to a claimed run. */
void op_ref(struct op *op, uint64_t first, uint32_t nr);
void op_unref(struct op *op, uint64_t first, uint32_t nr);
/** @old's content was copied to a new node, which replaces it. */
void op_note_shadow(struct op *op, struct node *old);
/** Nothing here names leaf @node any more, and its content went with it. */
void op_note_drop(struct op *op, struct node *node);
/** A whole tree lost a name: its root's reference is dropped, with all that
 * hangs below if it was the last. */
void op_note_kill(struct op *op, const struct tree_root *root);

/*
 * A reservation that outlives an op: @nr_nodes frames and blocks, taken now
 * and moved into a running op later.  @flags: OP_USE_RESERVE or 0.
 * Errors of op_hold(): -ENOSPC; -ENOMEM
 */
int op_hold(struct pool *pool, uint32_t nr_nodes, unsigned flags);
void op_unhold(struct pool *pool, uint32_t nr_nodes);
void op_use_held(struct op *op, uint32_t nr_nodes);

/* -- on one dataset ------------------------------------------------------- */

typedef int op_body_fn(struct op *op, struct dataset *ds, void *arg);

/**
 * Run @body on @ds with its lock held for writing, as often as it takes.
 * Errors: -EROFS a snapshot or readonly; -ESTALE destroyed; op_begin()'s;
 *         the body's own
 */
int op_change(struct dataset *ds, uint32_t nr_puts, unsigned flags,
	      op_body_fn *body, void *arg);
/** The same with the lock held for reading and nothing reserved. */
int op_read(struct dataset *ds, op_body_fn *body, void *arg);

#endif
