#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# instance.sh - real MariaDB instances on a mounted pool: up, use, kill each
# part, restore, destroy
#
# usage: DBS=build/tools/dbs [MYSQLD=PATH] instance.sh
#        (as root; exits 77 if it cannot run; MySQL is tested where there is one)
#
# The origin is a server with a binary log, a replica's configuration, an event
# that runs, accounts with known passwords and a my.cnf in its data directory:
# none of these may be found at work in a clone.
set -Eeuo pipefail

# shellcheck source=tests/e2e/lib.bash
. "$(dirname "$0")/lib.bash"
# shellcheck source=tests/e2e/instance_bad.bash
. "$(dirname "$0")/instance_bad.bash"

# stop_all: whatever state a failed test left them in
stop_all()
{
	local name pid log

	if [ "$1" -ne 0 ]; then
		for log in "$DBS_STATE_DIR"/instances/*/server.log; do
			[ ! -e "$log" ] || tail -n 8 "$log" >&2
		done
	fi
	"$DBS" ps -q 2>/dev/null | while read -r name; do
		for pid in $(monitor_pid "$name") $(server_pid "$name"); do
			[ "$pid" -le 1 ] || kill -KILL "$pid" 2>/dev/null
		done
	done
	[ -z "${LISTENER:-}" ] || kill "$LISTENER" 2>/dev/null
	[ -z "${LOCKER:-}" ] || kill "$LOCKER" 2>/dev/null
	[ ! -s "$HOST_TMP/thief.d/pid" ] ||
		kill "$(cat "$HOST_TMP/thief.d/pid")" 2>/dev/null
	return 0
}

# ps_of NAME MEMBER
ps_of()
{
	"$DBS" ps --json | jq -r --arg name "$1" --arg key "$2" \
		'.items[] | select(.name == $name) | .[$key]'
}
server_pid() { ps_of "$1" server_pid; }
monitor_pid() { ps_of "$1" monitor_pid; }

# wait_state NAME STATE [SECONDS]
wait_state()
{
	local i

	for ((i = 0; i < ${3:-30} * 10; i++)); do
		[ "$(ps_of "$1" state)" != "$2" ] || return 0
		sleep 0.1
	done
	"$DBS" ps
	return 1
}

# wait_other NAME PID: until its server is another process
wait_other()
{
	local i pid

	for ((i = 0; i < 300; i++)); do
		pid=$(server_pid "$1")
		[ "$pid" = 0 ] || [ "$pid" = "$2" ] || return 0
		sleep 0.1
	done
	return 1
}

# query NAME STATEMENT: rows
query() { "$DBS" sql "$1" -e "$2" -- --batch --skip-column-names; }

# says NAME STATEMENT TEXT: once it answers, within some seconds
says()
{
	local i got

	for ((i = 0; i < 150; i++)); do
		got=$(query "$1" "$2" 2>&1 | tr '\t\n' '  ' |
			sed 's/ $//') || true
		[ "$got" != "$3" ] || return 0
		case $got in
		*"ERROR 20"* | *"does not run"*) sleep 0.2 ;;
		*) break ;;
		esac
	done
	printf '"%s" says "%s", not "%s"\n' "$2" "$got" "$3"
	return 1
}

origin()
{
	"$DBS" create prod
	mariadb_init "$MNT/prod"
	mariadb_start prod "$MNT/prod" --innodb-buffer-pool-size=32M \
		--log-bin=prod-bin --server-id=7 --event-scheduler=ON
	mariadb_sql prod "
	CREATE DATABASE shop;
	USE shop;
	CREATE TABLE shop.item (id INT PRIMARY KEY, name VARCHAR(40));
	INSERT INTO shop.item SELECT seq, MD5(seq) FROM seq_1_to_1000;
	CREATE TABLE shop.tick (n INT AUTO_INCREMENT PRIMARY KEY);
	CREATE EVENT shop.ticks ON SCHEDULE EVERY 1 SECOND
		DO INSERT INTO shop.tick VALUES ();
	CREATE USER app@'%' IDENTIFIED BY 'known';
	GRANT ALL ON *.* TO app@'%';
	CREATE USER dbs@'127.0.0.1' IDENTIFIED BY 'known';
	CREATE USER ''@'127.0.0.1';
	CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1,
		MASTER_USER='repl', MASTER_PASSWORD='known';"
	mariadb_stop prod
	printf '[mysqld]\nmax_connections=77\nport=1\nskip-grant-tables\n' \
		>"$MNT/prod/my.cnf"
	[ -e "$MNT/prod/master.info" ]
	"$DBS" snapshot prod@clean
}

up_prints()
{
	local out

	"$DBS" up a --from prod --dry-run |
		grep -x "clones 'prod@clean' to dataset 'a' and starts a server on it"
	leaves_nothing a
	out=$("$DBS" up a --from prod@clean)
	printf '%s\n' "$out"
	grep -qx 'host      127.0.0.1' <<<"$out"
	grep -qE '^port      2[0-9]{4}$' <<<"$out"
	grep -qx 'user      dbs' <<<"$out"
	PORT_A=$(ps_of a port)
}

env_connects()
{
	local file

	(
		eval "$("$DBS" env a)"
		[ "$DB_DATABASE" = shop ]
		[ "$(MYSQL_PWD=$DB_PASSWORD mariadb --no-defaults -N -B \
			-h "$DB_HOST" -P "$DB_PORT" --protocol=tcp \
			-u "$DB_USERNAME" -e 'SELECT COUNT(*) FROM item' \
			"$DB_DATABASE")" = 1000 ]
		[ "$DATABASE_URL" = \
			"mysql://dbs:$DB_PASSWORD@127.0.0.1:$PORT_A/shop" ]
		"$DBS" env a -F dotenv | grep -qx "DB_PORT=\"$PORT_A\""
		"$DBS" env a -F dotenv -d 'a-b$c' |
			grep -qx 'DB_DATABASE="a-b\\$c"'
		fails 64 'not given the database' \
			"$DBS" env a -F dotenv -d 'a`id`'
		"$DBS" env a -F github | grep -qx "DB_PASSWORD=$DB_PASSWORD"
		"$DBS" env a -F jenkins | grep -qx 'DB_DATABASE=shop'
		"$DBS" env a --json | jq -e .DATABASE_URL
		# nobody can read it off a command line, or off a file
		not grep -qaF "$DB_PASSWORD" /proc/[0-9]*/cmdline 2>/dev/null
	)
	file=$(ps_of a password_file)
	[ "$(stat -c '%a %u' "$file")" = "600 $(id -u)" ]
	[ ! -e "${file%/*}/init.sql" ]
	not grep -q init-file "${file%/*}/my.cnf"
}

