//! Accuracies of groups: per-item scores by seed, their means and intervals.
use super::groups::Group;
use super::request::Metric;
use crate::record::Results;
use crate::stats::Interval;
use crate::stats::crossed::crossed_mean;
use std::collections::BTreeMap;

/// Confidence level of every interval.
pub const LEVEL: f64 = 0.95;
/// Tasks whose usual headline number is acc_norm.
pub const NORM_TASKS: [&str; 3] = ["arc_challenge", "hellaswag", "openbookqa"];

type ItemScores<'a> = BTreeMap<&'a str, (Option<u8>, Option<u8>)>;

/// Every item's outcome, by run, task and item.
pub struct Scores<'a> {
    results: &'a Results,
    by_run: Vec<BTreeMap<&'a str, ItemScores<'a>>>,
    /// Tasks in order of first appearance.
    pub tasks: Vec<&'a str>,
}

/// A mean with its interval, as far as they exist.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cell {
    pub mean: Option<f64>,
    pub interval: Option<Interval>,
    pub seeds: usize,
}

fn pick(scores: &(Option<u8>, Option<u8>), metric: Metric) -> Option<u8> {
    if metric == Metric::AccNorm { scores.1 } else { scores.0 }
}

/// A symmetric interval of a share may reach past its ends; no share does.
fn within_shares(i: Interval) -> Interval {
    Interval { low: i.low.max(0.0), high: i.high.min(1.0) }
}

impl<'a> Scores<'a> {
    pub fn new(results: &'a Results) -> Scores<'a> {
        let mut by_run: Vec<BTreeMap<&str, ItemScores>> = vec![BTreeMap::new(); results.runs.len()];
        for k in &results.items {
            let task = by_run[k.run].entry(k.row.task.as_str()).or_default();
            task.insert(&k.row.item, (k.row.acc, k.row.acc_norm));
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

    /// Items of `task` that every one of `runs` has, in the order of their names; none where a run has no such task.
    pub fn shared_items(&self, runs: &[usize], task: &str, metric: Metric) -> Vec<&'a str> {
        let tables: Option<Vec<&ItemScores>> = runs.iter().map(|r| self.by_run[*r].get(task)).collect();
        let Some(tables) = tables else { return vec![] };
        let Some(first) = tables.first() else { return vec![] };
        let in_all = |item: &&str| tables.iter().all(|t| t.get(item).and_then(|s| pick(s, metric)).is_some());
        first.keys().copied().filter(in_all).collect()
    }

    /// Scores `[run][item]` of the [`Scores::shared_items`]; `None` where there are none.
    pub fn matrix(&self, runs: &[usize], task: &str, metric: Metric) -> Option<Vec<Vec<f64>>> {
        let shared = self.shared_items(runs, task, metric);
        if shared.is_empty() {
            return None;
        }
        let score = |run: usize, item: &str| {
            self.by_run[run].get(task).and_then(|t| t.get(item)).and_then(|s| pick(s, metric)).map(f64::from)
        };
        Some(runs.iter().map(|r| shared.iter().filter_map(|item| score(*r, item)).collect()).collect())
    }

    /// Mean over tasks, seeds and items of `tasks` for `group`, with the crossed interval.
    ///
    /// Blank where any of the tasks was not scored: a mean over fewer tasks would be another number.
    pub fn cell(&self, group: &Group, tasks: &[&str], metric: Metric) -> Cell {
        let scores: Option<Vec<_>> = tasks.iter().map(|t| self.matrix(&group.runs, t, metric)).collect();
        match scores {
            Some(scores) if !scores.is_empty() => {
                let crossed = crossed_mean(&scores, LEVEL).ok();
                let plain = |task: &Vec<Vec<f64>>| {
                    task.iter().flatten().sum::<f64>() / (task.len() * task[0].len()) as f64
                };
                let mean = scores.iter().map(plain).sum::<f64>() / scores.len() as f64;
                Cell {
                    mean: Some(mean),
                    interval: crossed.map(|c| within_shares(c.interval)),
                    seeds: group.runs.len(),
                }
            }
            _ => Cell::default(),
        }
    }

    /// Tasks on which every finished run of `group` has `metric`.
    pub fn tasks_with(&self, metric: Metric, groups: &[Group]) -> Vec<&'a str> {
        let measured = |task: &&&str| groups.iter().any(|g| self.matrix(&g.runs, task, metric).is_some());
        self.tasks.iter().filter(measured).copied().collect()
    }
}
