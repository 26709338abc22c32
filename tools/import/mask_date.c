/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mask_date.c - dates that move by at most so many days
 *
 * The days of all time lie in periods of @days + 1, whose borders the key
 * knows; the days of a period permute among themselves.  So no date stays,
 * none moves further, and no two meet.  The time of day permutes too, but for
 * midnight, which in a DATETIME often means that there is no time.
 */
#include "tools/import/mask_internal.h"

#include <errno.h>
#include <string.h>

#include "store/store.h"

#define DAYS_DEFAULT 180u
#define DAY_SECONDS  86400u

struct civil {
	int64_t year;
	unsigned month, day;
};

/*
 * Days since 1970-01-01 of the proleptic Gregorian calendar, and back.
 * Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", 2013.
 */
static int64_t days_of(struct civil c)
{
	const int64_t y = c.year - (c.month <= 2), era = y / 400;
	const int64_t yoe = y - era * 400;
	const int64_t doy = (153 * ((c.month + 9) % 12) + 2) / 5 + c.day - 1;

	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static struct civil civil_of(int64_t days)
{
	const int64_t z = days + 719468, era = z / 146097;
	const int64_t doe = z - era * 146097;
	const int64_t yoe =
		(doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	const int64_t mp = (5 * doy + 2) / 153;
	const unsigned month = (unsigned)(mp < 10 ? mp + 3 : mp - 9);

	return (struct civil){yoe + era * 400 + (month <= 2), month,
			      (unsigned)(doy - (153 * mp + 2) / 5 + 1)};
}

/* ---- text --------------------------------------------------------------------- */

static bool number_at(const struct mask_value *in, size_t at, size_t nr,
		      unsigned *v)
{
	*v = 0;
	if (at + nr > in->len)
		return false;
	for (size_t i = at; i < at + nr; i++) {
		if (in->bytes[i] < '0' || in->bytes[i] > '9')
			return false;
		*v = *v * 10 + (unsigned)(in->bytes[i] - '0');
	}
	return true;
}

static void put_at(struct mask_buf *out, size_t at, size_t nr, uint64_t v)
{
	while (nr-- > 0) {
		out->bytes[at + nr] = (char)('0' + v % 10);
		v /= 10;
	}
}

struct moment {
	struct civil date;
	bool has_time;
	unsigned second; /* of the day */
	size_t fraction; /* digits of it */
};

static bool char_at(const struct mask_value *in, size_t at, char c)
{
	return at < in->len && in->bytes[at] == c;
}

/* "2026-11-22[ 02:10:00[.123456]]" */
static bool parse(const struct mask_value *in, struct moment *m)
{
	unsigned year, hour, minute, second, digit;

	memset(m, 0, sizeof(*m));
	if (!number_at(in, 0, 4, &year) || !char_at(in, 4, '-') ||
	    !number_at(in, 5, 2, &m->date.month) || !char_at(in, 7, '-') ||
	    !number_at(in, 8, 2, &m->date.day) || m->date.month > 12 ||
	    m->date.day > 31)
		return false;
	m->date.year = year;
	if (in->len == 10)
		return true;
	if ((!char_at(in, 10, ' ') && !char_at(in, 10, 'T')) ||
	    !number_at(in, 11, 2, &hour) || !char_at(in, 13, ':') ||
	    !number_at(in, 14, 2, &minute) || !char_at(in, 16, ':') ||
	    !number_at(in, 17, 2, &second) || hour > 23 || minute > 59 ||
	    second > 59)
		return false;
	m->has_time = true;
	m->second = (hour * 60 + minute) * 60 + second;
	if (in->len == 19)
		return true;
	while (number_at(in, 20 + m->fraction, 1, &digit))
		m->fraction++;
	return char_at(in, 19, '.') && m->fraction <= 9 &&
	       20 + m->fraction == in->len;
}

/* ---- shift ---------------------------------------------------------------------- */

static void range(const struct mask_column *column, int64_t *lo, int64_t *hi)
{
	/* a timestamp's first and last day are not whole */
	const bool stamp = column->class == CLASS_TIMESTAMP;

	*lo = stamp ? 1 : days_of((struct civil){1000, 1, 1});
	*hi = stamp ? days_of((struct civil){2038, 1, 18})
		    : days_of((struct civil){9999, 12, 31});
}

static void shift_days(const struct mask *mask,
		       const struct mask_column *column, struct mask_buf *out,
		       int64_t day)
{
	const int64_t width = (mask->days ? mask->days : DAYS_DEFAULT) + 1;
	const int64_t base = 800000 + ctx_offset(out->ctx) % width;
	int64_t period, first, last, lo, hi;
	struct civil c;

	range(column, &lo, &hi);
	if (day < lo || day > hi)
		return;
	period = (day + base) / width;
	first = MAX_OF(period * width - base, lo);
	last = MIN_OF((period + 1) * width - base - 1, hi);
	if (first == last) /* a period cut at the end of time */
		return;
	day = first + (int64_t)crypt_permute(
			      out->ctx, LABEL_DATE, (uint64_t)period,
			      (u128)(last - first) + 1, (u128)(day - first));
	c = civil_of(day);
	put_at(out, 0, 4, (uint64_t)c.year);
	put_at(out, 5, 2, c.month);
	put_at(out, 8, 2, c.day);
}

static void shift_time(struct mask_buf *out, const struct moment *m,
		       int64_t day)
{
	unsigned second = m->second;
	uint64_t fraction = 0, n = 1;

	if (second)
		second = 1 + (unsigned)crypt_permute(
				     out->ctx, LABEL_TIME, (uint64_t)day,
				     DAY_SECONDS - 1, second - 1);
	put_at(out, 11, 2, second / 3600);
	put_at(out, 14, 2, second / 60 % 60);
	put_at(out, 17, 2, second % 60);
	for (size_t i = 0; i < m->fraction; i++, n *= 10)
		fraction = fraction * 10 + (uint64_t)(out->bytes[20 + i] - '0');
	if (fraction) /* as with midnight */
		put_at(out, 20, m->fraction,
		       1 + (uint64_t)crypt_permute(out->ctx, LABEL_FRACTION,
						   m->second, n - 1,
						   fraction - 1));
}

/* Not "1980-02-30", nor with a part that is zero. */
static bool is_real(struct civil c)
{
	const struct civil back = civil_of(days_of(c));

	return c.month && c.day && back.month == c.month && back.day == c.day;
}

/* "1980-00-00": the year moves inside its decade. */
static void shift_year(struct mask_buf *out, const struct moment *m)
{
	const uint64_t decade = (uint64_t)m->date.year / 10 * 10;

	put_at(out, 0, 4,
	       decade + (uint64_t)crypt_permute(
				out->ctx, LABEL_DATE, UINT64_C(1) << 40, 10,
				(u128)((uint64_t)m->date.year - decade)));
}

int date_shift(const struct mask *mask, const struct mask_column *column,
	       const struct mask_value *in, struct mask_buf *out)
{
	struct moment m;
	int64_t day;
	int err;

	if (!parse(in, &m))
		return shape_any(in, out);
	err = buf_reserve(out, in->len);
	if (err)
		return err;
	memcpy(out->bytes, in->bytes, in->len);
	out->len = in->len;
	out->kind = in->kind;
	if (!m.date.year)
		return 0;
	if (!is_real(m.date)) {
		shift_year(out, &m);
		return 0;
	}
	day = days_of(m.date);
	shift_days(mask, column, out, day);
	if (m.has_time && !mask->keep_time)
		shift_time(out, &m, day);
	return 0;
}
