#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# hostile.sh - what a dump must not do to who imports it: carry originals past
# the rules, read the host's files, bring accounts along, break the server
#
# usage: DBS=build/tools/dbs hostile.sh
#        (as root; exits 77 if it cannot run)
set -Eeuo pipefail
export LC_ALL=C # bytes

# shellcheck source=tests/e2e/lib.bash
. "$(dirname "$0")/lib.bash"

ORIGINAL=john.doe.original@example.com

# dump: what stands on stdin as a dump of a database with one table
dump()
{
	echo '-- MariaDB dump 10.19'
	echo 'CREATE DATABASE IF NOT EXISTS shop; USE shop;'
	cat
	echo '-- Dump completed'
}

TABLE='CREATE TABLE c (id int primary key, email varchar(100), note varchar(100));'

hook()
{
	local pid

	"$DBS" down inst --rm --yes 2>/dev/null
	for pid in $(cat "$DBS_STATE_DIR"/import/*/server/pid 2>/dev/null); do
		! grep -qzF "$DBS_STATE_DIR" "/proc/$pid/cmdline" 2>/dev/null ||
			kill -KILL "$pid"
	done
	return 0
}

# import [OPTION...]: the dump on stdin
import() { "$DBS" import prod --from - "$@"; }
masked() { import --rules "$HOST_TMP/rules.yaml" "$@"; }

# Nothing is there that was not, and no original anywhere in the mount.
nothing_came()
{
	[ -z "$("$DBS" list -q | grep -x prod)" ] || return 1
	[ -z "$(find "$MNT" -maxdepth 1 -name '*.import-*')" ]
	not grep -rqF "$ORIGINAL" "$MNT"
}

# refused CODE TEXT: the dump on stdin, by the rules
refused()
{
	local code=$1 text=$2

	dump >"$HOST_TMP/bad.sql"
	fails "$code" "$text" masked <"$HOST_TMP/bad.sql" >"$HOST_TMP/said" || {
		cat "$HOST_TMP/said"
		return 1
	}
	cat "$HOST_TMP/said"
	not grep -qF "${ORIGINAL%@*}" "$HOST_TMP/said"
	nothing_came
}

past_the_rules()
{
	refused 1 'may carry rows' <<<"$TABLE INSERT INTO c VALUES (1,'a@b.example','n')
	  ON DUPLICATE KEY UPDATE email='$ORIGINAL';"
	refused 1 'may carry rows' <<<"$TABLE
	  SET STATEMENT max_statement_time=9 FOR INSERT INTO c VALUES (1,'$ORIGINAL','n');"
	refused 1 'may carry rows' <<<"CREATE TABLE leak (SELECT '$ORIGINAL' AS email);"
	refused 1 'may carry rows' <<<"$TABLE
	  INSERT INTO c /*!99999 (id,note,email) */ VALUES (1,'$ORIGINAL','x');"
	refused 2 'invisible' <<<"CREATE TABLE c (id int primary key,
	  note varchar(100) INVISIBLE, email varchar(100)); INSERT INTO c VALUES (1,'$ORIGINAL');"
	refused 2 'after an ALTER' <<<"$TABLE ALTER TABLE c MODIFY note varchar(100) AFTER id;
	  INSERT INTO c VALUES (1,'hello','$ORIGINAL');"
	refused 2 'second CREATE' <<<"$TABLE CREATE TABLE IF NOT EXISTS c (id int primary key,
	  note varchar(100), email varchar(100)); INSERT INTO c VALUES (1,'$ORIGINAL','n');"
	refused 2 'not saved' <<<"$TABLE SET @m='NO_BACKSLASH_ESCAPES'; SET sql_mode=@m;
	  INSERT INTO c (note,email,id) VALUES ('\\', '$ORIGINAL', 1) # ', 'a@b.example', 2);"
}

