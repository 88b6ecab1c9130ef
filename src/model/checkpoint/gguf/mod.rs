//! Models in GGUF files, as llama.cpp writes them.
use std::path::Path;

use super::CheckpointError;
use crate::model::{ModelConfig, Weights};
use crate::tensor::Backend;

/// First bytes of every GGUF file.
pub const MAGIC: [u8; 4] = *b"GGUF";

/// The vocabulary of a GGUF file: the values under `tokenizer.ggml.*`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenizerTables {
    /// `tokenizer.ggml.model`: `gpt2` for byte-level BPE, `llama` for SentencePiece.
    pub model: String,
    /// `tokenizer.ggml.pre`: which rule cuts text into words; empty where the file says none.
    pub pre: String,
    pub tokens: Vec<String>,
    /// Kind of each token: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty: all normal.
    pub token_types: Vec<i32>,
    /// Score of each token (SentencePiece); empty for byte-level BPE.
    pub scores: Vec<f32>,
    /// `left right`, earliest first (byte-level BPE).
    pub merges: Vec<String>,
    pub bos_id: Option<u32>,
    pub eos_id: Option<u32>,
    pub unknown_id: Option<u32>,
    /// Whether BOS stands before every text; `None`: the default of the tokenizer's model.
    pub add_bos: Option<bool>,
    /// Whether a space is put before the text (SentencePiece); `None`: the default.
    pub add_space_prefix: Option<bool>,
}

/// Config, weights and, where the file has one, the vocabulary.
pub type Parts<T> = (ModelConfig, Weights<T>, Option<TokenizerTables>);

/// Reads a GGUF model.
///
/// # Errors
/// A file that is damaged or holds a model that this crate does not compute.
pub fn load<B: Backend>(_backend: &B, path: &Path) -> Result<Parts<B::Tensor>, CheckpointError> {
    Err(CheckpointError::Gguf { path: path.to_path_buf(), offset: 0, problem: "not read yet".into() })
}
