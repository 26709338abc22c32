#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# mounted.sh - run a test program on a mounted pool
#
#	DBSFS=... FSCTL=... mounted.sh PROGRAM [ARGUMENT...]
#
# After it the pool is unmounted and must check clean.

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/lib.sh"

fs_begin 4096 ds other
fs_mount || exit 2
DBS_TEST_MOUNT=$MOUNT DBS_TEST_SOCKET=$SOCKET "$@"
code=$?
fs_unmount || exit 2
fs_check || exit 1
fs_found_nothing || exit 1
exit $code
