/* SPDX-License-Identifier: Apache-2.0 */
/* conform_rename.c - rename(2) and renameat2(2): all cases, all flags */
#include "tests/fs/fs_test.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>

static int rename2(const char *from, const char *to, unsigned flags)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

static ino_t ino_of(const char *name)
{
	return fs_lstat(name).st_ino;
}

/* -- one kind over another ------------------------------------------------ */

enum kind { NONE, REG, DIRECTORY, FULL, LINK, FIFO, NR_KINDS };

static void make_kind(const char *name, enum kind kind)
{
	char inside[32];

	switch (kind) {
	case REG:
		fs_put(name, "x");
		break;
	case DIRECTORY:
	case FULL:
		CHECK_SYS(mkdir(name, 0755));
		snprintf(inside, sizeof(inside), "%s/inside", name);
		if (kind == FULL)
			fs_put(inside, "x");
		break;
	case LINK:
		CHECK_SYS(symlink("nowhere", name));
		break;
	case FIFO:
		CHECK_SYS(mkfifo(name, 0644));
		break;
	default:
		break;
	}
}

static void remove_kind(const char *name)
{
	char inside[32];

	snprintf(inside, sizeof(inside), "%s/inside", name);
	unlink(inside);
	CHECK_SYS(remove(name));
}

static bool is_dir(enum kind kind)
{
	return kind == DIRECTORY || kind == FULL;
}

static int expected(enum kind from, enum kind to)
{
	if (from == NONE)
		return ENOENT;
	if (to == NONE)
		return 0;
	if (is_dir(from) && !is_dir(to))
		return ENOTDIR;
	if (!is_dir(from) && is_dir(to))
		return EISDIR;
	return to == FULL ? ENOTEMPTY : 0;
}

static void over_each_kind(const char *from, const char *to)
{
	for (enum kind a = NONE; a < NR_KINDS; a++)
		for (enum kind b = NONE; b < NR_KINDS; b++) {
			ino_t ino;
			int rc;

			make_kind(from, a);
			make_kind(to, b);
			ino = a == NONE ? 0 : ino_of(from);
			errno = 0;
			rc = rename(from, to) ? errno : 0;
			CHECK_INT(rc, expected(a, b));
			if (rc == 0) {
				CHECK(!fs_exists(from));
				CHECK_UINT(ino_of(to), ino);
			} else if (a != NONE) {
				CHECK_UINT(ino_of(from), ino);
				remove_kind(from);
			}
			if (rc == 0 || b != NONE)
				remove_kind(to);
		}
}

static void rename__each_kind_over_each_in_one_directory(void **state)
{
	(void)state;
	over_each_kind("a", "b");
}

static void rename__each_kind_over_each_in_another_directory(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("p", 0755));
	CHECK_SYS(mkdir("q", 0755));
	over_each_kind("p/a", "q/b");
	CHECK_UINT(fs_lstat("p").st_nlink, 2);
	CHECK_UINT(fs_lstat("q").st_nlink, 2);
}

static void rename__noreplace_is_eexist_over_each_kind(void **state)
{
	(void)state;
	fs_put("a", "x");
	CHECK_SYS(mkdir("d", 0755));
	for (enum kind b = REG; b < NR_KINDS; b++) {
		make_kind("b", b);
		CHECK_ERRNO(rename2("a", "b", RENAME_NOREPLACE), EEXIST);
		CHECK_ERRNO(rename2("d", "b", RENAME_NOREPLACE), EEXIST);
		remove_kind("b");
	}
	CHECK_ERRNO(rename2("a", "a", RENAME_NOREPLACE), EEXIST);
	CHECK_ERRNO(rename2("none", "b", RENAME_NOREPLACE), ENOENT);
	CHECK_SYS(rename2("a", "b", RENAME_NOREPLACE));
	CHECK_SYS(rename2("d", "e", RENAME_NOREPLACE));
}

static void rename__exchange_swaps_each_kind_with_each(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("p", 0755));
	CHECK_SYS(mkdir("q", 0755));
	for (enum kind a = REG; a < NR_KINDS; a++)
		for (enum kind b = REG; b < NR_KINDS; b++) {
			ino_t ia, ib;

			make_kind("p/a", a);
			make_kind("q/b", b);
			ia = ino_of("p/a");
			ib = ino_of("q/b");
			CHECK_SYS(rename2("p/a", "q/b", RENAME_EXCHANGE));
			CHECK_UINT(ino_of("p/a"), ib);
			CHECK_UINT(ino_of("q/b"), ia);
			CHECK_UINT(fs_lstat("p").st_nlink, is_dir(b) ? 3 : 2);
			CHECK_UINT(fs_lstat("q").st_nlink, is_dir(a) ? 3 : 2);
			remove_kind("p/a");
			remove_kind("q/b");
		}
}

