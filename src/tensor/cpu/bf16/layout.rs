//! From lines of f32 to lines of pairs in bf16: rounded, woven from two lines, or turned in blocks of 16 × 16.
use super::VECTOR;
use super::kernel::Kernel;
use super::pack::Source;
use super::round::{pair, round};
#[cfg(target_arch = "x86_64")]
use super::x86::convert;
use crate::tensor::cpu::real::vectorised;
use std::ops::Range;

/// `out ← line`, rounded, and zeros to its end.
#[inline(always)]
pub(super) fn round_line(kernel: Kernel, out: &mut [u16], line: &[f32]) {
    let (values, padding) = out.split_at_mut(line.len());
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if kernel.is_hardware {
        let blocks = line.len() / convert::LINE;
        // SAFETY: the instructions are there, and both have that many blocks.
        unsafe { convert::line(values.as_mut_ptr(), line.as_ptr(), blocks) };
        done = blocks * convert::LINE;
    }
    for (out, &x) in values[done..].iter_mut().zip(&line[done..]) {
        *out = round(x) as u16;
    }
    padding.fill(0);
}

/// `out[c] ← (first[c], second[c])`, rounded.
#[inline(always)]
fn weave(kernel: Kernel, out: &mut [u32], first: &[f32], second: &[f32]) {
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if kernel.is_hardware {
        let blocks = out.len() / convert::WEAVE;
        assert!(first.len() == out.len() && second.len() == out.len());
        // SAFETY: the instructions are there, and all have that many blocks.
        unsafe { convert::weave(out.as_mut_ptr(), first.as_ptr(), second.as_ptr(), blocks) };
        done = blocks * convert::WEAVE;
    }
    for ((out, &a), &b) in out[done..].iter_mut().zip(&first[done..]).zip(&second[done..]) {
        *out = pair(a, b);
    }
}

/// `out[p][c] ← (source[2p][columns₀ + c], source[2p + 1][…])` for all `pairs`; zeros where the source has nothing.
///
/// # Safety
/// `out` has room for `pairs · width`.
pub(super) unsafe fn interleave(
    kernel: Kernel,
    out: *mut u32,
    (width, pairs): (usize, usize),
    source: Source,
    columns: Range<usize>,
) {
    let present = columns.len();
    // SAFETY: by the contract.
    let out = unsafe { std::slice::from_raw_parts_mut(out, pairs * width) };
    vectorised(|| {
        for (p, out) in out.chunks_exact_mut(width).enumerate() {
            let (values, padding) = out.split_at_mut(present);
            padding.fill(0);
            if 2 * p + 1 < source.lines {
                let first = source.piece(2 * p, columns.start, present);
                let second = source.piece(2 * p + 1, columns.start, present);
                weave(kernel, values, first, second);
            } else if 2 * p < source.lines {
                let first = source.piece(2 * p, columns.start, present);
                for (out, &a) in values.iter_mut().zip(first) {
                    *out = round(a);
                }
            } else {
                values.fill(0);
            }
        }
    });
}

/// Lines of a block that is turned, and pairs of each.
const TURNED: usize = 16;
type Block = [[u32; TURNED]; TURNED];

/// `out[p − pairs₀][c] ← (source[columns₀ + c][2p], source[columns₀ + c][2p + 1])`; zeros where the source has nothing.
///
/// # Safety
/// `out` has room for `pairs.len() · width`; `width` is a multiple of [`VECTOR`].
pub(super) unsafe fn transpose_lines(
    kernel: Kernel,
    out: *mut u32,
    width: usize,
    pairs: Range<usize>,
    source: Source,
    columns: Range<usize>,
) {
    for vector in 0..width / VECTOR {
        let lines = columns.start + vector * VECTOR..(columns.start + (vector + 1) * VECTOR).min(columns.end);
        for first in pairs.clone().step_by(TURNED) {
            let mut block: Block = [[0; TURNED]; TURNED];
            vectorised(|| {
                for (line, block) in lines.clone().zip(&mut block) {
                    let k = (2 * first).min(source.width);
                    let len = (source.width - k).min(2 * TURNED);
                    round_line(kernel, bytemuck::cast_slice_mut(block), source.piece(line, k, len));
                }
            });
            let count = TURNED.min(pairs.end - first);
            // SAFETY: by the contract.
            unsafe {
                let out = out.add((first - pairs.start) * width + vector * VECTOR);
                write_turned(out, width, count, &block);
            }
        }
    }
}

/// `out[r][p] ← (source[2p][rows₀ + r], source[2p + 1][rows₀ + r])` for all `pairs`.
///
/// # Safety
/// `out` has room for as many whole blocks of rows as hold `rows`, `stride` pairs apart.
pub(super) unsafe fn transpose_columns(
    kernel: Kernel,
    out: *mut u32,
    (stride, pairs): (usize, usize),
    source: Source,
    rows: Range<usize>,
) {
    for first_row in rows.clone().step_by(TURNED) {
        let columns = first_row..(first_row + TURNED).min(rows.end);
        for first in (0..pairs).step_by(TURNED) {
            let mut block: Block = [[0; TURNED]; TURNED];
            let k = (2 * first).min(source.lines);
            let count = TURNED.min(pairs - first);
            // SAFETY: by the contract; a block has room for all of its pairs.
            unsafe {
                let from =
                    Source { data: source.data.add(k * source.stride), lines: source.lines - k, ..source };
                interleave(kernel, block.as_mut_ptr().cast(), (TURNED, count), from, columns.clone());
                let out = out.add((first_row - rows.start) * stride + first);
                write_turned(out, stride, TURNED, &block);
            }
        }
    }
}

/// `out[i][j] ← block[j][i]` for the first `count` rows i.
///
/// # Safety
/// `out` has room for `count` rows of 16, `stride` apart.
#[inline(always)]
unsafe fn write_turned(out: *mut u32, stride: usize, count: usize, block: &Block) {
    #[cfg(target_arch = "x86_64")]
    if count == TURNED && is_x86_feature_detected!("avx2") {
        // SAFETY: the instructions are there; the caller's contract.
        unsafe { super::x86::turn::block(out, stride, block) };
        return;
    }
    for i in 0..count {
        for (j, line) in block.iter().enumerate() {
            // SAFETY: the caller's contract.
            unsafe { *out.add(i * stride + j) = line[i] };
        }
    }
}
