//! Ways to a goal: verb → way for objects, class of load → way for loads; PIQA-like items.
use super::draft::*;
use super::holdout::{Combination, HoldOut, Rule};
use super::lexicon::*;
use rand_chacha::ChaCha12Rng;

fn object_goal(rng: &mut ChaCha12Rng, verb: &str, object: &str) -> String {
    match below(rng, 3) {
        0 => format!("How do you {verb} the {object}?"),
        1 => format!("How can {} {verb} the {object}?", person(rng).0),
        _ => format!("To {verb} the {object}:"),
    }
}

fn load_goal(rng: &mut ChaCha12Rng, load: &str, destination: &str) -> String {
    match below(rng, 2) {
        0 => format!("How do you take the {load} to the {destination}?"),
        _ => format!("To bring the {load} to the {destination}:"),
    }
}

/// A goal and a way that reaches it, as question and answer or as advice.
pub fn document(rng: &mut ChaCha12Rng) -> Draft {
    let load = below(rng, 5) < 2;
    let (goal, way, advice, combination) = if load {
        let kind = below(rng, LOADS.len());
        let (what, to) = (*pick(rng, &LOADS[kind]), *pick(rng, &DESTINATIONS));
        let goal = load_goal(rng, what, to);
        let combination = Combination::new(Rule::LoadDestination, what, to);
        (goal, *pick(rng, &LOAD_METHODS[kind]), format!("to take the {what} to the {to}"), combination)
    } else {
        let (verb, ways) = pick(rng, &GOALS);
        let object = *pick(rng, &OBJECTS);
        let goal = object_goal(rng, verb, object);
        let combination = Combination::new(Rule::GoalObject, verb, object);
        (goal, *pick(rng, ways), format!("to {verb} the {object}"), combination)
    };
    let (name, pronoun) = person(rng);
    let text = match below(rng, 6) {
        0 => format!("{}, {}", capital(&advice), small(way)),
        1 => format!("{name} wanted {advice}. This is what {pronoun} was told: {way}"),
        _ => format!("Question: {goal}\nAnswer: {way}"),
    };
    Draft { text, combinations: vec![combination] }
}

/// A PIQA-like item: the right way and the way to another goal; each way is right for its own goals.
pub fn item(rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize) -> Option<Question> {
    let (prompt, right, wrong, combination) = if below(rng, 5) < 2 {
        let kind = below(rng, LOADS.len());
        let cases: Vec<Combination> = hold_out
            .of(Rule::LoadDestination)
            .iter()
            .filter(|c| LOADS[kind].contains(&c.first))
            .copied()
            .collect();
        if cases.is_empty() {
            return None;
        }
        let combination = *pick(rng, &cases);
        let prompt = load_goal(rng, combination.first, combination.second);
        (prompt, *pick(rng, &LOAD_METHODS[kind]), *pick(rng, &LOAD_METHODS[1 - kind]), combination)
    } else {
        let pair = distinct(rng, 2, GOALS.len());
        let (verb, ways) = &GOALS[pair[0]];
        let cases: Vec<Combination> =
            hold_out.of(Rule::GoalObject).iter().filter(|c| c.first == *verb).copied().collect();
        if cases.is_empty() {
            return None;
        }
        let combination = *pick(rng, &cases);
        let prompt = object_goal(rng, verb, combination.second);
        (prompt, *pick(rng, ways), *pick(rng, &GOALS[pair[1]].1), combination)
    };
    let choices = arrange(rng, right.to_string(), vec![wrong.to_string()], gold);
    Some(Question { prompt, passage: String::new(), title: String::new(), choices, gold, combination })
}
