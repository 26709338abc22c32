/* SPDX-License-Identifier: Apache-2.0 */
/*
 * use.h - use a pool that may be damaged, in every way there is
 *
 * Nothing is expected of what the calls return.  All loops over what the pool
 * says are bounded here, so whatever does not end is the store's.
 */
#ifndef DBS_TESTS_FUZZ_USE_H
#define DBS_TESTS_FUZZ_USE_H

#include "tests/fuzz/fuzz.h"

/** Do what @in says, at most @max calls. */
void fuzz_use(struct pool *pool, struct fuzz_input *in, unsigned max);
/** List all datasets, snapshots and names; read everything. */
void fuzz_walk(struct pool *pool);
/** The offline check of what is on @dev, or its repair. */
void fuzz_check(struct blkdev *dev, bool repair);

#endif
