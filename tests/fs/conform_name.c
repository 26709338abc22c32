/* SPDX-License-Identifier: Apache-2.0 */
/* conform_name.c - mkdir, rmdir, link, symlink, readlink, unlink, mknod */
#include "tests/fs/fs_test.h"

#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

/* -- mkdir and rmdir ------------------------------------------------------ */

static void mkdir__mode_is_cut_by_the_umask(void **state)
{
	static const struct {
		mode_t mode, mask, want;
	} cases[] = {
		{0755, 0, 0755},   {0777, 022, 0755}, {0700, 0777, 0},
		{0151, 077, 0100}, {01777, 0, 01777},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		umask(cases[i].mask);
		CHECK_SYS(mkdir("d", cases[i].mode));
		CHECK_UINT(fs_lstat("d").st_mode & 07777, cases[i].want);
		CHECK_SYS(rmdir("d"));
	}
}

static void mkdir__belongs_to_its_maker(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_UINT(fs_lstat("d").st_uid, geteuid());
	CHECK_UINT(fs_lstat("d").st_gid, getegid());
}

static void mkdir__takes_group_and_setgid_of_a_setgid_parent(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	CHECK_SYS(mkdir("p", 0755));
	CHECK_SYS(chown("p", 0, 4242));
	CHECK_SYS(chmod("p", 02755));
	CHECK_SYS(mkdir("p/d", 0700));
	CHECK_UINT(fs_lstat("p/d").st_gid, 4242);
	CHECK_UINT(fs_lstat("p/d").st_mode & 07777, 02700);
	fs_put("p/f", "x");
	CHECK_UINT(fs_lstat("p/f").st_gid, 4242);
	CHECK_SYS(symlink("t", "p/l"));
	CHECK_UINT(fs_lstat("p/l").st_gid, 4242);
	CHECK_SYS(mkfifo("p/p", 0644));
	CHECK_UINT(fs_lstat("p/p").st_gid, 4242);
	CHECK_UINT(fs_lstat("p/p").st_mode & 07777, 0644);
}

static int child_makes_setgid_file(void)
{
	int fd = open("p/f", O_CREAT | O_WRONLY, 02775);

	MUST(fd >= 0);
	close(fd);
	MUST(mknod("p/n", S_IFREG | 02775, 0) == 0);
	fd = open("p", O_TMPFILE | O_WRONLY, 02775);
	MUST(fd >= 0);
	MUST(fchmod(fd, 02775) == 0);
	close(fd);
	return 0;
}

static void create__setgid_is_lost_where_the_group_is_not_ones_own(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	CHECK_SYS(mkdir("p", 0755));
	CHECK_SYS(chown("p", FS_USER, 4242));
	CHECK_SYS(chmod("p", 02777));
	umask(0);
	CHECK_INT(fs_child(child_makes_setgid_file), 0);
	CHECK_UINT(fs_lstat("p/f").st_gid, 4242);
	CHECK_UINT(fs_lstat("p/f").st_mode & 07777, 0775);
	CHECK_UINT(fs_lstat("p/n").st_mode & 07777, 0775);
}

static void mkdir__counts_in_the_parents_links(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("p", 0755));
	for (int i = 0; i < 10; i++) {
		char name[8];

		snprintf(name, sizeof(name), "p/%d", i);
		CHECK_SYS(mkdir(name, 0755));
		CHECK_UINT(fs_lstat("p").st_nlink, 3 + (unsigned)i);
	}
	fs_put("p/f", "x");
	CHECK_UINT(fs_lstat("p").st_nlink, 12);
}

static void rmdir__refuses_what_is_not_empty(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	fs_put("d/f", "x");
	CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
	CHECK_SYS(unlink("d/f"));
	CHECK_SYS(symlink("nowhere", "d/l"));
	CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
	CHECK_SYS(unlink("d/l"));
	CHECK_SYS(rmdir("d"));
}

static void rmdir__refuses_other_things(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(symlink("d", "l"));
	CHECK_ERRNO(rmdir("f"), ENOTDIR);
	CHECK_ERRNO(rmdir("l"), ENOTDIR);
	CHECK_ERRNO(rmdir("l/"), ENOTDIR);
	CHECK_ERRNO(rmdir("d/."), EINVAL);
	CHECK_ERRNO(unlink("d"), EISDIR);
}

static void rmdir__of_the_working_directory_leaves_it_dead(void **state)
{
	struct stat st;
	char buf[64];

	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(chdir("d"));
	CHECK_SYS(rmdir("../d"));
	CHECK_ERRNO(open("f", O_CREAT | O_WRONLY, 0644), ENOENT);
	CHECK_ERRNO(mkdir("e", 0755), ENOENT);
	CHECK_ERRNO(symlink("t", "l"), ENOENT);
	CHECK_ERRNO(mkfifo("p", 0644), ENOENT);
	errno = 0;
	CHECK(!getcwd(buf, sizeof(buf)));
	CHECK_INT(errno, ENOENT);
	CHECK_SYS(stat(".", &st));
	CHECK_UINT(st.st_nlink, 0);
	CHECK_INT(fs_count("."), 0);
	CHECK_SYS(chdir(*state));
}

