#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# conform.sh - run the conformance tests, as root and as an ordinary user
#
#	DBSFS=... FSCTL=... conform.sh PROGRAM...
#	conform.sh --plain DIR PROGRAM...
#
# On a mounted pool, which must check clean after it.  --plain: in DIR, on
# whatever file system that is; what ext4 does there is what is expected of us.
# One line says how many tests passed.

RUNS=0 PASSED=0 NOT_HERE=0 FAILED_PROGRAMS=()

# run WHO COMMAND...
run()
{
	local who=$1 out code=0 nr

	shift
	out=$("$@" 2>&1) || code=$?
	nr=$(grep -c '^\[       OK \]' <<<"$out")
	PASSED=$((PASSED + nr)) RUNS=$((RUNS + 1))
	nr=$(grep -c '^\[  SKIPPED \] [a-z0-9_]*$' <<<"$out")
	NOT_HERE=$((NOT_HERE + nr))
	[ $code -ne 0 ] || return 0
	echo "---- ${*: -1} as $who: exit code $code"
	grep -v '^\[ RUN\|^\[       OK' <<<"$out" | tail -n 60
	FAILED_PROGRAMS+=("${*: -1} as $who")
}

run_all()
{
	local program

	chmod 1777 "$1"
	shift
	for program; do
		run root "$program"
		run user setpriv --reuid 4711 --regid 4711 --clear-groups \
			"$program"
	done
}

result()
{
	echo "figure: $PASSED tests passed in $RUNS runs, $NOT_HERE skipped"
	[ ${#FAILED_PROGRAMS[@]} -eq 0 ]
}

if [ "$1" = --plain ]; then
	export DBS_TEST_PLAIN=$2
	run_all "${@:2}"
	result
	exit
fi

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/lib.sh"

fs_begin 4096 ds other
fs_mount || exit 2
export DBS_TEST_MOUNT=$MOUNT DBS_TEST_SOCKET=$SOCKET
run_all "$MOUNT/ds" "$@"
fs_unmount || exit 2
claim pool__checks_clean fs_check
result || FAILED=1
fs_end
