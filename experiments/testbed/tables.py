#!/usr/bin/env python3
"""Tables of the test bed from the CSV files of any experiment on the synthetic corpus; needs Python alone.

    experiments/testbed/tables.py results/testbed
    experiments/testbed/tables.py results/testbed --thirds    also keeps accuracy by difficulty in thirds.csv

Scores of a run are means over its tasks (`evals.csv`): accuracy and gold probability in percent, choice log-loss in nats,
    gold probability = exp(l_gold) / sum over choices of exp(l),   choice log-loss = -ln of it,
with l the log-likelihood of a choice; bits per byte is that of held-out text. MDE, the smallest difference that n seeds show with
80 % power at the 5 % level, paired by seed: (t(0.975, n-1) + t(0.8, n-1)) * SD of the differences / sqrt(n).
"""
import collections
import csv
import itertools
import math
import os
import sys

SCORES = ["acc", "gold_p", "log_loss", "bits"]
HIGHER_IS_BETTER = {"acc": True, "gold_p": True, "log_loss": False, "bits": False}


def read(folder, name):
    with open(f"{folder}/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def mean(x):
    return sum(x) / len(x)


def sd(x):
    return math.sqrt(sum((v - mean(x)) ** 2 for v in x) / (len(x) - 1)) if len(x) > 1 else math.nan


def t_quantile(p, df):
    """By bisection on the integral of the density (Simpson's rule, 2000 intervals)."""
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2)) / math.sqrt(df * math.pi)
    density = lambda t: scale * (1 + t * t / df) ** (-(df + 1) / 2)

    def below(t):
        h = t / 2000
        inner = sum((4 if i % 2 else 2) * density(i * h) for i in range(1, 2000))
        return 0.5 + h / 3 * (density(0) + inner + density(t))

    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < p else (low, middle)
    return low


def ranks(x):
    order = sorted(range(len(x)), key=lambda i: x[i])
    out = [0.0] * len(x)
    start = 0
    while start < len(x):
        end = start
        while end + 1 < len(x) and x[order[end + 1]] == x[order[start]]:
            end += 1
        for i in range(start, end + 1):
            out[order[i]] = (start + end) / 2
        start = end + 1
    return out


def correlation(x, y):
    mx, my = mean(x), mean(y)
    top = sum((a - mx) * (b - my) for a, b in zip(x, y))
    return top / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))


def scores_of(folder):
    """run -> scores of the run, means over its tasks, and task -> its scores, but bits per byte."""
    tasks = collections.defaultdict(dict)
    for row in read(folder, "evals"):
        acc, share = (100 * float(row[name]) for name in ("acc", "gold_probability"))
        tasks[row["run"]][row["task"]] = [acc, share, float(row["choice_log_loss"])]
    return {run: ([mean(column) for column in zip(*of_run.values())], of_run) for run, of_run in tasks.items()}


