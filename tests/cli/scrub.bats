#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
#
# dbs pool check --repair and dbs pool scrub

load lib

setup() { setup_dir; }
teardown() { teardown_dir; }

# a pool with a file, mounted once to write it
make_pool()
{
	can_mount
	"$DBS" pool create "$POOL" --size 128M --sparse --name "s$$"
	export DBS_POOL=$POOL
	"$DBS" create prod
	"$DBS" set prod compression=off
	"$DBS" mount "$POOL" "$MNT"
	mkdir "$MNT/prod/db"
	yes "a page of a table" | head -c 2000000 >"$MNT/prod/db/t1.ibd"
	yes "another page" | head -c 200000 >"$MNT/prod/db/t2.ibd"
	"$DBS" snapshot prod@monday
	"$DBS" clone prod@monday ci
}

# flip TEXT: change one byte of each place in the pool that has TEXT
flip()
{
	perl -e '
		my ($path, $text) = @ARGV;
		open my $f, "+<:raw", $path or die;
		local $/;
		my $all = <$f>;
		my $nr = 0;
		for (my $at = 0; ($at = index($all, $text, $at)) >= 0; $at++) {
			seek $f, $at, 0;
			print $f chr(ord(substr($all, $at, 1)) ^ 1);
			$nr++;
			last if $ARGV[2];
		}
		die "not found" unless $nr;' "$POOL" "$@"
}

# unmap: make one of the regions with counts unreadable
unmap()
{
	perl -e '
		open my $f, "+<:raw", $ARGV[0] or die;
		for my $b (16, 17) {
			seek $f, $b * 4096 + 3000, 0;
			print $f "damage";
		}' "$POOL"
}

@test "pool check --repair rebuilds the space map, and asks before" {
	local sum

	make_pool
	"$DBS" umount "$MNT"
	"$DBS" pool check --repair "$POOL" </dev/null
	unmap
	sum=$(md5sum <"$POOL")
	run --separate-stderr "$DBS" pool check "$POOL"
	[ "$status" -eq 1 ]
	[[ $output == *"region 0 does not match its checksum"* ]]
	run --separate-stderr "$DBS" pool check --repair --dry-run "$POOL"
	[ "$status" -eq 1 ]
	[[ $output == *"rebuilds the space map of '$POOL'"*"writes 1 regions"* ]]
	run --separate-stderr "$DBS" pool check --repair "$POOL" </dev/null
	[ "$status" -eq 64 ]
	[[ $stderr == *"rebuilds the space map"*"give --yes"* ]]
	[ "$(md5sum <"$POOL")" = "$sum" ]
	json '.repair == "done" and .nr_left == 0 and .nr_errors > 0' \
		"$DBS" pool check --repair --yes "$POOL"
	"$DBS" pool check --data "$POOL"
	"$DBS" mount "$POOL" "$MNT"
	[ "$(sha1sum <"$MNT/ci/db/t1.ibd")" = \
		"$(yes "a page of a table" | head -c 2000000 | sha1sum)" ]
	rm "$MNT/prod/db/t1.ibd"
	"$DBS" umount "$MNT"
	"$DBS" pool check --data "$POOL"
}

# kill the daemon with a file in each of six batches of the log, behind a commit
crash_with_a_log()
{
	local i pid

	"$DBS" umount "$MNT"
	pid=$(json .pid "$DBS" mount -o commit-interval=600000 \
		"$POOL" "$MNT")
	touch "$MNT/prod/before"
	"$DBS" sync
	for i in 1 2 3 4 5 6; do
		echo "file $i" | dd of="$MNT/prod/logged$i" conv=fsync \
			status=none
	done
	kill -9 "$pid"
	umount -l "$MNT"
}

# damage_log N: make the last batch but N of the log unreadable
damage_log()
{
	perl -e '
		my ($path, $n) = @ARGV;
		open my $f, "+<:raw", $path or die;
		my (%at, $block);
		for (my $at = 0; read($f, $block, 4096) == 4096; $at += 4096) {
			next if substr($block, 8, 4) ne "ILOG";
			$at{unpack("Q<", substr($block, 64, 8))} = $at;
		}
		my @seq = sort { $b <=> $a } keys %at;
		seek $f, $at{$seq[$n]} + 200, 0;
		print $f "damage";' "$POOL" "$1"
}

@test "pool check --repair --discard-log gives up what a damaged log lost" {
	local sum

	make_pool
	crash_with_a_log
	damage_log 2
	sum=$(md5sum <"$POOL")
	run --separate-stderr "$DBS" pool check "$POOL"
	[ "$status" -eq 1 ]
	[[ $output == *"the intent log is damaged: it goes on behind a gap"* ]]
	[[ $stderr == *": 1 finding" ]]
	run --separate-stderr "$DBS" pool check --repair --yes "$POOL"
	[ "$status" -eq 1 ]
	[[ $stderr == *"(1 finding) and was not repaired"*"--discard-log"* ]]
	run --separate-stderr "$DBS" pool check --discard-log "$POOL"
	[ "$status" -eq 64 ]
	run --separate-stderr "$DBS" pool check --repair --discard-log \
		--dry-run "$POOL"
	[ "$status" -eq 1 ]
	[[ $output == *"goes back to the last commit of '$POOL' (txg "*"replays "*" log records after it, and gives up all that was acknowledged later: "*" in 2 batches"* ]]
	run --separate-stderr "$DBS" pool check --repair --discard-log \
		"$POOL" </dev/null
	[ "$status" -eq 64 ]
	[[ $stderr == *"gives up all"*"give --yes"* ]]
	[ "$(md5sum <"$POOL")" = "$sum" ]
	# it can be read, but not written
	run --separate-stderr "$DBS" create more
	[ "$status" -ne 0 ]
	[[ $stderr == *"--discard-log"* ]] || [[ $stderr == *read-only* ]]
	json '.repair == "done" and .nr_left == 0 and
		.changes.log.nr_replayed > 0 and
		.changes.log.nr_batches == 2' \
		"$DBS" pool check --repair --discard-log --yes "$POOL"
	"$DBS" pool check --data "$POOL"
	"$DBS" mount "$POOL" "$MNT"
	[ "$(cat "$MNT/prod/logged3")" = "file 3" ]
	[ ! -e "$MNT/prod/logged5" ]
	echo more >"$MNT/prod/more"
	"$DBS" umount "$MNT"
	"$DBS" pool check --data "$POOL"
	# nothing is left to be given up
	"$DBS" pool check --repair --discard-log "$POOL" </dev/null
}

