#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
coverage.py - which lines of store/ the tests ran, as a page of docs/

    coverage.py GCOVR.json COMMIT [--missed] > docs/coverage.md

Reads gcovr's JSON report.  A line that is compiled more than once, the
simulator compiles the store again, was run if any copy of it was.  --missed
prints 'file:line: text' of the lines that were not, from the folder that
gcovr's names begin in.
"""
import json
import sys

HEAD = """# Line coverage of `store/`

Written by `sudo tests/run.sh --coverage`, from commit {commit}: a build with `-Db_coverage=true -Doptimization=0`, the tests of CI
in it (all suites but `lint` and `security`), then gcovr. Processes that a test kills (`kill -9`) leave no counts. The second compilation of some
files with mistakes on purpose (`tests/crash/mutate.c`) does not count, so their few lines are here as not run. Nothing is excluded.

| file | lines | run | % |
| --- | ---: | ---: | ---: |"""


def counts_of(report):
    """file name -> {line number: how often it was run}"""
    files = {}
    for entry in report["files"]:
        lines = files.setdefault(entry["file"], {})
        for line in entry["lines"]:
            if line.get("gcovr/noncode"):
                continue
            nr = line["line_number"]
            lines[nr] = max(lines.get(nr, 0), line["count"])
    return files


def row(name, lines, run):
    percent = 100 * run / lines if lines else 100
    return f"| {name} | {lines:,} | {run:,} | {percent:.1f} |"


def print_page(files, commit):
    total = total_run = 0
    print(HEAD.format(commit=commit))
    for name, lines in sorted(files.items()):
        run = sum(1 for count in lines.values() if count > 0)
        total += len(lines)
        total_run += run
        print(row(f"`{name}`", len(lines), run))
    print(row("**all**", total, total_run))
    print(f"figure: {total_run:,} of {total:,} lines of store/ run, "
          f"{100 * total_run / total:.1f} %", file=sys.stderr)


def print_missed(files):
    for name, lines in sorted(files.items()):
        with open(name, encoding="utf-8") as source:
            text = source.read().splitlines()
        for nr, count in sorted(lines.items()):
            if count <= 0:
                print(f"{name}:{nr}: {text[nr - 1].strip()}")


def main():
    args = [a for a in sys.argv[1:] if a != "--missed"]
    if len(args) != 2:
        sys.exit(__doc__)
    with open(args[0], encoding="utf-8") as report:
        files = counts_of(json.load(report))
    if not files:
        sys.exit("coverage.py: the report names no file")
    if "--missed" in sys.argv:
        print_missed(files)
    else:
        print_page(files, args[1])


main()
