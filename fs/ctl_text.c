/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_text.c - sizes, times, names and UUIDs between text and JSON */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fs/ctl_internal.h"

/* Exponent of 1,024 that a unit stands for, or -1. */
static int size_unit(const char *unit)
{
	static const char letters[] = "kmgtpe";
	const char *at;

	if (*unit == '\0' || strcasecmp(unit, "b") == 0)
		return 0;
	at = strchr(letters, tolower((unsigned char)*unit));
	if (!at)
		return -1;
	unit++;
	if (*unit && strcasecmp(unit, "b") && strcasecmp(unit, "ib"))
		return -1;
	return (int)(at - letters) + 1;
}

int ctl_parse_size(const char *text, uint64_t *bytes)
{
	unsigned long long whole;
	long double value;
	char *end;
	int unit;

	if (strcmp(text, "none") == 0) {
		*bytes = 0;
		return 0;
	}
	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	errno = 0;
	whole = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	value = (long double)whole;
	if (*end == '.') {
		const char *dot = end;

		if (!isdigit((unsigned char)dot[1]))
			return -EINVAL;
		for (long double f = 0.1L; isdigit((unsigned char)*++end);
		     f /= 10)
			value += f * (*end - '0');
	}
	unit = size_unit(end);
	if (unit < 0)
		return -EINVAL;
	value = ldexpl(value, 10 * unit);
	if (value >= 9223372036854775807.0L)
		return -ERANGE;
	*bytes = (uint64_t)(value + 0.5L);
	return 0;
}

int ctl_value_size(struct ctl_call *call, const char *key, const json_t *value,
		   uint64_t *bytes)
{
	if (json_is_integer(value) && json_integer_value(value) >= 0) {
		*bytes = (uint64_t)json_integer_value(value);
		return 0;
	}
	if (json_is_string(value) &&
	    ctl_parse_size(json_string_value(value), bytes) == 0)
		return 0;
	return ctl_fail(call, CTL_USAGE,
			"'%s' is not a size: give bytes, or a number with K, "
			"M, G or T",
			json_is_string(value) ? json_string_value(value) : key);
}

void ctl_uuid_format(const uint8_t uuid[16], char *buf)
{
	for (int i = 0; i < 16; i++)
		buf += sprintf(buf, "%s%02x",
			       i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			       uuid[i]);
}

int ctl_socket_path(const uint8_t uuid[16], char *buf, size_t cap)
{
	char text[40];
	int n;

	ctl_uuid_format(uuid, text);
	n = snprintf(buf, cap, "%s/%s.sock", CTL_RUN_DIR, text);
	return n < 0 || (size_t)n >= cap ? -ENAMETOOLONG : 0;
}

json_t *ctl_json_u64(uint64_t v)
{
	return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

json_t *ctl_json_time(const struct timespec *t)
{
	char text[64];
	struct tm tm;
	size_t n;

	if (!gmtime_r(&t->tv_sec, &tm))
		return json_null();
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%09ldZ", t->tv_nsec);
	return json_string(text);
}

/* Length of the valid UTF-8 sequence at @s, 0 if it is none. */
static size_t utf8_len(const unsigned char *s)
{
	uint32_t c;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] < 0xe0)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] < 0xf0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] < 0xf5)
		n = 4;
	else
		return 0;
	c = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if ((n == 3 && c < 0x800) || (n == 4 && c < 0x10000) || c > 0x10ffff ||
	    (c >= 0xd800 && c < 0xe000))
		return 0;
	return n;
}

json_t *ctl_json_bytes(const char *s)
{
	json_t *text = json_string(s);
	char *buf, *at;
	size_t n;

	if (text)
		return text;
	buf = at = malloc(4 * strlen(s) + 1);
	if (!buf)
		return NULL;
	while (*s) {
		n = utf8_len((const unsigned char *)s);
		if (n == 0)
			at += sprintf(at, "\\x%02x", (unsigned char)*s++);
		for (; n > 0; n--)
			*at++ = *s++;
	}
	*at = '\0';
	text = json_string(buf);
	free(buf);
	return text;
}

uint64_t ctl_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

json_t *ctl_json_ms_since(uint64_t start_ns)
{
	return json_real((double)((ctl_now_ns() - start_ns) / 1000) / 1000.0);
}

json_t *ctl_json_path(const struct ctl_context *ctx, const char *name)
{
	const char *at = strchr(name, '@');

	if (!ctx->mountpoint)
		return json_null();
	if (!at)
		return json_sprintf("%s/%s", ctx->mountpoint, name);
	return json_sprintf("%s/%.*s/.dbs/snapshot/%s", ctx->mountpoint,
			    (int)(at - name), name, at + 1);
}
