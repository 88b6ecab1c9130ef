//! Linear contrasts of cell means.
//!
//! ```text
//! ψ = Σ_c w_c μ_c,   Σ_c w_c = 0        estimated by the mean over tasks, seeds s and items i of   d_si = Σ_c w_c x_c,si
//! ```
//!
//! A contrast is taken within each seed and item before anything is averaged, so what seeds and items have in common cancels.
//! Interval and p are those of the crossed model ([`crate::stats::crossed`]) for numbers of items, and Student's t over seeds
//! for numbers of runs. With weights 1 and −1 it is a paired difference.
//!
//! One seed gives an interval over items alone and no p: it says nothing of another seed.
use super::Grid;
use crate::record::scores::COMMON_SENSE;
use crate::report::groups::Group;
use crate::report::metric::Metric;
use crate::report::scores::{LEVEL, share_interval, within_shares};
use crate::stats::cluster::Clusters;
use crate::stats::crossed::{CrossedMean, crossed_mean_in_clusters};
use crate::stats::paired::{PairedT, equivalence, paired_t};
use crate::stats::power::{minimum_detectable_effect_by_t, seeds_needed};
use crate::stats::{Interval, descriptive};
use std::collections::BTreeSet;

/// Weights of groups, by their index.
pub type Weights = Vec<(usize, f64)>;

/// Power at which a smallest detectable difference and a number of seeds are told.
pub const POWER: f64 = 0.8;
/// More seeds than this are not looked for.
const MOST_SEEDS: u64 = 1000;

/// The model that an estimate's interval is of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fit {
    /// Of numbers of items.
    Crossed(CrossedMean),
    /// Of numbers of runs, over seeds.
    Paired(PairedT),
}

/// The value of a contrast, as far as it was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    /// In the metric's own unit.
    pub value: Option<f64>,
    /// Over new seeds and new items; over items alone with one seed.
    pub interval: Option<Interval>,
    /// `None` with one seed, or where the differences do not vary.
    pub p: Option<f64>,
    /// Seeds that every cell of the contrast finished.
    pub seeds: usize,
    /// Items of all tasks together; 0 for a metric of runs.
    pub items: usize,
    pub fit: Option<Fit>,
}

/// How many seeds it takes to find a difference as large as the observed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeedsNeeded {
    Seeds(u64),
    /// The items' own spread hides it from any number of seeds.
    MoreItems,
}

impl Fit {
    pub fn standard_error(&self) -> f64 {
        match self {
            Fit::Crossed(fit) => fit.standard_error,
            Fit::Paired(fit) => fit.standard_error,
        }
    }

    /// Degrees of freedom at level `alpha`: of seeds, or between those of seeds and items.
    pub fn freedom(&self, alpha: f64) -> f64 {
        match self {
            Fit::Crossed(fit) => fit.freedom(alpha),
            Fit::Paired(fit) => (fit.n - 1) as f64,
        }
    }

    /// Variance of the difference of one seed, and what the items add however many seeds there are.
    pub fn variances(&self) -> (f64, f64) {
        match self {
            Fit::Crossed(fit) => {
                (fit.seed_variance.max(fit.error_variance) * fit.seeds as f64, fit.item_variance)
            }
            Fit::Paired(fit) => (fit.standard_error * fit.standard_error * fit.n as f64, 0.0),
        }
    }

    /// As it would be with so many seeds that vary as these do, on the same items.
    pub fn with_seeds(&self, seeds: usize) -> Fit {
        let (of_seed, of_items) = self.variances();
        let standard_error = (of_seed / seeds as f64 + of_items).sqrt();
        match *self {
            Fit::Crossed(fit) => {
                let share = fit.seeds as f64 / seeds as f64;
                Fit::Crossed(CrossedMean {
                    standard_error,
                    seeds,
                    seed_variance: fit.seed_variance * share,
                    error_variance: fit.error_variance * share,
                    ..fit
                })
            }
            Fit::Paired(fit) => Fit::Paired(PairedT { standard_error, n: seeds, ..fit }),
        }
    }

    /// Smallest true difference that is found with a probability of [`POWER`] at level `alpha`; `None` with one seed.
    pub fn detectable(&self, alpha: f64) -> Option<f64> {
        let seeds = match self {
            Fit::Crossed(fit) => fit.seeds,
            Fit::Paired(fit) => fit.n,
        };
        if seeds < 2 {
            return None;
        }
        minimum_detectable_effect_by_t(self.standard_error(), self.freedom(alpha), POWER, alpha).ok()
    }

    /// p of the two one-sided tests that the value is within `margin` of 0.
    pub fn equivalence(&self, margin: f64) -> Option<f64> {
        let found = match self {
            Fit::Crossed(fit) => fit.equivalence(margin),
            Fit::Paired(fit) => equivalence(fit.mean, fit.standard_error, (fit.n - 1) as f64, margin),
        };
        found.ok().map(|found| found.p())
    }
}

