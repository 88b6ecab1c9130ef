//! Two runs, or two arms, side by side: configuration, scores, flipped items, widths, kept groups.
//!
//! ```text
//! names ─sides→ pairs of runs ─configuration, items, widths, stability::overlaps→ Comparison ─pages→ blocks ─text│markdown→
//! ```
//!
//! Nothing but the CSV files is read. Every difference is `b − a`.
mod configuration;
mod items;
mod pages;
mod sides;
#[cfg(test)]
mod tests;
mod widths;

pub use configuration::Column;
pub use items::{Difference, Flip, MeanScore, TaskScore};
pub use sides::Sides;
pub use widths::{LayerOverlap, LayerShape, TypeOverlap};

use super::{Metric, Result, markdown, text};
use crate::record::Results;
use crate::report::scores::LEVEL;
use crate::stats::descriptive::mean;
use crate::stats::paired::{differences, paired_t};
use std::collections::BTreeSet;

/// Everything that tells `a` and `b` apart.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    pub sides: Sides,
    /// Seeds of the pairs.
    pub seeds: Vec<[u64; 2]>,
    pub columns: Vec<Column>,
    /// The most tokens that the models of each side saw at once when benchmarks were scored; one number unless it varies.
    pub context_lengths: [BTreeSet<u64>; 2],
    pub tasks: Vec<TaskScore>,
    /// Means over tasks, each with its metric; none with fewer than two tasks.
    pub means: Vec<MeanScore>,
    pub bits_per_byte: Option<([f64; 2], Difference)>,
    pub widths: Vec<LayerShape>,
    pub overlap: Vec<TypeOverlap>,
}

/// Holds the run or arm `names[1]` (`b`) against `names[0]` (`a`), task by task on `metric`, or on the usual one of each.
///
/// # Errors
/// A name that is neither run nor arm, with the nearest one; a run that failed; a run against an arm; an arm at several
/// axis points; two arms that no seed finished both of; one name twice.
pub fn compare(results: &Results, names: [&str; 2], metric: Option<Metric>) -> Result<Comparison> {
    let sides = sides::resolve(results, names)?;
    let seed = |run: usize| results.runs[run].identity.seed;
    let (tasks, means) = items::scores(results, &sides, metric);
    Ok(Comparison {
        seeds: sides.pairs.iter().map(|(a, b)| [seed(*a), seed(*b)]).collect(),
        columns: configuration::columns(results, &sides)?,
        context_lengths: [0, 1].map(|side| context_lengths(results, &sides.runs(side))),
        tasks,
        means,
        bits_per_byte: bits_per_byte(results, &sides),
        widths: widths::shapes(results, &sides),
        overlap: widths::overlap(results, &sides),
        sides,
    })
}

fn context_lengths(results: &Results, runs: &[usize]) -> BTreeSet<u64> {
    results.evals.iter().filter(|k| runs.contains(&k.run)).filter_map(|k| k.row.context_length).collect()
}

/// Held-out loss over the pairs that have it; Student's paired t over seeds where there are several.
fn bits_per_byte(results: &Results, sides: &Sides) -> Option<([f64; 2], Difference)> {
    let bits = |run: usize| results.runs[run].totals.bits_per_byte;
    let (a, b): (Vec<f64>, Vec<f64>) =
        sides.pairs.iter().filter_map(|(a, b)| Some((bits(*a)?, bits(*b)?))).unzip();
    let d = differences(&b, &a).ok()?;
    let t = paired_t(&d, LEVEL).ok();
    let difference = Difference { mean: mean(&d).ok()?, interval: t.map(|t| t.interval), p: t.map(|t| t.p) };
    Some(([mean(&a).ok()?, mean(&b).ok()?], difference))
}

impl Comparison {
    /// Plain text, as wide as the terminal and at most 100 columns, with up to `flips` items listed for each task and direction.
    pub fn to_text(&self, flips: usize) -> String {
        text::render(&pages::document(self, flips))
    }

    /// The same as Markdown.
    pub fn to_markdown(&self, flips: usize) -> String {
        markdown::render(&pages::document(self, flips))
    }
}
