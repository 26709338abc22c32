/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"
#include "tests/lib/masking.h"
#include "tests/lib/rnd.h"

#define OTHER "fedcba9876543210fedcba9876543210"

/* Every mask that changes values, on a type that it is for, with samples. */
static const struct sample {
	enum mask_kind kind;
	const char *parameter, *type, *values[6];
} samples[] = {
	{MASK_EMAIL,
	 NULL,
	 "varchar(100)",
	 {"anna@example.org", "MARY.SMITH@sakilacustomer.org", "x",
	  "j\xc3\xbcrgen@t.de"}},
	{MASK_EMAIL, "domain=mail.test", "varchar(60)", {"anna@example.org"}},
	{MASK_EMAIL, NULL, "varchar(20)", {"a@b.de", "long.name@b.de"}},
	{MASK_PHONE,
	 NULL,
	 "varchar(30)",
	 {"+49 171 1234567", "0171/1234567", "+1 (212) 555-0199",
	  "0043 1 58858", "14033335568", "n/a yet"}},
	{MASK_PHONE, NULL, "bigint(20)", {"491711234567", "4"}},
	{MASK_NAME,
	 NULL,
	 "varchar(45)",
	 {"Anna Schmidt", "PENELOPE", "\xe5\xbc\xa0\xe4\xbc\x9f"}},
	{MASK_NAME, "part=first", "varchar(20)", {"Anna", "Max", "O'Neil"}},
	{MASK_NAME, "part=last", "char(6)", {"Smith", "Li"}},
	{MASK_NAME, NULL, "varchar(3)", {"Ann", "Max"}},
	{MASK_ADDRESS,
	 NULL,
	 "varchar(50)",
	 {"47 MySakila Drive", "Hauptstr. 5"}},
	{MASK_ADDRESS, "part=city", "varchar(30)", {"Berlin", "Bern"}},
	{MASK_ADDRESS,
	 "part=postcode",
	 "varchar(10)",
	 {"10115", "SW1A 2AA", "K1A 0B1"}},
	{MASK_ADDRESS,
	 "part=full",
	 "varchar(200)",
	 {"Hauptstr. 5, 10115 Berlin"}},
	{MASK_TEXT,
	 NULL,
	 "text",
	 {"ok", "called him on Monday, wants his money back",
	  "\xc3\xa4\xc3\xb6\xc3\xbc"}},
	{MASK_TEXT, NULL, "varchar(5)", {"abc", "hello"}},
	{MASK_NUMBER,
	 NULL,
	 "int(11)",
	 {"7", "42", "1234567", "-12", "2147483647", "-2147483648"}},
	{MASK_NUMBER, NULL, "tinyint(3) unsigned", {"5", "99", "100", "255"}},
	{MASK_NUMBER, NULL, "tinyint(4)", {"5", "99", "100", "127", "-128"}},
	{MASK_NUMBER,
	 NULL,
	 "bigint(20) unsigned",
	 {"18446744073709551615", "10000000000000000000", "1"}},
	{MASK_NUMBER, NULL, "decimal(10,2)", {"12.50", "0.05", "-99999999.99"}},
	{MASK_NUMBER, NULL, "double", {"1.5e10", "3.14", "-2e-7"}},
	{MASK_NUMBER, NULL, "year(4)", {"1999", "1901", "2155"}},
	{MASK_DATE,
	 NULL,
	 "date",
	 {"1980-05-17", "2000-02-29", "1970-01-01", "9999-12-31",
	  "1980-00-00"}},
	{MASK_DATE,
	 NULL,
	 "datetime(6)",
	 {"1980-05-17 00:00:00", "2026-11-22 23:59:59",
	  "2026-11-22 02:10:00.123456"}},
	{MASK_DATE, "days=1", "date", {"1980-05-17", "1999-12-31"}},
	{MASK_DATE, "time=keep", "timestamp", {"2006-02-15 04:34:33"}},
	{MASK_IBAN,
	 NULL,
	 "varchar(34)",
	 {"DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19",
	  "FR1420041010050500013M02606", "MT84MALT011000012345MTLCAST001S",
	  "de89 3704 0044 0532 0130 00", "DE00370400440532013000"}},
	{MASK_CARD,
	 NULL,
	 "varchar(23)",
	 {"4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009",
	  "4111111111111112", "6011000990139424"}},
	{MASK_IP,
	 NULL,
	 "varchar(45)",
	 {"192.168.0.1", "2001:db8::1", "8.8.8.8", "10.0.0.0/8"}},
	{MASK_HASH, NULL, "varchar(64)", {"secret", "AB123456"}},
	{MASK_HASH, "length=16", "char(16)", {"secret"}},
	{MASK_HASH, "format=uuid", "char(36)", {"secret"}},
	{MASK_HASH, NULL, "binary(16)", {"0123456789abcdef"}},
	{MASK_HASH, NULL, "uuid", {"123e4567-e89b-12d3-a456-426614174000"}},
};

