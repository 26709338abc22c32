/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_text.h - a dump in memory, read in pieces; and its events as text
 *
 * Below: sql_reader.  Above: the tests of tools/import.
 */
#ifndef DBS_TESTS_SQL_TEXT_H
#define DBS_TESTS_SQL_TEXT_H

#include "tests/lib/rnd.h"
#include "tools/import/sql_reader.h"

/* What sql_source_read() reads from. */
struct sql_source {
	const char *p;
	size_t len, at;
	size_t piece;	/* at most so many bytes a read; 0: all */
	struct rnd rnd; /* of state 0: exactly so many */
};
ssize_t sql_source_read(void *arg, void *buf, size_t len);

/* How the dump is read, beside what the options say. */
struct sql_cut {
	size_t buffer, piece;
	uint64_t seed;
};

/**
 * The events of @dump, one a line, without SPACE; the last is "eof" or "error".
 * MUST hold: their bytes are the dump (RD1), and its values are in their row in
 * order (SR1).
 */
char *sql_events(const struct sql_reader_options *options, const char *dump,
		 size_t len, const struct sql_cut *cut);

/**
 * The same; MUST hold: it is the same however it is cut (RD4).
 */
char *sql_events_any_cut(const struct sql_reader_options *options,
			 const char *dump, size_t len);

#endif
