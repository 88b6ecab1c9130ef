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
    /// Of day, when this was so.
    pub time: String,
    /// What is running, as sentences.
    pub lines: Vec<String>,
    /// Runs that are done or have failed, in the tables or not yet.
    pub decided: usize,
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
    let mut top = vec![Block::Heading("Now".into()), Block::List(lines(live, results.runs.len()))];
    top.extend(sections::curves_so_far(&request.labels.of_results(&with_curves(&results, live)))?);
    document.blocks.splice(0..0, top);
    write_files(&[(results_dir.join(PAGE_FILE), html::render(&document, live.refresh))])
}

/// What stands on top: when this was so, what is running, and of `in_tables` runs in the tables how far those are behind.
fn lines(live: &Live, in_tables: usize) -> Vec<String> {
    let mut lines = vec![match live.refresh {
        Some(seconds) => format!("As of {}; this page reloads itself every {seconds} s.", live.time),
        None => format!("As of {}; nothing rewrites this page any more.", live.time),
    }];
    lines.extend(live.lines.iter().cloned());
    match live.decided.saturating_sub(in_tables) {
        0 => {}
        1 => lines.push("1 run that ended is not in the tables yet: nothing below counts it.".into()),
        n => lines.push(format!("{n} runs that ended are not in the tables yet: nothing below counts them.")),
    }
    lines
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Tables are merged now and then: where they are behind, the page says why its numbers of runs differ.
    #[test]
    fn the_page_says_when_it_was_written_and_how_far_the_tables_are_behind() {
        let live = |decided, refresh| Live {
            time: "15:04:05 UTC".into(),
            lines: vec!["90 runs: 76 done.".into()],
            decided,
            refresh,
            ..Live::default()
        };
        assert_eq!(
            lines(&live(76, Some(30)), 73),
            [
                "As of 15:04:05 UTC; this page reloads itself every 30 s.",
                "90 runs: 76 done.",
                "3 runs that ended are not in the tables yet: nothing below counts them.",
            ]
        );
        assert_eq!(
            lines(&live(76, None), 76),
            ["As of 15:04:05 UTC; nothing rewrites this page any more.", "90 runs: 76 done."]
        );
    }
}
