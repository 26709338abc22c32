/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/blkdev_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/os.h"
#include "store/util.h"
#include "tests/lib/check.h"

struct view_dev {
	struct blkdev dev;

	/* immutable after open */
	const uint8_t *base;

	struct os_mutex lock;

	/* under lock */
	uint8_t **blocks; /* what was written, by block number; NULL: not */
};

static struct view_dev *view_of(struct blkdev *dev)
{
	return container_of(dev, struct view_dev, dev);
}

/* D1 makes every piece of an iovec a number of whole blocks. */
static int view_preadv(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		       uint64_t offset)
{
	struct view_dev *v = view_of(dev);
	uint64_t blkno = offset / BLKDEV_ALIGN;

	os_mutex_lock(&v->lock);
	for (int i = 0; i < nr_iov; i++) {
		uint8_t *p = iov[i].iov_base;

		for (size_t at = 0; at < iov[i].iov_len; at += BLKDEV_ALIGN) {
			const uint8_t *from =
				v->blocks[blkno]
					? v->blocks[blkno]
					: v->base + blkno * BLKDEV_ALIGN;

			memcpy(p + at, from, BLKDEV_ALIGN);
			blkno++;
		}
	}
	os_mutex_unlock(&v->lock);
	return 0;
}

static int view_pwritev(struct blkdev *dev, const struct iovec *iov, int nr_iov,
			uint64_t offset)
{
	struct view_dev *v = view_of(dev);
	uint64_t blkno = offset / BLKDEV_ALIGN;

	os_mutex_lock(&v->lock);
	for (int i = 0; i < nr_iov; i++) {
		const uint8_t *p = iov[i].iov_base;

		for (size_t at = 0; at < iov[i].iov_len; at += BLKDEV_ALIGN) {
			if (!v->blocks[blkno])
				v->blocks[blkno] = malloc(BLKDEV_ALIGN);
			MUST(v->blocks[blkno]);
			memcpy(v->blocks[blkno], p + at, BLKDEV_ALIGN);
			blkno++;
		}
	}
	os_mutex_unlock(&v->lock);
	return 0;
}

void blkdev_view_write(struct blkdev *view, const uint8_t *data, size_t len,
		       uint64_t offset)
{
	const struct iovec iov = {(void *)(uintptr_t)data, len};

	MUST(offset + len <= view->size);
	MUST(view_pwritev(view, &iov, 1, offset) == 0);
}

static int view_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static int view_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	(void)preallocate;
	return size <= dev->size ? 0 : -ENOTSUP;
}

static int view_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	(void)dev;
	(void)offset;
	(void)length;
	return 0;
}

static void view_close(struct blkdev *dev)
{
	struct view_dev *v = view_of(dev);

	for (uint64_t i = 0; i < dev->size / BLKDEV_ALIGN; i++)
		free(v->blocks[i]);
	free(v->blocks);
	os_mutex_release(&v->lock);
	free(v);
}

static const struct blkdev_ops view_ops = {
	.preadv = view_preadv,
	.pwritev = view_pwritev,
	.flush = view_flush,
	.resize = view_resize,
	.discard = view_discard,
	.close = view_close,
};

struct blkdev *blkdev_view_open(const uint8_t *base, uint64_t size)
{
	struct view_dev *v = calloc(1, sizeof(*v));

	MUST(v);
	v->blocks = calloc(size / BLKDEV_ALIGN, sizeof(*v->blocks));
	MUST(v->blocks);
	v->base = base;
	os_mutex_init(&v->lock);
	v->dev.ops = &view_ops;
	v->dev.size = size;
	v->dev.name = "view";
	return &v->dev;
}

/* -- borrowed -------------------------------------------------------------- */

struct borrowed_dev {
	struct blkdev dev;
	struct blkdev *below;
};

static struct blkdev *below_of(struct blkdev *dev)
{
	return container_of(dev, struct borrowed_dev, dev)->below;
}

static int borrowed_preadv(struct blkdev *dev, const struct iovec *iov,
			   int nr_iov, uint64_t offset)
{
	return blkdev_preadv(below_of(dev), iov, nr_iov, offset);
}

static int borrowed_pwritev(struct blkdev *dev, const struct iovec *iov,
			    int nr_iov, uint64_t offset)
{
	return blkdev_pwritev(below_of(dev), iov, nr_iov, offset);
}

static int borrowed_flush(struct blkdev *dev)
{
	return blkdev_flush(below_of(dev));
}

static int borrowed_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	const int rc = blkdev_resize(below_of(dev), size, preallocate);

	if (rc == 0)
		dev->size = blkdev_size(below_of(dev));
	return rc;
}

static int borrowed_discard(struct blkdev *dev, uint64_t offset,
			    uint64_t length)
{
	return blkdev_discard(below_of(dev), offset, length);
}

static void borrowed_close(struct blkdev *dev)
{
	free(container_of(dev, struct borrowed_dev, dev));
}

static const struct blkdev_ops borrowed_ops = {
	.preadv = borrowed_preadv,
	.pwritev = borrowed_pwritev,
	.flush = borrowed_flush,
	.resize = borrowed_resize,
	.discard = borrowed_discard,
	.close = borrowed_close,
};

struct blkdev *blkdev_borrow(struct blkdev *below)
{
	struct borrowed_dev *b = calloc(1, sizeof(*b));

	MUST(b);
	b->below = below;
	b->dev = *below;
	b->dev.ops = &borrowed_ops;
	return &b->dev;
}
