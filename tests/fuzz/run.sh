#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh - fuzz the readers of what comes from outside, with libFuzzer
#
#   tests/fuzz/run.sh [--time S | --runs N] [--work DIR] [--merge]
#                     [HARNESS...]
#
# Builds with clang, ASan and UBSan, then runs each HARNESS (all of them by
# default) for S seconds (default 60) or N executions, one after the other and
# niced, starting from tests/fuzz/corpus/HARNESS and what earlier runs left in
# DIR (default /var/tmp/dbs-fuzz).  An input that breaks something is kept in
# DIR/found; an exit code of 1 says that there was one.
#
# --merge   afterwards, add the inputs that reach new code to the corpus in the
#           tree, in as few and as small files as do
#
# Each harness prints its executions, coverage and findings.
set -Eeuo pipefail

SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
ALL="control dump ilog image node space superblock tree"
WORK=/var/tmp/dbs-fuzz
LIMIT=-max_total_time=60
MERGE=no
# beyond what any input takes, on a slow machine too
INPUT_SECONDS=60
INPUT_MB=200

usage()
{
	sed -n '5,21s/^# \{0,1\}//p' "$0"
	exit "$1"
}

harnesses=()
while [ $# -gt 0 ]; do
	case $1 in
	--time) LIMIT=-max_total_time=${2:?}; shift ;;
	--runs) LIMIT=-runs=${2:?}; shift ;;
	--work) WORK=${2:?}; shift ;;
	--merge) MERGE=yes ;;
	-h | --help) usage 0 ;;
	-*) usage 64 >&2 ;;
	*) harnesses+=("$1") ;;
	esac
	shift
done
[ ${#harnesses[@]} -gt 0 ] || read -ra harnesses <<<"$ALL"
for h in "${harnesses[@]}"; do
	[ -f "$SOURCE/tests/fuzz/$h.c" ] || {
		echo "there is no harness '$h'" >&2
		exit 64
	}
done

BUILD=$WORK/build
mkdir -p "$WORK/found"
if [ ! -f "$BUILD/build.ninja" ]; then
	CC=clang meson setup -Dfuzz=true -Db_sanitize=address,undefined \
		-Db_lundef=false "$BUILD" "$SOURCE" >"$WORK/build.log"
fi
ninja -C "$BUILD" "${harnesses[@]/#/tests/fuzz/fuzz-}" >>"$WORK/build.log" || {
	tail -n 30 "$WORK/build.log"
	exit 2
}

# Old sanitizers don't stand the many random bits of a new kernel's addresses.
run=(nice -n 10)
if setarch -R true 2>/dev/null; then
	run+=(setarch -R)
fi
export ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=8
export UBSAN_OPTIONS=print_stacktrace=1

max_len()
{
	case $1 in
	control) echo 1000 ;;
	superblock) echo 64 ;;
	node | tree) echo 600 ;;
	*) echo 400 ;;
	esac
}

# the last 'stat::NAME: VALUE' or 'cov: N' of a log
stat() { sed -n "s/^stat::$2: *//p" "$1" | tail -n 1; }
cov() { sed -n 's/^#.* cov: \([0-9]*\) .*/\1/p' "$1" | tail -n 1; }

bad=0
for h in "${harnesses[@]}"; do
	corpus=$SOURCE/tests/fuzz/corpus/$h
	log=$WORK/$h.log
	args=("$LIMIT" "-max_len=$(max_len "$h")" -len_control=0
		"-timeout=$INPUT_SECONDS" "-malloc_limit_mb=$INPUT_MB"
		"-artifact_prefix=$WORK/found/$h-" -print_final_stats=1)
	[ ! -f "$SOURCE/tests/fuzz/$h.dict" ] ||
		args+=("-dict=$SOURCE/tests/fuzz/$h.dict")
	mkdir -p "$WORK/$h"
	code=0
	"${run[@]}" "$BUILD/tests/fuzz/fuzz-$h" "${args[@]}" \
		"$WORK/$h" "$corpus" >"$log" 2>&1 </dev/null || code=$?
	echo "$h: $(stat "$log" number_of_executed_units) executions," \
		"coverage $(cov "$log"), exit code $code"
	if [ "$code" -ne 0 ]; then
		grep -E 'ERROR|SUMMARY|must hold|runtime error|Test unit' \
			"$log" || tail -n 20 "$log"
		bad=1
	elif [ "$MERGE" = yes ]; then
		rm -rf "$WORK/merged"
		mkdir "$WORK/merged"
		"${run[@]}" "$BUILD/tests/fuzz/fuzz-$h" -merge=1 \
			"-max_len=$(max_len "$h")" "$WORK/merged" "$corpus" \
			"$WORK/$h" >"$WORK/merge.log" 2>&1 </dev/null
		# what was found once stays, whatever it reaches
		find "$corpus" -type f ! -name 'found-*' -delete
		find "$WORK/merged" -type f -exec cp {} "$corpus" \;
	fi
done
exit "$bad"
