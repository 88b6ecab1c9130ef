//! All pairs of k levels measured on the same seeds (and items), with one error for all of them.
//!
//! ```text
//! y_ls              mean of level l in seed s;   MS = Σ (y_ls − ȳ_l − ȳ_s + ȳ)² / ((k−1)(S−1))      randomised blocks
//! v_S = 2 MS/S      variance of a difference of two levels that seeds bring: the mean over pairs of their own v_S
//! half width        √( max(Q_S²·v_S, Q_I²·v_E) + Q_I²·v_I ),   Q = q_{1−α}(k, ν)/√2,  ν_S = (k−1)(S−1), ν_I of the items
//! p of a pair       the α at which the half width is the difference
//! ```
//!
//! q is the quantile of Tukey's studentized range ([`super::range`]): with probability 1 − α the intervals of all pairs hold at once. v_E and v_I are
//! those of `crossed` averaged over the pairs. One error for all pairs has (k−1)(S−1) degrees of freedom in the place of S−1, which
//! is what tells levels apart with few seeds; it takes differences of all pairs to vary alike from seed to seed.
//!
//! Sources: Tukey 1953; Hsu 1996, "Multiple comparisons", §7 (two-way without replication).
use super::power::minimum_detectable_effect_beyond;
use super::range::RangeTable;
use super::special::root;
use super::{Interval, Result, StatsError, check_open};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The error of all differences between k levels.
#[derive(Clone, Debug, PartialEq)]
pub struct AllPairs {
    levels: usize,
    seeds: usize,
    /// v_S, v_E and v_I − v_E of a difference of two levels.
    seed_variance: f64,
    error_variance: f64,
    item_variance: f64,
    /// Of the items; `None` for numbers of runs.
    item_freedom: Option<f64>,
    table: Arc<RangeTable>,
}

impl AllPairs {
    /// The error of the pairs of `levels` levels measured on `seeds` seeds; variances are means over the pairs.
    ///
    /// # Errors
    /// Fewer than two levels or seeds, variances that are all 0.
    pub fn new(
        levels: usize,
        seeds: usize,
        variances: [f64; 3],
        item_freedom: Option<f64>,
    ) -> Result<AllPairs> {
        for (what, got) in [("levels", levels), ("seeds", seeds)] {
            if got < 2 {
                return Err(StatsError::TooFew { what, needed: 2, got });
            }
        }
        let [seed_variance, error_variance, item_variance] = variances;
        for value in variances {
            check_open("variance", value, -f64::MIN_POSITIVE, f64::INFINITY)?;
        }
        if seed_variance.max(error_variance) + item_variance == 0.0 {
            return Err(StatsError::NoVariance { what: "differences of levels" });
        }
        let table = Arc::new(RangeTable::new(levels));
        Ok(AllPairs { levels, seeds, seed_variance, error_variance, item_variance, item_freedom, table })
    }

    /// (k−1)(S−1).
    pub fn freedom(&self) -> f64 {
        ((self.levels - 1) * (self.seeds - 1)) as f64
    }

    /// √ of the variance of a difference.
    pub fn standard_error(&self) -> f64 {
        (self.seed_variance.max(self.error_variance) + self.item_variance).sqrt()
    }

    /// Q for `alpha`: q/√2.
    fn quantile(&self, alpha: f64, freedom: f64) -> f64 {
        let below = |q: f64| self.table.studentized(q, freedom) - (1.0 - alpha);
        let mut high = 4.0;
        while below(high) < 0.0 && high < 1e6 {
            high *= 2.0;
        }
        root(below, if high > 4.0 { 0.5 * high } else { 0.0 }, high, 1e-9) / std::f64::consts::SQRT_2
    }