def thirds_of(folder, keep):
    """run, task -> accuracies in percent of the easiest, the middle and the hardest third of the task's items.

    From `items.csv`; without it from `thirds.csv`, which `keep` writes and which is small enough to be committed.
    """
    thirds = {}
    if os.path.exists(f"{folder}/items.csv"):
        items = collections.defaultdict(dict)
        for row in read(folder, "items"):
            if row.get("difficulty"):
                item = row.get("place") or row["item"]
                items[row["run"], row["task"]][item] = (float(row["difficulty"]), 100 * int(row["acc"]))
        for key, known in items.items():
            known = sorted(known.values(), key=lambda item: item[0])
            parts = [[], [], []]
            for place, (_, acc) in enumerate(known):
                parts[3 * place // len(known)].append(acc)
            thirds[key] = [mean(part) for part in parts]
        if keep and thirds:
            with open(f"{folder}/thirds.csv", "w", newline="") as file:
                out = csv.writer(file, lineterminator="\n")
                out.writerow(["run", "task", "easiest", "middle", "hardest"])
                out.writerows([*key, *values] for key, values in thirds.items())
    elif os.path.exists(f"{folder}/thirds.csv"):
        for row in read(folder, "thirds"):
            thirds[row["run"], row["task"]] = [float(row[name]) for name in ("easiest", "middle", "hardest")]
    return thirds


def table(head, rows):
    print("| " + " | ".join(head) + " |")
    print("|---" + "|---:" * (len(head) - 1) + "|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def is_number(text):
    try:
        float(text)
        return True
    except ValueError:
        return False


def main(folder, keep):
    scored, thirds = scores_of(folder), thirds_of(folder, keep)
    runs = [row for row in read(folder, "runs") if row["status"] == "ok" and row["run"] in scored]
    axes = [name for name in runs[0] if "." in name]
    groups = collections.OrderedDict()
    for row in runs:
        means, tasks = scored[row["run"]]
        scores = dict(zip(SCORES, means + [float(row["bits_per_byte"])]))
        point = tuple(row[axis] for axis in axes)
        groups.setdefault((row["arm"], point), {})[row["seed"]] = (scores, tasks, row)

    print("## Means over seeds (standard deviations over seeds)\n")
    rows = []
    for (arm, point), seeds in groups.items():
        cells = [f"`{arm}`"] + list(point) + [next(iter(seeds.values()))[2]["params"], str(len(seeds))]
        for name, digits in zip(SCORES, [1, 1, 3, 4]):
            values = [scores[name] for scores, _, _ in seeds.values()]
            spread = f" ({sd(values):.{digits}f})" if len(values) > 1 else ""
            cells.append(f"{mean(values):.{digits}f}{spread}")
        rows.append(cells)
    table(["arm"] + axes + ["parameters", "seeds", "accuracy, %", "gold probability, %", "log-loss, nats", "bits per byte"], rows)

    print("## Accuracy by task, means over seeds, percent\n")
    names = list(next(iter(next(iter(groups.values())).values()))[1])
    rows = []
    for (arm, point), seeds in groups.items():
        by_task = [mean([tasks[name][0] for _, tasks, _ in seeds.values()]) for name in names]
        rows.append([f"`{arm}`"] + list(point) + [f"{value:.0f}" for value in by_task])
    table(["arm"] + axes + names, rows)

    ordered = [place for place in range(len(axes)) if all(is_number(point[place]) for _, point in groups)]
    if ordered:
        print("## Steps along each axis that go the wrong way\n")
        for axis, name in itertools.product(ordered, SCORES):
            wrong, steps = [], 0
            lines = collections.OrderedDict()
            for (arm, point), seeds in groups.items():
                rest = (arm, point[:axis] + point[axis + 1:])
                lines.setdefault(rest, []).append((float(point[axis]), mean([s[0][name] for s in seeds.values()])))
            for rest, line in lines.items():
                line.sort()
                for (a, x), (b, y) in zip(line, line[1:]):
                    steps += 1
                    if (y > x) != HIGHER_IS_BETTER[name]:
                        wrong.append(f"{rest[1]} {a:g} to {b:g}: {x:.4g} to {y:.4g}")
            print(f"- {axes[axis]}, {name}: {len(wrong)} of {steps}" + "".join(f"\n  - {w}" for w in wrong))
        print()

    print("## Correlation with bits per byte over runs\n")
    every = [seed[0] for seeds in groups.values() for seed in seeds.values()]
    for name in SCORES[:3]:
        x, y = [s[name] for s in every], [s["bits"] for s in every]
        print(f"- {name}: Pearson {correlation(x, y):.2f}, Spearman {correlation(ranks(x), ranks(y)):.2f}, {len(x)} runs")
    print()

    print("## Accuracy by difficulty, percent: the easiest, the middle and the hardest third of a task's items\n")
    if not thirds:
        print("Not known: that takes `items.csv`, which running the experiment makes, or `thirds.csv`.\n")
    else:
        rows = []
        for (arm, point), seeds in groups.items():
            of_task = {task: [thirds[row["run"], task] for _, _, row in seeds.values()] for task in names}
            cells = ["/".join(f"{mean(third):.0f}" for third in zip(*of_task[task])) for task in names]
            rows.append([f"`{arm}`"] + list(point) + cells)
        table(["arm"] + axes + names, rows)

    pairs = []
    for ((a, p), x), ((b, q), y) in itertools.combinations(groups.items(), 2):
        shared = [seed for seed in x if seed in y]
        # An axis that an arm does not depend on is empty there.
        if a != b and all(not u or not v or u == v for u, v in zip(p, q)) and len(shared) > 1:
            pairs.append((a, b, [u or v for u, v in zip(p, q)], [(x[s][0], y[s][0]) for s in shared]))
    if pairs:
        print("## Differences of arms, paired by seed: mean (SD; MDE at 3, 5 and 8 seeds)\n")
        factor = {n: (t_quantile(0.975, n - 1) + t_quantile(0.8, n - 1)) / math.sqrt(n) for n in (3, 5, 8)}
        rows = []
        for a, b, p, both in pairs:
            cells = [f"`{b}` − `{a}`"] + p + [str(len(both))]
            for name, digits in zip(SCORES, [1, 1, 3, 4]):
                differences = [y[name] - x[name] for x, y in both]
                s = sd(differences)
                mde = " / ".join(f"{factor[n] * s:.{digits}f}" for n in (3, 5, 8))
                cells.append(f"{mean(differences):+.{digits}f} ({s:.{digits}f}; {mde})")
            rows.append(cells)
        table(["difference"] + axes + ["seeds", "accuracy", "gold probability", "log-loss", "bits per byte"], rows)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--thirds"]):
        sys.exit(__doc__)
    main(sys.argv[1], len(sys.argv) == 3)
