#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_host.sh - what the daemon lets others do to the host: images from
# elsewhere, paths that others can swap, its socket, its binary

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/../fs/lib.sh"

USER_ID=1002

# as_user COMMAND...
as_user()
{
	setpriv --reuid=$USER_ID --regid=$USER_ID --clear-groups \
		--inh-caps=-all "$@"
}

not()
{
	! "$@"
}

# -- a pool image from elsewhere ----------------------------------------------

make_image()
{
	fs_mount -o suid,dev || return 1
	cp "$(command -v id)" "$MOUNT/ds/id" && chmod 4755 "$MOUNT/ds/id" &&
		cp "$(command -v id)" "$MOUNT/ds/gid" &&
		chown 0:0 "$MOUNT/ds/gid" && chmod 2755 "$MOUNT/ds/gid" &&
		cp "$(command -v cat)" "$MOUNT/ds/cat" &&
		setfattr -n security.capability -v \
			0x0100000202000000000000000000000000000000 \
			"$MOUNT/ds/cat" &&
		mknod -m 666 "$MOUNT/ds/zero" c 1 5 &&
		echo secret >"$WORK/secret" && chmod 600 "$WORK/secret"
}

is_honoured()
{
	[ "$(as_user "$MOUNT/ds/id" -u)" = 0 ] &&
		[ "$(as_user "$MOUNT/ds/gid" -g)" = 0 ] &&
		as_user "$MOUNT/ds/cat" "$WORK/secret" >/dev/null &&
		[ "$(as_user head -c 4 "$MOUNT/ds/zero" | wc -c)" = 4 ]
}

is_not_honoured()
{
	[ "$(as_user "$MOUNT/ds/id" -u)" = $USER_ID ] &&
		[ "$(as_user "$MOUNT/ds/gid" -g)" = $USER_ID ] &&
		! as_user "$MOUNT/ds/cat" "$WORK/secret" 2>/dev/null &&
		! as_user head -c 4 "$MOUNT/ds/zero" 2>/dev/null &&
		! head -c 4 "$MOUNT/ds/zero" 2>/dev/null
}

# -- paths that others can swap -----------------------------------------------

# A directory of another user, a victim of root's, and the links between them
make_traps()
{
	install -d -o $USER_ID -g $USER_ID "$WORK/theirs" &&
		mkdir "$WORK/victim" "$WORK/roots" &&
		ln -s "$WORK/victim" "$WORK/theirs/mnt" &&
		ln -s "$WORK/victim" "$WORK/roots/mnt" &&
		ln -s "$POOL" "$WORK/theirs/pool" &&
		ln -s "$WORK/victim" "$WORK/theirs/run"
}

# Mount while the owner of the parent swaps the directory for a link and back:
# it is mounted on their directory or not at all.
swapped_mountpoint()
{
	local i nr=0 pid swapper dir=$WORK/theirs/swap

	as_user mkdir "$dir" || return 1
	as_user ln -s "$WORK/victim" "$WORK/theirs/link" || return 1
	python3 - "$dir" "$WORK/theirs/link" <<'PYTHON' &
import ctypes, os, sys, time
os.setgroups([])
os.setgid(1002)
os.setuid(1002)
libc = ctypes.CDLL(None)
dir, link = (a.encode() for a in sys.argv[1:])
end = time.monotonic() + 60
while time.monotonic() < end:
    # RENAME_EXCHANGE
    libc.renameat2(-100, dir, -100, link, 2)
    time.sleep(0.0003)
PYTHON
	swapper=$!
	for ((i = 0; i < 15; i++)); do
		if "$DBSFS" --socket="$SOCKET" --pid-file="$PIDFILE" "$POOL" \
			"$dir" 2>"$WORK/said"; then
			nr=$((nr + 1))
			if grep -q " $WORK/victim fuse" /proc/self/mounts; then
				echo "mounted on the victim"
				kill $swapper
				return 1
			fi
			pid=$(fs_pid)
			kill -TERM "$pid"
			fs_wait_gone "$pid" || return 1
		else
			grep -Eq 'others than root can swap|not a directory|cannot' \
				"$WORK/said" || { cat "$WORK/said"; return 1; }
		fi
	done
	echo "$nr of $i mounts were on the directory itself"
	kill $swapper || return 1
	wait $swapper 2>/dev/null
	! grep -q "$WORK.* fuse" /proc/self/mounts
}

