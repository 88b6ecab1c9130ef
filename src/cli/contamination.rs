//! What `plan` says of benchmark items that stand in a training corpus from disk.
//!
//! The embedded world is not looked at: its items are held out of its text by construction, and tests hold it to that.
use crate::data::documents::Unwatched;
use crate::data::world::World;
use crate::data::{Contamination, contamination, visit_training};
use crate::eval::{self, Item, Source, Task};
use crate::spec::{CorpusSpec, Experiment, RunSpec};
use anyhow::Result;
use std::fmt::Write;
use std::path::Path;

/// What the harness writes around questions; it is no part of them.
const LABELS: [&str; 4] = ["Question:", "Answer:", "Q:", "A:"];

/// A table for each corpus from disk with the benchmarks that are scored on its models; nothing where there is none.
///
/// A corpus that cannot be read does not stop the plan: the table says so.
pub(super) fn describe(experiment: &Experiment) -> String {
    let mut different: Vec<&RunSpec> = Vec::new();
    for spec in experiment.points.iter().map(|point| &point.spec) {
        let is_new = different.iter().all(|other| {
            other.data.corpus != spec.data.corpus
                || other.eval.folder != spec.eval.folder
                || other.eval.tasks != spec.eval.tasks
                || other.eval.items != spec.eval.items
        });
        if is_new {
            different.push(spec);
        }
    }
    let mut text = String::new();
    for spec in different {
        if let CorpusSpec::World { .. } = spec.data.corpus {
            continue;
        }
        let files: Vec<String> =
            spec.data.corpus.sources().iter().flat_map(|s| s.train_files().to_vec()).collect();
        let _ = writeln!(text, "\nitems whose words stand in the training corpus, {}", list(&files));
        match check(spec) {
            Ok(check) => text.push_str(&table(&check)),
            Err(error) => drop(writeln!(text, "  not checked: {error}")),
        }
    }
    text
}

fn check(spec: &RunSpec) -> Result<Contamination> {
    let mut check = Contamination::new(contamination::DEFAULT_N);
    // As evaluation: without a folder the items are those of the first world.
    let world = World::new(0);
    let source = match &spec.eval.folder {
        Some(folder) => Source::Folder(Path::new(folder)),
        None => Source::World(&world),
    };
    for name in &spec.eval.tasks {
        let items = eval::load(Task::from_name(name)?, source, spec.eval.items, 0)?;
        check.add(name, items.iter().map(question_and_answer));
    }
    visit_training(&spec.data.corpus, &Unwatched, &mut |_, document| {
        check.see(document);
        Ok(())
    })?;
    Ok(check)
}

/// What the model is asked, and the right answer after it.
fn question_and_answer(item: &Item) -> String {
    let Some(request) = item.requests.get(item.gold) else { return String::new() };
    let mut text = String::new();
    for line in request.context.lines() {
        let label = LABELS.iter().find_map(|label| line.strip_prefix(label));
        text.push_str(label.unwrap_or(line));
        text.push('\n');
    }
    text + &request.continuation
}

fn table(check: &Contamination) -> String {
    let overlaps = check.overlaps();
    let width = overlaps.iter().map(|overlap| overlap.benchmark.len()).max().unwrap_or(0).max(4);
    let mut text =
        format!("  {:width$}  {:>6}  {:>9}  {:>12}\n", "task", "items", "too short", "contaminated");
    for overlap in overlaps {
        let share = overlap.share().map_or_else(String::new, |share| format!("  {:.1} %", 100.0 * share));
        let _ = writeln!(
            text,
            "  {:width$}  {:>6}  {:>9}  {:>12}{share}",
            overlap.benchmark, overlap.items, overlap.too_short, overlap.contaminated
        );
    }
    for overlap in overlaps {
        if let Some(example) = &overlap.example {
            let _ = writeln!(
                text,
                "  {} item {} in document {}: {}",
                overlap.benchmark, example.item, example.document, example.words
            );
        }
    }
    let _ = writeln!(
        text,
        "  ({} words in a row in {} documents; an item of {} to {} words whole, a shorter one is too short to tell)",
        check.n(),
        check.documents(),
        contamination::SHORTEST,
        check.n() - 1
    );
    text
}

/// Up to three files by name.
fn list(files: &[String]) -> String {
    let name = |file: &String| {
        let name = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("`{name}`")
    };
    let names: Vec<String> = files.iter().take(3).map(name).collect();
    match files.len().saturating_sub(3) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
