#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write to a file for ever, as a database would.

usage: writer.py FILE COUNT-FILE

16 KiB at random places of FILE, an fdatasync after every eighth, 500 writes a
second at most.  COUNT-FILE holds the number of writes so far, replaced whole.
A file that goes stale under us (a restore) is opened anew.  Ends on SIGTERM.
"""
import errno
import os
import random
import signal
import sys
import time

PAGE = 16384
RATE = 500


def main():
    path, count_path = sys.argv[1:]
    rnd = random.Random(1)
    nr = 0
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    while not stop:
        try:
            fd = os.open(path, os.O_WRONLY)
        except OSError as error:
            if error.errno in (errno.ESTALE, errno.ENOENT):
                continue
            raise
        try:
            pages = os.fstat(fd).st_size // PAGE
            while not stop:
                start = time.monotonic()
                for _ in range(8):
                    os.pwrite(fd, rnd.randbytes(PAGE),
                              rnd.randrange(pages) * PAGE)
                os.fdatasync(fd)
                nr += 8
                with open(count_path + ".new", "w") as f:
                    f.write(str(nr))
                os.rename(count_path + ".new", count_path)
                left = 8 / RATE - (time.monotonic() - start)
                if left > 0:
                    time.sleep(left)
        except OSError as error:
            if error.errno not in (errno.ESTALE, errno.EBADF):
                raise
        finally:
            try:
                os.close(fd)
            except OSError:
                pass


main()
