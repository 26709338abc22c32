/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <time.h>

#include "store/store.h"
#include "tests/lib/masking.h"
#include "tests/lib/rnd.h"

/* ---- phone ----------------------------------------------------------------------- */

/* Everything but digits is where it was, and the first @nr digits are. */
static void same_form(const char *result, const char *value, unsigned nr)
{
	CHECK_UINT(strlen(result), strlen(value));
	for (; *value; value++, result++) {
		if (!isdigit((unsigned char)*value))
			CHECK(*result == *value);
		else if (nr && nr--)
			CHECK(*result == *value);
		else
			CHECK(isdigit((unsigned char)*result));
	}
}

static void phone__keeps_form_length_and_country(void **state)
{
	static const struct {
		const char *value;
		unsigned nr_kept;
	} phones[] = {
		{"+49 171 1234567", 2},	     {"+1 (212) 555-0199", 1},
		{"+7 495 123-45-67", 1},     {"+352 691 123 456", 3},
		{"0049-30-1234567", 4},	     {"001 212 555 0199", 3},
		{"0171/1234567", 1},	     {"(030) 12 34 56", 1},
		{"+33 (0)1 23 45 67 89", 3}, {"14033335568", 0},
	};
	struct masking m;

	(void)state;
	masking_begin(&m, SECRET, MASK_PHONE, NULL, "varchar(30)");
	for (size_t i = 0; i < ARRAY_SIZE(phones); i++)
		same_form(masking_of(&m, phones[i].value), phones[i].value,
			  phones[i].nr_kept);
	masking_end(&m);
}

/* A '+', a country's code that there is, at most 15 digits, no 0 first. */
static void phone__stays_valid_by_e164(void **state)
{
	static const char *const codes[] = {"1",  "7",	 "33",	"44",  "49",
					    "90", "212", "352", "423", "971"};
	struct rnd rnd = {7};
	struct masking m;
	char value[24];

	(void)state;
	masking_begin(&m, SECRET, MASK_PHONE, NULL, "varchar(30)");
	for (int i = 0; i < 100000; i++) {
		const char *code = codes[rnd_below(&rnd, ARRAY_SIZE(codes))];
		const int digits = (int)rnd_between(&rnd, 7, 12);
		const char *result;
		int n = snprintf(value, sizeof(value), "+%s%d", code,
				 (int)rnd_between(&rnd, 1, 10));

		for (int k = 1; k < digits; k++)
			value[n++] = (char)('0' + rnd_below(&rnd, 10));
		value[n] = '\0';
		result = masking_of(&m, value);
		CHECK_UINT(strlen(result), (size_t)n);
		CHECK(!strncmp(result + 1, code, strlen(code)));
		CHECK(result[0] == '+' && result[strlen(code) + 1] != '0');
		CHECK(strspn(result + 1, "0123456789") == (size_t)n - 1);
	}
	masking_end(&m);
}

static void phone__of_north_america_has_an_area_that_can_be(void **state)
{
	struct masking m;
	char value[32];

	(void)state;
	masking_begin(&m, SECRET, MASK_PHONE, NULL, "varchar(30)");
	for (unsigned i = 0; i < 10000; i++) {
		const char *result;

		snprintf(value, sizeof(value), "+1 %u 555 %04u", 212 + i % 700,
			 i);
		result = masking_of(&m, value);
		CHECK(result[3] >= '2' && result[7] >= '2');
	}
	masking_end(&m);
}

static void
phone__the_same_number_written_otherwise_gets_the_same_digits(void **state)
{
	struct masking m;
	const char *a, *b;

	(void)state;
	masking_begin(&m, SECRET, MASK_PHONE, NULL, "varchar(30)");
	a = masking_of(&m, "+49 171 1234567");
	b = masking_of(&m, "+491711234567");
	for (; *a; a++)
		if (*a != ' ')
			CHECK(*a == *b++);
	CHECK(!*b);
	masking_end(&m);
}

/* ---- checksums ------------------------------------------------------------------------ */

