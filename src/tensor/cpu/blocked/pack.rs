//! Operands of a product, laid out as the kernels read them.
//!
//! ```text
//! left   rows of words (k along a line of the source), in f32 those of the source itself;
//!        or panels [words][48 rows], in f32 for AVX2 of 6 rows (k across its lines)
//! right  panels [words][16·v columns], v vectors wide, the last as narrow as it can be; chain after chain of words
//! ```
//!
//! Words beyond k are zero, and so are columns beyond n; rows beyond m hold anything, and their results are dropped.
use super::VECTOR;
use super::kernel::{Kernel, MOST_TILE_ROWS};
use super::layout::{
    gather, gather_pairs, gather_sixes, interleave, pack_line, transpose_columns, transpose_lines,
};
use super::memory::Buffer;
use super::product::is_even;
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::real::vectorised;
use std::ops::Range;

/// Rows of one panel of a left operand: a multiple of the rows of every kernel that reads panels.
pub(super) const PANEL_ROWS: usize = 48;
/// Rows of the tiles in f32 for AVX2, which have panels of their own.
pub(super) const SIX: usize = 6;
/// Most rows of a tile in f32.
const MOST_F32_ROWS: usize = 8;

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

    /// Lines `lines` of it.
    pub fn lines(self, lines: Range<usize>) -> Self {
        assert!(lines.end <= self.lines);
        // SAFETY: within the matrix.
        let data = unsafe { self.data.add(lines.start * self.stride) };
        Source { data, lines: lines.len(), ..self }
    }

    /// Columns `columns` of it.
    pub fn columns(self, columns: Range<usize>) -> Self {
        assert!(columns.end <= self.width);
        // SAFETY: within the matrix.
        let data = unsafe { self.data.add(columns.start) };
        Source { data, width: columns.len(), ..self }
    }

    /// Rows or columns of an operand made of it, and k.
    pub fn sizes(&self, along: Along) -> (usize, usize) {
        match along {
            Along::Lines => (self.lines, self.width),
            Along::Columns => (self.width, self.lines),
        }
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

/// The A of C = A B. Its source must stay as it is while products are made: rows of f32 are read where they stand.
pub struct Left {
    kernel: Kernel,
    source: Source,
    along: Along,
    form: Form,
    buffer: Buffer,
    pub rows: usize,
    /// Words of a row, those of padding included
    pub words: usize,
}

/// Where the words of a left operand are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// In the source itself, but for the last rows, from `tail` on, which a tile may reach beyond: `stride` words apart
    Source { tail: usize, stride: usize },
    /// In the source itself, which may be read beyond its last row by a tile
    Whole,
    /// Rows one by one, `stride` words apart
    Rows { stride: usize },
    /// Panels of so many rows, word by word, `stride` words apart
    Panels { rows: usize, stride: usize },
}

impl Form {
    /// Whether columns of the source have become rows.
    fn is_turned(self, along: Along) -> bool {
        matches!(self, Form::Rows { .. }) && along == Along::Columns
    }
}

/// A few rows of a left operand, from some word on.
#[derive(Clone, Copy)]
pub struct LeftTile {
    pub data: *const u32,
    pub row_stride: usize,
    pub word_stride: usize,
}

impl Left {
    /// Room for the rows of `source`, or of its transpose, as `along` says.
    pub fn new(kernel: Kernel, along: Along, source: Source) -> Self {
        let (rows, k) = source.sizes(along);
        let words = kernel.padded_words(k);
        // Lines a multiple of 1 KiB apart would share few sets of the first cache.
        let stride = if words.is_multiple_of(256) { words + 16 } else { words.next_multiple_of(16) };
        // A tile may begin at the last row.
        let room = (rows + MOST_TILE_ROWS).next_multiple_of(PANEL_ROWS);
        let (form, len) = match along {
            // Lines a multiple of 4 KiB apart share one set of the first cache, and are copied.
            Along::Lines if kernel.kind.elements() == 1 && !source.stride.is_multiple_of(1024) => {
                let tail = rows.saturating_sub(MOST_F32_ROWS);
                (Form::Source { tail, stride }, (rows - tail + MOST_F32_ROWS) * stride)
            }
            Along::Columns if kernel.reads_panels() => {
                let width = kernel.left_panel_rows();
                // An odd number of cache lines: several panels are written side by side.
                let stride =
                    if width == SIX { ((width * words).div_ceil(16) | 1) * 16 } else { width * words };
                (Form::Panels { rows: width, stride }, room / width * stride)
            }
            _ => (Form::Rows { stride }, room * stride),
        };
        Left { kernel, source, along, form, buffer: Buffer::new(len), rows, words }
    }

