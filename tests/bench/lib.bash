# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# lib.bash - what the benches share
#
# Below: tools/lib/host.sh.  Above: tests/bench/*.sh.
#
# A bench that sources this and calls bench_begin has $DBS, $HOST_TMP and the
# clean-up of host.sh, which also takes back loop devices made here.

SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=tools/lib/host.sh
. "$SOURCE/tools/lib/host.sh"

BENCH_LOOPS=()   # loop devices to give back
BENCH_FS=()      # folders where they are mounted
WRITER_PID=""
BENCH_MISSED=0   # goals

bench_now_us() { printf '%s\n' "${EPOCHREALTIME/[.,]/}"; }

# bench_begin NAME: build if need be, and see to the clean-up
#
# $BENCH_BEFORE_BUILD is called before, with $HOST_TMP there.
bench_begin()
{
	host_need_root
	[ -e /dev/fuse ] || host_die 77 "this host has no FUSE"
	# shellcheck disable=SC2034 # host_end calls it
	HOST_EXIT_HOOK=bench_end
	host_begin "dbs-bench-$1" "${BENCH_DIR:-/var/tmp}"
	"${BENCH_BEFORE_BUILD:-:}"
	if [ -z "${BENCH_BUILD:-}" ]; then
		BENCH_BUILD=$HOST_TMP/build
		host_say "building ..."
		host_build "$SOURCE" "$BENCH_BUILD" -Dtests=false \
			-Dbuildtype=release >"$HOST_TMP/build.log" 2>&1 || {
			tail -n 30 "$HOST_TMP/build.log" >&2
			host_die 2 "does not build"
		}
	fi
	DBS=$BENCH_BUILD/tools/dbs
	[ -x "$DBS" ] || host_die 2 "no '$DBS'"
	unset DBS_SOCKET
	export DBS_POOL=$HOST_TMP/pool.dbs
	MNT=$HOST_TMP/mnt
	mkdir "$MNT"
}

# before host_end: what it does not know of
bench_end()
{
	local dir loop

	bench_writer_stop
	for dir in "${BENCH_FS[@]}"; do
		umount "$dir" 2>/dev/null
	done
	for loop in "${BENCH_LOOPS[@]}"; do
		losetup -d "$loop" 2>/dev/null
	done
	return 0
}

# bench_pool SIZE [CREATE-OPTION...]: a pool, mounted on $MNT with the options
# in $BENCH_MOUNT
bench_pool()
{
	local size=$1

	shift
	"$DBS" pool create "$DBS_POOL" --size "$size" "$@" >/dev/null
	# shellcheck disable=SC2086 # options
	host_mount "$DBS_POOL" "$MNT" ${BENCH_MOUNT:-}
}

bench_pool_remove()
{
	"$DBS" umount "$MNT"
	rm -f "$DBS_POOL"
}

# bench_info FIELD: what 'dbs pool info' says of it
bench_info() { "$DBS" pool info --json | jq -r ".$1"; }

# What is in use once the reaper has nothing left to do, in bytes.
bench_settled()
{
	local i

	for ((i = 0; i < 2400; i++)); do
		"$DBS" sync >/dev/null
		[ "$(bench_info dead)" != 0 ] || break
		sleep 0.05
	done
	[ "$(bench_info dead)" = 0 ] ||
		host_die 1 "the reaper does not finish"
	# the commits that let go of what these replaced
	"$DBS" sync >/dev/null
	"$DBS" sync >/dev/null
	echo $(($(bench_info allocated) - $(bench_info deferred)))
}

# The daemon's process, its CPU time so far (us), its memory (VmRSS, VmHWM; KiB).
bench_daemon() { pgrep -f "^[^ ]*dbsfs .*$DBS_POOL "; }
bench_cpu() # PID
{
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, "")
		printf "%d\n", ($12 + $13) * 1000000 / hz }' "/proc/$1/stat"
}
bench_memory() { sed -n "s/^$2:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$1/status"; }

