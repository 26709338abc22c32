/* SPDX-License-Identifier: Apache-2.0 */
/* conform_xattr.c - extended attributes: limits, namespaces; POSIX ACLs */
#include "tests/fs/fs_test.h"

#include <limits.h>
#include <stdio.h>
#include <sys/xattr.h>

static char big[XATTR_SIZE_MAX + 1], got[XATTR_SIZE_MAX + 1];

static bool listed(const char *file, const char *name)
{
	static char list[65536];
	ssize_t n = listxattr(file, list, sizeof(list));

	CHECK(n >= 0);
	for (char *p = list; p < list + n; p += strlen(p) + 1)
		if (strcmp(p, name) == 0)
			return true;
	return false;
}

/* -- set, get, list, remove ----------------------------------------------- */

static void xattr__create_and_replace_insist(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_ERRNO(setxattr("f", "user.a", "1", 1, XATTR_REPLACE), ENODATA);
	CHECK_SYS(setxattr("f", "user.a", "1", 1, XATTR_CREATE));
	CHECK_ERRNO(setxattr("f", "user.a", "2", 1, XATTR_CREATE), EEXIST);
	CHECK_SYS(setxattr("f", "user.a", "2", 1, XATTR_REPLACE));
	CHECK_ERRNO(setxattr("f", "user.a", "2", 1, 4), EINVAL);
	CHECK_INT(getxattr("f", "user.a", got, 10), 1);
	CHECK_INT(got[0], '2');
}

static void xattr__missing_is_enodata(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_ERRNO(getxattr("f", "user.none", got, 10), ENODATA);
	CHECK_ERRNO(removexattr("f", "user.none"), ENODATA);
	CHECK_ERRNO(getxattr("none", "user.a", got, 10), ENOENT);
}

static void xattr__size_is_asked_for_with_zero(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(setxattr("f", "user.a", "12345", 5, 0));
	CHECK_INT(getxattr("f", "user.a", NULL, 0), 5);
	CHECK_ERRNO(getxattr("f", "user.a", got, 4), ERANGE);
	CHECK_INT(getxattr("f", "user.a", got, 5), 5);
	CHECK_INT(listxattr("f", NULL, 0), 7);
	CHECK_ERRNO(listxattr("f", got, 6), ERANGE);
	CHECK_INT(listxattr("f", got, 7), 7);
	CHECK_MEM(got, "user.a", 7);
}

static void xattr__values_may_be_empty_or_any_bytes(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(setxattr("f", "user.empty", NULL, 0, 0));
	CHECK_INT(getxattr("f", "user.empty", got, 10), 0);
	CHECK_INT(getxattr("f", "user.empty", NULL, 0), 0);
	CHECK(listed("f", "user.empty"));
	for (int i = 0; i < 256; i++)
		big[i] = (char)i;
	CHECK_SYS(setxattr("f", "user.bytes", big, 256, 0));
	CHECK_INT(getxattr("f", "user.bytes", got, 256), 256);
	CHECK_MEM(got, big, 256);
}

static void xattr__names_have_up_to_255_bytes(void **state)
{
	char name[300] = "user.";

	(void)state;
	fs_put("f", "x");
	memset(name + 5, 'n', 251);
	name[255] = '\0';
	CHECK_SYS(setxattr("f", name, "v", 1, 0));
	CHECK_INT(getxattr("f", name, got, 10), 1);
	CHECK(listed("f", name));
	CHECK_SYS(removexattr("f", name));
	name[255] = 'n';
	name[256] = '\0';
	CHECK_ERRNO(setxattr("f", name, "v", 1, 0), ERANGE);
	CHECK_ERRNO(getxattr("f", name, got, 1), ERANGE);
	CHECK_ERRNO(removexattr("f", name), ERANGE);
}

