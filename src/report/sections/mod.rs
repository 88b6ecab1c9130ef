//! The report's contents, in reading order: question, answers, tables, figures, methods.
mod ablation;
mod answers;
mod curves;
mod details;
mod folded;
mod grid;
mod grid_figures;
mod latency;
mod level_table;
mod methods;
mod pictures;
mod probe;
mod same_loss;

use super::Result;
use super::answers::Answers;
use super::document::{Block, Document, Figure, Table};
use super::figures::Sheet;
use super::figures::chart::{Drawing, draw};
use super::groups::{Group, groups, leading_axes, mean_over};
use super::probe::Probe;
use super::request::ReportRequest;
use super::scores::Scores;
use super::table::comparisons_csv;
use crate::record::{Results, RunTotals, Status};
use rayon::prelude::*;
use std::collections::BTreeSet;

/// What every section draws on.
struct Context<'a> {
    results: &'a Results,
    groups: Vec<Group>,
    scores: Scores<'a>,
    /// What the source is called.
    source: String,
    /// For every group the first that has the same models.
    representatives: Vec<usize>,
}

/// Builds the whole document, and `comparisons.csv`.
pub fn build(
    results: &Results,
    probe: Option<&Probe>,
    request: &ReportRequest,
) -> Result<(Document, String)> {
    let source = request.labels.arm("source");
    let (groups, scores) = (groups(results), Scores::new(results));
    let answers = Answers::of(results, &scores, &groups, request);
    let representatives = answers.representatives.clone();
    let context = Context { results, groups, scores, source, representatives };
    let mut preliminary = String::new();
    let mut blocks = vec![Block::Text(request.question.clone())];
    let (missing, strange) = context.against(request);
    if !missing.is_empty() {
        let (here, planned) = (request.runs.len() - missing.len(), request.runs.len());
        blocks.push(Block::Text(format!(
            "Incomplete: {here} of {planned} planned runs are done or have failed, {} still missing: {}. Everything below is preliminary.",
            if missing.len() == 1 { "1 is".to_string() } else { format!("{} are", missing.len()) },
            named(&missing),
        )));
        preliminary = format!("Preliminary, with {here} of {planned} planned runs: ");
    }
    if !strange.is_empty() {
        blocks.push(Block::Text(format!(
            "The tables hold runs that `plan.json` does not name: {}. Tables and plan are not of one `run`.",
            named(&strange)
        )));
    }
    blocks.push(Block::Text(context.overview()));
    if !context.scores.has_items() {
        let note = match context.groups.iter().all(|group| group.runs.len() < 2) {
            true => {
                "`items.csv` is not among the tables, and there is a single seed: no score has an interval."
            }
            false => {
                "`items.csv` is not among the tables: intervals of scores are over seeds alone, and hold for these items only."
            }
        };
        blocks.push(Block::Text(note.into()));
    }
    let sections: [&(dyn Fn() -> Result<Vec<Block>> + Sync); 12] = [
        &|| context.answers_section(request, &answers, &preliminary),
        &|| context.grid_section(&answers, &request.questions),
        &|| probe.map_or(Ok(Vec::new()), probe::section),
        &|| context.accuracy_section(),
        &|| context.picture_section(),
        &|| context.curve_section(),
        &|| Ok(context.same_loss_section(&answers)),
        &|| Ok(context.seed_section()),
        &|| Ok(context.cost_section()),
        &|| Ok(context.latency_section()),
        &|| Ok(context.stability_section()),
        &|| Ok(context.failure_section()),
    ];
    let table = || comparisons_csv(&answers, &results.axes, request);
    let made = || sections.par_iter().map(|section| section()).collect::<Vec<_>>();
    let (made, comparisons) = rayon::join(made, table);
    for section in made {
        blocks.extend(section?);
    }
    blocks.push(Block::Heading("How the numbers were made".into()));
    blocks.push(Block::List(context.methods()));
    let title = if request.title.is_empty() { "Report".into() } else { request.title.clone() };
    let is_whole = |t: &Table| t.rows.iter().all(|row| row.len() == t.header.len());
    debug_assert!(
        blocks.iter().all(|block| !matches!(block, Block::Table(t) if !is_whole(t))),
        "a ragged table"
    );
    Ok((Document { title, blocks }, comparisons))
}

/// Every curve of `results` against tokens; nothing where there is none.
pub fn curves_so_far(results: &Results) -> Result<Option<Block>> {
    curves::so_far(results, &groups(results))
}

