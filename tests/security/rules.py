#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
rules.py - what Linux lets whom do with files, as a transcript

usage: rules.py DIR permissions|setid|names

Runs the same calls in DIR that it runs in any other, as several users, and
prints what each gave.  test_rules.sh compares the transcript of a mounted
pool with that of the host's file system: the host's is right.
"""
import errno
import fcntl
import mmap
import os
import struct
import sys

OWNER, GROUP = 1001, 1001
# name: uid, gid, further groups
USERS = {
    "owner": (OWNER, 1009, []),
    "group": (1002, GROUP, []),
    "member": (1003, 1003, [GROUP]),
    "other": (1004, 1004, []),
    "root": (0, 0, []),
}
CAPS = "security.capability"
# VFS_CAP_REVISION_2, cap_net_raw permitted
CAP_VALUE = struct.pack("<IIIII", 0x02000000, 1 << 13, 0, 0, 0)


def call(fn, *args, **kwargs):
    """'ok' or the error's name"""
    try:
        r = fn(*args, **kwargs)
        if isinstance(r, int) and not isinstance(r, bool) and fn is os.open:
            os.close(r)
        return "ok" if r is not False else "no"
    except OSError as e:
        return errno.errorcode[e.errno]


def as_user(name, fn):
    """fn() in a child; its lines come out of a pipe"""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(r)
        out = os.fdopen(w, "w")
        try:
            uid, gid, groups = USERS[name]
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            os.umask(0)
            for line in fn():
                out.write(f"{name} {line}\n")
            out.flush()
        except BaseException as e:  # pylint: disable=broad-except
            out.write(f"{name} died {e!r}\n")
            out.flush()
            os._exit(1)
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        sys.stdout.write(f.read())
    os.waitpid(pid, 0)


def put(path, mode, uid=OWNER, gid=GROUP, data=b"x" * 5000):
    with open(path, "wb") as f:
        f.write(data)
    os.chown(path, uid, gid)
    os.chmod(path, mode)


def make_dir(path, mode):
    os.mkdir(path)
    os.chown(path, OWNER, GROUP)
    os.chmod(path, mode)


# -- permissions --------------------------------------------------------------

# every class of bits by itself, and what is common
MODES = sorted({a << 6 | b << 3 | c for a in (0, 4, 6, 7) for b in (0, 1, 4, 7)
                for c in (0, 2, 5, 7)} | {0o644, 0o600, 0o755, 0o111, 0o222})


def on_files(modes):
    for m in modes:
        f = f"f{m:o}"
        yield f"{f} r {call(os.open, f, os.O_RDONLY)}"
        yield f"{f} w {call(os.open, f, os.O_WRONLY)}"
        yield f"{f} x {call(os.access, f, os.X_OK, effective_ids=True)}"
        yield f"{f} truncate {call(os.truncate, f, 5000)}"
        yield f"{f} utime-now {call(os.utime, f)}"
        yield f"{f} utime {call(os.utime, f, (1, 1))}"
        yield f"{f} chmod {call(os.chmod, f, m)}"
        yield f"{f} chown {call(os.chown, f, OWNER, -1)}"
        yield f"{f} give {call(os.chown, f, 1004, -1)}"
        yield f"{f} setx {call(os.setxattr, f, 'user.a', b'1')}"
        yield f"{f} getx {call(os.getxattr, f, 'user.a')}"
        yield f"{f} link {call(os.link, f, 'links/' + f + str(os.getuid()))}"


def on_dirs(modes):
    for m in modes:
        d = f"d{m:o}"
        yield f"{d} list {call(os.listdir, d)}"
        yield f"{d} stat {call(os.stat, d + '/in')}"
        yield f"{d} create {call(os.open, d + '/new', os.O_CREAT | os.O_WRONLY)}"
        yield f"{d} unlink {call(os.unlink, d + '/new')}"
        yield f"{d} mkdir {call(os.mkdir, d + '/sub')}"
        yield f"{d} rename {call(os.rename, d + '/sub', d + '/sub2')}"
        yield f"{d} rmdir {call(os.rmdir, d + '/sub2')}"
        yield f"{d} symlink {call(os.symlink, 'in', d + '/l')}"
        yield f"{d} gone {call(os.unlink, d + '/l')}"
        yield f"{d} of-other {call(os.rename, d + '/in', d + '/in')}"
        yield f"{d} steal {call(os.unlink, d + '/root' + str(os.getuid()))}"


