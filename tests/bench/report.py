#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What run.sh measured, as text, as a table in a document, and as a plot.

usage: report.py text RECORDS
       report.py markdown RECORDS NAME TITLE PLOT DOCUMENT
       report.py plot RECORDS FILE

RECORDS has tab-separated lines: 'value GROUP WHAT SYSTEM UNIT VALUE', of which
several of the same are rounds, and 'goal GROUP WHAT VALUE >=|<= GOAL'.  The
plot, an SVG that gnuplot draws, shows what was measured on ext4 and on dbs.

The table replaces what DOCUMENT has between two lines that are comments,
'<!-- NAME: begin -->' and '<!-- NAME: end -->', and goes to its end where there
are none.
"""
import statistics
import subprocess
import sys

EQUAL, DIRECT = "ext4, no doublewrite", "dbs, O_DIRECT"
SYSTEMS = ["ext4", EQUAL, "dbs", DIRECT, "btrfs", "xfs"]
FASTER_IS_LESS = ("s", "us", "ms")
TITLES = {  # in this order
    "oltp": "MariaDB", "fio": "fio", "fsync": "Durable writes, aged pool",
    "trees": "Small files", "instant": "Snapshot, clone, restore, destroy",
    "p99": "What others notice", "space": "Space", "daemon": "The daemon",
}


class Row:
    """One thing measured: unit, and the median of each system."""

    def __init__(self, unit):
        self.unit = unit
        self.rounds = {}
        self.medians = {}

    def ratio(self, other="ext4", ours="dbs"):
        """Ours to another; more than 1 is better where more is better."""
        a, b = self.medians.get(ours), self.medians.get(other)
        return a / b if a is not None and b else None


def read(path):
    rows, goals = {}, []
    with open(path) as f:
        for line in f:
            kind, group, what, *rest = line.rstrip("\n").split("\t")
            if kind == "goal":
                goals.append((group, what, *rest))
                continue
            system, unit, value = rest
            row = rows.setdefault((group, what), Row(unit))
            row.rounds.setdefault(system, []).append(float(value))
    for row in rows.values():
        row.medians = {s: statistics.median(v) for s, v in row.rounds.items()}
    return rows, goals


def number(value):
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def reached(goal):
    value, op, limit = float(goal[2]), goal[3], float(goal[4])
    return value >= limit if op == ">=" else value <= limit


def cells(row, systems):
    ratios = [row.ratio()] if "ext4" in systems else []
    if EQUAL in systems:
        ratios.append(row.ratio(EQUAL, DIRECT))
    return ([number(row.medians.get(s)) for s in systems] +
            ["" if r is None else f"{r:.2f}" for r in ratios])


def groups(rows, goals):
    """(group, systems, rows, goals) of each group that was measured."""
    for group in TITLES:
        if group not in {k[0] for k in rows} | {g[0] for g in goals}:
            continue
        mine = {k[1]: r for k, r in rows.items() if k[0] == group}
        systems = [s for s in SYSTEMS
                   if any(s in r.medians for r in mine.values())]
        yield group, systems, mine, [g for g in goals if g[0] == group]


def heads(systems):
    more = ["dbs / ext4"] if "ext4" in systems else []
    if EQUAL in systems:
        more.append("equal settings")
    return systems + more


def text(rows, goals):
    for group, systems, mine, their_goals in groups(rows, goals):
        print(f"\n{TITLES.get(group, group)}")
        if mine:
            width = max(len(w) + len(r.unit) + 2 for w, r in mine.items())
            head = heads(systems)
            print(" " * width, *(f"{h[:20]:>20}" for h in head))
            for what, row in mine.items():
                print(f"{what + ', ' + row.unit:{width}}",
                      *(f"{c:>20}" for c in cells(row, systems)))
        for goal in their_goals:
            print(f"  {goal[1]}: {goal[2]} (goal {goal[3]} {goal[4]}:"
                  f" {'reached' if reached(goal) else 'MISSED'})")
    met = sum(map(reached, goals))
    print(f"\n{met} of {len(goals)} goals reached")


def markdown(rows, goals, title, plot):
    out = [title, "", f"![dbs against ext4]({plot})", ""]
    for group, systems, mine, their_goals in groups(rows, goals):
        out += [f"### {TITLES.get(group, group)}", ""]
        if mine:
            head = heads(systems)
            out += ["| | unit | " + " | ".join(head) + " |",
                    "| --- | --- |" + " ---: |" * len(head)]
            out += [f"| {what} | {row.unit} | " +
                    " | ".join(cells(row, systems)) + " |"
                    for what, row in mine.items()]
            out.append("")
        if their_goals:
            out += ["| ratio or value | | goal | |", "| --- | ---: | --- | --- |"]
            out += [f"| {g[1]} | {g[2]} | {g[3].replace('>=', '≥').replace('<=', '≤')}"
                    f" {g[4]} | {'reached' if reached(g) else '**missed**'} |"
                    for g in their_goals]
            out.append("")
    return "\n".join(out)


def replace(document, name, what):
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    with open(document) as f:
        whole = f.read()
    if begin not in whole:
        whole = (whole.rstrip("\n") +
                 f"\n\n## All of it: `tests/bench/{name}`\n\n{begin}\n{end}\n")
    before, rest = whole.split(begin, 1)
    _, after = rest.split(end, 1)
    with open(document, "w") as f:
        f.write(f"{before}{begin}\n{what}{end}{after}")


def draw(rows, path):
    """Bars: how much faster or slower dbs is than ext4, 1 is equal."""
    lines = []
    for (group, what), row in rows.items():
        ratio = row.ratio()
        if ratio is None or group not in ("oltp", "fio", "trees", "fsync"):
            continue
        if row.unit in FASTER_IS_LESS:
            ratio = 1 / ratio if ratio else 0
        name = what.replace('"', "'").replace("_", " ")
        lines.append(f'"{name}" {min(ratio, 2.0):.3f} {ratio:.2f}')
    if not lines:
        return
    lines.reverse()
    data = "\n".join(lines)
    script = f"""
set terminal svg size 900,{120 + 18 * len(lines)} font 'sans,11' background 'white'
set output '{path}'
set title 'dbs, speed relative to ext4 (more is better; cut at 2)'
set xrange [0:2.2]
set yrange [-1:{len(lines)}]
set grid xtics
unset key
set lmargin 54
set style fill solid
set arrow from 1,-1 to 1,{len(lines)} nohead lw 2 front
$data << EOD
{data}
EOD
plot $data using (0):0:(0):2:($0-0.35):($0+0.35):ytic(1) with boxxyerror lc rgb '#4477aa', \\
     '' using ($2+0.02):0:3 with labels left
"""
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def main():
    what, records, *rest = sys.argv[1:]
    rows, goals = read(records)
    if what == "text":
        text(rows, goals)
    elif what == "plot":
        draw(rows, rest[0])
    else:
        name, title, plot, document = rest
        replace(document, name, markdown(rows, goals, title, plot) + "\n")


main()
