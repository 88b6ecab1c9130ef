//! Forward and backward pass of a Llama-family model, written once against [`Backend`].
//!
//! ```text
//! x⁰ = embed[tokens]                                              N × d
//! for ℓ:  a = rmsnorm(x, w₁)   q,k,v = a Wqᵀ, a Wkᵀ, a Wvᵀ        plus biases where there are; q, k rotated by RoPE
//!         x ← x + attention(q, k, v) Woᵀ
//!         b = rmsnorm(x, w₂)   x ← x + (silu(b Wgᵀ) ∘ b Wuᵀ) Wdᵀ
//! loss = cross-entropy(rmsnorm(x, w_f) headᵀ)
//! ```
//!
//! The backward pass is explicit: each line above, reversed. What it needs is kept in a [`Workspace`] whose
//! buffers are reused, so that a steady training loop allocates nothing. Inputs of the linear layers (`a`, attention output,
//! `b`, SwiGLU output) and the gradients there exist anyway: statistics tap them ([`Observation`]).
use super::config::ModelConfig;
use super::project::{
    add_gradient, attention_inputs, feed_forward, residual_norm, rotary_gradient, rotary_places,
};
use super::taps::{NormSite, Observation, Site, Tap};
use super::weights::Weights;
use crate::schema::{Dim, Projection};
use crate::tensor::{
    AttentionShape, Backend, Distillation, Norm, Positions, Product, RopeTable, TeacherHead,
};

/// Activations of one layer that the backward pass reads.
struct LayerActivations<T> {
    x_in: T,
    inv_rms1: T,
    attn_in: T,
    q: T,
    k: T,
    v: T,
    log_sum_exp: T,
    o_in: T,
    x_mid: T,
    inv_rms2: T,
    ffn_in: T,
    gate: T,
    up: T,
    down_in: T,
    /// Of q and k, see [`rotary_places`].
    places: [Option<Vec<usize>>; 2],
}

/// Reusable buffers of [`loss_and_gradients`] and [`log_probabilities`].
pub struct Workspace<B: Backend> {
    layers: Vec<LayerActivations<B::Tensor>>,
    x_out: B::Tensor,
    inv_rms: B::Tensor,
    final_in: B::Tensor,
    /// Gradient of the residual stream.
    d_x: B::Tensor,
    /// Gradient of a norm's output.
    d_normed: B::Tensor,
    d_q: B::Tensor,
    d_k: B::Tensor,
    d_v: B::Tensor,
    d_down_in: B::Tensor,
    d_o_in: B::Tensor,
    /// q or k of a layer that has lost RoPE pairs, or its gradient.
    rotary: B::Tensor,
    rope: Option<(usize, usize, f64, RopeTable<B::Tensor>)>,
    /// That of a teacher, where there is one.
    taught: Option<Box<Workspace<B>>>,
}

impl<B: Backend> Workspace<B> {
    pub fn new(backend: &B) -> Self {
        let empty = || backend.activation(0, 0);
        Workspace {
            layers: Vec::new(),
            x_out: empty(),
            inv_rms: backend.zeros(0, 0),
            final_in: empty(),
            d_x: empty(),
            d_normed: empty(),
            d_q: empty(),
            d_k: empty(),
            d_v: empty(),
            d_down_in: empty(),
            d_o_in: empty(),
            rotary: empty(),
            rope: None,
            taught: None,
        }
    }

