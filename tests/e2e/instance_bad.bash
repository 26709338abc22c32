# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# instance_bad.bash - for instance.sh: what is killed, in the way, or wrong

killed_server()
{
	local pid

	query a "INSERT INTO shop.item VALUES (5000, 'committed')"
	pid=$(server_pid a)
	kill -KILL "$pid"
	wait_other a "$pid"
	says a 'SELECT name FROM shop.item WHERE id = 5000' committed
	[ "$(ps_of a restarts)" = 1 ]
	[ "$(ps_of a port)" = "$PORT_A" ]
	"$DBS" ps --json | jq -e '.items[] | select(.name == "a") |
		.last_exit.signal == 9'
	"$DBS" logs a | grep 'dbs: .*killed by signal 9'
}

killed_monitor()
{
	local pid

	pid=$(server_pid a)
	kill -KILL "$(monitor_pid a)"
	wait_state a unmonitored
	says a 'SELECT COUNT(*) FROM shop.item' 1001
	"$DBS" up --all
	[ "$(ps_of a state)" = running ]
	[ "$(server_pid a)" = "$pid" ]
	# the new one does what the old one did
	kill -KILL "$pid"
	wait_other a "$pid"
	says a 'SELECT COUNT(*) FROM shop.item' 1001
	[ "$(ps_of a port)" = "$PORT_A" ]
}

killed_both()
{
	local pid

	pid=$(server_pid a)
	kill -KILL "$(monitor_pid a)"
	kill -KILL "$pid"
	wait_state a dead
	fails 69 "does not run" "$DBS" sql a -e 'SELECT 1'
	"$DBS" up --all
	says a 'SELECT COUNT(*) FROM shop.item' 1001
	[ "$(ps_of a port)" = "$PORT_A" ]
}

killed_dbsfs()
{
	local pid

	query a "INSERT INTO shop.item VALUES (5001, 'also')"
	pid=$("$DBS" pool list --json | jq -r --arg dir "$MNT" \
		'.items[]? | select(.mountpoint == $dir) | .pid')
	[ "$pid" -gt 1 ]
	kill -KILL "$pid"
	wait_state a waiting
	"$DBS" mount "$DBS_POOL" "$MNT"
	wait_state a running
	says a 'SELECT name FROM shop.item WHERE id = 5001' also
	wait_state b running
	says b 'SELECT COUNT(*) FROM shop.item' 1000
	[ "$(ps_of a port)" = "$PORT_A" ]
}

locked()
{
	python3 -c '
import fcntl, sys, time
f = open(sys.argv[1], "w")
fcntl.lockf(f, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)' "$DBS_STATE_DIR/instances/a/lock" >"$HOST_TMP/locked" &
	LOCKER=$!
	until grep -q locked "$HOST_TMP/locked"; do sleep 0.05; done
	fails 4 "another command works on instance 'a'" "$DBS" restore a --yes
	fails 4 "another command" "$DBS" up a
	"$DBS" ps >/dev/null
	kill "$LOCKER"
	wait "$LOCKER" 2>/dev/null || true
	LOCKER=""
	"$DBS" up a
}

# Found before the server is stopped, which would be for nothing.
foreign_writer()
{
	local pid

	pid=$(server_pid a)
	/usr/bin/python3 -c '
import sys, time
f = open(sys.argv[1], "a")
print("open", flush=True)
time.sleep(60)' "$MNT/a/foreign" >"$HOST_TMP/foreign" &
	LOCKER=$!
	until grep -q open "$HOST_TMP/foreign"; do sleep 0.05; done
	fails 4 "'a': python3[^ ]* \(pid $LOCKER\) has files of it open" \
		"$DBS" restore a --yes
	[ "$(server_pid a)" = "$pid" ]
	"$DBS" restore a --yes --force
	[ "$(server_pid a)" != "$pid" ]
	kill "$LOCKER"
	wait "$LOCKER" 2>/dev/null || true
	LOCKER=""
	# who only reads is in nobody's way
	exec 7<"$MNT/a/ibdata1"
	"$DBS" restore a --yes
	exec 7<&-
	[ ! -e "$MNT/a/foreign" ]
}

