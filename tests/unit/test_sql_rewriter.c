/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "tests/lib/check.h"
#include "tests/lib/sql_text.h"
#include "tools/import/sql_rewriter.h"

/* A run: what the callbacks do, and what came of it. */
struct run {
	const char *structure, *skip; /* tables, by name */
	const char *mask;	      /* column 2 of rows becomes it */
	bool to_null, drop_odd;	      /* or NULL; rows 1, 3, ... go */
	size_t statement_bytes;
	struct sql_buf out, statements;
	unsigned nr_inserts, nr_opaque;
	int opaque_err;
};

static int verdict(void *arg, const struct sql_name *name)
{
	const struct run *run = arg;

	if (run->skip && !strcmp(name->table, run->skip))
		return SQL_TABLE_SKIP;
	if (run->structure && !strcmp(name->table, run->structure))
		return SQL_TABLE_STRUCTURE;
	return SQL_TABLE_KEEP;
}

static int insert(void *arg, const struct sql_insert *in)
{
	struct run *run = arg;

	run->nr_inserts++;
	CHECK(in->name.table);
	return run->mask || run->to_null || run->drop_odd ? SQL_ROWS_LOOK
							  : SQL_ROWS_KEEP;
}

static int row(void *arg, const struct sql_event *ev, struct sql_cell *cells)
{
	const struct run *run = arg;

	if (run->drop_odd && ev->row % 2 == 1)
		return SQL_ROW_DROP;
	if ((!run->mask && !run->to_null) || ev->nr_values < 2)
		return SQL_ROW_KEEP;
	cells[1].kind = run->to_null ? SQL_CELL_NULL : SQL_CELL_BYTES;
	cells[1].bytes = run->mask;
	cells[1].len = run->mask ? strlen(run->mask) : 0;
	return SQL_ROW_CHANGED;
}

static int opaque(void *arg, const struct sql_event *ev)
{
	struct run *run = arg;

	CHECK(ev->len > 0);
	run->nr_opaque++;
	return run->opaque_err;
}

static int write_bytes(void *arg, const char *bytes, size_t len)
{
	struct run *run = arg;

	return sql_buf_add(&run->out, bytes, len);
}

static int statement(void *arg, const struct sql_statement *st)
{
	struct run *run = arg;

	CHECK_OK(sql_buf_add(&run->statements, st->sql, st->len));
	return sql_buf_text(&run->statements, "\n");
}

static int rewrite_buffered(struct run *run, const char *dump, size_t buffer)
{
	static const struct sql_rewriter_ops ops = {
		.verdict = verdict,
		.insert = insert,
		.row = row,
		.opaque = opaque,
		.write = write_bytes,
		.statement = statement,
	};
	struct sql_source source = {.p = dump, .len = strlen(dump)};
	const struct sql_reader_options options = {
		.read = sql_source_read,
		.arg = &source,
		.buffer = buffer,
	};
	struct sql_reader *r;
	struct sql_rewriter *rw;
	int err;

	run->out.len = run->statements.len = 0;
	CHECK_OK(sql_reader_new(&options, &r));
	CHECK_OK(sql_rewriter_new(r, &ops, run, run->statement_bytes, &rw));
	err = sql_rewriter_run(rw);
	sql_rewriter_free(rw);
	sql_reader_free(r);
	CHECK_OK(sql_buf_add(&run->out, "", 1));
	CHECK_OK(sql_buf_add(&run->statements, "", 1));
	return err;
}

static void rewrites(struct run *run, const char *dump, const char *out,
		     const char *statements)
{
	for (size_t buffer = 16; buffer < 10000; buffer = buffer * 3 + 1) {
		CHECK_OK(rewrite_buffered(run, dump, buffer));
		CHECK_STR(run->out.p, out);
		if (statements)
			CHECK_STR(run->statements.p, statements);
	}
	sql_buf_release(&run->out);
	sql_buf_release(&run->statements);
}