static unsigned mod97(const char *iban)
{
	char digits[120];
	size_t n = 0, len = 0;
	char compact[40];
	unsigned r = 0;

	for (; *iban; iban++)
		if (*iban != ' ')
			compact[len++] = *iban;
	for (size_t i = 0; i < len; i++) {
		const char c = compact[(i + 4) % len];

		if (isdigit((unsigned char)c))
			digits[n++] = c;
		else
			n += (size_t)sprintf(digits + n, "%d",
					     toupper(c) - 'A' + 10);
	}
	for (size_t i = 0; i < n; i++)
		r = (r * 10 + (unsigned)(digits[i] - '0')) % 97;
	return r;
}

static void make_iban(struct rnd *rnd, const char *form, char *iban)
{
	size_t i;

	for (i = 0; form[i]; i++) {
		iban[i] = form[i];
		if (i > 3 && form[i] == 'n')
			iban[i] = (char)('0' + rnd_below(rnd, 10));
		if (i > 3 && form[i] == 'A')
			iban[i] = (char)('A' + rnd_below(rnd, 26));
	}
	iban[i] = '\0';
	iban[2] = iban[3] = '0';
	i = 98 - mod97(iban);
	iban[2] = (char)('0' + i / 10);
	iban[3] = (char)('0' + i % 10);
}

static void iban__stays_valid_in_its_country_and_form(void **state)
{
	static const char *const forms[] = {
		"DE00nnnnnnnnnnnnnnnnnn",
		"GB00 AAAA nnnn nnnn nnnn nn",
		"FR00nnnnnnnnnnAAAAAAAAAAAnn",
		"MT00AAAAnnnnnAAAAAAAAAAAAAAAAAA",
		"NO00nnnnnnnnnnn",
	};
	struct rnd rnd = {97};
	struct masking m;
	char value[48];

	(void)state;
	masking_begin(&m, SECRET, MASK_IBAN, NULL, "varchar(42)");
	for (int i = 0; i < 50000; i++) {
		const char *form = forms[rnd_below(&rnd, ARRAY_SIZE(forms))];
		const char *result;

		make_iban(&rnd, form, value);
		result = masking_of(&m, value);
		CHECK_UINT(mod97(result), 1);
		CHECK_UINT(strlen(result), strlen(value));
		CHECK(!strncmp(result, value, 2) && strcmp(result, value));
		for (size_t k = 4; form[k]; k++)
			CHECK(form[k] == ' '
				      ? result[k] == ' '
				      : !isdigit((unsigned char)result[k]) ==
						!isdigit((unsigned char)
								 value[k]));
	}
	masking_end(&m);
}

static bool luhn(const char *card)
{
	unsigned sum = 0, nr = 0;

	for (size_t i = strlen(card); i-- > 0;) {
		unsigned v = (unsigned)(card[i] - '0');

		if (!isdigit((unsigned char)card[i]))
			continue;
		if (nr++ % 2)
			v = 2 * v > 9 ? 2 * v - 9 : 2 * v;
		sum += v;
	}
	return sum % 10 == 0;
}

static void card__keeps_issuer_length_and_a_valid_check_digit(void **state)
{
	struct rnd rnd = {16};
	struct masking m;
	char value[32];

	(void)state;
	masking_begin(&m, SECRET, MASK_CARD, NULL, "varchar(23)");
	for (int i = 0; i < 100000; i++) {
		const char *result;

		snprintf(value, sizeof(value), "4929 %04u %04u %03u0",
			 (unsigned)rnd_below(&rnd, 10000),
			 (unsigned)rnd_below(&rnd, 10000),
			 (unsigned)rnd_below(&rnd, 1000));
		while (!luhn(value))
			value[18]++;
		result = masking_of(&m, value);
		CHECK(luhn(result));
		CHECK(strcmp(result, value));
		same_form(result, value, 4);
	}
	/* a wrong one stays wrong */
	CHECK(!luhn(masking_of(&m, "4111 1111 1111 1112")));
	masking_end(&m);
}

/* ---- numbers ------------------------------------------------------------------------------ */

