#!/usr/bin/env python3
"""Bits per byte, and in how many calibration sets a head went, by rule and number of calibration tokens.

    python3 experiments/smollm2-calibration/heads.py [results/smollm2-calibration]
"""
import csv
import pathlib
import statistics
import sys
from collections import defaultdict

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "results/smollm2-calibration")
AXES = ("prune.saliency", "prune.calibration_tokens")


def rows(name):
    with open(folder / name, newline="") as file:
        return list(csv.DictReader(file))


heads = defaultdict(set)
for row in rows("widths.csv"):
    heads[row["run"]].add(int(row["num_kv_heads"]))
cells = defaultdict(list)
for run in rows("runs.csv"):
    if run["arm"] == "source":
        whole = max(heads[run["run"]])
    elif run["status"] == "ok":
        cells[tuple(run[axis] for axis in AXES)].append((float(run["bits_per_byte"]), min(heads[run["run"]])))
print("rule,tokens,sets,bits_per_byte,sd,sets_that_lost_heads,heads_left_at_least")
for (rule, tokens), found in sorted(cells.items(), key=lambda cell: (cell[0][0], int(cell[0][1]))):
    bits = [bits for bits, _ in found]
    left = [left for _, left in found]
    spread = statistics.stdev(bits) if len(bits) > 1 else float("nan")
    print(f"{rule},{tokens},{len(bits)},{statistics.mean(bits):.3f},{spread:.3f},{sum(n < whole for n in left)},{min(left)}")
