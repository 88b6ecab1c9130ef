//! Faults of a report.
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Record(#[from] crate::record::RecordError),
    #[error("{}: {source}", .path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: {message}", .path.display())]
    Plan { path: PathBuf, message: String },
    #[error("figure {figure}: {message}")]
    Figure { figure: String, message: String },
}