/* Call @fn with each sample, set up under SECRET. */
static void each_sample(void (*fn)(struct masking *m, const char *value))
{
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];
		struct masking m;

		masking_begin(&m, SECRET, s->kind, s->parameter, s->type);
		for (size_t k = 0; k < 6 && s->values[k]; k++)
			fn(&m, s->values[k]);
		masking_end(&m);
	}
}

static const char *what(const struct masking *m, const char *value)
{
	static char text[300];

	snprintf(text, sizeof(text), "mask %s on %s of '%s'",
		 mask_kind_name(mask_kind(m->mask)), m->column.type, value);
	return text;
}

/* ---- all masks ------------------------------------------------------------------ */

static void twice(struct masking *m, const char *value)
{
	const struct mask_value else_ = {"else 12", 7, VALUE_STRING};
	struct masking again = *m;
	const char *first = masking_of(m, value);

	again.key = mask_key_new(SECRET, strlen(SECRET));
	MUST(!mask_buf_init(&again.buf, again.key));
	/* after other values, which must leave nothing behind */
	mask_apply(again.mask, &again.column, &else_, &again.buf);
	CHECK_STR(masking_of(&again, value), first);
	CHECK_STR(masking_of(m, value), first);
	mask_buf_release(&again.buf);
	mask_key_free(again.key);
}

static void mask__is_the_same_each_time_and_in_each_context(void **state)
{
	(void)state;
	each_sample(twice);
}

static void changes(struct masking *m, const char *value)
{
	const char *result = masking_of(m, value);

	if ((strlen(value) > 2 && strstr(result, value)) ||
	    !strcasecmp(result, value)) {
		print_error("%s: '%s'\n", what(m, value), result);
		check_failed("M4: the original is in the result", __FILE__,
			     __LINE__);
	}
}

static void mask__never_shows_the_original(void **state)
{
	(void)state;
	each_sample(changes);
}

static unsigned nr_values, nr_differ;

static void differs(struct masking *m, const char *value)
{
	struct masking other = *m;
	const char *first = masking_of(m, value);

	other.key = mask_key_new(OTHER, strlen(OTHER));
	MUST(!mask_buf_init(&other.buf, other.key));
	nr_values++;
	nr_differ += strcmp(masking_of(&other, value), first) != 0;
	mask_buf_release(&other.buf);
	mask_key_free(other.key);
}

/* of a few digits two keys may make the same */
static void mask__differs_under_another_key(void **state)
{
	(void)state;
	nr_values = nr_differ = 0;
	each_sample(differs);
	CHECK(nr_values > 60 && nr_differ * 10 >= nr_values * 9);
}

static void fits(struct masking *m, const char *value)
{
	const char *result = masking_of(m, value);
	const size_t len = m->buf.len;

	for (size_t i = 0; i < len && m->column.class != CLASS_BINARY; i++)
		CHECK((unsigned char)result[i] < 0x80 &&
		      (unsigned char)result[i] >= 0x20);
	CHECK(!m->column.max_chars || len <= m->column.max_chars);
	CHECK(len > 0);
	CHECK_INT(m->buf.kind,
		  VALUE_STRING + (m->column.class == CLASS_BINARY ? 2 : 0));
}

