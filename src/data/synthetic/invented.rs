//! Invented words, for sizes that have more entities than the lists have words: two or three syllables each, all
//! different from one another and from the words of the lists.
use std::collections::HashSet;

const ONSETS: [&str; 16] = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "tr"];
const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
const CODAS: [&str; 4] = ["", "n", "l", "x"];

/// Gives words that it has not given before.
pub(super) struct Inventor {
    number: u64,
    used: HashSet<String>,
}

impl Inventor {
    /// Of words other than `used`.
    pub fn new<'a>(used: impl IntoIterator<Item = &'a str>) -> Self {
        Inventor { number: 0, used: used.into_iter().map(str::to_string).collect() }
    }

    /// The first `n` words of `known`, and invented ones behind them where it has fewer.
    pub fn extend(&mut self, known: &[&str], n: usize) -> Vec<String> {
        let mut words: Vec<String> = known.iter().take(n).map(|word| (*word).to_string()).collect();
        while words.len() < n {
            words.push(self.next());
        }
        words
    }

    fn next(&mut self) -> String {
        loop {
            let word = word(self.number);
            self.number += 1;
            if self.used.insert(word.clone()) {
                return word;
            }
        }
    }
}

/// The word of that number: digits of a mixed base, with a step that is prime to their number so that neighbours
/// differ in more than the last syllable.
fn word(number: u64) -> String {
    const SYLLABLES: u64 = (ONSETS.len() * VOWELS.len()) as u64;
    const WORDS: u64 = SYLLABLES * SYLLABLES * CODAS.len() as u64;
    let syllable = |n: u64| {
        let n = n as usize;
        format!("{}{}", ONSETS[n / VOWELS.len()], VOWELS[n % VOWELS.len()])
    };
    let mut n = (number % WORDS) * 7919 % WORDS;
    let coda = CODAS[(n % CODAS.len() as u64) as usize];
    n /= CODAS.len() as u64;
    let mut text = format!("{}{}", syllable(n / SYLLABLES), syllable(n % SYLLABLES));
    // A third syllable, and a fourth, once all words of two are given.
    let mut rest = number / WORDS;
    while rest > 0 {
        text.push_str(&syllable((rest - 1) % SYLLABLES));
        rest = (rest - 1) / SYLLABLES;
    }
    text + coda
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invented_words_differ_from_one_another_and_from_the_lists() {
        let taken = word(3);
        let mut inventor = Inventor::new([taken.as_str()]);
        let words = inventor.extend(&["owl"], 60_000);
        assert_eq!(words[0], "owl");
        assert_eq!(words.iter().collect::<HashSet<_>>().len(), 60_000);
        assert!(!words.contains(&taken));
        assert!(words[1..20].iter().all(|word| (4..=7).contains(&word.len())), "{:?}", &words[..20]);
    }
}
