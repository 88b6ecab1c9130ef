//! The operations of [`Backend`], each a launch or a product.
use super::attention::{self, Saved, cached};
use super::device::{Addend, Argument, Element, Multiplication, Operand};
use super::tensor::padded;
use super::{BLOCK, CudaBackend, CudaTensor, Device, DevicePast, DeviceSum, must};
use crate::tensor::{
    Accumulation, AdamwLeaf, AdamwStep, AttentionShape, Backend, CachedShape, Distillation, ElementScore,
    Margins, PackedShape, Pointwise, Product, RopeTable, SCORING_PASS_ROWS, ScoreLeaf, TeacherHead,
};

/// Rows of one piece of RMSNorm's backward pass; `PIECE` of `norm.cu`.
const NORM_PIECE: usize = 32;
/// Rows of one piece of a column sum.
const SUM_PIECE: usize = 64;
/// Places of one piece of an embedding's gradient; `PIECE` of `layout.cu`.
const SCATTER_PIECE: usize = 32;
/// Columns and groups of a block of `add_pieces`; `COLUMNS` and `GROUPS` of `reduce.cu`.
pub(super) const PIECE_COLUMNS: usize = 32;
pub(super) const PIECE_BLOCK: u32 = 256;

pub(super) fn int(value: usize) -> Argument {
    Argument::U32(
        u32::try_from(value).ok().filter(|&value| value <= i32::MAX as u32).expect("a size below 2³¹"),
    )
}

pub(super) fn at<D: Device>(tensor: &CudaTensor<D>) -> Argument {
    Argument::Address(tensor.address())
}

pub(super) fn float(value: f64) -> Argument {
    Argument::F32(value as f32)
}

/// Asserts that both have the shape and the type of elements.
pub(super) fn alike<D: Device>(a: &CudaTensor<D>, b: &CudaTensor<D>) {
    assert!(
        (a.rows, a.cols, a.element) == (b.rows, b.cols, b.element),
        "{}×{} {:?} and {}×{} {:?}",
        a.rows,
        a.cols,
        a.element,
        b.rows,
        b.cols,
        b.element
    );
}

/// All logical rows and columns.
fn whole<D: Device>(tensor: &CudaTensor<D>) -> Operand {
    tensor.operand(tensor.rows, tensor.cols)
}

fn named(kernel: &str, element: Element) -> String {
    format!("{kernel}_{}", element.suffix())
}

impl<D: Device> CudaBackend<D> {
    /// Zeros in everything outside `rows × cols`.
    fn clear_padding(&self, tensor: &CudaTensor<D>) {
        let CudaTensor { rows, cols, element, .. } = *tensor;
        let stride = tensor.stride();
        if cols < stride {
            let arguments = [at(tensor), int(rows), int(cols), int(stride)];
            let grid = [self.blocks_for(rows * (stride - cols)), 1, 1];
            self.launch("layout", &named("clear_padding", element), grid, BLOCK, &arguments);
        }
        let used = tensor.spread() * element.bytes();
        self.zero(&tensor.buffer, used, tensor.bytes() - used);
    }

    /// `out ← addend + op(a) op(b)`
    fn product(
        &self,
        product: Product,
        out: &mut CudaTensor<D>,
        addend: Addend,
        a: &CudaTensor<D>,
        b: &CudaTensor<D>,
    ) {
        // Outputs and inner sizes are padded where they run along rows of memory, whose padding is zero in every
        // operand; the number of tokens is not.
        let (a_size, b_size, out_size) = match product {
            Product::NT => {
                assert!(a.cols == b.cols && (out.rows, out.cols) == (a.rows, b.rows), "matmul NT");
                ((a.rows, a.stride()), (padded(b.rows), b.stride()), (a.rows, out.stride()))
            }
            Product::NN => {
                assert!(a.cols == b.rows && (out.rows, out.cols) == (a.rows, b.cols), "matmul NN");
                ((a.rows, a.stride()), (padded(b.rows), b.stride()), (a.rows, out.stride()))
            }
            Product::TN => {
                assert!(a.rows == b.rows && (out.rows, out.cols) == (a.cols, b.cols), "matmul TN");
                ((a.rows, a.stride()), (b.rows, b.stride()), (padded(out.rows), out.stride()))
            }
        };
        out.touch();
        let a = self.multiplicand(a, a_size.0, a_size.1);
        let b = self.multiplicand(b, b_size.0, b_size.1);
        let out = out.operand(out_size.0, out_size.1);
        self.multiply(Multiplication { product, addend, out, a, b });
    }

