/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_model.h - the transactions of the kill test, and what they leave
 *
 * Below: nothing.  Above: kill_load.c, kill_verify.c.
 *
 * Each writer w commits transactions 1, 2, 3 ...  Number n inserts row (w, n)
 * into two tables, writes some older rows of both again, deletes row
 * (w, n - KILL_WINDOW) from both and sets the writer's counter to n.  All of it
 * follows from (w, n), so the tables' whole content follows from the counters:
 * what is lost, half done or wrong is seen whatever it is.
 *
 * One more writer, KILL_DDL, does DDL: statement n creates, fills, alters or
 * drops one of a few tables, which then say how far it came.  Nothing that
 * renames an .ibd: where a checkpoint comes between the rename and the end of
 * its transaction, MariaDB 10.11 cannot undo it after a crash (the file keeps
 * the new name, the dictionary has the old one), on any file system.
 *
 *   a (w, n, gen, text)   gen: the transaction that wrote the row last
 *   b (w, n, gen, sum)    sum: CRC32 of a's text
 *   counter (w, n)
 */
#ifndef DBS_TESTS_KILL_MODEL_H
#define DBS_TESTS_KILL_MODEL_H

#include <stdint.h>

#define KILL_DB		 "kill_test"
#define KILL_WRITERS_MAX 16u
#define KILL_DDL	 (KILL_WRITERS_MAX - 1)
#define KILL_DDL_TABLES	 3u
#define KILL_DDL_ROWS	 200u
#define KILL_WINDOW	 2000u /* rows a writer has */
#define KILL_TEXT_MAX	 600u
#define KILL_AGAIN_MAX	 20u

/** Rows that transaction @n of @w writes again, none twice; returns how many. */
unsigned kill_rows_again(uint32_t w, uint32_t n, uint32_t rows[KILL_AGAIN_MAX]);

/** The text that transaction @gen of @w gave row (@w, @n). */
void kill_text(uint32_t w, uint32_t n, uint32_t gen,
	       char text[KILL_TEXT_MAX + 1]);

/**
 * Which transaction wrote each row last, after transaction @last.
 * @gens: [last + 1], by row; 0: the row is not there
 */
void kill_state(uint32_t w, uint32_t last, uint32_t *gens);

/** What KILL_DDL's statements have left of one of its tables. */
struct kill_table {
	unsigned columns; /* 0: it is not there */
	unsigned rows;
};

/** Statement @n of KILL_DDL, 1 ... */
void kill_ddl(uint32_t n, char sql[256]);
/** KILL_DDL's table @slot after statement @n. */
void kill_ddl_state(uint32_t n, unsigned slot, struct kill_table *table);
/** Its name, whether it is there or not. */
void kill_ddl_name(unsigned slot, char name[16]);

#endif
