#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# dump.sh - real dumps through the reader and rewriter into a real MariaDB
#
# usage: DUMP_LOAD=build/tests/e2e/dump-load dump.sh      (as root; exits 77 if
#        it cannot run)
#
# The dumps are ../shared/data/*.sql.zst beside the source, or in $DBS_SHARED,
# and one of our own with everything that mariadb-dump writes.  Each must come
# out byte for byte, and its statements must make what the client makes of it.
set -Eeuo pipefail

# shellcheck source=tests/e2e/lib.bash
. "$(dirname "$0")/lib.bash"
SHARED=${DBS_SHARED:-$here/../../../shared}

# What a dump of a production schema has in it, and more.
own_schema()
{
	mariadb_client db --default-character-set=utf8mb4 <<'SQL'
CREATE DATABASE `odd ``name;` CHARACTER SET utf8mb4;
USE `odd ``name;`;
CREATE TABLE `every;thing` (
	id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
	`t``ext` VARCHAR(500) NOT NULL DEFAULT 'a;''b',
	raw LONGBLOB, bits BIT(10), geo POINT, d DECIMAL(20,5), f DOUBLE,
	j JSON, e ENUM('a','it''s;','ä') CHARACTER SET latin1,
	at TIMESTAMP(6) NULL DEFAULT current_timestamp(6),
	v VARCHAR(20) GENERATED ALWAYS AS (LEFT(`t``ext`, 5)) VIRTUAL,
	s INT AS (LENGTH(`t``ext`)) STORED,
	hidden INT INVISIBLE DEFAULT 7,
	PRIMARY KEY (id), UNIQUE KEY u (d, id), KEY k (`t``ext`(20)),
	KEY gen (v), FULLTEXT KEY ft (`t``ext`),
	CHECK (d > -1000000)
) ENGINE=InnoDB COMMENT='with ; and '' and )';
INSERT INTO `every;thing` (`t``ext`, raw, bits, geo, d, f, j, e)
	SELECT CONCAT('row ', seq, '; \\ '' " \n\t\r\Z', CHAR(0), ' äöü€😀 -- # /* '),
		CONCAT(CHAR(0, 39, 34, 92, 10, 13, 26, 255), UNHEX(MD5(seq))),
		seq % 1024, POINT(seq, -seq), seq / 7, seq / 3,
		JSON_OBJECT('a', seq, 'b', 'it''s \\ "x"'),
		ELT(1 + seq % 3, 'a', 'it''s;', 'ä') FROM seq_1_to_3000;
INSERT INTO `every;thing` (`t``ext`) VALUES ('');
INSERT INTO `every;thing` (`t``ext`, raw)
	SELECT 'large', REPEAT(UNHEX('00275C0A1AFF41'), 400000);
CREATE TABLE parent (id INT PRIMARY KEY, x INT, UNIQUE KEY (x));
CREATE TABLE child (id INT AUTO_INCREMENT, p INT, y INT, KEY (id),
	CONSTRAINT fk FOREIGN KEY (p) REFERENCES parent (x) ON DELETE CASCADE,
	KEY yy (y));
INSERT INTO parent VALUES (1, 10), (2, 20);
INSERT INTO child (p, y) SELECT 10 * (1 + seq % 2), seq FROM seq_1_to_500;
CREATE TABLE parted (id INT, y INT, KEY (y)) PARTITION BY RANGE (id)
	(PARTITION a VALUES LESS THAN (100), PARTITION b VALUES LESS THAN MAXVALUE);
INSERT INTO parted SELECT seq, seq * 2 FROM seq_1_to_300;
CREATE TABLE versioned (a INT, KEY (a)) WITH SYSTEM VERSIONING;
INSERT INTO versioned VALUES (1), (2);
CREATE TABLE old_engine (a INT, b TEXT, FULLTEXT (b)) ENGINE=MyISAM;
INSERT INTO old_engine VALUES (1, 'one'), (2, 'two');
CREATE TABLE no_rows (a INT);
CREATE SEQUENCE numbers START WITH 5;
CREATE VIEW seen AS SELECT id, `t``ext` AS t FROM `every;thing` WHERE id > 5;
DELIMITER //
CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW BEGIN
	SET NEW.y = NEW.y + 0; -- it's; a comment
	IF NEW.p = 5 THEN SET NEW.p = 10; END IF;
END//
CREATE FUNCTION fn(a INT) RETURNS TEXT DETERMINISTIC BEGIN
	DECLARE x TEXT DEFAULT ';//''';
	RETURN CONCAT(x, a);
END//
CREATE PROCEDURE pr() BEGIN SELECT ";"; /* ; */ END//
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DISABLE DO BEGIN DO 1; DO 2; END//
SET sql_mode = 'NO_BACKSLASH_ESCAPES'//
CREATE PROCEDURE odd_mode() BEGIN SELECT '\', ';'; END//
DELIMITER ;
SQL
}