# A server whose port is taken by another between our look and its bind.
thief()
{
	mkdir "$HOST_TMP/thief.d"
	chown "$(host_mariadb_user)" "$HOST_TMP/thief.d"
	cat >"$HOST_TMP/thief" <<-END
	#!/bin/bash
	case " \$* " in
	*" --version "*) exec mariadbd --no-defaults --version ;;
	esac
	cd '$HOST_TMP/thief.d'
	if [ ! -e pid ]; then
		for option; do
			case \$option in --port=*) port=\${option#*=} ;; esac
		done
		/usr/bin/python3 -c '
	import os, socket, sys, time
	s = socket.socket()
	s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
	s.bind(("127.0.0.1", int(sys.argv[1])))
	s.listen(1)
	open("port", "w").write(sys.argv[1])
	open("pid.new", "w").write(str(os.getpid()))
	os.rename("pid.new", "pid")
	time.sleep(300)' "\$port" </dev/null &
		until [ -s pid ]; do sleep 0.05; done
	fi
	exec mariadbd --no-defaults "\$@"
	END
	chmod 755 "$HOST_TMP/thief"
}
thief_ends()
{
	kill "$(cat "$HOST_TMP/thief.d/pid")"
	rm "$HOST_TMP/thief.d/pid"
}
port_lost()
{
	local port lost

	thief
	port=$("$DBS" up p --from prod@clean --server "$HOST_TMP/thief" --json |
		jq .port)
	lost=$(cat "$HOST_TMP/thief.d/port")
	"$DBS" logs p | grep 'Bind on TCP/IP port'
	[ "$port" != "$lost" ]
	[ "$(ps_of p port)" = "$port" ]
	says p 'SELECT @@port' "$port"
	thief_ends
	# one that a server has had is the instance's, and stays
	"$DBS" down p
	fails 2 "Bind on TCP/IP port" "$DBS" up p
	thief_ends
	: >"$HOST_TMP/thief.d/pid"
	"$DBS" up p
	[ "$(ps_of p port)" = "$port" ]
	"$DBS" down p --rm --yes
	# and so is one that was asked for
	rm "$HOST_TMP/thief.d/pid"
	fails 2 "Bind on TCP/IP port" "$DBS" up p --from prod@clean \
		--server "$HOST_TMP/thief" --port "$lost"
	[ "$(cat "$HOST_TMP/thief.d/port")" = "$lost" ]
	thief_ends
	leaves_nothing p
}

# Whenever 'up' is killed, 'down --rm' leaves nothing of what it made.
killed_up()
{
	local delay pid

	for delay in 0.01 0.02 0.03 0.04 0.06 0.1 0.2 0.4 0.8; do
		"$DBS" up k --from prod@clean &
		pid=$!
		sleep "$delay"
		kill -KILL "$pid" 2>/dev/null || true
		wait "$pid" || true
		"$DBS" ps
		[ ! -e "$DBS_STATE_DIR/instances/k/instance.json" ] ||
			until_true "$DBS" down k --rm --yes
		# before the record there is the folder, with its lock
		rm -rf "$DBS_STATE_DIR/instances/k"
		leaves_nothing k
	done
	if ! command -v strace >/dev/null; then
		echo "no strace: not killed between the clone and its record"
		return 0
	fi
	killed_after_clone
	"$DBS" up k --from prod@clean
	says k 'SELECT COUNT(*) FROM shop.item' 1000
	"$DBS" down k --rm --yes
	leaves_nothing k
	killed_after_clone
	"$DBS" down k --rm --yes
	leaves_nothing k
	# another's, made after it was said what would be made
	killed_after_clone
	"$DBS" rm --yes k
	"$DBS" clone prod@clean k2
	"$DBS" snapshot k2@s
	"$DBS" clone k2@s k
	fails 4 "not the one that 'dbs up' made" "$DBS" down k --rm --yes
	"$DBS" up k
	fails 4 "was not made by 'dbs up'" "$DBS" down k --rm --yes
	"$DBS" down k
	"$DBS" rm --yes -r k k2
	rm -r "$DBS_STATE_DIR/instances/k"
}
killed_after_clone() # the record is written for the second time then
{
	strace -qq -o "$HOST_TMP/strace" -e trace=rename \
		-e inject=rename:signal=KILL:when=2 \
		"$DBS" up k --from prod@clean || true
	cat "$DBS_STATE_DIR/instances/k/instance.json"
	jq -e '.made and .making and (.dataset_id | not)' \
		"$DBS_STATE_DIR/instances/k/instance.json"
	[ "$("$DBS" list -q k)" = k ]
}

