//! What becomes of things: class of the thing × event → outcome ([`EVENTS`]).
//!
//! ARC-like questions, BoolQ-like passages and WinoGrande-like sentences come from this one table. `arc_easy` asks
//! about a thing at a place where the text never has it, though it has it at other places of the event;
//! `arc_challenge` asks about a thing and an event that never meet at all.
use super::draft::*;
use super::holdout::{Combination, HoldOut, Rule};
use super::lexicon::*;
use rand_chacha::ChaCha12Rng;

/// Class and word of a thing.
type Thing = (usize, &'static str);

fn class_of(thing: &str) -> usize {
    THINGS.iter().position(|class| class.contains(&thing)).unwrap_or(0)
}

fn event_of(place: &str) -> &'static Event {
    EVENTS.iter().find(|e| e.places.contains(&place) || e.name == place).unwrap_or(&EVENTS[0])
}

fn any_thing(rng: &mut ChaCha12Rng) -> Thing {
    let class = below(rng, NUM_CLASSES);
    (class, *pick(rng, &THINGS[class]))
}

fn scene(thing: &'static str, place: &'static str) -> Vec<Combination> {
    vec![
        Combination::new(Rule::ThingPlace, thing, place),
        Combination::new(Rule::ThingEvent, thing, event_of(place).name),
    ]
}

/// A scene in prose or as a rule with its instance.
pub fn prose(rng: &mut ChaCha12Rng) -> Draft {
    let (class, t) = any_thing(rng);
    let event = pick(rng, &EVENTS);
    let p = *pick(rng, &event.places);
    let result = outcome(event.outcomes[class]);
    let (name, _) = person(rng);
    let [third, past, active] =
        [event.third, event.past, event.active].map(|text| fill(text, &[("t", t), ("p", p)]));
    let material = MATERIALS[class];
    let text = match below(rng, 6) {
        0 => format!("{name} {active}. The {t} {}.", result.past),
        1 => format!("The {t} {past}, so it {}.", result.past),
        2 => format!("The {t} is made of {material}. When it {third}, it {}.", result.third),
        3 => format!("If the {t} {third}, it {}.", result.third),
        4 => format!("The {t} {} when it {past}, because it was made of {material}.", result.past),
        _ => format!("{name} had a {} {t}. It {past}. Then the {t} {}.", PROPERTIES[class], result.past),
    };
    Draft { text, combinations: scene(t, p) }
}

/// What a thing is made of and like, or what becomes of all things made of it: no combination.
pub fn fact(rng: &mut ChaCha12Rng) -> Draft {
    let (class, t) = any_thing(rng);
    let (material, property) = (MATERIALS[class], PROPERTIES[class]);
    let event = pick(rng, &EVENTS);
    let result = outcome(event.outcomes[class]);
    let other = THINGS[class][below(rng, 7)];
    let text = match below(rng, 6) {
        0 => format!("The {t} is made of {material}. It is {property}."),
        1 => format!("Question: What is the {t} made of?\nAnswer: It is made of {material}."),
        2 => format!("The {t} is {property}, because it is made of {material}."),
        3 if other != t => format!("The {t} and the {other} are made of {material}."),
        4 => format!("Things made of {material} {} when they {}.", result.base, event.general),
        _ => format!("When things made of {material} {}, they {}.", event.general, result.base),
    };
    Draft { text, combinations: Vec::new() }
}

fn easy_prompt(rng: &mut ChaCha12Rng, t: &str, p: &str) -> String {
    let third = fill(event_of(p).third, &[("p", p)]);
    match below(rng, 2) {
        0 => format!("What happens to the {t} when it {third}?"),
        _ => format!("If the {t} {third}, what does it do?"),
    }
}

fn hard_prompt(rng: &mut ChaCha12Rng, t: &str, p: &str) -> String {
    let event = event_of(p);
    let (name, _) = person(rng);
    match below(rng, 2) {
        0 => format!("{name} {}. What happened to it?", fill(event.active, &[("t", t), ("p", p)])),
        _ => format!("The {t} {}. What happened then?", fill(event.past, &[("p", p)])),
    }
}

