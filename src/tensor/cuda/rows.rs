//! Rows and columns that come, go, are looked up or summed.
use super::backend::{PIECE_BLOCK, PIECE_COLUMNS, at, int, named};
use super::device::{Argument, Element};
use super::tensor::padded;
use super::{BLOCK, CudaBackend, CudaTensor, Device};

/// Rows of one piece of a column sum.
const SUM_PIECE: usize = 64;
/// Places of one piece of an embedding's gradient; `PIECE` of `layout.cu`.
const SCATTER_PIECE: usize = 32;

impl<D: Device> CudaBackend<D> {
    pub(super) fn upload_rows(&self, rows: usize, cols: usize, values: &[f32]) -> CudaTensor<D> {
        assert_eq!(values.len(), rows * cols, "from_host: {rows}×{cols}");
        let stride = padded(cols);
        let mut spread = vec![0f32; padded(rows) * stride];
        if cols > 0 {
            for (to, from) in spread.chunks_exact_mut(stride).zip(values.chunks_exact(cols)) {
                to[..cols].copy_from_slice(from);
            }
        }
        CudaTensor::new(rows, cols, Element::F32, self.uploaded(&spread))
    }

    pub(super) fn download_rows(&self, tensor: &CudaTensor<D>) -> Vec<f32> {
        // Padding rows too, so that tests see every breach of the invariant.
        let count = padded(tensor.rows) * tensor.stride();
        let values: Vec<f32> = match tensor.element {
            Element::F32 => self.downloaded(&tensor.buffer, count),
            Element::Bf16 => {
                let bits: Vec<u16> = self.downloaded(&tensor.buffer, count);
                bits.into_iter().map(|bits| half::bf16::from_bits(bits).to_f32()).collect()
            }
        };
        let mut logical = Vec::with_capacity(tensor.rows * tensor.cols);
        for (r, row) in values.chunks_exact(tensor.stride().max(1)).enumerate() {
            let kept = if r < tensor.rows { tensor.cols } else { 0 };
            logical.extend_from_slice(&row[..kept]);
            debug_assert!(row[kept..].iter().all(|&x| x == 0.0), "padding of row {r} is not zero");
        }
        logical
    }

    pub(super) fn select_rows_and_columns(
        &self,
        tensor: &CudaTensor<D>,
        rows: Option<&[usize]>,
        cols: Option<&[usize]>,
    ) -> CudaTensor<D> {
        for (kept, size) in [(rows, tensor.rows), (cols, tensor.cols)] {
            assert!(kept.is_none_or(|kept| kept.iter().all(|&index| index < size)), "select beyond {size}");
        }
        let (num_rows, num_cols) =
            (rows.map_or(tensor.rows, <[_]>::len), cols.map_or(tensor.cols, <[_]>::len));
        let out = self.zeroed(num_rows, num_cols, tensor.element);
        let (rows, cols) = (rows.map(|rows| self.indices(rows)), cols.map(|cols| self.indices(cols)));
        let list = |indices: &Option<super::Buffer<D>>| {
            Argument::Address(indices.as_ref().map_or(0, super::Buffer::address))
        };
        let arguments = [
            at(&out),
            at(tensor),
            list(&rows),
            list(&cols),
            int(num_rows),
            int(num_cols),
            int(out.stride()),
            int(tensor.stride()),
        ];
        let grid = [self.blocks_for(num_rows * num_cols), 1, 1];
        self.launch("layout", &named("select", tensor.element), grid, BLOCK, &arguments);
        out
    }

