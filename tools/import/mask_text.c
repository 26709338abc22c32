/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask_text.c - made-up words from a keyed hash: email, name, address, free
 * text, hash
 *
 * Words are syllables of six bits each, "kelorumati": readable, and hardly ever
 * a word or a name that somebody has.  Lists of real names would be shorter,
 * but then one row's result is another row's original, and a search for
 * originals in the imported data means nothing.
 */
#include "tools/import/mask_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "store/store.h"

/* ---- what compares as equal -------------------------------------------------------- */

/* Lower case of a code point of Latin, Greek or Cyrillic in two bytes. */
static uint32_t lower(uint32_t c)
{
	if ((c >= 0xc0 && c <= 0xde && c != 0xd7) ||
	    (c >= 0x391 && c <= 0x3a9 && c != 0x3a2) ||
	    (c >= 0x410 && c <= 0x42f))
		return c + 32;
	if (c >= 0x400 && c <= 0x40f)
		return c + 80;
	if ((c >= 0x100 && c <= 0x137 && c != 0x130 && c != 0x131) ||
	    (c >= 0x14a && c <= 0x177) || (c >= 0x460 && c <= 0x481) ||
	    (c >= 0x48a && c <= 0x4bf) || (c >= 0x4d0 && c <= 0x52f))
		return c | 1;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
		return c + (c & 1);
	return c == 0x178 ? 0xff : c;
}

/* The second case of a two-byte sequence; what is not UTF-8 stays. */
static void fold_two(const char *in, char *out)
{
	const uint32_t a = (uint8_t)in[0], b = (uint8_t)in[1];
	uint32_t c;

	out[0] = in[0];
	out[1] = in[1];
	if (a < 0xc2 || a > 0xdf || (b & 0xc0) != 0x80)
		return;
	c = lower((a & 0x1f) << 6 | (b & 0x3f));
	out[0] = (char)(0xc0 | c >> 6);
	out[1] = (char)(0x80 | (c & 0x3f));
}

int text_fold(struct mask_ctx *ctx, const struct mask_column *column,
	      const struct mask_value *in, const char **bytes, size_t *len)
{
	size_t n = in->len;
	char *out;

	*bytes = in->bytes;
	*len = in->len;
	if (column->class == CLASS_BINARY || column->case_sensitive)
		return 0;
	while (n && in->bytes[n - 1] == ' ')
		n--;
	out = ctx_scratch(ctx, n);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const char c = in->bytes[i];

		if ((uint8_t)c >= 0xc2 && (uint8_t)c <= 0xdf && i + 1 < n) {
			fold_two(in->bytes + i, out + i);
			i++;
		} else {
			out[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
		}
	}
	*bytes = out;
	*len = n;
	return 0;
}

/* ---- bits ---------------------------------------------------------------------------- */

struct source {
	struct mask_ctx *ctx;
	struct crypt_hash hash, block;
	uint32_t nr_blocks;
	unsigned at; /* next unused byte of block */
	uint32_t acc;
	unsigned nr_acc; /* bits in acc */
};

static uint32_t take(struct source *s, unsigned nr)
{
	uint32_t v;

	while (s->nr_acc < nr) {
		if (s->at == sizeof(s->block.b) || !s->nr_blocks) {
			crypt_stream(s->ctx, &s->hash, s->nr_blocks++,
				     &s->block);
			s->at = 0;
		}
		s->acc |= (uint32_t)s->block.b[s->at++] << s->nr_acc;
		s->nr_acc += 8;
	}
	v = s->acc & ((1u << nr) - 1);
	s->acc >>= nr;
	s->nr_acc -= nr;
	return v;
}

/* ---- words ------------------------------------------------------------------------------ */

static const char consonants[] = "bdfgklmnprstvzhj";
static const char vowels[] = "aeio";
/* without those that look alike: l, o, 0, 1 */
static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";

static void put(struct mask_buf *out, char c)
{
	out->bytes[out->len++] = c;
}

