//! What the report must answer: read from `plan.json`, where it was put before the first run.
use super::labels::Labels;
use super::metric::Metric;
use super::{ReportError, Result};
use crate::record::Snapshot;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the plan beside the CSV files.
pub const PLAN_FILE: &str = "plan.json";

/// The part of `plan.json` that a report needs; other keys are left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRequest {
    /// Name of the experiment.
    pub title: String,
    pub question: String,
    pub comparisons: Vec<DeclaredComparison>,
    /// What is asked of the axes of an arm; none in plans of earlier versions.
    #[serde(default)]
    pub questions: Vec<AxisQuestion>,
    /// Names that people print.
    #[serde(default)]
    pub labels: Labels,
    /// The runs of the plan; none in what was made by hand.
    #[serde(default)]
    pub runs: Vec<PlannedRun>,
}

/// A run that the plan names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRun {
    pub run: String,
}

/// A question about the axes of one arm, declared before the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AxisQuestion {
    pub arm: String,
    /// One axis: which of its values is best. Two: whether they interact.
    pub axes: Vec<String>,
    /// As of a [`DeclaredComparison`].
    pub metric: String,
}

impl AxisQuestion {
    /// Whether it asks this of these axes, in any order.
    pub fn asks(&self, arm: &str, metric: Metric, axes: &[&str]) -> bool {
        let named = |axis: &String| axes.contains(&axis.as_str());
        self.arm == arm
            && self.metric == metric.name()
            && self.axes.len() == axes.len()
            && self.axes.iter().all(named)
    }
}

/// A comparison declared before the run: all of them are corrected for multiplicity together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredComparison {
    /// Arm that should be better.
    pub variant: String,
    /// Arm it is held against.
    pub baseline: String,
    /// Name of a [`Metric`].
    pub metric: String,
}

impl ReportRequest {
    /// Reads `title`, `question` and `comparisons` of `plan.json` in `results_dir`.
    pub fn read(results_dir: &Path) -> Result<ReportRequest> {
        ReportRequest::of(&Snapshot::read(results_dir, &[PLAN_FILE])?, results_dir)
    }

    /// With the names that are printed in the place of those of the file.
    pub fn labelled(&self) -> ReportRequest {
        let comparisons = self.comparisons.iter().map(|one| self.labels.of_comparison(one)).collect();
        ReportRequest { comparisons, ..self.clone() }
    }

    /// As [`ReportRequest::read`], of files that are read already; messages name `results_dir`.
    pub fn of(files: &Snapshot, results_dir: &Path) -> Result<ReportRequest> {
        let path = results_dir.join(PLAN_FILE);
        let missing = || ReportError::Io { path: path.clone(), source: std::io::ErrorKind::NotFound.into() };
        let bytes = files.get(PLAN_FILE).ok_or_else(missing)?;
        let request: ReportRequest = serde_json::from_slice(bytes)
            .map_err(|e| ReportError::Plan { path: path.clone(), message: e.to_string() })?;
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
