//! Causal attention with grouped queries, in blocks of query rows that stay in cache.
//!
//! Per head, with α = 1/√h and the block of query rows i₀..i₁ (keys beyond i₁ are masked and never touched):
//!
//! ```text
//! S = α Q Kᵀ   P = softmax(S, causal)   O = P V   ℓ = log Σ exp S
//! backward, P = exp(S − ℓ) recomputed (Dao et al. 2022, arXiv:2205.14135):
//! D = rowsum(dO ∘ O)   dP = dO Vᵀ   dS = P ∘ (dP − D)   dQ = α dS K   dK += α dSᵀ Q   dV += Pᵀ dO
//! ```
//!
//! One task is one key-value head of one sequence with all its query heads, so `dK` and `dV` have one writer
//! and one order of summation.
use super::Matrix;
use super::product::{Shared, View, small};
use super::real::{Real, dot, kernel, max, sum_by};
use crate::tensor::AttentionShape;

/// Query rows of one block.
pub(super) const BLOCK: usize = 64;

/// What the forward pass leaves for the backward pass.
pub struct Saved<'a, T> {
    pub out: &'a Matrix<T>,
    pub log_sum_exp: &'a Matrix<T>,
    pub q: &'a Matrix<T>,
    pub k: &'a Matrix<T>,
    pub v: &'a Matrix<T>,
}

pub(super) fn check<T>(shape: AttentionShape, q: &Matrix<T>, k: &Matrix<T>, v: &Matrix<T>) {
    let n = shape.sequences * shape.context_length;
    assert!(shape.num_kv_heads > 0 && shape.num_heads.is_multiple_of(shape.num_kv_heads), "{shape:?}");
    assert!(q.rows == n && q.cols == shape.num_heads * shape.head_dim, "q is {}×{}", q.rows, q.cols);
    for m in [k, v] {
        assert!(
            m.rows == n && m.cols == shape.num_kv_heads * shape.head_dim,
            "k, v are {}×{}",
            m.rows,
            m.cols
        );
    }
}

/// Head `head` of sequence `b` of the matrix at `data` with `cols` columns.
fn head_at<T>(data: *const T, cols: usize, shape: AttentionShape, b: usize, head: usize) -> View<T> {
    // SAFETY: within the matrix by the shapes that `check` asserts.
    let start = unsafe { data.add(b * shape.context_length * cols + head * shape.head_dim) };
    View { data: start, row_stride: cols as isize, col_stride: 1 }
}

/// The view from row `row` on.
pub(super) fn from_row<T>(view: View<T>, row: usize) -> View<T> {
    // SAFETY: callers stay within the head's rows.
    View { data: unsafe { view.data.offset(row as isize * view.row_stride) }, ..view }
}

/// `P ← exp(α S − ℓ)` for rows i₀ + r, columns up to the diagonal; zero beyond it, up to `width`.
#[inline(always)]
fn exponentiate_row<T: Real>(row: &mut [T], last: usize, alpha: T, shift: T) {
    let (seen, masked) = row.split_at_mut(last + 1);
    for s in seen {
        *s = (*s * alpha - shift).exp();
    }
    masked.fill(T::ZERO);
}

kernel! {
    /// Softmax of a block of scores, rows i₀ + r, left unnormalised; `(1/Σ, ℓ)` of every row.
    pub(super) fn softmax_block<'a, T>(
        scores: &'a mut [T],
        normalisers: &'a mut [(T, T)],
        i0: usize,
        alpha: T,
    ) -> () {
        let width = scores.len() / normalisers.len();
        for (r, (row, normaliser)) in scores.chunks_exact_mut(width).zip(normalisers).enumerate() {
            let last = i0 + r;
            let largest = max(&row[..last + 1]) * alpha;
            exponentiate_row(row, last, alpha, largest);
            let sum = sum_by(last + 1, |c| row[c]);
            *normaliser = (T::ONE / sum, largest + T::from_f64(sum.to_f64().ln()));
        }
    }
}

kernel! {
    /// Recomputes P in `p` and turns dP in `ds` into α dS, for one row of scores.
    pub(super) fn d_score_row<'a, T>(
        p: &'a mut [T],
        ds: &'a mut [T],
        d_out: &'a [T],
        out: &'a [T],
        last: usize,
        alpha: T,
        log_sum_exp: T,
    ) -> () {
        exponentiate_row(p, last, alpha, log_sum_exp);
        let d_i = dot(d_out, out);
        for (ds, &p) in ds.iter_mut().zip(p.iter()) {
            *ds = p * (*ds - d_i) * alpha;
        }
    }
}

