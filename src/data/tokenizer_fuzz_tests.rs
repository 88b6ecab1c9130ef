//! `tokenizer.json` against damage: a tokenizer or a fault, never a panic, and no memory by a number in the file.
use super::special_tokens::SpecialTokens;
use super::tokenizer::Tokenizer;
use super::world::{Split, World};
use crate::base::fuzz;
use crate::base::vocabulary::VocabularyTables;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use std::sync::OnceLock;

const TEXT: &str = "Ann has 12 cats,\u{e9}\u{4e2d}\u{1f600} <s>▁ and\n\n<|endoftext|> more.";
const NUMBERS: [&str; 8] =
    ["4294967295", "4294967294", "99999999999999999999", "-1", "1e308", "0.5", "null", "\"7\""];

/// A byte-level one and a SentencePiece-like one.
fn files() -> &'static [String; 2] {
    static FILES: OnceLock<[String; 2]> = OnceLock::new();
    FILES.get_or_init(|| {
        let documents: Vec<String> = World::new(0).documents(200, Split::Train).map(|d| d.text).collect();
        let byte_level = Tokenizer::train(&documents, 300).expect("a tokenizer");
        let mut tables = VocabularyTables {
            model: "llama".into(),
            bos_id: Some(1),
            eos_id: Some(2),
            unknown_id: Some(0),
            add_bos: Some(true),
            ..VocabularyTables::default()
        };
        let specials = [("<unk>", 2), ("<s>", 3), ("</s>", 3)].map(|(token, kind)| (token.to_string(), kind));
        let bytes = (0..256).map(|byte| (format!("<0x{byte:02X}>"), 6));
        let pieces =
            ["▁", "a", "n", "an", "▁an", "s", "t", "▁t", "▁A", "nn"].map(|piece| (piece.to_string(), 1));
        for (id, (token, kind)) in specials.into_iter().chain(bytes).chain(pieces).enumerate() {
            tables.tokens.push(token);
            tables.token_types.push(kind);
            tables.scores.push(-(id as f32));
        }
        let pieces = Tokenizer::from_tables(&tables).expect("a tokenizer");
        [byte_level.to_json().to_string(), pieces.to_json().to_string()]
    })
}

fn read(json: &str) {
    if let Ok(tokenizer) = Tokenizer::from_json(json) {
        assert!(tokenizer.vocab_size() < 2_000_000, "{} ids", tokenizer.vocab_size());
        if let Ok(ids) = tokenizer.encode_with_defaults(TEXT) {
            let _ = tokenizer.decode(&ids);
        }
    }
}

/// Where the numbers of a text stand.
fn numbers(json: &str) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for (at, c) in json.char_indices().filter(|(_, c)| c.is_ascii_digit()) {
        match found.last_mut() {
            Some((_, end)) if *end == at => *end += c.len_utf8(),
            _ => found.push((at, at + c.len_utf8())),
        }
    }
    found
}

#[test]
fn the_files_are_sound_and_an_id_far_away_is_a_fault() {
    for json in files() {
        Tokenizer::from_json(json).expect("a tokenizer").encode(TEXT).expect("ids");
    }
    let far = files()[0].replacen("\"!\":1,", "\"!\":4000000000,", 1);
    assert_ne!(far, files()[0]);
    let error = Tokenizer::from_json(&far).err().expect("a fault").to_string();
    assert_eq!(error, "tokenizer: an id of 4000000000 for 300 tokens");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: fuzz::cases(600, 4),
        rng_seed: RngSeed::Fixed(17),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn overwritten_bytes_never_panic(
        which in 0..2usize,
        at in any::<prop::sample::Index>(),
        values in prop::collection::vec(any::<u8>(), 1..6),
    ) {
        let mut bytes = files()[which].clone().into_bytes();
        let at = at.index(bytes.len());
        for (target, value) in bytes.iter_mut().skip(at).zip(values) {
            *target = value;
        }
        read(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn other_numbers_never_panic(
        which in 0..2usize,
        at in any::<prop::sample::Index>(),
        number in prop::sample::select(NUMBERS.as_slice()),
    ) {
        let json = &files()[which];
        let (start, end) = *at.get(&numbers(json));
        read(&format!("{}{number}{}", &json[..start], &json[end..]));
    }

    /// The files beside a tokenizer, of any JSON.
    #[test]
    fn special_tokens_of_any_json_never_panic(
        which in 0..4usize,
        key in prop::sample::select(vec!["bos_token", "eos_token", "pad_token", "eos_token_id", "bos_token_id"]),
        value in prop::sample::select(vec![
            "null", "7", "-1", "[0, 1]", "[null, \"a\"]", "\"<s>\"", "\"no\"", "{\"content\": \"</s>\"}", "{}", "4294967296",
            "1e300", "[", "\u{feff}1",
        ]),
    ) {
        let folder = fuzz::folder();
        let path = folder.join("tokenizer.json");
        let names = ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json", "config.json"];
        // The files of the case before stand no longer there.
        names.iter().for_each(|name| drop(std::fs::remove_file(folder.join(name))));
        std::fs::write(folder.join(names[which]), format!("{{\"{key}\": {value}}}")).expect("written");
        let id_of = |token: &str| ["<s>", "</s>"].iter().position(|known| *known == token).map(|id| id as u32);
        let _ = SpecialTokens::beside(&path, &id_of);
    }

    #[test]
    fn cut_and_spliced_files_never_panic(
        which in 0..2usize,
        from in any::<prop::sample::Index>(),
        length in 1usize..200,
    ) {
        let bytes = files()[which].as_bytes();
        let from = from.index(bytes.len());
        read(&String::from_utf8_lossy(&bytes[..from]));
        let rest = &bytes[(from + length).min(bytes.len())..];
        read(&String::from_utf8_lossy(&[&bytes[..from], rest].concat()));
    }
}
