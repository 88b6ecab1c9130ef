//! Ways to a goal, asked by items of the form of PIQA: which of two solutions reaches it.
//!
//! ```text
//! goal      4 of 24 materials, 4 of 24 manners, 3 of 16 adverbs, each with its frequencies
//! text      "How do you wax the table?" with "To wax it, take some oil and rub it twice.", or prose with the same end
//! held out  20 % of the (goal, entity) pairs, and 30 % of all (material, manner, adverb) triples
//! item      such a pair; both solutions are such triples and differ in one or two slots, where each has words of a goal
//!           that the other's goal has not; the other slots have words of the goal of the item
//! ```
//! Both goals are drawn alike, so the words in which the solutions differ tell nothing. Difficulty: slots that both solutions share, 2 or 1.
use super::held_out::HeldOut;
use super::question::Question;
use super::weights::{Weighted, below, cell_weights, chance, sample, word_weights};
use super::words::{ADVERBS, MANNERS, MATERIALS, PEOPLE, Words};
use super::{SyntheticSize, Table};
use crate::base::random::stream;
use rand_chacha::ChaCha12Rng;
use std::sync::Arc;

const PAIR_HELD_OUT: f64 = 0.2;
const SOLUTION_HELD_OUT: f64 = 0.3;
const QUESTIONS: f64 = 0.8;
const SLOTS: usize = 3;
const ATTEMPTS: usize = 200;
/// Words that each goal has of each slot.
const OF_GOAL: [usize; SLOTS] = [4, 4, 3];

/// Material, manner and adverb.
type Triple = [usize; SLOTS];

pub(super) struct Goals {
    words: Arc<Words>,
    pools: Vec<[Vec<usize>; SLOTS]>,
    by_frequency: [Weighted; SLOTS],
    goals: Weighted,
    entities: Weighted,
    held_out: HeldOut,
    people: Weighted,
}

impl Goals {
    pub fn new(seed: u64, size: SyntheticSize, words: &Arc<Words>) -> Self {
        let mut rng = stream(seed, "synthetic/goals");
        let lists = [MATERIALS.len(), MANNERS.len(), ADVERBS.len()];
        let pools: Vec<[Vec<usize>; SLOTS]> = (0..words.goals.len())
            .map(|_| [0, 1, 2].map(|slot| sample(&mut rng, 0..lists[slot], OF_GOAL[slot])))
            .collect();
        Goals {
            words: words.clone(),
            goals: Weighted::new(cell_weights(&mut rng, pools.len())),
            entities: Weighted::new(cell_weights(&mut rng, size.entities)),
            by_frequency: OF_GOAL.map(word_weights),
            pools,
            held_out: HeldOut::new(seed, "goals"),
            people: word_weights(PEOPLE.len()),
        }
    }

    fn is_held_out(&self, [material, manner, adverb]: Triple) -> bool {
        self.held_out.holds(SOLUTION_HELD_OUT, &[1, material, manner, adverb])
    }

    fn word(&self, rng: &mut ChaCha12Rng, goal: usize, slot: usize) -> usize {
        self.pools[goal][slot][self.by_frequency[slot].draw(rng)]
    }

    /// A solution of the goal that is not held out.
    fn triple(&self, rng: &mut ChaCha12Rng, goal: usize) -> Option<Triple> {
        (0..ATTEMPTS).find_map(|_| {
            let triple = [0, 1, 2].map(|slot| self.word(rng, goal, slot));
            (!self.is_held_out(triple)).then_some(triple)
        })
    }

    /// A goal with an entity, as a pair that is not held out.
    fn pair(&self, rng: &mut ChaCha12Rng) -> Option<(usize, usize)> {
        (0..ATTEMPTS).find_map(|_| {
            let pair = (self.goals.draw(rng), self.entities.draw(rng));
            (!self.held_out.holds(PAIR_HELD_OUT, &[0, pair.0, pair.1])).then_some(pair)
        })
    }

    /// Both triples of `differing`, with the same words of `goal` in the other slots, held out.
    fn completed(
        &self,
        rng: &mut ChaCha12Rng,
        differing: [Triple; 2],
        slots: &[usize],
        goal: usize,
    ) -> Option<[Triple; 2]> {
        (0..ATTEMPTS).find_map(|_| {
            let shared = [0, 1, 2].map(|slot| self.word(rng, goal, slot));
            let whole = |part: Triple| -> Triple {
                [0, 1, 2].map(|slot| if slots.contains(&slot) { part[slot] } else { shared[slot] })
            };
            let both = differing.map(whole);
            both.iter().all(|&triple| self.is_held_out(triple)).then_some(both)
        })
    }

    fn solution(&self, goal: usize, [material, manner, adverb]: Triple) -> String {
        let goal = &self.words.goals[goal];
        let (material, manner, adverb) = (MATERIALS[material], MANNERS[manner], ADVERBS[adverb]);
        format!("To {goal} it, take some {material} and {manner} it {adverb}.")
    }

    fn question(&self, rng: &mut ChaCha12Rng, goal: usize, entity: usize) -> String {
        let (goal, entity) = (&self.words.goals[goal], &self.words.entities[entity]);
        match below(rng, 2) {
            0 => format!("How do you {goal} the {entity}?"),
            _ => format!("What helps to {goal} the {entity}?"),
        }
    }
}

impl Table for Goals {
    fn document(&self, rng: &mut ChaCha12Rng) -> String {
        // Most pairs and most triples are not held out: 200 draws in a row never all are.
        let (goal, entity) = self.pair(rng).unwrap_or_default();
        let solution = self.triple(rng, goal).map_or_else(String::new, |t| self.solution(goal, t));
        if chance(rng, QUESTIONS) {
            return format!("Question: {}\nAnswer: {solution}", self.question(rng, goal, entity));
        }
        let person = PEOPLE[self.people.draw(rng)].0;
        format!(
            "{person} wants to {} the {}. {solution}",
            self.words.goals[goal], self.words.entities[entity]
        )
    }

    fn item(&self, rng: &mut ChaCha12Rng, gold: usize, _: f64) -> Option<Question> {
        let goals = self.goals.draw_distinct(rng, 2)?;
        let num_wrong = 1 + below(rng, SLOTS - 1);
        let slots = sample(rng, 0..SLOTS, num_wrong);
        let differing = [0, 1].map(|side| [0, 1, 2].map(|slot| self.word(rng, goals[side], slot)));
        let is_own = |side: usize| {
            slots.iter().all(|&slot| !self.pools[goals[1 - side]][slot].contains(&differing[side][slot]))
        };
        if !is_own(0) || !is_own(1) {
            return None;
        }
        // Only where either goal could be asked for is one of them, so that neither solution is the likelier one.
        let completed = [
            self.completed(rng, differing, &slots, goals[0])?,
            self.completed(rng, differing, &slots, goals[1])?,
        ];
        let side = below(rng, 2);
        let goal = goals[side];
        let entity = (0..ATTEMPTS)
            .map(|_| self.entities.draw(rng))
            .find(|&entity| self.held_out.holds(PAIR_HELD_OUT, &[0, goal, entity]))?;
        let mut choices = vec![self.solution(goal, completed[side][1 - side])];
        choices.insert(gold, self.solution(goal, completed[side][side]));
        Some(Question {
            prompt: self.question(rng, goal, entity),
            passage: String::new(),
            title: String::new(),
            choices,
            cluster: self.words.goals[goal].clone(),
            difficulty: (SLOTS - num_wrong) as f64,
        })
    }
}
