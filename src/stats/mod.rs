//! Pure mathematics on slices: intervals, paired tests, resampling, multiplicity, rank statistics.
//!
//! No I/O; a generator is passed in wherever one is needed, so the same call gives the same number.
//! Every function checks its input and answers a fault with [`StatsError`]; none panics.
//!
//! | question | file |
//! |---|---|
//! | mean, variance, quantile | [`descriptive`] |
//! | interval of a share (accuracy) | [`proportion`] |
//! | standard error of items that come in groups | [`cluster`] |
//! | two arms on the same items or seeds | [`paired`], [`mcnemar`], [`wilcoxon`], [`permutation`] |
//! | replicates *and* items are both samples | [`crossed`] (interval, p), [`bootstrap`] (check) |
//! | several comparisons at once | [`multiplicity`], [`nemenyi`] |
//! | all pairs of several levels on the same seeds | [`tukey`] |
//! | the largest of several means less the smallest | [`range`] |
//! | how often an arm is the best of several | [`ranking`] |
//! | many tasks, few runs | [`aggregate`] |
//! | agreement of rankings and of kept sets | [`correlation`], [`overlap`] |
//! | is a difference smaller than a margin | [`paired::equivalence`], [`crossed::CrossedMean::equivalence`] |
//! | how small a difference can be seen, how many seeds it takes | [`power`] |
//! | weights of main effects, interactions, slopes | [`factorial`] |
pub mod aggregate;
pub mod bootstrap;
pub mod cluster;
pub mod correlation;
#[cfg(test)]
mod coverage_tests;
pub mod crossed;
pub mod descriptive;
pub mod factorial;
pub mod mcnemar;
pub mod multiplicity;
pub mod nemenyi;
pub mod overlap;
pub mod paired;
pub mod permutation;
pub mod power;
pub mod proportion;
pub mod range;
pub mod ranking;
mod special;
pub mod tukey;
pub mod wilcoxon;

/// An interval, both ends included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

impl Interval {
    /// `centre ± half_width`.
    pub fn around(centre: f64, half_width: f64) -> Interval {
        Interval { low: centre - half_width, high: centre + half_width }
    }

    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

/// Why a statistic does not exist for its input.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StatsError {
    #[error("{what}: {got} given, at least {needed} needed")]
    TooFew { what: &'static str, needed: usize, got: usize },
    #[error("{what}: lengths {left} and {right} differ")]
    LengthMismatch { what: &'static str, left: usize, right: usize },
    #[error("{what}: value {index} is {value}, not a finite number")]
    NotFinite { what: &'static str, index: usize, value: f64 },
    #[error("{what} is {value}, outside {low} to {high}")]
    OutOfRange { what: &'static str, value: f64, low: f64, high: f64 },
    /// All values alike: neither a t statistic nor an interval exists.
    #[error("{what}: all values are alike, so no variance can be estimated")]
    NoVariance { what: &'static str },
}

pub type Result<T> = std::result::Result<T, StatsError>;

/// At least `needed` values, all finite.
pub(crate) fn check(what: &'static str, x: &[f64], needed: usize) -> Result<()> {
    if x.len() < needed {
        return Err(StatsError::TooFew { what, needed, got: x.len() });
    }
    match x.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(StatsError::NotFinite { what, index, value: x[index] }),
        None => Ok(()),
    }
}

/// `x` and `y` have one length.
pub(crate) fn check_lengths(what: &'static str, x: usize, y: usize) -> Result<()> {
    if x == y { Ok(()) } else { Err(StatsError::LengthMismatch { what, left: x, right: y }) }
}

/// `low < value < high`.
pub(crate) fn check_open(what: &'static str, value: f64, low: f64, high: f64) -> Result<()> {
    if value > low && value < high { Ok(()) } else { Err(StatsError::OutOfRange { what, value, low, high }) }
}

#[cfg(test)]
pub(crate) fn assert_close(got: f64, want: f64, rtol: f64) {
    assert!((got - want).abs() <= 1e-15 + rtol * want.abs(), "got {got}, want {want} (rtol {rtol})");
}