dump() # OPTION...
{
	mariadb-dump --no-defaults --user=root \
		--socket="$HOST_TMP/run/db.sock" --routines --events --triggers \
		--skip-dump-date "$@"
}

databases()
{
	mariadb_sql db "SELECT schema_name FROM information_schema.schemata
		WHERE schema_name NOT IN ('mysql', 'sys', 'performance_schema',
			'information_schema')"
}

drop_all()
{
	databases | while read -r name; do
		mariadb_sql db "SET foreign_key_checks=0;
			DROP DATABASE \`${name//\`/\`\`}\`"
	done
}

tables()
{
	mariadb_sql db "SELECT CONCAT('\`', REPLACE(table_schema, '\`', '\`\`'),
		'\`.\`', REPLACE(table_name, '\`', '\`\`'), '\`')
		FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN
			('mysql', 'sys', 'performance_schema',
			'information_schema') ORDER BY 1"
}

# checksums FILE: of every table, and how many rows each has
checksums()
{
	tables | while read -r t; do
		mariadb_sql db "CHECKSUM TABLE $t EXTENDED;
			SELECT COUNT(*) FROM $t"
	done >"$1"
	[ -s "$1" ]
}

# everything FILE: all that the server has, but for the order of keys
everything()
{
	local names

	mapfile -t names < <(databases)
	dump --skip-comments --databases "${names[@]}" >"$1"
}

same_bytes() # DUMP
{
	"$DUMP_LOAD" copy <"$1" | cmp - "$1"
}

load_original() # DUMP
{
	drop_all
	mariadb_client db --max-allowed-packet=64M <"$1"
}

load_ours() # MODE DUMP
{
	drop_all
	"$DUMP_LOAD" "$1" "$HOST_TMP/run/db.sock" <"$2"
}

same_as_original() # DUMP
{
	checksums "$HOST_TMP/got.sums"
	cmp "$HOST_TMP/got.sums" "$1.sums"
}

same_dump() # DUMP
{
	everything "$HOST_TMP/got.all"
	cmp "$HOST_TMP/got.all" "$1.all"
}

# lines of a CREATE TABLE in one order, as keys come in another
same_dump_but_order() # DUMP
{
	everything "$HOST_TMP/got.all"
	diff <(sed 's/,$//' "$HOST_TMP/got.all" | sort) \
		<(sed 's/,$//' "$1.all" | sort)
}

# mydumper does not keep the SQL_MODE of routines, and adds blanks to them
same_dump_but_modes() # DUMP
{
	everything "$HOST_TMP/got.all"
	diff <(sed '/50003 SET/d; s/ *$//' "$HOST_TMP/got.all" | sort) \
		<(sed '/50003 SET/d; s/ *$//' "$1.all" | sort)
}

# masked DUMP: rows are all there, and other than they were
masked()
{
	checksums "$HOST_TMP/got.sums"
	diff <(sed '/\t/d' "$HOST_TMP/got.sums") <(sed '/\t/d' "$1.sums") &&
		! cmp -s "$HOST_TMP/got.sums" "$1.sums"
}

cut_says() # DUMP BYTES TEXT
{
	! head -c "$2" "$1" | "$DUMP_LOAD" copy >/dev/null 2>"$HOST_TMP/said" &&
		cat "$HOST_TMP/said" && grep -qE "$3" "$HOST_TMP/said"
}

try() # NAME DUMP MASK
{
	claim "$1: it comes out byte for byte" same_bytes "$2"
	claim "$1: the client loads it" load_original "$2"
	checksums "$2.sums"
	everything "$2.all"
	claim "$1: a server takes its statements" load_ours load "$2"
	claim "$1: CHECKSUM TABLE is the same" same_as_original "$2"
	claim "$1: the server's own dump is the same" same_dump "$2"
	claim "$1: it takes them with keys last" load_ours load-keys "$2"
	claim "$1: CHECKSUM TABLE is the same" same_as_original "$2"
	claim "$1: the tables have the same keys" same_dump_but_order "$2"
	[ "$3" = yes ] || return 0
	claim "$1: it takes masked rows" load_ours mask "$2"
	claim "$1: all rows are there and changed" masked "$2"
}

# The files of $HOST_TMP/md, in an order that works.
load_mydumper() # DATABASE
{
	local f

	drop_all
	mariadb_sql db "CREATE DATABASE $1"
	cd "$HOST_TMP/md"
	for f in "$1".*-schema.sql $(find . -name "$1.*.sql" \
		! -name '*-schema*' | sort) "$1".*-schema-view.sql \
		"$1".*-schema-triggers.sql "$1"-schema-post.sql; do
		[ -e "$f" ] || continue
		"$DUMP_LOAD" copy <"$f" | cmp - "$f"
		"$DUMP_LOAD" mydumper "$HOST_TMP/run/db.sock" "$1" <"$f"
	done
}

run_mydumper() # DATABASE
{
	mydumper --user=root --socket="$HOST_TMP/run/db.sock" --database="$1" \
		--outputdir="$HOST_TMP/md" --triggers --events --routines \
		--rows=5000
}

try_mydumper() # DUMP DATABASE
{
	command -v mydumper >/dev/null || {
		echo "no mydumper: its files are not tried"
		return 0
	}
	load_original "$1"
	claim "mydumper dumps $2" run_mydumper "$2"
	claim "mydumper: a server takes its statements" load_mydumper "$2"
	claim "mydumper: CHECKSUM TABLE is the same" same_as_original "$1"
	claim "mydumper: the server's own dump is the same" \
		same_dump_but_modes "$1"
}

main()
{
	local f name

	[ "$(id -u)" -eq 0 ] || skip "needs root"
	command -v mariadbd >/dev/null || skip "no MariaDB"
	: "${DUMP_LOAD:?the program to test}"
	e2e_begin dbs-dump
	mkdir "$HOST_TMP/data"
	claim "mariadb-install-db works" mariadb_init "$HOST_TMP/data"
	claim "MariaDB starts" mariadb_start db "$HOST_TMP/data" \
		--innodb-buffer-pool-size=64M --max-allowed-packet=64M \
		--innodb-flush-log-at-trx-commit=0

	claim "a schema of our own" own_schema
	dump --databases "odd \`name;" >"$HOST_TMP/own.sql"
	dump --databases "odd \`name;" --hex-blob --complete-insert \
		--skip-extended-insert --order-by-primary >"$HOST_TMP/plain.sql"
	try own "$HOST_TMP/own.sql" no
	try plain "$HOST_TMP/plain.sql" no
	claim "a cut dump says where" cut_says "$HOST_TMP/own.sql" 60000 \
		'unterminated|cut.*at byte [0-9]+, line [0-9]+'
	for f in "$SHARED"/data/*.sql.zst; do
		[ -e "$f" ] || { echo "no dumps in $SHARED/data"; break; }
		name=$(basename "$f" .sql.zst)
		zstd -q -d -f "$f" -o "$HOST_TMP/$name.sql"
		try "$name" "$HOST_TMP/$name.sql" yes
	done
	[ ! -e "$HOST_TMP/sakila.sql" ] ||
		try_mydumper "$HOST_TMP/sakila.sql" sakila
	mariadb_stop db
}

main "$@"