static const char dump[] =
	"-- MariaDB dump\n\nDROP TABLE IF EXISTS `t`;\n"
	"CREATE TABLE `t` (`a` int, `b` varchar(9));\n\n"
	"LOCK TABLES `t` WRITE;\n/*!40000 ALTER TABLE `t` DISABLE KEYS */;\n"
	"INSERT INTO `t` VALUES\n(1,'x'),\n(2, 'y' /* c */ ),(3,NULL);\n"
	"/*!40000 ALTER TABLE `t` ENABLE KEYS */;\nUNLOCK TABLES;\n"
	"DELIMITER ;;\n/*!50003 CREATE TRIGGER `g` BEFORE INSERT ON `t` FOR "
	"EACH ROW BEGIN END */;;\nDELIMITER ;\n"
	"LOCK TABLES `u` WRITE;\nINSERT INTO `u` VALUES (1);\n"
	"UNLOCK TABLES;\n-- Dump completed\n";

static void rewriter__nothing_changed_is_the_same_bytes(void **state)
{
	struct run run = {0};

	(void)state;
	rewrites(&run, dump, dump,
		 "DROP TABLE IF EXISTS `t`\n"
		 "CREATE TABLE `t` (`a` int, `b` varchar(9))\n"
		 "LOCK TABLES `t` WRITE\n"
		 "/*!40000 ALTER TABLE `t` DISABLE KEYS */\n"
		 "INSERT INTO `t` VALUES\n(1,'x'),(2, 'y' /* c */ ),(3,NULL)\n"
		 "/*!40000 ALTER TABLE `t` ENABLE KEYS */\nUNLOCK TABLES\n"
		 "/*!50003 CREATE TRIGGER `g` BEFORE INSERT ON `t` FOR "
		 "EACH ROW BEGIN END */\n"
		 "LOCK TABLES `u` WRITE\nINSERT INTO `u` VALUES (1)\n"
		 "UNLOCK TABLES\n");
	CHECK_UINT(run.nr_opaque, 0);
}

static void rewriter__a_skipped_table_goes_with_all_that_is_its(void **state)
{
	struct run run = {.skip = "t"};

	(void)state;
	rewrites(&run, dump,
		 "-- MariaDB dump\n\n\n\n\n\n\n\n\n\nDELIMITER ;;\n\n"
		 "DELIMITER ;\n"
		 "LOCK TABLES `u` WRITE;\nINSERT INTO `u` VALUES (1);\n"
		 "UNLOCK TABLES;\n-- Dump completed\n",
		 "LOCK TABLES `u` WRITE\nINSERT INTO `u` VALUES (1)\n"
		 "UNLOCK TABLES\n");
}

static void rewriter__structure_only_drops_the_rows(void **state)
{
	struct run run = {.structure = "t"};

	(void)state;
	rewrites(&run,
		 "CREATE TABLE t (a int);\nINSERT INTO t VALUES (1),(2);\n"
		 "INSERT INTO u VALUES (1);\n",
		 "CREATE TABLE t (a int);\n\nINSERT INTO u VALUES (1);\n",
		 "CREATE TABLE t (a int)\nINSERT INTO u VALUES (1)\n");
}

static void rewriter__changed_values_take_the_place_of_the_old(void **state)
{
	struct run run = {.mask = "it's"};

	(void)state;
	rewrites(&run,
		 "INSERT INTO t (a,b) VALUES (1,'x',3),\n( 2 , \"y\\n\" ),"
		 "(3,NULL),(4,0x41),(5);\n",
		 "INSERT INTO t (a,b) VALUES (1,'it\\'s',3),\n"
		 "( 2 , \"it\\'s\" ),(3,'it\\'s'),(4,0x69742773),(5);\n",
		 "INSERT INTO t (a,b) VALUES (1,'it\\'s',3),"
		 "( 2 , \"it\\'s\" ),(3,'it\\'s'),(4,0x69742773),(5)\n");
	run = (struct run){.to_null = true};
	rewrites(&run, "INSERT INTO t VALUES (1,'x',3),(2,'y');",
		 "INSERT INTO t VALUES (1,NULL,3),(2,NULL);",
		 "INSERT INTO t VALUES (1,NULL,3),(2,NULL)\n");
	run = (struct run){.mask = "it's\\"};
	rewrites(&run,
		 "SET sql_mode='NO_BACKSLASH_ESCAPES';"
		 "INSERT INTO t VALUES (1,'x\\',3);",
		 "SET sql_mode='NO_BACKSLASH_ESCAPES';"
		 "INSERT INTO t VALUES (1,'it''s\\',3);",
		 NULL);
}

