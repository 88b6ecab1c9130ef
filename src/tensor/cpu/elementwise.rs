//! Element-wise passes: each reads and writes its operands once.
use super::Matrix;
use super::real::{Real, kernel, sum_by, vectorised};
use crate::base::team::map_items;
use crate::tensor::AdamwStep;

/// Elements of one piece of work: a few cache-resident kilobytes, many pieces for large tensors.
const PIECE: usize = 1 << 15;

/// As [`map_items`], on this thread alone where there are too few elements, `len`, in all of them.
pub(super) fn map_pieces<I: Send, R: Send>(
    len: usize,
    pieces: impl Iterator<Item = I>,
    work: impl Fn(I) -> R + Sync + Send,
) -> Vec<R> {
    if len > PIECE { map_items(pieces, work) } else { pieces.map(work).collect() }
}

/// As [`map_pieces`], of work that has no result.
pub(super) fn for_each<I: Send>(len: usize, pieces: impl Iterator<Item = I>, work: impl Fn(I) + Sync + Send) {
    map_pieces(len, pieces, work);
}

/// Runs `body` on matching pieces of `y` and `x`.
fn zip1<T: Real>(y: &mut [T], x: &[T], body: impl Fn(&mut [T], &[T]) + Sync + Send) {
    assert_eq!(y.len(), x.len());
    let run = |(y, x): (&mut [T], &[T])| vectorised(|| body(y, x));
    for_each(x.len(), y.chunks_mut(PIECE).zip(x.chunks(PIECE)), run);
}

/// `y ← x`
pub fn copy<T: Real>(y: &mut [T], x: &[T]) {
    zip1(y, x, <[T]>::copy_from_slice);
}

/// `x ← 0`
pub fn fill_zero<T: Real>(x: &mut [T]) {
    for_each(x.len(), x.chunks_mut(PIECE), |x| x.fill(T::ZERO));
}

pub fn axpby<T: Real>(alpha: T, x: &[T], beta: T, y: &mut [T]) {
    zip1(y, x, |y, x| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = alpha * x + beta * *y;
        }
    });
}

pub fn square_axpby<T: Real>(alpha: T, x: &[T], beta: T, y: &mut [T]) {
    zip1(y, x, |y, x| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = alpha * (x * x) + beta * *y;
        }
    });
}

/// `Σ x²`: each piece in the working type, pieces added in f64 in order.
pub fn sum_of_squares<T: Real>(x: &[T]) -> f64 {
    map_pieces(x.len(), x.chunks(PIECE), |x| squares(x).to_f64()).iter().sum()
}

kernel! {
    fn squares<'a, T>(x: &'a [T]) -> T {
        sum_by(x.len(), |i| x[i] * x[i])
    }
}

/// Rows of one piece of [`add_column_sums`]; fixes the order of its sums.
const ROWS: usize = 128;

/// `x ← x[rows, cols]` in place: both ascend, so nothing is written before it is read.
pub fn retain<T: Real>(x: &mut Matrix<T>, rows: Option<&[usize]>, cols: Option<&[usize]>) {
    let width = x.cols;
    let runs = match cols {
        Some(cols) => runs(cols),
        None => vec![(0, width)],
    };
    let mut end = 0;
    let mut keep = |row: usize| {
        for &(start, length) in &runs {
            let start = row * width + start;
            x.data.copy_within(start..start + length, end);
            end += length;
        }
    };
    match rows {
        Some(rows) => rows.iter().for_each(|&row| keep(row)),
        None => (0..x.rows).for_each(keep),
    }
    x.data.truncate(end);
    if 4 * end <= 3 * x.data.capacity() {
        x.data.shrink_to_fit();
    }
    x.rows = rows.map_or(x.rows, <[usize]>::len);
    x.cols = cols.map_or(width, <[usize]>::len);
}

/// Neighbours of an ascending list as (first, how many).
fn runs(indices: &[usize]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &index in indices {
        match runs.last_mut() {
            Some((start, length)) if *start + *length == index => *length += 1,
            _ => runs.push((index, 1)),
        }
    }
    runs
}

/// Column j of `x` → column `places[j]` of `out`, whose other columns are 0.
pub fn spread_columns<T: Real>(out: &mut Matrix<T>, x: &Matrix<T>, places: &[usize]) {
    assert!(out.rows == x.rows && x.cols == places.len());
    out.data.fill(T::ZERO);
    for (out, x) in out.data.chunks_exact_mut(out.cols.max(1)).zip(x.data.chunks_exact(x.cols.max(1))) {
        places.iter().zip(x).for_each(|(&place, &x)| out[place] = x);
    }
}

/// Column `places[j]` of `x` → column j of `out`.
pub fn gather_columns<T: Real>(out: &mut Matrix<T>, x: &Matrix<T>, places: &[usize]) {
    assert!(out.rows == x.rows && out.cols == places.len());
    for (out, x) in out.data.chunks_exact_mut(out.cols.max(1)).zip(x.data.chunks_exact(x.cols.max(1))) {
        places.iter().zip(out).for_each(|(&place, out)| *out = x[place]);
    }
}

