# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# host.sh - what scripts do to the host: install, build, run a MariaDB, clean up
#
# Sourced by tools/quickstart.sh, tests/run.sh and the tests with a real
# MariaDB.  Nothing here touches a server or a mount that it did not start.
#
# A script that starts something calls host_begin first: it makes the folder
# $HOST_TMP and sees to it that on any exit what was started through this file
# is stopped, unmounted and removed, in that order.  What the host's own
# /etc/dbs says does not count in it.

# shellcheck disable=SC2034 # read by those who source this
HOST_PACKAGES_BUILD="gcc libc6-dev pkgconf meson ninja-build libfuse3-dev
	fuse3 libzstd-dev libxxhash-dev libjansson-dev libsmartcols-dev
	libssl-dev libyaml-dev libcyaml-dev default-libmysqlclient-dev
	zlib1g-dev liblzma-dev libcurl4-openssl-dev"
# shellcheck disable=SC2034
HOST_PACKAGES_MARIADB="mariadb-server-core mariadb-client-core"
# shellcheck disable=SC2034
HOST_PACKAGES_TEST="libcmocka-dev bats jq scdoc zstd"

host_say() { printf '%s\n' "$*" >&2; }

# host_die CODE TEXT...
host_die()
{
	local code=$1

	shift
	host_say "${0##*/}: $*"
	exit "$code"
}

host_need_root()
{
	[ "$(id -u)" -eq 0 ] || host_die 5 "needs root: run it with sudo"
}

host_now_ms() { printf '%s\n' "$((${EPOCHREALTIME/[.,]/} / 1000))"; }

# ---- packages ------------------------------------------------------------------

# host_missing PACKAGE...: those that are not installed
host_missing()
{
	local p

	for p; do
		dpkg-query -W -f '${Status}\n' "$p" 2>/dev/null |
			grep -q '^install ok installed$' || printf '%s\n' "$p"
	done
}

# host_install PACKAGE...: what is missing, and only then
host_install()
{
	local missing

	missing=$(host_missing "$@")
	[ -n "$missing" ] || return 0
	command -v apt-get >/dev/null ||
		host_die 2 "no apt-get here to install: ${missing//$'\n'/ }"
	export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
	# shellcheck disable=SC2086 # a list of packages
	apt-get -q -y --no-install-recommends install $missing ||
		{ apt-get -q update &&
			apt-get -q -y --no-install-recommends install $missing; }
}

# ---- build -----------------------------------------------------------------------

# host_build SOURCE BUILD [MESON-OPTION...]
host_build()
{
	local source=$1 build=$2

	shift 2
	if [ ! -f "$build/build.ninja" ]; then
		meson setup "$@" "$build" "$source"
	fi
	ninja -C "$build" tools/dbs fs/dbsfs
}

# ---- a script's run ----------------------------------------------------------------

# A daemon sets it, and it stays so; a script leaves it as it was.
HOST_FUSE_URING=/sys/module/fuse/parameters/enable_uring

# host_begin NAME [PARENT-DIR]
host_begin()
{
	HOST_TMP=$(mktemp -d "${2:-/var/tmp}/$1.XXXXXXXX")
	HOST_MOUNTS=()     # of dbs
	HOST_PIDS=()       # of servers
	HOST_EXIT_HOOK=${HOST_EXIT_HOOK:-:}
	HOST_URING=$(cat "$HOST_FUSE_URING" 2>/dev/null || true)
	chmod 0711 "$HOST_TMP"
	export DBS_CONFIG_DIR=$HOST_TMP/etc
	unset DBS_CONFIG
	mkdir "$DBS_CONFIG_DIR"
	# a trap runs with what is redirected where the shell ended: keep stderr
	exec 9>&2
	trap host_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
}