static void syllable(struct source *s, struct mask_buf *out)
{
	const uint32_t v = take(s, 6);

	put(out, consonants[v >> 2]);
	put(out, vowels[v & 3]);
}

/* A word with a capital of @nr syllables. */
static void word(struct source *s, struct mask_buf *out, unsigned nr)
{
	const size_t at = out->len;

	for (unsigned i = 0; i < nr; i++)
		syllable(s, out);
	if (nr)
		out->bytes[at] = (char)(out->bytes[at] - 32);
}

static void put_text(struct mask_buf *out, const char *text, size_t len)
{
	memcpy(out->bytes + out->len, text, len);
	out->len += len;
}

static void put_number(struct mask_buf *out, uint32_t v)
{
	char text[12];

	put_text(out, text, (size_t)snprintf(text, sizeof(text), "%u", v));
}

/* ---- a result that does not give the original away ---------------------------------------- */

static bool same_caseless(const char *a, const char *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((a[i] | 0x20) != (b[i] | 0x20))
			return false;
	return true;
}

/* M4 */
static bool gives_away(const struct mask_buf *out, const char *in, size_t len)
{
	if (len == out->len)
		return same_caseless(out->bytes, in, len);
	if (len < 3 || len > out->len)
		return false;
	for (size_t i = 0; i + len <= out->len; i++)
		if (same_caseless(out->bytes + i, in, len))
			return true;
	return false;
}

/* At most @room characters, which is at least 1. */
typedef void make_fn(const struct mask *mask, uint64_t room, struct source *s,
		     struct mask_buf *out);

#define TRIES_MAX 32

static int make(const struct mask *mask, const struct mask_column *column,
		const struct mask_value *in, struct mask_buf *out,
		enum mask_label label, size_t cap, make_fn *fn)
{
	const uint64_t room = column->max_chars ? column->max_chars : cap;
	const char *bytes;
	size_t len;
	int err = text_fold(out->ctx, column, in, &bytes, &len);

	if (!err)
		err = buf_reserve(out, cap + 64);
	if (err)
		return err;
	for (uint32_t i = 0; i < TRIES_MAX; i++) {
		struct source s = {.ctx = out->ctx};

		crypt_hash(out->ctx, label, i, bytes, len, &s.hash);
		out->len = 0;
		fn(mask, MIN_OF(room, (uint64_t)cap), &s, out);
		dbs_assert(out->len <= out->cap);
		if (!gives_away(out, bytes, len))
			break;
	}
	out->kind = in->kind == VALUE_BINARY ? VALUE_BINARY : VALUE_STRING;
	return 0;
}

/* ---- e-mail ----------------------------------------------------------------------------------- */

#define EMAIL_LOCAL    16u
#define EMAIL_LOCAL_OK 13u /* characters of 5 bits that are 64 bits */
#define SHORT_DOMAIN   "e.test"

/* How many characters stand before which domain. */
static unsigned email_fit(const struct mask *mask, uint64_t room,
			  const char **domain, size_t *domain_len)
{
	*domain = mask->text ? mask->text : "example.com";
	*domain_len = strlen(*domain);
	if (room < *domain_len + 1 + EMAIL_LOCAL_OK) {
		*domain = SHORT_DOMAIN;
		*domain_len = strlen(SHORT_DOMAIN);
	}
	if (room < *domain_len + 2)
		return 0;
	return (unsigned)MIN_OF(room - *domain_len - 1, EMAIL_LOCAL);
}

static void make_email(const struct mask *mask, uint64_t room, struct source *s,
		       struct mask_buf *out)
{
	const char *domain;
	size_t len;
	const unsigned nr = email_fit(mask, room, &domain, &len);

	for (unsigned i = 0; i < nr; i++)
		put(out, letters[take(s, 5)]);
	if (!nr) {
		word(s, out, (unsigned)(room / 2));
		return;
	}
	put(out, '@');
	put_text(out, domain, len);
}

int text_email(const struct mask *mask, const struct mask_column *column,
	       const struct mask_value *in, struct mask_buf *out)
{
	return make(mask, column, in, out, LABEL_EMAIL, 320, make_email);
}

