/* SPDX-License-Identifier: Apache-2.0 */
/* test_names.c - directories, links, renames, and files without a name */
#include "tests/fs/fs_test.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <time.h>

static struct stat stat_of(const char *name)
{
	struct stat st;

	CHECK_SYS(lstat(name, &st));
	return st;
}

static void dir__made_and_removed(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_ERRNO(mkdir("d", 0755), EEXIST);
	CHECK_SYS(mkdir("d/e", 0755));
	CHECK_ERRNO(rmdir("d"), ENOTEMPTY);
	CHECK_ERRNO(unlink("d"), EISDIR);
	CHECK_SYS(rmdir("d/e"));
	CHECK_SYS(rmdir("d"));
	CHECK_ERRNO(rmdir("d"), ENOENT);
	fs_put("f", "x");
	CHECK_ERRNO(rmdir("f"), ENOTDIR);
	CHECK_ERRNO(mkdir("no/d", 0755), ENOENT);
}

static void dir__link_count_counts_subdirectories(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_UINT(stat_of("d").st_nlink, 2);
	CHECK_SYS(mkdir("d/e", 0755));
	CHECK_UINT(stat_of("d").st_nlink, 3);
	CHECK_SYS(rmdir("d/e"));
	CHECK_UINT(stat_of("d").st_nlink, 2);
}

static void dir__removed_while_open_reads_empty(void **state)
{
	struct dirent *e;
	struct stat st;
	int nr = 0, fd;
	DIR *d;

	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	fd = open("d", O_RDONLY | O_DIRECTORY);
	d = fdopendir(dup(fd));
	CHECK_SYS(rmdir("d"));
	while ((e = readdir(d)))
		nr += e->d_name[0] != '.';
	CHECK_INT(nr, 0);
	closedir(d);
	CHECK_SYS(fstat(fd, &st));
	CHECK_UINT(st.st_nlink, 0);
	CHECK_ERRNO(openat(fd, "new", O_RDWR | O_CREAT, 0644), ENOENT);
	close(fd);
}

static int many(void)
{
	const char *long_form = getenv("DBS_TEST_LONG");

	return long_form && *long_form ? 100000 : 20000;
}

static void dir__many_entries_are_each_listed_once(void **state)
{
	int nr = many(), fd, seen_nr = 0;
	char *seen = calloc(1, (size_t)nr);
	struct dirent *e;
	char name[32];
	DIR *d;

	(void)state;
	for (int i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "file-%06d", i);
		fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
		CHECK_SYS(fd);
		close(fd);
	}
	d = opendir(".");
	while ((e = readdir(d))) {
		int i;

		if (sscanf(e->d_name, "file-%d", &i) != 1)
			continue;
		CHECK(i >= 0 && i < nr && !seen[i]);
		CHECK_INT(e->d_type, DT_REG);
		seen[i] = 1;
		seen_nr++;
	}
	CHECK_INT(seen_nr, nr);
	/* what is listed may be removed meanwhile, and nothing is missed */
	rewinddir(d);
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			CHECK_SYS(unlink(e->d_name));
	closedir(d);
	CHECK_INT(fs_count("."), 0);
	free(seen);
}

static void dir__positions_stay_good(void **state)
{
	char name[32], first[256], at_name[256];
	struct dirent *e;
	long at;
	DIR *d;

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fs_put(name, "");
	}
	d = opendir(".");
	for (int i = 0; i < 50; i++)
		readdir(d);
	at = telldir(d);
	e = readdir(d);
	snprintf(at_name, sizeof(at_name), "%s", e->d_name);
	rewinddir(d);
	e = readdir(d);
	snprintf(first, sizeof(first), "%s", e->d_name);
	CHECK_STR(first, ".");
	fs_put("new", "");
	seekdir(d, at);
	e = readdir(d);
	/* the order is that of a seeded hash: "new" may be next by chance */
	if (strcmp(e->d_name, "new") == 0)
		e = readdir(d);
	CHECK_STR(e->d_name, at_name);
	closedir(d);
}

static _Atomic bool listing_ends;

static void *list_again_and_again(void *arg)
{
	DIR *d;

	(void)arg;
	while (!atomic_load(&listing_ends)) {
		d = opendir(".");
		MUST(d);
		while (readdir(d))
			;
		closedir(d);
	}
	return NULL;
}

static pthread_t begin(void *(*meanwhile)(void *), void *arg)
{
	pthread_t thread;

	atomic_store(&listing_ends, false);
	MUST(pthread_create(&thread, NULL, meanwhile, arg) == 0);
	return thread;
}

/*
 * What is compared is what the kernel keeps: while one thread takes an answer
 * in, it lets another see for a moment that the attributes are good before
 * they are.
 */
