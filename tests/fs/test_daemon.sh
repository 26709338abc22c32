#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_daemon.sh - how dbsfs starts, ends and dies, and what it says when it
# cannot

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/lib.sh"

is_mounted()
{
	grep -q " $MOUNT fuse.dbs" /proc/self/mounts
}

# not COMMAND...
not()
{
	! "$@"
}

# No thread may become more than unmounting needs, and none is it now.
has_few_privileges()
{
	local dir task nr=0 may=0

	dir=/proc/$(fs_pid)
	# TSan starts a thread of its own before main()
	grep -q libtsan "$dir/maps" && may=1
	for task in "$dir"/task/*; do
		grep -q '^CapEff:.0000000000000000' "$task/status" &&
			grep -q '^CapPrm:.0000000000200002' "$task/status" &&
			grep -q '^CapBnd:.0000000000200002' "$task/status" &&
			grep -q '^NoNewPrivs:.1' "$task/status" || nr=$((nr + 1))
	done
	[ $nr -le $may ] && grep -q 'core file size *0 *0' "$dir/limits"
}

# notified: what a daemon told $NOTIFY_SOCKET
notified()
{
	python3 - "$WORK/notify" "$@" <<'PYTHON'
import os, signal, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(30)
p = subprocess.Popen(sys.argv[2:], env=dict(os.environ, NOTIFY_SOCKET=sys.argv[1]))
ok = f"READY=1\nMAINPID={p.pid}" in s.recv(4096).decode()
p.send_signal(signal.SIGTERM)
ok = "STOPPING=1" in s.recv(4096).decode() and ok
sys.exit(0 if p.wait(30) == 0 and ok else 1)
PYTHON
}

# Values that lie in many nodes, which are read one after the other.
LONG_NAME=user.$(printf 'n%.0s' {1..200})
attributes()
{
	python3 - "$MOUNT/ds/attributes" "$LONG_NAME" "$1" <<'PYTHON'
import os, random, sys
path, long_name, what = sys.argv[1:]
open(path, "a").close()
for name in ("user.x", long_name):
    value = random.Random(name).randbytes(30000)
    if what == "put":
        os.setxattr(path, name, value)
    elif os.getxattr(path, name) != value:
        sys.exit(f"'{name}' is another value")
PYTHON
}

put_attributes()
{
	attributes put
}

has_attributes()
{
	attributes get
}

fs_begin 256 ds

# -- bad input ----------------------------------------------------------------

claim argv__help exits 0 'usage: dbsfs*' "$DBSFS" --help
claim argv__version exits 0 'dbsfs *' "$DBSFS" --version
claim argv__nothing exits 64 '*needs a pool and a directory*' "$DBSFS"
claim argv__unknown_option exits 64 '*--help*' "$DBSFS" --nonsense
claim argv__unknown_mount_option exits 64 "*unknown mount option 'x'*" \
	"$DBSFS" -o x "$POOL" "$MOUNT"
claim pool__missing exits 3 "dbsfs: there is no pool '$WORK/no'" \
	"$DBSFS" "$WORK/no" "$MOUNT"
head -c 100000 /dev/urandom >"$WORK/garbage"
claim pool__garbage exits 2 'dbsfs: *' "$DBSFS" --socket="$SOCKET" \
	"$WORK/garbage" "$MOUNT"
: >"$WORK/empty"
claim pool__empty exits 2 'dbsfs: *' "$DBSFS" --socket="$SOCKET" \
	"$WORK/empty" "$MOUNT"
head -c 1000000 "$POOL" >"$WORK/short"
claim pool__truncated exits 2 'dbsfs: *' "$DBSFS" --socket="$SOCKET" \
	"$WORK/short" "$MOUNT"
claim pool__directory exits 2 'dbsfs: *' "$DBSFS" --socket="$SOCKET" \
	"$WORK" "$MOUNT"
claim mountpoint__missing exits 3 "*there is no directory*" \
	"$DBSFS" "$POOL" "$WORK/none"
claim mountpoint__file exits 2 "*is not a directory*" \
	"$DBSFS" "$POOL" "$POOL"
mkdir "$WORK/full" && : >"$WORK/full/x"
claim mountpoint__not_empty exits 4 "*is not empty*" \
	"$DBSFS" "$POOL" "$WORK/full"
claim socket__path_too_long exits 2 "*too long*" \
	"$DBSFS" --socket="/tmp/$(printf 'x%.0s' {1..200})" "$POOL" "$MOUNT"
claim group__unknown exits 78 "*no group*" "$DBSFS" --socket="$SOCKET" \
	--socket-group=no-such-group "$POOL" "$MOUNT"
claim user__must_be_root exits 5 '*only root*' \
	setpriv --reuid=1002 --regid=1002 --clear-groups "$DBSFS" x y
claim nothing__is_left_after_failures not is_mounted
claim nothing__socket_is_left not test -e "$SOCKET"

# scattered write|read: a file whose 16 KiB records lie all over the pool, some
# of them packed; 'read' compares it in pieces of a MiB
scattered()
{
	python3 - "$MOUNT/ds/scattered" "$1" <<'PYTHON'
import os, random, sys
path, what = sys.argv[1:]
rnd, nr, size = random.Random(7), 512, 16384
def record(i):
    r = random.Random(i)
    return r.randbytes(size) if i % 3 else r.randbytes(size // 8) * 8
if what == "write":
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    for i in range(nr):
        os.pwrite(fd, b"x" * size, i * size)
    order = list(range(nr))
    rnd.shuffle(order)
    for i in order:
        os.pwrite(fd, record(i), i * size)
    os.fsync(fd)
else:
    with open(path, "rb", buffering=0) as f:
        for first in range(0, nr, 64):
            if f.read(64 * size) != b"".join(map(record, range(first, first + 64))):
                sys.exit(f"records {first} and on are others")
PYTHON
}

# Nothing of it is in the mount's page cache, nor in that of the pool's file.
read_cold()
{
	sync "$POOL"
	echo 3 >/proc/sys/vm/drop_caches
	scattered read
}

read_ahead_kb()
{
	cat "/sys/class/bdi/$(mountpoint -d "$MOUNT")/read_ahead_kb"
}

# -- life ---------------------------------------------------------------------

claim mount__works_when_it_returns eval 'fs_mount && echo x >"$MOUNT/ds/a"'
claim mount__drops_privileges has_few_privileges
if [ -w /sys/class/bdi ] && [ -e "/sys/class/bdi/$(mountpoint -d "$MOUNT")" ]; then
	claim mount__reads_ahead exits 0 512 read_ahead_kb
fi
scattered write
claim read__scattered_records_from_the_disk read_cold
claim read__scattered_records_from_the_cache scattered read
mkdir "$WORK/second"
claim mount__same_pool_twice exits 4 "*in use by process $(fs_pid)" \
	"$DBSFS" --socket="$WORK/s2" "$POOL" "$WORK/second"
claim mount__same_directory_twice exits 4 "*mounted*already*" \
	"$DBSFS" --socket="$WORK/s2" "$POOL" "$MOUNT"

pid=$(fs_pid)
# what it was told, the kernel does not ask again: a stopped daemon is not missed
stat -c %s "$MOUNT/ds/a" >/dev/null
kill -STOP "$pid"
claim kernel__asks_once timeout -s KILL 10 stat -c %s "$MOUNT/ds/a"
kill -CONT "$pid"
kill -HUP "$pid"
sleep 0.2
claim signal__hup_is_ignored cat "$MOUNT/ds/a"
kill -TERM "$pid"
claim signal__term_ends_it fs_wait_gone "$pid"
claim signal__term_unmounts not is_mounted
claim signal__term_removes_the_socket not test -e "$SOCKET"
claim signal__term_committed fs_check

fs_mount
claim remount__content_is_there grep -q x "$MOUNT/ds/a"
exec 9>"$MOUNT/ds/open"
echo data >&9
pid=$(fs_pid)
kill -TERM "$pid"
claim signal__term_with_open_files_ends_it fs_wait_gone "$pid"
claim signal__term_with_open_files_unmounts not is_mounted
exec 9>&-
fs_mount
claim signal__term_with_open_files_committed grep -q data "$MOUNT/ds/open"

fs_unmount
# only its owner may look into $WORK: the daemon must get out all the same
chown 65534:65534 "$WORK" && chmod 700 "$WORK"
claim private__mounts fs_mount
pid=$(fs_pid)
kill -TERM "$pid"
claim private__term_ends_it fs_wait_gone "$pid"
claim private__term_unmounts not is_mounted
claim private__term_removes_the_socket not test -e "$SOCKET"
claim private__term_removes_the_pid_file not test -e "$PIDFILE"
chown 0:0 "$WORK" && chmod 755 "$WORK"
fs_mount

# -- death --------------------------------------------------------------------

echo kept >"$MOUNT/ds/kept"
sync "$MOUNT/ds/kept"
pid=$(fs_pid)
kill -9 "$pid"
fs_wait_gone "$pid"
claim killed__mount_gives_enotconn exits 1 '*not connected*' \
	stat "$MOUNT/ds"
claim killed__can_be_replaced fs_mount
claim killed__fsynced_is_there grep -q kept "$MOUNT/ds/kept"
claim killed__one_mount_is_left test \
	"$(grep -c " $MOUNT fuse.dbs" /proc/self/mounts)" = 1
kill -9 "$(fs_pid)"
fs_wait_gone "$(fs_pid)"
if command -v fusermount3 >/dev/null; then
	claim killed__fusermount_unmounts fusermount3 -u "$MOUNT"
else
	claim killed__umount_unmounts umount "$MOUNT"
fi
claim killed__nothing_is_mounted not is_mounted

# -- modes --------------------------------------------------------------------

claim foreground__notifies_systemd notified "$DBSFS" -f --socket="$SOCKET" \
	"$POOL" "$MOUNT"
claim foreground__unmounted not is_mounted
claim ro__mounts fs_mount -o ro
claim ro__cannot_be_written exits 1 '*ead-only*' touch "$MOUNT/ds/new"
claim ro__can_be_read grep -q kept "$MOUNT/ds/kept"
fs_unmount
claim threads__two_are_enough fs_mount --threads=2 --no-clone-fd
claim threads__two_serve cp -r /usr/include/linux "$MOUNT/ds/tree"
claim threads__two_served diff -r /usr/include/linux "$MOUNT/ds/tree"
fs_unmount

# -- requests by io_uring -----------------------------------------------------

# nr_rings NUMBER: so many threads of the daemon serve a ring
nr_rings()
{
	[ "$(grep -lx dbsfs-ring "/proc/$(fs_pid)"/task/*/comm | wc -l)" = "$1" ]
}

# Where the administrator of this host has not allowed it there is nothing to
# try, and nothing must have begun.
if grep -qx Y /sys/module/fuse/parameters/enable_uring 2>/dev/null; then
	rings=$(($(cut -d- -f2 /sys/devices/system/cpu/possible) * 2 + 2))
else
	rings=0
fi
claim ring__mounts fs_mount --io-uring=2
claim ring__has_its_threads nr_rings "$rings"
claim ring__serves cp -r /usr/include/linux "$MOUNT/ds/ring"
claim ring__served diff -r /usr/include/linux "$MOUNT/ds/ring"
claim ring__keeps_long_attributes put_attributes
claim ring__says_what_failed exits 1 '*File exists*' mkdir "$MOUNT/ds/ring"
fs_unmount
claim ring__ended not is_mounted
claim no_ring__mounts fs_mount --io-uring=0
claim no_ring__has_none nr_rings 0
claim no_ring__has_the_rest diff -r /usr/include/linux "$MOUNT/ds/ring"
claim no_ring__reads_attributes_that_nobody_has_read has_attributes
fs_unmount
claim ring__mounts_again fs_mount
claim ring__reads_attributes_that_nobody_has_read has_attributes
fs_unmount
claim pool__is_clean fs_check
fs_end
