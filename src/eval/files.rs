//! Where a benchmark's files are: in a folder of the user's, or on the Hugging Face hub.
use super::error::EvalError;
use super::task::Task;
use crate::data::hub::{DatasetSplit, Hub};
use crate::data::tables::ENDINGS;
use std::path::{Path, PathBuf};

/// What `--data` names.
#[derive(Clone, Copy)]
pub enum Files<'a> {
    /// A folder with `<task>/<split>.jsonl`, `.jsonl.zst`, `.parquet` or `.arrow`.
    Folder(&'a Path),
    Hub(&'a Hub),
}

impl Files<'_> {
    /// The file of a task's split.
    ///
    /// # Errors
    /// There is none, or the hub cannot be reached.
    pub fn find(self, task: Task, split: &'static str) -> Result<PathBuf, EvalError> {
        match self {
            Files::Folder(folder) => in_folder(task, folder, split),
            Files::Hub(hub) => Ok(hub.split_file(on_hub(task, split))?),
        }
    }
}

/// The split of the data set from which the harness takes the task, or, where that one has another form, of its twin.
pub fn on_hub(task: Task, split: &'static str) -> DatasetSplit {
    let (dataset, config) = match task {
        Task::ArcEasy => ("allenai/ai2_arc", "ARC-Easy"),
        Task::ArcChallenge => ("allenai/ai2_arc", "ARC-Challenge"),
        Task::BoolQ => ("aps/super_glue", "boolq"),
        Task::HellaSwag => ("Rowan/hellaswag", "default"),
        Task::OpenBookQa => ("allenai/openbookqa", "main"),
        Task::Piqa => ("ybisk/piqa", "plain_text"),
        Task::SocialIqa => ("allenai/social_i_qa", "default"),
        Task::WinoGrande => ("allenai/winogrande", "winogrande_xl"),
        Task::Mmlu | Task::MmluContinuation => ("cais/mmlu", "all"),
    };
    DatasetSplit { dataset, config, split }
}

fn in_folder(task: Task, folder: &Path, split: &'static str) -> Result<PathBuf, EvalError> {
    let mut tried = Vec::new();
    for name in task.folders() {
        let stem = folder.join(name).join(split);
        for ending in ENDINGS {
            let mut path = stem.clone().into_os_string();
            path.push(format!(".{ending}"));
            let path = PathBuf::from(path);
            if path.is_file() {
                return Ok(path);
            }
        }
        tried.push(format!("`{}.{{{}}}`", stem.display(), ENDINGS.join(",")));
    }
    Err(missing(task.name(), split, tried, on_hub(task, split)))
}

pub(super) fn missing(
    task: &'static str,
    split: &'static str,
    tried: Vec<String>,
    hub: DatasetSplit,
) -> EvalError {
    let DatasetSplit { dataset, config, .. } = hub;
    EvalError::NoFile { task, split, looked_for: tried.join(", "), dataset, config }
}
