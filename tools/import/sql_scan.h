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

#define SQL_SLACK 32u

/* What a string has in it, as flags of struct sql_value. */
#define SQL_VALUE_ESCAPED      1u /* backslashes or doubled quotes */
#define SQL_VALUE_HIGH	       2u /* bytes >= 0x80 */
#define SQL_VALUE_INTRODUCED   4u /* _charset 'text' or N'text' */
#define SQL_VALUE_NO_BACKSLASH 8u /* a backslash is only a backslash */

#ifdef __SSE2__
static inline __m128i sql_load(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}
#endif

/** The first @a or @b in [p, end), or @end; @high: set when past a >= 0x80. */
static inline const char *sql_scan_two(const char *p, const char *end, char a,
				       char b, unsigned *high)
{
#ifdef __SSE2__
	const __m128i va = _mm_set1_epi8(a), vb = _mm_set1_epi8(b);

	/* 32 at once: most strings end in the first */
	while (p < end) {
		const __m128i v = sql_load(p), w = sql_load(p + 16);
		const unsigned found =
			(unsigned)_mm_movemask_epi8(_mm_or_si128(
				_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb))) |
			(unsigned)_mm_movemask_epi8(_mm_or_si128(
				_mm_cmpeq_epi8(w, va), _mm_cmpeq_epi8(w, vb)))
				<< 16;
		const unsigned top = (unsigned)_mm_movemask_epi8(v) |
				     (unsigned)_mm_movemask_epi8(w) << 16;

		if (found) {
			*high |= top & (found ^ (found - 1));
			p += __builtin_ctz(found);
			return p < end ? p : end;
		}
		*high |= top;
		p += 32;
	}
	return end;
#else
	while (p < end && *p != a && *p != b)
		*high |= (unsigned char)*p++ & 0x80u;
	return p;
#endif
}

/**
 * Copy what is before the first @a or @b in [*p, end) to @out, which has
 * SQL_SLACK bytes more; *p is set to it, or to @end.  Returns past the copy.
 */
static inline char *sql_copy_two(char *out, const char **p, const char *end,
				 char a, char b)
{
	const char *q = *p;

#ifdef __SSE2__
	const __m128i va = _mm_set1_epi8(a), vb = _mm_set1_epi8(b);

	while (q < end) {
		const __m128i v = sql_load(q);
		const unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(
			_mm_cmpeq_epi8(v, va), _mm_cmpeq_epi8(v, vb)));
		const unsigned n = found ? (unsigned)__builtin_ctz(found) : 16;

		_mm_storeu_si128((__m128i *)(void *)out, v);
		out += n;
		q += n;
		if (found)
			break;
	}
	if (q > end) {
		out -= q - end;
		q = end;
	}
#else
	while (q < end && *q != a && *q != b)
		*out++ = *q++;
#endif
	*p = q;
	return out;
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
	const __m128i nl = _mm_set1_epi8('\n'), zero = _mm_setzero_si128();

	while (end - p >= 16) {
		__m128i counts = zero; /* a byte each, so at most 255 */

		for (unsigned i = 0; i < 255 && end - p >= 16; i++, p += 16)
			counts = _mm_sub_epi8(counts,
					      _mm_cmpeq_epi8(sql_load(p), nl));
		counts = _mm_sad_epu8(counts, zero);
		n += (uint64_t)_mm_cvtsi128_si64(counts);
		n += (uint64_t)_mm_cvtsi128_si64(
			_mm_unpackhi_epi64(counts, counts));
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