static void rename__exchange_needs_both(void **state)
{
	(void)state;
	fs_put("a", "x");
	CHECK_ERRNO(rename2("a", "none", RENAME_EXCHANGE), ENOENT);
	CHECK_ERRNO(rename2("none", "a", RENAME_EXCHANGE), ENOENT);
	CHECK_SYS(rename2("a", "a", RENAME_EXCHANGE));
}

static void rename__exchange_with_ones_own_subtree_is_einval(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("a", 0755));
	CHECK_SYS(mkdir("a/b", 0755));
	CHECK_SYS(mkdir("a/b/c", 0755));
	CHECK_ERRNO(rename2("a", "a/b", RENAME_EXCHANGE), EINVAL);
	CHECK_ERRNO(rename2("a/b/c", "a", RENAME_EXCHANGE), EINVAL);
}

static void rename__wrong_flags_are_einval(void **state)
{
	(void)state;
	fs_put("a", "x");
	fs_put("b", "x");
	CHECK_ERRNO(rename2("a", "b", RENAME_NOREPLACE | RENAME_EXCHANGE),
		    EINVAL);
	CHECK_ERRNO(rename2("a", "b", RENAME_WHITEOUT | RENAME_EXCHANGE),
		    EINVAL);
	CHECK_ERRNO(rename2("a", "b", 1U << 10), EINVAL);
	if (!fs_is_plain())
		CHECK_ERRNO(rename2("a", "b", RENAME_WHITEOUT), EINVAL);
	CHECK_STR(fs_get("a"), "x");
}

/* -- onto itself ---------------------------------------------------------- */

static void rename__onto_itself_does_nothing(void **state)
{
	struct stat before, after;

	(void)state;
	fs_put("f", "x");
	CHECK_SYS(mkdir("d", 0755));
	before = fs_lstat("f");
	fs_tick();
	CHECK_SYS(rename("f", "f"));
	CHECK_SYS(rename("d", "d"));
	after = fs_lstat("f");
	CHECK_INT(fs_time_cmp(before.st_ctim, after.st_ctim), 0);
}

static void rename__onto_another_name_of_it_keeps_both(void **state)
{
	struct stat before, after;

	(void)state;
	fs_put("a", "x");
	CHECK_SYS(link("a", "b"));
	before = fs_lstat(".");
	fs_tick();
	CHECK_SYS(rename("a", "b"));
	after = fs_lstat(".");
	CHECK(fs_exists("a"));
	CHECK(fs_exists("b"));
	CHECK_UINT(fs_lstat("a").st_nlink, 2);
	CHECK_INT(fs_time_cmp(before.st_mtim, after.st_mtim), 0);
}

/* -- directories ---------------------------------------------------------- */

static void rename__into_ones_own_subtree_is_einval(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("a", 0755));
	CHECK_SYS(mkdir("a/b", 0755));
	CHECK_ERRNO(rename("a", "a/c"), EINVAL);
	CHECK_ERRNO(rename("a", "a/b/c"), EINVAL);
	CHECK_ERRNO(rename("a", "a/b"), EINVAL);
}

static void rename__over_an_ancestor_is_enotempty(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("a", 0755));
	CHECK_SYS(mkdir("a/b", 0755));
	CHECK_SYS(mkdir("a/b/c", 0755));
	fs_put("a/f", "x");
	CHECK_ERRNO(rename("a/b", "a"), ENOTEMPTY);
	CHECK_ERRNO(rename("a/b/c", "a"), ENOTEMPTY);
	CHECK_ERRNO(rename("a/f", "a"), ENOTEMPTY);
}

static void rename__of_a_directory_moves_its_parent(void **state)
{
	struct stat st;

	(void)state;
	CHECK_SYS(mkdir("p", 0755));
	CHECK_SYS(mkdir("q", 0755));
	CHECK_SYS(mkdir("p/d", 0755));
	fs_put("p/d/f", "x");
	CHECK_SYS(rename("p/d", "q/e"));
	CHECK_UINT(fs_lstat("p").st_nlink, 2);
	CHECK_UINT(fs_lstat("q").st_nlink, 3);
	CHECK_SYS(stat("q/e/..", &st));
	CHECK_UINT(st.st_ino, ino_of("q"));
	CHECK_STR(fs_get("q/e/f"), "x");
	/* over an empty one: that one's link is gone */
	CHECK_SYS(mkdir("p/d", 0755));
	CHECK_SYS(rename("p/d", "q/e2"));
	CHECK_SYS(mkdir("q/e3", 0755));
	CHECK_SYS(rename("q/e2", "q/e3"));
	CHECK_UINT(fs_lstat("q").st_nlink, 4);
}

