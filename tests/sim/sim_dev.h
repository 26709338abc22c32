/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim_dev.h - a simulated device that forgets, tears and fails
 *
 * Below: sim.h, blkdev.h.  Above: the simulator.
 *
 * Every call takes virtual time, and other tasks run meanwhile.  A write that
 * no flush has covered may be on the medium or not, whole or in parts of 512
 * bytes, when the power goes; so may one that is under way.  A flush makes
 * what had returned before it began durable (D3), and nothing else; one that
 * fails loses, for good, some of what it should have made durable, and all
 * later ones fail, as blkdev_file.c makes them.
 *
 * The power goes in a copy: sim_dev_crash() takes the image that would be left
 * now, and the device goes on, so that whoever is in the middle of a call can
 * end it and learn what that call did.
 *
 * Checked on every call: no lock is held (docs/locking.md), no two writes of
 * the same block are under way, nobody changes what is being written.
 */
#ifndef DBS_TESTS_SIM_DEV_H
#define DBS_TESTS_SIM_DEV_H

#include "store/blkdev.h"

/** Blocks of a device over bytes that many images share and none changes. */
struct sim_image {
	const uint8_t *base;
	uint8_t **blocks; /* private copies; NULL: the base's */
	uint64_t nr;
};

void sim_image_init(struct sim_image *image, const uint8_t *base,
		    uint64_t nr_blocks);
void sim_image_copy(struct sim_image *to, const struct sim_image *from);
void sim_image_release(struct sim_image *image);

enum sim_crash {
	SIM_CRASH_KEEP, /* all writes that returned: as when a process ends */
	SIM_CRASH_LOSE, /* none that was not flushed */
	SIM_CRASH_SOME, /* dice for each write and sector */
	SIM_NR_CRASHES,
};

struct sim_faults {
	/* one in so many calls fails; 0: none */
	unsigned read_one_in, write_one_in, flush_one_in;
	unsigned at_most; /* together */
};

struct sim_dev_stat {
	uint64_t nr_reads, nr_writes, nr_flushes;
	uint64_t nr_read_faults, nr_write_faults; /* flushes are writes here */
	uint64_t last_read_fault;		  /* sim_steps() */
};

/** A device that holds a copy of @image. */
struct blkdev *sim_dev_open(const struct sim_image *image);
void sim_dev_fail(struct blkdev *dev, const struct sim_faults *faults);
/** While more were on than off: no fault. */
void sim_dev_spare(struct blkdev *dev, bool on);
void sim_dev_stat(struct blkdev *dev, struct sim_dev_stat *st);
/** Lie: flushes do nothing but return 0.  A test of the test. */
void sim_dev_ignore_flushes(struct blkdev *dev);
/** The image that a crash right now leaves; the caller's to release. */
void sim_dev_crash(struct blkdev *dev, enum sim_crash how,
		   struct sim_image *image);
/** Call @fn(@arg) once, at the @events-th event from now: each write that
 * starts or ends and each flush that ends is one.  0: never. */
void sim_dev_alarm(struct blkdev *dev, uint64_t events, void (*fn)(void *arg),
		   void *arg);

#endif
