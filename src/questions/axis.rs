//! A question about the axes of one arm (`[[rankings]]`, `[[effects]]`).
use serde::{Deserialize, Serialize};

/// A question about the axes of one arm, declared before the run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AxisQuestion {
    /// Name of an arm.
    pub arm: String,
    /// One axis: which of its values is best. Two: whether they interact.
    pub axes: Vec<String>,
    /// One of [`METRICS`](super::METRICS).
    pub metric: String,
    /// Asks, of one numeric axis, what the metric gains per doubling of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slope: bool,
    /// Questions of one family are corrected for multiplicity together; those without a name are one family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
}

impl AxisQuestion {
    /// Whether it asks about these axes, in any order, of this arm on this metric.
    pub fn is_about(&self, arm: &str, metric: &str, axes: &[&str]) -> bool {
        let named = |axis: &String| axes.contains(&axis.as_str());
        self.arm == arm
            && self.metric == metric
            && self.axes.len() == axes.len()
            && self.axes.iter().all(named)
    }
}
