//! Where a model lies that a user names: on this disk, or on the hub.
use crate::data::hub::{self, Hub};
use anyhow::{Result, bail};
use std::path::PathBuf;

/// The folder or file that `place` names; what is on the hub is fetched.
pub(super) fn resolve(place: &str) -> Result<PathBuf> {
    if place.starts_with(hub::PREFIX) {
        return Ok(Hub::from_env()?.folder(place)?);
    }
    let path = PathBuf::from(place);
    if !path.exists() {
        bail!(
            "no model `{place}`\nhint: a model is a folder with `config.json`, `model.safetensors` and `tokenizer.json`, a `.gguf` file, or `hf:org/name`"
        );
    }
    Ok(path)
}
