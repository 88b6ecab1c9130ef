//! From the records of the finished runs to the CSV files of an experiment.
use super::dictionary::{self, CURVES, DICTIONARY_FILE, EVALS, ITEMS, LATENCY, LEDGER, PRUNE, RUNS, WIDTHS};
use super::rows::RunRecord;
use super::{RecordError, Result};
use crate::base::files::write_atomic;
use serde::Serialize;
use std::path::Path;

/// Rewrites every CSV file and the dictionary in `results_dir` from `records`, which are in plan order.
///
/// Each file is replaced atomically and only where its bytes change. `runs.csv` comes last, so a run that has a row
/// has its details too, whenever the process dies.
///
/// # Errors
/// [`RecordError::Record`] for two records of one run or records that disagree on the axes; `Io` with the path.
pub fn collect(results_dir: &Path, records: &[RunRecord]) -> Result<()> {
    let axes = common_axes(records)?;
    std::fs::create_dir_all(results_dir)
        .map_err(|source| RecordError::Io { path: results_dir.to_path_buf(), source })?;
    replace(&results_dir.join(DICTIONARY_FILE), dictionary::markdown(&axes).as_bytes())?;
    let detailed = |file: &str, rows: fn(&RunRecord, &mut Table) -> csv::Result<()>| {
        write_table(results_dir, file, &axes, records, rows)
    };
    detailed(EVALS, |r, t| r.evals.iter().try_for_each(|row| t.keyed(r, row)))?;
    detailed(ITEMS, |r, t| r.items.iter().try_for_each(|row| t.keyed(r, row)))?;
    detailed(CURVES, |r, t| r.curve.iter().try_for_each(|row| t.keyed(r, row)))?;
    detailed(PRUNE, |r, t| r.prune.iter().try_for_each(|row| t.row((&r.identity.run, row))))?;
    detailed(WIDTHS, |r, t| r.widths.iter().try_for_each(|row| t.keyed(r, row)))?;
    detailed(LEDGER, |r, t| r.ledger.iter().try_for_each(|row| t.keyed(r, row)))?;
    detailed(LATENCY, |r, t| r.latency.iter().try_for_each(|row| t.keyed(r, row)))?;
    detailed(RUNS, |r, t| {
        let values: Vec<&String> = r.axes.iter().map(|(_, value)| value).collect();
        t.row((&r.identity, values, &r.totals))
    })
}

/// Key paths of the axes, the same for all records.
fn common_axes(records: &[RunRecord]) -> Result<Vec<String>> {
    let keys = |r: &RunRecord| -> Vec<String> { r.axes.iter().map(|(key, _)| key.clone()).collect() };
    let axes = records.first().map(keys).unwrap_or_default();
    let mut seen = std::collections::BTreeSet::new();
    for r in records {
        let fault = |message: String| RecordError::Record { run: r.identity.run.clone(), message };
        if !seen.insert(&r.identity.run) {
            return Err(fault("two records of this run".into()));
        }
        if keys(r) != axes {
            return Err(fault(format!("axes {:?}, the other runs have {axes:?}", keys(r))));
        }
    }
    Ok(axes)
}

struct Table(csv::Writer<Vec<u8>>);

impl Table {
    fn row(&mut self, row: impl Serialize) -> csv::Result<()> {
        self.0.serialize(row)
    }

    fn keyed(&mut self, record: &RunRecord, row: impl Serialize) -> csv::Result<()> {
        self.row((&record.identity.run, &record.identity.arm, record.identity.seed, row))
    }
}

fn write_table(
    folder: &Path,
    file: &str,
    axes: &[String],
    records: &[RunRecord],
    rows: fn(&RunRecord, &mut Table) -> csv::Result<()>,
) -> Result<()> {
    let path = folder.join(file);
    let mut table = Table(csv::WriterBuilder::new().has_headers(false).from_writer(vec![]));
    let written = table
        .row(dictionary::header(file, axes))
        .and_then(|()| records.iter().try_for_each(|r| rows(r, &mut table)))
        .map_err(std::io::Error::from)
        .and_then(|()| table.0.into_inner().map_err(|e| e.into_error()));
    let bytes = written.map_err(|source| RecordError::Io { path: path.clone(), source })?;
    replace(&path, &bytes)
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    write_atomic(path, bytes).map_err(|source| RecordError::Io { path: path.to_path_buf(), source })
}
