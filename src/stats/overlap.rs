//! Overlap of two kept sets against what chance gives.
//!
//! ```text
//! J = |A∩B| / |A∪B|;   chance: a and b of n drawn blindly, E[J] = Σ_i P(i)·i/(a+b−i), i hypergeometric
//! ```
use super::{Result, StatsError};
use std::collections::BTreeSet;

/// Jaccard index of two sets; two empty sets are alike (1).
pub fn jaccard<T: Ord>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> f64 {
    let shared = a.intersection(b).count();
    let union = a.len() + b.len() - shared;
    if union == 0 { 1.0 } else { shared as f64 / union as f64 }
}

/// Expected Jaccard index of random subsets of sizes `a` and `b` of `n` things.
pub fn jaccard_by_chance(a: u64, b: u64, n: u64) -> Result<f64> {
    if a.max(b) > n {
        let value = a.max(b) as f64;
        return Err(StatsError::OutOfRange { what: "size of a subset", value, low: 0.0, high: n as f64 });
    }
    if a + b == 0 {
        return Ok(1.0);
    }
    let ln = statrs::function::factorial::ln_binomial;
    Ok(((a + b).saturating_sub(n)..=a.min(b))
        .map(|i| (ln(a, i) + ln(n - a, b - i) - ln(n, b)).exp() * i as f64 / (a + b - i) as f64)
        .sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn by_hand() {
        let set = |x: &[u32]| x.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(jaccard(&set(&[1, 2, 3]), &set(&[2, 3, 4])), 0.5);
        assert_eq!(jaccard(&set(&[]), &set(&[])), 1.0);
        // One of two, twice: equal (J = 1) or disjoint (J = 0), half each.
        assert_close(jaccard_by_chance(1, 1, 2).unwrap(), 0.5, 1e-12);
        // Two of three, twice: equal with 1/3, else one shared of three.
        assert_close(jaccard_by_chance(2, 2, 3).unwrap(), 1.0 / 3.0 + 2.0 / 9.0, 1e-12);
        assert_close(jaccard_by_chance(5, 5, 5).unwrap(), 1.0, 1e-12);
        assert!(jaccard_by_chance(6, 1, 5).is_err());
    }
}
