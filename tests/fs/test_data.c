/* SPDX-License-Identifier: Apache-2.0 */
/* test_data.c - content: fallocate, holes, copies, mmap and direct I/O */
#include "tests/fs/fs_test.h"

#include <linux/falloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define KIB 1024
#define MIB (1024 * KIB)

static unsigned char *aligned(size_t len)
{
	void *p = NULL;

	CHECK_INT(posix_memalign(&p, 4096, len), 0);
	return p;
}

static int make(const char *name, size_t len, unsigned seed)
{
	unsigned char *buf = aligned(len);
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);

	CHECK_SYS(fd);
	fs_fill(buf, len, seed);
	CHECK_INT(pwrite(fd, buf, len, 0), (ssize_t)len);
	free(buf);
	return fd;
}

static void check_content(int fd, off_t at, size_t len, const void *want)
{
	unsigned char *buf = aligned((len + 4095) / 4096 * 4096);

	CHECK_INT(pread(fd, buf, len, at), (ssize_t)len);
	CHECK_MEM(buf, want, len);
	free(buf);
}

static off_t size_of(int fd)
{
	struct stat st;

	CHECK_SYS(fstat(fd, &st));
	return st.st_size;
}

/* -- fallocate ------------------------------------------------------------ */

static void fallocate__sets_the_size(void **state)
{
	int fd;

	(void)state;
	fd = open("a", O_RDWR | O_CREAT, 0644);
	CHECK_SYS(fallocate(fd, 0, 0, 100000));
	CHECK_INT(size_of(fd), 100000);
	CHECK_SYS(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 500000));
	CHECK_INT(size_of(fd), 100000);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
	CHECK_INT(posix_fallocate(fd, 0, 200000), 0);
	CHECK_INT(size_of(fd), 200000);
	close(fd);
}

static void fallocate__punch_hole_zeroes(void **state)
{
	unsigned char *want = aligned(256 * KIB);
	int fd;

	(void)state;
	fd = make("a", 256 * KIB, 1);
	fs_fill(want, 256 * KIB, 1);
	CHECK_SYS(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			    5000, 100000));
	memset(want + 5000, 0, 100000);
	check_content(fd, 0, 256 * KIB, want);
	CHECK_INT(size_of(fd), 256 * KIB);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
	close(fd);
	free(want);
}

static void fallocate__zero_range_zeroes(void **state)
{
	unsigned char *want = calloc(1, 300 * KIB);
	int fd;

	(void)state;
	fd = make("a", 256 * KIB, 2);
	fs_fill(want, 256 * KIB, 2);
	CHECK_SYS(fallocate(fd, FALLOC_FL_ZERO_RANGE, 200 * KIB, 100 * KIB));
	memset(want + 200 * KIB, 0, 100 * KIB);
	CHECK_INT(size_of(fd), 300 * KIB);
	check_content(fd, 0, 300 * KIB, want);
	CHECK_SYS(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
			    290 * KIB, 100 * KIB));
	CHECK_INT(size_of(fd), 300 * KIB);
	close(fd);
	free(want);
}

static void fallocate__other_modes_are_refused(void **state)
{
	int fd;

	(void)state;
	fd = make("a", 64 * KIB, 3);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
		    EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096), EOPNOTSUPP);
	close(fd);
}

/* -- holes ---------------------------------------------------------------- */

static void seek__finds_data_and_holes(void **state)
{
	char x = 'x';
	off_t data;
	int fd;

	(void)state;
	fd = open("a", O_RDWR | O_CREAT, 0644);
	CHECK_INT(pwrite(fd, &x, 1, 1 * MIB), 1);
	CHECK_SYS(ftruncate(fd, 3 * MIB));
	CHECK_INT(lseek(fd, 0, SEEK_HOLE), 0);
	data = lseek(fd, 0, SEEK_DATA);
	CHECK(data > 0 && data <= 1 * MIB);
	CHECK_INT(lseek(fd, 1 * MIB, SEEK_DATA), 1 * MIB);
	data = lseek(fd, 1 * MIB, SEEK_HOLE);
	CHECK(data > 1 * MIB && data <= 1 * MIB + 128 * KIB);
	CHECK_ERRNO(lseek(fd, 2 * MIB, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 3 * MIB, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 4 * MIB, SEEK_HOLE), ENXIO);
	CHECK_INT(lseek(fd, 2 * MIB, SEEK_HOLE), 2 * MIB);
	close(fd);
}

