//! Every parameter tensor of a model, and what its rows and columns run along.
//!
//! | parameter | rows | columns |
//! |---|---|---|
//! | embedding, head | Vocab | Hidden |
//! | norms | One | Hidden |
//! | q, k | QueryHead × HeadDim, KvHead × HeadDim | Hidden |
//! | v | KvHead × ValueDim | Hidden |
//! | o | Hidden | QueryHead × ValueDim |
//! | gate, up | Ffn | Hidden |
//! | down | Hidden | Ffn |
//! | bias of a projection | One | the projection's rows |
use super::dims::{Axis, Dim};

/// A linear layer of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Projection {
    Q,
    K,
    V,
    O,
    Gate,
    Up,
    Down,
}

impl Projection {
    pub const ALL: [Projection; 7] = [
        Projection::Q,
        Projection::K,
        Projection::V,
        Projection::O,
        Projection::Gate,
        Projection::Up,
        Projection::Down,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Projection::Q => "q",
            Projection::K => "k",
            Projection::V => "v",
            Projection::O => "o",
            Projection::Gate => "gate",
            Projection::Up => "up",
            Projection::Down => "down",
        }
    }

    /// What its outputs run along in layer ℓ: the rows of its weight.
    pub fn outputs(self, layer: usize) -> Axis {
        match self {
            Projection::Q => Axis::of(Dim::QueryHead(layer), Dim::HeadDim(layer)),
            Projection::K => Axis::of(Dim::KvHead(layer), Dim::HeadDim(layer)),
            Projection::V => Axis::of(Dim::KvHead(layer), Dim::ValueDim),
            Projection::Gate | Projection::Up => Dim::Ffn(layer).into(),
            Projection::O | Projection::Down => Dim::Hidden.into(),
        }
    }

    /// What its inputs run along in layer ℓ: the columns of its weight.
    pub fn inputs(self, layer: usize) -> Axis {
        match self {
            Projection::O => Axis::of(Dim::QueryHead(layer), Dim::ValueDim),
            Projection::Down => Dim::Ffn(layer).into(),
            _ => Dim::Hidden.into(),
        }
    }

    /// Whether its outputs are added to the residual stream.
    pub fn is_residual(self) -> bool {
        matches!(self, Projection::O | Projection::Down)
    }

    /// Whether RoPE rotates its outputs.
    pub fn is_rotary(self) -> bool {
        matches!(self, Projection::Q | Projection::K)
    }

    const fn hf_name(self) -> &'static str {
        match self {
            Projection::Q => "self_attn.q_proj",
            Projection::K => "self_attn.k_proj",
            Projection::V => "self_attn.v_proj",
            Projection::O => "self_attn.o_proj",
            Projection::Gate => "mlp.gate_proj",
            Projection::Up => "mlp.up_proj",
            Projection::Down => "mlp.down_proj",
        }
    }
}

/// A parameter of a decoder layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    AttnNorm,
    FfnNorm,
    Weight(Projection),
    Bias(Projection),
}

/// Which parameter of a model; `usize` is the layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParamId {
    Embed,
    Layer(usize, Part),
    /// The final norm's weight.
    Norm,
    /// Absent where the embedding is the head.
    Head,
}

/// What a parameter is: decides its initial values, and whether it decays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Starts at 1, does not decay; one row here, a vector in files.
    Norm,
    /// Starts at 0, does not decay; one row here, a vector in files.
    Bias,
    /// Starts at random, decays.
    Matrix,
}

impl ParamId {
    pub fn kind(self) -> ParamKind {
        match self {
            ParamId::Norm | ParamId::Layer(_, Part::AttnNorm | Part::FfnNorm) => ParamKind::Norm,
            ParamId::Layer(_, Part::Bias(_)) => ParamKind::Bias,
            ParamId::Embed | ParamId::Head | ParamId::Layer(_, Part::Weight(_)) => ParamKind::Matrix,
        }
    }

    /// Whether it is a vector in files (and one row here).
    pub fn is_vector(self) -> bool {
        self.kind() != ParamKind::Matrix
    }

    /// Whether weight decay applies to it: to matrices, as in GPT-3 and Llama.
    pub fn decays(self) -> bool {
        self.kind() == ParamKind::Matrix
    }

    /// The layer that it belongs to.
    pub fn layer(self) -> Option<usize> {
        match self {
            ParamId::Layer(layer, _) => Some(layer),
            ParamId::Embed | ParamId::Norm | ParamId::Head => None,
        }
    }

    /// The projection whose weight or bias it is.
    pub fn projection(self) -> Option<Projection> {
        match self {
            ParamId::Layer(_, Part::Weight(projection) | Part::Bias(projection)) => Some(projection),
            _ => None,
        }
    }

    /// Name in Hugging Face's files.
    pub fn hf_name(self) -> String {
        match self {
            ParamId::Embed => "model.embed_tokens.weight".into(),
            ParamId::Norm => "model.norm.weight".into(),
            ParamId::Head => "lm_head.weight".into(),
            ParamId::Layer(layer, part) => {
                let (name, kind) = match part {
                    Part::AttnNorm => ("input_layernorm", "weight"),
                    Part::FfnNorm => ("post_attention_layernorm", "weight"),
                    Part::Weight(projection) => (projection.hf_name(), "weight"),
                    Part::Bias(projection) => (projection.hf_name(), "bias"),
                };
                format!("model.layers.{layer}.{name}.{kind}")
            }
        }
    }
}

/// A parameter tensor: which one, and what its rows and columns run along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Param {
    pub id: ParamId,
    pub rows: Axis,
    pub cols: Axis,
}

impl Param {
    /// The description of the parameter `id`.
    pub fn of(id: ParamId) -> Param {
        let (rows, cols) = match id {
            ParamId::Embed | ParamId::Head => (Dim::Vocab.into(), Dim::Hidden.into()),
            ParamId::Norm | ParamId::Layer(_, Part::AttnNorm | Part::FfnNorm) => {
                (Dim::One.into(), Dim::Hidden.into())
            }
            ParamId::Layer(layer, Part::Weight(projection)) => {
                (projection.outputs(layer), projection.inputs(layer))
            }
            ParamId::Layer(layer, Part::Bias(projection)) => (Dim::One.into(), projection.outputs(layer)),
        };
        Param { id, rows, cols }
    }
}
