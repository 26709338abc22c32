#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154,SC2030,SC2031,SC2217,SC2016

load lib

setup()
{
	setup_dir
	can_mount
	"$DBS" pool create "$POOL" --size 128M --sparse --name "t$$"
	export DBS_POOL=$POOL
}
teardown() { teardown_dir; }

# ended PID: gone, or a zombie that only its parent can take away
ended()
{
	[ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

daemon_pid() { json .pid "$DBS" mount "$POOL" "$MNT"; }

@test "mount returns when the mount works, umount when the pool is free" {
	"$DBS" create a
	pid=$(daemon_pid)
	[ -d "$MNT/a" ]
	echo hello >"$MNT/a/file"
	kill -0 "$pid"
	"$DBS" umount "$MNT"
	ended "$pid"
	[ -z "$(ls -A "$MNT")" ]
	"$DBS" pool check "$POOL"
	"$DBS" mount "$POOL" "$MNT"
	[ "$(cat "$MNT/a/file")" = hello ]
	"$DBS" umount "$MNT"
}

@test "pool list shows it" {
	"$DBS" mount "$POOL" "$MNT"
	[ "$(json ".items[] | select(.mountpoint == \"$MNT\") | .path" \
		"$DBS" pool list)" = "$POOL" ]
	run "$DBS" pool list
	[[ $output == *"$MNT"* ]]
	[ "$(json .path "$DBS" pool info --pool "t$$")" = "$POOL" ]
	"$DBS" umount "$MNT"
}

@test "bad mountpoints" {
	fails 3 "does not exist" "$DBS" mount "$POOL" "$T/none"
	: >"$T/file"
	fails 2 "not a directory" "$DBS" mount "$POOL" "$T/file"
	mkdir "$T/full"
	: >"$T/full/x"
	fails 4 "not empty" "$DBS" mount "$POOL" "$T/full"
	"$DBS" mount "$POOL" "$MNT"
	"$DBS" pool create "$T/two" --size 64M --sparse
	fails 4 "already mounted on '$MNT'" "$DBS" mount "$T/two" "$MNT"
	mkdir "$T/other"
	fails 4 "already mounted on '$MNT'" "$DBS" mount "$POOL" "$T/other"
	"$DBS" umount "$MNT"
	fails 3 "no pool is mounted" "$DBS" umount "$MNT"
	fails 3 "" "$DBS" umount "$T/none"
	fails 3 "no pool is mounted" "$DBS" umount /proc
}

@test "bad pools" {
	echo text >"$T/text"
	fails 2 "no pool on it" "$DBS" mount "$T/text" "$MNT"
	fails 3 "No such file" "$DBS" mount "$T/none" "$MNT"
	truncate -s 30M "$POOL"
	fails 2 "truncated" "$DBS" mount "$POOL" "$MNT"
	[ -z "$(ls -A "$MNT")" ]
	run grep -F "$MNT" /proc/self/mountinfo
	[ "$status" -ne 0 ]
}

@test "umount of a busy mount names who holds it" {
	"$DBS" create a
	pid=$(daemon_pid)
	echo x >"$MNT/a/file"
	sleep 300 <"$MNT/a/file" &
	local holder=$!
	fails 4 "busy: used by .*sleep \(pid $holder\)" "$DBS" umount "$MNT"
	(cd "$MNT/a" && fails 4 "busy" "$DBS" umount "$MNT" &&
		[[ $stderr != *"dbs (pid"* ]])
	[ -e "$MNT/a/file" ]
	"$DBS" umount --lazy "$MNT"
	run grep -F "$MNT" /proc/self/mountinfo
	[ "$status" -ne 0 ]
	kill "$holder"
	wait "$holder" || true
	for _ in {1..100}; do
		! ended "$pid" || break
		sleep 0.1
	done
	ended "$pid"
	"$DBS" pool check "$POOL"
}

@test "a killed daemon: mount replaces its dead mount" {
	"$DBS" create a
	pid=$(daemon_pid)
	echo kept >"$MNT/a/file"
	"$DBS" sync
	kill -KILL "$pid"
	until ended "$pid"; do sleep 0.02; done
	# the pool's file can be opened; what names the mount cannot be used
	"$DBS" list
	fails 69 "no daemon answers for the mount on '$MNT'" \
		"$DBS" list --pool "$MNT"
	run --separate-stderr "$DBS" mount "$POOL" "$MNT"
	[ "$status" -eq 0 ]
	[ "$(cat "$MNT/a/file")" = kept ]
	[ "$(grep -cF " $MNT " /proc/self/mountinfo)" = 1 ]
	check_unmount_after_kill
}

# A mounted pool with a file and a snapshot that only its log has, killed.
killed_pool()
{
	"$DBS" create a
	pid=$(daemon_pid)
	"$DBS" sync
	for i in 1 2 3 4 5; do
		echo "kept $i" >"$MNT/a/file$i"
		sync "$MNT/a/file$i"
	done
	"$DBS" snapshot a@one
	kill -KILL "$pid"
	until ended "$pid"; do sleep 0.02; done
}

@test "a killed daemon: who only reads sees what was acknowledged" {
	killed_pool
	[ "$("$DBS" list -t snapshot --json | jq -r '.items[].name')" = a@one ]
	"$DBS" mount "$POOL" "$MNT"
	"$DBS" umount "$MNT"
	"$DBS" rm -y a@one
	"$DBS" mount "$POOL" "$MNT"
	"$DBS" snapshot a@two
	pid=$("$DBS" pool list --json |
		jq -r ".items[] | select(.mountpoint == \"$MNT\") | .pid")
	kill -KILL "$pid"
	until ended "$pid"; do sleep 0.02; done
	run --separate-stderr "$DBS" mount -o ro "$POOL" "$MNT"
	[ "$status" -eq 0 ]
	[[ $stderr != *"can only be read"* ]]
	[ "$(cat "$MNT/a/.dbs/snapshot/two/file5")" = "kept 5" ]
	fails 4 "read-only" "$DBS" snapshot a@three
	"$DBS" umount "$MNT"
}

@test "O_SYNC: what was copied or allocated is there after a kill, too" {
	"$DBS" create a
	pid=$(daemon_pid)
	head -c 65536 /dev/urandom >"$MNT/a/source"
	: >"$MNT/a/copied"
	: >"$MNT/a/allocated"
	"$DBS" sync
	python3 - "$MNT/a" <<'PYTHON'
import os, sys
os.chdir(sys.argv[1])
source = os.open("source", os.O_RDONLY)
for flags in os.O_SYNC, os.O_DSYNC:
    copied = os.open("copied", os.O_WRONLY | flags)
    assert os.copy_file_range(source, copied, 32768, 0, 0) == 32768
    os.posix_fallocate(os.open("allocated", os.O_WRONLY | flags), 0, 12345)
PYTHON
	kill -KILL "$pid"
	until ended "$pid"; do sleep 0.02; done
	"$DBS" mount "$POOL" "$MNT"
	cmp -n 32768 "$MNT/a/source" "$MNT/a/copied"
	[ "$(stat -c %s "$MNT/a/allocated")" = 12345 ]
	"$DBS" umount "$MNT"
}

# A byte of the third batch in the ring is flipped.
damage_log()
{
	python3 - "$POOL" <<'PYTHON'
import sys
with open(sys.argv[1], "r+b") as pool:
    found = 0
    for i in range(100):
        pool.seek(((2 * 4032 + 2) + i) * 4096)
        block = pool.read(4096)
        found += block[8:12] == b"ILOG"
        if found == 3:
            pool.seek(-3000, 1)
            pool.write(bytes([block[1096] ^ 1]))
            sys.exit(0)
sys.exit(1)
PYTHON
}

@test "a damaged log: the pool can be read, and all say so" {
	killed_pool
	damage_log
	run --separate-stderr "$DBS" mount "$POOL" "$MNT"
	[ "$status" -eq 0 ]
	[[ $stderr == *"warning: pool '$POOL' can only be read: the intent log is damaged"* ]]
	ls "$MNT/a"
	fails 4 "read-only" "$DBS" snapshot a@three
	[[ $(json .read_only_why "$DBS" pool info) == "the intent log is damaged"* ]]
	"$DBS" pool info | grep -q "^why  *the intent log is damaged"
	"$DBS" umount "$MNT"
	run --separate-stderr "$DBS" list
	[ "$status" -eq 0 ]
	[[ $stderr == *"can only be read: the intent log is damaged"* ]]
	run "$DBS" pool check "$POOL"
	[ "$status" -eq 1 ]
	[[ $output == *"the intent log is damaged"* ]]
	[[ $output != *"wait for replay"* ]]
}

check_unmount_after_kill()
{
	local pid

	pid=$("$DBS" pool list --json |
		jq -r ".items[] | select(.mountpoint == \"$MNT\") | .pid")
	kill -KILL "$pid"
	until ended "$pid"; do sleep 0.02; done
	"$DBS" umount "$MNT"
	run grep -F "$MNT" /proc/self/mountinfo
	[ "$status" -ne 0 ]
	"$DBS" pool check "$POOL"
	[ ! -e "/run/dbs/$(json .uuid "$DBS" pool info).sock" ]
}

@test "a stale socket is told, and mount replaces it" {
	"$DBS" mount --socket "$T/s.sock" -o "pid-file=$T/pid" "$POOL" "$MNT"
	[ -S "$T/s.sock" ]
	"$DBS" list --socket "$T/s.sock"
	pid=$(cat "$T/pid")
	kill -KILL "$pid"
	until ended "$pid"; do sleep 0.02; done
	fails 69 "stale" "$DBS" list --socket "$T/s.sock"
	"$DBS" mount --socket "$T/s.sock" "$POOL" "$MNT"
	"$DBS" list --socket "$T/s.sock"
	"$DBS" umount "$MNT"
}

@test "pool list removes the sockets that killed daemons left" {
	pid=$(daemon_pid)
	socket=$(json '.items[] | select(.pid == '"$pid"') | .socket' \
		"$DBS" pool list)
	[ -S "$socket" ]
	kill -KILL "$pid"
	until ended "$pid"; do sleep 0.02; done
	[ -S "$socket" ]
	"$DBS" pool list
	[ ! -e "$socket" ]
	"$DBS" umount "$MNT"
}

@test "a socket that is not answered by root is not believed" {
	chmod 755 "$T"
	mkdir -m 777 "$T/others"
	python3 - "$T/others/s" <<'PYTHON' &
import os, socket, sys
os.setgroups([])
os.setgid(1002)
os.setuid(1002)
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen()
s.settimeout(60)
c = s.accept()[0]
c.recv(1000)
c.send(b'{"v":1,"ok":true,"result":{"items":[]}}\n')
PYTHON
	until [ -S "$T/others/s" ]; do
		kill -0 $!
		sleep 0.02
	done
	fails 5 "not one that a daemon of root" \
		"$DBS" list --socket "$T/others/s"
	wait
}

@test "a daemon that hangs is told, and not waited for" {
	"$DBS" mount --socket "$T/s.sock" -o "pid-file=$T/pid" "$POOL" "$MNT"
	local pid

	pid=$(cat "$T/pid")
	kill -STOP "$pid"
	run --separate-stderr timeout 30 "$DBS" list --socket "$T/s.sock"
	kill -CONT "$pid"
	[ "$status" -eq 7 ]
	[[ $stderr == *"does not answer"* ]]
	"$DBS" list --socket "$T/s.sock"
	"$DBS" umount "$MNT"
	ended "$pid"
}

@test "a pool in use is refused with the pid that has it" {
	pid=$(daemon_pid)
	cp --sparse=always "$POOL" "$T/copy"
	# a copy has the same UUID, but is not what is mounted
	"$DBS" create in-copy --pool "$T/copy"
	fails 3 "'in-copy'" "$DBS" get in-copy
	fails 4 "in use.*$pid" "$DBS" pool check "$POOL"
	fails 4 "$pid" "$DBS" pool create "$POOL" --size 64M --force --yes
	"$DBS" umount "$MNT"
}

@test "a block device: a pool on it, and one that is in use" {
	command -v losetup >/dev/null || skip "no losetup"
	truncate -s 128M "$T/disk"
	dev=$(losetup --find --show "$T/disk") || skip "no loop devices"
	"$DBS" pool create "$dev"
	fails 4 "" "$DBS" pool create "$dev"
	"$DBS" mount "$dev" "$MNT"
	"$DBS" create a --pool "$dev"
	[ -d "$MNT/a" ]
	fails 4 "" "$DBS" pool create "$dev" --force --yes
	"$DBS" umount "$MNT"
	"$DBS" pool check "$dev"
	if mkfs.ext4 -qF "$dev" 2>/dev/null; then
		mkdir "$T/ext4"
		mount "$dev" "$T/ext4"
		fails 4 "" "$DBS" pool create "$dev" --force --yes
		fails 2 "no pool on it" "$DBS" list --pool "$dev" ||
			fails 4 "" "$DBS" list --pool "$dev"
		umount "$T/ext4"
	fi
	losetup -d "$dev"
}

@test "a host without FUSE is told so" {
	unshare --mount true 2>/dev/null || skip "no mount namespaces"
	run --separate-stderr unshare --mount sh -c '
		mount -t tmpfs tmpfs /dev && exec "$0" mount "$1" "$2"' \
		"$DBS" "$POOL" "$MNT"
	[ "$status" -eq 2 ]
	[[ $stderr == *"no FUSE: /dev/fuse is missing"* ]]
}

@test "a full disk under a sparse pool harms nothing that was acknowledged" {
	mkdir "$T/small"
	mount -t tmpfs -o size=100M tmpfs "$T/small"
	"$DBS" pool create "$T/small/pool" --size 300M --sparse
	export DBS_POOL=$T/small/pool
	"$DBS" create a
	"$DBS" mount "$T/small/pool" "$MNT"
	head -c 5M /dev/urandom >"$MNT/a/kept"
	sum=$(md5sum <"$MNT/a/kept")
	"$DBS" sync
	run dd if=/dev/urandom of="$MNT/a/big" bs=1M count=200 conv=fsync
	[ "$status" -ne 0 ]
	[ "$(md5sum <"$MNT/a/kept")" = "$sum" ]
	# the pool has room left: it says what has none
	fails 6 "the disk under the pool is full" "$DBS" sync
	fails 4 "read-only since a write to its disk failed" "$DBS" create b
	fails 6 "is unmounted, but its last commit failed" "$DBS" umount "$MNT"
	"$DBS" mount "$T/small/pool" "$MNT" || true
	[ "$(md5sum <"$MNT/a/kept")" = "$sum" ]
	"$DBS" umount "$MNT"
	"$DBS" pool check "$T/small/pool"
	umount "$T/small"
}

@test "foreground, and SIGTERM" {
	"$DBS" mount --foreground "$POOL" "$MNT" 2>"$T/log" &
	local pid=$!
	for _ in {1..100}; do
		! grep -qF " $MNT " /proc/self/mountinfo || break
		sleep 0.05
	done
	"$DBS" create a
	[ -d "$MNT/a" ]
	kill -TERM "$pid"
	wait "$pid"
	run grep -F " $MNT " /proc/self/mountinfo
	[ "$status" -ne 0 ]
	"$DBS" pool check "$POOL"
}
