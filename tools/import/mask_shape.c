/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask_shape.c - permutations that keep a value's shape: phone, number, card,
 * IBAN, IP address
 *
 * Each character has a class; those of a class permute among themselves, all
 * of a value together as one number in a mixed radix.  The classes follow from
 * the value's shape, which stays, so two values that differ cannot meet.  A
 * value that is not what its mask expects is still masked, by shape_any().
 */
#include "tools/import/mask_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "store/store.h"

/* What a character may become. */
enum class {
	KEEP,
	DIGIT,
	DIGIT_1, /* 1 to 9 */
	DIGIT_2, /* 2 to 9 */
	DIGIT_01,
	LOWER,
	UPPER,
};

static const struct {
	char base;
	uint8_t radix;
} classes[] = {
	[KEEP] = {0, 1},      [DIGIT] = {'0', 10},   [DIGIT_1] = {'1', 9},
	[DIGIT_2] = {'2', 8}, [DIGIT_01] = {'0', 2}, [LOWER] = {'a', 26},
	[UPPER] = {'A', 26},
};

#define SHAPE_MAX 512u
/* a number that can take one character more and stays below 2^120 */
#define LIMIT (((u128)1 << 120) / 26)

struct shape {
	struct mask_buf *out;
	enum mask_label label;
	size_t len;
	uint8_t class[SHAPE_MAX];
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static uint8_t class_of(char c)
{
	if (is_digit(c))
		return DIGIT;
	if (c >= 'a' && c <= 'z')
		return LOWER;
	return c >= 'A' && c <= 'Z' ? UPPER : KEEP;
}

/*
 * Copy @in, with classes; a character outside ASCII becomes an 'x'.  What is
 * longer than a shape can be is cut: nothing that has one is so long.
 */
static int shape_begin(struct shape *s, enum mask_label label,
		       const struct mask_value *in, struct mask_buf *out)
{
	int err = buf_reserve(out, SHAPE_MAX);

	if (err)
		return err;
	s->out = out;
	s->label = label;
	out->len = 0;
	out->kind = in->kind;
	for (size_t i = 0; i < in->len && out->len < SHAPE_MAX; i++) {
		const uint8_t c = (uint8_t)in->bytes[i];

		if (c >= 0x80 && c < 0xc0)
			continue;
		out->bytes[out->len++] = c < 0x80 ? (char)c : 'x';
	}
	s->len = out->len;
	for (size_t i = 0; i < s->len; i++)
		s->class[i] = class_of(out->bytes[i]);
	return 0;
}

/* The end of those from @from that permute as one number, and their count. */
static size_t chunk_end(const struct shape *s, size_t from, u128 *n)
{
	size_t i;

	*n = 1;
	for (i = from; i < s->len; i++) {
		if (*n > LIMIT)
			break;
		*n *= classes[s->class[i]].radix;
	}
	return i;
}

/* 48 bits of a hash of all that is outside [from, to), in lower case. */
static uint64_t rest_of(const struct shape *s, size_t from, size_t to)
{
	char rest[SHAPE_MAX];
	struct crypt_hash hash;
	uint64_t tweak = 0;

	for (size_t i = 0; i < s->len; i++) {
		const char c = s->out->bytes[i];
		const bool inside = i >= from && i < to;

		rest[i] = s->class[i] == UPPER ? (char)(c | 0x20) : c;
		if (inside && s->class[i] != KEEP)
			rest[i] = 0;
	}
	crypt_hash(s->out->ctx, s->label, (uint32_t)from, rest, s->len, &hash);
	memcpy(&tweak, hash.b, 6);
	return tweak;
}

static void permute_chunk(struct shape *s, size_t from, size_t to, u128 n,
			  uint64_t tweak)
{
	char *bytes = s->out->bytes;
	u128 x = 0;
	uint64_t low;

	for (size_t i = from; i < to; i++) {
		const uint8_t c = s->class[i];

		if (c != KEEP)
			x = x * classes[c].radix +
			    (uint8_t)(bytes[i] - classes[c].base);
	}
	x = crypt_permute(s->out->ctx, s->label, tweak, n, x);
	for (size_t i = to; i-- > from;) {
		const uint8_t c = s->class[i], radix = classes[c].radix;

		if (c == KEEP)
			continue;
		if (x <= UINT64_MAX) { /* much faster */
			low = (uint64_t)x;
			bytes[i] = (char)(classes[c].base + (int)(low % radix));
			x = low / radix;
		} else {
			bytes[i] =
				(char)(classes[c].base + (uint8_t)(x % radix));
			x /= radix;
		}
	}
}

static void shape_end(struct shape *s)
{
	size_t from = 0, to;
	u128 n;

	for (; from < s->len; from = to) {
		to = chunk_end(s, from, &n);
		permute_chunk(s, from, to, n,
			      to - from == s->len ? 0 : rest_of(s, from, to));
	}
}

int shape_any(const struct mask_value *in, struct mask_buf *out)
{
	struct shape s;
	int err = shape_begin(&s, LABEL_SHAPE, in, out);

	if (!err)
		shape_end(&s);
	return err;
}

/* ---- phone -------------------------------------------------------------------------- */

/* Digits of the country code that begins here (ITU-T E.164, list of 2016). */
static unsigned country_digits(char a, char b)
{
	static const char two[10][11] = {
		[2] = "07",	  [3] = "0123469", [4] = "013456789",
		[5] = "12345678", [6] = "0123456", [8] = "1246",
		[9] = "0123458",
	};

	if (a == '1' || a == '7')
		return 1;
	if (is_digit(a) && b && strchr(two[a - '0'], b))
		return 2;
	return 3;
}

/* Where the digits are. */
struct digits {
	uint16_t at[SHAPE_MAX];
	size_t nr;
};

static void digits_find(const struct shape *s, struct digits *d)
{
	d->nr = 0;
	for (size_t i = 0; i < s->len; i++)
		if (s->class[i] == DIGIT)
			d->at[d->nr++] = (uint16_t)i;
}

static char digit_at(const struct shape *s, const struct digits *d, size_t i)
{
	return i < d->nr ? s->out->bytes[d->at[i]] : '\0';
}

/* Digits before the national number, with "+" or "00" before them. */
static size_t phone_prefix(const struct shape *s, const struct digits *d)
{
	size_t zeros = 0;

	if (s->out->bytes[0] != '+') {
		if (digit_at(s, d, 0) != '0' || digit_at(s, d, 1) != '0')
			return 0;
		zeros = 2;
	}
	if (digit_at(s, d, zeros) == '0')
		return zeros;
	return MIN_OF(d->nr, zeros + country_digits(digit_at(s, d, zeros),
						    digit_at(s, d, zeros + 1)));
}

int shape_phone(const struct mask_column *column, const struct mask_value *in,
		struct mask_buf *out)
{
	struct digits d;
	struct shape s;
	size_t i, prefix;
	bool nanp;
	int err = shape_begin(&s, LABEL_PHONE, in, out);

