/* SPDX-License-Identifier: Apache-2.0 */
/* test_retain.c - which snapshots dbs prune keeps */
#include "tests/lib/check.h"
#include "tools/retain.h"

#define HOUR 3600
#define DAY  86400

/* 2026-11-22 is a Sunday; this is 12:00 UTC. */
#define SUNDAY_NOON ((time_t)1795348800)

static unsigned bits(const struct retain_item *items, size_t nr,
		     enum retain_rule rule)
{
	unsigned set = 0;

	for (size_t i = 0; i < nr; i++)
		if (items[i].rules & 1u << rule)
			set |= 1u << i;
	return set;
}

static void retain__last_keeps_the_newest_and_no_more(void **state)
{
	struct retain_item items[] = {{3, 0}, {2, 0}, {1, 0}, {0, 0}};
	const unsigned keep[RETAIN_RULES] = {[RETAIN_LAST] = 2};

	(void)state;
	retain_apply(items, 4, keep);
	CHECK_UINT(bits(items, 4, RETAIN_LAST), 0x3);
	CHECK_UINT(items[2].rules | items[3].rules, 0);
}

static void retain__more_than_there_are_keeps_all(void **state)
{
	struct retain_item items[] = {{3, 0}, {2, 0}};
	const unsigned keep[RETAIN_RULES] = {[RETAIN_LAST] = 100};

	(void)state;
	retain_apply(items, 2, keep);
	CHECK_UINT(bits(items, 2, RETAIN_LAST), 0x3);
	retain_apply(items, 0, keep);
}

static void retain__nothing_is_kept_without_a_rule(void **state)
{
	struct retain_item items[] = {{3, 7}, {2, 7}};
	const unsigned keep[RETAIN_RULES] = {0};

	(void)state;
	retain_apply(items, 2, keep);
	CHECK_UINT(items[0].rules | items[1].rules, 0);
}

static void retain__daily_keeps_the_newest_of_each_day(void **state)
{
	struct retain_item items[] = {
		{SUNDAY_NOON + HOUR, 0},	  /* Sunday */
		{SUNDAY_NOON, 0},		  /* Sunday */
		{SUNDAY_NOON - 12 * HOUR, 0},	  /* Sunday, its first second */
		{SUNDAY_NOON - 12 * HOUR - 1, 0}, /* Saturday, its last */
		{SUNDAY_NOON - 3 * DAY, 0}, /* Thursday: a gap costs nothing */
		{SUNDAY_NOON - 4 * DAY, 0},
	};
	const unsigned keep[RETAIN_RULES] = {[RETAIN_DAILY] = 3};

	(void)state;
	retain_apply(items, 6, keep);
	CHECK_UINT(bits(items, 6, RETAIN_DAILY), 0x19);
}

static void retain__week_begins_on_monday(void **state)
{
	struct retain_item items[] = {
		{SUNDAY_NOON + 12 * HOUR, 0},		/* Monday 00:00 */
		{SUNDAY_NOON + 12 * HOUR - 1, 0},	/* Sunday 23:59:59 */
		{SUNDAY_NOON - 6 * DAY - 12 * HOUR, 0}, /* Monday 00:00 */
		{SUNDAY_NOON - 6 * DAY - 12 * HOUR - 1, 0},
	};
	const unsigned keep[RETAIN_RULES] = {[RETAIN_WEEKLY] = 10};

	(void)state;
	retain_apply(items, 4, keep);
	CHECK_UINT(bits(items, 4, RETAIN_WEEKLY), 0xb);
}

static void retain__months_are_those_of_the_calendar(void **state)
{
	struct retain_item items[] = {
		{SUNDAY_NOON, 0},	      /* 22 November */
		{SUNDAY_NOON - 21 * DAY, 0},  /* 1 November */
		{SUNDAY_NOON - 22 * DAY, 0},  /* 31 October */
		{SUNDAY_NOON - 52 * DAY, 0},  /* 1 October */
		{SUNDAY_NOON - 365 * DAY, 0}, /* 22 November of 2025 */
	};
	const unsigned keep[RETAIN_RULES] = {[RETAIN_MONTHLY] = 3};

	(void)state;
	retain_apply(items, 5, keep);
	CHECK_UINT(bits(items, 5, RETAIN_MONTHLY), 0x15);
}

static void retain__one_snapshot_can_be_kept_by_several_rules(void **state)
{
	struct retain_item items[] = {{SUNDAY_NOON, 0},
				      {SUNDAY_NOON - 1, 0},
				      {SUNDAY_NOON - HOUR, 0}};
	const unsigned keep[RETAIN_RULES] = {1, 2, 1, 1, 1};

	(void)state;
	retain_apply(items, 3, keep);
	CHECK_UINT(items[0].rules, 0x1f);
	/* 11:59:59 is of another hour than 12:00:00, and the one of 11:00 */
	CHECK_UINT(items[1].rules, 1u << RETAIN_HOURLY);
	CHECK_UINT(items[2].rules, 0);
}

/* The clock was 400 days ahead once, and then was set right. */
static void retain__newest_stays_whatever_its_time(void **state)
{
	struct retain_item items[] = {
		{SUNDAY_NOON, 0},
		{SUNDAY_NOON + 400 * DAY, 0},
		{SUNDAY_NOON - HOUR, 0},
		{SUNDAY_NOON - DAY, 0},
	};
	const unsigned one[RETAIN_RULES] = {1, 1, 1, 1, 1};
	const unsigned daily[RETAIN_RULES] = {[RETAIN_DAILY] = 3};

	(void)state;
	retain_apply(items, 4, one);
	CHECK_UINT(items[0].rules, 0x1f);
	CHECK_UINT(items[1].rules | items[2].rules | items[3].rules, 0);
	/* that Sunday has one already, beyond the day that was none */
	retain_apply(items, 4, daily);
	CHECK_UINT(bits(items, 4, RETAIN_DAILY), 0xb);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retain__last_keeps_the_newest_and_no_more),
		cmocka_unit_test(retain__more_than_there_are_keeps_all),
		cmocka_unit_test(retain__nothing_is_kept_without_a_rule),
		cmocka_unit_test(retain__daily_keeps_the_newest_of_each_day),
		cmocka_unit_test(retain__week_begins_on_monday),
		cmocka_unit_test(retain__months_are_those_of_the_calendar),
		cmocka_unit_test(
			retain__one_snapshot_can_be_kept_by_several_rules),
		cmocka_unit_test(retain__newest_stays_whatever_its_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
