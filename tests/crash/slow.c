/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/slow.h"

#include <stdlib.h>
#include <time.h>

#include "store/util.h"
#include "tests/lib/check.h"

#define FLUSH_NS 300000
#define WRITE_NS 20000

struct slow_dev {
	struct blkdev dev;
	struct blkdev *below;
};

static struct blkdev *below_of(struct blkdev *dev)
{
	return container_of(dev, struct slow_dev, dev)->below;
}

static void let_others_run(long ns)
{
	const struct timespec t = {.tv_nsec = ns};

	nanosleep(&t, NULL);
}

static int slow_preadv(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		       uint64_t offset)
{
	return blkdev_preadv(below_of(dev), iov, nr_iov, offset);
}

static int slow_pwritev(struct blkdev *dev, const struct iovec *iov, int nr_iov,
			uint64_t offset)
{
	let_others_run(WRITE_NS);
	return blkdev_pwritev(below_of(dev), iov, nr_iov, offset);
}

static int slow_flush(struct blkdev *dev)
{
	let_others_run(FLUSH_NS);
	return blkdev_flush(below_of(dev));
}

static int slow_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	return blkdev_resize(below_of(dev), size, preallocate);
}

static int slow_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	return blkdev_discard(below_of(dev), offset, length);
}

static void slow_close(struct blkdev *dev)
{
	blkdev_close(below_of(dev));
	free(container_of(dev, struct slow_dev, dev));
}

static const struct blkdev_ops slow_ops = {
	.preadv = slow_preadv,
	.pwritev = slow_pwritev,
	.flush = slow_flush,
	.resize = slow_resize,
	.discard = slow_discard,
	.close = slow_close,
};

struct blkdev *slow_open(struct blkdev *below)
{
	struct slow_dev *s = calloc(1, sizeof(*s));

	MUST(s);
	s->below = below;
	s->dev = *below;
	s->dev.ops = &slow_ops;
	return &s->dev;
}
