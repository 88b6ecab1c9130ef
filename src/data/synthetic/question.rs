//! An item before it gets its benchmark's fields, and how the choices of a question on a fact are drawn.
//!
//! The four values that an item offers are drawn first, by a power of their frequency; which of them is right is then
//! drawn uniformly, and the fact that is asked for among those that have this value. So no choice is more often right
//! than another, and neither a choice alone nor its frequency in the text tells anything.
use super::weights::{Weighted, below};
use rand_chacha::ChaCha12Rng;

/// A multiple-choice item.
pub(super) struct Question {
    /// What is asked, in the main text field of the benchmark.
    pub prompt: String,
    /// Passage, or first part of the context, where the benchmark has one.
    pub passage: String,
    /// Title or label, where the benchmark has one.
    pub title: String,
    /// The choices, the right one at the place asked for.
    pub choices: Vec<String>,
    /// Items of one cluster depend on the same fact.
    pub cluster: String,
    /// Larger is harder; its unit depends on the task, see [`super::SyntheticItem`].
    pub difficulty: f64,
}

/// Exponent of a value's frequency among distractors.
const FREQUENCY_POWER: f64 = 0.7;

/// The cells of one relation that can be asked for, by their value.
pub(super) struct Askable {
    by_value: Vec<(usize, Vec<usize>, Weighted)>,
    values: Weighted,
    total: f64,
}

impl Askable {
    /// Of cells (a number of the caller's, its value below `num_values`, its weight among items).
    pub fn new(num_values: usize, cells: impl IntoIterator<Item = (usize, usize, f64)>) -> Self {
        let mut lists: Vec<(Vec<usize>, Vec<f64>)> = vec![Default::default(); num_values];
        for (cell, value, weight) in cells {
            lists[value].0.push(cell);
            lists[value].1.push(weight);
        }
        let by_value: Vec<(usize, Vec<usize>, Weighted)> = lists
            .into_iter()
            .enumerate()
            .filter(|(_, (cells, _))| !cells.is_empty())
            .map(|(value, (cells, weights))| (value, cells, Weighted::new(weights)))
            .collect();
        let values = Weighted::new(by_value.iter().map(|entry| entry.2.total().powf(FREQUENCY_POWER)));
        let total = by_value.iter().map(|entry| entry.2.total()).sum();
        Askable { by_value, values, total }
    }

    /// Weight of all cells.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// A cell, and four values with that of the cell at `gold`; `None` where there are not four values.
    pub fn draw(&self, rng: &mut ChaCha12Rng, gold: usize) -> Option<(usize, Vec<usize>)> {
        const CHOICES: usize = 4;
        if self.by_value.len() < CHOICES {
            return None;
        }
        let mut entries = self.values.draw_distinct(rng, CHOICES)?;
        // Which one is right does not depend on the order in which they were drawn.
        let right = below(rng, CHOICES);
        entries.swap(right, gold);
        let (_, cells, weights) = &self.by_value[entries[gold]];
        let cell = cells[weights.draw(rng)];
        Some((cell, entries.into_iter().map(|entry| self.by_value[entry].0).collect()))
    }
}

/// On average one document in 10^difficulty tells the fact.
pub(super) fn rarity(tellings_per_document: f64) -> f64 {
    -tellings_per_document.log10()
}
