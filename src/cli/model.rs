//! A model that a user names: where it lies, on this disk or on the hub, and its tokenizer.
use crate::data::Tokenizer;
use crate::data::hub::{self, Hub};
use crate::eval::tokenizer_of;
use crate::model::ModelConfig;
use crate::model::checkpoint::TokenizerSource;
use anyhow::{Result, anyhow, bail};
use std::ffi::OsStr;
use std::path::PathBuf;

/// The folder or file that `place` names; what is on the hub is fetched.
pub(super) fn resolve(place: impl AsRef<OsStr>) -> Result<PathBuf> {
    let place = place.as_ref();
    if let Some(name) = place.to_str().filter(|place| place.starts_with(hub::PREFIX)) {
        return Ok(Hub::from_env()?.folder(name)?);
    }
    let path = PathBuf::from(place);
    if !path.exists() {
        let place = path.display();
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
    let tokenizer = tokenizer_of(source).map_err(|e| anyhow!("tokenizer of `{place}`: {e}"))?;
    tokenizer.within(config.vocab_size).map_err(|e| anyhow!("`{place}`: {e}"))
}

/// Tells what of a model was read otherwise than its own files say.
pub(super) fn tell(place: &str, notes: &[String]) {
    for note in notes {
        tracing::warn!("`{place}`: {note}");
    }
}
