#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_golden.sh - every golden image opens, is clean, and holds what its
# manifest says, whatever version of dbs made it
#
# usage: test_golden.sh GOLDEN
set -u

GOLDEN=${1:?usage: test_golden.sh GOLDEN}
HERE=$(cd "$(dirname "$0")" && pwd)
WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/dbs-golden.XXXXXXXX") || exit 2
trap 'rm -rf "$WORK"' EXIT
FAILED=0 NR=0

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

# lists IMAGE MANIFEST [ro]: what it holds
lists()
{
	"$GOLDEN" list "$1" ${3:+"$3"} >"$WORK/list" || return 1
	cmp "$WORK/list" "$2" || { diff "$WORK/list" "$2" | head; return 1; }
}

golden()
{
	local name=$1 image=$WORK/pool

	xz -dc "$HERE/$name.img.xz" >"$image" &&
		xz -dc "$HERE/$name.manifest.xz" >"$WORK/manifest" || return 1
	[ "$(wc -l <"$WORK/manifest")" -ge 300 ] || return 1
	cp --sparse=always "$image" "$WORK/before" || return 1
	claim "$name""__is_clean" "$GOLDEN" check "$image"
	case $name in
	*plain) claim "$name""__holds_its_manifest_read_only" \
		lists "$image" "$WORK/manifest" ro ;;
	esac
	claim "$name""__is_not_changed_by_looking" cmp "$image" "$WORK/before"
	claim "$name""__holds_its_manifest" lists "$image" "$WORK/manifest"
	claim "$name""__is_clean_after_opening" "$GOLDEN" check "$image"
	claim "$name""__holds_it_still" lists "$image" "$WORK/manifest"
	claim "$name""__can_be_written" "$GOLDEN" write "$image"
	claim "$name""__is_clean_after_writing" "$GOLDEN" check "$image"
}

for file in "$HERE"/*.img.xz; do
	name=${file##*/}
	golden "${name%.img.xz}" || { echo "FAILED $name"; FAILED=1; }
	NR=$((NR + 1))
done
[ "$NR" -ge 2 ] || { echo "FAILED only $NR images"; FAILED=1; }
exit $FAILED
