//! The model that `eval --model` names, with its tokenizer and a fingerprint of both.
use crate::base::hash::{sha256_file, sha256_hex};
use crate::cli::model::{resolve, tell, tokenizer_for};
use crate::data::{Tokenizer, hub};
use crate::model::{ModelConfig, Weights, checkpoint};
use crate::tensor::Backend;
use anyhow::{Result, anyhow};

/// A model ready to score text.
pub(super) struct Model<B: Backend> {
    pub(super) config: ModelConfig,
    pub(super) weights: Weights<B::Tensor>,
    pub(super) tokenizer: Tokenizer,
    /// Hash of all files that can change a score.
    pub(super) fingerprint: String,
}

/// Reads the model at `place`: a Hugging Face folder, a GGUF file, a llama2.c file or `hf:` and a name on the hub.
pub(super) fn load<B: Backend>(backend: &B, place: &str) -> Result<Model<B>> {
    let path = resolve(place)?;
    let path = path.as_path();
    let loaded = checkpoint::load_any(backend, path)?;
    tell(place, &loaded.notes);
    let tokenizer = tokenizer_for(&loaded.tokenizer, &loaded.config, place)?;
    let (config, weights) = (loaded.config, loaded.weights);
    let mut hashes = String::new();
    let files = checkpoint::files_of(path, &loaded.tokenizer)
        .map_err(|e| anyhow!("cannot list `{}`: {e}", path.display()))?;
    for file in files {
        // What came from the hub has been held against its hash a moment ago.
        let checked = hub::checked_sha256(&file).filter(|_| place.starts_with(hub::PREFIX));
        let hash = match checked {
            Some(hash) => hash,
            None => sha256_file(&file).map_err(|e| anyhow!("cannot read `{}`: {e}", file.display()))?,
        };
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        hashes.push_str(&format!("{name} {hash}\n"));
    }
    Ok(Model { config, weights, tokenizer, fingerprint: sha256_hex(hashes.as_bytes()) })
}
