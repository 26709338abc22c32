#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# test_control.sh - the control socket: what it answers, whom, and what it
# bears

# shellcheck source=tests/fs/lib.sh
. "$(dirname "$0")/lib.sh"

# says JSON PATTERN: the answer to a request matches
says()
{
	local answer

	answer=$(fs_ask "$1")
	# shellcheck disable=SC2254
	case $answer in
	$2) ;;
	*) echo "answered '$answer', not '$2'"; return 1 ;;
	esac
}

# While a dataset is removed of which the page cache has much, others take its
# name: they find their own under it, and keep it.
taken_meanwhile()
{
	python3 - "$SOCKET" "$MOUNT" <<'PYTHON'
import json, os, socket, sys, threading
def ask(command, **arguments):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(sys.argv[1])
        s.sendall(json.dumps({"v": 1, "command": command, "arguments": arguments}).encode() + b"\n")
        return json.loads(s.makefile().readline())
path = sys.argv[2] + "/taken"
assert ask("create", name="taken")["ok"]
for i in range(5):
    with open(path + "/old", "wb") as f:
        f.write(os.urandom(1 << 20) * 64)
    open(path + "/old", "rb").read()
    rm = threading.Thread(target=ask, args=("rm",), kwargs={"names": ["taken"]})
    rm.start()
    while True:
        removed = not rm.is_alive()
        if ask("create", name="taken")["ok"]:
            break
        assert not removed, "it was not removed"
    at_once = os.path.exists(path + "/old")
    os.chdir(path)
    rm.join()
    assert not at_once, "the old dataset's file is there"
    assert os.getcwd() == path and os.path.samefile(".", path), "it is not the new one"
    os.chdir("/")
assert ask("rm", names=["taken"])["ok"]
PYTHON
}

# bears HOW: send nonsense; the daemon answers an error and closes, or closes
bears()
{
	python3 - "$SOCKET" "$1" "$(fs_pid)" <<'PYTHON'
import os, socket, sys
path, how = sys.argv[1:3]
def conn():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    s.connect(path)
    return s
def rest(s):
    data = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                return data
            data += more
    except ConnectionResetError:
        return data
if how == "garbage":
    s = conn()
    s.sendall(bytes(range(256)) * 4 + b"\n")
    assert b'"code":64' in rest(s)
elif how == "not-json":
    s = conn()
    s.sendall(b"hello\n")
    assert b"not JSON" in rest(s)
elif how == "too-long":
    s = conn()
    try:
        s.sendall(b"x" * (1 << 20))
    except (BrokenPipeError, ConnectionResetError):
        pass
    got = rest(s)
    assert got == b"" or b"65536 bytes" in got, got
elif how == "deep":
    s = conn()
    s.sendall(b"[" * 60000 + b"\n")
    assert b'"code":64' in rest(s)
elif how == "half":
    s = conn()
    s.sendall(b'{"v":1,')
    s.close()
elif how == "two-in-one":
    s = conn()
    s.sendall(b'{"v":1,"command":"ping"}\n{"v":1,"command":"ping"}\n')
    f = s.makefile()
    assert '"ok":true' in f.readline() and '"ok":true' in f.readline()
elif how == "byte-by-byte":
    s = conn()
    for c in b'{"v":1,"command":"ping"}\n':
        s.send(bytes([c]))
    assert '"ok":true' in s.makefile().readline()
elif how == "many":
    ping = b'{"v":1,"command":"ping"}\n'
    held = []
    for i in range(300):
        held.append(conn())
        held[-1].sendall(ping)
        assert '"ok":true' in held[-1].makefile().readline()
    # those that were idle for longest had to go
    assert rest(held[0]) == b"" and rest(held[235]) == b""
    held[299].sendall(ping)
    assert '"ok":true' in held[299].makefile().readline()
    threads = len(os.listdir("/proc/" + sys.argv[3] + "/task"))
    assert threads < 64 + 64 + 16, threads
PYTHON
}

may_not()
{
	python3 - "$SOCKET" <<'PYTHON'
import os, socket, sys
os.setgroups([])
os.setgid(1002)
os.setuid(1002)
try:
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    sys.exit(0 if '"code":5' in s.makefile().readline() else 1)
except PermissionError:
    sys.exit(0)
PYTHON
}

# in_group: a member of the socket's group gets an answer
in_group()
{
	python3 - "$SOCKET" <<'PYTHON'
import grp, os, socket, sys
os.setgroups([grp.getgrnam("games").gr_gid])
os.setgid(1002)
os.setuid(1002)
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b'{"v":1,"command":"ping"}\n')
sys.exit(0 if '"ok":true' in s.makefile().readline() else 1)
PYTHON
}

has_mode()
{
	[ "$(stat -c %a:%U:%G "$SOCKET")" = "$1" ]
}

fs_begin 256 ds
fs_mount || exit 2

claim control__socket_is_roots has_mode 600:root:root
claim control__ping_answers says '{"v":1,"command":"ping"}' \
	"*\"ok\":true*\"mountpoint\":\"$MOUNT\"*"
claim control__garbage_is_refused bears garbage
claim control__not_json_is_refused bears not-json
claim control__long_lines_are_refused bears too-long
claim control__deep_nesting_is_refused bears deep
claim control__half_a_request_does_no_harm bears half
claim control__requests_may_be_pipelined bears two-in-one
claim control__requests_may_come_in_pieces bears byte-by-byte
claim control__connections_are_bounded bears many
claim control__strangers_are_refused may_not