static void end(pthread_t thread)
{
	atomic_store(&listing_ends, true);
	MUST(pthread_join(thread, NULL) == 0);
}

/* Listing tells the kernel the attributes of all that is listed. */
static void dir__times_are_new_while_another_lists_its_parent(void **state)
{
	enum { NR_DIRS = 40, NR_FILES = 1000 };
	unsigned nr_old = 0;
	pthread_t thread;
	char name[32];

	(void)state;
	for (int i = 0; i < NR_DIRS; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		CHECK_SYS(mkdir(name, 0755));
	}
	for (int i = 0; i < NR_FILES; i++) {
		struct stat before, after;
		int fd;

		snprintf(name, sizeof(name), "d%d", i % NR_DIRS);
		MUST(stat(name, &before) == 0);
		thread = begin(list_again_and_again, NULL);
		snprintf(name, sizeof(name), "d%d/f%d", i % NR_DIRS, i);
		fd = open(name, O_CREAT | O_WRONLY, 0644);
		MUST(fd >= 0);
		close(fd);
		end(thread);
		snprintf(name, sizeof(name), "d%d", i % NR_DIRS);
		MUST(stat(name, &after) == 0);
		nr_old += after.st_mtim.tv_sec == before.st_mtim.tv_sec &&
			  after.st_mtim.tv_nsec == before.st_mtim.tv_nsec;
	}
	CHECK_UINT(nr_old, 0);
}

/* Asks the daemon itself for the attributes of a file that has any name. */
static void *stat_again_and_again(void *fd)
{
	struct statx stx;

	while (!atomic_load(&listing_ends))
		MUST(statx(*(int *)fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
			   STATX_BASIC_STATS, &stx) == 0);
	return NULL;
}

/* @fn changes of the files f0, f1 ... nothing but their ctime. */
static void ctime_is_new(int nr_files, void *(*meanwhile)(void *),
			 void (*fn)(const char *name, int round))
{
	enum { NR_ROUNDS = 2000 };
	unsigned nr_old = 0;
	int fd;
	pthread_t thread;
	char name[32];

	for (int i = 0; i < nr_files; i++) {
		snprintf(name, sizeof(name), "f%d", i);
		fs_put(name, "");
	}
	fd = open(name, O_PATH);
	MUST(fd >= 0);
	for (int i = 0; i < NR_ROUNDS; i++) {
		struct stat before, after;

		snprintf(name, sizeof(name), "f%d", i % nr_files);
		MUST(stat(name, &before) == 0);
		thread = begin(meanwhile, &fd);
		fn(name, i);
		end(thread);
		MUST(stat(name, &after) == 0);
		nr_old += after.st_ctim.tv_sec == before.st_ctim.tv_sec &&
			  after.st_ctim.tv_nsec == before.st_ctim.tv_nsec;
	}
	CHECK_SYS(close(fd));
	CHECK_UINT(nr_old, 0);
}

static void change_xattr(const char *name, int round)
{
	MUST(setxattr(name, "user.round", &round, sizeof(round), 0) == 0);
	if (round % 3 == 0)
		MUST(removexattr(name, "user.round") == 0);
}

static void xattr__ctime_is_new_while_another_lists(void **state)
{
	(void)state;
	ctime_is_new(40, list_again_and_again, change_xattr);
}

static void xattr__ctime_is_new_while_another_asks(void **state)
{
	(void)state;
	ctime_is_new(1, stat_again_and_again, change_xattr);
}

static void change_name(const char *name, int round)
{
	(void)round;
	MUST(rename(name, "away") == 0);
	MUST(rename("away", name) == 0);
}

static void rename__ctime_is_new_while_another_asks(void **state)
{
	(void)state;
	ctime_is_new(1, stat_again_and_again, change_name);
}

static void link__shares_the_inode(void **state)
{
	(void)state;
	fs_put("a", "x");
	CHECK_SYS(link("a", "b"));
	CHECK_UINT(stat_of("a").st_nlink, 2);
	CHECK_UINT(stat_of("a").st_ino, stat_of("b").st_ino);
	fs_put("b", "both");
	CHECK_STR(fs_get("a"), "both");
	CHECK_SYS(unlink("a"));
	CHECK_UINT(stat_of("b").st_nlink, 1);
	CHECK_STR(fs_get("b"), "both");
	CHECK_SYS(mkdir("d", 0755));
	CHECK_ERRNO(link("d", "e"), EPERM);
	CHECK_ERRNO(link("b", "d"), EEXIST);
	CHECK_ERRNO(link("none", "c"), ENOENT);
}

