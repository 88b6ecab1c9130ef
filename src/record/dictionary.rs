//! The data dictionary: every column of every file with its unit, its meaning and when it is empty.
//!
//! The headers of the CSV files are taken from here.
mod candidates;
mod comparisons;
mod curves;
mod evals;
mod items;
mod latency;
mod ledger;
mod probe;
mod probe_groups;
mod prune;
mod runs;
mod set_aside;
mod tidy;
mod widths;

use super::SCHEMA_VERSION;
use std::fmt::Write;

/// Name of the dictionary beside the CSV files.
pub const DICTIONARY_FILE: &str = "DICTIONARY.md";

pub const RUNS: &str = "runs.csv";
pub const EVALS: &str = "evals.csv";
pub const ITEMS: &str = "items.csv";
pub const CURVES: &str = "curves.csv";
pub const PRUNE: &str = "prune.csv";
pub const CANDIDATES: &str = "candidates.csv";
pub const WIDTHS: &str = "widths.csv";
pub const LEDGER: &str = "ledger.csv";
pub const LATENCY: &str = "latency.csv";
pub const SET_ASIDE: &str = "set_aside.csv";
pub const TIDY: &str = "tidy.csv";
pub const COMPARISONS: &str = "comparisons.csv";
pub const PROBE: &str = "probe.csv";
pub const PROBE_GROUPS: &str = "probe_groups.csv";

/// All files, with what one row of each is.
pub const FILES: [(&str, &str); 11] = [
    (RUNS, "one row per run of the plan that has finished, failed ones included"),
    (EVALS, "one row per run and task"),
    (ITEMS, "one row per run, task, item and choice"),
    (CURVES, "one row per run and logged optimiser step"),
    (PRUNE, "one row per run and pruning event"),
    (CANDIDATES, "one row per run, pruning event and type of group"),
    (WIDTHS, "one row per run and layer of the final model"),
    (LEDGER, "one row per run and part of its cost"),
    (LATENCY, "one row per run and phase of generation, at batch 1; none where latency was not measured"),
    (SET_ASIDE, "one row per run, task and item that could not be scored; such items are in no other file"),
    (TIDY, "one row per number measured: a metric of a task of a run, or of a run; failed runs have none"),
];

/// What `report` makes of the tables.
pub const REPORT_FILES: [(&str, &str); 1] = [(
    COMPARISONS,
    "one row per comparison, pair of values of an axis, tetrad of an interaction, and slope; written by `report`",
)];

/// What `probe` writes, and no run.
pub const PROBE_FILES: [(&str, &str); 2] = [
    (PROBE, "one row per saliency rule, unit of squared gradients and type of group; written by `probe`"),
    (
        PROBE_GROUPS,
        "one row per rule, unit, calibration set and group that was removed by itself; written by `probe`",
    ),
];

/// Columns that later versions put at the end of a file. What was written before them is read, their cells empty.
const ADDED: [(&str, usize); 5] = [(RUNS, 6), (EVALS, 25), (ITEMS, 11), (WIDTHS, 1), (CURVES, 1)];

/// How many of the columns of `file` its first version had.
pub fn first_columns(file: &str) -> usize {
    let added = ADDED.iter().find(|(name, _)| *name == file).map_or(0, |(_, added)| *added);
    columns(file).len() - added
}

/// After which column of `file` the axis columns stand; `None` where it has none.
pub fn axes_after(file: &str) -> Option<&'static str> {
    match file {
        RUNS => Some("stage"),
        EVALS | TIDY => Some("seed"),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    pub file: &'static str,
    pub name: &'static str,
    pub unit: &'static str,
    pub meaning: &'static str,
    pub empty_when: &'static str,
}

const fn column(
    file: &'static str,
    name: &'static str,
    unit: &'static str,
    meaning: &'static str,
    empty_when: &'static str,
) -> Column {
    Column { file, name, unit, meaning, empty_when }
}

const NEVER: &str = "never";
const FAILED: &str = "the run failed before it was known";
const UNKNOWN: &str =
    "the run failed before it was known, or it includes a source from disk whose tokens nobody stated";
