/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/e2e/kill_model.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/rnd.h"

static struct rnd rnd_of(uint32_t w, uint32_t n, uint32_t gen)
{
	struct rnd r = {(uint64_t)w << 56 ^ (uint64_t)n << 28 ^ gen};

	rnd_next(&r);
	return r;
}

static bool has(const uint32_t *rows, unsigned nr, uint32_t row)
{
	for (unsigned i = 0; i < nr; i++)
		if (rows[i] == row)
			return true;
	return false;
}

unsigned kill_rows_again(uint32_t w, uint32_t n, uint32_t rows[KILL_AGAIN_MAX])
{
	const uint32_t first = n > KILL_WINDOW ? n - KILL_WINDOW + 1 : 1;
	struct rnd r = rnd_of(w, n, n);
	unsigned want = (unsigned)rnd_below(&r, 3);
	unsigned nr = 0;

	/* now and then one that spans many pages */
	if (rnd_one_in(&r, 16))
		want = KILL_AGAIN_MAX;
	for (unsigned i = 0; i < want && n > first; i++) {
		uint32_t row = (uint32_t)rnd_between(&r, first, n);

		if (!has(rows, nr, row))
			rows[nr++] = row;
	}
	return nr;
}

void kill_text(uint32_t w, uint32_t n, uint32_t gen,
	       char text[KILL_TEXT_MAX + 1])
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
	struct rnd r = rnd_of(w, n, gen);
	const size_t len = rnd_between(&r, 20, KILL_TEXT_MAX + 1);

	for (size_t i = 0; i < len; i += 12) {
		uint64_t bits = rnd_next(&r);

		for (size_t k = i; k < i + 12 && k < len; k++, bits >>= 5)
			text[k] = letters[bits % 32];
	}
	text[len] = '\0';
}

void kill_state(uint32_t w, uint32_t last, uint32_t *gens)
{
	uint32_t rows[KILL_AGAIN_MAX];

	memset(gens, 0, (last + (size_t)1) * sizeof(*gens));
	for (uint32_t n = 1; n <= last; n++) {
		unsigned nr = kill_rows_again(w, n, rows);

		gens[n] = n;
		for (unsigned i = 0; i < nr; i++)
			gens[rows[i]] = n;
		if (n > KILL_WINDOW)
			gens[n - KILL_WINDOW] = 0;
	}
}

/* A table's life, one statement each. */
enum {
	DDL_CREATE,
	DDL_FILL,
	DDL_ALTER,
	DDL_DROP,
	NR_DDL,
};

void kill_ddl_name(unsigned slot, char name[16])
{
	snprintf(name, 16, "ddl_%u", slot % KILL_DDL_TABLES);
}

void kill_ddl(uint32_t n, char sql[256])
{
	const unsigned slot = (n - 1) % KILL_DDL_TABLES;
	char name[16];

	kill_ddl_name(slot, name);
	switch ((n - 1) / KILL_DDL_TABLES % NR_DDL) {
	case DDL_CREATE:
		snprintf(sql, 256,
			 "CREATE TABLE %s (id INT PRIMARY KEY,"
			 " text VARCHAR(200) NOT NULL) ENGINE=InnoDB",
			 name);
		break;
	case DDL_FILL:
		snprintf(sql, 256,
			 "INSERT INTO %s SELECT seq, REPEAT(MD5(seq), 6)"
			 " FROM seq_1_to_%u",
			 name, KILL_DDL_ROWS);
		break;
	case DDL_ALTER:
		snprintf(sql, 256,
			 "ALTER TABLE %s ADD COLUMN more INT NOT NULL"
			 " DEFAULT 7, ALGORITHM=INSTANT",
			 name);
		break;
	case DDL_DROP:
		snprintf(sql, 256, "DROP TABLE %s", name);
		break;
	}
}

void kill_ddl_state(uint32_t n, unsigned slot, struct kill_table *table)
{
	/* statements on this table so far */
	const uint32_t done =
		n > slot ? (n - slot - 1) / KILL_DDL_TABLES + 1 : 0;

	memset(table, 0, sizeof(*table));
	if (done % NR_DDL == 0)
		return;
	table->columns = done % NR_DDL > DDL_ALTER ? 3 : 2;
	table->rows = done % NR_DDL > DDL_FILL ? KILL_DDL_ROWS : 0;
}
