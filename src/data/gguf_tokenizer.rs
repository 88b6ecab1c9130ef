//! A tokenizer from the tables that travel inside a GGUF file, written as the `tokenizer.json` that they stand for.
//!
//! | `model` | vocabulary | text → words | BOS unless told otherwise |
//! |---|---|---|---|
//! | `gpt2` | byte-level BPE with its merges | the rule named by `pre` | no |
//! | `llama` | SentencePiece BPE with scores, bytes as `<0xNN>` | none; a space stands before the text, spaces are `▁` | yes |
//!
//! SentencePiece joins, again and again, the two neighbours whose union scores highest; BPE those of the earliest
//! merge. So the merges of `llama` are all ways to cut a piece into two pieces, by falling score of the whole (as
//! `transformers` converts such models). They differ only where two different pieces have one score.
use super::error::DataError;
use super::special_tokens::SpecialTokens;
use super::tokenizer::Tokenizer;
use crate::base::vocabulary::VocabularyTables;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Words as Qwen2 cuts them: GPT-2's rule with single digits and line ends apart.
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Words as Llama 3 cuts them: as Qwen2 with digits in threes.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const KNOWN_RULES: &str = "smollm, gpt-2, default, qwen2, llama-bpe";

/// Types of tokens that matter here.
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

impl Tokenizer {
    /// The tokenizer of a GGUF model.
    ///
    /// # Errors
    /// A model or a rule that is not known, tables that do not fit each other, and no end-of-document token.
    pub fn from_tables(tables: &VocabularyTables) -> Result<Self, DataError> {
        let json = tokenizer_json(tables)?;
        let stop_ids = tables.eos_id.into_iter().chain(tables.other_end_ids.iter().copied()).collect();
        let special = SpecialTokens {
            bos_id: tables.bos_id,
            eos_id: tables.eos_id,
            pad_id: tables.padding_id,
            model_bos_id: tables.bos_id,
            stop_ids,
        };
        Self::from_parts(&json, special)
    }
}

fn fault(reason: String) -> DataError {
    DataError::Tokenize { reason }
}

/// The `tokenizer.json` that `tables` stand for.
///
/// # Errors
/// As [`Tokenizer::from_tables`].
pub fn tokenizer_json(tables: &VocabularyTables) -> Result<String, DataError> {
    let num_tokens = tables.tokens.len();
    for (name, length) in [("token types", tables.token_types.len()), ("scores", tables.scores.len())] {
        if length != 0 && length != num_tokens {
            return Err(fault(format!("{length} {name} for {num_tokens} tokens")));
        }
    }
    let mut ids: HashMap<&str, u32> = HashMap::with_capacity(num_tokens);
    for (id, token) in tables.tokens.iter().enumerate() {
        if let Some(first) = ids.insert(token, id as u32) {
            let token = token.escape_debug();
            return Err(fault(format!("tokens {first} and {id} are the same: `{token}`")));
        }
    }
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let (model, pre_tokenizer, normalizer, decoder, default_bos) = match tables.model.as_str() {
        "gpt2" => {
            let (pre_tokenizer, normalizer) = word_rule(&tables.pre, &byte_level)?;
            (byte_level_bpe(tables)?, pre_tokenizer, normalizer, byte_level, false)
        }
        "llama" => {
            let (normalizer, decoder) = spaces(tables.add_space_prefix.unwrap_or(true));
            (sentence_piece(tables, &ids)?, Value::Null, normalizer, decoder, true)
        }
        other => {
            let other = other.escape_debug();
            return Err(fault(format!("vocabulary of model `{other}`, expected gpt2 or llama")));
        }
    };
    let post_processor = match tables.bos_id {
        Some(bos) if tables.add_bos.unwrap_or(default_bos) => beginning(tables, bos)?,
        _ => Value::Null,
    };
    let json = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(tables),
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    });
    Ok(json.to_string())
}

/// Control and user-defined tokens, which are found in text before anything else.
fn added_tokens(tables: &VocabularyTables) -> Vec<Value> {
    let added = |(id, kind): (usize, &i32)| {
        let special = matches!(*kind, CONTROL | UNKNOWN);
        (special || *kind == USER_DEFINED).then(|| {
            json!({
                "id": id, "content": tables.tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": special,
            })
        })
    };
    tables.token_types.iter().enumerate().filter_map(added).collect()
}

/// Pre-tokenizer and normaliser of the rule `pre`.
fn word_rule(pre: &str, byte_level: &Value) -> Result<(Value, Value), DataError> {
    let sequence = |first: Value, regex: bool| {
        let mut last = byte_level.clone();
        last["use_regex"] = regex.into();
        json!({"type": "Sequence", "pretokenizers": [first, last]})
    };
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    Ok(match pre {
        "" | "gpt-2" | "gpt2" | "default" => (byte_level.clone(), Value::Null),
        "smollm" => (sequence(json!({"type": "Digits", "individual_digits": true}), true), Value::Null),
        "qwen2" => (sequence(split(QWEN2), false), json!({"type": "NFC"})),
        "llama-bpe" | "llama3" => (sequence(split(LLAMA3), false), Value::Null),
        other => {
            let other = other.escape_debug();
            return Err(fault(format!("pre-tokenizer `{other}` is not known; known: {KNOWN_RULES}")));
        }
    })
}

