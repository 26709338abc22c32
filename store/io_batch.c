/* SPDX-License-Identifier: Apache-2.0 */
#include "store/io_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/format.h"
#include "store/util.h"

#define MAX_IOV 256
/* one write is not to occupy the device for long: readers wait behind it */
#define MAX_JOINED_BLOCKS 256u

struct entry {
	uint64_t first;
	const void *buf;
	uint32_t nr;
};

struct io_batch {
	struct entry *entries;
	size_t nr, cap;
	void **pages;
	size_t nr_pages, nr_taken, cap_pages; /* taken: by who asked */
};

int io_batch_new(struct io_batch **io)
{
	*io = calloc(1, sizeof(**io));
	return *io ? 0 : -ENOMEM;
}

static void drop_pages(struct io_batch *io)
{
	for (size_t i = 0; i < io->nr_pages; i++)
		free(io->pages[i]);
	io->nr_pages = io->nr_taken = 0;
	io->nr = 0;
}

void io_batch_free(struct io_batch *io)
{
	if (!io)
		return;
	drop_pages(io);
	free(io->pages);
	free(io->entries);
	free(io);
}

static int reserve_entries(struct io_batch *io, size_t want)
{
	size_t cap = MAX_OF(MAX_OF(2 * io->cap, want), (size_t)256);
	struct entry *e;

	if (want <= io->cap)
		return 0;
	e = reallocarray(io->entries, cap, sizeof(*e));
	if (!e)
		return -ENOMEM;
	io->entries = e;
	io->cap = cap;
	return 0;
}

static int reserve_pages(struct io_batch *io, size_t want)
{
	if (want > io->cap_pages) {
		size_t cap =
			MAX_OF(MAX_OF(2 * io->cap_pages, want), (size_t)64);
		void **p = reallocarray(io->pages, cap, sizeof(*p));

		if (!p)
			return -ENOMEM;
		io->pages = p;
		io->cap_pages = cap;
	}
	while (io->nr_pages < want) {
		void *page = blkdev_buffer_new(BLOCK_SIZE);

		if (!page)
			return -ENOMEM;
		memset(page, 0, BLOCK_SIZE);
		io->pages[io->nr_pages++] = page;
	}
	return 0;
}

int io_batch_reserve(struct io_batch *io, size_t nr, size_t nr_pages)
{
	int rc = reserve_entries(io, io->nr + nr + nr_pages);

	return rc ? rc : reserve_pages(io, io->nr_taken + nr_pages);
}

int io_batch_add(struct io_batch *io, uint64_t first, const void *buf,
		 uint32_t nr)
{
	int rc = reserve_entries(io, io->nr + 1);

	if (rc)
		return rc;
	io->entries[io->nr++] = (struct entry){first, buf, nr};
	return 0;
}

void *io_batch_page(struct io_batch *io)
{
	if (reserve_pages(io, io->nr_taken + 1))
		return NULL;
	return io->pages[io->nr_taken++];
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->first < y->first ? -1 : x->first > y->first;
}

int io_batch_write(struct io_batch *io, struct blkdev *dev)
{
	struct iovec iov[MAX_IOV];
	int rc = 0;

	if (io->nr)
		qsort(io->entries, io->nr, sizeof(*io->entries), compare);
	for (size_t i = 0; i < io->nr && rc == 0;) {
		uint64_t first = io->entries[i].first, next = first;
		int n = 0;

		while (i < io->nr && n < MAX_IOV &&
		       io->entries[i].first == next &&
		       (n == 0 || next - first + io->entries[i].nr <=
					  MAX_JOINED_BLOCKS)) {
			const struct entry *e = &io->entries[i++];

			iov[n].iov_base = (void *)(uintptr_t)e->buf;
			iov[n].iov_len = (size_t)e->nr * BLOCK_SIZE;
			next += e->nr;
			n++;
		}
		rc = blkdev_pwritev(dev, iov, n, first * BLOCK_SIZE);
	}
	drop_pages(io);
	return rc;
}
