#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_names.sh - 200 nasty names through every door; secrets stay where they
# were put

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/../fs/lib.sh"

CANARY="canary-$$-$RANDOM$RANDOM"

wait_mounted()
{
	local i

	for ((i = 0; i < 600; i++)); do
		! grep -q " $MOUNT fuse.dbs" /proc/self/mounts || return 0
		kill -0 "$1" || return 1
		sleep 0.05
	done
	return 1
}

# A secret in what the daemon was started with and in what it serves
plant_secrets()
{
	echo "$CANARY" >"$MOUNT/ds/secret" &&
		setfattr -n user.secret -v "$CANARY" "$MOUNT/ds/secret" &&
		fs_ask '{"v":1,"command":"set","arguments":{"name":"ds","key":"user:secret","value":"'"$CANARY"'"}}' |
		grep -q '"ok":true' &&
		cat "$MOUNT/ds/secret" >/dev/null &&
		fs_ask '{"v":1,"command":"get","arguments":{"name":"ds"}}' |
		grep -q "$CANARY"
}

# keeps_secrets PID: none of them in argv, environ or log
keeps_secrets()
{
	local file

	for file in "/proc/$1/cmdline" "/proc/$1/environ" "/proc/$1/comm" \
		"$WORK/log" "$PIDFILE"; do
		! grep -aq "$CANARY" "$file" || { echo "in $file"; return 1; }
	done
	# it is there to be found, if one looks where it may be
	grep -aq "$CANARY" "$WORK/starter"
}

# The daemon as a child of ours, so that we are told of a core dump.
dumps_no_core()
{
	( ulimit -c unlimited && exec python3 - "$WORK/core.d" "$DBSFS" -f \
		--socket="$SOCKET" "$POOL" "$MOUNT" ) <<'PYTHON'
import glob, os, resource, signal, socket, sys, time
os.mkdir(sys.argv[1])
pid = os.fork()
if pid == 0:
    os.chdir(sys.argv[1])
    os.execv(sys.argv[2], sys.argv[2:])
sock = [a[9:] for a in sys.argv if a.startswith("--socket=")][0]
for _ in range(600):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(sock)
        s.sendall(b'{"v":1,"command":"ping"}\n')
        if s.recv(100):
            break
    except OSError:
        time.sleep(0.05)
else:
    sys.exit("it does not start")
assert resource.getrlimit(resource.RLIMIT_CORE)[0] != 0
os.kill(pid, signal.SIGSEGV)
status = os.waitpid(pid, 0)[1]
assert os.WIFSIGNALED(status), status
assert not os.WCOREDUMP(status), "it dumped core"
assert not os.listdir(sys.argv[1]), os.listdir(sys.argv[1])
PYTHON
}

fs_begin 512 ds
# in the foreground, for its log
env MYSQL_PWD="$CANARY" "$DBSFS" -f --log-level=debug --socket="$SOCKET" \
	--pid-file="$PIDFILE" "$POOL" "$MOUNT" 2>"$WORK/log" &
daemon=$!
env MYSQL_PWD="$CANARY" cat /proc/self/environ >"$WORK/starter"
claim daemon__serves wait_mounted $daemon
mkdir "$WORK/scratch"
claim names__are_only_names python3 "$(dirname "$0")/nasty.py" "$DBS" \
	"$MOUNT" "$SOCKET" "$POOL" "$WORK/scratch"
claim secrets__are_planted plant_secrets
claim secrets__stay_where_they_were_put keeps_secrets $daemon
claim daemon__ends fs_unmount
wait $daemon
claim pool__is_clean fs_check
if grep -q 'libasan\|libtsan' /proc/self/maps || nm -D "$DBSFS" | grep -q __asan_init; then
	echo "skipped: a sanitizer handles SIGSEGV itself"
else
	claim core__none_is_dumped dumps_no_core
	umount -l "$MOUNT"
fi
fs_end
