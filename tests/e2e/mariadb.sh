#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# mariadb.sh - a real MariaDB on a mounted pool: load, snapshot under write
# load, clone, check both sides, restore
#
# usage: DBS=build/tools/dbs mariadb.sh      (as root; exits 77 if it cannot run)
#
# Four writers commit transactions and note each commit that was acknowledged.
# A snapshot taken meanwhile must hold what had been acknowledged before it
# began, and each transaction whole or not at all: a clone of it is a server
# after a crash, with its doublewrite buffer off.
set -Eeuo pipefail

# shellcheck source=tests/e2e/lib.bash
. "$(dirname "$0")/lib.bash"

WRITERS=4
SNAPSHOTS=5

schema()
{
	mariadb_sql db "
	CREATE DATABASE load_test;
	USE load_test;
	CREATE TABLE counter (writer INT PRIMARY KEY, n INT NOT NULL);
	CREATE TABLE event (writer INT NOT NULL, n INT NOT NULL,
		text VARCHAR(500) NOT NULL, PRIMARY KEY (writer, n),
		KEY (text(40))) ENGINE=InnoDB;
	CREATE TABLE bulk (id INT PRIMARY KEY, a CHAR(100) NOT NULL,
		b INT NOT NULL, KEY (b)) ENGINE=InnoDB;
	INSERT INTO bulk SELECT seq, MD5(seq), CRC32(seq) % 1000000
		FROM seq_1_to_200000;
	INSERT INTO counter SELECT seq, 0 FROM seq_1_to_$WRITERS;"
}

# writer NUMBER: until $HOST_TMP/stop is there
writer()
{
	local w=$1 n=0

	while [ ! -e "$HOST_TMP/stop" ]; do
		n=$((n + 1))
		echo "START TRANSACTION;
		INSERT INTO event VALUES ($w, $n, REPEAT(MD5($n), 1 + $n % 15));
		UPDATE bulk SET b = b + 1 WHERE id = 1 + $n * 7919 % 200000;
		UPDATE counter SET n = $n WHERE writer = $w;
		COMMIT; SELECT $n;"
	done | mariadb_client db --batch --skip-column-names --unbuffered \
		load_test >"$HOST_TMP/acked.$w"
}

# acked NUMBER: the last commit that writer was told of.  Half a line is a
# number too, and never a larger one.
acked() { sed -n '$p' "$HOST_TMP/acked.$1" | grep . || echo 0; }

writers_have_begun()
{
	local w i

	for ((i = 0; i < 600; i++)); do
		for ((w = 1; w <= WRITERS; w++)); do
			[ "$(acked "$w")" -ge 20 ] || break
		done
		[ "$w" -le "$WRITERS" ] || return 0
		sleep 0.1
	done
	return 1
}

# snapshot NAME: and what had been acknowledged before
snapshot_under_load()
{
	local w

	for ((w = 1; w <= WRITERS; w++)); do
		acked "$w" >"$HOST_TMP/before.$1.$w"
	done
	"$DBS" snapshot "db@$1"
}

check_tables() # NAME: CHECK TABLE says OK for every one
{
	local bad

	bad=$(mariadb_sql "$1" "CHECK TABLE load_test.counter,
		load_test.event, load_test.bulk EXTENDED" |
		awk -F '\t' '$3 != "status" || $4 != "OK"')
	echo "$bad"
	[ -z "$bad" ]
}