host_end()
{
	local code=$? pid dir i

	exec 2>&9
	trap '' INT TERM HUP
	trap - EXIT
	set +e
	"$HOST_EXIT_HOOK" "$code"
	for pid in "${HOST_PIDS[@]}"; do
		kill -TERM "$pid" 2>/dev/null
	done
	for pid in "${HOST_PIDS[@]}"; do
		host_wait_gone "$pid" 30 || kill -KILL "$pid" 2>/dev/null
		wait "$pid" 2>/dev/null
	done
	for ((i = ${#HOST_MOUNTS[@]} - 1; i >= 0; i--)); do
		dir=${HOST_MOUNTS[i]}
		grep -qF " $dir " /proc/self/mountinfo || continue
		"$DBS" umount "$dir" || "$DBS" umount --lazy "$dir" ||
			umount -l "$dir"
	done
	[ "$HOST_URING" != N ] || echo N 2>/dev/null >"$HOST_FUSE_URING"
	if grep -qF " $HOST_TMP/" /proc/self/mountinfo; then
		host_say "${0##*/}: something is still mounted in $HOST_TMP"
	else
		rm -rf --one-file-system "$HOST_TMP"
	fi
	exit "$code"
}

# host_wait_gone PID SECONDS
host_wait_gone()
{
	local i

	for ((i = 0; i < $2 * 20; i++)); do
		kill -0 "$1" 2>/dev/null || return 0
		# a child of ours that has ended is a zombie until we wait
		[ "$(sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$1/status" \
			2>/dev/null)" != Z ] || return 0
		sleep 0.05
	done
	return 1
}

# host_mount POOL DIR [OPTION...]: dbs mount, undone by host_end
host_mount()
{
	HOST_MOUNTS+=("$2")
	"$DBS" mount "$@"
}

# ---- MariaDB --------------------------------------------------------------------------

# Who the instances run as: 'mysql' where a package has made that user.
host_mariadb_user()
{
	if id -u mysql >/dev/null 2>&1; then
		echo mysql
	else
		echo nobody
	fi
}

host_mariadb_as_user()
{
	local user group

	user=$(host_mariadb_user)
	group=$(id -g "$user")
	exec setpriv --reuid="$user" --regid="$group" --clear-groups \
		--inh-caps=-all "$@"
}

# mariadb_init DATADIR: system tables in an empty directory of a mount
mariadb_init()
{
	local user

	user=$(host_mariadb_user)
	chown "$user:$(id -g "$user")" "$1"
	chmod 0700 "$1"
	(host_mariadb_as_user mariadb-install-db --no-defaults \
		--datadir="$1" --auth-root-authentication-method=normal \
		--skip-test-db --innodb-doublewrite=0)
}

# mariadb_start NAME DATADIR [OPTION...]: returns when it answers
#
# The socket is $HOST_TMP/run/NAME.sock, the log NAME.err beside it, the pid
# is in MARIADB_PID_<NAME> with every '-' as '_'.
mariadb_start()
{
	local name=$1 datadir=$2 run=$HOST_TMP/run user pid i

	shift 2
	user=$(host_mariadb_user)
	mkdir -p "$run"
	chown "$user" "$run"
	host_mariadb_as_user mariadbd --no-defaults \
		--datadir="$datadir" --socket="$run/$name.sock" \
		--pid-file="$run/$name.pid" --log-error="$run/$name.err" \
		--skip-networking --innodb-doublewrite=0 --tmpdir="$run" \
		"$@" </dev/null >>"$run/$name.err" 2>&1 9>&- &
	pid=$!
	HOST_PIDS+=("$pid")
	printf -v "MARIADB_PID_${name//-/_}" %s "$pid"
	for ((i = 0; i < 1200; i++)); do
		if mariadb_sql "$name" 'select 1' >/dev/null 2>&1; then
			return 0
		fi
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.05
	done
	host_say "MariaDB '$name' does not answer; the end of its log:"
	tail -n 20 "$run/$name.err" >&2
	return 1
}

# mariadb_stop NAME
mariadb_stop()
{
	local var=MARIADB_PID_${1//-/_} pid left=()

	kill -TERM "${!var}"
	wait "${!var}" || true
	# its number may soon be another process's
	for pid in "${HOST_PIDS[@]}"; do
		[ "$pid" = "${!var}" ] || left+=("$pid")
	done
	HOST_PIDS=("${left[@]}")
}

# mariadb_client NAME [OPTION...]: the client on an instance, as its root
mariadb_client()
{
	local name=$1

	shift
	mariadb --no-defaults --user=root --socket="$HOST_TMP/run/$name.sock" \
		"$@"
}

# mariadb_sql NAME STATEMENT [DATABASE]: rows, tab-separated
mariadb_sql()
{
	mariadb_client "$1" --batch --skip-column-names --execute "$2" \
		${3:+"$3"}
}
