/* SPDX-License-Identifier: Apache-2.0 */
/* conform_handle.c - handles from before a restore */
#include "tests/fs/fs_test.h"

#include <dirent.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/xattr.h>

static int fd, dir_fd, path_fd;
static unsigned char *map;

/* A dataset with a snapshot, and handles of all kinds on its files. */
static void begin(void)
{
	char path[PATH_MAX];

	CHECK_INT(fs_command("create", "'name':'victim'"), 0);
	snprintf(path, sizeof(path), "%s/victim", fs_mount());
	CHECK_SYS(chdir(path));
	fs_put("f", "before");
	CHECK_SYS(mkdir("d", 0755));
	CHECK_INT(fs_command("snapshot", "'name':'victim@v'"), 0);
	fd = open("f", O_RDWR);
	dir_fd = open("d", O_RDONLY | O_DIRECTORY);
	path_fd = open("f", O_PATH);
	CHECK(fd >= 0 && dir_fd >= 0 && path_fd >= 0);
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(map != MAP_FAILED);
}

static void restore(void)
{
	CHECK_INT(fs_command("restore", "'source':'victim@v','force':true"), 0);
}

static void end(void **state)
{
	munmap(map, 4096);
	close(fd);
	close(dir_fd);
	close(path_fd);
	CHECK_SYS(chdir(*state));
	CHECK_INT(fs_command("rm", "'names':['victim'],'recursive':true,"
				   "'force':true"),
		  0);
}

static void handle__from_before_a_restore_is_estale(void **state)
{
	struct stat st;
	char c = 'x';

	if (fs_is_plain())
		skip();
	FS_ROOT_ONLY();
	begin();
	restore();
	CHECK_ERRNO(fstat(fd, &st), ESTALE);
	CHECK_ERRNO(fstat(path_fd, &st), ESTALE);
	CHECK_ERRNO(pread(fd, &c, 1, 100), ESTALE);
	CHECK_ERRNO(pwrite(fd, &c, 1, 0), ESTALE);
	CHECK_ERRNO(ftruncate(fd, 0), ESTALE);
	CHECK_ERRNO(fsync(fd), ESTALE);
	CHECK_ERRNO(fchmod(fd, 0600), ESTALE);
	CHECK_ERRNO(fallocate(fd, 0, 0, 10000), ESTALE);
	CHECK_ERRNO(fsetxattr(fd, "user.a", "b", 1, 0), ESTALE);
	CHECK_ERRNO(openat(dir_fd, "new", O_CREAT | O_RDWR, 0644), ESTALE);
	CHECK_ERRNO(mkdirat(dir_fd, "new", 0755), ESTALE);
	CHECK_ERRNO(open("f", O_RDONLY), ESTALE); /* the working directory */
	end(state);
}

static void handle__reading_a_directory_from_before_ends_in_estale(void **state)
{
	DIR *d;

	if (fs_is_plain())
		skip();
	FS_ROOT_ONLY();
	begin();
	d = fdopendir(dup(dir_fd));
	restore();
	errno = 0;
	CHECK(!readdir(d));
	CHECK_INT(errno, ESTALE);
	closedir(d);
	end(state);
}

static void handle__new_ones_see_what_was_restored(void **state)
{
	char path[PATH_MAX];
	struct stat st;

	if (fs_is_plain())
		skip();
	FS_ROOT_ONLY();
	begin();
	CHECK_INT(pwrite(fd, "after!", 6, 0), 6);
	CHECK_SYS(unlink("f"));
	restore();
	snprintf(path, sizeof(path), "%s/victim/f", fs_mount());
	CHECK_STR(fs_get(path), "before");
	CHECK_SYS(stat(path, &st));
	CHECK_UINT(st.st_nlink, 1);
	end(state);
}

static sigjmp_buf at_fault;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(at_fault, 1);
}

static void handle__mapping_from_before_is_sigbus_or_old(void **state)
{
	struct sigaction sa = {.sa_handler = on_bus}, old;
	volatile unsigned char c = 0;

	if (fs_is_plain())
		skip();
	FS_ROOT_ONLY();
	begin();
	c = map[0];
	CHECK_INT(c, 'b');
	restore();
	sigaction(SIGBUS, &sa, &old);
	if (sigsetjmp(at_fault, 1) == 0)
		c = map[0];
	sigaction(SIGBUS, &old, NULL);
	CHECK_INT(c, 'b');
	end(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(handle__from_before_a_restore_is_estale),
		FS_TEST(handle__reading_a_directory_from_before_ends_in_estale),
		FS_TEST(handle__new_ones_see_what_was_restored),
		FS_TEST(handle__mapping_from_before_is_sigbus_or_old),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
