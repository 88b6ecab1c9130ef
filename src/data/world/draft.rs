//! Small tools of the generators: drawing from a list, filling a template, and the two things they make.
use super::holdout::Combination;
use super::lexicon::PEOPLE;
use rand::RngExt;
use rand_chacha::ChaCha12Rng;

/// A document before the hold-out check.
pub struct Draft {
    pub text: String,
    /// Every combination that the text states or asks about.
    pub combinations: Vec<Combination>,
}

/// A multiple-choice item before it gets its benchmark's fields.
pub struct Question {
    /// What is asked, in the main text field of the benchmark.
    pub prompt: String,
    /// Passage, or first part of the context, where the benchmark has one.
    pub passage: String,
    /// Title or label, where the benchmark has one.
    pub title: String,
    /// The choices, the right one at `gold`.
    pub choices: Vec<String>,
    pub gold: usize,
    /// The held-out combination that decides the answer.
    pub combination: Combination,
}

/// A random element of a non-empty list.
pub fn pick<'a, T>(rng: &mut ChaCha12Rng, list: &'a [T]) -> &'a T {
    &list[rng.random_range(0..list.len())]
}

/// A random index below `n`.
pub fn below(rng: &mut ChaCha12Rng, n: usize) -> usize {
    rng.random_range(0..n)
}

/// `n` different random indices below `len`, in random order.
pub fn distinct(rng: &mut ChaCha12Rng, n: usize, len: usize) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..len).collect();
    for i in 0..n.min(len) {
        let j = rng.random_range(i..len);
        indices.swap(i, j);
    }
    indices.truncate(n);
    indices
}

/// A random person: name and pronoun.
pub fn person(rng: &mut ChaCha12Rng) -> (&'static str, &'static str) {
    *pick(rng, &PEOPLE)
}

/// `template` with each `{name}` replaced by its value.
pub fn fill(template: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(template.to_string(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// The text with its first letter in upper case.
pub fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

/// The text with its first letter in lower case.
pub fn small(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// Puts `right` at position `gold` among `wrong`, which it shuffles.
pub fn arrange(rng: &mut ChaCha12Rng, right: String, wrong: Vec<String>, gold: usize) -> Vec<String> {
    let order = distinct(rng, wrong.len(), wrong.len());
    let mut choices: Vec<String> = order.into_iter().map(|i| wrong[i].clone()).collect();
    choices.insert(gold.min(choices.len()), right);
    choices
}
