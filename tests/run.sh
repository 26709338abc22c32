#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh - build dbs in every way and run all its tests
#
#   sudo tests/run.sh [--long] [--sanitize | --coverage]
#
# Installs the packages that are missing (as root on Debian 12 or Ubuntu
# 24.04; else it says which), then builds and tests in folders of its own:
#
#   gcc       as it is shipped, every warning an error: all tests
#   asan      with ASan and UBSan: unit, model, crash and mounted fs tests
#   tsan      with TSan: the tests with several threads
#   warnings  with clang, every warning an error: compiled only
#
# --long      the random tests in their long form too: 100,000 operations on
#             the model under ASan and UBSan, 500,000 crash images, 1,000,000
#             operations on a mount, 1,000 clones made and destroyed on a
#             mount, and 500 kills under load
# --sanitize  only 'asan' and 'tsan'
# --coverage  only a build that counts which lines of store/ run, and its
#             tests; writes docs/coverage.md (needs gcovr)
#
# The last line is 'N passed, N failed[, N skipped]'; exits 0 when none
# failed, 1 when some did, 2 when it could not run.  Tests that need root or
# /dev/fuse are skipped where these are missing.
set -Eeuo pipefail

SOURCE=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib/host.sh
. "$SOURCE/tools/lib/host.sh"

PACKAGES="clang git rsync sqlite3 attr acl xz-utils util-linux procps
	python3 e2fsprogs strace"
SHORT_OF_ASAN="--suite unit --suite model --suite crash --suite faults --suite fs --suite fuzz
	--suite sim"
# unit tests with several threads
THREADED="test_blkdev test_charge test_compress test_diff test_file_race
	test_file_threads test_ilog test_ilog_replay test_node_cache test_pool
	test_scrub test_space_map test_txg"
LOG_LINES=120

PASSED=0 FAILED=0 SKIPPED=0
BAD=()  # names of what failed

usage()
{
	sed -n '5,26s/^# \{0,1\}//p' "$0"
	exit "$1"
}

say() { printf '%s\n' "$*"; }

# count RESULT NAME: one more test that passed, failed or was skipped
count()
{
	case $1 in
	OK) PASSED=$((PASSED + 1)) ;;
	SKIP) SKIPPED=$((SKIPPED + 1)); say "skipped: $2" ;;
	*) FAILED=$((FAILED + 1)); BAD+=("$2") ;;
	esac
}

# one NAME COMMAND...: a test that is one command; its log is shown if it
# fails, of its lines only those that begin with 'figure: ' otherwise
one()
{
	local name=$1 log=$HOST_TMP/one.log start code=0

	shift
	start=$(host_now_ms)
	"$@" </dev/null >"$log" 2>&1 || code=$?
	sed -n "s|^figure: |$name: |p" "$log"
	case $code in
	0) count OK "$name" ;;
	77) tail -n 3 "$log"; count SKIP "$name" ;;
	*)
		say "---- $name failed (exit code $code): $*"
		tail -n "$LOG_LINES" "$log"
		count FAIL "$name"
		;;
	esac
	say "$name: $((($(host_now_ms) - start) / 1000)) s, exit code $code"
	return 0
}

# results FILE: meson's testlog.json as 'RESULT<TAB>NAME<TAB>SECONDS'
results()
{
	python3 - "$1" "$LOG_LINES" <<'PYTHON'
import json, sys

lines = int(sys.argv[2])
ok = {"OK": "OK", "EXPECTEDFAIL": "OK", "SKIP": "SKIP"}
with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
    for line in log:
        t = json.loads(line)
        # 'dbs:unit / test_util'
        name = t["name"].split(":", 1)[-1].replace(" / ", "/")
        result = ok.get(t["result"], "FAIL")
        print(f"{result}\t{name}\t{t.get('duration', 0):.1f}")
        text = t.get("stdout", "") + "\n" + t.get("stderr", "")
        for line in text.splitlines():
            if line.startswith("figure: "):
                print(f"{name}: {line[8:]}", file=sys.stderr)
        if result == "FAIL":
            tail = "\n".join(text.rstrip().splitlines()[-lines:])
            print(f"---- {name}: {t['result']}\n{tail}\n----",
                  file=sys.stderr)
PYTHON
}