static void xattr__odd_names_are_refused(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_ERRNO(setxattr("f", "", "v", 1, 0), ERANGE);
	CHECK_ERRNO(setxattr("f", "user.", "v", 1, 0), EINVAL);
	CHECK_ERRNO(setxattr("f", "user", "v", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(setxattr("f", "noprefix", "v", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(setxattr("f", "other.a", "v", 1, 0), EOPNOTSUPP);
	CHECK_ERRNO(getxattr("f", "other.a", got, 1), EOPNOTSUPP);
	CHECK_ERRNO(removexattr("f", "other.a"), EOPNOTSUPP);
	CHECK_SYS(setxattr("f", "user.a.b/c d\xff", "v", 1, 0));
	CHECK(listed("f", "user.a.b/c d\xff"));
}

static void xattr__values_have_up_to_64_kib(void **state)
{
	size_t len = XATTR_SIZE_MAX;

	(void)state;
	fs_put("f", "x");
	fs_fill(big, len, 1);
	CHECK_ERRNO(setxattr("f", "user.a", big, len + 1, 0), E2BIG);
	if (fs_is_plain())
		len = 2000; /* ext4: a block for all of them */
	CHECK_SYS(setxattr("f", "user.a", big, len, 0));
	CHECK_INT(getxattr("f", "user.a", got, len), len);
	CHECK_MEM(got, big, len);
	CHECK_SYS(setxattr("f", "user.a", "short", 5, 0));
	CHECK_INT(getxattr("f", "user.a", got, len), 5);
}

static void xattr__hundreds_are_each_kept(void **state)
{
	int nr = fs_is_plain() ? 50 : 500;
	char name[32];

	(void)state;
	fs_put("f", "x");
	for (int i = 0; i < nr; i++) {
		snprintf(name, sizeof(name), "user.%d", i);
		CHECK_SYS(setxattr("f", name, name, strlen(name), 0));
	}
	for (int i = 0; i < nr; i += 2) {
		snprintf(name, sizeof(name), "user.%d", i);
		CHECK_SYS(removexattr("f", name));
	}
	for (int i = 0; i < nr; i++) {
		ssize_t n;

		snprintf(name, sizeof(name), "user.%d", i);
		n = getxattr("f", name, got, 32);
		CHECK_INT(n, i % 2 ? (ssize_t)strlen(name) : -1);
		CHECK(n < 0 || memcmp(got, name, (size_t)n) == 0);
	}
}

static void xattr__stay_with_the_inode(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(setxattr("f", "user.a", "v", 1, 0));
	CHECK_SYS(link("f", "g"));
	CHECK_SYS(rename("f", "h"));
	CHECK_INT(getxattr("g", "user.a", got, 1), 1);
	CHECK_INT(getxattr("h", "user.a", got, 1), 1);
	fs_put("h", "rewritten");
	CHECK_INT(getxattr("h", "user.a", got, 1), 1);
	CHECK_SYS(unlink("g"));
	CHECK_SYS(unlink("h"));
	fs_put("h", "another");
	CHECK_ERRNO(getxattr("h", "user.a", got, 1), ENODATA);
}

/* -- namespaces ----------------------------------------------------------- */

static void xattr__user_is_for_files_and_directories(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(mkfifo("p", 0644));
	CHECK_SYS(symlink("d", "l"));
	CHECK_SYS(setxattr("d", "user.a", "v", 1, 0));
	CHECK_ERRNO(setxattr("p", "user.a", "v", 1, 0), EPERM);
	CHECK_ERRNO(lsetxattr("l", "user.a", "v", 1, 0), EPERM);
	CHECK_ERRNO(lgetxattr("l", "user.a", got, 1), ENODATA);
	CHECK_ERRNO(getxattr("p", "user.a", got, 1), ENODATA);
	/* by the link's name: the directory's */
	CHECK_INT(getxattr("l", "user.a", got, 1), 1);
}

static void xattr__trusted_works_on_each_kind(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	CHECK_SYS(mkfifo("p", 0644));
	CHECK_SYS(symlink("p", "l"));
	CHECK_SYS(setxattr("p", "trusted.a", "v", 1, 0));
	CHECK_SYS(lsetxattr("l", "trusted.a", "vw", 2, 0));
	CHECK_INT(lgetxattr("l", "trusted.a", got, 2), 2);
	CHECK_INT(getxattr("l", "trusted.a", got, 2), 1);
	CHECK(listed("p", "trusted.a"));
}

static int child_sees_no_trusted(void)
{
	char list[64];
	ssize_t n = listxattr("f", list, sizeof(list));

	MUST(n == (ssize_t)sizeof("user.a"));
	MUST(memcmp(list, "user.a", sizeof("user.a")) == 0);
	MUST_ERRNO(getxattr("f", "trusted.a", list, 8), ENODATA);
	MUST_ERRNO(setxattr("f", "trusted.a", "w", 1, 0), EPERM);
	MUST_ERRNO(removexattr("f", "trusted.a"), EPERM);
	MUST_ERRNO(setxattr("f", "security.a", "w", 1, 0), EPERM);
	return 0;
}

static void xattr__trusted_is_roots(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(chmod("f", 0666));
	CHECK_SYS(setxattr("f", "user.a", "v", 1, 0));
	CHECK_SYS(setxattr("f", "trusted.a", "v", 1, 0));
	CHECK_INT(fs_child(child_sees_no_trusted), 0);
}

static int child_needs_the_mode(void)
{
	char c;

	MUST_ERRNO(setxattr("r", "user.a", "w", 1, 0), EACCES);
	MUST_ERRNO(removexattr("r", "user.a"), EACCES);
	MUST(getxattr("r", "user.a", &c, 1) == 1);
	MUST_ERRNO(getxattr("w", "user.a", &c, 1), EACCES);
	MUST(setxattr("w", "user.a", "w", 1, 0) == 0);
	return 0;
}

static void xattr__user_follows_the_files_mode(void **state)
{
	(void)state;
	fs_put("r", "x");
	fs_put("w", "x");
	CHECK_SYS(setxattr("r", "user.a", "v", 1, 0));
	CHECK_SYS(setxattr("w", "user.a", "v", 1, 0));
	fs_give("r");
	fs_give("w");
	CHECK_SYS(chmod("r", 0400));
	CHECK_SYS(chmod("w", 0200));
	CHECK_INT(fs_child(child_needs_the_mode), 0);
}

static int child_sticky_directory(void)
{
	MUST_ERRNO(setxattr("d", "user.a", "w", 1, 0), EPERM);
	return 0;
}

static void xattr__of_a_sticky_directory_are_its_owners(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(chmod("d", 01777));
	CHECK_INT(fs_child(child_sticky_directory), 0);
	CHECK_SYS(setxattr("d", "user.a", "w", 1, 0));
}

/* -- ACLs ----------------------------------------------------------------- */

/* version 2; owner rw-, user 7 r--, group r--, mask r--, others r-- */
static const unsigned char acl[] = {
	2, 0, 0,   0,	1,   0,	  6,  0, 255, 255, 255, 255, 2,	  0,   4,
	0, 7, 0,   0,	0,   4,	  0,  4, 0,   255, 255, 255, 255, 16,  0,
	4, 0, 255, 255, 255, 255, 32, 0, 4,   0,   255, 255, 255, 255,
};

static void acl__is_whole_or_refused(void **state)
{
	static const char *const names[] = {
		"system.posix_acl_access",
		"system.posix_acl_default",
	};

	(void)state;
	if (fs_is_plain())
		skip();
	CHECK_SYS(mkdir("d", 0755));
	for (int i = 0; i < 2; i++) {
		CHECK_ERRNO(setxattr("d", names[i], acl, sizeof(acl), 0),
			    EOPNOTSUPP);
		CHECK_ERRNO(getxattr("d", names[i], got, 100), EOPNOTSUPP);
		CHECK_ERRNO(removexattr("d", names[i]), EOPNOTSUPP);
		CHECK(!listed("d", names[i]));
	}
	CHECK_UINT(fs_lstat("d").st_mode & 07777, 0755);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(xattr__create_and_replace_insist),
		FS_TEST(xattr__missing_is_enodata),
		FS_TEST(xattr__size_is_asked_for_with_zero),
		FS_TEST(xattr__values_may_be_empty_or_any_bytes),
		FS_TEST(xattr__names_have_up_to_255_bytes),
		FS_TEST(xattr__odd_names_are_refused),
		FS_TEST(xattr__values_have_up_to_64_kib),
		FS_TEST(xattr__hundreds_are_each_kept),
		FS_TEST(xattr__stay_with_the_inode),
		FS_TEST(xattr__user_is_for_files_and_directories),
		FS_TEST(xattr__trusted_works_on_each_kind),
		FS_TEST(xattr__trusted_is_roots),
		FS_TEST(xattr__user_follows_the_files_mode),
		FS_TEST(xattr__of_a_sticky_directory_are_its_owners),
		FS_TEST(acl__is_whole_or_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
