/* SPDX-License-Identifier: Apache-2.0 */
/*
 * change.h - damage a pool where its checksums do not show it
 */
#ifndef DBS_TESTS_FUZZ_CHANGE_H
#define DBS_TESTS_FUZZ_CHANGE_H

#include "tests/fuzz/fuzz.h"

/* One change; 8 bytes of an input. */
#define FUZZ_CHANGE_BYTES 8u

/** Forget the changes made so far; the device shows @base. */
void fuzz_change_begin(const struct fuzz_base *base);
/** Do what the next FUZZ_CHANGE_BYTES of @in say to the device. */
void fuzz_change(struct fuzz_input *in);
/** Only the space map and the superblock's part of it. */
void fuzz_change_space(struct fuzz_input *in);
/** Make all checksums right again, from the leaves to the superblock. */
void fuzz_change_end(void);

#endif
