//! Head and distillation loss in chunks of rows, as `head.rs` does the cross-entropy (equations:
//! `tensor/distillation.rs`).
use super::backend::{float, int};
use super::device::{Addend, Argument, Element, Multiplication};
use super::head::{BLOCK, chunk_rows, rows};
use super::tensor::padded;
use super::{CudaBackend, CudaTensor, Device, DeviceSum};
use crate::tensor::{Distillation, Product, TeacherHead};

impl<D: Device> CudaBackend<D> {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn distillation(
        &self,
        d_hidden: &mut CudaTensor<D>,
        d_head: &mut CudaTensor<D>,
        hidden: &CudaTensor<D>,
        head: &CudaTensor<D>,
        teacher: TeacherHead<'_, CudaTensor<D>>,
        targets: &[u32],
        scale: f64,
        of: Distillation,
    ) -> DeviceSum<D> {
        self.check_head(hidden, head, Some(targets));
        self.check_head(teacher.hidden, teacher.head, Some(targets));
        assert_eq!(teacher.head.rows, head.rows, "one vocabulary");
        assert!((d_head.rows, d_head.cols) == (head.rows, head.cols), "d_head");
        assert!((d_hidden.rows, d_hidden.cols) == (hidden.rows, hidden.cols), "d_hidden");
        d_hidden.touch();
        d_head.touch();
        let [cast, taught_cast] = [hidden, teacher.hidden].map(|hidden| self.cast(hidden));
        let (hidden, taught) =
            (cast.as_ref().unwrap_or(hidden), taught_cast.as_ref().unwrap_or(teacher.hidden));
        let (vocab, stride, element) = (head.rows, padded(head.rows), self.activation_element());
        let chunk = chunk_rows(stride).min(hidden.rows.max(1));
        let head = self.multiplicand(head, stride, head.stride());
        let their_head = self.multiplicand(teacher.head, stride, teacher.head.stride());
        let [logits, their_logits] = [(); 2].map(|()| self.unset(chunk, vocab, Element::F32));
        // In f32 the gradient takes the place of the logits.
        let separate = (element == Element::Bf16).then(|| self.unset(chunk, vocab, element));
        let d_logits = separate.as_ref().unwrap_or(&logits);
        let list = self.uploaded(targets);
        let losses = self.buffer(targets.len() * 8);
        for start in (0..hidden.rows).step_by(chunk) {
            let end = (start + chunk).min(hidden.rows);
            let x = rows(hidden, start, end);
            let [z, t, dz] = [&logits, &their_logits, d_logits].map(|tensor| rows(tensor, 0, end - start));
            for (out, a, b) in [(z, x, head), (t, rows(taught, start, end), their_head)] {
                self.multiply(Multiplication { product: Product::NT, addend: Addend::Nothing, out, a, b });
            }
            let arguments = [
                Argument::Address(dz.address),
                Argument::Address(losses.address() + 8 * start as u64),
                Argument::Address(z.address),
                Argument::Address(t.address),
                Argument::Address(list.address() + 4 * start as u64),
                int(vocab),
                int(stride),
                int(of.compared(vocab)),
                float(scale),
                float(of.weight),
                float(of.temperature),
            ];
            let kernel = format!("distillation_{}", element.suffix());
            self.launch("distillation", &kernel, [end - start, 1, 1], BLOCK, &arguments);
            let d_x = rows(d_hidden, start, end);
            self.multiply(Multiplication {
                product: Product::NN,
                addend: Addend::Nothing,
                out: d_x,
                a: dz,
                b: head,
            });
            let d_head = d_head.operand(stride, d_head.stride());
            self.multiply(Multiplication {
                product: Product::TN,
                addend: Addend::Out,
                out: d_head,
                a: dz,
                b: x,
            });
        }
        self.summed(Argument::Address(losses.address()), targets.len())
    }
}
