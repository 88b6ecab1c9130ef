#!/usr/bin/env python3
"""The differences that the READMEs of `scale` and `scale-larger` name, at each size of model; needs Python alone.

    experiments/scale/contrasts.py results/scale

Paired over seeds (five and eight), with 95 % intervals by Student's t, uncorrected: pruning while training
minus pruning at once with recovery, mean over rules; and rules of gradients minus magnitude and activations, for each arm. Gold
probability is the mean over tasks, in points; bits per byte that of held-out text.
"""
import csv
import sys
from collections import defaultdict
from statistics import mean, stdev

T = {5: 2.776, 8: 2.365}  # Student's t at 97.5 %, by number of seeds
ARMS = ["pruning_aware", "one_shot_recover"]
GRADIENTS, OTHERS = ["taylor_mix", "taylor1"], ["wanda", "magnitude_l2"]


def show(name, differences, scale):
    centre = scale * mean(differences)
    half = scale * T[len(differences)] * stdev(differences) / len(differences) ** 0.5
    above = sum(x > 0 for x in differences)
    print(f"  {name}: {centre:+.3f} ({centre - half:+.3f} to {centre + half:+.3f}), above 0 in {above} of {len(differences)}")


def main(folder):
    found = defaultdict(list)
    with open(f"{folder}/tidy.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["metric"] in ("gold_probability", "bits_per_byte") and row["value"]:
                key = (row["metric"], row["arm"], row["model.hidden_size"], row["prune.saliency"], row["seed"])
                found[key].append(float(row["value"]))
    of = {key: mean(values) for key, values in found.items()}
    rules = sorted({key[3] for key in of if key[3]})
    seeds = sorted({key[4] for key in of if key[3]}, key=int)
    if len(seeds) not in T:
        sys.exit(f"{folder}: {len(seeds)} seeds; intervals are known for {', '.join(map(str, T))}")
    for metric, scale in (("gold_probability", 100), ("bits_per_byte", 1)):
        for width in sorted({key[2] for key in of if key[2]}, key=int):
            print(f"{metric}, hidden_size {width}")
            score = lambda arm, names, seed: mean([of[metric, arm, width, rule, seed] for rule in names])
            show(" - ".join(ARMS), [score(ARMS[0], rules, s) - score(ARMS[1], rules, s) for s in seeds], scale)
            for arm in ARMS:
                gap = [score(arm, GRADIENTS, s) - score(arm, OTHERS, s) for s in seeds]
                show(f"{arm}, gradients - others", gap, scale)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
