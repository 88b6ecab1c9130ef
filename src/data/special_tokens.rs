//! Which tokens begin and end a text, as the files beside a `tokenizer.json` say.
//!
//! | file | what it names |
//! |---|---|
//! | `tokenizer_config.json` | `bos_token`, `eos_token`, `pad_token`: a text, or an object with its `content` |
//! | `special_tokens_map.json` | the same, where the first does not |
//! | `generation_config.json` | `bos_token_id`, `eos_token_id`, `pad_token_id`: a number or a list of them |
//! | `config.json` | the same, where the one before does not |
//!
//! The first two belong to the tokenizer and decide what it puts before a text; the last two belong to the model and
//! decide where generation stops. All are what `transformers` reads; any of them may be missing.
use super::error::DataError;
use crate::base::input;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
pub const SPECIAL_TOKENS_MAP: &str = "special_tokens_map.json";
pub const GENERATION_CONFIG: &str = "generation_config.json";
const MODEL_CONFIG: &str = "config.json";

/// Largest of these files that is read; a chat template makes some of them long.
const MAX_BYTES: u64 = 1 << 26;

/// The tokens with a role, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpecialTokens {
    /// Begins a text, by the tokenizer's own files.
    pub bos_id: Option<u32>,
    /// Ends a text, by the tokenizer's own files.
    pub eos_id: Option<u32>,
    pub pad_id: Option<u32>,
    /// Begins a text, by the model's config.
    pub model_bos_id: Option<u32>,
    /// Generation ends at any of them, by the model's config.
    pub stop_ids: Vec<u32>,
}

impl SpecialTokens {
    /// What the files beside the `tokenizer.json` at `path` say; `id_of` knows its tokens.
    ///
    /// # Errors
    /// A file that cannot be read or is no JSON object, and a token that begins texts (or, where none does, ends them)
    /// by its name in `tokenizer_config.json` and that the tokenizer does not have.
    pub(super) fn beside(path: &Path, id_of: &dyn Fn(&str) -> Option<u32>) -> Result<Self, DataError> {
        let read = |name: &str| read(&path.with_file_name(name));
        let names = [read(TOKENIZER_CONFIG)?, read(SPECIAL_TOKENS_MAP)?];
        let ids = [read(GENERATION_CONFIG)?, read(MODEL_CONFIG)?];
        let name = |key: &str| names.iter().flatten().find_map(|json| text(json.get(key)?));
        let id = |key: &str| {
            let found = ids.iter().flatten().find_map(|json| json.get(key).filter(|value| !value.is_null()));
            found.map_or_else(Vec::new, numbers)
        };
        // A token that is named and missing would be added by transformers, with an id that no embedding has.
        if let Some(token) = name("bos_token").or_else(|| name("eos_token"))
            && id_of(&token).is_none()
        {
            let path = path.with_file_name(TOKENIZER_CONFIG);
            let reason = format!("it names the token `{token}`, which `tokenizer.json` does not have");
            return Err(DataError::Tokenizer { path, reason });
        }
        let named = |key: &str| name(key).and_then(|token| id_of(&token));
        Ok(SpecialTokens {
            bos_id: named("bos_token"),
            eos_id: named("eos_token"),
            pad_id: named("pad_token").or_else(|| id("pad_token_id").first().copied()),
            model_bos_id: id("bos_token_id").first().copied(),
            stop_ids: id("eos_token_id"),
        })
    }
}

/// The JSON object in the file; `None` where there is no such file.
fn read(path: &Path) -> Result<Option<Value>, DataError> {
    if !path.exists() {
        return Ok(None);
    }
    let text = input::read_text(path, MAX_BYTES)
        .map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
    let fault = |reason: String| DataError::Tokenizer { path: path.to_path_buf(), reason };
    match serde_json::from_str(&text) {
        Ok(json @ Value::Object(_)) => Ok(Some(json)),
        Ok(_) => Err(fault("it is no JSON object".to_string())),
        Err(error) => Err(fault(format!("broken JSON: {error}"))),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(String::from)
}

/// One number or a list of them; what is no token id is left out.
fn numbers(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(all) => all.iter().filter_map(id).collect(),
        one => id(one).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn id_of(token: &str) -> Option<u32> {
        ["<a>", "<b>", "<c>"].iter().position(|known| *known == token).map(|id| id as u32)
    }

    #[test]
    fn names_count_for_the_tokenizer_and_ids_for_the_model() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("tokenizer.json");
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        let found = || SpecialTokens::beside(&path, &id_of);
        assert_eq!(found().expect("tokens"), SpecialTokens::default());
        write("config.json", r#"{"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": null}"#);
        let by_config =
            SpecialTokens { model_bos_id: Some(1), stop_ids: vec![2], ..SpecialTokens::default() };
        assert_eq!(found().expect("tokens"), by_config);
        write("generation_config.json", "\u{feff}{\"eos_token_id\": [0, 2], \"pad_token_id\": 7}");
        write("special_tokens_map.json", r#"{"bos_token": {"content": "<b>"}, "eos_token": "<a>"}"#);
        write("tokenizer_config.json", r#"{"bos_token": null, "eos_token": "<c>"}"#);
        let expected = SpecialTokens {
            bos_id: Some(1),
            eos_id: Some(2),
            pad_id: Some(7),
            model_bos_id: Some(1),
            stop_ids: vec![0, 2],
        };
        assert_eq!(found().expect("tokens"), expected);
        write("tokenizer_config.json", r#"{"bos_token": "<x>"}"#);
        let message = found().expect_err("a fault").to_string();
        assert!(message.contains("names the token `<x>`, which `tokenizer.json` does not have"), "{message}");
        write("tokenizer_config.json", "[");
        assert!(found().expect_err("a fault").to_string().contains("broken JSON"));
    }
}
