/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A dump, as anybody may have written it.
 *
 * What must hold: the events' bytes are the dump (RD1) and the same however it
 * is cut (RD4); rewriting nothing gives the dump (RW1); with every value
 * changed, what is written reads as the same rows of the new values (RW3, SV1);
 * a table without its keys is still that table.
 *
 * The first byte of an input says how it is read, the rest is the dump.
 */
#include <errno.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/lib/check.h"
#include "tests/lib/sql_text.h"
#include "tools/import/sql_rewriter.h"

/* All of an input; the default is large for a sanitizer. */
#define BUFFER 4096u
#define MASK   "a'\\\"\n),(1;-- /*"

void fuzz_setup(void)
{
}

/* ---- cut in other ways --------------------------------------------------- */

static void check_events(const struct sql_reader_options *options,
			 const char *dump, size_t len, uint8_t how)
{
	const struct sql_cut plain = {BUFFER, 0, 0};
	const struct sql_cut cut = {16u + (how & 0x38u), 1u + (how & 7u),
				    how & 1u};
	char *want = sql_events(options, dump, len, &plain);
	char *got = sql_events(options, dump, len, &cut);

	if (strcmp(got, want) != 0)
		fprintf(stderr, "got:\n%swant:\n%s", got, want);
	MUST(!strcmp(got, want));
	free(want);
	free(got);
}

/* ---- written again ------------------------------------------------------- */

struct written {
	struct sql_buf bytes;
	uint64_t nr_rows;
	bool change;
};

static int write_bytes(void *arg, const char *bytes, size_t len)
{
	struct written *w = arg;

	return sql_buf_add(&w->bytes, bytes, len);
}

static int change_row(void *arg, const struct sql_event *row,
		      struct sql_cell *cells)
{
	struct written *w = arg;

	w->nr_rows++;
	if (!w->change)
		return SQL_ROW_KEEP;
	for (unsigned i = 0; i < row->nr_values; i++) {
		cells[i].kind = SQL_CELL_BYTES;
		cells[i].bytes = MASK;
		cells[i].len = strlen(MASK);
	}
	return SQL_ROW_CHANGED;
}

static int check_statement(void *arg, const struct sql_statement *st)
{
	(void)arg;
	MUST(st->verb == SQL_VERB_INSERT || st->nr_rows == 0);
	return 0;
}

static void check_split(const struct sql_table *table)
{
	struct sql_dialect plain = {.delimiter = ";", .delimiter_len = 1};
	struct sql_split split;
	struct sql_table *again;

	MUST(sql_table_without_keys(table, 0, &split) == 0);
	MUST(split.len <= table->len);
	/* under another SQL_MODE the strings may be other ones */
	if (sql_table_parse(&plain, split.create, split.len, NULL, NULL,
			    &again) == 0) {
		MUST(again->nr_keys + split.nr_clauses == table->nr_keys ||
		     memchr(table->text, '\\', table->len));
		sql_table_put(again);
	} else {
		MUST(memchr(table->text, '\\', table->len));
	}
	sql_split_release(&split);
}

static int check_table(void *arg, struct sql_table *table)
{
	(void)arg;
	check_split(table);
	return 0;
}

static int rewrite(const struct sql_reader_options *options, const char *dump,
		   size_t len, struct written *w)
{
	static const struct sql_rewriter_ops ops = {
		.create = check_table,
		.row = change_row,
		.write = write_bytes,
		.statement = check_statement,
	};
	struct sql_source source = {.p = dump, .len = len};
	struct sql_reader_options o = *options;
	struct sql_reader *r;
	struct sql_rewriter *rw;
	int err;

	o.read = sql_source_read;
	o.arg = &source;
	o.buffer = 64;
	MUST(sql_reader_new(&o, &r) == 0);
	MUST(sql_rewriter_new(r, &ops, w, 64, &rw) == 0);
	err = sql_rewriter_run(rw);
	sql_rewriter_free(rw);
	sql_reader_free(r);
	return err;
}

/* Every value of @dump is the mask; counts rows. */
static uint64_t count_masked(const struct sql_reader_options *options,
			     const char *dump, size_t len)
{
	struct sql_source source = {.p = dump, .len = len};
	struct sql_reader_options o = *options;
	struct sql_buf scratch = {0};
	struct sql_reader *r;
	struct sql_event ev;
	uint64_t nr_rows = 0;

	o.read = sql_source_read;
	o.arg = &source;
	o.buffer = BUFFER;
	MUST(sql_reader_new(&o, &r) == 0);
	do {
		MUST(sql_reader_next(r, &ev) == 0);
		nr_rows += ev.kind == SQL_ROW;
		for (unsigned i = 0; i < ev.nr_values; i++) {
			const char *bytes;
			size_t n;

			MUST(!sql_value_bytes(&ev.values[i], &scratch, &bytes,
					      &n));
			MUST(n == strlen(MASK) && !memcmp(bytes, MASK, n));
		}
	} while (ev.kind != SQL_END);
	sql_reader_free(r);
	sql_buf_release(&scratch);
	return nr_rows;
}

static void check_changed(const struct sql_reader_options *options,
			  const char *dump, size_t len, uint64_t nr_rows)
{
	struct written w = {.change = true};
	const int err = rewrite(options, dump, len, &w);

	if (err) {
		/* rows grew, and a statement that had to be cut can't be */
		MUST(err == -ENOTSUP);
	} else {
		MUST(w.nr_rows == nr_rows);
		MUST(count_masked(options, w.bytes.p, w.bytes.len) == nr_rows);
	}
	sql_buf_release(&w.bytes);
}

void fuzz_one(const uint8_t *data, size_t len)
{
	struct sql_reader_options options = {.limit = 1u << 20};
	const char *dump = (const char *)data + 1;
	struct written w = {0};

	if (len == 0)
		return;
	len--;
	options.ends_at_line = data[0] & 0x40;
	options.db = data[0] & 0x80 ? "db" : NULL;
	check_events(&options, dump, len, data[0]);

	if (!rewrite(&options, dump, len, &w)) {
		MUST(w.bytes.len == len);
		MUST(len == 0 || !memcmp(w.bytes.p, dump, len));
		check_changed(&options, dump, len, w.nr_rows);
	}
	sql_buf_release(&w.bytes);
}
