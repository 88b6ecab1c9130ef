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
use crate::base::hash::sha256_hex;
use crate::base::vocabulary::VocabularyTables;
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// First bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// SHA-256 of everything behind the header, which files written here carry: a flipped bit in a weight is a number like any
/// other.
const DATA_SUM: &str = "efficientllm.data_sha256";

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

/// Config and vocabulary alone; the tensors are looked for, and not decoded.
///
/// # Errors
/// As [`load`], as far as the header goes.
pub fn describe(path: &Path) -> Result<(ModelConfig, Option<VocabularyTables>), CheckpointError> {
    let file = read_file(path)?;
    let read = || -> Result<_, header::Fault> {
        let header = parse(&file)?;
        let (_, config) = config::read(&header)?;
        tensors::check(&file, &header, &config)?;
        Ok((config, vocabulary::read(&header)?))
    };
    read().map_err(|fault| CheckpointError::Gguf {
        path: path.to_path_buf(),
        offset: fault.offset,
        problem: fault.problem,
    })
}

/// The header of a file that holds a whole model.
fn parse(file: &[u8]) -> Result<header::Header, header::Fault> {
    let header = header::parse(file)?;
    let number = |key: &str| match header.metadata.get(key) {
        Some(header::Entry { offset, value: header::Value::Integer(n) }) => Some((*offset, *n)),
        _ => None,
    };
    match (number("split.count"), number("split.no")) {
        (Some((offset, count)), part) if count > 1 => {
            let part = part.map_or(0, |(_, number)| number) + 1;
            let problem = format!(
                "it is part {part} of {count} of a split GGUF file, and parts are not read\nhint: join them with `llama-gguf-split --merge`"
            );
            Err(header::Fault::new(offset, problem))
        }
        _ => Ok(header),
    }
}

fn read<B: Backend>(backend: &B, file: &[u8]) -> Result<Parts<B::Tensor>, header::Fault> {
    let header = parse(file)?;
    let (architecture, config) = config::read(&header)?;
    let vocabulary = vocabulary::read(&header)?;
    check_sum(file, &header)?;
    let weights = tensors::read(backend, file, &header, architecture, &config)?;
    let licence = match header.metadata.get("general.license") {
        Some(header::Entry { value: header::Value::Text(text), .. }) if !text.is_empty() => {
            Some(text.clone())
        }
        _ => None,
    };
    Ok(Parts { config, weights, vocabulary, licence })
}

/// Errors where the data is not what a sum in the header says.
fn check_sum(file: &[u8], header: &header::Header) -> Result<(), header::Fault> {
    let Some(header::Entry { offset, value: header::Value::Text(sum) }) = header.metadata.get(DATA_SUM)
    else {
        return Ok(());
    };
    let data = file.get(header.data..).unwrap_or_default();
    if sha256_hex(data) == *sum {
        return Ok(());
    }
    let problem = format!("the tensors are not what was written: their SHA-256 is another than `{DATA_SUM}`");
    Err(header::Fault::new(*offset, problem))
}

#[cfg(test)]
mod tests;
