//! Element-wise maps and sums over blocks, of which statistics are made.
use super::Matrix;
use super::real::{Real, vectorised};
use crate::base::team::for_each_item;
use crate::tensor::Pointwise;

/// Rows of one piece of work.
const ROWS: usize = 64;

pub fn pointwise<T: Real>(operation: Pointwise, out: &mut Matrix<T>, a: &Matrix<T>, b: Option<&Matrix<T>>) {
    assert!((out.rows, out.cols) == (a.rows, a.cols), "pointwise");
    let map = |out: &mut [T], a: &[T], f: fn(T) -> T| {
        vectorised(|| out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a)));
    };
    let piece = (ROWS * a.cols).max(1);
    let run = |(at, out): (usize, &mut [T])| {
        let a = &a.data[at * piece..][..out.len()];
        match operation {
            Pointwise::Square => map(out, a, |a| a * a),
            Pointwise::Magnitude => map(out, a, |a| if a < T::ZERO { -a } else { a }),
            Pointwise::Root => map(out, a, |a| a.sqrt()),
            Pointwise::Product => {
                let b = &b.expect("a product has two factors").data[at * piece..][..out.len()];
                vectorised(|| out.iter_mut().zip(a).zip(b).for_each(|((out, &a), &b)| *out = a * b));
            }
        }
    };
    for_each_item(out.data.chunks_mut(piece).enumerate(), run);
}

pub fn fold<T: Real>(out: &mut Matrix<T>, x: &Matrix<T>, rows: usize, cols: usize) {
    assert!(out.rows * rows == x.rows && out.cols * cols == x.cols, "fold");
    if out.data.is_empty() {
        return;
    }
    let run = |(i, sums): (usize, &mut [T])| {
        vectorised(|| {
            sums.fill(T::ZERO);
            for row in x.data[i * rows * x.cols..][..rows * x.cols].chunks_exact(x.cols) {
                for (sum, block) in sums.iter_mut().zip(row.chunks_exact(cols)) {
                    for &x in block {
                        *sum += x;
                    }
                }
            }
        });
    };
    for_each_item(out.data.chunks_mut(out.cols).enumerate(), run);
}
