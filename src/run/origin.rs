//! Where a source model from disk comes from, as far as it says so itself: kept beside it, for the cards of what is made
//! of it.
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;

/// Name of the file in the source's stage.
const ORIGIN: &str = "origin.json";

/// What a model from disk says of itself; no number depends on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Last part of the path of its folder or file.
    pub name: String,
    /// As its card or header names it.
    pub licence: Option<String>,
}

impl Origin {
    /// Of the model at `path`.
    pub fn new(path: &Path, licence: Option<String>) -> Self {
        let name = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Origin { name, licence }
    }

    /// Keeps it in the folder of the stage.
    pub(super) fn write(&self, stage: &Path) -> io::Result<()> {
        fs::write(stage.join(ORIGIN), serde_json::to_vec_pretty(self)?)
    }

    /// What the folder of the stage keeps; `None` where that was made before origins were kept.
    pub fn read(stage: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(stage.join(ORIGIN)).ok()?).ok()
    }
}
