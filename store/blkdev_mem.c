/* SPDX-License-Identifier: Apache-2.0 */
#include "store/blkdev.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "store/os.h"
#include "store/util.h"

/*
 * Address space set aside at open, so that the bytes never move: a resize only
 * makes more of it accessible, and needs no lock against reads and writes.
 */
#define MEM_RESERVE (UINT64_C(64) << 30)

struct mem_dev {
	struct blkdev dev;

	/* immutable after open */
	uint8_t *data;
	size_t reserved;

	struct os_mutex lock; /* one resize at a time */
};

static struct mem_dev *mem_of(struct blkdev *dev)
{
	return container_of(dev, struct mem_dev, dev);
}

static int mem_preadv(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		      uint64_t offset)
{
	const uint8_t *p = mem_of(dev)->data + offset;

	for (int i = 0; i < nr_iov; i++) {
		if (iov[i].iov_len > 0)
			memcpy(iov[i].iov_base, p, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	return 0;
}

static int mem_pwritev(struct blkdev *dev, const struct iovec *iov, int nr_iov,
		       uint64_t offset)
{
	uint8_t *p = mem_of(dev)->data + offset;

	for (int i = 0; i < nr_iov; i++) {
		if (iov[i].iov_len > 0)
			memcpy(p, iov[i].iov_base, iov[i].iov_len);
		p += iov[i].iov_len;
	}
	return 0;
}

static int mem_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static int mem_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	struct mem_dev *mem = mem_of(dev);
	int rc = 0;

	(void)preallocate;
	if (size > mem->reserved)
		return -ENOTSUP;
	os_mutex_lock(&mem->lock);
	if (size > dev->size) {
		if (mprotect(mem->data, size, PROT_READ | PROT_WRITE) != 0)
			rc = -ENOMEM;
		else
			__atomic_store_n(&dev->size, size, __ATOMIC_RELEASE);
	}
	os_mutex_unlock(&mem->lock);
	return rc;
}

static int mem_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	/* refused where the machine's pages are larger; that is no error */
	(void)madvise(mem_of(dev)->data + offset, length, MADV_DONTNEED);
	return 0;
}

static void mem_close(struct blkdev *dev)
{
	struct mem_dev *mem = mem_of(dev);

	munmap(mem->data, mem->reserved);
	os_mutex_release(&mem->lock);
	free(mem);
}

static const struct blkdev_ops mem_ops = {
	.preadv = mem_preadv,
	.pwritev = mem_pwritev,
	.flush = mem_flush,
	.resize = mem_resize,
	.discard = mem_discard,
	.close = mem_close,
};

int blkdev_mem_open(uint64_t size, struct blkdev **dev)
{
	struct mem_dev *mem;
	void *data;

	if (size % BLKDEV_ALIGN != 0)
		return -EINVAL;
	mem = calloc(1, sizeof(*mem));
	if (!mem)
		return -ENOMEM;
	mem->reserved = MAX_OF(size, MEM_RESERVE);
	data = mmap(NULL, mem->reserved, PROT_NONE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (data == MAP_FAILED)
		goto out_free;
	if (size > 0 && mprotect(data, size, PROT_READ | PROT_WRITE) != 0)
		goto out_unmap;
	mem->data = data;
	os_mutex_init(&mem->lock);
	mem->dev.ops = &mem_ops;
	mem->dev.size = size;
	mem->dev.name = "memory";
	*dev = &mem->dev;
	return 0;

out_unmap:
	munmap(data, mem->reserved);
out_free:
	free(mem);
	return -ENOMEM;
}

uint8_t *blkdev_mem_data(struct blkdev *dev)
{
	dbs_assert(dev->ops == &mem_ops);
	return mem_of(dev)->data;
}
