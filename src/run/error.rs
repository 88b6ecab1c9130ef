//! Why the results folder cannot be used. A run that fails is no error of this kind: it is a row with its reason.
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("cannot write results to `{}`: {source}\nhint: name another folder with `--results DIR`", .path.display())]
    Unwritable { path: PathBuf, source: std::io::Error },
    #[error("another `efficientllm run` is writing to `{}`\nhint: wait for it, or name another folder with `--results DIR`", .path.display())]
    Busy { path: PathBuf },
    #[error("cannot write `{}`: {source}\nhint: finished stages are kept; make room and run again", .path.display())]
    Write { path: PathBuf, source: std::io::Error },
    #[error("cannot read `{}`: {source}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{}` is not what a run wrote: {what}\nhint: delete `{}` and run again", .path.display(), folder(.path))]
    Corrupt { path: PathBuf, what: String },
    #[error("cannot rewrite the result tables: {0}")]
    Collect(String),
    #[error("cannot make {threads} threads: {reason}")]
    Threads { threads: usize, reason: String },
}

fn folder(path: &Path) -> String {
    crate::base::files::folder_of(path).display().to_string()
}
