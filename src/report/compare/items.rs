//! Scores task by task, paired by item, and the items whose answer changed.
//!
//! One pair of models: the interval is Student's over the paired differences of items, p McNemar's exact test of the
//! items that only one side has right (of a metric that is not right or wrong, and of items in clusters, which that test
//! takes for independent, the p of the interval). Several seeds: interval and p of [`crate::stats::crossed`]. Holm's
//! correction is over the tasks; the mean over tasks is a question of its own and not in the family.
use super::Sides;
use crate::record::{ItemChoice, Results};
use crate::report::metric::Metric;
use crate::report::scores::{LEVEL, NORM_TASKS, Scores};
use crate::stats::bootstrap::crossed_differences;
use crate::stats::cluster::Clusters;
use crate::stats::crossed::{CrossedMean, crossed_mean_in_clusters};
use crate::stats::mcnemar::mcnemar;
use crate::stats::multiplicity::holm;
use crate::stats::{Interval, descriptive};

/// One task on both sides, on the items that all runs of both have.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskScore {
    pub task: String,
    /// The one asked for; else `acc_norm` where that is the task's usual number and both sides have it, and `acc`.
    pub metric: Metric,
    pub items: usize,
    pub scores: [f64; 2],
    pub difference: Difference,
    pub p_holm: Option<f64>,
    /// Items times pairs that both sides have right.
    pub both_right: usize,
    pub both_wrong: usize,
    /// Right in `a`, wrong in `b`.
    pub lost: Vec<Flip>,
    /// Wrong in `a`, right in `b`.
    pub gained: Vec<Flip>,
}

/// `b − a` with interval and p as far as they exist.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    pub mean: f64,
    pub interval: Option<Interval>,
    pub p: Option<f64>,
}

/// An item that one side has right and the other wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flip {
    pub item: String,
    pub seed: u64,
}

/// A mean over tasks with equal weight on both sides.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanScore {
    /// `None`: of each task the metric that its row names.
    pub metric: Option<Metric>,
    pub tasks: usize,
    pub items: usize,
    pub scores: [f64; 2],
    pub difference: Difference,
}

/// Scores of every task, and the means over tasks where there are several; by `metric`, or by the usual one of each task.
/// Where those are of two kinds there is a second mean, of `acc` alone, which is the `average acc` of the report.
pub fn scores(results: &Results, sides: &Sides, metric: Option<Metric>) -> (Vec<TaskScore>, Vec<MeanScore>) {
    let table = Scores::new(results);
    let (mut tasks, own) = of_tasks(results, &table, sides, metric);
    let tested: Vec<usize> = (0..tasks.len()).filter(|i| tasks[*i].difference.p.is_some()).collect();
    let p: Vec<f64> = tested.iter().filter_map(|i| tasks[*i].difference.p).collect();
    if let Ok(adjusted) = holm(&p) {
        tested.iter().zip(adjusted).for_each(|(i, p)| tasks[*i].p_holm = Some(p));
    }
    let mut means: Vec<MeanScore> = own.into_iter().collect();
    if means.iter().any(|mean| mean.metric.is_none()) {
        means.extend(of_tasks(results, &table, sides, Some(Metric::Acc)).1);
    }
    (tasks, means)
}

/// Scores of the tasks, and their mean.
fn of_tasks(
    results: &Results,
    table: &Scores,
    sides: &Sides,
    metric: Option<Metric>,
) -> (Vec<TaskScore>, Option<MeanScore>) {
    let (mut tasks, mut all, mut clusters) = (vec![], vec![], vec![]);
    for task in &table.tasks {
        if let Some((score, differences, of_items)) = one(results, table, sides, task, metric) {
            tasks.push(score);
            all.push(differences);
            clusters.push(of_items);
        }
    }
    let mean = (tasks.len() > 1).then(|| {
        let side = |side: usize| tasks.iter().map(|t| t.scores[side]).sum::<f64>() / tasks.len() as f64;
        let scores = [side(0), side(1)];
        let crossed = crossed_mean_in_clusters(&all, &clusters, LEVEL).ok();
        let difference = Difference {
            mean: scores[1] - scores[0],
            interval: crossed.map(|c| c.interval),
            p: crossed.as_ref().map(CrossedMean::p),
        };
        let first = tasks[0].metric;
        MeanScore {
            metric: tasks.iter().all(|t| t.metric == first).then_some(first),
            tasks: tasks.len(),
            items: tasks.iter().map(|t| t.items).sum(),
            scores,
            difference,
        }
    });
    (tasks, mean)
}

/// One task, its differences `[pair][item]`, and how its items belong together.
fn one(
    results: &Results,
    table: &Scores,
    sides: &Sides,
    task: &str,
    asked: Option<Metric>,
) -> Option<(TaskScore, Vec<Vec<f64>>, Clusters)> {
    let runs = [sides.runs(0), sides.runs(1)].concat();
    let usual = if NORM_TASKS.contains(&task) { Metric::AccNorm } else { Metric::Acc };
    let has = |metric: Metric| table.shared(&runs, task, metric).map(|shared| (metric, shared));
    let (metric, shared) = match asked {
        Some(metric) => has(metric)?,
        None => has(usual).or_else(|| has(Metric::Acc))?,
    };
    let (mut a, clusters) = (shared.values, shared.clusters);
    let b = a.split_off(sides.pairs.len());
    let differences = crossed_differences(std::slice::from_ref(&b), std::slice::from_ref(&a)).ok()?;
    let mut score = TaskScore {
        task: task.into(),
        metric,
        items: a[0].len(),
        scores: [&a, &b].map(|side| side.iter().flatten().sum::<f64>() / (side.len() * side[0].len()) as f64),
        difference: Difference { mean: 0.0, interval: None, p: None },
        p_holm: None,
        both_right: 0,
        both_wrong: 0,
        lost: vec![],
        gained: vec![],
    };
    let mut items: Vec<(usize, String)> = shared.items.iter().map(|item| named(item)).enumerate().collect();
    // `x_2` before `x_10`, where places do not tell.
    if shared.items.iter().any(|item| item.place.is_none()) {
        items.sort_by(|(_, a), (_, b)| (a.len(), a).cmp(&(b.len(), b)));
    }
    for (pair, (run, _)) in sides.pairs.iter().enumerate() {
        let seed = results.runs[*run].identity.seed;
        for (column, item) in items.iter().filter(|_| metric.is_binary()) {
            let flip = Flip { item: item.to_string(), seed };
            match (a[pair][*column] > 0.5, b[pair][*column] > 0.5) {
                (true, true) => score.both_right += 1,
                (false, false) => score.both_wrong += 1,
                (true, false) => score.lost.push(flip),
                (false, true) => score.gained.push(flip),
            }
        }
    }
    // With one pair of models the crossed interval is Student's over items.
    let crossed = crossed_mean_in_clusters(&differences, std::slice::from_ref(&clusters), LEVEL).ok();
    let p = match sides.pairs.len() {
        1 if metric.is_binary() && clusters.are_independent() => {
            Some(mcnemar(score.lost.len() as u64, score.gained.len() as u64).exact)
        }
        _ => crossed.as_ref().map(CrossedMean::p),
    };
    let differences = differences.into_iter().next()?;
    let mean = descriptive::mean(&differences.concat()).ok()?;
    score.difference = Difference { mean, interval: crossed.map(|c| c.interval), p };
    Some((score, differences, clusters))
}

/// An item's id, and its place where that tells more.
fn named(item: &ItemChoice) -> String {
    match item.place {
        Some(place) if item.item != place.to_string() => format!("{} (item {place})", item.item),
        _ => item.item.clone(),
    }
}