	(void)column;
	if (err || !s.len)
		return err;
	digits_find(&s, &d);
	prefix = phone_prefix(&s, &d);
	for (i = 0; i < prefix; i++)
		s.class[d.at[i]] = KEEP;
	/* "+1 NXX NXX XXXX", N from 2 to 9; what is none stays none */
	nanp = (prefix == 1 || (prefix == 3 && digit_at(&s, &d, 0) == '0')) &&
	       digit_at(&s, &d, prefix - 1) == '1' && d.nr - prefix == 10;
	if (nanp) {
		s.class[d.at[prefix]] =
			digit_at(&s, &d, prefix) >= '2' ? DIGIT_2 : KEEP;
		s.class[d.at[prefix + 3]] = digit_at(&s, &d, prefix + 3) >= '2'
						    ? DIGIT_2
						    : DIGIT_01;
	}
	for (i = prefix; !nanp && i < d.nr; i++) {
		if (digit_at(&s, &d, i) != '0') {
			s.class[d.at[i]] = DIGIT_1;
			break;
		}
		s.class[d.at[i]] = KEEP;
	}
	shape_end(&s);
	return 0;
}

/* ---- number ----------------------------------------------------------------------------- */

/* Classes of "-12.50e3"; false: it is not a number. */
static bool number_classes(struct shape *s)
{
	const char *b = s->out->bytes;
	size_t i = 0, nr = 0, end = s->len;
	bool dot = false, leading = true;

	while (end && b[end - 1] == ' ')
		end--;
	if (i < end && (b[i] == '-' || b[i] == '+'))
		i++;
	for (; i < end && (is_digit(b[i]) || (b[i] == '.' && !dot)); i++) {
		dot |= b[i] == '.';
		if (!is_digit(b[i]))
			continue;
		nr++;
		if (leading)
			s->class[i] = b[i] == '0' ? KEEP : DIGIT_1;
		leading &= b[i] == '0';
	}
	if (!nr)
		return false;
	if (i < end && (b[i] == 'e' || b[i] == 'E')) {
		s->class[i++] = KEEP;
		if (i < end && (b[i] == '-' || b[i] == '+'))
			i++;
		for (nr = 0; i < end && is_digit(b[i]); i++, nr++)
			s->class[i] = KEEP;
	}
	return nr && i == end;
}

/* The end of the type's range cuts the numbers of as many digits: [lo, hi]. */
static bool clipped(const struct mask_column *column, bool negative,
		    unsigned nr, uint64_t *lo, uint64_t *hi)
{
	const uint64_t max =
		negative ? column->abs_max_negative : column->abs_max;
	uint64_t ten = 1;

	if (!max || nr > 20)
		return false;
	for (unsigned i = 1; i < nr; i++)
		ten *= 10;
	if (max / 10 >= ten || max < ten)
		return false;
	*lo = column->class == CLASS_YEAR ? 1901 : ten;
	*hi = max;
	return true;
}

/* An integer, with the last digits before @end. */
static void number_in_range(struct shape *s, size_t first, unsigned nr,
			    uint64_t lo, uint64_t hi)
{
	char *b = s->out->bytes;
	uint64_t v = 0;

	for (size_t i = first; i < first + nr; i++)
		v = v * 10 + (uint64_t)(b[i] - '0');
	if (v < lo || v > hi)
		return; /* not of this type: nothing that is stored */
	v = lo + (uint64_t)crypt_permute(s->out->ctx, s->label, 0,
					 (u128)(hi - lo) + 1, v - lo);
	for (size_t i = first + nr; i-- > first; v /= 10)
		b[i] = (char)('0' + v % 10);
}

/* Of a number near the end of a float's range the first digit stays. */
static bool is_huge(const struct shape *s)
{
	const char *e = memchr(s->out->bytes, 'e', s->len);

	if (!e)
		e = memchr(s->out->bytes, 'E', s->len);
	return e && e + 2 < s->out->bytes + s->len && e[1] != '-';
}

int shape_number(const struct mask_column *column, const struct mask_value *in,
		 struct mask_buf *out)
{
	struct shape s;
	size_t first;
	unsigned nr = 0;
	uint64_t lo, hi;
	int err = shape_begin(&s, LABEL_NUMBER, in, out);

