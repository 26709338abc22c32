/* SPDX-License-Identifier: Apache-2.0 */
/* conform_data.c - reading, writing, truncating, holes, copying, large files */
#include "tests/fs/fs_test.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/statvfs.h>
#include <sys/uio.h>

#define MIB (INT64_C(1) << 20)
#define TIB (INT64_C(1) << 40)
#define BUF (256 * 1024)

static unsigned char out[BUF], in[BUF];

static int make(const char *name, size_t len)
{
	int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0644);

	CHECK(fd >= 0);
	fs_fill(out, len, 1);
	CHECK_INT(write(fd, out, len), len);
	return fd;
}

static void check_bytes(int fd, const unsigned char *want, size_t len, off_t at)
{
	memset(in, 0x5a, len);
	CHECK_INT(pread(fd, in, len, at), len);
	CHECK_MEM(in, want, len);
}

static void check_zeros(int fd, size_t len, off_t at)
{
	static const unsigned char zeros[BUF];

	check_bytes(fd, zeros, len, at);
}

/* -- read and write ------------------------------------------------------- */

static void read__beyond_the_end_is_short_or_nothing(void **state)
{
	int fd = make("f", 100);

	(void)state;
	CHECK_INT(pread(fd, in, 50, 80), 20);
	CHECK_INT(pread(fd, in, 50, 100), 0);
	CHECK_INT(pread(fd, in, 50, TIB), 0);
	CHECK_INT(pread(fd, in, 0, 0), 0);
	CHECK_ERRNO(pread(fd, in, 1, -1), EINVAL);
	close(fd);
}

static void read__of_a_directory_is_eisdir(void **state)
{
	int fd = open(".", O_RDONLY);

	(void)state;
	CHECK_ERRNO(read(fd, in, 1), EISDIR);
	CHECK_ERRNO(pread(fd, in, 1, 0), EISDIR);
	CHECK_ERRNO(write(fd, in, 1), EBADF);
	CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
	close(fd);
}

static void write__beyond_the_end_leaves_zeros(void **state)
{
	int fd = make("f", 10);

	(void)state;
	CHECK_INT(pwrite(fd, "z", 1, 100000), 1);
	check_zeros(fd, 99990, 10);
	CHECK_INT(fs_lstat("f").st_size, 100001);
	close(fd);
}

static void write__at_each_edge_of_a_record_is_right(void **state)
{
	static const off_t edges[] = {
		1, 511, 4095, 4096, 4097, 16383, 16384, 16385, 32768, 131071,
	};
	int fd = make("f", 200000);

	(void)state;
	for (size_t i = 0; i < sizeof(edges) / sizeof(edges[0]); i++)
		for (size_t len = 1; len < 20000; len = len * 5 + 2) {
			fs_fill(out + edges[i], len, (unsigned)len);
			CHECK_INT(pwrite(fd, out + edges[i], len, edges[i]),
				  len);
		}
	check_bytes(fd, out, 200000, 0);
	CHECK_SYS(fsync(fd));
	check_bytes(fd, out, 200000, 0);
	close(fd);
}

static void write__vectors_are_one_write(void **state)
{
	struct iovec iov[3];
	int fd = make("f", 1);

	(void)state;
	fs_fill(out, 30000, 9);
	for (int i = 0; i < 3; i++)
		iov[i] = (struct iovec){out + 10000 * i, 10000};
	CHECK_INT(pwritev(fd, iov, 3, 5), 30000);
	check_bytes(fd, out, 30000, 5);
	for (int i = 0; i < 3; i++)
		iov[i] = (struct iovec){in + 10000 * i, 10000};
	memset(in, 0, 30000);
	CHECK_INT(preadv(fd, iov, 3, 5), 30000);
	CHECK_MEM(in, out, 30000);
	close(fd);
}

