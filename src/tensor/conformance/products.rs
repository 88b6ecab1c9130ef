//! Products, linear layers and norms, and that rows of a product do not depend on each other.
use super::Case;
use crate::tensor::{Backend, Product};

pub(super) fn products<B: Backend>(case: &Case<B>, m: usize, n: usize, k: usize) {
    for product in [Product::NT, Product::NN, Product::TN] {
        let (a_shape, b_shape) = match product {
            Product::NT => ((m, k), (n, k)),
            Product::NN => ((m, k), (k, n)),
            Product::TN => ((k, m), (k, n)),
        };
        let (a, a_tensor) = case.activation(a_shape.0, a_shape.1, "a");
        // Activations by weights are activations; activations by activations are gradients.
        let operand = |activation: bool, rows, cols, name: &str| {
            if activation { case.activation(rows, cols, name) } else { case.random(rows, cols, name) }
        };
        let (b, b_tensor) = operand(product == Product::TN, b_shape.0, b_shape.1, "b");
        let (c, mut c_tensor) = operand(product != Product::TN, m, n, "c");
        let element = |i: usize, j: usize, l: usize| match product {
            Product::NT => a.at(i, l) * b.at(j, l),
            Product::NN => a.at(i, l) * b.at(l, j),
            Product::TN => a.at(l, i) * b.at(l, j),
        };
        let expected: Vec<f64> = (0..m * n).map(|x| (0..k).map(|l| element(x / n, x % n, l)).sum()).collect();
        let sum: Vec<f64> = expected.iter().zip(&c.data).map(|(x, c)| x + c).collect();
        case.backend.matmul(product, &mut c_tensor, true, &a_tensor, &b_tensor);
        case.compare(&format!("{product:?} {m}×{n}×{k} accumulated"), &c_tensor, &sum);
        case.backend.matmul(product, &mut c_tensor, false, &a_tensor, &b_tensor);
        case.compare(&format!("{product:?} {m}×{n}×{k}"), &c_tensor, &expected);
    }
}

pub(super) fn linear_layers<B: Backend>(case: &Case<B>, tokens: usize, d_out: usize, d_in: usize) {
    let (x, x_tensor) = case.activation(tokens, d_in, "x");
    let (w, w_tensor) = case.random(d_out, d_in, "w");
    let (bias, bias_tensor) = case.random(1, d_out, "bias");
    let (residual, residual_tensor) = case.activation(tokens, d_out, "residual");
    let product: Vec<f64> = (0..tokens * d_out)
        .map(|i| (0..d_in).map(|l| x.at(i / d_out, l) * w.at(i % d_out, l)).sum())
        .collect();
    let plus = |addend: &dyn Fn(usize) -> f64| -> Vec<f64> {
        product.iter().enumerate().map(|(i, x)| x + addend(i)).collect()
    };
    // What stood in the output must not matter.
    let (_, mut out) = case.activation(tokens, d_out, "before");
    case.backend.linear(&mut out, &x_tensor, &w_tensor, None);
    case.compare("linear", &out, &product);
    case.backend.linear(&mut out, &x_tensor, &w_tensor, Some(&bias_tensor));
    case.compare("linear with bias", &out, &plus(&|i| bias.at(0, i % d_out)));
    case.backend.residual_linear(&mut out, &residual_tensor, &x_tensor, &w_tensor);
    case.compare("linear into a residual stream", &out, &plus(&|i| residual.data[i]));
}

pub(super) fn norms<B: Backend>(case: &Case<B>, rows: usize, d: usize) {
    let (x, x_tensor) = case.activation(rows, d, "x");
    let (w, w_tensor) = case.random(1, d, "w");
    let (dy, dy_tensor) = case.activation(rows, d, "dy");
    let (dx0, mut dx_tensor) = case.activation(rows, d, "dx");
    let (dw0, mut dw_tensor) = case.random(1, d, "dw");
    let eps = 1e-3;
    let mut out = case.backend.activation(rows, d);
    let mut inv_rms = case.backend.zeros(1, rows);
    case.backend.rmsnorm(&mut out, &mut inv_rms, &x_tensor, &w_tensor, eps);
    let r: Vec<f64> = (0..rows)
        .map(|n| 1.0 / ((0..d).map(|c| x.at(n, c).powi(2)).sum::<f64>() / d as f64 + eps).sqrt())
        .collect();
    let cells = || (0..rows).flat_map(|n| (0..d).map(move |c| (n, c)));
    let y: Vec<f64> = cells().map(|(n, c)| x.at(n, c) * r[n] * w.at(0, c)).collect();
    case.compare("rmsnorm", &out, &y);
    case.compare("inverse rms", &inv_rms, &r);
    case.backend.rmsnorm_backward(&mut dx_tensor, &mut dw_tensor, &dy_tensor, &x_tensor, &w_tensor, &inv_rms);
    let dot: Vec<f64> =
        (0..rows).map(|n| (0..d).map(|c| w.at(0, c) * dy.at(n, c) * x.at(n, c)).sum()).collect();
    let dx: Vec<f64> = cells()
        .map(|(n, c)| {
            dx0.at(n, c) + r[n] * w.at(0, c) * dy.at(n, c) - x.at(n, c) * r[n].powi(3) / d as f64 * dot[n]
        })
        .collect();
    case.compare("rmsnorm dx", &dx_tensor, &dx);
    let dw: Vec<f64> = (0..d)
        .map(|c| dw0.at(0, c) + (0..rows).map(|n| dy.at(n, c) * x.at(n, c) * r[n]).sum::<f64>())
        .collect();
    case.compare("rmsnorm dw", &dw_tensor, &dw);
}

/// A row of a padded product, of attention over a packed batch and of the head has the same bits in any company. The last
/// shape is that of a small model's feed-forward layer, for which libraries like to split the sum.
pub(super) fn rows_are_independent<B: Backend>(case: &Case<B>) {
    let backend = case.backend;
    for (n, k) in [(40, 33), (3, 20), (130, 70), (96, 768)] {
        let (_, weight) = case.random(n, k, "weight");
        let most = backend.independent_rows(300, n);
        let (_, inputs) = case.random(most, k, "inputs");
        let product = |rows: usize| {
            let kept: Vec<usize> = (0..rows).collect();
            let mut out = backend.zeros(rows, n);
            backend.matmul(
                Product::NT,
                &mut out,
                false,
                &backend.select(&inputs, Some(&kept), None),
                &weight,
            );
            backend.to_host(&out)
        };
        let whole = product(most);
        for rows in [1, 2, 64, 129, 257] {
            let part = product(backend.independent_rows(rows, n));
            assert!(part == whole[..part.len()], "{rows} rows of {most}, {n} columns");
        }
        let targets: Vec<u32> = (0..most).map(|i| (i % n) as u32).collect();
        let whole = backend.head_log_probabilities(&inputs, &weight, &targets);
        for rows in [1, 2, 65, 130] {
            let kept: Vec<usize> = (0..rows).collect();
            let part = backend.select(&inputs, Some(&kept), None);
            let part = backend.head_log_probabilities(&part, &weight, &targets[..rows]);
            assert!(part == whole[..rows], "head: {rows} rows of {most}, {n} columns");
        }
    }
}