static void seek__full_file_has_its_hole_at_the_end(void **state)
{
	int fd;

	(void)state;
	fd = make("a", 100000, 4);
	CHECK_INT(lseek(fd, 0, SEEK_DATA), 0);
	CHECK_INT(lseek(fd, 0, SEEK_HOLE), 100000);
	CHECK_INT(lseek(fd, 99999, SEEK_HOLE), 100000);
	close(fd);
}

static void hole__zeros_take_no_space(void **state)
{
	unsigned char *zeros = calloc(1, 4 * MIB);
	struct stat st;
	int fd;

	(void)state;
	fd = open("a", O_RDWR | O_CREAT, 0644);
	CHECK_INT(write(fd, zeros, 4 * MIB), 4 * MIB);
	CHECK_SYS(fsync(fd));
	CHECK_SYS(fstat(fd, &st));
	CHECK_INT(st.st_size, 4 * MIB);
	CHECK(st.st_blocks < 64);
	close(fd);
	free(zeros);
}

/* -- copies --------------------------------------------------------------- */

static void copy__within_a_dataset_is_equal_and_independent(void **state)
{
	unsigned char *want = aligned(4 * MIB);
	off_t in = 0, out = 0;
	size_t left = 4 * MIB;
	ssize_t n;
	int a, b;

	(void)state;
	a = make("a", 4 * MIB, 5);
	fs_fill(want, 4 * MIB, 5);
	b = open("b", O_RDWR | O_CREAT, 0644);
	while (left) {
		n = copy_file_range(a, &in, b, &out, left, 0);
		CHECK(n > 0);
		left -= (size_t)n;
	}
	check_content(b, 0, 4 * MIB, want);
	CHECK_INT(pwrite(a, "changed", 7, 12345), 7);
	check_content(b, 0, 4 * MIB, want);
	CHECK_INT(copy_file_range(a, &in, b, &out, 100, 0), 0);
	close(a);
	close(b);
	free(want);
}

static void copy__between_datasets_works(void **state)
{
	unsigned char *want = aligned(1 * MIB);
	off_t in = 0, out = 0;
	char path[4096];
	int a, b;

	(void)state;
	a = make("a", 1 * MIB, 6);
	fs_fill(want, 1 * MIB, 6);
	snprintf(path, sizeof(path), "%s/other/copy-%d", fs_mount(), getpid());
	b = open(path, O_RDWR | O_CREAT, 0644);
	CHECK_SYS(b);
	CHECK_INT(copy_file_range(a, &in, b, &out, 1 * MIB, 0), 1 * MIB);
	check_content(b, 0, 1 * MIB, want);
	close(a);
	close(b);
	CHECK_SYS(unlink(path));
	free(want);
}

static void copy__unaligned_ranges_are_right(void **state)
{
	unsigned char *want = aligned(200 * KIB);
	off_t in = 777, out = 333;
	size_t left = 100000;
	ssize_t n;
	int a, b;

	(void)state;
	a = make("a", 200 * KIB, 7);
	b = make("b", 200 * KIB, 8);
	fs_fill(want, 200 * KIB, 7);
	memmove(want, want + 777, 100000);
	while (left) {
		n = copy_file_range(a, &in, b, &out, left, 0);
		CHECK(n > 0);
		left -= (size_t)n;
	}
	check_content(b, 333, 100000, want);
	in = 0;
	out = 50000;
	CHECK_ERRNO(copy_file_range(a, &in, a, &out, 100000, 0), EINVAL);
	close(a);
	close(b);
	free(want);
}

static void copy__is_fast_because_it_shares(void **state)
{
	struct stat st;
	off_t in = 0, out = 0;
	int a, b;

	(void)state;
	a = make("a", 16 * MIB, 9);
	CHECK_SYS(fsync(a));
	CHECK_INT(fs_command("pool.info", ""), 0);
	b = open("b", O_RDWR | O_CREAT, 0644);
	for (size_t left = 16 * MIB; left;) {
		ssize_t n = copy_file_range(a, &in, b, &out, left, 0);

		CHECK(n > 0);
		left -= (size_t)n;
	}
	CHECK_SYS(fstat(b, &st));
	CHECK_INT(st.st_size, 16 * MIB);
	close(a);
	close(b);
}

/* -- mmap, buffered and direct -------------------------------------------- */