impl Estimate {
    /// Of the contrast with all weights negated.
    pub fn negated(&self) -> Estimate {
        let interval = self.interval.map(|i| Interval { low: -i.high, high: -i.low });
        Estimate { value: self.value.map(|value| -value), interval, ..self.clone() }
    }

    /// The fit, where there are seeds enough for a verdict.
    fn over_seeds(&self) -> Option<&Fit> {
        self.fit.as_ref().filter(|_| self.seeds > 1)
    }

    /// Smallest true difference that these seeds and items find with a probability of [`POWER`] at level `alpha`.
    pub fn detectable(&self, alpha: f64) -> Option<f64> {
        self.over_seeds()?.detectable(alpha)
    }

    /// How many seeds find a difference as large as the observed one with a probability of [`POWER`] at level `alpha`.
    pub fn seeds_needed(&self, alpha: f64) -> Option<SeedsNeeded> {
        let (of_seed, of_items) = self.over_seeds()?.variances();
        let needed = seeds_needed(self.value?, of_seed, of_items, POWER, alpha, MOST_SEEDS).ok()?;
        Some(needed.map_or(SeedsNeeded::MoreItems, SeedsNeeded::Seeds))
    }
}

/// What a contrast is the mean of.
pub struct Differences {
    /// `[task][seed][item]`; of a number of runs one task with one item.
    pub values: Vec<Vec<Vec<f64>>>,
    /// Of every task; none for a number of runs.
    pub clusters: Vec<Clusters>,
    /// Seeds behind them.
    pub seeds: Vec<u64>,
}

impl Differences {
    /// Mean over tasks and items of each seed.
    pub fn per_seed(&self) -> Vec<f64> {
        let mean = |x: &Vec<f64>| x.iter().sum::<f64>() / x.len() as f64;
        let of = |seed: usize| self.values.iter().map(|task| mean(&task[seed])).sum::<f64>();
        (0..self.seeds.len()).map(|seed| of(seed) / self.values.len() as f64).collect()
    }

    /// Items of all tasks together; 0 for a number of runs.
    pub fn items(&self) -> usize {
        self.clusters.iter().map(Clusters::num_items).sum()
    }

    /// Mean, interval at `level` and p.
    pub fn estimate(&self, level: f64) -> Estimate {
        let per_seed = self.per_seed();
        let fit = match self.clusters.is_empty() {
            true => paired_t(&per_seed, level).ok().map(Fit::Paired),
            false => crossed_mean_in_clusters(&self.values, &self.clusters, level).ok().map(Fit::Crossed),
        };
        let seeds = self.seeds.len();
        Estimate {
            value: descriptive::mean(&per_seed).ok(),
            interval: fit.map(|fit| match fit {
                Fit::Crossed(fit) => fit.interval,
                Fit::Paired(fit) => fit.interval,
            }),
            p: fit.filter(|_| seeds > 1).map(|fit| match fit {
                Fit::Crossed(fit) => fit.p(),
                Fit::Paired(fit) => fit.p,
            }),
            seeds,
            items: self.items(),
            fit,
        }
    }
}

impl Differences {
    /// As [`Differences::estimate`], where the weights are those of a mean instead of a contrast: shares then have the interval
    /// that they have in every other table ([`share_interval`]).
    pub fn mean(&self, metric: Metric) -> Estimate {
        let mut estimate = self.estimate(LEVEL);
        let Some(value) = estimate.value.filter(|_| metric.is_share()) else { return estimate };
        estimate.interval = match estimate.fit {
            Some(Fit::Paired(_)) => estimate.interval.map(within_shares),
            fit if metric.is_binary() && !self.clusters.is_empty() => {
                let crossed = match fit {
                    Some(Fit::Crossed(crossed)) => Some(crossed),
                    _ => None,
                };
                share_interval(value, &self.values, &self.clusters, crossed)
            }
            _ => estimate.interval.map(within_shares),
        };
        estimate
    }
}

/// Σ w x, exactly 0 where nothing is left of it but rounding: cells that are equal do not differ.
fn sum(weights: &[(usize, f64)], x: impl Fn(usize) -> f64) -> f64 {
    let terms = weights.iter().enumerate().map(|(cell, (_, weight))| weight * x(cell));
    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + f64::abs(term)));
    if f64::abs(sum) <= 8.0 * f64::EPSILON * size { 0.0 } else { sum }
}

