//! Intervals of a share of successes among n independent items.
//!
//! ```text
//! Wilson:           (p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n)
//! Clopper-Pearson:  [B(α/2; k, n−k+1), B(1−α/2; k+1, n−k)], B the Beta quantile; exact, never under-covers
//! ```
//!
//! Wilson (1927) has good coverage at every p and n; it is the default for an accuracy on one task in one run.
use super::special::{beta_quantile, normal_quantile};
use super::{Interval, Result, StatsError, check_open};

fn check_counts(successes: u64, n: u64, level: f64) -> Result<()> {
    if n == 0 {
        return Err(StatsError::TooFew { what: "items of a share", needed: 1, got: 0 });
    }
    if successes > n {
        return Err(StatsError::OutOfRange {
            what: "number of successes",
            value: successes as f64,
            low: 0.0,
            high: n as f64,
        });
    }
    check_open("confidence level", level, 0.0, 1.0)
}

/// Wilson score interval of `successes` among `n` at confidence `level` (0.95).
pub fn wilson(successes: u64, n: u64, level: f64) -> Result<Interval> {
    check_counts(successes, n, level)?;
    wilson_of_share(successes as f64 / n as f64, n as f64, normal_quantile(0.5 + 0.5 * level))
}

/// Wilson's interval of the share `p` of `n` items, which need not be a whole number, with `z` for the normal quantile: of
/// items in clusters, of which there are effectively fewer.
///
/// # Errors
/// No items, or a share that is none.
pub fn wilson_of_share(p: f64, n: f64, z: f64) -> Result<Interval> {
    check_open("number of items", n, 0.0, f64::INFINITY)?;
    if !(0.0..=1.0).contains(&p) {
        return Err(StatsError::OutOfRange { what: "share", value: p, low: 0.0, high: 1.0 });
    }
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    // At 0 and 1 an end is exactly there; rounding must not carry it past.
    let low = if p == 0.0 { 0.0 } else { centre - half };
    let high = if p == 1.0 { 1.0 } else { centre + half };
    Ok(Interval { low, high })
}

/// Clopper-Pearson interval of `successes` among `n` at confidence `level`.
pub fn clopper_pearson(successes: u64, n: u64, level: f64) -> Result<Interval> {
    check_counts(successes, n, level)?;
    let (k, m) = (successes as f64, n as f64);
    let tail = 0.5 * (1.0 - level);
    let low = if successes == 0 { 0.0 } else { beta_quantile(tail, k, m - k + 1.0) };
    let high = if successes == n { 1.0 } else { beta_quantile(1.0 - tail, k + 1.0, m - k) };
    Ok(Interval { low, high })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;
    use crate::stats::assert_close;
    use rand::RngExt;

    #[test]
    fn golden() {
        let w = wilson(78, 100, 0.95).unwrap();
        assert_close(w.low, 0.6892964648501421, 1e-12);
        assert_close(w.high, 0.8499871761539459, 1e-12);
        let c = clopper_pearson(78, 100, 0.95).unwrap();
        assert_close(c.low, 0.6860803462136821, 1e-12);
        assert_close(c.high, 0.8566964232501946, 1e-12);
    }

    #[test]
    fn ends_stay_inside() {
        for f in [wilson, clopper_pearson] {
            assert_eq!(f(0, 5, 0.95).unwrap().low, 0.0);
            assert_eq!(f(5, 5, 0.95).unwrap().high, 1.0);
            assert!(f(6, 5, 0.95).is_err() && f(0, 0, 0.95).is_err() && f(1, 2, 1.0).is_err());
        }
    }

    /// Of 4000 simulated tasks of 50 items the interval must hold the truth in 95 ± 1.5 % (Wilson) or at least
    /// 95 % − 1 % of Monte-Carlo noise (Clopper-Pearson); the standard error of the count is 0.35 %.
    #[test]
    fn coverage() {
        let mut rng = random::stream(7, "coverage of shares");
        for p in [0.25, 0.5, 0.8] {
            let (mut w, mut c) = (0, 0);
            for _ in 0..4000 {
                let k = (0..50).filter(|_| rng.random::<f64>() < p).count() as u64;
                w += wilson(k, 50, 0.95).unwrap().contains(p) as u32;
                c += clopper_pearson(k, 50, 0.95).unwrap().contains(p) as u32;
            }
            assert!((w as f64 / 4000.0 - 0.95).abs() < 0.015, "Wilson at {p}: {w}");
            assert!(c as f64 / 4000.0 > 0.94, "Clopper-Pearson at {p}: {c}");
        }
    }
}