# build NAME MESON-OPTION...: a fresh build in $HOST_TMP/NAME
build()
{
	local name=$1 dir=$HOST_TMP/$1 code=0

	shift
	{
		meson setup "$@" "$dir" "$SOURCE" && ninja -C "$dir"
	} </dev/null >"$HOST_TMP/$name.log" 2>&1 || code=$?
	if [ "$code" -ne 0 ]; then
		say "---- $name does not build:"
		grep -E -A5 'error|warning|FAILED|ERROR' "$HOST_TMP/$name.log" |
			tail -n "$LOG_LINES" || tail -n 40 "$HOST_TMP/$name.log"
		count FAIL "$name/build"
		return 1
	fi
	count OK "$name/build"
}

# tests NAME MESON-TEST-OPTION...: run the tests of build NAME
tests()
{
	local name=$1 dir=$HOST_TMP/$1 result test seconds start nr=0

	shift
	start=$(host_now_ms)
	rm -f "$dir/meson-logs/testlog.json"
	"${NO_ASLR[@]}" meson test -C "$dir" --no-rebuild "$@" </dev/null \
		>"$HOST_TMP/$name.log" 2>&1 || true
	if [ ! -f "$dir/meson-logs/testlog.json" ]; then
		tail -n 20 "$HOST_TMP/$name.log"
		count FAIL "$name/meson-test"
		return 0
	fi
	results "$dir/meson-logs/testlog.json" >"$HOST_TMP/results"
	while IFS=$'\t' read -r result test seconds; do
		count "$result" "$name/$test ($seconds s)"
		nr=$((nr + 1))
	done <"$HOST_TMP/results"
	say "$name: $nr tests in $((($(host_now_ms) - start) / 1000)) s"
}

install_packages()
{
	local packages missing

	packages="$HOST_PACKAGES_BUILD $HOST_PACKAGES_MARIADB"
	packages="$packages $HOST_PACKAGES_TEST $PACKAGES"
	# shellcheck disable=SC2086 # a list of packages
	missing=$(host_missing $packages | tr '\n' ' ')
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" -ne 0 ]; then
		say "not root: not installing what is missing: $missing"
		return 0
	fi
	say "installing: $missing"
	# shellcheck disable=SC2086
	if ! host_install $missing >"$HOST_TMP/install.log" 2>&1; then
		tail -n 20 "$HOST_TMP/install.log"
		host_die 2 "cannot install what is missing: $missing"
	fi
}

# Old sanitizers don't stand the many random bits of a new kernel's addresses.
NO_ASLR=()
if setarch -R true 2>/dev/null; then
	NO_ASLR=(setarch -R)
fi

run_gcc()
{
	# a compiler that knows more warnings than ours still gets its tests
	build gcc -Dwerror=true || build gcc || return 0
	tests gcc --timeout-multiplier 4
}

run_warnings()
{
	if command -v clang >/dev/null; then
		CC=clang build warnings-clang -Dwerror=true \
			-Doptimization=0 || true
	else
		count SKIP "warnings-clang/build: clang is not installed"
	fi
	rm -rf "${HOST_TMP:?}/warnings-clang"
}

run_asan()
{
	export ASAN_OPTIONS=detect_leaks=1
	export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
	export EXERCISER_OPS=500
	# by io_uring elsewhere, where the kernel can
	export FS_OPTIONS=--io-uring=0
	build asan -Db_sanitize=address,undefined -Db_lundef=false || return 0
	# shellcheck disable=SC2086 # options
	tests asan $SHORT_OF_ASAN --timeout-multiplier 4
	if [ "$LONG" = yes ]; then
		one asan/model-long "${NO_ASLR[@]}" \
			"$HOST_TMP/asan/tests/model/store-model" \
			--ops 100000 --seed 1
		one asan/model-background-long "${NO_ASLR[@]}" \
			"$HOST_TMP/asan/tests/model/store-model" \
			--ops 25000 --seeds 4 --seed 10 --background
	fi
}

run_tsan()
{
	export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
	unset FS_OPTIONS
	# its threads read ahead in each; two minutes otherwise
	export ILOG_REPLAY_CUTS=3 ILOG_REPLAY_MUTATIONS=30
	export EXERCISER_OPS=400
	build tsan -Db_sanitize=thread -Db_lundef=false || return 0
	tests tsan --suite threads --timeout-multiplier 6
	# shellcheck disable=SC2086 # a list of tests
	tests tsan $THREADED --timeout-multiplier 6
}

