/* SPDX-License-Identifier: Apache-2.0 */
/* conform_time.c - utimensat(2), and which call moves which time */
#include "tests/fs/fs_test.h"

#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <time.h>

/* -- which call moves which time ------------------------------------------ */

/* What moves: times of the file, of its directory, of another directory. */
enum {
	FM = 1, /* the file's mtime */
	FC = 2, /* its ctime */
	DM = 4,
	DC = 8,
	OM = 16,
	OC = 32,
	FILE_BOTH = FM | FC,
	DIR_BOTH = DM | DC,
	OTHER_BOTH = OM | OC,
};

static int fd; /* of d/f, open for reading and writing */

static int do_write(void)
{
	return write(fd, "y", 1) == 1 ? 0 : -1;
}
static int do_write_nothing(void)
{
	return (int)write(fd, "y", 0);
}
static int do_pwrite_at_the_end(void)
{
	return pwrite(fd, "y", 1, 5) == 1 ? 0 : -1;
}
static int do_truncate_shorter(void)
{
	return truncate("d/f", 1);
}
static int do_truncate_longer(void)
{
	return truncate("d/f", 10000);
}
static int do_truncate_same(void)
{
	return truncate("d/f", 5);
}
static int do_ftruncate_same(void)
{
	return ftruncate(fd, 5);
}
static int do_open_trunc(void)
{
	int n = open("d/f", O_WRONLY | O_TRUNC);

	close(n);
	return n < 0 ? -1 : 0;
}
static int do_open_trunc_empty(void)
{
	int n = open("d/empty", O_WRONLY | O_TRUNC);

	close(n);
	return n < 0 ? -1 : 0;
}
static int do_open_close(void)
{
	int n = open("d/f", O_RDWR | O_CREAT, 0644);

	close(n);
	return n < 0 ? -1 : 0;
}
static int do_create(void)
{
	int n = open("d/new", O_RDWR | O_CREAT | O_EXCL, 0644);

	close(n);
	return n < 0 ? -1 : 0;
}
static int do_fallocate(void)
{
	return fallocate(fd, 0, 0, 10000);
}
static int do_punch(void)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 2);
}
static int do_zero_range(void)
{
	return fallocate(fd, FALLOC_FL_ZERO_RANGE, 1, 2);
}
static int do_copy(void)
{
	loff_t from = 0, to = 2;

	return copy_file_range(fd, &from, fd, &to, 2, 0) == 2 ? 0 : -1;
}
static int do_chmod(void)
{
	return chmod("d/f", 0600);
}
static int do_chmod_same(void)
{
	return chmod("d/f", 0644);
}
static int do_chown_same(void)
{
	return chown("d/f", geteuid(), getegid());
}
static int do_chown_group_only(void)
{
	return chown("d/f", (uid_t)-1, getegid());
}
static int do_utimens_atime(void)
{
	struct timespec t[2] = {{5, 0}, {0, UTIME_OMIT}};

	return utimensat(AT_FDCWD, "d/f", t, 0);
}
static int do_utimens_nothing(void)
{
	struct timespec t[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};

	return utimensat(AT_FDCWD, "d/f", t, 0);
}
static int do_utimens_now(void)
{
	return utimensat(AT_FDCWD, "d/f", NULL, 0);
}
static int do_link(void)
{
	return link("d/f", "o/l");
}
static int do_unlink(void)
{
	return unlink("d/f");
}
static int do_unlink_other_name(void)
{
	return unlink("d/g");
}
static int do_rename_here(void)
{
	return rename("d/f", "d/new");
}
static int do_rename_there(void)
{
	return rename("d/f", "o/new");
}
static int do_rename_exchange(void)
{
	return renameat2(AT_FDCWD, "d/f", AT_FDCWD, "o/there", RENAME_EXCHANGE);
}
static int do_rename_over(void)
{
	return rename("d/empty", "d/f");
}
static int do_mkdir(void)
{
	return mkdir("d/new", 0755);
}
static int do_rmdir(void)
{
	return rmdir("d/sub");
}
static int do_symlink(void)
{
	return symlink("x", "d/new");
}
static int do_mkfifo(void)
{
	return mkfifo("d/new", 0644);
}
static int do_setxattr(void)
{
	return fsetxattr(fd, "user.a", "b", 1, 0);
}
static int do_removexattr(void)
{
	return fremovexattr(fd, "user.old");
}
static int do_getxattr(void)
{
	char c;

	return fgetxattr(fd, "user.old", &c, 1) == 1 ? 0 : -1;
}
static int do_stat(void)
{
	struct stat st;

	return stat("d/f", &st);
}
static int do_fsync(void)
{
	return fsync(fd);
}
static int do_failed_rename(void)
{
	return rename("d/f", "d/sub") < 0 ? 0 : -1;
}
static int do_failed_rmdir(void)
{
	return rmdir("d") < 0 ? 0 : -1;
}
static int do_failed_link(void)
{
	return link("d/f", "o/there") < 0 ? 0 : -1;
}
static int do_failed_mkdir(void)
{
	return mkdir("d/sub", 0755) < 0 ? 0 : -1;
}
static int do_mmap_write(void)
{
	char *p = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -1;
	p[1] = 'm';
	return msync(p, 5, MS_SYNC) || munmap(p, 5);
}

