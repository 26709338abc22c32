#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Age a file system: age.py DIR

Writes 'big' (256 MiB), then files of 4 KiB to 16 MiB until DIR is four fifths
full, deletes every second one of these, and writes a quarter of the rest
again at random places.
"""
import os
import random
import sys

PAGE = 16384


def write(path, size):
    with open(path, "wb", buffering=0) as f:
        left = size
        while left:
            left -= f.write(os.urandom(min(left, 1 << 20)))


def full(path):
    st = os.statvfs(path)
    return 1 - st.f_bavail / st.f_blocks


def main():
    top = sys.argv[1]
    rnd = random.Random(top)
    write(f"{top}/big", 256 << 20)
    names = []
    while full(top) < 0.8:
        name = f"{top}/f{len(names)}"
        write(name, 4096 << rnd.randrange(13))
        names.append(name)
    for name in names[::2]:
        os.unlink(name)
    for name in names[1::2]:
        size = os.stat(name).st_size
        fd = os.open(name, os.O_WRONLY)
        for _ in range(size // PAGE // 4):
            os.pwrite(fd, rnd.randbytes(PAGE), rnd.randrange(size // PAGE) * PAGE)
        os.close(fd)


main()
