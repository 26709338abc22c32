#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# import.sh - real dumps become snapshots: masked, whole, with nothing left of
# the originals; and what goes wrong leaves everything as it was
#
# usage: DBS=build/tools/dbs import.sh [PART...]
#        (as root; exits 77 if it cannot run)
#
# The dumps are ../shared/data/*.sql.zst beside the source, or in $DBS_SHARED.
set -Eeuo pipefail
export LC_ALL=C # bytes

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/lib/host.sh
. "$here/../../tools/lib/host.sh"

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
		tail -n 30 "$HOST_TMP/claim.log" >&2 || true
	fi
	[ -z "${HTTP:-}" ] || kill "$HTTP" 2>/dev/null
	"$DBS" down t 2>/dev/null
	umount "$HOST_TMP/tiny" 2>/dev/null
	for pid in $(cat "$DBS_STATE_DIR"/import/*/server/pid 2>/dev/null); do
		! grep -qzF "$DBS_STATE_DIR" "/proc/$pid/cmdline" 2>/dev/null ||
			kill -KILL "$pid"
	done
	return 0
}

# ---- rules -------------------------------------------------------------------

rules()
{
	cat >"$HOST_TMP/sakila.yaml" <<'END'
strict: true
tables:
  sakila.actor:
    columns:
      first_name: { mask: name, part: first }
      last_name: { mask: name, part: last }
  sakila.customer:
    columns:
      first_name: { mask: name, part: first }
      last_name: { mask: name, part: last }
      email: { mask: email }
  sakila.staff:
    columns:
      first_name: { mask: name, part: first }
      last_name: { mask: name, part: last }
      email: { mask: email }
      username: keep
      password: { mask: hash }
      picture: keep
  sakila.address:
    columns:
      address: { mask: address, part: street }
      address2: { mask: address, part: street }
      district: keep
      postal_code: { mask: address, part: postcode }
      phone: { mask: phone }
  sakila.city: { columns: { city: keep } }
END
	cat >"$HOST_TMP/employee.yaml" <<'END'
strict: true
tables:
  employee.employee:
    columns:
      first_name: { mask: name, part: first }
      last_name: { mask: name, part: last }
      birth_date: { mask: date, days: 180 }
      gender: keep
END
	head -c 40 /dev/urandom | base64 >"$HOST_TMP/key"
	chmod 600 "$HOST_TMP/key"
	export DBS_MASK_KEY_FILE=$HOST_TMP/key
}

# ---- what is compared ----------------------------------------------------------

# The originals, in a server of their own.
originals()
{
	mkdir "$HOST_TMP/orig"
	mariadb_init "$HOST_TMP/orig"
	mkdir "$HOST_TMP/fresh"
	cp -a "$HOST_TMP/orig/." "$HOST_TMP/fresh/"
	mariadb_start orig "$HOST_TMP/orig" --innodb-buffer-pool-size=64M
	zstdcat "$DUMPS/sakila.sql.zst" | mariadb_client orig
	zstdcat "$DUMPS/employee.sql.zst" | mariadb_client orig
}

# on SIDE DATABASE STATEMENT: of a server of ours, or of the instance t
on()
{
	if [ "$1" != t ]; then
		mariadb_sql "$1" "$3" "$2"
	else
		"$DBS" sql t -e "USE $2; $3" -- --batch --skip-column-names
	fi
}

counts() # SIDE DATABASE
{
	local table

	for table in $(on orig "$2" "SELECT table_name FROM
		information_schema.tables WHERE table_schema = '$2' AND
		table_type = 'BASE TABLE' ORDER BY 1"); do
		echo "$table $(on "$1" "$2" "SELECT COUNT(*) FROM $table")"
	done
}

joins() # SIDE
{
	on "$1" sakila "SELECT c.customer_id, COUNT(*), SUM(p.amount),
		COUNT(DISTINCT a.address_id), COUNT(DISTINCT ci.city)
		FROM payment p JOIN rental r USING (rental_id)
		JOIN customer c ON c.customer_id = r.customer_id
		JOIN address a USING (address_id) JOIN city ci USING (city_id)
		GROUP BY 1 ORDER BY 1"
	on "$1" sakila "SELECT COUNT(DISTINCT email), COUNT(DISTINCT last_name),
		COUNT(DISTINCT first_name) FROM customer"
	on "$1" sakila "SELECT COUNT(DISTINCT phone) FROM address"
	on "$1" sakila "SELECT COUNT(*) FROM actor a JOIN actor b
		ON a.last_name = b.last_name"
	on "$1" sakila "SELECT COUNT(*) FROM customer_list"
}

keys() # SIDE DATABASE
{
	on "$1" "$2" "SELECT table_name, index_name, seq_in_index, column_name,
		non_unique, index_type FROM information_schema.statistics
		WHERE table_schema = '$2' ORDER BY 1, 2, 3"
	on "$1" "$2" "SELECT table_name, constraint_name, referenced_table_name
		FROM information_schema.referential_constraints
		WHERE constraint_schema = '$2' ORDER BY 1, 2"
	on "$1" "$2" "SELECT trigger_name FROM information_schema.triggers
		WHERE trigger_schema = '$2' ORDER BY 1"
	on "$1" "$2" "SELECT routine_name FROM information_schema.routines
		WHERE routine_schema = '$2' ORDER BY 1"
}

views() # SIDE
{
	on "$1" sakila "SELECT table_name FROM information_schema.views
		WHERE table_schema = 'sakila' ORDER BY 1"
	on "$1" sakila "SELECT COUNT(*) FROM film_list"
	on "$1" sakila "SELECT * FROM sales_by_film_category"
}

checksums() # SERVER
{
	local table

	for table in $(mariadb_sql orig "SELECT table_name FROM
		information_schema.tables WHERE table_schema = 'sakila' AND
		table_type = 'BASE TABLE' ORDER BY 1"); do
		on "$1" sakila "CHECKSUM TABLE $table EXTENDED"
	done
}

# What was published, by the client of another server: equal to the instance t
loads_again() # FILE
{
	rm -rf "$HOST_TMP/other"
	cp -a "$HOST_TMP/fresh" "$HOST_TMP/other"
	mariadb_start other "$HOST_TMP/other" --innodb-buffer-pool-size=64M
	zstdcat "$1" | mariadb_client other
	checksums t >"$HOST_TMP/t.sums"
	checksums other >"$HOST_TMP/other.sums"
	mariadb_sql other "SELECT table_name FROM information_schema.views
		WHERE table_schema = 'sakila'" >"$HOST_TMP/other.views"
	mariadb_stop other
	cat "$HOST_TMP/t.sums"
	[ "$(wc -l <"$HOST_TMP/t.sums")" = 16 ]
	[ "$(wc -l <"$HOST_TMP/other.views")" = 7 ]
	not grep -P '\t(0|NULL)$' "$HOST_TMP/t.sums"
	diff "$HOST_TMP/t.sums" "$HOST_TMP/other.sums"
}

same() # FUNCTION [DATABASE]
{
	"$1" orig "${@:2}" >"$HOST_TMP/orig.txt"
	"$1" t "${@:2}" >"$HOST_TMP/t.txt"
	[ -s "$HOST_TMP/orig.txt" ]
	diff "$HOST_TMP/orig.txt" "$HOST_TMP/t.txt"
}

# ---- originals in bytes ----------------------------------------------------------

# Values that may stand nowhere, and words that may stand in kept text only.
values()
{
	case $1 in
	sakila)
		on orig sakila "SELECT email FROM customer UNION
			SELECT email FROM staff UNION
			SELECT address FROM address UNION
			SELECT phone FROM address WHERE LENGTH(phone) > 9 UNION
			SELECT CONCAT(first_name, last_name) FROM customer UNION
			SELECT password FROM staff WHERE password <> ''" |
			awk 'length >= 6' | sort -u >"$HOST_TMP/values"
		on orig sakila "SELECT last_name FROM customer UNION
			SELECT first_name FROM customer UNION
			SELECT last_name FROM actor"
		;;
	employee)
		on orig employee "SELECT DISTINCT
			CONCAT(first_name, last_name) FROM employee" |
			awk 'length >= 12' | sort -u >"$HOST_TMP/values"
		on orig employee "SELECT last_name FROM employee UNION
			SELECT first_name FROM employee"
		;;
	esac | awk 'length >= 6' | sort -u >"$HOST_TMP/words"
}

# Text that rules keep, that masks made, or that any server has.
kept()
{
	case $1 in
	sakila)
		on orig sakila "SELECT CONCAT(title, description) FROM film;
			SELECT city FROM city; SELECT country FROM country;
			SELECT username FROM staff; SELECT name FROM category;
			SELECT CONCAT(IFNULL(address2, ''), district)
			FROM address; SELECT name FROM language"
		on t sakila "SELECT first_name, last_name, email FROM customer;
			SELECT first_name, last_name FROM actor;
			SELECT address FROM address"
		;;
	employee)
		on orig employee "SELECT title FROM title;
			SELECT dept_name FROM department"
		on t employee "SELECT CONCAT(first_name, last_name)
			FROM employee"
		;;
	esac >"$HOST_TMP/kept"
	cat "$HOST_TMP"/kept <(cat "$HOST_TMP"/fresh/ibdata1 \
		"$HOST_TMP"/fresh/mysql/*)
}

no_original_left() # DATABASE DIRECTORY
{
	values "$1"
	wc -l "$HOST_TMP/values" "$HOST_TMP/words"
	[ -s "$HOST_TMP/values" ] && [ -s "$HOST_TMP/words" ]
	# the search finds them where they are
	grep -raqFf "$HOST_TMP/values" "$HOST_TMP/orig"
	not grep -raobFf "$HOST_TMP/values" "$2"
	grep -rahoFf "$HOST_TMP/words" "$2" | sort -u >"$HOST_TMP/found" || true
	kept "$1" | grep -aoFf "$HOST_TMP/words" | sort -u \
		>"$HOST_TMP/explained" || true
	comm -23 "$HOST_TMP/found" "$HOST_TMP/explained" >"$HOST_TMP/left"
	wc -l "$HOST_TMP/found" "$HOST_TMP/left"
	cat "$HOST_TMP/left"
	[ ! -s "$HOST_TMP/left" ]
}

no_row_keeps_its_value()
{
	local side

	for side in orig t; do
		on "$side" sakila "SELECT customer_id, last_name FROM customer
			UNION SELECT customer_id, email FROM customer
			UNION SELECT customer_id, first_name FROM customer" |
			sort >"$HOST_TMP/rows.$side"
	done
	[ -z "$(comm -12 "$HOST_TMP/rows.orig" "$HOST_TMP/rows.t")" ]
}

# ---- the old state ---------------------------------------------------------------

state()
{
	"$DBS" list --json 'prod*' | jq -c '.items[] | [.name, .generation]'
	"$DBS" list --json '*@*' | jq -c '.items[] | [.name, .id]'
	find "$MNT/prod" -type f -printf '%P %s %T@\n' | sort
}

untouched() # COMMAND...
{
	state >"$HOST_TMP/before"
	"$@"
	state >"$HOST_TMP/after"
	diff "$HOST_TMP/before" "$HOST_TMP/after"
	[ -z "$(find "$MNT" -maxdepth 1 -name '*import-*')" ]
}

import() { "$DBS" import prod "$@"; }
sakila() { import --from "$DUMPS/sakila.sql.zst" "$@"; }

# ---- parts -----------------------------------------------------------------------

imported() # NAME DATABASE DATASET
{
	"$DBS" import "$3" --from "$DUMPS/$2.sql.zst" \
		--rules "$HOST_TMP/$2.yaml" --snapshot "$1" --json \
		>"$HOST_TMP/report.json"
	cat "$HOST_TMP/report.json"
	jq -e '.proof.nr_values > 100 and .proof.nr_files > 100' \
		"$HOST_TMP/report.json"
	[ "$("$DBS" get "$3@$1" user:dbs.import.rows)" -gt 1000 ]
	"$DBS" up t --from "$3@$1"
	not grep -q 'crash recovery' "$DBS_STATE_DIR/instances/t/server.log"
}

new_columns_stop_it()
{
	fails 1 'new, it was not there before' import \
		--from "$DUMPS/employee.sql.zst" --rules "$HOST_TMP/employee.yaml"
}

gate_names_it()
{
	sed -i '/email:/d' "$HOST_TMP/sakila.yaml"
	fails 1 'sakila.customer.email' sakila --rules "$HOST_TMP/sakila.yaml"
	rules
}

leak_is_found()
{
	grep -q 'org A Epic' "$HOST_TMP/leak.sql"
	# the gate sees it ...
	fails 1 'sakila.film.description' import --from "$HOST_TMP/leak.sql" \
		--rules "$HOST_TMP/sakila.yaml"
	# ... and who keeps the column all the same is told by the proof
	{
		cat "$HOST_TMP/sakila.yaml"
		echo '  sakila.film: { columns: { description: keep } }'
		echo '  sakila.film_text: { columns: { description: keep } }'
	} >"$HOST_TMP/leak.yaml"
	fails 1 "sakila.customer.email is in file 'sakila/film" \
		import --from "$HOST_TMP/leak.sql" --rules "$HOST_TMP/leak.yaml"
}

# killed MOMENT: where the import ends at once
crashes()
{
	local code=0

	DBS_IMPORT_CRASH=$1 sakila --snapshot "crash-$1" || code=$?
	[ "$code" -eq 137 ]
}

# made FILE: a file of the dataset that an import makes is there; sets $MADE
made()
{
	local i

	for ((i = 0; i < 1200; i++)); do
		MADE=$(find "$MNT" -maxdepth 1 -name 'prod.import-*')
		[ -z "$MADE" ] || [ ! -e "$MADE/$1" ] || return 0
		sleep 0.02
	done
	return 1
}

killed_in_the_middle()
{
	local shell

	sakila --snapshot killed &
	shell=$!
	made sakila/film.ibd
	kill -KILL "${MADE##*-}"
	wait "$shell" || true
	[ -d "$MADE" ]
	[ -z "$("$DBS" list -q 'prod@killed')" ]
}

next_one_cleans_up()
{
	killed_in_the_middle
	fails 1 'removing .prod.import' sakila --rules "$HOST_TMP/gate.yaml"
}

crash_before_switch()
{
	crashes ready
	# the old one still, and the next one takes away what is left
	fails 1 'removing .prod.import' sakila --rules "$HOST_TMP/gate.yaml"
}

crash_after_switch()
{
	crashes switched
	[ -d "$MNT/prod/sakila" ]
	fails 1 'finishing' sakila --rules "$HOST_TMP/gate.yaml"
	[ -n "$("$DBS" list -q prod@crash-switched)" ]
	[ "$("$DBS" get prod@crash-switched user:dbs.import.tables)" = 16 ]
	[ -z "$(find "$MNT" -maxdepth 1 -name '*import-*')" ]
}

server_killed()
{
	local shell pid got=0

	sakila --snapshot killed 2>"$HOST_TMP/err" &
	shell=$!
	made sakila/film.ibd
	pid=$(cat "$DBS_STATE_DIR/import/prod/server/pid")
	kill -KILL "$pid"
	wait "$shell" || got=$?
	cat "$HOST_TMP/err"
	[ "$got" = 2 ]
	grep -q "the import's server ended" "$HOST_TMP/err"
}

daemon_killed()
{
	local shell pid got=0

	sakila --snapshot killed 2>"$HOST_TMP/err" &
	shell=$!
	made sakila/film.ibd
	pid=$("$DBS" pool list --json | jq -r --arg dir "$MNT" \
		'.items[] | select(.mountpoint == $dir) | .pid')
	[ "$pid" -gt 1 ]
	kill -KILL "$pid"
	wait "$shell" || got=$?
	cat "$HOST_TMP/err"
	[ "$got" -ne 0 ]
	"$DBS" mount "$DBS_POOL" "$MNT"
	fails 1 'removing .prod.import' sakila --rules "$HOST_TMP/gate.yaml"
}

# A new data directory is made once for a server, and again if it is no good.
made_once()
{
	local new

	new=$(echo "$DBS_STATE_DIR"/import/.new-*-*)
	[ -d "$new/mysql" ]
	[ "$(stat -c %u%a "$new")" = 0700 ]
	[ "$(find "$new" ! -user root | wc -l)" = 0 ]
	sakila --snapshot again 2>"$HOST_TMP/err"
	not grep 'making a new data directory' "$HOST_TMP/err"
	"$DBS" rm --yes prod@again
	truncate -s 4096 "$new/ibdata1"
	fails 2 'ended at its start' sakila --snapshot again
	fails 1 'making a new data directory' \
		sakila --rules "$HOST_TMP/gate.yaml"
	[ "$(stat -c %s "$new/ibdata1")" -gt 1000000 ]
}

two_at_once()
{
	local pid

	sakila --snapshot first &
	pid=$!
	made .
	fails 4 'another import' sakila
	# with another's lock, too
	DBS_STATE_DIR=$HOST_TMP/state-2 \
		fails 4 'is being made by another import' sakila
	wait "$pid"
}

# A dump of one table, with one row.
small()
{
	echo "CREATE TABLE $1 (i INT PRIMARY KEY); INSERT INTO $1 VALUES (1);" \
		>"$HOST_TMP/$1.sql"
}

# stopped MOMENT COMMAND...: the import stops there; sets $SHELL_PID and $MADE
stopped()
{
	local moment=$1 i

	shift
	DBS_IMPORT_STOP=$moment "$@" >"$HOST_TMP/stopped.log" 2>&1 &
	SHELL_PID=$!
	for ((i = 0; i < 1200; i++)); do
		MADE=$(find "$MNT" -maxdepth 1 -name 'prod.import-*')
		STOPPED=$(pgrep -r T -f "import prod .*$HOST_TMP/.*stopped" || true)
		[ -z "$STOPPED" ] || return 0
		kill -0 "$SHELL_PID"
		sleep 0.05
	done
	return 1
}

# goes_on CODE [TEXT]: what stopped() began ends so, saying TEXT
goes_on()
{
	local code=0

	kill -CONT "$STOPPED"
	wait "$SHELL_PID" || code=$?
	cat "$HOST_TMP/stopped.log"
	[ "$code" = "$1" ]
	grep -qE "${2-}" "$HOST_TMP/stopped.log"
}

# In a process namespace of its own, where it has number 2.
apart()
{
	unshare --pid --fork sh -c '"$@" & wait $!' sh "$@"
}

# Neither sees the other's process, and both have the same number.
not_removed_by_another()
{
	small a
	stopped loaded apart "$DBS" import prod --from "$HOST_TMP/a.sql" \
		--snapshot stopped
	DBS_STATE_DIR=$HOST_TMP/state-2 \
		fails 4 'has files open for writing' \
		apart "$DBS" import prod --from "$HOST_TMP/a.sql"
	[ -d "$MADE/prod" ]
	goes_on 0
	[ -e "$MNT/prod/prod/a.ibd" ]
	[ "$("$DBS" get prod@stopped user:dbs.import.tables)" = 1 ]
	# nothing of what was held is in it
	[ "$("$DBS" list --json prod@stopped | jq '.items[0].nr_inodes')" = \
		"$(find "$MNT/prod/.dbs/snapshot/stopped" | wc -l)" ]
	"$DBS" restore prod@one
	"$DBS" rm --yes prod@stopped
}

# Another dataset has the name of the one that was made: it is not published.
only_ones_own_is_published()
{
	local moment

	small a
	for moment in loaded ready; do
		stopped "$moment" import --from "$HOST_TMP/a.sql" \
			--snapshot stopped
		"$DBS" rm -r --force --yes "${MADE##*/}"
		"$DBS" create "${MADE##*/}"
		[ "$moment" = loaded ] || "$DBS" snapshot "${MADE##*/}@stopped"
		goes_on 4 'the one that was meant is gone'
		[ -d "$MADE" ]
		"$DBS" rm -r --yes "${MADE##*/}"
	done
}

