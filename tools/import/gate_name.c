/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate_name.c - what the name of a column says, in English, German and French
 *
 * A name is cut into words at '_', '-', blanks, digits and capitals: "firstName"
 * and "FIRST_NAME" are "first name".  A pattern is one or two words that stand
 * beside each other; with a '*' before or after it the word may go on there.
 */
#include "tools/import/gate_internal.h"

#include <ctype.h>
#include <string.h>

#include "store/store.h"

struct pattern {
	enum sign sign;
	const char *words;
};

/* The first that fits counts: what is longer or surer comes first. */
static const struct pattern patterns[] = {
	{SIGN_EMAIL, "*email*"},
	{SIGN_EMAIL, "e mail"},
	{SIGN_EMAIL, "mail"},
	{SIGN_EMAIL, "mail address"},
	{SIGN_EMAIL, "*mailadress*"},
	{SIGN_EMAIL, "courriel"},
	{SIGN_IP, "ip"},
	{SIGN_IP, "ipaddress"},
	{SIGN_IP, "ipv"},
	{SIGN_IP, "remote addr*"},
	{SIGN_IP, "client addr"},
	{SIGN_TEXT, "user agent"},
	{SIGN_PHONE, "*phone*"},
	{SIGN_PHONE, "*telefon*"},
	{SIGN_PHONE, "tel"},
	{SIGN_PHONE, "telnr"},
	{SIGN_PHONE, "mobile*"},
	{SIGN_PHONE, "mobil*"},
	{SIGN_PHONE, "handy*"},
	{SIGN_PHONE, "rufnummer"},
	{SIGN_PHONE, "fax*"},
	{SIGN_PHONE, "portable"},
	{SIGN_PHONE, "msisdn"},
	{SIGN_PHONE, "cell"},
	{SIGN_PHONE, "gsm"},
	{SIGN_PHONE, "whatsapp"},
	{SIGN_IBAN, "*iban*"},
	{SIGN_IBAN, "account no"},
	{SIGN_IBAN, "account number"},
	{SIGN_IBAN, "bank account"},
	{SIGN_IBAN, "kontonummer"},
	{SIGN_IBAN, "kontonr"},
	{SIGN_IBAN, "konto nr"},
	{SIGN_IBAN, "rib"},
	{SIGN_CARD, "card number"},
	{SIGN_CARD, "card no"},
	{SIGN_CARD, "*cardnumber"},
	{SIGN_CARD, "credit card"},
	{SIGN_CARD, "creditcard*"},
	{SIGN_CARD, "cc number"},
	{SIGN_CARD, "ccnum*"},
	{SIGN_CARD, "kreditkarte*"},
	{SIGN_CARD, "kartennummer"},
	{SIGN_CARD, "carte bancaire"},
	{SIGN_CARD, "numero carte"},
	{SIGN_BIRTH, "*birth*"},
	{SIGN_BIRTH, "dob"},
	{SIGN_BIRTH, "bday"},
	{SIGN_BIRTH, "geburts*"},
	{SIGN_BIRTH, "geb"},
	{SIGN_BIRTH, "*naissance*"},
	{SIGN_BIRTH, "date of death"},
	{SIGN_IDENTITY, "ssn"},
	{SIGN_IDENTITY, "social security"},
	{SIGN_IDENTITY, "passport*"},
	{SIGN_IDENTITY, "passeport*"},
	{SIGN_IDENTITY, "ausweis*"},
	{SIGN_IDENTITY, "*personalausweis*"},
	{SIGN_IDENTITY, "reisepass*"},
	{SIGN_IDENTITY, "national id"},
	{SIGN_IDENTITY, "identity number"},
	{SIGN_IDENTITY, "tax id"},
	{SIGN_IDENTITY, "tax number"},
	{SIGN_IDENTITY, "vat id"},
	{SIGN_IDENTITY, "vat number"},
	{SIGN_IDENTITY, "steuernummer"},
	{SIGN_IDENTITY, "steuerid"},
	{SIGN_IDENTITY, "steuer id"},
	{SIGN_IDENTITY, "ustid*"},
	{SIGN_IDENTITY, "sozialversicherung*"},
	{SIGN_IDENTITY, "svnr"},
	{SIGN_IDENTITY, "versichertennummer"},
	{SIGN_IDENTITY, "securite sociale"},
	{SIGN_IDENTITY, "nir"},
	{SIGN_IDENTITY, "driving licen*"},
	{SIGN_IDENTITY, "driver licen*"},
	{SIGN_IDENTITY, "fuehrerschein*"},
	{SIGN_IDENTITY, "license plate"},
	{SIGN_IDENTITY, "kennzeichen"},
	{SIGN_SECRET, "*password*"},
	{SIGN_SECRET, "passwd"},
	{SIGN_SECRET, "passwort*"},
	{SIGN_SECRET, "kennwort*"},
	{SIGN_SECRET, "mot de"},
	{SIGN_SECRET, "pwd"},
	{SIGN_SECRET, "pin"},
	{SIGN_SECRET, "*secret*"},
	{SIGN_SECRET, "token"},
	{SIGN_SECRET, "api key"},
	{SIGN_SECRET, "apikey"},
	{SIGN_SECRET, "private key"},
	{SIGN_SECRET, "cvc"},
	{SIGN_SECRET, "cvv"},
	{SIGN_POSTCODE, "zip"},
	{SIGN_POSTCODE, "zipcode"},
	{SIGN_POSTCODE, "plz"},
	{SIGN_POSTCODE, "postleitzahl"},
	{SIGN_POSTCODE, "postcode"},
	{SIGN_POSTCODE, "post code"},
	{SIGN_POSTCODE, "postal code"},
	{SIGN_POSTCODE, "postalcode"},
	{SIGN_POSTCODE, "code postal"},
	{SIGN_CITY, "city"},
	{SIGN_CITY, "town"},
	{SIGN_CITY, "wohnort"},
	{SIGN_CITY, "ort"},
	{SIGN_CITY, "stadt"},
	{SIGN_CITY, "ville"},
	{SIGN_STREET, "*address*"},
	{SIGN_STREET, "addr"},
	{SIGN_STREET, "*adresse*"},
	{SIGN_STREET, "*anschrift"},
	{SIGN_STREET, "street*"},
	{SIGN_STREET, "*strasse*"},
	{SIGN_STREET, "*stra\xc3\x9f"
		      "e*"},
	{SIGN_STREET, "hausnummer"},
	{SIGN_STREET, "hausnr"},
	{SIGN_STREET, "house number"},
	{SIGN_STREET, "rue"},
	{SIGN_STREET, "voie"},
	{SIGN_NAME, "first name"},
	{SIGN_NAME, "last name"},
	{SIGN_NAME, "middle name"},
	{SIGN_NAME, "maiden name"},
	{SIGN_NAME, "full name"},
	{SIGN_NAME, "given name"},
	{SIGN_NAME, "family name"},
	{SIGN_NAME, "user name"},
	{SIGN_NAME, "nick name"},
	{SIGN_NAME, "display name"},
	{SIGN_NAME, "real name"},
	{SIGN_NAME, "contact name"},
	{SIGN_NAME, "customer name"},
	{SIGN_NAME, "client name"},
	{SIGN_NAME, "employee name"},
	{SIGN_NAME, "person name"},
	{SIGN_NAME, "patient name"},
	{SIGN_NAME, "owner name"},
	{SIGN_NAME, "holder name"},
	{SIGN_NAME, "recipient name"},
	{SIGN_NAME, "sender name"},
	{SIGN_NAME, "firstname*"},
	{SIGN_NAME, "*lastname*"},
	{SIGN_NAME, "fullname"},
	{SIGN_NAME, "username"},
	{SIGN_NAME, "login"},
	{SIGN_NAME, "nickname"},
	{SIGN_NAME, "surname"},
	{SIGN_NAME, "forename"},
	{SIGN_NAME, "cardholder*"},
	{SIGN_NAME, "kontoinhaber*"},
	{SIGN_NAME, "*vorname*"},
	{SIGN_NAME, "*nachname*"},
	{SIGN_NAME, "familienname"},
	{SIGN_NAME, "benutzername"},
	{SIGN_NAME, "kundenname"},
	{SIGN_NAME, "ansprechpartner*"},
	{SIGN_NAME, "prenom*"},
	{SIGN_NAME, "pr\xc3\xa9nom*"},
	{SIGN_NAME, "nom"},
	{SIGN_NAME, "surnom"},
	{SIGN_NAME, "titulaire"},
	{SIGN_MONEY, "salar*"},
	{SIGN_MONEY, "wage"},
	{SIGN_MONEY, "gehalt*"},
	{SIGN_MONEY, "lohn"},
	{SIGN_MONEY, "income"},
	{SIGN_MONEY, "einkommen"},
	{SIGN_MONEY, "revenu"},
	{SIGN_PLACE, "latitude"},
	{SIGN_PLACE, "longitude"},
	{SIGN_PLACE, "lat"},
	{SIGN_PLACE, "lng"},
	{SIGN_PLACE, "lon"},
	{SIGN_PLACE, "location"},
	{SIGN_PLACE, "geo"},
	{SIGN_PLACE, "coordinates"},
	{SIGN_PICTURE, "picture"},
	{SIGN_PICTURE, "photo"},
	{SIGN_PICTURE, "foto"},
	{SIGN_PICTURE, "avatar"},
	{SIGN_PICTURE, "portrait"},
	{SIGN_PICTURE, "*signature*"},
	{SIGN_PICTURE, "unterschrift"},
	{SIGN_TEXT, "comment*"},
	{SIGN_TEXT, "note"},
	{SIGN_TEXT, "notes"},
	{SIGN_TEXT, "message*"},
	{SIGN_TEXT, "remark*"},
	{SIGN_TEXT, "bemerkung*"},
	{SIGN_TEXT, "notiz*"},
	{SIGN_TEXT, "kommentar*"},
	{SIGN_TEXT, "nachricht*"},
	{SIGN_TEXT, "freitext"},
	{SIGN_TEXT, "commentaire*"},
	{SIGN_TEXT, "remarque*"},
	{SIGN_TEXT, "biography"},
	{SIGN_TEXT, "diagnos*"},
};