static void number__keeps_sign_digits_and_decimals(void **state)
{
	static const char *const values[] = {
		"12.50", "-0.05", "1e-7", "-1.25e+10", "00042", "100.00", "+7",
	};
	struct masking m;

	(void)state;
	masking_begin(&m, SECRET, MASK_NUMBER, NULL, "varchar(40)");
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const char *result = masking_of(&m, values[i]);
		const char *v = values[i];
		bool exponent = false;

		CHECK_UINT(strlen(result), strlen(v));
		for (size_t k = 0; v[k]; k++) {
			exponent |= v[k] == 'e';
			if (exponent || !isdigit((unsigned char)v[k]) ||
			    (v[k] == '0' && !strpbrk(v, "123456789")))
				CHECK(result[k] == v[k]);
		}
		CHECK(strspn(result, "+-0.") == strspn(v, "+-0."));
	}
	CHECK_STR(masking_of(&m, "0"), "0");
	CHECK_STR(masking_of(&m, "0.00"), "0.00");
	masking_end(&m);
}

static void number__stays_in_the_range_of_its_type(void **state)
{
	static const struct {
		const char *type, *value;
		long double min, max;
	} edges[] = {
		{"tinyint(4)", "127", 100, 127},
		{"tinyint(4)", "-128", -128, -100},
		{"smallint(5) unsigned", "65535", 10000, 65535},
		{"mediumint(9)", "8388607", 1000000, 8388607},
		{"int(11)", "2147483647", 1e9L, 2147483647},
		{"int(10) unsigned", "4294967295", 1e9L, 4294967295},
		{"bigint(20)", "-9223372036854775808", -9223372036854775808.0L,
		 -1e18L},
		{"bigint(20) unsigned", "18446744073709551615", 1e19L,
		 18446744073709551615.0L},
		{"float", "3.40282e38", -3.40282e38L, 3.5e38L},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
		struct masking m;
		long double v;

		masking_begin(&m, SECRET, MASK_NUMBER, NULL, edges[i].type);
		v = strtold(masking_of(&m, edges[i].value), NULL);
		CHECK(v >= edges[i].min && v <= edges[i].max);
		masking_end(&m);
	}
}

/* ---- dates ------------------------------------------------------------------------------------ */

static time_t seconds(const char *text)
{
	struct tm tm = {0};

	CHECK(strptime(text, "%Y-%m-%d", &tm));
	tm.tm_isdst = 0;
	return timegm(&tm);
}

static void date__is_real_and_near_and_another(void **state)
{
	static const char *const parameters[] = {"days=1", "days=30", NULL,
						 "days=3650"};
	static const int days[] = {1, 30, 180, 3650};
	struct rnd rnd = {1980};
	struct masking m;
	char value[16], again[16];

	(void)state;
	for (size_t p = 0; p < ARRAY_SIZE(days); p++) {
		masking_begin(&m, SECRET, MASK_DATE, parameters[p], "date");
		for (int i = 0; i < 20000; i++) {
			time_t t = (time_t)rnd_below(&rnd, 4000000000u) -
				   1000000000,
			       shifted;
			struct tm tm;
			const char *result;

			t -= ((t % 86400) + 86400) % 86400;
			strftime(value, sizeof(value), "%Y-%m-%d",
				 gmtime_r(&t, &tm));
			result = masking_of(&m, value);
			shifted = seconds(result);
			strftime(again, sizeof(again), "%Y-%m-%d",
				 gmtime_r(&shifted, &tm));
			CHECK_STR(again, result);
			CHECK(shifted != t);
			CHECK(labs((long)(shifted - t)) <= 86400L * days[p]);
		}
		masking_end(&m);
	}
}

static void date__time_of_day_changes_but_midnight_stays(void **state)
{
	struct masking m;
	const char *result;

	(void)state;
	masking_begin(&m, SECRET, MASK_DATE, NULL, "datetime(6)");
	CHECK_STR(masking_of(&m, "2026-11-22 00:00:00") + 10, " 00:00:00");
	CHECK_STR(masking_of(&m, "0000-00-00 00:00:00"), "0000-00-00 00:00:00");
	result = masking_of(&m, "2026-11-22 02:10:00.250000");
	CHECK(strcmp(result + 10, " 02:10:00.250000"));
	CHECK(result[11] <= '2' && result[14] <= '5' && result[17] <= '5');
	masking_end(&m);
	masking_begin(&m, SECRET, MASK_DATE, "time=keep", "datetime");
	CHECK_STR(masking_of(&m, "2026-11-22 02:10:00") + 10, " 02:10:00");
	masking_end(&m);
}

