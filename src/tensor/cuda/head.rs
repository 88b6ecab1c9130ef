//! Output head and cross-entropy in chunks of rows: the N × V logits are never held whole.
//!
//! ```text
//! z = hidden headᵀ (f32)   loss = Σ_n (log Σ_v exp z_nv − z_n,target)
//! dz = scale · (softmax(z) − onehot(target))   d_hidden = dz head   d_head += dzᵀ hidden
//! H = Σ_n −Σ_v p log p, p = softmax(z)      dz = −scale · p (log p + H_n)
//! ```
//!
//! Logits are f32 in both precisions, whatever the products' operands: a bf16 logit of 16 would be off by 0.06 nats.
use super::backend::int;
use super::device::{Addend, Argument, Element, Multiplication, Operand};
use super::tensor::padded;
use super::{CudaBackend, CudaTensor, Device, DeviceSum};
use crate::tensor::{Pointwise, Product};

/// Elements of the logits held at once: enough rows, at a vocabulary of 49152, that a product is not bound by reading the
/// head, in 256 MiB. Tests hold so few that their rows come in several chunks.
const LOGITS: usize = if cfg!(test) { 1 << 10 } else { 1 << 26 };
pub(super) const BLOCK: u32 = 256;

/// Rows of one chunk.
pub(super) fn chunk_rows(stride: usize) -> usize {
    (LOGITS / stride.max(1)).max(64).next_multiple_of(8)
}

/// Rows `start..end` of a matrix, all its padded columns.
pub(super) fn rows<D: Device>(tensor: &CudaTensor<D>, start: usize, end: usize) -> Operand {
    let offset = start * tensor.stride() * tensor.element.bytes();
    let operand = tensor.operand(end - start, tensor.stride());
    Operand { address: operand.address + offset as u64, ..operand }
}

impl<D: Device> CudaBackend<D> {
    pub(super) fn check_head(&self, hidden: &CudaTensor<D>, head: &CudaTensor<D>, targets: Option<&[u32]>) {
        assert!(hidden.cols == head.cols, "head");
        let fits = |targets: &[u32]| {
            targets.len() == hidden.rows && targets.iter().all(|&target| (target as usize) < head.rows)
        };
        assert!(targets.is_none_or(fits), "targets: one per row, within the vocabulary");
    }

    /// `operand` in what products read.
    pub(super) fn cast(&self, operand: &CudaTensor<D>) -> Option<CudaTensor<D>> {
        (operand.element != self.activation_element()).then(|| {
            let mut cast = self.unset(operand.rows, operand.cols, self.activation_element());
            self.zero(&cast.buffer, 0, cast.bytes());
            crate::tensor::Backend::copy(self, &mut cast, operand);
            cast
        })
    }

    /// Σ of cross-entropies against `targets`, or of entropies where there are none, with the gradients.
    pub(super) fn loss_and_gradients(
        &self,
        d_hidden: &mut CudaTensor<D>,
        d_head: &mut CudaTensor<D>,
        hidden: &CudaTensor<D>,
        head: &CudaTensor<D>,
        targets: Option<&[u32]>,
        scale: f64,
    ) -> DeviceSum<D> {
        assert!((d_head.rows, d_head.cols) == (head.rows, head.cols), "d_head");
        assert!((d_hidden.rows, d_hidden.cols) == (hidden.rows, hidden.cols), "d_hidden");
        d_hidden.touch();
        d_head.touch();
        let losses = self.for_each_chunk(hidden, head, targets, scale, |start, end, x, dz, head| {
            let (product, addend) = (Product::NN, Addend::Nothing);
            self.multiply(Multiplication {
                product,
                addend,
                out: rows(d_hidden, start, end),
                a: dz,
                b: head,
            });
            let out = d_head.operand(padded(d_head.rows), d_head.stride());
            self.multiply(Multiplication { product: Product::TN, addend: Addend::Out, out, a: dz, b: x });
        });
        self.summed(Argument::Address(losses.address()), hidden.rows)
    }

