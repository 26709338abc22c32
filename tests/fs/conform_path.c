/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conform_path.c - what each call that takes a path says of bad ones
 *
 * One table of calls, one test for each thing that can be wrong with a path.
 */
#include "tests/fs/fs_test.h"

#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

/* -- the calls ------------------------------------------------------------ */

static int closed(int fd)
{
	if (fd >= 0)
		close(fd);
	return fd < 0 ? -1 : 0;
}

static int do_open(const char *p)
{
	return closed(open(p, O_RDONLY | O_NONBLOCK));
}
static int do_create(const char *p)
{
	return closed(open(p, O_RDWR | O_CREAT | O_NONBLOCK, 0644));
}
static int do_create_excl(const char *p)
{
	return closed(open(p, O_RDWR | O_CREAT | O_EXCL, 0644));
}
static int do_opendir(const char *p)
{
	return closed(open(p, O_RDONLY | O_DIRECTORY));
}
static int do_mkdir(const char *p)
{
	return mkdir(p, 0755);
}
static int do_mkfifo(const char *p)
{
	return mkfifo(p, 0644);
}
static int do_symlink(const char *p)
{
	return symlink("target", p);
}
static int do_link_to(const char *p)
{
	return link("file", p);
}
static int do_link_from(const char *p)
{
	return link(p, "linked");
}
static int do_rename_to(const char *p)
{
	return rename("file", p);
}
static int do_rename_from(const char *p)
{
	return rename(p, "renamed");
}
static int do_chmod(const char *p)
{
	return chmod(p, 0644);
}
static int do_chown(const char *p)
{
	return chown(p, geteuid(), getegid());
}
static int do_lchown(const char *p)
{
	return lchown(p, geteuid(), getegid());
}
static int do_truncate(const char *p)
{
	return truncate(p, 0);
}
static int do_utimens(const char *p)
{
	return utimensat(AT_FDCWD, p, NULL, 0);
}
static int do_stat(const char *p)
{
	struct stat st;

	return stat(p, &st);
}
static int do_lstat(const char *p)
{
	struct stat st;

	return lstat(p, &st);
}
static int do_access(const char *p)
{
	return access(p, F_OK);
}
static int do_statfs(const char *p)
{
	struct statfs st;

	return statfs(p, &st);
}
static int do_readlink(const char *p)
{
	char buf[64];

	return readlink(p, buf, sizeof(buf)) < 0 ? -1 : 0;
}
static int do_setxattr(const char *p)
{
	return setxattr(p, "user.a", "b", 1, 0);
}
static int do_listxattr(const char *p)
{
	return listxattr(p, NULL, 0) < 0 ? -1 : 0;
}
static int do_bind(const char *p)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, rc;

	/* its addresses are short; what is longer is tested by the others */
	if (strlen(p) >= sizeof(addr.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(addr.sun_path, p, strlen(p) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	rc = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	close(fd);
	return rc;
}

enum {
	FOLLOWS = 1, /* a symbolic link at the end */
	MAKES = 2,   /* the name */
	REMOVES = 4, /* the name */
	EMPTY = 8,   /* has something of its own to say to "" */
	OFDIR = 16,  /* says something else where a directory is expected */
	EXISTS = 32, /* an existing name is EEXIST */
};

static const struct call {
	const char *name;
	int (*fn)(const char *path);
	unsigned is;
} calls[] = {
	{"open", do_open, FOLLOWS},
	{"create", do_create, FOLLOWS | MAKES},
	{"create exclusively", do_create_excl, MAKES | EXISTS},
	{"open directory", do_opendir, FOLLOWS | OFDIR},
	{"mkdir", do_mkdir, MAKES | EXISTS},
	{"mkfifo", do_mkfifo, MAKES | EXISTS},
	{"symlink", do_symlink, MAKES | EXISTS},
	{"bind", do_bind, MAKES | EMPTY},
	{"link to", do_link_to, MAKES | EXISTS},
	{"link from", do_link_from, 0},
	{"rename to", do_rename_to, MAKES},
	{"rename from", do_rename_from, REMOVES},
	{"unlink", unlink, REMOVES},
	{"rmdir", rmdir, REMOVES | OFDIR},
	{"chmod", do_chmod, FOLLOWS},
	{"chown", do_chown, FOLLOWS},
	{"lchown", do_lchown, 0},
	{"truncate", do_truncate, FOLLOWS},
	{"utimensat", do_utimens, FOLLOWS},
	{"stat", do_stat, FOLLOWS},
	{"lstat", do_lstat, 0},
	{"access", do_access, FOLLOWS},
	{"statfs", do_statfs, FOLLOWS},
	{"readlink", do_readlink, OFDIR},
	{"setxattr", do_setxattr, FOLLOWS},
	{"listxattr", do_listxattr, FOLLOWS},
};
#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

static bool fails(const struct call *c, const char *path, int err)
{
	int rc;

	errno = 0;
	rc = c->fn(path);
	if (rc == -1 && errno == err)
		return true;
	fprintf(stderr, "%s: got %d (%s), want %s\n", c->name, rc,
		strerror(errno), strerrordesc_np(err));
	return false;
}

/* All calls whose flags, those of @which, are @is. */
static void all_fail(unsigned which, unsigned is, const char *path, int err)
{
	unsigned nr = 0;

	for (size_t i = 0; i < NR_CALLS; i++)
		if ((calls[i].is & which) == is)
			nr += !fails(&calls[i], path, err);
	CHECK_UINT(nr, 0);
}

/* -- too long ------------------------------------------------------------- */

static void path__name_of_256_bytes_is_enametoolong(void **state)
{
	char name[257];

	(void)state;
	memset(name, 'x', 256);
	name[256] = '\0';
	fs_put("file", "x");
	all_fail(0, 0, name, ENAMETOOLONG);
}

static void path__parent_of_256_bytes_is_enametoolong(void **state)
{
	char name[260];

	(void)state;
	memset(name, 'x', 256);
	memcpy(name + 256, "/f", 3);
	fs_put("file", "x");
	all_fail(0, 0, name, ENAMETOOLONG);
}

/* "./././...", @len bytes with the NUL, ending in @name */
static const char *long_path(size_t len, const char *name)
{
	static char path[PATH_MAX + 16];
	size_t n = strlen(name), i = 0;

	MUST(len < sizeof(path));
	for (; i + n + 1 < len; i++)
		path[i] = i % 2 ? '/' : '.';
	if (i % 2) /* ends in '.': make it "//" */
		path[i - 1] = '/';
	memcpy(path + i, name, n + 1);
	return path;
}

static void path__of_4096_bytes_is_enametoolong(void **state)
{
	(void)state;
	fs_put("file", "x");
	all_fail(0, 0, long_path(PATH_MAX + 1, "name"), ENAMETOOLONG);
}

static void path__of_4095_bytes_works(void **state)
{
	(void)state;
	fs_put("file", "x");
	CHECK_SYS(do_create_excl(long_path(PATH_MAX, "name")));
	CHECK_SYS(do_stat(long_path(PATH_MAX, "name")));
	CHECK_SYS(rename(long_path(PATH_MAX, "name"), "other"));
	CHECK_SYS(do_mkdir(long_path(PATH_MAX, "dir")));
	CHECK_SYS(rmdir(long_path(PATH_MAX, "dir")));
	CHECK_SYS(unlink(long_path(PATH_MAX, "other")));
}

static void path__name_of_255_bytes_works_for_each_call(void **state)
{
	char name[256], other[256];

	(void)state;
	memset(name, 'n', 255);
	memset(other, 'o', 255);
	name[255] = other[255] = '\0';
	CHECK_SYS(do_create_excl(name));
	CHECK_SYS(link(name, other));
	CHECK_SYS(unlink(name));
	CHECK_SYS(rename(other, name));
	CHECK_SYS(do_truncate(name));
	CHECK_SYS(symlink("x", other));
	CHECK_SYS(unlink(other));
	CHECK_SYS(mkfifo(other, 0600));
	CHECK_SYS(unlink(other));
	CHECK_SYS(mkdir(other, 0700));
	CHECK_SYS(rmdir(other));
	CHECK(fs_lists(".", name));
}

/* -- not there ------------------------------------------------------------ */

static void path__missing_parent_is_enoent(void **state)
{
	(void)state;
	fs_put("file", "x");
	all_fail(0, 0, "missing/name", ENOENT);
}

static void path__missing_name_is_enoent(void **state)
{
	(void)state;
	all_fail(MAKES, 0, "missing", ENOENT);
}

static void path__empty_is_enoent(void **state)
{
	(void)state;
	fs_put("file", "x");
	all_fail(EMPTY, 0, "", ENOENT);
}

static void path__existing_name_is_eexist(void **state)
{
	(void)state;
	fs_put("file", "x");
	fs_put("there", "x");
	CHECK_SYS(mkdir("dir", 0755));
	CHECK_SYS(symlink("nowhere", "link"));
	CHECK_SYS(mkfifo("fifo", 0644));
	all_fail(EXISTS, EXISTS, "there", EEXIST);
	all_fail(EXISTS, EXISTS, "dir", EEXIST);
	all_fail(EXISTS, EXISTS, "link", EEXIST);
	all_fail(EXISTS, EXISTS, "fifo", EEXIST);
	CHECK_ERRNO(do_bind("there"), EADDRINUSE);
}

/* -- not a directory ------------------------------------------------------ */

static void path__file_as_parent_is_enotdir(void **state)
{
	(void)state;
	fs_put("file", "x");
	CHECK_SYS(mkfifo("fifo", 0644));
	all_fail(0, 0, "file/name", ENOTDIR);
	all_fail(0, 0, "fifo/name", ENOTDIR);
}

static void path__slash_after_a_file_is_enotdir(void **state)
{
	(void)state;
	fs_put("file", "x");
	fs_put("there", "x");
	/* what makes a name says EEXIST or EISDIR, whichever comes first */
	all_fail(MAKES, 0, "there/", ENOTDIR);
	CHECK_ERRNO(do_create("there/"), EISDIR);
	CHECK_ERRNO(do_mkdir("there/"), EEXIST);
	CHECK_ERRNO(do_rename_to("there/"), ENOTDIR);
}

static void path__slash_after_a_directory_is_nothing(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("dir/", 0755));
	CHECK_SYS(do_stat("dir///"));
	CHECK_SYS(rename("dir/", "dir2/"));
	CHECK_SYS(rmdir("dir2/"));
}

/* -- symbolic links ------------------------------------------------------- */

static void path__loop_as_parent_is_eloop(void **state)
{
	(void)state;
	fs_put("file", "x");
	CHECK_SYS(symlink("b", "a"));
	CHECK_SYS(symlink("a", "b"));
	all_fail(0, 0, "a/name", ELOOP);
}

static void path__loop_at_the_end_is_eloop_where_it_is_followed(void **state)
{
	(void)state;
	CHECK_SYS(symlink("b", "a"));
	CHECK_SYS(symlink("a", "b"));
	all_fail(FOLLOWS, FOLLOWS, "a", ELOOP);
	CHECK_SYS(do_lstat("a"));
	CHECK_SYS(do_readlink("a"));
	CHECK_SYS(do_lchown("a"));
	CHECK_SYS(do_rename_from("a"));
	CHECK_SYS(unlink("renamed"));
}

static void path__forty_links_are_followed_and_no_more(void **state)
{
	char name[16], target[16] = "file";

	(void)state;
	fs_put("file", "x");
	for (int i = 1; i <= 41; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		CHECK_SYS(symlink(target, name));
		memcpy(target, name, sizeof(name));
	}
	CHECK_SYS(do_stat("l40"));
	CHECK_ERRNO(do_stat("l41"), ELOOP);
}

static void path__dangling_link_is_enoent_where_it_is_followed(void **state)
{
	(void)state;
	CHECK_SYS(symlink("nowhere", "link"));
	all_fail(FOLLOWS | MAKES, FOLLOWS, "link", ENOENT);
	CHECK_SYS(do_create("link"));
	CHECK(fs_exists("nowhere"));
}

/* -- '.' and '..' --------------------------------------------------------- */

static void path__dots_are_refused_as_names(void **state)
{
	(void)state;
	fs_put("file", "x");
	CHECK_SYS(mkdir("d", 0755));
	for (size_t i = 0; i < NR_CALLS; i++)
		if (calls[i].is & EXISTS) {
			CHECK(fails(&calls[i], "d/.", EEXIST));
			CHECK(fails(&calls[i], "d/..", EEXIST));
		}
	CHECK_ERRNO(rmdir("d/."), EINVAL);
	CHECK_ERRNO(rmdir("d/.."), ENOTEMPTY);
	CHECK_ERRNO(unlink("d/."), EISDIR);
	CHECK_ERRNO(unlink("d/.."), EISDIR);
	CHECK_ERRNO(rename("d/.", "e"), EBUSY);
	CHECK_ERRNO(rename("d/..", "e"), EBUSY);
	CHECK_ERRNO(rename("file", "d/."), EBUSY);
	CHECK_ERRNO(rename("file", "d/.."), EBUSY);
}

/* -- permission ----------------------------------------------------------- */

static int child_all_eacces(void)
{
	int nr = 0;

	for (size_t i = 0; i < NR_CALLS; i++)
		nr += !fails(&calls[i], "closed/name", EACCES);
	return nr;
}

static void path__unsearchable_parent_is_eacces(void **state)
{
	(void)state;
	CHECK_SYS(chmod(".", 0777));
	fs_put("file", "x");
	CHECK_SYS(mkdir("closed", 0755));
	fs_put("closed/name", "x");
	fs_give("file");
	fs_give("closed");
	fs_give("closed/name");
	CHECK_SYS(chmod("closed", 0666));
	CHECK_INT(fs_child(child_all_eacces), 0);
	CHECK_SYS(chmod("closed", 0755));
}

static int child_changes_are_eacces(void)
{
	int nr = 0;

	for (size_t i = 0; i < NR_CALLS; i++) {
		if (calls[i].is & MAKES)
			nr += !fails(&calls[i], "fixed/new", EACCES);
		/* rmdir looks at the directory's mode first */
		if (calls[i].is & REMOVES)
			nr += !fails(&calls[i], "fixed/name", EACCES);
	}
	return nr;
}

static void path__unwritable_parent_is_eacces_to_what_changes_it(void **state)
{
	(void)state;
	CHECK_SYS(chmod(".", 0777));
	fs_put("file", "x");
	CHECK_SYS(mkdir("fixed", 0755));
	fs_put("fixed/name", "x");
	fs_give("file");
	fs_give("fixed/name");
	fs_give("fixed");
	CHECK_SYS(chmod("fixed", 0555));
	CHECK_INT(fs_child(child_changes_are_eacces), 0);
	CHECK_SYS(chmod("fixed", 0755));
}

static void path__bad_address_is_efault(void **state)
{
	/* volatile: the compiler knows that it is no string */
	char *volatile bad = (char *)(uintptr_t)-4096;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	/* they look at the string themselves, before the kernel does */
	skip();
#endif
	fs_put("file", "x");
	for (size_t i = 0; i < NR_CALLS; i++)
		if (calls[i].fn != do_bind)
			CHECK(fails(&calls[i], bad, EFAULT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(path__name_of_256_bytes_is_enametoolong),
		FS_TEST(path__parent_of_256_bytes_is_enametoolong),
		FS_TEST(path__of_4096_bytes_is_enametoolong),
		FS_TEST(path__of_4095_bytes_works),
		FS_TEST(path__name_of_255_bytes_works_for_each_call),
		FS_TEST(path__missing_parent_is_enoent),
		FS_TEST(path__missing_name_is_enoent),
		FS_TEST(path__empty_is_enoent),
		FS_TEST(path__existing_name_is_eexist),
		FS_TEST(path__file_as_parent_is_enotdir),
		FS_TEST(path__slash_after_a_file_is_enotdir),
		FS_TEST(path__slash_after_a_directory_is_nothing),
		FS_TEST(path__loop_as_parent_is_eloop),
		FS_TEST(path__loop_at_the_end_is_eloop_where_it_is_followed),
		FS_TEST(path__forty_links_are_followed_and_no_more),
		FS_TEST(path__dangling_link_is_enoent_where_it_is_followed),
		FS_TEST(path__dots_are_refused_as_names),
		FS_TEST(path__unsearchable_parent_is_eacces),
		FS_TEST(path__unwritable_parent_is_eacces_to_what_changes_it),
		FS_TEST(path__bad_address_is_efault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
