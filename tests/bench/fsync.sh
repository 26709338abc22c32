#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# fsync.sh - what does it take to make 4 KiB durable?
#
#   sudo tests/bench/fsync.sh [--seconds N] [--rounds N] [--pool SIZE]
#	[--aged] [--build DIR] [--dir DIR]
#
# fio writes 4 KiB at a time, each with an fdatasync, to a file on the mount
# and to one in a plain directory of the same disk, in alternating rounds:
# over a file that was written before, one after the other as a redo log is
# (over), and at the end of one that grows (append). Prints the medians and
# their ratios, goal 1.00 each. At random places of the file (random) it is
# another matter, shown without a goal: a record of 16 KiB has to be read first.
#
# --aged  the pool is aged first: filled to four fifths with files of many
#         sizes, half of them deleted, a hundred clones with 1 % rewritten
set -Eeuo pipefail

SECONDS_EACH=10 ROUNDS=5 POOL_SIZE=4G AGED=0
while [ $# -gt 0 ]; do
	case $1 in
	--seconds) SECONDS_EACH=$2; shift ;;
	--rounds) ROUNDS=$2; shift ;;
	--pool) POOL_SIZE=$2; shift ;;
	--aged) AGED=1 ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,17s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
# shellcheck source=tests/bench/lib.bash
. "$(dirname "$0")/lib.bash"

FILE_SIZE=256M

# fill DIR: files of 4 KiB to 16 MiB until it is four fifths full, then every
# second one goes
age()
{
	local i

	"$DBS" create old >/dev/null
	python3 "$SOURCE/tests/bench/age.py" "$MNT/old"
	"$DBS" snapshot old@s >/dev/null
	for ((i = 0; i < 100; i++)); do
		"$DBS" clone old@s "old$i" >/dev/null
	done
	python3 "$SOURCE/tests/bench/diverge.py" pages 64 "$MNT"/old[0-9]*/big
}

bench_begin fsync
PLAIN=$HOST_TMP/plain
mkdir "$PLAIN"
bench_pool "$POOL_SIZE"
[ "$AGED" = 0 ] || { host_say "ageing ..."; age; }
"$DBS" create bench >/dev/null
for dir in "$PLAIN" "$MNT/bench"; do
	python3 "$SOURCE/tests/bench/diverge.py" make \
		"$(numfmt --from=iec "$FILE_SIZE")" "$dir/over"
done
declare -A RATES
for ((round = 0; round < ROUNDS; round++)); do
	for how in over append random; do
		for where in ext4 dbs; do
			dir=$PLAIN
			[ "$where" = ext4 ] || dir=$MNT/bench
			rate=$(bench_fio_fsync "$dir" "$how" "$SECONDS_EACH")
			host_say "$how $where: $rate/s"
			RATES[$how.$where]+="$rate "
		done
	done
done
bench_machine
POOL=$([ "$AGED" = 1 ] && echo "aged pool" || echo "fresh pool")
printf '4 KiB write + fdatasync, %s, %s rounds of %s s, medians\n' \
	"$POOL" "$ROUNDS" "$SECONDS_EACH"
for how in over append random; do
	# shellcheck disable=SC2086 # a list of numbers
	ext4=$(bench_median ${RATES[$how.ext4]}) dbs=$(bench_median ${RATES[$how.dbs]})
	what="4 KiB + fdatasync, $how, $POOL"
	bench_record fsync "$what" ext4 /s "$ext4"
	bench_record fsync "$what" dbs /s "$dbs"
	printf '%-7s ext4 %s/s, dbs %s/s, ratio %s\n' "$how" \
		"$ext4" "$dbs" "$(bench_ratio "$dbs" "$ext4")"
	[ "$how" = random ] ||
		bench_goal fsync "$what" "$(bench_ratio "$dbs" "$ext4")" '>=' 1.00
done
bench_pool_remove
[ "$BENCH_MISSED" -eq 0 ]
