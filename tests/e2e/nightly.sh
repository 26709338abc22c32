#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# nightly.sh - nights: by the command line of the systemd service that is
# shipped, a dump becomes a snapshot, old ones go, a running instance is put to
# it; and whatever goes wrong leaves everything as it was
#
# usage: DBS=build/tools/dbs UNITS=build/tools BINDIR=/usr/local/bin
#        SNAPSHOT_AT=build/tests/cli/snapshot-at nightly.sh
#        (as root; exits 77 if it cannot run)
set -Eeuo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
source_dir=$(cd "$here/../.." && pwd)
# shellcheck source=tools/lib/host.sh
. "$source_dir/tools/lib/host.sh"

skip()
{
	echo "skipped: $*"
	exit 77
}

# claim TEXT COMMAND...
claim()
{
	local text=$1

	shift
	CLAIM=$text
	"$@" >"$HOST_TMP/claim.log" 2>&1
	CLAIM=""
	echo "ok: $text"
}

# fails CODE TEXT COMMAND...: with this exit code, saying TEXT
fails()
{
	local code=$1 text=$2 got=0 said

	shift 2
	said=$("$@" 2>&1) || got=$?
	printf '%s\n' "$said"
	if [ "$got" -ne "$code" ]; then
		echo "exit code $got, wanted $code"
		return 1
	fi
	grep -qE "$text" <<<"$said"
}

not() { ! "$@"; }

at_end()
{
	local pid

	if [ "$1" -ne 0 ]; then
		[ -z "${CLAIM:-}" ] || host_say "not ok: $CLAIM"
		tail -n 40 "$HOST_TMP/claim.log" >&2 || true
		cat "$DBS_STATE_DIR/nightly.json" >&2 || true
	fi
	# monitors and steps have it in their environment, servers as an argument
	for pid in $(pgrep -x dbs); do
		! grep -qzF "DBS_STATE_DIR=$DBS_STATE_DIR" "/proc/$pid/environ" \
			2>/dev/null || kill -KILL "$pid" 2>/dev/null
	done
	for pid in $(pgrep -f -- "$DBS_STATE_DIR/"); do
		kill -KILL "$pid" 2>/dev/null
	done
	return 0
}

# ---- the service -------------------------------------------------------------

# Its command line word for word, but for where dbs is not installed yet; with
# the priority that it says.
service()
{
	local line words

	line=$(sed -n 's/^ExecStart=//p' "$UNITS/dbs-nightly.service")
	read -ra words <<<"$line"
	[ "${words[0]}" = "$BINDIR/dbs" ]
	[ "${words[*]:1}" = nightly ]
	nice -n "$(sed -n 's/^Nice=//p' "$UNITS/dbs-nightly.service")" \
		ionice -c 2 -n "$(sed -n 's/^IOSchedulingPriority=//p' \
			"$UNITS/dbs-nightly.service")" \
		"$DBS" "${words[@]:1}"
}

units()
{
	local unit said

	not grep -E '^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|Temporary|Bind)' \
		"$UNITS/dbs-nightly.service"
	mkdir "$HOST_TMP/units"
	for unit in "$UNITS"/dbs*.service "$source_dir"/tools/systemd/*.timer; do
		sed "s|=$BINDIR/dbs|=$DBS|" "$unit" \
			>"$HOST_TMP/units/${unit##*/}"
	done
	if ! command -v systemd-analyze >/dev/null; then
		echo "no systemd-analyze"
		return 0
	fi
	said=$(systemd-analyze verify --man=no \
		"$HOST_TMP/units/dbs-nightly.service" \
		"$HOST_TMP/units/dbs-nightly.timer" \
		"$HOST_TMP/units/dbs-instances.service" 2>&1) ||
		{ echo "$said"; return 1; }
	echo "$said"
	not grep 'dbs-' <<<"$said"
}

# ---- what is there -------------------------------------------------------------

# result FILTER: of the result file
result() { jq -er "$1" "$DBS_STATE_DIR/nightly.json"; }
# steps: "name result" of each
steps() { result '.steps[] | .name + " " + .result'; }

