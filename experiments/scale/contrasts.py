#!/usr/bin/env python3
"""The exploratory differences that this experiment's README names, at each size of model; needs Python alone.

    experiments/scale/contrasts.py results/scale

Paired over the five seeds, with 95 % intervals by Student's t (2.776 at 4 degrees of freedom), uncorrected: pruning while training
minus pruning at once with recovery, mean over rules; and rules of gradients minus magnitude and activations, for each arm. Gold
probability is the mean over tasks, in points; bits per byte that of held-out text.
"""
import csv
import sys
from collections import defaultdict
from statistics import mean, stdev

SEEDS, T = ["1", "2", "3", "4", "5"], 2.776
ARMS = ["pruning_aware", "one_shot_recover"]
GRADIENTS, OTHERS = ["taylor_mix", "taylor1"], ["wanda", "magnitude_l2"]


def show(name, differences, scale):
    centre = scale * mean(differences)
    half = scale * T * stdev(differences) / len(differences) ** 0.5
    above = sum(x > 0 for x in differences)
    print(f"  {name}: {centre:+.3f} ({centre - half:+.3f} to {centre + half:+.3f}), above 0 in {above} of {len(SEEDS)}")


def main(folder):
    found = defaultdict(list)
    with open(f"{folder}/tidy.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] in ("gold_probability", "bits_per_byte") and row["value"]:
                key = (row["metric"], row["arm"], row["model.hidden_size"], row["prune.saliency"], row["seed"])
                found[key].append(float(row["value"]))
    of = {key: mean(values) for key, values in found.items()}
    rules = sorted({key[3] for key in of if key[3]})
    for metric, scale in (("gold_probability", 100), ("bits_per_byte", 1)):
        for width in sorted({key[2] for key in of if key[2]}, key=int):
            print(f"{metric}, hidden_size {width}")
            score = lambda arm, names, seed: mean([of[metric, arm, width, rule, seed] for rule in names])
            show(" - ".join(ARMS), [score(ARMS[0], rules, s) - score(ARMS[1], rules, s) for s in SEEDS], scale)
            for arm in ARMS:
                gap = [score(arm, GRADIENTS, s) - score(arm, OTHERS, s) for s in SEEDS]
                show(f"{arm}, gradients - others", gap, scale)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
