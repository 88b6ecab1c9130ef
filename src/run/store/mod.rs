//! The store: one folder per finished stage, `store/<stage id>/`, which is there in full or not at all.
//!
//! ```text
//! results/<experiment>/store/<stage id>/          what the stage made, and stage.json with the SHA-256 of every file
//!                            partial/<name>.<n>/  checkpoints of a stage that is under way, to go on from; n is its claim's
//!                            work/<process>/      what a process has not finished yet
//!                            claims/ workers/     who is at work on what
//!                            failed/<name>.json   why it failed the last time
//!                            damaged/<stage id>/  what was found to be damaged, set aside and made again
//!                            checks/<hash>.json   what `plan` found in a corpus
//!                            checks/tables.json   what the tables were merged from last
//! ```
//!
//! Whatever is read back is checked: `header` holds the checksums of a stage, `key` what stages are told apart by.
mod claims;
#[cfg(test)]
mod fuzz_tests;
mod header;
mod key;

pub use claims::{
    Claim, ClaimRecord, Claims, Lease, Told, WorkerRecord, held, last_beat, progress_of, workers,
};
pub use header::{FileSum, StageRecord, Summary};
pub use key::{StageKey, keys};

use super::error::RunError;
use crate::base::files::{
    Durability, commit_folder, create_folder, folder_of, remove_leftovers, temporary_folder, write_atomic,
};
use crate::base::process::Process;
use crate::base::seal::{self, SealError};
use crate::plan::EVALUATION;
use header::HEADER_FILE;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where processes keep what they have not finished.
const WORK: &str = "work";
/// Stages of fewer seconds are not synced to the disk. To wait for it takes a part of them that is felt in a grid of short runs, and a loss of power
/// takes what was done in the last half minute or so: torn files are found by their checksums, and made again.
const SYNCED_FROM: f64 = 10.0;

/// The store of one results folder.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// A stage that is in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub folder: PathBuf,
    pub record: StageRecord,
}

/// Names of folders; `None` where they cannot be told.
pub struct Names(Option<HashSet<OsString>>);

impl Names {
    /// Whether the stage may have been there.
    pub fn may_have(&self, key: &StageKey) -> bool {
        let has = |names: &HashSet<OsString>| {
            names.contains(OsStr::new(&key.id)) || names.contains(OsStr::new(&key.long_name()))
        };
        self.0.as_ref().is_none_or(has)
    }
}

/// A stage that is in the store, as far as its files are concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct StageFiles {
    pub folder: PathBuf,
    /// By path in the folder.
    pub files: BTreeMap<String, FileSum>,
}

impl StageFiles {
    /// Name of the folder.
    pub fn name(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Holds every file against the header.
    ///
    /// # Errors
    /// [`RunError::Damaged`] with the file.
    pub fn verify(&self) -> Result<(), RunError> {
        header::verify(&self.folder, &self.files)
    }
}

/// What is kept of a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    pub stage: String,
    pub reason: String,
    /// Who noted it, and when on its own clock: a later failure for the same reason is another one.
    pub process: String,
    pub nanoseconds: u64,
}

impl Store {
    /// The store below `results` (`results/<experiment>`); nothing is created.
    pub fn at(results: &Path) -> Self {
        Store { root: results.join("store") }
    }

    /// Creates the folders and clears what killed processes left.
    ///
    /// # Errors
    /// The folder cannot be created or written to.
    pub fn prepare(&self) -> Result<(), RunError> {
        let unwritable = |source| RunError::Unwritable { path: self.root.clone(), source };
        for folder in ["", "partial", "failed", "checks", "claims", "workers", WORK] {
            let folder = self.root.join(folder);
            fs::create_dir_all(&folder).map_err(unwritable)?;
            remove_leftovers(&folder).map_err(unwritable)?;
        }
        Ok(())
    }

