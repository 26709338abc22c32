/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_scan.h - the inner loops of the dump reader: ends of strings, lines
 *
 * Below: SSE2 where the compiler has it.  Above: sql_lexer, sql_row, sql_value,
 * sql_reader.
 *
 * Invariants:
 *  SS1  up to SQL_SLACK bytes past @end may be read (never used): who owns the
 *       memory has them allocated and initialized.
 *
 * Source: Langdale and Lemire, "Parsing gigabytes of JSON per second", VLDB
 * Journal 2019 (a block of bytes is compared at once, its matches are bits).
 */
#ifndef DBS_TOOLS_IMPORT_SQL_SCAN_H
#define DBS_TOOLS_IMPORT_SQL_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define SQL_SLACK 16u

/* What a string has in it, as flags of struct sql_value. */
#define SQL_VALUE_ESCAPED      1u /* backslashes or doubled quotes */
#define SQL_VALUE_HIGH	       2u /* bytes >= 0x80 */
#define SQL_VALUE_INTRODUCED   4u /* _charset 'text' or N'text' */
#define SQL_VALUE_NO_BACKSLASH 8u /* a backslash is only a backslash */

/** The first @a or @b in [p, end), or @end; @high: set when past a >= 0x80. */
static inline const char *sql_scan_two(const char *p, const char *end, char a,
				       char b, unsigned *high)
{
#ifdef __SSE2__
	const __m128i va = _mm_set1_epi8(a), vb = _mm_set1_epi8(b);

	while (p < end) {
		const __m128i v =
			_mm_loadu_si128((const __m128i *)(const void *)p);
		const unsigned top = (unsigned)_mm_movemask_epi8(v);
		const unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(
			_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb)));

		if (found) {
			const unsigned i = (unsigned)__builtin_ctz(found);

			*high |= top & ((1u << i) - 1);
			p += i;
			return p < end ? p : end;
		}
		*high |= top;
		p += 16;
	}
	return end;
#else
	while (p < end && *p != a && *p != b)
		*high |= (unsigned char)*p++ & 0x80u;
	return p;
#endif
}

/**
 * Past the quote that ends the string whose body begins at @p; NULL: it does
 * not end in [p, end).
 *
 * @escape: '\\', or @quote where backslashes mean nothing
 * @whole:  nothing follows @end: a quote there is not half of a doubled one
 * @flags:  ESCAPED and HIGH are added
 */
static inline const char *sql_scan_string(const char *p, const char *end,
					  char quote, char escape, bool whole,
					  unsigned *flags)
{
	unsigned high = 0;

	for (;;) {
		p = sql_scan_two(p, end, quote, escape, &high);
		if (p >= end)
			return NULL;
		if (p + 1 >= end) {
			if (*p != quote || !whole)
				return NULL;
			break;
		}
		if (*p == quote && p[1] != quote)
			break;
		high |= (unsigned char)p[1] & 0x80u;
		*flags |= SQL_VALUE_ESCAPED;
		p += 2;
	}
	if (high)
		*flags |= SQL_VALUE_HIGH;
	return p + 1;
}

/** Number of newlines in [p, end). */
static inline uint64_t sql_scan_lines(const char *p, const char *end)
{
	uint64_t n = 0;

#ifdef __SSE2__
	const __m128i nl = _mm_set1_epi8('\n');

	for (; end - p >= 16; p += 16) {
		const __m128i v =
			_mm_loadu_si128((const __m128i *)(const void *)p);

		n += (unsigned)__builtin_popcount(
			(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(v, nl)));
	}
#endif
	for (; p < end; p++)
		n += *p == '\n';
	return n;
}

/**
 * The first byte of [p, end) that is not part of valid UTF-8, or NULL.
 * Surrogates are let through, as old servers stored them.
 */
const char *sql_scan_bad_utf8(const char *p, const char *end);

#endif
