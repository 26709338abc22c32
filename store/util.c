/* SPDX-License-Identifier: Apache-2.0 */
#include "store/util.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOG_LINE_MAX 1024

static log_sink_fn *log_sink;
static _Atomic enum log_level log_limit = LOG_LEVEL_WARN;

void log_set_sink(log_sink_fn *fn)
{
	log_sink = fn;
}

void log_set_level(enum log_level level)
{
	log_limit = level;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error";
	case LOG_LEVEL_WARN:
		return "warning";
	case LOG_LEVEL_INFO:
		return "info";
	case LOG_LEVEL_DEBUG:
		return "debug";
	}
	return "log";
}

/* Names come from the disk: none may end the line or drive the terminal. */
static void blank_control_bytes(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
}

void log_write(enum log_level level, const char *fmt, ...)
{
	int saved_errno = errno;
	char text[LOG_LINE_MAX];
	va_list ap;

	if (level > log_limit)
		return;
	va_start(ap, fmt);
	if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
		text[0] = '\0';
	va_end(ap);
	blank_control_bytes(text);
	if (log_sink)
		log_sink(level, text);
	else
		fprintf(stderr, "dbs: %s: %s\n", level_name(level), text);
	errno = saved_errno;
}

void util_assert_failed(const char *what, const char *file, int line)
{
	log_write(LOG_LEVEL_ERROR, "assertion failed at=%s:%d what='%s'", file,
		  line, what);
	abort();
}
