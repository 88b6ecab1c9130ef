//! The tables of a GGUF file for a byte-level BPE `tokenizer.json`: the way back of `gguf_tokenizer`.
//!
//! A GGUF file names its rule of words instead of stating it. So the rule is found by comparison: the one among the
//! known whose `tokenizer.json` cuts and normalises as the given one does. What no table can say is refused, since a
//! file whose reader cuts text otherwise would score otherwise.
use super::error::DataError;
use super::gguf_tokenizer::tokenizer_json;
use super::tokenizer::Tokenizer;
use crate::base::vocabulary::VocabularyTables;
use serde_json::Value;

/// Names of llama.cpp, the commonest first.
const RULES: [&str; 4] = ["smollm", "gpt-2", "qwen2", "llama-bpe"];
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

impl VocabularyTables {
    /// The tables that stand for `tokenizer`.
    ///
    /// # Errors
    /// It is no byte-level BPE, or cuts or normalises text by a rule that has no name in GGUF files.
    pub fn of(tokenizer: &Tokenizer) -> Result<Self, DataError> {
        let json = parse(tokenizer.to_json())?;
        let kind = json["model"]["type"].as_str().unwrap_or("a model without a type");
        if kind != "BPE" || json["model"]["byte_fallback"] == true {
            let found = if kind == "BPE" { "BPE over SentencePiece's pieces" } else { kind };
            return Err(refusal(format!("it is {found}, not byte-level BPE")));
        }
        let mut tables = vocabulary(&json)?;
        // Where generation ends: what the model's config says, the tokenizer's own end first.
        let special = tokenizer.special_tokens();
        let mut ends: Vec<u32> = special.eos_id.into_iter().chain(special.stop_ids.iter().copied()).collect();
        ends.push(tokenizer.eos_id());
        let mut seen = std::collections::HashSet::new();
        ends.retain(|id| (*id as usize) < tables.tokens.len() && seen.insert(*id));
        let others = if special.stop_ids.is_empty() { 1 } else { 3 };
        ends.truncate(others);
        tables.eos_id = ends.first().copied();
        tables.other_end_ids = ends.into_iter().skip(1).collect();
        tables.padding_id = special.pad_id.filter(|id| (*id as usize) < tables.tokens.len());
        (tables.bos_id, tables.add_bos) = match beginning(&json)? {
            Some(bos) => (Some(bos), Some(true)),
            None => (Some(tokenizer.prefix_id()), Some(false)),
        };
        for rule in RULES {
            tables.pre = rule.to_string();
            if cuts(&parse(&tokenizer_json(&tables)?)?) == cuts(&json) {
                return Ok(tables);
            }
        }
        let known = RULES.join(", ");
        Err(refusal(format!("its `pre_tokenizer` and `normalizer` are of no rule known here ({known})")))
    }
}

fn refusal(reason: String) -> DataError {
    DataError::Tokenize { reason: format!("no GGUF tables stand for this tokenizer: {reason}") }
}

/// As the library writes it, with every default in place.
fn parse(json: &str) -> Result<Value, DataError> {
    let fault = |reason: String| DataError::Tokenize { reason };
    let tokenizer: tokenizers::Tokenizer =
        json.parse().map_err(|e: tokenizers::Error| fault(e.to_string()))?;
    let json = tokenizer.to_string(false).map_err(|e| fault(e.to_string()))?;
    serde_json::from_str(&json).map_err(|e| fault(e.to_string()))
}

/// All that decides, beside the vocabulary, which ids a text gets.
fn cuts(json: &Value) -> [Value; 3] {
    let mut pre_tokenizer = json["pre_tokenizer"].clone();
    forget_offsets(&mut pre_tokenizer);
    [pre_tokenizer, json["normalizer"].clone(), json["model"]["ignore_merges"].clone()]
}

/// `trim_offsets` changes no id.
fn forget_offsets(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("trim_offsets");
            map.values_mut().for_each(forget_offsets);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_offsets),
        _ => {}
    }
}

fn vocabulary(json: &Value) -> Result<VocabularyTables, DataError> {
    let id_of = |value: &Value| value.as_u64().and_then(|id| usize::try_from(id).ok());
    let pieces = json["model"]["vocab"].as_object().into_iter().flatten();
    let mut named: Vec<(usize, &str, i32)> =
        pieces.filter_map(|(token, id)| Some((id_of(id)?, token.as_str(), 1))).collect();
    for token in json["added_tokens"].as_array().into_iter().flatten() {
        let kind = if token["special"] == true { CONTROL } else { USER_DEFINED };
        named.extend(id_of(&token["id"]).zip(token["content"].as_str()).map(|(id, text)| (id, text, kind)));
    }
    let length = named.iter().map(|(id, ..)| id + 1).max().unwrap_or(0);
    // Ids without a token are few in real files, and bounded here.
    if length > 2 * named.len() + 1024 {
        return Err(refusal(format!("ids reach {length} for {} tokens", named.len())));
    }
    let mut tables = VocabularyTables {
        model: "gpt2".into(),
        tokens: (0..length).map(|id| format!("[PAD{id}]")).collect(),
        token_types: vec![UNUSED; length],
        ..VocabularyTables::default()
    };
    // Added tokens come last: they count where the vocabulary names them too.
    for (id, token, kind) in named {
        tables.tokens[id] = token.to_string();
        tables.token_types[id] = kind;
    }
    for (number, merge) in json["model"]["merges"].as_array().into_iter().flatten().enumerate() {
        let pair = merge.as_array().map(|pair| pair.iter().filter_map(Value::as_str).collect::<Vec<_>>());
        match (pair.as_deref(), merge.as_str()) {
            (Some([left, right]), _) => tables.merges.push(format!("{left} {right}")),
            (None, Some(text)) => tables.merges.push(text.to_string()),
            _ => return Err(refusal(format!("merge {number} is no pair"))),
        }
    }
    Ok(tables)
}

