//! The mean of items that come in clusters (several questions on one passage), within strata (subjects).
//!
//! ```text
//! V(x̄) = Σ_h C_h/(C_h−1) · Σ_{c∈h} ( Σ_{i∈c} (x_i − x̄_h) )² / n²      C_h clusters and mean x̄_h of stratum h
//! deff = V(x̄) / (s²/n)                                                 design effect
//! x̄ ± t_{C−H} · √V                                                     interval of a mean, C clusters, H strata
//! Wilson's interval with n/deff items and t_{C−H} for z                interval of a share
//! ```
//!
//! Items of one cluster go right or wrong together, so the error of independent items is too small (or, where they oppose
//! each other, too large). Strata are fixed: their means do not vary from sample to sample. A stratum of a single cluster
//! has no variance of its own; its cluster is held against the mean of all items. Where every stratum has one cluster, the
//! strata are left out. With items that are clusters of their own in one stratum everything is as for independent items.
//!
//! Sources: Miller 2024, "Adding error bars to evals" (arXiv:2411.00640); Cochran 1977, "Sampling techniques", §11; the
//! interval of a share is that of Korn & Graubard 1998 (Survey Methodology 24) with Wilson's form.
use super::descriptive::{mean, variance};
use super::proportion::{wilson, wilson_of_share};
use super::special::{normal_quantile, student_two_sided_quantile};
use super::{Interval, Result, StatsError, check, check_lengths, check_open};
use std::collections::BTreeMap;

/// Which items belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clusters {
    /// Cluster of each item, numbered from 0; no cluster is in two strata.
    cluster: Vec<usize>,
    /// Stratum of each cluster, numbered from 0.
    stratum: Vec<usize>,
    num_strata: usize,
}

impl Clusters {
    /// Items whose cluster and stratum are named by equal values; a cluster that is named in two strata is two.
    pub fn new<C: Ord, S: Ord>(clusters: &[C], strata: &[S]) -> Result<Clusters> {
        check_lengths("clusters and strata of items", clusters.len(), strata.len())?;
        let mut number_of_stratum: BTreeMap<&S, usize> = BTreeMap::new();
        let mut number_of_cluster: BTreeMap<(&S, &C), usize> = BTreeMap::new();
        let mut out = Clusters { cluster: Vec::new(), stratum: Vec::new(), num_strata: 0 };
        for (c, s) in clusters.iter().zip(strata) {
            let next = number_of_stratum.len();
            let stratum = *number_of_stratum.entry(s).or_insert(next);
            let next = number_of_cluster.len();
            let cluster = *number_of_cluster.entry((s, c)).or_insert(next);
            if cluster == out.stratum.len() {
                out.stratum.push(stratum);
            }
            out.cluster.push(cluster);
        }
        out.num_strata = number_of_stratum.len();
        // Nothing can be told of the spread within strata of one cluster each.
        if out.num_strata > 1 && out.stratum.len() == out.num_strata {
            out.stratum.fill(0);
            out.num_strata = 1;
        }
        Ok(out)
    }

    /// `n` independent items.
    pub fn independent(n: usize) -> Clusters {
        Clusters { cluster: (0..n).collect(), stratum: vec![0; n], num_strata: n.min(1) }
    }

    /// Number of items.
    pub fn num_items(&self) -> usize {
        self.cluster.len()
    }

    /// Number of clusters, C.
    pub fn num_clusters(&self) -> usize {
        self.stratum.len()
    }

    /// True where every item is a cluster of its own and there is one stratum.
    pub fn are_independent(&self) -> bool {
        self.num_strata <= 1 && self.num_clusters() == self.num_items()
    }

    /// C − H.
    pub fn degrees_of_freedom(&self) -> usize {
        self.num_clusters().saturating_sub(self.num_strata)
    }

