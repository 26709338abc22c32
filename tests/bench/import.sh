#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# import.sh - what does an import take, against 'zstdcat | mariadb'?
#
#   sudo tests/bench/import.sh [--long] [--size 500M] [--rounds N] [--build DIR]
#	[--dir DIR]
#
# Makes a dump of this size (rows of 16 columns, ten of them texts that are
# masked, two secondary indexes), packed by zstd.  Then, by turns on the same
# mount, N rounds: the dump through 'zstdcat | mariadb' into a server with its
# default settings that runs on a dataset; and 'dbs import' with rules for ten
# columns, all of it, from nothing to the snapshot.  Also says what the other
# one takes with the making of its data directory, its start and its shutdown.
# Goals: time at most 1.2 times that of the pipe alone, peak memory of dbs under
# 200 MB.  The reader's and each mask's own throughput:
# 'meson test --benchmark dump masks'.
#
# --long   5 GB
# --build  a meson build folder (default: builds one)
# --dir    where the pool goes (default: /var/tmp)
set -Eeuo pipefail

SIZE=500M ROUNDS=1
while [ $# -gt 0 ]; do
	case $1 in
	--long) SIZE=5G ;;
	--size) SIZE=$2; shift ;;
	--rounds) ROUNDS=$2; shift ;;
	--build) BENCH_BUILD=$(realpath "$2"); shift ;;
	--dir) BENCH_DIR=$2; shift ;;
	*) sed -n '3,24s/^# \{0,1\}//p' "$0"; exit 2 ;;
	esac
	shift
done
# shellcheck source=tests/bench/lib.bash
. "$(dirname "$0")/lib.bash"

make_dump() # BYTES
{
	python3 - "$1" <<'END' | zstd -q -3 -T0 -o "$HOST_TMP/dump.sql.zst"
import random, sys
size = int(sys.argv[1])
r = random.Random(1)
out = sys.stdout
done = 0
words = ["%s%s" % (a, b) for a in ("Kel", "Mar", "Ost", "Bra", "Tim", "Lun")
         for b in ("ander", "inger", "owski", "etti", "sson", "ez")]
def put(s):
    global done
    done += len(s)
    out.write(s)
put("-- MariaDB dump\nSET NAMES utf8mb4;\nSET UNIQUE_CHECKS=0;\n"
    "SET FOREIGN_KEY_CHECKS=0;\nCREATE DATABASE shop;\nUSE shop;\n")
# pieces made once: a dump of gigabytes has to come out fast
texts = ["%s %s %d, the %s of %s" % (r.choice(words), r.choice(words),
         r.randrange(10**6), r.choice(words), r.choice(words))
         for _ in range(5000)]
kept = ["Article %d is in stock, and ships from store %d" % (i, i % 7)
        for i in range(5000)]
n = 0
for t in range(4):
    put("CREATE TABLE person%d (id INT PRIMARY KEY, a INT, "
        "first VARCHAR(60), last VARCHAR(60), email VARCHAR(90), "
        "phone VARCHAR(30), street VARCHAR(90), city VARCHAR(60), "
        "zip VARCHAR(12), note VARCHAR(250), iban VARCHAR(40), "
        "login VARCHAR(60), price DECIMAL(10,2), at DATETIME, n INT, "
        "kept VARCHAR(200), KEY (a), KEY (last)) ENGINE=InnoDB "
        "DEFAULT CHARSET=utf8mb4;\n" % t)
    while done < size * (t + 1) // 4:
        rows = []
        for _ in range(3000):
            n += 1
            f, l = r.choice(words), r.choice(words)
            rows.append("(%d,%d,'%s','%s','%s.%s%d@example.org',"
                        "'+49 30 %07d','%s Street %d','%s','%05d','%s',"
                        "'DE%020d','%s%d',%d.50,'2026-03-%02d 10:11:12',"
                        "NULL,'%s')" %
                        (n, n % 9973, f, l, f, l, n, n % 10**7, l, n % 900,
                         f + l + "ville", n % 99999, r.choice(texts), n, l, n,
                         n % 1000, 1 + n % 28, r.choice(kept)))
        put("INSERT INTO person%d VALUES %s;\n" % (t, ",\n".join(rows)))
put("-- Dump completed on 2026-11-22  2:10:00\n")
END
}

