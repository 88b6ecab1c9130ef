//! What the report must answer: read from `plan.json`, where it was put before the first run.
use super::labels::Labels;
use super::metric::Metric;
use super::{ReportError, Result};
use crate::base::hash::sha256_hex;
use crate::record::Snapshot;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the plan beside the CSV files.
pub const PLAN_FILE: &str = "plan.json";

/// The part of `plan.json` that a report needs; other keys are left alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportRequest {
    /// Name of the experiment.
    pub title: String,
    pub question: String,
    pub comparisons: Vec<DeclaredComparison>,
    /// What is asked of the axes of an arm; none in plans of earlier versions.
    #[serde(default)]
    pub questions: Vec<AxisQuestion>,
    /// What was asked before the first result; plans of earlier versions froze nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<Declared>,
    /// Names that people print.
    #[serde(default)]
    pub labels: Labels,
    /// The runs of the plan; none in what was made by hand.
    #[serde(default)]
    pub runs: Vec<PlannedRun>,
    /// The configuration at the first point, as far as it is needed.
    #[serde(default)]
    pub base: Base,
}

/// The questions that were frozen, and the hash that they were frozen with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Declared {
    pub sha256: String,
    pub asked: Asked,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    #[serde(default)]
    pub comparisons: Vec<DeclaredComparison>,
    #[serde(default)]
    pub questions: Vec<AxisQuestion>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    #[serde(default)]
    pub source: Source,
}

/// Where the source models come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Whether every seed has a source of its own; unknown in what was made by hand.
    #[serde(default)]
    pub per_seed: Option<bool>,
}

/// A run that the plan names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRun {
    pub run: String,
    #[serde(default)]
    pub arm: String,
    #[serde(default)]
    pub seed: u64,
    /// Value of each axis; `None` where nothing of the run reads its key.
    #[serde(default)]
    pub axes: BTreeMap<String, Option<String>>,
}

/// A question about the axes of one arm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AxisQuestion {
    pub arm: String,
    /// One axis: which of its values is best. Two: whether they interact.
    pub axes: Vec<String>,
    /// As of a [`DeclaredComparison`].
    pub metric: String,
    /// Asks, of one numeric axis, what the metric gains per doubling of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub slope: bool,
    /// Questions of one family are corrected together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
}

impl AxisQuestion {
    /// Whether it asks about these axes, in any order, of this arm on this metric.
    pub fn is_about(&self, arm: &str, metric: Metric, axes: &[&str]) -> bool {
        let named = |axis: &String| axes.contains(&axis.as_str());
        self.arm == arm
            && self.metric == metric.name()
            && self.axes.len() == axes.len()
            && self.axes.iter().all(named)
    }
}

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

/// A comparison of two arms, or of arms at values of axes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DeclaredComparison {
    /// Arm that should be better.
    pub variant: String,
    /// Values of axes at which it is taken, by key path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variant_at: BTreeMap<String, String>,
    /// Arm it is held against.
    pub baseline: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub baseline_at: BTreeMap<String, String>,
    /// Name of a [`Metric`].
    pub metric: String,
    #[serde(default, skip_serializing_if = "At::is_each")]
    pub at: At,
    /// Asks whether the difference is smaller than this, too: percentage points of a share, else the metric's unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
    /// As of an [`AxisQuestion`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
}

impl DeclaredComparison {
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

impl ReportRequest {
    /// Whether this comparison was asked before there was a result.
    pub fn declares(&self, comparison: &DeclaredComparison) -> bool {
        self.declared.as_ref().is_none_or(|declared| declared.asked.comparisons.contains(comparison))
    }

    /// The same of a question about axes.
    pub fn declares_question(&self, question: &AxisQuestion) -> bool {
        self.declared.as_ref().is_none_or(|declared| declared.asked.questions.contains(question))
    }

    /// Reads `title`, `question` and `comparisons` of `plan.json` in `results_dir`.
    pub fn read(results_dir: &Path) -> Result<ReportRequest> {
        ReportRequest::of(&Snapshot::read(results_dir, &[PLAN_FILE])?, results_dir)
    }

    /// With the names that are printed in the place of those of the file.
    pub fn labelled(&self) -> ReportRequest {
        self.labels.of_request(self)
    }

    /// As [`ReportRequest::read`], of files that are read already; messages name `results_dir`.
    pub fn of(files: &Snapshot, results_dir: &Path) -> Result<ReportRequest> {
        let path = results_dir.join(PLAN_FILE);
        let missing = || ReportError::Io { path: path.clone(), source: std::io::ErrorKind::NotFound.into() };
        let bytes = files.get(PLAN_FILE).ok_or_else(missing)?;
        let fault = |e: serde_json::Error| ReportError::Plan { path: path.clone(), message: e.to_string() };
        let plan: Value = serde_json::from_slice(bytes).map_err(fault)?;
        let frozen = &plan["declared"];
        let sum = sha256_hex(frozen["asked"].to_string().as_bytes());
        if !frozen.is_null() && frozen["sha256"] != sum.as_str() {
            let message =
                "declared: these are not the questions that were frozen before the first run".into();
            return Err(ReportError::Plan { path, message });
        }
        let request: ReportRequest = serde_json::from_value(plan).map_err(fault)?;
        let comparisons = request.comparisons.iter().map(|c| ("comparisons", c.metric.as_str()));
        let questions = request.questions.iter().map(|q| ("questions", q.metric.as_str()));
        for named in [comparisons.collect::<Vec<_>>(), questions.collect()] {
            if let Some(i) = named.iter().position(|(_, metric)| Metric::parse(metric).is_none()) {
                let (list, metric) = named[i];
                let message =
                    format!("{list}[{i}].metric: unknown value `{metric}`; use one of {}", Metric::names());
                return Err(ReportError::Plan { path, message });
            }
        }
        Ok(request)
    }
}