# bench_loop_fs TYPE SIZE DIR MKFS-OPTION...: a file system in a file
# Returns 1 and says why where this host can't.
bench_loop_fs()
{
	local type=$1 size=$2 dir=$3 loop

	shift 3
	if ! command -v "mkfs.$type" >/dev/null; then
		host_say "no $type: 'mkfs.$type' is not installed"
		return 1
	fi
	truncate -s "$size" "$HOST_TMP/$type.img"
	if ! loop=$(losetup -f --show "$HOST_TMP/$type.img" 2>&1); then
		host_say "no $type: no loop device: $loop"
		return 1
	fi
	BENCH_LOOPS+=("$loop")
	mkdir -p "$dir"
	# not the host's cache below the file system's own
	losetup --direct-io=on "$loop" 2>/dev/null || true
	if ! mkfs."$type" -q "$@" "$loop" >/dev/null 2>"$HOST_TMP/mkfs.log" ||
		! mount "$loop" "$dir" 2>>"$HOST_TMP/mkfs.log"; then
		host_say "no $type: $(tail -n 1 "$HOST_TMP/mkfs.log")"
		return 1
	fi
	BENCH_FS+=("$dir")
}

bench_loop_fs_remove() # TYPE DIR
{
	umount "$2"
	losetup -d "${BENCH_LOOPS[-1]}"
	unset 'BENCH_LOOPS[-1]' 'BENCH_FS[-1]'
	rm -f "$HOST_TMP/$1.img"
}

# ---- numbers -------------------------------------------------------------------

# bench_time_to FILE VARIABLE COMMAND...: append its microseconds to the array
bench_time_to()
{
	local file=$1 start end
	local -n _times=$2

	shift 2
	start=$(bench_now_us)
	"$@" >"$file"
	end=$(bench_now_us)
	_times+=("$((end - start))")
}

bench_time() { bench_time_to /dev/null "$@"; } # VARIABLE COMMAND...

# bench_median NUMBER...
bench_median()
{
	printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 }
		END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

bench_ms() { awk -v us="$1" 'BEGIN { printf "%.1f\n", us / 1000 }'; }
bench_seconds() { awk -v us="$1" 'BEGIN { printf "%.3f\n", us / 1000000 }'; }
bench_ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", a / b }'; }

# bench_record GROUP WHAT SYSTEM UNIT VALUE
#
# One measurement for the tables of run.sh, which gives $BENCH_RECORDS; several
# of the same are rounds.
bench_record()
{
	[ -n "${BENCH_RECORDS:-}" ] || return 0
	(
		IFS=$'\t'
		printf '%s\n' "value	$*" >>"$BENCH_RECORDS"
	)
}

# bench_goal GROUP WHAT VALUE '>='|'<=' GOAL: say and record whether it is reached
bench_goal()
{
	local reached=reached

	awk -v v="$3" -v g="$5" -v op="$4" 'BEGIN {
		exit !(op == ">=" ? v >= g : v <= g) }' || {
		reached=MISSED
		BENCH_MISSED=$((BENCH_MISSED + 1))
	}
	printf '%s: %s (goal %s %s: %s)\n' "$2" "$3" "$4" "$5" "$reached"
	[ -z "${BENCH_RECORDS:-}" ] || printf 'goal\t%s\t%s\t%s\t%s\t%s\n' "$@" \
		>>"$BENCH_RECORDS"
}

bench_machine()
{
	printf '%s, %s cores, %s GB, kernel %s, %s on %s\n' \
		"$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
		"$(nproc)" \
		"$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)" \
		"$(uname -r)" "$(findmnt -n -o FSTYPE -T "$HOST_TMP")" \
		"$(findmnt -n -o SOURCE -T "$HOST_TMP")"
}

# ---- a writer ------------------------------------------------------------------

# bench_writer_start FILE: 16 KiB writes at random, with fdatasync now and then
bench_writer_start()
{
	python3 "$SOURCE/tests/bench/writer.py" "$1" "$HOST_TMP/writes" &
	WRITER_PID=$!
	bench_writer_wrote
}

bench_writer_stop()
{
	[ -n "$WRITER_PID" ] || return 0
	kill -TERM "$WRITER_PID" 2>/dev/null
	wait "$WRITER_PID" 2>/dev/null
	WRITER_PID=""
	return 0
}

