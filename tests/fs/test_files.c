/* SPDX-License-Identifier: Apache-2.0 */
/* test_files.c - files, their attributes and who may do what to them */
#include "tests/fs/fs_test.h"

#include <limits.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>

static mode_t mode_of(const char *name)
{
	struct stat st;

	CHECK_SYS(lstat(name, &st));
	return st.st_mode & 07777;
}

static void file__what_was_written_is_read(void **state)
{
	(void)state;
	fs_put("a", "hello");
	CHECK_STR(fs_get("a"), "hello");
	CHECK_ERRNO(open("b", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("a", O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
	CHECK_ERRNO(open("a/b", O_RDONLY), ENOTDIR);
	CHECK_ERRNO(open(".", O_WRONLY), EISDIR);
}

static void file__append_goes_to_the_end(void **state)
{
	int a, b;

	(void)state;
	a = open("a", O_WRONLY | O_CREAT | O_APPEND, 0644);
	b = open("a", O_WRONLY | O_APPEND);
	CHECK_INT(write(a, "one", 3), 3);
	CHECK_INT(write(b, "two", 3), 3);
	CHECK_INT(write(a, "six", 3), 3);
	close(a);
	close(b);
	CHECK_STR(fs_get("a"), "onetwosix");
}

static void file__open_with_trunc_empties_it(void **state)
{
	struct stat st;
	int fd;

	(void)state;
	fs_put("a", "content");
	fd = open("a", O_WRONLY | O_TRUNC);
	CHECK_SYS(fd);
	CHECK_SYS(fstat(fd, &st));
	CHECK_INT(st.st_size, 0);
	close(fd);
	CHECK_STR(fs_get("a"), "");
}

static void file__truncate_cuts_and_extends_with_zeros(void **state)
{
	char buf[16];
	int fd;

	(void)state;
	fs_put("a", "0123456789");
	CHECK_SYS(truncate("a", 4));
	CHECK_STR(fs_get("a"), "0123");
	CHECK_SYS(truncate("a", 8));
	fd = open("a", O_RDONLY);
	CHECK_INT(read(fd, buf, sizeof(buf)), 8);
	CHECK_MEM(buf, "0123\0\0\0\0", 8);
	close(fd);
	CHECK_ERRNO(truncate("a", -1), EINVAL);
}

static void file__offsets_beyond_4_gib_work(void **state)
{
	const off_t at = (INT64_C(5) << 30) + 123;
	char buf[8] = "";
	struct stat st;
	int fd;

	(void)state;
	fd = open("a", O_RDWR | O_CREAT, 0644);
	CHECK_INT(pwrite(fd, "far", 3, at), 3);
	CHECK_INT(pread(fd, buf, sizeof(buf), at), 3);
	CHECK_STR(buf, "far");
	CHECK_SYS(fstat(fd, &st));
	CHECK_INT(st.st_size, at + 3);
	CHECK(st.st_blocks < 1000);
	CHECK_INT(pread(fd, buf, 4, 0), 4);
	CHECK_MEM(buf, "\0\0\0\0", 4);
	close(fd);
}

static void file__names_have_up_to_255_bytes(void **state)
{
	char name[258];

	(void)state;
	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	fs_put(name, "long");
	CHECK_STR(fs_get(name), "long");
	CHECK(fs_lists(".", name));
	CHECK_SYS(unlink(name));
	name[255] = 'n';
	name[256] = '\0';
	CHECK_ERRNO(open(name, O_RDWR | O_CREAT, 0644), ENAMETOOLONG);
}

static void file__names_may_be_any_bytes(void **state)
{
	char name[3] = "x?";

	(void)state;
	for (int c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		name[1] = (char)c;
		fs_put(name, "x");
	}
	CHECK_INT(fs_count("."), 254);
}

static void times__are_kept_in_nanoseconds(void **state)
{
	const struct timespec set[2] = {{1234567890, 123456789},
					{987654321, 987654321}};
	const struct timespec early[2] = {{-5, 7}, {-1, 999999999}};
	struct stat st;

	(void)state;
	fs_put("a", "x");
	CHECK_SYS(utimensat(AT_FDCWD, "a", set, 0));
	CHECK_SYS(stat("a", &st));
	CHECK_INT(st.st_atim.tv_sec, 1234567890);
	CHECK_INT(st.st_atim.tv_nsec, 123456789);
	CHECK_INT(st.st_mtim.tv_sec, 987654321);
	CHECK_INT(st.st_mtim.tv_nsec, 987654321);
	CHECK_SYS(utimensat(AT_FDCWD, "a", early, 0));
	CHECK_SYS(stat("a", &st));
	CHECK_INT(st.st_atim.tv_sec, -5);
	CHECK_INT(st.st_mtim.tv_sec, -1);
	CHECK_INT(st.st_mtim.tv_nsec, 999999999);
}

static bool later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec > b->tv_sec ||
	       (a->tv_sec == b->tv_sec && a->tv_nsec > b->tv_nsec);
}

static void times__mtime_and_ctime_move_as_posix_says(void **state)
{
	struct stat before, after;

	(void)state;
	fs_put("a", "x");
	CHECK_SYS(stat("a", &before));
	usleep(20000);
	CHECK_SYS(chmod("a", 0600));
	CHECK_SYS(stat("a", &after));
	CHECK(later(&after.st_ctim, &before.st_ctim));
	CHECK(!later(&after.st_mtim, &before.st_mtim));
	usleep(20000);
	fs_put("a", "y");
	CHECK_SYS(stat("a", &after));
	CHECK(later(&after.st_mtim, &before.st_mtim));
	CHECK_SYS(stat(".", &before));
	usleep(20000);
	fs_put("b", "");
	CHECK_SYS(stat(".", &after));
	CHECK(later(&after.st_mtim, &before.st_mtim));
	CHECK(later(&after.st_ctim, &before.st_ctim));
}

static void times__statx_tells_the_birth(void **state)
{
	struct statx stx;

	(void)state;
	fs_put("a", "x");
	CHECK_SYS(
		statx(AT_FDCWD, "a", 0, STATX_BASIC_STATS | STATX_BTIME, &stx));
	if (!(stx.stx_mask & STATX_BTIME))
		skip(); /* Linux before 6.6 */
	CHECK(time(NULL) - stx.stx_btime.tv_sec < 60);
	CHECK_INT(stx.stx_size, 1);
}

static void mode__umask_is_applied(void **state)
{
	int fd;

	(void)state;
	umask(027);
	fd = open("a", O_WRONLY | O_CREAT, 0666);
	CHECK_SYS(fd);
	close(fd);
	CHECK_SYS(mkdir("d", 0777));
	CHECK_UINT(mode_of("a"), 0640);
	CHECK_UINT(mode_of("d"), 0750);
}

static void mode__setgid_directory_gives_its_group(void **state)
{
	struct stat st;

	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(chown("d", 0, 4242));
	CHECK_SYS(chmod("d", 02755));
	fs_put("d/a", "x");
	CHECK_SYS(mkdir("d/e", 0755));
	CHECK_SYS(mkfifo("d/f", 0644));
	CHECK_SYS(symlink("x", "d/l"));
	CHECK_SYS(stat("d/a", &st));
	CHECK_UINT(st.st_gid, 4242);
	CHECK_UINT(st.st_mode & 07777, 0644);
	CHECK_SYS(stat("d/e", &st));
	CHECK_UINT(st.st_gid, 4242);
	CHECK_UINT(st.st_mode & 07777, 02755);
	CHECK_SYS(stat("d/f", &st));
	CHECK_UINT(st.st_gid, 4242);
	CHECK_SYS(lstat("d/l", &st));
	CHECK_UINT(st.st_gid, 4242);
}

static int try_unlink(void)
{
	return unlink("d/a") == 0 ? 0 : errno;
}

static void mode__sticky_directory_protects_others_files(void **state)
{
	(void)state;
	CHECK_SYS(chmod(".", 0755));
	CHECK_SYS(mkdir("d", 0777));
	CHECK_SYS(chmod("d", 01777));
	fs_put("d/a", "x");
	CHECK_SYS(chown("d/a", 1001, 1001));
	CHECK_INT(fs_as(1002, 1002, try_unlink), EPERM);
	CHECK_INT(fs_as(1001, 1001, try_unlink), 0);
}

static int try_read(void)
{
	return open("a", O_RDONLY) >= 0 ? 0 : errno;
}

static int make_as_caller(void)
{
	int fd = open("d/own", O_WRONLY | O_CREAT, 0644);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == 1002 &&
			       st.st_gid == 1003
		       ? 0
		       : 1;
}

static void mode__is_enforced_by_the_kernel(void **state)
{
	(void)state;
	fs_put("a", "x");
	CHECK_SYS(chmod("a", 0600));
	CHECK_INT(fs_as(1002, 1002, try_read), EACCES);
	CHECK_SYS(chmod("a", 0644));
	CHECK_INT(fs_as(1002, 1002, try_read), 0);
	CHECK_SYS(mkdir("d", 0777));
	CHECK_SYS(chmod("d", 0777));
	CHECK_INT(fs_as(1002, 1003, make_as_caller), 0);
}

static int write_as_other(void)
{
	int fd = open("a", O_WRONLY);

	return fd >= 0 && write(fd, "y", 1) == 1 ? 0 : errno;
}

static int write_direct_as_other(void)
{
	static char buf[4096] __attribute__((aligned(4096)));
	int fd = open("a", O_WRONLY | O_DIRECT);

	return fd >= 0 && write(fd, buf, sizeof(buf)) == sizeof(buf) ? 0
								     : errno;
}

static int truncate_as_other(void)
{
	return truncate("a", 1) == 0 ? 0 : errno;
}

static int trunc_open_as_other(void)
{
	return open("a", O_WRONLY | O_TRUNC) >= 0 ? 0 : errno;
}

static int fallocate_as_other(void)
{
	int fd = open("a", O_WRONLY);

	return fd >= 0 && fallocate(fd, 0, 0, 65536) == 0 ? 0 : errno;
}

static int copy_as_other(void)
{
	int fd = open("a", O_WRONLY), src = open("src", O_RDONLY);

	return copy_file_range(src, NULL, fd, NULL, 1, 0) == 1 ? 0 : errno;
}

/* As exec sees it: what the kernel believes, where it has no doubt. */
static unsigned mode_believed(const char *path)
{
	struct statx stx = {.stx_mode = 0};

	CHECK_SYS(statx(AT_FDCWD, path, 0, STATX_MODE, &stx));
	return stx.stx_mode & 07777;
}

static void setuid__is_cleared_by_what_changes_the_file(void **state)
{
	int (*const ways[])(void) = {
		write_as_other,	     write_direct_as_other, truncate_as_other,
		trunc_open_as_other, fallocate_as_other,    copy_as_other,
	};

	(void)state;
	fs_put("src", "x");
	fs_put("a", "x");
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		CHECK_SYS(chmod("a", 06777));
		CHECK_UINT(mode_of("a"), 06777);
		CHECK_INT(fs_as(1002, 1002, ways[i]), 0);
		if (mode_believed("a") != 0777)
			print_error("way %zu\n", i);
		CHECK_UINT(mode_believed("a"), 0777);
		CHECK_UINT(mode_of("a"), 0777);
	}
}

static void setuid__stays_when_root_writes(void **state)
{
	(void)state;
	fs_put("a", "x");
	CHECK_SYS(chmod("a", 06777));
	fs_put("a", "y");
	CHECK_UINT(mode_of("a"), 06777);
}

static void setuid__is_cleared_by_chown(void **state)
{
	(void)state;
	fs_put("a", "x");
	CHECK_SYS(chmod("a", 06755));
	CHECK_SYS(chown("a", 1001, 1001));
	CHECK_UINT(mode_of("a"), 0755);
	/* without group execute, setgid means something else and stays */
	CHECK_SYS(chmod("a", 06744));
	CHECK_SYS(chown("a", 1002, 1002));
	CHECK_UINT(mode_of("a"), 02744);
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(chmod("d", 06755));
	CHECK_SYS(chown("d", 1002, 1002));
	CHECK_UINT(mode_of("d"), 06755);
	/* also by one that changes nothing else */
	CHECK_SYS(chmod("a", 06755));
	CHECK_SYS(chown("a", (uid_t)-1, (gid_t)-1));
	CHECK_UINT(mode_of("a"), 0755);
	CHECK_SYS(chown("d", (uid_t)-1, (gid_t)-1));
	CHECK_UINT(mode_of("d"), 06755);
}

static int chown_away(void)
{
	return chown("a", 0, 0) == 0 ? 0 : errno;
}

static void chown__is_roots(void **state)
{
	struct stat st;

	(void)state;
	fs_put("a", "x");
	CHECK_SYS(chown("a", UINT32_MAX - 1, UINT32_MAX - 2));
	CHECK_SYS(stat("a", &st));
	CHECK_UINT(st.st_uid, UINT32_MAX - 1);
	CHECK_UINT(st.st_gid, UINT32_MAX - 2);
	CHECK_SYS(chown("a", 1002, 1002));
	CHECK_INT(fs_as(1002, 1002, chown_away), EPERM);
}

static void stat__inode_numbers_carry_the_dataset(void **state)
{
	char other[PATH_MAX];
	struct stat a, b;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", fs_mount());
	CHECK_SYS(stat(fs_dataset(), &a));
	CHECK_SYS(stat(other, &b));
	CHECK(a.st_dev == b.st_dev);
	CHECK(a.st_ino != b.st_ino);
	CHECK(a.st_ino >> 40 != b.st_ino >> 40);
	CHECK_UINT(a.st_ino & ((UINT64_C(1) << 40) - 1),
		   b.st_ino & ((UINT64_C(1) << 40) - 1));
}

static void statfs__tells_what_the_dataset_may_use(void **state)
{
	struct statvfs st, again;
	char *buf = malloc(8 << 20);
	int fd;

	(void)state;
	/* what other tests removed would come back meanwhile */
	CHECK_INT(fs_command("pool.wait", ""), 0);
	CHECK_SYS(statvfs(".", &st));
	CHECK(st.f_blocks > 0 && st.f_bfree <= st.f_blocks);
	CHECK_UINT(st.f_bsize, 4096);
	CHECK_UINT(st.f_namemax, 255);
	CHECK(st.f_flag & ST_NOSUID);
	CHECK(st.f_flag & ST_NODEV);
	fs_fill(buf, 8 << 20, 7);
	fd = open("a", O_WRONLY | O_CREAT, 0644);
	CHECK_INT(write(fd, buf, 8 << 20), 8 << 20);
	CHECK_SYS(fsync(fd));
	close(fd);
	free(buf);
	CHECK_SYS(statvfs(".", &again));
	CHECK(again.f_bfree + 2000 < st.f_bfree);
}

static void quota__gives_edquot(void **state)
{
	char *buf = malloc(1 << 20);
	ssize_t n = 0;
	int fd, i;

	(void)state;
	CHECK_INT(fs_command("set", "'name':'other','key':'quota',"
				    "'value':'4M'"),
		  0);
	CHECK_SYS(chdir(fs_mount()));
	CHECK_SYS(chdir("other"));
	fd = open("big", O_WRONLY | O_CREAT | O_DIRECT, 0644);
	CHECK_SYS(fd);
	free(buf);
	CHECK_INT(posix_memalign((void **)&buf, 4096, 1 << 20), 0);
	for (i = 0; i < 16 && n >= 0; i++) {
		fs_fill(buf, 1 << 20, (unsigned)i);
		n = write(fd, buf, 1 << 20);
	}
	CHECK_INT(n, -1);
	CHECK_INT(errno, EDQUOT);
	CHECK(i > 2);
	close(fd);
	CHECK_SYS(unlink("big"));
	CHECK_INT(fs_command("set", "'name':'other','key':'quota',"
				    "'value':'none'"),
		  0);
	free(buf);
}

static void ioctl__is_refused_with_enotty(void **state)
{
	int fd;

	(void)state;
	fs_put("a", "x");
	fd = open("a", O_RDWR);
	CHECK_ERRNO(syscall(SYS_ioctl, fd, 0x12345678, 0), ENOTTY);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(file__what_was_written_is_read),
		FS_TEST(file__append_goes_to_the_end),
		FS_TEST(file__open_with_trunc_empties_it),
		FS_TEST(file__truncate_cuts_and_extends_with_zeros),
		FS_TEST(file__offsets_beyond_4_gib_work),
		FS_TEST(file__names_have_up_to_255_bytes),
		FS_TEST(file__names_may_be_any_bytes),
		FS_TEST(times__are_kept_in_nanoseconds),
		FS_TEST(times__mtime_and_ctime_move_as_posix_says),
		FS_TEST(times__statx_tells_the_birth),
		FS_TEST(mode__umask_is_applied),
		FS_TEST(mode__setgid_directory_gives_its_group),
		FS_TEST(mode__sticky_directory_protects_others_files),
		FS_TEST(mode__is_enforced_by_the_kernel),
		FS_TEST(setuid__is_cleared_by_what_changes_the_file),
		FS_TEST(setuid__stays_when_root_writes),
		FS_TEST(setuid__is_cleared_by_chown),
		FS_TEST(chown__is_roots),
		FS_TEST(stat__inode_numbers_carry_the_dataset),
		FS_TEST(statfs__tells_what_the_dataset_may_use),
		FS_TEST(quota__gives_edquot),
		FS_TEST(ioctl__is_refused_with_enotty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
