/* SPDX-License-Identifier: Apache-2.0 */
/* import_internal.h - what the files of the import share */
#ifndef DBS_TOOLS_IMPORT_IMPORT_INTERNAL_H
#define DBS_TOOLS_IMPORT_IMPORT_INTERNAL_H

#include <errno.h>
#include <limits.h>

#include "store/store.h"
#include "tools/client.h"
#include "tools/import/gate.h"
#include "tools/import/import.h"
#include "tools/import/load.h"
#include "tools/import/private.h"
#include "tools/import/proof.h"
#include "tools/import/rules.h"
#include "tools/import/sql_plan.h"
#include "tools/import/sql_rewriter.h"
#include "tools/out.h"

#define MANIFEST_FILE "dbs-import.json"

/* What is known of a table of the dump. */
struct import_table {
	struct import_table *next;
	char *full; /* "db.table" */
	const char *db, *name;
	struct sql_table *table; /* NULL: no CREATE TABLE yet */
	struct rules_plan *plan; /* NULL: no rules */
	struct gate_table *gate;
	int *proof;	  /* per column: its number in the proof; -1: none */
	bool is_row_wise; /* its rows have to be looked at */
	bool is_altered;  /* its columns may be others than in table */
	uint64_t nr_seen, nr_rows; /* in the dump; loaded */
	char *keys;		   /* ALTER TABLE, or NULL */
	char **alone;		   /* those of one key each */
	unsigned nr_alone;
	char *foreign;
};

struct import {
	const struct invocation *inv;
	const struct import_options *options;
	/* what it works with */
	struct rules *rules;
	struct mask_key *key;
	struct source *source;
	struct client *client;
	struct private_server server;
	struct load *load;
	struct proof *proof; /* NULL: nothing is masked */
	struct gate *gate;   /* NULL: no rules */
	struct import_dump *dump;
	/* datasets */
	char mount[PATH_MAX], datadir[PATH_MAX];
	char temp[DATASET_NAME_MAX + 1]; /* the dataset that is made */
	json_int_t temp_id;
	int hold; /* a file without a name in it, open; -1: none */
	char snapshot[DATASET_NAME_MAX + 1];
	bool exists; /* the dataset that is imported into */
	bool made;   /* the temporary one */
	bool switched;
	/* tables */
	struct import_table *tables, **last_table;
	struct import_table *current; /* of the INSERT that goes on */
	unsigned *map;		      /* value of a row -> column */
	unsigned nr_map, cap_map;
	struct sql_plan_row decoded;
	struct mask_buf *bufs;
	unsigned nr_bufs;
	struct sql_buf scratch;
	/* where it is */
	const struct source_part *part;
	struct sql_reader *reader;
	bool says_db, made_db; /* the dump names databases; ours was made */
	uint64_t nr_bytes, nr_rows, nr_masked, start_ns, tick_ns, drawn_ns;
	uint64_t called_ns; /* when the daemon was asked last */
	uint64_t daemon;    /* its process */
	uint64_t read_cpu_ms, init_ms, load_ms, keys_ms, stop_ms, proof_ms;
	bool drawn, no_space;
	int code; /* of what a callback has said already */
	json_t *report;
};

/** Says a sentence, and that it was said. */
#define REFUSE(im, exit_code, ...)                                             \
	((im)->code = fail((exit_code), __VA_ARGS__), -ECANCELED)

/* ---- import_table.c ------------------------------------------------------------- */

/** The table of that name, or NULL. */
struct import_table *import_table_find(const struct import *im,
				       const struct sql_name *name);
/** Its columns, for the reader; NULL: not known. */
const struct sql_table *import_on_find(void *import,
				       const struct sql_name *name);
/** It was dropped again: there is nothing to look at, and no index to add. */
void import_table_forget(struct import *im, struct import_table *t);
void import_tables_free(struct import *im);
/** Is the database one of the server's own?  NULL is none. */
bool import_is_system(const char *db);
/* of import_ops */
int import_on_verdict(void *import, const struct sql_name *name);
int import_on_create(void *import, struct sql_table *table);
/** All of the dump was read: what is to be said of rules and gate? */
int import_check_rules(struct import *im);

/* ---- import_rows.c -------------------------------------------------------------- */

/* of import_ops */
int import_on_insert(void *import, const struct sql_insert *insert);
int import_on_row(void *import, const struct sql_event *row,
		  struct sql_cell *cells);

/* ---- import_statement.c --------------------------------------------------------- */

/** What is done with all that a dump has. */
extern const struct sql_rewriter_ops import_ops;

/* ---- import.c ------------------------------------------------------------------- */

/** -errno of a callback or the loader as a sentence; returns the exit code. */
int import_fail(struct import *im, int err);
/** From time to time: progress, signals, room.  Errors: -ECANCELED, -ENOSPC */
int import_tick(struct import *im);

/* ---- import_keys.c -------------------------------------------------------------- */

/** CREATE TABLE without what comes after the data; keeps that in @t. */
int import_create(struct import *im, struct import_table *t,
		  const struct sql_statement *st);
/** Add the indexes, then the foreign keys. */
int import_add_keys(struct import *im);
/** `db`.`table` */
int import_quote(struct sql_buf *b, const char *db, const char *name);

/* ---- import_store.c -------------------------------------------------------------- */

/** Find the mount, remove what a killed import left, look at the dataset. */
int import_store_begin(struct import *im);
/** Make the dataset beside it. */
int import_store_make(struct import *im);
/** IM1 */
int import_store_switch(struct import *im, const json_t *properties);
/** Remove the dataset that was made, if it is there still. */
void import_store_end(struct import *im);
/** Is there hardly any room in the pool? */
bool import_store_is_full(const struct import *im);

/* ---- import_manifest.c ------------------------------------------------------------- */

/** Tell the gate the columns of the last import. */
int import_manifest_know(struct import *im);
/** Write it into the data directory; @properties: out, of the snapshot. */
int import_manifest_write(struct import *im, json_t **properties);

/* ---- import_dump.c ------------------------------------------------------------------ */

struct import_dump;
/**
 * Begin a dump in a directory, under names that go; it is to be called as the
 * snapshot @name.  Says what is wrong.
 */
int import_dump_open(const char *dir, const char *name,
		     struct import_dump **out);
int import_dump_write(struct import_dump *dump, const char *bytes, size_t len);
/** Its end, on disk, with all that is beside it; only renames are left. */
int import_dump_finish(struct import_dump *dump);
/** Give all its names, after the switch of @dataset; {file, bytes, sha256}. */
int import_dump_publish(struct import_dump *dump, const char *dataset,
			json_t *report);
/** Without publish: nothing is left of it. */
void import_dump_close(struct import_dump *dump);
/** What is wrong with the writing, after import_dump_write() failed. */
const char *import_dump_error(const struct import_dump *dump);

#endif