static void mmap__sees_writes_and_is_seen(void **state)
{
	char buf[8] = "";
	char *map;
	int fd;

	(void)state;
	fd = make("a", 64 * KIB, 10);
	map = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	CHECK_INT(pwrite(fd, "written", 7, 5000), 7);
	CHECK_MEM(map + 5000, "written", 7);
	memcpy(map + 9000, "mapped", 6);
	CHECK_INT(pread(fd, buf, 6, 9000), 6);
	CHECK_STR(buf, "mapped");
	CHECK_SYS(msync(map, 64 * KIB, MS_SYNC));
	CHECK_SYS(munmap(map, 64 * KIB));
	close(fd);
	fd = open("a", O_RDONLY);
	CHECK_INT(pread(fd, buf, 6, 9000), 6);
	CHECK_STR(buf, "mapped");
	close(fd);
}

static void mmap__beyond_the_end_reads_zero(void **state)
{
	char *map;
	int fd;

	(void)state;
	fd = make("a", 5000, 11);
	map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
	for (int i = 5000; i < 8192; i++)
		CHECK_INT(map[i], 0);
	munmap(map, 8192);
	close(fd);
}

static void direct__is_coherent_with_buffered(void **state)
{
	unsigned char *buf = aligned(64 * KIB), *want = aligned(64 * KIB);
	int d, b;

	(void)state;
	b = make("a", 64 * KIB, 12);
	d = open("a", O_RDWR | O_DIRECT);
	CHECK_SYS(d);
	fs_fill(want, 64 * KIB, 12);
	CHECK_INT(pread(d, buf, 64 * KIB, 0), 64 * KIB);
	CHECK_MEM(buf, want, 64 * KIB);
	for (unsigned seed = 100; seed < 110; seed++) {
		fs_fill(want, 16 * KIB, seed);
		CHECK_INT(pwrite(d, want, 16 * KIB, 16 * KIB), 16 * KIB);
		CHECK_INT(pread(b, buf, 16 * KIB, 16 * KIB), 16 * KIB);
		CHECK_MEM(buf, want, 16 * KIB);
		fs_fill(want, 16 * KIB, seed + 1000);
		CHECK_INT(pwrite(b, want, 16 * KIB, 16 * KIB), 16 * KIB);
		CHECK_INT(pread(d, buf, 16 * KIB, 16 * KIB), 16 * KIB);
		CHECK_MEM(buf, want, 16 * KIB);
	}
	close(d);
	close(b);
	free(buf);
	free(want);
}

static void direct__is_coherent_with_mmap(void **state)
{
	unsigned char *buf = aligned(16 * KIB), *want = aligned(16 * KIB);
	unsigned char *map;
	int d, b;

	(void)state;
	b = make("a", 64 * KIB, 13);
	d = open("a", O_RDWR | O_DIRECT);
	map = mmap(NULL, 64 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, b, 0);
	CHECK(map != MAP_FAILED);
	CHECK_INT(map[0], map[0]);
	fs_fill(want, 16 * KIB, 14);
	CHECK_INT(pwrite(d, want, 16 * KIB, 0), 16 * KIB);
	CHECK_MEM(map, want, 16 * KIB);
	fs_fill(want, 16 * KIB, 15);
	memcpy(map, want, 16 * KIB);
	CHECK_INT(pread(d, buf, 16 * KIB, 0), 16 * KIB);
	CHECK_MEM(buf, want, 16 * KIB);
	munmap(map, 64 * KIB);
	close(d);
	close(b);
	free(buf);
	free(want);
}

static void direct__files_can_be_mapped_shared(void **state)
{
	unsigned char *want = aligned(16 * KIB);
	char *map;
	int d;

	(void)state;
	close(make("a", 16 * KIB, 16));
	d = open("a", O_RDWR | O_DIRECT);
	map = mmap(NULL, 16 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, d, 0);
	if (map == MAP_FAILED && errno == ENODEV)
		skip(); /* Linux before 6.6 */
	CHECK(map != MAP_FAILED);
	fs_fill(want, 16 * KIB, 16);
	CHECK_MEM(map, want, 16 * KIB);
	memcpy(map, "mapped", 6);
	CHECK_SYS(msync(map, 16 * KIB, MS_SYNC));
	munmap(map, 16 * KIB);
	close(d);
	CHECK_MEM(fs_get("a"), "mapped", 6);
	free(want);
}

static void direct__created_with_it_works(void **state)
{
	unsigned char *want = aligned(1 * MIB);
	int fd;

	(void)state;
	fd = open("a", O_RDWR | O_CREAT | O_DIRECT, 0644);
	CHECK_SYS(fd);
	fs_fill(want, 1 * MIB, 17);
	CHECK_INT(pwrite(fd, want, 1 * MIB, 0), 1 * MIB);
	check_content(fd, 0, 1 * MIB, want);
	close(fd);
	fd = open("a", O_RDONLY);
	check_content(fd, 0, 1 * MIB, want);
	close(fd);
	free(want);
}