/// The token that the post-processor puts before every text.
fn beginning(json: &Value) -> Result<Option<u32>, DataError> {
    let processor = &json["post_processor"];
    let steps = match processor["type"].as_str() {
        Some("Sequence") => processor["processors"].as_array().cloned().unwrap_or_default(),
        _ => vec![processor.clone()],
    };
    let mut first = None;
    for step in steps {
        match step["type"].as_str() {
            None | Some("ByteLevel") => {}
            Some("TemplateProcessing") => {
                let template = step["single"].as_array().cloned().unwrap_or_default();
                let (special, text) = match template.as_slice() {
                    // The text alone: nothing is added.
                    [text] if text["Sequence"].is_object() => continue,
                    [special, text] => (special, text),
                    _ => return Err(refusal("its template is not one token before the text".into())),
                };
                let ids = special["SpecialToken"]["id"].as_str().map(|id| &step["special_tokens"][id]["ids"]);
                let id = ids.and_then(|ids| ids.as_array()?.first()?.as_u64());
                match id.and_then(|id| u32::try_from(id).ok()).filter(|_| text["Sequence"].is_object()) {
                    Some(id) => first = Some(id),
                    None => return Err(refusal("its template is not one token before the text".into())),
                }
            }
            Some(other) => return Err(refusal(format!("its post-processor is {other}"))),
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> Vec<String> {
        let documents = ["the cat sat on the mat", "12 345 don't  stop\n\n", " a \té 中 😀"];
        documents.iter().map(|text| text.to_string()).collect()
    }

    fn same_ids(a: &Tokenizer, b: &Tokenizer) {
        for text in texts().iter().map(String::as_str).chain(["<|endoftext|>the 2024 cats\r\n", ""]) {
            assert_eq!(
                a.encode_with_defaults(text).unwrap(),
                b.encode_with_defaults(text).unwrap(),
                "{text}"
            );
        }
        assert_eq!((a.vocab_size(), a.eos_id()), (b.vocab_size(), b.eos_id()));
    }

    #[test]
    fn tables_of_a_trained_tokenizer_give_its_ids() {
        let tokenizer = Tokenizer::train(&texts(), 300).unwrap();
        let tables = VocabularyTables::of(&tokenizer).unwrap();
        assert_eq!((tables.pre.as_str(), tables.token_types[0]), ("gpt-2", CONTROL));
        same_ids(&tokenizer, &Tokenizer::from_tables(&tables).unwrap());
    }

    /// There and back for every rule, with and without a token that begins texts.
    #[test]
    fn every_rule_is_found_again() {
        let trained = Tokenizer::train(&texts(), 300).unwrap();
        for rule in RULES {
            for add_bos in [false, true] {
                let mut tables = VocabularyTables::of(&trained).unwrap();
                tables.pre = rule.to_string();
                (tables.bos_id, tables.add_bos) = (Some(0), Some(add_bos));
                let tokenizer = Tokenizer::from_tables(&tables).unwrap();
                let again = VocabularyTables::of(&tokenizer).unwrap();
                assert_eq!((again.pre.as_str(), again.add_bos), (rule, Some(add_bos)));
                assert_eq!((&again.tokens, &again.merges), (&tables.tokens, &tables.merges));
                same_ids(&tokenizer, &Tokenizer::from_tables(&again).unwrap());
            }
        }
    }

    /// As transformers 5 writes it where nothing is added.
    #[test]
    fn a_template_of_the_text_alone_is_none() {
        let trained = Tokenizer::train(&texts(), 300).unwrap();
        let mut json: Value = serde_json::from_str(trained.to_json()).unwrap();
        json["post_processor"] = serde_json::json!({
            "type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}], "special_tokens": {}
        });
        let plain = Tokenizer::from_json(&json.to_string()).unwrap();
        let tables = VocabularyTables::of(&plain).unwrap();
        assert_eq!(tables.add_bos, Some(false));
        same_ids(&plain, &Tokenizer::from_tables(&tables).unwrap());
    }

    #[test]
    fn what_tables_cannot_say_is_refused() {
        let trained = Tokenizer::train(&texts(), 300).unwrap();
        let mut json: Value = serde_json::from_str(trained.to_json()).unwrap();
        json["normalizer"] = serde_json::json!({"type": "Lowercase"});
        let lower = Tokenizer::from_json(&json.to_string()).unwrap();
        let error = VocabularyTables::of(&lower).unwrap_err().to_string();
        assert!(error.contains("of no rule known here (smollm, gpt-2"), "{error}");
        json["normalizer"] = Value::Null;
        json["model"]["byte_fallback"] = true.into();
        let pieces = Tokenizer::from_json(&json.to_string()).unwrap();
        let error = VocabularyTables::of(&pieces).unwrap_err().to_string();
        assert!(error.contains("SentencePiece's pieces, not byte-level BPE"), "{error}");
    }
}
