/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks.h - what the store asks of libc, made to fail
 *
 * Below: libc.  Above: tests/faults/.
 *
 * The store is linked once more into one object in which its calls of malloc
 * and the like, of the clock and of the random numbers go to hooks.c
 * (meson.build); the tests' own calls do not.
 */
#ifndef DBS_TESTS_FAULTS_HOOKS_H
#define DBS_TESTS_FAULTS_HOOKS_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Count allocations anew and let @nr of them fail, from the @nth (from 1) on;
 * @nth 0: none.  UINT64_MAX of them are all until the store waits for memory.
 */
void hooks_memory_fail(uint64_t nth, uint64_t nr);
/** While paused, none fails and none is counted. */
void hooks_memory_pause(bool on);
/** Allocations counted since hooks_memory_fail(), and how many failed. */
uint64_t hooks_memory_calls(void);
uint64_t hooks_memory_failed(void);

/** What time it is: @sec seconds after a fixed moment. */
void hooks_clock_set(uint64_t sec);
/** The same random bytes from here on each time. */
void hooks_random_reset(void);

/** Print none of the store's messages but failed assertions. */
void hooks_log_quiet(void);

#endif
