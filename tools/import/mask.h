/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask.h - replaces a personal value by one that nobody's is
 *
 * Below: OpenSSL, jansson.  Above: rules.c, gate.c, the import.
 * Files: mask.c (what there is, dispatch, columns), mask_crypt.c (the secret
 * key, hash and permutation), mask_text.c (email, name, address, text, hash),
 * mask_shape.c (phone, number, card, IBAN, IP), mask_date.c, mask_json.c.
 *
 * Invariants:
 *  M1  the result follows from the key, the mask, the column's type and the
 *      value alone: equal values stay equal, in every table and column.
 *  M2  NULL stays NULL, an empty value stays empty (but for fixed and null).
 *  M3  the result is valid for the column: never longer, ASCII where the value
 *      was replaced, a date where a date was, a number in its type's range.
 *  M4  the result is never the value itself, and of three bytes or more does
 *      not contain it.  What says nothing stays: spaces, punctuation, zero, a
 *      zero date, a timestamp's first and last day; and so do the booleans of
 *      a JSON document and its other paths.
 *  M5  two values that differ give results that differ: always, where the
 *      result is a permutation of the values of its shape (phone, number,
 *      card, iban, ip, date, postcode), else with mask_bits() bits of a hash.
 *      mask_check_column() refuses fewer than 64 in a unique column.
 *  M6  without the key neither can a value be had from its result, nor can a
 *      guess be tried.
 *
 * Values that compare as equal under every collation that ignores case stay so:
 * case (ASCII, Latin, Greek, Cyrillic) and trailing spaces are folded before
 * hashing, unless the column's collation distinguishes case.  Whether a column
 * is unique does not change results: one that refers to it may not be.  See
 * docs/decisions/0092-masks.md.
 */
#ifndef DBS_TOOLS_IMPORT_MASK_H
#define DBS_TOOLS_IMPORT_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- values and columns ----------------------------------------------------- */

enum value_kind {
	VALUE_NULL,
	VALUE_STRING,
	VALUE_NUMBER,
	VALUE_BINARY,
};

/* Decoded: without quotes and escapes. */
struct mask_value {
	const char *bytes;
	size_t len;
	enum value_kind kind;
};

enum column_class {
	CLASS_TEXT, /* char, varchar, text; also what is not known */
	CLASS_INTEGER,
	CLASS_DECIMAL,
	CLASS_FLOAT,
	CLASS_YEAR,
	CLASS_DATE,
	CLASS_DATETIME,
	CLASS_TIMESTAMP,
	CLASS_TIME,
	CLASS_BINARY, /* binary, varbinary, blob */
	CLASS_JSON,
	CLASS_ENUM, /* enum, set */
	CLASS_UUID,
	CLASS_INET,
	CLASS_OTHER, /* bit, geometry */
};

struct mask_column {
	/* by the caller; the strings must outlive this */
	const char *name;
	const char *type;    /* as in CREATE TABLE: "varchar(45)" */
	uint64_t max_chars;  /* 0: as the type says, or no limit */
	const char *charset; /* or NULL; results are ASCII in any */
	bool nullable;
	bool unique;	     /* a unique key, of this column alone */
	bool case_sensitive; /* its collation is _bin or _cs */
	bool generated;	     /* has no values in a dump */
	/* by mask_column_init() */
	enum column_class class;
	bool fixed_len;	  /* binary(n) */
	uint64_t abs_max; /* of an integer that is not negative; 0: none */
	uint64_t abs_max_negative;
};

/** Fill in what follows from the type. */
void mask_column_init(struct mask_column *column);

/* ---- the key -------------------------------------------------------------------- */

#define MASK_KEY_MIN 16
#define MASK_KEY_MAX 4096

struct mask_key;

/** A key from @len secret bytes.  Owner: the caller; NULL: OpenSSL failed. */
struct mask_key *mask_key_new(const void *secret, size_t len);
/**
 * Read a key file: MASK_KEY_MIN to MASK_KEY_MAX bytes but for a last newline,
 * of no use to others on this host.  On error @why says what is wrong.
 * Errors: -ENOENT, -EACCES, -EPERM (others may read it), -EINVAL, -EIO
 */
