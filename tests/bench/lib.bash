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

bench_now_us() { printf '%s\n' "${EPOCHREALTIME/[.,]/}"; }

# bench_begin NAME: build if need be, and see to the clean-up
bench_begin()
{
	host_need_root
	[ -e /dev/fuse ] || host_die 77 "this host has no FUSE"
	# shellcheck disable=SC2034 # host_end calls it
	HOST_EXIT_HOOK=bench_end
	host_begin "dbs-bench-$1" "${BENCH_DIR:-/var/tmp}"
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

# bench_pool SIZE [CREATE-OPTION...]: a pool, mounted on $MNT
bench_pool()
{
	local size=$1

	shift
	"$DBS" pool create "$DBS_POOL" --size "$size" "$@" >/dev/null
	host_mount "$DBS_POOL" "$MNT"
}

bench_pool_remove()
{
	"$DBS" umount "$MNT"
	rm -f "$DBS_POOL"
}

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

# bench_time VARIABLE COMMAND...: append its microseconds to the array
bench_time()
{
	local -n _times=$1
	local start end

	shift
	start=$(bench_now_us)
	"$@" >/dev/null
	end=$(bench_now_us)
	_times+=("$((end - start))")
}

# bench_median NUMBER...
bench_median()
{
	printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 }
		END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

bench_ms() { awk -v us="$1" 'BEGIN { printf "%.1f\n", us / 1000 }'; }
bench_ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f\n", a / b }'; }

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

# Wait until the writer has written ten times more.
bench_writer_wrote()
{
	local before now i

	before=$(cat "$HOST_TMP/writes" 2>/dev/null || echo 0)
	# an fsync may write gigabytes back first
	for ((i = 0; i < 60000; i++)); do
		now=$(cat "$HOST_TMP/writes" 2>/dev/null || echo 0)
		[ "${now:-0}" -lt $((${before:-0} + 10)) ] || return 0
		kill -0 "$WRITER_PID" 2>/dev/null ||
			host_die 1 "the writer has ended"
		sleep 0.01
	done
	host_die 1 "the writer does not get on"
}
