//! Contamination: the share of benchmark items of which some n words stand, in their order, in the training corpus.
//!
//! ```text
//! words(t)      = the pieces of t between white space, in lower case, letters and digits alone; empty ones left out
//! grams(i)      = every n words in a row of item i;  words(i) whole where it has SHORTEST..n words
//! contaminated  = |{i : grams(i) ∩ {grams of the corpus} ≠ ∅}| / |{i : grams(i) ≠ ∅}|
//! ```
//!
//! As Brown et al. 2020 (GPT-3, arXiv:2005.14165), appendix C, who ignore punctuation, white space and case, and take
//! the 5th percentile of a benchmark's lengths for n, no fewer than 8 words and no more than 13. Here n is the same for
//! all items that are long enough, and a shorter item must be found whole.
//!
//! The corpus is read once, document by document. What is held are the items' words and the hashes of their grams:
//!
//! ```text
//! H(w₁ … w_k) = Σ_j h(w_j)·B^(k−j) mod 2⁶⁴,      H(w₂ … w_{k+1}) = (H(w₁ … w_k) − h(w₁)·B^(k−1))·B + h(w_{k+1})
//! ```
//!
//! Wherever a hash is met, the words themselves are compared, so no item is blamed for a collision.
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// n of the published check.
pub const DEFAULT_N: usize = 13;

/// Fewest words that tell anything: below, phrases that everyone uses are found (the bound of Brown et al. 2020).
pub const SHORTEST: usize = 8;

/// Words of a document that are looked at together.
const WORDS_AT_ONCE: usize = if cfg!(test) { 16 } else { 1 << 16 };

/// B of the rolling hash: any odd number without a pattern; 2⁶⁴ divided by the golden ratio.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

/// Raised with every change of what is found, so that kept findings are not taken for new ones.
pub const REVISION: u32 = 1;

/// All that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Words in a row that were looked for.
    pub n: usize,
    /// Documents seen.
    pub documents: usize,
    /// In the order in which benchmarks were added.
    pub overlaps: Vec<Overlap>,
}

/// What was found of one benchmark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overlap {
    pub benchmark: String,
    /// All items.
    pub items: usize,
    /// Items of which some gram stands in the corpus.
    pub contaminated: usize,
    /// Items of fewer than [`SHORTEST`] words, of which nothing can be told; never among the contaminated.
    pub too_short: usize,
    /// A place in the first document that an item was met in.
    pub example: Option<Example>,
}

impl Overlap {
    /// Contaminated items among those long enough to tell, from 0 to 1; `None` where all are too short.
    pub fn share(&self) -> Option<f64> {
        let told = self.items - self.too_short;
        (told > 0).then(|| self.contaminated as f64 / told as f64)
    }
}

/// Words that stand in an item and in the corpus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Number of the item in its benchmark, from 1.
    pub item: usize,
    /// Number of the document in the order they were shown, from 1.
    pub document: usize,
    /// The words, normalised, with a space between two.
    pub words: String,
}

/// An item with enough words.
struct Item {
    benchmark: usize,
    /// From 1.
    number: usize,
    words: Vec<String>,
    is_found: bool,
}

/// The check: benchmarks are added, documents shown, and the overlaps taken.
pub struct Contamination {
    n: usize,
    overlaps: Vec<Overlap>,
    items: Vec<Item>,
    /// By the length in words and the hash of a gram: items and the places in them, from 0, where it stands.
    grams: BTreeMap<usize, HashMap<u64, Vec<(u32, u32)>>>,
    documents: usize,
}

impl Contamination {
    /// A check of `n` words in a row; of [`SHORTEST`] where `n` is less.
    pub fn new(n: usize) -> Contamination {
        let n = n.max(SHORTEST);
        Contamination { n, overlaps: Vec::new(), items: Vec::new(), grams: BTreeMap::new(), documents: 0 }
    }

