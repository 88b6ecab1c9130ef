//! Long texts, encoded in pieces that overlap, into the ids that the text as a whole has.
//!
//! The library keeps some hundred bytes per byte of a text while it encodes, and takes more than linear time over a long
//! word: a file without separators, which is one document, would need gigabytes. So a text is cut
//!
//! ```text
//! piece i      |———————————————————————|
//! piece i + 1                    |———————————————————————|
//! overlap                        |—————|      in the middle half of it both must give the same tokens at the same places
//! ```
//!
//! and the tokens of piece i are followed by those of piece i + 1 from the first token of that middle on. What surrounds a
//! token decides it over a few words at most, so two encodings that agree for a kilobyte are those of the whole. Where
//! they do not agree, the overlap is made longer, and where nothing helps the text is encoded whole.
use rayon::prelude::*;
use tokenizers::Encoding;

/// How long everything is, in bytes.
#[derive(Clone, Copy)]
struct Lengths {
    /// Up to this a text is encoded whole.
    whole: usize,
    piece: usize,
    overlap: usize,
}

const LENGTHS: Lengths = Lengths { whole: 1 << 17, piece: 1 << 16, overlap: 1 << 12 };
/// Pieces that are in memory at once, for each thread.
const PIECES_AT_ONCE: usize = 2;
/// A run of letters, or of white space, longer than this is cut for the training of a tokenizer.
const LONGEST_WORD: usize = 1024;

type Encode<'a> = &'a (dyn Fn(&str) -> Result<Encoding, String> + Sync);

/// Ids of a long text, `encode` giving those of a short one with places in bytes; `None` where the text is to be encoded
/// whole.
///
/// # Errors
/// `encode` fails.
pub(super) fn ids(text: &str, encode: Encode<'_>) -> Result<Option<Vec<u32>>, String> {
    ids_with(text, encode, LENGTHS)
}

fn ids_with(text: &str, encode: Encode<'_>, lengths: Lengths) -> Result<Option<Vec<u32>>, String> {
    if text.len() <= lengths.whole {
        return Ok(None);
    }
    let ends = ends(text, lengths);
    let start = |place: usize, overlap: usize| match place {
        0 => 0,
        _ => text.floor_char_boundary(ends[place - 1].saturating_sub(overlap)),
    };
    let mut ids: Vec<u32> = Vec::new();
    // Tokens of the piece before, of which the last may still change.
    let mut last: Vec<Token> = Vec::new();
    let group = PIECES_AT_ONCE * rayon::current_num_threads();
    let places: Vec<usize> = (0..ends.len()).collect();
    for group in places.chunks(group.max(1)) {
        let of = |place: &usize| tokens(text, start(*place, lengths.overlap), ends[*place], encode);
        let encoded: Vec<Vec<Token>> = group.par_iter().map(of).collect::<Result<_, _>>()?;
        for (place, mut next) in group.iter().zip(encoded) {
            if *place == 0 {
                last = next;
                continue;
            }
            let end = ends[place - 1];
            let mut overlap = lengths.overlap;
            let (kept, first) = loop {
                if let Some(found) = joint(&last, &next, end - overlap.min(end), end) {
                    break found;
                }
                // As long as the piece before it: nothing more to try.
                if overlap >= lengths.piece {
                    return Ok(None);
                }
                overlap = (4 * overlap).min(lengths.piece);
                next = tokens(text, start(*place, overlap), ends[*place], encode)?;
            };
            ids.extend(last[..kept].iter().map(|token| token.id));
            last = next.split_off(first);
        }
    }
    ids.extend(last.iter().map(|token| token.id));
    Ok(Some(ids))
}

/// Where the pieces end.
fn ends(text: &str, lengths: Lengths) -> Vec<usize> {
    let step = lengths.piece - lengths.overlap;
    let mut ends = Vec::new();
    let mut end = lengths.piece;
    while end < text.len() {
        ends.push(text.floor_char_boundary(end));
        end += step;
    }
    ends.push(text.len());
    ends
}

/// A token and where it stands in the whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Token {
    id: u32,
    start: usize,
    end: usize,
}

fn tokens(text: &str, start: usize, end: usize, encode: Encode<'_>) -> Result<Vec<Token>, String> {
    let encoding = encode(&text[start..end])?;
    let token =
        |(id, (from, to)): (&u32, &(usize, usize))| Token { id: *id, start: start + from, end: start + to };
    Ok(encoding.get_ids().iter().zip(encoding.get_offsets()).map(token).collect())
}

/// How many tokens of a piece are kept, and from which one on those of the next piece follow: where both agree in the middle
/// half of the bytes from `from` to `to`. `None` where they do not.
fn joint(last: &[Token], next: &[Token], from: usize, to: usize) -> Option<(usize, usize)> {
    let quarter = (to - from) / 4;
    let (low, high) = (from + quarter, to - quarter);
    let middle = |tokens: &[Token]| {
        // A token that reaches into the middle from before it does not begin there.
        let first = (0..tokens.len())
            .find(|i| tokens[*i].start >= low && (*i == 0 || tokens[*i - 1].end <= tokens[*i].start))?;
        Some((first, first + tokens[first..].iter().take_while(|token| token.start < high).count()))
    };
    let ((a, a_end), (b, b_end)) = (middle(last)?, middle(next)?);
    (a < a_end && last[a..a_end] == next[b..b_end]).then_some((a, b))
}

