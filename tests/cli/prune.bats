#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154

load lib

setup()
{
	setup_pool
	export DBS_STATE_DIR=$T/state
	"$DBS" create prod
}
teardown() { teardown_dir; }

@test "prune keeps the newest, says why, and asks" {
	for s in a b c d; do
		"$DBS" snapshot "prod@$s"
	done
	run "$DBS" prune prod --keep-last 2 --keep-daily 1 --dry-run
	[ "$status" -eq 0 ]
	[[ ${lines[1]} =~ keep.*prod@d.*last,\ daily ]]
	[[ ${lines[2]} =~ keep.*prod@c.*last ]]
	[[ ${lines[3]} =~ remove.*prod@b.*no\ rule ]]
	[ "$(json '[.items[] | select(.keep)] | length' "$DBS" prune prod \
		--keep-last 2 --dry-run)" = 2 ]
	[ "$(json '.items | length' "$DBS" list 'prod@*')" = 4 ]
	run "$DBS" prune prod --keep-last 2 </dev/null
	[ "$status" -eq 64 ]
	[[ $output == *"give --yes"* ]]
	[ "$(json '.items | length' "$DBS" list 'prod@*')" = 4 ]
	"$DBS" prune prod --keep-last 2 --yes
	[ "$("$DBS" list -q 'prod@*')" = $'prod@c\nprod@d' ]
	"$DBS" prune prod --keep-last 2 --yes
	[ "$("$DBS" list -q 'prod@*')" = $'prod@c\nprod@d' ]
	check_pool
}

@test "prune: each dataset by itself, and what a restore replaced stays" {
	"$DBS" create other
	"$DBS" snapshot prod@a
	"$DBS" snapshot prod@b
	"$DBS" snapshot other@a
	"$DBS" snapshot other@b
	"$DBS" restore prod@b
	"$DBS" prune 'pr*' other --keep-last 1 --yes
	[ "$("$DBS" list -q other@*)" = other@b ]
	[ "$(json '.items | length' "$DBS" list 'prod@*')" = 2 ]
	[ "$(json '.items | length' "$DBS" list 'prod@before-*')" = 1 ]
}

@test "prune: the newest stays, though the clock was ahead before" {
	"$DBS" snapshot prod@a
	! mounted || "$DBS" umount "$MNT"
	"$SNAPSHOT_AT" "$POOL" prod ahead $((400 * 86400))
	! mounted || "$DBS" mount "$POOL" "$MNT"
	"$DBS" snapshot prod@tonight
	"$DBS" prune prod --keep-last 2 --yes
	[ "$("$DBS" list -q 'prod@*' | sort)" = $'prod@ahead\nprod@tonight' ]
	"$DBS" prune prod --keep-last 1 --keep-daily 1 --yes
	[ "$("$DBS" list -q 'prod@*')" = prod@tonight ]
	check_pool
}

@test "prune: a pattern leaves alone what is excepted" {
	for ds in other third; do
		"$DBS" create "$ds"
	done
	for ds in prod other third; do
		"$DBS" snapshot "$ds@a"
		"$DBS" snapshot "$ds@b"
	done
	"$DBS" prune '*' --except prod --except other --keep-last 1 --yes
	[ "$("$DBS" list -q '*@a')" = $'other@a\nprod@a' ]
	# so does that of a night, with what has an entry of its own
	cat >"$T/night.yaml" <<END
nightly:
  datasets:
    prod: { import: { from: $T/none.sql }, prune: { keep_last: 7 } }
    '*': { prune: { keep_last: 1 } }
END
	run "$DBS" nightly --config "$T/night.yaml"
	[ "$status" -ne 0 ]
	[ "$(jq -r '.steps[] | .name + " " + .result' "$T/state/nightly.json")" = \
		$'import prod failed\nprune prod skipped\nprune * ok' ]
	[ "$("$DBS" list -q '*@a')" = prod@a ]
	check_pool
}

# asks COMMAND: in the background; returns when it asks, and is answered by 8
asks()
{
	local i

	mkfifo "$T/answer"
	script -qefc "$1" "$T/said" <"$T/answer" >/dev/null 3>&- &
	exec 8>"$T/answer"
	for ((i = 0; i < 300; i++)); do
		! grep -qs 'go on' "$T/said" || break
		sleep 0.05
	done
}

# instance NAME RECORD: as commands would have written it
instance()
{
	mkdir -p "$T/state/instances/$1"
	printf '%s\n' "$2" >"$T/state/instances/$1/instance.json"
}

