#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154

load lib

setup()
{
	setup_pool
	"$DBS" create prod
}
teardown() { teardown_dir; }

@test "snapshot prints its name, and makes one of the time" {
	[ "$("$DBS" snapshot prod@one)" = prod@one ]
	run "$DBS" snapshot prod
	[ "$status" -eq 0 ]
	[[ $output =~ ^prod@20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z$ ]]
	[ "$(json '.items | length' "$DBS" list 'prod@*')" = 2 ]
	[ "$(json '.items[0].name' "$DBS" list 'prod@o*')" = prod@one ]
	check_pool
}

@test "snapshot of several datasets at one moment" {
	"$DBS" create b
	"$DBS" snapshot prod@x b@x
	[ "$("$DBS" list -q -t snapshot)" = $'b@x\nprod@x' ]
	fails 4 "exists" "$DBS" snapshot prod@x
	# none of them, where one cannot be
	fails 4 "exists" "$DBS" snapshot prod@y b@y prod@x b@x || true
	fails 64 "" "$DBS" snapshot prod@y b@z
	[ "$(json '.items | length' "$DBS" list -t snapshot)" = 2 ]
}

@test "snapshot: bad names" {
	fails 3 "'none'" "$DBS" snapshot none@x
	fails 64 "" "$DBS" snapshot prod@
	fails 64 "" "$DBS" snapshot prod@.x
	fails 64 "" "$DBS" snapshot prod@a@b
	fails 64 "" "$DBS" snapshot @a
	fails 64 "is missing" "$DBS" snapshot
}

@test "clone of a snapshot, of the latest, of a live dataset, of a clone" {
	"$DBS" snapshot prod@one
	"$DBS" snapshot prod@two
	"$DBS" clone prod@one c1
	"$DBS" clone prod@latest c2
	"$DBS" clone prod c3
	"$DBS" clone c3 c4
	[ "$(json '.items[] | select(.name == "c2") | .origin' "$DBS" list)" = \
		prod@two ]
	json '.duration_ms >= 0' "$DBS" clone c4 c5
	fails 4 "exists" "$DBS" clone prod@one c1
	fails 3 "'prod' has no snapshot 'none'" "$DBS" clone prod@none c9
	fails 3 "'none'" "$DBS" clone none c9
	fails 64 "" "$DBS" clone prod c9@x
	fails 64 "" "$DBS" clone prod .c
	"$DBS" create empty
	fails 3 "" "$DBS" clone empty@latest c9
	# peers: destroyed in any order
	"$DBS" rm --yes -r prod
	"$DBS" rm --yes c3 c1
	[ "$("$DBS" list -q)" = $'c2\nc4\nc5\nempty' ]
	check_pool
}

@test "restore keeps what it replaces, unless --discard" {
	"$DBS" snapshot prod@one
	run "$DBS" restore prod@one
	[ "$status" -eq 0 ]
	[[ $output == *"prod@before-restore-"* ]]
	[ "$(json '.items | length' "$DBS" list 'prod@before-restore-*')" = 1 ]
	json '.items[0].automatic' "$DBS" list 'prod@before-restore-*'
	fails 64 "destroys what 'prod' has changed.*give --yes" \
		"$DBS" restore prod@one --discard </dev/null
	json '.kept == null' "$DBS" restore prod@one --discard --yes
	[ "$(json '.items | length' "$DBS" list 'prod@before-restore-*')" = 1 ]
	run "$DBS" restore prod@one --dry-run
	[ "$status" -eq 0 ]
	[[ $output == *"0 files"* ]]
	"$DBS" clone prod@one c
	"$DBS" restore prod@one --to c
	fails 3 "'prod' has no snapshot 'none'" "$DBS" restore prod@none
	fails 3 "'none'" "$DBS" restore none@one
	fails 3 "'none'" "$DBS" restore prod@one --to none
	fails 64 "" "$DBS" restore prod
	check_pool
}

