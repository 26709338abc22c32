/* SPDX-License-Identifier: Apache-2.0 */
/* conform_open.c - open(2), close(2), and what their flags promise */
#include "tests/fs/fs_test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

/* open() and close(); -1 and errno like open(). */
static int tried(const char *name, int flags)
{
	int fd = open(name, flags, 0644);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

/* -- flags ---------------------------------------------------------------- */

static void open__missing_file_is_enoent(void **state)
{
	(void)state;
	CHECK_ERRNO(tried("f", O_RDONLY), ENOENT);
	CHECK_ERRNO(tried("f", O_RDWR | O_TRUNC), ENOENT);
}

static void open__excl_refuses_what_exists(void **state)
{
	(void)state;
	CHECK_SYS(tried("f", O_RDWR | O_CREAT | O_EXCL));
	CHECK_ERRNO(tried("f", O_RDWR | O_CREAT | O_EXCL), EEXIST);
	CHECK_SYS(tried("f", O_RDWR | O_CREAT));
}

static void open__excl_does_not_follow_a_link(void **state)
{
	(void)state;
	CHECK_SYS(symlink("nowhere", "l"));
	CHECK_ERRNO(tried("l", O_RDWR | O_CREAT | O_EXCL), EEXIST);
	CHECK(!fs_exists("nowhere"));
}

static void open__creat_follows_a_dangling_link(void **state)
{
	(void)state;
	CHECK_SYS(symlink("target", "l"));
	CHECK_SYS(tried("l", O_RDWR | O_CREAT));
	CHECK(S_ISREG(fs_lstat("target").st_mode));
}

static void open__directory_for_writing_is_eisdir(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_ERRNO(tried("d", O_WRONLY), EISDIR);
	CHECK_ERRNO(tried("d", O_RDWR), EISDIR);
	CHECK_ERRNO(tried("d", O_RDONLY | O_TRUNC), EISDIR);
	CHECK_ERRNO(tried("d", O_RDONLY | O_CREAT), EISDIR);
	CHECK_SYS(tried("d", O_RDONLY));
}

static void open__directory_flag_refuses_other_things(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(symlink("f", "l"));
	CHECK_SYS(mkfifo("p", 0644));
	CHECK_ERRNO(tried("f", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(tried("l", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_ERRNO(tried("p", O_RDONLY | O_DIRECTORY), ENOTDIR);
	CHECK_SYS(tried(".", O_RDONLY | O_DIRECTORY));
}

static void open__nofollow_refuses_a_link_at_the_end_only(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	fs_put("d/f", "x");
	CHECK_SYS(symlink("d", "l"));
	CHECK_ERRNO(tried("l", O_RDONLY | O_NOFOLLOW), ELOOP);
	CHECK_ERRNO(tried("l", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
	CHECK_SYS(tried("l/f", O_RDONLY | O_NOFOLLOW));
}

static void open__o_path_needs_no_permission_and_gives_none(void **state)
{
	char buf[4];
	int fd;

	(void)state;
	fs_put("f", "x");
	CHECK_SYS(chmod("f", 0));
	fd = open("f", O_PATH);
	CHECK(fd >= 0);
	CHECK_ERRNO(read(fd, buf, 1), EBADF);
	CHECK_ERRNO(write(fd, buf, 1), EBADF);
	CHECK_ERRNO(ftruncate(fd, 0), EBADF);
	CHECK_ERRNO(fchmod(fd, 0644), EBADF);
	CHECK_SYS(fstat(fd, &(struct stat){0}));
	close(fd);
}

static void open__o_path_of_a_link_is_the_link(void **state)
{
	char buf[8] = "";
	int fd;

	(void)state;
	CHECK_SYS(symlink("t", "l"));
	fd = open("l", O_PATH | O_NOFOLLOW);
	CHECK(fd >= 0);
	CHECK_INT(readlinkat(fd, "", buf, sizeof(buf)), 1);
	CHECK_STR(buf, "t");
	close(fd);
}

static void open__trunc_empties_and_keeps_the_inode(void **state)
{
	struct stat before, after;

	(void)state;
	fs_put("f", "content");
	before = fs_lstat("f");
	CHECK_SYS(tried("f", O_WRONLY | O_TRUNC));
	after = fs_lstat("f");
	CHECK_INT(after.st_size, 0);
	CHECK_UINT(after.st_ino, before.st_ino);
}

static void open__trunc_of_a_new_file_changes_nothing_else(void **state)
{
	(void)state;
	CHECK_SYS(tried("f", O_RDWR | O_CREAT | O_TRUNC));
	CHECK_INT(fs_lstat("f").st_size, 0);
}

static void open__trunc_read_only_empties_too(void **state)
{
	(void)state;
	fs_put("f", "content");
	CHECK_SYS(tried("f", O_RDONLY | O_TRUNC));
	CHECK_INT(fs_lstat("f").st_size, 0);
}

static void open__mode_is_cut_by_the_umask(void **state)
{
	static const struct {
		mode_t mode, mask, want;
	} cases[] = {
		{0777, 0, 0777},      {0777, 022, 0755}, {0666, 077, 0600},
		{07777, 0777, 07000}, {04755, 0, 04755}, {0, 0, 0},
		{01644, 0, 01644},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		umask(cases[i].mask);
		close(open("f", O_CREAT | O_EXCL | O_WRONLY, cases[i].mode));
		CHECK_UINT(fs_lstat("f").st_mode & 07777, cases[i].want);
		CHECK_SYS(unlink("f"));
	}
}

static void open__mode_of_a_new_file_does_not_bind_its_maker(void **state)
{
	int fd = open("f", O_CREAT | O_RDWR, 0);

	(void)state;
	CHECK(fd >= 0);
	CHECK_INT(write(fd, "x", 1), 1);
	close(fd);
}

static void open__wrong_access_mode_is_ebadf(void **state)
{
	char c = 'x';
	int fd;

	(void)state;
	fs_put("f", "x");
	fd = open("f", O_RDONLY);
	CHECK_ERRNO(write(fd, &c, 1), EBADF);
	CHECK_ERRNO(ftruncate(fd, 0), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, 1), EBADF);
	close(fd);
	fd = open("f", O_WRONLY);
	CHECK_ERRNO(read(fd, &c, 1), EBADF);
	close(fd);
}

static void open__relative_to_a_file_is_enotdir(void **state)
{
	int fd;

	(void)state;
	fs_put("f", "x");
	fd = open("f", O_RDONLY);
	CHECK_ERRNO(openat(fd, "g", O_RDONLY), ENOTDIR);
	close(fd);
	CHECK_ERRNO(openat(fd, "g", O_RDONLY), EBADF);
}

/* -- things that are no files --------------------------------------------- */

static void open__fifo_without_a_reader_is_enxio(void **state)
{
	(void)state;
	CHECK_SYS(mkfifo("p", 0644));
	CHECK_ERRNO(tried("p", O_WRONLY | O_NONBLOCK), ENXIO);
	CHECK_SYS(tried("p", O_RDONLY | O_NONBLOCK));
}

static void open__fifo_carries_bytes(void **state)
{
	char buf[4] = "";
	int r, w;

	(void)state;
	CHECK_SYS(mkfifo("p", 0644));
	r = open("p", O_RDONLY | O_NONBLOCK);
	w = open("p", O_WRONLY);
	CHECK(r >= 0 && w >= 0);
	CHECK_INT(write(w, "abc", 3), 3);
	CHECK_INT(read(r, buf, 3), 3);
	CHECK_STR(buf, "abc");
	CHECK_ERRNO(lseek(r, 0, SEEK_SET), ESPIPE);
	close(r);
	close(w);
}

static void open__socket_is_enxio(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	CHECK_SYS(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	CHECK(S_ISSOCK(fs_lstat("s").st_mode));
	CHECK_ERRNO(tried("s", O_RDONLY), ENXIO);
	close(fd);
	/* nobody listens */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_ERRNO(connect(fd, (struct sockaddr *)&addr, sizeof(addr)),
		    ECONNREFUSED);
	close(fd);
}

/* -- running programs ----------------------------------------------------- */

static void copy_program(const char *name)
{
	static char buf[1 << 16];
	int in = open("/bin/sleep", O_RDONLY);
	int out = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0755);
	ssize_t n;

	CHECK(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		CHECK_INT(write(out, buf, (size_t)n), n);
	CHECK_INT(n, 0);
	close(in);
	close(out);
}

/* Starts ./prog; returns when it runs, or exec() failed (pid 0, errno). */
static pid_t start(void)
{
	int pipes[2], err = 0;
	pid_t pid;

	CHECK_SYS(pipe2(pipes, O_CLOEXEC));
	pid = fork();
	if (pid == 0) {
		execl("./prog", "prog", "1000", NULL);
		err = errno;
		_exit(write(pipes[1], &err, sizeof(err)) < 0);
	}
	close(pipes[1]);
	/* closed by exec */
	if (read(pipes[0], &err, sizeof(err)) > 0) {
		waitpid(pid, NULL, 0);
		pid = 0;
		errno = err;
	}
	close(pipes[0]);
	return pid;
}

static void exec__running_program_is_etxtbsy_to_a_writer(void **state)
{
	pid_t pid;

	(void)state;
	copy_program("prog");
	pid = start();
	CHECK(pid > 0);
	CHECK_ERRNO(tried("prog", O_WRONLY), ETXTBSY);
	CHECK_ERRNO(tried("prog", O_RDWR), ETXTBSY);
	CHECK_ERRNO(tried("prog", O_RDONLY | O_TRUNC), ETXTBSY);
	CHECK_ERRNO(truncate("prog", 0), ETXTBSY);
	CHECK_SYS(tried("prog", O_RDONLY));
	CHECK_SYS(unlink("prog"));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void exec__program_open_for_writing_is_etxtbsy(void **state)
{
	int fd;

	(void)state;
	copy_program("prog");
	fd = open("prog", O_WRONLY);
	CHECK(fd >= 0);
	CHECK_INT(start(), 0);
	CHECK_INT(errno, ETXTBSY);
	close(fd);
}

static void exec__without_permission_is_eacces(void **state)
{
	(void)state;
	copy_program("prog");
	CHECK_SYS(chmod("prog", 0644));
	CHECK_INT(start(), 0);
	CHECK_INT(errno, EACCES);
	CHECK_SYS(unlink("prog"));
	CHECK_SYS(mkdir("prog", 0755));
	CHECK_INT(start(), 0);
	CHECK_INT(errno, EACCES);
}

/* -- O_TMPFILE ------------------------------------------------------------ */

static const char *by_fd(int fd)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

static void tmpfile__is_linked_with_its_content(void **state)
{
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);

	(void)state;
	CHECK(fd >= 0);
	CHECK_INT(fs_count("."), 0);
	CHECK_INT(write(fd, "hello", 5), 5);
	CHECK_SYS(
		linkat(AT_FDCWD, by_fd(fd), AT_FDCWD, "f", AT_SYMLINK_FOLLOW));
	CHECK_STR(fs_get("f"), "hello");
	CHECK_UINT(fs_lstat("f").st_nlink, 1);
	CHECK_UINT(fs_lstat("f").st_mode & 07777, 0640);
	CHECK_ERRNO(
		linkat(AT_FDCWD, by_fd(fd), AT_FDCWD, "f", AT_SYMLINK_FOLLOW),
		EEXIST);
	close(fd);
}

static void tmpfile__has_no_link_until_then(void **state)
{
	struct stat st;
	int fd = open(".", O_TMPFILE | O_WRONLY, 0600);

	(void)state;
	CHECK_SYS(fstat(fd, &st));
	CHECK_UINT(st.st_nlink, 0);
	CHECK(S_ISREG(st.st_mode));
	close(fd);
}

static void tmpfile__with_excl_cannot_be_linked(void **state)
{
	int fd = open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600);

	(void)state;
	CHECK(fd >= 0);
	CHECK_ERRNO(
		linkat(AT_FDCWD, by_fd(fd), AT_FDCWD, "f", AT_SYMLINK_FOLLOW),
		ENOENT);
	close(fd);
}

static void tmpfile__needs_to_be_writable_and_in_a_directory(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_ERRNO(tried(".", O_TMPFILE | O_RDONLY), EINVAL);
	CHECK_ERRNO(tried("f", O_TMPFILE | O_RDWR), ENOTDIR);
	CHECK_ERRNO(tried("none", O_TMPFILE | O_RDWR), ENOENT);
}

static int child_tmpfile_is_refused(void)
{
	MUST_ERRNO(tried("d", O_TMPFILE | O_RDWR), EACCES);
	return 0;
}

static void tmpfile__needs_a_directory_that_may_be_written(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	fs_give("d");
	CHECK_SYS(chmod("d", 0555));
	CHECK_INT(fs_child(child_tmpfile_is_refused), 0);
}

static void tmpfile__many_are_each_their_own(void **state)
{
	int fd[50];
	char c;

	(void)state;
	for (int i = 0; i < 50; i++) {
		c = (char)i;
		fd[i] = open(".", O_TMPFILE | O_RDWR, 0600);
		CHECK(fd[i] >= 0);
		CHECK_INT(write(fd[i], &c, 1), 1);
	}
	for (int i = 0; i < 50; i++) {
		CHECK_INT(pread(fd[i], &c, 1, 0), 1);
		CHECK_INT(c, i);
		close(fd[i]);
	}
	CHECK_INT(fs_count("."), 0);
}

/* -- O_APPEND ------------------------------------------------------------- */

#define APPEND_WRITERS 4
#define APPEND_LINES   250
#define APPEND_LEN     61u /* no divisor of a page */

static void append_lines(int who, int extra)
{
	int fd = open("log", O_WRONLY | O_APPEND | extra);
	char line[APPEND_LEN];

	MUST(fd >= 0);
	memset(line, 'a' + who, sizeof(line));
	for (int i = 0; i < APPEND_LINES; i++)
		MUST(write(fd, line, sizeof(line)) == (ssize_t)sizeof(line));
	close(fd);
}

static void check_appended(void)
{
	int seen[APPEND_WRITERS] = {0};
	char line[APPEND_LEN];
	int fd = open("log", O_RDONLY);

	for (int i = 0; i < APPEND_WRITERS * APPEND_LINES; i++) {
		CHECK_INT(read(fd, line, sizeof(line)), sizeof(line));
		for (size_t k = 1; k < sizeof(line); k++)
			CHECK_INT(line[k], line[0]);
		seen[line[0] - 'a']++;
	}
	CHECK_INT(read(fd, line, 1), 0);
	close(fd);
	for (int i = 0; i < APPEND_WRITERS; i++)
		CHECK_INT(seen[i], APPEND_LINES);
}

static void append__several_writers_lose_nothing(void **state)
{
	(void)state;
	fs_put("log", "");
	for (int i = 0; i < APPEND_WRITERS; i++)
		if (fork() == 0) {
			append_lines(i, 0);
			_exit(0);
		}
	for (int i = 0; i < APPEND_WRITERS; i++)
		wait(NULL);
	check_appended();
}

static void append__pwrite_appends_too(void **state)
{
	int fd;

	(void)state;
	fs_put("f", "abc");
	fd = open("f", O_WRONLY | O_APPEND);
	CHECK_INT(pwrite(fd, "d", 1, 0), 1);
	CHECK_STR(fs_get("f"), "abcd");
	close(fd);
}

static void append__by_fcntl_works(void **state)
{
	int fd;

	(void)state;
	fs_put("f", "abc");
	fd = open("f", O_WRONLY);
	CHECK_SYS(fcntl(fd, F_SETFL, O_APPEND));
	CHECK_INT(write(fd, "d", 1), 1);
	CHECK_SYS(fcntl(fd, F_SETFL, 0));
	CHECK_INT(pwrite(fd, "A", 1, 0), 1);
	CHECK_STR(fs_get("f"), "Abcd");
	close(fd);
}

static void append__direct_goes_to_the_end(void **state)
{
	static _Alignas(4096) char block[4096];
	int fd = open("f", O_CREAT | O_WRONLY | O_APPEND | O_DIRECT, 0644);

	(void)state;
	CHECK(fd >= 0);
	for (int i = 0; i < 3; i++) {
		memset(block, 'a' + i, sizeof(block));
		CHECK_INT(write(fd, block, sizeof(block)), sizeof(block));
	}
	close(fd);
	CHECK_INT(fs_lstat("f").st_size, 3 * 4096);
	fd = open("f", O_RDONLY);
	CHECK_INT(pread(fd, block, 1, 8192), 1);
	CHECK_INT(block[0], 'c');
	close(fd);
}

static void append__writev_is_one_write(void **state)
{
	char a[] = "ab", b[] = "cd";
	struct iovec iov[2] = {{a, 2}, {b, 2}};
	int fd;

	(void)state;
	fs_put("f", "-");
	fd = open("f", O_WRONLY | O_APPEND);
	CHECK_INT(writev(fd, iov, 2), 4);
	CHECK_INT(lseek(fd, 0, SEEK_CUR), 5);
	CHECK_STR(fs_get("f"), "-abcd");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(open__missing_file_is_enoent),
		FS_TEST(open__excl_refuses_what_exists),
		FS_TEST(open__excl_does_not_follow_a_link),
		FS_TEST(open__creat_follows_a_dangling_link),
		FS_TEST(open__directory_for_writing_is_eisdir),
		FS_TEST(open__directory_flag_refuses_other_things),
		FS_TEST(open__nofollow_refuses_a_link_at_the_end_only),
		FS_TEST(open__o_path_needs_no_permission_and_gives_none),
		FS_TEST(open__o_path_of_a_link_is_the_link),
		FS_TEST(open__trunc_empties_and_keeps_the_inode),
		FS_TEST(open__trunc_of_a_new_file_changes_nothing_else),
		FS_TEST(open__trunc_read_only_empties_too),
		FS_TEST(open__mode_is_cut_by_the_umask),
		FS_TEST(open__mode_of_a_new_file_does_not_bind_its_maker),
		FS_TEST(open__wrong_access_mode_is_ebadf),
		FS_TEST(open__relative_to_a_file_is_enotdir),
		FS_TEST(open__fifo_without_a_reader_is_enxio),
		FS_TEST(open__fifo_carries_bytes),
		FS_TEST(open__socket_is_enxio),
		FS_TEST(exec__running_program_is_etxtbsy_to_a_writer),
		FS_TEST(exec__program_open_for_writing_is_etxtbsy),
		FS_TEST(exec__without_permission_is_eacces),
		FS_TEST(tmpfile__is_linked_with_its_content),
		FS_TEST(tmpfile__has_no_link_until_then),
		FS_TEST(tmpfile__with_excl_cannot_be_linked),
		FS_TEST(tmpfile__needs_to_be_writable_and_in_a_directory),
		FS_TEST(tmpfile__needs_a_directory_that_may_be_written),
		FS_TEST(tmpfile__many_are_each_their_own),
		FS_TEST(append__several_writers_lose_nothing),
		FS_TEST(append__pwrite_appends_too),
		FS_TEST(append__by_fcntl_works),
		FS_TEST(append__direct_goes_to_the_end),
		FS_TEST(append__writev_is_one_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
