//! What works element by element: sums, activations, optimiser steps, scores and statistics.
use super::{Case, Host};
use crate::tensor::{
    Accumulation, AdamwLeaf, AdamwStep, Backend, ElementScore, Margins, Pointwise, Scalar, ScoreLeaf,
};

pub(super) fn element_wise<B: Backend>(case: &Case<B>, rows: usize, cols: usize) {
    let b = case.backend;
    let (x, x_tensor) = case.random(rows, cols, "x");
    let (y, mut y_tensor) = case.random(rows, cols, "y");
    let (z, mut z_tensor) = case.random(rows, cols, "z");
    let (one, one_tensor) = case.random(1, cols, "one row");
    let (before, mut sum_tensor) = case.random(1, cols, "its sum");
    b.accumulate(
        0.5,
        2.0,
        &mut [
            Accumulation { x: &x_tensor, sum: &mut y_tensor, squares: Some(&mut z_tensor) },
            Accumulation { x: &one_tensor, sum: &mut sum_tensor, squares: None },
        ],
    );
    let sums = |x: &Host, y: &Host| -> Vec<f64> {
        x.data.iter().zip(&y.data).map(|(x, y)| 0.5 * x + 2.0 * y).collect()
    };
    case.compare("sum", &y_tensor, &sums(&x, &y));
    case.compare("sum without squares", &sum_tensor, &sums(&one, &before));
    let squares: Vec<f64> = x.data.iter().zip(&z.data).map(|(x, z)| 0.5 * x * x + 2.0 * z).collect();
    case.compare("squares", &z_tensor, &squares);
    let (sums, mut sums_tensor) = case.random(1, cols, "sums");
    let (_, summed) = case.activation(rows, cols, "x");
    b.add_column_sums(&mut sums_tensor, &summed);
    let column = |c: usize| sums.at(0, c) + (0..rows).map(|n| x.at(n, c)).sum::<f64>();
    case.compare("add_column_sums", &sums_tensor, &(0..cols).map(column).collect::<Vec<_>>());
    let expected: f64 = x.data.iter().map(|x| x * x).sum();
    let sum = b.sum_of_squares(&x_tensor);
    assert!((sum - expected).abs() <= case.tolerance.atol + case.tolerance.rtol * expected);

    let (gate, mut gate_tensor) = case.activation(rows, cols, "gate");
    let (up, mut up_tensor) = case.activation(rows, cols, "up");
    let (d, d_tensor) = case.activation(rows, cols, "d");
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let cells = || (0..rows * cols).map(|i| (gate.data[i], up.data[i], d.data[i]));
    let mut out = b.activation(rows, cols);
    b.swiglu(&mut out, &gate_tensor, &up_tensor);
    case.compare("swiglu", &out, &cells().map(|(z, u, _)| z * sigmoid(z) * u).collect::<Vec<_>>());
    b.swiglu_backward(&mut gate_tensor, &mut up_tensor, &d_tensor);
    let d_gate = |(z, u, d): (f64, f64, f64)| d * u * sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z)));
    case.compare("swiglu d_gate", &gate_tensor, &cells().map(d_gate).collect::<Vec<_>>());
    case.compare("swiglu d_up", &up_tensor, &cells().map(|(z, _, d)| d * z * sigmoid(z)).collect::<Vec<_>>());

    let (w, mut w_tensor) = case.random(rows, cols, "w");
    let (m, mut m_tensor) = case.random(rows, cols, "m");
    let v: Vec<f64> = m.data.iter().map(|m| m * m).collect();
    let v_host: Vec<B::Scalar> = v.iter().map(|&v| B::Scalar::from_f64(v)).collect();
    let mut v_tensor = b.from_host(rows, cols, &v_host);
    let step = AdamwStep {
        learning_rate: 0.01,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        bias_correction1: 0.19,
        bias_correction2: 0.0975,
        gradient_scale: 0.5,
    };
    b.adamw(step, &mut w_tensor, &x_tensor, &mut m_tensor, &mut v_tensor);
    let m: Vec<f64> = m.data.iter().zip(&x.data).map(|(m, g)| 0.9 * m + 0.1 * 0.5 * g).collect();
    let v: Vec<f64> = v.iter().zip(&x.data).map(|(v, g)| 0.95 * v + 0.05 * 0.25 * g * g).collect();
    let w: Vec<f64> = (0..rows * cols)
        .map(|i| {
            let direction = m[i] / 0.19 / ((v[i] / 0.0975).sqrt() + 1e-8);
            w.data[i] - 0.01 * 0.1 * w.data[i] - 0.01 * direction
        })
        .collect();
    case.compare("adamw m", &m_tensor, &m);
    case.compare("adamw v", &v_tensor, &v);
    case.compare("adamw w", &w_tensor, &w);
}

