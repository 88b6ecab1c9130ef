//! The ledger: tokens, FLOPs and seconds of a run, by part.
//!
//! FLOPs are counted, not measured: a product of m × k by k × n is 2·m·n·k. A step of training on N tokens costs
//! three forward passes (forward, gradient of inputs, gradient of weights). Element-wise work is left out, as is
//! usual (Kaplan et al. 2020, arXiv:2001.08361). Seconds are wall time and the only part that is not reproducible.
use crate::prune::EventRecord;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What tokens and FLOPs were spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Pretraining of the source model.
    Source,
    /// Gradients of the calibration set and scores of groups.
    Saliency,
    /// Gram matrices G = Σ x xᵀ.
    Hessian,
    /// Weight updates that make up for removed groups.
    Update,
    /// Optimiser steps after the source.
    Train,
    /// Benchmarks and held-out text.
    Evaluation,
    /// Predictions of the source that an arm learns from. Written after the others, as older ledgers do not have it.
    Teacher,
}

impl Part {
    pub const ALL: [Part; 7] = [
        Part::Source,
        Part::Saliency,
        Part::Hessian,
        Part::Update,
        Part::Train,
        Part::Evaluation,
        Part::Teacher,
    ];

    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Part::Source => "source",
            Part::Saliency => "saliency",
            Part::Hessian => "hessian",
            Part::Update => "update",
            Part::Train => "train",
            Part::Evaluation => "evaluation",
            Part::Teacher => "teacher",
        }
    }
}

/// Sums of one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub tokens: u64,
    pub flops: f64,
    pub seconds: f64,
}

/// Entries by part; written as a list in the order of [`Part::ALL`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Listed", into = "Listed")]
pub struct Ledger(BTreeMap<Part, Entry>);

/// A ledger in files. The parts that an older one lacks are zero.
#[derive(Serialize, Deserialize)]
struct Listed {
    entries: Vec<Entry>,
}

impl From<Listed> for Ledger {
    fn from(Listed { entries }: Listed) -> Self {
        let entries = entries.into_iter().chain(std::iter::repeat(Entry::default()));
        Ledger(Part::ALL.into_iter().zip(entries).collect())
    }
}

impl From<Ledger> for Listed {
    fn from(ledger: Ledger) -> Self {
        Listed { entries: Part::ALL.into_iter().map(|part| ledger.entry(part)).collect() }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Ledger::from(Listed { entries: Vec::new() })
    }
}

impl Ledger {
    pub fn add(&mut self, part: Part, tokens: u64, flops: f64, seconds: f64) {
        let entry = self.0.entry(part).or_default();
        entry.tokens += tokens;
        entry.flops += flops;
        entry.seconds += seconds;
    }

    pub fn entry(&self, part: Part) -> Entry {
        self.0.get(&part).copied().unwrap_or_default()
    }

    /// Adds every entry of `other`.
    pub fn merge(&mut self, other: &Ledger) {
        for part in Part::ALL {
            let Entry { tokens, flops, seconds } = other.entry(part);
            self.add(part, tokens, flops, seconds);
        }
    }

    /// Sum over all parts but evaluation, which is not a cost of the method.
    pub fn method_flops(&self) -> f64 {
        Part::ALL.iter().filter(|&&p| p != Part::Evaluation).map(|&p| self.entry(p).flops).sum()
    }

    /// Tokens that passed through the model for training or saliency: evaluation is not one of them, and
    /// Gram matrices are taken from tokens that are counted already.
    pub fn method_tokens(&self) -> u64 {
        [Part::Source, Part::Saliency, Part::Train].iter().map(|&p| self.entry(p).tokens).sum()
    }
}

/// Books the cost of pruning events: scores and removal to `saliency`, weight updates to `update`.
pub fn add_events(ledger: &mut Ledger, events: &[EventRecord], seconds: f64) {
    let sum = |flops: fn(&EventRecord) -> u64| events.iter().map(flops).sum::<u64>() as f64;
    ledger.add(Part::Saliency, 0, sum(|event| event.saliency_flops), seconds);
    ledger.add(Part::Update, 0, sum(|event| event.update_flops), 0.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_add_up_and_evaluation_stays_out() {
        let mut ledger = Ledger::default();
        ledger.add(Part::Source, 100, 1e3, 1.0);
        ledger.add(Part::Train, 50, 2e3, 2.0);
        ledger.add(Part::Train, 50, 2e3, 2.0);
        ledger.add(Part::Hessian, 50, 5e2, 0.1);
        ledger.add(Part::Evaluation, 500, 9e9, 2.0);
        assert_eq!(ledger.method_tokens(), 200);
        assert_eq!(ledger.method_flops(), 5.5e3);
        let mut twice = ledger.clone();
        twice.merge(&ledger);
        assert_eq!(twice.entry(Part::Train), Entry { tokens: 200, flops: 8e3, seconds: 8.0 });
    }

    #[test]
    fn ledgers_of_before_there_were_teachers_are_read() {
        let old = r#"{"entries":[{"tokens":5,"flops":1.0,"seconds":0.5}]}"#;
        let ledger: Ledger = serde_json::from_str(old).expect("a ledger");
        assert_eq!(ledger.entry(Part::Source).tokens, 5);
        assert_eq!(ledger.entry(Part::Teacher), Entry::default());
    }

    #[test]
    fn ledgers_are_lists_in_the_order_of_parts() {
        let mut ledger = Ledger::default();
        for (tokens, part) in (1..).zip(Part::ALL) {
            ledger.add(part, tokens, 0.0, 0.0);
        }
        let json = serde_json::to_value(&ledger).expect("numbers");
        let entries = json["entries"].as_array().expect("a list");
        let tokens: Vec<u64> = entries.iter().filter_map(|entry| entry["tokens"].as_u64()).collect();
        assert_eq!(tokens, (1..=Part::ALL.len() as u64).collect::<Vec<_>>());
        assert_eq!(serde_json::from_value::<Ledger>(json).expect("a ledger"), ledger);
    }
}
