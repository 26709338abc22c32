/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate_value.c - what values look like
 */
#include "tools/import/gate_internal.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "store/store.h"

/* What is looked at of a long text. */
#define LOOK_MAX 4096u

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
	return c > 0 && isalnum((unsigned char)c);
}

/* "anna@example.com" anywhere */
static bool has_email(const char *b, size_t len)
{
	const char *at = b, *end = b + len, *p;
	bool dot;

	while ((at = memchr(at, '@', (size_t)(end - at)))) {
		if (at == b || !is_alnum(at[-1]))
			goto next;
		dot = false;
		for (p = at + 1;
		     p < end && (is_alnum(*p) || *p == '-' || *p == '.'); p++)
			dot |= *p == '.' && p > at + 1 && p + 2 < end &&
			       isalpha((unsigned char)p[1]);
		if (dot)
			return true;
	next:
		at++;
	}
	return false;
}

/* Digits with '+', '0', or separators as phone numbers have them. */
static bool is_phone(const char *b, size_t len)
{
	size_t nr = 0, nr_marks = 0;

	if (len < 7 || len > 25)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (is_digit(b[i]))
			nr++;
		else if (strchr(" ()/-.", b[i]))
			nr_marks++;
		else if (b[i] != '+' || i)
			return false;
	}
	if (nr < 7 || nr > 15)
		return false;
	/* a date or a version is not */
	if (len == 10 && (b[4] == '-' || b[2] == '.' || b[2] == '/'))
		return false;
	return b[0] == '+' || b[0] == '(' || (b[0] == '0' && nr >= 8) ||
	       (nr_marks && nr >= 10);
}

static unsigned mod97(const char *b, size_t from, size_t to, unsigned r)
{
	for (size_t i = from; i < to; i++) {
		if (b[i] == ' ')
			continue;
		r = is_digit(b[i]) ? (r * 10 + (unsigned)(b[i] - '0')) % 97
				   : (r * 100 + (unsigned)((b[i] | 32) - 'a') +
				      10) % 97;
	}
	return r;
}

static bool is_iban(const char *b, size_t len)
{
	size_t nr = 0;

	if (len < 15 || len > 42 || !isalpha((unsigned char)b[0]) ||
	    !isalpha((unsigned char)b[1]) || !is_digit(b[2]) || !is_digit(b[3]))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!is_alnum(b[i]) && b[i] != ' ')
			return false;
		nr += b[i] != ' ';
	}
	return nr >= 15 && nr <= 34 && mod97(b, 0, 4, mod97(b, 4, len, 0)) == 1;
}

static bool is_card(const char *b, size_t len)
{
	unsigned sum = 0, nr = 0;

	if (len < 13 || len > 23 || b[0] < '3' || b[0] > '6')
		return false;
	for (size_t i = len; i-- > 0;) {
		unsigned v = (unsigned)(b[i] - '0');

		if (b[i] == ' ' || b[i] == '-')
			continue;
		if (!is_digit(b[i]))
			return false;
		if (nr++ % 2)
			v = v > 4 ? 2 * v - 9 : 2 * v;
		sum += v;
	}
	return nr >= 13 && nr <= 19 && sum % 10 == 0;
}

