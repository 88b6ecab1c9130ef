//! Nemenyi's critical difference of mean ranks: k arms ranked on N data sets (Demšar 2006).
//!
//! ```text
//! CD = q_α √(k(k+1)/6N),   q_α = Q_α(k, ∞)/√2
//! ```
//!
//! Q_α is the quantile of the range of k standard normals ([`super::range`]).
use super::range::range_cdf;
use super::special::bisect;
use super::{Result, StatsError, check_open};

/// q_α of Nemenyi's test for `k` ≥ 2 arms.
pub fn nemenyi_q(alpha: f64, k: usize) -> Result<f64> {
    check_open("significance level", alpha, 0.0, 1.0)?;
    if k < 2 {
        return Err(StatsError::TooFew { what: "arms", needed: 2, got: k });
    }
    let q = bisect(|q| range_cdf(q, k) - (1.0 - alpha), 0.0, 64.0);
    Ok(q / std::f64::consts::SQRT_2)
}

/// Smallest difference of mean ranks that is significant at `alpha` for `k` arms on `n` data sets.
pub fn critical_difference(alpha: f64, k: usize, n: usize) -> Result<f64> {
    if n == 0 {
        return Err(StatsError::TooFew { what: "data sets", needed: 1, got: 0 });
    }
    Ok(nemenyi_q(alpha, k)? * ((k * (k + 1)) as f64 / (6 * n) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn golden() {
        assert_close(nemenyi_q(0.05, 3).unwrap(), 2.343700586378409, 1e-12);
        assert_close(critical_difference(0.05, 3, 6).unwrap(), 1.353136164445458, 1e-12);
    }

    /// The range of two normals is |√2 Z|: q_α is the normal quantile itself. Demšar's table 5 gives the others.
    #[test]
    fn known_cases() {
        assert_close(nemenyi_q(0.05, 2).unwrap(), 1.959963984540054, 1e-12);
        for (k, q) in [(4, 2.569), (5, 2.728), (10, 3.164)] {
            assert!((nemenyi_q(0.05, k).unwrap() - q).abs() < 6e-4);
        }
        assert!(nemenyi_q(0.05, 1).is_err() && critical_difference(0.05, 3, 0).is_err());
    }
}
