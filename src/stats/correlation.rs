//! Rank correlation: Kendall's τ_b and Spearman's ρ, both with ties.
//!
//! ```text
//! τ_b = (concordant − discordant) / √((n₀−n_x)(n₀−n_y)),   n₀ = n(n−1)/2, n_x pairs tied in x
//! ρ   = Pearson correlation of mid-ranks
//! ```
use super::descriptive::mean;
use super::{Result, StatsError, check, check_lengths};

/// Ranks from 1, ties sharing their mean rank.
pub fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
    let mut rank = vec![0.0; x.len()];
    let mut start = 0;
    for group in order.chunk_by(|a, b| x[*a] == x[*b]) {
        let shared = start as f64 + (group.len() as f64 + 1.0) / 2.0;
        group.iter().for_each(|i| rank[*i] = shared);
        start += group.len();
    }
    rank
}

fn check_pair(what: &'static str, x: &[f64], y: &[f64]) -> Result<()> {
    check_lengths(what, x.len(), y.len())?;
    check(what, x, 2)?;
    check(what, y, 2)
}

/// Kendall's τ_b; O(n²).
pub fn kendall_tau_b(x: &[f64], y: &[f64]) -> Result<f64> {
    check_pair("Kendall's tau", x, y)?;
    let (mut score, mut untied_x, mut untied_y) = (0i64, 0u64, 0u64);
    let sign = |a: f64, b: f64| (a > b) as i64 - (a < b) as i64;
    for i in 0..x.len() {
        for j in 0..i {
            let (sx, sy) = (sign(x[i], x[j]), sign(y[i], y[j]));
            score += sx * sy;
            untied_x += sx.unsigned_abs();
            untied_y += sy.unsigned_abs();
        }
    }
    if untied_x == 0 || untied_y == 0 {
        return Err(StatsError::NoVariance { what: "Kendall's tau" });
    }
    Ok(score as f64 / ((untied_x as f64) * (untied_y as f64)).sqrt())
}

/// Spearman's ρ.
pub fn spearman(x: &[f64], y: &[f64]) -> Result<f64> {
    check_pair("Spearman's rho", x, y)?;
    let (rx, ry) = (ranks(x), ranks(y));
    let (mx, my) = (mean(&rx)?, mean(&ry)?);
    let product = |a: &[f64], ma: f64, b: &[f64], mb: f64| -> f64 {
        a.iter().zip(b).map(|(u, v)| (u - ma) * (v - mb)).sum()
    };
    let scale = (product(&rx, mx, &rx, mx) * product(&ry, my, &ry, my)).sqrt();
    if scale == 0.0 {
        return Err(StatsError::NoVariance { what: "Spearman's rho" });
    }
    Ok(product(&rx, mx, &ry, my) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::assert_close;

    #[test]
    fn golden() {
        let (x, y) = ([1., 2., 3., 4., 5.], [1., 3., 2., 5., 4.]);
        assert_close(kendall_tau_b(&x, &y).unwrap(), 0.6, 1e-12);
        assert_close(spearman(&x, &y).unwrap(), 0.8, 1e-12);
    }

    /// x = 1,1,2,3, y = 1,2,2,3: of six pairs one is tied in x, one in y, the other four concordant: 4/√(5·5).
    #[test]
    fn ties() {
        let (x, y) = ([1., 1., 2., 3.], [1., 2., 2., 3.]);
        assert_close(kendall_tau_b(&x, &y).unwrap(), 0.8, 1e-12);
        assert_eq!(ranks(&[5.0, 1.0, 5.0]), vec![2.5, 1.0, 2.5]);
        assert!(kendall_tau_b(&[1.0, 1.0], &[1.0, 2.0]).is_err());
        assert!(spearman(&[1.0, 1.0], &[1.0, 2.0]).is_err());
    }
}
