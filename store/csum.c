/* SPDX-License-Identifier: Apache-2.0 */
#include "store/csum.h"

#include <sys/uio.h>

/*
 * Inlined, so that the hash state can lie on the stack: its size is not part
 * of libxxhash's ABI.
 */
#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t csum_of(const void *buf, size_t len, uint64_t seed)
{
	return XXH3_64bits_withSeed(buf, len, seed);
}

uint64_t csum_of_iov(const struct iovec *iov, int nr_iov, uint64_t seed)
{
	XXH3_state_t state;

	if (nr_iov == 1)
		return csum_of(iov[0].iov_base, iov[0].iov_len, seed);
	XXH3_INITSTATE(&state);
	XXH3_64bits_reset_withSeed(&state, seed);
	for (int i = 0; i < nr_iov; i++)
		XXH3_64bits_update(&state, iov[i].iov_base, iov[i].iov_len);
	return XXH3_64bits_digest(&state);
}
