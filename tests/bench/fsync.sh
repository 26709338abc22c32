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

# one DIR over|append|random: rate of one round
one()
{
	local dir=$1 how=$2 out rw

	if [ "$how" = append ]; then
		rm -f "$dir/append"
		out=$(fio --name=append --filename="$dir/append" --rw=write \
			--bs=4k --size=8g --fdatasync=1 --ioengine=psync \
			--file_append=1 --overwrite=0 --fallocate=none \
			--create_on_open=1 --runtime="$SECONDS_EACH" \
			--time_based --output-format=json)
	else
		rw=write
		[ "$how" = over ] || rw=randwrite
		out=$(fio --name=over --filename="$dir/over" --rw="$rw" \
			--bs=4k --size="$FILE_SIZE" --fdatasync=1 \
			--ioengine=psync --runtime="$SECONDS_EACH" \
			--time_based --output-format=json)
	fi
	jq -r '.jobs[0].write.iops' <<<"$out"
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
			rate=$(one "$dir" "$how")
			host_say "$how $where: $rate/s"
			RATES[$how.$where]+="$rate "
		done
	done
done
bench_machine
printf '4 KiB write + fdatasync, %s pool, %s rounds of %s s, medians\n' \
	"$([ "$AGED" = 1 ] && echo aged || echo fresh)" "$ROUNDS" "$SECONDS_EACH"
BELOW=0
for how in over append random; do
	# shellcheck disable=SC2086 # a list of numbers
	ext4=$(bench_median ${RATES[$how.ext4]}) dbs=$(bench_median ${RATES[$how.dbs]})
	goal=" (goal 1.00)"
	[ "$how" != random ] || goal=""
	printf '%-7s ext4 %s/s, dbs %s/s, ratio %s%s\n' "$how" \
		"$ext4" "$dbs" "$(bench_ratio "$dbs" "$ext4")" "$goal"
	[ "$how" = random ] || awk -v a="$dbs" -v b="$ext4" 'BEGIN { exit a / b >= 1 }' && BELOW=1
done
bench_pool_remove
exit "$BELOW"
