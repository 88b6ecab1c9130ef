//! Tensors of a GGUF file as [`Weights`]: exactly those that the config implies.
//!
//! | Hugging Face name | name in the file |
//! |---|---|
//! | `model.embed_tokens.weight`, `model.norm.weight`, `lm_head.weight` | `token_embd.weight`, `output_norm.weight`, `output.weight` |
//! | `model.layers.N.input_layernorm`, `…post_attention_layernorm` | `blk.N.attn_norm`, `blk.N.ffn_norm` |
//! | `….self_attn.{q,k,v,o}_proj` (`.weight`, `.bias`) | `blk.N.attn_{q,k,v,output}` |
//! | `….mlp.{gate,up,down}_proj` | `blk.N.ffn_{gate,up,down}` |
//!
//! Dimensions are listed fastest first: a matrix (d_out, d_in) is `[d_in, d_out]` there, with the same bytes. In files of
//! architecture `llama` the rows (and biases) of q and k stand in interleaved order (see `rotary`).
use super::config::Architecture;
use super::header::{Fault, Header};
use crate::model::checkpoint::rotary;
use crate::model::checkpoint::tensors::NotFinite;
use crate::model::{ModelConfig, Weights};
use crate::schema::{ParamId, Part, Projection};
use crate::tensor::{Backend, Scalar};

/// The name of a parameter in a GGUF file.
pub(super) fn gguf_name(id: ParamId) -> String {
    let (layer, part) = match id {
        ParamId::Embed => return "token_embd.weight".into(),
        ParamId::Norm => return "output_norm.weight".into(),
        ParamId::Head => return "output.weight".into(),
        ParamId::Layer(layer, part) => (layer, part),
    };
    let of = |projection| match projection {
        Projection::Q => "attn_q",
        Projection::K => "attn_k",
        Projection::V => "attn_v",
        Projection::O => "attn_output",
        Projection::Gate => "ffn_gate",
        Projection::Up => "ffn_up",
        Projection::Down => "ffn_down",
    };
    let (name, kind) = match part {
        Part::AttnNorm => ("attn_norm", "weight"),
        Part::FfnNorm => ("ffn_norm", "weight"),
        Part::Weight(projection) => (of(projection), "weight"),
        Part::Bias(projection) => (of(projection), "bias"),
    };
    format!("blk.{layer}.{name}.{kind}")
}

/// Whether RoPE acts on the outputs of the projection whose weight or bias this is.
pub(super) fn is_rotary(id: ParamId) -> bool {
    id.projection().is_some_and(Projection::is_rotary)
}

/// Elements that belong to one output of a projection: a row of its matrix, one element of its bias.
pub(super) fn row_width(id: ParamId, cols: usize) -> usize {
    if id.is_vector() { 1 } else { cols }
}

/// Dimensions in the file of a parameter: fastest first, norms and biases as vectors.
pub(super) fn dimensions(id: ParamId, [rows, cols]: [usize; 2]) -> Vec<usize> {
    if id.is_vector() { vec![cols] } else { vec![cols, rows] }
}

/// Factors by which llama.cpp divides the frequencies of RoPE: one per pair, 1 where RoPE is not scaled.
const ROPE_FACTORS: [&str; 3] =
    ["rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"];

/// Errors unless the file's tensors are exactly those of a model of shape `config`.
pub(super) fn check(file: &[u8], header: &Header, config: &ModelConfig) -> Result<(), Fault> {
    for name in ROPE_FACTORS {
        let Some(info) = header.tensors.get(name) else { continue };
        let factors = info.format.decode(&file[info.start..info.start + info.bytes]);
        if let Some(factor) = factors.iter().find(|factor| **factor != 1.0) {
            let problem = format!(
                "RoPE is scaled by the tensor `{name}` (a factor is {factor}), which is not supported"
            );
            return Err(Fault::new(info.offset, problem));
        }
    }
    let shapes = Weights::shapes(config);
    let known: std::collections::HashSet<String> = shapes
        .params()
        .into_iter()
        .map(|(id, _)| gguf_name(id))
        .chain(ROPE_FACTORS.map(String::from))
        .collect();
    if let Some((name, info)) = header.tensors.iter().find(|(name, _)| !known.contains(name.as_str())) {
        let problem = format!(
            "tensor `{}` of dimensions {:?}, which the model of the metadata has not",
            name.escape_debug(),
            info.dimensions
        );
        return Err(Fault::new(info.offset, problem));
    }
    for (id, &shape) in shapes.params() {
        let (name, expected) = (gguf_name(id), dimensions(id, shape));
        let Some(info) = header.tensors.get(&name) else {
            return Err(Fault::new(
                0,
                format!("no tensor `{name}`, expected one of dimensions {expected:?}"),
            ));
        };
        if info.dimensions != expected {
            let found = &info.dimensions;
            let problem = format!("tensor `{name}` has dimensions {found:?}, expected {expected:?}");
            return Err(Fault::new(info.offset, problem));
        }
    }
    Ok(())
}

pub(super) fn read<B: Backend>(
    backend: &B,
    file: &[u8],
    header: &Header,
    architecture: Architecture,
    config: &ModelConfig,
) -> Result<Weights<B::Tensor>, Fault> {
    // All shapes before any tensor is decoded: what is wrong is said at once.
    check(file, header, config)?;
    Weights::shapes(config).try_map_params(|id, &[rows, cols]| {
        let name = gguf_name(id);
        let info = header.tensors.get(&name).ok_or_else(|| Fault::new(0, "a tensor is missing"))?;
        let values = info.format.decode(&file[info.start..info.start + info.bytes]);
        if let Some(fault) = NotFinite::among(&name, values.iter().copied()) {
            return Err(Fault::new(info.start, fault.words()));
        }
        let values = match architecture {
            Architecture::Llama if is_rotary(id) => {
                rotary::to_half_split(&values, row_width(id, cols), config.head_dim)
            }
            _ => values,
        };
        let values: Vec<B::Scalar> = values.into_iter().map(|x| B::Scalar::from_f64(x.into())).collect();
        Ok(backend.from_host(rows, cols, &values))
    })
}
