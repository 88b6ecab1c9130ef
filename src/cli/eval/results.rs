//! From outcomes to the rows of the result files, under the names that lm-evaluation-harness gives them.
use crate::eval::mmlu::{GROUPS, group_of};
use crate::eval::{Accuracy, Counts, ItemRecord, Outcome, Task, TaskResult, pooled_stderr};
use crate::record::harness::{HarnessMetric, HarnessTask};
use crate::record::scores::{average_acc, average_usual};
use crate::record::{ItemChoice, SetAside};
use crate::run::scores::{item_rows, score, set_aside_rows};
use crate::stats::Interval;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What the two perplexities are; told wherever they are shown.
pub(super) const WIKITEXT: &str =
    "WikiText-2 by document, detokenized, rolling windows (as lm-evaluation-harness)";
pub(super) const WIKITEXT_WINDOWS: &str =
    "WikiText-2 rows joined by two newlines, cut into windows (as pruning papers)";

/// Version of a task's definition in the harness.
fn version(task: Task) -> f64 {
    match task {
        Task::BoolQ => 2.0,
        Task::SocialIqa => 0.0,
        _ => 1.0,
    }
}

/// Rows of `results.json` of one benchmark; groups come before their parts.
pub(super) fn tasks(outcome: &Outcome, num_fewshot: usize) -> Vec<HarnessTask> {
    match outcome {
        Outcome::Choice { result, counts } if result.task.is_mmlu() => mmlu(result, counts, num_fewshot),
        Outcome::Choice { result, counts } => {
            let name = result.task.name().to_string();
            vec![choice(result, name, counts.values().sum(), num_fewshot)]
        }
        Outcome::Documents { perplexity: p, count } => {
            let metrics = [
                ("word_perplexity", p.word_perplexity),
                ("byte_perplexity", p.byte_perplexity),
                ("bits_per_byte", p.bits_per_byte),
            ];
            vec![perplexity("wikitext", WIKITEXT, &metrics, 2.0, *count, p.documents)]
        }
        Outcome::Windows { perplexity: p, count } => {
            let about = format!("{WIKITEXT_WINDOWS} of {} tokens", p.window_tokens);
            let metrics = [("perplexity", p.perplexity)];
            vec![perplexity("wikitext_windows", &about, &metrics, 1.0, *count, p.windows)]
        }
    }
}

