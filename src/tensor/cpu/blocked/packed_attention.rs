//! Attention over a packed batch with products by blocks: the equations of `crate::tensor::cpu::packed_attention`.
//!
//! A segment's scores of what it sees and of its own keys are two products, and so are their sums of values; each depends
//! on the lengths of the two alone.
use super::attention::block_rows;
use super::kernel::Kernel;
use super::memory::Buffer;
use super::pack::{Along, Left, Right, Source};
use super::product::{Target, multiply};
use super::reach::Reach;
use crate::tensor::PackedShape;
use crate::tensor::cpu::attention::softmax_block;
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::{Matrix, for_each_piece};
use crate::tensor::{PackedSegment, cpu::packed_attention::check};
use std::ops::Range;

/// Keys and values of a range of rows.
struct Packed {
    rows: Range<usize>,
    keys: Right,
    values: Right,
}

pub fn forward(
    kernel: Kernel,
    shape: PackedShape,
    out: &mut Matrix<f32>,
    q: &Matrix<f32>,
    k: &Matrix<f32>,
    v: &Matrix<f32>,
) {
    check(shape, out, q, k, v);
    let h = shape.head_dim;
    let group = shape.num_heads / shape.num_kv_heads;
    let alpha = 1.0 / (h as f32).sqrt();
    let block = block_rows(kernel);
    let width_of = |segment: &PackedSegment| segment.seen.len() + segment.rows.len();
    let widest = shape.segments.iter().map(width_of).max().unwrap_or(0);
    let out_cols = out.cols;
    let out = Shared(out.data.as_mut_ptr());
    let head_of = |m: &Matrix<f32>, head: usize, rows: Range<usize>| {
        let all = Source { data: m.data.as_ptr(), stride: m.cols, lines: m.rows, width: m.cols };
        let lines = all.lines(rows);
        // SAFETY: within the first of its rows, of which there is one.
        Source { data: unsafe { lines.data.add(head * h) }, width: h, ..lines }
    };
    let one = |kv: usize| {
        let pack = |rows: &Range<usize>| Packed {
            rows: rows.clone(),
            keys: Right::of(kernel, Along::Lines, head_of(k, kv, rows.clone())),
            values: Right::of(kernel, Along::Columns, head_of(v, kv, rows.clone())),
        };
        let mut buffer = Buffer::new(block * widest);
        // Neighbours see the same segment, or none.
        let mut seen: Option<Packed> = None;
        for PackedSegment { rows: own_rows, seen: seen_rows } in shape.segments {
            if own_rows.is_empty() {
                continue;
            }
            let own = pack(own_rows);
            if !seen_rows.is_empty() && seen.as_ref().is_none_or(|seen| seen.rows != *seen_rows) {
                seen = Some(pack(seen_rows));
            }
            let earlier = seen.as_ref().filter(|_| !seen_rows.is_empty());
            for head in kv * group..(kv + 1) * group {
                let queries = Left::of(kernel, Along::Lines, head_of(q, head, own_rows.clone()));
                for i0 in (0..own_rows.len()).step_by(block) {
                    let i1 = (i0 + block).min(own_rows.len());
                    let (rows, width) = (i1 - i0, seen_rows.len() + i1);
                    let scores = &mut buffer.floats_mut(block * widest)[..rows * width];
                    let parts = earlier.map(|seen| (seen, 0, seen_rows.len()));
                    let parts = parts.into_iter().chain([(&own, seen_rows.len(), i1)]);
                    for (part, start, columns) in parts.clone() {
                        let panels = 0..columns.div_ceil(part.keys.panel_columns());
                        // SAFETY: the columns from `start` on of a block.
                        unsafe {
                            let data = Shared(scores.as_mut_ptr().add(start));
                            let target = Target { data, stride: width, accumulate: false };
                            let queries = (&queries, i0..i1);
                            multiply(
                                kernel,
                                queries,
                                (&part.keys, panels),
                                (part.keys.words, columns),
                                target,
                                Reach::All,
                            );
                        }
                    }
                    let mut normalisers = [(0.0, 0.0); 64];
                    softmax_block(scores, &mut normalisers[..rows], seen_rows.len() + i0, alpha);
                    // SAFETY: this task alone writes these rows of this head.
                    unsafe {
                        let target = out.get().add((own_rows.start + i0) * out_cols + head * h);
                        for (nth, (part, start, columns)) in parts.enumerate() {
                            let p = Source {
                                data: scores.as_ptr().add(start),
                                stride: width,
                                lines: rows,
                                width: columns,
                            };
                            let p = Left::of(kernel, Along::Lines, p);
                            let target =
                                Target { data: Shared(target), stride: out_cols, accumulate: nth > 0 };
                            let all = 0..part.values.panels();
                            multiply(
                                kernel,
                                (&p, 0..rows),
                                (&part.values, all),
                                (p.words, h),
                                target,
                                Reach::All,
                            );
                        }
                        for (r, &(inverse, _)) in normalisers[..rows].iter().enumerate() {
                            for x in std::slice::from_raw_parts_mut(target.add(r * out_cols), h) {
                                *x *= inverse;
                            }
                        }
                    }
                }
            }
        }
    };
    for_each_piece(shape.num_kv_heads, |kv| kernel.with_tiles(|| one(kv)));
}