# expect_steps LINE...
expect_steps() { diff <(printf '%s\n' "$@") <(steps); }

on() # INSTANCE STATEMENT
{
	"$DBS" sql "$1" -e "$2" -- --batch --skip-column-names
}

night_of() { on "$1" 'SELECT n FROM shop.night'; }
ps_of()
{
	"$DBS" ps --json | jq -r --arg name "$1" --arg key "$2" \
		'.items[] | select(.name == $name) | .[$key]'
}

snapshots() { "$DBS" list -q 'prod@*' | sort; }

# All of it, but for what a running server does by itself.
state()
{
	"$DBS" list --json 'prod*' | jq -c '.items[] | [.name, .generation]'
	"$DBS" list --json '*@*' | jq -c '.items[] | [.name, .id]' | sort
	find "$MNT/prod" -type f -printf '%P %s %T@\n' | sort
	find "$HOST_TMP/dumps" -type f -printf '%P %i %T@\n' | sort
	(cd "$HOST_TMP/dumps" && sha256sum -- *)
	ps_of staging server_pid
	on staging 'SELECT n FROM shop.night; CHECKSUM TABLE shop.customer'
}

untouched() # COMMAND...
{
	state >"$HOST_TMP/before"
	"$@"
	state >"$HOST_TMP/after"
	diff "$HOST_TMP/before" "$HOST_TMP/after"
	nothing_left
}

nothing_left()
{
	[ -z "$(find "$MNT" -maxdepth 1 -name '*import-*')" ]
	not pgrep -f -- "$DBS_STATE_DIR/import/"
}

# ---- the source -------------------------------------------------------------------

origin()
{
	mkdir "$HOST_TMP/orig"
	mariadb_init "$HOST_TMP/orig"
	mariadb_start orig "$HOST_TMP/orig" --innodb-buffer-pool-size=32M
	mariadb_sql orig "
	CREATE DATABASE shop;
	USE shop;
	CREATE TABLE shop.night (n INT);
	INSERT INTO shop.night VALUES (0);
	CREATE TABLE shop.customer (id INT PRIMARY KEY, email VARCHAR(80),
		UNIQUE KEY (email));
	INSERT INTO shop.customer
		SELECT seq, CONCAT('jane.doe', seq, '@our-customer.org')
		FROM seq_1_to_20000"
	NIGHT=0
}

# The next night's dump, where the configuration looks for it.
dump()
{
	NIGHT=$((NIGHT + 1))
	mariadb_sql orig "UPDATE shop.night SET n = $NIGHT"
	mariadb-dump --no-defaults --user=root \
		--socket="$HOST_TMP/run/orig.sock" --single-transaction \
		--databases shop | zstd -q -f -o "$HOST_TMP/backup.new"
	mv "$HOST_TMP/backup.new" "$HOST_TMP/backup.sql.zst"
}

cut_dump()
{
	zstd -q -d -f "$HOST_TMP/backup.sql.zst" -o "$HOST_TMP/backup.cut"
	truncate -s 400000 "$HOST_TMP/backup.cut"
	zstd -q -f "$HOST_TMP/backup.cut" -o "$HOST_TMP/backup.sql.zst"
}

config() # [LINE...]
{
	mkdir -p "$DBS_CONFIG_DIR"
	cat >"$DBS_CONFIG_DIR/dbs.yaml" <<END
instances:
  ports: 23300-23399
  memory: 256M
nightly:
  datasets:
    prod:
      import:
        from: $HOST_TMP/backup.sql.zst
        rules: $HOST_TMP/rules.yaml
        publish: $HOST_TMP/dumps
        keep_published: 2
      prune: { keep_last: 2 }
$(printf '%s\n' "$@")
END
}

rules()
{
	cat >"$HOST_TMP/rules.yaml" <<END
key_file: $HOST_TMP/key
strict: true
tables:
  shop.customer: { columns: { email: email } }
END
	head -c 40 /dev/urandom | base64 >"$HOST_TMP/key"
	chmod 600 "$HOST_TMP/key"
}

