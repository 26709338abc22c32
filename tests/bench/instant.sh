#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# instant.sh - how long do snapshot, clone, restore and destroy take?
#
#   sudo tests/bench/instant.sh [--sizes "10M 5G"] [--clones "1 1000"]
#	[--rounds N] [--without SYSTEM,...] [--build DIR] [--dir DIR]
#
# Of a dataset with one file of each size, with each number of clones that
# have diverged (eight pages of 16 KiB rewritten in each), while the file is
# being written: the median time of N rounds, of the whole command.  Beside it
# 'cp --reflink' on xfs and 'btrfs subvolume snapshot', the same way, each on a
# loop device on the same disk.  Their restore is a new copy put in place of
# the old. What is destroyed is a clone that was not written to.
#
# Prints a table, what /bin/true takes, which any command does, and the ratio of
# the slowest to the fastest of ours in each column: goal at most 1.5.  Exits 1
# when it is more.
#
# --build  a meson build folder (default: builds one)
# --dir    where the pool and the images go (default: /var/tmp)
set -Eeuo pipefail

SIZES="10M 5G" CLONES="1 1000" ROUNDS=15 WITHOUT=
while [ $# -gt 0 ]; do
	case $1 in
	--sizes) SIZES=$2; shift ;;
	--clones) CLONES=$2; shift ;;
	--rounds) ROUNDS=$2; shift ;;
	--without) WITHOUT=,$2,; shift ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,24s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
# shellcheck source=tests/bench/lib.bash
. "$(dirname "$0")/lib.bash"

DIVERGE=$SOURCE/tests/bench/diverge.py
OPS=(snapshot clone live restore destroy)
TRUE_US=()
ROWS=()   # "system size clones snapshot clone live restore destroy", microseconds

# ---- the three systems: each has base, clone, diverged clones, and the ops -------

dbs_base() { "$DBS" create base >/dev/null; }
dbs_file() { printf '%s\n' "$MNT/$1/data"; }
dbs_snapshot() { "$DBS" snapshot "base@s$1"; }
dbs_clone() { "$DBS" clone "${2:-base@s$1}" "c$1"; }
dbs_restore() { "$DBS" restore "base@s$1" --force --discard --yes; }
dbs_destroy() { "$DBS" rm --yes "clive$1"; }
dbs_forget() { "$DBS" rm --yes --force "c$1" "base@s$1" >/dev/null; }

xfs_base() { mkdir "$FS/base"; }
xfs_file() { printf '%s\n' "$FS/$1/data"; }
xfs_copy() { mkdir -p "$FS/$2" && cp --reflink=always "$FS/$1/data" "$FS/$2/"; }
xfs_snapshot() { xfs_copy base "s$1"; }
xfs_clone() { xfs_copy "${2:-s$1}" "c$1"; }
xfs_restore()
{
	cp --reflink=always "$FS/s$1/data" "$FS/base/new" &&
		mv "$FS/base/new" "$FS/base/data"
}
xfs_destroy() { rm -r "$FS/clive$1"; }
xfs_forget() { rm -r "$FS/s$1" "$FS/c$1"; }

btrfs_base() { btrfs -q subvolume create "$FS/base"; }
btrfs_file() { printf '%s\n' "$FS/$1/data"; }
btrfs_snapshot() { btrfs -q subvolume snapshot -r "$FS/base" "$FS/s$1"; }
btrfs_clone() { btrfs -q subvolume snapshot "$FS/${2:-s$1}" "$FS/c$1"; }
btrfs_restore()
{
	btrfs -q subvolume snapshot "$FS/s$1" "$FS/new" &&
		mv "$FS/base" "$FS/old" && mv "$FS/new" "$FS/base" &&
		btrfs -q subvolume delete "$FS/old"
}
btrfs_destroy() { btrfs -q subvolume delete "$FS/clive$1"; }
btrfs_forget() { btrfs -q subvolume delete "$FS/s$1" "$FS/c$1"; }

