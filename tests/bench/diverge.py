#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make files, or make copies of one differ from it.

usage: diverge.py make SIZE FILE
       diverge.py pages NR FILE...

make:  FILE of SIZE bytes that do not compress.
pages: write NR pages of 16 KiB at random places of each FILE.
"""
import os
import random
import sys

PAGE = 16384


def main():
    what, number, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    if what == "make":
        with open(files[0], "wb", buffering=0) as f:
            left = number
            while left:
                left -= f.write(os.urandom(min(left, 1 << 20)))
            os.fsync(f.fileno())
        return
    for path in files:
        rnd = random.Random(path)
        fd = os.open(path, os.O_WRONLY)
        pages = os.fstat(fd).st_size // PAGE
        for _ in range(number):
            os.pwrite(fd, rnd.randbytes(PAGE), rnd.randrange(pages) * PAGE)
        os.close(fd)


main()
