//! The feed-forward block, by rows (`super::by_rows`).
//!
//! ```text
//! gate, up ← x Wgᵀ, x Wuᵀ    h ← silu(gate) ∘ up    out ← residual + h Wdᵀ    norm(out)
//! dh ← d_out Wd              d_gate, d_up           d_x ← d_gate Wg + d_up Wu
//! ```
//!
//! Each line is what it is by itself, to the bit.
use super::by_rows::{NormRows, Rows, by_rows, product};
use super::held;
use super::kernel::Kernel;
use super::memory::Buffer;
use super::pack::{Along, Left, Source};
use super::product::even_rows;
use crate::tensor::Norm;
use crate::tensor::cpu::Matrix;
use crate::tensor::cpu::elementwise::{swiglu_backward_rows, swiglu_rows};

/// As [`crate::tensor::Backend::feed_forward`]; whether it was done.
pub fn forward(
    kernel: Kernel,
    out: &mut Matrix<f32>,
    residual: Option<&Matrix<f32>>,
    x: &Matrix<f32>,
    [gate, up, hidden]: [&mut Matrix<f32>; 3],
    weights: [&Matrix<f32>; 3],
    norm: Option<Norm<'_, Matrix<f32>>>,
) -> bool {
    let ((n, d), f) = ((x.rows, x.cols), hidden.cols);
    assert!([&*gate, &*up, &*hidden].iter().all(|m| (m.rows, m.cols) == (n, f)), "{n} rows of {f}");
    assert!((out.rows, out.cols) == (n, d) && residual.is_none_or(|r| (r.rows, r.cols) == (n, d)));
    assert!([(f, d), (f, d), (d, f)] == weights.map(|w| (w.rows, w.cols)), "weights of {d} and {f}");
    if even_rows(kernel, Along::Lines, n).is_none() {
        return false;
    }
    let norm = norm.map(|norm| NormRows::of(norm, n));
    let [w_gate, w_up, w_down] = weights.map(|weight| held::right(kernel, weight, Along::Lines));
    let inputs = Source { data: x.data.as_ptr(), stride: d, lines: n, width: d };
    let [gate, up, hidden, out] = [gate, up, hidden, out].map(Rows::of);
    by_rows(kernel, n, |rows| {
        // SAFETY: rows of a task are its own; each operand is done with before its rows are written again.
        unsafe {
            let x = Left::of(kernel, Along::Lines, inputs.lines(rows.clone()));
            product(kernel, &x, &w_gate, gate.target(&rows, false));
            product(kernel, &x, &w_up, up.target(&rows, false));
            swiglu_rows(hidden.slice(&rows), gate.slice(&rows), up.slice(&rows));
            if let Some(residual) = residual {
                out.slice(&rows).copy_from_slice(&residual.data[rows.start * d..rows.end * d]);
            }
            product(kernel, &hidden.left(kernel, &rows), &w_down, out.target(&rows, true));
            if let Some(norm) = &norm {
                norm.write(out, &rows);
            }
        }
    })
}

/// As [`crate::tensor::Backend::feed_forward_backward`]; whether it was done.
pub fn backward(
    kernel: Kernel,
    d_x: &mut Matrix<f32>,
    (d_hidden, is_kept): (&mut Matrix<f32>, bool),
    [gate, up]: [&mut Matrix<f32>; 2],
    d_out: &Matrix<f32>,
    weights: [&Matrix<f32>; 3],
) -> bool {
    let ((n, d), f) = ((d_out.rows, d_out.cols), d_hidden.cols);
    assert!([&*gate, &*up, &*d_hidden].iter().all(|m| (m.rows, m.cols) == (n, f)), "{n} rows of {f}");
    assert!((d_x.rows, d_x.cols) == (n, d), "{n} rows of {d}");
    assert!([(f, d), (f, d), (d, f)] == weights.map(|w| (w.rows, w.cols)), "weights of {d} and {f}");
    if even_rows(kernel, Along::Lines, n).is_none() {
        return false;
    }
    let [w_gate, w_up, w_down] = weights.map(|weight| held::right(kernel, weight, Along::Columns));
    let gradients = Source { data: d_out.data.as_ptr(), stride: d, lines: n, width: d };
    let [gate, up, d_hidden, d_x] = [gate, up, d_hidden, d_x].map(Rows::of);
    by_rows(kernel, n, |rows| {
        // SAFETY: rows of a task are its own; each operand is done with before its rows are written again.
        unsafe {
            let mut buffer = Buffer::new(if is_kept { 0 } else { rows.len() * f });
            let d_hidden = if is_kept { d_hidden } else { Rows::in_buffer(&mut buffer, f, rows.start) };
            let d_out = Left::of(kernel, Along::Lines, gradients.lines(rows.clone()));
            product(kernel, &d_out, &w_down, d_hidden.target(&rows, false));
            swiglu_backward_rows(gate.slice(&rows), up.slice(&rows), d_hidden.slice(&rows));
            product(kernel, &gate.left(kernel, &rows), &w_gate, d_x.target(&rows, false));
            product(kernel, &up.left(kernel, &rows), &w_up, d_x.target(&rows, true));
        }
    })
}
