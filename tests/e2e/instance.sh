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

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/lib/host.sh
. "$here/../../tools/lib/host.sh"

skip()
{
	echo "skipped: $*"
	exit 77
}

# claim TEXT COMMAND...
claim()
{
	local text=$1

	shift
	CLAIM=$text
	"$@" >"$HOST_TMP/claim.log" 2>&1
	CLAIM=""
	echo "ok: $text"
}

# fails CODE TEXT COMMAND...: with this exit code, saying TEXT
fails()
{
	local code=$1 text=$2 got=0 said

	shift 2
	said=$("$@" 2>&1) || got=$?
	printf '%s\n' "$said"
	if [ "$got" -ne "$code" ]; then
		echo "exit code $got, wanted $code"
		return 1
	fi
	grep -qE "$text" <<<"$said"
}

# with a plain '!' a shell that ends on errors goes on
not() { ! "$@"; }

# stop_all: whatever state a failed test left them in
stop_all()
{
	local name pid log

	if [ "$1" -ne 0 ]; then
		[ -z "${CLAIM:-}" ] || host_say "not ok: $CLAIM"
		tail -n 30 "$HOST_TMP/claim.log" >&2 || true
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

killed_server()
{
	local pid

	query a "INSERT INTO shop.item VALUES (5000, 'committed')"
	pid=$(server_pid a)
	kill -KILL "$pid"
	wait_other a "$pid"
	says a 'SELECT name FROM shop.item WHERE id = 5000' committed
	[ "$(ps_of a restarts)" = 1 ]
	[ "$(ps_of a port)" = "$PORT_A" ]
	"$DBS" ps --json | jq -e '.items[] | select(.name == "a") |
		.last_exit.signal == 9'
	"$DBS" logs a | grep 'dbs: .*killed by signal 9'
}

killed_monitor()
{
	local pid

	pid=$(server_pid a)
	kill -KILL "$(monitor_pid a)"
	wait_state a unmonitored
	says a 'SELECT COUNT(*) FROM shop.item' 1001
	"$DBS" up --all
	[ "$(ps_of a state)" = running ]
	[ "$(server_pid a)" = "$pid" ]
	# the new one does what the old one did
	kill -KILL "$pid"
	wait_other a "$pid"
	says a 'SELECT COUNT(*) FROM shop.item' 1001
	[ "$(ps_of a port)" = "$PORT_A" ]
}

killed_both()
{
	local pid

	pid=$(server_pid a)
	kill -KILL "$(monitor_pid a)"
	kill -KILL "$pid"
	wait_state a dead
	fails 69 "does not run" "$DBS" sql a -e 'SELECT 1'
	"$DBS" up --all
	says a 'SELECT COUNT(*) FROM shop.item' 1001
	[ "$(ps_of a port)" = "$PORT_A" ]
}

killed_dbsfs()
{
	local pid

	query a "INSERT INTO shop.item VALUES (5001, 'also')"
	pid=$("$DBS" pool list --json | jq -r --arg dir "$MNT" \
		'.items[]? | select(.mountpoint == $dir) | .pid')
	[ "$pid" -gt 1 ]
	kill -KILL "$pid"
	wait_state a waiting
	"$DBS" mount "$DBS_POOL" "$MNT"
	wait_state a running
	says a 'SELECT name FROM shop.item WHERE id = 5001' also
	wait_state b running
	says b 'SELECT COUNT(*) FROM shop.item' 1000
	[ "$(ps_of a port)" = "$PORT_A" ]
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
	[ "$("$DBS" list -q 'a@before-*' | wc -l)" -le 3 ]
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
	"$DBS" hold b --until 1h --reason 'a long test'
	fails 4 "held until .*a long test" "$DBS" restore b --yes
	fails 4 "held" "$DBS" refresh b --yes
	fails 4 "held" "$DBS" down b --rm --yes
	fails 4 "held" "$DBS" rm --yes -r b
	"$DBS" hold b --release
	"$DBS" restore b --yes
}

locked()
{
	python3 -c '
import fcntl, sys, time
f = open(sys.argv[1], "w")
fcntl.lockf(f, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)' "$DBS_STATE_DIR/instances/a/lock" >"$HOST_TMP/locked" &
	LOCKER=$!
	until grep -q locked "$HOST_TMP/locked"; do sleep 0.05; done
	fails 4 "another command works on instance 'a'" "$DBS" restore a --yes
	fails 4 "another command" "$DBS" up a
	"$DBS" ps >/dev/null
	kill "$LOCKER"
	wait "$LOCKER" 2>/dev/null || true
	LOCKER=""
	"$DBS" up a
}

# leaves_nothing NAME: neither dataset, folder nor process
leaves_nothing()
{
	[ -z "$("$DBS" list -q "$1")" ]
	[ ! -e "$DBS_STATE_DIR/instances/$1" ]
	[ ! -e "$DBS_STATE_DIR/run/$1" ]
	not pgrep -f -- "$DBS_STATE_DIR/run/$1/"
}

bad_ups()
{
	local port option

	fails 3 "no dataset 'x'; --from" "$DBS" up x
	leaves_nothing x
	fails 3 "no snapshot 'none'" "$DBS" up x --from prod@none
	fails 3 "server '/no/such" "$DBS" up x --from prod@clean \
		--server /no/such/mysqld
	leaves_nothing x
	printf '#!/bin/sh\necho "mariadbd  Ver 10.2.9-MariaDB for Linux"\n' \
		>"$HOST_TMP/old"
	chmod 755 "$HOST_TMP/old"
	fails 78 "used by version 10.11, .*which is older" \
		"$DBS" up x --from prod@clean --server "$HOST_TMP/old"
	printf '#!/bin/sh\necho "mysqld  Ver 9.7.0 for Linux"\n' \
		>"$HOST_TMP/other"
	chmod 755 "$HOST_TMP/other"
	fails 78 "data directory of MariaDB" \
		"$DBS" up x --from prod@clean --server "$HOST_TMP/other"
	fails 78 "is no server" "$DBS" up x --from prod@clean \
		--server /bin/true
	fails 2 "ended with exit code .* the end of its log" \
		"$DBS" up x --from prod@clean -o innodb-page-size=4k
	fails 2 "unknown variable 'no-such-option" \
		"$DBS" up x --from prod@clean -o no-such-option=1
	for option in port=5 datad=/etc loose_enable_user=root \
		enable-skip-grant-tables; do
		fails 64 "the instance's own" \
			"$DBS" up x --from prod@clean -o "$option"
	done
	for option in '!include /etc/passwd' '[client]' $'a=1\nuser=root' \
		"init-connect=$(printf '%04000d' 1)"; do
		fails 64 "no option of a server" \
			"$DBS" up x --from prod@clean -o "$option"
	done
	port=$(ps_of b port)
	fails 4 "port $port is that of instance 'b'" \
		"$DBS" up x --from prod@clean --port "$port"
	python3 -c '
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(1)
print(s.getsockname()[1], flush=True)
time.sleep(60)' >"$HOST_TMP/port" &
	LISTENER=$!
	until [ -s "$HOST_TMP/port" ]; do sleep 0.05; done
	fails 4 "port $(cat "$HOST_TMP/port") is in use" \
		"$DBS" up x --from prod@clean --port "$(cat "$HOST_TMP/port")"
	kill "$LISTENER"
	wait "$LISTENER" 2>/dev/null || true
	LISTENER=""
	leaves_nothing x
	"$DBS" create empty
	fails 3 "no data directory" "$DBS" up empty
	"$DBS" rm --yes empty
	leaves_nothing empty
	fails 4 "was made from prod@clean" "$DBS" up a --from other@clean
}

# A server that cannot live: started again a few times, then given up.
crash_loop()
{
	"$DBS" up c --from prod@clean
	truncate -s 5M "$MNT/c/ibdata1"
	kill -KILL "$(server_pid c)"
	wait_state c failed 60
	"$DBS" logs c | grep 'crashed too often; giving up'
	fails 2 "the end of its log" "$DBS" up c
	# a restore makes it whole again
	"$DBS" restore c --yes
	"$DBS" up c
	says c 'SELECT COUNT(*) FROM shop.item' 1000
	"$DBS" down c --rm --yes
	leaves_nothing c
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

# A dataset that has the name of the one that 'up' made is not that one.
made_anew()
{
	(umask 077 && "$DBS" up d --from prod@clean)
	"$DBS" down d
	"$DBS" rm --yes -r d
	"$DBS" clone prod@clean d
	fails 4 "not the one that 'dbs up' made" "$DBS" down d --rm --yes
	"$DBS" up d
	fails 4 "was not made by 'dbs up'" "$DBS" down d --rm --yes
	"$DBS" down d
	"$DBS" rm --yes -r d
	rm -r "$DBS_STATE_DIR/instances/d"
}

# Seen by its command line: its pid file is written late, and by the server.
no_pid_file()
{
	local pid

	"$DBS" up d --from prod@clean
	pid=$(server_pid d)
	kill -KILL "$(monitor_pid d)"
	wait_state d unmonitored
	sed -i 's/"server_pid": [0-9]*/"server_pid": 1/' \
		"$DBS_STATE_DIR/instances/d/state.json"
	rm "$DBS_STATE_DIR/run/d/server/pid"
	mkfifo "$DBS_STATE_DIR/run/d/server/pid"
	[ "$(server_pid d)" = "$pid" ]
	"$DBS" down d --rm --yes
	host_wait_gone "$pid" 10
	leaves_nothing d
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
	"$DBS" up e --idle none
	"$DBS" down e --rm --yes
}

# A data directory that is a folder of the dataset.
in_folder()
{
	"$DBS" create nested
	mkdir "$MNT/nested/data"
	mariadb_init "$MNT/nested/data"
	"$DBS" up nested
	says nested 'SELECT @@datadir' "$MNT/nested/data/"
	fails 4 "was not made by 'dbs up'" "$DBS" down nested --rm --yes
	"$DBS" down nested
	[ "$(ps_of nested state)" = stopped ]
	says_not_running nested
}
says_not_running() { fails 69 "does not run" "$DBS" sql "$1" -e 'SELECT 1'; }

stopped_by_sql()
{
	query b SHUTDOWN
	wait_state b stopped
	"$DBS" up b
	says b 'SELECT COUNT(*) FROM shop.item' 1000
}

downs()
{
	"$DBS" down --all
	[ "$(ps_of a state)" = stopped ]
	"$DBS" up --all
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
	# shellcheck disable=SC2034 # host_end calls it
	HOST_EXIT_HOOK=stop_all
	host_begin dbs-e2e
	: >"$HOST_TMP/claim.log"
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
	claim "refresh" refreshed
	claim "a lease protects" held
	claim "two commands at once: the second is refused" locked
	claim "what cannot be started says why and leaves nothing" bad_ups
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
