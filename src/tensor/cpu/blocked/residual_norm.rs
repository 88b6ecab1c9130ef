//! A residual stream and the norm that reads it, by rows (`super::by_rows`).
//!
//! ```text
//! out ← residual + x Wᵀ    norm(out)
//! ```
//!
//! Each is what it is by itself, to the bit.
use super::by_rows::{NormRows, Rows, by_rows, product};
use super::held;
use super::kernel::Kernel;
use super::pack::{Along, Left, Source};
use super::product::even_rows;
use crate::tensor::Norm;
use crate::tensor::cpu::Matrix;

/// As [`crate::tensor::Backend::residual_norm`]; whether it was done.
pub fn forward(
    kernel: Kernel,
    out: &mut Matrix<f32>,
    residual: Option<&Matrix<f32>>,
    x: &Matrix<f32>,
    weight: &Matrix<f32>,
    norm: Norm<'_, Matrix<f32>>,
) -> bool {
    let (n, d, k) = (x.rows, out.cols, x.cols);
    assert!(out.rows == n && residual.is_none_or(|r| (r.rows, r.cols) == (n, d)), "{n} rows of {d}");
    assert!((weight.rows, weight.cols) == (d, k), "weights of {d} and {k}");
    if even_rows(kernel, Along::Lines, n).is_none() {
        return false;
    }
    let norm = NormRows::of(norm, n);
    let weight = held::right(kernel, weight, Along::Lines);
    let inputs = Source { data: x.data.as_ptr(), stride: k, lines: n, width: k };
    let out = Rows::of(out);
    by_rows(kernel, n, |rows| {
        let x = Left::of(kernel, Along::Lines, inputs.lines(rows.clone()));
        // SAFETY: rows of a task are its own.
        unsafe {
            if let Some(residual) = residual {
                out.slice(&rows).copy_from_slice(&residual.data[rows.start * d..rows.end * d]);
            }
            product(kernel, &x, &weight, out.target(&rows, true));
            norm.write(out, &rows);
        }
    })
}
