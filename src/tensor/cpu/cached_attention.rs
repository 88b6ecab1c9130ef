//! Causal attention of new tokens over a cache of keys and values: a step of generation, or the pass over a prompt.
//!
//! Per head, for the block of queries i₀..i₁ after P tokens, with keys and values of all P + Q tokens in the cache:
//!
//! ```text
//! S = α Q Kᵀ   P = softmax(S, query i sees keys 0 … P + i)   O = P V
//! ```
//!
//! One task is one key-value head with all its query heads: a single query still keeps K threads busy.
use super::Matrix;
use super::attention::{BLOCK, from_row, softmax_block};
use super::product::{Shared, View, small};
use super::real::Real;
use crate::tensor::CachedShape;

pub fn forward<T: Real>(
    shape: CachedShape,
    past: usize,
    out: &mut Matrix<T>,
    q: &Matrix<T>,
    keys: &Matrix<T>,
    values: &Matrix<T>,
) {
    let CachedShape { queries, num_heads, num_kv_heads, head_dim: h } = shape;
    assert!(num_kv_heads > 0 && num_heads.is_multiple_of(num_kv_heads), "{shape:?}");
    for m in [q, &*out] {
        assert!(m.rows == queries && m.cols == num_heads * h, "{}×{} for {shape:?}", m.rows, m.cols);
    }
    for m in [keys, values] {
        assert!(
            m.rows >= past + queries && m.cols == num_kv_heads * h,
            "{}×{} for {shape:?}",
            m.rows,
            m.cols
        );
    }
    if queries == 0 {
        return;
    }
    let group = num_heads / num_kv_heads;
    let alpha = T::from_f64(1.0 / (h as f64).sqrt());
    let out_cols = out.cols;
    let out = Shared(out.data.as_mut_ptr());
    let head_of = |m: &Matrix<T>, head: usize| View {
        // SAFETY: within the first row by the shapes asserted above; there is one, since there is a query.
        data: unsafe { m.data.as_ptr().add(head * h) },
        row_stride: m.cols as isize,
        col_stride: 1,
    };
    super::for_each_piece(num_kv_heads, |kv| {
        let (keys, values) = (head_of(keys, kv), head_of(values, kv));
        let mut scores = vec![T::ZERO; BLOCK.min(queries) * (past + queries)];
        for head in kv * group..(kv + 1) * group {
            let all = head_of(q, head);
            for i0 in (0..queries).step_by(BLOCK) {
                let i1 = (i0 + BLOCK).min(queries);
                let (rows, width) = (i1 - i0, past + i1);
                let s = scores.as_mut_ptr();
                // SAFETY: views lie within their matrices; `scores` holds rows × width elements.
                unsafe {
                    small((rows, width, h), s, width as isize, false, from_row(all, i0), keys.transposed());
                }
                let mut normalisers = [(T::ZERO, T::ZERO); BLOCK];
                softmax_block(&mut scores[..rows * width], &mut normalisers[..rows], past + i0, alpha);
                let block = View { data: scores.as_ptr(), row_stride: width as isize, col_stride: 1 };
                // SAFETY: as above; this task alone writes these rows of this head.
                unsafe {
                    let target = out.get().add(i0 * out_cols + head * h);
                    small((rows, h, width), target, out_cols as isize, false, block, values);
                    for (r, &(inverse, _)) in normalisers[..rows].iter().enumerate() {
                        for c in 0..h {
                            let element = target.add(r * out_cols + c);
                            *element = *element * inverse;
                        }
                    }
                }
            }
        }
    });
}
