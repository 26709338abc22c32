/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lossy.c - for LD_PRELOAD: a device that loses what was not flushed
 *
 * Below: the kernel's files.  Above: kill.sh and lossy.sh, which run dbsfs on
 * it.
 *
 * A process that is killed does not lose the page cache, so that a kill alone
 * says nothing about a missing flush.  With this library the writes of one
 * file stay in the process's memory until fdatasync() or fsync(), and reads see
 * them; kill -9 takes with it what a power failure may take.
 *
 *   LOSSY_FILE     the file; others are left alone
 *   LOSSY_SURVIVE  of 100 writes so many reach the file before any flush, the
 *                  half of them torn: a random part of their 512-byte sectors
 *   LOSSY_SEED     of these choices; else by the clock
 *   LOSSY_FLUSH_US how long a flush takes; else the kill hardly ever comes
 *                  between a write and its flush
 *   LOSSY_LIE      flushes do nothing: the test that uses it must fail
 *   LOSSY_STAT     a file of little-endian u64: writes, flushes, pages that
 *                  wait for one, writes that survive whole and torn
 *
 * Invariants:
 *  Y1  a write that returned is seen by every later read of the process.
 *  Y2  a flush that returned has put every write that had returned before it
 *      began into the file; one that is killed has put a random part there.
 *  Y3  a write that is older than one in the file never replaces it for good:
 *      what is newer stays in memory until a flush of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "tests/lib/rnd.h"

#define PAGE_SIZE  4096u
#define SECTOR	   512u
#define NR_BUCKETS 4096u

struct page {
	struct page *next;
	uint64_t number;
	uint8_t data[PAGE_SIZE];
};

/* Pages by number, and in the order in which they came. */
struct overlay {
	struct page *buckets[NR_BUCKETS];
	struct page **list;
	size_t nr, cap;
};

struct stat_page {
	uint64_t writes, flushes, waiting, survived, torn;
};

static struct {
	/* immutable after begin() */
	bool active, lie;
	dev_t dev;
	ino_t ino;
	unsigned survive, flush_us;
	char *stat_path;

	/* one flush at a time; before lock */
	pthread_mutex_t flush;

	/* readers while they read the file, too */
	pthread_rwlock_t lock;

	/* under lock */
	int fd; /* our own, buffered; never closed: POSIX locks would go */
	struct overlay *open, *flushing;
	struct rnd rnd;
	struct stat_page *st;
} lossy = {.flush = PTHREAD_MUTEX_INITIALIZER, .fd = -1};

static struct stat_page no_stat;

_Noreturn static void die(const char *what)
{
	dprintf(STDERR_FILENO, "lossy: %s: %s\n", what, strerror(errno));
	abort();
}

static void *must_alloc(size_t size)
{
	void *p = calloc(1, size);

	if (!p)
		die("memory");
	return p;
}

static unsigned env_number(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void)
{
	/* now: dbsfs overwrites its environment */
	const char *path = getenv("LOSSY_FILE"), *stats = getenv("LOSSY_STAT");
	pthread_rwlockattr_t attr;
	struct timespec now;
	struct stat st;

	if (!path || stat(path, &st) != 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	lossy.dev = st.st_dev;
	lossy.ino = st.st_ino;
	lossy.lie = getenv("LOSSY_LIE") != NULL;
	lossy.survive = env_number("LOSSY_SURVIVE", 0);
	lossy.flush_us = env_number("LOSSY_FLUSH_US", 0);
	lossy.rnd.state = env_number("LOSSY_SEED", (unsigned)now.tv_nsec);
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(
		&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&lossy.lock, &attr);
	lossy.open = must_alloc(sizeof(*lossy.open));
	lossy.flushing = must_alloc(sizeof(*lossy.flushing));
	lossy.st = &no_stat;
	lossy.stat_path = stats ? strdup(stats) : NULL;
	lossy.active = true;
}

static bool is_ours(int fd)
{
	const int saved = errno;
	struct stat st;
	bool ours;

	if (!lossy.active)
		return false;
	ours = fstat(fd, &st) == 0 && st.st_ino == lossy.ino &&
	       st.st_dev == lossy.dev;
	errno = saved;
	return ours;
}

static void stat_open(void)
{
	const char *path = lossy.stat_path;
	void *p;
	int fd;

	if (!path)
		return;
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, PAGE_SIZE) != 0)
		die(path);
	p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		die(path);
	close(fd);
	lossy.st = p;
}