    /// Half the width of the interval of every pair; with probability 1 − `alpha` all hold at once.
    pub fn half_width(&self, alpha: f64) -> f64 {
        let of_seeds = self.quantile(alpha, self.freedom()).powi(2);
        let of_items = self.item_freedom.map_or(0.0, |df| self.quantile(alpha, df).powi(2));
        ((of_seeds * self.seed_variance).max(of_items * self.error_variance) + of_items * self.item_variance)
            .sqrt()
    }

    /// The interval of a pair.
    pub fn interval(&self, difference: f64, alpha: f64) -> Interval {
        Interval::around(difference, self.half_width(alpha))
    }

    /// p of a pair, adjusted for all pairs: the α at which the interval just touches 0; never below 1e-12.
    pub fn p(&self, difference: f64) -> f64 {
        let distance = difference.abs();
        if self.item_variance == 0.0 && self.error_variance == 0.0 {
            let q = distance * (2.0 / self.seed_variance).sqrt();
            return (1.0 - self.table.studentized(q, self.freedom())).max(1e-12);
        }
        let within = |ln_alpha: f64| distance - self.half_width(ln_alpha.exp());
        const LEAST: f64 = -27.6;
        let (mut low, mut high) = (-0.5, -1e-9);
        if within(high) <= 0.0 {
            return 1.0;
        }
        while within(low) > 0.0 {
            if low <= LEAST {
                return LEAST.exp();
            }
            (low, high) = (f64::max(2.0 * low, LEAST), low);
        }
        root(within, low, high, 1e-7).exp()
    }

    /// Degrees of freedom of the error as a whole (Satterthwaite 1946).
    fn whole_freedom(&self) -> f64 {
        let of_seeds = self.seed_variance.max(self.error_variance);
        let share = |variance: f64, freedom: f64| variance * variance / freedom;
        let of_items = self.item_freedom.map_or(0.0, |df| share(self.item_variance, df));
        (of_seeds + self.item_variance).powi(2) / (share(of_seeds, self.freedom()) + of_items)
    }

    /// Smallest true difference of two levels that is found with probability `power` where all pairs are corrected at `alpha`.
    pub fn detectable(&self, power: f64, alpha: f64) -> Result<f64> {
        check_open("significance level", alpha, 0.0, 1.0)?;
        let error = self.standard_error();
        let critical = self.half_width(alpha) / error;
        minimum_detectable_effect_beyond(critical, error, self.whole_freedom(), power)
    }

    /// As it would be with so many seeds that vary as these do.
    pub fn with_seeds(&self, seeds: usize) -> AllPairs {
        let share = self.seeds as f64 / seeds as f64;
        AllPairs {
            seeds,
            seed_variance: self.seed_variance * share,
            error_variance: self.error_variance * share,
            ..self.clone()
        }
    }

    /// Variance of the difference of one seed.
    pub fn variance_of_seed(&self) -> f64 {
        self.seed_variance.max(self.error_variance) * self.seeds as f64
    }

    /// Fewest seeds with which `effect` is found; `None` where not even `most` suffice.
    pub fn seeds_needed(&self, effect: f64, power: f64, alpha: f64, most: usize) -> Option<usize> {
        self.detectable_by_seeds(power, alpha).needed(effect, most)
    }

    /// What is found by how many seeds, for many effects.
    pub fn detectable_by_seeds(&self, power: f64, alpha: f64) -> DetectableBySeeds<'_> {
        DetectableBySeeds { pairs: self, power, alpha, known: BTreeMap::new() }
    }
}

/// [`AllPairs::detectable`] by number of seeds: each is a search over integrals, and the same for every pair.
pub struct DetectableBySeeds<'a> {
    pairs: &'a AllPairs,
    power: f64,
    alpha: f64,
    known: BTreeMap<usize, Option<f64>>,
}

