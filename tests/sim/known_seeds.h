/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known_seeds.h - seeds that found something once
 *
 * What a seed does changes when the simulator or the store does, so a seed
 * may not run into the same thing again; most do.  Beside each: what it found.
 */
#ifndef DBS_TESTS_SIM_KNOWN_SEEDS_H
#define DBS_TESTS_SIM_KNOWN_SEEDS_H

#include <stdint.h>

static const uint64_t known_seeds[] = {
	/* a commit went on after a batch of the log had failed */
	3541,
	/* a diff of a readonly dataset with partial records in memory */
	3031,
	/* one read that failed marked a region of the space map as damaged */
	44,
	61,
	199,
	/* a flush that was under way when the pool was closed failed */
	2427,
};

#endif
