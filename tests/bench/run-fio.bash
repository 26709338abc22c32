# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# run-fio.bash - run.sh's group 'fio'
#
# Below: lib.bash, run.sh's measure(), place(), $SYSTEMS, $ROUNDS.
#
# On each system a file of $FIO_SIZE that does not compress. What is '16 in
# flight' is Linux AIO of one thread with O_DIRECT, as InnoDB does it, and 16
# threads without. Buffered reads find their file in the page cache, buffered
# writes end there. Cold is after 'echo 3 >drop_caches', each page once.

# fio_jobs: 'WHAT|read or write|UNIT|OPTIONS' in lines; cold ones have 'cold' in WHAT
fio_jobs()
{
	local timed="--time_based --runtime=$FIO_SECONDS"
	local once="--runtime=$FIO_SECONDS"
	local direct=--direct=1 one="--ioengine=psync --bs=16k"
	local aio="--ioengine=libaio --iodepth=16 --bs=16k --direct=1"
	local many="--ioengine=psync --numjobs=16 --bs=16k"

	cat <<-END
	random read, 16 KiB, cold, O_DIRECT, 1 in flight|read|/s|--rw=randread $one $direct $once
	random read, 16 KiB, cold, O_DIRECT, 16 in flight|read|/s|--rw=randread $aio $once
	random read, 16 KiB, O_DIRECT, 1 in flight|read|/s|--rw=randread $one $direct $timed
	random read, 16 KiB, O_DIRECT, 16 in flight|read|/s|--rw=randread $aio $timed
	random read, 16 KiB, buffered, 1 in flight|read|/s|--rw=randread $one $timed
	random read, 16 KiB, buffered, 16 in flight|read|/s|--rw=randread $many $timed
	random write, 16 KiB, O_DIRECT, 1 in flight|write|/s|--rw=randwrite $one $direct $timed
	random write, 16 KiB, O_DIRECT, 16 in flight|write|/s|--rw=randwrite $aio $timed
	random write, 16 KiB, buffered, 1 in flight|write|/s|--rw=randwrite $one $timed
	random write, 16 KiB, buffered, 16 in flight|write|/s|--rw=randwrite $many $timed
	mixed 70/30, 16 KiB, O_DIRECT, 16 in flight|read|/s|--rw=randrw --rwmixread=70 $aio $timed
	sequential read, 1 MiB, cold, O_DIRECT|read|MB/s|--rw=read --ioengine=psync --bs=1m $direct $once
	sequential read, 1 MiB, cold, buffered|read|MB/s|--rw=read --ioengine=psync --bs=1m $once
	sequential write, 1 MiB, O_DIRECT|write|MB/s|--rw=write --ioengine=psync --bs=1m $direct $timed
	sequential write, 1 MiB, buffered, fdatasync each 64|write|MB/s|--rw=write --ioengine=psync --bs=1m --fdatasync=64 $timed
	END
}

# fio_one FILE read|write UNIT OPTION...: operations or MB a second, and of them
fio_one()
{
	local file=$1 way=$2 unit=$3 of

	shift 3
	of="$way | \"\(.iops | round) \(.total_ios)\""
	[ "$unit" != MB/s ] ||
		of="$way | \"\(.bw_bytes / 1e5 | round / 10) \(.io_bytes / 1e6)\""
	bench_fio "$file" "$of" --size="$FIO_SIZE" "$@"
}

fio_fsync() # DIR over|append
{
	with_number "$(bench_fio_fsync "$@" "$FIO_SECONDS")" "$FIO_SECONDS"
}

fio_round()
{
	local what way unit options system how

	while IFS='|' read -r what way unit options; do
		for system in "${SYSTEMS[@]}"; do
			[[ $what != *cold* ]] || drop_caches
			# shellcheck disable=SC2086 # options
			measure fio "$what" "$system" "$unit" fio_one \
				"${DIRS[$system]}/fio/over" "$way" "$unit" $options
			# what it wrote is not the next one's to wait for
			sync -d "${DIRS[$system]}/fio/over"
		done
	done < <(fio_jobs)
	for how in over append; do
		for system in "${SYSTEMS[@]}"; do
			measure fio "4 KiB + fdatasync, $how" "$system" /s \
				fio_fsync "${DIRS[$system]}/fio" "$how"
		done
	done
}

fio_all()
{
	local system round

	for system in "${SYSTEMS[@]}"; do
		python3 "$SOURCE/tests/bench/diverge.py" make \
			"$(numfmt --from=iec "$FIO_SIZE")" \
			"$(place "$system" fio)/over"
	done
	for ((round = 0; round < ROUNDS; round++)); do
		fio_round
	done
	goal fio 'random read, 16 KiB, cold, O_DIRECT, 1 in flight' \
		'cold random read, 1 in flight' '>=' 0.85
	goal fio 'random read, 16 KiB, cold, O_DIRECT, 16 in flight' \
		'cold random read, 16 in flight' '>=' 0.85
	goal fio '4 KiB + fdatasync, over' 'overwrite + fdatasync' '>=' 1.00
	goal fio '4 KiB + fdatasync, append' 'append + fdatasync' '>=' 1.00
	for system in "${SYSTEMS[@]}"; do
		place_remove "$system" fio
	done
}
