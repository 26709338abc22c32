#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
#
# What docs/operations.md, the README and the examples tell people to type is
# there: each command with each option, each file that is linked.

load lib

DOCS=${MAN_DIR%/man}

# "file<TAB>command line" of each 'dbs ...' up to what ends a command
lines()
{
	local file

	for file in "$DOCS/operations.md" "$DOCS/../README.md" \
		"$DOCS"/examples/*; do
		# a quoted example is a command too, and '|' in a table is '\|'
		grep -oE "(^|[^-/A-Za-z0-9_.@])dbs [a-z][^\`|;&#)']*" "$file" |
			sed "s/^[^d]//; s|  .*||; s|^|${file##*/}	|"
	done
}

# the command's options, long and short, "--all" and "-a"
options_of()
{
	"$DBS" __table | awk -F '\t' -v of="$1" '
		$1 == "option" && ($2 == of || $2 == "*") {
			print $3
			if ($4 != "-")
				print "-" $4
		}'
}

@test "every command in the docs is one, and has the options that are given" {
	local file line words name known option nr=0

	known=$("$DBS" __table | awk -F '\t' '$1 == "command" { print $2 }')
	while IFS=$'\t' read -r file line; do
		read -ra words <<<"$line"
		name="${words[1]}"
		grep -qxF -- "$name" <<<"$known" || name+=" ${words[2]:-}"
		# else it is prose, "dbs has"
		if ! grep -qxF -- "$name" <<<"$known"; then
			[[ $line != *" -"* ]]
			continue
		fi
		nr=$((nr + 1))
		for option in "${words[@]:2}"; do
			[[ $option == -?* && $option != -- ]] || continue
			option=${option%%=*}
			options_of "$name" | grep -qxF -- "$option" || {
				echo "$file: '$line': no option '$option'"
				false
			}
		done
	done < <(lines)
	[ "$nr" -gt 60 ]
}

@test "every file that is linked is there" {
	local file link

	for file in "$DOCS"/*.md "$DOCS/../README.md"; do
		while read -r link; do
			[ -e "$(dirname "$file")/$link" ] || {
				echo "$file: there is no $link"
				false
			}
		done < <(grep -oE '\]\([^)#:]+' "$file" | sed 's/^](//')
	done
}

@test "headings that operations.md points to are there" {
	local anchor

	while read -r anchor; do
		grep -qiE "^## ${anchor//-/.}$" "$DOCS/operations.md"
	done < <(grep -oE '\]\(#[^)]+' "$DOCS/operations.md" | sed 's/^](#//')
}
