/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "tests/lib/check.h"
#include "tests/lib/sql_text.h"

static const struct sql_reader_options none;

/* The events of @dump are @want, however it is cut. */
static void reads_with(const struct sql_reader_options *options,
		       const char *dump, const char *want)
{
	char *got = sql_events_any_cut(options, dump, strlen(dump));

	CHECK_STR(got, want);
	free(got);
}

static void reads(const char *dump, const char *want)
{
	reads_with(&none, dump, want);
}

/* The last event of @dump is an error, @want in its sentence. */
static void fails(const char *dump, int code, const char *want)
{
	char *got = sql_events_any_cut(&none, dump, strlen(dump));
	const char *error = strstr(got, "error ");
	char head[32];

	snprintf(head, sizeof(head), "error %d: ", code);
	if (!error || strncmp(error, head, strlen(head)) != 0 ||
	    !strstr(error, want)) {
		print_error("got: %swant: %s%s\n", got, head, want);
		check_failed("the error is another", __FILE__, __LINE__);
	}
	free(got);
}

static void reader__rows_of_an_extended_insert(void **state)
{
	(void)state;
	reads("INSERT INTO `t` VALUES (1,'a',NULL),(2,'b;c''\\'',0x41)\n"
	      ",\n(-3.5,_binary '\\0',DEFAULT) , ( now() , b'1' );\n",
	      "insert t\n"
	      "row 1: n'1' s'a' NULL\n"
	      "row 2: n'2' s'b;c''' x'A'\n"
	      "row 3: n'-3.5' _binarys'\\x00' DEFAULT\n"
	      "row 4: e'now()' b'\\x01'\n"
	      "end \n;\neof\n");
}

static void reader__heads_of_inserts(void **state)
{
	(void)state;
	reads("INSERT INTO `a``b`.`t` (`x`,`y z`,w) VALUES (1,2,3);"
	      "replace into t values(1);"
	      "INSERT IGNORE INTO t () VALUES ();"
	      "insert /* c */ LOW_PRIORITY into t(a)value -- x\n(1);"
	      "INSERT INTO \"t\" VALUES (\"a\"\"b\");",
	      "insert a`b.t(x,y z,w)\nrow 1: n'1' n'2' n'3'\nend \n;\n"
	      "replace t\nrow 1: n'1'\nend \n;\n"
	      "insert ignore t()\nrow 2:\nend \n;\n"
	      "insert t(a)\nrow 3: n'1'\nend \n;\n"
	      "insert t\nrow 4: s'a\"b'\nend \n;\n"
	      "eof\n");
}

static void reader__one_row_a_statement_counts_on(void **state)
{
	(void)state;
	reads("INSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);\n"
	      "INSERT INTO u VALUES (1);\nUSE x;INSERT INTO u VALUES (1);\n",
	      "insert t\nrow 1: n'1'\nend \n;\n"
	      "insert t\nrow 2: n'2'\nend \n;\n"
	      "insert u\nrow 1: n'1'\nend \n;\n"
	      "use <USE x>\n;\n"
	      "insert x.u\nrow 1: n'1'\nend \n;\neof\n");
}

static void reader__what_follows_the_rows(void **state)
{
	(void)state;
	reads("INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a=';';"
	      "INSERT INTO t VALUES (1) /* ; */ ;",
	      "insert t\nrow 1: n'1'\n"
	      "end ON DUPLICATE KEY UPDATE a=';'\n;\n"
	      "insert t\nrow 2: n'1'\nend \n;\neof\n");
}

static void reader__an_insert_of_another_kind_is_text_with_data(void **state)
{
	(void)state;
	reads("INSERT INTO t SELECT 1;INSERT INTO t SET a='x;y';"
	      "INSERT INTO t PARTITION (p) VALUES (1);"
	      "/*!50000 INSERT INTO t VALUES (1) */;"
	      "LOAD DATA INFILE 'x' INTO TABLE t;UPDATE t SET a=1;",
	      "insert! <INSERT INTO t SELECT 1>\n;\n"
	      "insert! <INSERT INTO t SET a='x;y'>\n;\n"
	      "insert! <INSERT INTO t PARTITION (p) VALUES (1)>\n;\n"
	      "insert! </*!50000 INSERT INTO t VALUES (1) */>\n;\n"
	      "other! <LOAD DATA INFILE 'x' INTO TABLE t>\n;\n"
	      "other! <UPDATE t SET a=1>\n;\neof\n");
}

