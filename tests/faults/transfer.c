/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transfer.c - what blkdev_file.c makes of system calls that do half the work
 *
 * Its reads, writes and flushes go to the functions here (meson.build), which
 * cut them short, interrupt them or let them fail.
 */
#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "store/blkdev.h"
#include "store/store.h"
#include "store/util.h"
#include "tests/lib/check.h"

#define SIZE	  (64u * BLKDEV_ALIGN)
#define MAX_PIECE 24

/* How calls go wrong. */
static struct {
	size_t limit;	    /* bytes a call moves at most; 0: all */
	unsigned interrupt; /* every n-th call is interrupted; 0: none */
	uint64_t fail_at;   /* this call, from 1, fails; 0: none */
	int error;	    /* with this, or with 0 bytes moved */
	uint64_t calls;
} broken;

static char path[PATH_MAX];
static struct blkdev *dev;

/* What the call returns if not what the kernel says; true: that. */
static bool goes_wrong(ssize_t *rc)
{
	broken.calls++;
	if (broken.calls == broken.fail_at) {
		errno = broken.error;
		*rc = broken.error ? -1 : 0;
		return true;
	}
	if (broken.interrupt && broken.calls % broken.interrupt == 0) {
		errno = EINTR;
		*rc = -1;
		return true;
	}
	return false;
}

static size_t at_most(size_t len)
{
	return broken.limit ? MIN_OF(len, broken.limit) : len;
}

ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t offset);
ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int nr, off_t offset);
ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int nr, off_t offset);
int __wrap_fdatasync(int fd);
ssize_t __real_pread64(int fd, void *buf, size_t len, off_t offset);
ssize_t __real_pwrite64(int fd, const void *buf, size_t len, off_t offset);
ssize_t __real_preadv64(int fd, const struct iovec *iov, int nr, off_t offset);
ssize_t __real_pwritev64(int fd, const struct iovec *iov, int nr, off_t offset);
int __real_fdatasync(int fd);

ssize_t __wrap_pread64(int fd, void *buf, size_t len, off_t offset)
{
	ssize_t rc;

	return goes_wrong(&rc) ? rc
			       : __real_pread64(fd, buf, at_most(len), offset);
}

ssize_t __wrap_pwrite64(int fd, const void *buf, size_t len, off_t offset)
{
	ssize_t rc;

	return goes_wrong(&rc) ? rc
			       : __real_pwrite64(fd, buf, at_most(len), offset);
}

/* The pieces up to the limit; returns how many are left. */
static int cut(struct iovec *to, const struct iovec *iov, int nr)
{
	size_t left = broken.limit;
	int n = 0;

	for (; n < nr && left > 0; n++) {
		to[n] = iov[n];
		to[n].iov_len = MIN_OF(iov[n].iov_len, left);
		left -= to[n].iov_len;
	}
	return n;
}

ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int nr, off_t offset)
{
	struct iovec some[MAX_PIECE];
	ssize_t rc;

	if (goes_wrong(&rc))
		return rc;
	if (!broken.limit)
		return __real_preadv64(fd, iov, nr, offset);
	return __real_preadv64(fd, some, cut(some, iov, nr), offset);
}

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int nr, off_t offset)
{
	struct iovec some[MAX_PIECE];
	ssize_t rc;

	if (goes_wrong(&rc))
		return rc;
	if (!broken.limit)
		return __real_pwritev64(fd, iov, nr, offset);
	return __real_pwritev64(fd, some, cut(some, iov, nr), offset);
}

int __wrap_fdatasync(int fd)
{
	ssize_t rc;

	const unsigned interrupt = broken.interrupt;
	bool wrong;

	/* a flush that is interrupted has failed: see below */
	broken.interrupt = 0;
	wrong = goes_wrong(&rc);
	broken.interrupt = interrupt;
	return wrong ? (int)rc : __real_fdatasync(fd);
}

static void no_log(enum log_level level, const char *text)
{
	(void)level;
	(void)text;
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	int fd;

	(void)state;
	log_set_sink(no_log);
	memset(&broken, 0, sizeof(broken));
	snprintf(path, sizeof(path), "%.4000s/dbs-transfer.XXXXXX",
		 tmp ? tmp : "/tmp");
	fd = mkstemp(path);
	CHECK(fd >= 0);
	close(fd);
	CHECK_OK(truncate(path, SIZE));
	CHECK_OK(blkdev_file_open(path, BLKDEV_BUFFERED, &dev, NULL));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	blkdev_close(dev);
	unlink(path);
	return 0;
}

/* A buffer of @nr pieces with different lengths, filled. */
struct pieces {
	struct iovec iov[MAX_PIECE];
	int nr;
	size_t len;
	uint8_t *buf;
};

static void pieces_init(struct pieces *p, int nr, uint8_t seed)
{
	size_t at = 0;

	p->nr = nr;
	p->len = 0;
	for (int i = 0; i < nr; i++) {
		p->iov[i].iov_len = (size_t)(i % 3 + 1) * BLKDEV_ALIGN;
		p->len += p->iov[i].iov_len;
	}
	MUST(p->len <= SIZE);
	p->buf = blkdev_buffer_new(p->len);
	MUST(p->buf);
	for (size_t i = 0; i < p->len; i++)
		p->buf[i] = (uint8_t)(seed + i * 7 + i / 512);
	for (int i = 0; i < nr; i++) {
		p->iov[i].iov_base = p->buf + at;
		at += p->iov[i].iov_len;
	}
}

