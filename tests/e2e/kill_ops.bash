# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# kill_ops.bash - for kill.sh: snapshots, clones, restores, renames and
# destroys beside the load, written down before they begin and when dbs has
# returned, and the proof that they are there after a crash
#
# Below: the dbs in $DBS.  Above: kill.sh, which sets $MNT and $HOST_TMP, and
# has dataset 'db' with the server and an empty dataset 'side'.
#
# $HOST_TMP/ops has lines 'try OP NAME [NAME]' and 'did OP NAME [NAME]'; the
# last 'try' may lack its 'did'.  The first says what was in side's file.

ops_note() { printf '%s\n' "$*" >>"$HOST_TMP/ops"; }

# ops_one OP NAME [NAME] -- COMMAND...: returns 1 when the mount is gone
ops_one()
{
	local what=()

	while [ "$1" != -- ]; do
		what+=("$1")
		shift
	done
	shift
	ops_note try "${what[@]}"
	"$@" >>"$HOST_TMP/ops.log" 2>&1 || return 1
	ops_note did "${what[@]}"
}

ops_value() # VALUE: into the file, durable
{
	printf '%s' "$1" | dd of="$MNT/side/value" conv=fsync status=none
}

# ops_round NUMBER
ops_round()
{
	local i=$1 old=$(($1 - 2))

	# what is acknowledged now must be in the snapshot
	cp "$HOST_TMP/record" "$HOST_TMP/before.$i"
	ops_one snapshot "db@k$i" -- "$DBS" snapshot "db@k$i" &&
		ops_one clone "c$i" -- "$DBS" clone "db@k$i" "c$i" &&
		ops_one value "$i" -- ops_value "$i" &&
		ops_one snapshot "side@v$i" -- "$DBS" snapshot "side@v$i" &&
		ops_one value "junk$i" -- ops_value "junk$i" &&
		ops_one restore "$i" -- \
			"$DBS" restore --discard --yes "side@v$i" &&
		ops_one mv "c$i" "d$i" -- "$DBS" mv "c$i" "d$i" || return 1
	[ "$old" -gt 0 ] || return 0
	ops_one rm "d$old" -- "$DBS" rm --yes "d$old" &&
		ops_one rm "db@k$old" -- "$DBS" rm --yes "db@k$old"
}

# ops_run: until $HOST_TMP/stop is there or dbs fails
ops_run()
{
	local i=0

	ops_note was value "$(cat "$MNT/side/value" 2>/dev/null || true)"
	while [ ! -e "$HOST_TMP/stop" ] && ops_round $((i += 1)); do
		:
	done
}

# ops_check: all that was done is there; prints what is not
#
# Prints 'newest CLONE NUMBER' for the newest clone that must be there.
ops_check()
{
	"$DBS" list --type all --quiet >"$HOST_TMP/ops.have"
	[ ! -e "$MNT/side/value" ] || cp "$MNT/side/value" "$HOST_TMP/ops.value"
	[ -e "$MNT/side/value" ] || : >"$HOST_TMP/ops.value"
	awk -v ops="$HOST_TMP/ops" -v value="$(cat "$HOST_TMP/ops.value")" '
	function wrong(text) { print "wrong: " text; bad++ }
	FILENAME != ops { have[$1] = 1; next }
	$1 == "did" { nr++; open = "" }
	$1 == "try" { open = $0 }
	$2 == "snapshot" || $2 == "clone" {
		if ($1 == "did") must[$3] = "yes"; else must[$3] = "either"
	}
	$2 == "rm" {
		if ($1 == "did") must[$3] = "no"; else must[$3] = "either"
	}
	$2 == "mv" {
		if ($1 == "did") { must[$3] = "no"; must[$4] = "yes" }
		else { must[$3] = "either"; must[$4] = "either" }
	}
	# dd truncates first
	$2 == "value" {
		if ($1 == "try") may = may "||" $3 "|"; else may = "|" $3 "|"
	}
	$2 == "restore" {
		if ($1 == "did") may = "|" $3 "|"; else may = may "|" $3 "|"
	}
	END {
		for (name in must) {
			if (must[name] == "yes" && !have[name])
				wrong(name " was made and is not there")
			if (must[name] == "no" && have[name])
				wrong(name " was removed and is there")
			if (name ~ /^[cd][0-9]/ && must[name] == "yes" &&
			    substr(name, 2) + 0 > newest) {
				newest = substr(name, 2) + 0
				clone = name
			}
		}
		split(open, last)
		if (last[2] == "mv" && have[last[3]] == have[last[4]])
			wrong("of " last[3] " and " last[4] " not one is there")
		if (may != "" && !index(may, "|" value "|"))
			wrong("side has \"" value "\", not one of " may)
		if (clone)
			print "newest " clone " " newest
		print "ops=" nr + 0 " wrong=" bad + 0
		exit bad > 0
	}' "$HOST_TMP/ops.have" "$HOST_TMP/ops"
}

# ops_clear: for the next time
ops_clear()
{
	local names

	rm -f "$HOST_TMP/ops" "$HOST_TMP"/before.*
	: >"$HOST_TMP/ops"
	names=$("$DBS" list --type all --quiet |
		grep -E '^([cd][0-9]+|db@k[0-9]+|side@.*)$' || true)
	# shellcheck disable=SC2086 # names that we gave
	[ -z "$names" ] || "$DBS" rm --recursive --yes $names >/dev/null
}
