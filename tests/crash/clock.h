/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.h - time and randomness of the store while it is proved
 *
 * Below: nothing.  Above: workload.c, the prover.
 *
 * The linker gives these to the store instead of os.h's (--wrap), so that one
 * seed makes the same bytes each time, as far as one thread makes them.
 */
#ifndef DBS_TESTS_CRASH_CLOCK_H
#define DBS_TESTS_CRASH_CLOCK_H

#include <stdint.h>

/**
 * Start again at second @start; @step_ns pass whenever someone looks, 0: a
 * microsecond.
 */
void clock_reset(uint64_t seed, uint32_t start, uint32_t step_ns);

#endif