fn perplexity(
    name: &str,
    about: &str,
    metrics: &[(&'static str, f64)],
    version: f64,
    original: usize,
    effective: usize,
) -> HarnessTask {
    let metric =
        |&(name, value)| HarnessMetric { name, value, stderr: None, interval: None, higher_is_better: false };
    HarnessTask {
        name: name.into(),
        alias: name.into(),
        metrics: metrics.iter().map(metric).collect(),
        num_fewshot: Some(0),
        version,
        original,
        effective,
        parts: vec![],
        config: json!({ "task": name, "description": about }),
    }
}

/// An accuracy with the ends of its interval, where it has one.
fn metric(name: &'static str, accuracy: Accuracy, ends: [Option<f64>; 2]) -> HarnessMetric {
    let interval = ends[0].zip(ends[1]).map(|(low, high)| Interval { low, high });
    HarnessMetric { name, value: accuracy.value, stderr: accuracy.stderr, interval, higher_is_better: true }
}

fn choice(result: &TaskResult, name: String, original: usize, num_fewshot: usize) -> HarnessTask {
    // Intervals allow for items that come in clusters, as in an experiment.
    let s = score(result, &item_rows(result), None);
    let metrics = [
        ("acc", result.acc, [s.acc_low, s.acc_high]),
        ("acc_norm", result.acc_norm, [s.acc_norm_low, s.acc_norm_high]),
    ];
    let examples = format!("the first {num_fewshot} of {}", result.task.example_split());
    HarnessTask {
        config: json!({
            "task": name,
            "output_type": "multiple_choice",
            "test_split": result.task.split(),
            "num_fewshot": num_fewshot,
            "fewshot_examples": if num_fewshot == 0 { "none" } else { examples.as_str() },
            "target_delimiter": " ",
            "fewshot_delimiter": "\n\n",
        }),
        alias: name.clone(),
        name,
        metrics: metrics
            .into_iter()
            .filter_map(|(name, value, ends)| Some(metric(name, value?, ends)))
            .collect(),
        num_fewshot: Some(num_fewshot),
        version: version(result.task),
        original,
        effective: result.items.len() - result.not_finite(),
        parts: vec![],
    }
}

/// Overall, groups, subjects. Scores are means over items; standard errors are pooled as the harness does.
fn mmlu(result: &TaskResult, counts: &Counts, num_fewshot: usize) -> Vec<HarnessTask> {
    let ending = if result.task == Task::MmluContinuation { "_continuation" } else { "" };
    let mut by_subject: BTreeMap<&str, Vec<ItemRecord>> = BTreeMap::new();
    for item in &result.items {
        by_subject.entry(item.subject.as_deref().unwrap_or_default()).or_default().push(item.clone());
    }
    let subjects: Vec<(&str, TaskResult)> = by_subject
        .into_iter()
        .map(|(subject, items)| (subject, TaskResult::of(result.task, items, result.context_length)))
        .collect();
    let part_of = |group: Option<&str>| -> Vec<&(&str, TaskResult)> {
        subjects.iter().filter(|(subject, _)| group.is_none() || group_of(subject) == group).collect()
    };
    let group = |name: String, parts: Vec<String>, of: Vec<&(&str, TaskResult)>| {
        let items: Vec<ItemRecord> = of.iter().flat_map(|(_, result)| result.items.iter().cloned()).collect();
        let pooled = |accuracy: fn(&TaskResult) -> Option<Accuracy>| {
            let parts: Option<Vec<(Accuracy, usize)>> =
                of.iter().map(|(_, r)| accuracy(r).map(|a| (a, r.items.len()))).collect();
            pooled_stderr(&parts?)
        };
        let whole = TaskResult::of(result.task, items, result.context_length);
        let whole = TaskResult {
            acc: whole.acc.map(|a| Accuracy { stderr: pooled(|r| r.acc), ..a }),
            acc_norm: whole.acc_norm.map(|a| Accuracy { stderr: pooled(|r| r.acc_norm), ..a }),
            ..whole
        };
        let original = of.iter().filter_map(|(subject, _)| counts.get(&Some((*subject).to_string()))).sum();
        let task = choice(&whole, name, original, num_fewshot);
        HarnessTask { parts, num_fewshot: None, version: 2.0, ..task }
    };
    let group_name = |group: &str| format!("mmlu_{group}{ending}");
    let subject_name = |subject: &str| format!("mmlu_{subject}{ending}");
    let present: Vec<&str> =
        GROUPS.iter().map(|(g, _)| *g).filter(|g| !part_of(Some(g)).is_empty()).collect();
    let parts = present.iter().map(|g| group_name(g)).collect();
    let mut rows = vec![group(result.task.name().to_string(), parts, part_of(None))];
    for name in present {
        let of = part_of(Some(name));
        let parts = of.iter().map(|(subject, _)| subject_name(subject)).collect();
        rows.push(group(group_name(name), parts, of));
    }
    rows.extend(subjects.iter().map(|(subject, result)| {
        let original = counts.get(&Some((*subject).to_string())).copied().unwrap_or_default();
        choice(result, subject_name(subject), original, num_fewshot)
    }));
    rows
}

/// Rows of `items.csv`.
pub(super) fn items(outcome: &Outcome) -> Vec<ItemChoice> {
    match outcome {
        Outcome::Choice { result, .. } => item_rows(result),
        _ => vec![],
    }
}

/// Rows of `set_aside.csv`.
pub(super) fn set_aside(outcome: &Outcome) -> Vec<SetAside> {
    match outcome {
        Outcome::Choice { result, .. } => set_aside_rows(result),
        _ => vec![],
    }
}

/// Adds to `results` what the harness has no key for, under `efficientllm`: of each task the row of an experiment's
/// `evals.csv`, and the two averages.
pub(super) fn add_own(results: &mut Value, outcomes: &[Outcome]) {
    let mut scores = Vec::new();
    for outcome in outcomes {
        if let Outcome::Choice { result, .. } = outcome {
            scores.push(score(result, &item_rows(result), None));
        }
    }
    if !scores.is_empty() {
        results["efficientllm"] = json!({
            "tasks": scores,
            "average_acc": average_acc(&scores),
            "average_usual": average_usual(&scores),
        });
    }
}
