/* SPDX-License-Identifier: Apache-2.0 */
/*
 * masks.c - how many values a second each mask takes, in one thread
 *
 * usage: masks [SECONDS-EACH]
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "store/store.h"
#include "tests/lib/masking.h"

static const struct {
	enum mask_kind kind;
	const char *parameter, *type, *form;
} cases[] = {
	{MASK_KEEP, NULL, "varchar(100)", "user%07u@example.org"},
	{MASK_EMAIL, NULL, "varchar(100)", "user%07u@example.org"},
	{MASK_PHONE, NULL, "varchar(30)", "+49 171 %07u"},
	{MASK_NAME, NULL, "varchar(45)", "Anna Schmidt %u"},
	{MASK_ADDRESS, NULL, "varchar(50)", "%u MySakila Drive"},
	{MASK_ADDRESS, "part=postcode", "varchar(10)", "%05u"},
	{MASK_TEXT, NULL, "text",
	 "call %u: she asked for her money back and will write again soon"},
	{MASK_NUMBER, NULL, "int(11)", "%u"},
	{MASK_NUMBER, NULL, "decimal(10,2)", "%u.50"},
	{MASK_DATE, NULL, "date", "1980-05-%02u"},
	{MASK_DATE, NULL, "datetime", "1980-05-17 11:%02u:33"},
	{MASK_IBAN, NULL, "varchar(34)", "DE%02u370400440532013000"},
	{MASK_CARD, NULL, "varchar(19)", "4111 1111 %08u"},
	{MASK_IP, NULL, "varchar(45)", "10.1.2.%u"},
	{MASK_HASH, NULL, "varchar(64)", "secret %u"},
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

#define NR_VALUES 28u /* days of a month */

static void run(size_t i, double seconds)
{
	char values[NR_VALUES][128];
	struct mask_value in[NR_VALUES];
	struct masking m;
	uint64_t nr = 0, bytes = 0;
	double start, spent;

	for (unsigned k = 0; k < NR_VALUES; k++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		const int n =
			snprintf(values[k], sizeof(values[k]), cases[i].form,
				 cases[i].kind == MASK_IBAN ? 89 : k + 1);
#pragma GCC diagnostic pop
		in[k] = (struct mask_value){values[k], (size_t)n, VALUE_STRING};
	}
	masking_begin(&m, SECRET, cases[i].kind, cases[i].parameter,
		      cases[i].type);
	start = now();
	do {
		for (unsigned k = 0; k < 1000; k++) {
			const struct mask_value *v = &in[k % NR_VALUES];

			MUST(!mask_apply(m.mask, &m.column, v, &m.buf));
			bytes += v->len;
		}
		nr += 1000;
		spent = now() - start;
	} while (spent < seconds);
	printf("%-8s %-14s %-13s %9.0f values/s %6.0f ns %7.1f MB/s\n",
	       mask_kind_name(cases[i].kind),
	       cases[i].parameter ? cases[i].parameter : "-", cases[i].type,
	       (double)nr / spent, 1e9 * spent / (double)nr,
	       (double)bytes / spent / 1e6);
	masking_end(&m);
}

int main(int argc, char **argv)
{
	const double seconds = argc > 1 ? atof(argv[1]) : 0.3;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		run(i, seconds);
	return 0;
}
