/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>

#include "store/format.h"
#include "tests/lib/file_pool.h"

static struct file_pool fp;

static int setup(void **state)
{
	(void)state;
	file_pool_init(&fp, 128, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	file_pool_release(&fp);
	return 0;
}

static int rename_to(uint64_t old_dir, const char *old, uint64_t new_dir,
		     const char *new, unsigned flags)
{
	return file_rename(fp.ds, old_dir, old, strlen(old), new_dir, new,
			   strlen(new), flags, NULL);
}

static void create__what_was_asked_for_is_there_after_reopen(void **state)
{
	const struct file_new n = {
		.mode = S_IFCHR | 0640,
		.uid = 1,
		.gid = 2,
		.rdev_major = 3,
		.rdev_minor = 4,
	};
	struct file_attr a, b;

	(void)state;
	CHECK_OK(file_create(fp.ds, INO_ROOT, "tty", 3, &n, &a));
	CHECK_UINT(a.nlink, 1);
	CHECK_INT(file_create(fp.ds, INO_ROOT, "tty", 3, &n, &b), -EEXIST);
	CHECK_INT(file_create(fp.ds, a.ino, "x", 1, &n, &b), -ENOTDIR);
	CHECK_INT(file_create(fp.ds, 999, "x", 1, &n, &b), -ENOENT);
	CHECK_INT(file_create(fp.ds, INO_ROOT, "a/b", 3, &n, &b), -EINVAL);
	CHECK_INT(file_create(fp.ds, INO_ROOT, "..", 2, &n, &b), -EEXIST);
	file_pool_reopen(&fp, false);
	CHECK_OK(file_lookup(fp.ds, INO_ROOT, "tty", 3, &b));
	CHECK_UINT(b.ino, a.ino);
	CHECK_UINT(b.uid, 1);
	CHECK_UINT(b.gid, 2);
	CHECK_INT(b.btime.tv_sec, a.btime.tv_sec);
	CHECK_INT(b.btime.tv_nsec, a.btime.tv_nsec);
	CHECK_UINT(b.rdev_major, 3);
	CHECK_UINT(b.rdev_minor, 4);
	CHECK_UINT(b.mode, S_IFCHR | 0640);
}

static void create__names_have_1_to_255_bytes(void **state)
{
	const struct file_new n = {.mode = S_IFREG | 0600};
	struct file_attr attr;
	char name[300];

	(void)state;
	memset(name, 'n', sizeof(name));
	CHECK_OK(file_create(fp.ds, INO_ROOT, name, 255, &n, &attr));
	CHECK_INT(file_create(fp.ds, INO_ROOT, name, 256, &n, &attr),
		  -ENAMETOOLONG);
	CHECK_INT(file_create(fp.ds, INO_ROOT, name, 0, &n, &attr), -EINVAL);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, name, 255, NULL));
}

static void mkdir__counts_links_and_knows_its_parent(void **state)
{
	uint64_t d = make_dir(fp.ds, INO_ROOT, "d");
	uint64_t e = make_dir(fp.ds, d, "e");
	struct file_attr attr;

	(void)state;
	CHECK_UINT(attr_of(fp.ds, INO_ROOT).nlink, 3);
	CHECK_UINT(attr_of(fp.ds, d).nlink, 3);
	CHECK_OK(file_lookup(fp.ds, e, "..", 2, &attr));
	CHECK_UINT(attr.ino, d);
	CHECK_INT(file_rmdir(fp.ds, INO_ROOT, "d", 1, NULL), -ENOTEMPTY);
	CHECK_INT(file_unlink(fp.ds, INO_ROOT, "d", 1, NULL), -EISDIR);
	CHECK_OK(file_rmdir(fp.ds, d, "e", 1, NULL));
	CHECK_OK(file_rmdir(fp.ds, INO_ROOT, "d", 1, NULL));
	CHECK_UINT(attr_of(fp.ds, INO_ROOT).nlink, 2);
	CHECK_INT(file_getattr(fp.ds, e, &attr), -ENOENT);
	CHECK_UINT(info_of(fp.ds).nr_inodes, 1);
}

