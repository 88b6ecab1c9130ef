//! Methods of [`Backend`] that are several lines of a layer in one, line by line: what a backend does that has no better way, and what
//! those that have one are held against, to the bit.
use super::backend::{Backend, Norm, Positions, Product};

/// [`Backend::feed_forward`], line by line.
pub(crate) fn feed_forward_by_parts<B: Backend + ?Sized>(
    backend: &B,
    out: &mut B::Tensor,
    residual: Option<&B::Tensor>,
    x: &B::Tensor,
    [gate, up, hidden]: [&mut B::Tensor; 3],
    [w_gate, w_up, w_down]: [&B::Tensor; 3],
    norm: Option<Norm<'_, B::Tensor>>,
) {
    backend.linear(gate, x, w_gate, None);
    backend.linear(up, x, w_up, None);
    backend.swiglu(hidden, gate, up);
    add_to_stream(backend, out, residual, hidden, w_down);
    if let Some(norm) = norm {
        norm.of(backend, out);
    }
}

/// [`Backend::residual_norm`], line by line.
pub(crate) fn residual_norm_by_parts<B: Backend + ?Sized>(
    backend: &B,
    out: &mut B::Tensor,
    residual: Option<&B::Tensor>,
    x: &B::Tensor,
    weight: &B::Tensor,
    norm: Norm<'_, B::Tensor>,
) {
    add_to_stream(backend, out, residual, x, weight);
    norm.of(backend, out);
}

/// `out ← residual + x Wᵀ`, or `out ← out + x Wᵀ`.
fn add_to_stream<B: Backend + ?Sized>(
    backend: &B,
    out: &mut B::Tensor,
    residual: Option<&B::Tensor>,
    x: &B::Tensor,
    weight: &B::Tensor,
) {
    match residual {
        Some(residual) => backend.residual_linear(out, residual, x, weight),
        None => backend.matmul(Product::NT, out, true, x, weight),
    }
}

/// [`Backend::feed_forward_backward`], line by line.
pub(crate) fn feed_forward_backward_by_parts<B: Backend + ?Sized>(
    backend: &B,
    d_x: &mut B::Tensor,
    d_hidden: &mut B::Tensor,
    [gate, up]: [&mut B::Tensor; 2],
    d_out: &B::Tensor,
    [w_gate, w_up, w_down]: [&B::Tensor; 3],
) {
    backend.matmul(Product::NN, d_hidden, false, d_out, w_down);
    backend.swiglu_backward(gate, up, d_hidden);
    backend.matmul(Product::NN, d_x, false, gate, w_gate);
    backend.matmul(Product::NN, d_x, true, up, w_up);
}

/// [`Backend::attention_inputs`], line by line.
pub(crate) fn attention_inputs_by_parts<B: Backend + ?Sized>(
    backend: &B,
    [q, k, v]: [&mut B::Tensor; 3],
    x: &B::Tensor,
    [w_q, w_k, w_v]: [&B::Tensor; 3],
    Positions { table, context_length, head_dim }: Positions<'_, B::Tensor>,
) {
    backend.linear(q, x, w_q, None);
    backend.linear(k, x, w_k, None);
    backend.linear(v, x, w_v, None);
    backend.rope(q, table, context_length, head_dim, false);
    backend.rope(k, table, context_length, head_dim, false);
}

/// [`Backend::attention_inputs_backward`], line by line.
pub(crate) fn attention_inputs_backward_by_parts<B: Backend + ?Sized>(
    backend: &B,
    d_x: &mut B::Tensor,
    [d_q, d_k, d_v]: [&mut B::Tensor; 3],
    [w_q, w_k, w_v]: [&B::Tensor; 3],
    Positions { table, context_length, head_dim }: Positions<'_, B::Tensor>,
) {
    backend.rope(d_q, table, context_length, head_dim, true);
    backend.rope(d_k, table, context_length, head_dim, true);
    backend.matmul(Product::NN, d_x, false, d_q, w_q);
    backend.matmul(Product::NN, d_x, true, d_k, w_k);
    backend.matmul(Product::NN, d_x, true, d_v, w_v);
}