static const struct {
	const char *name;
	int (*fn)(void);
	unsigned moves;
} calls[] = {
	{"write", do_write, FILE_BOTH},
	{"write of nothing", do_write_nothing, 0},
	{"pwrite at the end", do_pwrite_at_the_end, FILE_BOTH},
	{"truncate to less", do_truncate_shorter, FILE_BOTH},
	{"truncate to more", do_truncate_longer, FILE_BOTH},
	{"truncate to the same", do_truncate_same, FILE_BOTH},
	{"ftruncate to the same", do_ftruncate_same, FILE_BOTH},
	{"open with O_TRUNC", do_open_trunc, FILE_BOTH},
	{"open of another", do_open_trunc_empty, 0},
	{"open without O_TRUNC", do_open_close, 0},
	{"create", do_create, DIR_BOTH},
	{"fallocate", do_fallocate, FILE_BOTH},
	{"punch a hole", do_punch, FILE_BOTH},
	{"zero a range", do_zero_range, FILE_BOTH},
	{"copy_file_range", do_copy, FILE_BOTH},
	{"write to a mapping", do_mmap_write, FILE_BOTH},
	{"chmod", do_chmod, FC},
	{"chmod to the same", do_chmod_same, FC},
	{"chown to the same", do_chown_same, FC},
	{"chown of the group", do_chown_group_only, FC},
	{"utimensat of atime", do_utimens_atime, FC},
	{"utimensat of nothing", do_utimens_nothing, 0},
	{"utimensat to now", do_utimens_now, FILE_BOTH},
	{"link", do_link, FC | OTHER_BOTH},
	{"unlink", do_unlink, FC | DIR_BOTH},
	{"unlink of another name", do_unlink_other_name, FC | DIR_BOTH},
	{"rename in its directory", do_rename_here, FC | DIR_BOTH},
	{"rename to another", do_rename_there, FC | DIR_BOTH | OTHER_BOTH},
	{"exchange", do_rename_exchange, FC | DIR_BOTH | OTHER_BOTH},
	{"rename over it", do_rename_over, FC | DIR_BOTH},
	{"mkdir", do_mkdir, DIR_BOTH},
	{"rmdir", do_rmdir, DIR_BOTH},
	{"symlink", do_symlink, DIR_BOTH},
	{"mkfifo", do_mkfifo, DIR_BOTH},
	{"setxattr", do_setxattr, FC},
	{"removexattr", do_removexattr, FC},
	{"getxattr", do_getxattr, 0},
	{"stat", do_stat, 0},
	{"fsync", do_fsync, 0},
	{"rename that fails", do_failed_rename, 0},
	{"rmdir that fails", do_failed_rmdir, 0},
	{"link that fails", do_failed_link, 0},
	{"mkdir that fails", do_failed_mkdir, 0},
};
#define NR_CALLS (sizeof(calls) / sizeof(calls[0]))

