//! All pairs of k levels measured on the same seeds (and items), with one error for all of them.
//!
//! ```text
//! y_ls              mean of level l in seed s;   MS = Σ (y_ls − ȳ_l − ȳ_s + ȳ)² / ((k−1)(S−1))      randomised blocks
//! v_S = 2 MS/S      variance of a difference of two levels that seeds bring: the mean over pairs of their own v_S
//! half width        √( max(Q_S²·v_S, Q_I²·v_E) + Q_I²·v_I ),   Q = q_{1−α}(k, ν)/√2,  ν_S = (k−1)(S−1), ν_I of the items
//! p of a pair       the α at which the half width is the difference
//! ```
//!
//! q is the quantile of Tukey's studentized range: with probability 1 − α the intervals of all pairs hold at once. v_E and v_I are
//! those of `crossed` averaged over the pairs. One error for all pairs has (k−1)(S−1) degrees of freedom in the place of S−1, which
//! is what tells levels apart with few seeds; it takes differences of all pairs to vary alike from seed to seed.
//!
//! Sources: Tukey 1953; Hsu 1996, "Multiple comparisons", §7 (two-way without replication).
use super::power::minimum_detectable_effect_beyond;
use super::special::{normal_cdf, normal_pdf, root};
use super::{Interval, Result, StatsError, check_open};
use std::sync::Arc;

/// Step of the table of the range's distribution, and of the integral over z.
const STEP: f64 = 1.0 / 32.0;
/// Ranges beyond this have probability 0 to double precision, up to a thousand levels.
const MOST: f64 = 24.0;

/// The distribution of the range of k standard normals, as a table.
///
/// ```text
/// P(R ≤ r) = k ∫ φ(z) (Φ(z) − Φ(z−r))^{k−1} dz
/// ```
#[derive(Clone, Debug, PartialEq)]
struct RangeTable {
    /// At r = 0, STEP, 2·STEP, …
    values: Vec<f64>,
}

impl RangeTable {
    fn new(k: usize) -> RangeTable {
        let of = |z: f64| normal_cdf(z);
        let cells = |from: f64, to: f64| ((to - from) / STEP) as usize;
        // Φ and φ on one grid, so that Φ(z − r) is looked up.
        let (low, high) = (-9.0 - MOST, 9.0);
        let cdf: Vec<f64> = (0..=cells(low, high)).map(|i| of(low + i as f64 * STEP)).collect();
        let first = cells(low, -9.0);
        let pdf: Vec<f64> = (first..cdf.len()).map(|i| normal_pdf(low + i as f64 * STEP)).collect();
        let value = |j: usize| {
            let terms = (first..cdf.len()).map(|i| pdf[i - first] * (cdf[i] - cdf[i - j]).powi(k as i32 - 1));
            (k as f64 * STEP * terms.sum::<f64>()).min(1.0)
        };
        RangeTable { values: (0..=cells(0.0, MOST)).map(value).collect() }
    }

    /// P(R ≤ r), between the points of the table by the polynomial through the six nearest.
    fn at(&self, r: f64) -> f64 {
        if r <= 0.0 {
            return 0.0;
        }
        let place = r / STEP;
        let last = self.values.len() - 1;
        if place >= last as f64 - 3.0 {
            return 1.0;
        }
        let first = (place as usize).saturating_sub(2);
        let x = place - first as f64;
        let mut sum = 0.0;
        for i in 0..6 {
            let weight =
                (0..6).filter(|j| *j != i).fold(1.0, |w, j| w * (x - j as f64) / (i as f64 - j as f64));
            sum += weight * self.values[first + i];
        }
        sum.clamp(0.0, 1.0)
    }
}

/// P(Q ≤ q) of Tukey's studentized range of k levels with ν degrees of freedom of the error.
///
/// ```text
/// P = ∫ P(R ≤ q·w) f(w) dw,   w = √(χ²_ν/ν),   f(w)·w ∝ w^ν exp(−ν·w²/2)          (as `special::NoncentralT`)
/// ```
fn studentized(table: &RangeTable, q: f64, freedom: f64) -> f64 {
    let log_weight = |x: f64| freedom * (x - 0.5 * ((2.0 * x).exp() - 1.0));
    let step = (0.125 / freedom.sqrt()).min(1.0 / 32.0);
    let (mut total, mut below) = (0.0, 0.0);
    let mut add = |x: f64| {
        let weight = log_weight(x).exp();
        total += weight;
        below += weight * table.at(q * x.exp());
        weight > 1e-18
    };
    add(0.0);
    for direction in [-1.0, 1.0] {
        let mut place = 1.0;
        while add(direction * place * step) {
            place += 1.0;
        }
    }
    below / total
}

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
        let below = |q: f64| studentized(&self.table, q, freedom) - (1.0 - alpha);
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
            return (1.0 - studentized(&self.table, q, self.freedom())).max(1e-12);
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
        let enough =
            |seeds: usize| self.with_seeds(seeds).detectable(power, alpha).is_ok_and(|d| d <= effect.abs());
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
    use crate::stats::nemenyi::studentized_range_cdf;

    /// `scripts/golden-grid.py` (scipy.stats.studentized_range).
    #[test]
    fn the_studentized_range_is_scipys() {
        for (q, k, df, want) in [
            (3.5, 3, 6.0, 0.8946003744752877),
            (4.0, 14, 52.0, 0.7572301244426018),
            (2.0, 4, 2.0, 0.4045528266280811),
            (9.0, 5, 3.0, 0.9695600281961183),
            (3.3, 3, 2000.0, 0.9484658605098523),
        ] {
            assert_close(studentized(&RangeTable::new(k), q, df), want, 1e-8);
        }
        let pairs = AllPairs::new(14, 5, [1.0, 0.0, 0.0], None).unwrap();
        assert_eq!(pairs.freedom(), 52.0);
        assert_close(pairs.half_width(0.05), 4.973317236376207 / 2f64.sqrt(), 1e-7);
        // Probabilities, so the error that counts is absolute: at 0.013 both are about 1.6e-9.
        for r in [0.013, 1.0, 2.77, 5.3] {
            let (table, direct) = (RangeTable::new(5).at(r), studentized_range_cdf(r, 5));
            assert!((table - direct).abs() <= 1e-9, "{r}: {table} {direct}");
        }
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
            hold += u32::from(studentized(&pairs.table, range / (ms / 4.0).sqrt(), 12.0) < 0.95);
        }
        assert!((370..=390).contains(&hold), "{hold}");
    }
}
