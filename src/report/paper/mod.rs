//! The paper's table: models × tasks in the usual metric of each, with the average of the seven common-sense tasks.
//!
//! Published rows (`published`) stand above ours, which come from experiments (`experiment`) and from outputs of
//! `efficientllm eval` (`evaluated`). The best of each block is bold; `*` marks what a declared comparison holds after
//! correction.
mod evaluated;
mod experiment;
mod published;
#[cfg(test)]
mod tests;

use super::document::{Align, Block, Document, Table};
use super::request::{PLAN_FILE, ReportRequest};
use super::{Result, Written, format, html, latex, markdown, text, write_files};
use crate::record::harness::RESULTS_FILE;
use crate::record::read::TABLES;
use crate::record::scores::COMMON_SENSE;
use crate::record::{Results, Snapshot};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Tasks in the order of the paper's Table 2.
const TASKS: [&str; 8] =
    ["mmlu", "arc_challenge", "arc_easy", "boolq", "hellaswag", "openbookqa", "piqa", "winogrande"];
/// What tables of papers call them.
const NAMES: [&str; 8] = ["MMLU", "ARC-c", "ARC-e", "BoolQ", "HS", "OBQA", "PIQA", "WG"];
/// The column of the average.
const AVERAGE: &str = "average_usual";
/// Digits that papers print after the point.
const PRINTED_DIGITS: usize = 2;
/// Stem of the files.
const STEM: &str = "paper_table";

/// One model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    pub model: String,
    /// As printed in a paper; else empty.
    pub tokens_text: String,
    pub params_text: String,
    pub tokens: Option<f64>,
    pub params: Option<f64>,
    /// Per cent, by task.
    pub scores: BTreeMap<String, f64>,
    /// Per cent, where all seven tasks are there.
    pub average: Option<f64>,
    pub interval: Option<(f64, f64)>,
    /// Finished seeds; 0 where the row is none of an experiment.
    pub seeds: usize,
    pub marked: bool,
}

/// Rows of one origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub title: String,
    pub rows: Vec<Row>,
    /// What the marks say.
    pub notes: Vec<String>,
    pub published: bool,
    /// Whether every answer was there, so that intervals are over items, too.
    pub has_items: bool,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A results folder of an experiment.
    Results(PathBuf),
    /// An output folder of `efficientllm eval`.
    Evaluation(PathBuf),
    /// A CSV file of published rows.
    Published(PathBuf),
}

impl Origin {
    /// What `folder` is, by the files that it holds; `None` where it is neither.
    pub fn of(folder: &Path) -> Option<Origin> {
        if folder.join(crate::record::dictionary::RUNS).exists() {
            Some(Origin::Results(folder.to_path_buf()))
        } else if folder.join(RESULTS_FILE).exists() {
            Some(Origin::Evaluation(folder.to_path_buf()))
        } else {
            None
        }
    }

    fn read(&self) -> Result<Rows> {
        match self {
            Origin::Published(path) => {
                let title =
                    path.file_stem().map_or("published".into(), |stem| stem.to_string_lossy().into_owned());
                let title = format!("published: {title}");
                Ok(Rows { title, rows: published::read(path)?, published: true, ..Rows::default() })
            }
            Origin::Evaluation(folder) => Ok(Rows {
                title: "efficientllm eval".into(),
                rows: vec![evaluated::read(folder)?],
                ..Rows::default()
            }),
            Origin::Results(folder) => {
                let files = Snapshot::read(folder, &[&TABLES[..], &[PLAN_FILE]].concat())?;
                let request = ReportRequest::of(&files, folder)?;
                let results = Results::of_items(&files, folder)?;
                let results = request.labels.of_results(&results);
                let (rows, notes) = experiment::rows(&results, &request.labelled());
                let has_items = !results.items.is_empty();
                Ok(Rows { title: request.title.clone(), rows, notes, has_items, ..Rows::default() })
            }
        }
    }
}

/// The average of the seven common-sense tasks; `None` where one is missing.
fn average(scores: &BTreeMap<String, f64>) -> Option<f64> {
    let values: Option<Vec<f64>> = COMMON_SENSE.iter().map(|task| scores.get(*task).copied()).collect();
    values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
}

/// The table of all `origins` as plain text, and its files in `folder`: Markdown, HTML, LaTeX and CSV.
///
/// # Errors
/// Any fault of what is read, with its place; a file that cannot be written.
pub fn write(origins: &[Origin], folder: &Path) -> Result<(String, Written)> {
    let mut blocks: Vec<Rows> = origins.iter().map(Origin::read).collect::<Result<_>>()?;
    // Evaluations of single models are one block.
    blocks.dedup_by(|next, block| {
        let same = next.title == block.title && !next.published && !block.published;
        if same {
            block.rows.append(&mut next.rows);
        }
        same
    });
    blocks.sort_by_key(|block| !block.published);
    let full = document(&blocks, true, PRINTED_DIGITS);
    let files = [
        ("md", markdown::render(&full)),
        ("html", html::render(&full, None)),
        // A line has no room for the second digit of others beside the only one of ours; the CSV file has all.
        ("tex", latex::render(&document(&blocks, true, 1))),
        ("csv", csv_of(&blocks)),
    ];
    let files: Vec<(PathBuf, String)> =
        files.map(|(ending, text)| (folder.join(format!("{STEM}.{ending}")), text)).into();
    // A terminal is too narrow for intervals beside nine columns.
    Ok((text::render(&document(&blocks, false, PRINTED_DIGITS)), write_files(&files)?))
}