static void write__of_a_bad_address_is_efault(void **state)
{
	/* volatile: the compiler knows that it is no buffer */
	void *volatile bad = (void *)(uintptr_t)-4096;
	int fd = make("f", 10);

	(void)state;
	CHECK_ERRNO(pwrite(fd, bad, 10, 0), EFAULT);
	CHECK_ERRNO(pread(fd, bad, 10, 0), EFAULT);
	check_bytes(fd, out, 10, 0);
	close(fd);
}

static void write__beyond_the_limit_is_efbig(void **state)
{
	struct rlimit old, limit;
	int fd = make("f", 10);

	(void)state;
	CHECK_SYS(getrlimit(RLIMIT_FSIZE, &old));
	limit = old;
	limit.rlim_cur = 1000;
	signal(SIGXFSZ, SIG_IGN);
	CHECK_SYS(setrlimit(RLIMIT_FSIZE, &limit));
	CHECK_INT(pwrite(fd, out, 100, 950), 50);
	CHECK_ERRNO(pwrite(fd, out, 100, 1000), EFBIG);
	CHECK_ERRNO(ftruncate(fd, 1001), EFBIG);
	CHECK_ERRNO(fallocate(fd, 0, 0, 1001), EFBIG);
	CHECK_SYS(setrlimit(RLIMIT_FSIZE, &old));
	signal(SIGXFSZ, SIG_DFL);
	close(fd);
}

static void write__rwf_append_goes_to_the_end(void **state)
{
	struct iovec iov = {(char[]){'e'}, 1};
	int fd = make("f", 10);

	(void)state;
	CHECK_INT(pwritev2(fd, &iov, 1, 0, RWF_APPEND), 1);
	CHECK_INT(fs_lstat("f").st_size, 11);
	check_bytes(fd, out, 10, 0);
	close(fd);
}

static void seek__past_the_end_is_allowed_before_the_start_is_not(void **state)
{
	int fd = make("f", 10);

	(void)state;
	CHECK_INT(lseek(fd, 1000, SEEK_SET), 1000);
	CHECK_INT(lseek(fd, 0, SEEK_END), 10);
	CHECK_INT(lseek(fd, 5, SEEK_END), 15);
	CHECK_INT(lseek(fd, -5, SEEK_CUR), 10);
	CHECK_ERRNO(lseek(fd, -11, SEEK_CUR), EINVAL);
	CHECK_ERRNO(lseek(fd, -1, SEEK_SET), EINVAL);
	CHECK_ERRNO(lseek(fd, 0, 99), EINVAL);
	close(fd);
}

static void seek__sees_an_end_that_another_moved(void **state)
{
	int a = make("f", 10), b = open("f", O_WRONLY);

	(void)state;
	CHECK_INT(lseek(a, 0, SEEK_END), 10);
	CHECK_INT(pwrite(b, "x", 1, 99), 1);
	CHECK_INT(lseek(a, 0, SEEK_END), 100);
	CHECK_SYS(ftruncate(b, 5));
	CHECK_INT(lseek(a, 0, SEEK_END), 5);
	close(a);
	close(b);
}

static void sendfile__copies(void **state)
{
	int from = make("a", 100000), to = open("b", O_CREAT | O_RDWR, 0644);
	off_t at = 1000;

	(void)state;
	CHECK_INT(sendfile(to, from, &at, 50000), 50000);
	CHECK_INT(at, 51000);
	check_bytes(to, out + 1000, 50000, 0);
	close(from);
	close(to);
}

/* -- truncate ------------------------------------------------------------- */

static void truncate__cut_bytes_do_not_come_back(void **state)
{
	static const off_t sizes[] = {0, 1, 4095, 4096, 5000, 16384, 20000};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		int fd = make("f", 50000);
		size_t n = (size_t)sizes[i];

		CHECK_SYS(ftruncate(fd, sizes[i]));
		CHECK_SYS(ftruncate(fd, 50000));
		check_bytes(fd, out, n, 0);
		check_zeros(fd, 50000 - n, sizes[i]);
		close(fd);
	}
}