impl Grid<'_> {
    /// Runs of the cells `weights` (index of a group, weight), `[seed][cell]`, for the seeds that all of them finished.
    fn paired_runs(&self, weights: &[(usize, f64)]) -> Vec<(u64, Vec<usize>)> {
        let seed = |run: &usize| self.results.runs[*run].identity.seed;
        let cells: Vec<&Group> = weights.iter().map(|(group, _)| &self.groups[*group]).collect();
        let seeds: BTreeSet<u64> = cells.iter().flat_map(|cell| cell.runs.iter().map(seed)).collect();
        let run = |cell: &Group, s: u64| cell.runs.iter().find(|run| seed(run) == s).copied();
        let of = |s: u64| Some((s, cells.iter().map(|cell| run(cell, s)).collect::<Option<Vec<usize>>>()?));
        seeds.into_iter().filter_map(of).collect()
    }

    /// The seeds that every one of `cells` finished.
    pub fn shared_seeds(&self, cells: &[(usize, f64)]) -> Vec<u64> {
        self.paired_runs(cells).into_iter().map(|(seed, _)| seed).collect()
    }

    /// The groups with the runs of `seeds` alone.
    pub fn groups_of_seeds(&self, seeds: &[u64]) -> Vec<Group> {
        let has_seed = |run: &usize| seeds.contains(&self.results.runs[*run].identity.seed);
        let of = |group: &Group| Group {
            runs: group.runs.iter().copied().filter(has_seed).collect(),
            ..group.clone()
        };
        self.groups.iter().map(of).collect()
    }

    /// The contrast with these `weights` of groups and a 95 % interval; blank where no seed finished all of them.
    pub fn estimate(&self, weights: &[(usize, f64)]) -> Estimate {
        self.estimate_at(weights, LEVEL)
    }

    /// As [`Grid::estimate`], with an interval at `level`.
    pub fn estimate_at(&self, weights: &[(usize, f64)], level: f64) -> Estimate {
        self.differences(weights).map(|found| found.estimate(level)).unwrap_or_default()
    }

    /// The mean with these `weights` of groups, which sum to 1, and its 95 % interval; blank where no seed finished all of them.
    pub fn mean(&self, weights: &[(usize, f64)]) -> Estimate {
        self.differences(weights).map(|found| found.mean(self.metric)).unwrap_or_default()
    }

    /// The contrast seed by seed and item by item; `None` where no seed finished all of its cells, or nothing was measured.
    pub fn differences(&self, weights: &[(usize, f64)]) -> Option<Differences> {
        let paired = self.paired_runs(weights);
        if paired.is_empty() || weights.is_empty() {
            return None;
        }
        match (self.metric.is_of_items(), self.scores.has_items()) {
            (true, true) => self.of_items(weights, &paired),
            (true, false) => {
                let tasks = self.scores.tasks_of(self.metric, &self.scores.tasks)?;
                let all = || paired.iter().flat_map(|(_, runs)| runs);
                let scored = |task: &&&str| {
                    all().all(|run| self.scores.of_tasks(*run, &[task], self.metric).is_some())
                };
                let tasks: Vec<&str> = tasks.iter().filter(scored).copied().collect();
                let missing = self.metric == Metric::AverageUsual && tasks.len() < COMMON_SENSE.len();
                let value = |run: usize| self.scores.of_tasks(run, &tasks, self.metric).filter(|_| !missing);
                Self::of_runs(weights, &paired, value)
            }
            (false, _) => {
                let value = |run: usize| self.metric.of_run(&self.results.runs[run].totals);
                Self::of_runs(weights, &paired, value)
            }
        }
    }

    fn of_runs(
        weights: &[(usize, f64)],
        paired: &[(u64, Vec<usize>)],
        value: impl Fn(usize) -> Option<f64>,
    ) -> Option<Differences> {
        let contrast = |(seed, runs): &(u64, Vec<usize>)| {
            let of_cells = runs.iter().map(|run| value(*run)).collect::<Option<Vec<f64>>>()?;
            Some((*seed, vec![sum(weights, |cell| of_cells[cell])]))
        };
        let (seeds, values): (Vec<u64>, Vec<Vec<f64>>) = paired.iter().filter_map(contrast).unzip();
        (!seeds.is_empty()).then(|| Differences { values: vec![values], clusters: Vec::new(), seeds })
    }

    fn of_items(&self, weights: &[(usize, f64)], paired: &[(u64, Vec<usize>)]) -> Option<Differences> {
        let all: Vec<usize> = paired.iter().flat_map(|(_, runs)| runs).copied().collect();
        let seeds = paired.iter().map(|(seed, _)| *seed).collect();
        let mut found = Differences { values: Vec::new(), clusters: Vec::new(), seeds };
        for task in self.scores.tasks_of(self.metric, &self.scores.tasks)? {
            // One table for all cells and seeds, so that all are scored on the very same items.
            let Some(shared) = self.scores.shared(&all, task, self.metric) else { continue };
            let per_seed = shared.values.chunks(weights.len()).map(|cells| {
                let item = |i: usize| sum(weights, |cell| cells[cell][i]);
                (0..shared.clusters.num_items()).map(item).collect::<Vec<f64>>()
            });
            found.values.push(per_seed.collect());
            found.clusters.push(shared.clusters);
        }
        let missing = self.metric == Metric::AverageUsual && found.values.len() < COMMON_SENSE.len();
        (!found.values.is_empty() && !missing).then_some(found)
    }
}
