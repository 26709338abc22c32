/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/out.h"

#include <ctype.h>
#include <inttypes.h>
#include <libsmartcols.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store.h"

_Noreturn static void out_of_memory(void)
{
	fputs("dbs: out of memory\n", stderr);
	exit(2);
}

void out_escaped(FILE *f, const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	for (; *c; c++) {
		/* U+0080..U+009F: a terminal takes them for ESC [ and others */
		bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0;

		if (iscntrl(*c) || c1)
			fprintf(f, "\\x%02x", *c);
		else
			fputc(*c, f);
		if (c1)
			fprintf(f, "\\x%02x", *++c);
	}
}

void out_line(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		out_of_memory();
	va_end(ap);
	out_escaped(stdout, text);
	putchar('\n');
	free(text);
}

bool out_colour(int fd)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (no_color && *no_color)
		return false;
	if (term && !strcmp(term, "dumb"))
		return false;
	return isatty(fd);
}

void out_json(json_t *object)
{
	/* on a terminal nothing that drives it */
	size_t flags = isatty(STDOUT_FILENO)
			       ? JSON_INDENT(2) | JSON_ENSURE_ASCII
			       : JSON_COMPACT;

	/* 2.8, not 2.7999999999999998 */
	flags |= JSON_REAL_PRECISION(10);

	json_dumpf(object, stdout, flags);
	putchar('\n');
	json_decref(object);
}

json_t *out_text(const char *text)
{
	json_t *string = json_string(text);
	size_t len = strlen(text);
	char *escaped, *to;

	if (string)
		return string;
	escaped = to = malloc(4 * len + 1);
	if (!escaped)
		out_of_memory();
	for (; *text; text++) {
		if (isascii((unsigned char)*text))
			*to++ = *text;
		else
			to += sprintf(to, "\\x%02x", (unsigned char)*text);
	}
	*to = '\0';
	string = json_string(escaped);
	free(escaped);
	return string;
}

uint64_t out_get_int(const json_t *object, const char *key)
{
	return (uint64_t)json_integer_value(json_object_get(object, key));
}

