#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# quickstart.sh - tools/quickstart.sh works with dumps of several kinds, tells
# of one that is not what it says, and leaves nothing behind
#
# usage: QUICKSTART_BUILD=build quickstart.sh   (as root; exits 77 if it can't run)
set -Eeuo pipefail

here=$(cd "$(dirname "$0")" && pwd)
quickstart=$here/../../tools/quickstart.sh

[ "$(id -u)" -eq 0 ] || { echo "skipped: needs root"; exit 77; }
[ -e /dev/fuse ] || { echo "skipped: no /dev/fuse"; exit 77; }
command -v mariadbd >/dev/null || { echo "skipped: no MariaDB"; exit 77; }
: "${QUICKSTART_BUILD:?a build directory}"

tmp=$(mktemp -d /var/tmp/dbs-e2e-quickstart.XXXXXXXX)
trap 'rm -rf --one-file-system "$tmp"' EXIT
export QUICKSTART_DIR=$tmp/work
mkdir "$QUICKSTART_DIR"
chmod 0711 "$tmp" "$QUICKSTART_DIR"

left_nothing()
{
	local left

	left=$(ls -A "$QUICKSTART_DIR"
		grep -F "$QUICKSTART_DIR" /proc/self/mountinfo
		pgrep -af "$QUICKSTART_DIR") || true
	[ -z "$left" ] || { echo "not ok: left behind: $left"; exit 1; }
}

# as mariadb-dump writes it, with a ';', a quote and a parenthesis in strings
dump_tables()
{
	cat <<'END'
DROP TABLE IF EXISTS `fruit`;
CREATE TABLE `fruit` (
  `id` int(11) NOT NULL,
  `name` varchar(100) NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
INSERT INTO `fruit` VALUES
(1,'apple (red); it''s \'sweet\''),
(2,'pear),(3'),
(4,'plum\n(5,');
INSERT INTO `fruit` VALUES (6,'fig'),(7,'kiwi');
CREATE TABLE `empty one` (
  `id` int(11) NOT NULL
) ENGINE=InnoDB;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER `named` BEFORE INSERT ON `fruit` FOR EACH ROW SET NEW.name = TRIM(NEW.name) */;
DELIMITER ;;
CREATE DEFINER=`root`@`localhost` FUNCTION `nr_fruit`() RETURNS int(11)
    READS SQL DATA
RETURN (SELECT COUNT(*) FROM fruit) ;;
CREATE DEFINER=`root`@`localhost` PROCEDURE `fruit_of`(IN p INT)
SELECT * FROM fruit WHERE id = p ;;
DELIMITER ;
/*!50001 CREATE VIEW `sweet` AS SELECT
 1 AS `id` */;
/*!50001 DROP VIEW IF EXISTS `sweet`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`root`@`localhost` SQL SECURITY DEFINER */
/*!50001 VIEW `sweet` AS select `fruit`.`id` AS `id` from `fruit` where nr_fruit() > 0 */;
END
}

echo "a dump that names no database, as .sql"
dump_tables >"$tmp/my-fruit.sql"
"$quickstart" "$tmp/my-fruit.sql" >"$tmp/log" 2>&1 ||
	{ cat "$tmp/log"; exit 1; }
grep -q "ci-1 is as the dump" "$tmp/log"
grep -q "dbs restore" "$tmp/log"
left_nothing

echo "a dump that names two databases, as .gz"
{
	for db in one two; do
		# shellcheck disable=SC2016
		printf 'CREATE DATABASE `%s`;\nUSE `%s`;\n' "$db" "$db"
		dump_tables
	done
} | gzip >"$tmp/two.sql.gz"
"$quickstart" "$tmp/two.sql.gz" >"$tmp/log" 2>&1 ||
	{ cat "$tmp/log"; exit 1; }
left_nothing

echo "a dump that does not load as it says is told"
{
	dump_tables
	echo 'DELETE FROM fruit WHERE id = 7;'
} >"$tmp/bad.sql"
if "$quickstart" "$tmp/bad.sql" >"$tmp/log" 2>&1; then
	echo "not ok: a missing row went unnoticed"
	exit 1
fi
grep -q "failed: compare" "$tmp/log"
grep -q "table.*fruit.*5" "$tmp/log"
left_nothing

echo "interrupted while MariaDB runs"
"$quickstart" "$tmp/my-fruit.sql" >"$tmp/log" 2>&1 &
pid=$!
for _ in {1..600}; do
	! grep -q "start MariaDB" "$tmp/log" || break
	sleep 0.1
done
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
[ "$code" -eq 143 ] || { echo "not ok: exit code $code"; exit 1; }
left_nothing
echo "ok"
