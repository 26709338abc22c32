#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# workers.sh - workers of a real MariaDB instance on a mounted pool
#
# usage: DBS=build/tools/dbs workers.sh
#        (as root; exits 77 if it cannot run)
#
# The worker 'queue' writes a row into its instance again and again, and on
# SIGTERM a last line into a file: what it does is seen by what it wrote.  The
# worker 'deaf' ignores SIGTERM and has a child in a session of its own.
set -Eeuo pipefail

# shellcheck source=tests/e2e/lib.bash
. "$(dirname "$0")/lib.bash"

stop_all()
{
	local name log

	if [ "$1" -ne 0 ]; then
		"$DBS" ps >&2 || true
		for log in "$DBS_STATE_DIR"/workers/*/stderr.log; do
			[ ! -e "$log" ] || tail -n 12 "$log" >&2
		done
	fi
	for name in $(members); do
		kill -KILL "$name" 2>/dev/null || true
	done
	"$DBS" down --all >/dev/null 2>&1 || true
	for name in $(members); do
		kill -KILL "$name" 2>/dev/null || true
	done
	return 0
}

# members: every process with a worker's mark of this test
members()
{
	grep -lasF "DBS_WORKER=$DBS_STATE_DIR/" /proc/[0-9]*/environ |
		sed 's|/proc/||; s|/.*||' || true
}

# of WORKER MEMBER; pid_of WORKER NUMBER
of()
{
	"$DBS" ps --json | jq -r --arg name "$1" \
		'.workers[] | select(.name == $name) | '"$2"
}
pid_of() { of "$1" ".processes[$2 - 1].pid"; }
state_is() { [ "$(of "$1" .state)" = "$2" ]; }
query() { "$DBS" sql shop -e "$1" -- --batch --skip-column-names; }
rows() { query 'SELECT COUNT(*) FROM shop.job'; }
more_than() { [ "$(rows)" -gt "$1" ]; }
writes()
{
	local n

	n=$(rows)
	until_true more_than "$n"
}
other_pid() # WORKER NUMBER PID
{
	local pid

	pid=$(pid_of "$1" "$2")
	[ "$pid" != 0 ] && [ "$pid" != "$3" ]
}

programs()
{
	mkdir "$HOST_TMP/app"
	chown nobody "$HOST_TMP/app"
	cat >"$HOST_TMP/bin-queue" <<'END'
#!/bin/bash
trap 'echo "end $DBS_WORKER_PROCESS $(id -un) $(date +%s%N)" >>ends; exit 0' TERM
echo "out in $PWD as $(id -un) for $SHOP_ENV"
echo "err $DBS_WORKER_PROCESS" >&2
grep -E '^(NoNewPrivs|CapEff):' /proc/self/status
ls /proc/self/fd | wc -l
while :; do
	MYSQL_PWD=$DB_PASSWORD mariadb --no-defaults --protocol=tcp \
		-h "$DB_HOST" -P "$DB_PORT" -u "$DB_USERNAME" \
		-e 'INSERT INTO job VALUES ()' "$DB_DATABASE" 2>/dev/null
	sleep 0.05
done
END
	cat >"$HOST_TMP/bin-deaf" <<'END'
#!/bin/bash
trap '' TERM
setsid bash -c 'trap "" TERM; while :; do sleep 0.1; done' &
while :; do sleep 0.1; done
END
	chmod 755 "$HOST_TMP"/bin-*
}

config() # [WORKER'S KEYS...]
{
	cat >"$DBS_CONFIG" <<END
instances:
  ports: 23100-23199
  memory: 300M
workers:
  queue:
    instance: shop
    command: [$HOST_TMP/bin-queue, an argument]
    user: nobody
    directory: $HOST_TMP/app
    environment: { SHOP_ENV: 'a test' }
    database: shop
    processes: 2
    grace: 5s
END
	printf '%s\n' "$@" >>"$DBS_CONFIG"
}

origin()
{
	"$DBS" create prod
	mariadb_init "$MNT/prod"
	mariadb_start prod "$MNT/prod" --innodb-buffer-pool-size=32M
	mariadb_sql prod "CREATE DATABASE shop;
		CREATE TABLE shop.job (id INT AUTO_INCREMENT PRIMARY KEY)"
	mariadb_stop prod
	"$DBS" snapshot prod@clean
}

