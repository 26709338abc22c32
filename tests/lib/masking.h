/* SPDX-License-Identifier: Apache-2.0 */
/*
 * masking.h - a key, a mask and a column in one line, for tests of masks
 *
 * Below: tools/import/mask.h.  Above: test_mask*.c, test_gate.c.
 */
#ifndef DBS_TESTS_MASKING_H
#define DBS_TESTS_MASKING_H

#include <stdbool.h>

#include "tests/lib/check.h"
#include "tools/import/mask.h"

struct masking {
	struct mask_key *key;
	struct mask_buf buf;
	struct mask *mask;
	struct mask_column column;
};

/* @parameter: "part=first", or NULL */
static inline struct mask *masking_mask(enum mask_kind kind,
					const char *parameter)
{
	struct mask *mask = mask_new(kind);
	const char *equals = parameter ? strchr(parameter, '=') : NULL;
	char name[32], why[256];

	MUST(mask);
	if (equals) {
		snprintf(name, sizeof(name), "%.*s", (int)(equals - parameter),
			 parameter);
		MUST(!mask_set(mask, name, equals + 1, why, sizeof(why)));
	}
	return mask;
}

static inline void masking_begin(struct masking *m, const char *secret,
				 enum mask_kind kind, const char *parameter,
				 const char *type)
{
	memset(m, 0, sizeof(*m));
	m->key = mask_key_new(secret, strlen(secret));
	MUST(m->key && !mask_buf_init(&m->buf, m->key));
	m->mask = masking_mask(kind, parameter);
	m->column = (struct mask_column){
		.name = "c", .type = type, .nullable = true};
	mask_column_init(&m->column);
}

static inline void masking_end(struct masking *m)
{
	mask_free(m->mask);
	mask_buf_release(&m->buf);
	mask_key_free(m->key);
}

/* The result, as a string that lives until the next call. */
static inline const char *masking_bytes(struct masking *m, const char *bytes,
					size_t len)
{
	const struct mask_value in = {bytes, len, VALUE_STRING};
	static char text[4][70000];
	static unsigned turn;
	char *to = text[turn++ % 4];

	MUST(!mask_apply(m->mask, &m->column, &in, &m->buf));
	MUST(m->buf.len < sizeof(text[0]));
	if (m->buf.kind == VALUE_NULL)
		return "NULL";
	memcpy(to, m->buf.bytes, m->buf.len);
	to[m->buf.len] = '\0';
	return to;
}

static inline const char *masking_of(struct masking *m, const char *text)
{
	return masking_bytes(m, text, strlen(text));
}

#define SECRET "0123456789abcdef0123456789abcdef"

#endif
