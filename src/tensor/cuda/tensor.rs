//! Matrices in device memory, padded so that every product is aligned whatever pruning left of the widths.
//!
//! ```text
//! rows × cols in memory of  rows↑8 × cols↑8  elements, n↑8 = n rounded up to a multiple of 8
//! ```
//!
//! Invariant: every element outside `rows × cols` is exactly zero. Products run over padded widths, where zeros add nothing;
//! everything else uses the logical width where it counts (the mean of RMSNorm, the vocabulary of a softmax).
//!
//! A parameter is f32. In bf16 precision it has a *shadow*, its values rounded to bf16, for products to read; AdamW writes it
//! with the weight, any other write makes it stale, and the next product refreshes it.
use super::device::{Device, Element, Operand};
use super::pool::Buffer;
use std::sync::{Mutex, PoisonError};

/// Rows and columns are padded to a multiple of this: 16 bytes of bf16, what cuBLASLt's fast kernels need.
pub const ALIGNMENT: usize = 8;

pub fn padded(size: usize) -> usize {
    size.next_multiple_of(ALIGNMENT)
}

/// The rounded values of an f32 matrix, and whether they are still its values.
pub(super) struct Shadow<D: Device> {
    pub buffer: Buffer<D>,
    pub fresh: bool,
}

/// A row-major matrix of one device.
pub struct CudaTensor<D: Device> {
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) element: Element,
    pub(super) buffer: Buffer<D>,
    pub(super) shadow: Mutex<Option<Shadow<D>>>,
}

impl<D: Device> CudaTensor<D> {
    pub(super) fn new(rows: usize, cols: usize, element: Element, buffer: Buffer<D>) -> Self {
        CudaTensor { rows, cols, element, buffer, shadow: Mutex::new(None) }
    }

    /// Elements from one row to the next.
    pub fn stride(&self) -> usize {
        padded(self.cols)
    }

    pub fn element(&self) -> Element {
        self.element
    }

    pub fn address(&self) -> u64 {
        self.buffer.address()
    }

    /// Elements of the logical rows, their padding included.
    pub(super) fn spread(&self) -> usize {
        self.rows * self.stride()
    }

    /// Bytes of all rows, padding rows included.
    pub(super) fn bytes(&self) -> usize {
        padded(self.rows) * self.stride() * self.element.bytes()
    }

    /// Address and number of the elements of all rows, padding included, of an f32 matrix that is about to be written.
    pub(super) fn f32_array(&mut self) -> (u64, usize) {
        assert_eq!(self.element, Element::F32, "sums over ranks are f32");
        self.touch();
        (self.address(), self.spread())
    }

    /// To be called by whatever writes the values without the shadow.
    pub(super) fn touch(&mut self) {
        if let Some(shadow) = self.shadow.get_mut().unwrap_or_else(PoisonError::into_inner) {
            shadow.fresh = false;
        }
    }

    /// The matrix as an operand of `rows` rows and `cols` columns, either of them logical or padded.
    pub(super) fn operand(&self, rows: usize, cols: usize) -> Operand {
        debug_assert!(rows <= padded(self.rows) && cols <= self.stride());
        Operand { address: self.address(), element: self.element, rows, cols, stride: self.stride() }
    }
}
