#!/usr/bin/env python3
"""Golden numbers of src/report/grid/tests.rs: contrasts of a 3 x 2 grid with four seeds, by scipy and statsmodels.

Needs scipy and statsmodels; prints differences with 95 % intervals, p-values, and their Holm correction.
"""
import itertools

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

A = [0.30, 0.10, 0.00]
B = [0.00, 0.05]
SEEDS = [1, 2, 3, 4]


def value(a, b, seed):
    """Effects of both axes, of the seed, one interaction, and a fixed wobble."""
    wobble = 0.02 * ((7 * a + 5 * b + 3 * seed) % 4)
    return 1 + A[a] + B[b] + 0.1 * seed + wobble + (0.08 if (a, b) == (2, 1) else 0)


def report(name, differences, level=0.95):
    test = stats.ttest_1samp(differences, 0)
    interval = test.confidence_interval(level)
    print(name, np.mean(differences), interval.low, interval.high, test.pvalue)
    return test.pvalue


levels = [np.array([np.mean([value(a, b, s) for b in range(2)]) for s in SEEDS]) for a in range(3)]
p = [report(f"levels {i} - {j}:", levels[i] - levels[j], 1 - 0.05 / 3) for i, j in itertools.combinations(range(3), 2)]
print("Holm:", multipletests(p, method="holm")[1])
tetrads = [
    np.array([value(a, 1, s) - value(a, 0, s) - value(0, 1, s) + value(0, 0, s) for s in SEEDS]) for a in (1, 2)
]
p = [report(f"tetrad {a}:", d) for a, d in zip((1, 2), tetrads)]
print("Holm:", multipletests(p, method="holm")[1])
