//! What a grid says: which value of an axis is best and how sure that is, what each axis does, whether two interact.
//!
//! ```text
//! cell        one arm at one point of the grid
//! contrast    Σ_cells w · mean(cell), Σ w = 0: a difference, a main effect, an interaction    [`contrast`]
//! factor      an axis of one arm; its levels are the axis's values                           [`factor`]
//! ranking     all pairs of levels at once; the levels not told from the best                [`ranking`]
//! slope       what the metric gains per doubling of a numeric axis                            [`slope`]
//! interaction the tetrads of two factors' levels, corrected together                        [`interaction`]
//! ```
//!
//! Every number of this module is a contrast, paired by seed and by item, and averaged over the values of the other axes
//! where all levels have a finished run.
mod contrast;
mod factor;
mod interaction;
mod ranking;
mod slope;
#[cfg(test)]
pub(super) mod tests;

pub use contrast::{Estimate, POWER, SeedsNeeded, Weights};
pub use factor::{Factor, factors};
pub use interaction::{Interaction, interaction};
pub use ranking::{Level, Pair, Ranking, ranking};
pub use slope::{Slope, slope};

use super::groups::Group;
use super::metric::Metric;
use super::scores::Scores;
use crate::record::Results;

/// Significance level after correction.
pub const ALPHA: f64 = 0.05;

/// What contrasts are taken of.
#[derive(Clone, Copy)]
pub struct Grid<'a> {
    pub results: &'a Results,
    pub scores: &'a Scores<'a>,
    pub groups: &'a [Group],
    pub metric: Metric,
}
