#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fill the intent log: recover.py maps|bytes FILE...

maps:  16 KiB at random places of random FILEs, an fdatasync after every 32nd.
bytes: 2 KiB at random places of random FILEs, an fdatasync after every 8th.

For ever, until the mount dies or a signal comes.
"""
import mmap
import os
import random
import sys

PAGE = 16384


def main():
    what, files = sys.argv[1], sys.argv[2:]
    rnd = random.Random(what)
    size, often = (PAGE, 32) if what == "maps" else (2048, 8)
    flags = os.O_WRONLY | (os.O_DIRECT if what == "maps" else 0)
    fds = [os.open(path, flags) for path in files]
    places = [os.fstat(fd).st_size // size for fd in fds]
    buf = mmap.mmap(-1, size)
    nr = 0
    while True:
        i = rnd.randrange(len(fds))
        buf[:] = rnd.randbytes(size)
        os.pwrite(fds[i], buf, rnd.randrange(places[i]) * size)
        nr += 1
        if nr % often == 0:
            os.fdatasync(fds[i])


try:
    main()
except OSError as error:
    sys.exit(f"recover.py: {error}")
