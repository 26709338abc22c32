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

/** Run @fn in a child as @uid, @gid without groups; returns its exit code. */
int fs_as(uid_t uid, gid_t gid, int (*fn)(void));

#endif
