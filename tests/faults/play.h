/* SPDX-License-Identifier: Apache-2.0 */
/*
 * play.h - one run of operations on a pool, with a call that fails
 *
 * Below: the model's runner, hooks.h, the faulty device.  Above: faults.c.
 *
 * A run is a number of steps: random operations from a seed (model_run.h),
 * commits, closing or abandoning the pool and opening it again, growing it.
 * The clock stands still within a step, so a run does the same each time until
 * a call fails.  What must hold then:
 *
 *  - a step that returns an error has changed nothing that can be read, and
 *    succeeds when it is repeated without the fault;
 *  - a step that returns 0 has happened;
 *  - a pool whose write or flush failed is read-only: it still reads as before
 *    or after the step, and no fsync or change succeeds any more;
 *  - on the healthy device the pool checks clean, opens, and holds a state
 *    not older than what was acknowledged; and goes on from there;
 *  - at the end, with all destroyed, no block is missing.
 *
 * An allocation that fails never makes a pool read-only.
 *
 * A device that goes on failing to read may cost free space that the committer
 * or an open needed to know about (S5), but nothing else.
 *
 * What does not hold ends the program.
 */
#ifndef DBS_TESTS_FAULTS_PLAY_H
#define DBS_TESTS_FAULTS_PLAY_H

#include "tests/lib/model_run.h"

/* What is to fail. */
struct plan {
	bool memory;	/* an allocation; else the device */
	unsigned calls; /* device: BLKDEV_CALL_* */
	uint64_t nth;	/* from 1; 0: nothing */
	uint64_t nr;	/* how many; on the device 1 or UINT64_MAX */
	int error;	/* device: -EIO ... */
	bool torn;	/* device: a failing write leaves a part */
};

struct tally {
	uint64_t injected;  /* runs in which something failed */
	uint64_t errors;    /* steps that said so */
	uint64_t unnoticed; /* runs in which every step succeeded at once */
	uint64_t read_only; /* runs whose pool became so */
	uint64_t lossy;	    /* runs that lost free space until a repair */
	uint64_t opens;	    /* opens that failed */
	uint64_t steps;
};

/* A run without faults: what the others are compared with. */
struct reference {
	uint64_t seed;
	unsigned nr_steps;
	uint8_t *image;		   /* the pool before the first step */
	struct model_state *state; /* after each step; [0]: before */
	uint64_t nr_memory;	   /* allocations */
	uint64_t nr_reads, nr_writes, nr_flushes;
	uint64_t allocated; /* bytes, when all was destroyed */
};

/** Play @ref->seed and @ref->nr_steps without faults and fill in the rest. */
void reference_play(struct reference *ref);
void reference_release(struct reference *ref);

void play(const struct reference *ref, const struct plan *plan,
	  struct tally *tally);

/* -- what other tests of calls that fail need ------------------------------- */

#define PLAY_DEVICE_SIZE (UINT64_C(72) << 20)

/** Call @fn in a thread of its own: what a thread keeps until its end is made
 * anew. */
void play_in_thread(void (*fn)(void *arg), void *arg);
/** Nothing that an earlier run left keeps an allocation from happening. */
void play_drain_buffers(void);
/** Check offline: the pool on @dev, which stays open, must be clean. */
void play_must_check(struct blkdev *dev);
/** A fresh pool, as bytes; free() them. */
uint8_t *play_new_image(void);

#endif
