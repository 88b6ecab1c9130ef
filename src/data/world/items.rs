//! Benchmark items in the original fields of the seven benchmarks, and the balance of their right answers.
use super::draft::{Question, below, distinct};
use super::holdout::{Combination, HoldOut};
use super::{animals, goals, people, physics, scripts, work};
use rand_chacha::ChaCha12Rng;
use serde_json::{Value, json};
use std::collections::HashSet;

/// The seven kinds of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Task {
    ArcEasy,
    ArcChallenge,
    BoolQ,
    HellaSwag,
    OpenBookQa,
    Piqa,
    WinoGrande,
}

impl Task {
    /// All tasks, in the order of the paper's tables.
    pub const ALL: [Task; 7] = [
        Task::ArcEasy,
        Task::ArcChallenge,
        Task::BoolQ,
        Task::HellaSwag,
        Task::OpenBookQa,
        Task::Piqa,
        Task::WinoGrande,
    ];

    /// Name as in experiment files and folders.
    pub fn name(self) -> &'static str {
        match self {
            Task::ArcEasy => "arc_easy",
            Task::ArcChallenge => "arc_challenge",
            Task::BoolQ => "boolq",
            Task::HellaSwag => "hellaswag",
            Task::OpenBookQa => "openbookqa",
            Task::Piqa => "piqa",
            Task::WinoGrande => "winogrande",
        }
    }

    /// The task of that name.
    pub fn from_name(name: &str) -> Option<Task> {
        Task::ALL.into_iter().find(|task| task.name() == name)
    }

    /// Choices of each item.
    pub fn num_choices(self) -> usize {
        match self {
            Task::BoolQ | Task::Piqa | Task::WinoGrande => 2,
            _ => 4,
        }
    }
}

/// An item as it would stand in the benchmark's file, and the held-out combination that decides it.
#[derive(Clone, Debug, PartialEq)]
pub struct BenchmarkItem {
    pub json: Value,
    pub combination: Combination,
    pub gold: usize,
}

/// Draws after which a missing item is given up: the held-out combinations yield no new one.
const MAX_ATTEMPTS: usize = 2000;

/// See [`super::World::benchmark`].
pub(super) fn generate(
    task: Task,
    n: usize,
    hold_out: &HoldOut,
    rng: &mut ChaCha12Rng,
) -> Vec<BenchmarkItem> {
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(n);
    let mut golds: Vec<usize> = Vec::new();
    while items.len() < n {
        if golds.is_empty() {
            // A block of ten of each position, shuffled.
            let k = task.num_choices();
            golds = distinct(rng, 10 * k, 10 * k).into_iter().map(|i| i % k).collect();
        }
        let gold = golds[golds.len() - 1];
        let found = (0..MAX_ATTEMPTS).find_map(|_| {
            let question = draw(task, rng, hold_out, gold)?;
            let text = format!("{}|{}|{}", question.passage, question.prompt, question.choices.join("|"));
            seen.insert(text).then_some(question)
        });
        let Some(question) = found else { break };
        golds.pop();
        items.push(BenchmarkItem {
            json: fields(task, &question, items.len()),
            combination: question.combination,
            gold,
        });
    }
    items
}

fn draw(task: Task, rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize) -> Option<Question> {
    match task {
        Task::ArcEasy if below(rng, 3) == 0 => animals::item(rng, hold_out, gold),
        Task::ArcEasy => physics::arc_item(rng, hold_out, gold, false),
        Task::ArcChallenge => physics::arc_item(rng, hold_out, gold, true),
        Task::BoolQ if below(rng, 2) == 0 => people::yes_no_item(rng, hold_out, gold),
        Task::BoolQ => physics::yes_no_item(rng, hold_out, gold),
        Task::HellaSwag => scripts::item(rng, hold_out, gold),
        Task::OpenBookQa => work::item(rng, hold_out, gold),
        Task::Piqa => goals::item(rng, hold_out, gold),
        Task::WinoGrande if below(rng, 2) == 0 => people::choice_item(rng, hold_out, gold),
        Task::WinoGrande => physics::pair_item(rng, hold_out, gold),
    }
}

/// The fields of the original files; `combination` is ours.
fn fields(task: Task, q: &Question, index: usize) -> Value {
    let labels = ["A", "B", "C", "D"];
    let choices = json!({ "text": q.choices, "label": labels[..q.choices.len()] });
    let combination = q.combination.key();
    let id = format!("world_{index}");
    match task {
        Task::ArcEasy | Task::ArcChallenge => json!({
            "id": id, "question": q.prompt, "choices": choices, "answerKey": labels[q.gold],
            "combination": combination,
        }),
        Task::OpenBookQa => json!({
            "id": id, "question_stem": q.prompt, "choices": choices, "answerKey": labels[q.gold],
            "combination": combination,
        }),
        Task::Piqa => json!({
            "goal": q.prompt, "sol1": q.choices[0], "sol2": q.choices[1], "label": q.gold,
            "combination": combination,
        }),
        Task::BoolQ => json!({
            "question": q.prompt, "passage": q.passage, "idx": index, "label": q.gold, "combination": combination,
        }),
        Task::HellaSwag => json!({
            "ind": index, "activity_label": q.title, "ctx_a": q.passage, "ctx_b": q.prompt,
            "ctx": format!("{} {}", q.passage, q.prompt), "endings": q.choices, "source_id": id, "split": "val",
            "split_type": "zeroshot", "label": q.gold.to_string(), "combination": combination,
        }),
        Task::WinoGrande => json!({
            "sentence": q.prompt, "option1": q.choices[0], "option2": q.choices[1],
            "answer": (q.gold + 1).to_string(), "combination": combination,
        }),
    }
}
