//! Models of llama2.c (Karpathy 2023, "version 0" of its export format): small Llamas trained on real text.
//!
//! ```text
//! header   7 × i32: dim d, hidden_dim f, n_layers L, n_heads H, n_kv_heads K, vocab_size V, seq_len T; V < 0: untied
//! f32      tok_embeddings (V, d) · attention_norm (L, d) · wq (L, H·h, d) · wk, wv (L, K·h, d) · wo (L, d, H·h)
//!          ffn_norm (L, d) · w1 = gate (L, f, d) · w2 = down (L, d, f) · w3 = up (L, f, d) · norm (d)
//!          two tables of RoPE (T, h/2), unused · output (V, d) if untied
//! ```
//!
//! Versions 1 and 2, which begin with a magic number, are refused by name. h = d/H. RMSNorm ε = 1e-5 and RoPE θ = 10000 are constants of that program.
//!
//! Deviation: llama2.c rotates the interleaved pairs (2p, 2p+1) of a head, this crate the pairs (p, p + h/2) of
//! Hugging Face. Rows of `wq` and `wk` are reordered within each head on reading, which leaves every attention score
//! as it was.
use std::path::Path;

use super::tensors::NotFinite;
use super::{CheckpointError, read_file, rotary};
use crate::model::{Biases, LayerShape, LayerWeights, Linear, ModelConfig, Weights};
use crate::tensor::{Backend, Scalar};

const HEADER_BYTES: usize = 7 * 4;
/// What files of version 1 and 2 begin with: the little-endian number 0x616b3432, "ak42".
const LATER_MAGIC: [u8; 4] = 0x616b_3432_u32.to_le_bytes();
/// Largest accepted header field: keeps the length that follows from the header far from overflow.
const MAX_FIELD: i64 = 1 << 24;

/// Reads a llama2.c model.
///
/// # Errors
/// An unreadable file, header fields that describe no model, and a length that does not follow from the header.
pub fn load<B: Backend>(
    backend: &B,
    path: &Path,
) -> Result<(ModelConfig, Weights<B::Tensor>), CheckpointError> {
    let bytes = read_file(path)?;
    let config = read_header(&bytes, path)?;
    check_length(&bytes, &config, path)?;
    let (num_layers, h) = (config.layers.len(), config.head_dim);
    let rope_table = config.max_position_embeddings * h;

    let shapes = Weights::shapes(&config);
    let first = &shapes.layers[0];
    let mut reader = Reader { backend, rest: &bytes[HEADER_BYTES..] };
    let embed = reader.tensor(shapes.embed);
    let attn_norm = reader.tensors(num_layers, first.attn_norm);
    let q = reader.rotary_tensors(num_layers, first.q.weight, h);
    let k = reader.rotary_tensors(num_layers, first.k.weight, h);
    let v = reader.tensors(num_layers, first.v.weight);
    let o = reader.tensors(num_layers, first.o.weight);
    let ffn_norm = reader.tensors(num_layers, first.ffn_norm);
    let gate = reader.tensors(num_layers, first.gate.weight);
    let down = reader.tensors(num_layers, first.down.weight);
    let up = reader.tensors(num_layers, first.up.weight);
    let norm = reader.tensor(shapes.norm);
    reader.values(rope_table);
    let head = shapes.head.map(|shape| reader.tensor(shape));

    let attention = attn_norm.into_iter().zip(q).zip(k).zip(v).zip(o);
    let feed_forward = ffn_norm.into_iter().zip(gate).zip(up).zip(down);
    let layers = attention
        .zip(feed_forward)
        .map(|(((((attn_norm, q), k), v), o), (((ffn_norm, gate), up), down))| LayerWeights {
            attn_norm,
            q: Linear::without_bias(q),
            k: Linear::without_bias(k),
            v: Linear::without_bias(v),
            o: Linear::without_bias(o),
            ffn_norm,
            gate: Linear::without_bias(gate),
            up: Linear::without_bias(up),
            down: Linear::without_bias(down),
        })
        .collect();
    let weights = Weights { embed, layers, norm, head };
    for (name, tensor) in weights.named() {
        let values = backend.to_host(tensor);
        if let Some(fault) = NotFinite::among(&name, values.iter().map(|value| value.to_f64() as f32)) {
            return Err(fault.at(path));
        }
    }
    Ok((config, weights))
}

/// The config alone.
///
/// # Errors
/// As [`load`], as far as header and length go.
pub fn describe(path: &Path) -> Result<ModelConfig, CheckpointError> {
    let bytes = read_file(path)?;
    let config = read_header(&bytes, path)?;
    check_length(&bytes, &config, path)?;
    Ok(config)
}

