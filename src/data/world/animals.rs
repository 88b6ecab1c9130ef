//! What animals do: kind of the animal × kind of what it meets → response ([`RESPONSES`]).
use super::draft::*;
use super::holdout::{Combination, HoldOut, Rule};
use super::lexicon::*;
use rand_chacha::ChaCha12Rng;

fn kind_of_animal(word: &str) -> Option<usize> {
    ANIMALS.iter().position(|kind| kind.contains(&word))
}

/// Column of [`RESPONSES`] of what is met.
fn kind_of_sight(word: &str) -> usize {
    kind_of_animal(word)
        .unwrap_or_else(|| 3 + FOODS.iter().position(|kind| kind.contains(&word)).unwrap_or(0))
}

fn response(animal: &str, sight: &str) -> usize {
    RESPONSES[kind_of_animal(animal).unwrap_or(0)][kind_of_sight(sight)]
}

fn any_meeting(rng: &mut ChaCha12Rng) -> Option<(&'static str, &'static str)> {
    let animal = *pick(rng, &ANIMALS.concat());
    let sight = *pick(rng, &[ANIMALS.concat(), FOODS.concat()].concat());
    (animal != sight).then_some((animal, sight))
}

fn prompt(rng: &mut ChaCha12Rng, animal: &str, sight: &str) -> String {
    match below(rng, 2) {
        0 => format!("What does the {animal} do when it meets the {sight}?"),
        _ => format!("If the {animal} sees the {sight}, what does it do?"),
    }
}

/// A meeting in prose or as a rule with its instance, or a fact about one animal or food.
pub fn prose(rng: &mut ChaCha12Rng) -> Option<Draft> {
    let (animal, sight) = any_meeting(rng)?;
    let result = &RESPONSE_PHRASES[response(animal, sight)];
    let kind = ANIMAL_KINDS[kind_of_animal(animal)?];
    let (name, _) = person(rng);
    let stated = vec![Combination::new(Rule::AnimalSight, animal, sight)];
    let (text, combinations) = match below(rng, 5) {
        0 => (
            format!("{name} watched the {animal}. It saw the {sight}. The {animal} {}.", result.past),
            stated,
        ),
        1 => (format!("When the {animal} sees the {sight}, it {}.", result.third), stated),
        2 => (format!("The {animal} met the {sight}, and it {}.", result.past), stated),
        3 => (format!("The {animal} is a {kind}."), Vec::new()),
        _ => {
            let food = below(rng, 2);
            let what = ["a plant", "meat"][food];
            let other = ["farm animal", "hunter"][food];
            (format!("The {} is {what}. Every {other} likes to eat it.", pick(rng, &FOODS[food])), Vec::new())
        }
    };
    Some(Draft { text, combinations })
}

/// A meeting as question and answer.
pub fn question(rng: &mut ChaCha12Rng) -> Option<Draft> {
    let (animal, sight) = any_meeting(rng)?;
    let result = &RESPONSE_PHRASES[response(animal, sight)];
    let text = format!("Question: {}\nAnswer: It {}.", prompt(rng, animal, sight), result.third);
    Some(Draft { text, combinations: vec![Combination::new(Rule::AnimalSight, animal, sight)] })
}

/// An ARC-easy-like item: four responses, each as likely to be the right one.
pub fn item(rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize) -> Option<Question> {
    let set = distinct(rng, 4, RESPONSE_PHRASES.len());
    let cases: Vec<Combination> = hold_out
        .of(Rule::AnimalSight)
        .iter()
        .filter(|c| response(c.first, c.second) == set[0])
        .copied()
        .collect();
    let askable =
        |&i: &usize| hold_out.of(Rule::AnimalSight).iter().any(|c| response(c.first, c.second) == i);
    // A set with a response that no held-out case has is dropped whole, or its other choices would be favoured.
    if !set.iter().all(askable) {
        return None;
    }
    let combination = *pick(rng, &cases);
    let say = |i: usize| format!("It {}.", RESPONSE_PHRASES[i].third);
    let choices = arrange(rng, say(set[0]), set[1..].iter().map(|&i| say(i)).collect(), gold);
    let prompt = prompt(rng, combination.first, combination.second);
    Some(Question { prompt, passage: String::new(), title: String::new(), choices, gold, combination })
}
