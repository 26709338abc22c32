/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gate_internal.h - what the files of gate.h share
 */
#ifndef DBS_TOOLS_IMPORT_GATE_INTERNAL_H
#define DBS_TOOLS_IMPORT_GATE_INTERNAL_H

#include "tools/import/gate.h"

/* What a column may be of a person. */
enum sign {
	SIGN_NONE,
	SIGN_EMAIL,
	SIGN_PHONE,
	SIGN_NAME,
	SIGN_STREET,
	SIGN_CITY,
	SIGN_POSTCODE,
	SIGN_BIRTH,
	SIGN_IBAN,
	SIGN_CARD,
	SIGN_IP,
	SIGN_IDENTITY, /* passport, tax number */
	SIGN_MONEY,    /* salary */
	SIGN_SECRET,   /* password */
	SIGN_TEXT,     /* notes */
	SIGN_PICTURE,
	SIGN_PLACE, /* coordinates */
};
#define NR_SIGNS (SIGN_PLACE + 1)

/** What the name says, if the type can be that; else SIGN_NONE. */
enum sign gate_name_sign(const struct mask_column *column);

/* What the values looked at were. */
struct gate_counts {
	uint32_t nr; /* looked at: not NULL, not empty */
	uint32_t nr_of[NR_SIGNS];
	uint16_t year_min, year_max; /* of dates that births can have */
};

void gate_value_look(const struct mask_column *column,
		     const struct mask_value *value,
		     struct gate_counts *counts);
/** What they look like together, or SIGN_NONE. */
enum sign gate_value_sign(const struct mask_column *column,
			  const struct gate_counts *counts);

#endif