/// A step over two tensors, of which one decays, clipped to half of the gradient's norm.
pub(super) fn clipped_step<B: Backend>(case: &Case<B>, rows: usize, cols: usize) {
    let b = case.backend;
    let (w1, mut w1_tensor) = case.random(rows, cols, "w1");
    let (w2, mut w2_tensor) = case.random(1, cols, "w2");
    let (g1, g1_tensor) = case.random(rows, cols, "g1");
    let (g2, g2_tensor) = case.random(1, cols, "g2");
    let [mut m1, mut v1] = [(); 2].map(|()| b.zeros(rows, cols));
    let [mut m2, mut v2] = [(); 2].map(|()| b.zeros(1, cols));
    let step = AdamwStep {
        learning_rate: 0.01,
        weight_decay: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1.0,
        bias_correction1: 0.1,
        bias_correction2: 0.05,
        gradient_scale: 1.0,
    };
    let squared: f64 = g1.data.iter().chain(&g2.data).map(|g| g * g).sum();
    let mut leaves = [
        AdamwLeaf { weight: &mut w1_tensor, grad: &g1_tensor, m: &mut m1, v: &mut v1, decays: true },
        AdamwLeaf { weight: &mut w2_tensor, grad: &g2_tensor, m: &mut m2, v: &mut v2, decays: false },
    ];
    let found = b.clipped_adamw(step, squared.sqrt() / 2.0, &mut leaves);
    let found = b.read_sum(&found);
    assert!((found - squared).abs() <= case.tolerance.atol + case.tolerance.rtol * squared, "{found}");
    // First step: m/c₁ = g and v/c₂ = g², with g halved by clipping.
    let stepped =
        |w: f64, g: f64, decay: f64| w - 0.01 * decay * w - 0.01 * g / 2.0 / ((g / 2.0).abs() + 1.0);
    for (what, tensor, w, g, decay) in
        [("decaying", &w1_tensor, &w1, &g1, 0.1), ("not decaying", &w2_tensor, &w2, &g2, 0.0)]
    {
        let expected: Vec<f64> = w.data.iter().zip(&g.data).map(|(&w, &g)| stepped(w, g, decay)).collect();
        case.compare(&format!("clipped step, {what}"), tensor, &expected);
    }
}

