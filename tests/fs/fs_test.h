/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_test.h - what the tests on a mounted pool share
 *
 * mounted.sh makes a pool with the dataset 'ds', mounts it, and runs the
 * program with where it is in the environment.  Every test gets an empty
 * directory of its own and is in it when it begins.
 */
#ifndef DBS_TESTS_FS_TEST_H
#define DBS_TESTS_FS_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/lib/check.h"

/** @expr, a system call, fails with errno @err. */
#define CHECK_ERRNO(expr, err)                                                 \
	do {                                                                   \
		errno = 0;                                                     \
		CHECK_INT(expr, -1);                                           \
		CHECK_INT(errno, err);                                         \
	} while (0)

/** The same in a child process or thread. */
#define MUST_ERRNO(expr, err)                                                  \
	do {                                                                   \
		errno = 0;                                                     \
		MUST((expr) == -1);                                            \
		fs_must_errno(err, #expr, __FILE__, __LINE__);                 \
	} while (0)

/** @expr, a system call, succeeds. */
#define CHECK_SYS(expr) CHECK((expr) >= 0)

/** cmocka's setup: into a new directory of the dataset. */
int fs_test_setup(void **state);
int fs_test_teardown(void **state);
#define FS_TEST(f)                                                             \
	cmocka_unit_test_setup_teardown(f, fs_test_setup, fs_test_teardown)

/** The top of the mount; the dataset 'ds' in it. */
const char *fs_mount(void);
const char *fs_dataset(void);

/**
 * Send a command to the daemon; @arguments: the JSON object's inside, which
 * may use ' for ".  Returns the answer's code, 0 for ok.
 */
int fs_command(const char *command, const char *arguments);
/** The last answer, one line of JSON. */
const char *fs_answer(void);

/** A file called @name with @content. */
void fs_put(const char *name, const char *content);
/** All of a small file, as a string; valid until the next call. */
const char *fs_get(const char *name);
bool fs_exists(const char *name);
/** @len bytes that depend on @seed. */
void fs_fill(void *buf, size_t len, unsigned seed);
/** Number of names in @dir but '.' and '..'. */
int fs_count(const char *dir);
bool fs_lists(const char *dir, const char *name);

/**
 * Not a mounted pool but another file system: the same tests run on it to see
 * what Linux does (conform.sh --plain).
 */
bool fs_is_plain(void);

/** The long form of the tests is wanted (tests/run.sh --long). */
bool fs_long(void);

/** This test can only be done by root. */
#define FS_ROOT_ONLY()                                                         \
	do {                                                                   \
		if (geteuid() != 0)                                            \
			skip();                                                \
	} while (0)

/** Who fs_child() is when we are root. */
#define FS_USER 65534

/** Run @fn in a child as @uid, @gid without groups; returns its exit code. */
int fs_as(uid_t uid, gid_t gid, int (*fn)(void));
int fs_as_member(uid_t uid, gid_t gid, const gid_t *groups, size_t nr,
		 int (*fn)(void));
/** As an ordinary user: FS_USER, or whoever runs the test. */
int fs_child(int (*fn)(void));
/** Make @name that user's own. */
void fs_give(const char *name);

struct stat fs_lstat(const char *name);
/** <0, 0, >0 */
int fs_time_cmp(struct timespec a, struct timespec b);
/** Wait until what changes from now on gets later times than what did. */
void fs_tick(void);

void fs_must_errno(int err, const char *what, const char *file, int line);

#endif