/// Published rows have `digits` after the point, ours have one.
fn document(blocks: &[Rows], intervals: bool, digits: usize) -> Document {
    let tasks: Vec<&str> = TASKS
        .into_iter()
        .filter(|task| blocks.iter().flat_map(|block| &block.rows).any(|row| row.scores.contains_key(*task)))
        .collect();
    let mut header: Vec<String> = ["model", "params", "tokens"].map(String::from).to_vec();
    let name = |task: &&str| {
        TASKS.iter().zip(NAMES).find(|(known, _)| *known == task).map(|(_, name)| name.to_string())
    };
    header.extend(tasks.iter().filter_map(name));
    header.push("average".into());
    let mut rows: Vec<Vec<String>> = Vec::new();
    let (mut rules, mut titles) = (Vec::new(), Vec::new());
    for block in blocks {
        if !rows.is_empty() {
            rules.push(rows.len());
        }
        if blocks.len() > 1 {
            let mut title = vec![String::new(); header.len()];
            title[0] = block.title.clone();
            titles.push(rows.len());
            rows.push(title);
        }
        rows.extend(block.rows.iter().map(|row| cells(row, block, &tasks, (intervals, digits))));
    }
    let mut table = Table::new(STEM, &caption(blocks), 1, header, rows);
    table.align[0] = Align::Left;
    (table.rules, table.titles) = (rules, titles);
    let notes: Vec<String> =
        blocks.iter().flat_map(|block| block.notes.iter().map(|n| format!("* {n}"))).collect();
    let mut out = vec![Block::Table(table)];
    if !notes.is_empty() {
        out.push(Block::List(notes));
    }
    Document { title: "Models and tasks".into(), blocks: out }
}

fn caption(blocks: &[Rows]) -> String {
    let mut text = "Accuracy (%) with the usual metric of each task (`acc_norm` for ARC-c, HS (HellaSwag) and OBQA (OpenBookQA), `acc` for the \
                    others, WG: WinoGrande) and its mean over the seven common-sense tasks, without MMLU. Best of each block in bold."
        .to_string();
    let has_interval =
        |block: &&Rows| !block.published && block.rows.iter().any(|row| row.interval.is_some());
    let ours: Vec<&Rows> = blocks.iter().filter(has_interval).collect();
    let with_items = ours.iter().filter(|block| block.has_items).count();
    let over = match with_items {
        0 => "over seeds",
        n if n == ours.len() => "over seeds and items",
        _ => "over seeds and, where there is an `items.csv`, items",
    };
    if !ours.is_empty() {
        text += &format!(" Our rows are means over seeds; the average has its 95 % interval {over}.");
    }
    if blocks.iter().any(|block| block.rows.iter().any(|row| row.seeds == 1)) {
        text += " †: one seed, the interval is over items alone.";
    }
    if blocks.iter().any(|block| block.rows.iter().any(|row| row.marked)) {
        text += " *: better than a baseline in a comparison declared before the run, after correction.";
    }
    if blocks.iter().any(|block| block.published) {
        text += " Published rows are as their papers print them; their benchmarks, prompts and metrics may differ from ours. \
                 MMLU is the form that asks for the text of an answer (`mmlu_continuation` here).";
    }
    text
}

fn cells(row: &Row, block: &Rows, tasks: &[&str], (intervals, digits): (bool, usize)) -> Vec<String> {
    let digits = if block.published { digits } else { 1 };
    let best = |value: f64, all: &mut dyn Iterator<Item = f64>| {
        let text = format!("{value:.digits$}");
        let highest = all.fold(f64::NEG_INFINITY, f64::max);
        // As printed: two that look alike are both the best.
        if block.rows.len() > 1 && text == format!("{highest:.digits$}") {
            format!("**{text}**")
        } else {
            text
        }
    };
    // As papers print it: 134M.
    let count = |text: &str, value: Option<f64>| match text {
        "" => format::si(value).replace(' ', ""),
        text => text.to_string(),
    };
    let mut cells =
        vec![row.model.clone(), count(&row.params_text, row.params), count(&row.tokens_text, row.tokens)];
    for task in tasks {
        let mut all = block.rows.iter().filter_map(|row| row.scores.get(*task).copied());
        cells.push(row.scores.get(*task).map_or(String::new(), |value| best(*value, &mut all)));
    }
    let mut all = block.rows.iter().filter_map(|row| row.average);
    let mut average = row.average.map_or(String::new(), |value| best(value, &mut all));
    if row.marked {
        average += "*";
    }
    if row.seeds == 1 && row.interval.is_some() {
        average += "†";
    }
    if let Some((low, high)) = row.interval.filter(|_| intervals) {
        average += &format!(" ({low:.1} to {high:.1})");
    }
    cells.push(average);
    cells
}

/// The same numbers in full, a row each, with where it comes from.
fn csv_of(blocks: &[Rows]) -> String {
    let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value}"));
    let either =
        |text: &str, value: Option<f64>| if text.is_empty() { number(value) } else { text.to_string() };
    let mut out = csv::Writer::from_writer(Vec::new());
    let header = ["origin", "model", "tokens", "params"].into_iter().chain(TASKS);
    // Writing to memory cannot fail.
    let _ = out.write_record(header.chain([AVERAGE, "average_low", "average_high", "seeds"]));
    for block in blocks {
        for row in &block.rows {
            let mut cells = vec![
                block.title.clone(),
                row.model.clone(),
                either(&row.tokens_text, row.tokens),
                either(&row.params_text, row.params),
            ];
            cells.extend(TASKS.iter().map(|task| number(row.scores.get(*task).copied())));
            cells.extend([row.average, row.interval.map(|i| i.0), row.interval.map(|i| i.1)].map(number));
            cells.push(if row.seeds > 0 { row.seeds.to_string() } else { String::new() });
            let _ = out.write_record(&cells);
        }
    }
    out.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}
