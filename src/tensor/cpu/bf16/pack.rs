//! Operands of a product in bf16, laid out as the kernels read them.
//!
//! ```text
//! left   rows of pairs (k along a line of the source), or panels [pairs][48 rows] (k across its lines)
//! right  panels [pairs][16·v columns], v vectors wide, the last as narrow as it can be; chain after chain of pairs
//! ```
//!
//! Pairs beyond k are zero, and so are columns beyond n; rows beyond m hold anything, and their results are dropped.
use super::kernel::{Kernel, MOST_TILE_ROWS};
use super::memory::Buffer;
use super::round::{pair, round};
#[cfg(target_arch = "x86_64")]
use super::x86::convert;
use super::{BLOCK_PAIRS, VECTOR};
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::real::vectorised;
use std::ops::Range;

/// Rows of one panel of a left operand: a multiple of the rows of every kernel that reads panels.
const PANEL_ROWS: usize = 48;

/// A row-major matrix of f32 to pack from.
#[derive(Clone, Copy)]
pub struct Source {
    pub data: *const f32,
    /// Elements from one line to the next
    pub stride: usize,
    pub lines: usize,
    pub width: usize,
}

// SAFETY: a source is only read through, and its matrix outlives the call that takes it.
unsafe impl Send for Source {}
unsafe impl Sync for Source {}

impl Source {
    /// Element `column` of line `line` and the `len` from there on.
    fn piece(&self, line: usize, column: usize, len: usize) -> &[f32] {
        debug_assert!(line < self.lines && column + len <= self.width);
        // SAFETY: within the matrix, as asserted.
        unsafe { std::slice::from_raw_parts(self.data.add(line * self.stride + column), len) }
    }
}

/// Which side of the source k runs along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Along {
    /// Neighbours along k stand beside each other.
    Lines,
    /// Neighbours along k stand below each other.
    Columns,
}

/// The A of C = A B.
pub struct Left {
    kernel: Kernel,
    buffer: Buffer,
    pub rows: usize,
    /// Pairs of a row, those of padding included
    pub pairs: usize,
    /// Pairs from one row to the next where rows stand one by one
    stride: usize,
    panels: bool,
    transposes: bool,
}

/// A few rows of a left operand, from some pair on.
#[derive(Clone, Copy)]
pub struct LeftTile {
    pub data: *const u32,
    pub row_stride: usize,
    pub pair_stride: usize,
}

impl Left {
    /// Room for `rows` rows of `k` elements.
    pub fn new(kernel: Kernel, along: Along, rows: usize, k: usize) -> Self {
        let pairs = kernel.padded_pairs(k);
        let transposes = along == Along::Columns && !kernel.reads_panels();
        let panels = along == Along::Columns && kernel.reads_panels();
        // Lines a multiple of 1 KiB apart would share few sets of the first cache.
        let stride = if pairs.is_multiple_of(256) { pairs + 16 } else { pairs.next_multiple_of(16) };
        // A tile may begin at the last row.
        let room = (rows + MOST_TILE_ROWS).next_multiple_of(PANEL_ROWS);
        let buffer = Buffer::new(room * if panels { pairs } else { stride });
        Left { kernel, buffer, rows, pairs, stride, panels, transposes }
    }

    /// Rows of one piece of [`Self::pack`].
    pub const PIECE: usize = PANEL_ROWS;

    pub fn pieces(&self) -> usize {
        self.rows.div_ceil(Self::PIECE)
    }

    /// Where [`Self::pack`] writes.
    pub fn target(&mut self) -> Shared<u32> {
        Shared(self.buffer.pairs_mut())
    }

    /// Packs rows `piece · PIECE …` of `source` into `target`.
    ///
    /// # Safety
    /// `target` is [`Self::target`], the source has the shape that `new` was told, and no other thread packs this piece.
    pub unsafe fn pack(&self, target: Shared<u32>, source: Source, piece: usize) {
        let rows = piece * Self::PIECE..((piece + 1) * Self::PIECE).min(self.rows);
        // SAFETY: pieces are disjoint parts of the buffer, which has room for whole ones.
        unsafe {
            if self.panels {
                let out = target.get().add(piece * self.pairs * PANEL_ROWS);
                interleave(self.kernel, out, (PANEL_ROWS, self.pairs), source, rows);
            } else if self.transposes {
                let out = target.get().add(rows.start * self.stride);
                transpose_columns(self.kernel, out, (self.stride, self.pairs), source, rows);
            } else {
                for row in rows {
                    let out = target.get().add(row * self.stride).cast::<u16>();
                    let out = std::slice::from_raw_parts_mut(out, 2 * self.pairs);
                    vectorised(|| round_line(self.kernel, out, source.piece(row, 0, source.width)));
                }
            }
        }
    }

