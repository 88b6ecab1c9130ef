//! Causal attention whose products are those of blocks, softmax and its gradient in f32: the equations of
//! `crate::tensor::cpu::attention`.
//!
//! Keys and values are packed once for all query heads that read them, queries once per head. Keys beyond the diagonal of a
//! block of queries are neither multiplied nor read.
use super::VECTOR;
use super::kernel::{Kernel, Kind};
use super::memory::Buffer;
use super::pack::{Along, Left, Right, Source};
use super::product::{Target, multiply};
use super::reach::Reach;
use crate::tensor::cpu::attention::{self, Saved, check, softmax_block};
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::real::TOGETHER;
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

/// `scores` of a block as a left operand: read where they stand, or room for them.
fn room_for_scores(kernel: Kernel, along: Along, scores: Source) -> Left {
    // SAFETY: blocks have whole tiles of rows, and a stride that is longer than what a tile reaches beyond the columns.
    unsafe { Left::in_place(kernel, along, scores) }.unwrap_or_else(|| Left::new(kernel, along, scores))
}

/// Some rows of `rows` at a time: what is made of them is packed while the first cache has it.
fn few_rows(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(TOGETHER).map(move |first| first..(first + TOGETHER).min(rows))
}

/// Elements from one row of a block of scores to the next: whole panels, and room for what a tile reaches beyond the columns.
/// Rows a multiple of 1 KiB apart would share few sets of the first cache.
fn row_length(right: &Right, columns: usize) -> usize {
    let covered = columns.next_multiple_of(right.panel_columns()).min(right.padded_columns()) + VECTOR;
    if covered.is_multiple_of(256) { covered + VECTOR } else { covered }
}

/// The block of rows `rows` of `left` times columns of `right`, of row r those up to `rows.start` + r and perhaps some more;
/// the row length.
///
/// # Safety
/// Within [`Kernel::with_tiles`]; `out` has room for [`row_length`] of `rows.end` columns in each row.
unsafe fn scores_of(
    kernel: Kernel,
    out: *mut f32,
    (left, rows): (&Left, Range<usize>),
    right: &Right,
) -> usize {
    let stride = row_length(right, rows.end);
    let panels = 0..rows.end.div_ceil(right.panel_columns());
    let (target, reach) =
        (Target { data: Shared(out), stride, accumulate: false }, Reach::ColumnsTo { offset: rows.start });
    let shape = (left.words, stride.min(right.padded_columns()));
    // SAFETY: the caller's contract.
    unsafe { multiply(kernel, (left, rows), (right, panels), shape, target, reach) };
    stride
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
        let keys = Right::of(kernel, Along::Lines, head_of(k, shape, b, kv));
        let values = Right::of(kernel, Along::Columns, head_of(v, shape, b, kv));
        let room = block * row_length(&keys, t);
        let mut buffer = Buffer::new(room);
        for head in kv * group..(kv + 1) * group {
            let queries = Left::of(kernel, Along::Lines, head_of(q, shape, b, head));
            for i0 in (0..t).step_by(block) {
                let i1 = (i0 + block).min(t);
                let rows = i1 - i0;
                let scores = buffer.floats_mut(room);
                // SAFETY: the buffer has room for a block; this task alone writes head `head` of sequence b.
                unsafe {
                    let width = scores_of(kernel, scores.as_mut_ptr(), (&queries, i0..i1), &keys);
                    let scores = &mut scores[..rows * width];
                    let mut normalisers = [(0.0, 0.0); MOST_BLOCK];
                    let first = b * t + i0;
                    let target = out.get().add(first * out_cols + head * h);
                    let p = Source { data: scores.as_ptr(), stride: width, lines: rows, width: i1 };
                    let mut left = room_for_scores(kernel, Along::Lines, p);
                    let packed = left.target();
                    for few in few_rows(rows) {
                        let scores = &mut scores[few.start * width..few.end * width];
                        softmax_block(scores, &mut normalisers[few.clone()], i0 + few.start, alpha);
                        left.pack_lines(packed, few);
                    }
                    times_values(kernel, (&left, i0), &values, target, out_cols, &normalisers[..rows]);
                    for (r, &(_, log)) in normalisers[..rows].iter().enumerate() {
                        *lse.get().add((first + r) * heads + head) = log;
                    }
                }
            }
        }
    };
    for_each_piece(shape.sequences * shape.num_kv_heads, |task| kernel.with_tiles(|| one(task)));
}

