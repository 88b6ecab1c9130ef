//! Courses of action: script × steps so far → next step ([`SCRIPTS`]); HellaSwag-like items.
use super::draft::*;
use super::holdout::{Combination, HoldOut, Rule};
use super::lexicon::*;
use rand_chacha::ChaCha12Rng;

/// The story up to, not including, step `end`: "Anna takes the dirty kite. She fills …."
fn story(script: &Script, name: &str, pronoun: &str, object: &str, end: usize) -> String {
    let steps: Vec<String> = script.steps[..end]
        .iter()
        .enumerate()
        .map(|(i, step)| {
            let subject = if i == 0 { name.to_string() } else { capital(pronoun) };
            format!("{subject} {}.", fill(step, &[("o", object)]))
        })
        .collect();
    steps.join(" ")
}

/// A script with its label, with its purpose, or as advice on the order of two steps.
pub fn document(rng: &mut ChaCha12Rng) -> Draft {
    let script = pick(rng, &SCRIPTS);
    let object = *pick(rng, &OBJECTS);
    let (name, pronoun) = person(rng);
    let end = 3 + below(rng, 3);
    let text = match below(rng, 4) {
        0 => {
            let wish = format!("{name} wants to {} the {object}.", script.verb);
            format!("{wish} {}", story(script, &capital(pronoun), pronoun, object, end))
        }
        1 => {
            let k = 1 + below(rng, script.steps.len() - 2);
            let (before, after) = (script.steps[k], script.steps[k + 1]);
            format!("{}: After someone {before}, the same person {after}.", script.label)
        }
        _ => format!("{}: {}", script.label, story(script, name, pronoun, object, end)),
    };
    let named = text.contains(object);
    let combinations =
        if named { vec![Combination::new(Rule::ScriptObject, script.verb, object)] } else { Vec::new() };
    Draft { text, combinations }
}

/// A HellaSwag-like item: two steps of one script and two of another, each as likely to be the next one.
pub fn item(rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize) -> Option<Question> {
    let scripts = distinct(rng, 2, SCRIPTS.len());
    let mut endings = Vec::new();
    for &s in &scripts {
        for k in distinct(rng, 2, SCRIPTS[s].steps.len() - 1) {
            endings.push((s, k + 1));
        }
    }
    let (s, k) = endings[0];
    let script = &SCRIPTS[s];
    let cases: Vec<Combination> =
        hold_out.of(Rule::ScriptObject).iter().filter(|c| c.first == script.verb).copied().collect();
    if cases.is_empty() {
        return None;
    }
    let combination = *pick(rng, &cases);
    let (name, pronoun) = person(rng);
    let say = |(s, k): (usize, usize)| format!("{}.", SCRIPTS[s].steps[k]);
    let choices = arrange(rng, say((s, k)), endings[1..].iter().map(|&e| say(e)).collect(), gold);
    Some(Question {
        prompt: pronoun.to_string(),
        passage: story(script, name, pronoun, combination.second, k),
        title: script.label.to_string(),
        choices,
        gold,
        combination,
    })
}
