/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blkdev.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "store/util.h"

static bool is_aligned(uint64_t n)
{
	return n % BLKDEV_ALIGN == 0;
}

uint64_t blkdev_size(const struct blkdev *dev)
{
	return __atomic_load_n(&dev->size, __ATOMIC_ACQUIRE);
}

static int range_check(const struct blkdev *dev, uint64_t offset,
		       uint64_t length, const char *what)
{
	uint64_t size = blkdev_size(dev);

	if (is_aligned(offset) && is_aligned(length) && offset <= size &&
	    length <= size - offset)
		return 0;
	log_error("%s outside the device or misaligned dev='%s' size=%" PRIu64
		  " offset=%" PRIu64 " length=%" PRIu64,
		  what, dev->name, size, offset, length);
	return -EINVAL;
}

/* D1, and that no sum of lengths wraps around. */
static int transfer_check(const struct blkdev *dev, const struct iovec *iov,
			  int nr_iov, uint64_t offset, const char *what)
{
	uint64_t length = 0;

	if (nr_iov < 0)
		return -EINVAL;
	for (int i = 0; i < nr_iov; i++) {
		if (!is_aligned((uintptr_t)iov[i].iov_base) ||
		    !is_aligned(iov[i].iov_len) ||
		    iov[i].iov_len > UINT64_MAX / 2 - length) {
			log_error("%s misaligned dev='%s' piece=%d length=%zu",
				  what, dev->name, i, iov[i].iov_len);
			return -EINVAL;
		}
		length += iov[i].iov_len;
	}
	return range_check(dev, offset, length, what);
}

int blkdev_preadv(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		  uint64_t offset)
{
	int rc = transfer_check(dev, iov, nr_iov, offset, "read");

	if (rc != 0)
		return rc;
	return dev->ops->preadv(dev, iov, nr_iov, offset);
}

static int write_check(const struct blkdev *dev, const struct iovec *iov,
		       int nr_iov, uint64_t offset)
{
	if (dev->read_only)
		return -EROFS;
	return transfer_check(dev, iov, nr_iov, offset, "write");
}

int blkdev_pwritev(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		   uint64_t offset)
{
	int rc = write_check(dev, iov, nr_iov, offset);

	if (rc != 0)
		return rc;
	return dev->ops->pwritev(dev, iov, nr_iov, offset);
}

int blkdev_read(struct blkdev *dev, void *buf, size_t len, uint64_t offset)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};

	return blkdev_preadv(dev, &iov, 1, offset);
}

int blkdev_write(struct blkdev *dev, const void *buf, size_t len,
		 uint64_t offset)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};

	return blkdev_pwritev(dev, &iov, 1, offset);
}

int blkdev_preadv_cached(struct blkdev *dev, const struct iovec *iov,
			 int nr_iov, uint64_t offset)
{
	int rc = transfer_check(dev, iov, nr_iov, offset, "read");

	if (rc != 0)
		return rc;
	if (!dev->ops->preadv_cached)
		return dev->ops->preadv(dev, iov, nr_iov, offset);
	return dev->ops->preadv_cached(dev, iov, nr_iov, offset);
}

bool blkdev_preadv_at_once(struct blkdev *dev, const struct iovec *iov,
			   int nr_iov, uint64_t offset)
{
	/* what D1 refuses is read in vain, and again by who says so */
	return dev->ops->preadv_at_once &&
	       dev->ops->preadv_at_once(dev, iov, nr_iov, offset);
}

int blkdev_read_cached(struct blkdev *dev, void *buf, size_t len,
		       uint64_t offset)
{
	struct iovec iov = {.iov_base = buf, .iov_len = len};

	return blkdev_preadv_cached(dev, &iov, 1, offset);
}

int blkdev_write_cached(struct blkdev *dev, const void *buf, size_t len,
			uint64_t offset)
{
	struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
	int rc = write_check(dev, &iov, 1, offset);

	if (rc != 0)
		return rc;
	if (!dev->ops->pwritev_cached)
		return dev->ops->pwritev(dev, &iov, 1, offset);
	return dev->ops->pwritev_cached(dev, &iov, 1, offset);
}

void blkdev_prefetch(struct blkdev *dev, size_t len, uint64_t offset)
{
	if (dev->ops->prefetch)
		dev->ops->prefetch(dev, offset, len);
}

int blkdev_flush(struct blkdev *dev)
{
	if (dev->read_only)
		return 0;
	return dev->ops->flush(dev);
}

int blkdev_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	if (!is_aligned(size))
		return -EINVAL;
	if (size <= blkdev_size(dev))
		return 0;
	if (dev->read_only)
		return -EROFS;
	if (size > INT64_MAX)
		return -EFBIG;
	if (!dev->ops->resize)
		return -ENOTSUP;
	return dev->ops->resize(dev, size, preallocate);
}

int blkdev_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	int rc;

	if (dev->read_only)
		return -EROFS;
	rc = range_check(dev, offset, length, "discard");
	if (rc != 0)
		return rc;
	if (length == 0 || !dev->ops->discard)
		return 0;
	return dev->ops->discard(dev, offset, length);
}

void blkdev_close(struct blkdev *dev)
{
	if (dev)
		dev->ops->close(dev);
}

void *blkdev_buffer_new(size_t len)
{
	void *buf;

	if (posix_memalign(&buf, BLKDEV_ALIGN, len) != 0)
		return NULL;
	memset(buf, 0, len);
	return buf;
}