static void truncate__wrong_things_are_refused(void **state)
{
	int fd = make("f", 10);

	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(mkfifo("p", 0644));
	CHECK_ERRNO(truncate("d", 0), EISDIR);
	CHECK_ERRNO(truncate("p", 0), EINVAL);
	CHECK_ERRNO(truncate("f", -1), EINVAL);
	CHECK_ERRNO(ftruncate(fd, -1), EINVAL);
	if (fs_is_plain())
		CHECK_ERRNO(truncate("f", INT64_MAX), EFBIG);
	CHECK_INT(fs_lstat("f").st_size, 10);
	close(fd);
}

static void truncate__of_an_unlinked_open_file_works(void **state)
{
	int fd = make("f", 10);

	(void)state;
	CHECK_SYS(unlink("f"));
	CHECK_SYS(ftruncate(fd, 100));
	check_zeros(fd, 90, 10);
	close(fd);
}

/* -- fallocate ------------------------------------------------------------ */

static int punch(int fd, off_t at, off_t len)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
			 len);
}

static void fallocate__keep_size_keeps_it(void **state)
{
	int fd = make("f", 10);

	(void)state;
	CHECK_SYS(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000));
	CHECK_INT(fs_lstat("f").st_size, 10);
	CHECK_SYS(fallocate(fd, 0, 0, 5));
	CHECK_INT(fs_lstat("f").st_size, 10);
	CHECK_SYS(fallocate(fd, 0, 50, 50));
	CHECK_INT(fs_lstat("f").st_size, 100);
	check_bytes(fd, out, 10, 0);
	check_zeros(fd, 90, 10);
	close(fd);
}

static void fallocate__holes_of_any_place_and_length_are_zeros(void **state)
{
	static const struct {
		off_t at, len;
	} holes[] = {
		{0, 1},		{100, 50},	{4096, 4096},  {4000, 200},
		{16384, 16384}, {10000, 40000}, {49999, 1000}, {90000, 20000},
		{200000, 5},	{0, 100000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++) {
		int fd = make("f", 100000);
		off_t end = holes[i].at + holes[i].len;

		CHECK_SYS(punch(fd, holes[i].at, holes[i].len));
		for (off_t b = holes[i].at; b < end && b < 100000; b++)
			out[b] = 0;
		check_bytes(fd, out, 100000, 0);
		CHECK_INT(fs_lstat("f").st_size, 100000);
		close(fd);
	}
}

static void fallocate__zero_range_may_grow_the_file(void **state)
{
	int fd = make("f", 100);

	(void)state;
	CHECK_SYS(fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 50,
			    100));
	CHECK_INT(fs_lstat("f").st_size, 100);
	CHECK_SYS(fallocate(fd, FALLOC_FL_ZERO_RANGE, 50, 100));
	CHECK_INT(fs_lstat("f").st_size, 150);
	check_bytes(fd, out, 50, 0);
	check_zeros(fd, 100, 50);
	close(fd);
}

static void fallocate__wrong_arguments_are_refused(void **state)
{
	int fd = make("f", 10), dir = open(".", O_RDONLY), p[2];

	(void)state;
	CHECK_ERRNO(fallocate(fd, 0, -1, 10), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, -1), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, INT64_MAX, 10), EFBIG);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, 0x4000, 0, 10), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(dir, 0, 0, 10), EBADF);
	CHECK_SYS(pipe(p));
	CHECK_ERRNO(fallocate(p[1], 0, 0, 10), ESPIPE);
	if (!fs_is_plain()) {
		CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
			    EOPNOTSUPP);
		CHECK_ERRNO(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, 4096),
			    EOPNOTSUPP);
	}
	close(p[0]);
	close(p[1]);
	close(fd);
	close(dir);
}

