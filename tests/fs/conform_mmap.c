/* SPDX-License-Identifier: Apache-2.0 */
/* conform_mmap.c - mappings, buffered and direct I/O on one file agree */
#include "tests/fs/fs_test.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define LEN 65536

static _Alignas(4096) unsigned char out[2 * LEN], in[2 * LEN];

static int make(const char *name)
{
	int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0644);

	CHECK(fd >= 0);
	fs_fill(out, LEN, 3);
	CHECK_INT(write(fd, out, LEN), LEN);
	return fd;
}

static unsigned char *map(int fd, int prot, int flags, size_t len, off_t at)
{
	unsigned char *p = mmap(NULL, len, prot, flags, fd, at);

	CHECK(p != MAP_FAILED);
	return p;
}

static unsigned char *map_shared(int fd)
{
	return map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, LEN, 0);
}

/* -- mappings ------------------------------------------------------------- */

static void mmap__shared_write_is_read_at_once(void **state)
{
	int fd = make("f"), other = open("f", O_RDONLY);
	unsigned char *p = map_shared(fd), c;

	(void)state;
	p[5000] = 'm';
	CHECK_INT(pread(other, &c, 1, 5000), 1);
	CHECK_INT(c, 'm');
	CHECK_INT(pwrite(fd, "w", 1, 6000), 1);
	CHECK_INT(p[6000], 'w');
	CHECK_SYS(munmap(p, LEN));
	close(fd);
	close(other);
}

static void mmap__msync_makes_it_stay(void **state)
{
	int fd = make("f");
	unsigned char *p = map_shared(fd);

	(void)state;
	memset(p + 100, 'x', 20000);
	memset(out + 100, 'x', 20000);
	CHECK_SYS(msync(p, LEN, MS_SYNC));
	CHECK_SYS(munmap(p, LEN));
	/* without the pages that the kernel has */
	CHECK_SYS(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	CHECK_INT(pread(fd, in, LEN, 0), LEN);
	CHECK_MEM(in, out, LEN);
	close(fd);
}

static void mmap__outlives_close_and_unlink(void **state)
{
	int fd = make("f");
	unsigned char *p = map_shared(fd);

	(void)state;
	close(fd);
	CHECK_SYS(unlink("f"));
	CHECK_MEM(p, out, LEN);
	p[0] = 'z';
	CHECK_SYS(msync(p, LEN, MS_SYNC));
	CHECK_INT(p[0], 'z');
	CHECK_SYS(munmap(p, LEN));
}

static void mmap__private_write_stays_private(void **state)
{
	int fd = make("f");
	unsigned char *p = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE, LEN, 0);

	(void)state;
	memset(p, 'p', LEN);
	CHECK_INT(pread(fd, in, LEN, 0), LEN);
	CHECK_MEM(in, out, LEN);
	CHECK_SYS(munmap(p, LEN));
	close(fd);
}

static void mmap__needs_the_descriptors_rights(void **state)
{
	int ro, wo;

	(void)state;
	close(make("f"));
	ro = open("f", O_RDONLY);
	wo = open("f", O_WRONLY);
	CHECK(mmap(NULL, 1, PROT_WRITE, MAP_SHARED, ro, 0) == MAP_FAILED);
	CHECK_INT(errno, EACCES);
	CHECK(mmap(NULL, 1, PROT_READ, MAP_SHARED, wo, 0) == MAP_FAILED);
	CHECK_INT(errno, EACCES);
	CHECK(mmap(NULL, 1, PROT_READ, MAP_SHARED, ro, 1) == MAP_FAILED);
	CHECK_INT(errno, EINVAL);
	CHECK(mmap(NULL, 0, PROT_READ, MAP_SHARED, ro, 0) == MAP_FAILED);
	CHECK_INT(errno, EINVAL);
	close(ro);
	close(wo);
}

static void mmap__of_a_directory_is_enodev(void **state)
{
	int fd = open(".", O_RDONLY);

	(void)state;
	CHECK(mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	CHECK_INT(errno, ENODEV);
	close(fd);
}

static void mmap__processes_share_it(void **state)
{
	int fd = make("f"), status;
	unsigned char *p = map_shared(fd);

	(void)state;
	if (fork() == 0) {
		int mine = open("f", O_RDWR);
		unsigned char *q = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
					MAP_SHARED, mine, 0);

		MUST(q != MAP_FAILED);
		q[7] = 'q';
		_exit(0);
	}
	wait(&status);
	CHECK_INT(status, 0);
	CHECK_INT(p[7], 'q');
	CHECK_SYS(munmap(p, LEN));
	close(fd);
}

static sigjmp_buf at_fault;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(at_fault, 1);
}

