//! Row and column sums of per-parameter saliency scores (method §2), in f64 and one fixed order.
use super::backend::{PIECE_BLOCK, PIECE_COLUMNS, at, int};
use super::device::{Argument, Element};
use super::{CudaBackend, CudaTensor, Device};
use crate::tensor::ElementScore;

/// Rows of one piece of a column sum.
const PIECE_ROWS: usize = 64;
const BLOCK: u32 = 128;

impl<D: Device> CudaBackend<D> {
    pub(super) fn margins(
        &self,
        score: ElementScore,
        weight: &CudaTensor<D>,
        grad: &CudaTensor<D>,
        fisher: Option<&CudaTensor<D>>,
    ) -> (Vec<f64>, Vec<f64>) {
        let code = match score {
            ElementScore::MagnitudeL2 => 0,
            ElementScore::Taylor1 => 1,
            ElementScore::TaylorMix => 2,
        };
        assert!(fisher.is_some() || score != ElementScore::TaylorMix, "taylor_mix needs the Fisher diagonal");
        for tensor in [Some(weight), Some(grad), fisher].into_iter().flatten() {
            assert!((tensor.rows, tensor.cols) == (weight.rows, weight.cols), "score_margins");
            assert_eq!(tensor.element, Element::F32);
        }
        let (rows, cols, stride) = (weight.rows, weight.cols, weight.stride());
        let pieces = rows.div_ceil(PIECE_ROWS);
        // Row sums, then column sums, read back at once.
        let sums = self.buffer((rows + cols) * 8);
        self.zero(&sums, 0, (rows + cols) * 8);
        let partial = self.buffer(pieces * stride * 8);
        let (by_row, by_col) =
            (Argument::Address(sums.address()), Argument::Address(sums.address() + 8 * rows as u64));
        let partial = Argument::Address(partial.address());
        let fisher = fisher.map_or(Argument::Address(0), at);
        let operands = [at(weight), at(grad), fisher, Argument::U32(code)];
        let arguments = [&[by_row][..], &operands, &[int(cols), int(stride)]].concat();
        self.launch("reduce", "score_rows", [rows, 1, 1], BLOCK, &arguments);
        let sizes = [int(rows), int(cols), int(stride), int(PIECE_ROWS)];
        let arguments = [&[partial][..], &operands, &sizes].concat();
        let grid = [cols.div_ceil(BLOCK as usize), pieces, 1];
        self.launch("reduce", "score_columns", grid, BLOCK, &arguments);
        let arguments = [by_col, partial, int(pieces), int(cols), int(stride)];
        self.launch(
            "reduce",
            "add_pieces_f64",
            [cols.div_ceil(PIECE_COLUMNS), 1, 1],
            PIECE_BLOCK,
            &arguments,
        );
        let mut by_row = self.downloaded::<f64>(&sums, rows + cols);
        let by_col = by_row.split_off(rows);
        (by_row, by_col)
    }
}
