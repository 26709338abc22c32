/* SPDX-License-Identifier: Apache-2.0 */
/*
 * out.h - what dbs prints: tables, JSON, sizes, times, progress
 *
 * Below: libsmartcols, jansson.  Above: every cmd_<group>.c.
 * Answers go to stdout, everything else to stderr.
 */
#ifndef DBS_TOOLS_OUT_H
#define DBS_TOOLS_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <jansson.h>

/**
 * @text with what could drive a terminal, or end a line, as \\xNN.
 */
void out_escaped(FILE *f, const char *text);
/** A line of stdout, escaped. */
void out_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** @on: colours may be used on this stream (a terminal, and no NO_COLOR) */
bool out_colour(int fd);

/** Print @object as JSON on stdout and drop the reference. */
void out_json(json_t *object);

/**
 * @text as a JSON string; bytes that are not UTF-8 become \\xNN.  For argv.
 */
json_t *out_text(const char *text);
/* Members of an answer; 0, "" and false where there is none. */
uint64_t out_get_int(const json_t *object, const char *key);
double out_get_real(const json_t *object, const char *key);
const char *out_get_text(const json_t *object, const char *key);
bool out_get_bool(const json_t *object, const char *key);

struct out_table;

#define OUT_RIGHT 1u /* numbers */

struct out_column {
	const char *name;
	unsigned flags;
};

struct out_table *out_table_new(const struct out_column *columns, size_t nr);
/** Add a row; @cells has one string a column, NULL for an empty cell. */
void out_table_row(struct out_table *table, const char *const *cells);
/** Print on stdout and free. */
void out_table_print(struct out_table *table);

/* Texts of numbers: each returns @buf. */
#define OUT_TEXT_MAX 40
/** "0", "512B", "4K", "1.2G": powers of 1,024. */
char *out_size(char buf[OUT_TEXT_MAX], uint64_t bytes);
/** "2.41x", "-" without data. */
char *out_ratio(char buf[OUT_TEXT_MAX], double ratio);
/** RFC 3339, UTC, seconds. */
char *out_time(char buf[OUT_TEXT_MAX], time_t t);
/** "0.4 ms", "12 ms", "3.1 s", "2:05". */
char *out_duration(char buf[OUT_TEXT_MAX], uint64_t ns);

/* Progress of long work: drawn on stderr when that is a terminal. */
struct progress {
	const char *what; /* "checking" */
	uint64_t start_ns, drawn_ns;
	bool on, drawn, bytes;
};
/** @bytes: the counts are bytes. */
void progress_begin(struct progress *p, const char *what, bool bytes);
void progress_show(struct progress *p, uint64_t done, uint64_t total);
void progress_end(struct progress *p);

/** CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);

#endif