bad_config()
{
	config '    stop_signal: BOTHER'
	fails 78 "dbs.yaml:14: 'stop_signal' is 'BOTHER'" \
		"$DBS" up shop --from prod
	[ -z "$("$DBS" list -q shop)" ]
	config
	chmod 666 "$DBS_CONFIG"
	fails 78 "others than root can write it" "$DBS" up shop --from prod
	chmod 644 "$DBS_CONFIG"
}

started()
{
	local pid

	"$DBS" up shop --from prod
	"$DBS" ps
	state_is queue running
	[ "$(of queue .running)" = 2 ]
	writes
	"$DBS" ps --json | jq -e '.items[0].port >= 23100 and
		.items[0].port <= 23199 and .items[0].memory == 300 * 1048576'
	"$DBS" logs worker/queue | head -n 20
	"$DBS" logs worker/queue | grep -cx \
		"out in $HOST_TMP/app as nobody for a test"
	"$DBS" logs worker/queue | grep -cxE 'NoNewPrivs:.*91'
	"$DBS" logs worker/queue | grep -cxE 'CapEff:.*90+'
	# 0 to 2, and ls's own of the folder
	"$DBS" logs worker/queue | grep -cx 4
	"$DBS" logs worker/queue --stderr | grep -cx 'err 2'
	"$DBS" logs worker/queue --stderr | grep -c 'dbs: started process 1'
	fails 64 "an instance has one log" "$DBS" logs shop --stderr
	fails 3 "no worker 'none'" "$DBS" logs worker/none
	pid=$(pid_of queue 1)
	[ "$(awk '{ print $6 }' "/proc/$pid/stat")" = "$pid" ]
	[ "$(stat -c %U "/proc/$pid")" = nobody ]
}

# Only its own environment has the password.
secret()
{
	local password

	password=$(cat "$("$DBS" ps --json | jq -r '.items[0].password_file')")
	grep -qaF "DB_PASSWORD=$password" "/proc/$(pid_of queue 1)/environ"
	not grep -qaF "$password" "/proc/$(of queue .monitor_pid)/environ"
	not grep -rqaF "$password" "$DBS_STATE_DIR/workers"
	not grep -qaF "$password" /proc/[0-9]*/cmdline
}

killed()
{
	local pid

	pid=$(pid_of queue 2)
	kill -KILL "$pid"
	until_true other_pid queue 2 "$pid"
	until_true state_is queue running
	[ "$(of queue '.processes[1].restarts')" = 1 ]
	[ "$(of queue '.processes[1].last_exit.signal')" = 9 ]
	[ "$(of queue '.processes[0].restarts')" = 0 ]
}

# It writes nothing from before the switch until after the first query.
restored()
{
	local out

	query 'INSERT INTO shop.job VALUES (1000000)'
	rm -f "$HOST_TMP/app/ends"
	out=$("$DBS" restore shop --yes --json)
	printf '%s\n' "$out"
	jq -e '.workers_ms > 0 and .restarted' <<<"$out"
	# each was told to end, and did in its own way
	[ "$(grep -c '^end [12] nobody' "$HOST_TMP/app/ends")" = 2 ]
	[ "$(query 'SELECT COUNT(*) FROM shop.job WHERE id >= 1000000')" = 0 ]
	writes
	[ "$(of queue .running)" = 2 ]
}

# What must not run while the store switches: seen by the daemon's side.
stopped_meanwhile()
{
	local pids

	pids="$(pid_of queue 1) $(pid_of queue 2)"
	"$DBS" refresh shop --yes
	for pid in $pids; do
		[ ! -e "/proc/$pid" ]
	done
	writes
}

deploy()
{
	local n

	"$DBS" workers stop queue
	state_is queue held
	[ -z "$(members)" ]
	n=$(rows)
	# neither a restore nor an 'up' starts it in the middle of a deployment
	"$DBS" restore shop --yes
	"$DBS" up shop
	[ -z "$(members)" ]
	[ "$(rows)" = 0 ]
	"$DBS" workers start queue
	writes
	[ "$("$DBS" workers stop --json | jq -r .names[])" = queue ]
	[ -z "$(members)" ]
	"$DBS" workers start
	"$DBS" workers start
	writes
	fails 3 "no worker 'none'" "$DBS" workers start none
	fails 3 "no worker 'none'" "$DBS" workers stop none
}

