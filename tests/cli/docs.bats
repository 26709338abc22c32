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

@test "every command in the docs is one, and has the options that are given" {
	local file line words name option letter nr=0
	declare -A command options

	while IFS=$'\t' read -r kind name option letter _; do
		if [ "$kind" = command ]; then
			command[$name]=1
		else
			options["$name $option"]=1
			options["$name -$letter"]=1
		fi
	done < <("$DBS" __table)
	while IFS=$'\t' read -r file line; do
		read -ra words <<<"$line"
		name=${words[1]}
		[ -n "${command[$name]:-}" ] || name+=" ${words[2]:-}"
		# else it is prose, "dbs has"
		if [ -z "${command[$name]:-}" ]; then
			[[ $line != *" -"* ]]
			continue
		fi
		nr=$((nr + 1))
		for option in "${words[@]:2}"; do
			[[ $option == -?* && $option != -- ]] || continue
			option=${option%%=*}
			[ -n "${options["$name $option"]:-}" ] ||
				[ -n "${options["* $option"]:-}" ] || {
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
