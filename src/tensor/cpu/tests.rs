//! The backend against the conformance of all, and equal bits for any number of threads.
use super::*;
use crate::base::team::with_team;
use crate::tensor::conformance::{Tolerance, check_all};

#[test]
fn f64_conforms() {
    check_all(&CpuBackend::<f64>::new(), Tolerance { atol: 1e-12, rtol: 1e-12 });
}

/// f32 rounds at 6e-8; the longest sums have 300 terms of order one.
#[test]
fn f32_conforms() {
    check_all(&CpuBackend::<f32>::new(), Tolerance { atol: 2e-5, rtol: 1e-5 });
}

/// Two threads give the bits of one: products large enough to be cut, attention, norms, head.
#[test]
fn threads_do_not_change_a_bit() {
    let compute = || everything(&CpuBackend::new());
    let with_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool");
        pool.install(|| with_team(compute))
    };
    let one = with_threads(1);
    for threads in [2, 3] {
        assert!(one == with_threads(threads), "{threads} threads differ from one");
    }
}

/// What each kind of operation gives.
pub(super) fn everything(backend: &CpuBackend<f32>) -> (Vec<Matrix<f32>>, u64, u64) {
    let random = |rows: usize, cols: usize, salt: usize| {
        let data = (0..rows * cols).map(|i| ((i * 7919 + salt * 104_729) % 1000) as f32 / 500.0 - 1.0);
        Matrix { rows, cols, data: data.collect() }
    };
    let mut results = Vec::new();
    for (product, m, n, k) in
        [(Product::NT, 1000, 130, 77), (Product::NN, 300, 1000, 33), (Product::TN, 513, 259, 700)]
    {
        let (a, b) = match product {
            Product::NT => (random(m, k, 1), random(n, k, 2)),
            Product::NN => (random(m, k, 1), random(k, n, 2)),
            Product::TN => (random(k, m, 1), random(k, n, 2)),
        };
        let mut c = backend.zeros(m, n);
        backend.matmul(product, &mut c, false, &a, &b);
        results.push(c);
    }
    let shape =
        AttentionShape { sequences: 3, context_length: 150, num_heads: 4, num_kv_heads: 2, head_dim: 10 };
    let (q, k, v) = (random(450, 40, 3), random(450, 20, 4), random(450, 20, 5));
    let (mut out, mut lse) = (backend.zeros(450, 40), backend.zeros(450, 4));
    backend.attention(shape, &mut out, &mut lse, &q, &k, &v);
    let (mut dq, mut dk, mut dv) = (backend.zeros(450, 40), backend.zeros(450, 20), backend.zeros(450, 20));
    backend.attention_backward(shape, &mut dq, &mut dk, &mut dv, &random(450, 40, 6), &out, &lse, &q, &k, &v);
    let (mut d_x, mut d_w, mut inv) = (backend.zeros(450, 40), backend.zeros(1, 40), backend.zeros(1, 450));
    let (mut normed, w) = (backend.zeros(450, 40), random(1, 40, 7));
    backend.rmsnorm(&mut normed, &mut inv, &q, &w, 1e-5);
    backend.rmsnorm_backward(&mut d_x, &mut d_w, &random(450, 40, 8), &q, &w, &inv);
    let targets: Vec<u32> = (0..450).map(|i| i % 999).collect();
    let (mut dh, mut d_head) = (backend.zeros(450, 40), backend.zeros(999, 40));
    let loss = backend.head_cross_entropy(&mut dh, &mut d_head, &normed, &random(999, 40, 9), &targets, 0.1);
    let norm = backend.sum_of_squares(&random(700, 300, 1));
    let (mut shifted, mut column_sums) = (backend.zeros(700, 300), random(1, 300, 2));
    backend.linear(&mut shifted, &random(700, 40, 1), &random(300, 40, 4), Some(&random(1, 300, 3)));
    backend.add_column_sums(&mut column_sums, &shifted);
    results.extend([out, lse, dq, dk, dv, d_x, d_w, dh, d_head, shifted, column_sums]);
    (results, loss.to_bits(), norm.to_bits())
}
