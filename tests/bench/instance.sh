#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# instance.sh - how long does a running instance take to be put back?
#
#   sudo tests/bench/instance.sh [--long] [--size 2G] [--instances N]
#	[--rounds N] [--build DIR] [--dir DIR]
#
# Loads a MariaDB of this size, shuts it down cleanly and takes a snapshot, as
# an import does.  Then N instances are started from it, all at once; in one
# of them a tenth of the rows is changed and 'dbs restore' puts it back, N
# rounds, while the others run.  Prints the medians of each part, from the
# command's start to the first query's answer.  Goal: under a second.
#
# --long   2 GB and 20 instances; without it 256 MB and 3
# --build  a meson build folder (default: builds one)
# --dir    where the pool goes (default: /var/tmp)
set -Eeuo pipefail

SIZE=256M INSTANCES=3 ROUNDS=20
while [ $# -gt 0 ]; do
	case $1 in
	--long) SIZE=2G INSTANCES=20 ;;
	--size) SIZE=$2; shift ;;
	--instances) INSTANCES=$2; shift ;;
	--rounds) ROUNDS=$2; shift ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,19s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
# shellcheck source=tests/bench/lib.bash
. "$(dirname "$0")/lib.bash"

ROW=1000 # bytes, nearly
PARTS=(stop_ms restore_ms start_ms query_ms duration_ms)

instances_end()
{
	local pid

	"$DBS" ps --json | jq -r '.items[] | .monitor_pid, .server_pid' |
		while read -r pid; do
			[ "$pid" -le 1 ] || kill -KILL "$pid" 2>/dev/null
		done
	bench_end
}

load()
{
	local rows=$(($(numfmt --from=iec "$SIZE") / ROW)) at

	"$DBS" create prod
	mariadb_init "$MNT/prod" >/dev/null 2>&1
	mariadb_start prod "$MNT/prod" --innodb-buffer-pool-size=1G \
		--innodb-flush-log-at-trx-commit=0
	mariadb_sql prod "CREATE DATABASE shop; CREATE TABLE shop.item (
		id INT PRIMARY KEY, n INT NOT NULL, text VARCHAR(1000) NOT NULL,
		KEY (n)) ENGINE=InnoDB"
	for ((at = 0; at < rows; at += 50000)); do
		mariadb_sql prod "USE shop; INSERT INTO item SELECT seq, CRC32(seq) %
			1000000, REPEAT(SHA2(seq, 512), 7)
			FROM seq_$((at + 1))_to_$((at + 50000))"
	done
	mariadb_sql prod "SET GLOBAL innodb_fast_shutdown = 0"
	mariadb_stop prod
	"$DBS" snapshot prod@published >/dev/null
}

# up_all: all at once, "ms" each
up_all()
{
	local i pids=() code=0

	for ((i = 1; i <= INSTANCES; i++)); do
		"$DBS" up "i$i" --from prod@published --json \
			>"$HOST_TMP/up.$i" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || code=$?
	done
	return "$code"
}

answers() # how many instances answer a query
{
	local i nr=0

	for ((i = 1; i <= INSTANCES; i++)); do
		if [ "$("$DBS" sql "i$i" -e 'SELECT COUNT(*) > 0 FROM shop.item
			LIMIT 1' -- -N -B)" = 1 ]; then
			nr=$((nr + 1))
		fi
	done
	echo "$nr"
}

memory_mb() # of all servers and monitors together, resident
{
	"$DBS" ps --json | jq -r '.items[] | .monitor_pid, .server_pid' |
		while read -r pid; do
			awk '/^Pss:/ { s += $2 } END { print s }' \
				"/proc/$pid/smaps_rollup"
		done | awk '{ s += $1 } END { printf "%d\n", s / 1024 }'
}

restore_round()
{
	"$DBS" sql i1 -e "UPDATE shop.item SET n = n + 1 WHERE id % 10 = $1 % 10"
	"$DBS" restore i1 --yes --json >>"$HOST_TMP/restores"
}

median_of() # MEMBER
{
	jq -r ".$1" "$HOST_TMP/restores" | sort -g |
		awk '{ v[NR] = $1 } END { printf "%.1f\n", v[int((NR + 1) / 2)] }'
}

bench_begin instance
command -v jq >/dev/null || host_die 77 "no jq"
# shellcheck disable=SC2034 # host_end calls it
HOST_EXIT_HOOK=instances_end
export DBS_STATE_DIR=$HOST_TMP/state
unset DBS_SERVER
bench_pool $(($(numfmt --from=iec "$SIZE") * 3 + (6 << 30))) --sparse
host_say "loading $SIZE ..."
load
host_say "$INSTANCES instances at once ..."
before=$(bench_now_us)
up_all
after=$(bench_now_us)
bench_machine
printf '%s instances of %s up together: %s ms in all, the slowest %.0f ms\n' \
	"$INSTANCES" "$SIZE" "$(((after - before) / 1000))" \
	"$(cat "$HOST_TMP"/up.* | jq -s 'map(.duration_ms) | max')"
printf '%s of %s answer; servers and monitors hold %s MB\n' "$(answers)" \
	"$INSTANCES" "$(memory_mb)"
for ((i = 1; i <= ROUNDS; i++)); do
	restore_round "$i"
done
printf 'restore of a running instance, median of %s:' "$ROUNDS"
for part in "${PARTS[@]}"; do
	printf ' %s %s' "$part" "$(median_of "$part")"
done
printf '\n'
bench_goal instance "restore to first query, seconds" \
	"$(median_of duration_ms | awk '{ printf "%.3f", $1 / 1000 }')" '<=' 1.000
"$DBS" down --all
[ "$BENCH_MISSED" -eq 0 ]