no_key_is_no_hole()
{
	cat >"$HOST_TMP/null.yaml" <<'END'
strict: true
tables: { shop.c: { columns: { email: { mask: "null" }, note: keep } } }
END
	dump <<<"$TABLE INSERT INTO c SET id=1, email='$ORIGINAL';" >"$HOST_TMP/bad.sql"
	env -u DBS_MASK_KEY_FILE "$DBS" rules check "$HOST_TMP/null.yaml"
	(
		unset DBS_MASK_KEY_FILE
		fails 1 'may carry rows' import --rules "$HOST_TMP/null.yaml" \
			<"$HOST_TMP/bad.sql"
	)
	nothing_came
	dump <<<"$TABLE INSERT INTO c VALUES (1,'$ORIGINAL','n');" |
		env -u DBS_MASK_KEY_FILE "$DBS" import prod --from - \
			--rules "$HOST_TMP/null.yaml"
	not grep -rqF "$ORIGINAL" "$MNT"
	"$DBS" rm -r --yes prod
}

gate_looks_to_the_end()
{
	{
		echo "$TABLE"
		seq 200000 | awk -v o="$ORIGINAL" '{
			printf "%s(%d,%s,\047n\047)%s",
				($1 % 500 == 1 ? "INSERT INTO c VALUES " : ""), $1,
				($1 > 131000 ? "\047" $1 o "\047" : "NULL"),
				($1 % 500 ? "," : ";\n") }'
	} | sed 's/email varchar/spare varchar/' | dump >"$HOST_TMP/late.sql"
	printf 'strict: true\ntables: {}\n' >"$HOST_TMP/gate.yaml"
	fails 1 'shop.c.spare' import --rules "$HOST_TMP/gate.yaml" <"$HOST_TMP/late.sql"
	nothing_came
}

reads_no_file_of_the_host()
{
	install -m 600 /dev/null "$HOST_TMP/secret"
	echo hush-hush >"$HOST_TMP/secret"
	dump <<<"SET GLOBAL local_infile=1; CREATE TABLE t (a text);
	  LOAD DATA LOCAL INFILE '$HOST_TMP/secret' INTO TABLE t;" >"$HOST_TMP/bad.sql"
	fails 2 . import <"$HOST_TMP/bad.sql"
	dump <<<"CREATE TABLE t (a text); LOAD DATA INFILE '$HOST_TMP/secret' INTO TABLE t;" \
		>"$HOST_TMP/bad.sql"
	fails 2 . import <"$HOST_TMP/bad.sql"
	not grep -rqF hush-hush "$MNT"
}

stays_in_the_dataset()
{
	mkdir -m 777 "$HOST_TMP/outside"
	dump <<<"CREATE TABLE t (id int primary key) ENGINE=InnoDB DATA DIRECTORY='$HOST_TMP/outside/';
	  CREATE TABLE m (id int primary key) ENGINE=MyISAM DATA DIRECTORY='$HOST_TMP/outside/';
	  INSERT INTO t VALUES (1);" | import
	[ -z "$(find "$HOST_TMP/outside" -mindepth 1)" ]
	[ -f "$MNT/prod/shop/t.ibd" ]
	[ -f "$MNT/prod/shop/m.MYD" ]
	[ -z "$(find "$MNT/prod" -type l -o -name '*.isl')" ]
	"$DBS" rm -r --yes prod
}

# Accounts, comments, deleted values: not in the dataset, nor published.
leaves_production_out()
{
	mkdir "$HOST_TMP/pub"
	dump <<END | masked --publish "$HOST_TMP/pub"
$TABLE
-- INSERT INTO c VALUES (9,'$ORIGINAL','x')
/* backup: $ORIGINAL */
/*!40000 DROP DATABASE IF EXISTS \`mysql\`*/;
DELETE FROM c WHERE email='$ORIGINAL';
CREATE USER 'app2'@'%' IDENTIFIED BY 'production-secret-pw';
GRANT ALL ON *.* TO 'app'@'%' IDENTIFIED BY 'production-secret-pw';
INSERT INTO c VALUES (1,'$ORIGINAL','n');
END
	zstdcat "$HOST_TMP/pub/latest.sql.zst" >"$HOST_TMP/published.sql"
	grep -q 'INSERT INTO c' "$HOST_TMP/published.sql"
	not grep -qE "original|production-secret|app2|DROP DATABASE" \
		"$HOST_TMP/published.sql"
	not grep -rqE "$ORIGINAL|production-secret|app2" "$MNT/prod"
	# it is a server's still
	"$DBS" up inst --from prod
	[ "$("$DBS" sql inst -e 'SELECT COUNT(*) FROM shop.c' -- -N)" = 1 ]
	"$DBS" down inst --rm --yes
	"$DBS" rm -r --yes prod
}

