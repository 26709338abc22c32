/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sql_value.h - values of a row: what they are, their bytes, literals of them
 *
 * Below: sql_scan.  Above: sql_row, sql_reader, sql_rewriter, masks.
 *
 * Invariants:
 *  SV1  decoding what was encoded gives the same bytes, and the literal ends
 *       where it is meant to, whatever the bytes.
 */
#ifndef DBS_TOOLS_IMPORT_SQL_VALUE_H
#define DBS_TOOLS_IMPORT_SQL_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "tools/import/sql_scan.h"

enum sql_kind {
	SQL_NULL,
	SQL_STRING,	/* 'text', "text", _binary 'text', N'text' */
	SQL_NUMBER,	/* -12, 1.5e10 */
	SQL_HEX,	/* 0x4142, x'4142' */
	SQL_BIT,	/* b'101', 0b101 */
	SQL_DEFAULT,	/* the word */
	SQL_EXPRESSION, /* all else: NOW(), 'a' 'b', TRUE; has no bytes here */
};

struct sql_value {
	const char *text; /* verbatim, without white space around it */
	uint32_t len;
	uint32_t body; /* offset in text: past quote, 0x, b' */
	uint32_t body_len;
	uint8_t kind;  /* enum sql_kind */
	uint8_t flags; /* SQL_VALUE_* */
};

/* A text that grows; zeros are an empty one. */
struct sql_buf {
	char *p;
	size_t len, cap;
};
void sql_buf_release(struct sql_buf *b);
/** Make room for @more bytes; 0 or -ENOMEM. */
int sql_buf_grow(struct sql_buf *b, size_t more);
static inline int sql_buf_reserve(struct sql_buf *b, size_t more)
{
	return b->cap - b->len >= more ? 0 : sql_buf_grow(b, more);
}
static inline int sql_buf_add(struct sql_buf *b, const char *p, size_t len)
{
	const int err = sql_buf_reserve(b, len);

	if (err || len == 0)
		return err;
	memcpy(b->p + b->len, p, len);
	b->len += len;
	return 0;
}
static inline int sql_buf_text(struct sql_buf *b, const char *text)
{
	return sql_buf_add(b, text, strlen(text));
}

/**
 * The bytes that @v stands for, in the character set of the connection or that
 * of its introducer.  A number's bytes are its text.
 *
 * @scratch: filled from its start where the bytes are not in the text as such
 * @bytes:   out, in the text or in @scratch; NULL for NULL
 *
 * Errors: -ENOTSUP DEFAULT and expressions have none; -ENOMEM
 */
int sql_value_bytes(const struct sql_value *v, struct sql_buf *scratch,
		    const char **bytes, size_t *len);

/** The introducer of a string, without '_'; NULL: it has none. */
const char *sql_value_charset(const struct sql_value *v, size_t *len);

/**
 * Add a literal of @bytes (NULL: NULL) to @out, written as @like was: its
 * quote, introducer and way of escaping; hexadecimal where it was.  A number
 * stays bare if @bytes are one.  In place of NULL, DEFAULT and expressions
 * stands a string.
 *
 * Errors: -ENOMEM
 */
int sql_value_encode(struct sql_buf *out, const struct sql_value *like,
		     const char *bytes, size_t len);

/** Past the number that begins at @p: [+-] digits . digits e digits; or @p. */
const char *sql_number_end(const char *p, const char *end);

#endif
