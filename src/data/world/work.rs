//! The tool for a piece of work: verb × class of stuff → tool ([`TOOLS`]); OpenBookQA-like items.
use super::draft::*;
use super::holdout::{Combination, HoldOut, Rule};
use super::lexicon::*;
use rand_chacha::ChaCha12Rng;

fn tool(verb: usize, class: usize) -> Option<&'static str> {
    Some(TOOLS[verb][class]).filter(|t| !t.is_empty())
}

fn verb_of(word: &str) -> usize {
    WORK.iter().position(|forms| forms[0] == word).unwrap_or(0)
}

fn class_of(stuff: &str) -> usize {
    STUFF.iter().position(|class| class.contains(&stuff)).unwrap_or(0)
}

/// A sentence that ends where the tool is named.
fn stem(rng: &mut ChaCha12Rng, verb: usize, stuff: &str) -> String {
    let (name, pronoun) = person(rng);
    let [base, _, ing, _] = WORK[verb];
    match below(rng, 4) {
        0 => format!("To {base} the {stuff}, {name} uses the"),
        1 => format!("{name} wants to {base} the {stuff}, so {pronoun} takes the"),
        2 => format!("The best thing for {ing} the {stuff} is the"),
        _ => format!("If you have to {base} the {stuff}, look for the"),
    }
}

/// Work with its tool, or a fact about one kind of stuff.
pub fn prose(rng: &mut ChaCha12Rng) -> Option<Draft> {
    let (verb, class) = (below(rng, WORK.len()), below(rng, STUFF.len()));
    let tool = tool(verb, class)?;
    let stuff = *pick(rng, &STUFF[class]);
    let (name, _) = person(rng);
    let [base, third, ing, past] = WORK[verb];
    let kind = STUFF_KINDS[class];
    let stated = vec![Combination::new(Rule::WorkStuff, base, stuff)];
    let (text, combinations) = match below(rng, 9) {
        0 => (format!("{name} {past} the {stuff} with the {tool}."), stated),
        1 => (format!("{name} {third} the {stuff}. The {tool} is good for that."), stated),
        2 => (format!("The {stuff} is {kind}."), Vec::new()),
        3 => (format!("The {tool} is for {ing} {kind}."), Vec::new()),
        _ => (format!("{} {tool}.", stem(rng, verb, stuff)), stated),
    };
    Some(Draft { text, combinations })
}

/// An OpenBookQA-like item: the tools of two verbs on two classes, each as likely to be the right one.
pub fn item(rng: &mut ChaCha12Rng, hold_out: &HoldOut, gold: usize) -> Option<Question> {
    let (verbs, classes) = (distinct(rng, 2, WORK.len()), distinct(rng, 2, STUFF.len()));
    let cases = |v: usize, c: usize| -> Vec<Combination> {
        let fits = |x: &&Combination| verb_of(x.first) == verbs[v] && class_of(x.second) == classes[c];
        hold_out.of(Rule::WorkStuff).iter().filter(fits).copied().collect()
    };
    let mut tools = Vec::new();
    for (v, c) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        // A set with a tool that no held-out case needs is dropped whole, or its other choices would be favoured.
        if cases(v, c).is_empty() {
            return None;
        }
        tools.push(tool(verbs[v], classes[c])?.to_string());
    }
    let right = tools.remove(0);
    let cases = cases(0, 0);
    let combination = *pick(rng, &cases);
    let prompt = stem(rng, verbs[0], combination.second);
    let choices = arrange(rng, right, tools, gold);
    Some(Question { prompt, passage: String::new(), title: String::new(), choices, gold, combination })
}
