//! A model whose layers differ in width as one whose layers do not: zeros added up to the widest layer.
//!
//! ```text
//! K* = max K,  g* = max H/K,  H* = K* g*,  f* = max f           over the layers
//! query head i of group j   →  place j g* + i
//! zeros                     rows (and biases) of q, k, v; rows of gate, up; columns of o, down
//! ```
//!
//! The function is the same: an added channel gives silu(0) · 0 = 0, the output of an added head meets zero columns of
//! o, and real heads keep the key-value head of their group. Only whole groups, and heads at the end of a group, are
//! added; hence H* can exceed the largest H.
use crate::model::{LayerShape, ModelConfig, Weights};
use crate::tensor::{Backend, Scalar};

/// The model with all layers as wide as the widest; unchanged where they are alike.
pub fn pad_to_uniform<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
) -> (ModelConfig, Weights<B::Tensor>) {
    let most = |width: fn(&LayerShape) -> usize| config.layers.iter().map(width).max().unwrap_or(1);
    let widest = LayerShape {
        num_heads: most(|l| l.num_kv_heads) * most(|l| l.num_heads / l.num_kv_heads),
        num_kv_heads: most(|l| l.num_kv_heads),
        intermediate_size: most(|l| l.intermediate_size),
    };
    // Alike layers need no zeros: their own shape is the widest.
    let padded = ModelConfig { layers: vec![widest; config.layers.len()], ..config.clone() };
    let (h, group) = (config.head_dim, widest.num_heads / widest.num_kv_heads);
    let mut out = weights.map(|leaf| copy(backend, leaf, None, None));
    for (layer, shape) in out.layers.iter_mut().zip(&config.layers) {
        let own_group = shape.num_heads / shape.num_kv_heads;
        // Where row (or column) n of the heads goes.
        let head_place = |n: usize| {
            let (head, within) = (n / h, n % h);
            (head / own_group * group + head % own_group) * h + within
        };
        let heads = Places { count: widest.num_heads * h, of: &head_place };
        let kv_heads = Places { count: widest.num_kv_heads * h, of: &|n| n };
        let channels = Places { count: widest.intermediate_size, of: &|n| n };
        layer.q = copy(backend, &layer.q, Some(&heads), None);
        layer.k = copy(backend, &layer.k, Some(&kv_heads), None);
        layer.v = copy(backend, &layer.v, Some(&kv_heads), None);
        layer.o = copy(backend, &layer.o, None, Some(&heads));
        layer.gate = copy(backend, &layer.gate, Some(&channels), None);
        layer.up = copy(backend, &layer.up, Some(&channels), None);
        layer.down = copy(backend, &layer.down, None, Some(&channels));
        if let Some(bias) = &mut layer.bias {
            bias.q = copy(backend, &bias.q, None, Some(&heads));
            bias.k = copy(backend, &bias.k, None, Some(&kv_heads));
            bias.v = copy(backend, &bias.v, None, Some(&kv_heads));
        }
    }
    (padded, out)
}

/// How many rows (or columns) there are to be, and where each of the old ones goes.
struct Places<'a> {
    count: usize,
    of: &'a dyn Fn(usize) -> usize,
}

fn copy<B: Backend>(
    backend: &B,
    tensor: &B::Tensor,
    rows: Option<&Places>,
    cols: Option<&Places>,
) -> B::Tensor {
    let [old_rows, old_cols] = backend.shape(tensor);
    let values = backend.to_host(tensor);
    let (new_rows, new_cols) = (rows.map_or(old_rows, |p| p.count), cols.map_or(old_cols, |p| p.count));
    let mut out = vec![B::Scalar::from_f64(0.0); new_rows * new_cols];
    for (row, line) in values.chunks_exact(old_cols).enumerate() {
        let row = rows.map_or(row, |p| (p.of)(row));
        for (col, value) in line.iter().enumerate() {
            out[row * new_cols + cols.map_or(col, |p| (p.of)(col))] = *value;
        }
    }
    backend.from_host(new_rows, new_cols, &out)
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