/// `out ← (P V) / Σ`, row by row; row r of P has elements up to `offset` + r.
///
/// # Safety
/// Within [`Kernel::with_tiles`]; `out` is valid for the rows of P, `stride` apart, and nobody else uses them.
unsafe fn times_values(
    kernel: Kernel,
    (p, offset): (&Left, usize),
    values: &Right,
    out: *mut f32,
    stride: usize,
    normalisers: &[(f32, f32)],
) {
    let (rows, h) = (p.rows, values.columns);
    let target = Target { data: Shared(out), stride, accumulate: false };
    // SAFETY: the caller's contract.
    unsafe {
        let (all, reach) = (0..values.panels(), Reach::ElementsTo { offset });
        multiply(kernel, (p, 0..rows), (values, all), (p.words, h), target, reach);
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
        let keys = Right::of(kernel, Along::Lines, all_keys);
        let values = Right::of(kernel, Along::Lines, all_values);
        let keys_below = Right::of(kernel, Along::Columns, all_keys);
        let room = block * row_length(&keys, t);
        let mut buffers = [Buffer::new(room), Buffer::new(room)];
        let mut is_first = true;
        for head in kv * group..(kv + 1) * group {
            let (all_queries, all_d_out) = (head_of(q, shape, b, head), head_of(d_out, shape, b, head));
            let queries = Left::of(kernel, Along::Lines, all_queries);
            let d_results = Left::of(kernel, Along::Lines, all_d_out);
            // From the last block on: it writes all keys' gradients, which the others add to.
            for i0 in (0..t).step_by(block).rev() {
                let i1 = (i0 + block).min(t);
                let rows = i1 - i0;
                let [probabilities, d_scores] = &mut buffers;
                let (probabilities, d_scores) = (probabilities.floats_mut(room), d_scores.floats_mut(room));
                // SAFETY: the buffers have room for a block; this task alone writes d_q of these heads and d_k, d_v of its
                // key-value head.
                unsafe {
                    let width = scores_of(kernel, probabilities.as_mut_ptr(), (&queries, i0..i1), &keys);
                    scores_of(kernel, d_scores.as_mut_ptr(), (&d_results, i0..i1), &values);
                    let source =
                        |x: &[f32]| Source { data: x.as_ptr(), stride: width, lines: rows, width: i1 };
                    let (p, ds) = (source(probabilities), source(d_scores));
                    let mut left = room_for_scores(kernel, Along::Lines, ds);
                    let packed = left.target();
                    for few in few_rows(rows) {
                        let part = few.start * width..few.end * width;
                        let scores = (&mut probabilities[part.clone()], &mut d_scores[part]);
                        let (of_rows, place) = ((b * t + i0 + few.start, head), (i0 + few.start, few.len()));
                        attention::d_scores(
                            (shape, alpha),
                            scores,
                            d_out,
                            (out, log_sum_exp),
                            of_rows,
                            place,
                        );
                        left.pack_lines(packed, few);
                    }
                    let data = Shared(d_q.get().add((b * t + i0) * q_cols + head * h));
                    let target = Target { data, stride: q_cols, accumulate: false };
                    let (all, reach) = (0..keys_below.panels(), Reach::ElementsTo { offset: i0 });
                    multiply(kernel, (&left, 0..rows), (&keys_below, all), (left.words, h), target, reach);
                    for (scores, operand, sums) in [(ds, all_queries, d_k), (p, all_d_out, d_v)] {
                        let mut left = room_for_scores(kernel, Along::Columns, scores);
                        left.fill();
                        let right = Right::of(kernel, Along::Columns, operand.lines(i0..i1));
                        let data = Shared(sums.get().add(b * t * kv_cols + kv * h));
                        let target = Target { data, stride: kv_cols, accumulate: !is_first };
                        let (all, reach) = (0..right.panels(), Reach::ElementsFrom { offset: i0 });
                        multiply(kernel, (&left, 0..i1), (&right, all), (left.words, h), target, reach);
                    }
                }
                is_first = false;
            }
        }
    };
    for_each_piece(shape.sequences * shape.num_kv_heads, |task| kernel.with_tiles(|| one(task)));
}
