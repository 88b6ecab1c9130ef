//! Linear contrasts of cell means.
//!
//! ```text
//! ψ = Σ_c w_c μ_c,   Σ_c w_c = 0        estimated by the mean over tasks, seeds s and items i of   d_si = Σ_c w_c x_c,si
//! ```
//!
//! A contrast is taken within each seed and item before anything is averaged, so what seeds and items have in common cancels.
//! Interval and p are those of the crossed model ([`crate::stats::crossed`]) for numbers of items, and Student's t over seeds
//! for numbers of runs. With weights 1 and −1 it is a paired difference.
use super::Grid;
use crate::report::groups::Group;
use crate::report::scores::LEVEL;
use crate::stats::crossed::crossed_mean_in_clusters;
use crate::stats::paired::paired_t;
use crate::stats::{Interval, descriptive};
use std::collections::BTreeSet;

/// The value of a contrast, as far as it was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    /// In the metric's own unit.
    pub value: Option<f64>,
    /// Over new seeds and new items; over items alone with one seed.
    pub interval: Option<Interval>,
    pub p: Option<f64>,
    /// Seeds that every cell of the contrast finished.
    pub seeds: usize,
    /// Items of all tasks together; 0 for a metric of runs.
    pub items: usize,
}

impl Estimate {
    /// Of the contrast with all weights negated.
    pub fn negated(&self) -> Estimate {
        let interval = self.interval.map(|i| Interval { low: -i.high, high: -i.low });
        Estimate { value: self.value.map(|value| -value), interval, ..self.clone() }
    }
}

impl Grid<'_> {
    /// Runs of the cells `weights` (index of a group, weight), `[seed][cell]`, for the seeds that all of them finished.
    fn paired_runs(&self, weights: &[(usize, f64)]) -> Vec<Vec<usize>> {
        let seed = |run: &usize| self.results.runs[*run].identity.seed;
        let cells: Vec<&Group> = weights.iter().map(|(group, _)| &self.groups[*group]).collect();
        let seeds: BTreeSet<u64> = cells.iter().flat_map(|cell| cell.runs.iter().map(seed)).collect();
        let run = |cell: &Group, s: u64| cell.runs.iter().find(|run| seed(run) == s).copied();
        seeds.iter().filter_map(|s| cells.iter().map(|cell| run(cell, *s)).collect()).collect()
    }

    /// The contrast with these `weights` of groups and a 95 % interval; blank where no seed finished all of them.
    pub fn estimate(&self, weights: &[(usize, f64)]) -> Estimate {
        self.estimate_at(weights, LEVEL)
    }

    /// As [`Grid::estimate`], with an interval at `level`.
    pub fn estimate_at(&self, weights: &[(usize, f64)], level: f64) -> Estimate {
        let paired = self.paired_runs(weights);
        if paired.is_empty() || weights.is_empty() {
            return Estimate::default();
        }
        let estimate = Estimate { seeds: paired.len(), ..Estimate::default() };
        if self.metric.is_of_items() {
            self.of_items(weights, &paired, level, estimate)
        } else {
            self.of_runs(weights, &paired, level, estimate)
        }
    }

    fn of_runs(
        &self,
        weights: &[(usize, f64)],
        paired: &[Vec<usize>],
        level: f64,
        mut out: Estimate,
    ) -> Estimate {
        let value = |run: usize| self.metric.of_run(&self.results.runs[run].totals);
        let contrast = |runs: &Vec<usize>| {
            let terms = runs.iter().zip(weights).map(|(run, (_, w))| Some(w * value(*run)?));
            terms.sum::<Option<f64>>()
        };
        let per_seed: Vec<f64> = paired.iter().filter_map(contrast).collect();
        out.seeds = per_seed.len();
        out.value = descriptive::mean(&per_seed).ok();
        if let Ok(t) = paired_t(&per_seed, level) {
            (out.interval, out.p) = (Some(t.interval), Some(t.p));
        }
        out
    }

    fn of_items(
        &self,
        weights: &[(usize, f64)],
        paired: &[Vec<usize>],
        level: f64,
        mut out: Estimate,
    ) -> Estimate {
        let all: Vec<usize> = paired.concat();
        let Some(tasks) = self.scores.tasks_of(self.metric, &self.scores.tasks) else {
            return Estimate::default();
        };
        let (mut differences, mut clusters) = (Vec::new(), Vec::new());
        for task in tasks {
            // One table for all cells and seeds, so that all are scored on the very same items.
            let Some(shared) = self.scores.shared(&all, task, self.metric) else { continue };
            let per_seed = shared.values.chunks(weights.len()).map(|cells| {
                let item = |i: usize| cells.iter().zip(weights).map(|(cell, (_, w))| w * cell[i]).sum();
                (0..shared.items.len()).map(item).collect::<Vec<f64>>()
            });
            differences.push(per_seed.collect::<Vec<_>>());
            clusters.push(shared.clusters);
        }
        if differences.is_empty() {
            return Estimate::default();
        }
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let of_task: Vec<f64> = differences.iter().map(|task| mean(&task.concat())).collect();
        out.items = differences.iter().map(|task| task[0].len()).sum();
        out.value = Some(mean(&of_task));
        if let Ok(crossed) = crossed_mean_in_clusters(&differences, &clusters, level) {
            (out.interval, out.p) = (Some(crossed.interval), Some(crossed.p()));
        }
        out
    }
}