    /// `out += Σ_n (dz_nv · x_nc)²`: a product of squares.
    pub(super) fn squared_gradients(
        &self,
        out: &mut CudaTensor<D>,
        hidden: &CudaTensor<D>,
        head: &CudaTensor<D>,
        targets: &[u32],
        scale: f64,
    ) {
        assert!((out.rows, out.cols) == (head.rows, head.cols), "squared gradients");
        out.touch();
        let mut squares = self.unset(hidden.rows, hidden.cols, self.activation_element());
        self.zero(&squares.buffer, 0, squares.bytes());
        let cast = self.cast(hidden);
        let hidden = cast.as_ref().unwrap_or(hidden);
        crate::tensor::Backend::pointwise(self, Pointwise::Square, &mut squares, hidden, None);
        self.for_each_chunk(hidden, head, Some(targets), scale, |start, end, _, dz, _| {
            let name = self.activation_element().suffix();
            let at = Argument::Address(dz.address);
            let square = [at, at, Argument::Address(0), Argument::U32(Pointwise::Square as u32)];
            self.each(&format!("pointwise_{name}_{name}"), (end - start) * dz.stride, &square);
            let (x, out) = (rows(&squares, start, end), out.operand(padded(out.rows), out.stride()));
            self.multiply(Multiplication { product: Product::TN, addend: Addend::Out, out, a: dz, b: x });
        });
    }

    /// Hands on each chunk of rows `start..end`: x, dz and the head as products read them; returns the losses of all rows.
    fn for_each_chunk(
        &self,
        hidden: &CudaTensor<D>,
        head: &CudaTensor<D>,
        targets: Option<&[u32]>,
        scale: f64,
        mut work: impl FnMut(usize, usize, Operand, Operand, Operand),
    ) -> super::Buffer<D> {
        self.check_head(hidden, head, targets);
        let cast = self.cast(hidden);
        let hidden = cast.as_ref().unwrap_or(hidden);
        let (vocab, stride, element) = (head.rows, padded(head.rows), self.activation_element());
        let chunk = chunk_rows(stride).min(hidden.rows.max(1));
        let head = self.multiplicand(head, stride, head.stride());
        let logits = self.unset(chunk, vocab, Element::F32);
        // In f32 the gradient takes the place of the logits.
        let separate = (element == Element::Bf16).then(|| self.unset(chunk, vocab, element));
        let d_logits = separate.as_ref().unwrap_or(&logits);
        let list = targets.map(|targets| self.uploaded(targets));
        let losses = self.buffer(hidden.rows * 8);
        let kernel = if targets.is_some() { "cross_entropy" } else { "entropy" };
        let kernel = format!("{kernel}_{}", element.suffix());
        for start in (0..hidden.rows).step_by(chunk) {
            let end = (start + chunk).min(hidden.rows);
            let (x, z, dz) =
                (rows(hidden, start, end), rows(&logits, 0, end - start), rows(d_logits, 0, end - start));
            let (product, addend) = (Product::NT, Addend::Nothing);
            self.multiply(Multiplication { product, addend, out: z, a: x, b: head });
            let arguments = [
                Argument::Address(dz.address),
                Argument::Address(losses.address() + 8 * start as u64),
                Argument::Address(z.address),
                Argument::Address(list.as_ref().map_or(0, |list| list.address() + 4 * start as u64)),
                int(vocab),
                int(stride),
                Argument::F32(scale as f32),
            ];
            self.launch("cross_entropy", &kernel, [end - start, 1, 1], BLOCK, &arguments);
            work(start, end, x, dz, head);
        }
        losses
    }

    pub(super) fn log_probabilities(
        &self,
        hidden: &CudaTensor<D>,
        head: &CudaTensor<D>,
        targets: &[u32],
    ) -> Vec<f64> {
        self.check_head(hidden, head, Some(targets));
        let cast = self.cast(hidden);
        let hidden = cast.as_ref().unwrap_or(hidden);
        let (vocab, stride) = (head.rows, padded(head.rows));
        let chunk = chunk_rows(stride).min(hidden.rows.max(1));
        let head = self.multiplicand(head, stride, head.stride());
        let logits = self.unset(chunk, vocab, Element::F32);
        let list = self.uploaded(targets);
        let logs = self.buffer(targets.len() * 8);
        for start in (0..hidden.rows).step_by(chunk) {
            let end = (start + chunk).min(hidden.rows);
            let (x, z) = (rows(hidden, start, end), rows(&logits, 0, end - start));
            self.multiply(Multiplication {
                product: Product::NT,
                addend: Addend::Nothing,
                out: z,
                a: x,
                b: head,
            });
            let arguments = [
                Argument::Address(logs.address() + 8 * start as u64),
                Argument::Address(z.address),
                Argument::Address(list.address() + 4 * start as u64),
                int(vocab),
                int(stride),
            ];
            self.launch("cross_entropy", "log_probability", [end - start, 1, 1], BLOCK, &arguments);
        }
        self.downloaded(&logs, targets.len())
    }
}
