//! Linear layers of a decoder layer, as every pass applies them and as the backward pass reverses them.
//!
//! ```text
//! y = x Wᵀ + b        dW += dyᵀ x,  db += Σ_n dy,  dx = dy W
//! ```
//!
//! q and k of a layer that has lost RoPE pairs are products of fewer rows. What follows works on whole heads: the result is
//! spread over them, with zeros in the channels that are gone, which RoPE rotates to zeros and which add nothing to q kᵀ.
use super::config::ModelConfig;
use super::weights::Linear;
use crate::schema::Dim;
use crate::tensor::{Backend, Norm, Positions, Product};

/// `out ← x Wᵀ + b`
pub(super) fn linear<B: Backend>(
    backend: &B,
    out: &mut B::Tensor,
    x: &B::Tensor,
    linear: &Linear<B::Tensor>,
) {
    backend.linear(out, x, &linear.weight, linear.bias.as_ref());
}

/// `stream ← stream + x Wᵀ + b`
pub(super) fn add_linear<B: Backend>(
    backend: &B,
    stream: &mut B::Tensor,
    x: &B::Tensor,
    linear: &Linear<B::Tensor>,
) {
    backend.matmul(Product::NT, stream, true, x, &linear.weight);
    if let Some(bias) = &linear.bias {
        backend.add_row(stream, bias);
    }
}

/// `out ← residual + x Wᵀ + b`, or without a residual `out ← out + x Wᵀ + b`
fn add_to_stream<B: Backend>(
    backend: &B,
    out: &mut B::Tensor,
    residual: Option<&B::Tensor>,
    x: &B::Tensor,
    linear: &Linear<B::Tensor>,
) {
    let Some(residual) = residual else { return add_linear(backend, out, x, linear) };
    backend.residual_linear(out, residual, x, &linear.weight);
    if let Some(bias) = &linear.bias {
        backend.add_row(out, bias);
    }
}

/// A residual stream and the norm that reads it, see [`Backend::residual_norm`], with a bias where there is one.
pub(super) fn residual_norm<B: Backend>(
    backend: &B,
    out: &mut B::Tensor,
    residual: Option<&B::Tensor>,
    x: &B::Tensor,
    linear: &Linear<B::Tensor>,
    norm: Norm<'_, B::Tensor>,
) {
    if linear.bias.is_none() {
        backend.residual_norm(out, residual, x, &linear.weight, norm);
    } else {
        add_to_stream(backend, out, residual, x, linear);
        norm.of(backend, out);
    }
}

/// q, k and v of a layer, q and k turned by RoPE, see [`Backend::attention_inputs`], with biases and places where there are;
/// `narrow` is a buffer.
pub(super) fn attention_inputs<B: Backend>(
    backend: &B,
    [q, k, v]: [&mut B::Tensor; 3],
    narrow: &mut B::Tensor,
    x: &B::Tensor,
    [w_q, w_k, w_v]: [&Linear<B::Tensor>; 3],
    places: [Option<&[usize]>; 2],
    positions: Positions<'_, B::Tensor>,
) {
    let is_plain = [w_q, w_k, w_v].iter().all(|linear| linear.bias.is_none());
    if is_plain && places.iter().all(Option::is_none) {
        let weights = [w_q, w_k, w_v].map(|linear| &linear.weight);
        backend.attention_inputs([q, k, v], x, weights, positions);
        return;
    }
    rotary_linear(backend, q, narrow, x, w_q, places[0]);
    rotary_linear(backend, k, narrow, x, w_k, places[1]);
    linear(backend, v, x, w_v);
    let Positions { table, context_length, head_dim } = positions;
    backend.rope(q, table, context_length, head_dim, false);
    backend.rope(k, table, context_length, head_dim, false);
}

/// The feed-forward block of a layer, see [`Backend::feed_forward`], with biases where there are.
pub(super) fn feed_forward<B: Backend>(
    backend: &B,
    out: &mut B::Tensor,
    residual: Option<&B::Tensor>,
    x: &B::Tensor,
    [gate, up, hidden]: [&mut B::Tensor; 3],
    [w_gate, w_up, w_down]: [&Linear<B::Tensor>; 3],
    norm: Option<Norm<'_, B::Tensor>>,
) {
    if [w_gate, w_up, w_down].iter().all(|linear| linear.bias.is_none()) {
        let weights = [w_gate, w_up, w_down].map(|linear| &linear.weight);
        backend.feed_forward(out, residual, x, [gate, up, hidden], weights, norm);
        return;
    }
    linear(backend, gate, x, w_gate);
    linear(backend, up, x, w_up);
    backend.swiglu(hidden, gate, up);
    add_to_stream(backend, out, residual, hidden, w_down);
    if let Some(norm) = norm {
        norm.of(backend, out);
    }
}

/// `dW += dyᵀ x`, `db += Σ_n dy`
pub(super) fn add_gradient<B: Backend>(
    backend: &B,
    gradient: &mut Linear<B::Tensor>,
    d_out: &B::Tensor,
    x: &B::Tensor,
) {
    backend.matmul(Product::TN, &mut gradient.weight, true, d_out, x);
    if let Some(bias) = &mut gradient.bias {
        backend.add_column_sums(bias, d_out);
    }
}

/// Where the outputs of q (heads: QueryHead) or k (KvHead) of a layer go among the channels of its whole heads; `None` where
/// no RoPE pair is gone.
pub(super) fn rotary_places(config: &ModelConfig, heads: Dim, layer: usize) -> Option<Vec<usize>> {
    let channels = config.layers[layer].rotary_channels(config.head_dim)?;
    let of_head = |head: usize| channels.iter().map(move |channel| head * config.head_dim + channel);
    Some((0..config.size(heads)).flat_map(of_head).collect())
}

/// q or k: `out` (N × heads·h) ← x Wᵀ + b; `narrow` is a buffer.
pub(super) fn rotary_linear<B: Backend>(
    backend: &B,
    out: &mut B::Tensor,
    narrow: &mut B::Tensor,
    x: &B::Tensor,
    linear: &Linear<B::Tensor>,
    places: Option<&[usize]>,
) {
    let Some(places) = places else { return self::linear(backend, out, x, linear) };
    backend.reshape(narrow, backend.shape(x)[0], places.len());
    self::linear(backend, narrow, x, linear);
    backend.spread_columns(out, narrow, places);
}

/// The gradient of `narrow` of [`rotary_linear`] from that of its `out`: `d_out` itself where nothing is gone.
pub(super) fn rotary_gradient<'a, B: Backend>(
    backend: &B,
    d_out: &'a B::Tensor,
    narrow: &'a mut B::Tensor,
    places: Option<&[usize]>,
) -> &'a B::Tensor {
    let Some(places) = places else { return d_out };
    backend.reshape(narrow, backend.shape(d_out)[0], places.len());
    backend.gather_columns(narrow, d_out, places);
    narrow
}