static void reader__statements_are_told_with_their_tables(void **state)
{
	(void)state;
	reads("CREATE DATABASE /*!32312 IF NOT EXISTS*/ `d` "
	      "/*!40100 DEFAULT CHARACTER SET latin1 */;USE `d`;"
	      "DROP TABLE IF EXISTS `t`;\nLOCK TABLES `t` WRITE;"
	      "/*!40000 ALTER TABLE `t` DISABLE KEYS */;UNLOCK TABLES;"
	      "LOCK TABLES a READ, b WRITE;"
	      "/*!50001 DROP VIEW IF EXISTS `v`*/;"
	      "/*!50001 CREATE ALGORITHM=UNDEFINED */\n"
	      "/*!50013 DEFINER=`r`@`l` SQL SECURITY DEFINER */\n"
	      "/*!50001 VIEW `v` AS select 1 */;"
	      "/*!50001 CREATE TABLE `v2` (a int) ENGINE=MyISAM */;"
	      "COMMIT;CREATE TABLE x AS SELECT 1;CREATE TABLE y LIKE z;",
	      "create-database <CREATE DATABASE /*!32312 IF NOT EXISTS*/ `d` "
	      "/*!40100 DEFAULT CHARACTER SET latin1 */>\n;\n"
	      "use <USE `d`>\n;\n"
	      "drop-table d.t <DROP TABLE IF EXISTS `t`>\n;\n"
	      "lock d.t <LOCK TABLES `t` WRITE>\n;\n"
	      "alter-table d.t </*!40000 ALTER TABLE `t` DISABLE KEYS */>\n;\n"
	      "unlock <UNLOCK TABLES>\n;\n"
	      "lock d.a many <LOCK TABLES a READ, b WRITE>\n;\n"
	      "drop-view d.v </*!50001 DROP VIEW IF EXISTS `v`*/>\n;\n"
	      "create-view d.v </*!50001 CREATE ALGORITHM=UNDEFINED */\\x0a"
	      "/*!50013 DEFINER=`r`@`l` SQL SECURITY DEFINER */\\x0a"
	      "/*!50001 VIEW `v` AS select 1 */>\n;\n"
	      "create-table d.v2 </*!50001 CREATE TABLE `v2` (a int) "
	      "ENGINE=MyISAM */>\n;\n"
	      "harmless <COMMIT>\n;\n"
	      "create-table! d.x <CREATE TABLE x AS SELECT 1>\n;\n"
	      "create-table d.y <CREATE TABLE y LIKE z>\n;\neof\n");
}

static void reader__delimiter_lines_hold_bodies_together(void **state)
{
	(void)state;
	reads("DELIMITER ;;\n"
	      "/*!50003 CREATE*/ /*!50017 DEFINER=`r`@`l`*/ /*!50003 TRIGGER "
	      "`x` AFTER INSERT ON `t` FOR EACH ROW BEGIN SET @a=1; END */;;\n"
	      "DELIMITER ;\nSET @a=1;\ndelimiter $$\r\nDO 1$$\n"
	      "CREATE FUNCTION f() RETURNS int RETURN ';;$' $$delimiter ;\n;;",
	      "create-trigger t </*!50003 CREATE*/ /*!50017 DEFINER=`r`@`l`*/ "
	      "/*!50003 TRIGGER `x` AFTER INSERT ON `t` FOR EACH ROW BEGIN SET "
	      "@a=1; END */>\n;;\n"
	      "set <SET @a=1>\n;\nharmless <DO 1>\n$$\n"
	      "create <CREATE FUNCTION f() RETURNS int RETURN ';;$' >\n$$\n"
	      "eof\n");
}

static void reader__strings_comments_and_names_hide_delimiters(void **state)
{
	(void)state;
	reads("/*M!999999\\- enable the sandbox mode */ \n-- a;b\n# c;'d\n"
	      "/* ; ' */ DO 'a;b', \"c;\\\"d\", `e;``f` -- ;'\n, 1--1 # ;\n"
	      "/* ; */;--\n",
	      "harmless <DO 'a;b', \"c;\\\"d\", `e;``f` -- ;'\\x0a, 1--1 # ;"
	      "\\x0a/* ; */>\n;\neof\n");
}