pub fn add_row<T: Real>(x: &mut Matrix<T>, row: &Matrix<T>) {
    assert!(row.data.len() == x.cols);
    if x.data.is_empty() {
        return;
    }
    let run = |piece: &mut [T]| {
        vectorised(|| {
            for x in piece.chunks_exact_mut(row.data.len()) {
                for (x, &shift) in x.iter_mut().zip(&row.data) {
                    *x += shift;
                }
            }
        })
    };
    for_each(x.data.len(), x.data.chunks_mut(ROWS * x.cols), run);
}

/// Each piece of rows by itself, pieces in order.
pub fn add_column_sums<T: Real>(out: &mut Matrix<T>, x: &Matrix<T>) {
    assert!(out.data.len() == x.cols);
    if x.data.is_empty() {
        return;
    }
    let piece = |rows: &[T]| {
        vectorised(|| {
            let mut sums = vec![T::ZERO; x.cols];
            for row in rows.chunks_exact(x.cols) {
                for (sum, &x) in sums.iter_mut().zip(row) {
                    *sum += x;
                }
            }
            sums
        })
    };
    for sums in map_pieces(x.data.len(), x.data.chunks(ROWS * x.cols), piece) {
        for (out, sum) in out.data.iter_mut().zip(sums) {
            *out += sum;
        }
    }
}

#[inline(always)]
fn sigmoid<T: Real>(x: T) -> T {
    T::ONE / (T::ONE + (-x).exp())
}

/// [`swiglu`] on this thread.
pub fn swiglu_rows<T: Real>(out: &mut [T], gate: &[T], up: &[T]) {
    vectorised(|| {
        for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate * sigmoid(gate) * up;
        }
    });
}

pub fn swiglu<T: Real>(out: &mut [T], gate: &[T], up: &[T]) {
    assert!(out.len() == gate.len() && out.len() == up.len());
    let run = |((out, gate), up): ((&mut [T], &[T]), &[T])| swiglu_rows(out, gate, up);
    for_each(gate.len(), out.chunks_mut(PIECE).zip(gate.chunks(PIECE)).zip(up.chunks(PIECE)), run);
}

/// [`swiglu_backward`] on this thread.
pub fn swiglu_backward_rows<T: Real>(gate: &mut [T], up: &mut [T], d_out: &[T]) {
    vectorised(|| {
        for ((gate, up), &d) in gate.iter_mut().zip(up.iter_mut()).zip(d_out) {
            let (z, s) = (*gate, sigmoid(*gate));
            *gate = d * *up * s * (T::ONE + z * (T::ONE - s));
            *up = d * z * s;
        }
    });
}

pub fn swiglu_backward<T: Real>(gate: &mut [T], up: &mut [T], d_out: &[T]) {
    assert!(d_out.len() == gate.len() && d_out.len() == up.len());
    let run = |((gate, up), d_out): ((&mut [T], &mut [T]), &[T])| swiglu_backward_rows(gate, up, d_out);
    for_each(d_out.len(), gate.chunks_mut(PIECE).zip(up.chunks_mut(PIECE)).zip(d_out.chunks(PIECE)), run);
}

/// Rows are added in token order on one thread: a token may occur often.
pub fn embed_backward<T: Real>(d_table: &mut Matrix<T>, d_out: &Matrix<T>, tokens: &[u32]) {
    let d = d_table.cols;
    assert!(d_out.cols == d && d_out.rows == tokens.len());
    vectorised(|| {
        for (row, &token) in d_out.data.chunks_exact(d).zip(tokens) {
            let start = token as usize * d;
            for (sum, &x) in d_table.data[start..start + d].iter_mut().zip(row) {
                *sum += x;
            }
        }
    });
}

pub fn adamw<T: Real>(step: AdamwStep, weight: &mut [T], grad: &[T], m: &mut [T], v: &mut [T]) {
    assert!(weight.len() == grad.len() && weight.len() == m.len() && weight.len() == v.len());
    let real = T::from_f64;
    let (beta1, beta2) = (real(step.beta1), real(step.beta2));
    let (rest1, rest2) = (real(1.0 - step.beta1), real(1.0 - step.beta2));
    let scale = real(step.gradient_scale);
    let keep = real(1.0 - step.learning_rate * step.weight_decay);
    let rate = real(step.learning_rate / step.bias_correction1);
    let root = real(1.0 / step.bias_correction2.sqrt());
    let epsilon = real(step.epsilon);
    let pieces =
        weight.chunks_mut(PIECE).zip(grad.chunks(PIECE)).zip(m.chunks_mut(PIECE)).zip(v.chunks_mut(PIECE));
    for_each(grad.len(), pieces, |(((w, g), m), v)| {
        vectorised(|| {
            for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
                let g = g * scale;
                *m = beta1 * *m + rest1 * g;
                *v = beta2 * *v + rest2 * (g * g);
                *w = keep * *w - rate * *m / (v.sqrt() * root + epsilon);
            }
        })
    });
}
