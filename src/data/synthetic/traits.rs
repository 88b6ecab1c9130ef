//! Traits that follow from the kind, asked by items of the form of ARC-Challenge: to be inferred, not memorised.
//!
//! ```text
//! rule      (kind, trait) → one of the trait's 16 values; 5 % of the (entity, trait) pairs have a value of their own
//! text      documents about one entity: its kind (20 %), statements, questions with answers (40 % of the rest)
//! held out  25 % of the (entity, trait) pairs are nowhere: neither stated nor asked
//! item      the question of such a pair that is no exception; the other choices are values of the same trait
//! ```
//! Difficulty: how rarely the text tells the rule of the kind.
use super::held_out::HeldOut;
use super::question::{Askable, Question, rarity};
use super::size::{ENTITIES_PER_KIND, num_kinds};
use super::weights::{
    Weighted, below, cell_weights, chance, item_weights, sample, shuffled_zipf, word_weights,
};
use super::words::{NUM_VALUES, PEOPLE, TRAIT_VALUES, TRAITS, Words};
use super::{SyntheticSize, Table, join};
use crate::base::random::stream;
use rand_chacha::ChaCha12Rng;
use std::sync::Arc;

const EXCEPTIONS: f64 = 0.05;
const NOWHERE: f64 = 0.25;
/// Share of documents that begin with the kind of the entity.
const MEMBERSHIP: f64 = 0.2;
/// Share of questions among the others.
const QUESTIONS: f64 = 0.4;
const WORDINGS: usize = 2;
/// Statements of a document with any.
const STATEMENTS: std::ops::RangeInclusive<usize> = 2..=3;

pub(super) struct Traits {
    words: Arc<Words>,
    forms: usize,
    /// Value of each (entity, trait) pair; pair = entity · 4 + trait.
    values: Vec<usize>,
    entities: Weighted,
    /// Traits of each entity that are told.
    told: Vec<(Vec<usize>, Weighted)>,
    askable: Vec<Askable>,
    traits: Weighted,
    people: Weighted,
    /// Tellings of the rule of each (kind, trait) in a document of this table, on average.
    tellings: Vec<f64>,
}

impl Traits {
    pub fn new(seed: u64, size: SyntheticSize, words: &Arc<Words>) -> Self {
        let mut rng = stream(seed, "synthetic/traits");
        let (kinds, traits) = (num_kinds(size), TRAITS.len());
        let by_weight = word_weights(NUM_VALUES);
        let rules: Vec<usize> = (0..kinds * traits).map(|_| by_weight.draw(&mut rng)).collect();
        let held_out = HeldOut::new(seed, "traits");
        let rule_of = |pair: usize| pair / traits / ENTITIES_PER_KIND * traits + pair % traits;
        let mut values = Vec::with_capacity(size.entities * traits);
        let mut is_exception = Vec::with_capacity(size.entities * traits);
        for pair in 0..size.entities * traits {
            let exception = chance(&mut rng, EXCEPTIONS);
            let own = below(&mut rng, NUM_VALUES);
            values.push(if exception { own } else { rules[rule_of(pair)] });
            is_exception.push(exception && own != rules[rule_of(pair)]);
        }
        let rule_weights = cell_weights(&mut rng, kinds * traits);
        let entities = Weighted::new(shuffled_zipf(&mut rng, size.entities, 3.0, 0.7));
        let nowhere = |pair: usize| held_out.holds(NOWHERE, &[pair]);
        let told = |entity: usize| {
            let mut pairs: Vec<usize> =
                (entity * traits..(entity + 1) * traits).filter(|&pair| !nowhere(pair)).collect();
            if pairs.is_empty() {
                // Something is told of everything; such a pair is then not asked.
                pairs = sample(&mut rng, entity * traits..(entity + 1) * traits, 1);
            }
            let weights = Weighted::new(pairs.iter().map(|&pair| rule_weights[rule_of(pair)]));
            (pairs, weights)
        };
        let told: Vec<(Vec<usize>, Weighted)> = (0..size.entities).map(told).collect();
        let mut tellings = vec![0.0; kinds * traits];
        let per_document = MEMBERSHIP + (1.0 - MEMBERSHIP) * (QUESTIONS + (1.0 - QUESTIONS) * 2.5);
        for (entity, (pairs, weights)) in told.iter().enumerate() {
            for (place, &pair) in pairs.iter().enumerate() {
                tellings[rule_of(pair)] += per_document * entities.share(entity) * weights.share(place);
            }
        }
        let for_items = item_weights(&tellings);
        let of_trait = |which: usize| {
            let pairs = (which..values.len()).step_by(traits);
            let held = pairs.filter(|&pair| {
                !told[pair / traits].0.contains(&pair) && !is_exception[pair] && tellings[rule_of(pair)] > 0.0
            });
            Askable::new(NUM_VALUES, held.map(|pair| (pair, values[pair], for_items[rule_of(pair)])))
        };
        let askable: Vec<Askable> = (0..traits).map(of_trait).collect();
        Traits {
            words: words.clone(),
            forms: size.forms,
            traits: Weighted::new(askable.iter().map(Askable::total)),
            askable,
            values,
            entities,
            told,
            people: word_weights(PEOPLE.len()),
            tellings,
        }
    }

