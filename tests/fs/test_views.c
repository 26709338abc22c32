/* SPDX-License-Identifier: Apache-2.0 */
/* test_views.c - the top of the mount, snapshots, clones, restores */
#include "tests/fs/fs_test.h"

#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static char *in_mount(const char *path)
{
	static char buf[4][PATH_MAX];
	static unsigned i;
	int n;

	i = (i + 1) % 4;
	n = snprintf(buf[i], sizeof(buf[i]), "%s/%s", fs_mount(), path);
	CHECK(n < PATH_MAX);
	return buf[i];
}

static void command(const char *name, const char *arguments)
{
	int code = fs_command(name, arguments);

	if (code)
		print_error("%s", fs_answer());
	CHECK_INT(code, 0);
}

/* -- the top -------------------------------------------------------------- */

static void top__lists_datasets_and_cannot_be_changed(void **state)
{
	struct stat st;

	(void)state;
	CHECK(fs_lists(fs_mount(), "ds"));
	CHECK(fs_lists(fs_mount(), "other"));
	CHECK_SYS(stat(fs_mount(), &st));
	CHECK_UINT(st.st_mode, S_IFDIR | 0755);
	CHECK_UINT(st.st_uid, 0);
	CHECK_ERRNO(mkdir(in_mount("new"), 0755), EPERM);
	CHECK_ERRNO(open(in_mount("new"), O_RDWR | O_CREAT, 0644), EPERM);
	CHECK_ERRNO(symlink("x", in_mount("new")), EPERM);
	CHECK_ERRNO(rmdir(in_mount("other")), EPERM);
	CHECK_ERRNO(rename(in_mount("other"), in_mount("new")), EPERM);
	CHECK_ERRNO(chmod(fs_mount(), 0777), EPERM);
	CHECK_ERRNO(stat(in_mount("none"), &st), ENOENT);
	CHECK_ERRNO(stat(in_mount("ds@s"), &st), ENOENT);
}

/* What stat(1) asks for: the time of birth too, where there is one. */
static void virtual__statx_says_what_stat_says(void **state)
{
	const char *const paths[] = {"", "ds/.dbs", "ds/.dbs/snapshot", "ds"};
	struct statx stx;
	struct stat st;

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		const char *path = in_mount(paths[i]);

		CHECK_SYS(stat(path, &st));
		CHECK_SYS(statx(AT_FDCWD, path, AT_STATX_FORCE_SYNC,
				STATX_BASIC_STATS | STATX_BTIME, &stx));
		CHECK_UINT(stx.stx_mode, st.st_mode);
		CHECK_UINT(stx.stx_ino, st.st_ino);
		CHECK_UINT(stx.stx_nlink, st.st_nlink);
		CHECK_INT(stx.stx_mtime.tv_sec, st.st_mtime);
	}
}

static void top__created_is_seen_at_once(void **state)
{
	struct stat st;

	(void)state;
	CHECK_ERRNO(stat(in_mount("fresh"), &st), ENOENT);
	command("create", "'name':'fresh'");
	CHECK_SYS(stat(in_mount("fresh"), &st));
	CHECK(fs_lists(fs_mount(), "fresh"));
	CHECK_SYS(chdir(in_mount("fresh")));
	fs_put("a", "x");
	CHECK_SYS(chdir("/"));
	command("rm", "'names':['fresh']");
	CHECK_ERRNO(stat(in_mount("fresh"), &st), ENOENT);
	CHECK(!fs_lists(fs_mount(), "fresh"));
}

static struct timespec top_mtime(void)
{
	struct stat st;

	CHECK_SYS(stat(fs_mount(), &st));
	return st.st_mtim;
}