static void rmdir__of_a_file_and_unlink_of_nothing_fail(void **state)
{
	(void)state;
	make_file(fp.ds, INO_ROOT, "f");
	CHECK_INT(file_rmdir(fp.ds, INO_ROOT, "f", 1, NULL), -ENOTDIR);
	CHECK_INT(file_unlink(fp.ds, INO_ROOT, "g", 1, NULL), -ENOENT);
}

static void link__counts_and_the_last_unlink_frees(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f"), gone;
	uint64_t d = make_dir(fp.ds, INO_ROOT, "d");
	struct file_attr attr;

	(void)state;
	CHECK_OK(file_link(fp.ds, f, d, "g", 1, &attr));
	CHECK_UINT(attr.nlink, 2);
	CHECK_INT(file_link(fp.ds, f, d, "g", 1, &attr), -EEXIST);
	CHECK_INT(file_link(fp.ds, d, INO_ROOT, "h", 1, &attr), -EPERM);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "f", 1, &gone));
	CHECK_UINT(gone, f);
	CHECK_UINT(attr_of(fp.ds, f).nlink, 1);
	CHECK_UINT(find_name(fp.ds, d, "g"), f);
	CHECK_OK(file_unlink(fp.ds, d, "g", 1, &gone));
	CHECK_INT(file_getattr(fp.ds, f, &attr), -ENOENT);
}

static void symlink__targets_up_to_4095_bytes_read_back(void **state)
{
	static const size_t lens[] = {1, 1023, 1024, 1025, 4095};
	char target[SYMLINK_MAX + 2], got[SYMLINK_MAX + 1], name[] = "s0";
	struct file_new n = {.mode = S_IFLNK | 0777, .target = target};
	struct file_attr attr;

	(void)state;
	for (size_t i = 0; i < sizeof(target); i++)
		target[i] = (char)('a' + i % 26);
	target[SYMLINK_MAX + 1] = 0;
	CHECK_INT(file_create(fp.ds, INO_ROOT, "s", 1, &n, &attr),
		  -ENAMETOOLONG);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		char end = target[lens[i]];

		target[lens[i]] = 0;
		name[1] = (char)('0' + i);
		CHECK_OK(file_create(fp.ds, INO_ROOT, name, 2, &n, &attr));
		CHECK_UINT(attr.size, lens[i]);
		CHECK_OK(file_readlink(fp.ds, attr.ino, got, sizeof(got)));
		CHECK_STR(got, target);
		target[lens[i]] = end;
	}
	CHECK_INT(file_readlink(fp.ds, INO_ROOT, got, sizeof(got)), -EINVAL);
	CHECK_OK(file_unlink(fp.ds, INO_ROOT, "s4", 2, NULL));
}

static void rename__replaces_and_frees_the_target(void **state)
{
	uint64_t a = make_file(fp.ds, INO_ROOT, "a"), replaced;
	uint64_t b = make_file(fp.ds, INO_ROOT, "b");
	struct file_attr attr;

	(void)state;
	write_at(fp.ds, b, 0, "target", 6);
	CHECK_OK(file_rename(fp.ds, INO_ROOT, "a", 1, INO_ROOT, "b", 1, 0,
			     &replaced));
	CHECK_UINT(replaced, b);
	CHECK_UINT(find_name(fp.ds, INO_ROOT, "a"), 0);
	CHECK_UINT(find_name(fp.ds, INO_ROOT, "b"), a);
	CHECK_INT(file_getattr(fp.ds, b, &attr), -ENOENT);
	CHECK_UINT(info_of(fp.ds).nr_inodes, 2);
}

static void rename__obeys_noreplace_and_exchange(void **state)
{
	uint64_t d = make_dir(fp.ds, INO_ROOT, "d");
	uint64_t e = make_dir(fp.ds, d, "e");
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	struct file_attr attr;

	(void)state;
	CHECK_INT(rename_to(d, "e", INO_ROOT, "f", RENAME_NOREPLACE), -EEXIST);
	CHECK_OK(rename_to(d, "e", INO_ROOT, "f", RENAME_EXCHANGE));
	CHECK_UINT(find_name(fp.ds, d, "e"), f);
	CHECK_UINT(find_name(fp.ds, INO_ROOT, "f"), e);
	CHECK_UINT(attr_of(fp.ds, INO_ROOT).nlink, 4);
	CHECK_UINT(attr_of(fp.ds, d).nlink, 2);
	CHECK_OK(file_lookup(fp.ds, e, "..", 2, &attr));
	CHECK_UINT(attr.ino, INO_ROOT);
	CHECK_INT(rename_to(d, "x", INO_ROOT, "f", RENAME_EXCHANGE), -ENOENT);
	CHECK_INT(rename_to(d, "e", INO_ROOT, "y", RENAME_EXCHANGE), -ENOENT);
	CHECK_INT(rename_to(d, "e", INO_ROOT, "f", 8), -EINVAL);
	CHECK_OK(rename_to(d, "e", INO_ROOT, "z", RENAME_NOREPLACE));
}