/* -- link ----------------------------------------------------------------- */

static void link__is_another_name_of_the_same_inode(void **state)
{
	struct stat a, b;

	(void)state;
	fs_put("a", "x");
	CHECK_SYS(link("a", "b"));
	a = fs_lstat("a");
	b = fs_lstat("b");
	CHECK_UINT(a.st_ino, b.st_ino);
	CHECK_UINT(a.st_nlink, 2);
	CHECK_SYS(chmod("a", 0600));
	CHECK_UINT(fs_lstat("b").st_mode & 07777, 0600);
	CHECK_SYS(unlink("a"));
	CHECK_UINT(fs_lstat("b").st_nlink, 1);
	CHECK_STR(fs_get("b"), "x");
}

static void link__works_on_all_but_directories(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)state;
	CHECK_SYS(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	close(fd);
	CHECK_SYS(mkfifo("p", 0644));
	CHECK_SYS(symlink("nowhere", "l"));
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(link("s", "s2"));
	CHECK_SYS(link("p", "p2"));
	CHECK_SYS(link("l", "l2"));
	CHECK_ERRNO(link("d", "d2"), EPERM);
	CHECK_UINT(fs_lstat("s").st_nlink, 2);
	CHECK_UINT(fs_lstat("p").st_nlink, 2);
	CHECK_UINT(fs_lstat("l").st_nlink, 2);
	CHECK(S_ISLNK(fs_lstat("l2").st_mode));
}

static void link__follows_a_link_only_if_told(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(symlink("f", "l"));
	CHECK_SYS(linkat(AT_FDCWD, "l", AT_FDCWD, "a", AT_SYMLINK_FOLLOW));
	CHECK(S_ISREG(fs_lstat("a").st_mode));
	CHECK_SYS(linkat(AT_FDCWD, "l", AT_FDCWD, "b", 0));
	CHECK(S_ISLNK(fs_lstat("b").st_mode));
	CHECK_ERRNO(linkat(AT_FDCWD, "f", AT_FDCWD, "c", 0x8000), EINVAL);
}

static void link__up_to_the_limit_then_emlink(void **state)
{
	char name[16];
	int nr;

	(void)state;
	if (!fs_long())
		skip();
	fs_put("f", "x");
	for (nr = 1; nr < 70000; nr++) {
		snprintf(name, sizeof(name), "l%d", nr);
		if (link("f", name))
			break;
	}
	CHECK_INT(errno, EMLINK);
	CHECK(nr >= 65000);
	CHECK_UINT(fs_lstat("f").st_nlink, (unsigned)nr);
	CHECK_SYS(unlink("l1"));
	CHECK_SYS(link("f", "l1"));
	CHECK_ERRNO(link("f", "more"), EMLINK);
}

static void link__of_an_unlinked_file_is_enoent(void **state)
{
	char path[64];
	int fd;

	(void)state;
	fs_put("f", "x");
	fd = open("f", O_RDWR);
	CHECK_SYS(unlink("f"));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_ERRNO(linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW),
		    ENOENT);
	close(fd);
}

/* -- symlink -------------------------------------------------------------- */

static void symlink__keeps_any_target(void **state)
{
	static const char *const targets[] = {
		"/", ".", "..", "a", "a//b/../c/", "\xff\xfe", " \n\t",
	};
	char buf[64];

	(void)state;
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		size_t len = strlen(targets[i]);

		CHECK_SYS(symlink(targets[i], "l"));
		CHECK_INT(readlink("l", buf, sizeof(buf)), len);
		CHECK_MEM(buf, targets[i], len);
		CHECK_INT(fs_lstat("l").st_size, len);
		CHECK_UINT(fs_lstat("l").st_mode, S_IFLNK | 0777);
		CHECK_SYS(unlink("l"));
	}
}

static void symlink__target_of_4095_bytes_works_4096_is_too_long(void **state)
{
	static char target[PATH_MAX + 1], buf[PATH_MAX + 1];

	(void)state;
	memset(target, 'x', PATH_MAX);
	CHECK_ERRNO(symlink(target, "l"), ENAMETOOLONG);
	target[PATH_MAX - 1] = '\0';
	CHECK_SYS(symlink(target, "l"));
	CHECK_INT(readlink("l", buf, sizeof(buf)), PATH_MAX - 1);
	CHECK_MEM(buf, target, PATH_MAX - 1);
}