/// Errors unless the length follows from the header.
fn check_length(bytes: &[u8], config: &ModelConfig, path: &Path) -> Result<(), CheckpointError> {
    let rope_table = config.max_position_embeddings as u128 * config.head_dim as u128;
    let expected = HEADER_BYTES as u128 + 4 * (config.num_params() as u128 + rope_table);
    if expected == bytes.len() as u128 {
        return Ok(());
    }
    let expected = u64::try_from(expected).unwrap_or(u64::MAX);
    Err(CheckpointError::Length { path: path.to_path_buf(), found: bytes.len() as u64, expected })
}

fn read_header(bytes: &[u8], path: &Path) -> Result<ModelConfig, CheckpointError> {
    if let Some(version) = bytes.strip_prefix(&LATER_MAGIC).and_then(|rest| rest.first_chunk::<4>()) {
        return Err(CheckpointError::NotRead {
            path: path.to_path_buf(),
            found: format!("it is a llama2.c export of version {} (ak42)", i32::from_le_bytes(*version)),
            remedy: "export it again with `--version 0`".into(),
        });
    }
    let Some(header) = bytes.get(..HEADER_BYTES) else {
        let (found, expected) = (bytes.len() as u64, HEADER_BYTES as u64);
        return Err(CheckpointError::Length { path: path.to_path_buf(), found, expected });
    };
    let mut fields = header.as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b)));
    let mut next = || fields.next().unwrap_or_default();
    let (dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len) =
        (next(), next(), next(), next(), next(), next(), next());
    let fault = |field, found, expected: String| CheckpointError::Header {
        path: path.to_path_buf(),
        field,
        found,
        expected,
    };
    let count = |field, value: i64| {
        if (1..=MAX_FIELD).contains(&value) {
            Ok(value as usize)
        } else {
            Err(fault(field, value, format!("a number from 1 to {MAX_FIELD}")))
        }
    };
    let hidden_size = count("dim", dim)?;
    let intermediate_size = count("hidden_dim", hidden_dim)?;
    // A layer has at least as many bytes as this: bounds what a wrong header can make us allocate.
    let most_layers = (bytes.len() / (4 * hidden_size)).max(1) as i64;
    if !(1..=most_layers).contains(&n_layers) {
        return Err(fault(
            "n_layers",
            n_layers,
            format!("a number from 1 to {most_layers} in a file this long"),
        ));
    }
    let num_heads = count("n_heads", n_heads)?;
    let num_kv_heads = count("n_kv_heads", n_kv_heads)?;
    let vocab = count("vocab_size", vocab_size.abs())?;
    let max_position_embeddings = count("seq_len", seq_len)?;
    if !hidden_size.is_multiple_of(2 * num_heads) {
        return Err(fault(
            "dim",
            dim,
            format!("a multiple of 2 × n_heads = {} (even head dim)", 2 * num_heads),
        ));
    }
    if !num_heads.is_multiple_of(num_kv_heads) {
        return Err(fault("n_heads", n_heads, format!("a multiple of n_kv_heads = {num_kv_heads}")));
    }
    Ok(ModelConfig {
        vocab_size: vocab,
        hidden_size,
        head_dim: hidden_size / num_heads,
        tie_word_embeddings: vocab_size > 0,
        biases: Biases::NONE,
        rope_theta: 10000.0,
        rms_norm_eps: 1e-5,
        max_position_embeddings,
        layers: vec![LayerShape::new(num_heads, num_kv_heads, intermediate_size); n_layers as usize],
    })
}

/// The rest of a file whose length has been checked against its header.
struct Reader<'a, B> {
    backend: &'a B,
    rest: &'a [u8],
}

impl<B: Backend> Reader<'_, B> {
    fn values(&mut self, count: usize) -> Vec<B::Scalar> {
        let (now, rest) = self.rest.split_at(4 * count);
        self.rest = rest;
        now.as_chunks::<4>().0.iter().map(|b| B::Scalar::from_f64(f32::from_le_bytes(*b).into())).collect()
    }

    fn tensor(&mut self, [rows, cols]: [usize; 2]) -> B::Tensor {
        let values = self.values(rows * cols);
        self.backend.from_host(rows, cols, &values)
    }

    fn tensors(&mut self, count: usize, shape: [usize; 2]) -> Vec<B::Tensor> {
        (0..count).map(|_| self.tensor(shape)).collect()
    }

    /// As [`Reader::tensors`], the rows of each head taken from interleaved to half-split order.
    fn rotary_tensors(&mut self, count: usize, [rows, cols]: [usize; 2], h: usize) -> Vec<B::Tensor> {
        (0..count)
            .map(|_| {
                let halves = rotary::to_half_split(&self.values(rows * cols), cols, h);
                self.backend.from_host(rows, cols, &halves)
            })
            .collect()
    }
}
