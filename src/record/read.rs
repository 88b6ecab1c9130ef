//! Reading the CSV files back, with file, line and column of any fault.
use super::dictionary::{
    self, CANDIDATES, CURVES, EVALS, ITEMS, LATENCY, LEDGER, OLD_PRUNE, PRUNE, RUNS, SET_ASIDE, WIDTHS,
};
use super::rows::{
    CandidateRow, CurvePoint, LatencyRow, LayerWidths, LedgerEntry, OLD_TYPES, PruneEvent, RunIdentity,
    RunTotals, Status,
};
use super::scores::{EvalScore, ItemChoice, SetAside};
use super::snapshot::Snapshot;
use super::{RecordError, Result};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files that [`Results`] are read from.
pub const TABLES: [&str; 10] =
    [RUNS, EVALS, ITEMS, CURVES, PRUNE, CANDIDATES, WIDTHS, LEDGER, LATENCY, SET_ASIDE];

/// A row of `runs.csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEntry {
    pub identity: RunIdentity,
    pub axes: Vec<(String, String)>,
    pub totals: RunTotals,
}

/// A row of another file with the run it belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Keyed<T> {
    /// Index into [`Results::runs`].
    pub run: usize,
    pub row: T,
}

/// Everything in the CSV files of one experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// Key paths of the axes.
    pub axes: Vec<String>,
    pub runs: Vec<RunEntry>,
    pub evals: Vec<Keyed<EvalScore>>,
    pub items: Vec<Keyed<ItemChoice>>,
    pub curves: Vec<Keyed<CurvePoint>>,
    pub prune: Vec<Keyed<PruneEvent>>,
    pub candidates: Vec<Keyed<CandidateRow>>,
    pub widths: Vec<Keyed<LayerWidths>>,
    pub ledger: Vec<Keyed<LedgerEntry>>,
    pub latency: Vec<Keyed<LatencyRow>>,
    pub set_aside: Vec<Keyed<SetAside>>,
}

impl Results {
    /// Reads and checks all files of `results_dir`.
    ///
    /// # Errors
    /// A missing file, a header that is not the dictionary's, a cell that does not parse or is out of its range, a
    /// row of a run that `runs.csv` does not have: each with its place.
    pub fn read(results_dir: &Path) -> Result<Results> {
        Results::of(&Snapshot::read(results_dir, &TABLES)?, results_dir)
    }

    /// As [`Results::read`], of files that are read already; messages name `results_dir`.
    ///
    /// # Errors
    /// As [`Results::read`].
    pub fn of(files: &Snapshot, results_dir: &Path) -> Result<Results> {
        Results::keeping(files, results_dir, all)
    }

    /// As [`Results::of`], with the first choice of every item alone: it holds the item's own numbers, and the others are most of
    /// what there is. They are checked all the same.
    ///
    /// # Errors
    /// As [`Results::read`].
    pub fn of_items(files: &Snapshot, results_dir: &Path) -> Result<Results> {
        Results::keeping(files, results_dir, |item| item.choice == 0)
    }

    fn keeping(files: &Snapshot, results_dir: &Path, keep: fn(&ItemChoice) -> bool) -> Result<Results> {
        let mut results = Results::default();
        results.read_runs(Csv::of(files, results_dir, RUNS)?)?;
        let index: BTreeMap<String, usize> =
            results.runs.iter().enumerate().map(|(i, r)| (r.identity.run.clone(), i)).collect();
        let evals = Csv::of(files, results_dir, EVALS)?.without(&results.axes)?;
        results.evals = read_keyed(evals, 3, &index, all)?;
        // It may be left out of results that are passed on: it is larger than all others together.
        let items = || match files.get(ITEMS) {
            Some(_) => read_keyed(Csv::of(files, results_dir, ITEMS)?, 3, &index, keep),
            None => Ok(Vec::new()),
        };
        let (items, others) = rayon::join(items, || results.read_others(files, results_dir, &index));
        // Of two faults that of the items, whichever was found first.
        results.items = items?;
        others?;
        Ok(results)
    }