    /// Enters this process among those at work on the store.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn enter(&self, plan: &str) -> Result<Claims, RunError> {
        let claims = Claims::enter(&self.root, plan, Lease::default())?;
        claims.clear_dead();
        Ok(claims)
    }

    /// The folder of the store itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The finished stage, its header checked; `None` where it is not done. A folder of that id which another stage filled
    /// is not it.
    ///
    /// # Errors
    /// [`RunError::Damaged`] where a header is not what was written, [`RunError::OldStore`].
    pub fn find(&self, key: &StageKey) -> Result<Option<Finished>, RunError> {
        for name in [key.id.clone(), key.long_name()] {
            let folder = self.folder(&name);
            if let Some(record) = header::read(&folder)?
                && record.identity_sha256 == key.identity_sha256
            {
                return Ok(Some(Finished { folder, record }));
            }
        }
        Ok(None)
    }

    /// As [`Store::find`]; a stage whose header is damaged is not done.
    pub fn is_done(&self, key: &StageKey) -> bool {
        self.summary(key).is_ok_and(|found| found.is_some())
    }

    /// As [`Store::find`], of the header that alone which is kept where thousands of stages are looked at.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn summary(&self, key: &StageKey) -> Result<Option<Summary>, RunError> {
        for name in [key.id.clone(), key.long_name()] {
            if let Some(summary) = header::read_summary(&self.folder(&name))?
                && summary.identity_sha256 == key.identity_sha256
            {
                return Ok(Some(summary));
            }
        }
        Ok(None)
    }

    /// Names of the folders that are there now: where thousands of stages are looked for, most of them are not.
    pub fn names(&self) -> Names {
        Names(match fs::read_dir(&self.root) {
            Ok(entries) => {
                let names = entries.map(|entry| Ok(entry?.file_name()));
                names.collect::<io::Result<_>>().ok()
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(HashSet::new()),
            Err(_) => None,
        })
    }

    /// As [`Store::find`], of the header that alone which vouches for the stage's files.
    ///
    /// # Errors
    /// As [`Store::find`].
    pub fn files(&self, key: &StageKey) -> Result<Option<StageFiles>, RunError> {
        for name in [key.id.clone(), key.long_name()] {
            let folder = self.folder(&name);
            if let Some(header::Vouches { identity_sha256, files, .. }) = header::read_vouches(&folder)?
                && identity_sha256 == key.identity_sha256
            {
                return Ok(Some(StageFiles { folder, files }));
            }
        }
        Ok(None)
    }

    /// Holds every file of a finished stage against its header.
    ///
    /// # Errors
    /// [`RunError::Damaged`] with the file.
    pub fn verify(&self, finished: &Finished) -> Result<(), RunError> {
        header::verify(&finished.folder, &finished.record.files)
    }

    /// The finished stage in the folder called `name`, all of its files checked; `None` where there is none.
    ///
    /// # Errors
    /// As [`Store::find`] and [`Store::verify`].
    pub fn checked(&self, name: &str) -> Result<Option<Finished>, RunError> {
        let folder = self.folder(name);
        let Some(record) = header::read(&folder)? else { return Ok(None) };
        header::verify(&folder, &record.files)?;
        Ok(Some(Finished { folder, record }))
    }

    /// Takes a damaged stage out of the way, so that it is made again; the folder is kept below `damaged`. `file` lies in
    /// the stage's folder; one that somebody else has moved is left to them.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_aside(&self, file: &Path) -> Result<(), RunError> {
        let Some(name) = file.strip_prefix(&self.root).ok().and_then(|path| path.iter().next()) else {
            return Ok(());
        };
        let write = |source| RunError::Write { path: self.root.join(name), source };
        let damaged = self.root.join("damaged");
        create_folder(&damaged).map_err(write)?;
        let mut to = damaged.join(name);
        let mut number = 1;
        while to.exists() {
            number += 1;
            to = damaged.join(format!("{}.{number}", name.to_string_lossy()));
        }
        match fs::rename(self.root.join(name), to) {
            // Somebody else came first.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(write(error)),
            _ => Ok(()),
        }
    }

    /// Folder of the name `name`, whether it is there or not.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Folder for checkpoints of the stage that `claim` holds; it outlives the process. What earlier holders left is taken
    /// over: a holder that was followed does not find it any more.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn partial(&self, key: &StageKey, claim: &Claim<'_>) -> Result<PathBuf, RunError> {
        let path = self.root.join("partial").join(format!("{}.{}", key.long_name(), claim.generation));
        let write = |source| RunError::Write { path: path.clone(), source };
        let mut earlier = self.partial_folders(key);
        earlier.retain(|folder| *folder != path);
        // The latest holder's has the latest checkpoint.
        if !path.exists()
            && let Some(latest) = earlier.pop()
        {
            match fs::rename(&latest, &path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write(error)),
                _ => remove_leftovers(&path).map_err(write)?,
            };
        }
        earlier.iter().for_each(|folder| drop(fs::remove_dir_all(folder)));
        create_folder(&path).map_err(write)?;
        Ok(path)
    }

    /// Long names of the stages that were begun and not finished; empty ones among them.
    pub fn begun(&self) -> HashSet<String> {
        let entries = entries(&self.root.join("partial")).unwrap_or_default();
        let name = |path: PathBuf| Some(path.file_name()?.to_str()?.rsplit_once('.')?.0.to_string());
        entries.into_iter().filter_map(name).collect()
    }

    /// True where a stage was begun and can go on from a checkpoint.
    pub fn is_partial(&self, key: &StageKey) -> bool {
        let has_entries =
            |folder: &PathBuf| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        self.partial_folders(key).iter().any(has_entries)
    }

    /// Clears the checkpoints of a stage that is done; a process that was killed after finishing it leaves them.
    pub fn clear_partial(&self, key: &StageKey) {
        // Nothing depends on them any more: what cannot be deleted now is cleared at the next start.
        self.partial_folders(key).iter().for_each(|folder| drop(fs::remove_dir_all(folder)));
    }

    /// The folder of the newest checkpoints of a stage that is under way.
    pub fn newest_partial(&self, key: &StageKey) -> Option<PathBuf> {
        self.partial_folders(key).pop()
    }

    /// Folders of checkpoints of a stage, the latest holder's last.
    fn partial_folders(&self, key: &StageKey) -> Vec<PathBuf> {
        let name = key.long_name();
        let Ok(entries) = fs::read_dir(self.root.join("partial")) else { return Vec::new() };
        let generation = |entry: fs::DirEntry| {
            let file = entry.file_name().into_string().ok()?;
            let (stage, generation) = file.rsplit_once('.')?;
            Some((generation.parse::<u64>().ok()?, entry.path())).filter(|_| stage == name)
        };
        let mut folders: Vec<(u64, PathBuf)> = entries.flatten().filter_map(generation).collect();
        folders.sort();
        folders.into_iter().map(|(_, folder)| folder).collect()
    }

    /// A temporary folder for a stage to write to; deleted unless [`Store::commit`] takes it.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn begin(&self, claims: &Claims) -> Result<tempfile::TempDir, RunError> {
        let path = claims.work_folder();
        let made = create_folder(&path).and_then(|()| temporary_folder(&path));
        made.map_err(|source| RunError::Write { path, source })
    }

    /// Puts the finished stage under its name, durably where it took long, and clears its checkpoints and earlier failures. Fills in the
    /// checksums of `record`. Returns false where `claim` does not hold any more: its follower makes the same bytes.
    ///
    /// # Errors
    /// Any failure to write; the stage is then not done.
    pub fn commit(
        &self,
        key: &StageKey,
        claim: &Claim<'_>,
        folder: tempfile::TempDir,
        record: StageRecord,
    ) -> Result<bool, RunError> {
        let write = |path: &Path| {
            let path = path.to_path_buf();
            move |source| RunError::Write { path, source }
        };
        let short = self.folder(&key.id);
        let files = header::sums(folder.path()).map_err(write(&short))?;
        let durability = if record.seconds < SYNCED_FROM { Durability::Written } else { Durability::Synced };
        let record = StageRecord { files, ..record };
        let json = seal::seal(&record).map_err(io::Error::other).map_err(write(&short))?;
        fs::write(folder.path().join(HEADER_FILE), json).map_err(write(&short))?;
        if !claim.holds() {
            return Ok(false);
        }
        let path = match header::read(&short) {
            // Another stage has that id.
            Ok(Some(other)) if other.identity_sha256 != key.identity_sha256 => self.folder(&key.long_name()),
            _ => short,
        };
        if path.exists() && !self.is_done(key) {
            // Damaged, or not made by this store.
            self.set_aside(&path)?;
        }
        if let Err(error) = commit_folder(folder, &path, durability)
            && !self.is_done(key)
        {
            return Err(write(&path)(error));
        }
        self.clear_partial(key);
        let _ = fs::remove_file(self.failure_file(key));
        Ok(true)
    }

    /// Keeps the reason why a stage failed.
    ///
    /// # Errors
    /// Any failure to write.
    pub fn note_failure(&self, key: &StageKey, reason: &str) -> Result<(), RunError> {
        let path = self.failure_file(key);
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let failure = Failure {
            stage: key.id.clone(),
            reason: reason.to_string(),
            process: Process::current().to_string(),
            nanoseconds: time.map_or(0, |time| time.as_nanos() as u64),
        };
        let written = seal::seal(&failure).map_err(io::Error::other);
        written.and_then(|json| write_atomic(&path, &json)).map_err(|source| RunError::Write { path, source })
    }

    /// Why the stage failed the last time, if it did and has not been done since.
    pub fn failure(&self, key: &StageKey) -> Option<String> {
        let failure = self.noted_failure(key)?;
        (!self.is_done(key)).then_some(failure.reason)
    }

    /// What was noted of the last failure.
    pub fn noted_failure(&self, key: &StageKey) -> Option<Failure> {
        let path = self.failure_file(key);
        let bytes = fs::read(&path).ok()?;
        Some(seal::open(&bytes).unwrap_or_else(|_| Failure {
            stage: key.id.clone(),
            reason: format!("for a reason that `{}` does not tell any more", path.display()),
            process: String::new(),
            nanoseconds: 0,
        }))
    }

    /// Forgets that the stage failed, so that it is tried again.
    ///
    /// # Errors
    /// The note cannot be deleted.
    pub fn forget_failure(&self, key: &StageKey) -> Result<(), RunError> {
        let path = self.failure_file(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RunError::Write { path, source: error })
            }
            _ => Ok(()),
        }
    }

    fn failure_file(&self, key: &StageKey) -> PathBuf {
        self.root.join("failed").join(format!("{}.json", key.long_name()))
    }

    /// Whether anything has been scored, of whatever plan.
    pub fn has_evaluations(&self) -> bool {
        let is_one = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(EVALUATION)
        };
        entries(&self.root).unwrap_or_default().iter().any(is_one)
    }

    /// Headers of all finished stages that are whole.
    pub fn headers(&self) -> Vec<StageRecord> {
        let folders = self.stage_folders().unwrap_or_default();
        folders.iter().filter_map(|folder| header::read(folder).ok().flatten()).collect()
    }

    /// Folders that none of `keys` names: finished stages and checkpoints of other plans, what was set aside, and what processes
    /// left that have ended (a machine that lost its power, of which no process here could be sure).
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn unnamed(&self, keys: &[StageKey]) -> Result<Vec<PathBuf>, RunError> {
        let read = |source| RunError::Read { path: self.root.clone(), source };
        let named: HashSet<&str> = keys.iter().map(|key| key.identity_sha256.as_str()).collect();
        let long: HashSet<String> = keys.iter().map(StageKey::long_name).collect();
        let mut unnamed = Vec::new();
        for folder in self.stage_folders().map_err(read)? {
            // One that cannot be read is set aside by the next `run`, if it is named.
            if header::read(&folder)
                .is_ok_and(|record| record.is_some_and(|r| !named.contains(r.identity_sha256.as_str())))
            {
                unnamed.push(folder);
            }
        }
        for (below, all) in [("partial", false), ("damaged", true)] {
            for entry in entries(&self.root.join(below)).map_err(read)? {
                let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let stage = name.rsplit_once('.').map_or(name, |(stage, _)| stage);
                if all || !long.contains(stage) {
                    unnamed.push(entry);
                }
            }
        }
        for entry in entries(&self.root.join(WORK)).map_err(read)? {
            let process = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if claims::has_left(&self.root, process) {
                unnamed.push(entry);
            }
        }
        unnamed.sort();
        Ok(unnamed)
    }

    /// Deletes the folder of a stage, or one of [`Store::unnamed`].
    ///
    /// # Errors
    /// Any failure of the file system.
    pub fn delete(&self, folder: &Path) -> io::Result<()> {
        let deleted = match folder.file_name().and_then(|name| name.to_str()) {
            Some(process) if folder_of(folder) == self.root.join(WORK) => claims::forget(&self.root, process),
            _ => fs::remove_dir_all(folder),
        };
        match deleted {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn stage_folders(&self) -> io::Result<Vec<PathBuf>> {
        let mut folders = entries(&self.root)?;
        folders.retain(|path| path.join(HEADER_FILE).exists());
        Ok(folders)
    }

    /// What a look at a corpus found, kept under the hash of all that it depends on; `None` where nothing is kept or where
    /// it is not what was kept.
    pub fn check<T: serde::de::DeserializeOwned>(&self, hash: &str) -> Option<T> {
        seal::open(&fs::read(self.check_file(hash)).ok()?).ok()
    }

    /// Keeps what a look at a corpus found. What cannot be kept is found again the next time.
    pub fn keep_check<T: Serialize>(&self, hash: &str, found: &T) -> Result<(), RunError> {
        let path = self.check_file(hash);
        let write = |source| RunError::Write { path: path.clone(), source };
        fs::create_dir_all(folder_of(&path)).map_err(write)?;
        let json = seal::seal(found).map_err(|error: SealError| write(io::Error::other(error)))?;
        write_atomic(&path, &json).map_err(write)
    }

    fn check_file(&self, hash: &str) -> PathBuf {
        self.root.join("checks").join(format!("{hash}.json"))
    }

    /// Keeps what the tables were merged from last.
    ///
    /// # Errors
    /// Any failure to write.
    pub(super) fn keep_latest<T: Serialize>(&self, latest: &T) -> io::Result<()> {
        seal::seal(latest).map_err(io::Error::other).and_then(|json| write_atomic(&self.latest_file(), &json))
    }

    /// What [`Store::keep_latest`] kept; `None` where it is not there, and, with a warning, where it is not what was kept.
    pub(super) fn latest<T: serde::de::DeserializeOwned>(&self) -> Option<T> {
        let path = self.latest_file();
        let latest = seal::open(&fs::read(&path).ok()?).ok();
        if latest.is_none() {
            tell!("warning: `{}` is damaged; the tables are merged again", path.display());
        }
        latest
    }

    /// Deletes what [`Store::keep_latest`] kept.
    pub(super) fn forget_latest(&self) {
        let _ = fs::remove_file(self.latest_file());
    }

    fn latest_file(&self) -> PathBuf {
        self.root.join("checks/tables.json")
    }

    /// The results folder that holds the store.
    pub fn results(&self) -> &Path {
        folder_of(&self.root)
    }
}

/// Paths of the entries of a folder; none where it is not there.
fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
