//! `[labels]`: what tables and figures call arms, axes and values.
use super::{AxisQuestion, Comparison};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is not here is called by its own name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Labels {
    pub arms: BTreeMap<String, String>,
    /// By key path.
    pub axes: BTreeMap<String, String>,
    /// By key path and value.
    pub values: BTreeMap<String, BTreeMap<String, String>>,
}

impl Labels {
    pub fn is_empty(&self) -> bool {
        *self == Labels::default()
    }

    /// What the arm called `name` is printed as.
    pub fn arm(&self, name: &str) -> String {
        self.arms.get(name).cloned().unwrap_or_else(|| name.to_string())
    }

    /// What the axis of this key path is printed as.
    pub fn axis(&self, key: &str) -> String {
        self.axes.get(key).cloned().unwrap_or_else(|| key.to_string())
    }

    /// What a value of that axis is printed as.
    pub fn value(&self, key: &str, value: &str) -> String {
        let label = self.values.get(key).and_then(|values| values.get(value));
        label.cloned().unwrap_or_else(|| value.to_string())
    }

    /// The arm that is printed as `label`.
    pub fn original_arm<'a>(&'a self, label: &'a str) -> &'a str {
        self.arms.iter().find(|(_, printed)| *printed == label).map_or(label, |(name, _)| name)
    }

    /// The key path of the axis that is printed as `label`.
    pub fn original_axis<'a>(&'a self, label: &'a str) -> &'a str {
        self.axes.iter().find(|(_, printed)| *printed == label).map_or(label, |(key, _)| key)
    }

    /// The value of the axis printed as `axis` that is printed as `label`.
    pub fn original<'a>(&'a self, axis: &'a str, label: &'a str) -> &'a str {
        let values = self.values.get(self.original_axis(axis)).into_iter().flatten();
        values.into_iter().find(|(_, printed)| *printed == label).map_or(label, |(value, _)| value)
    }

    /// The same comparison in printed names.
    pub fn of_comparison(&self, comparison: &Comparison) -> Comparison {
        let at = |at: &BTreeMap<String, String>| {
            at.iter().map(|(key, value)| (self.axis(key), self.value(key, value))).collect()
        };
        Comparison {
            variant: self.arm(&comparison.variant),
            variant_at: at(&comparison.variant_at),
            baseline: self.arm(&comparison.baseline),
            baseline_at: at(&comparison.baseline_at),
            ..comparison.clone()
        }
    }

    /// The same question about axes in printed names.
    pub fn of_question(&self, question: &AxisQuestion) -> AxisQuestion {
        AxisQuestion {
            arm: self.arm(&question.arm),
            axes: question.axes.iter().map(|key| self.axis(key)).collect(),
            ..question.clone()
        }
    }
}
