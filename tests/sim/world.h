/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - clients, their pool, and what a crash may leave of their work
 *
 * Below: the model's runner, the simulated device.  Above: main.c.
 *
 * Each client works on datasets of its own, with a model of its own, one
 * operation after another; the clients run at the same time.  A crash takes
 * the device's image; every client then ends the operation that it is in, on
 * the device that goes on, only so that its model knows what that operation
 * would have done.
 *
 * What must hold after the crash.  Let the states of client c be s(c,0),
 * s(c,1) ..., one after each of its operations.
 *
 *  W1  The pool opens, and the check before it finds nothing.
 *  W2  Each client's datasets are in one of its states s(c,k(c)).
 *  W3  k(c) is not below what c was told is durable before the crash: by
 *      fsync, which makes durable all that was done to its dataset, and so
 *      what came before; by create, snapshot, clone, restore, rename and
 *      destroy; or by anybody's sync, for what had ended before it began.
 *  W4  There is one order.  An operation that ended before another began, in
 *      whatever dataset, comes before it; so if what the second one did is
 *      there, what the first one did is there too.  Operations that ran at
 *      the same time may come in either order.
 *  W5  The pool holds no other datasets.
 *
 * States that look the same (an operation that failed or only read) leave a
 * choice for k(c).  W4 only ever asks for more, so the least k(c) that W2 and
 * W3 allow are raised until W4 holds, and if that takes one of them beyond
 * its last state that fits, there is no choice that would do.
 */
#ifndef DBS_TESTS_SIM_WORLD_H
#define DBS_TESTS_SIM_WORLD_H

#include "store/os.h"
#include "store/store.h"
#include "tests/lib/model_run.h"
#include "tests/sim/sim_dev.h"

#define CLIENTS_MAX 4u

/* When a state came to be, by the world's count of beginnings and ends. */
struct moment {
	uint64_t begin, end;
};

struct client {
	struct world *world;
	unsigned number;
	char prefix[16];
	struct os_thread thread;
	struct rnd rnd;
	struct model_run run;	  /* for one life of the pool */
	struct model_state state; /* between two lives */
	unsigned serial;	  /* run.serial, the same */
	struct moment *moments;	  /* of run.states */
	size_t cap_moments;
	size_t nr_timed;     /* of them, filled in */
	uint64_t step_begin; /* of the step under way */
	uint64_t began_at;   /* the same in sim_steps() */
	uint64_t steps_left;
	/* at the crash */
	size_t must; /* index of the last durable state */
	/* for the search: which states fit, and the one chosen */
	bool *fits;
	size_t nr_states, chosen;
};

/* What dice decide once for a seed. */
struct plan {
	uint64_t seed;
	unsigned nr_clients, nr_lives, nr_steps;
	size_t cache_bytes;
	uint32_t commit_ms;
	bool few_counts; /* a commit lets go of most of the space map's */
	bool watched;
	bool full; /* the pool has hardly any room */
	bool verbose, trace;
	bool ignore_flushes; /* must be found */
};

/* A pool to start from, made once for all seeds. */
struct start {
	struct blkdev *dev; /* in memory; nobody writes to it any more */
	const uint8_t *base;
	uint64_t nr_blocks;
	unsigned nr_datasets; /* that no client knows */
};

struct tally {
	uint64_t nr_ops, nr_full, nr_crashes, nr_closes, nr_checks, nr_faults;
	uint64_t nr_failed; /* pools that turned read-only */
	uint64_t nr_again;  /* crashes while a pool was opened */
	uint64_t nr_commits, nr_writes, steps;
};

struct world {
	struct plan plan;
	const struct start *starts[2]; /* with room, and nearly full */
	const struct start *start;     /* the seed's */
	struct rnd rnd;
	struct blkdev *dev; /* the pool borrows it */
	struct pool *pool;
	struct client clients[CLIENTS_MAX];
	struct os_thread watcher;
	struct rnd watch_rnd;
	unsigned nr_working; /* clients that are not done */
	uint64_t moments;    /* beginnings and ends so far */
	bool stop;	     /* no client begins anything any more */
	bool faults;	     /* the device fails in this life */
	/* the crash */
	bool crashed;
	struct sim_image crash; /* what it left */
	struct sim_image other; /* what it may have left as well; or none */
	struct sim_image again; /* left by one more, in the recovery; or none */
	uint64_t allocated;	/* bytes, when the clients had nothing */
	struct tally tally;
};

/** Live and crash as @seed has it; the caller has set starts and flags. */
void world_run(struct world *w, uint64_t seed);

/* -- start.c --------------------------------------------------------------- */

/** A new pool of @size bytes; with @full hardly anything is free in it. */
void start_make(struct start *start, uint64_t size, bool full);
void start_release(struct start *start);

/* -- client.c -------------------------------------------------------------- */

/** The task of a client: random operations until it is told to stop. */
void client_main(void *client);
/** Start or end a life of the pool: the model begins at client.state. */
void client_begin(struct client *c);
void client_end(struct client *c);

/* -- watcher.c ------------------------------------------------------------- */

/** Look around until no client works any more. */
void watcher_main(void *world);

/* -- recover.c ------------------------------------------------------------- */

/** W1's check of @image; returns how many bytes it counts as in use. */
uint64_t must_check(struct world *w, const struct sim_image *image);
/** W2 to W5: find the states that the open pool holds, into client.chosen. */
void must_hold_states(struct world *w);

#endif