truncated()
{
	head -c 2000000 "$HOST_TMP/leak.sql" >"$HOST_TMP/cut.sql"
	fails 2 'last whole row is' import --from "$HOST_TMP/cut.sql"
	head -c 300000 "$DUMPS/sakila.sql.zst" >"$HOST_TMP/cut.zst"
	fails 2 'cut off' import --from "$HOST_TMP/cut.zst"
	gzip -c "$HOST_TMP/leak.sql" >"$HOST_TMP/cut.gz"
	truncate -s 200000 "$HOST_TMP/cut.gz"
	fails 2 'cut off' import --from "$HOST_TMP/cut.gz"
	xz -0 -c "$HOST_TMP/leak.sql" >"$HOST_TMP/cut.xz"
	truncate -s 200000 "$HOST_TMP/cut.xz"
	fails 2 'cut off' import --from "$HOST_TMP/cut.xz"
}

wrong_charset()
{
	printf '%s\n' 'SET NAMES utf8mb4;' \
		'CREATE TABLE a (i INT PRIMARY KEY, t VARCHAR(90));' \
		"INSERT INTO a VALUES (1,'fine'),(2,'M\xfcller');" |
		sed 's/\\xfc/\xfc/' >"$HOST_TMP/charset.sql"
	fails 2 "not UTF-8.* at byte [0-9]+" import --from "$HOST_TMP/charset.sql"
	iconv -f utf-8 -t utf-16 <<<'CREATE TABLE a (i INT);' \
		>"$HOST_TMP/utf16.sql"
	fails 2 'is UTF-16.*--result-file' import --from "$HOST_TMP/utf16.sql"
	sed 's/utf8mb4/klingon/; /ller/d' "$HOST_TMP/charset.sql" \
		>"$HOST_TMP/klingon.sql"
	fails 2 'klingon' import --from "$HOST_TMP/klingon.sql"
	echo 'SET NAMES gbk; CREATE TABLE a (i INT);' >"$HOST_TMP/gbk.sql"
	fails 2 'gbk' import --from "$HOST_TMP/gbk.sql"
}