/// Several tensors at once.
pub(super) fn scores<B: Backend>(case: &Case<B>, rows: usize, cols: usize) {
    let tree = |name: &str| {
        [(rows, cols), (1, cols), (cols, rows + 2)].map(|(rows, cols)| case.random(rows, cols, name))
    };
    let (weights, grads) = (tree("w"), tree("g"));
    // A mean of squares is not negative.
    let fishers = tree("f").map(|(mut host, tensor)| {
        host.data.iter_mut().for_each(|f| *f *= *f);
        let mut squares = case.backend.zeros(host.rows, host.cols);
        case.backend.pointwise(Pointwise::Square, &mut squares, &tensor, None);
        (host, squares)
    });
    for score in ElementScore::ALL {
        let leaf = |i: usize| ScoreLeaf {
            weight: &weights[i].1,
            grad: score.reads_gradient().then_some(&grads[i].1),
            fisher: score.reads_fisher().then_some(&fishers[i].1),
        };
        let margins = case.backend.score_margins(score, &[0, 1, 2].map(leaf));
        assert_eq!(margins.len(), 3);
        for (i, Margins { rows: by_row, cols: by_col }) in margins.iter().enumerate() {
            let (w, g, f) = (&weights[i].0, &grads[i].0, &fishers[i].0);
            let element = |r: usize, c: usize| {
                let (w, g, f) = (w.at(r, c), g.at(r, c), f.at(r, c));
                match score {
                    ElementScore::MagnitudeL1 => w.abs(),
                    ElementScore::MagnitudeL2 => w * w,
                    ElementScore::Signed => w * g,
                    ElementScore::Taylor1 => (w * g).abs(),
                    ElementScore::Taylor2 => w * w * f,
                    ElementScore::TaylorMix => (w * g - 0.5 * w * w * f).abs(),
                    ElementScore::Adam => (w * g).abs() / (f.sqrt() + 1e-8),
                }
            };
            assert_eq!((by_row.len(), by_col.len()), (w.rows, w.cols));
            let row_sums = (0..w.rows).map(|r| (0..w.cols).map(|c| element(r, c)).sum::<f64>());
            let col_sums = (0..w.cols).map(|c| (0..w.rows).map(|r| element(r, c)).sum::<f64>());
            for (value, expected) in by_row.iter().zip(row_sums).chain(by_col.iter().zip(col_sums)) {
                let bound = case.tolerance.atol + case.tolerance.rtol * expected.abs();
                assert!((value - expected).abs() <= bound, "{score:?}: {value}, expected {expected}");
            }
        }
    }
}

/// The maps and sums over blocks of which statistics are made, of activations and of parameters.
pub(super) fn statistics<B: Backend>(case: &Case<B>, rows: usize, cols: usize) {
    let b = case.backend;
    let (x, x_tensor) = case.activation(rows, cols, "x");
    let (y, y_tensor) = case.activation(rows, cols, "y");
    let mut out = b.zeros(rows, cols);
    b.pointwise(Pointwise::Product, &mut out, &x_tensor, Some(&y_tensor));
    let product: Vec<f64> = x.data.iter().zip(&y.data).map(|(x, y)| x * y).collect();
    case.compare("product", &out, &product);
    let of = |f: fn(f64) -> f64, of: &[f64]| of.iter().map(|x| f(*x)).collect::<Vec<_>>();
    b.pointwise(Pointwise::Magnitude, &mut out, &x_tensor, None);
    case.compare("magnitude", &out, &of(f64::abs, &x.data));
    let mut narrow = b.activation(rows, cols);
    b.pointwise(Pointwise::Square, &mut narrow, &x_tensor, None);
    case.compare("square", &narrow, &of(|x| x * x, &x.data));
    b.pointwise(Pointwise::Square, &mut out, &x_tensor, None);
    let mut root = b.zeros(rows, cols);
    b.pointwise(Pointwise::Root, &mut root, &out, None);
    case.compare("root", &root, &of(f64::abs, &x.data));
    for (block_rows, block_cols) in [(1, 1), (3, 1), (1, 4), (5, 2)] {
        let (n, m) = (rows * block_rows, cols * block_cols);
        let (x, x_tensor) = case.activation(n, m, "blocks");
        let mut sums = b.zeros(rows, cols);
        b.fold(&mut sums, &x_tensor, block_rows, block_cols);
        let block = |i: usize, j: usize| -> f64 {
            let cells = (0..block_rows).flat_map(|r| (0..block_cols).map(move |c| (r, c)));
            cells.map(|(r, c)| x.at(i * block_rows + r, j * block_cols + c)).sum()
        };
        let expected: Vec<f64> = (0..rows * cols).map(|k| block(k / cols, k % cols)).collect();
        case.compare("fold", &sums, &expected);
    }
}