/// Up to four names.
fn named(runs: &[&str]) -> String {
    let shown: Vec<String> = runs.iter().take(4).map(|run| format!("`{run}`")).collect();
    match runs.len().saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Context<'_> {
    /// Planned runs that have no row, and rows that are not of a planned run.
    fn against<'r>(&'r self, request: &'r ReportRequest) -> (Vec<&'r str>, Vec<&'r str>) {
        if request.runs.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let planned: BTreeSet<&str> = request.runs.iter().map(|run| run.run.as_str()).collect();
        let here: BTreeSet<&str> = self.results.runs.iter().map(|run| run.identity.run.as_str()).collect();
        let missing = request.runs.iter().map(|run| run.run.as_str()).filter(|run| !here.contains(run));
        (missing.collect(), here.difference(&planned).copied().collect())
    }

    fn totals(&self, run: usize) -> &RunTotals {
        &self.results.runs[run].totals
    }

    /// Mean over seeds of one of the totals.
    fn total(&self, group: &Group, pick: fn(&RunTotals) -> Option<f64>) -> Option<f64> {
        mean_over(&group.runs, |r| pick(self.totals(r)))
    }

    fn overview(&self) -> String {
        let failed = self.results.runs.iter().filter(|r| r.identity.status == Status::Failed).count();
        let seeds: BTreeSet<u64> = self.results.runs.iter().map(|r| r.identity.seed).collect();
        let plural = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        let mut text = format!(
            "{} in {}{}, {}; {} failed.",
            plural(self.results.runs.len(), "run"),
            plural(self.groups.len(), "configuration"),
            self.only_arm().map_or(String::new(), |arm| format!(" of `{arm}`")),
            plural(seeds.len(), "seed"),
            if failed == 0 { "none".to_string() } else { failed.to_string() }
        );
        if seeds.len() == 1 && self.scores.has_items() {
            text += " With a single seed no seed interval exists: every interval of a score is over items alone, and no \
                     claim about another seed can be made.";
        }
        text
    }

    /// Places of the axes that tell configurations apart.
    fn leading(&self) -> Vec<usize> {
        leading_axes(&self.groups.iter().collect::<Vec<_>>(), &self.results.axes)
    }

    /// The arm of a grid that has no other: tables do not repeat its name in every row.
    fn only_arm(&self) -> Option<&str> {
        let first = self.groups.first().filter(|_| !self.results.axes.is_empty())?;
        self.groups.iter().all(|group| group.arm == first.arm).then_some(first.arm.as_str())
    }

    /// The leading columns of a table by group: the arm, where there are several, then the axes.
    fn key_header(&self) -> Vec<String> {
        let arm = self.only_arm().is_none().then(|| "arm".to_string());
        arm.into_iter().chain(self.results.axes.iter().map(|a| format!("`{a}`"))).collect()
    }

    fn key(&self, group: &Group) -> Vec<String> {
        let arm = self.only_arm().is_none().then(|| format!("`{}`", group.arm));
        arm.into_iter().chain(group.point.iter().cloned()).collect()
    }

    fn keyed_table(
        &self,
        name: &str,
        caption: &str,
        columns: Vec<String>,
        row: impl Fn(&Group) -> Vec<String>,
    ) -> Table {
        let header = self.key_header().into_iter().chain(columns).collect();
        let rows = self.groups.iter().map(|g| self.key(g).into_iter().chain(row(g)).collect()).collect();
        Table::new(name, caption, self.key_header().len(), header, rows)
    }

    fn failure_section(&self) -> Vec<Block> {
        let failed = self.results.runs.iter().filter(|r| r.identity.status == Status::Failed);
        let lines: Vec<String> = failed
            .map(|r| {
                let reason = r.identity.reason.as_deref().unwrap_or_default().replace(['\n', '`'], " ");
                format!("`{}` (seed {}): {reason}", r.identity.run, r.identity.seed)
            })
            .collect();
        // That none failed stands on top.
        match lines.is_empty() {
            true => Vec::new(),
            false => vec![Block::Heading("Failed runs".into()), Block::List(lines)],
        }
    }
}

/// A figure for a page and for a column of a paper; `None` where there is nothing to draw.
fn figure(
    name: &str,
    caption: &str,
    draw: impl Fn(Sheet) -> Result<Option<String>> + Sync,
) -> Result<Option<Block>> {
    let (svg, narrow) = rayon::join(|| draw(Sheet::WIDE), || draw(Sheet::NARROW));
    let (Some(svg), Some(narrow)) = (svg?, narrow?) else { return Ok(None) };
    Ok(Some(Block::Figure(Figure { name: stem(name), caption: caption.into(), svg, narrow })))
}

/// As [`figure`], of a chart that may leave panels out, which its caption then says.
fn chart_figure(name: &str, caption: &str, drawing: Option<Drawing>) -> Result<Option<Block>> {
    let Some(Drawing { chart, omitted }) = drawing else { return Ok(None) };
    let omitted = match omitted {
        0 => String::new(),
        1 => " One more panel is left out; the tables have its numbers.".to_string(),
        n => format!(" {n} more panels are left out; the tables have their numbers."),
    };
    figure(name, &format!("{caption}{omitted}"), |sheet| draw(sheet, name, &chart).map(Some))
}

/// `name` as a file's name and an anchor: labels may hold anything.
fn stem(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' }).collect()
}
