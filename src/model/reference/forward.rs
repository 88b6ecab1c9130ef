//! Forward pass of the reference engine; see the module above for equations and shapes.
//!
//! Heads are split and joined by gathering rows: a `N × H·h` matrix is the same memory as `N·H × h`, and attention
//! wants `B·H·T × h`. Repeating a KV head for its H/K query heads is naming its rows more than once.
use std::iter;

use dfdx::prelude::*;

use super::host::Tensor2;
use super::{LinearInputs, ReferenceScalar};
use crate::model::{LayerShape, LayerWeights, Linear, ModelConfig, Weights};
use crate::tensor::cpu::Matrix;
use crate::tensor::{Distillation, Scalar};

/// Added to scores that the causal mask forbids: exp underflows to exactly 0, and no NaN can arise as it would from −∞.
const MASKED: f64 = -1e30;

/// What one forward pass leaves.
pub(super) struct Run<T: ReferenceScalar, G: Tape<T, Cpu>>
where
    Cpu: Device<T>,
{
    pub logits: Tensor2<T, G>,
    pub linear_inputs: Vec<LinearInputs<Tensor2<T>>>,
    /// Input of the head.
    pub head_in: Tensor2<T>,
}

/// Things that depend on the batch's shape alone.
struct Batch<'a, T: ReferenceScalar>
where
    Cpu: Device<T>,
{
    device: &'a Cpu,
    /// B
    sequences: usize,
    /// T
    length: usize,
    /// h
    head_dim: usize,
    /// T × h: cos of the angle of position t and channel p, the same for p and p + h/2.
    cos: Vec<T>,
    sin: Vec<T>,
    /// T × T
    mask: Vec<T>,
}

/// Runs the model; records onto tapes of type `G`.
pub(super) fn run<T: ReferenceScalar, G: Tape<T, Cpu> + Merge<G>>(
    device: &Cpu,
    config: &ModelConfig,
    weights: &Weights<Tensor2<T>>,
    tokens: &[u32],
    sequences: usize,
) -> Run<T, G>
where
    Cpu: Device<T>,
{
    assert!(
        sequences > 0 && tokens.len().is_multiple_of(sequences),
        "{} tokens in {sequences}",
        tokens.len()
    );
    let batch = Batch::new(device, config, sequences, tokens.len() / sequences);
    let eps = config.rms_norm_eps;

    let ids = indices(device, tokens.iter().map(|&t| t as usize));
    let mut x: Tensor2<T, G> = weights.embed.retaped::<G>().gather(ids);
    let mut linear_inputs = Vec::with_capacity(config.layers.len());
    for (shape, layer) in config.layers.iter().zip(&weights.layers) {
        let (residual, inputs) = batch.layer(x, shape, layer, eps);
        x = residual;
        linear_inputs.push(inputs);
    }
    let x = rms_norm(x, &weights.norm, eps);
    let head_in = x.retaped::<NoneTape>();
    let logits = linear(x, weights.head.as_ref().unwrap_or(&weights.embed));
    Run { logits, linear_inputs, head_in }
}

/// log softmax(logits)\[target\] of every row.
pub(super) fn target_log_probabilities<T: ReferenceScalar, G: Tape<T, Cpu>>(
    logits: Tensor2<T, G>,
    targets: &[u32],
) -> Tensor<(usize,), T, Cpu, G>
where
    Cpu: Device<T>,
{
    assert_eq!(logits.shape().0, targets.len(), "one target per token");
    let targets = indices(&logits.device().clone(), targets.iter().map(|&t| t as usize));
    logits.log_softmax::<Axis<1>>().select(targets)
}

/// −Σ_v p log p of every row, p = softmax(logits).
pub(super) fn entropies<T: ReferenceScalar, G: Tape<T, Cpu> + Merge<G>>(
    logits: Tensor2<T, G>,
) -> Tensor<(usize,), T, Cpu, G>
where
    Cpu: Device<T>,
{
    let logs = logits.log_softmax::<Axis<1>>();
    (logs.with_empty_tape().exp() * logs).sum::<_, Axis<1>>().negate()
}

