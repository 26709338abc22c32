#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_full.sh - a mounted pool that is full: what was accepted can be synced,
# all that gives space back works, and the space comes back without a remount

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/lib.sh"

# fill HOW DIR: until nothing more fits
fill()
{
	python3 - "$1" "$2" <<'PYTHON'
import errno, os, sys
how, top = sys.argv[1:3]
noise = os.urandom(1 << 20)
def until_full(work):
    refused = 0
    for i in range(100000):
        try:
            work(i)
        except OSError as e:
            if e.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            refused += 1
            if refused == 20:
                return
    raise SystemExit("it does not get full")
def write(path, data, at=None):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o644)
    try:
        if at is None:
            at = os.fstat(fd).st_size
        if os.pwrite(fd, data, at) != len(data):
            raise OSError(errno.ENOSPC, "short")
    finally:
        os.close(fd)
def small(i):
    write(f"{top}/s{i}", noise[i % 1000:i % 1000 + 5000])
def xattr(i):
    write(f"{top}/x{i}", noise[:100])
    os.setxattr(f"{top}/x{i}", "user.x", noise[:30000])
if how == "big":
    until_full(lambda i: write(f"{top}/b{i // 8}", noise))
elif how == "xattr":
    until_full(xattr)
elif how == "clones":
    for i in range(150):
        try:
            write(f"{top}/c{i % 30}/base", noise[:500000], i % 5 * 500000)
        except OSError as e:
            if e.errno != errno.ENOSPC:
                raise
    top += "/ds"
until_full(small)
until_full(lambda i: write(f"{top}/tail", noise[:512]))
PYTHON
}

# syncs FILE...: fsync of each works
syncs()
{
	python3 - "$@" <<'PYTHON'
import os, sys
for path in sys.argv[1:]:
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)
PYTHON
}

# ask COMMAND ARGUMENTS: it is done
ask()
{
	local answer

	answer=$(fs_ask "{\"v\":1,\"command\":\"$1\",\"arguments\":$2}")
	case $answer in
	*'"ok":true'* | *'"ok": true'*) ;;
	*) echo "asked '$1', answered '$answer'"; return 1 ;;
	esac
}

# has_mib N: so much is free, after a moment for the commits
has_mib()
{
	local i free

	for ((i = 0; i < 100; i++)); do
		free=$(($(stat -f -c '%a * %S' "$MOUNT/ds") >> 20))
		[ "$free" -lt "$1" ] || return 0
		sleep 0.1
	done
	echo "only $free MiB are free"
	return 1
}

writes_again()
{
	head -c 8000000 /dev/urandom >"$MOUNT/ds/again" &&
		syncs "$MOUNT/ds/again" && rm "$MOUNT/ds/again"
}

# truncates FILE...: to a size inside a record and inside a block
truncates()
{
	local file

	for file; do
		truncate -s 4999 "$file" || return 1
		[ "$(stat -c %s "$file")" = 4999 ] || return 1
	done
}

remount()
{
	fs_unmount && fs_mount
}

round()
{
	local how=$1

	claim "$how: the pool is filled" fill "$how" "$MOUNT/ds"
	claim "$how: what was accepted is synced" \
		syncs "$MOUNT"/ds/s[1-5] "$MOUNT/ds/tail"
	claim "$how: a commit works" ask sync '{}'
	claim "$how: files are cut inside a record" \
		truncates "$MOUNT"/ds/s[1-5]
	claim "$how: a file is removed" rm "$MOUNT/ds/s7"
	claim "$how: a full pool is mounted again" remount
	claim "$how: all is removed" sh -c "rm -r '$MOUNT'/ds/*"
	claim "$how: the space is back" has_mib 25
	claim "$how: it is written to again" writes_again
}

clones_round()
{
	local i names=

	head -c 3200000 /dev/urandom >"$MOUNT/ds/base" || return 1
	claim "a snapshot" ask snapshot '{"name":"ds@s"}'
	for ((i = 0; i < 30; i++)); do
		ask clone "{\"source\":\"ds@s\",\"name\":\"c$i\"}" || break
		names="$names,\"c$i\""
	done
	claim "clones: there are 30" [ "$i" = 30 ]
	claim "clones: the pool is filled" fill clones "$MOUNT"
	claim "clones: a commit works" ask sync '{}'
	claim "clones: a file is removed in one" rm "$MOUNT/c0/base"
	claim "clones: the snapshot is destroyed" \
		ask rm '{"names":["ds@s"]}'
	claim "clones: a full pool is mounted again" remount
	claim "clones: they are destroyed" ask rm "{\"names\":[${names#,}]}"
	rm "$MOUNT"/ds/*
	claim "clones: the space is back" has_mib 25
	claim "clones: it is written to again" writes_again
}

# A clone that writes and writes stops at its quota, with space for others.
quota_round()
{
	claim "quota: a clone" ask clone '{"source":"ds","name":"wild"}'
	claim "quota: is set" \
		ask set '{"name":"wild","key":"quota","value":"10M"}'
	claim "quota: stops it" fill big "$MOUNT/wild"
	claim "quota: others go on" has_mib 25
	claim "quota: others write" writes_again
	claim "quota: it is destroyed" ask rm '{"names":["wild"]}'
}

fs_begin 64 ds
fs_mount || exit 2
round big
round xattr
clones_round
quota_round
claim "it ends" fs_unmount
claim "it checks clean" fs_check
claim "no sanitizer found anything" fs_found_nothing
exit "$FAILED"