    /// All tables but runs, evals and items.
    fn read_others(
        &mut self,
        files: &Snapshot,
        results_dir: &Path,
        index: &BTreeMap<String, usize>,
    ) -> Result<()> {
        let of = |file| Csv::of(files, results_dir, file);
        self.curves = read_keyed(of(CURVES)?, 3, index, all)?;
        let events = of(PRUNE)?;
        if events.header()?.iter().take(OLD_PRUNE.len()).eq(OLD_PRUNE) {
            self.read_old_events(events, index)?;
        } else {
            self.prune = read_keyed(events, 1, index, all)?;
            self.candidates = read_keyed(of(CANDIDATES)?, 1, index, all)?;
        }
        self.widths = read_keyed(of(WIDTHS)?, 3, index, all)?;
        self.ledger = read_keyed(of(LEDGER)?, 3, index, all)?;
        // Results of versions that did not measure it have no such file.
        if files.get(LATENCY).is_some() {
            self.latency = read_keyed(of(LATENCY)?, 3, index, all)?;
        }
        if files.get(SET_ASIDE).is_some() {
            self.set_aside = read_keyed(of(SET_ASIDE)?, 3, index, all)?;
        }
        Ok(())
    }

    /// Events of a version in which every type had columns of its own.
    fn read_old_events(&mut self, csv: Csv<'_>, index: &BTreeMap<String, usize>) -> Result<()> {
        #[derive(serde::Deserialize)]
        struct OldEvent {
            event: u64,
            step: u64,
            tokens_seen: u64,
            #[serde(rename = "type")]
            group_type: String,
            layer: String,
            index: String,
            saliency: Option<f64>,
            candidate_ffn: Option<f64>,
            candidate_head: Option<f64>,
            candidate_stem: Option<f64>,
            pruned_share_ffn: Option<f64>,
            pruned_share_head: Option<f64>,
            pruned_share_stem: Option<f64>,
            params: u64,
            gram_age_steps: Option<u64>,
        }
        let header = csv.header()?;
        let ranges = Range::of_all(&header);
        csv.rows(|line, cells| {
            let parse = Parser { path: &csv.path, line, header: &header, ranges: &ranges };
            let name = cells.get(0).unwrap_or_default();
            let Some(&run) = index.get(name) else {
                return Err(parse.cell("run", format!("`{name}` is not in {RUNS}")));
            };
            let own = OLD_PRUNE.len() - 1;
            let row: OldEvent = parse.row(&cells.iter().skip(1).take(own).collect(), 1)?;
            let weakest = [row.candidate_ffn, row.candidate_head, row.candidate_stem];
            let shares = [row.pruned_share_ffn, row.pruned_share_head, row.pruned_share_stem];
            for ((group_type, saliency), pruned_share) in OLD_TYPES.into_iter().zip(weakest).zip(shares) {
                if pruned_share.is_some() {
                    let group_type = group_type.to_string();
                    let row = CandidateRow { event: row.event, group_type, saliency, pruned_share };
                    self.candidates.push(Keyed { run, row });
                }
            }
            let OldEvent { event, step, tokens_seen, group_type, layer, index, saliency, params, .. } = row;
            let gram_age_steps = row.gram_age_steps;
            let row = PruneEvent {
                event,
                step,
                tokens_seen,
                group_type,
                layer,
                index,
                saliency,
                params,
                gram_age_steps,
                gram_age_events: None,
                gram_tokens: None,
                damping: None,
                fisher_unit: None,
                fisher_units: None,
                sums_from_event: None,
            };
            self.prune.push(Keyed { run, row });
            Ok(())
        })
    }

