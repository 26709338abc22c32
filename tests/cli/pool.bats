#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154

load lib

setup() { setup_dir; }
teardown() { teardown_dir; }

@test "pool create makes a file of the size, allocated" {
	run "$DBS" pool create "$POOL" --size 128M --name main
	[ "$status" -eq 0 ]
	[[ $output == *"pool 'main' of 128M"* ]]
	[ "$(stat -c %s "$POOL")" -eq $((128 << 20)) ]
	[ $(($(stat -c '%b * %B' "$POOL"))) -ge $((127 << 20)) ]
	"$DBS" pool check "$POOL"
}

@test "pool create --sparse does not allocate it" {
	"$DBS" pool create "$POOL" --size 1G --sparse
	[ "$(stat -c %s "$POOL")" -eq $((1 << 30)) ]
	[ $(($(stat -c '%b * %B' "$POOL"))) -lt $((300 << 20)) ]
}

@test "pool create refuses bad sizes and names" {
	fails 64 "needs --size" "$DBS" pool create "$POOL"
	fails 64 "'12Q' is not a size" "$DBS" pool create "$POOL" --size 12Q
	fails 64 "is not a size" "$DBS" pool create "$POOL" --size -5G
	fails 64 "is not a size" "$DBS" pool create "$POOL" --size 1e9
	fails 64 "too small" "$DBS" pool create "$POOL" --size 4M
	fails 64 "pool name '-x'" "$DBS" pool create "$POOL" --size 64M --name=-x
	[ ! -e "$POOL" ]
}

@test "pool create harms no file without --force, and asks with it" {
	echo precious >"$POOL"
	fails 4 "exists" "$DBS" pool create "$POOL" --size 64M
	fails 64 "destroys file '$POOL'.*give --yes" \
		"$DBS" pool create "$POOL" --size 64M --force </dev/null
	[ "$(cat "$POOL")" = precious ]
	run "$DBS" pool create "$POOL" --size 64M --force --dry-run
	[[ $output == "destroys file '$POOL'"* ]]
	[ "$(cat "$POOL")" = precious ]
	"$DBS" pool create "$POOL" --size 64M --force --yes
	"$DBS" pool check "$POOL"
	run "$DBS" pool create "$POOL" --size 64M --force --dry-run
	[[ $output == "destroys pool 'pool'"* ]]
}

@test "pool create leaves nothing where the disk is full" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	mkdir "$T/small"
	mount -t tmpfs -o size=80M tmpfs "$T/small"
	fails 6 "" "$DBS" pool create "$T/small/pool" --size 256M
	[ ! -e "$T/small/pool" ]
	umount "$T/small"
}

# has_written PID: without a fork, which would take longer than what it asks
has_written()
{
	local key value

	while read -r key value; do
		[ "$key" != write_bytes: ] || [ "$value" = 0 ] || return 0
	done 2>/dev/null <"/proc/$1/io"
	return 1
}

# interrupted SIGNAL: end a pool create once it has begun to write
interrupted()
{
	local pid status=0 try

	for try in {1..50}; do
		# dbs leaves alone what its parent had ignored, as nohup does
		env --default-signal="$1" "$DBS" pool create "$POOL" \
			--size 4G 2>"$T/said" &
		pid=$!
		until [ -s "$POOL" ] && has_written "$pid"; do
			kill -0 "$pid" 2>/dev/null || break
		done
		kill -s "$1" "$pid" 2>/dev/null || true
		status=0
		wait "$pid" || status=$?
		# on a busy host it may be done before it is hit
		[ "$status" -eq 0 ] && [ "$try" -lt 50 ] || break
		rm "$POOL"
	done
	[ "$status" -eq $((128 + $(kill -l "$1"))) ] || return 1
	[ ! -e "$POOL" ] && grep -q 'interrupted.*removed' "$T/said"
}

@test "pool create that is interrupted leaves no file" {
	interrupted TERM
	interrupted HUP
}

