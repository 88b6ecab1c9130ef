//! Two arms measured on the same units: difference with standard error, and Student's paired t.
//!
//! ```text
//! d_i = a_i − b_i,   SE = s_d/√n,   t = d̄/SE with n − 1 degrees of freedom
//! ```
//!
//! Pairing removes what both arms share (a hard item is hard for both), so the paired error is the smaller one.
use super::descriptive::{mean, standard_error, variance};
use super::special::{student_two_sided, student_two_sided_quantile};
use super::{Interval, Result, StatsError, check, check_lengths, check_open};

/// Mean difference of two arms with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    pub n: usize,
    pub difference: f64,
    pub standard_error: f64,
}

/// d_i = a_i − b_i.
pub fn differences(a: &[f64], b: &[f64]) -> Result<Vec<f64>> {
    check_lengths("paired arms", a.len(), b.len())?;
    Ok(a.iter().zip(b).map(|(x, y)| x - y).collect())
}

/// Mean of `a − b` over the same units, with the paired standard error.
pub fn paired_difference(a: &[f64], b: &[f64]) -> Result<Difference> {
    let d = differences(a, b)?;
    Ok(Difference { n: d.len(), difference: mean(&d)?, standard_error: standard_error(&d)? })
}

/// Difference of the means of `a` and `b` as if they were independent samples.
pub fn unpaired_difference(a: &[f64], b: &[f64]) -> Result<Difference> {
    let se = (variance(a)? / a.len() as f64 + variance(b)? / b.len() as f64).sqrt();
    Ok(Difference { n: a.len().min(b.len()), difference: mean(a)? - mean(b)?, standard_error: se })
}

/// Student's t for the mean of differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedT {
    pub n: usize,
    pub mean: f64,
    pub standard_error: f64,
    pub t: f64,
    /// Two-sided.
    pub p: f64,
    pub interval: Interval,
}

/// Paired t test of the differences `d` against 0, with an interval at `level`.
///
/// # Errors
/// [`StatsError::NoVariance`] when all differences are alike.
pub fn paired_t(d: &[f64], level: f64) -> Result<PairedT> {
    check("paired t", d, 2)?;
    check_open("confidence level", level, 0.0, 1.0)?;
    let (centre, se, df) = (mean(d)?, standard_error(d)?, (d.len() - 1) as f64);
    if se <= f64::EPSILON * centre.abs() {
        return Err(StatsError::NoVariance { what: "paired t" });
    }
    let t = centre / se;
    let half = student_two_sided_quantile(1.0 - level, df) * se;
    Ok(PairedT {
        n: d.len(),
        mean: centre,
        standard_error: se,
        t,
        p: student_two_sided(t, df),
        interval: Interval::around(centre, half),
    })
}

/// Whether a mean difference is smaller than a margin on either side: two one-sided t tests (Schuirmann 1987).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Equivalence {
    pub margin: f64,
    /// Of the test that the difference is above −margin, and that it is below margin.
    pub p_low: f64,
    pub p_high: f64,
}

impl Equivalence {
    /// The larger of the two: below α, the difference is within the margin.
    pub fn p(&self) -> f64 {
        self.p_low.max(self.p_high)
    }
}

/// Two one-sided tests of a difference with its standard error and degrees of freedom.
///
/// # Errors
/// A margin or a standard error that is not above 0.
pub fn equivalence(difference: f64, standard_error: f64, df: f64, margin: f64) -> Result<Equivalence> {
    check_open("equivalence margin", margin, 0.0, f64::INFINITY)?;
    check_open("standard error", standard_error, 0.0, f64::INFINITY)?;
    // P(T > t): half of the two-sided one, or what is left of 1.
    let above = |t: f64| {
        let half = 0.5 * student_two_sided(t, df);
        if t > 0.0 { half } else { 1.0 - half }
    };
    Ok(Equivalence {
        margin,
        p_low: above((difference + margin) / standard_error),
        p_high: above((margin - difference) / standard_error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random;
    use crate::stats::assert_close;
    use crate::stats::bootstrap::standard_normal;

    /// 220 items: 12 only `a` has right, 30 only `b`, margins 112 and 130, so 100 both and 78 neither.
    #[test]
    fn golden_difference() {
        let cells = [((1.0, 0.0), 12), ((0.0, 1.0), 30), ((1.0, 1.0), 100), ((0.0, 0.0), 78)];
        let (mut a, mut b) = (vec![], vec![]);
        for ((x, y), count) in cells {
            a.extend(std::iter::repeat_n(x, count));
            b.extend(std::iter::repeat_n(y, count));
        }
        let d = paired_difference(&a, &b).unwrap();
        assert_eq!(d.n, 220);
        assert_close(d.difference, -0.0818181818, 1e-9);
        assert_close(d.standard_error, 0.029002824302170077, 1e-12);
        assert_close(unpaired_difference(&a, &b).unwrap().standard_error, 0.04738132941355021, 1e-12);
    }

    #[test]
    fn golden_t() {
        let t = paired_t(&[0.02, 0.04, -0.01, 0.07, 0.03, 0.05, 0.06, 0.09], 0.95).unwrap();
        assert_close(t.t, 3.973901970261085, 1e-12);
        assert_close(t.p, 0.005365497342204353, 1e-10);
        // The interval at level 1 − p touches 0.
        let edge = paired_t(&[0.02, 0.04, -0.01, 0.07, 0.03, 0.05, 0.06, 0.09], 1.0 - t.p).unwrap();
        assert!(edge.interval.low.abs() < 1e-12);
    }

    /// `scripts/make-stats-goldens.py` (statsmodels `ttost_paired`).
    #[test]
    fn golden_equivalence() {
        let d = [0.02, 0.04, -0.01, 0.07, 0.03, 0.05, 0.06, 0.09];
        let t = paired_t(&d, 0.95).unwrap();
        for (margin, p_low, p_high) in [
            (0.07, 8.62071792034446e-06, 0.024285567101271),
            (0.1, 1.80064120875548e-06, 0.000692552390458142),
        ] {
            let found = equivalence(t.mean, t.standard_error, 7.0, margin).unwrap();
            assert_close(found.p_low, p_low, 1e-9);
            assert_close(found.p_high, p_high, 1e-9);
            assert_eq!(found.p(), found.p_high);
        }
        // A difference outside the margin is never equivalent.
        assert!(equivalence(0.2, 0.01, 7.0, 0.1).unwrap().p() > 0.99);
        assert!(equivalence(0.2, 0.01, 7.0, 0.0).is_err());
    }

    #[test]
    fn alike_differences_have_no_t() {
        assert_eq!(paired_t(&[0.1; 4], 0.95), Err(StatsError::NoVariance { what: "paired t" }));
        assert_eq!(paired_t(&[0.0; 4], 0.95), Err(StatsError::NoVariance { what: "paired t" }));
        assert!(paired_t(&[0.1], 0.95).is_err());
    }

    /// Normal differences, three replicates: 95 ± 1.5 % of 4000 intervals hold the truth (0.3).
    #[test]
    fn coverage() {
        let mut rng = random::stream(3, "coverage of paired t");
        let hits = (0..4000)
            .filter(|_| {
                let d: Vec<f64> = (0..3).map(|_| 0.3 + standard_normal(&mut rng)).collect();
                paired_t(&d, 0.95).unwrap().interval.contains(0.3)
            })
            .count();
        assert!((hits as f64 / 4000.0 - 0.95).abs() < 0.015, "{hits}");
    }
}
