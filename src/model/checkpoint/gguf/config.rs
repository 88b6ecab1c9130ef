//! Metadata under `<architecture>.*` as a [`ModelConfig`].
//!
//! | key below the architecture's name | field |
//! |---|---|
//! | `block_count`, `embedding_length`, `context_length` | layers, d, longest context |
//! | `feed_forward_length`, `attention.head_count`, `attention.head_count_kv` | f, H, K: one number, or one per layer |
//! | `attention.key_length`, `attention.value_length` | h, both; d/H where absent |
//! | `rope.dimension_count` | must be h where given |
//! | `rope.freq_base` | θ, 10000 where absent |
//! | `attention.layer_norm_rms_epsilon` | ε |
//!
//! The vocabulary's size is that of `token_embd.weight`; the head is tied where there is no `output.weight`. Scaled
//! RoPE, attention windows and experts are refused, never ignored.
use super::header::{Entry, Fault, Header, Value};
use super::tensors::gguf_name;
use crate::model::{Biases, LayerShape, ModelConfig};
use crate::schema::{ParamId, Part, Projection};

/// Largest accepted width: keeps every product of two far from overflow.
const MAX_WIDTH: i128 = 1 << 24;

/// The model families that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    /// q and k rows in interleaved order; every linear layer may have a bias.
    Llama,
    /// q and k rows in half-split order, with biases.
    Qwen2,
}

pub(super) fn read(header: &Header) -> Result<(Architecture, ModelConfig), Fault> {
    let (architecture, name) = match header.metadata.get("general.architecture") {
        Some(Entry { value: Value::Text(name), .. }) if name == "llama" => (Architecture::Llama, name),
        Some(Entry { value: Value::Text(name), .. }) if name == "qwen2" => (Architecture::Qwen2, name),
        other => return Err(wrong("general.architecture", other, "\"llama\" or \"qwen2\"")),
    };
    let keys = Keys { header, architecture: name };
    keys.refuse_unsupported()?;
    // Nine tensors per layer: a file's tensors bound what its numbers can make us allocate.
    let num_layers = keys.count("block_count", (header.tensors.len() / 9).max(1) as i128)?;
    let hidden_size = keys.count("embedding_length", MAX_WIDTH)?;
    let num_heads = keys.per_layer("attention.head_count", num_layers)?;
    let num_kv_heads = match keys.get("attention.head_count_kv") {
        None => num_heads.clone(),
        Some(_) => keys.per_layer("attention.head_count_kv", num_layers)?,
    };
    let intermediate_size = keys.per_layer("feed_forward_length", num_layers)?;
    let layers: Vec<LayerShape> = num_heads
        .into_iter()
        .zip(num_kv_heads)
        .zip(intermediate_size)
        .map(|((num_heads, num_kv_heads), intermediate_size)| {
            LayerShape::new(num_heads, num_kv_heads, intermediate_size)
        })
        .collect();
    if let Some(layer) = layers.iter().find(|layer| layer.num_heads % layer.num_kv_heads != 0) {
        let expected = format!("a divisor of {} (attention.head_count)", layer.num_heads);
        return Err(keys.wrong("attention.head_count_kv", &expected));
    }
    let first_heads = layers.first().map_or(1, |layer| layer.num_heads);
    let head_dim = match keys.get("attention.key_length") {
        None if hidden_size % first_heads != 0 => {
            let expected = format!("a number, since {first_heads} heads do not divide {hidden_size}");
            return Err(keys.wrong("attention.key_length", &expected));
        }
        None => hidden_size / first_heads,
        Some(_) => keys.count("attention.key_length", MAX_WIDTH)?,
    };
    if head_dim % 2 == 1 || head_dim == 0 {
        let expected = format!("heads of even width, since RoPE rotates pairs; found {head_dim}");
        return Err(keys.wrong("attention.key_length", &expected));
    }
    for key in ["attention.value_length", "rope.dimension_count"] {
        if keys.get(key).is_some() && keys.count(key, MAX_WIDTH)? != head_dim {
            return Err(keys.wrong(key, &format!("{head_dim}, the width of a head")));
        }
    }
    let embed = header.tensors.get("token_embd.weight");
    let vocab_size =
        embed.and_then(|info| info.dimensions.get(1).copied()).filter(|n| *n as i128 <= MAX_WIDTH);
    let Some(vocab_size) = vocab_size else {
        let offset = embed.map_or(0, |info| info.offset);
        return Err(Fault::new(offset, "no tensor `token_embd.weight` of two dimensions"));
    };
    // llama.cpp takes from a `llama` whatever biases it has; ours have them in every layer or in none.
    let has = |projection: &Projection| {
        header.tensors.contains_key(&gguf_name(ParamId::Layer(0, Part::Bias(*projection))))
    };
    let biases = match architecture {
        Architecture::Qwen2 => Biases::QKV,
        Architecture::Llama => Projection::ALL.into_iter().filter(has).collect(),
    };
    let config = ModelConfig {
        vocab_size,
        hidden_size,
        head_dim,
        tie_word_embeddings: !header.tensors.contains_key("output.weight"),
        biases,
        rope_theta: keys.positive("rope.freq_base", Some(10000.0))?,
        rms_norm_eps: keys.positive("attention.layer_norm_rms_epsilon", None)?,
        max_position_embeddings: keys.count("context_length", u32::MAX.into())?,
        layers,
    };
    Ok((architecture, config))
}

