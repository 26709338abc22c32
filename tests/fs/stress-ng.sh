#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# stress-ng.sh - stress-ng's file-system stressors on the mount, with --verify
#
#	DBSFS=... FSCTL=... stress-ng.sh [SECONDS [STRESSOR...]]
#
# Two of each for SECONDS (4) seconds, one kind after the other: all of its class
# 'filesystem', unless some are named.  Run by hand: it takes minutes.  One that
# fails on the mount is run in a plain directory too, and only counts where it
# succeeds there.  At the end nothing may be left: no inode in the
# dataset, no descriptor in the daemon, no memory above its bound, and the
# pool must check clean.  What stress-ng itself skips (no such device, not
# for this file system) is counted.

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/lib.sh"

command -v stress-ng >/dev/null || { echo "skipped: needs stress-ng"; exit 77; }

SECONDS_EACH=${1:-4}
RSS_MAX_KIB=$((256 << 10))
# threads that are started when there is much to do have one each
FDS_MORE_MAX=16
shift || true

# stress DIR STRESSOR: 0, or the exit code; what it said in $WORK/said
stress()
{
	stress-ng --temp-path "$1" "--$2" 2 --timeout "${SECONDS_EACH}s" \
		--verify >"$WORK/said" 2>&1 </dev/null
}

nr_fds()
{
	find "/proc/$(fs_pid)/fd" -mindepth 1 | wc -l
}

rss_kib()
{
	awk '/^VmRSS/ { print $2 }' "/proc/$(fs_pid)/status"
}

# Inodes, after a commit.
used()
{
	fs_ask '{"v": 1, "command": "sync"}' >"$WORK/sync"
	find "$MOUNT/ds" | wc -l
}

fs_begin 4096 ds
fs_mount || exit 2
mkdir "$WORK/plain"
# shellcheck disable=SC2046 # words
[ $# -gt 0 ] || set -- $(stress-ng --class filesystem? |
	sed -n "s/^class 'filesystem' stressors: //p")
before=$(used) fds=$(nr_fds)
passed=0 skipped=() failed=()
for name; do
	code=0
	stress "$MOUNT/ds" "$name" || code=$?
	if [ $code -eq 0 ] && grep -q 'skipped: [1-9]' "$WORK/said"; then
		code=4
	fi
	case $code in
	0) passed=$((passed + 1)) ;;
	3 | 4) skipped+=("$name") ;; # no resource, not implemented
	*)
		echo "---- $name on the mount: exit code $code"
		grep -E 'fail|error' "$WORK/said" | head -n 12
		if stress "$WORK/plain" "$name"; then
			failed+=("$name")
		else
			skipped+=("$name")
			echo "(fails in a plain directory too)"
		fi
		;;
	esac
done
echo "figure: $passed stressors passed in runs of $SECONDS_EACH s, \
${#skipped[@]} not for here (${skipped[*]}), ${#failed[@]} failed (${failed[*]})"
echo "figure: daemon: $(rss_kib) KiB resident, $(nr_fds) descriptors ($fds before)"
claim stressors__all_pass [ ${#failed[@]} -eq 0 ]
claim stressors__leave_nothing [ "$(used)" = "$before" ]
claim daemon__keeps_no_descriptors \
	[ "$(nr_fds)" -le $((fds + FDS_MORE_MAX)) ]
claim daemon__keeps_to_its_memory [ "$(rss_kib)" -le $RSS_MAX_KIB ]
fs_unmount
claim pool__is_clean fs_check
fs_end
