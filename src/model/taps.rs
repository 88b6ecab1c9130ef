//! What statistics see of a pass: inputs of linear layers as the forward pass goes by, gradients as the backward pass does.
//!
//! ```text
//! forward    Input, layer by layer, then that of the head
//! backward   Head, then from the last layer on: Linear, InputGradient and Norm of each linear layer and norm; Embedding last
//! ```
//!
//! Gradients are those of the scaled sum: `scale · ∂(Σ objective)/∂·`.
use crate::schema::Projection;
use serde::{Deserialize, Serialize};

/// Where linear layers read: the input of a norm's output or of an inner product's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Site {
    /// Input of q, k and v of a layer: N × d.
    AttnIn(usize),
    /// Input of o: N × H·h.
    OIn(usize),
    /// Input of gate and up: N × d.
    FfnIn(usize),
    /// Input of down: N × f.
    DownIn(usize),
    /// Input of the head, the final norm's output: N × d.
    HeadIn,
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Site::AttnIn(layer) => write!(f, "the input of q, k and v in layer {layer}"),
            Site::OIn(layer) => write!(f, "the input of o in layer {layer}"),
            Site::FfnIn(layer) => write!(f, "the input of gate and up in layer {layer}"),
            Site::DownIn(layer) => write!(f, "the input of down in layer {layer}"),
            Site::HeadIn => f.write_str("the input of the head"),
        }
    }
}

/// RMSNorms, by layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NormSite {
    Attn(usize),
    Ffn(usize),
    Final,
}

/// One thing that a pass comes by.
pub enum Observation<'a, T> {
    /// What the linear layers of `site` read, in the forward pass: `sequences` runs of rows.
    Input { site: Site, x: &'a T, sequences: usize },
    /// Its gradient, of all of them together.
    InputGradient { site: Site, x: &'a T, dx: &'a T },
    /// Input and gradient of the output of one linear layer, y = x Wᵀ.
    Linear { layer: usize, projection: Projection, x: &'a T, dy: &'a T },
    /// Input of a norm and gradient of its output.
    Norm { norm: NormSite, x: &'a T, dy: &'a T },
    /// What the head works on: gradients of logits are never held whole.
    Head { x: &'a T, head: &'a T, targets: &'a [u32], scale: f64 },
    /// Gradient of the embedding's output; the last of a pass.
    Embedding { tokens: &'a [u32], dy: &'a T },
}

/// Called with each of them.
pub type Tap<'a, T> = &'a mut dyn FnMut(Observation<'_, T>);