static void rename__working_directory_moves_along(void **state)
{
	char cwd[PATH_MAX], want[PATH_MAX];

	CHECK_SYS(mkdir("a", 0755));
	CHECK_SYS(chdir("a"));
	CHECK_SYS(rename("../a", "../b"));
	CHECK(getcwd(cwd, sizeof(cwd)));
	snprintf(want, sizeof(want), "%s/b", (char *)*state);
	CHECK_STR(cwd, want);
	fs_put("f", "x");
	CHECK_SYS(chdir(".."));
	CHECK_STR(fs_get("b/f"), "x");
}

static void rename__replaced_open_file_lives(void **state)
{
	struct stat st;
	char c = 0;
	int fd;

	(void)state;
	fs_put("a", "new");
	fs_put("b", "old");
	fd = open("b", O_RDONLY);
	CHECK_SYS(rename("a", "b"));
	CHECK_INT(pread(fd, &c, 1, 0), 1);
	CHECK_INT(c, 'o');
	CHECK_SYS(fstat(fd, &st));
	CHECK_UINT(st.st_nlink, 0);
	close(fd);
	CHECK_STR(fs_get("b"), "new");
}

static void rename__replaced_open_directory_is_dead(void **state)
{
	struct stat st;
	int fd;

	(void)state;
	CHECK_SYS(mkdir("a", 0755));
	CHECK_SYS(mkdir("b", 0755));
	fd = open("b", O_RDONLY | O_DIRECTORY);
	CHECK_SYS(rename("a", "b"));
	CHECK_SYS(fstat(fd, &st));
	CHECK_UINT(st.st_nlink, 0);
	CHECK_ERRNO(mkdirat(fd, "x", 0755), ENOENT);
	close(fd);
}

static void rename__into_a_removed_directory_is_enoent(void **state)
{
	int fd;

	(void)state;
	fs_put("f", "x");
	CHECK_SYS(mkdir("d", 0755));
	fd = open("d", O_RDONLY | O_DIRECTORY);
	CHECK_SYS(rmdir("d"));
	CHECK_ERRNO(renameat(AT_FDCWD, "f", fd, "g"), ENOENT);
	CHECK_ERRNO(linkat(AT_FDCWD, "f", fd, "g", 0), ENOENT);
	close(fd);
	CHECK(fs_exists("f"));
}

static void rename__slash_after_a_file_is_enotdir(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_ERRNO(rename("f", "g/"), ENOTDIR);
	CHECK_ERRNO(rename("f/", "g"), ENOTDIR);
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(rename("d/", "e/"));
}

static void rename__of_a_symlink_moves_the_link(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(symlink("f", "l"));
	CHECK_SYS(rename("l", "m"));
	CHECK(S_ISLNK(fs_lstat("m").st_mode));
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(symlink("d", "k"));
	/* the link is replaced, not what it names */
	CHECK_SYS(rename("f", "k"));
	CHECK(S_ISREG(fs_lstat("k").st_mode));
	CHECK_INT(fs_count("d"), 0);
}

/* -- datasets ------------------------------------------------------------- */

static void rename__to_another_dataset_is_exdev(void **state)
{
	char other[PATH_MAX];

	(void)state;
	if (fs_is_plain())
		skip();
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(mkdir("d", 0755));
	snprintf(other, sizeof(other), "%s/other/f", fs_mount());
	CHECK_ERRNO(rename("f", other), EXDEV);
	CHECK_ERRNO(rename("d", other), EXDEV);
	CHECK_ERRNO(rename2("f", other, RENAME_NOREPLACE), EXDEV);
	CHECK_ERRNO(link("f", other), EXDEV);
	fs_put(other, "y");
	CHECK_ERRNO(rename("f", other), EXDEV);
	CHECK_ERRNO(rename2("f", other, RENAME_EXCHANGE), EXDEV);
	CHECK_STR(fs_get(other), "y");
	CHECK_SYS(unlink(other));
	CHECK_STR(fs_get("f"), "x");
}