static bool is_ip(const char *b, size_t len)
{
	char text[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	if (len < 3 || len >= sizeof(text) || memchr(b, 0, len))
		return false;
	memcpy(text, b, len);
	text[len] = '\0';
	return inet_pton(AF_INET, text, bytes) == 1 ||
	       inet_pton(AF_INET6, text, bytes) == 1;
}

/*
 * First names that were common in English, German and French for a century,
 * and some last names; sorted.  A column of names has some of them.
 */
static const char *const names[] = {
	"adam",	      "alain",	   "alexander", "alice",     "amanda",
	"amy",	      "andrea",	   "andreas",	"andrew",    "angela",
	"anja",	      "anna",	   "anne",	"anthony",   "antoine",
	"barbara",    "bauer",	   "becker",	"benjamin",  "bernard",
	"bernd",      "betty",	   "birgit",	"brian",     "brigitte",
	"brown",      "camille",   "carol",	"caroline",  "catherine",
	"charles",    "charlotte", "chloe",	"christian", "christine",
	"christophe", "claire",	   "claudia",	"claus",     "daniel",
	"david",      "deborah",   "denis",	"dennis",    "dieter",
	"dominique",  "donald",	   "donna",	"dorothy",   "dubois",
	"edward",     "elena",	   "elizabeth", "emily",     "emma",
	"eric",	      "eva",	   "fischer",	"florian",   "frances",
	"francois",   "frank",	   "garcia",	"gary",	     "george",
	"gerhard",    "hans",	   "heike",	"heinz",     "helen",
	"helga",      "henry",	   "hoffmann",	"isabelle",  "jacques",
	"james",      "jan",	   "janet",	"jason",     "jean",
	"jeffrey",    "jennifer",  "jessica",	"joan",	     "johannes",
	"john",	      "johnson",   "jones",	"joseph",    "joshua",
	"joyce",      "julia",	   "julie",	"juergen",   "karen",
	"karin",      "karl",	   "katharina", "katherine", "keith",
	"kenneth",    "kevin",	   "klaus",	"koch",	     "larry",
	"laura",      "laurent",   "lena",	"leon",	     "linda",
	"lisa",	      "louis",	   "lucas",	"lukas",     "manfred",
	"manuel",     "margaret",  "maria",	"marie",     "mark",
	"markus",     "martha",	   "martin",	"mary",	     "matthew",
	"matthias",   "max",	   "melissa",	"meyer",     "michael",
	"michel",     "michelle",  "miller",	"monika",    "mueller",
	"nancy",      "nathalie",  "nicholas",	"nicolas",   "nicole",
	"olivier",    "pamela",	   "pascal",	"patricia",  "patrick",
	"paul",	      "peter",	   "petra",	"philippe",  "pierre",
	"rachel",     "rebecca",   "renate",	"richard",   "robert",
	"roger",      "ronald",	   "ruth",	"sabine",    "samuel",
	"sandra",     "sarah",	   "schmidt",	"schneider", "scott",
	"sharon",     "simon",	   "smith",	"sophie",    "stefan",
	"stephanie",  "stephen",   "steven",	"susan",     "susanne",
	"taylor",     "thomas",	   "timothy",	"tobias",    "uwe",
	"virginia",   "wagner",	   "walter",	"weber",     "werner",
	"william",    "williams",  "wilson",	"wolfgang",  "yves",
};

/* Does a value of up to four words have a name in it? */
static bool has_name(const char *b, size_t len)
{
	char word[16];
	size_t from, to, nr = 0;

	if (len > 60)
		return false;
	for (from = 0; from < len && nr < 4; from = to + 1, nr++) {
		for (to = from; to < len && is_alnum(b[to]); to++)
			;
		if (to == from || to - from >= sizeof(word))
			continue;
		memcpy(word, b + from, to - from);
		word[to - from] = '\0';
		for (size_t i = 0; i < ARRAY_SIZE(names); i++)
			if (!strcasecmp(names[i], word))
				return true;
	}
	return false;
}

static void look_at_date(const char *b, size_t len, struct gate_counts *counts)
{
	unsigned year = 0;

	if (len < 10 || b[4] != '-')
		return;
	for (int i = 0; i < 4; i++) {
		if (!is_digit(b[i]))
			return;
		year = year * 10 + (unsigned)(b[i] - '0');
	}
	if (year < 1900 || year > 2020)
		return;
	counts->nr_of[SIGN_BIRTH]++;
	if (!counts->year_min || year < counts->year_min)
		counts->year_min = (uint16_t)year;
	if (year > counts->year_max)
		counts->year_max = (uint16_t)year;
}

void gate_value_look(const struct mask_column *column,
		     const struct mask_value *value, struct gate_counts *counts)
{
	const char *b = value->bytes;
	const size_t len = MIN_OF(value->len, (size_t)LOOK_MAX);

	if (value->kind == VALUE_NULL || !len)
		return;
	counts->nr++;
	if (column->class == CLASS_DATE || column->class == CLASS_DATETIME)
		look_at_date(b, len, counts);
	if (column->class == CLASS_INTEGER)
		counts->nr_of[SIGN_CARD] += is_card(b, len);
	if (column->class != CLASS_TEXT && column->class != CLASS_JSON &&
	    column->class != CLASS_BINARY)
		return;
	counts->nr_of[SIGN_EMAIL] += has_email(b, len);
	counts->nr_of[SIGN_PHONE] += is_phone(b, len);
	counts->nr_of[SIGN_IBAN] += is_iban(b, len);
	counts->nr_of[SIGN_CARD] += is_card(b, len);
	counts->nr_of[SIGN_IP] += is_ip(b, len);
	if (column->class == CLASS_TEXT)
		counts->nr_of[SIGN_NAME] += has_name(b, len);
}

enum sign gate_value_sign(const struct mask_column *column,
			  const struct gate_counts *counts)
{
	/* least share in 1,000 of the values, surest sign first */
	static const struct {
		enum sign sign;
		unsigned share;
	} shares[] = {
		{SIGN_IBAN, 5}, {SIGN_EMAIL, 2},   {SIGN_CARD, 500},
		{SIGN_IP, 200}, {SIGN_PHONE, 200}, {SIGN_NAME, 100},
	};

	if (!counts->nr)
		return SIGN_NONE;
	for (size_t i = 0; i < ARRAY_SIZE(shares); i++) {
		const uint64_t nr = counts->nr_of[shares[i].sign];

		if (nr && nr * 1000 >= (uint64_t)counts->nr * shares[i].share)
			return shares[i].sign;
	}
	/* those of births are decades apart, and past */
	if (column->class == CLASS_DATE && counts->nr >= 5 &&
	    (uint64_t)counts->nr_of[SIGN_BIRTH] * 10 >=
		    (uint64_t)counts->nr * 9 &&
	    counts->year_min < 1990 &&
	    counts->year_max - counts->year_min >= 20)
		return SIGN_BIRTH;
	return SIGN_NONE;
}
