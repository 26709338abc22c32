#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
#
# The man pages name exactly the commands and options of the table.

load lib

# "<group><TAB>command<TAB>synopsis" and "<group><TAB>option<TAB>..." of pages
pages()
{
	awk '
	FNR == 1 { page = FILENAME; sub(/.*\//, "", page)
		sub(/\.1\.scd$/, "", page); cmd = ""; shared = 0 }
	/^# / { cmd = ""; shared = $0 == "# COMMON OPTIONS" }
	/^## / { cmd = substr($0, 4); want = 1; next }
	cmd != "" && want && NF {
		line = $0; gsub(/[*_\\]/, "", line); want = 0
		print "command\t" cmd "\t" page "\t" line; next }
	(cmd != "" || shared) && /^\*-/ {
		line = $0; gsub(/\\/, "", line)
		letter = "-"; arg = "-"
		if (match(line, /^\*-[a-zA-Z]\*/))
			letter = substr(line, 3, 1)
		match(line, /\*--[a-z-]+\*/)
		long = substr(line, RSTART + 1, RLENGTH - 2)
		rest = substr(line, RSTART + RLENGTH)
		if (match(rest, /_.*_/))
			arg = substr(rest, RSTART + 1, RLENGTH - 2)
		print "option\t" (shared ? "*" : cmd) "\t" long "\t" letter "\t" arg }
	' "$MAN_DIR"/dbs*.1.scd | LC_ALL=C sort
}

@test "commands, synopses and options are those of the table" {
	diff <("$DBS" __table | LC_ALL=C sort) <(pages)
}

@test "every page is named in dbs(1), and every command under its page" {
	while IFS=$'\t' read -r kind cmd group _; do
		[ "$kind" = command ] || continue
		[ -e "$MAN_DIR/$group.1.scd" ]
		grep -q "\*$cmd\*\|^\*dbs $cmd" "$MAN_DIR/dbs.1.scd"
	done < <("$DBS" __table)
}

@test "the exit codes are all there" {
	for code in 0 1 2 3 4 5 6 7 64 69 78; do
		grep -qx "\*$code\*" "$MAN_DIR/dbs.1.scd"
	done
}
