#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# space.sh - what do data, clones and metadata take up?
#
#   sudo tests/bench/space.sh [--quick] [--size SIZE] [--clones N]
#	[--percent N] [--rows N] [--without SYSTEM,...] [--build DIR] [--dir DIR]
#
# clones    of a snapshot with a file of SIZE (1G) that does not compress N
#           clones (100) are made, and N % (1) of the 16 KiB pages of each
#           rewritten: chosen uniformly at random, each once; and, with a new
#           pool, a contiguous stretch. What the pool has allocated more then,
#           all metadata included, divided by what was written: goal at most
#           1.35 and 1.05. The same on btrfs (subvolume snapshots) and xfs
#           (cp --reflink), each on a loop device, from statfs.
# metadata  what that file's pool has allocated, without the log and the
#           file's own bytes, of its size: goal at most 0.5 %
# InnoDB    sysbench's tables (4 of 250,000 rows): size of the files divided
#           by what they take up, as written by the server and copied with other
#           levels of zstd; and the metadata of the whole data directory divided
#           by its logical size
#
# Exits 1 when a goal is missed.
#
# --quick  128M, 4 tables of 50,000 rows
set -Eeuo pipefail

SIZE=1G CLONES=100 PERCENT=1 THREADS=4 TABLES=4 NR_ROWS=250000 WITHOUT=
while [ $# -gt 0 ]; do
	case $1 in
	--quick) SIZE=128M NR_ROWS=50000 ;;
	--size) SIZE=$2; shift ;;
	--clones) CLONES=$2; shift ;;
	--percent) PERCENT=$2; shift ;;
	--rows) NR_ROWS=$2; shift ;;
	--without) WITHOUT=,$2,; shift ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,27s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
# shellcheck source=tests/bench/lib.bash
. "$(dirname "$0")/lib.bash"

DIVERGE=$SOURCE/tests/bench/diverge.py
BYTES=$(numfmt --from=iec "$SIZE")
POOL_BYTES=$((BYTES * 2 + BYTES * CLONES * PERCENT / 50 + (2 << 30)))
FS=""   # where btrfs or xfs is mounted

percent() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f\n", 100 * a / b }'; }
ratio3() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f\n", a / b }'; }

# ---- the systems: base, clones, and what is in use ------------------------------

dbs_base() { "$DBS" create base >/dev/null; }
dbs_file() { printf '%s\n' "$MNT/$1/data"; }
dbs_freeze() { "$DBS" snapshot base@s >/dev/null; }
dbs_clone() { "$DBS" clone base@s "$1" >/dev/null; }
dbs_used() { bench_settled; }

xfs_base() { mkdir "$FS/base"; }
xfs_file() { printf '%s\n' "$FS/$1/data"; }
xfs_freeze() { :; }
xfs_clone() { mkdir "$FS/$1" && cp --reflink=always "$FS/base/data" "$FS/$1/"; }
xfs_used() { fs_used; }

btrfs_base() { btrfs -q subvolume create "$FS/base"; }
btrfs_file() { printf '%s\n' "$FS/$1/data"; }
btrfs_freeze() { btrfs -q subvolume snapshot -r "$FS/base" "$FS/s"; }
btrfs_clone() { btrfs -q subvolume snapshot "$FS/s" "$FS/$1"; }
btrfs_used() { fs_used; }

fs_used()
{
	sync -f "$FS"
	sync -f "$FS"
	stat -f -c '%S %b %f' "$FS" | awk '{ print $1 * ($2 - $3) }'
}

# clones SYSTEM percent|stretch: set RATIO, and BASE to what the file took up
clones()
{
	local system=$1 how=$2 empty before after i nr files=()

	empty=$("${system}_used")
	"${system}_base"
	python3 "$DIVERGE" make "$BYTES" "$("${system}_file" base)"
	BASE=$(($("${system}_used") - empty))
	"${system}_freeze"
	before=$("${system}_used")
	for ((i = 0; i < CLONES; i++)); do
		"${system}_clone" "c$i"
		files+=("$("${system}_file" "c$i")")
	done
	nr=$(python3 "$DIVERGE" "$how" "$PERCENT" "${files[@]}")
	after=$("${system}_used")
	RATIO=$(ratio3 $((after - before)) $((nr * 16384)))
}

name_of() # percent|stretch
{
	if [ "$1" = percent ]; then
		echo "uniformly random 16 KiB pages"
	else
		echo "contiguous pages"
	fi
}

run_clones()
{
	local how what fixed system

	for how in percent stretch; do
		what="$CLONES clones, $PERCENT % rewritten, $(name_of "$how")"
		bench_pool "$POOL_BYTES" --sparse
		fixed=$(($(bench_settled) - $(bench_info log_bytes)))
		clones dbs "$how"
		bench_pool_remove
		bench_record space "$what" dbs ratio "$RATIO"
		if [ "$how" = percent ]; then
			printf 'an empty pool of %s: %s bytes beside the log\n' \
				"$(numfmt --to=iec "$POOL_BYTES")" "$fixed"
			bench_goal space "metadata of $SIZE in records of 16 KiB, %" \
				"$(percent $((BASE + fixed - BYTES)) "$BYTES")" \
				'<=' 0.5
			bench_goal space "$what" "$RATIO" '<=' 1.35
		else
			bench_goal space "$what" "$RATIO" '<=' 1.05
		fi
		for system in btrfs xfs; do
			FS=$HOST_TMP/fs
			[[ $WITHOUT != *,$system,* ]] || continue
			bench_loop_fs "$system" "$POOL_BYTES" "$FS" || continue
			clones "$system" "$how"
			bench_loop_fs_remove "$system" "$FS"
			bench_record space "$what" "$system" ratio "$RATIO"
			printf '  %s: %s\n' "$system" "$RATIO"
		done
	done
}

# tables DIR HOW: say how well its .ibd files are compressed
tables()
{
	local size taken

	"$DBS" sync >/dev/null
	read -r size taken < <(stat -c '%s %b' "$1"/*.ibd |
		awk '{ s += $1; b += $2 } END { print s, b * 512 }')
	printf 'InnoDB tables, %s: %s in files, %s on disk, ratio %s\n' "$2" \
		"$(numfmt --to=iec "$size")" "$(numfmt --to=iec "$taken")" \
		"$(bench_ratio "$size" "$taken")"
	bench_record space "compression of InnoDB tables, $2" dbs ratio \
		"$(bench_ratio "$size" "$taken")"
}

run_innodb()
{
	local logical referenced allocated empty level

	bench_pool 8G --sparse
	empty=$(bench_settled)
	"$DBS" create db >/dev/null
	bench_mariadb db "$MNT/db"
	mariadb_stop db
	allocated=$(($(bench_settled) - empty))
	logical=$("$DBS" df --json | jq '.items[0].logical')
	referenced=$("$DBS" df --json | jq '.items[0].referenced')
	tables "$MNT/db/sbtest" "$("$DBS" get db compression) (default)"
	for level in 1 3; do
		"$DBS" create -o "compression=zstd:$level" "z$level" >/dev/null
		cp --reflink=never "$MNT"/db/sbtest/*.ibd "$MNT/z$level/"
		tables "$MNT/z$level" "zstd:$level"
	done
	bench_goal space "metadata of a MariaDB data directory, %" \
		"$(percent $((allocated - referenced)) "$logical")" '<=' 0.5
	bench_pool_remove
}

bench_begin space
bench_need sysbench mariadbd
run_clones
run_innodb
bench_machine
[ "$BENCH_MISSED" -eq 0 ]
