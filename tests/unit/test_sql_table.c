/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "tests/lib/check.h"
#include "tools/import/sql_table.h"

static const struct sql_dialect plain = {
	.delimiter = ";",
	.delimiter_len = 1,
};

static struct sql_table *parse(const char *text)
{
	struct sql_table *t = NULL;

	CHECK_OK(sql_table_parse(&plain, text, strlen(text), "db", "latin1",
				 &t));
	return t;
}

static const struct sql_column *column(const struct sql_table *t,
				       const char *name)
{
	const int c = sql_table_column(t, name);

	CHECK(c >= 0);
	return &t->columns[c];
}

static void table__columns_of_every_kind(void **state)
{
	struct sql_table *t = parse(
		"CREATE TABLE `t` (\n"
		"  `id` int(10) unsigned zerofill NOT NULL AUTO_INCREMENT,\n"
		"  `mail` varchar(255) CHARACTER SET ascii COLLATE ascii_bin "
		"DEFAULT 'a,b)' COMMENT 'it''s, (so)',\n"
		"  `note` mediumtext DEFAULT NULL,\n"
		"  `raw` varbinary(16) NOT NULL DEFAULT x'41',\n"
		"  `e` enum('a','b''),c') COLLATE utf8mb4_bin NOT NULL,\n"
		"  `j` longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_bin "
		"DEFAULT NULL CHECK (json_valid(`j`)),\n"
		"  `p` decimal(10,2) DEFAULT -1.50,\n"
		"  `at` timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON "
		"UPDATE current_timestamp(6),\n"
		"  `v` varchar(20) GENERATED ALWAYS AS (concat(`mail`,',')) "
		"VIRTUAL,\n"
		"  `s` int(11) AS (`id` + 1) STORED,\n"
		"  `k` varchar(10) /*!100301 COMPRESSED*/ DEFAULT b'1',\n"
		"  `x` double /*!80023 INVISIBLE */,\n"
		"  `c` char(3) BINARY, key_ json, `g` point NOT NULL,\n"
		"  `u` int UNIQUE, `tx` text(100), `f` int DEFAULT (1 + (2))\n"
		") ENGINE=InnoDB AUTO_INCREMENT=7 DEFAULT CHARSET=utf8mb3 "
		"COLLATE=utf8mb3_general_ci COMMENT='x'");

	(void)state;
	CHECK_STR(t->name.db, "db");
	CHECK_STR(t->name.table, "t");
	CHECK_STR(t->engine, "innodb");
	CHECK_STR(t->charset, "utf8mb3");
	CHECK_UINT(t->nr_columns, 18);
	CHECK_UINT(t->nr_keys, 0);
	CHECK_STR(column(t, "id")->type, "int(10) unsigned zerofill");
	CHECK_STR(column(t, "id")->base, "int");
	CHECK(column(t, "ID")->auto_increment && !column(t, "id")->nullable);
	CHECK_INT(column(t, "id")->class, SQL_CLASS_NUMBER);
	CHECK(!column(t, "id")->charset);
	CHECK_STR(column(t, "mail")->charset, "ascii");
	CHECK_STR(column(t, "mail")->def, "'a,b)'");
	CHECK_UINT(column(t, "mail")->length, 255);
	CHECK(!column(t, "mail")->length_is_bytes);
	CHECK(column(t, "mail")->nullable);
	CHECK_STR(column(t, "note")->charset, "utf8mb3");
	CHECK_UINT(column(t, "note")->length, 16777215);
	CHECK(column(t, "note")->length_is_bytes);
	CHECK_STR(column(t, "note")->def, "NULL");
	CHECK_INT(column(t, "raw")->class, SQL_CLASS_BINARY);
	CHECK_UINT(column(t, "raw")->length, 16);
	CHECK_STR(column(t, "raw")->def, "x'41'");
	CHECK_STR(column(t, "e")->charset, "utf8mb4");
	CHECK_STR(column(t, "e")->type, "enum('a','b''),c')");
	CHECK_INT(column(t, "j")->class, SQL_CLASS_TEXT);
	CHECK_STR(column(t, "p")->def, "-1.50");
	CHECK_STR(column(t, "at")->def, "current_timestamp(6)");
	CHECK_INT(column(t, "at")->class, SQL_CLASS_TIME);
	CHECK_INT(column(t, "v")->generated, SQL_GENERATED_VIRTUAL);
	CHECK_INT(column(t, "s")->generated, SQL_GENERATED_STORED);
	CHECK_STR(column(t, "k")->type, "varchar(10)");
	CHECK_STR(column(t, "k")->def, "b'1'");
	CHECK(column(t, "x")->invisible);
	CHECK_UINT(column(t, "c")->length, 3);
	CHECK_STR(column(t, "key_")->charset, "utf8mb4");
	CHECK_INT(column(t, "g")->class, SQL_CLASS_OTHER);
	CHECK(column(t, "u")->inline_key);
	CHECK_UINT(column(t, "tx")->length, 100);
	CHECK_STR(column(t, "f")->def, "(1 + (2))");
	sql_table_put(t);
}

