//! Habits of entities, asked by items of the form of WinoGrande: which of two entities does it.
//!
//! ```text
//! fact      an entity has 6 of 48 habits, 3 of them from the 6 of its kind
//! text      one entity with two or three of its habits, or two entities and which of them has a habit
//! held out  30 % of the pairs of entities never stand in one document of this table
//! item      such a pair and a habit that one of them has; in 40 % both are of one kind
//! ```
//! The pair is drawn first, and then which of the two the sentence is about: no entity is more often right than another.
//! Difficulty: how rarely the text tells the habit of the entity.
use super::held_out::HeldOut;
use super::question::{Question, rarity};
use super::size::ENTITIES_PER_KIND;
use super::weights::{Weighted, below, cell_weights, chance, item_weights, sample, word_weights};
use super::words::{HABITS, PEOPLE, Words};
use super::{SyntheticSize, Table, join};
use crate::base::random::stream;
use rand_chacha::ChaCha12Rng;
use std::sync::Arc;

const HELD_OUT: f64 = 0.3;
/// Share of documents about two entities.
const PAIRS: f64 = 0.5;
const SAME_KIND: f64 = 0.4;
const OF_ENTITY: usize = 6;
const OF_KIND: usize = 3;
const POOL: usize = 6;

/// What people do with two entities, as many as `forms` can be.
const MEETINGS: [&str; 8] = ["met", "saw", "has", "knows", "found", "painted", "chose", "bought"];

pub(super) struct Habits {
    words: Arc<Words>,
    forms: usize,
    /// Habits of each entity; the cell of entity e's i-th habit is 6·e + i.
    habits: Vec<[usize; OF_ENTITY]>,
    in_text: Draws,
    in_items: Draws,
    held_out: HeldOut,
    people: Weighted,
}

/// Weights of cells, of entities, and of the entities of a kind.
struct Draws {
    cells: Weighted,
    of_entity: Vec<Weighted>,
    entities: Weighted,
    of_kind: Vec<Weighted>,
}

impl Draws {
    fn new(weights: &[f64]) -> Self {
        let entities: Vec<f64> = weights.chunks(OF_ENTITY).map(|cells| cells.iter().sum()).collect();
        let each = |list: &[f64], size| {
            list.chunks(size).map(|part| Weighted::new(part.iter().copied())).collect::<Vec<_>>()
        };
        Draws {
            cells: Weighted::new(weights.iter().copied()),
            of_entity: each(weights, OF_ENTITY),
            of_kind: each(&entities, ENTITIES_PER_KIND),
            entities: Weighted::new(entities),
        }
    }

    /// An entity to stand beside `entity`; in [`SAME_KIND`] one of its kind.
    fn rival(&self, rng: &mut ChaCha12Rng, entity: usize) -> usize {
        let kind = entity / ENTITIES_PER_KIND;
        match chance(rng, SAME_KIND) {
            true => kind * ENTITIES_PER_KIND + self.of_kind[kind].draw(rng),
            false => self.entities.draw(rng),
        }
    }
}

impl Habits {
    pub fn new(seed: u64, size: SyntheticSize, words: &Arc<Words>) -> Self {
        let mut rng = stream(seed, "synthetic/habits");
        let pools: Vec<Vec<usize>> =
            words.kinds.iter().map(|_| sample(&mut rng, 0..HABITS.len(), POOL)).collect();
        let habits = (0..size.entities)
            .map(|entity| {
                let pool = &pools[entity / ENTITIES_PER_KIND];
                let mut own = sample(&mut rng, pool.iter().copied(), OF_KIND);
                let others = (0..HABITS.len()).filter(|habit| !pool.contains(habit));
                own.extend(sample(&mut rng, others, OF_ENTITY - OF_KIND));
                std::array::from_fn(|place| own[place])
            })
            .collect();
        let weights = cell_weights(&mut rng, size.entities * OF_ENTITY);
        Habits {
            words: words.clone(),
            forms: size.forms,
            habits,
            in_items: Draws::new(&item_weights(&weights)),
            in_text: Draws::new(&weights),
            held_out: HeldOut::new(seed, "habits"),
            people: word_weights(PEOPLE.len()),
        }
    }

    fn is_held_out(&self, a: usize, b: usize) -> bool {
        self.held_out.holds(HELD_OUT, &[a.min(b), a.max(b)])
    }

    /// Two entities in this order, and who of them does what.
    fn pair(
        &self,
        rng: &mut ChaCha12Rng,
        first: usize,
        second: usize,
        subject: &str,
        habit: usize,
    ) -> String {
        let person = PEOPLE[self.people.draw(rng)].0;
        let meeting = MEETINGS[below(rng, self.forms)];
        let (first, second) = (&self.words.entities[first], &self.words.entities[second]);
        format!("{person} {meeting} the {first} and the {second}, and the {subject} {}.", HABITS[habit])
    }

    fn alone(&self, entity: usize, habit: usize) -> String {
        format!("The {} {}.", self.words.entities[entity], HABITS[habit])
    }
}

impl Table for Habits {
    fn document(&self, rng: &mut ChaCha12Rng) -> String {
        let cell = self.in_text.cells.draw(rng);
        let (entity, habit) = (cell / OF_ENTITY, self.habits[cell / OF_ENTITY][cell % OF_ENTITY]);
        let another = |rng: &mut ChaCha12Rng| {
            let place = self.in_text.of_entity[entity].draw(rng);
            self.alone(entity, self.habits[entity][place])
        };
        if chance(rng, PAIRS) {
            let rival = (0..100).map(|_| self.in_text.rival(rng, entity)).find(|&rival| {
                rival != entity && !self.is_held_out(entity, rival) && !self.habits[rival].contains(&habit)
            });
            if let Some(rival) = rival {
                let (first, second) = if chance(rng, 0.5) { (entity, rival) } else { (rival, entity) };
                let sentence = self.pair(rng, first, second, &self.words.entities[entity], habit);
                return match chance(rng, 0.5) {
                    true => sentence,
                    false => format!("{sentence} {}", another(rng)),
                };
            }
        }
        let mut sentences = vec![self.alone(entity, habit)];
        for _ in 0..1 + below(rng, 2) {
            sentences.push(another(rng));
        }
        join(&sentences)
    }

    fn item(&self, rng: &mut ChaCha12Rng, gold: usize, share: f64) -> Option<Question> {
        let a = self.in_items.entities.draw(rng);
        let b = self.in_items.rival(rng, a);
        if a == b || !self.is_held_out(a, b) {
            return None;
        }
        let (subject, other) = if chance(rng, 0.5) { (a, b) } else { (b, a) };
        let place = self.in_items.of_entity[subject].draw(rng);
        let habit = self.habits[subject][place];
        if self.habits[other].contains(&habit) {
            return None;
        }
        let (first, second) = if gold == 0 { (subject, other) } else { (other, subject) };
        let name = |entity: usize| self.words.entities[entity].clone();
        // A document of this table tells two cells on average, one of a pair and half another, or two and a half.
        let tellings = 2.0 * self.in_text.cells.share(subject * OF_ENTITY + place);
        Some(Question {
            prompt: self.pair(rng, first, second, "_", habit),
            passage: String::new(),
            title: String::new(),
            choices: vec![name(first), name(second)],
            cluster: name(subject),
            difficulty: rarity(share * tellings),
        })
    }
}
