# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# lib.bash - a pool of its own for each test, and what tests say of commands
#
# $DBS is the command to test.  MODE=mounted mounts the pool of each test on
# $MNT; otherwise it stays unmounted and dbs opens it by itself.

bats_require_minimum_version 1.5.0

: "${DBS:?the dbs to test}"

setup_dir()
{
	T=$(mktemp -d /var/tmp/dbs-cli.XXXXXXXX)
	MNT=$T/mnt
	POOL=$T/pool
	export DBS_CONFIG_DIR=$T/etc
	unset DBS_POOL DBS_SOCKET
	mkdir "$MNT" "$T/etc"
}

# can_mount: else the test is skipped
can_mount()
{
	[ "$(id -u)" -eq 0 ] || skip "mounting needs root"
	[ -e /dev/fuse ] || skip "no /dev/fuse"
}

setup_pool()
{
	setup_dir
	if [ "${MODE:-}" = mounted ]; then
		can_mount
	fi
	"$DBS" pool create "$POOL" --size 256M --sparse
	export DBS_POOL=$POOL
	if [ "${MODE:-}" = mounted ]; then
		"$DBS" mount "$POOL" "$MNT"
	fi
}

mounted() { [ "${MODE:-}" = mounted ]; }

teardown_dir()
{
	local dir

	# those that a failed test left, the last first
	while read -r dir; do
		"$DBS" umount "$dir" || "$DBS" umount --lazy "$dir" ||
			umount -l "$dir"
	done < <(awk -v t="$T/" 'index($5, t) == 1 { print $5 }' \
		/proc/self/mountinfo | tac)
	rm -rf --one-file-system "$T"
}

# The pool is clean once nobody has it open.
check_pool()
{
	if mounted; then
		"$DBS" umount "$MNT"
	fi
	"$DBS" pool check --data "$POOL"
}

# fails CODE SENTENCE COMMAND...: exactly this exit code, one sentence that
# has the regular expression SENTENCE in it, and nothing on stdout
fails()
{
	local code=$1 sentence=$2

	shift 2
	run --separate-stderr "$@"
	# shellcheck disable=SC2154 # run sets them
	if [ "$status" -ne "$code" ] || [ -n "$output" ] ||
		! [[ ${stderr_lines[0]} =~ ^dbs(fs)?:\ .*$sentence ]] ||
		[ "$(grep -vc "^try 'dbs help" <<<"$stderr")" -ne 1 ]; then
		printf '%s\nwanted: exit code %s and "%s"\n' "$*" "$code" \
			"$sentence"
		printf 'got: exit code %s, stdout "%s", stderr "%s"\n' \
			"$status" "$output" "$stderr"
		return 1
	fi
}

# json FILTER COMMAND...: --json gives one object; print what FILTER takes
json()
{
	local filter=$1 text

	shift
	text=$("$@" --json)
	jq -es 'length == 1 and (.[0] | type == "object")' >/dev/null <<<"$text"
	jq -er "$filter" <<<"$text"
}

# put FILE BYTES: write into the mounted pool
put() { head -c "$2" /dev/urandom >"$MNT/$1"; }