refused()
{
	echo 'CREATE TABLE a (i INT); INSERT INTO a VALUES (1),(2);
		CREATE TABLE b (i NONSENSE);' >"$HOST_TMP/bad.sql"
	fails 2 "at byte [0-9]+: error .*CREATE TABLE b" \
		import --from "$HOST_TMP/bad.sql"
	fails 3 'No such file' import --from "$HOST_TMP/none.sql"
	echo 'tables: { sakila.customer: { columns: { nose: keep } } }' \
		>"$HOST_TMP/nose.yaml"
	fails 78 "nose.yaml:1: .*no column 'nose'" \
		sakila --rules "$HOST_TMP/nose.yaml"
	echo 'tables: { sakila.customer: { columns: { email: { mask: x } } } }' \
		>"$HOST_TMP/x.yaml"
	fails 78 'x.yaml:1: ' sakila --rules "$HOST_TMP/x.yaml"
	echo "CREATE TABLE a (i INT PRIMARY KEY, e VARCHAR(90), KEY (e));
		INSERT INTO a VALUES (1,'a@b.de'),(1,'c@d.de');" \
		>"$HOST_TMP/dup.sql"
	fails 2 "table 'prod.a' has a duplicate key" \
		import --from "$HOST_TMP/dup.sql"
}