# The next 'up' finds its server at work, and records what that one did not.
killed_before_recorded()
{
	local dir=$DBS_STATE_DIR/instances/k pid

	if ! command -v strace >/dev/null; then
		echo "no strace: not killed before it is recorded"
		return 0
	fi
	"$DBS" clone prod@clean k
	# options are written before the start, and when it has answered
	strace -qq -o "$HOST_TMP/strace" -P "$dir/my.cnf.new" \
		-e trace=rename -e inject=rename:signal=KILL:when=2 \
		"$DBS" up k || true
	[ -e "$dir/init.sql" ]
	grep -q ^init-file "$dir/my.cnf"
	"$DBS" up k
	[ ! -e "$dir/init.sql" ]
	not grep -qE '^(init-file|tc-heuristic)' "$dir/my.cnf"
	query k "CREATE USER mine@localhost IDENTIFIED BY 'mine'"
	pid=$(server_pid k)
	kill -KILL "$pid"
	wait_other k "$pid"
	says k 'SELECT COUNT(*) FROM shop.item' 1000
	mariadb --no-defaults -S "$(ps_of k socket)" -u mine -pmine \
		-e 'SELECT 1'
	# nor is there anything to do at the next start
	"$DBS" down k
	"$DBS" up k
	mariadb --no-defaults -S "$(ps_of k socket)" -u mine -pmine \
		-e 'SELECT 1'
	"$DBS" down k
	"$DBS" rm --yes -r k
	rm -r "$dir"
}

bad_ups()
{
	local port option

	fails 3 "no dataset 'x'; --from" "$DBS" up x
	leaves_nothing x
	fails 3 "no snapshot 'prod@none'" "$DBS" up x --from prod@none
	leaves_nothing x
	fails 3 "server '/no/such" "$DBS" up x --from prod@clean \
		--server /no/such/mysqld
	leaves_nothing x
	printf '#!/bin/sh\necho "mariadbd  Ver 10.2.9-MariaDB for Linux"\n' \
		>"$HOST_TMP/old"
	chmod 755 "$HOST_TMP/old"
	fails 78 "used by version 10.11, .*which is older" \
		"$DBS" up x --from prod@clean --server "$HOST_TMP/old"
	printf '#!/bin/sh\necho "mysqld  Ver 9.7.0 for Linux"\n' \
		>"$HOST_TMP/other"
	chmod 755 "$HOST_TMP/other"
	fails 78 "data directory of MariaDB" \
		"$DBS" up x --from prod@clean --server "$HOST_TMP/other"
	fails 78 "is no server" "$DBS" up x --from prod@clean \
		--server /bin/true
	fails 2 "ended with exit code .* the end of its log" \
		"$DBS" up x --from prod@clean -o innodb-page-size=4k
	fails 2 "unknown variable 'no-such-option" \
		"$DBS" up x --from prod@clean -o no-such-option=1
	for option in port=5 datad=/etc loose_enable_user=root \
		enable-skip-grant-tables; do
		fails 64 "the instance's own" \
			"$DBS" up x --from prod@clean -o "$option"
	done
	for option in '!include /etc/passwd' '[client]' $'a=1\nuser=root' \
		"init-connect=$(printf '%04000d' 1)"; do
		fails 64 "no option of a server" \
			"$DBS" up x --from prod@clean -o "$option"
	done
	port=$(ps_of b port)
	fails 4 "port $port is that of instance 'b'" \
		"$DBS" up x --from prod@clean --port "$port"
	python3 -c '
import socket, time
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(1)
print(s.getsockname()[1], flush=True)
time.sleep(60)' >"$HOST_TMP/port" &
	LISTENER=$!
	until [ -s "$HOST_TMP/port" ]; do sleep 0.05; done
	fails 4 "port $(cat "$HOST_TMP/port") is in use" \
		"$DBS" up x --from prod@clean --port "$(cat "$HOST_TMP/port")"
	kill "$LISTENER"
	wait "$LISTENER" 2>/dev/null || true
	LISTENER=""
	leaves_nothing x
	"$DBS" create empty
	fails 3 "no data directory" "$DBS" up empty
	"$DBS" rm --yes empty
	leaves_nothing empty
	fails 4 "was made from prod@clean" "$DBS" up a --from other@clean
}