    /// The rows of `source`, or of its transpose, packed on this thread.
    pub fn of(kernel: Kernel, along: Along, source: Source) -> Self {
        let mut left = Left::new(kernel, along, source);
        left.fill();
        left
    }

    /// Packs all rows on this thread.
    pub fn fill(&mut self) {
        let target = self.target();
        // SAFETY: every piece is packed once.
        (0..self.pieces()).for_each(|piece| unsafe { self.pack(target, piece) });
    }

    /// The rows of `source`, or of its transpose, read where they stand where the kernel takes them as they are; else `None`.
    ///
    /// # Safety
    /// Beside its lines and columns as many as a tile may reach beyond them can be read.
    pub unsafe fn in_place(kernel: Kernel, along: Along, source: Source) -> Option<Self> {
        let (rows, words) = source.sizes(along);
        let buffer = Buffer::none();
        (kernel.kind.elements() == 1).then_some(Left {
            kernel,
            source,
            along,
            form: Form::Whole,
            buffer,
            rows,
            words,
        })
    }

    /// Rows of one piece of [`Self::pack`]; more where they are columns of the source, of which neighbours share cache lines.
    fn piece_rows(&self) -> usize {
        let is_wide = matches!(self.form, Form::Panels { rows: PANEL_ROWS, .. });
        if is_wide || self.form.is_turned(self.along) { 2 * PANEL_ROWS } else { PANEL_ROWS }
    }

    pub fn pieces(&self) -> usize {
        match self.form {
            Form::Source { .. } => 1,
            Form::Whole => 0,
            _ => self.rows.div_ceil(self.piece_rows()),
        }
    }

    /// Where [`Self::pack`] writes.
    pub fn target(&mut self) -> Shared<u32> {
        Shared(self.buffer.words_mut())
    }

    /// Packs the rows of piece `piece`, or all that are not read from the source, into `target`.
    ///
    /// # Safety
    /// `target` is [`Self::target`], and no other thread packs this piece.
    pub unsafe fn pack(&self, target: Shared<u32>, piece: usize) {
        let (kernel, source) = (self.kernel, self.source);
        let each = self.piece_rows();
        let rows = piece * each..((piece + 1) * each).min(self.rows);
        // SAFETY: pieces are disjoint parts of the buffer, which has room for whole ones.
        unsafe {
            match self.form {
                Form::Whole => {}
                Form::Source { tail, stride } => {
                    for row in tail..self.rows {
                        let out = target.get().add((row - tail) * stride);
                        let out = std::slice::from_raw_parts_mut(out, self.words);
                        pack_line(kernel, out, source.piece(row, 0, source.width));
                    }
                }
                Form::Rows { stride } if self.form.is_turned(self.along) => {
                    let out = target.get().add(rows.start * stride);
                    transpose_columns(kernel, out, (stride, self.words), source, rows);
                }
                Form::Rows { .. } => self.pack_lines(target, rows),
                Form::Panels { rows: width, stride } => {
                    let out = target.get().add(rows.start / width * stride);
                    let vectors = width / VECTOR;
                    match width {
                        SIX => gather_sixes(out, (stride, self.words), source, rows),
                        _ if kernel.kind.elements() == 1 => {
                            let all = rows.len().div_ceil(width) * vectors;
                            gather(out, (vectors, all), self.words, source, rows);
                        }
                        _ => rows.clone().step_by(width).for_each(|row| {
                            let out = out.add((row - rows.start) / width * stride);
                            let rows = row..(row + width).min(rows.end);
                            interleave(kernel, out, (width, self.words), source, rows);
                        }),
                    }
                }
            }
        }
    }