#define BIT(c)	(1u << (c))
#define TEXTS	BIT(CLASS_TEXT)
#define NUMBERS (BIT(CLASS_INTEGER) | BIT(CLASS_DECIMAL) | BIT(CLASS_FLOAT))
#define DATES                                                                  \
	(BIT(CLASS_DATE) | BIT(CLASS_DATETIME) | BIT(CLASS_TIMESTAMP) |        \
	 BIT(CLASS_YEAR))

/* Which types a sign is a sign in: email_verified_at is a date. */
static const uint32_t classes_of[NR_SIGNS] = {
	[SIGN_EMAIL] = TEXTS,
	[SIGN_PHONE] = TEXTS | BIT(CLASS_INTEGER),
	[SIGN_NAME] = TEXTS,
	[SIGN_STREET] = TEXTS,
	[SIGN_CITY] = TEXTS,
	[SIGN_POSTCODE] = TEXTS | BIT(CLASS_INTEGER),
	[SIGN_BIRTH] = TEXTS | DATES,
	[SIGN_IBAN] = TEXTS,
	[SIGN_CARD] = TEXTS | BIT(CLASS_INTEGER),
	[SIGN_IP] = TEXTS | BIT(CLASS_INTEGER) | BIT(CLASS_BINARY) |
		    BIT(CLASS_INET),
	[SIGN_IDENTITY] = TEXTS | BIT(CLASS_INTEGER) | BIT(CLASS_BINARY),
	[SIGN_MONEY] = TEXTS | NUMBERS,
	[SIGN_SECRET] = TEXTS | BIT(CLASS_BINARY),
	[SIGN_TEXT] = TEXTS,
	[SIGN_PICTURE] = BIT(CLASS_BINARY) | TEXTS,
	[SIGN_PLACE] = TEXTS | BIT(CLASS_DECIMAL) | BIT(CLASS_FLOAT) |
		       BIT(CLASS_OTHER),
};

