//! Standard error of a mean whose items come in clusters (several questions on one passage).
//!
//! ```text
//! SE = √( Σ_c ( Σ_{i∈c} (s_i − s̄) )² ) / n        C clusters; corrected: × √(C/(C−1))
//! ```
//!
//! Items of one cluster go right or wrong together, so the independent-items error is too small (or, where they
//! oppose each other, too large). Source: Miller 2024, "Adding error bars to evals" (arXiv:2411.00640).
use super::descriptive::mean;
use super::{Result, StatsError, check, check_lengths};
use std::collections::BTreeMap;

/// Clustered standard error of the mean of `scores`; `clusters` names the cluster of each.
///
/// `corrected` applies the small-sample factor √(C/(C−1)); C ≥ 2 clusters are needed.
pub fn clustered_standard_error(scores: &[f64], clusters: &[usize], corrected: bool) -> Result<f64> {
    check("clustered standard error", scores, 1)?;
    check_lengths("scores and clusters", scores.len(), clusters.len())?;
    let centre = mean(scores)?;
    let mut sums: BTreeMap<usize, f64> = BTreeMap::new();
    for (s, c) in scores.iter().zip(clusters) {
        *sums.entry(*c).or_default() += s - centre;
    }
    if sums.len() < 2 {
        return Err(StatsError::TooFew { what: "clusters", needed: 2, got: sums.len() });
    }
    let raw = sums.values().map(|v| v * v).sum::<f64>().sqrt() / scores.len() as f64;
    let count = sums.len() as f64;
    Ok(if corrected { raw * (count / (count - 1.0)).sqrt() } else { raw })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{assert_close, descriptive::standard_error};

    const S: [f64; 10] = [1., 1., 0., 1., 0., 0., 1., 1., 0., 1.];
    const CLUSTER: [usize; 10] = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3];

    #[test]
    fn golden() {
        // Deviations per cluster are ±0.2, four of them: √0.16 / 10 = 0.04.
        assert_close(clustered_standard_error(&S, &CLUSTER, false).unwrap(), 0.04, 1e-12);
        assert_close(clustered_standard_error(&S, &CLUSTER, true).unwrap(), 0.0461880215, 1e-9);
        assert_close(standard_error(&S).unwrap(), 0.16329931618554522, 1e-12);
    }

    /// Clusters of one item are no clusters: the corrected error is the plain one.
    #[test]
    fn singletons_are_independent_items() {
        let own: Vec<usize> = (0..10).collect();
        assert_close(clustered_standard_error(&S, &own, true).unwrap(), standard_error(&S).unwrap(), 1e-12);
    }

    #[test]
    fn one_cluster_has_no_error() {
        assert!(clustered_standard_error(&S, &[0; 10], true).is_err());
        assert!(clustered_standard_error(&S, &[0; 9], true).is_err());
    }
}
