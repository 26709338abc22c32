/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump_load.c - a dump on stdin through the reader and rewriter
 *
 *   dump-load copy                 writes it to stdout again
 *   dump-load load SOCKET          executes its statements
 *   dump-load load-keys SOCKET     the same, keys after all data
 *   dump-load mask SOCKET          the same, texts of 12 characters and more changed
 *
 *   dump-load mydumper SOCKET DB   load, of one of mydumper's files
 *
 * Ends with 2 and a sentence when the dump or the server says no.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mysql.h>

#include "tools/import/sql_rewriter.h"

#define SMALL_STATEMENTS 20000u

struct load {
	MYSQL *mysql; /* NULL: copy */
	bool keys_last, mask;
	const char *mydumper_db; /* NULL: no file of mydumper's */
	struct sql_buf later;	 /* ALTER TABLEs, each with a NUL behind it */
	struct sql_buf foreign;
	struct sql_table *table; /* the last one */
	char masked[40];
};

static ssize_t read_stdin(void *arg, void *buf, size_t len)
{
	const ssize_t n = read(STDIN_FILENO, buf, len);

	(void)arg;
	return n < 0 ? -errno : n;
}

static int write_stdout(void *arg, const char *bytes, size_t len)
{
	(void)arg;
	return fwrite(bytes, 1, len, stdout) == len ? 0 : -EIO;
}

static int execute(struct load *l, const char *sql, size_t len)
{
	if (!mysql_real_query(l->mysql, sql, (unsigned long)len))
		return 0;
	fprintf(stderr, "dump-load: %s: %.*s\n", mysql_error(l->mysql),
		(int)(len < 300 ? len : 300), sql);
	return -EREMOTEIO;
}

/* ---- keys after the data ------------------------------------------------- */

/* The table's name with its database's, quoted. */
static int add_name(struct sql_buf *b, const struct sql_table *t)
{
	const char *parts[] = {t->name.db, t->name.table};
	int err = 0;

	for (unsigned i = 0; i < 2 && !err; i++) {
		if (!parts[i])
			continue;
		err = sql_buf_text(b, "`");
		for (const char *c = parts[i]; *c && !err; c++)
			err = sql_buf_add(b, *c == '`' ? "``" : c,
					  *c == '`' ? 2 : 1);
		if (!err)
			err = sql_buf_text(b, i ? "`" : "`.");
	}
	return err;
}

static int create_without_keys(struct load *l, const struct sql_table *t)
{
	struct sql_split split;
	int err = sql_table_without_keys(t, 0, &split);

	if (err)
		return err;
	err = execute(l, split.create, split.len);
	for (unsigned i = 0; i < split.nr_clauses && !err; i++) {
		struct sql_buf *b = split.clauses[i].kind == SQL_KEY_FOREIGN
					    ? &l->foreign
					    : &l->later;

		err = sql_buf_text(b, "ALTER TABLE ");
		if (!err)
			err = add_name(b, t);
		if (!err)
			err = sql_buf_text(b, " ");
		if (!err)
			err = sql_buf_text(b, split.clauses[i].text);
		if (!err)
			err = sql_buf_add(b, "", 1);
	}
	sql_split_release(&split);
	return err;
}

static int execute_all(struct load *l, const struct sql_buf *b)
{
	int err = 0;

	for (const char *p = b->p; p && p < b->p + b->len && !err;
	     p += strlen(p) + 1)
		err = execute(l, p, strlen(p));
	return err;
}

static int statement(void *arg, const struct sql_statement *st)
{
	struct load *l = arg;

	if (st->table && l->keys_last)
		return create_without_keys(l, st->table);
	return execute(l, st->sql, st->len);
}

/* ---- masking ------------------------------------------------------------- */

static int create(void *arg, struct sql_table *table)
{
	struct load *l = arg;

	sql_table_put(l->table);
	l->table = sql_table_get(table);
	return 0;
}

