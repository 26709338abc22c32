/* SPDX-License-Identifier: Apache-2.0 */
/*
 * small.h - calls that fail while a pool is made, and while it is checked
 *
 * Below: play.h.  Above: faults.c.
 */
#ifndef DBS_TESTS_FAULTS_SMALL_H
#define DBS_TESTS_FAULTS_SMALL_H

#include <stdint.h>

/** Make a pool with every @stride-th call failing; returns how many did. */
uint64_t small_create(uint64_t stride);
/** The same with the offline check of a pool that is clean. */
uint64_t small_check(uint64_t stride);

#endif