static void mask__result_is_ascii_and_fits_the_column(void **state)
{
	(void)state;
	each_sample(fits);
}

static void null_and_empty(struct masking *m, const char *value)
{
	const struct mask_value null = {NULL, 0, VALUE_NULL};
	const struct mask_value empty = {"", 0, VALUE_STRING};

	(void)value;
	CHECK_OK(mask_apply(m->mask, &m->column, &null, &m->buf));
	CHECK_INT(m->buf.kind, VALUE_NULL);
	CHECK_OK(mask_apply(m->mask, &m->column, &empty, &m->buf));
	CHECK_INT(m->buf.kind, VALUE_STRING);
	CHECK_UINT(m->buf.len, 0);
}

static void mask__null_stays_null_and_empty_stays_empty(void **state)
{
	(void)state;
	each_sample(null_and_empty);
}

static void mask__samples_may_be_used_on_their_columns(void **state)
{
	char why[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct masking m;

		masking_begin(&m, SECRET, samples[i].kind, samples[i].parameter,
			      samples[i].type);
		CHECK_OK(
			mask_check_column(m.mask, &m.column, why, sizeof(why)));
		masking_end(&m);
	}
}

/* M3, M4 with anything at all */
static void mask__any_bytes_do_no_harm(void **state)
{
	struct rnd rnd = {20261129};
	char bytes[600];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		struct masking m;

		masking_begin(&m, SECRET, samples[i].kind, samples[i].parameter,
			      samples[i].type);
		for (int k = 0; k < 2000; k++) {
			const size_t len =
				1 + rnd_below(&rnd, k % 10 ? 30 : 600);
			struct mask_value in = {bytes, len, VALUE_STRING};
			const char *base = samples[i].values[0];
			int err;

			rnd_fill(&rnd, bytes, len);
			/* half of it a real value with some bytes changed */
			if (k & 1)
				in.len = MIN_OF(strlen(base), len);
			for (size_t n = 0; (k & 1) && n < in.len; n++)
				if (rnd_below(&rnd, 8))
					bytes[n] = base[n];
			if (m.column.max_chars && in.len > m.column.max_chars)
				in.len = m.column.max_chars;
			err = mask_apply(m.mask, &m.column, &in, &m.buf);
			CHECK(!err || err == -EOVERFLOW);
			if (!err && m.column.max_chars)
				CHECK(m.buf.len <= m.column.max_chars);
		}
		masking_end(&m);
	}
}

/* ---- folding ------------------------------------------------------------------------- */

static void mask__case_and_trailing_spaces_make_no_difference(void **state)
{
	static const char *const pairs[][2] = {
		{"Anna@Example.org", "anna@example.ORG  "},
		{"J\xc3\x9cRGEN", "j\xc3\xbcrgen"}, /* U umlaut */
		{"\xc5\xa0imon", "\xc5\xa1imon"},   /* S caron */
		{"\xd0\x98\xd0\x92\xd0\x90\xd0\x9d",
		 "\xd0\xb8\xd0\xb2\xd0\xb0\xd0\xbd"}, /* Cyrillic */
		{"\xce\xa9", "\xcf\x89"},	      /* omega */
	};
	struct masking m;

	(void)state;
	masking_begin(&m, SECRET, MASK_EMAIL, NULL, "varchar(99)");
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		CHECK_STR(masking_of(&m, pairs[i][0]),
			  masking_of(&m, pairs[i][1]));
	CHECK(strcmp(masking_of(&m, "Jos\xc3\xa9"), masking_of(&m, "Jose")));
	masking_end(&m);
}

static void mask__case_matters_where_the_collation_says_so(void **state)
{
	struct masking m;

	(void)state;
	masking_begin(&m, SECRET, MASK_HASH, NULL, "varchar(99)");
	m.column.case_sensitive = true;
	CHECK(strcmp(masking_of(&m, "abc"), masking_of(&m, "ABC")));
	masking_end(&m);
}

