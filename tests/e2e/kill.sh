#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# kill.sh - nothing that MariaDB acknowledged is lost when dbsfs, mariadbd or
# both are killed under load, also on a device that loses what was not flushed
#
#   DBS=build/tools/dbs KILL_CLIENT=build/tests/e2e/kill-client \
#   LOSSY=build/tests/e2e/liblossy.so kill.sh [OPTION...]
#
#   --kills N     go on until so many processes or pairs were killed (21)
#   --long        500
#   --form F      only plain, drop or torn; else one after the other
#   --target T    only dbsfs, mariadbd or both; else one after the other
#   --seed N      of the moments and choices
#   --keep DIR    where the pool and the logs go if something is wrong
#
# Needs root; exits 77 if it cannot run.
#
# Four connections commit transactions over two tables, one does DDL, and they
# write down each that was acknowledged, outside of the mount (kill_model.h);
# beside them, in every other round, dbs makes snapshots, clones, restores ...
# and they are written down too (kill_ops.bash).  At a random moment the target
# is killed with SIGKILL.  Then the pool is mounted and the server started
# again, which one time in four are killed again while they recover; and every
# row is compared with what the acknowledged transactions must have left.  The
# doublewrite buffer is off, and in every other part the binary log is on.
#
# The forms say what a killed dbsfs loses (lossy.c):
#   plain   nothing that it has written: the page cache stays
#   drop    all that it has not flushed
#   torn    of that a random part, some writes torn at 512 bytes
#
# At the end the test is tested: with flushes that do nothing it must find
# commits lost, and rows that are taken away, too.
set -Eeuo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/lib/host.sh
. "$here/../../tools/lib/host.sh"
# shellcheck source=tests/e2e/kill_ops.bash
. "$here/kill_ops.bash"

WRITERS=4
PART=7 # rounds between two checks of the unmounted pool
TARGETS=(dbsfs mariadbd both)
FORMS=(plain drop torn)
METHODS=(O_DIRECT fsync) # the server's default; what dbs up takes
INTERVALS=(50 1000 5000 5000) # of commits, ms
FLUSHES=(0 500 3000)         # how long the lossy device takes for one, us
WANTED=21
SEED=$((EPOCHSECONDS % 32768))
KEEP=""

declare -A KILLS COMMITS LOST  # by 'form target'
NR_KILLS=0 NR_OPS=0 NR_CLONES=0 NR_CHECKS=0 NR_AGAIN=0 NR_MOUNTING=0 NR_DDL=0 NR_DROPS=0 DROPPED=0
BINLOG=""  # 'binlog' in the parts where it is on
DBSFS="" SERVER="" LOAD="" OPS=""

skip()
{
	echo "skipped: $*"
	exit 77
}

# wrong TEXT...: the figures so far, and the end
wrong()
{
	figures
	host_die 1 "round $ROUND, form $FORM, seed $SEED: $*"
}