    fn statement(&self, rng: &mut ChaCha12Rng, pair: usize) -> String {
        let entity = &self.words.entities[pair / TRAITS.len()];
        let third = TRAITS[pair % TRAITS.len()].third;
        let value = TRAIT_VALUES[pair % TRAITS.len()][self.values[pair]];
        let person = PEOPLE[self.people.draw(rng)].0;
        match below(rng, self.forms) {
            0 => format!("The {entity} {third} {value}."),
            1 => format!("{person} says the {entity} {third} {value}."),
            2 => format!("{person} knows the {entity} {third} {value}."),
            3 => format!("Every {entity} {third} {value}."),
            4 => format!("To {person} the {entity} {third} {value}."),
            5 => format!("The {entity} often {third} {value}."),
            6 => format!("The {entity} really {third} {value}."),
            _ => format!("{person} has the {entity} that {third} {value}."),
        }
    }

    fn question(&self, pair: usize, wording: usize) -> String {
        let entity = &self.words.entities[pair / TRAITS.len()];
        let verb = TRAITS[pair % TRAITS.len()];
        match wording {
            0 => format!("What does the {entity} {}?", verb.base),
            _ => format!("Who knows what the {entity} {}?", verb.third),
        }
    }

    fn answer(&self, pair: usize, value: usize) -> String {
        let entity = &self.words.entities[pair / TRAITS.len()];
        let of = pair % TRAITS.len();
        format!("The {entity} {} {}.", TRAITS[of].third, TRAIT_VALUES[of][value])
    }
}

impl Table for Traits {
    fn document(&self, rng: &mut ChaCha12Rng) -> String {
        let entity = self.entities.draw(rng);
        let (pairs, weights) = &self.told[entity];
        if chance(rng, MEMBERSHIP) {
            let kind = &self.words.kinds[entity / ENTITIES_PER_KIND];
            let pair = pairs[weights.draw(rng)];
            let name = &self.words.entities[entity];
            return format!("The {name} is one of the {kind}. {}", self.statement(rng, pair));
        }
        if chance(rng, QUESTIONS) {
            let pair = pairs[weights.draw(rng)];
            let question = self.question(pair, below(rng, WORDINGS));
            return format!("Question: {question}\nAnswer: {}", self.answer(pair, self.values[pair]));
        }
        let count = STATEMENTS.start() + below(rng, STATEMENTS.end() - STATEMENTS.start() + 1);
        let told = |_| {
            let pair = pairs[weights.draw(rng)];
            self.statement(rng, pair)
        };
        join(&(0..count).map(told).collect::<Vec<_>>())
    }

    fn item(&self, rng: &mut ChaCha12Rng, gold: usize, share: f64) -> Option<Question> {
        let which = self.traits.draw(rng);
        let (pair, values) = self.askable[which].draw(rng, gold)?;
        let kind = pair / TRAITS.len() / ENTITIES_PER_KIND;
        Some(Question {
            prompt: self.question(pair, below(rng, WORDINGS)),
            passage: String::new(),
            title: String::new(),
            choices: values.into_iter().map(|value| self.answer(pair, value)).collect(),
            cluster: format!("{}:{}", self.words.kinds[kind], TRAITS[which].base),
            difficulty: rarity(share * self.tellings[kind * TRAITS.len() + which]),
        })
    }
}