# A parent of the mountpoint is moved away and a link to the victim, on which
# something is mounted, put there: the daemon's end unmounts its own.
swapped_parent()
{
	local pid

	as_user mkdir -p "$WORK/theirs/a/mnt" || return 1
	mkdir -p "$WORK/other/mnt"
	mount -t tmpfs none "$WORK/other/mnt" || return 1
	"$DBSFS" --socket="$SOCKET" --pid-file="$PIDFILE" "$POOL" \
		"$WORK/theirs/a/mnt" || return 1
	as_user mv "$WORK/theirs/a" "$WORK/theirs/b" &&
		as_user ln -s "$WORK/other" "$WORK/theirs/a" || return 1
	pid=$(fs_pid)
	kill -TERM "$pid"
	fs_wait_gone "$pid" || return 1
	grep -q " $WORK/other/mnt tmpfs" /proc/self/mounts ||
		{ echo "the victim was unmounted"; return 1; }
	umount "$WORK/other/mnt"
	! grep -q "$WORK.* fuse" /proc/self/mounts
}

# A pid file and a socket in a folder of others: no link there is written to.
traps_in_run_folder()
{
	local dir=$WORK/theirs/d

	echo precious >"$WORK/precious"
	as_user mkdir "$dir"
	as_user ln -s "$WORK/precious" "$dir/pid"
	as_user ln -s "$WORK/precious" "$dir/sock"
	exits 4 '*is no socket*' "$DBSFS" --socket="$dir/sock" "$POOL" "$MOUNT" ||
		return 1
	"$DBSFS" --socket="$SOCKET" --pid-file="$dir/pid" "$POOL" "$MOUNT" ||
		return 1
	cp "$dir/pid" "$PIDFILE"
	fs_unmount
	[ "$(cat "$WORK/precious")" = precious ]
}

# -- the socket ---------------------------------------------------------------

# flood HOW: somebody who may use the socket does his worst; root is served
flood()
{
	python3 - "$SOCKET" "$1" "$(fs_pid)" <<'PYTHON'
import grp, os, socket, sys, threading, time
path, how, pid = sys.argv[1:]
PING = b'{"v":1,"command":"ping"}\n'
def conn():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)  # waits for its turn, as dbs does
    s.settimeout(60)
    return s
def ping():
    s = conn()
    s.sendall(PING)
    line = s.makefile("rb").readline()
    assert b'"ok":true' in line, line
def memory():
    with open(f"/proc/{pid}/status") as f:
        return [int(l.split()[1]) for l in f if l.startswith("VmRSS")][0]
ping()
before = memory()
r, w = os.pipe()
child = os.fork()
if child == 0:
    os.setgroups([grp.getgrnam("games").gr_gid])
    os.setgid(1002)
    os.setuid(1002)
    held = []
    for i in range(200):
        try:
            s = conn()
            s.settimeout(1)
            if how == "idle":
                pass
            elif how == "slow":
                s.sendall(b'{"v":1,')
            elif how == "endless":
                for _ in range(16):
                    s.sendall(b"x" * 65536)
            elif how == "deaf":  # asks and never reads
                s.sendall(b'{"v":1,"command":"pool.info"}\n' * 500)
        except OSError:
            pass
        held.append(s)
    os.write(w, b"x")
    os.read(r, 0)
    time.sleep(60)
    os._exit(0)
try:
    os.read(r, 1)
    start = time.monotonic()
    for _ in range(5):
        ping()
    took = time.monotonic() - start
    threads = len(os.listdir(f"/proc/{pid}/task"))
    grown = memory() - before
finally:
    os.kill(child, 9)
    os.waitpid(child, 0)
assert threads < 150, f"{threads} threads"
with open(f"/proc/{pid}/maps") as f:
    sanitized = "libasan" in (maps := f.read()) or "libtsan" in maps
assert grown < 65536 or sanitized, f"{grown} KiB more"
PYTHON
}

# The answer to a diff is bounded, however long the paths are.
long_answer()
{
	python3 - "$MOUNT/ds" <<'PYTHON' || return 1
import os, sys
os.chdir(sys.argv[1])
for i in range(15):
    os.mkdir("d" * 250)
    os.chdir("d" * 250)
for i in range(2600):
    os.mknod(f"f{i}")
PYTHON
	fs_ask '{"v":1,"command":"snapshot","arguments":{"name":"ds@long"}}' |
		grep -q '"ok":true' || return 1
	fs_ask '{"v":1,"command":"diff","arguments":{"a":"ds@before","b":"ds@long"}}' \
		>"$WORK/answer"
	rm -r "$MOUNT"/ds/ddd*
	grep -q '"truncated":true' "$WORK/answer" &&
		[ "$(grep -o '"nr_entries":[0-9]*' "$WORK/answer")" = '"nr_entries":2616' ] &&
		[ "$(stat -c %s "$WORK/answer")" -lt $((10 << 20)) ]
}

