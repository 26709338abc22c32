/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/import/sql_value.h"

#include <errno.h>
#include <stdlib.h>

#define BUF_MIN 64u

void sql_buf_release(struct sql_buf *b)
{
	free(b->p);
	*b = (struct sql_buf){0};
}

int sql_buf_grow(struct sql_buf *b, size_t more)
{
	size_t cap = b->cap > BUF_MIN ? b->cap : BUF_MIN;
	char *p;

	if (more > SIZE_MAX / 4 || b->len > SIZE_MAX / 4)
		return -ENOMEM;
	while (cap - b->len < more)
		cap *= 2;
	p = realloc(b->p, cap);
	if (!p)
		return -ENOMEM;
	b->p = p;
	b->cap = cap;
	return 0;
}

/* ---- UTF-8 --------------------------------------------------------------- */

static unsigned continuations(unsigned char c)
{
	if (c >= 0xc2 && c <= 0xdf)
		return 1;
	if (c >= 0xe0 && c <= 0xef)
		return 2;
	if (c >= 0xf0 && c <= 0xf4)
		return 3;
	return 0;
}

/* Is it the shortest form, and not above U+10FFFF? */
static bool second_fits(unsigned char first, unsigned char second)
{
	switch (first) {
	case 0xe0:
		return second >= 0xa0;
	case 0xf0:
		return second >= 0x90;
	case 0xf4:
		return second < 0x90;
	default:
		return true;
	}
}

const char *sql_scan_bad_utf8(const char *p, const char *end)
{
	while (p < end) {
		const unsigned char c = (unsigned char)*p;
		unsigned n;
		uint64_t eight;

		if (end - p >= 8) {
			memcpy(&eight, p, 8);
			if (!(eight & UINT64_C(0x8080808080808080))) {
				p += 8;
				continue;
			}
		}
		if (c < 0x80) {
			p++;
			continue;
		}
		n = continuations(c);
		if (n == 0 || (size_t)(end - p) <= n ||
		    !second_fits(c, (unsigned char)p[1]))
			return p;
		for (unsigned i = 1; i <= n; i++)
			if (((unsigned char)p[i] & 0xc0) != 0x80)
				return p;
		p += n + 1;
	}
	return NULL;
}

/* ---- bytes of a value ---------------------------------------------------- */

/* What a backslash and @c mean; MySQL reference manual, "String Literals". */
static char unescaped(char c)
{
	switch (c) {
	case '0':
		return '\0';
	case 'b':
		return '\b';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case 'Z':
		return 26;
	default:
		return c;
	}
}

static void decode_string(const struct sql_value *v, struct sql_buf *out)
{
	const char *p = v->text + v->body, *end = p + v->body_len;
	const char quote = p[-1];
	const char escape = v->flags & SQL_VALUE_NO_BACKSLASH ? quote : '\\';
	char *o = out->p;

	for (;;) {
		o = sql_copy_two(o, &p, end, quote, escape);
		if (p + 1 >= end)
			break;
		if (*p == quote) {
			*o++ = quote;
		} else {
			/* for LIKE: they stay escaped */
			if (p[1] == '%' || p[1] == '_')
				*o++ = '\\';
			*o++ = unescaped(p[1]);
		}
		p += 2;
	}
	out->len = (size_t)(o - out->p);
}

static unsigned hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	return (unsigned)((c | 0x20) - 'a' + 10);
}

/* Digits of @bits bits each, right-aligned in whole bytes. */
static void decode_digits(const struct sql_value *v, unsigned bits,
			  struct sql_buf *out)
{
	const char *p = v->text + v->body;
	const size_t per_byte = 8 / bits;
	size_t lack = (per_byte - v->body_len % per_byte) % per_byte;
	unsigned byte = 0;

	out->len = 0;
	for (size_t i = 0; i < v->body_len; i++) {
		byte = byte << bits | hex_digit(p[i]);
		if (++lack == per_byte) {
			out->p[out->len++] = (char)byte;
			byte = 0;
			lack = 0;
		}
	}
}

int sql_value_bytes(const struct sql_value *v, struct sql_buf *scratch,
		    const char **bytes, size_t *len)
{
	int err;

	*bytes = v->text + v->body;
	*len = v->body_len;
	switch (v->kind) {
	case SQL_NULL:
		*bytes = NULL;
		*len = 0;
		return 0;
	case SQL_NUMBER:
		return 0;
	case SQL_STRING:
		if (!(v->flags & SQL_VALUE_ESCAPED))
			return 0;
		break;
	case SQL_HEX:
	case SQL_BIT:
		break;
	default:
		return -ENOTSUP;
	}
	scratch->len = 0;
	err = sql_buf_reserve(scratch, (size_t)v->body_len + SQL_SLACK);
	if (err)
		return err;
	if (v->kind == SQL_STRING)
		decode_string(v, scratch);
	else
		decode_digits(v, v->kind == SQL_HEX ? 4 : 1, scratch);
	*bytes = scratch->p;
	*len = scratch->len;
	return 0;
}

