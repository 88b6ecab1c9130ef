//! Checkpoints: a model as a folder that `transformers` reads too.
//!
//! ```text
//! <folder>/config.json          shape and constants, Hugging Face keys        (see `config_json`)
//! <folder>/model.safetensors    every parameter in f32, Hugging Face names    (see `tensors`)
//! ```
//!
//! Models of others may be cut into several files, listed in `model.safetensors.index.json` (see `shards`).
//!
//! Parameters are stored in f32 whatever the engine computes in: exact for f32, rounded for f64. Reading is strict:
//! the tensors of the file are exactly those that the config implies, in f32, f16 or bf16. Writing is all or
//! nothing: the folder appears under its name complete and synced, or not at all.
//!
//! [`llama2c`] reads the models of llama2.c and [`Llama2cTokenizer`] their tokenizers.
mod config_json;
mod error;
mod export;
pub mod gguf;
mod licence;
pub mod llama2c;
mod llama2c_tokenizer;
mod pad;
mod rotary;
mod shards;
mod source;
mod tensors;

pub use error::CheckpointError;
pub use export::{ModelCard, Score, export_hf};
pub use gguf::{GgufFormat, export_gguf};
pub use licence::Licence;
pub use llama2c_tokenizer::Llama2cTokenizer;
pub use pad::pad_to_uniform;
pub use source::{Description, LoadedModel, TokenizerSource, describe, files_of, load_any};
pub use tensors::Leaf;

use std::fs;
use std::path::Path;

use super::config::ModelConfig;
use super::weights::Weights;
use crate::base::files;
use crate::tensor::Backend;

const CONFIG_FILE: &str = "config.json";
const TENSORS_FILE: &str = "model.safetensors";

/// Writes the model to `folder`, which must not exist or be empty; its parent must exist.
///
/// # Errors
/// A folder that is taken, any failure of the file system, or `weights` that do not have the shapes of `config`;
/// nothing is left behind then.
pub fn save<B: Backend>(
    backend: &B,
    folder: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
) -> Result<(), CheckpointError> {
    save_with(backend, folder, config, weights, &[])
}

/// As [`save`], with further text files (name, text) beside the model.
fn save_with<B: Backend>(
    backend: &B,
    folder: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    others: &[(&str, &str)],
) -> Result<(), CheckpointError> {
    let io = |action, source| CheckpointError::Io { action, path: folder.to_path_buf(), source };
    if fs::read_dir(folder).map_or(folder.exists(), |mut entries| entries.next().is_some()) {
        return Err(CheckpointError::Exists { path: folder.to_path_buf() });
    }
    let temporary =
        files::temporary_folder(files::folder_of(folder)).map_err(|e| io("create a folder beside it", e))?;
    // Errors name the final place: the temporary folder is gone when they are read.
    let text = config_json::to_text(config, &folder.join(CONFIG_FILE))?;
    fs::write(temporary.path().join(CONFIG_FILE), text).map_err(|e| io("write its config.json", e))?;
    for (name, text) in others {
        fs::write(temporary.path().join(name), text)
            .map_err(|e| io("write the files beside the model", e))?;
    }
    tensors::write(
        backend,
        &temporary.path().join(TENSORS_FILE),
        &folder.join(TENSORS_FILE),
        config,
        weights,
    )?;
    files::commit_folder(temporary, folder).map_err(|e| io("commit", e))
}

/// Reads the model in `folder`.
///
/// # Errors
/// Missing or unreadable files, a config that is not of a Llama-family model, a damaged safetensors file, and tensors
/// that are missing, unexpected, or of a wrong shape or element type.
pub fn load<B: Backend>(
    backend: &B,
    folder: &Path,
) -> Result<(ModelConfig, Weights<B::Tensor>), CheckpointError> {
    let config = load_config(folder)?;
    let (whole, index) = (folder.join(TENSORS_FILE), folder.join(shards::INDEX_FILE));
    let weights = if !whole.exists() && index.exists() {
        tensors::read(backend, &shards::files(&index)?, &index, &config)?
    } else {
        tensors::read(backend, std::slice::from_ref(&whole), &whole, &config)?
    };
    Ok((config, weights))
}

/// Reads only the shape of the model in `folder`.
///
/// # Errors
/// As [`load`], as far as `config.json` goes.
pub fn load_config(folder: &Path) -> Result<ModelConfig, CheckpointError> {
    let path = folder.join(CONFIG_FILE);
    let bytes = read_file(&path)?;
    config_json::from_text(&bytes, &path)
}

fn read_file(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    fs::read(path).map_err(|source| CheckpointError::Io { action: "read", path: path.to_path_buf(), source })
}

#[cfg(test)]
mod fuzz_tests;
#[cfg(test)]
mod llama2c_fuzz_tests;
#[cfg(test)]
mod llama2c_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod transformers_tests;
