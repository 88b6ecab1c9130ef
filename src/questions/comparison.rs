//! Two arms, or arms at values of axes, held against each other (`[[comparisons]]`).
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// At which points of the grid a comparison is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum At {
    /// One comparison at each point.
    #[default]
    Each,
    /// One comparison of means over all points.
    Pooled,
}

impl At {
    fn is_each(&self) -> bool {
        *self == At::Each
    }
}

/// A comparison declared before the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Name of the arm that should be better.
    pub variant: String,
    /// Values of axes at which the variant is taken, by key path; elsewhere both sides stand at the same value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variant_at: BTreeMap<String, String>,
    /// Name of the arm that it is held against.
    pub baseline: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline_at: BTreeMap<String, String>,
    /// One of [`METRICS`](super::METRICS).
    pub metric: String,
    #[serde(default, skip_serializing_if = "At::is_each")]
    pub at: At,
    /// Asks whether the difference is smaller than this, too: percentage points of a share, else the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// As of an [`AxisQuestion`](super::AxisQuestion).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
}

impl Comparison {
    /// What the two sides are called: the arm, and the values at which it is taken.
    pub fn names(&self) -> [String; 2] {
        let name = |arm: &String, at: &BTreeMap<String, String>| {
            let parts: Vec<&str> =
                std::iter::once(arm.as_str()).chain(at.values().map(String::as_str)).collect();
            parts.join(" · ")
        };
        [name(&self.variant, &self.variant_at), name(&self.baseline, &self.baseline_at)]
    }
}
