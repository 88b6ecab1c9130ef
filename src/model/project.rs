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
use crate::tensor::{Backend, Product};

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

/// `out ← residual + x Wᵀ + b`
pub(super) fn residual_linear<B: Backend>(
    backend: &B,
    out: &mut B::Tensor,
    residual: &B::Tensor,
    x: &B::Tensor,
    linear: &Linear<B::Tensor>,
) {
    backend.residual_linear(out, residual, x, &linear.weight);
    if let Some(bias) = &linear.bias {
        backend.add_row(out, bias);
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
