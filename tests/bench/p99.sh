#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# p99.sh - what do snapshots, clones, restores and a destroy cost others?
#
#   sudo tests/bench/p99.sh [--quick] [--seconds N] [--rounds N] [--size SIZE]
#	[--threads N] [--tables N] [--rows N] [--build DIR] [--dir DIR]
#
# sysbench's oltp_read_write (4 threads, 4 tables of 250,000 rows) runs all the
# time on a MariaDB in a dataset; each statement is timed (statements.lua). N
# rounds (3) of these phases, each N seconds (20):
#
#   alone     nothing else happens (twice a round)
#   snapshot  a snapshot of the dataset every second
#   clone     a clone of it every second
#   restore   such a clone is put back to its origin every second
#   destroy   from 'dbs rm' of another dataset with SIZE (5G) and three
#             snapshots, a twentieth rewritten after each, until all its space
#             is back, however long that takes
#
# Between them: until no destroyed tree is left, and two seconds more. Prints
# each phase's 99th percentile, over its rounds together, and its ratio to
# 'alone': goal at most 2.00 for snapshot and destroy. Then the commands' medians:
# what they say they took, goal at most 5 ms for a snapshot, and the whole command,
# goal at most 20 ms for a clone. Of that, starting any command takes what is
# shown for /bin/true under the same load. Exits 1 when a goal is missed.
#
# --quick  one round of 5 seconds, 512M
set -Eeuo pipefail

SECONDS_EACH=20 ROUNDS=3 SIZE=5G THREADS=4 TABLES=4 NR_ROWS=250000
while [ $# -gt 0 ]; do
	case $1 in
	--quick) SECONDS_EACH=5 ROUNDS=1 SIZE=512M NR_ROWS=50000 ;;
	--seconds) SECONDS_EACH=$2; shift ;;
	--rounds) ROUNDS=$2; shift ;;
	--size) SIZE=$2; shift ;;
	--threads) THREADS=$2; shift ;;
	--tables) TABLES=$2; shift ;;
	--rows) NR_ROWS=$2; shift ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,30s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
# shellcheck source=tests/bench/lib.bash
. "$(dirname "$0")/lib.bash"

DIVERGE=$SOURCE/tests/bench/diverge.py
REAP_MAX=600   # seconds
LOAD_PID=""
declare -A ARRAYS=([snapshot]=SNAPSHOT_US [clone]=CLONE_US [restore]=RESTORE_US
	[rm]=DESTROY_US)
# shellcheck disable=SC2034 # by reference
SNAPSHOT_US=() CLONE_US=() RESTORE_US=() DESTROY_US=() REAP_US=() TRUE_US=()
declare -A OWN_MS=()   # what the commands say they took

# big NAME: the dataset to destroy
big()
{
	local i

	"$DBS" create "$1" >/dev/null
	python3 "$DIVERGE" make "$(numfmt --from=iec "$SIZE")" "$MNT/$1/data"
	for i in 1 2 3; do
		"$DBS" snapshot "$1@s$i" >/dev/null
		python3 "$DIVERGE" percent 5 "$MNT/$1/data" >/dev/null
	done
}

load_start()
{
	bench_sysbench load "$SOURCE/tests/bench/statements.lua" run --time=0 \
		--point_selects=1 --statement_log="$HOST_TMP/statements" \
		>"$HOST_TMP/load.log" 2>&1 &
	LOAD_PID=$!
	HOST_PIDS+=("$LOAD_PID")
	bench_loaded load
	sleep $((SECONDS_EACH / 2))
}

# load_stop: sysbench writes out what it has when its time is over, not when it
# is stopped, so the statements of the last 64 KiB of each thread are lost
load_stop()
{
	kill -TERM "$LOAD_PID"
	wait "$LOAD_PID" 2>/dev/null || true
}

# Wait until a destroyed tree's space is back, without a commit of our own.
reaped()
{
	local end=$((SECONDS + REAP_MAX))

	until [ "$(bench_info dead)" = 0 ]; do
		[ "$SECONDS" -lt "$end" ] ||
			host_die 1 "the reaper does not finish in $REAP_MAX s"
		sleep 0.2
	done
}

pause() { reaped; sleep 2; }

# every_second COMMAND...: with a number after it, until the time is over
every_second()
{
	local i left start

	for ((i = 0; i < SECONDS_EACH; i++)); do
		start=$(bench_now_us)
		"$@" "$i"
		left=$((1000000 - ($(bench_now_us) - start)))
		[ "$left" -le 0 ] || sleep "$(bench_seconds "$left")"
	done
}

# timed VARIABLE SUBCOMMAND OPTION...: one of dbs, timed
timed()
{
	local times=$1

	shift
	bench_time_to "$HOST_TMP/answer" "$times" "$DBS" "$1" --json "${@:2}"
	OWN_MS[$1]+="$(jq '.duration_ms * 100 | round / 100' "$HOST_TMP/answer") "
}