static void date__timestamp_stays_in_its_range(void **state)
{
	struct masking m;
	char value[32];

	(void)state;
	masking_begin(&m, SECRET, MASK_DATE, "days=1000", "timestamp");
	for (unsigned d = 2; d <= 28; d++) {
		snprintf(value, sizeof(value), "1970-01-%02u 01:02:03", d);
		CHECK(seconds(masking_of(&m, value)) >= 86400);
		snprintf(value, sizeof(value), "2037-12-%02u 01:02:03", d);
		CHECK(seconds(masking_of(&m, value)) < 2147472000);
	}
	CHECK(!strncmp(masking_of(&m, "1970-01-01 00:00:01"), "1970-01-01",
		       10));
	masking_end(&m);
}

/* ---- texts ---------------------------------------------------------------------------------------- */

static void email__is_one_and_has_the_domain(void **state)
{
	struct masking m;
	const char *result;

	(void)state;
	masking_begin(&m, SECRET, MASK_EMAIL, NULL, "varchar(99)");
	result = masking_of(&m, "a@b.de");
	CHECK_UINT(strcspn(result, "@"), 16);
	CHECK_STR(strchr(result, '@'), "@example.com");
	masking_end(&m);
	masking_begin(&m, SECRET, MASK_EMAIL, "domain=mail.test", "text");
	CHECK_STR(strchr(masking_of(&m, "a@b.de"), '@'), "@mail.test");
	masking_end(&m);
}

static void text__is_as_long_in_characters(void **state)
{
	static const char value[] = "\xc3\xa4"
				    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct masking m;
	char *big = malloc(65536);

	(void)state;
	masking_begin(&m, SECRET, MASK_TEXT, NULL, "text");
	CHECK_UINT(strlen(masking_of(&m, value)), strlen(value) - 1);
	CHECK_UINT(strlen(masking_of(&m, "ok")), 24);
	MUST(big);
	memset(big, 'z', 65535);
	CHECK_UINT(strlen(masking_bytes(&m, big, 65535)), 65535);
	free(big);
	masking_end(&m);
}

static void hash__is_hexadecimal_bytes_or_a_uuid(void **state)
{
	struct masking m;
	const char *result;

	(void)state;
	masking_begin(&m, SECRET, MASK_HASH, NULL, "varchar(99)");
	result = masking_of(&m, "x");
	CHECK_UINT(strspn(result, "0123456789abcdef"), 32);
	CHECK_UINT(strlen(result), 32);
	masking_end(&m);
	masking_begin(&m, SECRET, MASK_HASH, NULL, "binary(16)");
	masking_bytes(&m, "0123456789abcdef", 16);
	CHECK_UINT(m.buf.len, 16);
	masking_end(&m);
	masking_begin(&m, SECRET, MASK_HASH, "format=uuid", "char(36)");
	result = masking_of(&m, "x");
	CHECK(result[8] == '-' && result[14] == '4' &&
	      strchr("89ab", result[19]) && strlen(result) == 36);
	masking_end(&m);
}

static void fixed_and_null__say_what_they_were_told(void **state)
{
	struct masking m;

	(void)state;
	masking_begin(&m, SECRET, MASK_FIXED, "value=gone", "varchar(9)");
	CHECK_STR(masking_of(&m, "anything"), "gone");
	masking_end(&m);
	masking_begin(&m, SECRET, MASK_NULL, NULL, "varchar(9)");
	CHECK_STR(masking_of(&m, "anything"), "NULL");
	masking_end(&m);
	masking_begin(&m, SECRET, MASK_KEEP, NULL, "varchar(9)");
	CHECK_STR(masking_of(&m, "anything"), "anything");
	masking_end(&m);
}

/* ---- JSON ------------------------------------------------------------------------------------------- */

static void path(struct masking *m, const char *text, enum mask_kind kind)
{
	char why[256];

	CHECK_OK(
		mask_add_path(m->mask, text, mask_new(kind), why, sizeof(why)));
}