    fn read_runs(&mut self, csv: Csv<'_>) -> Result<()> {
        let header = csv.header()?;
        let path = csv.path.as_path();
        let all = dictionary::columns(RUNS);
        let first = all.iter().position(|c| Some(*c) == dictionary::axes_after(RUNS)).map_or(0, |i| i + 1);
        // The axes stand between the columns up to `stage` and the others, of which older files lack the last.
        let after = header.iter().skip(first).position(|name| name == all[first]).map(|i| first + i);
        let last = after.unwrap_or(header.len());
        let names: Vec<&str> =
            header.iter().enumerate().filter(|(i, _)| *i < first || *i >= last).map(|(_, n)| n).collect();
        if !is_known(&names, RUNS) {
            return Err(wrong_header(path, &names, &all));
        }
        let missing = all.len() - names.len();
        self.axes = header.iter().skip(first).take(last - first).map(String::from).collect();
        let mut seen = std::collections::BTreeSet::new();
        let ranges = Range::of_all(&header);
        csv.rows(|line, row| {
            let at =
                |from: usize, to: usize| row.iter().skip(from).take(to - from).collect::<csv::StringRecord>();
            let parse = Parser { path, line, header: &header, ranges: &ranges };
            let entry = RunEntry {
                identity: parse.row(&at(0, first), 0)?,
                axes: self.axes.iter().cloned().zip(row.iter().skip(first).map(String::from)).collect(),
                totals: parse.row(&filled(at(last, header.len()), missing), last)?,
            };
            if entry.identity.status == Status::Failed && entry.identity.reason.is_none() {
                return Err(parse.cell("reason", "empty, but the run failed".into()));
            }
            if !seen.insert(entry.identity.run.clone()) {
                return Err(parse.cell("run", format!("`{}` has a row already", entry.identity.run)));
            }
            self.runs.push(entry);
            Ok(())
        })
    }
}

/// A table as it was read.
struct Csv<'a> {
    file: &'static str,
    path: PathBuf,
    bytes: &'a [u8],
    /// Columns that are not looked at.
    left_out: std::ops::Range<usize>,
}

impl<'a> Csv<'a> {
    fn of(files: &'a Snapshot, folder: &Path, file: &'static str) -> Result<Self> {
        let path = folder.join(file);
        match files.get(file) {
            Some(bytes) => Ok(Csv { file, path, bytes, left_out: 0..0 }),
            None => Err(RecordError::Io { path, source: std::io::ErrorKind::NotFound.into() }),
        }
    }

    /// The table without the columns of `axes`, which stand after the keys; results of earlier versions have none there.
    fn without(mut self, axes: &[String]) -> Result<Self> {
        let after = dictionary::axes_after(self.file);
        let header = self.header()?;
        let first = header.iter().position(|name| Some(name) == after).map_or(0, |place| place + 1);
        if header.iter().skip(first).take(axes.len()).eq(axes.iter().map(String::as_str)) {
            self.left_out = first..first + axes.len();
        }
        Ok(self)
    }

    /// The header.
    fn header(&self) -> Result<csv::StringRecord> {
        let header = self.kept(self.reader().headers().map_err(|e| self.fault(&e))?.clone());
        if let Some((separator, name)) = other_separator(&header) {
            let message = format!(
                "the cells are separated by {name} (`{separator}`), and commas are expected: a spreadsheet saved the file so\nhint: save it with commas, and decimals with points, or take it from a copy"
            );
            return Err(RecordError::Header { path: self.path.clone(), message });
        }
        Ok(header)
    }

    /// Hands every row to `with`, with its line; one row at a time is in memory.
    fn rows(&self, mut with: impl FnMut(u64, &csv::StringRecord) -> Result<()>) -> Result<()> {
        let mut reader = self.reader();
        let mut row = csv::StringRecord::new();
        while reader.read_record(&mut row).map_err(|e| self.fault(&e))? {
            let line = row.position().map_or(0, csv::Position::line);
            match self.left_out.is_empty() {
                true => with(line, &row)?,
                false => with(line, &self.kept(row.clone()))?,
            }
        }
        Ok(())
    }