    /// Adds a benchmark with the texts of its items. Documents seen before are not looked at again.
    pub fn add<T: AsRef<str>>(&mut self, benchmark: &str, items: impl IntoIterator<Item = T>) {
        let mut overlap = Overlap {
            benchmark: benchmark.to_string(),
            items: 0,
            contaminated: 0,
            too_short: 0,
            example: None,
        };
        for text in items {
            overlap.items += 1;
            let words: Vec<String> = words(text.as_ref()).collect();
            if words.len() < SHORTEST {
                overlap.too_short += 1;
                continue;
            }
            let length = self.n.min(words.len());
            let hashes: Vec<u64> = words.iter().map(|word| hash(word)).collect();
            let grams = self.grams.entry(length).or_default();
            for (start, gram) in rolling(&hashes, length).enumerate() {
                grams.entry(gram).or_default().push((self.items.len() as u32, start as u32));
            }
            let (benchmark, number) = (self.overlaps.len(), overlap.items);
            self.items.push(Item { benchmark, number, words, is_found: false });
        }
        self.overlaps.push(overlap);
    }

    /// Looks at one document of the training corpus. Grams do not reach from one document into the next.
    ///
    /// Of a long one only so many words are in memory at once, each part beginning with the last words of the one before
    /// it, so that no gram is missed.
    pub fn see(&mut self, document: &str) {
        self.documents += 1;
        let carried = self.grams.keys().next_back().map_or(0, |length| length - 1);
        let mut part: Vec<String> = Vec::new();
        for word in words(document) {
            part.push(word);
            if part.len() > WORDS_AT_ONCE + carried {
                self.see_part(&part);
                part.drain(..part.len() - carried);
            }
        }
        self.see_part(&part);
    }

    fn see_part(&mut self, words: &[String]) {
        let hashes: Vec<u64> = words.iter().map(|word| hash(word)).collect();
        for (&length, grams) in &self.grams {
            for (start, gram) in rolling(&hashes, length).enumerate() {
                for &(item, place) in grams.get(&gram).into_iter().flatten() {
                    let (item, place) = (&mut self.items[item as usize], place as usize);
                    let found = &words[start..start + length];
                    if item.is_found || item.words[place..place + length] != *found {
                        continue;
                    }
                    item.is_found = true;
                    let overlap = &mut self.overlaps[item.benchmark];
                    overlap.contaminated += 1;
                    overlap.example.get_or_insert_with(|| Example {
                        item: item.number,
                        document: self.documents,
                        words: found.join(" "),
                    });
                }
            }
        }
    }

    /// What was found in the documents seen so far.
    pub fn findings(&self) -> Findings {
        Findings { n: self.n, documents: self.documents, overlaps: self.overlaps.clone() }
    }
}

/// The words of a text, normalised. A word written with a hyphen or an apostrophe is one word without it.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let normal = |word: &str| -> String {
        word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    text.split_whitespace().map(normal).filter(|word| !word.is_empty())
}

fn hash(word: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    word.hash(&mut hasher);
    hasher.finish()
}