	if (err)
		return err;
	if (!number_classes(&s))
		return shape_any(in, out);
	for (first = 0; first < s.len && s.class[first] != DIGIT_1; first++)
		;
	for (size_t i = first; i < s.len; i++)
		nr += s.class[i] != KEEP;
	if (column->class == CLASS_FLOAT && first < s.len && is_huge(&s))
		s.class[first] = KEEP;
	if (clipped(column, out->bytes[0] == '-', nr, &lo, &hi) &&
	    first + nr <= s.len && !memchr(out->bytes, '.', s.len))
		number_in_range(&s, first, nr, lo, hi);
	else
		shape_end(&s);
	return 0;
}

/* ---- card ------------------------------------------------------------------------------------ */

#define CARD_KEPT 4u /* who issued it */

static unsigned luhn(const struct shape *s, const struct digits *d)
{
	unsigned sum = 0;

	for (size_t i = 0; i + 1 < d->nr; i++) {
		unsigned v = (unsigned)(digit_at(s, d, i) - '0');

		/* every second from the right, which the check digit ends */
		if ((d->nr - 1 - i) % 2)
			v = v > 4 ? 2 * v - 9 : 2 * v;
		sum += v;
	}
	return (10 - sum % 10) % 10;
}

int shape_card(const struct mask_value *in, struct mask_buf *out)
{
	struct digits d;
	struct shape s;
	unsigned off;
	char *last;
	int err = shape_begin(&s, LABEL_CARD, in, out);

	if (err)
		return err;
	digits_find(&s, &d);
	for (size_t i = 0; i < s.len; i++)
		if (s.class[i] != DIGIT && out->bytes[i] != ' ' &&
		    out->bytes[i] != '-')
			return shape_any(in, out);
	if (d.nr < 12 || d.nr > 19)
		return shape_any(in, out);
	for (size_t i = 0; i < CARD_KEPT; i++)
		s.class[d.at[i]] = KEEP;
	s.class[d.at[d.nr - 1]] = KEEP;
	last = out->bytes + d.at[d.nr - 1];
	/* one that is wrong stays wrong by as much: no two become one */
	off = (unsigned)(*last - '0') + 10 - luhn(&s, &d);
	shape_end(&s);
	*last = (char)('0' + (luhn(&s, &d) + off) % 10);
	return 0;
}

/* ---- IBAN -------------------------------------------------------------------------------------- */

static unsigned mod97(unsigned r, char c)
{
	if (is_digit(c))
		return (r * 10 + (unsigned)(c - '0')) % 97;
	return (r * 100 + (unsigned)((c | 0x20) - 'a') + 10) % 97;
}

/* Remainder of the IBAN at @at[0..nr), its check digits taken for @check. */
static unsigned iban_mod(const char *b, const uint16_t *at, size_t nr,
			 const char *check)
{
	unsigned r = 0;

	for (size_t i = 4; i < nr; i++)
		r = mod97(r, b[at[i]]);
	r = mod97(mod97(r, b[at[0]]), b[at[1]]);
	return mod97(mod97(r, check[0]), check[1]);
}

/* Where its letters and digits are; 0: it is not a valid IBAN. */
static size_t iban_find(const struct shape *s, uint16_t at[34])
{
	const char *b = s->out->bytes;
	char check[2];
	size_t nr = 0;
	int digits;

	for (size_t i = 0; i < s->len; i++) {
		if (b[i] == ' ')
			continue;
		if (s->class[i] == KEEP || nr == 34)
			return 0;
		at[nr++] = (uint16_t)i;
	}
	if (nr < 15 || is_digit(b[at[0]]) || is_digit(b[at[1]]) ||
	    !is_digit(b[at[2]]) || !is_digit(b[at[3]]))
		return 0;
	check[0] = b[at[2]];
	check[1] = b[at[3]];
	digits = (check[0] - '0') * 10 + check[1] - '0';
	if (digits < 2 || digits > 98 || iban_mod(b, at, nr, check) != 1)
		return 0;
	return nr;
}

int shape_iban(const struct mask_value *in, struct mask_buf *out)
{
	uint16_t at[34];
	struct shape s;
	size_t nr;
	unsigned check;
	int err = shape_begin(&s, LABEL_IBAN, in, out);

	if (err)
		return err;
	nr = iban_find(&s, at);
	if (!nr)
		return shape_any(in, out);
	for (size_t i = 0; i < 4; i++)
		s.class[at[i]] = KEEP;
	shape_end(&s);
	check = 98 - iban_mod(out->bytes, at, nr, "00");
	out->bytes[at[2]] = (char)('0' + check / 10);
	out->bytes[at[3]] = (char)('0' + check % 10);
	return 0;
}

/* ---- IP address ------------------------------------------------------------------------------------ */

static uint64_t half_get(const uint8_t *b)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | b[i];
	return v;
}

