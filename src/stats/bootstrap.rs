//! Bootstrap: resampling with replacement, seeded; every resample visited where there are few.
//!
//! * [`bootstrap`]: any statistic of one sample; all nⁿ resamples for n ≤ 6.
//! * [`hierarchical`]: the mean over tasks, seeds and items. One resample draws seeds, then items, and the drawn
//!   items are the same for every drawn seed (items are crossed with seeds, not nested in them).
//! * [`paired_hierarchical`]: the same for two arms, one resample for both, so the differences are what is resampled.
//!
//! Percentile intervals with few units are too short: S seeds give (S−1)/S of the seed variance. See
//! [`crossed`](super::crossed) for an interval that keeps its level at three seeds.
use super::crossed::check_design;
use super::descriptive::{mean, quantile_of_sorted};
use super::{Interval, Result, check, check_lengths, check_open};
use rand::{Rng, RngExt};

/// Largest n whose nⁿ resamples are all visited (6⁶ = 46,656).
pub const EXHAUSTIVE_UP_TO: usize = 6;

/// The distribution of a statistic over resamples, sorted.
#[derive(Clone, Debug, PartialEq)]
pub struct Resamples {
    /// Sorted.
    pub values: Vec<f64>,
    pub exhaustive: bool,
}

impl Resamples {
    fn new(mut values: Vec<f64>, exhaustive: bool) -> Result<Resamples> {
        check("bootstrap resamples", &values, 1)?;
        values.sort_by(f64::total_cmp);
        Ok(Resamples { values, exhaustive })
    }

    pub fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// Standard deviation over the resamples (divisor: their number), the bootstrap standard error.
    pub fn standard_deviation(&self) -> f64 {
        let m = self.mean();
        (self.values.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / self.values.len() as f64).sqrt()
    }

    /// Percentile interval at `level`.
    pub fn percentile_interval(&self, level: f64) -> Result<Interval> {
        check_open("confidence level", level, 0.0, 1.0)?;
        let tail = 0.5 * (1.0 - level);
        Ok(Interval {
            low: quantile_of_sorted(&self.values, tail),
            high: quantile_of_sorted(&self.values, 1.0 - tail),
        })
    }
}

/// `statistic` over resamples of `x`: all of them up to [`EXHAUSTIVE_UP_TO`] values, else `samples` drawn from `rng`.
pub fn bootstrap(
    x: &[f64],
    samples: usize,
    rng: &mut impl Rng,
    statistic: impl Fn(&[f64]) -> f64,
) -> Result<Resamples> {
    check("bootstrap", x, 1)?;
    let n = x.len();
    let mut resample = vec![0.0; n];
    let exhaustive = n <= EXHAUSTIVE_UP_TO;
    let count = if exhaustive { n.pow(n as u32) } else { samples };
    let mut values = Vec::with_capacity(count);
    for number in 0..count {
        // A resample is a number with n digits in base n.
        let mut digits = number;
        for slot in resample.iter_mut() {
            let index = if exhaustive { digits % n } else { rng.random_range(0..n) };
            digits /= n;
            *slot = x[index];
        }
        values.push(statistic(&resample));
    }
    Resamples::new(values, exhaustive)
}

/// Mean over tasks of the mean over seeds and items, `scores[task][seed][item]`, over `samples` resamples.
pub fn hierarchical(scores: &[Vec<Vec<f64>>], samples: usize, rng: &mut impl Rng) -> Result<Resamples> {
    let seeds = check_design(scores)?;
    let mut values = Vec::with_capacity(samples);
    let mut times = vec![0.0; seeds];
    let mut by_item = Vec::new();
    for _ in 0..samples {
        times.fill(0.0);
        (0..seeds).for_each(|_| times[rng.random_range(0..seeds)] += 1.0);
        let mut total = 0.0;
        for task in scores {
            let count = task[0].len();
            by_item.clear();
            by_item.resize(count, 0.0);
            for (row, weight) in task.iter().zip(&times).filter(|(_, w)| **w > 0.0) {
                by_item.iter_mut().zip(row).for_each(|(sum, x)| *sum += weight * x);
            }
            let drawn: f64 = (0..count).map(|_| by_item[rng.random_range(0..count)]).sum();
            total += drawn / (count * seeds) as f64;
        }
        values.push(total / scores.len() as f64);
    }
    Resamples::new(values, false)
}

