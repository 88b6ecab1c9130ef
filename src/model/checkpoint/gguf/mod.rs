//! Models in GGUF files, the format of llama.cpp: read ([`load`]) and written ([`export_gguf`]).
//!
//! | file | what it does |
//! |---|---|
//! | `header` | metadata and places of tensors, checked against the file |
//! | `dequantize` | number formats to f32 |
//! | `config` | metadata under `<architecture>.*` to [`ModelConfig`] |
//! | `vocabulary` | metadata under `tokenizer.ggml.*` |
//! | `tensors` | tensors to [`Weights`] |
//! | `write` | all of it backwards |
mod config;
mod dequantize;
mod header;
mod tensors;
mod vocabulary;
mod write;

pub use write::{GgufFormat, export_gguf};

use std::path::Path;

use super::{CheckpointError, read_file};
use crate::base::vocabulary::VocabularyTables;
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// First bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// What a file holds.
#[derive(Debug)]
pub struct Parts<T> {
    pub config: ModelConfig,
    pub weights: Weights<T>,
    /// Where the file has one.
    pub vocabulary: Option<VocabularyTables>,
    /// `general.license`
    pub licence: Option<String>,
}

/// Reads a GGUF model of architecture `llama` or `qwen2`, its tensors decoded to the backend's element type.
///
/// # Errors
/// A file that is damaged, or that holds a model which this crate does not compute; the message names the byte.
pub fn load<B: Backend>(backend: &B, path: &Path) -> Result<Parts<B::Tensor>, CheckpointError> {
    let file = read_file(path)?;
    read(backend, &file).map_err(|fault| CheckpointError::Gguf {
        path: path.to_path_buf(),
        offset: fault.offset,
        problem: fault.problem,
    })
}

/// Config and vocabulary alone.
///
/// # Errors
/// As [`load`], as far as the header goes.
pub fn describe(path: &Path) -> Result<(ModelConfig, Option<VocabularyTables>), CheckpointError> {
    let file = read_file(path)?;
    let read = || -> Result<_, header::Fault> {
        let header = header::parse(&file)?;
        Ok((config::read(&header)?.1, vocabulary::read(&header)?))
    };
    read().map_err(|fault| CheckpointError::Gguf {
        path: path.to_path_buf(),
        offset: fault.offset,
        problem: fault.problem,
    })
}

fn read<B: Backend>(backend: &B, file: &[u8]) -> Result<Parts<B::Tensor>, header::Fault> {
    let header = header::parse(file)?;
    let (architecture, config) = config::read(&header)?;
    let vocabulary = vocabulary::read(&header)?;
    let weights = tensors::read(backend, file, &header, architecture, &config)?;
    let licence = match header.metadata.get("general.license") {
        Some(header::Entry { value: header::Value::Text(text), .. }) if !text.is_empty() => {
            Some(text.clone())
        }
        _ => None,
    };
    Ok(Parts { config, weights, vocabulary, licence })
}

#[cfg(test)]
mod tests;