static void table__names_may_be_anything(void **state)
{
	struct sql_table *t = parse("CREATE TABLE IF NOT EXISTS `a``b`.`c d;` "
				    "(`x``,y` int, \"z\" int, vector int)");

	(void)state;
	CHECK_STR(t->name.db, "a`b");
	CHECK_STR(t->name.table, "c d;");
	CHECK_STR(t->columns[0].name, "x`,y");
	CHECK_STR(t->columns[1].name, "z");
	CHECK_STR(t->columns[2].name, "vector");
	CHECK_STR(t->charset, "latin1");
	sql_table_put(t);
}

static void table__keys_of_every_kind(void **state)
{
	static const char text[] =
		"CREATE TABLE t (a int NOT NULL, b varchar(9), g point,\n"
		"  PRIMARY KEY (`a`) USING BTREE,\n"
		"  UNIQUE KEY `u` (`a`,`b`(5) DESC),\n"
		"  KEY (b) COMMENT ',)', FULLTEXT KEY `f` (`b`),\n"
		"  SPATIAL INDEX s (g),\n"
		"  KEY `e` ((`a` + 1)),\n"
		"  CONSTRAINT `fk` FOREIGN KEY (`a`) REFERENCES `o`.`p` (`q`) "
		"ON DELETE CASCADE,\n"
		"  CONSTRAINT `ck` CHECK (`a` > 1),\n"
		"  CHECK (a < 5))";
	static const enum sql_key_kind kinds[] = {
		SQL_KEY_PRIMARY,  SQL_KEY_UNIQUE,  SQL_KEY_PLAIN,
		SQL_KEY_FULLTEXT, SQL_KEY_SPATIAL, SQL_KEY_PLAIN,
		SQL_KEY_FOREIGN,
	};
	struct sql_table *t = parse(text);

	(void)state;
	CHECK_UINT(t->nr_keys, 7);
	for (unsigned i = 0; i < 7; i++)
		CHECK_INT(t->keys[i].kind, kinds[i]);
	CHECK_UINT(t->keys[1].nr_columns, 2);
	CHECK_STR(t->keys[1].name, "u");
	CHECK_STR(t->keys[1].columns[1], "b");
	CHECK(!t->keys[2].name);
	CHECK_MEM(text + t->keys[2].start, "KEY (b) COMMENT ',)'",
		  t->keys[2].end - t->keys[2].start);
	CHECK(t->keys[5].expression);
	CHECK_STR(t->keys[6].name, "fk");
	CHECK_STR(t->keys[6].foreign.db, "o");
	CHECK_STR(t->keys[6].foreign.table, "p");
	CHECK_STR(t->keys[6].foreign_columns[0], "q");
	CHECK_UINT(t->nr_defs, 12);
	sql_table_put(t);
}

static void table__what_it_cannot_understand_is_none(void **state)
{
	static const char *const texts[] = {
		"CREATE TABLE t LIKE u",
		"CREATE TABLE t (LIKE u)",
		"CREATE TABLE t AS SELECT 1",
		"CREATE TABLE t (a int",
		"CREATE TABLE t (a int, KEY (",
		"CREATE TABLE t ()",
		"CREATE TABLE",
		"CREATE VIEW t (a int)",
		"",
		"CREATE TABLE t (a int,)",
		"CREATE TABLE t (a 'x')",
		"CREATE TABLE t (a int DEFAULT 'x)",
		"CREATE TABLE t (PRIMARY KEY (a))",
	};
	struct sql_table *t;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		const int err = sql_table_parse(
			&plain, texts[i], strlen(texts[i]), NULL, NULL, &t);

		if (err != -EBADMSG)
			print_error("%s\n", texts[i]);
		CHECK_INT(err, -EBADMSG);
	}
}

static void table__a_select_brings_data(void **state)
{
	struct sql_table *t = parse("CREATE TABLE t (a int) AS SELECT 1 AS a");

	(void)state;
	CHECK(t->has_data);
	sql_table_put(t);
	t = parse("CREATE TABLE t (a int) ENGINE=InnoDB\n/*!50100 PARTITION BY "
		  "RANGE (`a`)\n(PARTITION p0 VALUES LESS THAN (10)) */");
	CHECK(!t->has_data && t->partitioned);
	sql_table_put(t);
}

/* ---- keys after the data ------------------------------------------------- */