@test "pool check --repair leaves alone what would be a guess" {
	local sum

	make_pool
	"$DBS" umount "$MNT"
	unmap
	# the directory's entries, and so nodes of all three trees
	flip t2.ibd
	sum=$(md5sum <"$POOL")
	run --separate-stderr "$DBS" pool check --repair --yes "$POOL"
	[ "$status" -eq 1 ]
	[[ $stderr == *"was not repaired: trees are damaged"* ]]
	[ "$(md5sum <"$POOL")" = "$sum" ]
}

@test "pool check --repair wants a pool that nobody has, and right options" {
	make_pool
	fails 4 "in use" "$DBS" pool check --repair --yes "$POOL"
	fails 64 "go with --repair" "$DBS" pool check --dry-run "$POOL"
	fails 64 "go with --repair" "$DBS" pool check --yes "$POOL"
	"$DBS" umount "$MNT"
}

@test "pool scrub of a mounted pool finds nothing, and says when" {
	make_pool
	"$DBS" sync
	json '.state == "none"' "$DBS" pool scrub --status
	fails 4 "no scrub is running" "$DBS" pool scrub --pause
	json '.state == "finished" and .nr_errors == 0 and .nr_records > 0 and
		.ended != null and .done == .total' \
		"$DBS" pool scrub --wait --rate none
	run "$DBS" pool scrub --status
	[ "$status" -eq 0 ]
	[[ $output == finished*" 0 damaged" ]]
	run "$DBS" pool info
	[[ $output == *scrub*"finished 2"*"0 errors"* ]]
	fails 64 "exclude each other" "$DBS" pool scrub --wait --stop
	fails 64 "is not a rate" "$DBS" pool scrub --rate fast
	fails 64 "rate is for" "$DBS" pool scrub --stop --rate 5
	"$DBS" umount "$MNT"
	"$DBS" pool check "$POOL"
}

@test "pool scrub names a damaged file wherever it is, until it is whole" {
	make_pool
	"$DBS" umount "$MNT"
	flip "another page" first
	"$DBS" mount "$POOL" "$MNT"
	run --separate-stderr "$DBS" pool scrub --wait
	[ "$status" -eq 1 ]
	for ds in prod prod@monday ci; do
		[[ $output == *"'$ds', 'db/t2.ibd' (inode "*"), offset "* ]]
	done
	[[ $output != *t1.ibd* ]]
	[ "$(json '.findings | map(.dataset) | sort | join(" ")' \
		"$DBS" pool scrub --status || true)" = "ci prod prod@monday" ]
	# nobody gets it as data, and it is still known after a remount
	run cat "$MNT/prod/db/t2.ibd"
	[ "$status" -ne 0 ]
	"$DBS" umount "$MNT"
	"$DBS" mount "$POOL" "$MNT"
	run --separate-stderr "$DBS" pool scrub --status
	[ "$status" -eq 1 ]
	[[ $output == *"'prod@monday', 'db/t2.ibd'"* ]]
	json '.scrub.nr_errors == 1' "$DBS" pool info
	"$DBS" umount "$MNT"
	run "$DBS" pool check --data "$POOL"
	[ "$status" -eq 1 ]
	[[ $output == *"'db/t2.ibd'"* ]]
	flip "\`nother page"
	json '.state == "finished" and .nr_errors == 0' "$DBS" pool scrub
	"$DBS" pool check --data "$POOL"
}

@test "pool scrub can rest, goes on after a remount, and can be given up" {
	make_pool
	put prod/random 12000000
	"$DBS" sync
	"$DBS" pool scrub --rate 100K
	fails 4 "running already" "$DBS" pool scrub
	json '.state == "running" and .rate == 102400' \
		"$DBS" pool scrub --status
	json '.state == "paused"' "$DBS" pool scrub --pause
	json '.state == "running"' "$DBS" pool scrub --rate 100K
	"$DBS" umount "$MNT"
	json '.state == "interrupted"' "$DBS" pool scrub --status
	"$DBS" mount "$POOL" "$MNT"
	json '.state == "running"' "$DBS" pool scrub --status
	# work goes on beside it
	dd if=/dev/zero of="$MNT/prod/new" bs=64k count=20 conv=fsync
	json '.state == "stopped"' "$DBS" pool scrub --stop
	json '.state == "finished"' "$DBS" pool scrub --wait --rate none
	"$DBS" umount "$MNT"
	"$DBS" pool check --data "$POOL"
}