    /// Gives every buffer the shape that `config` and `tokens` ask for.
    fn fit(&mut self, backend: &B, config: &ModelConfig, tokens: usize, context_length: usize) {
        let d = config.hidden_size;
        let fresh = || {
            let empty = || backend.activation(0, 0);
            LayerActivations {
                x_in: empty(),
                inv_rms1: backend.zeros(0, 0),
                attn_in: empty(),
                q: empty(),
                k: empty(),
                v: empty(),
                log_sum_exp: backend.zeros(0, 0),
                o_in: empty(),
                x_mid: empty(),
                inv_rms2: backend.zeros(0, 0),
                ffn_in: empty(),
                gate: empty(),
                up: empty(),
                down_in: empty(),
                places: [None, None],
            }
        };
        self.layers.resize_with(config.layers.len(), fresh);
        for (i, (a, shape)) in self.layers.iter_mut().zip(&config.layers).enumerate() {
            a.places = [Dim::QueryHead(i), Dim::KvHead(i)].map(|heads| rotary_places(config, heads, i));
            let (wide, narrow) = (shape.num_heads * config.head_dim, shape.num_kv_heads * config.head_dim);
            for buffer in [&mut a.x_in, &mut a.attn_in, &mut a.x_mid, &mut a.ffn_in] {
                backend.reshape(buffer, tokens, d);
            }
            for buffer in [&mut a.inv_rms1, &mut a.inv_rms2] {
                backend.reshape(buffer, 1, tokens);
            }
            for buffer in [&mut a.q, &mut a.o_in] {
                backend.reshape(buffer, tokens, wide);
            }
            for buffer in [&mut a.k, &mut a.v] {
                backend.reshape(buffer, tokens, narrow);
            }
            backend.reshape(&mut a.log_sum_exp, tokens, shape.num_heads);
            for buffer in [&mut a.gate, &mut a.up, &mut a.down_in] {
                backend.reshape(buffer, tokens, shape.intermediate_size);
            }
        }
        backend.reshape(&mut self.inv_rms, 1, tokens);
        for buffer in [&mut self.x_out, &mut self.final_in, &mut self.d_x, &mut self.d_normed] {
            backend.reshape(buffer, tokens, d);
        }
        // A table for longer contexts serves shorter ones.
        let serves = |(t, h, theta, _): &(usize, usize, f64, _)| {
            *t >= context_length && (*h, *theta) == (config.head_dim, config.rope_theta)
        };
        if !self.rope.as_ref().is_some_and(serves) {
            let table = backend.rope_table(context_length, config.head_dim, config.rope_theta);
            self.rope = Some((context_length, config.head_dim, config.rope_theta, table));
        }
    }
}

fn attention_shape(
    config: &ModelConfig,
    layer: usize,
    sequences: usize,
    context_length: usize,
) -> AttentionShape {
    let shape = &config.layers[layer];
    AttentionShape {
        sequences,
        context_length,
        num_heads: shape.num_heads,
        num_kv_heads: shape.num_kv_heads,
        head_dim: config.head_dim,
    }
}

