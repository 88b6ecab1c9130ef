//! A backend that passes everything on and notes how long each part of a step takes.
use efficientllm::tensor::{
    Accumulation, AdamwLeaf, AdamwStep, AttentionShape, Backend, CachedShape, Distillation, ElementScore,
    Held, Margins, Norm, PackedShape, Pointwise, Positions, Product, RopeTable, ScoreLeaf, TeacherHead,
};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Part of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Products,
    Attention,
    Head,
    ElementWise,
    Optimiser,
    Statistics,
}

impl Part {
    pub fn name(self) -> &'static str {
        match self {
            Part::Products => "products of layers, with RoPE, SwiGLU and the norms that follow",
            Part::Attention => "attention",
            Part::Head => "head and cross-entropy",
            Part::ElementWise => "other norms, embedding",
            Part::Optimiser => "clipping and AdamW",
            Part::Statistics => "zeroing and statistics",
        }
    }
}

/// What was noted of one part.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    pub time: Duration,
    pub flops: f64,
}

/// `B`, timed.
pub struct Timed<B> {
    inner: B,
    spent: Mutex<BTreeMap<Part, Spent>>,
}

impl<B: Backend> Timed<B> {
    pub fn new(inner: B) -> Self {
        Timed { inner, spent: Mutex::default() }
    }