socket() { find "$DBS_STATE_DIR/import" -name mysql.sock | grep -q .; }

server_is_ours_alone()
{
	local shell

	{
		dump </dev/null | sed '$d'
		echo "$TABLE"
		until_true [ -e "$HOST_TMP/go" ]
		echo '-- Dump completed'
	} | import &
	shell=$!
	until_true socket
	fails 1 'ermission denied|Can.t connect' setpriv --reuid=65534 --regid=65534 --clear-groups \
		mariadb -uroot -S "$(find "$DBS_STATE_DIR/import" -name mysql.sock)" -e 'SELECT 1'
	# who comes second takes nothing from the first
	fails 4 . import </dev/null
	socket
	touch "$HOST_TMP/go"
	wait "$shell"
	"$DBS" rm -r --yes prod
}

others_datasets_stay()
{
	"$DBS" create prod.import-archive
	echo mine >"$MNT/prod.import-archive/file"
	dump <<<"$TABLE" | import
	[ "$(cat "$MNT/prod.import-archive/file")" = mine ]
	"$DBS" rm -r --yes prod prod.import-archive
}

ends_when_told()
{
	local code=0

	mkfifo "$HOST_TMP/never"
	sleep 600 >"$HOST_TMP/never" &
	E2E_SLEEP=$!
	"$DBS" import prod --from - <"$HOST_TMP/never" &
	until_true socket
	kill -TERM $!
	wait $! || code=$?
	kill "$E2E_SLEEP"
	[ "$code" -eq 2 ]
	not socket
	nothing_came
}

no_password_in_arguments()
{
	fails 64 netrc "$DBS" import prod --from "https://u:hush@localhost/x.sql"
	nothing_came
}

[ "$(id -u)" = 0 ] || skip "not root"
[ -c /dev/fuse ] || skip "no /dev/fuse"
command -v mariadbd >/dev/null || skip "no mariadbd"
e2e_begin dbs-hostile hook
export DBS_POOL=$HOST_TMP/pool.dbs DBS_STATE_DIR=$HOST_TMP/state
MNT=$HOST_TMP/mnt
mkdir "$MNT" "$DBS_STATE_DIR"
cat >"$HOST_TMP/rules.yaml" <<'E2'
strict: true
tables: { shop.c: { columns: { email: { mask: email }, note: keep } } }
E2
head -c 40 /dev/urandom | base64 >"$HOST_TMP/key"
chmod 600 "$HOST_TMP/key"
export DBS_MASK_KEY_FILE=$HOST_TMP/key
claim "a pool is there" "$DBS" pool create "$DBS_POOL" --size 4G --sparse
claim "it is mounted" host_mount "$DBS_POOL" "$MNT"
claim "no statement carries a value past the rules" past_the_rules
claim "rules without a key are proved too" no_key_is_no_hole
claim "the gate looks to the end of a table" gate_looks_to_the_end
claim "a dump reads no file of the host" reads_no_file_of_the_host
claim "tables stay in the dataset" stays_in_the_dataset
claim "accounts and comments are left out, and not published" leaves_production_out
claim "the server is nobody else's" server_is_ours_alone
claim "datasets of others stay" others_datasets_stay
claim "a password in a URL is refused" no_password_in_arguments
claim "it ends when it is told, also where nothing comes" ends_when_told
echo "all claims hold"
