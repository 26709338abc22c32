/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log.h - write batches of log records that replay has never seen
 *
 * The chain, stamps and checksums are right, so that what is behind them is
 * reached: the parser of log records, and replay.
 */
#ifndef DBS_TESTS_FUZZ_LOG_H
#define DBS_TESTS_FUZZ_LOG_H

#include "tests/fuzz/fuzz.h"

/** Keep the log records of some ops on @base, to build inputs from. */
void fuzz_log_capture(const struct fuzz_base *base);
/** Log records that are kept. */
unsigned fuzz_log_nr(void);

/**
 * Put what @in says, at most @max steps of it, into the ring of the pool on
 * the device (fuzz_device()), whose newest superblock is @sb.
 */
void fuzz_log_write(struct superblock *sb, struct fuzz_input *in, unsigned max);

#endif
