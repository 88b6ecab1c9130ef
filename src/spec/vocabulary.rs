//! How many tokens a tokenizer has, which decides the size of the embedding.
use super::types::TokenizerSpec;
use crate::base::input;
use std::path::Path;

/// Largest `tokenizer.json` that is read.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Rows of the embedding for `tokenizer`: the size that a BPE is to be trained to, one more than the largest id in a
/// `tokenizer.json`, or what the source model has.
///
/// # Errors
/// In words, what is wrong with the file.
pub fn vocab_size(tokenizer: &TokenizerSpec) -> Result<usize, String> {
    match tokenizer {
        TokenizerSpec::Bpe { vocab_size } | TokenizerSpec::Model { vocab_size } => Ok(*vocab_size),
        TokenizerSpec::File { path } => of_file(Path::new(path)),
    }
}

fn of_file(path: &Path) -> Result<usize, String> {
    let text = input::read_text(path, MAX_FILE_BYTES)
        .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let json: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| format!("`{}` is not a tokenizer.json: {error}", path.display()))?;
    let ids = |value: &serde_json::Value| value.as_u64();
    // BPE and WordPiece map token → id; Unigram lists its pieces in the order of their ids.
    let base = match &json["model"]["vocab"] {
        serde_json::Value::Object(map) => map.values().filter_map(ids).max(),
        serde_json::Value::Array(list) => (list.len() as u64).checked_sub(1),
        _ => None,
    };
    let added =
        json["added_tokens"].as_array().into_iter().flatten().filter_map(|token| ids(&token["id"])).max();
    match base.max(added) {
        Some(largest) if largest < u32::MAX as u64 => Ok(largest as usize + 1),
        _ => Err(format!("`{}` is not a tokenizer.json: it has no `model.vocab`", path.display())),
    }
}
