//! From the records of the finished runs to the CSV files of an experiment.
use super::derived;
use super::dictionary::{
    self, CANDIDATES, CURVES, EVALS, ITEMS, LATENCY, LEDGER, PRUNE, RUNS, SET_ASIDE, TIDY, WIDTHS,
};
use super::error::io_of;
use super::rows::RunRecord;
use super::snapshot::Draft;
use super::tidy;
use super::{RecordError, Result};
use crate::base::hash::HashingWriter;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The tables, in the order of their names here; each with what of a record are its rows.
const TABLES: [(&str, Rows); 11] = [
    (EVALS, |r, t| r.evals.iter().try_for_each(|row| t.at_axes(r, row))),
    (TIDY, |r, t| tidy::rows(r).iter().try_for_each(|row| t.at_axes(r, row))),
    (ITEMS, |r, t| r.items.iter().try_for_each(|row| t.keyed(r, row))),
    (CURVES, |r, t| r.curve.iter().try_for_each(|row| t.keyed(r, row))),
    (PRUNE, |r, t| r.prune.iter().try_for_each(|row| t.row((&r.identity.run, row)))),
    (CANDIDATES, |r, t| r.candidates.iter().try_for_each(|row| t.row((&r.identity.run, row)))),
    (WIDTHS, |r, t| r.widths.iter().try_for_each(|row| t.keyed(r, row))),
    (LEDGER, |r, t| r.ledger.iter().try_for_each(|row| t.keyed(r, row))),
    (LATENCY, |r, t| r.latency.iter().try_for_each(|row| t.keyed(r, row))),
    (SET_ASIDE, |r, t| r.set_aside.iter().try_for_each(|row| t.keyed(r, row))),
    (RUNS, |r, t| t.row((&r.identity, values(r), &r.totals))),
];

/// Writes the rows of one record to a table.
type Rows = fn(&RunRecord, &mut Table) -> csv::Result<()>;

/// Rewrites every CSV file in `results_dir` from `records`, which are in plan order.
///
/// # Errors
/// As [`Tables`].
pub fn collect(results_dir: &Path, records: &[RunRecord]) -> Result<()> {
    let axes = records.first().map(axes_of).unwrap_or_default();
    let mut tables = Tables::begin(results_dir, axes)?;
    records.iter().try_for_each(|record| tables.add(record))?;
    tables.commit(&[])
}

/// All tables of an experiment while they are written: record by record, so that no more than one is in memory.
///
/// Nothing counts before [`Tables::commit`] (see `snapshot`), and a file whose bytes do not change is left alone.
pub struct Tables<'a> {
    draft: Draft<'a>,
    axes: Vec<String>,
    tables: Vec<Table>,
    in_memory: bool,
    seen: BTreeSet<String>,
}

impl<'a> Tables<'a> {
    /// Begins the tables of an experiment with these axes.
    ///
    /// # Errors
    /// `Io` with the path.
    pub fn begin(results_dir: &'a Path, axes: Vec<String>) -> Result<Self> {
        Self::begin_in(results_dir, axes, false)
    }

    /// As [`Tables::begin`], in memory: for a disk that has no room for the old tables and the new ones.
    ///
    /// # Errors
    /// As [`Tables::begin`].
    pub fn begin_in_memory(results_dir: &'a Path, axes: Vec<String>) -> Result<Self> {
        Self::begin_in(results_dir, axes, true)
    }

    fn begin_in(results_dir: &'a Path, axes: Vec<String>, in_memory: bool) -> Result<Self> {
        let draft = Draft::begin(results_dir)?;
        let table = |(name, _): &(&'static str, Rows)| -> Result<Table> {
            let path = draft.path(name);
            let io = |source| RecordError::Io { path: path.clone(), source };
            let target = match in_memory {
                true => Target::Memory(Vec::new()),
                false => Target::File(HashingWriter::new(BufWriter::new(File::create(&path).map_err(io)?))),
            };
            let mut table = Table(csv::WriterBuilder::new().has_headers(false).from_writer(target));
            table.row(dictionary::header(name, &axes)).map_err(io_of).map_err(io)?;
            Ok(table)
        };
        let tables = TABLES.iter().map(table).collect::<Result<_>>()?;
        Ok(Tables { draft, axes, tables, in_memory, seen: BTreeSet::new() })
    }

