#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2154
#
# dbs rules check

load lib

setup()
{
	setup_dir
	unset DBS_MASK_KEY_FILE
	R=$T/rules.yaml
	cat >"$T/dump.sql" <<-'END'
		CREATE DATABASE `shop`;
		USE `shop`;
		CREATE TABLE `customer` (
		  `id` int(11) NOT NULL AUTO_INCREMENT,
		  `email` varchar(100) COLLATE utf8mb4_bin DEFAULT NULL,
		  `note1` varchar(200) DEFAULT NULL,
		  `score` int(11) DEFAULT NULL,
		  PRIMARY KEY (`id`)
		) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
		INSERT INTO `customer` VALUES (1,'anna@example.org','x',5),
		(2,NULL,'call +49 171 1234567 or bob@example.net',7);
		INSERT INTO `customer` (`note1`,`id`) VALUES ('it''s',3);
	END
}
teardown() { teardown_dir; }

rules() { cat >"$R"; }

@test "a good file is good, and its hash does not see its form" {
	rules <<<'tables: { shop.customer: { columns: { email: email } } }'
	run -0 "$DBS" rules check "$R"
	[[ $output == *"1 rules for tables, 1 for columns, strict; no key"* ]]
	a=$(json .hash "$DBS" rules check "$R")
	printf '# c\ntables:\n  shop.customer:\n    columns:\n      email: %s\n' \
		'{ mask: "email" }' >"$R"
	[ "$a" = "$(json .hash "$DBS" rules check "$R")" ]
	[ "$(json '.nr_tables, .nr_columns, .strict, .key' "$DBS" rules check \
		"$R" | tr '\n' ' ')" = '1 1 true none ' ]
}

@test "a bad file is said by file and line" {
	rules <<-'END'
		strict: true
		tables:
		  shop.customer:
		    columns:
		      email: { mask: emial }
	END
	fails 78 "rules.yaml:5: 'emial' is not a mask \(keep, null, fixed, email" \
		"$DBS" rules check "$R"
	printf 'tables: {}\ntables: {}\n' >"$R"
	fails 78 "rules.yaml:2: 'tables' stands there twice" \
		"$DBS" rules check "$R"
	printf 'tables:\n  "%%n%%s\\e[2J": 5\n' >"$R"
	fails 78 "rules.yaml:2: '%n%s\?\[2J' is a text" "$DBS" rules check "$R"
	: >"$R"
	fails 78 "rules.yaml:1: the file is empty" "$DBS" rules check "$R"
	fails 3 "No such file" "$DBS" rules check "$T/none"
	fails 64 "FILE is missing" "$DBS" rules check
}

@test "the key file may be away, but not bad" {
	rules <<<"key_file: $T/key"
	[ "$(json .key "$DBS" rules check "$R")" = missing ]
	echo short >"$T/key"
	chmod 600 "$T/key"
	fails 78 "key.: too short" "$DBS" rules check "$R"
	head -c 32 /dev/urandom >"$T/key"
	[ "$(json .key "$DBS" rules check "$R")" = good ]
	chmod 644 "$T/key"
	fails 78 "others may read it" "$DBS" rules check "$R"
	DBS_MASK_KEY_FILE=$T/other
	export DBS_MASK_KEY_FILE
	[ "$(json .key_file "$DBS" rules check "$R")" = "$T/other" ]
}

@test "columns of a dump that look personal are found, with rules to paste" {
	rules <<<'tables: { shop.customer: { data: all } }'
	run -1 --separate-stderr "$DBS" rules check "$R" --against "$T/dump.sql"
	[[ $output == *"email"*"e-mail address"* ]]
	[[ $output == *"note1"* ]]
	[[ $output != *anna@* ]]
	[[ $output != *score* ]]
	[[ $stderr == "dbs: 2 columns look personal and no rule names them"* ]]
	"$DBS" rules check "$R" --against "$T/dump.sql" 2>/dev/null |
		sed -n '/^# to be/,$p' >"$T/pasted.yaml" || true
	run -0 "$DBS" rules check "$T/pasted.yaml" --against "$T/dump.sql"
	[ "$(json '.against.nr_rows, (.against.findings | length)' "$DBS" rules \
		check "$T/pasted.yaml" --against "$T/dump.sql" |
		tr '\n' ' ')" = '3 0 ' ]
}

@test "without strict they are told and nothing fails" {
	rules <<<'strict: false'
	run -0 "$DBS" rules check "$R" --against - <"$T/dump.sql"
	[[ $output == *"email: { mask: email }"* ]]
}

@test "rules that do not fit the dump are said by file and line" {
	rules <<-'END'
		tables:
		  shop.customer:
		    columns:
		      emial: email
	END
	fails 78 "rules.yaml:4: table shop.customer has no column 'emial'" \
		"$DBS" rules check "$R" --against "$T/dump.sql"
	rules <<-'END'
		tables:
		  shop.customer:
		    columns:
		      score: email
	END
	fails 78 "rules.yaml:4: column shop.customer.score: mask email is not" \
		"$DBS" rules check "$R" --against "$T/dump.sql"
	rules <<-'END'
		strict: no
		tables:
		  shop.custmer: { data: skip }
	END
	run -0 --separate-stderr "$DBS" rules check "$R" -a "$T/dump.sql"
	[[ $stderr == *"rules.yaml:3: no table is called 'shop.custmer'" ]]
}

@test "a dump that cannot be read is said" {
	rules <<<'strict: true'
	fails 3 "No such file" "$DBS" rules check "$R" -a "$T/none"
	printf 'hello;\n' >"$T/x.sql"
	fails 2 "has no CREATE TABLE in it" "$DBS" rules check "$R" -a "$T/x.sql"
	head -c 300 "$T/dump.sql" >"$T/x.sql"
	fails 2 "x.sql" "$DBS" rules check "$R" -a "$T/x.sql"
	gzip -c "$T/dump.sql" >"$T/x.sql.gz"
	fails 64 "is compressed: give it as zcat" \
		"$DBS" rules check "$R" -a "$T/x.sql.gz"
}

@test "the real dump of sakila: names, e-mails and addresses are found" {
	dump=${DBS_SHARED:-${BATS_TEST_DIRNAME}/../../../shared}/data/sakila.sql.zst
	[ -e "$dump" ] || skip "no $dump"
	rules <<<'strict: true'
	zstdcat "$dump" >"$T/sakila.sql"
	run -1 "$DBS" rules check "$R" --json -a "$T/sakila.sql"
	found=$(grep '^{' <<<"$output" |
		jq -r '.against.findings[] | .table + "." + .column')
	for column in customer.email customer.first_name staff.password \
		address.phone address.address; do
		grep -qx "sakila.$column" <<<"$found"
	done
	run -1 "$DBS" rules check "$R" -a "$T/sakila.sql"
	[[ $output != *MARY* ]]
}