/* -- permission ----------------------------------------------------------- */

static int child_rename_is_refused(void)
{
	MUST_ERRNO(rename("closed/f", "open/f"), EACCES);
	MUST_ERRNO(rename("open/g", "closed/g"), EACCES);
	MUST_ERRNO(rename("closed/f", "closed/g"), EACCES);
	MUST_ERRNO(rename2("closed/f", "open/g", RENAME_EXCHANGE), EACCES);
	/* its '..' would change */
	MUST_ERRNO(rename("open/fixed", "open2/fixed"), EACCES);
	/* within its directory nothing in it changes */
	MUST(rename("open/fixed", "open/fixed2") == 0);
	return 0;
}

static void rename__needs_to_write_all_directories_that_change(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("closed", 0755));
	CHECK_SYS(mkdir("open", 0755));
	CHECK_SYS(mkdir("open2", 0755));
	CHECK_SYS(mkdir("open/fixed", 0555));
	fs_put("closed/f", "x");
	fs_put("open/g", "x");
	fs_give("closed");
	fs_give("open");
	fs_give("open2");
	fs_give("open/fixed");
	CHECK_SYS(chmod("closed", 0555));
	CHECK_INT(fs_child(child_rename_is_refused), 0);
	CHECK_SYS(chmod("closed", 0755));
}

/* -- atomicity ------------------------------------------------------------ */

static void *replace_all_the_time(void *arg)
{
	atomic_bool *stop = arg;

	while (!atomic_load(stop)) {
		int fd = open("tmp", O_CREAT | O_TRUNC | O_WRONLY, 0644);

		MUST(fd >= 0);
		MUST(write(fd, "whole", 5) == 5);
		close(fd);
		MUST(rename("tmp", "f") == 0);
	}
	return NULL;
}

static void rename__replaced_name_is_always_there(void **state)
{
	atomic_bool stop = false;
	pthread_t thread;

	(void)state;
	fs_put("f", "whole");
	CHECK_INT(pthread_create(&thread, NULL, replace_all_the_time, &stop),
		  0);
	for (int i = 0; i < 2000; i++) {
		char buf[8] = "";
		int fd = open("f", O_RDONLY);

		MUST(fd >= 0);
		MUST(read(fd, buf, 5) == 5);
		MUST(strcmp(buf, "whole") == 0);
		close(fd);
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

/* Two processes rename directories into each other: one must lose. */
static void rename__crossing_directories_never_make_a_ring(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		int status, won = 0;
		pid_t pid;

		CHECK_SYS(mkdir("a", 0755));
		CHECK_SYS(mkdir("b", 0755));
		pid = fork();
		if (pid == 0)
			_exit(rename("a", "b/a") == 0);
		won += rename("b", "a/b") == 0;
		waitpid(pid, &status, 0);
		won += WEXITSTATUS(status);
		CHECK_INT(won, 1);
		rmdir("a/b");
		rmdir("b/a");
		rmdir("a");
		rmdir("b");
		CHECK_INT(fs_count("."), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(rename__each_kind_over_each_in_one_directory),
		FS_TEST(rename__each_kind_over_each_in_another_directory),
		FS_TEST(rename__noreplace_is_eexist_over_each_kind),
		FS_TEST(rename__exchange_swaps_each_kind_with_each),
		FS_TEST(rename__exchange_needs_both),
		FS_TEST(rename__exchange_with_ones_own_subtree_is_einval),
		FS_TEST(rename__wrong_flags_are_einval),
		FS_TEST(rename__onto_itself_does_nothing),
		FS_TEST(rename__onto_another_name_of_it_keeps_both),
		FS_TEST(rename__into_ones_own_subtree_is_einval),
		FS_TEST(rename__over_an_ancestor_is_enotempty),
		FS_TEST(rename__of_a_directory_moves_its_parent),
		FS_TEST(rename__working_directory_moves_along),
		FS_TEST(rename__replaced_open_file_lives),
		FS_TEST(rename__replaced_open_directory_is_dead),
		FS_TEST(rename__into_a_removed_directory_is_enoent),
		FS_TEST(rename__slash_after_a_file_is_enotdir),
		FS_TEST(rename__of_a_symlink_moves_the_link),
		FS_TEST(rename__to_another_dataset_is_exdev),
		FS_TEST(rename__needs_to_write_all_directories_that_change),
		FS_TEST(rename__replaced_name_is_always_there),
		FS_TEST(rename__crossing_directories_never_make_a_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