static void reader__mydumper_ends_statements_at_lines(void **state)
{
	const struct sql_reader_options options = {.ends_at_line = true};

	(void)state;
	reads_with(&options,
		   "/*!40101 SET NAMES binary*/;\n"
		   "CREATE PROCEDURE p() BEGIN DO 1; DO 2; \nEND;\n"
		   "INSERT INTO `t` VALUES(1,\"a;\\\n\")\n,(2,\"b\");\r\nDO 1;",
		   "set </*!40101 SET NAMES binary*/>\n;\n"
		   "create <CREATE PROCEDURE p() BEGIN DO 1; DO 2; "
		   "\\x0aEND>\n;\n"
		   "insert t\nrow 1: n'1' s'a;\\x0a'\nrow 2: n'2' s'b'\n"
		   "end \n;\nharmless <DO 1>\n;\neof\n");
}

static void reader__sql_mode_is_followed_through_variables(void **state)
{
	(void)state;
	reads("/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='A' */;"
	      "INSERT INTO t VALUES ('\\'');"
	      "/*!50003 SET @saved_sql_mode = @@sql_mode */ ;"
	      "/*!50003 SET sql_mode = 'X,NO_BACKSLASH_ESCAPES' */ ;"
	      "INSERT INTO t VALUES ('\\');"
	      "SET sql_mode = @saved_sql_mode;INSERT INTO t VALUES ('\\'');"
	      "SET SESSION sql_mode=1048576;INSERT INTO t VALUES ('\\');"
	      "SET @@session.sql_mode := '';INSERT INTO t VALUES ('\\'');"
	      "SET GLOBAL sql_mode='NO_BACKSLASH_ESCAPES';"
	      "INSERT INTO t VALUES ('\\'');",
	      "set </*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='A' */>"
	      "\n;\ninsert t\nrow 1: s'''\nend \n;\n"
	      "set </*!50003 SET @saved_sql_mode = @@sql_mode */ >\n;\n"
	      "set </*!50003 SET sql_mode = 'X,NO_BACKSLASH_ESCAPES' */ >\n;\n"
	      "insert t\nrow 2: s'\\'\nend \n;\n"
	      "set <SET sql_mode = @saved_sql_mode>\n;\n"
	      "insert t\nrow 3: s'''\nend \n;\n"
	      "set <SET SESSION sql_mode=1048576>\n;\n"
	      "insert t\nrow 4: s'\\'\nend \n;\n"
	      "set <SET @@session.sql_mode := ''>\n;\n"
	      "insert t\nrow 5: s'''\nend \n;\n"
	      "set <SET GLOBAL sql_mode='NO_BACKSLASH_ESCAPES'>\n;\n"
	      "insert t\nrow 6: s'''\nend \n;\neof\n");
}

static void reader__a_table_is_known_to_its_inserts(void **state)
{
	(void)state;
	reads("USE d;CREATE TABLE `t` (\n  `a` int(11) NOT NULL,\n"
	      "  `b;` varchar(10) DEFAULT ';',\n  PRIMARY KEY (`a`)\n);\n"
	      "INSERT INTO t VALUES (1,'x');INSERT INTO `d`.`t` VALUES (1,2);"
	      "INSERT INTO e.t VALUES (1);",
	      "use <USE d>\n;\ntable d.t (a,b;)\n;\n"
	      "insert d.t known\nrow 1: n'1' s'x'\nend \n;\n"
	      "insert d.t known\nrow 2: n'1' n'2'\nend \n;\n"
	      "insert e.t\nrow 1: n'1'\nend \n;\neof\n");
}

static void reader__says_how_a_dump_ends(void **state)
{
	(void)state;
	reads("", "eof\n");
	reads("DO 1;\n", "harmless <DO 1>\n;\neof\n");
	reads("-- MySQL dump 10.13\nDO 1;\n-- Dump completed on 2026-11-22",
	      "harmless <DO 1>\n;\neof complete\n");
	reads("-- MariaDB dump 10.19\nDO 1;\n",
	      "harmless <DO 1>\n;\neof truncated\n");
	reads("-- MySQL dump\n-- Dump completed\n-- MySQL dump\nDO 1;",
	      "harmless <DO 1>\n;\neof truncated\n");
	reads("\xef\xbb\xbf-- MySQL dump\n-- Dump completed\n",
	      "eof complete\n");
}