/// Runs the model up to the final norm, whose output stands in `work.final_in` (N × d).
fn forward<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    tokens: &[u32],
    sequences: usize,
    work: &mut Workspace<B>,
    tap: &mut Option<Tap<B::Tensor>>,
) {
    assert!(
        sequences > 0 && tokens.len().is_multiple_of(sequences),
        "{} tokens in {sequences}",
        tokens.len()
    );
    let context_length = tokens.len() / sequences;
    work.fit(backend, config, tokens.len(), context_length);
    let Workspace { layers, x_out, inv_rms, final_in, rope, rotary, .. } = work;
    let rope = &rope.as_ref().expect("`fit` made the table").3;
    let eps = config.rms_norm_eps;
    for i in 0..layers.len() {
        let (done, rest) = layers.split_at_mut(i);
        let (a, next) = rest.split_first_mut().expect("the index is in range");
        let w = &weights.layers[i];
        // Those of later layers are made with the stream that they read.
        if done.is_empty() {
            backend.embed(&mut a.x_in, &weights.embed, tokens);
            backend.rmsnorm(&mut a.attn_in, &mut a.inv_rms1, &a.x_in, &w.attn_norm, eps);
        }
        let places = a.places.each_ref().map(Option::as_deref);
        let positions = Positions { table: rope, context_length, head_dim: config.head_dim };
        let parts = [&mut a.q, &mut a.k, &mut a.v];
        attention_inputs(backend, parts, rotary, &a.attn_in, [&w.q, &w.k, &w.v], places, positions);
        let shape = attention_shape(config, i, sequences, context_length);
        backend.attention(shape, &mut a.o_in, &mut a.log_sum_exp, &a.q, &a.k, &a.v);
        let norm = Norm { out: &mut a.ffn_in, inv_rms: &mut a.inv_rms2, weight: &w.ffn_norm, epsilon: eps };
        residual_norm(backend, &mut a.x_mid, Some(&a.x_in), &a.o_in, &w.o, norm);

        let (out, normed, inv_rms, weight) = match next.first_mut() {
            Some(b) => (&mut b.x_in, &mut b.attn_in, &mut b.inv_rms1, &weights.layers[i + 1].attn_norm),
            None => (&mut *x_out, &mut *final_in, &mut *inv_rms, &weights.norm),
        };
        let norm = Some(Norm { out: normed, inv_rms, weight, epsilon: eps });
        let between = [&mut a.gate, &mut a.up, &mut a.down_in];
        feed_forward(backend, out, Some(&a.x_mid), &a.ffn_in, between, [&w.gate, &w.up, &w.down], norm);
        if let Some(tap) = tap {
            for (site, x) in [
                (Site::AttnIn(i), &a.attn_in),
                (Site::OIn(i), &a.o_in),
                (Site::FfnIn(i), &a.ffn_in),
                (Site::DownIn(i), &a.down_in),
            ] {
                tap(Observation::Input { site, x, sequences });
            }
        }
    }
    if layers.is_empty() {
        backend.embed(x_out, &weights.embed, tokens);
        backend.rmsnorm(final_in, inv_rms, x_out, &weights.norm, eps);
    }
    if let Some(tap) = tap {
        tap(Observation::Input { site: Site::HeadIn, x: final_in, sequences });
    }
}

/// A forward pass for what `tap` sees alone.
pub fn observe<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    inputs: &[u32],
    sequences: usize,
    work: &mut Workspace<B>,
    tap: Tap<B::Tensor>,
) {
    forward(backend, config, weights, inputs, sequences, work, &mut Some(tap));
}

/// What is differentiated: a sum over the N positions.
pub enum Objective<'a, T> {
    /// Cross-entropy against the next tokens.
    CrossEntropy(&'a [u32]),
    /// Entropy of the predictions.
    Entropy,
    /// The loss of [`Distillation`] against the next tokens and another model's predictions.
    Distillation { targets: &'a [u32], teacher: Teacher<'a, T>, of: Distillation },
}

/// A model that another learns from, of the same vocabulary.
pub struct Teacher<'a, T> {
    pub config: &'a ModelConfig,
    pub weights: &'a Weights<T>,
}

// Both are references, whatever a tensor is.
impl<T> Clone for Objective<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Objective<'_, T> {}
impl<T> Clone for Teacher<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Teacher<'_, T> {}