# ---- nights that go well ------------------------------------------------------------

plan()
{
	"$DBS" nightly --dry-run
	"$DBS" nightly --dry-run --json | jq -e '.dry_run and
		[.steps[].name] == ["import prod", "prune prod", "publish prod"]'
	[ ! -e "$DBS_STATE_DIR/nightly.json" ]
	[ -z "$("$DBS" list -q)" ]
}

# A snapshot of a day when the clock was wrong: the nights to come are newer.
clock_ahead()
{
	"$DBS" umount "$MNT"
	"$SNAPSHOT_AT" "$DBS_POOL" prod 0-ahead $((400 * 86400))
	"$DBS" mount "$DBS_POOL" "$MNT"
}

first_night()
{
	dump
	service
	expect_steps "import prod ok" "prune prod ok" "publish prod ok"
	result '.result == "ok" and .code == 0 and .error == null and
		.last_ok == null and .pid == null'
	[ "$(snapshots)" = "$(result '.steps[0].snapshot')" ]
	clock_ahead
	"$DBS" up staging --from prod@latest
	[ "$(night_of staging)" = 1 ]
}

whole_night()
{
	local time='^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$'
	local port snapshot

	port=$(ps_of staging port)
	dump
	service
	expect_steps "import prod ok" "prune prod ok" "publish prod ok" \
		"refresh staging ok" "prune other ok" "prune expired ok"
	snapshot=$(result '.steps[0].snapshot')
	[ "$(snapshots | tail -n 1)" = "$snapshot" ]
	[ "$(result .last_ok)" != null ]
	result '[.begin, .end, .steps[].begin, .steps[].end] |
		all(test("'"$time"'"))'
	result '[.duration_ms, .steps[].duration_ms] | all(. >= 0)'
	result '[.steps[].code] | all(. == 0)'
	# the running instance has it, where it was
	[ "$(night_of staging)" = "$NIGHT" ]
	[ "$(ps_of staging port)" = "$port" ]
	[ "$("$DBS" get staging origin)" = "$snapshot" ] ||
		[ "$(result '.steps[3].answer.source')" = "$snapshot" ]
	[ "$(on staging "SELECT COUNT(*) FROM shop.customer
		WHERE email LIKE '%our-customer%'")" = 0 ]
	[ "$(on staging 'SELECT COUNT(*) FROM shop.customer')" = 20000 ]
}

pruned()
{
	whole_night
	# two of three nights are left, of snapshots and of dumps
	[ "$(snapshots | wc -l)" = 2 ]
	[ "$("$DBS" list -q 'other@*')" = other@b ]
	(cd "$HOST_TMP/dumps" && sha256sum -c -- *.sha256)
	[ "$(find "$HOST_TMP/dumps" -name '2*Z.sql.zst' | wc -l)" = 2 ]
	[ "$(find "$HOST_TMP/dumps" -type f | wc -l)" = 7 ] # and what is ours
	[ -e "$HOST_TMP/dumps/2020-01-01.sql.zst" ]
	zstd -q -dc "$HOST_TMP/dumps/latest.sql.zst" >"$HOST_TMP/latest.sql"
	grep -q "INSERT INTO .night. VALUES *($NIGHT)" "$HOST_TMP/latest.sql" ||
		grep -A3 'INTO .night.' "$HOST_TMP/latest.sql" |
		grep -q "($NIGHT)"
	not grep -q our-customer "$HOST_TMP/latest.sql"
	result '.steps[2].answer.removed | length == 1'
}

# The server that it starts has a monitor of its own: not with the night's
# priority, and it stays.
adopted()
{
	kill -KILL "$(ps_of staging monitor_pid)"
	until [ "$(ps_of staging state)" = unmonitored ]; do sleep 0.1; done
	dump
	service
	[ "$(ps_of staging state)" = running ]
	[ "$(night_of staging)" = "$NIGHT" ]
	[ "$(ps -o ni= -p "$(ps_of staging server_pid)" | tr -d ' ')" = 0 ]
	[ "$(ps -o ni= -p "$(ps_of staging monitor_pid)" | tr -d ' ')" = 0 ]
	ionice -p "$(ps_of staging server_pid)" | grep -q '^none'
}

