//! The corpus stage: tokens and tokenizer, prepared once and mapped by every other stage.
use super::super::executor::{Progress, StageFailure};
use crate::data::{DataError, Watch, prepare};
use crate::eval::tokenizer_of;
use crate::model::checkpoint::describe;
use crate::plan::Plan;
use crate::spec::{RunSpec, TokenizerSpec};
use std::fs;
use std::path::Path;

/// Name of the tokenizer's file beside the tokens.
const TOKENIZER: &str = "tokenizer.json";

/// Prepares the data of `spec` and writes them to `to`.
pub(super) fn write(
    plan: &Plan,
    spec: &RunSpec,
    to: &Path,
    progress: &dyn Progress,
) -> Result<(), StageFailure> {
    let mut data = spec.data.clone();
    if let (TokenizerSpec::Model { .. }, Some(model)) = (&data.tokenizer, &spec.source.model) {
        let path = to.join(TOKENIZER);
        fs::write(&path, tokenizer_of(&describe(&model.path)?.tokenizer)?.to_json())?;
        data.tokenizer = TokenizerSpec::File { path: path.to_string_lossy().into_owned() };
    }
    // The corpus is shared by all context lengths of the grid: it must hold at least the shortest.
    let shortest = plan.experiment.points.iter().map(|point| point.spec.data.context_length).min();
    data.context_length = shortest.unwrap_or(data.context_length);
    prepare(&data, to, &Reading(progress)).map_err(|error| match error {
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
