#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh - all benches, on dbs and on what else there is
#
#   sudo tests/bench/run.sh [--quick] [--only GROUP,...] [--without SYSTEM,...]
#	[--no-io-uring] [--no-write] [--records FILE] [--rounds N] [--build DIR]
#	[--dir DIR]
#
# Runs each workload on a mounted pool, in a plain directory of the same disk
# ('ext4'), and on btrfs (zstd:1) and xfs on loop devices on that disk, where the
# host has them, in alternating rounds.  The groups:
#
#   oltp     MariaDB: four of sysbench's tests and the import of a dump, with a
#            buffer pool smaller and one larger than the data. 'As used': ours
#            with the options of 'dbs up' (innodb_doublewrite=0,
#            innodb_flush_method=fsync, innodb_flush_neighbors=0), ext4,
#            btrfs and xfs with the server's defaults. 'Equal settings': both
#            with innodb_doublewrite=0 and the default flush method.
#   fio      random, sequential, mixed, cold and durable reads and writes
#   trees    untar, 'git status', 'rm -rf' of a source tree
#   daemon   what dbsfs used meanwhile: CPU for each operation, memory
#   fsync    durable writes on an aged pool: fsync.sh
#   instant  snapshot, clone, restore, destroy: instant.sh and clones.sh
#   p99      what they do to others: p99.sh
#   space    space.sh
#
# Prints medians, ratios and whether each goal is reached, and writes a table to
# docs/performance.md between two comments, and a plot beside it.
#
# About two hours and 40 GB in DIR (default: /var/tmp); installs the packages
# that are missing.  Exits 0 when all ran, also where goals are missed.
#
# --quick     small sizes and one short round: at most ten minutes, 15 GB; has
#             its own table and plot
# --no-io-uring  requests by read(), where the kernel would hand them over by
#             io_uring
# --no-write  does not touch docs/; nor does --only
# --records   keeps what was measured in FILE, for report.py
set -Eeuo pipefail

QUICK=no ONLY=oltp,fio,trees,fsync,instant,p99,space WITHOUT="" WRITE=yes
ROUNDS="" RECORDS="" ARGS=$*
while [ $# -gt 0 ]; do
	case $1 in
	--quick) QUICK=yes ;;
	--only) ONLY=$2 WRITE=no; shift ;;
	--without) WITHOUT=$2; shift ;;
	--no-io-uring) export BENCH_MOUNT="-o io-uring=0" ;;
	--no-write) WRITE=no ;;
	--records) RECORDS=$(realpath "$2"); shift ;;
	--rounds) ROUNDS=$2; shift ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,42s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
HERE=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/bench/lib.bash
. "$HERE/lib.bash"
# shellcheck source=tests/bench/run-oltp.bash
. "$HERE/run-oltp.bash"
# shellcheck source=tests/bench/run-fio.bash
. "$HERE/run-fio.bash"
# shellcheck source=tests/bench/run-trees.bash
. "$HERE/run-trees.bash"

PACKAGES="sysbench fio jq gnuplot-nox git python3 procps xfsprogs btrfs-progs
	mariadb-client"
SYSTEMS=(ext4 dbs)
declare -A DIRS=()
DAEMON=""

if [ "$QUICK" = yes ]; then
	ROUNDS=${ROUNDS:-1} TREE_COPIES=4 POOL_SIZE=6G
	OLTP_SECONDS=2 NR_ROWS=25000 BUFFER_POOLS="16M 256M"
	FIO_SECONDS=1 FIO_SIZE=256M
else
	ROUNDS=${ROUNDS:-3} TREE_COPIES=20 POOL_SIZE=16G
	OLTP_SECONDS=20 NR_ROWS=250000 BUFFER_POOLS="128M 1G"
	FIO_SECONDS=5 FIO_SIZE=1G
fi
export OLTP_SECONDS BUFFER_POOLS FIO_SECONDS FIO_SIZE TREE_COPIES
export THREADS=8 TABLES=4 NR_ROWS

wanted() { [[ ,$ONLY, == *,$1,* ]]; }