const UNTOLD: &str = "the run failed, or was made before engines were told, or is a model from disk";
const RUN: &str = "id of the run, as in `plan.json`";
const ARM: &str = "arm of the comparison";
const SEED: &str = "seed of the replicate";
const NO_NORM: &str = "the task has no choices to normalise by";
const EARLIER: &str = "not scored, or scored before this was recorded";
const NO_LOGLIK: &str = "a log-likelihood is not finite, or it was scored before this was recorded";
const NO_SOURCE: &str = "the model was not pruned from a source, or it was scored before this was recorded";

const NO_PAIR: &str = "no seed finished both sides, or the differences do not vary";
const ONE_SEED: &str = "one seed, no seed, or differences that do not vary";
const RULE: &str = "saliency rule";
const UNIT: &str = "whose gradients are squared";
const NO_SQUARES: &str = "the rule reads no squared gradients";
const CONSTANT: &str = "the scores of every layer are all alike";
const FEW_GROUPS: &str = "no layer has four groups that were removed";

/// Every column of every file, in file and column order; files with axes ([`axes_after`]) have one more per axis, named by its
/// key path.
const COLUMNS: [&[Column]; 14] = [
    runs::COLUMNS,
    evals::COLUMNS,
    items::COLUMNS,
    curves::COLUMNS,
    prune::COLUMNS,
    candidates::COLUMNS,
    widths::COLUMNS,
    ledger::COLUMNS,
    latency::COLUMNS,
    set_aside::COLUMNS,
    tidy::COLUMNS,
    comparisons::COLUMNS,
    probe::COLUMNS,
    probe_groups::COLUMNS,
];

/// All of them.
fn all() -> impl Iterator<Item = &'static Column> {
    COLUMNS.into_iter().flatten()
}

/// Columns of `prune.csv` when every type had columns of its own.
pub const OLD_PRUNE: [&str; 16] = [
    "run",
    "event",
    "step",
    "tokens_seen",
    "type",
    "layer",
    "index",
    "saliency",
    "candidate_ffn",
    "candidate_head",
    "candidate_stem",
    "pruned_share_ffn",
    "pruned_share_head",
    "pruned_share_stem",
    "params",
    "gram_age_steps",
];

/// Columns of `file` in order, without the axes.
pub fn columns(file: &str) -> Vec<&'static str> {
    all().filter(|c| c.file == file).map(|c| c.name).collect()
}

/// Header of `file`, the axes put in their place where it has them.
pub fn header(file: &str, axes: &[String]) -> Vec<String> {
    let mut names: Vec<String> = columns(file).into_iter().map(String::from).collect();
    if let Some(at) = axes_after(file).and_then(|after| names.iter().position(|n| n == after)) {
        names.splice(at + 1..at + 1, axes.iter().cloned());
    }
    names
}

/// Unit of a column.
pub fn unit(file: &str, name: &str) -> &'static str {
    all().find(|c| c.file == file && c.name == name).map_or("", |c| c.unit)
}

/// The dictionary as a Markdown page.
pub fn markdown(axes: &[String]) -> String {
    let mut page = format!(
        "# Data dictionary\n\nSchema version {SCHEMA_VERSION}. CSV with a header line, UTF-8, `\\n` line ends. An empty \
         cell means not measured, never zero. Everything is reproducible to the byte but `seconds`, \
         `peak_memory_bytes`, `devices` and `latency.csv`.\n"
    );
    for (file, row) in FILES.into_iter().chain(REPORT_FILES).chain(PROBE_FILES) {
        // Writing to a string cannot fail.
        let _ = write!(
            page,
            "\n## `{file}`: {row}\n\n| column | unit | meaning | empty when |\n|---|---|---|---|\n"
        );
        for c in all().filter(|c| c.file == file) {
            let _ = writeln!(page, "| `{}` | {} | {} | {} |", c.name, c.unit, c.meaning, c.empty_when);
            if axes_after(file) == Some(c.name) {
                for axis in axes {
                    let _ = writeln!(
                        page,
                        "| `{axis}` | | value of this axis of the experiment | nothing of the run reads it |"
                    );
                }
            }
        }
    }
    page
}
