# SPDX-License-Identifier: Apache-2.0
#
# lib.sh - a pool in a file, mounted, for tests; sourced by the others
#
# DBSFS and FSCTL are the programs; FS_OPTIONS go to each start of the daemon
# (--io-uring=0, to have requests by read() where the kernel can do both).
# fs_begin makes $WORK with an empty $MOUNT
# in it; whatever happens, the trap unmounts, ends what we started, and
# removes $WORK.

set -u

[ "$(id -u)" = 0 ] || { echo "skipped: needs root"; exit 77; }
[ -c /dev/fuse ] || { echo "skipped: there is no /dev/fuse"; exit 77; }

WORK= MOUNT= POOL= SOCKET= PIDFILE= FAILED=0

fs_cleanup()
{
	[ -n "$WORK" ] || return 0
	fs_unmount_all
	rm -rf --one-file-system "$WORK"
	WORK=
}

# Everything that is mounted below $WORK, and the daemon.
fs_unmount_all()
{
	local pid

	while grep -q " $MOUNT fuse" /proc/self/mounts; do
		umount -l "$MOUNT" || break
	done
	for pid in $(cat "$WORK"/*.pid 2>/dev/null); do
		if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dbsfs ]; then
			kill -9 "$pid" 2>/dev/null
		fi
	done
	return 0
}

# fs_begin [SIZE_MIB [DATASET...]]
fs_begin()
{
	local size=${1:-1024}

	shift || true
	[ $# -gt 0 ] || set -- ds
	WORK=$(mktemp -d "${TMPDIR:-/tmp}/dbsfs-test.XXXXXX") || exit 2
	MOUNT=$WORK/mount POOL=$WORK/pool SOCKET=$WORK/socket
	PIDFILE=$WORK/dbsfs.pid
	trap fs_cleanup EXIT
	trap 'exit 130' INT TERM HUP
	chmod 755 "$WORK"
	mkdir "$MOUNT" || exit 2
	# a sanitizer's findings in the daemon would go to /dev/null
	export ASAN_OPTIONS="log_path=$WORK/found:${ASAN_OPTIONS:-}"
	export UBSAN_OPTIONS="log_path=$WORK/found:print_stacktrace=1:${UBSAN_OPTIONS:-}"
	export TSAN_OPTIONS="log_path=$WORK/found:${TSAN_OPTIONS:-}"
	[ -z "${FS_OPTIONS:-}" ] || fs_wrap
	"$FSCTL" make "$POOL" "$size" "$@" || exit 2
}

# Whoever starts the daemon, also a program of the test: with $FS_OPTIONS.
fs_wrap()
{
	printf '#!/bin/sh\nexec "%s" %s "$@"\n' "$DBSFS" "$FS_OPTIONS" \
		>"$WORK/dbsfs"
	chmod 755 "$WORK/dbsfs"
	export DBSFS=$WORK/dbsfs
}

# fs_found_nothing: no sanitizer wrote a report
fs_found_nothing()
{
	local file

	for file in "$WORK"/found.*; do
		[ -e "$file" ] || continue
		head -n 60 "$file"
		return 1
	done
}

# fs_mount [OPTION...]
fs_mount()
{
	"$DBSFS" --socket="$SOCKET" --pid-file="$PIDFILE" "$@" "$POOL" "$MOUNT"
}

fs_pid()
{
	cat "$PIDFILE"
}

# fs_wait_gone PID: the daemon ends some time after umount returned; nobody may
# be there to bury it
fs_wait_gone()
{
	local i threads

	for ((i = 0; i < 600; i++)); do
		threads=("/proc/$1/task"/*)
		[ ${#threads[@]} -gt 1 ] ||
			grep -q '^State:.[^Z]' "/proc/$1/status" 2>/dev/null ||
			return 0
		sleep 0.05
	done
	echo "process $1 does not end"
	return 1
}

fs_unmount()
{
	local pid

	pid=$(fs_pid)
	umount "$MOUNT" && fs_wait_gone "$pid"
}

fs_check()
{
	"$FSCTL" check "$POOL"
}

# fs_ask JSON: one request to the daemon; prints the answer
fs_ask()
{
	python3 - "$SOCKET" "$1" <<'PYTHON'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(60)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n")
print(s.makefile().readline(), end="")
PYTHON
}

# -- claims -------------------------------------------------------------------

# claim NAME COMMAND...: run it in this shell; it must succeed
claim()
{
	local name=$1

	shift
	if "$@"; then
		echo "ok $name"
	else
		echo "FAILED $name: $*"
		FAILED=1
	fi
}

# exits CODE PATTERN COMMAND...: its exit code, and what it says
exits()
{
	local want=$1 pattern=$2 out code=0

	shift 2
	out=$("$@" 2>&1) || code=$?
	[ "$code" = "$want" ] || { echo "exit code $code, not $want: $out"; return 1; }
	# shellcheck disable=SC2254
	case $out in
	$pattern) ;;
	*) echo "said '$out', not '$pattern'"; return 1 ;;
	esac
}

fs_end()
{
	claim sanitizers__found_nothing fs_found_nothing
	fs_cleanup
	exit $FAILED
}
