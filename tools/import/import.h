/* SPDX-License-Identifier: Apache-2.0 */
/*
 * import.h - a dump becomes a snapshot of a dataset
 *
 * Below: source.h, sql_rewriter.h, rules.h, gate.h, load.h, private.h, proof.h,
 * client.h.  Above: cmd_import.c.
 * Files: import.c (the run), import_table.c (tables, and what the rules say),
 * import_rows.c, import_statement.c (what goes to the server), import_keys.c
 * (indexes after the data), import_store.c (datasets: what is left of others,
 * the switch), import_manifest.c, import_dump.c (--publish).
 *
 * Invariants:
 *  IM1  dataset, head and snapshots, is as it was until import_store_switch(),
 *       and then as it is to be, whatever ends in between.
 *  IM2  what is switched to has a clean shutdown behind it, no finding of a
 *       strict gate, and no hit of the proof.
 *  IM3  no message, log or file has a value of a column that is masked.
 */
#ifndef DBS_TOOLS_IMPORT_IMPORT_H
#define DBS_TOOLS_IMPORT_IMPORT_H

#include <jansson.h>

#include "tools/cmd.h"
#include "tools/import/source.h"

struct import_options {
	const char *dataset;
	struct source_options source;
	const char *rules;    /* file; NULL: nothing is masked */
	const char *snapshot; /* NULL: the time */
	const char *publish;  /* directory; NULL: no dump */
	const char *database; /* where a dump doesn't say; NULL: the dataset */
	const char *server;   /* NULL: the default */
};

/**
 * Run it.
 *
 * @report: out, what was done, or as far as it came; the caller's
 *
 * Returns CTL_OK, or says why not and returns the exit code.
 */
int import_run(const struct invocation *inv,
	       const struct import_options *options, json_t **report);

#endif
