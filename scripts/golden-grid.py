#!/usr/bin/env python3
"""Golden numbers of src/report/grid/tests.rs, src/report/questions_tests.rs, src/stats/range.rs and src/stats/tukey.rs: contrasts of
3 x 2 grids with known effects, by scipy and statsmodels.

Needs scipy, statsmodels and pandas; prints differences with 95 % intervals, p-values and their Holm correction, slopes, smallest
detectable differences, seeds needed, and tests of equivalence: of numbers of runs (four seeds), then of numbers of items (three
seeds, forty items, one by one and in clusters).
"""
import itertools

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import optimize, stats
from statsmodels.formula.api import ols
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

# Numbers of items: the first axis adds 0.2 and 0.26, the second adds 0.1 at the second value of the first alone; seeds and items
# add what all cells share, and a fixed noise. Means over seeds and items are samples of both, which are crossed.
GAINS = [0.0, 0.2, 0.26]
ITEM_SEEDS, ITEMS = 3, 40


def score(a, b, seed, item):
    shared = 0.01 * (item % 17) + 0.02 * seed
    noise = 0.002 * ((item * 7 + seed * 3 + a * 5 + b) % 11) + 0.004 * ((item // 4 * 5 + a * 3) % 7)
    return 0.3 + shared + noise + GAINS[a] + (0.1 if (a, b) == (1, 1) else 0)


cells = np.array(
    [[[[score(a, b, s, i) for i in range(ITEMS)] for s in range(1, ITEM_SEEDS + 1)] for b in range(2)] for a in range(3)]
)


def variances(d, size):
    """v_S, v_E and max(v_I - v_E, 0) of d[seed][item]: by the mean squares of the two-way layout, or, of items in clusters of
    `size`, by cluster-robust covariances of a mean."""
    seeds, items = d.shape
    s, i = np.meshgrid(range(seeds), range(items), indexing="ij")
    table = sm.stats.anova_lm(ols("d ~ C(s) + C(i)", pd.DataFrame({"d": d.ravel(), "s": s.ravel(), "i": i.ravel()})).fit())
    v_s, v_i, v_e = (table["mean_sq"][name] / d.size for name in ["C(s)", "C(i)", "Residual"])
    if size > 1:
        groups = np.arange(items) // size

        def of_mean(x):
            return sm.OLS(x, np.ones(items)).fit(cov_type="cluster", cov_kwds={"groups": groups}).cov_params()[0, 0]

        residual = d - d.mean(axis=1, keepdims=True) - d.mean(axis=0, keepdims=True) + d.mean()
        v_i = of_mean(d.mean(axis=0))
        v_e = sum(of_mean(row) for row in residual) / (seeds * (seeds - 1))
    return v_s, v_e, max(v_i - v_e, 0.0)


def half_width(v, quantiles):
    """Cochran's combination: seeds and items keep their own quantiles."""
    (v_s, v_e, v_i), (q_s, q_i) = v, quantiles
    return np.sqrt(max(q_s**2 * v_s, q_i**2 * v_e) + q_i**2 * v_i)


for size in (1, 4):
    item_df = ITEMS // size - 1
    print(f"items in clusters of {size}")
    t = lambda alpha: (stats.t.ppf(1 - alpha / 2, ITEM_SEEDS - 1), stats.t.ppf(1 - alpha / 2, item_df))
    p_of = lambda d, v, q: np.exp(optimize.brentq(lambda x: abs(d) - half_width(v, q(np.exp(x))), -27, -1e-9, xtol=1e-13))
    effect = (cells[:, 1] - cells[:, 0]).mean(axis=0)
    v = variances(effect, size)
    print("  second axis:", effect.mean(), "+-", half_width(v, t(0.05)), "p", p_of(effect.mean(), v, t))
    tetrad = cells[1, 1] - cells[1, 0] - cells[0, 1] + cells[0, 0]
    v = variances(tetrad, size)
    print("  tetrad (1, 1):", tetrad.mean(), "+-", half_width(v, t(0.05)), "p", p_of(tetrad.mean(), v, t))
    y = cells.mean(axis=1)
    pairs = list(itertools.combinations(range(3), 2))
    shared = np.mean([variances(y[i] - y[j], size) for i, j in pairs], axis=0)
    q = lambda alpha: tuple(stats.studentized_range.ppf(1 - alpha, 3, df) / np.sqrt(2) for df in (2 * (ITEM_SEEDS - 1), item_df))
    print("  half width of all pairs of the first axis:", half_width(shared, q(0.05)))
    for i, j in pairs:
        d = (y[i] - y[j]).mean()
        print(f"  levels {i} - {j}:", d, "p", p_of(d, shared, q) if half_width(shared, q(1e-9)) > abs(d) else "< 1e-9")
