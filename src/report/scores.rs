//! Scores of groups by metric: numbers of items by seed, their means and intervals.
//!
//! An item is its place in its file, never its id. Rows of versions that did not record places name an item by its id and by
//! how many items before it have that id.
use super::groups::Group;
use super::metric::Metric;
use crate::record::scores::{COMMON_SENSE, clusters_of};
use crate::record::{ItemChoice, Results};
use crate::stats::Interval;
use crate::stats::cluster::{Clusters, clustered_share};
use crate::stats::crossed::{CrossedMean, crossed_mean_in_clusters};
use crate::stats::descriptive;
use crate::stats::paired::paired_t;
use crate::stats::proportion::wilson_of_share;
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

/// In the order of their keys, each once.
type Items<'a> = Vec<(Key<'a>, &'a ItemChoice)>;

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
pub(super) fn within_shares(i: Interval) -> Interval {
    Interval { low: i.low.max(0.0), high: i.high.min(1.0) }
}

/// Interval of a share of right answers: Wilson's, as in `evals.csv`, so that no end is beyond 0 and 1.
///
/// One task of one run has that of `evals.csv`. Means over seeds, tasks and settings take the crossed variance V and its quantile in its
/// place: as many items as give V = p(1 − p)/n. Where all answers are right, or all wrong, no variance says how far the share may
/// be from there; then each task has the bound of its items in one run, and the mean that of those bounds.
pub(super) fn share_interval(
    mean: f64,
    scores: &[Vec<Vec<f64>>],
    clusters: &[Clusters],
    crossed: Option<CrossedMean>,
) -> Option<Interval> {
    let of_run = |task: &Vec<Vec<f64>>, clusters: &Clusters| {
        let right: Vec<bool> = task[0].iter().map(|x| *x > 0.5).collect();
        clustered_share(&right, clusters, LEVEL).ok()
    };
    if let ([task], [clusters]) = (scores, clusters)
        && task.len() == 1
        && task[0].iter().all(|x| *x == 0.0 || *x == 1.0)
    {
        return of_run(task, clusters);
    }
    if mean > 0.0 && mean < 1.0 {
        let crossed = crossed?;
        let items = mean * (1.0 - mean) / crossed.standard_error.powi(2);
        let quantile = (crossed.interval.high - crossed.mean) / crossed.standard_error;
        return wilson_of_share(mean, items, quantile).ok();
    }
    let of_tasks = scores.iter().zip(clusters).map(|(task, clusters)| of_run(task, clusters));
    let of_tasks = of_tasks.collect::<Option<Vec<Interval>>>()?;
    let over = |end: fn(&Interval) -> f64| of_tasks.iter().map(end).sum::<f64>() / of_tasks.len() as f64;
    Some(Interval { low: over(|i| i.low), high: over(|i| i.high) })
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
            by_run[k.run].entry(k.row.task.as_str()).or_default().push((key, &k.row));
        }
        for items in by_run.iter_mut().flat_map(BTreeMap::values_mut) {
            items.sort_by_key(|(key, _)| *key);
            // Of two rows of one item the later one counts.
            items.dedup_by(|later, kept| {
                let is_same = later.0 == kept.0;
                if is_same {
                    kept.1 = later.1;
                }
                is_same
            });
        }
        let mut tasks: Vec<&str> = Vec::new();
        for k in &results.evals {
            if !tasks.contains(&k.row.task.as_str()) {
                tasks.push(&k.row.task);
            }
        }
        Scores { results, by_run, tasks }
    }

    /// Whether there is a row for each item. Where `items.csv` was left out there are means of tasks alone, and intervals are over
    /// seeds.
    pub fn has_items(&self) -> bool {
        !self.results.items.is_empty() || self.results.evals.is_empty()
    }

    /// Mean over `tasks` of what `run` scored on each, from `evals.csv`; `None` where one is missing.
    pub fn of_tasks(&self, run: usize, tasks: &[&str], metric: Metric) -> Option<f64> {
        let of_task = |task: &&str| {
            let found = self.results.evals.iter().find(|k| k.run == run && k.row.task == *task);
            found.and_then(|k| metric.of_task(&k.row))
        };
        descriptive::mean(&tasks.iter().map(of_task).collect::<Option<Vec<f64>>>()?).ok()
    }

    /// As [`Scores::cell`], over seeds alone.
    fn cell_of_means(&self, group: &Group, tasks: &[&str], metric: Metric) -> Cell {
        let by_seed: Option<Vec<f64>> =
            group.runs.iter().map(|run| self.of_tasks(*run, tasks, metric)).collect();
        let Some(by_seed) = by_seed.filter(|seeds| !seeds.is_empty()) else { return Cell::default() };
        let over_seeds = paired_t(&by_seed, LEVEL).ok().map(|t| t.interval);
        let interval = if metric.is_share() { over_seeds.map(within_shares) } else { over_seeds };
        Cell { mean: descriptive::mean(&by_seed).ok(), interval, seeds: by_seed.len() }
    }

    /// Whether two runs gave the first choice of every item the same log-likelihood, to the bit, and the same answer.
    pub fn same_answers(&self, a: usize, b: usize) -> bool {
        let same = |(x, y): (&Items, &Items)| {
            x.len() == y.len()
                && x.iter().zip(y).all(|((i, x), (j, y))| i == j && (x.loglik, x.acc) == (y.loglik, y.acc))
        };
        let (a, b) = (&self.by_run[a], &self.by_run[b]);
        a.len() == b.len() && a.iter().zip(b).all(|((s, x), (t, y))| s == t && same((x, y)))
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
        let (tables, metric) = (tables?, metric.on_task(task)?);
        let mut items: Vec<&'a ItemChoice> = Vec::new();
        let mut values: Vec<Vec<f64>> = vec![Vec::new(); runs.len()];
        for (place, (key, first)) in tables.first()?.iter().enumerate() {
            // Runs of one experiment have the same items, so that the place is nearly always the same, too.
            let find = |table: &&Items<'a>| match table.get(place) {
                Some((other, item)) if other == key => Some(*item),
                _ => table.binary_search_by_key(key, |(key, _)| *key).ok().map(|place| table[place].1),
            };
            let of = |table: &&Items<'a>| find(table).and_then(|item| metric.of_item(item));
            let is_shared = values.iter_mut().zip(&tables).all(|(values, table)| {
                of(table).is_some_and(|value| {
                    values.push(value);
                    true
                })
            });
            match is_shared {
                true => items.push(first),
                false => values.iter_mut().for_each(|values| values.truncate(items.len())),
            }
        }
        (!items.is_empty()).then(|| Shared { values, clusters: clusters_of(&items), items })
    }

    /// The tasks that a mean of `metric` is over, of `tasks`; `None` where one that belongs to it is missing.
    pub fn tasks_of<'t>(&self, metric: Metric, tasks: &[&'t str]) -> Option<Vec<&'t str>> {
        let known = |task: &&str| metric != Metric::AverageUsual || COMMON_SENSE.contains(task);
        let kept: Vec<&str> = tasks.iter().copied().filter(known).collect();
        (metric != Metric::AverageUsual || kept.len() == COMMON_SENSE.len()).then_some(kept)
    }

    /// Mean over tasks, seeds and items of `tasks` for `group`, with its interval.
    ///
    /// Blank where any of the tasks was not scored: a mean over fewer tasks would be another number.
    pub fn cell(&self, group: &Group, tasks: &[&str], metric: Metric) -> Cell {
        if !self.has_items() {
            return self.cell_of_means(group, tasks, metric);
        }
        let shared: Option<Vec<Shared>> = tasks.iter().map(|t| self.shared(&group.runs, t, metric)).collect();
        match shared {
            Some(shared) if !shared.is_empty() => {
                let (scores, clusters): (Vec<_>, Vec<_>) =
                    shared.into_iter().map(|task| (task.values, task.clusters)).unzip();
                let plain = |task: &Vec<Vec<f64>>| {
                    task.iter().flatten().sum::<f64>() / (task.len() * task[0].len()) as f64
                };
                let mean = scores.iter().map(plain).sum::<f64>() / scores.len() as f64;
                let crossed = crossed_mean_in_clusters(&scores, &clusters, LEVEL).ok();
                let interval = match metric.is_binary() {
                    true => share_interval(mean, &scores, &clusters, crossed),
                    false if metric.is_share() => crossed.map(|c| within_shares(c.interval)),
                    false => crossed.map(|c| c.interval),
                };
                Cell { mean: Some(mean), interval, seeds: group.runs.len() }
            }
            _ => Cell::default(),
        }
    }

    /// Mean of `metric` over the runs and items of `task`; `None` where a run was not scored on it.
    pub fn mean(&self, group: &Group, task: &str, metric: Metric) -> Option<f64> {
        if !self.has_items() {
            return self.cell_of_means(group, &[task], metric).mean;
        }
        let shared = self.shared(&group.runs, task, metric)?;
        descriptive::mean(&shared.values.concat()).ok()
    }

    /// Tasks on which every finished run of `group` has `metric`.
    pub fn tasks_with(&self, metric: Metric, groups: &[Group]) -> Vec<&'a str> {
        let measured = |task: &&&str| groups.iter().any(|g| self.mean(g, task, metric).is_some());
        self.tasks.iter().filter(measured).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::proportion::wilson;

    /// One run has Wilson's interval, as `evals.csv`; several have one within 0 and 1; all right has one end.
    #[test]
    fn shares_have_one_kind_of_interval() {
        let task = |rights: &[usize]| -> Vec<Vec<f64>> {
            rights.iter().map(|right| (0..20).map(|i| f64::from(u8::from(i < *right))).collect()).collect()
        };
        let of = |scores: &[Vec<Vec<f64>>]| {
            let clusters = vec![Clusters::independent(20); scores.len()];
            let all: Vec<f64> = scores.iter().flatten().flatten().copied().collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let crossed = crossed_mean_in_clusters(scores, &clusters, LEVEL).ok();
            share_interval(mean, scores, &clusters, crossed).unwrap()
        };
        assert_eq!(of(&[task(&[18])]), wilson(18, 20, LEVEL).unwrap());
        let several = of(&[task(&[19, 20, 18])]);
        assert!(several.low > 0.5 && several.high < 1.0, "{several:?}");
        let all = of(&[task(&[20, 20, 20])]);
        assert_eq!((all.high, all.low), (1.0, wilson(20, 20, LEVEL).unwrap().low));
        assert_eq!(of(&[task(&[0]), task(&[0])]).low, 0.0);
    }
}