static void reader__a_cut_dump_is_an_error_with_its_position(void **state)
{
	(void)state;
	fails("DO 1;\nDO 2", -EBADMSG,
	      "the dump is cut inside a statement, at byte 10, line 2");
	fails("DO 1;\nDO 'abc", -EBADMSG, "at byte 9, line 2");
	fails("/* abc", -EBADMSG, "unterminated comment, at byte 0, line 1");
	fails("/*!40101 SET a=1 ", -EBADMSG, "cut");
	fails("INSERT INTO `d`.`t` VALUES (1,2),\n(3", -EBADMSG,
	      "unterminated row, at byte 35, line 2; the last whole row is 1 "
	      "of 'd.t'");
	fails("INSERT INTO t VALUES (1,2)", -EBADMSG,
	      "the dump is cut inside an INSERT, at byte 26, line 1; the last "
	      "whole row is 1 of 't'");
	fails("INSERT INTO t VALUES (1),", -EBADMSG, "cut inside an INSERT");
	fails("INSERT INTO t VAL", -EBADMSG, "cut inside a statement");
	fails("INSERT INTO t VALUES (1) ON DUP", -EBADMSG,
	      "cut inside an INSERT");
	fails("INSERT INTO t VALUES (1),('a\n\nb", -EBADMSG,
	      "unterminated string, at byte 26, line 1");
}

static void reader__rows_that_are_not_parted_are_an_error(void **state)
{
	(void)state;
	fails("INSERT INTO t VALUES (1)(2);", -EBADMSG,
	      "a row is followed by something else, at byte 24");
	fails("INSERT INTO t VALUES (1),;", -EBADMSG, "a row is missing");
	fails("INSERT INTO t VALUES (1) SELECT 1;", -EBADMSG,
	      "a row is followed");
	fails("DELIMITER \nDO 1;", -EBADMSG, "DELIMITER names none");
}

#define TEXT_TABLE                                                             \
	"CREATE TABLE t (a int, b varchar(9), c blob, d text CHARACTER SET "   \
	"binary) DEFAULT CHARSET=latin1;"

static void
reader__text_that_is_not_utf8_is_an_error_where_it_says_so(void **state)
{
	(void)state;
	fails("SET NAMES utf8mb4;" TEXT_TABLE
	      "INSERT INTO t VALUES (1,'\xc3\xa9','\xff','\xff'),(2,'a\xff',"
	      "'',''),(3,'','','');",
	      -EILSEQ,
	      "value 2 of a row is not UTF-8, as the dump says it is, at byte "
	      "158, line 1; the last whole row is 1 of 't'");
	fails("SET NAMES utf8;" TEXT_TABLE
	      "INSERT INTO t (c,b) VALUES ('\xff','\xff');",
	      -EILSEQ, "value 2");
	reads("SET NAMES latin1;" TEXT_TABLE
	      "INSERT INTO t VALUES (1,'\xff','\xff','');",
	      "set <SET NAMES latin1>\n;\ntable t (a,b,c,d)\n;\n"
	      "insert t known\nrow 1: n'1' s'\\xff' s'\\xff' s''\n"
	      "end \n;\neof\n");
	reads("SET NAMES utf8mb4;" TEXT_TABLE
	      "INSERT INTO t VALUES (1,_latin1'\xff','','');",
	      "set <SET NAMES utf8mb4>\n;\ntable t (a,b,c,d)\n;\n"
	      "insert t known\nrow 1: n'1' _latin1s'\\xff' s'' s''\n"
	      "end \n;\neof\n");
}

static void reader__a_character_set_it_cannot_read_is_an_error(void **state)
{
	(void)state;
	fails("DO 1;\n/*!40101 SET NAMES gbk */;DO 1;", -ENOTSUP,
	      "--default-character-set=utf8mb4, at byte 6, line 2");
	fails("SET character_set_client = sjis;", -ENOTSUP, "character set");
	fails("SET sql_mode=CONCAT(@@sql_mode,',NO_BACKSLASH_ESCAPES');",
	      -ENOTSUP, "sql_mode");
}

static void reader__what_is_longer_than_the_limit_is_an_error(void **state)
{
	const struct sql_reader_options options = {.limit = 10000};
	char *dump = malloc(200000);
	char *got;

	(void)state;
	MUST(dump);
	strcpy(dump, "INSERT INTO t VALUES (1,'");
	memset(dump + 25, 'x', 100000);
	strcpy(dump + 100025, "');");
	got = sql_events_any_cut(&options, dump, 5000);
	CHECK(strstr(got, "error -74: unterminated string, at byte 24"));
	free(got);
	got = sql_events(&options, dump, strlen(dump),
			 &(struct sql_cut){64, 0, 0});
	CHECK(strstr(got, "error -27: a statement or row is longer than 10000 "
			  "bytes; is a string unterminated?, at byte 21"));
	free(got);
	free(dump);
}