static void fallocate__posix_form_makes_the_file_as_long(void **state)
{
	int fd = make("f", 10);

	(void)state;
	CHECK_INT(posix_fallocate(fd, 0, 100000), 0);
	CHECK_INT(fs_lstat("f").st_size, 100000);
	check_bytes(fd, out, 10, 0);
	check_zeros(fd, 99990, 10);
	CHECK_INT(posix_fallocate(fd, -1, 1), EINVAL);
	close(fd);
}

/* -- holes ---------------------------------------------------------------- */

static void seek__data_and_hole_at_the_ends(void **state)
{
	int fd = make("f", 10);

	(void)state;
	CHECK_INT(lseek(fd, 0, SEEK_DATA), 0);
	CHECK_INT(lseek(fd, 0, SEEK_HOLE), 10);
	CHECK_INT(lseek(fd, 9, SEEK_HOLE), 10);
	CHECK_ERRNO(lseek(fd, 10, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 10, SEEK_HOLE), ENXIO);
	CHECK_ERRNO(lseek(fd, 11, SEEK_HOLE), ENXIO);
	CHECK_ERRNO(lseek(fd, -1, SEEK_DATA), ENXIO);
	CHECK_SYS(ftruncate(fd, 0));
	CHECK_ERRNO(lseek(fd, 0, SEEK_DATA), ENXIO);
	CHECK_ERRNO(lseek(fd, 0, SEEK_HOLE), ENXIO);
	close(fd);
}

static void seek__finds_each_island(void **state)
{
	int fd = make("f", 0);
	off_t at = 0;

	(void)state;
	for (int i = 1; i <= 20; i++)
		CHECK_INT(pwrite(fd, out, 4096, i * MIB), 4096);
	CHECK_SYS(ftruncate(fd, 30 * MIB));
	for (int i = 1; i <= 20; i++) {
		at = lseek(fd, at, SEEK_DATA);
		/* the record around it may count as data */
		CHECK(at <= i * MIB && at > i * MIB - 131072);
		at = lseek(fd, at, SEEK_HOLE);
		CHECK(at > i * MIB && at <= i * MIB + 131072);
	}
	CHECK_ERRNO(lseek(fd, at, SEEK_DATA), ENXIO);
	CHECK_INT(lseek(fd, 25 * MIB, SEEK_HOLE), 25 * MIB);
	/* it moves the position, and reading goes on there */
	CHECK_INT(lseek(fd, MIB + 10, SEEK_DATA), MIB + 10);
	CHECK_INT(read(fd, in, 10), 10);
	CHECK_MEM(in, out + 10, 10);
	close(fd);
}

static void hole__takes_no_space(void **state)
{
	int fd = make("f", 0);

	(void)state;
	CHECK_SYS(ftruncate(fd, 100 * MIB));
	CHECK_UINT(fs_lstat("f").st_blocks, 0);
	CHECK_INT(pwrite(fd, "x", 1, 50 * MIB), 1);
	CHECK_SYS(fsync(fd));
	CHECK(fs_lstat("f").st_blocks > 0);
	CHECK(fs_lstat("f").st_blocks <= 256);
	CHECK_SYS(punch(fd, 0, 100 * MIB));
	CHECK_SYS(fsync(fd));
	CHECK_UINT(fs_lstat("f").st_blocks, 0);
	close(fd);
}

static void large__sparse_files_of_8_tib_work(void **state)
{
	static const int64_t places[] = {
		TIB / 512 - 1,
		4096 * MIB - 50,
		TIB - 1,
		TIB * 8 - 100,
	};
	int fd = make("f", 0);

	(void)state;
	CHECK_SYS(ftruncate(fd, 8 * TIB));
	CHECK_INT(fs_lstat("f").st_size, 8 * TIB);
	fs_fill(out, 100, 5);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		CHECK_INT(pwrite(fd, out, 100, places[i]), 100);
	CHECK_SYS(fsync(fd));
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		check_bytes(fd, out, 100, places[i]);
	check_zeros(fd, 100, 3 * TIB);
	CHECK(lseek(fd, TIB, SEEK_DATA) <= TIB * 8 - 100);
	CHECK_SYS(punch(fd, 0, 7 * TIB));
	check_zeros(fd, 100, TIB - 1);
	check_bytes(fd, out, 100, 8 * TIB - 100);
	CHECK_SYS(ftruncate(fd, 1));
	CHECK_INT(fs_lstat("f").st_size, 1);
	close(fd);
}

