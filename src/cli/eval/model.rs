//! The model that `eval --model` names, with its tokenizer and a fingerprint of both.
use crate::base::hash::{sha256_file, sha256_hex};
use crate::cli::model_place::resolve;
use crate::data::Tokenizer;
use crate::eval::tokenizer_of;
use crate::model::checkpoint::TokenizerSource;
use crate::model::{ModelConfig, Weights, checkpoint};
use crate::tensor::Backend;
use anyhow::{Context, Result, anyhow, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// A model ready to score text.
pub(super) struct Model<B: Backend> {
    pub(super) config: ModelConfig,
    pub(super) weights: Weights<B::Tensor>,
    pub(super) tokenizer: Tokenizer,
    /// Hash of all files that can change a score.
    pub(super) fingerprint: String,
}

/// Says which token begins a text, beside a `tokenizer.json`.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";

/// Reads the model at `place`: a Hugging Face folder, a GGUF file, a llama2.c file or `hf:` and a name on the hub.
pub(super) fn load<B: Backend>(backend: &B, place: &str) -> Result<Model<B>> {
    let path = resolve(place)?;
    let path = path.as_path();
    let loaded = checkpoint::load_any(backend, &path.to_string_lossy())?;
    let mut tokenizer = tokenizer_of(&loaded.tokenizer).with_context(|| format!("tokenizer of `{place}`"))?;
    if path.is_dir() {
        tokenizer = with_own_prefix(tokenizer, &path.join(TOKENIZER_CONFIG))?;
    }
    let (config, weights) = (loaded.config, loaded.weights);
    if tokenizer.vocab_size() > config.vocab_size {
        bail!(
            "`{place}`: the tokenizer has {} tokens, the model embeds {}: they do not belong together",
            tokenizer.vocab_size(),
            config.vocab_size
        );
    }
    let mut hashes = String::new();
    for file in files(path, &loaded.tokenizer)? {
        let hash = sha256_file(&file).map_err(|e| anyhow!("cannot read `{}`: {e}", file.display()))?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        hashes.push_str(&format!("{name} {hash}\n"));
    }
    Ok(Model { config, weights, tokenizer, fingerprint: sha256_hex(hashes.as_bytes()) })
}

/// Every file that can change a score: in a folder all JSON and safetensors files, else the model and its tokenizer.
fn files(model: &Path, tokenizer: &TokenizerSource) -> Result<Vec<PathBuf>> {
    if !model.is_dir() {
        let beside = match tokenizer {
            TokenizerSource::Llama2c(path) => Some(path.clone()),
            _ => None,
        };
        return Ok([Some(model.to_path_buf()), beside].into_iter().flatten().collect());
    }
    let entries = fs::read_dir(model).with_context(|| format!("cannot list `{}`", model.display()))?;
    let counts = |path: &PathBuf| path.extension().is_some_and(|e| e == "json" || e == "safetensors");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(counts).collect();
    files.sort();
    Ok(files)
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
