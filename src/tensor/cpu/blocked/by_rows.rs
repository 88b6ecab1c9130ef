//! Layers some rows at a time: what one line makes the next one finds in the second cache, where whole matrices would go through
//! memory between any two.
use super::kernel::Kernel;
use super::memory::Buffer;
use super::pack::{Along, Left, Right, Source};
use super::product::{Target, even_rows, multiply};
use super::reach::Reach;
use crate::tensor::Norm;
use crate::tensor::cpu::product::Shared;
use crate::tensor::cpu::{Matrix, for_each_piece, norm};
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

/// A norm of which each task writes rows of its own.
pub(super) struct NormRows<'a> {
    out: Rows,
    inv_rms: Rows,
    weight: &'a [f32],
    epsilon: f64,
}

impl<'a> NormRows<'a> {
    /// Of a stream of `n` rows.
    pub fn of(norm: Norm<'a, Matrix<f32>>, n: usize) -> Self {
        let Norm { out, inv_rms, weight, epsilon } = norm;
        let d = weight.data.len();
        assert!((out.rows, out.cols) == (n, d) && inv_rms.data.len() == n, "a norm of {n} rows of {d}");
        let inv_rms = Rows { data: Shared(inv_rms.data.as_mut_ptr()), cols: 1 };
        NormRows { out: Rows::of(out), inv_rms, weight: &weight.data, epsilon }
    }

    /// Writes that of these rows of `stream`.
    ///
    /// # Safety
    /// As [`Rows::slice`], of the stream, too.
    pub unsafe fn write(&self, stream: Rows, rows: &Range<usize>) {
        // SAFETY: the caller's contract.
        unsafe {
            let (out, inv_rms) = (self.out.slice(rows), self.inv_rms.slice(rows));
            norm::rows(out, stream.slice(rows), inv_rms, self.weight, self.epsilon);
        }
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
    let Some(each) = even_rows(kernel, Along::Lines, rows) else { return false };
    let one = |index: usize| task(index * each..((index + 1) * each).min(rows));
    for_each_piece(rows.div_ceil(each), |index| kernel.with_tiles(|| one(index)));
    true
}