@test "restore brings files back, and refuses while they are open" {
	mounted || skip "needs a mount"
	put prod/a 100000
	sum=$(md5sum <"$MNT/prod/a")
	"$DBS" snapshot prod@one
	put prod/a 50000
	put prod/b 5000
	exec 7>>"$MNT/prod/b"
	fails 4 "open" "$DBS" restore prod@one
	[ -e "$MNT/prod/b" ]
	"$DBS" restore prod@one --force
	exec 7>&-
	[ "$(md5sum <"$MNT/prod/a")" = "$sum" ]
	[ ! -e "$MNT/prod/b" ]
	[ "$(ls -A "$MNT/prod")" = a ]
	run "$DBS" list -q 'prod@before-*'
	"$DBS" clone "$output" back
	[ "$(stat -c %s "$MNT/back/b")" = 5000 ]
	check_pool
}

@test "rm refuses while files are open, --force does not" {
	mounted || skip "needs a mount"
	put prod/a 1000
	exec 7<"$MNT/prod/a"
	fails 4 "open" "$DBS" rm --yes prod
	"$DBS" rm --yes --force prod
	run cat <&7
	[ "$status" -ne 0 ]
	exec 7<&-
	[ ! -e "$MNT/prod" ]
	check_pool
}

@test "snapshots are read-only and not listed" {
	mounted || skip "needs a mount"
	put prod/a 100000
	"$DBS" snapshot prod@one
	put prod/a 10
	[ "$(stat -c %s "$MNT/prod/.dbs/snapshot/one/a")" = 100000 ]
	[ "$(ls -A "$MNT/prod")" = a ]
	run touch "$MNT/prod/.dbs/snapshot/one/b"
	[ "$status" -ne 0 ]
	[[ $output == *"Read-only"* ]]
	run rm -f "$MNT/prod/.dbs/snapshot/one/a"
	[ "$status" -ne 0 ]
	"$DBS" set prod readonly=on
	run touch "$MNT/prod/x"
	[[ $output == *"Read-only"* ]]
}

@test "diff tells what changed" {
	if ! mounted; then
		"$DBS" snapshot prod@one
		[ "$(json .nr_entries "$DBS" diff prod@one)" = 0 ]
		return
	fi
	put prod/same 100000
	put prod/mod 100000
	put prod/gone 1000
	put prod/old 1000
	"$DBS" snapshot prod@one
	printf x | dd of="$MNT/prod/mod" bs=1 seek=20000 conv=notrunc status=none
	rm "$MNT/prod/gone"
	mv "$MNT/prod/old" "$MNT/prod/new"
	put prod/added 5000
	run "$DBS" diff prod@one
	[ "$status" -eq 0 ]
	[[ $output == *"+"*"added"* ]]
	[ "$(json '[.entries[] | select(.type == "file") | "\(.kind) \(.path)"]
		| sort | join(",")' "$DBS" diff prod@one prod)" = \
		"added added,modified mod,removed gone,renamed new" ]
	[ "$(json '.entries[] | select(.path == "mod") | .bytes' \
		"$DBS" diff prod@one)" = 16384 ]
	[ "$(json '.entries | length' "$DBS" diff prod@one --limit 1)" = 1 ]
	json .truncated "$DBS" diff prod@one --limit 1
	fails 64 "not a number" "$DBS" diff prod@one --limit x
	fails 3 "'none'" "$DBS" diff prod@one none
}

@test "df and unique: a clone costs what it changes" {
	mounted || skip "needs a mount"
	put prod/a 10000000
	"$DBS" snapshot prod@one
	"$DBS" clone prod@one c
	unique=$(json '.items[] | select(.name == "c") | .unique' \
		"$DBS" df --unique)
	[ "$unique" -lt 100000 ]
	put c/b 1000000
	"$DBS" sync
	unique=$(json '.items[] | select(.name == "c") | .unique' \
		"$DBS" df --unique)
	[ "$unique" -ge 1000000 ]
	[ "$unique" -lt 1200000 ]
	[ "$(json .total_unique "$DBS" rm --dry-run c)" = "$unique" ]
}

@test "mv renames snapshots and datasets" {
	"$DBS" snapshot prod@one
	"$DBS" mv prod@one prod@two
	"$DBS" mv prod@two @three
	[ "$("$DBS" list -q 'prod@*')" = prod@three ]
	"$DBS" mv prod live
	[ "$("$DBS" list -q 'live@*')" = live@three ]
	fails 3 "'prod' has no snapshot 'one'|'prod'" "$DBS" mv prod@one prod@x
	fails 64 "" "$DBS" mv live@three other@three
	if mounted; then
		[ -d "$MNT/live" ]
		[ ! -e "$MNT/prod" ]
	fi
}