static void rename__a_directory_into_its_own_subtree_fails(void **state)
{
	uint64_t a = make_dir(fp.ds, INO_ROOT, "a");
	uint64_t b = make_dir(fp.ds, a, "b");
	uint64_t c = make_dir(fp.ds, b, "c");

	(void)state;
	CHECK_INT(rename_to(INO_ROOT, "a", c, "x", 0), -EINVAL);
	CHECK_INT(rename_to(INO_ROOT, "a", a, "x", 0), -EINVAL);
	CHECK_INT(rename_to(INO_ROOT, "a", b, "c", RENAME_EXCHANGE), -EINVAL);
	CHECK_INT(rename_to(b, "c", INO_ROOT, "a", RENAME_EXCHANGE), -EINVAL);
	CHECK_INT(rename_to(b, "c", INO_ROOT, "a", 0), -ENOTEMPTY);
	CHECK_INT(rename_to(b, "c", a, "b", 0), -ENOTEMPTY);
	CHECK_OK(rename_to(b, "c", INO_ROOT, "c", 0));
	CHECK_OK(rename_to(INO_ROOT, "a", c, "a", 0));
	CHECK_UINT(attr_of(fp.ds, c).nlink, 3);
	CHECK_UINT(attr_of(fp.ds, INO_ROOT).nlink, 3);
}

static void rename__types_must_fit_and_one_inode_is_left_alone(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	uint64_t d = make_dir(fp.ds, INO_ROOT, "d");
	struct file_attr attr;

	(void)state;
	CHECK_INT(rename_to(INO_ROOT, "f", INO_ROOT, "d", 0), -EISDIR);
	CHECK_INT(rename_to(INO_ROOT, "d", INO_ROOT, "f", 0), -ENOTDIR);
	CHECK_OK(file_link(fp.ds, f, d, "g", 1, &attr));
	CHECK_OK(rename_to(INO_ROOT, "f", d, "g", 0));
	CHECK_UINT(find_name(fp.ds, INO_ROOT, "f"), f);
	CHECK_UINT(find_name(fp.ds, d, "g"), f);
	CHECK_OK(rename_to(INO_ROOT, "f", INO_ROOT, "f", 0));
	CHECK_OK(rename_to(INO_ROOT, "f", INO_ROOT, "f2", 0));
	CHECK_OK(rename_to(INO_ROOT, "f2", d, "h", 0));
	CHECK_UINT(attr_of(fp.ds, f).nlink, 2);
}

#define MANY 3000u

struct listing {
	unsigned nr, nr_dots, stop_after;
	uint64_t last;
	uint8_t seen[MANY];
	uint64_t cookie[MANY];
};

static int list_one(void *arg, const char *name, size_t len,
		    const struct file_attr *attr, uint64_t cookie)
{
	struct listing *l = arg;
	char copy[256];
	unsigned i;

	MUST(cookie > l->last);
	l->last = cookie;
	memcpy(copy, name, len);
	copy[len] = 0;
	if (copy[0] == '.') {
		l->nr_dots++;
		MUST(cookie == len && S_ISDIR(attr->mode));
	} else {
		MUST(sscanf(copy, "file-%u", &i) == 1 && i < MANY);
		MUST(l->seen[i] == 0 && S_ISREG(attr->mode));
		MUST(l->cookie[i] == 0 || l->cookie[i] == cookie);
		l->seen[i] = 1;
		l->cookie[i] = cookie;
	}
	return ++l->nr == l->stop_after;
}

