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
use crate::model::weights::is_vector;
use crate::model::{ModelConfig, Weights};
use crate::tensor::{Backend, Scalar};

/// Part of a layer's Hugging Face name, and of its GGUF name.
const LAYER_NAMES: [(&str, &str); 9] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// The name in a GGUF file of the parameter that Hugging Face calls `name`.
pub(super) fn gguf_name(name: &str) -> String {
    let whole = match name {
        "model.embed_tokens.weight" => Some("token_embd.weight"),
        "model.norm.weight" => Some("output_norm.weight"),
        "lm_head.weight" => Some("output.weight"),
        _ => None,
    };
    if let Some(whole) = whole {
        return whole.to_string();
    }
    let inner = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
    let known = inner.and_then(|(layer, part)| {
        let (part, kind) = part.rsplit_once('.')?;
        let (_, ours) = LAYER_NAMES.iter().find(|(theirs, _)| *theirs == part)?;
        Some(format!("blk.{layer}.{ours}.{kind}"))
    });
    known.unwrap_or_else(|| name.to_string())
}

/// Whether RoPE acts on the outputs of the projection with this Hugging Face name.
pub(super) fn is_rotary(name: &str) -> bool {
    name.contains(".q_proj.") || name.contains(".k_proj.")
}

/// Elements that belong to one output of a projection: a row of its matrix, one element of its bias.
pub(super) fn row_width(name: &str, cols: usize) -> usize {
    if is_vector(name) { 1 } else { cols }
}

/// Dimensions in the file of a parameter: fastest first, norms and biases as vectors.
pub(super) fn dimensions(name: &str, [rows, cols]: [usize; 2]) -> Vec<usize> {
    if is_vector(name) { vec![cols] } else { vec![cols, rows] }
}

pub(super) fn read<B: Backend>(
    backend: &B,
    file: &[u8],
    header: &Header,
    architecture: Architecture,
    config: &ModelConfig,
) -> Result<Weights<B::Tensor>, Fault> {
    let shapes = Weights::shapes(config);
    let names: Vec<(String, String)> =
        shapes.named().into_iter().map(|(name, _)| (gguf_name(&name), name)).collect();
    let known: std::collections::HashSet<&str> = names.iter().map(|(ours, _)| ours.as_str()).collect();
    if let Some((name, info)) = header.tensors.iter().find(|(name, _)| !known.contains(name.as_str())) {
        let problem = format!(
            "tensor `{}` of dimensions {:?}, which the model of the metadata has not",
            name.escape_debug(),
            info.dimensions
        );
        return Err(Fault::new(info.offset, problem));
    }
    // All shapes before any tensor is decoded: what is wrong is said at once.
    for ((name, theirs), (_, &shape)) in names.iter().zip(shapes.named()) {
        let expected = dimensions(theirs, shape);
        let Some(info) = header.tensors.get(name) else {
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
    let mut names = names.iter();
    shapes.try_map(|&[rows, cols]| {
        let missing = || Fault::new(0, "a tensor is missing");
        let (name, theirs) = names.next().ok_or_else(missing)?;
        let info = header.tensors.get(name).ok_or_else(missing)?;
        let values = info.format.decode(&file[info.start..info.start + info.bytes]);
        let values = match architecture {
            Architecture::Llama if is_rotary(theirs) => {
                rotary::to_half_split(&values, row_width(theirs, cols), config.head_dim)
            }
            _ => values,
        };
        let values: Vec<B::Scalar> = values.into_iter().map(|x| B::Scalar::from_f64(x.into())).collect();
        Ok(backend.from_host(rows, cols, &values))
    })
}