    fn reader(&self) -> csv::Reader<&'a [u8]> {
        csv::ReaderBuilder::new().from_reader(self.bytes)
    }

    fn fault(&self, error: &csv::Error) -> RecordError {
        let line = error.position().map_or(1, csv::Position::line);
        let message = match error.kind() {
            csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("{len} cells, the header has {expected_len}")
            }
            _ => error.to_string(),
        };
        RecordError::Row { path: self.path.clone(), line, message }
    }

    /// The cells without those that are not looked at.
    fn kept(&self, cells: csv::StringRecord) -> csv::StringRecord {
        if self.left_out.is_empty() {
            return cells;
        }
        let cells = cells.iter().enumerate();
        cells.filter(|(i, _)| !self.left_out.contains(i)).map(|(_, cell)| cell).collect()
    }
}

/// What separates the cells of a file that commas do not separate.
fn other_separator(header: &csv::StringRecord) -> Option<(char, &'static str)> {
    let only = header.get(0).filter(|_| header.len() == 1)?;
    [(';', "semicolons"), ('\t', "tabs"), ('|', "bars")]
        .into_iter()
        .find(|(separator, _)| only.contains(*separator))
}

/// The rows of a table that `keep` keeps; all are checked.
fn read_keyed<T: DeserializeOwned>(
    csv: Csv<'_>,
    keys: usize,
    index: &BTreeMap<String, usize>,
    keep: fn(&T) -> bool,
) -> Result<Vec<Keyed<T>>> {
    let header = csv.header()?;
    let fixed = dictionary::columns(csv.file);
    let names: Vec<&str> = header.iter().collect();
    if !is_known(&names, csv.file) {
        return Err(wrong_header(&csv.path, &names, &fixed));
    }
    let missing = fixed.len() - names.len();
    let ranges = Range::of_all(&header);
    let mut out = Vec::new();
    let mut cells = csv::StringRecord::new();
    // Rows of a run stand together.
    let mut last: Option<(&str, usize)> = None;
    csv.rows(|line, row| {
        let parse = Parser { path: &csv.path, line, header: &header, ranges: &ranges };
        let name = row.get(0).unwrap_or_default();
        let run = match last {
            Some((same, run)) if same == name => run,
            _ => {
                let Some((name, &run)) = index.get_key_value(name) else {
                    return Err(parse.cell("run", format!("`{name}` is not in {RUNS}")));
                };
                last = Some((name.as_str(), run));
                run
            }
        };
        cells.clear();
        row.iter().skip(keys).for_each(|cell| cells.push_field(cell));
        (0..missing).for_each(|_| cells.push_field(""));
        let row = parse.row(&cells, keys)?;
        if keep(&row) {
            out.push(Keyed { run, row });
        }
        Ok(())
    })?;
    Ok(out)
}

fn all<T>(_: &T) -> bool {
    true
}

/// Whether these are the columns of `file`, or those that an earlier version had.
fn is_known(names: &[&str], file: &str) -> bool {
    let all = dictionary::columns(file);
    names.len() >= dictionary::first_columns(file) && all.starts_with(names)
}

/// The cells, and an empty one for each column that an older file lacks.
fn filled(mut cells: csv::StringRecord, missing: usize) -> csv::StringRecord {
    (0..missing).for_each(|_| cells.push_field(""));
    cells
}

fn wrong_header(path: &Path, header: &[&str], fixed: &[&str]) -> RecordError {
    let missing = fixed.iter().find(|c| !header.contains(*c));
    let strange = header.iter().find(|h| !fixed.contains(*h));
    let message = match (missing, strange) {
        (Some(missing), Some(strange)) => format!("column `{missing}` is missing, `{strange}` is unknown"),
        (Some(missing), None) => format!("column `{missing}` is missing"),
        (None, Some(strange)) => format!("column `{strange}` is unknown or out of its place"),
        (None, None) => format!("columns are out of order; expected {}", fixed.join(",")),
    };
    RecordError::Header { path: path.to_path_buf(), message }
}