# Threads must not lose each other's counts.  mutate.h defines its functions
# twice, which gcovr 5.2 takes for a contradiction: not the mutated build.
# The security tests want programs as they are shipped, optimized.
run_coverage()
{
	local commit json=$HOST_TMP/coverage.json

	build coverage -Db_coverage=true -Doptimization=0 \
		-Dc_args=-fprofile-update=atomic || return 0
	# tests run programs as other users too: they may add to the counts
	setfacl -R -m o::rwX,d:o::rwX "$HOST_TMP/coverage"
	tests coverage --no-suite lint --no-suite security \
		--timeout-multiplier 4
	commit=$(git -C "$SOURCE" describe --always --dirty) || commit=unknown
	(
		cd "$SOURCE" &&
			gcovr --root . --filter store/ --json "$json" \
				--exclude-directories '.*crash-mutated.*' \
				"$HOST_TMP/coverage" >&2 &&
			python3 tests/coverage.py "$json" "$commit" \
				>"$json.md" &&
			cat "$json.md" >docs/coverage.md
	) 2>"$HOST_TMP/coverage.log" || {
		tail -n 20 "$HOST_TMP/coverage.log"
		count FAIL coverage/table
		return 0
	}
	count OK coverage/table
	sed -n 's|^figure: |coverage: |p' "$HOST_TMP/coverage.log"
}

# What a test left mounted or running; it is ended here, and counts as a failure.
leftovers()
{
	local left pid dir

	left=$(grep -F " $HOST_TMP/" /proc/self/mountinfo | cut -d' ' -f5 || true)
	for dir in $left; do
		say "left mounted: $dir"
		umount -l "$dir" || true
		count FAIL "leftover/$dir"
	done
	for pid in $(pgrep -f "$HOST_TMP/" || true); do
		[ "$pid" != $$ ] || continue
		left=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || true)
		[ -n "$left" ] || continue
		say "left running: $pid $left"
		kill -TERM "$pid" 2>/dev/null || true
		count FAIL "leftover/$left"
	done
}

run_long()
{
	one flip-long "$HOST_TMP/gcc/tests/unit/test_flip" --long
	one crash-long "$HOST_TMP/gcc/tests/crash/crash-prover" --long \
		--jobs "$(nproc)"
	one sim-long "$HOST_TMP/gcc/tests/sim/store-sim" --long
	one faults-long "$HOST_TMP/gcc/tests/faults/faults" --long \
		--jobs "$(nproc)"
	DBSFS=$HOST_TMP/gcc/fs/dbsfs FSCTL=$HOST_TMP/gcc/tests/fs/fsctl \
		EXERCISER=$HOST_TMP/gcc/tests/fs/exerciser/exerciser \
		one exerciser-long "$SOURCE/tests/fs/exerciser/exerciser.sh" \
		--long
	DBS=$HOST_TMP/gcc/tools/dbs one clones-long \
		"$SOURCE/tests/bench/clones.sh" --build "$HOST_TMP/gcc"
	DBS=$HOST_TMP/gcc/tools/dbs \
		KILL_CLIENT=$HOST_TMP/gcc/tests/e2e/kill-client \
		LOSSY=$HOST_TMP/gcc/tests/e2e/liblossy.so \
		one kill-long "$SOURCE/tests/e2e/kill.sh" --long
}

LONG=no ONLY=
while [ $# -gt 0 ]; do
	case $1 in
	--long) LONG=yes ;;
	--sanitize) ONLY=sanitize ;;
	--coverage) ONLY=coverage PACKAGES+=" gcovr" ;;
	-h | --help) usage 0 ;;
	*) usage 2 >&2 ;;
	esac
	shift
done

host_begin dbs-tests
export TMPDIR=$HOST_TMP/tmp
mkdir -m 1777 "$TMPDIR"
install_packages
if [ "$ONLY" = coverage ]; then
	run_coverage
fi
if [ -z "$ONLY" ]; then
	run_gcc
	[ "$LONG" = no ] || run_long
	rm -rf "${HOST_TMP:?}/gcc"
	run_warnings
fi
if [ "$ONLY" != coverage ]; then
	run_asan
	rm -rf "${HOST_TMP:?}/asan"
	run_tsan
fi

leftovers

for name in "${BAD[@]}"; do
	say "failed: $name"
done
say "$PASSED passed, $FAILED failed, $SKIPPED skipped"
[ "$FAILED" -eq 0 ]