    /// Packs rows `rows` of an operand of lines that is not read where it stands.
    ///
    /// # Safety
    /// As [`Self::pack`], of these rows.
    pub unsafe fn pack_lines(&self, target: Shared<u32>, rows: Range<usize>) {
        let (kernel, source) = (self.kernel, self.source);
        let Form::Rows { stride } = self.form else { return };
        for row in rows {
            // SAFETY: rows are disjoint parts of the buffer.
            let out = unsafe { std::slice::from_raw_parts_mut(target.get().add(row * stride), self.words) };
            vectorised(|| pack_line(kernel, out, source.piece(row, 0, source.width)));
        }
    }

    /// The rows from `row` on, from `word` on.
    pub fn tile(&self, row: usize, word: usize) -> LeftTile {
        // SAFETY: within the source or the buffer for rows and words of the operand.
        unsafe {
            match self.form {
                Form::Source { tail, .. } if row < tail => {
                    let data = self.source.data.add(row * self.source.stride + word).cast();
                    LeftTile { data, row_stride: self.source.stride, word_stride: 1 }
                }
                Form::Whole => {
                    let stride = self.source.stride;
                    let (row_stride, word_stride) = match self.along {
                        Along::Lines => (stride, 1),
                        Along::Columns => (1, stride),
                    };
                    let data = self.source.data.add(row * row_stride + word * word_stride).cast();
                    LeftTile { data, row_stride, word_stride }
                }
                Form::Source { tail, stride } => {
                    let data = self.buffer.words().add((row - tail) * stride + word);
                    LeftTile { data, row_stride: stride, word_stride: 1 }
                }
                Form::Rows { stride } => {
                    let data = self.buffer.words().add(row * stride + word);
                    LeftTile { data, row_stride: stride, word_stride: 1 }
                }
                Form::Panels { rows, stride } => {
                    let (panel, within) = (row / rows, row % rows);
                    let data = self.buffer.words().add(panel * stride + word * rows + within);
                    LeftTile { data, row_stride: 1, word_stride: rows }
                }
            }
        }
    }
}

/// The most panels of a piece, whose lines are a few cache lines, that threads share evenly.
fn even_panels(panels: usize) -> usize {
    [4, 2].into_iter().find(|each| is_even(panels, *each)).unwrap_or(1)
}

/// The B of C = A B.
pub struct Right {
    kernel: Kernel,
    buffer: Buffer,
    pub columns: usize,
    pub words: usize,
    /// Vectors of every panel but perhaps the last
    vectors: usize,
    along: Along,
    /// Vectors of all panels together
    all_vectors: usize,
    /// Panels of one piece of [`Self::pack`]
    piece_panels: usize,
}

impl Right {
    /// `source` as a right operand, packed on this thread.
    pub fn of(kernel: Kernel, along: Along, source: Source) -> Self {
        let (columns, k) = source.sizes(along);
        let mut right = Right::new(kernel, along, columns, k);
        let target = right.target();
        // SAFETY: every piece is packed once.
        (0..right.pieces()).for_each(|piece| unsafe { right.pack(target, source, piece) });
        right
    }

    /// Room for `columns` columns of `k` elements.
    pub fn new(kernel: Kernel, along: Along, columns: usize, k: usize) -> Self {
        let words = kernel.padded_words(k);
        let vectors = kernel.panel_vectors(columns);
        let all_vectors = kernel.padded_vectors(columns);
        let buffer = Buffer::new(all_vectors * VECTOR * words);
        let piece_panels = even_panels(columns.div_ceil(vectors * VECTOR));
        Right { kernel, buffer, columns, words, vectors, along, all_vectors, piece_panels }
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
        Shared(self.buffer.words_mut())
    }

    pub fn pieces(&self) -> usize {
        self.panels().div_ceil(self.piece_panels)
    }

