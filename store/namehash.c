/* SPDX-License-Identifier: Apache-2.0 */
#include "store/namehash.h"

#include "store/csum.h"

uint64_t namehash_dirent(uint64_t seed, const char *name, size_t len)
{
	uint64_t h = csum_of(name, len, seed) & ((UINT64_C(1) << 48) - 1);

	return h ? h : 1;
}

uint64_t namehash_xattr(uint64_t seed, const char *name, size_t len)
{
	return csum_of(name, len, seed) & ((UINT64_C(1) << 40) - 1);
}
