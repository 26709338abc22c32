/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask_column.c - what a column is, and which masks are for it
 */
#include "tools/import/mask_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/store.h"

static const struct {
	const char *name;
	enum column_class class;
	uint8_t bits;	    /* of an integer */
	uint32_t max_chars; /* if the type does not say */
} types[] = {
	{"tinyint", CLASS_INTEGER, 8, 0},
	{"smallint", CLASS_INTEGER, 16, 0},
	{"mediumint", CLASS_INTEGER, 24, 0},
	{"int", CLASS_INTEGER, 32, 0},
	{"integer", CLASS_INTEGER, 32, 0},
	{"bigint", CLASS_INTEGER, 64, 0},
	{"bool", CLASS_INTEGER, 8, 0},
	{"boolean", CLASS_INTEGER, 8, 0},
	{"decimal", CLASS_DECIMAL, 0, 0},
	{"numeric", CLASS_DECIMAL, 0, 0},
	{"dec", CLASS_DECIMAL, 0, 0},
	{"fixed", CLASS_DECIMAL, 0, 0},
	{"float", CLASS_FLOAT, 0, 0},
	{"double", CLASS_FLOAT, 0, 0},
	{"real", CLASS_FLOAT, 0, 0},
	{"year", CLASS_YEAR, 0, 0},
	{"date", CLASS_DATE, 0, 0},
	{"datetime", CLASS_DATETIME, 0, 0},
	{"timestamp", CLASS_TIMESTAMP, 0, 0},
	{"time", CLASS_TIME, 0, 0},
	{"char", CLASS_TEXT, 0, 1},
	{"varchar", CLASS_TEXT, 0, 0},
	{"tinytext", CLASS_TEXT, 0, 255},
	{"text", CLASS_TEXT, 0, 65535},
	{"mediumtext", CLASS_TEXT, 0, 16777215},
	{"longtext", CLASS_TEXT, 0, 0},
	{"binary", CLASS_BINARY, 0, 1},
	{"varbinary", CLASS_BINARY, 0, 0},
	{"tinyblob", CLASS_BINARY, 0, 255},
	{"blob", CLASS_BINARY, 0, 65535},
	{"mediumblob", CLASS_BINARY, 0, 16777215},
	{"longblob", CLASS_BINARY, 0, 0},
	{"json", CLASS_JSON, 0, 0},
	{"enum", CLASS_ENUM, 0, 0},
	{"set", CLASS_ENUM, 0, 0},
	{"uuid", CLASS_UUID, 0, 0},
	{"inet4", CLASS_INET, 0, 0},
	{"inet6", CLASS_INET, 0, 0},
	{"bit", CLASS_OTHER, 0, 0},
	{"geometry", CLASS_OTHER, 0, 0},
	{"point", CLASS_OTHER, 0, 0},
	{"linestring", CLASS_OTHER, 0, 0},
	{"polygon", CLASS_OTHER, 0, 0},
	{"vector", CLASS_OTHER, 0, 0},
};

static void integer_range(struct mask_column *column, unsigned bits)
{
	const uint64_t top = UINT64_MAX >> (64 - bits);

	if (column->type && strcasestr(column->type, "unsigned")) {
		column->abs_max = top;
		return;
	}
	column->abs_max = top / 2;
	column->abs_max_negative = top / 2 + 1;
}

void mask_column_init(struct mask_column *column)
{
	const char *type = column->type ? column->type : "", *n;
	const size_t len = strspn(
		type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		      "0123456789");

	column->class = CLASS_TEXT;
	column->fixed_len = false;
	column->abs_max = column->abs_max_negative = 0;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		if (strlen(types[i].name) != len ||
		    strncasecmp(types[i].name, type, len))
			continue;
		column->class = types[i].class;
		if (types[i].bits)
			integer_range(column, types[i].bits);
		if (!column->max_chars)
			column->max_chars = types[i].max_chars;
		column->fixed_len = !strcasecmp(types[i].name, "binary");
	}
	if (column->class == CLASS_YEAR)
		column->abs_max = 2155;
	/* text(100) is only a wish */
	n = type[len] == '(' && len > 3 &&
			    strncasecmp(type + len - 4, "text", 4) &&
			    strncasecmp(type + len - 4, "blob", 4)
		    ? type + len + 1
		    : NULL;
	if (n && *n >= '0' && *n <= '9' &&
	    (column->class == CLASS_TEXT || column->class == CLASS_BINARY))
		column->max_chars = strtoull(n, NULL, 10);
}

#define BIT(c)	   (1u << (c))
#define ALL_TYPES  UINT32_MAX
#define TEXT_TYPES BIT(CLASS_TEXT)
#define DATE_TYPES                                                             \
	(BIT(CLASS_DATE) | BIT(CLASS_DATETIME) | BIT(CLASS_TIMESTAMP))