# What a server would follow out of its dataset, whoever put it there.
leads_outside()
{
	local pid

	mkdir -m 777 "$HOST_TMP/outside"
	"$DBS" clone prod@clean w
	ln -s "$MNT/b/mysql" "$MNT/w/shop/link"
	fails 78 "'$MNT/w/shop/link' is a symbolic link" "$DBS" up w
	"$DBS" snapshot w@link
	rm "$MNT/w/shop/link"
	echo "$HOST_TMP/outside/t.ibd" >"$MNT/w/shop/t.isl"
	fails 78 "'$MNT/w/shop/t.isl' keeps a table outside" "$DBS" up w
	rm "$MNT/w/shop/t.isl"
	mkfifo "$MNT/w/pipe"
	fails 78 "'$MNT/w/pipe' is a named pipe" "$DBS" up w
	rm "$MNT/w/pipe"
	mknod "$MNT/w/null" c 1 3
	fails 78 "'$MNT/w/null' is a device" "$DBS" up w
	rm "$MNT/w/null"
	fails 78 "is a symbolic link" "$DBS" up w2 --from w@link
	leaves_nothing w2
	# a server that was killed leaves one
	python3 -c '
import socket, sys
socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$MNT/w/mysqld.sock"
	"$DBS" up w
	query w "CREATE TABLE shop.far (id INT PRIMARY KEY)
		DATA DIRECTORY='$HOST_TMP/outside'"
	[ -z "$(ls "$HOST_TMP/outside")" ]
	[ -f "$MNT/w/shop/far.ibd" ]
	pid=$(server_pid w)
	fails 78 "is a symbolic link" "$DBS" restore w @link --yes
	[ "$(server_pid w)" = "$pid" ]
	"$DBS" down w
	"$DBS" rm --yes -r w
	rm -r "$DBS_STATE_DIR/instances/w"
}

# A group is nothing that a dataset can choose.
group_of_user()
{
	local user pid

	user=$(host_mariadb_user)
	"$DBS" clone prod@clean w
	chgrp shadow "$MNT/w"
	"$DBS" up w
	pid=$(server_pid w)
	grep -Px "Gid:(\t$(id -g "$user")){4}" "/proc/$pid/status"
	[ "$(stat -c %G "$DBS_STATE_DIR/run/w/server")" = "$(id -gn "$user")" ]
	says w 'SELECT COUNT(*) FROM shop.item' 1000
	"$DBS" down w
	chown 54321 "$MNT/w"
	fails 78 "belongs to user id 54321, and this host has no" "$DBS" up w
	"$DBS" rm --yes -r w
	rm -r "$DBS_STATE_DIR/instances/w"
}

# An instance whose dataset has gone is not this command's to destroy.
failed_up_keeps_instance()
{
	local before dir=$DBS_STATE_DIR/instances/d

	"$DBS" up d --from prod@clean
	"$DBS" down d
	"$DBS" rm --yes -r d
	"$DBS" hold d --until 1h --reason 'a long test'
	before=$(jq -cS . "$dir/instance.json" && cat "$dir/password")
	fails 2 "unknown variable 'no-such-option" \
		"$DBS" up d --from prod@clean -o no-such-option=1 --memory 1G
	[ "$(jq -cS . "$dir/instance.json" && cat "$dir/password")" = "$before" ]
	[ -z "$("$DBS" list -q d)" ]
	[ ! -e "$dir/init.sql" ]
	not pgrep -f -- "$DBS_STATE_DIR/run/d/"
	"$DBS" up d --from prod@clean
	"$DBS" hold d --release
	"$DBS" down d --rm --yes
	leaves_nothing d
}