/* Write and read back under what @broken says; the file must hold it. */
static void must_transfer(int nr, uint8_t seed)
{
	struct pieces out, in;
	uint8_t *got;
	int fd;

	pieces_init(&out, nr, seed);
	pieces_init(&in, nr, (uint8_t)(seed + 1));
	CHECK_OK(blkdev_pwritev(dev, out.iov, out.nr, BLKDEV_ALIGN));
	CHECK_OK(blkdev_preadv(dev, in.iov, in.nr, BLKDEV_ALIGN));
	CHECK_MEM(in.buf, out.buf, out.len);
	got = malloc(out.len);
	MUST(got);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_INT(__real_pread64(fd, got, out.len, BLKDEV_ALIGN), out.len);
	CHECK_MEM(got, out.buf, out.len);
	close(fd);
	free(got);
	free(out.buf);
	free(in.buf);
}

static void transfer__a_short_one_is_continued(void **state)
{
	static const size_t limits[] = {1,    511,  512,   4095,
					4096, 4097, 12288, 20000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		broken.limit = limits[i];
		broken.calls = 0;
		must_transfer(i ? 20 : 2, (uint8_t)i);
		CHECK(broken.calls > 2);
	}
}

static void transfer__an_interrupted_one_is_continued(void **state)
{
	(void)state;
	for (unsigned n = 2; n < 5; n++) {
		broken.interrupt = n;
		broken.limit = 3000;
		must_transfer(20, (uint8_t)n);
	}
}

/* Whichever call fails, and however: the transfer does. */
static void transfer__one_that_fails_is_no_success(void **state)
{
	static const int errors[] = {EIO, ENOSPC, 0, EAGAIN};
	struct pieces p;

	(void)state;
	pieces_init(&p, 20, 1);
	broken.limit = 5000;
	for (size_t e = 0; e < ARRAY_SIZE(errors); e++) {
		const int want = errors[e] ? -errors[e] : -EIO;

		broken.error = errors[e];
		for (uint64_t n = 1; n <= p.len / broken.limit; n++) {
			broken.fail_at = n;
			broken.calls = 0;
			CHECK_INT(blkdev_pwritev(dev, p.iov, p.nr, 0), want);
			CHECK_UINT(broken.calls, n);
			broken.calls = 0;
			CHECK_INT(blkdev_preadv(dev, p.iov, p.nr, 0), want);
			CHECK_UINT(broken.calls, n);
		}
	}
	free(p.buf);
}

/* D3: not even when it was only interrupted. */
static void transfer__a_flush_that_failed_fails_for_ever(void **state)
{
	static const int errors[] = {EIO, ENOSPC, EINTR};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		CHECK_OK(blkdev_flush(dev));
		broken.calls = 0;
		broken.fail_at = 1;
		broken.error = errors[i];
		CHECK_INT(blkdev_flush(dev), -errors[i]);
		broken.fail_at = 0;
		CHECK_INT(blkdev_flush(dev), -errors[i]);
		CHECK_INT(blkdev_flush(dev), -errors[i]);
		/* the kernel is not even asked again */
		CHECK_UINT(broken.calls, 1);
		teardown(state);
		setup(state);
	}
}

/* A pool on a file whose system calls do a little at a time. */
static void transfer__a_pool_works_with_short_ones(void **state)
{
	const struct pool_create_options create = {
		.name = "short", .size = UINT64_C(64) << 20, .sparse = true};
	const struct pool_options options = {.no_background = true};
	const struct file_new n = {.mode = S_IFREG | 0644};
	const struct check_options check = {.data = true};
	struct check_result result = {0};
	struct dataset_properties p;
	struct store_error error = {""};
	struct file_attr attr;
	struct dataset *ds;
	struct pool *pool;
	uint8_t got[10000];
	uint32_t id;
	size_t len;

	(void)state;
	unlink(path);
	broken.limit = 512 * 100;
	broken.interrupt = 3;
	dataset_properties_default(&p);
	CHECK_OK(pool_create(path, &create, &error));
	CHECK_OK(pool_open(path, &options, &pool, &error));
	CHECK_OK(dataset_create(pool, "a", &p, &id));
	CHECK_OK(dataset_open(pool, "a", &ds));
	CHECK_OK(file_create(ds, 1, "f", 1, &n, &attr));
	memset(got, 7, sizeof(got));
	CHECK_OK(file_write(ds, attr.ino, 0, got, sizeof(got), 0));
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
	CHECK_OK(check_pool(path, &check, &result, &error));
	CHECK_UINT(result.nr_errors, 0);
	CHECK_OK(pool_open(path, &options, &pool, &error));
	CHECK_OK(dataset_open(pool, "a", &ds));
	memset(got, 0, sizeof(got));
	CHECK_OK(file_read(ds, attr.ino, 0, got, sizeof(got), &len));
	CHECK_UINT(len, sizeof(got));
	for (size_t i = 0; i < len; i++)
		CHECK_UINT(got[i], 7);
	dataset_put(ds);
	CHECK_OK(pool_close(pool));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(transfer__a_short_one_is_continued),
		TEST(transfer__an_interrupted_one_is_continued),
		TEST(transfer__one_that_fails_is_no_success),
		TEST(transfer__a_flush_that_failed_fails_for_ever),
		TEST(transfer__a_pool_works_with_short_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