refused() # ARGUMENT...: the client may not connect
{
	! mariadb --no-defaults -e 'SELECT 1' "$@"
}

new_identity()
{
	local socket ticks

	socket=$(ps_of a socket)
	says a 'SELECT @@log_bin, @@event_scheduler, @@max_connections,
		@@port' "0 OFF 151 $PORT_A"
	says a 'SELECT @@innodb_flush_method' fsync
	says a 'SHOW ALL SLAVES STATUS' ''
	[ ! -e "$MNT/a/master.info" ]
	[ "$(query a 'SELECT @@server_id')" != 7 ]
	[ "$(query a 'SELECT @@server_id')" != "$(query b 'SELECT @@server_id')" ]
	[ "$(cat "$(ps_of a password_file)")" != \
		"$(cat "$(ps_of b password_file)")" ]
	[ "$(ps_of a port)" != "$(ps_of b port)" ]
	refused -S "$socket" -u app -pknown
	refused -h 127.0.0.1 -P "$PORT_A" -u app -pknown
	refused -h 127.0.0.1 -P "$PORT_A" -u dbs -pknown
	refused -h 127.0.0.1 -P "$PORT_A" -u root
	# root of the host is root there, and nobody else
	mariadb --no-defaults -S "$socket" -u root -e 'SELECT 1'
	not setpriv --reuid=nobody --clear-groups mariadb --no-defaults \
		-S "$socket" -u root -e 'SELECT 1'
	ticks=$(query a 'SELECT COUNT(*) FROM shop.tick')
	sleep 1.2
	[ "$(query a 'SELECT COUNT(*) FROM shop.tick')" = "$ticks" ]
	[ "$(stat -c %U /proc/"$(server_pid a)")" = "$(host_mariadb_user)" ]
}

