//! Faults of result files: file, line and column wherever there are any.
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: line {line}, column {column}: {message}", .path.display())]
    Cell { path: PathBuf, line: u64, column: String, message: String },
    #[error("{}: line {line}: {message}", .path.display())]
    Row { path: PathBuf, line: u64, message: String },
    #[error("{}: line 1: {message}", .path.display())]
    Header { path: PathBuf, message: String },
    #[error("{}: {message}", .path.display())]
    Json { path: PathBuf, message: String },
    #[error("{}: schema version {found}, this program reads {expected}", .path.display())]
    SchemaVersion { path: PathBuf, found: u32, expected: u32 },
    #[error("{} was changed since it was written: its SHA-256 is not the one in `SHA256SUMS`\nhint: `efficientllm run` writes it anew; to read a table that you changed on purpose, delete `{}`", .path.display(), .path.with_file_name("SHA256SUMS").display())]
    Changed { path: PathBuf },
    #[error("run `{run}`: {message}")]
    Record { run: String, message: String },
}

/// What the system said to a writer of CSV, whose own error keeps it to itself.
pub(super) fn io_of(error: csv::Error) -> std::io::Error {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(source) => source,
        _ => std::io::Error::other(text),
    }
}

impl RecordError {
    /// Whether a disk without room is the reason.
    pub fn is_full(&self) -> bool {
        crate::base::files::is_full(self)
    }
}
