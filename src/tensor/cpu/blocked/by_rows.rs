//! Layers some rows at a time: what one line makes the next one finds in the second cache, where whole matrices would go through
//! memory between any two.
use super::kernel::Kernel;
use super::memory::Buffer;
use super::pack::{Along, Left, Right, Source};
use super::product::{Target, even_rows, multiply};
use super::reach::Reach;
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::{Matrix, for_each_piece};
use std::ops::Range;

/// A matrix of which each task has rows of its own.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    data: Shared<f32>,
    pub cols: usize,
}

impl Rows {
    pub fn of(matrix: &mut Matrix<f32>) -> Self {
        Rows { data: Shared(matrix.data.as_mut_ptr()), cols: matrix.cols }
    }

    /// Rows of `cols` in `buffer`, of which a task has its own; they are counted from `first`.
    pub fn in_buffer(buffer: &mut Buffer, cols: usize, first: usize) -> Self {
        // Never followed before it is moved back to the buffer.
        let data = buffer.words_mut().cast::<f32>().wrapping_sub(first * cols);
        Rows { data: Shared(data), cols }
    }

    /// # Safety
    /// No other thread uses these rows, and nothing else borrows them.
    pub unsafe fn slice<'a>(self, rows: &Range<usize>) -> &'a mut [f32] {
        // SAFETY: the caller's contract.
        unsafe {
            let data = self.data.get().wrapping_add(rows.start * self.cols);
            std::slice::from_raw_parts_mut(data, rows.len() * self.cols)
        }
    }

    /// # Safety
    /// As [`Self::slice`], while the product is made.
    pub unsafe fn target(self, rows: &Range<usize>, accumulate: bool) -> Target {
        let data = Shared(self.data.get().wrapping_add(rows.start * self.cols));
        Target { data, stride: self.cols, accumulate }
    }

    /// These rows as a left operand.
    ///
    /// # Safety
    /// As [`Self::slice`], while the operand is there.
    pub unsafe fn left(self, kernel: Kernel, rows: &Range<usize>) -> Left {
        let data = self.data.get().wrapping_add(rows.start * self.cols);
        let source = Source { data, stride: self.cols, lines: rows.len(), width: self.cols };
        Left::of(kernel, Along::Lines, source)
    }
}

/// `target ← A B`, or added to it, of whole operands.
///
/// # Safety
/// As [`multiply`].
pub(super) unsafe fn product(kernel: Kernel, left: &Left, right: &Right, target: Target) {
    let (rows, panels, shape) = (0..left.rows, 0..right.panels(), (left.words, right.columns));
    // SAFETY: the caller's contract.
    unsafe { multiply(kernel, (left, rows), (right, panels), shape, target, Reach::All) };
}

/// Runs `task` for some rows after others, on all threads; whether they could be cut so that it is worth it.
pub(super) fn by_rows(kernel: Kernel, rows: usize, task: impl Fn(Range<usize>) + Sync + Send) -> bool {
    let Some(each) = even_rows(kernel, rows) else { return false };
    let one = |index: usize| task(index * each..((index + 1) * each).min(rows));
    for_each_piece(rows.div_ceil(each), |index| kernel.with_tiles(|| one(index)));
    true
}
