//! Items of the synthetic corpus: different from one another, with balanced right answers, in the benchmarks' fields.
use super::super::task::{Asked, Task, bag_of_words, fields};
use super::Table;
use super::weights::sample;
use rand_chacha::ChaCha12Rng;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// An item as it would stand in the benchmark's file, with two fields of its own:
///
/// - `cluster`: a text; items of one cluster depend on the same fact or rule;
/// - `difficulty`: a number; larger is harder. `arc_easy`, `arc_challenge`, `openbookqa`, `winogrande`: on average one
///   document in 10^difficulty tells the fact or rule; `boolq`: minus the distance of the score from the threshold, in the
///   unit of `super::permissions`; `hellaswag`, `piqa`: slots that all choices share.
#[derive(Clone, Debug, PartialEq)]
pub struct SyntheticItem {
    pub json: Map<String, Value>,
    pub gold: usize,
}

/// Draws after which a missing item is given up: there is no new one.
const MAX_ATTEMPTS: usize = 4000;

/// See [`super::Synthetic::benchmark`].
pub(super) fn generate(
    task: Task,
    n: usize,
    table: &dyn Table,
    share: f64,
    rng: &mut ChaCha12Rng,
) -> Vec<SyntheticItem> {
    let mut seen = HashSet::new();
    let mut items = Vec::with_capacity(n);
    let mut golds: Vec<usize> = Vec::new();
    while items.len() < n {
        if golds.is_empty() {
            // A block of ten of each position, shuffled.
            let k = task.num_choices();
            golds = sample(rng, 0..10 * k, 10 * k).into_iter().map(|i| i % k).collect();
        }
        let gold = golds[golds.len() - 1];
        let found = (0..MAX_ATTEMPTS).find_map(|_| {
            let question = table.item(rng, gold, share)?;
            let choices = question.choices.join(" ");
            let words = bag_of_words(&[&question.title, &question.passage, &question.prompt, &choices]);
            seen.insert(words).then_some(question)
        });
        let Some(question) = found else { break };
        golds.pop();
        let asked = Asked {
            prompt: &question.prompt,
            passage: &question.passage,
            title: &question.title,
            choices: &question.choices,
            gold,
        };
        let mut json = fields(task, &asked, "synthetic", items.len());
        json.insert("cluster".into(), question.cluster.into());
        json.insert("difficulty".into(), question.difficulty.into());
        items.push(SyntheticItem { json, gold });
    }
    items
}