socket_is()
{
	[ "$(stat -c %a:%u:%g "$1")" = "$2" ]
}

run_dir_is_roots()
{
	[ "$(stat -c %u "$1")" = 0 ] && [ -z "$(find "$1" -maxdepth 0 -perm /022)" ]
}

stranger_is_refused()
{
	as_user "$DBS" list --socket "$SOCKET" >"$WORK/said" 2>&1
	[ $? = 5 ] && grep -q ermi "$WORK/said"
}

# -- the binary ---------------------------------------------------------------

# hardened PROGRAM: as it is built for the release
hardened()
{
	local head dyn syms

	head=$(readelf -hlW "$1") dyn=$(readelf -dW "$1") syms=$(nm -D "$1")
	grep -q 'Type:.*DYN' <<<"$head" || { echo "not PIE"; return 1; }
	grep -q 'FLAGS_1.*PIE' <<<"$dyn" || { echo "not PIE"; return 1; }
	grep -q GNU_RELRO <<<"$head" || { echo "no RELRO"; return 1; }
	grep -q 'BIND_NOW\|FLAGS.*NOW' <<<"$dyn" || { echo "lazy"; return 1; }
	grep -q 'GNU_STACK.* RW ' <<<"$head" || { echo "executable stack"; return 1; }
	! grep -q 'RPATH\|RUNPATH' <<<"$dyn" || { echo "RPATH"; return 1; }
	! grep -q TEXTREL <<<"$dyn" || { echo "TEXTREL"; return 1; }
	grep -q '__stack_chk_fail' <<<"$syms" || { echo "no stack protector"; return 1; }
	grep -q '__[a-z]*printf_chk' <<<"$syms" || { echo "not fortified"; return 1; }
	! grep -qw 'gets\|strcat\|sprintf\|system\|popen' <<<"${syms//@/ }" ||
		{ echo "calls what it should not"; return 1; }
}

fs_begin 256 ds
if nm -D "$DBSFS" | grep -q '__asan_init\|__tsan_init'; then
	echo "skipped: not the binary of a release"
else
	claim binary__dbsfs_is_hardened hardened "$DBSFS"
	claim binary__dbs_is_hardened hardened "$DBS"
fi
claim image__is_made make_image
claim image__setuid_and_devices_when_asked_for is_honoured
fs_unmount
fs_mount
claim image__setuid_and_devices_are_not_honoured is_not_honoured
fs_unmount

claim path__traps_are_made make_traps
claim path__mountpoint_through_a_link_of_others exits 5 \
	'*others than root can swap*' "$DBSFS" "$POOL" "$WORK/theirs/mnt"
claim path__pool_through_a_link_of_others exits 5 \
	'*others than root can swap*' "$DBSFS" "$WORK/theirs/pool" "$MOUNT"
claim path__socket_through_a_link_of_others exits 5 \
	'*others than root can swap*' "$DBSFS" \
	--socket="$WORK/theirs/run/sock" "$POOL" "$MOUNT"
claim path__links_of_root_are_followed "$DBSFS" --socket="$SOCKET" \
	--pid-file="$PIDFILE" "$POOL" "$WORK/roots/mnt"
pid=$(fs_pid)
umount "$WORK/victim" && fs_wait_gone "$pid"
claim path__nothing_is_written_through_traps traps_in_run_folder
claim path__swapped_mountpoint_is_not_mounted_on swapped_mountpoint
claim path__swapped_parent_is_not_unmounted swapped_parent

fs_mount
claim socket__is_roots socket_is "$SOCKET" 600:0:0
claim socket__strangers_are_refused stranger_is_refused
fs_ask '{"v":1,"command":"snapshot","arguments":{"name":"ds@before"}}' >/dev/null
claim socket__answers_are_bounded long_answer
fs_unmount
"$DBSFS" "$POOL" "$MOUNT"
claim socket__default_folder_is_roots run_dir_is_roots /run/dbs
"$DBS" umount "$MOUNT"
fs_mount --socket-group=games
claim socket__group_may_use_it socket_is "$SOCKET" "660:0:$(getent group games | cut -d: -f3)"
for how in idle slow endless deaf; do
	claim "socket__root_is_served_beside_$how" flood $how
done
fs_unmount
chown $USER_ID:$USER_ID "$POOL"
fs_mount
claim socket__owner_of_the_pool_has_it socket_is "$SOCKET" 600:$USER_ID:0
claim socket__owner_of_the_pool_is_served as_user "$DBS" list --socket "$SOCKET"
fs_unmount
claim pool__is_clean fs_check
fs_end
