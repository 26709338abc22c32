/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proof.h - no original value is left in the bytes of what is published
 *
 * Below: xxhash, getrandom(2).  Above: import.h.
 * Files: proof.c (what is looked for), proof_scan.c (files).
 *
 * Originals of masked columns are kept as keyed hashes of their first
 * PROOF_LENGTH_MAX bytes, in memory only.  Past PROOF_VALUES_MAX of them a
 * uniform sample stays.  A file is scanned byte by byte: four bytes at each
 * offset are looked up in a small bitmap, six in a large one, then the lengths
 * that originals with this beginning have, then the keyed hash of so many
 * bytes.
 *
 * What would be found by chance is not looked for, but counted:
 *
 *  - values shorter than PROOF_LENGTH_MIN bytes, numbers with fewer than
 *    PROOF_DIGITS_MIN digits, and what the server stores in another form than
 *    text (numbers, dates, JSON documents)
 *  - words: names of letters alone, shorter than PROOF_WORD_MAX bytes (of a
 *    city: of any length), of which each six bytes stand together in text that
 *    the rules keep, in results of masks, or in a new server's own files.
 *    "VIRGINIA" is in "VIRGINIAN PLUTO".
 *  - originals that are also results of their mask (mask_is_dense())
 *
 * Invariants:
 *  PR1  no original, nor any part of one, is kept or written anywhere.
 *  PR2  a value that was counted in nr_values is found wherever its bytes
 *       stand in one piece.
 *  PR3  a result that contains its original is refused when it is made, so
 *       that PR2's exceptions hide no mask that failed.
 *
 * The character set: originals are looked for in UTF-8, and where that differs
 * and the column is latin1, in latin1.
 */
#ifndef DBS_TOOLS_IMPORT_PROOF_H
#define DBS_TOOLS_IMPORT_PROOF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/import/mask.h"

#define PROOF_LENGTH_MIN 6u
#define PROOF_LENGTH_MAX 64u
#define PROOF_DIGITS_MIN 10u
#define PROOF_WORD_MAX	 12u
#define PROOF_VALUES_MAX 700000u

struct proof;

struct proof_stats {
	uint64_t nr_seen;    /* values of masked columns */
	uint64_t nr_values;  /* different ones that are looked for */
	uint64_t nr_sampled; /* 1 in so many of those there were */
	/* left out: */
	uint64_t nr_short, nr_binary, nr_words, nr_dense;
	uint64_t nr_files, bytes;
	double scan_ms;
};

struct proof_hit {
	char file[512]; /* in the directory */
	uint64_t offset;
	const char *column; /* "db.table.column" */
};

/** Errors: -ENOMEM, -EIO */
int proof_new(struct proof **out);
void proof_free(struct proof *proof);

/**
 * A masked column.
 *
 * @city: its values are names of places
 *
 * Returns its number for proof_value(), or -ENOMEM.
 */
int proof_column(struct proof *proof, const char *name, bool city, bool dense,
		 bool latin1);
/**
 * A value of @column and what it became.
 * Errors: -EBADMSG PR3; -ENOMEM
 */
int proof_value(struct proof *proof, int column, const struct mask_value *in,
		const struct mask_buf *out);
/** One that cannot be looked for. */
void proof_binary(struct proof *proof);
/** A row begins: the texts that follow stand side by side in a page. */
void proof_row(struct proof *proof);
/** Text that may contain words: PR2. */
void proof_text(struct proof *proof, const char *text, size_t len);
/** All files of a new server: the same. */
int proof_learn(struct proof *proof, const char *dir);

/**
 * Scan all files below @dir, with a thread for each CPU.
 *
 * @hit:      out, the first one found
 * @progress: NULL, or called by this thread with the bytes scanned so far;
 *            what is not 0 ends the scan
 *
 * Returns 1 there is one; 0 there is none; errors: -ENOMEM, -ECANCELED, of
 * open(2) and read(2), with @hit's file set
 */
int proof_scan(struct proof *proof, const char *dir, struct proof_hit *hit,
	       int (*progress)(void *arg, uint64_t bytes), void *arg);

const struct proof_stats *proof_stats(const struct proof *proof);

#endif
