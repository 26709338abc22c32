/* SPDX-License-Identifier: Apache-2.0 */
/* test_shared.c - extended attributes and locks */
#include "tests/fs/fs_test.h"

#include <linux/capability.h>
#include <linux/xattr.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <sys/xattr.h>

/* -- extended attributes -------------------------------------------------- */

static void xattr__set_get_list_remove(void **state)
{
	char buf[256];

	(void)state;
	fs_put("a", "x");
	CHECK_ERRNO(getxattr("a", "user.k", buf, sizeof(buf)), ENODATA);
	CHECK_SYS(setxattr("a", "user.k", "value", 5, XATTR_CREATE));
	CHECK_ERRNO(setxattr("a", "user.k", "v", 1, XATTR_CREATE), EEXIST);
	CHECK_ERRNO(setxattr("a", "user.n", "v", 1, XATTR_REPLACE), ENODATA);
	CHECK_INT(getxattr("a", "user.k", NULL, 0), 5);
	CHECK_INT(getxattr("a", "user.k", buf, sizeof(buf)), 5);
	CHECK_MEM(buf, "value", 5);
	CHECK_ERRNO(getxattr("a", "user.k", buf, 4), ERANGE);
	CHECK_SYS(setxattr("a", "user.k", "", 0, XATTR_REPLACE));
	CHECK_INT(getxattr("a", "user.k", buf, sizeof(buf)), 0);
	CHECK_SYS(setxattr("a", "user.second", "2", 1, 0));
	CHECK_INT(listxattr("a", NULL, 0), 7 + 12);
	CHECK_INT(listxattr("a", buf, sizeof(buf)), 7 + 12);
	CHECK_ERRNO(listxattr("a", buf, 10), ERANGE);
	CHECK_SYS(removexattr("a", "user.k"));
	CHECK_ERRNO(removexattr("a", "user.k"), ENODATA);
	CHECK_INT(listxattr("a", buf, sizeof(buf)), 12);
	CHECK_STR(buf, "user.second");
}

static void xattr__works_on_directories(void **state)
{
	char buf[16];

	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(setxattr("d", "user.k", "v", 1, 0));
	CHECK_INT(getxattr("d", "user.k", buf, sizeof(buf)), 1);
	CHECK_SYS(rmdir("d"));
}

static void xattr__values_may_be_large(void **state)
{
	static char value[3000], buf[4096];

	(void)state;
	fs_put("a", "x");
	fs_fill(value, sizeof(value), 1);
	CHECK_SYS(setxattr("a", "user.large", value, sizeof(value), 0));
	CHECK_INT(getxattr("a", "user.large", buf, sizeof(buf)), sizeof(value));
	CHECK_MEM(buf, value, sizeof(value));
}

static void xattr__acls_are_refused(void **state)
{
	static const unsigned char acl[] = {
		2,  0, 0, 0,			 /* version */
		1,  0, 6, 0, 255, 255, 255, 255, /* user::rw- */
		2,  0, 4, 0, 232, 3,   0,   0,	 /* user:1000:r-- */
		4,  0, 4, 0, 255, 255, 255, 255, /* group::r-- */
		16, 0, 4, 0, 255, 255, 255, 255, /* mask::r-- */
		32, 0, 4, 0, 255, 255, 255, 255, /* other::r-- */
	};
	char buf[64];

	(void)state;
	fs_put("a", "x");
	CHECK_ERRNO(
		setxattr("a", "system.posix_acl_access", acl, sizeof(acl), 0),
		EOPNOTSUPP);
	CHECK_ERRNO(getxattr("a", "system.posix_acl_access", buf, sizeof(buf)),
		    EOPNOTSUPP);
	CHECK_ERRNO(setxattr("a", "nonsense.k", "v", 1, 0), EOPNOTSUPP);
}

static int try_trusted(void)
{
	char buf[64];

	if (setxattr("a", "trusted.k", "v", 1, 0) == 0 || errno != EPERM)
		return 1;
	if (getxattr("a", "trusted.k", buf, sizeof(buf)) >= 0 ||
	    errno != ENODATA)
		return 2;
	if (setxattr("a", "security.k", "v", 1, 0) == 0 || errno != EPERM)
		return 3;
	return listxattr("a", buf, sizeof(buf)) == 0 ? 0 : 4;
}

