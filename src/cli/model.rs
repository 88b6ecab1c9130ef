//! A model that a user names: where it lies, on this disk or on the hub, and its tokenizer.
use crate::data::Tokenizer;
use crate::data::hub::{self, Hub};
use crate::eval::tokenizer_of;
use crate::model::ModelConfig;
use crate::model::checkpoint::TokenizerSource;
use anyhow::{Result, anyhow, bail};
use std::path::{Path, PathBuf};

/// Says which token begins a text, beside a `tokenizer.json`.
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// The folder or file that `place` names; what is on the hub is fetched.
pub(super) fn resolve(place: &str) -> Result<PathBuf> {
    if place.starts_with(hub::PREFIX) {
        return Ok(Hub::from_env()?.folder(place)?);
    }
    let path = PathBuf::from(place);
    if !path.exists() {
        bail!(
            "no model `{place}`\nhint: a model is a folder with `config.json`, `model.safetensors` and `tokenizer.json`, a `.gguf` file, a llama2.c file, or `hf:org/name`"
        );
    }
    Ok(path)
}

/// The tokenizer of the model that was named `place`, if the two can belong together.
pub(super) fn tokenizer_for(
    source: &TokenizerSource,
    config: &ModelConfig,
    place: &str,
) -> Result<Tokenizer> {
    let mut tokenizer = tokenizer_of(source).map_err(|e| anyhow!("tokenizer of `{place}`: {e}"))?;
    if let TokenizerSource::TokenizerJson(path) = source {
        tokenizer = with_own_prefix(tokenizer, &path.with_file_name(TOKENIZER_CONFIG))?;
    }
    let (tokens, rows) = (tokenizer.vocab_size(), config.vocab_size);
    if tokens > rows {
        bail!(
            "`{place}`: the tokenizer has {tokens} tokens, the model embeds {rows}: they do not belong together"
        );
    }
    Ok(tokenizer)
}

/// `tokenizer_config.json` says which token begins a text, as `bos_token` (else `eos_token`), a text or an object with
/// its `content`; without that file the names in use decide.
fn with_own_prefix(tokenizer: Tokenizer, path: &Path) -> Result<Tokenizer> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(tokenizer) };
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| anyhow!("`{}` is broken JSON: {e}", path.display()))?;
    let token = ["bos_token", "eos_token"].iter().find_map(|key| {
        let value = json.get(key)?;
        value.as_str().or_else(|| value.get("content")?.as_str())
    });
    let Some(token) = token else { return Ok(tokenizer) };
    match tokenizer.with_prefix(token) {
        Some(tokenizer) => Ok(tokenizer),
        None => bail!("`{}` names the token `{token}`, which `tokenizer.json` does not have", path.display()),
    }
}