# every transaction is there whole, and those that were acknowledged are there
check_transactions() # NAME SNAPSHOT
{
	local w n count max before

	for ((w = 1; w <= WRITERS; w++)); do
		read -r n count max < <(mariadb_sql "$1" "
			SELECT c.n, COUNT(e.n), COALESCE(MAX(e.n), 0)
			FROM load_test.counter c
			LEFT JOIN load_test.event e ON e.writer = c.writer
			WHERE c.writer = $w GROUP BY c.n")
		before=$(cat "$HOST_TMP/before.$2.$w")
		echo "writer $w: counter $n, $count events up to $max," \
			"$before acknowledged before"
		[ "$n" = "$count" ] && [ "$n" = "$max" ] &&
			[ "$n" -ge "$before" ] || return 1
	done
}

checksum()
{
	mariadb_sql "$1" "CHECKSUM TABLE load_test.counter, load_test.event,
		load_test.bulk EXTENDED" | tee /dev/stderr
}

same_checksum() # NAME CHECKSUM
{
	[ "$(checksum "$1")" = "$2" ]
}

start() { mariadb_start "$1" "$MNT/$1" --innodb-buffer-pool-size=64M; }

damage()
{
	mariadb_sql db "DROP TABLE load_test.bulk;
		DELETE FROM load_test.event WHERE n % 2"
}

main()
{
	local i w before pids=()

	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[ -e /dev/fuse ] || skip "no /dev/fuse"
	command -v mariadbd >/dev/null || skip "no MariaDB"
	: "${DBS:?the dbs to test}"
	e2e_begin dbs-e2e
	MNT=$HOST_TMP/mnt
	mkdir "$MNT"
	export DBS_POOL=$HOST_TMP/pool
	unset DBS_SOCKET

	"$DBS" pool create "$DBS_POOL" --size 3G --sparse
	host_mount "$DBS_POOL" "$MNT"
	"$DBS" create db
	claim "mariadb-install-db works on a dataset" mariadb_init "$MNT/db"
	claim "MariaDB starts on it" start db
	claim "with O_DIRECT, native AIO and no doublewrite buffer" \
		test "$(mariadb_sql db "SELECT @@innodb_flush_method,
			@@innodb_use_native_aio, @@innodb_doublewrite" |
			tr '\t' ' ')" = "O_DIRECT 1 0"
	claim "it loads 200,000 rows" schema

	for ((w = 1; w <= WRITERS; w++)); do
		writer "$w" &
		pids+=($!)
	done
	claim "writers commit" writers_have_begun
	for ((i = 1; i <= SNAPSHOTS; i++)); do
		sleep 0.7
		claim "snapshot s$i under write load" snapshot_under_load "s$i"
	done
	claim "clone of the live dataset under write load" "$DBS" clone db live
	: >"$HOST_TMP/stop"
	wait "${pids[@]}"
	for ((w = 1; w <= WRITERS; w++)); do
		echo "   writer $w committed $(acked "$w")"
	done

	for ((i = 1; i <= SNAPSHOTS; i++)); do
		"$DBS" clone "db@s$i" "c$i"
		claim "MariaDB recovers on a clone of s$i" start "c$i"
		claim "its tables are sound" check_tables "c$i"
		claim "its transactions are whole and none is missing" \
			check_transactions "c$i" "s$i"
		mariadb_stop "c$i"
	done
	claim "MariaDB recovers on the clone of the live dataset" start live
	claim "its tables are sound" check_tables live
	mariadb_stop live

	claim "the original's tables are sound" check_tables db
	before=$(checksum db 2>/dev/null)
	"$DBS" snapshot db@quiet
	"$DBS" clone db@quiet quiet
	claim "MariaDB starts on a clone of the quiet server" start quiet
	claim "CHECKSUM TABLE is the same on both sides" \
		same_checksum quiet "$before"
	claim "a table is dropped and rows deleted in the original" damage
	claim "the clone still has them" same_checksum quiet "$before"
	claim "the clone's tables are sound" check_tables quiet
	mariadb_stop db
	claim "the original is restored" "$DBS" restore db@quiet
	claim "MariaDB starts on it" start db
	claim "CHECKSUM TABLE is what it was" same_checksum db "$before"
	claim "its tables are sound" check_tables db
	mariadb_stop quiet
	mariadb_stop db
	claim "everything is destroyed" "$DBS" rm --yes -r '*'
	claim "the pool is unmounted" "$DBS" umount "$MNT"
	claim "the pool is clean" "$DBS" pool check --data "$DBS_POOL"
}

main "$@"