static void json__masks_what_is_at_its_paths_and_nothing_else(void **state)
{
	struct masking m, email;
	char want[512];

	(void)state;
	masking_begin(&m, SECRET, MASK_JSON, NULL, "json");
	masking_begin(&email, SECRET, MASK_EMAIL, NULL, "text");
	path(&m, "$.user.emails[*]", MASK_EMAIL);
	path(&m, "$.\"a b\"[1]", MASK_NULL);
	path(&m, "$.gone", MASK_TEXT);
	snprintf(want, sizeof(want),
		 "{\"user\": {\"emails\": [\"%s\", \"\", null], \"n\": 1.5}, "
		 "\"a b\": [1, null, 3], \"t\": true}",
		 masking_of(&email, "a@b.de"));
	CHECK_STR(masking_of(&m, "{\"user\":{\"emails\":[\"a@b.de\",\"\",null],"
				 "\"n\":1.5},\"a b\":[1,2,3],\"t\":true}"),
		  want);
	masking_end(&email);
	masking_end(&m);
}

static void json__an_object_is_masked_in_all_its_leaves(void **state)
{
	struct masking m;
	const char *result;

	(void)state;
	masking_begin(&m, SECRET, MASK_JSON, NULL, "json");
	path(&m, "$", MASK_TEXT);
	result =
		masking_of(&m, "{\"a\":\"Anna\",\"b\":[\"Bob\",{\"c\":4711}]}");
	CHECK(!strstr(result, "Anna") && !strstr(result, "Bob") &&
	      !strstr(result, "4711"));
	masking_end(&m);
}

static void json__a_number_stays_a_number(void **state)
{
	struct masking m;
	const char *result;

	(void)state;
	masking_begin(&m, SECRET, MASK_JSON, NULL, "json");
	path(&m, "$.n", MASK_NUMBER);
	result = masking_of(&m, "{\"n\": 1234}");
	CHECK(strlen(result) == 11 && isdigit((unsigned char)result[6]) &&
	      strcmp(result, "{\"n\": 1234}"));
	masking_end(&m);
}

static void json__what_is_none_is_an_error(void **state)
{
	const struct mask_value in = {"{\"a\":", 5, VALUE_STRING};
	struct masking m;
	char why[256];

	(void)state;
	masking_begin(&m, SECRET, MASK_JSON, NULL, "json");
	path(&m, "$.a", MASK_TEXT);
	CHECK_INT(mask_apply(m.mask, &m.column, &in, &m.buf), -EBADMSG);
	CHECK_INT(mask_add_path(m.mask, "a.b", mask_new(MASK_TEXT), why,
				sizeof(why)),
		  -EINVAL);
	CHECK_STR(why, "'a.b' is not a path in JSON (such as "
		       "$.user.emails[*])");
	CHECK_INT(mask_add_path(m.mask, "$.x[", mask_new(MASK_TEXT), why,
				sizeof(why)),
		  -EINVAL);
	CHECK_INT(mask_add_path(m.mask, "$.x", mask_new(MASK_JSON), why,
				sizeof(why)),
		  -EINVAL);
	masking_end(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(phone__keeps_form_length_and_country),
		cmocka_unit_test(phone__stays_valid_by_e164),
		cmocka_unit_test(
			phone__of_north_america_has_an_area_that_can_be),
		cmocka_unit_test(
			phone__the_same_number_written_otherwise_gets_the_same_digits),
		cmocka_unit_test(iban__stays_valid_in_its_country_and_form),
		cmocka_unit_test(
			card__keeps_issuer_length_and_a_valid_check_digit),
		cmocka_unit_test(number__keeps_sign_digits_and_decimals),
		cmocka_unit_test(number__stays_in_the_range_of_its_type),
		cmocka_unit_test(date__is_real_and_near_and_another),
		cmocka_unit_test(date__time_of_day_changes_but_midnight_stays),
		cmocka_unit_test(date__timestamp_stays_in_its_range),
		cmocka_unit_test(email__is_one_and_has_the_domain),
		cmocka_unit_test(text__is_as_long_in_characters),
		cmocka_unit_test(hash__is_hexadecimal_bytes_or_a_uuid),
		cmocka_unit_test(fixed_and_null__say_what_they_were_told),
		cmocka_unit_test(
			json__masks_what_is_at_its_paths_and_nothing_else),
		cmocka_unit_test(json__an_object_is_masked_in_all_its_leaves),
		cmocka_unit_test(json__a_number_stays_a_number),
		cmocka_unit_test(json__what_is_none_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