static void symlink__keeps_its_target(void **state)
{
	char target[PATH_MAX], buf[PATH_MAX + 1];

	(void)state;
	fs_put("a", "content");
	CHECK_SYS(symlink("a", "l"));
	CHECK_STR(fs_get("l"), "content");
	CHECK_INT(readlink("l", buf, sizeof(buf)), 1);
	CHECK_INT(stat_of("l").st_size, 1);
	CHECK_ERRNO(symlink("a", "l"), EEXIST);
	CHECK_ERRNO(readlink("a", buf, sizeof(buf)), EINVAL);
	memset(target, 't', sizeof(target));
	target[4095] = '\0';
	CHECK_SYS(symlink(target, "long"));
	CHECK_INT(readlink("long", buf, sizeof(buf)), 4095);
	CHECK_MEM(buf, target, 4095);
	CHECK_SYS(symlink("l2", "l1"));
	CHECK_SYS(symlink("l1", "l2"));
	CHECK_ERRNO(open("l1", O_RDONLY), ELOOP);
}

static void node__fifos_sockets_and_devices_exist(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd;

	(void)state;
	CHECK_SYS(mkfifo("p", 0640));
	CHECK(S_ISFIFO(stat_of("p").st_mode));
	strcpy(addr.sun_path, "s");
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_SYS(bind(fd, (struct sockaddr *)&addr, sizeof(addr)));
	CHECK(S_ISSOCK(stat_of("s").st_mode));
	CHECK_SYS(listen(fd, 1));
	close(fd);
	CHECK_SYS(mknod("c", S_IFCHR | 0600, makedev(259, 70000)));
	CHECK(S_ISCHR(stat_of("c").st_mode));
	CHECK_UINT(major(stat_of("c").st_rdev), 259);
	CHECK_UINT(minor(stat_of("c").st_rdev), 70000);
	CHECK_ERRNO(open("c", O_RDONLY), EACCES); /* nodev */
	CHECK_SYS(mknod("f", S_IFREG | 0600, 0));
	CHECK(S_ISREG(stat_of("f").st_mode));
}

static void node__a_socket_serves(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX, .sun_path = "s"};
	int server, client;
	char c = 0;

	(void)state;
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_SYS(bind(server, (struct sockaddr *)&addr, sizeof(addr)));
	CHECK_SYS(listen(server, 1));
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK_SYS(connect(client, (struct sockaddr *)&addr, sizeof(addr)));
	CHECK_INT(write(client, "x", 1), 1);
	close(client);
	client = accept(server, NULL, NULL);
	CHECK_INT(read(client, &c, 1), 1);
	CHECK_INT(c, 'x');
	close(client);
	close(server);
}

static void rename__moves_and_replaces(void **state)
{
	(void)state;
	fs_put("a", "1");
	fs_put("b", "2");
	CHECK_SYS(rename("a", "c"));
	CHECK(!fs_exists("a"));
	CHECK_STR(fs_get("c"), "1");
	CHECK_SYS(rename("b", "c"));
	CHECK_STR(fs_get("c"), "2");
	CHECK(!fs_exists("b"));
	CHECK_ERRNO(rename("none", "d"), ENOENT);
	CHECK_SYS(rename("c", "c"));
	CHECK_STR(fs_get("c"), "2");
}

static void rename__hard_links_to_one_file_both_stay(void **state)
{
	(void)state;
	fs_put("a", "1");
	CHECK_SYS(link("a", "b"));
	CHECK_SYS(rename("a", "b"));
	CHECK(fs_exists("a"));
	CHECK(fs_exists("b"));
}

static void rename__of_directories(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(mkdir("e", 0755));
	fs_put("d/f", "x");
	fs_put("g", "x");
	CHECK_ERRNO(rename("e", "d"), ENOTEMPTY);
	CHECK_SYS(rename("d", "e"));
	CHECK_STR(fs_get("e/f"), "x");
	CHECK_ERRNO(rename("e", "e/f2/../sub"), ENOENT);
	CHECK_ERRNO(rename("e", "e/sub"), EINVAL);
	CHECK_ERRNO(rename("e", "g"), ENOTDIR);
	CHECK_ERRNO(rename("g", "e"), EISDIR);
	CHECK_SYS(mkdir("h", 0755));
	CHECK_UINT(stat_of(".").st_nlink, 4);
	CHECK_SYS(rename("e", "h/e"));
	CHECK_UINT(stat_of(".").st_nlink, 3);
	CHECK_UINT(stat_of("h").st_nlink, 3);
	CHECK_UINT(stat_of("h/e/..").st_ino, stat_of("h").st_ino);
}