/// Differences `a − b` of two arms scored by the same seeds on the same items, `[task][seed][item]`.
pub fn crossed_differences(a: &[Vec<Vec<f64>>], b: &[Vec<Vec<f64>>]) -> Result<Vec<Vec<Vec<f64>>>> {
    check_lengths("tasks of two arms", a.len(), b.len())?;
    let task = |(x, y): (&Vec<Vec<f64>>, &Vec<Vec<f64>>)| {
        check_lengths("seeds of two arms", x.len(), y.len())?;
        x.iter().zip(y).map(|(u, v)| super::paired::differences(u, v)).collect()
    };
    a.iter().zip(b).map(task).collect()
}

/// [`hierarchical`] bootstrap of the difference of two arms, the same seeds and items drawn for both.
pub fn paired_hierarchical(
    a: &[Vec<Vec<f64>>],
    b: &[Vec<Vec<f64>>],
    samples: usize,
    rng: &mut impl Rng,
) -> Result<Resamples> {
    hierarchical(&crossed_differences(a, b)?, samples, rng)
}

/// Two-sided bootstrap p-value: twice the smaller share of resamples on one side of 0, never below 2/(R+1).
pub fn p_value(resamples: &Resamples) -> f64 {
    let n = resamples.values.len() as f64;
    let below = resamples.values.iter().filter(|v| **v <= 0.0).count() as f64;
    let above = resamples.values.iter().filter(|v| **v >= 0.0).count() as f64;
    (2.0 * (below.min(above) + 1.0) / (n + 1.0)).min(1.0)
}

/// The mean as a statistic for [`bootstrap`].
pub fn mean_statistic(x: &[f64]) -> f64 {
    mean(x).unwrap_or(f64::NAN)
}

/// A standard normal by Box and Muller, for simulated data in tests.
#[cfg(test)]
pub(crate) fn standard_normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (1.0 - rng.random::<f64>(), rng.random());
    (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;
    use crate::stats::assert_close;

    #[test]
    fn golden_exhaustive() {
        let mut rng = random::stream(0, "unused");
        let r = bootstrap(&[0.1, 0.3, -0.2, 0.4], 0, &mut rng, mean_statistic).unwrap();
        assert_eq!((r.values.len(), r.exhaustive), (256, true));
        assert_close(r.mean(), 0.15, 1e-12);
        assert_close(r.standard_deviation(), 0.11456439237389601, 1e-12);
        let i = r.percentile_interval(0.95).unwrap();
        assert_close(i.low, -0.075, 1e-12);
        assert_close(i.high, 0.35, 1e-12);
    }

    /// The standard error of a mean is √(Σ(x−x̄)²)/n; 4000 resamples estimate it to 1.1 %, allowed 4 %.
    #[test]
    fn seeded_and_right() {
        let x: Vec<f64> = (0..50).map(|i| (i * i % 17) as f64).collect();
        let run = |seed| bootstrap(&x, 4000, &mut random::stream(seed, "bootstrap"), mean_statistic).unwrap();
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let m = mean(&x).unwrap();
        let se = x.iter().map(|v| (v - m).powi(2)).sum::<f64>().sqrt() / 50.0;
        assert_close(run(1).standard_deviation(), se, 0.04);
    }

    /// Pairing: arms that differ by a constant have no spread in their difference, whatever their own is.
    #[test]
    fn one_resample_for_both_arms() {
        let mut rng = random::stream(4, "paired");
        let a: Vec<Vec<Vec<f64>>> =
            vec![(0..3).map(|_| (0..30).map(|_| standard_normal(&mut rng)).collect()).collect()];
        let b: Vec<Vec<Vec<f64>>> =
            a.iter().map(|t| t.iter().map(|s| s.iter().map(|v| v - 0.25).collect()).collect()).collect();
        let r = paired_hierarchical(&a, &b, 200, &mut rng).unwrap();
        assert!(r.values.iter().all(|v| (v - 0.25).abs() < 1e-12));
        assert_close(p_value(&r), 2.0 / 201.0, 1e-12);
        assert!(paired_hierarchical(&a, &[], 10, &mut rng).is_err());
    }

    /// Bootstrap variance of crossed data without noise: σ_α²(S−1)/S² + Σ(β−β̄)²/I²; here S = 4 seeds 0..3 and items
    /// 0, 4 in each of two tasks: 5/16 + (1/4 of the mean over two tasks: 2·(8/4)/4) = 0.3125 + 1 = 1.3125.
    #[test]
    fn hierarchical_variance() {
        let task: Vec<Vec<f64>> = (0..4).map(|s| vec![s as f64, s as f64 + 4.0]).collect();
        let r = hierarchical(&[task.clone(), task], 20_000, &mut random::stream(2, "hierarchical")).unwrap();
        assert_close(r.mean(), 3.5, 0.01);
        assert_close(r.standard_deviation().powi(2), 1.3125, 0.04);
    }
}
