#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Percentiles of the statements that began within windows.

usage: p99.py LOG... <WINDOWS

LOG is what statements.lua wrote.  WINDOWS has lines 'NAME START END',
microseconds.  Prints for each NAME, over all its windows together,
'NAME NR-STATEMENTS P50 P99 P99.9 MAX', microseconds, and nothing for one
without a statement.
"""
import array
import bisect
import sys


def percentile(values, p):
    return values[min(len(values) - 1, int(len(values) * p / 100))]


def main():
    windows = [line.split() for line in sys.stdin]
    windows = sorted((int(s), int(e), name) for name, s, e in windows)
    starts = [w[0] for w in windows]
    found = {w[2]: array.array("q") for w in windows}
    for path in sys.argv[1:]:
        with open(path) as log:
            for line in log:
                at, took = map(int, line.split())
                i = bisect.bisect_right(starts, at) - 1
                if i >= 0 and at < windows[i][1]:
                    found[windows[i][2]].append(took)
    for name, values in found.items():
        if values:
            values = sorted(values)
            print(name, len(values), percentile(values, 50),
                  percentile(values, 99), percentile(values, 99.9), values[-1])


main()