pub fn forward<T: Real>(
    shape: AttentionShape,
    out: &mut Matrix<T>,
    log_sum_exp: &mut Matrix<T>,
    q: &Matrix<T>,
    k: &Matrix<T>,
    v: &Matrix<T>,
) {
    check(shape, q, k, v);
    assert!(out.rows == q.rows && out.cols == q.cols);
    assert!(log_sum_exp.rows == q.rows && log_sum_exp.cols == shape.num_heads);
    let (t, h, heads) = (shape.context_length, shape.head_dim, shape.num_heads);
    let group = heads / shape.num_kv_heads;
    let alpha = T::from_f64(1.0 / (h as f64).sqrt());
    let (out_cols, out, lse) =
        (out.cols, Shared(out.data.as_mut_ptr()), Shared(log_sum_exp.data.as_mut_ptr()));
    super::for_each_piece(shape.sequences * shape.num_kv_heads, |task| {
        let (b, kv) = (task / shape.num_kv_heads, task % shape.num_kv_heads);
        let keys = head_at(k.data.as_ptr(), k.cols, shape, b, kv);
        let values = head_at(v.data.as_ptr(), v.cols, shape, b, kv);
        let mut scores = vec![T::ZERO; BLOCK.min(t) * t];
        for head in kv * group..(kv + 1) * group {
            let queries = head_at(q.data.as_ptr(), q.cols, shape, b, head);
            let results = head_at(out.get().cast_const(), out_cols, shape, b, head);
            for i0 in (0..t).step_by(BLOCK) {
                let i1 = (i0 + BLOCK).min(t);
                let rows = i1 - i0;
                // SAFETY: views lie within their matrices; this task alone writes head `head` of sequence b.
                unsafe {
                    small(
                        (rows, i1, h),
                        scores.as_mut_ptr(),
                        i1 as isize,
                        false,
                        from_row(queries, i0),
                        keys.transposed(),
                    );
                }
                let mut normalisers = [(T::ZERO, T::ZERO); BLOCK];
                softmax_block(&mut scores[..rows * i1], &mut normalisers[..rows], i0, alpha);
                for (r, &(_, log)) in normalisers[..rows].iter().enumerate() {
                    // SAFETY: element (b·T + i, head) has this task as its only writer.
                    unsafe { *lse.get().add((b * t + i0 + r) * heads + head) = log };
                }
                let block = View { data: scores.as_ptr(), row_stride: i1 as isize, col_stride: 1 };
                let target = from_row(results, i0).data.cast_mut();
                // SAFETY: as above; the rows of `target` belong to this task.
                unsafe {
                    small((rows, h, i1), target, out_cols as isize, false, block, values);
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

pub fn backward<T: Real>(
    shape: AttentionShape,
    d_q: &mut Matrix<T>,
    d_k: &mut Matrix<T>,
    d_v: &mut Matrix<T>,
    d_out: &Matrix<T>,
    saved: Saved<T>,
) {
    let Saved { out, log_sum_exp, q, k, v } = saved;
    check(shape, q, k, v);
    check(shape, d_q, d_k, d_v);
    assert!(d_out.rows == q.rows && d_out.cols == q.cols && out.cols == q.cols);
    let (t, h, heads) = (shape.context_length, shape.head_dim, shape.num_heads);
    let group = heads / shape.num_kv_heads;
    let alpha = T::from_f64(1.0 / (h as f64).sqrt());
    let (q_cols, kv_cols) = (d_q.cols, d_k.cols);
    let (d_q, d_k, d_v) =
        (Shared(d_q.data.as_mut_ptr()), Shared(d_k.data.as_mut_ptr()), Shared(d_v.data.as_mut_ptr()));
    super::for_each_piece(shape.sequences * shape.num_kv_heads, |task| {
        let (b, kv) = (task / shape.num_kv_heads, task % shape.num_kv_heads);
        let keys = head_at(k.data.as_ptr(), k.cols, shape, b, kv);
        let values = head_at(v.data.as_ptr(), v.cols, shape, b, kv);
        let d_keys = head_at(d_k.get().cast_const(), kv_cols, shape, b, kv).data.cast_mut();
        let d_values = head_at(d_v.get().cast_const(), kv_cols, shape, b, kv).data.cast_mut();
        for row in 0..t {
            // SAFETY: this task is the only writer of head `kv` of sequence b.
            unsafe {
                std::slice::from_raw_parts_mut(d_keys.add(row * kv_cols), h).fill(T::ZERO);
                std::slice::from_raw_parts_mut(d_values.add(row * kv_cols), h).fill(T::ZERO);
            }
        }
        let mut probabilities = vec![T::ZERO; BLOCK.min(t) * t];
        let mut d_scores = vec![T::ZERO; BLOCK.min(t) * t];
        for head in kv * group..(kv + 1) * group {
            let queries = head_at(q.data.as_ptr(), q.cols, shape, b, head);
            let d_results = head_at(d_out.data.as_ptr(), d_out.cols, shape, b, head);
            let d_queries = head_at(d_q.get().cast_const(), q_cols, shape, b, head);
            for i0 in (0..t).step_by(BLOCK) {
                let i1 = (i0 + BLOCK).min(t);
                let rows = i1 - i0;
                let (q_block, d_o_block) = (from_row(queries, i0), from_row(d_results, i0));
                // SAFETY: views lie within their matrices; scratch belongs to this task.
                unsafe {
                    small(
                        (rows, i1, h),
                        probabilities.as_mut_ptr(),
                        i1 as isize,
                        false,
                        q_block,
                        keys.transposed(),
                    );
                    small(
                        (rows, i1, h),
                        d_scores.as_mut_ptr(),
                        i1 as isize,
                        false,
                        d_o_block,
                        values.transposed(),
                    );
                }
                for r in 0..rows {
                    let i = b * t + i0 + r;
                    let span = head * h..(head + 1) * h;
                    let row = r * i1..(r + 1) * i1;
                    d_score_row(
                        &mut probabilities[row.clone()],
                        &mut d_scores[row],
                        &d_out.row(i)[span.clone()],
                        &out.row(i)[span],
                        i0 + r,
                        alpha,
                        log_sum_exp.data[i * heads + head],
                    );
                }
                let block = |data: &[T]| View { data: data.as_ptr(), row_stride: i1 as isize, col_stride: 1 };
                let (p, ds) = (block(&probabilities), block(&d_scores));
                // SAFETY: this task alone writes d_q of this head and d_k, d_v of this key-value head.
                unsafe {
                    let d_q_block = from_row(d_queries, i0).data.cast_mut();
                    small((rows, h, i1), d_q_block, q_cols as isize, false, ds, keys);
                    small((i1, h, rows), d_keys, kv_cols as isize, true, ds.transposed(), q_block);
                    small((i1, h, rows), d_values, kv_cols as isize, true, p.transposed(), d_o_block);
                }
            }
        }
    });
}
