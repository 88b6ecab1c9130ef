//! `efficientllm report`: tables and figures from the result files alone.
mod paper;
mod watch;

use super::{Place, Settings, engine};
use crate::plan::plan;
use crate::record::Snapshot;
use crate::report::PLAN_FILE;
use crate::report::print::{Format, print};
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

#[derive(Args)]
pub(super) struct Options {
    /// Further experiments, results folders or output folders of `efficientllm eval`, for --table
    more: Vec<PathBuf>,
    /// One table of everything named: Markdown, HTML, LaTeX and CSV
    #[arg(long, value_enum, value_name = "TABLE", conflicts_with = "watch")]
    table: Option<TableKind>,
    /// Published rows above ours, a CSV file as in experiments/published; several times
    #[arg(long, value_name = "FILE", requires = "table")]
    published: Vec<PathBuf>,
    /// Folder for the table [default: the results of the first experiment]
    #[arg(long, value_name = "DIR", requires = "table")]
    out: Option<PathBuf>,
    /// Rewrite the page every so many seconds while the sweep goes on, with what is running
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "30", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    watch: Option<u64>,
    /// Figures for print as well, by commas: pdf, png; one column wide and two, in figures/print
    #[arg(long, value_name = "FORMATS", value_delimiter = ',', value_parser = ["pdf", "png"], conflicts_with_all = ["table", "watch"])]
    figures: Vec<String>,
    /// Override a value of the file, as `run` was told to
    #[arg(long, value_name = "KEY=VALUE", requires = "watch")]
    set: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TableKind {
    /// Models × tasks with the usual metric of each task, as in the paper's Table 2
    Paper,
}

pub(super) fn main(place: &Place, options: &Options) -> Result<u8> {
    if options.table == Some(TableKind::Paper) {
        return paper::main(place, options);
    }
    if !options.more.is_empty() {
        bail!("a report is of one experiment\nhint: `--table paper` joins several");
    }
    if let Some(seconds) = options.watch {
        return watch::main(place, options, seconds);
    }
    let results = place.recorded()?;
    for file in crate::report::write(&results)?.files {
        say!("{}", file.display());
    }
    if !options.figures.is_empty() {
        let formats: Vec<Format> = [Format::Pdf, Format::Png]
            .into_iter()
            .filter(|format| options.figures.iter().any(|name| name == format.name()))
            .collect();
        let folder = results.join("figures/print");
        for file in print(&crate::report::of(&results)?.figures, &formats, &folder)?.files {
            say!("{}", file.display());
        }
    }
    let differing = differing(place, &results).unwrap_or_default();
    if !differing.is_empty() {
        tell!(
            "note: these results were made by `{}`, which differs from the experiment file in: {}\nhint: `efficientllm run {}` carries out what the file says now",
            results.join(PLAN_FILE).display(),
            differing.join(", "),
            place.experiment.display()
        );
    }
    Ok(0)
}

/// What of `plan.json` is held against the experiment file.
#[derive(Deserialize)]
struct Recorded {
    title: Value,
    question: Value,
    comparisons: Value,
    /// Plans of earlier versions have none.
    #[serde(default)]
    questions: Option<Value>,
    runs: Vec<RecordedRun>,
}

#[derive(Deserialize)]
struct RecordedRun {
    run: String,
}

/// What of the experiment file is no longer what the results were made by; `None` where the file is not there any more or
/// cannot be planned, which a report does not need.
fn differing(place: &Place, results: &Path) -> Option<Vec<&'static str>> {
    let (mut experiment, _) = place.load(&Settings { set: Vec::new() }).ok()?;
    let kind = engine::planned(&mut experiment.engine, results).ok()?;
    let plan = plan(&experiment, kind).ok()?;
    let files = Snapshot::read(results, &[PLAN_FILE]).ok()?;
    let then: Recorded = serde_json::from_slice(files.get(PLAN_FILE)?).ok()?;
    let told = [
        ("title", then.title, json!(experiment.title)),
        ("question", then.question, json!(experiment.question)),
        ("comparisons", then.comparisons, json!(experiment.comparisons)),
        ("rankings and effects", then.questions.unwrap_or_else(|| json!([])), json!(experiment.questions)),
    ];
    let mut differing: Vec<&'static str> =
        told.into_iter().filter(|(_, then, now)| then != now).map(|(key, ..)| key).collect();
    if !plan.runs.iter().map(|run| &run.id).eq(then.runs.iter().map(|run| &run.run)) {
        differing.push("what is run (other keys, seeds, arms or axes, or `--set`)");
    }
    Some(differing)
}
