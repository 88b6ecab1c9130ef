//! Names that people print for arms, axes and values (`[labels]` of the experiment, kept in `plan.json`).
use super::DeclaredComparison;
use crate::record::Results;
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
    /// What the arm called `name` is printed as.
    pub fn arm(&self, name: &str) -> String {
        self.arms.get(name).cloned().unwrap_or_else(|| name.to_string())
    }

    /// The results with every name as it is printed; CSV files keep theirs.
    pub fn of_results(&self, results: &Results) -> Results {
        let mut results = results.clone();
        let axis = |key: &str| self.axes.get(key).cloned().unwrap_or_else(|| key.to_string());
        for run in &mut results.runs {
            run.identity.arm = self.arm(&run.identity.arm);
            for (key, value) in &mut run.axes {
                if let Some(label) =
                    self.values.get(key.as_str()).and_then(|values| values.get(value.as_str()))
                {
                    value.clone_from(label);
                }
                *key = axis(key);
            }
        }
        results.axes = results.axes.iter().map(|key| axis(key)).collect();
        results
    }

    /// The same for a declared comparison.
    pub fn of_comparison(&self, comparison: &DeclaredComparison) -> DeclaredComparison {
        DeclaredComparison {
            variant: self.arm(&comparison.variant),
            baseline: self.arm(&comparison.baseline),
            metric: comparison.metric.clone(),
        }
    }
}
