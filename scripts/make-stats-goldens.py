#!/usr/bin/env python3
"""Golden values of `src/stats` from SciPy and statsmodels, printed as the tests hold them.

    python scripts/make-stats-goldens.py
"""
import numpy as np
from scipy import stats
from statsmodels.stats import power, weightstats

D = [0.02, 0.04, -0.01, 0.07, 0.03, 0.05, 0.06, 0.09]


def show(name, *values):
    print(name, *(f"{value:.15g}" for value in values))


for t, df, shift in [(2.0, 2, 1.5), (1.0, 7, -0.5), (-1.5, 3, 0.7), (4.302652729911275, 2, 3.0)]:
    show(f"noncentral t: P(T <= {t}), df {df}, shift {shift}:", stats.nct.cdf(t, df, shift))
for n, wanted, alpha in [(3, 0.8, 0.05), (5, 0.8, 0.05), (5, 0.8, 0.01), (8, 0.9, 0.05)]:
    effect = power.tt_solve_power(nobs=n, alpha=alpha, power=wanted, alternative="two-sided")
    show(f"smallest effect in standard deviations, n {n}, power {wanted}, alpha {alpha}:", effect, effect * np.sqrt(n))
for effect, wanted, alpha in [(1.0, 0.8, 0.05), (0.5, 0.8, 0.05), (2.0, 0.9, 0.01)]:
    n = power.tt_solve_power(effect_size=effect, alpha=alpha, power=wanted, alternative="two-sided")
    show(f"replicates for an effect of {effect}, power {wanted}, alpha {alpha}:", n)
for margin in [0.07, 0.1]:
    p, (_, p_low, _), (_, p_high, _) = weightstats.ttost_paired(np.array(D), np.zeros(len(D)), -margin, margin)
    show(f"equivalence within {margin}:", p, p_low, p_high)

# A 3 x 2 design, four seeds; main effects and interaction are contrasts of each seed's cells.
rng = np.random.default_rng(5)
cells = np.round(rng.normal(size=(4, 3, 2)) * 0.1 + np.array([0.0, 0.2, 0.5])[:, None] + np.array([0.0, 0.3]), 3)
print("cells[seed][factor a][factor b]:", cells.tolist())
main = cells.mean(axis=2)[:, 2] - cells.mean(axis=2)[:, 0]
result = stats.ttest_1samp(main, 0)
show("main effect of a, level 2 - level 0: mean, t, p:", main.mean(), result.statistic, result.pvalue)
contrast = (cells[:, 2, 1] - cells[:, 2, 0]) - (cells[:, 0, 1] - cells[:, 0, 0])
result = stats.ttest_1samp(contrast, 0)
show("interaction of (0, 2) and (0, 1): mean, t, p:", contrast.mean(), result.statistic, result.pvalue)
x = np.log2([1.0, 2.0, 8.0])
slopes = np.array([stats.linregress(x, seed).slope for seed in cells[:, :, 0]])
result = stats.ttest_1samp(slopes, 0)
show("slope per doubling of a at level 0 of b: mean, t, p:", slopes.mean(), result.statistic, result.pvalue)
