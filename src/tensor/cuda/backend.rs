//! The operations of [`Backend`], each a launch or a product; those that need more words stand in `attend`, `norm`, `rows`, `head`,
//! `distillation`, `optimizer` and `scores`.
use super::attention::{self, Saved};
use super::device::{Addend, Argument, Element, Multiplication, Operand};
use super::tensor::padded;
use super::{BLOCK, CudaBackend, CudaTensor, Device, DevicePast, DeviceSum, must};
use crate::tensor::{
    Accumulation, AdamwLeaf, AdamwStep, AttentionShape, Backend, CachedShape, Distillation, ElementScore,
    Margins, PackedShape, Pointwise, Product, RopeTable, SCORING_PASS_ROWS, ScoreLeaf, TeacherHead,
};

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
pub(super) fn whole<D: Device>(tensor: &CudaTensor<D>) -> Operand {
    tensor.operand(tensor.rows, tensor.cols)
}

pub(super) fn named(kernel: &str, element: Element) -> String {
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
        self.upload_rows(rows, cols, values)
    }

    fn to_host(&self, tensor: &CudaTensor<D>) -> Vec<f32> {
        self.download_rows(tensor)
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
        self.select_rows_and_columns(tensor, rows, cols)
    }

    fn add_column_sums(&self, out: &mut CudaTensor<D>, x: &CudaTensor<D>) {
        self.sum_columns(out, x);
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
        self.fold_blocks(out, x, rows, cols);
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
        self.look_up(out, table, tokens);
    }

    fn embed_backward(&self, d_table: &mut CudaTensor<D>, d_out: &CudaTensor<D>, tokens: &[u32]) {
        self.scatter(d_table, d_out, tokens);
    }

    fn rmsnorm(
        &self,
        out: &mut CudaTensor<D>,
        inv_rms: &mut CudaTensor<D>,
        x: &CudaTensor<D>,
        weight: &CudaTensor<D>,
        epsilon: f64,
    ) {
        self.normalise(out, inv_rms, x, weight, epsilon);
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
        self.normalise_backward(d_x, d_weight, d_out, x, weight, inv_rms);
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
        self.rotate(x, table, context_length, head_dim, inverse);
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
        self.attend(shape, out, log_sum_exp, q, k, v);
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
        self.attend_packed(shape, out, q, k, v);
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
        self.rotate_into_cache(past, table, head_dim, q, [k, v], [keys, values]);
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
        self.attend_cached(shape, past, out, q, keys, values);
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