up_again() # is as it was
{
	local pid

	pid=$(server_pid a)
	[ "$("$DBS" up a --from prod@clean --json | jq .server_pid)" = "$pid" ]
}

restored()
{
	local out password

	password=$(cat "$(ps_of a password_file)")
	fails 64 "give --yes" "$DBS" restore a </dev/null
	out=$("$DBS" restore a --yes --json)
	printf '%s\n' "$out"
	jq -e '.stop_ms > 0 and .restore_ms > 0 and .start_ms > 0 and
		.query_ms > 0 and .source == "prod@clean"' <<<"$out"
	says a 'SELECT COUNT(*) FROM shop.item' 1000
	[ "$(ps_of a port)" = "$PORT_A" ]
	[ "$(cat "$(ps_of a password_file)")" = "$password" ]
	refused -h 127.0.0.1 -P "$PORT_A" -u app -pknown
	[ ! -e "$MNT/a/master.info" ]
}

undone()
{
	"$DBS" restore a --undo --yes
	says a 'SELECT COUNT(*) FROM shop.item' 1002
	"$DBS" restore a --undo --yes
	says a 'SELECT COUNT(*) FROM shop.item' 1000
	"$DBS" snapshot a@mine
	query a 'DELETE FROM shop.item'
	"$DBS" restore a @mine --yes
	says a 'SELECT COUNT(*) FROM shop.item' 1000
	"$DBS" restore prod@clean --to a --yes
	says a 'SELECT COUNT(*) FROM shop.item' 1000
	fails 3 "snapshot 'none'" "$DBS" restore a @none --yes
	# what failed left it as it was
	says a 'SELECT COUNT(*) FROM shop.item' 1000
}

# Each state that was replaced is kept for a day, whatever is restored.
kept()
{
	local record=$DBS_STATE_DIR/instances/a/instance.json i name

	query a 'DELETE FROM shop.item WHERE id > 500'
	name=$("$DBS" restore a --yes --json | jq -r .kept)
	for i in 1 2; do
		"$DBS" restore a "@${name#*@}" --yes
		says a 'SELECT COUNT(*) FROM shop.item' 500
		"$DBS" restore a --yes
	done
	[ "$("$DBS" list -q 'a@before-*' | wc -l)" -ge 5 ]
	# and those that are older for as long as there are few
	for i in 1 2; do
		"$DBS" snapshot "a@before-restore-2020010${i}T000000Z"
	done
	jq '.undo = ["a@before-restore-20200101T000000Z",
		"a@before-restore-20200102T000000Z"] + .undo' "$record" \
		>"$HOST_TMP/a.json"
	cat "$HOST_TMP/a.json" >"$record"
	"$DBS" restore a --yes
	[ -z "$("$DBS" list -q 'a@before-restore-2020*')" ]
	[ "$("$DBS" list -q "$name")" = "$name" ]
	"$DBS" restore a --undo --yes
}

# What cannot be restored is found before the server is stopped.
not_restored()
{
	local pid

	"$DBS" snapshot prod@gone
	"$DBS" up u --from prod@gone
	pid=$(server_pid u)
	fails 3 "no snapshot 'u@none'" "$DBS" restore u@none --yes
	fails 3 "dataset 'none' has no snap|no .*'none" \
		"$DBS" restore none@latest --to u --yes
	fails 3 "no snapshot 'prod@none'" "$DBS" restore prod@none --to u --yes
	"$DBS" rm --yes prod@gone
	fails 3 "no snapshot 'prod@gone' any more" "$DBS" restore u --yes
	"$DBS" set u readonly=on
	fails 4 "'u': it is readonly" "$DBS" restore prod@clean --to u --yes
	"$DBS" set u readonly=off
	[ "$(server_pid u)" = "$pid" ]
	"$DBS" restore prod@latest --to u --yes
	pid=$(server_pid u)
	"$DBS" rm --yes "$("$DBS" list -q 'u@before-*')"
	fails 3 "no replaced state" "$DBS" restore u --undo --yes
	[ "$(server_pid u)" = "$pid" ]
	"$DBS" down u --rm --yes
}

