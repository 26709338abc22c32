/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill_verify.c - are the tables what the acknowledged transactions made?
 *
 * The counters say how far each writer came: no less than was acknowledged,
 * no more than the one that was in flight; everything else follows from them
 * (kill_model.h).
 */
#include "tests/e2e/kill_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAY_MAX 10 /* findings told one by one */

struct verify {
	MYSQL *my;
	struct kill_acked before[KILL_WRITERS_MAX], after[KILL_WRITERS_MAX];
	uint32_t n[KILL_WRITERS_MAX];	  /* the counters */
	uint32_t *gens[KILL_WRITERS_MAX]; /* see kill_state() */

	uint64_t commits, lost, rows, tables;
	unsigned wrong, unpurged;
};

#define wrong(v, ...)                                                          \
	do {                                                                   \
		if ((v)->wrong++ < SAY_MAX) {                                  \
			printf("wrong: " __VA_ARGS__);                         \
			putchar('\n');                                         \
		}                                                              \
	} while (0)

static uint32_t number(const char *text)
{
	return text ? (uint32_t)strtoul(text, NULL, 10) : 0;
}

static MYSQL_RES *query(struct verify *v, const char *sql)
{
	if (mysql_query(v->my, sql) == 0) {
		MYSQL_RES *rows = mysql_use_result(v->my);

		if (rows)
			return rows;
	}
	wrong(v, "%s: error %u: %s", sql, mysql_errno(v->my),
	      mysql_error(v->my));
	return NULL;
}

/* The end of @rows: of all of them, or of those before an error. */
static void query_end(struct verify *v, MYSQL_RES *rows, const char *what)
{
	if (mysql_errno(v->my))
		wrong(v, "%s: error %u: %s", what, mysql_errno(v->my),
		      mysql_error(v->my));
	mysql_free_result(rows);
}

/* ---- how far each writer came ------------------------------------------------------ */

static void check_counter(struct verify *v, uint32_t w)
{
	const struct kill_acked *before = &v->before[w];
	const struct kill_acked *after = &v->after[w];

	if (!before->known) {
		wrong(v, "writer %u is not in the record", w);
		return;
	}
	v->commits += before->last - before->first;
	if (v->n[w] < before->last) {
		v->lost += before->last - v->n[w];
		wrong(v, "writer %u: %u is acknowledged, %u is there", w,
		      before->last, v->n[w]);
	}
	if (v->n[w] > after->last + 1)
		wrong(v, "writer %u: %u is there, only %u was begun", w,
		      v->n[w], after->last + 1);
}

static void check_counters(struct verify *v)
{
	MYSQL_RES *rows = query(v, "SELECT w, n FROM counter");
	MYSQL_ROW row;

	if (!rows)
		return;
	while ((row = mysql_fetch_row(rows))) {
		uint32_t w = number(row[0]);

		if (w >= KILL_WRITERS_MAX || v->gens[w]) {
			wrong(v, "counter of writer %u", w);
			continue;
		}
		v->n[w] = number(row[1]);
		check_counter(v, w);
		v->gens[w] = calloc(v->n[w] + (size_t)1, sizeof(uint32_t));
		if (!v->gens[w])
			abort();
		kill_state(w, v->n[w], v->gens[w]);
	}
	query_end(v, rows, "counters");
	for (unsigned w = 0; w < KILL_WRITERS_MAX; w++)
		if (v->before[w].known && w != KILL_DDL && !v->gens[w])
			wrong(v, "writer %u has no counter", w);
}

/* ---- tables that come and go ------------------------------------------------------- */

static void look_at_table(struct verify *v, unsigned slot,
			  struct kill_table *table)
{
	char name[16], sql[256];

	kill_ddl_name(slot, name);
	snprintf(sql, sizeof(sql),
		 "SELECT COUNT(*) FROM information_schema.columns"
		 " WHERE table_schema = '" KILL_DB "' AND table_name = '%s'",
		 name);
	table->columns = (unsigned)kill_number(v->my, sql, 0);
	if (table->columns == 0)
		return;
	snprintf(sql, sizeof(sql), "SELECT COUNT(*) FROM %s", name);
	table->rows = (unsigned)kill_number(v->my, sql, UINT32_MAX);
}