int mask_key_load(const char *path, struct mask_key **key, char *why,
		  size_t why_size);
void mask_key_free(struct mask_key *key);

/* ---- masks ----------------------------------------------------------------------- */

enum mask_kind {
	MASK_KEEP,
	MASK_NULL,
	MASK_FIXED,
	MASK_EMAIL,
	MASK_PHONE,
	MASK_NAME,
	MASK_ADDRESS,
	MASK_TEXT,
	MASK_NUMBER,
	MASK_DATE,
	MASK_IBAN,
	MASK_CARD,
	MASK_IP,
	MASK_HASH,
	MASK_JSON,
};
#define NR_MASK_KINDS (MASK_JSON + 1)

struct mask;

/** "email" ... */
const char *mask_kind_name(enum mask_kind kind);
/** Errors: -ENOENT */
int mask_kind_of(const char *name, enum mask_kind *kind);
/** All names, for messages: "keep, null, fixed, ..." */
const char *mask_kind_names(void);

/** Never NULL but when memory is short. */
struct mask *mask_new(enum mask_kind kind);
void mask_free(struct mask *mask);
enum mask_kind mask_kind(const struct mask *mask);
/**
 * Set a parameter: email: domain; name: part (full, first, last); address:
 * part (street, city, postcode, full); date: days, time (shift, keep);
 * fixed: value; hash: length, format (hex, uuid).
 * Errors: -EINVAL, @why has a sentence with what is allowed; -ENOMEM
 */
int mask_set(struct mask *mask, const char *name, const char *value, char *why,
	     size_t why_size);
/** JSON: mask what is at @path ("$.user.emails[*]"); takes @inner, always. */
int mask_add_path(struct mask *mask, const char *path, struct mask *inner,
		  char *why, size_t why_size);
/** Is all there that must be?  Errors: -EINVAL with @why */
int mask_complete(const struct mask *mask, char *why, size_t why_size);
/** Canonical text with all parameters; the caller frees. */
char *mask_text(const struct mask *mask);

/**
 * May @mask be used on @column?  Errors: -EINVAL with @why: no room, a type
 * that cannot hold it, null where it is not, too few bits for a unique column.
 */
int mask_check_column(const struct mask *mask, const struct mask_column *column,
		      char *why, size_t why_size);
/** Bits of hash in a result; UINT32_MAX: a permutation, M5. */
uint32_t mask_bits(const struct mask *mask, const struct mask_column *column);
/**
 * Can a result be the value of another row?  So it is where results fill the
 * same small space as the values (number, date, phone); a search for
 * originals in what was imported must know.
 */
bool mask_is_dense(const struct mask *mask);

/* ---- applying -------------------------------------------------------------------- */

struct mask_ctx;

/* One thread's: its ciphers and its result. */
struct mask_buf {
	char *bytes; /* of the last result; not ended by a NUL */
	size_t len;
	enum value_kind kind;
	size_t cap;
	struct mask_ctx *ctx;
};

/** Errors: -ENOMEM */
int mask_buf_init(struct mask_buf *buf, const struct mask_key *key);
void mask_buf_release(struct mask_buf *buf);

/**
 * Mask one value into @out, over its last result.
 *
 * Context: any thread, one mask_buf each; allocates only while @out grows
 *          (json: for each value)
 * Errors:  -EBADMSG the value is not JSON; -EOVERFLOW it has no room in the
 *          column; -ENOMEM
 */
int mask_apply(const struct mask *mask, const struct mask_column *column,
	       const struct mask_value *in, struct mask_buf *out);

/**
 * Is the row that has this value in its sampling column one of @per_million of
 * a million?  By the key: the same value has the same answer in every table.
 */
bool mask_sample(struct mask_buf *buf, const struct mask_value *in,
		 uint32_t per_million);

#endif
