//! The corpus stage: tokens and tokenizer, prepared once and mapped by every other stage.
use super::super::executor::{Progress, StageFailure};
use crate::data::{DataError, Watch, prepare};
use crate::plan::Plan;
use crate::spec::DataSpec;
use std::path::Path;

/// Prepares the data of `spec` and writes them to `to`.
pub(super) fn write(
    plan: &Plan,
    spec: &DataSpec,
    to: &Path,
    progress: &dyn Progress,
) -> Result<(), StageFailure> {
    // The corpus is shared by all context lengths of the grid: it must hold at least the shortest.
    let shortest = plan.experiment.points.iter().map(|point| point.spec.data.context_length).min();
    let spec = DataSpec { context_length: shortest.unwrap_or(spec.context_length), ..spec.clone() };
    prepare(&spec, to, &Reading(progress)).map_err(|error| match error {
        DataError::Interrupted => StageFailure::Interrupted,
        error => error.into(),
    })
}

/// Passes on how far the reading is.
struct Reading<'a>(&'a dyn Progress);

impl Watch for Reading<'_> {
    fn on_read(&self, done: u64, total: u64) {
        self.0.update(done, total, None, None);
    }

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}