@test "pool create shows how far it is, on a terminal" {
	command -v script >/dev/null || skip "no script(1)"
	script -qec "'$DBS' pool create '$POOL' --size 4G" /dev/null \
		>"$T/typescript" </dev/null
	grep -Eq 'writing +[0-9]+ %.*/s +ETA [0-9]' "$T/typescript"
	"$DBS" pool create "$T/quiet" --size 64M 2>"$T/said"
	[ ! -s "$T/said" ]
}

@test "pool create in a folder that is missing or not ours" {
	fails 3 "No such file" "$DBS" pool create "$T/none/pool" --size 64M
	fails 2 "neither a file nor" "$DBS" pool create "$MNT" --size 64M
}

@test "pool info, list and grow of a pool that is not mounted" {
	"$DBS" pool create "$POOL" --size 128M --sparse --name main
	[ "$(json .name "$DBS" pool info "$POOL")" = main ]
	[ "$(json .size "$DBS" pool info "$POOL")" = $((128 << 20)) ]
	json '.mountpoint == null' "$DBS" pool info "$POOL"
	run "$DBS" pool info --pool "$POOL"
	[ "$status" -eq 0 ]
	[[ $output == *allocated* ]]
	[ "$(json '.items[] | select(.path == "'"$POOL"'") | .name' \
		"$DBS" pool list "$POOL")" = main ]
	[ "$(json .size "$DBS" pool grow "$POOL" --size 192M)" = \
		$((192 << 20)) ]
	[ "$(stat -c %s "$POOL")" -eq $((192 << 20)) ]
	"$DBS" pool check "$POOL"
	run "$DBS" pool grow "$POOL" --size 64M
	[ "$status" -ne 0 ]
	[ "$(json .size "$DBS" pool info "$POOL")" = $((192 << 20)) ]
	fails 64 "not a size" "$DBS" pool grow "$POOL" --size big
}

@test "pool check is clean, and exits with 1 on damage" {
	"$DBS" pool create "$POOL" --size 64M --sparse
	for i in 1 2 3 4 5 6 7 8; do
		"$DBS" create "ds$i" --pool "$POOL"
	done
	json .clean "$DBS" pool check "$POOL"
	# garble all metadata nodes but the superblocks
	perl -e '
		open my $f, "+<:raw", $ARGV[0] or die;
		for (my $at = 32 * 4096; read_at($at); $at += 4096) {}
		sub read_at {
			my ($at) = @_;
			seek $f, $at, 0;
			read($f, my $block, 4096) == 4096 or return 0;
			if (substr($block, 8, 4) eq "NODE") {
				seek $f, $at + 2000, 0;
				print $f "damage";
			}
			return 1;
		}' "$POOL"
	run --separate-stderr "$DBS" pool check "$POOL"
	[ "$status" -eq 1 ] || [ "$status" -eq 2 ]
	[[ $stderr == *dbs:* ]]
}

@test "what is no pool, truncated or unknown is refused in a sentence" {
	local cmd

	echo "not a pool" >"$T/text"
	: >"$T/empty"
	head -c 10M /dev/zero >"$T/zeros"
	for cmd in "pool info" "pool check" "pool grow --size 1G" "list --pool"; do
		# shellcheck disable=SC2086
		fails 2 "no pool on it" "$DBS" $cmd "$T/text"
		# shellcheck disable=SC2086
		fails 2 "no pool on it" "$DBS" $cmd "$T/empty"
		# shellcheck disable=SC2086
		fails 2 "no pool on it" "$DBS" $cmd "$T/zeros"
		# shellcheck disable=SC2086
		fails 3 "No such file" "$DBS" $cmd "$T/none"
	done
	[ "$(cat "$T/text")" = "not a pool" ]
	"$DBS" pool create "$POOL" --size 64M
	truncate -s 40M "$POOL"
	fails 2 "truncated" "$DBS" pool info "$POOL"
	fails 2 "truncated" "$DBS" list --pool "$POOL"
	truncate -s 64M "$POOL"
	"$DBS" pool check "$POOL"
}

