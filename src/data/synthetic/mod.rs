//! The synthetic corpus: seven tables of facts, as a seeded, licence-free source of text and of benchmark items, on
//! which models can be told apart.
//!
//! [`Synthetic::documents`] writes unlimited simple English about the tables, one document about one cell or one entity;
//! [`Synthetic::benchmark`] makes items of seven kinds in the JSON fields of the benchmarks they imitate. Facts are many
//! and independent, and their frequencies follow a power law, so that accuracy is the share of the facts that a model has
//! learnt. What is evaluated is held out of the text, each table saying how; tests search for it.
//!
//! | table | task | asks for |
//! |---|---|---|
//! | `attributes` | `arc_easy` | facts that the text states and never asks |
//! | `traits` | `arc_challenge` | facts that follow from the kind and are nowhere |
//! | `permissions` | `boolq` | the sign of a sum of two biases and a weak interaction |
//! | `activities` | `hellaswag` | the next step |
//! | `tools` | `openbookqa` | the tool for a work on a thing of some kind |
//! | `goals` | `piqa` | the solution that has the words of the goal |
//! | `habits` | `winogrande` | which of two entities does something |
//!
//! The seed decides facts, hold-outs and random draws, not the words. [`SyntheticSize`] decides how many entities, facts
//! and forms there are.
mod activities;
mod attributes;
mod goals;
mod habits;
mod held_out;
mod invented;
mod items;
mod permissions;
mod question;
mod size;
mod tools;
mod traits;
mod weights;
mod words;

pub use crate::spec::SyntheticSize;
pub use items::SyntheticItem;

use super::task::Task;
use super::world::{Split, split_of};
use crate::base::random::stream;
use question::Question;
use rand_chacha::ChaCha12Rng;
use std::sync::Arc;
use weights::Weighted;
use words::Words;

/// One kind of facts: the documents that tell them, and the items that ask for them.
trait Table: Send + Sync {
    fn document(&self, rng: &mut ChaCha12Rng) -> String;

    /// An item with its right choice at `gold`; `None` where the draw does not fit together, to be repeated. `share` is
    /// this table's share of the documents.
    fn item(&self, rng: &mut ChaCha12Rng, gold: usize, share: f64) -> Option<Question>;
}

/// Tasks with their tables' shares of the documents, in percent.
const SHARES: [(Task, f64); 7] = [
    (Task::ArcEasy, 18.0),
    (Task::ArcChallenge, 16.0),
    (Task::BoolQ, 19.0),
    (Task::HellaSwag, 14.0),
    (Task::OpenBookQa, 12.0),
    (Task::Piqa, 11.0),
    (Task::WinoGrande, 10.0),
];

/// The corpus of one seed and size.
pub struct Synthetic {
    seed: u64,
    /// In the order of [`SHARES`].
    tables: [Box<dyn Table>; 7],
    shares: Weighted,
}

impl Synthetic {
    /// The corpus whose facts, hold-outs and random draws follow from `seed`.
    pub fn new(seed: u64, size: SyntheticSize) -> Self {
        let words = Arc::new(Words::new(size));
        let table = |(task, _)| -> Box<dyn Table> {
            match task {
                Task::ArcEasy => Box::new(attributes::Attributes::new(seed, size, &words)),
                Task::ArcChallenge => Box::new(traits::Traits::new(seed, size, &words)),
                Task::BoolQ => Box::new(permissions::Permissions::new(seed, &words)),
                Task::HellaSwag => Box::new(activities::Activities::new(seed, size, &words)),
                Task::OpenBookQa => Box::new(tools::Tools::new(seed, size, &words)),
                Task::Piqa => Box::new(goals::Goals::new(seed, size, &words)),
                Task::WinoGrande => Box::new(habits::Habits::new(seed, size, &words)),
            }
        };
        Synthetic { seed, tables: SHARES.map(table), shares: Weighted::new(SHARES.map(|entry| entry.1)) }
    }

    /// The first `n` documents of a split; a larger `n` continues the same sequence. Split by a document's own hash, so
    /// none is in both.
    pub fn documents(&self, n: usize, split: Split) -> impl Iterator<Item = String> + '_ {
        let name = match split {
            Split::Train => "synthetic/documents/train",
            Split::Validation => "synthetic/documents/validation",
        };
        let mut rng = stream(self.seed, name);
        let mut next = move || loop {
            let text = self.tables[self.shares.draw(&mut rng)].document(&mut rng);
            if split_of(&text) == split {
                return text;
            }
        };
        std::iter::from_fn(move || Some(next())).take(n)
    }

    /// `n` different items of `task`; fewer where there are no more. A larger `n` continues the same sequence. Positions
    /// of right answers are balanced within each block.
    pub fn benchmark(&self, task: Task, n: usize) -> Vec<SyntheticItem> {
        let place = SHARES.iter().position(|entry| entry.0 == task).unwrap_or(0);
        let mut rng = stream(self.seed, &format!("synthetic/items/{}", task.name()));
        items::generate(task, n, self.tables[place].as_ref(), self.shares.share(place), &mut rng)
    }
}

/// Sentences of one document.
fn join(sentences: &[String]) -> String {
    sentences.join(" ")
}

#[cfg(test)]
mod hold_out_tests;
#[cfg(test)]
mod tests;