/* ---- name --------------------------------------------------------------------------------------- */

#define WORD_SYLLABLES	 6u
#define UNIQUE_SYLLABLES 11u /* of 6 bits: 66 */

static unsigned fit(uint64_t room, unsigned nr)
{
	return (unsigned)MIN_OF(room / 2, (uint64_t)nr);
}

static void make_word(uint64_t room, struct source *s, struct mask_buf *out)
{
	if (room < 2)
		put(out, consonants[take(s, 4)]);
	else
		word(s, out, fit(room, WORD_SYLLABLES));
}

static void make_name(const struct mask *mask, uint64_t room, struct source *s,
		      struct mask_buf *out)
{
	unsigned nr;

	if (mask->part != PART_FULL || room < 5) {
		make_word(room, s, out);
		return;
	}
	nr = fit(room - 1, UNIQUE_SYLLABLES);
	word(s, out, nr / 2);
	put(out, ' ');
	word(s, out, nr - nr / 2);
}

int text_name(const struct mask *mask, const struct mask_column *column,
	      const struct mask_value *in, struct mask_buf *out)
{
	return make(mask, column, in, out, LABEL_NAME, 64, make_name);
}

/* ---- address --------------------------------------------------------------------------------------- */

/* "Kelorumativo Sanibeku 217", in full with ", 54321 Tavosunera" */
#define STREET_SYLLABLES 10u
#define STREET_ROOM	 (2 * STREET_SYLLABLES + 5)
#define FULL_ROOM	 (STREET_ROOM + 8 + 2 * WORD_SYLLABLES)

static void make_address(const struct mask *mask, uint64_t room,
			 struct source *s, struct mask_buf *out)
{
	if (mask->part == PART_CITY || room < STREET_ROOM) {
		make_word(room, s, out);
		return;
	}
	word(s, out, STREET_SYLLABLES / 2);
	put(out, ' ');
	word(s, out, STREET_SYLLABLES / 2);
	put(out, ' ');
	put_number(out, 1 + take(s, 9));
	if (mask->part != PART_FULL || room < FULL_ROOM)
		return;
	put_text(out, ", ", 2);
	put_number(out, 10000 + take(s, 16));
	put(out, ' ');
	word(s, out, WORD_SYLLABLES);
}

int text_address(const struct mask *mask, const struct mask_column *column,
		 const struct mask_value *in, struct mask_buf *out)
{
	if (mask->part == PART_POSTCODE)
		return shape_any(in, out);
	return make(mask, column, in, out, LABEL_ADDRESS, 96, make_address);
}

/* ---- free text -------------------------------------------------------------------------------------- */

/* as long as the original, in characters; bytes that are none count too */
static size_t count_chars(const struct mask_value *in)
{
	size_t nr = 0;

	for (size_t i = 0; i < in->len; i++)
		nr += ((uint8_t)in->bytes[i] & 0xc0) != 0x80;
	return nr ? nr : 1;
}

/* Words of the first syllables, which have the bits; later ones only fill. */
static const uint8_t first_words[] = {3, 4, 4};
#define FREE_MIN (2 * UNIQUE_SYLLABLES + 2) /* with the spaces between */

static void make_free(const struct mask *mask, uint64_t room, struct source *s,
		      struct mask_buf *out)
{
	unsigned left, nr = 0;

	(void)mask;
	while (out->len + 1 < room) {
		if (out->len)
			put(out, ' ');
		left = nr < ARRAY_SIZE(first_words) ? first_words[nr]
						    : 2 + take(s, 2);
		nr++;
		while (left-- && out->len + 2 <= room)
			syllable(s, out);
	}
	if (out->len < room)
		put(out, out->len ? '.' : consonants[take(s, 4)]);
	if (out->bytes[out->len - 1] == ' ')
		out->bytes[out->len - 1] = '.';
	if (out->bytes[0] >= 'a' && out->bytes[0] <= 'z')
		out->bytes[0] = (char)(out->bytes[0] - 32);
}

