# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# run-oltp.bash - run.sh's group 'oltp': MariaDB on each system
#
# Below: lib.bash, run.sh's measure(), place(), $SYSTEMS, $ROUNDS.
#
# An instance for each system, ours with the options of 'dbs up'; and two more
# with equal settings: on ext4 without doublewrite, on ours with the server's
# flush method. All run at once, but those that nobody asks stand still (SIGSTOP), so that none
# writes in the background while another is measured.

OLTP_TESTS="oltp_read_write oltp_write_only oltp_read_only oltp_point_select"
EQUAL="ext4, no doublewrite"
DIRECT="dbs, O_DIRECT"

# oltp_name SYSTEM: its instance
oltp_name()
{
	case $1 in
	"$EQUAL") echo ext4_equal ;;
	"$DIRECT") echo dbs_direct ;;
	*) echo "$1" ;;
	esac
}

oltp_pid()
{
	local var

	var=MARIADB_PID_$(oltp_name "$1")
	printf '%s\n' "${!var}"
}

# oltp_options SYSTEM BUFFER-POOL
oltp_options()
{
	case $1 in
	dbs) echo "--innodb-doublewrite=0 --innodb-flush-method=fsync" \
		"--innodb-flush-neighbors=0" ;;
	"$EQUAL" | "$DIRECT") echo "--innodb-doublewrite=0" ;;
	*) echo "--innodb-doublewrite=1" ;;
	esac
	echo "--innodb-buffer-pool-size=$2"
}

oltp_only() # SYSTEM
{
	local system

	for system in "${OLTP_SYSTEMS[@]}"; do
		if [ "$system" = "$1" ]; then
			kill -CONT "$(oltp_pid "$system")"
		else
			kill -STOP "$(oltp_pid "$system")"
		fi
	done
}

# oltp_dir SYSTEM
oltp_dir()
{
	printf '%s/%s\n' "${DIRS[${1%%,*}]}" "$(oltp_name "$1")"
}

oltp_import() # INSTANCE
{
	mariadb_sql "$1" 'CREATE DATABASE import'
	milliseconds mariadb_client "$1" import <"$HOST_TMP/dump.sql"
}

oltp_rate() # INSTANCE TEST
{
	with_number "$(bench_rate "$@" "$OLTP_SECONDS")" "$OLTP_SECONDS"
}

# oltp_round POOL-NAME
oltp_round()
{
	local test system name

	for test in $OLTP_TESTS import; do
		for system in "${OLTP_SYSTEMS[@]}"; do
			name=$(oltp_name "$system")
			oltp_only "$system"
			if [ "$test" = import ]; then
				measure oltp "import, $1" "$system" ms \
					oltp_import "$name"
				mariadb_sql "$name" 'DROP DATABASE import'
			else
				measure oltp "$test, $1" "$system" /s \
					oltp_rate "$name" "$test"
			fi
		done
	done
}

oltp_start() # BUFFER-POOL
{
	local system name

	for system in "${OLTP_SYSTEMS[@]}"; do
		name=$(oltp_name "$system")
		# shellcheck disable=SC2046 # options
		mariadb_start "$name" "$(oltp_dir "$system")" \
			$(oltp_options "$system" "$1")
		bench_rate "$name" oltp_read_write \
			$((OLTP_SECONDS / 2 + 1)) >/dev/null
		kill -STOP "$(oltp_pid "$system")"
	done
}

oltp_stop()
{
	local system

	for system in "${OLTP_SYSTEMS[@]}"; do
		kill -CONT "$(oltp_pid "$system")"
		mariadb_stop "$(oltp_name "$system")"
	done
}

# Restore in place, the server stopped before and started after, to an answer.
oltp_restore()
{
	mariadb_stop dbs
	"$DBS" restore dbs@before --discard --yes
	# shellcheck disable=SC2046 # options
	mariadb_start dbs "$(oltp_dir dbs)" $(oltp_options dbs 128M)
}

oltp_restores()
{
	local round start times=()

	"$DBS" snapshot dbs@before >/dev/null
	# shellcheck disable=SC2046 # options
	mariadb_start dbs "$(oltp_dir dbs)" $(oltp_options dbs 128M)
	for ((round = 0; round < ROUNDS; round++)); do
		bench_rate dbs oltp_write_only 2 >/dev/null
		start=$(bench_now_us)
		oltp_restore >/dev/null
		times+=("$(bench_ms $(($(bench_now_us) - start)))")
		bench_record oltp 'stop, restore, start, first answer' dbs ms \
			"${times[-1]}"
	done
	mariadb_stop dbs
	bench_goal oltp 'stop, restore, start, first answer, ms' \
		"$(bench_median "${times[@]}")" '<=' 1000
}

oltp_goals() # POOL-NAME
{
	local test

	for test in oltp_read_write oltp_write_only; do
		goal oltp "$test, $1" "$test, $1, as used" '>=' 1.00
		[ "$test" != oltp_read_write ] ||
			goal oltp "$test, $1" "$test, $1, equal settings" \
				'>=' 0.90 "$EQUAL" "$DIRECT"
	done
	goal oltp "import, $1" "time of the import, $1" '<=' 1.10
}

oltp_all()
{
	local system name size round what

	OLTP_SYSTEMS=(ext4 "$EQUAL" "$DIRECT" "${SYSTEMS[@]:1}")
	for system in "${OLTP_SYSTEMS[@]}"; do
		name=$(oltp_name "$system")
		host_say "oltp: preparing $system ..."
		place "${system%%,*}" "$name" >/dev/null
		bench_mariadb "$name" "$(oltp_dir "$system")" \
			--innodb-buffer-pool-size=1G
		[ "$system" != ext4 ] || mariadb-dump --no-defaults --user=root \
			--socket="$HOST_TMP/run/$name.sock" sbtest \
			>"$HOST_TMP/dump.sql"
		mariadb_stop "$name"
	done
	for size in $BUFFER_POOLS; do
		what="buffer pool larger than the data"
		[ "$size" != "${BUFFER_POOLS%% *}" ] ||
			what="buffer pool smaller than the data"
		oltp_start "$size"
		for ((round = 0; round < ROUNDS; round++)); do
			oltp_round "$what"
		done
		oltp_stop
	done
	oltp_goals "buffer pool smaller than the data"
	oltp_goals "buffer pool larger than the data"
	oltp_restores
	for system in "${OLTP_SYSTEMS[@]}"; do
		place_remove "${system%%,*}" "$(oltp_name "$system")"
	done
	rm -f "$HOST_TMP/dump.sql"
}
