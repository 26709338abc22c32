/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.h - what the C tests check with; never compiled out
 *
 * Below: cmocka.  Above: every test program.
 *
 * A failed CHECK ends the test by longjmp, so it may stand only in the thread
 * that cmocka called.  MUST may stand anywhere: it aborts the program.
 */
#ifndef DBS_TESTS_CHECK_H
#define DBS_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/** @cond is true. */
#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond))                                                   \
			check_failed(#cond, __FILE__, __LINE__);               \
	} while (0)

/** @expr, an errno-style result, is 0. */
#define CHECK_OK(expr) CHECK_INT(expr, 0)

/** Two integers are equal; signed, each evaluated once. */
#define CHECK_INT(got, want)                                                   \
	check_int((intmax_t)(got), (intmax_t)(want), #got " == " #want,        \
		  __FILE__, __LINE__)

/** Two integers are equal; unsigned, each evaluated once. */
#define CHECK_UINT(got, want)                                                  \
	check_uint((uintmax_t)(got), (uintmax_t)(want), #got " == " #want,     \
		   __FILE__, __LINE__)

/** Two strings are equal. */
#define CHECK_STR(got, want) assert_string_equal(got, want)

/** @len bytes are equal. */
#define CHECK_MEM(got, want, len) assert_memory_equal(got, want, len)

/** @cond is true; in any thread or child process. */
#define MUST(cond)                                                             \
	do {                                                                   \
		if (!(cond))                                                   \
			must_failed(#cond, __FILE__, __LINE__);                \
	} while (0)

/* _fail() is known to return never, but not declared so. */
static inline void check_failed(const char *what, const char *file, int line)
{
	print_error("check failed: %s\n", what);
	_fail(file, line);
}

static inline void check_int(intmax_t got, intmax_t want, const char *what,
			     const char *file, int line)
{
	if (got != want) {
		print_error("got %jd, want %jd\n", got, want);
		check_failed(what, file, line);
	}
}

static inline void check_uint(uintmax_t got, uintmax_t want, const char *what,
			      const char *file, int line)
{
	if (got != want) {
		print_error("got %ju (0x%jx), want %ju (0x%jx)\n", got, got,
			    want, want);
		check_failed(what, file, line);
	}
}

static inline _Noreturn void must_failed(const char *what, const char *file,
					 int line)
{
	fprintf(stderr, "%s:%d: must hold: %s\n", file, line, what);
	abort();
}

#endif