const char *sql_value_charset(const struct sql_value *v, size_t *len)
{
	size_t n = 1;

	if (!(v->flags & SQL_VALUE_INTRODUCED))
		return NULL;
	if (v->text[0] != '_') {
		*len = strlen("utf8");
		return "utf8"; /* N'text' */
	}
	while (n < v->len && v->text[n] != '\'' && v->text[n] != '"' &&
	       (unsigned char)v->text[n] > ' ')
		n++;
	*len = n - 1;
	return v->text + 1;
}

/* ---- literals ------------------------------------------------------------ */

const char *sql_number_end(const char *p, const char *end)
{
	const char *start = p, *q;
	bool digits = false;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end && *p >= '0' && *p <= '9'; p++)
		digits = true;
	if (p < end && *p == '.')
		for (p++; p < end && *p >= '0' && *p <= '9'; p++)
			digits = true;
	if (!digits)
		return start;
	if (p < end && (*p == 'e' || *p == 'E')) {
		q = p + 1;
		if (q < end && (*q == '-' || *q == '+'))
			q++;
		if (q < end && *q >= '0' && *q <= '9') {
			while (q < end && *q >= '0' && *q <= '9')
				q++;
			p = q;
		}
	}
	return p;
}

static int encode_hex(struct sql_buf *out, const char *bytes, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	int err = sql_buf_reserve(out, 2 * len + 3);

	if (err)
		return err;
	if (len == 0)
		return sql_buf_text(out, "x''");
	out->p[out->len++] = '0';
	out->p[out->len++] = 'x';
	for (size_t i = 0; i < len; i++) {
		out->p[out->len++] = digits[(unsigned char)bytes[i] >> 4];
		out->p[out->len++] = digits[bytes[i] & 0xf];
	}
	return 0;
}

/* What stands after the backslash for a byte; 0: it stands for itself. */
static const char escapes[256] = {
	['\0'] = '0',  ['\n'] = 'n',  ['\r'] = 'r', [26] = 'Z',
	['\\'] = '\\', ['\''] = '\'', ['"'] = '"',
};

#ifdef __SSE2__
/* Are there bytes to be escaped among 16? */
static bool has_escapes(__m128i v)
{
	const __m128i low = _mm_or_si128(
		_mm_or_si128(_mm_cmpeq_epi8(v, _mm_setzero_si128()),
			     _mm_cmpeq_epi8(v, _mm_set1_epi8('\n'))),
		_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\r')),
			     _mm_cmpeq_epi8(v, _mm_set1_epi8(26))));
	const __m128i signs = _mm_or_si128(
		_mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\\')),
			     _mm_cmpeq_epi8(v, _mm_set1_epi8('\''))),
		_mm_cmpeq_epi8(v, _mm_set1_epi8('"')));

	return _mm_movemask_epi8(_mm_or_si128(low, signs)) != 0;
}
#endif

static char *encode_backslash(char *o, const char *bytes, const char *end)
{
	while (bytes < end) {
		size_t n = (size_t)(end - bytes);

#ifdef __SSE2__
		if (n >= 16) {
			const __m128i v = sql_load(bytes);

			n = 16;
			if (!has_escapes(v)) {
				_mm_storeu_si128((__m128i *)(void *)o, v);
				o += 16;
				bytes += 16;
				continue;
			}
		}
#endif
		for (; n > 0; n--, bytes++) {
			const char e = escapes[(unsigned char)*bytes];

			if (e)
				*o++ = '\\';
			*o++ = e ? e : *bytes;
		}
	}
	return o;
}

static int encode_string(struct sql_buf *out, char quote, bool backslash,
			 const char *bytes, size_t len)
{
	int err = sql_buf_reserve(out, 2 * len + 2);
	char *o;

	if (err)
		return err;
	o = out->p + out->len;
	*o++ = quote;
	if (backslash) {
		o = encode_backslash(o, bytes, bytes + len);
	} else {
		for (size_t i = 0; i < len; i++) {
			if (bytes[i] == quote)
				*o++ = quote;
			*o++ = bytes[i];
		}
	}
	*o++ = quote;
	out->len = (size_t)(o - out->p);
	return 0;
}

int sql_value_encode(struct sql_buf *out, const struct sql_value *like,
		     const char *bytes, size_t len)
{
	const bool backslash = !(like->flags & SQL_VALUE_NO_BACKSLASH);
	int err;

	if (!bytes)
		return sql_buf_text(out, "NULL");
	switch (like->kind) {
	case SQL_HEX:
	case SQL_BIT:
		return encode_hex(out, bytes, len);
	case SQL_NUMBER:
		if (len > 0 &&
		    sql_number_end(bytes, bytes + len) == bytes + len)
			return sql_buf_add(out, bytes, len);
		break;
	case SQL_STRING:
		err = sql_buf_add(out, like->text, like->body - 1);
		if (err)
			return err;
		return encode_string(out, like->text[like->body - 1], backslash,
				     bytes, len);
	default:
		break;
	}
	return encode_string(out, '\'', backslash, bytes, len);
}
