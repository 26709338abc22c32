#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# exerciser.sh - run the exerciser; a sanitizer's findings in the daemon count
#
#	DBSFS=... FSCTL=... EXERCISER=... exerciser.sh [ARGUMENT...]
#
# --long: 1,000,000 operations, 100 seeds of 10,000.  --lists: replays what is
# in lists/.  --finds: a wrong model must be found, and the list of operations
# be made short.  EXERCISER_OPS: so many operations instead of those asked for
# (slow builds of the daemon).

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/../lib.sh"

HERE=$(cd "$(dirname "$0")" && pwd)

exercise()
{
	"$EXERCISER" --work "$WORK" "$@"
}

# The model forgets that a truncation takes bytes away.
finds()
{
	local code=0

	exercise --mistake --tries 50 --replay "$HERE/finds.ops" \
		>"$WORK/said" 2>&1 || code=$?
	if [ "$code" != 1 ]; then
		cat "$WORK/said"
		echo "a wrong model is not found: exit code $code"
		return 1
	fi
	if [ "$(grep -c '' "$WORK/reduced.ops")" -gt 7 ]; then
		cat "$WORK/reduced.ops"
		echo "the list of operations stays long"
		return 1
	fi
	grep ftruncate "$WORK/reduced.ops"
}

fs_begin 64 ds
# what the trap unmounts
MOUNT=$WORK/mnt
[ -z "${EXERCISER_OPS:-}" ] || set -- "$@" --ops "$EXERCISER_OPS"
case ${1:-} in
--lists) exercise --replay "$HERE"/lists/*.ops ;;
--finds) finds ;;
*) exercise "$@" ;;
esac
code=$?
fs_found_nothing || exit 1
exit $code
