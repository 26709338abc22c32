/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.h - what a device may hold after a crash
 *
 * Below: recording.h, blkdev_view.  Above: the prover.
 *
 * At event n of a recording all writes that a flush has covered are there.
 * Of those before n that none has, and of the one at n, which is under way,
 * each sector is there or not: that is all that losing, tearing and reordering
 * can do, since a sector that was written twice keeps one of the two.  A shape
 * says which sectors.
 */
#ifndef DBS_TESTS_CRASH_IMAGE_H
#define DBS_TESTS_CRASH_IMAGE_H

#include "tests/crash/recording.h"

#define SHAPE_PREFIX   0u	/* all before n, nothing of n */
#define SHAPE_LOG_ONLY 1u	/* of what was not flushed, the log's writes */
#define SHAPE_RANDOM   UINT_MAX /* any of them but the prefix */

/* What a recording's images share. */
struct image_base {
	uint8_t *
		bytes; /* CRASH_DEVICE_SIZE; all events before covered are in */
	size_t covered;
	/* blocks of the intent log */
	struct {
		uint64_t first, nr;
	} log[8];
	unsigned nr_log;
};

/** Find the log in the pool on @base->bytes. */
void image_base_init(struct image_base *base, uint8_t *bytes);

/** After event @e: what it covers cannot be lost any more. */
void image_base_advance(struct image_base *base, const struct recording *rec,
			const struct blkdev_event *e);

/** A view of what a crash at event @n leaves; deterministic by @rnd. */
struct blkdev *image_open(const struct image_base *base,
			  const struct recording *rec, size_t n, unsigned shape,
			  struct rnd *rnd);

/** The same on top of @dev, whose recording starts at its event 0. */
void image_apply(const struct image_base *base, struct blkdev *dev,
		 const struct recording *rec, size_t n, unsigned shape,
		 struct rnd *rnd);

#endif
