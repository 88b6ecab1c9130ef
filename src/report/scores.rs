//! Scores of groups by metric: numbers of items by seed, their means and intervals.
//!
//! An item is its place in its file, never its id. Rows of versions that did not record places name an item by its id and by
//! how many items before it have that id.
use super::groups::Group;
use super::metric::Metric;
use crate::record::scores::{COMMON_SENSE, clusters_of};
use crate::record::{ItemChoice, Results};
use crate::stats::Interval;
use crate::stats::cluster::Clusters;
use crate::stats::crossed::crossed_mean_in_clusters;
use crate::stats::descriptive;
use std::collections::BTreeMap;

/// Confidence level of every interval.
pub const LEVEL: f64 = 0.95;
/// Tasks whose usual headline number is acc_norm.
pub const NORM_TASKS: [&str; 3] = crate::record::scores::USUALLY_NORMALISED;

/// An item of a task, the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Place(u64),
    /// Id, and items before it with that id.
    Named(&'a str, usize),
}

type Items<'a> = BTreeMap<Key<'a>, &'a ItemChoice>;

/// Every item's outcome, by run, task and item.
pub struct Scores<'a> {
    results: &'a Results,
    by_run: Vec<BTreeMap<&'a str, Items<'a>>>,
    /// Tasks in order of first appearance.
    pub tasks: Vec<&'a str>,
}

/// One task's numbers on the items that several runs have in common.
pub struct Shared<'a> {
    /// `[run][item]`
    pub values: Vec<Vec<f64>>,
    /// The first run's row of each item.
    pub items: Vec<&'a ItemChoice>,
    /// Which items belong together.
    pub clusters: Clusters,
}

/// A mean with its interval, as far as they exist.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub mean: Option<f64>,
    pub interval: Option<Interval>,
    pub seeds: usize,
}

/// A symmetric interval of a share may reach past its ends; no share does.
fn within_shares(i: Interval) -> Interval {
    Interval { low: i.low.max(0.0), high: i.high.min(1.0) }
}

impl<'a> Scores<'a> {
    pub fn new(results: &'a Results) -> Scores<'a> {
        let mut by_run: Vec<BTreeMap<&str, Items>> = vec![BTreeMap::new(); results.runs.len()];
        let mut named: BTreeMap<(usize, &str, &str), usize> = BTreeMap::new();
        // Each item has exactly one row per choice: the first stands for it.
        for k in results.items.iter().filter(|k| k.row.choice == 0) {
            let key = match k.row.place {
                Some(place) => Key::Place(place),
                None => {
                    let before = named.entry((k.run, &k.row.task, &k.row.item)).or_default();
                    *before += 1;
                    Key::Named(&k.row.item, *before - 1)
                }
            };
            by_run[k.run].entry(k.row.task.as_str()).or_default().insert(key, &k.row);
        }
        let mut tasks: Vec<&str> = Vec::new();
        for k in &results.evals {
            if !tasks.contains(&k.row.task.as_str()) {
                tasks.push(&k.row.task);
            }
        }
        Scores { results, by_run, tasks }
    }

    /// Accuracy of blind guessing on `task`.
    pub fn chance(&self, task: &str) -> Option<f64> {
        self.results.evals.iter().find(|k| k.row.task == task).and_then(|k| k.row.chance)
    }

    /// Most items any run was scored on.
    pub fn num_items(&self, task: &str) -> u64 {
        self.results.evals.iter().filter(|k| k.row.task == task).map(|k| k.row.num_items).max().unwrap_or(0)
    }

    /// Mean over runs of the design effect of `task`; `None` where none is recorded.
    pub fn design_effect(&self, task: &str) -> Option<f64> {
        let of = self.results.evals.iter().filter(|k| k.row.task == task);
        descriptive::mean(&of.filter_map(|k| k.row.design_effect).collect::<Vec<_>>()).ok()
    }

    /// `metric` of `task` on the items that every one of `runs` has, in the order of their places; `None` where there are none,
    /// or a run has no such task.
    pub fn shared(&self, runs: &[usize], task: &str, metric: Metric) -> Option<Shared<'a>> {
        let tables: Option<Vec<&Items>> = runs.iter().map(|r| self.by_run[*r].get(task)).collect();
        let tables = tables?;
        let mut shared: Vec<(&'a ItemChoice, Vec<f64>)> = Vec::new();
        for (key, first) in tables.first()?.iter() {
            let of = |table: &&Items<'a>| table.get(key).and_then(|item| metric.of_item(item));
            if let Some(values) = tables.iter().map(of).collect::<Option<Vec<f64>>>() {
                shared.push((first, values));
            }
        }
        if shared.is_empty() {
            return None;
        }
        let values =
            (0..runs.len()).map(|run| shared.iter().map(|(_, values)| values[run]).collect()).collect();
        let items: Vec<&ItemChoice> = shared.into_iter().map(|(item, _)| item).collect();
        Some(Shared { values, clusters: clusters_of(&items), items })
    }

    /// The tasks that a mean of `metric` is over, of `tasks`; `None` where one that belongs to it is missing.
    pub fn tasks_of<'t>(&self, metric: Metric, tasks: &[&'t str]) -> Option<Vec<&'t str>> {
        let known = |task: &&str| metric != Metric::AverageUsual || COMMON_SENSE.contains(task);
        let kept: Vec<&str> = tasks.iter().copied().filter(known).collect();
        (metric != Metric::AverageUsual || kept.len() == COMMON_SENSE.len()).then_some(kept)
    }

    /// Mean over tasks, seeds and items of `tasks` for `group`, with the crossed interval.
    ///
    /// Blank where any of the tasks was not scored: a mean over fewer tasks would be another number.
    pub fn cell(&self, group: &Group, tasks: &[&str], metric: Metric) -> Cell {
        let shared: Option<Vec<Shared>> = tasks.iter().map(|t| self.shared(&group.runs, t, metric)).collect();
        match shared {
            Some(shared) if !shared.is_empty() => {
                let (scores, clusters): (Vec<_>, Vec<_>) =
                    shared.into_iter().map(|task| (task.values, task.clusters)).unzip();
                let crossed = crossed_mean_in_clusters(&scores, &clusters, LEVEL).ok();
                let plain = |task: &Vec<Vec<f64>>| {
                    task.iter().flatten().sum::<f64>() / (task.len() * task[0].len()) as f64
                };
                let mean = scores.iter().map(plain).sum::<f64>() / scores.len() as f64;
                let ends = |i: Interval| if metric.is_share() { within_shares(i) } else { i };
                Cell {
                    mean: Some(mean),
                    interval: crossed.map(|c| ends(c.interval)),
                    seeds: group.runs.len(),
                }
            }
            _ => Cell::default(),
        }
    }

    /// Mean of `metric` over the runs and items of `task`; `None` where a run was not scored on it.
    pub fn mean(&self, group: &Group, task: &str, metric: Metric) -> Option<f64> {
        let shared = self.shared(&group.runs, task, metric)?;
        descriptive::mean(&shared.values.concat()).ok()
    }

    /// Tasks on which every finished run of `group` has `metric`.
    pub fn tasks_with(&self, metric: Metric, groups: &[Group]) -> Vec<&'a str> {
        let measured = |task: &&&str| groups.iter().any(|g| self.shared(&g.runs, task, metric).is_some());
        self.tasks.iter().filter(measured).copied().collect()
    }
}
