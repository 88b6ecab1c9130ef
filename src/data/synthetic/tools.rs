//! Tools, asked by items of the form of OpenBookQA: which tool is used depends on the work and on the kind of the thing.
//!
//! ```text
//! rule      (work, kind) → one of the five tools for this work; each tool serves about as many kinds as another
//! text      documents about one entity, two or three sentences: "Ben cut the onion with the knife."
//! held out  20 % of the (work, entity) pairs are nowhere; of the others, 30 % of the stems ("cut the onion with the")
//! item      such a stem, half of either; the choices are four of the tools for this work
//! ```
//! The key stands at most three words before the tool. Difficulty: how rarely the text tells the rule.
use super::held_out::HeldOut;
use super::question::{Askable, Question, rarity};
use super::size::{ENTITIES_PER_KIND, num_kinds};
use super::weights::{Weighted, below, cell_weights, item_weights, sample, shuffled_zipf, word_weights};
use super::words::{PEOPLE, WORK, Words};
use super::{SyntheticSize, Table, join};
use crate::base::random::stream;
use rand_chacha::ChaCha12Rng;
use std::sync::Arc;

const NOWHERE: f64 = 0.2;
const STEM_HELD_OUT: f64 = 0.3;
const TOOLS: usize = 5;

/// What stands between the thing and its tool, as many as `forms` can be.
const LINKS: [&str; 8] = [
    "with the",
    "using the",
    "by the",
    "via the",
    "with only the",
    "and used the",
    "with just the",
    "through the",
];

pub(super) struct Tools {
    words: Arc<Words>,
    forms: usize,
    /// Tool of each (work, kind), as its place among those for this work.
    tools: Vec<usize>,
    entities: Weighted,
    /// Works that are told of each entity.
    told: Vec<(Vec<usize>, Option<Weighted>)>,
    held_out: HeldOut,
    /// By work: stems of pairs that are nowhere, and those of pairs that are told otherwise. Cells are
    /// (work · entities + entity) · forms + form.
    askable: Vec<[Askable; 2]>,
    works: Weighted,
    /// Tellings of each (work, kind) in a document of this table, on average.
    tellings: Vec<f64>,
    people: Weighted,
}

impl Tools {
    pub fn new(seed: u64, size: SyntheticSize, words: &Arc<Words>) -> Self {
        let mut rng = stream(seed, "synthetic/tools");
        let (kinds, entities, forms) = (num_kinds(size), size.entities, size.forms);
        let mut tools = vec![0; WORK.len() * kinds];
        for work in 0..WORK.len() {
            for (place, kind) in sample(&mut rng, 0..kinds, kinds).into_iter().enumerate() {
                tools[work * kinds + kind] = place % TOOLS;
            }
        }
        let rule_weights = cell_weights(&mut rng, WORK.len() * kinds);
        let weights = Weighted::new(shuffled_zipf(&mut rng, entities, 3.0, 0.7));
        let held_out = HeldOut::new(seed, "tools");
        let is_told = |work: usize, entity: usize, form: usize| {
            !held_out.holds(NOWHERE, &[0, work, entity])
                && !held_out.holds(STEM_HELD_OUT, &[1, work, entity, form])
        };
        let pair_is_told = |work, entity| (0..forms).any(|form| is_told(work, entity, form));
        let rule = |work: usize, entity: usize| work * kinds + entity / ENTITIES_PER_KIND;
        let told = |entity: usize| {
            let works: Vec<usize> = (0..WORK.len()).filter(|&work| pair_is_told(work, entity)).collect();
            let weights = Weighted::new(works.iter().map(|&work| rule_weights[rule(work, entity)]));
            let weights = if works.is_empty() { None } else { Some(weights) };
            (works, weights)
        };
        let told: Vec<(Vec<usize>, Option<Weighted>)> = (0..entities).map(told).collect();
        let mut tellings = vec![0.0; WORK.len() * kinds];
        for (entity, (works, of_works)) in told.iter().enumerate() {
            for (place, &work) in works.iter().enumerate() {
                let share = of_works.as_ref().map_or(0.0, |of_works| of_works.share(place));
                tellings[rule(work, entity)] += 2.5 * weights.share(entity) * share;
            }
        }
        let for_items = item_weights(&tellings);
        let of_work = |work: usize| {
            let cells = |of_told_pair: bool| {
                let stems = (0..entities).flat_map(move |e| (0..forms).map(move |form| (e, form)));
                let held = stems.filter(|&(entity, form)| {
                    tellings[rule(work, entity)] > 0.0
                        && pair_is_told(work, entity) == of_told_pair
                        && !is_told(work, entity, form)
                });
                let cell = |(entity, form)| {
                    let rule = rule(work, entity);
                    ((work * entities + entity) * forms + form, tools[rule], for_items[rule])
                };
                Askable::new(TOOLS, held.map(cell))
            };
            [cells(false), cells(true)]
        };
        let askable: Vec<[Askable; 2]> = (0..WORK.len()).map(of_work).collect();
        Tools {
            words: words.clone(),
            forms,
            works: Weighted::new(askable.iter().map(|both| both[0].total() + both[1].total())),
            askable,
            entities: weights,
            told,
            held_out,
            tellings,
            tools,
            people: word_weights(PEOPLE.len()),
        }
    }

    fn is_told(&self, work: usize, entity: usize, form: usize) -> bool {
        !self.held_out.holds(NOWHERE, &[0, work, entity])
            && !self.held_out.holds(STEM_HELD_OUT, &[1, work, entity, form])
    }

    fn stem(&self, rng: &mut ChaCha12Rng, work: usize, entity: usize, form: usize) -> String {
        let person = PEOPLE[self.people.draw(rng)].0;
        format!("{person} {} the {} {}", WORK[work].0, self.words.entities[entity], LINKS[form])
    }

    fn rule(&self, work: usize, entity: usize) -> usize {
        work * self.words.kinds.len() + entity / ENTITIES_PER_KIND
    }
}

impl Table for Tools {
    fn document(&self, rng: &mut ChaCha12Rng) -> String {
        let (entity, works, weights) = loop {
            let entity = self.entities.draw(rng);
            if let (works, Some(weights)) = &self.told[entity] {
                break (entity, works, weights);
            }
        };
        let count = 2 + below(rng, 2);
        let sentence = |_| {
            let work = works[weights.draw(rng)];
            let told: Vec<usize> = (0..self.forms).filter(|&form| self.is_told(work, entity, form)).collect();
            let form = told[below(rng, told.len())];
            let tool = WORK[work].1[self.tools[self.rule(work, entity)]];
            format!("{} {tool}.", self.stem(rng, work, entity, form))
        };
        join(&(0..count).map(sentence).collect::<Vec<_>>())
    }

    fn item(&self, rng: &mut ChaCha12Rng, gold: usize, share: f64) -> Option<Question> {
        let work = self.works.draw(rng);
        let (cell, tools) = self.askable[work][below(rng, 2)].draw(rng, gold)?;
        let (form, entity) = (cell % self.forms, cell / self.forms % self.words.entities.len());
        let rule = self.rule(work, entity);
        Some(Question {
            prompt: self.stem(rng, work, entity, form),
            passage: String::new(),
            title: String::new(),
            choices: tools.into_iter().map(|tool| WORK[work].1[tool].to_string()).collect(),
            cluster: format!("{}:{}", WORK[work].0, self.words.kinds[entity / ENTITIES_PER_KIND]),
            difficulty: rarity(share * self.tellings[rule]),
        })
    }
}
