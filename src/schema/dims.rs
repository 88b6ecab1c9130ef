//! The named dimensions of a model and how the rows and columns of a tensor run along them.

/// A dimension of a model; `usize` is the layer, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dim {
    /// Of size 1: norms and biases are one row.
    One,
    /// V
    Vocab,
    /// d: the channels of the residual stream (the stem).
    Hidden,
    /// H of a layer
    QueryHead(usize),
    /// K of a layer
    KvHead(usize),
    /// Channels of one head of q and k: RoPE rotates the pairs (p, p + n/2) of its n channels.
    HeadDim(usize),
    /// h: channels of one head of v, and so of the input of o.
    ValueDim,
    /// f of a layer
    Ffn(usize),
    /// The layers themselves.
    Layer,
}

/// What the rows (or columns) of a tensor run along: index = outer · (size of inner) + inner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Axis {
    pub outer: Dim,
    pub inner: Dim,
}

impl Axis {
    /// Channels within heads.
    pub fn of(outer: Dim, inner: Dim) -> Self {
        Axis { outer, inner }
    }
}

impl From<Dim> for Axis {
    fn from(dim: Dim) -> Self {
        Axis { outer: dim, inner: Dim::One }
    }
}