refreshed()
{
	"$DBS" up m --from prod@clean
	query m 'DELETE FROM shop.item WHERE id > 10'
	"$DBS" down m
	"$DBS" restore m@none --yes 2>/dev/null && return 1
	"$DBS" clone m prod2
	"$DBS" snapshot prod2@one
	"$DBS" up n --from prod2
	says n 'SELECT COUNT(*) FROM shop.item' 10
	[ "$(ps_of n from)" = prod2@one ]
	"$DBS" snapshot prod2@two
	"$DBS" refresh n --yes
	[ "$(ps_of n from)" = prod2@two ]
	"$DBS" down n --rm --yes
	"$DBS" down m --rm --yes
	"$DBS" rm --yes -r prod2
}

held()
{
	local record=$DBS_STATE_DIR/instances/b/instance.json

	fails 64 "after the year 9999" "$DBS" hold b --until 999999w --reason x
	"$DBS" hold b --until 1h --reason 'a long test'
	fails 4 "held until .*a long test" "$DBS" restore b --yes
	fails 4 "held" "$DBS" refresh b --yes
	fails 4 "held" "$DBS" down b --rm --yes
	fails 4 "held" "$DBS" rm --yes -r b
	fails 4 "held" "$DBS" down b
	fails 4 "held" "$DBS" rm --yes prod@clean
	# whether it is held is not known then
	mv "$record" "$HOST_TMP/b.json"
	echo '{' >"$record"
	fails 78 "instance.json" "$DBS" rm --yes -r b
	mv "$HOST_TMP/b.json" "$record"
	"$DBS" hold b --release
	"$DBS" restore b --yes
}

# What prints has --json: a log's lines, and rows without the client.
printed_as_json()
{
	local out

	"$DBS" logs a --json -n 3 | jq -e '.name == "a" and
		(.lines | length) == 3 and (.path | endswith("/server.log"))'
	fails 64 "has no end" "$DBS" logs a --json -f
	out=$("$DBS" sql a --json shop -e 'SELECT 1 AS n, NULL, 1.50, 2e0,
			18446744073709551615, UNHEX("ff00"), "a\"b"' \
		-e 'CREATE TEMPORARY TABLE bits (b BIT(10))' \
		-e 'INSERT INTO bits VALUES (5), (6)' -e 'SELECT b FROM bits' \
		-e 'SELECT id FROM item WHERE id > 998 ORDER BY id')
	printf '%s\n' "$out"
	jq -e '.results == [{columns: ["n", "NULL", "1.50", "2e0",
			"18446744073709551615", "UNHEX(\"ff00\")", "a\"b"],
		rows: [[1, null, "1.50", 2.0, "18446744073709551615",
			"0xff00", "a\"b"]]}, {affected: 0}, {affected: 2},
		{columns: ["b"], rows: [["0x0005"], ["0x0006"]]},
		{columns: ["id"], rows: [[999], [1000]]}]' <<<"$out"
	fails 2 "statement 2: .*doesn't exist" "$DBS" sql a --json \
		-e 'SELECT 1' -e 'SELECT * FROM shop.none'
	[ -z "$("$DBS" sql a --json -e 'SELECT 1' -e 'SELECT' 2>/dev/null)" ]
	fails 64 "needs -e" "$DBS" sql a --json
}

# What is only tried says so, and does nothing.
tried_as_json()
{
	local pid try

	pid=$(server_pid a)
	for try in "restore a" "refresh a" "down a" "down a --rm"; do
		# shellcheck disable=SC2086 # words
		"$DBS" $try --dry-run --json |
			jq -e '.dry_run and .name == "a" and .would'
	done
	"$DBS" down --all --dry-run --json | jq -e '.dry_run and .names'
	[ "$(server_pid a)" = "$pid" ]
}

# A state directory that is not absolute is meant from here.
relative_state_dir()
{
	(
		cd "$HOST_TMP"
		[ "$(DBS_STATE_DIR=state "$DBS" ps -q)" = "$("$DBS" ps -q)" ]
		DBS_STATE_DIR=state "$DBS" sql a -e 'SELECT 1'
		cd state
		[ "$(DBS_STATE_DIR=../state "$DBS" ps -q)" = $'a\nb' ]
	)
}

