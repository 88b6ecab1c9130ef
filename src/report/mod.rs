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
mod grid;
pub mod groups;
mod html;
mod labels;
mod latex;
mod markdown;
pub mod metric;
mod request;
pub mod scores;
mod sections;
mod stability;
#[cfg(test)]
mod tests;
mod text;

pub use error::ReportError;
pub use labels::Labels;
pub use metric::Metric;
pub use request::{AxisQuestion, DeclaredComparison, PLAN_FILE, ReportRequest};

use crate::base::files::write_atomic;
use crate::record::read::TABLES;
use crate::record::{Results, Snapshot};
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
    let labelled = request.labels.of_results(results);
    let comparisons = request.comparisons.iter().map(|one| request.labels.of_comparison(one)).collect();
    let request = &ReportRequest { comparisons, ..request.clone() };
    let document = sections::build(&labelled, request)?;
    Ok(Report {
        markdown: markdown::render(&document),
        html: html::render(&document),
        latex: latex::render(&document),
        figures: document.figures(),
    })
}

/// What `write` wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// All files of the report, `report.md` first.
    pub files: Vec<PathBuf>,
    /// Those whose contents were other ones before.
    pub changed: Vec<PathBuf>,
}

/// Reads `results_dir` and writes the report into it; files that would not change are left alone.
///
/// # Errors
/// Any fault of the CSV files or of `plan.json`, with its place; a file that cannot be written.
pub fn write(results_dir: &Path) -> Result<Written> {
    // Tables and plan of one moment.
    let files = Snapshot::read(results_dir, &[&TABLES[..], &[PLAN_FILE]].concat())?;
    let results = Results::of(&files, results_dir)?;
    let request = ReportRequest::of(&files, results_dir)?;
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
    let mut written = Written::default();
    for (path, text) in files {
        if !std::fs::read(&path).is_ok_and(|old| old == text.as_bytes()) {
            write_atomic(&path, text.as_bytes()).map_err(|e| io(&path, e))?;
            written.changed.push(path.clone());
        }
        written.files.push(path);
    }
    Ok(written)
}