static bool explains(uint32_t n, const struct kill_table have[KILL_DDL_TABLES])
{
	struct kill_table want;

	for (unsigned i = 0; i < KILL_DDL_TABLES; i++) {
		kill_ddl_state(n, i, &want);
		if (want.columns != have[i].columns ||
		    want.rows != have[i].rows)
			return false;
	}
	return true;
}

static void check_ddl(struct verify *v)
{
	const uint32_t first = v->before[KILL_DDL].last;
	const uint32_t last = v->after[KILL_DDL].last + 1;
	struct kill_table have[KILL_DDL_TABLES] = {0};

	if (!v->before[KILL_DDL].known)
		return;
	for (unsigned i = 0; i < KILL_DDL_TABLES; i++)
		look_at_table(v, i, &have[i]);
	for (uint32_t n = first; n <= last; n++)
		if (explains(n, have))
			return;
	wrong(v, "DDL: not what statement %u to %u left", first, last);
	for (unsigned i = 0; i < KILL_DDL_TABLES; i++)
		printf("   %u: %u columns, %u rows\n", i, have[i].columns,
		       have[i].rows);
}

/* ---- rows ------------------------------------------------------------------------------ */

/* w, n, gen, text, b.gen, b.sum, CRC32(text) */
static void check_row(struct verify *v, MYSQL_ROW row)
{
	const uint32_t w = number(row[0]), n = number(row[1]);
	const uint32_t gen = number(row[2]);
	char text[KILL_TEXT_MAX + 1];

	v->rows++;
	if (w >= KILL_WRITERS_MAX || !v->gens[w] || n > v->n[w] ||
	    !v->gens[w][n]) {
		wrong(v, "row %u %u should not be there", w, n);
		return;
	}
	if (gen != v->gens[w][n]) {
		wrong(v, "row %u %u is of transaction %u, not %u", w, n, gen,
		      v->gens[w][n]);
		v->gens[w][n] = 0;
		return;
	}
	v->gens[w][n] = 0; /* seen */
	kill_text(w, n, gen, text);
	if (strcmp(row[3], text) != 0)
		wrong(v, "row %u %u: its text is not transaction %u's", w, n,
		      gen);
	if (!row[4] || number(row[4]) != gen)
		wrong(v, "row %u %u: half a transaction: %u in a, %s in b", w,
		      n, gen, row[4] ? row[4] : "none");
	else if (strcmp(row[5], row[6]) != 0)
		wrong(v, "row %u %u: sum %s in b, %s in a", w, n, row[5],
		      row[6]);
}

static void check_rows(struct verify *v)
{
	MYSQL_RES *rows =
		query(v, "SELECT a.w, a.n, a.gen, a.text, b.gen, b.sum,"
			 " CRC32(a.text) FROM a LEFT JOIN b USING (w, n)");
	uint64_t in_b;
	MYSQL_ROW row;

	if (!rows)
		return;
	while ((row = mysql_fetch_row(rows)))
		check_row(v, row);
	query_end(v, rows, "rows");
	for (uint32_t w = 0; w < KILL_WRITERS_MAX; w++)
		for (uint32_t n = 1; v->gens[w] && n <= v->n[w]; n++)
			if (v->gens[w][n])
				wrong(v, "row %u %u is not there", w, n);
	in_b = kill_number(v->my, "SELECT COUNT(*) FROM b", UINT64_MAX);
	if (in_b != v->rows)
		wrong(v, "%llu rows in a, %llu in b",
		      (unsigned long long)v->rows, (unsigned long long)in_b);
}

/* ---- the binary log: the same transactions as the tables, in order ---------------------- */

static void check_event(struct verify *v, const char *info,
			uint32_t last[KILL_WRITERS_MAX])
{
	const char *p = info ? strstr(info, "UPDATE counter SET n = ") : NULL;
	unsigned n, w;

	if (!p ||
	    sscanf(p, "UPDATE counter SET n = %u WHERE w = %u", &n, &w) != 2 ||
	    w >= KILL_WRITERS_MAX)
		return;
	if (n != last[w] + 1)
		wrong(v, "binlog: writer %u: %u after %u", w, n, last[w]);
	last[w] = n;
}

