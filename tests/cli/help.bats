#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154

load lib

setup() { setup_dir; }
teardown() { teardown_dir; }

commands() { "$DBS" __table | awk -F '\t' '$1 == "command" { print $2 }'; }

@test "every command has help, and tells of it on a usage error" {
	local cmd

	while IFS= read -r cmd; do
		# shellcheck disable=SC2086
		run "$DBS" help $cmd
		[ "$status" -eq 0 ]
		[[ ${lines[0]} == "usage: dbs $cmd"* ]]
		# shellcheck disable=SC2086
		run "$DBS" $cmd --help
		[ "$status" -eq 0 ]
		[[ ${lines[0]} == "usage: dbs $cmd"* ]]
		# shellcheck disable=SC2086
		fails 64 "unknown option '--nonsense'" "$DBS" $cmd --nonsense
		# shellcheck disable=SC2086
		run "$DBS" $cmd a b c d e f g h --nonsense
		[[ $output == *"try 'dbs help $cmd'"* ]]
	done < <(commands)
}

@test "no line of help is wider than a terminal" {
	local cmd

	while IFS= read -r cmd; do
		# shellcheck disable=SC2086
		run "$DBS" help $cmd
		[ "$(awk 'length > 90' <<<"$output" | wc -l)" -eq 0 ]
	done < <(commands)
	run "$DBS" help
	[ "$(awk 'length > 80' <<<"$output" | wc -l)" -eq 0 ]
}

@test "usage errors" {
	run "$DBS"
	[ "$status" -eq 64 ]
	fails 64 "unknown command 'foo'" "$DBS" foo
	fails 64 "'pool' needs a command" "$DBS" pool
	fails 64 "unknown command 'pool foo'" "$DBS" pool foo
	fails 64 "'--size' needs SIZE" "$DBS" pool create x --size
	fails 64 "'--sparse' takes no argument" "$DBS" pool create --sparse=1 x
	fails 64 "unexpected argument 'c'" "$DBS" clone a b c
	fails 64 "NAME is missing" "$DBS" clone a
	fails 64 "unknown option '-z'" "$DBS" rm -rz a
	run "$DBS" --version
	[[ $output =~ ^dbs\ [0-9] ]]
	run "$DBS" pool --help
	[[ $output == *"pool create"* ]]
}

@test "a closed stdout is a failure" {
	run bash -c '"$0" help >/dev/full' "$DBS"
	[ "$status" -eq 2 ]
}

@test "libraries that few commands need are loaded by those" {
	run -0 readelf -d "$DBS"
	[[ $output == *NEEDED*libjansson* ]]
	run -1 grep -E 'NEEDED.*lib(curl|crypto|ssl|mariadb|mysqlclient)' \
		<<<"$output"
	# one that is broken is said by the command that needs it
	: >"$T/libcrypto.so.3"
	printf 'strict: true\n' >"$T/rules.yaml"
	run -0 env LD_LIBRARY_PATH="$T" "$DBS" help
	fails 2 "cannot load 'libcrypto.so.3', install it again: .*too short" \
		env LD_LIBRARY_PATH="$T" "$DBS" rules check "$T/rules.yaml"
	run -0 "$DBS" rules check "$T/rules.yaml"
}