# leaves_nothing NAME: neither dataset, folder nor process
leaves_nothing()
{
	[ -z "$("$DBS" list -q "$1")" ]
	[ ! -e "$DBS_STATE_DIR/instances/$1" ]
	[ ! -e "$DBS_STATE_DIR/run/$1" ]
	not pgrep -f -- "$DBS_STATE_DIR/run/$1/"
}

time_is_over()
{
	"$DBS" up d --from prod@clean --ttl 1s
	wait_state d expired
	[ "$(server_pid d)" = 0 ]
	[ -n "$("$DBS" list -q d)" ]
	"$DBS" up --all
	[ "$(ps_of d state)" = expired ]
	"$DBS" up d --ttl none
	"$DBS" down d --rm --yes
}

# A crash of a server with a binary log leaves transactions that are prepared.
live_clone()
{
	local i pid acked

	mariadb_start prod "$MNT/prod" --innodb-buffer-pool-size=32M \
		--log-bin=prod-bin --server-id=7
	mariadb_sql prod "CREATE TABLE shop.live (w INT, n INT,
		PRIMARY KEY (w, n))"
	rm -f "$HOST_TMP/stop"
	for ((i = 1; i <= 4; i++)); do
		live_writer "$i" &
	done
	until [ -s "$HOST_TMP/acked.1" ]; do sleep 0.05; done
	# it keeps what an instance would forget
	fails 4 "server that is not the instance's" "$DBS" up prod
	[ -e "$MNT/prod/master.info" ]
	not "$DBS" logs prod
	for ((i = 1; i <= 3; i++)); do
		sleep 0.3
		cat "$HOST_TMP"/acked.[1-4] | wc -l >"$HOST_TMP/before.$i"
		"$DBS" snapshot "prod@live$i"
	done
	: >"$HOST_TMP/stop"
	wait %?live_writer 2>/dev/null || true
	mariadb_stop prod
	for ((i = 1; i <= 3; i++)); do
		"$DBS" up "l$i" --from "prod@live$i"
		acked=$(query "l$i" 'SELECT COUNT(*) FROM shop.live')
		echo "$acked rows, $(cat "$HOST_TMP/before.$i") acknowledged"
		[ "$acked" -ge "$(cat "$HOST_TMP/before.$i")" ]
		says "l$i" 'CHECK TABLE shop.live' 'shop.live check status OK'
		"$DBS" down "l$i" --rm --yes
	done
}
live_writer() # NUMBER
{
	local n=0

	while [ ! -e "$HOST_TMP/stop" ]; do
		n=$((n + 1))
		echo "INSERT INTO shop.live VALUES ($1, $n); SELECT $n;"
	done | mariadb_client prod --batch --skip-column-names --unbuffered \
		>"$HOST_TMP/acked.$1"
}

# What a server that is held still says of itself stands beside the snapshot.
quiesced()
{
	fails 3 "no instance 'prod'" "$DBS" snapshot -q prod@q
	"$DBS" up q --from prod@clean -o log-bin=q-bin
	query q 'INSERT INTO shop.item VALUES (7000, "before")'
	"$DBS" snapshot --quiesce q@still
	query q 'INSERT INTO shop.item VALUES (7001, "after")'
	[ "$("$DBS" get q@still user:dbs.consistency)" = quiesced ]
	[[ $("$DBS" get q@still user:dbs.server) == "MariaDB 10."* ]]
	[[ $("$DBS" get q@still user:dbs.binlog) == q-bin.0*:* ]]
	[[ $("$DBS" get q@still user:dbs.gtid) == 0-*-* ]]
	# each is held once, and nothing waits for a lock for long
	query q "SET GLOBAL log_output='TABLE', general_log=1"
	fails 64 "have one name" timeout 20 "$DBS" snapshot -q q@one q@two
	[ "$(query q "SELECT COUNT(*) FROM mysql.general_log WHERE argument =
		'SET SESSION lock_wait_timeout=30'")" = 1 ]
	"$DBS" up r --from q@still
	says r 'SELECT MAX(id) FROM shop.item' 7000
	"$DBS" down r
	fails 69 "does not run" "$DBS" snapshot -q r@q
	"$DBS" down r --rm --yes
	"$DBS" down q --rm --yes
}