static bool is_later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec ||
	       (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/* The kernel keeps the top's attributes, but not past a change. */
static void top__mtime_follows_what_changes_it(void **state)
{
	struct timespec before = top_mtime(), after;

	(void)state;
	command("create", "'name':'mt'");
	after = top_mtime();
	CHECK(is_later(after, before));
	command("mv", "'from':'mt','to':'mt2'");
	before = top_mtime();
	CHECK(is_later(before, after));
	command("rm", "'names':['mt2']");
	CHECK(is_later(top_mtime(), before));
}

static void top__renamed_is_seen_at_once(void **state)
{
	struct stat st;

	(void)state;
	command("create", "'name':'one'");
	CHECK_SYS(stat(in_mount("one"), &st));
	CHECK_ERRNO(stat(in_mount("two"), &st), ENOENT);
	command("mv", "'from':'one','to':'two'");
	CHECK_ERRNO(stat(in_mount("one"), &st), ENOENT);
	CHECK_SYS(stat(in_mount("two"), &st));
	command("rm", "'names':['two']");
}

static void top__nothing_moves_between_datasets(void **state)
{
	(void)state;
	fs_put("a", "x");
	CHECK_ERRNO(rename("a", in_mount("other/a")), EXDEV);
	CHECK_ERRNO(link("a", in_mount("other/a")), EXDEV);
	CHECK_STR(fs_get("a"), "x");
}

/* -- snapshots ------------------------------------------------------------ */

static void dbs__is_there_but_never_listed(void **state)
{
	struct stat st;

	(void)state;
	CHECK_SYS(stat(in_mount("ds/.dbs"), &st));
	CHECK(S_ISDIR(st.st_mode));
	CHECK(!fs_lists(fs_dataset(), ".dbs"));
	CHECK(fs_lists(in_mount("ds/.dbs"), "snapshot"));
	CHECK_ERRNO(mkdir(in_mount("ds/.dbs"), 0755), EEXIST);
	CHECK_ERRNO(open(in_mount("ds/.dbs"), O_RDWR | O_CREAT, 0644), EISDIR);
	CHECK_ERRNO(open(in_mount("ds/.dbs"), O_RDWR | O_CREAT | O_EXCL, 0644),
		    EEXIST);
	CHECK_ERRNO(rmdir(in_mount("ds/.dbs")), EPERM);
	CHECK_ERRNO(rename(in_mount("ds/.dbs"), in_mount("ds/x")), EPERM);
	CHECK_SYS(mkdir("d", 0755));
	CHECK_ERRNO(rename("d", in_mount("ds/.dbs")), EPERM);
	CHECK_ERRNO(mkdir(in_mount("ds/.dbs/snapshot/x"), 0755), EPERM);
	CHECK_ERRNO(stat(in_mount("ds/.dbs/none"), &st), ENOENT);
	/* elsewhere it is a name like others */
	CHECK_SYS(mkdir(".dbs", 0755));
	CHECK(fs_lists(".", ".dbs"));
}

/* "PATH-OF-SNAPSHOT/own directory/name", the snapshot of 'ds'. */
static char *in_snapshot(const char *snap, const char *name)
{
	static char buf[4][PATH_MAX];
	static unsigned i;
	char cwd[PATH_MAX];

	i = (i + 1) % 4;
	CHECK(getcwd(cwd, sizeof(cwd)));
	snprintf(buf[i], sizeof(buf[i]), "%s/.dbs/snapshot/%s%s/%s",
		 fs_dataset(), snap, cwd + strlen(fs_dataset()), name);
	return buf[i];
}

static void snapshot__shows_what_was_and_is_read_only(void **state)
{
	struct stat st;

	(void)state;
	fs_put("a", "before");
	CHECK_SYS(mkdir("d", 0755));
	CHECK_ERRNO(stat(in_snapshot("s1", "a"), &st), ENOENT);
	command("snapshot", "'name':'ds@s1'");
	fs_put("a", "after");
	CHECK_STR(fs_get(in_snapshot("s1", "a")), "before");
	CHECK_STR(fs_get("a"), "after");
	CHECK(fs_lists(in_mount("ds/.dbs/snapshot"), "s1"));
	CHECK_ERRNO(open(in_snapshot("s1", "a"), O_WRONLY), EROFS);
	CHECK_ERRNO(open(in_snapshot("s1", "new"), O_WRONLY | O_CREAT, 0644),
		    EROFS);
	CHECK_ERRNO(unlink(in_snapshot("s1", "a")), EROFS);
	CHECK_ERRNO(mkdir(in_snapshot("s1", "new"), 0755), EROFS);
	CHECK_ERRNO(rmdir(in_snapshot("s1", "d")), EROFS);
	CHECK_ERRNO(chmod(in_snapshot("s1", "a"), 0600), EROFS);
	CHECK_ERRNO(truncate(in_snapshot("s1", "a"), 0), EROFS);
	CHECK_ERRNO(rename(in_snapshot("s1", "a"), in_snapshot("s1", "b")),
		    EROFS);
	CHECK_ERRNO(setxattr(in_snapshot("s1", "a"), "user.k", "v", 1, 0),
		    EROFS);
	CHECK_ERRNO(stat(in_mount("ds/.dbs/snapshot/s1/.dbs"), &st), ENOENT);
	CHECK_ERRNO(stat(in_mount("ds/.dbs/snapshot/latest"), &st), ENOENT);
	command("rm", "'names':['ds@s1']");
	CHECK_ERRNO(stat(in_mount("ds/.dbs/snapshot/s1"), &st), ENOENT);
	CHECK(!fs_lists(in_mount("ds/.dbs/snapshot"), "s1"));
}

static void snapshot__has_inode_numbers_of_its_own(void **state)
{
	struct stat live, snap;

	(void)state;
	fs_put("a", "x");
	command("snapshot", "'name':'ds@s2'");
	CHECK_SYS(stat("a", &live));
	CHECK_SYS(stat(in_snapshot("s2", "a"), &snap));
	CHECK(live.st_ino != snap.st_ino);
	command("rm", "'names':['ds@s2']");
}

static void snapshot__renamed_is_seen_at_once(void **state)
{
	struct stat st;

	(void)state;
	command("snapshot", "'name':'ds@r1'");
	CHECK_SYS(stat(in_mount("ds/.dbs/snapshot/r1"), &st));
	command("mv", "'from':'ds@r1','to':'@r2'");
	CHECK_ERRNO(stat(in_mount("ds/.dbs/snapshot/r1"), &st), ENOENT);
	CHECK_SYS(stat(in_mount("ds/.dbs/snapshot/r2"), &st));
	command("rm", "'names':['ds@r2']");
}

/* -- clones and readonly -------------------------------------------------- */

static void clone__is_seen_at_once_and_is_independent(void **state)
{
	char path[PATH_MAX], cwd[PATH_MAX];
	struct stat st;

	(void)state;
	fs_put("a", "original");
	CHECK(getcwd(cwd, sizeof(cwd)));
	CHECK_ERRNO(stat(in_mount("clone"), &st), ENOENT);
	command("clone", "'source':'ds','name':'clone'");
	CHECK_SYS(stat(in_mount("clone"), &st));
	snprintf(path, sizeof(path), "%s%s/a", in_mount("clone"),
		 cwd + strlen(fs_dataset()));
	CHECK_STR(fs_get(path), "original");
	fs_put(path, "changed");
	CHECK_STR(fs_get("a"), "original");
	CHECK_STR(fs_get(path), "changed");
	CHECK_INT(fs_command("rm", "'names':['clone']"), 0);
	CHECK_ERRNO(stat(in_mount("clone"), &st), ENOENT);
}

static void clone__with_open_files_is_removed_only_by_force(void **state)
{
	char buf[4];
	int fd;

	(void)state;
	command("create", "'name':'busy'");
	fs_put(in_mount("busy/a"), "abc");
	fd = open(in_mount("busy/a"), O_RDWR);
	CHECK_INT(fs_command("rm", "'names':['busy']"), 4);
	CHECK(strstr(fs_answer(), "1 file is open"));
	command("rm", "'names':['busy'],'force':true");
	CHECK_INT(pwrite(fd, "x", 1, 0), -1);
	CHECK_INT(errno, ESTALE);
	CHECK_INT(pread(fd, buf, 1, 0), -1);
	CHECK_INT(errno, ESTALE);
	close(fd);
}

static void readonly__property_gives_erofs(void **state)
{
	int fd;

	(void)state;
	fs_put("a", "x");
	fd = open("a", O_WRONLY);
	command("set", "'name':'ds','key':'readonly','value':'on'");
	CHECK_ERRNO(open("a", O_WRONLY), EROFS);
	CHECK_ERRNO(open("b", O_WRONLY | O_CREAT, 0644), EROFS);
	CHECK_ERRNO(pwrite(fd, "y", 1, 0), EROFS);
	CHECK_STR(fs_get("a"), "x");
	command("set", "'name':'ds','key':'readonly','value':false");
	CHECK_INT(pwrite(fd, "y", 1, 0), 1);
	close(fd);
	CHECK_STR(fs_get("a"), "y");
}

/* -- restore -------------------------------------------------------------- */

static void restore__old_handles_are_stale_and_new_ones_see_it(void **state)
{
	struct stat st;
	char buf[8];
	int fd;

	(void)state;
	command("create", "'name':'rs'");
	fs_put(in_mount("rs/a"), "first");
	command("snapshot", "'name':'rs@s'");
	fs_put(in_mount("rs/a"), "second");
	fs_put(in_mount("rs/b"), "only now");
	fd = open(in_mount("rs/a"), O_RDONLY);
	CHECK_INT(pread(fd, buf, 6, 0), 6);
	command("restore", "'source':'rs@s'");
	CHECK(strstr(fs_answer(), "rs@before-restore-"));
	CHECK_STR(fs_get(in_mount("rs/a")), "first");
	CHECK_ERRNO(stat(in_mount("rs/b"), &st), ENOENT);
	CHECK_ERRNO(pread(fd, buf, 6, 0), ESTALE);
	CHECK_ERRNO(fstat(fd, &st), ESTALE);
	close(fd);
	fs_put(in_mount("rs/a"), "third");
	command("restore", "'source':'rs@s','discard':true");
	CHECK(strstr(fs_answer(), "\"kept\":null"));
	CHECK_STR(fs_get(in_mount("rs/a")), "first");
	command("rm", "'names':['rs'],'recursive':true");
}

static void restore__open_for_writing_refuses_unless_forced(void **state)
{
	int fd;

	(void)state;
	command("create", "'name':'rw'");
	fs_put(in_mount("rw/a"), "first");
	command("snapshot", "'name':'rw@s'");
	fd = open(in_mount("rw/a"), O_WRONLY);
	CHECK_INT(fs_command("restore", "'source':'rw@s'"), 4);
	CHECK(strstr(fs_answer(), "1 file is open for writing"));
	CHECK_INT(pwrite(fd, "still", 5, 0), 5);
	command("restore", "'source':'rw@s','force':true");
	CHECK_ERRNO(pwrite(fd, "lost", 4, 0), ESTALE);
	CHECK_STR(fs_get(in_mount("rw/a")), "first");
	close(fd);
	command("rm", "'names':['rw'],'recursive':true");
}

static void restore__inode_numbers_may_come_back(void **state)
{
	char buf[8] = "";
	int old, new;

	(void)state;
	command("create", "'name':'ri'");
	command("snapshot", "'name':'ri@s'");
	fs_put(in_mount("ri/a"), "before");
	old = open(in_mount("ri/a"), O_RDONLY);
	command("restore", "'source':'ri@s','discard':true");
	fs_put(in_mount("ri/b"), "after");
	new = open(in_mount("ri/b"), O_RDONLY);
	CHECK_ERRNO(pread(old, buf, 6, 0), ESTALE);
	CHECK_SYS(unlink(in_mount("ri/b")));
	close(old);
	CHECK_INT(pread(new, buf, 5, 0), 5);
	CHECK_STR(buf, "after");
	close(new);
	command("rm", "'names':['ri'],'recursive':true");
}

static void restore__under_load_never_mixes(void **state)
{
	char name[PATH_MAX];
	pid_t pid;

	(void)state;
	command("create", "'name':'rl'");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "rl/f%d", i);
		fs_put(in_mount(name), "good");
	}
	command("snapshot", "'name':'rl@s'");
	pid = fork();
	if (pid == 0) {
		for (unsigned i = 0;; i++) {
			int fd;

			snprintf(name, sizeof(name), "%s/rl/f%u", fs_mount(),
				 i % 20);
			fd = open(name, O_RDWR);
			if (fd < 0)
				continue;
			if (pwrite(fd, "evil", 4, 0) < 0 && errno != ESTALE)
				_exit(1);
			close(fd);
		}
	}
	for (int r = 0; r < 20; r++) {
		usleep(10000);
		command("restore", "'source':'rl@s','force':true,"
				   "'discard':true");
	}
	kill(pid, SIGKILL);
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	command("restore", "'source':'rl@s','force':true,'discard':true");
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "rl/f%d", i);
		CHECK_STR(fs_get(in_mount(name)), "good");
	}
	command("rm", "'names':['rl'],'recursive':true,'force':true");
}

