//! A model whose layers differ in width as one whose layers do not: zeros added up to the widest layer.
//!
//! ```text
//! K* = max K,  g* = max H/K,  H* = K* g*,  f* = max f           over the layers
//! query head i of group j   →  place j g* + i
//! RoPE pair p               →  place p: q and k get all pairs again
//! zeros                     rows (and biases) of q, k, v; rows (and biases) of gate, up; columns of o, down
//! ```
//!
//! The function is the same: an added channel gives silu(0) · 0 = 0, the output of an added head meets zero columns of
//! o, an added RoPE pair adds 0 to q kᵀ, and real heads keep the key-value head of their group. Only whole groups, and
//! heads at the end of a group, are added; hence H* can exceed the largest H. Where a tensor's elements go follows from
//! what its rows and columns run along.
use crate::model::{LayerShape, ModelConfig, Weights};
use crate::schema::{Axis, Dim, Param};
use crate::tensor::{Backend, Scalar};

/// The model with all layers as wide as the widest; unchanged where they are alike.
pub fn pad_to_uniform<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
) -> (ModelConfig, Weights<B::Tensor>) {
    pad_layers(backend, config, weights, widest(config))
}

/// The shape that holds every layer.
pub(super) fn widest(config: &ModelConfig) -> LayerShape {
    let most = |width: fn(&LayerShape) -> usize| config.layers.iter().map(width).max().unwrap_or(1);
    let (num_kv_heads, group) = (most(|l| l.num_kv_heads), most(|l| l.num_heads / l.num_kv_heads));
    LayerShape::new(num_kv_heads * group, num_kv_heads, most(|l| l.intermediate_size))
}

/// The model with every layer of shape `layer`, which holds each of them.
pub(super) fn pad_layers<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    layer: LayerShape,
) -> (ModelConfig, Weights<B::Tensor>) {
    let padded = ModelConfig { layers: vec![layer; config.layers.len()], ..config.clone() };
    let out = weights.map_params(|id, leaf| {
        let Param { rows, cols, .. } = Param::of(id);
        let [rows, cols] = [rows, cols].map(|axis| Places::new(config, &padded, axis));
        copy(backend, leaf, &rows, &cols)
    });
    (padded, out)
}

/// How many rows (or columns) there are to be, and where each of the old ones goes.
struct Places {
    count: usize,
    of: Vec<usize>,
}

impl Places {
    fn new(config: &ModelConfig, padded: &ModelConfig, axis: Axis) -> Self {
        let (outer, inner) = (places(config, padded, axis.outer), places(config, padded, axis.inner));
        let width = padded.size(axis.inner);
        let of_outer =
            |place: &usize| inner.iter().map(move |within| place * width + within).collect::<Vec<_>>();
        Places { count: padded.length(axis), of: outer.iter().flat_map(of_outer).collect() }
    }
}

/// Where the indices along `dim` go.
fn places(config: &ModelConfig, padded: &ModelConfig, dim: Dim) -> Vec<usize> {
    match dim {
        Dim::QueryHead(layer) => {
            let group =
                |config: &ModelConfig| config.layers[layer].num_heads / config.layers[layer].num_kv_heads;
            let (own, wide) = (group(config), group(padded));
            (0..config.size(dim)).map(|head| head / own * wide + head % own).collect()
        }
        Dim::HeadDim(layer) => config.layers[layer]
            .rotary_channels(config.head_dim)
            .unwrap_or_else(|| (0..config.head_dim).collect()),
        _ => (0..config.size(dim)).collect(),
    }
}

fn copy<B: Backend>(backend: &B, tensor: &B::Tensor, rows: &Places, cols: &Places) -> B::Tensor {
    let values = backend.to_host(tensor);
    let mut out = vec![B::Scalar::from_f64(0.0); rows.count * cols.count];
    for (row, line) in rows.of.iter().zip(values.chunks_exact(cols.of.len().max(1))) {
        for (col, value) in cols.of.iter().zip(line) {
            out[row * cols.count + col] = *value;
        }
    }
    backend.from_host(rows.count, cols.count, &out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::{cases, config, tokens, weights};
    use crate::model::reference;
    use crate::tensor::CpuBackend;

    #[test]
    fn logits_do_not_change() {
        let grouped = config(9, 6, 4, true, &[(4, 2, 5), (3, 3, 2), (3, 1, 7)]);
        for (name, config, sequences, length) in cases().into_iter().chain([("grouped", grouped, 2, 5)]) {
            let weights = weights::<f64>(&config, 2);
            let (padded, zeros) = pad_to_uniform(&CpuBackend::new(), &config, &weights);
            assert!(padded.is_uniform(), "{name}");
            assert_eq!(zeros.map(|m| [m.rows, m.cols]), Weights::shapes(&padded), "{name}");
            if config.is_uniform() {
                assert_eq!((&padded, &zeros), (&config, &weights), "{name}");
            }
            let ids = tokens(sequences * length, config.vocab_size, 3);
            let expected = reference::logits(&config, &weights, &ids, sequences);
            let found = reference::logits(&padded, &zeros, &ids, sequences);
            for (found, expected) in found.data.iter().zip(&expected.data) {
                // Zeros may change the order of sums: rounding of f64.
                assert!((found - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{name}");
            }
        }
    }
}
