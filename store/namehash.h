/* SPDX-License-Identifier: Apache-2.0 */
/*
 * namehash.h - where in a tree a name's item lies
 *
 * Below: csum.  Above: directories, xattrs.
 *
 * The seed is the pool's own (superblock), so that nobody outside can choose
 * names that collide.
 */
#ifndef DBS_STORE_NAMEHASH_H
#define DBS_STORE_NAMEHASH_H

#include <stddef.h>
#include <stdint.h>

#define NAMEHASH_DIRENT_SHIFT 8	 /* collision number below the hash */
#define NAMEHASH_XATTR_SHIFT  16 /* collision and chunk number below it */

/** 48 bits, never 0: a directory's small cookies mean '.' and '..'. */
uint64_t namehash_dirent(uint64_t seed, const char *name, size_t len);
/** 40 bits. */
uint64_t namehash_xattr(uint64_t seed, const char *name, size_t len);

#endif
