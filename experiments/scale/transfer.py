#!/usr/bin/env python3
"""How well the order of an axis's values carries over between the values of another: Kendall's tau; needs Python alone.

    experiments/scale/transfer.py results/scale prune.saliency model.hidden_size [value left out ...]

For each arm and each pair of values of the second axis: tau-b between the means over seeds of the first axis's values, with the
percentiles 2.5 and 97.5 of 10,000 bootstrap draws of seeds (all values of a seed share its source, so seeds are drawn whole), and
the range over values at each value of the second axis. A score of a run is its mean over tasks; bits per byte is that of held-out
text. A fixed seed: two calls print the same.
"""
import collections
import csv
import itertools
import math
import random
import sys

DRAWS = 10_000
SCORES = ["gold_probability", "bits_per_byte"]


def mean(x):
    return sum(x) / len(x)


def tau(x, y):
    """Kendall's tau-b."""
    concordant = tied_x = tied_y = 0
    pairs = list(itertools.combinations(range(len(x)), 2))
    for i, j in pairs:
        a, b = x[i] - x[j], y[i] - y[j]
        concordant += (a * b > 0) - (a * b < 0)
        tied_x += a == 0
        tied_y += b == 0
    scale = math.sqrt((len(pairs) - tied_x) * (len(pairs) - tied_y))
    return concordant / scale if scale else math.nan


def read(folder, ranked, sizes):
    """{score: {arm: {size: {value: {seed: score}}}}}"""
    runs = collections.defaultdict(list)
    where = {}
    with open(f"{folder}/tidy.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] in SCORES and row["value"]:
                runs[row["metric"], row["run"]].append(float(row["value"]))
                where[row["run"]] = (row["arm"], row[sizes], row[ranked], row["seed"])
    table = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(dict)))
    for (score, run), values in runs.items():
        arm, size, value, seed = where[run]
        if size and value:
            if seed in table[score][arm, size][value]:
                sys.exit(f"{folder}: several runs of {arm} at {size}, {value}, seed {seed}: another axis moves, too")
            table[score][arm, size][value][seed] = mean(values)
    return table


def main(folder, ranked, sizes, *left_out):
    draw = random.Random(1)
    for score, cells in read(folder, ranked, sizes).items():
        for arm in sorted({arm for arm, _ in cells}):
            of = sorted((size for a, size in cells if a == arm), key=lambda x: (len(x), x))
            values = sorted(set.intersection(*(set(cells[arm, size]) for size in of)) - set(left_out))
            seeds = sorted(set.intersection(*(set(cells[arm, size][v]) for size in of for v in values)))
            means = lambda size, chosen: [mean([cells[arm, size][v][s] for s in chosen]) for v in values]
            print(f"{score}, {arm}: {len(values)} values of {ranked}, {len(seeds)} seeds")
            for size in of:
                at = sorted(zip(means(size, seeds), values), reverse=score == "gold_probability")
                spread = abs(at[0][0] - at[-1][0])
                print(f"  {sizes} {size}: range {spread:.4f}; " + ", ".join(f"{v} {m:.4f}" for m, v in at))
            for one, other in itertools.combinations(of, 2):
                found = sorted(
                    t
                    for chosen in ([draw.choice(seeds) for _ in seeds] for _ in range(DRAWS))
                    if not math.isnan(t := tau(means(one, chosen), means(other, chosen)))
                )
                low, high = (found[round(p * (len(found) - 1))] for p in (0.025, 0.975))
                print(f"  tau {one} and {other}: {tau(means(one, seeds), means(other, seeds)):+.2f} ({low:+.2f} to {high:+.2f})")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
