/* SPDX-License-Identifier: Apache-2.0 */
/* conform_owner.c - chmod, chown, sticky directories, who may do what */
#include "tests/fs/fs_test.h"

#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#define OTHER  4001 /* neither owner nor in a group */
#define MEMBER 4002
#define GROUP  4003

static unsigned mode_of(const char *name)
{
	return fs_lstat(name).st_mode & 07777;
}

/* -- chmod ---------------------------------------------------------------- */

static void chmod__sets_every_bit(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(mkdir("d", 0755));
	for (unsigned bit = 0; bit < 12; bit++) {
		CHECK_SYS(chmod("f", 1u << bit));
		CHECK_UINT(mode_of("f"), 1u << bit);
		CHECK_SYS(chmod("d", 1u << bit));
		CHECK_UINT(mode_of("d"), 1u << bit);
	}
	CHECK_SYS(chmod("f", 07777));
	CHECK_UINT(mode_of("f"), 07777);
	CHECK_SYS(chmod("f", 0100644)); /* type bits are ignored */
	CHECK_UINT(mode_of("f"), 0644);
	CHECK_SYS(chmod("d", 0755));
}

static void chmod__follows_a_link(void **state)
{
	(void)state;
	fs_put("f", "x");
	CHECK_SYS(symlink("f", "l"));
	CHECK_SYS(chmod("l", 0600));
	CHECK_UINT(mode_of("f"), 0600);
	CHECK_SYS(fchmodat(AT_FDCWD, "l", 0640, 0));
	CHECK_UINT(mode_of("f"), 0640);
}

static void chmod__works_on_each_kind(void **state)
{
	(void)state;
	CHECK_SYS(mkfifo("p", 0644));
	CHECK_SYS(mknod("s", S_IFSOCK | 0644, 0));
	CHECK_SYS(chmod("p", 0622));
	CHECK_SYS(chmod("s", 0711));
	CHECK_UINT(mode_of("p"), 0622);
	CHECK_UINT(mode_of("s"), 0711);
}

static int child_chmod_is_refused(void)
{
	int fd = open("f", O_RDONLY);

	MUST_ERRNO(chmod("f", 0777), EPERM);
	MUST_ERRNO(chmod("d", 0777), EPERM);
	MUST_ERRNO(fchmod(fd, 0777), EPERM);
	MUST_ERRNO(chown("f", geteuid(), (gid_t)-1), EPERM);
	MUST_ERRNO(fchown(fd, (uid_t)-1, getegid()), EPERM);
	MUST_ERRNO(lchown("l", geteuid(), getegid()), EPERM);
	return 0;
}

static void chmod__and_chown_are_the_owners(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(mkdir("d", 0777));
	CHECK_SYS(symlink("f", "l"));
	CHECK_SYS(chmod("f", 0666));
	CHECK_INT(fs_child(child_chmod_is_refused), 0);
	CHECK_UINT(mode_of("f"), 0666);
}

static int child_sets_setgid(void)
{
	MUST(chmod("f", 02755) == 0);
	MUST(chmod("d", 02755) == 0);
	return 0;
}

static void chmod__setgid_needs_membership_of_the_group(void **state)
{
	const gid_t groups[] = {GROUP};

	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(chown("f", OTHER, GROUP));
	CHECK_SYS(chown("d", OTHER, GROUP));
	/* without: the bit is dropped, which is no error */
	CHECK_INT(fs_as(OTHER, OTHER, child_sets_setgid), 0);
	CHECK_UINT(mode_of("f"), 0755);
	CHECK_UINT(mode_of("d"), 0755);
	CHECK_INT(fs_as_member(OTHER, OTHER, groups, 1, child_sets_setgid), 0);
	CHECK_UINT(mode_of("f"), 02755);
	CHECK_UINT(mode_of("d"), 02755);
}

static int child_sets_sticky(void)
{
	MUST(chmod("f", 01644) == 0);
	return 0;
}

static void chmod__sticky_bit_of_a_file_is_kept(void **state)
{
	(void)state;
	fs_put("f", "x");
	fs_give("f");
	CHECK_INT(fs_child(child_sets_sticky), 0);
	CHECK_UINT(mode_of("f"), 01644);
}

/* -- chown ---------------------------------------------------------------- */

