#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# programs.bats - programs that people use, on the mount

bats_require_minimum_version 1.5.0
load ../lib/mounted

setup_file()
{
	mounted_begin 3G
	make_tree "$SCRATCH/tree"
	make_repository "$SCRATCH/repository"
}

teardown_file()
{
	mounted_end
}

# A tree with one of everything that tar and rsync keep.
make_tree()
{
	local i

	mkdir -p "$1"/{empty,deep/a/b/c,many}
	for i in $(seq 300); do
		seq "$i" $((i * 7)) >"$1/many/file$i"
	done
	head -c 3000000 /dev/urandom >"$1/random"
	head -c 2000000 /dev/zero >"$1/zeros"
	: >"$1/nothing"
	truncate -s 200M "$1/sparse"
	printf middle | dd of="$1/sparse" bs=1 seek=100000001 conv=notrunc \
		status=none
	ln "$1/random" "$1/deep/a/same"
	ln -s ../random "$1/deep/link"
	ln -s "$(printf 'x%.0s' $(seq 300))" "$1/deep/dangling"
	mkfifo "$1/fifo"
	printf 'ä b\n' >"$1/deep/name with ä, 'quotes' and \"more\""
	chmod 4711 "$1/many/file1"
	chmod 0 "$1/many/file2"
	chmod 1777 "$1/empty"
	chown 1234:4321 "$1/many/file3"
	touch -d '1999-12-31 23:59:59.123456789' "$1/many/file4"
	setfattr -n user.one -v value "$1/many/file5"
	setfattr -n user.two -v "$(printf 'v%.0s' $(seq 500))" "$1/deep"
}

# A repository with five commits, a branch, a merge and a tag.
make_repository()
{
	local i

	export GIT_CONFIG_GLOBAL=$SCRATCH/gitconfig GIT_CONFIG_NOSYSTEM=1
	export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
	export GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
	printf '[init]\n\tdefaultBranch = main\n[safe]\n\tdirectory = *\n' \
		>"$GIT_CONFIG_GLOBAL"
	git init -q "$1"
	mkdir "$1/src"
	for i in $(seq 5); do
		seq $((i * 100)) $((i * 3000)) >"$1/src/numbers"
		seq "$i" 100 >"$1/src/file$i"
		chmod +x "$1/src/file$i"
		git -C "$1" add -A
		git -C "$1" commit -qm "commit $i"
	done
	git -C "$1" checkout -qb side HEAD~2
	echo side >"$1/side"
	git -C "$1" add -A
	git -C "$1" commit -qm side
	git -C "$1" checkout -q main
	git -C "$1" merge -q -m merge side
	git -C "$1" tag -a -m tag v1
}

@test "git clones, commits, repacks and finds nothing wrong" {
	cd "$MNT/work"
	git clone -q "$SCRATCH/repository" cloned
	git clone -q --bare cloned bare.git
	cd cloned
	git fsck --full --strict
	[ -z "$(git status --porcelain)" ]
	[ "$(git rev-parse HEAD)" = "$(git -C "$SCRATCH/repository" rev-parse HEAD)" ]
	for i in $(seq 40); do
		echo "$i" >"new$i"
		git add "new$i"
		git commit -qm "new $i"
	done
	git remote set-url origin ../bare.git
	git push -q origin main
	git checkout -q HEAD~20
	[ ! -e new40 ]
	git checkout -q main
	git gc -q --aggressive --prune=now
	git fsck --full --strict
	[ -z "$(git status --porcelain)" ]
	git worktree add -q ../worktree HEAD~10
	git -C ../worktree stash list
	git -C ../bare.git fsck --full
	[ "$(git -C ../bare.git rev-list --count main)" = \
		"$(git rev-list --count main)" ]
}

@test "tar brings a tree in and out with xattrs, hard links and holes" {
	mkdir "$MNT/work/tar" "$SCRATCH/out"
	tar -C "$SCRATCH/tree" --xattrs --acls -S -cf "$SCRATCH/in.tar" .
	tar -C "$MNT/work/tar" --xattrs --acls -S -xpf "$SCRATCH/in.tar"
	diff <(listing "$SCRATCH/tree") <(listing "$MNT/work/tar")
	[ "$MNT/work/tar/random" -ef "$MNT/work/tar/deep/a/same" ]
	# 200 MB with a few bytes of data
	[ "$(stat -c %b "$MNT/work/tar/sparse")" -lt 2048 ]
	tar -C "$MNT/work/tar" --xattrs --acls -S -cf "$SCRATCH/out.tar" .
	[ "$(stat -c %s "$SCRATCH/out.tar")" -lt 20000000 ]
	tar -C "$SCRATCH/out" --xattrs --acls -S -xpf "$SCRATCH/out.tar"
	diff <(listing "$SCRATCH/tree") <(listing "$SCRATCH/out")
	diff -r --no-dereference --exclude=fifo "$SCRATCH/tree" "$SCRATCH/out"
	rm -r "$SCRATCH/out" "$SCRATCH/in.tar" "$SCRATCH/out.tar"
}

