//! From lines of f32 to lines of words: copied, rounded, woven from two lines, or turned in blocks of 16 × 16.
use super::VECTOR;
use super::kernel::Kernel;
use super::pack::{SIX, Source};
use super::round::{pair, round};
#[cfg(target_arch = "x86_64")]
use super::x86::convert;
use crate::tensor::cpu::real::vectorised;
use std::ops::Range;

/// `out ← line` in words, and zeros to its end.
#[inline(always)]
pub(super) fn pack_line(kernel: Kernel, out: &mut [u32], line: &[f32]) {
    if kernel.kind.elements() == 1 {
        let (values, padding) = out.split_at_mut(line.len());
        values.copy_from_slice(bytemuck::cast_slice(line));
        padding.fill(0);
    } else {
        round_line(kernel, bytemuck::cast_slice_mut(out), line);
    }
}

/// `out ← line`, rounded, and zeros to its end.
#[inline(always)]
fn round_line(kernel: Kernel, out: &mut [u16], line: &[f32]) {
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

/// `out[p][c] ← (source[2p][columns₀ + c], source[2p + 1][…])`, rounded, for all `words`; zeros where the source has nothing.
///
/// # Safety
/// `out` has room for `words · width`.
pub(super) unsafe fn interleave(
    kernel: Kernel,
    out: *mut u32,
    (width, words): (usize, usize),
    source: Source,
    columns: Range<usize>,
) {
    let present = columns.len();
    // SAFETY: by the contract.
    let out = unsafe { std::slice::from_raw_parts_mut(out, words * width) };
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

/// Lines from one that is copied to one that is asked for.
const AHEAD: usize = 12;

/// Asks for `piece` of the line [`AHEAD`] of it: lines are too far apart for the processor to see which comes next.
#[inline(always)]
fn ask_ahead(piece: &[u32], stride: usize) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..piece.len()).step_by(VECTOR) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, for which any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(piece.as_ptr().wrapping_add(AHEAD * stride + at).cast()) };
    }
}

/// `out[panel][p][c] ← source[p][columns₀ + 16 v panel + c]` in f32 for panels of v vectors, the last of what is left of `all`;
/// zeros beyond the columns in their last vector, and anything in vectors of which they have none. Line by line through all panels,
/// as the source stands in memory.
///
/// # Safety
/// `out` has room for the panels of `words` words; the source has as many lines; `all` vectors hold the columns.
pub(super) unsafe fn gather(
    out: *mut u32,
    (vectors, all): (usize, usize),
    words: usize,
    source: Source,
    columns: Range<usize>,
) {
    pulp::Arch::new().dispatch(Gather { out, vectors, all, words, source, columns });
}

/// The arguments of [`gather`], whose body is compiled for the widest vectors as a whole.
struct Gather {
    out: *mut u32,
    vectors: usize,
    all: usize,
    words: usize,
    source: Source,
    columns: Range<usize>,
}

impl pulp::NullaryFnOnce for Gather {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Gather { out, vectors, all, words, source, columns } = self;
        for line in 0..words {
            let piece: &[u32] = bytemuck::cast_slice(source.piece(line, columns.start, columns.len()));
            ask_ahead(piece, source.stride);
            let (whole, rest) = piece.as_chunks();
            let mut padded = [0; VECTOR];
            padded[..rest.len()].copy_from_slice(rest);
            for first in (0..all).step_by(vectors) {
                let own = vectors.min(all - first);
                for vector in 0..own {
                    let values = whole.get(first + vector).unwrap_or(&padded);
                    // SAFETY: by the contract of `gather`.
                    unsafe {
                        let to = out.add(VECTOR * (first * words + line * own + vector));
                        to.cast::<[u32; VECTOR]>().write(*values);
                    }
                }
            }
        }
    }
}