claim request__needs_an_object says '[]' '*"code":64*must be a JSON object*'
claim request__needs_its_version says '{"v":2,"command":"ping"}' '*"code":64*'
claim request__needs_a_command says '{"v":1}' '*"code":64*no command*'
claim request__unknown_command_is_refused says '{"v":1,"command":"x"}' \
	"*\"code\":64*unknown command 'x'*"
claim request__unknown_member_is_refused \
	says '{"v":1,"command":"ping","x":1}' "*\"code\":64*no member 'x'*"
claim request__unknown_argument_is_refused \
	says '{"v":1,"command":"ping","arguments":{"x":1}}' \
	"*\"code\":64*takes no argument 'x'*"
claim request__wrong_type_is_refused \
	says '{"v":1,"command":"create","arguments":{"name":1}}' \
	"*\"code\":64*must be a string*"
claim request__missing_argument_is_refused \
	says '{"v":1,"command":"create"}' "*\"code\":64*needs the argument*"
claim request__bad_name_is_refused \
	says '{"v":1,"command":"create","arguments":{"name":".x"}}' \
	"*\"code\":64*"
claim request__nul_in_a_name_is_refused \
	says '{"v":1,"command":"create","arguments":{"name":"a\u0000b"}}' \
	"*\"code\":64*"
claim request__missing_dataset_is_not_found \
	says '{"v":1,"command":"clone","arguments":{"source":"no","name":"x"}}' \
	"*\"code\":3*there is no dataset 'no'*"
claim request__existing_name_is_a_conflict \
	says '{"v":1,"command":"create","arguments":{"name":"ds"}}' \
	"*\"code\":4*exists already*"
claim rm__resolves_all_names_or_none \
	says '{"v":1,"command":"rm","arguments":{"names":["ds","no"]}}' \
	"*\"code\":3*"
claim rm__left_the_dataset test -d "$MOUNT/ds"
claim rm__pattern_without_match_is_not_found \
	says '{"v":1,"command":"rm","arguments":{"names":["x*"]}}' \
	"*\"code\":3*nothing matches 'x\*'*"
fs_ask '{"v":1,"command":"snapshot","arguments":{"name":"ds@a"}}' >"$WORK/out"
claim rm__dataset_with_snapshots_is_a_conflict \
	says '{"v":1,"command":"rm","arguments":{"names":["ds"]}}' \
	"*\"code\":4*has 1 snapshot;*"
claim rm__dry_run_says_what_comes_back \
	says '{"v":1,"command":"rm","arguments":{"names":["ds"],"recursive":true,"dry_run":true}}' \
	'*"ok":true*"name":"ds@a"*"total_unique":*"dry_run":true*'
claim rm__name_is_free_at_once taken_meanwhile
claim rm__dry_run_removed_nothing test -d "$MOUNT/ds/.dbs/snapshot/a"
for request in \
	'"snapshot","arguments":{"name":"ds@x","id":1234567}' \
	'"set","arguments":{"name":"ds","key":"user:x","value":"x","id":1234567}' \
	'"mv","arguments":{"from":"ds","to":"x","id":1234567}' \
	'"restore","arguments":{"source":"ds@a","id":1234567}' \
	'"rm","arguments":{"names":["ds"],"recursive":true,"id":1234567}'; do
	claim id__of_another_is_a_conflict \
		says "{\"v\":1,\"command\":$request}" \
		'*"code":4*the one that was meant is gone*'
done
claim id__is_for_one_name_only \
	says '{"v":1,"command":"rm","arguments":{"names":["ds","ds@a"],"id":1}}' \
	'*"code":64*one name only*'
claim get__user_properties_are_kept \
	says '{"v":1,"command":"set","arguments":{"name":"ds","key":"user:who","value":"me"}}' \
	'*"ok":true*"value":"me"*'
claim get__one_property \
	says '{"v":1,"command":"get","arguments":{"name":"ds","key":"user:who"}}' \
	'*"properties":{"user:who":"me"}*'
claim get__missing_user_property_is_not_found \
	says '{"v":1,"command":"get","arguments":{"name":"ds","key":"user:no"}}' \
	'*"code":3*'
claim set__bad_value_is_usage \
	says '{"v":1,"command":"set","arguments":{"name":"ds","key":"recordsize","value":"5K"}}' \
	'*"code":64*power of two*'
claim diff__snapshot_and_live \
	says '{"v":1,"command":"diff","arguments":{"a":"ds@a"}}' \
	'*"ok":true*"nr_entries":0*'
echo changed >"$MOUNT/ds/new"
claim diff__names_what_is_new \
	says '{"v":1,"command":"diff","arguments":{"a":"ds@a"}}' \
	'*"kind":"added","path":"new"*'
claim df__lists says '{"v":1,"command":"df"}' '*"name":"ds"*"pool":{*'
claim sync__works says '{"v":1,"command":"sync"}' '*"ok":true*"duration_ms":*'

exec 9<"$MOUNT/ds/new"
claim shutdown__in_use_is_refused says '{"v":1,"command":"shutdown"}' \
	'*"code":4*in use*'
exec 9<&-
pid=$(fs_pid)
claim shutdown__unmounts says '{"v":1,"command":"shutdown"}' '*"ok":true*'
claim shutdown__ends_the_daemon fs_wait_gone "$pid"
claim shutdown__removes_the_socket test ! -e "$SOCKET"
claim shutdown__removes_the_pid_file test ! -e "$PIDFILE"

fs_mount --socket-group=games || exit 2
claim control__group_owns_the_socket has_mode 660:root:games
claim control__group_member_may in_group
claim control__strangers_are_refused_still may_not
fs_unmount
claim control__pool_is_clean fs_check
fs_end
