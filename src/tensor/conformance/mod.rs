//! One body of tests for every backend: each operation against its formula, written naively in f64.
//!
//! A backend calls [`check_all`] with its tolerance (atol + rtol·|reference|, relative to f64 arithmetic).
mod attention;
mod elements;
mod embedding;
mod heads;
mod products;

pub use attention::packed_segments;

use super::{AttentionShape, Backend, CachedShape, Distillation, PackedShape, Scalar};
use crate::base::random::stream;
use rand::RngExt;

/// Absolute and relative tolerance against the naive f64 formula.
#[derive(Clone, Copy)]
pub struct Tolerance {
    pub atol: f64,
    pub rtol: f64,
}

struct Case<'a, B: Backend> {
    backend: &'a B,
    tolerance: Tolerance,
}

/// A random host matrix.
struct Host {
    rows: usize,
    cols: usize,
    data: Vec<f64>,
}

impl Host {
    fn at(&self, r: usize, c: usize) -> f64 {
        self.data[r * self.cols + c]
    }
}

impl<B: Backend> Case<'_, B> {
    /// A parameter or a gradient, of values that an activation holds exactly: what a backend of mixed precision rounds
    /// on the way into a product is then exact, and only its results are not.
    fn random(&self, rows: usize, cols: usize, name: &str) -> (Host, B::Tensor) {
        let (host, _) = self.activation(rows, cols, name);
        let values: Vec<B::Scalar> = host.data.iter().map(|&x| B::Scalar::from_f64(x)).collect();
        let tensor = self.backend.from_host(rows, cols, &values);
        (host, tensor)
    }

    /// An activation, values as the backend rounds them.
    fn activation(&self, rows: usize, cols: usize, name: &str) -> (Host, B::Tensor) {
        let mut generator = stream(7, name);
        let values: Vec<B::Scalar> =
            (0..rows * cols).map(|_| B::Scalar::from_f64(generator.random::<f64>() * 2.0 - 1.0)).collect();
        let mut tensor = self.backend.activation(rows, cols);
        self.backend.copy(&mut tensor, &self.backend.from_host(rows, cols, &values));
        let data = self.backend.to_host(&tensor).into_iter().map(|x| x.to_f64()).collect();
        (Host { rows, cols, data }, tensor)
    }

    fn compare(&self, what: &str, tensor: &B::Tensor, expected: &[f64]) {
        let values = self.backend.to_host(tensor);
        assert_eq!(values.len(), expected.len(), "{what}: length");
        for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
            let value = value.to_f64();
            let bound = self.tolerance.atol + self.tolerance.rtol * expected.abs();
            assert!(
                (value - expected).abs() <= bound,
                "{what}[{i}]: {value}, expected {expected} ± {bound:e}"
            );
        }
    }
}

/// Every operation of the backend over regular and misaligned shapes.
pub fn check_all<B: Backend>(backend: &B, tolerance: Tolerance) {
    let case = Case { backend, tolerance };
    for (m, n, k) in [(1, 1, 1), (3, 5, 7), (64, 64, 64), (130, 33, 17), (17, 300, 65), (257, 129, 31)] {
        products::products(&case, m, n, k);
        products::linear_layers(&case, m, n, k);
    }
    for (rows, cols) in [(1, 1), (5, 13), (131, 48)] {
        products::norms(&case, rows, cols);
        elements::element_wise(&case, rows, cols);
        elements::clipped_step(&case, rows, cols);
        elements::scores(&case, rows, cols);
        elements::statistics(&case, rows, cols);
    }
    for shape in [(1, 1, 1, 1, 2), (2, 5, 4, 2, 6), (1, 70, 3, 1, 8), (2, 130, 2, 2, 4)] {
        let (sequences, context_length, num_heads, num_kv_heads, head_dim) = shape;
        let shape = AttentionShape { sequences, context_length, num_heads, num_kv_heads, head_dim };
        attention::attention(&case, shape);
        attention::rope(&case, shape);
    }
    // Groups of a beginning and the tails that continue it.
    let groups: [&[(usize, &[usize])]; 7] = [
        &[(5, &[3, 1, 4])],
        &[(0, &[2, 3])],
        &[(4, &[])],
        &[(3, &[0, 2, 0])],
        &[(70, &[66, 130])],
        &[(5, &[3, 1]), (0, &[4]), (2, &[1, 0, 7]), (1, &[])],
        &[(65, &[2, 70]), (3, &[129]), (64, &[64, 1])],
    ];
    for groups in groups {
        let segments = packed_segments(groups);
        for (num_heads, num_kv_heads, head_dim) in [(1, 1, 2), (4, 2, 6), (3, 1, 8)] {
            let shape = PackedShape { segments: &segments, num_heads, num_kv_heads, head_dim };
            attention::packed_attention(&case, shape);
        }
    }
    for (past, queries) in
        [(0, 1), (0, 7), (5, 1), (130, 1), (126, 4), (700, 2), (120, 15), (3, 70), (64, 64), (1, 129)]
    {
        for (num_heads, num_kv_heads, head_dim) in [(1, 1, 2), (4, 2, 6), (3, 1, 8)] {
            attention::cached_attention(
                &case,
                past,
                CachedShape { queries, num_heads, num_kv_heads, head_dim },
            );
        }
    }
    products::rows_are_independent(&case);
    for (tokens, vocab, d) in [(1, 3, 2), (70, 41, 9), (33, 1000, 5)] {
        heads::head(&case, tokens, vocab, d);
        for (weight, temperature, top_k) in [(0.5, 1.0, 0), (1.0, 2.0, 2), (0.25, 0.5, vocab)] {
            let of = Distillation { weight, temperature, top_k };
            heads::distilled_head(&case, [tokens, vocab, d, d + 4], of);
        }
    }
    embedding::embedding(&case);
}