@test "prune: a pattern that matches nothing is no failure" {
	"$DBS" snapshot prod@a
	run --separate-stderr "$DBS" prune 'ci-*' --keep-last 1 --yes
	[ "$status" -eq 0 ]
	[ "$stderr" = "dbs: no dataset matches 'ci-*'" ]
	[ "$(json '.items | length' "$DBS" prune 'ci-?' 'pr[o]d' --keep-last 1 \
		--yes)" = 1 ]
	fails 3 "no dataset matches 'none'" "$DBS" prune none 'pro*' \
		--keep-last 1 --yes
}

@test "prune --expired: an instance that cannot be read is a failure" {
	instance bad '{'
	instance old '{"made": true, "expires": 1}'
	run "$DBS" prune --expired --dry-run
	[ "$status" -eq 78 ]
	[[ $output == *"bad/instance.json' line 2"* ]]
	[[ $output == *"remove"*"old"*"its time was over"* ]]
	rm "$T/state/instances/bad/instance.json"
	"$DBS" prune --expired --dry-run
}

@test "mv: what an instance goes back to keeps its name" {
	"$DBS" create prod2
	for s in prod@a prod@ab prod2@a; do
		"$DBS" snapshot "$s"
	done
	instance ci '{"dataset_from": "prod@a"}'
	for name in prod prod@a prod@latest; do
		fails 4 "instance 'ci' goes back to 'prod@a', so '$name'" \
			"$DBS" mv "$name" "${name/prod/new}"
	done
	"$DBS" mv prod@ab prod@b
	"$DBS" mv prod2 other
	"$DBS" mv other@a @b
	"$DBS" prune prod --keep-last 1 --yes
	[ "$("$DBS" list -q '*@*' | sort)" = $'other@b\nprod@a\nprod@b' ]
	check_pool
}

# An instance is made of it, or held, while prune asks.
@test "prune: what an instance comes to need meanwhile stays" {
	for ds in prod held other; do
		[ "$ds" = prod ] || "$DBS" create "$ds"
		for s in a b c; do
			"$DBS" snapshot "$ds@$s"
		done
	done
	asks "'$DBS' prune '*' --keep-last 1"
	instance ci '{"dataset_from": "prod@a"}'
	instance held '{"lease": {"until": "2099-01-01T00:00:00Z"}}'
	echo y >&8
	exec 8>&-
	wait $!
	grep "'prod@a' stays: instance 'ci' goes back to it" "$T/said"
	grep "'held@b' stays: it is held" "$T/said"
	[ "$("$DBS" list -q '*@[ab]' | sort)" = $'held@a\nheld@b\nprod@a' ]
	check_pool
}

# Somebody else destroys it and makes another of its name while prune asks.
@test "prune: a snapshot that was made anew meanwhile stays" {
	mounted || skip "nobody else can change a pool that is not mounted"
	"$DBS" snapshot prod@a
	"$DBS" snapshot prod@b
	"$DBS" snapshot prod@c
	asks "'$DBS' prune prod --keep-last 1"
	"$DBS" rm --yes prod@a
	"$DBS" snapshot prod@a
	echo y >&8
	exec 8>&-
	status=0
	wait $! || status=$?
	[ "$status" -eq 4 ]
	grep "cannot remove 'prod@a': the one that was meant is gone" "$T/said"
	# the others go all the same
	[ "$("$DBS" list -q 'prod@*' | sort)" = $'prod@a\nprod@c' ]
	check_pool
}

@test "prune: without a rule nothing goes" {
	"$DBS" snapshot prod@a
	fails 64 "say what to keep" "$DBS" prune prod --yes
	fails 64 "say what to keep" "$DBS" prune prod --keep-last 0 --yes
	fails 64 "'x' is not a number" "$DBS" prune prod --keep-last x --yes
	fails 64 "give DATASETS" "$DBS" prune --yes
	fails 3 "no dataset matches 'none'" "$DBS" prune none --keep-last 1 --yes
	"$DBS" prune --expired --yes
	[ "$("$DBS" list -q 'prod@*')" = prod@a ]
}

@test "user properties of a snapshot" {
	"$DBS" snapshot prod@a
	"$DBS" set prod@a user:source=dump.sql
	[ "$("$DBS" get prod@a user:source)" = dump.sql ]
	fails 4 "is a snapshot; only its properties" "$DBS" set prod@a quota=1G
	fails 3 "" "$DBS" get prod user:source
	"$DBS" rm --yes prod@a
	check_pool
}
