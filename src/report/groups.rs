//! Rows of every table: one arm at one point of the grid, with its replicates.
use crate::questions::POINT;
use crate::record::{Keyed, Results, Status};
use std::collections::{BTreeMap, BTreeSet};

/// The finished replicates of one arm at one axis point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub arm: String,
    /// Values of the axes, in their order.
    pub point: Vec<String>,
    /// Arm, and the values of the axes that it depends on.
    pub label: String,
    /// Indices into [`Results::runs`] of finished runs, by seed.
    pub runs: Vec<usize>,
}

/// All groups in order of first appearance, which is plan order; one without a finished run stays, with blanks.
pub fn groups(results: &Results) -> Vec<Group> {
    let mut out: Vec<Group> = Vec::new();
    for (index, run) in results.runs.iter().enumerate() {
        let point: Vec<String> = run.axes.iter().map(|(_, value)| value.clone()).collect();
        let at = out.iter().position(|g| g.arm == run.identity.arm && g.point == point);
        let group = match at {
            Some(at) => &mut out[at],
            None => {
                let on_axes = point.iter().filter(|value| !value.is_empty()).cloned();
                let label = std::iter::once(run.identity.arm.clone()).chain(on_axes);
                out.push(Group {
                    arm: run.identity.arm.clone(),
                    label: label.collect::<Vec<_>>().join(" · "),
                    point,
                    runs: vec![],
                });
                let last = out.len() - 1;
                &mut out[last]
            }
        };
        if run.identity.status == Status::Ok {
            group.runs.push(index);
        }
    }
    for group in &mut out {
        group.runs.sort_by_key(|r| results.runs[*r].identity.seed);
    }
    out
}

/// Places of the axes that tell groups apart, in the order of the plan: of axes that move together (`[[zip]]`, the keys of a named
/// point) the name of the point, or the first that has a value wherever the others have one.
pub fn leading_axes(groups: &[&Group], axes: &[String]) -> Vec<usize> {
    let value = |group: &Group, axis: usize| group.point.get(axis).cloned().unwrap_or_default();
    // Whether every value of `axis` comes with a value of `other` of its own; the name of a point says all that its keys say, though
    // points have values in common.
    let follows = |axis: usize, other: usize| {
        let mut pairs: [BTreeMap<String, String>; 2] = Default::default();
        let with = groups.iter().filter(|group| !value(group, axis).is_empty());
        with.fold(true, |so_far, group| {
            let [own, leader] = [axis, other].map(|axis| value(group, axis));
            let [forth, back] = &mut pairs;
            so_far
                && !leader.is_empty()
                && *forth.entry(leader.clone()).or_insert(own.clone()) == own
                && (*back.entry(own).or_insert(leader.clone()) == leader || axes[other] == POINT)
        }) && (pairs[1].len() > 1 || axes[other] == POINT)
    };
    let rank = |axis: usize| (axes[axis] != POINT, axis);
    let leads = |axis: &usize| {
        (0..axes.len()).filter(|other| other != axis).all(|other| {
            let both = follows(other, *axis);
            !follows(*axis, other) || both && rank(*axis) < rank(other)
        })
    };
    let leading: Vec<usize> = (0..axes.len()).filter(leads).collect();
    let keys: BTreeSet<(&str, Vec<String>)> = groups
        .iter()
        .map(|group| (group.arm.as_str(), leading.iter().map(|axis| value(group, *axis)).collect()))
        .collect();
    if keys.len() == groups.len() { leading } else { (0..axes.len()).collect() }
}

/// The value of an axis as it stands alone in a figure: a number with the last part of its key before it; `None` where the group
/// does not depend on the axis.
pub fn named_value(group: &Group, axis: usize, axes: &[String]) -> Option<String> {
    named(group.point.get(axis)?, &axes[axis])
}

/// As [`named_value`], of `value` of the axis `name`.
pub fn named(value: &str, name: &str) -> Option<String> {
    // A label is no key and is taken whole.
    let word = if name.contains(' ') { name } else { name.rsplit('.').next().unwrap_or(name) };
    let is_number = value.parse::<f64>().is_ok();
    (!value.is_empty()).then(|| if is_number { format!("{word} {value}") } else { value.to_string() })
}

