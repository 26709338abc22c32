#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
nasty.py - names that want to be more than names, through every door

usage: nasty.py DBS MOUNT SOCKET POOL SCRATCH

The pool is mounted, with a dataset 'ds' in it.  Nothing that a name says may
happen: no file called PWNED is made, nothing appears outside of where it
should, no byte of a message drives a terminal.  Exits 1 with the first thing
that went wrong.
"""
import json
import os
import re
import socket
import subprocess
import sys

DBS, MOUNT, SOCKET, POOL, SCRATCH = sys.argv[1:]
HERE = os.path.join(SCRATCH, "here")
GOOD = re.compile(rb"[A-Za-z0-9_:][A-Za-z0-9._:-]{0,199}\Z")

shell = ["$(touch PWNED)", "`touch PWNED`", "; touch PWNED", "| touch PWNED",
         "& touch PWNED", "&& touch PWNED #", "x\ntouch PWNED\n", "> PWNED",
         "$HOME", "${IFS}", "~", "~root", "!!", "'", '"', "\\", "a b", "*",
         "?", "[a-z]", "{a,b}", "a;b", "a|b", "<x", "#x", "x=y", "$(id)",
         "'; touch PWNED; '", '"; touch PWNED; "', "\\$(touch PWNED)",
         "-rf", "--help", "--force", "-", "--", "-o suid", "--pool=/etc/passwd"]
formats = ["%s", "%n", "%n%n%n%n%n%n", "%s%s%s%s%s%s%s%s", "%x%x%x%x", "%p",
           "%1000000d", "%.1000000f", "%99999999s", "%m", "%", "%%", "%hhn",
           "%1$s", "%*s", "{}", "{0}", "${x}", "%(x)s", "%c%d%i%o%u"]
paths = ["..", ".", "../PWNED", "../../PWNED", "../../../../tmp/PWNED",
         "/tmp/PWNED", "/etc/passwd", "a/b", "a/../b", "/", "//", "./a", "a/",
         "ds/../ds", ".dbs", ".dbs/snapshot", "ds/.dbs", "...", ".hidden",
         "/proc/self/fd/0", "/dev/null", "a\\..\\b", "..%2f", "%2e%2e%2f",
         "ds/evil", "\u2025/x", "\u2215etc", "con", "nul", "lost+found"]
controls = ["\n", "a\nb", "\r", "a\rb", "\t", "\b\b\b", "\x1b[31m", "\x1b]0;x\x07",
            "\x1b[2J", "\x7f", "\x01", "\x9b31m", "\u009b31m", "a\x0bb", "\x1bc",
            "x\x00y", "\u2028", "\u202etxt.exe", "\ufeff", "\u200b", "a\u0301",
            "\x1b[6n", "\x1bP$q\x1b\\", "\a", "nl\n", "\nnl", " ", "  ", " a",
            "a "] + [f"c{chr(c)}c" for c in range(1, 32)]
json_like = ['"}', '{"v":1}', '\\u0000', '\\"', '","command":"shutdown","x":"',
             "null", "true", "0", "-1", "1e999", "NaN", "[]", "{}", "\\n",
             "'; DROP TABLE t; --", "<script>", "&amp;", "\ud7ff", "😀", "日本語",
             "ñ", "é" * 90, "😀" * 50]
at_signs = ["@", "@@", "a@", "@a", "a@b@c", "ds@", "@latest", "latest", "ds@..",
            "ds@/", "ds@-", "ds@.x", "@-x", "ds@a b", "ds@%s", "ds@\n"]
longs = ["x" * n for n in (199, 200, 201, 255, 256, 1000, 4095, 4096, 5000,
                           20000)] + ["ds@" + "y" * 201, "x" * 201 + "@y",
                                      "a/" * 2000, "%s" * 1000, "\n" * 500]
NAMES = [n.encode("utf-8", "surrogatepass") for group in (
    shell, formats, paths, controls, json_like, at_signs, longs) for n in group]
NAMES += [b"\xff", b"\xfe\xff", b"a\xffb", b"\xc0\xaf", b"\xe0\x80\xaf",
          b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xc3", b"\x80", b"\xf0\x9f\x98",
          b"..\xc0\xaf..", b"\xff" * 200, b"\xc2\x85", b"\xc2\x9b1m", b"\xf8\x88"]


def fail(what, name, detail=""):
    sys.exit(f"{what}: {name[:60]!r} {detail}")


# -- what must hold after each ------------------------------------------------

def tree(top):
    return {os.path.join(d, n) for d, dirs, files in os.walk(top.encode())
            for n in dirs + files}


def check_text(door, name, text, is_json=False):
    """a message or a table: nothing in it drives a terminal"""
    bad = re.search(rb"[\x00-\x09\x0b-\x1f]" if is_json else
                    rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]", text)
    if bad:
        fail(f"{door} printed {bad.group()!r}", name, repr(text[:300]))


def check_json(door, name, answer):
    if not isinstance(answer, dict) or "ok" not in answer:
        fail(f"{door} answered {answer!r}", name)
    if not answer["ok"] and answer["code"] not in (2, 3, 4, 64):
        fail(f"{door} answered {answer!r}", name)


# -- doors --------------------------------------------------------------------

class Control:
    """the socket, by hand, so that names reach it as they are"""

    def __init__(self):
        self.connect()

    def connect(self):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60)
        self.s.connect(SOCKET)
        self.f = self.s.makefile("rb")

    def ask(self, command, raw=None, **arguments):
        """None: it did not take it for JSON and closed"""
        request = raw or json.dumps({"v": 1, "command": command,
                                     "arguments": arguments}).encode()
        try:
            self.s.sendall(request + b"\n")
            line = self.f.readline()
        except (BrokenPipeError, ConnectionResetError):
            line = b""
        if not line or (b"not JSON" in line and b'"code":64' in line):
            self.connect()
            return None
        return json.loads(line)


def text_of(name):
    """as JSON can carry it"""
    return name.decode("utf-8", "replace")


def doors_of_control(control):
    for name in NAMES:
        n, good = text_of(name), GOOD.match(name)
        made = []
        for command, arguments in (
                ("create", {"name": n}),
                ("clone", {"source": "ds", "name": n}),
                ("snapshot", {"name": f"ds@{n}"}),
                ("snapshot", {"names": [n, "ds@x1"]}),
                ("mv", {"from": "spare", "to": n}),
                ("clone", {"source": n, "name": "never"}),
                ("restore", {"source": n}),
                ("diff", {"a": n}),
                ("rm", {"names": [n], "dry_run": True}),
                ("list", {"pattern": n}),
                ("get", {"name": n}),
                ("get", {"name": "ds", "key": n}),
                ("set", {"name": "ds", "key": n, "value": n}),
                ("set", {"name": "ds", "key": "user:" + n, "value": n}),
                ("set", {"name": "ds", "key": "compression", "value": n}),
                ("set", {"name": "ds", "key": "quota", "value": n}),
                ("set", {"name": n, "key": "user:k", "value": "v"}),
                (n, {})):
            answer = control.ask(command, **arguments)
            if answer is None:
                continue
            check_json(command, name, answer)
            check_text(command, name, answer.get("error", "").encode(
                "utf-8", "replace").replace(n.encode("utf-8", "replace"), b""))
            if answer["ok"] and command in ("create", "clone", "snapshot", "mv"):
                if not good:
                    fail(f"{command} took the name", name)
                made.append((command, arguments))
        for command, arguments in made:  # back to where it was
            if command == "mv":
                r = control.ask("mv", **{"from": n, "to": "spare"})
            else:
                r = control.ask("rm", names=[arguments.get("name", n)],
                                recursive=True, force=True)
            if not r or not r["ok"]:
                fail(f"undoing {command}", name, r)
        # the bytes themselves, unescaped, in a request
        control.ask("", raw=b'{"v":1,"command":"get","arguments":{"name":"'
                    + name + b'"}}')


def door_of_properties(control):
    """what was set comes back, and is escaped where people read it"""
    for name in NAMES:
        n = text_of(name)
        if not 0 < len(n.encode()) <= 200 or "\0" in n:
            continue
        if not control.ask("set", name="ds", key="user:" + n, value=n)["ok"]:
            fail("user property refused", name)
        back = control.ask("get", name="ds", key="user:" + n)
        if back["result"]["properties"] != {"user:" + n: n}:
            fail("user property changed", name, back)
    out = subprocess.run([DBS, "get", "--socket", SOCKET, "ds"],
                         capture_output=True, check=True)
    check_text("dbs get", b"", out.stdout + out.stderr)
    for key in control.ask("get", name="ds")["result"]["properties"]:
        if key.startswith("user:"):
            control.ask("set", name="ds", key=key, value=None)


def door_of_files():
    top = os.path.join(MOUNT, "ds").encode()
    nr = 0
    for name in NAMES:
        p = top + b"/" + name
        plain = b"/" not in name and b"\0" not in name and name not in (
            b".", b"..") and len(name) <= 255
        if not plain:
            continue
        if name == b".dbs":
            continue
        with open(p, "wb") as f:
            f.write(name)
        os.rename(p, p)
        os.symlink(name, top + b"/link")
        if os.readlink(top + b"/link") != name:
            fail("symlink changed", name)
        os.unlink(top + b"/link")
        os.setxattr(p, "user.n", name)
        x = b"user." + name
        if len(x) <= 255:
            os.setxattr(p, x, b"v")
            if x.decode("utf-8", "surrogateescape") not in os.listxattr(p):
                fail("attribute changed", name)
        with open(p, "rb") as f:
            if f.read() != name or name not in os.listdir(top):
                fail("file changed", name)
        nr += 1
    for args in (["diff", "ds@empty"], ["diff", "ds@empty", "--json"]):
        out = subprocess.run([DBS, *args, "--socket", SOCKET],
                             capture_output=True, check=True)
        check_text("dbs diff", b"", out.stdout + out.stderr, len(args) > 2)
    for n in os.listdir(top):
        os.unlink(top + b"/" + n)
    return nr


def door_of_argv(names):
    for name in names:
        if b"\0" in name:
            continue
        for args in ([b"create", b"--", name], [b"list", b"--", name],
                     [b"set", b"ds", b"--", name], [b"pool", b"info", b"--", name],
                     [name]):
            out = subprocess.run([DBS.encode(), *args], capture_output=True,
                                 check=False, cwd=HERE, timeout=60,
                                 env={**os.environ, "DBS_SOCKET": SOCKET})
            check_text(f"dbs {args[0]!r}", name, out.stdout + out.stderr)
            if out.returncode < 0 or out.returncode not in (0, 2, 3, 4, 64, 69):
                fail(f"dbs {args[0]!r} exits {out.returncode}", name, out.stderr)
            if args[0] == b"create" and out.returncode == 0:
                if not GOOD.match(name):
                    fail("dbs create took the name", name)
                subprocess.run([DBS.encode(), b"rm", b"-y", b"--", name],
                               check=True,
                               env={**os.environ, "DBS_SOCKET": SOCKET})


def door_of_host_paths(names):
    """pool files and mountpoints of that name, below SCRATCH"""
    for name in names:
        base = os.path.join(SCRATCH, "host").encode()
        os.mkdir(base)
        mnt, pool = base + b"/m" + name, base + b"/p" + name
        os.mkdir(mnt)
        if b"\xff" in name:  # JSON could not say where it is
            for p, d in ((pool, base), (base + b"/plain", mnt)):
                subprocess.run([DBS, "pool", "create", "--sparse", "-s", "64M",
                                p], capture_output=True, check=True)
                out = subprocess.run([DBS, "mount", p, mnt], check=False,
                                     capture_output=True)
                check_text("dbs mount", name, out.stdout + out.stderr)
                if out.returncode != 2 or b"not UTF-8" not in out.stderr:
                    fail(f"dbs mount exits {out.returncode}", name, out.stderr)
                os.unlink(p)
            os.rmdir(mnt)
            os.rmdir(base)
            continue
        for args in ([b"pool", b"create", b"--sparse", b"-s", b"64M", pool],
                     [b"mount", pool, mnt], [b"list", b"-p", mnt, b"--json"],
                     [b"create", b"-p", mnt, b"x"], [b"list", b"-p", pool],
                     [b"pool", b"list"], [b"pool", b"info", pool],
                     [b"pool", b"info", b"--json", mnt],
                     [b"umount", mnt], [b"pool", b"check", pool]):
            out = subprocess.run([DBS.encode(), *args], capture_output=True,
                                 check=False, cwd=HERE, timeout=60)
            check_text(f"dbs {args[0]!r}", name, out.stdout + out.stderr)
            if out.returncode:
                fail(f"dbs {args!r} exits {out.returncode}", name, out.stderr)
            if b"--json" in args:
                json.loads(out.stdout)
        if sorted(os.listdir(base)) != sorted([b"m" + name, b"p" + name]):
            fail("something else was made", name, os.listdir(base))
        os.rmdir(mnt)
        os.unlink(pool)
        os.rmdir(base)


def main():
    if len(set(NAMES)) < 200:
        sys.exit(f"only {len(set(NAMES))} names")
    os.mkdir(HERE)
    os.chdir(HERE)
    control = Control()
    for name in ("spare",):
        control.ask("create", name=name)
    control.ask("snapshot", name="ds@empty")
    before = tree(SCRATCH)
    top = sorted(os.listdir(MOUNT))
    doors_of_control(control)
    door_of_properties(control)
    nr_files = door_of_files()
    door_of_argv(NAMES[::6])
    door_of_host_paths([b" a,b", b"\xff\xfe", b"$(touch PWNED)", b"%s%n",
                        b"a\nb\x1b[31m", b"\\040"])
    if sorted(os.listdir(MOUNT)) != top:
        sys.exit(f"datasets left: {sorted(os.listdir(MOUNT))}")
    if tree(SCRATCH) != before:
        sys.exit(f"made: {tree(SCRATCH) ^ before}")
    for d in (HERE, "/", "/tmp", os.path.expanduser("~"), MOUNT):
        if os.path.exists(os.path.join(d, "PWNED")):
            sys.exit(f"PWNED in {d}")
    if not control.ask("ping")["ok"]:
        sys.exit("the daemon is gone")
    print(f"{len(set(NAMES))} names, {nr_files} of them files")


main()
