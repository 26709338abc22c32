#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh - for meson: run programs.bats if this host can
#
# usage: DBS=/path/to/dbs run.sh; exits 77, skipped, where something is missing

set -eu

skip()
{
	echo "skipped: $*"
	exit 77
}

[ "$(id -u)" -eq 0 ] || skip 'needs root'
[ -e /dev/fuse ] || skip 'this host has no FUSE'
for program in bats git tar rsync sqlite3 meson ninja cc setfattr getfattr; do
	command -v "$program" >/dev/null || skip "'$program' is not installed"
done
exec bats --print-output-on-failure "$(dirname "$0")/programs.bats"
