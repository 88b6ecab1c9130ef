//! Wilcoxon's signed-rank test of paired differences, two-sided.
//!
//! W⁺ (W⁻) is the sum of the ranks of |d| over positive (negative) d; W = min(W⁺, W⁻). Without ties and zeros the
//! exact distribution is counted (every one of 2ⁿ sign patterns is equally likely); otherwise
//!
//! ```text
//! z = (W − n(n+1)/4) / √( (n(n+1)(2n+1) − ½ Σ_ties (t³−t)) / 24 )
//! ```
//!
//! Zeros: `Wilcox` drops them; `Pratt` ranks them, then drops their ranks (mean and variance lose the zeros' part);
//! `Zsplit` gives half of their rank sum to each side. Same conventions as SciPy's `wilcoxon`.
use super::correlation::ranks;
use super::special::normal_two_sided;
use super::{Result, StatsError, check};

/// What becomes of differences that are exactly zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    Wilcox,
    Pratt,
    Zsplit,
}

/// How the p-value is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Exact up to 25 differences without ties and zeros, else asymptotic without continuity correction.
    Auto,
    Asymptotic {
        continuity: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wilcoxon {
    /// min(W⁺, W⁻).
    pub statistic: f64,
    /// Two-sided.
    pub p: f64,
    pub exact: bool,
}

/// Signed-rank test of `d` against symmetry about 0.
///
/// # Errors
/// [`StatsError::NoVariance`] when every difference is zero.
pub fn wilcoxon(d: &[f64], zeros: Zeros, method: Method) -> Result<Wilcoxon> {
    check("Wilcoxon", d, 1)?;
    let num_zeros = d.iter().filter(|v| **v == 0.0).count();
    if num_zeros == d.len() {
        return Err(StatsError::NoVariance { what: "Wilcoxon" });
    }
    let used: Vec<f64> = d.iter().copied().filter(|v| zeros != Zeros::Wilcox || *v != 0.0).collect();
    let magnitude: Vec<f64> = used.iter().map(|v| v.abs()).collect();
    let rank = ranks(&magnitude);
    let sum = |keep: fn(f64) -> bool| -> f64 {
        used.iter().zip(&rank).filter(|(v, _)| keep(**v)).map(|(_, r)| *r).sum()
    };
    let half_zero = if zeros == Zeros::Zsplit { 0.5 * sum(|v| v == 0.0) } else { 0.0 };
    let statistic = (sum(|v| v > 0.0) + half_zero).min(sum(|v| v < 0.0) + half_zero);

    let counted: Vec<f64> =
        magnitude.iter().copied().filter(|v| zeros != Zeros::Pratt || *v != 0.0).collect();
    let ties = tie_term(&counted);
    if method == Method::Auto && num_zeros == 0 && ties == 0.0 && used.len() <= 25 {
        return Ok(Wilcoxon { statistic, p: exact_p(used.len(), statistic), exact: true });
    }
    let n = used.len() as f64;
    let (mut mean, mut square) = (n * (n + 1.0) / 4.0, n * (n + 1.0) * (2.0 * n + 1.0));
    if zeros == Zeros::Pratt {
        let z = num_zeros as f64;
        mean -= z * (z + 1.0) / 4.0;
        square -= z * (z + 1.0) * (2.0 * z + 1.0);
    }
    let se = ((square - 0.5 * ties) / 24.0).sqrt();
    let correction = if method == (Method::Asymptotic { continuity: true }) { 0.5 } else { 0.0 };
    let distance = ((statistic - mean).abs() - correction).max(0.0);
    Ok(Wilcoxon { statistic, p: normal_two_sided(distance / se), exact: false })
}

/// Σ (t³ − t) over groups of equal values.
fn tie_term(x: &[f64]) -> f64 {
    let mut sorted = x.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.chunk_by(|a, b| a == b).map(|g| (g.len() as f64).powi(3) - g.len() as f64).sum()
}

/// 2·P(W⁺ ≤ w) by counting the subsets of {1, …, n} with sum ≤ w, n ≤ 25.
fn exact_p(n: usize, w: f64) -> f64 {
    let total = n * (n + 1) / 2;
    let mut ways = vec![0u64; total + 1];
    ways[0] = 1;
    for rank in 1..=n {
        for s in (rank..=total).rev() {
            ways[s] += ways[s - rank];
        }
    }
    let below: u64 = ways.iter().take(w.floor() as usize + 1).sum();
    (2.0 * below as f64 / 2f64.powi(n as i32)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    const D: [f64; 8] = [0.02, 0.04, -0.01, 0.07, 0.03, 0.05, 0.06, 0.09];
    const WITH_ZEROS: [f64; 10] = [0., 1., 1., -1., 2., 3., -2., 4., 0., 5.];

    #[test]
    fn golden() {
        let exact = wilcoxon(&D, Zeros::Wilcox, Method::Auto).unwrap();
        // W = 1 is reached by {} and {1}: 2·2/2⁸.
        assert_eq!((exact.statistic, exact.p, exact.exact), (1.0, 0.015625, true));
        let p = |continuity| wilcoxon(&D, Zeros::Wilcox, Method::Asymptotic { continuity }).unwrap().p;
        assert_close(p(false), 0.017290280592906253, 1e-12);
        assert_close(p(true), 0.02086258233276551, 1e-12);
    }

    #[test]
    fn golden_zeros() {
        for (zeros, want) in
            [(Zeros::Wilcox, 0.1051719513), (Zeros::Pratt, 0.1105952104), (Zeros::Zsplit, 0.1127170847)]
        {
            let w = wilcoxon(&WITH_ZEROS, zeros, Method::Auto).unwrap();
            assert!(!w.exact);
            assert_close(w.p, want, 1e-9);
        }
    }

    #[test]
    fn nothing_but_zeros_is_a_fault() {
        assert!(wilcoxon(&[0.0; 3], Zeros::Pratt, Method::Auto).is_err());
    }
}