static void rename__noreplace_keeps_what_is_there(void **state)
{
	(void)state;
	fs_put("a", "1");
	fs_put("b", "2");
	CHECK_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE),
		    EEXIST);
	CHECK_SYS(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
	CHECK_STR(fs_get("b"), "2");
	CHECK_STR(fs_get("c"), "1");
}

static void rename__exchange_swaps(void **state)
{
	(void)state;
	fs_put("a", "1");
	CHECK_SYS(mkdir("d", 0755));
	fs_put("d/x", "2");
	CHECK_SYS(renameat2(AT_FDCWD, "a", AT_FDCWD, "d", RENAME_EXCHANGE));
	CHECK_STR(fs_get("d"), "1");
	CHECK_STR(fs_get("a/x"), "2");
	CHECK_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "none", RENAME_EXCHANGE),
		    ENOENT);
}

static void rename__whiteout_is_refused(void **state)
{
	(void)state;
	fs_put("a", "1");
	CHECK_ERRNO(renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_WHITEOUT),
		    EINVAL);
}

static void unlink__open_file_stays_readable(void **state)
{
	struct stat st;
	char buf[8] = "";
	int fd;

	(void)state;
	fs_put("a", "still");
	fd = open("a", O_RDWR);
	CHECK_SYS(unlink("a"));
	CHECK(!fs_exists("a"));
	CHECK_INT(pread(fd, buf, 7, 0), 5);
	CHECK_STR(buf, "still");
	CHECK_INT(pwrite(fd, "here", 4, 5), 4);
	CHECK_SYS(fsync(fd));
	CHECK_SYS(fstat(fd, &st));
	CHECK_UINT(st.st_nlink, 0);
	CHECK_INT(st.st_size, 9);
	close(fd);
}

static void unlink__replaced_open_file_stays_readable(void **state)
{
	char buf[8] = "";
	int fd;

	(void)state;
	fs_put("a", "old");
	fs_put("b", "new");
	fd = open("a", O_RDONLY);
	CHECK_SYS(rename("b", "a"));
	CHECK_INT(read(fd, buf, 7), 3);
	CHECK_STR(buf, "old");
	close(fd);
	CHECK_STR(fs_get("a"), "new");
}

static void tmpfile__has_no_name_until_it_is_linked(void **state)
{
	char path[64];
	struct stat st;
	int fd;

	(void)state;
	fd = open(".", O_TMPFILE | O_RDWR, 0640);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		skip(); /* Linux before 6.2 */
	CHECK_SYS(fd);
	CHECK_INT(fs_count("."), 0);
	CHECK_SYS(fstat(fd, &st));
	CHECK_UINT(st.st_nlink, 0);
	CHECK_UINT(st.st_mode & 07777, 0640);
	CHECK_INT(write(fd, "tmp", 3), 3);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK_SYS(linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	CHECK_STR(fs_get("named"), "tmp");
	CHECK_SYS(fstat(fd, &st));
	CHECK_UINT(st.st_nlink, 1);
	close(fd);
	CHECK_STR(fs_get("named"), "tmp");
}

static void tmpfile__closed_unnamed_is_gone(void **state)
{
	int fd;

	(void)state;
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
		skip();
	CHECK_INT(write(fd, "x", 1), 1);
	close(fd);
	CHECK_INT(fs_count("."), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(dir__made_and_removed),
		FS_TEST(dir__link_count_counts_subdirectories),
		FS_TEST(dir__removed_while_open_reads_empty),
		FS_TEST(dir__many_entries_are_each_listed_once),
		FS_TEST(dir__positions_stay_good),
		FS_TEST(dir__times_are_new_while_another_lists_its_parent),
		FS_TEST(xattr__ctime_is_new_while_another_lists),
		FS_TEST(xattr__ctime_is_new_while_another_asks),
		FS_TEST(rename__ctime_is_new_while_another_asks),
		FS_TEST(link__shares_the_inode),
		FS_TEST(symlink__keeps_its_target),
		FS_TEST(node__fifos_sockets_and_devices_exist),
		FS_TEST(node__a_socket_serves),
		FS_TEST(rename__moves_and_replaces),
		FS_TEST(rename__hard_links_to_one_file_both_stay),
		FS_TEST(rename__of_directories),
		FS_TEST(rename__noreplace_keeps_what_is_there),
		FS_TEST(rename__exchange_swaps),
		FS_TEST(rename__whiteout_is_refused),
		FS_TEST(unlink__open_file_stays_readable),
		FS_TEST(unlink__replaced_open_file_stays_readable),
		FS_TEST(tmpfile__has_no_name_until_it_is_linked),
		FS_TEST(tmpfile__closed_unnamed_is_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