static void chown__sets_what_is_not_minus_one(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(chown("f", 11, 22));
	CHECK_SYS(chown("f", 33, (gid_t)-1));
	CHECK_UINT(fs_lstat("f").st_uid, 33);
	CHECK_UINT(fs_lstat("f").st_gid, 22);
	CHECK_SYS(chown("f", (uid_t)-1, 44));
	CHECK_UINT(fs_lstat("f").st_uid, 33);
	CHECK_UINT(fs_lstat("f").st_gid, 44);
	CHECK_SYS(chown("f", (uid_t)-1, (gid_t)-1));
	CHECK_UINT(fs_lstat("f").st_gid, 44);
}

static void chown__ids_have_32_bits(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(chown("f", 4294967294u, 4294967294u));
	CHECK_UINT(fs_lstat("f").st_uid, 4294967294u);
	CHECK_UINT(fs_lstat("f").st_gid, 4294967294u);
	CHECK_SYS(chown("f", 65536, 70000));
	CHECK_UINT(fs_lstat("f").st_uid, 65536);
	CHECK_UINT(fs_lstat("f").st_gid, 70000);
}

static void chown__follows_a_link_lchown_does_not(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(symlink("f", "l"));
	CHECK_SYS(chown("l", 11, 22));
	CHECK_UINT(fs_lstat("f").st_uid, 11);
	CHECK_UINT(fs_lstat("l").st_uid, 0);
	CHECK_SYS(lchown("l", 33, 44));
	CHECK_UINT(fs_lstat("f").st_uid, 11);
	CHECK_UINT(fs_lstat("l").st_uid, 33);
}

static int child_gives_to_its_groups(void)
{
	MUST(chown("f", (uid_t)-1, GROUP) == 0);
	MUST(chown("f", OTHER, OTHER) == 0);
	MUST_ERRNO(chown("f", (uid_t)-1, GROUP + 1), EPERM);
	MUST_ERRNO(chown("f", MEMBER, (gid_t)-1), EPERM);
	return 0;
}

static void chown__owner_may_give_it_to_groups_of_his(void **state)
{
	const gid_t groups[] = {GROUP};

	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(chown("f", OTHER, OTHER));
	CHECK_INT(fs_as_member(OTHER, OTHER, groups, 1,
			       child_gives_to_its_groups),
		  0);
}

static const struct {
	mode_t before, after;
} setid_cases[] = {
	{06777, 0777},	{04755, 0755}, {02755, 0755},
	{02745, 02745}, /* without group execution it means locking */
	{06645, 02645}, {0755, 0755},  {01755, 01755},
};
#define NR_SETID (sizeof(setid_cases) / sizeof(setid_cases[0]))

static void chown__clears_setuid_and_setgid_of_files(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	for (size_t i = 0; i < NR_SETID; i++) {
		CHECK_SYS(chmod("f", setid_cases[i].before));
		CHECK_SYS(chown("f", 1, 1));
		CHECK_UINT(mode_of("f"), setid_cases[i].after);
		CHECK_SYS(chmod("f", setid_cases[i].before));
		CHECK_SYS(chown("f", (uid_t)-1, 2));
		CHECK_UINT(mode_of("f"), setid_cases[i].after);
	}
}

static void chown__keeps_setgid_of_directories(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(chmod("d", 06755));
	CHECK_SYS(chown("d", 1, 1));
	CHECK_UINT(mode_of("d"), 06755);
}

static int child_changes_group(void)
{
	MUST(chown("f", (uid_t)-1, GROUP) == 0);
	return 0;
}

static void chown__by_the_owner_clears_them_too(void **state)
{
	const gid_t groups[] = {GROUP};

	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(chown("f", OTHER, OTHER));
	CHECK_SYS(chmod("f", 06775));
	CHECK_INT(fs_as_member(OTHER, OTHER, groups, 1, child_changes_group),
		  0);
	CHECK_UINT(mode_of("f"), 0775);
}

/* VFS_CAP_REVISION_2, cap_net_raw permitted */
static const unsigned char cap[20] = {0, 0, 0, 2, 0, 0x20};

static bool has_cap(const char *name)
{
	unsigned char got[32];

	return getxattr(name, "security.capability", got, sizeof(got)) > 0;
}

static int do_cap_write(void)
{
	int fd = open("f", O_WRONLY);
	int rc = write(fd, "x", 1) == 1 ? 0 : -1;

	close(fd);
	return rc;
}
static int do_cap_truncate(void)
{
	return truncate("f", 1);
}
static int do_cap_open_trunc(void)
{
	return close(open("f", O_WRONLY | O_TRUNC));
}
static int do_cap_chown(void)
{
	return chown("f", 1, 1);
}
static int do_cap_fallocate(void)
{
	int fd = open("f", O_WRONLY);
	int rc = fallocate(fd, 0, 0, 100);

	close(fd);
	return rc;
}

