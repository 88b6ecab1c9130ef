//! The projections that attention begins with, by rows (`super::by_rows`).
//!
//! ```text
//! q, k, v ← R(x Wqᵀ), R(x Wkᵀ), x Wvᵀ
//! d_q, d_k ← R⁻¹(d_q), R⁻¹(d_k)    d_x ← d_q Wq + d_k Wk + d_v Wv
//! ```
//!
//! with R the rotation of RoPE. Each is what it is by itself, to the bit.
use super::by_rows::{Rows, by_rows, product};
use super::held;
use super::kernel::Kernel;
use super::pack::{Along, Left, Source};
use super::product::even_rows;
use crate::tensor::Positions;
use crate::tensor::cpu::Matrix;
use crate::tensor::cpu::rope::rotate_rows;

fn check(n: usize, d: usize, parts: &[&Matrix<f32>; 3], weights: &[&Matrix<f32>; 3]) {
    for (part, weight) in parts.iter().zip(weights) {
        assert!(
            part.rows == n && (weight.rows, weight.cols) == (part.cols, d),
            "{n} rows of {d}, {} wide",
            part.cols
        );
    }
}

/// As [`crate::tensor::Backend::attention_inputs`]; whether it was done.
pub fn forward(
    kernel: Kernel,
    parts: [&mut Matrix<f32>; 3],
    x: &Matrix<f32>,
    weights: [&Matrix<f32>; 3],
    positions: Positions<'_, Matrix<f32>>,
) -> bool {
    let (n, d) = (x.rows, x.cols);
    check(n, d, &[&*parts[0], &*parts[1], &*parts[2]], &weights);
    if even_rows(kernel, Along::Lines, n).is_none() {
        return false;
    }
    let weights = weights.map(|weight| held::right(kernel, weight, Along::Lines));
    let inputs = Source { data: x.data.as_ptr(), stride: d, lines: n, width: d };
    let parts = parts.map(Rows::of);
    by_rows(kernel, n, |rows| {
        let x = Left::of(kernel, Along::Lines, inputs.lines(rows.clone()));
        for (nth, (part, weight)) in parts.iter().zip(&weights).enumerate() {
            // SAFETY: rows of a task are its own.
            unsafe {
                product(kernel, &x, weight, part.target(&rows, false));
                if nth < 2 {
                    rotate_rows(part.slice(&rows), part.cols, positions, rows.start, false);
                }
            }
        }
    })
}

/// As [`crate::tensor::Backend::attention_inputs_backward`]; whether it was done.
pub fn backward(
    kernel: Kernel,
    d_x: &mut Matrix<f32>,
    parts: [&mut Matrix<f32>; 3],
    weights: [&Matrix<f32>; 3],
    positions: Positions<'_, Matrix<f32>>,
) -> bool {
    let (n, d) = (d_x.rows, d_x.cols);
    check(n, d, &[&*parts[0], &*parts[1], &*parts[2]], &weights);
    if even_rows(kernel, Along::Lines, n).is_none() {
        return false;
    }
    let weights = weights.map(|weight| held::right(kernel, weight, Along::Columns));
    let (d_x, parts) = (Rows::of(d_x), parts.map(Rows::of));
    by_rows(kernel, n, |rows| {
        for (nth, (part, weight)) in parts.iter().zip(&weights).enumerate() {
            // SAFETY: rows of a task are its own; each operand is done with before its rows are written again.
            unsafe {
                if nth < 2 {
                    rotate_rows(part.slice(&rows), part.cols, positions, rows.start, true);
                }
                product(kernel, &part.left(kernel, &rows), weight, d_x.target(&rows, nth > 0));
            }
        }
    })
}
