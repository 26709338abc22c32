/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump.c - how fast a dump is read and rewritten, on one core
 *
 *   bench-dump [MB [RUNS]]
 *
 * Makes a dump of MB (256) in memory: extended inserts of rows of 16 columns,
 * of them ten texts with escapes, umlauts and NULLs here and there.  Prints the
 * best of RUNS (5) in MB (1,000,000 bytes) a second of CPU time: of a copy of
 * the bytes, of the reader alone, of the rewriter that changes nothing, and of
 * one that decodes ten columns of each row and gives them other bytes of the
 * same length, as a dump and as statements.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/lib/rnd.h"
#include "tools/import/sql_rewriter.h"

#define NR_MASKED    10u
#define INSERT_BYTES (1u << 20)

static struct sql_buf dump;
static volatile uint64_t sink;

static void must(int err)
{
	if (err < 0) {
		fprintf(stderr, "bench-dump: %s\n", strerror(-err));
		exit(2);
	}
}

/* ---- the dump ------------------------------------------------------------ */

static void add_text(struct rnd *r, size_t max)
{
	static const char *const rare[] = {"\\'", "\\n", "\xc3\xa4", "\\\\"};
	const size_t len = rnd_below(r, max);

	if (rnd_one_in(r, 12)) {
		must(sql_buf_text(&dump, ",NULL"));
		return;
	}
	must(sql_buf_text(&dump, ",'"));
	for (size_t i = 0; i < len; i++) {
		char c = (char)('a' + rnd_below(r, 26));

		if (rnd_one_in(r, 40))
			must(sql_buf_text(&dump, rare[rnd_below(r, 4)]));
		else
			must(sql_buf_add(&dump, &c, 1));
	}
	must(sql_buf_text(&dump, "'"));
}

static void add_row(struct rnd *r, uint64_t id)
{
	static const size_t max[NR_MASKED] = {20, 20, 30, 16, 40,
					      12, 25, 8,  60, 120};
	char text[200];

	snprintf(text, sizeof(text), "(%llu,%llu", (unsigned long long)id,
		 (unsigned long long)rnd_below(r, 100000));
	must(sql_buf_text(&dump, text));
	for (unsigned i = 0; i < NR_MASKED; i++)
		add_text(r, max[i]);
	snprintf(text, sizeof(text),
		 ",%llu.%02llu,'2026-%02llu-11 10:11:12',NULL,%llu)",
		 (unsigned long long)rnd_below(r, 10000),
		 (unsigned long long)rnd_below(r, 100),
		 (unsigned long long)rnd_between(r, 1, 13),
		 (unsigned long long)rnd_below(r, 2));
	must(sql_buf_text(&dump, text));
}

static void make_dump(size_t bytes)
{
	struct rnd r = {1};
	uint64_t id = 0;

	must(sql_buf_reserve(&dump, bytes + 2 * INSERT_BYTES));
	must(sql_buf_text(&dump, "-- MySQL dump\nSET NAMES utf8mb4;\n"
				 "CREATE TABLE `person` (\n  `id` int,\n"
				 "  `a` int"));
	for (unsigned i = 0; i < NR_MASKED; i++) {
		char text[64];

		snprintf(text, sizeof(text), ",\n  `t%u` varchar(200)", i);
		must(sql_buf_text(&dump, text));
	}
	must(sql_buf_text(&dump, ",\n  `p` decimal(10,2),\n  `at` datetime,\n"
				 "  `n` int,\n  `b` tinyint\n) DEFAULT "
				 "CHARSET=utf8mb4;\n"));
	while (dump.len < bytes) {
		const size_t start = dump.len;

		must(sql_buf_text(&dump, "INSERT INTO `person` VALUES\n"));
		for (;;) {
			add_row(&r, ++id);
			if (dump.len - start > INSERT_BYTES)
				break;
			must(sql_buf_text(&dump, ",\n"));
		}
		must(sql_buf_text(&dump, ";\n"));
	}
	must(sql_buf_text(&dump, "-- Dump completed\n"));
}

static size_t read_at;

static ssize_t read_dump(void *arg, void *buf, size_t len)
{
	const size_t left = dump.len - read_at;

	(void)arg;
	if (len > left)
		len = left;
	memcpy(buf, dump.p + read_at, len);
	read_at += len;
	return (ssize_t)len;
}

