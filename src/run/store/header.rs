//! `stage.json`, the header of a finished stage: what it is, and the SHA-256 of each of its files.
//!
//! It carries its own SHA-256 (`base::seal`). Together with the list of files that covers every byte of the folder: what
//! changes on disk afterwards is noticed when the stage is read.
use super::super::error::RunError;
use crate::base::hash::sha256_file;
use crate::base::seal::{self, SealError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// Name of the header in the stage's folder.
pub(super) const HEADER_FILE: &str = "stage.json";
/// Raised with every change of the store's layout. 1 had no checksums.
pub(super) const FORMAT: u32 = 2;

/// What `stage.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    pub format: u32,
    pub id: String,
    /// Canonical form of everything that the stage's numbers depend on; inputs by their ids.
    pub identity: serde_json::Value,
    /// Hash of the identity in full (`store::key`).
    pub identity_sha256: String,
    /// Wall time of the attempt that finished the stage.
    pub seconds: f64,
    /// Largest resident memory of the process so far; `None` where the system does not tell.
    pub peak_memory_bytes: Option<u64>,
    /// Estimated FLOPs, for the speed of the next estimate.
    pub estimated_flops: f64,
    /// Every other file of the folder, by its path in it with `/` between the parts.
    pub files: BTreeMap<String, FileSum>,
}

impl StageRecord {
    /// The format of what this version writes.
    pub const FORMAT: u32 = FORMAT;
}

/// What of a header tells which stage it is of and what it took; read where thousands are looked at.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Summary {
    pub format: u32,
    pub identity_sha256: String,
    pub seconds: f64,
    pub estimated_flops: f64,
}

/// What of a header vouches for the files beside it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Vouches {
    format: u32,
    pub identity_sha256: String,
    pub files: BTreeMap<String, FileSum>,
}

/// Length and hash of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSum {
    pub bytes: u64,
    pub sha256: String,
}

/// Reads the header in `folder`; `None` where there is none.
///
/// # Errors
/// [`RunError::Damaged`], or [`RunError::OldStore`] for one that an earlier version wrote.
pub(super) fn read(folder: &Path) -> Result<Option<StageRecord>, RunError> {
    read_as(folder, |record: &StageRecord| record.format)
}

/// As [`read`], all of it checked and a part of it kept.
pub(super) fn read_summary(folder: &Path) -> Result<Option<Summary>, RunError> {
    read_as(folder, |summary: &Summary| summary.format)
}

/// As [`read_summary`], of what vouches for the files.
pub(super) fn read_vouches(folder: &Path) -> Result<Option<Vouches>, RunError> {
    read_as(folder, |vouches: &Vouches| vouches.format)
}

fn read_as<T: DeserializeOwned>(folder: &Path, format: fn(&T) -> u32) -> Result<Option<T>, RunError> {
    let path = folder.join(HEADER_FILE);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(source) => return Err(RunError::Read { path, source }),
    };
    match seal::open::<T>(&bytes) {
        Ok(record) if format(&record) == FORMAT => Ok(Some(record)),
        Ok(record) => {
            Err(RunError::NewStore { path: folder.to_path_buf(), found: format(&record), known: FORMAT })
        }
        Err(SealError::Missing) if is_of_first_format(&bytes) => {
            Err(RunError::OldStore { path: folder.to_path_buf() })
        }
        Err(error) => Err(RunError::Damaged { path, what: error.to_string() }),
    }
}

/// One changed byte does not make a header of today look like one of the first format: that had none of these keys.
fn is_of_first_format(bytes: &[u8]) -> bool {
    let Ok(serde_json::Value::Object(map)) = serde_json::from_slice(bytes) else { return false };
    let new = ["format", "identity_sha256", "files", "sha256"];
    map.contains_key("identity") && new.iter().all(|key| !map.contains_key(*key))
}

/// Lengths and hashes of all files below `folder`, its header left out.
///
/// # Errors
/// A file cannot be read, or its name is not UTF-8.
pub(super) fn sums(folder: &Path) -> io::Result<BTreeMap<String, FileSum>> {
    let mut sums = BTreeMap::new();
    for name in names(folder)? {
        let path = folder.join(&name);
        let sum = FileSum { bytes: fs::metadata(&path)?.len(), sha256: sha256_file(&path)? };
        sums.insert(name, sum);
    }
    Ok(sums)
}

/// Holds every file of `folder` against `files`, what its header lists.
///
/// # Errors
/// [`RunError::Damaged`] with the first file that is missing, strange or changed.
pub(super) fn verify(folder: &Path, files: &BTreeMap<String, FileSum>) -> Result<(), RunError> {
    let damaged = |name: &str, what: String| RunError::Damaged { path: folder.join(name), what };
    let found = names(folder).map_err(|source| match source.kind() {
        // Set aside by somebody since its header was read.
        io::ErrorKind::NotFound => damaged("", "it is not there any more".into()),
        _ => RunError::Read { path: folder.to_path_buf(), source },
    })?;
    if let Some(strange) = found.iter().find(|name| !files.contains_key(*name)) {
        return Err(damaged(strange, "it is not among the files that the stage wrote".into()));
    }
    for (name, sum) in files {
        let path = folder.join(name);
        let bytes = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(damaged(name, "it is missing".into()));
            }
            Err(source) => return Err(RunError::Read { path, source }),
        };
        if bytes != sum.bytes {
            return Err(damaged(name, format!("it has {bytes} bytes, {} were written", sum.bytes)));
        }
        match sha256_file(&path) {
            Ok(hash) if hash == sum.sha256 => {}
            Ok(_) => return Err(damaged(name, "its SHA-256 is not that of what was written".into())),
            // A sector that the disk cannot read any more is damage, too.
            Err(error) => return Err(damaged(name, error.to_string())),
        }
    }
    Ok(())
}

/// Paths of all files below `folder` but the header, in no order.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().into_string().map_err(|name| {
                io::Error::new(io::ErrorKind::InvalidData, format!("the name {name:?} is not UTF-8"))
            })?;
            let name = format!("{prefix}{name}");
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), name + "/"));
            } else if name != HEADER_FILE {
                names.push(name);
            }
        }
    }
    Ok(names)
}