# Masks that need no key; the originals are looked for all the same.
without_key()
{
	echo 'strict: false
tables: { sakila.customer: { columns:
		{ email: { mask: "null" }, last_name: { mask: fixed, value: X } } } }' \
		>"$HOST_TMP/nokey.yaml"
	(unset DBS_MASK_KEY_FILE
	sakila --rules "$HOST_TMP/nokey.yaml" --snapshot nokey --json) |
		jq -e '.proof.nr_values > 500 and .nr_masked == 1198'
}

# Longer than the daemon keeps a connection that is idle.
for_long()
{
	(zstdcat "$DUMPS/sakila.sql.zst" | head -n 40; sleep 660
	zstdcat "$DUMPS/sakila.sql.zst" | tail -n +41) |
		import --from - --snapshot long
}

full_pool()
{
	"$DBS" pool create "$HOST_TMP/small.dbs" --size 300M
	mkdir "$HOST_TMP/small"
	host_mount "$HOST_TMP/small.dbs" "$HOST_TMP/small"
	"$DBS" create old --pool "$HOST_TMP/small.dbs"
	# a little more room than an import must have left
	while [ "$(df --output=avail -B1M "$HOST_TMP/small" | tail -n 1)" -gt 42 ]
	do
		head -c 2M /dev/urandom >>"$HOST_TMP/small/old/file"
		"$DBS" sync --pool "$HOST_TMP/small.dbs" >/dev/null
	done
	fails 6 'full' "$DBS" import prod --pool "$HOST_TMP/small.dbs" \
		--from "$DUMPS/sakila.sql.zst"
	[ -z "$("$DBS" list -q --pool "$HOST_TMP/small.dbs" | grep -v old)" ]
	"$DBS" umount "$HOST_TMP/small"
}

