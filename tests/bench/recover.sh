#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# recover.sh - how long does it take to open a pool after a crash?
#
#   sudo tests/bench/recover.sh [--pool SIZE] [--data SIZE] [--clones N]
#	[--rounds N] [--build DIR] [--dir DIR]
#
# A pool of SIZE (20G) with a file of SIZE (2G) and N clones (100). The log is
# filled with the costliest mix: 16 KiB written at random places of all
# clones (maps), and 2 KiB parts of records (bytes). dbsfs is killed where
# the log is as full as it gets, at other moments too, and 'dbs mount' is
# timed with cold caches: goal 2,000 ms at most. The pool must be clean then.
set -Eeuo pipefail

POOL_SIZE=20G DATA_SIZE=2G CLONES=100 ROUNDS=6
while [ $# -gt 0 ]; do
	case $1 in
	--pool) POOL_SIZE=$2; shift ;;
	--data) DATA_SIZE=$2; shift ;;
	--clones) CLONES=$2; shift ;;
	--rounds) ROUNDS=$2; shift ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
# shellcheck source=tests/bench/lib.bash
. "$(dirname "$0")/lib.bash"

log_used() { "$DBS" pool info --json 2>/dev/null | jq .log_used_bytes; }

# until_full PEAK: wait until the log is nearly as full as it ever was, or long
until_full()
{
	local used end=$((SECONDS + 30))

	while kill -0 "$LOAD_PID" 2>/dev/null; do
		[ "$SECONDS" -lt "$end" ] || return 0
		used=$(log_used)
		[ "${used:-0}" -lt $(($1 * 9 / 10)) ] || return 0
		sleep 0.02
	done
	host_die 1 "the load has ended"
}

# peak: the fullest that the log is seen in some seconds
peak()
{
	local used max=0 end=$((SECONDS + 15))

	while [ "$SECONDS" -lt "$end" ]; do
		used=$(log_used)
		[ "${used:-0}" -le "$max" ] || max=$used
		sleep 0.02
	done
	echo "$max"
}

# crash MAPS|BYTES ROUND
crash()
{
	local what=$1 used start end max i

	for ((i = 0; i < 4; i++)); do
		python3 "$SOURCE/tests/bench/recover.py" "$what" \
			"$MNT"/c[0-9]*/data 2>/dev/null &
		LOAD_PID=$!
	done
	max=$(peak)
	until_full "$max"
	used=$(log_used)
	kill -KILL "$(pgrep -f "dbsfs.*$DBS_POOL")"
	wait || true
	echo 3 >/proc/sys/vm/drop_caches
	start=$(bench_now_us)
	"$DBS" mount -o "$LAZY" "$DBS_POOL" "$MNT" 2>/dev/null
	end=$(bench_now_us)
	TIMES+=("$((end - start))")
	host_say "$what: log $((used >> 20)) MiB (peak $((max >> 20))), mounted in $(bench_ms $((end - start))) ms"
}

bench_begin recover
"$DBS" pool create "$DBS_POOL" --size "$POOL_SIZE" --sparse >/dev/null
# no commit but when the log asks for it
LAZY=commit-interval=600000
host_mount "$DBS_POOL" "$MNT" -o "$LAZY"
"$DBS" create base >/dev/null
python3 "$SOURCE/tests/bench/diverge.py" make \
	"$(numfmt --from=iec "$DATA_SIZE")" "$MNT/base/data"
"$DBS" snapshot base@s >/dev/null
for ((i = 0; i < CLONES; i++)); do
	"$DBS" clone base@s "c$i" >/dev/null
done
bench_machine
WORST=0
for what in maps bytes; do
	TIMES=()
	for ((round = 0; round < ROUNDS; round++)); do
		crash "$what"
	done
	worst=$(printf '%s\n' "${TIMES[@]}" | sort -n | tail -n 1)
	printf '%s: mounted in %s ms (median), %s ms (worst of %s); goal 2000\n' \
		"$what" "$(bench_ms "$(bench_median "${TIMES[@]}")")" \
		"$(bench_ms "$worst")" "$ROUNDS"
	[ "$worst" -le "$WORST" ] || WORST=$worst
done
"$DBS" umount "$MNT"
"$DBS" pool check "$DBS_POOL"
[ "$WORST" -le 2000000 ]
