//! Causal attention over a packed batch of segments, each of which may continue an earlier one.
//!
//! Per head, for a block of a segment's rows, S the segment that it sees (perhaps none):
//!
//! ```text
//! A = α Q [K_S ; K_own]ᵀ   P = softmax(A, S whole, its own causal)   O = P_S V_S + P_own V_own
//! ```
//!
//! Keys of other segments are never touched, so a result does not depend on what stands beside it. A segment that sees
//! none is its own first row's continuation, exactly as in an ordinary causal pass.
use super::Matrix;
use super::attention::{BLOCK, from_row, softmax_block};
use super::product::{Shared, View, small};
use super::real::Real;
use crate::tensor::{PackedSegment, PackedShape};

pub(super) fn check<T>(shape: PackedShape, out: &Matrix<T>, q: &Matrix<T>, k: &Matrix<T>, v: &Matrix<T>) {
    let (n, h) = (shape.tokens(), shape.head_dim);
    assert!(shape.num_kv_heads > 0 && shape.num_heads.is_multiple_of(shape.num_kv_heads), "{shape:?}");
    for (m, heads) in
        [(q, shape.num_heads), (out, shape.num_heads), (k, shape.num_kv_heads), (v, shape.num_kv_heads)]
    {
        assert!(m.rows == n && m.cols == heads * h, "{}×{} for {shape:?}", m.rows, m.cols);
    }
}

pub fn forward<T: Real>(
    shape: PackedShape,
    out: &mut Matrix<T>,
    q: &Matrix<T>,
    k: &Matrix<T>,
    v: &Matrix<T>,
) {
    check(shape, out, q, k, v);
    let (n, h) = (shape.tokens(), shape.head_dim);
    let group = shape.num_heads / shape.num_kv_heads;
    let alpha = T::from_f64(1.0 / (h as f64).sqrt());
    let width_of = |segment: &PackedSegment| segment.seen.len() + segment.rows.len();
    let widest = shape.segments.iter().map(width_of).max().unwrap_or(0);
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
            for PackedSegment { rows: own_rows, seen: seen_rows } in shape.segments {
                let (first, length, seen) = (own_rows.start, own_rows.len(), seen_rows.len());
                let (own, own_values) = (from_row(keys, first), from_row(values, first));
                let (earlier, earlier_values) =
                    (from_row(keys, seen_rows.start), from_row(values, seen_rows.start));
                for i0 in (0..length).step_by(BLOCK) {
                    let i1 = (i0 + BLOCK).min(length);
                    let (rows, width) = (i1 - i0, seen + i1);
                    let block = from_row(queries, first + i0);
                    // SAFETY: views lie within their matrices; `scores` holds rows × width elements.
                    unsafe {
                        let s = scores.as_mut_ptr();
                        small((rows, seen, h), s, width as isize, false, block, earlier.transposed());
                        small((rows, i1, h), s.add(seen), width as isize, false, block, own.transposed());
                    }
                    let mut normalisers = [(T::ZERO, T::ZERO); BLOCK];
                    softmax_block(&mut scores[..rows * width], &mut normalisers[..rows], seen + i0, alpha);
                    let of_seen = View { data: scores.as_ptr(), row_stride: width as isize, col_stride: 1 };
                    // SAFETY: as above; this task alone writes these rows of this head.
                    unsafe {
                        let target = out.get().add((first + i0) * out_cols + head * h);
                        let of_own = View { data: of_seen.data.add(seen), ..of_seen };
                        let stride = out_cols as isize;
                        // Where nothing is seen the first product has no terms and leaves zeros.
                        small((rows, h, seen), target, stride, false, of_seen, earlier_values);
                        small((rows, h, i1), target, stride, true, of_own, own_values);
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