    /// Sums over each cluster of the deviations of `x` from the mean of its stratum.
    fn deviations(&self, x: &[f64]) -> Vec<f64> {
        let mut of_stratum = vec![(0.0, 0.0); self.num_strata];
        let mut clusters_of = vec![0usize; self.num_strata];
        self.stratum.iter().for_each(|s| clusters_of[*s] += 1);
        for (value, cluster) in x.iter().zip(&self.cluster) {
            let (sum, count) = &mut of_stratum[self.stratum[*cluster]];
            (*sum, *count) = (*sum + value, *count + 1.0);
        }
        let overall = x.iter().sum::<f64>() / x.len() as f64;
        let centre = |stratum: usize| match (clusters_of[stratum], of_stratum[stratum]) {
            (1, _) => overall,
            (_, (sum, count)) => sum / count,
        };
        let mut sums = vec![0.0; self.num_clusters()];
        for (value, &cluster) in x.iter().zip(&self.cluster) {
            sums[cluster] += value - centre(self.stratum[cluster]);
        }
        sums
    }

    /// `Σ_h C_h/(C_h−1) Σ_{c∈h} squares[c]`, the factor 1 for a stratum of one cluster.
    fn corrected_sum(&self, squares: &[f64]) -> f64 {
        let mut of_stratum = vec![(0.0, 0.0); self.num_strata];
        for (square, stratum) in squares.iter().zip(&self.stratum) {
            let (sum, count) = &mut of_stratum[*stratum];
            (*sum, *count) = (*sum + square, *count + 1.0);
        }
        of_stratum.iter().map(|(sum, c)| if *c > 1.0 { sum * c / (c - 1.0) } else { *sum }).sum()
    }

    /// V(x̄) of one value for each item.
    ///
    /// # Errors
    /// Fewer than two clusters, another number of values, one that is not finite.
    pub fn variance_of_mean(&self, x: &[f64]) -> Result<f64> {
        self.check(x)?;
        let squares: Vec<f64> = self.deviations(x).iter().map(|sum| sum * sum).collect();
        Ok(self.corrected_sum(&squares) / (x.len() * x.len()) as f64)
    }

    /// The same summed over several rows of values, before it is divided by a number of rows: for crossed designs.
    pub(super) fn summed_variance<'a>(&self, rows: impl Iterator<Item = &'a [f64]>) -> Result<f64> {
        let mut squares = vec![0.0; self.num_clusters()];
        for row in rows {
            self.check(row)?;
            self.deviations(row).iter().zip(&mut squares).for_each(|(sum, square)| *square += sum * sum);
        }
        Ok(self.corrected_sum(&squares) / (self.num_items() * self.num_items()) as f64)
    }

    fn check(&self, x: &[f64]) -> Result<()> {
        check("values of items in clusters", x, 1)?;
        check_lengths("values and clusters", x.len(), self.num_items())?;
        match self.degrees_of_freedom() {
            0 => Err(StatsError::TooFew { what: "clusters", needed: 2, got: self.num_clusters() }),
            _ => Ok(()),
        }
    }

    /// Items whose squared share of clusters adds up as these do: n²/Σ n_c², the number of items that would tell as much if
    /// the items of a cluster were copies of each other.
    fn effective_clusters(&self) -> f64 {
        let mut sizes = vec![0.0; self.num_clusters()];
        self.cluster.iter().for_each(|c| sizes[*c] += 1.0);
        let n = self.num_items() as f64;
        n * n / sizes.iter().map(|size: &f64| size * size).sum::<f64>()
    }
}

/// A mean over items in clusters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClusteredMean {
    pub mean: f64,
    /// √V.
    pub standard_error: f64,
    pub interval: Interval,
    /// V ÷ the variance of the mean of independent items; `None` where all values are alike.
    pub design_effect: Option<f64>,
    pub items: usize,
    pub clusters: usize,
}