fn wrong(key: &str, entry: Option<&Entry>, expected: &str) -> Fault {
    let (offset, found) =
        entry.map_or((0, "missing".to_string()), |entry| (entry.offset, entry.value.describe()));
    Fault::new(offset, format!("`{key}` is {found}, expected {expected}"))
}

/// Typed access to the keys of one architecture.
struct Keys<'a> {
    header: &'a Header,
    architecture: &'a str,
}

impl Keys<'_> {
    fn entry(&self, key: &str) -> Option<&Entry> {
        self.header.metadata.get(&format!("{}.{key}", self.architecture))
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    fn wrong(&self, key: &str, expected: &str) -> Fault {
        wrong(&format!("{}.{key}", self.architecture), self.entry(key), expected)
    }

    /// An integer from 1 to `most`.
    fn count(&self, key: &str, most: i128) -> Result<usize, Fault> {
        match self.get(key) {
            Some(Value::Integer(n)) if (1..=most).contains(n) => Ok(*n as usize),
            _ => Err(self.wrong(key, &format!("an integer from 1 to {most}"))),
        }
    }

    /// One integer from 1 to the largest width for every layer, however the file writes them.
    fn per_layer(&self, key: &str, num_layers: usize) -> Result<Vec<usize>, Fault> {
        match self.get(key) {
            Some(Value::Integers(all))
                if all.len() == num_layers
                    && all.iter().all(|n| (1..=MAX_WIDTH).contains(&i128::from(*n))) =>
            {
                Ok(all.iter().map(|n| *n as usize).collect())
            }
            Some(Value::Integers(_)) => {
                Err(self.wrong(key, &format!("{num_layers} integers from 1 to {MAX_WIDTH}, one per layer")))
            }
            _ => Ok(vec![self.count(key, MAX_WIDTH)?; num_layers]),
        }
    }

    /// A number above 0. An f32 becomes the f64 of its shortest decimal: 1e-5 rather than 9.99999974738e-6, as the
    /// model's other files write it.
    fn positive(&self, key: &str, default: Option<f64>) -> Result<f64, Fault> {
        let value = match (self.get(key), default) {
            (None, Some(default)) => return Ok(default),
            (Some(Value::F32(x)), _) => x.to_string().parse().ok(),
            (Some(Value::F64(x)), _) => Some(*x),
            _ => None,
        };
        value
            .filter(|x: &f64| x.is_finite() && *x > 0.0)
            .ok_or_else(|| self.wrong(key, "a finite number above 0"))
    }

    /// Errors on every setting that would change the network and that this crate does not compute.
    fn refuse_unsupported(&self) -> Result<(), Fault> {
        match self.get("rope.scaling.type") {
            None => {}
            Some(Value::Text(kind)) if kind == "none" => {}
            Some(_) => return Err(self.wrong("rope.scaling.type", "none: scaled RoPE is not supported")),
        }
        for key in ["rope.scale_linear", "rope.scaling.factor"] {
            if !matches!(self.get(key), None | Some(Value::F32(0.0 | 1.0))) {
                return Err(self.wrong(key, "1: scaled RoPE is not supported"));
            }
        }
        if !matches!(self.get("attention.sliding_window"), None | Some(Value::Integer(0))) {
            return Err(self.wrong("attention.sliding_window", "0: attention windows are not supported"));
        }
        if !matches!(self.get("expert_count"), None | Some(Value::Integer(0))) {
            return Err(self.wrong("expert_count", "0: mixtures of experts are not supported"));
        }
        Ok(())
    }
}