# SIGTERM does nothing: after its grace it is killed, and its child too.
deaf()
{
	local begin

	config '  deaf:' '    instance: shop' "    command: [$HOST_TMP/bin-deaf]" \
		'    user: nobody' '    directory: /' '    grace: 1s'
	"$DBS" workers start deaf
	until_true eval '[ "$(members | wc -l)" -ge 4 ]'
	begin=$(date +%s%N)
	"$DBS" workers stop deaf
	[ $((($(date +%s%N) - begin) / 1000000)) -ge 1000 ]
	not pgrep -f "$HOST_TMP/bin-deaf"
	not grep -lasF "DBS_WORKER=$DBS_STATE_DIR/workers/deaf" \
		/proc/[0-9]*/environ
	config
}

killed_monitor()
{
	local monitor pid

	monitor=$(of queue .monitor_pid)
	pid=$(pid_of queue 1)
	kill -KILL "$monitor"
	until_true state_is queue unmonitored
	[ "$(pid_of queue 1)" = "$pid" ]
	"$DBS" up shop
	until_true state_is queue running
	# perhaps nobody has reaped it yet
	not grep -qx "$pid" <<<"$(members)"
	[ "$(of queue .monitor_pid)" != "$monitor" ]
	[ "$(of queue .running)" = 2 ]
	# and all at once
	kill -KILL "$(of queue .monitor_pid)"
	kill -KILL "$(pid_of queue 1)" "$(pid_of queue 2)"
	until_true state_is queue dead
	"$DBS" up shop
	writes
	# a 'down' ends what nobody watches
	kill -KILL "$(of queue .monitor_pid)"
	"$DBS" down shop
	[ -z "$(members)" ]
	state_is queue stopped
	"$DBS" up shop
	writes
}

# foreign_session: of somebody else, its number in LEAD, its member in CHILD
foreign_session() # [LIVES]
{
	rm -f "$HOST_TMP/session"
	setsid bash -c 'sleep 300 & echo $$ $! >"$1.new"; mv "$1.new" "$1"
		[ -z "$2" ] || wait' - "$HOST_TMP/session" "${1:-}" \
		>/dev/null 2>&1 &
	until_true [ -e "$HOST_TMP/session" ]
	read -r LEAD CHILD <"$HOST_TMP/session"
	[ -n "${1:-}" ] || until_true [ ! -e "/proc/$LEAD" ]
}

# with_state FILTER: what the monitor wrote before it was killed says this
with_state()
{
	local file=$DBS_STATE_DIR/workers/queue/state.json

	kill -KILL "$(of queue .monitor_pid)"
	jq --argjson lead "$LEAD" "$1" "$file" >"$HOST_TMP/state.json"
	cp "$HOST_TMP/state.json" "$file"
}

# A number that is written may be somebody else's by now: he is left alone.
numbers_of_others()
{
	local start

	foreign_session
	with_state '.processes[0].pid = $lead'
	"$DBS" up shop
	[ -e "/proc/$CHILD" ]
	kill "$CHILD"
	# as it was in another boot
	foreign_session lives
	start=$(awk '{ print $22 }' "/proc/$LEAD/stat")
	with_state '.boot = "another" | .processes[0].pid = $lead |
		.processes[0].start = '"$start"
	"$DBS" up shop
	[ -e "/proc/$CHILD" ]
	# a monitor that has the lock and has written nothing yet
	with_state '.monitor_pid = $lead'
	python3 -c '
import fcntl, sys, time
f = open(sys.argv[1], "r+")
fcntl.lockf(f, fcntl.LOCK_EX)
open(sys.argv[2], "w")
time.sleep(0.5)' "$DBS_STATE_DIR/workers/queue/monitor.lock" "$HOST_TMP/has" &
	until_true [ -e "$HOST_TMP/has" ]
	"$DBS" workers stop queue
	[ -e "/proc/$LEAD" ]
	kill "$CHILD" "$LEAD"
	"$DBS" workers start queue
	writes
}

# A crash of its server is not its fault, and it works on afterwards.
server_killed()
{
	kill -KILL "$("$DBS" ps --json | jq '.items[0].server_pid')"
	until_true rows
	writes
	state_is queue running
}