held()
{
	local own

	# dumps of days when the clock was wrong
	: >"$HOST_TMP/dumps/2099-01-01T00:00:00Z.sql.zst"
	: >"$HOST_TMP/dumps/2099-01-02T00:00:00Z.sql.zst"
	"$DBS" hold staging --until 1h --reason "a demo"
	dump
	service
	expect_steps "import prod ok" "prune prod ok" "publish prod ok" \
		"refresh staging skipped" "prune other ok" "prune expired ok"
	result '.result == "ok"'
	result '.steps[3].error | test("held until .*a demo")'
	own=$(result '.steps[2].answer.file')
	[ "$(find "$HOST_TMP/dumps" -name '2*Z.sql.zst' | sort)" = \
		"$own"$'\n'"$HOST_TMP/dumps/2099-01-02T00:00:00Z.sql.zst" ]
	rm "$HOST_TMP/dumps/2099-01-02T00:00:00Z.sql.zst"
	[ "$(night_of staging)" = $((NIGHT - 1)) ]
	"$DBS" hold staging --release
}

# ---- nights that do not ---------------------------------------------------------------

truncated()
{
	cut_dump
	"$DBS" snapshot other@c
	fails 2 'cut off|cut' service
	expect_steps "import prod failed" "prune prod skipped" \
		"publish prod skipped" "refresh staging skipped" \
		"prune other ok" "prune expired ok"
	result '.result == "failed" and .code == 2 and .steps[0].code == 2'
	result '.error | test("^import prod: .*cut")'
	result '.steps[0].error | test("cut")'
	result '.steps[3].error | test("import prod")'
	result '.steps[0].snapshot == null and .steps[0].answer == null'
	result '.last_ok | test("Z$")'
	# other's turn came: snapshot b went
	[ "$("$DBS" list -q 'other@*')" = other@c ]
	# as it was, for the comparison
	"$DBS" rm --yes other@c
	"$DBS" snapshot other@b
}

# With other's snapshots left out: its turn comes.
truncated_changes_nothing()
{
	local filter='/"other@/d'

	state | sed "$filter" >"$HOST_TMP/before"
	truncated
	state | sed "$filter" >"$HOST_TMP/after"
	diff "$HOST_TMP/before" "$HOST_TMP/after"
	nothing_left
}

first_code_counts()
{
	config '      refresh: [staging]' '    none: { prune: { keep_last: 1 } }'
	cut_dump
	mv "$HOST_TMP/backup.sql.zst" "$HOST_TMP/away"
	fails 3 'import prod: .*No such file' service
	result '.code == 3 and .steps[0].code == 3 and .steps[-1].code == 3'
	mv "$HOST_TMP/away" "$HOST_TMP/backup.sql.zst"
	settings
}

wrong()
{
	fails 3 'No such file' "$DBS" nightly --config "$HOST_TMP/none.yaml"
	echo 'instances: {}' >"$HOST_TMP/empty.yaml"
	fails 78 'says nothing' "$DBS" nightly --config "$HOST_TMP/empty.yaml"
	echo 'nightly: { dataset: {} }' >"$HOST_TMP/bad.yaml"
	fails 78 "bad.yaml:1: unknown key 'dataset'" \
		"$DBS" nightly --config "$HOST_TMP/bad.yaml"
	# an instance of another origin
	cat >"$HOST_TMP/origin.yaml" <<END
nightly: { datasets: { other: { refresh: [staging] } } }
END
	fails 78 "was made from 'prod@.*, not from 'other'" \
		"$DBS" nightly --config "$HOST_TMP/origin.yaml"
	echo 'nightly: { datasets: { prod: { refresh: [nobody] } } }' \
		>"$HOST_TMP/nobody.yaml"
	fails 3 "no instance 'nobody'" \
		"$DBS" nightly --config "$HOST_TMP/nobody.yaml"
}