/* Caller has the lock for writing. */
static void file_open_locked(int fd)
{
	char path[64];

	if (lossy.fd >= 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	lossy.fd = open(path, O_RDWR | O_CLOEXEC);
	if (lossy.fd < 0)
		die(path);
	stat_open();
}

/* ---- pages in memory ------------------------------------------------------------ */

static struct page **bucket_of(struct overlay *o, uint64_t number)
{
	return &o->buckets[number * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}

static struct page *overlay_find(struct overlay *o, uint64_t number)
{
	struct page *page = *bucket_of(o, number);

	while (page && page->number != number)
		page = page->next;
	return page;
}

static struct page *overlay_get(struct overlay *o, uint64_t number)
{
	struct page *page = overlay_find(o, number);
	struct page **bucket = bucket_of(o, number);

	if (page)
		return page;
	if (o->nr == o->cap) {
		o->cap = o->cap ? 2 * o->cap : 1024;
		o->list = realloc(o->list, o->cap * sizeof(struct page *));
		if (!o->list)
			die("memory");
	}
	page = must_alloc(sizeof(*page));
	page->number = number;
	page->next = *bucket;
	*bucket = page;
	o->list[o->nr++] = page;
	return page;
}

static void overlay_clear(struct overlay *o)
{
	for (size_t i = 0; i < o->nr; i++) {
		*bucket_of(o, o->list[i]->number) = NULL;
		free(o->list[i]);
	}
	o->nr = 0;
}

static void overlay_shuffle(struct overlay *o)
{
	for (size_t i = o->nr; i > 1; i--) {
		const size_t k = rnd_below(&lossy.rnd, i);
		struct page *page = o->list[i - 1];

		o->list[i - 1] = o->list[k];
		o->list[k] = page;
	}
}

/* ---- the file --------------------------------------------------------------------- */

static void file_write(const void *buf, size_t len, uint64_t offset)
{
	if (syscall(SYS_pwrite64, lossy.fd, buf, len, offset) != (ssize_t)len)
		die("write");
}

/* A part of a write that no flush has asked for. */
static void file_write_torn(const uint8_t *buf, size_t len, uint64_t offset)
{
	for (size_t i = 0; i < len; i += SECTOR)
		if (rnd_one_in(&lossy.rnd, 2))
			file_write(buf + i, SECTOR, offset + i);
}

static void survive_locked(const struct iovec *iov, int nr, uint64_t offset)
{
	bool torn;

	if (rnd_below(&lossy.rnd, 100) >= lossy.survive)
		return;
	torn = rnd_one_in(&lossy.rnd, 2);
	if (torn)
		lossy.st->torn++;
	else
		lossy.st->survived++;
	for (int i = 0; i < nr; i++) {
		if (torn)
			file_write_torn(iov[i].iov_base, iov[i].iov_len,
					offset);
		else
			file_write(iov[i].iov_base, iov[i].iov_len, offset);
		offset += iov[i].iov_len;
	}
}

static void keep_locked(const struct iovec *iov, int nr, uint64_t offset)
{
	for (int i = 0; i < nr; i++) {
		const uint8_t *p = iov[i].iov_base;

		for (size_t at = 0; at < iov[i].iov_len; at += PAGE_SIZE) {
			memcpy(overlay_get(lossy.open, offset / PAGE_SIZE)
				       ->data,
			       p + at, PAGE_SIZE);
			offset += PAGE_SIZE;
		}
	}
	lossy.st->waiting = lossy.open->nr + lossy.flushing->nr;
}

static bool aligned(const struct iovec *iov, int nr, int64_t offset)
{
	bool ok = offset >= 0 && offset % PAGE_SIZE == 0;

	for (int i = 0; i < nr; i++)
		ok = ok && iov[i].iov_len % PAGE_SIZE == 0;
	return ok;
}

static ssize_t length_of(const struct iovec *iov, int nr)
{
	size_t len = 0;

	for (int i = 0; i < nr; i++)
		len += iov[i].iov_len;
	return (ssize_t)len;
}

static ssize_t lossy_write(int fd, const struct iovec *iov, int nr,
			   int64_t offset, bool through)
{
	if (!aligned(iov, nr, offset)) {
		errno = EINVAL;
		return -1;
	}
	/* a flush in progress may hold what is older */
	if (through)
		pthread_mutex_lock(&lossy.flush);
	pthread_rwlock_wrlock(&lossy.lock);
	file_open_locked(fd);
	lossy.st->writes++;
	keep_locked(iov, nr, (uint64_t)offset);
	if (!through)
		survive_locked(iov, nr, (uint64_t)offset);
	pthread_rwlock_unlock(&lossy.lock);
	if (through) {
		for (int i = 0; i < nr && !lossy.lie; i++) {
			file_write(iov[i].iov_base, iov[i].iov_len,
				   (uint64_t)offset);
			offset += (int64_t)iov[i].iov_len;
		}
		pthread_mutex_unlock(&lossy.flush);
	}
	return length_of(iov, nr);
}

static void lossy_flush(void)
{
	struct overlay *o;

	if (lossy.lie)
		return;
	pthread_mutex_lock(&lossy.flush);
	pthread_rwlock_wrlock(&lossy.lock);
	o = lossy.open;
	lossy.open = lossy.flushing;
	lossy.flushing = o;
	overlay_shuffle(o);
	lossy.st->flushes++;
	pthread_rwlock_unlock(&lossy.lock);

	usleep(lossy.flush_us / 2);
	for (size_t i = 0; i < o->nr; i++) {
		if (i == o->nr / 2)
			usleep(lossy.flush_us / 2);
		file_write(o->list[i]->data, PAGE_SIZE,
			   o->list[i]->number * PAGE_SIZE);
	}

	pthread_rwlock_wrlock(&lossy.lock);
	overlay_clear(o);
	lossy.st->waiting = lossy.open->nr;
	pthread_rwlock_unlock(&lossy.lock);
	pthread_mutex_unlock(&lossy.flush);
}

/* ---- reads ------------------------------------------------------------------------ */

/* What is in memory of [offset, offset + len), over what the file has. */
static void patch(uint8_t *buf, size_t len, uint64_t offset)
{
	while (len) {
		const uint64_t number = offset / PAGE_SIZE;
		const size_t skip = offset % PAGE_SIZE;
		const size_t n =
			len < PAGE_SIZE - skip ? len : PAGE_SIZE - skip;
		struct page *page = overlay_find(lossy.open, number);

		if (!page)
			page = overlay_find(lossy.flushing, number);
		if (page)
			memcpy(buf, page->data + skip, n);
		buf += n;
		offset += n;
		len -= n;
	}
}

static ssize_t lossy_read(int fd, const struct iovec *iov, int nr,
			  int64_t offset)
{
	ssize_t n, left;

	pthread_rwlock_rdlock(&lossy.lock);
	n = syscall(SYS_preadv, fd, iov, nr, offset, 0);
	left = n;
	for (int i = 0; i < nr && left > 0; i++) {
		const size_t len = (size_t)left < iov[i].iov_len
					   ? (size_t)left
					   : iov[i].iov_len;

		patch(iov[i].iov_base, len, (uint64_t)offset);
		offset += (int64_t)len;
		left -= (ssize_t)len;
	}
	pthread_rwlock_unlock(&lossy.lock);
	return n;
}

/* ---- the C library's functions, under both of their names -------------------------- */

static ssize_t any_write(int fd, const struct iovec *iov, int nr, int64_t at,
			 int flags)
{
	if (is_ours(fd))
		return lossy_write(fd, iov, nr, at,
				   flags & (RWF_DSYNC | RWF_SYNC));
	return syscall(SYS_pwritev2, fd, iov, nr, at, 0, flags);
}

static ssize_t any_read(int fd, const struct iovec *iov, int nr, int64_t at,
			int flags)
{
	if (is_ours(fd))
		return lossy_read(fd, iov, nr, at);
	return syscall(SYS_preadv2, fd, iov, nr, at, 0, flags);
}

static ssize_t write_one(int fd, const void *buf, size_t len, int64_t at)
{
	const struct iovec iov = {(void *)(uintptr_t)buf, len};

	return any_write(fd, &iov, 1, at, 0);
}

static ssize_t read_one(int fd, void *buf, size_t len, int64_t at)
{
	const struct iovec iov = {buf, len};

	return any_read(fd, &iov, 1, at, 0);
}

ssize_t pwrite(int fd, const void *buf, size_t len, off_t at)
{
	return write_one(fd, buf, len, at);
}

ssize_t pwrite64(int fd, const void *buf, size_t len, off64_t at)
{
	return write_one(fd, buf, len, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int nr, off_t at)
{
	return any_write(fd, iov, nr, at, 0);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int nr, off64_t at)
{
	return any_write(fd, iov, nr, at, 0);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int nr, off_t at, int flags)
{
	return any_write(fd, iov, nr, at, flags);
}

ssize_t pwritev64v2(int fd, const struct iovec *iov, int nr, off64_t at,
		    int flags)
{
	return any_write(fd, iov, nr, at, flags);
}

ssize_t pread(int fd, void *buf, size_t len, off_t at)
{
	return read_one(fd, buf, len, at);
}

ssize_t pread64(int fd, void *buf, size_t len, off64_t at)
{
	return read_one(fd, buf, len, at);
}

ssize_t __pread_chk(int fd, void *buf, size_t len, off_t at, size_t room);
ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t at, size_t room);

ssize_t __pread_chk(int fd, void *buf, size_t len, off_t at, size_t room)
{
	if (len > room)
		abort();
	return read_one(fd, buf, len, at);
}

ssize_t __pread64_chk(int fd, void *buf, size_t len, off64_t at, size_t room)
{
	if (len > room)
		abort();
	return read_one(fd, buf, len, at);
}

ssize_t preadv(int fd, const struct iovec *iov, int nr, off_t at)
{
	return any_read(fd, iov, nr, at, 0);
}

ssize_t preadv64(int fd, const struct iovec *iov, int nr, off64_t at)
{
	return any_read(fd, iov, nr, at, 0);
}

ssize_t preadv2(int fd, const struct iovec *iov, int nr, off_t at, int flags)
{
	return any_read(fd, iov, nr, at, flags);
}

ssize_t preadv64v2(int fd, const struct iovec *iov, int nr, off64_t at,
		   int flags)
{
	return any_read(fd, iov, nr, at, flags);
}

int fdatasync(int fd)
{
	if (!is_ours(fd))
		return (int)syscall(SYS_fdatasync, fd);
	lossy_flush();
	return 0;
}

int fsync(int fd)
{
	if (!is_ours(fd))
		return (int)syscall(SYS_fsync, fd);
	lossy_flush();
	return 0;
}
