//! Causal attention over a packed sequence: a prefix, and tails that each continue it.
//!
//! Per head, for the block of rows i₀..i₁ of a tail that starts at row t (the prefix is a tail of an empty prefix):
//!
//! ```text
//! S = α Q [K_prefix ; K_tail]ᵀ   P = softmax(S, the prefix whole, the tail causal)   O = P_prefix V_prefix + P_tail V_tail
//! ```
//!
//! Keys of other tails are never touched, so a tail's result does not depend on which tails stand beside it.
use super::Matrix;
use super::attention::{BLOCK, from_row, softmax_block};
use super::product::{Shared, View, small};
use super::real::Real;
use crate::tensor::PackedShape;

pub fn forward<T: Real>(
    shape: PackedShape,
    out: &mut Matrix<T>,
    q: &Matrix<T>,
    k: &Matrix<T>,
    v: &Matrix<T>,
) {
    let (n, h) = (shape.tokens(), shape.head_dim);
    assert!(shape.num_kv_heads > 0 && shape.num_heads.is_multiple_of(shape.num_kv_heads), "{shape:?}");
    for (m, heads) in
        [(q, shape.num_heads), (&*out, shape.num_heads), (k, shape.num_kv_heads), (v, shape.num_kv_heads)]
    {
        assert!(m.rows == n && m.cols == heads * h, "{}×{} for {shape:?}", m.rows, m.cols);
    }
    let group = shape.num_heads / shape.num_kv_heads;
    let alpha = T::from_f64(1.0 / (h as f64).sqrt());
    let longest = shape.tails.iter().copied().max().unwrap_or(0);
    let widest = shape.prefix + longest;
    // First row, rows, and rows of the prefix that it sees whole.
    let mut segments = vec![(0, shape.prefix, 0)];
    let mut start = shape.prefix;
    for &tail in shape.tails {
        segments.push((start, tail, shape.prefix));
        start += tail;
    }
    let out_cols = out.cols;
    let out = Shared(out.data.as_mut_ptr());
    let head_of = |m: &Matrix<T>, head: usize| View {
        // SAFETY: within the first row by the shapes asserted above; an empty matrix is never read.
        data: unsafe { m.data.as_ptr().add(if n == 0 { 0 } else { head * h }) },
        row_stride: m.cols as isize,
        col_stride: 1,
    };
    super::for_each_piece(shape.num_kv_heads, |kv| {
        let (keys, values) = (head_of(k, kv), head_of(v, kv));
        let mut scores = vec![T::ZERO; BLOCK * widest];
        for head in kv * group..(kv + 1) * group {
            let queries = head_of(q, head);
            for &(first, length, seen) in &segments {
                for i0 in (0..length).step_by(BLOCK) {
                    let i1 = (i0 + BLOCK).min(length);
                    let (rows, width) = (i1 - i0, seen + i1);
                    let block = from_row(queries, first + i0);
                    let own = from_row(keys, first);
                    // SAFETY: views lie within their matrices; `scores` holds rows × width elements.
                    unsafe {
                        let s = scores.as_mut_ptr();
                        small((rows, seen, h), s, width as isize, false, block, keys.transposed());
                        small((rows, i1, h), s.add(seen), width as isize, false, block, own.transposed());
                    }
                    let mut normalisers = [(T::ZERO, T::ZERO); BLOCK];
                    softmax_block(&mut scores[..rows * width], &mut normalisers[..rows], seen + i0, alpha);
                    let of_prefix = View { data: scores.as_ptr(), row_stride: width as isize, col_stride: 1 };
                    // SAFETY: as above; this task alone writes these rows of this head.
                    unsafe {
                        let target = out.get().add((first + i0) * out_cols + head * h);
                        let of_tail = View { data: of_prefix.data.add(seen), ..of_prefix };
                        let stride = out_cols as isize;
                        // Without a prefix the first product has no terms and leaves zeros.
                        small((rows, h, seen), target, stride, false, of_prefix, values);
                        small((rows, h, i1), target, stride, true, of_tail, from_row(values, first));
                        for (r, &(inverse, _)) in normalisers[..rows].iter().enumerate() {
                            for c in 0..h {
                                let element = target.add(r * out_cols + c);
                                *element = *element * inverse;
                            }
                        }
                    }
                }
            }
        }
    });
}
