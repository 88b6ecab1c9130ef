//! AdamW, the global norm, and sums of gradients over many tensors, one launch each; the layout of what `optimizer.cu` reads.
use super::backend::{alike, float, int};
use super::device::{Argument, Element};
use super::{CudaBackend, CudaTensor, Device, DeviceSum, must};
use crate::tensor::{Accumulation, AdamwLeaf, AdamwStep};
use std::sync::PoisonError;

/// Eights of one block; `CHUNK` of `optimizer.cu`.
const CHUNK: usize = 1024;
const BLOCK: u32 = 256;

/// `Leaf` of `optimizer.cu`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Leaf {
    weight: u64,
    grad: u64,
    m: u64,
    v: u64,
    /// 0 where there is none.
    shadow: u64,
    first_chunk: u32,
    eights: u32,
    keep: f32,
    unused: u32,
}

// SAFETY: integers and a float, five of eight bytes and four of four: no padding.
unsafe impl bytemuck::NoUninit for Leaf {}

/// Leaves with their places in the grid, and the number of chunks.
#[derive(Default)]
struct Table {
    leaves: Vec<Leaf>,
    chunks: usize,
}

impl Table {
    fn add<D: Device>(&mut self, grad: &CudaTensor<D>, leaf: Leaf) {
        assert_eq!(grad.element, Element::F32, "gradients are f32");
        let eights = grad.spread() / 8;
        if eights > 0 {
            let [first_chunk, eights32] =
                [self.chunks, eights].map(|n| u32::try_from(n).expect("fewer than 2³² chunks and eights"));
            self.leaves.push(Leaf { grad: grad.address(), first_chunk, eights: eights32, ..leaf });
            self.chunks += eights.div_ceil(CHUNK);
        }
    }
}

impl<D: Device> CudaBackend<D> {
    /// `Σ x²` over all elements of `tensors`, left on the device.
    pub(super) fn squared_norm(&self, tensors: &[&CudaTensor<D>]) -> DeviceSum<D> {
        let mut table = Table::default();
        for tensor in tensors {
            table.add(tensor, Leaf::default());
        }
        let (leaves, partial) = (self.uploaded(&table.leaves), self.buffer(table.chunks * 8));
        let partial_at = Argument::Address(partial.address());
        let arguments = [partial_at, Argument::Address(leaves.address()), int(table.leaves.len())];
        self.launch("optimizer", "squares", [table.chunks, 1, 1], BLOCK, &arguments);
        self.summed(partial_at, table.chunks)
    }

    /// As [`crate::tensor::Backend::accumulate`]. In the table `x` is the gradient, and the sums are the moments.
    pub(super) fn accumulate_leaves(
        &self,
        alpha: f64,
        beta: f64,
        leaves: &mut [Accumulation<'_, CudaTensor<D>>],
    ) {
        let mut table = Table::default();
        for Accumulation { x, sum, squares } in leaves.iter_mut() {
            let mut leaf = Leaf::default();
            alike(x, sum);
            sum.touch();
            leaf.m = sum.address();
            if let Some(squares) = squares {
                alike(x, squares);
                squares.touch();
                leaf.v = squares.address();
            }
            table.add(x, leaf);
        }
        let list = self.uploaded(&table.leaves);
        let arguments =
            [Argument::Address(list.address()), int(table.leaves.len()), float(alpha), float(beta)];
        self.launch("optimizer", "accumulate", [table.chunks, 1, 1], BLOCK, &arguments);
    }

    /// The sum of `count` f64 at `values`, in order. It is kept until somebody reads it, so that the next one is written
    /// elsewhere: the command stands apart from its neighbours, which may be the same every time.
    pub(super) fn summed(&self, values: Argument, count: usize) -> DeviceSum<D> {
        let out = self.number();
        must(self.device().flush());
        let arguments = [Argument::Address(out.address()), values, int(count)];
        self.launch("reduce", "sum_values", [1, 1, 1], BLOCK, &arguments);
        must(self.device().flush());
        DeviceSum(out)
    }

    /// One AdamW step on `leaves`, clipped by the norm where one is given with its bound.
    pub(super) fn adamw_leaves(
        &self,
        step: AdamwStep,
        clip: Option<(&DeviceSum<D>, f64)>,
        leaves: &mut [AdamwLeaf<'_, CudaTensor<D>>],
    ) {
        let mut table = Table::default();
        for AdamwLeaf { weight, grad, m, v, decays } in leaves.iter_mut() {
            for other in [&**grad, &**m, &**v] {
                assert!((other.rows, other.cols) == (weight.rows, weight.cols), "adamw");
                assert_eq!(other.element, Element::F32);
            }
            assert_eq!(weight.element, Element::F32, "weights are f32 masters");
            m.touch();
            v.touch();
            // The shadow is written with the weight, and so is as good as fresh: its padding is, too.
            let shadow = weight.shadow.get_mut().unwrap_or_else(PoisonError::into_inner);
            let shadow = match shadow {
                Some(shadow) if shadow.fresh => shadow.buffer.address(),
                _ => 0,
            };
            let decay = if *decays { step.learning_rate * step.weight_decay } else { 0.0 };
            let leaf = Leaf {
                weight: weight.address(),
                grad: 0,
                m: m.address(),
                v: v.address(),
                shadow,
                first_chunk: 0,
                eights: 0,
                keep: (1.0 - decay) as f32,
                unused: 0,
            };
            table.add(grad, leaf);
        }
        let list = self.uploaded(&table.leaves);
        let (norm, bound) = clip.map_or((0, 0.0), |(norm, bound)| (norm.0.address(), bound));
        let arguments = [
            Argument::Address(list.address()),
            int(table.leaves.len()),
            Argument::Address(norm),
            Argument::F64(bound),
            float(step.gradient_scale),
            float(step.beta1),
            float(1.0 - step.beta1),
            float(step.beta2),
            float(1.0 - step.beta2),
            float(step.learning_rate / step.bias_correction1),
            float(1.0 / step.bias_correction2.sqrt()),
            float(step.epsilon),
        ];
        self.launch("optimizer", "adamw", [table.chunks, 1, 1], BLOCK, &arguments);
    }
}