/// `out[panel][p][c] ← (source[2p][columns₀ + width · panel + c], source[2p + 1][…])`, rounded, for whole panels: line by line
/// through all of them, as the source stands in memory. Zeros where the source has no line.
///
/// # Safety
/// `out` has room for the panels, each `words · width`; `width` is a multiple of [`VECTOR`], and the columns one of `width`.
pub(super) unsafe fn gather_pairs(
    kernel: Kernel,
    out: *mut u32,
    (width, words): (usize, usize),
    source: Source,
    columns: Range<usize>,
) {
    let panels = columns.len() / width;
    #[cfg(target_arch = "x86_64")]
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if kernel.is_hardware && panels > 0 {
        let ahead = AHEAD * source.stride * size_of::<f32>();
        while done < words.min(source.lines / 2) {
            let line = |l: usize| source.piece(2 * done + l, columns.start, columns.len()).as_ptr();
            // SAFETY: the instructions are there; the caller's contract.
            unsafe {
                let sizes = (panels, width / VECTOR);
                convert::weave_panels(out.add(done * width), (line(0), line(1)), sizes, words * width, ahead);
            }
            done += 1;
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    for panel in 0..panels {
        let own = columns.start + panel * width..columns.start + (panel + 1) * width;
        let lines = source.lines.saturating_sub(2 * done);
        // SAFETY: the caller's contract.
        unsafe {
            let rest =
                Source { data: source.data.add((source.lines - lines) * source.stride), lines, ..source };
            interleave(kernel, out.add((panel * words + done) * width), (width, words - done), rest, own);
        }
    }
}

/// `out[panel][p][r] ← source[p][rows₀ + 6 panel + r]` in f32; rows beyond the source hold anything.
///
/// # Safety
/// `out` has room for whole panels of `words` words, `stride` apart; the source has as many lines.
pub(super) unsafe fn gather_sixes(
    out: *mut u32,
    (stride, words): (usize, usize),
    source: Source,
    rows: Range<usize>,
) {
    const EIGHT: usize = 8;
    for line in 0..words {
        let piece: &[u32] = bytemuck::cast_slice(source.piece(line, rows.start, rows.len()));
        ask_ahead(piece, source.stride);
        for (panel, six) in piece.chunks(SIX).enumerate() {
            // SAFETY: by the contract.
            let out = unsafe { out.add(panel * stride + line * SIX) };
            // Two more than six, in one move: what they overwrite comes after them.
            match piece.get(panel * SIX..panel * SIX + EIGHT) {
                // SAFETY: as above.
                Some(eight) if line + 1 < words => unsafe {
                    out.cast::<[u32; EIGHT]>().write_unaligned(eight.try_into().unwrap_or_default());
                },
                // SAFETY: as above.
                _ => unsafe { out.copy_from_nonoverlapping(six.as_ptr(), six.len()) },
            }
        }
    }
}

/// Lines of a block that is turned, and words of each.
const TURNED: usize = 16;
type Block = [[u32; TURNED]; TURNED];

/// `out[p − words₀][c] ← (source[columns₀ + c][2p], source[columns₀ + c][2p + 1])`; zeros where the source has nothing.
///
/// # Safety
/// `out` has room for `words.len() · width`; `width` is a multiple of [`VECTOR`].
pub(super) unsafe fn transpose_lines(
    kernel: Kernel,
    out: *mut u32,
    width: usize,
    words: Range<usize>,
    source: Source,
    columns: Range<usize>,
) {
    for vector in 0..width / VECTOR {
        let lines = columns.start + vector * VECTOR..(columns.start + (vector + 1) * VECTOR).min(columns.end);
        for first in words.clone().step_by(TURNED) {
            #[cfg(target_arch = "x86_64")]
            if kernel.kind.elements() == 1
                && kernel.is_hardware
                && lines.len() == TURNED
                && first + TURNED <= words.end.min(source.width)
            {
                // SAFETY: a block of the source; the caller's contract for `out`; these kernels have AVX2.
                unsafe {
                    let out = out.add((first - words.start) * width + vector * VECTOR);
                    let from = source.data.add(lines.start * source.stride + first).cast();
                    super::x86::turn::block(out, width, from, source.stride);
                }
                continue;
            }
            let mut block: Block = [[0; TURNED]; TURNED];
            #[cfg(target_arch = "x86_64")]
            if kernel.kind.elements() == 2
                && kernel.is_hardware
                && lines.len() == TURNED
                && first + TURNED <= words.end
                && 2 * (first + TURNED) <= source.width
            {
                // SAFETY: a block of the source; the caller's contract for `out`; these kernels have AVX2, too.
                unsafe {
                    let from = source.data.add(lines.start * source.stride + 2 * first);
                    convert::lines_block(block.as_mut_ptr().cast(), from, source.stride);
                    write_turned(
                        out.add((first - words.start) * width + vector * VECTOR),
                        width,
                        TURNED,
                        &block,
                    );
                }
                continue;
            }
            vectorised(|| {
                for (line, block) in lines.clone().zip(&mut block) {
                    let k = (kernel.kind.elements() * first).min(source.width);
                    let len = (source.width - k).min(kernel.kind.elements() * TURNED);
                    pack_line(kernel, block, source.piece(line, k, len));
                }
            });
            let count = TURNED.min(words.end - first);
            // SAFETY: by the contract.
            unsafe {
                let out = out.add((first - words.start) * width + vector * VECTOR);
                write_turned(out, width, count, &block);
            }
        }
    }
}

/// `out[r][p] ← (source[2p][rows₀ + r], source[2p + 1][rows₀ + r])` for all `words`.
///
/// # Safety
/// `out` has room for as many whole blocks of rows as hold `rows`, `stride` words apart.
pub(super) unsafe fn transpose_columns(
    kernel: Kernel,
    out: *mut u32,
    (stride, words): (usize, usize),
    source: Source,
    rows: Range<usize>,
) {
    // Block by block down the lines, each a few cache lines wide: what is beside stands in the same page.
    for first in (0..words).step_by(TURNED) {
        let k = (2 * first).min(source.lines);
        let count = TURNED.min(words - first);
        for first_row in rows.clone().step_by(TURNED) {
            let columns = first_row..(first_row + TURNED).min(rows.end);
            let mut block: Block = [[0; TURNED]; TURNED];
            // SAFETY: by the contract; a block has room for all of its words.
            unsafe {
                let from =
                    Source { data: source.data.add(k * source.stride), lines: source.lines - k, ..source };
                let to = block.as_mut_ptr().cast();
                #[cfg(target_arch = "x86_64")]
                let is_whole = kernel.is_hardware && columns.len() == TURNED && from.lines >= 2 * TURNED;
                #[cfg(not(target_arch = "x86_64"))]
                let is_whole = false;
                if is_whole {
                    #[cfg(target_arch = "x86_64")]
                    convert::weave_block(to, from.data.add(first_row), source.stride);
                } else {
                    interleave(kernel, to, (TURNED, count), from, columns);
                }
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
        unsafe { super::x86::turn::block(out, stride, block.as_ptr().cast(), TURNED) };
        return;
    }
    for i in 0..count {
        for (j, line) in block.iter().enumerate() {
            // SAFETY: the caller's contract.
            unsafe { *out.add(i * stride + j) = line[i] };
        }
    }
}