static void capability__is_cleared_by_what_changes_the_file(void **state)
{
	static int (*const changes[])(void) = {
		do_cap_write, do_cap_truncate,	do_cap_open_trunc,
		do_cap_chown, do_cap_fallocate,
	};

	(void)state;
	FS_ROOT_ONLY();
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		fs_put("f", "content");
		CHECK_SYS(chmod("f", 0755));
		CHECK_SYS(setxattr("f", "security.capability", cap, sizeof(cap),
				   0));
		CHECK(has_cap("f"));
		CHECK_SYS(changes[i]());
		CHECK(!has_cap("f"));
		CHECK_SYS(unlink("f"));
	}
}

static void capability__is_kept_by_chmod_and_rename(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(setxattr("f", "security.capability", cap, sizeof(cap), 0));
	CHECK_SYS(chmod("f", 0700));
	CHECK_SYS(rename("f", "g"));
	CHECK(has_cap("g"));
}

/* -- who may ---------------------------------------------------------------- */

static int child_rights; /* R_OK and so on that it must have on "f" */

static int child_checks_access(void)
{
	static const struct {
		int right, flags;
	} opens[] = {{R_OK, O_RDONLY}, {W_OK, O_WRONLY}};

	for (int r = 1; r < 8; r++)
		MUST((access("f", r) == 0) == ((child_rights & r) == r));
	for (int i = 0; i < 2; i++) {
		int fd = open("f", opens[i].flags);

		MUST((fd >= 0) == !!(child_rights & opens[i].right));
		MUST(fd >= 0 || errno == EACCES);
	}
	return 0;
}

static void access__follows_owner_group_and_others(void **state)
{
	const gid_t groups[] = {7, GROUP, 8};

	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(chown("f", OTHER, GROUP));
	for (unsigned mode = 0; mode < 01000; mode += 037) {
		CHECK_SYS(chmod("f", mode));
		child_rights = (int)(mode >> 6);
		CHECK_INT(fs_as(OTHER, GROUP, child_checks_access), 0);
		child_rights = (int)(mode >> 3 & 7);
		CHECK_INT(fs_as(MEMBER, GROUP, child_checks_access), 0);
		CHECK_INT(fs_as_member(MEMBER, MEMBER, groups, 3,
				       child_checks_access),
			  0);
		child_rights = (int)(mode & 7);
		CHECK_INT(fs_as(MEMBER, MEMBER, child_checks_access), 0);
	}
}

static int child_lists_but_cannot_enter(void)
{
	CHECK_INT(fs_count("d"), 1);
	MUST_ERRNO(access("d/f", F_OK), EACCES);
	MUST_ERRNO(chdir("d"), EACCES);
	return 0;
}

static int child_enters_but_cannot_list(void)
{
	MUST(access("d/f", F_OK) == 0);
	MUST_ERRNO(open("d", O_RDONLY), EACCES);
	MUST_ERRNO(unlink("d/f"), EACCES);
	return 0;
}

static void access__of_directories_is_list_and_search(void **state)
{
	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	fs_put("d/f", "x");
	fs_give("d");
	CHECK_SYS(chmod("d", 0444));
	CHECK_INT(fs_child(child_lists_but_cannot_enter), 0);
	CHECK_SYS(chmod("d", 0111));
	CHECK_INT(fs_child(child_enters_but_cannot_list), 0);
	CHECK_SYS(chmod("d", 0755));
}

static int child_truncate_is_refused(void)
{
	MUST_ERRNO(truncate("f", 0), EACCES);
	MUST_ERRNO(open("f", O_RDONLY | O_TRUNC), EACCES);
	MUST_ERRNO(open("f", O_WRONLY | O_CREAT, 0666), EACCES);
	return 0;
}

static void access__truncating_is_writing(void **state)
{
	(void)state;
	fs_put("f", "x");
	fs_give("f");
	CHECK_SYS(chmod("f", 0444));
	CHECK_INT(fs_child(child_truncate_is_refused), 0);
	CHECK_INT(fs_lstat("f").st_size, 1);
}

/* -- sticky directories --------------------------------------------------- */