/// The loss of every row against its target and against `taught`, logits of another model: (1 − w)·CE + w·T²·KL(p ‖ q), p and
/// q the softmax of both models' logits over T among the tokens that the other finds likeliest.
pub(super) fn distillation<T: ReferenceScalar, G: Tape<T, Cpu> + Merge<G>>(
    device: &Cpu,
    logits: Tensor2<T, G>,
    taught: &Matrix<T>,
    targets: &[u32],
    of: Distillation,
) -> Tensor<(usize,), T, Cpu, G>
where
    Cpu: Device<T>,
{
    let (rows, vocab) = (taught.rows, taught.cols);
    let (mut mask, mut p, mut negative_entropies) = (Vec::new(), Vec::new(), Vec::new());
    for row in taught.data.chunks_exact(vocab) {
        let t: Vec<f64> = row.iter().map(|x| Scalar::to_f64(*x) / of.temperature).collect();
        let mut ranked = t.clone();
        ranked.sort_by(|a, b| b.total_cmp(a));
        let least = ranked[of.compared(vocab) - 1];
        let total: f64 = t.iter().filter(|x| **x >= least).map(|x| (x - ranked[0]).exp()).sum();
        let log = |x: f64| x - ranked[0] - total.ln();
        let compared = |x: &&f64| **x >= least;
        negative_entropies
            .push(scalar(t.iter().filter(compared).map(|x| log(*x).exp() * log(*x)).sum::<f64>()));
        mask.extend(t.iter().map(|x| scalar::<T>(if *x >= least { 0.0 } else { MASKED })));
        p.extend(t.iter().map(|x| scalar::<T>(if *x >= least { log(*x).exp() } else { 0.0 })));
    }
    let table = |values: Vec<T>| -> Tensor2<T> { device.tensor((values, (rows, vocab))) };
    let negative_entropies: Tensor<(usize,), T, Cpu> = device.tensor((negative_entropies, (rows,)));
    let log_q =
        (logits.with_empty_tape() * scalar::<T>(1.0 / of.temperature) + table(mask)).log_softmax::<Axis<1>>();
    let divergence = (log_q * table(p)).sum::<_, Axis<1>>().negate() + negative_entropies;
    let surprise = target_log_probabilities(logits, targets).negate();
    let share = of.weight * of.temperature * of.temperature;
    surprise * scalar::<T>(1.0 - of.weight) + divergence * scalar::<T>(share)
}