/// Mean of `x` with its interval at `level`.
///
/// # Errors
/// As [`Clusters::variance_of_mean`].
pub fn clustered_mean(x: &[f64], clusters: &Clusters, level: f64) -> Result<ClusteredMean> {
    check_open("confidence level", level, 0.0, 1.0)?;
    let v = clusters.variance_of_mean(x)?;
    let t = student_two_sided_quantile(1.0 - level, clusters.degrees_of_freedom() as f64);
    let centre = mean(x)?;
    Ok(ClusteredMean {
        mean: centre,
        standard_error: v.sqrt(),
        interval: Interval::around(centre, t * v.sqrt()),
        design_effect: design_effect(x, clusters),
        items: x.len(),
        clusters: clusters.num_clusters(),
    })
}

/// deff of the mean of `x`; `None` where it has no variance or there are fewer than two clusters.
pub fn design_effect(x: &[f64], clusters: &Clusters) -> Option<f64> {
    if clusters.are_independent() {
        return (variance(x).ok()? > 0.0).then_some(1.0);
    }
    let independent = variance(x).ok()? / x.len() as f64;
    let v = clusters.variance_of_mean(x).ok()?;
    (independent > 0.0).then(|| v / independent)
}

/// Interval at `level` of the share of items that are `true`.
///
/// # Errors
/// No item, fewer than two clusters of several items, another number of items.
pub fn clustered_share(right: &[bool], clusters: &Clusters, level: f64) -> Result<Interval> {
    check_lengths("items and clusters", right.len(), clusters.num_items())?;
    let count = right.iter().filter(|right| **right).count();
    if clusters.are_independent() {
        return wilson(count as u64, right.len() as u64, level);
    }
    check_open("confidence level", level, 0.0, 1.0)?;
    let x: Vec<f64> = right.iter().map(|right| f64::from(u8::from(*right))).collect();
    let (n, share) = (x.len() as f64, mean(&x)?);
    let v = clusters.variance_of_mean(&x)?;
    // Alike in every cluster: all that is certain is that clusters are independent of each other.
    let alike = count == 0 || count == right.len();
    let effective = if alike { clusters.effective_clusters() } else { share * (1.0 - share) / v };
    // Twins that oppose each other leave no variance at all; then nothing is gained beyond independent items.
    let effective = if effective.is_finite() { effective } else { n };
    let df = clusters.degrees_of_freedom() as f64;
    let quantile = student_two_sided_quantile(1.0 - level, df).max(normal_quantile(0.5 + 0.5 * level));
    wilson_of_share(share, effective, quantile)
}