/* ---- what is measured ---------------------------------------------------- */

static struct sql_reader *reader(void)
{
	const struct sql_reader_options options = {.read = read_dump};
	struct sql_reader *r;

	read_at = 0;
	must(sql_reader_new(&options, &r));
	return r;
}

static void run_copy(void)
{
	static char buf[SQL_BUFFER];

	read_at = 0;
	while (read_dump(NULL, buf, sizeof(buf)) > 0)
		sink += (unsigned char)buf[0];
}

static void run_reader(void)
{
	struct sql_reader *r = reader();
	struct sql_event ev;

	do {
		must(sql_reader_next(r, &ev));
		sink += ev.nr_values;
	} while (ev.kind != SQL_END);
	sql_reader_free(r);
}

static int sink_bytes(void *arg, const char *bytes, size_t len)
{
	(void)arg;
	sink += (unsigned char)bytes[len / 2];
	return 0;
}

static int sink_statement(void *arg, const struct sql_statement *st)
{
	(void)arg;
	sink += st->len;
	return 0;
}

static struct sql_buf scratch, masked;

/* Ten columns decoded, each byte changed, kept until the next row. */
static int mask_row(void *arg, const struct sql_event *row,
		    struct sql_cell *cells)
{
	size_t at[NR_MASKED];

	(void)arg;
	masked.len = 0;
	for (unsigned i = 0; i < NR_MASKED; i++) {
		const char *bytes;
		size_t len;

		must(sql_value_bytes(&row->values[2 + i], &scratch, &bytes,
				     &len));
		at[i] = masked.len;
		must(sql_buf_reserve(&masked, len + 1));
		for (size_t k = 0; k < len; k++)
			masked.p[masked.len + k] =
				(char)('a' + (bytes[k] & 15));
		masked.len += len;
		cells[2 + i].kind = bytes ? SQL_CELL_BYTES : SQL_CELL_NULL;
		cells[2 + i].len = len;
	}
	for (unsigned i = 0; i < NR_MASKED; i++)
		cells[2 + i].bytes = masked.p + at[i];
	return SQL_ROW_CHANGED;
}

static void run_rewriter(const struct sql_rewriter_ops *ops)
{
	struct sql_reader *r = reader();
	struct sql_rewriter *rw;

	must(sql_rewriter_new(r, ops, NULL, 0, &rw));
	must(sql_rewriter_run(rw));
	sql_rewriter_free(rw);
	sql_reader_free(r);
}

static void run_same(void)
{
	run_rewriter(&(struct sql_rewriter_ops){.write = sink_bytes});
}

static void run_same_statements(void)
{
	run_rewriter(&(struct sql_rewriter_ops){.statement = sink_statement});
}

static void run_masked(void)
{
	run_rewriter(&(struct sql_rewriter_ops){.row = mask_row,
						.write = sink_bytes});
}

static void run_masked_both(void)
{
	run_rewriter(&(struct sql_rewriter_ops){.row = mask_row,
						.write = sink_bytes,
						.statement = sink_statement});
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void measure(const char *what, void (*run)(void), unsigned runs)
{
	double best = 0;

	for (unsigned i = 0; i < runs; i++) {
		const double start = now();
		double rate;

		run();
		rate = (double)dump.len / 1e6 / (now() - start);
		if (rate > best)
			best = rate;
	}
	printf("figure: %-42s %7.0f MB/s\n", what, best);
}

int main(int argc, char **argv)
{
	const size_t mb = argc > 1 ? strtoull(argv[1], NULL, 10) : 256;
	const unsigned runs =
		argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 5;

	make_dump(mb * 1000000);
	measure("copy of the bytes", run_copy, runs);
	measure("reader", run_reader, runs);
	measure("rewriter, nothing changed, dump", run_same, runs);
	measure("rewriter, nothing changed, statements", run_same_statements,
		runs);
	measure("rewriter, ten columns changed, dump", run_masked, runs);
	measure("rewriter, ten columns, dump and statements", run_masked_both,
		runs);
	sql_buf_release(&dump);
	sql_buf_release(&scratch);
	sql_buf_release(&masked);
	return 0;
}
