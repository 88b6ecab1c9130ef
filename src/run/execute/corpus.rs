//! The corpus stage: tokens and tokenizer, prepared once and mapped by every other stage.
use super::super::executor::{Progress, StageFailure};
use crate::data::{DataError, Watch, prepare};
use crate::eval::tokenizer_of;
use crate::model::checkpoint::describe;
use crate::plan::Plan;
use crate::spec::{RunSpec, TokenizerSpec};
use std::path::Path;

/// Prepares the data of `spec` and writes them to `to`.
pub(super) fn write(
    plan: &Plan,
    spec: &RunSpec,
    to: &Path,
    progress: &dyn Progress,
) -> Result<(), StageFailure> {
    let mut data = spec.data.clone();
    let tokenizer = match (&data.tokenizer, &spec.source.model) {
        (TokenizerSpec::Model { .. }, Some(model)) => Some(tokenizer_of(&describe(&model.path)?.tokenizer)?),
        _ => None,
    };
    // The corpus is shared by all context lengths of the grid: it must hold at least the shortest.
    let shortest = plan.experiment.points.iter().map(|point| point.spec.data.context_length).min();
    data.context_length = shortest.unwrap_or(data.context_length);
    prepare(&data, tokenizer, to, &Reading(progress)).map_err(|error| match error {
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
