/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slow.h - a device whose flushes and writes let others run meanwhile
 *
 * Below: blkdev.h.  Above: workload.c.
 *
 * In memory a commit is over before anybody else gets to do something; with
 * this there are commits in flight.
 */
#ifndef DBS_TESTS_CRASH_SLOW_H
#define DBS_TESTS_CRASH_SLOW_H

#include "store/blkdev.h"

/** @below belongs to it from then on. */
struct blkdev *slow_open(struct blkdev *below);

#endif