do_snapshot() { timed SNAPSHOT_US snapshot "load@p$1"; }
do_clone() { timed CLONE_US clone load "p$1"; }
do_restore() { timed RESTORE_US restore load@origin --to back --discard --yes; }

phase_alone() { sleep "$SECONDS_EACH"; }
phase_snapshot() { every_second do_snapshot; }
phase_clone() { every_second do_clone; }
phase_restore() { every_second do_restore; }
phase_destroy()
{
	local start

	start=$(bench_now_us)
	timed DESTROY_US rm -r --yes "big$1"
	reaped
	REAP_US+=("$(($(bench_now_us) - start))")
}

after_snapshot() { "$DBS" rm --yes 'load@p*' >/dev/null; }
after_clone() { "$DBS" rm --yes 'p*' >/dev/null; }

# phase NAME ROUND
phase()
{
	local start

	start=$(bench_now_us)
	"phase_$1" "$2"
	printf '%s %s %s\n' "$1" "$start" "$(bench_now_us)" \
		>>"$HOST_TMP/windows"
	kill -0 "$LOAD_PID" 2>/dev/null || {
		cat "$HOST_TMP/load.log" >&2
		host_die 1 "the load has ended"
	}
	! declare -F "after_$1" >/dev/null || "after_$1"
	pause
}

report()
{
	local name nr p50 p99 p999 max alone="" ratios=() line

	printf '%-9s %11s %8s %8s %9s %8s  %s\n' '' statements 'p50 ms' \
		'p99 ms' 'p99.9 ms' 'max ms' ratio
	while read -r name nr p50 p99 p999 max; do
		[ -n "$alone" ] || alone=$p99
		bench_record p99 "statements, $name, p50" dbs us "$p50"
		bench_record p99 "statements, $name, p99" dbs us "$p99"
		printf '%-9s %11s %8s %8s %9s %8s  %s\n' "$name" "$nr" \
			"$(bench_ms "$p50")" "$(bench_ms "$p99")" \
			"$(bench_ms "$p999")" "$(bench_ms "$max")" \
			"$(bench_ratio "$p99" "$alone")"
		case $name in
		snapshot | destroy)
			ratios+=("$name $(bench_ratio "$p99" "$alone")") ;;
		esac
	done < <(python3 "$SOURCE/tests/bench/p99.py" "$HOST_TMP"/statements.* \
		<"$HOST_TMP/windows")
	printf '%-9s %12s %12s\n' command 'its own ms' 'in all ms'
	for name in snapshot clone restore rm; do
		local -n times=${ARRAYS[$name]}
		# shellcheck disable=SC2086 # a list of numbers
		printf '%-9s %12s %12s\n' "$name" \
			"$(bench_median ${OWN_MS[$name]})" \
			"$(bench_ms "$(bench_median "${times[@]}")")"
	done
	printf '%-9s %12s %12s\n' /bin/true '' \
		"$(bench_ms "$(bench_median "${TRUE_US[@]}")")"
	printf 'all space of %s and its snapshots was back after %s ms\n' \
		"$SIZE" "$(bench_ms "$(bench_median "${REAP_US[@]}")")"
	# shellcheck disable=SC2086
	bench_goal p99 'snapshot of a loaded dataset, ms' \
		"$(bench_median ${OWN_MS[snapshot]})" '<=' 5
	bench_goal p99 'clone of a loaded dataset, whole command, ms' \
		"$(bench_ms "$(bench_median "${CLONE_US[@]}")")" '<=' 20
	for line in "${ratios[@]}"; do
		bench_goal p99 "p99 during ${line% *} / alone" "${line#* }" \
			'<=' 2.00
	done
}

main()
{
	local i name

	bench_begin p99
	bench_need sysbench mariadbd
	i=$(numfmt --from=iec "$SIZE")
	bench_pool $((i * (ROUNDS + 1) * 13 / 10 + (8 << 30))) --sparse
	"$DBS" create load >/dev/null
	host_say "preparing ..."
	bench_mariadb load "$MNT/load"
	for ((i = 0; i < ROUNDS; i++)); do
		big "big$i"
	done
	load_start
	"$DBS" snapshot load@origin >/dev/null
	"$DBS" clone load@origin back >/dev/null
	pause
	for ((i = 0; i < ROUNDS; i++)); do
		for name in alone snapshot clone alone restore destroy; do
			host_say "round $((i + 1)): $name ..."
			phase "$name" "$i"
		done
	done
	for ((i = 0; i < 11; i++)); do
		bench_time TRUE_US /bin/true
	done
	load_stop
	mariadb_stop load
	bench_machine
	printf 'oltp_read_write, %s threads, %s tables of %s rows, %s rounds of %s s\n' \
		"$THREADS" "$TABLES" "$NR_ROWS" "$ROUNDS" "$SECONDS_EACH"
	report
	[ "$BENCH_MISSED" -eq 0 ]
}

main