/// A document in parts for the training of a tokenizer, which takes quadratic time over a long word: cut where a word begins
/// after white space, so that the words stay the same, and within words that are longer than any of a language.
pub(super) fn for_training(document: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut run_start, mut was_space) = (0, 0, None);
    for (at, c) in document.char_indices() {
        let is_space = c.is_whitespace();
        if was_space != Some(is_space) {
            // A space belongs to the word after it: one that stands between two words begins a part.
            if at - start >= LENGTHS.piece && c == ' ' && was_space == Some(false) {
                parts.push(&document[start..at]);
                start = at;
            }
            (run_start, was_space) = (at, Some(is_space));
        } else if at - run_start >= LONGEST_WORD {
            parts.push(&document[start..at]);
            (start, run_start) = (at, at);
        }
    }
    parts.push(&document[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::vocabulary::VocabularyTables;
    use crate::data::Tokenizer;
    use crate::data::world::{Split, World};
    use proptest::prelude::*;
    use std::sync::OnceLock;

    /// Byte-level BPE, and SentencePiece with a space before every text.
    fn tokenizers() -> &'static [Tokenizer; 2] {
        static BOTH: OnceLock<[Tokenizer; 2]> = OnceLock::new();
        BOTH.get_or_init(|| {
            let documents: Vec<String> = World::new(0).documents(500, Split::Train).map(|d| d.text).collect();
            let byte_level = Tokenizer::train(&documents, 600).expect("a tokenizer");
            let mut tables = VocabularyTables {
                model: "llama".into(),
                bos_id: Some(1),
                eos_id: Some(2),
                unknown_id: Some(0),
                ..VocabularyTables::default()
            };
            let specials =
                [("<unk>", 2), ("<s>", 3), ("</s>", 3)].map(|(token, kind)| (token.to_string(), kind));
            let bytes = (0..256).map(|byte| (format!("<0x{byte:02X}>"), 6));
            let letters = ('a'..='z').map(|c| (c.to_string(), 1));
            let pieces = ["▁", "th", "he", "the", "▁the", "an", "in", "▁a", "▁▁", "nd", "aa", "aaa", "aaaa"]
                .map(|piece| (piece.to_string(), 1));
            for (id, (token, kind)) in
                specials.into_iter().chain(bytes).chain(letters).chain(pieces).enumerate()
            {
                tables.tokens.push(token);
                tables.token_types.push(kind);
                tables.scores.push(-(id as f32));
            }
            [byte_level, Tokenizer::from_tables(&tables).expect("a tokenizer")]
        })
    }

    fn text() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            8 => "[a-z]{1,9}",
            1 => "[aé中]{1,40}",
            1 => Just("<|endoftext|>".to_string()),
            1 => " {1,5}",
            1 => "[\n\t .,0-9]{1,4}",
        ];
        proptest::collection::vec(word, 100..900).prop_map(|words| words.join(" "))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, rng_seed: proptest::test_runner::RngSeed::Fixed(9), failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn pieces_give_the_ids_of_the_whole(text in text(), overlap in 64usize..200) {
            let lengths = Lengths { whole: 10, piece: 600, overlap };
            for tokenizer in tokenizers() {
                let encode = |part: &str| tokenizer.encoding(part, false);
                let whole = encode(&text).expect("ids").get_ids().to_vec();
                if let Some(found) = ids_with(&text, &encode, lengths).expect("ids") {
                    prop_assert_eq!(&found, &whole);
                }
            }
        }

        #[test]
        fn parts_for_training_are_the_document(text in "[ab \n中]{0,4000}") {
            prop_assert_eq!(for_training(&text).concat(), text);
        }
    }

    #[test]
    fn ordinary_text_and_one_long_word_need_no_whole() {
        let documents: Vec<String> = World::new(1).documents(2000, Split::Train).map(|d| d.text).collect();
        let prose = documents.join("\n");
        let word: String =
            (0..200_000u32).map(|i| char::from(b'a' + (i.wrapping_mul(i) % 23) as u8)).collect();
        let spaces = " ".repeat(300_000);
        for (name, text) in [("prose", &prose), ("one word", &word), ("spaces", &spaces)] {
            assert!(text.len() > LENGTHS.whole, "{name} has {} bytes", text.len());
            for tokenizer in tokenizers() {
                let encode = |part: &str| tokenizer.encoding(part, false);
                let found =
                    ids(text, &encode).expect("ids").unwrap_or_else(|| panic!("{name} was not joined"));
                assert_eq!(found, encode(text).expect("ids").get_ids(), "{name}");
            }
        }
    }

    #[test]
    fn parts_for_training_end_between_words_and_within_endless_ones() {
        let prose = "some words of it. ".repeat(10_000);
        let parts = for_training(&prose);
        assert!(
            parts.len() > 1 && parts[1..].iter().all(|part| part.starts_with(' ') && !part.starts_with("  "))
        );
        let word = "ab".repeat(5000);
        assert!(for_training(&word).iter().all(|part| part.len() <= LONGEST_WORD));
        assert_eq!(for_training("a b").len(), 1);
    }
}
