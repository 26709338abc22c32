#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154

load lib

setup() { setup_pool; }
teardown() { teardown_dir; }

@test "create, list and rm" {
	"$DBS" create a
	"$DBS" create b -o recordsize=64K,compression=off -o quota=10M
	run "$DBS" list --quiet
	[ "$output" = $'a\nb' ]
	[ "$(json '.items[1].recordsize' "$DBS" list)" = 65536 ]
	[ "$(json '.items[1].quota' "$DBS" list)" = $((10 << 20)) ]
	[ "$(json '.items | length' "$DBS" list 'b*')" = 1 ]
	if mounted; then
		[ -d "$MNT/a" ]
	fi
	"$DBS" rm --yes a b
	[ "$(json '.items | length' "$DBS" list)" = 0 ]
	if mounted; then
		[ ! -e "$MNT/a" ]
	fi
	check_pool
}

@test "list prints a table, with and without --unique" {
	"$DBS" create a
	run "$DBS" list
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == NAME*ORIGIN* ]]
	[[ ${lines[1]} == a\ * ]]
	run "$DBS" list --unique --type all
	[[ ${lines[0]} == *UNIQUE* ]]
	fails 64 "unknown type 'x'" "$DBS" list --type x
}

@test "names: malformed, existing and missing" {
	local bad long

	long=$(printf 'x%.0s' {1..201})
	for bad in "" . .. .x a/b 'a b' a@ a@b "$long" ä $'a\nb' $'\xff'; do
		fails 64 "" "$DBS" create -- "$bad"
	done
	fails 64 "" "$DBS" create -- -x
	[ "$(json '.items | length' "$DBS" list)" = 0 ]
	"$DBS" create "${long:1}"
	"$DBS" create a
	fails 4 "'a'.*exists" "$DBS" create a
	fails 3 "'none'" "$DBS" rm --yes none
	fails 3 "'none'" "$DBS" mv none other
	fails 4 "exists" "$DBS" mv a "${long:1}"
	fails 64 "" "$DBS" mv a .x
	fails 3 "" "$DBS" get none
	fails 3 "" "$DBS" set none quota=1G
	"$DBS" mv a z
	[ "$(json '.items[0].name' "$DBS" list z)" = z ]
}

@test "bad properties of create" {
	fails 64 "" "$DBS" create a -o recordsize=17K
	fails 64 "" "$DBS" create a -o recordsize=1M
	fails 64 "" "$DBS" create a -o compression=lz77
	fails 64 "" "$DBS" create a -o colour=red
	fails 64 "not PROPERTY=VALUE" "$DBS" create a -o recordsize
	fails 64 "given twice" "$DBS" create a -o quota=1G,quota=2G
	[ "$(json '.items | length' "$DBS" list)" = 0 ]
}

@test "rm names what it destroys, and wants --yes" {
	"$DBS" create ci-1
	"$DBS" create ci-2
	"$DBS" create prod
	"$DBS" snapshot prod@s
	fails 64 "destroys 'ci-1', 'ci-2', and frees.*give --yes" \
		"$DBS" rm 'ci-*' </dev/null
	run "$DBS" rm --dry-run 'ci-*'
	[ "$status" -eq 0 ]
	[[ $output == *ci-1*ci-2*frees* ]]
	[ "$(json '.items | length' "$DBS" list)" = 3 ]
	[ "$(json '.items | length' "$DBS" rm --dry-run 'ci-*' prod -r)" = 4 ]
	fails 4 "snapshot" "$DBS" rm --yes prod
	# all or none
	fails 3 "none" "$DBS" rm --yes ci-1 none
	fails 3 "" "$DBS" rm --yes 'x*'
	# half a pattern is a slip, not "all"
	fails 64 "nothing on one side of '@'" "$DBS" rm --yes '*@'
	fails 64 "nothing on one side of '@'" "$DBS" rm --yes '@*'
	fails 64 "nothing on one side of '@'" "$DBS" list 'prod@'
	[ "$("$DBS" list -qt snapshot)" = prod@s ]
	[ "$(json '.items | length' "$DBS" list)" = 3 ]
	"$DBS" rm --yes 'ci-*'
	"$DBS" rm --yes prod@s
	"$DBS" rm --yes prod
	[ "$(json '.items | length' "$DBS" list)" = 0 ]
	check_pool
}

@test "rm asks on a terminal" {
	command -v script >/dev/null || skip "no script(1)"
	"$DBS" create a
	echo n | script -qec "'$DBS' rm a" /dev/null || true
	[ "$(json '.items | length' "$DBS" list)" = 1 ]
	echo y | script -qec "'$DBS' rm a" /dev/null
	[ "$(json '.items | length' "$DBS" list)" = 0 ]
}

@test "rm --recursive takes the snapshots, and 300 names at once" {
	local i

	"$DBS" create base
	"$DBS" snapshot base@s
	for ((i = 0; i < 300; i++)); do
		if ! mounted; then
			[ "$i" -lt 40 ] || break
		fi
		"$DBS" clone base@s \
			"clone-with-a-name-that-makes-requests-long-$(printf '%0150d' "$i")"
	done
	"$DBS" rm --yes --recursive 'clone-*' base
	[ "$(json '.items | length' "$DBS" list --type all)" = 0 ]
	check_pool
}

