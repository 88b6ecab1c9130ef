//! Token ids on the texts of the shared data are those of the reference implementations, as
//! `scripts/make-token-goldens.py` found them: of `tokenizer.json`, of a GGUF file's tables, and of llama2.c's vocabulary.
use super::tests::shared;
use super::{tables_of, tokenizer_of};
use crate::base::hash::sha256_hex;
use crate::data::Tokenizer;
use crate::data::corpus::read_objects;
use crate::model::checkpoint::TokenizerSource;
use serde_json::Value;
use std::path::Path;

const MOST_BYTES: usize = 500_000;

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
        // Sorted by key, as the map is.
        Value::Object(map) => map.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

/// As `pieces` of the script.
fn pieces(path: &Path) -> Vec<String> {
    let mut pieces = Vec::new();
    if path.to_string_lossy().contains(".jsonl") {
        for (_, object) in read_objects(path).expect("objects") {
            strings(&Value::Object(object), &mut pieces);
        }
    } else {
        let text = std::fs::read_to_string(path).expect("a text");
        pieces.extend(text.split('\n').map(str::to_string));
    }
    pieces.retain(|piece| !piece.is_empty());
    let size: usize = pieces.iter().map(String::len).sum();
    pieces.into_iter().step_by(size / MOST_BYTES + 1).collect()
}

/// As in the script: SentencePiece drops extra spaces, which llama2.c keeps.
fn is_plain(piece: &str) -> bool {
    !piece.contains('<') && !piece.contains("  ") && piece == piece.trim_matches(' ')
}

/// Number and hash of the ids.
fn ids(tokenizer: &Tokenizer, texts: &[String], with_defaults: bool) -> (u64, String) {
    let (mut bytes, mut count) = (Vec::new(), 0);
    for text in texts {
        let ids = if with_defaults { tokenizer.encode_with_defaults(text) } else { tokenizer.encode(text) };
        let ids = ids.expect("ids");
        count += ids.len() as u64;
        bytes.extend(ids.iter().chain(&[u32::MAX]).flat_map(|id| id.to_le_bytes()));
    }
    (count, sha256_hex(&bytes))
}

#[test]
fn ids_are_those_of_the_reference_implementations() {
    let data = shared().join("data");
    if !data.exists() {
        crate::base::requirement::skip("shared", &format!("no {}", data.display()));
        return;
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/token_ids.json");
    let golden: Vec<Value> = serde_json::from_slice(&std::fs::read(golden).expect("goldens")).expect("JSON");
    // Which tokenizer, by what way it was read, and whether the reference adds what the tokenizer adds by default.
    let mut tokenizers: Vec<(&str, &str, Tokenizer, bool)> = Vec::new();
    for name in ["smollm2", "neox-20b"] {
        let source =
            TokenizerSource::TokenizerJson(data.join("tokenizers").join(name).join("tokenizer.json"));
        let own = tokenizer_of(&source).expect("a tokenizer");
        if name == "smollm2" {
            let tables = TokenizerSource::Gguf(Box::new(tables_of(&source, &own).expect("tables")));
            tokenizers.push((
                name,
                "a GGUF file's tables",
                tokenizer_of(&tables).expect("a tokenizer"),
                true,
            ));
        }
        tokenizers.push((name, "tokenizer.json", own, true));
    }
    let llama2c = TokenizerSource::Llama2c(data.join("models/stories260K/tok512.bin"));
    tokenizers.push(("stories260K", "llama2.c", tokenizer_of(&llama2c).expect("a tokenizer"), false));
    let mut held = 0;
    let texts: std::collections::BTreeSet<&str> =
        golden.iter().filter_map(|row| row["text"].as_str()).collect();
    for text in texts {
        let pieces = pieces(&data.join(text));
        for (name, way, tokenizer, with_defaults) in &tokenizers {
            let row = golden.iter().find(|row| row["text"] == text && row["tokenizer"] == *name);
            let row = row.expect("a golden for each text and tokenizer");
            let mut pieces = pieces.clone();
            if *name == "stories260K" {
                pieces.retain(|piece| is_plain(piece));
            }
            let (count, hash) = ids(tokenizer, &pieces, *with_defaults);
            assert_eq!(Some(count), row["tokens"].as_u64(), "{name} by {way}: number of ids in {text}");
            assert_eq!(Some(hash.as_str()), row["sha256"].as_str(), "{name} by {way}: ids of {text}");
            held += 1;
        }
    }
    assert_eq!(held, 4 * 13);
}
