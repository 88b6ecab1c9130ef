//! The files by which `transformers` knows an exported model's tokenizer, and where its generation begins and ends.
//!
//! | file | what stands in it |
//! |---|---|
//! | `tokenizer.json` | the tokenizer as it is |
//! | `tokenizer_config.json` | what the source's says; the class that takes `tokenizer.json` as it is; the tokens that begin and end a text |
//! | `generation_config.json` | what the source's says; ids of those tokens, lists included |
//! | `chat_template.jinja` | the source's, where there is one |
//!
//! The class matters: others of `transformers` build a tokenizer of their own from the vocabulary, which cuts text
//! otherwise.
use crate::base::input;
use crate::data::Tokenizer;
use crate::data::special_tokens::{GENERATION_CONFIG, SPECIAL_TOKENS_MAP, TOKENIZER_CONFIG};
use crate::model::checkpoint::EndTokens;
use anyhow::{Result, anyhow};
use serde_json::{Map, Value};
use std::path::Path;

/// Takes a `tokenizer.json` as it is.
const CLASS: &str = "PreTrainedTokenizerFast";
const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// Largest of these files that is read.
const MAX_BYTES: u64 = 1 << 26;
/// Names of tokens that go from `special_tokens_map.json` into `tokenizer_config.json`.
const NAMES: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];

/// Where generation with the tokenizer's model begins and ends; its embedding has `num_rows` rows.
pub(super) fn ends(tokenizer: &Tokenizer, num_rows: usize) -> EndTokens {
    let special = tokenizer.special_tokens();
    let is_row = |id: &u32| (*id as usize) < num_rows;
    let mut eos_ids: Vec<u32> = special.stop_ids.iter().copied().filter(is_row).collect();
    // A model's config may name what its tokenizer does not: both count.
    if let Some(own) = special.eos_id.filter(is_row)
        && !eos_ids.contains(&own)
    {
        eos_ids.push(own);
    }
    if eos_ids.is_empty() {
        eos_ids.push(tokenizer.eos_id());
    }
    // The token that stands before a text is the one that begins it, unless it is the one that ends it.
    let by_name =
        Some(tokenizer.prefix_id()).filter(|id| *id != tokenizer.eos_id() && Some(*id) != special.eos_id);
    let bos_id = special.model_bos_id.or(special.bos_id).or(by_name).filter(is_row);
    EndTokens { bos_id, eos_ids, pad_id: special.pad_id.filter(is_row) }
}

/// The files by name; `source` is the `tokenizer.json` that they are made of, where there is one.
pub(super) fn files(
    tokenizer: &Tokenizer,
    ends: &EndTokens,
    source: Option<&Path>,
) -> Result<Vec<(&'static str, String)>> {
    let beside = |name: &str| source.map(|path| path.with_file_name(name)).filter(|path| path.exists());
    let object = |name: &str| -> Result<Map<String, Value>> {
        let Some(path) = beside(name) else { return Ok(Map::new()) };
        let fault = |problem: String| anyhow!("`{}`: {problem}", path.display());
        let text = input::read_text(&path, MAX_BYTES).map_err(|e| fault(format!("cannot read: {e}")))?;
        serde_json::from_str(&text).map_err(|e| fault(format!("broken JSON: {e}")))
    };
    let mut config = object(TOKENIZER_CONFIG)?;
    let named = object(SPECIAL_TOKENS_MAP)?;
    // Code of its own is not copied, and what it would do is not known.
    config.remove("auto_map");
    config.insert("tokenizer_class".into(), CLASS.into());
    let is_named =
        |config: &Map<String, Value>, key: &str| config.get(key).is_some_and(|token| !token.is_null());
    for key in NAMES {
        if let Some(token) = named.get(key).filter(|_| !is_named(&config, key)) {
            config.insert(key.into(), token.clone());
        }
    }
    let special = tokenizer.special_tokens();
    let eos = special.eos_id.or(ends.eos_ids.first().copied());
    for (key, id) in [("bos_token", special.bos_id.or(ends.bos_id)), ("eos_token", eos)] {
        if let Some(token) = id.and_then(|id| tokenizer.token(id)).filter(|_| !is_named(&config, key)) {
            config.insert(key.into(), token.into());
        }
    }
    let mut generation = object(GENERATION_CONFIG)?;
    for (key, value) in ends.to_json() {
        if !value.is_null() || key != "pad_token_id" {
            generation.insert(key.into(), value);
        }
    }
    let mut files = vec![
        ("tokenizer.json", tokenizer.to_json().to_string()),
        (TOKENIZER_CONFIG, pretty(config)),
        (GENERATION_CONFIG, pretty(generation)),
    ];
    if let Some(path) = beside(CHAT_TEMPLATE) {
        let text = input::read_text(&path, MAX_BYTES)
            .map_err(|e| anyhow!("`{}`: cannot read: {e}", path.display()))?;
        files.push((CHAT_TEMPLATE, text));
    }
    Ok(files)
}

fn pretty(map: Map<String, Value>) -> String {
    format!("{:#}\n", Value::Object(map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::SpecialTokens;

    /// What stands before a text for want of a beginning does not become one.
    #[test]
    fn an_end_is_no_beginning() {
        let trained = Tokenizer::train(&[], 257).unwrap();
        let with = |special: SpecialTokens| Tokenizer::from_parts(trained.to_json(), special).unwrap();
        let bare = EndTokens { bos_id: None, eos_ids: vec![0], pad_id: None };
        assert_eq!(ends(&trained, 257), bare);
        let named = with(SpecialTokens { eos_id: Some(2), ..SpecialTokens::default() });
        assert_eq!(ends(&named, 257), EndTokens { eos_ids: vec![2], ..bare.clone() });
        let both = SpecialTokens {
            bos_id: Some(1),
            eos_id: Some(2),
            pad_id: Some(300),
            stop_ids: vec![0, 2, 300],
            ..SpecialTokens::default()
        };
        let expected = EndTokens { bos_id: Some(1), eos_ids: vec![0, 2], pad_id: None };
        assert_eq!(ends(&with(both), 257), expected);
    }
}
