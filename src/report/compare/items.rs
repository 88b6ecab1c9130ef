//! Scores task by task, paired by item, and the items whose answer changed.
//!
//! One pair of models: the interval is Student's over the paired differences of items, p McNemar's exact test of the
//! items that only one side has right. Several seeds: interval and p of [`crate::stats::crossed`]. Holm's correction
//! is over the tasks; the mean over tasks is a question of its own and not in the family.
use super::Sides;
use crate::record::Results;
use crate::report::request::Metric;
use crate::report::scores::{LEVEL, NORM_TASKS, Scores};
use crate::stats::bootstrap::crossed_differences;
use crate::stats::crossed::{CrossedMean, crossed_mean};
use crate::stats::mcnemar::mcnemar;
use crate::stats::multiplicity::holm;
use crate::stats::{Interval, descriptive};

/// One task on both sides, on the items that all runs of both have.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskScore {
    pub task: String,
    /// `acc_norm` where that is the task's usual number and both sides have it.
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

/// Scores of every task, and the mean over tasks with equal weight where there are several.
pub fn scores(results: &Results, sides: &Sides) -> (Vec<TaskScore>, Option<([f64; 2], Difference)>) {
    let table = Scores::new(results);
    let (mut tasks, mut all) = (vec![], vec![]);
    for task in &table.tasks {
        if let Some((score, differences)) = one(results, &table, sides, task) {
            tasks.push(score);
            all.push(differences);
        }
    }
    let tested: Vec<usize> = (0..tasks.len()).filter(|i| tasks[*i].difference.p.is_some()).collect();
    let p: Vec<f64> = tested.iter().filter_map(|i| tasks[*i].difference.p).collect();
    if let Ok(adjusted) = holm(&p) {
        tested.iter().zip(adjusted).for_each(|(i, p)| tasks[*i].p_holm = Some(p));
    }
    let mean = (tasks.len() > 1).then(|| {
        let side = |side: usize| tasks.iter().map(|t| t.scores[side]).sum::<f64>() / tasks.len() as f64;
        let scores = [side(0), side(1)];
        let crossed = crossed_mean(&all, LEVEL).ok();
        let difference = Difference {
            mean: scores[1] - scores[0],
            interval: crossed.map(|c| c.interval),
            p: crossed.as_ref().map(CrossedMean::p),
        };
        (scores, difference)
    });
    (tasks, mean)
}

/// One task, and its differences `[pair][item]`.
fn one(results: &Results, table: &Scores, sides: &Sides, task: &str) -> Option<(TaskScore, Vec<Vec<f64>>)> {
    let runs = [sides.runs(0), sides.runs(1)].concat();
    let usual = if NORM_TASKS.contains(&task) { Metric::AccNorm } else { Metric::Acc };
    let has = |metric: Metric| table.matrix(&runs, task, metric).map(|matrix| (metric, matrix));
    let (metric, mut a) = has(usual).or_else(|| has(Metric::Acc))?;
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
    let mut items: Vec<(usize, &str)> =
        table.shared_items(&runs, task, metric).into_iter().enumerate().collect();
    // `x_2` before `x_10`.
    items.sort_by_key(|(_, item)| (item.len(), *item));
    for (pair, (run, _)) in sides.pairs.iter().enumerate() {
        let seed = results.runs[*run].identity.seed;
        for (column, item) in &items {
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
    let crossed = crossed_mean(&differences, LEVEL).ok();
    let p = match sides.pairs.len() {
        1 => Some(mcnemar(score.lost.len() as u64, score.gained.len() as u64).exact),
        _ => crossed.as_ref().map(CrossedMean::p),
    };
    let differences = differences.into_iter().next()?;
    let mean = descriptive::mean(&differences.concat()).ok()?;
    score.difference = Difference { mean, interval: crossed.map(|c| c.interval), p };
    Some((score, differences))
}
