//! From the CSV files of an experiment to `report.md`, `report.html`, `tables.tex` and `figures/*.svg`.
//!
//! Nothing but `results/<experiment>/` is read: the CSV files and, for the question and the declared comparisons,
//! `plan.json`. The same files give the same bytes. The flow is
//!
//! ```text
//! Results ─groups→ arms × axis points ─scores, comparisons, costs, stability→ numbers ─document→ blocks ─markdown│html│latex→ text
//! ```
//!
//! Intervals and p-values over seeds and items are those of [`crate::stats::crossed`], which keep their level with
//! three seeds; the hierarchical bootstrap stands beside them as a check. A number that was not measured is blank.
pub mod compare;
mod comparisons;
mod costs;
mod document;
mod error;
mod figures;
mod format;
mod groups;
mod html;
mod latex;
mod markdown;
mod request;
mod scores;
mod sections;
mod stability;
#[cfg(test)]
mod tests;
mod text;

pub use error::ReportError;
pub use request::{DeclaredComparison, ReportRequest};

use crate::base::files::write_atomic;
use crate::record::Results;
use std::path::{Path, PathBuf};

pub type Result<T> = std::result::Result<T, ReportError>;

/// A rendered report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub markdown: String,
    /// Self-contained: no script, nothing from a network, figures inline.
    pub html: String,
    pub latex: String,
    /// File stem and SVG of each figure.
    pub figures: Vec<(String, String)>,
}

/// Renders the report of `results` for `request`.
pub fn render(results: &Results, request: &ReportRequest) -> Result<Report> {
    let document = sections::build(results, request)?;
    Ok(Report {
        markdown: markdown::render(&document),
        html: html::render(&document),
        latex: latex::render(&document),
        figures: document.figures(),
    })
}

/// Reads `results_dir`, writes the report into it and returns the paths written, `report.md` first.
///
/// # Errors
/// Any fault of the CSV files or of `plan.json`, with its place; a file that cannot be written.
pub fn write(results_dir: &Path) -> Result<Vec<PathBuf>> {
    let results = Results::read(results_dir)?;
    let request = ReportRequest::read(results_dir)?;
    let report = render(&results, &request)?;
    let folder = results_dir.join("figures");
    let io = |path: &Path, source| ReportError::Io { path: path.to_path_buf(), source };
    std::fs::create_dir_all(&folder).map_err(|e| io(&folder, e))?;
    let mut files: Vec<(PathBuf, &str)> = vec![
        (results_dir.join("report.md"), &report.markdown),
        (results_dir.join("report.html"), &report.html),
        (results_dir.join("tables.tex"), &report.latex),
    ];
    files.extend(report.figures.iter().map(|(name, svg)| (folder.join(format!("{name}.svg")), svg.as_str())));
    for (path, text) in &files {
        write_atomic(path, text.as_bytes()).map_err(|e| io(path, e))?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}