int text_free(const struct mask *mask, const struct mask_column *column,
	      const struct mask_value *in, struct mask_buf *out)
{
	/* short ones become longer: two must not become the same */
	const size_t nr = MAX_OF(count_chars(in), (size_t)FREE_MIN);

	return make(mask, column, in, out, LABEL_TEXT, nr, make_free);
}

/* ---- hash ---------------------------------------------------------------------------------------------- */

#define HASH_LENGTH 32u
#define UUID_LENGTH 36u

static unsigned hash_length(const struct mask *mask, uint64_t room)
{
	const unsigned length = mask->length ? mask->length : HASH_LENGTH;

	if (mask->uuid)
		return UUID_LENGTH;
	return room ? (unsigned)MIN_OF(room, (uint64_t)length) : length;
}

static void make_hash(const struct mask *mask, uint64_t room, struct source *s,
		      struct mask_buf *out)
{
	const unsigned nr = hash_length(mask, room);

	for (unsigned i = 0; i < nr; i++) {
		if (mask->uuid && (i == 8 || i == 13 || i == 18 || i == 23))
			put(out, '-');
		else if (mask->uuid && i == 14)
			put(out, '4'); /* as a random UUID, RFC 9562 */
		else if (mask->uuid && i == 19)
			put(out, "89ab"[take(s, 2)]);
		else
			put(out, "0123456789abcdef"[take(s, 4)]);
	}
}

/* Bytes for bytes, as many as there were or fit. */
static int hash_raw(const struct mask_column *column,
		    const struct mask_value *in, struct mask_buf *out)
{
	struct source s = {.ctx = out->ctx};
	size_t nr = in->len;
	int err;

	if (!column->fixed_len && nr < 16)
		nr = column->max_chars ? MIN_OF(column->max_chars, 16u) : 16;
	err = buf_reserve(out, nr);
	if (err)
		return err;
	for (uint32_t salt = 0; salt < TRIES_MAX; salt++) {
		s = (struct source){.ctx = out->ctx};
		crypt_hash(out->ctx, LABEL_HASH, salt, in->bytes, in->len,
			   &s.hash);
		out->len = 0;
		for (size_t i = 0; i < nr; i++)
			put(out, (char)take(&s, 8));
		if (!memmem(out->bytes, out->len, in->bytes, in->len))
			break;
	}
	out->kind = VALUE_BINARY;
	return 0;
}

int text_hash(const struct mask *mask, const struct mask_column *column,
	      const struct mask_value *in, struct mask_buf *out)
{
	struct mask uuid = {.kind = MASK_HASH, .uuid = true};

	if (column->class == CLASS_BINARY)
		return hash_raw(column, in, out);
	if (column->class == CLASS_UUID)
		mask = &uuid;
	return make(mask, column, in, out, LABEL_HASH, 64, make_hash);
}

/* ---- how sure ------------------------------------------------------------------------------------------- */

uint32_t text_bits(const struct mask *mask, uint64_t room)
{
	const char *domain;
	size_t len;

	if (!room)
		room = UINT64_MAX;
	switch (mask->kind) {
	case MASK_EMAIL:
		return 5 * email_fit(mask, room, &domain, &len);
	case MASK_NAME:
		if (mask->part != PART_FULL)
			return 6 * fit(room, WORD_SYLLABLES);
		return 6 * fit(room - 1, UNIQUE_SYLLABLES);
	case MASK_ADDRESS:
		if (mask->part == PART_CITY || room < STREET_ROOM)
			return 6 * fit(room, WORD_SYLLABLES);
		return 6 * STREET_SYLLABLES + 9;
	case MASK_TEXT:
		return 6 * fit(room > 2 ? room - 2 : room, UNIQUE_SYLLABLES);
	case MASK_HASH:
		return mask->uuid ? 122
				  : MIN_OF(4 * hash_length(mask, room), 128u);
	default:
		return UINT32_MAX;
	}
}