# ---- sources -----------------------------------------------------------------------

serve() # [CUT [norange]]
{
	rm -f "$HOST_TMP/port"
	python3 "$here/http_cut.py" "$HOST_TMP/www" "$HOST_TMP/port" "$@" &
	HTTP=$!
	until [ -s "$HOST_TMP/port" ]; do sleep 0.05; done
	URL=http://127.0.0.1:$(cat "$HOST_TMP/port")
}

unserve()
{
	kill "$HTTP"
	wait "$HTTP" || true
	HTTP=""
}

over_http()
{
	mkdir "$HOST_TMP/www"
	cp "$DUMPS/sakila.sql.zst" "$HOST_TMP/www/s.zst"
	(cd "$HOST_TMP/www" && sha256sum s.zst >s.zst.sha256)
	serve 200000
	import --from "$URL/s.zst" --snapshot http 2>"$HOST_TMP/err"
	grep 'broke off 2 times and went on' "$HOST_TMP/err"
	[ "$("$DBS" get prod@http user:dbs.import.rows)" = 47273 ]
	fails 3 'answers 404' import --from "$URL/none"
	unserve
	serve 200000 norange
	fails 2 'no range requests' import --from "$URL/s.zst"
	unserve
	echo "$(printf '0%.0s' {1..64})  s.zst" >"$HOST_TMP/www/s.zst.sha256"
	serve
	fails 2 'is not what its .sha256 says' import --from "$URL/s.zst"
	unserve
}

