//! The page of a sweep in progress: the report of what is finished, with what is running and every curve so far on top.
use super::request::{PLAN_FILE, ReportRequest};
use super::sections;
use super::{PAGE_FILE, Result, Written, document::Block, html, write_files};
use crate::record::dictionary::RUNS;
use crate::record::read::TABLES;
use crate::record::{CurvePoint, Keyed, Results, RunEntry, RunIdentity, RunTotals, Snapshot, Status};
use std::path::Path;

/// What the files of results do not know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// Key paths of the axes.
    pub axes: Vec<String>,
    /// What is running, as sentences.
    pub lines: Vec<String>,
    pub curves: Vec<LiveCurve>,
    /// Seconds after which the page reloads itself.
    pub refresh: Option<u64>,
}

/// The curve so far of a run under way.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveCurve {
    pub arm: String,
    /// Values of the axes; empty where the run does not depend on one.
    pub axes: Vec<String>,
    pub seed: u64,
    pub points: Vec<CurvePoint>,
}

/// Writes the page of `results_dir`, whose tables may hold nothing yet, with `live` on top.
///
/// # Errors
/// As [`super::write`].
pub fn write_live(results_dir: &Path, live: &Live) -> Result<Written> {
    let files = Snapshot::read(results_dir, &[&TABLES[..], &[PLAN_FILE]].concat())?;
    let request = ReportRequest::of(&files, results_dir)?;
    let results = match files.get(RUNS) {
        Some(_) => Results::of(&files, results_dir)?,
        None => Results { axes: live.axes.clone(), ..Results::default() },
    };
    let (results, request) = (request.labels.of_results(&results), request.labelled());
    let (mut document, _) = sections::build(&results, None, &request)?;
    let mut top = vec![Block::Heading("Now".into()), Block::List(live.lines.clone())];
    top.extend(sections::curves_so_far(&request.labels.of_results(&with_curves(&results, live)))?);
    document.blocks.splice(0..0, top);
    write_files(&[(results_dir.join(PAGE_FILE), html::render(&document, live.refresh))])
}

/// `results` with a run for every curve of `live`, under an arm's name that says so.
fn with_curves(results: &Results, live: &Live) -> Results {
    let mut results = results.clone();
    for curve in &live.curves {
        let run = results.runs.len();
        let arm = format!("{} (running)", curve.arm);
        results.runs.push(RunEntry {
            identity: RunIdentity {
                run: format!("running-{run}"),
                arm,
                seed: curve.seed,
                status: Status::Ok,
                reason: None,
                stage: None,
            },
            axes: live.axes.iter().cloned().zip(curve.axes.iter().cloned()).collect(),
            totals: RunTotals::default(),
        });
        results.curves.extend(curve.points.iter().cloned().map(|row| Keyed { run, row }));
    }
    results
}
