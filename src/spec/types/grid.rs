//! `[axes]`, the points of the grid, and what of `direct` arms is a choice.
use super::RunSpec;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectShape {
    /// The widths that another arm found, `pruning_aware` unless told.
    Searched,
    /// The source's widths scaled by one factor.
    Proportional,
    /// The source's own.
    Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DirectBudget {
    /// As many tokens as `pruning_aware` trained on.
    RecoveryTokens,
    /// Those and the source's.
    TotalTokens,
    /// As many tokens as the FLOPs of source and `pruning_aware` together pay for.
    TotalFlops,
}

/// One axis of the grid: a key path below the run specification and the values it takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Axis {
    /// For example `prune.saliency`.
    pub key: String,
    /// The values in file order, as tables show them: strings bare, lists joined by `+`, tables as `key=value`.
    pub values: Vec<String>,
}

/// One point of the grid: a value of every axis and the configuration that they make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// As in [`Axis::values`], one for each of [`Experiment::axes`](super::Experiment::axes).
    pub values: Vec<String>,
    /// Of a named point.
    pub name: Option<String>,
    /// Keys that the point puts another value for.
    pub keys: Vec<String>,
    pub spec: RunSpec,
    /// For each of [`Experiment::arms`](super::Experiment::arms) the configuration that its `set` makes of `spec`, where it has one.
    pub own: Vec<Option<RunSpec>>,
}

impl Point {
    /// The configuration of the arm at this place of [`Experiment::arms`](super::Experiment::arms).
    pub fn of_arm(&self, place: usize) -> &RunSpec {
        self.own.get(place).and_then(Option::as_ref).unwrap_or(&self.spec)
    }
}