static void rewriter__dropped_rows_leave_a_statement_that_works(void **state)
{
	struct run run = {.drop_odd = true};

	(void)state;
	rewrites(&run,
		 "INSERT INTO t VALUES\n(1,1),\n(2,2),\n(3,3),\n(4,4),\n(5,5);"
		 "INSERT INTO u VALUES (1);DO 1;",
		 "INSERT INTO t VALUES\n(2,2),\n(4,4);DO 1;",
		 "INSERT INTO t VALUES\n(2,2),(4,4)\nDO 1\n");
}

static void rewriter__inserts_are_cut_between_rows(void **state)
{
	struct run run = {.statement_bytes = 40};
	static const char text[] =
		"INSERT INTO t VALUES (1,'aaaaaaa'),(2,'b'),(3,'c'),"
		"(4,'dddddddddddddddddddddddddddddddddddddddddddddd'),(5,'e');";

	(void)state;
	rewrites(&run, text, text,
		 "INSERT INTO t VALUES (1,'aaaaaaa')\n"
		 "INSERT INTO t VALUES (2,'b'),(3,'c')\n"
		 "INSERT INTO t VALUES "
		 "(4,'dddddddddddddddddddddddddddddddddddddddddddddd')\n"
		 "INSERT INTO t VALUES (5,'e')\n");
}

static void rewriter__on_duplicate_key_stays_with_its_rows(void **state)
{
	struct run run = {.statement_bytes = 60};
	static const char text[] =
		"INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a=1;";

	(void)state;
	rewrites(&run, text, text,
		 "INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a=1\n");
	run.statement_bytes = 20;
	CHECK_INT(rewrite_buffered(&run,
				   "INSERT INTO t VALUES (1),(2) ON DUPLICATE "
				   "KEY UPDATE a=1;",
				   100),
		  -ENOTSUP);
	sql_buf_release(&run.out);
	sql_buf_release(&run.statements);
}

static void rewriter__columns_are_asked_for_once_an_insert(void **state)
{
	struct run run = {0};

	(void)state;
	CHECK_OK(rewrite_buffered(&run,
				  "INSERT INTO t VALUES (1);"
				  "INSERT INTO t VALUES (2);\n"
				  "INSERT INTO t (a) VALUES (3);USE d;"
				  "INSERT INTO t (a) VALUES (3);",
				  100));
	CHECK_UINT(run.nr_inserts, 3);
	sql_buf_release(&run.out);
	sql_buf_release(&run.statements);
}

static void rewriter__text_that_may_carry_rows_is_shown(void **state)
{
	struct run run = {0};

	(void)state;
	CHECK_OK(rewrite_buffered(&run,
				  "INSERT INTO t SELECT 1;DO 1;"
				  "CREATE TABLE t (a int) SELECT 1;",
				  100));
	CHECK_UINT(run.nr_opaque, 2);
	run.opaque_err = -EPERM;
	CHECK_INT(rewrite_buffered(&run, "DO 1;UPDATE t SET a=1;DO 2;", 100),
		  -EPERM);
	CHECK_STR(run.statements.p, "DO 1\n");
	sql_buf_release(&run.out);
	sql_buf_release(&run.statements);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rewriter__nothing_changed_is_the_same_bytes),
		cmocka_unit_test(
			rewriter__a_skipped_table_goes_with_all_that_is_its),
		cmocka_unit_test(rewriter__structure_only_drops_the_rows),
		cmocka_unit_test(
			rewriter__changed_values_take_the_place_of_the_old),
		cmocka_unit_test(
			rewriter__dropped_rows_leave_a_statement_that_works),
		cmocka_unit_test(rewriter__inserts_are_cut_between_rows),
		cmocka_unit_test(
			rewriter__on_duplicate_key_stays_with_its_rows),
		cmocka_unit_test(
			rewriter__columns_are_asked_for_once_an_insert),
		cmocka_unit_test(rewriter__text_that_may_carry_rows_is_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