# measure SYSTEM SIZE NR-CLONES: one row
measure()
{
	local system=$1 i op us row=()
	# shellcheck disable=SC2034 # by reference
	local snapshot=() clone=() live=() restore=() destroy=()

	bench_writer_start "$("${system}_file" base)"
	for ((i = 0; i < ROUNDS; i++)); do
		bench_writer_wrote
		bench_time snapshot "${system}_snapshot" "$i"
		bench_writer_wrote
		bench_time clone "${system}_clone" "$i"
		bench_writer_wrote
		bench_time live "${system}_clone" "live$i" base
		bench_writer_wrote
		bench_time restore "${system}_restore" "$i"
		bench_writer_wrote
		bench_time destroy "${system}_destroy" "$i"
		bench_writer_wrote
	done
	bench_writer_stop
	for op in "${OPS[@]}"; do
		local -n times=$op
		us=$(bench_median "${times[@]}")
		row+=("$us")
		bench_record instant "$op, $2, $3 clones" "$system" us "$us"
	done
	ROWS+=("$system $2 $3 ${row[*]}")
	# so that what is measured is not lost if the rest fails
	host_say "${ROWS[-1]} (us)"
	for ((i = 0; i < ROUNDS; i++)); do
		"${system}_forget" "$i" || true
	done
}

# One more diverged clone than before, until there are NR.
diverge_to()
{
	local system=$1 nr=$2 files=()

	[ "$MADE" -gt 0 ] || "${system}_snapshot" origin >/dev/null
	while [ "$MADE" -lt "$nr" ]; do
		"${system}_clone" "d$MADE" "$ORIGIN" >/dev/null
		files+=("$("${system}_file" "cd$MADE")")
		MADE=$((MADE + 1))
	done
	[ ${#files[@]} -eq 0 ] ||
		python3 "$DIVERGE" pages 8 "${files[@]}"
}

# run SYSTEM SIZE
run()
{
	local clones

	host_say "$1, $2 ..."
	"$1_base"
	python3 "$DIVERGE" make "$(numfmt --from=iec "$2")" "$("$1_file" base)"
	MADE=0
	ORIGIN=sorigin
	[ "$1" != dbs ] || ORIGIN=base@sorigin
	for clones in $CLONES; do
		diverge_to "$1" "$clones"
		measure "$1" "$2" "$clones"
	done
}

pool_size()
{
	echo $(($(numfmt --from=iec "$1") * 2 + (3 << 30)))
}

print_rows()
{
	local system size clones s c l r d

	printf '%-7s %6s %7s %12s %12s %12s %12s %12s\n' system size clones \
		'snapshot ms' 'clone ms' 'live clone' 'restore ms' 'destroy ms'
	for row in "${ROWS[@]}"; do
		read -r system size clones s c l r d <<<"$row"
		printf '%-7s %6s %7s %12s %12s %12s %12s %12s\n' "$system" "$size" \
			"$clones" "$(bench_ms "$s")" "$(bench_ms "$c")" \
			"$(bench_ms "$l")" "$(bench_ms "$r")" "$(bench_ms "$d")"
	done
}

# The slowest of ours to the fastest, for each column.
print_ratios()
{
	local op ratio

	while read -r op ratio; do
		bench_goal instant "$op, slowest / fastest" "$ratio" '<=' 1.50
	done < <(printf '%s\n' "${ROWS[@]}" | awk -v names="${OPS[*]}" '
	$1 == "dbs" {
		for (i = 4; i <= NF; i++) {
			if (!(i in lo) || $i < lo[i]) lo[i] = $i
			if (!(i in hi) || $i > hi[i]) hi[i] = $i
		}
	}
	END {
		n = split(names, name, " ")
		for (i = 1; i <= n; i++)
			printf "%s %.2f\n", name[i], hi[i + 3] / lo[i + 3]
	}')
}

bench_begin instant
for size in $SIZES; do
	if [[ $WITHOUT != *,dbs,* ]]; then
		bench_pool "$(pool_size "$size")" --sparse
		run dbs "$size"
		bench_pool_remove
	fi
	FS=$HOST_TMP/fs
	if [[ $WITHOUT != *,xfs,* ]] && bench_loop_fs xfs "$(pool_size \
		"$size")" "$FS"; then
		run xfs "$size"
		bench_loop_fs_remove xfs "$FS"
	fi
	if [[ $WITHOUT != *,btrfs,* ]] && bench_loop_fs btrfs "$(pool_size \
		"$size")" "$FS"; then
		run btrfs "$size"
		bench_loop_fs_remove btrfs "$FS"
	fi
done
for ((i = 0; i < ROUNDS; i++)); do
	bench_time TRUE_US /bin/true
done
bench_machine
print_rows
printf 'starting /bin/true: %s ms\n' "$(bench_ms "$(bench_median "${TRUE_US[@]}")")"
[[ $WITHOUT == *,dbs,* ]] || print_ratios
[ "$BENCH_MISSED" -eq 0 ]
