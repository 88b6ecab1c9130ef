//! Causal attention whose products are those of blocks, softmax and its gradient in f32: the equations of
//! `crate::tensor::cpu::attention`.
//!
//! Keys and values are packed once for all query heads that read them, queries once per head. Keys beyond the diagonal of a
//! block of queries are neither multiplied nor read.
use super::kernel::{Kernel, Kind};
use super::memory::Buffer;
use super::pack::{Along, Left, Right, Source};
use super::product::{Target, multiply};
use crate::tensor::cpu::attention::{Saved, check, d_score_row, softmax_block};
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::{Matrix, for_each_piece};
use crate::tensor::{AttentionShape, CpuBf16};
use std::ops::Range;

/// Most query rows of one block.
const MOST_BLOCK: usize = 64;

/// Query rows of one block: whole tiles of the kernel.
pub(super) fn block_rows(kernel: Kernel) -> usize {
    match kernel.kind {
        Kind::Bf16(CpuBf16::AmxBf16) => MOST_BLOCK,
        _ => 48,
    }
}

/// Head `head` of sequence `b` of `m`.
fn head_of(m: &Matrix<f32>, shape: AttentionShape, b: usize, head: usize) -> Source {
    let (t, h) = (shape.context_length, shape.head_dim);
    // SAFETY: within the matrix by the shapes that `check` asserts.
    let data = unsafe { m.data.as_ptr().add(b * t * m.cols + head * h) };
    Source { data, stride: m.cols, lines: t, width: h }
}

/// Lines `rows` of `source`.
pub(super) fn lines_of(source: Source, rows: Range<usize>) -> Source {
    // SAFETY: callers stay within the source.
    let data = unsafe { source.data.add(rows.start * source.stride) };
    Source { data, lines: rows.len(), ..source }
}

/// `source` as a left operand, packed on this thread.
pub(super) fn left_of(kernel: Kernel, along: Along, source: Source) -> Left {
    let mut left = Left::new(kernel, along, source);
    let target = left.target();
    // SAFETY: every piece is packed once.
    (0..left.pieces()).for_each(|piece| unsafe { left.pack(target, piece) });
    left
}

/// `source` as a right operand, packed on this thread.
pub(super) fn right_of(kernel: Kernel, along: Along, source: Source) -> Right {
    let (columns, k) = match along {
        Along::Lines => (source.lines, source.width),
        Along::Columns => (source.width, source.lines),
    };
    let mut right = Right::new(kernel, along, columns, k);
    let target = right.target();
    // SAFETY: every piece is packed once.
    (0..right.pieces()).for_each(|piece| unsafe { right.pack(target, source, piece) });
    right
}

/// Columns that the panels with the first `columns` columns cover.
fn covered(right: &Right, columns: usize) -> usize {
    columns.next_multiple_of(right.panel_columns()).min(right.padded_columns())
}

/// The block of rows `rows` of `left` times the first `columns` columns of `right`, whole panels of them; the row length.
///
/// # Safety
/// Within [`Kernel::with_tiles`]; `out` has room.
unsafe fn scores_of(
    kernel: Kernel,
    out: *mut f32,
    (left, rows): (&Left, Range<usize>),
    (right, columns): (&Right, usize),
) -> usize {
    let width = covered(right, columns);
    let panels = 0..columns.div_ceil(right.panel_columns());
    let target = Target { data: Shared(out), stride: width, accumulate: false };
    // SAFETY: the caller's contract.
    unsafe { multiply(kernel, (left, rows), (right, panels), (left.words, width), target) };
    width
}

pub fn forward(
    kernel: Kernel,
    shape: AttentionShape,
    out: &mut Matrix<f32>,
    log_sum_exp: &mut Matrix<f32>,
    q: &Matrix<f32>,
    k: &Matrix<f32>,
    v: &Matrix<f32>,
) {
    check(shape, q, k, v);
    assert!(out.rows == q.rows && out.cols == q.cols);
    assert!(log_sum_exp.rows == q.rows && log_sum_exp.cols == shape.num_heads);
    let (t, h, heads) = (shape.context_length, shape.head_dim, shape.num_heads);
    let (group, block) = (heads / shape.num_kv_heads, block_rows(kernel));
    let alpha = 1.0 / (h as f32).sqrt();
    let (out_cols, out, lse) =
        (out.cols, Shared(out.data.as_mut_ptr()), Shared(log_sum_exp.data.as_mut_ptr()));
    let one = |task: usize| {
        let (b, kv) = (task / shape.num_kv_heads, task % shape.num_kv_heads);
        let keys = right_of(kernel, Along::Lines, head_of(k, shape, b, kv));
        let values = right_of(kernel, Along::Columns, head_of(v, shape, b, kv));
        let mut buffer = Buffer::new(block * keys.padded_columns());
        for head in kv * group..(kv + 1) * group {
            let queries = left_of(kernel, Along::Lines, head_of(q, shape, b, head));
            for i0 in (0..t).step_by(block) {
                let i1 = (i0 + block).min(t);
                let rows = i1 - i0;
                let scores = buffer.floats_mut(block * keys.padded_columns());
                // SAFETY: the buffer has room for a block; this task alone writes head `head` of sequence b.
                unsafe {
                    let width = scores_of(kernel, scores.as_mut_ptr(), (&queries, i0..i1), (&keys, i1));
                    let scores = &mut scores[..rows * width];
                    let mut normalisers = [(0.0, 0.0); MOST_BLOCK];
                    softmax_block(scores, &mut normalisers[..rows], i0, alpha);
                    let first = b * t + i0;
                    let target = out.get().add(first * out_cols + head * h);
                    let p = Source { data: scores.as_ptr(), stride: width, lines: rows, width: i1 };
                    times_values(kernel, p, &values, target, out_cols, &normalisers[..rows]);
                    for (r, &(_, log)) in normalisers[..rows].iter().enumerate() {
                        *lse.get().add((first + r) * heads + head) = log;
                    }
                }
            }
        }
    };
    for_each_piece(shape.sequences * shape.num_kv_heads, |task| kernel.with_tiles(|| one(task)));
}