static void readdir__sees_each_entry_once_while_others_go(void **state)
{
	static struct listing l;
	uint64_t d = make_dir(fp.ds, INO_ROOT, "d");
	char name[32];

	(void)state;
	memset(&l, 0, sizeof(l));
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "file-%u", i);
		make_file(fp.ds, d, name);
	}
	file_pool_reopen(&fp, false);
	CHECK_OK(file_readdir(fp.ds, d, 0, false, list_one, &l));
	CHECK_UINT(l.nr, MANY + 2);
	CHECK_UINT(l.nr_dots, 2);
	/* in two halves, with names going in between; cookies stay */
	memset(l.seen, 0, sizeof(l.seen));
	l.nr = l.nr_dots = 0;
	l.last = 0;
	l.stop_after = 1000;
	CHECK_OK(file_readdir(fp.ds, d, 0, true, list_one, &l));
	CHECK_UINT(l.nr, 1000);
	for (unsigned i = 0; i < MANY; i += 2) {
		snprintf(name, sizeof(name), "file-%u", i);
		CHECK_OK(file_unlink(fp.ds, d, name, strlen(name), NULL));
	}
	l.stop_after = 0;
	CHECK_OK(file_readdir(fp.ds, d, l.last, true, list_one, &l));
	for (unsigned i = 1; i < MANY; i += 2)
		CHECK_UINT(l.seen[i], 1);
	CHECK_INT(file_rmdir(fp.ds, INO_ROOT, "d", 1, NULL), -ENOTEMPTY);
	for (unsigned i = 1; i < MANY; i += 2) {
		snprintf(name, sizeof(name), "file-%u", i);
		CHECK_OK(file_unlink(fp.ds, d, name, strlen(name), NULL));
	}
	CHECK_OK(file_rmdir(fp.ds, INO_ROOT, "d", 1, NULL));
	CHECK_UINT(info_of(fp.ds).nr_inodes, 1);
}

static void setattr__changes_what_the_mask_names_only(void **state)
{
	uint64_t f = make_file(fp.ds, INO_ROOT, "f");
	struct file_attr before = attr_of(fp.ds, f), out;
	struct file_attr want = {
		.mode = S_IFDIR | 04711,
		.uid = 100,
		.gid = 200,
		.atime = {.tv_sec = -5, .tv_nsec = 999999999},
		.ctime = {.tv_sec = 7},
	};

	(void)state;
	CHECK_OK(file_setattr(fp.ds, f,
			      FILE_SET_MODE | FILE_SET_UID | FILE_SET_ATIME |
				      FILE_SET_CTIME,
			      &want, &out));
	CHECK_UINT(out.mode, S_IFREG | 04711);
	CHECK_UINT(out.uid, 100);
	CHECK_UINT(out.gid, before.gid);
	CHECK_INT(out.atime.tv_sec, -5);
	CHECK_INT(out.atime.tv_nsec, 999999999);
	CHECK_INT(out.mtime.tv_nsec, before.mtime.tv_nsec);
	CHECK_INT(out.ctime.tv_sec, 7);
	CHECK_OK(file_setattr(fp.ds, f, FILE_KILL_PRIV, &want, &out));
	CHECK_UINT(out.mode, S_IFREG | 0711);
	want.atime.tv_nsec = 1000000000;
	CHECK_INT(file_setattr(fp.ds, f, FILE_SET_ATIME, &want, &out), -EINVAL);
	CHECK_INT(file_setattr(fp.ds, 5555, FILE_SET_UID, &want, &out),
		  -ENOENT);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(create__what_was_asked_for_is_there_after_reopen),
		T(create__names_have_1_to_255_bytes),
		T(mkdir__counts_links_and_knows_its_parent),
		T(rmdir__of_a_file_and_unlink_of_nothing_fail),
		T(link__counts_and_the_last_unlink_frees),
		T(symlink__targets_up_to_4095_bytes_read_back),
		T(rename__replaces_and_frees_the_target),
		T(rename__obeys_noreplace_and_exchange),
		T(rename__a_directory_into_its_own_subtree_fails),
		T(rename__types_must_fit_and_one_inode_is_left_alone),
		T(readdir__sees_each_entry_once_while_others_go),
		T(setattr__changes_what_the_mask_names_only),
	};
#undef T
	return cmocka_run_group_tests(tests, NULL, NULL);
}