static void symlink__empty_target_is_enoent(void **state)
{
	(void)state;
	CHECK_ERRNO(symlink("", "l"), ENOENT);
}

static void readlink__cuts_what_does_not_fit(void **state)
{
	char buf[8];

	(void)state;
	CHECK_SYS(symlink("0123456789", "l"));
	memset(buf, 'z', sizeof(buf));
	CHECK_INT(readlink("l", buf, 4), 4);
	CHECK_MEM(buf, "0123zzzz", 8);
	CHECK_ERRNO(readlink("l", buf, 0), EINVAL);
}

static void readlink__of_other_things_is_einval(void **state)
{
	char buf[8];

	(void)state;
	fs_put("f", "x");
	CHECK_ERRNO(readlink("f", buf, sizeof(buf)), EINVAL);
	CHECK_ERRNO(readlink(".", buf, sizeof(buf)), EINVAL);
}

static void symlink__leads_through_directories(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("a", 0755));
	CHECK_SYS(mkdir("a/b", 0755));
	CHECK_SYS(symlink("../a/b", "a/l"));
	fs_put("a/l/f", "x");
	CHECK_STR(fs_get("a/b/f"), "x");
	CHECK_STR(fs_get("a/l/../b/f"), "x");
}

static void symlink__has_no_mode_of_its_own(void **state)
{
	(void)state;
	CHECK_SYS(symlink("t", "l"));
	CHECK_ERRNO(fchmodat(AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW),
		    EOPNOTSUPP);
	CHECK_UINT(fs_lstat("l").st_mode & 07777, 0777);
}

static void symlink__has_owner_and_times_of_its_own(void **state)
{
	struct timespec t[2] = {{12, 34}, {56, 78}};

	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(symlink("f", "l"));
	CHECK_SYS(lchown("l", 11, 22));
	CHECK_SYS(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
	CHECK_UINT(fs_lstat("l").st_uid, 11);
	CHECK_UINT(fs_lstat("l").st_gid, 22);
	CHECK_INT(fs_lstat("l").st_mtim.tv_nsec, 78);
	CHECK_UINT(fs_lstat("f").st_uid, 0);
	CHECK(fs_lstat("f").st_mtim.tv_sec != 56);
}

/* -- unlink --------------------------------------------------------------- */

static void unlink__takes_each_kind_but_directories(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(symlink(".", "l"));
	CHECK_SYS(mkfifo("p", 0644));
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(unlink("f"));
	CHECK_SYS(unlink("l"));
	CHECK_SYS(unlink("p"));
	CHECK_ERRNO(unlink("d"), EISDIR);
	CHECK_ERRNO(unlinkat(AT_FDCWD, "d", 0), EISDIR);
	CHECK_SYS(unlinkat(AT_FDCWD, "d", AT_REMOVEDIR));
	CHECK_ERRNO(unlinkat(AT_FDCWD, "d", 0x1), EINVAL);
}

static void unlink__open_file_has_no_links_and_lives(void **state)
{
	struct stat st;
	char c = 0;
	int fd;

	(void)state;
	fs_put("f", "x");
	fd = open("f", O_RDWR);
	CHECK_SYS(unlink("f"));
	CHECK_ERRNO(unlink("f"), ENOENT);
	CHECK_SYS(fstat(fd, &st));
	CHECK_UINT(st.st_nlink, 0);
	CHECK_INT(pwrite(fd, "yz", 2, 1), 2);
	CHECK_INT(pread(fd, &c, 1, 2), 1);
	CHECK_INT(c, 'z');
	CHECK_SYS(fchmod(fd, 0600));
	CHECK_SYS(ftruncate(fd, 1 << 20));
	CHECK_SYS(fsync(fd));
	CHECK_SYS(fstat(fd, &st));
	CHECK_INT(st.st_size, 1 << 20);
	close(fd);
}

static void unlink__file_can_be_opened_again_by_its_descriptor(void **state)
{
	char path[64], c = 0;
	int fd, again;

	(void)state;
	fs_put("f", "x");
	fd = open("f", O_RDONLY);
	CHECK_SYS(unlink("f"));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR);
	CHECK(again >= 0);
	close(fd);
	CHECK_INT(pread(again, &c, 1, 0), 1);
	CHECK_INT(c, 'x');
	close(again);
}

static void unlink__file_known_by_a_path_descriptor_lives(void **state)
{
	char path[64], c = 0;
	struct stat st;
	int fd, again;

	(void)state;
	fs_put("f", "x");
	fd = open("f", O_PATH);
	CHECK_SYS(unlink("f"));
	CHECK_SYS(fstat(fd, &st));
	CHECK_UINT(st.st_nlink, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDONLY);
	CHECK(again >= 0);
	CHECK_INT(pread(again, &c, 1, 0), 1);
	CHECK_INT(c, 'x');
	close(again);
	again = open(path, O_RDWR);
	CHECK(again >= 0);
	close(again);
	close(fd);
}