    /// What was noted since the last call.
    pub fn take(&self) -> BTreeMap<Part, Spent> {
        std::mem::take(&mut self.spent.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note<R>(&self, part: Part, flops: f64, work: impl FnOnce(&B) -> R) -> R {
        let started = Instant::now();
        let result = work(&self.inner);
        let time = started.elapsed();
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = spent.entry(part).or_default();
        entry.time += time;
        entry.flops += flops;
        result
    }

    /// FLOPs of a product with `out` elements in the output.
    fn product_flops(&self, out: &B::Tensor, k: usize) -> f64 {
        let [rows, cols] = self.inner.shape(out);
        2.0 * (rows * cols * k) as f64
    }

    /// FLOPs of one product of attention, its masked half left out.
    fn attention_flops(shape: AttentionShape) -> f64 {
        let AttentionShape { sequences, context_length: t, num_heads, head_dim, .. } = shape;
        (sequences * num_heads * t * (t + 1) * head_dim) as f64
    }
}

/// Methods that only pass on.
macro_rules! pass_on {
    ($(fn $name:ident(&self $(, $arg:ident: $ty:ty)*) $(-> $ret:ty)?;)*) => {
        $(fn $name(&self $(, $arg: $ty)*) $(-> $ret)? { self.inner.$name($($arg),*) })*
    };
}

/// Methods that are timed as a part.
macro_rules! timed {
    ($($part:ident: fn $name:ident(&self $(, $arg:ident: $ty:ty)*) $(-> $ret:ty)?;)*) => {
        $(#[allow(clippy::too_many_arguments)]
        fn $name(&self $(, $arg: $ty)*) $(-> $ret)? { self.note(Part::$part, 0.0, |inner| inner.$name($($arg),*)) })*
    };
}

impl<B: Backend> Backend for Timed<B> {
    type Scalar = B::Scalar;
    type Tensor = B::Tensor;
    type Sum = B::Sum;
    type Past = B::Past;

    pass_on! {
        fn read_sum(&self, sum: &B::Sum) -> f64;
        fn device_name(&self) -> Option<String>;
        fn device_peak_bytes(&self) -> Option<u64>;
        fn zeros(&self, rows: usize, cols: usize) -> B::Tensor;
        fn activation(&self, rows: usize, cols: usize) -> B::Tensor;
        fn from_host(&self, rows: usize, cols: usize, values: &[B::Scalar]) -> B::Tensor;
        fn to_host(&self, tensor: &B::Tensor) -> Vec<B::Scalar>;
        fn shape(&self, tensor: &B::Tensor) -> [usize; 2];
        fn reshape(&self, tensor: &mut B::Tensor, rows: usize, cols: usize);
        fn select(&self, tensor: &B::Tensor, rows: Option<&[usize]>, cols: Option<&[usize]>) -> B::Tensor;
        fn independent_rows(&self, rows: usize, cols: usize) -> usize;
        fn rope_table(&self, context_length: usize, head_dim: usize, theta: f64) -> RopeTable<B::Tensor>;
        fn past(&self, tokens: usize) -> B::Past;
    }

    fn hold<'w>(&self, leaves: &[&'w B::Tensor]) -> Held<'w> {
        self.inner.hold(leaves)
    }

    timed! {
        Statistics: fn fill_zero(&self, tensor: &mut B::Tensor);
        Statistics: fn pointwise(
            &self, operation: Pointwise, out: &mut B::Tensor, a: &B::Tensor, b: Option<&B::Tensor>
        );
        Statistics: fn fold(&self, out: &mut B::Tensor, x: &B::Tensor, rows: usize, cols: usize);
        Statistics: fn head_squared_gradients(
            &self, out: &mut B::Tensor, hidden: &B::Tensor, head: &B::Tensor, targets: &[u32], scale: f64
        );
        Head: fn head_distillation(
            &self, d_hidden: &mut B::Tensor, d_head: &mut B::Tensor, hidden: &B::Tensor, head: &B::Tensor,
            teacher: TeacherHead<'_, B::Tensor>, targets: &[u32], scale: f64, of: Distillation
        ) -> B::Sum;
        Statistics: fn head_entropy(
            &self, d_hidden: &mut B::Tensor, d_head: &mut B::Tensor, hidden: &B::Tensor, head: &B::Tensor, scale: f64
        ) -> B::Sum;
        ElementWise: fn copy(&self, out: &mut B::Tensor, from: &B::Tensor);
        Statistics: fn accumulate(&self, alpha: f64, beta: f64, leaves: &mut [Accumulation<'_, B::Tensor>]);
        Optimiser: fn sum_of_squares(&self, tensor: &B::Tensor) -> f64;
        ElementWise: fn add_column_sums(&self, out: &mut B::Tensor, x: &B::Tensor);
        Statistics: fn score_margins(&self, score: ElementScore, leaves: &[ScoreLeaf<'_, B::Tensor>]) -> Vec<Margins>;
        ElementWise: fn embed(&self, out: &mut B::Tensor, table: &B::Tensor, tokens: &[u32]);
        ElementWise: fn embed_backward(&self, d_table: &mut B::Tensor, d_out: &B::Tensor, tokens: &[u32]);
        ElementWise: fn rmsnorm(
            &self, out: &mut B::Tensor, inv_rms: &mut B::Tensor, x: &B::Tensor, weight: &B::Tensor, epsilon: f64
        );
        ElementWise: fn rmsnorm_backward(
            &self, d_x: &mut B::Tensor, d_weight: &mut B::Tensor, d_out: &B::Tensor, x: &B::Tensor,
            weight: &B::Tensor, inv_rms: &B::Tensor
        );
        ElementWise: fn rope(
            &self, x: &mut B::Tensor, table: &RopeTable<B::Tensor>, context_length: usize, head_dim: usize, inverse: bool
        );
        Attention: fn packed_attention(
            &self, shape: PackedShape<'_>, out: &mut B::Tensor, q: &B::Tensor, k: &B::Tensor, v: &B::Tensor
        );
        Attention: fn extend_cache(
            &self, past: &B::Past, table: &RopeTable<B::Tensor>, head_dim: usize, q: &mut B::Tensor,
            k_and_v: [&B::Tensor; 2], keys_and_values: [&mut B::Tensor; 2]
        );
        Attention: fn cached_attention(
            &self, shape: CachedShape, past: &B::Past, out: &mut B::Tensor, q: &B::Tensor, keys: &B::Tensor,
            values: &B::Tensor
        );
        ElementWise: fn swiglu(&self, out: &mut B::Tensor, gate: &B::Tensor, up: &B::Tensor);
        ElementWise: fn swiglu_backward(&self, gate: &mut B::Tensor, up: &mut B::Tensor, d_out: &B::Tensor);
        Head: fn head_log_probabilities(&self, hidden: &B::Tensor, head: &B::Tensor, targets: &[u32]) -> Vec<f64>;
        Optimiser: fn adamw(
            &self, step: AdamwStep, weight: &mut B::Tensor, grad: &B::Tensor, m: &mut B::Tensor, v: &mut B::Tensor
        );
        Optimiser: fn clipped_adamw(
            &self, step: AdamwStep, clip_norm: f64, leaves: &mut [AdamwLeaf<'_, B::Tensor>]
        ) -> B::Sum;
    }

    fn matmul(&self, product: Product, out: &mut B::Tensor, accumulate: bool, a: &B::Tensor, b: &B::Tensor) {
        let [rows, cols] = self.inner.shape(a);
        let k = if product == Product::TN { rows } else { cols };
        let flops = self.product_flops(out, k);
        self.note(Part::Products, flops, |inner| inner.matmul(product, out, accumulate, a, b));
    }

    fn linear(&self, out: &mut B::Tensor, x: &B::Tensor, weight: &B::Tensor, bias: Option<&B::Tensor>) {
        let flops = self.product_flops(out, self.inner.shape(x)[1]);
        self.note(Part::Products, flops, |inner| inner.linear(out, x, weight, bias));
    }

    fn residual_linear(&self, out: &mut B::Tensor, residual: &B::Tensor, x: &B::Tensor, weight: &B::Tensor) {
        let flops = self.product_flops(out, self.inner.shape(x)[1]);
        self.note(Part::Products, flops, |inner| inner.residual_linear(out, residual, x, weight));
    }

    fn attention_inputs(
        &self,
        parts: [&mut B::Tensor; 3],
        x: &B::Tensor,
        weights: [&B::Tensor; 3],
        positions: Positions<'_, B::Tensor>,
    ) {
        let flops = parts.iter().map(|part| self.product_flops(part, self.inner.shape(x)[1])).sum();
        self.note(Part::Products, flops, |inner| inner.attention_inputs(parts, x, weights, positions));
    }

    fn attention_inputs_backward(
        &self,
        d_x: &mut B::Tensor,
        parts: [&mut B::Tensor; 3],
        weights: [&B::Tensor; 3],
        positions: Positions<'_, B::Tensor>,
    ) {
        let flops = parts.iter().map(|part| self.product_flops(part, self.inner.shape(d_x)[1])).sum();
        self.note(Part::Products, flops, |inner| {
            inner.attention_inputs_backward(d_x, parts, weights, positions);
        });
    }

    fn feed_forward(
        &self,
        out: &mut B::Tensor,
        residual: Option<&B::Tensor>,
        x: &B::Tensor,
        between: [&mut B::Tensor; 3],
        weights: [&B::Tensor; 3],
        norm: Option<Norm<'_, B::Tensor>>,
    ) {
        let flops = 3.0 * self.product_flops(between[0], self.inner.shape(x)[1]);
        self.note(Part::Products, flops, |inner| {
            inner.feed_forward(out, residual, x, between, weights, norm)
        });
    }

    fn residual_norm(
        &self,
        out: &mut B::Tensor,
        residual: Option<&B::Tensor>,
        x: &B::Tensor,
        weight: &B::Tensor,
        norm: Norm<'_, B::Tensor>,
    ) {
        let flops = self.product_flops(out, self.inner.shape(x)[1]);
        self.note(Part::Products, flops, |inner| inner.residual_norm(out, residual, x, weight, norm));
    }

    fn feed_forward_backward(
        &self,
        d_x: &mut B::Tensor,
        (d_hidden, is_kept): (&mut B::Tensor, bool),
        between: [&mut B::Tensor; 2],
        d_out: &B::Tensor,
        weights: [&B::Tensor; 3],
    ) {
        let flops = 3.0 * self.product_flops(d_hidden, self.inner.shape(d_out)[1]);
        self.note(Part::Products, flops, |inner| {
            inner.feed_forward_backward(d_x, (d_hidden, is_kept), between, d_out, weights);
        });
    }

    fn attention(
        &self,
        shape: AttentionShape,
        out: &mut B::Tensor,
        log_sum_exp: &mut B::Tensor,
        q: &B::Tensor,
        k: &B::Tensor,
        v: &B::Tensor,
    ) {
        let flops = 2.0 * Self::attention_flops(shape);
        self.note(Part::Attention, flops, |inner| inner.attention(shape, out, log_sum_exp, q, k, v));
    }

    fn attention_backward(
        &self,
        shape: AttentionShape,
        d_q: &mut B::Tensor,
        d_k: &mut B::Tensor,
        d_v: &mut B::Tensor,
        d_out: &B::Tensor,
        out: &B::Tensor,
        log_sum_exp: &B::Tensor,
        q: &B::Tensor,
        k: &B::Tensor,
        v: &B::Tensor,
    ) {
        let flops = 5.0 * Self::attention_flops(shape);
        self.note(Part::Attention, flops, |inner| {
            inner.attention_backward(shape, d_q, d_k, d_v, d_out, out, log_sum_exp, q, k, v);
        });
    }

    fn head_cross_entropy(
        &self,
        d_hidden: &mut B::Tensor,
        d_head: &mut B::Tensor,
        hidden: &B::Tensor,
        head: &B::Tensor,
        targets: &[u32],
        scale: f64,
    ) -> B::Sum {
        let [vocab, d] = self.inner.shape(head);
        let flops = 6.0 * (vocab * d * targets.len()) as f64;
        self.note(Part::Head, flops, |inner| {
            inner.head_cross_entropy(d_hidden, d_head, hidden, head, targets, scale)
        })
    }
}