impl<'a, T: ReferenceScalar> Batch<'a, T>
where
    Cpu: Device<T>,
{
    fn new(device: &'a Cpu, config: &ModelConfig, sequences: usize, length: usize) -> Self {
        let (h, half) = (config.head_dim, config.head_dim / 2);
        let angle =
            |t: usize, c: usize| t as f64 * config.rope_theta.powf(-2.0 * (c % half) as f64 / h as f64);
        let table = |f: fn(f64) -> f64| -> Vec<T> {
            (0..length * h).map(|i| scalar(f(angle(i / h, i % h)))).collect()
        };
        let mask = (0..length * length)
            .map(|i| scalar(if i % length > i / length { MASKED } else { 0.0 }))
            .collect();
        Self { device, sequences, length, head_dim: h, cos: table(f64::cos), sin: table(f64::sin), mask }
    }

    fn layer<G: Tape<T, Cpu> + Merge<G>>(
        &self,
        x: Tensor2<T, G>,
        shape: &LayerShape,
        weights: &LayerWeights<Tensor2<T>>,
        eps: f64,
    ) -> (Tensor2<T, G>, LinearInputs<Tensor2<T>>) {
        // `with_empty_tape` starts a second branch of the graph at the same node; the tapes meet again in `+`.
        let attn_in = rms_norm(x.with_empty_tape(), &weights.attn_norm, eps);
        let channels = shape.rotary_channels(self.head_dim);
        let q = self.widened(affine(attn_in.with_empty_tape(), &weights.q), channels.as_deref());
        let k = self.widened(affine(attn_in.with_empty_tape(), &weights.k), channels.as_deref());
        let attn_in_value = attn_in.retaped::<NoneTape>();
        let v = affine(attn_in, &weights.v);
        let o_in = self.attention(q, k, v, shape);
        let o_in_value = o_in.retaped::<NoneTape>();
        let x = affine(o_in, &weights.o) + x;

        let ffn_in = rms_norm(x.with_empty_tape(), &weights.ffn_norm, eps);
        let ffn_in_value = ffn_in.retaped::<NoneTape>();
        let gate = affine(ffn_in.with_empty_tape(), &weights.gate);
        let up = affine(ffn_in, &weights.up);
        let down_in = gate.with_empty_tape().sigmoid() * gate * up;
        let down_in_value = down_in.retaped::<NoneTape>();
        let x = affine(down_in, &weights.down) + x;
        let inputs = LinearInputs {
            attn_in: attn_in_value,
            o_in: o_in_value,
            ffn_in: ffn_in_value,
            down_in: down_in_value,
        };
        (x, inputs)
    }

    /// Heads of the channels `channels` among h as heads of h channels, the others 0: N × heads·n to N × heads·h.
    fn widened<G: Tape<T, Cpu> + Merge<G>>(
        &self,
        x: Tensor2<T, G>,
        channels: Option<&[usize]>,
    ) -> Tensor2<T, G> {
        let Some(channels) = channels else { return x };
        let (n, h) = (channels.len(), self.head_dim);
        let (rows, width) = *x.shape();
        let mut places = vec![T::default(); n * h];
        for (channel, place) in channels.iter().enumerate() {
            places[channel * h + place] = scalar(1.0);
        }
        let places: Tensor2<T> = self.device.tensor((places, (n, h)));
        let heads: Tensor2<T, G> = x.reshape_like(&(rows * (width / n), n));
        let wide: Tensor2<T, G> = heads.matmul(places.retaped::<G>());
        wide.reshape_like(&(rows, width / n * h))
    }

    /// q N × H·h; k, v N × K·h; the result N × H·h.
    fn attention<G: Tape<T, Cpu> + Merge<G>>(
        &self,
        q: Tensor2<T, G>,
        k: Tensor2<T, G>,
        v: Tensor2<T, G>,
        shape: &LayerShape,
    ) -> Tensor2<T, G> {
        let (heads, kv_heads, h) = (shape.num_heads, shape.num_kv_heads, self.head_dim);
        let q = self.rotate(self.split(q, heads, heads), heads);
        let k = self.rotate(self.split(k, kv_heads, heads), heads);
        let v = self.split(v, kv_heads, heads);

        let blocks = self.sequences * heads;
        let mask: Tensor<(usize, usize, usize), T, Cpu> = self.tile(&self.mask, blocks, self.length);
        let scores = q.matmul(k.permute::<_, Axes3<0, 2, 1>>()) * scalar::<T>(1.0 / (h as f64).sqrt());
        let weights = (scores + mask).softmax::<Axis<2>>();
        let mixed: Tensor2<T, G> = weights.matmul(v).reshape_like(&(blocks * self.length, h));

        // Back from B·H·T × h to N·H × h, which is N × H·h.
        let (t, b) = (self.length, self.sequences);
        let rows = (0..b * t * heads).map(|i| ((i / heads / t) * heads + i % heads) * t + i / heads % t);
        let joined: Tensor2<T, G> = mixed.gather(indices(self.device, rows));
        joined.reshape_like(&(b * t, heads * h))
    }

    /// N × `own`·h to B·H × T × h for `heads` = H, each head repeated H/own times.
    fn split<G: Tape<T, Cpu>>(
        &self,
        x: Tensor2<T, G>,
        own: usize,
        heads: usize,
    ) -> Tensor<(usize, usize, usize), T, Cpu, G> {
        let (b, t, h) = (self.sequences, self.length, self.head_dim);
        let rows = (0..b * heads * t).map(|i| {
            let (sequence, head, position) = (i / t / heads, i / t % heads, i % t);
            (sequence * t + position) * own + head / (heads / own)
        });
        let x: Tensor2<T, G> = x.reshape_like(&(b * t * own, h));
        let x: Tensor2<T, G> = x.gather(indices(self.device, rows));
        x.reshape_like(&(b * heads, t, h))
    }

    /// RoPE on B·H × T × h: x ⊙ cos + (x R) ⊙ sin, where R is the signed permutation (a, b) ↦ (−b, a) of the halves.
    fn rotate<G: Tape<T, Cpu> + Merge<G>>(
        &self,
        x: Tensor<(usize, usize, usize), T, Cpu, G>,
        heads: usize,
    ) -> Tensor<(usize, usize, usize), T, Cpu, G> {
        let (h, half, blocks) = (self.head_dim, self.head_dim / 2, self.sequences * heads);
        let mut turn = vec![T::default(); h * h];
        for p in 0..half {
            turn[(p + half) * h + p] = scalar(-1.0);
            turn[p * h + p + half] = scalar(1.0);
        }
        let turn: Tensor2<T> = self.device.tensor((turn, (h, h)));
        let cos = self.tile(&self.cos, blocks, h);
        let sin = self.tile(&self.sin, blocks, h);
        x.with_empty_tape() * cos + x.matmul(turn) * sin
    }

    /// A T × `cols` table repeated `blocks` times.
    fn tile(&self, table: &[T], blocks: usize, cols: usize) -> Tensor<(usize, usize, usize), T, Cpu> {
        let data: Vec<T> = iter::repeat_n(table, blocks).flatten().copied().collect();
        self.device.tensor((data, (blocks, self.length, cols)))
    }
}