# A server that takes the request for the checksum, and never answers.
waits_for_checksum()
{
	local pid i code=0

	rm -f "$HOST_TMP/port" "$HOST_TMP/asked"
	python3 - "$HOST_TMP/port" "$HOST_TMP/asked" <<'END' &
import socket, sys, time
s = socket.create_server(("127.0.0.1", 0))
open(sys.argv[1], "w").write(str(s.getsockname()[1]))
c = s.accept()
open(sys.argv[2], "w").write("yes")
time.sleep(600)
END
	HTTP=$!
	until [ -s "$HOST_TMP/port" ]; do sleep 0.05; done
	"$DBS" import prod --from "http://127.0.0.1:$(cat "$HOST_TMP/port")/s" \
		2>"$HOST_TMP/err" &
	pid=$!
	until [ -s "$HOST_TMP/asked" ]; do sleep 0.05; done
	kill -TERM "$pid"
	for ((i = 0; i < 100; i++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.1
	done
	kill -KILL "$pid" 2>/dev/null || true
	wait "$pid" || code=$?
	unserve
	cat "$HOST_TMP/err"
	[ "$code" = 2 ]
	grep -q "interrupted while waiting for 'http.*/s.sha256'" "$HOST_TMP/err"
}

from_mydumper()
{
	command -v mydumper >/dev/null || { echo "no mydumper"; return 0; }
	mydumper --user=root --socket="$HOST_TMP/run/orig.sock" -B sakila \
		-G -E -R -c -o "$HOST_TMP/mydumper"
	mkdir -p "$HOST_TMP/out"
	[ -e "$HOST_TMP/mydumper/sakila.customer_list-schema-view.sql.gz" ]
	[ -e "$HOST_TMP/mydumper/sakila.customer_list-schema.sql.gz" ]
	import --from "$HOST_TMP/mydumper" --rules "$HOST_TMP/sakila.yaml" \
		--snapshot mydumper --publish "$HOST_TMP/out"
	[ "$("$DBS" get prod@mydumper user:dbs.import.rows)" = 47273 ]
	[ "$("$DBS" get prod@mydumper user:dbs.import.tables)" = 16 ]
	"$DBS" up t --from prod@mydumper
	same counts sakila
	same joins
	same keys sakila
	same views
	loads_again "$HOST_TMP/out/mydumper.sql.zst"
	"$DBS" down t --rm --yes
	rm "$HOST_TMP/mydumper/metadata"
	fails 2 'not whole' import --from "$HOST_TMP/mydumper"
}

# What the dump command was told, for all to see.
dump_command()
{
	cat >"$HOST_TMP/dump" <<'END'
#!/bin/sh
echo "$*" >>"$0.args"
exec mariadb-dump "$@"
END
	chmod 755 "$HOST_TMP/dump"
	export DBS_DUMP_COMMAND=$HOST_TMP/dump
}

# at_terminal PASSWORD COMMAND...: answers the question for it
at_terminal()
{
	python3 - "$@" <<'END'
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said = b""
asked = False
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    said += data
    if not asked and b"password of" in said:
        os.write(fd, sys.argv[1].encode() + b"\n")
        asked = True
print(said.decode())
assert asked and sys.argv[1].encode() not in said
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}

# The dump command's way, from a server that listens.
from_server()
{
	local port url password='it'"'"'s \"x'

	mariadb_stop orig
	port=$(python3 -c 'import socket; s = socket.socket()
s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	mariadb_start orig "$HOST_TMP/orig" --skip-networking=0 \
		--bind-address=127.0.0.1 --port="$port"
	mariadb_sql orig "CREATE USER d@'127.0.0.1' IDENTIFIED BY 'it''s \\\\\"x';
		GRANT ALL ON *.* TO d@'127.0.0.1';
		CREATE EVENT sakila.old ON SCHEDULE EVERY 1 DAY
		DO DELETE FROM sakila.rental WHERE rental_date < '1990-01-01'"
	url=mysql://d@127.0.0.1:$port/sakila
	printf '%s\n' "$password" >"$HOST_TMP/pw"
	dump_command
	fails 5 'chmod 600' import --from "$url" --password-file "$HOST_TMP/pw"
	chmod 600 "$HOST_TMP/pw"
	# an account of the caller's own does not count
	printf '[client]\nuser=nobody\nhost=192.0.2.1\n' >"$HOST_TMP/.my.cnf"
	HOME=$HOST_TMP import --from "$url" --snapshot server \
		--password-file "$HOST_TMP/pw"
	[ "$("$DBS" get prod@server user:dbs.import.rows)" = 47273 ]
	[ "$("$DBS" get prod@server user:dbs.import.source)" = "$url" ]
	cat "$HOST_TMP/dump.args"
	grep -q -- '--single-transaction.*--routines --triggers --events.*--compress' \
		"$HOST_TMP/dump.args"
	not grep -qF "it's" "$HOST_TMP/dump.args"
	"$DBS" up t --from prod@server
	same counts sakila
	same checksums
	same keys sakila
	[ "$(on t sakila "SELECT event_name FROM information_schema.events")" = \
		old ]
	"$DBS" down t --rm --yes
	MYSQL_PWD=$password import --from "$url" --snapshot server2
	at_terminal "$password" "$DBS" import prod --from "$url" \
		--snapshot server3
	[ "$("$DBS" get prod@server3 user:dbs.import.rows)" = 47273 ]
	fails 2 'Access denied' import --from "mysql://e@127.0.0.1:$port/sakila" \
		</dev/null
	fails 2 "Can.t connect" import --from mysql://e@127.0.0.1:1/sakila \
		</dev/null
	fails 64 'password in an argument' \
		import --from "mysql://d:x@127.0.0.1:$port/sakila"
	# it ends in the middle
	printf '#!/bin/sh\nmariadb-dump "$@" | head -c 900000\nexit 3\n' \
		>"$HOST_TMP/dump"
	fails 2 "dump of '$url'" import --from "$url" \
		--password-file "$HOST_TMP/pw"
	unset DBS_DUMP_COMMAND
}

from_stdin_and_published()
{
	mkdir -p "$HOST_TMP/out"
	echo old >"$HOST_TMP/out/latest.sql.zst"
	# who has it open keeps what it was
	exec 8<"$HOST_TMP/out/latest.sql.zst"
	# left by one that was killed; of one that goes on
	echo left >"$HOST_TMP/out/.dbs-import-1.tmp"
	exec 7>"$HOST_TMP/out/.dbs-import-2.tmp"
	flock 7
	zstdcat "$DUMPS/sakila.sql.zst" | gzip |
		import --from - --rules "$HOST_TMP/sakila.yaml" --snapshot pub \
			--publish "$HOST_TMP/out"
	[ "$(cat <&8)" = old ]
	exec 8<&-
	exec 7>&-
	rm "$HOST_TMP/out/.dbs-import-2.tmp"
	(cd "$HOST_TMP/out" && sha256sum -c latest.sql.zst.sha256 \
		pub.sql.zst.sha256)
	[ -z "$(find "$HOST_TMP/out" -name '.*' -type f)" ]
	zstdcat "$HOST_TMP/out/latest.sql.zst" >"$HOST_TMP/pub.sql"
	values sakila
	not grep -aqFf "$HOST_TMP/values" "$HOST_TMP/pub.sql"
	"$DBS" up t --from prod@pub
	loads_again "$HOST_TMP/out/latest.sql.zst"
	"$DBS" down t --rm --yes
	import --from "$HOST_TMP/out/latest.sql.zst" --snapshot again
	[ "$("$DBS" get prod@again user:dbs.import.rows)" = 47273 ]
}

# MySQL: $MYSQLD, as ../shared/tools/mysql-from-debian.sh makes it
into_mysql()
{
	# what MariaDB's dump says and MySQL refuses
	fails 2 "at byte [0-9]+: error 1231: .*NO_AUTO_CREATE_USER" \
		"$DBS" import my --from "$DUMPS/sakila.sql.zst" \
		--server "$MYSQLD"
	zstdcat "$DUMPS/sakila.sql.zst" | sed 's/NO_AUTO_CREATE_USER,//' |
		"$DBS" import my --from - --rules "$HOST_TMP/sakila.yaml" \
			--server "$MYSQLD" --snapshot a
	[[ $("$DBS" get my@a user:dbs.import.server) == "MySQL "* ]]
	"$DBS" up t --from my@a --server "$MYSQLD"
	same counts sakila
	same joins
	"$DBS" down t --rm --yes
	"$DBS" rm --yes -r my
}

# What fails leaves what is published as it was.
not_published()
{
	local before after

	before=$(cd "$HOST_TMP/out" && sha256sum ./*)
	fails 1 'looks? personal' sakila --rules "$HOST_TMP/gate.yaml" \
		--publish "$HOST_TMP/out"
	fails 3 'No such file' sakila --publish "$HOST_TMP/nowhere"
	mkdir "$HOST_TMP/tiny"
	mount -t tmpfs -o size=64k tmpfs "$HOST_TMP/tiny"
	fails 6 'No space left' sakila --publish "$HOST_TMP/tiny"
	[ -z "$(ls -A "$HOST_TMP/tiny")" ]
	umount "$HOST_TMP/tiny"
	after=$(cd "$HOST_TMP/out" && sha256sum ./*)
	[ "$before" = "$after" ]
	[ -z "$(find "$HOST_TMP/out" -name '.*' -type f)" ]
}

# What cannot be published is found before the switch.
not_published_nor_switched()
{
	local tiny=$HOST_TMP/tiny

	small a
	mkdir -p "$tiny"
	# a dump, and no checksum of it
	mount -t tmpfs -o nr_inodes=2 tmpfs "$tiny"
	fails 6 'No space left' import --from "$HOST_TMP/a.sql" --publish "$tiny"
	[ -z "$(ls -A "$tiny")" ]
	mount -o remount,nr_inodes=9 "$tiny"
	mkdir "$tiny/latest.sql.zst"
	fails 2 "latest.sql.zst' is a directory" \
		import --from "$HOST_TMP/a.sql" --publish "$tiny"
	[ "$(ls -A "$tiny")" = latest.sql.zst ]
	umount "$tiny"
}

# Where a file has one name only there are two files.
published_without_links()
{
	local out=$HOST_TMP/no-links

	small a
	mkdir "$out"
	strace -qq -o "$HOST_TMP/strace" -e trace=link,linkat \
		-e inject=link,linkat:error=EPERM \
		"$DBS" import prod --from "$HOST_TMP/a.sql" --snapshot no-links \
		--publish "$out"
	grep INJECTED "$HOST_TMP/strace"
	(cd "$out" && sha256sum -c latest.sql.zst.sha256 no-links.sql.zst.sha256)
	[ "$(find "$out" -type f -links 1 -perm 644 | wc -l)" = 4 ]
	# one that is called so itself
	import --from "$HOST_TMP/a.sql" --snapshot latest --publish "$out"
	(cd "$out" && sha256sum -c latest.sql.zst.sha256)
	[ "$(find "$out" -type f | wc -l)" = 4 ]
	"$DBS" restore prod@one
	"$DBS" rm --yes prod@no-links prod@latest
}

# What fails after the switch says that it was switched.
switched_but_not_published()
{
	local out=$HOST_TMP/late

	small a
	mkdir "$out"
	stopped ready import --from "$HOST_TMP/a.sql" --snapshot stopped --json \
		--publish "$out"
	mkdir "$out/stopped.sql.zst"
	goes_on 2 "'prod' was switched to 'prod@stopped', but '.*/stopped.sql.zst'"
	sed -n '/^{/,$p' "$HOST_TMP/stopped.log" |
		jq -e '.snapshot == "prod@stopped" and .switched'
	[ "$("$DBS" list -q prod@stopped)" = prod@stopped ]
	[ -z "$(find "$out" -name '.*' -type f)" ]
	"$DBS" restore prod@one
	"$DBS" rm --yes prod@stopped
}

# ---- run ---------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || skip "needs root for a mount"
[ -e /dev/fuse ] || skip "no /dev/fuse"
command -v mariadbd >/dev/null || skip "no mariadbd"
SHARED=${DBS_SHARED:-$here/../../../shared}
DUMPS=$SHARED/data
[ -e "$DUMPS/sakila.sql.zst" ] || skip "no dumps in $DUMPS"

HOST_EXIT_HOOK=at_end
host_begin dbs-import
MNT=$HOST_TMP/mnt
export DBS_POOL=$HOST_TMP/pool.dbs DBS_STATE_DIR=$HOST_TMP/state
unset DBS_SOCKET
mkdir "$MNT" "$DBS_STATE_DIR"
rules
echo 'strict: true
tables: {}' >"$HOST_TMP/gate.yaml"
claim "a pool is there" "$DBS" pool create "$DBS_POOL" --size 8G --sparse
claim "it is mounted" host_mount "$DBS_POOL" "$MNT"
claim "the originals are there" originals

part()
{
	[ "${#PARTS[@]}" = 0 ] || [[ " ${PARTS[*]} " == *" $1 "* ]]
}
PARTS=("$@")

zstd -q -dc "$DUMPS/sakila.sql.zst" |
	sed 's/A Epic Drama of a Feminist/MARY.SMITH@sakilacustomer.org &/' \
		>"$HOST_TMP/leak.sql"
claim "a dump of sakila becomes a dataset" imported one sakila prod
if part sakila; then
	claim "sakila: every row is there" same counts sakila
	claim "sakila: joins over masked columns are the same" same joins
	claim "sakila: keys, triggers and routines are the same" \
		same keys sakila
	claim "sakila: no row keeps its value" no_row_keeps_its_value
	claim "sakila: no original is in any byte" \
		no_original_left sakila "$MNT/prod"
fi
claim "the instance goes" "$DBS" down t --rm --yes
if part rules; then
	claim "with a rule removed the gate names the column" \
		untouched gate_names_it
	claim "a planted leak is found" untouched leak_is_found
fi
if part wrong; then
	claim "a truncated dump changes nothing" untouched truncated
	claim "what is refused changes nothing" untouched refused
	claim "a wrong character set changes nothing" untouched wrong_charset
	claim "a full pool is said" full_pool
	claim "masks without a key" without_key
fi
if part killed; then
	claim "a killed import changes nothing, and is cleaned up" \
		untouched next_one_cleans_up
	claim "a crash before the switch changes nothing" \
		untouched crash_before_switch
	claim "a crash after the switch is finished by the next" \
		crash_after_switch
	claim "a killed server changes nothing" untouched server_killed
	claim "a killed daemon changes nothing" untouched daemon_killed
	claim "a new data directory is made once" made_once
	claim "two at once are refused" two_at_once
fi
if part apart; then
	claim "an import whose process is not seen is not removed" \
		not_removed_by_another
	claim "only what an import made itself is published" \
		untouched only_ones_own_is_published
fi
if part employee; then
	# what is new is so beside the last import, if that had rules
	claim "sakila is imported by its rules" \
		sakila --rules "$HOST_TMP/sakila.yaml"
	claim "columns that are new stop a strict import" \
		untouched new_columns_stop_it
	claim "employee is imported" imported two employee emp
	claim "employee: every row is there" same counts employee
	claim "employee: keys are the same" same keys employee
	claim "employee: no original is in any byte" \
		no_original_left employee "$MNT/emp"
	claim "the first snapshot is still there" \
		[ -d "$MNT/prod/.dbs/snapshot/one/sakila" ]
	claim "the instance goes" "$DBS" down t --rm --yes
fi
if part sources; then
	claim "a URL goes on after a break" over_http
	claim "an import that waits for a checksum ends when told to" \
		untouched waits_for_checksum
	claim "a directory of mydumper is read" from_mydumper
	claim "a server is dumped" from_server
fi
if part publish; then
	claim "stdin is read, and what is published has no original" \
		from_stdin_and_published
	claim "a failure publishes nothing" untouched not_published
fi
if part dump; then
	claim "what cannot be published is not switched to" \
		untouched not_published_nor_switched
	if command -v strace >/dev/null; then
		claim "a dump is published where there are no links" \
			published_without_links
	else
		echo "skipped: no strace to refuse links with"
	fi
	claim "what was switched to and not published is said" \
		switched_but_not_published
fi
if [[ " ${PARTS[*]} " == *" long "* ]]; then
	claim "an import of more than ten minutes" for_long
fi
if part mysql && [ -x "${MYSQLD:-}" ]; then
	claim "MySQL loads it" into_mysql
elif part mysql; then
	echo "skipped: MySQL: \$MYSQLD names no mysqld"
fi
echo "all claims hold"
