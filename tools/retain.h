/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retain.h - which snapshots stay
 *
 * Below: libc.  Above: cmd_prune.c.
 *
 * As restic's and ZFS tools' keep rules: of the snapshots, newest first, the
 * last N stay, and the newest one of each of the last N hours, days, weeks and
 * months that have one.  All times are UTC; a week begins on Monday.
 *
 * Which is newer is the caller's to say: times are those of a clock that may
 * have been wrong.  By each rule that is given the newest stays.
 */
#ifndef DBS_TOOLS_RETAIN_H
#define DBS_TOOLS_RETAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum retain_rule {
	RETAIN_LAST,
	RETAIN_HOURLY,
	RETAIN_DAILY,
	RETAIN_WEEKLY,
	RETAIN_MONTHLY,
	RETAIN_RULES
};

struct retain_item {
	time_t created;
	unsigned rules; /* out: 1 << rule for each that keeps it */
};

/** @items: newest first, whatever their times; @keep: how many by each rule */
void retain_apply(struct retain_item *items, size_t nr,
		  const unsigned keep[RETAIN_RULES]);

/** "last", "hourly" ... */
const char *retain_name(enum retain_rule rule);

#endif