/// Σ of the objective (nats) over the N positions, and `grads += scale · ∂(Σ objective)/∂weights`.
///
/// `inputs` and targets: `sequences` rows of T tokens each; target n is the token after input n.
#[allow(clippy::too_many_arguments)]
pub fn loss_and_gradients<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    inputs: &[u32],
    objective: Objective<'_, B::Tensor>,
    sequences: usize,
    scale: f64,
    grads: &mut Weights<B::Tensor>,
    work: &mut Workspace<B>,
    mut tap: Option<Tap<B::Tensor>>,
) -> B::Sum {
    if let Objective::Distillation { teacher, .. } = objective {
        let taught = work.taught.get_or_insert_with(|| Box::new(Workspace::new(backend)));
        forward(backend, teacher.config, teacher.weights, inputs, sequences, taught, &mut None);
    }
    forward(backend, config, weights, inputs, sequences, work, &mut tap);
    let is_tapped = tap.is_some();
    let mut see = |observation: Observation<'_, B::Tensor>| {
        if let Some(tap) = &mut tap {
            tap(observation);
        }
    };
    let context_length = inputs.len() / sequences;
    let head = weights.head.as_ref().unwrap_or(&weights.embed);
    let d_head = grads.head.as_mut().unwrap_or(&mut grads.embed);
    let Workspace {
        layers,
        x_out,
        inv_rms,
        final_in,
        d_x,
        d_normed,
        d_q,
        d_k,
        d_v,
        d_down_in,
        d_o_in,
        rotary,
        rope,
        taught,
    } = work;
    let rope = &rope.as_ref().expect("`forward` made the table").3;

    let loss = match objective {
        Objective::CrossEntropy(targets) => {
            see(Observation::Head { x: final_in, head, targets, scale });
            backend.head_cross_entropy(d_normed, d_head, final_in, head, targets, scale)
        }
        Objective::Entropy => backend.head_entropy(d_normed, d_head, final_in, head, scale),
        Objective::Distillation { targets, teacher, of } => {
            // What squares of the head's gradients are taken of is the cross-entropy's part.
            see(Observation::Head { x: final_in, head, targets, scale });
            let taught = taught.as_ref().expect("the teacher has run");
            let their_head = teacher.weights.head.as_ref().unwrap_or(&teacher.weights.embed);
            let teacher = TeacherHead { hidden: &taught.final_in, head: their_head };
            backend.head_distillation(d_normed, d_head, final_in, head, teacher, targets, scale, of)
        }
    };
    see(Observation::InputGradient { site: Site::HeadIn, x: final_in, dx: d_normed });
    see(Observation::Norm { norm: NormSite::Final, x: x_out, dy: d_normed });
    backend.fill_zero(d_x);
    backend.rmsnorm_backward(d_x, &mut grads.norm, d_normed, x_out, &weights.norm, inv_rms);

    for i in (0..layers.len()).rev() {
        let (a, w, g) = (&mut layers[i], &weights.layers[i], &mut grads.layers[i]);
        // Feed-forward block.
        let [tokens, f] = backend.shape(&a.down_in);
        backend.reshape(d_down_in, tokens, f);
        let weights_below = [&w.gate, &w.up, &w.down].map(|linear| &linear.weight);
        backend.feed_forward_backward(
            d_normed,
            (d_down_in, is_tapped),
            [&mut a.gate, &mut a.up],
            d_x,
            weights_below,
        );
        add_gradient(backend, &mut g.down, d_x, &a.down_in);
        see(Observation::Linear { layer: i, projection: Projection::Down, x: &a.down_in, dy: d_x });
        see(Observation::InputGradient { site: Site::DownIn(i), x: &a.down_in, dx: d_down_in });
        let (d_gate, d_up) = (&a.gate, &a.up);
        {
            let _held = backend.hold(&[&a.ffn_in]);
            add_gradient(backend, &mut g.gate, d_gate, &a.ffn_in);
            add_gradient(backend, &mut g.up, d_up, &a.ffn_in);
        }
        see(Observation::Linear { layer: i, projection: Projection::Gate, x: &a.ffn_in, dy: d_gate });
        see(Observation::Linear { layer: i, projection: Projection::Up, x: &a.ffn_in, dy: d_up });
        see(Observation::InputGradient { site: Site::FfnIn(i), x: &a.ffn_in, dx: d_normed });
        see(Observation::Norm { norm: NormSite::Ffn(i), x: &a.x_mid, dy: d_normed });
        backend.rmsnorm_backward(d_x, &mut g.ffn_norm, d_normed, &a.x_mid, &w.ffn_norm, &a.inv_rms2);

        // Attention block.
        let [_, wide] = backend.shape(&a.q);
        let [_, narrow] = backend.shape(&a.k);
        backend.reshape(d_o_in, tokens, wide);
        backend.reshape(d_q, tokens, wide);
        backend.reshape(d_k, tokens, narrow);
        backend.reshape(d_v, tokens, narrow);
        backend.matmul(Product::NN, d_o_in, false, d_x, &w.o.weight);
        add_gradient(backend, &mut g.o, d_x, &a.o_in);
        see(Observation::Linear { layer: i, projection: Projection::O, x: &a.o_in, dy: d_x });
        see(Observation::InputGradient { site: Site::OIn(i), x: &a.o_in, dx: d_o_in });
        let shape = attention_shape(config, i, sequences, context_length);
        backend.attention_backward(shape, d_q, d_k, d_v, d_o_in, &a.o_in, &a.log_sum_exp, &a.q, &a.k, &a.v);
        let [query, key] = &a.places;
        // Without places, what follows one by one is done at once.
        let is_whole = query.is_none() && key.is_none();
        if is_whole {
            let weights_below = [&w.q, &w.k, &w.v].map(|linear| &linear.weight);
            let positions = Positions { table: rope, context_length, head_dim: config.head_dim };
            backend.attention_inputs_backward(d_normed, [d_q, d_k, d_v], weights_below, positions);
        } else {
            backend.rope(d_q, rope, context_length, config.head_dim, true);
            backend.rope(d_k, rope, context_length, config.head_dim, true);
        }
        let held = backend.hold(&[&a.attn_in]);
        let d_query = rotary_gradient(backend, d_q, rotary, query.as_deref());
        add_gradient(backend, &mut g.q, d_query, &a.attn_in);
        see(Observation::Linear { layer: i, projection: Projection::Q, x: &a.attn_in, dy: d_query });
        if !is_whole {
            backend.matmul(Product::NN, d_normed, false, d_query, &w.q.weight);
        }
        let d_key = rotary_gradient(backend, d_k, rotary, key.as_deref());
        add_gradient(backend, &mut g.k, d_key, &a.attn_in);
        see(Observation::Linear { layer: i, projection: Projection::K, x: &a.attn_in, dy: d_key });
        if !is_whole {
            backend.matmul(Product::NN, d_normed, true, d_key, &w.k.weight);
        }
        add_gradient(backend, &mut g.v, d_v, &a.attn_in);
        drop(held);
        see(Observation::Linear { layer: i, projection: Projection::V, x: &a.attn_in, dy: d_v });
        if !is_whole {
            backend.matmul(Product::NN, d_normed, true, d_v, &w.v.weight);
        }
        see(Observation::InputGradient { site: Site::AttnIn(i), x: &a.attn_in, dx: d_normed });
        see(Observation::Norm { norm: NormSite::Attn(i), x: &a.x_in, dy: d_normed });
        backend.rmsnorm_backward(d_x, &mut g.attn_norm, d_normed, &a.x_in, &w.attn_norm, &a.inv_rms1);
    }
    backend.embed_backward(&mut grads.embed, d_x, inputs);
    see(Observation::Embedding { tokens: inputs, dy: d_x });
    loss
}