static void unlink__name_can_be_used_again_at_once(void **state)
{
	int fd;

	(void)state;
	fs_put("f", "old");
	fd = open("f", O_RDONLY);
	CHECK_SYS(unlink("f"));
	CHECK_SYS(mkdir("f", 0755));
	CHECK_SYS(rmdir("f"));
	fs_put("f", "new");
	CHECK_STR(fs_get("f"), "new");
	close(fd);
}

/* -- mknod ---------------------------------------------------------------- */

static void mknod__makes_files_fifos_and_sockets_for_all(void **state)
{
	(void)state;
	umask(0);
	CHECK_SYS(mknod("f", S_IFREG | 0604, 0));
	CHECK_SYS(mknod("g", 0640, 0)); /* no type: a file */
	CHECK_SYS(mknod("p", S_IFIFO | 0622, 0));
	CHECK_SYS(mknod("s", S_IFSOCK | 0711, 0));
	CHECK_UINT(fs_lstat("f").st_mode, S_IFREG | 0604);
	CHECK_UINT(fs_lstat("g").st_mode, S_IFREG | 0640);
	CHECK_UINT(fs_lstat("p").st_mode, S_IFIFO | 0622);
	CHECK_UINT(fs_lstat("s").st_mode, S_IFSOCK | 0711);
	CHECK_ERRNO(mknod("d", S_IFDIR | 0755, 0), EPERM);
	CHECK_ERRNO(mknod("l", S_IFLNK | 0755, 0), EINVAL);
}

static void mknod__devices_keep_their_numbers(void **state)
{
	const dev_t numbers[] = {
		makedev(1, 3),	 makedev(0xfff, 0xfffff), makedev(8, 256),
		makedev(256, 0), makedev(0, 0x12345),
	};

	(void)state;
	FS_ROOT_ONLY();
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		CHECK_SYS(mknod("c", S_IFCHR | 0600, numbers[i]));
		CHECK_SYS(mknod("b", S_IFBLK | 0600, numbers[i]));
		CHECK_UINT(fs_lstat("c").st_rdev, numbers[i]);
		CHECK_UINT(fs_lstat("b").st_rdev, numbers[i]);
		CHECK_SYS(unlink("c"));
		CHECK_SYS(unlink("b"));
	}
}

static int child_devices_are_refused(void)
{
	MUST_ERRNO(mknod("d/c", S_IFCHR | 0600, makedev(1, 3)), EPERM);
	MUST_ERRNO(mknod("d/b", S_IFBLK | 0600, makedev(1, 3)), EPERM);
	return 0;
}

static void mknod__devices_are_roots(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	fs_give("d");
	CHECK_INT(fs_child(child_devices_are_refused), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(mkdir__mode_is_cut_by_the_umask),
		FS_TEST(mkdir__belongs_to_its_maker),
		FS_TEST(mkdir__takes_group_and_setgid_of_a_setgid_parent),
		FS_TEST(create__setgid_is_lost_where_the_group_is_not_ones_own),
		FS_TEST(mkdir__counts_in_the_parents_links),
		FS_TEST(rmdir__refuses_what_is_not_empty),
		FS_TEST(rmdir__refuses_other_things),
		FS_TEST(rmdir__of_the_working_directory_leaves_it_dead),
		FS_TEST(link__is_another_name_of_the_same_inode),
		FS_TEST(link__works_on_all_but_directories),
		FS_TEST(link__follows_a_link_only_if_told),
		FS_TEST(link__up_to_the_limit_then_emlink),
		FS_TEST(link__of_an_unlinked_file_is_enoent),
		FS_TEST(symlink__keeps_any_target),
		FS_TEST(symlink__target_of_4095_bytes_works_4096_is_too_long),
		FS_TEST(symlink__empty_target_is_enoent),
		FS_TEST(readlink__cuts_what_does_not_fit),
		FS_TEST(readlink__of_other_things_is_einval),
		FS_TEST(symlink__leads_through_directories),
		FS_TEST(symlink__has_no_mode_of_its_own),
		FS_TEST(symlink__has_owner_and_times_of_its_own),
		FS_TEST(unlink__takes_each_kind_but_directories),
		FS_TEST(unlink__open_file_has_no_links_and_lives),
		FS_TEST(unlink__file_can_be_opened_again_by_its_descriptor),
		FS_TEST(unlink__file_known_by_a_path_descriptor_lives),
		FS_TEST(unlink__name_can_be_used_again_at_once),
		FS_TEST(mknod__makes_files_fifos_and_sockets_for_all),
		FS_TEST(mknod__devices_keep_their_numbers),
		FS_TEST(mknod__devices_are_roots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
