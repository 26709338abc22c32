/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask_internal.h - what the files of mask.h share
 */
#ifndef DBS_TOOLS_IMPORT_MASK_INTERNAL_H
#define DBS_TOOLS_IMPORT_MASK_INTERNAL_H

#include "tools/import/mask.h"

__extension__ typedef unsigned __int128 u128;

enum mask_part {
	PART_NONE,
	PART_FULL,
	PART_FIRST,
	PART_LAST,
	PART_STREET,
	PART_CITY,
	PART_POSTCODE,
};

enum step_kind {
	STEP_KEY,
	STEP_ANY_KEY,
	STEP_INDEX,
	STEP_ANY_INDEX,
};

struct mask_step {
	enum step_kind kind;
	char *key;
	size_t index;
};

struct mask_path {
	char *text;
	struct mask_step *steps;
	size_t nr_steps;
	struct mask *mask;
};

struct mask {
	enum mask_kind kind;
	enum mask_part part;
	char *text; /* fixed: value; email: domain */
	size_t text_len;
	uint32_t length; /* hash */
	bool uuid;	 /* hash */
	uint32_t days;	 /* date */
	bool keep_time;	 /* date */
	struct mask_path *paths;
	size_t nr_paths;
};

/* What a value is hashed or permuted for: part of the cipher's input. */
enum mask_label {
	LABEL_EMAIL = 1,
	LABEL_PHONE,
	LABEL_NAME,
	LABEL_ADDRESS,
	LABEL_TEXT,
	LABEL_NUMBER,
	LABEL_DATE,
	LABEL_TIME,
	LABEL_FRACTION,
	LABEL_IBAN,
	LABEL_CARD,
	LABEL_IP,
	LABEL_HASH,
	LABEL_SHAPE,
	LABEL_SAMPLE,
};

#define TEXT_BITS_UNIQUE 64

/* ---- mask.c ------------------------------------------------------------------- */

/** Say in @why what is wrong.  Returns -EINVAL */
int mask_refuse(char *why, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ---- mask_crypt.c ------------------------------------------------------------- */

struct crypt_hash {
	uint8_t b[16];
};

/** Room for @len bytes in the result.  Errors: -ENOMEM */
int buf_reserve(struct mask_buf *buf, size_t len);
/** The thread's second buffer, for what is folded.  NULL: memory is short */
char *ctx_scratch(struct mask_ctx *ctx, size_t len);
/** The thread's second result, for a value inside a value. */
struct mask_buf *ctx_inner(struct mask_ctx *ctx);
/** A secret number of this key. */
uint32_t ctx_offset(const struct mask_ctx *ctx);

/** Keyed hash: a pseudo-random function of all arguments. */
void crypt_hash(struct mask_ctx *ctx, enum mask_label label, uint32_t salt,
		const void *bytes, size_t len, struct crypt_hash *hash);
/** Block @i of the pseudo-random stream of a hash. */
void crypt_stream(struct mask_ctx *ctx, const struct crypt_hash *hash,
		  uint32_t i, struct crypt_hash *block);
/**
 * Where the keyed permutation of [0, n) takes @x; never to @x itself, unless
 * @n is 1.  @n: 1 .. 2^120
 */
u128 crypt_permute(struct mask_ctx *ctx, enum mask_label label, uint64_t tweak,
		   u128 n, u128 x);

/* ---- mask_text.c ----------------------------------------------------------------- */

/** Bytes of @in as they compare, in scratch.  Errors: -ENOMEM */
int text_fold(struct mask_ctx *ctx, const struct mask_column *column,
	      const struct mask_value *in, const char **bytes, size_t *len);
int text_email(const struct mask *mask, const struct mask_column *column,
	       const struct mask_value *in, struct mask_buf *out);
int text_name(const struct mask *mask, const struct mask_column *column,
	      const struct mask_value *in, struct mask_buf *out);
int text_address(const struct mask *mask, const struct mask_column *column,
		 const struct mask_value *in, struct mask_buf *out);
int text_free(const struct mask *mask, const struct mask_column *column,
	      const struct mask_value *in, struct mask_buf *out);
int text_hash(const struct mask *mask, const struct mask_column *column,
	      const struct mask_value *in, struct mask_buf *out);
/** Hash bits in a result of at most @room characters. */
uint32_t text_bits(const struct mask *mask, uint64_t room);

/* ---- mask_shape.c ---------------------------------------------------------------- */

/** Every letter another letter, every digit another digit, the rest as it is. */
int shape_any(const struct mask_value *in, struct mask_buf *out);
int shape_phone(const struct mask_column *column, const struct mask_value *in,
		struct mask_buf *out);
int shape_number(const struct mask_column *column, const struct mask_value *in,
		 struct mask_buf *out);
int shape_card(const struct mask_value *in, struct mask_buf *out);
int shape_iban(const struct mask_value *in, struct mask_buf *out);
int shape_ip(const struct mask_value *in, struct mask_buf *out);

/* ---- mask_date.c, mask_json.c ------------------------------------------------------ */

int date_shift(const struct mask *mask, const struct mask_column *column,
	       const struct mask_value *in, struct mask_buf *out);
int json_mask(const struct mask *mask, const struct mask_column *column,
	      const struct mask_value *in, struct mask_buf *out);
/** Steps of "$.a[*].b".  Errors: -EINVAL with @why, -ENOMEM */
int json_path_parse(struct mask_path *path, char *why, size_t why_size);
void json_path_release(struct mask_path *path);

#endif
