//! The `Backend` trait: the operations from which model, pruning and training are written once.
//!
//! The operations are the fused ones of a Llama training step rather than a general tensor algebra: the
//! backward pass is explicit (no tape), so that saliency and layerwise statistics are taps on values that
//! exist anyway, and every engine implements one short list that tests compare one by one.

use super::by_parts::{
    attention_inputs_backward_by_parts, attention_inputs_by_parts, feed_forward_backward_by_parts,
    feed_forward_by_parts, residual_norm_by_parts,
};
use super::distillation::{Distillation, TeacherHead};
use std::any::Any;
use std::marker::PhantomData;
use std::ops::Range;

/// Element type of host buffers: f32 for work, f64 for finite-difference checks.
pub trait Scalar: Copy + Send + Sync + 'static + PartialOrd + Default + std::fmt::Debug {
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
}

impl Scalar for f32 {
    fn from_f64(value: f64) -> Self {
        value as f32
    }
    fn to_f64(self) -> f64 {
        self as f64
    }
}

impl Scalar for f64 {
    fn from_f64(value: f64) -> Self {
        value
    }
    fn to_f64(self) -> f64 {
        self
    }
}

pub use crate::base::element_score::ElementScore;

/// What [`Backend::pointwise`] makes of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pointwise {
    /// `a²`
    Square,
    /// `|a|`
    Magnitude,
    /// `√a`
    Root,
    /// `a·b`
    Product,
}

/// Which operand of a product is transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Product {
    /// `C = A Bᵀ`: the forward product of a linear layer, y = x Wᵀ.
    NT,
    /// `C = A B`: gradient of its input, dx = dy W.
    NN,
    /// `C = Aᵀ B`: gradient of its weight, dW = dyᵀ x.
    TN,
}

/// Head layout of one attention layer over `sequences` sequences of `context_length` tokens each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttentionShape {
    /// B
    pub sequences: usize,
    /// T
    pub context_length: usize,
    /// H
    pub num_heads: usize,
    /// K, a divisor of H
    pub num_kv_heads: usize,
    /// h
    pub head_dim: usize,
}

/// Neighbouring rows of a packed batch: a token sees the rows `seen` whole, and the segment's own up to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedSegment {
    pub rows: Range<usize>,
    /// Rows of one earlier segment, which itself sees none; empty where the segment continues nothing
    pub seen: Range<usize>,
}

/// Head layout of attention over a packed batch: sequences that begin alike are a segment that all of them see and a
/// tail each; many such groups stand one after the other, and nothing is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedShape<'a> {
    /// In the order of their rows, all of which they cover
    pub segments: &'a [PackedSegment],
    /// H
    pub num_heads: usize,
    /// K, a divisor of H
    pub num_kv_heads: usize,
    /// h
    pub head_dim: usize,
}

impl PackedShape<'_> {
    /// N: rows of all segments.
    pub fn tokens(&self) -> usize {
        self.segments.last().map_or(0, |last| last.rows.end)
    }
}

/// Head layout of attention of `queries` new tokens over a cache of the tokens before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedShape {
    /// Q: new tokens, whose keys and values are in the cache already
    pub queries: usize,
    /// H
    pub num_heads: usize,
    /// K, a divisor of H
    pub num_kv_heads: usize,
    /// h
    pub head_dim: usize,
}

/// Cosines and sines of rotary position embedding, `T × h/2` each: angle(t, p) = t · θ^(−2p/h).
#[derive(Clone, Debug)]
pub struct RopeTable<T> {
    pub cos: T,
    pub sin: T,
}

/// The RMSNorm that reads what a method has written: see [`Backend::rmsnorm`].
#[derive(Debug)]
pub struct Norm<'a, T> {
    pub out: &'a mut T,
    pub inv_rms: &'a mut T,
    pub weight: &'a T,
    pub epsilon: f64,
}

/// Which angle of a table each row of q or k turns by: row n stands at position n mod T of its sequence.
#[derive(Debug)]
pub struct Positions<'a, T> {
    pub table: &'a RopeTable<T>,
    /// T
    pub context_length: usize,
    /// h
    pub head_dim: usize,
}

// A reference and two numbers, whatever a tensor is.
impl<T> Clone for Positions<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Positions<'_, T> {}

