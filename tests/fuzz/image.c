/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole pool of which some metadata was changed, all checksums right: it is
 * checked, opened for reading and read, opened for writing, used, committed,
 * closed, and checked again.
 *
 * An input: how many changes, what to leave out, a log to be replayed (log.c)
 * if it says so, the changes (8 bytes each), then calls (use.c).
 */
#include "store/pool_internal.h"
#include "tests/fuzz/change.h"
#include "tests/fuzz/log.h"
#include "tests/fuzz/use.h"

#define CHANGES_MAX 16u
#define CALLS_MAX   24u
#define LOG_MAX	    8u

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
	unsigned nr = (unsigned)fuzz_take(&in, 1) % (CHANGES_MAX + 1);
	uint8_t how = (uint8_t)fuzz_take(&in, 1);
	struct superblock sb = *fuzz_base_super(base);
	struct pool *pool;

	if (how & 16)
		fuzz_log_write(&sb, &in, LOG_MAX);
	fuzz_change_begin(base);
	for (unsigned i = 0; i < nr; i++)
		fuzz_change(&in);
	fuzz_change_end();
	if (!(how & 1))
		fuzz_check(dev, how & 32);
	pool = how & 2 ? NULL : fuzz_open(dev, true);
	if (pool) {
		fuzz_walk(pool);
		pool_close(pool);
	}
	pool = fuzz_open(dev, false);
	if (!pool)
		return;
	fuzz_use(pool, &in, CALLS_MAX);
	pool_sync(pool);
	/* the reaper goes on with each commit */
	fuzz_use(pool, &in, 2);
	if (how & 4) {
		pool_abandon(pool);
		return;
	}
	if (pool_close(pool) == 0 && (how & 8))
		fuzz_check(dev, how & 64);
}
