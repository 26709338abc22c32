/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz.h - what the harnesses share
 *
 * Below: the store.  Above: one file a harness, which defines fuzz_setup()
 * and fuzz_one() and is linked either with libFuzzer (entry.c) or with a
 * main() that replays files (replay.c).
 *
 * An input is read as a little program: bytes are taken one after the other,
 * and zeros follow its end.  Time and chance are replaced (os.c's functions
 * are wrapped), so that an input does the same wherever and whenever it runs.
 */
#ifndef DBS_TESTS_FUZZ_H
#define DBS_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/blkdev.h"
#include "store/format.h"
#include "store/pool.h"

/* -- what a harness defines ------------------------------------------------ */

/** Once, before the first input. */
void fuzz_setup(void);
/** One input.  What it allocates it frees. */
void fuzz_one(const uint8_t *data, size_t len);

/* -- inputs ---------------------------------------------------------------- */

struct fuzz_input {
	const uint8_t *p;
	size_t left;
};
/** The next @bytes (1..8) of it, little-endian. */
uint64_t fuzz_take(struct fuzz_input *in, unsigned bytes);
/** A number that breaks things: the bounds of fields, or near them. */
uint64_t fuzz_odd(uint64_t i);

/* -- a device -------------------------------------------------------------- */

/**
 * A device that shows @base and keeps what is written to it to itself.  One at
 * a time; closing it does nothing, opening it again forgets what was written.
 */
struct blkdev *fuzz_device(const uint8_t *base, uint64_t size);
/** A block of it, to be changed in place. */
uint8_t *fuzz_device_block(uint64_t blkno);
/** Is it not as in the base? */
bool fuzz_device_changed(uint64_t blkno);
/** Calls so far; a harness that makes endlessly many is stopped. */
uint64_t fuzz_device_calls(void);

/** Checksum of a metadata block, whatever is in it. */
void fuzz_seal(void *page, uint32_t type);

/* -- a valid pool ---------------------------------------------------------- */

/* Kinds of blocks, to be picked from. */
enum fuzz_class {
	FUZZ_ROOT_TREE,
	FUZZ_SPACE_TREE,
	FUZZ_INNER, /* of datasets, snapshots and dead trees */
	FUZZ_LEAF,
	FUZZ_REGION,
	FUZZ_INDEX1,
	FUZZ_INDEX2,
	FUZZ_LOG, /* batches' first blocks */
	FUZZ_NR_CLASSES,
};

#define FUZZ_BLOCKS_MAX 1024u

struct fuzz_base {
	uint8_t *bytes;
	uint64_t size;
	uint64_t super; /* block of the newest superblock, first copy */
	uint64_t nr[FUZZ_NR_CLASSES];
	uint64_t block[FUZZ_NR_CLASSES][FUZZ_BLOCKS_MAX];
};

/**
 * A pool that crashed: datasets, snapshots, clones, all kinds of items, files
 * without names, a destroyed tree that the reaper has begun.  Made once.
 */
const struct fuzz_base *fuzz_base(void);
/** Its newest superblock. */
const struct superblock *fuzz_base_super(const struct fuzz_base *base);
/** Where the current slot of a region, or an index block, is in @base. */
uint64_t fuzz_base_slot(const struct fuzz_base *base, enum fuzz_class class,
			uint32_t i);

/** Open the pool on @dev without threads; NULL: it cannot be. */
struct pool *fuzz_open(struct blkdev *dev, bool read_only);

#endif
