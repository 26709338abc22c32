/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "store/csum.h"
#include "store/os.h"
#include "store/util.h"
#include "tests/lib/check.h"

/* ---- inputs -------------------------------------------------------------- */

uint64_t fuzz_take(struct fuzz_input *in, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < bytes && in->left > 0; i++) {
		v |= (uint64_t)*in->p++ << (8 * i);
		in->left--;
	}
	return v;
}

uint64_t fuzz_odd(uint64_t i)
{
	static const uint64_t odd[] = {
		0,
		1,
		2,
		3,
		7,
		8,
		9,
		12,
		13,
		16,
		31,
		32,
		40,
		63,
		64,
		127,
		128,
		129,
		200,
		254,
		255,
		256,
		257,
		1024,
		1280,
		1281,
		4031,
		4032,
		4033,
		4095,
		4096,
		4097,
		8064,
		16383,
		16384,
		32767,
		32768,
		65535,
		65536,
		131072,
		UINT64_C(0xffffff),
		UINT64_C(0x1000000),
		INT32_MAX,
		UINT64_C(0x80000000),
		UINT32_MAX,
		UINT64_C(0x100000000),
		LE40_MAX / 2,
		LE40_MAX / 2 + 1,
		LE40_MAX - 1,
		LE40_MAX,
		UINT64_C(0xffffffffffff),
		OFFSET_MAX - 1,
		OFFSET_MAX,
		OFFSET_MAX + 1,
		INT64_MAX - 4095,
		INT64_MAX,
		UINT64_C(0x8000000000000000),
		UINT64_MAX - 4095,
		UINT64_MAX - 1,
		UINT64_MAX,
	};

	return odd[i % ARRAY_SIZE(odd)];
}

void fuzz_seal(void *page, uint32_t type)
{
	struct meta_header *h = page;

	h->csum = le64_of(csum_of((uint8_t *)page + 8, BLOCK_SIZE - 8, type));
}

/* ---- checksums ----------------------------------------------------------- */

/* The linker gives us the calls, --wrap. */
uint64_t __wrap_csum_of(const void *buf, size_t len, uint64_t seed);

/* The same by libxxhash's own copy: under sanitizers it is ten times as fast,
 * and most of what an input takes.  They see the buffer's ends at least. */
uint64_t __wrap_csum_of(const void *buf, size_t len, uint64_t seed)
{
	const volatile uint8_t *p = buf;

	if (len > 0)
		MUST(p[0] + p[len - 1] >= 0);
	return XXH3_64bits_withSeed(buf, len, seed);
}

/* ---- time and chance ----------------------------------------------------- */

static uint64_t ticks;

struct timespec __wrap_os_time_now(void);
uint64_t __wrap_os_monotonic_ns(void);
void __wrap_os_random(void *buf, size_t len);

struct timespec __wrap_os_time_now(void)
{
	return (struct timespec){.tv_sec = 1800000000, .tv_nsec = 1};
}

/* So much that what is limited by time (the reaper) ends early. */
uint64_t __wrap_os_monotonic_ns(void)
{
	ticks += UINT64_C(60) * 1000 * 1000;
	return ticks;
}

void __wrap_os_random(void *buf, size_t len)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(17 + 31 * i);
}

/* ---- a device ------------------------------------------------------------ */

/* Far more than any input needs that ends. */
#define CALLS_MAX 3000000u

static struct {
	struct blkdev dev;
	const uint8_t *base;
	uint8_t **block; /* what was written, by number; NULL: not */
	uint64_t *used;	 /* their numbers */
	size_t nr_used, cap;
	uint64_t calls;
} device;

uint8_t *fuzz_device_block(uint64_t blkno)
{
	uint8_t **b = &device.block[blkno];

	MUST(blkno < device.cap);
	if (!*b) {
		*b = aligned_alloc(BLOCK_SIZE, BLOCK_SIZE);
		MUST(*b);
		memcpy(*b, device.base + blkno * BLOCK_SIZE, BLOCK_SIZE);
		device.used[device.nr_used++] = blkno;
	}
	return *b;
}

bool fuzz_device_changed(uint64_t blkno)
{
	return device.block[blkno];
}

uint64_t fuzz_device_calls(void)
{
	return device.calls;
}

static int device_preadv(struct blkdev *dev, const struct iovec *iov,
			 int nr_iov, uint64_t offset)
{
	uint64_t blkno = offset / BLOCK_SIZE;

	(void)dev;
	MUST(++device.calls < CALLS_MAX);
	for (int i = 0; i < nr_iov; i++)
		for (size_t at = 0; at < iov[i].iov_len; at += BLOCK_SIZE) {
			const uint8_t *b = device.block[blkno];

			memcpy((uint8_t *)iov[i].iov_base + at,
			       b ? b : device.base + blkno * BLOCK_SIZE,
			       BLOCK_SIZE);
			blkno++;
		}
	return 0;
}

static int device_pwritev(struct blkdev *dev, const struct iovec *iov,
			  int nr_iov, uint64_t offset)
{
	uint64_t blkno = offset / BLOCK_SIZE;

	(void)dev;
	MUST(++device.calls < CALLS_MAX);
	for (int i = 0; i < nr_iov; i++)
		for (size_t at = 0; at < iov[i].iov_len; at += BLOCK_SIZE)
			memcpy(fuzz_device_block(blkno++),
			       (uint8_t *)iov[i].iov_base + at, BLOCK_SIZE);
	return 0;
}

static int device_flush(struct blkdev *dev)
{
	(void)dev;
	return 0;
}

static int device_resize(struct blkdev *dev, uint64_t size, bool preallocate)
{
	(void)preallocate;
	return size <= dev->size ? 0 : -ENOTSUP;
}

static int device_discard(struct blkdev *dev, uint64_t offset, uint64_t length)
{
	(void)dev;
	(void)offset;
	(void)length;
	return 0;
}

static void device_close(struct blkdev *dev)
{
	(void)dev;
}

static const struct blkdev_ops device_ops = {
	.preadv = device_preadv,
	.pwritev = device_pwritev,
	.flush = device_flush,
	.resize = device_resize,
	.discard = device_discard,
	.close = device_close,
};

struct blkdev *fuzz_device(const uint8_t *base, uint64_t size)
{
	for (size_t i = 0; i < device.nr_used; i++) {
		free(device.block[device.used[i]]);
		device.block[device.used[i]] = NULL;
	}
	device.nr_used = 0;
	device.calls = 0;
	if (device.cap < size / BLOCK_SIZE) {
		device.cap = size / BLOCK_SIZE;
		free(device.block);
		free(device.used);
		device.block = calloc(device.cap, sizeof(*device.block));
		device.used = calloc(device.cap, sizeof(*device.used));
		MUST(device.block && device.used);
	}
	device.base = base;
	device.dev = (struct blkdev){
		.ops = &device_ops, .size = size, .name = "fuzz"};
	return &device.dev;
}
