//! Why the results folder cannot be used. A run that fails is no error of this kind: it is a row with its reason.
use crate::record::RecordError;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot write results to `{}`: {source}\nhint: name another folder with `--results DIR`", .path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("{who} carries out another plan of this experiment in `{}`\nhint: wait for it, or name another folder with `--results DIR`", .path.display())]
    Busy { path: PathBuf, who: String },
    #[error("`{}` holds results of the experiment `{found}`, this is `{asked}`\nhint: name another folder with `--results DIR`; if `{found}` is what `{asked}` was called before, delete `{}`", .path.display(), .path.join("plan.json").display())]
    OtherExperiment { path: PathBuf, found: String, asked: String },
    #[error("cannot write `{}`: {source}\nhint: finished stages are kept; make room and run again", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot read `{}`: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// A file of a finished stage that changed on disk.
    #[error("`{}` is damaged: {what}", .path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("`{}` was made by an earlier version, which kept no checksums\nhint: delete `{}` to make its stages anew, or name another folder with `--results DIR`; the result tables beside it can be read as before", .path.display(), folder(.path))]
    OldStore { path: PathBuf },
    #[error("`{}` was made by a later version: its store is of format {found}, this program knows {known}\nhint: use that version, or name another folder with `--results DIR`", .path.display())]
    NewStore { path: PathBuf, found: u32, known: u32 },
    #[error("cannot rewrite the result tables: {0}\nhint: finished stages are kept; make room and run again")]
    Tables(#[from] RecordError),
    #[error("a worker panicked while it told of a run: {0}")]
    Panicked(String),
    #[error("cannot make {threads} threads: {reason}")]
    Threads { threads: usize, reason: String },
}

impl RunError {
    /// Whether a disk without room is the reason.
    pub fn is_full(&self) -> bool {
        crate::base::files::is_full(self)
    }
}

fn folder(path: &Path) -> String {
    crate::base::files::folder_of(path).display().to_string()
}
