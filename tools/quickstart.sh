#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# quickstart.sh - see dbs work, on a bare Debian 12 or Ubuntu 24.04
#
#   sudo tools/quickstart.sh [DUMP.sql[.gz|.zst]]
#
# Installs the packages that are missing, builds dbs, makes a pool in a file,
# mounts it, runs MariaDB on it with DUMP (or a shop database of its own),
# snapshots, clones, breaks a clone, restores it, and prints how long each
# step took and what the clones cost.  Then takes everything away again but
# the packages.  A MariaDB that already runs on the host is left alone.
#
# QUICKSTART_DIR  where the pool's file goes (default: /var/tmp)
# QUICKSTART_SIZE the pool's size (default: by the dump's size)
# QUICKSTART_BUILD a build directory to use (default: a new one, removed again)
set -Eeuo pipefail

SOURCE=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=tools/lib/host.sh
. "$SOURCE/tools/lib/host.sh"

STEPS=()       # "milliseconds<TAB>what"
STEP=""        # that runs now
INVENTORY=""   # what the dump should hold

usage()
{
	sed -n '5,18s/^# \{0,1\}//p' "$0"
	exit "$1"
}

# step WHAT COMMAND...: run it, its output into a log, and note the time
step()
{
	local start end

	STEP=$1
	shift
	start=$(host_now_ms)
	"$@" >"$HOST_TMP/step.log" 2>&1
	end=$(host_now_ms)
	STEPS+=("$((end - start))"$'\t'"$STEP")
	printf '%9s  %s\n' "$(duration $((end - start)))" "$STEP"
	STEP=""
}

duration()
{
	if [ "$1" -lt 1000 ]; then
		printf '%d ms' "$1"
	else
		printf '%d.%d s' $(($1 / 1000)) $(($1 % 1000 / 100))
	fi
}

# on any exit, before the cleaning up
show_failure()
{
	[ "$1" -ne 0 ] || return 0
	[ -n "$STEP" ] || return 0
	host_say "quickstart: failed: $STEP"
	[ ! -s "$HOST_TMP/step.log" ] || tail -n 30 "$HOST_TMP/step.log" >&2
}

# ---- the dump ------------------------------------------------------------------

read_dump()
{
	case $DUMP in
	*.gz) gzip -dc -- "$DUMP" ;;
	*.zst) zstd -dcq -- "$DUMP" ;;
	*.xz) xz -dc -- "$DUMP" ;;
	*) cat -- "$DUMP" ;;
	esac
}