fn vocabulary(tables: &VocabularyTables) -> Map<String, Value> {
    tables.tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect()
}

fn byte_level_bpe(tables: &VocabularyTables) -> Result<Value, DataError> {
    let mut merges = Vec::with_capacity(tables.merges.len());
    for (number, merge) in tables.merges.iter().enumerate() {
        // No piece is empty: a space at the very beginning is part of the left one.
        let after_first = merge.chars().next().map_or(0, char::len_utf8);
        let Some(at) = merge[after_first..].find(' ').map(|at| at + after_first) else {
            let merge = merge.escape_debug();
            return Err(fault(format!(
                "merge {number} is `{merge}`, expected two pieces with a space between"
            )));
        };
        merges.push(json!([&merge[..at], &merge[at + 1..]]));
    }
    Ok(json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
        // Llama 3 takes a word that is a token as it stands, whatever the merges would make of it.
        "ignore_merges": matches!(tables.pre.as_str(), "llama-bpe" | "llama3"),
        "vocab": vocabulary(tables), "merges": merges,
    }))
}

fn sentence_piece(tables: &VocabularyTables, ids: &HashMap<&str, u32>) -> Result<Value, DataError> {
    if tables.scores.len() != tables.tokens.len() {
        return Err(fault("a vocabulary of model `llama` needs a score for each token".into()));
    }
    let normal = |id: usize| tables.token_types.get(id).is_none_or(|kind| *kind == 1);
    let mut cuts: Vec<(f32, u32, u32)> = Vec::new();
    for (id, token) in tables.tokens.iter().enumerate().filter(|(id, _)| normal(*id)) {
        // A hostile vocabulary of huge pieces would take quadratic time; real ones are of some tens of characters.
        for (at, _) in token.char_indices().skip(1).take(256) {
            let (left, right) = token.split_at(at);
            if let (Some(&left), Some(&right)) = (ids.get(left), ids.get(right)) {
                cuts.push((tables.scores[id], left, right));
            }
        }
    }
    cuts.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let name = |id: u32| tables.tokens[id as usize].as_str();
    let merges: Vec<Value> = cuts.into_iter().map(|(_, l, r)| json!([name(l), name(r)])).collect();
    let unknown = tables
        .unknown_id
        .or_else(|| tables.token_types.iter().position(|kind| *kind == UNKNOWN).map(|id| id as u32));
    let unknown = unknown.and_then(|id| tables.tokens.get(id as usize));
    Ok(json!({
        "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
        "vocab": vocabulary(tables), "merges": merges,
    }))
}

