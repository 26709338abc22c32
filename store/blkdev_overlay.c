/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blkdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/idmap.h"
#include "store/os.h"
#include "store/util.h"

struct page {
	uint64_t key; /* block number + 1 */
	uint8_t *bytes;
};

struct overlay_dev {
	struct blkdev dev;

	/* immutable after open */
	struct blkdev *below;

	struct os_mutex lock;
	/* under lock */
	struct idmap pages; /* that were written */
};

static struct overlay_dev *overlay_of(struct blkdev *dev)
{
	return container_of(dev, struct overlay_dev, dev);
}

static int read_block(struct overlay_dev *o, uint8_t *to, uint64_t offset)
{
	const struct page *page;

	os_mutex_lock(&o->lock);
	page = idmap_find(&o->pages, offset / BLKDEV_ALIGN + 1);
	if (page)
		memcpy(to, page->bytes, BLKDEV_ALIGN);
	os_mutex_unlock(&o->lock);
	return page ? 0 : blkdev_read(o->below, to, BLKDEV_ALIGN, offset);
}

static bool is_written(struct overlay_dev *o, uint64_t offset, uint64_t len)
{
	bool found = false;

	os_mutex_lock(&o->lock);
	for (uint64_t at = 0; at < len && !found && o->pages.nr;
	     at += BLKDEV_ALIGN)
		found = idmap_find(&o->pages,
				   (offset + at) / BLKDEV_ALIGN + 1) != NULL;
	os_mutex_unlock(&o->lock);
	return found;
}

static int overlay_preadv(struct blkdev *dev, const struct iovec *iov,
			  int nr_iov, uint64_t offset)
{
	struct overlay_dev *o = overlay_of(dev);
	int rc = 0;

	for (int i = 0; i < nr_iov && rc == 0; i++) {
		uint8_t *to = iov[i].iov_base;
		size_t len = iov[i].iov_len;

		if (!is_written(o, offset, len))
			rc = blkdev_read(o->below, to, len, offset);
		else
			for (size_t at = 0; at < len && rc == 0;
			     at += BLKDEV_ALIGN)
				rc = read_block(o, to + at, offset + at);
		offset += len;
	}
	return rc;
}

static int write_block(struct overlay_dev *o, const uint8_t *from,
		       uint64_t offset)
{
	struct page *page =
		idmap_add(&o->pages, offset / BLKDEV_ALIGN + 1, NULL);

	if (!page)
		return -ENOMEM;
	if (!page->bytes)
		page->bytes = malloc(BLKDEV_ALIGN);
	if (!page->bytes)
		return -ENOMEM;
	memcpy(page->bytes, from, BLKDEV_ALIGN);
	return 0;
}

static int overlay_pwritev(struct blkdev *dev, const struct iovec *iov,
			   int nr_iov, uint64_t offset)
{
	struct overlay_dev *o = overlay_of(dev);
	int rc = 0;

	os_mutex_lock(&o->lock);
	for (int i = 0; i < nr_iov && rc == 0; i++) {
		const uint8_t *from = iov[i].iov_base;
		size_t len = iov[i].iov_len;

		for (size_t at = 0; at < len && rc == 0; at += BLKDEV_ALIGN)
			rc = write_block(o, from + at, offset + at);
		offset += len;
	}
	os_mutex_unlock(&o->lock);
	return rc;
}

static int overlay_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static void overlay_close(struct blkdev *dev)
{
	struct overlay_dev *o = overlay_of(dev);

	for (struct page *p = NULL; (p = idmap_next(&o->pages, p)) != NULL;)
		free(p->bytes);
	idmap_release(&o->pages);
	os_mutex_release(&o->lock);
	free(o);
}

static const struct blkdev_ops overlay_ops = {
	.preadv = overlay_preadv,
	.pwritev = overlay_pwritev,
	.flush = overlay_flush,
	.close = overlay_close,
};

int blkdev_overlay_open(struct blkdev *below, struct blkdev **dev)
{
	struct overlay_dev *o = calloc(1, sizeof(*o));

	if (!o)
		return -ENOMEM;
	o->below = below;
	os_mutex_init(&o->lock);
	idmap_init(&o->pages, sizeof(struct page));
	o->dev.ops = &overlay_ops;
	o->dev.size = blkdev_size(below);
	o->dev.name = below->name;
	*dev = &o->dev;
	return 0;
}