#define NUMBER_TYPES                                                           \
	(BIT(CLASS_INTEGER) | BIT(CLASS_DECIMAL) | BIT(CLASS_FLOAT))

/* Which classes a mask's results are valid for, and how to say so. */
static const struct {
	uint32_t classes;
	const char *text;
} allowed[NR_MASK_KINDS] = {
	[MASK_KEEP] = {ALL_TYPES, NULL},
	[MASK_NULL] = {ALL_TYPES, NULL},
	[MASK_FIXED] = {ALL_TYPES, NULL},
	[MASK_EMAIL] = {TEXT_TYPES, "text"},
	[MASK_PHONE] = {TEXT_TYPES | BIT(CLASS_INTEGER), "text, bigint"},
	[MASK_NAME] = {TEXT_TYPES, "text"},
	[MASK_ADDRESS] = {TEXT_TYPES, "text"},
	[MASK_TEXT] = {TEXT_TYPES, "text"},
	[MASK_NUMBER] = {TEXT_TYPES | NUMBER_TYPES | BIT(CLASS_YEAR),
			 "numbers, text"},
	[MASK_DATE] = {TEXT_TYPES | DATE_TYPES,
		       "date, datetime, timestamp, text"},
	[MASK_IBAN] = {TEXT_TYPES, "text"},
	[MASK_CARD] = {TEXT_TYPES | BIT(CLASS_INTEGER), "text, bigint"},
	[MASK_IP] = {TEXT_TYPES | BIT(CLASS_INET), "text, inet4, inet6"},
	[MASK_HASH] = {TEXT_TYPES | BIT(CLASS_BINARY) | BIT(CLASS_UUID),
		       "text, binary, uuid"},
	[MASK_JSON] = {TEXT_TYPES | BIT(CLASS_JSON), "json, text"},
};

/* Room that a result needs to be one at all. */
static uint64_t room_min(const struct mask *mask)
{
	switch (mask->kind) {
	case MASK_EMAIL:
		return 9;
	case MASK_FIXED: {
		uint64_t nr = 0;

		for (const char *p = mask->text; *p; p++)
			nr += ((uint8_t)*p & 0xc0) != 0x80;
		return nr;
	}
	case MASK_HASH:
		return mask->uuid ? 36 : 8;
	case MASK_IP:
		return 15;
	default:
		return 1;
	}
}

uint32_t mask_bits(const struct mask *mask, const struct mask_column *column)
{
	if (mask->kind == MASK_NULL || mask->kind == MASK_FIXED)
		return 0;
	if (mask->kind == MASK_HASH && column->class == CLASS_UUID)
		return 122;
	if (mask->kind == MASK_HASH && column->class == CLASS_BINARY)
		return column->max_chars && column->max_chars < 16
			       ? (uint32_t)column->max_chars * 8
			       : 128;
	if (mask->kind == MASK_ADDRESS && mask->part == PART_POSTCODE)
		return UINT32_MAX;
	return text_bits(mask, column->max_chars);
}

bool mask_is_dense(const struct mask *mask)
{
	switch (mask->kind) {
	case MASK_EMAIL:
	case MASK_TEXT:
	case MASK_HASH:
	case MASK_NAME:
		return false;
	case MASK_ADDRESS:
		return mask->part == PART_POSTCODE;
	default:
		return true;
	}
}

int mask_check_column(const struct mask *mask, const struct mask_column *column,
		      char *why, size_t size)
{
	const char *name = mask_kind_name(mask->kind);
	const char *type = column->type ? column->type : "?";
	const uint64_t room = room_min(mask);
	uint32_t bits;

	if (!(allowed[mask->kind].classes & BIT(column->class)) ||
	    (column->class == CLASS_INTEGER && mask->kind != MASK_NUMBER &&
	     allowed[mask->kind].text && column->abs_max < UINT64_MAX / 2))
		return mask_refuse(why, size, "mask %s is not for type %s (%s)",
				   name, type, allowed[mask->kind].text);
	if (mask->kind == MASK_NULL && !column->nullable)
		return mask_refuse(
			why, size,
			"mask null on a column that is not null (fixed)");
	if (column->max_chars && column->max_chars < room &&
	    (column->class == CLASS_TEXT || mask->kind == MASK_FIXED))
		return mask_refuse(why, size,
				   "%s has no room for mask %s (needs %llu "
				   "characters)",
				   type, name, (unsigned long long)room);
	if (mask->kind == MASK_KEEP || mask->kind == MASK_NULL)
		return 0;
	bits = mask_bits(mask, column);
	if (column->unique && bits < TEXT_BITS_UNIQUE)
		return mask_refuse(
			why, size,
			"the column is unique, and in %s mask %s has "
			"only %u bits (at least %u)",
			type, name, bits, TEXT_BITS_UNIQUE);
	return 0;
}