def permissions():
    os.mkdir("links")
    os.chmod("links", 0o777)
    dirs = MODES + [0o1777, 0o1770, 0o3775, 0o2777]
    for m in MODES:
        put(f"f{m:o}", m)
    for m in dirs:
        make_dir(f"d{m:o}", m)
        put(f"d{m:o}/in", 0o644)
        for uid in (0, 1001, 1002, 1003, 1004):
            put(f"d{m:o}/root{uid}", 0o644, 0, 0, b"")
    for user in ("other", "member", "group", "owner"):
        as_user(user, lambda: on_files(MODES))
        as_user(user, lambda: on_dirs(dirs))
    for m in MODES:  # what they left
        st = os.stat(f"f{m:o}")
        print(f"left f{m:o} {st.st_mode:o} {st.st_uid} {st.st_gid}")


# -- setuid, setgid, capabilities ---------------------------------------------

def op_write(p):
    fd = os.open(p, os.O_WRONLY)
    os.pwrite(fd, b"y", 0)
    os.close(fd)


def op_append(p):
    fd = os.open(p, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"y")
    os.close(fd)


def op_direct(p):
    fd = os.open(p, os.O_WRONLY | os.O_DIRECT)
    with mmap.mmap(-1, 4096) as page:
        os.pwritev(fd, [page], 0)
    os.close(fd)


def op_second_write(p):
    """a write that comes after one that found nothing to clear"""
    fd = os.open(p, os.O_RDWR)
    mode = os.fstat(fd).st_mode & 0o7777
    os.pwrite(fd, b"y", 0)
    if os.geteuid() in (0, os.fstat(fd).st_uid):
        os.fchmod(fd, mode)
    os.pwrite(fd, b"z", 0)
    os.close(fd)


def op_open_trunc(p):
    os.close(os.open(p, os.O_WRONLY | os.O_TRUNC))


def op_fallocate(p):
    fd = os.open(p, os.O_WRONLY)
    os.posix_fallocate(fd, 0, 9000)
    os.close(fd)


def op_copy_range(p):
    src = os.open("source", os.O_RDONLY)
    dst = os.open(p, os.O_WRONLY)
    os.copy_file_range(src, dst, 5000, 0, 0)
    os.close(src)
    os.close(dst)


def op_mmap(p):
    fd = os.open(p, os.O_RDWR)
    with mmap.mmap(fd, 0) as m:
        m[0] = 65
        m.flush()
    os.close(fd)


SETID_OPS = {
    "write": op_write,
    "append": op_append,
    "direct": op_direct,
    "second-write": op_second_write,
    "truncate": lambda p: os.truncate(p, 10),
    "grow": lambda p: os.truncate(p, 100000),
    "open-trunc": op_open_trunc,
    "fallocate": op_fallocate,
    "copy-range": op_copy_range,
    "chown-same": lambda p: os.chown(p, OWNER, -1),
    "chown-group": lambda p: os.chown(p, -1, USERS["owner"][1]),
    # not chown(p, -1, -1): of that the kernel's FUSE tells the daemon nothing
    "chmod-keep": lambda p: os.chmod(p, os.stat(p).st_mode & 0o7777),
    "utime": os.utime,
    "setxattr": lambda p: os.setxattr(p, "user.a", b"1"),
    "read": lambda p: open(p, "rb").close(),
}
# The last two: setgid without execution for the group, which lets nobody
# become anything.  Linux clears it where the writer is not in the group, which
# the kernel does not tell a FUSE daemon.
SETID_MODES = [0o4777, 0o2777, 0o6777, 0o4666, 0o777, 0o2767, 0o6666]


def setid_cases(user):
    for name in SETID_OPS:
        for mode in SETID_MODES:
            if mode in SETID_MODES[-2:] and user in ("other", "owner"):
                continue
            for cap in (False, True):
                yield name, mode, cap, f"{user}-{name}-{mode:o}-{int(cap)}"


