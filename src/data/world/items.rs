//! Benchmark items in the original fields of the seven benchmarks, and the balance of their right answers.
use super::super::task::{Asked, Task, bag_of_words, fields};
use super::draft::{Question, below, distinct};
use super::holdout::{Combination, HoldOut};
use super::{animals, goals, people, physics, scripts, work};
use rand_chacha::ChaCha12Rng;
use serde_json::Value;
use std::collections::HashSet;

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
            let words = bag_of_words(&[&question.passage, &question.prompt, &question.choices.join(" ")]);
            seen.insert(words).then_some(question)
        });
        let Some(question) = found else { break };
        golds.pop();
        items.push(BenchmarkItem {
            json: in_fields(task, &question, items.len()),
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
fn in_fields(task: Task, q: &Question, index: usize) -> Value {
    let asked =
        Asked { prompt: &q.prompt, passage: &q.passage, title: &q.title, choices: &q.choices, gold: q.gold };
    let mut object = fields(task, &asked, "world", index);
    object.insert("combination".into(), q.combination.key().into());
    Value::Object(object)
}