static void reader__long_comments_come_in_pieces(void **state)
{
	const size_t len = 100000;
	char *dump = malloc(2 * len + 100);
	char *got;
	size_t n;

	(void)state;
	MUST(dump);
	n = (size_t)sprintf(dump, "-- MySQL dump ");
	memset(dump + n, '*', len);
	n += len;
	n += (size_t)sprintf(dump + n, "\n/* ");
	memset(dump + n, '*', len);
	n += len;
	n += (size_t)sprintf(dump + n, "*/DO 1;");
	for (size_t buffer = 16; buffer <= 4096; buffer *= 4) {
		got = sql_events(&none, dump, n,
				 &(struct sql_cut){buffer, 1000, 3});
		CHECK_STR(got, "harmless <DO 1>\n;\neof truncated\n");
		free(got);
	}
	free(dump);
}

struct endless {
	uint64_t left;
	uint64_t at;
};

/* An INSERT with a row every 3,000 bytes. */
static ssize_t read_endless(void *arg, void *buf, size_t len)
{
	static const char head[] = "INSERT INTO t VALUES (1,'";
	struct endless *e = arg;
	char *p = buf;
	size_t n;

	for (n = 0; n < len && e->left > 0; n++, e->at++, e->left--) {
		const uint64_t i = e->at < 25 ? 0 : (e->at - 25) % 3000;

		if (e->at < 25)
			p[n] = head[e->at];
		else
			p[n] = i < 2993 ? 'x' : "'),(1,'"[i - 2993];
	}
	return (ssize_t)n;
}

static void reader__memory_is_bounded_on_a_line_without_end(void **state)
{
	struct endless e = {.left = UINT64_C(40) << 20};
	const struct sql_reader_options options = {
		.read = read_endless,
		.arg = &e,
		.limit = 100000,
		.buffer = 4096,
	};
	struct sql_reader *r;
	struct sql_event ev;
	uint64_t rows = 0;
	int err;

	(void)state;
	CHECK_OK(sql_reader_new(&options, &r));
	while (!(err = sql_reader_next(r, &ev)) && ev.kind != SQL_END)
		rows += ev.kind == SQL_ROW;
	CHECK_INT(err, -EBADMSG); /* it ends in a row */
	CHECK_UINT(rows, (UINT64_C(40) << 20) / 3000);
	sql_reader_free(r);
}

static ssize_t read_error(void *arg, void *buf, size_t len)
{
	(void)arg;
	(void)buf;
	(void)len;
	return -EIO;
}

static void reader__an_error_of_the_source_is_passed_on(void **state)
{
	const struct sql_reader_options options = {.read = read_error};
	struct sql_reader *r;
	struct sql_event ev;

	(void)state;
	CHECK_OK(sql_reader_new(&options, &r));
	CHECK_INT(sql_reader_next(r, &ev), -EIO);
	CHECK_INT(sql_reader_next(r, &ev), -EIO);
	CHECK(strstr(sql_reader_error(r)->text, "cannot read the dump"));
	sql_reader_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader__rows_of_an_extended_insert),
		cmocka_unit_test(reader__heads_of_inserts),
		cmocka_unit_test(reader__one_row_a_statement_counts_on),
		cmocka_unit_test(reader__what_follows_the_rows),
		cmocka_unit_test(
			reader__an_insert_of_another_kind_is_text_with_data),
		cmocka_unit_test(reader__statements_are_told_with_their_tables),
		cmocka_unit_test(reader__delimiter_lines_hold_bodies_together),
		cmocka_unit_test(
			reader__strings_comments_and_names_hide_delimiters),
		cmocka_unit_test(reader__mydumper_ends_statements_at_lines),
		cmocka_unit_test(
			reader__sql_mode_is_followed_through_variables),
		cmocka_unit_test(reader__a_table_is_known_to_its_inserts),
		cmocka_unit_test(reader__says_how_a_dump_ends),
		cmocka_unit_test(
			reader__a_cut_dump_is_an_error_with_its_position),
		cmocka_unit_test(reader__rows_that_are_not_parted_are_an_error),
		cmocka_unit_test(
			reader__text_that_is_not_utf8_is_an_error_where_it_says_so),
		cmocka_unit_test(
			reader__a_character_set_it_cannot_read_is_an_error),
		cmocka_unit_test(
			reader__what_is_longer_than_the_limit_is_an_error),
		cmocka_unit_test(reader__long_comments_come_in_pieces),
		cmocka_unit_test(
			reader__memory_is_bounded_on_a_line_without_end),
		cmocka_unit_test(reader__an_error_of_the_source_is_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