def state(p):
    st = os.stat(p)
    try:
        os.getxattr(p, CAPS)
        cap = "cap"
    except OSError:
        cap = "-"
    return f"{st.st_mode & 0o7777:o} {st.st_uid}:{st.st_gid} {cap}"


def setid():
    put("source", 0o644, data=b"s" * 5000)
    os.chmod(".", 0o777)
    for user in ("other", "group", "owner", "root"):
        for _, mode, cap, p in setid_cases(user):
            put(p, mode)
            # pages in the cache, as of a program that has run
            with open(p, "rb") as f:
                f.read()
            if cap:
                os.setxattr(p, CAPS, CAP_VALUE)

        def run(who=user):
            for name, _, _, p in setid_cases(who):
                yield f"{p} {call(SETID_OPS[name], p)} {state(p)}"

        as_user(user, run)
    # what others than root may set
    def setgid_on():
        yield f"setgid-file {call(os.chmod, 'mine', 0o2755)} {state('mine')}"
        yield f"setgid-dir {call(os.chmod, 'minedir', 0o2775)}"
        yield f"setuid {call(os.chmod, 'mine', 0o4755)} {state('mine')}"
    put("mine", 0o755, OWNER, 4242)
    os.mkdir("minedir")
    os.chown("minedir", OWNER, 4242)
    as_user("owner", setgid_on)
    print("minedir", state("minedir"))
    # a setgid directory gives its group to what is made in it
    os.mkdir("sg")
    os.chown("sg", 0, GROUP)
    os.chmod("sg", 0o2777)
    as_user("other", lambda: [
        call(os.open, "sg/f", os.O_CREAT | os.O_WRONLY, 0o2775),
        call(os.mkdir, "sg/d", 0o755), state("sg/f"), state("sg/d")])


# -- names of attributes, special files ---------------------------------------

XATTRS = ["user.a", "trusted.a", "security.a", "security.capability", "user.",
          "trusted.", "security.", "nonsense.a", "a", "user", "User.a",
          "user." + "x" * 250, "user." + "x" * 251, "system.nonsense"]


def names():
    os.chmod(".", 0o777)
    put("f", 0o666)
    os.mkdir("dir")
    os.chmod("dir", 0o777)
    os.symlink("f", "link")
    os.chown("link", OWNER, GROUP, follow_symlinks=False)
    os.setxattr("f", "trusted.secret", b"1")
    os.setxattr("f", "security.seen", b"1")

    def tries():
        for x in XATTRS:
            v = CAP_VALUE if x == CAPS else b"value"
            yield f"set {x[:20]}({len(x)}) {call(os.setxattr, 'f', x, v)}"
            yield f"get {x[:20]}({len(x)}) {call(os.getxattr, 'f', x)}"
            yield f"dir {x[:20]}({len(x)}) {call(os.setxattr, 'dir', x, v)}"
            yield f"link {x[:20]} " + call(os.setxattr, "link", x, v, 0,
                                           follow_symlinks=False)
            yield "list " + " ".join(sorted(os.listxattr("f")))
            yield f"del {x[:20]}({len(x)}) {call(os.removexattr, 'f', x)}"
        yield f"trusted {call(os.getxattr, 'f', 'trusted.secret')}"
        yield f"trusted del {call(os.removexattr, 'f', 'trusted.secret')}"
        yield f"security {call(os.getxattr, 'f', 'security.seen')}"
        yield f"security set {call(os.setxattr, 'f', 'security.seen', b'2')}"
        yield f"security del {call(os.removexattr, 'f', 'security.seen')}"
        for kind, mode in (("chr", 0o020666), ("blk", 0o060666),
                           ("fifo", 0o010666), ("sock", 0o140666)):
            p = f"{kind}{os.getuid()}"
            yield f"mknod {kind} {call(os.mknod, p, mode, os.makedev(1, 3))}"

    for user in ("other", "owner", "root"):
        as_user(user, tries)


if __name__ == "__main__":
    os.umask(0)
    os.chdir(sys.argv[1])
    {"permissions": permissions, "setid": setid, "names": names}[sys.argv[2]]()