static void make_things(void)
{
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(mkdir("d/sub", 0755));
	CHECK_SYS(mkdir("o", 0755));
	fs_put("o/there", "x");
	fs_put("d/empty", "");
	fs_put("d/f", "01234");
	CHECK_SYS(link("d/f", "d/g"));
	fd = open("d/f", O_RDWR);
	CHECK(fd >= 0);
	CHECK_SYS(fsetxattr(fd, "user.old", "o", 1, 0));
}

static void remove_things(void)
{
	static const char *const names[] = {
		"d/f", "d/g", "d/empty", "d/new",   "d/sub",
		"d",   "o/l", "o/new",	 "o/there", "o",
	};

	close(fd);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		remove(names[i]);
}

struct times {
	struct stat f, d, o;
};

static void take_times(struct times *t)
{
	CHECK_SYS(fstat(fd, &t->f));
	CHECK_SYS(stat("d", &t->d));
	CHECK_SYS(stat("o", &t->o));
}

static unsigned moved(const struct times *a, const struct times *b)
{
	unsigned m = 0;

	m |= fs_time_cmp(a->f.st_mtim, b->f.st_mtim) ? FM : 0;
	m |= fs_time_cmp(a->f.st_ctim, b->f.st_ctim) ? FC : 0;
	m |= fs_time_cmp(a->d.st_mtim, b->d.st_mtim) ? DM : 0;
	m |= fs_time_cmp(a->d.st_ctim, b->d.st_ctim) ? DC : 0;
	m |= fs_time_cmp(a->o.st_mtim, b->o.st_mtim) ? OM : 0;
	m |= fs_time_cmp(a->o.st_ctim, b->o.st_ctim) ? OC : 0;
	return m;
}

static void times__each_call_moves_its_own_and_no_others(void **state)
{
	int nr_wrong = 0;

	(void)state;
	for (size_t i = 0; i < NR_CALLS; i++) {
		struct times before, after;
		unsigned m;

		make_things();
		take_times(&before);
		fs_tick();
		CHECK_INT(calls[i].fn(), 0);
		take_times(&after);
		m = moved(&before, &after);
		if (m != calls[i].moves) {
			print_error("%s: moved 0x%x, want 0x%x\n",
				    calls[i].name, m, calls[i].moves);
			nr_wrong++;
		}
		remove_things();
	}
	CHECK_INT(nr_wrong, 0);
}

static void times__of_something_new_are_equal_and_its_directorys(void **state)
{
	struct stat d, f;

	(void)state;
	fs_tick();
	CHECK_SYS(mkdir("d", 0755));
	fs_tick();
	CHECK_SYS(mknod("d/f", S_IFREG | 0644, 0));
	d = fs_lstat("d");
	f = fs_lstat("d/f");
	CHECK_INT(fs_time_cmp(f.st_mtim, f.st_ctim), 0);
	CHECK_INT(fs_time_cmp(f.st_atim, f.st_ctim), 0);
	CHECK_INT(fs_time_cmp(d.st_mtim, d.st_ctim), 0);
	CHECK(fs_time_cmp(d.st_mtim, f.st_mtim) >= 0);
	CHECK(fs_time_cmp(d.st_mtim, d.st_atim) > 0);
}

static void times__rename_over_moves_the_replaced_ones_ctime(void **state)
{
	struct stat before, after;
	int n;

	(void)state;
	fs_put("a", "x");
	fs_put("b", "x");
	n = open("b", O_RDONLY);
	CHECK_SYS(fstat(n, &before));
	fs_tick();
	CHECK_SYS(rename("a", "b"));
	CHECK_SYS(fstat(n, &after));
	CHECK(fs_time_cmp(after.st_ctim, before.st_ctim) > 0);
	close(n);
}

/* -- utimensat ------------------------------------------------------------ */

static void set(const char *name, struct timespec a, struct timespec m)
{
	struct timespec t[2] = {a, m};

	CHECK_SYS(utimensat(AT_FDCWD, name, t, 0));
}

