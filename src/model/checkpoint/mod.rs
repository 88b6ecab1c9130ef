//! Checkpoints: a model as a folder that `transformers` reads too.
//!
//! ```text
//! <folder>/config.json          shape and constants, Hugging Face keys        (see `config_json`)
//! <folder>/model.safetensors    every parameter in f32, Hugging Face names    (see `tensors`)
//! ```
//!
//! Models of others may be cut into several files, listed in `model.safetensors.index.json` (see `shards`).
//!
//! Parameters are stored in f32 whatever the engine computes in: exact for f32, rounded for f64. Reading is strict: the
//! tensors of the file are exactly those that the config implies, in f32, f16 or bf16, and every value is finite. Where
//! the config of another's model lags behind its tensors, the tensors count, which is told (see `fit`). Writing is all
//! or nothing: the folder appears under its name complete and synced, or not at all.
//!
//! [`llama2c`] reads the models of llama2.c and [`Llama2cTokenizer`] their tokenizers.
mod config_json;
mod error;
mod export;
mod fit;
pub mod gguf;
mod licence;
pub mod llama2c;
mod llama2c_tokenizer;
mod pad;
mod rotary;
pub mod sentencepiece;
mod shards;
mod source;
mod stored;
mod sums;
mod tensors;

pub use config_json::EndTokens;
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

use serde_json::Value;

use super::config::ModelConfig;
use super::weights::Weights;
use crate::base::{files, input};
use crate::schema::{ParamId, Part, Projection};
use crate::tensor::Backend;

const CONFIG_FILE: &str = "config.json";
const TENSORS_FILE: &str = "model.safetensors";
/// Largest JSON file beside a model that is read: real ones have some kilobytes, an index of shards a few megabytes.
const MAX_JSON_BYTES: u64 = 1 << 26;

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
    save_with(backend, folder, config, weights, None, &[])
}

/// As [`save`], into a folder of which nothing counts before its caller has synced and named it: it is made, and not synced here.
///
/// # Errors
/// As [`save`]; what was written so far is left to the caller.
pub fn save_within<B: Backend>(
    backend: &B,
    folder: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
) -> Result<(), CheckpointError> {
    let made = files::create_folder(folder);
    made.map_err(|source| CheckpointError::Io { action: "create", path: folder.to_path_buf(), source })?;
    write(backend, folder, folder, config, weights, None)
}

/// Writes config and tensors to `folder`. Errors name `place`, where they will be: a temporary folder is gone when they are read.
fn write<B: Backend>(
    backend: &B,
    folder: &Path,
    place: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    ends: Option<&EndTokens>,
) -> Result<(), CheckpointError> {
    let text = config_json::to_text(config, ends.unwrap_or(&EndTokens::default()), &place.join(CONFIG_FILE))?;
    fs::write(folder.join(CONFIG_FILE), text).map_err(|source| CheckpointError::Io {
        action: "write its config.json",
        path: place.to_path_buf(),
        source,
    })?;
    tensors::write(backend, &folder.join(TENSORS_FILE), &place.join(TENSORS_FILE), config, weights)
}

/// As [`save`], for others: with the ids of `ends` in the config, sums, and further text files (name, text) beside the
/// model.
fn save_with<B: Backend>(
    backend: &B,
    folder: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    ends: Option<&EndTokens>,
    others: &[(&str, &str)],
) -> Result<(), CheckpointError> {
    let io = |action, source| CheckpointError::Io { action, path: folder.to_path_buf(), source };
    if fs::read_dir(folder).map_or(folder.exists(), |mut entries| entries.next().is_some()) {
        return Err(CheckpointError::Exists { path: folder.to_path_buf() });
    }
    let temporary =
        files::temporary_folder(files::folder_of(folder)).map_err(|e| io("create a folder beside it", e))?;
    write(backend, temporary.path(), folder, config, weights, ends)?;
    for (name, text) in others {
        fs::write(temporary.path().join(name), text)
            .map_err(|e| io("write the files beside the model", e))?;
    }
    if ends.is_some() {
        sums::write(temporary.path()).map_err(|e| io("write the sums of its files", e))?;
    }
    files::commit_folder(temporary, folder, files::Durability::Synced).map_err(|e| io("commit", e))
}

/// Reads the model in `folder`.
///
/// # Errors
/// Missing or unreadable files, a config that is not of a Llama-family model, a damaged safetensors file, and tensors
/// that are missing, unexpected, of a wrong shape or element type, or not finite.
pub fn load<B: Backend>(
    backend: &B,
    folder: &Path,
) -> Result<(ModelConfig, Weights<B::Tensor>), CheckpointError> {
    let FromFolder { config, weights, .. } = load_with_notes(backend, folder)?;
    Ok((config, weights))
}

/// A model of a folder.
struct FromFolder<T> {
    config: ModelConfig,
    weights: Weights<T>,
    /// What was read otherwise than the config says, in words.
    notes: Vec<String>,
}

/// As [`load`], with notes.
fn load_with_notes<B: Backend>(backend: &B, folder: &Path) -> Result<FromFolder<B::Tensor>, CheckpointError> {
    let (config, stored, notes) = open(folder)?;
    sums::check(folder)?;
    let weights = tensors::read(backend, &stored, &config)?;
    Ok(FromFolder { config, weights, notes })
}

/// Reads only the shape of the model in `folder`, from its config and the headers of its tensors.
///
/// # Errors
/// As [`load`], as far as config and headers go.
pub fn load_config(folder: &Path) -> Result<ModelConfig, CheckpointError> {
    let (config, stored, _) = open(folder)?;
    tensors::check_stored(&stored, &config)?;
    Ok(config)
}

/// As [`load_config`], with notes and without holding the tensors against the shape.
fn open(folder: &Path) -> Result<(ModelConfig, stored::Stored, Vec<String>), CheckpointError> {
    let path = folder.join(CONFIG_FILE);
    let config_json::Claims { mut config, is_ours, has_code, has_head_dim, knows_ties } =
        config_json::claims(&read_json(&path)?, &path)?;
    let mut stored = stored::Stored::of(folder)?;
    let mut notes = Vec::new();
    if has_code && !is_ours {
        // Biases are all that tensors can add to a plain Llama.
        let has_bias = |projection: &Projection| {
            stored.tensors.contains_key(&ParamId::Layer(0, Part::Bias(*projection)).hf_name())
        };
        config.biases = config.biases.union(Projection::ALL.into_iter().filter(has_bias).collect());
        notes.push(
            "config.json names code of its own (`auto_map`), which is not run: the model is computed as the plain Llama that its tensors are"
                .to_string(),
        );
    }
    if !is_ours {
        notes.extend(fit::fit(&mut config, &mut stored, has_head_dim, knows_ties)?);
    }
    Ok((config, stored, notes))
}

fn read_file(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    input::read(path, u64::MAX).map_err(|source| CheckpointError::Io {
        action: "read",
        path: path.to_path_buf(),
        source,
    })
}

/// A file of JSON; one with a byte-order mark, too.
fn read_json(path: &Path) -> Result<Value, CheckpointError> {
    let text = input::read_text(path, MAX_JSON_BYTES).map_err(|source| CheckpointError::Io {
        action: "read",
        path: path.to_path_buf(),
        source,
    })?;
    serde_json::from_str(&text).map_err(|source| CheckpointError::Json { path: path.to_path_buf(), source })
}

/// Names of the files in `folder`, in order.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
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