    /// Not the epilogue of the weight's gradient (`BGRADB`): that overwrites the sums of the micro-batches before, and in
    /// what order it adds is not said.
    pub(super) fn sum_columns(&self, out: &mut CudaTensor<D>, x: &CudaTensor<D>) {
        assert!(out.rows == 1 && out.cols == x.cols && out.element == Element::F32, "add_column_sums");
        out.touch();
        let (pieces, stride) = (x.rows.div_ceil(SUM_PIECE), x.stride());
        let partial = self.buffer(pieces * stride * 4);
        let partial = Argument::Address(partial.address());
        let arguments = [partial, at(x), int(x.rows), int(stride), int(SUM_PIECE)];
        let grid = [(stride / 8).div_ceil(64), pieces, 1];
        self.launch("reduce", &named("sum_columns", x.element), grid, 64, &arguments);
        let arguments = [at(out), partial, int(pieces), int(x.cols), int(stride)];
        let grid = [x.cols.div_ceil(PIECE_COLUMNS), 1, 1];
        self.launch("reduce", "add_pieces_f32", grid, PIECE_BLOCK, &arguments);
    }

    pub(super) fn fold_blocks(&self, out: &mut CudaTensor<D>, x: &CudaTensor<D>, rows: usize, cols: usize) {
        assert!(out.rows * rows == x.rows && out.cols * cols == x.cols, "fold");
        assert_eq!(out.element, Element::F32, "fold");
        out.touch();
        let sizes = [int(out.rows), int(out.cols), int(rows), int(cols), int(out.stride()), int(x.stride())];
        let arguments = [&[at(out), at(x)][..], &sizes].concat();
        let grid = [self.blocks_for(out.rows * out.cols), 1, 1];
        self.launch("layout", &named("fold", x.element), grid, BLOCK, &arguments);
    }

    pub(super) fn look_up(&self, out: &mut CudaTensor<D>, table: &CudaTensor<D>, tokens: &[u32]) {
        assert!(out.cols == table.cols && out.rows == tokens.len(), "embed");
        assert!(tokens.iter().all(|&token| (token as usize) < table.rows), "a token beyond the table");
        out.touch();
        let list = self.uploaded(tokens);
        let kernel = format!("gather_rows_{}_{}", out.element.suffix(), table.element.suffix());
        let arguments =
            [at(out), at(table), Argument::Address(list.address()), int(tokens.len()), int(out.stride())];
        self.launch("layout", &kernel, [self.blocks_for(out.spread() / 8), 1, 1], BLOCK, &arguments);
    }

    pub(super) fn scatter(&self, d_table: &mut CudaTensor<D>, d_out: &CudaTensor<D>, tokens: &[u32]) {
        assert!(d_out.cols == d_table.cols && d_out.rows == tokens.len(), "embed_backward");
        assert!(tokens.iter().all(|&token| (token as usize) < d_table.rows), "a token beyond the table");
        assert_eq!(d_table.element, Element::F32);
        d_table.touch();
        let mut places: Vec<[u32; 2]> = (0..).zip(tokens).map(|(n, &token)| [token, n]).collect();
        places.sort_unstable();
        let (pieces, stride) = (places.len().div_ceil(SCATTER_PIECE), d_table.stride());
        let (list, partial) = (self.uploaded(&places), self.buffer(2 * pieces * stride * 4));
        let [list, partial] = [&list, &partial].map(|buffer| Argument::Address(buffer.address()));
        let (sizes, column_blocks) = ([int(places.len()), int(stride)], (stride / 8).div_ceil(128));
        // Launches depend on the number of tokens alone, not on which they are.
        let arguments = [&[at(d_table), partial, at(d_out), list][..], &sizes].concat();
        let kernel = named("scatter_rows", d_out.element);
        self.launch("layout", &kernel, [pieces, column_blocks, 1], 128, &arguments);
        let arguments = [&[at(d_table), partial, list][..], &sizes].concat();
        self.launch("layout", "join_pieces", [pieces.saturating_sub(1), column_blocks, 1], 128, &arguments);
    }

    /// Indices in device memory.
    fn indices(&self, indices: &[usize]) -> super::Buffer<D> {
        let words: Vec<u32> =
            indices.iter().map(|&index| u32::try_from(index).expect("an index below 2³²")).collect();
        self.uploaded(&words)
    }
}
