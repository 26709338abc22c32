#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# lint.sh - the rules of the style card that a script can check
#
# usage: lint.sh SOURCE_ROOT
#
# Prints one 'file:line: what is wrong' for each finding; exits 1 if there was
# any, 0 otherwise.

set -eu

LINES_MAX=800

cd "${1:?usage: lint.sh SOURCE_ROOT}"
findings=$(mktemp)
trap 'rm -f "$findings" "$findings.form"' EXIT

sources() {
	for dir; do
		if [ -d "$dir" ]; then
			find -H "$dir" -name '*.[ch]' -type f
		fi
	done | sort
}

# Code only: 'file:line:text', comments blanked out.
code_of() {
	awk '
	FNR == 1 { in_comment = 0 }
	{
		line = $0
		code = ""
		while (line != "") {
			if (in_comment) {
				end = index(line, "*/")
				if (!end)
					break
				line = substr(line, end + 2)
				in_comment = 0
			} else {
				start = index(line, "/*")
				if (!start) {
					code = code line
					break
				}
				code = code substr(line, 1, start - 1) " "
				line = substr(line, start + 2)
				in_comment = 1
			}
		}
		sub(/\/\/.*/, "", code)
		print FILENAME ":" FNR ":" code
	}' "$@"
}

# Card 1: fs/ and tools/ see the store through store.h and what it names.
check_includes() {
	if [ ! -e store/store.h ]; then
		echo 'lint: store/store.h is missing, includes not checked' >&2
		return
	fi
	public=" store/store.h $(sed -n \
		's|^#include "\(store/[^"]*\)".*|\1|p' store/store.h |
		tr '\n' ' ')"
	for file in $(sources fs tools); do
		code_of "$file" |
		sed -n 's|^\([^:]*:[0-9]*\):[ 	]*#[ 	]*include[ 	]*["<]\([^">]*\)[">].*|\1 \2|p' |
		while read -r where header; do
			case $header in
			store/*)
				case $public in
				*" $header "*) ;;
				*) echo "$where: '$header' is not public: include 'store/store.h'" ;;
				esac ;;
			*/store/*)
				echo "$where: '$header' goes around the include path" ;;
			esac
		done
	done
}

# Card 2: a file is split before it has more than 800 lines.
check_length() {
	for file in $(sources store fs tools); do
		lines=$(($(wc -l <"$file")))
		if [ "$lines" -gt "$LINES_MAX" ]; then
			echo "$file:$lines: longer than $LINES_MAX lines: split it by operation"
		fi
	done
}

# os.h: threads, locks, clock and chance have one way in.
check_os() {
	for file in $(sources store); do
		case $file in
		store/os.c | store/os.h) continue ;;
		esac
		code_of "$file" |
		sed -nE 's/^([^:]*:[0-9]*):(.*[^A-Za-z0-9_])?(pthread_[a-z_]+|clock_gettime|clock_nanosleep|gettimeofday|getrandom|nanosleep|usleep|sleep|s?rand|s?random)[[:space:]]*(\(.*|;.*|[A-Za-z_*].*)$/\1: '"'\\3'"' belongs to store\/os.c/p'
	done
}

check_spdx() {
	for file in $(sources store fs tools tests); do
		case $(head -n 1 "$file") in
		*SPDX-License-Identifier:*) ;;
		*) echo "$file:1: the first line is not the SPDX line" ;;
		esac
	done
}

# Functions that the docs name, as `name()`, exist.
check_docs() {
	grep -noE '`[a-z][a-z0-9_]*\(\)`' docs/*.md docs/decisions/*.md |
	while IFS=: read -r file line name; do
		name=${name#\`}
		grep -rqE "(^|[^a-z0-9_])${name%()\`}\(" store fs tools tests ||
			echo "$file:$line: ${name%\`} is not in the source"
	done
}

# Only version 14: others break lines elsewhere.
check_format() {
	for tool in clang-format-14 clang-format; do
		case $($tool --version 2>/dev/null || :) in
		*'version 14.'*)
			if ! sources store fs tools tests |
				xargs -r "$tool" --dry-run --Werror \
					>"$findings.form" 2>&1; then
				form=$(sed -n 's/^\([^:]*:[0-9]*\):[0-9]*: error: code should.*/\1: not in form: run '"$tool"' -i/p' \
					"$findings.form" | sort -t: -u -k1,1)
				echo "${form:-$tool failed: $(cat "$findings.form")}"
			fi
			return ;;
		esac
	done
	echo 'lint: clang-format 14 is not installed, form not checked' >&2
}

{
	check_includes
	check_length
	check_os
	check_spdx
	check_docs
	check_format
} >"$findings"

if [ -s "$findings" ]; then
	cat "$findings"
	echo "lint: $(($(wc -l <"$findings"))) findings" >&2
	exit 1
fi