/// Where a row stands.
struct Parser<'a> {
    path: &'a Path,
    line: u64,
    header: &'a csv::StringRecord,
    /// Of each column of the header.
    ranges: &'a [Range],
}

impl Parser<'_> {
    fn cell(&self, column: &str, message: String) -> RecordError {
        RecordError::Cell { path: self.path.to_path_buf(), line: self.line, column: column.into(), message }
    }

    /// The cells as a `T`; `offset` is the column of the first.
    fn row<T: DeserializeOwned>(&self, cells: &csv::StringRecord, offset: usize) -> Result<T> {
        let name = |i: usize| self.header.get(offset + i).unwrap_or_default();
        let ranges = self.ranges.get(offset..).unwrap_or_default();
        for (i, (value, range)) in cells.iter().zip(ranges).enumerate() {
            if let Some(message) = range.fault(value) {
                return Err(self.cell(name(i), message));
            }
        }
        cells.deserialize(None).map_err(|e| match e.kind() {
            csv::ErrorKind::Deserialize { err, .. } => {
                let message = err.kind().to_string();
                // An unknown variant comes without its field, but with its value.
                let quoted = |v: &str| !v.is_empty() && message.contains(&format!("`{v}`,"));
                match err.field().map(|f| f as usize).or_else(|| cells.iter().position(quoted)) {
                    Some(i) => {
                        let value = cells.get(i).unwrap_or_default();
                        self.cell(name(i), format!("`{value}`: {message}"))
                    }
                    None => RecordError::Row { path: self.path.to_path_buf(), line: self.line, message },
                }
            }
            _ => RecordError::Row { path: self.path.to_path_buf(), line: self.line, message: e.to_string() },
        })
    }
}

/// Columns of text, which may look like a number.
const TEXT: [&str; 12] =
    ["run", "arm", "item", "reason", "stage", "index", "layer", "task", "type", "phase", "stratum", "text"];
/// Columns of numbers that may be negative, with the ends of their intervals.
const SIGNED: [&str; 10] = [
    "difficulty",
    "loglik",
    "saliency",
    "candidate_ffn",
    "candidate_head",
    "candidate_stem",
    "gold_nll",
    "margin",
    "choice_log_loss",
    "kl_to_source",
];
/// Columns of shares, with the ends of their intervals.
const SHARES: [&str; 8] = [
    "acc",
    "acc_norm",
    "chance",
    "gold_probability",
    "gold_probability_norm",
    "agreement",
    "average_acc",
    "average_usual",
];

/// Which numbers a column may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// Text, which may look like a number.
    Any,
    Finite,
    NotNegative,
    /// 0 to 1.
    Share,
}

impl Range {
    fn of_all(header: &csv::StringRecord) -> Vec<Range> {
        header.iter().map(Range::of).collect()
    }

    fn of(column: &str) -> Range {
        let of = column.trim_end_matches("_low").trim_end_matches("_high").trim_end_matches("_stderr");
        if TEXT.contains(&column) {
            Range::Any
        } else if SHARES.contains(&of) || column.starts_with("pruned_share") {
            Range::Share
        } else if SIGNED.contains(&of) {
            Range::Finite
        } else {
            Range::NotNegative
        }
    }

    /// Numbers that parse but cannot be: shares outside 0 to 1, negative costs, NaN.
    fn fault(self, value: &str) -> Option<String> {
        if self == Range::Any || value.is_empty() {
            return None;
        }
        let number: f64 = value.parse().ok()?;
        if !number.is_finite() {
            return Some(format!("`{value}` is not a finite number; leave the cell empty"));
        }
        match self {
            Range::Share if !(0.0..=1.0).contains(&number) => {
                Some(format!("`{value}` is not a share between 0 and 1"))
            }
            Range::NotNegative if number < 0.0 => Some(format!("`{value}` is negative")),
            _ => None,
        }
    }
}
