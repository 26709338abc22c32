#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# lossy.sh - liblossy.so loses what was not flushed, and nothing else
#
# usage: LOSSY=build/tests/e2e/liblossy.so lossy.sh
set -Eeuo pipefail

: "${LOSSY:?the library to test}"
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/dbs-lossy.XXXXXXXX")
trap 'rm -rf "$dir"' EXIT
export LOSSY_FILE=$dir/file

# claim TEXT STATEMENTS: in a process that dies without a word
#
# blocks(nr) is what the file then has: the letter of each of its first blocks,
# '.' for zeros, '+' where a block has several.
claim()
{
	truncate -s 0 "$dir/file"
	truncate -s 1M "$dir/file"
	if ! LOSSY_STAT=$dir/stat python3 - "$dir" "$LOSSY" "$2" <<'PYTHON'
import os, signal, struct, subprocess, sys

folder, library, text = sys.argv[1:]
path = folder + "/file"

BEGIN = """
import os, signal
f = os.open(%r, os.O_RDWR)
other = os.open(%r, os.O_RDWR | os.O_CREAT)
def put(letter, *blocks):
    for b in blocks:
        os.pwrite(f, letter * 4096, b * 4096)
def get(b):
    return os.pread(f, 4096, b * 4096)
def die():
    os.kill(os.getpid(), signal.SIGKILL)
""" % (path, folder + "/other")

def run(body, **env):
    done = subprocess.run([sys.executable, "-c", BEGIN + body],
                          env=dict(os.environ, LD_PRELOAD=library, **env))
    assert done.returncode == -signal.SIGKILL, done.returncode

def blocks(nr):
    with open(path, "rb") as f:
        data = f.read(nr * 4096)
    out = ""
    for i in range(nr):
        letters = set(data[i * 4096:(i + 1) * 4096])
        out += "+" if len(letters) > 1 else chr(letters.pop() or ord("."))
    return out

def sectors(b):
    with open(path, "rb") as f:
        data = f.read()[b * 4096:(b + 1) * 4096]
    cut = [set(data[i:i + 512]) for i in range(0, 4096, 512)]
    assert all(len(s) == 1 for s in cut), cut
    return [s.pop() for s in cut]

def stat():
    with open(folder + "/stat", "rb") as f:
        names = "writes", "flushes", "waiting", "survived", "torn"
        return dict(zip(names, struct.unpack("<5Q", f.read(40))))

exec(text)
PYTHON
	then
		echo "not ok: $1"
		exit 1
	fi
	echo "ok: $1"
}

claim "what was not flushed is lost" '
run("put(b\"a\", 0, 1, 2); die()")
assert blocks(4) == "....", blocks(4)
assert stat() == dict(writes=3, flushes=0, waiting=3, survived=0, torn=0)'

claim "what was flushed is there, what came later is not" '
run("put(b\"a\", 0, 1); os.fdatasync(f); put(b\"b\", 1, 2); die()")
assert blocks(4) == "aa..", blocks(4)
assert stat()["waiting"] == 2, stat()'

claim "fsync is a flush too" '
run("put(b\"a\", 3); os.fsync(f); die()")
assert blocks(4) == "...a", blocks(4)'

claim "reads see what is not flushed yet, also in parts" '
run("""
put(b"a", 0, 1, 2)
os.fdatasync(f)
put(b"b", 1)
assert get(1) == b"b" * 4096
two = [bytearray(4096), bytearray(8192)]
assert os.preadv(f, two, 0) == 12288
assert two[0] == b"a" * 4096 and two[1] == b"b" * 4096 + b"a" * 4096
os.fdatasync(f)
assert get(1) == b"b" * 4096
die()
""")
assert blocks(3) == "aba", blocks(3)'

claim "a vector is one write" '
run("os.pwritev(f, [b\"a\" * 4096, b\"b\" * 8192], 4096); os.fdatasync(f); die()")
assert blocks(5) == ".abb.", blocks(5)
assert stat()["writes"] == 1, stat()'

claim "RWF_DSYNC makes one write durable and no other" '
run("""
put(b"a", 0)
os.pwritev(f, [b"b" * 4096], 4096, os.RWF_DSYNC)
die()
""")
assert blocks(3) == ".b.", blocks(3)'

claim "a flush of another file is none" '
run("put(b\"a\", 0); os.pwrite(other, b\"x\", 0); os.fsync(other); die()")
assert blocks(1) == ".", blocks(1)
assert open(folder + "/other").read() == "x"'

claim "where flushes lie, everything is lost" '
run("put(b\"a\", 0, 1); os.fdatasync(f); die()", LOSSY_LIE="1")
assert blocks(2) == "..", blocks(2)'

claim "some writes survive, some in 512-byte parts, some not at all" '
run("put(b\"a\", *range(100)); die()", LOSSY_SURVIVE="50", LOSSY_SEED="1")
have = blocks(100)
assert have.count("a") > 10 and have.count("+") > 10 and have.count(".") > 10
torn = [sectors(b) for b in range(100) if have[b] == "+"]
assert len(set(map(tuple, torn))) > 5, torn
assert stat()["torn"] >= have.count("+"), stat()'

claim "a torn write is whole for those who read it, and after a flush" '
run("""
put(b"a", *range(100))
assert all(get(b) == b"a" * 4096 for b in range(100))
os.fdatasync(f)
die()
""", LOSSY_SURVIVE="50", LOSSY_SEED="2")
assert blocks(100) == "a" * 100, blocks(100)'

claim "what survived is not replaced by what was flushed before" '
run("""
put(b"a", *range(100))
os.fdatasync(f)
put(b"b", *range(100))
die()
""", LOSSY_SURVIVE="100", LOSSY_SEED="3")
have = blocks(100)
assert set(have) <= set("ab+") and have.count("b") > 20, have'
