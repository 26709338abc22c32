/* SPDX-License-Identifier: Apache-2.0 */
/* conform_lock.c - flock, fcntl and OFD locks, leases */
#include "tests/fs/fs_test.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>

static int open_rw(void)
{
	int fd = open("f", O_CREAT | O_RDWR, 0644);

	MUST(fd >= 0);
	return fd;
}

static int lock(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock l = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = start,
		.l_len = len,
	};

	return fcntl(fd, cmd, &l);
}

/* What F_GETLK says of a lock of @type on these bytes. */
static struct flock asked(int fd, int cmd, short type, off_t start, off_t len)
{
	struct flock l = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = start,
		.l_len = len,
	};

	MUST(fcntl(fd, cmd, &l) == 0);
	return l;
}

/* @fn in a child of ours, which has none of our fcntl locks. */
static int in_child(int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(fn());
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* -- flock ---------------------------------------------------------------- */

static void flock__excludes_other_descriptions(void **state)
{
	int a = open_rw(), b = open_rw(), dup_a = dup(a);

	(void)state;
	CHECK_SYS(flock(a, LOCK_EX));
	CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	CHECK_SYS(flock(dup_a, LOCK_EX | LOCK_NB));
	CHECK_SYS(flock(a, LOCK_SH));
	CHECK_SYS(flock(b, LOCK_SH | LOCK_NB));
	CHECK_ERRNO(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	/* the lock lives as long as any of its descriptors */
	CHECK_SYS(flock(b, LOCK_UN));
	CHECK_SYS(flock(a, LOCK_EX | LOCK_NB));
	close(a);
	CHECK_ERRNO(flock(b, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	close(dup_a);
	CHECK_SYS(flock(b, LOCK_EX | LOCK_NB));
	CHECK_ERRNO(flock(b, 0), EINVAL);
	close(b);
	CHECK_ERRNO(flock(b, LOCK_EX), EBADF);
}

static int child_exits_with_a_lock(void)
{
	return flock(open_rw(), LOCK_EX | LOCK_NB) ? 1 : 0;
}

static void flock__ends_with_its_process(void **state)
{
	int fd = open_rw();

	(void)state;
	CHECK_INT(in_child(child_exits_with_a_lock), 0);
	CHECK_SYS(flock(fd, LOCK_EX | LOCK_NB));
	CHECK_INT(in_child(child_exits_with_a_lock), 1);
	close(fd);
}

/* -- fcntl ---------------------------------------------------------------- */

static int child_finds_middle_locked(void)
{
	int fd = open_rw();
	struct flock l = asked(fd, F_GETLK, F_WRLCK, 0, 0);

	MUST(l.l_type == F_WRLCK && l.l_start == 10 && l.l_len == 10);
	MUST(l.l_pid == getppid());
	MUST_ERRNO(lock(fd, F_SETLK, F_RDLCK, 19, 1), EAGAIN);
	MUST(lock(fd, F_SETLK, F_WRLCK, 0, 10) == 0);
	MUST(lock(fd, F_SETLK, F_WRLCK, 20, 0) == 0);
	return 0;
}

static void fcntl__locks_bytes_against_other_processes(void **state)
{
	int fd = open_rw();

	(void)state;
	CHECK_SYS(lock(fd, F_SETLK, F_WRLCK, 10, 10));
	CHECK_SYS(lock(fd, F_SETLK, F_WRLCK, 5, 20)); /* one's own: grows */
	CHECK_SYS(lock(fd, F_SETLK, F_UNLCK, 5, 5));
	CHECK_SYS(lock(fd, F_SETLK, F_UNLCK, 20, 100));
	CHECK_INT(in_child(child_finds_middle_locked), 0);
	close(fd);
}

static int child_read_locks(void)
{
	int fd = open_rw();

	MUST(lock(fd, F_SETLK, F_RDLCK, 0, 0) == 0);
	MUST_ERRNO(lock(fd, F_SETLK, F_WRLCK, 50, 1), EAGAIN);
	return 0;
}

static void fcntl__readers_share(void **state)
{
	int fd = open_rw();

	(void)state;
	CHECK_SYS(lock(fd, F_SETLK, F_RDLCK, 0, 100));
	CHECK_INT(in_child(child_read_locks), 0);
	close(fd);
}

static int child_locks_all(void)
{
	return lock(open_rw(), F_SETLK, F_WRLCK, 0, 0) ? 1 : 0;
}

static void fcntl__closing_any_descriptor_gives_all_up(void **state)
{
	int a = open_rw(), b = open_rw();

	(void)state;
	CHECK_SYS(lock(a, F_SETLK, F_WRLCK, 0, 0));
	CHECK_INT(in_child(child_locks_all), 1);
	close(b);
	CHECK_INT(in_child(child_locks_all), 0);
	close(a);
}

static void fcntl__wrong_arguments_are_refused(void **state)
{
	int ro, wo;

	(void)state;
	close(open_rw());
	ro = open("f", O_RDONLY);
	wo = open("f", O_WRONLY);
	CHECK_ERRNO(lock(ro, F_SETLK, F_WRLCK, 0, 0), EBADF);
	CHECK_ERRNO(lock(wo, F_SETLK, F_RDLCK, 0, 0), EBADF);
	CHECK_ERRNO(lock(ro, F_SETLK, F_RDLCK, -1, 1), EINVAL);
	CHECK_ERRNO(lock(ro, F_SETLK, 77, 0, 1), EINVAL);
	close(ro);
	close(wo);
}

static int release_fd, ready_fd;

static int child_holds_until_told(void)
{
	int fd = open_rw();
	char c = 'r';

	MUST(lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0);
	MUST(write(ready_fd, &c, 1) == 1);
	MUST(read(release_fd, &c, 1) == 1);
	return 0;
}

static void fcntl__waits_until_the_other_lets_go(void **state)
{
	int ready[2], release[2], fd = open_rw(), status;
	pid_t pid;
	char c;

	(void)state;
	CHECK_SYS(pipe(ready));
	CHECK_SYS(pipe(release));
	ready_fd = ready[1];
	release_fd = release[0];
	pid = fork();
	if (pid == 0)
		_exit(child_holds_until_told());
	CHECK_INT(read(ready[0], &c, 1), 1);
	CHECK_ERRNO(lock(fd, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
	CHECK_INT(write(release[1], &c, 1), 1);
	CHECK_SYS(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	close(fd);
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(release[i]);
	}
}

/* Each holds one byte and waits for the other's: one is told. */
static int child_deadlock(void)
{
	int fd = open_rw();
	char c = 'r';

	MUST(lock(fd, F_SETLK, F_WRLCK, 1, 1) == 0);
	MUST(write(ready_fd, &c, 1) == 1);
	return lock(fd, F_SETLKW, F_WRLCK, 0, 1) ? errno : 0;
}

static void fcntl__deadlock_is_edeadlk(void **state)
{
	int ready[2], fd = open_rw(), status, mine;
	pid_t pid;
	char c;

	(void)state;
	CHECK_SYS(pipe(ready));
	ready_fd = ready[1];
	CHECK_SYS(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	pid = fork();
	if (pid == 0)
		_exit(child_deadlock());
	CHECK_INT(read(ready[0], &c, 1), 1);
	mine = lock(fd, F_SETLKW, F_WRLCK, 1, 1) ? errno : 0;
	close(fd); /* lets the other go on */
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(mine == EDEADLK || WEXITSTATUS(status) == EDEADLK);
	close(ready[0]);
	close(ready[1]);
}

/* -- open file description locks ------------------------------------------- */

static void ofd__excludes_other_descriptions_of_one_process(void **state)
{
	int a = open_rw(), b = open_rw(), dup_a = dup(a);
	struct flock l;

	(void)state;
	CHECK_SYS(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN);
	CHECK_SYS(lock(b, F_OFD_SETLK, F_WRLCK, 10, 10));
	CHECK_SYS(lock(dup_a, F_OFD_SETLK, F_WRLCK, 0, 5));
	l = asked(b, F_OFD_GETLK, F_WRLCK, 0, 1);
	CHECK_INT(l.l_type, F_WRLCK);
	CHECK_INT(l.l_pid, -1);
	close(dup_a);
	CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1), EAGAIN);
	close(a);
	CHECK_SYS(lock(b, F_OFD_SETLK, F_WRLCK, 0, 1));
	close(b);
}

static void ofd__and_fcntl_locks_exclude_each_other(void **state)
{
	int a = open_rw(), b = open_rw();

	(void)state;
	CHECK_SYS(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	CHECK_ERRNO(lock(b, F_SETLK, F_WRLCK, 0, 10), EAGAIN);
	CHECK_SYS(lock(a, F_OFD_SETLK, F_UNLCK, 0, 10));
	CHECK_SYS(lock(b, F_SETLK, F_WRLCK, 0, 10));
	CHECK_ERRNO(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10), EAGAIN);
	close(a);
	close(b);
}

static int child_flock_and_fcntl(void)
{
	int fd = open_rw();

	MUST(lock(fd, F_SETLK, F_WRLCK, 0, 0) == 0);
	return 0;
}

static void flock__and_fcntl_do_not_see_each_other(void **state)
{
	int fd = open_rw();

	(void)state;
	CHECK_SYS(flock(fd, LOCK_EX));
	CHECK_INT(in_child(child_flock_and_fcntl), 0);
	close(fd);
}

static void lock__of_an_unlinked_file_works(void **state)
{
	int a = open_rw(), b = open_rw();

	(void)state;
	CHECK_SYS(unlink("f"));
	CHECK_SYS(flock(a, LOCK_EX));
	CHECK_ERRNO(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_SYS(lock(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	CHECK_ERRNO(lock(b, F_OFD_SETLK, F_WRLCK, 0, 10), EAGAIN);
	close(a);
	close(b);
}

/* -- leases --------------------------------------------------------------- */

static void lease__is_given_and_taken_back(void **state)
{
	int fd = open_rw();

	(void)state;
	CHECK_INT(fcntl(fd, F_GETLEASE), F_UNLCK);
	CHECK_SYS(fcntl(fd, F_SETLEASE, F_WRLCK));
	CHECK_INT(fcntl(fd, F_GETLEASE), F_WRLCK);
	CHECK_SYS(fcntl(fd, F_SETLEASE, F_UNLCK));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FS_TEST(flock__excludes_other_descriptions),
		FS_TEST(flock__ends_with_its_process),
		FS_TEST(fcntl__locks_bytes_against_other_processes),
		FS_TEST(fcntl__readers_share),
		FS_TEST(fcntl__closing_any_descriptor_gives_all_up),
		FS_TEST(fcntl__wrong_arguments_are_refused),
		FS_TEST(fcntl__waits_until_the_other_lets_go),
		FS_TEST(fcntl__deadlock_is_edeadlk),
		FS_TEST(ofd__excludes_other_descriptions_of_one_process),
		FS_TEST(ofd__and_fcntl_locks_exclude_each_other),
		FS_TEST(flock__and_fcntl_do_not_see_each_other),
		FS_TEST(lock__of_an_unlinked_file_works),
		FS_TEST(lease__is_given_and_taken_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