    /// Indices in device memory.
    fn indices(&self, indices: &[usize]) -> super::Buffer<D> {
        let words: Vec<u32> =
            indices.iter().map(|&index| u32::try_from(index).expect("an index below 2³²")).collect();
        self.uploaded(&words)
    }
}

impl<D: Device> Backend for CudaBackend<D> {
    type Scalar = f32;
    type Tensor = CudaTensor<D>;
    type Sum = DeviceSum<D>;
    type Past = DevicePast<D>;

    fn read_sum(&self, sum: &DeviceSum<D>) -> f64 {
        self.downloaded::<f64>(&sum.0, 1)[0]
    }

    fn device_name(&self) -> Option<String> {
        Some(self.device().name())
    }

    fn device_peak_bytes(&self) -> Option<u64> {
        Some(self.peak_bytes() as u64)
    }

    fn zeros(&self, rows: usize, cols: usize) -> CudaTensor<D> {
        self.zeroed(rows, cols, Element::F32)
    }

    fn activation(&self, rows: usize, cols: usize) -> CudaTensor<D> {
        self.zeroed(rows, cols, self.activation_element())
    }

    fn from_host(&self, rows: usize, cols: usize, values: &[f32]) -> CudaTensor<D> {
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

    fn to_host(&self, tensor: &CudaTensor<D>) -> Vec<f32> {
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

    fn shape(&self, tensor: &CudaTensor<D>) -> [usize; 2] {
        [tensor.rows, tensor.cols]
    }

    fn reshape(&self, tensor: &mut CudaTensor<D>, rows: usize, cols: usize) {
        if (tensor.rows, tensor.cols) == (rows, cols) {
            return;
        }
        (tensor.rows, tensor.cols) = (rows, cols);
        tensor.touch();
        if tensor.bytes() > tensor.buffer.size() {
            tensor.buffer = self.buffer(tensor.bytes());
        }
        self.clear_padding(tensor);
    }

    fn fill_zero(&self, tensor: &mut CudaTensor<D>) {
        tensor.touch();
        self.zero(&tensor.buffer, 0, tensor.bytes());
    }

    fn copy(&self, out: &mut CudaTensor<D>, from: &CudaTensor<D>) {
        assert!((out.rows, out.cols) == (from.rows, from.cols), "copy");
        out.touch();
        if from.rows == 0 || from.cols == 0 {
            return;
        }
        if out.element == from.element {
            // SAFETY: two live buffers of the same padded shape; `out` is borrowed mutably, so they are not the same.
            must(unsafe { self.device().copy(out.address(), from.address(), from.bytes()) });
        } else {
            let kernel = format!("convert_{}_{}", out.element.suffix(), from.element.suffix());
            self.each(&kernel, from.spread(), &[at(out), at(from)]);
        }
    }

    fn accumulate(&self, alpha: f64, beta: f64, leaves: &mut [Accumulation<'_, CudaTensor<D>>]) {
        self.accumulate_leaves(alpha, beta, leaves);
    }

    fn sum_of_squares(&self, tensor: &CudaTensor<D>) -> f64 {
        self.read_sum(&self.squared_norm(&[tensor]))
    }

    fn select(
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
    fn add_column_sums(&self, out: &mut CudaTensor<D>, x: &CudaTensor<D>) {
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

    fn pointwise(
        &self,
        operation: Pointwise,
        out: &mut CudaTensor<D>,
        a: &CudaTensor<D>,
        b: Option<&CudaTensor<D>>,
    ) {
        assert!((out.rows, out.cols) == (a.rows, a.cols), "pointwise");
        assert!(b.is_some() || operation != Pointwise::Product, "a product has two factors");
        b.iter().for_each(|b| alike(a, b));
        out.touch();
        let kernel = format!("pointwise_{}_{}", out.element.suffix(), a.element.suffix());
        let second = Argument::Address(b.map_or(0, CudaTensor::address));
        let arguments = [at(out), at(a), second, Argument::U32(operation as u32)];
        self.each(&kernel, a.spread(), &arguments);
    }

    fn fold(&self, out: &mut CudaTensor<D>, x: &CudaTensor<D>, rows: usize, cols: usize) {
        assert!(out.rows * rows == x.rows && out.cols * cols == x.cols, "fold");
        assert_eq!(out.element, Element::F32, "fold");
        out.touch();
        let sizes = [int(out.rows), int(out.cols), int(rows), int(cols), int(out.stride()), int(x.stride())];
        let arguments = [&[at(out), at(x)][..], &sizes].concat();
        let grid = [self.blocks_for(out.rows * out.cols), 1, 1];
        self.launch("layout", &named("fold", x.element), grid, BLOCK, &arguments);
    }

    fn score_margins(&self, score: ElementScore, leaves: &[ScoreLeaf<'_, CudaTensor<D>>]) -> Vec<Margins> {
        self.margins(score, leaves)
    }

    fn matmul(
        &self,
        product: Product,
        out: &mut CudaTensor<D>,
        accumulate: bool,
        a: &CudaTensor<D>,
        b: &CudaTensor<D>,
    ) {
        self.product(product, out, if accumulate { Addend::Out } else { Addend::Nothing }, a, b);
    }

    fn linear(
        &self,
        out: &mut CudaTensor<D>,
        x: &CudaTensor<D>,
        weight: &CudaTensor<D>,
        bias: Option<&CudaTensor<D>>,
    ) {
        let addend = bias.map_or(Addend::Nothing, |bias| {
            assert!(bias.rows == 1 && bias.cols == out.cols, "a bias of {} for {}", bias.cols, out.cols);
            // cuBLASLt reads it in the type of the output.
            let row = if bias.element == out.element {
                whole(bias)
            } else {
                self.multiplicand(bias, bias.rows, bias.cols)
            };
            assert_eq!(row.element, out.element);
            Addend::Row(row.address)
        });
        self.product(Product::NT, out, addend, x, weight);
    }

    fn residual_linear(
        &self,
        out: &mut CudaTensor<D>,
        residual: &CudaTensor<D>,
        x: &CudaTensor<D>,
        weight: &CudaTensor<D>,
    ) {
        alike(out, residual);
        self.product(Product::NT, out, Addend::Matrix(residual.address()), x, weight);
    }

    /// cuBLASLt chooses its tiles and splits by the number of rows: in f32 on an H200, 256 rows of a product had other bits
    /// than the same rows among 512. So every pass that several items may share has the same number of rows.
    fn independent_rows(&self, rows: usize, _: usize) -> usize {
        rows.next_multiple_of(SCORING_PASS_ROWS)
    }

    fn embed(&self, out: &mut CudaTensor<D>, table: &CudaTensor<D>, tokens: &[u32]) {
        assert!(out.cols == table.cols && out.rows == tokens.len(), "embed");
        assert!(tokens.iter().all(|&token| (token as usize) < table.rows), "a token beyond the table");
        out.touch();
        let list = self.uploaded(tokens);
        let kernel = format!("gather_rows_{}_{}", out.element.suffix(), table.element.suffix());
        let arguments =
            [at(out), at(table), Argument::Address(list.address()), int(tokens.len()), int(out.stride())];
        self.launch("layout", &kernel, [self.blocks_for(out.spread() / 8), 1, 1], BLOCK, &arguments);
    }

    fn embed_backward(&self, d_table: &mut CudaTensor<D>, d_out: &CudaTensor<D>, tokens: &[u32]) {
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

    fn rmsnorm(
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

    fn rmsnorm_backward(
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

    fn rope_table(&self, context_length: usize, head_dim: usize, theta: f64) -> RopeTable<CudaTensor<D>> {
        let table = crate::tensor::CpuBackend::<f32>::new().rope_table(context_length, head_dim, theta);
        let upload = |m: &crate::tensor::Matrix<f32>| self.from_host(m.rows, m.cols, &m.data);
        RopeTable { cos: upload(&table.cos), sin: upload(&table.sin) }
    }

    fn rope(
        &self,
        x: &mut CudaTensor<D>,
        table: &RopeTable<CudaTensor<D>>,
        context_length: usize,
        head_dim: usize,
        inverse: bool,
    ) {
        let half = head_dim / 2;
        assert!(x.cols.is_multiple_of(head_dim) && table.cos.cols == half && table.sin.cols == half);
        assert!(table.cos.rows >= context_length && table.sin.rows >= context_length, "rope");
        x.touch();
        let heads = x.cols / head_dim;
        let items = x.rows * heads * if half.is_multiple_of(8) { half / 8 } else { half };
        let arguments = [
            at(x),
            at(&table.cos),
            at(&table.sin),
            int(x.rows),
            int(heads),
            int(head_dim),
            int(x.stride()),
            int(table.cos.stride()),
            int(context_length),
            float(if inverse { -1.0 } else { 1.0 }),
        ];
        self.launch("rope", &named("rope", x.element), [self.blocks_for(items), 1, 1], BLOCK, &arguments);
    }

    fn attention(
        &self,
        shape: AttentionShape,
        out: &mut CudaTensor<D>,
        log_sum_exp: &mut CudaTensor<D>,
        q: &CudaTensor<D>,
        k: &CudaTensor<D>,
        v: &CudaTensor<D>,
    ) {
        out.touch();
        log_sum_exp.touch();
        let (out, log_sum_exp) = (whole(out), whole(log_sum_exp));
        let inputs = [q, k, v].map(whole);
        // SAFETY: live tensors, outputs borrowed mutably.
        must(unsafe { attention::forward(self.device(), shape, [&out, &log_sum_exp], inputs.each_ref()) });
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        d_q: &mut CudaTensor<D>,
        d_k: &mut CudaTensor<D>,
        d_v: &mut CudaTensor<D>,
        d_out: &CudaTensor<D>,
        out: &CudaTensor<D>,
        log_sum_exp: &CudaTensor<D>,
        q: &CudaTensor<D>,
        k: &CudaTensor<D>,
        v: &CudaTensor<D>,
    ) {
        for tensor in [&mut *d_q, &mut *d_k, &mut *d_v] {
            tensor.touch();
        }
        let gradients = [&*d_q, &*d_k, &*d_v].map(whole);
        let [d_out, out, log_sum_exp] = [d_out, out, log_sum_exp].map(whole);
        let [q, k, v] = [q, k, v].map(whole);
        let saved = Saved { d_out: &d_out, out: &out, log_sum_exp: &log_sum_exp, q: &q, k: &k, v: &v };
        let statistics = self.buffer(attention::statistics_bytes(shape));
        // SAFETY: live tensors, outputs borrowed mutably; the scratch memory has the size asked for.
        must(unsafe {
            attention::backward(self.device(), shape, gradients.each_ref(), &saved, statistics.address())
        });
    }

    fn packed_attention(
        &self,
        shape: PackedShape,
        out: &mut CudaTensor<D>,
        q: &CudaTensor<D>,
        k: &CudaTensor<D>,
        v: &CudaTensor<D>,
    ) {
        out.touch();
        let spans = attention::packed_spans(shape, q.element);
        let (table, heads) = (self.table(&spans), [shape.num_heads, shape.num_kv_heads, shape.head_dim]);
        assert!(q.rows == shape.tokens(), "{} rows for {shape:?}", q.rows);
        let (out, inputs) = (whole(out), [q, k, v].map(whole));
        // SAFETY: live tensors, the output borrowed mutably; the spans name rows below the number asserted.
        must(unsafe {
            attention::of_spans(self.device(), heads, &out, inputs.each_ref(), &spans, table.address())
        });
    }

    fn past(&self, tokens: usize) -> DevicePast<D> {
        let number = u32::try_from(tokens).expect("a cache of fewer than 2³² tokens");
        DevicePast { tokens, on_device: self.uploaded(&[number]) }
    }

    fn extend_cache(
        &self,
        past: &DevicePast<D>,
        table: &RopeTable<CudaTensor<D>>,
        head_dim: usize,
        q: &mut CudaTensor<D>,
        [k, v]: [&CudaTensor<D>; 2],
        [keys, values]: [&mut CudaTensor<D>; 2],
    ) {
        let (half, rows, end) = (head_dim / 2, q.rows, past.tokens + q.rows);
        alike(k, v);
        alike(keys, values);
        assert!((k.rows, k.element) == (rows, q.element), "{} keys for {rows} queries", k.rows);
        assert!(
            (keys.cols, keys.element) == (k.cols, k.element) && end <= keys.rows,
            "{end} of {}",
            keys.rows
        );
        assert!(head_dim.is_multiple_of(2) && [q, k].iter().all(|x| x.cols.is_multiple_of(head_dim)));
        for angles in [&table.cos, &table.sin] {
            assert!(angles.cols == half && end <= angles.rows, "{end} positions of {}", angles.rows);
        }
        for written in [&mut *q, &mut *keys, &mut *values] {
            written.touch();
        }
        let (heads, kv_heads) = (q.cols / head_dim, k.cols / head_dim);
        let items = rows * (heads + 2 * kv_heads) * if half.is_multiple_of(8) { half / 8 } else { half };
        let arguments = [
            at(q),
            at(k),
            at(v),
            at(keys),
            at(values),
            at(&table.cos),
            at(&table.sin),
            past.argument(),
            int(rows),
            int(heads),
            int(kv_heads),
            int(head_dim),
            int(q.stride()),
            int(k.stride()),
            int(table.cos.stride()),
        ];
        let kernel = named("extend_cache", q.element);
        self.launch("rope", &kernel, [self.blocks_for(items), 1, 1], BLOCK, &arguments);
    }

    fn cached_attention(
        &self,
        shape: CachedShape,
        past: &DevicePast<D>,
        out: &mut CudaTensor<D>,
        q: &CudaTensor<D>,
        keys: &CudaTensor<D>,
        values: &CudaTensor<D>,
    ) {
        let CachedShape { queries, num_heads, num_kv_heads, head_dim } = shape;
        let seen = past.tokens + queries;
        assert!(q.rows == queries && keys.rows >= seen, "{} keys of {seen} for {shape:?}", keys.rows);
        out.touch();
        let (out, inputs) = (whole(out), [q, keys, values].map(whole));
        let (device, inputs) = (self.device(), inputs.each_ref());
        if cached::are_few(queries) {
            let scratch = self.buffer(cached::scratch_bytes(shape, past.tokens));
            let addresses = [past.on_device.address(), scratch.address()];
            // SAFETY: live tensors, the output borrowed mutably; the number on the device is `past.tokens`, and the
            // scratch memory has the size asked for.
            must(unsafe { cached::few(device, shape, past.tokens, addresses, &out, inputs) });
        } else {
            let spans = cached::spans(shape, past.tokens, q.element);
            let (table, heads) = (self.table(&spans), [num_heads, num_kv_heads, head_dim]);
            // SAFETY: live tensors, the output borrowed mutably; the spans name queries and keys below those asserted.
            must(unsafe { attention::of_spans(device, heads, &out, inputs, &spans, table.address()) });
        }
    }

    fn swiglu(&self, out: &mut CudaTensor<D>, gate: &CudaTensor<D>, up: &CudaTensor<D>) {
        alike(out, gate);
        alike(gate, up);
        out.touch();
        self.each(&named("swiglu", out.element), out.spread(), &[at(out), at(gate), at(up)]);
    }

    fn swiglu_backward(&self, gate: &mut CudaTensor<D>, up: &mut CudaTensor<D>, d_out: &CudaTensor<D>) {
        alike(gate, up);
        alike(gate, d_out);
        gate.touch();
        up.touch();
        let kernel = named("swiglu_backward", gate.element);
        self.each(&kernel, gate.spread(), &[at(gate), at(up), at(d_out)]);
    }

    fn head_cross_entropy(
        &self,
        d_hidden: &mut CudaTensor<D>,
        d_head: &mut CudaTensor<D>,
        hidden: &CudaTensor<D>,
        head: &CudaTensor<D>,
        targets: &[u32],
        scale: f64,
    ) -> DeviceSum<D> {
        self.loss_and_gradients(d_hidden, d_head, hidden, head, Some(targets), scale)
    }

    fn head_squared_gradients(
        &self,
        out: &mut CudaTensor<D>,
        hidden: &CudaTensor<D>,
        head: &CudaTensor<D>,
        targets: &[u32],
        scale: f64,
    ) {
        self.squared_gradients(out, hidden, head, targets, scale);
    }

    fn head_entropy(
        &self,
        d_hidden: &mut CudaTensor<D>,
        d_head: &mut CudaTensor<D>,
        hidden: &CudaTensor<D>,
        head: &CudaTensor<D>,
        scale: f64,
    ) -> DeviceSum<D> {
        self.loss_and_gradients(d_hidden, d_head, hidden, head, None, scale)
    }

    fn head_distillation(
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
        self.distillation(d_hidden, d_head, hidden, head, teacher, targets, scale, of)
    }

    fn head_log_probabilities(
        &self,
        hidden: &CudaTensor<D>,
        head: &CudaTensor<D>,
        targets: &[u32],
    ) -> Vec<f64> {
        self.log_probabilities(hidden, head, targets)
    }

    fn adamw(
        &self,
        step: AdamwStep,
        weight: &mut CudaTensor<D>,
        grad: &CudaTensor<D>,
        m: &mut CudaTensor<D>,
        v: &mut CudaTensor<D>,
    ) {
        self.adamw_leaves(step, None, &mut [AdamwLeaf { weight, grad, m, v, decays: true }]);
    }

    fn clipped_adamw(
        &self,
        step: AdamwStep,
        clip_norm: f64,
        leaves: &mut [AdamwLeaf<'_, CudaTensor<D>>],
    ) -> DeviceSum<D> {
        let grads: Vec<_> = leaves.iter().map(|leaf| leaf.grad).collect();
        let norm = self.squared_norm(&grads);
        self.adamw_leaves(step, Some((&norm, clip_norm)), leaves);
        norm
    }
}
