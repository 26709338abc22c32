/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_run.h - random operations on a pool and on its model at once
 *
 * Below: model.h, the store's public functions.  Above: the model and crash
 * tests.
 *
 * A step runs one operation, checks its result against what the model
 * expects and changes the model in the same way.  The state after each step
 * is kept until it is known to be durable, so that after a crash the pool can
 * be compared with every prefix it may have come back to.
 *
 * A difference ends the program with the seed and the operation's number.
 */
#ifndef DBS_TESTS_MODEL_RUN_H
#define DBS_TESTS_MODEL_RUN_H

#include "tests/lib/model.h"
#include "tests/lib/rnd.h"

#define MODEL_HANDLES 12u

struct model_run_options {
	uint64_t seed;
	const char *prefix;  /* of names of datasets; NULL: none */
	unsigned max_roots;  /* datasets and snapshots together */
	unsigned max_inodes; /* in a dataset */
	uint64_t max_file;   /* usual file sizes; sparse ones go beyond */
	bool full_ok;	     /* -ENOSPC may come, and then changes nothing */
	bool fill;	     /* make it come: large writes of random bytes */
	bool plain; /* no long names, big xattrs or huge sparse files */
	/* only calls that are one operation each: a crash may come in one */
	bool one_piece;
	bool keep_states; /* all of them, not only what a crash may show */
	bool verbose;
	/* close or abandon the pool and open it again */
	struct pool *(*reopen)(void *arg, struct pool *pool, bool crash);
	/*
	 * A test makes calls fail: is -errno one of those?  Nothing has changed
	 * then, and run.fault keeps it.  May be NULL.
	 */
	bool (*is_fault)(void *arg, int rc);
	/* the calls up to @on false are the test's own: let none of them fail;
	 * may be NULL */
	void (*quiet)(void *arg, bool on);
	/* states[durable] has become so; may be NULL */
	void (*on_durable)(void *arg, size_t durable);
	void *arg;
};

struct model_handle {
	struct dataset *ds; /* NULL: not used */
	uint32_t root;
	uint64_t ino;
	bool write;
};

struct model_run {
	struct model_run_options o;
	struct rnd rnd;
	struct pool *pool;
	struct model_state now;
	struct model_state *states; /* after each step, oldest first */
	size_t nr_states, cap_states;
	size_t durable; /* index of the last state known to be durable */
	struct model_handle handles[MODEL_HANDLES];
	uint64_t nr_ops, nr_full;
	unsigned serial; /* of names */
	int fault;	 /* the last one run into; a test sets it to 0 */
	char what[400];	 /* the operation under way */
	uint8_t *buf;	 /* 1 MiB */
};

/** Start on @pool, which is empty and stays the caller's. */
void model_run_init(struct model_run *run, struct pool *pool,
		    const struct model_run_options *options);
void model_run_release(struct model_run *run);
/** Right after model_run_init(): the pool holds @s already. */
void model_run_start_from(struct model_run *run, const struct model_state *s);
/** Close all files and let go of all datasets. */
void model_run_close_handles(struct model_run *run);
/** Run one random operation. */
void model_run_step(struct model_run *run);
/** pool_sync() and note that all states so far are durable. */
void model_run_sync(struct model_run *run);
/** Compare everything now; a difference ends the program. */
void model_run_verify(struct model_run *run);
/** Compare one root, picked at random. */
void model_run_verify_one(struct model_run *run);
/** Close all handles and open the pool anew. */
void model_run_reopen(struct model_run *run, bool crash);
/** Destroy all datasets and wait until their space has come back. */
void model_run_destroy_all(struct model_run *run);
/**
 * Which of states [@from, @to) does @pool hold?  The newest that fits, or
 * SIZE_MAX with @why.
 */
size_t model_run_find(const struct model_run *run, size_t from, size_t to,
		      struct pool *pool, char *why, size_t cap);

#endif