static void utimensat__keeps_nanoseconds(void **state)
{
	struct stat st;

	(void)state;
	fs_put("f", "x");
	set("f", (struct timespec){1000000000, 1},
	    (struct timespec){1100000000, 999999999});
	st = fs_lstat("f");
	CHECK_INT(st.st_atim.tv_sec, 1000000000);
	CHECK_INT(st.st_atim.tv_nsec, 1);
	CHECK_INT(st.st_mtim.tv_sec, 1100000000);
	CHECK_INT(st.st_mtim.tv_nsec, 999999999);
}

static void utimensat__keeps_years_before_1970_and_beyond_2038(void **state)
{
	static const int64_t seconds[] = {
		-1,
		-1000,
		INT32_MIN + 1,
		0,
		INT32_MAX,
		(int64_t)INT32_MAX + 1,
		UINT32_MAX,
		INT64_C(4294967296),
		INT64_C(15032385534), /* in 2446, where ext4's end */
	};

	(void)state;
	fs_put("f", "x");
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		struct timespec t = {seconds[i], 5};
		struct stat st;

		set("f", t, t);
		st = fs_lstat("f");
		CHECK_INT(st.st_mtim.tv_sec, seconds[i]);
		CHECK_INT(st.st_atim.tv_sec, seconds[i]);
		CHECK_INT(st.st_mtim.tv_nsec, 5);
	}
}

static void utimensat__omit_leaves_one_now_sets_it(void **state)
{
	struct stat st;

	(void)state;
	fs_put("f", "x");
	set("f", (struct timespec){11, 1}, (struct timespec){22, 2});
	set("f", (struct timespec){33, 3}, (struct timespec){0, UTIME_OMIT});
	st = fs_lstat("f");
	CHECK_INT(st.st_atim.tv_sec, 33);
	CHECK_INT(st.st_mtim.tv_sec, 22);
	set("f", (struct timespec){0, UTIME_OMIT}, (struct timespec){44, 4});
	st = fs_lstat("f");
	CHECK_INT(st.st_atim.tv_sec, 33);
	CHECK_INT(st.st_mtim.tv_sec, 44);
	set("f", (struct timespec){0, UTIME_NOW}, (struct timespec){55, 5});
	st = fs_lstat("f");
	CHECK(st.st_atim.tv_sec > 1000000);
	CHECK_INT(st.st_mtim.tv_sec, 55);
	set("f", (struct timespec){66, 0}, (struct timespec){0, UTIME_NOW});
	st = fs_lstat("f");
	CHECK_INT(st.st_atim.tv_sec, 66);
	CHECK(st.st_mtim.tv_sec > 1000000);
}