install_packages()
{
	local missing

	# shellcheck disable=SC2086 # lists of packages
	missing=$(host_missing $HOST_PACKAGES_BUILD $HOST_PACKAGES_MARIADB \
		$PACKAGES | tr '\n' ' ')
	# any of gnuplot's flavours will do
	! command -v gnuplot >/dev/null || missing=${missing/gnuplot-nox }
	[ -n "${missing// }" ] || return 0
	host_say "installing: $missing"
	# shellcheck disable=SC2086
	host_install $missing >"$HOST_TMP/install.log" 2>&1 || {
		tail -n 20 "$HOST_TMP/install.log" >&2
		host_die 2 "cannot install what is missing: $missing"
	}
}

# run_end: what this script has changed on the host, before host_end
run_end()
{
	[ ${#HOST_PIDS[@]} -eq 0 ] || kill -CONT "${HOST_PIDS[@]}" 2>/dev/null
	bench_end
}

# How the kernel hands requests over: the daemon has rings, or not.
handed_over()
{
	local fd

	for fd in "/proc/$DAEMON/fd"/*; do
		[ "$(readlink "$fd")" != 'anon_inode:[io_uring]' ] || {
			echo "requests by io_uring"
			return
		}
	done
	echo "requests by read()"
}

# The systems that this host has, each with a directory: ${DIRS[SYSTEM]}
systems_begin()
{
	local system

	bench_pool "$POOL_SIZE"
	DAEMON=$(bench_daemon)
	DIRS[dbs]=$MNT
	DIRS[ext4]=$HOST_TMP/plain
	mkdir "${DIRS[ext4]}"
	for system in btrfs xfs; do
		[[ ,$WITHOUT, != *,$system,* ]] || continue
		DIRS[$system]=$HOST_TMP/$system
		bench_loop_fs "$system" "$POOL_SIZE" "${DIRS[$system]}" ||
			continue
		[ "$system" != btrfs ] ||
			mount -o remount,compress=zstd:1 "${DIRS[btrfs]}"
		SYSTEMS+=("$system")
	done
}

systems_end()
{
	local i

	for ((i = ${#SYSTEMS[@]} - 1; i > 1; i--)); do
		bench_loop_fs_remove "${SYSTEMS[i]}" "${DIRS[${SYSTEMS[i]}]}"
	done
	bench_pool_remove
	rm -rf "${DIRS[ext4]}"
}

# place SYSTEM NAME: a new directory of it, a dataset where it is ours; printed
place()
{
	if [ "$1" = dbs ]; then
		"$DBS" create "$2" >/dev/null
	else
		mkdir "${DIRS[$1]}/$2"
	fi
	printf '%s\n' "${DIRS[$1]}/$2"
}

# place_remove SYSTEM NAME
place_remove()
{
	if [ "$1" = dbs ]; then
		"$DBS" rm -r --yes "$2" >/dev/null
	else
		rm -rf "${DIRS[$1]:?}/$2"
	fi
}

drop_caches() { sync; "$DBS" sync >/dev/null; echo 3 >/proc/sys/vm/drop_caches; }

# measure GROUP WHAT SYSTEM UNIT COMMAND...: one round
#
# COMMAND prints the figure and, where it is a rate, how many there were: of
# ours, what the daemon's CPU did meanwhile is recorded for each.
measure()
{
	local group=$1 what=$2 system=$3 unit=$4 value nr cpu=0 each=us

	shift 4
	[ "$system" != dbs ] || cpu=$(bench_cpu "$DAEMON")
	value=$("$@")
	read -r value nr <<<"$value"
	[ -n "$value" ] || host_die 1 "no figure: $*"
	bench_record "$group" "$what" "$system" "$unit" "$value"
	host_say "$group: $what: $system: $value $unit"
	[ "$system" = dbs ] || return 0
	cpu=$(($(bench_cpu "$DAEMON") - cpu))
	[ -z "$nr" ] || each="us each"
	[ "$unit" != MB/s ] || each=us/MB
	bench_record daemon "CPU, $what" dbs "$each" "$(awk \
		-v us="$cpu" -v nr="${nr:-1}" \
		'BEGIN { printf "%.1f\n", us / (nr > 0 ? nr : 1) }')"
}

# with_number RATE SECONDS: the rate, and how many there were
with_number() { awk -v r="$1" -v s="$2" 'BEGIN { printf "%s %.0f\n", r, r * s }'; }

# milliseconds COMMAND...: how long it takes
milliseconds()
{
	local start

	start=$(bench_now_us)
	"$@" >/dev/null
	bench_ms $(($(bench_now_us) - start))
}

# median_of GROUP WHAT SYSTEM
median_of()
{
	awk -F '\t' -v g="$1" -v w="$2" -v s="$3" \
		'$1 == "value" && $2 == g && $3 == w && $4 == s { print $6 }' \
		"$BENCH_RECORDS" | sort -n | awk '{ v[NR] = $1 }
		END { if (NR) print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

# goal GROUP WHAT TEXT OP GOAL [SYSTEM [OURS]]: ours to another's (ext4's)
goal()
{
	bench_goal "$1" "$3" "$(bench_ratio "$(median_of "$1" "$2" "${7:-dbs}")" \
		"$(median_of "$1" "$2" "${6:-ext4}")")" "$4" "$5"
}

memory()
{
	local field

	for field in VmRSS VmHWM; do
		bench_record daemon "memory, $field" dbs MiB \
			"$(($(bench_memory "$DAEMON" "$field") / 1024))"
	done
	bench_goal daemon "memory at most, MiB" \
		"$(($(bench_memory "$DAEMON" VmHWM) / 1024))" '<=' 256
}

# script NAME OPTION...: another bench; that it misses a goal ends nothing
script()
{
	local name=$1 code=0

	shift
	host_say "$name $* ..."
	"$HERE/$name" --build "$BENCH_BUILD" --dir "$HOST_TMP" "$@" \
		9>&- >"$HOST_TMP/script.log" 2>&1 || code=$?
	cat "$HOST_TMP/script.log" >&2
	[ "$code" -le 1 ] || host_die "$code" "'$name' could not run"
}

run_scripts()
{
	local quick=()

	[ "$QUICK" = no ] || quick=(--quick)
	if wanted fsync; then
		if [ "$QUICK" = yes ]; then
			script fsync.sh --aged --pool 1G --rounds 1 --seconds 1
		else
			script fsync.sh --aged --rounds 3
		fi
	fi
	if wanted instant; then
		if [ "$QUICK" = yes ]; then
			script instant.sh --sizes "10M 256M" --clones "1 20" \
				--rounds 3 --without "$WITHOUT"
			script clones.sh --clones 100 --size 64M
		else
			script instant.sh --without "$WITHOUT"
			script clones.sh
		fi
	fi
	! wanted p99 || script p99.sh "${quick[@]}"
	! wanted space || script space.sh "${quick[@]}" --without "$WITHOUT"
}

write_document()
{
	local plot=performance name=run.sh title
	local document=$SOURCE/docs/performance.md

	[ "$QUICK" = no ] || plot=performance-quick name="run.sh --quick"
	title="\`tests/bench/run.sh${ARGS:+ $ARGS}\`, $(date +'%-d %B %Y'),"
	title+=" $(git -C "$SOURCE" describe --always --dirty 2>/dev/null ||
		echo 'unknown version'), $HANDED_OVER. $(bench_machine)."
	title+=" Medians of $ROUNDS rounds."
	[ -w "$document" ] || {
		host_say "'$document' cannot be written"
		return 0
	}
	python3 "$HERE/report.py" plot "$BENCH_RECORDS" \
		"$SOURCE/docs/$plot.svg"
	python3 "$HERE/report.py" markdown "$BENCH_RECORDS" "$name" \
		"$title" "$plot.svg" "$document"
}

main()
{
	host_need_root
	BENCH_BEFORE_BUILD=install_packages bench_begin run
	# shellcheck disable=SC2034 # host_end calls it
	HOST_EXIT_HOOK=run_end
	export BENCH_RECORDS=${RECORDS:-$HOST_TMP/records}
	: >"$BENCH_RECORDS"
	systems_begin
	HANDED_OVER=$(handed_over)
	bench_machine
	host_say "$HANDED_OVER; on: ${SYSTEMS[*]}"
	! wanted oltp || oltp_all
	! wanted fio || fio_all
	! wanted trees || trees_all
	memory
	systems_end
	run_scripts
	python3 "$HERE/report.py" text "$BENCH_RECORDS"
	printf '%s, %s, %s s\n' "$(bench_machine)" "$HANDED_OVER" "$SECONDS"
	[ "$WRITE" = no ] || write_document
}

main
