/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask.c - which masks there are, what they take, and their use
 */
#include "tools/import/mask_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

static const char *const kind_names[NR_MASK_KINDS] = {
	[MASK_KEEP] = "keep",	    [MASK_NULL] = "null",
	[MASK_FIXED] = "fixed",	    [MASK_EMAIL] = "email",
	[MASK_PHONE] = "phone",	    [MASK_NAME] = "name",
	[MASK_ADDRESS] = "address", [MASK_TEXT] = "text",
	[MASK_NUMBER] = "number",   [MASK_DATE] = "date",
	[MASK_IBAN] = "iban",	    [MASK_CARD] = "card",
	[MASK_IP] = "ip",	    [MASK_HASH] = "hash",
	[MASK_JSON] = "json",
};

const char *mask_kind_name(enum mask_kind kind)
{
	return kind_names[kind];
}

const char *mask_kind_names(void)
{
	return "keep, null, fixed, email, phone, name, address, text, number, "
	       "date, iban, card, ip, hash, json";
}

int mask_kind_of(const char *name, enum mask_kind *kind)
{
	for (size_t i = 0; i < NR_MASK_KINDS; i++) {
		if (!strcmp(name, kind_names[i])) {
			*kind = (enum mask_kind)i;
			return 0;
		}
	}
	return -ENOENT;
}

enum mask_kind mask_kind(const struct mask *mask)
{
	return mask->kind;
}

int mask_refuse(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -EINVAL;
}

/* ---- made and unmade ---------------------------------------------------------------- */

struct mask *mask_new(enum mask_kind kind)
{
	struct mask *mask = calloc(1, sizeof(*mask));

	if (!mask)
		return NULL;
	mask->kind = kind;
	if (kind == MASK_NAME)
		mask->part = PART_FULL;
	if (kind == MASK_ADDRESS)
		mask->part = PART_STREET;
	return mask;
}

void mask_free(struct mask *mask)
{
	if (!mask)
		return;
	for (size_t i = 0; i < mask->nr_paths; i++)
		json_path_release(&mask->paths[i]);
	free(mask->paths);
	free(mask->text);
	free(mask);
}

/* ---- parameters ------------------------------------------------------------------------ */

static const struct {
	enum mask_kind kind;
	const char *name;
	enum mask_part part;
} parts[] = {
	{MASK_NAME, "full", PART_FULL},
	{MASK_NAME, "first", PART_FIRST},
	{MASK_NAME, "last", PART_LAST},
	{MASK_ADDRESS, "street", PART_STREET},
	{MASK_ADDRESS, "city", PART_CITY},
	{MASK_ADDRESS, "postcode", PART_POSTCODE},
	{MASK_ADDRESS, "full", PART_FULL},
};

static int set_part(struct mask *mask, const char *value, char *why,
		    size_t size)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		if (parts[i].kind == mask->kind &&
		    !strcmp(parts[i].name, value)) {
			mask->part = parts[i].part;
			return 0;
		}
	}
	return mask_refuse(why, size, "'%s' is not a part of %s (%s)", value,
			   mask->kind == MASK_NAME ? "a name" : "an address",
			   mask->kind == MASK_NAME
				   ? "full, first, last"
				   : "street, city, postcode, full");
}

static int set_text(struct mask *mask, const char *value)
{
	char *text = strdup(value);

	if (!text)
		return -ENOMEM;
	free(mask->text);
	mask->text = text;
	mask->text_len = strlen(text);
	return 0;
}