/// What the groups are called in one figure: arm and values, without the arm where all are of one.
pub fn short_names(groups: &[&Group], axes: &[String]) -> Vec<String> {
    let leading = leading_axes(groups, axes);
    let one_arm = groups.iter().all(|group| group.arm == groups[0].arm);
    let name = |group: &&Group| {
        let values = leading.iter().filter_map(|axis| named_value(group, *axis, axes));
        let values = values.collect::<Vec<_>>().join(" · ");
        match (one_arm, values.is_empty()) {
            (_, true) => group.arm.clone(),
            (true, false) => values,
            (false, false) => format!("{} · {values}", group.arm),
        }
    };
    groups.iter().map(name).collect()
}

/// The rows of each run, in their order.
pub fn by_run<T>(rows: &[Keyed<T>]) -> BTreeMap<usize, Vec<&T>> {
    let mut out: BTreeMap<usize, Vec<&T>> = BTreeMap::new();
    rows.iter().for_each(|keyed| out.entry(keyed.run).or_default().push(&keyed.row));
    out
}

/// Mean over the runs of a group that have a value; `None` where none has.
pub fn mean_over(runs: &[usize], value: impl Fn(usize) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = runs.iter().filter_map(|r| value(*r)).collect();
    crate::stats::descriptive::mean(&values).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(arm: &str, point: &[&str]) -> Group {
        let point: Vec<String> = point.iter().map(|value| value.to_string()).collect();
        Group { arm: arm.into(), label: String::new(), point, runs: vec![] }
    }

    fn names(groups: &[Group], axes: &[&str]) -> Vec<String> {
        let axes: Vec<String> = axes.iter().map(|axis| axis.to_string()).collect();
        short_names(&groups.iter().collect::<Vec<_>>(), &axes)
    }

    /// Keys that one `[[zip]]` moves are told once, by the one that more arms depend on.
    #[test]
    fn axes_that_move_together_are_told_once() {
        let axes = ["prune.schedule.prune_tokens", "budget.tokens"];
        let groups = [
            group("a", &["1", "2"]),
            group("b", &["", "2"]),
            group("a", &["3", "6"]),
            group("b", &["", "6"]),
        ];
        assert_eq!(names(&groups, &axes), ["a · tokens 2", "b · tokens 2", "a · tokens 6", "b · tokens 6"]);
        assert_eq!(
            names(&[group("a", &["1", "x"]), group("a", &["2", "y"])], &axes),
            ["prune_tokens 1", "prune_tokens 2"]
        );
        // The name of a point says what its keys say.
        let points = [group("a", &["1", "late"]), group("a", &["2", "early"])];
        assert_eq!(names(&points, &["train.steps", "point"]), ["late", "early"]);
        let keys = ["recovery.schedule", "recovery.learning_rate", "recovery.warmup_tokens", "point"];
        let points = [
            group("a", &["rewarm", "0.001", "10", "rewarm_1e-3"]),
            group("a", &["rewarm", "0.003", "10", "rewarm_3e-3"]),
            group("a", &["branch", "0.001", "10", "branch_1e-3"]),
            group("a", &["continue", "", "", "continue"]),
        ];
        assert_eq!(names(&points, &keys), ["rewarm_1e-3", "rewarm_3e-3", "branch_1e-3", "continue"]);
    }

    /// A grid, and groups that one of the axes alone tells apart, keep all axes.
    #[test]
    fn no_two_groups_have_one_name() {
        let axes = ["x.update", "x.ratio"];
        let grid = [["l", "0.5"], ["l", "0.7"], ["n", "0.5"], ["n", "0.7"]].map(|point| group("a", &point));
        assert_eq!(names(&grid, &axes), ["l · ratio 0.5", "l · ratio 0.7", "n · ratio 0.5", "n · ratio 0.7"]);
        let alone = [group("a", &["l", "1"]), group("a", &["l", ""]), group("a", &["n", "2"])];
        assert_eq!(names(&alone, &axes), ["l · ratio 1", "l", "n · ratio 2"]);
    }
}
