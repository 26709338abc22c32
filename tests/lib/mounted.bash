# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# mounted.bash - for bats: a pool in a file, mounted for the tests of one file
#
# Below: the dbs in $DBS.  Above: tests/programs/.
#
#   load ../lib/mounted
#   setup_file() { mounted_begin 2G; }
#   teardown_file() { mounted_end; }
#
# Sets $MNT, the mount, with dataset 'work' in it; $POOL, the pool's file; and
# $SCRATCH, a folder of the host.  All go again, whatever happened.

# mounted_begin SIZE
mounted_begin()
{
	: "${DBS:?the dbs to test}"
	SCRATCH=$(mktemp -d "${TMPDIR:-/var/tmp}/dbs-mounted.XXXXXXXX")
	MNT=$SCRATCH/mnt
	POOL=$SCRATCH/pool.dbs
	DBS_POOL=$POOL
	export SCRATCH MNT POOL DBS_POOL
	unset DBS_SOCKET
	mkdir "$MNT"
	"$DBS" pool create "$POOL" --size "$1" --sparse
	"$DBS" mount "$POOL" "$MNT"
	"$DBS" create work
}

mounted_end()
{
	local code=0

	[ -n "${SCRATCH:-}" ] || return 0
	if mountpoint -q "$MNT"; then
		"$DBS" umount "$MNT" || { code=1; umount -l "$MNT"; }
	fi
	rm -rf --one-file-system "$SCRATCH"
	return "$code"
}

# Unmount, which waits for the daemon's end, and mount again.
mounted_again()
{
	"$DBS" umount "$MNT"
	"$DBS" mount "$POOL" "$MNT"
}

# listing DIR: everything that stat(2) and listxattr(2) say, but for what
# differs between file systems (inode numbers, sizes of directories, blocks)
listing()
{
	(
		cd "$1" || exit
		find . -type d -printf '%P %y %m %U %G %T@\n' \
			-o -type l -printf '%P %y %U %G %l\n' \
			-o -printf '%P %y %m %U %G %n %s %T@\n'
		find . ! -type l -print0 | sort -z |
			xargs -0 getfattr -h -d -m '^user\.' --absolute-names
	) | LC_ALL=C sort
}