given_up()
{
	config '  bad:' '    instance: shop' '    command: [/bin/false]' \
		'    user: nobody' '    directory: /'
	"$DBS" workers start bad
	until_true state_is bad failed
	"$DBS" logs worker/bad --stderr | grep 'crashed too often'
	config '  bad:' '    instance: shop' '    command: [/no/such]' \
		'    user: nobody' '    directory: /'
	"$DBS" workers start bad
	until_true state_is bad failed
	"$DBS" logs worker/bad --stderr | grep 'its command: No such file'
	config '  bad:' '    instance: shop' '    command: [/bin/true]' \
		'    user: nobody' '    directory: /' '    autorestart: no'
	"$DBS" workers start bad
	until_true state_is bad ended
	config
}

# It is stopped anyway, so it is not in a restore's way.
writes_in_dataset()
{
	local pid

	config '  inside:' '    instance: shop' "    command: [/bin/bash, -c,
      'exec 5>>$MNT/shop/by-worker; while :; do sleep 0.1; done']" \
		"    user: $(host_mariadb_user)" '    directory: /'
	"$DBS" workers start inside
	until_true [ -e "$MNT/shop/by-worker" ]
	pid=$(pid_of inside 1)
	"$DBS" restore shop --yes
	until_true other_pid inside 1 "$pid"
	"$DBS" workers stop inside
	config
}

# A client shuts the server down: its workers end with it.
instance_ends()
{
	query SHUTDOWN
	until_true state_is queue stopped
	[ -z "$(members)" ]
	"$DBS" up shop
	writes
}

rotated()
{
	local log=$DBS_STATE_DIR/workers/queue/stdout.log

	head -c 9000000 /dev/zero | tr '\0' 'x' >>"$log"
	until_true eval '[ -s "'"$log"'.1" ] &&
		[ "$(stat -c %s "'"$log"'")" -lt 1000000 ]'
}

gone()
{
	"$DBS" down shop --rm --yes
	[ -z "$(members)" ]
	[ ! -e "$DBS_STATE_DIR/workers/queue" ]
	not pgrep -f -- "$DBS_STATE_DIR/"
	not pgrep -f -- "$HOST_TMP/bin-"
	[ -z "$(monitors)" ]
}

# monitors: those of the workers of this test
monitors()
{
	pgrep -f '^dbs __worker ' | sed 's|.*|/proc/&/environ|' |
		xargs -r grep -lazxF "DBS_STATE_DIR=$DBS_STATE_DIR" 2>/dev/null
}

main()
{
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[ -e /dev/fuse ] || skip "no /dev/fuse"
	command -v mariadbd >/dev/null || skip "no MariaDB"
	command -v jq >/dev/null || skip "no jq"
	: "${DBS:?the dbs to test}"
	e2e_begin dbs-e2e-workers stop_all
	chmod 755 "$HOST_TMP"
	MNT=$HOST_TMP/mnt
	mkdir "$MNT"
	export DBS_POOL=$HOST_TMP/pool DBS_STATE_DIR=$HOST_TMP/state
	export DBS_CONFIG=$HOST_TMP/dbs.yaml
	unset DBS_SOCKET DBS_SERVER SUDO_UID SUDO_GID

	"$DBS" pool create "$DBS_POOL" --size 2G --sparse
	host_mount "$DBS_POOL" "$MNT"
	programs
	claim "an origin" origin
	claim "what is wrong with the configuration is said first" bad_config
	claim "up starts the workers, as their user, with the variables" started
	claim "the password is in their environment only" secret
	claim "kill -9 of a process: started again" killed
	claim "restore: told to end before it, at work after it" restored
	claim "refresh: other processes afterwards" stopped_meanwhile
	claim "workers stop and start, for a deployment" deploy
	claim "who does not end is killed after the grace time" deaf
	claim "kill -9 of the monitor, and of everything" killed_monitor
	claim "who has a number that was a process's is left alone" \
		numbers_of_others
	claim "kill -9 of the server: they wait and work on" server_killed
	claim "what always fails is given up, what may end ends" given_up
	claim "one that writes in the dataset" writes_in_dataset
	claim "they end with their instance" instance_ends
	claim "their output is rotated" rotated
	claim "down: nothing is left" gone
	claim "everything is destroyed" "$DBS" rm --yes -r '*'
	claim "the pool is unmounted" "$DBS" umount "$MNT"
}

main "$@"