make_rules()
{
	cat >"$HOST_TMP/rules.yaml" <<'END'
strict: true
tables:
  /^shop\.person/:
    columns:
      first: { mask: name, part: first }
      last: { mask: name, part: last }
      email: { mask: email }
      phone: { mask: phone }
      street: { mask: address, part: street }
      city: { mask: address, part: city }
      zip: { mask: address, part: postcode }
      note: { mask: text }
      iban: { mask: iban }
      login: { mask: hash, length: 20 }
      kept: keep
END
	head -c 40 /dev/urandom | base64 >"$HOST_TMP/key"
	chmod 600 "$HOST_TMP/key"
	export DBS_MASK_KEY_FILE=$HOST_TMP/key DBS_STATE_DIR=$HOST_TMP/state
	mkdir -p "$DBS_STATE_DIR"
}

# import_once: "ms KB"
import_once()
{
	"$DBS" import prod \
		--from "$HOST_TMP/dump.sql.zst" --rules "$HOST_TMP/rules.yaml" \
		--snapshot "s$1" --json >"$HOST_TMP/report.json"
	jq -c '{init_ms, read_cpu_ms, load_ms, keys_ms, stop_ms, proof_ms, duration_ms,
		memory_peak, nr_rows, proof}' "$HOST_TMP/report.json"
	TIMES+=("$(jq .duration_ms "$HOST_TMP/report.json")")
	MEMORY=$(($(jq .memory_peak "$HOST_TMP/report.json") / 1000000))
	SPEED=$(jq '.dump_bytes / 1000 / .read_cpu_ms | floor' \
		"$HOST_TMP/report.json")
	SCAN=$(jq '.proof.bytes / 1000 / .proof.scan_ms | floor' \
		"$HOST_TMP/report.json")
}

# A new data directory is made by the first import of a host.
import_first()
{
	local start

	start=$(bench_now_us)
	echo 'CREATE TABLE a (i INT);' | "$DBS" import first --from - 2>/dev/null
	host_say "a first import, of nothing: $((($(bench_now_us) - start) / \
		1000)) ms"
	"$DBS" rm --yes -r first
}

plain_once()
{
	local start pipe

	"$DBS" create "plain$1"
	start=$(bench_now_us)
	mariadb_init "$MNT/plain$1" >/dev/null 2>&1
	mariadb_start "plain$1" "$MNT/plain$1"
	pipe=$(bench_now_us)
	zstdcat "$HOST_TMP/dump.sql.zst" | mariadb_client "plain$1"
	PIPE+=($((($(bench_now_us) - pipe) / 1000)))
	mariadb_stop "plain$1"
	PLAIN+=($((($(bench_now_us) - start) / 1000)))
	"$DBS" rm --yes -r "plain$1"
}

bench_begin import
bytes=$(numfmt --from=iec "$SIZE")
host_say "making a dump of $SIZE ..."
make_dump "$bytes"
make_rules
"$DBS" pool create "$DBS_POOL" --size $((bytes * 8 + (4 << 30))) --sparse \
	>/dev/null
host_mount "$DBS_POOL" "$MNT"
TIMES=() PIPE=() PLAIN=()
import_first
for ((round = 1; round <= ROUNDS; round++)); do
	plain_once "$round"
	import_once "$round"
done
ours=$(bench_median "${TIMES[@]}") pipe=$(bench_median "${PIPE[@]}")
plain=$(bench_median "${PLAIN[@]}") ratio=$(bench_ratio "$ours" "$pipe")
printf 'import of %s: %s ms; zstdcat | mariadb: %s ms; ratio %s (goal 1.2)\n' \
	"$SIZE" "$ours" "$pipe" "$ratio"
printf 'with its data directory, start and shutdown: %s ms; ratio %s\n' \
	"$plain" "$(bench_ratio "$ours" "$plain")"
printf 'reader, masks and proof, CPU of their thread: %s MB/s\n' "$SPEED"
printf 'search of the data directory: %s MB/s\n' "$SCAN"
printf 'peak memory of dbs: %s MB (goal 200)\n' "$MEMORY"
awk -v r="$ratio" -v m="$MEMORY" 'BEGIN { exit !(r <= 1.2 && m < 200) }'
