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
use super::real::{LANES, Real, TOGETHER, kernel, maxima, partial_maxima, partial_sums, totals};
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

/// Columns that vectors take whole: those up to `last` and some of the masked ones, which are zero in the end.
fn in_vectors<T>(row: &[T], last: usize) -> usize {
    (last + 1).next_multiple_of(LANES).min(row.len())
}

/// `P ← exp(α S − ℓ)` for rows i₀ + r, columns up to the diagonal; zero beyond it, up to `width`.
#[inline(always)]
fn exponentiate_row<T: Real>(row: &mut [T], last: usize, alpha: T, shift: T) {
    let columns = in_vectors(row, last);
    for s in &mut row[..columns] {
        *s = (*s * alpha - shift).exp();
    }
    row[last + 1..].fill(T::ZERO);
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
        let together = scores.chunks_mut(TOGETHER * width).zip(normalisers.chunks_mut(TOGETHER));
        for (chunk, (rows, normalisers)) in together.enumerate() {
            let first = i0 + chunk * TOGETHER;
            let mut largest = [[T::ZERO; LANES]; TOGETHER];
            for (r, row) in rows.chunks_exact(width).enumerate() {
                largest[r] = partial_maxima(&row[..first + r + 1]);
            }
            let largest = maxima(&largest).map(|largest| largest * alpha);
            let mut partial = [[[T::ZERO; LANES]; 2]; TOGETHER];
            for (r, row) in rows.chunks_exact_mut(width).enumerate() {
                exponentiate_row(row, first + r, alpha, largest[r]);
                let seen = &row[..first + r + 1];
                partial[r] = partial_sums(seen, seen, |p, _| p);
            }
            let sums = totals(&partial);
            for (normaliser, (sum, largest)) in normalisers.iter_mut().zip(sums.into_iter().zip(largest)) {
                *normaliser = (T::ONE / sum, largest + T::from_f64(sum.to_f64().ln()));
            }
        }
    }
}

kernel! {
    /// `D = rowsum(dO ∘ O)` of rows of h elements, `stride` apart.
    fn row_products<'a, T>(
        products: &'a mut [T],
        d_out: &'a [T],
        out: &'a [T],
        stride: usize,
        h: usize,
    ) -> () {
        for (chunk, products) in products.chunks_mut(TOGETHER).enumerate() {
            let mut partial = [[[T::ZERO; LANES]; 2]; TOGETHER];
            for (r, partial) in partial.iter_mut().enumerate().take(products.len()) {
                let start = (chunk * TOGETHER + r) * stride;
                *partial = partial_sums(&d_out[start..start + h], &out[start..start + h], |x, y| x * y);
            }
            products.copy_from_slice(&totals(&partial)[..products.len()]);
        }
    }
}

kernel! {
    /// Recomputes P in `p` and turns dP in `ds` into α dS, for rows i₀ + r of scores with their D and ℓ.
    fn d_score_block<'a, T>(
        p: &'a mut [T],
        ds: &'a mut [T],
        products: &'a [T],
        log_sum_exp: &'a [T],
        i0: usize,
        alpha: T,
    ) -> () {
        let width = p.len() / products.len();
        let rows = p.chunks_exact_mut(width).zip(ds.chunks_exact_mut(width));
        for (r, ((p, ds), (&d_i, &shift))) in rows.zip(products.iter().zip(log_sum_exp)).enumerate() {
            let last = i0 + r;
            exponentiate_row(p, last, alpha, shift);
            let columns = in_vectors(ds, last);
            for (ds, &p) in ds[..columns].iter_mut().zip(&p[..columns]) {
                *ds = p * (*ds - d_i) * alpha;
            }
            ds[last + 1..].fill(T::ZERO);
        }
    }
}

/// [`d_score_block`] with D and ℓ of rows `first` … of head `head`.
pub(super) fn d_scores<T: Real>(
    (shape, alpha): (AttentionShape, T),
    (p, ds): (&mut [T], &mut [T]),
    d_out: &Matrix<T>,
    (out, log_sum_exp): (&Matrix<T>, &Matrix<T>),
    (first, head): (usize, usize),
    (i0, rows): (usize, usize),
) {
    let h = shape.head_dim;
    let ([mut products, mut shifts], start) = ([[T::ZERO; BLOCK]; 2], first * out.cols + head * h);
    row_products(&mut products[..rows], &d_out.data[start..], &out.data[start..], out.cols, h);
    for (r, shift) in shifts[..rows].iter_mut().enumerate() {
        *shift = log_sum_exp.data[(first + r) * shape.num_heads + head];
    }
    d_score_block(p, ds, &products[..rows], &shifts[..rows], i0, alpha);
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
        let mut d_score = vec![T::ZERO; BLOCK.min(t) * t];
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
                        d_score.as_mut_ptr(),
                        i1 as isize,
                        false,
                        d_o_block,
                        values.transposed(),
                    );
                }
                let scores = (&mut probabilities[..rows * i1], &mut d_score[..rows * i1]);
                let of_rows = (b * t + i0, head);
                d_scores((shape, alpha), scores, d_out, (out, log_sum_exp), of_rows, (i0, rows));
                let block = |data: &[T]| View { data: data.as_ptr(), row_stride: i1 as isize, col_stride: 1 };
                let (p, ds) = (block(&probabilities), block(&d_score));
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
