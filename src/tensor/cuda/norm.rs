//! RMSNorm and its gradient.
use super::backend::{PIECE_BLOCK, PIECE_COLUMNS, alike, at, float, int, named};
use super::device::{Argument, Element};
use super::{CudaBackend, CudaTensor, Device};

/// Rows of one piece of RMSNorm's backward pass; `PIECE` of `norm.cu`.
const NORM_PIECE: usize = 32;

impl<D: Device> CudaBackend<D> {
    pub(super) fn normalise(
        &self,
        out: &mut CudaTensor<D>,
        inv_rms: &mut CudaTensor<D>,
        x: &CudaTensor<D>,
        weight: &CudaTensor<D>,
        epsilon: f64,
    ) {
        alike(out, x);
        assert!(weight.cols == x.cols && weight.rows == 1 && inv_rms.cols == x.rows, "rmsnorm");
        assert!(weight.element == Element::F32 && inv_rms.element == Element::F32);
        out.touch();
        inv_rms.touch();
        let sizes = [int(x.rows), int(x.cols), int(x.stride()), float(epsilon)];
        let arguments = [&[at(out), at(inv_rms), at(x), at(weight)][..], &sizes].concat();
        self.launch("norm", &named("rmsnorm", x.element), [x.rows.div_ceil(4), 1, 1], 128, &arguments);
    }

    pub(super) fn normalise_backward(
        &self,
        d_x: &mut CudaTensor<D>,
        d_weight: &mut CudaTensor<D>,
        d_out: &CudaTensor<D>,
        x: &CudaTensor<D>,
        weight: &CudaTensor<D>,
        inv_rms: &CudaTensor<D>,
    ) {
        alike(d_x, x);
        alike(d_out, x);
        alike(d_weight, weight);
        assert!(weight.cols == x.cols && weight.rows == 1 && inv_rms.cols == x.rows, "rmsnorm_backward");
        assert!(weight.element == Element::F32 && inv_rms.element == Element::F32);
        d_x.touch();
        d_weight.touch();
        let (pieces, stride) = (x.rows.div_ceil(NORM_PIECE), x.stride());
        let partial = self.buffer(pieces * stride * 4);
        let partial = Argument::Address(partial.address());
        let arguments = [
            at(d_x),
            partial,
            at(d_out),
            at(x),
            at(weight),
            at(inv_rms),
            int(x.rows),
            int(x.cols),
            int(stride),
        ];
        self.launch("norm", &named("rmsnorm_backward", x.element), [pieces, 1, 1], 128, &arguments);
        let arguments = [at(d_weight), partial, int(pieces), int(x.cols), int(stride)];
        let grid = [x.cols.div_ceil(PIECE_COLUMNS), 1, 1];
        self.launch("reduce", "add_pieces_f32", grid, PIECE_BLOCK, &arguments);
    }
}
