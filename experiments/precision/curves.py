#!/usr/bin/env python3
"""Loss curves of two folders of results of one experiment, with intervals over seeds; needs Python alone.

    experiments/precision/curves.py results/precision results/precision-bf16

Training losses are means over each twentieth of the tokens. Intervals: mean ± t(0.975, n − 1) SD / √n over the n seeds that
both folders have. Prints tables, and draws them from a quarter of the tokens on into `precision.svg` in the second folder.
"""
import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "testbed"))
from tables import mean, read, sd, t_quantile

PARTS = 20
# Drawn from here on: before, the curves fall by so much that no interval can be seen.
DRAWN_FROM = PARTS // 4


def curves(folder):
    """seed -> mean loss of each part."""
    by_seed = collections.defaultdict(list)
    for row in read(folder, "curves"):
        by_seed[int(row["seed"])].append((int(row["tokens_seen"]), float(row["loss"])))
    out = {}
    for seed, points in by_seed.items():
        end = max(tokens for tokens, _ in points)
        parts = collections.defaultdict(list)
        for tokens, loss in points:
            parts[min((tokens - 1) * PARTS // end, PARTS - 1)].append(loss)
        out[seed] = (end, [mean(parts[part]) for part in range(PARTS)])
    return out


def interval(values):
    half = t_quantile(0.975, len(values) - 1) * sd(values) / len(values) ** 0.5
    return mean(values), mean(values) - half, mean(values) + half


def svg(path, tokens, names, bands):
    width, height, left, top, right, bottom = 640, 360, 56, 16, 16, 44
    bands = [line[DRAWN_FROM:] for line in bands]
    low = min(band[1] for line in bands for band in line)
    high = max(band[2] for line in bands for band in line)
    share = lambda at: left + (at - DRAWN_FROM) / (PARTS - DRAWN_FROM) * (width - left - right)
    x = lambda part: share(part + DRAWN_FROM + 0.5)
    y = lambda loss: top + (high - loss) / (high - low) * (height - top - bottom)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        "<style>text{fill:#222}.f{stroke:#1f77b4;fill:#1f77b4}.b{stroke:#d62728;fill:#d62728}.g{stroke:#8884}"
        "@media(prefers-color-scheme:dark){text{fill:#ddd}}</style>",
    ]
    step = (high - low) / 5
    for tick in range(6):
        loss = low + tick * step
        out.append(f'<line class="g" x1="{left}" x2="{width - right}" y1="{y(loss):.1f}" y2="{y(loss):.1f}"/>')
        out.append(f'<text x="{left - 6}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss:.2f}</text>')
    for at in range(DRAWN_FROM, PARTS + 1, DRAWN_FROM):
        anchor = "end" if at == PARTS else "middle"
        out.append(f'<text x="{share(at):.1f}" y="{height - bottom + 18}" text-anchor="{anchor}">{at * tokens // PARTS // 1000} k</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 6}" text-anchor="middle">tokens; training loss, nats per token</text>')
    for name, line, kind, dash in zip(names, bands, "fb", ["", ' stroke-dasharray="6 4"']):
        upper = [f"{x(part):.1f},{y(band[2]):.1f}" for part, band in enumerate(line)]
        lower = [f"{x(part):.1f},{y(band[1]):.1f}" for part, band in enumerate(line)]
        out.append(f'<polygon class="{kind}" style="stroke:none" fill-opacity="0.22" points="{" ".join(upper + lower[::-1])}"/>')
        middle = " ".join(f"{x(part):.1f},{y(band[0]):.1f}" for part, band in enumerate(line))
        out.append(f'<polyline class="{kind}" style="fill:none" stroke-width="2"{dash} points="{middle}"/>')
    for place, (name, kind, dash) in enumerate(zip(names, "fb", ["", ' stroke-dasharray="6 4"'])):
        at = top + 16 + 18 * place
        out.append(f'<line class="{kind}" stroke-width="2"{dash} x1="{width - 190}" x2="{width - 160}" y1="{at - 4}" y2="{at - 4}"/>')
        out.append(f'<text x="{width - 152}" y="{at}">{name}, 95 % over seeds</text>')
    out.append("</svg>")
    with open(path, "w") as file:
        file.write("\n".join(out) + "\n")


def main(first, second):
    both = [curves(first), curves(second)]
    seeds = sorted(set(both[0]) & set(both[1]))
    if len(seeds) < 2:
        sys.exit(f"{first} and {second} share {len(seeds)} seeds, and an interval takes two")
    tokens = both[0][seeds[0]][0]
    runs = [{int(row["seed"]): row for row in read(folder, "runs") if row["status"] == "ok"} for folder in (first, second)]
    names = [next(iter(of.values()))["precision"] or folder for of, folder in zip(runs, (first, second))]
    if names[0] == names[1]:
        names = [os.path.basename(os.path.normpath(folder)) for folder in (first, second)]
    bands = [[interval([of[seed][1][part] for seed in seeds]) for part in range(PARTS)] for of in both]
    print(f"{len(seeds)} seeds, {tokens} tokens; training loss, nats per token, mean (95 % over seeds)\n")
    print(f"| up to tokens | {names[0]} | {names[1]} | {names[1]} − {names[0]}, paired | within |")
    print("|---:|---:|---:|---:|---|")
    inside = 0
    for part in range(PARTS):
        a, b = bands[0][part], bands[1][part]
        d = interval([both[1][seed][1][part] - both[0][seed][1][part] for seed in seeds])
        within = a[1] <= b[0] <= a[2] and b[1] <= a[0] <= b[2]
        inside += within
        cells = [f"{m:.4f} ({low:.4f} to {high:.4f})" for m, low, high in (a, b)]
        cells.append("{:+.4f} ({:+.4f} to {:+.4f})".format(*d))
        print(f"| {tokens * (part + 1) // PARTS} | " + " | ".join(cells) + f" | {'yes' if within else 'no'} |")
    print(f"\nEach mean lies within the other's interval at {inside} of {PARTS} points.")
    bits = [[float(of[seed]["bits_per_byte"]) for seed in seeds] for of in runs]
    cells = ["{:.4f} ({:.4f} to {:.4f})".format(*interval(values)) for values in bits]
    paired = interval([b - a for a, b in zip(*bits)])
    print(f"Held-out bits per byte: {names[0]} {cells[0]}, {names[1]} {cells[1]}, paired " + "{:+.4f} ({:+.4f} to {:+.4f}).".format(*paired))
    svg(os.path.join(second, "precision.svg"), tokens, names, bands)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