# begun: an import of a run is under way; sets $RUN and $IMPORT, its processes,
# and $MADE, the dataset that it makes
begun()
{
	local i

	service >"$HOST_TMP/run.log" 2>&1 &
	SHELL_PID=$!
	for ((i = 0; i < 3000; i++)); do
		MADE=$(find "$MNT" -maxdepth 1 -name 'prod.import-*' -printf %f)
		IMPORT=${MADE##*-}
		[ -z "$IMPORT" ] || [ ! -e "$MNT/$MADE/ibdata1" ] ||
			break
		sleep 0.02
	done
	[ -n "$IMPORT" ]
	RUN=$(result .pid)
	[ "$(result '.result + " " + .steps[0].result')" = "running running" ]
	[ "$(result '.steps[0].pid')" = "$IMPORT" ]
}

# ended CODE: the run of begun() ended so
ended()
{
	local code=0

	wait "$SHELL_PID" || code=$?
	cat "$HOST_TMP/run.log"
	[ "$code" -eq "$1" ]
}

two_at_once()
{
	dump
	begun
	fails 4 "another 'dbs nightly' \(pid $RUN\)" service
	ended 0
	result '.result == "ok"'
}

interrupted()
{
	begun
	kill -TERM "$RUN"
	ended 2
	expect_steps "import prod failed" "prune prod skipped" \
		"publish prod skipped" "refresh staging skipped" \
		"prune other skipped" "prune expired skipped"
	result '.result == "failed" and (.error | test("interrupted")) and
		(.steps[1].error | test("interrupted"))'
}

# kill -9 of it: its import ends and cleans up, whoever comes next
killed()
{
	begun
	kill -KILL "$RUN"
	ended 137
	# the next one does not wait for us
	fails 0 'began at .* was killed' service
	result '.result == "ok"'
	[ "$(night_of staging)" = "$NIGHT" ]
	nothing_left
}

# kill -9 of both: what the import made is left, and the next one removes it
killed_both()
{
	begun
	kill -KILL "$IMPORT" "$RUN"
	wait "$SHELL_PID" || true
	[ -d "$MNT/$MADE" ]
	dump
	fails 0 "removing '$MADE'" service
	result '.result == "ok"'
	[ "$(night_of staging)" = "$NIGHT" ]
	nothing_left
}

step_killed()
{
	begun
	kill -KILL "$IMPORT"
	ended 2
	result '.steps[0].error | test("signal 9")'
	[ "$(steps | tail -n 1)" = "prune expired ok" ]
	dump
	service
}

# A signed URL is a key: nobody sees it among processes, nor in the result.
key_is_no_argument()
{
	local port="" i

	dump
	mkdir "$HOST_TMP/www"
	ln "$HOST_TMP/backup.sql.zst" "$HOST_TMP/www/"
	python3 -u -m http.server --bind 127.0.0.1 \
		--directory "$HOST_TMP/www" 0 >"$HOST_TMP/www.log" 2>&1 &
	HOST_PIDS+=($!)
	for ((i = 0; i < 500; i++)); do
		port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$HOST_TMP/www.log")
		[ -z "$port" ] || break
		sleep 0.02
	done
	sed -i "s|from: .*|from: http://127.0.0.1:$port/backup.sql.zst?k=S3cr3t|" \
		"$DBS_CONFIG_DIR/dbs.yaml"
	begun
	not grep -aqs '[S]3cr3t' /proc/[0-9]*/cmdline
	ended 0
	result '.steps[0].command | any(endswith("?..."))'
	not grep -q S3cr3t "$DBS_STATE_DIR/nightly.json"
	[ "$(night_of staging)" = "$NIGHT" ]
	settings
}

# ---- examples ------------------------------------------------------------------------------

examples()
{
	local file

	mkdir "$HOST_TMP/examples"
	for file in "$source_dir"/docs/examples/*; do
		install -m 755 "$file" "$HOST_TMP/examples/"
	done
	"$DBS" nightly --dry-run --config "$HOST_TMP/examples/dbs.yaml"
	"$DBS" rules check "$HOST_TMP/examples/rules.yaml"
	# with the dbs that is tested
	sed -i "s|^PATH=|&$(dirname "$DBS"):|" "$HOST_TMP/examples/dbs-ci"
	"$HOST_TMP/examples/dbs-ci" up ci-1 30m
	"$HOST_TMP/examples/dbs-ci" env ci-1 github >"$HOST_TMP/env" \
		2>"$HOST_TMP/mask"
	grep '^DB_PORT=' "$HOST_TMP/env"
	grep '^::add-mask::.' "$HOST_TMP/mask"
	"$HOST_TMP/examples/dbs-ci" env ci-1 | grep 'DB_PASSWORD='
	"$HOST_TMP/examples/dbs-ci" restore ci-1
	"$HOST_TMP/examples/dbs-ci" down ci-1
	fails 64 'begin with' "$HOST_TMP/examples/dbs-ci" down staging
	fails 64 'what is' "$HOST_TMP/examples/dbs-ci" up 'ci-1 --server=/x'
	fails 64 'what is' "$HOST_TMP/examples/dbs-ci" up ci-1 '1h --port 1'
	[ -z "$("$DBS" list -q 'ci-*')" ]
}

settings()
{
	config '      refresh: [staging]' \
		'    other: { prune: { keep_last: 1 } }' '  expired: true'
}

main()
{
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[ -e /dev/fuse ] || skip "no /dev/fuse"
	command -v mariadbd >/dev/null || skip "no MariaDB"
	command -v jq >/dev/null || skip "no jq"
	: "${DBS:?the dbs to test}" "${UNITS:?where the units are}"
	: "${BINDIR:?where dbs is installed}" "${SNAPSHOT_AT:?}"
	# shellcheck disable=SC2034 # host_end calls it
	HOST_EXIT_HOOK=at_end
	host_begin dbs-e2e-nightly
	: >"$HOST_TMP/claim.log"
	MNT=$HOST_TMP/mnt
	mkdir "$MNT" "$HOST_TMP/dumps"
	: >"$HOST_TMP/dumps/2020-01-01.sql.zst"
	export DBS_POOL=$HOST_TMP/pool DBS_STATE_DIR=$HOST_TMP/state
	export DBS_CONFIG_DIR=$HOST_TMP/etc
	unset DBS_SOCKET DBS_SERVER DBS_CONFIG DBS_MASK_KEY_FILE
	unset SUDO_UID SUDO_GID
	rules
	config

	claim "the units are what systemd takes" units
	"$DBS" pool create "$DBS_POOL" --size 4G --sparse
	host_mount "$DBS_POOL" "$MNT"
	claim "a database to be dumped" origin
	claim "--dry-run shows the steps and does nothing" plan
	claim "the first night makes the dataset" first_night
	"$DBS" create other
	"$DBS" snapshot other@a
	"$DBS" snapshot other@b
	settings
	claim "a night: imported, published, and the instance has it" whole_night
	claim "another: what is too old has gone" pruned
	claim "an instance without a monitor gets one, that stays" adopted
	claim "an instance that is held is left alone" held
	claim "a truncated dump changes nothing, and the file says so" \
		truncated_changes_nothing
	claim "the first failure's exit code counts" untouched first_code_counts
	claim "what is wrong in the configuration changes nothing" \
		untouched wrong
	claim "two at once: the second is refused" two_at_once
	claim "SIGTERM ends the import, which leaves nothing" \
		untouched interrupted
	claim "kill -9 in the middle: the next one works" killed
	claim "kill -9 of it and its step: the next one cleans up" killed_both
	claim "kill -9 of a step is that step's failure" step_killed
	claim "a key in a URL is no process's argument" key_is_no_argument
	claim "the examples work" examples
	claim "the instance goes" "$DBS" down staging --rm --yes
	claim "nothing runs" not pgrep -f -- "$DBS_STATE_DIR/"
	claim "the pool is unmounted" "$DBS" umount "$MNT"
	claim "the pool is clean" "$DBS" pool check "$DBS_POOL"
}

main "$@"
