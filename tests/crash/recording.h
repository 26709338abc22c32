/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recording.h - a workload's run, as the device saw it and as the model did
 *
 * Below: model_run.h, blkdev_faulty.  Above: act.h, image.h, the prover.
 *
 * A recording has lanes: sequences of operations, each by one thread on
 * datasets of its own.  A lane keeps the model's state after each operation.
 * Marks among the device's events say when operation and state begin and end
 * and up to which state a lane was told that it is durable.
 *
 * Invariants:
 *  R1  what a lane was told before event n, the device has seen before n.
 *  R2  a state is not in the pool before the mark that begins it.
 */
#ifndef DBS_TESTS_CRASH_RECORDING_H
#define DBS_TESTS_CRASH_RECORDING_H

#include "store/blkdev.h"
#include "tests/lib/model_digest.h"
#include "tests/lib/model_run.h"

#define CRASH_DEVICE_SIZE (UINT64_C(64) << 20)
#define CRASH_LANES	  4u

struct recording;

struct lane {
	struct recording *rec;
	unsigned nr;
	struct model_run run; /* run.states: after each operation */
	char **what; /* by state: the operation that led to it; or NULL */
	size_t nr_what;
	/* by state, once the recording has ended */
	uint64_t *digest;
	size_t *begin, *end; /* events; SIZE_MAX: none */
};

struct recording {
	struct blkdev *faulty;
	struct pool_options options;
	struct pool *pool;
	struct lane lanes[CRASH_LANES];
	unsigned nr_lanes;
	uint64_t nr_commits, nr_batches; /* of the log */
	size_t first;			 /* event from which on crashes count */
	/* once it has ended */
	const struct blkdev_event **events;
	size_t nr_events;
	struct model_digests *digests;
};

/* What a crash may leave of one lane: states [lo, hi]. */
struct promise {
	size_t lo, hi;
};

/** Make a pool on a new device in memory; @base: out, malloc'd, a copy. */
struct blkdev *recording_new_pool(uint8_t **base);

/**
 * Open the pool on @below, which the recording owns from then on, and record.
 * The pool is taken to be empty.
 * Returns 0 or the -errno of the open, with @error; nothing to release then.
 */
int recording_open(struct recording *rec, struct blkdev *below,
		   const struct pool_options *options, unsigned nr_lanes,
		   uint64_t seed, struct store_error *error);
/** Leave the pool as a crash would; digests of all states are made.
 * @below: NULL, or digests of what recording_open() started from. */
void recording_end(struct recording *rec, const struct model_digests *below);
void recording_release(struct recording *rec);
/** Marks: the next state of @l may appear from now on ... */
void lane_begin(struct lane *l);
/** ... its operation has returned: keep the model's state. */
void lane_end(struct lane *l);

/** Take event @e into @promise[0..nr_lanes) (all 0 at the start). */
void recording_promise(const struct recording *rec,
		       const struct blkdev_event *e, struct promise *promise);

/** Is root @name compared?  What only takes space ("filler") is not. */
bool recording_watches(const char *name);
/** Which lane is root @name of? */
unsigned recording_lane_of(const struct recording *rec, const char *name);

/**
 * Is @found[0..nr_lanes) a state that a crash may leave?
 * @digest: what the pool holds, by lane
 * @state:  out, by lane
 * @why:    out, if not
 */
bool recording_find(const struct recording *rec, const struct promise *promise,
		    const uint64_t *digest, size_t *state, char *why,
		    size_t cap);
/** The first state of @l behind @state that is another; nr_states: none. */
size_t recording_next(const struct lane *l, size_t state);
/** All lanes' states at @state together; model_state_release() it. */
void recording_state(const struct recording *rec, const size_t *state,
		     struct model_state *out);

#endif
