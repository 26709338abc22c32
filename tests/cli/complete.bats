#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154

load lib

setup() { setup_dir; }
teardown() { teardown_dir; }

# complete LINE: what bash would offer at its end
complete_line()
{
	COMP_LINE=$1
	COMP_POINT=${#1}
	COMP_WORDBREAKS=$' \t\n"\'><=;|&(:@'
	COMPREPLY=()
	compopt() { :; }
	_dbs
	printf '%s\n' "${COMPREPLY[@]}"
}

@test "commands, options and properties" {
	# shellcheck source=tools/dbs.bash-completion
	. "$COMPLETION"
	[ "$(complete_line "$DBS po")" = pool ]
	[ "$(complete_line "$DBS pool ch")" = check ]
	[ "$(complete_line "$DBS pool check --da")" = --data ]
	[ "$(complete_line "$DBS create x -o rec")" = recordsize= ]
	[ "$(complete_line "$DBS list -t sn")" = snapshot ]
	[ "$(complete_line "$DBS help pool cr")" = create ]
	complete_line "$DBS " | grep -qx clone
	[ "$(complete_line "$DBS " | grep -c __)" -eq 0 ]
	: >"$T/etc/file"
	[ "$(complete_line "$DBS pool info $T/etc/f")" = "$T/etc/file" ]
	[ "$(complete_line "$DBS mount x $T/m")" = "$T/mnt" ]
}

@test "names of datasets, and halves of words that readline breaks" {
	can_mount
	"$DBS" pool create "$POOL" --size 128M --sparse
	"$DBS" mount "$POOL" "$MNT"
	export DBS_POOL=$POOL
	"$DBS" create prod
	"$DBS" snapshot prod@a:b
	# shellcheck source=tools/dbs.bash-completion
	. "$COMPLETION"
	[ "$(complete_line "$DBS clone pr")" = prod ]
	[ "$(complete_line "$DBS prune '*' --except pr")" = prod ]
	[ "$(complete_line "$DBS restore prod@")" = "a:b" ]
	[ "$(complete_line "$DBS restore prod@a:")" = "b" ]
	[ "$(complete_line "$DBS umount ${MNT%nt}")" = "$MNT" ]
	"$DBS" umount "$MNT"
}