static int child_sticky(void)
{
	MUST_ERRNO(unlink("s/others"), EPERM);
	MUST_ERRNO(rmdir("s/othersdir"), EPERM);
	MUST_ERRNO(rename("s/others", "s/x"), EPERM);
	MUST_ERRNO(rename("s/others", "x"), EPERM);
	MUST_ERRNO(rename("mine", "s/others"), EPERM);
	MUST_ERRNO(renameat2(AT_FDCWD, "mine", AT_FDCWD, "s/others",
			     RENAME_EXCHANGE),
		   EPERM);
	MUST(rename("s/mine", "s/mine2") == 0);
	MUST(unlink("s/mine2") == 0);
	MUST(rmdir("s/minedir") == 0);
	return 0;
}

static void sticky__protects_from_all_but_the_owners(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	CHECK_SYS(chmod(".", 0777));
	CHECK_SYS(mkdir("s", 0755));
	fs_put("s/others", "x");
	CHECK_SYS(mkdir("s/othersdir", 0777));
	fs_put("s/mine", "x");
	CHECK_SYS(mkdir("s/minedir", 0755));
	fs_put("mine", "x");
	fs_give("s/mine");
	fs_give("s/minedir");
	fs_give("mine");
	CHECK_SYS(chmod("s", 01777));
	CHECK_INT(fs_child(child_sticky), 0);
}

static int child_owns_sticky(void)
{
	MUST(unlink("s/others") == 0);
	MUST(rename("s/others2", "s/others3") == 0);
	return 0;
}

static void sticky__directorys_owner_may_remove_all(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	CHECK_SYS(mkdir("s", 0755));
	fs_put("s/others", "x");
	fs_put("s/others2", "x");
	fs_give("s");
	CHECK_SYS(chmod("s", 01755));
	CHECK_INT(fs_child(child_owns_sticky), 0);
}

/* -- what a write clears --------------------------------------------------- */

static int child_writes(void)
{
	int fd = open("f", O_WRONLY);

	MUST(fd >= 0);
	MUST(write(fd, "y", 1) == 1);
	close(fd);
	return 0;
}

static int child_writes_mapped(void)
{
	int fd = open("f", O_RDWR);
	char *p = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	MUST(p != MAP_FAILED);
	p[0] = 'z';
	MUST(msync(p, 1, MS_SYNC) == 0);
	MUST(munmap(p, 1) == 0);
	/* the mapping clears nothing, on no file system; a write does */
	MUST(pwrite(fd, "y", 1, 0) == 1);
	close(fd);
	return 0;
}

static void write__by_another_clears_setuid_and_setgid(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	for (int i = 0; i < 2; i++) {
		CHECK_SYS(chmod("f", 06777));
		CHECK_INT(fs_child(i ? child_writes_mapped : child_writes), 0);
		CHECK_UINT(mode_of("f"), 0777);
	}
}

static void write__by_root_keeps_them(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	CHECK_SYS(chmod("f", 06777));
	CHECK_INT(child_writes(), 0);
	CHECK_UINT(mode_of("f"), 06777);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(chmod__sets_every_bit),
		FS_TEST(chmod__follows_a_link),
		FS_TEST(chmod__works_on_each_kind),
		FS_TEST(chmod__and_chown_are_the_owners),
		FS_TEST(chmod__setgid_needs_membership_of_the_group),
		FS_TEST(chmod__sticky_bit_of_a_file_is_kept),
		FS_TEST(chown__sets_what_is_not_minus_one),
		FS_TEST(chown__ids_have_32_bits),
		FS_TEST(chown__follows_a_link_lchown_does_not),
		FS_TEST(chown__owner_may_give_it_to_groups_of_his),
		FS_TEST(chown__clears_setuid_and_setgid_of_files),
		FS_TEST(chown__keeps_setgid_of_directories),
		FS_TEST(chown__by_the_owner_clears_them_too),
		FS_TEST(capability__is_cleared_by_what_changes_the_file),
		FS_TEST(capability__is_kept_by_chmod_and_rename),
		FS_TEST(access__follows_owner_group_and_others),
		FS_TEST(access__of_directories_is_list_and_search),
		FS_TEST(access__truncating_is_writing),
		FS_TEST(sticky__protects_from_all_but_the_owners),
		FS_TEST(sticky__directorys_owner_may_remove_all),
		FS_TEST(write__by_another_clears_setuid_and_setgid),
		FS_TEST(write__by_root_keeps_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
