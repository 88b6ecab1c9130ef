//! Rows of every table: one arm at one point of the grid, with its replicates.
use crate::record::{Keyed, Results, Status};
use std::collections::BTreeMap;

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