/// `out ← (P V) / Σ`, row by row.
///
/// # Safety
/// Within [`Kernel::with_tiles`]; `out` is valid for the rows of P, `stride` apart, and nobody else uses them.
pub(super) unsafe fn times_values(
    kernel: Kernel,
    p: Source,
    values: &Right,
    out: *mut f32,
    stride: usize,
    normalisers: &[(f32, f32)],
) {
    let (rows, h) = (p.lines, values.columns);
    let p = left_of(kernel, Along::Lines, p);
    let target = Target { data: Shared(out), stride, accumulate: false };
    // SAFETY: the caller's contract.
    unsafe {
        multiply(kernel, (&p, 0..rows), (values, 0..values.panels()), (p.words, h), target);
        for (r, &(inverse, _)) in normalisers.iter().enumerate() {
            for x in std::slice::from_raw_parts_mut(out.add(r * stride), h) {
                *x *= inverse;
            }
        }
    }
}

pub fn backward(
    kernel: Kernel,
    shape: AttentionShape,
    [d_q, d_k, d_v]: [&mut Matrix<f32>; 3],
    d_out: &Matrix<f32>,
    saved: Saved<f32>,
) {
    let Saved { out, log_sum_exp, q, k, v } = saved;
    check(shape, q, k, v);
    check(shape, d_q, d_k, d_v);
    assert!(d_out.rows == q.rows && d_out.cols == q.cols && out.cols == q.cols);
    let (t, h, heads) = (shape.context_length, shape.head_dim, shape.num_heads);
    let (group, block) = (heads / shape.num_kv_heads, block_rows(kernel));
    let alpha = 1.0 / (h as f32).sqrt();
    let (q_cols, kv_cols) = (d_q.cols, d_k.cols);
    let (d_q, d_k, d_v) =
        (Shared(d_q.data.as_mut_ptr()), Shared(d_k.data.as_mut_ptr()), Shared(d_v.data.as_mut_ptr()));
    let one = |task: usize| {
        let (b, kv) = (task / shape.num_kv_heads, task % shape.num_kv_heads);
        let (all_keys, all_values) = (head_of(k, shape, b, kv), head_of(v, shape, b, kv));
        let keys = right_of(kernel, Along::Lines, all_keys);
        let values = right_of(kernel, Along::Lines, all_values);
        let keys_below = right_of(kernel, Along::Columns, all_keys);
        let room = block * keys.padded_columns();
        let mut buffers = [Buffer::new(room), Buffer::new(room)];
        let mut is_first = true;
        for head in kv * group..(kv + 1) * group {
            let (all_queries, all_d_out) = (head_of(q, shape, b, head), head_of(d_out, shape, b, head));
            let queries = left_of(kernel, Along::Lines, all_queries);
            let d_results = left_of(kernel, Along::Lines, all_d_out);
            // From the last block on: it writes all keys' gradients, which the others add to.
            for i0 in (0..t).step_by(block).rev() {
                let i1 = (i0 + block).min(t);
                let rows = i1 - i0;
                let [probabilities, d_scores] = &mut buffers;
                let (probabilities, d_scores) = (probabilities.floats_mut(room), d_scores.floats_mut(room));
                // SAFETY: the buffers have room for a block; this task alone writes d_q of these heads and d_k, d_v of its
                // key-value head.
                unsafe {
                    let width =
                        scores_of(kernel, probabilities.as_mut_ptr(), (&queries, i0..i1), (&keys, i1));
                    scores_of(kernel, d_scores.as_mut_ptr(), (&d_results, i0..i1), (&values, i1));
                    for r in 0..rows {
                        let i = b * t + i0 + r;
                        let (span, line) = (head * h..(head + 1) * h, r * width..(r + 1) * width);
                        d_score_row(
                            &mut probabilities[line.clone()],
                            &mut d_scores[line],
                            &d_out.row(i)[span.clone()],
                            &out.row(i)[span],
                            i0 + r,
                            alpha,
                            log_sum_exp.data[i * heads + head],
                        );
                    }
                    let source =
                        |x: &[f32]| Source { data: x.as_ptr(), stride: width, lines: rows, width: i1 };
                    let (p, ds) = (source(probabilities), source(d_scores));
                    let left = left_of(kernel, Along::Lines, ds);
                    let data = Shared(d_q.get().add((b * t + i0) * q_cols + head * h));
                    let target = Target { data, stride: q_cols, accumulate: false };
                    let all = 0..keys_below.panels();
                    multiply(kernel, (&left, 0..rows), (&keys_below, all), (left.words, h), target);
                    for (scores, operand, sums) in [(ds, all_queries, d_k), (p, all_d_out, d_v)] {
                        let left = left_of(kernel, Along::Columns, scores);
                        let right = right_of(kernel, Along::Columns, lines_of(operand, i0..i1));
                        let data = Shared(sums.get().add(b * t * kv_cols + kv * h));
                        let target = Target { data, stride: kv_cols, accumulate: !is_first };
                        let all = 0..right.panels();
                        multiply(kernel, (&left, 0..i1), (&right, all), (left.words, h), target);
                    }
                }
                is_first = false;
            }
        }
    };
    for_each_piece(shape.sequences * shape.num_kv_heads, |task| kernel.with_tiles(|| one(task)));
}