#define NAME_MAX_LEN 128u

/* " first name ": lower case, a space around each word. */
static void words_of(const char *name, char words[2 * NAME_MAX_LEN + 3])
{
	size_t n = 0;
	char before = ' ';

	words[n++] = ' ';
	for (size_t i = 0; name[i] && i < NAME_MAX_LEN; i++) {
		const unsigned char c = (unsigned char)name[i];

		if (c < 0x80 && !isalpha(c)) {
			if (words[n - 1] != ' ')
				words[n++] = ' ';
		} else {
			if (isupper(c) && islower((unsigned char)before) &&
			    words[n - 1] != ' ')
				words[n++] = ' ';
			words[n++] = (char)(c < 0x80 ? tolower(c) : c);
		}
		before = (char)c;
	}
	if (words[n - 1] != ' ')
		words[n++] = ' ';
	words[n] = '\0';
}

/* Does @pattern stand in @words? */
static bool stands_in(const char *pattern, const char *words)
{
	const bool open_left = pattern[0] == '*';
	size_t len = strlen(pattern);
	bool open_right;
	const char *at = words;

	pattern += open_left;
	len -= open_left;
	open_right = pattern[len - 1] == '*';
	len -= open_right;
	while ((at = memmem(at, strlen(at), pattern, len))) {
		if ((open_left || at[-1] == ' ') &&
		    (open_right || at[len] == ' '))
			return true;
		at++;
	}
	return false;
}

enum sign gate_name_sign(const struct mask_column *column)
{
	char words[2 * NAME_MAX_LEN + 3];

	words_of(column->name, words);
	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		const enum sign sign = patterns[i].sign;

		if ((classes_of[sign] & BIT(column->class)) &&
		    stands_in(patterns[i].words, words))
			return sign;
	}
	if (column->class == CLASS_INET)
		return SIGN_IP;
	return SIGN_NONE;
}
