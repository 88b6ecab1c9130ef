//! Metadata under `tokenizer.ggml.*`: the vocabulary that travels with the model.
use crate::base::vocabulary::VocabularyTables;

use super::header::{Entry, Fault, Header, Value};

/// The vocabulary, where the file has one.
pub(super) fn read(header: &Header) -> Result<Option<VocabularyTables>, Fault> {
    let get = |key: &str| header.metadata.get(&format!("tokenizer.ggml.{key}"));
    let wrong = |key: &str, entry: &Entry, expected: &str| {
        let problem = format!("`tokenizer.ggml.{key}` is {}, expected {expected}", entry.value.describe());
        Fault::new(entry.offset, problem)
    };
    let text = |key| match get(key) {
        None => Ok(String::new()),
        Some(Entry { value: Value::Text(text), .. }) => Ok(text.clone()),
        Some(other) => Err(wrong(key, other, "a string")),
    };
    let texts = |key| match get(key) {
        None => Ok(Vec::new()),
        Some(Entry { value: Value::Texts(texts), .. }) => Ok(texts.clone()),
        Some(other) => Err(wrong(key, other, "an array of strings")),
    };
    let flag = |key| match get(key) {
        None => Ok(None),
        Some(Entry { value: Value::Bool(flag), .. }) => Ok(Some(*flag)),
        Some(other) => Err(wrong(key, other, "true or false")),
    };
    if get("tokens").is_none() {
        return Ok(None);
    }
    let tokens: Vec<String> = texts("tokens")?;
    let num_tokens = tokens.len();
    let id = |key| match get(key) {
        None => Ok(None),
        Some(Entry { value: Value::Integer(id), .. }) if (0..num_tokens as i128).contains(id) => {
            Ok(Some(*id as u32))
        }
        // Some writers say "none" by -1.
        Some(Entry { value: Value::Integer(-1 | 0xFFFF_FFFF), .. }) => Ok(None),
        Some(other) => Err(wrong(key, other, &format!("a token id below {num_tokens}"))),
    };
    let token_types = match get("token_type") {
        None => Vec::new(),
        Some(Entry { value: Value::Integers(types), .. })
            if types.len() == num_tokens && types.iter().all(|t| (0..=6).contains(t)) =>
        {
            types.iter().map(|t| *t as i32).collect()
        }
        Some(other) => {
            return Err(wrong("token_type", other, &format!("{num_tokens} integers from 0 to 6")));
        }
    };
    let scores = match get("scores") {
        None => Vec::new(),
        Some(Entry { value: Value::F32s(scores), .. })
            if scores.len() == num_tokens && scores.iter().all(|score| !score.is_nan()) =>
        {
            scores.clone()
        }
        Some(other) => return Err(wrong("scores", other, &format!("{num_tokens} numbers"))),
    };
    Ok(Some(VocabularyTables {
        model: text("model")?,
        pre: text("pre")?,
        token_types,
        scores,
        merges: texts("merges")?,
        bos_id: id("bos_token_id")?,
        eos_id: id("eos_token_id")?,
        other_end_ids: [id("eot_token_id")?, id("eom_token_id")?].into_iter().flatten().collect(),
        padding_id: id("padding_token_id")?,
        unknown_id: id("unknown_token_id")?,
        add_bos: flag("add_bos_token")?,
        add_space_prefix: flag("add_space_prefix")?,
        tokens,
    }))
}