/// Normaliser and decoder of SentencePiece's spaces.
fn spaces(prefix: bool) -> (Value, Value) {
    let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let mut normalizers = vec![replace];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefix {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    (
        json!({"type": "Sequence", "normalizers": normalizers}),
        json!({"type": "Sequence", "decoders": decoders}),
    )
}

/// The post-processor that puts token `bos` before every text.
fn beginning(tables: &VocabularyTables, bos: u32) -> Result<Value, DataError> {
    let Some(token) = tables.tokens.get(bos as usize) else {
        return Err(fault(format!("BOS is token {bos} of {}", tables.tokens.len())));
    };
    let special = json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |name: &str, type_id: u32| json!({"Sequence": {"id": name, "type_id": type_id}});
    Ok(json!({
        "type": "TemplateProcessing",
        "single": [special, text("A", 0)],
        "pair": [special, text("A", 0), special, text("B", 1)],
        "special_tokens": {token: {"id": token, "ids": [bos], "tokens": [token]}},
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn byte_tokens() -> Vec<String> {
        let mut alphabet: Vec<char> =
            tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        alphabet.into_iter().map(String::from).collect()
    }

    /// 0 `<|endoftext|>`, the bytes, then `th`, `the`, `Ġthe`.
    fn gpt2(pre: &str) -> VocabularyTables {
        let mut tokens = vec!["<|endoftext|>".to_string()];
        tokens.extend(byte_tokens());
        tokens.extend(["th", "the", "Ġthe", "12"].map(String::from));
        let mut token_types = vec![1; tokens.len()];
        token_types[0] = CONTROL;
        VocabularyTables {
            model: "gpt2".into(),
            pre: pre.into(),
            tokens,
            token_types,
            merges: ["t h", "th e", "Ġ the", "1 2"].map(String::from).to_vec(),
            bos_id: Some(0),
            eos_id: Some(0),
            ..VocabularyTables::default()
        }
    }

    fn pieces(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
        let ids = tokenizer.encode(text).expect("ids");
        ids.iter().map(|id| tokenizer.decode(&[*id]).expect("a piece")).collect()
    }

    #[test]
    fn rules_cut_digits_as_their_names_say() {
        for (pre, expected) in [
            ("smollm", vec!["the", " the", "1", "2"]),
            ("gpt-2", vec!["the", " the", "12"]),
            ("", vec!["the", " the", "12"]),
            ("qwen2", vec!["the", " the", "1", "2"]),
            ("llama-bpe", vec!["the", " the", "12"]),
        ] {
            let tokenizer = Tokenizer::from_tables(&gpt2(pre)).expect("a tokenizer");
            assert_eq!(pieces(&tokenizer, "the the12"), expected, "{pre}");
            assert_eq!(tokenizer.encode("a<|endoftext|>").expect("ids")[1..], [0]);
            assert_eq!((tokenizer.eos_id(), tokenizer.num_bytes(0), tokenizer.num_bytes(259)), (0, 0, 4));
        }
    }

    #[test]
    fn the_beginning_is_added_where_the_file_says_so() {
        for (model, add_bos, expected) in
            [("gpt2", None, false), ("gpt2", Some(true), true), ("gpt2", Some(false), false)]
        {
            let tables = VocabularyTables { model: model.into(), add_bos, ..gpt2("") };
            let ids = Tokenizer::from_tables(&tables).expect("a tokenizer").encode_with_defaults("the");
            assert_eq!(ids.expect("ids").first() == Some(&0), expected, "{model} {add_bos:?}");
        }
    }

    /// Scores decide: `ab` before `bc`, and `abc` only by way of `ab`.
    #[test]
    fn sentence_pieces_join_by_score() {
        let tokens = ["<unk>", "<s>", "</s>", "<0x21>", "▁", "a", "b", "c", "ab", "bc", "▁ab"];
        let tables = VocabularyTables {
            model: "llama".into(),
            tokens: tokens.map(String::from).to_vec(),
            token_types: vec![2, 3, 3, 6, 1, 1, 1, 1, 1, 1, 1],
            scores: vec![0.0, 0.0, 0.0, 0.0, -9.0, -9.0, -9.0, -9.0, -1.0, -2.0, -3.0],
            bos_id: Some(1),
            eos_id: Some(2),
            ..VocabularyTables::default()
        };
        let tokenizer = Tokenizer::from_tables(&tables).expect("a tokenizer");
        assert_eq!(tokenizer.encode("abc").expect("ids"), [10, 7]);
        assert_eq!(tokenizer.encode("bc!").expect("ids"), [4, 9, 3]);
        assert_eq!(tokenizer.encode_with_defaults("c").expect("ids"), [1, 4, 7]);
        assert_eq!(tokenizer.decode(&[10, 7, 4, 3]).expect("text"), "abc !");
        assert_eq!((tokenizer.eos_id(), tokenizer.prefix_id()), (2, 1));
    }

    #[test]
    fn faults_say_what_is_known() {
        let message =
            |tables: &VocabularyTables| Tokenizer::from_tables(tables).err().expect("a fault").to_string();
        let tables = gpt2("tekken");
        assert_eq!(
            message(&tables),
            "tokenizer: pre-tokenizer `tekken` is not known; known: smollm, gpt-2, default, qwen2, llama-bpe"
        );
        let tables = VocabularyTables { model: "t5".into(), ..gpt2("") };
        assert_eq!(message(&tables), "tokenizer: vocabulary of model `t5`, expected gpt2 or llama");
        let mut tables = gpt2("");
        tables.tokens[5] = "th".into();
        assert_eq!(message(&tables), "tokenizer: tokens 5 and 257 are the same: `th`");
        let mut tables = gpt2("");
        tables.merges[1] = "the".into();
        assert_eq!(message(&tables), "tokenizer: merge 1 is `the`, expected two pieces with a space between");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, rng_seed: proptest::test_runner::RngSeed::Fixed(5), failure_persistence: None, ..ProptestConfig::default() })]
        /// Whatever stands in the tables: a tokenizer that encodes, or an error.
        #[test]
        fn no_tables_panic(
            at in 0usize..262, token in "\\PC{0,6}", merge in "\\PC{0,3} ?\\PC{0,3}", kind in -2i32..8,
            bos in 0u32..300, llama in any::<bool>(), score in any::<f32>(), cut in 0usize..300,
        ) {
            let mut tables = gpt2("smollm");
            if llama {
                tables.model = "llama".into();
                tables.scores = vec![score; tables.tokens.len()];
            }
            let at = at % tables.tokens.len();
            tables.tokens[at] = token;
            tables.token_types[at] = kind;
            tables.merges[at % 4] = merge;
            (tables.bos_id, tables.add_bos) = (Some(bos), Some(true));
            tables.token_types.truncate(cut);
            if let Ok(tokenizer) = Tokenizer::from_tables(&tables) {
                let _ = tokenizer.encode_with_defaults("the 12 and é").map(|ids| tokenizer.decode(&ids));
            }
        }
    }
}