/// A scene as question and answer, in the words of the items.
pub fn question(rng: &mut ChaCha12Rng) -> Draft {
    let (class, t) = any_thing(rng);
    let event = pick(rng, &EVENTS);
    let p = *pick(rng, &event.places);
    let result = outcome(event.outcomes[class]);
    let text = match below(rng, 2) {
        0 => format!("Question: {}\nAnswer: It {}.", easy_prompt(rng, t, p), result.third),
        _ => format!("Question: {}\nAnswer: It {}.", hard_prompt(rng, t, p), result.past),
    };
    Draft { text, combinations: scene(t, p) }
}

/// A random outcome of an event and a held-out combination that leads to it.
fn held_out_case(
    rng: &mut ChaCha12Rng,
    hold_out: &HoldOut,
    rule: Rule,
    event: &Event,
    result: usize,
) -> Option<Combination> {
    let cases: Vec<Combination> = hold_out
        .of(rule)
        .iter()
        .filter(|c| event_of(c.second).name == event.name && event.outcomes[class_of(c.first)] == result)
        .copied()
        .collect();
    (!cases.is_empty()).then(|| *pick(rng, &cases))
}

/// Four different outcomes; all of one event where `same_event`, else two of one event and two of another.
fn outcome_set(rng: &mut ChaCha12Rng, same_event: bool) -> Vec<(usize, usize)> {
    let events = distinct(rng, 2, EVENTS.len());
    let mut set: Vec<(usize, usize)> = Vec::new();
    for (slot, &event) in events.iter().enumerate() {
        let wanted = if same_event { 4 * (1 - slot) } else { 2 * (slot + 1) };
        let mut all: Vec<usize> = EVENTS[event].outcomes.to_vec();
        all.sort_unstable();
        all.dedup();
        for i in distinct(rng, all.len(), all.len()) {
            if set.len() < wanted && set.iter().all(|&(_, o)| o != all[i]) {
                set.push((event, all[i]));
            }
        }
    }
    set
}

/// An ARC-like item: four outcomes, each as likely to be the right one.
pub fn arc_item(rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize, hard: bool) -> Option<Question> {
    let set = outcome_set(rng, hard);
    let rule = if hard { Rule::ThingEvent } else { Rule::ThingPlace };
    // A set with an outcome that no held-out case has is dropped whole, or its other choices would be favoured.
    if set.iter().any(|&(event, result)| held_out_case(rng, hold_out, rule, &EVENTS[event], result).is_none())
    {
        return None;
    }
    let chosen = below(rng, set.len());
    let (event, result) = set[chosen];
    let event = &EVENTS[event];
    let combination = held_out_case(rng, hold_out, rule, event, result)?;
    let t = combination.first;
    let p = if hard { *pick(rng, &event.places) } else { combination.second };
    let prompt = if hard { hard_prompt(rng, t, p) } else { easy_prompt(rng, t, p) };
    let say = |o: usize| format!("It {}.", if hard { outcome(o).past } else { outcome(o).third });
    let wrong = set.iter().enumerate().filter(|&(i, _)| i != chosen).map(|(_, &(_, o))| say(o)).collect();
    let choices = arrange(rng, say(result), wrong, gold);
    Some(Question { prompt, passage: String::new(), title: String::new(), choices, gold, combination })
}

fn passage(rng: &mut ChaCha12Rng, class: usize, t: &str, p: &str) -> String {
    let event = event_of(p);
    let (name, _) = person(rng);
    let active = fill(event.active, &[("t", t), ("p", p)]);
    match below(rng, 2) {
        0 => format!("{} -- {name} {active}.", event.name),
        _ => format!("{} -- The {t} is made of {}. {name} {active}.", event.name, MATERIALS[class]),
    }
}