/// Clustered standard error of the mean of `scores`; `clusters` names the cluster of each.
///
/// `corrected` applies the small-sample factor √(C/(C−1)); C ≥ 2 clusters are needed.
pub fn clustered_standard_error(scores: &[f64], clusters: &[usize], corrected: bool) -> Result<f64> {
    check_lengths("scores and clusters", scores.len(), clusters.len())?;
    let clusters = Clusters::new(clusters, &vec![0; clusters.len()])?;
    let error = clusters.variance_of_mean(scores)?.sqrt();
    let count = clusters.num_clusters() as f64;
    Ok(if corrected { error } else { error * ((count - 1.0) / count).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;
    use crate::stats::bootstrap::standard_normal;
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

    /// Clusters of one item are no clusters: the corrected error is the plain one, and the share's interval Wilson's.
    #[test]
    fn singletons_are_independent_items() {
        let own: Vec<usize> = (0..10).collect();
        assert_close(clustered_standard_error(&S, &own, true).unwrap(), standard_error(&S).unwrap(), 1e-12);
        let clusters = Clusters::independent(10);
        let right: Vec<bool> = S.iter().map(|s| *s > 0.5).collect();
        assert_eq!(clustered_share(&right, &clusters, 0.95).unwrap(), wilson(6, 10, 0.95).unwrap());
        let m = clustered_mean(&S, &clusters, 0.95).unwrap();
        assert_close(m.standard_error, standard_error(&S).unwrap(), 1e-12);
        assert_eq!(m.design_effect, Some(1.0));
    }

    #[test]
    fn one_cluster_has_no_error() {
        assert!(clustered_standard_error(&S, &[0; 10], true).is_err());
        assert!(clustered_standard_error(&S, &[0; 9], true).is_err());
    }

    /// Strata: within each, s²/n; the mean's variance Σ (n_h/n)² s_h²/n_h, as the harness pools the groups of MMLU.
    #[test]
    fn strata_leave_only_the_spread_within_them() {
        let x = [1., 0., 1., 1., 0., 0., 0., 1., 0.];
        let strata = [0, 0, 0, 0, 1, 1, 1, 1, 1];
        let own: Vec<usize> = (0..9).collect();
        let clusters = Clusters::new(&own, &strata).unwrap();
        let of = |range: std::ops::Range<usize>| {
            let part = &x[range];
            variance(part).unwrap() * part.len() as f64 / 81.0
        };
        assert_close(clusters.variance_of_mean(&x).unwrap(), of(0..4) + of(4..9), 1e-12);
        assert_eq!((clusters.degrees_of_freedom(), clusters.are_independent()), (7, false));
        // One item of each subject: the strata tell nothing and are left out.
        let clusters = Clusters::new(&own, &own).unwrap();
        assert!(clusters.are_independent());
    }

    /// Copies: 30 items, each five times, tell as much as 30 items. With t for z the interval is a little wider still.
    #[test]
    fn copies_count_once() {
        let right: Vec<bool> = (0..150).map(|i| (i / 5) % 3 == 0).collect();
        let clusters: Vec<usize> = (0..150).map(|i| i / 5).collect();
        let clusters = Clusters::new(&clusters, &[0; 150]).unwrap();
        let x: Vec<f64> = right.iter().map(|r| f64::from(u8::from(*r))).collect();
        let deff = design_effect(&x, &clusters).unwrap();
        assert_close(deff, 5.0 * 149.0 / 145.0, 1e-12);
        let ours = clustered_share(&right, &clusters, 0.95).unwrap();
        let of_thirty = wilson(10, 30, 0.95).unwrap();
        assert!(ours.low < of_thirty.low && ours.high > of_thirty.high);
        assert!((ours.high - ours.low) < 1.12 * (of_thirty.high - of_thirty.low), "{ours:?} {of_thirty:?}");
        // All right: the lower end is that of 30 items, not of 150.
        let all = clustered_share(&[true; 150], &clusters, 0.95).unwrap();
        assert!(all.low < wilson(30, 30, 0.95).unwrap().low && all.high == 1.0);
    }

    /// 2000 simulated tasks of 60 clusters of 1 to 5 items (mean size about 3), probability of a right answer drawn for
    /// each cluster: the share's interval and the mean's hold the truth in 95 ± 1.5 % (three standard errors of the
    /// count); that of independent items holds it in less than 91 %.
    #[test]
    fn coverage_in_clusters() {
        let mut rng = random::stream(7, "coverage in clusters");
        let (mut share, mut plain, mut continuous) = (0, 0, 0);
        for _ in 0..2000 {
            let (mut right, mut value, mut cluster) = (vec![], vec![], vec![]);
            for c in 0..60 {
                let shared = standard_normal(&mut rng);
                for _ in 0..1 + c % 5 {
                    // P(right) = ½: the sum of two standard normals is above 0.
                    let own = standard_normal(&mut rng);
                    right.push(1.2 * shared + own > 0.0);
                    value.push(0.3 + shared + own);
                    cluster.push(c);
                }
            }
            let clusters = Clusters::new(&cluster, &vec![0; cluster.len()]).unwrap();
            share += u32::from(clustered_share(&right, &clusters, 0.95).unwrap().contains(0.5));
            let count = right.iter().filter(|r| **r).count() as u64;
            plain += u32::from(wilson(count, right.len() as u64, 0.95).unwrap().contains(0.5));
            let mean = clustered_mean(&value, &clusters, 0.95).unwrap();
            continuous += u32::from(mean.interval.contains(0.3));
        }
        for (name, hits) in [("share", share), ("mean", continuous)] {
            assert!((f64::from(hits) / 2000.0 - 0.95).abs() < 0.015, "{name}: {hits}");
        }
        assert!(f64::from(plain) / 2000.0 < 0.91, "independent items: {plain}");
    }
}