static void utimensat__both_now_are_one_moment(void **state)
{
	struct timespec t[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
	struct stat st;

	(void)state;
	fs_put("f", "x");
	set("f", (struct timespec){1, 0}, (struct timespec){1, 0});
	CHECK_SYS(utimensat(AT_FDCWD, "f", t, 0));
	st = fs_lstat("f");
	CHECK_INT(fs_time_cmp(st.st_atim, st.st_mtim), 0);
	CHECK_INT(fs_time_cmp(st.st_ctim, st.st_mtim), 0);
}

static void utimensat__bad_nanoseconds_are_einval(void **state)
{
	struct timespec t[2] = {{1, 1000000000}, {1, 0}};

	(void)state;
	fs_put("f", "x");
	CHECK_ERRNO(utimensat(AT_FDCWD, "f", t, 0), EINVAL);
	t[0].tv_nsec = -1;
	CHECK_ERRNO(utimensat(AT_FDCWD, "f", t, 0), EINVAL);
}

static void utimensat__works_on_all_kinds_and_descriptors(void **state)
{
	struct timespec t[2] = {{7, 7}, {8, 8}};
	int n;

	(void)state;
	CHECK_SYS(mkdir("d", 0755));
	CHECK_SYS(mkfifo("p", 0644));
	CHECK_SYS(symlink("nowhere", "l"));
	set("d", t[0], t[1]);
	set("p", t[0], t[1]);
	CHECK_SYS(utimensat(AT_FDCWD, "l", t, AT_SYMLINK_NOFOLLOW));
	CHECK_INT(fs_lstat("d").st_mtim.tv_nsec, 8);
	CHECK_INT(fs_lstat("p").st_mtim.tv_nsec, 8);
	CHECK_INT(fs_lstat("l").st_mtim.tv_nsec, 8);
	n = open("f", O_CREAT | O_RDONLY, 0644);
	CHECK_SYS(futimens(n, t));
	CHECK_INT(fs_lstat("f").st_mtim.tv_nsec, 8);
	close(n);
}

static int child_may_only_touch(void)
{
	struct timespec t[2] = {{1, 1}, {2, 2}};
	struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
	struct timespec one[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};

	MUST_ERRNO(utimensat(AT_FDCWD, "f", t, 0), EPERM);
	MUST_ERRNO(utimensat(AT_FDCWD, "f", one, 0), EPERM);
	MUST(utimensat(AT_FDCWD, "f", now, 0) == 0);
	MUST(utimensat(AT_FDCWD, "f", NULL, 0) == 0);
	MUST_ERRNO(utimensat(AT_FDCWD, "fixed", now, 0), EACCES);
	MUST_ERRNO(utimensat(AT_FDCWD, "fixed", t, 0), EPERM);
	/* nothing to do: no permission needed */
	now[0].tv_nsec = now[1].tv_nsec = UTIME_OMIT;
	MUST(utimensat(AT_FDCWD, "fixed", now, 0) == 0);
	return 0;
}

static void
utimensat__others_may_only_set_now_where_they_may_write(void **state)
{
	(void)state;
	FS_ROOT_ONLY();
	fs_put("f", "x");
	fs_put("fixed", "x");
	CHECK_SYS(chmod("f", 0666));
	CHECK_SYS(chmod("fixed", 0644));
	CHECK_INT(fs_child(child_may_only_touch), 0);
}

static void times__survive_fsync_and_reopening(void **state)
{
	int n;

	(void)state;
	fs_put("f", "x");
	set("f", (struct timespec){123, 456}, (struct timespec){789, 12});
	n = open("f", O_RDWR);
	CHECK_SYS(fsync(n));
	close(n);
	CHECK_INT(fs_lstat("f").st_mtim.tv_sec, 789);
	CHECK_INT(fs_lstat("f").st_mtim.tv_nsec, 12);
}

/* A write after utimensat() through the same descriptor moves mtime again. */
static void times__set_by_a_writer_hold_until_it_writes_again(void **state)
{
	struct timespec t[2] = {{5, 5}, {6, 6}};
	struct stat st;
	int n = open("f", O_CREAT | O_RDWR, 0644);

	(void)state;
	CHECK_INT(write(n, "x", 1), 1);
	CHECK_SYS(futimens(n, t));
	CHECK_SYS(fsync(n));
	CHECK_SYS(fstat(n, &st));
	CHECK_INT(st.st_mtim.tv_sec, 6);
	CHECK_INT(write(n, "x", 1), 1);
	CHECK_SYS(fstat(n, &st));
	CHECK(st.st_mtim.tv_sec != 6);
	close(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(times__each_call_moves_its_own_and_no_others),
		FS_TEST(times__of_something_new_are_equal_and_its_directorys),
		FS_TEST(times__rename_over_moves_the_replaced_ones_ctime),
		FS_TEST(utimensat__keeps_nanoseconds),
		FS_TEST(utimensat__keeps_years_before_1970_and_beyond_2038),
		FS_TEST(utimensat__omit_leaves_one_now_sets_it),
		FS_TEST(utimensat__both_now_are_one_moment),
		FS_TEST(utimensat__bad_nanoseconds_are_einval),
		FS_TEST(utimensat__works_on_all_kinds_and_descriptors),
		FS_TEST(utimensat__others_may_only_set_now_where_they_may_write),
		FS_TEST(times__survive_fsync_and_reopening),
		FS_TEST(times__set_by_a_writer_hold_until_it_writes_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