/* The end of a file that was being written may be half an event. */
static void check_binlog_file(struct verify *v, const char *name,
			      uint32_t last[KILL_WRITERS_MAX])
{
	MYSQL_RES *rows;
	char sql[600];
	MYSQL_ROW row;

	snprintf(sql, sizeof(sql), "SHOW BINLOG EVENTS IN '%.255s'", name);
	rows = query(v, sql);
	if (!rows)
		return;
	while ((row = mysql_fetch_row(rows)))
		check_event(v, row[5], last);
	if (mysql_errno(v->my))
		printf("   %s ends with: %s\n", name, mysql_error(v->my));
	mysql_free_result(rows);
}

static void check_binlog(struct verify *v)
{
	uint32_t last[KILL_WRITERS_MAX];
	char names[100][256];
	MYSQL_RES *rows = query(v, "SHOW BINARY LOGS");
	unsigned nr = 0;
	MYSQL_ROW row;

	if (!rows)
		return;
	while ((row = mysql_fetch_row(rows)))
		if (nr < 100)
			snprintf(names[nr++], sizeof(names[0]), "%s", row[0]);
	query_end(v, rows, "binary logs");
	for (unsigned w = 0; w < KILL_WRITERS_MAX; w++)
		last[w] = v->after[w].first;
	for (unsigned i = 0; i < nr; i++)
		check_binlog_file(v, names[i], last);
	for (unsigned w = 0; w < KILL_DDL; w++)
		if (v->after[w].known && last[w] != v->n[w])
			wrong(v, "writer %u: %u in the binlog, %u in the table",
			      w, last[w], v->n[w]);
}

/* ---- CHECK TABLE ------------------------------------------------------------------------- */

/*
 * MariaDB warns of delete-marked records that purge has not come to, or has
 * forgotten, after a crash on any file system (MDEV-24402, MDEV-29823).  They
 * are no damage, and the status stays OK.
 */
static bool is_unpurged(const char *type, const char *text)
{
	return !strcmp(type, "Warning") &&
	       (strstr(text, "Unpurged clustered index record") ||
		strstr(text, "Clustered index record not found for index"));
}

/* Table, Op, Msg_type, Msg_text */
static void check_one_table(struct verify *v, const char *name)
{
	MYSQL_RES *rows;
	char sql[600];
	MYSQL_ROW row;
	bool ok = false;

	snprintf(sql, sizeof(sql), "CHECK TABLE %.400s EXTENDED", name);
	rows = query(v, sql);
	if (!rows)
		return;
	v->tables++;
	while ((row = mysql_fetch_row(rows))) {
		if (!strcmp(row[2], "status"))
			ok = !strcmp(row[3], "OK");
		else if (is_unpurged(row[2], row[3]))
			v->unpurged++;
		else
			wrong(v, "%s: %s: %s", row[0], row[2], row[3]);
	}
	if (!ok)
		wrong(v, "table %s is not OK", name);
	query_end(v, rows, "check table");
}

static void check_tables(struct verify *v)
{
	MYSQL_RES *rows = query(v, "SELECT CONCAT('`', table_schema, '`.`',"
				   " table_name, '`')"
				   " FROM information_schema.tables"
				   " WHERE table_type = 'BASE TABLE'"
				   " AND table_schema <> 'performance_schema'");
	char names[200][300];
	unsigned nr = 0;
	MYSQL_ROW row;

	if (!rows)
		return;
	while ((row = mysql_fetch_row(rows)))
		if (nr < 200)
			snprintf(names[nr++], sizeof(names[0]), "%s", row[0]);
	query_end(v, rows, "tables");
	for (unsigned i = 0; i < nr; i++)
		check_one_table(v, names[i]);
}

int kill_verify(const char *socket, const char *before, const char *after,
		bool binlog)
{
	struct verify v = {.my = kill_connect(socket, KILL_DB, true)};

	if (!v.my)
		return 2;
	kill_read_acked(before, v.before);
	kill_read_acked(after, v.after);
	check_tables(&v);
	check_counters(&v);
	check_rows(&v);
	check_ddl(&v);
	if (binlog)
		check_binlog(&v);
	printf("commits=%llu lost=%llu wrong=%u rows=%llu tables=%llu "
	       "unpurged=%u ddl=%u\n",
	       (unsigned long long)v.commits, (unsigned long long)v.lost,
	       v.wrong, (unsigned long long)v.rows,
	       (unsigned long long)v.tables, v.unpurged,
	       v.before[KILL_DDL].last);
	for (unsigned w = 0; w < KILL_WRITERS_MAX; w++)
		free(v.gens[w]);
	mysql_close(v.my);
	return v.wrong ? 1 : 0;
}