static void direct__by_fcntl_works(void **state)
{
	unsigned char *want = aligned(64 * KIB);
	int fd;

	(void)state;
	fd = open("a", O_RDWR | O_CREAT, 0644);
	CHECK_SYS(fcntl(fd, F_SETFL, O_DIRECT));
	fs_fill(want, 64 * KIB, 18);
	CHECK_INT(pwrite(fd, want, 64 * KIB, 0), 64 * KIB);
	check_content(fd, 0, 64 * KIB, want);
	close(fd);
	free(want);
}

static void sync__flags_work(void **state)
{
	static const int flags[] = {O_DSYNC, O_SYNC, O_DSYNC | O_DIRECT,
				    O_SYNC | O_DIRECT};
	unsigned char *buf = aligned(4096);
	struct iovec iov = {.iov_base = buf, .iov_len = 4096};
	int fd;

	(void)state;
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		fd = open("a", O_RDWR | O_CREAT | flags[i], 0644);
		CHECK_SYS(fd);
		CHECK_INT(pwrite(fd, buf, 4096, (off_t)i * 4096), 4096);
		close(fd);
	}
	fd = open("a", O_RDWR);
	CHECK_INT(pwritev2(fd, &iov, 1, 0, RWF_DSYNC), 4096);
	CHECK_SYS(fsync(fd));
	CHECK_SYS(fdatasync(fd));
	close(fd);
	fd = open(".", O_RDONLY | O_DIRECTORY);
	CHECK_SYS(fsync(fd));
	close(fd);
	free(buf);
}

/* -- many at once --------------------------------------------------------- */

#define NR_THREADS 8
#define NR_ROUNDS  200

static void *write_own_part(void *arg)
{
	size_t part = (size_t)(uintptr_t)arg;
	unsigned char *buf, *got;
	int fd = open("shared", O_RDWR | O_DIRECT);

	MUST(fd >= 0);
	MUST(posix_memalign((void **)&buf, 4096, 16 * KIB) == 0);
	MUST(posix_memalign((void **)&got, 4096, 16 * KIB) == 0);
	for (unsigned i = 0; i < NR_ROUNDS; i++) {
		off_t at = (off_t)((part + NR_THREADS * (i % 16)) * 16 * KIB);

		fs_fill(buf, 16 * KIB, (unsigned)part * 1000 + i);
		MUST(pwrite(fd, buf, 16 * KIB, at) == 16 * KIB);
		MUST(pread(fd, got, 16 * KIB, at) == 16 * KIB);
		MUST(memcmp(buf, got, 16 * KIB) == 0);
		if (i % 50 == 0)
			MUST(fsync(fd) == 0);
	}
	close(fd);
	free(buf);
	free(got);
	return NULL;
}

static void direct__parallel_writers_do_not_mix(void **state)
{
	pthread_t t[NR_THREADS];

	(void)state;
	close(make("shared", NR_THREADS * 16 * 16 * KIB, 19));
	for (size_t i = 0; i < NR_THREADS; i++)
		CHECK_INT(pthread_create(&t[i], NULL, write_own_part,
					 (void *)(uintptr_t)i),
			  0);
	for (size_t i = 0; i < NR_THREADS; i++)
		pthread_join(t[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(fallocate__sets_the_size),
		FS_TEST(fallocate__punch_hole_zeroes),
		FS_TEST(fallocate__zero_range_zeroes),
		FS_TEST(fallocate__other_modes_are_refused),
		FS_TEST(seek__finds_data_and_holes),
		FS_TEST(seek__full_file_has_its_hole_at_the_end),
		FS_TEST(hole__zeros_take_no_space),
		FS_TEST(copy__within_a_dataset_is_equal_and_independent),
		FS_TEST(copy__between_datasets_works),
		FS_TEST(copy__unaligned_ranges_are_right),
		FS_TEST(copy__is_fast_because_it_shares),
		FS_TEST(mmap__sees_writes_and_is_seen),
		FS_TEST(mmap__beyond_the_end_reads_zero),
		FS_TEST(direct__is_coherent_with_buffered),
		FS_TEST(direct__is_coherent_with_mmap),
		FS_TEST(direct__files_can_be_mapped_shared),
		FS_TEST(direct__created_with_it_works),
		FS_TEST(direct__by_fcntl_works),
		FS_TEST(sync__flags_work),
		FS_TEST(direct__parallel_writers_do_not_mix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
