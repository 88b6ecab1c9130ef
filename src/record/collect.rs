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
use crate::base::files::sync_files;
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
type Rows = fn(&RunRecord, &mut Text) -> csv::Result<()>;

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

/// The rows of one run, table by table, as they stand in the files.
pub struct RunRows {
    run: String,
    /// In the order of the tables.
    texts: Vec<Vec<u8>>,
}

/// All tables of an experiment while they are written: run by run, so that no more than one, or than a caller makes rows of at
/// once, is in memory.
///
/// Nothing counts before [`Tables::commit`] (see `snapshot`), and a file whose bytes do not change is left alone.
pub struct Tables<'a> {
    draft: Draft<'a>,
    axes: Vec<String>,
    /// In the order of the tables.
    headers: Vec<Vec<String>>,
    tables: Vec<Target>,
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
        let headers: Vec<Vec<String>> =
            TABLES.iter().map(|(name, _)| dictionary::header(name, &axes)).collect();
        let table = |((name, _), header): (&(&str, Rows), &Vec<String>)| -> Result<Target> {
            let path = draft.path(name);
            let io = |source| RecordError::Io { path: path.clone(), source };
            let mut target = match in_memory {
                true => Target::Memory(Vec::new()),
                false => Target::File(HashingWriter::new(BufWriter::new(File::create(&path).map_err(io)?))),
            };
            let header = Text::below(header).map_err(io_of).map_err(io)?;
            target.write_all(&header.bytes().map_err(io)?).map_err(io)?;
            Ok(target)
        };
        let tables = TABLES.iter().zip(&headers).map(table).collect::<Result<_>>()?;
        Ok(Tables { draft, axes, headers, tables, seen: BTreeSet::new() })
    }

    /// The rows of a run, for [`Tables::add_rows`]; several threads may make those of several runs.
    ///
    /// # Errors
    /// [`RecordError::Record`] for one that has other axes; `Io` with the path where a row has other columns than its table.
    pub fn rows(&self, record: &RunRecord) -> Result<RunRows> {
        let run = record.identity.run.clone();
        if axes_of(record) != self.axes {
            let message = format!("axes {:?}, the other runs have {:?}", axes_of(record), self.axes);
            return Err(RecordError::Record { run, message });
        }
        let text = |((name, rows), header): (&(&str, Rows), &Vec<String>)| -> Result<Vec<u8>> {
            let io = |source| RecordError::Io { path: self.draft.path(name), source };
            let mut text = Text::below(header).map_err(io_of).map_err(io)?;
            rows(record, &mut text).map_err(io_of).map_err(io)?;
            text.rows().map_err(io)
        };
        let texts = TABLES.iter().zip(&self.headers).map(text).collect::<Result<_>>()?;
        Ok(RunRows { run, texts })
    }

    /// Adds the rows of a run; runs come in plan order.
    ///
    /// # Errors
    /// [`RecordError::Record`] for a second record of one run; `Io` with the path.
    pub fn add_rows(&mut self, rows: &RunRows) -> Result<()> {
        if !self.seen.insert(rows.run.clone()) {
            let message = "two records of this run".to_string();
            return Err(RecordError::Record { run: rows.run.clone(), message });
        }
        for (((name, _), text), table) in TABLES.iter().zip(&rows.texts).zip(&mut self.tables) {
            let io = |source| RecordError::Io { path: self.draft.path(name), source };
            table.write_all(text).map_err(io)?;
        }
        Ok(())
    }

    /// Adds the rows of a record.
    ///
    /// # Errors
    /// As [`Tables::rows`] and [`Tables::add_rows`].
    pub fn add(&mut self, record: &RunRecord) -> Result<()> {
        self.add_rows(&self.rows(record)?)
    }

    /// Makes these tables, and `others` (name and contents) with them, the results. A dictionary that does not explain
    /// these columns is deleted; reports make it again.
    ///
    /// # Errors
    /// `Io` with the path; the old tables count then, or the new ones.
    pub fn commit(self, others: &[(&str, &[u8])]) -> Result<()> {
        let Tables { mut draft, axes, tables, .. } = self;
        let folder = draft.folder();
        let mut in_memory: Vec<(&str, Vec<u8>)> = Vec::new();
        let mut written: Vec<(&str, String)> = Vec::new();
        for ((name, _), table) in TABLES.iter().zip(tables) {
            match table.finish().map_err(|source| RecordError::Io { path: draft.path(name), source })? {
                Finished::File(sum) => written.push((name, sum)),
                Finished::Memory(bytes) => in_memory.push((name, bytes)),
            }
        }
        let paths: Vec<PathBuf> = written.iter().map(|(name, _)| draft.path(name)).collect();
        sync_files(&paths).map_err(|source| RecordError::Io { path: folder.to_path_buf(), source })?;
        written.into_iter().try_for_each(|(name, sum)| draft.add(name, sum))?;
        others.iter().try_for_each(|(name, bytes)| draft.add_bytes(name, bytes))?;
        match in_memory.is_empty() {
            true => draft.commit()?,
            false => draft.commit_in_memory(&in_memory)?,
        }
        derived::remove_other_dictionary(folder, &axes);
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

/// A written table: its SHA-256, or its bytes.
enum Finished {
    File(String),
    Memory(Vec<u8>),
}

impl Target {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Target::File(file) => file.write_all(bytes),
            Target::Memory(memory) => memory.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<Finished> {
        match self {
            Target::Memory(bytes) => Ok(Finished::Memory(bytes)),
            Target::File(file) => {
                let (mut file, sum) = file.finish();
                file.flush()?;
                Ok(Finished::File(sum))
            }
        }
    }
}

/// Rows of one table as text. They stand below the table's header, so that each is held against its number of columns.
struct Text {
    writer: csv::Writer<Vec<u8>>,
    header: usize,
}

impl Text {
    /// The header, and no row yet.
    fn below(header: &[String]) -> csv::Result<Self> {
        let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
        writer.serialize(header)?;
        writer.flush()?;
        let header = writer.get_ref().len();
        Ok(Text { writer, header })
    }

    fn row(&mut self, row: impl Serialize) -> csv::Result<()> {
        self.writer.serialize(row)
    }

    fn keyed(&mut self, record: &RunRecord, row: impl Serialize) -> csv::Result<()> {
        self.row((&record.identity.run, &record.identity.arm, record.identity.seed, row))
    }

    /// As [`Text::keyed`], with the values of the axes after the keys.
    fn at_axes(&mut self, record: &RunRecord, row: impl Serialize) -> csv::Result<()> {
        self.row((&record.identity.run, &record.identity.arm, record.identity.seed, values(record), row))
    }

    /// Header and rows.
    fn bytes(self) -> io::Result<Vec<u8>> {
        self.writer.into_inner().map_err(|error| error.into_error())
    }

    /// The rows alone.
    fn rows(self) -> io::Result<Vec<u8>> {
        let header = self.header;
        let mut bytes = self.bytes()?;
        bytes.drain(..header);
        Ok(bytes)
    }
}