static int set_domain(struct mask *mask, const char *value, char *why,
		      size_t size)
{
	const size_t len = strlen(value);

	if (len < 3 || len > 200 || !strchr(value, '.') ||
	    strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789.-") != len)
		return mask_refuse(why, size,
				   "'%s' is not a domain (lower case, as "
				   "example.com)",
				   value);
	return set_text(mask, value);
}

static int set_number(uint32_t *number, const char *name, const char *value,
		      uint32_t min, uint32_t max, char *why, size_t size)
{
	const size_t len = strlen(value);
	const uint32_t v = len && len < 9 ? (uint32_t)atoi(value) : 0;

	if (strspn(value, "0123456789") != len || v < min || v > max)
		return mask_refuse(why, size,
				   "%s is '%s' (a number from %u to %u)", name,
				   value, min, max);
	*number = v;
	return 0;
}

/* One of two words, @words[1] for true. */
static int set_word(bool *flag, const char *name, const char *value,
		    const char *const words[2], char *why, size_t size)
{
	*flag = !strcmp(value, words[1]);
	if (*flag || !strcmp(value, words[0]))
		return 0;
	return mask_refuse(why, size, "%s is '%s' (%s, %s)", name, value,
			   words[0], words[1]);
}

/* What a mask takes, for messages. */
static const char *const parameters[NR_MASK_KINDS] = {
	[MASK_FIXED] = "value",	    [MASK_EMAIL] = "domain",
	[MASK_NAME] = "part",	    [MASK_ADDRESS] = "part",
	[MASK_DATE] = "days, time", [MASK_HASH] = "length, format",
	[MASK_JSON] = "paths",
};

int mask_set(struct mask *mask, const char *name, const char *value, char *why,
	     size_t size)
{
	static const char *const times[2] = {"shift", "keep"};
	static const char *const formats[2] = {"hex", "uuid"};
	const char *known = parameters[mask->kind];

	if (!strcmp(name, "part") && known && !strcmp(known, "part"))
		return set_part(mask, value, why, size);
	if (mask->kind == MASK_FIXED && !strcmp(name, "value"))
		return set_text(mask, value);
	if (mask->kind == MASK_EMAIL && !strcmp(name, "domain"))
		return set_domain(mask, value, why, size);
	if (mask->kind == MASK_DATE && !strcmp(name, "days"))
		return set_number(&mask->days, name, value, 1, 36500, why,
				  size);
	if (mask->kind == MASK_DATE && !strcmp(name, "time"))
		return set_word(&mask->keep_time, name, value, times, why,
				size);
	if (mask->kind == MASK_HASH && !strcmp(name, "length"))
		return set_number(&mask->length, name, value, 8, 64, why, size);
	if (mask->kind == MASK_HASH && !strcmp(name, "format"))
		return set_word(&mask->uuid, name, value, formats, why, size);
	return mask_refuse(why, size, "mask %s does not take '%s' (%s)",
			   kind_names[mask->kind], name,
			   known ? known : "it takes nothing");
}

#define PATHS_MAX 256u

int mask_add_path(struct mask *mask, const char *path, struct mask *inner,
		  char *why, size_t size)
{
	struct mask_path p = {.mask = inner, .text = strdup(path)}, *paths;
	int err = p.text ? 0 : -ENOMEM;

	if (!err && mask->kind != MASK_JSON)
		err = mask_refuse(why, size, "mask %s does not take 'paths'",
				  kind_names[mask->kind]);
	if (!err && inner->kind == MASK_JSON)
		err = mask_refuse(why, size, "'%s': json inside json", path);
	if (!err && mask->nr_paths == PATHS_MAX)
		err = mask_refuse(why, size, "more than %u paths", PATHS_MAX);
	if (!err)
		err = json_path_parse(&p, why, size);
	if (!err) {
		paths = reallocarray(mask->paths, mask->nr_paths + 1,
				     sizeof(*paths));
		err = paths ? 0 : -ENOMEM;
	}
	if (err) {
		json_path_release(&p);
		return err;
	}
	mask->paths = paths;
	mask->paths[mask->nr_paths++] = p;
	return 0;
}

int mask_complete(const struct mask *mask, char *why, size_t size)
{
	if (mask->kind == MASK_FIXED && !mask->text)
		return mask_refuse(why, size, "mask fixed needs 'value'");
	if (mask->kind == MASK_JSON && !mask->nr_paths)
		return mask_refuse(why, size, "mask json needs 'paths'");
	if (mask->kind == MASK_HASH && mask->uuid && mask->length)
		return mask_refuse(why, size,
				   "a uuid has no 'length' to choose");
	return 0;
}

static const char *part_name(const struct mask *mask)
{
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		if (parts[i].kind == mask->kind && parts[i].part == mask->part)
			return parts[i].name;
	return "";
}

char *mask_text(const struct mask *mask)
{
	char *text = NULL, *inner;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	fputs(kind_names[mask->kind], f);
	if (mask->part != PART_NONE)
		fprintf(f, " part=%s", part_name(mask));
	if (mask->kind == MASK_DATE)
		fprintf(f, " days=%u time=%s", mask->days ? mask->days : 180,
			mask->keep_time ? "keep" : "shift");
	if (mask->kind == MASK_HASH)
		fprintf(f, " length=%u format=%s",
			mask->length ? mask->length : 32,
			mask->uuid ? "uuid" : "hex");
	if (mask->text)
		fprintf(f, " text=%zu:%s", mask->text_len, mask->text);
	for (size_t i = 0; i < mask->nr_paths; i++) {
		inner = mask_text(mask->paths[i].mask);
		fprintf(f, " %zu:%s={%s}", strlen(mask->paths[i].text),
			mask->paths[i].text, inner ? inner : "");
		free(inner);
	}
	if (fclose(f)) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- applying ----------------------------------------------------------------------------- */

static int copy(const char *bytes, size_t len, enum value_kind kind,
		struct mask_buf *out)
{
	int err = buf_reserve(out, len);

	if (err)
		return err;
	if (len)
		memcpy(out->bytes, bytes, len);
	out->len = len;
	out->kind = kind;
	return 0;
}

/* Nothing personal in it: empty, or spaces. */
static bool is_blank(const struct mask_value *in)
{
	for (size_t i = 0; i < in->len; i++)
		if (in->bytes[i] != ' ')
			return false;
	return true;
}

/* Longer than any phone number or date: then it is a text about one. */
#define SHAPED_MAX 256u

static int apply(const struct mask *mask, const struct mask_column *column,
		 const struct mask_value *in, struct mask_buf *out)
{
	const bool shaped = in->len <= SHAPED_MAX;

	switch (mask->kind) {
	case MASK_EMAIL:
		return text_email(mask, column, in, out);
	case MASK_NAME:
		return text_name(mask, column, in, out);
	case MASK_ADDRESS:
		if (mask->part == PART_POSTCODE && !shaped)
			break;
		return text_address(mask, column, in, out);
	case MASK_HASH:
		return text_hash(mask, column, in, out);
	case MASK_JSON:
		return json_mask(mask, column, in, out);
	case MASK_PHONE:
		return shaped ? shape_phone(column, in, out)
			      : text_free(mask, column, in, out);
	case MASK_NUMBER:
		return shaped ? shape_number(column, in, out)
			      : text_free(mask, column, in, out);
	case MASK_DATE:
		return shaped ? date_shift(mask, column, in, out)
			      : text_free(mask, column, in, out);
	case MASK_IBAN:
		return shaped ? shape_iban(in, out)
			      : text_free(mask, column, in, out);
	case MASK_CARD:
		return shaped ? shape_card(in, out)
			      : text_free(mask, column, in, out);
	case MASK_IP:
		return shaped ? shape_ip(in, out)
			      : text_free(mask, column, in, out);
	default:
		break;
	}
	return text_free(mask, column, in, out);
}

/* Characters, where they may be others than ASCII. */
static uint64_t chars_of(const struct mask_buf *out)
{
	uint64_t nr = 0;

	for (size_t i = 0; i < out->len; i++)
		nr += ((uint8_t)out->bytes[i] & 0xc0) != 0x80;
	return nr;
}

int mask_apply(const struct mask *mask, const struct mask_column *column,
	       const struct mask_value *in, struct mask_buf *out)
{
	int err;

	if (in->kind == VALUE_NULL || mask->kind == MASK_NULL)
		return copy("", 0, VALUE_NULL, out);
	if (mask->kind == MASK_FIXED)
		return copy(mask->text, mask->text_len, VALUE_STRING, out);
	if (mask->kind == MASK_KEEP || is_blank(in))
		return copy(in->bytes, in->len, in->kind, out);
	err = apply(mask, column, in, out);
	if (!err && column->max_chars && out->len > column->max_chars &&
	    (mask->kind != MASK_JSON || chars_of(out) > column->max_chars))
		err = -EOVERFLOW;
	return err;
}

bool mask_sample(struct mask_buf *buf, const struct mask_value *in,
		 uint32_t per_million)
{
	const struct mask_column column = {.class = CLASS_TEXT};
	struct crypt_hash hash;
	const char *bytes;
	uint32_t v;
	size_t len;

	if (text_fold(buf->ctx, &column, in, &bytes, &len))
		return true;
	crypt_hash(buf->ctx, LABEL_SAMPLE, 0, bytes, len, &hash);
	memcpy(&v, hash.b, sizeof(v));
	return (uint32_t)(((uint64_t)v * 1000000) >> 32) < per_million;
}