# The database of a dump that does not name one: called like its file.
dump_database()
{
	local name=${DUMP##*/}

	name=${name%%.*}
	printf '%s\n' "${name//[^A-Za-z0-9_]/_}"
}

inventory_dump()
{
	local name

	name=$(dump_database)
	read_dump | perl "$SOURCE/tools/lib/dump-inventory.pl" "$name" \
		>"$HOST_TMP/inventory"
	if ! [ -s "$HOST_TMP/inventory" ]; then
		echo "no table in '$DUMP': is it a dump by mariadb-dump?"
		return 1
	fi
	DATABASES=$(cut -f1 "$HOST_TMP/inventory" | sort -u)
	NAMES_DATABASE=$(read_dump | grep -c '^USE `' || true)
	DUMP_BYTES=$(read_dump | wc -c)
	INVENTORY=$HOST_TMP/inventory
}

# The shop: what its script makes, known beforehand.
inventory_shop()
{
	DATABASES=shop
	DUMP_BYTES=400000000
	INVENTORY=$HOST_TMP/inventory
	cat >"$INVENTORY" <<-END
	shop	procedure	orders_of	-
	shop	table	customer	200000
	shop	table	customer_email	200000
	shop	table	customer_phone	200000
	shop	table	order_item	1600001
	shop	table	orders	800000
	shop	table	product	5000
	shop	trigger	order_placed	-
	shop	view	turnover	-
	END
}

# inventory_instance NAME: the same list, read from an instance
inventory_instance()
{
	local db table

	for db in $DATABASES; do
		mariadb_sql "$1" "
		SELECT TABLE_SCHEMA, 'view', TABLE_NAME, '-'
			FROM information_schema.VIEWS
			WHERE TABLE_SCHEMA = '$db'
		UNION ALL SELECT TRIGGER_SCHEMA, 'trigger', TRIGGER_NAME, '-'
			FROM information_schema.TRIGGERS
			WHERE TRIGGER_SCHEMA = '$db'
		UNION ALL SELECT EVENT_SCHEMA, 'event', EVENT_NAME, '-'
			FROM information_schema.EVENTS
			WHERE EVENT_SCHEMA = '$db'
		UNION ALL SELECT ROUTINE_SCHEMA, LOWER(ROUTINE_TYPE),
			ROUTINE_NAME, '-' FROM information_schema.ROUTINES
			WHERE ROUTINE_SCHEMA = '$db'"
		mariadb_sql "$1" "SELECT TABLE_NAME
			FROM information_schema.TABLES
			WHERE TABLE_SCHEMA = '$db'
			AND TABLE_TYPE = 'BASE TABLE'" |
			while IFS= read -r table; do
				printf '%s\ttable\t%s\t' "$db" "$table"
				mariadb_sql "$1" \
					"SELECT COUNT(*) FROM \`$table\`" "$db" \
					</dev/null
			done
	done
}

# compare NAME: does the instance hold what the dump says?
compare()
{
	inventory_instance "$1" | LC_ALL=C sort >"$HOST_TMP/inventory.$1"
	LC_ALL=C sort "$INVENTORY" | diff - "$HOST_TMP/inventory.$1"
}

# every view answers: it needs tables, functions and rights
query_views()
{
	local db view _

	while IFS=$'\t' read -r db _ view _; do
		mariadb_sql "$1" "SELECT COUNT(*) FROM \`$view\`" "$db" \
			</dev/null
	done < <(grep $'\tview\t' "$INVENTORY" || true)
}

# ---- the steps ------------------------------------------------------------------

load()
{
	local pid

	if [ -z "$DUMP" ]; then
		mariadb_client original <"$SOURCE/tools/lib/shop.sql" &
	elif [ "$NAMES_DATABASE" -gt 0 ]; then
		read_dump | mariadb_client original &
	else
		mariadb_sql original "CREATE DATABASE \`$DATABASES\`"
		read_dump | mariadb_client original "$DATABASES" &
	fi
	pid=$!
	# under way: the snapshot is of a server that is writing
	sleep 0.3
	snapshot_ms=$(host_now_ms)
	"$DBS" snapshot original@loading
	snapshot_ms=$(($(host_now_ms) - snapshot_ms))
	snapshot_when="while it was loading"
	kill -0 "$pid" 2>/dev/null || snapshot_when="just after"
	wait "$pid"
}

has_table() # NAME DATABASE TABLE
{
	[ "$(mariadb_sql "$1" "SELECT COUNT(*) FROM information_schema.TABLES
		WHERE TABLE_SCHEMA = '$2' AND TABLE_NAME = '$3'")" = 1 ]
}

choose_victim()
{
	# the largest table, by the dump's own account
	read -r VICTIM_DB VICTIM ROWS < <(awk -F '\t' '
		$2 == "table" && $4 + 0 >= max { max = $4 + 0; line = $1 " " $3 " " $4 }
		END { print line }' "$INVENTORY")
}

drop_table()
{
	mariadb_sql "$1" "SET foreign_key_checks = 0;
		DROP TABLE \`$VICTIM\`" "$VICTIM_DB"
	! has_table "$1" "$VICTIM_DB" "$VICTIM"
}

# NAME has the table with all its rows
check_table()
{
	local rows

	rows=$(mariadb_sql "$1" "SELECT COUNT(*) FROM \`$VICTIM\`" "$VICTIM_DB")
	echo "$1: $VICTIM_DB.$VICTIM has $rows rows, $ROWS expected"
	[ "$rows" = "$ROWS" ]
}

start() { mariadb_start "$1" "$MNT/$1" --innodb-buffer-pool-size=256M; }

check_pool() { "$DBS" pool check "$HOST_TMP/pool.dbs"; }

pool_size()
{
	local need

	need=$((DUMP_BYTES * 5 + (2 << 30)))
	[ -z "${QUICKSTART_SIZE:-}" ] || need=$(numfmt --from=iec \
		"$QUICKSTART_SIZE")
	[ "$(df --output=avail -B1 "$HOST_TMP" | tail -n 1)" -gt "$need" ] ||
		host_die 6 "no room for a pool of $(numfmt --to=iec "$need") in" \
			"$HOST_TMP; set QUICKSTART_DIR"
	printf '%s\n' "$need"
}

report()
{
	local line

	printf '\n%-46s %10s\n' step time
	for line in "${STEPS[@]}"; do
		printf '%-46s %10s\n' "${line#*$'\t'}" \
			"$(duration "${line%%$'\t'*}")"
	done
	printf '\nwhat the clones cost (UNIQUE: bytes freed if it went):\n\n'
	cat "$HOST_TMP/df"
}

main()
{
	local what size name build

	DUMP=${1:-}
	[ $# -le 1 ] || usage 64
	case $DUMP in
	-h | --help) usage 0 ;;
	-*) usage 64 ;;
	esac
	[ -z "$DUMP" ] || [ -r "$DUMP" ] || host_die 3 "no dump '$DUMP'"
	host_need_root
	[ -e /dev/fuse ] || modprobe fuse 2>/dev/null ||
		host_die 2 "this host has no FUSE (/dev/fuse)"

	# shellcheck disable=SC2034 # host_end calls it
	HOST_EXIT_HOOK=show_failure
	host_begin dbs-quickstart "${QUICKSTART_DIR:-/var/tmp}"
	unset DBS_POOL DBS_SOCKET
	MNT=$HOST_TMP/mnt
	mkdir "$MNT"

	# shellcheck disable=SC2086 # lists of packages
	step "install missing packages" host_install \
		$HOST_PACKAGES_BUILD $HOST_PACKAGES_MARIADB zstd perl
	build=${QUICKSTART_BUILD:-$HOST_TMP/build}
	DBS=$build/tools/dbs
	step "build dbs and dbsfs" host_build "$SOURCE" "$build" -Dtests=false
	if [ -n "$DUMP" ]; then
		what=${DUMP##*/}
		step "read $what" inventory_dump
	else
		what="a shop database"
		inventory_shop
	fi
	choose_victim

	size=$(pool_size)
	step "dbs pool create" "$DBS" pool create "$HOST_TMP/pool.dbs" \
		--size "$size"
	step "dbs mount" host_mount "$HOST_TMP/pool.dbs" "$MNT"
	export DBS_POOL=$HOST_TMP/pool.dbs
	step "dbs create original" "$DBS" create original
	step "mariadb-install-db" mariadb_init "$MNT/original"
	step "start MariaDB" start original
	step "load $what" load
	STEPS+=("$snapshot_ms"$'\t'"  dbs snapshot, $snapshot_when")
	step "compare with what was loaded" compare original
	step "query every view" query_views original

	step "dbs snapshot original@loaded" "$DBS" snapshot original@loaded
	step "dbs clone original@loaded ci-1" "$DBS" clone original@loaded ci-1
	step "dbs clone original@latest ci-2" "$DBS" clone original@latest ci-2
	step "dbs clone original (live) ci-3" "$DBS" clone original ci-3
	step "start MariaDB on ci-1" start ci-1
	step "drop table $VICTIM on ci-1" drop_table ci-1
	step "original still has it" check_table original
	step "start MariaDB on ci-2" start ci-2
	step "ci-2 still has it" check_table ci-2
	step "stop MariaDB on ci-1" mariadb_stop ci-1
	step "dbs restore original@loaded --to ci-1" "$DBS" restore \
		original@loaded --to ci-1
	step "start MariaDB on ci-1" start ci-1
	step "ci-1 has it again" check_table ci-1
	step "ci-1 is as the dump" compare ci-1
	step "start MariaDB on ci-3" start ci-3
	step "ci-3 is as the dump" compare ci-3
	step "dbs sync" "$DBS" sync
	"$DBS" df --unique >"$HOST_TMP/df"
	for name in original ci-1 ci-2 ci-3; do
		step "stop MariaDB on $name" mariadb_stop "$name"
	done
	step "dbs rm ci-3" "$DBS" rm --yes ci-3
	step "dbs umount" "$DBS" umount "$MNT"
	step "dbs pool check" check_pool
	report
}

main "$@"