@test "set and get" {
	"$DBS" create a
	"$DBS" set a quota=1G user:owner=billing readonly=on
	[ "$("$DBS" get a quota)" = 1G ]
	[ "$("$DBS" get a readonly)" = on ]
	[ "$("$DBS" get a user:owner)" = billing ]
	[ "$(json .properties.quota "$DBS" get a)" = $((1 << 30)) ]
	[ "$(json '.properties["user:owner"]' "$DBS" get a user:owner)" = \
		billing ]
	run "$DBS" get a
	[[ $output == *recordsize*16K* ]]
	"$DBS" set a user:owner= readonly=off quota=none
	[ "$("$DBS" get a quota)" = none ]
	fails 3 "" "$DBS" get a user:owner
	fails 64 "" "$DBS" get a colour
	fails 64 "" "$DBS" set a colour=red
	fails 64 "" "$DBS" set a created=now
	fails 64 "" "$DBS" set a recordsize=5K
	fails 64 "not PROPERTY=VALUE" "$DBS" set a quota
	fails 64 "PROPERTY=VALUE is missing" "$DBS" set a
	json '.properties.quota == 0' "$DBS" set a quota=0
	check_pool
}

@test "df shows the pool and its datasets" {
	"$DBS" create a -o quota=50M
	run "$DBS" df
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == pool:*256M* ]]
	[[ $output == *50M* ]]
	[ "$(json .pool.size "$DBS" df)" = $((256 << 20)) ]
	[ "$(json '.items[0].quota' "$DBS" df --unique)" = $((50 << 20)) ]
}

@test "sync and pool info" {
	json .txg "$DBS" sync
	[ "$(json .nr_datasets "$DBS" pool info)" -ge 0 ]
	if mounted; then
		[ "$(json .mountpoint "$DBS" pool info)" = "$MNT" ]
		# by mountpoint, by name of the file, by socket
		[ "$(json .path "$DBS" pool info "$MNT")" = "$POOL" ]
		fails 4 "in use|mounted" "$DBS" pool check "$POOL"
	fi
}

@test "which pool: options, environment, configuration" {
	"$DBS" pool create "$T/other" --size 64M --sparse
	"$DBS" create here
	fails 3 "'here'" "$DBS" get here --pool "$T/other"
	[ "$(json '.items | length' "$DBS" list -p "$T/other")" = 0 ]
	unset DBS_POOL
	echo "# the default" >"$DBS_CONFIG_DIR/pool"
	echo "$POOL" >>"$DBS_CONFIG_DIR/pool"
	[ "$("$DBS" list -q)" = here ]
	echo relative >"$DBS_CONFIG_DIR/pool"
	fails 78 "absolute path" "$DBS" list
	: >"$DBS_CONFIG_DIR/pool"
	fails 78 "absolute path" "$DBS" list
	echo "$T/none" >"$DBS_CONFIG_DIR/pool"
	fails 78 "names '$T/none'" "$DBS" list
	fails 69 "no daemon answers on" "$DBS" list --socket "$T/no.sock"
	DBS_SOCKET=$T/no.sock fails 69 "no daemon" "$DBS" list
	[ "$(DBS_SOCKET=$T/no.sock "$DBS" list -q --pool "$POOL")" = here ]
	fails 3 "called 'nosuchpool'" "$DBS" list --pool nosuchpool
}

# every command that prints, with --json: one object, whatever it answers
@test "--json is one object, and nothing where the command fails" {
	local cmd

	"$DBS" create a
	"$DBS" snapshot a@s
	while IFS= read -r cmd; do
		# shellcheck disable=SC2086
		run --separate-stderr "$DBS" $cmd --json
		[ "$status" -eq 0 ] || { echo "$cmd: $stderr"; return 1; }
		jq -es 'length == 1 and (.[0] | type == "object")' <<<"$output"
		jq -e '[.. | strings | select(test("^20[0-9]{2}-")) |
			select(test("^[0-9-]{10}T[0-9:.]+Z$") | not)] |
			length == 0' <<<"$output"
	done <<-END
		create b
		create c -o quota=1G
		list
		list --type all --unique
		get a
		get a created
		set a user:k=v quota=1G
		mv b bb
		df --unique
		sync
		snapshot a@t c@t
		snapshot a
		clone a@t d
		diff a@s
		diff a d --limit 5
		restore a@s --dry-run
		restore a@s
		restore a@s --discard --yes
		rm --dry-run bb
		rm --yes bb
		rm -r --yes a c
		pool info
		pool list
		pool grow --size 300M
	END
	run --separate-stderr "$DBS" get none --json
	[ "$status" -eq 3 ]
	[ -z "$output" ]
}

@test "who may not, is told so" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	local as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups)

	chmod 0755 "$T"
	chmod 0600 "$POOL"
	"${as_nobody[@]}" "$DBS" --version >/dev/null 2>&1 ||
		skip "nobody cannot run $DBS"
	fails 5 "ermission denied" "${as_nobody[@]}" "$DBS" list --pool "$POOL"
	fails 5 "ermission denied" \
		"${as_nobody[@]}" "$DBS" pool check --pool "$POOL"
	if mounted; then
		fails 5 "may not control" \
			"${as_nobody[@]}" "$DBS" list --pool "$MNT"
		fails 5 "ermi" "${as_nobody[@]}" "$DBS" umount "$MNT"
		grep -qF " $MNT " /proc/self/mountinfo
	fi
}
