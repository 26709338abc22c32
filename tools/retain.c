/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/retain.h"

#include <stdint.h>

const char *retain_name(enum retain_rule rule)
{
	static const char *const names[RETAIN_RULES] = {
		"last", "hourly", "daily", "weekly", "monthly"};

	return names[rule];
}

/* Equal for two times if and only if they are in one period. */
static int64_t period_of(enum retain_rule rule, time_t t, size_t i)
{
	int64_t day = (int64_t)t / 86400;
	struct tm tm;

	switch (rule) {
	case RETAIN_HOURLY:
		return (int64_t)t / 3600;
	case RETAIN_DAILY:
		return day;
	case RETAIN_WEEKLY:
		/* 1970-01-01 was a Thursday */
		return (day + 3) / 7;
	case RETAIN_MONTHLY:
		gmtime_r(&t, &tm);
		return (int64_t)tm.tm_year * 12 + tm.tm_mon;
	default:
		return (int64_t)i;
	}
}

/* Has one of the first @nr, by this rule? */
static bool is_taken(const struct retain_item *items, size_t nr,
		     enum retain_rule rule, int64_t period)
{
	/* a period of its own each */
	if (rule == RETAIN_LAST)
		return false;
	for (size_t i = nr; i-- > 0;)
		if (items[i].rules & 1u << rule &&
		    period_of(rule, items[i].created, i) == period)
			return true;
	return false;
}

void retain_apply(struct retain_item *items, size_t nr,
		  const unsigned keep[RETAIN_RULES])
{
	for (size_t i = 0; i < nr; i++)
		items[i].rules = 0;
	for (int r = 0; r < RETAIN_RULES; r++) {
		enum retain_rule rule = (enum retain_rule)r;
		unsigned left = keep[r];

		for (size_t i = 0; i < nr && left; i++) {
			int64_t period = period_of(rule, items[i].created, i);

			if (is_taken(items, i, rule, period))
				continue;
			items[i].rules |= 1u << r;
			left--;
		}
	}
}
