//! Figures as SVG: fixed sizes and fonts, a colour-blind-safe palette, the same bytes each time.
//!
//! Colour is one factor and panels are others ([`encoding`]); no two curves of a panel have one colour, and no label leaves
//! the canvas ([`text`] knows how wide it is).
//!
//! | file | figure |
//! |---|---|
//! | [`curves`] | parameters and loss against tokens and FLOPs |
//! | [`predicted`] | what a probe found: rank correlations, the change of loss along each rule's order |
//! | [`prune_curves`] | pruned share and candidate saliency of each group type |
//! | [`accuracy`] | accuracy per task and configuration against chance |
//! | [`forest`] | differences with their intervals, any metric |
//! | [`levels`] | the values of every axis from the best to the worst |
//! | [`heat_map`] | the cells of two axes |
//! | [`interaction`] | what one axis does at each value of another |
//! | [`scaling`] | a metric against a numeric axis, with bands |
//! | [`pareto`] | quality against parameters, FLOPs and measured speed |
//! | [`width_profile`] | widths of the final models over depth |
//! | [`critical_difference`] | mean ranks over tasks and seeds, with Nemenyi's critical difference |
//! | [`chart`], [`rows`] | lines in panels, values in rows: what most of the above are drawn by |
//! | [`canvas`], [`axes`], [`legend`], [`series`] | text and lines; scales and frames; legends; means and smoothing |
//! | [`simplify`] | lines without the points that cannot be seen |
pub mod accuracy;
pub mod axes;
pub mod canvas;
pub mod chart;
pub mod critical_difference;
pub mod curves;
pub mod encoding;
pub mod forest;
pub mod heat_map;
pub mod interaction;
mod legend;
pub mod levels;
pub mod pareto;
pub mod predicted;
pub mod prune_curves;
mod rows;
pub mod scaling;
mod series;
mod simplify;
#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
pub mod tests;
mod text;
pub mod width_profile;

pub use canvas::Sheet;
