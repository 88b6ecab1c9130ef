//! A run as the store tells of it: the files that its rows come from, and the record that they hold.
use super::super::error::RunError;
use super::super::store::{StageFiles, StageKey, Store};
use crate::plan::{Plan, Run};
use crate::record::rows::{LATENCY_FILE, RECORD_FILE};
use crate::record::{LatencyRow, RecordError, RunIdentity, RunRecord, Status};
use std::fmt::Write;
use std::path::PathBuf;

/// What the store holds of a run that is done or failed.
pub(super) struct Found {
    evaluation: Option<StageFiles>,
    latency: Option<StageFiles>,
    /// Folder of its model, or what that would be called where it was deleted since.
    model: Option<String>,
    /// Why it failed.
    failure: Option<String>,
}

/// Looks a run up, its headers checked and its files not; `None` for one that is neither done nor failed.
///
/// # Errors
/// [`RunError::Damaged`], and whatever keeps a header from being read.
pub(super) fn find(run: &Run, keys: &[StageKey], store: &Store) -> Result<Option<Found>, RunError> {
    let evaluation = store.files(&keys[run.evaluation])?;
    let failure = match &evaluation {
        Some(_) => None,
        None => store.failure(&keys[run.evaluation]),
    };
    if evaluation.is_none() && failure.is_none() {
        return Ok(None);
    }
    let model = store.files(&keys[run.model]).ok().flatten().map(|stage| stage.name());
    let planned = failure.is_none().then(|| keys[run.model].id.clone());
    let latency = match run.latency.filter(|_| evaluation.is_some()) {
        Some(place) => store.files(&keys[place])?,
        None => None,
    };
    Ok(Some(Found { evaluation, latency, model: model.or(planned), failure }))
}

impl Found {
    /// All that its rows depend on beside the plan, in one line.
    pub fn line(&self) -> String {
        let mut line = format!("{:?} {:?}", self.model, self.failure);
        for stage in [&self.evaluation, &self.latency].into_iter().flatten() {
            for (name, sum) in &stage.files {
                let _ = write!(line, " {name:?} {}", sum.sha256);
            }
        }
        line
    }

    /// What the run's evaluation measured, and its latency where that is known, under the run's name; a failed run has a name and
    /// a reason.
    ///
    /// # Errors
    /// [`RunError::Damaged`] where a file is not what was written.
    pub fn record(&self, plan: &Plan, run: &Run) -> Result<RunRecord, RunError> {
        let identity = RunIdentity {
            run: run.id.clone(),
            arm: run.arm.label(),
            seed: run.seed,
            status: if self.failure.is_some() { Status::Failed } else { Status::Ok },
            reason: self.failure.as_ref().map(|reason| reason.replace('\n', "; ")),
            stage: self.model.clone(),
        };
        let axes = plan.experiment.axes.iter().zip(&run.axes);
        let axes = axes.map(|(axis, value)| (axis.key.clone(), value.clone().unwrap_or_default())).collect();
        let Some(evaluation) = &self.evaluation else { return Ok(RunRecord::new(identity, axes)) };
        let damaged =
            |path: PathBuf| move |error: RecordError| RunError::Damaged { path, what: error.to_string() };
        evaluation.verify()?;
        let measured =
            RunRecord::read(&evaluation.folder).map_err(damaged(evaluation.folder.join(RECORD_FILE)))?;
        let latency = match &self.latency {
            Some(stage) => {
                stage.verify()?;
                LatencyRow::read(&stage.folder).map_err(damaged(stage.folder.join(LATENCY_FILE)))?
            }
            None => Vec::new(),
        };
        Ok(RunRecord { identity, axes, latency, ..measured })
    }
}