/* A file between two directories, which no other such rename may pass by. */
static void move_to_and_fro(void)
{
	/* a check that fails leaves the test without a kill() */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || mkdir("from", 0755) ||
	    mkdir("to", 0755))
		_exit(1);
	fs_put("from/f", "");
	for (;;)
		if (rename("from/f", "to/f") || rename("to/f", "from/f"))
			_exit(1);
}

/*
 * The kernel knows the snapshot's directories by the path that they had before
 * the restore, as a file in them is open.
 */
static void restore__snapshots_stay_open_while_others_rename(void **state)
{
	int held, fd;
	pid_t pid;

	(void)state;
	command("create", "'name':'ro'");
	CHECK_SYS(mkdir(in_mount("ro/d"), 0755));
	fs_put(in_mount("ro/d/a"), "first");
	command("snapshot", "'name':'ro@s'");
	held = open(in_mount("ro/.dbs/snapshot/s/d/a"), O_RDONLY);
	CHECK(held >= 0);
	pid = fork();
	if (pid == 0)
		move_to_and_fro();
	for (int r = 0; r < 40; r++) {
		char buf[8] = "";

		command("restore", "'source':'ro@s','discard':true");
		fd = open(in_mount("ro/.dbs/snapshot/s/d/a"), O_RDONLY);
		CHECK_SYS(fd);
		CHECK_INT(read(fd, buf, sizeof(buf)), 5);
		CHECK_SYS(close(held));
		held = fd;
	}
	CHECK_SYS(kill(pid, SIGKILL));
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	CHECK_SYS(close(held));
	command("rm", "'names':['ro'],'recursive':true,'force':true");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(top__lists_datasets_and_cannot_be_changed),
		FS_TEST(virtual__statx_says_what_stat_says),
		FS_TEST(top__created_is_seen_at_once),
		FS_TEST(top__mtime_follows_what_changes_it),
		FS_TEST(top__renamed_is_seen_at_once),
		FS_TEST(top__nothing_moves_between_datasets),
		FS_TEST(dbs__is_there_but_never_listed),
		FS_TEST(snapshot__shows_what_was_and_is_read_only),
		FS_TEST(snapshot__has_inode_numbers_of_its_own),
		FS_TEST(snapshot__renamed_is_seen_at_once),
		FS_TEST(clone__is_seen_at_once_and_is_independent),
		FS_TEST(clone__with_open_files_is_removed_only_by_force),
		FS_TEST(readonly__property_gives_erofs),
		FS_TEST(restore__old_handles_are_stale_and_new_ones_see_it),
		FS_TEST(restore__open_for_writing_refuses_unless_forced),
		FS_TEST(restore__inode_numbers_may_come_back),
		FS_TEST(restore__under_load_never_mixes),
		FS_TEST(restore__snapshots_stay_open_while_others_rename),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
