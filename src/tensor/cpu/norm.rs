//! RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467).
//!
//! ```text
//! r_n = 1/√(Σ_c x_nc² / d + ε)          y_nc = x_nc r_n w_c
//! dx_nc += r_n w_c dy_nc − x_nc r_n³/d · Σ_c' w_c' dy_nc' x_nc'
//! dw_c  += Σ_n dy_nc x_nc r_n
//! ```
//!
//! The mean divides by the logical width d.
use super::Matrix;
use super::elementwise::{for_each, map_pieces};
use super::real::{Real, kernel, sum_by};

/// Rows of one piece; fixes the order in which `dw` is summed.
const ROWS: usize = 128;

pub fn forward<T: Real>(
    out: &mut Matrix<T>,
    inv_rms: &mut Matrix<T>,
    x: &Matrix<T>,
    w: &Matrix<T>,
    eps: f64,
) {
    let d = x.cols;
    assert!(w.data.len() == d && out.data.len() == x.data.len() && inv_rms.data.len() == x.rows);
    let piece = |((out, x), inv_rms): ((&mut [T], &[T]), &mut [T])| rows(out, x, inv_rms, &w.data, eps);
    let (out, x, inv_rms) = (&mut out.data, &x.data, &mut inv_rms.data);
    if d > 0 {
        let rows = out.chunks_mut(ROWS * d).zip(x.chunks(ROWS * d));
        for_each(x.len(), rows.zip(inv_rms.chunks_mut(ROWS)), piece);
    }
}

/// [`forward`] of a few rows, on the calling thread; each has the bits of any other cut.
pub(super) fn rows<T: Real>(out: &mut [T], x: &[T], inv_rms: &mut [T], weight: &[T], eps: f64) {
    forward_rows(out, x, inv_rms, weight, T::from_f64(1.0 / weight.len() as f64), T::from_f64(eps));
}

kernel! {
    fn forward_rows<'a, T>(
        out: &'a mut [T],
        x: &'a [T],
        inv_rms: &'a mut [T],
        weight: &'a [T],
        inv_d: T,
        eps: T,
    ) -> () {
        let d = weight.len();
        for ((out, x), r) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(inv_rms) {
            let inv = T::ONE / (sum_by(d, |c| x[c] * x[c]) * inv_d + eps).sqrt();
            for ((out, &x), &w) in out.iter_mut().zip(x).zip(weight) {
                *out = x * inv * w;
            }
            *r = inv;
        }
    }
}

pub fn backward<T: Real>(
    d_x: &mut Matrix<T>,
    d_w: &mut Matrix<T>,
    d_out: &Matrix<T>,
    x: &Matrix<T>,
    w: &Matrix<T>,
    inv_rms: &Matrix<T>,
) {
    let d = x.cols;
    assert!(d_x.data.len() == x.data.len() && d_out.data.len() == x.data.len() && d_w.data.len() == d);
    let inv_d = T::from_f64(1.0 / d as f64);
    let weight = &w.data[..d];
    let piece = |d_x: &mut [T], d_out: &[T], x: &[T], inv_rms: &[T]| {
        let mut d_w = vec![T::ZERO; d];
        backward_rows(d_x, &mut d_w, d_out, x, inv_rms, weight, inv_d);
        d_w
    };
    let (d_x, d_out, x, inv_rms) = (&mut d_x.data, &d_out.data, &x.data, &inv_rms.data);
    if d == 0 {
        return;
    }
    let rows = d_x.chunks_mut(ROWS * d).zip(d_out.chunks(ROWS * d)).zip(x.chunks(ROWS * d));
    let rows = rows.zip(inv_rms.chunks(ROWS));
    for piece in map_pieces(x.len(), rows, |(((d_x, d_out), x), inv_rms)| piece(d_x, d_out, x, inv_rms)) {
        for (sum, x) in d_w.data.iter_mut().zip(piece) {
            *sum += x;
        }
    }
}

kernel! {
    fn backward_rows<'a, T>(
        d_x: &'a mut [T],
        d_w: &'a mut [T],
        d_out: &'a [T],
        x: &'a [T],
        inv_rms: &'a [T],
        weight: &'a [T],
        inv_d: T,
    ) -> () {
        let d = weight.len();
        let d_w = &mut d_w[..d];
        let rows = d_x.chunks_exact_mut(d).zip(d_out.chunks_exact(d)).zip(x.chunks_exact(d));
        for (((d_x, d_out), x), &r) in rows.zip(inv_rms) {
            let projection = sum_by(d, |c| weight[c] * d_out[c] * x[c]);
            let along = projection * r * r * r * inv_d;
            for c in 0..d {
                d_x[c] += r * weight[c] * d_out[c] - x[c] * along;
                d_w[c] += d_out[c] * x[c] * r;
            }
        }
    }
}
