#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_rules.sh - who may do what with files, and what becomes of setuid bits,
# is the same on a mounted pool as on the host's own file system

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/../fs/lib.sh"

# same WHAT: rules.py says the same of both
same()
{
	mkdir -m 755 "$WORK/host-$1" "$MOUNT/ds/$1" || return 1
	python3 "$(dirname "$0")/rules.py" "$WORK/host-$1" "$1" \
		>"$WORK/$1.host" || return 1
	python3 "$(dirname "$0")/rules.py" "$MOUNT/ds/$1" "$1" \
		>"$WORK/$1.pool" || return 1
	! grep -n died "$WORK/$1.pool" || return 1
	[ "$(wc -l <"$WORK/$1.host")" -ge "$2" ] || {
		echo "only $(wc -l <"$WORK/$1.host") lines"; return 1; }
	diff "$WORK/$1.host" "$WORK/$1.pool" | head -n 40
	cmp -s "$WORK/$1.host" "$WORK/$1.pool"
}

# acl_refused: whole, without a trace
acl_refused()
{
	local f=$MOUNT/ds/acl how

	touch "$f" && chmod 640 "$f" || return 1
	mkdir "$f.d" || return 1
	for how in "u:1002:rwx" "g:1002:r" "m::rwx" "d:u:1002:rwx"; do
		if setfacl -m "$how" "$f.d" 2>"$WORK/said"; then
			echo "setfacl $how was not refused"
			return 1
		fi
		grep -q 'not supported' "$WORK/said" || { cat "$WORK/said"; return 1; }
	done
	! setfacl -m u:1002:rwx "$f" 2>/dev/null || return 1
	python3 - "$f" "$f.d" <<'PYTHON' || return 1
import errno, os, struct, sys
acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in (
    (1, 6, 0xffffffff), (2, 7, 1002), (4, 4, 0xffffffff),
    (16, 7, 0xffffffff), (32, 0, 0xffffffff)))
for name in ("system.posix_acl_access", "system.posix_acl_default"):
    for call in (lambda: os.setxattr(sys.argv[2], name, acl),
                 lambda: os.getxattr(sys.argv[2], name),
                 lambda: os.removexattr(sys.argv[2], name)):
        try:
            call()
            sys.exit("done with " + name)
        except OSError as e:
            assert e.errno in (errno.EOPNOTSUPP, errno.ENODATA), e
assert not os.listxattr(sys.argv[1]) and not os.listxattr(sys.argv[2])
PYTHON
	[ "$(stat -c %a "$f")" = 640 ] && [ -z "$(getfattr -m- "$f")" ] &&
		! setpriv --reuid=1002 --regid=1002 --clear-groups cat "$f" \
			2>/dev/null
}

fs_begin 512 ds
fs_mount || exit 2
claim permissions__are_those_of_linux same permissions 6000
claim setid__is_cleared_as_linux_does same setid 700
claim names__of_attributes_and_devices_are_for_whom_linux_says same names 250
claim acl__is_refused_whole acl_refused
claim pool__is_unmounted fs_unmount
claim pool__is_clean fs_check
fs_end