@test "rsync copies everything and then finds no difference" {
	rsync -aHAX --checksum "$SCRATCH/tree/" "$MNT/work/rsync/"
	run -0 rsync -aHAX --checksum --itemize-changes --dry-run --delete \
		"$SCRATCH/tree/" "$MNT/work/rsync/"
	[ -z "$output" ]
	run -0 rsync -aHAX --checksum --itemize-changes --dry-run --delete \
		"$MNT/work/rsync/" "$SCRATCH/tree/"
	[ -z "$output" ]
	# an update in place, by parts of a file
	cp "$SCRATCH/tree/random" "$SCRATCH/changed"
	printf change | dd of="$SCRATCH/changed" bs=1 seek=1500000 \
		conv=notrunc status=none
	rsync --inplace --no-whole-file "$SCRATCH/changed" \
		"$MNT/work/rsync/random"
	cmp "$SCRATCH/changed" "$MNT/work/rsync/random"
	cmp "$SCRATCH/changed" "$MNT/work/rsync/deep/a/same"
}

sqlite_work() # FILE JOURNAL-MODE
{
	sqlite3 -bail "$1" <<-END
	PRAGMA journal_mode = $2;
	CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, n INTEGER);
	CREATE INDEX n ON t (n);
	WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c
		WHERE i < 20000)
		INSERT INTO t SELECT i, hex(randomblob(50)), i % 97 FROM c;
	UPDATE t SET v = v || 'x' WHERE n = 5;
	DELETE FROM t WHERE n = 6;
	BEGIN;
	DELETE FROM t;
	ROLLBACK;
	VACUUM;
	END
	for i in $(seq 50); do
		echo "BEGIN IMMEDIATE; UPDATE t SET n = n + 1 WHERE id = $i; COMMIT;"
	done | sqlite3 -bail "$1"
}

# two writers and a reader at once, each a process of its own
sqlite_together() # FILE
{
	local pids=() i

	for i in 1 2; do
		for n in $(seq 100); do
			echo "INSERT INTO t (v, n) VALUES ('w$i', $n);"
		done | sqlite3 -bail -cmd '.timeout 60000' "$1" &
		pids+=($!)
	done
	for i in $(seq 20); do
		sqlite3 -bail -cmd '.timeout 60000' "$1" \
			'SELECT count(*) FROM t' >/dev/null
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
}

@test "sqlite3 with a rollback journal keeps its integrity" {
	db=$MNT/work/journal.sqlite
	sqlite_work "$db" delete
	sqlite_together "$db"
	[ "$(sqlite3 "$db" 'PRAGMA integrity_check')" = ok ]
	[ "$(sqlite3 "$db" "SELECT count(*) FROM t WHERE v LIKE 'w_'")" = 200 ]
	[ ! -e "$db-journal" ]
}

@test "sqlite3 with a write-ahead log keeps its integrity" {
	db=$MNT/work/wal.sqlite
	sqlite_work "$db" wal
	sqlite_together "$db"
	[ "$(sqlite3 "$db" 'PRAGMA journal_mode')" = wal ]
	[ "$(sqlite3 "$db" 'PRAGMA integrity_check')" = ok ]
	[ "$(sqlite3 "$db" "SELECT count(*) FROM t WHERE v LIKE 'w_'")" = 200 ]
}

make_project()
{
	local i

	mkdir -p "$1"
	{
		echo "project('p', 'c')"
		echo "lib = static_library('l', ["
		for i in $(seq 20); do
			echo "'f$i.c',"
			echo "int f$i(void); int f$i(void) { return $i; }" \
				>"$1/f$i.c"
		done
		echo "])"
		echo "test('t', executable('t', 'main.c', link_with: lib))"
	} >"$1/meson.build"
	{
		for i in $(seq 20); do
			echo "int f$i(void);"
		done
		printf 'int main(void) { return 210 - (0'
		for i in $(seq 20); do
			printf ' + f%d()' "$i"
		done
		echo '); }'
	} >"$1/main.c"
}

@test "meson and ninja build a project, and build nothing twice" {
	make_project "$MNT/work/project"
	cd "$MNT/work/project"
	meson setup build
	meson test -C build
	run -0 ninja -C build
	[[ $output == *"no work to do"* ]]
	echo 'int f1(void); int f1(void) { return 0 + 1; }' >f1.c
	run -0 ninja -C build
	[[ $output != *"no work to do"* ]]
	build/t
	meson install -C build --destdir "$MNT/work/installed"
}

@test "files copied in are the same after unmount and mount" {
	cp -a "$SCRATCH/tree" "$MNT/work/copied"
	head -c 40000000 /dev/urandom >"$SCRATCH/big"
	cp "$SCRATCH/big" "$MNT/work/big"
	sqlite3 "$MNT/work/journal.sqlite" .dump >"$SCRATCH/before"
	mounted_again
	cmp "$SCRATCH/big" "$MNT/work/big"
	diff <(listing "$SCRATCH/tree") <(listing "$MNT/work/copied")
	diff -r --no-dereference --exclude=fifo "$SCRATCH/tree" \
		"$MNT/work/copied"
	git -C "$MNT/work/cloned" fsck --full
	sqlite3 "$MNT/work/journal.sqlite" .dump | cmp - "$SCRATCH/before"
}

@test "a clone holds the same files, and keeps them when the origin goes" {
	listing "$MNT/work/copied" >"$SCRATCH/listing"
	"$DBS" clone work other
	"$DBS" rm --yes work
	diff "$SCRATCH/listing" <(listing "$MNT/other/copied")
	cmp "$SCRATCH/big" "$MNT/other/big"
	mounted_again
	diff "$SCRATCH/listing" <(listing "$MNT/other/copied")
	[ "$(sqlite3 "$MNT/other/wal.sqlite" 'PRAGMA integrity_check')" = ok ]
}

@test "the pool checks clean after all that" {
	"$DBS" umount "$MNT"
	"$DBS" pool check --data "$POOL"
}
