//! Operands of a product in bf16, laid out as the kernels read them.
//!
//! ```text
//! left   rows of pairs (k along a line of the source), or panels [pairs][48 rows] (k across its lines)
//! right  panels [pairs][16·v columns], v vectors wide, the last as narrow as it can be; chain after chain of pairs
//! ```
//!
//! Pairs beyond k are zero, and so are columns beyond n; rows beyond m hold anything, and their results are dropped.
use super::kernel::{Kernel, MOST_TILE_ROWS};
use super::layout::{interleave, round_line, transpose_columns, transpose_lines};
use super::memory::Buffer;
use super::{BLOCK_PAIRS, VECTOR};
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::real::vectorised;

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
    pub(super) fn piece(&self, line: usize, column: usize, len: usize) -> &[f32] {
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

    /// Panel `panel` of the chain from pair `first` on, a multiple of `BLOCK_PAIRS`.
    pub fn panel(&self, panel: usize, first: usize) -> *const u32 {
        // SAFETY: within the buffer.
        unsafe { self.buffer.pairs().add(self.offset(panel, first)) }
    }
}
