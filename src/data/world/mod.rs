//! The embedded world: a small world of things, materials, places, animals, tools and people with rules, as a
//! seeded, licence-free source of text and of benchmark items.
//!
//! [`World::documents`] writes unlimited English-like text: scenes, rules with their instances, questions with
//! answers, passages with yes/no questions, courses of action. [`World::benchmark`] makes items of seven kinds in the
//! JSON fields of the benchmarks they imitate. Answers follow from tables (class × condition → outcome), and every
//! item is an *instance held out of the text*: a combination of two content words that no document contains
//! together, see [`holdout`]. Choices are drawn before it is decided which of them is right, so a choice alone tells
//! nothing.
//!
//! The seed decides what is held out and every random draw, not the words or the rules.
mod animals;
mod draft;
mod goals;
pub mod holdout;
mod items;
mod lexicon;
mod people;
mod physics;
mod scripts;
mod work;

pub use super::task::Task;
pub use holdout::{Combination, HoldOut, Rule};
pub use items::BenchmarkItem;

use crate::base::hash::sha256_hex;
use crate::base::random::stream;
use draft::{Draft, below};
use rand_chacha::ChaCha12Rng;

/// Which part of the text. A document's own hash decides its split, so no document is in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    Train,
    Validation,
}

/// A document and the combinations that it states or asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub text: String,
    pub combinations: Vec<Combination>,
}

/// The world under one seed.
pub struct World {
    seed: u64,
    hold_out: HoldOut,
}

/// A generator of documents; `None` where its random draw does not fit together, to be drawn again.
type Generator = fn(&mut ChaCha12Rng, &HoldOut) -> Option<Draft>;

/// The kinds of documents with their weights.
const KINDS: [(usize, Generator); 14] = [
    (12, |rng, _| Some(physics::prose(rng))),
    (5, |rng, _| Some(physics::fact(rng))),
    (14, |rng, _| Some(physics::question(rng))),
    (8, |rng, _| Some(physics::yes_no(rng))),
    (8, physics::pair_prose),
    (5, |rng, _| animals::prose(rng)),
    (6, |rng, _| animals::question(rng)),
    (14, |rng, _| work::prose(rng)),
    (13, |rng, _| Some(goals::document(rng))),
    (12, |rng, _| Some(scripts::document(rng))),
    (6, |rng, _| people::colour_question(rng)),
    (5, |rng, _| Some(people::gift_question(rng))),
    (4, |rng, _| Some(people::prose(rng))),
    (9, |rng, _| Some(people::choice_prose(rng))),
];

impl World {
    /// The world whose held-out combinations and random draws follow from `seed`.
    pub fn new(seed: u64) -> Self {
        World { seed, hold_out: HoldOut::new(seed) }
    }

    /// What is kept out of the text.
    pub fn hold_out(&self) -> &HoldOut {
        &self.hold_out
    }

    /// The first `n` documents of a split; a larger `n` continues the same sequence.
    pub fn documents(&self, n: usize, split: Split) -> impl Iterator<Item = Document> + '_ {
        let name = match split {
            Split::Train => "world/documents/train",
            Split::Validation => "world/documents/validation",
        };
        let mut rng = stream(self.seed, name);
        std::iter::from_fn(move || Some(self.next_document(&mut rng, split))).take(n)
    }

    fn next_document(&self, rng: &mut ChaCha12Rng, split: Split) -> Document {
        let total: usize = KINDS.iter().map(|(weight, _)| weight).sum();
        let mut ticket = below(rng, total);
        let mut kind = 0;
        while ticket >= KINDS[kind].0 {
            ticket -= KINDS[kind].0;
            kind += 1;
        }
        loop {
            let Some(draft) = KINDS[kind].1(rng, &self.hold_out) else { continue };
            if draft.combinations.iter().any(|c| self.hold_out.contains(c))
                || self.hold_out.violated_by(&draft.text)
                || split_of(&draft.text) != split
            {
                continue;
            }
            return Document { text: draft.text, combinations: draft.combinations };
        }
    }

    /// `n` different items of `task`, in the fields of the benchmark; fewer where the held-out combinations yield no
    /// more. A larger `n` continues the same sequence. Positions of right answers are balanced within each block.
    pub fn benchmark(&self, task: Task, n: usize) -> Vec<BenchmarkItem> {
        items::generate(
            task,
            n,
            &self.hold_out,
            &mut stream(self.seed, &format!("world/items/{}", task.name())),
        )
    }
}

/// One document text in twenty belongs to validation.
pub(super) fn split_of(text: &str) -> Split {
    let digest = sha256_hex(text.as_bytes());
    if u32::from_str_radix(&digest[..8], 16).unwrap_or(0).is_multiple_of(20) {
        Split::Validation
    } else {
        Split::Train
    }
}

#[cfg(test)]
mod tests;
