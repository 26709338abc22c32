/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - offline check: walks everything, recomputes every refcount
 *
 * Below: superblock, nodes, space map, read only.  Above: tools/, tests/.
 */
#ifndef DBS_STORE_CHECK_H
#define DBS_STORE_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "store/blkdev.h"
#include "store/pool.h"

struct check_options {
	bool data; /* also read every record and verify its checksum */
	/* called with each finding, one sentence; may be NULL */
	void (*report)(void *arg, const char *text);
	/* called now and then with blocks done and blocks in use; or NULL */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
};

struct check_result {
	uint64_t nr_errors; /* findings: 0 means clean */
	uint64_t nr_trees, nr_nodes, nr_records, nr_inodes;
	uint64_t blocks_used;	/* as recomputed */
	uint64_t blocks_leaked; /* counted, but nothing uses them */
	uint64_t shared_blocks; /* with a count over 1 */
};

/**
 * Check the pool on @dev, which must not be open elsewhere.
 * Returns 0 when the check could run, whatever it found.
 * Memory: one byte a block while it runs, and large counts.
 */
int check_run(struct blkdev *dev, const struct check_options *options,
	      struct check_result *result, struct store_error *error);
int check_pool(const char *path, const struct check_options *options,
	       struct check_result *result, struct store_error *error);

#endif