    /// Packs the panels of piece `piece` of `source` into `target`.
    ///
    /// # Safety
    /// As [`Left::pack`]; the source has the shape that `new` was told.
    pub unsafe fn pack(&self, target: Shared<u32>, source: Source, piece: usize) {
        let first = piece * self.piece_panels;
        let panels = first..(first + self.piece_panels).min(self.panels());
        if self.along == Along::Columns && self.kernel.kind.elements() == 1 {
            let width = self.panel_columns();
            let columns = panels.start * width..(panels.end * width).min(self.columns);
            let all = (panels.end * self.vectors).min(self.all_vectors) - panels.start * self.vectors;
            for first in (0..self.words).step_by(self.kernel.chain_words()) {
                let words = self.kernel.chain_words().min(self.words - first);
                // SAFETY: panels of chains are disjoint parts of the buffer, those of a piece beside each other.
                unsafe {
                    let out = target.get().add(self.offset(panels.start, first));
                    let data = source.data.add(first * source.stride);
                    let lines = Source { data, lines: words, ..source };
                    gather(out, (self.vectors, all), words, lines, columns.clone());
                }
            }
            return;
        }
        let mut panels = panels;
        if self.along == Along::Columns && self.kernel.kind.elements() == 2 {
            let width = self.panel_columns();
            // Those of which every column is there; only the last panel may be narrower.
            let whole = panels.start..panels.end.min(self.columns / width).max(panels.start);
            for first in (0..self.words).step_by(self.kernel.chain_words()) {
                let words = self.kernel.chain_words().min(self.words - first);
                let k = (2 * first).min(source.lines);
                // SAFETY: panels of chains are disjoint parts of the buffer, those of a piece beside each other.
                unsafe {
                    let out = target.get().add(self.offset(whole.start, first));
                    let lines = (source.lines - k).min(2 * words);
                    let from = Source { data: source.data.add(k * source.stride), lines, ..source };
                    let columns = whole.start * width..whole.end * width;
                    gather_pairs(self.kernel, out, (width, words), from, columns);
                }
            }
            panels.start = whole.end;
        }
        // SAFETY: the caller's contract.
        panels.for_each(|panel| unsafe { self.pack_panel(target, source, panel) });
    }

    /// Packs panel `panel` of `source` into `target`.
    ///
    /// # Safety
    /// As [`Self::pack`].
    unsafe fn pack_panel(&self, target: Shared<u32>, source: Source, panel: usize) {
        let start = panel * self.panel_columns();
        let columns = start..(start + self.panel_columns()).min(self.columns);
        let width = self.panel_vectors(panel) * VECTOR;
        for first in (0..self.words).step_by(self.kernel.chain_words()) {
            let words = self.kernel.chain_words().min(self.words - first);
            // SAFETY: panels of chains are disjoint parts of the buffer.
            unsafe {
                let out = target.get().add(self.offset(panel, first));
                match self.along {
                    Along::Lines => transpose_lines(
                        self.kernel,
                        out,
                        width,
                        first..first + words,
                        source,
                        columns.clone(),
                    ),
                    Along::Columns => {
                        let elements = self.kernel.kind.elements();
                        let k = elements * first;
                        let lines = source.lines.saturating_sub(k).min(elements * words);
                        let from = Source { data: source.data.add(k * source.stride), lines, ..source };
                        interleave(self.kernel, out, (width, words), from, columns.clone());
                    }
                }
            }
        }
    }

    /// Where panel `panel` of the chain from word `first` on begins.
    fn offset(&self, panel: usize, first: usize) -> usize {
        let words = self.kernel.chain_words().min(self.words - first);
        VECTOR * (first * self.all_vectors + panel * self.vectors * words)
    }

    /// Panel `panel` of the chain from word `first` on, a multiple of the words of a chain.
    pub fn panel(&self, panel: usize, first: usize) -> *const u32 {
        // SAFETY: within the buffer.
        unsafe { self.buffer.words().add(self.offset(panel, first)) }
    }
}
