# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# lib.bash - what the tests with a real server share
#
# Below: tools/lib/host.sh.  Above: tests/e2e/{dump,instance,mariadb,workers}.sh.
#
# A test calls e2e_begin once it knows that it can run, and then claims things;
# what fails ends it, with the end of what the claim said.

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tools/lib/host.sh
. "$here/../../tools/lib/host.sh"

# skip WHY
skip()
{
	echo "skipped: $*"
	exit 77
}

# e2e_begin NAME [HOOK]: HOOK is called on any exit, with the exit code
e2e_begin()
{
	E2E_HOOK=${2:-:}
	# shellcheck disable=SC2034 # host_end calls it
	HOST_EXIT_HOOK=e2e_end
	host_begin "$1"
	: >"$HOST_TMP/claim.log"
}

e2e_end()
{
	if [ "$1" -ne 0 ]; then
		[ -z "${CLAIM:-}" ] || host_say "not ok: $CLAIM"
		tail -n 30 "$HOST_TMP/claim.log" >&2 || true
		tail -n 20 "$HOST_TMP"/run/*.err >&2 2>/dev/null || true
	fi
	"$E2E_HOOK" "$1"
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

# with a plain '!' a shell that ends on errors goes on
not() { ! "$@"; }

# until_true COMMAND...: within half a minute
until_true()
{
	local i

	for ((i = 0; i < 300; i++)); do
		! "$@" || return 0
		sleep 0.1
	done
	echo "never true: $*"
	return 1
}
