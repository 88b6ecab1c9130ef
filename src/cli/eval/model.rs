//! The model that `eval --model` names, with its tokenizer and a fingerprint of both.
use crate::base::hash::{sha256_file, sha256_hex};
use crate::data::Tokenizer;
use crate::model::{ModelConfig, Weights, checkpoint};
use crate::tensor::Backend;
use anyhow::{Result, anyhow, bail};
use std::path::Path;

/// A model ready to score text.
pub(super) struct Model<B: Backend> {
    pub(super) config: ModelConfig,
    pub(super) weights: Weights<B::Tensor>,
    pub(super) tokenizer: Tokenizer,
    /// Hash of all files that can change a score.
    pub(super) fingerprint: String,
}

/// Files that make up a model; the last may be absent.
const FILES: [&str; 4] = ["config.json", "model.safetensors", "tokenizer.json", TOKENIZER_CONFIG];
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Reads the model at `place`, a folder with `config.json`, `model.safetensors` and `tokenizer.json`.
pub(super) fn load<B: Backend>(backend: &B, place: &str) -> Result<Model<B>> {
    let folder = Path::new(place);
    if !folder.is_dir() {
        bail!(
            "no model folder `{place}`\nhint: `--model` names a folder with `config.json`, `model.safetensors` and `tokenizer.json`"
        );
    }
    let tokenizer = Tokenizer::from_file(&folder.join("tokenizer.json"))?;
    let tokenizer = with_own_prefix(tokenizer, &folder.join(TOKENIZER_CONFIG))?;
    let (config, weights) = checkpoint::load(backend, folder)?;
    if tokenizer.vocab_size() > config.vocab_size {
        bail!(
            "`{place}`: the tokenizer has {} tokens, the model embeds {}: they do not belong together",
            tokenizer.vocab_size(),
            config.vocab_size
        );
    }
    let mut hashes = String::new();
    for name in FILES {
        let path = folder.join(name);
        if name != TOKENIZER_CONFIG || path.is_file() {
            let hash = sha256_file(&path).map_err(|e| anyhow!("cannot read `{}`: {e}", path.display()))?;
            hashes.push_str(&format!("{name} {hash}\n"));
        }
    }
    Ok(Model { config, weights, tokenizer, fingerprint: sha256_hex(hashes.as_bytes()) })
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
