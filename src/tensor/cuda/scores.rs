//! Row and column sums of per-parameter saliency scores (method §2), in f64 and one fixed order: of all tensors at once, so
//! that an event of pruning is three launches and one wait, however many layers there are.
use super::backend::{PIECE_BLOCK, PIECE_COLUMNS, int};
use super::device::{Argument, Element};
use super::{CudaBackend, CudaTensor, Device};
use crate::tensor::{ElementScore, Margins, ScoreLeaf};

/// Rows of one piece of a column sum.
const PIECE_ROWS: usize = 64;
const BLOCK: u32 = 128;

/// `ScoredLeaf` of `reduce.cu`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Leaf {
    weight: u64,
    /// 0 where there is none, as `fisher`.
    grad: u64,
    fisher: u64,
    /// Sums of each piece of each column: `PIECE_ROWS` rows, in a row of `stride`.
    partial: u64,
    by_row: u64,
    by_col: u64,
    rows: u32,
    cols: u32,
    stride: u32,
    /// Its first blocks in the grids of `score_rows`, `score_columns` and `add_score_pieces`.
    first_row: u32,
    first_tile: u32,
    first_strip: u32,
}

// SAFETY: integers, six of eight bytes and six of four: no padding.
unsafe impl bytemuck::NoUninit for Leaf {}

/// How much there is of each kind, of the leaves so far.
#[derive(Clone, Copy, Default)]
struct Counts {
    rows: usize,
    cols: usize,
    /// Blocks of `score_columns` and of `add_score_pieces`.
    tiles: usize,
    strips: usize,
    /// Elements of `partial`.
    partial: usize,
}

impl Counts {
    fn add<D: Device>(&mut self, weight: &CudaTensor<D>) {
        let pieces = weight.rows.div_ceil(PIECE_ROWS);
        self.rows += weight.rows;
        self.cols += weight.cols;
        self.tiles += pieces * weight.cols.div_ceil(BLOCK as usize);
        self.strips += weight.cols.div_ceil(PIECE_COLUMNS);
        self.partial += pieces * weight.stride();
    }
}

fn small(count: usize) -> u32 {
    u32::try_from(count).expect("fewer than 2³² rows, columns and blocks")
}

impl<D: Device> CudaBackend<D> {
    pub(super) fn margins(
        &self,
        score: ElementScore,
        leaves: &[ScoreLeaf<'_, CudaTensor<D>>],
    ) -> Vec<Margins> {
        let mut all = Counts::default();
        for ScoreLeaf { weight, grad, fisher } in leaves {
            assert!(grad.is_some() || !score.reads_gradient(), "{score:?} needs the gradient");
            assert!(fisher.is_some() || !score.reads_fisher(), "{score:?} needs the Fisher diagonal");
            for tensor in [Some(*weight), *grad, *fisher].into_iter().flatten() {
                assert!((tensor.rows, tensor.cols) == (weight.rows, weight.cols), "score_margins");
                assert_eq!(tensor.element, Element::F32);
            }
            all.add(weight);
        }
        // Row sums of all leaves, then column sums, read back at once.
        let (sums, partial) = (self.buffer((all.rows + all.cols) * 8), self.buffer(all.partial * 8));
        let mut before = Counts::default();
        let described = |ScoreLeaf { weight, grad, fisher }: &ScoreLeaf<'_, CudaTensor<D>>| {
            let address = |tensor: &Option<&CudaTensor<D>>| tensor.map_or(0, CudaTensor::address);
            let leaf = Leaf {
                weight: weight.address(),
                grad: address(grad),
                fisher: address(fisher),
                partial: partial.address() + 8 * before.partial as u64,
                by_row: sums.address() + 8 * before.rows as u64,
                by_col: sums.address() + 8 * (all.rows + before.cols) as u64,
                rows: small(weight.rows),
                cols: small(weight.cols),
                stride: small(weight.stride()),
                first_row: small(before.rows),
                first_tile: small(before.tiles),
                first_strip: small(before.strips),
            };
            before.add(weight);
            leaf
        };
        let table: Vec<Leaf> = leaves.iter().map(described).collect();
        let list = self.uploaded(&table);
        let arguments = [Argument::Address(list.address()), int(table.len()), Argument::U32(score.code())];
        self.launch("reduce", "score_rows", [all.rows, 1, 1], BLOCK, &arguments);
        let with_pieces = [&arguments[..], &[int(PIECE_ROWS)]].concat();
        self.launch("reduce", "score_columns", [all.tiles, 1, 1], BLOCK, &with_pieces);
        let arguments = [arguments[0], arguments[1], int(PIECE_ROWS)];
        self.launch("reduce", "add_score_pieces", [all.strips, 1, 1], PIECE_BLOCK, &arguments);

        let sums = self.downloaded::<f64>(&sums, all.rows + all.cols);
        let (mut by_row, mut by_col) = sums.split_at(all.rows);
        let mut take = |ScoreLeaf { weight, .. }: &ScoreLeaf<'_, CudaTensor<D>>| {
            let (rows, other_rows) = by_row.split_at(weight.rows);
            let (cols, other_cols) = by_col.split_at(weight.cols);
            (by_row, by_col) = (other_rows, other_cols);
            Margins { rows: rows.to_vec(), cols: cols.to_vec() }
        };
        leaves.iter().map(&mut take).collect()
    }
}