/// A scene as a passage with a yes/no question about its outcome.
pub fn yes_no(rng: &mut ChaCha12Rng) -> Draft {
    let (class, t) = any_thing(rng);
    let event = pick(rng, &EVENTS);
    let p = *pick(rng, &event.places);
    let right = event.outcomes[class];
    let yes = below(rng, 2) == 1;
    let asked = if yes { right } else { other_outcome(rng, event, right) };
    let answer = if yes { "yes" } else { "no" };
    let text = format!(
        "{}\nQuestion: did the {t} {}?\nAnswer: {answer}",
        passage(rng, class, t, p),
        outcome(asked).base
    );
    Draft { text, combinations: scene(t, p) }
}

/// An outcome of the event other than `right`.
fn other_outcome(rng: &mut ChaCha12Rng, event: &Event, right: usize) -> usize {
    let others: Vec<usize> = event.outcomes.iter().copied().filter(|&o| o != right).collect();
    *pick(rng, &others)
}

/// A BoolQ-like item; the outcome asked about is drawn before it is decided whether it is the right one.
pub fn yes_no_item(rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize) -> Option<Question> {
    let event = pick(rng, &EVENTS);
    let asked = *pick(rng, &event.outcomes);
    let real = if gold == 1 { asked } else { other_outcome(rng, event, asked) };
    let combination = held_out_case(rng, hold_out, Rule::ThingPlace, event, real)?;
    let (t, p) = (combination.first, combination.second);
    let passage = passage(rng, class_of(t), t, p);
    let prompt = format!("did the {t} {}", outcome(asked).base);
    Some(Question { prompt, passage, title: String::new(), choices: Vec::new(), gold, combination })
}

/// Two things of different fate at one event, in random order.
fn pair(
    rng: &mut ChaCha12Rng,
    event: &Event,
    hold_out: &HoldOut,
    held: bool,
) -> Option<(&'static str, &'static str)> {
    let (a, b) = if held {
        let c = pick(rng, hold_out.of(Rule::ThingPair));
        if below(rng, 2) == 0 { (c.first, c.second) } else { (c.second, c.first) }
    } else {
        (any_thing(rng).1, any_thing(rng).1)
    };
    (event.outcomes[class_of(a)] != event.outcomes[class_of(b)]).then_some((a, b))
}

fn pair_sentence(
    event: &Event,
    name: &str,
    a: &str,
    b: &str,
    p: &str,
    subject: &str,
    result: &Phrase,
) -> String {
    let both = format!("{a} and the {b}");
    format!("{name} {}, and the {subject} {}.", fill(event.active, &[("t", &both), ("p", p)]), result.past)
}

/// Two things at one event and what became of one of them.
pub fn pair_prose(rng: &mut ChaCha12Rng, hold_out: &HoldOut) -> Option<Draft> {
    let event = pick(rng, &EVENTS);
    let (a, b) = pair(rng, event, hold_out, false)?;
    let p = *pick(rng, &event.places);
    let subject = if below(rng, 2) == 0 { a } else { b };
    let (name, _) = person(rng);
    let result = outcome(event.outcomes[class_of(subject)]);
    let text = pair_sentence(event, name, a, b, p, subject, result);
    let mut combinations = [scene(a, p), scene(b, p)].concat();
    combinations.push(Combination::new(Rule::ThingPair, a, b));
    Some(Draft { text, combinations })
}

/// A WinoGrande-like item: which of two things fared so.
pub fn pair_item(rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize) -> Option<Question> {
    let event = pick(rng, &EVENTS);
    let (a, b) = pair(rng, event, hold_out, true)?;
    let p = *pick(rng, &event.places);
    let (first, second) = if below(rng, 2) == 0 { (a, b) } else { (b, a) };
    let choices = vec![first.to_string(), second.to_string()];
    let subject = if gold == 0 { first } else { second };
    let (name, _) = person(rng);
    let prompt = pair_sentence(event, name, a, b, p, "_", outcome(event.outcomes[class_of(subject)]));
    let combination = *hold_out
        .of(Rule::ThingPair)
        .iter()
        .find(|c| (c.first, c.second) == (a, b) || (c.first, c.second) == (b, a))?;
    Some(Question { prompt, passage: String::new(), title: String::new(), choices, gold, combination })
}