/* Permute one half of an IPv6 address, each value of the other otherwise. */
static void half_permute(struct mask_ctx *ctx, uint8_t *half,
			 const uint8_t *other)
{
	struct crypt_hash hash;
	uint64_t tweak = 0, v = half_get(half);

	crypt_hash(ctx, LABEL_IP, half < other, other, 8, &hash);
	memcpy(&tweak, hash.b, 6);
	v = (uint64_t)crypt_permute(ctx, LABEL_IP, tweak, (u128)1 << 64, v);
	for (int i = 7; i >= 0; i--, v >>= 8)
		half[i] = (uint8_t)v;
}

int shape_ip(const struct mask_value *in, struct mask_buf *out)
{
	char text[INET6_ADDRSTRLEN + 1];
	uint8_t b[16];
	uint32_t v;
	int family = AF_INET, err = buf_reserve(out, sizeof(text));

	if (err)
		return err;
	if (in->len >= sizeof(text) || memchr(in->bytes, 0, in->len))
		return shape_any(in, out);
	memcpy(text, in->bytes, in->len);
	text[in->len] = '\0';
	if (inet_pton(AF_INET, text, b) == 1) {
		memcpy(&v, b, 4);
		v = htonl((uint32_t)crypt_permute(out->ctx, LABEL_IP, 0,
						  (u128)1 << 32, ntohl(v)));
		memcpy(b, &v, 4);
	} else if (inet_pton(AF_INET6, text, b) == 1) {
		family = AF_INET6;
		half_permute(out->ctx, b, b + 8);
		half_permute(out->ctx, b + 8, b);
	} else {
		return shape_any(in, out);
	}
	dbs_assert(inet_ntop(family, b, text, sizeof(text)));
	out->len = strlen(text);
	out->kind = in->kind;
	memcpy(out->bytes, text, out->len);
	return 0;
}