# A recovery that takes longer than 'up' waits is not killed.
slow_start()
{
	local pid wait=(env DBS_START_TIMEOUT=1)

	cat >"$HOST_TMP/slow" <<-END
	#!/bin/bash
	case " \$* " in
	*" --version "*) exec mariadbd --no-defaults --version ;;
	esac
	sleep 3
	exec mariadbd --no-defaults "\$@"
	END
	chmod 755 "$HOST_TMP/slow"
	fails 7 "'s' is still starting" "${wait[@]}" "$DBS" up s --from prod@clean \
		--server "$HOST_TMP/slow"
	[ "$(ps_of s state)" = running ]
	pid=$(server_pid s)
	fails 7 "'s' is still starting" "${wait[@]}" "$DBS" up s
	[ "$("$DBS" up s --json | jq .server_pid)" = "$pid" ]
	[ ! -e "$DBS_STATE_DIR/instances/s/init.sql" ]
	says s 'SELECT COUNT(*) FROM shop.item' 1000
	fails 7 "'s' is still starting" "${wait[@]}" "$DBS" restore s --yes
	pid=$(server_pid s)
	[ "$("$DBS" up s --json | jq .server_pid)" = "$pid" ]
	"$DBS" down s --rm --yes
	leaves_nothing s
}

waits_again() # NAME: to be started for the fourth time or so
{
	[ "$(ps_of "$1" restarts)" -ge 3 ] &&
		[ "$(ps_of "$1" state)" = restarting ]
}

# A server that cannot live: started again a few times, then given up.
crash_loop()
{
	"$DBS" up c --from prod@clean
	truncate -s 5M "$MNT/c/ibdata1"
	kill -KILL "$(server_pid c)"
	until_true waits_again c
	# no server at this moment, but it is up all the same
	"$DBS" restore c --yes
	says c 'SELECT COUNT(*) FROM shop.item' 1000
	truncate -s 5M "$MNT/c/ibdata1"
	kill -KILL "$(server_pid c)"
	wait_state c failed 60
	"$DBS" logs c | grep 'crashed too often; giving up'
	fails 2 "the end of its log" "$DBS" up c
	# a restore makes it whole again
	"$DBS" restore c --yes
	"$DBS" up c
	says c 'SELECT COUNT(*) FROM shop.item' 1000
	"$DBS" down c --rm --yes
	leaves_nothing c
}

# A dataset that has the name of the one that 'up' made is not that one.
made_anew()
{
	(umask 077 && "$DBS" up d --from prod@clean)
	"$DBS" down d
	"$DBS" rm --yes -r d
	"$DBS" clone prod@clean d
	fails 4 "not the one that 'dbs up' made" "$DBS" down d --rm --yes
	"$DBS" up d
	fails 4 "was not made by 'dbs up'" "$DBS" down d --rm --yes
	"$DBS" down d
	"$DBS" rm --yes -r d
	rm -r "$DBS_STATE_DIR/instances/d"
}

# Seen by its command line: its pid file is written late, and by the server.
no_pid_file()
{
	local pid

	"$DBS" up d --from prod@clean
	pid=$(server_pid d)
	kill -KILL "$(monitor_pid d)"
	wait_state d unmonitored
	sed -i 's/"server_pid": [0-9]*/"server_pid": 1/' \
		"$DBS_STATE_DIR/instances/d/state.json"
	rm "$DBS_STATE_DIR/run/d/server/pid"
	mkfifo "$DBS_STATE_DIR/run/d/server/pid"
	[ "$(server_pid d)" = "$pid" ]
	"$DBS" down d --rm --yes
	host_wait_gone "$pid" 10
	leaves_nothing d
}