static void mask__a_unique_column_and_one_that_refers_to_it_agree(void **state)
{
	struct masking a, b;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];

		masking_begin(&a, SECRET, s->kind, s->parameter, s->type);
		masking_begin(&b, SECRET, s->kind, s->parameter, s->type);
		a.column.unique = true;
		a.column.nullable = false;
		for (size_t k = 0; k < 6 && s->values[k]; k++)
			CHECK_STR(masking_of(&a, s->values[k]),
				  masking_of(&b, s->values[k]));
		masking_end(&a);
		masking_end(&b);
	}
}

/* ---- collisions ------------------------------------------------------------------------- */

static int by_u64(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* FNV-1a, then mixed: two that are equal are equal results, all but surely */
static uint64_t digest(const char *bytes, size_t len)
{
	struct rnd mix = {14695981039346656037u};

	for (size_t i = 0; i < len; i++)
		mix.state = (mix.state ^ (uint8_t)bytes[i]) * 1099511628211u;
	return rnd_next(&mix);
}

#define NR_MANY 1000000u

static void collide(enum mask_kind kind, const char *parameter,
		    const char *type, const char *fmt, unsigned nr,
		    unsigned from)
{
	uint64_t *seen = calloc(nr, sizeof(*seen));
	struct masking m;
	char value[64];

	MUST(seen);
	masking_begin(&m, SECRET, kind, parameter, type);
	for (unsigned i = 0; i < nr; i++) {
		/* the format is one of those below */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		const int n = snprintf(value, sizeof(value), fmt, from + i);
#pragma GCC diagnostic pop
		const struct mask_value in = {value, (size_t)n, VALUE_STRING};

		MUST(!mask_apply(m.mask, &m.column, &in, &m.buf));
		seen[i] = digest(m.buf.bytes, m.buf.len);
	}
	qsort(seen, nr, sizeof(*seen), by_u64);
	for (unsigned i = 1; i < nr; i++)
		if (seen[i] == seen[i - 1]) {
			print_error("mask %s on %s of '%s'\n",
				    mask_kind_name(kind), type, fmt);
			check_failed("M5: two values became one", __FILE__,
				     __LINE__);
		}
	masking_end(&m);
	free(seen);
}

static void mask__a_million_values_become_a_million(void **state)
{
	(void)state;
	collide(MASK_EMAIL, NULL, "varchar(99)", "u%u@x.org", NR_MANY, 0);
	collide(MASK_EMAIL, NULL, "varchar(20)", "u%u@x.org", NR_MANY, 0);
	collide(MASK_PHONE, NULL, "varchar(20)", "+49171%07u", NR_MANY, 0);
	collide(MASK_PHONE, NULL, "varchar(20)", "0%06u", NR_MANY, 0);
	collide(MASK_NAME, NULL, "varchar(45)", "name %u", NR_MANY, 0);
	collide(MASK_ADDRESS, NULL, "varchar(50)", "%u Road", NR_MANY, 0);
	collide(MASK_TEXT, NULL, "text", "%u", NR_MANY, 0);
	collide(MASK_NUMBER, NULL, "int(11)", "%u", NR_MANY, 0);
	collide(MASK_NUMBER, NULL, "int(11)", "%u", NR_MANY, 2146000000);
	collide(MASK_NUMBER, NULL, "decimal(12,2)", "%u.50", NR_MANY, 0);
	collide(MASK_CARD, NULL, "varchar(19)", "4111%012u", NR_MANY, 0);
	collide(MASK_IP, NULL, "varchar(45)", "10.%u.0.1", 256, 0);
	collide(MASK_HASH, NULL, "varchar(32)", "%u", NR_MANY, 0);
	collide(MASK_HASH, "length=16", "varchar(32)", "%u", NR_MANY, 0);
	collide(MASK_ADDRESS, "part=postcode", "char(5)", "%05u", 100000, 0);
}

/* Small spaces are wholly filled: a permutation indeed. */
static void mask__small_numbers_are_a_permutation(void **state)
{
	static const struct {
		const char *type;
		int from, to;
	} ranges[] = {
		{"int", 1, 9},
		{"int", 10, 99},
		{"int", 100, 999},
		{"tinyint(4)", 100, 127},
		{"tinyint(4)", -128, -100},
		{"tinyint(3) unsigned", 100, 255},
		{"smallint(6)", 10000, 32767},
		{"year(4)", 1901, 2155},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
		const int n = ranges[i].to - ranges[i].from + 1;
		bool *seen = calloc((size_t)n, sizeof(*seen));
		struct masking m;
		char value[16];

		MUST(seen);
		masking_begin(&m, SECRET, MASK_NUMBER, NULL, ranges[i].type);
		for (int k = 0; k < n; k++) {
			int result;

			snprintf(value, sizeof(value), "%d",
				 ranges[i].from + k);
			result = atoi(masking_of(&m, value)) - ranges[i].from;
			CHECK(result >= 0 && result < n && result != k);
			CHECK(!seen[result]);
			seen[result] = true;
		}
		masking_end(&m);
		free(seen);
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void mask__days_of_ten_years_stay_different(void **state)
{
	struct masking m;
	char value[16], seen[4000][11];
	unsigned nr = 0;

	(void)state;
	masking_begin(&m, SECRET, MASK_DATE, "days=30", "date");
	for (unsigned y = 1995; y < 2005; y++)
		for (unsigned mo = 1; mo <= 12; mo++)
			for (unsigned d = 1; d <= 28; d++) {
				snprintf(value, sizeof(value), "%u-%02u-%02u",
					 y, mo, d);
				strcpy(seen[nr++], masking_of(&m, value));
			}
	qsort(seen, nr, sizeof(seen[0]), by_text);
	for (unsigned i = 1; i < nr; i++)
		CHECK(strcmp(seen[i - 1], seen[i]));
	masking_end(&m);
}

/* ---- columns that a mask is not for --------------------------------------------------------- */

static void refused(enum mask_kind kind, const char *parameter,
		    const char *type, bool nullable, bool unique,
		    const char *want)
{
	struct masking m;
	char why[256];

	masking_begin(&m, SECRET, kind, parameter, type);
	m.column.nullable = nullable;
	m.column.unique = unique;
	CHECK_INT(mask_check_column(m.mask, &m.column, why, sizeof(why)),
		  -EINVAL);
	CHECK_STR(why, want);
	masking_end(&m);
}

static void mask__is_refused_where_its_results_are_not_valid(void **state)
{
	(void)state;
	refused(MASK_EMAIL, NULL, "int(11)", true, false,
		"mask email is not for type int(11) (text)");
	refused(MASK_EMAIL, NULL, "varchar(8)", true, false,
		"varchar(8) has no room for mask email (needs 9 characters)");
	refused(MASK_EMAIL, NULL, "varchar(15)", true, true,
		"the column is unique, and in varchar(15) mask email has only "
		"40 bits (at least 64)");
	refused(MASK_NAME, "part=first", "varchar(45)", true, true,
		"the column is unique, and in varchar(45) mask name has only "
		"36 bits (at least 64)");
	refused(MASK_PHONE, NULL, "int(11)", true, false,
		"mask phone is not for type int(11) (text, bigint)");
	refused(MASK_DATE, NULL, "time", true, false,
		"mask date is not for type time (date, datetime, timestamp, "
		"text)");
	refused(MASK_NULL, NULL, "text", false, false,
		"mask null on a column that is not null (fixed)");
	refused(MASK_FIXED, "value=hello", "char(4)", true, false,
		"char(4) has no room for mask fixed (needs 5 characters)");
	refused(MASK_FIXED, "value=hello", "char(9)", false, true,
		"the column is unique, and in char(9) mask fixed has only 0 "
		"bits (at least 64)");
	refused(MASK_HASH, NULL, "enum('a','b')", true, false,
		"mask hash is not for type enum('a','b') (text, binary, uuid)");
	refused(MASK_NUMBER, NULL, "blob", true, false,
		"mask number is not for type blob (numbers, text)");
	refused(MASK_IP, NULL, "varchar(12)", true, false,
		"varchar(12) has no room for mask ip (needs 15 characters)");
}

static void mask__parameters_are_checked(void **state)
{
	static const struct {
		enum mask_kind kind;
		const char *name, *value, *want;
	} bad[] = {
		{MASK_EMAIL, "part", "x",
		 "mask email does not take 'part' (domain)"},
		{MASK_KEEP, "x", "y",
		 "mask keep does not take 'x' (it takes nothing)"},
		{MASK_EMAIL, "domain", "No Domain",
		 "'No Domain' is not a domain (lower case, as example.com)"},
		{MASK_NAME, "part", "street",
		 "'street' is not a part of a name (full, first, last)"},
		{MASK_DATE, "days", "0",
		 "days is '0' (a number from 1 to 36500)"},
		{MASK_DATE, "days", "-3",
		 "days is '-3' (a number from 1 to 36500)"},
		{MASK_DATE, "time", "x", "time is 'x' (shift, keep)"},
		{MASK_HASH, "length", "65",
		 "length is '65' (a number from 8 to 64)"},
	};
	char why[256];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct mask *mask = mask_new(bad[i].kind);

		CHECK_INT(mask_set(mask, bad[i].name, bad[i].value, why,
				   sizeof(why)),
			  -EINVAL);
		CHECK_STR(why, bad[i].want);
		mask_free(mask);
	}
}

/* ---- the key ------------------------------------------------------------------------------------ */

static int load(const char *bytes, mode_t mode, struct mask_key **key,
		char *why, size_t size)
{
	char path[] = "/tmp/dbs-mask-key.XXXXXX";
	const int fd = mkstemp(path);
	int err;

	MUST(fd >= 0);
	MUST(write(fd, bytes, strlen(bytes)) == (ssize_t)strlen(bytes));
	MUST(!fchmod(fd, mode));
	close(fd);
	err = mask_key_load(path, key, why, size);
	unlink(path);
	return err;
}

static void key__file_must_be_long_enough_and_nobody_elses(void **state)
{
	struct mask_key *key = NULL;
	char why[256];

	(void)state;
	CHECK_INT(load(SECRET, 0644, &key, why, sizeof(why)), -EPERM);
	CHECK(strstr(why, "others may read it: chmod 600 it"));
	CHECK_INT(load("short\n", 0600, &key, why, sizeof(why)), -EINVAL);
	CHECK(strstr(why, "too short (at least 16 bytes"));
	CHECK_INT(mask_key_load("/nonexistent/key", &key, why, sizeof(why)),
		  -ENOENT);
	CHECK(!key);
	CHECK_OK(load(SECRET "\n", 0600, &key, why, sizeof(why)));
	CHECK(key);
	mask_key_free(key);
}

static void key__a_last_newline_does_not_count(void **state)
{
	struct mask_key *key = NULL;
	struct masking m;
	struct mask_buf buf;
	const struct mask_value in = {"x@y.z", 5, VALUE_STRING};
	char why[256];

	(void)state;
	masking_begin(&m, SECRET, MASK_EMAIL, NULL, "text");
	CHECK_OK(load(SECRET "\n", 0400, &key, why, sizeof(why)));
	CHECK_OK(mask_buf_init(&buf, key));
	CHECK_OK(mask_apply(m.mask, &m.column, &in, &buf));
	CHECK_UINT(buf.len, strlen(masking_of(&m, "x@y.z")));
	CHECK_MEM(buf.bytes, masking_of(&m, "x@y.z"), buf.len);
	mask_buf_release(&buf);
	mask_key_free(key);
	masking_end(&m);
}

/* What a key makes of a value must not change between versions. */
static void mask__known_results_stay(void **state)
{
	(void)state;
	/* filled in by hand from the first version */
	static const struct {
		enum mask_kind kind;
		const char *type, *value, *want;
	} known[] = {
#include "tests/unit/mask_known.h"
	};
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct masking m;

		masking_begin(&m, SECRET, known[i].kind, NULL, known[i].type);
		CHECK_STR(masking_of(&m, known[i].value), known[i].want);
		masking_end(&m);
	}
}

/* ---- threads -------------------------------------------------------------------------------------- */

static void *mask_in_a_thread(void *arg)
{
	const struct masking *shared = arg;
	struct mask_buf buf;
	char value[32], *first = NULL;

	MUST(!mask_buf_init(&buf, shared->key));
	for (int i = 0; i < 20000; i++) {
		struct mask_value in = {value, 0, VALUE_STRING};

		in.len = (size_t)snprintf(value, sizeof(value), "u%d@x.org",
					  i % 1000);
		MUST(!mask_apply(shared->mask, &shared->column, &in, &buf));
		if (!i)
			first = strndup(buf.bytes, buf.len);
	}
	mask_buf_release(&buf);
	return first;
}

static void mask__threads_share_key_and_mask(void **state)
{
	pthread_t threads[4];
	void *results[4];
	struct masking m;

	(void)state;
	masking_begin(&m, SECRET, MASK_EMAIL, NULL, "text");
	for (int i = 0; i < 4; i++)
		MUST(!pthread_create(&threads[i], NULL, mask_in_a_thread, &m));
	for (int i = 0; i < 4; i++)
		MUST(!pthread_join(threads[i], &results[i]));
	for (int i = 0; i < 4; i++) {
		CHECK_STR(results[i], masking_of(&m, "u0@x.org"));
		free(results[i]);
	}
	masking_end(&m);
}

static void sample__takes_the_share_asked_for_and_always_the_same(void **state)
{
	struct masking m;
	unsigned nr = 0;
	char value[16];

	(void)state;
	masking_begin(&m, SECRET, MASK_KEEP, NULL, "text");
	for (unsigned i = 0; i < 100000; i++) {
		const struct mask_value in = {
			value, (size_t)snprintf(value, sizeof(value), "%u", i),
			VALUE_NUMBER};
		const bool taken = mask_sample(&m.buf, &in, 10000);

		CHECK(taken == mask_sample(&m.buf, &in, 10000));
		CHECK(!taken || mask_sample(&m.buf, &in, 20000));
		CHECK(mask_sample(&m.buf, &in, 1000000));
		nr += taken;
	}
	CHECK(nr > 850 && nr < 1150);
	masking_end(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			mask__is_the_same_each_time_and_in_each_context),
		cmocka_unit_test(mask__never_shows_the_original),
		cmocka_unit_test(mask__differs_under_another_key),
		cmocka_unit_test(mask__result_is_ascii_and_fits_the_column),
		cmocka_unit_test(mask__null_stays_null_and_empty_stays_empty),
		cmocka_unit_test(mask__samples_may_be_used_on_their_columns),
		cmocka_unit_test(mask__any_bytes_do_no_harm),
		cmocka_unit_test(
			mask__case_and_trailing_spaces_make_no_difference),
		cmocka_unit_test(
			mask__case_matters_where_the_collation_says_so),
		cmocka_unit_test(
			mask__a_unique_column_and_one_that_refers_to_it_agree),
		cmocka_unit_test(mask__a_million_values_become_a_million),
		cmocka_unit_test(mask__small_numbers_are_a_permutation),
		cmocka_unit_test(mask__days_of_ten_years_stay_different),
		cmocka_unit_test(
			mask__is_refused_where_its_results_are_not_valid),
		cmocka_unit_test(mask__parameters_are_checked),
		cmocka_unit_test(
			key__file_must_be_long_enough_and_nobody_elses),
		cmocka_unit_test(key__a_last_newline_does_not_count),
		cmocka_unit_test(mask__known_results_stay),
		cmocka_unit_test(mask__threads_share_key_and_mask),
		cmocka_unit_test(
			sample__takes_the_share_asked_for_and_always_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