    /// The rows from `row` on, from `pair` on.
    pub fn tile(&self, row: usize, pair: usize) -> LeftTile {
        let (panel, within) = (row / PANEL_ROWS, row % PANEL_ROWS);
        let offset = match self.panels {
            true => (panel * self.pairs + pair) * PANEL_ROWS + within,
            false => row * self.stride + pair,
        };
        // SAFETY: within the buffer for rows and pairs of the operand.
        let data = unsafe { self.buffer.pairs().add(offset) };
        match self.panels {
            true => LeftTile { data, row_stride: 1, pair_stride: PANEL_ROWS },
            false => LeftTile { data, row_stride: self.stride, pair_stride: 1 },
        }
    }
}

/// The B of C = A B.
pub struct Right {
    kernel: Kernel,
    buffer: Buffer,
    pub columns: usize,
    pub pairs: usize,
    /// Vectors of every panel but perhaps the last
    vectors: usize,
    along: Along,
    /// Vectors of all panels together
    all_vectors: usize,
}

impl Right {
    /// Room for `columns` columns of `k` elements.
    pub fn new(kernel: Kernel, along: Along, columns: usize, k: usize) -> Self {
        let pairs = kernel.padded_pairs(k);
        let vectors = kernel.panel_vectors(columns);
        let all_vectors = kernel.padded_vectors(columns);
        let buffer = Buffer::new(all_vectors * VECTOR * pairs);
        Right { kernel, buffer, columns, pairs, vectors, along, all_vectors }
    }

    pub fn panels(&self) -> usize {
        self.columns.div_ceil(self.panel_columns())
    }

    /// Columns of every panel but perhaps the last.
    pub fn panel_columns(&self) -> usize {
        self.vectors * VECTOR
    }

    /// Columns of all panels, those of padding included.
    pub fn padded_columns(&self) -> usize {
        self.all_vectors * VECTOR
    }

    /// Vectors of panel `panel`.
    pub fn panel_vectors(&self, panel: usize) -> usize {
        self.vectors.min(self.all_vectors - panel * self.vectors)
    }

    pub fn target(&mut self) -> Shared<u32> {
        Shared(self.buffer.pairs_mut())
    }

    /// Packs panel `panel` of `source` into `target`.
    ///
    /// # Safety
    /// As [`Left::pack`].
    pub unsafe fn pack(&self, target: Shared<u32>, source: Source, panel: usize) {
        let start = panel * self.panel_columns();
        let columns = start..(start + self.panel_columns()).min(self.columns);
        let width = self.panel_vectors(panel) * VECTOR;
        for first in (0..self.pairs).step_by(BLOCK_PAIRS) {
            let pairs = BLOCK_PAIRS.min(self.pairs - first);
            // SAFETY: panels of chains are disjoint parts of the buffer.
            unsafe {
                let out = target.get().add(self.offset(panel, first));
                match self.along {
                    Along::Lines => transpose_lines(
                        self.kernel,
                        out,
                        width,
                        first..first + pairs,
                        source,
                        columns.clone(),
                    ),
                    Along::Columns => {
                        let k = 2 * first;
                        let lines = source.lines.saturating_sub(k).min(2 * pairs);
                        let from = Source { data: source.data.add(k * source.stride), lines, ..source };
                        interleave(self.kernel, out, (width, pairs), from, columns.clone());
                    }
                }
            }
        }
    }

    /// Where panel `panel` of the chain from pair `first` on begins.
    fn offset(&self, panel: usize, first: usize) -> usize {
        let pairs = BLOCK_PAIRS.min(self.pairs - first);
        VECTOR * (first * self.all_vectors + panel * self.vectors * pairs)
    }

    /// Panel `panel` of the chain from pair `first` on, a multiple of [`BLOCK_PAIRS`].
    pub fn panel(&self, panel: usize, first: usize) -> *const u32 {
        // SAFETY: within the buffer.
        unsafe { self.buffer.pairs().add(self.offset(panel, first)) }
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

/// `out[p][c] ← (source[2p][columns₀ + c], source[2p + 1][…])` for all `pairs`; zeros where the source has nothing.
///
/// # Safety
/// `out` has room for `pairs · width`.
unsafe fn interleave(
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
unsafe fn transpose_lines(
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
unsafe fn transpose_columns(
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
