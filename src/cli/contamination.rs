//! Benchmark items as the contamination check takes them, and its table.
use crate::data::Contamination;
use crate::data::contamination::{self, Findings};
use crate::eval::{self, Item};
use crate::spec::{CorpusSpec, EvalSpec};
use anyhow::Result;
use std::fmt::Write;

/// Words in a row that are looked for.
pub(super) const WORDS: usize = contamination::DEFAULT_N;

/// What the harness writes around questions; it is no part of them.
const LABELS: [&str; 4] = ["Question:", "Answer:", "Q:", "A:"];

/// A check of the items that `eval` scores on models of `corpus`.
pub(super) fn of(eval: &EvalSpec, corpus: &CorpusSpec) -> Result<Contamination> {
    let mut check = Contamination::new(WORDS);
    for (task, items) in eval::items_for(eval, corpus)? {
        check.add(task.name(), items.iter().map(question_and_answer));
    }
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

/// The benchmarks by row, and below them a place for each that was found.
pub(super) fn table(findings: &Findings) -> String {
    let overlaps = &findings.overlaps;
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
        findings.n,
        findings.documents,
        contamination::SHORTEST,
        findings.n - 1
    );
    text
}