# MySQL: $MYSQLD, as ../shared/tools/mysql-from-debian.sh makes it
mysql_instance()
{
	local uuid password

	"$DBS" create my
	chown "$(host_mariadb_user):" "$MNT/my"
	"$MYSQLD" --user="$(host_mariadb_user)" --initialize-insecure \
		--datadir="$MNT/my"
	uuid=$(sed -n 's/^server-uuid=//p' "$MNT/my/auto.cnf")
	"$DBS" snapshot my@a
	fails 78 "data directory of MySQL" "$DBS" up y --from my
	leaves_nothing y
	"$DBS" up y --from my --server "$MYSQLD"
	[ -n "$uuid" ]
	[ "$(query y 'SELECT @@server_uuid')" != "$uuid" ]
	says y 'SELECT @@log_bin, @@event_scheduler' '0 OFF'
	says y "SELECT COUNT(*) FROM mysql.user WHERE account_locked = 'N'
		AND user <> 'dbs'" 0
	password=$(cat "$(ps_of y password_file)")
	"$DBS" sql y --json -e 'SELECT 1, NULL' -e 'SELECT "a"' |
		jq -e '[.results[].rows] == [[[1, null]], [["a"]]]'
	query y 'CREATE DATABASE gone'
	kill -KILL "$(server_pid y)"
	says y "SHOW DATABASES LIKE 'gone'" gone
	"$DBS" restore y --yes
	says y "SHOW DATABASES LIKE 'gone'" ''
	[ "$(cat "$(ps_of y password_file)")" = "$password" ]
	"$DBS" snapshot -q y@still
	[[ $("$DBS" get y@still user:dbs.server) == "MySQL "* ]]
	"$DBS" down y --rm --yes
	leaves_nothing y
	"$DBS" rm --yes -r my
}

# Who is connected, or was in between, keeps it up.
nobody_uses_it()
{
	local i

	"$DBS" up e --from prod@clean --idle 3s
	for ((i = 0; i < 12; i++)); do
		query e 'SELECT 1' >/dev/null
		sleep 0.5
	done
	[ "$(ps_of e state)" = running ]
	wait_state e idle
	"$DBS" logs e | grep 'nobody has used it'
	not is_wanted e
	"$DBS" up e --idle none
	"$DBS" down e --rm --yes
}

# A data directory that is a folder of the dataset.
in_folder()
{
	"$DBS" create nested
	mkdir "$MNT/nested/data"
	mariadb_init "$MNT/nested/data"
	fails 64 "changes dataset 'nested', which is no clone.*give --yes" \
		"$DBS" up nested </dev/null
	leaves_no_record nested
	"$DBS" up nested --dry-run | grep 'locks every account'
	leaves_no_record nested
	[ "$("$DBS" up nested --dry-run --json | jq .dry_run)" = true ]
	"$DBS" up nested --yes
	says nested 'SELECT @@datadir' "$MNT/nested/data/"
	fails 4 "was not made by 'dbs up'" "$DBS" down nested --rm --yes
	"$DBS" down nested
	[ "$(ps_of nested state)" = stopped ]
	says_not_running nested
	# it is the instance's by now
	"$DBS" up nested </dev/null
	"$DBS" down nested
}
leaves_no_record() { [ ! -e "$DBS_STATE_DIR/instances/$1" ]; }
says_not_running() { fails 69 "does not run" "$DBS" sql "$1" -e 'SELECT 1'; }

stopped_by_sql()
{
	query b SHUTDOWN
	wait_state b stopped
	not is_wanted b
	"$DBS" up b
	says b 'SELECT COUNT(*) FROM shop.item' 1000
	# as a host that shuts down does
	kill -TERM "$(server_pid b)" "$(monitor_pid b)"
	wait_state b stopped
	is_wanted b
	"$DBS" up b
}
is_wanted() # NAME: 'up --all' would start it
{
	"$DBS" up --all --dry-run --json |
		jq -e --arg name "$1" '.names | index($name) != null'
}

