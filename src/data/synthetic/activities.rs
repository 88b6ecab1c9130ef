//! Activities, asked by items of the form of HellaSwag: which step goes on in the same activity.
//!
//! ```text
//! activity  6 of 40 steps, 10 entities (6 of one kind), 4 places, each with its frequencies
//! text      an activity's name and two or three steps of it: "Baking: Ben lifts the cup in the hall. He …"
//! held out  30 % of all (step, entity, place) triples; all endings and all steps of an item's context are such triples
//! item      four endings that differ in one, two or three slots, each with words of an activity that the others have not;
//!           the item is about the activity of one of them, which also has the words of the other slots
//! ```
//! The four activities are drawn before it is decided which one the item is about, so the words in which the endings differ
//! tell nothing. Difficulty: slots that all endings share, 2, 1 or 0.
use super::held_out::HeldOut;
use super::question::Question;
use super::size::ENTITIES_PER_KIND;
use super::weights::{Weighted, below, cell_weights, sample, word_weights};
use super::words::{PEOPLE, STEPS, Words};
use super::{SyntheticSize, Table};
use crate::base::random::stream;
use rand_chacha::ChaCha12Rng;
use std::sync::Arc;

const HELD_OUT: f64 = 0.3;
const SLOTS: usize = 3;
/// Draws after which a triple that must be held out, or must not be, is given up.
const ATTEMPTS: usize = 200;

/// Step, entity and place.
type Triple = [usize; SLOTS];

pub(super) struct Activities {
    words: Arc<Words>,
    /// Words of each slot of each activity, the most frequent first.
    pools: Vec<[Vec<usize>; SLOTS]>,
    by_frequency: [Weighted; SLOTS],
    activities: Weighted,
    held_out: HeldOut,
    people: Weighted,
}

impl Activities {
    pub fn new(seed: u64, size: SyntheticSize, words: &Arc<Words>) -> Self {
        let mut rng = stream(seed, "synthetic/activities");
        let kinds = words.kinds.len();
        let pools: Vec<[Vec<usize>; SLOTS]> = (0..words.activities.len())
            .map(|_| {
                let steps = sample(&mut rng, 0..STEPS.len(), 6);
                let kind = below(&mut rng, kinds) * ENTITIES_PER_KIND;
                let mut entities = sample(&mut rng, kind..kind + ENTITIES_PER_KIND, 6);
                let others = (0..size.entities).filter(|e| !(kind..kind + ENTITIES_PER_KIND).contains(e));
                entities.extend(sample(&mut rng, others, 4));
                let entities = sample(&mut rng, entities, 10);
                [steps, entities, sample(&mut rng, 0..words.places.len(), 4)]
            })
            .collect();
        Activities {
            words: words.clone(),
            activities: Weighted::new(cell_weights(&mut rng, pools.len())),
            by_frequency: [6, 10, 4].map(word_weights),
            pools,
            held_out: HeldOut::new(seed, "activities"),
            people: word_weights(PEOPLE.len()),
        }
    }

    fn is_held_out(&self, triple: Triple) -> bool {
        self.held_out.holds(HELD_OUT, &triple)
    }

    fn word(&self, rng: &mut ChaCha12Rng, activity: usize, slot: usize) -> usize {
        self.pools[activity][slot][self.by_frequency[slot].draw(rng)]
    }

    /// A triple of the activity that is held out, or is not.
    fn triple(&self, rng: &mut ChaCha12Rng, activity: usize, held_out: bool) -> Option<Triple> {
        (0..ATTEMPTS).find_map(|_| {
            let triple = [0, 1, 2].map(|slot| self.word(rng, activity, slot));
            (self.is_held_out(triple) == held_out).then_some(triple)
        })
    }

    /// `shared` with words of `activity` in `slots` that none of the `others` has: a triple that is held out.
    fn ending(
        &self,
        rng: &mut ChaCha12Rng,
        shared: Triple,
        slots: &[usize],
        activity: usize,
        others: &[usize],
    ) -> Option<Triple> {
        (0..ATTEMPTS).find_map(|_| {
            let mut triple = shared;
            for &slot in slots {
                triple[slot] = self.word(rng, activity, slot);
            }
            let is_own = |&slot: &usize| {
                let has = |other: &usize| self.pools[*other][slot].contains(&triple[slot]);
                others.iter().filter(|&other| *other != activity).all(|other| !has(other))
            };
            (slots.iter().all(is_own) && self.is_held_out(triple)).then_some(triple)
        })
    }

    fn phrase(&self, [step, entity, place]: Triple) -> String {
        format!("{} the {} in the {}.", STEPS[step], self.words.entities[entity], self.words.places[place])
    }
}

impl Table for Activities {
    fn document(&self, rng: &mut ChaCha12Rng) -> String {
        let activity = self.activities.draw(rng);
        let (name, pronoun) = PEOPLE[self.people.draw(rng)];
        let subject = if pronoun == "she" { "She" } else { "He" };
        let mut text = format!("{}:", self.words.activities[activity]);
        for place in 0..2 + below(rng, 2) {
            // Held out are 30 % of the triples: 200 draws in a row are never all of them.
            let Some(triple) = self.triple(rng, activity, false) else { continue };
            let subject = if place == 0 { name } else { subject };
            text.push_str(&format!(" {subject} {}", self.phrase(triple)));
        }
        text
    }

    fn item(&self, rng: &mut ChaCha12Rng, gold: usize, _: f64) -> Option<Question> {
        let drawn = self.activities.draw_distinct(rng, 4)?;
        let activity = drawn[gold];
        let (name, pronoun) = PEOPLE[self.people.draw(rng)];
        let num_wrong = 1 + below(rng, SLOTS);
        let slots = sample(rng, 0..SLOTS, num_wrong);
        let shared = [0, 1, 2].map(|slot| self.word(rng, activity, slot));
        let mut endings: Vec<Triple> = Vec::new();
        for &of in &drawn {
            endings.push(self.ending(rng, shared, &slots, of, &drawn)?);
        }
        let before = self.triple(rng, activity, true).filter(|triple| *triple != endings[gold])?;
        Some(Question {
            prompt: pronoun.to_string(),
            passage: format!("{name} {}", self.phrase(before)),
            title: self.words.activities[activity].clone(),
            choices: endings.into_iter().map(|triple| self.phrase(triple)).collect(),
            cluster: self.words.activities[activity].clone(),
            difficulty: (SLOTS - num_wrong) as f64,
        })
    }
}
