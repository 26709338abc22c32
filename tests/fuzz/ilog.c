/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The intent log after a crash: batches with their chain, stamps and checksums
 * right hold log records of real ops, some changed, and made-up ones.  The
 * ring is scanned, and the pool is opened, which replays it.
 *
 * An input: what to do, where replay was before (ilog_skip), then steps that
 * build the log (log.c), and calls (use.c) when it was short.
 */
#include <string.h>

#include "store/ilog_replay.h"
#include "store/pool_internal.h"
#include "tests/fuzz/log.h"
#include "tests/fuzz/use.h"
#include "tests/lib/check.h"

#define STEPS_MAX 40u

static const struct fuzz_base *base;

void fuzz_setup(void)
{
	base = fuzz_base();
	fuzz_log_capture(base);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct fuzz_input in = {data, len};
	struct blkdev *dev = fuzz_device(base->bytes, base->size);
	uint8_t how = (uint8_t)fuzz_take(&in, 1);
	struct store_error error = {""};
	struct superblock *sb = (void *)fuzz_device_block(base->super), copy;
	struct ilog_scan scan;
	struct pool *pool;
	int rc;

	/* both copies: a part of the first batch was replayed before */
	sb->ilog_skip = le32_of((uint32_t)fuzz_take(&in, 1) & 7);
	fuzz_seal(sb, META_SUPERBLOCK);
	memset(fuzz_device_block(base->super + SUPERBLOCK_COPY_BLKNO), 0,
	       BLOCK_SIZE);
	memcpy(&copy, sb, sizeof(copy));
	fuzz_log_write(&copy, &in, STEPS_MAX);
	rc = ilog_scan_device(dev, &copy, &scan, &error);
	MUST(rc == 0 || *error.text);
	MUST(!(scan.damaged || scan.newer) || *error.text);
	if (how & 1)
		fuzz_check(dev, false);
	pool = fuzz_open(dev, how & 2);
	if (!pool)
		return;
	if (how & 4)
		fuzz_walk(pool);
	fuzz_use(pool, &in, 8);
	if (how & 8) {
		pool_abandon(pool);
		return;
	}
	if (pool_close(pool) == 0 && (how & 16))
		fuzz_check(dev, false);
}
