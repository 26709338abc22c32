#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# sysbench.sh - MariaDB on the mount against MariaDB on the host's ext4
#
#   sudo tests/bench/sysbench.sh [--seconds N] [--rounds N] [--test NAME]
#	[--threads N] [--tables N] [--rows N] [--long] [--goal RATIO]
#	[--build DIR] [--dir DIR]
#
# One instance on each, with the server's defaults and --innodb-doublewrite=0,
# the same data; sysbench NAME (oltp_read_write) runs on them in turn, N rounds
# (2) of N seconds (60) each.  Prints both rates and their ratio.  Then, while
# sysbench writes to it, 41 snapshots of the data directory are made (median; goal
# at most 5 ms with --threads 4) and a clone; mariadb-check
# --extended must find nothing in the original and in the clone.
#
# --long  one round of 300 seconds on each
# --goal  exit 1 below that ratio (0.3)
set -Eeuo pipefail

SECONDS_EACH=60 ROUNDS=2 TEST=oltp_read_write THREADS=8 TABLES=4 NR_ROWS=250000
GOAL=0.3
while [ $# -gt 0 ]; do
	case $1 in
	--seconds) SECONDS_EACH=$2; shift ;;
	--rounds) ROUNDS=$2; shift ;;
	--test) TEST=$2; shift ;;
	--threads) THREADS=$2; shift ;;
	--tables) TABLES=$2; shift ;;
	--rows) NR_ROWS=$2; shift ;;
	--goal) GOAL=$2; shift ;;
	--long) SECONDS_EACH=300 ROUNDS=1 ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,19s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
# shellcheck source=tests/bench/lib.bash
. "$(dirname "$0")/lib.bash"

# check INSTANCE: every table of every database
check()
{
	mariadb-check --no-defaults --user=root \
		--socket="$HOST_TMP/run/$1.sock" --extended \
		--all-databases >"$HOST_TMP/check.$1"
	if grep -Ev '[[:space:]]OK$' "$HOST_TMP/check.$1"; then
		host_die 1 "mariadb-check found something in '$1'"
	fi
	printf 'mariadb-check --extended: %s tables of %s are clean\n' \
		"$(wc -l <"$HOST_TMP/check.$1")" "$1"
}

main()
{
	local i a=() b=() ext4 dbs ratio pid start
	# shellcheck disable=SC2034 # by reference
	local snapshots=()

	bench_begin sysbench
	bench_need sysbench mariadbd mariadb-check
	bench_pool 16G
	"$DBS" create mounted >/dev/null
	mkdir "$HOST_TMP/plain"
	host_say "preparing ..."
	bench_mariadb plain "$HOST_TMP/plain"
	bench_mariadb mounted "$MNT/mounted"
	for ((i = 0; i < ROUNDS; i++)); do
		a+=("$(bench_rate plain "$TEST" "$SECONDS_EACH")")
		host_say "$(findmnt -n -o FSTYPE -T "$HOST_TMP"): ${a[-1]}/s"
		b+=("$(bench_rate mounted "$TEST" "$SECONDS_EACH")")
		host_say "dbs: ${b[-1]}/s"
	done
	ext4=$(bench_median "${a[@]}")
	dbs=$(bench_median "${b[@]}")
	ratio=$(bench_ratio "$dbs" "$ext4")

	bench_sysbench mounted "$TEST" run --time=20 >"$HOST_TMP/during.log" 2>&1 &
	pid=$!
	bench_loaded mounted
	for ((i = 0; i < 41; i++)); do
		bench_time snapshots "$DBS" snapshot "mounted@s$i"
		sleep 0.1
	done
	printf 'snapshot of the live data directory: %s ms (median of 41)\n' \
		"$(bench_ms "$(bench_median "${snapshots[@]}")")"
	start=$(bench_now_us)
	"$DBS" clone mounted copy >/dev/null
	printf 'clone of the live data directory: %s ms\n' \
		"$(bench_ms $(($(bench_now_us) - start)))"
	wait "$pid"
	check mounted
	start=$(bench_now_us)
	mariadb_start copy "$MNT/copy"
	printf 'MariaDB on the clone answered after %s ms\n' \
		"$(bench_ms $(($(bench_now_us) - start)))"
	check copy
	for i in copy mounted plain; do
		mariadb_stop "$i"
	done
	"$DBS" umount "$MNT"
	"$DBS" pool check "$DBS_POOL"
	bench_machine
	printf '%s, %s threads, %s tables of %s rows, %s rounds of %s s\n' \
		"$TEST" "$THREADS" "$TABLES" "$NR_ROWS" "$ROUNDS" \
		"$SECONDS_EACH"
	printf 'ext4 %s/s, dbs %s/s, ratio %s (goal %s)\n' "$ext4" "$dbs" \
		"$ratio" "$GOAL"
	awk -v r="$ratio" -v g="$GOAL" 'BEGIN { exit !(r >= g) }'
}

main