/// Coefficients of one AdamW step (Loshchilov & Hutter 2019, arXiv:1711.05101), bias corrections included:
///
/// ```text
/// g ← scale·g;  m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²
/// w ← w − η·λ·w − η · (m/c₁) / (√(v/c₂) + ε),   cᵢ = 1 − βᵢᵗ
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AdamwStep {
    /// η
    pub learning_rate: f64,
    /// λ, already zero for tensors that do not decay
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    /// c₁
    pub bias_correction1: f64,
    /// c₂
    pub bias_correction2: f64,
    /// Factor on the gradient: 1, or less when clipped.
    pub gradient_scale: f64,
}

/// One tensor of an AdamW step over a whole model.
pub struct AdamwLeaf<'a, T> {
    pub weight: &'a mut T,
    pub grad: &'a T,
    pub m: &'a mut T,
    pub v: &'a mut T,
    /// Whether weight decay applies to it.
    pub decays: bool,
}

/// One tensor of [`Backend::accumulate`].
pub struct Accumulation<'a, T> {
    pub x: &'a T,
    pub sum: &'a mut T,
    pub squares: Option<&'a mut T>,
}

/// One tensor of [`Backend::retain_all`], and what of it is kept: ascending indices, `None` all.
pub struct Retained<'a, T> {
    pub tensor: &'a mut T,
    pub rows: Option<&'a [usize]>,
    pub cols: Option<&'a [usize]>,
}

/// One tensor of [`Backend::score_margins`].
pub struct ScoreLeaf<'a, T> {
    pub weight: &'a T,
    /// g, or what stands for it: [`ElementScore::reads_gradient`].
    pub grad: Option<&'a T>,
    /// F, or what stands for it: [`ElementScore::reads_fisher`].
    pub fisher: Option<&'a T>,
}

/// Sums of a per-parameter score over each row and over each column of one tensor.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Margins {
    pub rows: Vec<f64>,
    pub cols: Vec<f64>,
}

/// Rows (tokens) of a scoring pass, unless one item has more: enough for wide matrix products, few enough to stay near the
/// cores. Also the one number of rows that products of such passes have on a device whose library chooses how to sum by it.
pub const SCORING_PASS_ROWS: usize = 512;

/// Tensors that stay as they are as long as this is there, so that a backend may keep them in another form.
#[must_use]
pub struct Held<'w> {
    _kept: Option<Box<dyn Any + Send>>,
    tensors: PhantomData<&'w ()>,
}

impl<'w> Held<'w> {
    /// `kept` is dropped with it.
    pub fn new(kept: Option<Box<dyn Any + Send>>) -> Self {
        Held { _kept: kept, tensors: PhantomData }
    }
}