show_failure()
{
	[ "$1" -ne 0 ] || return 0
	tail -n 25 "$HOST_TMP"/run/db.err "$HOST_TMP"/{load,ops,mount}.log \
		"$HOST_TMP/verify.log" >&2
	[ -n "$KEEP" ] || return 0
	mkdir -p "$KEEP"
	cp -a --sparse=always "$DBS_POOL" "$HOST_TMP/run" "$HOST_TMP"/*.log \
		"$HOST_TMP"/{record,ops,ops.have,ops.value} "$KEEP"
}

# random FROM TO
random() { echo $(($1 + RANDOM % ($2 - $1 + 1))); }

# pause MS-FROM MS-TO
pause()
{
	local ms

	ms=$(random "$1" "$2")
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
}

# ---- dbsfs and MariaDB -----------------------------------------------------------

# target_of ROUND
target_of() { echo "${TARGETS[$1 % ${#TARGETS[@]}]}"; }

# mount_pool: in the form that the next target has seen least
mount_pool()
{
	local form nr target least=""

	target=$(target_of $((ROUND + 1)))
	for form in "${FORMS[@]}"; do
		nr=${KILLS[$form $target]:-0}
		[ -z "$least" ] || [ "$nr" -lt "$least" ] || continue
		least=$nr
		FORM=$form
	done
	mount_form "$FORM" "${INTERVALS[RANDOM % ${#INTERVALS[@]}]}"
}

# mount_form FORM COMMIT-MS
mount_form()
{
	local env=()


	rm -f "$HOST_TMP/dbsfs.pid"
	case $1 in
	drop) ;;
	torn) env=(LOSSY_SURVIVE=60 LOSSY_SEED=$RANDOM) ;;
	lie) env=(LOSSY_LIE=1) ;;
	esac
	[ "$1" = plain ] || env+=(LD_PRELOAD="$LOSSY" LOSSY_FILE="$DBS_POOL"
		LOSSY_STAT="$HOST_TMP/lossy.stat"
		LOSSY_FLUSH_US="${FLUSHES[RANDOM % ${#FLUSHES[@]}]}")
	rm -f "$HOST_TMP/lossy.stat"
	env "${env[@]}" "$DBS" mount \
		-o "pid-file=$HOST_TMP/dbsfs.pid,commit-interval=$2" \
		"$DBS_POOL" "$MNT" 2>>"$HOST_TMP/mount.log"
	DBSFS=$(cat "$HOST_TMP/dbsfs.pid")
}

# kill_mounting: a daemon that opens the pool, which may replay its log
kill_mounting()
{
	local pid i

	# or it would be the last daemon's
	rm -f "$HOST_TMP/dbsfs.pid"
	(
		trap - EXIT
		mount_form "${FORMS[RANDOM % ${#FORMS[@]}]}" 50
	) 9>&- >/dev/null 2>&1 &
	for ((i = 0; i < 1000; i++)); do
		[ ! -s "$HOST_TMP/dbsfs.pid" ] || break
		sleep 0.01
	done
	pid=$(cat "$HOST_TMP/dbsfs.pid")
	pause 0 60
	kill -KILL "$pid"
	wait $! || true
	host_wait_gone "$pid" 60 || wrong "dbsfs $pid does not die"
	NR_MOUNTING=$((NR_MOUNTING + 1))
}

unmount_pool()
{
	"$DBS" umount "$MNT"
	DBSFS=""
}

# start_server NAME: does not wait
start_server()
{
	local name=$1 run=$HOST_TMP/run binlog=()

	[ -z "$BINLOG" ] || binlog=(--log-bin=binlog --sync-binlog=1
		--server-id=1 --binlog-format=STATEMENT)
	: >"$run/$name.err"
	chown "$(host_mariadb_user)" "$run/$name.err"
	# small enough for pages and log to be written all the time
	host_mariadb_as_user mariadbd --no-defaults \
		--datadir="$MNT/$name" --socket="$run/$name.sock" \
		--pid-file="$run/$name.pid" --log-error="$run/$name.err" \
		--tmpdir="$run" --skip-networking --skip-name-resolve \
		--performance-schema=OFF --innodb-doublewrite=0 \
		--innodb-flush-method="${METHODS[RANDOM % ${#METHODS[@]}]}" \
		--innodb-flush-log-at-trx-commit=1 \
		--innodb-buffer-pool-size=8M --innodb-log-file-size=8M \
		--innodb-max-dirty-pages-pct=10 \
		--innodb-buffer-pool-dump-at-shutdown=OFF \
		--innodb-buffer-pool-load-at-startup=OFF "${binlog[@]}" \
		</dev/null >>"$run/$name.err" 2>&1 9>&- &
	LAST_SERVER=$!
	HOST_PIDS+=("$LAST_SERVER")
}

start_db()
{
	start_server db
	SERVER=$LAST_SERVER
}

client() { "$KILL_CLIENT" "$1" "$HOST_TMP/run/db.sock" "${@:2}"; }

# end_server PID SIGNAL
end_server()
{
	local pid left=()

	kill "-$2" "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
	# its number may soon be another process's
	for pid in "${HOST_PIDS[@]}"; do
		[ "$pid" = "$1" ] || left+=("$pid")
	done
	HOST_PIDS=("${left[@]}")
}

# kill_target TARGET: and what cannot live without it
kill_target()
{
	local blocks

	case $1 in
	dbsfs)
		kill -KILL "$DBSFS"
		# what does the server tell its clients meanwhile?  It may
		# crash, and bash would say so.
		{ pause 0 200; } 2>/dev/null
		;;
	mariadbd) ;;
	both)
		if [ $((RANDOM % 2)) -eq 0 ]; then
			kill -KILL "$DBSFS" "$SERVER"
		else
			kill -KILL "$SERVER" "$DBSFS"
		fi
		;;
	esac
	end_server "$SERVER" KILL
	NR_KILLS=$((NR_KILLS + 1))
	KILLS[$FORM $1]=$((${KILLS[$FORM $1]:-0} + 1))
	[ "$1" != mariadbd ] || return 0
	host_wait_gone "$DBSFS" 60 || wrong "dbsfs $DBSFS does not die"
	DBSFS=""
	# a daemon that was killed while it started may not have filled it yet
	[ "$(stat -c %s "$HOST_TMP/lossy.stat" 2>/dev/null || echo 0)" -ge 24 ] ||
		return 0
	blocks=$(od -An -v -tu8 -j16 -N8 "$HOST_TMP/lossy.stat")
	DROPPED=$((DROPPED + blocks))
	[ "$blocks" -eq 0 ] || NR_DROPS=$((NR_DROPS + 1))
}

# ---- one round -----------------------------------------------------------------------

begin_load()
{
	rm -f "$HOST_TMP/stop"
	: >"$HOST_TMP/record"
	client load "$HOST_TMP/record" "$WRITERS" $BINLOG \
		>>"$HOST_TMP/load.log" 2>&1 &
	LOAD=$!
	wait_acked 20
	if [ $((ROUND % 2)) -eq 0 ]; then
		(
			trap - EXIT
			ops_run
		) 9>&- &
		OPS=$!
	fi
}

# wait_acked NUMBER: commits of this load
wait_acked()
{
	local i

	for ((i = 0; i < 1200; i++)); do
		[ "$(wc -l <"$HOST_TMP/record")" -lt $((WRITERS + $1)) ] ||
			return 0
		kill -0 "$LOAD" 2>/dev/null || break
		sleep 0.05
	done
	wrong "the load does not commit"
}

end_load()
{
	local code=0

	: >"$HOST_TMP/stop"
	host_wait_gone "$LOAD" 60 || wrong "the load goes on without a server"
	wait "$LOAD" || code=$?
	[ -z "$OPS" ] || wait "$OPS" || true
	LOAD="" OPS=""
	[ "$code" -eq 0 ] || wrong "the load failed (exit code $code)"
}

# again TARGET: one time in four kill it once more while it recovers
again()
{
	while [ $((RANDOM % 4)) -eq 0 ]; do
		start_db
		pause 0 700
		kill_target "$1"
		NR_AGAIN=$((NR_AGAIN + 1))
		[ -n "$DBSFS" ] || mount_pool
	done
}

# sound NAME: the server has found nothing to complain about
#
# But that the binary log ends in the middle of what nobody has synced, and, on
# any file system, that it was killed while it made a new ddl_recovery.log.
sound()
{
	! grep -a -iE 'corrupt|mismatch|in the future|assertion|\[ERROR\]' \
		"$HOST_TMP/run/$1.err" |
		grep -v -e "'Event truncated'" \
			-e "end-of-file .* './ddl_recovery.log'" \
			-e "read ddl log file './ddl_recovery.log'" \
			>>"$HOST_TMP/verify.log"
}

# verify KEY: the server holds all of the record
verify()
{
	local code=0 text

	client verify "$HOST_TMP/record" "$HOST_TMP/record" $BINLOG \
		>"$HOST_TMP/verify.log" 2>&1 || code=$?
	text=$(tail -n 1 "$HOST_TMP/verify.log")
	if [[ $text =~ ^commits=([0-9]+)\ lost=([0-9]+) ]]; then
		COMMITS[$1]=$((${COMMITS[$1]:-0} + BASH_REMATCH[1]))
		LOST[$1]=$((${LOST[$1]:-0} + BASH_REMATCH[2]))
		NR_DDL=$((NR_DDL + ${text##*ddl=}))
	fi
	[ "$code" -eq 0 ] || wrong "verify: exit code $code: $text"
	sound db || wrong "the server complains"
}

# check_clone NAME NUMBER: of a snapshot that dbs has returned for
check_clone()
{
	local clone=$1 server

	start_server "$clone"
	server=$LAST_SERVER
	"$KILL_CLIENT" wait "$HOST_TMP/run/$clone.sock" "$server" ||
		wrong "no server on clone $clone"
	"$KILL_CLIENT" verify "$HOST_TMP/run/$clone.sock" \
		"$HOST_TMP/before.$2" "$HOST_TMP/record" \
		>"$HOST_TMP/verify.log" 2>&1 ||
		wrong "clone $clone: $(tail -n 1 "$HOST_TMP/verify.log")"
	sound "$clone" || wrong "the server on $clone complains"
	end_server "$server" KILL
	NR_CLONES=$((NR_CLONES + 1))
}

check_ops()
{
	local text code=0 clone number

	text=$(ops_check) || code=$?
	echo "$text" >"$HOST_TMP/verify.log"
	[ "$code" -eq 0 ] || wrong "what dbs did is not there: $text"
	NR_OPS=$((NR_OPS + $(grep -c '^did' "$HOST_TMP/ops" || true)))
	read -r _ clone number < <(grep '^newest' <<<"$text") || return 0
	check_clone "$clone" "$number"
}

round()
{
	local target=$1 key="$FORM $1"

	begin_load
	pause 100 900
	kill -0 "$LOAD" 2>/dev/null || wrong "the load ended before the kill"
	kill_target "$target"
	end_load
	if [ -z "$DBSFS" ]; then
		[ $((RANDOM % 3)) -ne 0 ] || kill_mounting
		mount_pool
	fi
	again "$target"
	start_db
	client wait "$SERVER" || wrong "the server does not start"
	verify "$key"
	if [ -s "$HOST_TMP/ops" ]; then
		check_ops
		ops_clear
	fi
}

# check_pool: unmounted; then the other part begins
check_pool()
{
	end_server "$SERVER" TERM
	unmount_pool
	"$DBS" pool check --data "$DBS_POOL" >"$HOST_TMP/check.log" 2>&1 ||
		wrong "pool check: $(tail -n 5 "$HOST_TMP/check.log")"
	NR_CHECKS=$((NR_CHECKS + 1))
	[ -n "$BINLOG" ] && BINLOG="" || BINLOG=binlog
	mount_pool
	start_db
	client wait "$SERVER" || wrong "the server does not start"
}

# ---- the test's own test ----------------------------------------------------------------

# must_find TEXT: verify exits 1 and says so
must_find()
{
	local code=0

	client verify "$HOST_TMP/record" >"$HOST_TMP/verify.log" 2>&1 || code=$?
	if [ "$code" -ne 1 ] || ! grep -qE "$1" "$HOST_TMP/verify.log"; then
		wrong "verify did not find '$1' (exit code $code)"
	fi
}

self_test()
{
	end_server "$SERVER" TERM
	unmount_pool
	FORM=lie
	BINLOG=""
	mount_form lie 200
	start_db
	client wait "$SERVER" || wrong "the server does not start"
	ROUND=1
	begin_load
	wait_acked 100
	kill_target both
	end_load
	mount_form plain 200
	start_db
	client wait "$SERVER" || wrong "the server does not start"
	must_find 'lost=[1-9]'
	echo "figure: with flushes that do nothing:" \
		"$(tail -n 1 "$HOST_TMP/verify.log")"
	mariadb_sql db "SELECT w, n FROM kill_test.counter" |
		tr '\t' ' ' >"$HOST_TMP/record"
	verify "self test"
	mariadb_sql db "DELETE FROM kill_test.b ORDER BY w, n LIMIT 1"
	must_find 'half a transaction'
	mariadb_sql db "UPDATE kill_test.counter SET n = n - 1 WHERE w = 1"
	must_find 'lost=1 '
	echo "ok: a row and a transaction taken away are found"
}

figures()
{
	local form target key

	printf 'figure: %-6s %-9s %6s %9s %5s\n' form target kills commits lost
	for form in "${FORMS[@]}"; do
		for target in "${TARGETS[@]}"; do
			key="$form $target"
			printf 'figure: %-6s %-9s %6d %9d %5d\n' \
				"$form" "$target" "${KILLS[$key]:-0}" \
				"${COMMITS[$key]:-0}" "${LOST[$key]:-0}"
		done
	done
	echo "figure: $NR_KILLS kills ($NR_AGAIN of them during recovery)" \
		"and $NR_MOUNTING of dbsfs while it opens the pool," \
		"$NR_DDL statements of DDL, $NR_OPS operations of dbs" \
		"beside the load, $NR_CLONES servers on clones, $NR_CHECKS" \
		"pool checks"
	echo "figure: the lossy device dropped $DROPPED blocks in $NR_DROPS" \
		"kills; seed $SEED"
}

options()
{
	while [ $# -gt 0 ]; do
		case $1 in
		--long) WANTED=500 ;;
		--kills) WANTED=$2; shift ;;
		--form) FORMS=("$2"); shift ;;
		--target) TARGETS=("$2"); shift ;;
		--seed) SEED=$2; shift ;;
		--keep) KEEP=$2; shift ;;
		*) sed -n '7,17s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
		esac
		shift
	done
	RANDOM=$SEED
}

set_up()
{
	MNT=$HOST_TMP/mnt
	mkdir "$MNT" "$HOST_TMP/run"
	chown "$(host_mariadb_user)" "$HOST_TMP/run"
	: >"$HOST_TMP/ops"
	export DBS_POOL=$HOST_TMP/pool
	unset DBS_SOCKET
	"$DBS" pool create "$DBS_POOL" --size 2G --sparse
	HOST_MOUNTS+=("$MNT")
	ROUND=0
	mount_pool
	"$DBS" create db
	"$DBS" create side
	mariadb_init "$MNT/db" >"$HOST_TMP/init.log" 2>&1
	start_db
	client wait "$SERVER"
	client schema "$WRITERS"
}

main()
{
	options "$@"
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[ -e /dev/fuse ] || skip "no /dev/fuse"
	command -v mariadbd >/dev/null || skip "no MariaDB"
	: "${DBS:?the dbs to test}" "${KILL_CLIENT:?kill-client}"
	: "${LOSSY:?liblossy.so}"
	# shellcheck disable=SC2034 # host_end calls it
	HOST_EXIT_HOOK=show_failure
	host_begin dbs-kill
	set_up
	for ((ROUND = 1; NR_KILLS < WANTED; ROUND++)); do
		round "$(target_of "$ROUND")"
		[ $((ROUND % 50)) -ne 0 ] || figures
		[ $((ROUND % PART)) -ne 0 ] || check_pool
	done
	check_pool
	figures
	self_test
	end_server "$SERVER" TERM
	unmount_pool
}

main "$@"
