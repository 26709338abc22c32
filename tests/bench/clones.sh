#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# clones.sh - many clones come and go, and leave nothing behind
#
#   sudo tests/bench/clones.sh [--clones N] [--size SIZE] [--seed N]
#	[--build DIR] [--dir DIR]
#
# Makes N clones (1,000) of a dataset with a file of SIZE (256M), writes eight
# pages to each, and destroys them in random order, all while one more clone is
# being written.  When that one is gone too, what the pool has allocated must
# be what it was before; then the pool is checked.  Exits 1 when it is not.
set -Eeuo pipefail

NR=1000 SIZE=256M SEED=1
while [ $# -gt 0 ]; do
	case $1 in
	--clones) NR=$2; shift ;;
	--size) SIZE=$2; shift ;;
	--seed) SEED=$2; shift ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
# shellcheck source=tests/bench/lib.bash
. "$(dirname "$0")/lib.bash"

say_took() # WHAT START
{
	local us=$(($(bench_now_us) - $2))

	printf '%-44s %8s s, %s ms each\n' "$1" "$(bench_ms $((us / 1000)))" \
		"$(bench_ms $((us / NR)))"
}

main()
{
	local before after most i start files=()

	bench_begin clones
	bench_pool $(($(numfmt --from=iec "$SIZE") * 2 + (4 << 30))) --sparse
	"$DBS" create base >/dev/null
	python3 "$SOURCE/tests/bench/diverge.py" make \
		"$(numfmt --from=iec "$SIZE")" "$MNT/base/data"
	"$DBS" snapshot base@origin >/dev/null
	before=$(bench_settled)
	"$DBS" clone base@origin busy >/dev/null
	bench_writer_start "$MNT/busy/data"

	start=$(bench_now_us)
	for ((i = 0; i < NR; i++)); do
		"$DBS" clone base@origin "c$i" >/dev/null
		files+=("$MNT/c$i/data")
	done
	say_took "$NR clones made" "$start"
	start=$(bench_now_us)
	python3 "$SOURCE/tests/bench/diverge.py" pages 8 "${files[@]}"
	say_took "each written to" "$start"
	"$DBS" sync >/dev/null
	most=$(bench_info allocated)
	start=$(bench_now_us)
	for i in $(seq 0 $((NR - 1)) | shuf --random-source=<(yes "$SEED")); do
		"$DBS" rm --yes "c$i" >/dev/null
	done
	say_took "destroyed in random order" "$start"
	bench_writer_wrote
	bench_writer_stop
	"$DBS" rm --yes --force busy >/dev/null
	after=$(bench_settled)
	bench_machine
	printf 'allocated before %s, with the clones %s, after %s bytes\n' \
		"$before" "$most" "$after"
	"$DBS" umount "$MNT"
	"$DBS" pool check "$DBS_POOL"
	[ "$after" -eq "$before" ] ||
		host_die 1 "$((after - before)) bytes did not come back"
}

main