double out_get_real(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

const char *out_get_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

bool out_get_bool(const json_t *object, const char *key)
{
	return json_is_true(json_object_get(object, key));
}

/* ---- tables ---------------------------------------------------------------- */

struct out_table {
	struct libscols_table *scols;
	size_t nr;
	size_t rows;
};

struct out_table *out_table_new(const struct out_column *columns, size_t nr)
{
	struct out_table *table = calloc(1, sizeof(*table));

	if (!table)
		out_of_memory();
	table->scols = scols_new_table();
	if (!table->scols)
		out_of_memory();
	table->nr = nr;
	for (size_t i = 0; i < nr; i++) {
		struct libscols_column *col;
		int flags = 0;

		if (columns[i].flags & OUT_RIGHT)
			flags |= SCOLS_FL_RIGHT;
		col = scols_table_new_column(table->scols, columns[i].name, 0,
					     flags);
		if (!col)
			out_of_memory();
		if (out_colour(STDOUT_FILENO))
			scols_cell_set_color(scols_column_get_header(col),
					     "bold");
	}
	scols_table_enable_colors(table->scols, out_colour(STDOUT_FILENO));
	/* a pipe has no width: never cut what a script reads */
	if (!isatty(STDOUT_FILENO))
		scols_table_set_termforce(table->scols, SCOLS_TERMFORCE_NEVER);
	return table;
}

void out_table_row(struct out_table *table, const char *const *cells)
{
	struct libscols_line *line = scols_table_new_line(table->scols, NULL);

	if (!line)
		out_of_memory();
	for (size_t i = 0; i < table->nr; i++)
		if (scols_line_set_data(line, i, cells[i] ? cells[i] : "-"))
			out_of_memory();
	table->rows++;
}

void out_table_print(struct out_table *table)
{
	if (table->rows)
		scols_print_table(table->scols);
	scols_unref_table(table->scols);
	free(table);
}

/* ---- numbers ---------------------------------------------------------------- */

char *out_size(char buf[OUT_TEXT_MAX], uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	double v = (double)bytes;
	size_t u = 0;

	/* 1023.5 K would round to the four digits of 1024K */
	while (v >= 1023.5 && u + 1 < sizeof(units) - 1) {
		v /= 1024;
		u++;
	}
	if (bytes == 0)
		snprintf(buf, OUT_TEXT_MAX, "0");
	else if (u == 0 || v >= 99.95 || fabs(v - round(v)) < 0.005)
		snprintf(buf, OUT_TEXT_MAX, "%.0f%c", v, units[u]);
	else if (v >= 9.995)
		snprintf(buf, OUT_TEXT_MAX, "%.1f%c", v, units[u]);
	else
		snprintf(buf, OUT_TEXT_MAX, "%.2f%c", v, units[u]);
	return buf;
}

char *out_ratio(char buf[OUT_TEXT_MAX], double ratio)
{
	if (ratio > 0)
		snprintf(buf, OUT_TEXT_MAX, "%.2fx", ratio);
	else
		snprintf(buf, OUT_TEXT_MAX, "-");
	return buf;
}

char *out_time(char buf[OUT_TEXT_MAX], time_t t)
{
	struct tm tm;

	if (!gmtime_r(&t, &tm) ||
	    !strftime(buf, OUT_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(buf, OUT_TEXT_MAX, "-");
	return buf;
}

char *out_duration(char buf[OUT_TEXT_MAX], uint64_t ns)
{
	double ms = (double)ns / 1e6;

	if (ms < 10)
		snprintf(buf, OUT_TEXT_MAX, "%.1f ms", ms);
	else if (ms < 1000)
		snprintf(buf, OUT_TEXT_MAX, "%.0f ms", ms);
	else if (ms < 60000)
		snprintf(buf, OUT_TEXT_MAX, "%.1f s", ms / 1000);
	else
		snprintf(buf, OUT_TEXT_MAX, "%" PRIu64 ":%02" PRIu64,
			 ns / UINT64_C(60000000000),
			 ns / UINT64_C(1000000000) % 60);
	return buf;
}

/* ---- progress ---------------------------------------------------------------- */

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
	       (uint64_t)ts.tv_nsec;
}

void progress_begin(struct progress *p, const char *what, bool bytes)
{
	p->what = what;
	p->bytes = bytes;
	p->on = isatty(STDERR_FILENO);
	p->start_ns = now_ns();
	/* what is done at once shows nothing */
	p->drawn_ns = p->start_ns;
	p->drawn = false;
}

void progress_show(struct progress *p, uint64_t done, uint64_t total)
{
	char a[OUT_TEXT_MAX], b[OUT_TEXT_MAX], r[OUT_TEXT_MAX];
	uint64_t now = now_ns();
	double secs = (double)(now - p->start_ns) / 1e9;
	double rate = secs > 0 ? (double)done / secs : 0;
	uint64_t eta = 0;

	if (!p->on || now - p->drawn_ns < UINT64_C(100000000))
		return;
	p->drawn_ns = now;
	p->drawn = true;
	if (rate > 0 && total > done)
		eta = (uint64_t)((double)(total - done) / rate);
	if (p->bytes) {
		out_size(a, done);
		out_size(b, total);
		out_size(r, (uint64_t)rate);
	} else {
		snprintf(a, sizeof(a), "%" PRIu64, done);
		snprintf(b, sizeof(b), "%" PRIu64, total);
		snprintf(r, sizeof(r), "%.0f", rate);
	}
	fprintf(stderr,
		"\r\033[K%s %3.0f %%  %s of %s  %s/s  ETA %" PRIu64
		":%02" PRIu64,
		p->what,
		total ? 100.0 * (double)MIN_OF(done, total) / (double)total : 0,
		a, b, r, eta / 60, eta % 60);
	fflush(stderr);
}

void progress_end(struct progress *p)
{
	if (p->drawn)
		fputs("\r\033[K", stderr);
	p->drawn = false;
}
