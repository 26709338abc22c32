/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_digest.h - one number for all that a dataset or snapshot holds
 *
 * Below: model.h, the store's public functions.  Above: tests/crash/.
 *
 * The digest of a root covers its id, name, kind and properties, and of every
 * inode that can be reached: attributes and times, names, xattrs, symlink
 * target and content.  A model's root and a pool's have the same digest when
 * model_compare() finds them equal; so a pool is read once, however many
 * states it may be in.
 */
#ifndef DBS_TESTS_MODEL_DIGEST_H
#define DBS_TESTS_MODEL_DIGEST_H

#include "tests/lib/model.h"

/* Digests of trees and inodes that are done, by address: what they are asked
 * about must stay as it is (M1) while this exists. */
struct model_digests;

/** @below: NULL, or another one that is asked first and is not changed. */
struct model_digests *model_digests_new(const struct model_digests *below);
void model_digests_free(struct model_digests *d);

uint64_t model_digest_root(struct model_digests *d, const struct model_root *r);

/**
 * Read what @pool holds; @fn is called with each root's full name ("DS" or
 * "DS@SNAP") and digest, but for those that @want does not want.
 * @why: out, what could not be read
 * Returns 0 or the -errno of the first thing that could not be read.
 */
int model_digest_pool(struct pool *pool, bool (*want)(const char *name),
		      void (*fn)(void *arg, const char *name, uint64_t digest),
		      void *arg, char *why, size_t cap);

#endif