/// The final norm's output after each input, N × d, in a tensor of its own.
pub fn final_hidden<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    inputs: &[u32],
    sequences: usize,
    work: &mut Workspace<B>,
) -> B::Tensor {
    forward(backend, config, weights, inputs, sequences, work, &mut None);
    let [rows, cols] = backend.shape(&work.final_in);
    let mut hidden = backend.activation(rows, cols);
    backend.copy(&mut hidden, &work.final_in);
    hidden
}

/// Natural-log probability of each of `targets` (N) after its input, `sequences` rows of T tokens each.
pub fn log_probabilities<B: Backend>(
    backend: &B,
    config: &ModelConfig,
    weights: &Weights<B::Tensor>,
    inputs: &[u32],
    targets: &[u32],
    sequences: usize,
    work: &mut Workspace<B>,
) -> Vec<f64> {
    forward(backend, config, weights, inputs, sequences, work, &mut None);
    let head = weights.head.as_ref().unwrap_or(&weights.embed);
    backend.head_log_probabilities(&work.final_in, head, targets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Biases, fixtures, init};
    use crate::tensor::CpuBackend;

    fn config(tied: bool, biases: Biases, layers: &[(usize, usize, usize)]) -> ModelConfig {
        ModelConfig { biases, ..fixtures::config(37, 13, 6, tied, layers) }
    }

    /// Every parameter tensor against fourth-order central differences in f64:
    /// (8 (L(w+δ) − L(w−δ)) − (L(w+2δ) − L(w−2δ))) / 12δ = ∂L/∂w + O(δ⁴). With δ = 1e-4 rounding leaves about
    /// 1e-11 and truncation about 1e-9 of the fifth derivative's size, hence atol 1e-8 + rtol 1e-6.
    #[test]
    fn gradients_equal_central_differences() {
        let backend = CpuBackend::<f64>::new();
        let none = Biases::NONE;
        let residual = none.with(Projection::O).with(Projection::Down);
        let cases = [
            (true, none, vec![(2, 2, 11)], 2, 5),
            (false, none, vec![(4, 2, 7), (2, 1, 9)], 2, 4),
            (true, none, vec![(3, 1, 5), (3, 3, 1)], 1, 7),
            (true, none, vec![(2, 1, 3)], 3, 1),
            (true, Biases::QKV, vec![(4, 2, 7), (3, 1, 5)], 2, 4),
            (false, Biases::QKV, vec![(2, 2, 3)], 1, 6),
            (true, residual, vec![(2, 1, 5), (3, 3, 2)], 2, 3),
            (false, Biases::ATTENTION.union(Biases::MLP), vec![(4, 2, 3)], 1, 5),
        ];
        for (number, (tied, biases, layers, sequences, context)) in cases.into_iter().enumerate() {
            let mut config = config(tied, biases, &layers);
            if number >= 6 {
                config = fixtures::with_pairs(config, &[&[0, 2]]);
            }
            let mut weights = init::random_weights(&backend, &config, 3);
            // Larger weights than the initial ones, so that no gradient hides near zero; not so large where two heads of
            // two channels make attention so sharp that differences err by truncation.
            let factor = if number >= 6 { 4.0 } else { 12.0 };
            for leaf in weights.leaves_mut() {
                leaf.data.iter_mut().enumerate().for_each(|(i, w)| *w = *w * factor + 0.01 * (i % 7) as f64);
            }
            let n = sequences * context;
            let inputs: Vec<u32> = (0..n).map(|i| (i * 17 % 37) as u32).collect();
            let targets: Vec<u32> = (0..n).map(|i| (i * 5 + 3) as u32 % 37).collect();
            let mut work = Workspace::new(&backend);
            let mut grads = weights.map(|w| backend.zeros(w.rows, w.cols));
            let scale = 1.0 / n as f64;
            loss_and_gradients(
                &backend,
                &config,
                &weights,
                &inputs,
                Objective::CrossEntropy(&targets),
                sequences,
                scale,
                &mut grads,
                &mut work,
                None,
            );
            let mut loss = |weights: &Weights<_>| {
                let logs =
                    log_probabilities(&backend, &config, weights, &inputs, &targets, sequences, &mut work);
                -logs.iter().sum::<f64>() * scale
            };
            let names: Vec<String> = weights.named().into_iter().map(|(name, _)| name).collect();
            for (leaf, name) in names.iter().enumerate() {
                let len = weights.leaves()[leaf].data.len();
                for i in (0..len).step_by(len.div_ceil(12)) {
                    let delta = 1e-4;
                    let original = weights.leaves()[leaf].data[i];
                    let mut difference = |steps: f64| {
                        weights.leaves_mut()[leaf].data[i] = original + steps * delta;
                        let above = loss(&weights);
                        weights.leaves_mut()[leaf].data[i] = original - steps * delta;
                        let below = loss(&weights);
                        weights.leaves_mut()[leaf].data[i] = original;
                        above - below
                    };
                    let numeric = (8.0 * difference(1.0) - difference(2.0)) / (12.0 * delta);
                    let ours = grads.leaves()[leaf].data[i];
                    assert!(
                        (ours - numeric).abs() <= 1e-8 + 1e-6 * numeric.abs(),
                        "{name}[{i}]: {ours} against {numeric}"
                    );
                }
            }
        }
    }
}
