//! Attributes of entities, asked by items of the form of ARC-Easy: independent facts, to be memorised.
//!
//! ```text
//! fact      (entity, attribute) → one of the attribute's 16 values, drawn by their frequencies
//! text      documents about one entity: two to four statements, or a question with its answer
//! held out  70 % of the facts are never asked in the text: it states them, in the form of the answer too
//! item      the question of such a fact; the other choices are values of the same attribute
//! ```
//! The value stands one or two words behind its entity. Difficulty: how rarely the text tells the fact.
use super::held_out::HeldOut;
use super::question::{Askable, Question, rarity};
use super::weights::{Weighted, below, cell_weights, chance, item_weights, word_weights};
use super::words::{ATTRIBUTES, NUM_VALUES, PEOPLE, Words};
use super::{SyntheticSize, Table, join};
use crate::base::random::stream;
use rand_chacha::ChaCha12Rng;
use std::sync::Arc;

/// Share of documents with a question.
const QUESTIONS: f64 = 0.3;
/// Share of facts that are never asked in the text.
const NEVER_ASKED: f64 = 0.7;
/// Wordings of the question.
const WORDINGS: usize = 2;

pub(super) struct Attributes {
    words: Arc<Words>,
    size: SyntheticSize,
    /// Value of each fact; fact = entity · facts + attribute.
    values: Vec<usize>,
    facts: Weighted,
    /// Facts of each entity.
    of_entity: Vec<Weighted>,
    held_out: HeldOut,
    askable: Vec<Askable>,
    attributes: Weighted,
    people: Weighted,
}

impl Attributes {
    pub fn new(seed: u64, size: SyntheticSize, words: &Arc<Words>) -> Self {
        let mut rng = stream(seed, "synthetic/attributes");
        let n = size.entities * size.facts;
        let values_by_weight = word_weights(NUM_VALUES);
        let values: Vec<usize> = (0..n).map(|_| values_by_weight.draw(&mut rng)).collect();
        let weights = cell_weights(&mut rng, n);
        let held_out = HeldOut::new(seed, "attributes");
        let for_items = item_weights(&weights);
        let of_attribute = |attribute| {
            let facts = (attribute..n).step_by(size.facts);
            let never_asked = facts.filter(|&fact| held_out.holds(NEVER_ASKED, &[fact]));
            Askable::new(NUM_VALUES, never_asked.map(|fact| (fact, values[fact], for_items[fact])))
        };
        let askable: Vec<Askable> = (0..size.facts).map(of_attribute).collect();
        Attributes {
            words: words.clone(),
            size,
            facts: Weighted::new(weights.iter().copied()),
            of_entity: weights.chunks(size.facts).map(|chunk| Weighted::new(chunk.iter().copied())).collect(),
            attributes: Weighted::new(askable.iter().map(Askable::total)),
            askable,
            values,
            held_out,
            people: word_weights(PEOPLE.len()),
        }
    }

    fn is_asked(&self, fact: usize) -> bool {
        !self.held_out.holds(NEVER_ASKED, &[fact])
    }

    /// Entity, verb in both forms, and value.
    fn parts(&self, fact: usize) -> (&str, &str, &str, &str) {
        let (entity, attribute) = (fact / self.size.facts, fact % self.size.facts);
        let verb = ATTRIBUTES[attribute];
        let value = &self.words.adjectives[attribute][self.values[fact]];
        (&self.words.entities[entity], verb.base, verb.third, value)
    }

    fn statement(&self, rng: &mut ChaCha12Rng, fact: usize) -> String {
        let (entity, _, third, value) = self.parts(fact);
        let person = PEOPLE[self.people.draw(rng)].0;
        match below(rng, self.size.forms) {
            0 => format!("The {entity} {third} {value}."),
            1 => format!("{person} says the {entity} {third} {value}."),
            2 => format!("{person} has the {entity} that {third} {value}."),
            3 => format!("What {third} {value} is the {entity}."),
            4 => format!("To {person} the {entity} {third} {value}."),
            5 => format!("{person} knows how {value} the {entity} {third}."),
            6 => format!("Today the {entity} {third} {value}."),
            _ => format!("{person} finds that the {entity} now {third} {value}."),
        }
    }

    fn question(&self, fact: usize, wording: usize) -> String {
        let (entity, base, third, _) = self.parts(fact);
        match wording {
            0 => format!("How does the {entity} {base}?"),
            _ => format!("Who knows how the {entity} {third}?"),
        }
    }

    fn answer(&self, fact: usize, value: usize) -> String {
        let (entity, _, third, _) = self.parts(fact);
        let value = &self.words.adjectives[fact % self.size.facts][value];
        format!("The {entity} {third} {value}.")
    }

    /// Tellings of the fact in a document of this table, on average: each of its statements, or its question, is about
    /// the fact in proportion to its weight.
    fn tellings(&self, fact: usize) -> f64 {
        let statements = (1.0 - QUESTIONS) * 3.0;
        self.facts.share(fact) * statements
    }
}

impl Table for Attributes {
    fn document(&self, rng: &mut ChaCha12Rng) -> String {
        let first = self.facts.draw(rng);
        let entity = first / self.size.facts;
        let another = |rng: &mut ChaCha12Rng| entity * self.size.facts + self.of_entity[entity].draw(rng);
        if chance(rng, QUESTIONS) && self.is_asked(first) {
            let question = self.question(first, below(rng, WORDINGS));
            let asked = format!("Question: {question}\nAnswer: {}", self.answer(first, self.values[first]));
            // Half of them stand alone, as items do.
            return match chance(rng, 0.5) {
                true => asked,
                false => {
                    let fact = another(rng);
                    format!("{asked} {}", self.statement(rng, fact))
                }
            };
        }
        let mut sentences = vec![self.statement(rng, first)];
        for _ in 0..1 + below(rng, 3) {
            let fact = another(rng);
            sentences.push(self.statement(rng, fact));
        }
        join(&sentences)
    }

    fn item(&self, rng: &mut ChaCha12Rng, gold: usize, share: f64) -> Option<Question> {
        let attribute = self.attributes.draw(rng);
        let (fact, values) = self.askable[attribute].draw(rng, gold)?;
        let (entity, base, ..) = self.parts(fact);
        Some(Question {
            prompt: self.question(fact, below(rng, WORDINGS)),
            passage: String::new(),
            title: String::new(),
            choices: values.into_iter().map(|value| self.answer(fact, value)).collect(),
            cluster: format!("{entity}:{base}"),
            difficulty: rarity(share * self.tellings(fact)),
        })
    }
}