@test "an unknown version or incompat feature is refused, unharmed" {
	local cmd sum

	"$DBS" pool create "$POOL" --size 64M --sparse
	"$DBS" create a --pool "$POOL"
	"$EDIT_SUPERBLOCK" "$POOL" version 99
	sum=$(md5sum <"$POOL")
	for cmd in "pool info" "pool check" "pool grow --size 1G" "list --pool"; do
		# shellcheck disable=SC2086
		fails 2 "version 99" "$DBS" $cmd "$POOL"
	done
	"$EDIT_SUPERBLOCK" "$POOL" version 1
	"$EDIT_SUPERBLOCK" "$POOL" incompat 0x4000
	for cmd in "pool info" "pool check" "list --pool"; do
		# shellcheck disable=SC2086
		fails 2 "feature.*4000" "$DBS" $cmd "$POOL"
	done
	"$EDIT_SUPERBLOCK" "$POOL" incompat 0
	[ "$("$DBS" list -q --pool "$POOL")" = a ]
	"$DBS" pool check "$POOL"
	"$EDIT_SUPERBLOCK" "$POOL" version 99
	[ "$(md5sum <"$POOL")" = "$sum" ]
}

@test "an unknown ro_compat feature can be read and not written" {
	"$DBS" pool create "$POOL" --size 64M --sparse
	"$DBS" create a --pool "$POOL"
	"$EDIT_SUPERBLOCK" "$POOL" ro_compat 0x4000
	[ "$("$DBS" list -q --pool "$POOL")" = a ]
	fails 2 "" "$DBS" create b --pool "$POOL" ||
		fails 5 "" "$DBS" create b --pool "$POOL"
	"$EDIT_SUPERBLOCK" "$POOL" ro_compat 0
	[ "$("$DBS" list -q --pool "$POOL")" = a ]
}

@test "a directory, a fifo and a character device are no pools" {
	mkfifo "$T/fifo"
	fails 3 "no pool is mounted on" "$DBS" pool info "$T/etc"
	fails 2 "neither a file nor" "$DBS" pool info /dev/null
	fails 2 "neither a file nor" "$DBS" pool info "$T/fifo"
}

@test "a pool that another process holds is refused with its pid" {
	"$DBS" pool create "$POOL" --size 64M
	mkfifo "$T/hold"
	# a mount would do too; a lock held by hand needs no root
	perl -e '
		use Fcntl;
		open my $f, "+<", $ARGV[0] or die;
		my $lock = pack("s s l! l! i", F_WRLCK, 0, 0, 0, 0);
		# as blkdev_file.c locks: an open-file-description lock
		fcntl($f, 37, $lock) or fcntl($f, F_SETLK, $lock) or die "$!";
		open my $w, ">", $ARGV[1]; close $w;
		sleep 60' "$POOL" "$T/hold" &
	local pid=$!
	cat "$T/hold"
	run "$DBS" list --pool "$POOL"
	kill "$pid"
	wait "$pid" || true
	if [ "$status" -eq 0 ]; then
		skip "locks are of another kind; see mount.bats"
	fi
	[ "$status" -eq 4 ]
	[[ $output == *"in use"* ]]
}

@test "pool list of what is no pool prints no table" {
	"$DBS" pool create "$POOL" --size 64M --sparse
	fails 3 "'$T/nope' cannot be opened: No such file" \
		"$DBS" pool list "$POOL" "$T/nope"
	fails 3 "No such file" "$DBS" pool list "$T/nope" --json
	DBS_POOL=$T/nope fails 3 "No such file" "$DBS" pool list
	: >"$T/empty"
	fails 2 "" "$DBS" pool list "$T/empty"
}

@test "paths on stdout cannot drive a terminal" {
	local evil=$T/$'a\nb\033[31m'

	run "$DBS" pool create "$evil" --size 64M --sparse
	[[ $output == *'/a\x0ab\x1b[31m'* ]]
	run "$DBS" pool create "$evil" --size 64M --force --dry-run
	[[ $output == *'/a\x0ab\x1b[31m'* ]]
}
