#!/usr/bin/env python3
"""Golden numbers of src/report/grid/tests.rs and src/report/questions_tests.rs: contrasts of a 3 x 2 grid with four seeds, by
scipy and statsmodels.

Needs scipy and statsmodels; prints differences with 95 % intervals, p-values and their Holm correction, slopes, smallest
detectable differences, seeds needed, and tests of equivalence.
"""
import itertools

import numpy as np
from scipy import stats
from statsmodels.stats import power, weightstats
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

# Smallest detectable difference of levels 0 and 1 at 80 % power and level 0.05/3, seeds needed for the observed one, and
# equivalence within margins: of the same per-seed differences.
d = levels[0] - levels[1]
sd = np.std(d, ddof=1)
effect = power.tt_solve_power(nobs=len(d), alpha=0.05 / 3, power=0.8, alternative="two-sided")
print("detectable (levels 0 - 1, level 0.05/3):", effect * sd)
tetrad = tetrads[1]
sd = np.std(tetrad, ddof=1)
effect = power.tt_solve_power(nobs=len(tetrad), alpha=0.05, power=0.8, alternative="two-sided")
print("detectable (tetrad 2, level 0.05):", effect * sd)
needed = power.tt_solve_power(effect_size=np.mean(tetrad) / sd, alpha=0.05, power=0.8, alternative="two-sided")
print("seeds needed for the observed tetrad 2:", needed)
for margin in (0.1, 0.3):
    zero = np.zeros(len(d))
    print(f"equivalence of levels 1 and 2 within {margin}:", weightstats.ttost_paired(levels[1] - levels[2], zero, -margin, margin)[0])
# Slope per doubling of a numeric axis with values 1, 2, 8, averaged over the other axis.
x = np.log2([1.0, 2.0, 8.0])
slopes = np.array([stats.linregress(x, [levels[a][s] for a in range(3)]).slope for s in range(len(SEEDS))])
report("slope:", slopes)

# Randomised blocks: residual mean square of value x seed, and Tukey's studentized range for all pairs.
y = np.array(levels)
k, n = y.shape
residual = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0, keepdims=True) + y.mean()
df = (k - 1) * (n - 1)
ms = (residual**2).sum() / df
error = np.sqrt(ms / n)
print("residual mean square, df:", ms, df)
print("half width of all pairs:", stats.studentized_range.ppf(0.95, k, df) * error)
for i, j in itertools.combinations(range(3), 2):
    print(f"Tukey p of levels {i} - {j}:", stats.studentized_range.sf(abs(y[i].mean() - y[j].mean()) / error, k, df))
for q, k, df in [(3.5, 3, 6), (4.0, 14, 52), (2.0, 4, 2), (9.0, 5, 3), (3.3, 3, 2000)]:
    print(f"studentized range: P(Q <= {q}), k {k}, df {df}:", stats.studentized_range.cdf(q, k, df))
print("studentized range, 95 % quantile, k 14, df 52:", stats.studentized_range.ppf(0.95, 14, 52))