static void xattr__trusted_and_security_are_roots(void **state)
{
	char buf[64];

	(void)state;
	fs_put("a", "x");
	CHECK_SYS(chmod("a", 0666));
	CHECK_SYS(setxattr("a", "trusted.k", "v", 1, 0));
	CHECK_INT(getxattr("a", "trusted.k", buf, sizeof(buf)), 1);
	CHECK_INT(listxattr("a", buf, sizeof(buf)), 10);
	CHECK_INT(fs_as(1002, 1002, try_trusted), 0);
}

static int write_it(void)
{
	int fd = open("a", O_WRONLY);

	return fd >= 0 && write(fd, "y", 1) == 1 ? 0 : errno;
}

static void xattr__capabilities_are_cleared_by_a_write(void **state)
{
	const struct vfs_cap_data caps = {
		.magic_etc = VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE,
		.data[0].permitted = 1 << CAP_NET_BIND_SERVICE,
	};
	char buf[64];

	(void)state;
	fs_put("a", "x");
	CHECK_SYS(chmod("a", 0777));
	CHECK_SYS(setxattr("a", "security.capability", &caps, sizeof(caps), 0));
	CHECK(getxattr("a", "security.capability", buf, sizeof(buf)) > 0);
	CHECK_INT(fs_as(1002, 1002, write_it), 0);
	CHECK_ERRNO(getxattr("a", "security.capability", buf, sizeof(buf)),
		    ENODATA);
	/* and again, after the file was known to have none */
	CHECK_SYS(setxattr("a", "security.capability", &caps, sizeof(caps), 0));
	CHECK_INT(fs_as(1002, 1002, write_it), 0);
	CHECK_ERRNO(getxattr("a", "security.capability", buf, sizeof(buf)),
		    ENODATA);
}

/* -- locks ---------------------------------------------------------------- */

static int try_flock(void)
{
	int fd = open("a", O_RDWR);

	return flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

static void lock__flock_excludes(void **state)
{
	int fd;

	(void)state;
	fs_put("a", "x");
	CHECK_SYS(chmod("a", 0666));
	fd = open("a", O_RDWR);
	CHECK_SYS(flock(fd, LOCK_EX));
	CHECK_INT(fs_as(1002, 1002, try_flock), EWOULDBLOCK);
	CHECK_SYS(flock(fd, LOCK_UN));
	CHECK_INT(fs_as(1002, 1002, try_flock), 0);
	close(fd);
}

static int try_fcntl(void)
{
	struct flock l = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};
	int fd = open("a", O_RDWR);

	return fcntl(fd, F_SETLK, &l) == 0 ? 0 : errno;
}

static void lock__fcntl_excludes_a_range(void **state)
{
	struct flock l = {.l_type = F_WRLCK, .l_start = 15, .l_len = 1};
	int fd;

	(void)state;
	fs_put("a", "0123456789012345678901234567890");
	CHECK_SYS(chmod("a", 0666));
	fd = open("a", O_RDWR);
	CHECK_SYS(fcntl(fd, F_SETLK, &l));
	CHECK_INT(fs_as(1002, 1002, try_fcntl), EAGAIN);
	l.l_start = 25;
	l.l_type = F_WRLCK;
	CHECK_SYS(fcntl(fd, F_SETLK, &l));
	l.l_start = 15;
	l.l_type = F_UNLCK;
	CHECK_SYS(fcntl(fd, F_SETLK, &l));
	CHECK_INT(fs_as(1002, 1002, try_fcntl), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(xattr__set_get_list_remove),
		FS_TEST(xattr__works_on_directories),
		FS_TEST(xattr__values_may_be_large),
		FS_TEST(xattr__acls_are_refused),
		FS_TEST(xattr__trusted_and_security_are_roots),
		FS_TEST(xattr__capabilities_are_cleared_by_a_write),
		FS_TEST(lock__flock_excludes),
		FS_TEST(lock__fcntl_excludes_a_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
