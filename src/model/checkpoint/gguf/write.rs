//! A GGUF file of this model, for llama.cpp: architecture `llama`, or `qwen2` where q, k and v alone have biases and the heads
//! fill the hidden width, as llama.cpp asks of a `qwen2` but not of a `llama`, where every linear layer may have one; version 3.
//!
//! Matrices in F16 or Q8_0, norms and biases in F32; q and k of a `llama` in interleaved order (see `rotary`). Layers of different widths are
//! padded with zeros to the widest (see `pad`), since llama.cpp computes a `llama` with the head counts of its first
//! layer. A matrix with weights that F16 (or the F16 scales of Q8_0) cannot hold is stored in F32, and named to the caller. A
//! vocabulary with fewer tokens than the embedding has rows is filled up with unused tokens `[PAD<id>]`.
use std::path::Path;

use half::f16;

use super::dequantize::Format;
use super::tensors::{dimensions, gguf_name, is_rotary, row_width};
use super::{DATA_SUM, MAGIC};
use crate::base::files;
use crate::base::hash::sha256_hex;
use crate::base::vocabulary::VocabularyTables;
use crate::model::checkpoint::tensors::{NotFinite, check_shapes};
use crate::model::checkpoint::{CheckpointError, Licence, ModelCard, pad_to_uniform, rotary};
use crate::model::{Biases, LayerShape, ModelConfig, Weights};
use crate::tensor::{Backend, Scalar};

/// How matrices are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GgufFormat {
    F16,
    /// 8 bits and a scale per 32 weights; F16 for matrices whose rows are not made of whole blocks.
    Q8_0,
}

/// Where the tensors begin, and each of them: a multiple of this.
const ALIGNMENT: usize = 32;

/// Writes the model to the file `path`, all or nothing; a file of that name is replaced. Name, licence and facts of `card`
/// stand in the metadata. Returns the names of the matrices that are in F32 because of weights beyond the range of F16.
///
/// # Errors
/// Weights that do not have the shapes of `config` or are not finite, a vocabulary larger than the model's, failures of the
/// file system.
pub fn export_gguf<B: Backend>(
    backend: &B,
    path: &Path,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    tokenizer: Option<&VocabularyTables>,
    format: GgufFormat,
    card: &ModelCard,
) -> Result<Vec<String>, CheckpointError> {
    check_shapes(backend, path, config, weights)?;
    let (config, weights) = pad_to_uniform(backend, config, weights);
    let mut pairs = Pairs::default();
    introduce(&mut pairs, card);
    describe(&mut pairs, &config, format);
    if let Some(tables) = tokenizer {
        let (tokens, rows) = (tables.tokens.len(), config.vocab_size);
        if tokens > rows {
            return Err(CheckpointError::Vocabulary { path: path.to_path_buf(), tokens, rows });
        }
        vocabulary(&mut pairs, tables, rows);
    }
    let params = weights.params();
    let num_tensors = params.len() as u64;
    let mut infos: Vec<u8> = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    let mut too_large = Vec::new();
    for (id, tensor) in params {
        let (name, shape) = (gguf_name(id), backend.shape(tensor));
        let dimensions = dimensions(id, shape);
        let mut values: Vec<f32> = backend.to_host(tensor).iter().map(|v| v.to_f64() as f32).collect();
        if let Some(fault) = NotFinite::among(&name, values.iter().copied()) {
            return Err(fault.at(path));
        }
        let format = match format {
            _ if dimensions.len() == 1 => Format::F32,
            GgufFormat::Q8_0 if shape[1].is_multiple_of(32) => Format::Q8_0,
            _ => Format::F16,
        };
        let format = if holds(format, &values) {
            format
        } else {
            too_large.push(name.clone());
            Format::F32
        };
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        push_string(&mut infos, &name);
        infos.extend((dimensions.len() as u32).to_le_bytes());
        infos.extend(dimensions.iter().flat_map(|n| (*n as u64).to_le_bytes()));
        infos.extend(format.code().to_le_bytes());
        infos.extend((data.len() as u64).to_le_bytes());
        if is_rotary(id) && architecture(&config) == LLAMA {
            values = rotary::to_interleaved(&values, row_width(id, shape[1]), config.head_dim);
        }
        encode(format, &values, &mut data);
    }
    pairs.text(DATA_SUM, &sha256_hex(&data));
    let mut header = [&MAGIC[..], &3u32.to_le_bytes()].concat();
    header.extend(num_tensors.to_le_bytes());
    header.extend(pairs.count.to_le_bytes());
    header.extend(pairs.bytes);
    header.extend(infos);
    header.resize(header.len().next_multiple_of(ALIGNMENT), 0);
    header.extend(data);
    files::write_atomic(path, &header).map_err(|source| CheckpointError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    })?;
    Ok(too_large)
}

/// Whether every value, or scale of values, stays finite in `format`.
fn holds(format: Format, values: &[f32]) -> bool {
    let largest = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
    match format {
        Format::F16 => f16::from_f32(largest).is_finite(),
        Format::Q8_0 => f16::from_f32(largest / 127.0).is_finite(),
        _ => true,
    }
}

const LLAMA: &str = "llama";

/// The architecture under which llama.cpp computes a model whose layers are alike.
fn architecture(config: &ModelConfig) -> &'static str {
    let fills = |layer: &LayerShape| layer.num_heads * config.head_dim == config.hidden_size;
    if config.biases == Biases::QKV && config.layers.iter().all(fills) { "qwen2" } else { LLAMA }
}