static void large__the_last_byte_of_all_can_be_written(void **state)
{
	int fd = make("f", 10);

	(void)state;
	if (fs_is_plain())
		skip();
	CHECK_INT(pwrite(fd, "z", 1, INT64_MAX - 1), 1);
	CHECK_INT(fs_lstat("f").st_size, INT64_MAX);
	CHECK_INT(pwrite(fd, "z", 1, INT64_MAX), -1);
	CHECK_INT(pread(fd, in, 2, INT64_MAX - 2), 2);
	CHECK_MEM(in, "\0z", 2);
	CHECK_INT(lseek(fd, TIB, SEEK_HOLE), TIB);
	CHECK(lseek(fd, TIB, SEEK_DATA) > INT64_MAX - 131072);
	CHECK_SYS(punch(fd, 5, INT64_MAX - 5));
	CHECK_ERRNO(lseek(fd, TIB, SEEK_DATA), ENXIO);
	CHECK_SYS(fallocate(fd, FALLOC_FL_ZERO_RANGE, 1, INT64_MAX - 1));
	check_bytes(fd, out, 1, 0);
	check_zeros(fd, 100, INT64_MAX - 100);
	CHECK_SYS(ftruncate(fd, 3));
	close(fd);
}

/* -- copy_file_range ------------------------------------------------------ */

static void copy__moves_both_positions(void **state)
{
	int a = make("a", 100000), b = open("b", O_CREAT | O_RDWR, 0644);

	(void)state;
	CHECK_INT(lseek(a, 1000, SEEK_SET), 1000);
	CHECK_INT(copy_file_range(a, NULL, b, NULL, 5000, 0), 5000);
	CHECK_INT(lseek(a, 0, SEEK_CUR), 6000);
	CHECK_INT(lseek(b, 0, SEEK_CUR), 5000);
	check_bytes(b, out + 1000, 5000, 0);
	close(a);
	close(b);
}

static void copy__ends_with_the_source(void **state)
{
	int a = make("a", 1000), b = open("b", O_CREAT | O_RDWR, 0644);
	loff_t from = 900, to = 7;

	(void)state;
	CHECK_INT(copy_file_range(a, &from, b, &to, 5000, 0), 100);
	CHECK_INT(from, 1000);
	CHECK_INT(to, 107);
	CHECK_INT(copy_file_range(a, &from, b, &to, 5000, 0), 0);
	from = 5000;
	CHECK_INT(copy_file_range(a, &from, b, &to, 5000, 0), 0);
	check_bytes(b, out + 900, 100, 7);
	CHECK_INT(fs_lstat("b").st_size, 107);
	close(a);
	close(b);
}

static void copy__within_a_file_must_not_overlap(void **state)
{
	int fd = make("f", 100000);
	loff_t from = 0, to = 50;

	(void)state;
	CHECK_ERRNO(copy_file_range(fd, &from, fd, &to, 100, 0), EINVAL);
	to = 100;
	CHECK_INT(copy_file_range(fd, &from, fd, &to, 100, 0), 100);
	memmove(out + 100, out, 100);
	check_bytes(fd, out, 100000, 0);
	close(fd);
}