# bench_writes VARIABLE: how many it has written; no process is started for it
bench_writes()
{
	local -n _writes=$1

	_writes=0
	[ ! -e "$HOST_TMP/writes" ] || read -r _writes <"$HOST_TMP/writes" || true
}

# Wait until the writer has written ten times more.
bench_writer_wrote()
{
	local before now i

	bench_writes before
	# an fsync may write gigabytes back first
	for ((i = 0; i < 60000; i++)); do
		bench_writes now
		[ "${now:-0}" -lt $((${before:-0} + 10)) ] || return 0
		kill -0 "$WRITER_PID" 2>/dev/null ||
			host_die 1 "the writer has ended"
		sleep 0.01
	done
	host_die 1 "the writer does not get on"
}

# ---- fio -----------------------------------------------------------------------

# bench_fio FILE FIELD OPTION...: of fio's first job, as jq sees it
bench_fio()
{
	local file=$1 field=$2

	shift 2
	fio --name=bench --filename="$file" --group_reporting --thread \
		--output-format=json "$@" | jq -r ".jobs[0].$field"
}

# bench_fio_fsync DIR over|append|random SECONDS: 4 KiB + fdatasync, a second
#
# $DIR/over is there for the first and the last.
bench_fio_fsync()
{
	local dir=$1 rw="write"

	if [ "$2" = append ]; then
		rm -f "$dir/append"
		bench_fio "$dir/append" write.iops --rw=write --bs=4k \
			--size=8g --fdatasync=1 --ioengine=psync \
			--file_append=1 --overwrite=0 --fallocate=none \
			--create_on_open=1 --runtime="$3" --time_based
		return
	fi
	[ "$2" = over ] || rw="randwrite"
	bench_fio "$dir/over" write.iops --rw="$rw" --bs=4k \
		--size="$(stat -c %s "$dir/over")" --fdatasync=1 \
		--ioengine=psync --runtime="$3" --time_based
}

# ---- MariaDB and sysbench ----------------------------------------------------------

# Set before they are used: $THREADS, $TABLES, $NR_ROWS.

# bench_need COMMAND...
bench_need()
{
	local i

	for i; do
		command -v "$i" >/dev/null ||
			host_die 77 "'$i' is not installed"
	done
}

# bench_sysbench INSTANCE TEST COMMAND [OPTION...]: sysbench's output
bench_sysbench()
{
	local instance=$1 test=$2 command=$3

	shift 3
	sysbench "$test" --db-driver=mysql --mysql-user=root \
		--mysql-socket="$HOST_TMP/run/$instance.sock" \
		--mysql-db=sbtest --tables="$TABLES" \
		--table-size="$NR_ROWS" --threads="$THREADS" \
		--rand-type=uniform "$@" "$command"
}

# bench_rate INSTANCE TEST SECONDS [OPTION...]: transactions a second
bench_rate()
{
	local out instance=$1 test=$2 seconds=$3

	shift 3
	out=$(bench_sysbench "$instance" "$test" run --time="$seconds" "$@") || {
		printf '%s\n' "$out" >&2
		return 1
	}
	sed -n 's/.*transactions:.*(\([0-9.]*\) per sec.*/\1/p' <<<"$out"
}

# bench_mariadb INSTANCE DATADIR [OPTION...]: a new one, with sysbench's tables
bench_mariadb()
{
	mariadb_init "$2" >"$HOST_TMP/init.log" 2>&1 || {
		cat "$HOST_TMP/init.log" >&2
		return 1
	}
	mariadb_start "$@"
	mariadb_sql "$1" 'CREATE DATABASE sbtest'
	bench_sysbench "$1" oltp_read_write prepare >/dev/null
}

# bench_loaded INSTANCE: wait until all threads of sysbench are there
bench_loaded()
{
	local i

	for ((i = 0; i < 1000; i++)); do
		[ "$(mariadb_sql "$1" "SELECT COUNT(*) FROM
			information_schema.PROCESSLIST WHERE DB = 'sbtest'" \
			)" -lt "$THREADS" ] || return 0
		sleep 0.01
	done
	host_die 1 "sysbench does not begin"
}