static int row(void *arg, const struct sql_event *ev, struct sql_cell *cells)
{
	struct load *l = arg;
	const struct sql_table *t = ev->insert->table;

	if (!l->mask || !t || ev->insert->columns)
		return SQL_ROW_KEEP;
	/* unique indexes must survive */
	snprintf(l->masked, sizeof(l->masked), "\xc3\x84'\"\\%llu",
		 (unsigned long long)ev->row);
	for (unsigned i = 0; i < ev->nr_values; i++) {
		if (strcmp(t->columns[i].base, "varchar") != 0 ||
		    ev->values[i].kind != SQL_STRING ||
		    t->columns[i].length < 12)
			continue;
		cells[i].kind = SQL_CELL_BYTES;
		cells[i].bytes = l->masked;
		cells[i].len = strlen(l->masked);
	}
	return SQL_ROW_CHANGED;
}

/* ---- main ---------------------------------------------------------------- */

static MYSQL *connect_to(const char *socket)
{
	MYSQL *mysql = mysql_init(NULL);

	if (mysql &&
	    mysql_real_connect(mysql, NULL, "root", "", NULL, 0, socket, 0))
		return mysql;
	fprintf(stderr, "dump-load: %s\n", mysql ? mysql_error(mysql) : "?");
	exit(2);
}

static int run(struct load *l)
{
	const struct sql_reader_options options = {
		.read = read_stdin,
		.db = l->mydumper_db,
		.ends_at_line = l->mydumper_db != NULL,
	};
	struct sql_rewriter_ops ops = {
		.create = create,
		.row = l->mask ? row : NULL,
		.write = l->mysql ? NULL : write_stdout,
		.statement = l->mysql ? statement : NULL,
	};
	struct sql_reader *r;
	struct sql_rewriter *rw;
	int err;

	if (sql_reader_new(&options, &r) ||
	    sql_rewriter_new(r, &ops, l, SMALL_STATEMENTS, &rw))
		return -ENOMEM;
	err = sql_rewriter_run(rw);
	if (sql_reader_error(r))
		fprintf(stderr, "dump-load: %s\n", sql_reader_error(r)->text);
	else if (!err && !l->mydumper_db &&
		 sql_reader_ending(r) != SQL_ENDING_COMPLETE)
		fprintf(stderr, "dump-load: possibly truncated\n");
	fprintf(stderr, "%llu rows, %llu changed, %llu statements\n",
		(unsigned long long)sql_rewriter_stats(rw)->nr_rows,
		(unsigned long long)sql_rewriter_stats(rw)->nr_changed,
		(unsigned long long)sql_rewriter_stats(rw)->nr_statements);
	sql_rewriter_free(rw);
	sql_reader_free(r);
	return err;
}

int main(int argc, char **argv)
{
	struct load l = {0};
	int err;

	if (argc < 2 || (strcmp(argv[1], "copy") != 0 && argc < 3))
		return 64;
	if (argc > 2)
		l.mysql = connect_to(argv[2]);
	l.keys_last = !strcmp(argv[1], "load-keys");
	l.mask = !strcmp(argv[1], "mask");
	if (!strcmp(argv[1], "mydumper") && argc > 3) {
		l.mydumper_db = argv[3];
		if (mysql_select_db(l.mysql, argv[3]))
			return 2;
	}
	err = run(&l);
	if (!err && l.keys_last) {
		/* the dump has put them back */
		err = execute(&l, "SET foreign_key_checks=0", 24);
		if (!err)
			err = execute_all(&l, &l.later);
		if (!err)
			err = execute_all(&l, &l.foreign);
	}
	if (l.mysql)
		mysql_close(l.mysql);
	sql_table_put(l.table);
	sql_buf_release(&l.later);
	sql_buf_release(&l.foreign);
	if (fflush(stdout) || err) {
		fprintf(stderr, "dump-load: failed: %s\n", strerror(-err));
		return 2;
	}
	return 0;
}