/// x Wᵀ: N × d_in by d_out × d_in to N × d_out.
fn linear<T: ReferenceScalar, G: Tape<T, Cpu> + Merge<G>>(
    x: Tensor2<T, G>,
    weight: &Tensor2<T>,
) -> Tensor2<T, G>
where
    Cpu: Device<T>,
{
    // On a tape of its own, since the transposition too must be recorded.
    x.matmul(weight.retaped::<G>().permute::<_, Axes2<1, 0>>())
}

/// x Wᵀ + b
fn affine<T: ReferenceScalar, G: Tape<T, Cpu> + Merge<G>>(
    x: Tensor2<T, G>,
    layer: &Linear<Tensor2<T>>,
) -> Tensor2<T, G>
where
    Cpu: Device<T>,
{
    shifted(linear(x, &layer.weight), layer.bias.as_ref())
}

/// y + bias in every row: N × d_out by 1 × d_out.
fn shifted<T: ReferenceScalar, G: Tape<T, Cpu> + Merge<G>>(
    y: Tensor2<T, G>,
    bias: Option<&Tensor2<T>>,
) -> Tensor2<T, G>
where
    Cpu: Device<T>,
{
    let Some(bias) = bias else { return y };
    let shape = *y.shape();
    let bias: Tensor<(usize,), T, Cpu, G> = bias.retaped::<G>().reshape_like(&(shape.1,));
    y + bias.broadcast_like::<_, Axis<0>>(&shape)
}

/// x / √(mean x² + ε) ⊙ weight over the columns of x, which are all logical: N × d by 1 × d.
fn rms_norm<T: ReferenceScalar, G: Tape<T, Cpu> + Merge<G>>(
    x: Tensor2<T, G>,
    weight: &Tensor2<T>,
    eps: f64,
) -> Tensor2<T, G>
where
    Cpu: Device<T>,
{
    let shape = *x.shape();
    let mean_square: Tensor<(usize,), T, Cpu, G> = x.with_empty_tape().square().mean::<_, Axis<1>>();
    let inverse = (mean_square + scalar::<T>(eps)).sqrt().recip().broadcast_like::<_, Axis<1>>(&shape);
    let weight: Tensor<(usize,), T, Cpu, G> = weight.retaped::<G>().reshape_like(&(shape.1,));
    x * inverse * weight.broadcast_like::<_, Axis<0>>(&shape)
}

/// `Scalar::from_f64`, which dfdx's own bounds would make ambiguous.
fn scalar<T: Scalar>(value: f64) -> T {
    T::from_f64(value)
}

fn indices(device: &Cpu, values: impl Iterator<Item = usize>) -> Tensor<(usize,), usize, Cpu> {
    let values: Vec<usize> = values.collect();
    let length = values.len();
    device.tensor((values, (length,)))
}