static bool faults(const volatile unsigned char *p)
{
	struct sigaction sa = {.sa_handler = on_bus}, old;
	bool fault = true;

	sigaction(SIGBUS, &sa, &old);
	if (sigsetjmp(at_fault, 1) == 0) {
		(void)*p;
		fault = false;
	}
	sigaction(SIGBUS, &old, NULL);
	return fault;
}

static void mmap__pages_beyond_the_end_are_sigbus(void **state)
{
	int fd = make("f");
	unsigned char *p = map_shared(fd);

	(void)state;
	CHECK(!faults(p + LEN - 1));
	CHECK_SYS(ftruncate(fd, 5000));
	CHECK(!faults(p + 5000));
	CHECK(!faults(p + 8191));
	CHECK(faults(p + 8192));
	CHECK_SYS(ftruncate(fd, LEN));
	CHECK(!faults(p + 8192));
	CHECK_INT(p[8192], 0);
	CHECK_SYS(munmap(p, LEN));
	close(fd);
}

static void mmap__truncated_bytes_of_the_last_page_are_zero(void **state)
{
	int fd = make("f");
	unsigned char *p = map_shared(fd);

	(void)state;
	CHECK_SYS(ftruncate(fd, 5000));
	CHECK_INT(p[4999], out[4999]);
	for (int i = 5000; i < 8192; i++)
		CHECK_INT(p[i], 0);
	/* what is written there does not become part of the file */
	p[6000] = 'x';
	CHECK_SYS(msync(p, 8192, MS_SYNC));
	CHECK_SYS(ftruncate(fd, 8192));
	CHECK_INT(pread(fd, in, 1, 6000), 1);
	CHECK_INT(in[0], 0);
	CHECK_SYS(munmap(p, LEN));
	close(fd);
}

static void mmap__hole_is_zero_and_can_be_written(void **state)
{
	int fd = open("f", O_CREAT | O_RDWR, 0644);
	unsigned char *p;

	(void)state;
	CHECK_SYS(ftruncate(fd, LEN));
	p = map_shared(fd);
	for (int i = 0; i < LEN; i += 512)
		CHECK_INT(p[i], 0);
	p[30000] = 'h';
	CHECK_SYS(msync(p, LEN, MS_SYNC));
	CHECK_SYS(munmap(p, LEN));
	CHECK_INT(pread(fd, in, 1, 30000), 1);
	CHECK_INT(in[0], 'h');
	close(fd);
}

static void mmap__sees_a_punched_hole(void **state)
{
	int fd = make("f");
	unsigned char *p = map_shared(fd);

	(void)state;
	CHECK_MEM(p, out, LEN);
	p[20000] = 'd'; /* dirty, and gone with the hole */
	CHECK_SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    16384, 16384));
	CHECK_INT(p[16384], 0);
	CHECK_INT(p[20000], 0);
	CHECK_INT(p[16383], out[16383]);
	CHECK_INT(p[32768], out[32768]);
	CHECK_SYS(munmap(p, LEN));
	close(fd);
}

static void mmap__sees_a_copied_range(void **state)
{
	int fd = make("f"), src = make("src");
	unsigned char *p = map_shared(fd), *q = map_shared(src);
	loff_t from = 0, to = 16384;

	(void)state;
	CHECK_MEM(p, out, LEN);
	memset(q, 's', 16384); /* dirty pages of the source are copied too */
	CHECK_INT(copy_file_range(src, &from, fd, &to, 16384, 0), 16384);
	for (int i = 16384; i < 32768; i++)
		CHECK_INT(p[i], 's');
	CHECK_INT(p[32768], out[32768]);
	CHECK_SYS(munmap(p, LEN));
	CHECK_SYS(munmap(q, LEN));
	close(fd);
	close(src);
}

/* A write from a mapping of the very file. */
static void mmap__of_the_file_itself_can_be_written_to_it(void **state)
{
	int fd = make("f");
	unsigned char *p = map_shared(fd);

	(void)state;
	CHECK_INT(pwrite(fd, p, 10000, 20000), 10000);
	CHECK_MEM(p + 20000, out, 10000);
	CHECK_INT(pread(fd, p + 40000, 10000, 0), 10000);
	CHECK_MEM(p + 40000, out, 10000);
	CHECK_SYS(munmap(p, LEN));
	close(fd);
}

/* -- direct --------------------------------------------------------------- */

static int open_direct(const char *name, int flags)
{
	int fd = open(name, flags | O_DIRECT, 0644);

	CHECK(fd >= 0);
	return fd;
}