impl DetectableBySeeds<'_> {
    fn at(&mut self, seeds: usize) -> Option<f64> {
        let (pairs, power, alpha) = (self.pairs, self.power, self.alpha);
        *self.known.entry(seeds).or_insert_with(|| pairs.with_seeds(seeds).detectable(power, alpha).ok())
    }

    /// As [`AllPairs::seeds_needed`].
    pub fn needed(&mut self, effect: f64, most: usize) -> Option<usize> {
        let mut enough = |seeds: usize| self.at(seeds).is_some_and(|detectable| detectable <= effect.abs());
        let (mut low, mut high) = (1, 2);
        while !enough(high) {
            if high >= most {
                return None;
            }
            (low, high) = (high, (2 * high).min(most));
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if enough(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::stream;
    use crate::stats::assert_close;
    use crate::stats::bootstrap::standard_normal;

    /// `scripts/golden-grid.py` (scipy.stats.studentized_range).
    #[test]
    fn half_widths_are_those_of_the_studentized_range() {
        let pairs = AllPairs::new(14, 5, [1.0, 0.0, 0.0], None).unwrap();
        assert_eq!(pairs.freedom(), 52.0);
        assert_close(pairs.half_width(0.05), 4.973317236376207 / 2f64.sqrt(), 1e-7);
    }

    /// Two levels: t with S − 1 degrees of freedom.
    #[test]
    fn two_levels_are_students_t() {
        let pairs = AllPairs::new(2, 5, [0.3, 0.0, 0.0], None).unwrap();
        let t = crate::stats::special::student_two_sided(1.2 / 0.3f64.sqrt(), 4.0);
        assert_close(pairs.p(1.2), t, 1e-6);
        let expected =
            crate::stats::power::minimum_detectable_effect_by_t(0.3f64.sqrt(), 4.0, 0.8, 0.05).unwrap();
        assert_close(pairs.detectable(0.8, 0.05).unwrap(), expected, 1e-6);
        assert_eq!(pairs.seeds_needed(expected * 1.0001, 0.8, 0.05, 100), Some(5));
        assert_eq!(pairs.p(0.0), 1.0);
        // What is known of one effect serves the next.
        let mut found = pairs.detectable_by_seeds(0.8, 0.05);
        for effect in [0.4, 1.3, 0.7, 1.3] {
            assert_eq!(found.needed(effect, 100), pairs.seeds_needed(effect, 0.8, 0.05, 100));
        }
    }

    #[test]
    fn faults_are_told() {
        assert!(AllPairs::new(1, 3, [1.0, 0.0, 0.0], None).is_err());
        assert!(AllPairs::new(3, 1, [1.0, 0.0, 0.0], None).is_err());
        assert!(AllPairs::new(3, 3, [0.0; 3], None).is_err());
    }

    /// 400 sets of five equal levels over four seeds: the intervals of all ten pairs hold 0 at once in 95 ± 2.5 %.
    #[test]
    fn all_pairs_hold_at_once() {
        let mut rng = stream(9, "all pairs");
        let mut hold = 0;
        for _ in 0..400 {
            let y: Vec<Vec<f64>> =
                (0..5).map(|_| (0..4).map(|_| standard_normal(&mut rng)).collect()).collect();
            let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
            let means: Vec<f64> = y.iter().map(|x| mean(x)).collect();
            let of_seed: Vec<f64> = (0..4).map(|s| y.iter().map(|x| x[s]).sum::<f64>() / 5.0).collect();
            let all = mean(&means);
            let residual = |l: usize, s: usize| (y[l][s] - means[l] - of_seed[s] + all).powi(2);
            let ms =
                (0..5).flat_map(|l| (0..4).map(move |s| (l, s))).map(|(l, s)| residual(l, s)).sum::<f64>()
                    / 12.0;
            let pairs = AllPairs::new(5, 4, [2.0 * ms / 4.0, 0.0, 0.0], None).unwrap();
            let range = means.iter().copied().fold(f64::MIN, f64::max)
                - means.iter().copied().fold(f64::MAX, f64::min);
            hold += u32::from(pairs.table.studentized(range / (ms / 4.0).sqrt(), 12.0) < 0.95);
        }
        assert!((370..=390).contains(&hold), "{hold}");
    }
}
