//! From the CSV files of an experiment to `report.md`, `report.html`, `tables.tex` and `figures/*.svg`; from several of them
//! to the table of a paper ([`paper`]).
//!
//! Nothing but `results/<experiment>/` is read: the CSV files, those of `probe` where there are any, and, for the question and the
//! declared comparisons, `plan.json`. The same files give the same bytes. The flow is
//!
//! ```text
//! Results ─groups→ arms × axis points ─scores, comparisons, costs, stability→ numbers ─document→ blocks ─markdown│html│latex→ text
//! ```
//!
//! Intervals and p-values over seeds and items are those of [`crate::stats::crossed`], which keep their level with
//! three seeds; the hierarchical bootstrap stands beside them as a check. A number that was not measured is blank.
mod answers;
pub mod compare;
mod comparisons;
mod costs;
mod document;
mod error;
mod family;
mod figures;
mod format;
mod grid;
pub mod groups;
mod html;
mod labels;
mod latex;
mod live;
mod markdown;
pub mod metric;
pub mod paper;
pub mod pilot;
pub mod print;
mod probe;
#[cfg(test)]
mod questions_tests;
mod request;
mod same_loss;
pub mod scores;
mod sections;
mod select;
mod stability;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod twins;

pub use document::Figure;
pub use error::ReportError;
pub use live::{Live, LiveCurve, write_live};
pub use metric::Metric;
pub use request::{PLAN_FILE, ReportRequest};

use probe::Probe;

use crate::base::files::{folder_of, write_atomic};
use crate::record::dictionary::{self, COMPARISONS, DICTIONARY_FILE};
use crate::record::read::TABLES;
use crate::record::{Results, Snapshot, derived};
use std::path::{Path, PathBuf};

/// Name of the page.
pub const PAGE_FILE: &str = derived::PAGE;

pub type Result<T> = std::result::Result<T, ReportError>;

/// A rendered report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub markdown: String,
    /// Self-contained: no script, nothing from a network, figures inline.
    pub html: String,
    pub latex: String,
    pub figures: Vec<Figure>,
    /// `comparisons.csv`.
    pub comparisons: String,
    /// `DICTIONARY.md`.
    pub dictionary: String,
}

/// Renders the report of `results` for `request`.
pub fn render(results: &Results, request: &ReportRequest) -> Result<Report> {
    render_with(results, None, request)
}

fn render_with(results: &Results, probe: Option<&Probe>, request: &ReportRequest) -> Result<Report> {
    let labelled = request.labels.of_results(results);
    let (document, comparisons) = sections::build(&labelled, probe, &request.labelled())?;
    let (html, (latex, markdown)) = rayon::join(
        || html::render(&document, None),
        || (latex::render(&document), markdown::render(&document)),
    );
    Ok(Report {
        markdown,
        html,
        latex,
        figures: document.figures().cloned().collect(),
        comparisons,
        dictionary: dictionary::markdown(&results.axes),
    })
}

/// As [`render`], of the files in `results_dir`.
///
/// # Errors
/// As [`write()`].
pub fn of(results_dir: &Path) -> Result<Report> {
    // Tables and plan of one moment.
    let files = Snapshot::read(results_dir, &[&TABLES[..], &[PLAN_FILE]].concat())?;
    let (results, request) =
        (Results::of_items(&files, results_dir)?, ReportRequest::of(&files, results_dir)?);
    drop(files);
    render_with(&results, Probe::read(results_dir)?.as_ref(), &request)
}

/// What `write` wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// All files of the report.
    pub files: Vec<PathBuf>,
    /// Those whose contents changed.
    pub changed: Vec<PathBuf>,
}

/// Reads `results_dir` and writes the report into it, and the dictionary where there is none; files that would not change are
/// left alone.
///
/// # Errors
/// Any fault of the CSV files or of `plan.json`, with its place; a file that cannot be written. No file of an earlier report
/// that differs from this one is left then.
pub fn write(results_dir: &Path) -> Result<Written> {
    let report = of(results_dir)?;
    // Numbers first, pictures after: a disk may be full before all is written.
    let mut files = vec![
        (results_dir.join(COMPARISONS), report.comparisons),
        (results_dir.join(derived::REPORT), report.markdown),
        (results_dir.join(derived::LATEX), report.latex),
        (results_dir.join(PAGE_FILE), report.html),
    ];
    let folder = results_dir.join(derived::FIGURES);
    files.extend(report.figures.into_iter().map(|f| (folder.join(format!("{}.svg", f.name)), f.svg)));
    // Tables of earlier versions keep the dictionary of their columns.
    let dictionary = results_dir.join(DICTIONARY_FILE);
    if !dictionary.exists() {
        files.push((dictionary, report.dictionary));
    }
    write_files(&files)
}

/// Writes `files`; those that would not change are left alone. Where one cannot be written, none of them stays that is not what
/// it should be; on a full disk that also makes room, and they are tried once more.
fn write_files(files: &[(PathBuf, String)]) -> Result<Written> {
    write_changed(files).or_else(|error| {
        for (path, text) in files {
            if std::fs::read(path).is_ok_and(|old| old != text.as_bytes()) {
                // What cannot be deleted either is told by the error.
                let _ = std::fs::remove_file(path);
            }
        }
        if error.is_full() { write_changed(files) } else { Err(error) }
    })
}

fn write_changed(files: &[(PathBuf, String)]) -> Result<Written> {
    let io = |path: &Path, source| ReportError::Io { path: path.to_path_buf(), source };
    let mut written = Written::default();
    for (path, text) in files {
        if !std::fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
            let folder = folder_of(path);
            std::fs::create_dir_all(folder).map_err(|e| io(folder, e))?;
            write_atomic(path, text.as_bytes()).map_err(|e| io(path, e))?;
            written.changed.push(path.clone());
        }
        written.files.push(path.clone());
    }
    Ok(written)
}