static void direct__agrees_with_buffered_both_ways(void **state)
{
	int fd = make("f"), direct = open_direct("f", O_RDWR);

	(void)state;
	/* what is in the page cache, dirty or not, is read */
	CHECK_INT(pwrite(fd, "new", 3, 4096), 3);
	memcpy(out + 4096, "new", 3);
	CHECK_INT(pread(direct, in, LEN, 0), LEN);
	CHECK_MEM(in, out, LEN);
	/* and what goes past it is seen through it */
	memset(in, 'd', 4096);
	CHECK_INT(pwrite(direct, in, 4096, 8192), 4096);
	CHECK_INT(pread(fd, in + 8192, 4096, 8192), 4096);
	CHECK_MEM(in, in + 8192, 4096);
	close(fd);
	close(direct);
}

static void direct__agrees_with_mappings_both_ways(void **state)
{
	int fd = make("f"), direct = open_direct("f", O_RDWR);
	unsigned char *p = map_shared(fd);

	(void)state;
	p[100] = 'm';
	CHECK_INT(pread(direct, in, 4096, 0), 4096);
	CHECK_INT(in[100], 'm');
	memset(in, 'd', 4096);
	CHECK_INT(pwrite(direct, in, 4096, 4096), 4096);
	CHECK_INT(p[4096], 'd');
	CHECK_INT(p[8191], 'd');
	CHECK_INT(p[8192], out[8192]);
	CHECK_SYS(munmap(p, LEN));
	close(fd);
	close(direct);
}

static void direct__write_extends_and_read_stops_at_the_end(void **state)
{
	int direct = open_direct("f", O_CREAT | O_RDWR);

	(void)state;
	fs_fill(out, LEN, 4);
	CHECK_INT(pwrite(direct, out, 8192, 0), 8192);
	CHECK_INT(fs_lstat("f").st_size, 8192);
	CHECK_SYS(ftruncate(direct, 5000));
	CHECK_INT(pread(direct, in, 8192, 0), 5000);
	CHECK_MEM(in, out, 5000);
	CHECK_INT(pread(direct, in, 4096, 8192), 0);
	close(direct);
}

/* ext4 may refuse, but then with EINVAL; wrong bytes it never gives. */
static void direct__unaligned_is_right_or_einval(void **state)
{
	static const struct {
		size_t mem, len;
		off_t at;
	} cases[] = {
		{1, 4096, 0},	   {512, 4096, 4096},	{0, 100, 0},
		{0, 4096, 100},	   {0, 512, 512},	{3, 12345, 777},
		{4, 16384, 16384}, {2048, 40000, 8192},
	};
	int direct;

	(void)state;
	close(make("f"));
	direct = open_direct("f", O_RDWR);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t len = cases[i].len, mem = cases[i].mem;
		off_t at = cases[i].at;
		ssize_t n;

		memset(in, 0, sizeof(in));
		n = pread(direct, in + mem, len, at);
		CHECK(n == (ssize_t)len ||
		      (n < 0 && errno == EINVAL && fs_is_plain()));
		if (n > 0)
			CHECK_MEM(in + mem, out + at, len);
		fs_fill(in + mem, len, (unsigned)i);
		n = pwrite(direct, in + mem, len, at);
		CHECK(n == (ssize_t)len ||
		      (n < 0 && errno == EINVAL && fs_is_plain()));
		if (n > 0)
			memcpy(out + at, in + mem, len);
	}
	close(direct);
	direct = open("f", O_RDONLY);
	CHECK_INT(pread(direct, in, LEN, 0), LEN);
	CHECK_MEM(in, out, LEN);
	close(direct);
}

static void direct__vectors_work(void **state)
{
	struct iovec iov[2] = {{out, 4096}, {out + 8192, 4096}};
	int direct = open_direct("f", O_CREAT | O_RDWR);

	(void)state;
	fs_fill(out, LEN, 6);
	CHECK_INT(pwritev(direct, iov, 2, 0), 8192);
	CHECK_INT(pread(direct, in, 8192, 0), 8192);
	CHECK_MEM(in, out, 4096);
	CHECK_MEM(in + 4096, out + 8192, 4096);
	close(direct);
}

static void direct__from_a_mapping_of_another_file_works(void **state)
{
	int fd = make("src"), direct = open_direct("f", O_CREAT | O_RDWR);
	unsigned char *p = map_shared(fd);

	(void)state;
	CHECK_INT(pwrite(direct, p, LEN, 0), LEN);
	memset(p, 0, LEN);
	CHECK_INT(pread(direct, p, LEN, 0), LEN);
	CHECK_MEM(p, out, LEN);
	CHECK_SYS(munmap(p, LEN));
	close(fd);
	close(direct);
}

/* The pages of the request are those that it makes the kernel drop. */
static void direct__into_and_from_a_mapping_of_itself_works(void **state)
{
	int fd = make("f"), direct = open_direct("f", O_RDWR);
	unsigned char *p = map_shared(fd);

	(void)state;
	CHECK_INT(pread(direct, p + 32768, 8192, 0), 8192);
	CHECK_MEM(p + 32768, out, 8192);
	CHECK_INT(pwrite(direct, p + 4096, 8192, 49152), 8192);
	CHECK_MEM(p + 49152, out + 4096, 8192);
	/* the very same bytes */
	CHECK_INT(pwrite(direct, p, 4096, 0), 4096);
	CHECK_INT(pread(direct, p, 4096, 0), 4096);
	CHECK_MEM(p, out, 4096);
	CHECK_SYS(munmap(p, LEN));
	close(fd);
	close(direct);
}