/// Who the model is. Empty fields are left out.
fn introduce(pairs: &mut Pairs, card: &ModelCard) {
    let licence = match &card.licence {
        Some(Licence::Named(name)) => name.clone(),
        _ => String::new(),
    };
    let facts: Vec<String> = card.facts.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    for (key, text) in [
        ("general.name", card.name.clone()),
        ("general.description", facts.join("; ")),
        ("general.license", licence),
    ] {
        if !text.is_empty() {
            pairs.text(key, &text);
        }
    }
}

fn describe(pairs: &mut Pairs, config: &ModelConfig, format: GgufFormat) {
    let architecture = architecture(config);
    pairs.text("general.architecture", architecture);
    // ggml's numbers for "mostly F16" and "mostly Q8_0".
    pairs.u32("general.file_type", if format == GgufFormat::F16 { 1 } else { 7 });
    pairs.u32("general.quantization_version", 2);
    let mut count = |key: &str, value: usize| pairs.u32(&format!("{architecture}.{key}"), value as u32);
    let layer = config.layers.first();
    count("block_count", config.layers.len());
    count("context_length", config.max_position_embeddings);
    count("embedding_length", config.hidden_size);
    count("feed_forward_length", layer.map_or(0, |l| l.intermediate_size));
    count("attention.head_count", layer.map_or(0, |l| l.num_heads));
    count("attention.head_count_kv", layer.map_or(0, |l| l.num_kv_heads));
    count("attention.key_length", config.head_dim);
    count("attention.value_length", config.head_dim);
    count("rope.dimension_count", config.head_dim);
    count("vocab_size", config.vocab_size);
    pairs.f32(&format!("{architecture}.rope.freq_base"), config.rope_theta as f32);
    pairs.f32(&format!("{architecture}.attention.layer_norm_rms_epsilon"), config.rms_norm_eps as f32);
}

fn vocabulary(pairs: &mut Pairs, tables: &VocabularyTables, rows: usize) {
    let known = tables.tokens.len();
    let tokens: Vec<String> =
        tables.tokens.iter().cloned().chain((known..rows).map(|id| format!("[PAD{id}]"))).collect();
    let kind = |id: usize| if id < known { tables.token_types.get(id).copied().unwrap_or(1) } else { 5 };
    pairs.text("tokenizer.ggml.model", &tables.model);
    if !tables.pre.is_empty() {
        pairs.text("tokenizer.ggml.pre", &tables.pre);
    }
    pairs.texts("tokenizer.ggml.tokens", &tokens);
    pairs.array("tokenizer.ggml.token_type", 5, rows, (0..rows).flat_map(|id| kind(id).to_le_bytes()));
    if !tables.scores.is_empty() {
        let score = |id: usize| tables.scores.get(id).copied().unwrap_or(0.0);
        pairs.array("tokenizer.ggml.scores", 6, rows, (0..rows).flat_map(|id| score(id).to_le_bytes()));
    }
    if !tables.merges.is_empty() {
        pairs.texts("tokenizer.ggml.merges", &tables.merges);
    }
    let end = |place: usize| tables.other_end_ids.get(place).copied();
    for (key, id) in [
        ("bos", tables.bos_id),
        ("eos", tables.eos_id),
        ("eot", end(0)),
        ("eom", end(1)),
        ("padding", tables.padding_id),
        ("unknown", tables.unknown_id),
    ] {
        if let Some(id) = id {
            pairs.u32(&format!("tokenizer.ggml.{key}_token_id"), id);
        }
    }
    for (key, flag) in [("add_bos_token", tables.add_bos), ("add_space_prefix", tables.add_space_prefix)] {
        if let Some(flag) = flag {
            pairs.add(&format!("tokenizer.ggml.{key}"), 7, &[u8::from(flag)]);
        }
    }
}

/// Metadata pairs as bytes.
#[derive(Default)]
struct Pairs {
    count: u64,
    bytes: Vec<u8>,
}

impl Pairs {
    fn add(&mut self, key: &str, kind: u32, value: &[u8]) {
        self.count += 1;
        push_string(&mut self.bytes, key);
        self.bytes.extend(kind.to_le_bytes());
        self.bytes.extend(value);
    }

    fn u32(&mut self, key: &str, value: u32) {
        self.add(key, 4, &value.to_le_bytes());
    }

    fn f32(&mut self, key: &str, value: f32) {
        self.add(key, 6, &value.to_le_bytes());
    }

    fn text(&mut self, key: &str, value: &str) {
        let mut bytes = Vec::new();
        push_string(&mut bytes, value);
        self.add(key, 8, &bytes);
    }

    fn texts(&mut self, key: &str, values: &[String]) {
        let mut bytes = Vec::new();
        values.iter().for_each(|value| push_string(&mut bytes, value));
        self.array(key, 8, values.len(), bytes);
    }

    fn array(&mut self, key: &str, kind: u32, count: usize, elements: impl IntoIterator<Item = u8>) {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((count as u64).to_le_bytes());
        bytes.extend(elements);
        self.add(key, 9, &bytes);
    }
}

fn push_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Appends `values` in `format`, one of F32, F16, Q8_0.
fn encode(format: Format, values: &[f32], out: &mut Vec<u8>) {
    match format {
        Format::F32 => out.extend(values.iter().flat_map(|x| x.to_le_bytes())),
        Format::Q8_0 => values.as_chunks::<32>().0.iter().for_each(|block| q8_0(block, out)),
        _ => out.extend(values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes())),
    }
}

/// d = max |w| / 127, q = round(w / d): the layout is in `dequantize`. As ggml does it, q is found with the d of f32 and
/// d stored in f16.
fn q8_0(block: &[f32; 32], out: &mut Vec<u8>) {
    let d = block.iter().fold(0.0f32, |most, x| most.max(x.abs())) / 127.0;
    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
    out.extend(f16::from_f32(d).to_le_bytes());
    out.extend(block.iter().map(|x| (x * inverse).round() as i8 as u8));
}