    /// Adds the rows of a run; runs come in plan order.
    ///
    /// # Errors
    /// [`RecordError::Record`] for a second record of one run, or one that has other axes; `Io` with the path.
    pub fn add(&mut self, record: &RunRecord) -> Result<()> {
        let fault = |message: String| RecordError::Record { run: record.identity.run.clone(), message };
        if !self.seen.insert(record.identity.run.clone()) {
            return Err(fault("two records of this run".into()));
        }
        if axes_of(record) != self.axes {
            return Err(fault(format!("axes {:?}, the other runs have {:?}", axes_of(record), self.axes)));
        }
        for ((name, rows), table) in TABLES.iter().zip(&mut self.tables) {
            rows(record, table)
                .map_err(io_of)
                .map_err(|source| RecordError::Io { path: self.draft.path(name), source })?;
        }
        Ok(())
    }

    /// Makes these tables, and `others` (name and contents) with them, the results. A dictionary that does not explain
    /// these columns is deleted; reports make it again.
    ///
    /// # Errors
    /// `Io` with the path; the old tables count then, or the new ones.
    pub fn commit(self, others: &[(&str, &[u8])]) -> Result<()> {
        let Tables { mut draft, axes, tables, in_memory, .. } = self;
        let folder = draft.folder();
        let mut files: Vec<(&str, Vec<u8>)> = Vec::new();
        for ((name, _), table) in TABLES.iter().zip(tables) {
            let path: PathBuf = draft.path(name);
            match table.finish().map_err(|source| RecordError::Io { path, source })? {
                Finished::File(sum) => draft.add(name, sum)?,
                Finished::Memory(bytes) => files.push((name, bytes)),
            }
        }
        others.iter().try_for_each(|(name, bytes)| draft.add_bytes(name, bytes))?;
        match in_memory {
            true => draft.commit_in_memory(&files)?,
            false => draft.commit()?,
        }
        derived::remove_other_dictionary(folder, &dictionary::markdown(&axes));
        Ok(())
    }
}

/// Values of the axes of a run.
fn values(record: &RunRecord) -> Vec<&String> {
    record.axes.iter().map(|(_, value)| value).collect()
}

/// Key paths of the axes of a run.
fn axes_of(record: &RunRecord) -> Vec<String> {
    record.axes.iter().map(|(key, _)| key.clone()).collect()
}

/// Where a table is written to.
enum Target {
    File(HashingWriter<BufWriter<File>>),
    Memory(Vec<u8>),
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Target::File(file) => file.write(bytes),
            Target::Memory(memory) => memory.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Target::File(file) => file.flush(),
            Target::Memory(_) => Ok(()),
        }
    }
}

/// A written table: durable, with its SHA-256, or its bytes.
enum Finished {
    File(String),
    Memory(Vec<u8>),
}

struct Table(csv::Writer<Target>);

impl Table {
    fn row(&mut self, row: impl Serialize) -> csv::Result<()> {
        self.0.serialize(row)
    }

    fn keyed(&mut self, record: &RunRecord, row: impl Serialize) -> csv::Result<()> {
        self.row((&record.identity.run, &record.identity.arm, record.identity.seed, row))
    }

    /// As [`Table::keyed`], with the values of the axes after the keys.
    fn at_axes(&mut self, record: &RunRecord, row: impl Serialize) -> csv::Result<()> {
        self.row((&record.identity.run, &record.identity.arm, record.identity.seed, values(record), row))
    }

    fn finish(self) -> io::Result<Finished> {
        match self.0.into_inner().map_err(|error| error.into_error())? {
            Target::Memory(bytes) => Ok(Finished::Memory(bytes)),
            Target::File(file) => {
                let (mut file, sum) = file.finish();
                file.flush()?;
                file.get_ref().sync_all()?;
                Ok(Finished::File(sum))
            }
        }
    }
}