/// Operations on dense row-major matrices of one device.
///
/// All shapes are `(rows, cols)`. Methods panic on mismatched shapes: a shape error is a defect of this
/// crate, never of a user's input, which is checked before it reaches the engine. Results do not depend on
/// the number of threads. Outputs named `out` are overwritten and must have the right shape.
pub trait Backend: Send + Sync + 'static {
    /// Element type of the host side.
    type Scalar: Scalar;
    /// A dense row-major matrix on the device.
    type Tensor: Send + Sync;
    /// A sum that the device may still be working out: reading it waits, holding it does not. A plain number where the
    /// device is the host.
    type Sum: Send;
    /// P, the number of tokens that a cache holds before a pass over new ones. The device reads it from its own memory,
    /// so that it is asked for the same whatever the number. A plain number where the device is the host.
    type Past: Send;

    /// The value of a sum.
    fn read_sum(&self, sum: &Self::Sum) -> f64;

    /// Name of the device for the record; `None` where it is the processor.
    fn device_name(&self) -> Option<String> {
        None
    }

    /// The most bytes of the device's memory that were in use at once; `None` where there is no other than the process's.
    fn device_peak_bytes(&self) -> Option<u64> {
        None
    }

    fn zeros(&self, rows: usize, cols: usize) -> Self::Tensor;
    /// As [`Self::zeros`], for values of the forward and backward pass that no optimiser step reads: an engine of mixed
    /// precision holds them narrower than parameters, gradients and moments.
    fn activation(&self, rows: usize, cols: usize) -> Self::Tensor {
        self.zeros(rows, cols)
    }
    #[allow(clippy::wrong_self_convention)]
    fn from_host(&self, rows: usize, cols: usize, values: &[Self::Scalar]) -> Self::Tensor;
    /// `leaves`, borrowed, will not change while the result is there: what is needed of them in another form is made once.
    fn hold<'w>(&self, leaves: &[&'w Self::Tensor]) -> Held<'w> {
        let _ = leaves;
        Held::new(None)
    }
    /// All elements, row-major.
    fn to_host(&self, tensor: &Self::Tensor) -> Vec<Self::Scalar>;
    /// `[rows, cols]`
    fn shape(&self, tensor: &Self::Tensor) -> [usize; 2];
    /// Gives `tensor` a new shape and unspecified contents, reusing its memory where that is large enough.
    fn reshape(&self, tensor: &mut Self::Tensor, rows: usize, cols: usize);
    fn fill_zero(&self, tensor: &mut Self::Tensor);
    fn copy(&self, out: &mut Self::Tensor, from: &Self::Tensor);
    /// `sum ← αx + β·sum` and `squares ← αx² + β·squares`, element by element, over all tensors of a model: sums and running
    /// means of gradients and of their squares (empirical Fisher).
    fn accumulate(&self, alpha: f64, beta: f64, leaves: &mut [Accumulation<'_, Self::Tensor>]);
    /// `Σ x²` in f64, fixed order.
    fn sum_of_squares(&self, tensor: &Self::Tensor) -> f64;

    /// The sub-matrix of the kept `rows` and `cols` (ascending indices; `None` keeps all): physical removal.
    fn select(&self, tensor: &Self::Tensor, rows: Option<&[usize]>, cols: Option<&[usize]>) -> Self::Tensor;

    /// `tensor ←` [`Self::select`] of itself.
    fn retain(&self, tensor: &mut Self::Tensor, rows: Option<&[usize]>, cols: Option<&[usize]>) {
        *tensor = self.select(tensor, rows, cols);
    }
    /// [`Self::retain`] of each: what a removal takes of all tensors of a model.
    fn retain_all(&self, all: &mut [Retained<'_, Self::Tensor>]) {
        for Retained { tensor, rows, cols } in all {
            self.retain(tensor, *rows, *cols);
        }
    }

    /// `out += Σ_n x[n]` in fixed order: the gradient of a bias. `out` 1 × d, `x` N × d.
    fn add_column_sums(&self, out: &mut Self::Tensor, x: &Self::Tensor);

    /// `out ← operation(a, b)`, element by element; `b` is read by [`Pointwise::Product`] alone. All of one shape; `out` may
    /// be of wider elements than `a` and `b`, which are alike.
    fn pointwise(
        &self,
        operation: Pointwise,
        out: &mut Self::Tensor,
        a: &Self::Tensor,
        b: Option<&Self::Tensor>,
    );
    /// Sums over blocks of `rows × cols` neighbours, in fixed order: `out[i, j] ← Σ x[i·rows + r, j·cols + c]`. `out` of
    /// [`Self::zeros`].
    fn fold(&self, out: &mut Self::Tensor, x: &Self::Tensor, rows: usize, cols: usize);

    /// Row sums and column sums (in f64, fixed order) of the per-parameter score over each of `leaves`.
    fn score_margins(&self, score: ElementScore, leaves: &[ScoreLeaf<'_, Self::Tensor>]) -> Vec<Margins>;

    /// Matrix product; `out ← out + …` where `accumulate`, else `out ← …`.
    fn matmul(
        &self,
        product: Product,
        out: &mut Self::Tensor,
        accumulate: bool,
        a: &Self::Tensor,
        b: &Self::Tensor,
    );

    /// A linear layer: `out ← x Wᵀ`, plus `bias` (1 × d_out) in every row.
    fn linear(
        &self,
        out: &mut Self::Tensor,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        bias: Option<&Self::Tensor>,
    );
    /// A linear layer that writes into a residual stream: `out ← residual + x Wᵀ`.
    fn residual_linear(
        &self,
        out: &mut Self::Tensor,
        residual: &Self::Tensor,
        x: &Self::Tensor,
        weight: &Self::Tensor,
    );

    /// `x ← x + row` (1 × d) in every row: a bias of a linear layer that writes into a residual stream.
    fn add_row(&self, x: &mut Self::Tensor, row: &Self::Tensor) {
        let rows = self.shape(x)[0];
        let ones = self.from_host(rows, 1, &vec![Self::Scalar::from_f64(1.0); rows]);
        self.matmul(Product::NN, x, true, &ones, row);
    }
    /// Column j of `x` → column `places[j]` of `out`, whose other columns are 0; `places` ascend within each head.
    fn spread_columns(&self, out: &mut Self::Tensor, x: &Self::Tensor, places: &[usize]) {
        let selection = self.selection(places, self.shape(out)[1]);
        self.matmul(Product::NN, out, false, x, &selection);
    }
    /// Column `places[j]` of `x` → column j of `out`.
    fn gather_columns(&self, out: &mut Self::Tensor, x: &Self::Tensor, places: &[usize]) {
        let selection = self.selection(places, self.shape(x)[1]);
        self.matmul(Product::NT, out, false, x, &selection);
    }
    /// `|places| × width`, 1 where column `places[j]` meets row j: a product with it moves columns, exactly.
    fn selection(&self, places: &[usize], width: usize) -> Self::Tensor {
        let mut values = vec![Self::Scalar::from_f64(0.0); places.len() * width];
        for (row, place) in places.iter().enumerate() {
            values[row * width + place] = Self::Scalar::from_f64(1.0);
        }
        self.from_host(places.len(), width, &values)
    }

    /// Rows, at least `rows`, to which a scoring pass is padded, so that each row of a product `A Bᵀ` of `cols` columns is
    /// the same to the bit whatever rows are beside it. That holds between passes of up to [`SCORING_PASS_ROWS`] rows; a
    /// longer pass holds one item alone, and so has no company that could change it.
    fn independent_rows(&self, rows: usize, cols: usize) -> usize;

    /// Rows of `table` (V × d) named by `tokens` → `out` (N × d).
    fn embed(&self, out: &mut Self::Tensor, table: &Self::Tensor, tokens: &[u32]);
    /// `d_table[tokens[n]] += d_out[n]`, every sum in one fixed order.
    fn embed_backward(&self, d_table: &mut Self::Tensor, d_out: &Self::Tensor, tokens: &[u32]);

    /// RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467): `out = x · r · w`, `r = 1/√(mean(x²) + ε)`.
    ///
    /// `x`, `out` N × d, `weight` 1 × d, `inv_rms` 1 × N receives r.
    fn rmsnorm(
        &self,
        out: &mut Self::Tensor,
        inv_rms: &mut Self::Tensor,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        epsilon: f64,
    );
    /// `d_x += r·(w∘dy) − x · r³/d · ⟨w∘dy, x⟩` per row, `d_weight += Σ_n dy∘x·r`.
    fn rmsnorm_backward(
        &self,
        d_x: &mut Self::Tensor,
        d_weight: &mut Self::Tensor,
        d_out: &Self::Tensor,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        inv_rms: &Self::Tensor,
    );

    /// A residual stream and the norm that reads it: `out ← residual + x Wᵀ`, or `out ← out + x Wᵀ` where `residual` is `None`, and
    /// then `norm` of `out`. `residual`, `out` N × d, `x` N × k, `weight` d × k.
    fn residual_norm(
        &self,
        out: &mut Self::Tensor,
        residual: Option<&Self::Tensor>,
        x: &Self::Tensor,
        weight: &Self::Tensor,
        norm: Norm<'_, Self::Tensor>,
    ) {
        residual_norm_by_parts(self, out, residual, x, weight, norm);
    }

    fn rope_table(&self, context_length: usize, head_dim: usize, theta: f64) -> RopeTable<Self::Tensor>;
    /// Rotary embedding (Su et al. 2021, arXiv:2104.09864) in place on N × (heads·h), halves convention of
    /// Hugging Face: pair (p, p + h/2) of every head turns by angle(t, p), or back where `inverse`.
    fn rope(
        &self,
        x: &mut Self::Tensor,
        table: &RopeTable<Self::Tensor>,
        context_length: usize,
        head_dim: usize,
        inverse: bool,
    );

    /// The projections that attention begins with: `q ← R(x Wqᵀ)`, `k ← R(x Wkᵀ)`, `v ← x Wvᵀ`, R being [`Self::rope`].
    /// q N × H·h, k and v N × K·h; weights of as many rows, N × d and d columns.
    fn attention_inputs(
        &self,
        [q, k, v]: [&mut Self::Tensor; 3],
        x: &Self::Tensor,
        weights: [&Self::Tensor; 3],
        positions: Positions<'_, Self::Tensor>,
    ) {
        attention_inputs_by_parts(self, [q, k, v], x, weights, positions);
    }
    /// Its reverse: gradients of q and k are turned back, then `d_x ← d_q Wq + d_k Wk + d_v Wv`.
    fn attention_inputs_backward(
        &self,
        d_x: &mut Self::Tensor,
        [d_q, d_k, d_v]: [&mut Self::Tensor; 3],
        weights: [&Self::Tensor; 3],
        positions: Positions<'_, Self::Tensor>,
    ) {
        attention_inputs_backward_by_parts(self, d_x, [d_q, d_k, d_v], weights, positions);
    }

    /// Causal attention: `out = softmax(q kᵀ/√h) v` per head. `q`, `out` N × H·h, `k`, `v` N × K·h;
    /// query head i reads key-value head ⌊i·K/H⌋; `log_sum_exp` N × H is kept for the backward pass.
    fn attention(
        &self,
        shape: AttentionShape,
        out: &mut Self::Tensor,
        log_sum_exp: &mut Self::Tensor,
        q: &Self::Tensor,
        k: &Self::Tensor,
        v: &Self::Tensor,
    );
    /// Overwrites `d_q`, `d_k`, `d_v`; probabilities are recomputed from `log_sum_exp` (Dao et al. 2022,
    /// arXiv:2205.14135).
    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        &self,
        shape: AttentionShape,
        d_q: &mut Self::Tensor,
        d_k: &mut Self::Tensor,
        d_v: &mut Self::Tensor,
        d_out: &Self::Tensor,
        out: &Self::Tensor,
        log_sum_exp: &Self::Tensor,
        q: &Self::Tensor,
        k: &Self::Tensor,
        v: &Self::Tensor,
    );

    /// Attention over a packed batch, forward only. `q`, `out` N × H·h, `k`, `v` N × K·h, heads as in
    /// [`Self::attention`]; every sum has an order that depends on the lengths of that segment and of what it sees
    /// alone, not on what stands beside them.
    fn packed_attention(
        &self,
        shape: PackedShape,
        out: &mut Self::Tensor,
        q: &Self::Tensor,
        k: &Self::Tensor,
        v: &Self::Tensor,
    );

    /// `tokens` as the device reads it, for all operations of one pass.
    fn past(&self, tokens: usize) -> Self::Past;
    /// New tokens join a cache: `q` is turned in place and `k` into the rows of `keys` from P on, row n as token P + n of
    /// [`Self::rope`]; `v` becomes the rows of `values` from P on. `q` Q × H·h, `k`, `v` Q × K·h.
    fn extend_cache(
        &self,
        past: &Self::Past,
        table: &RopeTable<Self::Tensor>,
        head_dim: usize,
        q: &mut Self::Tensor,
        k_and_v: [&Self::Tensor; 2],
        keys_and_values: [&mut Self::Tensor; 2],
    );
    /// Attention of new tokens over a cache, forward only: query i of `q` sees the keys 0 … P + i. `q`, `out` Q × H·h;
    /// `keys`, `values` at least (P + Q) × K·h, of which later rows are never read; heads as in [`Self::attention`].
    #[allow(clippy::too_many_arguments)]
    fn cached_attention(
        &self,
        shape: CachedShape,
        past: &Self::Past,
        out: &mut Self::Tensor,
        q: &Self::Tensor,
        keys: &Self::Tensor,
        values: &Self::Tensor,
    );

    /// The feed-forward block of a layer: `gate ← x Wgᵀ`, `up ← x Wuᵀ`, `hidden ← silu(gate) ∘ up`, `out ← residual + hidden Wdᵀ`;
    /// without a residual stream, `out` is one, to which it is added. Then `norm` of `out`, where there is one. N × d and N × f; weights
    /// f × d, f × d, d × f.
    fn feed_forward(
        &self,
        out: &mut Self::Tensor,
        residual: Option<&Self::Tensor>,
        x: &Self::Tensor,
        [gate, up, hidden]: [&mut Self::Tensor; 3],
        weights: [&Self::Tensor; 3],
        norm: Option<Norm<'_, Self::Tensor>>,
    ) {
        feed_forward_by_parts(self, out, residual, x, [gate, up, hidden], weights, norm);
    }
    /// Its reverse: `d_hidden ← d_out Wd`; gate and up are replaced by their gradients; `d_x ← d_gate Wg + d_up Wu`. Unless it
    /// `is_kept`, `d_hidden` may hold anything afterwards.
    fn feed_forward_backward(
        &self,
        d_x: &mut Self::Tensor,
        (d_hidden, _is_kept): (&mut Self::Tensor, bool),
        [gate, up]: [&mut Self::Tensor; 2],
        d_out: &Self::Tensor,
        weights: [&Self::Tensor; 3],
    ) {
        feed_forward_backward_by_parts(self, d_x, d_hidden, [gate, up], d_out, weights);
    }

    /// SwiGLU (Shazeer 2020, arXiv:2002.05202): `out = silu(gate) ∘ up`, silu(z) = z·σ(z).
    fn swiglu(&self, out: &mut Self::Tensor, gate: &Self::Tensor, up: &Self::Tensor);
    /// Replaces `gate` and `up` by their gradients: `d_gate = d_out∘up∘σ(1 + gate(1−σ))`, `d_up = d_out∘silu(gate)`.
    fn swiglu_backward(&self, gate: &mut Self::Tensor, up: &mut Self::Tensor, d_out: &Self::Tensor);

    /// Σ over tokens of the cross-entropy of `softmax(hidden headᵀ)` against `targets`, with gradients scaled
    /// by `scale`: `d_hidden` (N × d) overwritten, `d_head` (V × d) accumulated. The N × V logits are never
    /// held whole. `hidden` N × d, `head` V × d.
    #[allow(clippy::too_many_arguments)]
    fn head_cross_entropy(
        &self,
        d_hidden: &mut Self::Tensor,
        d_head: &mut Self::Tensor,
        hidden: &Self::Tensor,
        head: &Self::Tensor,
        targets: &[u32],
        scale: f64,
    ) -> Self::Sum;
    /// `out += Σ_n (∂L_n/∂head)²` with L as above: the squared gradient of each position by itself, the position Fisher of
    /// the head (`out` V × d). Logits are computed anew, in chunks.
    fn head_squared_gradients(
        &self,
        out: &mut Self::Tensor,
        hidden: &Self::Tensor,
        head: &Self::Tensor,
        targets: &[u32],
        scale: f64,
    );
    /// Σ over tokens of the entropy H = −Σ_v p_v log p_v of `p = softmax(hidden headᵀ)`, with gradients as those of
    /// [`Self::head_cross_entropy`]: ∂H/∂z_v = −p_v (log p_v + H).
    fn head_entropy(
        &self,
        d_hidden: &mut Self::Tensor,
        d_head: &mut Self::Tensor,
        hidden: &Self::Tensor,
        head: &Self::Tensor,
        scale: f64,
    ) -> Self::Sum;
    /// As [`Self::head_cross_entropy`], of the loss of [`Distillation`] against `teacher`, whose logits are of the same N
    /// tokens and vocabulary.
    #[allow(clippy::too_many_arguments)]
    fn head_distillation(
        &self,
        d_hidden: &mut Self::Tensor,
        d_head: &mut Self::Tensor,
        hidden: &Self::Tensor,
        head: &Self::Tensor,
        teacher: TeacherHead<'_, Self::Tensor>,
        targets: &[u32],
        scale: f64,
        of: Distillation,
    ) -> Self::Sum;
    /// Natural-log probability of each of `targets` under `softmax(hidden headᵀ)`, in chunks as above; the same to the
    /// bit whatever rows stand beside it.
    fn head_log_probabilities(&self, hidden: &Self::Tensor, head: &Self::Tensor, targets: &[u32])
    -> Vec<f64>;

    /// One AdamW step on one tensor.
    fn adamw(
        &self,
        step: AdamwStep,
        weight: &mut Self::Tensor,
        grad: &Self::Tensor,
        m: &mut Self::Tensor,
        v: &mut Self::Tensor,
    );

    /// One AdamW step on all tensors of a model, the gradient scaled by `min(1, c/‖g‖)` beside `step.gradient_scale` (c =
    /// `clip_norm`; 0 does not clip); returns ‖g‖², g as given. `step.weight_decay` is for the leaves that decay.
    fn clipped_adamw(
        &self,
        step: AdamwStep,
        clip_norm: f64,
        leaves: &mut [AdamwLeaf<'_, Self::Tensor>],
    ) -> Self::Sum;
}

impl<T> Norm<'_, T> {
    /// That of `x`.
    pub(crate) fn of<B: Backend<Tensor = T> + ?Sized>(self, backend: &B, x: &T) {
        backend.rmsnorm(self.out, self.inv_rms, x, self.weight, self.epsilon);
    }
}
