#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make files, or make copies of one differ from it.

usage: diverge.py make SIZE FILE
       diverge.py pages NR FILE...
       diverge.py percent NR FILE...
       diverge.py stretch NR FILE...

make:    FILE of SIZE bytes that do not compress.
pages:   write NR pages of 16 KiB at random places of each FILE.
percent: write NR % of the pages of each FILE, chosen uniformly at random, each
         once; prints how many in all.
stretch: the same, but pages that follow each other.
"""
import os
import random
import sys

PAGE = 16384


def chosen(what, number, rnd, pages):
    """The pages to write, in order."""
    nr = max(1, pages * number // 100)
    if what == "percent":
        return rnd.sample(range(pages), nr)
    if what == "stretch":
        first = rnd.randrange(pages - nr + 1)
        return range(first, first + nr)
    return [rnd.randrange(pages) for _ in range(number)]


def main():
    what, number, files = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    if what == "make":
        with open(files[0], "wb", buffering=0) as f:
            left = number
            while left:
                left -= f.write(os.urandom(min(left, 1 << 20)))
            os.fsync(f.fileno())
        return
    total = 0
    for path in files:
        rnd = random.Random(path)
        fd = os.open(path, os.O_WRONLY)
        pages = os.fstat(fd).st_size // PAGE
        for page in chosen(what, number, rnd, pages):
            os.pwrite(fd, rnd.randbytes(PAGE), page * PAGE)
            total += 1
        os.close(fd)
    if what != "pages":
        print(total)


main()
