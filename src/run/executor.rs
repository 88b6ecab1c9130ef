//! What the sweep asks of whoever carries out a stage, so that the sweep can be tested without training.
use crate::base::files::is_full;
use crate::plan::{Plan, Stage};
use crate::tensor::RankError;
use std::any::Any;
use std::path::{Path, PathBuf};

/// Folders of a stage's finished inputs, whose files have been checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputFolders {
    pub corpus: Option<PathBuf>,
    pub source: Option<PathBuf>,
    pub teacher: Option<PathBuf>,
    pub other: Option<PathBuf>,
    pub model: Option<PathBuf>,
    pub source_evaluation: Option<PathBuf>,
}

/// One stage to carry out.
pub struct Task<'a> {
    pub plan: &'a Plan,
    pub stage: &'a Stage,
    /// Hash of the stage's identity in full: checkpoints of any other are not its own.
    pub identity: &'a str,
    /// The worker that carries it out, from 0: by it stages are dealt out to devices.
    pub worker: usize,
    pub inputs: InputFolders,
    /// Where to write; renamed by the caller once the executor returns.
    pub folder: &'a Path,
    /// Where to keep checkpoints that a later attempt goes on from.
    pub partial: &'a Path,
}

/// Looks on while a stage is carried out; may be called as often as the stage likes.
pub trait Progress: Sync {
    /// `done` of `total` tokens (or other units), and what the model is like now.
    fn update(&self, done: u64, total: u64, loss: Option<f64>, params: Option<u64>);

    /// True when the stage should save its state and return [`StageFailure::Interrupted`].
    fn interrupted(&self) -> bool;
}

/// Why a stage is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StageFailure {
    /// Stopped on request; a later attempt goes on from its checkpoint.
    Interrupted,
    /// Another rank of the same stage failed; the reason is that rank's.
    RankLeft,
    /// What went wrong, in words for the run's row.
    Failed(String),
    /// The same, where it is that the disk has no room: with room another attempt may do better.
    Full(String),
}

impl std::fmt::Display for StageFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StageFailure::Interrupted => f.write_str("interrupted"),
            StageFailure::RankLeft => RankError::Left.fmt(f),
            StageFailure::Failed(reason) | StageFailure::Full(reason) => f.write_str(reason),
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for StageFailure {
    fn from(error: E) -> Self {
        match (&error as &dyn Any).downcast_ref::<RankError>() {
            Some(RankError::Left) => StageFailure::RankLeft,
            _ if is_full(&error) => StageFailure::Full(error.to_string()),
            _ => StageFailure::Failed(error.to_string()),
        }
    }
}

/// Carries out stages; called from several threads at once.
pub trait Executor: Sync {
    /// Carries out one stage, leaving its results in `task.folder`.
    ///
    /// # Errors
    /// [`StageFailure`]; the sweep goes on with other runs.
    fn execute(&self, task: &Task<'_>, progress: &dyn Progress) -> Result<(), StageFailure>;
}
