//! What the report must answer: read from `plan.json`, where it was put before the first run.
use super::metric::Metric;
use super::{ReportError, Result};
use crate::base::hash::sha256_hex;
use crate::questions::{AxisQuestion, Comparison, Labels};
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
    pub comparisons: Vec<Comparison>,
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
    pub comparisons: Vec<Comparison>,
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

impl ReportRequest {
    /// Whether this comparison was asked before there was a result.
    pub fn declares(&self, comparison: &Comparison) -> bool {
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