downs()
{
	"$DBS" down --all
	[ "$(ps_of a state)" = stopped ]
	[ "$("$DBS" up --all --dry-run --json | jq -c .names)" = '["a","b"]' ]
	[ "$(ps_of a state)" = stopped ]
	# one that cannot be started is in nobody's way
	mv "$DBS_STATE_DIR/instances/a/instance.json" "$HOST_TMP/a.json"
	jq '.server = "/no/such"' "$HOST_TMP/a.json" \
		>"$DBS_STATE_DIR/instances/a/instance.json"
	fails 3 "instance 'a' is not up" "$DBS" up --all
	[ "$(ps_of b state)" = running ]
	mv "$HOST_TMP/a.json" "$DBS_STATE_DIR/instances/a/instance.json"
	"$DBS" down --all
	[ "$("$DBS" up --all | sort | tr '\n' ' ')" = "a b " ]
	[ "$(ps_of a state)" = running ]
	[ "$(ps_of a port)" = "$PORT_A" ]
	[ "$(ps_of nested state)" = stopped ]
	"$DBS" down a --rm --yes
	"$DBS" down b --rm --yes
	leaves_nothing a
	leaves_nothing b
	not pgrep -f -- "$DBS_STATE_DIR/"
}

main()
{
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[ -e /dev/fuse ] || skip "no /dev/fuse"
	command -v mariadbd >/dev/null || skip "no MariaDB"
	command -v jq >/dev/null || skip "no jq"
	: "${DBS:?the dbs to test}"
	e2e_begin dbs-e2e stop_all
	MNT=$HOST_TMP/mnt
	mkdir "$MNT"
	export DBS_POOL=$HOST_TMP/pool DBS_STATE_DIR=$HOST_TMP/state
	unset DBS_SOCKET DBS_SERVER SUDO_UID SUDO_GID

	"$DBS" pool create "$DBS_POOL" --size 2G --sparse
	host_mount "$DBS_POOL" "$MNT"
	claim "an origin with replication, events and known passwords" origin
	claim "up clones it, and prints where to connect" up_prints
	claim "a second instance" "$DBS" up b --from prod
	claim "env has what connects, and nobody sees the password" env_connects
	claim "each clone is a server of its own" new_identity
	claim "up of what is up changes nothing" up_again
	claim "kill -9 of mariadbd: started again, same port" killed_server
	claim "kill -9 of the monitor: the server works on, and is adopted" \
		killed_monitor
	claim "kill -9 of both: dead, and up --all starts it" killed_both
	claim "kill -9 of dbsfs: back when it is mounted again" killed_dbsfs
	claim "restore of a running instance" restored
	claim "undo, own snapshots, another's" undone
	claim "what a restore replaced is kept for a day" kept
	claim "what cannot be restored goes on" not_restored
	claim "refresh" refreshed
	claim "a lease protects" held
	claim "two commands at once: the second is refused" locked
	claim "restore: who writes in it is said, and nothing is stopped" \
		foreign_writer
	claim "logs and sql as JSON" printed_as_json
	claim "--dry-run as JSON" tried_as_json
	claim "a state directory that is not absolute" relative_state_dir
	claim "a port that another takes meanwhile" port_lost
	claim "kill -9 of up" killed_up
	claim "kill -9 of up before it has recorded the identity" \
		killed_before_recorded
	claim "what cannot be started says why and leaves nothing" bad_ups
	claim "nothing leads a server out of its dataset" leads_outside
	claim "a server has its user's group, not its directory's" \
		group_of_user
	claim "up that fails leaves an instance that was there" \
		failed_up_keeps_instance
	claim "a server that starts slowly is waited for again" slow_start
	claim "what always crashes is given up, and restored" crash_loop
	claim "its time is over" time_is_over
	claim "another dataset of its name is not destroyed" made_anew
	claim "a server that only its command line tells of" no_pid_file
	claim "each acknowledged commit is in a clone of a live server" \
		live_clone
	claim "a snapshot of a server that is held still" quiesced
	if [ -x "${MYSQLD:-}" ]; then
		claim "MySQL" mysql_instance
	else
		echo "skipped: MySQL: \$MYSQLD names no mysqld"
	fi
	claim "nobody uses it" nobody_uses_it
	claim "a data directory in a folder" in_folder
	claim "a client may shut it down" stopped_by_sql
	claim "down, and nothing is left" downs
	claim "everything is destroyed" "$DBS" rm --yes -r '*'
	claim "the pool is unmounted" "$DBS" umount "$MNT"
	claim "the pool is clean" "$DBS" pool check --data "$DBS_POOL"
}

main "$@"
