//! What is said about people and their objects: colours, gifts, comparisons, what fits into what. The answer
//! stands in the passage and must be found there; BoolQ-like and WinoGrande-like items.
use super::draft::*;
use super::holdout::{Combination, HoldOut, Rule};
use super::lexicon::*;
use rand_chacha::ChaCha12Rng;

/// A question whose passage holds the answer, with the combinations that it mentions.
struct Reading {
    passage: String,
    question: String,
    combinations: Vec<Combination>,
}

/// Two objects with a colour each; asked about the first or the second object with its own colour or another.
fn colours(rng: &mut ChaCha12Rng, first: (&'static str, &'static str), yes: bool) -> Option<Reading> {
    let (object, colour) = first;
    let other = *pick(rng, &OBJECTS);
    let other_colour = *pick(rng, &COLOURS);
    if other == object || other_colour == colour {
        return None;
    }
    let asked = if yes {
        colour
    } else if below(rng, 2) == 0 {
        other_colour
    } else {
        *pick(rng, &COLOURS)
    };
    if !yes && asked == colour {
        return None;
    }
    let (name, _) = person(rng);
    let mut facts = [format!("The {object} is {colour}."), format!("The {other} is {other_colour}.")];
    if below(rng, 2) == 0 {
        facts.reverse();
    }
    let mut combinations = vec![
        Combination::new(Rule::ObjectColour, object, colour),
        Combination::new(Rule::ObjectColour, other, other_colour),
    ];
    if asked != colour && asked != other_colour {
        combinations.push(Combination::new(Rule::ObjectColour, object, asked));
    }
    Some(Reading {
        passage: format!("Colors -- {name} has a {object} and a {other}. {}", facts.join(" ")),
        question: format!("is the {object} {asked}"),
        combinations,
    })
}

/// One person gives an object to another; asked who has it.
fn gift(rng: &mut ChaCha12Rng, giver: &'static str, taker: &'static str, yes: bool) -> Reading {
    let object = *pick(rng, &OBJECTS);
    let asked = if yes { taker } else { giver };
    let passage = match below(rng, 2) {
        0 => format!("Gifts -- {giver} gave the {object} to {taker}."),
        _ => format!("Gifts -- {taker} got the {object} from {giver}."),
    };
    Reading {
        passage,
        question: format!("does {asked} have the {object}"),
        combinations: vec![Combination::new(Rule::PersonPair, giver, taker)],
    }
}

fn two_people(rng: &mut ChaCha12Rng) -> ((&'static str, &'static str), (&'static str, &'static str)) {
    let pair = distinct(rng, 2, PEOPLE.len());
    (PEOPLE[pair[0]], PEOPLE[pair[1]])
}

/// A passage about colours with a yes/no question.
pub fn colour_question(rng: &mut ChaCha12Rng) -> Option<Draft> {
    let case = (*pick(rng, &OBJECTS), *pick(rng, &COLOURS));
    let yes = below(rng, 2) == 1;
    colours(rng, case, yes).map(|reading| answered(reading, yes))
}

/// A passage about a gift with a yes/no question.
pub fn gift_question(rng: &mut ChaCha12Rng) -> Draft {
    let ((giver, _), (taker, _)) = two_people(rng);
    let yes = below(rng, 2) == 1;
    answered(gift(rng, giver, taker, yes), yes)
}

fn answered(reading: Reading, yes: bool) -> Draft {
    let answer = if yes { "yes" } else { "no" };
    let text = format!("{}\nQuestion: {}?\nAnswer: {answer}", reading.passage, reading.question);
    Draft { text, combinations: reading.combinations }
}

/// Gifts and colours in prose.
pub fn prose(rng: &mut ChaCha12Rng) -> Draft {
    let ((a, pronoun), (b, _)) = two_people(rng);
    let (object, colour) = (*pick(rng, &OBJECTS), *pick(rng, &COLOURS));
    let people = Combination::new(Rule::PersonPair, a, b);
    let paint = Combination::new(Rule::ObjectColour, object, colour);
    let (text, combinations) = match below(rng, 3) {
        0 => (format!("{a} gave the {object} to {b}. Now {b} has the {object}."), vec![people]),
        1 => (
            format!("{a} has a {colour} {object}. {} likes the {object} a lot.", capital(pronoun)),
            vec![paint],
        ),
        _ => {
            (format!("{a} got a {colour} {object} from {b}. Now {a} has the {object}."), vec![people, paint])
        }
    };
    Draft { text, combinations }
}

/// A BoolQ-like item about colours or gifts.
pub fn yes_no_item(rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize) -> Option<Question> {
    let yes = gold == 1;
    let (reading, combination) = if below(rng, 2) == 0 {
        let c = *pick(rng, hold_out.of(Rule::ObjectColour));
        (colours(rng, (c.first, c.second), yes)?, c)
    } else {
        let c = *pick(rng, hold_out.of(Rule::PersonPair));
        let (giver, taker) = if below(rng, 2) == 0 { (c.first, c.second) } else { (c.second, c.first) };
        (gift(rng, giver, taker, yes), c)
    };
    let Reading { passage, question, .. } = reading;
    Some(Question { prompt: question, passage, title: String::new(), choices: Vec::new(), gold, combination })
}

fn comparison(more: &str, less: &str, case: &(&str, &str, &str), subject: &str, of_more: bool) -> String {
    let (word, high, low) = case;
    format!("{more} was {word} than {less}, so {subject} {}.", if of_more { high } else { low })
}

fn fit(object: &str, container: &str, subject: &str, of_object: bool) -> String {
    let size = if of_object { "big" } else { "small" };
    format!("The {object} did not fit into the {container}, because the {subject} was too {size}.")
}

/// Two people compared, or an object that does not fit, with what follows for one of the two.
pub fn choice_prose(rng: &mut ChaCha12Rng) -> Draft {
    let first = below(rng, 2) == 0;
    if below(rng, 3) > 0 {
        let ((more, _), (less, _)) = two_people(rng);
        let text = comparison(more, less, pick(rng, &COMPARISONS), if first { more } else { less }, first);
        Draft { text, combinations: vec![Combination::new(Rule::PersonPair, more, less)] }
    } else {
        let (object, container) = (*pick(rng, &OBJECTS), *pick(rng, &CONTAINERS));
        let text = fit(object, container, if first { object } else { container }, first);
        Draft { text, combinations: vec![Combination::new(Rule::ObjectContainer, object, container)] }
    }
}

/// A WinoGrande-like item: which of two people, or of object and container.
pub fn choice_item(rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize) -> Option<Question> {
    let of_first = below(rng, 2) == 0;
    let (first, second, prompt, combination) = if below(rng, 2) == 0 {
        let c = *pick(rng, hold_out.of(Rule::PersonPair));
        let (more, less) = if below(rng, 2) == 0 { (c.first, c.second) } else { (c.second, c.first) };
        (more, less, comparison(more, less, pick(rng, &COMPARISONS), "_", of_first), c)
    } else {
        let c = *pick(rng, hold_out.of(Rule::ObjectContainer));
        (c.first, c.second, fit(c.first, c.second, "_", of_first), c)
    };
    let (right, wrong) = if of_first { (first, second) } else { (second, first) };
    let choices = arrange(rng, right.to_string(), vec![wrong.to_string()], gold);
    Some(Question { prompt, passage: String::new(), title: String::new(), choices, gold, combination })
}