/// H of every `length` hashes in a row; nothing where there are fewer.
fn rolling(hashes: &[u64], length: usize) -> impl Iterator<Item = u64> + '_ {
    let leading = (1..length).fold(1u64, |power, _| power.wrapping_mul(BASE));
    let mut value = 0u64;
    hashes.iter().enumerate().filter_map(move |(end, &new)| {
        if let Some(start) = end.checked_sub(length) {
            value = value.wrapping_sub(hashes[start].wrapping_mul(leading));
        }
        value = value.wrapping_mul(BASE).wrapping_add(new);
        (end + 1 >= length).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ITEM: &str = "Which of these would most likely happen to a plant, if it were left without any water? It dries out.";

    fn check(n: usize, items: &[&str], documents: &[&str]) -> Overlap {
        let mut check = Contamination::new(n);
        check.add("task", items);
        documents.iter().for_each(|document| check.see(document));
        check.findings().overlaps[0].clone()
    }

    #[test]
    fn a_planted_item_is_found_and_a_paraphrase_is_not() {
        let planted = format!("Some text before it. {ITEM} And text after.");
        let found = check(
            13,
            &["An item about nothing that was ever written in a corpus.", ITEM],
            &["A first document.", &planted, &planted],
        );
        assert_eq!((found.items, found.contaminated, found.too_short), (2, 1, 0));
        assert_eq!(found.share(), Some(0.5));
        let words = "which of these would most likely happen to a plant if it were";
        assert_eq!(found.example, Some(Example { item: 2, document: 2, words: words.into() }));
        let paraphrase =
            "What would probably happen to plants that someone leaves without water? They dry out.";
        assert_eq!(check(13, &[ITEM], &[paraphrase]).contaminated, 0);
        // Twelve words in a row are not thirteen; nor do they reach into the next document.
        let halves =
            ["Which of these would most likely happen to a plant, if it", "were left without any water?"];
        assert_eq!(check(13, &[ITEM], &halves).contaminated, 0);
        assert_eq!(check(12, &[ITEM], &halves).contaminated, 1);
    }

    #[test]
    fn case_punctuation_and_white_space_are_ignored() {
        let normal = |text: &str| words(text).collect::<Vec<_>>().join(" ");
        assert_eq!(
            normal("  Don't—STOP!\n\n(Été,\u{a0}1,000) -- \u{201c}well-known\u{201d} "),
            "dontstop été 1000 wellknown"
        );
        let loud = ITEM.to_uppercase().replace(' ', " -\n").replace(',', "");
        assert_eq!(check(13, &[ITEM], &[&loud]).contaminated, 1);
    }

    #[test]
    fn short_items_must_be_found_whole_and_shorter_ones_tell_nothing() {
        let (nine, seven) =
            ("one two three four five six seven eight nine", "one two three four five six seven");
        let found = check(13, &[nine, seven, ""], &[&format!("zero {nine} ten")]);
        assert_eq!((found.items, found.contaminated, found.too_short), (3, 1, 2));
        let found = check(13, &[nine], &["one two three four five six seven eight, then nine"]);
        assert_eq!((found.contaminated, found.example), (0, None));
        assert_eq!(check(13, &[seven], &[seven]).share(), None);
        // Fewer words than SHORTEST are never looked for.
        assert_eq!(check(2, &[nine], &["one two three"]).contaminated, 0);
    }

    #[test]
    fn benchmarks_are_told_apart() {
        let mut check = Contamination::new(DEFAULT_N);
        check.add("first", [ITEM]);
        check.add("second", ["something else that is long enough to be looked for"]);
        check.add("third", [ITEM, ITEM]);
        check.see(ITEM);
        let findings = check.findings();
        let found: Vec<_> =
            findings.overlaps.iter().map(|o| (o.benchmark.as_str(), o.contaminated)).collect();
        assert_eq!(found, [("first", 1), ("second", 0), ("third", 2)]);
        assert_eq!((findings.n, findings.documents), (13, 1));
    }

    /// Texts of words from so small a vocabulary that parts of grams repeat.
    fn text(longest: usize) -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[a-c]{1,2}", 0..longest)
    }

    proptest! {
        #[test]
        fn planting_any_item_makes_it_found(
            items in proptest::collection::vec(text(30), 1..6), before in text(20), after in text(20),
            n in 8usize..16, chosen in any::<prop::sample::Index>(),
        ) {
            let items: Vec<String> = items.iter().map(|words| words.join(" ")).collect();
            let chosen = chosen.get(&items);
            let document = format!("{}\n{chosen}, {}", before.join(" "), after.join(" "));
            let mut check = Contamination::new(n);
            check.add("all", &items);
            check.add("chosen", [chosen]);
            check.see(&document);
            let found = &check.findings().overlaps[1];
            prop_assert_eq!(found.contaminated + found.too_short, 1);
        }

        #[test]
        fn what_is_found_is_what_a_plain_search_finds(item in text(20), document in text(60), n in 8usize..12) {
            let length = n.min(item.len());
            let plain = item.len() >= SHORTEST
                && item.windows(length).any(|gram| document.windows(length).any(|place| gram == place));
            let found = check(n, &[&item.join(" ")], &[&document.join(" ")]);
            prop_assert_eq!(found.contaminated == 1, plain);
        }
    }
}
