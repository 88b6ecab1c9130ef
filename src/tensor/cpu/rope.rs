//! Rotary position embedding (Su et al. 2021, arXiv:2104.09864), halves convention of Hugging Face.
//!
//! ```text
//! angle(t, p) = t · θ^(−2p/h)
//! x_p      ← x_p cos − x_{p+h/2} sin          the inverse turns by −angle
//! x_{p+h/2} ← x_{p+h/2} cos + x_p sin
//! ```
use super::Matrix;
use super::elementwise::for_each;
use super::real::{Real, kernel};
use crate::tensor::{Positions, RopeTable};

pub fn table<T: Real>(context_length: usize, head_dim: usize, theta: f64) -> RopeTable<Matrix<T>> {
    let half = head_dim / 2;
    let angles = (0..context_length)
        .flat_map(|t| (0..half).map(move |p| t as f64 * theta.powf(-2.0 * p as f64 / head_dim as f64)));
    let (cos, sin) = angles.map(|a| (T::from_f64(a.cos()), T::from_f64(a.sin()))).unzip();
    let matrix = |data| Matrix { rows: context_length, cols: half, data };
    RopeTable { cos: matrix(cos), sin: matrix(sin) }
}

pub fn rotate<T: Real>(
    x: &mut Matrix<T>,
    table: &RopeTable<Matrix<T>>,
    context_length: usize,
    head_dim: usize,
    inverse: bool,
) {
    let (width, half) = (x.cols, head_dim / 2);
    assert!(width % head_dim == 0 && table.cos.cols == half && table.cos.rows >= context_length);
    // Positions repeat with every sequence, so a piece is a whole sequence.
    let turn = |sequence: &mut [T]| {
        rotate_sequence(sequence, &table.cos.data, &table.sin.data, width, half, inverse);
    };
    if !x.data.is_empty() {
        for_each(x.data.len(), x.data.chunks_mut(context_length * width), turn);
    }
}

/// [`rotate`] of some rows on this thread, the first of which is row `first` of the whole.
pub fn rotate_rows<T: Real>(
    rows: &mut [T],
    width: usize,
    positions: Positions<'_, Matrix<T>>,
    first: usize,
    inverse: bool,
) {
    let Positions { table, context_length, head_dim } = positions;
    let half = head_dim / 2;
    assert!(width.is_multiple_of(head_dim) && table.cos.cols == half && table.cos.rows >= context_length);
    let (mut rest, mut row) = (rows, first);
    while !rest.is_empty() {
        let position = row % context_length;
        let count = (context_length - position).min(rest.len() / width);
        let (piece, after) = rest.split_at_mut(count * width);
        let [cos, sin] = [&table.cos, &table.sin].map(|angles| &angles.data[position * half..]);
        rotate_sequence(piece, cos, sin, width, half, inverse);
        (rest, row) = (after, row + count);
    }
}

/// Turns `rows` (n × `width`) in place, row n as position `first` + n.
pub fn rotate_from<T: Real>(
    rows: &mut [T],
    width: usize,
    table: &RopeTable<Matrix<T>>,
    first: usize,
    head_dim: usize,
) {
    let half = head_dim / 2;
    assert!(width.is_multiple_of(head_dim) && table.cos.cols == half);
    assert!((table.cos.rows - first) * width >= rows.len(), "positions from {first} of {}", table.cos.rows);
    let [cos, sin] = [&table.cos, &table.sin].map(|angles| &angles.data[first * half..]);
    rotate_sequence(rows, cos, sin, width, half, false);
}

kernel! {
    fn rotate_sequence<'a, T>(
        sequence: &'a mut [T],
        cos: &'a [T],
        sin: &'a [T],
        width: usize,
        half: usize,
        inverse: bool,
    ) -> () {
        let sign = if inverse { -T::ONE } else { T::ONE };
        let angles = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (row, (cos, sin)) in sequence.chunks_exact_mut(width).zip(angles) {
            for head in row.chunks_exact_mut(2 * half) {
                let (low, high) = head.split_at_mut(half);
                for (((low, high), &cos), &sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                    let (a, b, sin) = (*low, *high, sign * sin);
                    *low = a * cos - b * sin;
                    *high = b * cos + a * sin;
                }
            }
        }
    }
}
