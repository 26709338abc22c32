/* SPDX-License-Identifier: Apache-2.0 */
/*
 * csum.h - checksums: XXH3-64, seeded by what the bytes are
 *
 * Below: xxHash.  Above: all that writes or verifies a block.
 */
#ifndef DBS_STORE_CSUM_H
#define DBS_STORE_CSUM_H

#include <stddef.h>
#include <stdint.h>

/** Checksum of @len bytes; @seed is a META_* type or a fixed constant. */
uint64_t csum_of(const void *buf, size_t len, uint64_t seed);
/** The same over several pieces as if they lay together. */
struct iovec;
uint64_t csum_of_iov(const struct iovec *iov, int nr_iov, uint64_t seed);

#endif
