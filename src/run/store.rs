//! The store: one folder per finished stage, `store/<stage id>/`, which is there in full or not at all.
//!
//! ```text
//! results/<experiment>/store/<stage id>/          what the stage made, and stage.json
//!                            partial/<stage id>/  checkpoints of a stage that is under way, to go on from
//!                            failed/<stage id>    why it failed the last time
//!                            checks/<hash>.json   what `plan` found in a corpus
//! ```
use super::error::RunError;
use crate::base::files::{commit_folder, folder_of, remove_leftovers, temporary_folder, write_atomic};
use crate::plan::Stage;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Name of the file that tells what a stage's folder holds.
const STAGE_FILE: &str = "stage.json";

/// What `stage.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    pub id: String,
    /// Canonical form of everything that the stage's numbers depend on.
    pub identity: serde_json::Value,
    /// Wall time of the attempt that finished the stage.
    pub seconds: f64,
    /// Largest resident memory of the process so far; `None` where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Estimated FLOPs, for the speed of the next estimate.
    pub estimated_flops: f64,
}

/// The store of one results folder.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// The store below `results` (`results/<experiment>`); nothing is created.
    pub fn at(results: &Path) -> Self {
        Store { root: results.join("store") }
    }

    /// Creates the folders and clears what a killed process left. Call it only under the folder's lock.
    ///
    /// # Errors
    /// The folder cannot be created or written to.
    pub fn prepare(&self) -> Result<(), RunError> {
        let unwritable = |source| RunError::Unwritable { path: self.root.clone(), source };
        let [partial, failed, checks] = ["partial", "failed", "checks"].map(|name| self.root.join(name));
        for folder in [&self.root, &partial, &failed, &checks] {
            fs::create_dir_all(folder).map_err(unwritable)?;
            remove_leftovers(folder).map_err(unwritable)?;
        }
        for entry in fs::read_dir(self.root.join("partial")).map_err(unwritable)? {
            let entry = entry.map_err(unwritable)?;
            // Killed between finishing the stage and clearing its checkpoints.
            if self.folder(&entry.file_name().to_string_lossy()).join(STAGE_FILE).exists() {
                fs::remove_dir_all(entry.path()).map_err(unwritable)?;
            } else {
                remove_leftovers(&entry.path()).map_err(unwritable)?;
            }
        }
        Ok(())
    }

    /// Folder of a finished stage.
    pub fn folder(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    pub fn is_done(&self, id: &str) -> bool {
        self.folder(id).join(STAGE_FILE).exists()
    }

    /// Folder for checkpoints of a stage under way; it outlives the process.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn partial(&self, id: &str) -> Result<PathBuf, RunError> {
        let path = self.root.join("partial").join(id);
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(RunError::Write { path, source }),
        }
    }

    /// True where a stage was begun and can go on from a checkpoint.
    pub fn is_partial(&self, id: &str) -> bool {
        fs::read_dir(self.root.join("partial").join(id)).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// A temporary folder for the stage to write to; deleted unless [`Store::commit`] takes it.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn begin(&self) -> Result<tempfile::TempDir, RunError> {
        temporary_folder(&self.root).map_err(|source| RunError::Write { path: self.root.clone(), source })
    }

    /// Puts the finished stage under its name, durably, and clears its checkpoints and earlier failures.
    ///
    /// # Errors
    /// Any failure to write; the stage is then not done.
    pub fn commit(
        &self,
        stage: &Stage,
        folder: tempfile::TempDir,
        record: &StageRecord,
    ) -> Result<(), RunError> {
        let path = self.folder(&stage.id);
        let write = |source| RunError::Write { path: path.clone(), source };
        let json = serde_json::to_vec_pretty(record).map_err(io::Error::from).map_err(write)?;
        fs::write(folder.path().join(STAGE_FILE), json).map_err(write)?;
        if path.exists() {
            // A folder without stage.json was not made by this store.
            fs::remove_dir_all(&path).map_err(write)?;
        }
        commit_folder(folder, &path).map_err(write)?;
        // Nothing depends on these two any more: what cannot be deleted now is cleared at the next start.
        let _ = fs::remove_dir_all(self.root.join("partial").join(&stage.id));
        let _ = fs::remove_file(self.failure_file(&stage.id));
        Ok(())
    }

    /// What a finished stage says of itself.
    ///
    /// # Errors
    /// The record is missing or broken.
    pub fn record(&self, id: &str) -> Result<StageRecord, RunError> {
        let path = self.folder(id).join(STAGE_FILE);
        let bytes = fs::read(&path).map_err(|source| RunError::Read { path: path.clone(), source })?;
        serde_json::from_slice(&bytes).map_err(|error| RunError::Corrupt { path, what: error.to_string() })
    }

    /// Keeps the reason why a stage failed.
    ///
    /// # Errors
    /// Any failure to write.
    pub fn note_failure(&self, id: &str, reason: &str) -> Result<(), RunError> {
        let path = self.failure_file(id);
        write_atomic(&path, reason.as_bytes()).map_err(|source| RunError::Write { path, source })
    }

    /// Why the stage failed the last time, if it did and has not been done since.
    pub fn failure(&self, id: &str) -> Option<String> {
        fs::read_to_string(self.failure_file(id)).ok().filter(|_| !self.is_done(id))
    }

    /// File of what a look at a corpus found, by the hash of all that it depends on.
    pub fn check_file(&self, hash: &str) -> PathBuf {
        self.root.join("checks").join(format!("{hash}.json"))
    }

    fn failure_file(&self, id: &str) -> PathBuf {
        self.root.join("failed").join(id)
    }

    /// The results folder that holds the store.
    pub fn results(&self) -> &Path {
        folder_of(&self.root)
    }
}