static void direct__holes_and_punches_agree(void **state)
{
	int fd = make("f"), direct = open_direct("f", O_RDWR);

	(void)state;
	CHECK_INT(pread(fd, in, LEN, 0), LEN); /* into the cache */
	CHECK_SYS(fallocate(direct, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    4096, 8192));
	memset(out + 4096, 0, 8192);
	CHECK_INT(pread(fd, in, LEN, 0), LEN);
	CHECK_MEM(in, out, LEN);
	CHECK_SYS(ftruncate(direct, 2000));
	CHECK_SYS(ftruncate(direct, LEN));
	memset(out + 2000, 0, LEN - 2000);
	CHECK_INT(pread(fd, in, LEN, 0), LEN);
	CHECK_MEM(in, out, LEN);
	close(fd);
	close(direct);
}

/* -- all at once ---------------------------------------------------------- */

struct mixer {
	pthread_t thread;
	int fd;
	unsigned char *map;   /* or read and write */
	unsigned char *block; /* a page of its own */
	off_t at;
	unsigned seed;
};

/* Each has a page of its own in the file and must always find it as it was. */
static void *mix(void *arg)
{
	struct mixer *m = arg;
	_Alignas(4096) unsigned char got[4096];

	for (unsigned i = 0; i < 300; i++) {
		fs_fill(m->block, 4096, m->seed + i);
		if (m->map)
			memcpy(m->map + m->at, m->block, 4096);
		else
			MUST(pwrite(m->fd, m->block, 4096, m->at) == 4096);
		if (m->map)
			memcpy(got, m->map + m->at, 4096);
		else
			MUST(pread(m->fd, got, 4096, m->at) == 4096);
		MUST(memcmp(got, m->block, 4096) == 0);
	}
	return NULL;
}

#define MIXERS 6

static void mixed__writers_of_neighbouring_pages_do_not_disturb(void **state)
{
	int fd = make("f"), direct = open_direct("f", O_RDWR);
	unsigned char *p = map_shared(fd);
	struct mixer m[MIXERS];

	(void)state;
	for (int i = 0; i < MIXERS; i++) {
		m[i] = (struct mixer){
			.fd = i % 3 == 1 ? direct : fd,
			.map = i % 3 == 2 ? p : NULL,
			.block = out + 4096 * i,
			.at = 4096 * i,
			.seed = (unsigned)i * 1000,
		};
		CHECK_INT(pthread_create(&m[i].thread, NULL, mix, &m[i]), 0);
	}
	for (int i = 0; i < MIXERS; i++)
		pthread_join(m[i].thread, NULL);
	CHECK_SYS(msync(p, LEN, MS_SYNC));
	CHECK_INT(pread(direct, in, 4096 * MIXERS, 0), 4096 * MIXERS);
	CHECK_MEM(in, out, 4096 * MIXERS);
	CHECK_SYS(munmap(p, LEN));
	close(fd);
	close(direct);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(mmap__shared_write_is_read_at_once),
		FS_TEST(mmap__msync_makes_it_stay),
		FS_TEST(mmap__outlives_close_and_unlink),
		FS_TEST(mmap__private_write_stays_private),
		FS_TEST(mmap__needs_the_descriptors_rights),
		FS_TEST(mmap__of_a_directory_is_enodev),
		FS_TEST(mmap__processes_share_it),
		FS_TEST(mmap__pages_beyond_the_end_are_sigbus),
		FS_TEST(mmap__truncated_bytes_of_the_last_page_are_zero),
		FS_TEST(mmap__hole_is_zero_and_can_be_written),
		FS_TEST(mmap__sees_a_punched_hole),
		FS_TEST(mmap__sees_a_copied_range),
		FS_TEST(mmap__of_the_file_itself_can_be_written_to_it),
		FS_TEST(direct__agrees_with_buffered_both_ways),
		FS_TEST(direct__agrees_with_mappings_both_ways),
		FS_TEST(direct__write_extends_and_read_stops_at_the_end),
		FS_TEST(direct__unaligned_is_right_or_einval),
		FS_TEST(direct__vectors_work),
		FS_TEST(direct__from_a_mapping_of_another_file_works),
		FS_TEST(direct__into_and_from_a_mapping_of_itself_works),
		FS_TEST(direct__holes_and_punches_agree),
		FS_TEST(mixed__writers_of_neighbouring_pages_do_not_disturb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