static void copy__wrong_things_are_refused(void **state)
{
	int a = make("a", 100), dir = open(".", O_RDONLY);
	int ro = open("a", O_RDONLY), wo = open("b", O_CREAT | O_WRONLY, 0644);
	int app = open("b", O_WRONLY | O_APPEND);

	(void)state;
	CHECK_ERRNO(copy_file_range(a, NULL, ro, NULL, 10, 0), EBADF);
	CHECK_ERRNO(copy_file_range(wo, NULL, a, NULL, 10, 0), EBADF);
	CHECK_ERRNO(copy_file_range(a, NULL, app, NULL, 10, 0), EBADF);
	CHECK_ERRNO(copy_file_range(dir, NULL, wo, NULL, 10, 0), EISDIR);
	CHECK_ERRNO(copy_file_range(a, NULL, dir, NULL, 10, 0), EISDIR);
	CHECK_ERRNO(copy_file_range(a, NULL, wo, NULL, 10, 1), EINVAL);
	CHECK_INT(copy_file_range(a, NULL, wo, NULL, 0, 0), 0);
	close(a);
	close(dir);
	close(ro);
	close(wo);
	close(app);
}

static void copy__sees_what_was_just_written_both_ways(void **state)
{
	int a = make("a", 65536), b = make("b", 65536);
	loff_t from = 0, to = 0;
	size_t left = 65536;

	(void)state;
	fs_fill(out, 65536, 7);
	CHECK_INT(pwrite(a, out, 65536, 0), 65536);
	check_zeros(b, 0, 0);
	while (left) {
		ssize_t n = copy_file_range(a, &from, b, &to, left, 0);

		CHECK(n > 0);
		left -= (size_t)n;
	}
	check_bytes(b, out, 65536, 0);
	CHECK_INT(pwrite(a, "changed", 7, 100), 7);
	check_bytes(b, out, 65536, 0);
	close(a);
	close(b);
}

/* -- statfs --------------------------------------------------------------- */

static void statfs__is_sound(void **state)
{
	struct statvfs st;

	(void)state;
	CHECK_SYS(statvfs(".", &st));
	CHECK(st.f_blocks > 0);
	CHECK(st.f_bfree <= st.f_blocks);
	CHECK(st.f_bavail <= st.f_bfree);
	CHECK_UINT(st.f_namemax, 255);
	CHECK(st.f_bsize >= 512);
	CHECK(st.f_files == 0 || st.f_ffree > 0);
	CHECK_INT(pathconf(".", _PC_NAME_MAX), 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(read__beyond_the_end_is_short_or_nothing),
		FS_TEST(read__of_a_directory_is_eisdir),
		FS_TEST(write__beyond_the_end_leaves_zeros),
		FS_TEST(write__at_each_edge_of_a_record_is_right),
		FS_TEST(write__vectors_are_one_write),
		FS_TEST(write__of_a_bad_address_is_efault),
		FS_TEST(write__beyond_the_limit_is_efbig),
		FS_TEST(write__rwf_append_goes_to_the_end),
		FS_TEST(seek__past_the_end_is_allowed_before_the_start_is_not),
		FS_TEST(seek__sees_an_end_that_another_moved),
		FS_TEST(sendfile__copies),
		FS_TEST(truncate__cut_bytes_do_not_come_back),
		FS_TEST(truncate__wrong_things_are_refused),
		FS_TEST(truncate__of_an_unlinked_open_file_works),
		FS_TEST(fallocate__keep_size_keeps_it),
		FS_TEST(fallocate__holes_of_any_place_and_length_are_zeros),
		FS_TEST(fallocate__zero_range_may_grow_the_file),
		FS_TEST(fallocate__wrong_arguments_are_refused),
		FS_TEST(fallocate__posix_form_makes_the_file_as_long),
		FS_TEST(seek__data_and_hole_at_the_ends),
		FS_TEST(seek__finds_each_island),
		FS_TEST(hole__takes_no_space),
		FS_TEST(large__sparse_files_of_8_tib_work),
		FS_TEST(large__the_last_byte_of_all_can_be_written),
		FS_TEST(copy__moves_both_positions),
		FS_TEST(copy__ends_with_the_source),
		FS_TEST(copy__within_a_file_must_not_overlap),
		FS_TEST(copy__wrong_things_are_refused),
		FS_TEST(copy__sees_what_was_just_written_both_ways),
		FS_TEST(statfs__is_sound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
