/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trial.h - one crash image, and what becomes of it
 *
 * Below: image.h, the store's check.  Above: prover.c.
 *
 * The image is checked, opened for writing (which replays), read in full and
 * found among the model's states; then some operations run on it and it
 * crashes once more, at any point of that: in the replay, in its first
 * commits or later.  What is left is checked, opened and found again.
 */
#ifndef DBS_TESTS_CRASH_TRIAL_H
#define DBS_TESTS_CRASH_TRIAL_H

#include "tests/crash/image.h"
#include "tests/crash/workload.h"

#define TRIAL_IMAGES 2u

struct trial {
	const struct workload *w;
	const struct recording *rec;
	const struct image_base *base;
	uint64_t seed;
	size_t n;		       /* event of the crash */
	unsigned variant;	       /* 0: the prefix; others: some shape */
	const struct promise *promise; /* by lane */
	bool verbose;
	const char *save; /* NULL, or a file to write a bad image to */
	/* out */
	unsigned nr_images; /* tried */
	char what[32];	    /* of a violation, or "" */
	char why[1024];
};

/** Returns whether all images held what was promised. */
bool trial_run(struct trial *t);

#endif
