//! What may be done where, asked by items of the form of BoolQ: a bias of each word and a weak interaction.
//!
//! ```text
//! score     s(c, v) = 0.6·N_c + 1.5·N_v + 0.4·u₁(c)·v₁(v) + 0.3·u₂(c)·v₂(v) + 0.5·N_cv;   yes where s > 0
//!           c place, v deed; all N, u, v standard normal numbers
//! text      questions with answers (75 %); prose that ends in "said yes" or "said no"
//! held out  20 % of the cells are nowhere; 20 % are never asked, but stand in prose
//! item      the question of such a cell, half of each; half of the answers are yes
//! ```
//! Difficulty: −|s|; the nearer the score is to 0, the more of it is noise and interaction.
use super::Table;
use super::held_out::HeldOut;
use super::question::Question;
use super::weights::{Weighted, below, cell_weights, chance, item_weights, normal, word_weights};
use super::words::{DEEDS, PEOPLE, Words};
use crate::base::random::stream;
use rand_chacha::ChaCha12Rng;
use std::sync::Arc;

const QUESTIONS: f64 = 0.75;
const NOWHERE: f64 = 0.2;
/// Upper end of the cells that are never asked, of which [`NOWHERE`] are not in prose either.
const NEVER_ASKED: f64 = 0.4;

pub(super) struct Permissions {
    words: Arc<Words>,
    /// Score of each cell; cell = place · deeds + deed.
    scores: Vec<f64>,
    asked: Cells,
    in_prose: Cells,
    /// Cells of items by answer (no, yes), and by whether they are in prose.
    items: [[Cells; 2]; 2],
    people: Weighted,
}

/// Cells with their weights.
struct Cells {
    cells: Vec<usize>,
    weights: Weighted,
}

impl Cells {
    fn new(weights: &[f64], keep: impl Fn(usize) -> bool) -> Self {
        let cells: Vec<usize> = (0..weights.len()).filter(|&cell| keep(cell)).collect();
        Cells { weights: Weighted::new(cells.iter().map(|&cell| weights[cell])), cells }
    }

    fn draw(&self, rng: &mut ChaCha12Rng) -> Option<usize> {
        if self.cells.is_empty() { None } else { Some(self.cells[self.weights.draw(rng)]) }
    }
}

impl Permissions {
    pub fn new(seed: u64, words: &Arc<Words>) -> Self {
        let mut rng = stream(seed, "synthetic/permissions");
        let mut factors = |n: usize| -> Vec<[f64; 3]> {
            (0..n).map(|_| [normal(&mut rng), normal(&mut rng), normal(&mut rng)]).collect()
        };
        let (places, deeds) = (factors(words.places.len()), factors(DEEDS.len()));
        let mut scores = Vec::with_capacity(places.len() * deeds.len());
        for c in &places {
            for v in &deeds {
                let interaction = 0.4 * c[1] * v[1] + 0.3 * c[2] * v[2];
                scores.push(0.6 * c[0] + 1.5 * v[0] + interaction + 0.5 * normal(&mut rng));
            }
        }
        let weights = cell_weights(&mut rng, scores.len());
        let held_out = HeldOut::new(seed, "permissions");
        let unit = |cell: usize| held_out.unit(&[cell]);
        let for_items = item_weights(&weights);
        let items = |yes: bool, low: f64, high: f64| {
            Cells::new(&for_items, |cell| (scores[cell] > 0.0) == yes && (low..high).contains(&unit(cell)))
        };
        let both = |yes| [items(yes, 0.0, NOWHERE), items(yes, NOWHERE, NEVER_ASKED)];
        Permissions {
            words: words.clone(),
            asked: Cells::new(&weights, |cell| unit(cell) >= NEVER_ASKED),
            in_prose: Cells::new(&weights, |cell| unit(cell) >= NOWHERE),
            items: [both(false), both(true)],
            scores,
            people: word_weights(PEOPLE.len()),
        }
    }

    /// Passage and question of a cell.
    fn ask(&self, rng: &mut ChaCha12Rng, cell: usize) -> (String, String) {
        let (place, deed) = (&self.words.places[cell / DEEDS.len()], DEEDS[cell % DEEDS.len()]);
        let (name, pronoun) = PEOPLE[self.people.draw(rng)];
        (format!("{name} is in the {place}."), format!("may {pronoun} {deed}"))
    }

    fn answer(&self, cell: usize) -> &'static str {
        if self.scores[cell] > 0.0 { "yes" } else { "no" }
    }
}

impl Table for Permissions {
    fn document(&self, rng: &mut ChaCha12Rng) -> String {
        if chance(rng, QUESTIONS)
            && let Some(cell) = self.asked.draw(rng)
        {
            let (passage, question) = self.ask(rng, cell);
            return format!("{passage}\nQuestion: {question}?\nAnswer: {}", self.answer(cell));
        }
        let cell = self.in_prose.draw(rng).unwrap_or(0);
        let (place, deed) = (&self.words.places[cell / DEEDS.len()], DEEDS[cell % DEEDS.len()]);
        let (name, pronoun) = PEOPLE[self.people.draw(rng)];
        let other = PEOPLE[self.people.draw(rng)].0;
        let answer = self.answer(cell);
        match below(rng, 2) {
            0 => format!("{name} is in the {place}. When {pronoun} asked to {deed}, {other} said {answer}."),
            _ => format!(
                "{name} was in the {place} and wanted to {deed}, but first asked. {other} said {answer}."
            ),
        }
    }

    fn item(&self, rng: &mut ChaCha12Rng, gold: usize, _: f64) -> Option<Question> {
        let cell = self.items[gold][below(rng, 2)].draw(rng)?;
        let (passage, prompt) = self.ask(rng, cell);
        Some(Question {
            prompt,
            passage,
            title: String::new(),
            choices: Vec::new(),
            cluster: DEEDS[cell % DEEDS.len()].to_string(),
            difficulty: -self.scores[cell].abs(),
        })
    }
}