static void splits(const char *text, unsigned flags, const char *create,
		   const char *clauses)
{
	struct sql_table *t = parse(text);
	struct sql_split split;
	char got[1000] = "";

	CHECK_OK(sql_table_without_keys(t, flags, &split));
	for (unsigned i = 0; i < split.nr_clauses; i++) {
		strcat(got, split.clauses[i].text);
		strcat(got, split.clauses[i].alone ? "!" : "|");
	}
	CHECK_STR(split.create, create);
	CHECK_STR(got, clauses);
	CHECK_UINT(split.len, strlen(create));
	sql_split_release(&split);
	sql_table_put(t);
}

/* All keys stay. */
static void stays(const char *text)
{
	splits(text, 0, text, "");
}

static void split__secondary_and_foreign_keys_go(void **state)
{
	(void)state;
	splits("CREATE TABLE t (\n  a int AUTO_INCREMENT,\n  b int,\n"
	       "  PRIMARY KEY (a),\n  UNIQUE KEY u (b),\n  KEY k (b,a),\n"
	       "  CONSTRAINT f FOREIGN KEY (b) REFERENCES p (q),\n"
	       "  FULLTEXT KEY x (b),\n  CHECK (a > 1)\n) ENGINE=InnoDB",
	       0,
	       "CREATE TABLE t (\n  a int AUTO_INCREMENT,\n  b int,\n"
	       "  PRIMARY KEY (a),\n  CHECK (a > 1)\n) ENGINE=InnoDB",
	       "ADD UNIQUE KEY u (b)|ADD KEY k (b,a)|ADD FULLTEXT KEY x (b)!"
	       "ADD CONSTRAINT f FOREIGN KEY (b) REFERENCES p (q)|");
	splits("CREATE TABLE t (a int, PRIMARY KEY (a), UNIQUE KEY u (a), "
	       "KEY (a))",
	       SQL_KEYS_KEEP_UNIQUE,
	       "CREATE TABLE t (a int, PRIMARY KEY (a), UNIQUE KEY u (a))",
	       "ADD KEY (a)|");
	splits("CREATE TABLE t (KEY (a), KEY (b), a int, KEY (c), b int, c "
	       "int)",
	       0, "CREATE TABLE t (a int, b int, c int)",
	       "ADD KEY (a)|ADD KEY (b)|ADD KEY (c)|");
}

static void split__a_comment_hides_nothing_when_a_key_is_gone(void **state)
{
	(void)state;
	splits("CREATE TABLE t (a int -- the first\n, KEY k (a) # the key\n)",
	       0, "CREATE TABLE t (a int -- the first\n)",
	       "ADD KEY k (a) # the key\n|");
}

static void split__what_is_needed_or_in_doubt_stays(void **state)
{
	(void)state;
	/* the only key to find rows by, and to count by */
	stays("CREATE TABLE t (a int, UNIQUE KEY u (a))");
	stays("CREATE TABLE t (a int AUTO_INCREMENT, KEY k (a))");
	splits("CREATE TABLE t (a int AUTO_INCREMENT, b int, PRIMARY KEY "
	       "(b,a), KEY k (a), KEY l (b))",
	       0,
	       "CREATE TABLE t (a int AUTO_INCREMENT, b int, PRIMARY KEY "
	       "(b,a), KEY k (a))",
	       "ADD KEY l (b)|");
	/* generated columns, expressions, a foreign key that stays */
	stays("CREATE TABLE t (a int, v int AS (a) VIRTUAL, KEY k (v))");
	stays("CREATE TABLE t (a int, KEY k ((a + 1)))");
	stays("CREATE TABLE t (a int, v int AS (a) STORED, KEY k (a), "
	      "CONSTRAINT f FOREIGN KEY (v) REFERENCES p (q))");
	/* other engines, versioned and partitioned tables */
	stays("CREATE TABLE t (a int, KEY k (a)) ENGINE=MyISAM");
	stays("CREATE TABLE t (a int, KEY k (a)) WITH SYSTEM VERSIONING");
	stays("CREATE TABLE t (a int, PRIMARY KEY (a), UNIQUE KEY k (a)) "
	      "PARTITION BY HASH (a)");
	/* half in an executable comment */
	stays("CREATE TABLE t (a int /*!50000 , KEY k (a) */)");
	splits("CREATE TABLE t (a int, KEY k (a) /*!80000 INVISIBLE */)", 0,
	       "CREATE TABLE t (a int)",
	       "ADD KEY k (a) /*!80000 INVISIBLE */|");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table__columns_of_every_kind),
		cmocka_unit_test(table__names_may_be_anything),
		cmocka_unit_test(table__keys_of_every_kind),
		cmocka_unit_test(table__what_it_cannot_understand_is_none),
		cmocka_unit_test(table__a_select_brings_data),
		cmocka_unit_test(split__secondary_and_foreign_keys_go),
		cmocka_unit_test(
			split__a_comment_hides_nothing_when_a_key_is_gone),
		cmocka_unit_test(split__what_is_needed_or_in_doubt_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
